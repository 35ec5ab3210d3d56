"""Operations that are not for the active copy of their key: replicas, single nodes."""

from __future__ import annotations

from typing import Any

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import NodeNotAvailableError
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Operation
from couchloop.hot.request import VbucketMap
from couchloop.operations import document as ops
from couchloop.retries import FailFast
from couchloop.settings.values import Address
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode
from tests.core.session.support import error_of, node_at, opened
from tests.core.world import World, defaults

D = defaults()


class GetReplica(Operation[bytes]):
    """GET_REPLICA (0x83): to the first replica's node."""

    __slots__ = ()
    name = "get_replica"
    idempotent = True
    is_plain = False

    def __init__(self, key: str, **options: Any) -> None:
        super().__init__(Opcode.GET_REPLICA, D, key, None, **options)

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:
        vbucket = vbuckets.vbucket(self.raw)
        return vbuckets.chains[0][vbucket], vbucket

    def decode(self, answer: Frame) -> bytes:
        return answer.value


class Stats(Operation[dict[bytes, bytes]]):
    """STAT (0x10): to one node, whose index is given."""

    __slots__ = ("node", "values")
    name = "stats"
    idempotent = True
    is_plain = False
    has_many_answers = True

    def __init__(self, defaults: Defaults, node: int, group: str) -> None:
        super().__init__(Opcode.STAT, defaults, group, None)
        self.prefix = b""
        self.node = node
        self.values: dict[bytes, bytes] = {}

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:
        return self.node, 0

    def goes_on(self, answer: Frame) -> bool:
        if answer.key:
            self.values[answer.key] = answer.value
        return bool(answer.key)

    def decode(self, answer: Frame) -> dict[bytes, bytes]:
        return self.values


def replica_of(world: World, key: str) -> Address:
    """Return where the first replica of *key* is."""
    config = world.session.config
    assert config is not None
    index = config.chains[0][config.vbucket(key.encode())]
    address = config.nodes[index].address(world.session.network, "kv")
    assert address is not None
    return address


class TestReplica:
    """An operation that goes to a replica."""

    def test_it_goes_there(self) -> None:
        """It is sent to the node with the replica, which answers, even while the active hangs."""
        w = opened(EmbeddedCluster(seed=0, clock=ManualClock(), replicas=1))
        w.do(ops.upsert(D, "k", b"v", format=FMT_BYTES))
        w.advance(1.0)
        w.cluster.hang(node_at(w, w.owner("k")))
        op = GetReplica("k")
        assert w.do(op) == b"v"
        assert op.connection is not None
        assert op.connection.address == replica_of(w, "k") != w.owner("k")

    def test_it_waits_for_that_node(self) -> None:
        """Where that node is not connected, it waits for it, and for no other."""
        w = opened(EmbeddedCluster(seed=0, clock=ManualClock(), replicas=1))
        w.do(ops.upsert(D, "k", b"v", format=FMT_BYTES))
        w.advance(1.0)
        replica = replica_of(w, "k")
        served = w.nodes.pop(replica)
        w.lose(w.link_to(replica))
        op = w.submit(GetReplica("k"))
        w.settle()
        assert op in w.session.table.endpoints[replica].parked
        hasty = w.submit(GetReplica("k", retry_strategy=FailFast()))
        error = error_of(hasty)
        assert isinstance(error, NodeNotAvailableError)
        assert error.context is not None
        assert error.context.node == str(replica)
        w.nodes[replica] = served
        w.advance(2.0)
        assert op.result() == b"v"

    def test_no_such_node(self) -> None:
        """Where the configuration names no node for it, it waits for one that does."""
        w = opened()
        op = w.submit(Stats(D, 7, "uuid"))
        w.advance(3.0)
        assert "names no node" in str(error_of(op))


def test_each_node() -> None:
    """An operation for a node reaches that node, and takes all its answers."""
    w = opened()
    found = [w.submit(Stats(w.defaults, index, "vbucket-seqno")) for index in range(3)]
    w.settle()
    assert len({op.connection.address for op in found}) == 3
    copies = [{name.partition(b":")[0] for name in op.result()} for op in found]
    assert sum(map(len, copies)) == 2 * 1024, "one replica"
    assert len(set.union(*copies)) == 1024
