"""Queries of views over HTTP: parameters, the form of answers, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode
from zlib import crc32

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, User, administrator
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.document import Document
from couchloop.embedded.views.parameters import _READERS
from tests.embedded.web import ADMIN, Client, login, plain

VIEW = "/default/_design/d/_view"


def by_city(doc: Any, meta: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Emit where people live, and how old they are."""
    yield [doc["country"], doc["city"]], doc["age"]


def total_age(keys: list[Any] | None, values: list[Any], rereduce: bool) -> Any:
    """Add ages."""
    return {"total": sum(each["total"] if rereduce else each for each in values)}


PEOPLE = {
    "ann": {"country": "de", "city": "Ulm", "age": 30},
    "bob": {"country": "de", "city": "ulm", "age": 20},
    "cid": {"country": "fr", "city": "Pau", "age": 40},
    "dot": {"country": "de", "city": "Ulm", "age": 10},
}


def vbucket_of(key: bytes, count: int) -> int:
    """Where a document is."""
    return (crc32(key) >> 16 & 0x7FFF) % count


def put(cluster: EmbeddedCluster, key: str, value: Any, bucket: str = "default") -> None:
    """Store a document where it belongs."""
    there = cluster.buckets[bucket]
    leader = there.active(vbucket_of(key.encode(), len(there.partitions)))
    assert leader is not None
    leader.put((0, key.encode()), Document(json.dumps(value).encode(), 0))


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Three nodes, a bucket with views and people."""
    users = [administrator(), User("nobody", "password", ())]
    buckets: list[str | BucketSettings] = [
        "default",
        BucketSettings("gone", ephemeral=True),
    ]
    made = EmbeddedCluster(3, buckets, users, replicas=1, vbuckets=16, clock=ManualClock())
    designs = made.buckets["default"].design_documents
    designs.define("d", "plain", by_city)
    designs.define("d", "count", by_city, "_count")
    designs.define("d", "total", by_city, total_age)
    designs.define("d", "sums", lambda doc, meta: [(1, doc["city"])], "_sum")
    designs.define("d", "ids", lambda doc, meta: [(1, None), ("b", None), ("B", meta["id"])])
    for key, value in PEOPLE.items():
        put(made, key, value)
    return made


def ask(
    cluster: EmbeddedCluster,
    view: str,
    body: Any = None,
    /,
    *,
    node: int = 0,
    who: str = ADMIN,
    kind: str = "application/json",
    **parameters: Any,
) -> tuple[int, bytes]:
    """Query a view; parameters are JSON unless they are texts."""
    given = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters.items()
    }
    path = view if view.startswith("/") else f"{VIEW}/{view}"
    client = Client(cluster.nodes[node].accept_http("capi"))
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    headers = [("Host", "node"), ("Content-Length", str(len(text))), ("Authorization", who)]
    if kind:
        headers.append(("Content-Type", kind))
    target = f"{path}?{urlencode(given)}"
    for event in (
        h11.Request(method=method, target=target, headers=headers),
        h11.Data(data=text),
        h11.EndOfMessage(),
    ):
        client.connection.receive_data(client.http.send(event) or b"")
    status, _, said = client.answer()
    return status, said


def found(cluster: EmbeddedCluster, view: str, body: Any = None, /, **parameters: Any) -> Any:
    """The answer of a query that succeeds."""
    status, said = ask(cluster, view, body, **parameters)
    assert status == 200, said
    return plain(said)


def ids(cluster: EmbeddedCluster, body: Any = None, /, **parameters: Any) -> str:
    """Which documents a query of the plain view gives: their first letters."""
    answer = found(cluster, "plain", body, **parameters)
    return "".join(row["id"][0] for row in answer["rows"])


def test_bytes(cluster: EmbeddedCluster) -> None:
    """An answer is what a server writes, to the byte."""
    status, said = ask(cluster, "plain", limit=2)
    assert status == 200
    assert said == (
        b'{"total_rows":4,"rows":[\r\n'
        b'{"id":"bob","key":["de","ulm"],"value":20},\r\n'
        b'{"id":"ann","key":["de","Ulm"],"value":30}\r\n]\r\n}\n'
    )
    assert ask(cluster, "plain", limit=0)[1] == b'{"total_rows":4,"rows":[\r\n]\r\n}\n'
    said = ask(cluster, "count")[1]
    assert said == b'{"rows":[\r\n{"key":null,"value":4}\r\n]\r\n}\n'
    assert ask(cluster, "count", key="1")[1] == b'{"rows":[\r\n]\r\n}\n'


ULM = ["de", "Ulm"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "badc"),
        ({"descending": True}, "cdab"),
        ({"skip": 1, "limit": 2}, "ad"),
        ({"skip": 9}, ""),
        ({"key": ULM}, "ad"),
        ({"keys": [["fr", "Pau"], ULM, ["x"]]}, "cad"),
        ({"keys": []}, ""),
        ({"startkey": ULM}, "adc"),
        ({"start_key": ["fr"]}, "c"),
        ({"endkey": ULM}, "bad"),
        ({"end_key": ULM, "inclusive_end": False}, "b"),
        ({"startkey": ["de"], "endkey": ["de", {}]}, "bad"),
        ({"startkey": ["de", {}], "endkey": ["de"], "descending": True}, "dab"),
        ({"startkey": ULM, "startkey_docid": "b"}, "dc"),
        ({"startkey": ULM, "start_key_doc_id": "ann"}, "adc"),
        ({"startkey_docid": "zzz"}, "badc"),
        ({"endkey": ULM, "endkey_docid": "ann"}, "ba"),
        ({"endkey": ULM, "end_key_doc_id": "ann", "inclusive_end": False}, "b"),
        ({"endkey": ULM, "end_key_doc_id": "b", "inclusive_end": False}, "ba"),
        ({"startkey": ULM, "startkey_docid": "b", "descending": True}, "ab"),
        ({"endkey": ULM, "endkey_docid": "b", "descending": True}, "cd"),
        ({"key": ULM, "descending": True, "limit": 1}, "d"),
        ({"stale": "ok", "debug": False, "reduce": False, "full_set": "true"}, "badc"),
        ({"on_error": "stop", "connection_timeout": 500, "unknown": "x"}, "badc"),
        ({"_type": "main", "include_docs": True, "conflicts": False}, "badc"),
    ],
)
def test_ranges(cluster: EmbeddedCluster, parameters: dict[str, Any], expected: str) -> None:
    """Each parameter chooses rows as it does on a server."""
    assert ids(cluster, **parameters) == expected


def test_post(cluster: EmbeddedCluster) -> None:
    """Keys of a POST are in its body, and so may be how errors are taken; nothing else is."""
    assert ids(cluster, {}) == "badc"
    assert ids(cluster, {"keys": [ULM], "limit": 1}) == "ad"
    assert ids(cluster, {}, keys=[ULM]) == "badc"
    assert ask(cluster, "plain", {"on_error": "never"})[0] == 400
    assert ask(cluster, "plain", {"connection_timeout": "1"})[0] == 400


def test_reduce(cluster: EmbeddedCluster) -> None:
    """Groups are by whole keys, by the beginnings of array keys, or one of all."""
    assert found(cluster, "total")["rows"] == [{"key": None, "value": {"total": 100}}]
    assert found(cluster, "total", group_level=1)["rows"] == [
        {"key": ["de"], "value": {"total": 60}},
        {"key": ["fr"], "value": {"total": 40}},
    ]
    exact = [
        {"key": ["de", "ulm"], "value": 1},
        {"key": ULM, "value": 2},
        {"key": ["fr", "Pau"], "value": 1},
    ]
    assert found(cluster, "count", group=True)["rows"] == exact
    assert found(cluster, "count", group_level=9)["rows"] == exact
    assert found(cluster, "count", group=True, skip=1, limit=1)["rows"] == exact[1:2]
    assert found(cluster, "count", group=True, descending=True)["rows"] == exact[::-1]
    keys = [["fr", "Pau"], ULM]
    assert found(cluster, "count", {"keys": keys}, group=True)["rows"] == [exact[2], exact[1]]
    assert found(cluster, "count", reduce=False)["total_rows"] == 4
    assert found(cluster, "count", key=ULM)["rows"] == [{"key": None, "value": 2}]
    assert found(cluster, "count", group=False)["rows"] == [{"key": None, "value": 4}]


def test_groups_of_equal_values(cluster: EmbeddedCluster) -> None:
    """True is no 1: they are keys of different groups."""
    designs = cluster.buckets["default"].design_documents
    designs.define("d", "mixed", lambda doc, meta: [(True, 1), (1, 1)], "_count")
    rows = found(cluster, "mixed", group=True)["rows"]
    assert [json.dumps(row["key"]) for row in rows] == ["true", "1"]


def test_order_of_keys(cluster: EmbeddedCluster) -> None:
    """Rows are by key, then by document."""
    rows = found(cluster, "ids")["rows"]
    assert [row["key"] for row in rows] == [1] * 4 + ["b"] * 4 + ["B"] * 4
    assert [row["id"] for row in rows[:4]] == sorted(PEOPLE)


QUERY = "query_parse_error"
BAD = "bad_request"


@pytest.mark.parametrize(
    ("view", "parameters", "error", "reason"),
    [
        ("plain", {"limit": "x"}, QUERY, 'Invalid value for integer parameter: "x"'),
        ("plain", {"skip": -1}, QUERY, 'Invalid value for positive integer parameter: "-1"'),
        ("plain", {"limit": ""}, QUERY, 'Invalid value for integer parameter: ""'),
        ("plain", {"descending": "1"}, QUERY, 'Invalid boolean parameter: "1"'),
        (
            "plain",
            {"stale": "maybe"},
            QUERY,
            "stale only available as stale=ok, stale=update_after or stale=false",
        ),
        ("plain", {"group": True}, QUERY, "Invalid URL parameter 'group' or  'group_level'"),
        ("plain", {"reduce": True}, QUERY, "Invalid URL parameter `reduce` for map view."),
        ("count", {"group": True, "reduce": False}, QUERY, "for non-reduce view."),
        ("count", {"group": True, "group_level": 1}, QUERY, "is not compatible with `group`"),
        ("count", {"keys": [1]}, QUERY, "Multi-key fetchs for reduce view must include"),
        ("count", {"keys": [1], "group_level": 1}, QUERY, "must include `group=true`"),
        ("count", {"include_docs": True}, QUERY, "`include_docs` is invalid for reduce views."),
        ("plain", {"keys": [1], "key": 1}, QUERY, "`start_key` is not compatible with multi-get"),
        ("plain", {"keys": [1], "endkey": 1}, QUERY, "`end_key` is not compatible with multi-get"),
        ("plain", {"startkey": 2, "endkey": 1}, QUERY, "or set descending=true"),
        ("plain", {"startkey": 1, "endkey": 2, "descending": True}, QUERY, "descending=false"),
        ("plain", {"count": 1}, QUERY, "Query parameter 'count' is now 'limit'."),
        ("plain", {"_type": "x"}, QUERY, "_type only available as _type=main or _type=replica"),
        ("plain", {"keys": 5}, BAD, "`keys` parameter is not an array."),
        ("plain", {"key": "{"}, BAD, "invalid UTF-8 JSON"),
        ("plain", {"key": "NaN"}, BAD, "invalid UTF-8 JSON"),
        ("plain", {"key": "[" * 100_000}, BAD, ""),
        ("plain", {"on_error": "x"}, BAD, "Invalid value (`x`) for the parameter `on_error`."),
        ("plain", {"connection_timeout": "1.5"}, BAD, "`connection_timeout` must be an integer"),
    ],
)
def test_refusals(
    cluster: EmbeddedCluster, view: str, parameters: dict[str, Any], error: str, reason: str
) -> None:
    """What does not fit is refused with a server's words."""
    text = urlencode(
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in parameters.items()
        }
    )
    if len(text) > 10_000:
        # No head of a request is that long: it comes in a body.
        status, said = ask(cluster, view, b'{"keys":' + parameters["key"].encode())
    else:
        status, said = ask(cluster, view, **parameters)
    assert status == 400
    document = plain(said)
    assert document["error"] == error
    assert reason in document["reason"]


