"""Which twin of the hot path runs."""

from __future__ import annotations

import pytest

import couchloop
from couchloop.hot import speedups


def test_named() -> None:
    """The package says it."""
    assert couchloop.__speedups__ == speedups.NAME
    assert speedups.NAME in {None, "compiled"}


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the environment refuses it."""
    monkeypatch.setenv("COUCHLOOP_SPEEDUPS", "0")
    assert speedups._load() is None


@pytest.mark.parametrize("version", ["0.0.0", ""])
def test_of_another_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """One that was built of another version is not taken."""
    monkeypatch.delenv("COUCHLOOP_SPEEDUPS", raising=False)

    class Found:
        VERSION = version

    monkeypatch.setattr(speedups, "import_module", lambda name: Found)
    assert speedups._load() is None


def test_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none Python's own runs."""

    def none(name: str) -> None:
        raise ImportError(name)

    monkeypatch.delenv("COUCHLOOP_SPEEDUPS", raising=False)
    monkeypatch.setattr(speedups, "import_module", none)
    assert speedups._load() is None
