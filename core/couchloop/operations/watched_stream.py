"""Streams of changes whose copies are asked: `persist_to` and `replicate_to`, key by key.

How many copies there are is looked at first, for all changes that a slice has built: what cannot
succeed is not begun. Then they are made, and then asked about until enough copies have them; by
token once for all changes of a vbucket that wait meanwhile. Each change has its own time for that,
from when it was made. A consumer who pauses stops the questions too; so the time of a change is
over only once it was asked about after that.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from couchloop.exceptions import (
    CouchbaseError,
    RequestCanceledError,
    TimeoutError,  # noqa: A004 - 2.5's name
    UnambiguousTimeoutError,
    own_copy,
)
from couchloop.hot.result import Result
from couchloop.operations.durable import doubtful, sight_of
from couchloop.operations.key_stream import KeyStream
from couchloop.operations.procedure import outcome_of
from couchloop.operations.stream import SLICE, Alone, Stream
from couchloop.operations.watching import (
    AT_ONCE,
    FIRST_PAUSE,
    Copies,
    Member,
    Sight,
    SightOfBranch,
    unknown,
)

if TYPE_CHECKING:
    from couchloop.durability import Need
    from couchloop.hot.operation import Operation
    from couchloop.operations.procedure import Performer

R = TypeVar("R", bound=Result)

_QUESTIONS: Final = 4 * AT_ONCE
"""Questions that are under way at once, unless a change has more of its own."""
_TICK: Final = 0.001
"""Seconds that make no difference."""
_LATE: Final = "the copies were asked as long as there was time"


class _Made(NamedTuple):
    """A change that was made, and is watched."""

    result: Any
    until: float
    """When its time is over."""


class _Watch:
    """What is asked together, and how far that is."""

    __slots__ = ("answers", "asked", "branch", "due", "missing", "pause", "sight")

    def __init__(self, sight: Sight, branch: Any, now: float, pause: float) -> None:
        self.sight = sight
        self.branch = branch
        """Which one of a vbucket's history, if it is asked by tokens."""
        self.due = now
        """When to ask next."""
        self.pause = pause
        """Seconds of the pause after that."""
        self.asked = now
        self.answers: list[Any] = []
        self.missing = 0
        """Answers that are still to come."""


