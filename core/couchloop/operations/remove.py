"""Deleting documents."""

from __future__ import annotations

from couchloop.arguments.exact import is_quiet
from couchloop.hot.operation import Defaults, Key
from couchloop.operations.multi import CAS, Multi
from couchloop.operations.mutation import Mutation
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode


class Remove(Mutation):
    """DELETE 0x04."""

    __slots__ = ()
    name = "remove"


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
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    return Remove(
        Opcode.DELETE, defaults, key, timeout, b"", b"", cas, retry_strategy, quiet=quietly
    )


remove_multi = Multi(Remove, remove, CAS, "Delete many documents.")
