"""The reference page of the options is what the table in the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from couchloop.settings.options import OPTIONS, Option

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools" / "options_page.py"


def test_page_is_up_to_date() -> None:
    """docs/options.md is exactly what the command writes."""
    run = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_name(option: Option) -> None:
    """The page has each option in one row, with every name it can be given under."""
    rows = (ROOT / "docs" / "options.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{option.name}` |")]
    for name in option.names:
        assert f"`{name}`" in row
