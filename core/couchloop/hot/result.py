"""What operations give back. Built once per operation, so small and without checks."""

from __future__ import annotations

from itertools import islice
from types import GenericAlias
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from couchloop.exceptions import CouchbaseError, ValueFormatError, own_copy, without_frames
from couchloop.safety.printable import shown
from couchloop.typed import convert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import Generic

    from typing_extensions import TypeVar as WithDefault

    from couchloop.hot.durable import MutationToken

    V = WithDefault("V", default=Any)
else:
    V = TypeVar("V")

T = TypeVar("T")

_KINDS = 256
"""Kinds of failures in one batch of which its results tell more than their numbers."""
_SHOWN_KEYS = 5
_SHOWN_CHARACTERS = 200


def _short(value: object) -> str:
    return shown(value, _SHOWN_CHARACTERS)


class Result:
    """The outcome of an operation on one key.

    Attributes:
        key: As the caller gave it.
        rc: 0, or the code of SDK 2.5 of what went wrong (`NotFoundError.CODE` of a quiet get).

    """

    __slots__ = ("_reason", "key", "rc")

    cas: int = 0
    value: Any = None

    _reason: CouchbaseError

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)
        """Of which type a value is, is for type checkers: no class is generic at run time."""

    def __init__(self, key: object, rc: int = 0) -> None:
        self.key: Any = key
        self.rc = rc

    @property
    def success(self) -> bool:
        """Whether the operation did what it was to do."""
        return self.rc == 0

    @property
    def error(self) -> CouchbaseError | None:
        """Why the operation on this key has failed, in a stream or a batch; None: it has not.

        In a large batch there is one for all keys that have failed alike: it has no key.
        """
        try:
            return self._reason
        except AttributeError:
            return None

    def fail(self, error: CouchbaseError) -> None:
        """Take note of why the operation has failed."""
        self._reason = error

    @property
    def errstr(self) -> str:
        """Why it failed, in words: what `error` says, or else what `rc` means."""
        if self.rc == 0:
            return "Success"
        error = self.error
        return CouchbaseError.rc_to_exctype(self.rc)().message if error is None else str(error)

    def _failure(self) -> str:
        if not self.rc:
            return ""
        error = self.error
        if error is None:
            return f", rc={self.rc:#04x} {self.errstr!r}"
        cause = error.__cause__
        # Of another's error its class alone: what it says may be of any length, and secret.
        because = "" if cause is None else f", caused by {type(cause).__name__}"
        return f", {type(error).__name__}: {str(error)!r}{because}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}{self._failure()})"


def told(error: CouchbaseError) -> CouchbaseError:
    """Return *error* as a result has it: it knows no result, for that were a circle."""
    error.result = error.all_results = None
    return error


class Reasons:
    """Why keys of a large batch have failed: an error for all that fail alike.

    A batch may have a million keys.
    """

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[Any, CouchbaseError] = {}

    def tell(self, result: object, error: CouchbaseError) -> None:
        """Have *result* know why it failed."""
        if not isinstance(result, Result):
            return
        kind = type(error), error.message, error.context and error.context.node
        found = self._kinds.get(kind)
        if found is None and len(self._kinds) < _KINDS:
            found = self._kinds[kind] = told(without_frames(own_copy(error)))
            found.key = found.objextra = None
            found.cas = 0
            if found.context is not None:
                found.context.key = found.context.opaque = None
        if found is not None:
            result.fail(found)


