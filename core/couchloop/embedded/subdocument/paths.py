"""Edits inside JSON texts by sub-document paths.

Texts are edited where they stand, as a real server does: what a path does not touch keeps its
bytes, white space included. Paths and texts are `str`, from bytes by "surrogateescape".
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from couchloop.wire.constants import Status

MAX_COMPONENTS: Final = 31
MAX_DEPTH: Final = 32

_WHITE: Final = " \t\r\n"
_INDEX: Final = re.compile(r"-?\d*")
_KEY: Final = re.compile(r'(?:[^\x00-\x1f"\\`.\[\]]|\\.)+')
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_DIGITS: Final = 25
"""More than a counter can have, and few enough to be read as a number quickly."""
_MAX_INDEX: Final = 2**63
_MIN_COUNTER: Final = -(2**63)
_MAX_COUNTER: Final = 2**63 - 1
_LAST: Final = -1

Component = str | int
"""A member's name as it stands in the text, or an element's index (-1: the last)."""


class PathError(Exception):
    """An edit cannot be done; *status* says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class Span(NamedTuple):
    """A value within a text."""

    start: int
    end: int


def _refuse(_: str) -> None:
    raise ValueError


def _skip(_: str) -> int:
    return 0


_decoder: Final = json.JSONDecoder(parse_constant=_refuse, parse_int=_skip, parse_float=_skip)


def parse(path: str) -> list[Component]:
    """Parse a path. Raises PathError."""
    components: list[Component] = []
    at, end = 0, len(path)
    while at < end:
        if path[at] == "[":
            match = _INDEX.match(path, at + 1)
            text = match[0] if match else ""
            at += len(text) + 2
            if path[at - 1 : at] != "]" or text == "-":
                raise PathError(Status.SUBDOC_PATH_EINVAL)
            index = int(text or "0")
            if index < _LAST or index >= _MAX_INDEX:
                raise PathError(Status.SUBDOC_PATH_EINVAL)
            components.append(index)
        elif path[at] == "`":
            close = _closing_backtick(path, at + 1)
            components.append(path[at + 1 : close].replace("``", "`"))
            at = close + 1
        else:
            match = _KEY.match(path, at)
            if match is None:
                raise PathError(Status.SUBDOC_PATH_EINVAL)
            components.append(match[0])
            at = match.end()
        if at < end and path[at] == ".":
            at += 1
            if at < end and path[at] in ".[":
                raise PathError(Status.SUBDOC_PATH_EINVAL)
        elif at < end and path[at] != "[":
            raise PathError(Status.SUBDOC_PATH_EINVAL)
    if len(components) > MAX_COMPONENTS:
        raise PathError(Status.SUBDOC_PATH_E2BIG)
    return components


def _closing_backtick(path: str, at: int) -> int:
    start = at
    while at < len(path):
        if path[at] == "`":
            if path[at + 1 : at + 2] != "`":
                if at == start:
                    break
                return at
            at += 1
        at += 1
    raise PathError(Status.SUBDOC_PATH_EINVAL)


def depth(text: str) -> int:
    """How deep containers are nested."""
    if text.count("{") + text.count("[") <= 1:
        return text.count("{") + text.count("[")
    level = deepest = 0
    for bracket in _BRACKETS.findall(text):
        if bracket in "{[":
            level += 1
            deepest = max(deepest, level)
        elif bracket in "}]":
            level -= 1
    return deepest


# --- walking ------------------------------------------------------------------------------------


def _skip_whitespace(text: str, at: int) -> int:
    while text[at : at + 1] in _WHITE and at < len(text):
        at += 1
    return at


def _end(text: str, at: int) -> int:
    """Where the value that begins at *at* ends."""
    try:
        return _decoder.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        raise PathError(Status.SUBDOC_DOC_NOTJSON) from None


class _Item(NamedTuple):
    """A member or an element: where it begins (its name, if any), and its value."""

    start: int
    name: str | None
    value: Span


