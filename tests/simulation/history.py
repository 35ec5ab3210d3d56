"""What clients asked and heard, what the server did, and whether the two agree.

The server's side is written down where it happens: around each request that a connection of the
embedded cluster executes. So every document's states are known with the instants between which
they held, and every answer can be held against them.

Requests are known by what they carry, not by opaque or connection, for these are what the
client might mix up: stores carry the number of the call in the value, counters in the expiry
(decades away, so that it does nothing), removals in key and CAS.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from couchloop.embedded import Bucket, ServerConnection
from couchloop.embedded.core.connection import KeyValueConnection
from couchloop.exceptions import (
    AmbiguousError,
    BusyError,
    CasMismatchError,
    ConnectionLostError,
    CouchbaseError,
    DocumentExistsError,
    NotFoundError,
    ObjectDestroyedError,
    OverloadedError,
    RangeScanCanceledError,
    RequestCanceledError,
    TemporaryFailError,
    TimeoutError,  # noqa: A004 - the client's own
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.hot.operation import Operation
from couchloop.retries import RetryReason
from couchloop.session.standstill import LATE
from couchloop.wire import Datatype, Opcode, snappy
from tests.simulation.events import Loop
from tests.simulation.truth import PREFIX, is_document, numbers_in

if TYPE_CHECKING:
    from tests.simulation.caches import Caches
    from tests.simulation.judgement import Act, Documents

INSTANT: Final = 1e-9
"""Deadlines are sums of floats: so much may they differ."""

COUNTER_EXPIRY: Final = 2_000_000_000
"""Epoch seconds; a counter's request carries this plus the number of its call."""

READING: Final = 0.2
"""Seconds that a loop which stood still may take to read what has come: 128 turns at most."""

CALM: Final = 10.0
"""Seconds without any fault after which nothing may fail any more: a node's handshake may take two
until it is given up, the pause before the next up to two, and bootstrap five in all."""

_IN_ORDER: Final = {RetryReason.NODE_NOT_AVAILABLE, RetryReason.KV_COLLECTION_OUTDATED}
"""What waits for its node, or for the number of its collection, keeps its place."""

_OF_SCANS: Final = (
    TimeoutError,
    BusyError,
    ConnectionLostError,
    RangeScanCanceledError,
    TemporaryFailError,
)
"""What faults make of scans."""
_STORES: Final = frozenset({Opcode.SET, Opcode.ADD, Opcode.REPLACE})
_COUNTS: Final = frozenset({Opcode.INCREMENT, Opcode.DECREMENT})
_ADDITIONS: Final = frozenset({Opcode.APPEND, Opcode.PREPEND})
_CHANGES: Final = frozenset({*_STORES, *_COUNTS, Opcode.DELETE})


@dataclass(slots=True, eq=False)
class Call:
    """One operation of one caller."""

    number: int
    client: int
    op: Operation[Any]
    key: str
    begun: int
    """Tick of the submission."""
    deadline: float
    claims: int | None = None
    """Number of the call whose value the caller read, if this one has that value's CAS."""
    ended: int | None = None
    """Tick of the answer, or of the cancellation."""
    ended_at: float = 0.0
    """Seconds; what a stream has is taken, and judged, later."""
    unread: int = 0
    """What had come for its client then, and was not read yet."""
    canceled: bool = False
    canceled_at: float = 0.0
    sent: int = 0
    executed: list[State] = field(default_factory=list)
    is_undone: bool = False
    """The caller was told that the server has not done it."""
    act: Act | None = None
    """What it is to do, if that is judged by what the document was (`Documents`)."""
    is_promised: bool = False
    """The caller was told that it is durable."""

    def __str__(self) -> str:
        return f"call {self.number} of client {self.client}: {self.name} {self.key}"

    @property
    def name(self) -> str:
        """What is done."""
        return getattr(self.op, "name", "batch")


@dataclass(slots=True, eq=False)
class State:
    """What a document was for a while: absent if it has no CAS."""

    cas: int
    value: Any
    number: int
    """Of the call that made it so."""
    born: int
    died: int | None = None


