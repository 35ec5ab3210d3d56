"""Errors and warnings of everyday use: what is said, once, and how it is cured."""

from __future__ import annotations

import errno
import gc
import os
import socket

import pytest

from couchloop.exceptions import NodeUnreachableError, UnambiguousTimeoutError, WrongLoopError
from tests.conformance.loops import Loop, cluster_at, login, opened_at
from tests.hostile import unanswering


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be a process that has said nothing yet."""
    monkeypatch.setattr("couchloop.client.notices._said", set())


def test_less_time_than_a_silent_node(loop: Loop) -> None:
    """A call that is over before the node was given up names firewall and doctor likewise."""

    def said(port: int) -> str:
        """Return the error's text alone: the error, and its frames, would keep the cluster."""
        manager = cluster_at(loop, f"couchbase://127.0.0.1:{port}").buckets()
        try:
            loop.wait(manager.get_all_buckets(timeout=0.2))
        except UnambiguousTimeoutError as error:
            return str(error)
        raise AssertionError("who was it that answered?")

    with unanswering() as port:
        text = said(port)
        # A Failure of Twisted's and its error refer to each other.
        gc.collect()
        loop.turn()
    assert "the node has not accepted so far: a firewall may drop what is sent there" in text
    assert "`python -m couchloop doctor`" in text
    assert f"node 127.0.0.1:{port}" in text


def test_nobody_listens(loop: Loop) -> None:
    """Why a node is not reached is said in the system's words, the same on both loops."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        # Its text alone, see above.
        try:
            loop.bucket(f"couchbase://127.0.0.1:{port}/default", **login())
        except NodeUnreachableError as error:
            text = str(error)
        gc.collect()
        loop.turn()
    refused = os.strerror(errno.ECONNREFUSED)
    assert text.startswith(f"nothing reachable at 127.0.0.1:{port}: {refused}; is a data node")


def test_seconds_that_may_be_milliseconds(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way they are given: once each, in the same words on both loops."""
    monkeypatch.setenv("LCB_OPTIONS", "views_timeout=75000")
    with loop.log("warning") as lines, loop.serving() as served:
        for _ in range(2):
            string = f"{served.connection_string}/default?operation_timeout=2500"
            with opened_at(loop, string, timeout=3000) as bucket:
                bucket.timeout = 4000
                bucket.n1ql_timeout = 60_000
                bucket.views_timeout = 2.5
                assert (bucket.timeout, bucket.n1ql_timeout) == (4000.0, 60_000.0)
                assert loop.wait(bucket.upsert("key", 1)).success
        expected = {
            "LCB_OPTIONS: views_timeout=75000 is 75000 seconds",
            "operation_timeout=2500 is 2500 seconds",
            "timeout=3000 is 3000 seconds",
            "timeout=4000 is 4000 seconds",
            "n1ql_timeout=60000 is 60000 seconds",
        }
        loop.until(lambda: len(lines) >= len(expected))
    assert {line.partition(",")[0] for line in lines} == expected
    assert len(lines) == len(expected)
    assert any("write timeout=4 if they are milliseconds" in line for line in lines)


def test_a_bucket_that_nobody_keeps(loop: Loop) -> None:
    """A place that opens it again and again is named once, with what to do."""
    with loop.serving() as served:
        string = f"{served.connection_string}/default"
        with loop.log("warning") as lines:
            for _ in range(9):
                assert loop.wait(loop.bucket(string, **login()).upsert("key", 1)).success
                loop.turn()
            loop.until(lambda: lines, "nothing was said")
            (line,) = lines
    assert "bucket 'default' is opened again and again at " in line
    assert "open it once, and keep it where the program lives" in line


def test_another_thread(loop: Loop) -> None:
    """The error names what such threads are of, and what to use there, or instead of them."""
    with loop.serving() as served, opened_at(loop, f"{served.connection_string}/default") as bucket:
        with pytest.raises(WrongLoopError) as caught:
            loop.in_thread(lambda: bucket.get("key"))
        cures = {
            "gevent": ("gunicorn -k gevent", "celery -P gevent", "monkey.patch_all()"),
            "twisted": ("deferToThread", "a server that answers in threads", "callFromThread"),
        }
        for cure in ("bucket.threadsafe()", *cures[loop.name]):
            assert cure in str(caught.value)
