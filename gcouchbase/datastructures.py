"""Documents as Python containers: lists, dicts, sets and queues that block the calling greenlet.

Each method is one operation on the document, which others may use at the same time: it is done as a
whole, or not at all. Iterating reads the document once. A document that is not there is an empty
container, and is made by the first change. Values are what JSON has; those of sets are no lists or
dicts, and 1, 1.0 and True are three of them.

Methods raise what operations do, and ContentionError if others changed the document before each of
many tries. The names of SDK 4.6 are there beside those of Python's own.
"""

from __future__ import annotations

from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
)
from typing import Any, Self, TypeVar, overload

from couchloop.operations import alterations
from couchloop.operations.alterations import MISSING
from couchloop.operations.container_kinds import (
    ContainerBase,
    ListBase,
    MapBase,
    QueueBase,
    SetBase,
)
from couchloop.operations.procedure import Procedure
from couchloop.operations.structures import index_of

__all__ = ["CouchbaseList", "CouchbaseMap", "CouchbaseQueue", "CouchbaseSet"]

T = TypeVar("T")


class _Container(ContainerBase):
    """A document of one kind, on gevent."""

    __slots__ = ()

    def _run(self, pending: Procedure[T]) -> T:
        target = self._target
        pending.owner = target
        result: T = target._driver.run(pending)  # noqa: SLF001 - ours
        return result

    def _read(self, look: Any) -> Any:
        return self._run(self._reading(look))

    def _change(self, alter: alterations.Alteration) -> Any:
        return self._run(self._changing(alter))

    def __len__(self) -> int:
        """Return how many values there are."""
        return self._run(self._counting())

    def size(self) -> int:
        """Return how many values there are (SDK 4.6)."""
        return len(self)

    def clear(self) -> None:
        """Remove all values; the document stays."""
        self._change(alterations.emptied(self._kind))


