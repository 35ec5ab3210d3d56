"""Statements that take long let the loop go on with other things, and come to the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock, administrator
from couchloop.embedded.sqlpp import environment, ordering
from couchloop.embedded.sqlpp.engine import Answer, Order
from couchloop.embedded.topology.node import NodeState
from tests.embedded.sqlpp.service import Service
from tests.embedded.web import Client

STATEMENTS = [
    "SELECT i, s FROM k WHERE i % 2 = 0 ORDER BY s, i DESC OFFSET 3 LIMIT 5",
    "SELECT RAW i FROM k ORDER BY i % 3, i % 2 DESC",
    "SELECT RAW i FROM k ORDER BY i % 3 DESC, a NULLS LAST, i % 2",
    "SELECT RAW i FROM k OFFSET 20",
    "SELECT RAW i FROM k ORDER BY i LIMIT 0",
    "SELECT RAW i FROM k LIMIT 0",
    "SELECT DISTINCT i % 3 AS r FROM k ORDER BY r DESC",
    "SELECT a.i, b.i AS j FROM k a JOIN k b ON a.i = b.i + 1",
    "SELECT a.i, b.i AS j FROM k a LEFT JOIN k b ON a.i = b.i + 20",
    "SELECT a.i, b.i AS j FROM k a RIGHT JOIN k b ON a.i = b.i + 20",
    "SELECT a.i, b FROM k a NEST k b ON b.i < a.i AND b.i > a.i - 3 ORDER BY a.i",
    "SELECT a.i, x FROM k a UNNEST a.a x WHERE x > 1",
    "SELECT i % 3 AS r, COUNT(*) AS c, ARRAY_AGG(s) AS s FROM k GROUP BY i % 3 HAVING COUNT(*) > 1",
    "SELECT r, g FROM k GROUP BY i % 3 AS r GROUP AS g ORDER BY r",
    "SELECT i, SUM(i) OVER (PARTITION BY i % 3 ORDER BY s) AS t, RANK() OVER (ORDER BY s) r FROM k",
    "SELECT i, LAG(i, 2) OVER (ORDER BY i) AS l, FIRST_VALUE(i) OVER (ORDER BY s) AS f FROM k",
    "SELECT RAW i FROM k WHERE i < 5 UNION SELECT RAW i FROM k WHERE i > 2",
    "SELECT RAW i % 3 FROM k UNION ALL SELECT RAW i % 2 FROM k ORDER BY RAW",
    "SELECT RAW i FROM k INTERSECT SELECT RAW i FROM k WHERE i > 20",
    "SELECT RAW i FROM k EXCEPT SELECT RAW i FROM k WHERE i > 2",
    "SELECT i FROM k UNION SELECT i FROM k ORDER BY i DESC LIMIT 3",
    "SELECT RAW x.i FROM (SELECT i FROM k ORDER BY i DESC LIMIT 7) AS x",
    "SELECT a.i, x.i AS j FROM k a JOIN (SELECT i FROM k WHERE i < 3) AS x ON a.i = x.i",
    "WITH w AS (SELECT RAW i FROM k WHERE i > 4), v AS ([1, 2]) SELECT COUNT(*) AS c, v FROM w",
    "WITH RECURSIVE r AS (SELECT RAW 1 UNION SELECT RAW r + 1 FROM r WHERE r < 9) SELECT r FROM r",
    "SELECT a.i, (SELECT RAW COUNT(*) FROM k b WHERE b.i < a.i)[0] AS c FROM k a",
    "SELECT RAW i FROM k a WHERE EXISTS (SELECT 1 FROM k b WHERE b.i = a.i + 20)",
    "SELECT RAW i FROM k a WHERE a.i IN (SELECT RAW b.i FROM k b WHERE b.i > 20)",
    "SELECT COUNT(*) AS c FROM k WHERE FALSE",
    "SELECT RAW name FROM system:keyspaces",
    "UPDATE k SET n = i + 1 WHERE i > 3 LIMIT 9 RETURNING n",
    "UPDATE k SET n = i + 1 LIMIT 0",
    "UPSERT INTO k (KEY 'n' || s, VALUE {'i': i}) SELECT i, s FROM k WHERE i < 6 RETURNING i",
    "UPSERT INTO k VALUES ('x', {'i': 1}), ('y', {'i': 2}), ('x', {'i': 3})",
    "INSERT INTO k VALUES ('x', {'i': 1}), ('d01', {'i': 2}), (7, {'i': 3}) RETURNING META().id",
    """MERGE INTO k t USING (SELECT i, s FROM k LIMIT 9) AS x ON KEY 'd1' || x.s
    WHEN MATCHED THEN UPDATE SET t.m = x.i WHEN NOT MATCHED THEN INSERT {'i': x.i}""",
    "MERGE INTO k t USING k x ON t.i = x.i + 2 WHEN MATCHED THEN DELETE WHERE t.i > 9",
    "DELETE FROM k WHERE i > 4 OFFSET 1 LIMIT 3 RETURNING i",
    "SELECT i / 0, 1 + FROM k",
    "SELECT RAW DATE_ADD_STR(s, 1, 'day') FROM k WHERE TOKENS(i, 7)",
    "SELECT RAW a.i FROM k a, k b WHERE ABORT('no') = 1",
]


def _service() -> Service:
    service = Service("k")
    service.store(
        "k",
        {f"d{i:02}": {"i": i, "a": list(range(i % 4)), "s": str(i * 7 % 10)} for i in range(25)},
    )
    return service


def _told(service: Service, statement: str) -> tuple[Answer, int]:
    """Run a statement; return what came of it, and how often other things could be done."""
    user = service.cluster.users.users["Administrator"]
    answer = Answer()
    turns = service.cluster.queries.turns(Order(user, statement), answer)
    return answer, sum(1 for _ in turns)


@pytest.fixture
def _at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement look at each step whether the loop should have its turn."""
    monkeypatch.setattr(environment, "_TURNS", 1)
    monkeypatch.setattr(ordering, "_AT_ONCE", 4)
    monkeypatch.setattr(ordering, "_MERGED", 2)


