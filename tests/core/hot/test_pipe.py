"""The hot half of a connection: what else may stand in a request, and several answers to one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.durability import Durability
from couchloop.exceptions import FeatureNotAvailableError, ProtocolError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_response
from couchloop.hot.operation import Operation
from couchloop.hot.pipe import ROOM, Pipe
from couchloop.operations import document as ops
from couchloop.wire import Feature, Opcode
from couchloop.wire.framing import encode_framing
from tests.core.hot.test_frames import splits
from tests.core.kv.test_connection import Owner, ready, requests
from tests.core.session.support import push
from tests.core.world import defaults

D = defaults()
WITH_LEVELS = frozenset({Feature.ALT_REQUEST, Feature.SYNC_REPLICATION})
DURABLE = encode_framing([(1, b"\x01")])


class Lines(Operation[list[bytes]]):
    """A request with an answer for each line, and an empty one behind the last."""

    __slots__ = ("lines",)
    name = "lines"
    has_many_answers = True

    def __init__(self) -> None:
        super().__init__(Opcode.STAT, D, "lines", None)
        self.prefix = b""
        self.lines: list[bytes] = []

    def goes_on(self, answer: Frame) -> bool:
        if answer.key == b"broken":
            raise ProtocolError("a line that is none")
        if answer.key:
            self.lines.append(answer.value)
        return bool(answer.key)

    def decode(self, answer: Frame) -> list[bytes]:
        assert not answer.key
        return self.lines


class TestFraming:
    """Framing extras."""

    @pytest.mark.parametrize("size", [1, 5000])
    def test_alternative_header(self, size: int) -> None:
        """A request with framing extras has the header 0x08, and all else where it belongs."""
        connection = ready(Owner(), WITH_LEVELS | {Feature.COLLECTIONS})
        plain, durable = (ops.upsert(D, "key", "v" * size) for _ in range(2))
        durable.framing = DURABLE
        connection.send(durable, 7)
        connection.send(plain, 7)
        first, second = requests(connection)
        assert (first.magic, first.framing) == (0x08, DURABLE)
        assert (second.magic, second.framing) == (0x80, b"")
        assert first._replace(magic=0x80, framing=b"", opaque=second.opaque) == second

    def test_it_counts(self) -> None:
        """Its bytes count among those that one turn may queue."""
        connection = ready(Owner(), WITH_LEVELS)
        op = ops.get(D, "k")
        connection.send(op, 0)
        op.framing = encode_framing([(1, b"x" * 16)])
        size = len(connection.take_output()) + len(op.framing)
        connection.send(op, 0)
        assert connection._room == ROOM - size

    @pytest.mark.parametrize(
        ("op", "missing"),
        [
            (ops.upsert(D, "k", 1, durability=Durability.MAJORITY), Feature.SYNC_REPLICATION),
            (ops.upsert(D, "k", 1, durability=Durability.MAJORITY), Feature.ALT_REQUEST),
            (ops.upsert(D, "k", 1, preserve_expiry=True), Feature.PRESERVE_TTL),
        ],
    )
    def test_what_a_node_does_not_know(self, op: Any, missing: Feature) -> None:
        """A request that asks for more than the node has granted fails, and nothing is sent."""
        owner = Owner()
        known = WITH_LEVELS | {Feature.PRESERVE_TTL}
        connection = ready(owner, known - {missing})
        answered = connection.answered
        connection.send(op, 0)
        assert owner.done == [op]
        with pytest.raises(FeatureNotAvailableError, match="too old for") as caught:
            op.result()
        assert caught.value.key == "k"
        assert caught.value.context is not None
        assert caught.value.context.node == str(connection.address)
        assert connection.take_output() == b""
        assert (connection.pending, connection.answered) == ({}, answered)


class TestPrefix:
    """What stands before a key."""

    @pytest.mark.parametrize(
        ("prefix", "written"), [(None, b"\0k"), (b"\x08", b"\x08k"), (b"", b"k")]
    )
    def test_collections(self, prefix: bytes | None, written: bytes) -> None:
        """It is the default collection's number, unless the operation names another, or none."""
        connection = ready(Owner(), frozenset({Feature.COLLECTIONS}))
        op = ops.get(D, "k")
        op.prefix = prefix
        connection.send(op, 0)
        (frame,) = requests(connection)
        assert frame.key == written


