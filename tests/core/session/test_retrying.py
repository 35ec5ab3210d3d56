"""What becomes of operations that a node refuses, or leaves unanswered on a lost connection."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    ConnectionLostError,
    DocumentLockedError,
    NodeNotAvailableError,
    RateLimitedError,
    ServerError,
    StoreLockedError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame, encode_response
from couchloop.kv.connection import connection_of
from couchloop.kv.handshake import ErrorMapEntry
from couchloop.operations import document as ops
from couchloop.retries import (
    BestEffort,
    FailFast,
    RetryReason,
    RetryRequest,
    RetryStrategy,
)
from couchloop.session.configurations import ConfigReason
from couchloop.settings.values import Address
from couchloop.wire import Opcode, Status
from tests.core.session.support import (
    FIRST,
    SECOND,
    Scripted,
    context_of,
    error_of,
    node_at,
    opened,
)
from tests.core.world import World

UNKNOWN_STATUS = 0x7E


class TestRefused:
    """Operations that the server refuses, under different strategies."""

    @pytest.mark.parametrize("strategy", [None, FailFast()])
    def test_locked(self, strategy: RetryStrategy | None) -> None:
        """A locked document fails at once by default; the strategy was asked, none would wait."""
        w = opened(retry_strategy=strategy)
        w.cluster.inject(key="k", status=Status.LOCKED)
        write = w.submit(ops.upsert(w.defaults, "k", 1))
        read = w.submit(ops.get(w.defaults, "k"))
        w.settle()
        assert type(error_of(write)) is StoreLockedError
        assert type(error_of(read)) is DocumentLockedError

    def test_waiting_for_a_lock(self) -> None:
        """A strategy can wait for a lock to end; it sees what there is to see."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.LOCKED, count=2)
        strategy = Scripted(lambda _: 0.1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        w.advance(0.15)
        assert fault.hits == 2
        assert not op.done
        w.advance(0.1)
        op.result()
        locked = RetryReason.KV_LOCKED
        assert strategy.asked == [
            (RetryRequest("upsert", "k", False, 1, ()), locked),
            (RetryRequest("upsert", "k", False, 2, ("KV_LOCKED",)), locked),
        ]

    def test_fail_fast(self) -> None:
        """A temporary failure ends at once where the Bucket or the call says so."""
        for bucket, call in ((FailFast(), None), (None, FailFast()), (BestEffort(), FailFast())):
            w = opened(retry_strategy=bucket)
            fault = w.cluster.inject(key="k", status=Status.ETMPFAIL)
            op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=call))
            w.settle()
            error = error_of(op)
            assert type(error) is TemporaryFailError
            assert (fault.hits, context_of(error).attempts) == (1, 1)
            assert context_of(error).reasons == ()

    def test_call_overrides_bucket(self) -> None:
        """One call may be patient on a Bucket that is not."""
        w = opened(retry_strategy=FailFast())
        w.cluster.inject(key="k", status=Status.ETMPFAIL, count=3)
        batch = w.submit(ops.upsert_multi(w.defaults, {"k": 1}, retry_strategy=BestEffort()))
        w.advance(0.01)
        assert batch.result().all_ok

    def test_always(self) -> None:
        """No strategy is asked while the cluster rearranges itself."""
        w = opened()
        strategy = Scripted(lambda _: None)
        for status in (Status.NOT_MY_VBUCKET, Status.CONFIG_ONLY, Status.UNKNOWN_COLLECTION):
            w.cluster.inject(key="k", status=status, count=2)
            op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
            w.advance(0.012)
            op.result()
            assert op.attempts == 2
        assert strategy.asked == []

    @pytest.mark.parametrize("status", [Status.AUTH_STALE, Status.NO_BUCKET])
    def test_connection_is_forgotten(self, status: int) -> None:
        """Fail fast does not take a forgotten login for a wrong one: trying again may help."""
        w = opened()
        w.cluster.inject(key="k", status=status, count=1)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=FailFast()))
        w.advance(0.1)
        error = error_of(op)
        assert type(error) is NodeNotAvailableError
        assert not error.is_fatal
        assert context_of(error).status == status
        assert context_of(error.__cause__).status == status
        w.do(ops.upsert(w.defaults, "k", 1))

    @pytest.mark.parametrize("delay", [2.5, 7.0, inf])
    def test_retry_that_does_not_fit(self, delay: float) -> None:
        """A pause that is longer than the time left ends as a timeout, at the deadline."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.ETMPFAIL)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=Scripted(lambda _: delay)))
        w.advance(2.49)
        assert not op.done
        w.advance(0.01)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert fault.hits == 1
        w.assert_idle()

    def test_timeout_tells_the_last_try(self) -> None:
        """The error names the node and the status that the last try met, and is caused by it."""
        w = opened()
        w.cluster.inject(key="k", status=Status.ETMPFAIL)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(2.5)
        error = error_of(op)
        context = context_of(error)
        assert context.node == str(w.owner("k"))
        assert context.status == Status.ETMPFAIL
        assert context.reasons == ("KV_TEMPORARY_FAILURE",)
        assert context.attempts > 1
        assert type(error.__cause__) is TemporaryFailError

    def test_rate_limits(self) -> None:
        """Rate limits reach the caller."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.RATE_LIMITED_MAX_COMMANDS)
        op = w.submit(ops.get(w.defaults, "k"))
        w.settle()
        assert type(error_of(op)) is RateLimitedError
        assert fault.hits == 1


