"""Recorded exchanges of HTTP services: load them, and keep the score of a replay.

A file has one exchange a line: what was sent, and what a server answered. `search_replay` and its
like send them again; here is what they share.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"

SAME = "same"
DIFFERENT = "different, for a reason"
NOT_YET = "not yet"
UNEXPECTED = "unexpected"
COLUMNS = (SAME, DIFFERENT, NOT_YET, UNEXPECTED)

Exchange = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of one exchange."""

    exchange: Exchange
    difference: str
    """Empty if all is as recorded."""

    @property
    def name(self) -> str:
        name: str = self.exchange["id"]
        return name


@dataclass(frozen=True)
class Rule:
    """Why some exchanges are not answered the same."""

    exchanges: frozenset[str]
    """Names: `10-mistakes/002`."""
    reason: str
    column: str = DIFFERENT


@dataclass
class Score:
    """The outcomes of one file, by column."""

    recording: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many there are, by column and reason."""
    unexpected: list[Outcome] = field(default_factory=list)


def names(service: str) -> list[str]:
    """Return the names of a service's recordings, in order."""
    found = sorted((FOLDER / service).glob("*.jsonl.xz"))
    return [path.name.removesuffix(".jsonl.xz") for path in found]


def read(service: str, name: str) -> str:
    """Return the text of a file of a service's recordings."""
    return lzma.decompress((FOLDER / service / f"{name}.xz").read_bytes()).decode()


@cache
def load(service: str, name: str) -> tuple[Exchange, ...]:
    """Return the exchanges of a recording, in order."""
    return tuple(map(json.loads, read(service, f"{name}.jsonl").splitlines()))


def body_sent(exchange: Exchange) -> bytes:
    """Return the body of a recorded request."""
    text: str = exchange.get("text_sent", "")
    if exchange.get("json_sent") is not None:
        text = json.dumps(exchange["json_sent"])
    return text.encode()


def score(recording: str, outcomes: Iterable[Outcome], rules: Iterable[Rule]) -> Score:
    """Sort outcomes into columns."""
    reasons: Mapping[str, Rule] = {name: rule for rule in rules for name in rule.exchanges}
    result = Score(recording)
    for outcome in outcomes:
        rule = reasons.get(outcome.name)
        if not outcome.difference:
            result.counts[SAME] += 1
        elif rule is not None:
            result.counts[rule.column] += 1
            result.reasons[rule.column, rule.reason] += 1
        else:
            result.counts[UNEXPECTED] += 1
            result.unexpected.append(outcome)
    return result


def table(scores: Iterable[Score]) -> list[str]:
    """Return the lines of a page about the recordings of a service."""
    lines = ["| recording | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- |" + " ---: |" * len(COLUMNS))
    total: Counter[str] = Counter()
    why: Counter[tuple[str, str]] = Counter()
    for each in scores:
        lines.append(_row(each.recording, each.counts))
        total += each.counts
        why += each.reasons
    lines.append(_row("**all**", total))
    if why:
        lines += ["", "| not the same | exchanges | why |", "| --- | ---: | --- |"]
        lines += [f"| {column} | {why[column, reason]} | {reason} |" for column, reason in why]
    return lines


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |"


def difference(wanted: Any, given: Any, path: str = "") -> str:
    """Return where two values of JSON differ first, and how; empty if they are the same."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        for name in wanted | given:
            if name not in given or name not in wanted:
                where = "missing" if name in wanted else "not wanted"
                value = wanted.get(name, given.get(name))
                return f"{path}.{name}: {where}: {value!r}"
            found = difference(wanted[name], given[name], f"{path}.{name}")
            if found:
                return found
        return ""
    if isinstance(wanted, list) and isinstance(given, list):
        if len(wanted) != len(given):
            return f"{path}: {len(given)} elements instead of {len(wanted)}"
        pairs = enumerate(zip(wanted, given, strict=True))
        return next(
            filter(None, (difference(one, other, f"{path}[{at}]") for at, (one, other) in pairs)),
            "",
        )
    # To Python 1 is True.
    same = wanted == given and isinstance(wanted, bool) == isinstance(given, bool)
    return "" if same else f"{path}: {given!r} instead of {wanted!r}"
