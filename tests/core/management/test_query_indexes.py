"""Indexes for queries: the statements that are asked, and what answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketNotFoundError,
    CollectionNotFoundError,
    CouchbaseError,
    HTTPError,
    IndexExistsError,
    IndexNotFoundError,
    InvalidSettingError,
    ProtocolError,
    QueryCollectionNotFoundError,
    QueryIndexNotFoundError,
    QueryInternalError,
    QueryNotAuthorizedError,
    ScopeNotFoundError,
    WatchQueryIndexTimeoutError,
)
from couchloop.hot.operation import CollectionName
from couchloop.http.service import ServiceAnswer, ServiceRequest
from couchloop.management import collection_indexes as of_one
from couchloop.management import n1ql_indexes as old
from couchloop.management import query_indexes as ix
from couchloop.management.index_statements import QueryIndex
from couchloop.operations.procedure import Again, Pause, Procedure
from tests.core.management.manager import DEFAULTS, answered, of_bucket

BUCKET = of_bucket("b")
COLLECTION = of_bucket("b")
COLLECTION.collection = CollectionName("s", "c")
FINE = (200, b'{"results":[],"status":"success"}')
ROWS: list[dict[str, Any]] = [
    {
        "datastore_id": "http://127.0.0.1:8091",
        "id": "1",
        "index_key": [],
        "is_primary": True,
        "keyspace_id": "b",
        "name": "#primary",
        "namespace_id": "default",
        "state": "online",
        "using": "gsi",
    },
    {
        "bucket_id": "b",
        "condition": "(5 < `n`)",
        "id": "2",
        "index_key": ["`n`"],
        "keyspace_id": "c",
        "name": "i",
        "partition": "HASH(`n`)",
        "scope_id": "s",
        "state": "deferred",
        "using": "gsi",
    },
]


def listed(*rows: dict[str, Any]) -> tuple[int, bytes]:
    """Return an answer with rows."""
    return 200, json.dumps({"results": rows, "status": "success"}).encode()


def refused(code: int, text: str, status: int = 500, **said: Any) -> tuple[int, bytes]:
    """Return a refusal."""
    errors = [{"code": code, "msg": text, **said}]
    return status, json.dumps({"errors": errors, "status": "fatal"}).encode()


def asked(
    procedure: Procedure[Any], answers: Iterable[tuple[int, bytes]] = (FINE,)
) -> tuple[list[dict[str, Any]], Any]:
    """Carry a procedure out; return what was asked, and what it gives."""
    steps: Any = procedure.take_over()
    bodies = []
    left = list(answers)
    step = next(steps)
    while True:
        try:
            if isinstance(step, Pause | Again):
                step = steps.send(None)
                continue
            assert isinstance(step, ServiceRequest)
            assert step.path == "/query/service"
            body = json.loads(step.body)
            assert step.is_idempotent is body.pop("readonly", False)
            bodies.append(body)
            status, data = left.pop(0)
            step = steps.send(ServiceAnswer(status, {}, data, "host:8093"))
        except StopIteration as end:
            assert not left
            return bodies, end.value


def statement(procedure: Procedure[Any]) -> str:
    """Return the one statement that is asked."""
    ((body,), _) = asked(procedure)
    found: str = body["statement"]
    assert set(body) == {"statement"}
    return found


WITH = 'WITH {"defer_build":true,"num_replica":1}'
STATEMENTS: list[tuple[Procedure[Any], str]] = [
    (
        ix.create_primary_index(DEFAULTS, "b"),
        "CREATE PRIMARY INDEX ON default:`b` USING GSI",
    ),
    (
        ix.create_primary_index(DEFAULTS, "b", index_name="p", deferred=True, num_replicas=1),
        f"CREATE PRIMARY INDEX `p` ON default:`b` USING GSI {WITH}",
    ),
    (
        ix.create_index(
            DEFAULTS,
            "b",
            "i",
            ["a", "b"],
            condition="a > 1",
            deferred=True,
            num_replicas=1,
            scope_name="s",
            collection_name="c",
        ),
        f"CREATE INDEX `i` ON default:`b`.`s`.`c`(`a`, `b`) WHERE a > 1 USING GSI {WITH}",
    ),
    (
        ix.create_index(DEFAULTS, "b`b", "i`", ("LOWER(a)", "`x`")),
        "CREATE INDEX `i``` ON default:`b``b`(LOWER(a), `x`) USING GSI",
    ),
    (ix.drop_index(DEFAULTS, "b", "i"), "DROP INDEX `b`.`i` USING GSI"),
    (
        ix.drop_index(DEFAULTS, "b", "i", scope_name="s", collection_name="c"),
        "DROP INDEX `i` ON default:`b`.`s`.`c` USING GSI",
    ),
    (ix.drop_primary_index(DEFAULTS, "b"), "DROP PRIMARY INDEX ON default:`b` USING GSI"),
    (
        ix.drop_primary_index(DEFAULTS, "b", scope_name="s", collection_name="c"),
        "DROP PRIMARY INDEX ON default:`b`.`s`.`c` USING GSI",
    ),
    (ix.drop_primary_index(DEFAULTS, "b", index_name="p"), "DROP INDEX `b`.`p` USING GSI"),
    (
        of_one.create_index(COLLECTION, "i", ["a"]),
        "CREATE INDEX `i` ON default:`b`.`s`.`c`(`a`) USING GSI",
    ),
    (
        of_one.create_primary_index(COLLECTION),
        "CREATE PRIMARY INDEX ON default:`b`.`s`.`c` USING GSI",
    ),
    (of_one.drop_index(COLLECTION, "i"), "DROP INDEX `i` ON default:`b`.`s`.`c` USING GSI"),
    (of_one.drop_primary_index(COLLECTION), "DROP PRIMARY INDEX ON default:`b`.`s`.`c` USING GSI"),
    (
        old.n1ql_index_create(BUCKET, "i", fields=["a"], condition="a > 1", defer=True),
        'CREATE INDEX `i` ON default:`b`(`a`) WHERE a > 1 USING GSI WITH {"defer_build":true}',
    ),
    (
        old.n1ql_index_create(BUCKET, old.N1qlIndex("i", fields=["a"], condition="x")),
        "CREATE INDEX `i` ON default:`b`(`a`) WHERE x USING GSI",
    ),
    (
        old.n1ql_index_create(BUCKET, "p", primary=True),
        "CREATE PRIMARY INDEX `p` ON default:`b` USING GSI",
    ),
    (old.n1ql_index_create_primary(BUCKET), "CREATE PRIMARY INDEX ON default:`b` USING GSI"),
    (old.n1ql_index_drop(BUCKET, "i"), "DROP INDEX `b`.`i` USING GSI"),
    (
        old.n1ql_index_drop(BUCKET, old.N1qlIndex("#primary", primary=True)),
        "DROP PRIMARY INDEX ON default:`b` USING GSI",
    ),
    (old.n1ql_index_drop(BUCKET, "p", primary=True), "DROP INDEX `b`.`p` USING GSI"),
    (old.n1ql_index_drop_primary(BUCKET), "DROP PRIMARY INDEX ON default:`b` USING GSI"),
]


@pytest.mark.parametrize(("procedure", "text"), STATEMENTS, ids=lambda each: str(each)[:60])
def test_statements(procedure: Procedure[Any], text: str) -> None:
    """Each call is one statement."""
    assert statement(procedure) == text


def test_list() -> None:
    """Rows of `system:indexes` are values, those of older servers, too."""
    (body,), found = asked(ix.get_all_indexes(DEFAULTS, "b"), [listed(*ROWS)])
    assert body["statement"] == (
        "SELECT `idx`.* FROM system:indexes AS idx WHERE (bucket_id = $bucket_name OR (bucket_id "
        'IS MISSING AND keyspace_id = $bucket_name)) AND `using` = "gsi" ORDER BY is_primary DESC, '
        "name ASC"
    )
    assert [body[name] for name in ("$bucket_name", "$scope_name", "$collection_name")] == [
        "b",
        "",
        "",
    ]
    assert found == [
        QueryIndex(
            "#primary",
            is_primary=True,
            state="online",
            bucket_name="b",
            datastore_id="http://127.0.0.1:8091",
        ),
        QueryIndex(
            "i",
            state="deferred",
            bucket_name="b",
            scope_name="s",
            collection_name="c",
            index_key=("`n`",),
            condition="(5 < `n`)",
            partition="HASH(`n`)",
        ),
    ]
    assert [each.keyspace for each in found] == ["b", "c"]
    (body,), _ = asked(of_one.get_all_indexes(COLLECTION), [listed()])
    assert (
        "WHERE (bucket_id = $bucket_name AND scope_id = $scope_name AND keyspace_id = "
        "$collection_name) AND" in body["statement"]
    )
    where = ix.get_all_indexes(DEFAULTS, "b", scope_name="_default", collection_name="_default")
    (body,), _ = asked(where, [listed()])
    assert "OR (bucket_id IS MISSING AND keyspace_id = $bucket_name))" in body["statement"]


def test_list_of_sdk_25() -> None:
    """It has a class of its own, and may list those of all buckets."""
    _, (first, second) = asked(old.n1ql_index_list(BUCKET), [listed(*ROWS)])
    assert (first.name, first.primary, first.keyspace, first.state) == (
        "#primary",
        True,
        "b",
        "online",
    )
    assert (second.fields, second.condition, second.type) == (["`n`"], "(5 < `n`)", "gsi")
    assert repr(second) == "<N1qlIndex c.i (`n`): deferred>"
    assert repr(first) == "<N1qlIndex b.#primary (primary): online>"
    (body,), _ = asked(old.n1ql_index_list(BUCKET, other_buckets=True), [listed(*ROWS)])
    assert "WHERE true AND" in body["statement"]


def test_build() -> None:
    """What is deferred is built, of each collection by itself; where nothing is, nothing is."""
    rows = [{**ROWS[0], "state": "deferred"}, ROWS[1], {**ROWS[1], "name": "j"}]
    bodies, found = asked(ix.build_deferred_indexes(DEFAULTS, "b"), [listed(*rows), FINE, FINE])
    assert [body["statement"] for body in bodies[1:]] == [
        "BUILD INDEX ON default:`b` (`#primary`)",
        "BUILD INDEX ON default:`b`.`s`.`c` (`i`,`j`)",
    ]
    assert [each.name for each in found] == ["#primary", "i", "j"]
    bodies, found = asked(of_one.build_deferred_indexes(COLLECTION), [listed(ROWS[0])])
    assert (len(bodies), found) == (1, [])
    other = {**ROWS[0], "keyspace_id": "c", "state": "deferred"}
    bodies, found = asked(
        old.n1ql_index_build_deferred(BUCKET, other_buckets=True),
        [listed(ROWS[0], other), listed(ROWS[0]), listed(other), FINE],
    )
    assert bodies[-1]["statement"] == "BUILD INDEX ON default:`c` (`#primary`)"
    assert [each.keyspace for each in found] == ["c"]


def test_watch() -> None:
    """They are looked at until all are online; progress is told."""
    told: list[Any] = []
    online = {**ROWS[1], "state": "online"}
    bodies, found = asked(
        ix.watch_indexes(
            DEFAULTS, "b", ["i"], watch_primary=True, progress=lambda *each: told.append(each)
        ),
        [listed(*ROWS), listed(ROWS[0], {**online, "state": "building"}), listed(ROWS[0], online)],
    )
    assert len(bodies) == 3
    assert told == [(1, 0, 2), (1, 0, 2), (2, 0, 2)]
    assert [each.name for each in found] == ["i", "#primary"]
    _, found = asked(old.n1ql_index_watch(BUCKET, [old.N1qlIndex("i")]), [listed(online)])
    assert [each.state for each in found] == ["online"]
    _, found = asked(of_one.watch_indexes(COLLECTION, ["i"]), [listed(online)])
    assert [each.state for each in found] == ["online"]


def test_watch_in_vain() -> None:
    """One that is not there is an error at once, and one that is never online in the end."""
    with pytest.raises(QueryIndexNotFoundError, match="not there") as missing:
        asked(ix.watch_indexes(DEFAULTS, "b", ["i", "j"]), [listed(*ROWS)])
    assert missing.value.objextra == ["j"]
    with pytest.raises(WatchQueryIndexTimeoutError, match="not all online") as late:
        answered(ix.watch_indexes(DEFAULTS, "b", ["i"]), [listed(*ROWS)], late=True)
    assert late.value.objextra == ["i"]


NO_BUCKET = refused(12003, "Keyspace not found in CB datastore: default:b")
NO_COLLECTION = refused(12003, "x", reason={"code": 1, "key": "missing_collection"})
EXISTS = refused(4300, "The index i already exists.", 409)
MISSING = refused(12016, "Index Not Found - cause: GSI index i not found.", retry=True)


@pytest.mark.parametrize(
    ("procedure", "answer", "kind"),
    [
        (ix.create_primary_index(DEFAULTS, "b"), NO_BUCKET, BucketNotFoundError),
        (ix.create_primary_index(DEFAULTS, "b"), NO_COLLECTION, CollectionNotFoundError),
        (of_one.create_primary_index(COLLECTION), NO_BUCKET, QueryCollectionNotFoundError),
        (
            of_one.create_primary_index(COLLECTION),
            refused(12021, "Scope not found in CB datastore"),
            ScopeNotFoundError,
        ),
        (ix.create_index(DEFAULTS, "b", "i", ["a"]), EXISTS, IndexExistsError),
        (ix.drop_index(DEFAULTS, "b", "i"), MISSING, IndexNotFoundError),
        (old.n1ql_index_drop(BUCKET, "i"), MISSING, IndexNotFoundError),
        (
            ix.drop_index(DEFAULTS, "b", "i"),
            refused(13014, "User does not have credentials", 401),
            QueryNotAuthorizedError,
        ),
        (ix.get_all_indexes(DEFAULTS, "b"), (401, b""), AuthError),
        (ix.get_all_indexes(DEFAULTS, "b"), (500, b"<html>"), HTTPError),
        (ix.get_all_indexes(DEFAULTS, "b"), (200, b"<html>"), ProtocolError),
        (ix.get_all_indexes(DEFAULTS, "b"), (200, b"[]"), ProtocolError),
        (ix.get_all_indexes(DEFAULTS, "b"), (200, b'{"status":"stopped"}'), QueryInternalError),
        (
            ix.get_all_indexes(DEFAULTS, "b"),
            (200, b'{"status":"success","results":{}}'),
            ProtocolError,
        ),
        (ix.get_all_indexes(DEFAULTS, "b"), listed({"name": 1}), ProtocolError),
    ],
)
def test_errors(
    procedure: Procedure[Any], answer: tuple[int, bytes], kind: type[CouchbaseError]
) -> None:
    """What is refused has the class of its cause."""
    with pytest.raises(CouchbaseError) as raised:
        asked(procedure, [answer])
    assert isinstance(raised.value, kind)


def test_what_is_ignored() -> None:
    """What is there already, or gone, is no error where that is said."""
    ignored: Any = {"ignore_if_exists": True}
    assert asked(ix.create_index(DEFAULTS, "b", "i", ["a"], **ignored), [EXISTS])[1] is None
    assert asked(ix.create_primary_index(DEFAULTS, "b", **ignored), [EXISTS])[1] is None
    assert asked(old.n1ql_index_create(BUCKET, "i", ignore_exists=True, fields=["a"]), [EXISTS])
    gone: Any = {"ignore_if_not_exists": True}
    assert asked(ix.drop_index(DEFAULTS, "b", "i", **gone), [MISSING])[1] is None
    assert asked(ix.drop_primary_index(DEFAULTS, "b", **gone), [MISSING])[1] is None
    assert asked(old.n1ql_index_drop(BUCKET, "i", ignore_missing=True), [MISSING])[1] is None
    assert asked(old.n1ql_index_drop_primary(BUCKET, ignore_missing=True), [MISSING])[1] is None


def test_what_did_not_run_is_asked_again() -> None:
    """With pauses, for as long as there is time."""
    busy = refused(5000, "busy", retry=True)
    bodies, _ = asked(ix.create_primary_index(DEFAULTS, "b"), [busy] * 150 + [FINE])
    assert len(bodies) == 151


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ix.create_index(DEFAULTS, "", "i", ["a"]), "the name of a bucket"),
        (lambda: ix.create_index(DEFAULTS, "b", 1, ["a"]), "the name of an index"),  # type: ignore[arg-type]
        (lambda: ix.create_index(DEFAULTS, "b", "i", "a"), "a list of str"),
        (lambda: ix.create_index(DEFAULTS, "b", "i", []), "at least"),
        (lambda: ix.create_index(DEFAULTS, "b", "i", [1]), "is indexed is a str"),  # type: ignore[list-item]
        (lambda: ix.create_index(DEFAULTS, "b", "i", ["a"], num_replicas=-1), "num_replicas"),
        (lambda: ix.create_index(DEFAULTS, "b", "i", ["a"], deferred="x"), "deferred"),  # type: ignore[arg-type]
        (lambda: ix.create_index(DEFAULTS, "b", "i", ["a"], condition=""), "a condition"),
        (lambda: ix.get_all_indexes(DEFAULTS, "b", scope_name="s"), "go together"),
        (lambda: ix.watch_indexes(DEFAULTS, "b", "i"), "index_names is a list"),
        (lambda: old.n1ql_index_create(BUCKET, 5), "an N1qlIndex"),  # type: ignore[arg-type]
        (lambda: old.n1ql_index_create(BUCKET, "", primary=True, fields=["a"]), "no fields"),
        (lambda: old.n1ql_index_watch(BUCKET, "i"), "a list of indexes"),
        (lambda: old.n1ql_index_drop(BUCKET, ""), "the name of an index"),
    ],
)
def test_what_is_refused(call: Any, said: str) -> None:
    """What no call can be given is an error at once."""
    with pytest.raises(ArgumentError, match=said) as raised:
        call()
    assert type(raised.value) in {ArgumentError, InvalidSettingError}
