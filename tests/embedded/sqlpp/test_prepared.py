"""Prepared statements as clients use them: by plan, by name, in a context, for ever or not."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from zlib import compressobj

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.sqlpp.prepared import PreparedStatement, PreparedStatements, from_plan
from couchloop.embedded.sqlpp.syntax import Constant, Place
from tests.embedded.sqlpp.service import Service
from tests.embedded.web import Client

_JSON = (("Content-Type", "application/json"),)


def _ask(service: Service, **members: Any) -> tuple[int, dict[str, Any]]:
    """Ask without a statement, at whatever client the service has."""
    body = json.dumps({name.replace("__", "$"): each for name, each in members.items()}).encode()
    status, _, answer = service.client.ask("/query/service", service.user, "POST", body, _JSON)
    return status, json.loads(answer)


def test_the_old_way() -> None:
    """PREPARE answers name and plan; a node that does not know the name makes it of the plan."""
    service, other = Service("b"), Service("b")
    (row,) = service.rows("PREPARE SELECT $1 AS x")
    status, answer = _ask(service, prepared=row["name"], encoded_plan=row["encoded_plan"], args=[1])
    assert (status, answer["results"]) == (200, [{"x": 1}])
    assert _ask(other, prepared=row["name"])[0] == 404
    status, answer = _ask(other, prepared=row["name"], encoded_plan=row["encoded_plan"], args=[2])
    assert (status, answer["results"]) == (200, [{"x": 2}])
    # It is known from then on.
    assert _ask(other, prepared=row["name"], args=[3])[1]["results"] == [{"x": 3}]


def test_the_new_way() -> None:
    """With auto_execute the rows come at once, and the name beside them."""
    service = Service("b")
    status, answer = service.ask("PREPARE SELECT $1 AS x", auto_execute=True, args=[1])
    assert (status, answer["results"], answer["signature"]) == (200, [{"x": 1}], {"x": "json"})
    name = answer["prepared"]
    assert _ask(service, prepared=name, args=[2])[1]["results"] == [{"x": 2}]
    node = f"[127.0.0.1:8091]{name}"
    assert _ask(service, prepared=node, args=[3])[1]["results"] == [{"x": 3}]


def test_the_same_text_has_the_same_name() -> None:
    """A name that is not given follows from the text and the context."""
    service = Service("b")
    names = [service.rows("PREPARE SELECT 1")[0]["name"] for _ in range(2)]
    assert names[0] == names[1]
    assert service.rows("PREPARE SELECT 2")[0]["name"] != names[0]
    in_context = service.rows("PREPARE SELECT 1", query_context="default:b._default")
    assert in_context[0]["name"] != names[0]
    assert in_context[0]["queryContext"] == "default:b._default"


def test_contexts() -> None:
    """A statement is known in the context that it was prepared in."""
    service = Service("b")
    service.rows("PREPARE p AS SELECT 1 AS one", query_context="default:b._default")
    status, code, text = service.error("EXECUTE p")
    assert (status, code) == (404, 4040)
    assert text == "No such prepared statement: p, context: unset"
    assert service.rows("EXECUTE p", query_context="default:b._default") == [{"one": 1}]


def test_changes() -> None:
    """A prepared change is one: a request that may only read is refused."""
    service = Service("b")
    (row,) = service.rows("PREPARE i AS INSERT INTO b VALUES ($1, 1)")
    assert (row["reqType"], row["signature"]) == ("INSERT", None)
    status, answer = _ask(service, prepared="i", args=["k"], readonly=True)
    assert (status, answer["errors"][0]["code"]) == (403, 1000)
    assert _ask(service, prepared="i", args=["k"])[1]["metrics"]["mutationCount"] == 1


def test_mistakes_are_found_when_it_is_prepared() -> None:
    """PREPARE refuses what could not run, and keeps nothing of it."""
    service = Service("b")
    assert service.error("PREPARE p AS SELECT * FROM nope")[1] == 12003
    assert service.error("PREPARE p AS SELECT LOWER()")[1] == 3000
    assert service.rows("SELECT * FROM system:prepareds") == []


def _plan(text: str, context: str = "") -> str:
    pack = compressobj(wbits=31)
    data = json.dumps({"name": "p", "queryContext": context, "text": text}).encode()
    return b64encode(pack.compress(data) + pack.flush()).decode()


@pytest.mark.parametrize(
    "plan",
    [
        "",
        "garbage",
        b64encode(b"no gzip").decode(),
        _plan("PREPARE p AS SELEC 1"),
        _plan("SELECT 1"),
        _plan("PREPARE q AS SELECT 1"),
        _plan("PREPARE p AS SELECT 1", "default:b.s"),
        _plan("(" * 100_000),
    ],
)
def test_plans_that_are_none(plan: str) -> None:
    """Whatever is wrong with a plan, the statement is not known."""
    assert from_plan(plan, "p", "") is None
    status, answer = _ask(Service("b"), prepared="p", encoded_plan=plan)
    assert (status, answer["errors"][0]["code"]) == (404, 4040)


@given(st.one_of(st.text(), st.binary().map(lambda data: b64encode(data).decode())))
def test_any_plan(plan: str) -> None:
    """No text as a plan does any harm."""
    assert from_plan(plan, "p", "") is None


def test_the_oldest_goes() -> None:
    """So many are kept; that which was used longest ago goes first."""
    kept = PreparedStatements()
    node = Constant(Place(1, 1), 1)
    for number in range(16_385):
        if number == 16_384:
            assert kept.find("0", "") is not None
        kept.add(PreparedStatement(str(number), "", "", "SELECT", node, "json"))
    assert kept.find("1", "") is None
    assert kept.find("0", "") is not None


def test_another_node_knows_it() -> None:
    """Nodes of one cluster know the same statements."""
    service = Service("b")
    service.cluster.add_node()
    service.rows("PREPARE p AS SELECT 1 AS one")
    service.client = Client(service.cluster.nodes[-1].accept_http("n1ql"))
    assert service.rows("EXECUTE p") == [{"one": 1}]
