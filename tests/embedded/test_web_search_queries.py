"""Searches over HTTP, as far as no recording tells: documents that change, collections, vectors."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock, User, administrator
from couchloop.wire import Opcode
from tests.embedded.client import Client as DataClient
from tests.embedded.client import vbucket_of
from tests.embedded.test_web_search_indexes import (
    DEFINITION,
    INDEX,
    SCOPE,
    alias,
    ask,
    mapped,
    put,
)
from tests.embedded.web import login

EVERYTHING: dict[str, Any] = {"query": {"match_all": {}}, "sort": ["_id"]}


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """One node with two collections."""
    users = [administrator(), User("user", "password")]
    cluster = EmbeddedCluster(1, ["default", "other"], users, replicas=0, clock=ManualClock())
    cluster.create_collection("default", "app.users")
    cluster.create_collection("default", "app.places")
    return cluster


class Documents:
    """Writes documents."""

    def __init__(self, cluster: EmbeddedCluster, collection: str = "_default._default") -> None:
        scope, _, name = collection.partition(".")
        found = cluster.buckets["default"].manifest.find(scope, name)
        assert found is not None
        self._collection = found.uid
        self._client = DataClient.ready(cluster.nodes[0])

    def put(self, key: str, expiry: int = 0, **members: Any) -> tuple[str, int, int]:
        """Write one; return vbucket, its uuid, and the sequence number."""
        extras = bytes(4) + expiry.to_bytes(4)
        parts = self._client.parts(key, self._collection, value=json.dumps(members).encode())
        answer = self._client.ask(Opcode.SET, **{**parts, "extras": extras})
        assert answer.status == 0, answer
        uuid, seqno = (int.from_bytes(answer.extras[at : at + 8]) for at in (0, 8))
        return str(vbucket_of(key.encode())), uuid, seqno

    def delete(self, key: str) -> None:
        answer = self._client.ask(Opcode.DELETE, **self._client.parts(key, self._collection))
        assert answer.status == 0


def search(
    cluster: EmbeddedCluster, request: dict[str, Any], path: str = INDEX, who: str = ""
) -> Any:
    """Search, and return the answer."""
    more = {"who": who} if who else {}
    status, said = ask(cluster, "POST", f"{path}/query", request, **more)
    assert status == 200, said
    return said


def ids(cluster: EmbeddedCluster, request: dict[str, Any], path: str = INDEX) -> list[str]:
    """Search, and return the ids of the hits."""
    return [hit["id"] for hit in search(cluster, request, path)["hits"]]


def why(cluster: EmbeddedCluster, request: Any, status: int = 400) -> str:
    """Have a search refused; return why, without what is said always."""
    given, said = ask(cluster, "POST", f"{INDEX}/query", request)
    assert given == status, said
    text: str = said["error"]
    return text.removeprefix("rest_index: Query, indexName: hotels, err: ").removeprefix(
        "bleve: QueryBleve parsing searchRequest, err: "
    )


def test_documents_that_change(cluster: EmbeddedCluster) -> None:
    """What is written, replaced, deleted, or has expired is so for the next search."""
    put(cluster)
    documents = Documents(cluster)
    request = {"query": {"match": "old", "field": "name"}}
    assert ids(cluster, request) == []
    documents.put("a", name="an old house")
    assert ids(cluster, request) == ["a"]
    documents.put("a", name="a new house")
    assert ids(cluster, request) == []
    documents.put("b", expiry=10, name="old")
    documents.put("c", name="old")
    assert sorted(ids(cluster, request)) == ["b", "c"]
    documents.delete("c")
    assert ids(cluster, request) == ["b"]
    clock = cluster.clock
    assert isinstance(clock, ManualClock)
    clock.advance(11)
    assert ids(cluster, request) == []
    cluster.buckets["default"].flush()
    assert ids(cluster, EVERYTHING) == []


def test_a_paused_index_keeps_what_it_has(cluster: EmbeddedCluster) -> None:
    """It follows its documents again when it is told to."""
    put(cluster)
    documents = Documents(cluster)
    documents.put("a")
    ask(cluster, "POST", f"{INDEX}/ingestControl/pause")
    documents.put("b")
    documents.delete("a")
    assert ids(cluster, EVERYTHING) == ["a"]
    ask(cluster, "POST", f"{INDEX}/ingestControl/resume")
    assert ids(cluster, EVERYTHING) == ["b"]


def test_consistency(cluster: EmbeddedCluster) -> None:
    """What was written is there; what never was, and another history, are told apart."""
    put(cluster)
    vbucket, uuid, seqno = Documents(cluster).put("a")

    def request(number: int, history: int) -> dict[str, Any]:
        vectors = {"hotels": {f"{vbucket}/{history}": number}}
        control = {"consistency": {"level": "at_plus", "vectors": vectors}}
        return EVERYTHING | {"ctl": control}

    assert ids(cluster, request(seqno, uuid)) == ["a"]
    said = json.loads(why(cluster, request(seqno + 1, uuid), 412))
    assert said["status"] == "remote consistency error"
    assert said["startEndSeqs"] == {vbucket: [seqno, seqno + 1]}
    assert why(cluster, request(seqno, uuid + 1)).startswith(
        f"bleve: pindex_consistency mismatched partition, uuid: {uuid}, cwr: "
    )


def test_collections(cluster: EmbeddedCluster) -> None:
    """An index of several collections says which one a hit is of, and finds those of some only."""
    path = f"{SCOPE}/hotels"
    put(cluster, path, mapped("app.users", "app.places"))
    Documents(cluster, "app.users").put("a")
    Documents(cluster, "app.places").put("a")
    Documents(cluster).put("elsewhere")
    found = search(cluster, EVERYTHING, path)["hits"]
    assert sorted((hit["id"], hit["fields"]["_$c"]) for hit in found) == [
        ("a", "places"),
        ("a", "users"),
    ]
    found = search(cluster, EVERYTHING | {"collections": ["places"]}, path)["hits"]
    assert [hit["fields"] for hit in found] == [{"_$c": "places"}]


def test_types(cluster: EmbeddedCluster) -> None:
    """A document's type says which mapping it has; an index is of those that have one."""
    definition = json.loads(json.dumps(DEFINITION))
    described = {"name": "name", "index": True, "type": "text", "analyzer": "keyword"}
    person = {"dynamic": False, "properties": {"name": {"fields": [described]}}}
    definition["params"] = {"mapping": {"types": {"person": person}, "default_mapping": {}}}
    put(cluster, document=definition)
    documents = Documents(cluster)
    documents.put("a", type="person", name="Old Town")
    documents.put("b", type="place", name="Old Town")
    assert ids(cluster, {"query": {"term": "Old Town", "field": "name"}}) == ["a"]
    assert ids(cluster, {"query": {"term": "town", "field": "name"}}) == ["b"]
    assert ids(cluster, {"query": {"match": "Old Town", "field": "name"}}) == ["a"]


