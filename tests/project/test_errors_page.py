"""The page of errors is what the classes and the table of cures say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from couchloop import exceptions
from couchloop.exceptions import CouchbaseError
from tests.project.test_packaging import ROOT
from tools import errors_page
from tools.error_cures import CURES


def test_page_is_up_to_date() -> None:
    """docs/errors.md is exactly what the command writes."""
    run = subprocess.run(
        [sys.executable, "-m", "tools.errors_page", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_stale_page_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that somebody has changed, or that is missing, is named; the command writes it."""
    page = tmp_path / "errors.md"
    monkeypatch.setattr(errors_page, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["errors_page", "--check"])
    assert errors_page.main() == 1
    page.write_text("nothing", encoding="utf-8")
    assert errors_page.main() == 1
    assert capsys.readouterr().err.count("make errors") == 2
    monkeypatch.setattr(sys, "argv", ["errors_page"])
    assert errors_page.main() == 0
    monkeypatch.setattr(sys, "argv", ["errors_page", "--check"])
    assert errors_page.main() == 0


def test_each_class_stands_in_the_tree_once() -> None:
    """No class is left out, and none is there twice, whatever its other parents."""
    lines = errors_page.page().splitlines()
    for cls in errors_page.classes():
        if cls is not CouchbaseError:
            assert sum(line.lstrip().startswith(f"- `{cls.__name__}`") for line in lines) == 1


def test_each_class_has_a_cure() -> None:
    """Its own, or that of a class above; and no cure is of a class that there is not."""
    assert set(CURES) <= set(vars(exceptions))
    without = [cls.__name__ for cls in errors_page.classes() if not errors_page.cure_of(cls)]
    assert without == ["CouchbaseError"]


class _Uses(ast.NodeVisitor):
    """Which names a file uses for more than imports, types, bases and what it catches."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Import(self, node: ast.AST) -> None:
        """Leave it out."""

    def visit_ImportFrom(self, node: ast.AST) -> None:
        """Leave it out."""

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._visit_all(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_all(node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.value] if node.value else [])

    def visit_Call(self, node: ast.Call) -> None:
        is_asked = isinstance(node.func, ast.Name) and node.func.id in {"isinstance", "issubclass"}
        self._visit_all(node.args[:1] if is_asked else list(ast.iter_child_nodes(node)))

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.names.add(node.attr)
        self.visit(node.value)

    def _visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def test_each_class_is_raised() -> None:
    """Something makes an error of each class, or of one below it."""
    uses = _Uses()
    for folder in ("core/couchloop", "txcouchbase", "gcouchbase"):
        for path in (ROOT / folder).rglob("*.py"):
            uses.visit(ast.parse(path.read_text(encoding="utf-8")))

    def is_used(cls: type[CouchbaseError]) -> bool:
        return cls.__name__ in uses.names or any(map(is_used, cls.__subclasses__()))

    assert not [cls.__name__ for cls in errors_page.classes() if not is_used(cls)]


def test_causes_are_given_in_one_way() -> None:
    """No file sets `__cause__` by itself: None there hides what its caller was handling."""
    sets = re.compile(r"\.__cause__ = (?!error\.__context__ = None)")
    for folder in ("core/couchloop", "txcouchbase", "gcouchbase"):
        for path in (ROOT / folder).rglob("*.py"):
            is_free = path.name == "exceptions.py"
            assert is_free or not sets.search(path.read_text(encoding="utf-8")), path


def test_a_line() -> None:
    """It has the numbers, the other parents, what the class says, and the cure."""
    assert errors_page.line_of(exceptions.AmbiguousTimeoutError) == (
        "- `AmbiguousTimeoutError` (13; also `AmbiguousError`; **passes**; **in doubt**): The "
        "request was sent and not answered in time; its outcome is unknown. "
        "*Cure:* read before writing again."
    )
