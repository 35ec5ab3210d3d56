"""Operations as values: what to send, and how to read the answer.

One builder per public method. A builder checks the user's arguments, encodes the value and gives
an `Operation` (or a `Batch` for the `_multi` form); the session routes it, and an adapter
turns the builder into a method of its Bucket. Signatures follow SDK 2.5; *timeout* (seconds) is
ours.

Every builder raises, before anything is sent: EmptyKeyError, KeyTooLongError, InvalidTtlError,
InvalidCasError, InvalidTimeoutError, and ValueFormatError where a value cannot be encoded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    EmptyKeyError,
    InvalidCasError,
    InvalidDeltaError,
    InvalidTimeoutError,
    InvalidTtlError,
    KeyTooLongError,
    ProtocolError,
)
from couchloop.result import MultiResult, OperationResult, Result, ValueResult
from couchloop.retries import RetryStrategy, check_strategy
from couchloop.transcoder import FMT_BYTES, FMT_UTF8, Transcoder
from couchloop.wire import Datatype, Frame, Opcode, snappy

if TYPE_CHECKING:
    from couchloop.kv.connection import Connection

T = TypeVar("T")
R = TypeVar("R", bound=Result)
T_co = TypeVar("T_co", covariant=True)

Key = str | bytes
"""A document's key: UTF-8 text or bytes, 1 to 250 bytes long."""

MAX_KEY: Final = 250
MAX_TTL: Final = 0xFFFFFFFF
MAX_CAS: Final = 0xFFFFFFFFFFFFFFFF
MAX_VALUE: Final = 20 * 1024 * 1024
"""Longest value in bytes; an inflated value may not exceed it either."""

_DO_NOT_CREATE: Final = 0xFFFFFFFF
_NOT_FOUND_RC: Final = 0x0D
_FLAGS = Struct(">I")
_unpack_flags = _FLAGS.unpack_from
_STORE = Struct(">II")
_COUNTER = Struct(">QQI")
_NUMBER = Struct(">Q")


@dataclass(slots=True)
class Defaults:
    """What a Bucket's operations use where the call says nothing."""

    transcoder: Transcoder
    format: int
    quiet: bool = False
    timeout: float = 2.5
    """Seconds from the call to its answer, waiting and retrying included."""


class Pending(Protocol[T_co]):
    """What a builder gives: an operation, or a batch."""

    waiter: Any
    owner: Any

    @property
    def done(self) -> bool:
        """Whether it is complete."""

    def result(self) -> T_co:
        """Give its result, or raise its error."""


