"""What a real data node answered to range scans, taken by a whole session.

The session is asked for what the recorded client asked for. It must send the same, as far as that
is ours to say, is given the recorded answers, byte for byte, and must make of them what they hold.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import CouchbaseError, MutationTokenOutdatedError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.hot.operation import body
from couchloop.mutation_state import MutationState
from couchloop.operations.scan import RangeScan, SamplingScan, scan
from couchloop.operations.scan_requests import ScanTerm, items_of
from couchloop.operations.stream import END, Alone, Cancelled, Stream
from couchloop.wire import Opcode, Status
from tests.core.session.support import opened
from tests.core.world import World
from tests.embedded import recordings

CREATE: Final = int(Opcode.RANGE_SCAN_CREATE)
CONTINUE: Final = int(Opcode.RANGE_SCAN_CONTINUE)
CANCEL: Final = int(Opcode.RANGE_SCAN_CANCEL)
ENDS: Final = frozenset({int(Status.RANGE_SCAN_COMPLETE), int(Status.RANGE_SCAN_CANCELLED)})


@dataclass
class Step:
    """A request, and its answers as bytes."""

    request: Frame
    answers: list[bytes] = field(default_factory=list)

    def frames(self) -> list[Frame]:
        """Return the answers."""
        return [recordings.decode(raw) for raw in self.answers]


@dataclass
class Conversation:
    """One scan of a vbucket as it was recorded."""

    note: str
    create: Step
    going_on: list[Step] = field(default_factory=list)
    cancel: Step | None = None

    @property
    def asked(self) -> Any:
        """What the scan was to be: a dict, unless the request is wrong."""
        return json.loads(self.create.request.value)

    @property
    def status(self) -> int:
        """What became of it."""
        return self.create.frames()[0].status

    @property
    def is_complete(self) -> bool:
        """Whether all of it was recorded."""
        return any(frame.status in ENDS for step in self.going_on for frame in step.frames())


def conversations() -> Iterator[Conversation]:
    """Yield those scans of the recording that a client such as ours may ask for."""
    for scenario in recordings.load("12-rangescan"):
        asked: dict[tuple[int, int], Step] = {}
        steps: list[tuple[str, Step]] = []
        for line in scenario.lines:
            raw = None if line.event is not None else line.recorded()
            if raw is None:
                continue
            try:
                frame = recordings.decode(raw)
            except (CouchbaseError, ValueError):
                # Malformed on purpose.
                continue
            place = line.connection, frame.opaque
            if line.sent and CREATE <= frame.opcode <= CANCEL:
                asked[place] = Step(frame)
                steps.append((line.note, asked[place]))
            elif not line.sent and place in asked:
                asked[place].answers.append(raw)
        yield from _joined(steps)


def _joined(steps: list[tuple[str, Step]]) -> Iterator[Conversation]:
    """Put together what is about one scan."""
    by_uuid: dict[bytes, Conversation] = {}
    for note, step in steps:
        request = step.request
        if not step.answers:
            continue
        if request.opcode == CREATE:
            made = Conversation(note, step)
            answer = step.frames()[0]
            if answer.status == Status.SUCCESS:
                by_uuid[body(answer)] = made
            elif _is_ours(made) and answer.status in {
                Status.KEY_ENOENT,
                Status.VB_UUID_NOT_EQUAL,
            }:
                yield made
            continue
        scanned = by_uuid.get(request.extras[:16])
        if scanned is None or scanned.is_complete or scanned.cancel is not None:
            continue
        if request.opcode == CANCEL:
            scanned.cancel = step
        elif step.frames()[-1].status in {*ENDS, int(Status.RANGE_SCAN_MORE)}:
            scanned.going_on.append(step)
    yield from (each for each in by_uuid.values() if _is_ours(each))


def _is_ours(scanned: Conversation) -> bool:
    """Whether our scans ask so: of the default collection, and with members that we know."""
    request = scanned.create.request
    known = {"range", "sampling", "key_only", "snapshot_requirements"}
    try:
        members = scanned.asked
    except ValueError:
        return False
    if request.vbucket or request.datatype != 1 or request.extras or request.key:
        return False
    if not isinstance(members, dict):
        # Refused by the node.
        return False
    if not members.keys() <= known or {"range", "sampling"} <= members.keys():
        return False
    bounds = members.get("range", {})
    return (len(bounds) == 2 and all(isinstance(each, str) for each in bounds.values())) or (
        "sampling" in members
        and members["sampling"].keys() == {"seed", "samples"}
        # None at all nobody asks for.
        and members["sampling"]["samples"]
    )


SCANS: Final = list(conversations())


class Recorded:
    """Stands before a connection of the embedded cluster, and answers scans as was recorded."""

    def __init__(self, link: Any, told: Conversation) -> None:
        self._link = link
        self._told = told
        self._decoder = FrameDecoder(RequestFrame)
        self._output = b""
        self.requests: list[Frame] = []
        self._left = list(told.going_on)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def receive_data(self, data: bytes) -> None:
        """Take requests."""
        for frame in self._decoder.receive(data):
            if not CREATE <= frame.opcode <= CANCEL:
                self._link.receive_data(frame.encode())
                continue
            self.requests.append(frame)
            for raw in self._answers(frame):
                self._output += raw[:12] + frame.opaque.to_bytes(4) + raw[16:]

    def _answers(self, frame: Frame) -> list[bytes]:
        if frame.opcode == CREATE:
            return self._told.create.answers
        if frame.opcode == CANCEL:
            return self._told.cancel.answers if self._told.cancel else []
        # What was not recorded is not answered.
        return self._left.pop(0).answers if self._left else []

    def data_to_send(self) -> bytes:
        """Return what is to be written."""
        data, self._output = self._output, b""
        return data + bytes(self._link.data_to_send())


def world(told: Conversation) -> tuple[World, Recorded]:
    """Open a bucket of one vbucket, whose node answers as *told*."""
    w = opened(EmbeddedCluster(1, vbuckets=1, replicas=0, seed=0, clock=ManualClock()))
    ((number, link),) = w.links.items()
    stand_in = w.links[number] = Recorded(link, told)
    return w, stand_in


def term(bounds: dict[str, str], name: str) -> ScanTerm:
    """Return a bound as the user gives it."""
    is_exclusive = f"excl_{name}" in bounds
    return ScanTerm(b64decode(bounds[f"excl_{name}" if is_exclusive else name]), is_exclusive)


def stream_of(w: World, told: Conversation) -> Stream[Any]:
    """Ask for what was asked for."""
    asked = told.asked
    what: RangeScan | SamplingScan
    if "sampling" in asked:
        what = SamplingScan(asked["sampling"]["samples"], asked["sampling"]["seed"])
    else:
        bounds = asked["range"]
        what = RangeScan(term(bounds, "start"), term(bounds, "end"))
    more: dict[str, Any] = {}
    wanted = asked.get("snapshot_requirements")
    if wanted is not None:
        text = json.dumps({"default": {"0": [wanted["seqno"], wanted["vb_uuid"]]}})
        more = {"consistent_with": MutationState.decode(text)}
    items = int.from_bytes(told.going_on[0].request.extras[16:20]) if told.going_on else 0
    return scan(
        w.defaults,
        what,
        ids_only=asked.get("key_only", False),
        batch_item_limit=items or 1000,
        batch_byte_limit=0,
        **more,
    )


@pytest.mark.parametrize("told", SCANS, ids=[f"{n}-{told.note}" for n, told in enumerate(SCANS)])
def test_recorded_scan(told: Conversation) -> None:
    """The session asks as the recorded client did, and gives what the node answered."""
    w, node = world(told)
    stream = stream_of(w, told)
    pull = w.submit(stream.pull())
    w.advance(0.0)
    create, *others = node.requests
    asked = json.loads(create.value)
    assert asked.pop("collection", "0") == "0"
    expected = told.asked
    for each in (asked, expected):
        # How long to wait for a change is each client's own choice.
        each.get("snapshot_requirements", {}).pop("timeout_ms", None)
        each.get("snapshot_requirements", {}).pop("seqno_exists", None)
    assert asked == expected
    assert (create.vbucket, create.datatype, create.extras, create.key) == (0, 1, b"", b"")
    if told.status == Status.VB_UUID_NOT_EQUAL:
        with pytest.raises(MutationTokenOutdatedError):
            pull.result()
        return
    results: list[Any] = []
    while pull.done and (result := pull.result()) is not END:
        results.append(result)
        while stream.ready:
            results.append(stream.take())
        pull = w.submit(stream.pull())
        w.advance(0.0)
    ids_only = told.asked.get("key_only", False)
    items = [
        item
        for step in told.going_on
        for frame in step.frames()
        if frame.status not in {Status.KEY_ENOENT, Status.RANGE_SCAN_CANCELLED}
        for item in items_of(frame, ids_only=ids_only)
    ]
    assert [each.key for each in results] == [item.key.decode() for item in items]
    if not ids_only:
        assert [each.cas for each in results] == [item.cas for item in items]
    others = [frame for frame in node.requests[1:] if frame.opcode == CONTINUE]
    for mine, step in zip(others, told.going_on, strict=False):
        assert mine.extras[:16] == step.request.extras[:16]
        assert (mine.vbucket, mine.value, mine.key) == (0, b"", b"")
        if step.request.extras[16:20] != bytes(4) and step is told.going_on[0]:
            # So many items; how much time a node may take is each client's own choice.
            assert mine.extras[16:20] == step.request.extras[16:20]
            assert mine.extras[24:] == step.request.extras[24:]
    _end(w, stream)
    cancels = [frame for frame in node.requests if frame.opcode == CANCEL]
    assert bool(cancels) is (told.status == Status.SUCCESS and not told.is_complete)
    if told.cancel is not None:
        (cancel,) = cancels
        assert (cancel.extras, cancel.value) == (told.cancel.request.extras, b"")
    w.advance(200.0)
    assert w.session.in_flight == 0


def _end(w: World, stream: Stream[Any]) -> None:
    """Close a stream as an adapter does."""
    flying, farewells = stream.close()
    if flying:
        w.session.cancel_batch(Cancelled(stream, flying))
    for op in farewells:
        op.batch = Alone()
        w.submit(op)
    w.advance(0.0)


def test_kinds() -> None:
    """Of each kind of scan there are some: whole, in steps, empty, cancelled, with a token."""
    kinds: Counter[str] = Counter()
    for told in SCANS:
        kinds["keys" if told.asked.get("key_only") else "documents"] += 1
        kinds["sample" if "sampling" in told.asked else "range"] += 1
        kinds["token"] += "snapshot_requirements" in told.asked
        kinds["nothing"] += told.status == Status.KEY_ENOENT
        kinds["outdated"] += told.status == Status.VB_UUID_NOT_EQUAL
        kinds["steps"] += len(told.going_on) > 1
        kinds["cancelled"] += told.cancel is not None
    assert len(SCANS) > 20
    assert all(count > 0 for count in kinds.values()), kinds
