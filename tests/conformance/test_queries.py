"""Queries over sockets, on either loop: against a service that does what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousAnswerError,
    AmbiguousConnectionLostError,
    AmbiguousTimeoutError,
    ArgumentError,
    CouchbaseError,
    FeatureNotAvailableError,
    N1QLError,
    ObjectDestroyedError,
    QueryInternalError,
    QueryParsingError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
    WatchQueryIndexTimeoutError,
)
from couchloop.n1ql import N1QLQuery, QueryOptions
from tests.conformance.loops import Loop, opened_at
from tests.conformance.test_cycles import done, nothing_left
from tests.conformance.test_hostile_services import SHORT, Asking, asking
from tests.webserver import Asked, Script

FINE: dict[str, Any] = {"requestID": "r", "results": [1], "status": "success"}


def said(document: dict[str, Any], status: str = "200 OK") -> Script:
    """Return a script that answers with JSON."""
    return lambda asked: asked.answer(json.dumps(document).encode(), status)


def refused(code: int, text: str = "x", status: str = "404 Not Found", **more: Any) -> Script:
    """Return a script that refuses."""
    errors = [{"code": code, "msg": text, **more}]
    return said({"errors": errors, "status": "fatal"}, status)


def bodies(there: Asking) -> list[dict[str, Any]]:
    """Return what was asked."""
    return [json.loads(asked.body) for asked in there.server.asked]


def error_of(loop: Loop, request: Any) -> CouchbaseError:
    """Return what ends the rows."""
    with pytest.raises(CouchbaseError) as raised:
        loop.take(request)
    return raised.value.with_traceback(None)


def at_bucket(loop: Loop, there: Asking, call: Callable[[Any], None], options: str = "") -> None:
    """Make a call with a Bucket of the cluster."""
    seed = there.cluster.connection_string
    with opened_at(loop, f"{seed}/default{options}") as bucket:
        call(bucket)


def test_whoever_asks(loop: Loop) -> None:
    """A Bucket, its scopes and collections, and the Cluster ask; names are of the scope."""
    with asking(loop, said(FINE)) as there:

        def ask(bucket: Any) -> None:
            scope = bucket.scope("s")
            for request in (
                bucket.n1ql_query("SELECT $1", 5),
                bucket.default_collection().n1ql_query(N1QLQuery("SELECT $x", x=6)),
                scope.query("SELECT 1", QueryOptions(readonly=True)),
                scope.collection("c").n1ql_query("SELECT 1"),
                there.cluster.n1ql_query("SELECT 1"),
                there.cluster.query("SELECT 1"),
            ):
                assert loop.take(request) == [1]

        at_bucket(loop, there, ask)
        asked = bodies(there)
        contexts = [body.get("query_context") for body in asked]
        assert contexts == [
            None,
            None,
            "default:`default`.`s`",
            "default:`default`.`s`",
            None,
            None,
        ]
        assert (asked[0]["args"], asked[1]["$x"], asked[2]["readonly"]) == ([5], 6, True)
        assert {body["timeout"] for body in asked} == {"74500ms"}
        (one, *_) = there.server.asked
        assert one.line == "POST /query/service HTTP/1.1"
        assert one.header("content-type") == "application/json"
        assert one.header("client-context-id") == asked[0]["client_context_id"]


def test_n1ql_timeout(loop: Loop) -> None:
    """The option says how long queries have; it can be set, and counts in all collections."""
    with asking(loop, said(FINE)) as there:

        def ask(bucket: Any) -> None:
            assert bucket.n1ql_timeout == 20
            collection = bucket.scope("s").collection("c")
            for seconds in (20, 10):
                bucket.n1ql_timeout = seconds
                for each in (bucket, collection):
                    loop.take(each.n1ql_query("SELECT 1"))
                loop.take(bucket.scope("s").query("SELECT 1"))
            with pytest.raises(ValueError, match="positive"):
                bucket.n1ql_timeout = 0
            assert bucket.n1ql_timeout == 10

        at_bucket(loop, there, ask, "?n1ql_timeout=20")
        times = [body["timeout"] for body in bodies(there)]
        assert times == ["19500ms"] * 3 + ["9500ms"] * 3


def test_out_of_time(loop: Loop) -> None:
    """A service that says nothing: what changes nothing says so, else the outcome is unknown."""
    with asking(loop, Asked.wait_for_end) as there:
        error = error_of(loop, there.cluster.query("SELECT 1", readonly=True, timeout=SHORT))
        assert type(error) is UnambiguousTimeoutError
        error = error_of(loop, there.cluster.query("DELETE", timeout=SHORT))
        assert type(error) is AmbiguousTimeoutError
        assert f"127.0.0.1:{there.server.port}" in str(error)
        loop.until(lambda: not there.server.open)


def test_asked_again(loop: Loop) -> None:
    """What the service says did not run is asked again; what did run is not."""
    busy = refused(5000, status="500 Internal Server Error", retry=True)
    with asking(loop, busy, busy, said(FINE)) as there:
        assert loop.take(there.cluster.query("INSERT")) == [1]
        assert len(there.server.asked) == 3
        assert len({body["client_context_id"] for body in bodies(there)}) == 1
    with asking(loop, refused(5000, status="500 Internal Server Error")) as there:
        assert type(error_of(loop, there.cluster.query("INSERT"))) is QueryInternalError
        assert len(there.server.asked) == 1


def test_lost(loop: Loop) -> None:
    """A connection that is lost: again for what is readonly, and before a row; else unknown."""

    def cut(asked: Asked) -> None:
        asked.close()

    def cut_later(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"requestID":"r","results":[')
        asked.close()

    for script, kind in ((cut, AmbiguousConnectionLostError), (cut_later, AmbiguousAnswerError)):
        with asking(loop, script, script, said(FINE)) as there:
            assert loop.take(there.cluster.query("SELECT 1", readonly=True)) == [1]
            assert len(there.server.asked) == 3
        with asking(loop, script, said(FINE)) as there:
            assert type(error_of(loop, there.cluster.query("DELETE"))) is kind
            assert len(there.server.asked) == 1


def test_prepared(loop: Loop) -> None:
    """A statement is prepared once for all who ask the cluster, and anew if it is forgotten."""
    prepared = said({**FINE, "prepared": "name"})
    scripts = (prepared, said(FINE), said(FINE), refused(4040), prepared, said(FINE))
    with asking(loop, *scripts) as there:
        for _ in range(2):
            assert loop.take(there.cluster.query("SELECT 1", adhoc=False)) == [1]

        def ask(bucket: Any) -> None:
            query = N1QLQuery("SELECT 1")
            query.adhoc = False
            for _ in range(3):
                assert loop.take(bucket.n1ql_query(query)) == [1]

        at_bucket(loop, there, ask)
        forms = [body.get("prepared") or body["statement"] for body in bodies(there)]
        prepare = "PREPARE SELECT 1"
        assert forms == [prepare, "name", "name", "name", prepare, "name"]


def test_replicas(loop: Loop) -> None:
    """A cluster that says it can do so is asked to read from replicas."""
    with asking(loop, said(FINE)) as there:
        loop.take(there.cluster.query("SELECT 1", use_replica=True))
        assert bodies(there)[0]["use_replica"] == "on"


def test_no_service(loop: Loop) -> None:
    """A cluster without the service says so, and what it has."""
    embedded = loop.embedded(nodes=0)
    embedded.add_node(services=["kv"])
    with (
        loop.serving(embedded) as served,
        opened_at(loop, f"{served.connection_string}/default") as bucket,
    ):
        error = error_of(loop, bucket.n1ql_query("SELECT 1"))
        assert type(error) is ServiceNotAvailableError


def test_closed(loop: Loop) -> None:
    """A Bucket that is closed asks no more."""
    with asking(loop, said(FINE)) as there:
        kept: list[Any] = []
        at_bucket(loop, there, kept.append)
        with pytest.raises(ObjectDestroyedError):
            loop.take(kept[0].n1ql_query("SELECT 1"))


def test_bad_input(loop: Loop) -> None:
    """What no query can be is an error of the call, and nothing is sent."""
    with asking(loop, said(FINE)) as there:
        for arguments, options in (
            ((5,), {}),
            ((b"SELECT 1",), {}),
            (("SELECT 1", object()), {}),
            (("SELECT 1",), {"timeout": -1}),
            (("SELECT 1",), {"nosuch": 1}),
            (("SELECT 1",), {"readonly": "yes"}),
            (("SELECT 1",), {"type": 5}),
        ):
            with pytest.raises(CouchbaseError) as raised:
                there.cluster.query(*arguments, **options)
            raised.value.__traceback__ = None
        with pytest.raises(ArgumentError, match="no option"):
            there.cluster.query("SELECT 1", nosuch=1)
        assert not there.server.asked


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"<html>",
        b'{"results":5,"status":"success"}',
        b'{"results":[1],"results":[2],"status":"success"}',
        b'{"results":[],"status":"success"}x',
        b'{"results":[' + b"[" * 600 + b"]" * 600 + b'],"status":"success"}',
    ],
)
def test_odd_answers(loop: Loop, body: bytes) -> None:
    """What is no answer of a query service is an error, and leaves nothing open."""
    with asking(loop, lambda asked: asked.answer(body)) as there:
        assert isinstance(error_of(loop, there.cluster.query("SELECT 1")), CouchbaseError)


def test_errors_by_code(loop: Loop) -> None:
    """The first error decides; its text names the node, and what the service says."""
    with asking(loop, refused(3000, "syntax error - at *", "400 Bad Request")) as there:
        request = there.cluster.query("SELEC 1")
        error = error_of(loop, request)
        assert type(error) is QueryParsingError
        assert isinstance(error, N1QLError)
        assert (error.statement, error.code) == ("SELEC 1", 3000)
        for each in ("query", f"127.0.0.1:{there.server.port}", "syntax error", "3000"):
            assert each in str(error)
        assert [each["code"] for each in request.errors] == [3000]


def test_types(loop: Loop) -> None:
    """Rows of a type; what does not fit is an error behind those before."""
    rows = {**FINE, "results": [{"a": 1}, {"a": "x"}]}
    with asking(loop, said(rows)) as there:
        error = error_of(loop, there.cluster.query("SELECT 1", type=dict[str, int]))
        assert "does not fit" in str(error)
        found = loop.take(there.cluster.query("SELECT 1", type=dict[str, int | str]))
        assert found == rows["results"]


def test_indexes(loop: Loop) -> None:
    """Indexes are statements; those that do not come online in time are an error of its own."""
    row = {"name": "i", "state": "building", "using": "gsi", "index_key": [], "keyspace_id": "b"}
    listed = said({**FINE, "results": [row]})
    with asking(loop, said({**FINE, "results": []}), listed) as there:
        manager = there.cluster.query_indexes()
        loop.wait(manager.create_index("b", "i", ["a"], deferred=True))
        with pytest.raises(WatchQueryIndexTimeoutError):
            loop.wait(manager.watch_indexes("b", ["i"], timeout=SHORT))
        assert "CREATE INDEX `i`" in bodies(there)[0]["statement"]

        def ask(bucket: Any) -> None:
            (index,) = loop.wait(bucket.bucket_manager().list_n1ql_indexes())
            assert (index.name, index.state) == ("i", "building")
            collection = bucket.scope("s").collection("c")
            (found,) = loop.wait(collection.query_indexes().get_all_indexes())
            assert found.name == "i"

        at_bucket(loop, there, ask)
        last = bodies(there)[-1]
        names = [last[f"${each}_name"] for each in ("bucket", "scope", "collection")]
        assert names == ["default", "s", "c"]


def test_feature_of_newer_servers(loop: Loop) -> None:
    """A member that the service does not know is a feature that it does not have."""
    with asking(loop, refused(1065, "Unrecognized parameter in request: preserve_expiry")) as there:
        error = error_of(loop, there.cluster.query("UPDATE", preserve_expiry=True))
        assert isinstance(error, FeatureNotAvailableError)


def test_no_circles(loop: Loop) -> None:
    """Nothing that a query makes waits for the garbage collector, however it ends."""
    busy = refused(5000, retry=True, status="500 Internal Server Error")
    errors = {**FINE, "errors": [{"code": 5010, "msg": "x"}], "status": "errors"}

    def broken(asked: Asked) -> None:
        asked.answer(b'{"results":[1,{]}')

    scripts = (busy, said(FINE), said(errors), refused(3000), broken, Asked.wait_for_end)
    with asking(loop, *scripts) as there:
        cluster = there.cluster
        with nothing_left():
            for _ in range(4):
                done(loop, lambda: list_of(loop, cluster.query("SELECT 1")))
            done(loop, lambda: list_of(loop, cluster.query("SELECT 1", timeout=SHORT)))
            loop.until(lambda: not there.server.open)


def list_of(loop: Loop, request: Any) -> Any:
    """Take all rows."""
    return request.all() if hasattr(request, "all") else list(request)
