"""A whole bucket in virtual time: routing, retries, deadlines, faults, bootstrap, close."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CasMismatchError,
    CouchbaseError,
    DocumentExistsError,
    FeatureNotAvailableError,
    HandshakeClosedError,
    NetworkNotFoundError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotFoundError,
    NotStoredError,
    ObjectDestroyedError,
    ProtocolError,
    RequestCanceledError,
    StoreLockedError,
    TlsError,
    TooBigError,
    UnambiguousTimeoutError,
    ValueFormatError,
    WrongProtocolError,
)
from couchloop.operations import document as ops
from couchloop.operations.batch import Batch
from couchloop.operations.document import Operation
from couchloop.session import health
from couchloop.session.events import CloseConnection, Closed, Opened, OpenFailed
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Feature, Frame, FrameDecoder, Opcode, Status, encode_response
from tests.core.world import FIRST_PORT, ScriptedNode, World

FIRST, SECOND, THIRD = (Address("127.0.0.1", FIRST_PORT + number) for number in range(3))
TWO_SECONDS = 2.0


def opened(cluster: EmbeddedCluster | None = None, **settings: Any) -> World:
    """Give a world whose bucket is open on all nodes."""
    world = World(cluster, **settings)
    world.open()
    return world


def error_of(op: Any) -> CouchbaseError:
    """Give the error that *op* completed with."""
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    return caught.value


def node_at(world: World, address: Address) -> Any:
    """Give the embedded node that is served at *address*."""
    return world.nodes[address]


def state(world: World) -> SessionState:
    """Give the session's state as of now (a type checker takes it for constant)."""
    return world.session.state


def _woken(world: World) -> list[Any]:
    """Give what was completed, in order."""
    return list(world.woken)


class TestDocuments:
    """The operations against the cluster, end to end."""

    def test_life_of_a_document(self) -> None:
        """Stored, read, changed, counted, removed: each with its result."""
        w = opened()
        d = w.defaults
        stored = w.do(ops.insert(d, "k", {"a": [1, 2]}))
        read = w.do(ops.get(d, "k"))
        assert (read.value, read.cas) == ({"a": [1, 2]}, stored.cas)
        replaced = w.do(ops.replace(d, "k", "v", cas=read.cas))
        assert replaced.cas != read.cas
        w.do(ops.upsert(d, "t", "b", format=FMT_UTF8))
        w.do(ops.append(d, "t", "c"))
        w.do(ops.prepend(d, "t", "a"))
        assert w.do(ops.get(d, "t")).value == "abc"
        assert w.do(ops.counter(d, "n", 5, 10)).value == 10
        assert w.do(ops.counter(d, "n", 5)).value == 15
        assert w.do(ops.counter(d, "n", -100)).value == 0
        w.do(ops.remove(d, "k", cas=replaced.cas))
        assert not w.do(ops.get(d, "k", quiet=True)).success
        w.advance(10)
        w.assert_idle()

    def test_expiry(self) -> None:
        """A TTL ends a document; touch and get-and-touch put the end off."""
        w = opened()
        d = w.defaults
        w.do(ops.upsert(d, "a", 1, ttl=10))
        w.do(ops.upsert(d, "b", 1, ttl=10))
        w.do(ops.upsert(d, "c", 1, ttl=10))
        w.do(ops.touch(d, "b", 100))
        w.do(ops.get(d, "c", ttl=100))
        w.advance(50)
        found = [w.do(ops.get(d, key, quiet=True)).success for key in "abc"]
        assert found == [False, True, True]

    @pytest.mark.parametrize(
        ("build", "kind"),
        [
            (lambda d: ops.get(d, "no"), NotFoundError),
            (lambda d: ops.replace(d, "no", 1), NotFoundError),
            (lambda d: ops.remove(d, "no"), NotFoundError),
            (lambda d: ops.touch(d, "no"), NotFoundError),
            (lambda d: ops.counter(d, "no"), NotFoundError),
            (lambda d: ops.append(d, "no", "x"), NotStoredError),
            (lambda d: ops.insert(d, "yes", 1), DocumentExistsError),
            (lambda d: ops.upsert(d, "yes", 1, cas=5), CasMismatchError),
            (lambda d: ops.remove(d, "yes", cas=5), CasMismatchError),
            (
                lambda d: ops.append(d, "yes", bytes(20 * 2**20), format=FMT_BYTES),
                TooBigError,
            ),
        ],
    )
    def test_refusals(self, build: Callable[[Any], Any], kind: type[CouchbaseError]) -> None:
        """The server's refusals have classes of their own, and tell where they come from."""
        w = opened()
        w.do(ops.upsert(w.defaults, "yes", 1))
        op = w.submit(build(w.defaults))
        w.settle()
        error = error_of(op)
        assert type(error) is kind
        context = error.context
        assert context is not None
        assert (context.operation, context.key, context.bucket, context.attempts) == (
            op.name,
            op.key,
            "default",
            1,
        )
        assert context.node == str(w.owner(op.key))
        assert context.status_name
        w.assert_idle()

    def test_locked(self) -> None:
        """A locked document fails a store at once, as in 2.5: no retry, no deadline."""
        w = opened()
        w.do(ops.upsert(w.defaults, "k", 1))
        w.cluster.inject(opcode=Opcode.SET, key="k", status=Status.LOCKED)
        op = w.submit(ops.upsert(w.defaults, "k", 2))
        w.settle()
        assert type(error_of(op)) is StoreLockedError

    def test_chopped(self) -> None:
        """Bytes cut into any pieces give the same results."""
        for seed in range(5):
            w = World(chop=Random(seed))
            w.open()
            d = w.defaults
            w.do(ops.upsert_multi(d, {f"k{n}": "x" * n for n in range(0, 3000, 100)}))
            results = w.do(ops.get_multi(d, [f"k{n}" for n in range(0, 3000, 100)]))
            assert [result.value for result in results.values()] == [
                "x" * n for n in range(0, 3000, 100)
            ]

    def test_other_numbers_of_vbuckets(self) -> None:
        """Routing follows the map, not a constant."""
        for vbuckets in (1, 64, 128):
            w = opened(EmbeddedCluster(vbuckets=vbuckets))
            w.do(ops.upsert_multi(w.defaults, {str(n): n for n in range(50)}))
            assert w.cluster.operations["SET"] == 50


