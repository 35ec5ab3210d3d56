"""One connection: opaques, fragmentation, faults, compression."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ConnectionLostError, CouchbaseError, ProtocolError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_response
from couchloop.hot.operation import Operation
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Hello, Negotiated
from couchloop.operations import document as ops
from couchloop.settings.values import Address
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Feature, Opcode
from couchloop.wire import snappy as snappy_block
from tests.core.world import defaults
from tests.extras import needs_snappy

D = defaults()


class Owner:
    """A session that only takes note."""

    delivers = None

    def __init__(self) -> None:
        self.outputs = 0
        self.done: list[Operation[Any]] = []
        self.refusals: list[tuple[Operation[Any], int]] = []
        self.errors: list[CouchbaseError] = []
        self.pushes: list[Frame] = []
        self.late: list[Frame] = []
        self.on_completed: Callable[[Operation[Any]], None] = lambda _: None

    def has_output(self, connection: Connection) -> None:
        self.outputs += 1

    def output_full(self, connection: Connection) -> None:
        raise AssertionError("too much output")

    def derive_key(self, connection: Connection, derivation: Any) -> None:
        raise AssertionError("the handshake is over")

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        """A test makes the connection ready by itself."""

    def unnumbered(self, op: Any, connection: Any, vbucket: int) -> bool:
        raise AssertionError("no collection was asked for")

    def completed(self, op: Operation[Any]) -> None:
        self.done.append(op)
        self.on_completed(op)

    def refused(self, op: Operation[Any], answer: Frame, now: float) -> None:
        self.refusals.append((op, answer.status))

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        self.late.append(frame)

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        self.pushes.append(frame)

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        self.errors.append(error)
        connection.close()


def ready(owner: Owner, features: frozenset[int] = frozenset(), opaque: int = 0) -> Connection:
    """Return a connection whose handshake is over."""
    connection: Connection = Connection(
        owner, 1, Address("::1", 11210), "b", Hello("agent", "0/1"), tls=False, opaque=opaque
    )
    connection._become_ready(Negotiated(features, {}, b""), 0.0)
    return connection


def requests(connection: Connection) -> list[Frame]:
    """Take what is to be written, as frames."""
    return FrameDecoder(RequestFrame).receive(connection.take_output())


def value_answer(opaque: int, value: bytes = b"1") -> bytes:
    """Answer a get."""
    return encode_response(Opcode.GET, opaque=opaque, extras=b"\2\0\0\0", value=value)


class TestOut:
    """What is written."""

    def test_one_notice_for_many(self) -> None:
        """Many operations of one turn are one output: the owner hears of it once."""
        owner = Owner()
        connection = ready(owner)
        for number in range(100):
            connection.send(ops.get(D, f"k{number}"), number)
        assert owner.outputs == 1
        frames = requests(connection)
        assert [(frame.key, frame.vbucket) for frame in frames] == [
            (f"k{number}".encode(), number) for number in range(100)
        ]
        assert connection.take_output() == b""
        connection.send(ops.get(D, "k"), 0)
        assert owner.outputs == 2

    def test_default_collection(self) -> None:
        """With collections, a key is written behind the default collection's id, 0."""
        owner = Owner()
        connection = ready(owner, frozenset({Feature.COLLECTIONS}))
        connection.send(ops.get(D, "foo"), 115)
        (frame,) = requests(connection)
        assert frame._replace(opaque=1).encode() == bytes.fromhex(
            "80000004000000730000000400000001000000000000000000666f6f"
        )

    def test_without_collections(self) -> None:
        """Without them, the key stands alone."""
        owner = Owner()
        connection = ready(owner)
        connection.send(ops.get(D, "foo"), 115)
        (frame,) = requests(connection)
        assert frame._replace(opaque=1).encode() == bytes.fromhex(
            "800000030000007300000003000000010000000000000000666f6f"
        )

    @pytest.mark.parametrize("size", [0, 31, 4095, 4096, 100_000])
    def test_values_of_any_size(self, size: int) -> None:
        """Small values and large ones, which are not copied, are written alike."""
        owner = Owner()
        connection = ready(owner)
        value = Random(size).randbytes(size)
        connection.send(ops.upsert(D, "k", value, format=FMT_BYTES), 1)
        connection.send(ops.get(D, "k"), 1)
        first, second = requests(connection)
        assert (first.value, first.extras.hex()) == (value, "0300000200000000")
        assert second.opcode == Opcode.GET

    def test_opaque_wraps_around(self) -> None:
        """After the last opaque comes the first, and one in use is skipped."""
        owner = Owner()
        connection = ready(owner, opaque=0xFFFFFFFD)
        waiting = ops.get(D, "waiting")
        connection.pending[0] = waiting
        sent = [ops.get(D, str(number)) for number in range(4)]
        for op in sent:
            connection.send(op, 0)
        assert [op.opaque for op in sent] == [0xFFFFFFFE, 0xFFFFFFFF, 1, 2]
        assert connection.pending[0] is waiting


