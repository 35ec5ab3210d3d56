"""Documents as sets: JSON arrays in which no value is twice."""

from __future__ import annotations

from typing import Any

from couchloop.arguments.expiry import Expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import (
    CasMismatchError,
    without_frames,
)
from couchloop.hot.operation import Defaults, Key
from couchloop.hot.result import OperationResult
from couchloop.operations import specs
from couchloop.operations.containers import contention, read, whole
from couchloop.operations.durable import wanted
from couchloop.operations.procedure import Procedure, Steps, pauses
from couchloop.operations.structures import (
    COUNT,
    Change,
    added,
    change_by,
    changed,
    index_of,
    look_by,
    number_of,
)
from couchloop.operations.subdocument import lookup_in, mutate_in
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.retries import RetryStrategy


def set_add(
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
) -> Procedure[OperationResult | None]:
    """Put a value into a set; None is given if it is there.

    Args:
        value: a text, a number, True, False or None.
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list of such
    values, SubdocCantInsertValueError for a list or dict, CasMismatchError.
    """
    spec = specs.array_addunique("", value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("set_add", spec, defaults, key, how, added, create=create)


def set_remove(
    defaults: Defaults,
    key: Key,
    value: Any,
    *,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult | None]:
    """Remove a value of a set; None is given if it is not there.

    Args:
        value: what to remove; 1, 1.0 and True are three values.

    Raises NotFoundError, SubdocPathMismatchError if the document is no list, ContentionError if
    others changed it before each of many tries.
    """
    first: Any = lookup_in(
        defaults, key, specs.get(""), quiet=False, timeout=timeout, retry_strategy=retry_strategy
    )

    need: Any = wanted(defaults, durability, persist_to, replicate_to, key)

    def steps() -> Steps[OperationResult | None]:
        step, last = first, None
        for pause in pauses():
            found: SubdocResult = yield step
            place = index_of(whole(found, list), value)
            if place is None:
                return None
            removal = mutate_in(
                defaults,
                key,
                specs.remove(specs.path(place)),
                cas=found.cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                durability=need,
                retry_strategy=retry_strategy,
            )
            try:
                return (yield from changed(removal))
            except CasMismatchError as error:
                last = without_frames(error)
            yield pause
            step = lookup_in(
                defaults, key, specs.get(""), quiet=False, retry_strategy=retry_strategy
            )
        raise contention(last)

    return Procedure("set_remove", defaults, key, timeout, steps())


def set_contains(
    defaults: Defaults,
    key: Key,
    value: Any,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[bool]:
    """Return whether a value is in a set.

    Args:
        value: what to look for; 1, 1.0 and True are three values.

    Raises NotFoundError, SubdocPathMismatchError if the document is no list.
    """
    return read(
        "set_contains",
        lambda values: index_of(values, value) is not None,
        list,
        defaults,
        key,
        missing_is_empty=False,
        timeout=timeout,
        retry_strategy=retry_strategy,
    )


def set_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a set.

    Raises NotFoundError.
    """
    return look_by("set_size", COUNT, defaults, key, timeout, retry_strategy, number_of)
