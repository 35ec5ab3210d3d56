"""What lists, maps, sets and queues of both loops ask of their documents: procedures.

What is not there is an error of Python's own containers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from couchloop.arguments.exact import is_true
from couchloop.arguments.expiry import Expiry
from couchloop.exceptions import CouchbaseError, NotFoundError, QueueEmpty
from couchloop.hot.operation import Defaults, Key, placed
from couchloop.hot.result import OperationResult, ValueResult
from couchloop.operations import lists, maps, queues, sets
from couchloop.operations.alterations import Alteration
from couchloop.operations.containers import change, read
from couchloop.operations.procedure import Procedure

T = TypeVar("T")


class ContainerBase:
    """What the containers of both loops are: a document of one kind.

    Args:
        key: of the document.
        collection: what has it: a Bucket, or a collection of one.
        ttl: when the document expires, anew with each change: seconds, a timedelta or an aware
            datetime; 0: never, and a change removes an expiry.
        preserve_expiry: changes leave an expiry as it is; *ttl* is then that of a document that
            a change creates.

    Raises ArgumentError for another preserve_expiry than True and False.
    """

    __slots__ = ("_expiry", "_target", "key")
    _kind: type
    size_of: Callable[..., Procedure[int]]
    """Builds what counts the values."""

    def __init__(
        self, key: Key, collection: Any, *, ttl: Expiry = 0, preserve_expiry: bool = False
    ) -> None:
        self.key = key
        self._target = collection
        self._expiry: dict[str, Any] = {}
        if ttl:
            self._expiry["ttl"] = ttl
        if is_true(preserve_expiry, "preserve_expiry"):
            self._expiry["preserve_expiry"] = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key!r} of {self._target!r}>"

    @property
    def _defaults(self) -> Defaults:
        defaults: Defaults = self._target._defaults  # noqa: SLF001 - ours
        return defaults

    def _built(self, build: Callable[..., Procedure[Any]], *given: Any, **named: Any) -> Any:
        """Return what *build* builds for a change of the document."""
        return self._of(build, *given, **named, **self._expiry)

    def _of(self, build: Callable[..., Procedure[T]], *given: Any, **named: Any) -> Procedure[T]:
        """Return what *build* builds for the document; its errors name the collection."""
        defaults = self._defaults
        try:
            return build(defaults, self.key, *given, **named)
        except CouchbaseError as error:
            placed(error, defaults)
            raise

    def _counting(self) -> Procedure[int]:
        """Return what counts the values."""
        return self._of(type(self).size_of).rescue(NotFoundError, int)

    def _reading(self, look: Callable[[Any], Any]) -> Procedure[Any]:
        """Return what gives that which *look* makes of the value."""
        return read(type(self).__name__, look, self._kind, self._defaults, self.key)

    def _changing(self, alter: Alteration) -> Procedure[Any]:
        """Return what stores that which *alter* makes of the value."""
        name = type(self).__name__
        return change(name, alter, self._kind, self._defaults, self.key, **self._expiry)


def _no_element() -> NoReturn:
    raise IndexError("there is no such element: the document is not there")


class ListBase(ContainerBase):
    """A list."""

    __slots__ = ()
    _kind = list
    size_of = staticmethod(lists.list_size)

    def _appending(self, value: Any) -> Procedure[OperationResult]:
        """Return what puts a value behind the last one."""
        made: Procedure[OperationResult] = self._built(lists.list_append, value, create=True)
        return made

    def _prepending(self, value: Any) -> Procedure[OperationResult]:
        """Return what puts a value before the first one."""
        made: Procedure[OperationResult] = self._built(lists.list_prepend, value, create=True)
        return made

    def _getting(self, index: int) -> Procedure[ValueResult]:
        """Return what reads a value; IndexError."""
        found = self._of(lists.list_get, index)
        return found.rescue(NotFoundError, _no_element)

    def _setting(self, index: int, value: Any) -> Procedure[OperationResult]:
        """Return what replaces a value; IndexError."""
        stored: Procedure[OperationResult] = self._built(lists.list_set, index, value)
        return stored.rescue(NotFoundError, _no_element)

    def _removing(self, index: int) -> Procedure[OperationResult]:
        """Return what removes a value; IndexError."""
        removal: Procedure[OperationResult] = self._built(lists.list_remove, index)
        return removal.rescue(NotFoundError, _no_element)


def _no_member(mapkey: str) -> NoReturn:
    raise KeyError(mapkey)


class MapBase(ContainerBase):
    """A map whose keys are texts."""

    __slots__ = ()
    _kind = dict
    size_of = staticmethod(maps.map_size)

    def _adding(self, mapkey: str, value: Any) -> Procedure[OperationResult]:
        """Return what stores a value."""
        made: Procedure[OperationResult] = self._built(maps.map_add, mapkey, value, create=True)
        return made

    def _getting(self, mapkey: str) -> Procedure[ValueResult]:
        """Return what reads a value; KeyError."""
        found = self._of(maps.map_get, mapkey)
        return found.rescue(NotFoundError, lambda: _no_member(mapkey))

    def _removing(self, mapkey: str) -> Procedure[OperationResult]:
        """Return what removes a value; KeyError."""
        removal: Procedure[OperationResult] = self._built(maps.map_remove, mapkey)
        return removal.rescue(NotFoundError, lambda: _no_member(mapkey))


class SetBase(ContainerBase):
    """A set."""

    __slots__ = ()
    _kind = list
    size_of = staticmethod(sets.set_size)

    def _adding(self, value: Any) -> Procedure[OperationResult | None]:
        """Return what puts a value into the set."""
        made: Procedure[OperationResult | None] = self._built(sets.set_add, value, create=True)
        return made

    def _removing(self, value: Any) -> Procedure[OperationResult | None]:
        """Return what removes a value; it gives None if that is not there."""
        removal: Procedure[OperationResult | None] = self._built(sets.set_remove, value)
        return removal.rescue(NotFoundError, lambda: None)


class QueueBase(ContainerBase):
    """A queue: what was pushed first is popped first."""

    __slots__ = ()
    _kind = list
    size_of = staticmethod(queues.queue_size)

    def _pushing(self, value: Any) -> Procedure[OperationResult]:
        """Return what puts a value into the queue."""
        made: Procedure[OperationResult] = self._built(queues.queue_push, value, create=True)
        return made

    def _popping(self) -> Procedure[ValueResult]:
        """Return what takes the oldest value out of the queue; QueueEmpty."""
        popped: Procedure[ValueResult] = self._built(queues.queue_pop)
        return popped.rescue(NotFoundError, self._is_empty)

    def _is_empty(self) -> NoReturn:
        raise QueueEmpty(key=self.key)
