"""Carrying out procedures: which are under way, which wait for a pause to end, which want a turn.

What a procedure does is in its generator (`couchloop.operations.procedure`); when it goes on is
decided here. It goes on in a turn: after data has come, or in the next turn of the loop, where user
code may run (`give_turn`). So on gevent the greenlet that waits decodes and encodes
values, and never the hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.operations.procedure import Procedure
    from couchloop.session.timers import Timer, Timers


class ProceduresOwner(Protocol):
    """What is needed of the session."""

    @property
    def is_ending(self) -> bool:
        """Whether nothing new is taken, and what is under way may still be completed."""

    def submit(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it until it can be sent."""

    def issue(self, op: Operation[Any], now: float) -> None:
        """Likewise, even if the session takes nothing new."""

    def cancel(self, op: Operation[Any]) -> None:
        """Forget *op*."""

    def jitter(self) -> float:
        """Return a random number from 0.0 up to, not including, 1.0."""

    def give_turn(self, batch: Procedure[Any], now: float) -> None:
        """Have `go_on` called in the place where user code of this procedure may run."""

    def procedure_done(self, procedure: Procedure[Any]) -> None:
        """Wake who waits for *procedure*."""


class Procedures:
    """The procedures of one session.

    Attributes:
        wants: those that want a turn.

    """

    __slots__ = ("_active", "_owner", "_timers", "wants")

    def __init__(self, owner: ProceduresOwner, timers: Timers) -> None:
        self._owner = owner
        self._timers = timers
        self._active: dict[Procedure[Any], Timer | None] = {}
        """Each with what ends its pause."""
        self.wants: dict[Procedure[Any], None] = {}

    @property
    def is_active(self) -> bool:
        """Whether there is any."""
        return bool(self._active)

    def take(self, procedure: Procedure[Any], now: float) -> None:
        """Begin with *procedure*: its first step is issued at once."""
        self._active[procedure] = None
        procedure.wants_turn = self.wants_turn
        procedure.start(now)
        self.go_on(procedure, now)

    def wants_turn(self, procedure: Procedure[Any]) -> None:
        """Have *procedure* go on in the next turn."""
        if procedure in self._active:
            self.wants[procedure] = None
            self._timers.wakeup = 0.0

    def turn(self, now: float) -> None:
        """Let those go on whose step is complete."""
        for procedure in list(self.wants):
            if self.wants.pop(procedure, self) is None:
                self._owner.give_turn(procedure, now)

    def go_on(self, procedure: Procedure[Any], now: float) -> None:
        """Have *procedure* begin its next step, if the last is complete: user code runs in here."""
        if procedure not in self._active:
            return
        try:
            for op in procedure.unwanted():
                self._owner.cancel(op)
            has_ended = procedure.go_on(self, now)
        except BaseException:
            # User code was interrupted: nobody waits any more.
            self.forget(procedure)
            raise
        if has_ended and procedure in self._active:
            self._drop(procedure)
            self._owner.procedure_done(procedure)

    def forget(self, procedure: Procedure[Any]) -> None:
        """Do no more of *procedure*: its caller has gone."""
        operations, procedure.operations = procedure.operations, []
        for op in operations:
            op.batch = None
            self._owner.cancel(op)
        self._drop(procedure)
        procedure.let_go()

    def _drop(self, procedure: Procedure[Any]) -> None:
        self.wants.pop(procedure, None)
        timer = self._active.pop(procedure, None)
        if timer is not None:
            timer.cancel()

    def end_all(self, why: Callable[[Procedure[Any]], CouchbaseError], now: float) -> None:
        """End all of them, for the session ends; their operations have failed already."""
        for procedure in list(self._active):
            if self._active.get(procedure) is not None:
                procedure.end(why(procedure))
            self.wants.pop(procedure, None)
            # Where it goes on in a place of its own, its turn comes, or has come.
            self._owner.give_turn(procedure, now)

    # What a procedure asks for

    def begin(self, op: Operation[Any], now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""
        if self._owner.is_ending:
            self._owner.issue(op, now)
        else:
            self._owner.submit(op, now)

    def pause(self, procedure: Procedure[Any], seconds: float, now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""

        def awake(_: float) -> None:
            if self._active.get(procedure) is not None:
                self._active[procedure] = None
                procedure.awake()

        when = now + seconds * (1 + self._owner.jitter()) / 2
        self._active[procedure] = self._timers.call_at(when, awake)
