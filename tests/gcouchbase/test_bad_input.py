"""What a user gets wrong: each a clear exception of its own class, at once, nothing left open."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import gevent
import pytest
from gevent import socket as gsocket
from gevent.event import AsyncResult
from gevent.greenlet import Greenlet
from gevent.server import StreamServer
from gevent.util import GreenletTree

from couchloop import exceptions as E  # noqa: N812 - a short name for a long list
from couchloop.embedded import EmbeddedCluster
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode, Status
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.gcouchbase.support import cluster_of, until
from tests.hostile import OPTIONS, PACE, PEERS, Peer, unanswering

HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT: Final = bytes.fromhex("15030300020232")

Handler = Callable[[gsocket.socket, Any], None]


@pytest.fixture(autouse=True)
def no_greenlet_left(served: ServedCluster) -> Iterator[None]:
    """See that no greenlet of a Bucket and no connection to the cluster is left."""
    yield
    until(lambda: not served.cluster.connections(), "the server still has connections")
    gc.collect()
    until(lambda: not _greenlets(), "a greenlet goes on")


def _greenlets() -> list[str]:
    trees = GreenletTree.forest()
    return re.findall(r"couchbase-connect-\d+", "".join(tree.format() for tree in trees))


def _open(
    address: str, bucket: str = "default", options: str = "", scheme: str = "couchbase"
) -> Bucket:
    cluster = Cluster(f"{scheme}://{address}{options}")
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster.open_bucket(bucket)


class TestConnectionStrings:
    """Refused before anything is opened."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ftp://localhost", "ftp"),
            ("couchbase://host:port", "port"),
            ("couchbase://host:99999", "99999"),
            ("couchbase://[::1", "::1"),
        ],
    )
    def test_malformed(self, text: str, message: str) -> None:
        """The error is a ValueError too, and quotes what is wrong."""
        with pytest.raises(E.InvalidConnectionStringError, match=message) as caught:
            Cluster(text)
        assert isinstance(caught.value, ValueError)

    def test_unknown_option(self) -> None:
        """An option that does not exist is named."""
        with pytest.raises(E.InvalidOptionError, match="no_such_option"):
            _open("127.0.0.1", options="?no_such_option=1")

    def test_no_credentials(self) -> None:
        """Nobody connects without a name."""
        with pytest.raises(E.ArgumentError, match="username"):
            Cluster("couchbase://127.0.0.1").open_bucket("default")


