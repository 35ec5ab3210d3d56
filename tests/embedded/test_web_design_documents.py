"""Design documents over HTTP: what the views' service and the cluster manager answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, User, administrator
from tests.embedded.web import ADMIN, Client, login, plain

DESIGN = "/default/_design/dev_d"
DOCUMENT = {"views": {"v": {"map": "function (doc, meta) {}"}}}


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """One node with a bucket of each type."""
    users = [administrator(), User("user", "password"), User("nobody", "password", ())]
    buckets: list[str | BucketSettings] = ["default", BucketSettings("cache", memcached=True)]
    return EmbeddedCluster(1, buckets, users, replicas=0, clock=ManualClock())


def ask(
    cluster: EmbeddedCluster,
    method: str,
    path: str,
    document: Any = None,
    who: str = ADMIN,
    service: str = "capi",
) -> tuple[int, Any, dict[str, str]]:
    """Ask a service; return status, body and headers."""
    body = b"" if document is None else json.dumps(document).encode()
    client = Client(cluster.nodes[0].accept_http(service))
    status, headers, said = client.ask(path, who, method, body)
    return status, plain(said), headers


def test_life(cluster: EmbeddedCluster) -> None:
    """A design document is there as it was stored; each change has its revision."""
    missing = {"error": "not_found", "reason": "missing"}
    assert ask(cluster, "GET", DESIGN)[:2] == (404, missing)
    stored = {"ok": True, "id": "_design/dev_d"}
    assert ask(cluster, "PUT", DESIGN, DOCUMENT)[:2] == (201, stored)
    status, document, headers = ask(cluster, "GET", DESIGN)
    assert (status, document) == (200, DOCUMENT)
    meta = json.loads(headers["x-couchbase-meta"])
    assert (meta["id"], meta["type"]) == ("_design/dev_d", "json")
    assert meta["rev"].startswith("1-")
    ask(cluster, "PUT", DESIGN, DOCUMENT)
    assert json.loads(ask(cluster, "GET", DESIGN)[2]["x-couchbase-meta"])["rev"].startswith("2-")
    cluster.flush_bucket("default")
    assert ask(cluster, "DELETE", DESIGN)[:2] == (200, stored)
    deleted = {"error": "not_found", "reason": "deleted"}
    assert ask(cluster, "DELETE", DESIGN)[:2] == (404, deleted)
    ask(cluster, "PUT", DESIGN, DOCUMENT)
    assert json.loads(ask(cluster, "GET", DESIGN)[2]["x-couchbase-meta"])["rev"].startswith("4-")


def test_list(cluster: EmbeddedCluster) -> None:
    """The cluster manager lists them as a server does."""
    for name in ("dev_d", "a"):
        ask(cluster, "PUT", f"/default/_design/{name}", DOCUMENT)
    path = "/pools/default/buckets/default/ddocs"
    status, found, _ = ask(cluster, "GET", path, service="mgmt")
    assert status == 200
    assert [row["doc"]["meta"]["id"] for row in found["rows"]] == ["_design/a", "_design/dev_d"]
    (row, _) = found["rows"]
    assert row["doc"]["json"] == DOCUMENT
    assert row["controllers"]["compact"] == f"{path}/_design%2Fa/controller/compactView"
    for bucket, status, said in (
        ("cache", 400, {"error": "no_ddocs_service"}),
        ("nosuch", 404, "Requested resource not found.\r\n"),
    ):
        path = f"/pools/default/buckets/{bucket}/ddocs"
        assert ask(cluster, "GET", path, service="mgmt")[:2] == (status, said)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"[" * 5000])
def test_no_json(cluster: EmbeddedCluster, body: bytes) -> None:
    """What is no JSON object is refused as a server refuses it."""
    client = Client(cluster.nodes[0].accept_http("capi"))
    status, _, said = client.ask(DESIGN, ADMIN, "PUT", body)
    refused = {"error": "invalid_design_document", "reason": "Content is not json."}
    assert (status, plain(said)) == (400, refused)


def test_rights(cluster: EmbeddedCluster) -> None:
    """Roles say who may define views, and who may look at them."""
    users = "/settings/rbac/users/local"
    web = Client(cluster.nodes[0].accept_http())
    for name, role in (("admin1", "views_admin"), ("reader", "views_reader")):
        web.form("PUT", f"{users}/{name}", password="password", roles=f"{role}[default]")
    assert ask(cluster, "PUT", DESIGN, DOCUMENT, login("admin1"))[0] == 201
    assert ask(cluster, "GET", DESIGN, who=login("reader"))[0] == 200
    status, said, _ = ask(cluster, "DELETE", DESIGN, who=login("reader"))
    assert (status, said["permissions"]) == (403, ["cluster.bucket[default].views!write"])
    assert ask(cluster, "GET", DESIGN, who=login("nobody"))[0] == 403
    assert ask(cluster, "DELETE", DESIGN, who=login("user"))[0] == 200
