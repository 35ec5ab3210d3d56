"""From the search to the open bucket, and again: the part without a session."""

from __future__ import annotations

from random import Random
from typing import Any

from couchloop.exceptions import AuthError, BucketAlreadyOpenError, NodeUnreachableError
from couchloop.session.events import Opened, OpenFailed
from couchloop.session.opening import Opening
from couchloop.session.parking import Parking
from couchloop.session.shared import SessionState
from couchloop.settings.values import Address
from couchloop.topology.configuration import parse_config
from couchloop.topology.networks import NetworkChoice
from tests.core.session.parts import FIRST, Parts, text_of

ELSEWHERE = Address("127.0.0.1", 19999)
UNREACHABLE = NodeUnreachableError("nobody listens there")


class Dispatcher:
    """What waits for the bucket; it only takes note."""

    def __init__(self, parts: Parts) -> None:
        self.parking = Parking(parts.shared)
        self.sent: list[Any] = []
        self.failed: list[Any] = []
        self.now = 0.0

    def send_parked(self, waiting: dict[Any, None], now: float) -> None:
        self.sent.append((list(waiting), now))

    def note_time(self, now: float) -> None:
        self.now = now

    def fail_all(self, waiting: dict[Any, None], error: Exception) -> None:
        self.failed.append((list(waiting), error, self.now))


class Alone:
    """An opening, and the parts that it works with."""

    def __init__(self, **others: Any) -> None:
        self.parts = Parts(**others)
        self.shared = self.parts.shared
        self.shared.state = SessionState.NEW
        parts = self.parts
        dispatcher: Any = Dispatcher(parts)
        self.dispatcher: Dispatcher = dispatcher
        self.opening = Opening(
            self.shared,
            parts.table,
            parts.connections,
            parts.tracker,
            dispatcher,
            Random(7),
            lambda _: None,
        )

    def state(self) -> SessionState:
        """Return it as of now: a type checker takes an attribute for constant."""
        return self.shared.state

    def wait(self) -> None:
        """Have something wait for the bucket."""
        waiting: Any = {"waiting": None}
        self.dispatcher.parking.until_open = waiting

    def events(self, *kinds: type) -> list[Any]:
        """Take the events of these kinds."""
        found = [event for event in self.shared.events if isinstance(event, kinds)]
        self.shared.events.clear()
        return found

    def find(self, now: float = 1.0) -> None:
        """Have a seed tell a configuration."""
        config = parse_config(text_of(1, [0, 1]), FIRST.host)
        self.opening._found(config, NetworkChoice("default", "as a test has it"), None, now)

    def fail(self, error: Any = UNREACHABLE, now: float = 1.0) -> None:
        """Have the search end without any."""
        self.opening._failed(error, now)


def test_opened() -> None:
    """What a seed tells counts, and what waits for the bucket is sent."""
    alone = Alone()
    alone.wait()
    alone.opening.start(0.0)
    assert alone.state() is SessionState.OPENING
    assert alone.shared.is_searching
    alone.opening.start(0.0)
    alone.find()
    assert alone.state() is SessionState.OPEN
    assert not alone.shared.is_searching
    assert len(alone.events(Opened)) == 1
    assert alone.dispatcher.sent == [(["waiting"], 1.0)]
    assert set(alone.parts.table.endpoints) == set(alone.shared.settings.seeds)


def test_not_admitted() -> None:
    """Whoever knows of another Bucket on the same one is asked; then it fails for that reason."""
    alone = Alone()
    refusal = BucketAlreadyOpenError("another one is open")
    alone.opening.admit = lambda _: refusal
    alone.opening.start(0.0)
    alone.find()
    assert alone.state() is SessionState.FAILED
    assert [event.error for event in alone.events(OpenFailed)] == [refusal]
    assert alone.parts.table.config is None


def test_what_waits_fails_after_the_event() -> None:
    """User code that hears of the failure may begin anew: only then what waited fails."""
    alone = Alone()
    alone.wait()
    alone.opening.start(0.0)
    alone.fail()
    alone.opening.fail_stranded()
    assert not alone.dispatcher.failed
    assert alone.events(OpenFailed)
    alone.opening.fail_stranded()
    assert [(waiting, why) for waiting, why, _ in alone.dispatcher.failed if waiting] == [
        (["waiting"], UNREACHABLE)
    ]
    assert alone.dispatcher.parking.until_open == {}


def test_it_heals() -> None:
    """Where a cause passes, it opens again by itself, after pauses that grow; what waits waits."""
    alone = Alone()
    alone.opening.heals = True
    alone.opening.start(0.0)
    now = 0.0
    pauses: list[float] = []
    for _ in range(4):
        alone.fail(now=now)
        assert alone.state() is SessionState.WAITING
        assert alone.shared.is_searching
        alone.opening.fail_stranded()
        again = alone.opening._again
        assert again is not None
        pauses.append(again.when - now)
        now = again.when
        alone.shared.timers.fire(now)
        assert alone.state() is SessionState.OPENING
    assert pauses == sorted(pauses)
    assert len(alone.events(OpenFailed)) == 4
    assert not alone.dispatcher.failed
    alone.find(now)
    assert alone.state() is SessionState.OPEN
    assert alone.shared.error is None


def test_it_does_not_heal() -> None:
    """A cause that somebody has to mend ends it, and so does any where nobody wants it to heal."""
    for heals, error in ((True, AuthError("wrong password")), (False, UNREACHABLE)):
        alone = Alone()
        alone.opening.heals = heals
        alone.opening.start(0.0)
        alone.fail(error)
        assert alone.state() is SessionState.FAILED
        assert alone.shared.error is error


def test_lazy() -> None:
    """One that opens at its first use is as before after a failure: the next use tries again."""
    alone = Alone()
    alone.opening.lazy = True
    alone.opening.start(0.0)
    alone.fail()
    assert alone.state() is SessionState.NEW
    alone.opening.start(2.0)
    alone.find(2.0)
    assert alone.state() is SessionState.OPEN


def opened(**others: Any) -> Alone:
    """Return one that is open, on nodes whose connections are lost."""
    alone = Alone(**others)
    alone.opening.start(0.0)
    alone.find(0.0)
    return alone


def test_all_nodes_lost() -> None:
    """Seeds that are no nodes are asked, within 50 ms, and not again before a second or two."""
    alone = opened(seeds=(FIRST, ELSEWHERE))
    alone.opening.all_nodes_lost(10.0)
    assert not alone.shared.is_searching
    alone.shared.timers.fire(10.05)
    assert alone.shared.is_searching
    assert alone.opening.bootstrap is not None
    alone.opening._end_bootstrap()
    alone.opening.all_nodes_lost(10.9)
    alone.shared.timers.fire(10.95)
    assert not alone.shared.is_searching
    alone.opening.all_nodes_lost(12.1)
    alone.shared.timers.fire(12.15)
    assert alone.shared.is_searching


def test_nobody_else_to_ask() -> None:
    """Where all seeds are nodes, no search is made: they are connected anew anyway."""
    alone = opened()
    alone.opening.all_nodes_lost(10.0)
    alone.shared.timers.fire(10.05)
    assert not alone.shared.is_searching


def test_forked() -> None:
    """In a child nothing is looked for, and nobody is told."""
    alone = Alone()
    alone.wait()
    alone.opening.start(0.0)
    alone.fail()
    alone.opening.forked()
    alone.shared.events.clear()
    alone.opening.fail_stranded()
    assert not alone.dispatcher.failed
    assert not alone.shared.is_searching
