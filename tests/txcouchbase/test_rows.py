"""Rows of a service on Twisted: awaited, iterated, handed to functions and to objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from couchloop.exceptions import (
    AlreadyQueriedError,
    N1QLError,
    RowsNotReadError,
    ValueFormatError,
)
from tests.webserver import Asked, WebServer, in_chunks, rows_of
from txcouchbase.bucket import Bucket
from txcouchbase.rows import RowsHandler
from txcouchbase.testing import serve

ROWS: list[Any] = [1, None, {"a": 2}]


def fine(asked: Asked) -> None:
    """Answer with some rows."""
    document = {"requestID": "r", "results": ROWS, "status": "success", "metrics": {"x": 1}}
    asked.answer(json.dumps(document).encode())


def failing(asked: Asked) -> None:
    """Answer with a row, and then say what has failed."""
    errors = [{"code": 5010, "msg": "no"}]
    document = {"results": [1], "errors": errors, "status": "errors"}
    asked.answer(json.dumps(document).encode())


def many(asked: Asked) -> None:
    """Answer with more rows than a piece has."""
    in_chunks(rows_of(2000))(asked)


class There:
    """A Bucket, and the server in place of its query service."""

    def __init__(self, bucket: Bucket, server: WebServer) -> None:
        self.bucket = bucket
        self.server = server


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[There]:
    """Serve a script (the parameter) in place of the query service."""
    served = serve()
    server = WebServer((getattr(request, "param", fine),), None)
    (node, *others) = served.cluster.nodes
    for each in (node, *others):
        each.ports["n1ql"] = server.port
    served.cluster.changed()
    bucket = Bucket(f"{served.connection_string}/default", username="user", password="password")
    yield There(bucket, server)
    pytest_twisted.blockon(bucket.close())
    server.stop()
    pytest_twisted.blockon(served.stop())


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_awaited(there: There) -> None:
    """`await` gives all rows; once."""
    request = there.bucket.n1ql_query("SELECT 1")
    with pytest.raises(RowsNotReadError, match="after the last"):
        _ = request.meta
    with pytest.raises(RuntimeError):
        _ = request.metrics
    assert await request == ROWS
    assert (request.meta["requestID"], request.metrics) == ("r", {"x": 1})
    with pytest.raises(AlreadyQueriedError):
        await request
    assert await there.bucket.n1ql_query("SELECT 1").all() == ROWS


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_iterated(there: There) -> None:
    """`async for` gives one after the other."""
    async with there.bucket.n1ql_query("SELECT 1") as request:
        assert [row async for row in request.rows()] == ROWS


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_pulled(there: There) -> None:
    """`next` gives a Deferred; a row may be None, so the end may be called otherwise."""
    request = there.bucket.n1ql_query("SELECT 1")
    end = object()
    taken = []
    while (row := await request.next(end)) is not end:
        taken.append(row)
    assert taken == ROWS
    assert await request.next() is None


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_pulled_until_one_does_not_fit(there: There) -> None:
    """`next` does not raise what a row is: its Deferred fails, and there are no more rows then."""
    pytest.importorskip("msgspec")
    request = there.bucket.n1ql_query("SELECT 1", type=int)
    assert await request.next() == 1
    failed = request.next()
    with pytest.raises(ValueFormatError, match="the document does not fit int"):
        await failed
    await deferLater(reactor, 0)
    assert request.closed


@inlineCallbacks
def of_callbacks(bucket: Bucket) -> Any:
    """Take rows without a coroutine."""
    taken: list[Any] = []
    request = yield bucket.n1ql_query("SELECT 1").on_rows(taken.extend)
    return request, taken


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_handed(there: There) -> None:
    """`on_rows` hands over as many rows as there are; then the request is given."""
    request, taken = await of_callbacks(there.bucket)
    assert taken == ROWS
    assert request.metrics == {"x": 1}


@pytest.mark.parametrize("there", [many], indirect=True)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_backpressure(there: There) -> None:
    """While what a function has returned waits, no more rows are read."""
    waits: list[Deferred[None]] = []
    taken: list[Any] = []

    def take(rows: list[Any]) -> Deferred[None]:
        taken.extend(rows)
        waits.append(Deferred())
        return waits[-1]

    done = there.bucket.n1ql_query("SELECT 1").on_rows(take)
    while not waits:
        await deferLater(reactor, 0)
    held = len(taken)
    for _ in range(50):
        await deferLater(reactor, 0)
    assert (len(taken), len(waits)) == (held, 1)
    while not done.called:
        waits.pop().callback(None)
        while not (waits or done.called):
            await deferLater(reactor, 0)
    await done
    assert [row["number"] for row in taken] == list(range(2000))


@pytest.mark.parametrize("there", [failing], indirect=True)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_failures(there: There) -> None:
    """Rows before an error are handed over; then the Deferred fails."""
    taken: list[Any] = []
    with pytest.raises(N1QLError):
        await there.bucket.n1ql_query("SELECT 1").on_rows(taken.extend)
    assert taken == [1]
    with pytest.raises(N1QLError):
        await there.bucket.n1ql_query("SELECT 1")
    with pytest.raises(N1QLError):
        await there.bucket.n1qlQueryAll("SELECT 1")


@pytest.mark.parametrize("there", [many], indirect=True)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_function_that_raises(there: There) -> None:
    """What it raises is what the Deferred fails with; the connection is closed."""

    def take(rows: list[Any]) -> None:
        raise KeyError(len(rows))

    with pytest.raises(KeyError):
        await there.bucket.n1ql_query("SELECT 1").on_rows(take)
    while there.server.open:
        await deferLater(reactor, 0)


@pytest.mark.parametrize("there", [Asked.wait_for_end], indirect=True)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_cancelled(there: There) -> None:
    """Cancelling what waits for all rows closes the connection."""
    waiting = there.bucket.n1ql_query("SELECT 1").all()
    while not there.server.asked:
        await deferLater(reactor, 0)
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    while there.server.open:
        await deferLater(reactor, 0)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_names_of_sdk_25(there: There) -> None:
    """`n1qlQueryAll` gives rows with what stands beside them."""
    found = await there.bucket.n1qlQueryAll("SELECT 1")
    assert (list(found), len(found), found[0]) == (ROWS, 3, 1)
    assert found.meta["requestID"] == "r"
    assert found.metadata().request_id() == "r"


class Handler(RowsHandler[Any]):
    """Notes what it is told."""

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self.told: list[Any] = []
        self.done: Deferred[None] = Deferred()

    def on_rows(self, rows: Iterator[Any]) -> None:
        """See `RowsHandler`."""
        self.told += rows

    def on_error(self, error: Exception) -> None:
        """See `RowsHandler`."""
        self.told.append(type(error))

    def on_done(self) -> None:
        """See `RowsHandler`."""
        self.done.callback(None)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_handler(there: There) -> None:
    """`n1qlQueryEx` makes an object of a class of the user's, which is told of rows and the end."""
    handler = there.bucket.n1qlQueryEx(Handler, "SELECT 1")
    await handler.done
    assert handler.told == ROWS
    assert handler.meta["requestID"] == "r"


@pytest.mark.parametrize("there", [failing], indirect=True)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_handler_of_a_failure(there: There) -> None:
    """It is told of an error, and then of the end."""
    handler = there.bucket.n1qlQueryEx(Handler, "SELECT 1")
    await handler.done
    first, kind = handler.told
    assert first == 1
    assert issubclass(kind, N1QLError)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_nobody_is_authenticated(there: There) -> None:
    """What is wrong with the call is raised by it."""
    with pytest.raises(TypeError, match="a statement is a str"):
        there.bucket.n1ql_query(5)  # type: ignore[call-overload]
    assert not isinstance(there.bucket.n1ql_query("SELECT 1"), Failure)
