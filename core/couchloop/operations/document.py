"""Operations as values: what to send, and how to read the answer.

One builder per public method. A builder checks the user's arguments, encodes the value and gives
an `Operation` (or a `Batch` for the `_multi` form); the session routes it, and an adapter
turns the builder into a method of its Bucket. Signatures follow SDK 2.5; *timeout* (seconds) is
ours.

Every builder raises, before anything is sent: EmptyKeyError, KeyTooLongError, InvalidKeyError,
InvalidTtlError, InvalidCasError, InvalidTimeoutError, ValueFormatError where a value cannot be
encoded, and TooBigError above 20 MiB. What an operation holds from then on is of the built-in types
themselves (`couchloop.hot.encoding`): nothing that happens later depends on a user's code.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, TypeVar

from couchloop.arguments.exact import exact_bytes, exact_integer, is_quiet
from couchloop.exceptions import (
    ArgumentError,
    InvalidDeltaError,
    InvalidTtlError,
    ProtocolError,
)
from couchloop.hot.encoding import MAX_VALUE, not_a_value, not_encoded, too_big
from couchloop.hot.frames import Frame
from couchloop.hot.operation import MAX_CAS, Defaults, Key, Operation, body
from couchloop.hot.result import OperationResult, Result, ValueResult
from couchloop.operations.multi import CAS, DELTA, TTL, VALUE, Multi
from couchloop.retries import RetryStrategy
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode

ARGUMENTS: Final = {
    "key": "the document's key, 1 to 250 bytes as UTF-8.",
    "value": "what to store.",
    "cas": "if not 0, do it only if the document still has this CAS.",
    "ttl": "seconds until the document expires (over 30 days: an absolute time); 0: never.",
    "format": "FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.",
    "quiet": (
        "give a result with `success` False and `value` None instead of raising NotFoundError. "
        "None: as the Bucket says."
    ),
    "timeout": (
        "seconds until there is a result, waiting and retrying included. None: as the Bucket says."
    ),
    "retry_strategy": "whether and when to try again. None: as the Bucket says.",
}
"""What arguments mean, where a builder's docstring does not say it; `make methods` adds it."""

MAX_TTL: Final = 0xFFFFFFFF
_DO_NOT_CREATE: Final = 0xFFFFFFFF
_NOT_FOUND_RC: Final = 0x0D
# Plain integers: a member of an enumeration costs more, where it is named and where it is compared.
_SET: Final = int(Opcode.SET)
_ADD: Final = int(Opcode.ADD)
_REPLACE: Final = int(Opcode.REPLACE)
_FLAGS = Struct(">I")
_unpack_flags = _FLAGS.unpack_from
_STORE = Struct(">II")
_COUNTER = Struct(">QQI")
_NUMBER = Struct(">Q")


def _ttl(ttl: object) -> int:
    number = 0 if ttl is None or ttl is False else exact_integer(ttl)
    if number is None or not 0 <= number <= MAX_TTL:
        raise InvalidTtlError(
            "ttl must be whole seconds from 0 (never expire) to 2**32-1", objextra=ttl
        )
    return number


