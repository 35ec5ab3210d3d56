"""The matrix of interpreters: what it asks for, and what it makes of an answer."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.project.test_packaging import ROOT
from tools import matrix, matrix_pythons, matrix_root
from tools.matrix import Cell, Row
from tools.matrix_pythons import Environment, Interpreter

HERE = Interpreter("3.14", Path("/usr/bin/python3.14"), "3.14.1")


def constraints(libraries: str) -> dict[str, str]:
    """Return the first version that a constraints file names of each package, by its small name."""
    text = (matrix_pythons.CONSTRAINTS / f"{libraries}.txt").read_text("utf-8")
    versions: dict[str, str] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE):
        versions.setdefault(name.lower(), version)
    return versions


def test_oldest_is_what_may_be_installed() -> None:
    """The oldest versions that are tried are of the releases that setup.cfg allows at least."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = parser["options.extras_require"]
    asked = [
        parser["options"]["install_requires"],
        *(extras[name] for name in ("twisted", "gevent")),
    ]
    oldest = constraints("oldest")
    for name, least in re.findall(r"([\w-]+)(?:\[\w+\])? >= ([\d.]+)", "\n".join(asked)):
        assert f"{oldest[name.lower()]}.".startswith(f"{least}."), name


def test_newest_is_told() -> None:
    """The page of versions names the newest that are tried, and the oldest."""
    page = (ROOT / "docs/versions.md").read_text("utf-8")
    for libraries in matrix.LIBRARIES:
        versions = constraints(libraries)
        assert all(versions[name].removesuffix(".0") in page for name in ("twisted", "gevent"))


def test_groups() -> None:
    """What is installed is what setup.cfg names; all that runs the tests is among it."""
    found = {group.name: group for group in matrix_pythons.groups()}
    assert {"h11 >= 0.16"} < set(found["core"].packages)
    assert found["twisted"].instead == ("Twisted >= 24.11",)
    assert all(group.packages and group.what for group in found.values())


def test_nothing_is_left_out_here() -> None:
    """`make test` has every extra that tests of the core and of the adapters can do without."""
    for module in ("cramjam", "msgspec", "orjson", "dns", "quickjs", "trustme", "OpenSSL"):
        assert find_spec(module), module
    for module in ("opentelemetry.sdk", "prometheus_client"):
        assert find_spec(module), module


def test_every_folder_that_loops_share() -> None:
    """The steps run folders that are there; those on Twisted are the ones that need it."""
    for step in matrix.STEPS:
        assert (ROOT / step.folder).is_dir()
        assert step.on_twisted == ("twisted" in step.needs)


@pytest.mark.parametrize(
    ("words", "interpreters", "libraries", "steps"),
    [
        ([], 9, 2, len(matrix.STEPS)),
        (["3.14"], 1, 2, len(matrix.STEPS)),
        (["3.14", "pypy3.11", "newest"], 2, 1, len(matrix.STEPS)),
        (["core", "oldest", "kit-gevent"], 9, 1, 2),
    ],
)
def test_choice(words: list[str], interpreters: int, libraries: int, steps: int) -> None:
    """Words choose within their kind; a kind that none names is whole."""
    assert tuple(map(len, matrix.choose(words))) == (interpreters, libraries, steps)


def test_unknown_word() -> None:
    """A word that names nothing is said so, with what there is."""
    with pytest.raises(ValueError, match=r"'3\.9'; there are: 3\.11, .*; oldest, newest; core"):
        matrix.choose(["3.9"])


ENDED = """\
....F.s                                                              [100%]
=========================== short test summary info ============================
SKIPPED [2] tests/core/kv/test_a.py:7: couchloop[snappy] is not installed
SKIPPED [1] tests/core/test_b.py:9: couchloop[snappy] is not installed
FAILED tests/core/test_c.py::test_d - assert 1 == 2
ERROR tests/core/test_e.py
1 failed, 2598 passed, 3 skipped, 1 error in 50.12s
"""


