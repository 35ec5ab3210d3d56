"""Named collections: numbers learned, outdated, waited for in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    CollectionNotFoundError,
    FeatureNotAvailableError,
    NotAuthorizedError,
    NotFoundError,
    OverloadedError,
    RequestCanceledError,
    ScopeNotFoundError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame
from couchloop.hot.operation import CollectionName, Defaults
from couchloop.operations.document import get, get_multi, insert, upsert, upsert_multi
from couchloop.operations.endure import endure, endure_multi
from couchloop.operations.observe import observe
from couchloop.retries import FailFast
from couchloop.session.collections import manifest_of
from couchloop.settings.values import Address
from couchloop.wire import Feature, Opcode, Status
from couchloop.wire.keys import UNNUMBERED
from tests.core.session.support import FIRST, SECOND, TWO_SECONDS, error_of, node_at, opened
from tests.core.world import World
from tests.share import share

NAMES = CollectionName("app", "c")
PATH = str(NAMES)
FIRST_NUMBER, SECOND_NUMBER = b"\x09", b"\x0a"


NODES = st.sets(st.integers(0, 2))
"""Some of three nodes, by their numbers."""


def world(nodes: int = 1, *, path: str | None = PATH, **settings: Any) -> World:
    """Return a world with so many nodes, and a collection."""
    w = opened(EmbeddedCluster(nodes, vbuckets=16, seed=0, clock=ManualClock()), **settings)
    if path is not None:
        w.cluster.create_collection("default", path)
    return w


def of(w: World, names: CollectionName = NAMES) -> Defaults:
    """Return what a collection hands to builders."""
    defaults = replace(w.defaults, collection=names, max_key=246)
    w.session.collections.attach(defaults)
    return defaults


def asked(w: World) -> Any:
    """Count from now on how often a number is asked for."""
    return w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID)


def sent(w: World, opcode: int) -> list[Frame]:
    """Return the requests of that kind, in the order of their writing."""
    frames: list[Frame] = []
    for _, data in w.writes:
        frames += FrameDecoder(RequestFrame).receive(data)
    return [frame for frame in frames if frame.opcode == opcode]


def done(w: World, op: Any) -> Any:
    """Submit *op*, let the world come to rest, and give its result."""
    w.submit(op)
    w.advance(0.0)
    return op.result()


def key_of(w: World, address: Address, number: int = 0) -> str:
    """Return a key whose active copy that node has."""
    config = w.session.config
    assert config is not None
    index = list(w.nodes).index(address)
    keys = (f"key{n}" for n in range(10_000))
    found = [k for k in keys if config.active[config.vbucket(k.encode())] == index]
    return found[number]


class TestNumbers:
    """How an operation comes to the number of its collection."""

    def test_bytes(self) -> None:
        """The number stands before the key; the vbucket is that of the key alone."""
        w = world()
        c = of(w)
        assert c.prefix is UNNUMBERED
        done(w, upsert(c, "k", 1))
        assert c.prefix == FIRST_NUMBER
        w.writes.clear()
        assert done(w, get(c, "k")).value == 1
        (request,) = sent(w, Opcode.GET)
        assert request.key == FIRST_NUMBER + b"k"
        w.writes.clear()
        with pytest.raises(NotFoundError):
            done(w, get(w.defaults, "k"))
        (other,) = sent(w, Opcode.GET)
        assert other.key == b"\0k"
        assert other.vbucket == request.vbucket

    def test_question(self) -> None:
        """The question has the names as its value, and names no vbucket."""
        w = world()
        w.writes.clear()
        done(w, upsert(of(w), "k", 1))
        (request,) = sent(w, Opcode.COLLECTIONS_GET_ID)
        assert (request.key, request.value, request.vbucket) == (b"", b"app.c", 0)

    def test_once(self) -> None:
        """It is asked for once, whatever waits, and is known to all handles from then on."""
        w = world(3)
        c, other = of(w), of(w)
        count = asked(w)
        ops = [w.submit(upsert(c, f"k{n}", n)) for n in range(100)]
        ops += [w.submit(get(other, f"k{n}", quiet=True)) for n in range(100)]
        w.advance(0.0)
        assert all(op.result() for op in ops)
        assert count.hits == 1
        assert of(w).prefix == FIRST_NUMBER
        assert w.session.queued.operations == 0

    def test_large_numbers(self) -> None:
        """A number may take several bytes."""
        w = world(path=None)
        document = {
            "uid": "5",
            "scopes": [
                {"name": "_default", "uid": "0", "collections": []},
                {"name": "app", "uid": "8", "collections": [{"name": "c", "uid": "cafef00d"}]},
            ],
        }
        w.cluster.set_manifest("default", document)
        c = of(w)
        done(w, upsert(c, "k", 1))
        assert c.prefix == bytes.fromhex("8de0fbd70c")

    def test_what_waits_is_queued(self) -> None:
        """What waits for a number counts as queued, and may be cancelled."""
        w = world()
        ops = [w.submit(upsert(of(w), f"k{n}", n)) for n in range(3)]
        assert w.session.queued.operations == 3
        w.session.cancel(ops[1])
        assert w.session.queued.operations == 2
        w.advance(0.0)
        assert [op.done for op in ops] == [True, False, True]
        assert w.session.queued.operations == 0
        assert done(w, get(of(w), "k1", quiet=True)).value is None

    def test_nobody_waits_any_more(self) -> None:
        """Nothing is asked for what was cancelled."""
        w = world()
        count = asked(w)
        w.session.cancel(w.submit(upsert(of(w), "k", 1)))
        w.advance(0.0)
        assert count.hits == 0
        assert not w.session.collections._waits

    def test_copies(self) -> None:
        """An operation that has its key elsewhere gets the number there, too."""
        w = world(2)
        done(w, upsert(of(w), "k", 1))
        w = world(2)
        c = of(w)
        seen = done(w, observe(c, "k")).value
        assert {each.flags for each in seen} == {0x80}
        stored = done(w, upsert(c, "k", 1))
        assert {each.cas for each in done(w, observe(c, "k")).value} == {stored.cas}

    def test_batches(self) -> None:
        """Small and large batches wait for it as one operation does."""
        w = world(3)
        count = asked(w)
        documents = {f"k{n}": n for n in range(3000)}
        c = of(w)
        storing = w.submit(upsert_multi(c, documents))
        w.advance(0.1)
        assert storing.result().all_ok
        reading = w.submit(get_multi(c, [*documents]))
        w.advance(0.1)
        found = reading.result()
        assert {key: result.value for key, result in found.items()} == documents
        assert count.hits == 1


class TestOrder:
    """What waits keeps its place in the order of its key."""

    def test_while_waiting(self) -> None:
        """Operations on one key are done in the order of their issue."""
        w = world()
        c = of(w)
        ops = [w.submit(upsert(c, "k", n)) for n in range(5)]
        ops.append(w.submit(get(c, "k")))
        w.advance(0.0)
        assert ops[-1].result().value == 4
        cas = [op.result().cas for op in ops[:5]]
        assert cas == sorted(cas)

    def test_before_what_waits_for_the_node(self) -> None:
        """What waits for its number goes before what was issued later and waits for its node."""
        w = world()
        c = of(w)
        first = w.submit(upsert(c, "k", "first"))
        (number,) = w.opened
        w.session.paused(number)
        second = w.submit(upsert(c, "k", "second"))
        w.advance(0.0)
        w.session.resumed(number, w.now)
        w.advance(0.0)
        assert first.result().cas < second.result().cas
        assert done(w, get(c, "k")).value == "second"

    def test_number_while_the_node_is_slow(self) -> None:
        """So it is where the number comes while the node takes nothing."""
        w = world(2)
        key = key_of(w, FIRST)
        c = of(w)
        slow = w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, delay=0.5)
        first = w.submit(upsert(c, key, "first"))
        w.advance(0.0)
        numbers = {address: number for number, address in w.opened.items()}
        w.session.paused(numbers[FIRST])
        second = w.submit(upsert(c, key, "second"))
        third = w.submit(upsert(w.defaults, key, "third"))
        w.advance(1.0)
        assert slow.hits == 1
        assert not first.done
        w.session.resumed(numbers[FIRST], w.now)
        w.advance(0.0)
        assert first.result().cas < second.result().cas < third.result().cas

    def test_refused_before_new(self) -> None:
        """What was refused goes before what was issued after its refusal."""
        w = world()
        c = of(w)
        done(w, upsert(c, "k", 0))
        w.cluster.drop_collection("default", PATH)
        ops = [w.submit(upsert(c, "k", n)) for n in range(3)]
        w.advance(0.0)
        ops += [w.submit(upsert(c, "k", n)) for n in range(3, 6)]
        w.cluster.create_collection("default", PATH)
        w.advance(TWO_SECONDS)
        cas = [op.result().cas for op in ops]
        assert cas == sorted(cas)
        assert c.prefix == SECOND_NUMBER

    def test_on_its_way_with_the_old_number(self) -> None:
        """Nothing overtakes what is on its way to a node with a number that is outdated."""
        w = world(2)
        c = of(w)
        here, there = key_of(w, FIRST), key_of(w, SECOND)
        done(w, upsert_multi(c, {here: 0, there: 0}))
        w.cluster.drop_collection("default", PATH)
        w.cluster.create_collection("default", PATH)
        w.cluster.inject(opcode=Opcode.SET, node=node_at(w, SECOND), delay=0.5, count=1)
        old = w.submit(upsert(c, there, "old"))
        w.submit(upsert(c, here, 1))
        w.advance(0.0)
        assert c.prefix == SECOND_NUMBER or w.session.queued.operations == 0
        new = w.submit(upsert(c, there, "new"))
        w.advance(0.4)
        assert not new.done
        # And no longer than that.
        w.advance(0.1)
        assert old.result().cas < new.result().cas
        assert done(w, get(c, there)).value == "new"

    def test_every_handle_forgets_the_old_number(self) -> None:
        """One whose change comes back late asks its copies by the new number: they have it."""
        w = world(3)
        c, late = of(w), of(w)
        third = Address(FIRST.host, SECOND.port + 1)
        here, other, there = (key_of(w, each) for each in (FIRST, SECOND, third))
        done(w, upsert_multi(c, {here: 0, there: 0}))
        late.prefix = c.prefix
        w.cluster.drop_collection("default", PATH)
        w.cluster.create_collection("default", PATH)
        for key, delay in ((there, 0.5), (other, 0.1)):
            w.cluster.inject(opcode=Opcode.SET, key=key.encode(), delay=delay, count=1)
        w.submit(upsert(late, there, "slow"))
        w.submit(upsert(c, here, 1))
        changed = w.submit(upsert(late, other, "changed"))
        w.advance(0.3)
        assert changed.result().success
        assert late.prefix != FIRST_NUMBER
        found = done(w, observe(late, other, master_only=True)).value
        assert [each.cas for each in found] == [changed.result().cas]

    def test_a_new_handle_does_not_overtake(self) -> None:
        """Another handle waits behind what one that has gone has built, and a node has refused."""
        w = world(2, path=None)
        w.cluster.create_collection("default", PATH, nodes=[node_at(w, SECOND)])
        old, new = of(w), of(w)
        here, there = key_of(w, FIRST), key_of(w, SECOND)
        first = w.submit(upsert(old, here, 1, timeout=60.0))
        done(w, upsert(new, there, 0))
        assert not first.done
        w.cluster.spread_manifest("default")
        second = w.submit(upsert(new, here, 2, timeout=60.0))
        w.advance(30.0)
        assert first.result().cas < second.result().cas

    def test_fence_is_cancelled(self) -> None:
        """What waits behind an operation goes on when that is cancelled, or never answered."""
        w = world(2)
        c = of(w)
        here, there = key_of(w, FIRST), key_of(w, SECOND)
        done(w, upsert_multi(c, {here: 0, there: 0}))
        w.cluster.drop_collection("default", PATH)
        w.cluster.create_collection("default", PATH)
        w.cluster.inject(opcode=Opcode.GET, node=node_at(w, SECOND), silent=True, count=1)
        old = w.submit(get(c, there))
        w.submit(upsert(c, here, 1))
        w.advance(0.0)
        new = w.submit(upsert(c, there, "new", timeout=10.0))
        w.advance(0.0)
        assert not new.done
        w.session.cancel(old)
        w.advance(TWO_SECONDS)
        assert new.result().success


class TestLag:
    """Nodes that do not know of a collection yet."""

    def test_waits_for_the_node(self) -> None:
        """What is for a node that lags behind waits, and nothing else; no number is asked anew."""
        w = world(2, path=None)
        w.cluster.create_collection("default", PATH, nodes=[node_at(w, FIRST)])
        c = of(w)
        count = asked(w)
        here, there = key_of(w, FIRST), key_of(w, SECOND)
        done(w, upsert(c, here, 1))
        late = w.submit(upsert(c, there, "late"))
        later = w.submit(upsert(c, there, "later"))
        w.advance(0.0)
        assert done(w, get(c, here)).value == 1
        assert not late.done
        w.cluster.spread_manifest("default")
        w.advance(TWO_SECONDS)
        assert late.result().cas < later.result().cas
        assert done(w, get(c, there)).value == "later"
        assert c.prefix == FIRST_NUMBER
        assert count.hits <= 2

    def test_too_long(self) -> None:
        """An operation whose node lags for all of its time ends with a timeout that says so."""
        w = world(2, path=None)
        w.cluster.create_collection("default", PATH, nodes=[node_at(w, FIRST)])
        c = of(w)
        done(w, upsert(c, key_of(w, FIRST), 1))
        op = w.submit(upsert(c, key_of(w, SECOND), 1))
        w.advance(3.0)
        error = error_of(op)
        assert isinstance(error, UnambiguousTimeoutError)
        assert "did not know the collection" in str(error)
        assert isinstance(error.__cause__, CollectionNotFoundError)
        assert w.session.queued.operations == 0

    def test_answers_of_nodes_that_lag(self) -> None:
        """A number of an older manifest than a refusal told of does not count."""
        w = world(3)
        c = of(w)
        key = key_of(w, FIRST)
        done(w, upsert(c, key, 1))
        first, _, third = w.cluster.nodes
        w.cluster.drop_collection("default", PATH, nodes=[first, third])
        w.cluster.create_collection("default", PATH, nodes=[first, third])
        # The second one is asked next, and knows the old number alone.
        busy = Status.ETMPFAIL
        w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, node=first, status=busy, count=1)
        count = asked(w)
        w.writes.clear()
        assert not done(w, get(c, key, quiet=True)).success
        assert c.prefix == SECOND_NUMBER
        assert count.hits == 2
        keys = [request.key for request in sent(w, Opcode.GET)]
        assert keys == [FIRST_NUMBER + key.encode(), SECOND_NUMBER + key.encode()]

    def test_bucket_made_anew(self) -> None:
        """Manifests of a bucket that was made anew count from the beginning: no number is lost."""
        w = world()
        for _ in range(5):
            w.cluster.drop_collection("default", PATH)
            w.cluster.create_collection("default", PATH)
        c = of(w)
        done(w, upsert(c, "k", 1))
        document = {
            "uid": "1",
            "scopes": [
                {"name": "_default", "uid": "0", "collections": []},
                {"name": "app", "uid": "8", "collections": [{"name": "c", "uid": "30"}]},
            ],
        }
        w.cluster.set_manifest("default", document)
        op = w.submit(upsert(c, "k", 2))
        w.advance(TWO_SECONDS)
        assert op.result().success
        assert c.prefix == b"\x30"


class TestMissing:
    """Collections that there are not."""

    def test_at_the_deadline(self) -> None:
        """By default an operation waits for a collection; the error says which part is missing."""
        w = world(3)
        lost = w.submit(get(of(w, CollectionName("app", "nosuch")), "k"))
        nowhere = w.submit(get(of(w, CollectionName("nosuch", "c")), "k"))
        w.advance(1.0)
        assert not lost.done
        w.advance(TWO_SECONDS)
        error = error_of(lost)
        assert type(error) is CollectionNotFoundError
        assert error.context is not None
        assert (error.context.scope, error.context.collection) == ("app", "nosuch")
        assert (error.key, error.context.bucket) == ("k", "default")
        assert "collection app.nosuch" in str(error)
        assert type(error_of(nowhere)) is ScopeNotFoundError
        assert w.session.queued.operations == 0

    def test_at_once(self) -> None:
        """A strategy may say that it is not waited for; what it raises is the cause."""

        class Broken:
            def retry_after(self, *_: object) -> float:
                raise ValueError("broken")

        w = world()
        c = of(w, CollectionName("app", "nosuch"))
        op = w.submit(upsert(c, "k", 1, retry_strategy=FailFast()))
        broken = w.submit(upsert(c, "k", 1, retry_strategy=Broken()))
        patient = w.submit(upsert(c, "k", 1))
        w.advance(0.0)
        assert type(error_of(op)) is CollectionNotFoundError
        assert isinstance(error_of(broken).__cause__, ValueError)
        assert not patient.done
        assert patient.reasons == ("KV_COLLECTION_OUTDATED", "COLLECTION_NOT_FOUND")

    def test_endure(self) -> None:
        """It waits for a collection, too; nothing was changed, so that nothing is ambiguous."""
        w = world(2)
        late = CollectionName("app", "late")
        one = w.submit(endure(of(w, CollectionName("app", "nosuch")), "k", timeout=3.0))
        many = w.submit(endure_multi(of(w, CollectionName("nosuch", "c")), ["k", "l"], timeout=3.0))
        made = w.submit(endure(of(w, late), "k", timeout=3.0, check_removed=True))
        w.advance(1.5)
        assert [op.done for op in (one, many, made)] == [False] * 3
        w.cluster.create_collection("default", str(late))
        w.advance(2.0)
        assert made.result().success
        error = error_of(one)
        assert type(error) is CollectionNotFoundError
        assert "(endure, bucket 'default', collection app.nosuch" in str(error)
        error = error_of(many)
        assert type(error) is ScopeNotFoundError
        assert "(endure_multi, " in str(error)
        assert error.all_results is not None
        assert [*error.all_results] == ["k", "l"]
        assert not any(each.success for each in error.all_results.values())

    def test_endure_at_once(self) -> None:
        """The Bucket's strategy says whether it waits."""
        w = world(retry_strategy=FailFast())
        op = w.submit(endure(of(w, CollectionName("app", "nosuch")), "k", timeout=60.0))
        # Long before its time is over.
        w.advance(1.0)
        assert type(error_of(op)) is CollectionNotFoundError

    def test_large_batch(self) -> None:
        """A batch of any size ends within the time of one operation."""
        w = world(3)
        c = of(w, CollectionName("app", "nosuch"))
        batch = w.submit(upsert_multi(c, dict.fromkeys(map(str, range(20_000)), 1)))
        w.advance(2.6)
        assert batch.done
        with pytest.raises(CollectionNotFoundError) as caught:
            batch.result()
        assert caught.value.all_results is not None
        assert len(caught.value.all_results) == 20_000

    def test_equal_failures_have_equal_texts(self) -> None:
        """Nothing of one operation is in the text."""
        w = world()
        c = of(w, CollectionName("app", "nosuch"))
        ops = [w.submit(get(c, key, retry_strategy=FailFast())) for key in ("a", "b")]
        w.advance(0.0)
        assert str(error_of(ops[0])) == str(error_of(ops[1]))

    def test_asked_for_again_at_once(self) -> None:
        """Who asks again as soon as it failed finds a question due: there is one at a time."""
        w = world(3, path=None)
        c = of(w)
        left = iter(range(20))

        def again(_: Any) -> None:
            if next(left, None) is not None:
                w.session.submit(get(c, "k", quiet=True, retry_strategy=FailFast()), w.now)

        w.on_delivered = again
        again(None)
        w.advance(0.0)
        assert len(sent(w, Opcode.COLLECTIONS_GET_ID)) == 3
        w.advance(1.0)
        w.cluster.create_collection("default", PATH)
        w.advance(10.0)
        assert len(w.delivered) == 20
        w.assert_idle()

    def test_made_meanwhile(self) -> None:
        """What waits is done as soon as the collection is there."""
        w = world(path=None)
        op = w.submit(upsert(of(w), "k", 1))
        w.advance(1.0)
        w.cluster.create_collection("default", PATH)
        w.advance(1.1)
        assert op.result().success

    def test_dropped_for_good(self) -> None:
        """A collection that is dropped in use is missing as one that never was."""
        w = world()
        c = of(w)
        done(w, upsert(c, "k", 1))
        w.cluster.drop_scope("default", "app")
        op = w.submit(get(c, "k"))
        w.advance(3.0)
        assert type(error_of(op)) is ScopeNotFoundError


