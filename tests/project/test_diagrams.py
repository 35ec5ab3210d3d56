"""The page of diagrams is what the tables in the code say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from couchloop.kv.connection import TRANSITIONS, State
from tests.project.test_packaging import ROOT
from tools import diagrams


def test_page_is_up_to_date() -> None:
    """docs/diagrams.md is exactly what the command writes."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "diagrams.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_every_room() -> None:
    """Each room of the core, and each of the embedded cluster, is in its diagram once."""
    for contract, folder in (("rooms", "couchloop"), ("embedded-rooms", "couchloop/embedded")):
        drawn = [name for layer in diagrams.layers(contract) for name in layer]
        rooms = {
            path.stem
            for path in (ROOT / "core" / folder).iterdir()
            if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert sorted(drawn) == sorted(rooms - {"__init__"})


def test_every_state() -> None:
    """Each state of a connection is drawn; a life begins with one, and ends with one."""
    drawn = "\n".join(diagrams.state_diagram())
    assert {state for one, _, other in TRANSITIONS for state in (one, other)} == set(State)
    assert [line.strip() for line in drawn.splitlines() if "[*]" in line] == [
        "[*] --> OPENING",
        "CLOSED --> [*]",
    ]


def test_a_stale_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transition that is no longer there changes the page."""
    before = diagrams.page()
    monkeypatch.setattr(diagrams, "TRANSITIONS", TRANSITIONS[1:])
    assert diagrams.page() != before