class _Container:
    """An object or array within a text."""

    def __init__(self, text: str, start: int) -> None:
        self.is_object = text[start] == "{"
        self.start = start
        self.items: list[_Item] = []
        closing = "}" if self.is_object else "]"
        at = _skip_whitespace(text, start + 1)
        while text[at : at + 1] != closing:
            begin, name = at, None
            if self.is_object:
                match = _STRING.match(text, at)
                if match is None:
                    raise PathError(Status.SUBDOC_DOC_NOTJSON)
                name = match[0][1:-1]
                at = _skip_whitespace(text, match.end())
                if text[at : at + 1] != ":":
                    raise PathError(Status.SUBDOC_DOC_NOTJSON)
                at = _skip_whitespace(text, at + 1)
            end = self._value_end(text, at)
            self.items.append(_Item(begin, name, Span(at, end)))
            at = _skip_whitespace(text, end)
            if text[at : at + 1] == ",":
                at = _skip_whitespace(text, at + 1)
            elif at >= len(text):
                raise PathError(Status.SUBDOC_DOC_NOTJSON)
        self.end = at

    @staticmethod
    def _value_end(text: str, at: int) -> int:
        # Not the decoder for containers: elements without a comma between them (see `values`)
        # can be inside.
        if text[at : at + 1] and text[at] in "{[":
            return _Container(text, at).end + 1
        return _end(text, at)

    def find(self, component: Component) -> _Item | None:
        """Return a member or an element. Raises PathError where there can be none."""
        if isinstance(component, int) is self.is_object:
            raise PathError(Status.SUBDOC_PATH_MISMATCH)
        if isinstance(component, int):
            if component == _LAST:
                return self.items[-1] if self.items else None
            return self.items[component] if component < len(self.items) else None
        for item in self.items:
            if item.name == component:
                return item
        return None


def _open(text: str, span: Span) -> _Container:
    if text[span.start : span.start + 1] not in {"{", "["}:
        raise PathError(Status.SUBDOC_PATH_MISMATCH)
    return _Container(text, span.start)


def _root(text: str) -> Span:
    start = _skip_whitespace(text, 0)
    if start >= len(text) or text[start] == '"':
        # A real server does not look into a document that is a string.
        raise PathError(Status.SUBDOC_DOC_NOTJSON)
    if depth(text) > MAX_DEPTH:
        raise PathError(Status.SUBDOC_DOC_E2DEEP)
    return Span(start, len(text.rstrip(_WHITE)))


def find(text: str, components: list[Component]) -> Span:
    """Return a value. Raises PathError."""
    span = _root(text)
    for component in components:
        if component == _LAST and text[span.start] not in "{[" and len(components) == 1:
            # Nothing, and no error, is what a real server finds there.
            return Span(span.end, span.end)
        item = _open(text, span).find(component)
        if item is None:
            raise PathError(Status.SUBDOC_PATH_ENOENT)
        span = item.value
    return span


def count(text: str, components: list[Component]) -> int:
    """Count the members or elements of a container. Raises PathError."""
    return len(_open(text, find(text, components)).items)


def members(text: str) -> list[tuple[str, Span]]:
    """Return the members of the object that a text is: names as they stand there, and values."""
    return [(item.name or "", item.value) for item in _open(text, Span(0, len(text))).items]


# --- values that come in ------------------------------------------------------------------------


def one_value(text: str, level: int) -> str:
    """Check that a text is one value that fits below *level* containers. Raises PathError."""
    stripped = text.strip(_WHITE)
    try:
        end = _decoder.raw_decode(stripped, 0)[1]
    except (ValueError, RecursionError):
        end = -1
    if end != len(stripped) or not stripped:
        raise PathError(Status.SUBDOC_VALUE_CANTINSERT)
    if depth(stripped) + level > MAX_DEPTH:
        raise PathError(Status.SUBDOC_VALUE_ETOODEEP)
    return text


