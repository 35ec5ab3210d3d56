"""Documents as lists, maps, sets and queues, whose methods return Deferreds.

Each method is one operation on the document, which others may use at the same time: it is done as a
whole, or not at all. A document that is not there is an empty container, and is made by the first
change. Values are what JSON has; those of sets are no lists or dicts, and 1, 1.0 and True are three
of them. The names are SDK 4.6's, and Python's where it has none.

Deferreds fail with what operations raise, and with ContentionError if others changed the document
before each of many tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail

from couchloop.exceptions import CouchbaseError, without_frames
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
    """A document of one kind, on Twisted."""

    __slots__ = ()

    def _run(self, build: Callable[..., Procedure[T]], *arguments: Any) -> Deferred[T]:
        """Carry out what *build* builds of the arguments."""
        target = self._target
        try:
            pending = build(*arguments)
        except CouchbaseError as error:
            return fail(without_frames(error))
        deferred: Deferred[T] = target._driver.run(pending, target)  # noqa: SLF001 - ours
        return deferred

    def _read(self, look: Callable[[Any], Any]) -> Deferred[Any]:
        return self._run(self._reading, look)

    def _change(self, alter: alterations.Alteration) -> Deferred[Any]:
        return self._run(self._changing, alter)

    def size(self) -> Deferred[int]:
        """Return how many values there are."""
        return self._run(self._counting)

    def clear(self) -> Deferred[None]:
        """Remove all values; the document stays."""
        return self._change(alterations.emptied(self._kind))


def _nothing(_: object) -> None:
    """Take the result of a change away: it has no meaning for a container."""


def _value(result: Any) -> Any:
    return result.value


class CouchbaseList(_Container, ListBase):
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

    def append(self, value: Any) -> Deferred[None]:
        """Put a value behind the last one."""
        return self._run(self._appending, value).addCallback(_nothing)

    def prepend(self, value: Any) -> Deferred[None]:
        """Put a value before the first one."""
        return self._run(self._prepending, value).addCallback(_nothing)

    def extend(self, values: Iterable[Any]) -> Deferred[None]:
        """Put values behind the last one, all of them at once."""
        return self._change(alterations.extended(values))

    def insert(self, index: int, value: Any) -> Deferred[None]:
        """Put a value before that at *index*."""
        return self._change(alterations.inserted(index, value))

    def get_at(self, index: int) -> Deferred[Any]:
        """Return a value, by an index from 0, or -1; fail with an IndexError."""
        return self._run(self._getting, index).addCallback(_value)

    def set_at(self, index: int, value: Any) -> Deferred[None]:
        """Replace a value, by an index from 0, or -1; fail with an IndexError."""
        return self._run(self._setting, index, value).addCallback(_nothing)

    def remove_at(self, index: int) -> Deferred[None]:
        """Remove a value, by an index from 0, or -1; fail with an IndexError."""
        return self._run(self._removing, index).addCallback(_nothing)

    def pop(self, index: int = -1) -> Deferred[Any]:
        """Remove a value and return it; fail with an IndexError."""
        return self._change(alterations.popped(index))

    def remove(self, value: Any) -> Deferred[None]:
        """Remove the first such value; fail with a ValueError."""
        return self._change(alterations.removed(value))

    def contains(self, value: Any) -> Deferred[bool]:
        """Return whether there is such a value, as Python compares."""
        return self._read(lambda values: value in values)

    def index_of(self, value: Any) -> Deferred[int]:
        """Return where the first such value is; -1: there is none."""

        def look(values: list[Any]) -> int:
            place = index_of(values, value)
            return -1 if place is None else place

        return self._read(look)

    def get_all(self) -> Deferred[list[Any]]:
        """Return all values."""
        return self._read(list)


class CouchbaseMap(_Container, MapBase):
    """A map whose keys are texts.

    Args:
        key: of the document.
        collection: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.
    """

    __slots__ = ()

    def add(self, mapkey: str, value: Any) -> Deferred[None]:
        """Store a value."""
        return self._run(self._adding, mapkey, value).addCallback(_nothing)

    def get(self, mapkey: str, default: Any = MISSING) -> Deferred[Any]:
        """Return a value, or *default*; without one fail with a KeyError."""

        def look(members: dict[str, Any]) -> Any:
            return members[mapkey] if default is MISSING else members.get(mapkey, default)

        return self._read(look)

    def remove(self, mapkey: str) -> Deferred[None]:
        """Remove a value; fail with a KeyError."""
        return self._run(self._removing, mapkey).addCallback(_nothing)

    def pop(self, mapkey: str, default: Any = MISSING) -> Deferred[Any]:
        """Remove a value and return it, or *default*; without one fail with a KeyError."""
        return self._change(alterations.popped_member(mapkey, default))

    def popitem(self) -> Deferred[tuple[str, Any]]:
        """Remove a key with its value and return both; fail with a KeyError."""
        return self._change(alterations.popped_item)

    def setdefault(self, mapkey: str, default: Any = None) -> Deferred[Any]:
        """Return a value; if it is not there, store *default* and return that."""
        return self._change(alterations.with_default(mapkey, default))

    def update(self, *others: Any, **named: Any) -> Deferred[None]:
        """Store many values, all of them at once."""
        return self._change(alterations.updated(dict(*others, **named)))

    def exists(self, mapkey: str) -> Deferred[bool]:
        """Return whether there is such a key."""
        return self._read(lambda members: mapkey in members)

    def keys(self) -> Deferred[list[str]]:
        """Return all keys."""
        return self._read(list)

    def values(self) -> Deferred[list[Any]]:
        """Return all values."""
        return self._read(lambda members: list(members.values()))

    def items(self) -> Deferred[list[tuple[str, Any]]]:
        """Return all keys with their values."""
        return self._read(lambda members: list(members.items()))

    def get_all(self) -> Deferred[dict[str, Any]]:
        """Return all keys with their values, as a dict."""
        return self._read(dict)


class CouchbaseSet(_Container, SetBase):
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

    def add(self, value: Any) -> Deferred[None]:
        """Put a value into the set."""
        return self._run(self._adding, value).addCallback(_nothing)

    def _removed(self, value: Any) -> Deferred[bool]:
        return self._run(self._removing, value).addCallback(lambda result: result is not None)

    def discard(self, value: Any) -> Deferred[None]:
        """Remove a value, if it is there."""
        return self._removed(value).addCallback(_nothing)

    def remove(self, value: Any) -> Deferred[None]:
        """Remove a value; fail with a KeyError."""

        def check(was_there: bool) -> None:
            if not was_there:
                raise KeyError(value)

        return self._removed(value).addCallback(check)

    def pop(self) -> Deferred[Any]:
        """Remove some value and return it; fail with a KeyError."""
        return self._change(alterations.popped_any)

    def update(self, *others: Iterable[Any]) -> Deferred[None]:
        """Put many values into the set, all of them at once."""
        return self._change(alterations.united(others))

    def contains(self, value: Any) -> Deferred[bool]:
        """Return whether there is such a value."""
        return self._read(lambda values: index_of(values, value) is not None)

    def values(self) -> Deferred[set[Any]]:
        """Return all values."""
        return self._read(set)


class CouchbaseQueue(_Container, QueueBase):
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

    def push(self, value: Any) -> Deferred[None]:
        """Put a value into the queue."""
        return self._run(self._pushing, value).addCallback(_nothing)

    def pop(self) -> Deferred[Any]:
        """Take the oldest value out of the queue and return it; fail with QueueEmpty.

        No other caller gets the same.
        """
        return self._run(self._popping).addCallback(_value)

    def get_all(self) -> Deferred[list[Any]]:
        """Return the values that wait, the oldest first."""
        return self._read(lambda values: values[::-1])
