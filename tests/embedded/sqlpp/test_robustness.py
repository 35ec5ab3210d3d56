"""Whatever is asked: an answer, never another exception, and never an endless one."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded.access.users import administrator
from couchloop.embedded.sqlpp.engine import Engine, Order
from couchloop.embedded.sqlpp.texts import encode
from tests.embedded import query_replay
from tests.embedded.sqlpp.service import Service
from tests.share import share

_STATEMENTS: Final = sorted(
    {
        exchange.text
        for name in query_replay.names()
        if not name.startswith(("19", "20", "25"))
        for exchange in query_replay.exchanges(name)
        # What goes over millions of rows is not for thousands of examples.
        if "3000" not in exchange.text
    }
)
_WORDS: Final = sorted({word for text in _STATEMENTS for word in text.split(" ")})
_PIECES: Final = st.lists(st.sampled_from(_WORDS) | st.text(max_size=3), max_size=25)
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """An engine over the recorded documents."""
    return query_replay.build().queries


def _run(engine: Engine, statement: str, **named: object) -> None:
    order = Order(administrator(), statement, named=named, timeout=5.0, timeout_text="5s")
    answer = engine.run(order)
    for row in answer.rows:
        json.loads(encode(row))
    assert answer.status == "success" or answer.errors


@settings(max_examples=share(300), deadline=None)
@given(pieces=_PIECES)
def test_any_words(engine: Engine, pieces: list[str]) -> None:
    """What is no statement is a syntax error."""
    _run(engine, " ".join(pieces))


@settings(max_examples=share(400), deadline=None)
@given(
    statement=st.sampled_from(_STATEMENTS),
    other=st.sampled_from(_STATEMENTS),
    where=st.integers(0, 400),
    length=st.integers(0, 20),
    piece=st.sampled_from(_WORDS) | st.text(max_size=4),
)
def test_statements_that_were_changed(
    engine: Engine, statement: str, other: str, where: int, length: int, piece: str
) -> None:
    """Near a statement are the mistakes that somebody makes."""
    for text in (statement, other[:where] + statement[where:]):
        _run(engine, text[:where] + piece + text[where + length :])


@settings(max_examples=share(200), deadline=None)
@given(statement=st.sampled_from(_STATEMENTS), value=_VALUES)
def test_any_arguments(engine: Engine, statement: str, value: object) -> None:
    """Whatever type an argument has, where a statement of the recordings has a literal."""
    for literal in ('"paid"', "1004", "10", '"a"', "[1, 2]"):
        if literal in statement:
            _run(engine, statement.replace(literal, "$x"), x=value)


_DEEP: Final = 3000


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT " + "(" * _DEEP + "1" + ")" * _DEEP,
        "SELECT " + "[" * _DEEP + "]" * _DEEP,
        "SELECT " + '{"a":' * _DEEP + "1" + "}" * _DEEP,
        "SELECT {" + "a." * _DEEP + "b + 1}",
        "SELECT a" + "[0]" * _DEEP,
        "SELECT " + "NOT " * _DEEP + "1",
        "SELECT " + "- " * _DEEP + "1",
        "SELECT 1 " + "IS NULL " * _DEEP,
        "SELECT 1 " + "NOT IN [1] " * _DEEP,
        "(SELECT " * _DEEP + "1" + ")" * _DEEP,
        "SELECT 1 " + "UNION SELECT 1 " * _DEEP,
        "SELECT " + "CASE WHEN " * _DEEP,
        "SELECT " + "UPPER(" * _DEEP + '"a"' + ")" * _DEEP,
        "SELECT " + "ARRAY " * _DEEP,
        "(" * _DEEP,
        "EXPLAIN " * _DEEP,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_nested_deeply(statement: str) -> None:
    """It is refused: the interpreter's stack is not for others to fill."""
    status, code, _ = Service("k").error(statement)
    assert (status, code) == (400, 3000)


@pytest.mark.parametrize("operator", ["+", "*", "||", "AND", "OR"])
def test_what_is_long_and_not_deep(operator: str) -> None:
    """Operators in a row make no nesting."""
    statement = f"SELECT RAW TYPE({f' {operator} '.join(['1'] * _DEEP)})"
    assert len(Service("k").rows(statement)) == 1


def test_deep_documents_and_arguments() -> None:
    """JSON that is nested as deeply as a document may be."""
    service = Service("k")
    deep = "[" * 200 + "]" * 200
    assert service.rows("SELECT RAW $x", __x=json.loads(deep)) == [json.loads(deep)]
    assert service.rows("SELECT RAW $x = $x", __x=json.loads(deep)) == [True]


@pytest.mark.parametrize("levels", [300, 900, 5000, 100_000])
def test_arguments_that_are_too_deep(levels: int) -> None:
    """They are an error of the request, and the next one is answered."""
    service = Service("k")
    body = f'{{"statement": "SELECT 1", "$x": {"[" * levels}{"]" * levels}}}'.encode()
    headers = (("Content-Type", "application/json"),)
    status, _, answer = service.client.ask("/query/service", service.user, "POST", body, headers)
    assert (status, json.loads(answer)["status"]) == (400, "fatal")
    assert service.rows("SELECT RAW 1") == [1]


@pytest.mark.parametrize("call", ["COUNT(*)", "SUM(1)", "ROW_NUMBER() OVER ()", "SUM(1) OVER ()"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM k UNNEST [{}] AS x",
        "SELECT 1 FROM [{}] AS x",
        "SELECT 1 FROM k JOIN k AS j ON {} = 1",
        "SELECT 1 FROM k LET x = {}",
        "SELECT 1 FROM k GROUP BY {}",
        "SELECT 1 FROM k USE KEYS TO_STRING({})",
        "SELECT 1 LIMIT {}",
        "SELECT SUM({}) FROM k",
        "WITH a AS ({}) SELECT a",
        "INSERT INTO k VALUES ('a', {})",
        "UPDATE k SET a = {}",
        "UPDATE k SET a = 1 RETURNING {}",
        "DELETE FROM k WHERE {} = 1",
        "SELECT ARRAY {} FOR x IN [1] WHEN {} END FROM k",
    ],
)
def test_what_is_computed_of_rows_where_there_are_none(statement: str, call: str) -> None:
    """An answer, whatever it is: a refusal, or what can be computed all the same."""
    status, answer = Service("k").ask(statement.replace("{}", call))
    assert status in {200, 400, 404, 500}
    assert answer["status"] in {"success", "fatal"}
