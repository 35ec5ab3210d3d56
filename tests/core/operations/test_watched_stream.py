"""Streams of changes whose copies are asked, in virtual time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.durability import ClientDurability, Durability
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    DurabilityAmbiguousError,
    DurabilityTimeoutError,
    InvalidDurabilityError,
    InvalidTimeoutError,
    MutationLostError,
    NotAuthorizedError,
    NotFoundError,
    RequestCanceledError,
    TooFewReplicasError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.operations import document as ops
from couchloop.operations import streams
from couchloop.operations.durable import Block, need_of_block
from couchloop.operations.stream import END, Cancelled, Pull, Stream
from couchloop.operations.watched_stream import WatchedStream
from couchloop.settings.values import Address, Wire
from couchloop.wire import Opcode, Status
from tests.core.operations.test_streaming import pairs, take, take_all
from tests.core.session.support import FIRST, SECOND, THIRD, node_at, opened
from tests.core.world import World
from tests.share import share

both = pytest.mark.parametrize("tokens", [False, True], ids=["cas", "tokens"])


def world(replicas: int = 1, *, tokens: bool = False, **more: Any) -> World:
    """Open a bucket on three nodes with so many replicas."""
    cluster = EmbeddedCluster(3, seed=0, vbuckets=64, clock=ManualClock(), replicas=replicas)
    return opened(cluster, wire=Wire(tokens=tokens), **more)


def counted(w: World, name: str) -> int:
    """Give how often nodes were asked that."""
    return w.cluster.operations[name]


class TestCopies:
    """Each key by itself."""

    @both
    def test_success(self, tokens: bool) -> None:
        """A result is there once so many copies have the change; it has its CAS and token."""
        w = world(2, tokens=tokens)
        w.cluster.delay_replication("default", 0.5)
        begun = w.clock.now()
        stream = streams.upsert_stream(w.defaults, pairs(200), replicate_to=2)
        found = take_all(w, stream, 1.0)
        assert w.clock.now() - begun >= 0.5
        assert sorted(each.key for each in found) == sorted(key for key, _ in pairs(200))
        assert all(each.success and each.cas for each in found)
        assert all((each.token is not None) is tokens for each in found)
        assert counted(w, "OBSERVE" if tokens else "OBSERVE_SEQNO") == 0
        assert counted(w, "OBSERVE_SEQNO" if tokens else "OBSERVE") >= 3 * 64
        assert counted(w, "SET") == 200
        w.advance(20.0)
        w.assert_idle()

    @both
    def test_every_change(self, tokens: bool) -> None:
        """Each kind of change has it, by number or by `durability=`; also of what is not there."""
        w = world(tokens=tokens)
        d = w.defaults
        everywhere = ClientDurability(-1, -1)
        assert all(
            each.success for each in take_all(w, streams.insert_stream(d, {"a": 1}, persist_to=1))
        )
        for stream in (
            streams.replace_stream(d, {"a": "x"}, replicate_to=-1, ttl=500),
            streams.append_stream(d, {"a": "y"}, format=None, durability=everywhere),
            streams.prepend_stream(d, [("a", "w")], persist_to=-1),
            streams.counter_stream(d, ["n"], initial=7, persist_to=2),
            streams.remove_stream(d, ["a"], replicate_to=1),
        ):
            assert isinstance(stream, WatchedStream)
            (result,) = take_all(w, stream, 1.0)
            assert result.success, result.error
        (result,) = take_all(w, streams.remove_stream(d, ["a"], quiet=True, replicate_to=1))
        assert (result.rc, result.error) == (NotFoundError.CODE, None)
        (result,) = take_all(w, streams.remove_stream(d, ["a"], replicate_to=1))
        assert type(result.error) is NotFoundError

    def test_block(self) -> None:
        """A stream has what the block says in which it was made, wherever it is taken from."""
        w = world()
        w.cluster.delay_replication("default", 0.2)
        with Block(w.defaults.durable, need_of_block(0, 1, 0.1)):
            stream = streams.upsert_stream(w.defaults, {"a": 1})
            plain = streams.upsert_stream(w.defaults, {"a": 1}, durability=Durability.NONE)
        assert type(plain) is not WatchedStream
        (result,) = take_all(w, stream, 1.0)
        assert type(result.error) is DurabilityTimeoutError
        with Block(w.defaults.durable, need_of_block(0, 1, 1.0)):
            stream = streams.upsert_stream(w.defaults, {"a": 1})
        (result,) = take_all(w, stream, 1.0)
        assert result.success

    def test_one_question_for_a_vbucket(self) -> None:
        """By tokens all changes of a vbucket that wait are asked about together."""
        w = world(tokens=True)
        config = w.session.config
        assert config is not None
        keys = [key for key in map(str, range(50_000)) if config.vbucket(key.encode()) == 5][:40]
        w.cluster.delay_replication("default", 0.3)
        stream = streams.upsert_stream(w.defaults, dict.fromkeys(keys, 1), replicate_to=1)
        assert len(take_all(w, stream, 1.0)) == 40
        assert counted(w, "OBSERVE_SEQNO") < 40

    @pytest.mark.parametrize(
        ("more", "kind"),
        [
            ({"persist_to": 5}, TooFewReplicasError),
            ({"replicate_to": "1"}, InvalidDurabilityError),
            ({"persist_to": 1, "durability": Durability.MAJORITY}, InvalidDurabilityError),
            ({"persist_to": 1, "timeout": 0}, InvalidTimeoutError),
        ],
    )
    def test_bad(self, more: dict[str, Any], kind: type[ArgumentError]) -> None:
        """What no bucket can do is refused at the call."""
        w = world()
        with pytest.raises(kind):
            streams.upsert_stream(w.defaults, {"k": 1}, **more)


class TestFailures:
    """What becomes of a key that fails, and of the others."""

    def test_too_few_replicas(self) -> None:
        """Nothing is made where too few copies are there; values that are none fail as ever."""
        w = world()
        d = w.defaults
        found = take_all(w, streams.upsert_stream(d, [("a", 1), ("b", {1})], replicate_to=2))
        errors = {each.key: each.error for each in found}
        assert type(errors["a"]) is TooFewReplicasError
        assert errors["a"].key == "a"
        context = errors["a"].context
        assert context is not None
        assert context.operation == "upsert"
        assert type(errors["b"]) is ValueFormatError
        assert counted(w, "SET") == 0
        assert w.session.in_flight == 0

    @both
    def test_lost(self, tokens: bool) -> None:
        """What a failover has lost fails so, and the rest succeeds."""
        w = world(tokens=tokens)
        w.cluster.delay_replication("default", inf)
        stream = streams.upsert_stream(w.defaults, pairs(60), replicate_to=1)
        first = w.submit(stream.pull())
        w.advance(0.2)
        assert not first.done
        node = node_at(w, FIRST)
        lost = {key for key, _ in pairs(60) if w.owner(key) == FIRST}
        w.cluster.stop(node)
        w.cluster.failover(node)
        w.cluster.delay_replication("default", 0.0)
        w.advance(1.0)
        w.cluster.restart(node)
        w.cluster.rebalance()
        found = [first.result(), *take_all(w, stream, 5.0)]
        assert len(found) == 60
        bad = {each.key: each for each in found if not each.success}
        assert bad.keys() == lost
        for each in bad.values():
            assert type(each.error) is MutationLostError
            assert (each.rc, each.error.key) == (MutationLostError.CODE, each.key)
            assert each.cas
            assert (each.token is not None) is tokens

    @both
    def test_too_late(self, tokens: bool) -> None:
        """A change has its own time, after which it is made, and no more is known."""
        w = world(tokens=tokens)
        w.defaults.durable.watch_timeout = 0.5
        w.cluster.delay_replication("default", inf)
        (result,) = take_all(w, streams.upsert_stream(w.defaults, {"a": 1}, replicate_to=1), 2.0)
        assert type(result.error) is DurabilityTimeoutError
        assert "the change was made" in str(result.error)
        context = result.error.context
        assert context is not None
        assert context.operation == "upsert"
        assert result.cas == w.do(ops.get(w.defaults, "a")).cas
        begun = w.clock.now()
        stream = streams.upsert_stream(w.defaults, {"a": 1}, replicate_to=1, timeout=0.2)
        pull = w.submit(stream.pull())
        while not pull.done:
            w.advance(0.01)
        assert 0.2 <= w.clock.now() - begun <= 0.4
        assert type(pull.result().error) is DurabilityTimeoutError
        w.advance(5.0)
        w.assert_idle()

    def test_a_replica_that_does_not_answer(self) -> None:
        """It counts as one that has not got the change."""
        w = world(tokens=True)
        second = node_at(w, SECOND)
        found = []
        w.cluster.inject(node=second, opcode=Opcode.OBSERVE_SEQNO, silent=True)
        stream = streams.upsert_stream(w.defaults, pairs(30), replicate_to=1, timeout=1.5)
        found = take_all(w, stream, 3.0)
        config = w.session.config
        assert config is not None
        for each in found:
            vbucket = config.vbucket(each.key.encode())
            nodes = {config.active[vbucket], config.chains[0][vbucket]}
            is_there = all(config.nodes[n].address("default", "kv") != SECOND for n in nodes)
            assert each.success is is_there
            if not is_there:
                assert type(each.error) is DurabilityTimeoutError

    def test_refused_questions(self) -> None:
        """Copies that cannot be asked at all: the change was made, and its durability unknown."""
        w = world()
        w.cluster.inject(opcode=Opcode.OBSERVE, status=Status.EACCESS)
        (result,) = take_all(w, streams.upsert_stream(w.defaults, {"a": 1}, persist_to=1), 1.0)
        assert type(result.error) is DurabilityAmbiguousError
        assert isinstance(result.error.__cause__, AuthError | NotAuthorizedError)

    def test_unreachable(self) -> None:
        """Before the bucket is open keys fail within their time, and nothing is made."""
        cluster = EmbeddedCluster(3, seed=0, clock=ManualClock())
        w = opened(cluster)
        for node in cluster.nodes:
            cluster.stop(node)
        w.settle()
        stream = streams.upsert_stream(w.defaults, pairs(100), persist_to=1)
        found = take_all(w, stream, 3.0)
        assert len(found) == 100
        assert {type(each.error) for each in found} == {UnambiguousTimeoutError}
        for each in found:
            context = each.error.context
            assert (each.error.key, context.key, context.operation) == (
                each.key,
                each.key,
                "upsert",
            )

    @both
    def test_closed(self, tokens: bool) -> None:
        """A Bucket that is closed: what was made may be lost, and each such key says so."""
        w = world(tokens=tokens)
        w.cluster.delay_replication("default", inf)
        stream = streams.upsert_stream(w.defaults, pairs(100), replicate_to=1)
        first = w.submit(stream.pull())
        w.advance(0.3)
        assert not first.done
        made = counted(w, "SET")
        assert made == 100
        w.session.close(w.now)
        w.settle()
        assert first.done
        found = [first.result()]
        while stream.ready:
            found.append(stream.take())
        with pytest.raises(RequestCanceledError):
            take(w, stream)
        assert len(found) == 100
        assert {type(each.error) for each in found} == {DurabilityAmbiguousError}

    def test_closed_in_an_orderly_way(self) -> None:
        """While a Bucket closes nothing more is asked, and answers on their way are nobody's."""
        w = world()
        w.cluster.inject(opcode=Opcode.OBSERVE, silent=True)
        stream = streams.upsert_stream(w.defaults, pairs(10), replicate_to=1)
        first = w.submit(stream.pull())
        w.advance(0.1)
        w.session.cancel_batch(first)
        told: list[Any] = []
        w.on_delivered = told.append
        w.session.close(w.now, 2.0)
        found = [take(w, stream)]
        while stream.ready:
            found.append(stream.take())
        assert {type(each.error) for each in found} == {DurabilityAmbiguousError}
        assert len(found) == 10
        w.advance(5.0)
        assert [each for each in told if not isinstance(each, Pull)] == []

    def test_iterable_that_raises(self) -> None:
        """What the iterable raises comes once all before it was watched to its end."""
        w = world()
        w.cluster.delay_replication("default", 0.3)

        def broken() -> Iterator[tuple[str, int]]:
            yield from pairs(70)
            raise LookupError

        stream = streams.upsert_stream(w.defaults, broken(), replicate_to=1)
        found = []
        with pytest.raises(LookupError):  # noqa: PT012 - the results before count
            while True:
                pull = w.submit(stream.pull())
                w.advance(1.0)
                found.append(pull.result())
        assert len(found) == 70
        assert all(each.success for each in found)
        assert take(w, stream) is END


