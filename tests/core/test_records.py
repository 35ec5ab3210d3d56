"""Records are frozen dataclasses with slots, in all that a program sees."""

from __future__ import annotations

import copy
import pickle
import weakref
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.records import record


@record(frozen=True, slots=True)
class Point:
    """A record."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


@record(frozen=True, slots=True)
class Place(Point):
    """One with a field more, that checks itself."""

    city: str = ""

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("west")


@record(frozen=True, slots=True)
class Further(Place):
    """What its base checks is checked."""


@dataclass(frozen=True, slots=True)
class RealPoint:
    """The same as a dataclass."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


@record(frozen=True, slots=True, kw_only=True)
class Named:
    """Its fields are given by name."""

    a: int
    b: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNamed:
    """The same as a dataclass."""

    a: int
    b: int = 1


@record(frozen=True, slots=True)
class Nothing:
    """No field at all."""


@record(slots=True, weakref_slot=True)
class Changing:
    """One that is not frozen."""

    x: int
    names: list[str] = field(default_factory=list)


@record(slots=True)
class Heir(Changing):
    """One with a field more, and a constructor of its own."""

    y: int = 0

    def __init__(self, x: int, names: list[str] | None = None, y: int = 0) -> None:
        Changing.__init__(self, x, names or ["none"])
        self.y = y


def outcome(make: Callable[..., Any], given: list[Any], named: dict[str, Any]) -> Any:
    """Give the fields of what is made; TypeError: nothing is."""
    try:
        made = make(*given, **named)
    except TypeError:
        return TypeError
    return {each.name: getattr(made, each.name) for each in fields(made)}


@given(
    st.lists(st.integers(), max_size=5),
    st.dictionaries(st.sampled_from(["x", "y", "names", "note", "a", "b", "other"]), st.none()),
)
def test_arguments(given: list[Any], named: dict[str, Any]) -> None:
    """What is taken, by position or name, and what is made of it, is as with a dataclass."""
    assert outcome(Point, given, named) == outcome(RealPoint, given, named)
    assert outcome(Named, given, named) == outcome(RealNamed, given, named)


@given(*[st.integers(0, 2)] * 4, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]))
def test_equality(x: int, y: int, x2: int, y2: int, note: str, note2: str) -> None:
    """Those of one class are equal by the fields that count, and then have one hash."""
    given, other = (x, y, (), note), (x2, y2, (), note2)
    one, two = Point(*given), Point(*other)  # type: ignore[arg-type]
    assert (one == two) is (RealPoint(*given) == RealPoint(*other))  # type: ignore[arg-type]
    assert (hash(one) == hash(two)) is (one == two)
    assert repr(one) == repr(RealPoint(*given)).replace("RealPoint", "Point")  # type: ignore[arg-type]
    assert one != Place(x, y, ())  # type: ignore[arg-type]
    values: Any = given
    assert one != values


def test_frozen() -> None:
    """Nothing can be set, nothing deleted, nothing added."""
    point: Any = Point(1)
    for name in ("x", "other"):
        with pytest.raises(FrozenInstanceError):
            setattr(point, name, 2)
    with pytest.raises(FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")
    assert point.names is not Point(1).names


def test_mutable() -> None:
    """Its fields can be set, it has no hash, and its own constructor is left to a class."""
    made = Changing(1)
    made.x = 2
    assert made == Changing(2, []) != Changing(1)
    assert repr(made) == "Changing(x=2, names=[])"
    assert weakref.ref(made)() is made
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
    with pytest.raises(AttributeError):
        made.other = 1  # type: ignore[attr-defined]
    heir = Heir(1, y=3)
    assert (heir.names, heir.y, heir == Heir(1), heir == made) == (["none"], 3, False, False)
    assert replace(heir, y=4) == Heir(1, ["none"], 4)
    for other in (copy.copy(heir), copy.deepcopy(heir), pickle.loads(pickle.dumps(heir))):  # noqa: S301
        assert other == heir


def test_heirs_and_checks() -> None:
    """Fields are inherited, and what checks them."""
    assert Place(1, 2, [], "", "Rome").city == Place(1, city="Rome").city == "Rome"
    for kind in (Place, Further):
        with pytest.raises(ValueError, match="west"):
            kind(-1)
    assert Nothing() == Nothing()
    assert repr(Nothing()) == "Nothing()"
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize("made", [Point(1, 2, ["a"], "n"), Place(1), Named(a=1), Nothing()])
def test_tools_for_dataclasses(made: Any) -> None:
    """`replace`, `fields`, copies and pickles do what they do with dataclasses."""
    assert is_dataclass(made)
    again: Any = replace
    for other in (again(made), copy.copy(made), copy.deepcopy(made)):
        assert other == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own
    assert replace(Point(1), y=5) == Point(1, 5)
