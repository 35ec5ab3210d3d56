"""Items: documents as objects of the user's, which operations on many of them fill (SDK 2.5).

A `_multi` operation takes an `ItemCollection` in place of keys. What it would say of each key (a
value, a CAS, a ttl) is in the item and its options; what becomes of the key is put into the item,
which is its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from couchloop.exceptions import ArgumentError
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.result import ValueResult
from couchloop.safety.printable import first_in_quotes

_OPTIONS: Final = frozenset(
    {
        "ttl",
        "expiry",
        "lock_time",
        "format",
        "ignore_cas",
        "fragment",
        "delta",
        "initial",
        "quiet",
        "cas",
    }
)
OF_ITEMS: Final = frozenset({"ignore_cas", "fragment"})
"""Options that say how an item is used, and are no arguments of an operation."""


class Item(ValueResult):
    """A document that operations fill: `key`, `value`, `cas`, `flags` and `rc`.

    A subclass may have attributes of its own.

    Args:
        key: the document's.
        value: to be stored; later what was read.
    """

    def __init__(self, key: Any = None, value: Any = None) -> None:
        super().__init__(key, value, 0, 0)

    def as_itcoll(self, **options: Any) -> ItemOptionDict:
        """Return a collection of this item alone, with these options."""
        collection = ItemOptionDict()
        collection.add(self, **options)
        return collection


class ItemCollection:
    """Items for one operation on all of them."""

    def pairs(self) -> Iterator[tuple[Item, Mapping[str, Any]]]:
        """Yield each item and its options."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Item]:
        return (item for item, _ in self.pairs())

    def __len__(self) -> int:
        return sum(1 for _ in self.pairs())


class ItemOptionDict(ItemCollection):
    """Items, each with options of its own.

    The options are `ttl`, `format`, `cas`, `ignore_cas` (store whatever the item's CAS is),
    `fragment` (what is appended or prepended), `delta`, `initial` and `quiet`.

    Args:
        d: a dict of item and options.
    """

    def __init__(self, d: Mapping[Item, Mapping[str, Any] | None] | None = None) -> None:
        self._dict: dict[Item, dict[str, Any]] = {}
        for item, options in (d or {}).items():
            self.add(item, **(options or {}))

    @property
    def dict(self) -> dict[Item, dict[str, Any]]:
        """Each item with its options."""
        return self._dict

    def add(self, itm: Item, **options: Any) -> None:
        """Add an item, with options. Raises ArgumentError for what is none."""
        if not isinstance(itm, Item):
            raise ArgumentError(f"add an Item, not {type(itm).__name__}")
        if unknown := options.keys() - _OPTIONS:
            raise ArgumentError(
                f"unknown option of an item: {first_in_quotes(unknown)}", key=itm.key
            )
        self._dict[itm] = options

    def create_and_add(self, key: Any, value: Any = None, cas: int = 0, **options: Any) -> Item:
        """Make an item, add it and return it."""
        item = Item(key, value)
        item.cas = cas
        self.add(item, **options)
        return item

    def pairs(self) -> Iterator[tuple[Item, Mapping[str, Any]]]:
        """See `ItemCollection`."""
        return iter(self._dict.items())


class ItemSequence(ItemCollection):
    """Items without options.

    Args:
        obj: an item, or an iterable of items.
    """

    def __init__(self, obj: Any) -> None:
        try:
            self._items: Sequence[Any] = [obj] if isinstance(obj, Item) else list(obj)
        except TypeError as error:
            raise ArgumentError("a sequence of items is made of one, or of several") from error
        for item in self._items:
            if not isinstance(item, Item):
                raise ArgumentError(f"a sequence of items has Items, not {type(item).__name__}")

    def pairs(self) -> Iterator[tuple[Item, Mapping[str, Any]]]:
        """See `ItemCollection`."""
        return ((item, {}) for item in self._items)


def check_fragments(items: object) -> None:
    """Raise ArgumentError unless *items* are items, and each has a fragment."""
    if not isinstance(items, ItemCollection):
        raise ArgumentError("give an ItemOptionDict, whose items have the option fragment")
    for item, options in items.pairs():
        if "fragment" not in options:
            raise ArgumentError("an item has no fragment", key=item.key)


Given = Mapping[Any, tuple[Item, Mapping[str, Any]]]
"""By key: the item, and its options."""


def by_key(collection: ItemCollection) -> dict[Any, tuple[Item, Mapping[str, Any]]]:
    """Return the items by their keys; raise ArgumentError if a key comes twice."""
    found: dict[Any, tuple[Item, Mapping[str, Any]]] = {}
    for item, options in collection.pairs():
        try:
            if item.key in found:
                text = "two items have the same key: put them into different batches"
                raise ArgumentError(text, key=item.key)
        except TypeError as error:
            raise ArgumentError("an item's key is text or bytes") from error
        found[item.key] = item, options
    return found


def fill(given: Given, key: Any, result: Any, side: str) -> Item:
    """Put what became of *key* into its item; return it.

    *side*: where a fragment was put, `append` or `prepend`; empty: nowhere.
    """
    item, options = given[key]
    item.rc = result.rc
    if result.rc:
        return item
    item.cas, item.token = result.cas, getattr(result, "token", None)
    if isinstance(result, ValueResult):
        item.value, item.flags = result.value, result.flags
    elif side and item.value is not None and "fragment" in options:
        try:
            both = (item.value, options["fragment"])
            first, last = both if side == "append" else reversed(both)
            item.value = first + last
        except TypeError:
            # What the item holds is of another type than what was stored.
            item.value = None
    return item


class ItemBatch(Batch[Any]):
    """A batch that fills items."""

    __slots__ = ("_given", "_side")

    def __init__(self, given: Given, side: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._given, self._side = given, side

    def _read(self, end: int) -> None:
        results = self.results
        place = len(results)
        super()._read(end)
        for op in self.operations[place:end]:
            results[op.key] = fill(self._given, op.key, results[op.key], self._side)
        if self.failed is not None:
            self.failed.result = results.get(self.failed.key, self.failed.result)


class ItemBulk(Bulk[Any]):
    """A large batch that fills items."""

    __slots__ = ("_given", "_side")

    def __init__(self, given: Given, side: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._given, self._side = given, side

    def settle(self, place: int, result: Any, error: Any) -> None:
        """See `Bulk`."""
        item = fill(self._given, self.keys[place], result, self._side)
        super().settle(place, item, error)


def kinds_of_batches(given: Given, side: str) -> tuple[Any, Any]:
    """Return what makes a batch that fills *given*, and what makes a large one."""
    return partial(ItemBatch, given, side), partial(ItemBulk, given, side)
