"""A whole bucket in virtual time: what operations do, and to which node they go."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CasMismatchError,
    CouchbaseError,
    DocumentExistsError,
    NotFoundError,
    NotStoredError,
    StoreLockedError,
    TooBigError,
)
from couchloop.operations import document as ops
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode, Status
from tests.core.session.support import (
    FIRST,
    SECOND,
    THIRD,
    error_of,
    opened,
)
from tests.core.world import World


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
        # What is large and not compressed fills a connection's queue, which the next turn looks at.
        w.advance(0.0)
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
        """Megabytes in one batch come back whole, read in several turns of the loop."""
        w = opened()
        values: dict[Any, str] = {f"k{n}": "v" * 300_000 for n in range(20)}
        w.do_batch(ops.upsert_multi(w.defaults, values))
        results = w.do_batch(ops.get_multi(w.defaults, list(values)))
        assert all(result.value == "v" * 300_000 for result in results.values())
