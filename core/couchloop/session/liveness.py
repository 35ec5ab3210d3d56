"""Whether nodes live: signs of life, the NOOP that asks for one, and the circuit breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from couchloop.exceptions import NodeTimeoutError
from couchloop.kv.connection import SIGN, Connection, State
from couchloop.session.shared import nobody
from couchloop.session.standstill import blame, blocked_for
from couchloop.wire import Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.session.requests import OwnRequest, OwnRequests
    from couchloop.session.route_table import Endpoint, RouteTable
    from couchloop.session.shared import Shared

_BREAKER_SILENCE: Final = 1.0
"""Seconds that a node must have said nothing before its circuit breaker opens."""
_PROBES: Final = 30
"""So many NOOPs in a row may stay without an answer while bytes of one frame come: 20 MB in a
minute, by default."""
_PROBES_MUTE: Final = 5
"""The same for one that sends whole frames, of which none answers anything."""
_PROBES_UNHEARD: Final = 2
"""So many where the loop stood still, and no more is known."""
_SILENCE: Final = 10.0
"""Seconds of silence after which a connection is asked for a sign of life."""


class Liveness:
    """Half-open connections, and the circuit breaker.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        requests: sends NOOPs.
    """

    def __init__(self, shared: Shared, table: RouteTable, requests: OwnRequests) -> None:
        self._shared = shared
        self._table = table
        self._requests = requests
        self.on_revived: Callable[[Endpoint, Connection, float], None] = nobody
        """Called with a node whose circuit breaker closes."""

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self.on_revived = nobody

    def unanswered(
        self, connection: Connection, since: float, now: float, *, is_excused: bool
    ) -> None:
        """Take note that an operation of *since*, sent on *connection*, ran out of time.

        *is_excused*: the loop stood still meanwhile, which may be why.

        Too many in a row without anything from the node open its circuit breaker: what follows
        is not written into the void. The NOOP of `suspect` is the canary: its answer closes the
        breaker, its failure ends the connection.
        """
        if connection.answers_nothing():
            # Frames that answer nothing are no sign of life.
            self.suspect(connection, now, now)
        else:
            self.suspect(connection, since, now)
        endpoint = self._table.endpoint_with(connection)
        limit = self._shared.settings.circuit_breaker
        if endpoint is None or not limit or is_excused:
            return
        if connection.last_sign > since:
            endpoint.timeouts = 0
            return
        endpoint.timeouts += 1
        if endpoint.timeouts < limit or endpoint.is_open_circuit:
            return
        if now - connection.last_sign < _BREAKER_SILENCE:
            # Impatient callers alone, on a long way, do not make a node suspicious.
            return
        endpoint.is_open_circuit = True
        text = f"{limit} operations in a row, or more, were not answered"
        endpoint.last_error = error = NodeTimeoutError(text)
        self._table.change()
        self._shared.node_changed(connection, "circuit_opened", error)
        self._shared.log(
            "warning",
            "{node} (connection {connection}): {reason}; pausing",
            node=endpoint.address,
            connection=connection.hello.connection_id,
            reason=text,
        )

    def _close_circuit(self, connection: Connection, now: float) -> None:
        endpoint = self._table.endpoint_with(connection)
        if endpoint is None:
            return
        endpoint.timeouts = 0
        if endpoint.is_open_circuit:
            endpoint.is_open_circuit = False
            endpoint.last_error = None
            self._shared.node_changed(connection, "circuit_closed")
            self._shared.log(
                "info",
                "{node} (connection {connection}) answers again",
                node=endpoint.address,
                connection=connection.hello.connection_id,
            )
            self.on_revived(endpoint, connection, now)

    def suspect_all(self, now: float) -> None:
        """See whether those connections live that have been silent for long."""
        for connection in self._table.ready:
            self.suspect(connection, now - _SILENCE, now)

    def suspect(self, connection: Connection, since: float, now: float) -> None:
        """See whether *connection* lives, if no whole frame came on it after *since*."""
        if connection.last_activity <= since and not connection.is_probed:
            self._probe(connection, now, 1)

    def _probe(self, connection: Connection, now: float, rounds: int) -> None:
        """Ask for a sign of life, for the so-manieth time without one whole frame between."""
        if connection.state is not State.READY:
            return
        connection.is_probed = True

        def done(probe: OwnRequest) -> None:
            self._probe_over(connection, probe, rounds, answered)

        answered = connection.answered
        self._requests.send(connection, Opcode.NOOP, done, now)

    def _probe_over(
        self, connection: Connection, probe: OwnRequest, rounds: int, answered: int
    ) -> None:
        connection.is_probed = False
        since = probe.deadline - probe.timeout
        has_answered = connection.answered != answered
        if probe.answer is None:
            connection.late_probe = probe.opaque
        if probe.answer is not None or (has_answered and connection.last_activity > since):
            self._close_circuit(connection, connection.last_activity)
            return
        standstill = blocked_for(probe.error)
        longest = _PROBES_UNHEARD
        if connection.last_progress > since:
            longest = _PROBES
        elif connection.last_activity > since:
            longest = _PROBES_MUTE
        if rounds < longest and (connection.last_sign > since or standstill):
            # A large document comes, or goes, before the answer; or we have not listened.
            connection.is_probed = True
            self._shared.timers.call_at(
                probe.deadline, lambda at: self._probe(connection, at, rounds + 1)
            )
            return
        error = NodeTimeoutError(_why_dead(connection, probe, rounds))
        connection.lost(blame(error, standstill), probe.deadline)


def _why_dead(connection: Connection, probe: OwnRequest, rounds: int) -> str:
    """Return what is wrong with a connection that did not answer *probe*, the last of *rounds*."""
    limit = f"{probe.timeout:g} s (config_node_timeout)"
    if connection.is_amid_frame:
        if rounds == _PROBES:
            return (
                f"the connection is stuck within an answer: {_PROBES} times {limit} were not "
                "enough for it"
            )
        return (
            f"the connection is stuck within an answer: in {limit} the node did not complete "
            f"it, nor send {SIGN // 1024} KB of it"
        )
    if connection.last_activity > probe.deadline - probe.timeout:
        return (
            f"the node sends but does not answer: {_PROBES_MUTE} times {limit} were not enough "
            "for a NOOP"
        )
    return f"the connection is dead: the node did not even answer a NOOP within {limit}"
