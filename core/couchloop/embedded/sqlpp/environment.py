"""What a statement runs in: its arguments, the time, chance, warnings, and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from couchloop.embedded.clock import Clock
from couchloop.embedded.generator import Generator
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError
from couchloop.embedded.sqlpp.statements import Insert
from couchloop.embedded.sqlpp.syntax import Node, Parameter, walk
from couchloop.embedded.sqlpp.values import Value

VERSION: Final = "7.6.8-0000-enterprise"
"""What VERSION() and the header of answers say."""

STEPS: Final = 500_000
"""Steps that a statement may take where nothing else is said: a second or two."""
TURN: Final = 10_000
"""Steps after which it lets the loop go on with other things, as soon as it can."""
_PIECE: Final = 50_000
"""Steps that what cannot be done in pieces may take: a tenth of a second or two."""
PAUSE: Final[Any] = {}
"""Stands among rows, and is none: here the statement can wait. It is compared by `is`."""
_TURNS: Final = 64
"""Steps between two looks at the clock."""
_MOST_WARNINGS: Final = 16
_SHOWN: Final = 4
"""Steps that it takes to write a row of the answer."""
_KEPT: Final = 2
"""Steps that it takes to keep a row."""
_LONG_TEXT: Final = 256
"""Characters that are copied in the time of a step."""
_LONG_STATEMENT: Final = 1 << 9
"""Characters of a statement that are evaluated, for one row, in the time of a step."""
_VERY_LONG: Final = 1 << 11
"""Characters of one whose parts are counted."""
_PARTS: Final = 1 << 4
"""Parts of such a one that are evaluated, for one row, in the time of a step."""
_UNBOUNDED: Final = 1 << 62


class Environment:
    """What one statement runs in; it is the `Context` of functions too.

    Args:
        clock: the cluster's.
        generator: the cluster's.
        named: arguments by name, without their sign.
        positional: arguments by position.
        timeout: seconds after which the statement fails; 0: never.
        timeout_text: how the request wrote them.
        steps: after which the statement fails as if the time were over; 0: never.
        turn: steps after which it is to let the loop go on; 0: never.
        user: who asks.
        node: who is asked.
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
        steps: int = STEPS,
        turn: int = 0,
        user: str = "",
        node: str = "",
    ) -> None:
        self._clock = clock
        self._generator = generator
        self.named = dict(named or {})
        self.positional = list(positional)
        self.now = clock.wall()
        """Seconds since the epoch at which the statement began."""
        self.version = VERSION
        self.user = user
        self.node = node
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
        self._steps = steps or _UNBOUNDED
        self._left = self._steps
        self._looked = self._left
        """What was left at the last look at the clock."""
        self._row_cost = 1
        self._turn = turn
        self.due = False
        """Whether the loop should have its turn."""
        self.begin_turn()

    def begin_turn(self) -> None:
        """Take note that the loop has had its turn."""
        self.due = False
        self._turn_ends = self._left - self._turn if self._turn else -1
        self._ends = max(0, self._left - _PIECE) if self._turn else 0
        """What must be left before the loop has had its turn."""

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

    def read(self, statement: Node, text: str) -> None:
        """Take note of the statement: a long one takes longer for each row."""
        # But for documents that stand in it, each of which is a row.
        if not isinstance(statement, Insert) or not statement.pairs:
            self._row_cost = 1 + len(text) // _LONG_STATEMENT
            if len(text) >= _VERY_LONG:
                self._row_cost += sum(1 for _ in walk(statement)) // _PARTS

    def tick(self) -> None:
        """Do what each row costs. Raises QueryError (1080)."""
        self.spend(self._row_cost)

    def shown(self, row: Value) -> Value:
        """Return a row that the answer will have. Raises QueryError (1080)."""
        self.spend(_SHOWN)
        return self.weigh(row)

    def keep(self) -> None:
        """Do what each row costs that is kept until all are there. Raises QueryError (1080)."""
        self.spend(_KEPT)

    def spend(self, steps: int) -> None:
        """Take steps, a microsecond or some each; now and then, look at the clock.

        Raises QueryError (1080) if no more are left, or the time is over.
        """
        self._left -= steps
        if self._left < self._ends:
            raise QueryError(1080, self._exhausted(), running=True)
        if self._looked - self._left >= _TURNS:
            self._looked = self._left
            self.due = self._left <= self._turn_ends
            self.check_time()

    def weigh(self, value: Value) -> Value:
        """Return a value that is gone over, or made: large ones take steps. Raises QueryError."""
        kind = type(value)
        if kind is str:
            if len(value) >= _LONG_TEXT:
                self.spend(len(value) // _LONG_TEXT)
        elif kind is list or isinstance(value, dict):
            self.spend(weight(value, _HEAVY * self._left) // _HEAVY)
        return value

    def check_time(self) -> None:
        """Raise QueryError (1080) if the time is over."""
        if self._deadline is not None and self._clock.now() >= self._deadline:
            raise QueryError(
                1080,
                f"Timeout {self._timeout_text} exceeded",
                running=True,
                members={"retry": True},
            )

    def _exhausted(self) -> str:
        if self._left < 0:
            return (
                f"Timeout exceeded: the statement takes more than {self._steps} steps; "
                "cluster.queries.settings.steps says how many the embedded query service takes"
            )
        return (
            f"Timeout exceeded: a part of the statement takes more than {_PIECE} steps, and the "
            "embedded query service does nothing else meanwhile; with "
            "cluster.queries.settings.turn = 0 it may take all of settings.steps"
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


_HEAVY: Final = 4
"""Values within values that are gone over in the time of a step."""


def weight(value: Value, most: int) -> int:
    """Return how many values are in one, long texts for several; counts little beyond *most*.

    A value that stands twice in another counts twice: so it is written.
    """
    found, rest = 0, [value]
    while rest and found <= most:
        each = rest.pop()
        if type(each) is str:
            found += len(each) * _HEAVY // _LONG_TEXT
        elif type(each) is list:
            found += len(each)
            rest += each
        elif isinstance(each, dict):
            found += len(each)
            rest += each.values()
    return found