def values(text: str, level: int) -> str:
    """Check that a text is one value or several. Raises PathError.

    A comma may be missing between two of them: a real server does not notice.
    """
    at, comma = _skip_whitespace(text, 0), True
    if at >= len(text):
        raise PathError(Status.SUBDOC_VALUE_CANTINSERT)
    while at < len(text):
        try:
            at = _decoder.raw_decode(text, at)[1]
        except (ValueError, RecursionError):
            raise PathError(Status.SUBDOC_VALUE_CANTINSERT) from None
        at = _skip_whitespace(text, at)
        comma = text[at : at + 1] == ","
        if comma:
            at = _skip_whitespace(text, at + 1)
    if comma:
        raise PathError(Status.SUBDOC_VALUE_CANTINSERT)
    if depth(text) + level > MAX_DEPTH:
        raise PathError(Status.SUBDOC_VALUE_ETOODEEP)
    return text


# --- edits --------------------------------------------------------------------------------------


def _splice(text: str, span: Span, new: str) -> str:
    return text[: span.start] + new + text[span.end :]


def _append(text: str, container: _Container, new: str) -> str:
    """Put *new* behind the last item of a container."""
    if not container.items:
        return _splice(text, Span(container.start + 1, container.end), new)
    at = container.items[-1].value.end
    return _splice(text, Span(at, at), "," + new)


def _parent(text: str, components: list[Component], *, create: bool) -> tuple[_Container, int]:
    """Return the innermost container on the way to the last component, and how many lead to it."""
    span = _root(text)
    for used, component in enumerate(components[:-1]):
        container = _open(text, span)
        item = container.find(component)
        if item is None:
            if not create or any(isinstance(rest, int) for rest in components[used:]):
                raise PathError(Status.SUBDOC_PATH_ENOENT)
            return container, used
        span = item.value
    return _open(text, span), len(components) - 1


def _add_member(
    text: str, components: list[Component], new: str, *, create: bool
) -> tuple[str, Span | None]:
    """Add a member with all that is missing above it.

    Gives the text, and the span of the value if it is there already (then nothing is added).
    """
    container, used = _parent(text, components, create=create)
    item = container.find(components[used])
    if item is not None:
        return text, item.value
    names = components[used:]
    if any(isinstance(name, int) for name in names):
        raise PathError(Status.SUBDOC_PATH_ENOENT)
    nested = new
    for name in reversed(names[1:]):
        nested = f'{{"{name}":{nested}}}'
    return _append(text, container, f'"{names[0]}":{nested}'), None


def dict_add(text: str, components: list[Component], new: str, *, create: bool) -> str:
    """Add a member that must not be there. Raises PathError."""
    if isinstance(components[-1], int):
        raise PathError(Status.SUBDOC_PATH_EINVAL)
    _root(text)
    one_value(new, len(components))
    edited, there = _add_member(text, components, new, create=create)
    if there is not None:
        raise PathError(Status.SUBDOC_PATH_EEXISTS)
    return edited


def dict_upsert(text: str, components: list[Component], new: str, *, create: bool) -> str:
    """Add or replace a member. Raises PathError."""
    if isinstance(components[-1], int):
        raise PathError(Status.SUBDOC_PATH_EINVAL)
    _root(text)
    one_value(new, len(components))
    edited, there = _add_member(text, components, new, create=create)
    return edited if there is None else _splice(text, there, new)


def replace(text: str, components: list[Component], new: str) -> str:
    """Replace a value that must be there. Raises PathError."""
    _root(text)
    one_value(new, len(components))
    return _splice(text, find(text, components), new)


def delete(text: str, components: list[Component]) -> str:
    """Remove a member or an element. Raises PathError."""
    container, _ = _parent(text, components, create=False)
    item = container.find(components[-1])
    if item is None:
        raise PathError(Status.SUBDOC_PATH_ENOENT)
    index = container.items.index(item)
    if index:
        # With the comma before it.
        return _splice(text, Span(container.items[index - 1].value.end, item.value.end), "")
    if len(container.items) > 1:
        # With the comma after it, but not the white space that follows.
        return _splice(text, Span(item.start, text.index(",", item.value.end) + 1), "")
    return _splice(text, Span(item.start, item.value.end), "")


