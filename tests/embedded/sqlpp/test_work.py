"""How much one statement may do: the loop that serves the cluster does nothing else meanwhile."""

from __future__ import annotations

import json
from functools import cache

import pytest

from couchloop.embedded.sqlpp.environment import STEPS
from couchloop.embedded.sqlpp.lexer import MOST_TOKENS
from tests.embedded.sqlpp.service import Service

_STEPS = 5_000


@cache
def _service() -> Service:
    """A service whose statements may take few steps, with some documents."""
    service = Service("k")
    service.cluster.queries.settings.steps = _STEPS
    numbers = list(range(10))
    service.store("k", {f"d{i:03}": {"i": i, "a": numbers, "s": "x" * 99} for i in range(200)})
    return service


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT COUNT(*) FROM k a, k b, k c",
        "SELECT RAW 1 FROM k a, k b",
        "SELECT COUNT(*) FROM k a JOIN k b ON a.i = b.i",
        "SELECT COUNT(*) FROM k a RIGHT JOIN k b ON FALSE",
        "SELECT COUNT(*) FROM k a NEST k b ON TRUE",
        "SELECT a.i FROM k a UNNEST ARRAY_RANGE(0, 1000) b ORDER BY b, a.i LIMIT 1",
        "SELECT RAW (SELECT COUNT(*) FROM k b, k c) FROM k a",
        "SELECT DISTINCT a.i, b.i AS j FROM k a, k b",
        "SELECT a.i FROM k a, k b GROUP BY a.i, b.i",
        "SELECT a.i FROM k a, k b UNION SELECT b.i FROM k a, k b",
        "SELECT MEDIAN(a.i) FROM k a, k b",
        "SELECT COUNT(*) FROM system:keyspaces a, ARRAY_RANGE(0, 9000) b",
        "SELECT MEDIAN(i) OVER () FROM k",
        "SELECT DENSE_RANK() OVER (ORDER BY i) FROM k",
        "SELECT LAG(i, 150) OVER (ORDER BY i) FROM k",
        "SELECT SUM(i) OVER (ORDER BY i RANGE BETWEEN 9 PRECEDING AND CURRENT ROW) FROM k",
        "WITH RECURSIVE r AS (SELECT RAW 1 UNION ALL SELECT RAW 1 FROM r) SELECT COUNT(*) FROM r",
        "WITH RECURSIVE r AS (SELECT RAW 1 UNION ALL SELECT RAW [r] FROM r) SELECT 1",
        "SELECT ARRAY_LENGTH(ARRAY_RANGE(0, 100000))",
        "SELECT ARRAY x FOR x IN ARRAY_RANGE(0, 15000) END",
        "SELECT ANY x IN a SATISFIES ANY y IN a SATISFIES x < -y END END LET a=ARRAY_RANGE(0, 99)",
        "SELECT COUNT(*) FROM k WHERE i IN ARRAY_RANGE(5000, 9000)",
        "SELECT COUNT(*) FROM k WHERE 'z' WITHIN ARRAY_RANGE(0, 4000)",
        "SELECT LENGTH(REPEAT('x', 2000000))",
        "SELECT LENGTH(a) LET a = REPEAT('x', 400000), b = a || a || a || a || a",
        f"SELECT 1 LET a0 = 1,{','.join(f'a{n + 1} = [a{n}, a{n}]' for n in range(99))}",
        "SELECT REGEXP_LIKE(REPEAT('a', 9999), '(a*)*(b|c)')",
        "SELECT COUNT(REGEXP_CONTAINS(REPEAT('a', 99), '(a*)*(b|c)')) FROM k",
        "SELECT CONTAINS_TOKEN(REPEAT('ab ', 9999), 'c')",
        "SELECT REPEAT('a', 9999) LIKE '%_b%'",
        "UPDATE k SET x = (SELECT RAW COUNT(*) FROM k a, k b) RETURNING x",
        "MERGE INTO k AS t USING k AS s ON t.i < s.i WHEN MATCHED THEN UPDATE SET t.x = 1",
        "INSERT INTO k (KEY UUID(), VALUE a) SELECT a FROM k a, k b",
        "UPDATE k SET i = i FOR x IN ARRAY_RANGE(0, 100) END",
        f"SELECT RAW [{','.join(f'i + {number}' for number in range(1000))}] FROM k",  # noqa: S608 - ours
    ],
)
def test_what_takes_too_long_ends(statement: str) -> None:
    """It ends as if its time were over, and what is asked next is answered."""
    service = _service()
    status, code, text = service.error(statement)
    assert (status, code) == (200, 1080)
    assert f"more than {_STEPS} steps" in text
    assert "settings.steps" in text
    assert service.rows("SELECT RAW COUNT(*) FROM k") == [200]