@pytest.mark.usefixtures("_at_every_step")
@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_same_in_turns(statement: str) -> None:
    """Wherever a statement waits, it comes to what it comes to in one go."""
    found = []
    for turn in (0, 1):
        service = _service()
        service.cluster.queries.settings.turn = turn
        answer, turns = _told(service, statement)
        assert turn or not turns
        errors = [(each.code, each.text) for each in answer.errors]
        counts = (answer.sorted, answer.mutations, answer.status)
        documents = service.rows("SELECT k.*, META().id FROM k ORDER BY META().id")
        found.append((answer.rows, errors, counts, documents))
    assert found[0] == found[1]


@pytest.mark.usefixtures("_at_every_step")
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT COUNT(*) FROM k a, k b WHERE FALSE",
        "SELECT COUNT(*) FROM k a JOIN k b ON FALSE",
        "SELECT COUNT(*) FROM k a RIGHT JOIN k b ON FALSE",
        "SELECT a.i FROM k a NEST k b ON FALSE",
        "SELECT DISTINCT 1 FROM k a, k b",
        "SELECT 1 FROM k a, k b UNION SELECT 1 FROM k a, k b",
        "SELECT 1 FROM k a, k b ORDER BY a.i LIMIT 1",
        "SELECT 1 FROM k a, k b OFFSET 600",
        "SELECT COUNT(*) FROM (SELECT 1 FROM k a, k b) AS x",
        "WITH x AS (SELECT 1 FROM k a, k b) SELECT 1",
        "SELECT SUM(a.i) OVER () FROM k a, k b",
        "DELETE FROM k WHERE i IN [100]",
    ],
)
def test_wherever_rows_are_dropped_or_kept(statement: str) -> None:
    """A statement waits between rows, also where none of them comes out."""
    service = _service()
    service.cluster.queries.settings.turn = 1
    _, turns = _told(service, statement)
    assert turns >= (25 if statement.startswith("DELETE") else 25 * 25)


# --- over HTTP -----------------------------------------------------------------------------------

LONG = "SELECT RAW COUNT(*) FROM k a, k b, k c WHERE a.i < 3"


