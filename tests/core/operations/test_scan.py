"""Scans against bytes, in virtual time: whatever happens, each document once, and in order."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    AmbiguousError,
    ArgumentError,
    CollectionNotFoundError,
    ConnectionLostError,
    CouchbaseError,
    FeatureNotAvailableError,
    ForkedProcessError,
    MutationTokenOutdatedError,
    NotAuthorizedError,
    ProtocolError,
    RangeScanCanceledError,
    RequestCanceledError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.hot.operation import CollectionName
from couchloop.operations import document as ops
from couchloop.operations.scan import scan
from couchloop.operations.scan_requests import (
    Create,
    Item,
    PrefixScan,
    RangeScan,
    SamplingScan,
    items_of,
    uuid_of,
)
from couchloop.operations.stream import END, Alone, Cancelled, Stream
from couchloop.wire import Opcode, Status
from tests.core.operations.test_streaming import take_all
from tests.core.session.support import FIRST, SECOND, THIRD, opened
from tests.core.world import World, defaults
from tests.embedded import recordings
from tests.extras import needs_snappy
from tests.share import share

KEYS = [f"k{number:03}" for number in range(90)]


NOT_AMBIGUOUS: dict[str, type[CouchbaseError]] = {
    "closed": RequestCanceledError,
    "lost": ConnectionLostError,
    "forked": ForkedProcessError,
}


def stored(**more: Any) -> World:
    """Return an open world with documents, all of them on disk."""
    w = opened(EmbeddedCluster(nodes=3, seed=1, clock=ManualClock()), **more)
    for key in KEYS:
        w.do(ops.upsert(w.defaults, key, {"id": key}))
    w.advance(1.0)
    return w


def assert_all(w: World, found: list[Any]) -> None:
    """Assert that each document was given once, in order within its vbucket."""
    keys = [each.key for each in found]
    assert sorted(keys) == KEYS
    config = w.session.config
    assert config is not None
    last: dict[int, str] = {}
    for key in keys:
        number = config.vbucket(key.encode())
        assert last.get(number, "") < key
        last[number] = key


def end(w: World, stream: Stream[Any]) -> None:
    """Close a stream as an adapter does."""
    flying, farewells = stream.close()
    if flying:
        w.session.cancel_batch(Cancelled(stream, flying))
    for op in farewells:
        op.batch = Alone()
        w.submit(op)


def running(w: World) -> int:
    """Count the scans that the nodes keep."""
    return sum(
        len(copy.scans)
        for partition in w.cluster.buckets["default"].partitions
        for copy in partition.copies.values()
    )


_EVENTS = ("lose", "move", "forget", "busy", "temporary", "nothing", "wait")


@settings(max_examples=share(15), deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from(_EVENTS), st.integers(0, 1000)), max_size=6
    ),
    concurrency=st.sampled_from([1, 3, 40]),
    items=st.sampled_from([1, 2, 50]),
    ids_only=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 100)),
)
def test_every_document_once(
    events: list[tuple[int, str, int]],
    concurrency: int,
    items: int,
    ids_only: bool,
    seed: int | None,
) -> None:
    """However answers are cut, and whatever happens to nodes, vbuckets and scans meanwhile."""
    w = stored()
    if seed is not None:
        w.chop = Random(seed)
    stream = scan(
        w.defaults,
        RangeScan(),
        concurrency=concurrency,
        batch_item_limit=items,
        ids_only=ids_only,
    )
    found: list[Any] = []
    for some, event, number in events:
        wanted = len(found) + some
        while len(found) < wanted and not stream.is_over:
            pull = w.submit(stream.pull())
            w.advance(0.0)
            if not pull.done:
                w.advance(10.0)
            assert pull.done
            result = pull.result()
            if result is not END:
                found.append(result)
        # While something is under way.
        if not stream.can_take:
            w.submit(stream.pull())
            w.session.handle_deadline(w.now)
        happen(w, event, number)
    found += take_all(w, stream, 60.0)
    assert_all(w, found)
    w.advance(80.0)
    assert w.session.in_flight == 0


def happen(w: World, event: str, number: int) -> None:
    """Have something happen to the cluster."""
    bucket = w.cluster.buckets["default"]
    match event:
        case "lose":
            lost = (FIRST, SECOND, THIRD)[number % 3]
            if lost in w.opened.values():
                w.lose(w.link_to(lost))
        case "move":
            for each in range(number % 7, len(bucket.partitions), 7):
                w.cluster.move_vbucket("default", each, w.cluster.nodes[number % 3])
        case "forget":
            for partition in bucket.partitions:
                for copy in partition.copies.values():
                    copy.scans.clear()
        case "busy":
            w.cluster.inject(opcode=Opcode.RANGE_SCAN_CREATE, status=Status.EBUSY, count=number % 9)
        case "temporary":
            w.cluster.inject(
                opcode=Opcode.RANGE_SCAN_CREATE, status=Status.ETMPFAIL, count=number % 9
            )
        case "wait":
            # Scans that nobody goes on with end by themselves.
            w.advance(61.0)


def test_bounded_concurrency() -> None:
    """No more vbuckets are scanned at once than was said, on all nodes alike."""
    w = stored()
    stream = scan(w.defaults, RangeScan(), concurrency=6, batch_item_limit=1)
    w.submit(stream.pull())
    w.session.handle_deadline(w.now)
    w.settle()
    w.session.handle_deadline(w.now)
    creates = Counter(
        connection.address
        for connection in w.session.connections
        for op in connection.pending.values()
        if isinstance(op, Create)
    )
    assert set(creates.values()) == {2}
    assert len(creates) == 3
    most = 0
    while not stream.is_over:
        take_one(w, stream)
        most = max(most, running(w))
    assert most <= 6


def take_one(w: World, stream: Stream[Any]) -> Any:
    """Return the next result, in no time."""
    pull = w.submit(stream.pull())
    w.advance(0.0)
    return pull.result()


def test_nothing_is_asked_of_who_pauses() -> None:
    """No CONTINUE is sent before all that has come was taken."""
    w = stored()
    stream = scan(w.defaults, RangeScan(), concurrency=2, batch_item_limit=2)
    take_one(w, stream)
    asked = w.cluster.operations["RANGE_SCAN_CONTINUE"]
    w.advance(5.0)
    assert w.cluster.operations["RANGE_SCAN_CONTINUE"] == asked
    while stream.ready:
        stream.take()
    w.advance(5.0)
    assert w.cluster.operations["RANGE_SCAN_CONTINUE"] == asked
    take_one(w, stream)
    assert w.cluster.operations["RANGE_SCAN_CONTINUE"] > asked


@pytest.mark.parametrize("turns", [1, 2, 3, 4, 5])
def test_closed_whenever(turns: int) -> None:
    """A scan that is closed at any time is cancelled at the nodes, also where it just begins."""
    w = stored()
    stream = scan(w.defaults, RangeScan(), concurrency=20, batch_item_limit=1)
    w.submit(stream.pull())
    for _ in range(turns):
        w.session.handle_deadline(w.now)
        if turns > 1:
            w._carry()
    end(w, stream)
    w.advance(0.0)
    assert running(w) == 0
    w.advance(1.0)
    assert w.session.in_flight == 0


def test_failing_scan_leaves_nothing() -> None:
    """What ends a scan is raised after what came before; the other vbuckets are cancelled."""
    w = stored()
    stream = scan(w.defaults, RangeScan(), concurrency=20, batch_item_limit=1)
    take_one(w, stream)
    w.cluster.inject(opcode=Opcode.RANGE_SCAN_CONTINUE, status=Status.EACCESS, count=1)
    with pytest.raises(NotAuthorizedError):
        take_all(w, stream)
    assert stream.is_over
    w.advance(1.0)
    assert running(w) == 0
    assert w.session.in_flight == 0


@pytest.mark.parametrize(
    ("opcode", "status", "kind"),
    [
        (Opcode.RANGE_SCAN_CREATE, Status.NOT_SUPPORTED, FeatureNotAvailableError),
        (Opcode.RANGE_SCAN_CREATE, Status.UNKNOWN_COMMAND, FeatureNotAvailableError),
        (Opcode.RANGE_SCAN_CREATE, Status.VB_UUID_NOT_EQUAL, MutationTokenOutdatedError),
        (Opcode.RANGE_SCAN_CREATE, Status.EACCESS, NotAuthorizedError),
        (Opcode.RANGE_SCAN_CREATE, Status.ETMPFAIL, TemporaryFailError),
        (Opcode.RANGE_SCAN_CREATE, Status.EBUSY, TemporaryFailError),
        (Opcode.RANGE_SCAN_CONTINUE, Status.ETMPFAIL, TemporaryFailError),
        (Opcode.RANGE_SCAN_CONTINUE, Status.KEY_ENOENT, RangeScanCanceledError),
        (Opcode.RANGE_SCAN_CONTINUE, Status.RANGE_SCAN_CANCELLED, RangeScanCanceledError),
        (Opcode.RANGE_SCAN_CONTINUE, Status.EINVAL, CouchbaseError),
    ],
)
def test_what_ends_a_scan(opcode: int, status: int, kind: type[CouchbaseError]) -> None:
    """Each status that never changes ends the scan, with its own class; the error names a node."""
    w = stored()
    w.cluster.inject(opcode=opcode, status=status)
    with pytest.raises(kind) as caught:
        take_all(w, scan(w.defaults, RangeScan(), timeout=20.0), 300.0)
    context = caught.value.context
    assert context is not None
    assert context.operation == "scan"
    assert context.node


@pytest.mark.parametrize("status", [Status.KEY_ENOENT, Status.RANGE_SCAN_CANCELLED, Status.EACCESS])
def test_a_sample_need_not_be_complete(status: int) -> None:
    """What ends a range for one vbucket only makes a sample smaller."""
    w = stored()
    w.cluster.inject(opcode=Opcode.RANGE_SCAN_CONTINUE, status=status, count=2)
    found = take_all(w, scan(w.defaults, SamplingScan(1000), concurrency=10), 10.0)
    assert 0 < len(found) < len(KEYS)
    assert len({each.key for each in found}) == len(found)


def test_sample_is_cut() -> None:
    """A sample ends at its limit, and what is under way is cancelled."""
    w = stored()
    found = take_all(w, scan(w.defaults, SamplingScan(3), concurrency=30), 10.0)
    assert len(found) == 3
    w.advance(1.0)
    assert running(w) == 0


def test_silent_node() -> None:
    """A node that does not answer ends the scan in the time of a request."""
    w = stored()
    w.cluster.inject(opcode=Opcode.RANGE_SCAN_CONTINUE, silent=True)
    with pytest.raises(UnambiguousTimeoutError):
        take_all(w, scan(w.defaults, RangeScan(), timeout=3.0), 4.0)


@pytest.mark.parametrize("cause", ["closed", "lost", "forked"])
def test_a_scan_is_never_ambiguous(cause: str) -> None:
    """It changes nothing, whatever ends it while a node reads; only the items are gone."""
    w = stored()
    stream = scan(w.defaults, RangeScan(), batch_item_limit=1)
    take_one(w, stream)
    w.cluster.inject(opcode=Opcode.RANGE_SCAN_CONTINUE, silent=True)
    pull = w.submit(stream.pull())
    w.advance(0.0)
    if cause == "closed":
        w.session.close(w.now, 0.0)
    elif cause == "forked":
        w.session.forked()
    for _ in range(100 if cause == "lost" else 0):
        if pull.done:
            break
        for number in list(w.links):
            w.lose(number)
        w.advance(2.0)
    w.advance(0.0)
    with pytest.raises(CouchbaseError) as caught:
        pull.result()
    assert not isinstance(caught.value, AmbiguousError)
    assert isinstance(caught.value, NOT_AMBIGUOUS[cause])


def test_collection_made_again() -> None:
    """The number of a collection that was dropped and made again is learned anew."""
    w = opened(EmbeddedCluster(nodes=3, seed=1, clock=ManualClock()))
    w.cluster.create_collection("default", "_default.birds")
    names = CollectionName("_default", "birds")
    birds = replace(w.defaults, collection=names, max_key=246)
    w.session.collections.attach(birds)
    w.do(ops.upsert(birds, "owl", 1))
    w.cluster.drop_collection("default", "_default.birds")
    w.cluster.create_collection("default", "_default.birds")
    assert take_all(w, scan(birds, RangeScan(), concurrency=50), 5.0) == []
    w.do(ops.upsert(birds, "tit", 1))
    w.advance(1.0)
    assert [each.key for each in take_all(w, scan(birds, RangeScan(), concurrency=50), 5.0)] == [
        "tit"
    ]
    w.cluster.drop_collection("default", "_default.birds")
    with pytest.raises(CollectionNotFoundError):
        take_all(w, scan(birds, RangeScan(), timeout=3.0), 10.0)


# Answers of a real node ---------------------------------------------------------------------------


def exchanges() -> Iterator[tuple[Frame, list[Frame]]]:
    """Yield each request of the recording with its answers."""
    for scenario in recordings.load("12-rangescan"):
        asked: dict[tuple[int, int], tuple[Frame, list[Frame]]] = {}
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
            if line.sent:
                asked[place] = frame, []
            elif place in asked:
                asked[place][1].append(frame)
        yield from asked.values()


@needs_snappy
def test_recorded_answers_are_read() -> None:
    """All that a real node has answered to range scans is read: uuids, and items in order."""
    counts: Counter[str] = Counter()
    for request, answers in exchanges():
        match request.opcode:
            case Opcode.RANGE_SCAN_CREATE if answers and not answers[0].status:
                assert len(uuid_of(answers[0])) == 16
                counts["created"] += 1
            case Opcode.RANGE_SCAN_CONTINUE:
                keys: list[bytes] = []
                for answer in answers:
                    if answer.status not in {0, Status.RANGE_SCAN_MORE, Status.RANGE_SCAN_COMPLETE}:
                        continue
                    ids_only = answer.extras[-1:] == b"\0"
                    items = list(items_of(answer, ids_only=ids_only))
                    assert all(item.cas for item in items) or ids_only
                    assert all(isinstance(item.content(), bytes) for item in items)
                    keys += [item.key for item in items]
                assert keys == sorted(set(keys))
                counts["items"] += len(keys)
    assert counts["created"] > 20
    assert counts["items"] > 200


def test_requests_are_as_recorded() -> None:
    """What the recording's client asked for, ours asks for in the same words."""
    asked = [json.loads(r.value) for r, a in exchanges() if r.opcode == 0xDA and _is_json(r)]
    whole = next(each for each in asked if "range" in each and not each.get("key_only"))
    w = stored()
    seen: list[dict[str, Any]] = []
    spy(w, lambda frame: seen.append(json.loads(frame.value)))
    take_all(w, scan(w.defaults, PrefixScan("k")))
    take_all(w, scan(w.defaults, SamplingScan(3, seed=5), ids_only=True))
    assert set(seen[0]) == {"collection", "range"} <= {*whole, "collection"}
    assert b64decode(seen[0]["range"]["start"]) == b"k"
    assert b64decode(seen[0]["range"]["excl_end"]) == "k\U0010ffff".encode()
    sample = seen[-1]
    assert sample["sampling"] == {"seed": 5, "samples": 3}
    assert sample["key_only"] is True


