"""Opening a bucket in virtual time, and all the ways in which it fails."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster
from couchloop.exceptions import (
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CouchbaseError,
    HandshakeClosedError,
    NetworkNotFoundError,
    NodeTimeoutError,
    NodeUnreachableError,
    ProtocolError,
    TlsError,
    WrongProtocolError,
)
from couchloop.hot.frames import FrameDecoder, encode_response
from couchloop.hot.operation import Operation
from couchloop.operations import document as ops
from couchloop.session.configurations import ConfigReason
from couchloop.session.events import Opened
from couchloop.session.session import SessionState
from couchloop.settings.values import Login
from couchloop.wire import Feature, Opcode
from tests.core.session.support import (
    FIRST,
    SECOND,
    THIRD,
    error_of,
    node_at,
    opened,
    state,
)
from tests.core.world import ScriptedNode, World


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
            w.session.opening._random = Random(seed)
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

    def test_no_answer_at_all(self) -> None:
        """What neither accepts nor refuses may be behind a firewall, in whichever time it ends."""
        for node, total in ((0.5, 5.0), (5.0, 0.5)):
            w = World(seeds=(FIRST,), config_node_timeout=node, config_total_timeout=total)
            w.unanswering.add(FIRST)
            error = self.failure(w, 0.5)
            assert isinstance(error, NodeTimeoutError | BootstrapTimeoutError)
            assert "a firewall may drop what is sent there" in str(error)
            assert "python -m couchloop doctor" in str(error)

    def test_what_was_meant(self) -> None:
        """An error of the network tells how the ports of the connection string were read."""
        w = World(seeds=(FIRST,), read_as="it was read otherwise")
        w.unanswering.add(FIRST)
        assert "tells how far one comes; it was read otherwise" in str(self.failure(w, 5.0))

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

        def delivered(op: Any) -> None:
            if op is waiting[0]:
                w.session.cancel(waiting[2])
                w.unreachable.clear()
                w.session.start(w.now)
                again.append(w.submit(ops.get(w.defaults, "again", quiet=True)))

        w.on_delivered = delivered
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
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        request = w.session.tracker.request
        assert request is not None
        assert len(request.extras) == 16
        w.settle()
        for connection in w.session.connections:
            connection.features -= {Feature.CONFIG_KNOWN_VERSION}
        w.advance(1)
        w.session.tracker.request_config(ConfigReason.POLL, w.now)
        request = w.session.tracker.request
        assert request is not None
        assert request.extras == b""

    def test_config_requests_go_round(self) -> None:
        """A node that hangs is not the only one that is asked for configurations."""
        w = opened()
        asked: Counter[str] = Counter()
        for _ in range(6):
            w.advance(1)
            w.session.tracker.request_config(ConfigReason.POLL, w.now)
            w.session.tracker.request_config(ConfigReason.POLL, w.now)
            request = w.session.tracker.request
            assert request is not None
            assert request.connection is not None
            asked[str(request.connection.address)] += 1
        assert set(asked.values()) == {2}
