"""Fetching parts of a document as a document, and its expiry with it: `get(project=…)`.

It is a lookup (opcode 0xd0). Where there are more paths than one request may have, the whole
document is fetched, and its parts are taken here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    DocumentNotJsonError,
    ProtocolError,
    SubdocPathInvalidError,
    ValueFormatError,
)
from couchloop.hot.encoding import about, not_encoded
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation, body
from couchloop.hot.result import Result, ValueResult
from couchloop.later import pattern
from couchloop.operations import specs as paths
from couchloop.operations.reading import TypedReader
from couchloop.operations.specs import MOST_SPECS, Spec, encode_lookups, order_of, read_fragment
from couchloop.operations.subdocument import LookupIn, read_lookup
from couchloop.operations.subdocument_result import Outcome, origin_of, path_error
from couchloop.retries import RetryStrategy
from couchloop.transcoder import FMT_JSON, Transcoder, decode_json
from couchloop.typed import convert
from couchloop.wire import Opcode, Status

_NOT_FOUND_RC: Final = 0x0D
_EXPIRY: Final = paths.get(paths.LookupInMacro.expiry_time(), xattr=True)
_FLAGS: Final = paths.get("$document.flags", xattr=True)
_WHOLE: Final = paths.get("")
_ABSENT: Final = frozenset({int(Status.SUBDOC_PATH_ENOENT), int(Status.SUBDOC_PATH_MISMATCH)})
"""Of a path that leads nowhere."""
_COMPONENT: Final = pattern(
    r"`((?:[^`]|``)+)`|\[(-1|[0-9]{0,19})\]|((?:[^\x00-\x1f\"\\`.\[\]]|\\.)+)"
)

Component = str | int


class FullResult(ValueResult):
    """A document, or parts of it, and when it expires.

    Attributes:
        expiry: When, as a datetime in UTC; None: never, or that was not asked.

    """

    __slots__ = ("expiry",)

    def __init__(
        self,
        key: object,
        value: object,
        cas: int,
        flags: int,
        rc: int = 0,
        expiry: datetime | None = None,
    ) -> None:
        super().__init__(key, value, cas, flags, rc)
        self.expiry = expiry


class GetParts(Operation[ValueResult]):
    """SUBDOC_MULTI_LOOKUP 0xd0 of what `get` was asked for."""

    __slots__ = ("components", "kind", "order", "specs", "transcoder")
    name = "get"
    idempotent = True
    gives_value = True
    answers: ClassVar[frozenset[int]] = LookupIn.answers

    specs: Sequence[Spec]
    order: Sequence[int]
    components: Sequence[Sequence[Component]] | None
    """Of each path that was asked for; None: the document as it is."""
    transcoder: Transcoder | None
    """What reads the value; None: it is given as bytes."""
    kind: Any
    """The type that parts are converted to, once they are put together; None: they stay."""

    def decode(self, answer: Frame) -> ValueResult:
        """Put the parts together; a quiet miss has value None and rc 0x0d."""
        if answer.status == Status.KEY_ENOENT:
            return FullResult(self.key, None, 0, 0, _NOT_FOUND_RC)
        outcomes = read_lookup(body(answer), len(self.specs), self.order)
        if outcomes is None:
            what = "get: the answer does not fit the paths that were sent"
            raise ProtocolError(what, key=self.key)
        expiry = self._number(outcomes.pop(0)) if self.specs[0] is _EXPIRY else 0
        moment = datetime.fromtimestamp(expiry, UTC) if expiry else None
        flags: int = FMT_JSON
        if self.specs[-1] is _WHOLE:
            known, whole = outcomes
            flags = self._number(known)
            value = self._document(whole, flags)
        else:
            value = self._parts(outcomes)
        return FullResult(self.key, value, answer.cas, flags, 0, moment)

    def _number(self, outcome: Outcome) -> int:
        """Return a number that the server knows of the document."""
        if not outcome.status and outcome.data.isdigit() and len(outcome.data) <= 10:
            return int(outcome.data)
        raise ProtocolError("get: the server does not tell expiry and flags", key=self.key)

    def _document(self, outcome: Outcome, flags: int) -> Any:
        if outcome.status not in {0, Status.SUBDOC_PATH_ENOENT}:
            raise path_error(outcome.status, _WHOLE, 0, self.key, origin_of(self))
        # One that is empty is no path to the server.
        if self.components is None:
            return self._read(outcome.data, flags)
        try:
            value = self._read(outcome.data, None)
        except ValueFormatError:
            if _is_json(outcome.data):
                # The user's own JSON failed.
                raise
            value = None
        if not isinstance(value, dict | list):
            raise about(DocumentNotJsonError(), self.name, self.key)
        found = ((each, _at(value, each)) for each in self.components)
        return self._assembled((each, part) for each, part in found if part is not _NOTHING)

    def _parts(self, outcomes: Sequence[Outcome]) -> Any:
        assert self.components is not None
        found = []
        specs = self.specs[-len(outcomes) :]
        for place, outcome in enumerate(outcomes):
            if not outcome.status:
                found.append((self.components[place], self._read(outcome.data, None)))
            elif outcome.status not in _ABSENT:
                raise path_error(outcome.status, specs[place], place, self.key, origin_of(self))
        return self._assembled(found)

    def _assembled(self, found: Iterable[tuple[Sequence[Component], Any]]) -> Any:
        value = assembled(found)
        if self.kind is None:
            return value
        try:
            return convert(value, self.kind)
        except ValueFormatError as error:
            not_encoded(error, "decode_value", self.name, self.key, self.connection)

    def _read(self, data: bytes, flags: int | None) -> Any:
        """Return what bytes mean, by the flags of the document; None: they are JSON."""
        transcoder = self.transcoder
        if transcoder is None:
            return data
        try:
            if flags is None:
                return read_fragment(transcoder, data)
            return transcoder.decode_value(data, flags)
        except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
            not_encoded(error, "decode_value", self.name, self.key, self.connection)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return FullResult(key, None, 0, 0, rc)


def get_parts(
    project: Sequence[str] | None,
    defaults: Defaults,
    key: Key,
    *,
    with_expiry: bool,
    quiet: bool,
    transcoder: Transcoder | None,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> GetParts:
    """Return the operation; its arguments are those of `get`.

    Raises ArgumentError where *project* is no list of paths, SubdocPathInvalidError.
    """
    components = None
    wanted = [_EXPIRY] if with_expiry else []
    if project is not None:
        if transcoder is None:
            raise _refused("no_format gives bytes, and project parts of JSON: not both", key)
        components = _all_components(project, key)
        wanted += [paths.get(text) for text in components]
    if components is None or len(wanted) > MOST_SPECS:
        wanted = [*wanted[: int(with_expiry)], _FLAGS, _WHOLE]
    order = order_of(wanted)
    op = GetParts(
        Opcode.SUBDOC_MULTI_LOOKUP,
        defaults,
        key,
        timeout,
        b"",
        encode_lookups(wanted, order, GetParts.name, key),
        0,
        retry_strategy,
        quiet=quiet,
    )
    op.specs, op.order, op.transcoder, op.kind = wanted, order, transcoder, None
    if project is not None and isinstance(transcoder, TypedReader):
        op.transcoder, op.kind = transcoder.parts, transcoder.kind
    op.components = None if components is None else list(components.values())
    return op


def _refused(text: str, key: Key) -> CouchbaseError:
    return about(ArgumentError(text), GetParts.name, key)


def _all_components(project: Sequence[str], key: Key) -> dict[str, list[Component]]:
    """Return what each path consists of; each path once."""
    if isinstance(project, str | bytes) or not isinstance(project, Sequence):
        raise _refused("project is a list of paths", key)
    given = list(project)
    if not given:
        raise _refused("project is empty: give at least one path", key)
    found = {}
    for text in given:
        if not isinstance(text, str):
            raise _refused(f"a path is a text, not {type(text).__name__}", key)
        components = components_of(text)
        if not components:
            # Nothing in this frame may point to the error, which has it in its traceback.
            why = "a path of project is malformed"
            raise about(SubdocPathInvalidError(why, objextra=text), GetParts.name, key)
        found[text] = components
    return found


def components_of(path: str) -> list[Component]:
    """Return the names, as they are in Python, and indexes of a path; none if it is malformed."""
    components: list[Component] = []
    at = 0
    while at < len(path):
        match = _COMPONENT.match(path, at)
        if match is None:
            return []
        quoted, index, plain = match.groups()
        at = match.end()
        if index is not None:
            components.append(int(index or 0))
        else:
            name = quoted.replace("``", "`") if plain is None else plain
            try:
                components.append(json.loads(f'"{name}"', strict=False))
            except ValueError:
                return []
        if path[at : at + 1] == ".":
            at += 1
            if path[at : at + 1] in {".", "["} and at < len(path):
                return []
        elif at < len(path) and path[at] != "[":
            return []
    return components


def _is_json(data: bytes) -> bool:
    try:
        decode_json(data)
    except ValueFormatError:
        return False
    return True


_NOTHING: Final = object()


def _at(value: Any, components: Sequence[Component]) -> Any:
    """Return what is at a path; `_NOTHING`: it leads nowhere."""
    for each in components:
        if isinstance(each, int):
            if not isinstance(value, list) or not -len(value) <= each < len(value):
                return _NOTHING
        elif not isinstance(value, dict) or each not in value:
            return _NOTHING
        value = value[each]
    return value


class _Node:
    """A container that is put together: its parts by name or index, in the order of their paths."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[Component, Any] = {}

    def built(self) -> Any:
        values = {
            name: part.built() if isinstance(part, _Node) else part
            for name, part in self.parts.items()
        }
        if any(isinstance(name, int) for name in values):
            # Elements keep their order, and not their places.
            return list(values.values())
        return values


def assembled(found: Iterable[tuple[Sequence[Component], Any]]) -> Any:
    """Return a document that has what was found, each at its path; elements close up.

    What is within another part that was found is there already.
    """
    root = _Node()
    for components, value in found:
        node = root
        *way, last = components
        for each in way:
            inner = node.parts.setdefault(each, _Node())
            if not isinstance(inner, _Node):
                break
            node = inner
        else:
            node.parts[last] = value
    return root.built()