class Get(Operation[ValueResult]):
    """GET 0x00, or GAT 0x1d where a ttl is given."""

    __slots__ = ("format_value",)
    name = "get"
    idempotent = True
    gives_value = True
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
            try:
                value = self.defaults.transcoder.decode_value(value, flags)
            except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
                not_encoded(error, "decode_value", self.name, self.key, self.connection)
        return ValueResult(self.key, value, cas, flags)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


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

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


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
        ttl: if not 0, also set the expiry to so many seconds (over 30 days: an absolute time).
        no_format: give the value as bytes, whatever its format.

    Raises NotFoundError, and ValueFormatError if the value does not fit its flags.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet)
    if ttl != 0 and ttl is not None:
        op: Get = GetAndTouch(
            Opcode.GAT,
            defaults,
            key,
            timeout,
            _FLAGS.pack(_ttl(ttl)),
            b"",
            0,
            retry_strategy,
            quiet=quietly,
        )
    else:
        op = Get(0, defaults, key, timeout, b"", b"", 0, retry_strategy, quiet=quietly)
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

    Raises CasMismatchError (a KeyExistsError), NotFoundError if *cas* is given and there is no
    document, StoreLockedError, TooBigError.
    """
    return _store(Upsert, _SET, defaults, key, value, cas, ttl, format, timeout, retry_strategy)


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
    """Store a document that must not exist yet.

    Raises DocumentExistsError (a KeyExistsError), TooBigError.
    """
    return _store(Insert, _ADD, defaults, key, value, 0, ttl, format, timeout, retry_strategy)


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
    """Store a document that must exist.

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError, TooBigError.
    """
    return _store(
        Replace, _REPLACE, defaults, key, value, cas, ttl, format, timeout, retry_strategy
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
    expiry = _ttl(ttl) if ttl != 0 else 0
    try:
        made = defaults.transcoder.encode_value(
            value, defaults.format if format is None else format
        )
    except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
        not_encoded(error, "encode_value", kind.name, key)
    try:
        encoded, flags = made
        extras = _STORE.pack(flags, expiry)
        if type(encoded) is not bytes:
            encoded = exact_bytes(encoded)
    except Exception as error:
        raise not_a_value(made, error, kind.name, key) from error
    if len(encoded) > MAX_VALUE:
        raise too_big(kind.name, key)
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
        value: text (FMT_UTF8, the default) or bytes (FMT_BYTES).
        format: FMT_UTF8 or FMT_BYTES.

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
    """Put *value* before the document's bytes; its flags stay as they are.

    Args:
        value: text (FMT_UTF8, the default) or bytes (FMT_BYTES).
        format: FMT_UTF8 or FMT_BYTES.

    Raises NotStoredError if there is no document, CasMismatchError, StoreLockedError,
    TooBigError, ArgumentError for another format.
    """
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
    try:
        made = defaults.transcoder.encode_value(value, format)
    except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
        not_encoded(error, "encode_value", kind.name, key)
    try:
        encoded, _ = made
        if type(encoded) is not bytes:
            encoded = exact_bytes(encoded)
    except Exception as error:
        raise not_a_value(made, error, kind.name, key) from error
    if len(encoded) > MAX_VALUE:
        raise too_big(kind.name, key)
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

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet)
    return Remove(
        Opcode.DELETE, defaults, key, timeout, b"", b"", cas, retry_strategy, quiet=quietly
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
        delta: what to add; negative: to subtract (never below 0).
        initial: what to store if there is no document. None: do not create it.
        ttl: expiry in seconds of a document that is created; 0: never.

    Raises NotFoundError, DeltaBadvalError if the document is not a number, StoreLockedError,
    InvalidDeltaError.
    """
    change, expiry = exact_integer(delta), _ttl(ttl)
    if change is None or not -MAX_CAS <= change <= MAX_CAS:
        raise InvalidDeltaError("delta must be an integer of 64 bits", key=key, objextra=delta)
    if initial is None:
        first, expiry = 0, _DO_NOT_CREATE
    else:
        if expiry == _DO_NOT_CREATE:
            raise InvalidTtlError(
                "ttl of a counter must be less than 2**32-1", key=key, objextra=ttl
            )
        given = exact_integer(initial)
        if given is None or not 0 <= given <= MAX_CAS:
            raise InvalidDeltaError(
                "initial must be an integer from 0 to 2**64-1", key=key, objextra=initial
            )
        first = given
    opcode = Opcode.INCREMENT if change >= 0 else Opcode.DECREMENT
    extras = _COUNTER.pack(abs(change), first, expiry)
    return Counter(opcode, defaults, key, timeout, extras, b"", 0, retry_strategy)


get_multi = Multi(Get, get, TTL, "Fetch many documents.", own_kind=GetAndTouch)
upsert_multi = Multi(Upsert, upsert, VALUE, "Store many documents whether they exist or not.")
insert_multi = Multi(Insert, insert, VALUE, "Store many documents that must not exist yet.")
replace_multi = Multi(Replace, replace, VALUE, "Store many documents that must exist.")
append_multi = Multi(Append, append, VALUE, "Put values behind the bytes of many documents.")
prepend_multi = Multi(Prepend, prepend, VALUE, "Put values before the bytes of many documents.")
remove_multi = Multi(Remove, remove, CAS, "Delete many documents.")
touch_multi = Multi(Touch, touch, TTL, "Set the expiry of many documents without reading them.")
counter_multi = Multi(Counter, counter, DELTA, "Change many numbers.", ("initial", "delta", "ttl"))
