"""Results with rows, from whichever service: what they are for a consumer, on either loop."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest

from couchloop.exceptions import (
    AlreadyQueriedError,
    BrokenAnswerError,
    N1QLError,
    WrongLoopError,
)
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_hostile_services import Asking, asking
from tests.webserver import Asked

ROWS: list[Any] = [{"a": 1}, 2, None, "x", [3]]


def answer(rows: list[Any], **members: Any) -> bytes:
    """Return an answer of the query service."""
    return json.dumps({"requestID": "r", "results": rows, "status": "success", **members}).encode()


def fine(asked: Asked) -> None:
    """Answer with some rows."""
    asked.answer(answer(ROWS, metrics={"resultCount": 5}))


def failing(asked: Asked) -> None:
    """Answer with some rows, and then say what has failed."""
    errors = [{"code": 5010, "msg": "division by zero"}, {"code": 1, "msg": "another"}]
    asked.answer(answer([1, 2], status="errors", errors=errors))


def endless(asked: Asked) -> None:
    """Send rows for as long as there is somebody."""
    asked.begin()
    asked.chunk(b'{"results":[0')
    while True:
        asked.chunk(b"," + b",".join(b"%d" % number for number in range(1000)))


def taker(loop: Loop, request: Any) -> Callable[[], Any]:
    """Return what gives the next row of a request."""
    if hasattr(request, "next"):
        return lambda: loop.wait(request.next())
    rows = iter(request)
    return lambda: next(rows)


@pytest.fixture
def there(loop: Loop) -> Iterator[Asking]:
    """Serve what answers with some rows."""
    with asking(loop, fine) as there:
        yield there


def test_nothing_is_sent_before(loop: Loop, there: Asking) -> None:
    """A request is sent by who takes its rows; they are given once, and what is beside them."""
    request = there.cluster.query("SELECT 1")
    assert repr(request).endswith("'query': 0 rows, not sent>")
    assert not there.server.asked
    assert loop.take(request) == ROWS
    assert (request.meta["requestID"], request.metrics) == ("r", {"resultCount": 5})
    assert (request.errors, request.done, request.closed) == ([], 5, True)
    assert repr(request).endswith("5 rows, complete>")
    with pytest.raises(AlreadyQueriedError, match="ask again"):
        loop.take(request)


def test_rows_before_an_error(loop: Loop) -> None:
    """What came before an error is given; then the first error is raised, and all are kept."""
    with asking(loop, failing) as there:
        request = there.cluster.query("SELECT 1")
        take = taker(loop, request)
        assert [take(), take()] == [1, 2]
        with pytest.raises(N1QLError) as raised:
            take()
        assert raised.value.code == 5010
        assert [each["code"] for each in raised.value.errors] == [5010, 1]
        assert [each["code"] for each in request.errors] == [5010, 1]
        raised.value.__traceback__ = None


def test_single_result(loop: Loop, there: Asking) -> None:
    """One row is wanted: the first is given, or None."""
    assert loop.wait(there.cluster.query("SELECT 1").get_single_result()) == {"a": 1}
    with asking(loop, lambda asked: asked.answer(answer([]))) as empty:
        assert loop.wait(empty.cluster.query("SELECT 1").get_single_result()) is None


def test_execute(loop: Loop, there: Asking) -> None:
    """What has no rows of interest is run to its end."""
    request = there.cluster.query("DELETE")
    assert loop.wait(request.execute()) is request
    assert request.done == 5


def test_closed_early(loop: Loop) -> None:
    """Who stops closes the connection, which the service notices."""
    with asking(loop, endless) as there:
        request = there.cluster.query("SELECT 1")
        taker(loop, request)()
        request.close()
        loop.until(lambda: not there.server.open, "the service was not told")
        assert request.closed
        request.close()


def test_forgotten(loop: Loop) -> None:
    """Who forgets a request closes the connection."""
    with asking(loop, endless) as there:
        request = there.cluster.query("SELECT 1")
        taker(loop, request)()
        gone = ref(request)
        del request
        gc.collect()
        assert gone() is None
        loop.until(lambda: not there.server.open, "the service was not told")


def test_slow_consumer(loop: Loop) -> None:
    """As long as rows are not taken nothing is read."""
    with asking(loop, endless) as there:
        request = there.cluster.query("SELECT 1")
        take = taker(loop, request)
        assert [take() for _ in range(3000)][-1] == 998
        sent = there.server.sent
        for _ in range(50):
            loop.turn()
        assert there.server.sent - sent < 4 << 20
        request.close()


def test_broken_row(loop: Loop) -> None:
    """A row that is no JSON ends it, behind the rows before; the connection is closed."""

    def broken(asked: Asked) -> None:
        asked.answer(b'{"results":[1,{"a":nothing},3],"status":"success"}')

    with asking(loop, broken) as there:
        request = there.cluster.query("SELECT 1")
        take = taker(loop, request)
        assert take() == 1
        with pytest.raises(BrokenAnswerError) as raised:
            take()
        assert raised.value.rows == 1
        raised.value.__traceback__ = None


@pytest.mark.parametrize("row", [b'"\0"', b'{"a"\0:1}', b"\0", b"[1\0]"])
def test_nul(loop: Loop, row: bytes) -> None:
    """No JSON has NUL bytes: nobody is given what somebody else reads of them."""
    body = b'{"results":[1,' + row + b'],"status":"success"}'
    with asking(loop, lambda asked: asked.answer(body)) as there:
        request = there.cluster.query("SELECT 1")
        take = taker(loop, request)
        assert take() == 1
        with pytest.raises(BrokenAnswerError) as raised:
            take()
        raised.value.__traceback__ = None


def test_threads(loop: Loop) -> None:
    """A handle for threads has the same: its thread waits, and the loop works."""
    with asking(loop, fine, failing, endless) as there:
        (seed,) = there.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            handle = bucket.threadsafe()

            def work() -> None:
                request = handle.n1ql_query("SELECT 1")
                assert list(request) == ROWS
                assert request.meta["requestID"] == "r"
                request = handle.n1ql_query("SELECT 2")
                rows = []
                with pytest.raises(N1QLError, match="division by zero"):
                    rows.extend(request)
                for row in handle.n1ql_query("SELECT 3"):
                    assert row == 0
                    break
                handle.n1ql_query("SELECT 3").close()

            loop.in_thread(work)
            with pytest.raises(WrongLoopError):
                next(iter(handle.n1ql_query("SELECT 1")))
            loop.until(lambda: there.server.open <= 1)


def refused(loop: Loop, work: Callable[[], Any]) -> bool:
    """Whether *work* is refused in a plain thread, and told what to do."""

    def refusal() -> bool:
        with pytest.raises(WrongLoopError, match=r"threadsafe\(\)"):
            work()
        return True

    return loop.in_thread(refusal)


def test_other_thread(loop: Loop, there: Asking) -> None:
    """Rows are the loop's: no other thread is given any, not even those that are there."""
    request = there.cluster.query("SELECT 1")
    take = taker(loop, request)
    assert take() == ROWS[0]
    assert len(request._stream.ready) == len(ROWS) - 1
    if loop.name == "gevent":
        assert refused(loop, lambda: iter(request))
        assert refused(loop, request.execute)
        assert refused(loop, request.get_single_result)
        # Who was given the iterator meanwhile is told so, and the rows have ended with that.
        assert refused(loop, take)
        loop.until(lambda: request.closed)
        return
    assert refused(loop, request.next)
    assert refused(loop, request.all)
    assert refused(loop, request.execute)
    assert refused(loop, lambda: aiter(request))
    assert take() == ROWS[1]
    assert refused(loop, lambda: anext(request._iterate()).__await__().send(None))
    loop.until(lambda: request.closed)


def test_threads_of_a_cluster(loop: Loop) -> None:
    """A handle of a Cluster for threads has them, too, without a Bucket."""
    with asking(loop, fine, failing, fine) as there:
        handle = there.cluster.threadsafe()

        def work() -> None:
            request = handle.query("SELECT 1", timeout=20)
            assert list(request.rows()) == ROWS
            assert request.metadata().request_id() == "r"
            with pytest.raises(N1QLError, match="division by zero"):
                handle.n1ql_query("SELECT 2").execute()
            assert handle.query("SELECT 1").get_single_result() == {"a": 1}
            assert handle.query("SELECT 1").meta["requestID"] == "r"

        loop.in_thread(work)
