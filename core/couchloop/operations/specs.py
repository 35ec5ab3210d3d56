"""Specs: what is asked of one path in a document, or in its extended attributes.

The functions have SDK 2.5's names and arguments, and those of SDK 4.6 where it has more;
`couchloop.subdocument` passes them on. A path is a text: `name.first`, `tags[0]`, `tags[-1]`
(the last); names with one of ``.[]` `` in them are put into backticks, which `path` does. Specs
name values as they are: these are encoded, and all is checked, when the operation is built.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any, Final, Self

from couchloop.arguments.exact import exact_bytes, exact_integer, is_true
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    SubdocBadDeltaError,
    SubdocEmptyPathError,
    SubdocInvalidComboError,
    SubdocPathInvalidError,
    SubdocPathTooBigError,
    SubdocXattrInvalidFlagComboError,
    ValueFormatError,
)
from couchloop.hot.encoding import MAX_VALUE, about, not_a_value, too_big
from couchloop.hot.operation import Defaults, Key
from couchloop.transcoder import FMT_JSON, OneWayTranscoder, Transcoder
from couchloop.wire import Opcode

MOST_SPECS: Final = 16
"""So many specs one request may have."""
_LONGEST_PATH: Final = 1024
_LOOKUP_HEAD: Final = Struct(">BBH")
_MUTATION_HEAD: Final = Struct(">BBHI")
_MOST_DELTA: Final = 2**63 - 1
_MOST_INDEX: Final = 2**63 - 1
"""The server takes no greater one for a path."""

CREATE_PARENTS: Final = 0x01
XATTR: Final = 0x04
EXPAND_MACROS: Final = 0x10
BINARY: Final = 0x20

_GET: Final = int(Opcode.GET)
"""Of the whole document."""
_SET: Final = int(Opcode.SET)
_DELETE: Final = int(Opcode.DELETE)
EXISTS: Final = int(Opcode.SUBDOC_EXISTS)
_LOOKUPS: Final = frozenset({_GET, int(Opcode.SUBDOC_GET), EXISTS, int(Opcode.SUBDOC_GET_COUNT)})
_ROOTS: Final = {
    # What an operation on the empty path is, where it is no path operation.
    int(Opcode.SUBDOC_GET): _GET,
    EXISTS: _GET,
    int(Opcode.SUBDOC_DICT_UPSERT): _SET,
    int(Opcode.SUBDOC_REPLACE): _SET,
    int(Opcode.SUBDOC_DELETE): _DELETE,
}
_MAY_BE_ROOT: Final = frozenset(
    {
        int(Opcode.SUBDOC_GET_COUNT),
        int(Opcode.SUBDOC_ARRAY_PUSH_LAST),
        int(Opcode.SUBDOC_ARRAY_PUSH_FIRST),
        int(Opcode.SUBDOC_ARRAY_ADD_UNIQUE),
    }
)


class StoreSemantics(Enum):
    """What `mutate_in` does if the document exists, or does not."""

    REPLACE = "replace"
    """It must exist: NotFoundError."""
    UPSERT = "upsert"
    """It is created if need be."""
    INSERT = "insert"
    """It must not exist: DocumentExistsError."""


@dataclass(frozen=True, slots=True)
class MutationMacro:
    """A value that the server fills in as it stores the document; of extended attributes alone.

    It also knows what the document was before: `MutationMacro("${$document.exptime}")`.
    """

    value: str

    @classmethod
    def cas(cls) -> MutationMacro:
        """Return the document's new CAS: 16 hexadecimal digits, the last byte first."""
        return cls("${Mutation.CAS}")

    @classmethod
    def seq_no(cls) -> MutationMacro:
        """Return the number of this change in its vbucket: 16 hexadecimal digits."""
        return cls("${Mutation.seqno}")

    @classmethod
    def value_crc32c(cls) -> MutationMacro:
        """Return the checksum of the document's new value: 8 hexadecimal digits."""
        return cls("${Mutation.value_crc32c}")


