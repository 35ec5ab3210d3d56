"""The benchmark's tables, marks and pictures, made of figures that are made up."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import works
from benchmarks.marks import MARKS, marks_table
from benchmarks.measure import document_of
from benchmarks.pictures import draw_costs, draw_growth
from benchmarks.raw import Figures, RawData
from benchmarks.report import bars, placed, write

ROOT = Path(__file__).resolve().parents[2]


def every() -> list[works.Work]:
    """Return all works that there are."""
    return [
        *works.costs(works.TWINS),
        *works.queries(),
        *works.growth(),
        *works.turns(),
        *works.latency(1),
        *works.compression(),
        *works.instructions(works.TWINS),
    ]


def figures() -> Figures:
    """Return the same figures for all works."""
    made = {
        "cpu_us": 10.0,
        "kb": 40.0,
        "longest_ms": 5.0,
        "collector_ms": 1.0,
        "call_ms": 2.0,
        "turns": 100.0,
        "maximum": 50_000.0,
        "instructions": 100_000.0,
        "order lines/512/ratio": 0.5,
        "order lines/512/cpu_us": 1.0,
        **{f"{part}_{load}": 100.0 for part in ("p50", "p99", "p999") for load in works.LOADS},
    }
    return {
        work.name: {**made, "cpu_us": 30.0} if work.client == "official" else dict(made)
        for work in every()
    }


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Give a folder with a copy of the page."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    (tmp_path / "performance.md").write_text(text, encoding="utf-8")
    return tmp_path


def test_names_are_different() -> None:
    """No work's figures take the place of another's."""
    names = [work.name for work in every()]
    assert len(set(names)) == len(names)


def test_marks_are_of_what_is_measured() -> None:
    """Both sides of each mark are works, measured five times at least, as its twin is."""
    rounds = {work.name: work.rounds for work in works.costs(works.TWINS)}
    for mark in MARKS:
        for twin in mark.wanted:
            for name in (f"couchloop/{twin}/{mark.ours}", f"official/lean/{mark.theirs}"):
                assert rounds[f"costs/{name}"] >= 5, name
            if mark.is_above:
                assert rounds[f"costs/bare/{mark.ours}"] >= 5
                assert rounds[f"costs/couchloop/{twin}/core/decode/1"] >= 5


def test_what_is_compared_is_measured_within_a_minute() -> None:
    """Both sides of each mark, both twins, and what is taken off both: a few processes apart."""
    names = [work.name for work in works.costs(works.TWINS)]
    for mark in MARKS:
        sides = [f"costs/couchloop/{twin}/{mark.ours}" for twin in mark.wanted]
        sides.append(f"costs/official/lean/{mark.theirs}")
        if mark.is_above:
            sides.append(f"costs/bare/{mark.ours}")
            sides += [f"costs/couchloop/{twin}/core/decode/1" for twin in mark.wanted]
        places = [names.index(side) for side in sides]
        assert max(places) - min(places) <= 12, mark.said


def test_everything_is_shown(page: Path) -> None:
    """The page takes all tables, and the pictures are well-formed."""
    texts = write(figures(), page)
    written = (page / "performance.md").read_text(encoding="utf-8")
    assert len(texts) == 7
    for text in texts:
        assert text in written
        columns = {line.count("|") for line in text.splitlines()}
        assert len(columns) == 1, text
    for name in ("performance.svg", "growth.svg"):
        assert ET.parse(page / name).getroot().tag.endswith("svg")  # noqa: S314 - our own
    # Once more: it is found where it was put.
    write(figures(), page)
    assert (page / "performance.md").read_text(encoding="utf-8") == written


def test_what_failed_is_left_out(page: Path) -> None:
    """Without the official SDK's figures, or without any of one part, all else is shown."""
    without = {name: each for name, each in figures().items() if "official" not in name}
    text = "\n".join(write(without, page))
    assert "n/a" in text
    some = {name: each for name, each in figures().items() if name.startswith("growth")}
    before = (page / "performance.md").read_text(encoding="utf-8")
    write(some, page)
    after = (page / "performance.md").read_text(encoding="utf-8")
    assert before.split("<!-- growth -->")[0] == after.split("<!-- growth -->")[0]
    assert draw_costs(bars({})).startswith("<svg")
    assert "not measured" in draw_growth({})


def test_marks_met_and_missed() -> None:
    """Three times less meets 1/2.2, and not 1/3.5; what is missed says why."""
    rows = {line.split(" | ")[0]: line for line in marks_table(figures()) if "| pure |" in line}
    assert "| 1/2.2 | 1/3.0 | yes |" in rows["| gevent: get, 64 in flight"]
    missed = rows["| twisted: get, 64 in flight"]
    assert "| 1/3.5 | 1/3.0 | no | " in missed
    assert not missed.endswith("| no |  |")


def test_no_place() -> None:
    """A page that lacks a table's place is told, and not left as it is."""
    with pytest.raises(ValueError, match="no place"):
        placed("text", "costs", "| a |")


def test_raw_data(tmp_path: Path) -> None:
    """Runs are kept by name, over several calls; what is measured anew replaces what was."""
    path = tmp_path / "made" / "raw.json"
    raw = RawData(path)
    for value in (1.0, 5.0, 2.0):
        raw.add("a", {"cpu_us": value})
    raw.add("b", {"cpu_us": 1.0})
    raw.save()
    again = RawData(path)
    assert again.medians() == {"a": {"cpu_us": 2.0}, "b": {"cpu_us": 1.0}}
    again.forget(["a"])
    again.add("a", {"cpu_us": 7.0})
    assert again.medians()["a"] == {"cpu_us": 7.0}
    assert json.loads(path.read_text(encoding="utf-8"))["runs"]["a"]


def test_a_work_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, not tried again, and keeps no other from being measured."""
    asked: list[str] = []

    def measure(work: works.Work, *_: object) -> dict[str, float]:
        asked.append(work.name)
        if work.loop == "gevent":
            raise ValueError("made up")
        return {"cpu_us": 1.0}

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(command.Servers, "of", lambda *_: "0")
    raw = RawData(tmp_path / "raw.json")
    wanted = [work for work in works.growth() if work.operation == "get"][:14]
    wanted += [works.growth()[0]._replace(loop="gevent")]
    failures: dict[str, str] = {}
    command.run(wanted, raw, failures)
    assert len(failures) == 1
    assert "made up" in next(iter(failures.values()))
    assert len(asked) == 14 * 3 + 1
    assert len(raw.medians()) == 14


@pytest.mark.parametrize("size", [100, 101, 512, 4096, 100_000])
def test_documents(size: int) -> None:
    """They are JSON, of exactly so many bytes."""
    made = document_of(size)
    assert len(made) == size
    assert json.loads(made)["id"]


def test_the_official_client_measures_the_same_loads() -> None:
    """It runs in an environment without our packages, and so has its own list."""
    tree = ast.parse((ROOT / "benchmarks" / "client_official.py").read_text(encoding="utf-8"))
    found = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOADS"
    ]
    assert found == [works.LOADS]
