"""Documents as lists: JSON arrays."""

from __future__ import annotations

from typing import Any

from couchloop.arguments.expiry import Expiry
from couchloop.durability import DurabilityType
from couchloop.hot.operation import Defaults, Key
from couchloop.hot.result import OperationResult, ValueResult
from couchloop.operations import specs
from couchloop.operations.procedure import Procedure
from couchloop.operations.structures import (
    COUNT,
    Change,
    change_by,
    changed,
    element_path,
    look_by,
    number_of,
    value_of,
)
from couchloop.retries import RetryStrategy


def list_append(
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
    """Put a value behind the last one of a list.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_append("", value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("list_append", spec, defaults, key, how, changed, create=create)


def list_prepend(
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
    """Put a value before the first one of a list.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_prepend("", value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("list_prepend", spec, defaults, key, how, changed, create=create)


def list_set(
    defaults: Defaults,
    key: Key,
    index: int,
    value: Any,
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
    """Store a value in the place of another one of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
    """
    spec = specs.replace(element_path(index, "list_set", key), value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("list_set", spec, defaults, key, how, changed)


def list_get(
    defaults: Defaults,
    key: Key,
    index: int,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Read a value of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError.
    """
    spec = specs.get(element_path(index, "list_get", key))
    return look_by("list_get", spec, defaults, key, timeout, retry_strategy, value_of)


def list_remove(
    defaults: Defaults,
    key: Key,
    index: int,
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
    """Remove a value of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
    """
    spec = specs.remove(element_path(index, "list_remove", key))
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("list_remove", spec, defaults, key, how, changed)


def list_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a list.

    Raises NotFoundError.
    """
    return look_by("list_size", COUNT, defaults, key, timeout, retry_strategy, number_of)
