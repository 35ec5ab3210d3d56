"""The cluster manager's HTTP: what is answered, to whom, and what a stream carries."""

from __future__ import annotations

import json

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import FULL_ACCESS, EmbeddedCluster, Grant, ManualClock, User
from couchloop.topology.configuration import parse_config
from tests.embedded.web import Client, login, split


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Two nodes, two buckets; `some` may use only the first."""
    users = [
        User("user", "password"),
        User("some", "pass:wörd", (Grant(FULL_ACCESS, "default"),)),
    ]
    cluster = EmbeddedCluster(2, ["default", "other"], users, clock=ManualClock())
    for number, node in enumerate(cluster.nodes):
        node.ports = {"kv": 1000 + number, "mgmt": 2000 + number}
    cluster.changed()
    return cluster


@pytest.fixture
def client(cluster: EmbeddedCluster) -> Client:
    """A client of the first node."""
    return Client(cluster.nodes[0].accept_http())


def test_bucket(cluster: EmbeddedCluster, client: Client) -> None:
    """A bucket's configuration is what GET_CLUSTER_CONFIG gives, and the client can read it."""
    status, headers, body = client.ask("/pools/default/b/default")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body == cluster.nodes[0].configurations["default"].text(0)
    config = parse_config(body, "127.0.0.1")
    assert config.bucket == "default"
    assert not client.connection.closed


def test_node_services(cluster: EmbeddedCluster, client: Client) -> None:
    """The global configuration names the services of every node, and no vbucket map."""
    document = json.loads(client.ask("/pools/default/nodeServices")[2])
    services = [node["services"] for node in document["nodesExt"]]
    assert services == [{"kv": 1000, "mgmt": 2000}, {"kv": 1001, "mgmt": 2001}]
    assert document["nodesExt"][0]["thisNode"]
    assert "vBucketServerMap" not in document


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !",
        "Basic =",
        "Basic dXNlcg==",
        login().replace("Basic", "Bearer"),
        login("user", "wrong"),
        login("user", ""),
        login("nobody"),
        login("some", "pass"),
    ],
)
@pytest.mark.parametrize("path", ["/pools/default/b/default", "/pools/default/nodeServices"])
def test_unauthorized(client: Client, authorization: str | None, path: str) -> None:
    """Without the right password nothing is told, and the client learns how to log in."""
    status, headers, body = client.ask(path, authorization)
    assert (status, body) == (401, b"")
    assert headers["www-authenticate"].startswith("Basic realm=")
    # The connection goes on.
    assert client.ask(path)[0] == 200


def test_odd_passwords(client: Client) -> None:
    """A password may hold colons and letters beyond ASCII; the scheme's case does not matter."""
    authorization = login("some", "pass:wörd").replace("Basic", "bASIC")
    assert client.ask("/pools/default/b/default", authorization)[0] == 200


def test_forbidden(client: Client) -> None:
    """Who has no right on a bucket is told which is missing, whether or not the bucket exists."""
    for name in ("other", "nosuch"):
        for kind in ("b", "bs"):
            path = f"/pools/default/{kind}/{name}"
            status, headers, body = client.ask(path, login("some", "pass:wörd"))
            assert (status, headers["content-type"]) == (403, "application/json")
            assert json.loads(body)["permissions"] == [f"cluster.bucket[{name}].settings!read"]


@pytest.mark.parametrize(
    "path",
    ["/pools/default/b/nosuch", "/pools/default/bs/nosuch", "/x", "/pool", "/pools/default/b"],
)
def test_not_found(client: Client, path: str) -> None:
    """What does not exist is 404, and the connection goes on."""
    assert client.ask(path)[0] == 404
    assert client.ask("/pools/default/b/default")[0] == 200


def test_methods(client: Client) -> None:
    """HEAD has no body but its length; nothing can be posted, and a body is no next request."""
    for kind, length in (("b", True), ("bs", False)):
        status, headers, body = client.ask(f"/pools/default/{kind}/default", method="HEAD")
        assert (status, body, "content-length" in headers) == (200, b"", length)
    status, headers, _ = client.ask("/pools/default/b/default", method="POST", body=b"GET / x" * 99)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert client.ask("/pools/default/b/default")[0] == 200


def test_paths(cluster: EmbeddedCluster, client: Client) -> None:
    """Names may be quoted, and queries (as in a configuration's own uri) change nothing."""
    cluster.add_bucket("a%b.c")
    path = "/pools/default/b/a%25b.c?bucket_uuid=1"
    assert json.loads(client.ask(path)[2])["name"] == "a%b.c"


