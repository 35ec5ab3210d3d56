"""Search indexes over HTTP: definitions, what they may be, and what they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, User, administrator
from tests.embedded.client import STORE
from tests.embedded.client import Client as DataClient
from tests.embedded.web import ADMIN, Client, login, plain

INDEX = "/api/index/hotels"
SCOPE = "/api/bucket/default/scope/app/index"
DEFINITION = {"type": "fulltext-index", "sourceType": "couchbase", "sourceName": "default"}


def mapped(*collections: str, default: bool = False) -> dict[str, Any]:
    """Return a definition over some collections."""
    mapping = {
        "default_mapping": {"enabled": default, "dynamic": True},
        "types": {name: {"enabled": True, "dynamic": True} for name in collections},
    }
    params = {"doc_config": {"mode": "scope.collection.type_field"}, "mapping": mapping}
    return {**DEFINITION, "params": params}


def alias(*targets: str, **members: Any) -> dict[str, Any]:
    """Return a definition of an alias."""
    params = {"targets": dict.fromkeys(targets, members)}
    return {"type": "fulltext-alias", "sourceType": "nil", "params": params}


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """One node with a collection, and two buckets that matter less."""
    users = [administrator(), User("user", "password")]
    buckets: list[str | BucketSettings] = [
        "default",
        "other",
        BucketSettings("cache", memcached=True),
    ]
    cluster = EmbeddedCluster(1, buckets, users, replicas=0, clock=ManualClock())
    cluster.create_collection("default", "app.users")
    return cluster


def ask(
    cluster: EmbeddedCluster,
    method: str,
    path: str,
    document: Any = None,
    who: str = ADMIN,
) -> tuple[int, Any]:
    """Ask the search service; return status and body."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    client = Client(cluster.nodes[0].accept_http("fts"))
    status, _, said = client.ask(path, who, method, b"" if document is None else body)
    return status, plain(said)


def put(cluster: EmbeddedCluster, path: str = INDEX, document: Any = None) -> Any:
    """Store a definition that can be stored; return the answer."""
    status, said = ask(cluster, "PUT", path, document or DEFINITION)
    assert (status, said["status"]) == (200, "ok"), said
    return said


def refused(cluster: EmbeddedCluster, path: str, document: Any) -> str:
    """Have a definition refused; return why."""
    status, said = ask(cluster, "PUT", path, document)
    assert (status, said["status"]) == (400, "fail")
    if not isinstance(document, bytes):
        assert said["request"] == document
    text: str = said["error"]
    return text


def test_definition(cluster: EmbeddedCluster) -> None:
    """A definition is told with what it had no word of, and with its partitions."""
    assert ask(cluster, "GET", "/api/index") == (200, {"status": "ok", "indexDefs": None})
    said = put(cluster, document={**DEFINITION, "planParams": {"indexPartitions": 3}})
    assert said["name"] == "hotels"
    status, found = ask(cluster, "GET", INDEX)
    definition = found["indexDef"]
    assert (status, definition["uuid"], found["warnings"]) == (200, said["uuid"], None)
    assert list(definition) == [
        *("type", "name", "uuid", "sourceType", "sourceName", "sourceUUID"),
        *("planParams", "params", "sourceParams"),
    ]
    assert definition["sourceType"] == "gocbcore"
    assert definition["sourceUUID"] == cluster.buckets["default"].uuid
    assert definition["params"]["mapping"]["default_mapping"] == {"dynamic": True, "enabled": True}
    partitions = found["planPIndexes"]
    covered = [each["sourcePartitions"].split(",") for each in partitions]
    assert [number for each in covered for number in each] == [str(each) for each in range(1024)]
    assert [len(each) for each in covered] == [342, 342, 340]
    listed = ask(cluster, "GET", "/api/index")[1]["indexDefs"]
    assert (listed["uuid"], list(listed["indexDefs"])) == (said["uuid"], ["hotels"])
    assert ask(cluster, "GET", f"{INDEX}/status") == (200, {"status": "ok", "indexStatus": "Ready"})


