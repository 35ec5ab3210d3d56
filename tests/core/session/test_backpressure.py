"""Backpressure in virtual time: what a slow network does not take waits, in order and bounded."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousError,
    CouchbaseError,
    NodeNotAvailableError,
    OverloadedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.hot.operation import Operation
from couchloop.hot.pipe import ROOM
from couchloop.kv.connection import SIGN
from couchloop.operations import document as operations
from couchloop.retries import FailFast
from couchloop.session.events import Load
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode, Status
from tests.core.world import World

KB = b"x" * 1000
noise = Random(1).randbytes
"""Bytes that no compression makes fewer."""


class Slow(World):
    """A world with an open bucket, whose first node's transport can be stopped."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.open()
        self.address: Address = next(iter(self.nodes))
        self.keys = self.keys_of(self.address, 40)
        self.writes.clear()

    @property
    def number(self) -> int:
        return self.link_to(self.address)

    def stop(self) -> None:
        """Have the transport take no more."""
        self.session.paused(self.number)

    def go_on(self) -> None:
        """Have it take more again."""
        self.session.resumed(self.number, self.now)

    def upsert(self, key: str, value: bytes = KB, **more: Any) -> Operation[Any]:
        """Issue an upsert of bytes."""
        op = operations.upsert(self.defaults, key, value, format=FMT_BYTES, **more)
        return self.submit(op)  # type: ignore[no-any-return]

    def told(self) -> list[bool]:
        """What producers were told: True is to pause."""
        self.settle()
        return [event.is_high for event in self.events if isinstance(event, Load)]

    def value(self, key: str) -> Any:
        return self.do(operations.get(self.defaults, key)).value


def error_of(op: Operation[Any]) -> CouchbaseError:
    """Return the error of an operation that has failed."""
    assert op.done
    with pytest.raises(CouchbaseError) as raised:
        op.result()
    return raised.value


