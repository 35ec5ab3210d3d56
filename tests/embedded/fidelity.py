"""How true the embedded cluster is to a real data node: a scoreboard, made from the recordings.

``python -m tests.embedded.fidelity`` writes docs/fidelity.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.embedded import exchanges, query_fidelity, search_replay
from tests.embedded.recordings import names
from tests.embedded.replay import Outcome, replay

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"

SAME = "same"
DIFFERENT = "different, for a reason"
UNEXPECTED = "unexpected"
COLUMNS = (SAME, DIFFERENT, UNEXPECTED)


@dataclass(frozen=True)
class Rule:
    """Why answers of some operations in one scenario (or all of a file: ``*``) are not the same."""

    recording: str
    scenario: str
    column: str
    reason: str
    operations: frozenset[str] = frozenset()
    """Names; none: all of them."""

    def covers(self, recording: str, scenario: str, outcome: Outcome) -> bool:
        return (
            recording == self.recording
            and self.scenario in {"*", scenario}
            and (not self.operations or outcome.operation in self.operations)
        )


RULES = (
    Rule(
        "03-kv-more",
        "stats",
        DIFFERENT,
        "STAT without a group lists the insides of a storage engine, and `clocks` measures the "
        "machine's; an in-memory cluster has neither",
        frozenset({"STAT"}),
    ),
    Rule(
        "04-nmvb",
        "config-only",
        DIFFERENT,
        "the recorded configuration was set by hand and did not mark the node that gives it",
        frozenset({"GET_CLUSTER_CONFIG"}),
    ),
    Rule(
        "21-sdk-python-errors",
        "sdk-python-errors",
        DIFFERENT,
        "one request of 20 MiB is not in the recording, so it cannot be sent",
        frozenset({""}),
    ),
)


@dataclass
class Score:
    """The outcomes of one scenario, by column."""

    recording: str
    scenario: str
    about: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    unexpected: list[Outcome] = field(default_factory=list)


@cache
def scores(recording: str) -> tuple[Score, ...]:
    """Replay a recording and sort its outcomes."""
    result = []
    for scenario, outcomes in replay(recording):
        score = Score(recording, scenario.name, scenario.about)
        for outcome in outcomes:
            if outcome.same:
                score.counts[SAME] += 1
                continue
            rule = next(
                (rule for rule in RULES if rule.covers(recording, scenario.name, outcome)), None
            )
            if rule is None:
                score.counts[UNEXPECTED] += 1
                score.unexpected.append(outcome)
                continue
            score.counts[rule.column] += 1
            if rule.reason not in score.reasons:
                score.reasons.append(rule.reason)
        result.append(score)
    return tuple(result)


_INTRODUCTION = """\
# Fidelity

How the embedded cluster answers what a real data node was asked: recorded requests are sent to it
in their order, and each answer (and each silence, and each closed connection) is compared with the
recorded one: status, extras, framing extras, datatype, key and value, but for what varies from run
to run (CAS values, uuids, durations, salts). This page is made by

    python -m tests.embedded.fidelity

and a test fails when it is out of date, or when anything is unexpected. The recordings were made
with version 7.6.7 of the data service, on clusters of one to three nodes; `20` to `24` are whole
sessions of official SDKs.
"""


_CONCLUSION = """
## What is in no recording

Buckets of type memcached, replicas that lag, what a restarted node has lost, and all that a cluster
manager does: these follow the manuals of the server, and what official SDKs expect.
"""


def page() -> str:
    """Return the text of docs/fidelity.md."""
    lines = [_INTRODUCTION, "| recording | scenarios | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- |" + " ---: |" * (len(COLUMNS) + 1))
    total: Counter[str] = Counter()
    exceptions: list[Score] = []
    count = 0
    for name in names():
        rows = scores(name)
        sums: Counter[str] = Counter()
        for score in rows:
            sums += score.counts
        lines.append(_row(name, len(rows), sums))
        total += sums
        count += len(rows)
        exceptions += [score for score in rows if set(score.counts) - {SAME}]
    lines += [_row("**all**", count, total), "", "## What is not the same", ""]
    lines += ["| recording | scenario | " + " | ".join(COLUMNS) + " | why |"]
    lines.append("| --- | --- |" + " ---: |" * len(COLUMNS) + " --- |")
    for score in exceptions:
        cells = " | ".join(str(score.counts[column]) for column in COLUMNS)
        why = "; ".join(score.reasons)
        lines.append(f"| {score.recording} | {score.scenario} | {cells} | {why} |")
    return "\n".join(lines) + "\n" + _CONCLUSION + query_fidelity.section() + _search()


_SEARCH = """
## Search

What a real search service was asked over HTTP (release branch of 7.6, one node, over files)
is asked here, over the same documents in a bucket: status, headers, members and their order, hits,
locations, fragments, fields, facets, and the texts of errors are compared. Scores are not, but for
the order that they give: they are tf-idf too, and still not the server's.

"""


def _search() -> str:
    recordings = exchanges.names(search_replay.SERVICE)
    return _SEARCH + "\n".join(exchanges.table(map(search_replay.scores, recordings))) + "\n"


def _row(name: str, scenarios: int, counts: Counter[str]) -> str:
    cells = " | ".join(str(counts[column]) for column in COLUMNS)
    return f"| {name} | {scenarios} | {cells} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
