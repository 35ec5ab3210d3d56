"""The hot half of a connection: requests become bytes, and bytes answers of requests.

What comes before (the handshake), and what ends it, is in `couchloop.kv.connection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    ProtocolError,
)
from couchloop.hot.frames import HEADER, MAX_BODY, Frame, FrameDecoder
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.hot.speedups import twin
from couchloop.wire import Feature, Magic, snappy
from couchloop.wire.framing import JSON_VALUE, decode_framing, framed
from couchloop.wire.keys import UNNUMBERED

_HEADER_SIZE: Final = HEADER.size
_ANSWER: Final = Struct(">BBHBBHIIQ3s4s")
"""A header, and what follows it in most answers to a GET: how long the node took, and flags."""
_ANSWER_SIZE: Final = _ANSWER.size
_BARE: Final = Struct(">HH2xHII8x")
"""The header of a request with neither extras nor CAS: fewer numbers take less time."""
_MAX_OPAQUE: Final = 0xFFFFFFFF
_SERVER_REQUEST: Final = int(Magic.SERVER_REQUEST)
"""A member of an enumeration takes longer to name, and to compare."""
_RESPONSE: Final = int(Magic.RESPONSE)
_ALT_RESPONSE: Final = int(Magic.ALT_RESPONSE)
_LARGE: Final = 4096
"""Values from this many bytes are not copied into the request but written behind it."""
ROOM: Final = 2 << 20
"""Bytes that may be queued in one turn of the loop before the rest has to wait for the next."""
_STORES: Final = frozenset({0x01, 0x02, 0x03, 0x0E, 0x0F})
"""SET, ADD, REPLACE, APPEND, PREPEND: the requests whose value may be compressed (RFC 0030)."""


_FRAMED: Final = {
    1: (Feature.SYNC_REPLICATION, "durability levels"),
    5: (Feature.PRESERVE_TTL, "preserve_expiry"),
}
"""What a framing extra of a request needs, and what asks for it."""


class PipeOwner(Protocol):
    """Who is told what the hot half of a connection has to tell."""

    @property
    def delivers(self) -> Callable[[Any], object] | None:
        """What hands over what is complete, where `completed` does no more than all do.

        None: it does, and has to be called.
        """

    def has_output(self, connection: Any, /) -> None:
        """Take note that there is output where there was none."""

    def output_full(self, connection: Any, /) -> None:
        """Take note that no more should be sent before the output is taken."""

    def unnumbered(self, op: Any, connection: Any, vbucket: int, /) -> bool:
        """Take *op*, which cannot be sent with the prefix that it has; False: now it can.

        It is in a collection whose number is to be looked at, or the node knows no collections.
        """

    def completed(self, op: Any, /) -> None:
        """Take note that *op* has its answer."""

    def refused(self, op: Any, answer: Frame, now: float, /) -> None:
        """Take note that the server answered *op* with an error."""

    def orphaned(self, connection: Any, frame: Frame, now: float, /) -> None:
        """Take note that an answer came for which nobody waits any more."""

    def pushed(self, connection: Any, frame: Frame, now: float, /) -> None:
        """Take note that the server asked something of us (magic 0x82)."""


class Flow:
    """What each request passes through on its way out, and its answer on its way in.

    Args:
        owner: is told of them.
        opaque: the number before that of the first request.
    """

    __slots__ = (
        "_compress_from",
        "_compress_ratio",
        "_out",
        "_owner",
        "_prefix",
        "_queued",
        "_room",
        "_snappy",
        "address",
        "bucket",
        "features",
        "last_activity",
        "opaque",
        "pending",
    )

    address: Any
    """Where the node is; text of it is all that is needed here."""
    bucket: str
    features: frozenset[int]
    """What the node has granted (HELLO)."""

    def __init__(self, owner: PipeOwner, opaque: int) -> None:
        self._owner = owner
        self.opaque = opaque
        self.pending: dict[int, Request] = {}
        self.last_activity = 0.0
        """When a frame was completed last; during the handshake, when anything came."""
        self._out: list[bytes] = []
        self._queued = False
        self._room = -1
        """Bytes that may still be queued; less than 0 also when nothing is."""
        self._prefix = b""
        """Stands before each key: the number of the default collection, if there is one."""
        self._snappy = False
        """Whether values are sent compressed."""
        self._compress_from = 0
        self._compress_ratio = 0.0

    def send(self, op: Request, vbucket: int) -> None:
        """Encode *op* behind what is waiting to be written."""
        framing = op.framing
        if framing and self._refuses(op, framing):
            return
        prefix = op.prefix
        if prefix is None:
            prefix = self._prefix
        elif prefix is UNNUMBERED or (prefix and not self._prefix):
            if self._owner.unnumbered(op, self, vbucket):
                return
            prefix = op.prefix or b""
        opaque = self.opaque = (self.opaque + 1) & _MAX_OPAQUE
        pending = self.pending
        while opaque in pending:
            opaque = self.opaque = (opaque + 1) & _MAX_OPAQUE
        pending[opaque] = op
        op.opaque = opaque
        op.connection = self
        op.vbucket = vbucket
        raw, extras, value, cas = op.raw, op.extras, op.value, op.cas
        key = prefix + raw if raw else raw
        if not (extras or value or cas or framing):
            length = len(key)
            self._out.append(_BARE.pack(0x8000 | op.opcode, length, vbucket, length, opaque) + key)
        else:
            length = self._encode(op, key, value, vbucket)
        self._room = room = self._room - length - _HEADER_SIZE
        if room < 0:
            self._used_up(length + _HEADER_SIZE)

    def _encode(self, op: Request, key: bytes, value: bytes, vbucket: int) -> int:
        """Write a request of any kind; return the length of its body in bytes."""
        extras, framing = op.extras, op.framing
        datatype = 0
        size = len(value)
        if self._snappy and size >= self._compress_from and op.opcode in _STORES:
            compressed = snappy.compress(value)
            if len(compressed) <= size * self._compress_ratio:
                value, datatype = compressed, 2
                size = len(value)
        length = len(extras) + len(key) + size
        header = HEADER.pack(
            0x80,
            op.opcode,
            len(key),
            len(extras),
            datatype,
            vbucket,
            length,
            op.opaque,
            op.cas,
        )
        if framing:
            header = framed(header, framing)
            length += len(header) - _HEADER_SIZE
        if size < _LARGE:
            self._out.append(b"%b%b%b%b" % (header, extras, key, value))
        else:
            self._out.append(header + extras + key)
            self._out.append(value)
        return length

    def _complete(self, data: bytes, now: float) -> int:
        """Complete what plain answers at the beginning of *data* are for; return how long they are.

        That is nearly all that ever comes: decoded and handed over in one step. What is anything
        else is left to `dispatch`, with what follows it.
        """
        owner, pending = self._owner, self.pending
        completed, deliver = owner.completed, owner.delivers
        unpack = _ANSWER.unpack_from
        size = len(data)
        last, safe = size - _HEADER_SIZE, size - _ANSWER_SIZE
        position = 0
        try:
            while position <= last:
                (
                    magic,
                    opcode,
                    lengths,
                    extras_length,
                    datatype,
                    status,
                    body,
                    opaque,
                    cas,
                    framing,
                    extras,
                ) = (
                    unpack(data, position)
                    if position <= safe
                    else unpack(data[position:].ljust(_ANSWER_SIZE))
                )
                start = position + _HEADER_SIZE
                end = start + body
                op = pending.get(opaque)
                if (
                    op is None
                    or op.opcode != opcode
                    or (status and not (status == 1 and op.quiet))
                    or op.has_many_answers
                    or end > size
                ):
                    break
                key = b""
                if magic == _ALT_RESPONSE and lengths == 0x300:
                    start += 3
                    if extras_length == 4:
                        start += 4
                    else:
                        extras = b""
                        if extras_length:
                            extras = data[start : start + extras_length]
                            start += extras_length
                else:
                    framing = b""
                    if magic == _ALT_RESPONSE:
                        framing = data[start : start + (lengths >> 8)]
                        start += lengths >> 8
                        lengths &= 0xFF
                    elif magic != _RESPONSE:
                        break
                    extras = data[start : start + extras_length]
                    start += extras_length
                    if lengths:
                        key = data[start : start + lengths]
                        start += lengths
                if start > end or body > MAX_BODY:
                    break
                value = data[start:end]
                self.last_activity = now
                position = end
                del pending[opaque]
                op.fields = (
                    magic,
                    opcode,
                    datatype,
                    status,
                    opaque,
                    cas,
                    framing,
                    extras,
                    key,
                    value,
                )
                if deliver is None:
                    completed(op)
                    continue
                # What that does, without the call: `couchloop.hot.submit`.
                queue = op.queue
                if queue is not None:
                    del queue[op]
                    op.queue = None
                batch = op.batch
                if batch is None:
                    deliver(op)
                else:
                    op.batch = None
                    if batch.member_done(op):
                        deliver(batch)
        except BaseException:
            # Whatever interrupts user code must not take away what came behind.
            if position < size:
                self._put_back(data[position:])
            raise
        return position

    def _refuses(self, op: Request, framing: bytes) -> bool:
        """Whether the node does not know what *framing* asks of it: *op* has failed then."""
        raise NotImplementedError

    def _used_up(self, length: int) -> None:
        """Take note of output where there was none, or of too much of it."""
        raise NotImplementedError

    def _put_back(self, data: bytes) -> None:
        """Take note of bytes that were not looked at: they come before those that come next."""
        raise NotImplementedError


if not TYPE_CHECKING and twin is not None:
    Flow = twin.Flow


class Pipe(Flow):
    """Requests on their way out, and answers on their way in.

    Args:
        owner: is told of them.
        opaque: the number before that of the first request.
    """

    __slots__ = ("_decoder", "_forgotten", "is_ready", "late_probe", "orphans")

    def __init__(self, owner: PipeOwner, opaque: int) -> None:
        super().__init__(owner, opaque)
        self.is_ready = False
        """Whether requests may be sent, and what comes answers them."""
        self.orphans = 0
        self.late_probe = -1
        """The opaque of a NOOP that was not answered in time."""
        self._forgotten = 0
        """Requests whose answer is no longer waited for."""
        self._decoder = FrameDecoder()

    @property
    def prefix(self) -> bytes:
        """What stands before a key of the default collection."""
        return self._prefix

    # Out

    def _refuses(self, op: Request, framing: bytes) -> bool:
        """Whether the node does not know what *framing* asks of it: *op* has failed then."""
        if framing is JSON_VALUE:
            return False
        for identifier, _ in decode_framing(framing):
            feature, what = _FRAMED[identifier]
            if not {feature, Feature.ALT_REQUEST} <= self.features:
                context = ErrorContext(
                    operation=op.name, key=op.key, bucket=self.bucket, node=str(self.address)
                )
                if isinstance(op, Operation) and op.defaults.collection is not None:
                    context.scope, context.collection = op.defaults.collection
                text = f"the node is too old for {what}: nothing was sent"
                op.error = FeatureNotAvailableError(text, context=context)
                self._owner.completed(op)
                return True
        return False

    def _used_up(self, length: int) -> None:
        """Take note of output where there was none, or of too much of it."""
        if not self._queued:
            self._queued = True
            self._room = ROOM - length
            self._owner.has_output(self)
        if self._room < 0:
            self._owner.output_full(self)

    @property
    def is_output_full(self) -> bool:
        """Whether no more should be sent before the output is taken."""
        return self._queued and self._room < 0

    def take_output(self) -> bytes:
        """Return what is to be written now, and forget it."""
        self._queued = False
        self._room = -1
        out = self._out
        if len(out) == 1:
            data = out[0]
            out.clear()
            return data
        data = b"".join(out)
        out.clear()
        return data

    def write(self, data: bytes) -> None:
        """Write what is no request of anybody's, before the connection is ready."""
        if data:
            self._out.append(data)
            if not self._queued:
                self._used_up(len(data))

    def forget(self, op: Request) -> None:
        """Wait no more for the answer to *op*: its time is up, or its caller has gone."""
        if self.pending.pop(op.opaque, None) is not None:
            self._forgotten += 1

    # In

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the transport; complete what they answer."""
        if not self.is_ready:
            self.receive_early(data, now)
            return
        decoder = self._decoder
        if not decoder.is_fresh:
            try:
                data = decoder.gather(data)
            except ProtocolError as error:
                self.fail(error, now)
                return
            if not data:
                self.received_part(now)
                return
        position = self._complete(data, now)
        if position < len(data):
            self._receive_rest(data, position, now)

    def _put_back(self, data: bytes) -> None:
        """Take note of bytes that were not looked at: they come before those that come next."""
        self._decoder.put_back(data)

    def _receive_rest(self, data: bytes, position: int, now: float) -> None:
        """Take the part of *data* that is from *position* on, whatever it is."""
        decoder = self._decoder
        try:
            frames = decoder.receive(data[position:] if position else data)
        except ProtocolError as error:
            self.fail(error, now)
            return
        if frames:
            self.last_activity = now
        elif not position:
            self.received_part(now)
        self.dispatch(frames, now)
        if decoder.error is not None:
            self.fail(decoder.error, now)

    def dispatch(self, frames: Iterable[Frame], now: float) -> None:
        """Complete what *frames* answer.

        User code runs within `completed` of the owner: it may send, and it may close this
        connection, whose remaining answers then find nobody.
        """
        owner = self._owner
        completed = owner.completed
        pop = self.pending.pop
        for frame in frames:
            if frame[0] == _SERVER_REQUEST:
                owner.pushed(self, frame, now)
                continue
            op = pop(frame[4], None)
            if op is None:
                self.orphans += 1
                if frame[4] == self.late_probe:
                    # Late, but an answer to what was asked.
                    self._forgotten -= 1
                owner.orphaned(self, frame, now)
            elif op.opcode != frame[1]:
                self.pending[frame[4]] = op
                self.fail(
                    ProtocolError(
                        f"the server answered opcode 0x{frame[1]:02x} to a request of "
                        f"0x{op.opcode:02x}"
                    ),
                    now,
                )
                return
            elif not frame[3] or (op.quiet and frame[3] == 1):
                if op.has_many_answers and self._goes_on(op, frame, now):
                    continue
                op.fields = frame
                completed(op)
            else:
                owner.refused(op, frame, now)

    def _goes_on(self, op: Request, frame: Frame, now: float) -> bool:
        """Have *op* take one of several answers; return whether it is still pending."""
        # First of all: what fails with the connection must be there.
        self.pending[frame.opaque] = op
        try:
            goes_on = op.goes_on(frame)
        except ProtocolError as error:
            self.fail(error, now)
            return True
        if not goes_on:
            self.pending.pop(frame.opaque, None)
        return goes_on

    # The other half

    def receive_early(self, data: bytes, now: float) -> None:
        """Take bytes that come before the connection is ready."""
        raise NotImplementedError

    def received_part(self, now: float) -> None:
        """Take note that bytes came which complete no frame."""
        raise NotImplementedError

    def fail(self, error: CouchbaseError, now: float) -> None:
        """End the connection: the peer broke the protocol."""
        raise NotImplementedError