def test_own_analyzers(cluster: EmbeddedCluster) -> None:
    """They are put together of parts; a part that is not here is told."""
    definition = json.loads(json.dumps(DEFINITION))
    own: dict[str, Any] = {
        "type": "custom",
        "tokenizer": "whitespace",
        "token_filters": ["to_lower"],
    }
    mapping: dict[str, Any] = {"analysis": {"analyzers": {"mine": own}}, "default_analyzer": "mine"}
    definition["params"] = {"mapping": mapping}
    put(cluster, document=definition)
    Documents(cluster).put("a", name="The Wi-Fi")
    assert ids(cluster, {"query": {"match": "WI-FI"}}) == ["a"]
    assert ids(cluster, {"query": {"match": "the"}}) == ["a"]
    own["token_filters"] = ["reverse"]
    put(cluster, document=definition | {"uuid": "*"})
    assert why(cluster, {"query": {"match": "x"}}) == (
        "part 'reverse' of analyzer 'mine' is not supported by the embedded search service"
    )
    mapping["default_analyzer"] = "de"
    put(cluster, document=definition | {"uuid": "*"})
    assert why(cluster, {"query": {"match": "x"}}) == (
        "analyzer 'de' is not supported by the embedded search service"
    )


def test_aliases(cluster: EmbeddedCluster) -> None:
    """An alias finds what all its indexes find; all their partitions count."""
    put(cluster, "/api/index/one", DEFINITION | {"planParams": {"indexPartitions": 2}})
    put(cluster, f"{SCOPE}/two", mapped("app.users"))
    put(cluster, "/api/index/both", alias("one", "default.app.two"))
    Documents(cluster).put("a")
    Documents(cluster, "app.users").put("b")
    found = search(cluster, EVERYTHING, "/api/index/both")
    assert found["status"] == {"total": 3, "failed": 0, "successful": 3}
    assert [hit["id"] for hit in found["hits"]] == ["a", "b"]
    put(cluster, "/api/index/none", alias("both", "gone"))
    status, said = ask(cluster, "POST", "/api/index/none/query", EVERYTHING)
    assert (status, "target index that does not exist" in said["error"]) == (400, True)


