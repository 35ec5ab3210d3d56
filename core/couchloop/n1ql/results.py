"""What is known of a query beside its rows, by the names of SDK 4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

_PART: Final = r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)"
_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # the sign micro
    "μs": 1e-6,  # the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def duration(said: object) -> timedelta | None:
    """Return a time as the service writes it (`1m2.5s`, `837.425µs`); None: it is none."""
    if not isinstance(said, str) or not re.fullmatch(f"(?:{_PART})+", said, re.ASCII):
        return None
    try:
        return timedelta(
            seconds=sum(float(n) * _UNITS[unit] for n, unit in re.findall(_PART, said))
        )
    except OverflowError:
        return None


class QueryWarning:
    """What a query warns of.

    Args:
        said: what the service says.
    """

    def __init__(self, said: Any) -> None:
        self._said: Mapping[str, Any] = said if isinstance(said, Mapping) else {"msg": str(said)}

    def code(self) -> int:
        """Return its number; 0: it has none."""
        found = self._said.get("code")
        return found if isinstance(found, int) else 0

    def message(self) -> str:
        """Return the service's words."""
        return str(self._said.get("msg", ""))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.code()}: {self.message()}>"


class QueryMetrics:
    """What the service has measured. What it does not tell is 0.

    Args:
        said: what it says.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def _time(self, name: str) -> timedelta:
        return duration(self._said.get(name)) or timedelta()

    def _count(self, name: str) -> int:
        found = self._said.get(name)
        return found if isinstance(found, int) else 0

    def elapsed_time(self) -> timedelta:
        """Return how long it was there."""
        return self._time("elapsedTime")

    def execution_time(self) -> timedelta:
        """Return how long it ran."""
        return self._time("executionTime")

    def sort_count(self) -> int:
        """Return how many rows were sorted."""
        return self._count("sortCount")

    def result_count(self) -> int:
        """Return how many rows there are."""
        return self._count("resultCount")

    def result_size(self) -> int:
        """Return how many bytes they have."""
        return self._count("resultSize")

    def mutation_count(self) -> int:
        """Return how many documents were changed."""
        return self._count("mutationCount")

    def error_count(self) -> int:
        """Return how many errors there are."""
        return self._count("errorCount")

    def warning_count(self) -> int:
        """Return how many warnings there are."""
        return self._count("warningCount")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {dict(self._said)!r}>"


class QueryMetaData:
    """What the service says beside the rows.

    Args:
        said: what it says, by its own names.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def request_id(self) -> str:
        """Return the number that the service has for the request."""
        return str(self._said.get("requestID", ""))

    def client_context_id(self) -> str:
        """Return the number that the request had."""
        return str(self._said.get("clientContextID", ""))

    def status(self) -> str:
        """Return how it ended: `success`, `errors`, `fatal`, `timeout` and others."""
        return str(self._said.get("status", "unknown"))

    def signature(self) -> Any:
        """Return what the rows are, as the service has it; None: it does not say."""
        return self._said.get("signature")

    def warnings(self) -> list[QueryWarning]:
        """Return what it warns of."""
        found = self._said.get("warnings")
        return [QueryWarning(each) for each in found] if isinstance(found, list) else []

    def errors(self) -> list[Any]:
        """Return what has failed, as the service has it."""
        found = self._said.get("errors")
        return found if isinstance(found, list) else []

    def metrics(self) -> QueryMetrics | None:
        """Return what was measured; None: that was not asked for."""
        found = self._said.get("metrics")
        return QueryMetrics(found) if isinstance(found, Mapping) else None

    def profile(self) -> Any:
        """Return what it tells of its own work; None: that was not asked for."""
        return self._said.get("profile")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request_id()!r}: {self.status()}>"


class OfQueries:
    """What the results of a query have beside rows, on either loop."""

    if TYPE_CHECKING:

        @property
        def meta(self) -> dict[str, Any]:
            """What stands beside the rows."""

    def metadata(self) -> QueryMetaData:
        """Return what the service says beside the rows, as an object (SDK 4)."""
        return QueryMetaData(self.meta)

    @property
    def warnings(self) -> list[QueryWarning]:
        """What the service warns of."""
        return self.metadata().warnings()
