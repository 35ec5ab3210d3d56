"""Deleting documents."""

from __future__ import annotations

from typing import cast

from couchloop.arguments.exact import is_quiet
from couchloop.durability import DurabilityType
from couchloop.hot.operation import Defaults, Key
from couchloop.operations.arguments import rarely
from couchloop.operations.durable import durably
from couchloop.operations.multi import CAS, Multi
from couchloop.operations.mutation import Mutation
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode


class Remove(Mutation):
    """DELETE 0x04."""

    __slots__ = ()
    name = "remove"


@rarely("durability", "persist_to", "replicate_to")
def remove(
    defaults: Defaults,
    key: Key,
    cas: int = 0,
    quiet: bool | None = None,
    persist_to: int = 0,
    replicate_to: int = 0,
    *,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Remove:
    """Delete a document.

    Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    op = Remove(Opcode.DELETE, defaults, key, timeout, b"", b"", cas, retry_strategy, quiet=quietly)
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Remove", durably(op, durability, persist_to, replicate_to, timeout))
    return op


remove_multi = Multi(Remove, remove, CAS, "Delete many documents.")
