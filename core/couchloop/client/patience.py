"""How long a connection waits for its peer where the session has no part in that any more."""

from __future__ import annotations

from typing import Final

from couchloop.session.standstill import LATE, LEAST_TURNS

GRACE: Final = 2.0
"""Seconds that a peer has to take what is still to be sent once a connection is closing."""


class Patience:
    """Whether what is due has the loop read first, which may have stood still.

    Whoever waits for bytes so long must not give up before those are read that came meanwhile.

    Args:
        due: when it is due, by the loop's time in seconds.
        turns: of the loop, which may be for reading.
    """

    __slots__ = ("_due", "_turns")

    def __init__(self, due: float, turns: int = LEAST_TURNS) -> None:
        self._due = due
        self._turns = turns

    def reads_first(self, now: float) -> bool:
        """Whether it has to wait for one more turn of the loop."""
        if self._turns and now - self._due > LATE:
            self._turns -= 1
            return True
        return False