class TestManyAnswers:
    """An operation that is pending until its last answer."""

    def answer(self, op: Operation[Any], key: bytes, value: bytes = b"") -> bytes:
        return encode_response(Opcode.STAT, opaque=op.opaque, key=key, value=value)

    def test_until_the_last(self) -> None:
        """It takes each answer, between those of others, and is complete with the last."""
        owner = Owner()
        connection = ready(owner)
        op, other = Lines(), ops.get(D, "k", quiet=True)
        connection.send(op, 0)
        connection.send(other, 0)
        data = self.answer(op, b"a", b"1") + encode_response(0, 1, opaque=other.opaque)
        connection.receive_data(data + self.answer(op, b"b", b"2"), 0.0)
        assert owner.done == [other]
        assert not op.done
        connection.receive_data(self.answer(op, b""), 0.0)
        assert owner.done == [other, op]
        assert op.result() == [b"1", b"2"]
        assert not connection.pending

    def test_lost_in_between(self) -> None:
        """It is among what was not answered if the connection ends before the last."""
        connection = ready(Owner())
        op = Lines()
        connection.send(op, 0)
        connection.receive_data(self.answer(op, b"a", b"1"), 0.0)
        assert connection.close() == [op]

    def test_forgotten_in_between(self) -> None:
        """Once it is forgotten, what follows is late."""
        owner = Owner()
        connection = ready(owner)
        op = Lines()
        connection.send(op, 0)
        connection.receive_data(self.answer(op, b"a", b"1"), 0.0)
        connection.forget(op)
        connection.receive_data(self.answer(op, b"") * 2, 0.0)
        assert (connection.orphans, owner.done) == (2, [])

    def test_broken(self) -> None:
        """An answer that it cannot take is a fault of the peer: the connection fails, with it."""
        owner = Owner()
        connection = ready(owner)
        op = Lines()
        connection.send(op, 0)
        lost: list[Any] = []
        owner.failed = (  # type: ignore[method-assign]
            lambda connection, error, now: lost.append((error, connection.close()))
        )
        connection.receive_data(self.answer(op, b"broken") + self.answer(op, b""), 0.0)
        ((error, unanswered),) = lost
        assert isinstance(error, ProtocolError)
        assert unanswered == [op]
        assert owner.done == []


def test_decoded_as_written() -> None:
    """What was written with all of these is read by a server as it was meant."""
    connection = ready(Owner(), WITH_LEVELS | {Feature.COLLECTIONS})
    op = ops.upsert(D, "k" * 250, {"a": 1}, cas=3)
    op.framing, op.prefix = DURABLE, b"\xff\xff\xff\xff\x0f"
    connection.send(op, 1023)
    (frame,) = FrameDecoder(RequestFrame).receive(connection.take_output())
    assert (len(frame.key), frame.framing, frame.vbucket, frame.cas) == (255, DURABLE, 1023, 3)


FRAMINGS = (b"", b"\x02\x00\x01", b"\x01\x00", b"\x02\x00\x01\x11\x00")


@st.composite
def exchanges(draw: st.DrawFn) -> list[tuple[bool, bytes]]:
    """Give for each request whether it is quiet, and its answer without its opaque."""
    return [
        (
            draw(st.booleans()),
            encode_response(
                draw(st.sampled_from([0, 0, 0, 1])),
                draw(st.sampled_from([0, 0, 0, 1, 0x86])),
                key=draw(st.sampled_from([b"", b"", b"key"])),
                extras=draw(st.sampled_from([b"", b"\2\0\0\0", b"\2\0\0", bytes(16)])),
                value=draw(st.binary(max_size=9)),
                cas=draw(st.integers(0, 2**64 - 1)),
                framing=draw(st.sampled_from(FRAMINGS)),
            ),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]


class TestTwoWays:
    """Answers are completed in one loop, or frame by frame where one is no plain answer."""

    @given(exchanges(), st.lists(st.integers(0)), st.sampled_from([b"", b"\x18", b"\x80", b"GET "]))
    def test_alike(self, exchanges: list[tuple[bool, bytes]], cuts: list[int], tail: bytes) -> None:
        """Both give the same results, refusals and errors in one order, and leave the same."""
        told = []
        for is_quick in (True, False):
            owner = Owner()
            connection = ready(owner)
            operations = [ops.get(D, f"{n}", quiet=quiet) for n, (quiet, _) in enumerate(exchanges)]
            data = b""
            for op, (_, answer) in zip(operations, exchanges, strict=True):
                connection.send(op, 0)
                data += answer[:12] + op.opaque.to_bytes(4, "big") + answer[16:]
            data += tail
            with pytest.MonkeyPatch.context() as patched:
                if not is_quick:
                    patched.setattr(Pipe, "_complete", lambda self, data, now: 0)
                for piece in splits(data, cuts):
                    connection.receive_data(piece, 1.0)
            told.append(
                (
                    [(op.key, op.answer, connection.last_activity) for op in owner.done],
                    [(op.key, status) for op, status in owner.refusals],
                    [(type(error), str(error)) for error in owner.errors],
                    [op.key for op in connection.pending.values()],
                    connection._decoder.buffered,
                )
            )
        assert told[0] == told[1]

    @pytest.mark.parametrize("cut", [0, 1, 30])
    def test_interrupted(self, cut: int) -> None:
        """What interrupts the code of a user takes nothing away of what came behind its answer."""
        owner = Owner()
        connection = ready(owner)
        operations = [ops.get(D, key) for key in "abc"]
        for op in operations:
            connection.send(op, 0)
        data = b"".join(
            encode_response(0, opaque=op.opaque, extras=bytes(4), value=b"1") for op in operations
        )

        def interrupt(op: Operation[Any]) -> None:
            if op is operations[0]:
                raise KeyboardInterrupt

        owner.on_completed = interrupt
        with pytest.raises(KeyboardInterrupt):
            connection.receive_data(data[: len(data) - cut], 1.0)
        assert owner.done == operations[:1]
        connection.receive_data(data[len(data) - cut :] or push(b"{}"), 1.0)
        assert owner.done == operations
