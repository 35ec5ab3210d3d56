"""Documents as queues: JSON arrays that grow at the beginning and are taken from at the end."""

from __future__ import annotations

from typing import Any

from couchloop.arguments.expiry import Expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import (
    CasMismatchError,
    QueueEmpty,
    SubdocPathNotFoundError,
    without_frames,
)
from couchloop.hot.operation import Defaults, Key
from couchloop.hot.result import OperationResult, ValueResult
from couchloop.operations import specs
from couchloop.operations.containers import contention
from couchloop.operations.durable import wanted
from couchloop.operations.procedure import Procedure, Steps, pauses, perform
from couchloop.operations.structures import (
    COUNT,
    Change,
    change_by,
    changed,
    look_by,
    number_of,
    value_of,
)
from couchloop.operations.subdocument import lookup_in, mutate_in
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.retries import RetryStrategy


def queue_push(
    defaults: Defaults,
    key: Key,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Put a value into a queue: at the beginning of the list, as SDK 2.5 does.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_prepend("", value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("queue_push", spec, defaults, key, how, changed, create=create)


def queue_pop(
    defaults: Defaults,
    key: Key,
    *,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Take the oldest value out of a queue; no other caller gets the same.

    An AmbiguousError means that it may be out of the queue.

    Raises QueueEmpty, NotFoundError, ContentionError if others changed the queue before each of
    many tries.
    """
    last_one = specs.get("[-1]")
    first: Any = lookup_in(
        defaults, key, last_one, quiet=False, timeout=timeout, retry_strategy=retry_strategy
    )

    need: Any = wanted(defaults, durability, persist_to, replicate_to, key)

    def steps() -> Steps[ValueResult]:
        step, last = first, None
        for pause in pauses():
            found: SubdocResult = yield step
            try:
                item = value_of(found)
                removal = mutate_in(
                    defaults,
                    key,
                    specs.remove("[-1]"),
                    cas=item.cas,
                    ttl=ttl,
                    preserve_expiry=preserve_expiry,
                    durability=need,
                    retry_strategy=retry_strategy,
                )
                stored: SubdocResult = yield from perform(removal)
            except SubdocPathNotFoundError as error:
                raise QueueEmpty(context=error.context, key=key) from None
            except CasMismatchError as error:
                last = without_frames(error)
            else:
                item.cas, item.token = stored.cas, stored.token
                return item
            yield pause
            step = lookup_in(defaults, key, last_one, quiet=False, retry_strategy=retry_strategy)
        raise contention(last)

    return Procedure("queue_pop", defaults, key, timeout, steps())


def queue_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a queue.

    Raises NotFoundError.
    """
    return look_by("queue_size", COUNT, defaults, key, timeout, retry_strategy, number_of)
