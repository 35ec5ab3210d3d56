"""Callers that use streams: of many documents, and of what a scan finds.

Their consumers take all there is, or pause, or stop in the middle, or are closed while they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, Final

from couchloop.durability import ClientDurability, DurabilityLevel
from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import CollectionName, Operation
from couchloop.mutation_state import MutationState
from couchloop.operations import document as ops
from couchloop.operations.key_stream import WAIT, KeyStream
from couchloop.operations.scan import scan
from couchloop.operations.scan_requests import PrefixScan, RangeScan, SamplingScan, ScanTerm
from couchloop.operations.stream import END
from couchloop.operations.streams import get_stream, remove_stream, upsert_stream
from couchloop.operations.watched_stream import WatchedStream
from tests.simulation.clients import Ask, Client, Script
from tests.simulation.documents import PLACES, DocumentCaller
from tests.simulation.judgement import Act, Judge
from tests.simulation.scans import Scan
from tests.simulation.truth import PREFIX, Place, Version

if TYPE_CHECKING:
    from couchloop.operations.scan import ScanStream
    from couchloop.operations.stream import Stream
    from tests.simulation.history import Call

_KEYS: Final = 40
_ALL: Final = f"{PREFIX}flow-"
_DURABLE_TIME: Final = 1.5
"""Seconds that a durable change has at least."""
_LONGEST_WAIT: Final = 1.0
"""Seconds until a slow source has the next key."""
_SCAN_TIME: Final = 70.0
"""Seconds that one result of a scan may take: many vbuckets have none."""
_DURABLE: Final[tuple[DurabilityLevel | ClientDurability, ...]] = (
    *(level for level in DurabilityLevel if level),
    *(ClientDurability(replicate_to=1), ClientDurability(1, 2), ClientDurability(0, 1)),
)


def _keys(rng: Random, most: int = _KEYS) -> list[str]:
    count = min(most, rng.choice((1, 3, 8, 8, 20, 40)))
    return [f"{_ALL}{number}" for number in rng.sample(range(_KEYS), count)]


class _SlowSource:
    """Keys that are not there yet when they are asked for, as those of an async iterable.

    Args:
        keys: what there will be.
        flow: of the stream.
        rng: when.
    """

    def __init__(self, keys: Iterator[Any], flow: Flow, rng: Random) -> None:
        self._keys: Iterator[Any] | None = keys
        self._flow = flow
        self._rng = rng
        self._is_asking = False
        self._has_one = False

    def take(self) -> Any:
        """See `couchloop.operations.streaming.Source`."""
        if self._keys is None:
            return END
        if self._has_one or self._rng.random() < 0.5:
            self._has_one = False
            return next(self._keys, END)
        if not self._is_asking:
            self._is_asking = True
            seconds = self._rng.choice((0.0, 0.01, _LONGEST_WAIT))
            self._flow.client.loop.after(seconds, self._flow.client.act, self._arrive)
        return WAIT

    def _arrive(self) -> None:
        self._is_asking, self._has_one = False, True
        self._flow.poke()

    def let_go(self) -> None:
        """See `couchloop.operations.streaming.Source`."""
        self._keys = None


class Flow:
    """One stream, and how its consumer waits.

    Args:
        client: whose it is.
        stream: that one.
        what: what it does.
        place: stands for all its documents.
        seconds: how long one result may take.
        began: when it began, if it is a scan: seconds.
        sees: what it is consistent with.
    """

    def __init__(
        self,
        client: Client,
        stream: Stream[Any],
        what: str,
        place: Place,
        seconds: float,
        began: float | None = None,
        sees: Version | None = None,
    ) -> None:
        self.client = client
        self.stream = stream
        self.place = place
        self.what = what
        self.is_closed = False
        self._seconds = seconds
        self._began, self._sees = began, sees

    def pull(self) -> Ask:
        """Wait for the next result."""
        act = Act(self.place, lambda *_: None, self._seconds, changes=False)
        act.label, act.began, act.sees = f"result of {self.what}", self._began, self._sees
        pending = self.stream.pull()
        return Ask(pending, [self.client.history.begin(pending, self.client.number, act=act)])

    def poke(self) -> None:
        """Let those who wait look again."""
        self.stream.poke()
        self.client.schedule()

    def close(self) -> None:
        """Stop, as both adapters' streams do."""
        if not (self.is_closed or self.stream.is_over):
            self.is_closed = True
            self.client.history.note(f"client {self.client.number} closes a stream: {self.what}")
            self._forget()
            self.client.end(self.stream)

    def paused(self, seconds: float) -> None:
        """Take note that the consumer has asked for nothing so long."""

    def _forget(self) -> None:
        """Take note that what is under way has nobody who waits for it."""

    def given(self, result: Any) -> None:
        """Judge a result."""
        raise NotImplementedError

    def ended(self) -> None:
        """Judge the end."""
        raise NotImplementedError


