"""What a statement runs in: its arguments, the time, chance, warnings, and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from couchloop.embedded.clock import Clock
from couchloop.embedded.generator import Generator
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError
from couchloop.embedded.sqlpp.syntax import Parameter
from couchloop.embedded.sqlpp.values import Value

VERSION: Final = "7.6.8-0000-enterprise"
"""What VERSION() and the header of answers say."""

_TURNS: Final = 64
"""Rows between two looks at the clock."""
_MOST_WARNINGS: Final = 16


class Environment:
    """What one statement runs in; it is the `Context` of functions too.

    Args:
        clock: the cluster's.
        generator: the cluster's.
        named: arguments by name, without their sign.
        positional: arguments by position.
        timeout: seconds after which the statement fails; 0: never.
        timeout_text: how the request wrote them.
    """

    def __init__(
        self,
        clock: Clock,
        generator: Generator,
        *,
        named: Mapping[str, Value] | None = None,
        positional: Sequence[Value] = (),
        timeout: float = 0.0,
        timeout_text: str = "",
    ) -> None:
        self._clock = clock
        self._generator = generator
        self.named = dict(named or {})
        self.positional = list(positional)
        self.now = clock.wall()
        """Seconds since the epoch at which the statement began."""
        self.version = VERSION
        self.warnings: list[dict[str, Any]] = []
        self.errors: list[QueryError] = []
        """Of rows: the statement goes on."""
        self.sorted = 0
        """Rows that an ORDER BY has sorted."""
        self.mutations = 0
        self.fetched = 0
        """Documents that were read."""
        self._deadline = clock.now() + timeout if timeout > 0 else None
        self._timeout_text = timeout_text
        self._turn = 0

    def clock(self) -> float:
        """Return the seconds since the epoch now."""
        return self._clock.wall()

    def randbytes(self, count: int) -> bytes:
        """Return bytes that look random."""
        return self._generator.randbytes(count)

    def warn(self, code: int, text: str) -> None:
        """Add a warning to the answer; after some, equal or not, no more are kept."""
        warning = {"code": code, "msg": text}
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(warning)

    def tick(self) -> None:
        """Do what each row costs: now and then, a look at the clock. Raises QueryError (1080)."""
        self._turn += 1
        if self._turn % _TURNS == 0 and self._deadline is not None:
            self.check_time()

    def check_time(self) -> None:
        """Raise QueryError (1080) if the time is over."""
        if self._deadline is not None and self._clock.now() >= self._deadline:
            raise QueryError(
                1080,
                f"Timeout {self._timeout_text} exceeded",
                running=True,
                members={"retry": True},
            )

    def argument(self, parameter: Parameter) -> Value:
        """Return what a parameter stands for. Raises FunctionError if nothing was given."""
        key = parameter.key
        if isinstance(key, int):
            if key <= len(self.positional):
                return self.positional[key - 1]
            what = f"positional parameter ${key}"
        else:
            if key in self.named:
                return self.named[key]
            what = f"named parameter ${key}"
        line, column = parameter.place
        text = f"No value for {what} (near line {line}, column {column})."
        raise FunctionError(text, line=line, column=column)
