"""What a newcomer runs first: the demonstration, the embedded cluster as a program, the README."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from couchloop.connstr import ConnectionString
from tests.project.test_packaging import ROOT

EMBEDDED = (sys.executable, "-m", "couchloop.embedded")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )


@contextmanager
def embedded(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """Run the embedded cluster; give its process and its first line."""
    process = subprocess.Popen(
        [*EMBEDDED, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_demonstration() -> None:
    """The demonstration does its work on both loops, and every connection closes by itself."""
    done = run(sys.executable, "examples/demo.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("open_bucket again gives the same object: True") == 2
    assert done.stdout.count("cluster: 3 connections were open, none is left") == 2
    assert "both programs did their work" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("loop", ["twisted", "gevent"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_embedded_serves_until_a_signal(loop: str, number: int) -> None:
    """The program prints one line that names every node and itself, and ends on a signal with 0."""
    with embedded("--loop", loop, "--nodes", "2", "--bucket", "a", "--user", "x:y") as served:
        process, line = served
        hosts = ConnectionString.parse(str(line["connection_string"])).seeds
        assert [host.host for host in hosts] == ["127.0.0.1", "127.0.0.1"]
        assert line["pid"] == process.pid
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("loop", ["twisted", "gevent"])
def test_embedded_says_that_a_port_is_taken(loop: str) -> None:
    """A port in use is one sentence and status 1, not a traceback."""
    with embedded("--loop", loop, "--nodes", "1") as served:
        port = ConnectionString.parse(str(served[1]["connection_string"])).seeds[0].port
        done = run(*EMBEDDED, "--loop", loop, "--nodes", "1", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith("cannot listen on 127.0.0.1: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nodes", "0"),
        ("--nodes", "101"),
        ("--replicas", "4"),
        ("--port", "65535"),
        ("--user", "nopassword"),
        ("--loop", "tornado"),
    ],
)
def test_embedded_refuses_bad_arguments(arguments: tuple[str, ...]) -> None:
    """An argument that makes no sense ends the program with usage and status 2."""
    done = run(*EMBEDDED, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


@pytest.mark.parametrize("number", [0, 1], ids=["twisted", "gevent"])
def test_readme_programs(number: int) -> None:
    """The README's two programs run as they stand, but for the cluster's address."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(programs) == 2
    with embedded("--nodes", "1") as served:
        address = str(served[1]["connection_string"])
        done = run(sys.executable, "-c", programs[number].replace("couchbase://localhost", address))
    assert done.returncode == 0, done.stderr
    assert "'name': 'Ada'" in done.stdout
