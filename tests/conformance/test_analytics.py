"""Analytics queries over sockets, on either loop: rows, how they fail, deferred ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from couchloop.analytics import (
    AnalyticsIngester,
    AnalyticsOptions,
    AnalyticsQuery,
    AnalyticsScanConsistency,
    BucketOperator,
    BucketOperators,
    DeferredAnalyticsQuery,
)
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    ArgumentError,
    CompilationFailureError,
    CouchbaseError,
    InvalidSettingError,
    JobQueueFullError,
    KeyExistsError,
    LinkNotFoundError,
    N1QLError,
    NodeNotAvailableError,
)
from couchloop.n1ql import N1QLQuery
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_hostile_services import Asking, asking
from tests.conformance.test_rows import taker
from tests.webserver import Asked, Script, web_server

ROWS: list[Any] = [{"name": "a"}, 2, None]
LINE = "POST /analytics/service HTTP/1.1"


def answer(rows: list[Any], **members: Any) -> bytes:
    """Return an answer of the service."""
    metrics = {"elapsedTime": "1.5ms", "resultCount": len(rows), "processedObjects": 26}
    whole = {"requestID": "r", "results": rows, "status": "success", "metrics": metrics}
    return json.dumps(whole | members).encode()


def fine(asked: Asked) -> None:
    """Answer with some rows."""
    asked.answer(answer(ROWS))


def failing(code: int, status: str = "200 OK") -> Script:
    """Return what refuses a query with that code."""
    body = {"requestID": "r", "errors": [{"code": code, "msg": "why"}], "status": "fatal"}
    return lambda asked: asked.answer(json.dumps(body).encode(), status)


@contextmanager
def there(loop: Loop, *scripts: Script) -> Iterator[tuple[Asking, Any]]:
    """Serve a cluster whose analytics service answers by scripts; give a Bucket of it, too."""
    with asking(loop, *scripts, key="cbas") as found:
        (seed,) = found.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            yield found, bucket


def sent(found: Asking, number: int = -1) -> dict[str, Any]:
    """Return the body of a request."""
    body: dict[str, Any] = json.loads(found.server.asked[number].body)
    return body


def test_cluster(loop: Loop) -> None:
    """Rows come once; what stands beside them is known after them."""
    with asking(loop, fine, key="cbas") as found:
        result = found.cluster.analytics_query(
            "SELECT $1, $a",
            AnalyticsOptions(readonly=True),
            1,
            a=2,
            priority=True,
            scan_consistency=AnalyticsScanConsistency.REQUEST_PLUS,
            timeout=10,
        )
        assert not found.server.asked
        assert loop.take(result) == ROWS
        assert result.metrics["processedObjects"] == 26
        assert result.metadata().metrics().processed_objects() == 26
        (asked,) = found.server.asked
        assert asked.line == LINE
        assert asked.header("analytics-priority") == "-1"
        body = sent(found)
        assert body.pop("client_context_id") == asked.header("client-context-id")
        assert body.pop("timeout").endswith("ms")
        assert body == {
            "statement": "SELECT $1, $a",
            "args": [1],
            "$a": 2,
            "readonly": True,
            "scan_consistency": "request_plus",
        }


def test_handles(loop: Loop) -> None:
    """A Bucket has SDK 2.5's form, scopes their context; threads have both."""
    with there(loop, fine) as (found, bucket):
        host = f"127.0.0.1:{found.server.port}"
        assert loop.take(bucket.analytics_query("SELECT $a", host, a=5)) == ROWS
        assert sent(found)["$a"] == 5
        assert loop.take(bucket.analytics_query("SELECT 1", "127.0.0.1")) == ROWS
        query = AnalyticsQuery("SELECT $1", 7, readonly=True)
        assert loop.take(bucket.analytics_query(query)) == ROWS
        assert sent(found)["args"] == [7]
        assert loop.take(bucket.scope("s").analytics_query("SELECT 1")) == ROWS
        assert sent(found)["query_context"] == "default:`default`.`s`"
        handle, of_cluster = bucket.threadsafe(), found.cluster.threadsafe()

        def work() -> None:
            assert list(handle.analytics_query("SELECT 1", host)) == ROWS
            assert list(handle.scope("s").analytics_query("SELECT 1")) == ROWS
            result = of_cluster.analytics_query("SELECT 1")
            assert result.execute().metrics["resultCount"] == 3

        loop.in_thread(work)
        with pytest.raises(NodeNotAvailableError) as raised:
            loop.take(bucket.analytics_query("SELECT 1", "evil.test:8095"))
        raised.value.__traceback__ = None
        assert {asked.line for asked in found.server.asked} == {LINE}


