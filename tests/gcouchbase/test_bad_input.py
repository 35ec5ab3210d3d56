"""Look-ups that fail or hang on gevent; all else that is wrong is in tests/conformance."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket as gsocket
from gevent.event import AsyncResult
from gevent.greenlet import Greenlet

from couchloop import exceptions as E  # noqa: N812 - a short name for a long list
from couchloop.embedded import EmbeddedCluster
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import SystemClock, serve
from tests.gcouchbase.support import connecting, until
from tests.hostile import OPTIONS


@pytest.fixture(autouse=True)
def no_greenlet_left() -> Iterator[None]:
    """See that no greenlet of a Bucket is left."""
    yield
    gc.collect()
    until(lambda: not connecting(), "a greenlet goes on")


def _open(
    address: str, bucket: str = "default", options: str = "", scheme: str = "couchbase"
) -> Bucket:
    cluster = Cluster(f"{scheme}://{address}{options}")
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket(bucket)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 64 + ".invalid"])
def test_unknown_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the resolver does not know, or that no resolver could."""
    look_up = gsocket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any) -> Any:
        if host.startswith("no-such-host"):
            raise gsocket.gaierror(gsocket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments)

    monkeypatch.setattr(gsocket, "getaddrinfo", getaddrinfo)
    with pytest.raises(E.UnknownHostError, match=name):
        _open(name)


def test_greenlets_of_ours_can_be_found() -> None:
    """The check above sees a greenlet of the name that connection attempts have."""
    probe: Greenlet[[], None] = gevent.spawn(lambda: gevent.sleep(5))
    probe.name = "couchbase-connect-0"
    assert connecting()
    probe.kill()


def test_hung_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose lookup never ends is given up after config_node_timeout."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object) -> None:
        asked.append(host)
        gevent.get_hub().switch()

    monkeypatch.setattr(gsocket, "getaddrinfo", getaddrinfo)
    with pytest.raises(E.NodeTimeoutError, match=r"slow\.test:11211"):
        _open("slow.test:11211", options=OPTIONS)
    assert asked == ["slow.test"]


def test_no_thread_is_free() -> None:
    """Where look-ups that hang hold all threads of the hub, opening fails in time.

    A key that is to be derived waits for a thread; that must not stop the hub.
    """
    pool = gevent.get_hub().threadpool
    let_go = threading.Event()
    held: list[AsyncResult[bool]] = []

    def hold() -> None:
        while len(held) < pool.maxsize:
            held.append(pool.spawn(let_go.wait))

    gevent.spawn(hold).join()
    # A user whose key nobody has derived yet.
    cluster = EmbeddedCluster(1, seed="no thread is free", clock=SystemClock())
    with serve(cluster) as served:
        address = served.connection_string.removeprefix("couchbase://")
        try:
            for _ in range(2):
                with pytest.raises(E.NodeTimeoutError, match="config_node_timeout"):
                    _open(address, options=OPTIONS)
        finally:
            let_go.set()
            for result in held:
                result.wait()
        with _open(address) as bucket:
            bucket.upsert("k", 1)
