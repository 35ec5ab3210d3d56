"""Results that come one after the other: a stream, which knows neither loop nor clock.

A stream is pulled: whoever wants the next result asks for it, and only then is more issued. So a
consumer that does not take is all the backpressure there is, and one that stops has nothing to
wait for. What is under way meanwhile is bounded, and so is what is kept of it.

Each wait for a result is a `Pull`, which to a session is a procedure: it has turns in the place
where user code may run. In a turn the stream does one slice of its work (`Stream.slice`): it reads
what was answered, and issues more. What was issued goes on after a pull has ended, so that the next
finds its answers there.

Results that are there are given without a turn. A stream that fails gives what it has before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from couchloop.exceptions import (
    CouchbaseError,
    CouchbaseInternalError,
    ErrorContext,
    own_copy,
    without_frames,
)
from couchloop.hot.operation import named
from couchloop.operations.procedure import Performer, Procedure, Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.hot.operation import Defaults, Operation

T = TypeVar("T")


class _End:
    """What a stream gives when it has no more."""

    def __repr__(self) -> str:
        return "END"


END: Final = _End()

SLICE: Final = 64
"""Results that are read, and operations that are issued, in one turn of the loop."""
_TAKEN: Final = "what this waited for was taken already"


def _nothing() -> Steps[Any]:
    """Return no step: a pull is no generator."""
    return
    yield


class Stream(ABC, Generic[T]):
    """Results that come as their operations are answered.

    Args:
        name: of the method, for errors.
        defaults: the Bucket's.

    Attributes:
        ready: results that nobody has taken yet.

    """

    # How each begins: here, for most of it never changes.
    _is_busy = False
    _is_over = False
    ending: BaseException | None = None
    """Why nothing more is issued, if so: it is raised when all else was taken."""
    _failure: BaseException | None = None
    """The same, once nothing is under way any more."""
    _pause = 0.0
    """Seconds after which a slice can do more, though nothing is answered; 0: none."""
    now = 0.0
    """When the slice that is under way has begun."""
    _has_more = False
    """Whether a slice can do more in the next turn."""
    patience = 0.0
    """Seconds in which something of what is under way ends, at the latest."""
    grace = 0.0
    """Seconds that something may take beyond the time of its operation."""
    answered = 0
    """How many operations have ended."""
    _is_halted = False
    """Whether the session has ended: nothing can be issued any more."""

    def __init__(self, name: str, defaults: Defaults) -> None:
        self.name = name
        self.defaults = defaults
        self.ready: deque[T] = deque()
        self._flying: dict[Operation[Any], None] = {}
        """What is under way."""
        self._finished: list[Operation[Any]] = []
        """What has an answer or an error that was not read yet."""
        self._pulls: dict[Pull[T], None] = {}

    # What a kind of stream does

    @abstractmethod
    def _settle(self, op: Operation[Any]) -> None:
        """Read what became of *op*: user code may run in here."""

    @abstractmethod
    def _feed(self, performer: Performer, now: float) -> None:
        """Issue more, no more than fits into a slice: user code may run in here.

        What it raises ends the stream, once all that is under way was answered and taken.
        """

    @property
    @abstractmethod
    def _is_exhausted(self) -> bool:
        """Whether nothing more is to be issued."""

    def _given(self, item: Any) -> T:
        """Return what is given for one of `ready`."""
        return cast("T", item)

    def _stop(self) -> list[Operation[Any]]:
        """Let go of all: the consumer has stopped. Return what is to be sent for that."""
        return []

    @property
    def is_quick(self) -> bool:
        """Whether the next slice is no work, so that it needs no turn of its own."""
        return False

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._flying and not self._finished

    def _carry_on(self, performer: Performer | None, now: float) -> None:
        """Go on with what was begun, also while the stream ends; no *performer*: let go of it."""

    def _tell(self) -> None:
        """Record that a slice is over: user code may run in here."""

    # What a consumer does

    @property
    def is_over(self) -> bool:
        """Whether it gives no more."""
        return self._is_over and not self.ready and self._failure is None

    @property
    def can_take(self) -> bool:
        """Whether `take` has something to give, be it the end."""
        return bool(self.ready) or self._is_over

    def take(self) -> T | _End:
        """Return the next result, or END; raise what has ended the stream, once."""
        if self.ready:
            return self._given(self.ready.popleft())
        failure, self._failure = self._failure, None
        if failure is None:
            return END
        try:
            raise failure
        finally:
            # What is kept must not come to point to this frame.
            del failure

    def pull(self) -> Pull[T]:
        """Return what waits for the next result: a procedure for the session."""
        return Pull(self)

    def close(self) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
        """Issue no more; return the operations that are to be forgotten, and those to be issued."""
        self._is_over = True
        self._failure = self.ending = None
        self.ready.clear()
        flying = list(self._flying)
        self._flying.clear()
        self._finished.clear()
        for op in flying:
            op.batch = None
        farewells = self._stop()
        self.poke()
        return flying, farewells

    def poke(self) -> None:
        """Let those who wait have a turn."""
        for pull in list(self._pulls):
            pull.ask()

    # What the session does

    def halt(self, error: CouchbaseError) -> None:
        """End with *error*: the session does."""
        self.ending = self.ending or error
        self._is_halted = True

    def member_done(self, op: Operation[Any]) -> bool:
        """See `couchloop.hot.request.Completion`: it is read in a turn."""
        self._flying.pop(op, None)
        self._finished.append(op)
        self.answered += 1
        for pull in self._pulls:
            pull.ask()
        return False

    def slice(self, pull: Pull[T], performer: Performer | None, now: float) -> None:
        """Do one slice for *pull*: user code runs in here.

        Without a *performer* nothing more is issued, for the session takes nothing.
        """
        if self._is_busy or self.can_take:
            return
        self._is_busy = True
        self._pause, self._has_more = 0.0, False
        self.now = now
        try:
            if self._finished:
                for op in self._read():
                    self._attempt(self._settle, op)
            self._attempt(self._carry_on, performer, now)
            if self.ending is None and performer is not None:
                self._attempt(self._feed, performer, now)
            self._attempt(self._tell)
        finally:
            self._is_busy = False
        is_idle = self._is_idle
        if self.ending is not None:
            self._wind_up(performer, now)
            if performer is None or is_idle:
                self._failure, self.ending = self.ending, None
                self._is_over = True
        elif is_idle and self._is_exhausted:
            self._is_over = True
        if self.can_take:
            # This one ends with that, and needs no turn.
            for other in list(self._pulls):
                if other is not pull:
                    other.ask()
        elif self._finished:
            self.poke()
        elif self._has_more:
            pull.ask()
        elif self._pause and performer is not None:
            performer.pause(pull, self._pause, now)

    def conclude(self, pull: Pull[T]) -> None:
        """Do a slice for *pull* that issues nothing; raise if none brings anything to take."""
        if self._is_busy and self.ending is not None:
            # Within the user's own code: what it was about to give is of no use any more.
            ending = self.ending
            raise own_copy(ending) if isinstance(ending, CouchbaseError) else ending
        if self._is_busy or not (self._finished or self.ending):
            raise CouchbaseInternalError(_TAKEN)
        self.slice(pull, None, 0.0)

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        """Make a call that may run user code: whatever it raises ends the stream.

        So whoever waits for a result has it, and neither the loop nor what is under way.
        """
        try:
            call(*arguments)
        except CouchbaseError as error:
            self.ending = self.ending or without_frames(error)
        except BaseException as error:  # noqa: BLE001 - of the user's own code: he is to see it
            self.ending = self.ending or error.with_traceback(None)

    def _wind_up(self, performer: Performer | None, now: float) -> None:
        """Let go of all: the stream fails."""
        for op in self._stop():
            if performer is not None:
                op.batch = Alone()
                performer.begin(op, now)

    def _issue(self, op: Operation[Any], performer: Performer, now: float) -> None:
        """Issue *op* as one of the stream's."""
        op.batch = self
        self._flying[op] = None
        performer.begin(op, now)

    def _read(self) -> list[Operation[Any]]:
        """Return what has finished, as much as fits into a slice."""
        some = self._finished[:SLICE]
        del self._finished[:SLICE]
        return some