class TestPaused:
    """A transport that takes no more."""

    def test_nothing_is_written(self) -> None:
        """What is issued for it waits; other nodes are not concerned; then all is done."""
        w = Slow()
        w.stop()
        other = w.keys_of(list(w.nodes)[1])[0]
        waiting = [w.upsert(key) for key in w.keys]
        w.do(operations.upsert(w.defaults, other, 1))
        assert w.number not in {number for number, _ in w.writes}
        assert not any(op.done for op in waiting)
        assert w.session.parking.operations == len(w.keys)
        assert w.session.parking.bytes == sum(len(key) + len(KB) for key in w.keys)
        w.go_on()
        w.settle()
        assert all(op.result().success for op in waiting)
        w.assert_idle()

    def test_order_on_one_key(self) -> None:
        """Operations on a key are written in the order of issue, before, during and after it."""
        w = Slow()
        key = w.keys[0]
        w.upsert(key, b"a")
        for operation in (operations.append, operations.append, operations.append):
            w.stop()
            w.submit(operation(w.defaults, key, b"b", format=FMT_BYTES))
            w.submit(operation(w.defaults, key, b"c", format=FMT_BYTES))
            w.settle()
            w.go_on()
            w.submit(operation(w.defaults, key, b"d", format=FMT_BYTES))
        assert w.value(key) == b"a" + b"bcd" * 3

    def test_no_strategy_is_asked(self) -> None:
        """A busy connection is no failure: also an operation that is not retried waits for it."""
        w = Slow()
        w.stop()
        op = w.upsert(w.keys[0], retry_strategy=FailFast())
        assert not op.done
        w.go_on()
        w.settle()
        assert op.result().success

    def test_deadlines_run(self) -> None:
        """What waits too long fails as a timeout that is not ambiguous, and says why it waited."""
        w = Slow()
        w.stop()
        op = w.upsert(w.keys[0], timeout=1.5)
        w.advance(1.4)
        assert not op.done
        w.advance(0.2)
        error = error_of(op)
        assert isinstance(error, UnambiguousTimeoutError)
        assert not isinstance(error, AmbiguousError)
        assert "did not take the data as fast as it was issued in time" in str(error)
        assert str(w.address) in str(error)
        w.go_on()
        w.settle()
        w.assert_idle()
        assert not w.writes

    def test_cancelled(self) -> None:
        """What is cancelled while it waits is never written."""
        w = Slow()
        w.stop()
        ops = [w.upsert(key) for key in w.keys[:3]]
        w.session.cancel(ops[1])
        assert w.session.parking.operations == 2
        w.go_on()
        w.settle()
        assert [op.done for op in ops] == [True, False, True]
        w.assert_idle()

    def test_the_connection_is_lost(self) -> None:
        """The connection that takes its place takes what waits, in order."""
        w = Slow()
        w.upsert(w.keys[0], b"a")
        w.settle()
        w.stop()
        for letter in (b"b", b"c", b"d"):
            w.submit(operations.append(w.defaults, w.keys[0], letter, format=FMT_BYTES))
        w.lose(w.number)
        w.advance(1)
        assert w.value(w.keys[0]) == b"abcd"
        w.advance(1)
        assert w.session.parking.operations == 0

    def test_the_key_moves(self) -> None:
        """A new configuration that gives the key to another node takes what waits there."""
        w = Slow()
        w.stop()
        ops = [w.upsert(key) for key in w.keys]
        node = next(node for node in w.cluster.nodes if node.ports["kv"] == w.address.port)
        w.cluster.remove_node(node)
        w.advance(5)
        assert all(op.result().success for op in ops)
        w.advance(5)
        w.assert_idle()

    @pytest.mark.parametrize("is_taken", [True, False])
    def test_a_slow_peer_is_not_dead(self, is_taken: bool) -> None:
        """As long as the peer takes what is written it need not answer; one that does not is dead.

        A large value on a slow network takes longer than silence may.
        """
        w = Slow(config_poll_interval=2.5)
        number = w.number
        node = next(node for node in w.cluster.nodes if node.ports["kv"] == w.address.port)
        w.cluster.inject(node=node, silent=True)
        op = w.upsert(w.keys[0], timeout=60)
        w.settle()
        w.stop()
        for _ in range(30):
            w.advance(1)
            if is_taken:
                w.session.progressed(number, SIGN, w.now)
        assert (number in w.links) == is_taken
        assert op.done != is_taken

    def test_closing(self) -> None:
        """close() waits for what waits, as for what is in flight."""
        w = Slow()
        w.stop()
        op = w.upsert(w.keys[0])
        w.session.close(w.now, 2.0)
        w.advance(1)
        assert not op.done
        w.go_on()
        w.settle()
        assert op.result().success
        assert w.session.state is SessionState.CLOSED

    def test_closing_at_once(self) -> None:
        """What was never written is cancelled, and that is certain."""
        w = Slow()
        w.stop()
        op = w.upsert(w.keys[0])
        w.session.close(w.now)
        error = error_of(op)
        assert isinstance(error, RequestCanceledError)
        assert not isinstance(error, AmbiguousError)
        assert w.session.next_deadline() is None

    def test_stopped_while_its_breaker_is_open(self) -> None:
        """A circuit breaker that closes does not send to a transport that takes nothing."""
        w = Slow(circuit_breaker=3)
        w.cluster.inject(opcode=Opcode.SET, silent=True, count=3)
        w.cluster.inject(opcode=Opcode.NOOP, delay=1.0)
        w.advance(2)
        for key in w.keys[:3]:
            w.upsert(key, timeout=0.5)
        w.advance(0.6)
        endpoint = w.session.table.endpoints[w.address]
        assert endpoint.is_open_circuit
        number = w.number
        w.stop()
        waiting = w.upsert(w.keys[4], timeout=60)
        w.advance(10)
        assert not endpoint.is_open_circuit
        assert not waiting.done
        w.go_on()
        w.settle()
        assert w.number == number, "the same connection"
        assert waiting.result().success


