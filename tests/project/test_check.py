"""The program behind `make test`: it leaves nothing out, and says so when it must."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tools import check

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_folder_is_run() -> None:
    """A folder of tests that no step runs would never fail."""
    folders = {
        f"tests/{path.relative_to(ROOT / 'tests').parts[0]}"
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert folders <= {folder for run in check.TEST_RUNS for folder in run.folders}


def test_branches_of_the_core_are_counted() -> None:
    """The tests of the core run under coverage.py, whose report follows and may fail."""
    steps = {step.name: step for step in check.all_steps()}
    assert steps["tests/core"].command[1:4] == ("-m", "coverage", "run")
    assert steps["tests/core"].command[-2:] == ("no:twisted", "tests/core")
    names = list(steps)
    assert names.index("coverage") == names.index("tests/core") + 1


def test_long_steps_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--full` runs everything, and then what takes long; without it that is left out."""
    ran: list[str] = []

    def note(steps: list[check.Step], at_once: int = 1) -> dict[str, int]:
        assert at_once >= 1
        ran.extend(step.name for step in steps)
        return {}

    monkeypatch.setattr(check, "run", note)
    assert check.main([]) == 0
    brief = ran.copy()
    ran.clear()
    assert check.main(["--full"]) == 0
    assert brief[0] == "speedups"
    whole = ["core-whole", "core-compiled-whole", "embedded-whole"]
    others = [name for name in ran if name.endswith("-other-twin")]
    on_loops = [f"conformance-whole-{loop}" for loop in check.GEVENT_LOOPS]
    assert ran == [*brief, *whole, *others, *on_loops, "memory", "simulation", "soak"]


def test_nothing_is_only_brief() -> None:
    """What `make test` does a share of, a long step does whole, be it on the other twin."""
    shared = {each.command[-1] for each in check.all_steps() if _share(each)}
    whole = tuple(f"{each.command[-1]}/" for each in check.long_steps() if not _share(each))
    assert "tests/core" in shared
    for folder in shared - {"tests/interop"}:
        assert f"{folder}/".startswith(whole)


def _share(step: check.Step) -> str:
    return dict(step.environment).get("COUCHLOOP_SHARE", "")


def test_both_twins() -> None:
    """Tests of the core and of both loops run on either twin: some at once, the rest in full."""
    pure = ("COUCHLOOP_SPEEDUPS", check.PURE)
    brief = {step.name: pure in step.environment for step in check.all_steps()}
    assert brief["tests/core"]
    assert not brief["core-compiled"]
    for step in check.long_steps():
        name = step.name.removesuffix("-other-twin")
        if name != step.name:
            before = next(
                brief[each] for each in (f"{name}-compiled", name, f"tests/{name}") if each in brief
            )
            assert (pure in step.environment) != before


def test_gevent_tests_exist() -> None:
    """The tests that run on each loop of gevent are there, and run on the loop that is named."""
    for loop in check.GEVENT_LOOPS:
        names = [f"gevent-{loop}", f"conformance-{loop}", f"conformance-whole-{loop}"]
        steps = check.choose_steps(names)
        assert len(steps) == 3
        for step in steps:
            files = [ROOT / part for part in step.command if part.startswith("tests/")]
            assert files
            assert all(file.exists() for file in files)
            assert dict(step.environment) == {"GEVENT_LOOP": loop, "GEVENT_DEBUG": "debug"}


def test_twisted_and_gevent_run_apart() -> None:
    """pytest-twisted is on for tests on Twisted only, and those share no process with others."""
    with_twisted = [run for run in check.TEST_RUNS if run.options != ("-p", "no:twisted")]
    assert [run.folders for run in with_twisted] == [("tests/txcouchbase",), ("tests/conformance",)]
    assert all(not run.options and not run.is_measured for run in with_twisted)


def test_conformance_runs_on_both_loops() -> None:
    """One text of tests is run once with pytest-twisted, and once without, by file too."""
    runs = [run for run in check.TEST_RUNS if "tests/conformance" in run.folders]
    assert [run.name for run in runs] == ["conformance-twisted", "conformance-gevent"]
    first, second = check.choose_steps(["tests/conformance/test_limits.py"])
    assert (first.name, second.name) == ("conformance-twisted", "conformance-gevent")
    assert "no:twisted" not in first.command
    assert "no:twisted" in second.command


