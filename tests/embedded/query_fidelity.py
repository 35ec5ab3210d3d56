"""How true the embedded query service is to a real one: a scoreboard, made from the recordings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

from tests.embedded.query_replay import Outcome, names, replay

SAME = "same"
DIFFERENT = "different, for a reason"
LATER = "not yet"
UNEXPECTED = "unexpected"
COLUMNS = (SAME, DIFFERENT, LATER, UNEXPECTED)


@dataclass(frozen=True)
class Rule:
    """Why answers are not the same."""

    column: str
    reason: str
    exchanges: str
    """Their ids, as a regular expression."""
    differs: str = ".*"
    """What each difference is like, likewise."""

    def covers(self, outcome: Outcome) -> bool:
        return bool(re.fullmatch(self.exchanges, outcome.exchange.name)) and all(
            re.match(self.differs, difference, re.DOTALL) for difference in outcome.differences
        )


_META = "META() of a document in a bucket has more members than one in a file"
_PLACE = "keyspaces are buckets and collections here, folders there: other errors tell of them"
_BLANKS = "a part of a stored document is written without the blanks it was stored with"
_PLAN = "the recorded answer is a plan, or times of one"
_STORE = "a store of files refuses it in its own words, and here it is refused as not supported"
_FUNCTIONS = "functions of the service's insides: its error table, its formatter, its sampler"
_ADVICE = "advice needs the whole optimizer; the recorded edition has none either"
_ROLES = "roles are given by the cluster manager here: a statement for that is refused"
_INDEXES = "indexes can be made and dropped here, and buckets have scopes: files have neither"
_BUILD = "the version is another build's"
_NODES = "a store of files has no nodes, a cluster has"
_XML = "answers as XML, which no SDK asks for, are refused"

RULES = (
    Rule(DIFFERENT, _META, r"from-keys-meta/01[013]"),
    Rule(DIFFERENT, _BLANKS, r".*", r"metrics "),
    Rule(
        DIFFERENT,
        "names of folders matched in any case",
        r"names-and-scopes/004",
    ),
    Rule(
        DIFFERENT,
        "META() of a row of a subquery tells of nothing, for nothing promises that it does",
        r"names-and-scopes/033",
    ),
    Rule(DIFFERENT, _PLACE, r"errors/(038|039|041|043|111)|dml/05[456]|http/13[023]|prepared/033"),
    Rule(
        DIFFERENT,
        "error 15005 is the file store's; a duplicate key is error 12009 here",
        r"dml/(006|009|010|015)|server-flags/requesterrorlimit=2/0",
    ),
    Rule(
        DIFFERENT,
        "after a plain ORDER, the next word is called reserved whatever it is",
        r"errors/026",
    ),
    Rule(DIFFERENT, _PLAN, r"http/(097|098|100|105|107|108)", r"profile |layout "),
    Rule(
        DIFFERENT,
        "the size of requests is limited by the server of all ports alike",
        r"server-flags/requestsizecap=300/1",
    ),
    Rule(DIFFERENT, _PLAN, r"explain-system/00\d|http/081|prepared/043"),
    Rule(DIFFERENT, _XML, r"http/137"),
    Rule(DIFFERENT, _BUILD, r"functions-cond-type-misc/013"),
    Rule(DIFFERENT, _NODES, r"explain-system/018"),
    Rule(DIFFERENT, _PLAN, r"prepared/0(00|01|20|26|27|28|38)|http/0(79|80)", r"results |metrics "),
    Rule(DIFFERENT, _INDEXES, r"explain-system/01[3679]|errors/(109|11[234578])"),
    Rule(DIFFERENT, _FUNCTIONS, r"functions-(string/018|cond-type-misc/0(18|19|22|23))"),
    Rule(DIFFERENT, _STORE, r"errors/(116|119|123|126|129)|http/145"),
    Rule(DIFFERENT, _ADVICE, r"errors/122"),
    Rule(DIFFERENT, _ROLES, r"errors/124"),
)
"""The first that covers an outcome counts."""


@dataclass
class Score:
    """The outcomes of one recording, by column."""

    recording: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    unexpected: list[Outcome] = field(default_factory=list)


@cache
def score(recording: str) -> Score:
    """Replay a recording and sort its outcomes."""
    result = Score(recording)
    for outcome in replay(recording):
        if not outcome.differences:
            result.counts[SAME] += 1
            continue
        rule = next((rule for rule in RULES if rule.covers(outcome)), None)
        if rule is None:
            result.counts[UNEXPECTED] += 1
            result.unexpected.append(outcome)
            continue
        result.counts[rule.column] += 1
        key = (rule.column, rule.reason)
        result.reasons[key] = result.reasons.get(key, 0) + 1
    return result


_INTRODUCTION = """
## The query service

How the embedded query service answers what a real one (version 7.6.8, over files) was asked: the
recorded requests are sent to it in their order, and status, headers, and the answer's members in
their order are compared, down to how numbers are written; rows that no ORDER BY has sorted are
compared as a bag. What varies from run to run (ids, times) is left out.
"""


def section() -> str:
    """Return the part of docs/fidelity.md about the query service."""
    lines = [_INTRODUCTION, "| recording | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- |" + " ---: |" * len(COLUMNS))
    total: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for name in names():
        found = score(name)
        lines.append(_row(name, found.counts))
        total += found.counts
        reasons.update(found.reasons)
    lines += [_row("**all**", total), "", "| what is not the same | answers | why |"]
    lines.append("| --- | ---: | --- |")
    for (column, reason), count in sorted(reasons.items()):
        lines.append(f"| {column} | {count} | {reason} |")
    return "\n".join(lines) + "\n"


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |"


if __name__ == "__main__":
    print(section())  # noqa: T201
    for each in names():
        for outcome in score(each).unexpected:
            print(outcome.exchange.name, outcome.exchange.text[:200])  # noqa: T201
            for difference in outcome.differences:
                print("    ", difference[:300])  # noqa: T201
