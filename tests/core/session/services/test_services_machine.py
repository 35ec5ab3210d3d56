"""Whatever connections, services and callers do: each call ends once, and nothing is left of it."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from couchloop.exceptions import NodeUnreachableError, TlsError
from couchloop.session.events import CloseConnection, OpenConnection, PauseReading, ResumeReading
from couchloop.session.services.pool import Channel
from tests.core.http.answers import answer
from tests.core.session.services.parts import GET, ONE, POST, THREE, TWO, Asker, query_nodes
from tests.core.session.services.test_services import Sink
from tests.share import share

TIMEOUT = 5.0
REASONS: list[BaseException | None] = [
    None,
    ConnectionResetError(),
    NodeUnreachableError("refused"),
    TlsError("nobody"),
]
CLOSING = answer(200, b"x", Connection="close")
ANSWERS = [answer(200, b"x"), CLOSING, answer(503), answer(401), b"rubbish\r\n", b"\x15\x03"]


class Service(RuleBasedStateMachine):
    """What asks services, and a network that does anything."""

    def __init__(self) -> None:
        super().__init__()
        self.connecting: list[int] = []
        self.open: list[int] = []
        self.reading: dict[int, bool] = {}
        self.calls: list[Any] = []
        self.cancelled: list[Any] = []

    @initialize(most=st.integers(0, 2), size=st.sampled_from([None, 0, 1]))
    def begin(self, most: int, size: int | None) -> None:
        """Have two nodes."""
        limits = {"max_connections": most, "pool_size": size}
        self.asker = Asker(ONE, TWO, http=limits)

    def look(self) -> None:
        """Perform what the session has asked for."""
        events = self.asker.shared.events
        for event in events.copy():
            match event:
                case OpenConnection():
                    self.connecting.append(event.id)
                case CloseConnection():
                    gone = [each for each in (self.connecting, self.open) if event.id in each]
                    assert len(gone) <= 1
                    for each in gone:
                        each.remove(event.id)
                case PauseReading():
                    assert self.reading[event.id]
                    self.reading[event.id] = False
                case ResumeReading():
                    assert not self.reading[event.id]
                    self.reading[event.id] = True
        events.clear()
        for output in self.asker.written:
            assert output.id in self.reading, "nothing is written where nothing was connected"
        self.asker.written.clear()

    # Callers

    @rule(is_get=st.booleans(), streams=st.booleans(), is_short=st.booleans())
    def ask(self, is_get: bool, streams: bool, is_short: bool) -> None:
        """Ask something."""
        sink = Sink() if streams else None
        timeout = TIMEOUT / 10 if is_short else TIMEOUT
        self.calls.append(self.asker.ask(GET if is_get else POST, timeout, sink))
        self.look()

    @precondition(lambda self: any(not call.done for call in self.calls))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Have a caller go away."""
        going = [call for call in self.calls if not call.done and call not in self.cancelled]
        if going:
            call = data.draw(st.sampled_from(going))
            self.cancelled.append(call)
            call.batch = None
            self.asker.services.cancel(call)
            self.look()

    @rule(has_enough=st.booleans())
    def take(self, has_enough: bool) -> None:
        """Have all sinks have enough, or want more."""
        for call in self.calls:
            if call.sink is not None:
                call.sink.has_enough = has_enough
                if not has_enough:
                    self.asker.services.resume(call, self.asker.now)
        self.look()

    # The network

    @precondition(lambda self: self.connecting)
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        """Make a connection."""
        number = data.draw(st.sampled_from(self.connecting))
        self.connecting.remove(number)
        self.open.append(number)
        self.reading[number] = True
        self.asker.services.pools.connected(number, None)
        self.look()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), text=st.sampled_from(ANSWERS), part=st.sampled_from([0.3, 1.0]))
    def receive(self, data: st.DataObject, text: bytes, part: float) -> None:
        """Have a service say something, or a part of it."""
        readable = [number for number in self.open if self.reading[number]]
        if readable:
            number = data.draw(st.sampled_from(readable))
            self.asker.receive(number, text[: int(len(text) * part)])
            self.look()

    @precondition(lambda self: self.open or self.connecting)
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def lose(self, data: st.DataObject, reason: BaseException | None) -> None:
        """Lose a connection, or not make it."""
        number = data.draw(st.sampled_from(self.open + self.connecting))
        for each in (self.open, self.connecting):
            if number in each:
                each.remove(number)
        self.asker.lose(number, reason)
        self.look()

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.1, 2.5]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(4):
            self.asker.run(seconds / 4)
            self.look()

    @rule(nodes=st.sets(st.sampled_from([ONE, TWO, THREE]), min_size=1))
    def move(self, nodes: set[Any]) -> None:
        """Have another configuration."""
        self.asker.config = query_nodes(*sorted(nodes))
        self.asker.services.changed(self.asker.now)
        self.look()

    # What always holds

    @invariant()
    def ends_once(self) -> None:
        """Each call is told once, at its end; one that was cancelled never."""
        told = self.asker.done.calls
        for call in self.calls:
            ends = sum(each is call for each in told)
            assert ends == (call.done and call not in self.cancelled)

    @invariant()
    def adds_up(self) -> None:
        """The session knows the connections that there are, and keeps to the limits."""
        pools = self.asker.services.pools
        assert sorted(pools.by_id) == sorted(self.open + self.connecting)
        http = self.asker.shared.settings.http
        for pool in pools._pools.values():
            assert pool
            if http.max_connections:
                assert len(pool.busy) + len(pool.idle) <= http.max_connections
            if http.pool_size is not None:
                assert len(pool.idle) <= http.pool_size
            assert all(channel.call is None for channel in pool.idle)
            for channel in pool.busy:
                assert channel.call is not None
                assert channel.call.channel is channel

    def teardown(self) -> None:
        """In the end all calls have ended, by their deadlines, and nothing is left."""
        if not hasattr(self, "asker"):
            return
        for call in self.calls:
            if call.sink is not None:
                call.sink.has_enough = False
                self.asker.services.resume(call, self.asker.now)
        self.look()
        for _ in range(20):
            self.asker.run(0.5)
            self.look()
        self.ends_once()
        assert all(call.done or call in self.cancelled for call in self.calls)
        assert all(not isinstance(call.channel, Channel) for call in self.calls)
        assert (self.open, self.connecting) == ([], [])
        assert self.asker.services.pools._pools == {}
        assert not self.asker.services
        assert not self.asker.shared.timers


TestService = Service.TestCase
TestService.settings = settings(max_examples=share(40), stateful_step_count=40, deadline=None)
