"""One HTTP/1.1 connection, used for one request after the other."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    ProtocolError,
    WrongProtocolError,
)
from couchloop.http.connection import HttpConnection
from couchloop.http.service import FORM, Service, ServiceRequest
from couchloop.settings.values import Address, Login
from tests.core.http.answers import answer, frames_behind

HOST = Address("::1", 8093)
LOGIN = Login("us:er", "pässword")
GET = ServiceRequest(Service.QUERY, "GET", "/a%20b?c=d")
POST = ServiceRequest(Service.QUERY, "POST", "/x", b"a=b", FORM, headers=(("X-Own", "1"),))


def connection(asked: ServiceRequest = GET) -> HttpConnection:
    """Return one whose request is under way."""
    made = HttpConnection(HOST, "me/1 (ü)")
    made.request(asked, LOGIN)
    return made


def fed(made: HttpConnection, data: bytes) -> list[bytes]:
    """Have bytes come; return the pieces of the body."""
    pieces: list[bytes] = []
    made.receive_data(data, pieces)
    return pieces


def lines_of(request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return the first line, the headers and the body of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_request() -> None:
    """A request names the host as it was dialled, says who asks, and how long its body is."""
    first, headers, body = lines_of(HttpConnection(HOST, "me/1 (ü)").request(POST, LOGIN))
    kind, _, pair = headers.pop("Authorization").partition(" ")
    assert (kind, b64decode(pair).decode()) == ("Basic", "us:er:pässword")
    assert (first, body) == ("POST /x HTTP/1.1", b"a=b")
    assert headers == {
        "Host": "[::1]:8093",
        "User-Agent": "me/1 (?)",
        "Content-Type": FORM,
        "Content-Length": "3",
        "X-Own": "1",
    }


def test_request_without_login_and_body() -> None:
    """Nobody is named where TLS has said who asks; what has no body says so where that matters."""
    _, headers, _ = lines_of(HttpConnection(HOST, "me").request(GET, None))
    assert headers == {"Host": "[::1]:8093", "User-Agent": "me"}
    empty = ServiceRequest(Service.QUERY, "PUT", "/")
    _, headers, _ = lines_of(HttpConnection(HOST, "me").request(empty, None))
    assert headers["Content-Length"] == "0"


@pytest.mark.parametrize("name", ["Authorization", "host", "Content-length", "Transfer-Encoding"])
def test_headers_that_are_ours(name: str) -> None:
    """A request cannot say otherwise who asks, whom, and how long it is."""
    asked = ServiceRequest(Service.QUERY, "GET", "/", headers=((name, "other"),))
    request = HttpConnection(HOST, "me").request(asked, LOGIN)
    assert b"other" not in request


@pytest.mark.parametrize(
    "asked",
    [
        ServiceRequest(Service.QUERY, "GET", "/a b"),
        ServiceRequest(Service.QUERY, "GET", "/a\r\nX: y"),
        ServiceRequest(Service.QUERY, "GET", "/ü"),
        ServiceRequest(Service.QUERY, "GE T", "/"),
        ServiceRequest(Service.QUERY, "GET", "/", headers=(("X", "a\r\nb"),)),
    ],
)
def test_what_cannot_be_asked(asked: ServiceRequest) -> None:
    """What HTTP cannot say is the caller's mistake; no frame of the error holds the login."""
    with pytest.raises(ArgumentError, match="HTTP cannot ask for this") as raised:
        HttpConnection(HOST, "me").request(asked, LOGIN)
    assert frames_behind(raised.value) == []


def test_next_request() -> None:
    """A connection whose answer was read to its end takes another request."""
    made = connection()
    for status in (200, 404, 204):
        body = b"" if status == 204 else b"text"
        assert b"".join(fed(made, answer(status, body, Name="1", name="2"))) == body
        assert (made.status, made.is_answered, made.is_reusable) == (status, True, True)
        assert made.headers["name"] == "1, 2"
        made.request(POST, LOGIN)
        assert (made.status, made.headers, made.is_answered) == (0, {}, False)