def test_partitions_that_fail(cluster: EmbeddedCluster) -> None:
    """Hits of the others are there, unless all are wanted; one alone is a failure."""
    put(cluster, document=DEFINITION | {"planParams": {"indexPartitions": 2}})
    documents = Documents(cluster)
    for number in range(8):
        documents.put(f"key{number}")
    index = cluster.search_indexes.get("hotels")
    assert index is not None
    index.failing[1] = "context deadline exceeded"
    found = search(cluster, EVERYTHING)
    assert (found["status"]["failed"], found["status"]["successful"]) == (1, 1)
    assert list(found["status"]["errors"].values()) == ["context deadline exceeded"]
    assert 0 < found["total_hits"] < 8
    complete = EVERYTHING | {"ctl": {"consistency": {"results": "complete"}}}
    assert why(cluster, complete) == (
        "bleve: results weren't retrieved from some index partitions: 1"
    )
    index.failing[0] = "context deadline exceeded"
    found = search(cluster, EVERYTHING)
    assert (found["hits"], found["total_hits"], found["status"]["failed"]) == (None, 0, 2)
    index.failing.clear()
    assert search(cluster, EVERYTHING)["total_hits"] == 8


def test_nodes_that_are_gone() -> None:
    """Partitions of a node that has stopped are missing, unless another has a copy."""
    cluster = EmbeddedCluster(2, ["default"], [administrator()], replicas=0, clock=ManualClock())
    for copies in (0, 1):
        plan = {"indexPartitions": 2, "numReplicas": copies}
        put(cluster, f"/api/index/with{copies}", DEFINITION | {"planParams": plan})
    cluster.stop(cluster.nodes[1])
    found = search(cluster, EVERYTHING, "/api/index/with0")
    assert list(found["status"]["errors"].values()) == [
        "dial tcp 127.0.0.1:0: connect: connection refused"
    ]
    found = search(cluster, EVERYTHING, "/api/index/with1")
    assert found["status"] == {"total": 2, "failed": 0, "successful": 2}


def test_an_alias_of_what_must_not_be_queried(cluster: EmbeddedCluster) -> None:
    """It has nothing left to search in."""
    put(cluster, "/api/index/one")
    put(cluster, INDEX, alias("one"))
    assert ids(cluster, EVERYTHING) == []
    ask(cluster, "POST", "/api/index/one/queryControl/disallow")
    assert why(cluster, EVERYTHING) == "cannot perform operation on empty alias"


def vectors(metric: str) -> dict[str, Any]:
    """Return a definition of an index of vectors."""
    described = {"index": True, "type": "vector", "dims": 2, "similarity": metric}
    encoded = described | {"type": "vector_base64"}
    properties = {
        "place": {"fields": [described | {"name": "place"}]},
        "encoded": {"fields": [encoded | {"name": "encoded"}]},
    }
    mapping = {"default_mapping": {"dynamic": True, "properties": properties}}
    return DEFINITION | {"params": {"mapping": mapping}}


@pytest.mark.parametrize(
    ("metric", "nearest"), [("l2_norm", "near"), ("dot_product", "far"), ("cosine", "far")]
)
def test_vectors(cluster: EmbeddedCluster, metric: str, nearest: str) -> None:
    """The nearest are found, by the metric of the field."""
    put(cluster, document=vectors(metric))
    documents = Documents(cluster)
    documents.put("near", place=[1.0, 0.5], kind="red")
    documents.put("far", place=[5.0, 5.0], kind="blue")
    documents.put("other", place=[-5, 5.5], kind="red")
    documents.put("odd", place=[1, 2, 3])
    near: dict[str, Any] = {"field": "place", "vector": [1, 1], "k": 1}
    nothing: dict[str, Any] = {"query": {"match_none": {}}}
    found = search(cluster, nothing | {"knn": [near]})
    assert [hit["id"] for hit in found["hits"]] == [nearest]
    assert found["max_score"] == found["hits"][0]["score"] > 0
    near["k"] = 10
    found = search(cluster, nothing | {"knn": [near], "sort": ["-_score", "_id"]})
    assert found["hits"][0]["id"] == nearest
    assert found["total_hits"] == 3
    near["filter"] = {"match": "red", "field": "kind"}
    assert sorted(ids(cluster, nothing | {"knn": [near]})) == ["near", "other"]


