"""Buckets over HTTP: made, changed, flushed and dropped, with what that does to documents."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock, User, administrator
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, vbucket_of
from tests.embedded.client import Client as DataClient
from tests.embedded.web import ADMIN, Client, login, plain

BUCKETS = "/pools/default/buckets"


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Three nodes, and an administrator beside a user of documents."""
    users = [administrator(), User("user", "password")]
    cluster = EmbeddedCluster(3, ["default"], users, clock=ManualClock())
    for number, node in enumerate(cluster.nodes):
        node.ports = {"kv": 1000 + number, "mgmt": 2000 + number, "n1ql": 3000 + number}
    cluster.changed()
    return cluster


@pytest.fixture
def web(cluster: EmbeddedCluster) -> Client:
    """A client of the first node's web port."""
    return Client(cluster.nodes[0].accept_http())


def data_client(cluster: EmbeddedCluster, bucket: str = "default") -> DataClient:
    """Return a client of the node where the document `k` belongs."""
    return DataClient.ready(cluster.nodes[vbucket_of(b"k") % 3], bucket=bucket)


def store(cluster: EmbeddedCluster, bucket: str) -> int:
    """Store a document; return the status."""
    return data_client(cluster, bucket).set("k", b"1").status


def one(web: Client, name: str) -> dict[str, Any]:
    """Return a bucket as it is described."""
    status, _, body = web.ask(f"{BUCKETS}/{name}", ADMIN)
    assert status == 200
    document: dict[str, Any] = plain(body)
    return document


def test_created(cluster: EmbeddedCluster, web: Client) -> None:
    """A bucket that is made takes documents, and is described with what was asked for."""
    status, headers, body = web.ask(
        BUCKETS, ADMIN, "POST", b"name=new&ramQuotaMB=128&replicaNumber=2&flushEnabled=1&maxTTL=60"
    )
    assert (status, headers["location"], body) == (202, f"{BUCKETS}/new", b"")
    assert store(cluster, "new") == 0
    document = one(web, "new")
    assert document["bucketType"] == "membase"
    assert document["quota"] == {"ram": 3 * 128 << 20, "rawRAM": 128 << 20}
    assert (document["replicaNumber"], document["maxTTL"]) == (2, 60)
    assert document["basicStats"]["itemCount"] == 1
    assert document["controllers"]["flush"] == f"{BUCKETS}/new/controller/doFlush"
    assert [node["status"] for node in document["nodes"]] == ["healthy"] * 3
    assert document["nodes"][0]["services"] == ["kv", "n1ql"]
    _, _, listed = web.ask(BUCKETS, ADMIN)
    assert [each["name"] for each in plain(listed)] == ["default", "new"]


@pytest.mark.parametrize(
    ("members", "field", "text"),
    [
        ({"ramQuotaMB": 100}, "name", "Bucket name needs to be specified"),
        ({"name": "", "ramQuotaMB": 100}, "name", "Bucket name cannot be empty"),
        ({"name": ".a", "ramQuotaMB": 100}, "name", "Bucket name cannot start with dot."),
        ({"name": "a/b", "ramQuotaMB": 100}, "name", "Bucket name can only contain"),
        ({"name": "a" * 101, "ramQuotaMB": 100}, "name", "cannot exceed 100"),
        ({"name": "DEFAULT", "ramQuotaMB": 100}, "name", "Bucket with given name already exists"),
        ({"name": "a"}, "ramQuota", "The RAM Quota must be specified"),
        ({"name": "a", "ramQuotaMB": "x"}, "ramQuotaMB", "RAM quota"),
        ({"name": "a", "ramQuotaMB": 100, "replicaNumber": 4}, "replicaNumber", "between 0 and 3"),
        ({"name": "a", "ramQuotaMB": 100, "flushEnabled": 2}, "flushEnabled", "only be 1 or 0"),
        ({"name": "a", "ramQuotaMB": 100, "maxTTL": -1}, "maxTTL", "Max TTL"),
        ({"name": "a", "ramQuotaMB": 100, "bucketType": "b"}, "bucketType", "invalid bucket type"),
        (
            {"name": "a", "ramQuotaMB": 100, "evictionPolicy": "noEviction"},
            "evictionPolicy",
            "either 'valueOnly' or 'fullEviction'",
        ),
        (
            {"name": "a", "ramQuotaMB": 100, "bucketType": "ephemeral", "replicaIndex": 1},
            "replicaIndex",
            "not supported for ephemeral",
        ),
        (
            {"name": "a", "ramQuotaMB": 100, "durabilityMinLevel": "all"},
            "durabilityMinLevel",
            "must be one of",
        ),
    ],
)
def test_refused(
    cluster: EmbeddedCluster, web: Client, members: dict[str, Any], field: str, text: str
) -> None:
    """What is wrong with a new bucket is said by member, and nothing is made."""
    status, document = web.form("POST", BUCKETS, **members)
    assert status == 400
    assert text in document["errors"][field]
    assert list(cluster.buckets) == ["default"]