class TestConsumer:
    """What the consumer does."""

    @both
    def test_pause(self, tokens: bool) -> None:
        """One who pauses stops the questions; no time is over by that alone."""
        w = world(tokens=tokens)
        w.defaults.durable.watch_timeout = 1.0
        stream = streams.upsert_stream(w.defaults, pairs(100), replicate_to=1)
        w.cluster.delay_replication("default", 0.2)
        found = [w.submit(stream.pull())]
        w.advance(0.1)
        w.session.cancel_batch(found.pop())
        asked = counted(w, "OBSERVE") + counted(w, "OBSERVE_SEQNO")
        w.advance(30.0)
        assert counted(w, "OBSERVE") + counted(w, "OBSERVE_SEQNO") <= asked + 12
        assert w.session.in_flight == 0
        assert w.session.next_deadline() is None
        results = take_all(w, stream, 3.0)
        assert len(results) == 100
        assert all(each.success for each in results)

    @pytest.mark.parametrize("after", [0.0, 0.05, 0.3])
    def test_close(self, after: float) -> None:
        """One who stops leaves nothing behind."""
        w = world(tokens=True)
        w.cluster.delay_replication("default", inf)
        stream = streams.upsert_stream(w.defaults, pairs(100), replicate_to=1)
        waiting = w.submit(stream.pull())
        w.advance(after)
        flying, farewells = stream.close()
        assert farewells == []
        if flying:
            w.session.cancel_batch(Cancelled(stream, flying))
        w.advance(10.0)
        assert waiting.result() is END
        w.assert_idle()
        assert w.session.in_flight == 0

    def test_bounds(self) -> None:
        """No more keys are under way than was said, nor more bytes; questions are bounded, too."""
        w = world()
        w.cluster.delay_replication("default", 0.1)
        read = 0

        def seen(size: int) -> Iterable[tuple[str, str]]:
            nonlocal read
            for number in range(200):
                read += 1
                yield f"k{number}", "x" * size

        stream: Stream[Any] = streams.upsert_stream(
            w.defaults, seen(1), replicate_to=1, in_flight=7
        )
        most = got = 0
        while (pull := w.submit(stream.pull())) is not None:
            while not pull.done:
                w.advance(0.01)
                most = max(most, read - got - len(stream.ready))
            if pull.result() is END:
                break
            got += 1
            while stream.ready:
                stream.take()
                got += 1
        assert got == 200
        assert most == 7
        read = 0
        stream = streams.upsert_stream(w.defaults, seen(10_000), replicate_to=1, max_bytes=50_000)
        assert len(take_all(w, stream, 1.0)) == 200


