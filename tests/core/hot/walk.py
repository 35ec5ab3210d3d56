"""A session that is led through made-up steps, and all that can be seen of it."""

from __future__ import annotations

from typing import Any, Final

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import CouchbaseError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_response
from couchloop.operations import document as ops
from tests.core.world import World

BUILDERS: Final[dict[str, Any]] = {
    "get": ops.get,
    "upsert": ops.upsert,
    "remove": ops.remove,
    "counter": ops.counter,
    "touch": ops.touch,
    "exists": ops.exists,
}


class Walk:
    """Steps of a session whose node answers as they say."""

    def __init__(self) -> None:
        self.world = world = World(EmbeddedCluster(nodes=2, replicas=0, seed=0))
        self.session = world.open()
        self.operations: list[Any] = []
        self.requests: list[tuple[int, Frame]] = []
        self.seen: list[Any] = []
        self.delivered = 0
        world.delivered.clear()

    def take(self, what: str, *given: Any) -> None:
        """Take one step; note what it raises."""
        try:
            getattr(self, what)(*given)
        except (CouchbaseError, TypeError) as error:
            self.seen.append(_error(error))
        self._look()

    def build(self, kind: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Build an operation, and submit it."""
        op = BUILDERS[kind](self.world.defaults, *arguments, **named)
        self.operations.append(op)
        self.session.submit(op, self.world.now)

    def batch(self, kind: str, what: Any) -> None:
        """The same of a batch."""
        batch = (ops.get_multi if kind == "get" else ops.upsert_multi)(self.world.defaults, what)
        self.operations.append(batch)
        self.session.submit_batch(batch, self.world.now)

    def answer(self, status: int, parts: dict[str, Any], cut: int, *, last: bool) -> None:
        """Answer the first (or last) request that has no answer yet, in two pieces."""
        if self.requests:
            number, request = self.requests.pop(-1 if last else 0)
            data = encode_response(request.opcode, status, opaque=request.opaque, **parts)
            at = cut % (len(data) + 1)
            for piece in (data[:at], data[at:]):
                self.session.receive_data(number, piece, self.world.now)

    def all(self, parts: dict[str, Any], tail: bytes) -> None:
        """Answer all of one connection in one piece, with *tail* behind."""
        if self.requests:
            number = self.requests[0][0]
            data = b""
            for at, request in self.requests:
                if at == number:
                    data += encode_response(request.opcode, 0, opaque=request.opaque, **parts)
            self.requests = [each for each in self.requests if each[0] != number]
            self.session.receive_data(number, data + tail, self.world.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, in which nothing is answered."""
        self.world.clock.advance(seconds)
        self.session.handle_deadline(self.world.now)

    def cancel(self, number: int) -> None:
        """Forget an operation, or a batch."""
        if self.operations:
            op = self.operations[number % len(self.operations)]
            if hasattr(op, "operations"):
                self.session.cancel_batch(op)
            else:
                self.session.cancel(op)

    def close(self) -> None:
        """End the session."""
        self.session.close(self.world.now)

    def _look(self) -> None:
        """Note what was written, what was delivered, and what is left in the tables."""
        session = self.session
        for number, data in session.take_output():
            self.seen.append((number, data))
            self.requests += [(number, each) for each in FrameDecoder(RequestFrame).receive(data)]
        self.seen.append([type(event).__name__ for event in session.take_events()])
        for op in self.world.delivered:
            try:
                result = op.result()
            except Exception as error:  # noqa: BLE001 - it is compared
                self.seen.append(_error(error))
            else:
                self.seen.append(repr(result))
        self.world.delivered.clear()
        self.seen.append((session.in_flight, session.queued, session.orphans))
        self.seen.append(session.next_deadline())
        self.seen += [
            (each.opaque, sorted(each.pending), each.last_activity, each.is_output_full)
            for each in session.connections
        ]

    def told(self) -> list[Any]:
        """Return all that was noted, and what became of each operation."""
        ends = []
        for op in self.operations:
            for one in getattr(op, "operations", [op]):
                error = None if one.error is None else _error(one.error)
                ends.append((one.done, error, one.queue is None, one.batch is None, one.opaque))
        return [*self.seen, ends]


def _error(error: BaseException) -> tuple[Any, ...]:
    return type(error).__name__, str(error), repr(getattr(error, "key", None))