class OperationResult(Result):
    """The outcome of an operation that changes a document.

    Attributes:
        cas: The document's new CAS, 0 if there is none.
        token: The mutation token (vbucket, vbucket UUID, sequence number, bucket), if the Bucket
            fetches them (`fetch_mutation_tokens`).

    """

    __slots__ = ("cas", "token")

    def __init__(
        self, key: object, cas: int, token: MutationToken | None = None, rc: int = 0
    ) -> None:
        self.key: Any = key
        self.cas = cas
        self.token = token
        self.rc = rc

    @property
    def _mutinfo(self) -> MutationToken | None:
        """The token, under the name that programs written for SDK 2.5 use."""
        return self.token

    @property
    def mutation_token(self) -> MutationToken | None:
        """Likewise by the name that newer SDKs have for it."""
        return self.token

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, cas={self.cas:#x}{self._failure()})"


class ContentAs:
    """A value that is asked for as some type.

    A class that the value is of already (an int is a float, too) checks it; any other type converts
    it, as *type* of an operation decodes it.
    """

    __slots__ = ("_key", "_value")

    def __init__(self, key: object, value: object) -> None:
        self._key: Any = key
        self._value: Any = value

    def __getitem__(self, kind: type[T]) -> T:
        """Return the value as a *kind*; raise ValueFormatError if it does not fit.

        Raises InvalidSettingError (a TypeError) for what is no type, FeatureNotAvailableError where
        msgspec is needed and not there.
        """
        value = self._value
        if kind is float and type(value) is int:
            return float(value)  # type: ignore[return-value]
        try:
            is_one = isinstance(value, kind) and not (type(value) is bool and kind is int)
        except TypeError:  # list[int], a TypedDict: no class
            is_one = False
        if is_one:
            return value  # type: ignore[no-any-return]
        if kind in BUILT_IN:
            text = f"the value is of type {type(value).__name__}, not {kind.__name__}"
            raise ValueFormatError(text, key=self._key)
        try:
            return convert(value, kind)  # type: ignore[no-any-return]
        except CouchbaseError as error:
            error.key = self._key
            raise


BUILT_IN = (bool, int, float, str, bytes, list, dict, type(None))
"""Types that JSON and the formats give by themselves: nothing becomes one of them."""

if TYPE_CHECKING:

    class _OfValue(OperationResult, Generic[V]):
        __slots__ = ()

    class _OfValues(Result, Generic[V]):
        __slots__ = ()

else:
    _OfValue, _OfValues = OperationResult, Result


class ValueResult(_OfValue[V]):
    """The outcome of an operation that reads a document, or counts in it.

    Attributes:
        value: The decoded value, of the type that was asked for; None if there is none.
        flags: The document's flags: its format.
        expiry: When the document expires, if `get` was asked to tell (`with_expiry`).

    """

    __slots__ = ("flags", "value")

    expiry: datetime | None = None

    def __init__(
        self,
        key: object,
        value: V,
        cas: int,
        flags: int,
        rc: int = 0,
        token: MutationToken | None = None,
    ) -> None:
        self.key: Any = key
        self.value: V = value
        self.cas = cas
        self.flags = flags
        self.rc = rc
        self.token = token

    @property
    def expiry_time(self) -> datetime | None:
        """The same as `expiry` (SDK 4.6)."""
        return self.expiry

    @property
    def content_as(self) -> ContentAs:
        """The value as a type that is named: `result.content_as[dict]`, as SDK 3 and later do.

        It may be any that *type* of an operation may be. Raises ValueFormatError if it is of
        another type, and cannot be converted.
        """
        return ContentAs(self.key, self.value)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(key={self.key!r}, value={_short(self.value)}, "
            f"cas={self.cas:#x}, flags={self.flags:#x}{self._failure()})"
        )


class ReplicaResult(ValueResult[V]):
    """A document as one of its copies has it.

    Attributes:
        is_replica: Whether the copy is a replica, and not the active one.

    """

    __slots__ = ("is_replica",)

    def __init__(
        self,
        key: object,
        value: V,
        cas: int,
        flags: int,
        rc: int = 0,
        *,
        is_replica: bool = True,
    ) -> None:
        super().__init__(key, value, cas, flags, rc)
        self.is_replica = is_replica


class ReplicasResult(_OfValues[V]):
    """The copies of one document, of the many that were asked for: iterate over it.

    Attributes:
        value: The copies that were read, the active one first; empty if it failed.

    """

    __slots__ = ("value",)

    def __init__(self, key: object, value: list[ReplicaResult[V]], rc: int = 0) -> None:
        super().__init__(key, rc)
        self.value: list[ReplicaResult[V]] = value

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[ReplicaResult[V]]:
        return iter(self.value)

    def __getitem__(self, place: int) -> ReplicaResult[V]:
        return self.value[place]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, copies={len(self)}{self._failure()})"


class ScanResult(ValueResult[V]):
    """A document that a scan has found, or its key alone.

    Attributes:
        expiry: When the document expires, as a datetime in UTC; None: never.

    """

    __slots__ = ("expiry",)

    def __init__(
        self,
        key: object,
        value: V,
        cas: int,
        flags: int,
        expiry: datetime | None,
        rc: int = 0,
    ) -> None:
        super().__init__(key, value, cas, flags, rc)
        self.expiry = expiry

    @property
    def id(self) -> Any:
        """The document's key (SDK 3 and later)."""
        return self.key


class ObserveInfo(NamedTuple):
    """What one copy of a document says of it (SDK 2.5)."""

    flags: int
    """OBS_FOUND, OBS_PERSISTED, OBS_NOTFOUND or OBS_LOGICALLY_DELETED."""
    from_master: bool
    """Whether it is the active copy."""
    cas: int


OBS_FOUND = 0x00
"""The copy is in memory, and not on disk yet."""
OBS_PERSISTED = 0x01
OBS_NOTFOUND = 0x80
OBS_LOGICALLY_DELETED = 0x81
"""It was deleted, and the disk does not know that yet."""
OBS_MASK = 0x83


class ExistsResult(OperationResult):
    """Whether there is a document: what `exists` gives is true or false by itself.

    Attributes:
        exists: Whether there is one.
        value: The same.

    """

    __slots__ = ("exists",)

    def __init__(self, key: object, cas: int, rc: int = 0, *, exists: bool) -> None:
        super().__init__(key, cas, None, rc)
        self.exists = exists

    @property
    def value(self) -> bool:
        """See `exists`."""
        return self.exists

    def __bool__(self) -> bool:
        return self.exists

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(key={self.key!r}, exists={self.exists}, "
            f"cas={self.cas:#x}{self._failure()})"
        )


class StatsResult(dict[str, dict[str, int | str]]):
    """The nodes' statistics: each by its name, with the value of each node ("host:port")."""

    @property
    def all_ok(self) -> bool:
        """True: if a node cannot be asked, that is raised."""
        return True

    def __repr__(self) -> str:
        nodes = {node for values in self.values() for node in values}
        return f"<{type(self).__name__} of {len(self)} statistics, {len(nodes)} nodes>"


R = TypeVar("R", bound=Result)


class MultiResult(dict[Any, R]):
    """The outcome of an operation on many keys: each key with its result."""

    @property
    def all_ok(self) -> bool:
        """Whether every key succeeded."""
        return all(result.rc == 0 for result in self.values())

    def split_results(self) -> tuple[MultiResult[R], MultiResult[R]]:
        """Return (good, bad): what succeeded, and what failed."""
        good: MultiResult[R] = MultiResult()
        bad: MultiResult[R] = MultiResult()
        for key, result in self.items():
            (bad if result.rc else good)[key] = result
        return good, bad

    def __repr__(self) -> str:
        shown = ", ".join(f"{k!r}: {_short(v)}" for k, v in islice(self.items(), _SHOWN_KEYS))
        more = ", …" if len(self) > _SHOWN_KEYS else ""
        bad = sum(result.rc != 0 for result in self.values())
        return f"<{type(self).__name__} of {len(self)}, {bad} failed: {{{shown}{more}}}>"
