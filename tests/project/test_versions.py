"""Pythons: the package's classifiers, the README and the page of versions say what was run."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests.project.test_packaging import ROOT, settings
from tools import matrix

PAGE: Final = (ROOT / "docs/versions.md").read_text("utf-8")
README: Final = (ROOT / "README.md").read_text("utf-8")
EVERYTHING: Final = "everything, before each change"
NOTHING: Final = "nothing"
"""How what was run begins where none was."""


class Python(NamedTuple):
    """A line of the page: an interpreter, whether it is supported, and what was run on it."""

    kind: str
    version: str
    supported: bool
    run: str


def pythons() -> list[Python]:
    """Return what the page says of each interpreter."""
    line = r"^\| (CPython|PyPy) (\d+\.\d+)[^|]*\| (yes|not yet) \| ([^|]+) \|$"
    found = re.findall(line, PAGE, re.MULTILINE)
    return [Python(kind, version, word == "yes", run) for kind, version, word, run in found]


def cells() -> dict[tuple[str, str, str], dict[str, str]]:
    """Return the numbers of the page: by interpreter and libraries, what each step gave."""
    steps = [step.name for step in matrix.STEPS]
    head = f"| interpreter | libraries | {' | '.join(steps)} |"
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    found = {}
    for line in lines:
        who, libraries, *texts = (text.strip() for text in line.strip("|").split("|"))
        kind, version = re.findall(r"^(CPython|PyPy) (\d+\.\d+)", who)[0]
        found[kind, version, libraries] = dict(zip(steps, texts, strict=True))
    return found


def test_numbers() -> None:
    """Each step was run, so many passed and so many were left out, or it was not."""
    rows = cells()
    assert rows
    for step in (text for row in rows.values() for text in row.values()):
        assert re.fullmatch(r"-|\d+(,\d{3})* / \d+", step), step
    known = {(each.kind, each.version) for each in pythons()}
    assert {(kind, version) for kind, version, _ in rows} <= known
    assert {libraries for _, _, libraries in rows} <= set(matrix.LIBRARIES)


def test_supported_is_what_was_run_whole() -> None:
    """No interpreter is called supported on which a step of the matrix was not run."""
    rows = cells()
    for each in pythons():
        row = rows.get((each.kind, each.version, "newest"), {"nothing": "-"})
        is_whole = each.run == EVERYTHING or "-" not in row.values()
        assert each.supported == is_whole, each
        was_run = any("-" not in set(cell) for cell in row.values()) or each.run == EVERYTHING
        assert was_run or each.run.startswith(NOTHING), each


def test_classifiers() -> None:
    """The package names the Pythons that are supported, and the oldest is the one that it wants."""
    metadata, options = settings()["metadata"], settings()["options"]
    named = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", metadata["classifiers"], re.MULTILINE
    )
    supported = [each.version for each in pythons() if each.supported and each.kind == "CPython"]
    assert named == supported
    assert options["python_requires"] == f">={supported[0]}"
    pypy = any(each.supported for each in pythons() if each.kind == "PyPy")
    assert ("Implementation :: PyPy" in metadata["classifiers"]) == pypy


def test_readme() -> None:
    """The README names each Python that was tried, and calls supported what the page does."""
    for kind in ("CPython", "PyPy"):
        (line,) = re.findall(rf"^\| {kind} \| ([^|]+) \| ([^|]+) \|$", README, re.MULTILINE)
        supported, tried = line
        there = [each for each in pythons() if each.kind == kind]
        assert re.findall(r"\d+\.\d+", supported) == [e.version for e in there if e.supported]
        named = dict(re.findall(r"(\d+\.\d+): ([^;]+)", tried))
        assert named.keys() == {e.version for e in there if not e.run.startswith(NOTHING)}
        for each in there:
            assert (named.get(each.version) == EVERYTHING) == (each.run == EVERYTHING)