@needs_snappy
class TestSnappy:
    """Compression of values (RFC 0030)."""

    def sent(self, op: Operation[Any], *features: Feature) -> Frame:
        connection = ready(Owner(), frozenset(features))
        connection.send(op, 0)
        (frame,) = requests(connection)
        return frame

    def test_compressed(self) -> None:
        """A value that shrinks enough is sent compressed, where that was negotiated."""
        op = ops.upsert(D, "k", "a" * 1000)
        frame = self.sent(op, Feature.SNAPPY)
        assert frame.datatype == 2
        assert snappy_block.decompress(frame.value, 2000) == op.value
        assert self.sent(op).value == op.value
        assert self.sent(op).datatype == 0

    def test_not_worth_it(self) -> None:
        """Small values, and those that hardly shrink, are sent as they are."""
        noise = Random(1).randbytes(1000)
        for op in (
            ops.upsert(D, "k", "a" * 29),
            ops.upsert(D, "k", noise, format=FMT_BYTES),
        ):
            frame = self.sent(op, Feature.SNAPPY)
            assert (frame.datatype, frame.value) == (0, op.value)

    def test_inflated(self) -> None:
        """A compressed answer is inflated."""
        packed = snappy_block.compress(b'"' + b"a" * 1000 + b'"')
        op = ops.get(D, "k")
        frame = Frame(0x81, 0, 3, 0, 0, 7, b"", b"\2\0\0\0", b"", packed)
        assert op.decode(frame).value == "a" * 1000


