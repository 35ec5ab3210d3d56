"""What waits to be sent: how much of it there may be, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from couchloop.exceptions import CouchbaseError, own_copy
from couchloop.session.events import Load
from couchloop.session.shared import Shared
from couchloop.session.unanswered import not_ready
from couchloop.wire.keys import UNNUMBERED

if TYPE_CHECKING:
    from couchloop.hot.operation import Operation
    from couchloop.hot.request import Request
    from couchloop.session.route_table import Endpoint


class Queued(NamedTuple):
    """What waits to be sent."""

    operations: int
    bytes: int
    """Of their keys and values."""


class Parking:
    """What waits to be sent, for whatever reason; each in the queue of what it waits for.

    Args:
        shared: with all parts of the session.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.operations = 0
        """How many wait."""
        self.bytes = 0
        """Bytes of their keys and values."""
        self.is_loaded = False
        """Whether producers should pause: half of what may wait does, and not yet less than a
        quarter again."""
        self.until_open: dict[Operation[Any], None] = {}
        """What waits for the bucket to be open."""

    def park(self, op: Request, queue: dict[Any, None]) -> None:
        """Let *op* wait in *queue*."""
        if op.prefix:
            # Its collection may be another by then, and others wait for the number of that.
            op.prefix = UNNUMBERED
        op.parked = queue
        queue[op] = None
        self.operations += 1
        self.bytes += len(op.raw) + len(op.value)
        if not self.is_loaded and self._is_beyond(2):
            self.is_loaded = True
            self._shared.events.append(Load(is_high=True))

    def unpark(self, op: Request) -> None:
        """Let *op* wait no more, if it does."""
        if op.parked is None:
            return
        op.parked.pop(op, None)
        op.parked = None
        self.operations -= 1
        self.bytes -= len(op.raw) + len(op.value)
        if self.is_loaded and not self._is_beyond(4):
            self.is_loaded = False
            self._shared.events.append(Load(is_high=False))

    def _is_beyond(self, part: int) -> bool:
        """Whether one part in *part* of what may wait does."""
        settings = self._shared.settings
        return (
            self.operations * part >= settings.max_queued_operations
            or self.bytes * part >= settings.max_queued_bytes
        )

    @property
    def is_full(self) -> bool:
        """Whether an operation that would have to wait is refused."""
        return self._shared.settings.when_overloaded == "fail" and self._is_beyond(1)

    # Why it waits

    def obstruction(self, endpoint: Endpoint | None) -> tuple[str, BaseException | None]:
        """Return what an operation waits for, and what the connection met last; a copy of that.

        *endpoint* is the node that it is for, if the bucket is open and there is one.
        """
        shared = self._shared
        cause: BaseException | None = None
        if endpoint is not None:
            what = "the node was not connected"
            if endpoint.is_open_circuit:
                what = "the circuit breaker of the node was open"
            elif endpoint.is_slow:
                what = "the node, or the network, did not take the data as fast as it was issued"
            elif endpoint.ready is not None:
                what = "no newer configuration came (wait_for_config)"
            elif endpoint.last_error is None and endpoint.connection is not None:
                # The first try still runs.
                return what, not_ready(endpoint.connection)
            cause = endpoint.last_error
        elif shared.is_open:
            what = "the configuration names no node for the key"
        else:
            what = "the bucket was not open"
            cause = shared.obstacle()
        return what, own_copy(cause) if isinstance(cause, CouchbaseError) else cause

    def awaited_node(self, endpoint: Endpoint | None) -> str | None:
        """Return the node that an operation waits for; while opening, the seed that is tried."""
        if endpoint is not None:
            return str(endpoint.address)
        seed = self._shared.searching
        return None if self._shared.is_open or seed is None else str(seed.address)
