"""What the server's error, or a lost connection, means for an operation: retry, reroute, fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchloop.exceptions import CouchbaseError, NodeNotAvailableError, caused
from couchloop.hot.operation import Operation
from couchloop.kv.connection import connection_of
from couchloop.retries import GivenUp, RetryReason, controlled_backoff
from couchloop.session.configurations import ConfigReason
from couchloop.session.failures import of_the_connection
from couchloop.session.strategies import note
from couchloop.session.verdicts import Action, verdict
from couchloop.wire import Status

if TYPE_CHECKING:
    from couchloop.hot.frames import Frame
    from couchloop.hot.request import Request
    from couchloop.kv.connection import Connection
    from couchloop.session.collections import Collections
    from couchloop.session.configurations import ConfigTracker
    from couchloop.session.dispatcher import Dispatcher
    from couchloop.session.route_table import RouteTable
    from couchloop.session.shared import Shared


class Retrying:
    """Decides what becomes of operations that a node has refused, or will not answer.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        tracker: of configurations: an error may bring one, or hint at one.
        dispatcher: sends again.
        collections: the named ones, whose numbers may be outdated.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        tracker: ConfigTracker,
        dispatcher: Dispatcher,
        collections: Collections,
    ) -> None:
        self._shared = shared
        self._table = table
        self._tracker = tracker
        self._dispatcher = dispatcher
        self._collections = collections

    # A status of the server

    def refused(self, op: Request, answer: Frame, now: float) -> None:
        """See `couchloop.hot.pipe.PipeOwner`."""
        connection = connection_of(op)
        assert connection is not None
        status = answer.status
        dispatcher = self._dispatcher
        if not isinstance(op, Operation) or status in op.answers:
            op.answer = answer
            dispatcher.completed(op)
            return
        action, reason = verdict(status, connection.error_map)
        error = dispatcher.failures.status(op, answer, connection)
        if self._collections.refused(op, answer, connection, error, now):
            return
        if action is Action.FAIL or status in op.final:
            dispatcher.fail(op, error)
            return
        if action is Action.RECONNECT:
            lost = of_the_connection(error)
            # Not at once: the answers that came together with this one still count.
            self._shared.timers.call_at(now, lambda at: connection.lost(lost, at))
        delay = dispatcher.strategies.delay(op, reason)
        if isinstance(delay, GivenUp):
            dispatcher.fail(op, _given_up(error, action, reason, delay))
            return
        op.attempts += 1
        op.obstacle = error
        op.connection = None
        if op.queue is None:
            # The strategy has ended it.
            return
        note(op, reason)
        entry = connection.error_map.get(status)
        if status == Status.CONFIG_ONLY or (
            entry is not None and "fetch-config" in entry.attributes
        ):
            self._tracker.request_config(ConfigReason.REFUSED, now)
        if action is Action.REROUTE:
            self._reroute(op, answer, connection, now)
        elif action is Action.RETRY_NOW and op.attempts == 1:
            dispatcher.send_or_park(op, now)
        else:
            dispatcher.send_later(op, now + delay)

    def _reroute(
        self, op: Operation[Any], answer: Frame, connection: Connection, now: float
    ) -> None:
        """Handle not-my-vbucket: the answer may carry the configuration that tells whose it is."""
        newer = False
        if answer.value:
            newer = self._tracker.take(answer, connection, now)
        else:
            self._tracker.request_config(ConfigReason.REFUSED, now)
        if op.queue is None:
            return
        dispatcher = self._dispatcher
        endpoint = self._table.endpoint_of(op)
        is_known = newer or (endpoint is not None and endpoint.connection is not connection)
        rerouting = self._shared.settings.rerouting
        if is_known and rerouting.at_once:
            dispatcher.send_or_park(op, now)
        elif rerouting.waits and not is_known:
            dispatcher.parking.park(op, self._table.awaiting_config)
            self._tracker.request_config(ConfigReason.AWAITED, now)
        elif rerouting.delay is not None:
            dispatcher.send_later(op, now + rerouting.delay)
        else:
            dispatcher.send_later(op, now + controlled_backoff(op.attempts))

    # A lost connection

    def connection_lost(
        self, connection: Connection, unanswered: list[Request], error: CouchbaseError, now: float
    ) -> None:
        """Send again, or end, what was in flight on a connection that is lost."""
        dispatcher = self._dispatcher
        saved: dict[Operation[Any], None] = {}
        lost: list[tuple[Request, CouchbaseError]] = []
        reason = RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT
        for op in unanswered:
            if op.queue is None:
                continue
            failure = dispatcher.failures.connection_lost(op, error)
            if not isinstance(op, Operation):
                # The session's own requests mean this connection, and no other.
                lost.append((op, failure))
                continue
            delay = dispatcher.strategies.delay(op, reason)
            if isinstance(delay, GivenUp):
                caused(failure, delay.cause)
                lost.append((op, failure))
                continue
            op.connection = None
            op.attempts += 1
            op.obstacle = failure
            note(op, reason)
            saved[op] = None
        endpoint = self._table.endpoints.get(connection.address)
        if endpoint is not None and endpoint.parked:
            # They waited for its circuit breaker, and were issued later: they stay behind.
            saved.update(endpoint.parked)
            endpoint.parked.clear()
        dispatcher.send_parked(saved, now)
        for op, why in lost:
            dispatcher.fail(op, why)


def _given_up(
    error: CouchbaseError, action: Action, reason: RetryReason, delay: GivenUp
) -> CouchbaseError:
    """Return what an operation fails with that is not tried again after *error*."""
    if action is Action.RECONNECT and reason is not RetryReason.KV_ERROR_MAP_RETRY_INDICATED:
        # By itself it would say that the password is wrong, or the bucket missing.
        text = "the node no longer knew the connection, which is replaced"
        error = NodeNotAvailableError(text, context=error.context, inner_cause=error)
    caused(error, delay.cause)
    return error