def test_failures(loop: Loop) -> None:
    """The first code decides; what did not run is asked again."""
    with asking(loop, failing(23000), failing(23007), fine, key="cbas") as found:
        assert loop.take(found.cluster.analytics_query("SELECT 1")) == ROWS
        assert len(found.server.asked) == 3
    with asking(loop, failing(24001, "400 Bad Request"), failing(23007), key="cbas") as found:
        with pytest.raises(CompilationFailureError, match="code 24001") as raised:
            loop.take(found.cluster.analytics_query("SELECT 1"))
        assert isinstance(raised.value, N1QLError)
        raised.value.__traceback__ = None
        with pytest.raises(JobQueueFullError) as full:
            loop.take(found.cluster.analytics_query("SELECT 1"))
        full.value.__traceback__ = None
        assert len(found.server.asked) == 11


def test_lost(loop: Loop) -> None:
    """What may have changed something is not repeated; what is readonly is."""
    with asking(loop, lambda asked: asked.close(), fine, key="cbas") as found:
        with pytest.raises(AmbiguousConnectionLostError) as raised:
            loop.take(found.cluster.analytics_query("DROP DATASET a"))
        raised.value.__traceback__ = None
    with asking(loop, lambda asked: asked.close(), fine, key="cbas") as found:
        assert loop.take(found.cluster.analytics_query("SELECT 1", readonly=True)) == ROWS


def test_rows_then_error(loop: Loop) -> None:
    """Rows before an error are given first."""
    errors = [{"code": 25000, "msg": "why"}]

    def late(asked: Asked) -> None:
        asked.answer(answer([1], status="fatal", errors=errors))

    with asking(loop, late, key="cbas") as found:
        result = found.cluster.analytics_query("SELECT 1")
        take = taker(loop, result)
        assert take() == 1
        with pytest.raises(N1QLError) as raised:
            take()
        raised.value.__traceback__ = None
        assert result.errors == errors


class Deferring:
    """A service that has rows after a while.

    Args:
        waits: how often it is not ready yet.
    """

    def __init__(self, waits: int) -> None:
        self.waits = waits

    def __call__(self, asked: Asked) -> None:
        base = f"http://127.0.0.1:{asked.server.port}/analytics/service"
        if asked.line.startswith("POST") and b'"async"' not in asked.body:
            fine(asked)
            return
        if asked.line.startswith("POST"):
            said = {"requestID": "r", "status": "running", "handle": f"{base}/status/1"}
        elif "/status/" in asked.line and self.waits:
            self.waits -= 1
            said = {"status": "running"}
        elif "/status/" in asked.line:
            said = {"status": "success", "handle": f"{base}/result/1"}
        else:
            asked.answer(json.dumps(ROWS).encode())
            return
        asked.answer(json.dumps(said).encode())


def test_deferred(loop: Loop) -> None:
    """The service is asked until the rows are ready, and then for them."""
    with there(loop, Deferring(2)) as (found, bucket):
        query = DeferredAnalyticsQuery("SELECT 1", interval=0.01, timeout=20)
        result = bucket.analytics_query(query, f"127.0.0.1:{found.server.port}")
        assert loop.take(result) == ROWS
        assert [asked.line.split()[0] for asked in found.server.asked] == [
            "POST",
            "GET",
            "GET",
            "GET",
            "GET",
        ]
        assert sent(found, 0)["mode"] == "async"


