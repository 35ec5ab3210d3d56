"""What was learned for later requests: of more than there is room for the oldest goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LONGEST: Final = 16 * 1024 * 1024
"""Characters of all prepared statements that are kept, with their plans."""


class Recent(Generic[K, V]):
    """A table of bounded size that forgets what was not used for the longest time.

    Args:
        room: how many there are at most.
        most: how much they weigh together at most; what weighs more by itself is not kept.
        weight: of one of them.
    """

    def __init__(self, room: int, most: int, weight: Callable[[K, V], int]) -> None:
        self._room = room
        self._most = most
        self._weight = weight
        self._known: dict[K, V] = {}
        self._weighs = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: K) -> V | None:
        """Return what is known, which counts as used with that; None: nothing is."""
        known = self._known
        value = known.pop(key, None)
        if value is not None:
            known[key] = value
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep *value*."""
        known = self._known
        self._drop(key)
        weight = self._weight(key, value)
        if weight > self._most:
            return
        known[key] = value
        self._weighs += weight
        while len(known) > self._room or self._weighs > self._most:
            self._drop(next(iter(known)))

    def forget(self, key: K, value: V) -> None:
        """Forget *value*, unless something else is known by now."""
        if self._known.get(key) is value:
            self._drop(key)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._weighs = 0

    def _drop(self, key: K) -> None:
        value = self._known.pop(key, None)
        if value is not None:
            self._weighs -= self._weight(key, value)


class Bits(Protocol):
    """A source of chance, as far as it is needed here."""

    def getrandbits(self, k: int, /) -> int:
        """Return a number of *k* bits."""


class Memory:
    """What a session has learned of its cluster for later requests, and numbers for new ones.

    Args:
        random: source of these.
        room: for so many prepared statements.
    """

    def __init__(self, random: Bits, room: int) -> None:
        self._random = random
        self.prepared: Recent[tuple[Any, ...], Any] = Recent(room, LONGEST, _characters)
        """Prepared statements, by what they are: tuples, of text mostly, as their values are."""

    def new_id(self) -> str:
        """Return an id that no other request has, in the form of a UUID."""
        text = f"{self._random.getrandbits(128):032x}"
        return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def _characters(key: Iterable[Any], value: Iterable[Any]) -> int:
    """Return how much text there is in both."""
    return sum(len(each) for each in (*key, *value) if isinstance(each, str))
