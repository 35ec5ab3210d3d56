"""What was learned for later requests: of more than there is room for the oldest goes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A table of bounded size that forgets what was not used for the longest time.

    Args:
        room: how many there are at most.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._known: dict[K, V] = {}

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
        known.pop(key, None)
        known[key] = value
        if len(known) > self._room:
            del known[next(iter(known))]

    def forget(self, key: K, value: V) -> None:
        """Forget *value*, unless something else is known by now."""
        if self._known.get(key) is value:
            del self._known[key]

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


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
        self.prepared: Recent[Hashable, Any] = Recent(room)
        """Prepared statements, by what they are."""

    def new_id(self) -> str:
        """Return an id that no other request has, in the form of a UUID."""
        text = f"{self._random.getrandbits(128):032x}"
        return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