def test_answer() -> None:
    """Passed, failed and left out are counted; reasons are told once each."""
    cell = matrix.read(ENDED, 1)
    assert (cell.passed, cell.failed, cell.left_out, cell.why) == (2598, 2, 3, "")
    assert cell.failures == ("tests/core/test_c.py::test_d", "tests/core/test_e.py")
    assert cell.skips == ("3 x couchloop[snappy] is not installed",)
    assert str(cell) == "2598 / 2 / 3"


@pytest.mark.parametrize(("output", "status"), [("", 2), ("Fatal Python error", -11), ("", 1)])
def test_broken_off(output: str, status: int) -> None:
    """What did not come to its end is no success, whatever it had counted."""
    cell = matrix.read(output, status)
    assert cell.why == f"pytest ended with status {status}"
    assert matrix.report([Row(HERE, "newest", ENVIRONMENT, {"core": cell})], [], ["core"]) == 1


TRIED = """\
tests.txcouchbase.test_a
  ATests
    test_b ...                                                         [FAIL]
    test_c ...                                                           [OK]
    test_d ...                                                      [SKIPPED]
    test_e ...                                                      [SKIPPED]

===============================================================================
[SKIPPED]
opentelemetry-sdk is not installed

tests.txcouchbase.test_a.ATests.test_d
tests.txcouchbase.test_a.ATests.test_e
===============================================================================
[FAIL]
Traceback (most recent call last):
  File "tests/txcouchbase/test_a.py", line 2, in test_b
    assert False
builtins.AssertionError:

tests.txcouchbase.test_a.ATests.test_b
-------------------------------------------------------------------------------
Ran 4 tests in 0.050s

FAILED (skips=2, failures=1, successes=1)
"""


def test_answer_of_trial() -> None:
    """What trial says is counted likewise: each test that failed, and why any did not run."""
    cell = matrix.read_trial(TRIED, 1)
    assert (cell.passed, cell.failed, cell.left_out, cell.why) == (1, 1, 2, "")
    assert cell.failures == ("tests.txcouchbase.test_a.ATests.test_b",)
    assert cell.skips == ("2 x opentelemetry-sdk is not installed",)
    passed = matrix.read_trial("Ran 4 tests in 0.050s\n\nPASSED (successes=4)\n", 0)
    assert passed == Cell(4)


@pytest.mark.parametrize(
    ("output", "status"),
    [("", 1), ("PASSED (successes=4)", -11), ("PASSED (successes=4)", 1), ("PASSED", 0)],
)
def test_trial_broke_off(output: str, status: int) -> None:
    """Nor is that a success which trial did not bring to its end, or that ran nothing."""
    cell = matrix.read_trial(output, status)
    assert cell.why == f"trial ended with status {status}"
    assert matrix.report([Row(HERE, "newest", ENVIRONMENT, {"trial": cell})], [], ["trial"]) == 1


def test_nothing_that_pytest_ignores_is_left_out() -> None:
    """What the tests of Twisted leave to trial is what the steps of trial run."""
    conftest = (ROOT / "tests/txcouchbase/conftest.py").read_text("utf-8")
    (names,) = re.findall(r"^collect_ignore = (\[.*\])$", conftest, re.MULTILINE)
    ignored = {name.removesuffix(".py") for name in ast.literal_eval(names)}
    trials = [step for step in matrix.STEPS if step.trial]
    assert {step.name for step in trials} == {"trial-epoll", "trial-asyncio"}
    for step in trials:
        modules = {word.rpartition(".")[2] for word in step.trial if word.startswith("tests.")}
        assert modules == ignored


