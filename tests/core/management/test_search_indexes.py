"""Search indexes by the builders of the core, asked of an embedded search service."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    FeatureNotAvailableError,
    HTTPError,
    IndexChangedError,
    IndexExistsError,
    IndexNotFoundError,
    IndexNotReadyError,
    InvalidNameError,
    InvalidSettingError,
    NotAuthorizedError,
    ProtocolError,
    QuotaLimitedError,
    RateLimitedError,
    SearchIndexNotFoundError,
)
from couchloop.management import search_indexes as search
from couchloop.management.search_indexes import SearchIndex
from tests.core.management.manager import DEFAULTS, Manager, answered, of_scope
from tests.embedded.client import Client as DataClient
from tests.embedded.web import login

INDEX = SearchIndex("hotels", source_name="default")
SCOPE = of_scope("default", "app")
SCOPED = SearchIndex(
    "users",
    source_name="default",
    params={
        "doc_config": {"mode": "scope.collection.type_field"},
        "mapping": {
            "default_mapping": {"enabled": False},
            "types": {"app.users": {"enabled": True, "dynamic": True}},
        },
    },
)


@pytest.fixture
def manager() -> Manager:
    """A cluster with an index over its bucket, and a collection without one."""
    manager = Manager()
    manager.cluster.create_collection("default", "app.users")
    manager.do(search.upsert_index(DEFAULTS, INDEX))
    return manager


def store(manager: Manager, *keys: str, value: bytes = b"{}") -> None:
    """Store documents."""
    clients = [DataClient.ready(node) for node in manager.cluster.nodes]
    for key in keys:
        # One of them has it.
        assert 0 in {client.set(key, value).status for client in clients}


def test_life(manager: Manager) -> None:
    """An index is made, described, listed, replaced by its uuid, and dropped."""
    found = manager.do(search.get_index(DEFAULTS, "hotels"))
    assert (found.name, found.source_name, found.idx_type) == ("hotels", "default", INDEX.idx_type)
    assert found.params["mapping"]["default_analyzer"] == "standard"
    assert found.source_uuid == manager.cluster.buckets["default"].uuid
    manager.do(search.upsert_index(DEFAULTS, found))
    (listed,) = manager.do(search.get_all_indexes(DEFAULTS))
    assert (listed.name, listed.params) == ("hotels", found.params)
    assert listed.uuid != found.uuid
    manager.do(search.drop_index(DEFAULTS, "hotels"))
    assert manager.do(search.get_all_indexes(DEFAULTS)) == []


def test_replacing(manager: Manager) -> None:
    """Whether an index is there, is gone or is another by now is told by class."""
    with pytest.raises(IndexExistsError, match="give the uuid"):
        manager.do(search.upsert_index(DEFAULTS, INDEX))
    with pytest.raises(IndexChangedError):
        manager.do(
            search.upsert_index(DEFAULTS, SearchIndex("hotels", source_name="default", uuid="5"))
        )
    with pytest.raises(SearchIndexNotFoundError, match="dropped since"):
        manager.do(
            search.upsert_index(DEFAULTS, SearchIndex("no", source_name="default", uuid="5"))
        )
    manager.do(
        search.upsert_index(DEFAULTS, SearchIndex("hotels", source_name="default", uuid="*"))
    )


def test_switches(manager: Manager) -> None:
    """What an index is told shows in its definition."""
    for build, shown in (
        (search.pause_ingest, (True, False, False)),
        (search.disallow_querying, (True, True, False)),
        (search.freeze_plan, (True, True, True)),
        (search.resume_ingest, (False, True, True)),
        (search.unfreeze_plan, (False, True, False)),
        (search.allow_querying, (False, False, False)),
    ):
        manager.do(build(DEFAULTS, "hotels"))
        found = manager.do(search.get_index(DEFAULTS, "hotels"))
        assert (found.is_held, found.is_closed, found.is_frozen) == shown


def test_count(manager: Manager) -> None:
    """Documents are counted where they are; an index that is held keeps what it has."""
    count = search.get_indexed_documents_count
    store(manager, "a", "b")
    store(manager, "c", value=b"no JSON")
    assert manager.do(count(DEFAULTS, "hotels")) == 2
    manager.do(search.pause_ingest(DEFAULTS, "hotels"))
    store(manager, "d")
    assert manager.do(count(DEFAULTS, "hotels")) == 2
    manager.do(search.resume_ingest(DEFAULTS, "hotels"))
    assert manager.do(count(DEFAULTS, "hotels")) == 3
    stats = manager.do(search.get_index_stats(DEFAULTS, "hotels"))
    assert [each["basic"] for each in stats["pindexes"].values()] == [{"DocCount": 3}]
    stats = manager.do(search.get_all_index_stats(DEFAULTS))
    assert stats["default:hotels:doc_count"] == 3


def test_scopes(manager: Manager) -> None:
    """A scope's indexes are apart from the cluster's, where they have their whole names."""
    manager.do(search.upsert_index(SCOPE, SCOPED))
    assert manager.asked[-1].path == "/api/bucket/default/scope/app/index/users"
    (listed,) = manager.do(search.get_all_indexes(SCOPE))
    assert listed.name == manager.do(search.get_index(SCOPE, "users")).name == "users"
    everything = manager.do(search.get_all_indexes(DEFAULTS))
    assert [each.name for each in everything] == ["default.app.users", "hotels"]
    for build in (search.pause_ingest, search.freeze_plan, search.disallow_querying):
        manager.do(build(SCOPE, "users"))
    assert manager.do(search.get_indexed_documents_count(SCOPE, "users")) == 0
    manager.do(search.get_index_stats(SCOPE, "users"))
    assert manager.asked[-1].path == "/api/stats/index/default.app.users"
    manager.do(search.drop_index(SCOPE, "users"))
    with pytest.raises(SearchIndexNotFoundError):
        manager.do(search.get_index(SCOPE, "users"))


@pytest.mark.parametrize(
    "build",
    [
        search.get_index,
        search.drop_index,
        search.get_indexed_documents_count,
        search.pause_ingest,
        search.resume_ingest,
        search.allow_querying,
        search.disallow_querying,
        search.freeze_plan,
        search.unfreeze_plan,
        search.get_index_stats,
    ],
)
def test_not_found(manager: Manager, build: Any) -> None:
    """An index that is not there, of the cluster or of a scope, is told by its class."""
    for where in (DEFAULTS, SCOPE):
        with pytest.raises(SearchIndexNotFoundError) as caught:
            manager.do(build(where, "nosuch"))
        assert isinstance(caught.value, IndexNotFoundError)
        assert caught.value.ID == 17
    with pytest.raises(InvalidNameError):
        build(DEFAULTS, "")
    with pytest.raises(InvalidNameError):
        build(of_scope("b", ""), "a")


def test_analysis(manager: Manager) -> None:
    """The tokens of each field, as the service tells them."""
    ((field, *_),) = [list(manager.do(search.analyze_document(DEFAULTS, "hotels", {"a": "b"}))[0])]
    assert field == "b"
    body = b'{"status":"ok","analyzed":[{"b":{"Term":"Yg=="}},null]}'
    build = search.analyze_document(DEFAULTS, "hotels", {"a": "b"})
    assert answered(build, [(200, body)]) == [{"b": {"Term": "Yg=="}}, None]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"error":"pindex: no planPIndexes for indexName: a"}', IndexNotReadyError),
        (
            400,
            b'{"error":"rest_index: Count, err: manager: no indexDef"}',
            SearchIndexNotFoundError,
        ),
        (403, b'{"message":"Forbidden","permissions":["read"]}', NotAuthorizedError),
        (429, b'{"error":"num_queries_per_min"}', RateLimitedError),
        (404, b'{"error":"Page not found","status":"fail"}', FeatureNotAvailableError),
        (404, b"Not Found", FeatureNotAvailableError),
        (500, b'{"error":"whatever"}', HTTPError),
        (200, b'{"status":"fail","error":"whatever"}', HTTPError),
    ],
)
def test_refused(status: int, body: bytes, kind: type[Exception]) -> None:
    """What an answer means is told by class."""
    build = search.get_indexed_documents_count(of_scope("b", "s"), "a")
    with pytest.raises(kind) as caught:
        answered(build, [(status, body)])
    assert type(caught.value) is kind


def test_quota() -> None:
    """A limit of the cluster's is told as such."""
    body = b'{"error":"rest_create_index: limits exceeded: num_fts_indexes"}'
    with pytest.raises(QuotaLimitedError):
        answered(search.upsert_index(DEFAULTS, INDEX), [(400, body)])


