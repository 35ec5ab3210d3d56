"""Calls of plain threads on a Bucket whose loop runs in another: `bucket.threadsafe()`.

A thread hands its operation to the loop and waits on a lock of that one call. Nothing is held
meanwhile, so that the operations of many threads are on their way together, on one connection per
node. Locks and the ways across come from the adapters, as a `Crossing`: the core knows no threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar, cast

from couchloop import health, operations
from couchloop.cluster import BucketBase, as_method
from couchloop.exceptions import (
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    ErrorContext,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.operations import Batch, Defaults, Operation, Pending
from couchloop.session import Session, SessionState

P = ParamSpec("P")
T = TypeVar("T")

_LOOK: Final = 0.5
"""Seconds between two looks at whether the loop still runs."""

_PATIENCE: Final = 5.0
"""Seconds beyond an operation's own after which the loop counts as standing still."""


class Lock(Protocol):
    """What a thread waits on: a lock that blocks the thread, whatever was patched."""

    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool:
        """Take it; give whether that succeeded in time."""

    def release(self) -> None:
        """Let it go."""


class Crossing(ABC):
    """The two ways between plain threads and the loop of one Bucket. An adapter brings them."""

    @abstractmethod
    def make_lock(self) -> Lock:
        """Give a new lock."""

    @abstractmethod
    def is_here(self) -> bool:
        """Tell whether this thread is the loop's."""

    @abstractmethod
    def is_running(self) -> bool:
        """Tell whether the loop may still do what it is handed; any thread may ask."""

    @abstractmethod
    def send(self, call: Call[Any]) -> None:
        """Have the loop run `call.pending`, and tell *call* how it went; any thread may ask."""

    @abstractmethod
    def withdraw(self, call: Call[Any]) -> None:
        """Have the loop cancel *call*, whose thread has gone; any thread may ask."""


