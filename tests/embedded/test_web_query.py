"""The endpoint of the query service: forms of requests, statuses, rights, collections, faults."""

from __future__ import annotations

import json

import pytest

from couchloop.embedded.access.users import DATA_READER, Grant, User
from tests.embedded.sqlpp.service import Service
from tests.embedded.web import login

_READER = User("reader", "password", (Grant(DATA_READER),), frozenset())
_ASKER = User("asker", "password", (), frozenset(), (("query_select", "b", "*", "*"),))


@pytest.fixture
def service() -> Service:
    """A bucket with two documents, and a collection in another scope with one."""
    service = Service("b", "other", users=(_READER, _ASKER))
    service.store("b", {"k1": {"n": 1}, "k2": {"n": 2}})
    service.cluster.create_collection("b", "s.c")
    service.rows('INSERT INTO b.s.c VALUES ("c1", {"n": 3})')
    return service


def test_collections(service: Service) -> None:
    """By three names, or by one within a query context."""
    assert service.rows("SELECT RAW META().id FROM default:b.s.c") == ["c1"]
    for context in ("b.s", "default:b.s", "`b`.`s`", "default:`b`.`s`"):
        rows = service.rows("SELECT c.n, META().`keyspace` FROM c", query_context=context)
        assert rows == [{"n": 3, "keyspace": "default:b.s.c"}]
    assert service.rows("SELECT RAW n FROM b ORDER BY n") == [1, 2]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 FROM nope", (424, 12003, "Keyspace not found in CB datastore: default:nope")),
        ("SELECT 1 FROM b.s.x", (424, 12003, "Keyspace not found in CB datastore: default:b.s.x")),
        ("SELECT 1 FROM x.s.c", (424, 12020, "Bucket not found in CB datastore default:x")),
        ("SELECT 1 FROM b.x.c", (500, 12021, "Scope not found in CB datastore default:b.x")),
    ],
)
def test_what_is_not_there(
    service: Service, statement: str, expected: tuple[int, int, str]
) -> None:
    """Each part of a name has its own error."""
    assert service.error(statement) == expected


def test_rights(service: Service) -> None:
    """Who may read documents may not yet query them; a role is for one bucket."""
    service.user = login("reader")
    status, code, text = service.error("SELECT * FROM b")
    assert (status, code) == (401, 13014)
    assert text == (
        "User does not have credentials to run SELECT queries on default:b. "
        "Add role query_select on default:b to allow the query to run."
    )
    service.user = login("asker")
    assert len(service.rows("SELECT * FROM b")) == 2
    assert service.error("SELECT * FROM other")[1] == 13014
    assert service.error("DELETE FROM b")[1] == 13014


def test_no_index(service: Service) -> None:
    """Keys need none."""
    service.cluster.queries.catalogue.requires_index = True
    status, code, text = service.error("SELECT * FROM b.s.c WHERE n = 1")
    assert (status, code) == (404, 4000)
    assert text.startswith("No index available on keyspace `default`:`b`.`s`.`c` that matches")
    assert service.error("DELETE FROM b")[1] == 4000
    assert service.rows('SELECT RAW n FROM b USE KEYS "k2"') == [2]


def test_errors_of_changes(service: Service) -> None:
    """A key that is there, in a document that is there: the others go on."""
    status, answer = service.ask(
        'INSERT INTO b VALUES ("k1", 1), ("k3", 3), (5, 5) RETURNING META().id'
    )
    assert (status, answer["status"]) == (200, "errors")
    assert answer["results"] == [{"id": "k3"}]
    assert answer["metrics"]["mutationCount"] == 1
    wrong, duplicate = answer["errors"]
    assert wrong["code"] == 5070
    assert duplicate["code"] == 12009
    assert duplicate["msg"].endswith(
        "Failed to perform INSERT on key k1 - cause: Duplicate Key: k1"
    )
    assert duplicate["reason"]["code"] == 17012


def test_expiry(service: Service) -> None:
    """UPDATE ends it, unless it is to be kept, or set."""
    expiration = "SELECT RAW META().expiration FROM b USE KEYS 'e'"
    service.rows('UPSERT INTO b (KEY, VALUE, OPTIONS) VALUES ("e", {}, {"expiration": 60})')
    now = int(service.cluster.clock.wall())
    assert service.rows(expiration) == [now + 60]
    service.rows("UPDATE b USE KEYS 'e' SET a = 1", preserve_expiry=True)
    assert service.rows(expiration) == [now + 60]
    service.rows("UPDATE b USE KEYS 'e' SET META(b).expiration = 90")
    assert service.rows(expiration) == [now + 90]
    service.rows("UPDATE b USE KEYS 'e' SET a = 2")
    assert service.rows(expiration) == [0]