def test_stream(cluster: EmbeddedCluster, client: Client) -> None:
    """A stream begins with the present revision and goes on with each new one, just once."""
    status, headers, body = client.ask("/pools/default/bs/default")
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    (first,) = split(body)
    assert client.more() == []
    woken = client.woken
    cluster.bump()
    cluster.move_vbucket("default", 0, cluster.nodes[1])
    assert client.woken > woken
    second, third = client.more()
    assert [second["rev"], third["rev"]] == [first["rev"] + 1, first["rev"] + 2]
    assert third["vBucketServerMap"]["vBucketMap"][0][0] == 1
    cluster.changed(same_revision=True)
    assert client.more() == []


def test_stream_of_a_deleted_bucket(cluster: EmbeddedCluster, client: Client) -> None:
    """A stream ends, and its connection closes, when its bucket is deleted."""
    client.ask("/pools/default/bs/default")
    cluster.remove_bucket("default")
    assert client.connection.closed
    assert client.more() == []
    assert client.http.their_state is h11.DONE
    assert not cluster.nodes[0].http_connections


def test_hung_node(cluster: EmbeddedCluster) -> None:
    """A hung node reads and answers nothing, and catches up when it runs again."""
    node = cluster.nodes[0]
    asking, streaming = Client(node.accept_http()), Client(node.accept_http())
    streaming.ask("/pools/default/bs/default")
    cluster.hang(node)
    request = (
        f"GET /pools/default/b/default HTTP/1.1\r\nHost: x\r\nAuthorization: {login()}\r\n\r\n"
    )
    asking.http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    asking.connection.receive_data(request.encode())
    cluster.bump()
    cluster.bump()
    assert not asking.connection.data_to_send()
    assert not streaming.connection.data_to_send()
    cluster.restart(node)
    assert asking.woken
    assert asking.answer()[0] == 200
    assert [document["rev"] for document in streaming.more()] == [cluster.rev]


def test_stopped_node(cluster: EmbeddedCluster, client: Client) -> None:
    """Stopping a node closes its HTTP connections, and it takes no new ones."""
    cluster.stop(cluster.nodes[0])
    assert client.connection.closed
    assert client.woken
    assert cluster.nodes[0].accept_http().closed
    assert not cluster.nodes[0].http_connections


def test_certificate(cluster: EmbeddedCluster) -> None:
    """A verified client certificate stands for a password."""
    client = Client(cluster.nodes[0].accept_http(client_user="some"))
    assert client.ask("/pools/default/b/default", None)[0] == 200
    assert client.ask("/pools/default/b/other", None)[0] == 403
    stranger = Client(cluster.nodes[0].accept_http(client_user="nobody"))
    assert stranger.ask("/pools/default/b/default", None)[0] == 401


def test_old_clients(cluster: EmbeddedCluster) -> None:
    """An HTTP/1.0 client gets its answer, and the connection is closed after it."""
    connection = cluster.nodes[0].accept_http()
    head = f"GET /pools/default/nodeServices HTTP/1.0\r\nAuthorization: {login()}\r\n\r\n"
    connection.receive_data(head.encode())
    answer = connection.data_to_send()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"}")
    assert connection.closed


def test_continue(client: Client) -> None:
    """A client that asks before it sends a body is told to go on."""
    client.connection.receive_data(
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    )
    assert client.connection.data_to_send().startswith(b"HTTP/1.1 100 ")
    client.connection.receive_data(b"x")
    assert client.connection.data_to_send().startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n" % (b"x" * 20000), 431),
    ],
)
def test_no_http(client: Client, sent: bytes, status: int) -> None:
    """What is no HTTP, or has no end, is answered so, and the connection closed."""
    client.connection.receive_data(sent)
    assert client.connection.data_to_send().startswith(b"HTTP/1.1 %d " % status)
    assert client.connection.closed


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"GET /pools/default/bs/default HTTP/1.1\r\n",
                b"HEAD /pools/default/b/default HTTP/1.1\r\n",
                b"POST / HTTP/1.0\r\n",
                b"Host: x\r\n",
                f"Authorization: {login()}\r\n".encode(),
                b"Content-Length: 3\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Connection: close\r\n",
                b"\r\n",
                b"3\r\nabc\r\n0\r\n\r\n",
            ]
        ),
    ),
    max_size=12,
)


@given(pieces=PIECES)
def test_anything(pieces: list[bytes]) -> None:
    """No bytes raise; and how they are cut makes no difference."""
    answers = []
    for cut in (pieces, [b"".join(pieces)]):
        cluster = EmbeddedCluster(1, vbuckets=1)
        connection = cluster.nodes[0].accept_http()
        for piece in cut:
            connection.receive_data(piece)
        cluster.bump()
        answers.append((connection.data_to_send(), connection.closed))
        connection.connection_lost()
        assert not cluster.nodes[0].http_connections
    assert answers[0] == answers[1]


def test_repr_tells_no_secret(client: Client) -> None:
    """What a connection shows of itself holds no password."""
    client.ask("/pools/default/bs/default")
    assert repr(client.connection) == "<HttpConnection mgmt of node 0: streams default>"