@settings(max_examples=share(25), deadline=None)
@given(
    count=st.integers(0, 60),
    bad=st.sets(st.integers(0, 60), max_size=3),
    in_flight=st.integers(1, 80),
    tokens=st.booleans(),
    lag=st.sampled_from([0.0, 0.02, 0.3]),
    losses=st.lists(st.sampled_from([FIRST, SECOND, THIRD]), max_size=3),
)
def test_every_key_once(
    count: int, bad: set[int], in_flight: int, tokens: bool, lag: float, losses: list[Address]
) -> None:
    """Whatever is lost meanwhile, each key has one result, and what succeeded is on its copies."""
    w = world(tokens=tokens)
    w.cluster.delay_replication("default", lag)
    values = [(f"k{n}", {1} if n in bad else n) for n in range(count)]
    stream = streams.upsert_stream(w.defaults, iter(values), in_flight=in_flight, replicate_to=1)
    found: list[Any] = []
    for lost in losses:
        pull = w.submit(stream.pull())
        w.advance(lag / 2)
        if lost in w.opened.values():
            w.lose(w.link_to(lost))
        w.advance(10.0)
        result = pull.result()
        if result is END:
            break
        found.append(result)
    found += take_all(w, stream, 10.0)
    assert sorted(each.key for each in found) == sorted(key for key, _ in values)
    w.advance(10.0)
    assert w.session.in_flight == 0
    for each in found:
        if each.success:
            pending = w.submit(ops.rget(w.defaults, each.key))
            w.advance(0.0)
            assert pending.result().value == int(each.key[1:])