class TestOpening:
    """Refused by the network or the server."""

    def test_wrong_password(self, served: ServedCluster) -> None:
        """AuthError names the user and not the password; no other node is asked."""
        with pytest.raises(E.AuthError, match="'user'") as caught:
            cluster_of(served, password="open-sesame").open_bucket("default")
        assert "open-sesame" not in repr(caught.value) + str(vars(caught.value))
        assert served.cluster.accepted == 1

    def test_unknown_bucket(self, cluster: Cluster) -> None:
        """BucketNotFoundError names bucket and node."""
        with pytest.raises(E.BucketNotFoundError, match="'nosuch'") as caught:
            cluster.open_bucket("nosuch")
        assert caught.value.context is not None
        assert caught.value.context.node

    def test_unreachable_node(self) -> None:
        """A port where nobody listens."""
        with gsocket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            with pytest.raises(E.NodeUnreachableError, match=f"127.0.0.1:{port}.*refused"):
                _open(f"127.0.0.1:{port}")

    @pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 64 + ".invalid"])
    def test_unknown_host(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that the resolver does not know, or that no resolver could."""
        look_up = gsocket.getaddrinfo

        def getaddrinfo(host: str, *arguments: Any) -> Any:
            if host.startswith("no-such-host"):
                raise gsocket.gaierror(gsocket.EAI_NONAME, "Name or service not known")
            return look_up(host, *arguments)

        monkeypatch.setattr(gsocket, "getaddrinfo", getaddrinfo)
        with pytest.raises(E.UnknownHostError, match=name):
            _open(name)

    def test_one_reachable_seed_is_enough(self, served: ServedCluster) -> None:
        """Seeds that cannot be reached are passed over."""
        with gsocket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            dead = f"127.0.0.1:{sock.getsockname()[1]}"
            alive = served.connection_string.removeprefix("couchbase://")
            with _open(f"{dead},{alive}") as bucket:
                bucket.upsert("a", 1)

    def test_no_seed_tells_all(self) -> None:
        """When every seed fails, the error says what was met at each."""
        with gsocket.socket() as one, gsocket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            ports = [sock.getsockname()[1] for sock in (one, two)]
            with pytest.raises(E.NodeUnreachableError) as caught:
                _open(",".join(f"127.0.0.1:{port}" for port in ports))
        assert all(f"127.0.0.1:{port}" in str(caught.value) for port in ports)

    def test_silent_server(self, served: ServedCluster) -> None:
        """A node that accepts and says nothing costs config_node_timeout, no more."""
        node = served.cluster.nodes[0]
        served.cluster.hang(node)
        with pytest.raises(E.NodeTimeoutError, match="config_node_timeout"):
            _open(f"127.0.0.1:{node.ports['kv']}", options="?config_node_timeout=0.05")

    @pytest.mark.parametrize("opcode", [Opcode.HELLO, Opcode.GET_CLUSTER_CONFIG])
    def test_no_data_node(self, served: ServedCluster, opcode: Opcode) -> None:
        """A node that does not know a data node's requests is told apart from a failing one."""
        served.cluster.inject(opcode=opcode, status=Status.UNKNOWN_COMMAND)
        port = served.cluster.nodes[0].ports["kv"]
        with pytest.raises(E.NotDataNodeError, match=r"no( Couchbase)? data node") as caught:
            _open(f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in str(caught.value)

    @pytest.mark.parametrize(
        ("answer", "kind", "message"),
        [
            (HTTP, E.WrongProtocolError, "HTTP.*data port"),
            (TLS_ALERT, E.WrongProtocolError, "TLS.*couchbases://"),
            (b"220 mail.example ESMTP\r\n" * 2, E.WrongProtocolError, "data port"),
            (b"", E.HandshakeClosedError, "closed the connection"),
        ],
    )
    def test_not_a_data_port(
        self, answer: bytes, kind: type[E.CouchbaseError], message: str
    ) -> None:
        """Something else listens: the error says what it looks like, and the cure."""

        def handle(sock: gsocket.socket, _: object) -> None:
            with sock:
                if answer:
                    sock.recv(4096)
                    sock.sendall(answer)

        with (
            listening(handle) as port,
            pytest.raises(kind, match=message) as caught,
        ):
            _open(f"127.0.0.1:{port}")
        assert isinstance(caught.value, E.ConnectError)
        assert f"127.0.0.1:{port}" in str(caught.value)

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    def test_hostile_peers(self, peer: Peer) -> None:
        """Who says nothing, too much or never the end is given up in time, and left."""
        clients = 0

        def handle(sock: gsocket.socket, _: object) -> None:
            nonlocal clients
            clients += 1
            with sock, suppress(OSError):
                sock.recv(4096)
                sock.sendall(peer.first)
                while peer.then:
                    sock.sendall(peer.then)
                    gevent.sleep(PACE)
                while sock.recv(4096):
                    pass
            clients -= 1

        with listening(handle) as port:
            with pytest.raises(peer.kind, match=peer.text) as caught:
                _open(f"127.0.0.1:{port}", options=peer.options, scheme=peer.scheme)
            assert f"127.0.0.1:{port}" in str(caught.value)
            until(lambda: not clients, "the client has not left")


class listening:  # noqa: N801 - reads as a verb
    """Listen on a port with *handle* for each connection."""

    def __init__(self, handle: Handler) -> None:
        self._server = StreamServer(("127.0.0.1", 0), handle)

    def __enter__(self) -> int:
        self._server.start()
        return int(self._server.address[1])

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class TestArguments:
    """Refused before anything is sent."""

    @pytest.mark.parametrize(
        ("method", "arguments", "keywords", "kind", "message"),
        [
            ("get", ("",), {}, E.EmptyKeyError, "empty"),
            ("get", ("k" * 251,), {}, E.KeyTooLongError, "251"),
            ("get", ("ü" * 126,), {}, E.KeyTooLongError, "252"),
            ("upsert", ("k", object()), {}, E.ValueFormatError, "JSON"),
            ("upsert", ("k", {1, 2}), {}, E.ValueFormatError, "JSON"),
            ("upsert", ("k", float("nan")), {}, E.ValueFormatError, "(?i)nan|JSON"),
            ("upsert", ("k", "text"), {"format": FMT_BYTES}, E.ValueFormatError, "bytes"),
            ("upsert", ("k", b"\xff"), {"format": FMT_UTF8}, E.ValueFormatError, "UTF"),
            ("upsert", ("k", 1), {"ttl": -1}, E.InvalidTtlError, "-1"),
            ("upsert", ("k", 1), {"ttl": 2**32}, E.InvalidTtlError, "4294967296"),
            ("touch", ("k",), {"ttl": 1.5}, E.InvalidTtlError, "1.5"),
            ("upsert", ("k", 1), {"cas": -1}, E.InvalidCasError, "-1"),
            ("remove", ("k",), {"cas": 2**64}, E.InvalidCasError, str(2**64)),
            ("get", ("k",), {"timeout": 0}, E.InvalidTimeoutError, "0"),
            ("counter", ("k",), {"delta": 2**64}, E.InvalidDeltaError, str(2**64)),
            ("get_multi", ("key",), {}, E.ArgumentError, "iterable"),
            ("get_multi", ([],), {}, E.ArgumentError, "empty"),
            ("upsert_multi", (["k"],), {}, E.ArgumentError, "dict"),
        ],
    )
    def test_bad_argument(
        self,
        served: ServedCluster,
        bucket: Bucket,
        method: str,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        kind: type[E.CouchbaseError],
        message: str,
    ) -> None:
        """The class says what is wrong, its details quote it; the server hears nothing."""
        bucket.get("k", quiet=True)
        before = served.cluster.operations.copy()
        with pytest.raises(kind) as caught:
            getattr(bucket, method)(*arguments, **keywords)
        assert re.search(message, caught.value.details())
        assert bucket.get("k", quiet=True).value is None
        assert (served.cluster.operations - before).total() == 1

    def test_a_batch_with_one_bad_key_sends_nothing(
        self, served: ServedCluster, bucket: Bucket
    ) -> None:
        """All keys are checked before the first request."""
        with pytest.raises(E.KeyTooLongError):
            bucket.upsert_multi({"a": 1, "k" * 251: 2})
        assert bucket.get("a", quiet=True).value is None


def test_greenlets_of_ours_can_be_found() -> None:
    """The check above sees a greenlet of the name that connection attempts have."""
    probe: Greenlet[[], None] = gevent.spawn(lambda: gevent.sleep(5))
    probe.name = "couchbase-connect-0"
    assert _greenlets()
    probe.kill()


def test_unanswered_connect() -> None:
    """A node that neither accepts nor refuses is given up after config_node_timeout."""
    with unanswering() as port, pytest.raises(E.NodeTimeoutError, match="did not accept") as caught:
        _open(f"127.0.0.1:{port}", options=OPTIONS)
    assert f"127.0.0.1:{port}" in str(caught.value)


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
