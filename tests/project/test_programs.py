"""What a newcomer runs first: the demonstration, the embedded cluster as a program, the README."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

import pytest

from couchloop.settings.connection_string import ConnectionString
from tests.certificates import Certificates
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


def free_ports(count: int, nodes: int) -> list[int]:
    """Return ports at which, and after which, nobody listens; each as far apart as nodes need.

    They are none that the system gives to others meanwhile (from 32768 on).
    """
    found: list[int] = []
    ports = iter(range(10_000 + os.getpid() * 64 % 20_000, 32_000, nodes))
    while len(found) < count:
        first = next(ports)
        with suppress(OSError), ExitStack() as stack:
            for number in range(nodes):
                stack.enter_context(socket.create_server(("127.0.0.1", first + number)))
            found.append(first)
    return found


@pytest.mark.parametrize("loop", ["twisted", "gevent"])
def test_embedded_keeps_its_ports(loop: str, tmp_path: Path) -> None:
    """With ports of its own for TLS and the web, a cluster is where it was after a restart."""
    tls = Certificates(tmp_path).server()
    kv, kv_tls, web, web_tls = free_ports(4, nodes=2)
    arguments = ["--loop", loop, "--nodes", "2", "--port", str(kv), "--web-port", str(web)]
    arguments += ["--tls-port", str(kv_tls), "--web-tls-port", str(web_tls)]
    arguments += ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)]
    for _ in range(2):
        with embedded(*arguments) as (_, line):
            text = str(line["connection_string"])
            assert text == f"couchbase://127.0.0.1:{kv},127.0.0.1:{kv + 1}"
            text = str(line["connection_string_tls"])
            assert text == f"couchbases://127.0.0.1:{kv_tls},127.0.0.1:{kv_tls + 1}"
            for port in (web, web + 1, web_tls, web_tls + 1):
                socket.create_connection(("127.0.0.1", port)).close()
            url = f"http://127.0.0.1:{web + 1}/pools/default/nodeServices"
            token = b64encode(b"user:password").decode()
            asked = Request(url, headers={"Authorization": f"Basic {token}"})
            with urlopen(asked, timeout=20) as answer:  # noqa: S310 - likewise
                nodes = json.load(answer)["nodesExt"]
            named = {"kv", "kvSSL", "mgmt", "mgmtSSL"}
            assert [
                {name: port for name, port in node["services"].items() if name in named}
                for node in nodes
            ] == [
                {"kv": kv + n, "kvSSL": kv_tls + n, "mgmt": web + n, "mgmtSSL": web_tls + n}
                for n in range(2)
            ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nodes", "0"),
        ("--tls-port", "20000"),
        ("--web-tls-port", "20000"),
        ("--web-port", "65535"),
        ("--web-port", "-1"),
        ("--port", "20000", "--web-port", "20002"),
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


TUTORIAL: Final = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL
)
FIRST_PAGE: Final = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE | re.DOTALL
)
SAYS: Final = ("Robin", "no such bird: bird:dodo", "10", "'name': 'Ada'")
"""What the programs of those pages print; each is there for either loop."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve an embedded cluster to programs that leave it as it was enough for the next."""
    with embedded("--nodes", "1") as served:
        yield str(served[1]["connection_string"])


@pytest.mark.parametrize("number", range(2 * len(SAYS)))
def test_programs_of_pages(address: str, number: int) -> None:
    """Each program of the tutorial and of the first page runs but for the cluster's address."""
    programs = [*TUTORIAL, *FIRST_PAGE]
    assert len(programs) == 2 * len(SAYS)
    done = run(sys.executable, "-c", programs[number].replace("couchbase://localhost", address))
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[number // 2] in done.stdout
