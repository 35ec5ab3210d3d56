"""One view query: what is sent for it, and what its answers mean, carried out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    IncompleteAnswerError,
    InvalidNameError,
    InvalidSettingError,
    ServiceNotAvailableError,
    ValueFormatError,
    ViewEngineError,
    ViewNotFoundError,
)
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.operations.stream import END
from couchloop.views import Query, SpatialQuery, SpatialRow, ViewRow
from couchloop.views.stream import PAGE, Asked, ViewStream
from tests.core.world import defaults

ROWS: list[dict[str, Any]] = [
    {"id": f"d{number}", "key": [number, "ä"], "value": None} for number in range(3)
]
WHOLE = (
    b'{"total_rows":3,"rows":[\r\n'
    + b",\r\n".join(json.dumps(row).encode() for row in ROWS)
    + b"\r\n]\r\n}\n"
)


class Hands:
    """A session that does what the test says."""

    def __init__(self, stream: ViewStream) -> None:
        self.stream = stream
        self.now = 0.0
        self.call: Any = None
        self.asked: list[ServiceRequest] = []
        self.pauses: list[float] = []

    # See `Performer`

    def begin(self, op: Any, now: float) -> None:
        raise AssertionError((op, now))

    def pause(self, procedure: Any, seconds: float, now: float) -> None:
        """Let the pause be over at once."""
        self.pauses.append(seconds)
        self.now = now + seconds
        procedure.awake()

    def ask(self, call: Any, now: float) -> None:
        del now
        self.call = call
        self.asked.append(call.asked)

    def resume(self, call: Any, now: float) -> None:
        del call, now

    def give_up(self, call: Any) -> None:
        assert call is self.call

    # The test's

    def turns(self) -> Any:
        """Give turns to one pull as long as it wants some; return it."""
        wanted: list[Any] = []
        pull = self.stream.pull()
        pull.wants_turn = wanted.append
        pull.start(self.now)
        pull.go_on(self, self.now)
        for _ in range(50):
            if not wanted:
                break
            wanted.clear()
            pull.go_on(self, self.now)
        return pull

    def answer(
        self,
        data: bytes,
        status: int = 200,
        pieces: int = 0,
        error: CouchbaseError | None = None,
    ) -> None:
        """Give an answer, whole or in pieces of so many bytes, and complete the call."""
        self.stream.began(status, {}, "host:8092")
        size = pieces or len(data) or 1
        for begin in range(0, len(data), size):
            self.stream.piece(data[begin : begin + size])
        call = self.call
        if error is None:
            call.reply = ServiceAnswer(status, {}, b"", "host:8092")
        call.error = error
        batch, call.batch = call.batch, None
        batch.member_done(call)
        self.turns().let_go()

    def rows(self) -> list[Any]:
        """Take all rows; raise what ends them."""
        found: list[Any] = []
        while True:
            pull = self.turns()
            assert pull.done, "nothing comes any more"
            item = pull.result()
            if item is END:
                return found
            found.append(item)

    def failure(self) -> CouchbaseError:
        """Return what ends the rows."""
        with pytest.raises(CouchbaseError) as raised:
            self.rows()
        return raised.value.with_traceback(None)


def asked(query: Any = None, **members: Any) -> Hands:
    """Return a query whose request was sent."""
    known = replace(defaults(), services=ServiceDefaults("b"))
    said = Asked("d", "v", query or Query(), 75.0)._replace(**members)
    hands = Hands(ViewStream("query", known, said))
    hands.turns().let_go()
    return hands


def test_request() -> None:
    """It is a GET of the view, which may be repeated; long keys are in a POST."""
    (request,) = asked(Query(limit=1)).asked
    assert request == ServiceRequest(
        Service.VIEWS, "GET", "/b/_design/d/_view/v?limit=1", is_idempotent=True, bucket="b"
    )
    (request,) = asked(design="a/b", view="ü?").asked
    assert request.path == "/b/_design/a%2Fb/_view/%C3%BC%3F"
    (request,) = asked(SpatialQuery()).asked
    assert request.path == "/b/_design/d/_spatial/v"
    (request,) = asked(Query(keys=["k"] * 1000, stale=False)).asked
    assert (request.method, request.path) == ("POST", "/b/_design/d/_view/v?stale=false")
    assert json.loads(request.body) == {"keys": ["k"] * 1000}
    assert (request.content_type, request.is_idempotent) == ("application/json", True)
    with pytest.raises(InvalidNameError):
        ViewStream("query", defaults(), Asked("d", "v", Query(), 1.0))


@given(st.integers(1, len(WHOLE)))
def test_any_pieces(size: int) -> None:
    """Whatever the pieces, the rows are the same."""
    hands = asked()
    hands.answer(WHOLE, pieces=size)
    assert hands.rows() == [ViewRow(row["key"], None, row["id"], None) for row in ROWS]
    assert hands.stream.meta == {"total_rows": 3}
    assert hands.stream.rows == 3


def test_whole() -> None:
    """Without streaming no row is given before the answer is whole and good."""
    hands = asked(is_streamed=False)
    stream = hands.stream
    stream.began(200, {}, "host:8092")
    stream.piece(WHOLE[:-8])
    pull = hands.turns()
    assert not pull.done
    pull.let_go()
    assert (stream.rows, stream.is_finished) == (0, False)
    hands.answer(WHOLE[-8:])
    assert len(hands.rows()) == 3
    assert stream.rows == 3


def test_rows_then_errors() -> None:
    """Rows are given, then it is raised that some are missing; with streaming off at once."""
    errors = [{"from": "local", "reason": "b"}, {"from": "http://x", "reason": "a"}, "odd"]
    text = WHOLE.replace(b"]\r\n}", b'],\r\n"errors":' + json.dumps(errors).encode() + b"\r\n}")
    for members, count in (({}, 3), ({"is_streamed": False}, 0)):
        hands = asked(**members)
        hands.answer(text)
        assert len([hands.turns().result() for _ in range(count)]) == count
        with pytest.raises(ViewEngineError) as raised:
            hands.rows()
        assert raised.value.objextra == errors
        assert raised.value.context is not None
        assert raised.value.context.server_context == '"odd"; a; b'
        assert hands.stream.errors == errors
    hands = asked(Query(on_error="continue"))
    hands.answer(text)
    assert len(hands.rows()) == 3
    assert hands.stream.errors == errors


@pytest.mark.parametrize(
    "row", [b"5", b"[]", b"{}", b'{"key":1}', b'{"value":1}', b"null", b'{"key":nothing}', b"{\0}"]
)
def test_no_row(row: bytes) -> None:
    """What is no row of a view ends it; the rows before are given."""
    hands = asked()
    good = json.dumps(ROWS[0]).encode()
    hands.answer(b'{"rows":[' + good + b"," + row + b"]}")
    assert hands.turns().result().docid == "d0"
    error = hands.failure()
    assert isinstance(error, BrokenAnswerError)
    assert error.rows == 1


def test_pages() -> None:
    """Rows whose documents are wanted are taken many at once, each document's key once."""
    rows = [{"id": f"d{number // 2}", "key": number, "value": 1} for number in range(PAGE + 5)]
    hands = asked(has_documents=True)
    hands.answer(b'{"rows":' + json.dumps(rows).encode() + b"}")
    stream = hands.stream
    page = stream.page()
    assert (len(page), len(stream.page()), stream.page()) == (PAGE, 5, [])
    keys = stream.keys_of(page)
    assert keys == [f"d{number}" for number in range(PAGE // 2)]
    made = stream.with_documents(page[:3], {"d0": "zero"})
    assert made == [
        ViewRow(0, 1, "d0", "zero"),
        ViewRow(1, 1, "d0", "zero"),
        ViewRow(2, 1, "d1", None),
    ]


def test_page_of_what_is_broken() -> None:
    """A page ends before a row that is none, which is told then."""
    hands = asked(has_documents=True)
    good = json.dumps(ROWS[0]).encode()
    hands.answer(b'{"rows":[' + good + b',{"key":1}]}')
    assert len(hands.stream.page()) == 1
    with pytest.raises(BrokenAnswerError):
        hands.stream.page()


def test_own_rows() -> None:
    """Rows are made by what the caller gives; spatial ones have a geometry."""
    hands = asked(row=lambda *parts: list(parts))
    hands.answer(WHOLE)
    assert hands.rows()[0] == [[0, "ä"], None, "d0", None]
    hands = asked(SpatialQuery())
    hands.answer(b'{"rows":[{"id":"a","key":[[1,2]],"value":3,"geometry":{"type":"Point"}}]}')
    assert hands.rows() == [SpatialRow([[1, 2]], 3, {"type": "Point"}, "a", None)]


NO_VBUCKETS = b'{"error":"no_active_vbuckets","reason":"Cannot execute view query"}'


def test_repeated_elsewhere() -> None:
    """What another node may answer is asked anew, after short pauses, and not for ever."""
    hands = asked()
    hands.answer(NO_VBUCKETS, 302)
    hands.answer(b"", 503)
    hands.answer(b'{"error":"error","reason":"set_view_outdated"}', 500)
    hands.answer(b'{"total_rows":3,"ro', error=ConnectionLostError("lost"))
    hands.answer(WHOLE)
    assert len(hands.rows()) == 3
    assert len(hands.asked) == 5
    assert hands.pauses
    hands = asked()
    for _ in range(10):
        hands.answer(NO_VBUCKETS, 302)
    error = hands.failure()
    assert isinstance(error, ServiceNotAvailableError)
    assert (len(hands.asked), error.context and error.context.attempts) == (10, 10)


def test_not_repeated() -> None:
    """What would be the same again, or comes after rows, is not asked anew."""
    hands = asked()
    hands.answer(b'{"error":"not_found","reason":"{not_found,missing_named_view}"}', 404)
    assert isinstance(hands.failure(), ViewNotFoundError)
    assert len(hands.asked) == 1
    hands = asked()
    hands.answer(WHOLE[:-10], error=ConnectionLostError("lost"))
    taken = [hands.turns().result() for _ in range(2)]
    assert len(taken) == 2
    assert isinstance(hands.failure(), IncompleteAnswerError)
    assert len(hands.asked) == 1


def typed(*values: Any, **members: Any) -> Hands:
    """Return a query whose rows have these values, which are to be numbers; it was answered."""
    hands = asked(kind=int, **members)
    rows = [{"id": f"d{n}", "key": n, "value": value} for n, value in enumerate(values)]
    hands.answer(json.dumps({"rows": rows}).encode())
    return hands


def test_typed_values() -> None:
    """Values are of the type; one that is not comes behind the rows before it, and says where."""
    pytest.importorskip("msgspec")
    assert typed(1, 2).rows() == [ViewRow(0, 1, "d0", None), ViewRow(1, 2, "d1", None)]
    for is_streamed in (True, False):
        hands = typed(1, None, 3, is_streamed=is_streamed)
        assert hands.turns().result() == ViewRow(0, 1, "d0", None)
        error = hands.failure()
        assert type(error) is ValueFormatError
        assert (error.path, error.key) == ("$.value", "d1")
        assert str(error).startswith("the field value does not fit int: expected int, got null")
    with pytest.raises(InvalidSettingError):
        asked(kind=5)


def test_documents_of_a_type() -> None:
    """They are asked for by the type; one that does not fit comes behind the rows before it."""
    pytest.importorskip("msgspec")
    assert asked(has_documents=True).stream.of_documents == {"quiet": True}
    stream = typed(None, 5, 6, 7, has_documents=True).stream
    assert stream.of_documents == {"quiet": True, "type": int}
    page = stream.page()
    assert [row["value"] for row in page] == [None, 5, 6, 7]
    error = ValueFormatError("not this", key="d2")
    error.all_results = {"d0": 0, "d1": 1, "d2": None, "d3": 3}
    rows = stream.with_documents(page, stream.without(error))
    assert [(row.docid, row.doc) for row in rows] == [("d0", 0), ("d1", 1)]
    with pytest.raises(ValueFormatError, match="not this") as raised:
        stream.page()
    assert raised.value is not error
    assert stream.page() == []
    # Where it is the first, there is nothing before it.
    found = stream.without(error)
    with pytest.raises(ValueFormatError, match="not this"):
        stream.with_documents(page[2:], found)
    assert len(stream.with_documents(page, found)) == 4
