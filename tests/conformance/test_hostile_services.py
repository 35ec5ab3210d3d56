"""Services that misbehave, over sockets and on either loop: documented errors, bounded memory."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousTimeoutError,
    AuthError,
    BrokenAnswerError,
    CouchbaseError,
    HTTPError,
    IncompleteAnswerError,
    ProtocolError,
    TimeoutError,  # noqa: A004 - 2.5's name
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import JSON, Service, ServiceRequest
from couchloop.operations.rows import RowStream
from tests import standstill
from tests.certificates import Certificates
from tests.conformance.loops import Loop, cluster_at
from tests.conformance.test_cycles import done, nothing_left
from tests.webserver import Asked, Script, WebServer, in_chunks, rows_of, web_server

SHORT = 0.3
"""Seconds for what never ends."""
PAGE = b"<html><body>Bad gateway</body></html>"


class Asking:
    """A Cluster whose query service is a server of the test's."""

    def __init__(self, loop: Loop, text: str, server: WebServer) -> None:
        self.loop = loop
        self.server = server
        self.cluster = cluster_at(loop, text)
        self.services = self.cluster._ask_services()
        self.driver = self.services._driver

    @property
    def connections(self) -> int:
        """How many connections to services the client has."""
        return len(self.driver.session.services.pools.by_id)

    def get(self, path: str = "/", **keywords: Any) -> Any:
        """Ask for a path."""
        return self.loop.wait(self.cluster.http_request(path, service="query", **keywords))

    def post(self, **keywords: Any) -> Any:
        """Send what may not be repeated."""
        return self.get(method="POST", content="{}", **keywords)

    def error(self, call: Callable[..., Any], **keywords: Any) -> CouchbaseError:
        """Return why that fails, without its frames."""
        with pytest.raises(CouchbaseError) as raised:
            call(**keywords)
        return raised.value.with_traceback(None)

    def rows(self, timeout: float = 20.0) -> Any:
        """Return a stream of a query's rows."""
        asked = ServiceRequest(Service.QUERY, "POST", "/query/service", b"{}", JSON)
        stream = Rows("query", self.services._defaults, asked, QUERY_ROWS, timeout)
        package = type(self.cluster).__module__.partition(".")[0]
        module = import_module(f"{package}.stream")
        return module.ResultStream(self.cluster, stream, self.services)


class Rows(RowStream[Any]):
    """Rows of a query."""

    def _row(self, data: bytes) -> Any:
        return json.loads(data)


@contextmanager
def asking(
    loop: Loop, *scripts: Script, tls: Certificates | None = None, key: str = "n1ql"
) -> Iterator[Asking]:
    """Serve a cluster of one node, and the scripts in place of its query service, or another."""
    embedded = loop.embedded(nodes=0)
    embedded.add_node()
    certificate, context = None, None
    if tls is not None:
        certificate, key = tls.server(), f"{key}SSL"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate)
    with (
        loop.serving(embedded, tls=certificate) as served,
        web_server(*scripts, context=context) as server,
    ):
        (node,) = served.cluster.nodes
        real, node.ports[key] = node.ports[key], server.port
        served.cluster.changed()
        text = served.connection_string
        if tls is not None:
            text = f"{served.connection_string_tls}?certpath={tls.ca}"
        there = Asking(loop, text, server)
        try:
            yield there
        finally:
            node.ports[key] = real
            there.driver.close()
            loop.until(lambda: not server.open, "a connection to the service was left")
            loop.until(lambda: not node.connections, "a data connection was left")


def fine(asked: Asked) -> None:
    """Answer as it should be."""
    asked.answer(b"{}")


def test_connection_is_used_again(loop: Loop) -> None:
    """One connection serves one request after the other; each has the login."""
    with asking(loop, fine) as there:
        for _ in range(3):
            there.get()
        assert there.server.accepted == 1
        assert {each.header("authorization")[:6] for each in there.server.asked} == {"Basic "}
        assert there.server.asked[0].header("host") == f"127.0.0.1:{there.server.port}"


def test_idle_connection_is_closed(loop: Loop) -> None:
    """A connection is not kept for longer than servers keep it."""
    with asking(loop, fine) as there:
        there.get()
        loop.until(lambda: not there.server.open)
        there.get()
        assert there.server.accepted == 2


