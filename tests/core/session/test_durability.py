"""Durable changes from the call to the end, in virtual time."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.durability import ClientDurability, Durability
from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousError,
    CasMismatchError,
    CouchbaseError,
    DurabilityAmbiguousError,
    DurabilityImpossibleError,
    DurabilityLevelNotAvailableError,
    DurabilityTimeoutError,
    DurableWriteInProgressError,
    DurableWriteReCommitInProgressError,
    FeatureNotAvailableError,
    InvalidTimeoutError,
    MutationLostError,
    NotFoundError,
    RequestCanceledError,
    TimeoutError,  # noqa: A004 - 2.5's name
    TooFewReplicasError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.items import Item, ItemOptionDict
from couchloop.operations import document as ops
from couchloop.operations import lists, queues, sets
from couchloop.operations.durable import Block, need_of_block
from couchloop.operations.subdocument import mutate_in
from couchloop.result import MultiResult
from couchloop.retries import FailFast
from couchloop.settings.values import Wire
from couchloop.wire import Feature, Opcode, Status
from tests.core.session.support import error_of, node_at, opened
from tests.core.world import World
from tests.share import share

MAJORITY = Durability.MAJORITY


def world(nodes: int = 3, replicas: int = 1, *, tokens: bool = False, **settings: Any) -> World:
    """Open a bucket with so many replicas."""
    cluster = EmbeddedCluster(nodes, seed=0, clock=ManualClock(), replicas=replicas)
    return opened(cluster, wire=Wire(tokens=tokens), **settings)


def ended(w: World, pending: Any, seconds: float = 60.0) -> Any:
    """Carry something out; return it once it is done."""
    w.submit(pending)
    w.advance(0.0)
    until = w.clock.now() + seconds
    while not pending.done:
        assert w.clock.now() < until, "it never ended"
        w.advance(0.01)
    return pending


def done(w: World, pending: Any, seconds: float = 60.0) -> Any:
    """Likewise; return its result."""
    return ended(w, pending, seconds).result()


def counted(w: World, name: str) -> int:
    """Return how often the cluster was asked that."""
    return w.cluster.operations[name]


class TestLevels:
    """Durability that the server guarantees."""

    @pytest.mark.parametrize("level", list(Durability))
    def test_success(self, level: Durability) -> None:
        """Each kind of change is made with each level."""
        w = world()
        d = w.defaults
        w.do(ops.insert(d, "k", {"a": 1}, durability=level))
        w.do(ops.upsert(d, "k", {"a": 2}, durability=level))
        w.do(ops.replace(d, "k", {"a": 3}, durability=level))
        w.do(mutate_in(d, "k", sd.counter("a", 4), durability=level))
        assert w.do(ops.get(d, "k")).value == {"a": 7}
        w.do(ops.remove(d, "k", durability=level))
        w.do(ops.counter(d, "n", 1, 5, durability=level))
        assert w.do(ops.counter(d, "n", 2, durability=level)).value == 7
        w.do(ops.append(d, "n", "0", durability=level))
        w.do(ops.prepend(d, "n", "1", durability=level))
        assert w.do(ops.get(d, "n")).value == 170

    def test_it_waits_for_the_replicas(self) -> None:
        """Nobody sees it before they have it; another change is tried again until then."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        w.cluster.hold_replication("default")
        durable = w.submit(ops.upsert(d, "k", 2, durability=MAJORITY))
        w.advance(0.0)
        assert not durable.done
        other = w.submit(ops.upsert(d, "k", 3, timeout=9.0))
        w.advance(1.0)
        assert not other.done
        w.cluster.hold_replication("default", hold=False)
        w.advance(1.0)
        assert durable.result().cas
        assert other.result().cas
        assert w.do(ops.get(d, "k")).value == 3

    def test_the_server_gives_up_first(self) -> None:
        """Its error says that the outcome is unknown; the old value is there, and no lock."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        w.cluster.hold_replication("default")
        error = error_of(ended(w, ops.upsert(d, "k", 2, durability=MAJORITY)))
        assert type(error) is DurabilityAmbiguousError
        assert isinstance(error, AmbiguousError)
        assert error.key == "k"
        assert error.context is not None
        assert error.context.status == Status.SYNC_WRITE_AMBIGUOUS
        assert w.clock.now() < 10.0
        w.cluster.hold_replication("default", hold=False)
        assert w.do(ops.get(d, "k")).value == 1
        w.do(ops.upsert(d, "k", 3, durability=MAJORITY))

    def test_another_one_is_under_way(self) -> None:
        """Who does not want to wait is told so, and who waits too long why."""
        w = opened(EmbeddedCluster(3, seed=0, clock=ManualClock()), wire=Wire(unordered=True))
        d = w.defaults
        w.cluster.hold_replication("default")
        first = w.submit(ops.upsert(d, "k", 1, durability=MAJORITY))
        w.advance(0.0)
        at_once = ended(w, ops.upsert(d, "k", 2, retry_strategy=FailFast()))
        assert type(error_of(at_once)) is DurableWriteInProgressError
        late = error_of(ended(w, ops.upsert(d, "k", 2, timeout=1.0)))
        assert type(late) is UnambiguousTimeoutError
        assert type(late.__cause__) is DurableWriteInProgressError
        assert late.context is not None
        assert late.context.reasons == ("KV_SYNC_WRITE_IN_PROGRESS",)
        w.cluster.hold_replication("default", hold=False)
        w.advance(0.1)
        assert first.result().cas

    def test_impossible(self) -> None:
        """Where too few copies are left it fails at once, and changes nothing."""
        w = world(2)
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        w.cluster.failover(w.cluster.nodes[1])
        w.advance(0.1)
        for change in (
            ops.upsert(d, "k", 2, durability=MAJORITY),
            ops.remove(d, "k", durability=Durability.PERSIST_TO_MAJORITY),
        ):
            error = error_of(ended(w, change))
            assert type(error) is DurabilityImpossibleError
            assert error.is_transient
            assert error.key == "k"
        assert w.do(ops.get(d, "k")).value == 1

    def test_no_such_level(self) -> None:
        """A bucket without disks has no level that needs one; the connection stays in use."""
        ephemeral = BucketSettings("default", ephemeral=True)
        w = opened(EmbeddedCluster(3, [ephemeral], seed=0, clock=ManualClock()))
        d = w.defaults
        opened_before = len(w.attempts)
        error = error_of(ended(w, ops.upsert(d, "k", 1, durability=Durability.PERSIST_TO_MAJORITY)))
        assert type(error) is DurabilityLevelNotAvailableError
        w.do(ops.upsert(d, "k", 1, durability=MAJORITY))
        assert len(w.attempts) == opened_before

    @pytest.mark.parametrize(
        "status",
        [Status.SYNC_WRITE_IN_PROGRESS, Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS],
    )
    def test_tried_again(self, status: Status) -> None:
        """What another durable change stands in the way of is tried again until it is over."""
        w = world()
        fault = w.cluster.inject(opcode=Opcode.SET, status=status, count=3)
        assert done(w, ops.upsert(w.defaults, "k", 1, durability=MAJORITY)).cas
        assert fault.hits == 3

    def test_committed_again(self) -> None:
        """A promoted replica may have a change prepared: reads wait until it is settled."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        w.cluster.hold_replication("default")
        lost = w.submit(ops.upsert(d, "k", 2, durability=MAJORITY))
        w.advance(0.0)
        node = node_at(w, w.owner("k"))
        w.cluster.stop(node)
        w.cluster.failover(node)
        w.advance(0.1)
        error = error_of(lost)
        assert type(error) is AmbiguousConnectionLostError
        read = ended(w, ops.get(d, "k", retry_strategy=FailFast()))
        assert type(error_of(read)) is DurableWriteReCommitInProgressError
        w.cluster.hold_replication("default", hold=False)
        w.cluster.remove_node(node)
        assert done(w, ops.get(d, "k", timeout=10.0)).value == 2

    def test_an_old_node(self) -> None:
        """A node that does not know levels is not asked: the change is not made."""
        w = world()
        d = w.defaults
        for connection in w.session._connections.by_id.values():
            connection.features -= {Feature.SYNC_REPLICATION}
        with pytest.raises(FeatureNotAvailableError, match="too old for durability levels"):
            w.do(ops.upsert(d, "k", 1, durability=MAJORITY))
        with pytest.raises(FeatureNotAvailableError) as caught:
            w.do_batch(ops.upsert_multi(d, {"k": 1, "l": 2}, durability=MAJORITY))
        assert {*caught.value.split_results()[1]} == {"k", "l"}
        assert counted(w, "SET") == 0
        w.do(ops.upsert(d, "k", 1))

    def test_batches(self) -> None:
        """A large batch is durable as a small one is; what waits for others loses no time."""
        w = world()
        w.cluster.delay_replication("default", 0.05)
        # One after the other they take twenty seconds, and each has ten.
        for count in (10, 64, 1200):
            batch = ops.upsert_multi(
                w.defaults, dict.fromkeys(map(str, range(count)), 1), durability=MAJORITY
            )
            assert done(w, batch).all_ok
        assert counted(w, "SET") == 1274


