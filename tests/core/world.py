"""A session and an embedded cluster in one process, joined by bytes, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.embedded.server import ServerConnection
from couchloop.exceptions import NodeUnreachableError
from couchloop.operations import Batch, Defaults, Operation
from couchloop.session import (
    CloseConnection,
    DeriveKey,
    Event,
    LogRecord,
    OpenConnection,
    Session,
    SessionState,
)
from couchloop.settings import Address, Login, Settings
from couchloop.transcoder import FMT_JSON, Transcoder

FIRST_PORT = 10000


def defaults() -> Defaults:
    """What a Bucket hands its operations when nothing was set."""
    return Defaults(Transcoder(), FMT_JSON)


class World:
    """One client and its cluster. Nothing happens but in `run` and its friends."""

    def __init__(self, cluster: EmbeddedCluster | None = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.cluster = cluster or EmbeddedCluster(clock=self.clock)
        if cluster is not None:
            self.clock = cluster.clock  # type: ignore[assignment]
        for index, node in enumerate(self.cluster.nodes):
            node.ports["kv"] = FIRST_PORT + index
        self.cluster.changed()
        self.nodes = {Address("127.0.0.1", n.ports["kv"]): n for n in self.cluster.nodes}
        made: dict[str, Any] = {
            "seeds": tuple(self.nodes),
            "bucket": "default",
            "login": Login("user", "password"),
        }
        made.update(settings)
        self.woken: list[Operation[Any] | Batch[Any]] = []
        self.on_wake: Callable[[Any], None] = lambda _: None
        self.session = Session(Settings(**made), self._wake, Random(1), Random(2).randbytes)
        self.links: dict[int, ServerConnection] = {}
        self.unreachable: set[Address] = set()
        self.events: list[Event] = []
        self.writes: list[tuple[int, bytes]] = []
        self.defaults = defaults()

    def _wake(self, completed: Operation[Any] | Batch[Any]) -> None:
        self.woken.append(completed)
        self.on_wake(completed)

    @property
    def now(self) -> float:
        """Virtual monotonic time."""
        return self.clock.now()

    @property
    def logs(self) -> list[str]:
        """Lines of the session's log so far."""
        return [e.text.format(**e.fields) for e in self.events if isinstance(e, LogRecord)]

    def open(self) -> Session:
        """Open the bucket, and all connections."""
        self.session.start(self.now)
        self.settle()
        assert self.session.state is SessionState.OPEN, self.session.error
        return self.session

    def submit(self, op: Any) -> Any:
        """Hand an operation or a batch to the session; give it back."""
        if isinstance(op, Batch):
            self.session.submit_batch(op, self.now)
        else:
            self.session.submit(op, self.now)
        return op

    def do(self, op: Any) -> Any:
        """Run an operation until nothing moves; give its result."""
        self.submit(op)
        self.settle()
        assert op.done, f"{op.name} has no answer"
        return op.result()

    def settle(self) -> None:
        """Carry bytes to and fro, time standing still, until nothing moves."""
        while self._perform() or self._carry():
            pass

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each deadline."""
        end = self.now + seconds
        while True:
            self.settle()
            due = self.session.next_deadline()
            if due is None or due > end:
                break
            self.clock.advance(max(0.0, due - self.now))
            self.session.handle_deadline(self.now)
        self.clock.advance(end - self.now)
        self.settle()

    def _perform(self) -> bool:
        events = self.session.take_events()
        self.events += events
        for event in events:
            match event:
                case OpenConnection():
                    self._open(event)
                case CloseConnection():
                    link = self.links.pop(event.id, None)
                    if link is not None:
                        self._deliver(event.id, link)
                        link.connection_lost()
                case DeriveKey():
                    self.session.key_derived(event.id, event.derivation.derive(), self.now)
        return bool(events)

    def _open(self, event: OpenConnection) -> None:
        if event.address in self.unreachable or event.address not in self.nodes:
            error = NodeUnreachableError(f"nothing at {event.address}")
            self.session.connect_failed(event.id, error, self.now)
            return
        self.links[event.id] = self.nodes[event.address].accept(peer=f"127.0.0.1:{event.id}")
        self.session.connected(event.id, self.now)

    def _deliver(self, number: int, link: ServerConnection) -> bool:
        moved = False
        for connection_id, data in self.session.take_output():
            self.writes.append((connection_id, data))
            moved = True
            if connection_id in self.links:
                self.links[connection_id].receive_data(data)
            elif connection_id == number:
                link.receive_data(data)
        return moved

    def _carry(self) -> bool:
        moved = self._deliver(0, None)  # type: ignore[arg-type]
        for number, link in list(self.links.items()):
            data = link.data_to_send()
            if data:
                moved = True
                self.session.receive_data(number, data, self.now)
            if link.closed and number in self.links:
                moved = True
                self.lose(number)
        return moved

    def lose(self, number: int, reason: BaseException | None = None) -> None:
        """Cut a connection."""
        link = self.links.pop(number)
        link.connection_lost()
        self.session.connection_lost(number, reason, self.now)