def _is_json(request: Frame) -> bool:
    try:
        return isinstance(json.loads(request.value), dict)
    except ValueError:
        return False


def spy(w: World, see: Callable[[Frame], None]) -> None:
    """Have *see* called with each request for a scan that is written from now on."""
    decoders: dict[int, FrameDecoder] = {}
    take_output = w.session.take_output

    def taken() -> Any:
        for number, data in (written := list(take_output())):
            decoder = decoders.setdefault(number, FrameDecoder(RequestFrame))
            for frame in decoder.receive(data):
                if frame.opcode == Opcode.RANGE_SCAN_CREATE:
                    assert frame.datatype == 1
                    assert frame.framing == frame.key == frame.extras == b""
                    see(frame)
        return written

    w.session.take_output = taken  # type: ignore[method-assign]


# Answers of a node that cannot be trusted ---------------------------------------------------------


def _answer(value: bytes, extras: bytes = b"\0\0\0\1") -> Frame:
    return Frame(0x81, 0xDB, 0, 0, 0, 0, b"", extras, b"", value)


@given(
    st.binary(max_size=80), st.booleans(), st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"", b"\1"])
)
def test_hostile_items(value: bytes, ids_only: bool, extras: bytes) -> None:
    """Whatever comes in place of items is read as such, or is a ProtocolError."""
    try:
        for item in items_of(_answer(value, extras), ids_only=ids_only):
            assert isinstance(item, Item)
            assert len(item.key) <= 250
    except ProtocolError:
        pass


