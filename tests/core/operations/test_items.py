"""Items: documents as objects, which operations on many of them fill."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CasMismatchError,
    NotFoundError,
    NotStoredError,
    ValueFormatError,
)
from couchloop.items import Item, ItemOptionDict, ItemSequence
from couchloop.operations import document as ops
from tests.core.session.support import opened
from tests.core.world import defaults

D = defaults()


class Player(Item):
    """An item of an application's own."""

    level = 1


def test_stored_and_read() -> None:
    """Items are stored with their values and options, and are the results, filled in place."""
    w = opened()
    d = w.defaults
    items = ItemOptionDict()
    one = Player("a", {"n": 1})
    items.add(one, ttl=100)
    other = items.create_and_add("b", [2])
    results = w.do(ops.upsert_multi(d, items))
    assert results["a"] is one
    assert results["b"] is other
    assert one.success
    assert one.cas
    assert (one.level, one.value) == (1, {"n": 1})
    fresh = ItemSequence([Item("a"), Item("b")])
    assert w.do(ops.get_multi(d, fresh)).all_ok
    assert [(item.value, item.cas) for item in fresh] == [({"n": 1}, one.cas), ([2], other.cas)]
    w.advance(200)
    with pytest.raises(NotFoundError) as caught:
        w.do(ops.get_multi(d, fresh))
    first, second = fresh
    assert (first.success, second.success) == (False, True)
    assert caught.value.result is first
    assert caught.value.all_results is not None
    assert caught.value.all_results["a"] is first


def test_cas() -> None:
    """An item's CAS counts when it is stored or removed, unless it is to be ignored."""
    w = opened()
    d = w.defaults
    item = Item("k", 1)
    w.do(ops.insert_multi(d, item.as_itcoll()))
    w.do(ops.upsert(d, "k", 2))
    for build in (ops.upsert_multi, ops.replace_multi, ops.remove_multi):
        with pytest.raises(CasMismatchError):
            w.do(build(d, ItemSequence(item)))
    assert w.do(ops.upsert_multi(d, item.as_itcoll(ignore_cas=True))).all_ok
    assert w.do(ops.replace_multi(d, ItemSequence(item))).all_ok
    locked = w.do(ops.lock_multi(d, ItemSequence([item]), 10))
    assert locked["k"].cas == item.cas
    assert w.do(ops.unlock_multi(d, ItemSequence([item]))).all_ok
    item.cas = 0
    assert w.do(ops.remove_multi(d, ItemSequence(item))).all_ok


def test_counters() -> None:
    """Options say by how much each is counted."""
    w = opened()
    items = ItemOptionDict({Item("a"): {"delta": 5, "initial": 10}, Item("b"): {"initial": 0}})
    w.do(ops.counter_multi(w.defaults, items))
    w.do(ops.counter_multi(w.defaults, items))
    assert [item.value for item in items] == [15, 1]


def test_fragments() -> None:
    """`append_items` puts the fragment behind the document and behind the item's value."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert_multi(d, {"a": "x", "b": "y"}, format=0x04000004))
    items = ItemOptionDict()
    one = items.create_and_add("a", "x", fragment="1")
    other = items.create_and_add("b", fragment="2")
    w.do(ops.append_items(d, items))
    w.do(ops.prepend_items(d, items))
    assert (one.value, other.value) == ("1x1", None)
    found = w.do(ops.get_multi(d, ["a", "b"]))
    assert [result.value for result in found.values()] == ["1x1", "2y2"]
    items.create_and_add("no", "z", fragment="3")
    with pytest.raises(NotStoredError):
        w.do(ops.append_items(d, items))
    assert [item.value for item in items] == ["1x11", None, "z"]


def test_many() -> None:
    """Thousands of items are filled as well."""
    w = opened()
    d = w.defaults
    items = ItemSequence([Item(f"k{number}", number) for number in range(3000)])
    assert len(items) == 3000
    assert w.do_batch(ops.upsert_multi(d, items)).all_ok
    assert all(item.cas for item in items)
    found = ItemSequence([Item(f"k{number}") for number in range(3000)])
    results = w.do_batch(ops.get_multi(d, found))
    assert [item.value for item in found] == list(range(3000))
    assert results["k5"] is list(found)[5]


def test_a_value_that_cannot_be_stored() -> None:
    """One item that cannot be written fails alone."""
    w = opened()
    bad, good = Item("bad", {1}), Item("good", 1)
    with pytest.raises(ValueFormatError):
        w.do(ops.upsert_multi(w.defaults, ItemSequence([bad, good])))
    assert (bad.success, good.success) == (False, True)


def test_both_expiries() -> None:
    """A ttl of the batch counts for items without one of their own."""
    items = ItemOptionDict({Item("a", 1): {"ttl": 5}, Item("b", 1): None})
    for batch in (ops.upsert_multi(D, items, ttl=9), ops.upsert_multi(D, items, expiry=9)):
        assert [op.extras[-4:].hex() for op in batch.operations] == ["00000005", "00000009"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: ItemOptionDict().add("k"),  # type: ignore[arg-type]
        lambda: ItemOptionDict().add(Item("k"), nosuch=1),
        lambda: ItemSequence(["k"]),
        lambda: ItemSequence(5),
        lambda: ops.upsert_multi(D, ItemSequence([])),
        lambda: ops.upsert_multi(D, ItemSequence([Item("k"), Item("k")])),
        lambda: ops.upsert_multi(D, ItemSequence([Item([])])),
        lambda: ops.get_multi(D, Item("k").as_itcoll(delta=1)),
        lambda: ops.append_items(D, ItemSequence([Item("k")])),
        lambda: ops.append_items(D, {"k": "x"}),  # type: ignore[arg-type]
    ],
)
def test_slips(call: Any) -> None:
    """What is no item, has no such option, or comes twice, is refused at the call."""
    with pytest.raises(ArgumentError):
        call()