class TestIn:
    """What is made of answers."""

    @given(st.data())
    def test_any_fragmentation(self, data: st.DataObject) -> None:
        """Whole, byte by byte or cut anywhere: the same operations complete, in order."""
        owner = Owner()
        connection = ready(owner)
        sent = [ops.get(D, f"k{number}") for number in range(8)]
        for op in sent:
            connection.send(op, 0)
        values = [data.draw(st.binary(max_size=40)) for _ in sent]
        stream = b"".join(
            value_answer(op.opaque, value) for op, value in zip(sent, values, strict=True)
        )
        while stream:
            size = data.draw(st.integers(1, 60))
            connection.receive_data(stream[:size], 0.0)
            stream = stream[size:]
        assert owner.done == sent
        assert [op.answer.value for op in sent if op.answer] == values
        assert not connection.pending

    def test_any_order(self) -> None:
        """Answers are matched by their opaque, in whatever order they come."""
        owner = Owner()
        connection = ready(owner, opaque=77)
        sent = [ops.get(D, str(number)) for number in range(5)]
        for op in sent:
            connection.send(op, 0)
        for op in reversed(sent):
            connection.receive_data(value_answer(op.opaque, op.raw), 0.0)
        assert owner.done == sent[::-1]
        assert [op.result().value for op in sent] == [0, 1, 2, 3, 4]

    def test_alternative_header(self) -> None:
        """An answer with framing extras is an answer all the same."""
        owner = Owner()
        connection = ready(owner)
        op = ops.get(D, "k")
        connection.send(op, 0)
        connection.receive_data(
            encode_response(
                0, opaque=op.opaque, extras=b"\2\0\0\0", value=b"5", framing=b"\x02\x01\x00"
            ),
            0.0,
        )
        assert op.result().value == 5

    def test_orphans(self) -> None:
        """An answer to nobody is counted and reaches nobody."""
        owner = Owner()
        connection = ready(owner)
        connection.receive_data(value_answer(5) + value_answer(6), 0.0)
        assert connection.orphans == len(owner.late) == 2
        assert not owner.done
        assert connection.state is State.READY

    def test_wrong_opcode(self) -> None:
        """An answer of another kind than the request closes the connection; nothing is lost."""
        owner = Owner()
        connection = ready(owner)
        first, second = ops.get(D, "a"), ops.get(D, "b")
        connection.send(first, 0)
        connection.send(second, 0)
        unanswered: list[Any] = []
        owner.failed = (  # type: ignore[method-assign]
            lambda connection, error, now: unanswered.extend(connection.close())
        )
        connection.receive_data(encode_response(1, opaque=first.opaque), 0.0)
        assert sorted(op.key for op in unanswered) == ["a", "b"]
        assert first.answer is None

    def test_answers_before_a_fault(self) -> None:
        """Answers before impossible bytes still count; then the connection fails."""
        owner = Owner()
        connection = ready(owner)
        op = ops.get(D, "k")
        connection.send(op, 0)
        connection.receive_data(value_answer(op.opaque) + b"\x00garbage", 0.0)
        assert owner.done == [op]
        (error,) = owner.errors
        assert isinstance(error, ProtocolError)
        assert error.context is not None
        assert error.context.node == "[::1]:11210"

    def test_quiet_miss_is_an_answer(self) -> None:
        """KEY_ENOENT completes a quiet operation, and refuses another."""
        owner = Owner()
        connection = ready(owner)
        quiet, loud = ops.get(D, "a", quiet=True), ops.get(D, "b")
        for op in (quiet, loud):
            connection.send(op, 0)
            connection.receive_data(encode_response(0, 1, opaque=op.opaque), 0.0)
        assert owner.done == [quiet]
        assert owner.refusals == [(loud, 1)]

    def test_pushes_between_answers(self) -> None:
        """What the server asks of us is told apart from answers, even with the same opaque."""
        owner = Owner()
        connection = ready(owner)
        op = ops.get(D, "k")
        connection.send(op, 0)
        push = Frame(0x82, 1, 0, 0, op.opaque, 0, b"", b"", b"b", b"{}").encode()
        connection.receive_data(push + value_answer(op.opaque) + push, 0.0)
        assert owner.done == [op]
        assert len(owner.pushes) == 2

    def test_sending_while_data_is_dispatched(self) -> None:
        """User code that sends from within a completion is served in the same turn."""
        owner = Owner()
        connection = ready(owner)
        first, second = ops.get(D, "a"), ops.get(D, "b")
        connection.send(first, 0)
        connection.take_output()

        def again(op: Operation[Any]) -> None:
            if op is first:
                connection.send(second, 0)

        owner.on_completed = again
        connection.receive_data(value_answer(first.opaque), 0.0)
        assert [frame.key for frame in requests(connection)] == [b"b"]

    def test_closing_while_data_is_dispatched(self) -> None:
        """After a completion that closes the connection, further answers reach nobody."""
        owner = Owner()
        connection = ready(owner)
        sent = [ops.get(D, str(number)) for number in range(3)]
        for op in sent:
            connection.send(op, 0)
        unanswered: list[Any] = []
        owner.on_completed = lambda op: unanswered.extend(connection.close())
        connection.receive_data(b"".join(value_answer(op.opaque) for op in sent) + b"\0", 0.0)
        assert owner.done == sent[:1]
        assert unanswered == sent[1:]
        assert not owner.errors

    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes raise anything: they are read, waited for, or fail the connection once."""
        owner = Owner()
        connection = ready(owner)
        connection.send(ops.get(D, "k"), 0)
        connection.receive_data(data, 0.0)
        connection.receive_data(b"\x81" + data, 0.0)
        assert len(owner.errors) <= 1


class TestEnd:
    """How it ends."""

    def test_close(self) -> None:
        """Closing gives what was not answered, in order of sending, and only once."""
        connection = ready(Owner())
        sent = [ops.get(D, str(number)) for number in range(3)]
        for op in sent:
            connection.send(op, 0)
        assert connection.close() == sent
        assert connection.close() == []
        assert not connection.pending

    def test_lost(self) -> None:
        """A loss is told once, with its reason; then nothing matters any more."""
        owner = Owner()
        connection = ready(owner)
        reason = OSError("gone")
        connection.lost(reason, 1.0)
        connection.lost(None, 2.0)
        connection.receive_data(b"\0", 3.0)
        (error,) = owner.errors
        assert type(error) is ConnectionLostError
        assert error.__cause__ is reason

    def test_repr(self) -> None:
        """It says where it goes and how it is."""
        assert repr(ready(Owner())) == "<Connection 1 to [::1]:11210: READY>"
