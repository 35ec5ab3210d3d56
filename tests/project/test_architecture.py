"""docs/architecture.md says what the code has: files, the boundary of a session, its events."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, get_args

import pytest

from couchloop.session import events
from couchloop.session.session import Session
from tests.project.test_packaging import ROOT

CORE: Final = ROOT / "core" / "couchloop"
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ADAPTERS: Final = (ROOT / "txcouchbase", ROOT / "gcouchbase")

_SPAN: Final = re.compile(r"`([^`]+)`")
_CALL: Final = re.compile(r"`(\w+)\(([^)`]*)\)`")
_FILE: Final = re.compile(r"`([\w/]+\.py)`")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table whose heading that is."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line == heading:
            break
    else:
        raise AssertionError(f"no table is headed {heading}")
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def places(path: str, base: Path = CORE) -> list[Path]:
    """Return the files that a path of the page means: of the core, or of each adapter."""
    found = [base / path] if (base / path).exists() else []
    if not found and "/" not in path:
        found = [adapter / path for adapter in ADAPTERS if (adapter / path).exists()]
    assert found, f"the page names {path}, which is not there"
    return found


def listed_files() -> Iterator[Path]:
    """Yield each file that the table of rooms names; a row without a room continues the last."""
    room = CORE
    for where, files, _ in table("| room | file | job |"):
        if where:
            folder = _SPAN.match(where)
            room = CORE / folder[1] if folder is not None else CORE
        yield from (room / name for name in _SPAN.findall(files) if name.endswith(".py"))


def test_every_file_has_a_job() -> None:
    """Each file of the core is in the table of rooms, once; what the table names is there."""
    there = {
        path
        for path in CORE.rglob("*.py")
        if path.name != "__init__.py" and not path.is_relative_to(CORE / "embedded")
    }
    listed = [path.relative_to(CORE).as_posix() for path in listed_files()]
    assert sorted(listed) == sorted(path.relative_to(CORE).as_posix() for path in there)


@pytest.mark.parametrize(
    "row", table("| looked for | file | names |"), ids=lambda row: row[0].replace("`", "")
)
def test_looked_up(row: list[str]) -> None:
    """Where a behaviour is said to be there is a file, and what is named stands in it."""
    _, where, names = row
    files = [file for path in _FILE.findall(where) for file in places(path)]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert files
    for name in _SPAN.findall(names):
        assert re.search(rf"\b{name}\b", text), f"{name} is in none of {where}"


@pytest.mark.parametrize("row", table("| where is … | |"), ids=lambda row: row[0])
def test_looked_up_in_the_embedded_cluster(row: list[str]) -> None:
    """Likewise for the embedded cluster."""
    for path in _SPAN.findall(row[1]):
        assert (CORE / "embedded" / path).exists()


@cache
def methods() -> dict[str, list[str]]:
    """Return the arguments of each method of a session, by its source: it may run compiled.

    What is called for each operation is its dispatcher's, which it passes on as its own.
    """
    found: dict[str, list[str]] = {}
    for kind in (
        "session/session.py:Session",
        "session/dispatcher.py:Dispatcher",
        "hot/submit.py:Submitter",
    ):
        path, _, name = kind.partition(":")
        tree = ast.parse((CORE / path).read_text(encoding="utf-8"))
        (body,) = [
            each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name
        ]
        for each in body.body:
            if isinstance(each, ast.FunctionDef) and not each.decorator_list:
                _, *arguments = [*each.args.posonlyargs, *each.args.args]
                given = [argument.arg for argument in [*arguments, *each.args.kwonlyargs]]
                found.setdefault(each.name, given)
    return found


def used_by_adapters() -> tuple[set[str], set[str]]:
    """Return which methods of a session are called from outside it, and which attributes set."""
    folders = [CORE / "client", *ADAPTERS]
    paths = [path for folder in folders for path in folder.glob("*.py")]
    called, assigned = set(), set()
    for path in [*paths, CORE / "session" / "standstill.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            owner = node.value
            name = getattr(owner, "attr", None) or getattr(owner, "id", None)
            if name not in {"session", "_session", "opening"}:
                continue
            if isinstance(node.ctx, ast.Store):
                assigned.add(node.attr)
            elif node.attr in methods():
                called.add(node.attr)
    return called, assigned


def test_the_boundary() -> None:
    """The tables name each method of a session that is called from outside, and no other."""
    rows = [*table("| call | when |"), *table("| what | meaning |")]
    named = [(name, said) for first, *_ in rows for name, said in _CALL.findall(first)]
    # These are handed to the session, which calls them.
    for handed in (("deliver", "operation"), ("give_turn", "batch, now")):
        assert handed[0] in inspect.signature(Session).parameters
        named.remove(handed)
    called, _ = used_by_adapters()
    assert sorted(name for name, _ in named) == sorted(called)
    for name, said in named:
        parameters = methods()[name]
        count = len(said.split(",")) if said else 0
        assert count == len(parameters), f"{name}({said}) takes {parameters}"


def test_what_an_adapter_may_set() -> None:
    """The page names each attribute of a session that is set from outside."""
    _, assigned = used_by_adapters()
    (paragraph,) = [each for each in PAGE.split("\n\n") if each.startswith("An adapter may set")]
    assert {span.partition("(")[0] for span in _SPAN.findall(paragraph)} - {"start"} == assigned


def test_the_events() -> None:
    """The table of events names each of them, once."""
    named = [
        name
        for first, _ in table("| event | what the adapter does |")
        for name in _SPAN.findall(first)
    ]
    assert sorted(named) == sorted(event.__name__ for event in get_args(events.Event))


TABLES: Final = {"core/couchloop/exceptions.py", "core/couchloop/settings/options.py"}
"""A table may be as long as what it lists."""
MOST_LINES: Final = 600


def test_no_file_is_too_long() -> None:
    """A file of logic has at most 600 lines; tables and what is made are not logic."""
    folders = (CORE, *ADAPTERS, ROOT / "tools")
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").splitlines()
        for folder in folders
        for path in folder.rglob("*.py")
    }
    long = {
        path
        for path, text in lines.items()
        if len(text) > MOST_LINES and not any("Made by `make" in line for line in text[:10])
    }
    assert long <= TABLES