class TestFailures:
    """Servers that are old, broken or away."""

    def test_older_node(self) -> None:
        """In a mixed cluster named collections are not available on a node of an older version."""
        cluster = EmbeddedCluster(2, vbuckets=16, seed=0, clock=ManualClock())
        w = World(cluster)
        w.nodes[SECOND] = OlderNode(w.nodes[SECOND])
        w.open()
        w.advance(0.0)
        cluster.create_collection("default", PATH)
        c = of(w)
        here, there = key_of(w, FIRST), key_of(w, SECOND)
        done(w, upsert(c, here, 1))
        op = w.submit(upsert(c, there, 1))
        w.advance(0.0)
        error = error_of(op)
        assert type(error) is FeatureNotAvailableError
        assert error.context is not None
        assert error.context.node == str(SECOND)
        assert error.context.collection == "c"
        done(w, upsert(w.defaults, there, "default"))
        assert done(w, get(w.defaults, there)).value == "default"
        assert done(w, get(c, here)).value == 1

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (Status.EACCESS, NotAuthorizedError),
            (Status.NOT_SUPPORTED, FeatureNotAvailableError),
            (Status.UNKNOWN_COMMAND, FeatureNotAvailableError),
        ],
    )
    def test_refusals_that_stay(self, status: int, kind: type) -> None:
        """A refusal of the question that stays is that of what waits, at once."""
        w = world()
        w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, status=status, count=1)
        ops = [w.submit(upsert(of(w), f"k{n}", 1)) for n in range(3)]
        w.advance(0.0)
        for op in ops:
            error = error_of(op)
            assert type(error) is kind
            assert error.context is not None
            assert error.context.collection == "c"
            assert error.key == op.key
        assert done(w, upsert(of(w), "k", 1)).success

    def test_refusals_that_pass(self) -> None:
        """After one that passes it is asked again."""
        w = world()
        busy = Status.ETMPFAIL
        count = w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, status=busy, count=3)
        op = w.submit(upsert(of(w), "k", 1))
        w.advance(1.0)
        assert op.result().success
        assert count.hits == 3

    def test_silent_node(self) -> None:
        """If a node does not answer, another is asked."""
        w = world(2, config_node_timeout=0.5)
        node = node_at(w, FIRST)
        silent = w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, node=node, silent=True)
        op = w.submit(upsert(of(w), key_of(w, FIRST), 1))
        w.advance(1.0)
        assert op.result().success
        assert silent.hits == 1

    def test_lost_connection(self) -> None:
        """If the connection is lost, what waits goes on on the next one, in order."""
        w = world()
        w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, close=True, count=1)
        ops = [w.submit(upsert(of(w), "k", n)) for n in range(3)]
        w.advance(1.0)
        cas = [op.result().cas for op in ops]
        assert cas == sorted(cas)

    @pytest.mark.parametrize("extras", [b"", b"\0" * 11, b"\0" * 13, b"\0" * 12])
    def test_broken_answers(self, extras: bytes) -> None:
        """An answer without a number ends that connection alone; the default's is none."""
        w = world(2)
        (number,) = [n for n, address in w.opened.items() if address == FIRST]
        op = w.submit(upsert(of(w), key_of(w, FIRST), 1))
        w.session.handle_deadline(w.now)
        (asked_with,) = [data for at, data in w.session.take_output() if at == number]
        (request,) = FrameDecoder(RequestFrame).receive(asked_with)
        answer = Frame(0x81, request.opcode, 0, 0, request.opaque, 0, b"", extras, b"", b"")
        w.session.receive_data(number, answer.encode(), w.now)
        assert number not in {c.id for c in w.session.connections}
        w.advance(1.0)
        assert op.result().success

    def test_overload(self) -> None:
        """What waits for a number counts as what waits for a node: there may be too much."""
        w = world(max_queued_operations=2, when_overloaded="fail")
        ops = [w.submit(upsert(of(w), f"k{n}", n)) for n in range(3)]
        assert isinstance(error_of(ops[2]), OverloadedError)
        assert "number of the collection" in str(error_of(ops[2]))
        w.advance(0.0)
        assert ops[0].result().success
        assert ops[1].result().success

    def test_close(self) -> None:
        """What waits when the Bucket is closed fails, or is done in the time that it has."""
        w = world()
        op = w.submit(upsert(of(w), "k", 1))
        w.session.close(w.now)
        assert isinstance(error_of(op), RequestCanceledError)
        w = world()
        op = w.submit(upsert(of(w), "k", 1))
        w.session.close(w.now, 2.0)
        w.advance(0.0)
        assert op.result().success

    def test_default_collection_refused(self) -> None:
        """The number of the default collection is never asked for."""
        w = world()
        count = asked(w)
        w.cluster.inject(opcode=Opcode.SET, status=Status.UNKNOWN_COLLECTION, count=2)
        op = w.submit(insert(w.defaults, "k", 1))
        w.cluster.inject(opcode=Opcode.ADD, status=Status.UNKNOWN_COLLECTION, count=2)
        w.advance(1.0)
        assert op.result().success
        assert count.hits == 0


