"""One HTTP/1.1 request and its answer."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    NotDataNodeError,
    ProtocolError,
    WrongProtocolError,
)
from couchloop.http.exchange import Exchange
from couchloop.settings.values import Address, Login
from tests.core.http.answers import answer, frames_behind
from tests.core.session.bootstrap.web import (
    WEB,
)

HOST = Address("::1", 8091)
LOGIN = Login("us:er", "pässword")


def exchange(login: Login = LOGIN) -> Exchange:
    """Return an exchange whose request is under way."""
    made = Exchange("/pools/default/bs/b", HOST, login, "me/1 (ü)")
    made.request()
    return made


class TestExchange:
    """One request and its answer."""

    def test_request(self) -> None:
        """The request names the host as it was dialled, and says who asks."""
        made = Exchange("/pools/default/b/b%20x", HOST, LOGIN, "me/1 (ü)")
        head, *lines = made.request().decode("ascii").split("\r\n")
        assert head == "GET /pools/default/b/b%20x HTTP/1.1"
        headers = dict(line.split(": ", 1) for line in lines if line)
        assert headers["Host"] == "[::1]:8091"
        kind, _, pair = headers["Authorization"].partition(" ")
        assert (kind, b64decode(pair).decode()) == ("Basic", "us:er:pässword")

    @given(st.text(), st.text())
    def test_any_host_and_agent(self, host: str, agent: str) -> None:
        """Whatever the host is called, and the client calls itself, it can be asked."""
        head = Exchange("/", Address(host, 8091), LOGIN, agent).request()
        assert head.endswith(b"\r\n\r\n")
        assert head.count(b"\r\n") == 6
        assert head.isascii()

    def test_what_cannot_be_asked(self) -> None:
        """What HTTP cannot say is an error of ours, without a frame that holds the login."""
        with pytest.raises(ProtocolError, match="HTTP cannot ask for this") as raised:
            Exchange("/a b\n", WEB, LOGIN, "me").request()
        assert frames_behind(raised.value) == []

    def test_certificate(self) -> None:
        """Whom a client certificate names sends no name and no password."""
        made = Exchange("/", HOST, Login("", "", by_certificate=True), "me")
        assert b"uthorization" not in made.request()

    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    def test_pieces(self, size: int) -> None:
        """An answer is understood however it is cut, with a length and in chunks."""
        chunked = (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunked += b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
        for data in (answer(body=b"abcdefg"), chunked):
            made = exchange()
            body = b""
            for begin in range(0, len(data), size):
                body += b"".join(made.receive_data(data[begin : begin + size]))
            assert body == b"abcdefg"
            assert made.done
            assert list(made.receive_data(b"more")) == []

    def test_until_the_end(self) -> None:
        """An answer without a length ends with the connection."""
        made = exchange()
        assert list(made.receive_data(b"HTTP/1.0 200 OK\r\n\r\nabc")) == [b"abc"]
        assert not made.done
        assert list(made.receive_data(b"")) == []
        assert made.done

    @pytest.mark.parametrize(
        ("status", "kind", "text"),
        [
            (401, AuthError, "us:er"),
            (403, BucketNotFoundError, "us:er"),
            (404, BucketNotFoundError, "no such bucket"),
            (301, NotDataNodeError, "301"),
            (500, NotDataNodeError, "500"),
        ],
    )
    def test_refusals(self, status: int, kind: type[CouchbaseError], text: str) -> None:
        """Each refusal has its class, and carries what the server said, but no secret."""
        made = exchange()
        with pytest.raises(kind, match=text) as raised:
            list(made.receive_data(answer(status, b"because\r\nof that\n")))
        assert type(raised.value) is kind
        assert "because of that" in str(raised.value)
        assert "pässword" not in f"{raised.value!r} {raised.value.__dict__}"

    def test_echoed_request(self) -> None:
        """A proxy that shows what it was asked does not make the error show the password."""
        made = Exchange("/x", WEB, LOGIN, "agent")
        request = made.request()
        token = request.partition(b"Basic ")[2].partition(b"\r\n")[0]
        with pytest.raises(NotDataNodeError, match="Basic ") as raised:
            list(made.receive_data(answer(502, request)))
        assert token.decode() not in f"{raised.value!r} {raised.value.__dict__}"

    def test_long_refusal(self) -> None:
        """Of a refusal without end only the beginning is read."""
        made = exchange()
        with pytest.raises(NotDataNodeError) as raised:
            list(made.receive_data(b"HTTP/1.1 500 Oh\r\n\r\n" + b"x" * 100_000))
        assert len(str(raised.value)) < 1000

    @pytest.mark.parametrize(
        ("data", "kind", "text"),
        [
            (b"\x81\x1f\0\0\0\0\0\x04" + bytes(16), WrongProtocolError, "web port"),
            (b"\x15\x03\x01\0\x02\x02\x28", WrongProtocolError, "couchbases://"),
            (b"SSH-2.0-OpenSSH_9\r\n\r\n", WrongProtocolError, "no HTTP"),
            (b"HTTP/1.1 200 OK\r\nBad\x00Header: 1\r\n\r\n", WrongProtocolError, "no HTTP"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                ProtocolError,
                "valid",
            ),
            (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000, WrongProtocolError, "no HTTP"),
        ],
    )
    def test_garbage(self, data: bytes, kind: type[CouchbaseError], text: str) -> None:
        """What is no HTTP, or a head without end, is an error that says what it may be."""
        with pytest.raises(kind, match=text) as raised:
            list(exchange().receive_data(data))
        assert frames_behind(raised.value) == []

    @pytest.mark.parametrize("cut", [0, 5, 40, 60])
    def test_cut_off(self, cut: int) -> None:
        """An answer that ends too early is an error."""
        made = exchange()
        if cut:
            list(made.receive_data(answer(body=b"abc" * 10)[:cut]))
        with pytest.raises(ProtocolError):
            list(made.receive_data(b""))
