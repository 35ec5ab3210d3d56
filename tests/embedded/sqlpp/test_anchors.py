"""Statements with the answers that a real query service gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.embedded.sqlpp.service import Service

_CASES: Final = Path(__file__).parent / "anchors.jsonl"

DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "k": {
        "k1": {"a": 1, "s": "x", "arr": [1, 2, 3], "o": {"p": 1, "q": [{"r": 1}, {"r": 2}]}}
        | {"t": "t1"},
        "k2": {"a": 2, "s": "y", "arr": [], "t": "t1"},
        "k3": {"a": None, "s": "x", "arr": None, "t": "t2"},
        "k4": {"s": "z", "arr": "no", "t": "t2"},
        "k5": {"a": "str", "s": "x", "arr": [3, None], "t": "t2"},
    },
    "emp": {
        "e1": {"id": 1, "name": "Ann", "dept": "d1", "sal": 10, "kids": ["x", "y"]},
        "e2": {"id": 2, "name": "Bob", "dept": "d1", "sal": 20},
        "e3": {"id": 3, "name": "Cid", "dept": "d2", "sal": None, "kids": []},
        "e4": {"id": 4, "name": "Dan", "dept": None, "sal": 5.5},
        "e5": {"id": 5, "name": "Eve", "sal": "n/a", "kids": ["z"]},
    },
    "none": {},
    "w": {},
}


def _seen(case: dict[str, Any], status: int, answer: dict[str, Any]) -> dict[str, Any]:
    """What came of a case, in the form of its expectations."""
    seen: dict[str, Any] = {name: case[name] for name in ("statement", "members") if name in case}
    if "errors" in answer:
        error = answer["errors"][0]
        seen |= {"error": [status, error["code"], error["msg"]], "status": answer["status"]}
        return seen
    mutations = answer["metrics"].get("mutationCount")
    if mutations:
        seen["mutations"] = mutations
    if "warnings" in answer:
        seen["warning"] = answer["warnings"][0]["code"]
    return seen | {"rows": answer["results"]}


def test_every_anchor() -> None:
    """In their order: some depend on those before."""
    service = Service(*DOCUMENTS)
    for bucket, documents in DOCUMENTS.items():
        service.store(bucket, documents)
    cases = [json.loads(line) for line in _CASES.read_text(encoding="utf-8").splitlines()]
    found = []
    for case in cases:
        status, answer = service.ask(case["statement"], **case.get("members", {}))
        found.append(_seen(case, status, answer))
    assert found == cases
