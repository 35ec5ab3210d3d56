"""Carrying out procedures: which are under way, which wait for a pause to end, which want a turn.

What a procedure does is in its generator (`couchloop.operations.procedure`); when it goes on is
decided here. It goes on in a turn: after data has come, or in the next turn of the loop, where user
code may run (`give_turn`). So on gevent the greenlet that waits decodes and encodes
values, and never the hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import Operation
from couchloop.operations.service_call import ServiceCall
from couchloop.session.shared import SessionState, weakly

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.operations.procedure import Procedure
    from couchloop.session.dispatcher import Dispatcher
    from couchloop.session.services.services import Services
    from couchloop.session.shared import Random, Shared
    from couchloop.session.timers import Timer


class Procedures:
    """The procedures of one session.

    Args:
        shared: with all parts of the session.
        dispatcher: sends what they ask for.
        services: asked for what is no operation.
        random: source of jitter.
        give_turn: has `go_on` called in the place where user code of a procedure may run; None:
            that is here.

    Attributes:
        wants: those that want a turn.
        has_turn: whether `turn` follows at once, so that nobody need be woken for it.

    """

    __slots__ = (
        "_active",
        "_dispatcher",
        "_give_turn",
        "_random",
        "_services",
        "_shared",
        "has_turn",
        "wants",
    )

    def __init__(
        self,
        shared: Shared,
        dispatcher: Dispatcher,
        services: Services,
        random: Random,
        give_turn: Callable[[Procedure[Any], float], object] | None,
    ) -> None:
        self._shared = shared
        self._dispatcher = dispatcher
        self._services = services
        self._random = random
        self._give_turn = give_turn
        self._active: dict[Procedure[Any], Timer | None] = {}
        """Each with what ends its pause."""
        self.wants: dict[Procedure[Any], None] = {}
        self.has_turn = False

    def let_go(self) -> None:
        """Hold those no more who are told: the session has ended."""
        if self._give_turn is not None:
            self._give_turn = weakly(self._give_turn)

    @property
    def is_active(self) -> bool:
        """Whether there is any."""
        return bool(self._active)

    def begin_or_refuse(self, procedure: Procedure[Any], now: float) -> None:
        """Begin with *procedure*, unless the session ends."""
        if self._dispatcher.is_closing:
            procedure.refuse(self._shared.failure())
            self._dispatcher.hand_over(procedure, now)
        else:
            self.take(procedure, now)

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
            if not self.has_turn:
                self._shared.timers.wakeup = 0.0

    def turn(self, now: float) -> None:
        """Let those go on whose step is complete."""
        self.has_turn = False
        for procedure in list(self.wants):
            if self.wants.pop(procedure, self) is None:
                self._have_turn(procedure, now)

    def _have_turn(self, procedure: Procedure[Any], now: float) -> None:
        if self._give_turn is not None:
            self._give_turn(procedure, now)
            return
        try:
            self.go_on(procedure, now)
        except BaseException as error:  # noqa: BLE001 - of user code: it is the caller's alone
            procedure.break_off(error)
            self._dispatcher.hand_over(procedure, now)

    def turn_after(
        self, take: Callable[[int, bytes, float], None], number: int, data: bytes, now: float
    ) -> None:
        """Have *take* called with bytes; let those go on whose step is complete with that."""
        self.has_turn = True
        try:
            take(number, data, now)
        finally:
            self.turn(now)

    def go_on(self, procedure: Procedure[Any], now: float) -> None:
        """Have *procedure* begin its next step, if the last is complete: user code runs in here."""
        if procedure not in self._active:
            return
        try:
            for op in procedure.unwanted():
                self._cancel(op)
            has_ended = procedure.go_on(self, now)
        except BaseException:
            # User code was interrupted: nobody waits any more.
            self.forget(procedure)
            raise
        if has_ended and procedure in self._active:
            self._drop(procedure)
            self._dispatcher.hand_over(procedure, now)

    def forget(self, procedure: Procedure[Any]) -> None:
        """Do no more of *procedure*: its caller has gone."""
        operations, procedure.operations = procedure.operations, []
        for op in operations:
            op.batch = None
            self._cancel(op)
        self._drop(procedure)
        procedure.let_go()

    def _cancel(self, op: Operation[Any] | ServiceCall) -> None:
        if not isinstance(op, ServiceCall):
            self._dispatcher.cancel(op)
        else:
            self._services.cancel(op)

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
            self._have_turn(procedure, now)

    # What a procedure asks for

    def begin(self, op: Operation[Any], now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""
        if self._shared.state is SessionState.CLOSING:
            self._dispatcher.issue(op, now)
        else:
            self._dispatcher.submit(op, now)

    def ask(self, call: ServiceCall, now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""
        self._services.begin(call, now)

    def resume(self, call: ServiceCall, now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""
        self._services.resume(call, now)

    def give_up(self, call: ServiceCall) -> None:
        """See `couchloop.operations.procedure.Performer`."""
        self._services.cancel(call)

    def pause(self, procedure: Procedure[Any], seconds: float, now: float) -> None:
        """See `couchloop.operations.procedure.Performer`."""

        def awake(_: float) -> None:
            if self._active.get(procedure) is not None:
                self._active[procedure] = None
                procedure.awake()

        when = now + seconds * (1 + self._random.random()) / 2
        self._active[procedure] = self._shared.timers.call_at(when, awake)
