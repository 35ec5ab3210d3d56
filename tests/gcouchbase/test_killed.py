"""Greenlets of ours that an application kills: whoever waits for them is told, and goes on."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import Greenlet

from couchloop.exceptions import NodeUnreachableError
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import PASSWORD, start, until

LONG = "config_node_timeout=50&config_total_timeout=55"
"""What is not told is waited for until the test fails."""


def open_bucket(served: ServedCluster, options: str) -> Bucket:
    """Open the bucket."""
    text = f"{served.connection_string}/default?{options}"
    return Bucket(text, username="user", password=PASSWORD)


def kill_all(but: object, *, begun: bool) -> int:
    """Kill every greenlet but one, as some applications do when they end; give how many.

    *begun*: those that have run already, or those that have not.
    """
    if begun:
        gevent.sleep(0)
    found = [
        each
        for each in gc.get_objects()
        if isinstance(each, Greenlet) and each.parent is gevent.get_hub()
        if each is not but and not each.dead
        if bool(each) is begun or not begun
    ]
    gevent.killall(found)
    return len(found)


@pytest.mark.parametrize("begun", [False, True])
def test_reading_a_file(
    served: ServedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    """The file of `config_cache` that nobody reads any more is no reason to wait: seeds are asked.

    It is read again when all nodes are lost.
    """
    killed: list[int] = []
    options = f"config_cache={tmp_path / 'config'}&{LONG}"
    opener = start(open_bucket, served, options)
    while not killed or not killed[-1]:
        gevent.sleep(0)
        killed.append(kill_all(opener, begun=begun))
        if opener.ready():
            break
    bucket = opener.get()
    assert isinstance(bucket, Bucket)
    assert bucket.upsert("k", 1).success
    config_file = bucket._driver.session.opening.config_file
    reads: list[Any] = []
    monkeypatch.setattr(
        "couchloop.client.driver.configcache.read", lambda *arguments: reads.append(arguments)
    )
    config_file.refresh()
    bucket._driver.transmit()
    assert kill_all(None, begun=begun)
    until(lambda: not config_file._reading)
    config_file.refresh()
    bucket._driver.transmit()
    until(lambda: bool(reads))
    bucket.close()


def test_connecting(served: ServedCluster) -> None:
    """A connection whose greenlet is killed before it has begun has failed, and is made anew."""
    bucket = open_bucket(served, LONG)
    driver = bucket._driver
    errors: list[BaseException] = []
    failed, make = driver.connect_failed, driver.make_transport

    def note(connection_id: int, error: BaseException) -> None:
        errors.append(error)
        failed(connection_id, error)

    def make_and_kill(event: Any) -> Any:
        attempt = make(event)
        driver.make_transport = make  # type: ignore[method-assign]
        # Before that of its start.
        gevent.get_hub().loop.run_callback(lambda: attempt._greenlet.kill(block=False))
        return attempt

    driver.connect_failed = note  # type: ignore[method-assign]
    driver.make_transport = make_and_kill  # type: ignore[method-assign]
    served.cluster.drop_connections(served.cluster.nodes[0])
    until(lambda: bool(errors))
    assert isinstance(errors[0], NodeUnreachableError)
    assert "killed" in str(errors[0])
    assert bucket.upsert_multi({f"k{number}": number for number in range(30)}).all_ok
    bucket.close()


def test_no_thread(served: ServedCluster) -> None:
    """Where no thread can be started, whoever waits for one is told so, at once."""

    class NoThreads:
        def spawn(self, *_: object) -> None:
            raise RuntimeError("can't start new thread")

    bucket = open_bucket(served, "")
    outcomes: list[object] = []
    hub: Any = gevent.get_hub()
    before, hub._threadpool = hub._threadpool, NoThreads()
    try:
        bucket._driver.in_thread(lambda: 1, outcomes.append)
        until(lambda: bool(outcomes))
    finally:
        hub._threadpool = before
    assert isinstance(outcomes[0], RuntimeError)
    bucket.close()