class TestErrorMap:
    """A status that only the node's error map knows."""

    @staticmethod
    def world(attributes: str, count: int | None = 1) -> tuple[World, Any]:
        """Return a world whose error maps know a status, and which key "k" meets it."""
        w = opened()
        entry = ErrorMapEntry("ODD", "an odd thing", frozenset(attributes.split()))
        for connection in w.session.connections:
            connection.error_map = {UNKNOWN_STATUS: entry}
        return w, w.cluster.inject(key="k", status=UNKNOWN_STATUS, count=count)

    def test_retry_now(self) -> None:
        """The first retry is immediate; a node that insists is not asked without pause."""
        w, fault = self.world("retry-now")
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        op.result()
        w, fault = self.world("retry-now", None)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        assert fault.hits == 2
        w.advance(2.5)
        assert type(error_of(op)) is UnambiguousTimeoutError
        assert fault.hits < 20

    @pytest.mark.parametrize("attributes", ["retry-now", "retry-later", "conn-state-invalidated"])
    def test_fail_fast(self, attributes: str) -> None:
        """A strategy may ignore the advice to try again."""
        w, fault = self.world(attributes, None)
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=FailFast()))
        w.settle()
        assert type(error_of(op)) is ServerError
        assert fault.hits == 1

    @pytest.mark.parametrize("strategy", [BestEffort(), FailFast()])
    def test_connection_state_is_gone(self, strategy: RetryStrategy) -> None:
        """The connection is replaced, whatever becomes of the operation; others are not blamed."""
        w, _ = self.world("conn-state-invalidated")
        accepted = w.cluster.accepted
        op = w.submit(ops.upsert(w.defaults, "k", 1, retry_strategy=strategy))
        w.advance(0.1)
        (line,) = [line for line in w.logs if line.startswith("lost")]
        assert "an odd thing" in line
        assert "upsert" not in line
        assert w.cluster.accepted == accepted + 1
        assert (op.error is None) == isinstance(strategy, BestEffort)

    def test_temporary(self) -> None:
        """What the map calls temporary, and nothing more, is a TemporaryFailError."""
        w, _ = self.world("temp")
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        error = error_of(op)
        assert type(error) is TemporaryFailError
        assert "an odd thing" in str(error)

    def test_fetch_config(self) -> None:
        """The attribute fetch-config makes the session look for a newer configuration."""
        w, _ = self.world("fetch-config retry-later")
        w.advance(1)
        asked = w.cluster.operations["GET_CLUSTER_CONFIG"]
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.1)
        op.result()
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] == asked + 1


