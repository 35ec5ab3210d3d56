"""What `durability=`, `persist_to` and `replicate_to` take, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.durability import (
    NO_NEED,
    ClientDurability,
    Durability,
    DurabilityLevel,
    Need,
    PersistTo,
    ReplicateTo,
    ServerDurability,
    meant,
    need_of,
)
from couchloop.exceptions import (
    ArgumentError,
    DurabilityImpossibleError,
    InvalidDurabilityError,
    TooFewReplicasError,
)


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        ((None, 0, 0), NO_NEED),
        ((Durability.MAJORITY, 0, 0), DurabilityLevel.MAJORITY),
        ((Durability.NONE, 0, 0), DurabilityLevel.NONE),
        ((ServerDurability(Durability.PERSIST_TO_MAJORITY), 0, 0), Durability.PERSIST_TO_MAJORITY),
        ((ClientDurability(ReplicateTo.TWO, PersistTo.ONE), 0, 0), Need(1, 2)),
        ((ClientDurability(persist_to=PersistTo.ACTIVE), 0, 0), Need(1, 0)),
        ((None, 4, 3), Need(4, 3)),
        ((None, -1, 0), Need(-1, 0)),
        ((None, -1, -1), Need(-1, -1)),
        ((Need(2, 1, 3.0), 0, 0), Need(2, 1, 3.0)),
    ],
)
def test_meanings(given: tuple[Any, int, int], meaning: object) -> None:
    """Names of SDK 2.5 and of newer ones mean the same things."""
    assert meant(*given) == meaning


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((1, 0, 0), InvalidDurabilityError),
        (("majority", 0, 0), InvalidDurabilityError),
        ((True, 0, 0), InvalidDurabilityError),
        ((ServerDurability(2), 0, 0), InvalidDurabilityError),  # type: ignore[arg-type]
        ((Durability, 0, 0), InvalidDurabilityError),
        ((Durability.MAJORITY, 1, 0), InvalidDurabilityError),
        ((Durability.NONE, 0, -1), InvalidDurabilityError),
        ((None, "1", 0), InvalidDurabilityError),
        ((None, 1.0, 0), InvalidDurabilityError),
        ((None, True, 0), InvalidDurabilityError),
        ((None, None, 0), InvalidDurabilityError),
        ((None, float("nan"), 0), InvalidDurabilityError),
        ((None, -2, 0), InvalidDurabilityError),
        ((None, 0, -2), InvalidDurabilityError),
        ((ClientDurability(-7), 0, 0), InvalidDurabilityError),
        ((None, 5, 0), TooFewReplicasError),
        ((None, 0, 4), TooFewReplicasError),
        ((ClientDurability(4), 0, 0), TooFewReplicasError),
        ((ClientDurability("x"), 0, 0), InvalidDurabilityError),  # type: ignore[arg-type]
    ],
)
def test_refused(given: tuple[Any, Any, Any], kind: type[ArgumentError]) -> None:
    """What means nothing, or what no bucket can do, is an ArgumentError with the key."""
    with pytest.raises(kind) as caught:
        meant(*given, "k")
    assert isinstance(caught.value, ArgumentError)
    assert caught.value.key == "k"


def test_among() -> None:
    """-1 is as many as there are, and more than there are is impossible, as newer SDKs call it."""
    assert Need(-1, -1).among(2, "k") == Need(3, 2)
    assert Need(-1, -1, 2.0).among(0, "k") == Need(1, 0, 2.0)
    assert need_of(3, 2).among(2, "k") == Need(3, 2)
    for need in (Need(4, 0), Need(0, 3)):
        with pytest.raises(DurabilityImpossibleError) as caught:
            need.among(2, "k")
        assert (caught.value.rc, caught.value.key) == (0x21, "k")
