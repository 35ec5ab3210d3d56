"""What counts as a sign that a node lives: whole frames, or many bytes; never a few."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from couchloop.exceptions import TimeoutError as OperationTimeoutError
from couchloop.hot.frames import encode_response
from couchloop.kv.connection import SIGN
from couchloop.operations import document as operations
from couchloop.session.liveness import _PROBES, _PROBES_MUTE
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode
from tests.core.session.bootstrap.web import WEB, web_connections, web_world
from tests.core.world import World

TWENTY_FIVE_MB = 25_000_000
WRONG_LENGTH = encode_response(Opcode.GET)[:8] + TWENTY_FIVE_MB.to_bytes(4) + bytes(12)
"""The header of an answer whose body never comes."""


class Bent:
    """A world in which the first node's bytes go through the test's hands.

    Args:
        bend: given what the node sends, gives what arrives.
    """

    def __init__(self, bend: Callable[[bytes], bytes], **settings: Any) -> None:
        self.world = w = World(**settings)
        w.open()
        w.advance(3.0)
        self.address: Address = next(iter(w.nodes))
        self.number = w.link_to(self.address)
        link = w.links[self.number]
        take = link.data_to_send
        link.data_to_send = lambda: bend(take())
        (self.key,) = w.keys_of(self.address)

    @property
    def is_replaced(self) -> bool:
        """Whether the connection has gone, for a reason that the log tells."""
        is_gone = self.number not in self.world.links
        assert is_gone == any("the connection is" in line for line in self.world.logs)
        return is_gone

    def get(self, **more: Any) -> Any:
        """Ask for a document of that node."""
        op = operations.get(self.world.defaults, self.key, quiet=True, **more)
        return self.world.submit(op)


class TestReceiving:
    """What comes."""

    @pytest.mark.parametrize("interval", [0.01, 0.5, 2.0])
    def test_wrong_length(self, interval: float) -> None:
        """An answer that announces 25 MB, and then whole answers, end the connection soon.

        However often somebody asks: what comes goes into that body.
        """
        noise = [WRONG_LENGTH]
        bent = Bent(lambda data: (noise.pop() + data) if data and noise else data)
        w = bent.world
        begun = w.now
        while not bent.is_replaced and w.now < begun + 60:
            bent.get()
            w.advance(interval)
        # Until an operation runs out of time, and the NOOP after it does.
        assert w.now - begun <= 2.5 + 2.0 + interval
        again = bent.get(timeout=30)
        w.advance(1.0)
        assert again.done
        assert any("stuck within an answer" in line for line in w.logs)

    @pytest.mark.parametrize("polls", [0.0, 2.5])
    def test_trickle(self, polls: float) -> None:
        """A node that sends a byte or ten at a time counts as one that sends nothing.

        While it polls, a session notices it though nobody asks for anything.
        """
        waiting = bytearray(WRONG_LENGTH)
        seen: dict[str, float] = {}
        bent = Bent(lambda data: data, config_poll_interval=polls)
        link = bent.world.links[bent.number]
        take = link.data_to_send

        def trickle() -> bytes:
            waiting.extend(take())
            if bent.world.now == seen.get("now"):
                return b""
            seen["now"] = bent.world.now
            piece = bytes(waiting[:10])
            del waiting[:10]
            return piece

        link.data_to_send = trickle
        lost = None if polls else bent.get()
        for _ in range(2000):
            bent.world.advance(0.01)
        assert bent.is_replaced
        assert lost is None or isinstance(lost.error, OperationTimeoutError)

    @pytest.mark.parametrize("kind", ["answers to nobody", "requests of the server"])
    def test_frames_that_answer_nothing(self, kind: str) -> None:
        """Whole frames, of which none is an answer, do not keep a connection alive for ever."""
        useless = encode_response(Opcode.GET, opaque=0xEEEEEEEE)
        if kind == "requests of the server":
            useless = b"\x82\x01" + bytes(22)
        bent = Bent(lambda data: data and useless)
        w = bent.world
        begun = w.now
        while any(number == bent.number for number in w.links) and w.now < begun + 60:
            bent.get()
            w.advance(0.5)
        assert w.now - begun <= 2.5 + _PROBES_MUTE * 2.0 + 1.0
        assert any("sends but does not answer" in line for line in w.logs)

    @pytest.mark.parametrize("behind", [2.2, 3.5])
    def test_late_answers(self, behind: float) -> None:
        """A node whose answers are all late, NOOPs included, keeps its connection."""
        held: list[tuple[float, bytes]] = []
        bent = Bent(lambda data: data)
        w = bent.world
        link = w.links[bent.number]
        take = link.data_to_send

        def late() -> bytes:
            data = take()
            if data:
                held.append((w.now + behind, data))
            due = [piece for when, piece in held if when <= w.now]
            held[:] = [(when, piece) for when, piece in held if when > w.now]
            return b"".join(due)

        link.data_to_send = late
        for _ in range(120):
            bent.get(timeout=2.0)
            w.advance(0.5)
        assert bent.number in w.links

    def test_large_document_on_a_slow_network(self) -> None:
        """A document that takes half a minute is received, though the NOOP waits behind it."""
        pieces = bytearray()
        seen: dict[str, float] = {}
        bent = Bent(lambda data: data, config_poll_interval=2.5)
        w = bent.world
        value = os.urandom(4_000_000)
        w.do(operations.upsert(w.defaults, bent.key, value, format=FMT_BYTES))
        link = w.links[bent.number]
        take = link.data_to_send

        def slow() -> bytes:
            pieces.extend(take())
            if w.now == seen.get("now"):
                return b""
            seen["now"] = w.now
            piece = bytes(pieces[:13_000])
            del pieces[:13_000]
            return piece

        link.data_to_send = slow
        got = bent.get(timeout=100.0)
        # Callers that do not wait so long have the node asked for signs of life.
        hasty = [bent.get(timeout=1.0) for _ in range(30)]
        for _ in range(400):
            w.advance(0.1)
        assert got.result().value == value
        assert not bent.is_replaced
        assert all(op.done for op in hasty)

    def test_for_ever(self) -> None:
        """A frame that never ends is given up, at whatever rate it comes."""
        bent = Bent(lambda data: data)
        w = bent.world
        link = w.links[bent.number]
        seen: dict[str, float] = {}
        noise = [WRONG_LENGTH]

        def endless() -> bytes:
            if w.now == seen.get("now"):
                return b""
            seen["now"] = w.now
            return noise.pop() if noise else bytes(SIGN // 2)

        link.data_to_send = endless
        bent.get()
        for _ in range(200):
            w.advance(0.5)
        assert bent.is_replaced
        assert any(f"{_PROBES} times" in line for line in w.logs)

    def test_the_loop_stood_still(self) -> None:
        """A NOOP without an answer counts once only if nobody listened; the second is the last."""
        w = World()
        w.open()
        w.advance(3.0)
        first = next(iter(w.nodes))
        number = w.link_to(first)
        w.cluster.hang(w.nodes[first])
        w.submit(operations.get(w.defaults, w.keys_of(first)[0]))
        w.advance(2.6)
        # The NOOP is on its way.
        w.session.stood_still(w.now, w.now + 1.0)
        w.advance(2.3)
        assert number in w.links
        w.advance(2.1)
        assert number not in w.links


class TestSending:
    """What the node takes."""

    @pytest.mark.parametrize(("count", "is_dead"), [(100, True), (SIGN, False)])
    def test_a_peer_that_takes_little(self, count: int, *, is_dead: bool) -> None:
        """A peer that takes a hundred bytes a second is dead; one that takes many is slow."""
        w = World(config_poll_interval=2.5)
        w.open()
        w.advance(3.0)
        first = next(iter(w.nodes))
        number = w.link_to(first)
        w.cluster.hang(w.nodes[first])
        for _ in range(30):
            w.advance(1.0)
            w.session.progressed(number, count, w.now)
        assert (number not in w.links) == is_dead


class TestStream:
    """Configurations over HTTP."""

    def test_stuck(self) -> None:
        """A stream that stops within a configuration is opened again; keep-alives are no part."""
        w = web_world(bootstrap_on="http")
        w.open()
        w.advance(3.0)
        assert w.session.state is SessionState.OPEN
        number = next(n for n, where in w.opened.items() if where == WEB)

        def chunk(data: bytes) -> bytes:
            return b"%x\r\n%s\r\n" % (len(data), data)

        for _ in range(60):
            w.session.receive_data(number, chunk(b"\n"), w.now)
            w.advance(1.0)
        assert number in w.opened
        w.session.receive_data(number, chunk(b'{"rev":1'), w.now)
        for _ in range(9):
            w.advance(1.0)
            w.session.receive_data(number, chunk(b" "), w.now)
        assert number in w.opened
        w.advance(1.5)
        assert number not in w.opened
        w.advance(11.0)
        assert web_connections(w) == 1
