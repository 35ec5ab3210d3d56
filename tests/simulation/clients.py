"""A client: one real session, what an adapter does for it, and the callers that use it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop.client.stream import end
from couchloop.exceptions import CasMismatchError, CouchbaseError
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation
from couchloop.operations import document as ops
from couchloop.session.events import (
    CloseConnection,
    Closed,
    DeriveKey,
    LoadConfig,
    OpenConnection,
    OpenFailed,
    StoreConfig,
)
from couchloop.session.session import Session, SessionState
from couchloop.session.standstill import CatchUp
from couchloop.settings.values import Settings
from tests.core.world import Disk, defaults, derive
from tests.simulation.events import Loop, Timer
from tests.simulation.history import COUNTER_EXPIRY, Call, History, Tap
from tests.simulation.network import Network, Wire

if TYPE_CHECKING:
    from couchloop.operations.stream import Stream

_TIMEOUTS: Final = (0.02, 0.3, 2.5, 2.5, 25.0, 25.0)
_TURN: Final = 0.001
"""Seconds that one turn of a loop takes which has stood still: all clients are as slow."""
_SIZES: Final = (0, 0, 0, 0, 30, 200, 3000, 9000)


class Ask(NamedTuple):
    """A caller's step: submit, and wait for the answer, or go away after some seconds."""

    pending: Operation[Any] | Batch[Any]
    calls: list[Call]
    patience: float | None = None


Script = Generator[Ask | float, Any, None]
"""What a caller does: it yields an `Ask` (and is sent the outcome), or seconds to sleep."""