class LookupInMacro:
    """Paths of virtual extended attributes: `get(LookupInMacro.expiry_time(), xattr=True)`."""

    @staticmethod
    def document() -> str:
        """Return the path of all that is known of the document."""
        return "$document"

    @staticmethod
    def cas() -> str:
        """Return the path of its CAS, as hexadecimal digits."""
        return "$document.CAS"

    @staticmethod
    def expiry_time() -> str:
        """Return the path of its expiry in seconds of the epoch; 0: never."""
        return "$document.exptime"

    @staticmethod
    def is_deleted() -> str:
        """Return the path of whether it is deleted."""
        return "$document.deleted"

    @staticmethod
    def last_modified() -> str:
        """Return the path of when it was changed last, in seconds of the epoch, as text."""
        return "$document.last_modified"

    @staticmethod
    def rev_id() -> str:
        """Return the path of the number of its revision, as text."""
        return "$document.revid"

    @staticmethod
    def seq_no() -> str:
        """Return the path of the number of its last change in its vbucket, as digits."""
        return "$document.seqno"

    @staticmethod
    def value_size_bytes() -> str:
        """Return the path of the length of its value in bytes."""
        return "$document.value_bytes"

    @staticmethod
    def vbucket_uuid() -> str:
        """Return the path of the UUID of its vbucket, as hexadecimal digits."""
        return "$document.vbucket_uuid"


@dataclass(frozen=True, slots=True)
class Spec:
    """One path, and what is asked of it. The functions of this module make it."""

    opcode: int
    path: str
    flags: int = 0
    values: tuple[Any, ...] = ()
    """As the user gave them; several of an array."""

    @property
    def is_lookup(self) -> bool:
        """Whether it reads."""
        return self.opcode in _LOOKUPS

    @property
    def is_xattr(self) -> bool:
        """Whether its path is in the extended attributes."""
        return bool(self.flags & XATTR)


class MultiValue(tuple[Any, ...]):
    """Several values for an array, in place of one (SDK 2.5)."""

    __slots__ = ()

    def __new__(cls, *values: Any) -> Self:
        """Take the values one by one."""
        return super().__new__(cls, values)


def path(*components: str | int) -> str:
    """Return the path of names and indexes: `path("users", 0, "e.mail")` is ``users[0].`e.mail` ``.

    A name is any text, as it is in the document's JSON in Python. Raises ArgumentError for other
    types, for a negative index but -1 (the last element), and where a name is empty, for no path
    leads there.
    """
    text = ""
    for each in components:
        if isinstance(each, str):
            text += f".{_name(each)}" if text else _name(each)
            continue
        index = exact_integer(each)
        if index is None or not -1 <= index <= _MOST_INDEX:
            text = "a path has names, and indexes from 0 to 2**63-1, or -1"
            raise ArgumentError(text, objextra=each)
        text += f"[{index}]"
    return text


def _name(name: str) -> str:
    if not name:
        raise ArgumentError("no path leads to an empty name")
    # Paths are compared with the text of the document, where names are JSON.
    text = json.dumps(name, ensure_ascii=False)[1:-1]
    if text.isidentifier():
        return text
    return "`" + text.replace("`", "``") + "`"


def _flags(*, xattr: bool = False, create_parents: bool = False, binary: bool = False) -> int:
    """Return the flags of a path; raise InvalidSettingError (a TypeError) for what is no bool."""
    return (
        XATTR * is_true(xattr, "xattr")
        | CREATE_PARENTS * is_true(create_parents, "create_parents")
        | BINARY * is_true(binary, "binary")
    )


def get(path: str, *, xattr: bool = False, binary: bool = False) -> Spec:
    """Read the value at a path; "": the whole document.

    Args:
        path: in the document.
        xattr: in its extended attributes instead.
        binary: of an extended attribute that was stored as binary: give its bytes.
    """
    return Spec(Opcode.SUBDOC_GET, path, _flags(xattr=xattr, binary=binary))


