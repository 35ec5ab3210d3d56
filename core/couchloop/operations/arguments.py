"""What the arguments of operations mean, where a builder's docstring does not say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from couchloop.hot.operation import Defaults
from couchloop.retries import BestEffort, RetryStrategy, check_strategy

ARGUMENTS: Final = {
    "key": "the document's key, 1 to 250 bytes as UTF-8.",
    "value": "what to store.",
    "cas": "if not 0, do it only if the document still has this CAS.",
    "ttl": (
        "when the document expires: whole seconds from now, a timedelta, or a datetime with a time "
        "zone; 0: never. Above 30 days a number counts from 1970."
    ),
    "expiry": "another name of *ttl*: give one.",
    "preserve_expiry": (
        "leave the expiry of a document that exists as it is; else a change without *ttl* removes "
        "it."
    ),
    "format": "FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.",
    "no_format": "give the value as bytes, whatever its format.",
    "transcoder": "an instance, or a class, for this value alone. None: the Bucket's.",
    "type": (
        "decode straight into a value of this type: a msgspec.Struct, a dataclass, a TypedDict, or "
        "made of such. A document that it does not fit, or that is no JSON, is a ValueFormatError."
    ),
    "quiet": (
        "give a result with `success` False and `value` None instead of raising NotFoundError. "
        "None: as the Bucket says."
    ),
    "persist_to": (
        "once it is stored wait until it is on so many disks, the active copy's among them; -1: on "
        "all. In 2.5's way; *durability* is the newer one."
    ),
    "replicate_to": "likewise until so many replicas have it in memory; -1: all.",
    "durability": (
        "how durable the change must be to succeed: a level, as Durability.MAJORITY, or a "
        "ClientDurability (couchloop.durability)."
    ),
    "timeout": (
        "seconds until there is a result, waiting and retrying included. None: as the Bucket says."
    ),
    "retry_strategy": "whether and when to try again. None: as the Bucket says.",
}
"""The generator of methods (`tools/methods.py`) adds these to docstrings."""

B = TypeVar("B", bound=Callable[..., object])
D = TypeVar("D", bound=Defaults)


def strategy_of_services(strategy: RetryStrategy | None) -> RetryStrategy | None:
    """Return the strategy that requests to services ask: the usual one need not be asked."""
    return None if strategy is None or strategy == BestEffort() else strategy


def asking_by(defaults: D, strategy: RetryStrategy | None) -> D:
    """Return *defaults* whose requests to services ask *strategy*; None: theirs, as they are.

    Raises ArgumentError for what is no strategy.
    """
    if strategy is None:
        return defaults
    asked = strategy_of_services(check_strategy(strategy))
    return replace(defaults, services=replace(defaults.services, strategy=asked))


def rarely(*names: str, usual: Callable[..., object] | None = None) -> Callable[[B], B]:
    """Note that a builder is seldom given these arguments, so that its method hands them on then.

    *usual* builds the same where none of them is given: it takes the others, by position.
    """

    def mark(build: B) -> B:
        build.rare = names  # type: ignore[attr-defined]
        build.usual = usual  # type: ignore[attr-defined]
        return build

    return mark
