"""The usual answer of a service: what is read without h11 is read as h11 reads it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.exceptions import CouchbaseError
from couchloop.http.connection import HttpConnection
from couchloop.http.service import FORM, Service, ServiceRequest
from couchloop.http.usual import CHUNKED, usual_head
from couchloop.settings.values import Address, Login

HOST = Address("127.0.0.1", 8093)
LOGIN = Login("user", "password")
GET = ServiceRequest(Service.QUERY, "GET", "/a")
USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Seen = tuple[bytes, int, dict[str, str], bool, bool, type[CouchbaseError] | None]
"""Body, status, headers, whether it is answered, whether reusable, and the error."""


def seen_by(made: HttpConnection, parts: list[bytes]) -> Seen:
    """Have the parts of an answer come; return what is seen of it."""
    pieces: list[bytes] = []
    fault: type[CouchbaseError] | None = None
    try:
        for part in parts:
            made.receive_data(part, pieces)
    except CouchbaseError as error:
        fault = type(error)
    reusable = made.is_reusable and fault is None
    return b"".join(pieces), made.status, made.headers, made.is_answered, reusable, fault


def usually() -> HttpConnection:
    """Return a connection whose request is under way, and usual."""
    made = HttpConnection(HOST, "me")
    made.request(GET, LOGIN)
    assert made._judge is None
    return made


def by_h11() -> HttpConnection:
    """Return the same with h11 as the judge of all of it."""
    made = usually()
    made._judge_from(b"")
    return made


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    """Return *text* in parts, none of them empty."""
    ends = sorted({each % len(text) for each in cuts} - {0}) if text else []
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


LINES = st.sampled_from(
    [
        b"Content-Length: 5\r\n",
        b"content-length:5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 5 \r\n",
        b"Content-Length: 0005\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: Chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding:\tchunked\r\n",
        b"transfer-encoding: chunked\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        b"Date:  x  y \r\n",
        b"Empty:\r\n",
        b" folded\r\n",
        b"X: a\rb\r\n",
        b"X: \xff\r\n",
        b"X: a\0\r\n",
        b"X-Y_z: a\x0bb\r\n",
        b"no colon\r\n",
        b"\n",
    ]
)
FIRST = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 ok\r\n",
        b"HTTP/1.1 200 \r\n",
        b"HTTP/1.1 200\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 OK\r\n",
        b"HTTP/1.1 404 OK\r\n",
        b"HTTP/1.1 103 OK\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/2 200 OK\r\n",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=12),
    st.lists(
        st.sampled_from(
            [
                b"5\r\nabcde\r\n",
                b"a\r\n0123456789\r\n",
                b"A;x=y\r\n0123456789\r\n",
                b"05\r\nabcde\r\n",
                b"1_0\r\nabcde\r\n",
                b"0x5\r\nabcde\r\n",
                b" 5\r\nabcde\r\n",
                b"5 \r\nabcde\r\n",
                b"5\nabcde\r\n",
                b"5\r\nabcdeXX",
                b"5\r\nabcde\n",
                b"5\r\nabcde\rX",
                b"fffffffff\r\nabc",
                b"000000000000000000000005\r\nabcde\r\n",
                b"-1\r\n",
                b"\r\n",
                b"0\r\n\r\n",
                b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
                b"0\r\nTrailer: 1\r\n\r\n",
                b"00\r\n\r\n",
                b"0;a\r\n\r\n",
                b"0\r\nX",
                b"0\n\n",
            ]
        ),
        max_size=6,
    ).map(b"".join),
)
ANSWERS = st.one_of(
    st.tuples(
        st.sampled_from(
            [USUAL + b"Content-Length: 5\r\n\r\n", USUAL + b"Transfer-Encoding: chunked\r\n\r\n"]
        ),
        BODIES,
    ),
    st.tuples(
        st.tuples(FIRST, st.lists(LINES, max_size=4).map(b"".join)).map(
            lambda both: both[0] + both[1] + b"\r\n"
        ),
        BODIES,
    ),
).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(ANSWERS, CUTS, st.booleans())
@example(USUAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", [1], False)
@example(USUAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX", [], False)
@example(USUAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r", [], True)
@example(USUAL + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [], False)
def test_as_h11(text: bytes, cuts: list[int], closes: bool) -> None:
    """Any head, any body, however they are cut: what is usual is read as h11 reads it."""
    parts = cut(text, cuts) + [b""] * closes
    assert seen_by(usually(), parts) == seen_by(by_h11(), parts)


@given(st.binary(max_size=60), CUTS)
def test_as_h11_in_any_chunk(data: bytes, cuts: list[int]) -> None:
    """Whatever comes where a chunk, or the end of one, should."""
    text = USUAL + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc" + data
    parts = cut(text, cuts)
    assert seen_by(usually(), parts) == seen_by(by_h11(), parts)


@given(ANSWERS, ANSWERS)
def test_next_as_h11(first: bytes, second: bytes) -> None:
    """A head that is known from the answer before is taken for nothing else."""
    one, other = usually(), by_h11()
    if not seen_by(one, [first])[4]:
        return
    one.request(GET, LOGIN)
    assert seen_by(one, [second]) == seen_by(other, [second])


TEXTS = st.one_of(
    st.sampled_from(["", "a", "a b", " a", "a\r\nb", "é", "a\0", "x" * 40]), st.text()
)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "CONNECT", "G T", ""]),
    path=st.one_of(st.sampled_from(["/", "/a%20b?c=d#", "*"]), TEXTS),
    body=st.sampled_from([b"", b"a=b"]),
    kind=st.one_of(st.sampled_from(["", FORM]), TEXTS),
    header=st.tuples(
        st.one_of(st.sampled_from(["X-Own", "Connection", "upgrade", "Expect", "HOST"]), TEXTS),
        TEXTS,
    ),
    login=st.sampled_from([LOGIN, None]),
)
def test_request_as_h11(
    method: str, path: str, body: bytes, kind: str, header: tuple[str, str], login: Login | None
) -> None:
    """A request has the bytes that h11 writes, or h11 writes it."""
    asked = ServiceRequest(Service.QUERY, method, path, body, kind, headers=(header,))
    made = HttpConnection(HOST, "me")
    try:
        written = made.request(asked, login)
    except CouchbaseError:
        assert made._judge is not None
        return
    head, _, rest = written.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    said = first.removesuffix(b" HTTP/1.1").split(b" ")
    headers = [(name, value[1:]) for name, _, value in (each.partition(b":") for each in lines)]
    http = h11.Connection(h11.CLIENT)
    event = h11.Request(method=said[0], target=said[1], headers=headers)
    assert http.send(event) == head + b"\r\n\r\n"
    assert (rest, said) == (body, [method.encode(), path.encode()])
    if method in {"HEAD", "CONNECT"}:
        assert made._judge is not None


@pytest.mark.parametrize("name", ["Connection", "Upgrade", "Expect"])
def test_what_changes_the_connection(name: str) -> None:
    """A request that asks for another kind of connection is h11's from the beginning."""
    made = HttpConnection(HOST, "me")
    made.request(ServiceRequest(Service.QUERY, "GET", "/", headers=((name, "close"),)), LOGIN)
    assert made._judge is not None


def test_head() -> None:
    """What services send is usual: nothing of it is h11's."""
    head = usual_head(USUAL + b"Content-Length: 12\r\n\r\nrest")
    assert head is not None
    assert (head.length, head.text[-4:]) == (12, b"\r\n\r\n")
    assert head.headers == {"content-type": "application/json", "content-length": "12"}
    head = usual_head(USUAL + b"Transfer-Encoding: chunked\r\n\r\n")
    assert head is not None
    assert head.length == CHUNKED


def test_usual_answers_are_not_judged() -> None:
    """One usual answer after the other is read without h11."""
    made = usually()
    for text in (
        USUAL + b"Content-Length: 5\r\n\r\nabcde",
        USUAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        USUAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ):
        body, status, _, answered, reusable, fault = seen_by(made, [text])
        assert (body, status, answered, reusable, fault) == (b"abcde", 200, True, True, None)
        assert made._judge is None
        made.request(GET, LOGIN)


def test_login_is_not_lying_about() -> None:
    """What is kept for the next request does not show the login; another login is another head."""
    made = usually()
    assert LOGIN.basic() not in repr(vars(made))
    other = Login("user", "another")
    assert other.basic().encode() in made.request(GET, other)
    assert b"Authorization" not in made.request(GET, None)
