"""Queries of the client, answered by the embedded cluster's own engine, on either loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.embedded import administrator
from couchloop.exceptions import (
    AmbiguousAnswerError,
    InvalidError,
    KeyspaceNotFoundError,
    N1QLError,
    NoQueryIndexError,
    QueryDocumentExistsError,
    QueryIndexExistsError,
    QueryIndexNotFoundError,
    QueryParsingError,
    ServiceNotAvailableError,
)
from couchloop.mutation_state import MutationState
from couchloop.n1ql import N1QLQuery, QueryOptions, QueryScanConsistency
from tests.conformance.loops import PASSWORD, Loop, cluster_at, opened

SELECT = "SELECT RAW b.n FROM default:`default` AS b USE KEYS $1"


@pytest.fixture
def bucket(loop: Loop) -> Iterator[Any]:
    """Open a Bucket of an embedded cluster whose user may do all."""
    embedded = loop.embedded(3, users=[administrator("user", PASSWORD)])
    with (
        loop.serving(embedded) as served,
        opened(
            loop, cluster_at(loop, f"{served.connection_string}?fetch_mutation_tokens=true")
        ) as bucket,
    ):
        served.cluster.create_collection("default", "s.c")
        yield bucket


def test_documents(loop: Loop, bucket: Any) -> None:
    """Documents of the Bucket are rows; changes by a statement are documents."""
    loop.wait(bucket.upsert_multi({f"k{n}": {"n": n} for n in range(300)}))
    keys = [f"k{n}" for n in range(300)]
    assert loop.take(bucket.n1ql_query(SELECT, keys)) == list(range(300))
    statement = "UPSERT INTO `default` (KEY, VALUE) VALUES ($k, {'n': $n}) RETURNING RAW META().id"
    query = N1QLQuery(statement, k="new", n=5)
    assert loop.take(bucket.n1ql_query(query)) == ["new"]
    assert loop.wait(bucket.get("new")).value == {"n": 5}


def test_a_long_statement_holds_nobody_up(loop: Loop) -> None:
    """The loop that serves the cluster, and the test with it, goes on meanwhile."""
    embedded = loop.embedded(1, users=[administrator("user", PASSWORD)])
    embedded.queries.settings.turn = 100
    statement = "SELECT RAW COUNT(*) FROM ARRAY_RANGE(0, 300) a, ARRAY_RANGE(0, 300) b"
    node = embedded.nodes[0]

    def is_at_work() -> bool:
        return any(getattr(each, "works", False) for each in node.http_connections)

    with (
        loop.serving(embedded) as served,
        opened(loop, cluster_at(loop, served.connection_string)) as bucket,
    ):
        loop.wait(bucket.upsert("k", 1))
        asked = loop.start(bucket.n1ql_query(statement).get_single_result)
        loop.until(is_at_work)
        for number in range(10):
            loop.wait(bucket.upsert("k", number))
        assert is_at_work()
        loop.until(lambda: not is_at_work())
        assert asked.outcome() == 90_000


def test_meta(loop: Loop, bucket: Any) -> None:
    """What stands beside the rows is that of a service."""
    options = QueryOptions(metrics=True, client_context_id="mine")
    request = bucket.scope("_default").query("SELECT 1 AS a", options)
    assert loop.take(request) == [{"a": 1}]
    meta = request.metadata()
    assert (meta.status(), meta.client_context_id()) == ("success", "mine")
    metrics = meta.metrics()
    assert metrics is not None
    assert metrics.result_count() == 1


def test_scope(loop: Loop, bucket: Any) -> None:
    """Of a scope, a collection is called by its own name."""
    collection = bucket.scope("s").collection("c")
    loop.wait(collection.upsert("k", {"n": 7}))
    statement = "SELECT RAW c.n FROM c USE KEYS 'k'"
    assert loop.take(bucket.scope("s").query(statement)) == [7]
    assert loop.take(collection.n1ql_query(statement)) == [7]


def test_consistency(loop: Loop, bucket: Any) -> None:
    """A query sees the changes that it is to see."""
    state = MutationState(loop.wait(bucket.upsert("k", {"n": 9})))
    scope = bucket.scope("_default")
    assert loop.take(scope.query(SELECT, ["k"], consistent_with=state)) == [9]
    plus = QueryScanConsistency.REQUEST_PLUS
    assert loop.take(scope.query(SELECT, ["k"], scan_consistency=plus)) == [9]


@pytest.mark.parametrize(
    ("statement", "options", "kind"),
    [
        ("SELEC 1", {}, QueryParsingError),
        ("SELECT * FROM nosuch USE KEYS 'k'", {}, KeyspaceNotFoundError),
        ("DELETE FROM `default` USE KEYS 'k'", {"readonly": True}, InvalidError),
        ("SELECT 1", {"raw": {"nosuch": 1}}, InvalidError),
        ("SELECT $x", {}, N1QLError),
        ("MERGE INTO x", {}, QueryParsingError),
    ],
)
def test_errors(
    loop: Loop, bucket: Any, statement: str, options: dict[str, Any], kind: type[N1QLError]
) -> None:
    """What the service refuses has a class of its own."""
    request = bucket.scope("_default").query(statement, **options)
    with pytest.raises(N1QLError) as raised:
        loop.take(request)
    raised.value.__traceback__ = None
    assert isinstance(raised.value, kind)


def test_duplicate(loop: Loop, bucket: Any) -> None:
    """A document that is there already is told by class, as by key-value."""
    statement = "INSERT INTO `default` (KEY, VALUE) VALUES ('k', 1)"
    loop.wait(bucket.n1ql_query(statement).execute())
    with pytest.raises(QueryDocumentExistsError) as raised:
        loop.wait(bucket.n1ql_query(statement).execute())
    assert raised.value.code == 12009
    raised.value.__traceback__ = None


def test_indexes(loop: Loop, bucket: Any) -> None:
    """Without an index nothing is found; each call of a manager does what it says."""
    statement = "SELECT RAW b.n FROM default:`default` AS b WHERE b.n = 5"
    loop.wait(bucket.upsert("k", {"n": 5}))
    with pytest.raises(NoQueryIndexError) as raised:
        loop.take(bucket.n1ql_query(statement))
    raised.value.__traceback__ = None
    manager = bucket.bucket_manager()
    loop.wait(manager.n1ql_index_create_primary())
    loop.wait(manager.n1ql_index_create_primary(ignore_exists=True))
    assert loop.take(bucket.n1ql_query(statement)) == [5]
    for call, kind in (
        (manager.n1ql_index_create_primary, QueryIndexExistsError),
        (lambda: manager.n1ql_index_drop("nosuch"), QueryIndexNotFoundError),
    ):
        with pytest.raises(kind) as raised_too:
            loop.wait(call())
        raised_too.value.__traceback__ = None
    loop.wait(manager.n1ql_index_create("i", fields=["n"], condition="n > 1", defer=True))
    (built,) = loop.wait(manager.n1ql_index_build_deferred())
    (watched,) = loop.wait(manager.n1ql_index_watch([built]))
    assert (watched.name, watched.state, watched.fields) == ("i", "online", ["`n`"])
    found = [each.name for each in loop.wait(manager.n1ql_index_list())]
    assert found == ["#primary", "i"]
    loop.wait(manager.n1ql_index_drop("i"))
    loop.wait(manager.n1ql_index_drop_primary())
    loop.wait(manager.n1ql_index_drop_primary(ignore_missing=True))
    assert loop.wait(manager.n1ql_index_list()) == []


def test_indexes_of_a_collection(loop: Loop, bucket: Any) -> None:
    """A collection has its own."""
    collection = bucket.scope("s").collection("c")
    manager = collection.query_indexes()
    loop.wait(collection.upsert("k", {"n": 5}))
    loop.wait(manager.create_primary_index(deferred=True))
    loop.wait(manager.build_deferred_indexes())
    loop.wait(manager.create_index("i", ["n"]))
    loop.wait(manager.watch_indexes(["i"], watch_primary=True))
    assert loop.take(collection.n1ql_query("SELECT RAW n FROM c WHERE n = 5")) == [5]
    found = [(each.name, each.scope_name) for each in loop.wait(manager.get_all_indexes())]
    assert found == [("#primary", "s"), ("i", "s")]
    loop.wait(manager.drop_index("i"))
    loop.wait(manager.drop_primary_index())
    assert loop.wait(manager.get_all_indexes()) == []


def test_prepared(loop: Loop, bucket: Any) -> None:
    """A statement is prepared once, and executed by its name; its values differ."""
    loop.wait(bucket.upsert_multi({f"k{n}": {"n": n} for n in range(3)}))
    for n in range(3):
        query = N1QLQuery(SELECT, [f"k{n}"])
        query.adhoc = False
        assert loop.take(bucket.n1ql_query(query)) == [n]


def test_faults(loop: Loop) -> None:
    """Faults that are injected: what may be asked again is, else the outcome is unknown."""
    embedded = loop.embedded(3, users=[administrator("user", PASSWORD)])
    with (
        loop.serving(embedded) as served,
        opened(loop, cluster_at(loop, served.connection_string)) as bucket,
    ):
        cluster = served.cluster

        def asked(readonly: bool) -> N1QLQuery:
            query = N1QLQuery("SELECT RAW d FROM ARRAY_RANGE(0, 5000) AS d")
            query.readonly = readonly
            return query

        path = "/query/service"
        everything = list(range(5000))
        assert loop.take(bucket.n1ql_query(asked(readonly=False))) == everything
        # A node that is starting: another one is asked, if that is safe.
        cluster.inject_http(path=path, status=503, count=1)
        assert loop.take(bucket.n1ql_query(asked(readonly=True))) == everything
        cluster.inject_http(path=path, status=503, count=1)
        with pytest.raises(ServiceNotAvailableError) as busy:
            loop.take(bucket.n1ql_query(asked(readonly=False)))
        busy.value.__traceback__ = None
        # An answer that is cut off behind some rows, and one before them.
        cluster.inject_http(path=path, cut_after=4000, count=1)
        with pytest.raises(AmbiguousAnswerError) as cut:
            loop.take(bucket.n1ql_query(asked(readonly=False)))
        assert 0 < cut.value.rows < 5000
        cut.value.__traceback__ = None
        cluster.inject_http(path=path, cut_after=0, count=1)
        assert loop.take(bucket.n1ql_query(asked(readonly=True))) == everything