class Many(Flow):
    """A stream of many documents: each is a call of its own.

    Args:
        client: whose it is.
        stream: that one.
        what: what it does.
        place: stands for all its documents.
        seconds: how long one may take.
        judge: of each success.
        most: how many may be under way at once.
        durability: of each, if they are changes.
        changes: whether they are.
    """

    def __init__(
        self,
        client: Client,
        stream: KeyStream[Any],
        what: str,
        place: Place,
        seconds: float,
        judge: Judge,
        *,
        most: int,
        durability: DurabilityLevel | ClientDurability | None = None,
        changes: bool,
    ) -> None:
        super().__init__(client, stream, what, place, seconds)
        self._judge, self._most = judge, most
        self._durability, self._changes = durability, changes
        self._calls: dict[str, Call] = {}
        """What has no result yet, by key."""
        self._flying: dict[Operation[Any], Call] = {}
        self._build, self._done = stream._build, stream.member_done
        stream._build = self._built
        stream.member_done = self._answered  # type: ignore[method-assign]
        if isinstance(stream, WatchedStream):
            self._refuse = stream._refuse
            stream._refuse = self._refused  # type: ignore[method-assign]

    def _built(self, key: Any, said: Any) -> Operation[Any]:
        op = self._build(key, said)
        history = self.client.history
        # Where copies are asked, how many there are is asked first, with a time of its own.
        times = 2 if isinstance(self._durability, ClientDurability) else 1
        place, limit = self.place._replace(key=key), op.timeout * times
        act = Act(place, self._judge, limit, self._changes, self._durability)
        act.label = f"{self.what} of stream"
        call = self._calls[key] = history.begin(op, self.client.number, act=act)
        self._flying[op] = call
        if self.is_closed:
            history.violate("after close", f"{call} was begun")
        if len(self._flying) > self._most:
            text = f"{call} was begun with {len(self._flying)} under way of {self._most}"
            history.violate("backpressure", text)
        return op

    def _answered(self, op: Operation[Any]) -> bool:
        self._end(op)
        return self._done(op)

    def _refused(self, change: Operation[Any], error: CouchbaseError) -> None:
        """Take note that a change is not begun: there are too few copies, or nobody knows."""
        self._end(change)
        self._refuse(change, error)

    def _end(self, op: Operation[Any]) -> None:
        call = self._flying.pop(op, None)
        if call is not None:
            self.client.history.answered(call)

    def paused(self, seconds: float) -> None:
        """See `Flow`: what waits to be begun has to wait as long."""
        for call in self._flying.values():
            assert call.act is not None
            if call.act.is_watched:
                call.act.seconds += seconds
                call.deadline += seconds

    def _forget(self) -> None:
        for call in self._flying.values():
            self.client.history.cancel(call)
        self._flying.clear()

    def given(self, result: Any) -> None:
        """See `Flow`: it is of one of the keys, which has had none before."""
        history = self.client.history
        call = self._calls.pop(result.key, None)
        if call is None:
            history.violate("answered twice", f"a stream gave {result!r}")
        elif call.ended is None:
            history.violate("never done", f"a stream gave {result!r} for {call}")
        else:
            assert history.documents is not None
            history.documents.judge(call, result.error or result)

    def ended(self) -> None:
        """See `Flow`: there was one for each key."""
        for call in () if self.is_closed else self._calls.values():
            self.client.history.violate("forgotten", f"{call} has no result in its stream")


