"""Nodes that go, come back, are added and removed, in virtual time."""

from __future__ import annotations

from itertools import pairwise

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import encode_response
from couchloop.operations import document as ops
from couchloop.settings.values import Address
from couchloop.wire import Opcode
from tests.core.session.support import (
    FIRST,
    SECOND,
    THIRD,
    TWO_SECONDS,
    error_of,
    node_at,
    opened,
    push,
    without_last_node,
)
from tests.core.world import FIRST_PORT, World


class TestLostConnections:
    """Connections that break while something is in flight, or waits."""

    def test_in_flight(self) -> None:
        """A get is sent again on the new connection; what changes something is ambiguous."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        store = w.submit(ops.upsert(w.defaults, key, 1))
        read = w.submit(ops.get(w.defaults, key, quiet=True))
        w.session.take_output()
        w.lose(w.link_to(SECOND), OSError("reset"))
        error = error_of(store)
        assert type(error) is AmbiguousConnectionLostError
        assert isinstance(error, AmbiguousError)
        assert str(SECOND) in str(error)
        assert "reset" in repr(error.__cause__.__cause__ if error.__cause__ else "")
        assert not read.done
        w.advance(0.1)
        assert not read.result().success
        assert read.reasons == ("SOCKET_CLOSED_WHILE_IN_FLIGHT",)
        w.assert_idle()

    def test_order_is_kept(self) -> None:
        """What was in flight goes before what was parked meanwhile, each in order of issue."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        gets = [ops.get(w.defaults, key, quiet=True) for _ in range(3)]
        w.submit(gets[0])
        w.submit(gets[1])
        w.session.take_output()
        w.lose(w.link_to(SECOND))
        w.submit(gets[2])
        w.submit(store := ops.upsert(w.defaults, key, 1))
        w.submit(last := ops.get(w.defaults, key))
        w.advance(0.1)
        assert w.delivered == [*gets, store, last]
        assert last.result().value == 1
        assert not gets[2].result().success

    def test_parked_while_opening(self) -> None:
        """Operations issued before the bucket is open are done in their order."""
        w = World()
        first = w.submit(ops.upsert(w.defaults, "k", 0))
        w.session.start(w.now)
        counts = [w.submit(ops.counter(w.defaults, "k")) for _ in range(20)]
        w.settle()
        first.result()
        assert [op.result().value for op in counts] == list(range(1, 21))

    def test_node_stays_away(self) -> None:
        """Operations for a node that stays away wait until their deadline: not ambiguous."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        w.cluster.stop(node_at(w, SECOND))
        w.settle()
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(2.4)
        assert not op.done
        w.advance(0.1)
        assert type(error_of(op)) is UnambiguousTimeoutError
        (other,) = w.keys_of(FIRST)
        w.do(ops.upsert(w.defaults, other, 1))

    def test_node_returns(self) -> None:
        """When the node is back within the deadline, what waited is done."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        w.cluster.stop(node_at(w, SECOND))
        w.settle()
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(1)
        w.cluster.restart(node_at(w, SECOND))
        w.advance(1)
        op.result()

    def test_backoff(self) -> None:
        """Attempts come less and less often, up to every 2 s, and never at regular times."""
        w = opened()
        w.advance(100)
        w.attempts.clear()
        w.cluster.stop(node_at(w, SECOND))
        w.advance(60)
        times = [when for when, address in w.attempts if address == SECOND]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert 100 < times[0] < 100.05
        assert 0.025 <= gaps[0] <= 0.1
        assert all(gap <= TWO_SECONDS for gap in gaps)
        assert all(gap >= 1.0 for gap in gaps[8:])
        assert len({round(gap, 6) for gap in gaps[8:]}) == len(gaps[8:])

    def test_flapping(self) -> None:
        """A server that logs us in and hangs up each time is not run against without pause."""
        w = opened()
        w.attempts.clear()
        for _ in range(1000):
            if SECOND in w.opened.values() and w.link_to(SECOND):
                w.lose(w.link_to(SECOND))
            w.advance(0.01)
        assert 8 <= len(w.attempts) <= 20

    def test_silent_node(self) -> None:
        """A node that answers nothing while connecting is given up after config_node_timeout."""
        w = opened()
        number = w.link_to(SECOND)
        w.cluster.hang(node_at(w, SECOND))
        w.lose(number)
        w.advance(1.9)
        assert not any("config_node_timeout" in line for line in w.logs)
        w.advance(0.2)
        assert any("did not answer the handshake within 2 s" in line for line in w.logs)
        w.cluster.restart(node_at(w, SECOND))
        w.advance(2)
        (key,) = w.keys_of(SECOND)
        w.do(ops.upsert(w.defaults, key, 1))

    def test_wrong_answer(self) -> None:
        """An answer of another kind than its request ends the connection, not the session."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.session.receive_data(
            op.connection.id, encode_response(Opcode.GET, opaque=op.opaque), w.now
        )
        assert type(error_of(op)) is AmbiguousConnectionLostError
        w.advance(0.1)
        w.do(ops.upsert(w.defaults, key, 1))

    def test_config_is_asked_for(self) -> None:
        """When a node is lost, another is asked for a configuration: it may tell why."""
        w = opened()
        w.cluster.operations.clear()
        (key,) = w.keys_of(SECOND)
        w.advance(1)
        w.cluster.stop(node_at(w, SECOND))
        w.cluster.failover(node_at(w, SECOND))
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.advance(0.2)
        if op.error is not None:
            assert isinstance(error_of(op), AmbiguousError)
        w.do(ops.upsert(w.defaults, key, 1))
        assert w.owner(key) != SECOND
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] >= 1


class TestTopologyChanges:
    """Nodes that come and go."""

    def test_node_added(self) -> None:
        """A new node gets its connection and its share."""
        w = opened()
        node = w.cluster.add_node()
        node.ports["kv"] = FIRST_PORT + 3
        address = Address("127.0.0.1", FIRST_PORT + 3)
        w.nodes[address] = node
        w.cluster.rebalance()
        w.do(ops.upsert_multi(w.defaults, {f"k{n}": n for n in range(100)}))
        w.advance(1)
        assert address in w.opened.values()
        w.do(ops.get_multi(w.defaults, [f"k{n}" for n in range(100)]))
        assert w.owner(w.keys_of(address)[0]) == address

    def test_node_removed(self) -> None:
        """What is in flight on a removed node is answered before its connection closes."""
        w = opened()
        (key,) = w.keys_of(THIRD)
        w.cluster.inject(opcode=Opcode.GET, key=key, delay=0.5, count=1)
        slow = w.submit(ops.get(w.defaults, key, quiet=True))
        w.settle()
        config = without_last_node(w)
        w.session.receive_data(w.link_to(FIRST), push(config), w.now)
        w.settle()
        assert w.session.addresses == [FIRST, SECOND]
        assert THIRD in w.opened.values()
        w.advance(0.4)
        assert not slow.done
        w.advance(0.2)
        assert not slow.result().success
        assert THIRD not in w.opened.values()
        w.advance(10)
        w.assert_idle()

    def test_node_comes_back_while_draining(self) -> None:
        """A node that is listed again keeps its connection: there are never two."""
        w = opened()
        (key,) = w.keys_of(THIRD)
        w.cluster.inject(opcode=Opcode.GET, key=key, delay=0.5, count=1)
        slow = w.submit(ops.get(w.defaults, key, quiet=True))
        w.settle()
        before = w.link_to(THIRD)
        w.session.receive_data(w.link_to(FIRST), push(without_last_node(w)), w.now)
        w.settle()
        w.cluster.rev += 5
        w.cluster.bump()
        text = w.cluster.nodes[0].configurations["default"].text(0)
        w.session.receive_data(w.link_to(FIRST), push(text), w.now)
        w.advance(2)
        assert not slow.result().success
        assert w.link_to(THIRD) == before
        assert w.cluster.accepted == 3
        w.do(ops.upsert(w.defaults, key, 1))

    def test_parked_operations_follow_the_map(self) -> None:
        """What waits for a dead node goes to the one that owns the key now, at once."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        assert w.session.config is not None
        number = w.session.config.vbucket(key.encode())
        w.cluster.stop(node_at(w, SECOND))
        w.advance(1)
        op = w.submit(ops.upsert(w.defaults, key, 1))
        w.settle()
        w.cluster.move_vbucket("default", number, node_at(w, THIRD))
        text = w.cluster.nodes[0].configurations["default"].text(0)
        w.session.receive_data(w.link_to(FIRST), push(text), w.now)
        w.settle()
        op.result()

    def test_lost_while_draining(self) -> None:
        """A draining connection that breaks sends its gets to the new owner at once."""
        w = opened()
        (key,) = w.keys_of(THIRD)
        w.cluster.hang(node_at(w, THIRD))
        read = w.submit(ops.get(w.defaults, key, quiet=True))
        w.settle()
        config = without_last_node(w)
        w.session.receive_data(w.link_to(FIRST), push(config), w.now)
        w.settle()
        w.lose(w.link_to(THIRD))
        w.settle()
        # The cluster does not know of our configuration: the new owner refuses.
        assert read.reasons == ("SOCKET_CLOSED_WHILE_IN_FLIGHT", "KV_NOT_MY_VBUCKET")

    def test_useless_config(self) -> None:
        """A configuration without any node that can be reached is not followed."""
        w = opened()
        before = w.session.config
        text = w.cluster.nodes[0].configurations["default"].text(0)
        useless = text.replace(b'"kv"', b'"xx"').replace(b'"rev":%d' % w.cluster.rev, b'"rev":9999')
        w.session.receive_data(w.link_to(FIRST), push(useless), w.now)
        w.settle()
        assert w.session.config is before
        assert any("lists no data node" in line for line in w.logs)
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_push_of_another_bucket(self) -> None:
        """Configurations of other buckets, and the global one, are not ours."""
        w = opened()
        before = w.session.config
        text = without_last_node(w)
        for name in (b"", b"other", b"\xff"):
            w.session.receive_data(w.link_to(FIRST), push(text, name), w.now)
        assert w.session.config is before
