"""Storing documents: upsert, insert, replace."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, TypeVar, cast

from couchloop.arguments.exact import exact_bytes, is_true
from couchloop.arguments.expiry import Expiry, exact_expiry, one_expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import ArgumentError
from couchloop.hot.encoding import (
    MAX_VALUE,
    not_a_value,
    not_encoded,
    too_big,
    value_transcoder_of,
)
from couchloop.hot.operation import Defaults, Key
from couchloop.operations.arguments import rarely
from couchloop.operations.durable import durably
from couchloop.operations.multi import VALUE, Multi
from couchloop.operations.mutation import Mutation
from couchloop.retries import RetryStrategy
from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode
from couchloop.wire.framing import encode_framing

# Plain integers: a member of an enumeration costs more, where it is named and where it is compared.
_SET: Final = int(Opcode.SET)
_ADD: Final = int(Opcode.ADD)
_REPLACE: Final = int(Opcode.REPLACE)
_STORE = Struct(">II")
_NEVER: Final = bytes(4)
PRESERVE_EXPIRY: Final = encode_framing([(5, b"")])
M = TypeVar("M", bound=Mutation)


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


def usual_upsert(
    key: Key,
    value: Any,
    defaults: Defaults,
    cas: int,
    ttl: Expiry,
    format: int | None,  # noqa: A002 - 2.5's name
    timeout: float | None,
) -> Upsert:
    """Return what `upsert` builds of these arguments alone, in less time."""
    coder = defaults.transcoder
    op = _store(Upsert, _SET, defaults, key, value, cas, ttl, format, coder, timeout, None)
    if defaults.durable.has_blocks:
        return cast("Upsert", durably(op, None, 0, 0, timeout))
    return op


@rarely(
    "expiry",
    "transcoder",
    "preserve_expiry",
    "retry_strategy",
    "durability",
    "persist_to",
    "replicate_to",
    usual=usual_upsert,
)
def upsert(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    ttl: Expiry = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    expiry: Expiry | None = None,
    transcoder: Transcoder | type[Transcoder] | None = None,
    preserve_expiry: bool = False,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Upsert:
    """Store a document whether it exists or not.

    Args:
        preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that of
            one that does not.

    Raises CasMismatchError (a KeyExistsError), NotFoundError if *cas* is given and there is no
    document, StoreLockedError, TooBigError.
    """
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    coder = defaults.transcoder if transcoder is None else value_transcoder_of(transcoder, key)
    op = _store(
        Upsert,
        _SET,
        defaults,
        key,
        value,
        cas,
        ttl,
        format,
        coder,
        timeout,
        retry_strategy,
    )
    if preserve_expiry and is_true(preserve_expiry, "preserve_expiry", key):
        op.framing = PRESERVE_EXPIRY
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Upsert", durably(op, durability, persist_to, replicate_to, timeout))
    return op


def usual_insert(
    key: Key,
    value: Any,
    defaults: Defaults,
    ttl: Expiry,
    format: int | None,  # noqa: A002 - 2.5's name
    timeout: float | None,
) -> Insert:
    """Return what `insert` builds of these arguments alone, in less time."""
    coder = defaults.transcoder
    op = _store(Insert, _ADD, defaults, key, value, 0, ttl, format, coder, timeout, None)
    if defaults.durable.has_blocks:
        return cast("Insert", durably(op, None, 0, 0, timeout))
    return op


@rarely(
    "expiry",
    "transcoder",
    "retry_strategy",
    "durability",
    "persist_to",
    "replicate_to",
    usual=usual_insert,
)
def insert(
    defaults: Defaults,
    key: Key,
    value: Any,
    ttl: Expiry = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    expiry: Expiry | None = None,
    transcoder: Transcoder | type[Transcoder] | None = None,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Insert:
    """Store a document that must not exist yet.

    Raises DocumentExistsError (a KeyExistsError), TooBigError.
    """
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    coder = defaults.transcoder if transcoder is None else value_transcoder_of(transcoder, key)
    op = _store(
        Insert,
        _ADD,
        defaults,
        key,
        value,
        0,
        ttl,
        format,
        coder,
        timeout,
        retry_strategy,
    )
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Insert", durably(op, durability, persist_to, replicate_to, timeout))
    return op


def usual_replace(
    key: Key,
    value: Any,
    defaults: Defaults,
    cas: int,
    ttl: Expiry,
    format: int | None,  # noqa: A002 - 2.5's name
    timeout: float | None,
) -> Replace:
    """Return what `replace` builds of these arguments alone, in less time."""
    coder = defaults.transcoder
    op = _store(Replace, _REPLACE, defaults, key, value, cas, ttl, format, coder, timeout, None)
    if defaults.durable.has_blocks:
        return cast("Replace", durably(op, None, 0, 0, timeout))
    return op


@rarely(
    "expiry",
    "transcoder",
    "preserve_expiry",
    "retry_strategy",
    "durability",
    "persist_to",
    "replicate_to",
    usual=usual_replace,
)
def replace(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    ttl: Expiry = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    expiry: Expiry | None = None,
    transcoder: Transcoder | type[Transcoder] | None = None,
    preserve_expiry: bool = False,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Replace:
    """Store a document that must exist.

    Args:
        preserve_expiry: leave its expiry as it is.

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError, TooBigError;
    ArgumentError for an expiry together with *preserve_expiry*.
    """
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    coder = defaults.transcoder if transcoder is None else value_transcoder_of(transcoder, key)
    op = _store(
        Replace,
        _REPLACE,
        defaults,
        key,
        value,
        cas,
        ttl,
        format,
        coder,
        timeout,
        retry_strategy,
    )
    if preserve_expiry and is_true(preserve_expiry, "preserve_expiry", key):
        if op.extras[4:] != _NEVER:
            text = "give an expiry, or preserve_expiry=True: a document that is replaced has one"
            raise ArgumentError(text, key=key)
        op.framing = PRESERVE_EXPIRY
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Replace", durably(op, durability, persist_to, replicate_to, timeout))
    return op


def _store(
    kind: type[M],
    opcode: int,
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int,
    ttl: Expiry,
    format: int | None,  # noqa: A002 - 2.5's name
    coder: Transcoder,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> M:
    seconds = exact_expiry(ttl, defaults, key) if ttl != 0 else 0
    try:
        made = coder.encode_value(value, defaults.format if format is None else format)
    except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
        not_encoded(error, "encode_value", kind.name, key)
    try:
        encoded, flags = made
        extras = _STORE.pack(flags, seconds)
        if type(encoded) is not bytes:
            encoded = exact_bytes(encoded)
    except Exception as error:
        raise not_a_value(made, error, kind.name, key) from error
    if len(encoded) > MAX_VALUE:
        raise too_big(kind.name, key)
    return kind(opcode, defaults, key, timeout, extras, encoded, cas, retry_strategy)


upsert_multi = Multi(Upsert, upsert, VALUE, "Store many documents whether they exist or not.")
insert_multi = Multi(Insert, insert, VALUE, "Store many documents that must not exist yet.")
replace_multi = Multi(Replace, replace, VALUE, "Store many documents that must exist.")
