"""The end of a bucket in virtual time: at once, or when all is done."""

from __future__ import annotations

import pytest

from couchloop.exceptions import (
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    ObjectDestroyedError,
    RequestCanceledError,
)
from couchloop.operations import document as ops
from couchloop.session import health
from couchloop.session.configurations import ConfigReason
from couchloop.session.events import CloseConnection, Closed, OpenFailed
from couchloop.session.ping import ping
from couchloop.session.session import SessionState
from couchloop.settings.values import Login
from couchloop.wire import Opcode
from tests.core.session.support import (
    SECOND,
    error_of,
    opened,
    state,
)
from tests.core.world import World


class TestClose:
    """The end."""

    def test_idle(self) -> None:
        """Closing closes every connection, and says so last."""
        w = opened()
        w.session.close(w.now)
        w.settle()
        assert w.opened == {}
        assert w.cluster.connections() == []
        assert isinstance(w.events[-1], Closed)
        assert sum(isinstance(event, CloseConnection) for event in w.events) == 3
        w.session.close(w.now)
        w.settle()
        assert sum(isinstance(event, Closed) for event in w.events) == 1
        assert w.session.next_deadline() is None

    def test_while_opening(self) -> None:
        """What waits fails; it was never sent, so it is not ambiguous."""
        for steps in range(3):
            w = World()
            w.session.start(w.now)
            op = w.submit(ops.upsert(w.defaults, "k", 1))
            for _ in range(steps):
                w._perform()
                w._carry()
            w.session.close(w.now)
            w.settle()
            error = error_of(op)
            assert type(error) is RequestCanceledError
            assert w.opened == {}
            assert w.session.next_deadline() is None

    def test_pending(self) -> None:
        """What was issued is still written; what is pending may have been done."""
        w = opened()
        store = w.submit(ops.upsert(w.defaults, "k", 1))
        read = w.submit(ops.get(w.defaults, "k"))
        w.session.close(w.now)
        assert type(error_of(store)) is AmbiguousRequestCanceledError
        assert type(error_of(read)) is RequestCanceledError
        w.settle()
        assert w.cluster.operations["SET"] == 1

    def test_waiting(self) -> None:
        """With time given, what is in flight is answered before the end."""
        w = opened()
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.session.close(w.now, 1.0)
        refused = w.submit(ops.get(w.defaults, "k"))
        assert type(error_of(refused)) is ObjectDestroyedError
        assert state(w) is SessionState.CLOSING
        w.settle()
        op.result()
        assert state(w) is SessionState.CLOSED
        assert w.opened == {}

    def test_waiting_in_vain(self) -> None:
        """When the time is up, what is not answered fails."""
        w = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.session.close(w.now, 1.0)
        w.session.close(w.now, 5.0)
        w.advance(0.9)
        assert not op.done
        w.advance(0.2)
        assert type(error_of(op)) is AmbiguousRequestCanceledError
        assert state(w) is SessionState.CLOSED

    @pytest.mark.parametrize("waits", [False, True])
    def test_nobody_waits_for_our_own_questions(self, *, waits: bool) -> None:
        """Questions of the client's own to nodes that hang hold up no close; nor do watchers.

        An operation of somebody does, and they do not end it before its time.
        """
        w = opened(config_poll_interval=2.5)
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        op = w.submit(ops.upsert(w.defaults, "k", 1, timeout=6.0)) if waits else None
        w.advance(3.0)
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        pinging = w.submit(ping(w.defaults, timeout=100.0))
        ready = w.submit(health.wait_until_ready(w.defaults, 100.0))
        assert w.session.in_flight
        w.session.close(w.now, 30.0)
        w.settle()
        assert state(w) is (SessionState.CLOSING if waits else SessionState.CLOSED)
        if op is None:
            assert w.opened == {}
        else:
            w.advance(2.5)
            assert not op.done
            w.advance(1.0)
            assert isinstance(op.error, AmbiguousTimeoutError)
            assert state(w) is SessionState.CLOSED
        assert ready.done
        with pytest.raises(RequestCanceledError):
            pinging.result()

    def test_waiting_cut_short(self) -> None:
        """A second close without time ends a waiting one."""
        w = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        w.submit(ops.upsert(w.defaults, "k", 1))
        w.session.close(w.now, 10.0)
        w.session.close(w.now)
        assert state(w) is SessionState.CLOSED

    def test_waiting_for_what_is_cancelled(self) -> None:
        """A close that waits for an operation ends when that is cancelled."""
        w = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.session.close(w.now, 10.0)
        w.session.cancel(op)
        w.settle()
        assert state(w) is SessionState.CLOSED

    def test_waiting_through_a_lost_connection(self) -> None:
        """Even while closing, a get in flight survives the loss of its connection."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        op = w.submit(ops.get(w.defaults, key, quiet=True))
        w.session.close(w.now, 5.0)
        w.session.take_output()
        w.lose(w.link_to(SECOND))
        w.advance(1)
        assert not op.result().success
        assert state(w) is SessionState.CLOSED

    def test_closed_bucket(self) -> None:
        """Operations on a closed bucket fail at once, and starting it does nothing."""
        w = opened()
        w.session.close(w.now)
        op = w.submit(ops.get(w.defaults, "k"))
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b"]))
        assert type(error_of(op)) is ObjectDestroyedError
        assert type(error_of(batch)) is ObjectDestroyedError
        assert type(w.session.failure()) is ObjectDestroyedError
        w.session.start(w.now)
        w.settle()
        assert state(w) is SessionState.CLOSED

    def test_failed_bucket(self) -> None:
        """A bucket that failed to open can be closed."""
        w = World(login=Login("user", "not-it"))
        w.session.start(w.now)
        w.settle()
        w.session.close(w.now)
        w.settle()
        assert [type(e) for e in w.events if isinstance(e, OpenFailed | Closed)] == [
            OpenFailed,
            Closed,
        ]

    def test_late_transport_calls(self) -> None:
        """What transports still say after the end is ignored."""
        w = opened()
        w.session.close(w.now)
        for number in range(5):
            w.session.connected(number, w.now)
            w.session.receive_data(number, b"\0", w.now)
            w.session.key_derived(number, b"", w.now)
            w.session.connection_lost(number, None, w.now)
            w.session.connect_failed(number, OSError(), w.now)
        w.session.handle_deadline(w.now + 100)
        w.settle()
        assert state(w) is SessionState.CLOSED
