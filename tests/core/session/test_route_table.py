"""Which connection leads to which key; the part without a session."""

from __future__ import annotations

from couchloop.operations import document as ops
from tests.core.session.parts import FIRST, SECOND, Parts
from tests.core.world import defaults

D = defaults()


def test_routes() -> None:
    """Each vbucket leads to the connection of its node; -1 leads nowhere."""
    parts = Parts()
    parts.configure(owners=(0, 1, -1, 1))
    first, second = parts.connection(FIRST), parts.connection(SECOND)
    assert parts.table.route == [first, second, None, second]
    endpoints = list(parts.table.endpoints.values())
    for number in range(20):
        endpoint, vbucket = parts.table.target(ops.get(D, f"k{number}"))
        assert endpoint is [*endpoints, None, endpoints[1]][vbucket]


def test_a_pause() -> None:
    """A connection that takes no more leaves the table at once, and comes back at once."""
    parts = Parts()
    parts.configure()
    first, second = parts.connection(FIRST), parts.connection(SECOND)
    parts.table.pause(first)
    assert parts.table.route == [None, second]
    assert parts.table.endpoints[FIRST].is_slow
    parts.table.go_on(parts.table.endpoints[FIRST])
    assert parts.table.route == [first, second]


def test_it_is_made_once() -> None:
    """Whatever changes in one turn, routes are made once, and what was lost is told once."""
    parts = Parts()
    parts.configure()
    made: list[int] = []
    parts.table.on_routed = lambda: made.append(1)
    for _ in range(3):
        parts.table.lost()
    assert parts.table.route == []
    parts.shared.timers.fire(0.0)
    assert (made, parts.told) == ([1], [("some lost", None)])
    for endpoint in parts.table.endpoints.values():
        endpoint.connection = None
    parts.table.lost()
    parts.shared.timers.fire(0.0)
    assert parts.told[1:] == [("all lost", None)]