class TestRouting:
    """Who gets what, and in how many writes."""

    def test_by_vbucket(self) -> None:
        """Each operation goes to the node that owns its key, once, over one connection."""
        w = opened()
        w.do(ops.upsert_multi(w.defaults, {f"k{n}": n for n in range(300)}))
        assert w.cluster.operations["SET"] == 300
        assert len(w.session.connections) == 3
        assert set(w.opened.values()) == {FIRST, SECOND, THIRD}
        assert len({w.owner(f"k{n}") for n in range(300)}) == 3

    def test_one_write_per_connection(self) -> None:
        """What one turn sends leaves in one write for each connection."""
        w = opened()
        w.writes.clear()
        for n in range(300):
            w.submit(ops.get(w.defaults, f"k{n}", quiet=True))
        output = w.session.take_output()
        assert sorted(number for number, _ in output) == [1, 2, 3]

    def test_seed_connection_is_kept(self) -> None:
        """The connection that bootstrap made becomes that of its node."""
        w = World()
        w.session.start(w.now)
        w.settle()
        assert [address for _, address in w.attempts] == [FIRST, SECOND, THIRD]
        assert w.cluster.accepted == 3

    def test_large_and_many(self) -> None:
        """Megabytes in one batch come back whole."""
        w = opened()
        values: dict[Any, str] = {f"k{n}": "v" * 300_000 for n in range(20)}
        w.do(ops.upsert_multi(w.defaults, values))
        results = w.do(ops.get_multi(w.defaults, list(values)))
        assert all(result.value == "v" * 300_000 for result in results.values())


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
        w.session._nodes.ask_for_config(w.now)
        request = w.session._nodes.config_request
        assert request is not None
        assert request.connection is not None
        answer = encode_response(0xB5, opaque=request.opaque, value=body, datatype=datatype)
        w.session.receive_data(request.connection.id, answer, w.now)
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


