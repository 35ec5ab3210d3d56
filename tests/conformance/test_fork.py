"""Forked children: the parent never notices them, and they are told the truth.

The programs are forking.py, in processes of their own; the cluster is served here, where every byte
of every connection is counted. What a child may do with a Bucket that it has inherited differs (on
gevent use it, on Twisted open it anew on a reactor of its own), and stands in each loop's part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.certificates import Certificates
from tests.conformance.forking import CHILDREN, SLOW
from tests.conformance.loops import Loop
from tests.conformance.programs import Program, running
from tests.received import Received

MODULES: Final = {"twisted": "tests.txcouchbase.forking", "gevent": "tests.gcouchbase.forking"}
OPENINGS: Final = {"twisted": 1, "gevent": 5}
"""So often the children of `silent` open the bucket."""

WAYS: Final[dict[str, dict[str, list[tuple[str, bool]]]]] = {
    "twisted": {
        "test_children_are_silent": [
            ("epoll", True),
            ("epoll", False),
            ("asyncio", True),
            ("poll", False),
        ],
        "test_services": [("epoll", False), ("asyncio", True)],
        "test_the_parent_works_on": [("epoll", True), ("asyncio", False)],
        "test_what_is_under_way": [("poll", False)],
        "test_a_connection_that_is_being_made": [("epoll", False), ("asyncio", False)],
    },
    "gevent": {
        "test_children_are_silent": [
            ("os,libev-cext", True),
            ("os,libuv-cffi", False),
            ("gevent,libuv-cffi", True),
            ("patched,libev-cext", False),
        ],
        "test_services": [("os,libev-cext", True), ("gevent,libuv-cffi", False)],
        "test_the_parent_works_on": [
            ("os,libuv-cffi", False),
            ("gevent,libuv-cffi", True),
            ("patched,libev-cext", False),
        ],
        "test_what_is_under_way": [("os,libev-cext", False), ("os,libuv-cffi", False)],
        "test_a_connection_that_is_being_made": [
            ("os,libev-cext", False),
            ("os,libuv-cffi", False),
        ],
    },
}
"""On which reactor, or how and on which of gevent's loops, and whether with TLS, by test."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Return each test the ways of its scenario, on the loop that this process has."""
    name = "twisted" if metafunc.config.pluginmanager.hasplugin("twisted") else "gevent"
    metafunc.parametrize(("way", "tls"), WAYS[name][metafunc.function.__name__])


@contextmanager
def forking(
    loop: Loop, tmp_path: Path, scenario: str, way: str, *, tls: bool
) -> Iterator[tuple[Any, Program]]:
    """Serve a cluster and start the program; in the end it must have ended well."""
    certificates = Certificates(tmp_path)
    server = certificates.server() if tls else None
    with loop.serving(loop.embedded(3), tls=server) as served:
        served.cluster.create_collection("default", "app.c")
        address = served.connection_string
        # A client that never speaks unasked, and has the time that a busy machine takes.
        options = (
            "config_poll_interval=0&operation_timeout=30&config_node_timeout=30&http_pool_timeout=4"
        )
        if tls:
            address = served.connection_string_tls
            options += f"&certpath={certificates.ca}"
        module = MODULES[loop.name]
        with running(loop, module, scenario, way, f"{address}?{options}") as program:
            yield served, program


def test_children_are_silent(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, tls: bool
) -> None:
    """No child says a byte on its parent's connections, however it lives and ends.

    They stay open, and are those that the parent uses afterwards; a child that uses the bucket has
    connections of its own. When the parent closes them no child holds them back.
    """
    received = Received(monkeypatch)
    with forking(loop, tmp_path, "silent", way, tls=tls) as (served, program):
        program.says("open")
        # It waits for its next step: nothing is on the way.
        before = received.by_those_open()
        assert len(before) == 3
        program.go_on()
        program.says("unused")
        assert received.by_those_open() == before
        assert served.cluster.accepted == 3
        program.go_on()
        program.says("used")
        loop.until(lambda: len(served.cluster.connections()) == 3)
        assert received.by_those_open() == before
        accepted = 3 + 3 * OPENINGS[loop.name]
        assert served.cluster.accepted == accepted
        program.go_on()
        program.says("parent")
        after = received.by_those_open()
        assert after.keys() == before.keys()
        assert all(after[each] > before[each] for each in after)
        assert served.cluster.accepted == accepted
        program.go_on()
        program.says("closed")
        loop.until(lambda: not served.cluster.connections(), "a child holds the connections")
        assert not program.has_ended
        program.go_on()


def test_services(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, tls: bool
) -> None:
    """A child says nothing on connections to services, and asks on some of its own.

    A request that was under way goes on in the parent.
    """
    received = Received(monkeypatch)
    with forking(loop, tmp_path, "services", way, tls=tls) as (served, program):
        fault = served.cluster.inject_http(path=SLOW, delay=1.0)
        program.says("asked")
        loop.until(lambda: fault.hits == 1)
        before = received.by_those_open()
        program.go_on()
        program.says("child")
        assert received.by_those_open().items() >= before.items()
        program.go_on()
        program.says("parent")
        program.go_on()
        program.says("done")


def test_the_parent_works_on(loop: Loop, tmp_path: Path, way: str, tls: bool) -> None:
    """Children fork from a parent at work, work and end: none of its operations fails.

    In each child what was under way ends with ForkedProcessError, mutations with an ambiguous one.
    """
    with forking(loop, tmp_path, "load", way, tls=tls) as (served, program):
        program.says("done")
        loop.until(lambda: len(served.cluster.connections()) == 3)
        assert served.cluster.accepted == 3 + 3 * CHILDREN
        program.go_on()


def test_what_is_under_way(loop: Loop, tmp_path: Path, way: str, tls: bool) -> None:
    """A fork amid operations without answers: each process ends its own.

    In the child they end with ForkedProcessError, mutations ambiguously; the parent's go on.
    """
    with forking(loop, tmp_path, "pending", way, tls=tls) as (served, program):
        silence = served.cluster.inject(key="silent", silent=True)
        program.says("waiting")
        loop.until(lambda: silence.hits == 3)
        program.go_on()
        program.says("forked")
        program.says("done")


def test_a_connection_that_is_being_made(loop: Loop, tmp_path: Path, way: str, tls: bool) -> None:
    """It is not held in a child either: the node would wait for the child's end of it."""
    with forking(loop, tmp_path, "dialling", way, tls=tls) as (_, program):
        program.says("done")