def exists(path: str, *, xattr: bool = False) -> Spec:
    """Look whether a path exists."""
    return Spec(EXISTS, path, _flags(xattr=xattr))


def get_count(path: str, *, xattr: bool = False) -> Spec:
    """Count the elements or members of what is at a path."""
    return Spec(Opcode.SUBDOC_GET_COUNT, path, _flags(xattr=xattr))


count = get_count


def upsert(
    path: str,
    value: Any,
    create_parents: bool = False,
    *,
    xattr: bool = False,
    binary: bool = False,
) -> Spec:
    """Store a member whether it exists or not; with "": the whole document.

    Args:
        path: of the member.
        value: what to store; of an extended attribute also a MutationMacro.
        create_parents: create the objects that lead there, too.
        xattr: in the extended attributes instead.
        binary: of an extended attribute: store bytes as they are.
    """
    flags = _flags(xattr=xattr, create_parents=create_parents, binary=binary)
    return Spec(Opcode.SUBDOC_DICT_UPSERT, path, flags, (value,))


def insert(
    path: str,
    value: Any,
    create_parents: bool = False,
    *,
    xattr: bool = False,
    binary: bool = False,
) -> Spec:
    """Store a member that must not exist: SubdocPathExistsError."""
    flags = _flags(xattr=xattr, create_parents=create_parents, binary=binary)
    return Spec(Opcode.SUBDOC_DICT_ADD, path, flags, (value,))


def replace(path: str, value: Any, *, xattr: bool = False, binary: bool = False) -> Spec:
    """Store a value at a path that must exist; with "": the whole document."""
    return Spec(Opcode.SUBDOC_REPLACE, path, _flags(xattr=xattr, binary=binary), (value,))


def remove(path: str, *, xattr: bool = False) -> Spec:
    """Remove what is at a path; with "": the document."""
    return Spec(Opcode.SUBDOC_DELETE, path, _flags(xattr=xattr))


def array_append(
    path: str, *values: Any, create_parents: bool = False, xattr: bool = False
) -> Spec:
    """Put values behind the last element of an array."""
    return _array(Opcode.SUBDOC_ARRAY_PUSH_LAST, path, values, create_parents, xattr)


def array_prepend(
    path: str, *values: Any, create_parents: bool = False, xattr: bool = False
) -> Spec:
    """Put values before the first element of an array, in their order."""
    return _array(Opcode.SUBDOC_ARRAY_PUSH_FIRST, path, values, create_parents, xattr)


def array_insert(path: str, *values: Any, xattr: bool = False) -> Spec:
    """Put values into an array, at the index that the path ends with."""
    return _array(Opcode.SUBDOC_ARRAY_INSERT, path, values, False, xattr)


def _array(
    opcode: Opcode, path: str, values: tuple[Any, ...], create_parents: bool, xattr: bool
) -> Spec:
    flat: list[Any] = []
    for value in values:
        if isinstance(value, MultiValue):
            flat += value
        else:
            flat.append(value)
    if not flat:
        raise ArgumentError("give at least one value for the array")
    return Spec(opcode, path, _flags(xattr=xattr, create_parents=create_parents), tuple(flat))


def array_addunique(
    path: str, value: Any, create_parents: bool = False, *, xattr: bool = False
) -> Spec:
    """Put a value that is no list or dict into an array, unless it is there.

    That is SubdocPathExistsError; SubdocPathMismatchError if the array has lists or dicts.
    """
    flags = _flags(xattr=xattr, create_parents=create_parents)
    return Spec(Opcode.SUBDOC_ARRAY_ADD_UNIQUE, path, flags, (value,))


def counter(path: str, delta: int, create_parents: bool = False, *, xattr: bool = False) -> Spec:
    """Add to a number, which is created if need be; the result has the new one.

    Raises SubdocBadDeltaError (a ValueError) unless *delta* is an integer of 64 bits, and not 0.
    """
    change = exact_integer(delta)
    if not change or not -_MOST_DELTA - 1 <= change <= _MOST_DELTA:
        raise SubdocBadDeltaError("delta must be an integer of 64 bits, and not 0", objextra=delta)
    flags = _flags(xattr=xattr, create_parents=create_parents)
    return Spec(Opcode.SUBDOC_COUNTER, path, flags, (change,))