def test_rights(manager: Manager) -> None:
    """Who has no right to a bucket's indexes sees none, and is told so."""
    manager.login = login("user")
    assert manager.do(search.get_all_indexes(DEFAULTS)) == []
    with pytest.raises(NotAuthorizedError, match="write permission"):
        manager.do(search.drop_index(DEFAULTS, "hotels"))


def test_bad_arguments() -> None:
    """What no server takes is refused at the call."""
    wrong: list[Any] = [
        "hotels",
        SearchIndex("a", source_type=""),
        SearchIndex("a", idx_type=5),  # type: ignore[arg-type]
        SearchIndex("a", source_name=5),  # type: ignore[arg-type]
        SearchIndex("a", uuid=5),  # type: ignore[arg-type]
        SearchIndex("a", params=[]),  # type: ignore[arg-type]
        SearchIndex("a", plan_params={"a": {1}}),
    ]
    for index in wrong:
        with pytest.raises(InvalidSettingError):
            search.upsert_index(DEFAULTS, index)
    with pytest.raises(InvalidNameError):
        search.upsert_index(DEFAULTS, SearchIndex(""))
    with pytest.raises(InvalidSettingError):
        search.analyze_document(DEFAULTS, "a", float("nan"))


def test_what_is_sent() -> None:
    """What is empty is left to the server; names are encoded."""
    steps: Any = search.upsert_index(DEFAULTS, SearchIndex("a/b", source_name="c")).take_over()
    request = next(steps)
    assert request.path == "/api/index/a%2Fb"
    assert request.headers == (("Cache-Control", "no-cache"),)
    body = b'{"name":"a/b","type":"fulltext-index","sourceType":"couchbase","sourceName":"c"}'
    assert request.body == body


