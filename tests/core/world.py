"""A session and an embedded cluster in one process, joined by bytes, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import ENOENT
from itertools import islice
from random import Random
from typing import Any

from couchloop.embedded import EmbeddedCluster, ManualClock, Node
from couchloop.exceptions import NodeUnreachableError, ProtocolError
from couchloop.hot.batch import Batch
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.hot.operation import Defaults, Operation
from couchloop.kv.scram import KeyDerivation
from couchloop.observe.dispatcher import make_session
from couchloop.session.events import (
    CloseConnection,
    DeriveKey,
    Event,
    LoadConfig,
    LogRecord,
    OpenConnection,
    ResolveSrv,
    StoreConfig,
)
from couchloop.session.session import Session, SessionState
from couchloop.settings.values import Address, Login, Settings
from couchloop.topology.config_cache import Cached, dump, load
from couchloop.topology.configuration import ClusterConfig
from couchloop.transcoder import FMT_JSON, Transcoder

FIRST_PORT = 10000
FIRST_WEB_PORT = 18000
_MANY_ROUNDS = 20_000

_derived: dict[KeyDerivation, bytes] = {}


def derive(derivation: KeyDerivation) -> bytes:
    """Compute a salted password, once for all tests."""
    salted = _derived.get(derivation)
    if salted is None:
        salted = _derived[derivation] = derivation.derive()
    return salted


def defaults() -> Defaults:
    """What a Bucket hands its operations when nothing was set."""
    return Defaults(Transcoder(), FMT_JSON, wall_clock=ManualClock().wall)


class ScriptedNode:
    """A node that answers as a test wants.

    Args:
        answer: given each request, gives the bytes to send; None closes the connection.
        greeting: what it sends unasked when it is connected.
    """

    def __init__(self, answer: Callable[[Frame], bytes | None], greeting: bytes = b"") -> None:
        self.answer = answer
        self.greeting = greeting
        self.links: list[ScriptedLink] = []

    def accept(self, *, peer: str) -> ScriptedLink:
        link = ScriptedLink(self)
        self.links.append(link)
        return link


class ScriptedLink:
    """A connection to a `ScriptedNode`, with the methods of a `ServerConnection`."""

    def __init__(self, node: ScriptedNode) -> None:
        self.closed = False
        self.requests: list[Frame] = []
        self._node = node
        self._output = node.greeting
        self._decoder = FrameDecoder(RequestFrame)

    def receive_data(self, data: bytes) -> None:
        for frame in self._decoder.receive(data):
            self.requests.append(frame)
            if not self.closed:
                answer = self._node.answer(frame)
                if answer is None:
                    self.closed = True
                else:
                    self._output += answer

    def send(self, data: bytes) -> None:
        """Send something unasked."""
        self._output += data

    def data_to_send(self) -> bytes:
        data, self._output = self._output, b""
        return data

    def next_deadline(self) -> float | None:
        return None

    def handle_deadline(self) -> None:
        """Nothing is ever due."""

    def connection_lost(self) -> None:
        self.closed = True


class Disk:
    """Files in memory that keep configurations, which answer as `config_cache` does."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        """Content and time of each, by path."""
        self.written = 0
        """How often one was written; the time of files."""

    def load(self, event: LoadConfig) -> Cached | Exception | None:
        if event.path not in self.files:
            return FileNotFoundError(ENOENT, "no such file")
        text, mtime = self.files[event.path]
        if mtime == event.seen:
            return None
        try:
            return Cached(load(text, event.bucket, event.origin), mtime)
        except ProtocolError as error:
            return error

    def store(self, event: StoreConfig) -> int | None:
        found = self.load(LoadConfig(event.path, event.config.bucket or "", "", None))
        if (
            isinstance(found, Cached)
            and found.config.uuid == event.config.uuid
            and found.config.revision > event.config.revision
            and found.mtime != event.useless
        ):
            return None
        self.keep(event.path, event.config)
        return self.written

    def keep(self, path: str, config: ClusterConfig) -> None:
        """Let a file hold *config*."""
        self.written += 1
        self.files[path] = (dump(config).encode(), self.written)


class WebPort:
    """A node's port for HTTP."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.accepted = 0

    def accept(self, *, peer: str) -> Any:
        del peer
        self.accepted += 1
        return self.node.accept_http()