def increment(
    path: str, delta: int = 1, create_parents: bool = False, *, xattr: bool = False
) -> Spec:
    """Add to a number as `counter` does; *delta* is positive."""
    return counter(path, _positive(delta), create_parents, xattr=xattr)


def decrement(
    path: str, delta: int = 1, create_parents: bool = False, *, xattr: bool = False
) -> Spec:
    """Subtract from a number as `counter` does; *delta* is positive."""
    return counter(path, -_positive(delta), create_parents, xattr=xattr)


def _positive(delta: object) -> int:
    number = exact_integer(delta)
    if number is None or number <= 0:
        raise SubdocBadDeltaError("delta must be an integer above 0", objextra=delta)
    return number


# Encoding -----------------------------------------------------------------------------------------


def checked(specs: Sequence[Any], *, lookups: bool, operation: str, key: Key) -> tuple[Spec, ...]:
    """Return *specs*, or those of the one list that they are (as SDK 4.6 has it).

    Raises ArgumentError (with *key*) for what are no specs, or of the other kind, or none at all.
    """
    given: Iterable[Any] = specs
    if len(specs) == 1 and isinstance(specs[0], list | tuple):
        given = specs[0]
    found = tuple(given)
    if not found:
        raise _wrong(ArgumentError("give at least one spec"), operation, key)
    for spec in found:
        if type(spec) is not Spec:
            text = (
                f"a spec is made by the functions of couchloop.subdocument, as get(path): "
                f"{type(spec).__name__} is none"
            )
            raise _wrong(ArgumentError(text), operation, key)
        if spec.is_lookup is not lookups:
            other = "mutate_in takes specs that change" if spec.is_lookup else "lookup_in reads"
            text = f"{other} something: this spec is of the other kind"
            raise _wrong(ArgumentError(text, objextra=spec.path), operation, key)
    return found


def _wrong(error: CouchbaseError, operation: str, key: Key) -> CouchbaseError:
    return about(error, operation, key)


def order_of(specs: Sequence[Spec]) -> list[int]:
    """Return the places of *specs* in the order that the server wants: xattrs first."""
    return sorted(range(len(specs)), key=lambda place: not specs[place].is_xattr)


def encode_lookups(specs: Sequence[Spec], order: Sequence[int], operation: str, key: Key) -> bytes:
    """Return the body of a lookup (opcode 0xd0); raises what `_encoded_path` does."""
    parts = []
    for place in order:
        spec = specs[place]
        raw = _encoded_path(spec, operation, key)
        parts += [_LOOKUP_HEAD.pack(*_asked(spec, spec.flags), len(raw)), raw]
    return b"".join(parts)


def encode_mutations(
    specs: Sequence[Spec], order: Sequence[int], defaults: Defaults, operation: str, key: Key
) -> bytes:
    """Return the body of a mutation (opcode 0xd1).

    Raises SubdocInvalidComboError for more than 16 specs, ValueFormatError, TooBigError, and what
    `_encoded_path` does.
    """
    if len(specs) > MOST_SPECS:
        # Splitting would make two changes of one.
        text = f"a document is changed by {MOST_SPECS} specs at most: nothing was sent"
        raise _wrong(SubdocInvalidComboError(text, objextra=len(specs)), operation, key)
    parts, size = [], 0
    for place in order:
        spec = specs[place]
        raw = _encoded_path(spec, operation, key)
        flags, value = _encoded_value(spec, defaults, operation, key)
        head = _MUTATION_HEAD.pack(*_asked(spec, flags), len(raw), len(value))
        parts += [head, raw, value]
        size += len(value)
    if size > MAX_VALUE:
        raise too_big(operation, key)
    return b"".join(parts)


