"""DNS SRV records on gevent: dnspython's resolvers, and programs without dnspython."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import gevent
import pytest
from gevent import socket as gsocket
from gevent import subprocess

from couchloop.exceptions import (
    FeatureNotAvailableError,
    ObjectDestroyedError,
)
from couchloop.session.events import ResolveSrv
from couchloop.settings.values import Address
from gcouchbase.bucket import Bucket
from gcouchbase.dns import _system_resolver, look_up
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, finish, start, until
from tests.nameserver import Process as NameServer

NAME = "_couchbase._tcp.db.test"


@pytest.fixture(scope="module")
def process() -> Iterator[NameServer]:
    """Start the DNS server once for all tests."""
    names = NameServer()
    yield names
    names.stop()


@pytest.fixture
def names(process: NameServer) -> Iterator[NameServer]:
    """Yield the DNS server without any record."""
    process.tell(NAME)
    yield process
    # A lookup that nobody waits for any more has a socket, now and then.
    hub: Any = gevent.get_hub()
    hub.threadpool.join()


def targets(served: ServedCluster, host: str = "127.0.0.1", service: str = "kv") -> list[str]:
    """Return what an SRV record of the cluster says."""
    return [f"{host}:{node.ports[service]}" for node in served.cluster.nodes]


def resolver(names: NameServer) -> dns.resolver.Resolver:
    """Return a resolver that asks the DNS server."""
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = ["127.0.0.1"]
    made.port = names.port
    return made


def test_system_servers(
    names: NameServer, served: ServedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the system's resolver is asked, by TCP what does not fit into a datagram."""
    ours = resolver(names)
    monkeypatch.setattr(dns.resolver, "Resolver", lambda: ours)
    names.tell(NAME, *targets(served), *(f"127.0.0.1:{port}" for port in range(1, 60)))
    with Bucket(
        "couchbase+dnssrv://db.test/default", username="user", password="password"
    ) as bucket:
        bucket.upsert("k", 1)


def test_own_resolver(names: NameServer, served: ServedCluster) -> None:
    """A resolver of the user's has its limits and its servers as before, after each lookup."""
    names.tell(NAME, *targets(served))
    ours = resolver(names)
    with gsocket.socket(gsocket.AF_INET, gsocket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", names.port))
        ours.nameservers = ["127.0.0.2", "127.0.0.1"]
        before = ours.timeout
        event = ResolveSrv(NAME, before)
        assert [str(address) for address in look_up(event, ours)] == targets(served)
    assert (ours.timeout, ours.nameservers) == (before, ["127.0.0.2", "127.0.0.1"])


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver localhost\nnameserver 127.0.0.9\n", ["127.0.0.9"]),
        ("nameserver localhost\n", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),
        (None, ["127.0.0.1"]),
    ],
)
def test_strange_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, servers: list[str]
) -> None:
    """What is no address in resolv.conf is passed over, and none at all means this machine."""
    path = tmp_path / "resolv.conf"
    if text is not None:
        path.write_text(text)
    real = dns.resolver.Resolver
    monkeypatch.setattr(
        dns.resolver, "Resolver", lambda configure=True: real(str(path), configure=configure)
    )
    monkeypatch.setattr("gcouchbase.dns._SYSTEM", path)
    assert _system_resolver().nameservers == servers


def dial_loopback(address: Address) -> Any:
    """Connect to this machine, whatever the name."""
    return gsocket.create_connection(("127.0.0.1", address.port))


def test_closed_meanwhile(names: NameServer) -> None:
    """A Bucket that is closed during the lookup fails at once; the late answer is ignored."""
    names.tell(NAME, "silent")

    class Watched(dns.resolver.Resolver):
        asked = False

        def resolve(self, *arguments: Any, **keywords: Any) -> Any:
            Watched.asked = True
            return super().resolve(*arguments, **keywords)

    watched = Watched(configure=False)
    watched.nameservers = ["127.0.0.1"]
    watched.port = names.port
    text = "couchbase+dnssrv://db.test/default?resolve_timeout=500ms"
    waiting = start(Bucket, text, username="user", password="password", resolver=watched)
    until(lambda: Watched.asked)
    (bucket,) = Bucket._registry.buckets(gevent.get_hub())
    bucket.close()
    assert isinstance(waiting.get(), ObjectDestroyedError)


@pytest.mark.parametrize("scheme", ["couchbase", "couchbase+dnssrv"])
def test_without_dnspython(
    served: ServedCluster, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dnspython a required record is an error that says what to install; others are not."""
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    first = served.cluster.nodes[0].ports["kv"]

    def dial(address: Address) -> Any:
        port = first if address.host == "db.test" else address.port
        return dial_loopback(Address("127.0.0.1", port))

    def run() -> None:
        with Bucket(
            f"{scheme}://db.test/default",
            username="user",
            password="password",
            socket_factory=dial,
        ) as bucket:
            bucket.upsert("k", 1)

    if scheme == "couchbase":
        run()
    else:
        with pytest.raises(FeatureNotAvailableError, match=r"pip install 'couchloop\[srv\]'"):
            run()


_PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys
import dns.resolver
from gcouchbase.bucket import Bucket
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
resolver.port = int(sys.argv[1])
text = "couchbase+dnssrv://db.test/default"
with Bucket(text, username="user", password="password", resolver=resolver) as bucket:
    print(bucket.upsert("k", 1).success)
"""


def test_patched(names: NameServer, served: ServedCluster) -> None:
    """In a program that has monkey-patched everything the lookup works as well."""
    names.tell(NAME, *targets(served))
    process = subprocess.Popen(
        [sys.executable, "-c", _PATCHED, str(names.port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert finish(process) == ("True\n", "")
