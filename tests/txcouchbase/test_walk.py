"""The walk of one `get` that docs/architecture.md tells is the way that a `get` takes."""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import couchloop
from tests.project.test_architecture import table
from txcouchbase.bucket import Bucket
from txcouchbase.testing import MemoryCluster

MOST_ROOMS: Final = 7

_STEP: Final = re.compile(r"(\d+) `(\w+)\.(\w+)`")


def told() -> list[tuple[str, str, str]]:
    """Return room, module and function of each step of the page, in the order of its numbers."""
    steps = {}
    for room, *cells in table("| room | out | back |"):
        for number, module, function in _STEP.findall(" ".join(cells)):
            steps[int(number)] = room.strip("`"), module, function
    assert sorted(steps) == list(range(1, len(steps) + 1)), "a number is missing, or there twice"
    return [steps[number] for number in sorted(steps)]


class WalkTests(SynchronousTestCase):
    """A `get` on a cluster in memory, each call of which is written down."""

    if couchloop.__speedups__ is not None:
        skip = "compiled functions are not seen: the pure twin takes the same way"

    def setUp(self) -> None:
        memory = MemoryCluster()
        self.reactor = memory.reactor
        self.bucket = Bucket(
            memory.connection_string + "/default",
            username="user",
            password="password",
            reactor=memory.reactor,
            endpoint_factory=memory.endpoint_factory,
        )
        stored = self.bucket.upsert("key", "value")
        memory.reactor.advance(0)
        self.successResultOf(stored)

    def followed(self) -> list[tuple[str, str, str]]:
        """Return room, module and function of each call that a `get` makes."""
        calls = []

        def note(frame: FrameType, event: str, _: object) -> None:
            names = frame.f_globals.get("__name__", "").split(".")
            if event == "call" and names[0] in {"couchloop", "txcouchbase"}:
                room = names[1] if names[0] == "couchloop" else names[0]
                calls.append((room, names[-1], frame.f_code.co_name))

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            got = self.bucket.get("key")
            self.reactor.advance(0)
        finally:
            sys.setprofile(before)
        assert self.successResultOf(got).value == "value"
        return calls

    def test_the_walk(self) -> None:
        """A `get` makes the calls of the page in the order of their numbers."""
        calls = iter(self.followed())
        for step in told():
            assert step in calls, f"a get does not come by {'.'.join(step)} here"

    def test_the_rooms(self) -> None:
        """The page reads each room once, and at most seven of them."""
        rooms = [room for room, *_ in table("| room | out | back |")]
        assert len(rooms) == len(set(rooms))
        assert len(rooms) <= MOST_ROOMS
        # Each has its part on the way out and on the way back.
        for _, *cells in table("| room | out | back |"):
            assert all(map(_STEP.search, cells))