def test_vectors_together_with_a_query(cluster: EmbeddedCluster) -> None:
    """Either is enough, or both are wanted; a vector may be base64."""
    put(cluster, document=vectors("l2_norm"))
    documents = Documents(cluster)
    packed = b64encode(struct.pack("<2f", 1, 2)).decode()
    documents.put("a", encoded=packed, kind="red")
    documents.put("b", encoded=b64encode(struct.pack("<2f", 9, 9)).decode())
    documents.put("c", kind="red")
    request: dict[str, Any] = {
        "query": {"match": "red", "field": "kind"},
        "knn": [{"field": "encoded", "vector_base64": packed, "k": 2}],
    }
    assert sorted(ids(cluster, request)) == ["a", "b", "c"]
    assert ids(cluster, request)[0] == "a"
    assert ids(cluster, request | {"knn_operator": "and"}) == ["a"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"field": "place", "vector": [1], "k": 0}, "k must be greater than 0"),
        ({"field": "place", "vector": [], "k": 1}, "vector must be non-empty"),
        ({"field": "place", "vector": ["1"], "k": 1}, "vector must be non-empty"),
        ({"field": "place", "vector_base64": "?", "k": 1}, "vector must be non-empty"),
        ({"field": "place", "vector": [1], "k": 10_001}, "k must be less than 10000"),
        ({"field": 5, "vector": [1], "k": 1}, "field must be a string"),
        ({"field": "place", "vector": [1], "k": 1, "filter": {"x": 1}}, "unknown query type"),
        (5, "knn query cannot be nil"),
    ],
)
def test_bad_vectors(cluster: EmbeddedCluster, given: Any, words: str) -> None:
    """What cannot be looked for is told."""
    put(cluster)
    assert words in why(cluster, {"knn": [given]})


def test_long_texts_are_cut(cluster: EmbeddedCluster) -> None:
    """A fragment is about 200 signs around what was found, and says where it was cut."""
    definition = DEFINITION | {"params": {"mapping": {"store_dynamic": True}}}
    put(cluster, document=definition)
    Documents(cluster).put("a", text=f"{'before ' * 60}needle {'after ' * 60}")
    request: dict[str, Any] = {"query": {"match": "needle"}, "highlight": {}}
    (fragment,) = search(cluster, request)["hits"][0]["fragments"]["text"]
    assert "<mark>needle</mark>" in fragment
    assert fragment.startswith("\u2026")
    assert fragment.endswith("\u2026")
    assert len(fragment) == 200 + len("<mark></mark>") + 2
    request = {"query": {"match_all": {}}, "highlight": {"fields": ["text"]}}
    (fragment,) = search(cluster, request)["hits"][0]["fragments"]["text"]
    assert fragment == f"{('before ' * 60)[:200]}\u2026"


def test_rights(cluster: EmbeddedCluster) -> None:
    """Who may not read an index may not search it."""
    put(cluster)
    assert ask(cluster, "POST", f"{INDEX}/query", EVERYTHING, login())[0] == 403
    assert ask(cluster, "POST", f"{INDEX}/analyzeDoc", {}, login())[0] == 403


TOO_MUCH: list[tuple[dict[str, Any], str]] = [
    ({"geometry": {}}, "unknown shape type: "),
    ({"disjuncts": [{"match": "a"}] * 1025}, "TooManyClauses over field: ``"),
    ({"regexp": "(((a{100}){100}){100})"}, "invalid repeat count: `{100}`"),
    ({"regexp": "(((){1000}){1000}){1000}"}, "invalid repeat count: `{1000}`"),
    ({"regexp": "a{1000}" * 20}, "expression too large"),
    ({"regexp": "^a$"}, "zero width assertions not allowed"),
    ({"regexp": "a\\b"}, "word boundaries are not allowed"),
    ({"regexp": "(a|b)+?c"}, "lazy quantifiers are not allowed"),
    ({"query": "a^inf"}, "parse error: invalid boost value"),
    ({"query": "a~x"}, "parse error: invalid fuzziness value"),
]


