"""What a function of SQL++ is, and what it may ask of the statement that calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from couchloop.embedded.sqlpp.values import Value

Spend: TypeAlias = Callable[[int], None]
"""See `Context.spend`."""


class Context(Protocol):
    """What a function may ask: time and chance come from the cluster, never from the system."""

    @property
    def now(self) -> float:
        """Seconds since the epoch at which the statement began."""

    def clock(self) -> float:
        """Return the seconds since the epoch now."""

    def randbytes(self, count: int) -> bytes:
        """Return bytes that look random."""

    def spend(self, steps: int) -> None:
        """Take steps, a microsecond or some each. Raises QueryError if no more are left."""

    def weigh(self, value: Value) -> Value:
        """Return a value, for whose size steps are taken. Raises QueryError likewise."""

    def warn(self, code: int, text: str) -> None:
        """Add a warning to the answer."""

    @property
    def user(self) -> str:
        """Who asks."""

    @property
    def node(self) -> str:
        """What NODE_NAME() says."""

    @property
    def version(self) -> str:
        """What VERSION() says."""


class Function(NamedTuple):
    """A function; it is given values and raises `FunctionError` and nothing else.

    What MISSING and NULL among the arguments do is the function's own business.
    """

    name: str
    """In capital letters."""
    minimum: int
    """The least number of arguments."""
    maximum: int | None
    """The greatest; None: any."""
    call: Callable[[Sequence[Value], Context], Value]
    type: str = "json"
    """What the signature of an answer says it returns: `string`, `number`, `json`, …

    `argument`: the type of its first argument; `successor`: of what follows that."""