def test_no_body(cluster: EmbeddedCluster) -> None:
    """A POST has a JSON object."""
    for body, kind, status, error in (
        (b"", "application/json", 400, BAD),
        (b"[]", "application/json", 400, BAD),
        (b"{}", "", 415, "bad_content_type"),
        (b"{}", "text/plain", 415, "bad_content_type"),
        (b"{}", "application/json; charset=utf-8", 200, None),
    ):
        found_status, said = ask(cluster, "plain", body, kind=kind)
        assert (found_status, plain(said).get("error")) == (status, error), body


def test_missing(cluster: EmbeddedCluster) -> None:
    """Which of bucket, document and view is missing is told."""
    for path, reason in (
        ("/default/_design/e/_view/v", "Design document _design/e not found"),
        (f"{VIEW}/w", "design document `_design/d`: {not_found,missing_named_view}"),
        ("/nosuch/_design/d/_view/v", "missing"),
        ("/gone/_design/d/_view/v", "no_couchbase_bucket_exists"),
    ):
        status, said = ask(cluster, path)
        assert status == 404
        assert plain(said)["error"] == "not_found"
        assert reason in plain(said)["reason"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_spatial_views(cluster: EmbeddedCluster, method: str) -> None:
    """Servers have none since 7.0: nothing handles their path."""
    client = Client(cluster.nodes[0].accept_http("capi"))
    for design, reason in (("d", "missing handler: _spatial"), ("other", "missing")):
        path = f"/default/_design/{design}/_spatial/v?bbox=0,0,1,1"
        status, _, body = client.ask(path, ADMIN, method, b"{}", content_type="application/json")
        assert (status, plain(body)) == (404, {"error": "not_found", "reason": reason})


def test_rights(cluster: EmbeddedCluster) -> None:
    """Who may not look at views is told which right is missing."""
    status, said = ask(cluster, "plain", who=login("nobody"))
    assert (status, plain(said)["permissions"]) == (403, ["cluster.bucket[default].views!execute"])
    assert ask(cluster, "plain", who="Basic eA==")[0] == 401


def test_no_vbuckets(cluster: EmbeddedCluster) -> None:
    """A node that leads no vbucket names one that does."""
    node = cluster.add_node()
    cluster.nodes[0].ports["capi"] = 8092
    client = Client(node.accept_http("capi"))
    status, headers, said = client.ask(f"{VIEW}/plain?key=%5b1%5d", ADMIN)
    assert (status, plain(said)["error"]) == (302, "no_active_vbuckets")
    assert headers["location"] == f"http://127.0.0.1:8092{VIEW}/plain?key=%5B1%5D"
    cluster.rebalance()
    assert client.ask(f"{VIEW}/plain", ADMIN)[0] == 200


def test_changes(cluster: EmbeddedCluster) -> None:
    """Rows follow the documents: changes, deletions, the ends of their lives, a flush."""
    assert ids(cluster) == "badc"
    put(cluster, "ann", {"country": "zz", "city": "", "age": 1})
    assert ids(cluster) == "bdca"
    put(cluster, "eve", {"no": "city"})
    assert ids(cluster) == "bdca"
    cluster.flush_bucket("default")
    assert ids(cluster) == ""
    assert found(cluster, "count")["rows"] == []


def test_lagging(cluster: EmbeddedCluster) -> None:
    """Where indexes lag, `stale` says when they follow."""
    cluster.buckets["default"].design_documents.is_lagging = True
    assert ids(cluster, stale="ok") == ""
    assert ids(cluster, stale="update_after") == ""
    assert ids(cluster, stale="ok") == "badc"
    put(cluster, "eve", {"country": "a", "city": "", "age": 1})
    assert ids(cluster, stale="ok") == "badc"
    assert ids(cluster, stale="false") == "ebadc"


def test_stopped_node(cluster: EmbeddedCluster) -> None:
    """What a node that is down has led is missing, and the answer says so."""
    cluster.stop(cluster.nodes[2])
    answer = found(cluster, "plain")
    (fault,) = answer["errors"]
    assert fault["from"].startswith("http://127.0.0.1:0/_view_merge/")
    assert fault["reason"] == "econnrefused"
    assert answer["total_rows"] == len(answer["rows"])
    stopped = ask(cluster, "plain", on_error="stop")[1]
    assert stopped.startswith(b'{"total_rows":0,"rows":[]\r\n,\r\n"errors":[{"from":"http:')
    assert stopped.endswith(b"}]\r\n}\n")
    cluster.restart(cluster.nodes[2])
    assert ids(cluster) == "badc"


def test_view_that_fails(cluster: EmbeddedCluster) -> None:
    """A view that cannot be reduced has an error in place of rows, also if it is not reduced."""
    reason = "Builtin _sum function requires map values to be numbers"
    status, said = ask(cluster, "sums")
    assert (status, said) == (
        200,
        b'{"rows":[\r\n],\r\n"errors":[\r\n{"from":"local","reason":"%b"}\r\n]\r\n}\n'
        % reason.encode(),
    )
    assert found(cluster, "sums", reduce=False)["errors"][0]["reason"] == reason
    designs = cluster.buckets["default"].design_documents
    designs.define("d", "broken", by_city, lambda keys, values, again: 1 / 0)
    assert found(cluster, "broken")["errors"] == [
        {"from": "local", "reason": "ZeroDivisionError: division by zero"}
    ]
    designs.define("d", "huge", lambda doc, meta: [(1, 1e308)], "_sum")
    (fault,) = found(cluster, "huge")["errors"]
    assert "JSON compliant" in fault["reason"]


def test_debug(cluster: EmbeddedCluster) -> None:
    """Rows say where they come from, and the answer which vbuckets are whose."""
    answer = found(cluster, "plain", debug=True)
    assert list(answer) == ["debug_info", "total_rows", "rows"]
    assert answer["debug_info"]["local"]["main_group"]["active_partitions"][0] == 0
    nodes = {row["node"] for row in answer["rows"]}
    assert "http://127.0.0.1:0/_view_merge/" in nodes
    for row in answer["rows"]:
        assert list(row) == ["id", "key", "partition", "node", "value"]
        assert row["partition"] == vbucket_of(row["id"].encode(), 16)


def test_development(cluster: EmbeddedCluster) -> None:
    """A view for development sees one vbucket of many documents, or all of few, or all if asked."""
    bucket = cluster.buckets["default"]
    bucket.design_documents.define("dev_d", "all", lambda doc, meta: [(None, None)], "_count")
    view = "/default/_design/dev_d/_view/all"
    assert found(cluster, view)["rows"][0]["value"] == 4
    for number in range(20 * 16):
        put(cluster, f"k{number}", 1)
    documents = 20 * 16 + 4
    seen = found(cluster, view)["rows"][0]["value"]
    assert seen == len(in_vbucket(bucket, 0))
    assert seen < documents
    assert found(cluster, view, full_set="true")["rows"][0]["value"] == documents
    other = found(cluster, view, node=1, reduce=False)
    assert other["total_rows"] == len(in_vbucket(bucket, 1))


def in_vbucket(bucket: Bucket, number: int) -> Any:
    """The documents of a vbucket."""
    leader = bucket.active(number)
    assert leader is not None
    return leader.documents


def test_published(cluster: EmbeddedCluster) -> None:
    """Python functions go with the text of a design document, wherever it is stored."""
    client = Client(cluster.nodes[0].accept_http("capi"))
    _, _, text = client.ask("/default/_design/d", ADMIN)
    assert client.ask("/default/_design/copy", ADMIN, "PUT", text)[0] == 201
    copy = "/default/_design/copy/_view/total"
    assert found(cluster, copy)["rows"][0]["value"] == {"total": 100}
    designs = cluster.buckets["default"].design_documents
    designs.define("d", "total", by_city, lambda keys, values, again: "other")
    assert found(cluster, copy)["rows"][0]["value"] == "other"


def test_javascript(cluster: EmbeddedCluster) -> None:
    """What clients store is JavaScript: checked when it is stored, run when it is asked."""
    pytest.importorskip("quickjs")
    client = Client(cluster.nodes[0].accept_http("capi"))
    path = "/default/_design/js"
    view: dict[str, Any] = {
        "map": "function (doc, meta) { emit(doc.age, meta.id); }",
        "reduce": "function (key, values, rereduce) { return values.length; }",
    }
    body = json.dumps({"views": {"v": view}}).encode()
    assert client.ask(path, ADMIN, "PUT", body)[0] == 201
    rows = found(cluster, f"{path}/_view/v", reduce=False, limit=2)["rows"]
    assert [(row["key"], row["value"]) for row in rows] == [(10, "dot"), (20, "bob")]
    assert found(cluster, f"{path}/_view/v", key=30)["rows"] == [{"key": None, "value": 1}]
    for kind, other in (("map", "function ("), ("reduce", "nonsense(")):
        body = json.dumps({"views": {"v": {**view, kind: other}}}).encode()
        status, _, said = client.ask(path, ADMIN, "PUT", body)
        assert status == 400
        reason = plain(said)["reason"]
        assert reason.startswith(f"Syntax error in the {kind} function of the view `v': ")


def test_without_javascript(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, JavaScript is stored as it is, and an answer says what is missing."""
    monkeypatch.setattr("couchloop.embedded.views.javascript.HAS_JAVASCRIPT", False)
    client = Client(cluster.nodes[0].accept_http("capi"))
    body = json.dumps({"views": {"v": {"map": "function ("}}}).encode()
    assert client.ask("/default/_design/js", ADMIN, "PUT", body)[0] == 201
    (fault,) = found(cluster, "/default/_design/js/_view/v")["errors"]
    assert "couchloop[views]" in fault["reason"]


def test_odd_names(cluster: EmbeddedCluster) -> None:
    """Names are percent-encoded in paths."""
    designs = cluster.buckets["default"].design_documents
    designs.define("a b/é", "x?y", by_city)
    path = f"/default/_design/{quote('a b/é', safe='')}/_view/{quote('x?y', safe='')}"
    assert found(cluster, path)["total_rows"] == 4


NAMES = [*sorted(_READERS), "keys", "on_error", "connection_timeout", "full_set", "nosuch"]


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.sampled_from(["true", "false", "1", "0", "[1]", '"a"', "null", "ok", "{}"]) | st.text(),
        max_size=4,
    ),
    st.none() | st.binary(max_size=30) | st.fixed_dictionaries({"keys": st.none() | st.integers()}),
    st.sampled_from(["plain", "count", "total", "sums", "ids"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_anything(
    cluster: EmbeddedCluster, parameters: dict[str, str], body: Any, view: str
) -> None:
    """Whatever is asked, it is answered in a form of a server's."""
    given: dict[str, Any] = {**parameters}
    status, said = ask(cluster, view, body, **given)
    document = json.loads(said)
    assert status in {200, 400}
    assert ("rows" in document) is (status == 200)
    assert ({"error", "reason"} <= set(document)) is (status != 200)
