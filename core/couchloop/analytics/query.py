"""AnalyticsQuery: a statement for the analytics service, and how it is to be run (SDK 2.5)."""

from __future__ import annotations

from typing import Any, Final, Self

from couchloop.analytics import options
from couchloop.exceptions import FeatureNotAvailableError
from couchloop.n1ql.query import N1QLQuery

_CONSISTENCY: Final = "scan_consistency"
_OPTIONS: Final = frozenset(
    {"client_context_id", "consistency", "interval", "metrics", "priority", "readonly", "timeout"}
)
"""What `update` takes for an option, not for the value of a parameter."""

INTERVAL: Final = 10.0
"""Seconds between two questions whether a deferred query is ready (SDK 2.5)."""


class AnalyticsQuery(N1QLQuery):
    """A statement, the values of its parameters, and how it is to be run.

    It may be used for several requests.

    Args:
        statement: in SQL++.
        args: values for `$1`, `$2` and so on, or for each `?`.
        kwargs: options by the names of attributes, and values for `$name`.

    Raises InvalidSettingError (a TypeError) for a statement that is no str.
    """

    def __init__(self, statement: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(statement)
        self._priority = False
        self.update(*args, **kwargs)

    def update(self, *args: Any, **kwargs: Any) -> Self:
        """Add values of parameters, and set options; return the query.

        Args:
            args: further values of positional parameters.
            kwargs: as the constructor has them.
        """
        if args:
            self._add_args(*args)
        for name, value in kwargs.items():
            if name in _OPTIONS and hasattr(type(self), name):
                setattr(self, name, value)
            else:
                self._set_named_args(**{name: value})
        return self

    @property
    def priority(self) -> bool:
        """Whether it goes before others; False unless set."""
        return self._priority

    @priority.setter
    def priority(self, value: bool) -> None:
        self._priority = options.priority(value)

    @property
    def consistency(self) -> str:
        """NOT_BOUNDED or REQUEST_PLUS; `none`: it is not said."""
        found: str = self._body.get(_CONSISTENCY, "none")
        return found

    @consistency.setter
    def consistency(self, value: str) -> None:
        if value == "none":
            self._body.pop(_CONSISTENCY, None)
        else:
            self._body[_CONSISTENCY] = options.consistency(value, "consistency")

    def consistent_with(self, state: Any) -> None:
        """Raise FeatureNotAvailableError: the service can wait for all changes, not for some."""
        del state
        raise FeatureNotAvailableError(
            "analytics queries cannot wait for certain changes: set consistency to REQUEST_PLUS"
        )


class DeferredAnalyticsQuery(AnalyticsQuery):
    """One whose rows are fetched later: the service is asked now and then whether it is ready.

    Args:
        statement: in SQL++.
        args: values for `$1`, `$2` and so on.
        kwargs: as `AnalyticsQuery` has them; `timeout`: seconds until it is given up, and
            `interval`: between two questions.
    """

    def __init__(self, statement: str, *args: Any, **kwargs: Any) -> None:
        self._interval = INTERVAL
        super().__init__(statement, *args, **kwargs)

    @property
    def interval(self) -> float:
        """Seconds between two questions whether it is ready.

        Raises InvalidTimeoutError (a ValueError) when set to what is no positive number.
        """
        return self._interval

    @interval.setter
    def interval(self, value: float) -> None:
        self._interval = options.seconds(value, "interval")