class TestLostConnection:
    """Operations whose connection is lost while they are in flight."""

    @pytest.mark.parametrize("strategy", [None, FailFast(), Scripted()])
    def test_changes(self, strategy: Any) -> None:
        """What changes something is never sent again, and no strategy is even asked."""
        w = opened()
        w.cluster.inject(opcode=Opcode.INCREMENT, lose_answer=True, count=1)
        op = w.submit(ops.counter(w.defaults, "k", 1, 1, retry_strategy=strategy))
        w.advance(1)
        error = error_of(op)
        assert type(error) is AmbiguousConnectionLostError
        assert isinstance(error.__cause__, ConnectionLostError)
        assert isinstance(strategy, FailFast | None) or strategy.asked == []
        assert w.do(ops.counter(w.defaults, "k")).value == 2

    def test_reads(self) -> None:
        """What changes nothing is up to the strategy; giving up is not ambiguous."""
        w = opened()
        fault = w.cluster.inject(opcode=Opcode.GET, silent=True, count=2)
        strategy = Scripted()
        patient = w.submit(ops.get(w.defaults, "k", quiet=True, retry_strategy=strategy))
        hasty = w.submit(ops.get(w.defaults, "k", retry_strategy=FailFast()))
        w.settle()
        assert fault.hits == 2
        w.lose(w.link_to(w.owner("k")))
        w.settle()
        assert type(error_of(hasty)) is ConnectionLostError
        w.advance(0.1)
        assert not patient.result().success
        assert strategy.asked == [
            (RetryRequest("get", "k", True, 1, ()), RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT)
        ]


class TestNotMyVbucket:
    """An operation that reached a node that does not own its key."""

    def moved(self, **arguments: Any) -> tuple[World, str, Address]:
        w = opened()
        (key,) = w.keys_of(FIRST)
        assert w.session.config is not None
        number = w.session.config.vbucket(key.encode())
        w.cluster.move_vbucket("default", number, node_at(w, SECOND), **arguments)
        w.cluster.operations.clear()
        return w, key, SECOND

    def test_with_newer_config(self) -> None:
        """The answer brings the newer configuration: sent again at once, done exactly once."""
        w, key, target = self.moved()
        op = w.submit(ops.counter(w.defaults, key, 1, 1))
        w.settle()
        assert op.result().value == 1
        assert w.owner(key) == target
        assert op.attempts == 1
        assert op.reasons == ("KV_NOT_MY_VBUCKET",)
        assert w.do(ops.counter(w.defaults, key)).value == 2
        assert w.session.config is not None
        assert w.session.config.revision.rev == w.cluster.rev

    def test_with_same_config(self) -> None:
        """Without a newer configuration it is tried again after 1, 10, 50 ms, until it fits."""
        w = opened()
        (key,) = w.keys_of(FIRST)
        before = w.session.config
        text = w.cluster.nodes[0].configurations["default"].text(0)
        fault = w.cluster.inject(key=key, status=Status.NOT_MY_VBUCKET, value=text, count=3)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.settle()
        assert fault.hits == 1
        w.advance(0.002)
        assert fault.hits == 2
        w.advance(0.01)
        assert fault.hits == 3
        assert not op.done
        w.advance(0.05)
        assert op.done
        assert w.session.config is before
        op.result()
        assert op.attempts == 3

    def test_without_config(self) -> None:
        """An empty answer makes the session ask for a configuration."""
        w, key, target = self.moved(nodes=(), push=False)
        w.cluster.inject(key=key, node=node_at(w, FIRST), status=Status.NOT_MY_VBUCKET)
        w.cluster.changed(push=False)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.2)
        op.result()
        assert w.owner(key) == target
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] == 1

    def test_never_resolved(self) -> None:
        """A key that nobody owns ends at the deadline, unambiguously: nothing was done."""
        w = opened()
        w.cluster.inject(key="k", status=Status.NOT_MY_VBUCKET)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(3)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "KV_NOT_MY_VBUCKET" in error.details()
        w.advance(1)
        w.assert_idle()

    def test_corrupt_config(self) -> None:
        """A configuration that cannot be read is logged and ignored."""
        w = opened()
        revision = w.session.config
        for value in (b"{", b"\xff\xff\xff\xff\xff\xff"):
            w.cluster.inject(key="k", status=Status.NOT_MY_VBUCKET, value=value, count=1)
            op = w.submit(ops.upsert(w.defaults, "k", 1))
            w.advance(0.2)
            op.result()
        assert w.session.config is revision
        assert any("not a cluster configuration" in line for line in w.logs)

    @pytest.mark.parametrize("datatype", [2, 3])
    def test_corrupt_compressed_config(self, datatype: int) -> None:
        """A compressed configuration that cannot be inflated is ignored too, wherever it is."""
        w = opened()
        op = w.submit(ops.get(w.defaults, "k", quiet=True))
        connection = op.connection
        body = b"\xff\xff\xff\xff\xff\xff\xff"
        push = Frame(0x82, 1, datatype, 0, 0, 0, b"", b"", b"default", body).encode()
        w.session.receive_data(connection.id, push, w.now)
        answer = encode_response(0, 7, opaque=op.opaque, value=body, datatype=datatype)
        w.session.receive_data(connection.id, answer, w.now)
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        request = w.session.tracker.request
        assert request is not None
        asked = connection_of(request)
        assert asked is not None
        answer = encode_response(0xB5, opaque=request.opaque, value=body, datatype=datatype)
        w.session.receive_data(asked.id, answer, w.now)
        w.advance(1)
        assert sum("Snappy" in line for line in w.logs) == 3
        assert not op.result().success

    def test_older_config(self) -> None:
        """A node that lags behind cannot bring an older configuration back."""
        w, key, target = self.moved(nodes=None)
        text = w.cluster.nodes[0].configurations["default"].text(0)
        w.do(ops.upsert(w.defaults, key, 1))
        before = w.session.config
        older = text.replace(b'"rev":%d' % w.cluster.rev, b'"rev":1')
        assert older != text
        w.cluster.inject(key=key, status=Status.NOT_MY_VBUCKET, value=older, count=1)
        op = w.submit(ops.upsert(w.defaults, key, 2))
        w.advance(0.2)
        op.result()
        assert w.session.config is before
        assert w.owner(key) == target


