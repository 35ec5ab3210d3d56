"""Operations that follow each other: a procedure, as a generator that asks for one after another.

A procedure is written in blocking style, and knows neither loop nor clock::

    def _double(defaults: Defaults, key: Key) -> Steps[OperationResult]:
        for pause in pauses():
            found = yield get(defaults, key)
            try:
                return (yield replace(defaults, key, 2 * found.value, found.cas))
            except CasMismatchError:
                yield pause
        raise ContentionError

It yields operations, a `ServiceRequest` (for a service, by HTTP), `Together` (several at once), a
`Pause`, `Again` or `Within`, is given what became of them, and returns what its caller is to have.
A session carries it out (`couchloop.session.procedures`), so that it is the same on both loops and
for threads. All its steps share the time that its caller gives, unless it says `Within`; what is
cancelled ends at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, Self, TypeVar, cast

from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    UnambiguousTimeoutError,
    caused,
    own_copy,
    without_frames,
)
from couchloop.hot.batch import Batch
from couchloop.hot.encoding import about
from couchloop.hot.operation import CollectionName, Defaults, Key, Operation
from couchloop.hot.result import OperationResult
from couchloop.http.service import ServiceAnswer, ServiceRequest
from couchloop.operations.service_call import ServiceCall, Watch, pause_by
from couchloop.retries import RetryRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.retries import RetryReason

T = TypeVar("T")

TRIES: Final = 100
"""How often a document that others keep changing is read anew before that is given up."""
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_LONGEST_OF_SERVICES: Final = 0.5


class Pause(NamedTuple):
    """A step: wait. Half of the time is random, so that those who collide do not do so again."""

    seconds: float
    """At most."""


class Together(NamedTuple):
    """A step: operations that are issued at once.

    Each has its own outcome in the list that is given: its result, or its exception. None: it was
    not waited for.
    """

    operations: Sequence[Operation[Any] | ServiceRequest]
    is_race: bool = False
    """Whether the first success is enough; the others are cancelled then."""
    group: int = 0
    """If not 0, so many that follow each other are a race of their own."""


class Again(NamedTuple):
    """A step: wait, and then ask a service anew what it has refused for now; or raise the error.

    That is for the retry strategy to say, if one is to be asked.
    """

    error: CouchbaseError
    reason: RetryReason
    attempts: int
    """How often it was asked."""
    seconds: float
    """At most, where no strategy is asked."""


class Within(NamedTuple):
    """A step: what follows has so much time of its own, whatever was left before."""

    seconds: float


Step = Operation[Any] | ServiceRequest | Together | Pause | Again | Within
Steps = Generator[Step, Any, T]
"""What a procedure is written as."""


class Performer(Protocol):
    """What a procedure needs of its session."""

    def begin(self, op: Operation[Any], now: float) -> None:
        """Issue *op*."""

    def ask(self, call: ServiceCall, now: float) -> None:
        """Issue a request to a service."""

    def resume(self, call: ServiceCall, now: float) -> None:
        """Have more read of an answer whose sink had enough."""

    def give_up(self, call: ServiceCall) -> None:
        """Forget a request to a service: its answer is of no use."""

    def pause(self, procedure: Procedure[Any], seconds: float, now: float) -> None:
        """Run *procedure* again after about so many seconds."""


class Procedure(Batch[Any], Generic[T]):
    """A procedure that is being carried out.

    Args:
        name: of the method, for errors.
        defaults: the Bucket's.
        key: of the document; None: it is about none.
        timeout: seconds for all of it; None: as the Bucket says.
        steps: what to do. User code may run in it: in turns alone.
        idempotent: whether it changes nothing.
    """

    __slots__ = (
        "_collection",
        "_deadline",
        "_failure",
        "_is_busy",
        "_is_done",
        "_is_paused",
        "_last",
        "_lost",
        "_outcome",
        "_steps",
        "_together",
        "_value",
        "broken",
        "defaults",
        "idempotent",
        "key",
        "name",
        "timeout",
        "wants_turn",
        "watch",
    )

    def __init__(
        self,
        name: str,
        defaults: Defaults,
        key: Key | None,
        timeout: float | None,
        steps: Steps[T],
        *,
        idempotent: bool = False,
    ) -> None:
        super().__init__([])
        self.name = name
        self.defaults = defaults
        self.watch: Watch | None = None
        """Who is told of what it asks services; None: nobody wants to know."""
        self.key = key
        self.timeout = defaults.timeout if timeout is None else exact_seconds(timeout, key)
        self.idempotent = idempotent
        self._collection = defaults.collection
        self.broken: BaseException | None = None
        """What the user's own code has raised in it."""
        self.wants_turn: Callable[[Procedure[Any]], None] | None = None
        """Asks the session for a turn, once the step that is under way is complete."""
        self._steps: Steps[T] | None = steps
        self._deadline = 0.0
        self._together: Together | None = None
        self._is_paused = False
        self._is_busy = False
        self._is_done = False
        self._outcome: Any = None
        self._failure: CouchbaseError | None = None
        self._last: CouchbaseError | None = None
        """What its steps met last: the cause, should its time run out."""
        self._value: Any = None
        self._lost: set[int] = set()
        """Places of operations whose race is over."""

    @property
    def done(self) -> bool:
        """Whether it is complete."""
        return self._is_done

    @property
    def collection(self) -> CollectionName | None:
        """Of the documents that it is about; None: the default one, or it is about none."""
        return self._collection

    def rescue(self, kind: type[CouchbaseError], instead: Callable[[], T]) -> Self:
        """Have it give what *instead* gives where it would raise a *kind*; return it."""
        assert self._steps is not None
        self._steps = _rescued(self._steps, kind, instead)
        return self

    @property
    def is_ready(self) -> bool:
        """Whether the step that was under way is complete, if there was one."""
        return not self.remaining and not self._is_paused

    def refuse(self, error: CouchbaseError) -> None:
        """Be one that has failed before it began."""
        self.error = self._own(error)
        self.let_go()

    def start(self, now: float) -> None:
        """Record that its time begins."""
        self._deadline = now + self.timeout

    def awake(self) -> None:
        """Record that its pause is over."""
        self._is_paused = False
        self._ask()

    def end(self, error: CouchbaseError) -> None:
        """Make its pause fail with *error*: the session ends."""
        if self._is_paused:
            self._is_paused = False
            self._failure = error

    def break_off(self, error: BaseException) -> None:
        """End with what user code has raised in it: that is all there is to tell."""
        self.broken = error.with_traceback(None)
        self._is_done = True

    def go_on(self, performer: Performer, now: float) -> bool:
        """Begin the next step if the last is complete: user code runs in here.

        Returns whether the procedure has ended with that.
        """
        if self._is_busy or self._is_done:
            return False
        self._is_busy = True
        try:
            while self.is_ready:
                self._gather()
                step = self._advance()
                if step is None:
                    return True
                self._take(step, performer, now)
        finally:
            self._is_busy = False
        return False

    def _advance(self) -> Step | None:
        """Run the generator as far as its next step; None: it has ended."""
        steps, outcome, failure = self._steps, self._outcome, self._failure
        self._outcome = self._failure = None
        assert steps is not None, "it was let go of"
        try:
            if failure is not None:
                self._last = own_copy(failure)
                return steps.throw(failure)
            return steps.send(outcome)
        except StopIteration as end:
            self._value = end.value
        except CouchbaseError as error:
            self.error = self._own(without_frames(error))
        except Exception as error:  # noqa: BLE001 - of the user's own code: it is what he is to see
            self.broken = error.with_traceback(None)
        finally:
            # Its frame is part of tracebacks, and must not point to them.
            del failure
        self._is_done = True
        self.let_go()
        return None

    def _own(self, error: CouchbaseError) -> CouchbaseError:
        """Make *error* tell of the procedure, and not of the step that failed."""
        about(error, self.name, self.key)
        if error.context is not None:
            error.context.operation = self.name
            error.context.timeout = self.timeout
            where = self._collection
            if where is not None and error.context.collection is None:
                error.context.scope, error.context.collection = where.scope, where.collection
        return error

    def _take(self, step: Step, performer: Performer, now: float) -> None:
        if isinstance(step, Within):
            self._deadline = now + step.seconds
            self.timeout = step.seconds
            return
        left = self._deadline - now
        if left <= 0:
            self._failure = UnambiguousTimeoutError(
                "the operation takes several steps, and there was no time for the next",
                context=ErrorContext(operation=self.name, key=self.key, timeout=self.timeout),
            )
            caused(self._failure, self._last)
            return
        if isinstance(step, Again):
            pause = self._pause_before(step)
            if pause is None:
                return
            step = pause
        if isinstance(step, Pause):
            self._is_paused = True
            performer.pause(self, min(step.seconds, left), now)
            return
        self._together = step if isinstance(step, Together) else None
        asked = step.operations if isinstance(step, Together) else (step,)
        operations: list[Any] = [
            self._call(each, left) if isinstance(each, ServiceRequest) else each for each in asked
        ]
        self.operations = operations
        self.remaining = len(operations)
        self._lost.clear()
        for place, op in enumerate(operations):
            op.batch = self
            op.place = place
            op.timeout = min(op.timeout, left)
        for op in operations:
            # One that was issued before may have ended all of it.
            if op.batch is not self:
                continue
            if isinstance(op, ServiceCall):
                performer.ask(op, now)
            else:
                performer.begin(op, now)

    def _pause_before(self, again: Again) -> Pause | None:
        """Return how long to wait until it is asked anew; None: it is not, and has failed."""
        seen = () if again.attempts == 1 else (again.reason,)
        request = RetryRequest(self.name, "", self.idempotent, again.attempts, seen)
        strategy = self.defaults.services.strategy
        seconds = pause_by(strategy, request, again.reason, again.error, again.seconds)
        if seconds is None:
            self._failure = again.error
            return None
        self._last = own_copy(again.error)
        if self.watch is not None:
            self.watch.retries += 1
        return Pause(seconds)

    def _call(self, asked: ServiceRequest, left: float) -> ServiceCall:
        return ServiceCall(asked, left, None, self.name, self.defaults.services.strategy)

    def member_done(self, op: Operation[Any]) -> bool:
        """See `Batch`: the next step begins in a turn."""
        if not self.remaining or op.place in self._lost:
            # A race that is over.
            return False
        self.remaining -= 1
        together = self._together
        if together is not None and op.error is None:
            if together.is_race:
                self.remaining = 0
            elif together.group:
                self._win(op, together.group)
        if not self.remaining:
            self._ask()
        return False

    def _win(self, op: Operation[Any], group: int) -> None:
        """Wait no more for others of the group of *op*: it was the first."""
        start = op.place - op.place % group
        for other in self.operations[start : start + group]:
            if other is not op and other.batch is self:
                self._lost.add(other.place)
                self.remaining -= 1

    def _ask(self) -> None:
        if not self._is_busy and self.wants_turn is not None:
            self.wants_turn(self)

    def _gather(self) -> None:
        """Read what became of the operations of the step."""
        operations, self.operations = self.operations, []
        together, self._together = self._together, None
        if not operations:
            return
        if self.watch is not None:
            for op in operations:
                if isinstance(op, ServiceCall) and op.done:
                    self.watch.answered(op)
        outcomes = [outcome_of(op) for op in operations]
        if together is not None:
            self._outcome = outcomes
            failures = [each for each in outcomes if isinstance(each, CouchbaseError)]
            self._last = own_copy(failures[-1]) if failures else self._last
            return
        (outcome,) = outcomes
        if isinstance(outcome, CouchbaseError):
            self._failure = outcome
        else:
            self._outcome = outcome

    def unwanted(self) -> list[Operation[Any]]:
        """Return the operations of a race that is over, and forget them."""
        together = self._together
        if self.remaining or together is None or not (together.is_race or together.group):
            return []
        unwanted = [op for op in self.operations if not op.done]
        for op in unwanted:
            op.batch = None
        return unwanted

    def take_over(self) -> Steps[T]:
        """Return its steps, for another procedure to take; it is done with that."""
        steps, self._steps = self._steps, None
        assert steps is not None, "it was taken over before"
        return steps

    def let_go(self) -> None:
        """Forget all of it: it is over, or its caller has gone."""
        steps, self._steps = self._steps, None
        self.wants_turn = None
        self._outcome = self._failure = self._last = None
        if steps is not None and not self._is_done:
            self._is_done = True
            steps.close()

    def result(self) -> T:  # type: ignore[override]  # not one of documents
        """Return what the procedure has returned, or raise what it has raised."""
        if self.broken is not None:
            broken, self.broken = self.broken, RuntimeError("the procedure has failed before")
            try:
                raise broken
            finally:
                del broken
        error = self.error
        if error is None:
            return cast("T", self._value)
        # What is kept here must not come to point to this frame.
        self.error = own_copy(error)
        if error.result is None:
            error.result = OperationResult(self.key, 0, rc=error.rc or -1)
        try:
            raise error
        finally:
            del error


