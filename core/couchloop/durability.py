"""How durable a change must be before its operation succeeds: what `durability=` takes.

Of two kinds. The server's own (`DurabilityLevel`): a write is prepared on the copies first, and is
seen by nobody before a majority has it; so it is either there for good, or never was. And the
client's (`ClientDurability`, SDK 2.5's `persist_to` and `replicate_to`): the write is done at once,
then its copies are asked until enough of them have it; a failover meanwhile may lose it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import InvalidDurabilityError, TooFewReplicasError

MOST_REPLICAS: Final = 3
"""Of a bucket."""


class DurabilityLevel(IntEnum):
    """What the server guarantees of a write before it answers (SDK 3 and later)."""

    NONE = 0
    """The active copy has it in memory."""
    MAJORITY = 1
    """A majority of the copies has it in memory: a failover loses nothing, a mere restart may."""
    MAJORITY_AND_PERSIST_TO_ACTIVE = 2
    """Likewise, and the active copy on its disk."""
    PERSIST_TO_MAJORITY = 3
    """A majority has it on disk, the active copy among them."""


Durability = DurabilityLevel
"""The name that SDK 3 and later use most."""


class PersistTo(IntEnum):
    """On how many disks a change must be, the active copy's among them."""

    NONE = 0
    ACTIVE = 1
    ONE = 1
    TWO = 2
    THREE = 3
    FOUR = 4


class ReplicateTo(IntEnum):
    """How many replicas must have a change in memory."""

    NONE = 0
    ONE = 1
    TWO = 2
    THREE = 3


class ServerDurability(NamedTuple):
    """A level, as SDK 3 and later give it."""

    level: DurabilityLevel


class ClientDurability(NamedTuple):
    """How many copies are asked for; -1: as many as there are."""

    replicate_to: ReplicateTo | int = 0
    persist_to: PersistTo | int = 0


DurabilityType = DurabilityLevel | ServerDurability | ClientDurability
"""What `durability=` takes."""


class Need(NamedTuple):
    """How many copies must have a change: checked, and of the built-in types."""

    persist: int
    """Disks, the active copy's among them; -1: all there are."""
    replicate: int
    """Replicas that have it in memory; -1: all there are."""
    timeout: float | None = None
    """Seconds in which that must be so, from when it is stored; None: as the Bucket says."""

    def among(self, replicas: int, key: object) -> Need:
        """Return what that means where there are so many replicas.

        Raises TooFewReplicasError if there are not enough.
        """
        persist = replicas + 1 if self.persist < 0 else self.persist
        replicate = replicas if self.replicate < 0 else self.replicate
        if persist > replicas + 1 or replicate > replicas:
            text = (
                "the change was not made: its document has fewer copies at present than "
                "persist_to and replicate_to ask for"
            )
            raise TooFewReplicasError(text, key=key, objextra=(self, replicas))  # type: ignore[arg-type]
        return Need(persist, replicate, self.timeout)


NO_NEED: Final = Need(0, 0)


def need_of(
    persist_to: object, replicate_to: object, key: object = None, timeout: float | None = None
) -> Need:
    """Return what SDK 2.5's arguments mean.

    Raises InvalidDurabilityError for what is no number, or negative and not -1,
    TooFewReplicasError for one that no bucket can have (both are ArgumentErrors).
    """
    persist, replicate = exact_integer(persist_to), exact_integer(replicate_to)
    if persist is None or replicate is None:
        text = "persist_to and replicate_to are whole numbers; -1: as many as there are"
        wrong = persist_to if persist is None else replicate_to
        raise InvalidDurabilityError(text, key=key, objextra=wrong)  # type: ignore[arg-type]
    if persist < -1 or replicate < -1:
        text = "persist_to and replicate_to are from 0 on; -1: as many as there are"
        wrong = persist if persist < -1 else replicate
        raise InvalidDurabilityError(text, key=key, objextra=wrong)  # type: ignore[arg-type]
    if persist > MOST_REPLICAS + 1 or replicate > MOST_REPLICAS:
        text = (
            f"no bucket has so many copies: persist_to is {MOST_REPLICAS + 1} at most, and "
            f"replicate_to {MOST_REPLICAS}"
        )
        raise TooFewReplicasError(text, key=key, objextra=(persist, replicate))  # type: ignore[arg-type]
    return Need(persist, replicate, timeout)


def meant(
    durability: object, persist_to: object, replicate_to: object, key: object = None
) -> DurabilityLevel | Need:
    """Return what the three arguments mean together; NO_NEED: nothing.

    Raises InvalidDurabilityError, TooFewReplicasError (ArgumentErrors).
    """
    if durability is None:
        return need_of(persist_to, replicate_to, key)
    if persist_to or replicate_to:
        text = "give durability, or persist_to and replicate_to, not both"
        raise InvalidDurabilityError(text, key=key)  # type: ignore[arg-type]
    if type(durability) is Need:
        return durability
    if isinstance(durability, ServerDurability):
        durability = durability.level
    if isinstance(durability, DurabilityLevel):
        return durability
    if isinstance(durability, ClientDurability):
        return need_of(durability.persist_to, durability.replicate_to, key)
    text = (
        "durability is a DurabilityLevel, as Durability.MAJORITY, a ServerDurability or a "
        "ClientDurability (couchloop.durability)"
    )
    raise InvalidDurabilityError(text, key=key, objextra=durability)  # type: ignore[arg-type]


__all__ = [
    "ClientDurability",
    "Durability",
    "DurabilityLevel",
    "DurabilityType",
    "PersistTo",
    "ReplicateTo",
    "ServerDurability",
]
