"""Bugs to be planted where streams, scans, disks and servers without vbuckets are concerned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from couchloop.hot.operation import Operation
from couchloop.operations import scan
from couchloop.operations.document import Get
from couchloop.operations.key_stream import KeyStream
from couchloop.operations.scan import Part, ScanStream
from couchloop.operations.scan_requests import Bounds, Continue
from couchloop.operations.stream import Pull, Stream
from couchloop.operations.watched_stream import WatchedStream
from couchloop.operations.watching import Sight
from couchloop.session import unavailable
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.opening import Opening
from couchloop.topology import configuration
from couchloop.topology.ketama import point_of
from couchloop.wire import Status

# Of streams


def lose_a_result(patch: pytest.MonkeyPatch) -> None:
    """Give no result for every twentieth key of streams."""
    succeed, numbers = KeyStream._succeed, count(1)

    def careless(self: KeyStream[Any], op: Operation[Any], result: Any) -> None:
        if next(numbers) % 20:
            succeed(self, op, result)

    patch.setattr(KeyStream, "_succeed", careless)


def give_a_result_twice(patch: pytest.MonkeyPatch) -> None:
    """Give two results for every twentieth key of streams."""
    succeed, numbers = KeyStream._succeed, count(1)

    def careless(self: KeyStream[Any], op: Operation[Any], result: Any) -> None:
        succeed(self, op, result)
        if not next(numbers) % 20:
            succeed(self, op, result)

    patch.setattr(KeyStream, "_succeed", careless)


def read_on_and_on(patch: pytest.MonkeyPatch) -> None:
    """Take keys without end, however much is under way."""
    patch.setattr(KeyStream, "_has_room", True)


def sleep_through_answers(patch: pytest.MonkeyPatch) -> None:
    """Do not tell who waits for a stream that something was answered."""

    def careless(self: Stream[Any], op: Operation[Any]) -> bool:
        self._flying.pop(op, None)
        self._finished.append(op)
        return False

    patch.setattr(Stream, "member_done", careless)


def end_with_the_wait(patch: pytest.MonkeyPatch) -> None:
    """Forget what was answered when a consumer waits no more, though it may do so again."""
    let_go = Pull.let_go

    def careless(self: Pull[Any]) -> None:
        let_go(self)
        self._stream._finished.clear()

    patch.setattr(Pull, "let_go", careless)


def watch_no_streams(patch: pytest.MonkeyPatch) -> None:
    """Give the result of a stream's change as soon as it is made, however few copies have it."""
    patch.setattr(WatchedStream, "_succeed", KeyStream._succeed)


def take_memory_for_disks(patch: pytest.MonkeyPatch) -> None:
    """Take a copy that is in memory for one that is on the disk."""
    enough = Sight.enough

    def careless(self: Sight, states: Sequence[tuple[bool, bool]]) -> bool:
        return enough(self, [(has, has) for has, _ in states])

    patch.setattr(Sight, "enough", careless)


def forget_nothing(patch: pytest.MonkeyPatch) -> None:
    """Go on with what was under way when a stream was closed, as far as it was not sent yet."""

    def careless(self: Stream[Any]) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
        self._is_over = True
        return [], []

    patch.setattr(Stream, "close", careless)


# Of scans


def begin_scans_anew(patch: pytest.MonkeyPatch) -> None:
    """Forget how far the scan of a vbucket had come that is begun once more."""
    put_back = ScanStream._put_back

    def careless(self: ScanStream, part: Part) -> None:
        part.last = None
        put_back(self, part)

    patch.setattr(ScanStream, "_put_back", careless)


def skip_what_broke_off(patch: pytest.MonkeyPatch) -> None:
    """Take the scan of a vbucket that was broken off for complete."""
    patch.setattr(ScanStream, "_again", lambda self, part, *_: self._done(part))


def take_a_piece_for_all(patch: pytest.MonkeyPatch) -> None:
    """Ask for no more of a vbucket than one piece."""
    continued = ScanStream._continued

    def careless(self: ScanStream, op: Continue, part: Part, now: float) -> None:
        continued(self, op, part, now)
        if op.answer is not None and op.answer.status == Status.RANGE_SCAN_MORE:
            self._done(part)

    patch.setattr(ScanStream, "_continued", careless)


def ignore_open_bounds(patch: pytest.MonkeyPatch) -> None:
    """Take all bounds for part of the range."""
    members = Bounds.members
    patch.setattr(
        Bounds, "members", lambda self: members(self._replace(has_start=True, has_end=True))
    )


def exceed_samples(patch: pytest.MonkeyPatch) -> None:
    """Give more documents than a sample may have."""
    take = ScanStream._take

    def careless(self: ScanStream, part: Part, frame: Any) -> None:
        self._count = 0
        take(self, part, frame)

    patch.setattr(ScanStream, "_take", careless)


def ignore_tokens(patch: pytest.MonkeyPatch) -> None:
    """Do not tell the nodes what a scan must be consistent with."""
    patch.setattr(scan, "_snapshots", lambda *_: {})


# Of disks


def ask_for_memory(patch: pytest.MonkeyPatch) -> None:
    """Ask for a majority in memory, whatever level was asked for."""
    submit = Dispatcher.submit

    def careless(self: Dispatcher, op: Operation[Any], now: float) -> None:
        if op.framing[:1] == b"\x13":
            op.framing = bytes([0x13, 1]) + op.framing[2:]
        submit(self, op, now)

    patch.setattr(Dispatcher, "submit", careless)


# Of servers without vbuckets


def miscount_points(patch: pytest.MonkeyPatch) -> None:
    """Take the node of the second point behind a key."""
    patch.setattr(
        configuration,
        "point_of",
        lambda key, points: (point_of(key, points) + 1) % len(points),
    )


def give_old_values(patch: pytest.MonkeyPatch) -> None:
    """Give what was read first, for ever."""
    decode, known = Get.decode, dict[Any, Any]()

    def careless(self: Get, answer: Any) -> Any:
        found = decode(self, answer)
        found.value = known.setdefault(found.key, found.value)
        return found

    patch.setattr(Get, "decode", careless)


def ask_no_web_ports(patch: pytest.MonkeyPatch) -> None:
    """Ask web ports no more once all nodes and seeds were lost."""
    patch.setattr(Opening, "_needs_web_ports", False)


def send_whatever(patch: pytest.MonkeyPatch) -> None:
    """Send to plain servers what they do not know."""
    patch.setattr(unavailable, "unavailable", lambda *_, **__: None)
