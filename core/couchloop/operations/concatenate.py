"""Adding to a document's bytes without reading them: append, prepend."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from couchloop.arguments.exact import exact_bytes
from couchloop.durability import DurabilityType
from couchloop.exceptions import ArgumentError
from couchloop.hot.batch import Batch
from couchloop.hot.encoding import MAX_VALUE, Passthrough, not_a_value, not_encoded, too_big
from couchloop.hot.operation import Defaults, Key
from couchloop.hot.result import OperationResult
from couchloop.operations.arguments import rarely
from couchloop.operations.durable import durably
from couchloop.operations.items import ItemCollection, check_fragments
from couchloop.operations.multi import VALUE, Multi
from couchloop.operations.mutation import Mutation
from couchloop.retries import RetryStrategy
from couchloop.transcoder import FMT_BYTES, FMT_UTF8, OneWayTranscoder
from couchloop.wire import Opcode

M = TypeVar("M", bound=Mutation)


class Append(Mutation):
    """APPEND 0x0e."""

    __slots__ = ()
    name = "append"


class Prepend(Mutation):
    """PREPEND 0x0f."""

    __slots__ = ()
    name = "prepend"


@rarely("durability", "persist_to", "replicate_to")
def append(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    durability: DurabilityType | None = None,
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
    op = _concatenate(
        Append, Opcode.APPEND, defaults, key, value, cas, format, timeout, retry_strategy
    )
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Append", durably(op, durability, persist_to, replicate_to, timeout))
    return op


@rarely("durability", "persist_to", "replicate_to")
def prepend(
    defaults: Defaults,
    key: Key,
    value: Any,
    cas: int = 0,
    format: int | None = None,  # noqa: A002 - 2.5's name
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    durability: DurabilityType | None = None,
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
    op = _concatenate(
        Prepend, Opcode.PREPEND, defaults, key, value, cas, format, timeout, retry_strategy
    )
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Prepend", durably(op, durability, persist_to, replicate_to, timeout))
    return op


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
    transcoder: Any = defaults.transcoder
    if isinstance(transcoder, Passthrough):
        transcoder = transcoder.behind
    encode = transcoder.encode_value
    if isinstance(transcoder, OneWayTranscoder):
        # It would write text as JSON, in quotes.
        encode = super(OneWayTranscoder, transcoder).encode_value
    try:
        made = encode(value, format)
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


append_multi = Multi(Append, append, VALUE, "Put values behind the bytes of many documents.")
prepend_multi = Multi(Prepend, prepend, VALUE, "Put values before the bytes of many documents.")


def append_items(
    defaults: Defaults,
    items: ItemCollection,
    *,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Put the `fragment` of each item behind its document's bytes, and behind the item's value.

    Args:
        items: an ItemOptionDict, whose items have the option `fragment`.
        timeout: seconds that each operation has from its issue on. None: as the Bucket says.

    Raises what `append_multi` raises; ArgumentError for an item without a fragment.
    """
    check_fragments(items)
    return append_multi(
        defaults,
        items,
        persist_to=persist_to,
        replicate_to=replicate_to,
        durability=durability,
        timeout=timeout,
        retry_strategy=retry_strategy,
    )


def prepend_items(
    defaults: Defaults,
    items: ItemCollection,
    *,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Batch[OperationResult]:
    """Put the `fragment` of each item before its document's bytes, and before the item's value.

    Args:
        items: an ItemOptionDict, whose items have the option `fragment`.
        timeout: seconds that each operation has from its issue on. None: as the Bucket says.

    Raises what `prepend_multi` raises; ArgumentError for an item without a fragment.
    """
    check_fragments(items)
    return prepend_multi(
        defaults,
        items,
        persist_to=persist_to,
        replicate_to=replicate_to,
        durability=durability,
        timeout=timeout,
        retry_strategy=retry_strategy,
    )
