"""Signs of life, and the circuit breaker; the part without a session."""

from __future__ import annotations

from couchloop.exceptions import NodeTimeoutError
from couchloop.wire import Opcode
from tests.core.session.parts import FIRST, Parts


def broken(parts: Parts) -> None:
    """Have operations on the first node run out of time until its circuit breaker opens."""
    for number in range(3):
        parts.liveness.unanswered(parts.connection(), 1.0, 4.0 + number, is_excused=False)


def test_the_breaker_opens_and_closes() -> None:
    """So many in a row without a sign of life open it; the answer to the one NOOP closes it."""
    parts = Parts(circuit_breaker=3)
    parts.configure()
    broken(parts)
    endpoint = parts.table.endpoints[FIRST]
    assert endpoint.is_open_circuit
    parts.shared.timers.fire(5.0)
    assert parts.table.route[0] is None
    (probe,) = parts.requests()
    assert probe.opcode == Opcode.NOOP
    parts.answer(probe, 7.0)
    assert not endpoint.is_open_circuit
    assert parts.told == [("revived", FIRST)]
    assert not parts.deadlines


def test_excused() -> None:
    """What ran out while the loop stood still does not count."""
    parts = Parts(circuit_breaker=3)
    parts.configure()
    for number in range(5):
        parts.liveness.unanswered(parts.connection(), 1.0, 4.0 + number, is_excused=True)
    assert not parts.table.endpoints[FIRST].is_open_circuit


def test_one_probe_at_a_time() -> None:
    """A connection is asked once, however often it is suspected; unanswered, it is lost."""
    parts = Parts()
    parts.configure()
    connection = parts.connection()
    for _ in range(3):
        parts.liveness.suspect(connection, 5.0, 5.0)
    (request,) = parts.deadlines
    assert len(parts.requests()) == 1
    parts.deadlines.remove(request)
    assert request.batch is not None
    request.batch.member_done(request)
    (error,) = parts.owner.errors
    assert isinstance(error, NodeTimeoutError)
    assert "did not even answer a NOOP" in error.message
