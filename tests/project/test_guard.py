"""The guard counts instructions, and finds what has become slower."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools import check, guard

ROOT = Path(__file__).resolve().parents[2]
SLOW = """        timeout = op.timeout
        for _ in range(20):
            pass
"""
"""Planted into `Submitter.submit`: some instructions more for each operation."""


@pytest.fixture(autouse=True)
def _bytecodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Count those of Python, which takes less time; write no file of the project's."""
    monkeypatch.setattr(guard, "how", lambda: "bytecodes")
    monkeypatch.setattr(guard, "BASELINE", tmp_path / "guard.json")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a copy of what the scenarios need, as a repository with one commit."""
    tree = tmp_path / "tree"
    for part in guard.PARTS:
        source, target = ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(source, target)
    git(tree, "init", "--quiet")
    commit(tree)
    return tree


def git(tree: Path, *arguments: str) -> None:
    """Run git."""
    program = shutil.which("git")
    assert program is not None, "git is not installed"
    subprocess.run([program, *arguments], cwd=tree, check=True, capture_output=True)


def commit(tree: Path) -> None:
    """Commit all that is there."""
    git(tree, "add", "--all")
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    git(tree, *who, "commit", "--quiet", "--message=A commit")


def plant(tree: Path) -> None:
    """Make each operation slower."""
    path = tree / "core" / "couchloop" / "hot" / "submit.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("        timeout = op.timeout\n") == 1
    path.write_text(text.replace("        timeout = op.timeout\n", SLOW), encoding="utf-8")


@pytest.mark.timeout(300)
def test_a_slowdown_is_found(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails against the file, and, under a key that the file does not have, against a commit."""
    monkeypatch.setattr(guard, "ROOT", tree)
    assert guard.main(["--renew"]) == 0
    assert guard.main([]) == 0
    told = capsys.readouterr().out
    assert "compared with guard.json" in told
    # The file has whole numbers: half of one is a thousandth of 500.
    pure = next(iter(guard.load().values()))["pure"]
    same = re.findall(r"[+-]0\.[01]%", told)
    assert len(same) >= len([count for count in pure.values() if count >= 500])
    plant(tree)
    assert guard.main([]) == 1
    assert "GREW" in capsys.readouterr().out
    guard.BASELINE.unlink()
    assert guard.main([]) == 1
    told = capsys.readouterr().out
    assert "compared with commit " in told
    assert "GREW" in told


def test_the_commit_before(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what git has, if files have changed since; else its parent, if there is one."""
    monkeypatch.setattr(guard, "ROOT", tree)
    assert guard.commit_before() is None
    plant(tree)
    first = guard.commit_before()
    assert first is not None
    commit(tree)
    assert guard.commit_before() == first


def test_without_git(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is nothing to compare with it says so, and only measures."""
    monkeypatch.setattr(guard, "measure", lambda _: ("a key", {"pure": {"get": 100.0}}))
    monkeypatch.setattr(guard, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert guard.main([]) == 0
    told = capsys.readouterr().out
    assert "compared with nothing: git has no commit before this" in told
    assert "not known before" in told
    monkeypatch.setenv("PATH", str(tmp_path))
    assert guard.commit_before() is None


@pytest.mark.parametrize(("count", "is_worse"), [(103.0, False), (104.0, True), (50.0, False)])
def test_what_counts_as_growth(count: float, is_worse: bool) -> None:
    """More than 3 % of one scenario of one twin; less is never wrong."""
    now = {"pure": {"get": 1.0, "new": 5.0}, "compiled": {"get": count}}
    before = {"pure": {"get": 1.0}, "compiled": {"get": 100.0}}
    assert any(worse for _, worse in guard.compared(now, before)) is is_worse


@pytest.mark.parametrize(("count", "is_worse"), [(103.0, False), (104.0, True), (50.0, False)])
def test_beside_each_other(count: float, is_worse: bool) -> None:
    """A scenario may not take more than 3 % more than its sibling of the same run."""
    now = {"pure": {"get": 100.0, "get_named": count}}
    ((line, worse),) = guard.beside(now)
    assert worse is is_worse
    assert "beside get" in line
    assert list(guard.beside({"pure": {"get": 100.0}})) == []


def test_a_named_collection_costs_no_more(tmp_path: Path) -> None:
    """`get` of a named collection takes at most 3 % more than of the default one."""
    figures = guard._run(ROOT, "0", "bytecodes", str(tmp_path))
    lines = list(guard.beside({figures["twin"]: figures["bytecodes"]}))
    assert [worse for _, worse in lines] == [False], lines


def test_each_twin_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled twin of the hot path is counted where there is one, and the pure one once."""

    def run(_: Path, twin: str, what: str, *others: Any) -> Any:
        del others
        if what == "key":
            return {"twin": built[twin], "key": "k"}
        return {"bytecodes": {"get": float(twin)}}

    monkeypatch.setattr(guard, "_run", run)
    built = {"0": "pure", "1": "pure"}
    assert guard.measure(ROOT) == ("bytecodes: k", {"pure": {"get": 0.0}})
    built["1"] = "compiled"
    assert guard.measure(ROOT)[1] == {"pure": {"get": 0.0}, "compiled": {"get": 1.0}}


def test_the_file_keeps_other_keys() -> None:
    """Figures of another interpreter or processor stay when those of one are renewed."""
    guard.renew("a", {"pure": {"get": 1.4}})
    guard.renew("b", {"pure": {"get": 2.0}})
    assert json.loads(guard.BASELINE.read_text(encoding="utf-8")) == {
        "a": {"pure": {"get": 1}},
        "b": {"pure": {"get": 2}},
    }


def test_it_is_a_step_of_make_test() -> None:
    """`make test` runs it."""
    assert "guard" in [step.name for step in check.all_steps()]


def test_valgrind_says_how_many() -> None:
    """The total of a process is read from what cachegrind writes."""
    assert guard._total("fn=a\n1 5\nsummary: 1234\n") == 1234
    with pytest.raises(ValueError, match="no summary"):
        guard._total("fn=a\n")