class TestDeadlines:
    """No operation outlives its time, and nothing of it stays."""

    def test_ambiguous(self) -> None:
        """In flight, what changes something is ambiguous at its deadline; a get is not."""
        w = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        w.cluster.inject(opcode=Opcode.GET, silent=True)
        store = w.submit(ops.upsert(w.defaults, "k", 1))
        read = w.submit(ops.get(w.defaults, "k"))
        w.advance(2.4)
        assert not store.done
        w.advance(0.1)
        ambiguous, clear = error_of(store), error_of(read)
        assert type(ambiguous) is AmbiguousTimeoutError
        assert isinstance(ambiguous, AmbiguousError)
        assert type(clear) is UnambiguousTimeoutError
        assert "timeout 2.5 s" in ambiguous.details()
        assert ambiguous.context is not None
        assert ambiguous.context.attempts == 1
        assert ambiguous.context.node == str(w.owner("k"))
        w.assert_idle()

    def test_different_timeouts(self) -> None:
        """Deadlines of any order of issue are met in the order of time."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        timeouts = [2.0, 0.5, 1.0, 0.5, 3.0, 0.1]
        for timeout in timeouts:
            w.submit(ops.get(w.defaults, "k", timeout=timeout))
        w.advance(0.3)
        assert len(w.woken) == 1
        w.advance(5)
        assert [op.timeout for op in _woken(w)] == sorted(timeouts)
        w.advance(10)
        assert w.session.in_flight == 0
        assert not w.session._deadlines

    def test_all_at_once(self) -> None:
        """When a long pause passed, deadlines of several timeouts still go in their order."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        for timeout in (2.0, 0.5, 1.0):
            w.submit(ops.get(w.defaults, "k", timeout=timeout))
        w.clock.advance(60)
        w.session.handle_deadline(w.now)
        assert [op.timeout for op in _woken(w)] == [0.5, 1.0, 2.0]

    def test_nothing_is_retained(self) -> None:
        """Timeouts that are all different leave no queue behind."""
        w = opened()
        for number in range(1, 2000):
            w.submit(ops.get(w.defaults, "k", quiet=True, timeout=1 + number / 1000))
            if not number % 50:
                w.settle()
                w.session.next_deadline()
                assert not w.session._deadlines
        w.settle()
        w.assert_idle()

    def test_many_expire(self) -> None:
        """A great many deadlines at once are dealt with in one pass."""
        w = World()
        w.unanswering.update(w.nodes)
        count = 30_000
        for _ in range(count):
            w.session.submit(ops.get(w.defaults, "k", timeout=1), 0.0)
        w.session.handle_deadline(1.0)
        assert len(w.woken) == count

    def test_late_answer(self) -> None:
        """An answer after the deadline is an orphan: nobody gets it."""
        w = opened()
        w.cluster.inject(opcode=Opcode.GET, delay=3.0, count=1)
        (key,) = w.keys_of(FIRST)
        late = w.submit(ops.get(w.defaults, key, quiet=True))
        w.advance(2.5)
        assert type(error_of(late)) is UnambiguousTimeoutError
        w.woken.clear()
        w.advance(5)
        assert w.session.orphans == 1
        assert w.woken == []
        assert late.answer is None

    def test_while_opening(self) -> None:
        """Deadlines run while an operation waits for the bucket, and say what was met."""
        w = World(config_total_timeout=60.0)
        w.unreachable.add(FIRST)
        w.unanswering.add(SECOND)
        w.session.start(w.now)
        op = w.submit(ops.upsert(w.defaults, "k", 1, timeout=0.5))
        w.advance(0.5)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "not open" in str(error)
        assert error.context is not None
        assert [(node, type(why)) for node, why in error.context.seeds] == [
            (str(FIRST), NodeUnreachableError)
        ]


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
        assert w.woken == [*gets, store, last]
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
        config = _without_last_node(w)
        w.session.receive_data(w.link_to(FIRST), _push(config), w.now)
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
        w.session.receive_data(w.link_to(FIRST), _push(_without_last_node(w)), w.now)
        w.settle()
        w.cluster.rev += 5
        w.cluster.bump()
        text = w.cluster.nodes[0].configurations["default"].text(0)
        w.session.receive_data(w.link_to(FIRST), _push(text), w.now)
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
        w.session.receive_data(w.link_to(FIRST), _push(text), w.now)
        w.settle()
        op.result()

    def test_lost_while_draining(self) -> None:
        """A draining connection that breaks sends its gets to the new owner at once."""
        w = opened()
        (key,) = w.keys_of(THIRD)
        w.cluster.hang(node_at(w, THIRD))
        read = w.submit(ops.get(w.defaults, key, quiet=True))
        w.settle()
        config = _without_last_node(w)
        w.session.receive_data(w.link_to(FIRST), _push(config), w.now)
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
        w.session.receive_data(w.link_to(FIRST), _push(useless), w.now)
        w.settle()
        assert w.session.config is before
        assert any("lists no data node" in line for line in w.logs)
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_push_of_another_bucket(self) -> None:
        """Configurations of other buckets, and the global one, are not ours."""
        w = opened()
        before = w.session.config
        text = _without_last_node(w)
        for name in (b"", b"other", b"\xff"):
            w.session.receive_data(w.link_to(FIRST), _push(text, name), w.now)
        assert w.session.config is before


