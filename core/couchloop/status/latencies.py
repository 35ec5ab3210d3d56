"""How long operations took lately: an observer of Buckets, for their status page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from couchloop.observe.histogram import Histogram

if TYPE_CHECKING:
    from couchloop.observation import Completed, LateAnswer

WINDOW: Final = 60.0
"""Seconds after which what is counted begins anew; that of the time before is shown, too."""
_MOST: Final = 256
"""Nodes, or names of operations, that are counted each by itself at one time."""
_REST: Final = "others"


class _Counts:
    """What became of operations of one name, or of one node."""

    __slots__ = ("errors", "histogram", "retries")

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.errors = 0
        self.retries = 0

    def merge(self, other: _Counts) -> None:
        self.histogram.merge(other.histogram)
        self.errors += other.errors
        self.retries += other.retries

    def add(self, operation: Completed) -> None:
        self.histogram.add(round(operation.duration * 1e6))
        self.errors += operation.outcome is not None
        self.retries += max(0, operation.attempts - 1)

    def summary(self) -> dict[str, int]:
        histogram = self.histogram
        return {
            "count": histogram.count,
            "errors": self.errors,
            "retries": self.retries,
            "p50_us": histogram.percentile(50.0),
            "p99_us": histogram.percentile(99.0),
            "longest_us": histogram.longest,
        }


_Table = dict[str, _Counts]


class _Window:
    """What was observed in one stretch of time."""

    __slots__ = ("late", "nodes", "operations")

    def __init__(self) -> None:
        self.operations: _Table = {}
        self.nodes: _Table = {}
        self.late = 0


class Latencies:
    """An observer that counts what a status page shows: `Bucket(…, observer=latencies)`.

    Buckets of one loop may share it. It counts by operation and by node, for one to two minutes
    back from the last look; where nobody looks, since the last time that somebody did.
    """

    def __init__(self) -> None:
        self._now = _Window()
        self._before = _Window()
        self._since: float | None = None
        """When the present window was begun; None: with the Buckets."""
        self._shown_from: float | None = None

    def completed(self, operation: Completed, /) -> None:
        """See `couchloop.observation.Observer`."""
        window = self._now
        _counts(window.operations, operation.name).add(operation)
        if operation.node is not None:
            _counts(window.nodes, operation.node).add(operation)

    def answered_late(self, _answer: LateAnswer, /) -> None:
        """See `couchloop.observation.Observer`."""
        self._now.late += 1

    def summary(self, now: float) -> dict[str, Any]:
        """Return what was counted, and begin anew where that is of long ago.

        Args:
            now: seconds since 1970.

        `operations` and `nodes` have for each name `count`, `errors`, `retries`, `p50_us`,
        `p99_us` and `longest_us` (microseconds); `since` is when the counting began, None: with
        the first operation.
        """
        found = {
            "since": self._shown_from,
            "operations": _merged(self._before.operations, self._now.operations),
            "nodes": _merged(self._before.nodes, self._now.nodes),
            "late_answers": self._before.late + self._now.late,
        }
        if self._since is None or not 0.0 <= now - self._since < WINDOW:
            self._before, self._now = self._now, _Window()
            self._shown_from, self._since = self._since, now
        return found


def _counts(table: _Table, name: str) -> _Counts:
    counts = table.get(name)
    if counts is None:
        if len(table) >= _MOST:
            name = _REST
        counts = table.setdefault(name, _Counts())
    return counts


def _merged(*tables: _Table) -> dict[str, dict[str, int]]:
    whole: _Table = {}
    for table in tables:
        for name, counts in table.items():
            whole.setdefault(name, _Counts()).merge(counts)
    return {name: counts.summary() for name, counts in sorted(whole.items())}