class Scanning(Flow):
    """A stream of what a scan finds.

    Args:
        client: whose it is.
        stream: that one.
        place: stands for all its documents.
        judged: holds them against what there was.
        sees: what it is consistent with.
    """

    def __init__(
        self,
        client: Client,
        stream: ScanStream,
        place: Place,
        judged: Scan,
        sees: Version | None,
    ) -> None:
        super().__init__(client, stream, "scan", place, _SCAN_TIME, judged.began, sees)
        self._judged = judged

    def given(self, result: Any) -> None:
        """See `Flow`."""
        self._judged.given(result)

    def ended(self) -> None:
        """See `Flow`."""
        if not self.is_closed:
            self._judged.ended()


def consume(client: Client, rng: Random, flow: Flow) -> Generator[Ask | float, Any, None]:
    """Take what a stream gives, in some manner."""
    stream = flow.stream
    pauses, stops, is_closed = (rng.random() < share for share in (0.3, 0.15, 0.15))
    is_impatient = rng.random() < 0.2
    while True:
        if pauses and rng.random() < 0.1:
            pause = rng.choice((0.01, 0.5, 3.0))
            yield pause
            flow.paused(pause)
        if stops and rng.random() < 0.1:
            flow.close()
        item: Any = END
        if stream.ready:
            item = stream.take()
        elif not stream.is_over:
            if is_closed and rng.random() < 0.3:
                client.loop.after(rng.uniform(0.0, 0.1), client.act, flow.close)
            ask = flow.pull()
            if is_impatient:
                ask = ask._replace(patience=rng.uniform(0.0, 0.3))
            outcomes = yield ask
            if outcomes is None:
                # It waits no more; perhaps it does again.
                continue
            (item,) = outcomes
        if item is None or isinstance(item, Exception):
            return
        if item is END:
            flow.ended()
            return
        flow.given(item)


