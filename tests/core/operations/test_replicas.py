"""Reading replicas: which copy answers, what lags, what there is not."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    DocumentUnretrievableError,
    NoReplicaError,
    NotFoundError,
    TimeoutError,  # noqa: A004 - 2.5's name
)
from couchloop.hot.operation import Operation
from couchloop.operations import document as ops
from couchloop.operations.copies import ACTIVE
from couchloop.operations.replicas import GetCopy
from couchloop.result import ReplicaResult
from tests.core.session.support import node_at, opened
from tests.core.world import World, defaults

D = defaults()


def world(replicas: int = 2, nodes: int = 3) -> World:
    """Open a bucket with so many replicas on so many nodes."""
    return opened(EmbeddedCluster(nodes, seed=0, clock=ManualClock(), replicas=replicas))


def found(w: World, pending: Any) -> Any:
    """Carry a procedure out; give its result."""
    w.submit(pending)
    w.advance(0.0)
    assert pending.done
    return pending.result()


class TestRget:
    """`rget` reads replicas alone."""

    def test_a_replica_lags(self) -> None:
        """What it gives is what the replica has, not what the active copy has."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", "old"))
        w.cluster.delay_replication("default", inf)
        w.do(ops.upsert(d, "k", "new"))
        for index in (None, 0, 1):
            result = found(w, ops.rget(d, "k", index))
            assert (result.value, result.is_replica) == ("old", True)
        assert w.do(ops.get(d, "k")).value == "new"

    def test_the_active_node_is_away(self) -> None:
        """The node with the active copy need not answer."""
        w = world()
        w.do(ops.upsert(w.defaults, "k", 1))
        w.cluster.hang(node_at(w, w.owner("k")))
        assert found(w, ops.rget(w.defaults, "k")).value == 1

    def test_one_replica_is_away(self) -> None:
        """The first that answers is enough; the others are cancelled."""
        w = world()
        w.do(ops.upsert(w.defaults, "k", 1))
        config = w.session.config
        assert config is not None
        place = config.chains[0][config.vbucket(b"k")]
        away = config.nodes[place].address(w.session.network, "kv")
        assert away is not None
        w.cluster.hang(node_at(w, away))
        assert found(w, ops.rget(w.defaults, "k")).value == 1
        assert w.session.in_flight == 0
        pending = w.submit(ops.rget(w.defaults, "k", 0))
        w.advance(3.0)
        with pytest.raises(TimeoutError):
            pending.result()

    def test_missing(self) -> None:
        """What no replica has is NotFoundError with the key, or a result where that is wanted."""
        w = world()
        with pytest.raises(NotFoundError) as caught:
            found(w, ops.rget(w.defaults, "no"))
        assert caught.value.key == "no"
        assert caught.value.context is not None
        assert caught.value.context.operation == "rget"
        result = found(w, ops.rget(w.defaults, "no", quiet=True))
        assert (result.success, result.value) == (False, None)

    @pytest.mark.parametrize("index", [1, 2])
    def test_no_such_replica(self, index: int) -> None:
        """A bucket with one replica has none of the others; 2.5's code tells."""
        w = world(1)
        w.do(ops.upsert(w.defaults, "k", 1))
        with pytest.raises(NoReplicaError, match=f"no replica {index}: it has 1") as caught:
            found(w, ops.rget(w.defaults, "k", index))
        assert caught.value.rc == 0x23
        assert found(w, ops.rget(w.defaults, "k", 0)).value == 1

    def test_no_replicas_at_all(self) -> None:
        """A bucket without replicas says so at once, and goes on."""
        w = world(0, 1)
        with pytest.raises(NoReplicaError):
            found(w, ops.rget(w.defaults, "k"))
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_before_it_is_open(self) -> None:
        """It waits for the bucket to be open, as everything does."""
        w = World(EmbeddedCluster(2, seed=0, clock=ManualClock(), replicas=1))
        early = w.submit(ops.rget(w.defaults, "no", 1))
        w.advance(0.0)
        with pytest.raises(NoReplicaError):
            early.result()

    @pytest.mark.parametrize("index", [-1, 3, 1.5, "0", True])
    def test_bad_index(self, index: Any) -> None:
        """An index that no bucket has is refused at the call."""
        with pytest.raises(ArgumentError, match="0, 1 or 2"):
            ops.rget(D, "k", index)

    def test_many(self) -> None:
        """A batch reads each key from its replicas; what fails is in `all_results`."""
        w = world()
        d = w.defaults
        keys = [f"k{number}" for number in range(250)]
        w.do_batch(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
        results = found(w, ops.rget_multi(d, keys))
        assert list(results) == keys
        assert {result.value for result in results.values()} == {1}
        with pytest.raises(NotFoundError) as caught:
            found(w, ops.rget_multi(d, ["k0", "no", "k1"]))
        good, bad = caught.value.split_results()
        assert (list(good), list(bad)) == (["k0", "k1"], ["no"])
        assert not found(w, ops.rget_multi(d, ["k0", "no"], quiet=True)).all_ok
        wrong: list[Any] = [[], "key", 5, [[]]]
        for each in wrong:
            with pytest.raises(ArgumentError):
                ops.rget_multi(d, each)


class TestAny:
    """`get_any_replica` takes whichever copy answers first."""

    def test_it_tells_which(self) -> None:
        """It works while the active node is away, and says that a replica answered."""
        w = world()
        w.do(ops.upsert(w.defaults, "k", {"a": 1}))
        result = found(w, ops.get_any_replica(w.defaults, "k"))
        assert result.value == {"a": 1}
        w.cluster.hang(node_at(w, w.owner("k")))
        result = found(w, ops.get_any_replica(w.defaults, "k", no_format=True))
        assert (result.value, result.is_replica) == (b'{"a":1}', True)
        many = found(w, ops.get_any_replica_multi(w.defaults, ["k"]))
        assert many["k"].value == {"a": 1}

    def test_nowhere(self) -> None:
        """What no copy has is DocumentUnretrievableError, which is a NotFoundError."""
        w = world()
        with pytest.raises(DocumentUnretrievableError) as caught:
            found(w, ops.get_any_replica(w.defaults, "no"))
        assert caught.value.key == "no"

    def test_no_replicas(self) -> None:
        """Without replicas it reads the active copy."""
        w = world(0, 1)
        w.do(ops.upsert(w.defaults, "k", 1))
        result = found(w, ops.get_any_replica(w.defaults, "k"))
        assert (result.value, result.is_replica) == (1, False)


class TestAll:
    """`get_all_replicas` reads every copy."""

    def test_all(self) -> None:
        """The active copy comes first, the replicas with what they have."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", "old"))
        w.cluster.delay_replication("default", inf)
        w.do(ops.upsert(d, "k", "new"))
        copies = found(w, ops.get_all_replicas(d, "k"))
        assert [(copy.value, copy.is_replica) for copy in copies] == [
            ("new", False),
            ("old", True),
            ("old", True),
        ]
        assert all(isinstance(copy, ReplicaResult) for copy in copies)

    def test_many(self) -> None:
        """A batch has the copies of each key; one that is nowhere fails by itself."""
        w = world()
        d = w.defaults
        keys = [f"k{number}" for number in range(150)]
        w.do(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
        results = found(w, ops.get_all_replicas_multi(d, keys))
        assert list(results) == keys
        for key in keys:
            assert [copy.is_replica for copy in results[key]] == [False, True, True]
            assert [copy.key for copy in results[key]] == [key] * 3
        with pytest.raises(DocumentUnretrievableError) as caught:
            found(w, ops.get_all_replicas_multi(d, ["k0", "no", "k1"], no_format=True))
        assert caught.value.key == "no"
        good, bad = caught.value.split_results()
        assert (list(good), list(bad)) == (["k0", "k1"], ["no"])
        assert (good["k1"][0].value, len(bad["no"]), bad["no"].value) == (b"1", 0, [])
        assert repr(good["k0"]) == "ReplicasResult(key='k0', copies=3)"

    def test_many_and_one_is_away(self) -> None:
        """Copies that do not answer in time are left out, of each key by itself."""
        w = world()
        keys = [w.keys_of(address)[0] for address in w.nodes]
        w.do(ops.upsert_multi(w.defaults, dict.fromkeys(keys, 1)))
        w.cluster.hang(node_at(w, w.owner(keys[0])))
        pending = w.submit(ops.get_all_replicas_multi(w.defaults, keys, timeout=1.0))
        w.advance(1.0)
        results = pending.result()
        assert [[copy.is_replica for copy in results[key]] for key in keys] == [
            [True, True],
            [False, True],
            [False, True],
        ]

    def test_one_is_away(self) -> None:
        """A copy that does not answer in time is left out."""
        w = world()
        w.do(ops.upsert(w.defaults, "k", 1))
        w.cluster.hang(node_at(w, w.owner("k")))
        pending = w.submit(ops.get_all_replicas(w.defaults, "k", timeout=1.0))
        w.advance(1.0)
        assert [copy.is_replica for copy in pending.result()] == [True, True]

    def test_nowhere(self) -> None:
        """If there is none, the error says so."""
        w = world()
        with pytest.raises(DocumentUnretrievableError):
            found(w, ops.get_all_replicas(w.defaults, "no"))


def test_a_copy_of_its_own() -> None:
    """The active copy is asked by GET, replicas by GET_REPLICA; both may be sent again."""
    op: Operation[Any] = GetCopy(0x83, D, "k", None)
    assert op.idempotent
    assert not op.is_plain
    assert ACTIVE == -1
    missed = GetCopy.missed("k", 1)
    assert isinstance(missed, ReplicaResult)


class TestGet:
    """`get` with replica=True asks replicas where the active copy is not to be had."""

    def test_the_active_copy_counts(self) -> None:
        """As long as its node answers, it is read, and what it says is final."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", "old"))
        w.cluster.delay_replication("default", inf)
        w.do(ops.upsert(d, "k", "new"))
        assert found(w, ops.get(d, "k", replica=True)).value == "new"
        w.do(ops.remove(d, "k"))
        with pytest.raises(NotFoundError):
            found(w, ops.get(d, "k", 0, None, True))
        assert not found(w, ops.get(d, "k", quiet=True, replica=True)).success

    def test_its_node_is_away(self) -> None:
        """In half of the time it is given up, and a replica read; so in batches."""
        w = world()
        d = w.defaults
        keys = [f"k{number}" for number in range(150)]
        w.do_batch(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
        w.cluster.hang(node_at(w, w.owner("k0")))
        one = w.submit(ops.get(d, "k0", replica=True, no_format=True, timeout=2.0))
        many = w.submit(ops.get_multi(d, keys[:100], replica=True, timeout=2.0))
        w.advance(1.0)
        assert one.result().value == b"1"
        assert {result.value for result in many.result().values()} == {1}

    def test_no_copy_can_be_read(self) -> None:
        """If no replica has it either, the error is that of the active copy."""
        w = world(0, 1)
        w.do(ops.upsert(w.defaults, "k", 1))
        w.cluster.hang(node_at(w, w.owner("k")))
        one = w.submit(ops.get(w.defaults, "k", replica=True, timeout=2.0))
        many = w.submit(ops.get_multi(w.defaults, ["k"], replica=True, timeout=2.0))
        w.advance(1.0)
        for pending in (one, many):
            with pytest.raises(TimeoutError) as caught:
                pending.result()
            assert caught.value.all_results is None or not caught.value.all_results["k"].success

    def test_many_missing(self) -> None:
        """What is missing is missing, in a batch too."""
        w = world()
        w.do(ops.upsert(w.defaults, "a", 1))
        with pytest.raises(NotFoundError) as caught:
            found(w, ops.get_multi(w.defaults, ["a", "b"], replica=True))
        good, bad = caught.value.split_results()
        assert (list(good), list(bad)) == (["a"], ["b"])

    @pytest.mark.parametrize(
        "call",
        [
            lambda: ops.get(D, "k", ttl=5, replica=True),
            lambda: ops.get_multi(D, ["k"], ttl=5, replica=True),
            lambda: ops.get_multi(D, {"k": 5}, replica=True),
            lambda: ops.get(D, "k", replica="yes"),  # type: ignore[arg-type]
            lambda: ops.get_multi(D, [], replica=True),
        ],
    )
    def test_slips(self, call: Any) -> None:
        """A replica cannot be touched, and replica is True or False."""
        with pytest.raises(ArgumentError):
            call()