def test_what_is_usual_is_far_below_the_limit() -> None:
    """A hundred documents with all of a hundred others, sorted, take a fraction of the steps."""
    service = _service()
    service.cluster.queries.settings.steps = STEPS // 2
    try:
        statement = "SELECT a.i, COUNT(*) AS c FROM k a JOIN k b ON a.i > b.i GROUP BY a.i"
        rows = service.rows(f"{statement} ORDER BY a.i")
    finally:
        service.cluster.queries.settings.steps = _STEPS
    assert [row["c"] for row in rows] == list(range(1, 200))


def test_there_need_be_no_limit() -> None:
    """Somebody who can wait says so."""
    service = Service("k")
    service.cluster.queries.settings.steps = 1
    assert service.error("SELECT 1 FROM [1, 2, 3] AS x")[1] == 1080
    service.cluster.queries.settings.steps = 0
    assert len(service.rows("SELECT 1 FROM [1, 2, 3] AS x")) == 3


def test_rows_before_the_end_are_there() -> None:
    """As for a real time-out."""
    status, answer = _service().ask("SELECT RAW 1 FROM k a, k b")
    assert (status, answer["status"]) == (200, "fatal")
    assert 100 < len(answer["results"]) == answer["metrics"]["resultCount"]


def test_what_was_prepared_is_bounded_likewise() -> None:
    """It is the work that counts, not how it was asked for."""
    service = _service()
    service.rows("PREPARE many AS SELECT COUNT(*) FROM k a, k b, k c")
    assert service.error("EXECUTE many")[1] == 1080
    body = json.dumps({"prepared": "many"}).encode()
    headers = (("Content-Type", "application/json"),)
    _, _, answer = service.client.ask("/query/service", service.user, "POST", body, headers)
    assert json.loads(answer)["errors"][0]["code"] == 1080


def test_documents_in_a_statement() -> None:
    """Hundreds of them cost no more for that they stand in one text."""
    service = Service("k")
    values = ",".join(f"('z{number}', {{'a': 'x' || '{number}'}})" for number in range(300))
    status, answer = service.ask(f"UPSERT INTO k VALUES {values}")
    assert (status, answer["metrics"]["mutationCount"]) == (200, 300)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"SELECT RAW [{'1,' * MOST_TOKENS}1]", f"more than {MOST_TOKENS} words and signs"),
        ("SELECT 1 FROM [1] AS a " + "UNNEST [1] AS b " * 101, "more than 100 joins"),
        ("SELECT 1 LET " + ",".join(f"a{n} = 1" for n in range(101)), "100 joins and variables"),
    ],
    ids=["tokens", "joins", "variables"],
)
def test_statements_that_are_too_large(statement: str, words: str) -> None:
    """They are refused before they take time, or the interpreter's stack."""
    status, code, text = _service().error(statement)
    assert (status, code) == (400, 3000)
    assert words in text


def test_large_texts_are_read_quickly() -> None:
    """A document that stands in a statement is one token."""
    text = "x" * 2_000_000
    assert Service("k").rows(f"SELECT RAW LENGTH('{text}')") == [len(text)]


@pytest.mark.parametrize(("service_name", "steps"), [("n1ql", 50), ("cbas", 200)])
def test_results_that_are_too_deep(service_name: str, steps: int) -> None:
    """What variables have nested more deeply than any text could is an error of the statement."""
    service = Service("k")
    service.cluster.queries.settings.turn = service.cluster.analytics.turn = 0
    deep = "a0 = 1" + "".join(f", a{n} = {'[' * 30}a{n - 1}{']' * 30}" for n in range(1, steps))
    statement = f"SELECT RAW a{steps - 1} LET {deep}"
    if service_name == "n1ql":
        status, code, text = service.error(statement)
        assert (status, code) == (200, 3000)
        assert "is not supported by the embedded query service" in text
        assert service.rows("SELECT RAW 1") == [1]
        return
    client = type(service.client)(service.cluster.nodes[0].accept_http("cbas"))
    for mode in ("immediate", "async"):
        body = json.dumps({"statement": statement, "mode": mode}).encode()
        headers = (("Content-Type", "application/json"),)
        _, _, said = client.ask("/analytics/service", service.user, "POST", body, headers)
        assert json.loads(said)["errors"]