def test_old_forms() -> None:
    """Params that are a text, and no definitions at all, as older servers say it."""
    body = (
        b'{"status":"ok","indexDef":{"name":"a","type":"fulltext-index","uuid":"5",'
        b'"params":"{\\"store\\":{}}","sourceParams":null,"planParams":{"nodePlanParams":[]}}}'
    )
    found = answered(search.get_index(DEFAULTS, "a"), [(200, body)])
    assert (found.params, found.source_params, found.is_held) == ({"store": {}}, {}, False)
    for none in (b'{"status":"ok","indexDefs":null}', b'{"indexDefs":{"indexDefs":null}}'):
        assert answered(search.get_all_indexes(DEFAULTS), [(200, none)]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"indexDef":{"name":"a"}}',
        b'{"indexDef":5}',
        b'{"indexDef":{"name":"a","type":"b","uuid":"c","params":"{"}}',
        b'{"indexDef":{"name":"a","type":"b","uuid":"c","params":"[5]"}}',
    ],
)
def test_unreadable(body: bytes) -> None:
    """An answer that describes no index is told as such."""
    with pytest.raises(ProtocolError):
        answered(search.get_index(DEFAULTS, "a"), [(200, body)])


@pytest.mark.parametrize(
    ("build", "body"),
    [
        (search.get_all_indexes(DEFAULTS), b'{"indexDefs":5}'),
        (search.get_all_indexes(DEFAULTS), b'{"indexDefs":{"indexDefs":[5]}}'),
        (search.get_all_indexes(DEFAULTS), b'{"indexDefs":{"indexDefs":{"a":5}}}'),
        (search.get_indexed_documents_count(DEFAULTS, "a"), b'{"count":"5"}'),
        (search.get_indexed_documents_count(DEFAULTS, "a"), b'{"count":true}'),
        (search.analyze_document(DEFAULTS, "a", 1), b'{"analyzed":5}'),
        (search.get_index_stats(DEFAULTS, "a"), b"[]"),
        (search.pause_ingest(DEFAULTS, "a"), b"[]"),
    ],
)
def test_other_unreadable_answers(build: Any, body: bytes) -> None:
    """Likewise what the others answer."""
    with pytest.raises(ProtocolError):
        answered(build, [(200, body)])