def test_hostile_uuid() -> None:
    """A scan whose uuid is none is a ProtocolError."""
    with pytest.raises(ProtocolError):
        uuid_of(_answer(b"short"))


def test_bounds() -> None:
    """A prefix of any length is a range that has all keys that begin with it."""
    assert PrefixScan(b"x" * 250).bounds() == (b"x" * 250, b"x" * 250, True, True)
    assert len(PrefixScan("x" * 249).bounds().end) == 250
    assert RangeScan().bounds() == (b"\0", b"\xf4\x8f\xbf\xbf", True, False)


D = defaults()


@pytest.mark.parametrize(
    ("make", "bounds"),
    [
        (lambda n: scan(D, RangeScan(), concurrency=n), "concurrency.* from 1 to 2"),
        (lambda n: scan(D, RangeScan(), batch_item_limit=n), "item_limit.* from 1 to 2"),
        (lambda n: scan(D, RangeScan(), batch_byte_limit=n), "byte_limit.* from 0 to 2"),
        (lambda n: scan(D, SamplingScan(n)), "limit of a sampling scan.* from 1 to 2"),
    ],
)
def test_bounds_are_told(make: Any, bounds: str) -> None:
    """What is out of bounds is refused with both of them."""
    make(2**32 - 1)
    for number in (-1, 2**32, 10**5000):
        with pytest.raises(ArgumentError, match=rf"{bounds}\*\*32-1"):
            make(number)
