"""What the copies of a document say of it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import ArgumentError, ProtocolError, TimeoutError  # noqa: A004
from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.operations.observe import ObserveCopy
from couchloop.result import (
    OBS_FOUND,
    OBS_LOGICALLY_DELETED,
    OBS_NOTFOUND,
    OBS_PERSISTED,
    ObserveInfo,
)
from tests.core.session.support import node_at, opened
from tests.core.world import World, defaults


def world(replicas: int = 1) -> World:
    """Open a bucket with so many replicas."""
    return opened(EmbeddedCluster(3, seed=0, clock=ManualClock(), replicas=replicas))


def found(w: World, pending: Any) -> Any:
    """Carry a procedure out; give its result."""
    w.submit(pending)
    w.advance(0.0)
    assert pending.done
    return pending.result()


def test_life_of_a_document() -> None:
    """It is not there, in memory, on disk, deleted; each copy says so for itself."""
    w = world()
    d = w.defaults
    w.cluster.delay_persistence("default", 10.0)
    assert found(w, ops.observe(d, "k")).value == [
        ObserveInfo(OBS_NOTFOUND, True, 0),
        ObserveInfo(OBS_NOTFOUND, False, 0),
    ]
    w.cluster.delay_replication("default", 5.0)
    stored = w.do(ops.upsert(d, "k", 1))
    result = found(w, ops.observe(d, "k"))
    assert [info.flags for info in result.value] == [OBS_FOUND, OBS_NOTFOUND]
    assert result.value[0] == ObserveInfo(OBS_FOUND, True, stored.cas)
    assert result.cas == stored.cas
    w.advance(6.0)
    assert [i.flags for i in found(w, ops.observe(d, "k")).value] == [OBS_FOUND, OBS_FOUND]
    w.advance(20.0)
    assert [i.flags for i in found(w, ops.observe(d, "k")).value] == [OBS_PERSISTED] * 2
    w.do(ops.remove(d, "k"))
    flags = [info.flags for info in found(w, ops.observe(d, "k")).value]
    assert flags == [OBS_LOGICALLY_DELETED, OBS_PERSISTED]


def test_master_only() -> None:
    """The active copy alone is asked if that is wanted."""
    w = world(2)
    w.do(ops.upsert(w.defaults, "k", 1))
    (info,) = found(w, ops.observe(w.defaults, "k", master_only=True)).value
    assert info.from_master
    assert len(found(w, ops.observe(w.defaults, "k")).value) == 3


def test_many() -> None:
    """A batch asks for each key; a node that does not answer fails its keys, with all results."""
    w = world()
    d = w.defaults
    keys = [f"k{number}" for number in range(250)]
    w.do_batch(ops.upsert_multi(d, dict.fromkeys(keys, 1)))
    results = found(w, ops.observe_multi(d, keys))
    assert [len(result.value) for result in results.values()] == [2] * 250
    w.cluster.hang(node_at(w, w.owner("k0")))
    pending = w.submit(ops.observe_multi(d, keys[:50], master_only=True, timeout=1.0))
    w.advance(1.0)
    with pytest.raises(TimeoutError) as caught:
        pending.result()
    good, bad = caught.value.split_results()
    assert good
    assert "k0" in bad
    with pytest.raises(ArgumentError):
        ops.observe_multi(d, [])


def test_it_survives_a_move() -> None:
    """A request that is sent again names the vbucket's new owner, and has its key anew."""
    w = world()
    d = w.defaults
    w.do(ops.upsert(d, "k", 1))
    w.cluster.failover(node_at(w, w.owner("k")))
    w.cluster.delay_replication("default", inf)
    w.advance(1.0)
    assert found(w, ops.observe(d, "k")).value[0].from_master


@pytest.mark.parametrize("value", [b"", bytes(12)])
def test_garbage(value: bytes) -> None:
    """An answer that is too short is a ProtocolError."""
    op = ObserveCopy(0x92, defaults(), "k", None)
    with pytest.raises(ProtocolError, match="too short"):
        op.decode(Frame(0x81, 0x92, 0, 0, 0, 0, b"", b"", b"", value))