def test_changed(cluster: EmbeddedCluster, web: Client) -> None:
    """A change counts at once; one that is refused changes nothing."""
    path = f"{BUCKETS}/default"
    assert web.form("POST", path, ramQuotaMB=200, replicaNumber=2, maxTTL=7)[0] == 200
    document = one(web, "default")
    assert (document["replicaNumber"], document["quota"]["rawRAM"]) == (2, 200 << 20)
    assert all(len(chain) == 3 for chain in cluster.buckets["default"].chains)
    changes: list[dict[str, Any]] = [
        {"conflictResolutionType": "lww"},
        {"bucketType": "ephemeral"},
    ]
    for member in changes:
        status, answer = web.form("POST", path, maxTTL=9, **member)
        assert (status, list(answer["errors"])) == (400, list(member))
    assert one(web, "default")["maxTTL"] == 7
    assert web.form("POST", f"{BUCKETS}/nosuch", maxTTL=1)[0] == 404


def test_longest_life(cluster: EmbeddedCluster, web: Client) -> None:
    """Documents live as long as the bucket says, unless their collection says otherwise."""
    clock = cluster.clock
    assert isinstance(clock, ManualClock)
    web.form("POST", f"{BUCKETS}/default", maxTTL=10)
    for name, seconds in (("own", 20), ("ever", -1), ("same", 0)):
        cluster.create_collection("default", f"app.{name}", max_ttl=seconds)
    bucket = cluster.buckets["default"]
    lives = {each.name: bucket.longest_life(each) for each in bucket.manifest.collections.values()}
    assert lives == {"_default": 10, "own": 20, "ever": 0, "same": 10}
    assert store(cluster, "default") == 0
    clock.advance(11)
    assert data_client(cluster).get("k").status == Status.KEY_ENOENT


def test_minimum_of_durability(cluster: EmbeddedCluster, web: Client) -> None:
    """Writes that ask for less than the bucket's minimum wait for their replicas."""
    web.form("POST", f"{BUCKETS}/default", durabilityMinLevel="majority")
    client = data_client(cluster)
    cluster.hold_replication("default")
    client.send(Opcode.SET, **client.parts("k", value=b"1", extras=STORE))
    assert client.frames == []
    cluster.hold_replication("default", hold=False)
    assert [frame.status for frame in client.read()] == [0]


def test_flushed(cluster: EmbeddedCluster, web: Client) -> None:
    """A flush deletes all documents, if the bucket allows it."""
    assert store(cluster, "default") == 0
    path = f"{BUCKETS}/default/controller/doFlush"
    assert web.form("POST", path) == (400, {"_": "Flush is disabled for the bucket"})
    assert one(web, "default")["basicStats"]["itemCount"] == 1
    web.form("POST", f"{BUCKETS}/default", flushEnabled=1)
    before = [chain[:] for chain in cluster.buckets["default"].chains]
    assert web.form("POST", path) == (200, "")
    assert one(web, "default")["basicStats"]["itemCount"] == 0
    assert cluster.buckets["default"].chains == before
    assert store(cluster, "default") == 0


