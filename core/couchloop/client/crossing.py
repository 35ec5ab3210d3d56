"""The way of one call between a plain thread and the loop of its Bucket, and back.

A thread hands its operation to the loop and waits on a lock of that one call. Nothing is held
meanwhile, so that the operations of many threads are on their way together, on one connection per
node. Locks and the ways across come from the adapters, as a `Crossing`: the core knows no threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

from couchloop.client.driver import Driver
from couchloop.exceptions import (
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    ErrorContext,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.operation import Defaults, Operation, Pending
from couchloop.hot.request import Request
from couchloop.operations.procedure import Procedure
from couchloop.operations.stream import Pull, Question, Stream
from couchloop.session.health import Waiter
from couchloop.session.session import Session, SessionState

if TYPE_CHECKING:
    from couchloop.management.defaults import BucketDefaults

T = TypeVar("T")

_LOOK: Final = 0.5
"""Seconds between two looks at whether the loop still runs."""

_PATIENCE: Final = 5.0
"""Seconds beyond an operation's own after which the loop counts as standing still."""


class Lock(Protocol):
    """What a thread waits on: a lock that blocks the thread, whatever was patched."""

    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool:
        """Acquire it; return whether that succeeded in time."""

    def release(self) -> None:
        """Release it."""


class Target(Protocol):
    """What a thread's operations are for: a Bucket."""

    _defaults: Defaults

    @property
    def _driver(self) -> Driver:
        """The driver that it has now."""


class BucketTarget(Protocol):
    """Likewise of what is asked about a bucket."""

    _defaults: BucketDefaults

    @property
    def _driver(self) -> Driver:
        """The driver of the loop on which it is asked."""


class Crossing(ABC):
    """The two ways between plain threads and the loop of one Bucket. An adapter brings them."""

    @abstractmethod
    def make_lock(self) -> Lock:
        """Return a new lock."""

    @abstractmethod
    def is_here(self) -> bool:
        """Whether this thread is the loop's."""

    @abstractmethod
    def is_running(self) -> bool:
        """Whether the loop may still do what it is handed; any thread may ask."""

    @abstractmethod
    def thread(self) -> int:
        """Return the number of this thread."""

    @abstractmethod
    def soon(self, call: Callable[[], None]) -> None:
        """Make the loop make a call; any thread may ask."""

    @abstractmethod
    def send(self, call: Call[Any]) -> None:
        """Make the loop run `call.pending`, and tell *call* how it went; any thread may ask."""

    @abstractmethod
    def withdraw(self, call: Call[Any]) -> None:
        """Make the loop cancel *call*, whose thread has gone; any thread may ask."""

    @property
    def plain(self) -> Crossing:
        """The way that waits: this one."""
        return self

    def to(self, driver: Driver) -> Crossing:
        """Return the way to another driver of the same loop."""
        return type(self)(driver)  # type: ignore[call-arg]  # as an adapter's has it

    # What a method calls, in the thread

    def ask(self, about: Stream[Any], question: Callable[[], T]) -> T:
        """Have the loop make a call that does not wait, for *about*; return what it gives."""
        call: Call[T] = Call(cast("Pending[T]", Question(about)), self)

        def answer() -> None:
            if call.given_up:
                return
            try:
                found = question()
            except Exception as error:  # noqa: BLE001 - the thread raises it
                call.fail(error.with_traceback(None))
            else:
                call.succeed(found)

        self.soon(answer)
        return call.wait()

    def check_here(self) -> None:
        """Raise WrongLoopError if this is the thread of the loop."""
        if self.is_here():
            raise WrongLoopError(
                "threadsafe() is for other threads: in the loop's own use the Bucket itself"
            )

    def check(self, session: Session) -> None:
        """Raise why this thread must not hand a call to the loop of *session*, if so."""
        self.check_here()
        if session.state is SessionState.CLOSED:
            # In a forked child the loop is the parent's.
            raise session.failure()
        if not self.is_running():
            raise RequestCanceledError("the loop of the Bucket has stopped: nothing was sent")

    def run(self, pending: Pending[T]) -> T:
        """Make the loop run *pending*, whose owner lives until then; return its result."""
        return self.begin(pending).wait()

    def begin(self, pending: Pending[T]) -> Call[T]:
        """Likewise, and return what waits for its result."""
        try:
            if isinstance(pending, Bulk):
                # Values are encoded here, and not on the loop.
                pending.prepare()
        except BaseException:
            # This frame is part of the traceback, which must not keep the Bucket open.
            pending.owner = None
            raise
        call = Call(pending, self)
        self.send(call)
        return call


