"""What the containers of both loops do to the value of a document, as `containers.change` wants it.

Each function gives one that takes the old value, and gives the new one and what is to be returned.
They raise what Python's own containers raise: IndexError, KeyError, ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from couchloop.exceptions import ArgumentError, SubdocCantInsertValueError
from couchloop.operations.containers import UNCHANGED
from couchloop.operations.structures import index_of
from couchloop.typed import is_record

Alteration = Callable[[Any], tuple[Any, Any]]

MISSING: Final[Any] = object()
"""In place of a default that was not given."""


def emptied(kind: type) -> Alteration:
    """Remove all values."""
    return lambda value: (kind() if value else UNCHANGED, None)


# Lists


def inserted(index: int, value: Any) -> Alteration:
    """Put a value before that at *index*."""

    def alter(values: list[Any]) -> tuple[Any, None]:
        values.insert(index, value)
        return values, None

    return alter


def extended(added: Iterable[Any]) -> Alteration:
    """Put values behind the last one."""
    given = list(added)
    return lambda values: ([*values, *given] if given else UNCHANGED, None)


def replaced(index: int | slice, value: Any) -> Alteration:
    """Replace a value, or some."""
    given = list(value) if isinstance(index, slice) else value

    def alter(values: list[Any]) -> tuple[Any, None]:
        values[index] = given
        return values, None

    return alter


def deleted(index: int | slice) -> Alteration:
    """Remove a value, or some."""

    def alter(values: list[Any]) -> tuple[Any, None]:
        del values[index]
        return values, None

    return alter


def popped(index: int = -1) -> Alteration:
    """Remove a value; it is returned."""

    def alter(values: list[Any]) -> tuple[Any, Any]:
        value = values.pop(index)
        return values, value

    return alter


def removed(value: Any) -> Alteration:
    """Remove the first such value."""

    def alter(values: list[Any]) -> tuple[Any, None]:
        values.remove(value)
        return values, None

    return alter


def reversed_order(values: list[Any]) -> tuple[Any, None]:
    """Turn the order round."""
    return values[::-1], None


# Maps


def _check_name(mapkey: object) -> None:
    """Raise ArgumentError for what is no key: JSON would have it as text, beside one that is."""
    if not isinstance(mapkey, str):
        text = f"a map has texts as keys, not {type(mapkey).__name__}"
        raise ArgumentError(text, objextra=mapkey)
    if not mapkey:
        raise ArgumentError("no path leads to an empty name")


def popped_member(mapkey: str, default: Any) -> Alteration:
    """Remove a value; it is returned, or *default* if there is one."""

    def alter(members: dict[str, Any]) -> tuple[Any, Any]:
        if mapkey in members:
            value = members.pop(mapkey)
            return members, value
        if default is MISSING:
            raise KeyError(mapkey)
        return UNCHANGED, default

    return alter


def popped_item(members: dict[str, Any]) -> tuple[Any, tuple[str, Any]]:
    """Remove a key with its value; both are returned."""
    item = members.popitem()
    return members, item


def with_default(mapkey: str, default: Any) -> Alteration:
    """Store *default* unless there is a value; what is there then is returned."""

    def alter(members: dict[str, Any]) -> tuple[Any, Any]:
        if mapkey in members:
            return UNCHANGED, members[mapkey]
        _check_name(mapkey)
        members[mapkey] = default
        return members, default

    return alter


def updated(added: dict[str, Any]) -> Alteration:
    """Store many values."""

    def alter(members: dict[str, Any]) -> tuple[Any, None]:
        for mapkey in added:
            _check_name(mapkey)
        return ({**members, **added} if added else UNCHANGED), None

    return alter


# Sets


def united(others: Iterable[Iterable[Any]]) -> Alteration:
    """Put many values into a set."""
    added = [value for other in others for value in other]

    def alter(values: list[Any]) -> tuple[Any, None]:
        count = len(values)
        for value in added:
            if isinstance(value, dict | list | tuple) or is_record(type(value)):
                # Nothing could be put into it any more, nor its values be given as a set.
                text = f"values of a set are no lists or objects, as {type(value).__name__} is one"
                raise SubdocCantInsertValueError(text)
            if index_of(values, value) is None:
                values.append(value)
        return (values if len(values) > count else UNCHANGED), None

    return alter


def popped_any(values: list[Any]) -> tuple[Any, Any]:
    """Remove some value; it is returned."""
    if not values:
        raise KeyError("the set is empty")
    value = values.pop()
    return values, value