def test_ingester(loop: Loop) -> None:
    """Rows are stored as documents, as the operation says; errors end it, or are passed over."""
    with loop.serving() as served, web_server(fine) as server, ExitStack() as stack:
        for node in served.cluster.nodes:
            node.ports["cbas"] = server.port
        served.cluster.changed()
        bucket = stack.enter_context(opened_at(loop, served.connection_string + "/default"))
        ingest = AnalyticsIngester(lambda value: value["row"], lambda row: {"row": str(row)})
        loop.wait(ingest(bucket, "SELECT 1"))
        assert loop.wait(bucket.get("None")).value == {"row": "None"}
        assert loop.wait(bucket.get("2")).value == {"row": "2"}
        ingest = AnalyticsIngester(str, lambda row: row, BucketOperators.INSERT)
        with pytest.raises(KeyExistsError) as raised:
            loop.wait(ingest(bucket, "SELECT 1"))
        raised.value.__traceback__ = None
        kept: list[Any] = []

        def keep(_: Any, key: str, value: Any) -> None:
            kept.append((key, value))
            raise CouchbaseError("not this one")

        ingest = AnalyticsIngester(str, lambda row: row, keep)
        loop.wait(ingest(bucket, "SELECT 1", ignore_ingest_error=True))
        assert kept == [(str(row), row) for row in ROWS]
        handle = bucket.threadsafe()
        ingest = AnalyticsIngester(str, lambda row: row, BucketOperators.REPLACE)
        loop.in_thread(lambda: ingest(handle, "SELECT 1", ignore_ingest_error=True))
        assert loop.wait(bucket.get("2")).value == 2
    for bad in ((5, str), (str, 5), (str, str, "upsert")):
        with pytest.raises(InvalidSettingError):
            AnalyticsIngester(*bad)
    with pytest.raises(ArgumentError):
        AnalyticsIngester(operation=BucketOperators.REPLACE)


def test_ingester_by_itself(loop: Loop) -> None:
    """Without more it stores rows as they are, by new keys; the query takes its own arguments."""
    with loop.serving() as served, web_server(fine) as server, ExitStack() as stack:
        for node in served.cluster.nodes:
            node.ports["cbas"] = server.port
        served.cluster.changed()
        bucket = stack.enter_context(opened_at(loop, served.connection_string + "/default"))
        stored: list[tuple[str, Any]] = []

        def store(bucket: Any, key: str, value: Any) -> Any:
            stored.append((key, value))
            return BucketOperators.UPSERT(bucket, key, value)

        ingest = AnalyticsIngester(operation=BucketOperator(store))
        loop.wait(ingest(bucket, "SELECT $1, $a", None, False, 1, a=2))
        assert [value for _, value in stored] == ROWS
        assert len({key for key, _ in stored}) == len(ROWS)
        assert loop.wait(bucket.get(stored[0][0])).value == ROWS[0]
        body = json.loads(server.asked[0].body)
        assert (body["args"], body["$a"]) == ([1], 2)


def test_manager(loop: Loop) -> None:
    """What the service has is made and told by statements, in threads, too."""
    with asking(loop, fine, key="cbas") as found:
        manager = found.cluster.analytics_indexes()
        loop.wait(manager.create_dataverse("a/b", ignore_if_exists=True))
        assert sent(found) == {"statement": "CREATE DATAVERSE `a`.`b` IF NOT EXISTS"}
        del manager
        safe = found.cluster.threadsafe().analytics_indexes()
        loop.in_thread(lambda: safe.drop_dataset("d"))
        assert sent(found) == {"statement": "DROP DATASET `Default`.`d`"}
    with asking(loop, failing(24006), key="cbas") as found:
        with pytest.raises(LinkNotFoundError) as raised:
            loop.wait(found.cluster.analytics_indexes().connect_link())
        raised.value.__traceback__ = None


@pytest.mark.parametrize(
    ("statement", "given", "kind"),
    [
        (5, {}, InvalidSettingError),
        (None, {}, InvalidSettingError),
        (N1QLQuery("SELECT 1"), {}, InvalidSettingError),
        ("SELECT 1", {"readonly": "yes"}, InvalidSettingError),
        ("SELECT 1", {"timeout": -1}, ArgumentError),
        (AnalyticsQuery("SELECT 1"), {"a": 1}, ArgumentError),
    ],
)
def test_bad_input(
    loop: Loop, statement: Any, given: dict[str, Any], kind: type[Exception]
) -> None:
    """What cannot be asked is refused by the call, and nothing is sent."""
    with asking(loop, fine, key="cbas") as found:
        with pytest.raises(kind) as raised:
            found.cluster.analytics_query(statement, **given)
        raised.value.__traceback__ = None
        assert not found.server.asked