def test_bytes_on_an_idle_connection(loop: Loop) -> None:
    """What comes unasked makes a connection useless: no answer is taken from it."""

    def twice(asked: Asked) -> None:
        asked.answer(b'"first"')
        asked.answer(b'"unasked"')

    with asking(loop, twice, fine) as there:
        assert there.get().value == "first"
        loop.until(lambda: not there.server.open)
        assert there.get().value == {}
        assert there.server.accepted == 2


def test_closed_when_idle(loop: Loop) -> None:
    """A connection that the service closes between two requests is not used."""

    def once(asked: Asked) -> None:
        asked.answer(b"1")
        asked.close()

    with asking(loop, once, once) as there:
        there.get()
        loop.until(lambda: not there.connections)
        assert there.post().value == 1


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_body_without_length(loop: Loop, tmp_path: Path, is_tls: bool, version: bytes) -> None:
    """A body whose length is not said ends with the connection: that is no failure."""

    def rows(asked: Asked) -> None:
        asked.send(b'HTTP/%b 200 OK\r\n\r\n{"results":[1,' % version)
        asked.send(b'2],"status":"success"}')
        asked.finish()

    with asking(loop, rows, tls=Certificates(tmp_path) if is_tls else None) as there:
        assert there.get().value["results"] == [1, 2]
        assert there.post().value["results"] == [1, 2]
        assert list(loop.take(there.rows())) == [1, 2]


def test_body_without_length_cut_off(loop: Loop, tmp_path: Path) -> None:
    """With TLS that end is said: where it is not, somebody else may have cut the body off."""

    def rows(asked: Asked) -> None:
        asked.send(b'HTTP/1.1 200 OK\r\n\r\n{"results":[1')
        asked.close()

    with asking(loop, rows, tls=Certificates(tmp_path)) as there:
        assert isinstance(there.error(there.post), AmbiguousConnectionLostError)