class Call(Generic[T]):
    """One operation (or batch) of a thread, on its way to the loop and back.

    Args:
        pending: what is to be done; its owner, the Bucket, lives until that is done.
        crossing: the ways to its loop.
    """

    __slots__ = ("_crossing", "_error", "_lock", "_result", "given_up", "pending", "task")

    def __init__(self, pending: Pending[T], crossing: Crossing) -> None:
        self.pending = pending
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
        self.task = self.pending.owner = None
        self._lock.release()

    # In the thread

    def wait(self, *, at_once: bool = False) -> T:
        """Wait until the loop has done it; return its result, or raise its error.

        Whatever else ends the wait, KeyboardInterrupt for one, cancels the operation. With
        *at_once* there is no time for that: the loop is known to stand still.

        Raises RequestCanceledError if the loop stops meanwhile, TimeoutError (either an
        AmbiguousError where the server may have done it) if it stands still.
        """
        try:
            self._await(at_once=at_once)
        except BaseException:
            self.give_up()
            raise
        error, self._error = self._error, None
        if error is None:
            return cast(T, self._result)
        try:
            raise error
        finally:
            # As in `Operation.result`: it must not point to itself by way of this frame.
            del error

    def give_up(self) -> None:
        """Cancel the operation: nobody waits for it any more."""
        self.given_up = True
        # Here, for a loop that has stopped would keep the Bucket for ever.
        self.pending.owner = None
        self._crossing.withdraw(self)

    def _await(self, *, at_once: bool) -> None:
        limit, is_safe = _nature(self.pending)
        limit = 0.0 if at_once else limit + _PATIENCE
        left, undone = limit, _undone(self.pending)
        while not self._lock.acquire(True, min(_LOOK, left)):
            left -= _LOOK
            if undone != _undone(self.pending):
                # A large batch takes its time, and each slice has its own.
                left, undone = limit, _undone(self.pending)
            if left > 0 and self._crossing.is_running():
                continue
            if self._lock.acquire(False):
                # At the last moment.
                return
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
        context = self._place()
        defaults: Defaults | None = getattr(self.pending.owner, "_defaults", None)
        if defaults is not None and defaults.collection is not None:
            context.scope, context.collection = defaults.collection
        return context

    def _place(self) -> ErrorContext:
        pending = self.pending
        bucket = getattr(pending.owner, "bucket", None)
        if isinstance(pending, Procedure):
            return ErrorContext(pending.name, pending.key, bucket, timeout=pending.timeout)
        if isinstance(pending, Waiter):
            return ErrorContext(pending.limit.name, None, bucket, timeout=pending.timeout)
        if isinstance(pending, Bulk):
            return ErrorContext(pending.kind.name, None, bucket, timeout=pending.timeout)
        first, *others = _operations(pending)
        key = None if others else first.key
        return ErrorContext(first.name, key, bucket, timeout=first.timeout)


def _operations(pending: Pending[Any]) -> Sequence[Request]:
    if isinstance(pending, Waiter):
        return [pending.limit]
    if isinstance(pending, Batch):
        return pending.operations
    return [cast("Operation[Any]", pending)]


def _nature(pending: Pending[Any]) -> tuple[float, bool]:
    """Return the seconds that *pending* has, and whether it changes nothing."""
    if isinstance(pending, Bulk):
        return pending.timeout, pending.kind.idempotent
    if isinstance(pending, Pull):
        return max(pending.timeout, pending.patience), True
    if isinstance(pending, Procedure):
        return pending.timeout, pending.idempotent
    if isinstance(pending, Waiter):
        return pending.timeout, True
    every = _operations(pending)
    return max(op.timeout for op in every), all(op.idempotent for op in every)


def _undone(pending: Pending[Any]) -> int:
    if isinstance(pending, Pull):
        return -pending.answered
    if isinstance(pending, Bulk):
        return pending.remaining
    return -len(pending.results) if isinstance(pending, Batch) else 0
