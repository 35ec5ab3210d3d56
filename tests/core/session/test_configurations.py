"""Configurations asked for, pushed, counted; the part without a session."""

from __future__ import annotations

from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.session.configurations import ConfigReason
from couchloop.settings.values import Address
from couchloop.wire import Opcode
from tests.core.session.parts import FIRST, SECOND, Parts, text_of
from tests.core.world import defaults

THIRD = Address("127.0.0.1", 10002)


def asked(parts: Parts) -> list[tuple[Address, Frame]]:
    """Take the requests for a configuration that are to be written."""
    return [
        (address, request)
        for address in parts.table.endpoints
        for request in parts.requests(address)
        if request.opcode == Opcode.GET_CLUSTER_CONFIG
    ]


def test_one_request_at_a_time() -> None:
    """Whatever asks for it, one node is asked; then the next, but not within the floor."""
    parts = Parts()
    parts.configure()
    for reason in ConfigReason:
        parts.tracker.request_config(reason, 0.0)
    ((first, request),) = asked(parts)
    parts.answer(request, 0.0, first, value=text_of(1, [0, 1]))
    assert parts.tracker.request is None
    parts.tracker.request_config(ConfigReason.POLL, 0.0)
    assert asked(parts) == []
    parts.shared.timers.fire(1.0)
    ((second, _),) = asked(parts)
    assert {first, second} == {FIRST, SECOND}


def test_as_long_as_it_is_awaited() -> None:
    """While an operation has no node it is asked for again and again; then no more."""
    parts = Parts(config_poll_floor=0.0)
    parts.configure()
    parts.table.awaiting_config[ops.get(defaults(), "k")] = None
    for number in range(3):
        parts.tracker.request_config(ConfigReason.AWAITED, float(number))
        ((address, request),) = asked(parts)
        parts.answer(request, float(number), address, value=text_of(1, [0, 1]))
        parts.shared.timers.fire(number + 0.5)
        ((address, request),) = asked(parts)
        parts.answer(request, float(number), address, value=text_of(1, [0, 1]))
        parts.table.awaiting_config.clear()
        parts.shared.timers.fire(number + 0.9)
        assert asked(parts) == []
        parts.table.awaiting_config[ops.get(defaults(), "k")] = None


def test_the_newest_counts() -> None:
    """An older one is ignored; a newer one is told, and nodes come, go, and keep connections."""
    parts = Parts()
    parts.configure(revision=5)
    kept = parts.connection(SECOND)
    learned: list[int] = []
    parts.tracker.on_learned = lambda config: learned.append(config.revision.rev)
    parked = ops.get(defaults(), "k")
    parts.table.endpoints[FIRST].parked[parked] = None
    assert not parts.tracker.take(text_of(4, [1, 0]), FIRST, 0.0)
    assert parts.tracker.take(text_of(6, [1, 0], SECOND, THIRD), SECOND, 0.0)
    assert learned == [6]
    assert parts.told == [("resent", [parked])]
    assert list(parts.table.endpoints) == [SECOND, THIRD]
    assert parts.connection(SECOND) is kept
    assert FIRST not in [each.address for each in parts.connections.by_id.values()]


def test_garbage() -> None:
    """What is no configuration is logged, and changes nothing."""
    parts = Parts()
    parts.configure()
    assert not parts.tracker.take(b"{", FIRST, 0.0)
    assert list(parts.table.endpoints) == [FIRST, SECOND]