def test_the_warning_that_is_not_ours(tmp_path: Path) -> None:
    """It passes under pytest, as it is asked for, where any other warning is an error."""
    said = matrix.NOT_OURS.partition(":")[2]
    test = tmp_path / "test_warning.py"
    for text, status in ((f"{said} that could be garbage", 0), ("something else", 1)):
        test.write_text(
            f"import warnings\n\ndef test_it():\n    warnings.warn({text!r})\n", "utf-8"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:twisted", "-W", "error"]
        done = subprocess.run(
            [*command, "-W", matrix.NOT_OURS, str(test)],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stdout


ENVIRONMENT = Environment(
    Path("python"),
    {"twisted": "26.10.0"},
    {"gevent": "all tests on gevent (gevent >= 24.11: no wheel fits)"},
)


def test_left_out() -> None:
    """A step whose packages could not be installed does not run, and says why."""
    row = Row(HERE, "newest", ENVIRONMENT, {})
    step = next(step for step in matrix.STEPS if step.name == "gcouchbase")
    cell = matrix.run(step, row)
    assert cell.why == "left out: all tests on gevent (gevent >= 24.11: no wheel fits)"
    assert str(cell) == "-"


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (1, 1)])
def test_report(failed: int, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One table, what lacks beneath it; a failure is the exit status."""
    cells = {
        "core": Cell(10, failed, 2, skips=("2 x no snappy",)),
        "gcouchbase": Cell(why="left out"),
    }
    rows = [Row(HERE, "newest", ENVIRONMENT, cells)]
    absent = matrix.missing(["3.14", "3.14t"], {"3.14": HERE})
    assert matrix.report(rows, absent, list(cells)) == status
    lines = capsys.readouterr().out.splitlines()
    assert "| interpreter | libraries | core | gcouchbase |" in lines
    assert "Brief: tests of many cases tried a share of 1/4" in lines
    row = f"| 3.14.1 | newest: Twisted 26.10.0, gevent - | 10 / {failed} / 2 | - |"
    assert row in lines
    assert "  core left out 2 x no snappy" in lines
    assert "not here: 3.14t: no free-threaded interpreter was found (python3.14t)" in lines


def test_report_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """What tried every case does not call itself brief."""
    rows = [Row(HERE, "newest", ENVIRONMENT, {"core": Cell(10)})]
    assert matrix.report(rows, [], ["core"], divisor=1) == 0
    assert "Brief" not in capsys.readouterr().out


def test_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    """A share is a number of one at least."""
    with pytest.raises(SystemExit):
        matrix.main(["--share", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_nothing_ran(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that ran nothing is no success."""
    assert matrix.report([], ["3.14: no interpreter was found"], ["core"]) == 1
    assert "nothing was run" in capsys.readouterr().out


def test_no_venv() -> None:
    """An interpreter without its venv module is named, with the package that has it."""
    found = {"3.14": HERE._replace(lacks=("ensurepip",))}
    (line,) = matrix.missing(["3.14"], found)
    assert line == "3.14: /usr/bin/python3.14 lacks ensurepip (Debian: python3.14-venv)"


def test_interpreters_say_what_they_are(tmp_path: Path) -> None:
    """The interpreter of the tests is found by what it says, not by its name."""
    found = matrix_pythons.find(matrix_pythons.NAMES)
    assert {interpreter.name for interpreter in found.values()} == set(found)
    liar = tmp_path / "python3.14"
    liar.write_text("#!/bin/sh\necho no JSON\n", encoding="ascii")
    liar.chmod(0o755)
    assert matrix_pythons.ask(liar) is None
    assert matrix_pythons.ask(tmp_path / "nothing") is None


def test_root_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without root, debootstrap or a mirror nothing is done, and all of it is named at once."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(matrix_root, "mirror", lambda: "")
    assert matrix_root.main([]) == 2
    said = capsys.readouterr().err
    for what in ("root:", "debootstrap (Debian: debootstrap)", "a mirror: apt names none here"):
        assert what in said


def test_places_of_pip(tmp_path: Path) -> None:
    """Files and folders that pip's settings name are had in the root; other values are none."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    given = [
        str(wheels),
        f"file://{wheels}",
        "https://example.com/simple",
        "1",
        "",
        "/nowhere/at/all",
    ]
    assert matrix_root.places(given) == [wheels]


def test_what_is_mounted_is_not_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A root in which a folder of this machine is still mounted stays."""
    monkeypatch.setattr(matrix_root, "mounts_in", lambda root: [f"{root}/proc"])
    matrix_root.remove(tmp_path)
    assert tmp_path.exists()
    assert "there is still mounted" in capsys.readouterr().err
    monkeypatch.setattr(matrix_root, "mounts_in", lambda _: [])
    matrix_root.remove(tmp_path)
    assert not tmp_path.exists()