both = pytest.mark.parametrize("tokens", [False, True], ids=["cas", "tokens"])


class TestCopies:
    """`persist_to` and `replicate_to`."""

    @both
    def test_success(self, tokens: bool) -> None:
        """It is done once so many copies have it."""
        w = world(replicas=2, tokens=tokens)
        d = w.defaults
        w.cluster.delay_replication("default", 0.5)
        w.cluster.delay_persistence("default", 1.0)
        result = done(w, ops.upsert(d, "k", 1))
        assert w.clock.now() < 0.1
        assert (result.token is not None) is tokens
        begun = w.clock.now()
        result = done(w, ops.upsert(d, "k", 2, replicate_to=1))
        assert 0.5 <= w.clock.now() - begun < 0.7
        assert result.cas == w.do(ops.get(d, "k")).cas
        begun = w.clock.now()
        done(w, ops.remove(d, "k", persist_to=3, replicate_to=2))
        assert 1.5 <= w.clock.now() - begun < 1.8
        assert counted(w, "OBSERVE_SEQNO" if tokens else "OBSERVE") > 2
        assert counted(w, "OBSERVE" if tokens else "OBSERVE_SEQNO") == 0
        w.advance(20.0)
        w.assert_idle()

    @both
    def test_every_change(self, tokens: bool) -> None:
        """Each kind of change has it."""
        w = world(tokens=tokens)
        d = w.defaults
        all_of_them = ClientDurability(-1, -1)
        for change in (
            ops.insert(d, "k", {"a": 1}, persist_to=-1, replicate_to=-1),
            ops.replace(d, "k", {"a": 2}, durability=all_of_them),
            mutate_in(d, "k", sd.upsert("b", 3), durability=all_of_them),
            ops.remove(d, "k", durability=all_of_them),
            ops.counter(d, "k", 1, 5, durability=all_of_them),
            ops.append(d, "k", "0", durability=all_of_them),
            ops.prepend(d, "k", "1", durability=all_of_them),
        ):
            assert done(w, change).cas
        assert w.do(ops.get(d, "k")).value == 150
        assert done(w, ops.remove(d, "no", quiet=True, persist_to=1)).rc == NotFoundError.CODE
        with pytest.raises(NotFoundError):
            done(w, ops.replace(d, "no", 1, persist_to=1))

    def test_by_cas_if_so_wished(self) -> None:
        """dur_mutation_tokens=false watches by CAS though there are tokens."""
        w = world(tokens=True)
        w.defaults.durable.by_token = False
        assert done(w, ops.upsert(w.defaults, "k", 1, replicate_to=1)).token is not None
        assert (counted(w, "OBSERVE_SEQNO"), counted(w, "OBSERVE") > 0) == (0, True)

    @both
    def test_too_few(self, tokens: bool) -> None:
        """More copies than there are is refused before anything is changed; -1 is what there is."""
        w = world(2, tokens=tokens)
        d = w.defaults
        for more in ({"persist_to": 3}, {"replicate_to": 2}):
            error = error_of(ended(w, ops.upsert(d, "k", 1, **more)))  # type: ignore[arg-type]
            assert type(error) is TooFewReplicasError
            assert error.key == "k"
        assert counted(w, "SET") == 0
        w.cluster.failover(w.cluster.nodes[1])
        w.advance(0.1)
        with pytest.raises(TooFewReplicasError):
            done(w, ops.upsert(d, "k", 1, replicate_to=1))
        assert counted(w, "SET") == 0
        done(w, ops.upsert(d, "k", 1, persist_to=-1, replicate_to=-1))
        begun = counted(w, "OBSERVE") + counted(w, "OBSERVE_SEQNO")
        # No disk, and no replicas: there is nothing to ask for.
        done(w, ops.upsert(d, "k", 1, replicate_to=-1))
        assert counted(w, "OBSERVE") + counted(w, "OBSERVE_SEQNO") == begun

    @both
    def test_lost(self, tokens: bool) -> None:
        """A failover that loses the change while its copies are asked is told as what it is."""
        w = world(tokens=tokens)
        d = w.defaults
        w.do(ops.upsert(d, "k", "old"))
        w.cluster.delay_replication("default", inf)
        pending = w.submit(ops.upsert(d, "k", "new", replicate_to=1))
        w.advance(0.1)
        assert not pending.done
        node = node_at(w, w.owner("k"))
        w.cluster.stop(node)
        w.cluster.failover(node)
        w.advance(1.0)
        error = error_of(pending)
        assert type(error) is MutationLostError
        assert (error.rc, error.key, error.result.rc) == (0x3E, "k", 0x3E)
        assert error.result.cas
        assert w.do(ops.get(d, "k")).value == "old"

    @both
    def test_not_lost(self, tokens: bool) -> None:
        """A failover that keeps the change does not end the watch: the new copies are asked."""
        w = world(replicas=2, tokens=tokens)
        d = w.defaults
        config = w.session.config
        assert config is not None
        vbucket = config.vbucket(b"k")
        second = config.nodes[config.chains[1][vbucket]].address("default", "kv")
        assert second is not None
        w.cluster.delay_replication("default", inf, to=node_at(w, second))
        pending = w.submit(ops.upsert(d, "k", "new", replicate_to=2))
        w.advance(0.1)
        node = node_at(w, w.owner("k"))
        w.cluster.stop(node)
        w.cluster.failover(node)
        w.advance(0.5)
        w.cluster.delay_replication("default", 0.0, to=node_at(w, second))
        w.cluster.restart(node)
        w.cluster.rebalance()
        w.advance(2.0)
        assert pending.result().cas
        assert w.do(ops.get(d, "k")).value == "new"

    def test_changed_by_somebody_else(self) -> None:
        """By CAS that cannot be told from a loss; by token it can."""
        for tokens in (False, True):
            w = world(tokens=tokens)
            d = w.defaults
            w.cluster.delay_replication("default", 1.0)
            pending = w.submit(ops.upsert(d, "k", 1, replicate_to=1))
            w.advance(0.1)
            w.do(ops.upsert(d, "k", 2))
            w.advance(2.0)
            if tokens:
                assert pending.result().cas
            else:
                assert type(error_of(pending)) is MutationLostError

    @both
    def test_too_late(self, tokens: bool) -> None:
        """Its time over, the change is made all the same, and the error has its result."""
        w = world(tokens=tokens)
        d = w.defaults
        w.cluster.delay_replication("default", inf)
        begun = w.clock.now()
        error = error_of(ended(w, ops.upsert(d, "k", 1, replicate_to=1)))
        assert type(error) is DurabilityTimeoutError
        assert isinstance(error, TimeoutError)
        assert isinstance(error, DurabilityAmbiguousError)
        assert (error.rc, error.key) == (0x17, "k")
        assert 4.9 < w.clock.now() - begun < 5.2
        found = w.do(ops.get(d, "k"))
        assert found.value == 1
        assert (error.result.cas, error.result.rc) == (found.cas, 0x17)
        assert "the change was made" in str(error)
        begun = w.clock.now()
        assert type(error_of(ended(w, ops.upsert(d, "k", 2, replicate_to=1, timeout=0.5)))) is (
            DurabilityTimeoutError
        )
        assert w.clock.now() - begun < 0.6
        w.advance(20.0)
        w.assert_idle()

    @both
    def test_a_copy_that_does_not_answer(self, tokens: bool) -> None:
        """A replica that is away, or hangs, does not matter where others suffice."""
        for harm in ("stop", "hang"):
            w = world(replicas=2, tokens=tokens)
            d = w.defaults
            config = w.session.config
            assert config is not None
            first = config.nodes[config.chains[0][config.vbucket(b"k")]].address("default", "kv")
            assert first is not None
            getattr(w.cluster, harm)(node_at(w, first))
            w.advance(0.1)
            assert done(w, ops.upsert(d, "k", 1, replicate_to=1)).cas
            error = error_of(ended(w, ops.upsert(d, "k", 1, replicate_to=2, timeout=2.0)))
            assert type(error) is DurabilityTimeoutError
            assert error.__cause__ is not None

    def test_closed_meanwhile(self) -> None:
        """A Bucket that is closed ends it, and says that the change was made."""
        w = world()
        w.cluster.delay_replication("default", inf)
        pending = w.submit(ops.upsert(w.defaults, "k", 1, replicate_to=1))
        w.advance(0.1)
        w.session.close(w.clock.now(), 0.0)
        w.advance(0.1)
        error = error_of(pending)
        assert isinstance(error, DurabilityAmbiguousError)
        assert isinstance(error.__cause__, RequestCanceledError)

    def test_not_stored(self) -> None:
        """A change that fails is told as without durability."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        with pytest.raises(CasMismatchError):
            done(w, ops.upsert(d, "k", 2, cas=1, persist_to=1))
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        error = error_of(ended(w, ops.upsert(d, "k", 2, persist_to=1, timeout=0.5)))
        assert isinstance(error, AmbiguousError)
        assert not isinstance(error, DurabilityAmbiguousError)

    def test_useless_to_ask(self) -> None:
        """A server that refuses the question ends it at once."""
        w = world()
        w.cluster.inject(opcode=Opcode.OBSERVE, status=Status.EACCESS)
        error = error_of(ended(w, ops.upsert(w.defaults, "k", 1, persist_to=1), 1.0))
        assert type(error) is DurabilityAmbiguousError
        assert error.__cause__ is not None


class TestBatches:
    """The same for many keys."""

    @both
    @pytest.mark.parametrize("count", [1, 5, 300, share(1500)])
    def test_success(self, count: int, tokens: bool) -> None:
        """All are stored, then the copies of all are asked: those of one vbucket together."""
        w = world(tokens=tokens)
        w.cluster.delay_replication("default", 0.2)
        keys = [f"k{number}" for number in range(count)]
        documents = dict.fromkeys(keys, 1)
        results = done(w, ops.upsert_multi(w.defaults, documents, replicate_to=1))
        assert isinstance(results, MultiResult)
        assert [*results] == keys
        assert results.all_ok
        assert not any(map(w.cluster.would_lose, w.cluster.nodes))
        assert done(w, ops.remove_multi(w.defaults, keys, persist_to=-1)).all_ok
        w.advance(20.0)
        w.assert_idle()

    @both
    def test_each_has_its_own_outcome(self, tokens: bool) -> None:
        """What fails harms no other, and the error has all results."""
        w = world(tokens=tokens)
        d = w.defaults
        w.do(ops.upsert(d, "there", 1))
        lagging = node_at(w, w.owner("slow"))
        for node in w.cluster.nodes:
            if node is not lagging:
                w.cluster.delay_replication("default", 0.0, to=node)
        config = w.session.config
        assert config is not None
        replica = config.nodes[config.chains[0][config.vbucket(b"slow")]]
        address = replica.address("default", "kv")
        assert address is not None
        w.cluster.delay_replication("default", inf, to=node_at(w, address))
        given = {"there": 1, "bad": {1}, "slow": 1, "new": 1}
        error = error_of(ended(w, ops.insert_multi(d, given, replicate_to=1)))
        assert error.all_results is not None
        results = error.all_results
        assert [*results] == [*given]
        assert results["there"].rc == 0x0C
        assert results["bad"].rc == ValueFormatError().rc or results["bad"].rc == -1
        assert (results["slow"].rc, bool(results["slow"].cas)) == (0x17, True)
        assert w.do(ops.get(d, "slow")).value == 1

    def test_unreachable(self) -> None:
        """A cluster that is away ends a batch within one timeout."""
        w = world()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        begun = w.clock.now()
        documents = dict.fromkeys(map(str, range(3000)), 1)
        error = error_of(ended(w, ops.upsert_multi(w.defaults, documents, persist_to=1)))
        assert isinstance(error, TimeoutError)
        assert w.clock.now() - begun < 3.0
        assert error.all_results is not None
        assert {result.rc for result in error.all_results.values()} == {0x17}

    @both
    def test_no_replica_takes_anything(self, tokens: bool) -> None:
        """Likewise where all were stored and no copy gets them."""
        w = world(tokens=tokens)
        w.cluster.delay_replication("default", inf)
        begun = w.clock.now()
        documents = dict.fromkeys(map(str, range(share(200))), 1)
        error = error_of(ended(w, ops.upsert_multi(w.defaults, documents, replicate_to=1)))
        assert type(error) is DurabilityTimeoutError
        assert w.clock.now() - begun < 6.0
        assert error.all_results is not None
        assert all(each.cas and each.rc for each in error.all_results.values())

    def test_too_few(self) -> None:
        """More copies than there are: nothing is stored."""
        w = world(2)
        error = error_of(ended(w, ops.upsert_multi(w.defaults, {"a": 1, "b": 2}, replicate_to=3)))
        assert type(error) is TooFewReplicasError
        assert counted(w, "SET") == 0

    def test_items(self) -> None:
        """Items are filled as without durability."""
        w = world(tokens=True)
        item = Item("k", "value")
        done(w, ops.upsert_multi(w.defaults, ItemOptionDict({item: {}}), persist_to=1))
        assert item.cas
        assert item.token is not None
        done(w, ops.append_items(w.defaults, item.as_itcoll(fragment="s"), replicate_to=-1))
        assert item.value == "values"

    def test_duplicates(self) -> None:
        """A key that is named twice is sent once."""
        w = world()
        with pytest.warns(RuntimeWarning, match="duplicate"):
            batch = ops.counter_multi(w.defaults, ["k", "k"], initial=1, persist_to=1)
        assert done(w, batch)["k"].value == 1

    def test_cancelled(self) -> None:
        """Nothing is left of a batch whose caller has gone."""
        w = world()
        w.cluster.delay_replication("default", inf)
        documents = dict.fromkeys(map(str, range(share(200))), 1)
        batch = w.submit(ops.upsert_multi(w.defaults, documents, replicate_to=1))
        w.advance(0.2)
        w.session.cancel_batch(batch)
        w.advance(20.0)
        w.assert_idle()
        assert not batch.done or batch.remaining == 0


class TestBlocks:
    """Operations within `durability()`."""

    def test_times(self) -> None:
        """The block's time counts from when the change is stored."""
        w = world()
        d = w.defaults
        w.cluster.delay_replication("default", inf)
        with Block(d.durable, need_of_block(0, 1, 0.5)):
            one, many = ops.upsert(d, "k", 1), ops.upsert_multi(d, {"a": 1, "b": 2})
        for pending in (one, many):
            begun = w.clock.now()
            assert type(error_of(ended(w, pending))) is DurabilityTimeoutError
            assert w.clock.now() - begun < 0.7

    def test_structures(self) -> None:
        """Data structures are changed as durably; the block of the call counts."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", [1]))
        w.cluster.delay_replication("default", 0.5)
        with Block(d.durable, need_of_block(0, 1, 0)):
            calls = [
                lists.list_append(d, "k", 2),
                sets.set_add(d, "k", 3),
                sets.set_remove(d, "k", 1),
                queues.queue_pop(d, "k"),
            ]
        for call in calls:
            begun = w.clock.now()
            done(w, call)
            assert w.clock.now() - begun >= 0.5
        assert w.do(ops.get(d, "k")).value == [2]


class TestEndure:
    """`endure` and `endure_multi`."""

    def test_one(self) -> None:
        """It waits until the document is on so many copies; -1: on all."""
        w = world(replicas=2)
        d = w.defaults
        w.cluster.delay_replication("default", 0.5)
        w.cluster.delay_persistence("default", 0.2)
        stored = w.do(ops.upsert(d, "k", 1))
        begun = w.clock.now()
        assert done(w, ops.endure(d, "k", persist_to=1, replicate_to=0)).cas == stored.cas
        assert 0.2 <= w.clock.now() - begun < 0.25
        assert done(w, ops.endure(d, "k")).cas == stored.cas
        assert 0.7 <= w.clock.now() - begun < 0.75
        assert done(w, ops.endure(d, "k", cas=stored.cas)).success

    def test_errors(self) -> None:
        """There is no document; it has another CAS; there are too few copies; time is over."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        for call, kind in (
            (ops.endure(d, "no"), NotFoundError),
            (ops.endure(d, "k", cas=1), CasMismatchError),
            (ops.endure(d, "k", replicate_to=2), TooFewReplicasError),
            (ops.endure(d, "k", check_removed=True, timeout=0.5), DurabilityTimeoutError),
        ):
            error = error_of(ended(w, call))
            assert type(error) is kind
            assert error.key == "k" or kind is NotFoundError
            assert error.context is not None
            assert error.context.operation == "endure"
            assert "change was made" not in str(error)
            assert error.result.rc == (error.rc or -1)

    def test_removed(self) -> None:
        """check_removed waits until it is gone everywhere."""
        w = world()
        d = w.defaults
        w.do(ops.upsert(d, "k", 1))
        w.advance(0.1)
        w.cluster.delay_replication("default", 0.5)
        w.do(ops.remove(d, "k"))
        begun = w.clock.now()
        assert done(w, ops.endure(d, "k", check_removed=True)).success
        assert 0.5 <= w.clock.now() - begun < 0.6

    def test_many(self) -> None:
        """A batch has the result of each key, and the CAS that is asked for."""
        w = world()
        d = w.defaults
        keys = [f"k{number}" for number in range(share(160))]
        stored = w.do_batch(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
        found = done(w, ops.endure_multi(d, keys))
        assert {key: each.cas for key, each in found.items()} == {
            key: each.cas for key, each in stored.items()
        }
        assert done(w, ops.endure_multi(d, stored)).all_ok
        error = error_of(ended(w, ops.endure_multi(d, {"k0": stored["k0"], "k1": 1, "no": None})))
        assert isinstance(error, CasMismatchError)
        assert error.key == "k1"
        assert error.all_results is not None
        assert [each.rc for each in error.all_results.values()] == [0, 0x0C, 0x0D]

    def test_many_too_late(self) -> None:
        """Where no copy gets anything a batch ends within its time."""
        w = world()
        d = w.defaults
        w.cluster.delay_replication("default", inf)
        keys = [f"k{number}" for number in range(share(160))]
        w.do_batch(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
        begun = w.clock.now()
        error = error_of(ended(w, ops.endure_multi(d, keys, timeout=1.0)))
        assert w.clock.now() - begun < 1.2
        assert error.all_results is not None
        assert [*error.all_results] == keys
        assert {each.rc for each in error.all_results.values()} == {0x17}

    @pytest.mark.parametrize(
        "more",
        [
            {"persist_to": "1"},
            {"persist_to": 5},
            {"cas": "x"},
            {"cas": -1},
            {"timeout": inf},
            {"timeout": 0},
            {"interval": float("nan")},
            {"interval": "x"},
            {"check_removed": "no"},
        ],
    )
    def test_bad(self, more: dict[str, Any]) -> None:
        """What is wrong is refused at the call."""
        w = world()
        with pytest.raises(CouchbaseError) as caught:
            ops.endure(w.defaults, "k", **more)
        assert caught.value.key == "k"
        with pytest.raises(InvalidTimeoutError):
            ops.endure_multi(w.defaults, ["k"], timeout=-1)


class TestTokens:
    """Mutation tokens."""

    def test_none_unless_asked_for(self) -> None:
        """Without the option there are none."""
        w = world()
        assert w.do(ops.upsert(w.defaults, "k", 1)).mutation_token is None
        assert w.defaults.durable.tokens.all() == []

    def test_of_every_change(self) -> None:
        """Each kind of change has one; touching is none. The Bucket keeps the last of each."""
        w = world(tokens=True)
        d = w.defaults
        config = w.session.config
        assert config is not None
        before = 0
        for change in (
            ops.insert(d, "k", {"a": 1}),
            ops.upsert(d, "k", {"a": 2}),
            ops.replace(d, "k", {"a": 3}),
            mutate_in(d, "k", sd.counter("a", 4)),
            ops.remove(d, "k"),
            ops.counter(d, "k", 1, 5),
            ops.append(d, "k", "0"),
            ops.prepend(d, "k", "1"),
            ops.upsert(d, "k", 1, durability=MAJORITY),
        ):
            token = w.do(change).token
            assert token is not None
            assert (token.vbucket, token.bucket) == (config.vbucket(b"k"), "default")
            assert token.seqno > before
            before = token.seqno
            assert d.durable.tokens.all() == [token]
        assert w.do(ops.touch(d, "k", 10)).token is None
        results = w.do_batch(ops.upsert_multi(d, dict.fromkeys(map(str, range(1500)), 1)))
        assert all(each.token for each in results.values())
        assert len(d.durable.tokens.all()) > 500