class Pull(Procedure[Any], Generic[T]):
    """One wait for the next result of a stream.

    Args:
        stream: that one.
    """

    __slots__ = ("_has_given", "_is_new", "_stream")

    def __init__(self, stream: Stream[T]) -> None:
        defaults = stream.defaults
        super().__init__(stream.name, defaults, "", None, _nothing(), idempotent=True)
        self._stream = stream
        self._is_new = True
        self._has_given = False
        stream._pulls[self] = None  # noqa: SLF001 - the two are one

    @property
    def stream(self) -> Stream[T]:
        """Whose result it waits for."""
        return self._stream

    @property
    def is_ready(self) -> bool:
        """See `Procedure`."""
        return True

    def go_on(self, performer: Performer, now: float) -> bool:
        """See `Procedure`: does one slice, seldom at once, so that the loop goes on between."""
        stream = self._stream
        if self._is_done:
            return False
        if self._is_new and not (stream.can_take or stream.is_quick):
            self._is_new = False
            self.ask()
            return False
        self._is_new = False
        try:
            stream.slice(self, performer, now)
        except BaseException:
            self.let_go()
            raise
        if stream.can_take:
            self.let_go()
            return True
        return False

    def ask(self) -> None:
        """Have a turn."""
        self._ask()

    def awake(self) -> None:
        """See `Procedure`."""
        self._ask()

    def end(self, error: CouchbaseError) -> None:
        """See `Procedure`: the session ends, and so does the stream."""
        self._stream.halt(error)

    def refuse(self, error: CouchbaseError) -> None:
        """See `Procedure`: nothing more can be issued."""
        stream = self._stream
        stream.ending = stream.ending or named(own_copy(error), stream.name)
        self.let_go()

    def let_go(self) -> None:
        """See `Procedure`."""
        self._is_done = True
        self.wants_turn = None
        self._stream._pulls.pop(self, None)  # noqa: SLF001 - the two are one

    @property
    def patience(self) -> float:
        """See `Stream`."""
        return self._stream.patience

    @property
    def answered(self) -> int:
        """See `Stream`."""
        return self._stream.answered

    def result(self) -> Any:
        """Return what `Stream.take` does, once.

        Raises CouchbaseInternalError after that.
        """
        if self._has_given:
            raise CouchbaseInternalError(_TAKEN)
        self._see()
        self._has_given = True
        return self._stream.take()

    def _see(self) -> None:
        """See to it that there is something to take.

        Raises CouchbaseInternalError if it was taken already.
        """
        stream = self._stream
        while not stream.can_take:
            # It was refused: what is answered already is all that there will be.
            stream.conclude(self)