@pytest.mark.parametrize("is_get", [True, False])
def test_slow_body(loop: Loop, is_get: bool) -> None:
    """A body that comes byte by byte is read until time is up; what it did may be unknown."""
    gone = threading.Event()

    def trickle(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not gone.wait(0.005):
                asked.send(b" ")
        finally:
            gone.set()

    with asking(loop, trickle) as there:
        error = there.error(there.get if is_get else there.post, timeout=SHORT)
        assert type(error) is (UnambiguousTimeoutError if is_get else AmbiguousTimeoutError)
        assert "was not complete in time" in str(error)
        assert f"127.0.0.1:{there.server.port}" in str(error)
        loop.until(gone.is_set, "the service was not told that nobody listens")


ENDLESS: dict[str, tuple[bytes, bytes, type[CouchbaseError]]] = {
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b" " * 65536 + b"\r\n",
        ProtocolError,
    ),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536, ProtocolError),
    "head": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n", ProtocolError),
    "size of a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0" * 4096,
        ProtocolError,
    ),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", ProtocolError),
    "another protocol": (b"SSH-2.0-nothing\r\n", b"x" * 100, WrongProtocolError),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless(loop: Loop, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What never ends is given up as soon as it is too much, and the connection closes."""
    monkeypatch.setattr("couchloop.session.services.services.LONGEST_ANSWER", 1 << 20)
    first, then, wanted = ENDLESS[kind]

    def endless(asked: Asked) -> None:
        asked.send(first)
        while True:
            asked.send(then)

    with asking(loop, endless) as there:
        error = there.error(there.get)
        assert type(error) is wanted
        loop.until(lambda: not there.server.open)
        assert there.server.sent < 16 << 20


def test_silence(loop: Loop) -> None:
    """A service that says nothing: time runs out, and the text says for what."""
    with asking(loop, Asked.wait_for_end) as there:
        error = there.error(there.get, timeout=SHORT)
        assert "the query service did not answer in time" in str(error)
        assert isinstance(there.error(there.post, timeout=SHORT), AmbiguousTimeoutError)


def test_standstill(loop: Loop) -> None:
    """What has arrived while code kept the loop from reading is no reason to time out."""

    def late(asked: Asked) -> None:
        blocking.wait()
        asked.answer(b"{}")

    blocking = threading.Event()
    with asking(loop, late) as there:
        started = loop.start(
            there.cluster.http_request, "/", service="query", timeout=standstill.TIMEOUT
        )
        loop.until(lambda: there.server.asked)
        blocking.set()
        standstill.block()
        assert started.outcome().success


def test_gzip(loop: Loop) -> None:
    """An answer that is compressed, which nobody has asked for, is refused with that reason."""

    def compressed(asked: Asked) -> None:
        asked.answer(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")

    with asking(loop, compressed) as there:
        error = there.error(there.get)
        assert type(error) is ProtocolError
        assert "compressed (gzip)" in str(error)
        assert "accept-encoding" not in there.server.asked[0].head.decode().lower()
        with pytest.raises(AmbiguousConnectionLostError, match=r"compressed \(gzip\)"):
            loop.take(there.rows())


def test_redirect(loop: Loop) -> None:
    """A redirect to another host is an answer like others: nobody there hears of us."""
    with web_server(fine) as other:
        where = f"Location: http://127.0.0.1:{other.port}/"
        with asking(loop, lambda asked: asked.answer(b"", "302 Found", where)) as there:
            error = there.error(there.get)
            assert type(error) is HTTPError
            assert error.result.http_status == 302
        assert not other.accepted


@pytest.mark.parametrize("body", [b"", b"no such user", PAGE])
def test_unauthorized(loop: Loop, body: bytes) -> None:
    """401 is a refusal whatever stands in it; it is not tried again."""
    with asking(loop, lambda asked: asked.answer(body, "401 Unauthorized")) as there:
        assert type(there.error(there.get)) is AuthError
        assert len(there.server.asked) == 1
        stream = there.rows()
        with pytest.raises(AuthError):
            loop.take(stream)


def test_page_for_people(loop: Loop) -> None:
    """500 with HTML is an error with the status and the text, of requests and of streams."""
    with asking(loop, lambda asked: asked.answer(PAGE, "500 Internal Server Error")) as there:
        error = there.error(there.post)
        assert type(error) is HTTPError
        assert error.result.value == PAGE.decode()
        with pytest.raises(HTTPError, match="Bad gateway"):
            loop.take(there.rows())


def cut(asked: Asked) -> None:
    """Go away in the middle of an answer."""
    asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    asked.close()


def test_cut_off(loop: Loop) -> None:
    """An answer that is cut off: a GET is repeated, what may have happened is not."""
    with asking(loop, cut, fine, cut) as there:
        assert there.get().value == {}
        assert len(there.server.asked) == 2
        error = there.error(there.post)
        assert type(error) is AmbiguousConnectionLostError
        assert "whether the request was carried out is not known" in str(error)
        assert len(there.server.asked) == 3


def test_chunks_without_end(loop: Loop) -> None:
    """An answer in chunks whose last one is missing is cut off, even if its JSON is whole."""

    def unfinished(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[1,2],"status":"success"}')
        asked.close()

    with asking(loop, unfinished) as there:
        assert isinstance(there.error(there.post), AmbiguousConnectionLostError)


def test_rows(loop: Loop) -> None:
    """Rows come in order, whatever the chunks; what stands beside them is known at the end."""
    with asking(loop, in_chunks(rows_of(500), 700), in_chunks(rows_of(0))) as there:
        stream = there.rows()
        assert [row["number"] for row in loop.take(stream)] == list(range(500))
        assert stream._stream.scanner.members["metrics"] == {"resultCount": 500}
        assert stream.closed
        assert loop.take(there.rows()) == []
        # The connection is used again once the answer was read to its end.
        assert there.server.accepted == 1


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_slow_reader(loop: Loop, tmp_path: Path, is_tls: bool) -> None:
    """Who takes rows slowly holds the service up: of 20 MB hardly more is read than is taken."""
    count = 20_000
    tls = Certificates(tmp_path) if is_tls else None
    with asking(loop, in_chunks(rows_of(count, 1000)), tls=tls) as there:
        stream = there.rows()
        for number in range(100):
            assert loop.wait(loop.next(stream))["number"] == number
        core = stream._stream
        # The service writes no more once the buffers of both systems are full.
        before = -1
        while before != there.server.sent:
            before = there.server.sent
            for _ in range(50):
                loop.wait(there.cluster.http_request("/pools", timeout=20.0))
        assert before < 8 << 20
        assert sum(map(len, core.ready)) + sum(map(len, core._pieces)) < 1 << 17
        assert sum(1 for _ in loop.take(stream)) == count - 100
        assert there.server.sent > count * 1000


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_early_end(loop: Loop, tmp_path: Path, is_tls: bool) -> None:
    """Who stops taking rows closes the connection, so that the service stops too."""
    gone = threading.Event()
    tls = Certificates(tmp_path) if is_tls else None

    def endless(asked: Asked) -> None:
        try:
            in_chunks(rows_of(10**9))(asked)
        finally:
            gone.set()

    with asking(loop, endless, tls=tls) as there:
        stream = there.rows()
        for _ in range(10):
            loop.wait(loop.next(stream))
        stream.close()
        loop.until(gone.is_set, "the service was not told")
        # And who forgets it.
        gone.clear()
        other = there.rows()
        loop.wait(loop.next(other))
        del other
        loop.until(gone.is_set, "the service was not told")


def test_cancelled_amid(loop: Loop) -> None:
    """A call that waits for a row, and is cancelled, leaves the stream; closing it ends all."""
    gone = threading.Event()

    def half(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[{"a":1},{"a":')
        asked.wait_for_end()
        gone.set()

    with asking(loop, half) as there:
        stream = there.rows()
        assert loop.wait(loop.next(stream)) == {"a": 1}
        started = loop.start(loop.next, stream)
        loop.until(lambda: not stream._stream.ready)
        started.cancel()
        stream.close()
        loop.until(gone.is_set, "the service was not told")


def test_cancelled_request(loop: Loop) -> None:
    """A request that is cancelled closes its connection, and nothing of it is used again."""
    gone = threading.Event()

    def silent(asked: Asked) -> None:
        asked.wait_for_end()
        gone.set()

    with asking(loop, silent, fine) as there:
        started = loop.start(there.cluster.http_request, "/", service="query")
        loop.until(lambda: there.server.asked)
        started.cancel()
        loop.until(gone.is_set, "the service was not told")
        assert there.get().value == {}
        assert there.server.accepted == 2


def test_rows_are_cut_off(loop: Loop) -> None:
    """A node that goes away among the rows: those that are whole are given, then the error."""

    def gone(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[1,2,3')
        asked.close()

    with asking(loop, gone) as there:
        stream = there.rows()
        assert [loop.wait(loop.next(stream)) for _ in range(2)] == [1, 2]
        with pytest.raises(IncompleteAnswerError, match="cut off among its rows") as raised:
            loop.wait(loop.next(stream))
        assert f"127.0.0.1:{there.server.port}" in str(raised.value)


def test_rows_that_are_none(loop: Loop) -> None:
    """An answer that is no JSON amid its rows: what was whole is given, the connection closes."""

    def broken(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[1,2}')
        asked.wait_for_end()

    with asking(loop, broken) as there:
        stream = there.rows()
        assert loop.wait(loop.next(stream)) == 1
        assert loop.wait(loop.next(stream)) == 2
        with pytest.raises(BrokenAnswerError):
            loop.wait(loop.next(stream))
        loop.until(lambda: not there.server.open)


def test_rows_in_time(loop: Loop) -> None:
    """The time of a stream is the service's: it runs out while that is awaited."""

    def stuck(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[1,')
        asked.wait_for_end()

    with asking(loop, stuck) as there:
        stream = there.rows(timeout=SHORT)
        assert loop.wait(loop.next(stream)) == 1
        with pytest.raises(TimeoutError):
            loop.wait(loop.next(stream))


def test_no_circles(loop: Loop) -> None:
    """Nothing of streams that end, fail, are closed or forgotten waits for the collector."""

    def half(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"results":[1,2')
        asked.close()

    with (
        asking(loop, *[in_chunks(rows_of(100)) for _ in range(3)], half) as there,
        nothing_left(),
    ):
        assert len(loop.take(there.rows())) == 100
        for _ in range(2):
            stream = there.rows()
            loop.wait(loop.next(stream))
            stream.close()
        for _ in range(2):
            stream = there.rows()
            loop.wait(loop.next(stream))
            done(loop, partial(loop.next, stream))
        del stream
        loop.until(lambda: not there.connections)
