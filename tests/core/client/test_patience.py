"""What is due has the loop read first, if that stood still."""

from __future__ import annotations

from couchloop.client.patience import Patience
from couchloop.session.standstill import LATE, LEAST_TURNS


def test_in_time() -> None:
    """What comes when it is due, or hardly later, waits for nothing."""
    patience = Patience(10.0)
    assert not patience.reads_first(10.0)
    assert not patience.reads_first(10.0 + LATE / 2)


def test_late() -> None:
    """What comes late waits for as many turns as sockets need to come first, and no more."""
    patience = Patience(10.0)
    turns = [patience.reads_first(12.0) for _ in range(LEAST_TURNS + 2)]
    assert turns == [True] * LEAST_TURNS + [False] * 2
