"""What an observer counts for a status page."""

from __future__ import annotations

from typing import Any

from couchloop.exceptions import NotFoundError
from couchloop.observation import Completed, LateAnswer
from couchloop.status.latencies import WINDOW, Latencies


def completed(name: str = "get", node: str | None = "a:1", **more: Any) -> Completed:
    """Return an operation that is over; it took a millisecond."""
    given: dict[str, Any] = {
        "name": name,
        "node": node,
        "connection_id": None,
        "opaque": None,
        "duration": 0.001,
        "server_duration": None,
        "attempts": 1,
        "timeout": 2.5,
        "outcome": None,
    }
    return Completed(**{**given, **more})


def late() -> LateAnswer:
    """Return an answer that came too late."""
    return LateAnswer("get", "a:1", "c", 1, None, None, None)


def test_counts() -> None:
    """By operation and by node: how often, how long, how many failed, how many tries more."""
    latencies = Latencies()
    latencies.completed(completed())
    latencies.completed(completed(duration=0.003, attempts=3, outcome=NotFoundError))
    latencies.completed(completed("upsert", None, attempts=0))
    latencies.answered_late(late())
    found = latencies.summary(100.0)
    assert found["since"] is None
    assert found["late_answers"] == 1
    get = {"count": 2, "errors": 1, "retries": 2, "p99_us": 3000, "longest_us": 3000}
    assert found["operations"]["get"] == {**get, "p50_us": found["operations"]["get"]["p50_us"]}
    assert 1000 <= found["operations"]["get"]["p50_us"] <= 1016
    assert found["operations"]["upsert"]["retries"] == 0
    assert list(found["nodes"]) == ["a:1"]


def test_windows() -> None:
    """What is of longer ago than two windows is shown no more; a look alone forgets nothing."""
    latencies = Latencies()
    latencies.completed(completed())

    def seen(now: float) -> tuple[Any, int]:
        found = latencies.summary(now)
        return found["since"], sum(each["count"] for each in found["operations"].values())

    assert seen(100.0) == (None, 1)
    latencies.completed(completed())
    assert seen(101.0) == (None, 2)
    assert seen(100.0 + WINDOW) == (None, 2)
    latencies.completed(completed())
    assert seen(101.0 + WINDOW) == (100.0, 2)
    assert seen(100.0 + 3 * WINDOW) == (100.0, 2)
    assert seen(100.0 + 3 * WINDOW) == (100.0 + WINDOW, 1)


def test_clock_set_back() -> None:
    """A clock that goes back begins anew rather than to count for ever."""
    latencies = Latencies()
    latencies.summary(1000.0)
    latencies.summary(10.0)
    assert latencies.summary(11.0)["since"] == 1000.0
    latencies.summary(10.0 + WINDOW)
    assert latencies.summary(10.0 + WINDOW)["since"] == 10.0


def test_bounded() -> None:
    """Nodes that come and go take no more memory than a bounded number of them."""
    latencies = Latencies()
    for number in range(1000):
        latencies.completed(completed(node=f"a:{number}"))
    nodes = latencies.summary(0.0)["nodes"]
    assert len(nodes) < 300
    assert sum(each["count"] for each in nodes.values()) == 1000
    assert nodes["others"]["count"] > 700