class Look(Pull[T]):
    """Likewise a wait, for who takes in another place: it takes nothing by itself."""

    __slots__ = ()

    def result(self) -> None:  # type: ignore[override]  # as with `Procedure`
        """Return once there is something to take."""
        self._see()


class Cancelled(Procedure[None]):
    """What is handed to a session to be forgotten: what was under way in a stream.

    Args:
        stream: which has ended.
        operations: of it.
    """

    __slots__ = ()

    def __init__(self, stream: Stream[Any], operations: list[Operation[Any]]) -> None:
        super().__init__(stream.name, stream.defaults, "", None, _nothing(), idempotent=True)
        self.operations = operations


class Question(Procedure[Any]):
    """What a thread waits for where it has the loop make a call for a stream.

    Args:
        stream: that one.
    """

    __slots__ = ()

    def __init__(self, stream: Stream[Any]) -> None:
        super().__init__(stream.name, stream.defaults, "", None, _nothing(), idempotent=True)


class Alone:
    """Takes note of the end of an operation for which nobody waits.

    Args:
        then: is called with it.
    """

    __slots__ = ("_then",)

    def __init__(self, then: Callable[[Operation[Any]], None] | None = None) -> None:
        self._then = then

    def member_done(self, op: Operation[Any]) -> bool:
        """See `couchloop.hot.request.Completion`."""
        if self._then is not None:
            self._then(op)
        return False


def failed(error: CouchbaseError, name: str, key: Any) -> CouchbaseError:
    """Return *error* as what a stream's result has: it names the operation, and no result."""
    own = without_frames(error)
    own.key = key
    own.result = None
    own.all_results = None
    if own.context is None:
        own.context = ErrorContext(operation=name, key=key)
    elif own.context.operation is None:
        own.context.operation = name
    return own