class CouchbaseList(_Container, ListBase, MutableSequence[Any]):
    """A list.

    Args:
        key: of the document.
        collection: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        """Return the values as they are now."""
        return iter(self.get_all())

    def __reversed__(self) -> Iterator[Any]:
        """Return the values as they are now, the last one first."""
        return iter(self.get_all()[::-1])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return a value, or a list of some; raise IndexError."""
        if type(index) is int and index >= -1:
            return self.get_at(index)
        return self._read(lambda values: values[index])

    @overload
    def __setitem__(self, index: int, value: Any) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Any]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        """Replace a value, or some; raise IndexError."""
        if type(index) is int and index >= -1:
            self.set_at(index, value)
        else:
            self._change(alterations.replaced(index, value))

    def __delitem__(self, index: int | slice) -> None:
        """Remove a value, or some; raise IndexError."""
        if type(index) is int and index >= -1:
            self.remove_at(index)
        else:
            self._change(alterations.deleted(index))

    def __contains__(self, value: object) -> bool:
        """Whether there is such a value, as Python compares."""
        return bool(self._read(lambda values: value in values))

    def __eq__(self, other: object) -> bool:
        """Whether *other* is a list, or such a container, with the same values now."""
        if isinstance(other, CouchbaseList):
            other = other.get_all()
        return self.get_all() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def insert(self, index: int, value: Any) -> None:
        """Put a value before that at *index*."""
        self._change(alterations.inserted(index, value))

    def append(self, value: Any) -> None:
        """Put a value behind the last one: one request."""
        self._run(self._appending(value))

    def prepend(self, value: Any) -> None:
        """Put a value before the first one: one request."""
        self._run(self._prepending(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Put values behind the last one, all of them at once."""
        self._change(alterations.extended(values))

    def __iadd__(self, values: Iterable[Any]) -> Self:
        """Put values behind the last one, all of them at once."""
        self.extend(values)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove a value and return it; raise IndexError."""
        return self._change(alterations.popped(index))

    def remove(self, value: Any) -> None:
        """Remove the first such value; raise ValueError."""
        self._change(alterations.removed(value))

    def reverse(self) -> None:
        """Turn the order round."""
        self._change(alterations.reversed_order)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return where the first such value is; raise ValueError."""

        def look(values: list[Any]) -> int:
            return values.index(value, start, len(values) if stop is None else stop)

        return int(self._read(look))

    def count(self, value: Any) -> int:
        """Return how often a value is there."""
        return int(self._read(lambda values: values.count(value)))

    def get_at(self, index: int) -> Any:
        """Return a value, by an index from 0, or -1; raise IndexError (SDK 4.6)."""
        return self._run(self._getting(index)).value

    def set_at(self, index: int, value: Any) -> None:
        """Replace a value, by an index from 0, or -1; raise IndexError (SDK 4.6)."""
        self._run(self._setting(index, value))

    def remove_at(self, index: int) -> None:
        """Remove a value, by an index from 0, or -1; raise IndexError (SDK 4.6)."""
        self._run(self._removing(index))

    def index_of(self, value: Any) -> int:
        """Return where the first such value is; -1: there is none (SDK 4.6)."""
        place = self._read(lambda values: index_of(values, value))
        return -1 if place is None else int(place)

    def get_all(self) -> list[Any]:
        """Return all values (SDK 4.6)."""
        values: list[Any] = self._read(list)
        return values


class CouchbaseMap(_Container, MapBase, MutableMapping[str, Any]):
    """A dict whose keys are texts.

    Args:
        key: of the document.
        collection: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        """Return the keys as they are now."""
        return iter(self.get_all())

    def __getitem__(self, mapkey: str) -> Any:
        """Return a value; raise KeyError."""
        return self._run(self._getting(mapkey)).value

    def __setitem__(self, mapkey: str, value: Any) -> None:
        """Store a value: one request."""
        self._run(self._adding(mapkey, value))

    def __delitem__(self, mapkey: str) -> None:
        """Remove a value; raise KeyError."""
        self._run(self._removing(mapkey))

    def __contains__(self, mapkey: object) -> bool:
        """Whether there is such a key."""
        return bool(self._read(lambda members: mapkey in members))

    def __eq__(self, other: object) -> bool:
        """Whether *other* is a mapping with the same keys and values now."""
        if isinstance(other, CouchbaseMap):
            other = other.get_all()
        return self.get_all() == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a dict

    def keys(self) -> Any:
        """Return the keys as they are now."""
        return self.get_all().keys()

    def values(self) -> Any:
        """Return the values as they are now."""
        return self.get_all().values()

    def items(self) -> Any:
        """Return the keys with their values, as they are now."""
        return self.get_all().items()

    def pop(self, mapkey: str, default: Any = MISSING) -> Any:
        """Remove a value and return it, or *default*; without one raise KeyError."""
        return self._change(alterations.popped_member(mapkey, default))

    def popitem(self) -> tuple[str, Any]:
        """Remove a key with its value and return both; raise KeyError."""
        item: tuple[str, Any] = self._change(alterations.popped_item)
        return item

    def setdefault(self, mapkey: str, default: Any = None) -> Any:
        """Return a value; if it is not there, store *default* and return that."""
        return self._change(alterations.with_default(mapkey, default))

    def update(self, *others: Any, **named: Any) -> None:
        """Store many values, all of them at once."""
        self._change(alterations.updated(dict(*others, **named)))

    def add(self, mapkey: str, value: Any) -> None:
        """Store a value (SDK 4.6)."""
        self[mapkey] = value

    def remove(self, mapkey: str) -> None:
        """Remove a value; raise KeyError (SDK 4.6)."""
        del self[mapkey]

    def exists(self, mapkey: str) -> bool:
        """Return whether there is such a key (SDK 4.6)."""
        return mapkey in self

    def get_all(self) -> dict[str, Any]:
        """Return all keys with their values (SDK 4.6)."""
        members: dict[str, Any] = self._read(dict)
        return members


class CouchbaseSet(_Container, SetBase, MutableSet[Any]):
    """A set.

    Args:
        key: of the document.
        collection: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        """Return the values as they are now."""
        return iter(self._read(list))

    def __contains__(self, value: object) -> bool:
        """Whether there is such a value."""
        return bool(self._read(lambda values: index_of(values, value) is not None))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        # What `&`, `|` and the like give is no document.
        return set(it)

    def add(self, value: Any) -> None:
        """Put a value into the set: one request."""
        self._run(self._adding(value))

    def _removed(self, value: Any) -> bool:
        return self._run(self._removing(value)) is not None

    def discard(self, value: Any) -> None:
        """Remove a value, if it is there."""
        self._removed(value)

    def remove(self, value: Any) -> None:
        """Remove a value; raise KeyError."""
        if not self._removed(value):
            raise KeyError(value)

    def pop(self) -> Any:
        """Remove some value and return it; raise KeyError."""
        return self._change(alterations.popped_any)

    def update(self, *others: Iterable[Any]) -> None:
        """Put many values into the set, all of them at once."""
        self._change(alterations.united(others))

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        """Put many values into the set, all of them at once."""
        self.update(other)
        return self

    def contains(self, value: Any) -> bool:
        """Return whether there is such a value (SDK 4.6)."""
        return value in self

    def values(self) -> set[Any]:
        """Return all values (SDK 4.6)."""
        return set(self)


class CouchbaseQueue(_Container, QueueBase, Collection[Any]):
    """A queue: what was pushed first is popped first.

    Args:
        key: of the document.
        collection: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        """Return the values as they wait now, the oldest first."""
        return iter(self._read(list)[::-1])

    def __contains__(self, value: object) -> bool:
        """Whether such a value waits."""
        return bool(self._read(lambda values: value in values))

    def push(self, value: Any) -> None:
        """Put a value into the queue: one request."""
        self._run(self._pushing(value))

    def pop(self) -> Any:
        """Take the oldest value out of the queue and return it; raise QueueEmpty.

        No other caller gets the same.
        """
        return self._run(self._popping()).value