class World:
    """One client and its cluster. Nothing happens but in `settle` and `advance`.

    At no time may the client have two connections to one node: `World` asserts it.

    Args:
        cluster: what to connect to.
        chop: cuts all bytes into pieces at random; None: they come as they were written.
        settings: for the session; what is missing fits the cluster.
    """

    def __init__(
        self, cluster: EmbeddedCluster | None = None, *, chop: Random | None = None, **settings: Any
    ) -> None:
        self.chop = chop
        self.clock = ManualClock()
        self.cluster = cluster or EmbeddedCluster(seed=0, clock=self.clock)
        if cluster is not None:
            self.clock = cluster.clock  # type: ignore[assignment]
        for index, node in enumerate(self.cluster.nodes):
            node.ports["kv"] = FIRST_PORT + index
        self.cluster.changed()
        self.nodes: dict[Address, Any] = {
            Address("127.0.0.1", n.ports["kv"]): n for n in self.cluster.nodes
        }
        made: dict[str, Any] = {
            "seeds": tuple(self.nodes),
            "bucket": "default",
            "login": Login("user", "password"),
        }
        made.update(settings)
        self.delivered: list[Operation[Any] | Batch[Any]] = []
        self.on_delivered: Callable[[Any], None] = lambda _: None
        self.session = make_session(
            Settings(**made), self._delivered, Random(1), Random(2).randbytes
        )
        self.links: dict[int, Any] = {}
        self.opened: dict[int, Address] = {}
        """Transports that are open or being opened, by connection id."""
        self.attempts: list[tuple[float, Address]] = []
        """When each connection was begun."""
        self.unreachable: set[Address] = set()
        self.unanswering: set[Address] = set()
        """Addresses where a connection is neither made nor refused."""
        self.srv: dict[str, Sequence[Address] | BaseException | None] = {}
        """What DNS says of each SRV name; None: nothing, ever."""
        self.lookups: list[tuple[float, str]] = []
        self.events: list[Event] = []
        self.disk = Disk()
        self.loads: list[LoadConfig] = []
        self.unwritten: list[StoreConfig] = []
        self.disk_is_slow = False
        """Whether nothing is read, and nothing written before `write_files`."""
        self.writes: list[tuple[int, bytes]] = []
        self.defaults = replace(defaults(), wall_clock=self.clock.wall)

    def _delivered(self, completed: Operation[Any] | Batch[Any]) -> None:
        self.delivered.append(completed)
        self.on_delivered(completed)

    @property
    def now(self) -> float:
        """Virtual monotonic time."""
        return self.clock.now()

    @property
    def logs(self) -> list[str]:
        """Lines of the session's log so far."""
        return [e.text.format(**e.fields) for e in self.events if isinstance(e, LogRecord)]

    def serve_web(self) -> list[Address]:
        """Let the nodes have web ports too; give them."""
        for index, node in enumerate(self.cluster.nodes):
            node.ports["mgmt"] = FIRST_WEB_PORT + index
        self.cluster.changed()
        ports = {Address("127.0.0.1", n.ports["mgmt"]): WebPort(n) for n in self.cluster.nodes}
        self.nodes.update(ports)
        return list(ports)

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

    def do_batch(self, batch: Any) -> Any:
        """Run a batch, however large, in no time; give its result."""
        self.submit(batch)
        self.advance(0.0)
        assert batch.done, "the batch is not complete"
        return batch.result()

    def settle(self) -> None:
        """Carry bytes to and fro, time standing still, until nothing moves."""
        for _ in range(_MANY_ROUNDS):
            if not (self._perform() or self._carry() or self._make_route()):
                return
        raise AssertionError("bytes run in circles")

    def _make_route(self) -> bool:
        """Let the next turn of the loop begin, if the table of routes is still to be made."""
        timer = self.session.table.timer
        if timer is None or not timer.live:
            return False
        self.session.handle_deadline(self.now)
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each deadline."""
        end = self.now + seconds
        while True:
            self.settle()
            session_due = self.session.next_deadline()
            dues = [link.next_deadline() for link in self.links.values()]
            due = min((d for d in (session_due, *dues) if d is not None), default=None)
            if due is None or due > end:
                break
            self.clock.advance(max(0.0, due - self.now))
            for link, at in zip(list(self.links.values()), dues, strict=True):
                if at is not None and at <= self.now:
                    link.handle_deadline()
            if session_due is not None and session_due <= self.now:
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
                    self.opened.pop(event.id, None)
                case ResolveSrv():
                    self._resolve(event)
                case LoadConfig():
                    self.loads.append(event)
                    if not self.disk_is_slow:
                        self.session.config_loaded(self.disk.load(event), self.now)
                case StoreConfig():
                    self.unwritten.append(event)
                    if not self.disk_is_slow:
                        self.write_files()
                case DeriveKey():
                    self.session.key_derived(event.id, derive(event.derivation), self.now)
        return bool(events)

    def _resolve(self, event: ResolveSrv) -> None:
        self.lookups.append((self.now, event.name))
        answer = self.srv.get(event.name, [])
        if isinstance(answer, BaseException):
            self.session.srv_failed(answer, self.now)
        elif answer is not None:
            self.session.srv_resolved(answer, self.now)

    def write_files(self) -> None:
        """Write the files that wait for the disk."""
        while self.unwritten:
            self.session.config_stored(self.disk.store(self.unwritten.pop(0)))

    def _open(self, event: OpenConnection) -> None:
        assert event.address not in self.opened.values(), "two connections to one node"
        self.opened[event.id] = event.address
        self.attempts.append((self.now, event.address))
        if event.address in self.unanswering:
            return
        link = None
        if event.address not in self.unreachable and event.address in self.nodes:
            link = self.nodes[event.address].accept(peer=f"127.0.0.1:{event.id}")
        if link is None or link.closed:
            del self.opened[event.id]
            error = NodeUnreachableError(f"nothing at {event.address}")
            self.session.connect_failed(event.id, error, self.now)
            return
        self.links[event.id] = link
        self.session.connected(event.id, self.now, f"127.0.0.1:{event.id}")

    def _pieces(self, data: bytes) -> list[bytes]:
        if self.chop is None:
            return [data]
        pieces = []
        while data:
            size = self.chop.choice((1, 2, 23, 24, 25, 100, 1000, 100_000))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def _deliver(self, number: int, link: Any) -> bool:
        moved = False
        for connection_id, data in self.session.take_output():
            self.writes.append((connection_id, data))
            moved = True
            target = self.links.get(connection_id)
            if target is None and connection_id == number:
                target = link
            if target is not None:
                for piece in self._pieces(data):
                    target.receive_data(piece)
        return moved

    def _carry(self) -> bool:
        moved = self._deliver(0, None)
        for number, link in list(self.links.items()):
            data = link.data_to_send()
            if data:
                moved = True
                for piece in self._pieces(data):
                    self.session.receive_data(number, piece, self.now)
            if link.closed and number in self.links:
                moved = True
                self.lose(number)
        return moved

    def link_to(self, address: Address) -> int:
        """Return the id of the connection that is open to *address*."""
        return next(n for n, where in self.opened.items() if where == address and n in self.links)

    def owner(self, key: str) -> Address:
        """Where *key* is, by the session's configuration."""
        config = self.session.config
        assert config is not None
        address = config.nodes[config.active[config.vbucket(key.encode())]].address(
            self.session.network, "kv"
        )
        assert address is not None
        return address

    def keys_of(self, address: Address, count: int = 1) -> list[str]:
        """Return *count* keys that the node at *address* owns."""
        found = (key for number in range(100_000) if self.owner(key := f"key{number}") == address)
        return list(islice(found, count))

    def assert_idle(self) -> None:
        """Assert that nothing is retained of any operation, and no timer runs."""
        session = self.session
        assert session.in_flight == 0
        assert session.next_deadline() is None
        assert not session._deadlines
        assert not session.parking.until_open
        assert not session._full
        assert (session.parking.operations, session.parking.bytes) == (0, 0)
        assert session.tracker.request is None
        assert all(not endpoint.parked for endpoint in session.table.endpoints.values())
        assert all(not connection.pending for connection in session.connections)

    def lose(self, number: int, reason: BaseException | None = None) -> None:
        """Cut a connection."""
        link = self.links.pop(number)
        self.opened.pop(number, None)
        link.connection_lost()
        self.session.connection_lost(number, reason, self.now)
