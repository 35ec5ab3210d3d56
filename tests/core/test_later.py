"""What is made later is the real thing."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from couchloop import later


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test puts off is put off, and a module is not loaded yet."""
    monkeypatch.setattr(later, "_put_off", set())
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_modules() -> None:
    """One is imported when something of it is asked for; what it has not is an AttributeError."""
    module: Any = later.Module("colorsys", {})
    assert "colorsys" not in sys.modules
    assert module.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert module.rgb_to_hsv is sys.modules["colorsys"].rgb_to_hsv
    with pytest.raises(AttributeError):
        module.no_such_thing()


def test_it_takes_its_place() -> None:
    """Whoever uses it has the module itself from then on, by whatever names, and nothing else."""
    names: dict[str, Any] = {"other": None}
    names["colors"] = names["same"] = later.Module("colorsys", names)
    assert names["same"].rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    real = sys.modules["colorsys"]
    assert names == {"other": None, "colors": real, "same": real}
    assert later.import_now(real) is real
    assert not later._put_off


def test_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was put off is there afterwards, and what that puts off, but not what is missing."""
    names: dict[str, Any] = {}
    inner = ModuleType("inner")
    inner.colors = later.Module("colorsys", vars(inner))  # type: ignore[attr-defined]
    later._put_off.clear()

    def import_it(name: str) -> ModuleType:
        if name == "inner":
            later._put_off.add(inner.colors)
            return inner
        return import_module(name)

    monkeypatch.setattr(later, "import_module", import_it)
    names["inner"] = later.Module("inner", names)
    names["missing"] = missing = later.Module("couchloop.no_such_module", names)
    later.settle()
    assert names == {"inner": inner, "missing": missing}
    assert inner.colors is sys.modules["colorsys"]
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        missing.anything()
    later.settle()
    assert later._put_off == {missing}


def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an adapter brings is held while something is imported, and not otherwise."""
    steps: list[str] = []

    class Lock:
        def __enter__(self) -> None:
            steps.append("acquired")

        def __exit__(self, *_: object) -> None:
            steps.append("released")

    def import_it(name: str) -> ModuleType:
        steps.append(name)
        return import_module(name)

    monkeypatch.setattr(later, "_importing", None)
    monkeypatch.setattr(later, "import_module", import_it)
    later.one_at_a_time(Lock())
    module: Any = later.Module("colorsys", {})
    assert steps == []
    assert module.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert steps == ["acquired", "colorsys", "released"]
    with later.importing():
        assert steps.pop() == "acquired"


@pytest.mark.parametrize(("text", "given"), [(r"([a-z])\d", "A1"), (rb"([a-z])\d", b"A1")])
def test_patterns(text: Any, given: Any) -> None:
    """One does what a compiled one does, the same each time."""
    made, real = later.pattern(text, re.IGNORECASE), re.compile(text, re.IGNORECASE)
    for _ in range(2):
        found, expected = made.fullmatch(given), real.fullmatch(given)
        assert found is not None
        assert expected is not None
        assert found.groups() == expected.groups()
        assert made.findall(given) == real.findall(given)
        assert made.pattern == real.pattern
    with pytest.raises(AttributeError):
        made.nothing()  # type: ignore[attr-defined]


def test_a_pattern_that_is_none() -> None:
    """It is told where it is used."""
    wrong = later.pattern("(")
    with pytest.raises(re.error):
        wrong.match("")