class Call(Generic[T]):
    """One operation (or batch) of a thread, on its way to the loop and back.

    Args:
        pending: what is to be done.
        owner: the Bucket: it lives until that is done.
        crossing: the ways to its loop.
    """

    __slots__ = ("_crossing", "_error", "_lock", "_result", "given_up", "owner", "pending", "task")

    def __init__(self, pending: Pending[T], owner: object, crossing: Crossing) -> None:
        self.pending = pending
        self.owner: object = owner
        self.given_up = False
        """The thread does not wait any more."""
        self.task: Any = None
        """What the loop is to cancel then."""
        self._crossing = crossing
        self._result: T | None = None
        self._error: BaseException | None = None
        self._lock = crossing.make_lock()
        self._lock.acquire()

    # On the loop

    def succeed(self, result: T) -> None:
        """Hand *result* to the thread."""
        self._result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """Hand *error* to the thread, which raises it."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self.owner = self.task = None
        self._lock.release()

    # In the thread

    def wait(self) -> T:
        """Wait until the loop has done it; give its result, or raise its error.

        Whatever else ends the wait, KeyboardInterrupt for one, cancels the operation.

        Raises RequestCanceledError if the loop stops meanwhile, TimeoutError (either an
        AmbiguousError where the server may have done it) if it stands still.
        """
        try:
            self._await()
        except BaseException:
            self.given_up = True
            # Here, for a loop that has stopped would keep the Bucket for ever.
            self.owner = self.pending.owner = None
            self._crossing.withdraw(self)
            raise
        error, self._error = self._error, None
        if error is None:
            return cast(T, self._result)
        try:
            raise error
        finally:
            # As in `Operation.result`: it must not point to itself by way of this frame.
            del error

    def _await(self) -> None:
        every = _operations(self.pending)
        limit = max(op.timeout for op in every) + _PATIENCE
        left = limit
        while not self._lock.acquire(True, min(_LOOK, left)):
            left -= _LOOK
            if left > 0 and self._crossing.is_running():
                continue
            if self._lock.acquire(False):
                # At the last moment.
                return
            is_safe = all(op.idempotent for op in every)
            if left > 0:
                stopped = RequestCanceledError if is_safe else AmbiguousRequestCanceledError
                raise stopped("the loop of the Bucket has stopped", context=self._context())
            late = UnambiguousTimeoutError if is_safe else AmbiguousTimeoutError
            raise late(
                "the loop of the Bucket did not answer in time: was it started, and does nothing "
                "block it?",
                context=self._context(),
            )

    def _context(self) -> ErrorContext:
        first, *others = _operations(self.pending)
        bucket = self.owner.bucket if isinstance(self.owner, BucketBase) else None
        key = None if others else first.key
        return ErrorContext(first.name, key, bucket, timeout=first.timeout)


def _operations(pending: Pending[Any]) -> list[Operation[Any]]:
    return pending.operations if isinstance(pending, Batch) else [cast("Operation[Any]", pending)]


def _blocking(
    build: Callable[Concatenate[Defaults, P], Pending[T]],
) -> Callable[Concatenate[ThreadSafeBucket, P], T]:
    """Make the method that runs what *build* builds, and blocks its thread alone."""

    def method(self: ThreadSafeBucket, /, *args: P.args, **kwargs: P.kwargs) -> T:
        bucket = self._bucket
        # Each time, for in a forked child the Bucket has another driver.
        crossing = self._cross(bucket._driver)  # noqa: SLF001 - as the Bucket's own methods
        # This frame is part of every error's traceback, which must not keep the Bucket open.
        del self
        try:
            _check(crossing, bucket._driver.session)  # noqa: SLF001 - likewise
            pending = build(bucket._defaults, *args, **kwargs)  # noqa: SLF001 - likewise
            call = Call(pending, bucket, crossing)
        finally:
            del bucket
        crossing.send(call)
        return call.wait()

    return as_method(method, build, "{}")


def _check(crossing: Crossing, session: Session) -> None:
    """Raise why a thread must not hand a call to the loop, if so."""
    if crossing.is_here():
        raise WrongLoopError(
            "threadsafe() is for other threads: in the loop's own use the Bucket itself"
        )
    if session.state is SessionState.CLOSED:
        # In a forked child the loop is the parent's.
        raise session.failure()
    if not crossing.is_running():
        raise RequestCanceledError("the loop of the Bucket has stopped: nothing was sent")


class ThreadSafeBucket:
    """The operations of a Bucket for any number of plain threads; each call blocks its thread.

    `bucket.threadsafe()` makes it, in the loop's thread; it may be used in all others, and keeps
    the Bucket open. Values are encoded in the calling thread and decoded in the loop's: a
    transcoder of your own must bear that.

    A call takes the Bucket's arguments, gives its results and raises its errors. It never hangs:
    where the loop stops, RequestCanceledError tells so, and where it stands still for five seconds
    longer than the operation had, TimeoutError. A thread that is interrupted cancels its operation.

    In the thread of the loop itself every call raises WrongLoopError: it would wait for itself.
    """

    def __init__(self, bucket: BucketBase, cross: Callable[[Any], Crossing]) -> None:
        self._bucket = bucket
        self._cross = cross

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._bucket!r}>"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket.bucket

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._bucket.connected

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._bucket.closed

    get = _blocking(operations.get)
    upsert = _blocking(operations.upsert)
    insert = _blocking(operations.insert)
    replace = _blocking(operations.replace)
    append = _blocking(operations.append)
    prepend = _blocking(operations.prepend)
    remove = _blocking(operations.remove)
    touch = _blocking(operations.touch)
    counter = _blocking(operations.counter)

    ping = _blocking(health.ping)
    wait_until_ready = _blocking(health.wait_until_ready)

    get_multi = _blocking(operations.get_multi)
    upsert_multi = _blocking(operations.upsert_multi)
    insert_multi = _blocking(operations.insert_multi)
    replace_multi = _blocking(operations.replace_multi)
    append_multi = _blocking(operations.append_multi)
    prepend_multi = _blocking(operations.prepend_multi)
    remove_multi = _blocking(operations.remove_multi)
    touch_multi = _blocking(operations.touch_multi)
    counter_multi = _blocking(operations.counter_multi)
