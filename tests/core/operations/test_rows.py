"""Rows of a service's answer as a stream, carried out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AuthError,
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    HTTPError,
    IncompleteAnswerError,
    NotAuthorizedError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
)
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.operations.rows import RowStream
from couchloop.operations.service_call import ServiceCall
from couchloop.operations.stream import END
from tests.core.world import defaults

ASKED = ServiceRequest(Service.QUERY, "POST", "/query/service", b"{}")
WHOLE = b'{"requestID":"r","results":[1,{"a":"]"},"x"],"status":"success"}'


class Rows(RowStream[Any]):
    """Rows of a query that says by its status whether it has failed."""

    def _row(self, data: bytes) -> Any:
        return json.loads(data)

    def _finish(self, members: Mapping[str, Any]) -> None:
        if members.get("status") != "success":
            raise CouchbaseError("the query has failed")


class Hands:
    """A session that does what the test says."""

    def __init__(self) -> None:
        self.stream = Rows("query", defaults(), ASKED, QUERY_ROWS, 75.0)
        self.call: Any = None
        self.resumed = 0
        self.given_up = 0
        self.turns = 0

    # See `Performer`

    def begin(self, op: Any, now: float) -> None:
        raise AssertionError((op, now))

    def pause(self, procedure: Any, seconds: float, now: float) -> None:
        raise AssertionError((procedure, seconds, now))

    def ask(self, call: ServiceCall, now: float) -> None:
        del now
        assert self.call is None
        self.call = call

    def resume(self, call: ServiceCall, now: float) -> None:
        del now
        assert call is self.call
        self.resumed += 1

    def give_up(self, call: ServiceCall) -> None:
        assert call is self.call
        self.given_up += 1

    # The test's

    def pull(self, limit: int = 50) -> Any:
        """Give turns to one pull as long as it wants some; return it."""
        wanted: list[Any] = []
        pull = self.stream.pull()
        pull.wants_turn = wanted.append
        pull.start(0.0)
        pull.go_on(self, 0.0)
        for _ in range(limit):
            if not wanted:
                break
            wanted.clear()
            pull.go_on(self, 0.0)
        return pull

    def head(self, status: int = 200) -> None:
        """Have the head of the answer come."""
        self.stream.began(status, {"x": "y"}, "host:8093")

    def end(self, error: CouchbaseError | None = None) -> None:
        """Complete the call."""
        if error is None:
            self.call.reply = ServiceAnswer(self.stream.status, {}, b"", "host:8093")
        self.call.error = error
        batch, self.call.batch = self.call.batch, None
        batch.member_done(self.call)

    def taken(self) -> list[Any]:
        """Take all that is there."""
        found: list[Any] = []
        while True:
            pull = self.pull()
            if not pull.done:
                pull.let_go()
                return found
            item = pull.result()
            if item is END:
                return [*found, END]
            found.append(item)


def begun(status: int = 200) -> Hands:
    """Return a stream whose answer has begun."""
    hands = Hands()
    hands.pull().let_go()
    hands.head(status)
    return hands


def test_nothing_is_asked_before_a_row_is_wanted() -> None:
    """The request is sent by the first pull, and once."""
    hands = Hands()
    assert not hands.call
    for _ in range(2):
        hands.pull().let_go()
    assert (hands.call.asked, hands.call.timeout, hands.call.sink) == (ASKED, 75.0, hands.stream)


def test_what_needs_no_turn() -> None:
    """To ask is no work, nor is the end behind the last row: whoever waits has it at once."""
    hands = Hands()
    assert hands.stream.is_quick
    pull = hands.stream.pull()
    pull.wants_turn = lambda _: None
    pull.go_on(hands, 0.0)
    assert hands.call is not None
    pull.let_go()
    hands.head()
    hands.stream.piece(WHOLE)
    assert not hands.stream.is_quick
    assert [hands.pull().result() for _ in range(3)] == [1, {"a": "]"}, "x"]
    hands.end()
    assert hands.stream.is_quick
    last = hands.stream.pull()
    last.wants_turn = None
    assert last.go_on(hands, 0.0)
    assert last.result() is END


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=8))
def test_any_pieces(cuts: list[int]) -> None:
    """Whatever the pieces, the rows are the same; what stands beside them is there at the end."""
    hands = begun()
    found, begin = [], 0
    for end in [*sorted(set(cuts)), len(WHOLE)]:
        hands.stream.piece(WHOLE[begin:end])
        found += hands.taken()
        begin = end
    hands.end()
    assert [*found, *hands.taken()] == [1, {"a": "]"}, "x", END]
    assert hands.stream.is_over
    assert hands.stream.scanner.members == {"requestID": "r", "status": "success"}


def test_read_as_taken() -> None:
    """While there is anything to take nothing more is wanted; then reading goes on."""
    hands = begun()
    stream = hands.stream
    before = hands.resumed
    assert not stream.has_enough
    stream.piece(b'{"results":[1,2,')
    assert stream.has_enough
    assert hands.pull().result() == 1
    assert stream.has_enough
    assert hands.pull().result() == 2
    assert not stream.has_enough
    assert hands.resumed == before
    pull = hands.pull()
    assert (pull.done, hands.resumed) == (False, before + 1)
    # A piece without a whole row: more is read.
    stream.piece(b'{"a"')
    pull.let_go()
    hands.pull().let_go()
    assert hands.resumed > before + 1


def test_failure_at_the_end() -> None:
    """Rows may come before the service says that it has failed: they are given first."""
    hands = begun()
    hands.stream.piece(b'{"results":[1],"status":"errors"}')
    hands.end()
    assert hands.pull().result() == 1
    with pytest.raises(CouchbaseError, match="the query has failed"):
        hands.pull().result()
    assert hands.stream.is_over


def test_cut_off() -> None:
    """An answer that is cut off gives what is whole, then says that rows may be missing."""
    hands = begun()
    hands.stream.piece(b'{"results":[1,2')
    lost = ConnectionLostError("gone")
    hands.end(lost)
    assert hands.pull().result() == 1
    with pytest.raises(IncompleteAnswerError, match="among its rows") as raised:
        hands.pull().result()
    assert isinstance(raised.value.__cause__, ConnectionLostError)
    assert raised.value.context is not None
    assert (raised.value.context.operation, raised.value.context.node) == ("query", "host:8093")


def test_cut_off_in_order() -> None:
    """So does one whose JSON is not whole although HTTP says that it is."""
    hands = begun()
    hands.stream.piece(b'{"results":[1]')
    hands.end()
    assert hands.pull().result() == 1
    with pytest.raises(IncompleteAnswerError, match="whether it succeeded is unknown"):
        hands.pull().result()


@pytest.mark.parametrize("is_begun", [True, False])
def test_out_of_time(is_begun: bool) -> None:
    """Why the call has failed is raised once all rows are given."""
    hands = begun()
    if is_begun:
        hands.stream.piece(b'{"results":[1,')
    hands.end(UnambiguousTimeoutError("late"))
    if is_begun:
        assert hands.pull().result() == 1
    with pytest.raises(UnambiguousTimeoutError, match="late"):
        hands.pull().result()
    assert hands.pull().result() is END


def test_broken() -> None:
    """What is no JSON ends the stream: the rest of the answer is not read."""
    hands = begun()
    hands.stream.piece(b'{"results":[1,2}')
    assert [hands.pull().result() for _ in range(2)] == [1, 2]
    assert hands.given_up == 1, "what cannot be read to its end is read no further"
    with pytest.raises(BrokenAnswerError):
        hands.pull().result()
    assert hands.given_up == 1
    assert hands.stream.is_over


REFUSALS: dict[int, type[CouchbaseError]] = {
    401: AuthError,
    403: NotAuthorizedError,
    503: ServiceNotAvailableError,
    500: HTTPError,
    302: HTTPError,
}


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("body", [b"", b"<html>\n no  </html>", b'{"results":[1]}'])
def test_refused(status: int, body: bytes) -> None:
    """An answer with another status has no rows: it is kept, within a bound, and told."""
    hands = begun(status)
    if body:
        hands.stream.piece(body)
    for _ in range(40):
        hands.stream.piece(bytes(1 << 16))
    assert hands.taken() == []
    assert len(hands.stream._refused) == 1 << 20
    hands.end()
    with pytest.raises(REFUSALS[status], match=f"HTTP {status}") as raised:
        hands.pull().result()
    assert type(raised.value) is REFUSALS[status]
    assert hands.pull().result() is END


def test_closed() -> None:
    """A stream that is closed hands its call back, to be forgotten, and gives no more."""
    hands = begun()
    hands.stream.piece(b'{"results":[1,')
    flying, farewells = hands.stream.close()
    assert (flying, farewells) == ([hands.call], [])
    assert hands.call.batch is None
    assert not hands.stream.has_enough
    assert hands.pull().result() is END


def test_the_end_is_known_with_the_last_rows() -> None:
    """An answer that is whole ends with its last row: nothing more is waited for."""
    hands = begun()
    hands.stream.piece(WHOLE)
    hands.end()
    stream = hands.stream
    assert hands.pull().result() == 1
    assert (stream.is_read, stream.is_finished, stream.is_over) == (True, False, False)
    assert [stream.take(), stream.take()] == [{"a": "]"}, "x"]
    assert (stream.is_finished, stream.is_over, stream.rows) == (True, True, 3)


def test_a_failure_known_with_the_last_rows_comes_behind_them() -> None:
    """What the service says that has failed is raised when all rows were taken, and once."""
    hands = begun()
    hands.stream.piece(b'{"results":[1,2],"status":"errors"}')
    hands.end()
    stream = hands.stream
    assert [hands.pull().result(), stream.take()] == [1, 2]
    assert not stream.is_over
    with pytest.raises(CouchbaseError, match="has failed"):
        hands.pull().result()
    assert stream.take() is END
    assert stream.is_over


def test_only_others_that_wait_get_a_turn() -> None:
    """Who has its result with a slice asks for no turn; others that wait are told."""
    hands = begun()
    wanted: list[Any] = []
    pulls = [hands.stream.pull() for _ in range(2)]
    for pull in pulls:
        pull.wants_turn = wanted.append
        pull.start(0.0)
    hands.stream.piece(WHOLE)
    hands.end()
    wanted.clear()
    assert pulls[0].go_on(hands, 0.0) or pulls[0].go_on(hands, 0.0)
    assert set(map(id, wanted)) <= {id(pulls[0]), id(pulls[1])}
    wanted.clear()
    assert pulls[1].go_on(hands, 0.0)
    assert wanted == []
    assert [pull.result() for pull in pulls] == [1, {"a": "]"}]
