"""Documents as maps: JSON objects whose members have names of any text."""

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
    look_by,
    member_path,
    number_of,
    value_of,
)
from couchloop.retries import RetryStrategy


def map_add(
    defaults: Defaults,
    key: Key,
    mapkey: str,
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
    """Store a value in a map, whether its key is there or not.

    Args:
        mapkey: its key in the map, any text but the empty one.
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no map,
    CasMismatchError.
    """
    spec = specs.upsert(member_path(mapkey, "map_add", key), value)
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("map_add", spec, defaults, key, how, changed, create=create)


def map_get(
    defaults: Defaults,
    key: Key,
    mapkey: str,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Read a value of a map.

    Args:
        mapkey: its key in the map.

    Raises ElementNotFoundError (an IndexError, as in SDK 2.5, and a KeyError), NotFoundError.
    """
    spec = specs.get(member_path(mapkey, "map_get", key))
    return look_by("map_get", spec, defaults, key, timeout, retry_strategy, value_of)


def map_remove(
    defaults: Defaults,
    key: Key,
    mapkey: str,
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
    """Remove a value of a map.

    Args:
        mapkey: its key in the map.

    Raises ElementNotFoundError (an IndexError and a KeyError), NotFoundError, CasMismatchError.
    """
    spec = specs.remove(member_path(mapkey, "map_remove", key))
    how = Change(
        cas, ttl, preserve_expiry, durability, persist_to, replicate_to, timeout, retry_strategy
    )
    return change_by("map_remove", spec, defaults, key, how, changed)


def map_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a map.

    Raises NotFoundError.
    """
    return look_by("map_size", COUNT, defaults, key, timeout, retry_strategy, number_of)