class _SpokenFor:
    """A node whose answers to requests for a configuration are replaced."""

    def __init__(self, node: Any, config: bytes) -> None:
        self._node = node
        self._config = config

    def accept(self, *, peer: str) -> Any:
        link = self._node.accept(peer=peer)
        original = link.data_to_send

        def data_to_send() -> bytes:
            return b"".join(
                (
                    encode_response(frame.opcode, value=self._config, opaque=frame.opaque)
                    if frame.opcode == Opcode.GET_CLUSTER_CONFIG
                    else frame.encode()
                )
                for frame in FrameDecoder().receive(original())
            )

        link.data_to_send = data_to_send
        return link


def _push(text: bytes, bucket: bytes = b"default") -> bytes:
    return Frame(0x82, 1, 1, 0, 0, 0, b"", bytes(16), bucket, text).encode()


def _without_last_node(w: World) -> bytes:
    """Give a newer configuration in which the first two of three nodes share everything."""
    document = json.loads(w.cluster.nodes[0].configurations["default"].text(0))
    document["rev"] += 1
    del document["nodes"][2], document["nodesExt"][2]
    server_map = document["vBucketServerMap"]
    server_map["vBucketMap"] = [[n % 2, (n + 1) % 2] for n in range(1024)]
    server_map.pop("serverList")
    return json.dumps(document).encode()


