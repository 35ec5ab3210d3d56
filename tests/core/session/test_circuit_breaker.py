"""The circuit breaker: when it opens, what it keeps back, what closes it."""

from __future__ import annotations

from typing import Any

from couchloop.exceptions import (
    AmbiguousTimeoutError,
    NodeNotAvailableError,
    NodeTimeoutError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.wire import Opcode
from tests.core.session.support import FIRST, SECOND, Scripted, context_of, error_of, opened
from tests.core.world import World


class TestCircuitBreaker:
    """A node that leaves operation after operation without an answer."""

    LIMIT = 20

    def silent(self, noop_delay: float = 1.0, **settings: Any) -> tuple[World, str, Any]:
        """Return a world, a key, and the endpoint of its node, which has answered nothing."""
        w = opened(**settings)
        (key,) = w.keys_of(FIRST)
        w.cluster.inject(opcode=Opcode.NOOP, delay=noop_delay)
        w.cluster.inject(opcode=Opcode.SET, silent=True, count=self.LIMIT)
        return w, key, w.session.table.endpoints[FIRST]

    def time_out(self, w: World, key: str, count: int) -> None:
        """Let *count* operations run out of time."""
        for _ in range(count):
            w.submit(ops.upsert(w.defaults, key, 0))
        w.advance(2.5)

    def test_opens_and_closes(self) -> None:
        """Open, it keeps operations back; one NOOP is sent, and its answer lets them go."""
        w, key, endpoint = self.silent()
        self.time_out(w, key, self.LIMIT)
        assert all(type(op.error) is AmbiguousTimeoutError for op in w.delivered)
        assert endpoint.is_open_circuit
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.9)
        assert not op.done
        assert op.reasons == ("CIRCUIT_BREAKER_OPEN",)
        w.advance(0.2)
        op.result()
        assert w.cluster.operations["NOOP"] == 1
        assert not endpoint.is_open_circuit
        assert any("20 operations in a row, or more, were not" in line for line in w.logs)

    def test_fail_fast(self) -> None:
        """Open, it fails what does not want to wait, with its own reason asked for."""
        w, key, _ = self.silent()
        self.time_out(w, key, self.LIMIT)
        strategy = Scripted(lambda _: None)
        op = w.submit(ops.upsert(w.defaults, key, 1, retry_strategy=strategy))
        error = error_of(op)
        assert type(error) is NodeNotAvailableError
        assert context_of(error).node == str(FIRST)
        assert isinstance(error.__cause__, NodeTimeoutError)
        assert [reason for _, reason in strategy.asked] == ["CIRCUIT_BREAKER_OPEN"]
        (other,) = w.keys_of(SECOND)
        w.do(ops.get(w.defaults, other, quiet=True))

    def test_unambiguous(self) -> None:
        """What was kept back has not been done, so its timeout is not ambiguous."""
        w, key, _ = self.silent()
        self.time_out(w, key, self.LIMIT)
        op = w.submit(ops.upsert(w.defaults, key, 1, timeout=0.5))
        w.advance(0.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "circuit breaker" in str(error)
        assert context_of(error).reasons == ("CIRCUIT_BREAKER_OPEN",)

    def test_not_before_its_limit(self) -> None:
        """One operation fewer does not open it, and an answer makes the others forgotten."""
        w, key, endpoint = self.silent(noop_delay=0.1)
        self.time_out(w, key, self.LIMIT - 1)
        assert not endpoint.is_open_circuit
        w.advance(0.2)
        assert endpoint.timeouts == 0
        self.time_out(w, key, 1)
        assert not endpoint.is_open_circuit

    def test_slow_operations(self) -> None:
        """A node that answers anything has its breaker closed, however many are slow."""
        w, key, endpoint = self.silent()
        for _ in range(self.LIMIT):
            w.submit(ops.upsert(w.defaults, key, 0))
        w.advance(1)
        w.do(ops.get(w.defaults, key, quiet=True))
        w.advance(1.5)
        assert sum(op.error is not None for op in w.delivered) == self.LIMIT
        assert not endpoint.is_open_circuit

    def test_canary_fails(self) -> None:
        """A canary without an answer ends the connection; the next one begins anew."""
        w, key, endpoint = self.silent(noop_delay=60.0)
        before = endpoint.connection
        self.time_out(w, key, self.LIMIT)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(1.9)
        assert endpoint.is_open_circuit
        w.advance(0.2)
        op.result()
        assert not endpoint.is_open_circuit
        assert endpoint.connection is not before

    def test_order(self) -> None:
        """A get that was in flight when the canary fails goes before what was kept back."""
        w, key, _ = self.silent(noop_delay=60.0)
        w.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
        for _ in range(self.LIMIT):
            w.submit(ops.upsert(w.defaults, key, 0))
        read = w.submit(ops.get(w.defaults, key, quiet=True, timeout=10.0))
        w.advance(2.5)
        store = w.submit(ops.upsert(w.defaults, key, 1))
        w.delivered.clear()
        w.advance(2.5)
        assert w.delivered == [read, store]
        assert not read.result().success

    def test_off(self) -> None:
        """With a limit of 0 there is no breaker."""
        w, key, endpoint = self.silent(circuit_breaker=0)
        self.time_out(w, key, self.LIMIT)
        assert not endpoint.is_open_circuit
        op = w.submit(ops.upsert(w.defaults, key, 1))
        assert op.connection is not None
        w.advance(1.5)
        op.result()