def test_dropped(cluster: EmbeddedCluster, web: Client) -> None:
    """A bucket that is dropped closes its connections, and is gone."""
    connection = DataClient.ready(cluster.nodes[0]).connection
    assert web.form("DELETE", f"{BUCKETS}/default")[0] == 200
    assert connection.closed
    assert web.form("DELETE", f"{BUCKETS}/default") == (
        404,
        "The bucket to be deleted was not found.\r\n",
    )
    assert web.form("GET", f"{BUCKETS}/default")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", BUCKETS, "cluster.buckets!create"),
        ("POST", f"{BUCKETS}/default", "cluster.bucket[default].settings!write"),
        ("DELETE", f"{BUCKETS}/default", "cluster.bucket[default]!delete"),
        ("POST", f"{BUCKETS}/default/controller/doFlush", "cluster.bucket[default]!flush"),
        ("POST", f"{BUCKETS}/default/scopes", "cluster.bucket[default].collections!write"),
    ],
)
def test_rights(
    cluster: EmbeddedCluster, web: Client, method: str, path: str, permission: str
) -> None:
    """Who may only use documents changes no bucket."""
    status, document = web.form(method, path, login(), name="a", ramQuotaMB=100)
    assert (status, document["permissions"]) == (403, [permission])
    assert list(cluster.buckets) == ["default"]


def test_scopes_and_collections(cluster: EmbeddedCluster, web: Client) -> None:
    """Scopes and collections that are made over HTTP are those of the documents."""
    scopes = f"{BUCKETS}/default/scopes"
    assert web.form("POST", scopes, name="app") == (200, {"uid": "1"})
    path = f"{scopes}/app/collections"
    assert web.form("POST", path, name="c", maxTTL=5) == (200, {"uid": "2"})
    assert web.form("PATCH", f"{path}/c", maxTTL=6) == (200, {"uid": "3"})
    collection = cluster.buckets["default"].manifest.find("app", "c")
    assert collection is not None
    assert collection.max_ttl == 6
    status, document = web.form("GET", scopes, login())
    assert (status, document["uid"]) == (200, "3")
    (app,) = [each for each in document["scopes"] if each["name"] == "app"]
    assert app["collections"] == [
        {"name": "c", "uid": f"{collection.uid:x}", "maxTTL": 6, "history": True}
    ]
    assert web.form("POST", f"{scopes}/@ensureManifest/3")[0] == 200
    assert web.form("POST", f"{scopes}/@ensureManifest/4") == (504, "timeout")
    assert web.form("DELETE", f"{path}/c") == (200, {"uid": "4"})
    assert web.form("DELETE", f"{scopes}/app") == (200, {"uid": "5"})
    assert list(cluster.buckets["default"].manifest.scopes) == ["_default"]


def test_refused_scopes_and_collections(cluster: EmbeddedCluster, web: Client) -> None:
    """What is there already, is not there, or has no name is said so, in the server's words."""
    scopes = f"{BUCKETS}/default/scopes"
    cluster.create_collection("default", "app.c")
    collections = f"{scopes}/app/collections"

    def said(method: str, path: str, **members: Any) -> tuple[int, str]:
        status, document = web.form(method, path, **members)
        (text,) = document["errors"].values()
        return status, text

    assert said("POST", scopes, name="app") == (400, 'Scope with name "app" already exists')
    assert said("POST", collections, name="c") == (
        400,
        'Collection with name "c" in scope "app" already exists',
    )
    assert said("POST", f"{scopes}/no/collections", name="c") == (
        404,
        'Scope with name "no" is not found',
    )
    assert said("DELETE", f"{scopes}/no") == (404, 'Scope with name "no" is not found')
    assert said("DELETE", f"{collections}/d") == (
        404,
        'Collection with name "d" in scope "app" is not found',
    )
    assert said("DELETE", f"{scopes}/_default") == (
        400,
        "Deleting _default scope is not allowed",
    )
    assert said("POST", scopes, name="_a") == (400, "First character must not be _ or %")
    assert said("POST", scopes, name="a b")[0] == 400
    assert said("POST", scopes, name="") == (400, "Length must be in range from 1 to 251")
    assert said("POST", collections, name="d", maxTTL="x")[0] == 400
    assert web.form("GET", f"{BUCKETS}/nosuch/scopes")[0] == 404


