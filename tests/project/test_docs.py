"""What the pages refer to: tests that exist, files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.project.test_packaging import ROOT

DOCS: Final = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])

_NAMED: Final = re.compile(r"`(?:[\w/]+\.py::)?(?:Test\w+(?:::|\.))?(test_\w+|Test\w+)`")
_DEFINED: Final = re.compile(r"^ *(?:async def|def|class) (\w+)", re.MULTILINE)
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


@pytest.mark.parametrize("page", [*DOCS, ROOT / "CONTRIBUTING.md"], ids=_id)
def test_links(page: Path) -> None:
    """Each link of a page to another place of the project leads somewhere."""
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    dead = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert not dead


def test_the_check_sees_names() -> None:
    """A name in code quotes is found in each form in which pages write it."""
    text = "`test_a`, `TestB`, `TestB.test_c`, `tests/core/test_d.py::test_e`, `upsert`"
    assert _NAMED.findall(text) == ["test_a", "TestB", "test_c", "test_e"]
