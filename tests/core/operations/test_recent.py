"""What was learned for later requests."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from couchloop.operations.recent import LONGEST, Memory, Recent


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_the_oldest_goes(room: int, steps: list[tuple[bool, int]]) -> None:
    """What was kept or read last is there, and never more than there is room for."""
    recent: Recent[int, str] = Recent(room, 99, lambda _key, _value: 1)
    order: list[int] = []
    for is_kept, key in steps:
        if is_kept:
            recent.keep(key, str(key))
        assert recent.get(key) == (str(key) if is_kept or key in order else None)
        if is_kept or key in order:
            order = [*(each for each in order if each != key), key][-room:]
        assert len(recent) == len(order)
    assert all(recent.get(key) == str(key) for key in order)


def test_forget() -> None:
    """What is forgotten is what was known, and nothing that was learned meanwhile."""
    recent: Recent[str, list[int]] = Recent(2, 2, lambda _key, _value: 1)
    old, new = [1], [1]
    recent.keep("a", old)
    recent.keep("a", new)
    recent.forget("a", old)
    assert recent.get("a") is new
    recent.forget("a", new)
    recent.forget("b", new)
    assert recent.get("a") is None
    recent.keep("a", new)
    recent.clear()
    assert len(recent) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=60))
def test_weight(steps: list[tuple[int, int]]) -> None:
    """They never weigh more together than they may; one that does so alone is not kept."""
    recent: Recent[int, str] = Recent(100, 10, lambda _key, value: len(value))
    for key, weight in steps:
        recent.keep(key, "x" * weight)
        assert recent.get(key) == (None if weight > 10 else "x" * weight)
        kept = [value for each in range(10) if (value := recent.get(each)) is not None]
        assert sum(map(len, kept)) <= 10
    for key in range(10):
        if (value := recent.get(key)) is not None:
            recent.forget(key, value)
    recent.keep(0, "x" * 10)
    assert len(recent) == 1


def test_long_statements() -> None:
    """Statements of any length, with their plans, take a bounded amount of memory."""
    memory = Memory(Random(1), 5000)
    text = "x" * (LONGEST // 8)
    for number in range(20):
        memory.prepared.keep((f"{number}{text}", None), ("name", text))
    assert len(memory.prepared) == 3
    memory.prepared.keep(("y" * LONGEST, None), ("name", ""))
    assert memory.prepared.get(("y" * LONGEST, None)) is None
    assert len(memory.prepared) == 3


def test_ids() -> None:
    """No two requests have the same id; it has the form of a UUID."""
    memory = Memory(Random(1), 2)
    ids = {memory.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert {tuple(map(len, each.split("-"))) for each in ids} == {(8, 4, 4, 4, 12)}
