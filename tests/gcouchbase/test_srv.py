"""Opening through DNS SRV records, with a DNS server of our own on the loopback interface."""

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

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
    FeatureNotAvailableError,
    ObjectDestroyedError,
    SrvLookupError,
)
from couchloop.session.events import ResolveSrv
from couchloop.settings.values import Address
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.dns import _system_resolver, look_up
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import LIMIT, ROOT, finish, start, ticking, until

NAME = "_couchbase._tcp.db.test"
NAME_TLS = "_couchbases._tcp.db.test"


class NameServer:
    """The DNS server of the tests, a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nameserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            bufsize=1,
        )
        self.port = int(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        with gevent.Timeout(LIMIT):
            return self._process.stdout.readline()

    def tell(self, name: str, *words: str) -> None:
        """Change what is said of a name."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join((name, *words)) + "\n")
        self._process.stdin.flush()
        assert self._read() == "done\n"

    def stop(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def process() -> Iterator[NameServer]:
    """Start the DNS server once for all tests."""
    names = NameServer()
    yield names
    names.stop()


@pytest.fixture
def names(process: NameServer) -> Iterator[NameServer]:
    """Give the DNS server without any record."""
    for name in (NAME, NAME_TLS):
        process.tell(name)
    yield process
    # A lookup that nobody waits for any more has a socket, now and then.
    hub: Any = gevent.get_hub()
    hub.threadpool.join()


def targets(served: ServedCluster, host: str = "127.0.0.1", service: str = "kv") -> list[str]:
    """Give what an SRV record of the cluster says."""
    return [f"{host}:{node.ports[service]}" for node in served.cluster.nodes]


def resolver(names: NameServer) -> dns.resolver.Resolver:
    """Give a resolver that asks the DNS server."""
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = ["127.0.0.1"]
    made.port = names.port
    return made


def opened(names: NameServer, text: str, **more: Any) -> Bucket:
    """Open the bucket `default` by asking the DNS server."""
    cluster = Cluster(text, resolver=resolver(names), **more)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket("default")


@pytest.mark.parametrize("scheme", ["couchbase", "couchbase+dnssrv"])
def test_record(names: NameServer, served: ServedCluster, scheme: str) -> None:
    """The record's nodes are tried in its order; the host itself need not even exist."""
    names.tell(NAME, "127.0.0.1:1", *targets(served))
    with opened(names, f"{scheme}://db.test") as bucket:
        bucket.upsert("k", 1)
        assert bucket.get("k").value == 1


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


def test_dead_server(names: NameServer, served: ServedCluster) -> None:
    """Where the first name server is dead, the second is asked in time."""
    names.tell(NAME, *targets(served))
    ours = resolver(names)
    with gsocket.socket(gsocket.AF_INET, gsocket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", names.port))
        ours.nameservers = ["127.0.0.2", "127.0.0.1"]
        before = ours.timeout
        event = ResolveSrv(NAME, before)
        assert [str(address) for address in look_up(event, ours)] == targets(served)
        with Bucket(
            "couchbase+dnssrv://db.test/default?config_total_timeout=20",
            username="user",
            password="password",
            resolver=ours,
        ) as bucket:
            bucket.upsert("k", 1)
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


@pytest.mark.parametrize("trouble", ["", "broken", "silent"])
def test_no_record(names: NameServer, served: ServedCluster, trouble: str) -> None:
    """Where DNS tells nothing, for whatever reason, the host is an ordinary one.

    Other greenlets go on meanwhile.
    """
    names.tell(NAME, *filter(None, [trouble]))
    port = served.cluster.nodes[0].ports["kv"]
    text = f"couchbase://db.test:{port}?dnssrv=1&resolve_timeout=200ms"
    with ticking() as ticker:
        with opened(names, text, socket_factory=dial_loopback) as bucket:
            bucket.upsert("k", 1)
        assert ticker.ticks > 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [("", "there is no DNS"), ("broken", "SERVFAIL"), ("silent", "0.2 s")],
)
def test_required(names: NameServer, trouble: str, why: str) -> None:
    """Under couchbase+dnssrv:// that is fatal; the error names the record, and says why."""
    names.tell(NAME, *filter(None, [trouble]))
    with pytest.raises(SrvLookupError, match=NAME) as raised:
        opened(names, "couchbase+dnssrv://db.test?resolve_timeout=200ms")
    assert why in str(raised.value)


def test_no_such_service(names: NameServer) -> None:
    """A record whose target is the root says that there is no such service."""
    names.tell(NAME, ".:0")
    with pytest.raises(SrvLookupError, match="there is no DNS SRV record"):
        opened(names, "couchbase+dnssrv://db.test")


def test_impossible_name(names: NameServer) -> None:
    """A host that no DNS message can hold fails like one without a record."""
    with pytest.raises(SrvLookupError):
        opened(names, f"couchbase+dnssrv://{'x' * 70}.test")


def test_tls(names: NameServer, tmp_path: Path) -> None:
    """With TLS it is another record, and certificates must name the host that the record names."""
    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server("localhost", "127.0.0.1")) as served:
        names.tell(NAME_TLS, *targets(served, "localhost", "kvSSL"))
        text = f"couchbases://db.test?certpath={certificates.ca}"
        with opened(names, text) as bucket:
            bucket.upsert("k", 1)
        names.tell(NAME_TLS, *targets(served, "127.0.0.2", "kvSSL"))
        with pytest.raises(CouchbaseError, match=r"127\.0\.0\.2"):
            opened(names, text)


def test_all_nodes_lost(names: NameServer) -> None:
    """When all nodes are gone the record is looked up again, and leads to where they are now."""
    with serve() as old, serve(EmbeddedCluster(seed=1, clock=SystemClock())) as new:
        names.tell(NAME, *targets(old))
        with opened(names, "couchbase://db.test") as bucket:
            bucket.upsert("k", "old")
            old.stop()
            names.tell(NAME, *targets(new))
            until(new.cluster.connections, "the new nodes were not found")
            bucket.upsert("k", "new", timeout=LIMIT)
            assert bucket.get("k").value == "new"


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