def _rescued(steps: Steps[T], kind: type[CouchbaseError], instead: Callable[[], T]) -> Steps[T]:
    try:
        return (yield from steps)
    except kind:
        return instead()


def outcome_of(op: Operation[Any]) -> Any:
    """Return the result of *op*, or its exception; None: it has neither."""
    if not op.done:
        return None
    try:
        return op.result()
    except CouchbaseError as error:
        return without_frames(error)


def procedure(
    name: str,
    defaults: Defaults,
    key: Key,
    timeout: float | None,
    steps: Steps[T],
    *,
    idempotent: bool = False,
) -> Procedure[T]:
    """Return a procedure; the arguments are those of `Procedure`.

    Raises what every builder raises for a key or a timeout that is none.
    """
    try:
        # Its constructor has all checks of a key.
        Operation[Any](0, defaults, key, timeout)
    except CouchbaseError as error:
        raise step_of(name, error, key) from error.__cause__
    return Procedure(name, defaults, key, timeout, steps, idempotent=idempotent)


def step_of(name: str, error: CouchbaseError, key: Any) -> CouchbaseError:
    """Have *error*, of an operation that is a step of method *name*, name the method."""
    about(error, name, key)
    if error.context is not None:
        error.context.operation = name
    return error


def perform(pending: Any) -> Steps[Any]:
    """Do as steps of this procedure what a builder gave: an operation, or a procedure of its own.

    Returns what that gives, and raises what it raises.
    """
    if isinstance(pending, Procedure):
        return (yield from pending.take_over())
    return (yield pending)


def asked_until_run(
    asked: ServiceRequest,
    rows_of: Callable[[ServiceAnswer], T],
    did_not_run: Callable[[CouchbaseError], bool],
    reason: RetryReason,
    most: int | None = None,
) -> Steps[T]:
    """Ask a service until it does what it is asked; return what *rows_of* makes of its answer.

    It is asked *most* times in all; None: as long as there is time. Raises what *rows_of* raises,
    but for what *did_not_run* and may be asked anew.
    """
    waits, attempts = pauses(), 0
    while True:
        answer: ServiceAnswer = yield asked
        attempts += 1
        try:
            return rows_of(answer)
        except CouchbaseError as error:
            if attempts == most or not did_not_run(error):
                raise
            seconds = getattr(next(waits, None), "seconds", _LONGEST_OF_SERVICES)
            yield Again(error, reason, attempts, seconds)


def pauses(tries: int = TRIES) -> Iterator[Pause]:
    """Return so many pauses, each longer than the one before: 2 ms first, 0.1 s at most."""
    seconds = _FIRST_PAUSE
    for _ in range(tries):
        yield Pause(seconds)
        seconds = min(seconds * 1.5, _LONGEST_PAUSE)