def test_injected(cluster: EmbeddedCluster, web: Client) -> None:
    """Requests can be refused, delayed and cut, by service, method, path and node."""
    clock = cluster.clock
    assert isinstance(clock, ManualClock)
    refused = cluster.inject_http(path=BUCKETS, status=503, body='{"_":"busy"}', count=1)
    assert web.form("GET", BUCKETS) == (503, {"_": "busy"})
    assert web.form("GET", BUCKETS)[0] == 200
    assert refused.hits == 1
    cluster.inject_http(method="GET", path="/pools", delay=2.0, count=1)
    late = Client(cluster.nodes[0].accept_http())
    asked = f"GET /pools HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\r\n".encode()
    late.connection.receive_data(asked + asked)
    assert late.connection.data_to_send() == b""
    assert late.connection.next_deadline() == clock.now() + 2
    clock.advance(2)
    late.connection.handle_deadline()
    assert late.connection.data_to_send().count(b"HTTP/1.1 200") == 2
    cluster.inject_http(service="mgmt", path="/pools", cut_after=3, count=1)
    cut = Client(cluster.nodes[0].accept_http())
    cut.connection.receive_data(asked)
    head, _, body = cut.connection.data_to_send().partition(b"\r\n\r\n")
    assert (head[:12], len(body), cut.connection.closed) == (b"HTTP/1.1 200", 3, True)
    fault = cluster.inject_http(node=cluster.nodes[1], close=True)
    assert web.form("GET", "/pools")[0] == 200
    closed = Client(cluster.nodes[1].accept_http())
    closed.connection.receive_data(asked)
    assert (closed.connection.data_to_send(), closed.connection.closed) == (b"", True)
    fault.remove()
    assert Client(cluster.nodes[1].accept_http()).form("GET", "/pools")[0] == 200


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("mgmt", "/", 301),
        ("capi", "/", 200),
        ("n1ql", "/admin/ping", 200),
        ("cbas", "/admin/ping", 200),
        ("fts", "/api/ping", 200),
        ("eventingAdminPort", "/", 404),
        ("n1ql", "/pools", 404),
    ],
)
def test_services(cluster: EmbeddedCluster, service: str, path: str, status: int) -> None:
    """Each service answers on its own port, and wants to know who asks."""
    client = Client(cluster.nodes[0].accept_http(service))
    assert client.ask(path, ADMIN)[0] == status
    assert client.ask(path, login("user", "wrong"))[0] == 401


def test_about_the_cluster(cluster: EmbeddedCluster, web: Client) -> None:
    """What there is, and how the nodes are."""
    cluster.hang(cluster.nodes[2])
    document = web.form("GET", "/pools/default", login())[1]
    assert [node["status"] for node in document["nodes"]] == ["healthy", "healthy", "unhealthy"]
    assert [node.get("thisNode", False) for node in document["nodes"]] == [True, False, False]
    assert document["bucketNames"][0]["bucketName"] == "default"
    assert web.form("GET", "/pools")[1]["uuid"] == cluster.uuid
    assert web.form("GET", "/pools/default/terseClusterInfo")[1]["clusterUUID"] == cluster.uuid
    assert web.form("GET", "/nodes/self")[1]["hostname"] == "127.0.0.1:2000"
    assert web.form("GET", "/whoami", login())[1]["id"] == "user"
    assert web.form("GET", "/whoami")[1]["roles"] == [{"role": "admin"}]
    assert web.form("GET", "/settings/autoFailover", login())[0] == 403
    assert web.form("GET", "/settings/autoFailover")[1]["timeout"] == 120
    assert web.form("GET", "/pools/default/tasks")[1][0]["status"] == "notRunning"


def test_a_body_that_never_ends(web: Client) -> None:
    """What is longer than anybody sends is refused before it fills the memory."""
    head = f"POST {BUCKETS} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n"
    web.connection.receive_data(head.encode() + b"Content-Length: 99999999999\r\n\r\n")
    for _ in range(33):
        web.connection.receive_data(bytes(1 << 20))
    assert web.connection.closed
    assert web.connection.data_to_send().startswith(b"HTTP/1.1 413")
