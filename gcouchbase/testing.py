"""An embedded Couchbase cluster on a gevent hub, for tests of applications.

With plain pytest, nothing else is needed:

    @pytest.fixture
    def cluster():
        with serve() as served:
            cluster = Cluster(served.connection_string)
            cluster.authenticate(PasswordAuthenticator("user", "password"))
            yield cluster


    def test_greeting_is_kept(cluster):
        bucket = cluster.open_bucket("default")
        bucket.upsert("greeting", {"text": "hello"})
        assert bucket.get("greeting").value == {"text": "hello"}

`MemoryCluster` does the same without opening a port:

    with MemoryCluster() as memory:
        cluster = Cluster(memory.connection_string, socket_factory=memory.socket_factory)

`served.cluster` is the other side: ask it for its connections, stop and restart its nodes, inject
errors and delays (`couchloop.embedded.EmbeddedCluster`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from errno import ECONNREFUSED
from ssl import CERT_OPTIONAL, PROTOCOL_TLS_SERVER
from typing import Any, Final, Self

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool
from gevent.queue import Queue
from gevent.server import StreamServer
from gevent.ssl import SSLContext, SSLSocket
from greenlet import greenlet

from couchloop.embedded import EmbeddedCluster, Node
from couchloop.embedded.hosting import (
    FirstPort,
    Hosting,
    MemoryHosting,
    Outside,
    Peer,
    ServerCertificate,
    is_tls,
    ports_of,
)
from couchloop.settings.values import Address
from gcouchbase.internals import TICK, NoTimer, plain_socket

__all__ = ["MemoryCluster", "ServedCluster", "ServerCertificate", "SystemClock", "serve"]

_CHUNK: Final = 65536
_GRACE: Final = 2.0
"""Seconds that a client has to take what is still to be written when the cluster stops."""


class SystemClock:
    """The system's time, as an embedded cluster wants it."""

    @staticmethod
    def now() -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    @staticmethod
    def wall() -> float:
        """Return seconds since the epoch."""
        return time.time()


class _GeventPeer(Peer):
    """Reads in the greenlet that accepted; a second one writes, so that nobody else blocks."""

    def __init__(
        self,
        sock: gsocket.socket,
        node: Node,
        service: str,
        peer: str,
        client_user: str | None,
    ) -> None:
        self._sock = sock
        self._queue: Queue[bytes | None] = Queue()
        self._hub = gevent.get_hub()
        self._timer: Any = NoTimer()
        super().__init__(node, service, peer, client_user)

    def run(self) -> None:
        writer = gevent.spawn(self._write_all)
        try:
            self.flush()
            while not self.connection.closed:
                data = self._sock.recv(_CHUNK)
                if not data:
                    break
                self.received(data)
        except OSError:
            # The client is gone: that is its right.
            pass
        finally:
            self._timer.stop()
            self._timer.close()
            self.connection.wakeup = None
            self.connection.connection_lost()
            self._queue.put(None)
            try:
                writer.join()
            finally:
                writer.kill(block=False)
                self._sock.close()

    def _write_all(self) -> None:
        try:
            for data in self._queue:
                if data is None:
                    break
                self._sock.sendall(data)
            # Not the method of TLS sockets, which would take the session from whoever reads.
            gsocket.socket.shutdown(self._sock, gsocket.SHUT_RDWR)
        except OSError:
            pass

    def wakeup(self) -> None:
        self._hub.loop.run_callback(self._flush_if_open)

    def _flush_if_open(self) -> None:
        # The connection may have ended since; its timer has too, then.
        if self.connection.wakeup is not None:
            self.flush()

    def write(self, data: bytes) -> None:
        self._queue.put(data)

    def finish(self) -> None:
        self._queue.put(None)

    def arm(self, delay: float | None) -> None:
        self._timer.stop()
        if delay is not None:
            self._timer.close()
            self._timer = self._hub.loop.timer(max(TICK, delay))
            self._timer.start(self.timer_fired)


class _AcceptedTls(SSLSocket):
    """What a client may have reset before TLS begins.

    gevent takes the descriptor and raises then, and nobody closes it, nor its watchers.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        try:
            super().__init__(*arguments, **keywords)
        except OSError:
            self.close()
            raise


def _context(tls: ServerCertificate) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.sslsocket_class = _AcceptedTls
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        # Clients may log in by password as well.
        context.verify_mode = CERT_OPTIONAL
    return context


def _common_name(certificate: Any) -> str | None:
    subject = (certificate or {}).get("subject", ())
    return next((value for ((name, value),) in subject if name == "commonName"), None)


def _bind(host: str, port: int) -> Any:
    # A StreamServer that is given the address leaves the socket open where the port is taken; and
    # of a socket of gevent's it takes the plain one out, and forgets the watchers.
    bound = plain_socket(gsocket.AF_INET6 if ":" in host else gsocket.AF_INET)
    try:
        bound.setblocking(False)
        bound.setsockopt(gsocket.SOL_SOCKET, gsocket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _listen(host: str, port: int) -> Any:
    listener = _bind(host, port)
    try:
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


class _Reserved:
    """A port that is bound, by a socket that does not listen."""

    def __init__(self, host: str) -> None:
        self._bound = _bind(host, 0)
        self.port: int = self._bound.getsockname()[1]

    def close(self) -> None:
        self._bound.close()


class _GeventListener:
    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self.port: int = server.socket.getsockname()[1]

    def close(self) -> None:
        self._server.close()


class _OnHub(Hosting):
    """What ends in order: each connection has a greenlet."""

    _greenlets: Pool

    def stop(self) -> None:
        """Close every connection; returns when that is done.

        Clients that do not read have two seconds, then their connections are cut.
        """
        self.shut_down()
        self._end_handshakes()
        if not self._greenlets.join(timeout=_GRACE):
            self._greenlets.kill()

    def _end_handshakes(self) -> None:
        """End what no client can be told of."""

    def __enter__(self) -> Self:
        """Return the cluster: it can be connected to."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