@pytest.mark.parametrize(("query", "words"), TOO_MUCH)
def test_what_is_too_much(cluster: EmbeddedCluster, query: dict[str, Any], words: str) -> None:
    """What is not done, or would take too long, is refused."""
    put(cluster)
    assert words in why(cluster, {"query": query})


def test_a_slow_expression_is_given_up(cluster: EmbeddedCluster) -> None:
    """Long terms and many states: the loop does not wait for all of that."""
    definition = DEFINITION | {"params": {"mapping": {"default_analyzer": "keyword"}}}
    put(cluster, document=definition)
    Documents(cluster).put("a", text="a" * 20_000)
    assert "takes too many steps" in why(
        cluster, {"query": {"regexp": "(a?){1000}(a?){1000}(a?){1000}"}}
    )


def test_time(cluster: EmbeddedCluster) -> None:
    """A search that says for how long it may go on is ended then, as far as it goes on at all."""
    put(cluster)
    Documents(cluster).put("a")
    clock = cluster.clock
    assert isinstance(clock, ManualClock)
    for milliseconds in (10, 0, -1):
        asked = EVERYTHING | {"ctl": {"timeout": milliseconds}}
        assert ids(cluster, asked) == ["a"]
    passing = clock.now
    clock.now = lambda: clock.advance(0.02) or passing()  # type: ignore[method-assign, func-returns-value]
    assert ids(cluster, EVERYTHING | {"ctl": {"timeout": 0}}) == ["a"]
    assert ids(cluster, EVERYTHING | {"ctl": {"timeout": 1000}}) == ["a"]
    assert why(cluster, EVERYTHING | {"ctl": {"timeout": 10}}) == "context deadline exceeded"


HARD: list[dict[str, Any]] = [
    {"query": {"match_all": {}}},
    {"query": {"match": "word"}},
    {"query": {"match_phrase": "word word"}},
    {"query": {"match": "wird", "fuzziness": 1}},
    {"query": {"fuzzy": "w", "term": "wird", "fuzziness": 2}},
    {"query": {"regexp": "w.*z"}},
    {"query": {"wildcard": "*x*"}},
    {"query": {"ids": ["a"]}},
    {"query": {"match_none": {}}, "knn": [{"field": "v", "vector": [1, 2], "k": 3}]},
    {"query": {"location": [0, 0], "distance": "1km", "field": "geo"}},
    {"query": {"must_not": {"disjuncts": [{"match": "word"}]}}},
]


@pytest.mark.parametrize("request_", HARD, ids=json.dumps)
def test_work(cluster: EmbeddedCluster, request_: dict[str, Any]) -> None:
    """A search looks at so many documents and terms at most: the loop does nothing else."""
    put(cluster)
    documents = Documents(cluster)
    for number in range(30):
        documents.put(f"a{number}", text=f"word word w{number}rd")
    assert ask(cluster, "POST", f"{INDEX}/query", request_)[0] == 200
    cluster.search_indexes.steps = 5
    assert why(cluster, request_) == "context deadline exceeded"
    cluster.search_indexes.steps = 0
    assert ask(cluster, "POST", f"{INDEX}/query", request_)[0] == 200


def test_bodies_with_very_many_queries(cluster: EmbeddedCluster) -> None:
    """They are refused before they are read."""
    put(cluster)
    parts = ",".join(['{"match":"a"}'] * 20_001)
    body = f'{{"query":{{"conjuncts":[{parts}]}}}}'.encode()
    assert "too many for the embedded search service" in why(cluster, body)


def test_queries_within_queries(cluster: EmbeddedCluster) -> None:
    """They may nest, but not without end."""
    put(cluster)
    Documents(cluster).put("a")
    query: dict[str, Any] = {"match_all": {}}
    for _ in range(50):
        query = {"conjuncts": [query]}
    assert ids(cluster, {"query": query}) == ["a"]
    for _ in range(200):
        query = {"conjuncts": [query]}
    assert why(cluster, {"query": query}) == "exceeded max depth of queries within queries"
    deep = b'{"query":' + b'{"conjuncts":[' * 100_000
    assert "parsing queryCtlParams" in why(cluster, deep)
