"""What a diagnosis has found: steps with verdicts, and their form for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

FORMAT: Final = 1
"""Version of the JSON form: it grows when a member changes its meaning or goes."""


_LABELS: Final[Mapping[str, str]] = {
    "parse": "string",
    "srv": "DNS SRV",
    "addresses": "address",
    "tcp": "TCP",
    "tls": "TLS",
    "http": "HTTP",
    "hello": "HELLO",
    "noop": "NOOP",
}


class Verdict(StrEnum):
    """What a step has shown."""

    OK = "ok"
    WARNING = "warning"
    """A program can work, and somebody should have a look."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """There was nothing to look at, or what came before makes it pointless."""


class Part(StrEnum):
    """The parts of a diagnosis, in their order."""

    REQUEST = "request"
    """What was asked for: the connection string, its options, the credentials."""
    NAMES = "names"
    SEED = "seed"
    """One way in; there may be several."""
    OTHER_SEEDS = "other seeds"
    CLUSTER = "cluster"
    NODES = "nodes"
    SERVICES = "services"
    """What keeps no program from its documents."""


_WAYS_IN: Final = frozenset({Part.NAMES, Part.SEED, Part.OTHER_SEEDS})
"""What one seed lacks another may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at.

    Attributes:
        part: Where it belongs.
        name: What was done, one of a fixed set: packages, parse, options, environment,
            credentials, certificates, srv, addresses, tcp, tls, http, hello, authentication,
            bucket, configuration, seed, network, node, service.
        subject: What it was done to: a host, an address, an SRV name.
        verdict: What it has shown.
        seconds: How long it took; None: it did nothing that takes time.
        text: What was found, in a few words.
        notes: More of it, a line each.
        cause: Of a failure or warning: what is most likely behind it.
        cure: What to do about it.
        details: The same for machines; see docs/doctor.md.

    """

    part: Part
    name: str
    verdict: Verdict
    text: str
    subject: str = ""
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    cause: str = ""
    cure: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the step as JSON has it."""
        return {
            "part": str(self.part),
            "step": self.name,
            "subject": self.subject,
            "verdict": str(self.verdict),
            "seconds": None if self.seconds is None else round(self.seconds, 6),
            "text": self.text,
            "notes": list(self.notes),
            "cause": self.cause,
            "cure": self.cure,
            "details": dict(self.details),
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything that was found.

    Attributes:
        connection_string: What was examined, its secrets masked.
        loop: The event loop's name and version.
        version: couchloop's.
        hot_path: "compiled" or "pure": which twin of the hot path runs; empty: it is not told.
        steps: In the order in which they ended.
        seconds: How long it took.
        finished: Whether the diagnosis came to its end; False if it was interrupted.

    """

    connection_string: str
    loop: str
    version: str
    hot_path: str = ""
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False

    def failures(self) -> Iterator[Step]:
        """Return what keeps a program from working: another seed makes up for one that failed."""
        is_in = any(step.name == "configuration" and step.verdict is Verdict.OK for step in self)
        for step in self:
            is_made_up_for = step.part is Part.SERVICES or (is_in and step.part in _WAYS_IN)
            if step.verdict is Verdict.FAILED and not is_made_up_for:
                yield step

    def warnings(self) -> Iterator[Step]:
        """Return what somebody should look at although a program can work."""
        failures = list(self.failures())
        for step in self:
            if step.verdict is Verdict.WARNING or (
                step.verdict is Verdict.FAILED and step not in failures
            ):
                yield step

    @property
    def works(self) -> bool:
        """Whether a program could work."""
        reached = any(step.name == "node" and step.verdict is not Verdict.SKIPPED for step in self)
        return self.finished and reached and not any(self.failures())

    def as_json(self) -> dict[str, Any]:
        """Return the documented form for machines."""
        return {
            "format": FORMAT,
            "couchloop": self.version,
            "hot_path": self.hot_path,
            "loop": self.loop,
            "connection_string": self.connection_string,
            "works": self.works,
            "finished": self.finished,
            "seconds": round(self.seconds, 6),
            "steps": [step.as_json() for step in self],
        }

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], longest: int = 10) -> str:
    """Return names as a list, cut where it gets long."""
    shown = ", ".join(names[:longest])
    return f"{shown} and {len(names) - longest} more" if len(names) > longest else shown


def label(name: str) -> str:
    """Return a step's name as people read it."""
    return _LABELS.get(name, name)
