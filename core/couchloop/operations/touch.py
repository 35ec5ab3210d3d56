"""Setting the expiry of documents without reading them."""

from __future__ import annotations

from struct import Struct

from couchloop.arguments.expiry import Expiry, exact_expiry, one_expiry
from couchloop.hot.operation import Defaults, Key
from couchloop.operations.multi import TTL, Multi
from couchloop.operations.mutation import Mutation
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode

_EXPIRY = Struct(">I")


class Touch(Mutation):
    """TOUCH 0x1c."""

    __slots__ = ()
    name = "touch"


def touch(
    defaults: Defaults,
    key: Key,
    ttl: Expiry = 0,
    *,
    expiry: Expiry | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Touch:
    """Set a document's expiry without reading it.

    Raises NotFoundError, DocumentLockedError.
    """
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    extras = _EXPIRY.pack(exact_expiry(ttl, defaults, key))
    return Touch(Opcode.TOUCH, defaults, key, timeout, extras, b"", 0, retry_strategy)


touch_multi = Multi(Touch, touch, TTL, "Set the expiry of many documents without reading them.")