@pytest.mark.parametrize(
    "text",
    [
        answer(200, b"x", Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        answer(200, b"x") + b"y",
        answer(200, b"x") + answer(200, b"x"),
    ],
)
def test_not_used_again(text: bytes) -> None:
    """A connection that the service closes, or on which more came than was asked for, is done."""
    made = connection()
    assert fed(made, text) == [b"x"]
    assert made.is_answered
    assert not made.is_reusable


def test_until_the_end() -> None:
    """A body without a length ends with the connection."""
    made = connection()
    assert fed(made, b"HTTP/1.1 200 OK\r\n\r\na") == [b"a"]
    assert fed(made, b"b") == [b"b"]
    assert not made.is_answered
    assert fed(made, b"") == []
    assert made.is_answered
    assert not made.is_reusable


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: 1\r\n\r\n"
)


@given(st.lists(st.integers(1, len(CHUNKED) - 1), max_size=12))
def test_any_pieces(cuts: list[int]) -> None:
    """However an answer is cut, its body is the same, and is complete with the last byte."""
    made = connection()
    ends = [*sorted(set(cuts)), len(CHUNKED)]
    found, begin = b"", 0
    for end in ends:
        assert not made.is_answered
        found += b"".join(fed(made, CHUNKED[begin:end]))
        begin = end
    assert (found, made.is_answered, made.is_reusable) == (b"abcd", True, True)


@pytest.mark.parametrize("end", range(len(CHUNKED)))
def test_cut_off(end: int) -> None:
    """Wherever an answer is cut off, that is no end of it."""
    made = connection()
    if end:
        fed(made, CHUNKED[:end])
    with pytest.raises(ConnectionLostError):
        fed(made, b"")
    assert made.has_begun is bool(end)


BROKEN: dict[str, tuple[bytes, type[CouchbaseError], str]] = {
    "no HTTP": (b"SSH-2.0\r\n", WrongProtocolError, "speaks no HTTP"),
    "TLS": (b"\x15\x03\x01\x00\x02", WrongProtocolError, "couchbases://"),
    "head": (b"HTTP/1.1 200 OK\r\n" + b"x" * 40_000, ProtocolError, "no valid HTTP"),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ProtocolError, "no valid HTTP"),
    "lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ProtocolError,
        "no valid HTTP",
    ),
    "coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n", ProtocolError, "no valid HTTP"),
    "chunk": (CHUNKED[: CHUNKED.index(b"3;")] + b"zz\r\n", ProtocolError, "no valid HTTP"),
    "gzip": (answer(200, b"x", **{"Content-Encoding": "GZip"}), ProtocolError, "gzip"),
    "interim": (b"HTTP/1.1 103 Early\r\n\r\n" * 9, ProtocolError, "1xx"),
    "another protocol": (b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n", ProtocolError, ""),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken(kind: str) -> None:
    """What is no answer is an error at once, without a frame that holds the login."""
    text, wanted, said = BROKEN[kind]
    with pytest.raises(wanted) as raised:
        fed(connection(), text)
    assert said in str(raised.value)
    assert frames_behind(raised.value) == []


def test_interim_answers() -> None:
    """A few answers before the answer are passed over; not to be compressed may be said, too."""
    made = connection()
    fed(made, b"HTTP/1.1 103 Early\r\n\r\n" * 8)
    assert fed(made, answer(200, b"x", **{"Content-Encoding": "identity"})) == [b"x"]


def test_secret_is_not_repeated() -> None:
    """A peer that repeats the password has it masked in the error."""
    text = f"HTTP/1.1 200 OK\r\nContent-Encoding: {LOGIN.basic()}\r\n\r\n".encode()
    with pytest.raises(ProtocolError) as raised:
        fed(connection(), text)
    assert LOGIN.basic().lower() not in str(raised.value).lower()


def test_pieces_before_a_fault() -> None:
    """What is whole before a fault is given, though the fault comes with it."""
    pieces: list[bytes] = []
    with pytest.raises(ProtocolError):
        connection().receive_data(CHUNKED.replace(b"0\r\n", b"x\r\n"), pieces)
    assert b"".join(pieces) == b"abcd"