def test_uuids(cluster: EmbeddedCluster) -> None:
    """Each change has its uuid, which a replacement has to know."""
    first = put(cluster)["uuid"]
    text = refused(cluster, INDEX, DEFINITION)
    assert text == (
        "rest_create_index: error creating index: , err: manager_api: could not save indexDefs, "
        "err: manager_api: cannot create index because an index with the same name already exists: "
        "hotels"
    )
    second = put(cluster, document={**DEFINITION, "uuid": first})["uuid"]
    text = refused(cluster, INDEX, {**DEFINITION, "uuid": first})
    assert text.endswith(
        "perhaps there was concurrent index definition update, "
        f"current index UUID: {second}, did not match input UUID: {first}"
    )
    assert ask(cluster, "POST", f"{INDEX}/planFreezeControl/freeze") == (200, {"status": "ok"})
    uuid = ask(cluster, "GET", INDEX)[1]["indexDef"]["uuid"]
    assert len({first, second, uuid}) == 3
    put(cluster, document={**DEFINITION, "uuid": "*"})
    assert "missing for update, indexName: a" in refused(
        cluster, "/api/index/a", {**DEFINITION, "uuid": uuid}
    )
    put(cluster, "/api/index/a", {**DEFINITION, "uuid": "*"})


@pytest.mark.parametrize(
    ("name", "document", "words"),
    [
        ("a", b"{", "could not unmarshal json, indexName: a"),
        ("a", b"[]", "could not unmarshal json"),
        ("a", {}, "rest_create_index: index type is required, indexName: a"),
        ("a", {"type": "x"}, "rest_create_index: sourceType is required, indexName: a"),
        ("a", {"type": "x", "sourceType": "nil"}, "unknown indexType: x"),
        ("1a", DEFINITION, 'indexName is invalid, indexName: "1a"'),
        ("t%20mp", DEFINITION, "error creating index: t mp, err: manager_api: CreateIndex, indexN"),
        ("a" * 210, DEFINITION, "less than 209 characters"),
        ("a", {**DEFINITION, "sourceName": "no"}, "failed to connect to or retrieve information"),
        ("a", {**DEFINITION, "sourceName": "cache"}, "failed to connect"),
        ("a", {**DEFINITION, "sourceType": "files"}, "failed to connect"),
        ("a", {**DEFINITION, "sourceUUID": "5"}, "sourceUUID mismatched for sourceName: default"),
        ("a", {**DEFINITION, "planParams": {"numReplicas": 4}}, "maxReplicasAllowed: '3'"),
        ("a", {**DEFINITION, "planParams": {"numReplicas": 1}}, "needs 2 search nodes"),
        ("a", {**DEFINITION, "planParams": {"numReplicas": True}}, "maxReplicasAllowed"),
        ("a", {**DEFINITION, "planParams": {"indexPartitions": 1025}}, "has 1024 vbuckets"),
        ("a", mapped("app.no"), "collection: 'no' doesn't belong to scope: 'app'"),
        ("a", mapped("no.no"), "scope: 'no' not found in bucket: 'default'"),
        ("a", mapped(), "scope: '' not found"),
        ("a", mapped("app.users", default=True), "multiple scopes found: '_default', 'app'"),
        ("a", alias(), "no index targets were specified"),
    ],
)
def test_refused(
    cluster: EmbeddedCluster, name: str, document: dict[str, Any] | bytes, words: str
) -> None:
    """What is no definition is refused in the service's words, and nothing is stored."""
    assert words in refused(cluster, f"/api/index/{name}", document)
    assert ask(cluster, "GET", "/api/index")[1]["indexDefs"] is None


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"default_analyzer": "nope"}, "no analyzer with name or type 'nope' registered"),
        ({"types": {"t": {"default_analyzer": "nope"}}}, "'nope' registered"),
        ({"default_mapping": None}, "a mapping is no object"),
        ({"types": []}, "a mapping is no object"),
        ({"types": {"t": 5}}, "a mapping is no object"),
        (
            {"types": {"t": {"properties": {"a": {"fields": [{"type": "nope"}]}}}}},
            "field: 'a', unknown field type: 'nope'",
        ),
        (
            {"default_mapping": {"properties": {"a": {"fields": [{"analyzer": "nope"}]}}}},
            "'nope' registered",
        ),
    ],
)
def test_mappings(cluster: EmbeddedCluster, mapping: dict[str, Any], words: str) -> None:
    """Analyzers and types of fields are known, or its own."""
    assert words in refused(cluster, INDEX, {**DEFINITION, "params": {"mapping": mapping}})
    own = {"analysis": {"analyzers": {"nope": {"type": "custom"}}}, "default_analyzer": "nope"}
    put(cluster, document={**DEFINITION, "params": {"mapping": own}})