class TestTemporaryFailure:
    """A server that says "later"."""

    def test_until_it_succeeds(self) -> None:
        """It is tried again with growing pauses: 1, 2, 4, 8 ms."""
        w = opened()
        fault = w.cluster.inject(key="k", status=Status.ETMPFAIL, count=4)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.0145)
        assert fault.hits == 4
        assert not op.done
        w.advance(0.001)
        op.result()
        assert op.attempts == 4

    @pytest.mark.parametrize(
        "status", [Status.ETMPFAIL, Status.EBUSY, Status.ENOMEM, Status.SYNC_WRITE_IN_PROGRESS]
    )
    def test_until_the_deadline(self, status: int) -> None:
        """At the deadline it is unambiguous, with attempts and reasons; pauses end at 500 ms."""
        w = opened()
        fault = w.cluster.inject(key="k", status=status)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(2.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert error.context is not None
        assert error.context.attempts == fault.hits == 13
        assert len(error.context.reasons) == 1
        w.assert_idle()

    def test_config_only(self) -> None:
        """A node that has the configuration but no data yet is asked again."""
        w = opened()
        w.cluster.inject(key="k", status=Status.CONFIG_ONLY, count=2)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.1)
        op.result()

    def test_by_the_error_map(self) -> None:
        """A status that only the server's error map knows is retried if that says so."""
        w = opened()
        for connection in w.session.connections:
            connection.error_map = {
                0x7E: type(next(iter(connection.error_map.values())))(
                    "LATER", "come back", frozenset({"retry-later"})
                ),
                0x7F: type(next(iter(connection.error_map.values())))(
                    "NEVER", "go away", frozenset({"item-only"})
                ),
            }
        w.cluster.inject(key="k", status=0x7E, count=1)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.1)
        op.result()
        assert op.reasons == ("KV_ERROR_MAP_RETRY_INDICATED",)
        w.cluster.inject(key="k", status=0x7F)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        error = error_of(op)
        assert "NEVER" in str(error)
        assert "go away" in str(error)

    @pytest.mark.parametrize("status", [Status.AUTH_STALE, Status.NO_BUCKET])
    def test_connection_state_is_gone(self, status: int) -> None:
        """A connection that lost its login or its bucket is replaced, and the operation sent."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        w.cluster.inject(key=key, status=status, count=1)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.1)
        op.result()
        assert w.cluster.accepted == 4

    def test_answers_of_one_read(self) -> None:
        """All that were refused together are sent again, and what was done counts as done."""
        w = opened()
        keys = w.keys_of(SECOND, 10)
        for key in keys[:9]:
            w.cluster.inject(key=key, status=Status.NO_BUCKET, count=1)
        counts = [w.submit(ops.counter(w.defaults, key, 1, 1)) for key in keys]
        w.advance(1)
        assert [op.result().value for op in counts] == [1] * 10
        assert [w.do(ops.get(w.defaults, key)).value for key in keys] == [1] * 10
        assert [op.attempts for op in counts] == [1] * 9 + [0]
        assert w.cluster.accepted == 4