class StreamCaller(DocumentCaller):
    """One user of streams; arguments as for `DocumentCaller`."""

    def script(self) -> Script:
        """Work as long as the client wants."""
        habits: tuple[Callable[[], Script], ...] = (
            self.store_many,
            self.fetch_many,
            self.remove_many,
            self.store_one,
            self.scan_range,
            self.sample,
        )
        while self.client.wants:
            (habit,) = self.rng.choices(habits, (4, 3, 2, 3, 4, 1))
            yield from habit()
            yield self.rng.expovariate(1 / self.pause)

    def _many(
        self,
        build: Any,
        names: CollectionName | None,
        given: Callable[[], Iterator[Any]],
        judge: Judge,
        *,
        durability: DurabilityLevel | ClientDurability | None = None,
        changes: bool = True,
        **named: Any,
    ) -> Script:
        place = Place(names, f"{_ALL}*")
        seconds, most = self._timeout(), self.rng.choice((1, 4, 16, 1024))
        if changes and durability is not None:
            named["durability"] = durability
        stream = build(self._of(place), given(), timeout=seconds, in_flight=most, **named)
        if isinstance(durability, ClientDurability):
            seconds *= 4
        elif durability is not None:
            seconds = max(seconds, _DURABLE_TIME)
        flow = Many(
            self.client,
            stream,
            build.__name__.partition("_")[0],
            place,
            seconds + _LONGEST_WAIT,
            judge,
            most=most,
            durability=durability,
            changes=changes,
        )
        if self.rng.random() < 0.25:
            stream.source = _SlowSource(stream.given.__iter__(), flow, self.rng)
        yield from consume(self.client, self.rng, flow)

    # Habits

    def store_many(self) -> Script:
        """Store documents as a stream."""
        names, chosen = self.rng.choice(PLACES), _keys(self.rng)
        durability = self.rng.choice(_DURABLE) if self.rng.random() < 0.4 else None

        def pairs() -> Iterator[tuple[str, Any]]:
            for key in chosen:
                # Only now: the number is that of the call which is begun with it.
                yield key, self._document(Place(names, key))

        yield from self._many(
            upsert_stream, names, pairs, self._judge.changed, durability=durability
        )

    def fetch_many(self) -> Script:
        """Read documents as a stream."""
        names, chosen = self.rng.choice(PLACES), _keys(self.rng)
        quiet = self.rng.random() < 0.5
        yield from self._many(
            get_stream, names, lambda: iter(chosen), self._judge.read, changes=False, quiet=quiet
        )

    def remove_many(self) -> Script:
        """Delete documents as a stream."""
        names, chosen = self.rng.choice(PLACES), _keys(self.rng, 8)
        yield from self._many(
            remove_stream, names, lambda: iter(chosen), self._judge.removed, quiet=False
        )

    def store_one(self) -> Script:
        """Store one of the documents, or delete it; perhaps scan for it then."""
        names = self.rng.choice(PLACES)
        place = Place(names, _keys(self.rng, 1)[0])
        if self.rng.random() < 0.2:
            op: Operation[Any] = ops.remove(self._of(place), place.key, timeout=self._timeout())
            yield from self._act(op, place, self._judge.removed)
            return
        value = self._document(place)
        op = ops.upsert(self._of(place), place.key, value, timeout=self._timeout())
        done = yield from self._act(op, place, self._judge.changed)
        if done is None or isinstance(done, CouchbaseError) or done.token is None:
            return
        version = self._judge.truth.find(place, done.cas)
        if version is not None and self.rng.random() < 0.5:
            yield from self._scan(names, MutationState(done), place, version)

    def scan_range(self) -> Script:
        """Scan all documents, or a range of them."""
        yield from self._scan(self.rng.choice(PLACES))

    def _scan(
        self,
        names: CollectionName | None,
        state: MutationState | None = None,
        place: Place | None = None,
        sees: Version | None = None,
    ) -> Script:
        rng = self.rng
        wanted: PrefixScan | RangeScan
        if rng.random() < 0.5:
            prefix = rng.choice((_ALL, _ALL, f"{_ALL}1"))
            wanted = PrefixScan(prefix)

            def holds(key: bytes) -> bool:
                return key.startswith(prefix.encode())

        else:
            low, high = sorted(f"{_ALL}{rng.randrange(_KEYS)}" for _ in range(2))
            has_low, has_high = rng.random() < 0.5, rng.random() < 0.5
            wanted = RangeScan(ScanTerm(low, not has_low), ScanTerm(high, not has_high))

            def holds(key: bytes) -> bool:
                if key in {low.encode(), high.encode()}:
                    return (has_low or key != low.encode()) and (has_high or key != high.encode())
                return low.encode() < key < high.encode()

        place = place or Place(names, f"{_ALL}*")
        yield from self._take_scan(place, wanted, holds, state, sees)

    def sample(self) -> Script:
        """Scan documents at random."""
        limit = self.rng.choice((1, 5, 30))
        seed = self.rng.choice((None, self.rng.randrange(1000)))
        wanted = SamplingScan(limit, seed)
        place = Place(self.rng.choice(PLACES), f"{_ALL}*")
        yield from self._take_scan(place, wanted, lambda _: True, limit=limit)

    def _take_scan(
        self,
        place: Place,
        wanted: PrefixScan | RangeScan | SamplingScan,
        holds: Callable[[bytes], bool],
        state: MutationState | None = None,
        sees: Version | None = None,
        limit: int | None = None,
    ) -> Script:
        rng = self.rng
        ids_only = rng.random() < 0.3
        stream = scan(
            self._of(place),
            wanted,
            ids_only=ids_only,
            consistent_with=state,
            batch_item_limit=rng.choice((1, 1, 3, 50)),
            concurrency=rng.choice((1, 2, 16)),
            timeout=rng.choice((1.0, 2.5, 25.0)),
        )
        judged = Scan(
            self.client.history,
            self._judge.truth,
            place.names,
            holds,
            self.client.loop.now(),
            limit=limit,
            ids_only=ids_only,
            sees=sees,
        )
        yield from consume(self.client, rng, Scanning(self.client, stream, place, judged, sees))