def test_deep_mapping(cluster: EmbeddedCluster) -> None:
    """A definition that is nested too deep is refused, not followed to the end."""
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"properties": {"a": deep}}
    body = json.dumps({**DEFINITION, "params": {"mapping": {"default_mapping": deep}}}).encode()
    assert ask(cluster, "PUT", INDEX, body)[0] in (200, 400)


def test_scopes(cluster: EmbeddedCluster) -> None:
    """A scope's index is of its collections alone, and goes with them."""
    assert put(cluster, f"{SCOPE}/users", mapped("app.users"))["name"] == "default.app.users"
    assert "validation of bucket and/or scope" in refused(cluster, f"{SCOPE}/a", DEFINITION)
    put(cluster, "/api/bucket/default/scope/_default/index/plain")
    listed = ask(cluster, "GET", SCOPE)[1]["indexDefs"]["indexDefs"]
    assert [(key, each["name"]) for key, each in listed.items()] == [("default.app.users", "users")]
    for path in (f"{SCOPE}/users", "/api/index/default.app.users"):
        found = ask(cluster, "GET", path)[1]["indexDef"]
        assert found["name"] == path.rpartition("/")[2]
    cluster.drop_scope("default", "app")
    assert ask(cluster, "GET", f"{SCOPE}/users")[0] == 400
    cluster.remove_bucket("default")
    cluster.add_bucket("default")
    assert ask(cluster, "GET", "/api/index")[1]["indexDefs"]["indexDefs"] == {}


def test_count(cluster: EmbeddedCluster) -> None:
    """Documents are counted by collection, as long as they live and are JSON."""
    client = DataClient.ready(cluster.nodes[0])
    put(cluster)
    put(cluster, f"{SCOPE}/users", mapped("app.users"))
    uid = cluster.buckets["default"].manifest.find("app", "users").uid  # type: ignore[union-attr]
    for name in "abc":
        assert client.set(name, b"{}").status == 0
    client.set("d", b"no JSON")
    client.set("e", b"{}", collection=uid)
    paths = (f"{INDEX}/count", f"{SCOPE}/users/count")
    counts = [ask(cluster, "GET", path)[1]["count"] for path in paths]
    assert counts == [3, 1]
    client.document(0x04, "a")
    assert ask(cluster, "GET", paths[0])[1]["count"] == 2
    assert isinstance(cluster.clock, ManualClock)
    client.ask(0x01, **client.parts("b"), value=b"{}", extras=STORE[:4] + (10).to_bytes(4))
    cluster.clock.advance(11)
    assert ask(cluster, "GET", paths[0])[1]["count"] == 1
    stats = ask(cluster, "GET", "/api/nsstats")[1]
    assert stats["default:hotels:doc_count"] == 1
    assert stats["default:default.app.users:num_pindexes_actual"] == 1


def test_held(cluster: EmbeddedCluster) -> None:
    """An index that is told to follow no more keeps its count, also if it is stored like that."""
    client = DataClient.ready(cluster.nodes[0])
    put(cluster)
    client.set("a", b"{}")
    assert ask(cluster, "POST", f"{INDEX}/ingestControl/pause")[0] == 200
    client.set("b", b"{}")
    definition = ask(cluster, "GET", INDEX)[1]["indexDef"]
    switches = definition["planParams"]["nodePlanParams"]
    assert switches == {"": {"": {"canRead": True, "canWrite": False}}}
    definition = {**definition, "uuid": put(cluster, document=definition)["uuid"]}
    assert ask(cluster, "GET", f"{INDEX}/count")[1]["count"] == 1
    # Another definition begins anew, and nothing is indexed.
    put(cluster, document={**definition, "params": {"store": {"indexType": "other"}}})
    assert ask(cluster, "GET", f"{INDEX}/count")[1]["count"] == 0
    assert ask(cluster, "POST", f"{INDEX}/ingestControl/resume")[0] == 200
    assert ask(cluster, "GET", f"{INDEX}/count")[1]["count"] == 2


