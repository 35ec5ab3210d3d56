"""What operations and the session's own requests have in common, without a connection."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ConnectionLostError
from couchloop.hot.frames import Frame
from couchloop.hot.request import Request
from couchloop.wire import Opcode
from couchloop.wire.keys import UNNUMBERED


class Vbuckets:
    """A configuration of so many vbuckets, which tells where the first byte of a key leads."""

    def __init__(self, active: Sequence[int]) -> None:
        self.active = active
        self.chains: Sequence[Sequence[int]] = ()
        self.data_nodes = max(active) + 1

    def vbucket(self, key: bytes) -> int:
        return key[0] % len(self.active)


ANSWER = Frame(0x81, Opcode.NOOP, 0, 0, 0, 0, b"", b"", b"", b"")


def test_what_it_is_at_first() -> None:
    """Nothing has become of it: it is in no queue, on no connection, and not done."""
    request = Request(Opcode.NOOP, b"", 2.5)
    assert not request.done
    assert (request.queue, request.parked, request.connection, request.batch) == (None,) * 4
    assert (request.attempts, request.reasons, request.obstacle) == (0, (), None)
    assert request.framing == b""
    assert request.prefix is None


def test_done() -> None:
    """An answer or an error completes it."""
    answered, failed = Request(Opcode.NOOP, b"", 2.5), Request(Opcode.NOOP, b"", 2.5)
    answered.answer = ANSWER
    failed.error = ConnectionLostError("lost")
    assert answered.done
    assert failed.done


@given(st.binary(min_size=1, max_size=250), st.lists(st.integers(-1, 9), min_size=1, max_size=64))
def test_target(key: bytes, active: list[int]) -> None:
    """Unless its kind says otherwise it is for the node with the active copy of its key."""
    vbuckets = Vbuckets(active)
    request = Request(Opcode.GET, key, 2.5)
    node, vbucket = request.target(vbuckets)
    assert vbucket == vbuckets.vbucket(key)
    assert node == active[vbucket]
    assert request.is_plain


def test_what_other_kinds_do() -> None:
    """By itself no configuration completes it, and its first answer is its last."""
    request = Request(Opcode.GET, b"k", 2.5)
    assert request.settles(Vbuckets([0])) is False
    assert request.goes_on(ANSWER) is False
    request.prepare(7, b"\0")
    assert (request.raw, request.value) == (b"k", b"")


def test_unnumbered_is_no_number() -> None:
    """The prefix for a number that is not known cannot be read as one: it never ends."""
    assert all(byte & 0x80 for byte in UNNUMBERED)
    assert len(UNNUMBERED) == 5


def test_it_has_no_dictionary() -> None:
    """There are many of them: each has slots alone."""
    assert not hasattr(Request(Opcode.NOOP, b"", 2.5), "__dict__")
