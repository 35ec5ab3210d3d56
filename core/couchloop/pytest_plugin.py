"""A pytest plugin: the fixture `couchbase_cluster`, an embedded cluster for tests of applications.

The cluster is a process of its own, so it serves whatever the tests run on, and code that blocks.
Tests that want to look into the cluster, or to break it, have `serve()` of `txcouchbase.testing`
and `gcouchbase.testing` instead.

pytest loads this module wherever couchloop is installed, so it imports neither a loop nor the rest
of couchloop. Like a program it may do I/O, and nothing imports it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pytest

_SECONDS_TO_END: Final = 10

_Scope = Literal["session", "package", "module", "class", "function"]


@dataclass(frozen=True)
class CouchbaseCluster:
    """An embedded cluster that runs as a process, and what an application needs to reach it."""

    connection_string: str
    """Names every node: `couchbase://127.0.0.1:PORT,…`."""
    connection_string_tls: str | None
    """The same for TLS; None without --tls-cert."""
    username: str
    password: str = field(repr=False)
    bucket: str
    """Name of the (first) bucket; it is empty when the fixture is made."""
    pid: int


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings of the fixture."""
    parser.addini(
        "couchbase_scope",
        "how long a couchbase_cluster lives: session (default), package, module, class, function",
        default="session",
    )
    parser.addini(
        "couchbase_arguments",
        "arguments of `python -m couchloop.embedded` for couchbase_cluster (default: --nodes 1)",
        default="--nodes 1",
    )


def _scope(fixture_name: str, config: pytest.Config) -> _Scope:
    del fixture_name
    scope: _Scope = config.getini("couchbase_scope")
    return scope


@pytest.fixture(scope=_scope)
def couchbase_cluster(pytestconfig: pytest.Config) -> Iterator[CouchbaseCluster]:
    """An embedded Couchbase cluster, in a process of its own.

    It lives as long as the ini setting `couchbase_scope` says and is started with the arguments of
    the setting `couchbase_arguments`.
    """
    with run_cluster(*shlex.split(pytestconfig.getini("couchbase_arguments"))) as cluster:
        yield cluster


@contextmanager
def run_cluster(*arguments: str) -> Iterator[CouchbaseCluster]:
    """Run `python -m couchloop.embedded` with *arguments* for the length of a `with` block.

    Raises RuntimeError if it does not start (what it says about that goes to stderr).
    """
    bucket, username, password = _named(arguments)
    command = [sys.executable, "-m", "couchloop.embedded", *arguments]
    process = subprocess.Popen(  # noqa: S603 - this very Python, and the project's own arguments
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # It must import what this process would, wherever that was found.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"`{shlex.join(command)}` did not start (exit status {process.wait()})"
            )
        announced: dict[str, Any] = json.loads(line)
        yield CouchbaseCluster(
            connection_string=announced["connection_string"],
            connection_string_tls=announced.get("connection_string_tls"),
            username=username,
            password=password,
            bucket=bucket,
            pid=process.pid,
        )
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_SECONDS_TO_END)
        finally:
            process.kill()


def _named(arguments: Sequence[str]) -> tuple[str, str, str]:
    """Return the first bucket, user and password that a command line names."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bucket", action="append")
    parser.add_argument("--user", action="append")
    options, _ = parser.parse_known_args(arguments)
    username, _, password = (options.user or ["user:password"])[0].partition(":")
    return (options.bucket or ["default"])[0], username, password