def test_aliases(cluster: EmbeddedCluster) -> None:
    """An alias has what its targets have, once; one that leads nowhere is told."""
    client = DataClient.ready(cluster.nodes[0])
    put(cluster)
    client.set("a", b"{}")
    put(cluster, "/api/index/one", alias("hotels"))
    put(cluster, "/api/index/two", alias("one", "hotels"))
    assert ask(cluster, "GET", "/api/index/two/count") == (200, {"status": "ok", "count": 1})
    found = ask(cluster, "GET", "/api/index/one")[1]
    assert (found["planPIndexes"], found["indexDef"]["planParams"]) == (None, {})
    put(cluster, "/api/index/lost", alias("nosuch"))
    put(cluster, "/api/index/old", alias("hotels", indexUUID="5"))
    put(cluster, "/api/index/round", alias("one", "round"))
    for number in range(60):
        put(cluster, f"/api/index/deep{number}", alias(f"deep{number + 1}"))
    put(cluster, "/api/index/deep60", alias("hotels"))
    for name, words in (
        ("lost", 'does not exist, targetName: "nosuch", aliasName: "lost"'),
        ("old", "mismatched targetSpec.UUID: 5"),
        ("round", "cyclic index alias round"),
        ("deep0", "too many alias targets"),
    ):
        status, said = ask(cluster, "GET", f"/api/index/{name}/count")
        assert status == 500
        assert said["error"].startswith(f"rest_index: Count, indexName: {name}, err: alias: ")
        assert words in said["error"]
    put(cluster, f"{SCOPE}/users", mapped("app.users"))
    put(cluster, f"{SCOPE}/all", alias("users"))
    assert ask(cluster, "GET", f"{SCOPE}/all/count") == (200, {"status": "ok", "count": 0})


def test_query_control(cluster: EmbeddedCluster) -> None:
    """An index that must not be queried says so."""
    put(cluster)
    request: dict[str, Any] = {"query": {"match_all": {}}}
    assert ask(cluster, "POST", f"{INDEX}/query", request)[0] == 200
    ask(cluster, "POST", f"{INDEX}/queryControl/disallow")
    said = ask(cluster, "POST", f"{INDEX}/query", request)[1]
    assert said["error"] == "rest_index: Query, indexName: hotels, err: pindex not available"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/count"),
        ("GET", "/status"),
        ("POST", "/query"),
        ("POST", "/analyzeDoc"),
        ("POST", "/ingestControl/pause"),
    ],
)
def test_not_found(cluster: EmbeddedCluster, method: str, path: str) -> None:
    """An index that is not there is 400, whatever is asked of it."""
    for where in ("/api/index/nosuch", f"{SCOPE}/nosuch"):
        status, said = ask(cluster, method, where + path)
        error = "rest_auth: preparePerms, err: index not found"
        assert (status, said) == (400, {"error": error, "request": "", "status": "fail"})


def test_unknown_controls(cluster: EmbeddedCluster) -> None:
    """What cannot be switched is told apart from what is not known at all."""
    put(cluster)
    status, said = ask(cluster, "POST", f"{INDEX}/ingestControl/nope")
    assert (status, said["error"]) == (400, "rest_index: IndexControl, error: unsupported op: nope")
    assert ask(cluster, "POST", f"{INDEX}/nope/nope")[0] == 404


def test_rights(cluster: EmbeddedCluster) -> None:
    """Roles say who sees an index, and who may change it; aliases show what they stand for."""
    put(cluster)
    put(cluster, "/api/index/elsewhere", {**DEFINITION, "sourceName": "other"})
    put(cluster, "/api/index/both", alias("hotels", "elsewhere"))
    web = Client(cluster.nodes[0].accept_http())
    users = "/settings/rbac/users/local"
    for name, role in (("admin1", "fts_admin"), ("reader", "fts_searcher")):
        web.form("PUT", f"{users}/{name}", password="password", roles=f"{role}[default]")
    for name in ("admin1", "reader"):
        found = ask(cluster, "GET", "/api/index", who=login(name))[1]["indexDefs"]["indexDefs"]
        assert list(found) == ["hotels"]
        for other in ("both", "elsewhere"):
            assert ask(cluster, "GET", f"/api/index/{other}", who=login(name))[0] == 403
    status, said = ask(cluster, "DELETE", INDEX, who=login("reader"))
    assert (status, said["permissions"]) == (403, ["write permission for the source."])
    assert ask(cluster, "PUT", "/api/index/a", DEFINITION, login("reader"))[0] == 403
    assert ask(cluster, "GET", "/api/nsstats", who=login("user"))[1] == {}
    assert ask(cluster, "POST", f"{INDEX}/ingestControl/pause", who=login("admin1"))[0] == 200
    assert ask(cluster, "DELETE", INDEX, who=login("admin1"))[0] == 200
