"""Calling a function of SQL++ without a statement around it."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.generator import Generator
from couchloop.embedded.sqlpp.functions import FUNCTIONS
from couchloop.embedded.sqlpp.values import Value


class Surroundings:
    """What a function may ask: a time that stands, and chance that repeats."""

    now: Final = 1_700_000_000.25
    version: Final = "7.6.8-0000-enterprise"
    user: Final = "ann"
    node: Final = "127.0.0.1:8091"

    def __init__(self) -> None:
        self.warnings: list[tuple[int, str]] = []
        self._generator = Generator(1)

    def clock(self) -> float:
        return 1_700_000_001.5

    def randbytes(self, count: int) -> bytes:
        return self._generator.randbytes(count)

    def warn(self, code: int, text: str) -> None:
        self.warnings.append((code, text))

    def spend(self, steps: int) -> None:
        assert steps >= 0

    def weigh(self, value: Value) -> Value:
        return value


def call(name: str, *arguments: Value) -> Value:
    """Return what a function makes of arguments."""
    return FUNCTIONS[name].call(arguments, Surroundings())
