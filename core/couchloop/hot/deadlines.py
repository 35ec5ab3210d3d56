"""Which requests are under way, and when the time of each is up.

Operations with equal timeouts run out of time in the order of their issue, so a dictionary for each
timeout keeps them, and what is complete is deleted in one step. That is so for the few timeouts
that a program has; where each call has one of its own, a heap keeps the rest.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from couchloop.hot.request import Request
from couchloop.hot.speedups import twin

_MOST_QUEUES: Final = 32
"""Timeouts that have a dictionary of their own."""
_SLACK: Final = 64
"""Entries of what is complete that a heap may have, beside as many as are under way."""

_deadline: Final = attrgetter("deadline")

Queue = dict[Request, None]
R = TypeVar("R", bound=Request)


def _begun(op: Request) -> float:
    """Return when *op* was issued."""
    return op.deadline - op.timeout


class _Rest(Queue):
    """Operations of any timeouts, in a heap by their deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[list[Any]] = []
        """Deadline, number, and the operation, or None once it is complete."""
        self._entries: dict[Request, list[Any]] = {}
        self._count = 0

    def __setitem__(self, op: Request, value: None) -> None:
        super().__setitem__(op, value)
        self._count += 1
        entry = [op.deadline, self._count, op]
        self._entries[op] = entry
        heapq.heappush(self._heap, entry)

    def __delitem__(self, op: Request) -> None:
        super().__delitem__(op)
        # Nothing is kept of what is complete but two numbers, and of those not many.
        self._entries.pop(op)[2] = None
        heap = self._heap
        if len(heap) > 2 * len(self) + _SLACK:
            heap[:] = [entry for entry in heap if entry[2] is not None]
            heapq.heapify(heap)

    def clear(self) -> None:
        super().clear()
        self._entries.clear()
        self._heap.clear()

    def due(self, now: float) -> list[Request]:
        """Return those whose time is up; they stay until they are deleted."""
        heap = self._heap
        found = []
        while heap and (heap[0][2] is None or heap[0][0] <= now):
            entry = heapq.heappop(heap)
            if entry[2] is not None:
                found.append(entry[2])
        return found

    def first(self) -> float:
        """Return the first deadline that is not over; infinity if there is none."""
        return self._heap[0][0] if self._heap else inf


class Alarm:
    """When a session wants to be woken.

    Attributes:
        wakeup: no later than whatever is due first; infinity: nothing is due.

    """

    __slots__ = ("wakeup",)

    def __init__(self) -> None:
        self.wakeup = inf


if not TYPE_CHECKING and twin is not None:
    Alarm = twin.Alarm


class Deadlines:
    """The operations that have neither answer nor error yet.

    Attributes:
        by_timeout: those of each timeout that is in use, oldest first; some may be empty.

    """

    __slots__ = ("_rest", "alarm", "by_timeout")

    def __init__(self, alarm: Alarm | None = None) -> None:
        self.alarm = Alarm() if alarm is None else alarm
        """Is set for each deadline."""
        self.by_timeout: dict[float, Queue] = {}
        self._rest = _Rest()

    def __len__(self) -> int:
        """Count the operations."""
        return len(self._rest) + sum(map(len, self.by_timeout.values()))

    def __iter__(self) -> Iterator[Request]:
        """Return each operation; they may be deleted meanwhile."""
        for queue in (*self.by_timeout.values(), self._rest):
            yield from list(queue)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._rest) or any(self.by_timeout.values())

    def any_of(self, kind: type[Request]) -> bool:
        """Return whether there is any of that *kind*."""
        queues = (*self.by_timeout.values(), self._rest)
        return any(isinstance(op, kind) for queue in queues for op in queue)

    def oldest(self, kind: type[R], count: int) -> list[R]:
        """Return those *count* of a *kind* that were issued first; few others are looked at."""
        found: list[R] = []
        for queue in (*self.by_timeout.values(), self._rest):
            found += islice((op for op in queue if isinstance(op, kind)), count)
        return heapq.nsmallest(count, found, key=_begun)

    def add(self, op: Request, now: float) -> None:
        """Have the time of *op* begin."""
        op.deadline = now + op.timeout
        op.queue = self.queue(op.timeout)
        op.queue[op] = None
        self.alarm.wakeup = min(self.alarm.wakeup, op.deadline)

    @staticmethod
    def remove(op: Request) -> None:
        """Have the time of *op* count no more."""
        if op.queue is not None:
            del op.queue[op]
            op.queue = None

    def queue(self, timeout: float) -> Queue:
        """Return where an operation with that timeout is to be kept.

        Its deadline is set before it is put there.
        """
        queues = self.by_timeout
        found = queues.get(timeout)
        if found is not None:
            return found
        if len(queues) >= _MOST_QUEUES:
            for empty in [each for each, queue in queues.items() if not queue]:
                del queues[empty]
            if len(queues) >= _MOST_QUEUES:
                return self._rest
        queue: Queue = {}
        queues[timeout] = queue
        return queue

    def take_due(self, now: float) -> tuple[list[Request], float]:
        """Return those whose time is up, in the order of their deadlines, and when the next is."""
        due = self._rest.due(now)
        following = self._rest.first()
        for queue in self.by_timeout.values():
            for op in queue:
                if op.deadline > now:
                    following = min(following, op.deadline)
                    break
                due.append(op)
        due.sort(key=_deadline)
        return due, following

    def clear(self) -> None:
        """Forget all of them."""
        self.by_timeout.clear()
        self._rest.clear()
