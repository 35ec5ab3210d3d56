"""What the pages refer to: tests that exist, files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

import pytest

from tests.project.test_packaging import ROOT

DOCS: Final = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])

_NAMED: Final = re.compile(r"`(?:[\w/]+\.py::)?(?:Test\w+(?:::|\.))?(test_\w+|Test\w+)`")
_IN_A_FILE: Final = re.compile(r"`(test_\w+|Test\w+)`\)?\s(?:in|of)\s\[`(tests/[^`]+)`\]")
_FILE_OF: Final = re.compile(r"`(tests/[\w/]+\.py)::(?:Test\w+(?:::|\.))?(\w+)`")
_DEFINED: Final = re.compile(r"^ *(?:async def|def|class) (\w+)", re.MULTILINE)
_DOTTED: Final = re.compile(
    r"`((?:couchloop|txcouchbase|gcouchbase)(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`"
)
_LINK: Final = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def defined() -> frozenset[str]:
    """Every function and class that the tests define."""
    names: set[str] = set()
    for path in ROOT.glob("tests/**/*.py"):
        names.update(_DEFINED.findall(path.read_text(encoding="utf-8")))
    return frozenset(names)


def _id(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", DOCS, ids=_id)
def test_named_tests(page: Path, defined: frozenset[str]) -> None:
    """Each test that a page names as its proof exists."""
    named = set(_NAMED.findall(page.read_text(encoding="utf-8")))
    assert named <= defined, f"{page.name} names tests that nobody wrote: {named - defined}"


def _defined_in(place: Path) -> set[str]:
    paths = place.rglob("*.py") if place.is_dir() else [place]
    return {name for path in paths for name in _DEFINED.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", DOCS, ids=_id)
def test_named_places(page: Path) -> None:
    """Each test of which a page says in which file or folder it is is there."""
    text = page.read_text(encoding="utf-8")
    said = [*_IN_A_FILE.findall(text), *((name, path) for path, name in _FILE_OF.findall(text))]
    lost = [(name, path) for name, path in said if name not in _defined_in(ROOT / path)]
    assert not lost


@pytest.mark.parametrize("page", [*DOCS, ROOT / "CONTRIBUTING.md"], ids=_id)
def test_links(page: Path) -> None:
    """Each link of a page to another place of the project leads somewhere."""
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    dead = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert not dead


@pytest.mark.parametrize("page", DOCS, ids=_id)
def test_examples_are_run(page: Path) -> None:
    """Some test runs the examples of each page that has any."""
    if not re.search(r"^ *```python\n", page.read_text(encoding="utf-8"), re.MULTILINE):
        return
    tests = (path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    assert any(f'"{page.name}"' in text for text in tests)


def _is_there(name: str) -> bool:
    if name.startswith("couchloop.contrib."):
        # The framework that it imports may not be installed.
        _, _, module, *names = name.split(".")
        path = ROOT / "core" / "couchloop" / "contrib" / f"{module}.py"
        return path.exists() and set(names) <= _defined_in(path)
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", [*DOCS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=_id)
def test_dotted_names(page: Path) -> None:
    """Each module, class or function that a page names by its whole name is there."""
    names = set(_DOTTED.findall(page.read_text(encoding="utf-8")))
    assert not [name for name in names if not _is_there(name)]


def test_the_check_sees_names() -> None:
    """A name in code quotes is found in each form in which pages write it."""
    text = "`test_a`, `TestB`, `TestB.test_c`, `tests/core/test_d.py::test_e`, `upsert`"
    assert _NAMED.findall(text) == ["test_a", "TestB", "test_c", "test_e"]
    assert _FILE_OF.findall(text) == [("tests/core/test_d.py", "test_e")]
    text = "(`test_a` in\n[`tests/core`](../tests/core)), `TestB` of [`tests/x.py`](../tests/x.py)"
    assert _IN_A_FILE.findall(text) == [("test_a", "tests/core"), ("TestB", "tests/x.py")]