class ServedCluster(_OnHub):
    """An embedded cluster that listens on this thread's hub.

    Attributes:
        cluster: the `EmbeddedCluster`: ask it for connections, stop its nodes, inject faults.
        connection_string: what clients are to be given.

    """

    def __init__(
        self,
        cluster: EmbeddedCluster,
        host: str,
        first_port: FirstPort,
        tls: ServerCertificate | None,
        alternates: Mapping[str, Outside] | None,
        services: Iterable[str] | None,
    ) -> None:
        self._greenlets = Pool()
        self._in_handshake: set[greenlet] = set()
        self._context = None if tls is None else _context(tls)
        super().__init__(cluster, host, first_port, ports_of(services, tls), alternates)

    def reserve(self) -> _Reserved:
        """See `Hosting`."""
        return _Reserved(self.host)

    def listen(self, node: Node, service: str, port: int) -> _GeventListener:
        """See `Hosting`."""

        def handle(sock: gsocket.socket, address: tuple[str, int]) -> None:
            client_user = None
            try:
                # As a real server: else an answer behind another waits until that is acknowledged.
                sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
                if is_tls(service):
                    sock, client_user = self._shake_hands(sock)
            except OSError:
                # The client is gone, does not trust us, or speaks no TLS: that is its right.
                return
            peer = f"{address[0]}:{address[1]}"
            _GeventPeer(sock, node, service, peer, client_user).run()

        server = StreamServer(_listen(self.host, port), handle, spawn=self._greenlets)
        server.start()
        return _GeventListener(server)

    def _shake_hands(self, accepted: gsocket.socket) -> tuple[SSLSocket, str | None]:
        """Return the connection once TLS is there, and whose certificate the client has shown.

        Raises OSError where it does not come to that; then, or killed, the connection is closed.
        """
        assert self._context is not None
        sock = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        current = gevent.getcurrent()
        self._in_handshake.add(current)
        try:
            sock.do_handshake()
            return sock, _common_name(sock.getpeercert())
        except BaseException:
            sock.close()
            raise
        finally:
            self._in_handshake.discard(current)

    def _end_handshakes(self) -> None:
        gevent.killall(list(self._in_handshake))


class MemoryCluster(_OnHub, MemoryHosting):
    """An embedded cluster that Buckets reach without ports: through pairs of sockets.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
            One of your own wants `clock=SystemClock()`, where its time matters.

    Attributes:
        cluster: the `EmbeddedCluster`: ask it for connections, stop its nodes, inject faults.
        connection_string: what clients are to be given, together with `socket_factory`.

    """

    def __init__(self, cluster: EmbeddedCluster | None = None) -> None:
        self._greenlets = Pool()
        super().__init__(cluster, SystemClock())

    def socket_factory(self, address: Address) -> gsocket.socket:
        """Return a socket that leads to the node at *address*; hand this method to a Cluster.

        Raises ConnectionRefusedError if no node listens there.
        """
        # By whatever name the host is called.
        where = next((w for at, w in self.listening.items() if at.port == address.port), None)
        if where is None:
            raise ConnectionRefusedError(ECONNREFUSED, os.strerror(ECONNREFUSED))
        ours, theirs = gsocket.socketpair()
        node, service = where
        peer = _GeventPeer(ours, node, service, f"memory:{self.cluster.accepted + 1}", None)
        self._greenlets.spawn(peer.run)
        return theirs


def serve(
    cluster: EmbeddedCluster | None = None,
    *,
    host: str = "127.0.0.1",
    first_port: FirstPort = 0,
    tls: ServerCertificate | None = None,
    alternates: Mapping[str, Outside] | None = None,
    services: Iterable[str] | None = None,
) -> ServedCluster:
    """Serve an embedded cluster on this thread's hub.

    Args:
        cluster: None: three nodes, one bucket `default`, one user `user` with password `password`.
        host: the address to listen on.
        first_port: the first node's data port, or {service: port} for `kv`, `mgmt`, `n1ql`, … and
            `kvSSL`, `mgmtSSL`, …; the other nodes' follow. 0, or not named: whatever is free.
        tls: listen for TLS too, with this certificate; `connection_string_tls` leads there.
        alternates: other networks that lead to the nodes, by name, as `external`: each a function
            that gives, for a port that a node listens on, the address there. They are listed in
            configurations; forwarding the connections is up to you.
        services: what nodes run, as configurations name it: `kv`, and of `mgmt`, `capi` (views),
            `n1ql`, `fts`, `cbas` and `eventingAdminPort` what is wanted. None: all.

    Raises ValueError for a service that there is not, OSError (of which ssl.SSLError is one) if a
    port is taken or a certificate is of no use.
    """
    if cluster is None:
        cluster = EmbeddedCluster(clock=SystemClock())
    return ServedCluster(cluster, host, first_port, tls, alternates, services)
