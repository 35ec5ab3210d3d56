"""The page of errors is what the classes and the table of cures say."""

from __future__ import annotations

import subprocess
import sys
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


def test_a_line() -> None:
    """It has the numbers, the other parents, what the class says, and the cure."""
    assert errors_page.line_of(exceptions.AmbiguousTimeoutError) == (
        "- `AmbiguousTimeoutError` (13; also `AmbiguousError`; **passes**; **in doubt**): The "
        "request was sent and not answered in time; its outcome is unknown. "
        "*Cure:* read before writing again."
    )
