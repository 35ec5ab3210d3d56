"""What a transport could not send yet, and when that is so much that its session must know.

One mark alone would make a connection that is just busy stop and go: it is paused above the high
one, and used again below the low one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

HIGH: Final = 1 << 20
"""More bytes than this are too many: about what a gigabit network takes in 10 ms."""
LOW: Final = 1 << 18
"""Fewer than this leave the network little to do before more comes."""


class Backlog:
    """Bytes to be sent, in the pieces in which they were written."""

    __slots__ = ("_is_high", "_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[bytes | memoryview] = deque()
        self._is_high = False
        self.size = 0
        """Bytes that wait."""

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def first(self) -> bytes | memoryview:
        """The first piece."""
        return self._pieces[0]

    def add(self, data: bytes | memoryview) -> bool:
        """Put *data* behind the rest; tell whether the backlog has become too large by that."""
        self._pieces.append(data)
        self.size += len(data)
        if self._is_high or self.size <= HIGH:
            return False
        self._is_high = True
        return True

    def sent(self, count: int) -> bool:
        """Forget *count* bytes of the first piece; return whether the backlog is small again."""
        piece = self._pieces[0]
        if count < len(piece):
            self._pieces[0] = memoryview(piece)[count:]
        else:
            self._pieces.popleft()
        self.size -= count
        if not self._is_high or self.size >= LOW:
            return False
        self._is_high = False
        return True

    def clear(self) -> None:
        """Forget all of it."""
        self._pieces.clear()
        self.size = 0
