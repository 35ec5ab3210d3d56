"""What the containers do to a document's value is what Python's own containers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.operations import alterations
from couchloop.operations.alterations import MISSING, Alteration
from couchloop.operations.containers import UNCHANGED

NUMBERS = st.lists(st.integers(0, 5), max_size=6)
INDEXES = st.integers(-8, 8)
SLICES = st.slices(6)
MEMBERS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5))
LETTERS = st.sampled_from("abcd")


def outcome(do: Callable[[], Any]) -> object:
    """Return what *do* returns, or the class of what it raises."""
    try:
        return do()
    except (IndexError, KeyError, ValueError) as error:
        return type(error)


def check(alter: Alteration, value: Any, do: Callable[[Any], Any]) -> None:
    """Compare *alter* with what *do* does to a copy of *value*."""
    mine, its = value.copy(), value.copy()
    expected = outcome(lambda: do(its))
    made = outcome(lambda: alter(mine))
    if isinstance(expected, type) and issubclass(expected, Exception):
        assert made is expected
        return
    assert isinstance(made, tuple)
    new, returned = made
    assert returned == expected
    assert its == (value if new is UNCHANGED else new)


@given(NUMBERS, INDEXES, st.integers(0, 5), NUMBERS)
def test_lists(values: list[int], index: int, value: int, others: list[int]) -> None:
    """A list is changed as a list is, and fails as one does."""

    def replace(its: list[int]) -> None:
        its[index] = value

    def delete(its: list[int]) -> None:
        del its[index]

    check(alterations.inserted(index, value), values, lambda its: its.insert(index, value))
    check(alterations.extended(iter(others)), values, lambda its: its.extend(others))
    check(alterations.replaced(index, value), values, replace)
    check(alterations.deleted(index), values, delete)
    check(alterations.popped(index), values, lambda its: its.pop(index))
    check(alterations.removed(value), values, lambda its: its.remove(value))
    check(alterations.reversed_order, values, lambda its: its.reverse())
    check(alterations.emptied(list), values, lambda its: its.clear())


@given(NUMBERS, SLICES, NUMBERS)
def test_slices(values: list[int], some: slice, others: list[int]) -> None:
    """Slices are replaced and removed as a list's are, given any iterable."""

    def replace(its: list[int]) -> None:
        its[some] = others

    def delete(its: list[int]) -> None:
        del its[some]

    check(alterations.replaced(some, iter(others)), values, replace)
    check(alterations.deleted(some), values, delete)


@given(MEMBERS, LETTERS, st.integers(0, 5), MEMBERS)
def test_maps(members: dict[str, int], key: str, value: int, others: dict[str, int]) -> None:
    """A map is changed as a dict is."""
    check(alterations.popped_member(key, MISSING), members, lambda its: its.pop(key))
    check(alterations.popped_member(key, value), members, lambda its: its.pop(key, value))
    check(alterations.popped_item, members, lambda its: its.popitem())
    check(alterations.with_default(key, value), members, lambda its: its.setdefault(key, value))
    check(alterations.updated(others), members, lambda its: its.update(others))
    check(alterations.emptied(dict), members, lambda its: its.clear())


@given(st.lists(st.integers(0, 5), unique=True), st.lists(NUMBERS, max_size=3))
def test_sets(values: list[int], others: list[list[int]]) -> None:
    """What is added to a set is there once, and nothing is stored if all was there."""
    new, returned = alterations.united(others)(values.copy())
    assert returned is None
    wanted = set(values).union(*others)
    if new is UNCHANGED:
        assert set(values) == wanted
    else:
        assert set(new) == wanted
        assert len(new) == len(wanted) > len(values)


@given(st.lists(st.integers(0, 5), unique=True, min_size=1))
def test_popped_any(values: list[int]) -> None:
    """Some value of a set is taken out."""
    rest, taken = alterations.popped_any(values.copy())
    assert {*rest, taken} == set(values)
    assert len(rest) == len(values) - 1


def test_popped_of_none() -> None:
    """An empty set has nothing to give."""
    with pytest.raises(KeyError, match="the set is empty"):
        alterations.popped_any([])
