"""The hot half of a dispatcher: an operation is routed and sent, its answer handed to who waits.

All that is not so plain is in `couchloop.session.dispatcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from couchloop.hot.deadlines import Alarm, Deadlines
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.hot.speedups import twin

if TYPE_CHECKING:
    from couchloop.hot.pipe import Pipe


class Routes:
    """Where keys go at once.

    Attributes:
        route: the connection for each vbucket; None: there is none that takes anything. Empty: it
            is still to be made.

    """

    __slots__ = ("route",)

    def __init__(self) -> None:
        self.route: list[Pipe | None] = []


class Submitter:
    """Operations from the call to the answer, where nothing is in the way.

    Args:
        routes: of the session.
        deadlines: of the session's requests.
        deliver: called with each completed operation (or batch) that came through `submit`.
    """

    def __init__(
        self, routes: Routes, deadlines: Deadlines, deliver: Callable[[Any], object]
    ) -> None:
        self._routes = routes
        self._deadlines = deadlines
        self._queues = deadlines.by_timeout
        self._alarm: Alarm = deadlines.alarm
        self._deliver = deliver
        self._is_guarded = False
        """Whether `submit` has to look before it takes an operation."""

    def submit(self, op: Operation[Any], now: float) -> None:
        """Send *op*, or park it until it can be sent; it is delivered then, perhaps at once."""
        if self._is_guarded and not self.admits(op, now):
            return
        timeout = op.timeout
        op.deadline = deadline = now + timeout
        queue = self._queues.get(timeout)
        if queue is None:
            queue = self._deadlines.queue(timeout)
        queue[op] = None
        op.queue = queue
        alarm = self._alarm
        if deadline < alarm.wakeup:  # noqa: PLR1730 - min() takes three times as long
            alarm.wakeup = deadline
        route = self._routes.route
        if route and op.is_plain:
            vbucket = ((crc32(op.raw) >> 16) & 0x7FFF) % len(route)
            pipe = route[vbucket]
            if pipe is not None:
                pipe.send(op, vbucket)
                return
        self.send_or_park(op, now)

    def submit_all(self, operations: Sequence[Operation[Any]], now: float) -> None:
        """Submit the operations of a batch; those that have failed already are left out.

        It does what `submit` does, without a call for each.
        """
        alarm, routes = self._alarm, self._routes
        for op in operations:
            if op.error is not None or (self._is_guarded and not self.admits(op, now)):
                continue
            limit = op.timeout
            op.deadline = deadline = now + limit
            queue = self._queues.get(limit)
            if queue is None:
                queue = self._deadlines.queue(limit)
            queue[op] = None
            op.queue = queue
            if deadline < alarm.wakeup:  # noqa: PLR1730 - as above
                alarm.wakeup = deadline
            route = routes.route
            if route and op.is_plain:
                vbucket = ((crc32(op.raw) >> 16) & 0x7FFF) % len(route)
                pipe = route[vbucket]
                if pipe is not None:
                    pipe.send(op, vbucket)
                    continue
            self.send_or_park(op, now)

    @property
    def delivers(self) -> Callable[[Any], object] | None:
        """What `completed` ends in, if all that it does is done by a pipe; None: it does more."""
        return self._deliver

    def completed(self, op: Request) -> None:
        """See `couchloop.hot.pipe.PipeOwner`."""
        queue = op.queue
        if queue is not None:
            del queue[op]
            op.queue = None
        batch = op.batch
        if batch is None:
            self._deliver(op)
        else:
            # The two would point to each other.
            op.batch = None
            if batch.member_done(op):
                self._deliver(batch)

    # The other half

    def admits(self, op: Operation[Any], now: float) -> bool:
        """Whether *op* is taken; if not, it is complete."""
        raise NotImplementedError

    def send_or_park(self, op: Operation[Any], now: float, *, is_new: bool = True) -> None:
        """Send *op* to the node that it is for, or let it wait for what it lacks.

        *is_new*: it has not agreed to wait yet.
        """
        raise NotImplementedError


if not TYPE_CHECKING and twin is not None:
    Routes = twin.Routes
    Submitter = twin.Submitter