def test_later_steps_run_after_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    """A failing step does not hide what comes after it; one is enough to fail."""
    steps = [
        check.Step("bad", (sys.executable, "-c", "raise SystemExit(3)")),
        check.Step("good", (sys.executable, "-c", "print('I ran')")),
    ]
    assert check.run(steps) == {"bad": 3, "good": 0}
    assert "I ran" in capfd.readouterr().out
    assert check.report({"bad": 3, "good": 0}, []) == 1
    assert check.report({"good": 0}, []) == 0


def test_two_at_a_time(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Two steps run beside each other, their output is not mixed, and what follows one waits."""
    first, second, left = (tmp_path / name for name in ("first", "second", "left"))
    for path in (first, second):
        os.mkfifo(path)
    # Each opens a pipe that only the other opens too: they end if both run at one time.
    meet = (
        "open({0!r}, {1!r}).close(); open({2!r}, {3!r}).close(); print('a', {4}); print('b', {4})"
    )
    steps = [
        check.Step(
            "one", (sys.executable, "-c", meet.format(str(first), "w", str(second), "r", 1))
        ),
        check.Step(
            "two", (sys.executable, "-c", meet.format(str(first), "r", str(second), "w", 2))
        ),
        check.Step("makes", (sys.executable, "-c", f"open({str(left)!r}, 'w').close()")),
        check.Step("needs", (sys.executable, "-c", f"open({str(left)!r}).close()"), follows=True),
        check.Step("bad", (sys.executable, "-c", "raise SystemExit(3)")),
    ]
    assert check.run(steps, 2) == {"one": 0, "two": 0, "makes": 0, "needs": 0, "bad": 3}
    out = capfd.readouterr().out
    assert "=== one\na 1\nb 1\n" in out
    assert "=== two\na 2\nb 2\n" in out


def test_steps_hear_of_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take a SIGINT, also where the checks run in the background of a shell."""
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    step = check.Step("step", (sys.executable, "-c", code))
    monkeypatch.setattr(check, "choose_steps", lambda _: [step])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert check.main(["step"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_steps_find_the_packages(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What a step starts finds couchloop, from any folder."""
    script = tmp_path / "elsewhere.py"
    script.write_text(
        "import os, subprocess, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "subprocess.run([sys.executable, '-c', 'import couchloop; print(couchloop.__file__)'])\n"
    )
    check.run([check.Step("elsewhere", (sys.executable, str(script)))])
    assert str(ROOT / "core" / "couchloop") in capfd.readouterr().out


def test_a_folder_or_file_runs_alone() -> None:
    """Folders and files of tests may be named, and run as their folder does."""
    (step,) = check.choose_steps(["tests/gcouchbase/test_x.py"])
    assert step.command[1:] == ("-m", "pytest", "-p", "no:twisted", "tests/gcouchbase/test_x.py")
    steps = check.choose_steps(["tests/core/hot/"])
    assert [step.command[-1] for step in steps] == ["tests/core/hot"] * 2
    names = [step.name for step in check.choose_steps(["types", "lint"])]
    assert names == ["types", "lint"]


@pytest.mark.parametrize("name", ["linting", "tests/cor", "tests", ""])
def test_unknown_steps(name: str) -> None:
    """A name that no step has is an error, not an empty success."""
    with pytest.raises(ValueError, match="no step is called"):
        check.choose_steps([name])


def test_missing_programs() -> None:
    """A program that is not installed is named, with what is left out without it."""
    programs = {"no-such-program-here": "the tests of nothing", "env": "nothing at all"}
    assert check.missing_programs(programs) == [
        "no-such-program-here is not installed: left out are the tests of nothing"
    ]


def test_missing_packages() -> None:
    """Likewise a package, by the name that is imported."""
    packages = {"no_such_package_here": "the page of nothing", "pytest": "everything"}
    assert check.missing_packages(packages) == [
        "the package no_such_package_here is not installed: left out is the page of nothing"
    ]