class TestBootstrap:
    """Opening a bucket, and all the ways in which it fails."""

    def failure(self, w: World, seconds: float = 10) -> CouchbaseError:
        """Open, and give what it failed with."""
        w.session.start(w.now)
        waiting = w.submit(ops.get(w.defaults, "k", timeout=60))
        w.advance(seconds)
        assert state(w) is SessionState.FAILED
        error = w.session.failure()
        own = error_of(waiting)
        assert type(own) is type(error)
        assert own is not error
        assert own is not w.session.error
        assert "password" not in str(own) + repr(own) or isinstance(own, AuthError)
        assert w.opened == {}
        w.assert_idle()
        return error

    def test_next_seed(self) -> None:
        """A seed that is away is passed over, at once if it refuses."""
        w = World()
        w.unreachable.update({FIRST, SECOND})
        w.open()
        w.do(ops.upsert(w.defaults, w.keys_of(THIRD)[0], 1))
        assert w.now == 0

    def test_silent_seed(self) -> None:
        """A seed that does not answer is passed over after config_node_timeout."""
        w = World(config_node_timeout=0.7)
        w.unanswering.add(FIRST)
        w.session.start(w.now)
        w.advance(0.69)
        assert state(w) is SessionState.OPENING
        w.advance(0.02)
        assert state(w) is SessionState.OPEN

    def test_random_order(self) -> None:
        """Seeds are tried in their order, or at random if that is wanted."""
        firsts = set()
        for seed in range(10):
            w = World(randomize_nodes=True)
            w.session._random = Random(seed)
            w.session.start(w.now)
            w.settle()
            firsts.add(w.attempts[0][1])
        assert firsts == {FIRST, SECOND, THIRD}

    def test_unreachable(self) -> None:
        """Where nothing listens, the one seed's error is the error."""
        w = World(seeds=(FIRST,))
        w.unreachable.add(FIRST)
        error = self.failure(w)
        assert type(error) is NodeUnreachableError
        assert str(FIRST) in str(error)
        assert "'default'" in str(error)

    def test_wrong_password(self) -> None:
        """A wrong password ends it at once: other seeds would say the same."""
        w = World(login=Login("user", "not-it"))
        error = self.failure(w, 0)
        assert type(error) is AuthError
        assert "not-it" not in "".join(w.logs) + repr(w.events) + str(error) + repr(error)
        assert w.cluster.accepted == 1

    def test_unknown_bucket(self) -> None:
        """An unknown bucket is named, after all seeds were asked."""
        w = World(bucket="beer")
        error = self.failure(w, 0)
        assert type(error) is BucketNotFoundError
        assert "'beer'" in str(error)
        assert error.context is not None
        assert len(error.context.seeds) == 3

    @pytest.mark.parametrize(
        ("greeting", "kind"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", WrongProtocolError),
            (b"\x15\x03\x01\0\2\2\x50", WrongProtocolError),
            (None, HandshakeClosedError),
        ],
    )
    def test_strange_peer(self, greeting: bytes | None, kind: type[CouchbaseError]) -> None:
        """A port that speaks something else, or hangs up, is told apart."""
        w = World(seeds=(FIRST,))
        w.nodes[FIRST] = ScriptedNode(lambda _: greeting)
        assert type(self.failure(w, 0)) is kind

    def test_most_telling(self) -> None:
        """Of several failures the most telling is the error; all are in its context."""
        w = World(bucket="beer")
        w.unreachable.add(FIRST)
        w.nodes[SECOND] = ScriptedNode(lambda _: None)
        error = self.failure(w, 0)
        assert type(error) is BucketNotFoundError
        assert error.context is not None
        assert [(node, type(why)) for node, why in error.context.seeds] == [
            (str(FIRST), NodeUnreachableError),
            (str(SECOND), HandshakeClosedError),
            (str(THIRD), BucketNotFoundError),
        ]
        assert "NodeUnreachableError" in str(error)

    def test_tls_tells_more(self) -> None:
        """An untrusted certificate is the error rather than a node that is not there."""
        w = World(seeds=(FIRST, SECOND))
        w.unreachable.add(FIRST)
        w.unanswering.add(SECOND)
        w.session.start(w.now)
        w.settle()
        (number,) = w.opened
        w.session.connect_failed(number, TlsError("not trusted"), w.now)
        assert type(w.session.failure()) is TlsError

    def test_total_time(self) -> None:
        """config_total_timeout counts for all seeds together."""
        w = World(config_total_timeout=3.0, config_node_timeout=2.0)
        w.unanswering.update(w.nodes)
        error = self.failure(w, 3.0)
        assert type(error) is BootstrapTimeoutError
        assert error.context is not None
        assert [type(why) for _, why in error.context.seeds] == [
            NodeTimeoutError,
            BootstrapTimeoutError,
        ]
        assert "3 s (config_total_timeout)" in str(error)

    def test_node_time(self) -> None:
        """config_node_timeout counts for each seed."""
        w = World(seeds=(FIRST,), config_node_timeout=0.5)
        w.unanswering.add(FIRST)
        error = self.failure(w, 0.5)
        assert type(error) is NodeTimeoutError
        assert "did not accept within 0.5 s" in str(error)

    def test_warming_up(self) -> None:
        """A bucket whose map is empty is asked for again until it is ready."""
        w = World(EmbeddedCluster(buckets=()))
        w.cluster.add_bucket(BucketSettings("default"))
        fault = w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=1)
        w.session.start(w.now)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.advance(0.55)
        assert state(w) is SessionState.OPENING
        assert fault.hits == 6
        fault.remove()
        w.advance(0.1)
        assert state(w) is SessionState.OPEN
        op.result()

    def test_never_ready(self) -> None:
        """A bucket that never becomes ready says so when its time is up."""
        w = World(seeds=(FIRST,))
        w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=1)
        error = self.failure(w, 5.2)
        assert type(error) is BootstrapTimeoutError
        assert "not ready within 5 s (config_total_timeout): it is being created" in str(error)
        assert str(FIRST) in str(error)

    def test_hangs_after_login(self) -> None:
        """A seed that falls silent while the bucket warms up is left for the next."""
        w = World(config_total_timeout=60.0)
        w.cluster.inject(
            opcode=Opcode.GET_CLUSTER_CONFIG, node=node_at(w, FIRST), status=1, count=1
        )
        w.session.start(w.now)
        w.settle()
        w.cluster.hang(node_at(w, FIRST))
        w.advance(2.2)
        assert state(w) is SessionState.OPEN
        assert any("did not give a configuration" in line for line in w.logs)

    @pytest.mark.parametrize("value", [b"{", b"[]", b"null", b'{"nodesExt":[{}]}'])
    def test_garbage_config(self, value: bytes) -> None:
        """A seed whose configuration cannot be read is left for the next."""
        w = World()
        w.nodes[FIRST] = _SpokenFor(node_at(w, FIRST), value)
        w.open()
        assert any("not a cluster configuration" in line for line in w.logs)
        alone = World(seeds=(FIRST,))
        alone.nodes[FIRST] = _SpokenFor(node_at(alone, FIRST), value)
        assert isinstance(self.failure(alone, 0), ProtocolError)

    def test_empty_map(self) -> None:
        """A configuration with an empty map is that of a bucket that warms up."""
        w = World(seeds=(FIRST,))
        good = w.nodes[FIRST]
        spoken_for = _SpokenFor(good, b'{"rev":1,"nodeLocator":"vbucket","vBucketServerMap":{}}')
        w.nodes[FIRST] = spoken_for
        w.session.start(w.now)
        w.advance(1)
        assert state(w) is SessionState.OPENING
        spoken_for._config = good.configurations["default"].text(0)
        w.advance(0.2)
        assert state(w) is SessionState.OPEN

    def test_memcached_bucket(self) -> None:
        """A bucket of type memcached is refused at once, for what it is."""
        w = World(seeds=(FIRST,))
        text = b'{"rev":1,"nodeLocator":"ketama","nodesExt":[{"services":{"kv":11210}}]}'
        w.nodes[FIRST] = _SpokenFor(node_at(w, FIRST), text)
        error = self.failure(w, 0)
        assert type(error) is FeatureNotAvailableError
        assert "memcached" in str(error)

    def test_unknown_network(self) -> None:
        """A network that no data node is on fails with the networks there are."""
        error = self.failure(World(network="external"), 0)
        assert type(error) is NetworkNotFoundError
        assert "'external'" in str(error)
        assert "default" in str(error)

    def test_own_exception(self) -> None:
        """Each waiter gets an exception of its own: no shared traceback, no shared context."""
        w = World(login=Login("user", "not-it"))
        w.session.start(w.now)
        waiting = [w.submit(ops.get(w.defaults, f"k{n}")) for n in range(3)]
        w.settle()
        errors = [error_of(op) for op in waiting] + [w.session.failure(), w.session.failure()]
        assert len({id(error) for error in errors}) == 5
        assert len({id(error.context) for error in errors}) == 5
        assert [error.key for error in errors[:3]] == ["k0", "k1", "k2"]
        assert w.session.error is not None
        assert w.session.error.__traceback__ is None

    def test_failed_bucket(self) -> None:
        """Operations on it fail at once, until it is started again."""
        w = World()
        w.unreachable.update(w.nodes)
        w.session.start(w.now)
        w.settle()
        op = w.submit(ops.get(w.defaults, "k"))
        assert type(error_of(op)) is NodeUnreachableError
        w.unreachable.clear()
        w.session.start(w.now)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        w.settle()
        op.result()
        assert w.session.error is None

    def test_start_again_from_within(self) -> None:
        """User code that is told of the failure may start anew, and cancel others, right there."""
        w = World()
        w.unreachable.update(w.nodes)
        w.session.start(w.now)
        waiting = [w.submit(ops.get(w.defaults, f"k{n}", quiet=True)) for n in range(4)]
        again: list[Operation[Any]] = []

        def woken(op: Any) -> None:
            if op is waiting[0]:
                w.session.cancel(waiting[2])
                w.unreachable.clear()
                w.session.start(w.now)
                again.append(w.submit(ops.get(w.defaults, "again", quiet=True)))

        w.on_wake = woken
        w.settle()
        assert state(w) is SessionState.OPEN
        assert not again[0].result().success
        assert isinstance(error_of(waiting[1]), NodeUnreachableError)
        assert not waiting[2].done
        w.advance(5)
        w.assert_idle()

    def test_start_is_harmless(self) -> None:
        """Starting what is open or opening changes nothing."""
        w = World()
        w.session.start(w.now)
        w.session.start(w.now)
        w.settle()
        w.session.start(w.now)
        w.settle()
        assert w.cluster.accepted == 3
        assert sum(isinstance(event, Opened) for event in w.events) == 1

    def test_old_server(self) -> None:
        """Without the feature, a request for a configuration does not name the known one."""
        w = opened()
        connection = w.session.connections[0]
        w.session._nodes.ask_for_config(w.now)
        request = w.session._nodes.config_request
        assert request is not None
        assert len(request.extras) == 16
        w.settle()
        for connection in w.session.connections:
            connection.features -= {Feature.CONFIG_KNOWN_VERSION}
        w.advance(1)
        w.session._nodes.ask_for_config(w.now)
        request = w.session._nodes.config_request
        assert request is not None
        assert request.extras == b""

    def test_config_requests_go_round(self) -> None:
        """A node that hangs is not the only one that is asked for configurations."""
        w = opened()
        asked: Counter[str] = Counter()
        for _ in range(6):
            w.advance(1)
            w.session._nodes.ask_for_config(w.now)
            w.session._nodes.ask_for_config(w.now)
            request = w.session._nodes.config_request
            assert request is not None
            assert request.connection is not None
            asked[str(request.connection.address)] += 1
        assert set(asked.values()) == {2}


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
        w.session.nodes.ask_for_config(w.now)
        ping = w.submit(health.ping(w.defaults, timeout=100.0))
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
            ping.result()

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