def test_upsert_of_one_key_twice(service: Service) -> None:
    """Nothing is written then."""
    status, answer = service.ask('UPSERT INTO b VALUES ("u", 1), ("u", 2)')
    assert (status, answer["errors"][0]["code"]) == (200, 5073)
    assert service.rows('SELECT RAW b FROM b USE KEYS "u"') == []


def test_binary_documents(service: Service) -> None:
    """They are rows of type base64, without fields, and no statement changes them."""
    bucket = service.cluster.buckets["b"]
    for partition in bucket.partitions:
        for document in partition.leader.documents.values() if partition.leader else ():
            document.value, document.datatype = b"\x80", 0
    rows = service.rows("SELECT META().type, n, TYPE(b) AS t FROM b ORDER BY META().id LIMIT 1")
    assert rows == [{"type": "base64", "t": "binary"}]
    assert service.ask("UPDATE b SET n = 1")[1]["errors"][0]["code"] == 12030


def test_a_long_answer_comes_in_chunks(service: Service) -> None:
    """Above 16 KiB nobody knows the length beforehand."""
    body = json.dumps({"statement": 'SELECT REPEAT("x", 20000)'}).encode()
    headers = (("Content-Type", "application/json"),)
    status, found, answer = service.client.ask(
        "/query/service", service.user, "POST", body, headers
    )
    assert (status, found["transfer-encoding"]) == (200, "chunked")
    assert "content-length" not in found
    assert len(json.loads(answer)["results"][0]["$1"]) == 20000


def test_faults(service: Service) -> None:
    """Those that can be injected into HTTP reach queries."""
    service.cluster.inject_http(service="n1ql", status=503, count=1)
    status, _, _ = service.client.ask("/query/service", service.user, "POST", b"SELECT 1")
    assert status == 503
    service.cluster.inject_http(service="n1ql", cut_after=10, count=1)
    _, _, body = service.client.ask("/query/service", service.user, "POST", b"SELECT 1")
    assert body == b'{\n"request'
    assert service.client.connection.closed


def test_a_timeout(service: Service) -> None:
    """What was found before stays; the error says how long it was."""

    class Clock:
        seconds = 0.0

        def now(self) -> float:
            self.seconds += 0.01
            return self.seconds

        def wall(self) -> float:
            return 1_700_000_000.0

    service.cluster.clock = Clock()
    statement = "SELECT RAW a * b FROM ARRAY_RANGE(0, 1000) AS a, ARRAY_RANGE(0, 1000) AS b"
    status, answer = service.ask(statement, timeout="75000us")
    assert (status, answer["status"]) == (200, "fatal")
    assert answer["errors"] == [{"code": 1080, "msg": "Timeout 75ms exceeded", "retry": True}]
    assert answer["results"][:2] == [0, 0]


def test_half_of_a_surrogate_pair(service: Service) -> None:
    """JSON can say what UTF-8 cannot: it becomes the replacement character."""
    body = rb"""{"statement": "SELECT $x AS x, '\ud800' AS y", "$x": ["\ud800", {"\udfff": 1}]}"""
    headers = (("Content-Type", "application/json"),)
    status, _, answer = service.client.ask("/query/service", service.user, "POST", body, headers)
    assert status == 200
    assert json.loads(answer)["results"] == [{"x": ["\ufffd", {"\ufffd": 1}], "y": "\ufffd"}]
    assert service.rows("SELECT RAW n FROM b USE KEYS $k", __k="\ud800") == []


def test_a_node_that_is_down(service: Service) -> None:
    """What it has is not made up, until another node takes over."""
    node = service.cluster.add_node()
    service.cluster.rebalance()
    assert service.rows("SELECT RAW COUNT(*) FROM b") == [2]
    service.cluster.stop(node)
    status, answer = service.ask("SELECT n FROM b")
    assert (status, answer["status"], answer["errors"][0]["code"]) == (200, "fatal", 12008)
    service.cluster.failover(node)
    assert service.rows("SELECT RAW COUNT(*) FROM b") == [2]
