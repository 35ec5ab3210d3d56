"""Locking documents for a while, and unlocking them."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from couchloop.arguments.exact import is_quiet
from couchloop.arguments.expiry import LockTime, exact_lock_time
from couchloop.exceptions import CouchbaseError, InvalidCasError, LockCasMismatchError
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.result import OperationResult
from couchloop.operations.multi import CAS_OF_LOCK, LOCK_TIME, Multi
from couchloop.operations.reading import Get, reader
from couchloop.retries import RetryStrategy
from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode, Status

_SECONDS: Final = Struct(">I")
_NOT_FOUND_RC: Final = 0x0D


class Lock(Get):
    """GET_LOCKED 0x94: whoever sends it twice has lost the CAS of the first."""

    __slots__ = ()
    name = "lock"
    idempotent = False


class Unlock(Operation[OperationResult]):
    """UNLOCK_KEY 0x95; the answer has no CAS."""

    __slots__ = ()
    name = "unlock"
    final = frozenset({int(Status.LOCKED)})

    def decode(self, answer: Frame) -> OperationResult:
        """Record that it is unlocked."""
        return OperationResult(self.key, 0, rc=_NOT_FOUND_RC if answer.status else 0)

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:
        """See `Operation`: what is locked is so with another CAS."""
        if answer.status != Status.LOCKED:
            return error
        text = "the document is locked, and not with this CAS: give the one of the result of lock"
        return LockCasMismatchError(text, context=error.context)


def lock(
    defaults: Defaults,
    key: Key,
    ttl: LockTime = 0,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Lock:
    """Fetch a document and lock it: until then only who has the result's `cas` can change it.

    A change with that CAS unlocks it, as `unlock` does. While it is locked, others may read it.

    Args:
        ttl: for how many seconds, 1 to 30, or a timedelta. It is no expiry of the document.

    Raises NotFoundError; DocumentLockedError (a TemporaryFailError) if it is locked, unless the
    retry strategy waits for the end of that; InvalidTtlError for another time.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    extras = _SECONDS.pack(exact_lock_time(ttl, key))
    op = Lock(
        Opcode.GET_LOCKED, defaults, key, timeout, extras, b"", 0, retry_strategy, quiet=quietly
    )
    op.transcoder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    return op


def get_and_lock(
    defaults: Defaults,
    key: Key,
    lock_time: LockTime,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Lock:
    """Fetch a document and lock it, as `lock` does: the name that SDK 3 and later have for it.

    Args:
        lock_time: for how many seconds, 1 to 30, or a timedelta.

    Raises what `lock` raises.
    """
    return lock(
        defaults,
        key,
        lock_time,
        no_format=no_format,
        transcoder=transcoder,
        type=type,
        timeout=timeout,
        retry_strategy=retry_strategy,
    )


def unlock(
    defaults: Defaults,
    key: Key,
    cas: int,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Unlock:
    """Unlock a document.

    Args:
        cas: what `lock` gave.

    Raises NotFoundError; LockCasMismatchError (a TemporaryFailError, and a KeyExistsError) if this
    is not the CAS of the lock; DocumentNotLockedError; InvalidCasError without a CAS.
    """
    if cas is None or cas is False or cas == 0:
        raise InvalidCasError("unlock needs the CAS that lock gave", key=key, objextra=cas)
    return Unlock(Opcode.UNLOCK_KEY, defaults, key, timeout, b"", b"", cas, retry_strategy)


lock_multi = Multi(Lock, lock, LOCK_TIME, "Fetch many documents and lock them.")
get_and_lock_multi = Multi(
    Lock, get_and_lock, LOCK_TIME, "Fetch many documents and lock them, as `lock_multi` does."
)
unlock_multi = Multi(Unlock, unlock, CAS_OF_LOCK, "Unlock many documents.")
