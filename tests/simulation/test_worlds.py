"""The client keeps its promises in simulated worlds, and the simulation can tell when it does not.

A world that breaks a promise is run again by `python -m tests.simulation SEED --trace`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import NamedTuple

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.wire import Status
from tests.project.test_packaging import ROOT
from tests.share import BRIEF, spread
from tests.simulation import __main__ as program
from tests.simulation.bugs import PLANTED
from tests.simulation.world import DOCUMENTS, Report, World, run

# fmt: off
QUICK = (3, 6, 7, 8, 9, 10, 14, 18, 21, 22, 23, 25, 26, 27, 29, 33, 34, 35, 37, 39, 42, 44, 51, 53,
         55, 56)
# fmt: on
"""A fifth of the work: small worlds, two of which at least meet each thing that any world meets."""

WORLDS = QUICK if BRIEF else range(1, 64)


class Kept(NamedTuple):
    """A world in which something was found once."""

    found: str
    seed: int
    faults: tuple[str, ...] | None = None
    """None: those that the seed gives."""
    polls: bool = True


KEPT = (
    Kept(
        "the question for an announced configuration was out of time when it was asked",
        166,
        ("delays", "reset", "reset_all", "rebalance_in_steps", "hang"),
        polls=False,
    ),
    Kept("a promise was seen broken in a collection that was dropped, by a node that lags", 1111),
)


@cache
def report_of(seed: int) -> Report:
    """Run a world, once for all tests of the sound client."""
    return run(seed)


@pytest.mark.parametrize("seed", spread(range(1, 21)))
def test_seeds_are_web_ports(seed: int) -> None:
    """Clients that know web ports alone keep every promise too, whatever becomes of the streams."""
    report = run(seed, web=True)
    assert not report.violations
    assert report.outcomes["done"]


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: f"{kept.seed}")
def test_what_was_found_stays_mended(kept: Kept) -> None:
    """Worlds that broke a promise keep it since."""
    assert not run(kept.seed, faults=kept.faults, polls=kept.polls).violations


def test_equal_faults_end_one_by_one() -> None:
    """Removing one of two equal injections leaves the other: found by a simulated world."""
    cluster = EmbeddedCluster()
    first, second = (cluster.inject(status=Status.ETMPFAIL, count=1) for _ in range(2))
    second.remove()
    (left,) = cluster.injections
    assert left is first
    first.remove()
    assert not cluster.injections


@pytest.mark.parametrize("seed", WORLDS)
def test_every_promise_is_kept(seed: int) -> None:
    """Answers are true, in time, for the right caller; in the end nothing is left behind."""
    report = report_of(seed)
    assert not report.violations
    assert report.calls


def test_worlds_are_eventful() -> None:
    """The quick worlds meet every kind of fault and of outcome: they do not pass by standing still.

    It is the sum that counts; a single world may be quiet.
    """
    reports = [report_of(seed) for seed in WORLDS]
    faults, outcomes = Counter[str](), Counter[str]()
    for report in reports:
        faults += report.faults
        outcomes += report.outcomes
    assert {kind.__name__ for kind in World(1, kind=DOCUMENTS).faults.kinds} <= set(faults)
    assert {
        "done",
        "cancelled",
        "AmbiguousTimeoutError",
        "UnambiguousTimeoutError",
        "AmbiguousConnectionLostError",
        "CasMismatchError",
    } <= set(outcomes)
    assert sum(report.lost for report in reports)
    # Most succeed: the faults leave something to judge.
    assert outcomes["done"] > 0.8 * outcomes.total() > 10_000
    assert len({report.digest for report in reports}) == len(WORLDS)


def test_worlds_use_documents_in_all_ways() -> None:
    """The quick worlds do with documents what can be done, in every kind of place."""
    deeds = Counter[str]()
    for seed in WORLDS:
        deeds += report_of(seed).deeds
    assert {
        "append of log",
        "batch of many",
        "durable append of log",
        "durable mutate_in of sub",
        "durable upsert of doc",
        "extend of list",
        "get of doc",
        "get_all_replicas of doc",
        "get_and_touch of doc",
        "get_any_replica of doc",
        "list_append of list",
        "lock of lock",
        "lookup_in of sub",
        "mutate_in of sub",
        "prepend of log",
        "queue_pop of list",
        "queue_push of list",
        "replace of lock",
        "rget of doc",
        "touch of doc",
        "unlock of lock",
        "upsert of doc",
        "watched upsert of doc",
        # Streams and scans
        "durable upsert of stream of flow",
        "get of stream of flow",
        "remove of flow",
        "remove of stream of flow",
        "result of get of flow",
        "result of remove of flow",
        "result of scan of flow",
        "result of upsert of flow",
        "upsert of flow",
        "upsert of stream of flow",
        "watched upsert of stream of flow",
        # Servers without vbuckets
        "append of cached log",
        "counter of cached num",
        "get of cached doc",
        "get of stream of cached doc",
        "insert of cached doc",
        "prepend of cached log",
        "remove of cached doc",
        "replace of cached doc",
        "upsert of cached doc",
    } <= set(deeds)


def test_a_seed_means_one_world() -> None:
    """The same seed gives the same events to the last byte, whatever the interpreter hashes to."""
    eventful = max(WORLDS, key=lambda seed: report_of(seed).faults.total())
    traces: list[str] = []
    again = run(eventful, traces.append)
    assert again == report_of(eventful)
    assert len(traces) > again.calls
    for hashing in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", str(eventful)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONHASHSEED": hashing,
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "core"))),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"digest {again.digest}\n" in done.stdout


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_bugs_are_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the client breaks the promise that it should, within the stated number of worlds."""
    plant(monkeypatch)
    wanted = PLANTED[plant]
    for seed in count(wanted.first):
        assert seed <= wanted.worlds, f"not caught in {wanted.worlds} worlds"
        report = run(seed, faults=wanted.faults, kind=wanted.kind)
        if wanted.rules & {line.partition(":")[0] for line in report.violations}:
            break


def test_program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program says what it ran, and has status 1 and the way to see it again if one fails."""
    assert program.main(["7", "--worlds", "2"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"2 worlds, \d+ calls, ", out)
    assert out.endswith("no promise was broken\n")
    next(iter(PLANTED))(monkeypatch)
    assert program.main(["1", "--worlds", "3"]) == 1
    out = capsys.readouterr().out
    assert "again by: python -m tests.simulation" in out
    assert "broke a promise" in out