class TestReentry:
    """User code that calls back in while answers are dispatched."""

    def test_submit(self) -> None:
        """A thousand operations, each issued by the answer to the one before."""
        w = opened()
        left = iter(range(1000))

        def woken(op: Any) -> None:
            op.result()
            if next(left, None) is not None:
                w.submit(ops.counter(w.defaults, "n", 1, 1))

        w.on_wake = woken
        w.submit(ops.counter(w.defaults, "n", 1, 1))
        w.settle()
        w.on_wake = lambda _: None
        assert w.do(ops.get(w.defaults, "n")).value == 1001

    def test_cancel(self) -> None:
        """An answer whose operation was cancelled by an earlier one's callback reaches nobody."""
        w = opened()
        (key,) = w.keys_of(FIRST)
        gets = [w.submit(ops.get(w.defaults, key, quiet=True)) for _ in range(3)]
        w.on_wake = lambda op: w.session.cancel(gets[2])
        w.settle()
        assert w.woken == gets[:2]
        assert w.session.orphans == 1
        w.advance(5)
        w.assert_idle()

    def test_close(self) -> None:
        """Closing from within an answer completes everything else, each once."""
        w = opened()
        gets = [w.submit(ops.get(w.defaults, f"k{n}", quiet=True)) for n in range(50)]
        done: list[Any] = []

        def woken(op: Any) -> None:
            if not done:
                w.session.close(w.now)
            done.append(op)

        w.on_wake = woken
        w.settle()
        assert Counter(map(id, done)) == Counter(map(id, gets))
        assert state(w) is SessionState.CLOSED

    def test_at_deadlines(self) -> None:
        """Callbacks of expired operations may submit, cancel and close."""
        w = opened()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        first = w.submit(ops.get(w.defaults, "a", timeout=1))
        second = w.submit(ops.get(w.defaults, "b", timeout=1))
        third = w.submit(ops.get(w.defaults, "c", timeout=1))
        fresh: list[Any] = []

        def woken(op: Any) -> None:
            if op is first:
                w.session.cancel(second)
                fresh.append(w.submit(ops.get(w.defaults, "d", timeout=1)))
            if op is third:
                w.session.close(w.now)

        w.on_wake = woken
        w.advance(1)
        assert w.woken == [first, third, fresh[0]]
        assert isinstance(error_of(third), UnambiguousTimeoutError)
        assert isinstance(error_of(fresh[0]), RequestCanceledError)

    def test_when_a_connection_is_lost(self) -> None:
        """Callbacks of failed mutations may submit to the very node, cancel and close."""
        w = opened()
        (key,) = w.keys_of(SECOND)
        stores = [w.submit(ops.upsert(w.defaults, key, n)) for n in range(3)]
        w.session.take_output()
        fresh: list[Any] = []

        def woken(op: Any) -> None:
            if op is stores[0]:
                w.session.cancel(stores[1])
                fresh.append(w.submit(ops.upsert(w.defaults, key, 9)))

        w.on_wake = woken
        w.lose(w.link_to(SECOND))
        w.advance(1)
        fresh[0].result()
        assert w.woken == [stores[0], stores[2], fresh[0]]