def push(text: str, components: list[Component], new: str, *, create: bool, first: bool) -> str:
    """Add values at one end of an array. Raises PathError."""
    _root(text)
    values(new, len(components) + 1)
    array, edited = _array(text, components, new, create=create)
    if array is None:
        return edited
    if first and array.items:
        at = array.items[0].start
        return _splice(text, Span(at, at), new + ",")
    return _append(text, array, new)


def _array(
    text: str, components: list[Component], new: str, *, create: bool
) -> tuple[_Container | None, str]:
    """Return the array, or None and the text with a new array of *new*."""
    try:
        span = find(text, components)
    except PathError as error:
        if error.status is not Status.SUBDOC_PATH_ENOENT or not create:
            raise
        if isinstance(components[-1], int):
            raise PathError(Status.SUBDOC_PATH_ENOENT) from None
        return None, _add_member(text, components, f"[{new}]", create=True)[0]
    array = _open(text, span)
    if array.is_object:
        raise PathError(Status.SUBDOC_PATH_MISMATCH)
    return array, text


def array_insert(text: str, components: list[Component], new: str) -> str:
    """Put values before an element. Raises PathError."""
    index = components[-1]
    if not isinstance(index, int) or index == _LAST:
        raise PathError(Status.SUBDOC_PATH_EINVAL)
    _root(text)
    values(new, len(components))
    array = _open(text, find(text, components[:-1]))
    if array.is_object:
        raise PathError(Status.SUBDOC_PATH_MISMATCH)
    if index > len(array.items):
        raise PathError(Status.SUBDOC_PATH_ENOENT)
    if index == len(array.items):
        return _append(text, array, new)
    at = array.items[index].start
    return _splice(text, Span(at, at), new + ",")


def add_unique(text: str, components: list[Component], new: str, *, create: bool) -> str:
    """Add a scalar to an array of scalars that does not hold it. Raises PathError."""
    _root(text)
    one_value(new, len(components) + 1)
    value = new.strip(_WHITE)
    if value[0] in "{[":
        raise PathError(Status.SUBDOC_VALUE_CANTINSERT)
    array, edited = _array(text, components, new, create=create)
    if array is None:
        return edited
    if any(text[item.value.start] in "{[" for item in array.items):
        raise PathError(Status.SUBDOC_PATH_MISMATCH)
    # Compared as text: 1.0 is not 1.
    if any(text[slice(*item.value)] == value for item in array.items):
        raise PathError(Status.SUBDOC_PATH_EEXISTS)
    return _append(text, array, new)


def add(text: str, components: list[Component], delta: str, *, create: bool) -> tuple[str, str]:
    """Count up or down; return the text and the number. Raises PathError."""
    step = _counter(delta)
    if not step:
        raise PathError(Status.SUBDOC_DELTA_EINVAL)
    try:
        span = find(text, components)
    except PathError as error:
        if error.status is not Status.SUBDOC_PATH_ENOENT or isinstance(components[-1], int):
            raise
        return _add_member(text, components, delta, create=create)[0], delta
    present = text[slice(*span)]
    if not _INTEGER.match(present):
        raise PathError(Status.SUBDOC_PATH_MISMATCH)
    number = _counter(present)
    if number is None:
        raise PathError(Status.SUBDOC_NUM_ERANGE)
    total = number + step
    if not _MIN_COUNTER <= total <= _MAX_COUNTER:
        raise PathError(Status.SUBDOC_VALUE_CANTINSERT)
    return _splice(text, span, str(total)), str(total)


def _counter(text: str) -> int | None:
    """Read a number that a counter can hold; None if it is none."""
    if len(text) > _DIGITS or not _INTEGER.match(text):
        return None
    number = int(text)
    return number if _MIN_COUNTER <= number <= _MAX_COUNTER else None