class History:
    """The judge of one world.

    Args:
        loop: the world's time.
        calm_since: gives since when there was no fault, None while there is one.
    """

    def __init__(self, loop: Loop, calm_since: Callable[[], float | None]) -> None:
        self.violations: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.deeds: Counter[str] = Counter()
        """What was done with documents of which kind."""
        self.open: dict[int, Call] = {}
        """Calls that wait for their answer, by number."""
        self.failed_until: dict[int, float] = {}
        """Until when a client's bucket was in failure, having found no node that would open it."""
        self.closed_sessions: set[int] = set()
        self.hasty: set[int] = set()
        """Clients that want to fail at once rather than to wait."""
        self.bounded: set[int] = set()
        """Clients that want to fail at once rather than to have much wait."""
        self.started: dict[int, float] = {}
        """When each client began to open its bucket."""
        self.states: dict[str, list[State]] = defaultdict(lambda: [State(0, None, 0, 0)])
        self.losses = 0
        self.lost: Counter[str] = Counter()
        """By how much failovers have set each counter back."""
        self.surely_counted: Counter[str] = Counter()
        self.perhaps_counted: Counter[str] = Counter()
        self.unread: Counter[int] = Counter()
        """What has come for each client whose loop stands still, or has just gone on."""
        self._standstills: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self._calls: dict[int, Call] = {}
        self._removals: dict[tuple[int, str, int], Call] = {}
        self._unsent: dict[tuple[int, str], dict[int, Call]] = defaultdict(dict)
        self._silenced: set[tuple[int, str]] = set()
        """Client and key of requests that a server swallowed: no client can know."""
        self._by_cas: dict[tuple[str, int], State] = {}
        self._loop = loop
        self._calm_since = calm_since
        self.documents: Documents | Caches | None = None
        """Judges the calls that have an `Act`."""

    @property
    def calls_by_number(self) -> dict[int, Call]:
        """All calls."""
        return self._calls

    @property
    def calls(self) -> int:
        """How many there were."""
        return len(self._calls)

    def next_number(self) -> int:
        """What the next call will be known by."""
        return len(self._calls) + 1

    def violate(self, rule: str, text: object) -> None:
        """Write down that a promise was broken."""
        line = f"{rule}: {text} (at {self._loop.now():.6f})"
        self._loop.note(f"VIOLATION {line}")
        self.violations.append(line)

    def note(self, text: str) -> None:
        """Write down that something happened."""
        self._loop.note(text)

    # The client's side

    def stood_still(self, client: int, since: float, until: float) -> None:
        """Take note that a client's loop stands still between these times."""
        self._loop.note(f"client {client} stands still until {until}")
        self._standstills[client].append((since, until))

    def _latest_end(self, call: Call) -> float:
        """Return when *call* must be over: what its loop could do nothing about is read first."""
        latest = call.deadline
        for since, until in sorted(self._standstills[call.client]):
            if since <= latest <= until + READING:
                latest = until + READING
        return latest

    def begin(
        self, op: Any, client: int, claims: int | None = None, act: Act | None = None
    ) -> Call:
        """Take note of a call that is about to be submitted: an operation, or a batch."""
        call = Call(
            self.next_number(),
            client,
            op,
            str(op.key if act is None else act.place),
            self._loop.tick(),
            self._loop.now() + (op.timeout if act is None else act.seconds),
            claims,
            act=act,
        )
        self._calls[call.number] = self.open[call.number] = call
        opcode = op.opcode if isinstance(op, Operation) else None
        if opcode in (_CHANGES if act is None else _STORES | _ADDITIONS):
            self._unsent[client, call.key][call.number] = call
        if isinstance(op, Bulk) and act is not None:
            for key in op.keys[-3:]:
                self._unsent[client, str(act.place._replace(key=key))][call.number] = call
        if opcode == Opcode.DELETE and act is None:
            identity = client, call.key, op.cas
            assert identity not in self._removals, "a workload must not repeat a removal"
            self._removals[identity] = call
        self._loop.note(f"begin {call}")
        return call

    def wrote(self, client: int, frame: Frame) -> None:
        """Take note of a request that a client has written."""
        call = self._identify(client, frame)
        if call is None:
            return
        if call.canceled and not call.sent and self._loop.now() > call.canceled_at:
            self.violate("after cancel", f"{call} was first sent when it was cancelled")
        call.sent += 1
        place = call.key
        if call.act is not None:
            # One of a large batch, perhaps.
            key = frame.key[frame.key.index(PREFIX.encode()) :].decode()
            place = str(call.act.place._replace(key=key))
        waiting = self._unsent[client, place]
        if call.number not in waiting:
            return
        del waiting[call.number]
        for earlier in list(waiting.values()):
            if earlier.number > call.number:
                break
            if earlier.ended is not None or earlier.op.done:
                # One of a batch may be over long before its caller hears of it.
                del waiting[earlier.number]
            elif not self._had_to_wait(earlier):
                self.violate("order", f"{call} was written before {earlier}")

    def _had_to_wait(self, call: Call) -> bool:
        """Whether something may have kept a call from being written in its order."""
        op: Any = call.op
        if isinstance(op, Batch):
            # What one of its keys has met is not known before the end.
            return bool(self._calm_since()) or call.client in self.bounded
        return bool(op.attempts or {*op.reasons} - _IN_ORDER)

    def cancel(self, call: Call) -> None:
        """Take note that the caller has gone."""
        call.canceled, call.canceled_at = True, self._loop.now()
        call.ended = self._loop.tick()
        del self.open[call.number]
        self.outcomes["cancelled"] += 1
        if call.name == "counter":
            self.perhaps_counted[call.key] += 1
        self._loop.note(f"cancel {call}")

    def answered(self, call: Call) -> bool:
        """Take note that a call is over, in time or not; return whether that is news."""
        if call.ended is not None:
            rule = "after cancel" if call.canceled else "answered twice"
            self.violate(rule, call)
            return False
        del self.open[call.number]
        call.ended = self._loop.tick()
        call.ended_at = now = self._loop.now()
        call.unread = self.unread[call.client]
        if now > self._latest_end(call) + INSTANT:
            self.violate("late", f"{call} ended {now - call.deadline:.6f} s after its deadline")
        return True

    def complete(self, call: Call) -> Any:
        """Judge an answer; give the result, or the error."""
        if not self.answered(call):
            return None
        if call.act is not None:
            assert self.documents is not None
            return self.documents.complete(call)
        error = call.op.error
        if error is not None:
            self._loop.note(f"end {call}: {type(error).__name__}")
            self.outcomes[type(error).__name__] += 1
            self._judge_error(call, error)
            return error
        self.outcomes["done"] += 1
        try:
            result = call.op.result()
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is a finding
            self.violate("unreadable", f"{call}: {failure!r}")
            return failure
        self._loop.note(f"end {call}: {result.cas:x}")
        if result.key != call.op.key:
            self.violate("wrong caller", f"{call} got the answer for {result.key!r}")
        elif call.op.opcode == Opcode.GET:
            self._judge_read(call, result)
        else:
            self._judge_change(call, result)
        return result

    def _judge_read(self, call: Call, result: Any) -> None:
        if not result.success:
            if not self._was(call, lambda state: not state.cas):
                self.violate("phantom", f"{call} missed a document that was there all the time")
            return
        value = result.value
        owner = value.get("k") if isinstance(value, dict) else None
        if owner not in {call.key, None}:
            self.violate("wrong caller", f"{call} got the value of {owner}")
            return
        state = self._by_cas.get((call.key, result.cas))
        if state is None:
            self.violate("phantom", f"{call} got a version that never was: {result.cas:x}")
        elif state.value != value:
            self.violate("phantom", f"{call} got {value!r} where {state.value!r} was")
        elif not self._holds(state, call):
            self.violate("phantom", f"{call} got a version that did not hold while it ran")

    def _judge_change(self, call: Call, result: Any) -> None:
        if not call.executed:
            self.violate("never done", f"{call} was acknowledged")
            return
        state = call.executed[0]
        if state.born < call.begun:
            self.violate("phantom", f"{call} was done before it was begun")
        if call.op.opcode == Opcode.DELETE:
            pass
        elif result.cas != state.cas:
            self.violate("wrong caller", f"{call} got CAS {result.cas:x} instead of {state.cas:x}")
        if call.op.name == "counter":
            self.surely_counted[call.key] += 1
            if result.value != state.value:
                self.violate("counter", f"{call} got {result.value}, it was {state.value}")

    def _judge_error(self, call: Call, error: CouchbaseError) -> None:
        if isinstance(error, AmbiguousError):
            if call.op.idempotent:
                self.violate("error class", f"{call} is idempotent, and ambiguous: {error!r}")
            elif not call.sent:
                self.violate("error class", f"{call} was never sent, and is ambiguous: {error!r}")
            if call.op.name == "counter":
                self.perhaps_counted[call.key] += 1
        else:
            call.is_undone = True
            if call.executed:
                self.violate("error class", f"{call} was done, and told as not done: {error!r}")
        self.judge_reason(call, error)

    def judge_reason(self, call: Call, error: CouchbaseError) -> None:
        """Hold an error against what could cause it."""
        op = call.op
        if isinstance(error, NotFoundError):
            if not self._was(call, lambda state: not state.cas):
                self.violate("error class", f"{call} missed a document that was always there")
        elif isinstance(error, DocumentExistsError):
            if op.name != "insert" or not self._was(call, lambda state: bool(state.cas)):
                self.violate("error class", f"{call} met no document: {error!r}")
        elif isinstance(error, CasMismatchError):
            if not self._was(call, lambda state: bool(state.cas) and state.cas != op.cas):
                self.violate("error class", f"{call} met no other version: {error!r}")
        elif isinstance(error, ObjectDestroyedError | RequestCanceledError):
            if call.client not in self.closed_sessions:
                self.violate("error class", f"{call}: nobody closed the bucket: {error!r}")
        elif isinstance(error, OverloadedError):
            if call.client not in self.bounded:
                self.violate("error class", f"{call}: so much may well wait: {error!r}")
        else:
            self._judge_fault(call, error)

    def _judge_fault(self, call: Call, error: CouchbaseError) -> None:
        """Judge an error that only faults can cause."""
        now = call.ended_at
        is_timeout = isinstance(error, TimeoutError)
        # A loop that is later than its timers by less has not stood still.
        if is_timeout and call.unread and now >= call.deadline + LATE:
            self.violate("unread", f"{call} timed out before all was read that had come")
        begun = call.deadline - (call.op.timeout if call.act is None else call.act.seconds)
        has_failed = begun <= self.failed_until.get(call.client, -1.0)
        # Of a procedure's steps nobody knows.
        is_step = not isinstance(call.op, Operation) or (
            call.act is not None and call.act.is_watched
        )
        has_reason = is_step or bool(call.op.reasons) or has_failed
        if is_timeout and now < call.deadline - INSTANT and not has_reason:
            self.violate("early", f"{call} timed out {call.deadline - now:.6f} s too early")
        is_hasty = call.client in self.hasty
        if not (is_timeout or isinstance(error, AmbiguousError) or has_failed or is_hasty):
            self.violate("error class", f"{call}: {error!r}")
        calm = self._calm_since()
        if is_hasty:
            # Before its bucket was open nothing could be done for it.
            calm = None if calm is None else max(calm, self.started[call.client])
            if "circuit breaker" in error.message:
                # Calls with less time than the network takes have opened it.
                return
        key = call.key if call.act is None else call.act.place.key
        if calm is not None and (call.client, key) not in self._silenced:
            if is_timeout and now - max(calm, begun) > CALM:
                self.violate("given up", f"{call} failed after {CALM} s of calm: {error!r}")
            elif not is_timeout and begun - calm > CALM:
                self.violate("given up", f"{call} failed in calm weather: {error!r}")

    def excuses_scan(self, call: Call, began: float, error: CouchbaseError) -> bool:
        """Whether there was a fault that explains how a scan has failed which began then."""
        if not isinstance(error, _OF_SCANS):
            return False
        assert call.act is not None
        calm = self._calm_since()
        if calm is None or (call.client, "") in self._silenced:
            return True
        since = began
        if isinstance(error, TimeoutError):
            # A request may wait behind durable writes for longer than it has time.
            since, calm = call.ended_at, max(calm, call.deadline - call.act.seconds)
        if since - calm > CALM:
            self.violate("given up", f"{call} failed in calm weather: {error!r}")
        return True

    def _was(self, call: Call, wanted: Callable[[State], bool]) -> bool:
        """Return whether the document was in such a state at some time while *call* ran."""
        for state in reversed(self.states[call.key]):
            if state.died is not None and state.died < call.begun:
                return False
            if wanted(state):
                return True
        return False

    @staticmethod
    def _holds(state: State, call: Call) -> bool:
        return state.died is None or state.died > call.begun

    # The server's side

    def watch(self, client: int, link: ServerConnection) -> None:
        """Write down what the server does on a connection."""
        assert isinstance(link, KeyValueConnection)
        execute = link._execute

        def watched(request: Any) -> Any:
            answers = execute(request)
            if request.injection is not None and request.injection.silent:
                self._silenced.add((client, request.key.decode()))
            if is_document(request.key):
                assert self.documents is not None
                self.documents.executed(request, is_done=bool(answers))
            elif answers and request.frame.opcode in _CHANGES:
                self._executed(client, request)
            return answers

        link._execute = watched  # type: ignore[method-assign]

    def failed_over(self, bucket: Bucket) -> None:
        """Take note of what replicas that took over do not know: it is as it was before."""
        for key, states in self.states.items():
            number = (crc32(key.encode()) >> 16 & 0x7FFF) % len(bucket.partitions)
            copy = bucket.active(number)
            document = copy.documents.get((0, key.encode())) if copy is not None else None
            cas = 0 if document is None or document.deleted else document.cas
            newest = states[-1]
            if cas == newest.cas:
                continue
            self.losses += 1
            newest.died = tick = self._loop.tick()
            older = self._by_cas[key, cas] if cas else states[0]
            again = State(cas, older.value, older.number, tick)
            states.append(again)
            if cas:
                self._by_cas[key, cas] = again
            if isinstance(newest.value, int):
                self.lost[key] += newest.value - (older.value or 0)
            self._loop.note(f"lost {key} {newest.cas:x}, it is {cas:x} again")

    def _executed(self, client: int, request: Any) -> None:
        frame: Frame = request.frame
        key = request.key.decode()
        vbucket = request.bucket.active(frame.vbucket)
        document = vbucket.documents[request.document_id]
        call = self._identify(client, frame)
        if call is None or call.key != key:
            self.violate("unknown request", f"{frame!r} changed {key}")
            return
        states = self.states[key]
        before = states[-1]
        before.died = tick = self._loop.tick()
        if document.deleted:
            state = State(0, None, call.number, tick)
        else:
            state = State(document.cas, json.loads(document.body()), call.number, tick)
            self._by_cas[key, document.cas] = state
        states.append(state)
        call.executed.append(state)
        self._loop.note(f"done {call} {document.cas:x}")
        if len(call.executed) > 1:
            self.violate("done twice", call)
        if call.is_undone:
            self.violate("error class", f"{call} is done after it was told as not done")
        if call.op.cas and call.claims != before.number:
            self.violate("CAS", f"{call} replaced call {before.number}, not {call.claims}")
        if call.op.name == "counter" and state.value != (before.value or 0) + 1:
            self.violate("counter", f"{call} made {state.value} of {before.value}")

    def _identify(self, client: int, frame: Frame) -> Call | None:
        """Find the call that a request belongs to, by what it carries."""
        number = 0
        if is_document(frame.key):
            number = number_of(frame)
        elif frame.opcode in _COUNTS:
            number = int.from_bytes(frame.extras[16:]) - COUNTER_EXPIRY
        elif frame.opcode in _STORES:
            value = frame.value
            if frame.datatype & Datatype.SNAPPY:
                value = snappy.decompress(value, 1 << 20)
            number = json.loads(value)["n"]
        elif frame.opcode == Opcode.DELETE:
            key = frame.key.removeprefix(b"\0").decode()
            return self._removals.get((client, key, frame.cas))
        return self._calls.get(number)


def number_of(frame: Frame) -> int:
    """Return the number of the call that stores, or adds to, one of the documents."""
    value = frame.value
    if frame.datatype & Datatype.SNAPPY:
        value = snappy.decompress(value, 1 << 20)
    if value.startswith(b"<"):
        (number,) = numbers_in(value.decode()) or (0,)
        return number
    found = json.loads(value) if frame.opcode in _STORES else {}
    return found["n"] if isinstance(found, dict) and "n" in found else 0


class Tap:
    """Reads along what a client writes on one connection."""

    def __init__(self, history: History, client: int) -> None:
        self._history = history
        self._client = client
        self._decoder = FrameDecoder(RequestFrame)

    def read(self, data: bytes) -> None:
        """Take what is being written."""
        for frame in self._decoder.receive(data):
            if frame.opcode in _CHANGES or frame.opcode in _ADDITIONS:
                self._history.wrote(self._client, frame)
