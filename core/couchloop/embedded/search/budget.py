"""How much a search may do: a loop does nothing else meanwhile."""

from __future__ import annotations

import math
from typing import Final

from couchloop.embedded.clock import Clock
from couchloop.embedded.search.errors import SearchError

_LATE: Final = "context deadline exceeded"


class Budget:
    """What a search may still do.

    Args:
        clock: the cluster's; None: time does not matter.
        seconds: after which the search fails; 0: never.
        steps: after which it fails likewise; 0: never.
    """

    def __init__(self, clock: Clock | None = None, seconds: float = 0.0, steps: int = 0) -> None:
        self._now = clock.now if clock is not None else float
        self._deadline = self._now() + seconds if seconds > 0 else math.inf
        self._left = steps or None

    def spend(self, steps: int) -> None:
        """Take steps: documents or terms that are looked at. Raises SearchError.

        The text is that of a server whose time is over; it says so for each partition.
        """
        if self._left is not None:
            self._left = max(0, self._left - steps)
            if not self._left:
                raise SearchError(_LATE)
        if self._now() >= self._deadline:
            raise SearchError(_LATE)