class TestOneTurn:
    """What one turn of the loop issues, before anything can be written."""

    def test_output_is_bounded(self) -> None:
        """A turn that issues ten megabytes for a node has them written in pieces, in order."""
        w = Slow()
        key = w.keys[0]
        w.upsert(key, b"")
        letters = [noise(100_000) for n in range(100)]
        for letter in letters:
            w.submit(operations.append(w.defaults, key, letter, format=FMT_BYTES, timeout=60))
        last = w.submit(operations.get(w.defaults, key))
        w.advance(1)
        assert last.result().value == b"".join(letters)
        sizes = [len(data) for number, data in w.writes if number == w.number]
        assert len(sizes) >= 5
        assert max(sizes) < ROOM + 110_000
        w.advance(5)
        w.assert_idle()

    def test_a_batch_of_small_ones(self) -> None:
        """A thousand documents of a kilobyte each for three nodes are written at once."""
        w = Slow()
        documents: dict[str | bytes, Any] = {f"k{n}": noise(1000) for n in range(1000)}
        w.submit(operations.upsert_multi(w.defaults, documents, format=FMT_BYTES))
        assert not w.session.parking.operations
        w.settle()
        w.writes.clear()
        w.do(operations.get_multi(w.defaults, list(documents)))
        assert len(w.writes) == len(w.nodes)

    def test_headers_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many small gets, one turn writes no more than of large values.

        A request without a value is mostly its header: these headers are three turns' share.
        """
        room = 1 << 16
        for user in ("couchloop.hot.pipe", "couchloop.session.dispatcher"):
            monkeypatch.setattr(f"{user}.ROOM", room)
        w = Slow()
        rounds = 3 * room // (24 * len(w.keys)) + 1
        gets = [w.submit(operations.get(w.defaults, key, quiet=True)) for key in w.keys * rounds]
        w.advance(0.1)
        sizes = [len(data) for number, data in w.writes if number == w.number]
        assert sum(sizes) > 3 * room
        assert max(sizes) < room + 100
        assert all(get.answer is not None for get in gets)

    def test_a_large_value(self) -> None:
        """A value larger than a turn's share goes out whole."""
        w = Slow()
        value = noise(3 * ROOM)
        op = w.upsert(w.keys[0], value)
        after = w.upsert(w.keys[1])
        w.advance(0.1)
        assert op.result().success
        assert after.result().success
        assert w.value(w.keys[0]) == value

    def test_issued_before_the_bucket_is_open(self) -> None:
        """Nor is all that waited for the opening written at once."""
        w = World()
        big = noise(100_000)
        ops = [
            w.submit(operations.upsert(w.defaults, f"k{n}", big, format=FMT_BYTES))
            for n in range(100)
        ]
        w.open()
        w.advance(1)
        assert all(op.result().success for op in ops)
        assert max(len(data) for _, data in w.writes) < ROOM + 110_000
        w.advance(5)
        w.assert_idle()

    def test_paused_between_turns(self) -> None:
        """A transport that stops in the midst of it is written no more, and goes on later."""
        w = Slow()
        ops = [w.upsert(key, noise(200_000)) for key in w.keys]
        w.stop()
        w.advance(1)
        written = sum(len(data) for number, data in w.writes if number == w.number)
        assert written < 2 * ROOM
        w.go_on()
        w.advance(1)
        assert all(op.result().success for op in ops)

    def test_deadline_before_the_output_is_taken(self) -> None:
        """The loop may call for a deadline first: nothing is sent twice, or out of turn."""
        w = Slow()
        ops = [w.upsert(key, noise(100_000)) for key in w.keys]
        waiting = w.session.parking.operations
        assert waiting
        for _ in range(3):
            w.session.handle_deadline(w.now)
        assert w.session.parking.operations == waiting
        w.advance(1)
        assert all(op.result().success for op in ops)