class TestCancel:
    """A caller that goes away."""

    @pytest.mark.parametrize("stage", ["parked", "queued", "written", "retrying", "done"])
    def test_at_every_stage(self, stage: str) -> None:
        """Cancelled at any stage, it is never woken, and nothing of it stays."""
        w = World() if stage == "parked" else opened()
        if stage == "retrying":
            w.cluster.inject(key="k", status=Status.ETMPFAIL)
        if stage == "written":
            w.cluster.inject(key="k", delay=1.0)
        op = w.submit(ops.upsert(w.defaults, "k", 1))
        if stage not in {"parked", "queued"}:
            w.settle()
        before = list(w.woken)
        w.session.cancel(op)
        w.session.cancel(op)
        if stage == "parked":
            w.open()
        w.advance(5)
        assert w.woken == before
        assert (op in w.woken) is (stage == "done")
        assert w.session.orphans == (1 if stage in {"queued", "written"} else 0)
        w.assert_idle()

    def test_batch(self) -> None:
        """A batch is cancelled as a whole, even if some of it is done."""
        w = opened()
        w.cluster.inject(key="b", delay=1.0)
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b", "c"], quiet=True))
        w.settle()
        assert batch.remaining == 1
        w.session.cancel_batch(batch)
        w.advance(5)
        assert w.woken == []
        w.assert_idle()