@given(
    st.binary(max_size=60) | st.builds('{{"manifest_uid":{}}}'.format, st.text()).map(str.encode)
)
def test_manifest_of_anything(body: bytes) -> None:
    """Whatever stands in an error gives the number of a manifest, or none."""
    number = manifest_of(Frame(0x81, 0, 0, 0x88, 0, 0, b"", b"", b"", body))
    assert number is None or 0 <= number < 1 << 64


class Changes(RuleBasedStateMachine):
    """Documents are stored while collections come and go, nodes lag behind, and are slow."""

    def __init__(self) -> None:
        super().__init__()
        self.w = world(3)
        self.c = of(self.w)
        self.is_there = True
        self.stored: dict[str, list[Any]] = {}
        self.count = 0

    def _some(self, nodes: set[int]) -> list[Any]:
        return [self.w.cluster.nodes[number] for number in nodes]

    @rule(key=st.sampled_from("abcdef"), is_new_handle=st.booleans())
    def store(self, key: str, is_new_handle: bool) -> None:
        """Store something greater than before."""
        self.count += 1
        if is_new_handle:
            # The one before has gone.
            self.c = of(self.w)
        op = self.w.submit(upsert(self.c, key, self.count, timeout=1000.0))
        self.stored.setdefault(key, []).append(op)

    @rule(keys=st.sets(st.sampled_from("abcdef"), min_size=1))
    def store_many(self, keys: set[str]) -> None:
        """Store it by many keys."""
        self.count += 1
        batch = upsert_multi(self.c, dict.fromkeys(sorted(keys), self.count), timeout=1000.0)
        operations = list(batch.operations)
        self.w.submit(batch)
        for op in operations:
            self.stored.setdefault(op.key, []).append(op)

    @precondition(lambda self: self.is_there)
    @rule(nodes=NODES, whole=st.booleans())
    def drop(self, nodes: set[int], whole: bool) -> None:
        """Drop the collection, or its scope; some nodes know of it."""
        self.is_there = False
        if whole:
            self.w.cluster.drop_scope("default", NAMES.scope, nodes=self._some(nodes))
        else:
            self.w.cluster.drop_collection("default", PATH, nodes=self._some(nodes))

    @precondition(lambda self: not self.is_there)
    @rule(nodes=NODES)
    def make(self, nodes: set[int]) -> None:
        """Make the collection (again); some nodes know of it."""
        self.is_there = True
        self.w.cluster.create_collection("default", PATH, nodes=self._some(nodes))

    @rule(nodes=NODES)
    def spread(self, nodes: set[int]) -> None:
        """Have more nodes know of it."""
        self.w.cluster.spread_manifest("default", nodes=self._some(nodes))

    @rule(number=st.integers(0, 2))
    def slow(self, number: int) -> None:
        """A node takes no more for now."""
        self.w.session.paused(list(self.w.opened)[number])

    @rule(number=st.integers(0, 2))
    def fast(self, number: int) -> None:
        """It does again."""
        self.w.session.resumed(list(self.w.opened)[number], self.w.now)

    @rule()
    def ask_slowly(self) -> None:
        """The next question for a number takes a while."""
        self.w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_ID, delay=0.02, count=1)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.w.advance(seconds)

    @invariant()
    def queue(self) -> None:
        """What is counted as waiting is what waits."""
        ops = [op for every in self.stored.values() for op in every]
        assert self.w.session.queued.operations == sum(op.parked is not None for op in ops)

    def teardown(self) -> None:
        """In the end everything is stored, in order; nothing waits."""
        for number in list(self.w.opened):
            self.w.session.resumed(number, self.w.now)
        if not self.is_there:
            self.w.cluster.create_collection("default", PATH)
        self.w.cluster.spread_manifest("default")
        self.w.advance(20.0)
        for key, ops in self.stored.items():
            cas = [op.result().cas for op in ops]
            assert cas == sorted(cas), key
        assert self.w.session.queued.operations == 0
        assert not self.w.session.collections._waits
        last = self.w.submit(upsert(self.c, "last", 1))
        self.w.advance(1.0)
        assert last.result().success
        assert self.c.prefix is not UNNUMBERED


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=share(40), stateful_step_count=40, deadline=None)


class OlderNode:
    """A node that does not know collections: nobody can ask for them."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def accept(self, **keywords: Any) -> Any:
        return OlderLink(self._node.accept(**keywords))


class OlderLink:
    """A connection to it."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def receive_data(self, data: bytes) -> None:
        # Its HELLO comes in a write of its own, with others behind it.
        feature, unknown = Feature.COLLECTIONS.to_bytes(2), b"\x7f\xff"
        self._link.receive_data(data.replace(feature, unknown, 1) if data[1] == 0x1F else data)


def test_names_of_gone_handles() -> None:
    """Names that users gave, each for one handle that is gone, are forgotten; others are not."""
    w = opened()
    collections = w.session.collections
    kept = [replace(w.defaults, collection=CollectionName("app", f"kept{n}")) for n in range(10)]
    for defaults in kept:
        collections.attach(defaults)
    for number in range(5000):
        collections.attach(replace(w.defaults, collection=CollectionName("app", f"u{number}")))
    assert len(collections._handles) <= 1024
    assert {defaults.collection for defaults in kept} <= set(collections._handles)