class WatchedStream(KeyStream[R]):
    """A stream of changes that so many copies are to have.

    Takes what `KeyStream` takes, and:

    Args:
        need: how many copies are to have each change.
        seconds: that each has for it.
    """

    def __init__(self, *arguments: Any, need: Need, seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._need = need
        self._seconds = self.grace = seconds
        self._open = 0
        """Keys that were read, and have no result yet."""
        self._built: list[Operation[Any]] = []
        """Changes of this slice: it is not known yet how many copies there are."""
        self._surveys: dict[Operation[Any], list[Operation[Any]]] = {}
        self._known: deque[tuple[Operation[Any], Need]] = deque()
        """Changes that may be made."""
        self._needs: dict[Operation[Any], Need] = {}
        """Of changes that are under way."""
        self._made: dict[int, _Made] = {}
        self._places = 0
        self._watches: dict[_Watch, None] = {}
        self._branches: dict[Any, _Watch] = {}
        self._questions: dict[Operation[Any], tuple[_Watch, int]] = {}

    # The bounds

    @property
    def _held(self) -> int:
        return self._open

    @property
    def _is_idle(self) -> bool:
        return super()._is_idle and not self._open

    def member_done(self, op: Operation[Any]) -> bool:
        """See `Stream`: of bytes the changes alone count."""
        if op in self._needs:
            return super().member_done(op)
        return Stream.member_done(self, op)

    def _end_key(self, size: int = 0) -> None:
        self._open -= 1
        self._bytes -= size

    # From the key to the change

    def _operation(self, item: Any) -> Operation[Any] | None:
        op = super()._operation(item)
        if op is not None:
            self._open += 1
        return op

    def _begin(self, op: Operation[Any], performer: Performer, now: float) -> None:  # noqa: ARG002 - others do it at once
        self._built.append(op)

    def _feed(self, performer: Performer, now: float) -> None:
        try:
            super()._feed(performer, now)
        finally:
            built, self._built = self._built, []
            if built:
                self._survey(built, performer, now)

    def _survey(self, built: list[Operation[Any]], performer: Performer, now: float) -> None:
        first = built[0]
        try:
            survey = Copies(self.defaults, first.key, [op.raw for op in built], first.timeout)
        except CouchbaseError as error:
            for change in built:
                self._refuse(change, own_copy(error))
            return
        self._surveys[survey] = built
        self._issue(survey, performer, now)

    def _settle(self, op: Operation[Any]) -> None:
        asked = self._questions.pop(op, None)
        if asked is not None:
            watch, place = asked
            watch.answers[place] = outcome_of(op)
            watch.missing -= 1
            if not watch.missing:
                self._hear(watch)
            return
        built = self._surveys.pop(op, None)
        if built is None:
            super()._settle(op)
            # What has succeeded is watched: it has its need yet.
            if self._needs.pop(op, None) is not None:
                self._end_key()
            return
        outcome = outcome_of(op)
        for place, change in enumerate(built):
            try:
                if isinstance(outcome, CouchbaseError):
                    raise own_copy(outcome)
                self._known.append((change, self._need.among(outcome[place], change.key)))
            except CouchbaseError as error:
                self._refuse(change, error)

    def _refuse(self, change: Operation[Any], error: CouchbaseError) -> None:
        """Have a change fail that was not begun."""
        self._end_key(len(change.value))
        if error.context is not None:
            # It was one question for several.
            error.context.operation, error.context.key = self.name, change.key
        self._add_failure(change.key, change.missed(change.key, error.rc or -1), error)

    def _succeed(self, op: Operation[Any], result: Any) -> None:
        need = self._needs[op]
        if result.rc or not (need.persist or need.replicate):
            super()._succeed(op, result)
            return
        del self._needs[op]
        place = self._places = self._places + 1
        self._made[place] = _Made(result, self.now + self._seconds)
        sight = sight_of(op, result, need, Member(place, op.key))
        if isinstance(sight, SightOfBranch):
            branch = (*result.token[:2], need)
            watch = self._branches.get(branch)
            if watch is not None:
                watch.sight.members += sight.members
                return
            self._branches[branch] = self._watch(sight, branch)
        else:
            self._watch(sight, None)

    # From the change to its copies

    def _watch(self, sight: Sight, branch: Any) -> _Watch:
        pause = min(FIRST_PAUSE, self.defaults.durable.interval)
        watch = _Watch(sight, branch, self.now, pause)
        self._watches[watch] = None
        return watch

    def _carry_on(self, performer: Performer | None, now: float) -> None:
        if performer is None or self._is_halted:
            self._give_up()
            return
        left = SLICE
        while self._known and left:
            left -= 1
            op, need = self._known.popleft()
            self._needs[op] = need
            self._issue(op, performer, now)
        soon: float | None = None
        for watch in list(self._watches):
            if watch.missing:
                continue
            if watch.due > now + _TICK:
                soon = watch.due if soon is None else min(soon, watch.due)
            elif left <= 0 or len(self._questions) >= _QUESTIONS:
                break
            else:
                left -= self._ask(watch, performer, now)
        if self._known or left <= 0:
            self._has_more = True
        if soon is not None:
            # A pause is random: half of this at least.
            self._pause = max(_TICK, 2 * (soon - now))

    def _ask(self, watch: _Watch, performer: Performer, now: float) -> int:
        """Ask the copies; return how many were asked."""
        sight = watch.sight
        try:
            questions = sight.questions()
        except CouchbaseError as error:
            self._end_all(watch, error)
            return 1
        watch.asked = now
        watch.answers = [None] * len(questions)
        watch.missing = len(questions)
        time_left = max(self._made[member.place].until for member in sight.members) - now
        for place, op in enumerate(questions):
            if time_left > _TICK:
                op.timeout = min(op.timeout, time_left)
            self._questions[op] = watch, place
            self._issue(op, performer, now)
        return len(questions)

    def _hear(self, watch: _Watch) -> None:
        sight, answers = watch.sight, watch.answers
        watch.answers = []
        useless = sight.note(answers)
        if useless is not None:
            self._end_all(watch, useless)
            return
        settled = {member.place: error for member, error in sight.hear(answers)}
        is_late = any(isinstance(each, TimeoutError) for each in answers)
        waiting = []
        for member in sight.members:
            until = self._made[member.place].until - _TICK
            if member.place in settled:
                self._end(member, settled[member.place])
            elif until <= self.now and (is_late or watch.asked >= until):
                self._end(member, unknown(UnambiguousTimeoutError(_LATE), sight, member))
            else:
                waiting.append(member)
        sight.members = waiting
        if not waiting:
            self._forget(watch)
            return
        # Not later than the first of them must have been asked about.
        first = min(self._made[member.place].until for member in waiting)
        watch.due = min(self.now + watch.pause, max(first, self.now))
        watch.pause = min(watch.pause * 1.5, self.defaults.durable.interval)

    def _end_all(self, watch: _Watch, error: CouchbaseError) -> None:
        sight, members = watch.sight, watch.sight.members
        sight.members = []
        for member in members:
            self._end(member, unknown(error, sight, member))
        self._forget(watch)

    def _end(self, member: Member, error: CouchbaseError | None) -> None:
        """Give the result of a change that was made."""
        self._end_key()
        result = self._made.pop(member.place).result
        if error is None:
            self.done += 1
            self.ready.append(result)
        else:
            self._add_failure(member.key, doubtful(result, error), error)

    def _forget(self, watch: _Watch) -> None:
        self._watches.pop(watch, None)
        if watch.branch is not None:
            del self._branches[watch.branch]

    def _give_up(self) -> None:
        """End all that waits, for nothing can be asked any more."""
        why = self.ending if isinstance(self.ending, CouchbaseError) else None
        # Nobody waits for their answers any more.
        ours = {*self._questions, *self._surveys}
        for op in ours:
            op.batch = Alone()
            self._flying.pop(op, None)
        self._finished = [op for op in self._finished if op not in ours]
        unbegun = [op for ops in self._surveys.values() for op in ops]
        unbegun += [op for op, _ in self._known]
        self._questions.clear()
        self._surveys.clear()
        self._known.clear()
        for op in unbegun:
            text = "the Bucket was closed: nothing was sent"
            self._refuse(op, RequestCanceledError(text, key=op.key))
        for watch in list(self._watches):
            text = "the Bucket was closed"
            self._end_all(watch, own_copy(why) if why else RequestCanceledError(text))

    def close(self) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
        """See `Stream`."""
        ended = super().close()
        self._open = 0
        self._surveys.clear()
        self._known.clear()
        self._needs.clear()
        self._made.clear()
        self._watches.clear()
        self._branches.clear()
        self._questions.clear()
        return ended
