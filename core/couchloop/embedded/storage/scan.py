"""A range scan of one vbucket: which documents it goes over, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from couchloop.embedded.storage.document import Document

LIFETIME: Final = 60.0
"""Seconds after which a scan is given up, so that those left behind do not stay for ever."""

_STATES: Final = 624
_WORD: Final = 0xFFFFFFFF

Item = tuple[bytes, Document]
"""Key and document."""


@dataclass(slots=True)
class Scan:
    """A range scan that clients go on with, piece by piece, over any connection."""

    collection_id: int
    items: Sequence[Item]
    """What it goes over: documents as they were when it began."""
    keys_only: bool
    ends: float
    """Monotonic seconds; whoever goes on after that is told that it is unknown."""
    position: int = 0
    running: bool = False
    """Whether a client waits for more of it."""
    cancelled: bool = False

    def rest(self) -> Iterator[Item]:
        """Go over what is left; the scan's position is behind each item that was taken."""
        while self.position < len(self.items):
            self.position += 1
            yield self.items[self.position - 1]

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.items)


def sample(items: Sequence[Item], samples: int, seed: int) -> list[Item]:
    """Choose about *samples* items, the same for the same *seed*: those a real server chooses.

    It takes each with the probability samples / items, by the generator MT19937.
    """
    if samples >= len(items):
        return list(items)
    numbers, wanted = _mersenne_twister(seed), samples / len(items)
    chosen = []
    for item in items:
        low, high = next(numbers), next(numbers)
        if (low + (high << 32)) / 2**64 < wanted:
            chosen.append(item)
    return chosen


def _mersenne_twister(seed: int) -> Iterator[int]:
    """Yield the numbers of 32 bits that MT19937 gives, as C++ seeds it."""
    state = [seed & _WORD]
    for index in range(1, _STATES):
        last = state[-1]
        state.append((1812433253 * (last ^ (last >> 30)) + index) & _WORD)
    while True:
        for index in range(_STATES):
            mixed = (state[index] & 0x80000000) | (state[(index + 1) % _STATES] & 0x7FFFFFFF)
            twist = 0x9908B0DF if mixed & 1 else 0
            state[index] = state[(index + 397) % _STATES] ^ (mixed >> 1) ^ twist
        for untempered in state:
            number = untempered ^ (untempered >> 11)
            number ^= (number << 7) & 0x9D2C5680
            number ^= (number << 15) & 0xEFC60000
            yield number ^ (number >> 18)