class Client:
    """One client.

    Args:
        number: it is known by this.
        settings: for its session.
        rng: whatever is random about it.
        disk: where files are; None: on one of its own.
        is_eager: callers go on within the wake-up (as Deferreds do), not in the next turn.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        rng: Random,
        loop: Loop,
        network: Network,
        history: History,
        *,
        is_eager: bool,
        disk: Disk | None = None,
    ) -> None:
        self.number = number
        self.rng = rng
        self.loop = loop
        self.history = history
        self.disk = disk or Disk()
        self.wires: dict[int, Wire] = {}
        self.wants = True
        """Whether callers go on."""
        self.is_closed = False
        self.wakeups = 0
        self._network = network
        self._taps: dict[int, Tap] = {}
        self._is_eager = is_eager
        entropy = Random(rng.getrandbits(64))
        self.session = Session(
            settings, self._woken, Random(rng.getrandbits(64)), entropy.randbytes
        )
        self._in_turn = False
        self._scheduled = False
        self._timer: Timer | None = None
        self._armed: float | None = None
        self._due = inf
        self._asked = 0.0
        self._catch_up = CatchUp(self.session)
        self._asleep_until = 0.0
        self._revision: Any = None
        self._waiting: dict[Operation[Any] | Batch[Any], tuple[Ask, Script]] = {}

    # A loop that stands still

    def stand_still(self, seconds: float) -> None:
        """Do nothing for so long, as if the application's code blocked."""
        now = self.loop.now()
        self._asleep_until = max(self._asleep_until, now + seconds)
        self.history.stood_still(self.number, now, self._asleep_until)

    def _sleeps(self, call: Callable[..., object], *arguments: Any, reads: bool = False) -> bool:
        """Return whether the loop stands still; it makes the call when it goes on.

        What the network has brought comes last then, as on most loops.
        """
        now = self.loop.now()
        if now >= self._asleep_until:
            return False
        when = self._asleep_until
        if reads:
            self.history.unread[self.number] += 1
            when += _TURN / 10

        def go_on() -> None:
            if reads:
                self.history.unread[self.number] -= 1
            call(*arguments)

        self.loop.at(when, go_on)
        return True

    # What an adapter does

    def start(self) -> None:
        """Open the bucket."""
        if self._sleeps(self.start):
            return
        self.history.started.setdefault(self.number, self.loop.now())
        if self.history.failed_until.get(self.number) == inf:
            self.history.failed_until[self.number] = self.loop.now()
        self._turn(self.session.start, self.loop.now())

    def close(self, wait: float) -> None:
        """Close the bucket."""
        if self._sleeps(self.close, wait):
            return
        self.history.closed_sessions.add(self.number)
        self._turn(self.session.close, self.loop.now(), wait)

    def connected(self, connection_id: int) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.connected, connection_id, reads=True):
            return
        self._turn(self.session.connected, connection_id, self.loop.now())

    def connect_failed(self, connection_id: int, error: Exception) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.connect_failed, connection_id, error, reads=True):
            return
        self.wires.pop(connection_id, None)
        self._turn(self.session.connect_failed, connection_id, error, self.loop.now())

    def received(self, connection_id: int, data: bytes) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.received, connection_id, data, reads=True):
            return
        self._turn(self.session.receive_data, connection_id, data, self.loop.now())

    def lost(self, connection_id: int, error: Exception | None) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.lost, connection_id, error, reads=True):
            return
        self.wires.pop(connection_id, None)
        self._turn(self.session.connection_lost, connection_id, error, self.loop.now())

    def paused(self, connection_id: int) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.paused, connection_id):
            return
        self._turn(self.session.paused, connection_id)

    def resumed(self, connection_id: int) -> None:
        """See `tests.simulation.network.End`."""
        if self._sleeps(self.resumed, connection_id):
            return
        self._turn(self.session.resumed, connection_id, self.loop.now())

    def _turn(self, call: Callable[..., None], *arguments: Any) -> None:
        assert not self._in_turn, "the network is never so fast"
        self._in_turn = True
        try:
            call(*arguments)
        finally:
            self._in_turn = False
        self._transmit()

    def _schedule(self) -> None:
        """Transmit once this turn is over, so that what one turn sends leaves together."""
        if not (self._in_turn or self._scheduled):
            self._scheduled = True
            self._asked = self.loop.now()
            self.loop.after(0.0, self._flush)

    def _flush(self) -> None:
        if self._sleeps(self._flush):
            return
        self._scheduled = False
        self._catch_up.noticed(self._asked, self.loop.now())
        self._transmit()

    def _transmit(self) -> None:
        session = self.session
        self._in_turn = True
        while True:
            for connection_id, data in session.take_output():
                self._write(connection_id, data)
            events = session.take_events()
            if not events:
                break
            for event in events:
                self._perform(event)
        self._in_turn = False
        self._check_revision()
        when = session.next_deadline()
        if when is None:
            self._catch_up.end()
        if when != self._armed and not self._catch_up.is_reading:
            self._catch_up.noticed(self._due, self.loop.now())
            if when:
                self._catch_up.overdue(when, self.loop.now())
            self._arm(when)

    def _arm(self, when: float | None) -> None:
        self._armed = when
        self._due = inf if when is None else max(when, self.loop.now())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer = self.loop.at(when, self._deadline)

    def _deadline(self) -> None:
        timer = self._timer
        if self._sleeps(self._late_deadline, timer):
            return
        self._timer = self._armed = None
        self.wakeups += 1
        now = self.loop.now()
        self._catch_up.overdue(self._due, now)
        if self._catch_up.reads_first(now):
            self._arm(now + _TURN)
        else:
            self._turn(self.session.handle_deadline, now)

    def _late_deadline(self, timer: Timer) -> None:
        # Whatever came first may have set another time.
        if self._timer is timer:
            self._deadline()

    def _write(self, connection_id: int, data: bytes) -> None:
        if not data:
            return
        wire = self.wires.get(connection_id)
        if wire is None or wire.address not in self._network.web:
            self._taps.setdefault(connection_id, Tap(self.history, self.number)).read(data)
        if wire is not None:
            wire.write(data)

    def _perform(self, event: object) -> None:
        match event:
            case OpenConnection():
                twins = [w for w in self.wires.values() if w.address == event.address]
                if twins:
                    self.history.violate("twins", f"client {self.number} to {event.address}")
                self.wires[event.id] = self._network.open(self, event.id, event.address)
            case CloseConnection():
                wire = self.wires.pop(event.id, None)
                if wire is not None:
                    wire.finish()
            case LoadConfig():
                self.loop.after(self._disk_delay(), self._load, event)
            case StoreConfig():
                self.loop.after(self._disk_delay(), self._store, event)
            case DeriveKey():
                self.loop.after(self.rng.uniform(0.0001, 0.02), self._derived, event)
            case OpenFailed():
                self.loop.note(f"client {self.number} failed: {type(event.error).__name__}")
                self.history.failed_until[self.number] = inf
                self.loop.after(self.rng.uniform(0.0, 2.0), self.start)
            case Closed():
                self.is_closed = True
            case _:
                pass

    def _derived(self, event: DeriveKey) -> None:
        if self._sleeps(self._derived, event):
            return
        self._turn(self.session.key_derived, event.id, derive(event.derivation), self.loop.now())

    def _disk_delay(self) -> float:
        return self.rng.choice((0.0001, 0.001, 0.01, 3.0))

    def _load(self, event: LoadConfig) -> None:
        if self._sleeps(self._load, event):
            return
        self._turn(self.session.config_loaded, self.disk.load(event), self.loop.now())

    def _store(self, event: StoreConfig) -> None:
        if self._sleeps(self._store, event):
            return
        self._turn(self.session.config_stored, self.disk.store(event))

    def _check_revision(self) -> None:
        config = self.session.config
        if config is None:
            # It had one from a file whose nodes were of no use.
            self._revision = None
            return
        if self._revision is not None and config.revision < self._revision:
            text = f"client {self.number} went from {self._revision} to {config.revision}"
            self.history.violate("old configuration", text)
        self._revision = config.revision

    # Callers

    def run(self, script: Script) -> None:
        """Let a caller begin."""
        self._resume(script, None)

    def _resume(self, script: Script, outcome: Any) -> None:
        if self._sleeps(self._resume, script, outcome):
            return
        try:
            step = script.send(outcome)
        except StopIteration:
            return
        if isinstance(step, float):
            self.loop.after(step, self._resume, script, None)
        else:
            self._submit(step, script)

    def _submit(self, ask: Ask, script: Script) -> None:
        pending = ask.pending
        self._waiting[pending] = ask, script
        if ask.patience is not None:
            self.loop.after(ask.patience, self._give_up, ask)
        if isinstance(pending, Batch):
            self.session.submit_batch(pending, self.loop.now())
        else:
            self.session.submit(pending, self.loop.now())
        self._schedule()

    def _give_up(self, ask: Ask) -> None:
        if self._sleeps(self._give_up, ask):
            return
        waiting = self._waiting.pop(ask.pending, None)
        if waiting is None:
            return
        for call in ask.calls:
            self.history.cancel(call)
        if isinstance(ask.pending, Batch):
            self.session.cancel_batch(ask.pending)
        else:
            self.session.cancel(ask.pending)
        self._schedule()
        self.loop.after(0.0, self._resume, waiting[1], None)

    def _woken(self, completed: Operation[Any] | Batch[Any]) -> None:
        waiting = self._waiting.pop(completed, None)
        if waiting is None:
            self.history.violate("answered twice", f"client {self.number}: {completed!r}")
            return
        ask, script = waiting
        outcomes = [self.history.complete(call) for call in ask.calls]
        if self._is_eager:
            self._resume(script, outcomes)
        else:
            self.loop.after(0.0, self._resume, script, outcomes)

    # Streams: what `couchloop.client.stream.end` asks of an adapter's driver

    def act(self, call: Callable[[], object]) -> None:
        """Make a call of the user's, in a turn of the loop's."""
        if not self._sleeps(self.act, call):
            call()

    def end(self, stream: Stream[Any]) -> None:
        """Let go of a stream."""
        end(self, stream)  # type: ignore[arg-type]  # as much of a driver as it needs

    def cancel(self, pending: Batch[Any]) -> None:
        """Forget a batch."""
        self.session.cancel_batch(pending)

    def submit(self, op: Operation[Any]) -> None:
        """Hand over an operation for which nobody waits."""
        self.session.submit(op, self.loop.now())

    def schedule(self) -> None:
        """Have what was asked for sent, and the timer set."""
        self._schedule()

    def still_has(self, wire: Wire) -> None:
        """Take note that a connection on which no whole answer came for long is still there."""
        if self.session.settings.config_poll_interval and self.session.is_open:
            self.history.violate("stuck", f"{wire!r} has brought nothing for long")

    @property
    def has_ended(self) -> bool:
        """Whether the bucket is closed, or is being closed."""
        return self.session.state in {SessionState.CLOSING, SessionState.CLOSED}