class TestBatches:
    """Many keys at once."""

    def test_one_wake(self) -> None:
        """A batch is complete once, when all of it is."""
        w = opened()
        batch = w.submit(ops.upsert_multi(w.defaults, {f"k{n}": n for n in range(100)}))
        w.settle()
        assert w.woken == [batch]
        assert batch.result().all_ok

    def test_partial_failure(self) -> None:
        """What fails does not take the others along: all results are in the exception."""
        w = opened()
        w.do(ops.upsert_multi(w.defaults, {"a": 1, "c": 3}))
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b", "c", "d"]))
        w.settle()
        error = error_of(batch)
        assert type(error) is NotFoundError
        good, bad = error.split_results()
        assert {key: result.value for key, result in good.items()} == {"a": 1, "c": 3}
        assert list(bad) == ["b", "d"]
        assert "2 of 4 keys failed" in error.details()

    def test_quiet(self) -> None:
        """Quietly, a miss is a result like any other."""
        w = opened()
        w.do(ops.upsert(w.defaults, "a", 1))
        results = w.do(ops.get_multi(w.defaults, ["a", "b"], quiet=True))
        assert not results.all_ok
        assert (results["a"].value, results["b"].value) == (1, None)
        removed = w.do(ops.remove_multi(w.defaults, ["a", "b"], quiet=True))
        assert [result.success for result in removed.values()] == [True, False]

    def test_deadline(self) -> None:
        """Keys whose node is silent fail at the deadline; the others have their values."""
        w = opened()
        (slow,) = w.keys_of(SECOND)
        (fast,) = w.keys_of(FIRST)
        w.do(ops.upsert_multi(w.defaults, {slow: 1, fast: 2}))
        w.cluster.hang(node_at(w, SECOND))
        batch: Batch[Any] = w.submit(ops.get_multi(w.defaults, [slow, fast], timeout=0.5))
        w.advance(0.6)
        error = error_of(batch)
        assert type(error) is UnambiguousTimeoutError
        good, bad = error.split_results()
        assert (list(good), list(bad)) == ([fast], [slow])


def test_batch_with_a_value_that_cannot_be_read() -> None:
    """One value that does not fit its flags fails the batch, and the others are there."""
    w = opened()
    w.do(ops.upsert_multi(w.defaults, {f"k{n}": {"n": n} for n in range(5)}))
    w.do(ops.append(w.defaults, "k3", "}}"))
    batch = w.submit(ops.get_multi(w.defaults, [f"k{n}" for n in range(5)]))
    w.settle()
    with pytest.raises(ValueFormatError) as info:
        batch.result()
    results = info.value.all_results
    assert results is not None
    assert list(results) == [f"k{n}" for n in range(5)]
    assert [result.success for result in results.values()] == [True, True, True, False, True]
    assert results["k4"].value == {"n": 4}