class _Asked:
    """A client that has asked something which takes many turns."""

    def __init__(self, service: str = "n1ql") -> None:
        self.clock = ManualClock()
        self.cluster = EmbeddedCluster(1, ["k"], [administrator()], seed=1, clock=self.clock)
        self.cluster.queries.catalogue.requires_index = False
        self.cluster.queries.settings.turn = self.cluster.analytics.turn = 100
        helper = Service("k")
        helper.cluster = self.cluster
        helper.store("k", {f"d{i:02}": {"i": i} for i in range(25)})
        self.client = Client(self.cluster.nodes[0].accept_http(service))
        self.path = "/query/service" if service == "n1ql" else "/analytics/service"
        self.connection: Any = self.client.connection
        if service == "cbas":
            self.send(statement="CREATE DATASET k ON k")
            assert len(list(self.answers())) == 1

    def send(self, **members: Any) -> None:
        body = json.dumps({"statement": LONG, **members}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: a\r\nAuthorization: {Service('k').user}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.connection.receive_data(head.encode() + body)

    def answers(self) -> Iterator[dict[str, Any]]:
        data = self.connection.data_to_send()
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            yield json.loads(data[:length])
            data = data[length:]


def test_others_are_answered_meanwhile() -> None:
    """One request waits for its turn, another connection's is answered; its own wait behind it."""
    asked = _Asked()
    asked.send()
    asked.send(statement="SELECT RAW 2")
    assert asked.connection.works
    assert asked.connection.next_deadline() == asked.clock.now()
    assert list(asked.answers()) == []
    other = Client(asked.cluster.nodes[0].accept_http("n1ql"))
    body = json.dumps({"statement": "SELECT RAW 1"}).encode()
    json_type = (("Content-Type", "application/json"),)
    _, _, said = other.ask("/query/service", Service("k").user, "POST", body, json_type)
    assert json.loads(said)["results"] == [1]
    turns = 0
    while asked.connection.works:
        asked.connection.handle_deadline()
        turns += 1
    assert turns > 10
    assert [each["results"] for each in asked.answers()] == [[3 * 25 * 25], [2]]
    assert asked.connection.next_deadline() is None


def test_time_passes_between_turns() -> None:
    """A statement whose time is over meanwhile goes on no more."""
    asked = _Asked()
    asked.send(timeout="3s")
    asked.clock.advance(4)
    asked.connection.handle_deadline()
    (answer,) = asked.answers()
    assert (answer["status"], answer["errors"][0]["code"]) == ("fatal", 1080)


def test_a_client_that_leaves() -> None:
    """Nothing is worked at for somebody who is gone."""
    asked = _Asked()
    asked.send()
    asked.connection.connection_lost()
    assert not asked.connection.works
    assert asked.connection.next_deadline() is None
    asked.connection.handle_deadline()
    assert list(asked.answers()) == []


def test_a_node_that_hangs() -> None:
    """It works at nothing until it hangs no more; then whoever serves it is told to go on."""
    asked = _Asked()
    asked.send()
    node = asked.cluster.nodes[0]
    asked.cluster.hang(node)
    assert asked.connection.next_deadline() is None
    woken = asked.client.woken
    asked.cluster.restart(node)
    assert asked.client.woken > woken
    assert asked.connection.works


def test_a_node_that_stops() -> None:
    """What it works at is lost with it."""
    asked = _Asked()
    asked.send()
    asked.cluster.stop(asked.cluster.nodes[0])
    assert asked.cluster.nodes[0].state is NodeState.STOPPED
    assert not asked.connection.works


def test_analytics_likewise() -> None:
    """The other service that runs statements waits, too."""
    asked = _Asked("cbas")
    asked.send()
    assert asked.connection.works
    while asked.connection.works:
        asked.connection.handle_deadline()
    assert [each["results"] for each in asked.answers()] == [[3 * 25 * 25]]


def test_long_answers_are_written_in_turns() -> None:
    """What takes long to write is not written in one go."""
    asked = _Asked()
    asked.cluster.queries.settings.turn = 0
    asked.send(statement="SELECT RAW REPEAT('x', 100000) FROM k")
    assert asked.connection.works
    while asked.connection.works:
        asked.connection.handle_deadline()
    assert asked.connection.data_to_send().count(b"x" * 100_000) == 25


def test_long_statements_wait_before_and_between_rows() -> None:
    """One that takes long to read, to plan and for each row waits behind each of these."""
    service = _service()
    condition = " OR ".join(f"i = -{at}" for at in range(1, 4000))
    statement = f"SELECT RAW i FROM k WHERE {condition}"  # noqa: S608 - ours
    answer, turns = _told(service, statement)
    assert (answer.rows, answer.status) == ([], "success")
    # Each row takes about a thousand steps, of which there are 10,000 in a turn.
    assert turns >= 4


def test_what_cannot_wait_is_bounded() -> None:
    """A single value that takes too long is an error, unless somebody wants to wait for it."""
    service = _service()
    statement = "SELECT RAW ARRAY_LENGTH(ARRAY x FOR x IN ARRAY_RANGE(0, 40000) END)"
    status, code, text = service.error(statement)
    assert (status, code) == (200, 1080)
    assert "settings.turn" in text
    service.cluster.queries.settings.turn = 0
    assert service.rows(statement) == [40_000]