class Operation(Generic[T]):
    """One request and what has become of it.

    The first group of attributes is set by a builder, the second by the session, the third
    (`waiter`, `owner`) belongs to the adapter.
    """

    __slots__ = (
        "answer",
        "attempts",
        "batch",
        "cas",
        "connection",
        "deadline",
        "defaults",
        "error",
        "extras",
        "key",
        "obstacle",
        "opaque",
        "opcode",
        "owner",
        "parked",
        "queue",
        "quiet",
        "raw",
        "reasons",
        "retry_strategy",
        "timeout",
        "value",
        "waiter",
    )

    name: ClassVar[str] = "operation"
    idempotent: ClassVar[bool] = False
    """Whether it may be sent again when nobody knows if the server has done it."""

    def __init__(
        self,
        opcode: int,
        defaults: Defaults,
        key: Key,
        timeout: float | None,
        extras: bytes = b"",
        value: bytes = b"",
        cas: int = 0,
        retry_strategy: RetryStrategy | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        raw = defaults.transcoder.encode_key(key)
        if not 0 < len(raw) <= MAX_KEY:
            raise _bad_key(key, raw)
        if timeout is None:
            timeout = defaults.timeout
        elif not (_is_number(timeout, int | float) and timeout > 0):
            raise InvalidTimeoutError(
                "timeout must be a positive number of seconds", key=key, objextra=timeout
            )
        if not cas:
            cas = 0
        elif not (_is_number(cas, int) and 0 < cas <= MAX_CAS):
            raise InvalidCasError("CAS must be an integer from 0 to 2**64-1", key=key, objextra=cas)
        self.opcode = opcode
        self.defaults = defaults
        self.key = key
        self.raw = raw
        self.timeout = timeout
        self.extras = extras
        self.value = value
        self.cas = cas
        self.quiet = quiet
        if retry_strategy is not None:
            check_strategy(retry_strategy)
        self.retry_strategy = retry_strategy

        self._reset()

    def _reset(self) -> None:
        self.queue: dict[Operation[Any], None] | None = None
        self.parked: dict[Operation[Any], None] | None = None
        self.deadline = 0.0
        self.connection: Connection[Any] | None = None
        self.opaque = 0
        self.attempts = 0
        self.reasons: tuple[str, ...] = ()
        self.obstacle: CouchbaseError | None = None
        """What the last try met, if there was one; nobody else has this exception."""
        self.batch: Batch[Any] | None = None
        self.answer: Frame | None = None
        self.error: CouchbaseError | None = None

        self.waiter: Any = None
        self.owner: Any = None

    @property
    def done(self) -> bool:
        """Whether the answer or an error is there."""
        return self.answer is not None or self.error is not None

    def result(self) -> T:
        """Give the result of a completed operation, or raise its error."""
        error = self.error
        if error is not None:
            # An exception whose own frames point to it, and with it the frames of its callers and
            # their Bucket, would live until a gc run.
            self.error = None
            try:
                raise error
            finally:
                del error
        assert self.answer is not None
        return self.decode(self.answer)

    def decode(self, answer: Frame) -> T:
        """Read the answer of a success, or of a miss that the caller asked to be quiet about."""
        raise NotImplementedError

    def missing(self, rc: int) -> Result:
        """Give the entry of a batch for an operation that failed with *rc*."""
        return OperationResult(self.key, 0, rc=rc)


def _bad_key(key: Key, raw: bytes) -> ArgumentError:
    if not raw:
        return EmptyKeyError("the key is empty: give 1 to 250 bytes", key=key)
    return KeyTooLongError(
        f"the key takes more than {MAX_KEY} bytes, which are the most (UTF-8)",
        key=key,
        objextra=len(raw),
    )


def _is_number(value: object, kinds: Any) -> bool:
    """Tell whether *value* is one of *kinds*; True and False are not: they are slips."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _ttl(ttl: int) -> int:
    if not _is_number(ttl, int) or not 0 <= ttl <= MAX_TTL:
        raise InvalidTtlError(
            "ttl must be whole seconds from 0 (never expire) to 2**32-1", objextra=ttl
        )
    return ttl


def body(answer: Frame) -> bytes:
    """Give the value of *answer*, inflated if need be.

    Raises ProtocolError if it is corrupt or would exceed 20 MiB.
    """
    if answer.datatype & Datatype.SNAPPY:
        return snappy.decompress(answer.value, MAX_VALUE)
    return answer.value


class Get(Operation[ValueResult]):
    """GET 0x00, or GAT 0x1d where a ttl is given."""

    __slots__ = ("format_value",)
    name = "get"
    idempotent = True
    format_value: bool

    def decode(self, answer: Frame) -> ValueResult:
        """Decode the value by its flags; a quiet miss has value None and rc 0x0d."""
        # One unpacking takes half as long as six attributes of a tuple.
        _, _, datatype, status, _, cas, _, extras, _, value = answer
        if status:
            return ValueResult(self.key, None, 0, 0, _NOT_FOUND_RC)
        if len(extras) < 4:
            raise ProtocolError("get: the answer has no flags", key=self.key)
        if datatype & 2:
            value = body(answer)
        (flags,) = _unpack_flags(extras)
        if self.format_value:
            value = self.defaults.transcoder.decode_value(value, flags)
        return ValueResult(self.key, value, cas, flags)

    def missing(self, rc: int) -> Result:
        """See `Operation.missing`."""
        return ValueResult(self.key, None, 0, 0, rc)


class GetAndTouch(Get):
    """GAT 0x1d: changes the expiry, so it is not idempotent (RFC 0049)."""

    __slots__ = ()
    name = "get_and_touch"
    idempotent = False


class Mutation(Operation[OperationResult]):
    """Anything whose answer is a CAS."""

    __slots__ = ()

    def decode(self, answer: Frame) -> OperationResult:
        """Read the CAS."""
        if answer.status:
            return OperationResult(self.key, 0, rc=_NOT_FOUND_RC)
        return OperationResult(self.key, answer.cas)


class Upsert(Mutation):
    """SET 0x01."""

    __slots__ = ()
    name = "upsert"


class Insert(Mutation):
    """ADD 0x02."""

    __slots__ = ()
    name = "insert"


class Replace(Mutation):
    """REPLACE 0x03."""

    __slots__ = ()
    name = "replace"


class Append(Mutation):
    """APPEND 0x0e."""

    __slots__ = ()
    name = "append"


class Prepend(Mutation):
    """PREPEND 0x0f."""

    __slots__ = ()
    name = "prepend"


class Remove(Mutation):
    """DELETE 0x04."""

    __slots__ = ()
    name = "remove"


class Touch(Mutation):
    """TOUCH 0x1c."""

    __slots__ = ()
    name = "touch"


class Counter(Operation[ValueResult]):
    """INCREMENT 0x05 and DECREMENT 0x06."""

    __slots__ = ()
    name = "counter"

    def decode(self, answer: Frame) -> ValueResult:
        """Read the new number."""
        if len(answer.value) != _NUMBER.size:
            raise ProtocolError("counter: the answer is not a number of 8 bytes", key=self.key)
        return ValueResult(self.key, int.from_bytes(answer.value), answer.cas, 0)

    def missing(self, rc: int) -> Result:
        """See `Operation.missing`."""
        return ValueResult(self.key, None, 0, 0, rc)


def get(
    defaults: Defaults,
    key: Key,
    ttl: int = 0,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Get:
    """Fetch a document.

    Args:
        key: the document's key.
        ttl: if not 0, also set the expiry to so many seconds (over 30 days: an absolute time).
        quiet: give a result with `success` False and `value` None instead of raising
            NotFoundError. None: as the Bucket says.
        no_format: give the value as bytes, whatever its format.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises NotFoundError, and ValueFormatError if the value does not fit its flags.
    """
    is_quiet = defaults.quiet if quiet is None else quiet
    if ttl:
        op: Get = GetAndTouch(
            Opcode.GAT,
            defaults,
            key,
            timeout,
            _FLAGS.pack(_ttl(ttl)),
            b"",
            0,
            retry_strategy,
            quiet=is_quiet,
        )
    else:
        op = Get(0, defaults, key, timeout, b"", b"", 0, retry_strategy, quiet=is_quiet)
    op.format_value = not no_format
    return op


def upsert(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Upsert:
    """Store a document whether it exists or not.

    Args:
        key: the document's key.
        value: what to store.
        cas: if not 0, store only if the document still has this CAS.
        ttl: seconds until it expires (over 30 days: an absolute time); 0: never.
        format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises CasMismatchError (a KeyExistsError), NotFoundError if *cas* is given and there is no
    document, StoreLockedError, TooBigError.
    """
    return _store(
        Upsert, Opcode.SET, defaults, key, value, cas, ttl, format, timeout, retry_strategy
    )


def insert(
    defaults: Defaults,
    key: Key,
    value: Any,
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Insert:
    """Store a document that must not exist yet; arguments as for `upsert`.

    Raises DocumentExistsError (a KeyExistsError), TooBigError.
    """
    return _store(Insert, Opcode.ADD, defaults, key, value, 0, ttl, format, timeout, retry_strategy)


def replace(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Replace:
    """Store a document that must exist; arguments as for `upsert`.

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError, TooBigError.
    """
    return _store(
        Replace, Opcode.REPLACE, defaults, key, value, cas, ttl, format, timeout, retry_strategy
    )


M = TypeVar("M", bound=Mutation)


def _store(
    kind: type[M],
    opcode: int,
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int,
    ttl: int,
    format: int | None,  # noqa: A002 - 2.5's name
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> M:
    encoded, flags = defaults.transcoder.encode_value(
        value, defaults.format if format is None else format
    )
    extras = _STORE.pack(flags, _ttl(ttl) if ttl else 0)
    return kind(opcode, defaults, key, timeout, extras, encoded, cas, retry_strategy)


def append(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Append:
    """Put *value* behind the document's bytes; its flags stay as they are.

    Args:
        key: the document's key.
        value: text (FMT_UTF8, the default) or bytes (FMT_BYTES).
        cas: if not 0, append only if the document still has this CAS.
        format: FMT_UTF8 or FMT_BYTES.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises NotStoredError if there is no document, CasMismatchError, StoreLockedError,
    TooBigError, ArgumentError for another format.
    """
    return _concatenate(
        Append, Opcode.APPEND, defaults, key, value, cas, format, timeout, retry_strategy
    )


def prepend(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Prepend:
    """Put *value* before the document's bytes; everything else as for `append`."""
    return _concatenate(
        Prepend, Opcode.PREPEND, defaults, key, value, cas, format, timeout, retry_strategy
    )


def _concatenate(
    kind: type[M],
    opcode: int,
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int,
    format: int | None,  # noqa: A002 - 2.5's name
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> M:
    if format is None:
        format = FMT_UTF8  # noqa: A001 - 2.5's name
    if format not in (FMT_UTF8, FMT_BYTES):
        raise ArgumentError("append and prepend take FMT_UTF8 or FMT_BYTES only", key=key)
    encoded, _ = defaults.transcoder.encode_value(value, format)
    return kind(opcode, defaults, key, timeout, b"", encoded, cas, retry_strategy)


def remove(
    defaults: Defaults,
    key: Key,
    cas: int = 0,
    quiet: bool | None = None,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Remove:
    """Delete a document.

    Args:
        key: the document's key.
        cas: if not 0, delete only if the document still has this CAS.
        quiet: give a result with `success` False instead of raising NotFoundError.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError.
    """
    is_quiet = defaults.quiet if quiet is None else quiet
    return Remove(
        Opcode.DELETE, defaults, key, timeout, b"", b"", cas, retry_strategy, quiet=is_quiet
    )


def touch(
    defaults: Defaults,
    key: Key,
    ttl: int = 0,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Touch:
    """Set a document's expiry without reading it.

    Args:
        key: the document's key.
        ttl: seconds until it expires (over 30 days: an absolute time); 0: never.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises NotFoundError, DocumentLockedError.
    """
    return Touch(
        Opcode.TOUCH, defaults, key, timeout, _FLAGS.pack(_ttl(ttl)), b"", 0, retry_strategy
    )


def counter(
    defaults: Defaults,
    key: Key,
    delta: int = 1,
    initial: int | None = None,
    ttl: int = 0,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Counter:
    """Change a number that is stored as decimal text; the result's `value` is the new number.

    Args:
        key: the document's key.
        delta: what to add; negative: to subtract (never below 0).
        initial: what to store if there is no document. None: do not create it.
        ttl: expiry in seconds of a document that is created; 0: never.
        timeout: seconds. None: as the Bucket says.
        retry_strategy: whether and when to try again. None: as the Bucket says.

    Raises NotFoundError, DeltaBadvalError if the document is not a number, StoreLockedError,
    InvalidDeltaError.
    """
    if not _is_number(delta, int) or not -MAX_CAS <= delta <= MAX_CAS:
        raise InvalidDeltaError("delta must be an integer of 64 bits", key=key, objextra=delta)
    if initial is None:
        first, expiry = 0, _DO_NOT_CREATE
    else:
        first, expiry = initial, _ttl(ttl)
        if expiry == _DO_NOT_CREATE:
            raise InvalidTtlError(
                "ttl of a counter must be less than 2**32-1", key=key, objextra=ttl
            )
        if not _is_number(initial, int) or not 0 <= initial <= MAX_CAS:
            raise InvalidDeltaError(
                "initial must be an integer from 0 to 2**64-1", key=key, objextra=initial
            )
    opcode = Opcode.INCREMENT if delta >= 0 else Opcode.DECREMENT
    extras = _COUNTER.pack(abs(delta), first, expiry)
    return Counter(opcode, defaults, key, timeout, extras, b"", 0, retry_strategy)


class Batch(Generic[R]):
    """Operations that complete together: the `_multi` form of a builder."""

    __slots__ = ("error", "operations", "owner", "remaining", "waiter")

    def __init__(self, operations: list[Operation[Any]]) -> None:
        self.operations = operations
        self.remaining = len(operations)
        self.error: CouchbaseError | None = None
        self.waiter: Any = None
        self.owner: Any = None
        for op in operations:
            op.batch = self

    @property
    def done(self) -> bool:
        """Whether every operation is complete."""
        return self.remaining == 0

    def member_done(self, op: Operation[Any]) -> bool:  # noqa: ARG002 - others look at it
        """Take note that one more operation is complete; tell whether that was the last."""
        self.remaining -= 1
        return not self.remaining

    def result(self) -> MultiResult[R]:
        """Give all results by key; raise the first error, with `all_results`, if there is one."""
        results: MultiResult[R] = MultiResult()
        first: CouchbaseError | None = None
        for op in self.operations:
            try:
                results[op.key] = op.result()
            except CouchbaseError as error:
                results[op.key] = cast(R, op.missing(error.rc or -1))
                if first is None:
                    first = error
        if first is not None:
            first.all_results = results
            try:
                raise first
            finally:
                del first
        return results


def _batch(
    what: Iterable[Key] | Mapping[Key, Any],
    build: Callable[[Key, Any], Operation[Any]],
) -> Batch[Any]:
    """Build one operation per key; *build* takes the key and, for a mapping, its value."""
    if isinstance(what, str | bytes):
        raise ArgumentError("a batch takes an iterable of keys or a dict, not one key")
    if isinstance(what, Mapping):
        operations = [build(key, value) for key, value in what.items()]
    else:
        try:
            keys = list(what)
            unique = dict.fromkeys(keys)
        except TypeError as error:
            raise ArgumentError(f"a batch takes an iterable of keys or a dict: {error}") from error
        if len(unique) < len(keys):
            warnings.warn("duplicate keys in a batch are sent once", RuntimeWarning, stacklevel=4)
        operations = [build(key, None) for key in unique]
    if not operations:
        raise ArgumentError("the batch is empty: give at least one key")
    return Batch(operations)


def get_multi(
    defaults: Defaults,
    keys: Iterable[Key] | Mapping[Key, int],
    ttl: int = 0,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[ValueResult]:
    """Fetch many documents; arguments as for `get`.

    Args:
        keys: the keys, or a dict of key and ttl.
        ttl: for keys without one of their own.
        quiet: do not raise for documents that are missing.
        no_format: give values as bytes.
        timeout: seconds for the whole batch.
        retry_strategy: as for one operation.

    Raises as `get` does, with the results of all keys in the exception's `all_results`.
    """
    return _batch(
        keys,
        lambda key, own: get(
            defaults,
            key,
            ttl if own is None else own,
            quiet,
            no_format=no_format,
            timeout=timeout,
            retry_strategy=retry_strategy,
        ),
    )


def upsert_multi(
    defaults: Defaults,
    kv: Mapping[Key, Any],
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Store many documents from a dict of key and value; see `upsert` and `get_multi`."""
    return _batch(
        _mapping(kv),
        lambda key, value: upsert(
            defaults, key, value, 0, ttl, format, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def insert_multi(
    defaults: Defaults,
    kv: Mapping[Key, Any],
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Store many documents that must not exist yet; see `insert` and `get_multi`."""
    return _batch(
        _mapping(kv),
        lambda key, value: insert(
            defaults, key, value, ttl, format, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def replace_multi(
    defaults: Defaults,
    kv: Mapping[Key, Any],
    ttl: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Store many documents that must exist; see `replace` and `get_multi`."""
    return _batch(
        _mapping(kv),
        lambda key, value: replace(
            defaults, key, value, 0, ttl, format, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def append_multi(
    defaults: Defaults,
    kv: Mapping[Key, Any],
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Append to many documents from a dict of key and value; see `append` and `get_multi`."""
    return _batch(
        _mapping(kv),
        lambda key, value: append(
            defaults, key, value, 0, format, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def prepend_multi(
    defaults: Defaults,
    kv: Mapping[Key, Any],
    format: int | None = None,  # noqa: A002 - 2.5's name
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Prepend to many documents from a dict of key and value; see `prepend` and `get_multi`."""
    return _batch(
        _mapping(kv),
        lambda key, value: prepend(
            defaults, key, value, 0, format, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def remove_multi(
    defaults: Defaults,
    kvs: Iterable[Key] | Mapping[Key, int | Result],
    quiet: bool | None = None,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Delete many documents; see `remove` and `get_multi`.

    Args:
        kvs: the keys, or a dict of key and CAS (or a result that has one).
        quiet: do not raise for documents that are missing.
        timeout: seconds for the whole batch.
        retry_strategy: as for one operation.
    """
    return _batch(
        kvs,
        lambda key, cas: remove(
            defaults, key, _cas_of(cas), quiet, timeout=timeout, retry_strategy=retry_strategy
        ),
    )


def touch_multi(
    defaults: Defaults,
    kvs: Iterable[Key] | Mapping[Key, int],
    ttl: int = 0,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Set the expiry of many documents: keys, or a dict of key and ttl; see `touch`."""
    return _batch(
        kvs,
        lambda key, own: touch(
            defaults,
            key,
            ttl if own is None else own,
            timeout=timeout,
            retry_strategy=retry_strategy,
        ),
    )


def counter_multi(
    defaults: Defaults,
    kvs: Iterable[Key] | Mapping[Key, int | Mapping[str, int]],
    initial: int | None = None,
    delta: int = 1,
    ttl: int = 0,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[ValueResult]:
    """Change many numbers; see `counter` and `get_multi`.

    Args:
        kvs: the keys, or a dict of key and delta, or of key and a dict with any of `delta`,
            `initial` and `ttl`.
        initial: for keys without one of their own.
        delta: likewise.
        ttl: likewise.
        timeout: seconds for the whole batch.
        retry_strategy: as for one operation.
    """

    def build(key: Key, own: int | Mapping[str, int] | None) -> Counter:
        if own is None:
            own = {}
        elif isinstance(own, int):
            own = {"delta": own}
        elif unknown := own.keys() - {"delta", "initial", "ttl"}:
            raise ArgumentError(f"counter_multi: unknown argument {min(unknown)!r}", key=key)
        return counter(
            defaults,
            key,
            own.get("delta", delta),
            own.get("initial", initial),
            own.get("ttl", ttl),
            timeout=timeout,
            retry_strategy=retry_strategy,
        )

    return _batch(kvs, build)


def _mapping(kv: Mapping[Key, Any]) -> Mapping[Key, Any]:
    if not isinstance(kv, Mapping):
        raise ArgumentError("give a dict of key and value")
    return kv


def _cas_of(cas: int | Result | None) -> int:
    if isinstance(cas, Result):
        return cas.cas
    return cas or 0
