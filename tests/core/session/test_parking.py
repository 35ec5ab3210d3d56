"""What waits to be sent: how much of it there may be; the part alone."""

from __future__ import annotations

from typing import Any

from couchloop.operations import document as ops
from couchloop.session.events import Load
from couchloop.session.parking import Parking
from couchloop.session.route_table import Endpoint
from couchloop.session.shared import SessionState, Shared
from tests.core.session.parts import FIRST, settings
from tests.core.world import defaults

D = defaults()


def parking(**others: Any) -> tuple[Shared, Parking]:
    """Return parking that takes eight operations."""
    shared = Shared(settings(max_queued_operations=8, **others))
    return shared, Parking(shared)


def test_producers_pause_and_go_on() -> None:
    """They are told at half of what may wait, and again below a quarter: once each."""
    shared, alone = parking()
    waiting = [ops.get(D, f"k{n}") for n in range(8)]
    for op in waiting:
        alone.park(op, alone.until_open)
    assert [event for event in shared.events if isinstance(event, Load)] == [Load(is_high=True)]
    for op in waiting:
        alone.unpark(op)
        alone.unpark(op)
    assert shared.events == [Load(is_high=True), Load(is_high=False)]
    assert (alone.operations, alone.bytes, alone.until_open) == (0, 0, {})


def test_full() -> None:
    """It is full at the limit, if what does not fit is to fail; else never."""
    for policy, expected in (("fail", True), ("wait", False)):
        _, alone = parking(when_overloaded=policy)
        for number in range(8):
            assert not alone.is_full
            alone.park(ops.get(D, f"k{number}"), alone.until_open)
        assert alone.is_full is expected


def test_why_it_waits() -> None:
    """It says what is missing, by the state of the session and of the node."""
    shared, alone = parking()
    endpoint = Endpoint(FIRST, "id")
    assert alone.obstruction(None) == ("the bucket was not open", None)
    shared.state = SessionState.OPEN
    assert alone.obstruction(None) == ("the configuration names no node for the key", None)
    assert alone.obstruction(endpoint) == ("the node was not connected", None)
    endpoint.is_open_circuit = True
    assert alone.obstruction(endpoint) == ("the circuit breaker of the node was open", None)
    assert alone.awaited_node(endpoint) == str(FIRST)
