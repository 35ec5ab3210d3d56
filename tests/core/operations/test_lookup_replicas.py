"""Looking into replicas: which copy answers, what lags, what a server cannot."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    DocumentUnretrievableError,
    FeatureNotAvailableError,
    NotFoundError,
    ServerInvalidArgumentError,
    SubdocInvalidComboError,
    SubdocPathNotFoundError,
    SubdocPathTooBigError,
)
from couchloop.hot.frames import Frame
from couchloop.operations import document as docs
from couchloop.operations import lookup_replicas as ops
from couchloop.operations.copies import ACTIVE
from tests.core.session.support import node_at, opened
from tests.core.world import World, defaults

D = defaults()


def world(replicas: int = 2, nodes: int = 3) -> World:
    """Open a bucket with so many replicas on so many nodes."""
    w = opened(EmbeddedCluster(nodes, seed=0, clock=ManualClock(), replicas=replicas))
    w.do(docs.upsert(w.defaults, "k", {"a": "old"}))
    w.advance(1.0)
    return w


def found(w: World, pending: Any) -> Any:
    """Carry a procedure out; give its result."""
    w.submit(pending)
    w.advance(0.0)
    assert pending.done
    return pending.result()


def test_all_copies() -> None:
    """The active copy comes first, then each replica with what it has."""
    w = world()
    w.cluster.delay_replication("default", inf)
    w.do(docs.upsert(w.defaults, "k", {"a": "new"}))
    copies = found(w, ops.lookup_in_all_replicas(w.defaults, "k", sd.get("a"), sd.exists("zz")))
    assert [each["a"] for each in copies] == ["new", "old", "old"]
    assert [each.is_replica for each in copies] == [False, True, True]
    assert len({each.cas for each in copies}) == 2
    assert not copies[1].exists("zz")
    with pytest.raises(SubdocPathNotFoundError):
        _ = copies[1]["zz"]
    w.advance(10)
    w.assert_idle()


def test_any_copy() -> None:
    """A node that is away does not hide the document."""
    w = world()
    w.cluster.hang(node_at(w, w.owner("k")))
    result = found(w, ops.lookup_in_any_replica(w.defaults, "k", [sd.get("a")]))
    assert (result["a"], result.is_replica) == ("old", True)
    assert w.session.in_flight == 0


def test_without_replicas() -> None:
    """Where there is none the active copy alone is read."""
    w = world(replicas=0, nodes=1)
    copies = found(w, ops.lookup_in_all_replicas(w.defaults, "k", sd.get("a")))
    assert [each.is_replica for each in copies] == [False]
    assert not found(w, ops.lookup_in_any_replica(w.defaults, "k", sd.get("a"))).is_replica


@pytest.mark.parametrize("build", [ops.lookup_in_any_replica, ops.lookup_in_all_replicas])
def test_no_copy(build: Any) -> None:
    """What no copy has is a NotFoundError that says so, also of a quiet Bucket."""
    w = world()
    w.defaults.quiet = True
    with pytest.raises(DocumentUnretrievableError) as caught:
        found(w, build(w.defaults, "no", sd.get("a")))
    assert isinstance(caught.value, NotFoundError)
    assert caught.value.key == "no"
    assert caught.value.context is not None
    assert caught.value.context.operation == build.__name__


@pytest.mark.parametrize("build", [ops.lookup_in_any_replica, ops.lookup_in_all_replicas])
@pytest.mark.parametrize(
    ("specs", "kind"),
    [
        ([], ArgumentError),
        ([sd.upsert("a", 1)], ArgumentError),
        ([sd.get("a" * 1025)], SubdocPathTooBigError),
        ([sd.get("a")] * 17, SubdocInvalidComboError),
    ],
)
def test_bad_input(build: Any, specs: list[sd.Spec], kind: type[CouchbaseError]) -> None:
    """What cannot be asked of a replica is refused with the key."""
    with pytest.raises(kind) as caught:
        build(D, "k", *specs)
    assert caught.value.key == "k"


def test_servers_that_cannot() -> None:
    """An older server refuses the flag: that is a feature which is missing, of replicas alone."""
    refusal = Frame(0x81, 0xD0, 0, 4, 0, 0, b"", b"", b"", b"")
    error = ServerInvalidArgumentError()
    for copy, kind in ((ACTIVE, ServerInvalidArgumentError), (0, FeatureNotAvailableError)):
        op = ops.LookupInCopy.of(D, "k", [sd.get("a")], 0, None, None, quiet=False)
        op.copy = copy
        assert type(op.explained(error, refusal)) is kind
