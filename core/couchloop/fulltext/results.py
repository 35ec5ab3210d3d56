"""What is known of a search beside its hits: SDK 2.5's attributes, and SDK 4's objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any


class SearchMetrics:
    """What the service has measured. What it does not tell is 0.

    Args:
        said: what it says beside the hits.
    """

    __slots__ = ("_said",)

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def success_partition_count(self) -> int:
        """Return how many parts of the index were searched."""
        return _integer(_status(self._said).get("successful"))

    def error_partition_count(self) -> int:
        """Return how many parts of the index have failed."""
        return _integer(_status(self._said).get("failed"))

    def total_partition_count(self) -> int:
        """Return how many parts the index has."""
        return _integer(_status(self._said).get("total"))

    def took(self) -> timedelta:
        """Return how long the service has searched."""
        return timedelta(microseconds=_integer(self._said.get("took")) / 1000)

    def total_rows(self) -> int:
        """Return how many documents fit, whether or not they were given."""
        return _integer(self._said.get("total_hits"))

    def max_score(self) -> float:
        """Return the score of the best."""
        return _number(self._said.get("max_score"))

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.total_rows()} documents in {self.took()}, "
            f"{self.error_partition_count()} of {self.total_partition_count()} parts failed>"
        )


class SearchMetaData:
    """What the service says beside the hits.

    Args:
        said: what it says, by its own names.
    """

    __slots__ = ("_said",)

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def errors(self) -> dict[str, str]:
        """Return what parts of the index say that have failed."""
        return partition_errors(self._said)

    def metrics(self) -> SearchMetrics:
        """Return what was measured."""
        return SearchMetrics(self._said)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.metrics()!r}>"


class OfSearches:
    """What the results of a search have beside hits, on either loop."""

    meta: Any

    @property
    def total_hits(self) -> int:
        """How many documents fit, whether or not they were given: see `limit`."""
        return _integer(self.meta.get("total_hits"))

    @property
    def took(self) -> int:
        """How many nanoseconds the service has searched."""
        return _integer(self.meta.get("took"))

    @property
    def max_score(self) -> float:
        """The score of the best."""
        return _number(self.meta.get("max_score"))

    @property
    def facets(self) -> dict[str, Any]:
        """What was counted, by the facets' names, as the service has it."""
        found = self.meta.get("facets")
        return found if isinstance(found, dict) else {}

    def metadata(self) -> SearchMetaData:
        """Return what the service says beside the hits, as an object (SDK 4)."""
        return SearchMetaData(self.meta)


def partition_errors(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what parts of the index say that have failed, by their names."""
    found = _status(said).get("errors")
    if not isinstance(found, dict):
        return {}
    return {str(part): str(text) for part, text in found.items()}


def _status(said: Mapping[str, Any]) -> dict[str, Any]:
    # Very old services say "ok".
    found = said.get("status")
    return found if isinstance(found, dict) else {}


def _integer(found: object) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _number(found: object) -> float:
    return found if isinstance(found, int | float) and not isinstance(found, bool) else 0.0
