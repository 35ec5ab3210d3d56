"""Changing numbers that are stored as decimal text."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, cast

from couchloop.arguments.exact import exact_integer
from couchloop.arguments.expiry import Expiry, exact_expiry, one_expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import InvalidDeltaError, InvalidTtlError, ProtocolError
from couchloop.hot.durable import token_of
from couchloop.hot.frames import Frame
from couchloop.hot.operation import MAX_CAS, Defaults, Key, Operation
from couchloop.hot.result import Result, ValueResult
from couchloop.operations.arguments import rarely
from couchloop.operations.durable import durably
from couchloop.operations.multi import DELTA, Multi
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode

_COUNTER = Struct(">QQI")
_NUMBER = Struct(">Q")
_DO_NOT_CREATE: Final = 0xFFFFFFFF


class Counter(Operation[ValueResult]):
    """INCREMENT 0x05 and DECREMENT 0x06."""

    __slots__ = ()
    name = "counter"

    def decode(self, answer: Frame) -> ValueResult:
        """Read the new number."""
        if len(answer.value) != _NUMBER.size:
            raise ProtocolError("counter: the answer is not a number of 8 bytes", key=self.key)
        token = (
            token_of(self, self.defaults.durable.tokens, answer.extras) if answer.extras else None
        )
        return ValueResult(self.key, int.from_bytes(answer.value), answer.cas, 0, 0, token)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ValueResult(key, None, 0, 0, rc)


@rarely("durability", "persist_to", "replicate_to")
def counter(
    defaults: Defaults,
    key: Key,
    delta: int = 1,
    initial: int | None = None,
    ttl: Expiry = 0,
    *,
    expiry: Expiry | None = None,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Counter:
    """Change a number that is stored as decimal text; the result's `value` is the new number.

    Args:
        delta: what to add; negative: to subtract (never below 0).
        initial: what to store if there is no document. None: do not create it.
        ttl: expiry of a document that is created; 0: never.

    Raises NotFoundError, DeltaBadvalError if the document is not a number, StoreLockedError,
    InvalidDeltaError.
    """
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    change, seconds = exact_integer(delta), exact_expiry(ttl, defaults, key)
    if change is None or not -MAX_CAS <= change <= MAX_CAS:
        raise InvalidDeltaError("delta must be an integer of 64 bits", key=key, objextra=delta)
    if initial is None:
        first, seconds = 0, _DO_NOT_CREATE
    else:
        if seconds == _DO_NOT_CREATE:
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
    extras = _COUNTER.pack(abs(change), first, seconds)
    op = Counter(opcode, defaults, key, timeout, extras, b"", 0, retry_strategy)
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("Counter", durably(op, durability, persist_to, replicate_to, timeout))
    return op


counter_multi = Multi(Counter, counter, DELTA, "Change many numbers.", ("initial", "delta", "ttl"))
