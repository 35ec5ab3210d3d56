"""Peers that send nothing, garbage, too much, or too slowly: no wait is without its limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    AmbiguousError,
    AmbiguousTimeoutError,
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CouchbaseError,
    NodeTimeoutError,
    ProtocolError,
    ServerError,
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.hot.frames import MAX_BODY, Frame, FrameDecoder, ResponseFrame, encode_response
from couchloop.http.exchange import Exchange
from couchloop.kv.handshake import config_text
from couchloop.kv.scram import MAX_ITERATIONS
from couchloop.operations import document as ops
from couchloop.session.configurations import ConfigReason
from couchloop.session.events import DeriveKey, OpenConnection
from couchloop.session.route_table import RouteTable
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from couchloop.topology.configuration import ClusterConfig, parse_config
from couchloop.topology.text import MAX_CONFIG
from couchloop.wire import Datatype, Feature, Opcode, Status, snappy
from tests.core.world import FIRST_PORT, ScriptedNode, World
from tests.extras import needs_snappy

FIRST = Address("127.0.0.1", FIRST_PORT)
SECOND = Address("127.0.0.1", FIRST_PORT + 1)

ONE_NODE: dict[str, Any] = {
    "rev": 1,
    "name": "default",
    "nodesExt": [{"services": {"kv": FIRST_PORT}, "hostname": "127.0.0.1"}],
    "vBucketServerMap": {"numReplicas": 0, "vBucketMap": [[0]]},
}


class Bent:
    """A node, or its end of a connection, between which and the client something bends the bytes.

    Args:
        real: the node, or the end.
        clock: gives the time.
        bend: given the bytes that are to be sent, gives those that are; None closes.
        pause: seconds between two bytes; 0: they are sent as they come.
    """

    def __init__(
        self,
        real: Any,
        clock: Callable[[], float],
        bend: Callable[[bytes], bytes | None] = lambda data: data,
        pause: float = 0.0,
    ) -> None:
        self.pause = pause
        self._real = real
        self._clock = clock
        self._bend = bend
        self._unsent = b""
        self._due = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def accept(self, *, peer: str) -> Bent:
        return Bent(self._real.accept(peer=peer), self._clock, self._bend, self.pause)

    def data_to_send(self) -> bytes:
        data = self._real.data_to_send()
        if data:
            bent = self._bend(data)
            if bent is None:
                self._real.close_now()
                return b""
            if not self._unsent:
                self._due = self._clock() + self.pause
            self._unsent += bent
        size = len(self._unsent)
        if self.pause and size:
            size = int(self._clock() >= self._due)
            self._due += self.pause * size
        sent, self._unsent = self._unsent[:size], self._unsent[size:]
        return sent

    def next_deadline(self) -> float | None:
        real: float | None = self._real.next_deadline()
        if not self._unsent:
            return real
        return self._due if real is None else min(real, self._due)


def bend_all(w: World, **how: Any) -> None:
    """Put a `Bent` before every node."""
    for address, node in w.nodes.items():
        w.nodes[address] = Bent(node, lambda: w.now, **how)


def answers(opcode: int, **changes: Any) -> Callable[[bytes], bytes]:
    """Return what replaces parts of the answers to requests of *opcode*."""

    def bend(data: bytes) -> bytes:
        frames = FrameDecoder().receive(data)
        return b"".join(
            (frame._replace(**changes) if frame.opcode == opcode else frame).encode()
            for frame in frames
        )

    return bend


def failure(w: World, kind: type[CouchbaseError], seconds: float) -> CouchbaseError:
    """Check that opening fails with *kind* within so many seconds, and a waiting operation too."""
    w.session.start(w.now)
    waiting = w.submit(ops.get(w.defaults, "k", timeout=600))
    w.advance(seconds)
    assert w.session.state is SessionState.FAILED
    with pytest.raises(kind):
        waiting.result()
    assert not w.opened
    w.assert_idle()
    error = w.session.failure()
    assert len(str(error)) < 4000, "whatever the peer said, a message can be read"
    assert all(len(line) < 4000 for line in w.logs)
    return error


class TestSlowPeers:
    """One byte a second."""

    def test_trickled_handshake(self) -> None:
        """A handshake that is right but endless is given up after config_node_timeout."""
        w = World(seeds=(FIRST,), config_node_timeout=3.0)
        bend_all(w, pause=1.0)
        error = failure(w, NodeTimeoutError, 3.0)
        assert "answer the handshake within 3 s (config_node_timeout)" in str(error)

    def test_all_trickle(self) -> None:
        """However many nodes trickle, config_total_timeout ends the search."""
        w = World(config_node_timeout=2.0, config_total_timeout=5.0)
        bend_all(w, pause=1.0)
        error = failure(w, BootstrapTimeoutError, 5.0)
        assert "5 s (config_total_timeout)" in str(error)

    def test_trickle_while_reconnecting(self) -> None:
        """Each try to come back is given up in time, and others follow it."""
        w = World()
        w.open()
        w.nodes[SECOND] = Bent(w.nodes[SECOND], lambda: w.now, pause=1.0)
        w.lose(w.link_to(SECOND))
        w.attempts.clear()
        w.advance(20)
        times = [when for when, address in w.attempts if address == SECOND]
        assert len(times) >= 5
        assert all(2.0 < later - earlier < 4.1 for earlier, later in pairwise(times))

    def test_trickled_answers(self) -> None:
        """Operations whose answers trickle end at their deadlines; the next may fare better."""
        w = World()
        bend_all(w)
        w.open()
        key = w.keys_of(SECOND)[0]
        link = w.links[w.link_to(SECOND)]
        link.pause = 1.0
        store = w.submit(ops.upsert(w.defaults, key, 1, timeout=2.5))
        fetch = w.submit(ops.get(w.defaults, key, timeout=4.0))
        w.advance(2.5)
        assert w.delivered == [store]
        w.advance(1.5)
        assert w.delivered == [store, fetch]
        with pytest.raises(AmbiguousTimeoutError):
            store.result()
        with pytest.raises(UnambiguousTimeoutError):
            fetch.result()
        link.pause = 0.0
        w.advance(60)
        assert w.do(ops.get(w.defaults, key)).value == 1

    def test_endless_derivation(self) -> None:
        """A key that is derived for ever (a thread pool that is full) is given up too."""
        w = World(seeds=(FIRST,))
        take_events = w.session.take_events
        w.session.take_events = lambda: [  # type: ignore[method-assign]
            event for event in take_events() if not isinstance(event, DeriveKey)
        ]
        failure(w, NodeTimeoutError, 2.0)


def deep(levels: int) -> Any:
    """Return a list of lists of so many levels."""
    return [deep(levels - 1)] if levels > 1 else []


class TestTooMuch:
    """What announces more than anybody needs is refused when it announces it."""

    @pytest.mark.parametrize("length", [MAX_BODY + 1, 2**32 - 1])
    @pytest.mark.parametrize("step", [Opcode.HELLO, Opcode.SELECT_BUCKET])
    def test_long_frame(self, length: int, step: Opcode) -> None:
        """A frame of up to 4 GiB is refused with its header, at any step: nothing is buffered."""
        w = World(seeds=(FIRST,))
        frames = FrameDecoder(ResponseFrame)

        def announce(data: bytes) -> bytes:
            kept = b""
            for frame in frames.receive(data):
                if frame.opcode == step:
                    header = bytearray(frame._replace(extras=b"", key=b"", value=b"").encode())
                    header[8:12] = length.to_bytes(4)
                    return kept + bytes(header)
                kept += frame.encode()
            return kept

        bend_all(w, bend=announce)
        error = failure(w, WrongProtocolError, 0.0)
        assert error.objextra == length

    def test_long_answer(self) -> None:
        """So it is on a connection that is in use: what was asked ends, and a new one is made."""
        w = World()
        bend_all(w)
        w.open()
        key = w.keys_of(SECOND)[0]
        link = w.links[w.link_to(SECOND)]
        link._bend = lambda data: data[:8] + b"\xff" * 4 + data[12:]
        store = w.submit(ops.upsert(w.defaults, key, 1))
        w.settle()
        with pytest.raises(AmbiguousError) as raised:
            store.result()
        assert isinstance(raised.value.__cause__, ProtocolError)
        w.advance(0.1)
        assert w.do(ops.get(w.defaults, key)).value == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"nodesExt": ONE_NODE["nodesExt"] * 1025},
            {"nodesExt": None, "nodes": [{"ports": {"direct": 1}}] * 1025},
            {"vBucketServerMap": {"vBucketMap": [[0]] * 65_537}},
            {"rev": int("9" * 4000)},
            {"more": [[]] * 100_000},
            {"more": " " * 2_000_000},
            {"more": "{" * 10 + '\\"[', "deep": deep(32)},
            {"nodesExt": [{"hostname": "x" * 256, "services": {"kv": 1}}]},
            {"nodesExt": [{"hostname": "$HOST" * 50, "services": {"kv": 1}}]},
        ],
        ids=[
            "nodes",
            "old nodes",
            "vbuckets",
            "revision",
            "parts",
            "bytes",
            "nesting",
            "host",
            "host that grows",
        ],
    )
    def test_giant_config(self, change: dict[str, Any]) -> None:
        """A configuration of far too much is refused: each of its nodes would be dialled."""
        text = json.dumps({**ONE_NODE, **change}).encode()
        with pytest.raises(ProtocolError, match="not a cluster configuration"):
            parse_config(text, "127.0.0.1")

    def test_largest_config(self) -> None:
        """A thousand nodes, every number of vbuckets that there is, long names: they are read.

        Brackets in texts are no lists.
        """
        node = {"hostname": "x" * 255, "services": {"kv": 1}}
        change = {
            "nodesExt": [node] * 1024,
            "vBucketServerMap": {"numReplicas": 3, "vBucketMap": [[0, 1, 2, 3]] * 65536},
            "deep": deep(31),
            "more": "[" * 10_000 + '\\"{' * 10_000,
        }
        config = parse_config(json.dumps({**ONE_NODE, **change}).encode(), "127.0.0.1")
        assert (len(config.nodes), len(config.active)) == (1024, 65536)

    @pytest.mark.parametrize("part", [b"[],", b"{},", b"[[[[]]]],", b"[", b'{"":', b'"",'])
    def test_cost_of_a_refusal(self, part: bytes) -> None:
        """What is refused for its many parts is refused before any of them is made."""
        text = b"[" + part * ((MAX_CONFIG - 10) // len(part)) + b"0]"
        tracemalloc = pytest.importorskip("tracemalloc")
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError, match=r"objects and lists|nested|texts"):
                parse_config(text, "127.0.0.1")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5 * MAX_CONFIG

    @needs_snappy
    def test_inflating(self) -> None:
        """A few bytes that inflate to twenty megabytes are refused before they do."""
        value = snappy.compress(b"[" + b"[]," * 7_000_000 + b"0]")
        frame = Frame(0x81, 0xB5, Datatype.SNAPPY, 0, 0, 0, b"", b"", b"", value)
        tracemalloc = pytest.importorskip("tracemalloc")
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError, match="the limit of 2000000"):
                config_text(frame)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MAX_CONFIG

    def test_many_refusals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When many nodes refuse in one turn of the loop, the routes are made anew once.

        What is issued meanwhile goes where it should.
        """
        made: list[int] = []
        build = RouteTable._build

        def count(table: RouteTable, config: ClusterConfig) -> None:
            made.append(1)
            build(table, config)

        monkeypatch.setattr(RouteTable, "_build", count)
        w = World(EmbeddedCluster(50, vbuckets=64, seed=0, clock=ManualClock()))
        w.open()
        living, *others = w.nodes
        (key,) = w.keys_of(living)
        waiting = w.submit(ops.get(w.defaults, w.keys_of(others[0])[0], timeout=0.001))
        made.clear()
        for number, where in list(w.opened.items()):
            if where != living:
                w.lose(number)
        assert not made
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.settle()
        assert op.result().success
        assert len(made) == 1
        w.unreachable.update(others)
        w.advance(0.05)
        # Each tries again at a moment of its own.
        assert len(made) <= 1 + len({when for when, _ in w.attempts})
        assert waiting.done

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b'{"a":' * 500_000, id="deep"),
            pytest.param(b"[" * 500_000 + b"]" * 500_000, id="deep and whole"),
            pytest.param(b" " * (MAX_CONFIG + 1), id="long"),
            pytest.param(b'{"rev":' + b"9" * 1_000_000 + b"}", id="number"),
            pytest.param(
                b'{"nodesExt":[{"services":{},"hostname":" %s"}]}' % (b"x" * 1_000_000), id="name"
            ),
        ],
    )
    @pytest.mark.parametrize("is_open", [False, True])
    def test_hostile_config(self, text: bytes, *, is_open: bool) -> None:
        """At opening such a configuration fails the seed; later it is logged and ignored."""
        w = World(seeds=(FIRST,))

        answer = answers(Opcode.GET_CLUSTER_CONFIG, value=text, datatype=0)
        if not is_open:
            bend_all(w, bend=answer)
            failure(w, ProtocolError, 0.0)
            return
        bend_all(w)
        w.open()
        before = w.session.config
        w.links[w.link_to(FIRST)]._bend = answer
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        w.advance(1.0)
        assert w.session.config is before
        if any("gave" in line for line in w.logs):
            assert all(len(line) < 1000 for line in w.logs)
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_many_words(self) -> None:
        """What a peer says at length is cut where it goes into messages and logs."""
        many = b"x" * 20_000_000
        w = World(seeds=(FIRST,))
        bend_all(w, bend=answers(Opcode.SASL_LIST_MECHS, value=many))
        w.cluster.inject(opcode=Opcode.SASL_AUTH, status=Status.AUTH_ERROR)
        failure(w, AuthError, 0.0)
        for value in (b'{"error":{"ref":"%s"}}' % many, b'{"error":{"ref":"%s"}}' % many[:9000]):
            w = World(seeds=(FIRST,))
            bend_all(w, bend=answers(Opcode.SELECT_BUCKET, status=Status.EACCESS, value=value))
            failure(w, BucketNotFoundError, 0.0)

    @pytest.mark.parametrize("size", [9_000, 2_000_000])
    def test_many_words_in_the_error_map(self, size: int) -> None:
        """So are the words of an error map, of which one that is too long is not kept at all."""
        entry = {"name": "x" * size, "desc": "y" * size, "attrs": []}
        text = json.dumps({"errors": {"7777": entry}}).encode()
        w = World()
        bend_all(w, bend=answers(Opcode.GET_ERROR_MAP, value=text))
        w.open()
        w.cluster.inject(opcode=Opcode.GET, status=0x7777)
        op = w.submit(ops.get(w.defaults, "k"))
        w.settle()
        with pytest.raises(ServerError) as raised:
            op.result()
        assert len(str(raised.value)) < 2000
        assert bool(w.session.connections[0].error_map) is (size < 1_000_000)

    def test_iterations(self) -> None:
        """A server that wants hours of key derivation is refused before any is begun."""
        w = World(seeds=(FIRST,))

        def answer(frame: Frame) -> bytes:
            if frame.opcode != Opcode.SASL_AUTH:
                return encode_response(frame.opcode, value=b"")
            nonce = frame.value.rpartition(b"r=")[2]
            value = b"r=" + nonce + b"X,s=AAAA,i=%d" % (MAX_ITERATIONS + 1)
            return encode_response(frame.opcode, Status.AUTH_CONTINUE, value=value)

        w.nodes[FIRST] = ScriptedNode(answer)
        error = failure(w, AuthError, 0.0)
        assert str(MAX_ITERATIONS) in str(error)
        assert not any(isinstance(event, DeriveKey) for event in w.events)

    def test_compressed_unasked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A node that compresses although nothing here can inflate is at fault, like any other."""
        w = World(seeds=(FIRST,))
        bend_all(
            w,
            bend=lambda data: b"".join(
                frame._replace(datatype=3).encode() if frame.value else frame.encode()
                for frame in FrameDecoder().receive(data)
            ),
        )
        monkeypatch.setattr(snappy, "_AVAILABLE", False)
        monkeypatch.delattr(snappy, "snappy", raising=False)
        monkeypatch.delattr(snappy, "DecompressionError", raising=False)
        error = failure(w, ProtocolError, 0.0)
        assert "Snappy" in str(error)


@pytest.mark.parametrize("status", [Status.EACCESS, Status.NOT_MY_VBUCKET, Status.ERANGE, 0x7777])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"context":["x"],"ref":{"a":1}}}',
        b'{"error":{"context":null,"ref":3.5}}',
        b'{"error":"x"}',
        b'{"error":' * 100_000,
        b"[]",
        b"\xff\xfe",
    ],
    ids=lambda body: ascii(body[:24]),
)
def test_odd_refusals(status: int, body: bytes) -> None:
    """What stands in a refusal may be anything: the operation has its error, and nothing else."""
    w = World()
    w.open()
    fault = w.cluster.inject(opcode=Opcode.GET, status=status, value=body)
    op = w.submit(ops.get(w.defaults, "k", timeout=0.5))
    w.advance(0.5)
    with pytest.raises(CouchbaseError) as raised:
        op.result()
    assert len(str(raised.value)) < 1000
    fault.remove()
    assert w.do(ops.get(w.defaults, "k", quiet=True)).value is None


_CODES = st.sampled_from([*Opcode]) | st.integers(0, 255)
_STATUSES = st.sampled_from([*Status]) | st.integers(0, 0xFFFF)
_VALUES = (
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b'{"error":{"context":["x"],"ref":7}}',
            b'{"errors":{"7":{"name":1,"desc":2,"attrs":["retry-now"]}}}',
            b"r=X,s=AAAA,i=4096",
            b"v=AAAA",
            json.dumps(ONE_NODE).encode(),
            json.dumps({**ONE_NODE, "rev": 99}).encode(),
        ]
    )
    | st.lists(st.sampled_from([*Feature]), max_size=4).map(
        lambda features: b"".join(each.to_bytes(2) for each in features)
    )
)
_FRAMES = st.builds(
    Frame,
    st.sampled_from([0x81, 0x18, 0x82]),
    _CODES,
    st.integers(0, 7),
    _STATUSES,
    st.integers(0, 3),
    st.sampled_from([0, 1, 2**64 - 1]),
    st.just(b""),
    st.binary(max_size=20),
    st.sampled_from([b"", b"default", b"\xff"]),
    _VALUES,
)
_DEEDS = st.one_of(
    st.none(),
    st.tuples(st.just("garbage"), st.binary(max_size=60)),
    st.tuples(st.just("cut"), st.integers(0, 200)),
    st.tuples(st.just("flip"), st.integers(0, 4000), st.integers(1, 255)),
    st.tuples(st.just("other answer"), st.integers(0, 3), _STATUSES, _VALUES),
    st.tuples(st.just("other opcode"), st.integers(0, 3), _CODES),
    st.tuples(st.just("frame"), _FRAMES),
    st.just(("twice",)),
    st.just(("silence",)),
    st.just(("close",)),
)


def _bent(data: bytes, deed: Any) -> bytes | None:
    """Return what is sent instead of *data*."""
    frames = FrameDecoder().receive(data)
    match deed:
        case ("garbage", junk):
            return bytes(junk) + data
        case ("cut", size):
            return data[:size]
        case ("flip", where, bits):
            where %= len(data)
            return data[:where] + bytes([data[where] ^ bits]) + data[where + 1 :]
        case ("other answer", which, status, value):
            which %= len(frames)
            frames[which] = frames[which]._replace(status=status, value=value)
            return b"".join(frame.encode() for frame in frames)
        case ("other opcode", which, opcode):
            which %= len(frames)
            frames[which] = frames[which]._replace(opcode=opcode)
            return b"".join(frame.encode() for frame in frames)
        case ("frame", frame):
            return bytes(frame.encode()) + data
        case ("twice",):
            return data + data
        case ("silence",):
            return b""
        case ("close",):
            return None
    return data


class TestAnything:
    """Whatever peers say, in whatever pieces, and whenever."""

    @given(
        deeds=st.lists(_DEEDS, max_size=40),
        chop=st.none() | st.integers(0, 100),
        pause=st.sampled_from([0.0, 0.0, 0.3]),
        before=st.booleans(),
    )
    def test_every_wait_ends(
        self, deeds: list[Any], chop: int | None, pause: float, *, before: bool
    ) -> None:
        """Nothing but errors for callers comes of it, by their deadlines; close() leaves nothing.

        *before*: the lies begin before the bucket is open.
        """
        w = World(EmbeddedCluster(2, vbuckets=8), chop=None if chop is None else Random(chop))
        told = iter(deeds)
        bend_all(w, bend=lambda data: _bent(data, next(told, None)), pause=pause if before else 0.0)
        due: dict[Any, float] = {}
        late: list[str] = []

        def delivered(op: Any) -> None:
            if w.now > due[op] + 1e-6:
                late.append(op.name)

        w.on_delivered = delivered
        if not before:
            true, told = told, iter(())
            w.session.start(w.now)
            w.settle()
            told = true
        else:
            w.session.start(w.now)
        for number in range(24):
            timeout = (0.1, 1.0, 2.5)[number % 3]
            key = f"k{number}"
            op: Any = ops.get(w.defaults, key, timeout=timeout)
            if number % 2:
                op = ops.upsert(w.defaults, key, number, timeout=timeout)
            due[op] = w.now + timeout
            w.submit(op)
            w.advance(0.3)
        w.advance(10.0)
        assert not late
        for op in due:
            assert op.done
            with suppress(CouchbaseError):
                op.result()
        assert w.session.state in {SessionState.OPEN, SessionState.FAILED}
        assert w.session.in_flight <= len(w.opened)
        w.session.close(w.now)
        w.settle()
        assert not w.opened
        assert w.session.next_deadline() is None

    @given(
        deeds=st.lists(
            _DEEDS.filter(lambda deed: not deed or deed[0] in {"cut", "silence", "close", "twice"}),
            max_size=30,
        ),
        chop=st.none() | st.integers(0, 100),
    )
    def test_it_recovers(self, deeds: list[Any], chop: int | None) -> None:
        """Once peers behave again, so does the client: no lie leaves it broken for good."""
        w = World(EmbeddedCluster(2, vbuckets=8), chop=None if chop is None else Random(chop))
        told = iter(deeds)
        bend_all(w, bend=lambda data: _bent(data, next(told, None)))
        w.session.start(w.now)
        while next(told, deeds) is not deeds:
            w.submit(ops.upsert(w.defaults, "k", 1, timeout=0.5))
            w.advance(1.0)
        w.advance(15.0)
        w.session.start(w.now)
        w.settle()
        assert w.session.state is SessionState.OPEN
        for number in range(16):
            assert w.do(ops.upsert(w.defaults, f"k{number}", 1)).success
        assert len([event for event in w.events if isinstance(event, OpenConnection)]) < 100


_HTTP_PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 401 Unauthorized\r\n",
        b"HTTP/1.1 404 Not Found\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: x\r\n",
        b": \r\n",
        b"\r\n",
        b"\n\n\n\n",
        b"5\r\n",
        b"ffffffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"{}",
    ]
)


@given(
    parts=st.lists(_HTTP_PARTS | st.binary(max_size=20), max_size=12),
    size=st.integers(1, 50),
    closes=st.booleans(),
)
def test_any_http(parts: list[bytes], size: int, *, closes: bool) -> None:
    """Whatever a web port answers, in whatever pieces, is a body or one CouchbaseError."""
    exchange = Exchange("/pools", Address("h", 8091), Login("user", "password"), "test")
    exchange.request()
    data = b"".join(parts)
    with suppress(CouchbaseError):
        for start in range(0, len(data), size):
            for piece in exchange.receive_data(data[start : start + size]):
                assert piece in data
        if closes:
            list(exchange.receive_data(b""))
