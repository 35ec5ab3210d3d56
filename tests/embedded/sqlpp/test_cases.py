"""Statements with what has to come of them, by topic: files in `cases`.

`expression -> JSON` on a line: what `SELECT expression` gives. Otherwise a statement, perhaps with
members of the request behind it as JSON; and, indented, what comes of it: rows, then perhaps
`mutations N` or `warning CODE`; or status, code and text of the first error; or `*`, any success.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.embedded.sqlpp.service import Service
from tests.embedded.sqlpp.test_anchors import DOCUMENTS

_FOLDER: Final = Path(__file__).parent / "cases"
_TOPICS: Final = sorted(path.stem for path in _FOLDER.glob("*.txt"))
_LEAST: Final = 300


@dataclass
class Case:
    """A statement, and what has to come of it."""

    line: int
    statement: str
    expected: str
    members: dict[str, Any] = field(default_factory=dict)
    expression: bool = False


def _cases(topic: str) -> Iterator[Case]:
    """Return the cases of a topic, in their order."""
    lines = (_FOLDER / f"{topic}.txt").read_text(encoding="utf-8").split("\n")
    statement = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("  "):
            assert statement, f"{topic}, line {number}: there is no statement above"
            text, members = _divided(statement)
            yield Case(number - 1, text, line.strip(), members)
            statement = ""
        elif " -> " in line:
            text, _, expected = line.rpartition(" -> ")
            yield Case(number, f"SELECT {text}\n AS r", expected, expression=True)
        elif line and not line.startswith("#"):
            assert not statement, f"{topic}, line {number}: nothing is said of the statement above"
            statement = line
    assert not statement


def _divided(text: str) -> tuple[str, dict[str, Any]]:
    """Return a statement and the members of the request behind it."""
    statement, brace, rest = text.rpartition(" {")
    if brace:
        try:
            members = json.loads("{" + rest)
        except ValueError:
            return text, {}
        if any(name.startswith("$") or name in _MEMBERS for name in members):
            return statement, members
    return text, {}


_MEMBERS: Final = {"args", "readonly", "auto_execute", "a"}


def _seen(case: Case, status: int, answer: dict[str, Any]) -> str:
    """Return what came of a case, written as what is expected is."""
    if "errors" in answer:
        error = answer["errors"][0]
        return f"{status} {error['code']} {error['msg']}"
    if case.expression:
        (row,) = answer["results"]
        return _text(row["r"]) if "r" in row else "MISSING"
    text = _text(answer["results"])
    if answer["metrics"].get("mutationCount"):
        text += f" mutations {answer['metrics']['mutationCount']}"
    if "warnings" in answer:
        text += f" warning {answer['warnings'][0]['code']}"
    return text


def _normal(text: str) -> str:
    """Return an expectation with its JSON written as `_seen` writes it."""
    is_error = text[:3].isdigit() and text[3:4] == " "
    if text == "MISSING" or is_error:
        return text
    value, end = json.JSONDecoder().raw_decode(text)
    return _text(value) + text[end:]


def _text(value: Any) -> str:
    """Return the JSON of a value; the order of members is for the recordings to judge."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("topic", _TOPICS)
def test_topic(topic: str) -> None:
    """Each statement gives what the service gives, in the order of the file."""
    service = Service(*DOCUMENTS, requires_index=topic == "indexes")
    for bucket, documents in DOCUMENTS.items():
        service.store(bucket, documents)
    differences = []
    for case in _cases(topic):
        status, answer = service.ask(case.statement, **case.members)
        seen = _seen(case, status, answer)
        if case.expected == "*":
            assert answer["status"] == "success", (case.statement, seen)
        elif seen != _normal(case.expected):
            differences.append((case.line, case.statement, seen, case.expected))
    assert not differences, "\n".join(map(str, differences))


def test_how_many() -> None:
    """There are enough of them to tell a change of the language."""
    assert sum(1 for topic in _TOPICS for _ in _cases(topic)) >= _LEAST