class Caller:
    """One of a client's users: it does one thing after another.

    Args:
        number: it is known by this among the client's callers.
        keys: documents that all clients use.
        counters: likewise, numbers.
        pause: seconds between two things, on average.
    """

    def __init__(
        self, client: Client, number: int, keys: list[str], counters: list[str], pause: float
    ) -> None:
        self.client = client
        self.number = number
        self.keys = keys
        self.counters = counters
        self.pause = pause
        self.rng = Random(client.rng.getrandbits(64))
        self._defaults = defaults()
        self._own = 0

    def script(self) -> Script:
        """Work as long as the client wants."""
        habits = (
            self.read,
            self.store,
            self.swap,
            self.count,
            self.come_and_go,
            self.many,
            self.hurry,
        )
        weights = (4, 4, 3, 3, 2, 1, 1)
        while self.client.wants:
            (habit,) = self.rng.choices(habits, weights)
            yield from habit()
            yield self.rng.expovariate(1 / self.pause)

    # Building calls

    def _timeout(self) -> float:
        return self.rng.choice(_TIMEOUTS)

    def _value(self, key: str) -> dict[str, Any]:
        """Return a value that tells its key and its call."""
        return {
            "k": key,
            "n": self.client.history.next_number(),
            "pad": "ab" * self.rng.choice(_SIZES),
        }

    def _one(
        self, op: Operation[Any], claims: int | None = None
    ) -> Generator[Ask | float, Any, Any]:
        call = self.client.history.begin(op, self.client.number, claims)
        outcomes = yield Ask(op, [call], self._patience())
        return None if outcomes is None else outcomes[0]

    def _patience(self) -> float | None:
        return self.rng.uniform(0.0, 0.2) if self.rng.random() < 0.03 else None

    def _get(self, key: str, timeout: float | None = None) -> Operation[Any]:
        return ops.get(self._defaults, key, quiet=True, timeout=timeout or self._timeout())

    def _count(self, key: str, timeout: float | None = None) -> Operation[Any]:
        ttl = COUNTER_EXPIRY + self.client.history.next_number()
        return ops.counter(self._defaults, key, 1, 1, ttl, timeout=timeout or self._timeout())

    # Habits

    def read(self) -> Script:
        """Get a document."""
        yield from self._one(self._get(self.rng.choice(self.keys + self.counters)))

    def store(self) -> Script:
        """Store a document."""
        key = self.rng.choice(self.keys)
        value = self._value(key)
        yield from self._one(ops.upsert(self._defaults, key, value, timeout=self._timeout()))

    def swap(self) -> Script:
        """Read, change, and store with the CAS until nobody came between."""
        key = self.rng.choice(self.keys)
        for _ in range(5):
            seen = yield from self._one(self._get(key))
            if seen is None or isinstance(seen, Exception) or not seen.success:
                return
            build = self.rng.choice((ops.upsert, ops.replace))
            value = self._value(key)
            op = build(self._defaults, key, value, seen.cas, timeout=self._timeout())
            done = yield from self._one(op, seen.value["n"])
            if not isinstance(done, CasMismatchError):
                return

    def count(self) -> Script:
        """Add one to a number."""
        yield from self._one(self._count(self.rng.choice(self.counters)))

    def come_and_go(self) -> Script:
        """Insert a document of one's own, read it, remove it."""
        self._own += 1
        key = f"own-{self.client.number}-{self.number}-{self._own}"
        value = self._value(key)
        inserted = yield from self._one(
            ops.insert(self._defaults, key, value, timeout=self._timeout())
        )
        yield from self._one(self._get(key))
        if isinstance(inserted, CouchbaseError | None) or self.rng.random() < 0.5:
            op = ops.remove(self._defaults, key, timeout=self._timeout())
            yield from self._one(op)
        else:
            op = ops.remove(self._defaults, key, inserted.cas, timeout=self._timeout())
            yield from self._one(op, value["n"])
        yield from self._one(self._get(key))

    def many(self) -> Script:
        """Do several things as a batch."""
        history, number = self.client.history, self.client.number
        timeout = self._timeout()
        calls = []
        kind = self.rng.choice(("get", "upsert", "counter"))
        source = self.counters if kind == "counter" else self.keys
        for key in self.rng.sample(source, self.rng.randint(1, len(source))):
            op: Operation[Any]
            if kind == "get":
                op = self._get(key, timeout)
            elif kind == "upsert":
                op = ops.upsert(self._defaults, key, self._value(key), timeout=timeout)
            else:
                op = self._count(key, timeout)
            calls.append(history.begin(op, number))
        yield Ask(Batch([call.op for call in calls]), calls, self._patience())

    def hurry(self) -> Script:
        """Store and read one document several times without waiting for answers."""
        key = self.rng.choice(self.keys)
        for _ in range(self.rng.randint(2, 6)):
            self.client.run(self._hurried(key))
        yield 0.0

    def _hurried(self, key: str) -> Script:
        if self.rng.random() < 0.3:
            op: Operation[Any] = self._get(key)
        else:
            op = ops.upsert(self._defaults, key, self._value(key), timeout=self._timeout())
        yield from self._one(op)


def final_reads(client: Client, keys: list[str]) -> Iterator[Script]:
    """Yield one caller for each key, which reads it once."""
    for key in keys:
        yield _read_once(client, key)


def _read_once(client: Client, key: str) -> Script:
    op = ops.get(defaults(), key, quiet=True, timeout=30.0)
    call = client.history.begin(op, client.number)
    yield Ask(op, [call])