def _asked(spec: Spec, flags: int) -> tuple[int, int]:
    """Return opcode and flags as they are sent: the whole document has opcodes of its own."""
    if not spec.path and not flags & XATTR and spec.opcode in _ROOTS:
        return _ROOTS[spec.opcode], 0
    return spec.opcode, flags


def _encoded_path(spec: Spec, operation: str, key: Key) -> bytes:
    """Return the bytes of a path.

    Raises (with *key*) ArgumentError where it is no text, SubdocPathInvalidError where it has no
    bytes, SubdocEmptyPathError, SubdocPathTooBigError above 1024 bytes.
    """
    if not isinstance(spec.path, str):
        text = f"a path is a text, not {type(spec.path).__name__}"
        raise _wrong(ArgumentError(text), operation, key)
    try:
        raw = str.encode(spec.path)
    except UnicodeEncodeError as why:
        text = "the path is not valid Unicode text"
        raise _wrong(SubdocPathInvalidError(text, objextra=spec.path), operation, key) from why
    if not raw and not spec.is_xattr and spec.opcode not in _ROOTS.keys() | _MAY_BE_ROOT:
        text = "this spec needs a path: it is not for the whole document"
        raise _wrong(SubdocEmptyPathError(text), operation, key)
    if len(raw) > _LONGEST_PATH:
        text = f"the path takes more than {_LONGEST_PATH} bytes, which are the most (UTF-8)"
        raise _wrong(SubdocPathTooBigError(text, objextra=spec.path), operation, key)
    return raw


def _encoded_value(spec: Spec, defaults: Defaults, operation: str, key: Key) -> tuple[int, bytes]:
    flags, values = spec.flags, spec.values
    if flags & BINARY or any(isinstance(value, MutationMacro) for value in values):
        if not flags & XATTR:
            text = "macros and binary values are for extended attributes: xattr=True"
            raise _wrong(SubdocXattrInvalidFlagComboError(text), operation, key)
        if not flags & BINARY:
            flags |= EXPAND_MACROS
    if flags & BINARY and values:
        try:
            return flags, exact_bytes(values[0])
        except TypeError as error:
            text = f"a binary value is bytes, not {type(values[0]).__name__}"
            raise _wrong(ValueFormatError(text, inner_cause=error), operation, key) from error
    if not values:
        return flags, b""
    if spec.opcode == Opcode.SUBDOC_COUNTER:
        return flags, b"%d" % values[0]
    return flags, b",".join(fragment(value, defaults, operation, key) for value in values)


def fragment(value: object, defaults: Defaults, operation: str, key: Key) -> bytes:
    """Return a value as the JSON that the Bucket's transcoder makes of it.

    Raises ValueFormatError, with *key*.
    """
    if isinstance(value, MutationMacro):
        return json.dumps(value.value).encode()
    transcoder = defaults.transcoder
    try:
        if isinstance(transcoder, OneWayTranscoder):
            # Its own way is for whole documents: a path takes JSON.
            return Transcoder.encode_value(transcoder, value, FMT_JSON)[0]
        made = transcoder.encode_value(value, FMT_JSON)
    except CouchbaseError as error:
        raise about(error, operation, key) from error.__cause__
    except Exception as error:
        text = f"the transcoder's encode_value raised {type(error).__name__}: a path takes JSON"
        raise about(ValueFormatError(text, inner_cause=error), operation, key) from error
    try:
        encoded, _ = made
        return encoded if type(encoded) is bytes else exact_bytes(encoded)
    except Exception as error:
        raise not_a_value(made, error, operation, key) from error


def read_fragment(transcoder: Transcoder, data: bytes) -> Any:
    """Return what JSON means, by the Bucket's transcoder; it may raise anything."""
    if isinstance(transcoder, OneWayTranscoder):
        return Transcoder.decode_value(transcoder, data, FMT_JSON)
    return transcoder.decode_value(data, FMT_JSON)
