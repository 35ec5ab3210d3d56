"""What data nodes tell of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    InvalidSettingError,
    NotFoundError,
    TimeoutError,  # noqa: A004
)
from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.operations.stats import NodeStats
from couchloop.session.session import Session
from tests.core.session.support import FIRST, SECOND, THIRD, node_at, opened
from tests.core.world import World, defaults

D = defaults()


def world() -> World:
    """Open a bucket on three nodes."""
    return opened(EmbeddedCluster(3, seed=0, clock=ManualClock(), replicas=1))


def found(w: World, pending: Any) -> Any:
    """Carry a procedure out; give its result."""
    w.submit(pending)
    w.advance(0.0)
    assert pending.done
    return pending.result()


def test_general() -> None:
    """Each statistic has the value of each node; numbers are numbers."""
    w = world()
    w.do_batch(ops.upsert_multi(w.defaults, {f"k{n}": n for n in range(30)}))
    result = found(w, ops.stats(w.defaults))
    assert set(result["curr_items"]) == {str(FIRST), str(SECOND), str(THIRD)}
    assert sum(result["curr_items"].values()) == 30
    assert set(result["ep_bucket_type"].values()) == {"persistent"}
    assert result.all_ok
    assert repr(result).startswith("<StatsResult of ")


def test_groups() -> None:
    """One group, or several; what is not there is NotFoundError."""
    w = world()
    one = found(w, ops.stats(w.defaults, "uuid"))
    assert list(one) == ["uuid"]
    both = found(w, ops.stats(w.defaults, ["uuid", "vbucket-seqno 5"]))
    assert {"uuid", "vb_5:high_seqno"} <= set(both)
    with pytest.raises(NotFoundError, match="knows no statistics by that name") as caught:
        found(w, ops.stats(w.defaults, ["uuid", "nosuch"]))
    assert caught.value.key == "nosuch"
    w.do(ops.upsert(w.defaults, "k", 1))


def test_of_keys() -> None:
    """The copies of a document are asked at their nodes."""
    w = world()
    stored = w.do(ops.upsert(w.defaults, "k", 1))
    result = found(w, ops.stats(w.defaults, "k", keystats=True))
    assert result["key_cas"][str(w.owner("k"))] == stored.cas
    with pytest.raises(NotFoundError, match="document does not exist") as caught:
        found(w, ops.stats(w.defaults, "missing", keystats=True))
    assert caught.value.key == "missing"
    with pytest.raises(InvalidSettingError, match="keystats"):
        ops.stats(w.defaults, "k", keystats="no")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="documents"):
        ops.stats(w.defaults, keystats=True)


def test_a_node_is_away() -> None:
    """What keeps a node from answering is raised, with what the others said."""
    w = world()
    w.cluster.hang(node_at(w, FIRST))
    pending = w.submit(ops.stats(w.defaults, "uuid", timeout=1.0))
    w.advance(1.0)
    with pytest.raises(TimeoutError) as caught:
        pending.result()
    assert caught.value.all_results is not None
    assert set(caught.value.all_results["uuid"]) == {str(SECOND), str(THIRD)}


def test_before_it_is_open() -> None:
    """It waits for the bucket to be open."""
    w = World(EmbeddedCluster(2, seed=0, clock=ManualClock()))
    early = w.submit(ops.stats(w.defaults, "uuid"))
    w.advance(0.0)
    assert len(early.result()["uuid"]) == 2


def test_hostile_values() -> None:
    """Whatever a node sends is text fit to be shown, or a number that is one."""
    op = NodeStats(D, b"", None, None)
    for name, value in ((b"a", b"5"), (b"b", b"-7"), (b"c", b"9" * 5000), (b"\xff", b"\x1b[31m")):
        assert op.goes_on(Frame(0x81, 0x10, 0, 0, 0, 0, b"", b"", name, value))
    assert not op.goes_on(Frame(0x81, 0x10, 0, 0, 0, 0, b"", b"", b"", b""))
    assert (op.found["a"], op.found["b"]) == (5, -7)
    assert isinstance(op.found["c"], str)
    assert "\x1b" not in "".join(map(str, op.found.values()))


@pytest.mark.parametrize("keys", [5, [5], [None]])
def test_bad_groups(keys: Any) -> None:
    """What is no name of a group is refused at the call."""
    with pytest.raises(ArgumentError):
        ops.stats(D, keys)


def test_observers_hear_of_what_is_sent() -> None:
    """What is looked up in the configuration alone is no operation to an observer."""
    heard: list[str] = []

    class Watching:
        def completed(self, operation: Any) -> None:
            heard.append(operation.name)

        def answered_late(self, operation: Any) -> None:
            raise AssertionError

    cluster = EmbeddedCluster(2, seed=0, clock=ManualClock())
    w = opened(cluster, observer=Watching())
    assert isinstance(w.session, Session)
    found(w, ops.stats(w.defaults, "uuid"))
    assert heard == ["stats"] * 2