class TestLimits:
    """When too much waits."""

    def test_operations(self) -> None:
        """Beyond max_queued_operations an operation fails at once: its error says all."""
        w = Slow(max_queued_operations=10)
        w.stop()
        waiting = [w.upsert(key) for key in w.keys[:10]]
        assert not any(op.done for op in waiting)
        error = error_of(w.upsert(w.keys[10]))
        assert isinstance(error, OverloadedError)
        assert not isinstance(error, AmbiguousError)
        assert error.objextra.operations == 10
        text = error.details()
        for part in (
            "nothing was sent",
            "operations=10",
            "max_queued_operations=10",
            "max_queued_bytes=134217728",
            "when_overloaded=wait",
            str(w.address),
            w.keys[10],
        ):
            assert part in text
        w.go_on()
        w.settle()
        assert all(op.result().success for op in waiting)
        assert w.upsert(w.keys[10]).queue is not None
        w.advance(5)
        w.assert_idle()

    def test_bytes(self) -> None:
        """Beyond max_queued_bytes likewise; one that exceeds them alone is taken."""
        w = Slow(max_queued_bytes=5000)
        w.stop()
        large = w.upsert(w.keys[0], b"v" * 6000)
        assert isinstance(error_of(w.upsert(w.keys[1], b"")), OverloadedError)
        w.go_on()
        w.settle()
        assert large.result().success

    def test_other_nodes(self) -> None:
        """A node that is not slow is served, whatever waits for another."""
        w = Slow(max_queued_operations=1)
        w.stop()
        w.upsert(w.keys[0])
        other = w.keys_of(list(w.nodes)[1])[0]
        w.do(operations.upsert(w.defaults, other, 1))

    def test_wait(self) -> None:
        """With when_overloaded=wait those beyond wait like the others; also a large batch."""
        w = Slow(max_queued_operations=10, when_overloaded="wait")
        w.stop()
        batch = w.submit(
            operations.upsert_multi(w.defaults, dict.fromkeys(w.keys, KB), format=FMT_BYTES)
        )
        w.settle()
        assert w.session.parking.operations == len(w.keys)
        w.go_on()
        w.settle()
        assert batch.result().all_ok

    def test_batch_that_fails(self) -> None:
        """Of a batch that is too large the first are done, the others fail by name."""
        w = Slow(max_queued_operations=10)
        w.stop()
        documents: dict[str | bytes, Any] = dict.fromkeys(w.keys, KB)
        batch = w.submit(operations.upsert_multi(w.defaults, documents, format=FMT_BYTES))
        w.go_on()
        w.settle()
        with pytest.raises(OverloadedError) as raised:
            batch.result()
        results = raised.value.all_results
        assert results is not None
        assert [results[key].success for key in w.keys] == [True] * 10 + [False] * 30

    def test_before_the_bucket_is_open(self) -> None:
        """The limits hold for whatever an operation waits for."""
        w = World(max_queued_operations=2)
        w.session.start(w.now)
        ops = [w.submit(operations.get(w.defaults, f"k{n}", quiet=True)) for n in range(3)]
        error = error_of(ops[2])
        assert isinstance(error, OverloadedError)
        assert "the bucket was not open" in str(error)
        w.settle()
        assert all(op.done for op in ops[:2])

    def test_what_was_taken_stays(self) -> None:
        """An operation that is being retried is not refused for being too much."""
        w = Slow(max_queued_operations=1)
        w.cluster.inject(key=w.keys[0], status=Status.ETMPFAIL, count=1)
        op = w.upsert(w.keys[0])
        w.settle()
        w.stop()
        w.upsert(w.keys[1])
        w.advance(1)
        assert not op.done
        w.go_on()
        w.settle()
        assert op.result().success

    def test_a_strategy_that_does_not_wait(self) -> None:
        """Where the node is not connected, a strategy is asked as ever."""
        w = Slow()
        w.unreachable.add(w.address)
        w.lose(w.number)
        op = w.upsert(w.keys[0], retry_strategy=FailFast())
        assert isinstance(error_of(op), NodeNotAvailableError)


class TestLoad:
    """What producers are told."""

    def test_half_and_quarter(self) -> None:
        """They are to pause at half of a limit, and to go on at a quarter."""
        w = Slow(max_queued_operations=20)
        w.stop()
        ops = [w.upsert(key) for key in w.keys[:9]]
        assert w.told() == []
        ops += [w.upsert(key) for key in w.keys[9:12]]
        assert w.told() == [True]
        for op in ops[:6]:
            w.session.cancel(op)
        assert w.told() == [True]
        w.session.cancel(ops[6])
        assert w.told() == [True]
        w.session.cancel(ops[7])
        assert w.told() == [True, False]
        ops = [w.upsert(key) for key in w.keys[:9]]
        assert w.told() == [True, False, True]
        w.go_on()
        assert w.told() == [True, False, True, False]

    def test_bytes(self) -> None:
        """Bytes count as well as operations."""
        w = Slow(max_queued_bytes=10_000)
        w.stop()
        w.upsert(w.keys[0], b"v" * 5000)
        assert w.told() == [True]
        w.advance(3)
        assert w.told() == [True, False], "it has expired"

    def test_closing(self) -> None:
        """A Bucket that is closed holds nobody up."""
        w = Slow(max_queued_operations=2)
        w.stop()
        w.upsert(w.keys[0])
        assert w.told() == [True]
        w.session.close(w.now)
        assert w.told() == [True, False]

    def test_opening_that_fails(self) -> None:
        """What waited for a bucket that cannot be opened waits no more."""
        w = World(max_queued_operations=2)
        w.unreachable.update(w.nodes)
        w.submit(operations.get(w.defaults, "k"))
        w.session.start(w.now)
        w.advance(10)
        assert w.session.state is SessionState.FAILED
        assert (w.session.parking.operations, w.session.is_loaded) == (0, False)


def test_a_request_of_the_session_s_own() -> None:
    """A question for the configuration goes behind what is queued, however much that is."""
    w = Slow()
    w.stop()
    w.session.tracker.ask(w.session._connections.by_id[w.number], w.now)
    w.settle()
    assert w.session.tracker.request is None, "answered"
    assert [Opcode(data[1]) for _, data in w.writes] == [Opcode.GET_CLUSTER_CONFIG]
