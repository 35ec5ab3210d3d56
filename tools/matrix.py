"""Run the tests on every interpreter that is here, with the oldest and the newest libraries.

    python tools/matrix.py [--list] [--share NUMBER] [INTERPRETER | oldest | newest | STEP ...]

Without words everything runs, which takes an hour or more; `3.14 newest core` runs one step on one
interpreter. Tests of many cases try a fourth of them, and the table says that it is brief;
`--share 1` tries all, as `make test-full` does. Environments are made once, under .cache/matrix/,
where the output of each step is, too. It prints one table: per step how many tests passed, failed,
and were left out. The exit status is 1 if any test failed. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # Run as a file: Python looks for modules in this folder alone.
    sys.path.insert(0, str(ROOT))

from tools.check import all_steps  # noqa: E402 - see above
from tools.matrix_pythons import (  # noqa: E402
    CACHE,
    NAMES,
    Environment,
    Interpreter,
    find,
    make,
)

LIBRARIES: Final = ("oldest", "newest")


class Step(NamedTuple):
    """Tests that run in one process."""

    name: str
    folder: str
    needs: tuple[str, ...] = ()
    """Packages without which there is nothing to run."""
    on_twisted: bool = False
    trial: tuple[str, ...] = ()
    """What trial runs of the folder, and how: what pytest leaves to it."""


def _trial(reactor: str) -> Step:
    """Return the step for what `make test` runs by trial on *reactor*, which runs it itself."""
    (step,) = (step for step in all_steps() if step.name == f"trial-{reactor}")
    _, *arguments = step.command
    return Step(step.name, "tests/txcouchbase", ("twisted",), on_twisted=True, trial=(*arguments,))


STEPS: Final = (
    Step("core", "tests/core"),
    Step("embedded", "tests/embedded"),
    Step("txcouchbase", "tests/txcouchbase", ("twisted", "pytest-twisted"), on_twisted=True),
    Step("gcouchbase", "tests/gcouchbase", ("gevent",)),
    Step("kit-twisted", "tests/conformance", ("twisted", "pytest-twisted"), on_twisted=True),
    Step("kit-gevent", "tests/conformance", ("gevent",)),
    _trial("epoll"),
    _trial("asyncio"),
)
"""The adapters are two steps, and so is the kit that runs on both."""

_PATIENCE: Final = "240"
"""Seconds that a test may take, instead of 60: code may run slowly until it is compiled."""
BRIEF: Final = 4
"""Of tests with many cases, every so many is tried (COUCHLOOP_SHARE), if not asked otherwise."""
NOT_OURS: Final = "ignore:It looks like `register_random` was passed an object"
"""Hypothesis counts references to its own generator, and errs on Python 3.14. pytest takes what
stands on its command line literally."""

_COUNT: Final = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")
_SKIP: Final = re.compile(r"^SKIPPED \[(\d+)\] (?:[^:]+:)?(?:\d+:)? ?(.*)$", re.MULTILINE)
_FAILURE: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_TRIAL_COUNT: Final = re.compile(r"(successes|failures|errors|skips|todos)=(\d+)")
_TRIAL_RESULT: Final = re.compile(r"^\[(\w+)\]\n(.*?)\n\n([\w.]+)$", re.MULTILINE | re.DOTALL)
_TRIAL_SECTION: Final = re.compile(r"^=+\n", re.MULTILINE)


class Cell(NamedTuple):
    """What came of one step."""

    passed: int = 0
    failed: int = 0
    left_out: int = 0
    why: str = ""
    """Why the step did not run, or did not come to its end."""
    failures: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text of the cell."""
        if not self.passed + self.failed + self.left_out:
            return "-"
        return f"{self.passed} / {self.failed} / {self.left_out}" + " *" * bool(self.why)


class Row(NamedTuple):
    """An interpreter with a set of libraries."""

    interpreter: Interpreter
    libraries: str
    environment: Environment
    cells: dict[str, Cell]


class Choice(NamedTuple):
    """What is to run."""

    interpreters: tuple[str, ...]
    libraries: tuple[str, ...]
    steps: tuple[str, ...]


def choose(words: Iterable[str]) -> Choice:
    """Return what *words* name: of a kind that they name none of, all.

    Raises ValueError for a word that names nothing.
    """
    kinds = (tuple(NAMES), LIBRARIES, tuple(step.name for step in STEPS))
    named = list(words)
    for word in named:
        if not any(word in kind for kind in kinds):
            there = "; ".join(", ".join(kind) for kind in kinds)
            raise ValueError(f"nothing is called {word!r}; there are: {there}")
    chosen = [tuple(name for name in kind if name in named) or kind for kind in kinds]
    return Choice(*chosen)


def read(output: str, status: int) -> Cell:
    """Return what pytest's *output* says, which ended with *status*."""
    last = next((line for line in reversed(output.splitlines()) if _COUNT.search(line)), "")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for number, what in _COUNT.findall(last):
        key = "failed" if what.startswith("error") else what.replace("xfailed", "skipped")
        counts[key] += int(number)
    reasons: dict[str, int] = {}
    for number, reason in _SKIP.findall(output):
        reasons[reason] = reasons.get(reason, 0) + int(number)
    why = ""
    if status not in {0, 1} or (status == 1 and not counts["failed"]):
        why = f"pytest ended with status {status}"
    return Cell(
        counts["passed"],
        counts["failed"],
        counts["skipped"],
        why,
        tuple(_FAILURE.findall(output)),
        tuple(f"{number} x {reason}" for reason, number in reasons.items()),
    )


def read_trial(output: str, status: int) -> Cell:
    """Return what trial's *output* says, which ended with *status*."""
    last = next((line for line in reversed(output.splitlines()) if _TRIAL_COUNT.search(line)), "")
    counts = {what: int(number) for what, number in _TRIAL_COUNT.findall(last)}
    failures: dict[str, None] = {}
    reasons: dict[str, int] = {}
    for section in _TRIAL_SECTION.split(output):
        result = _TRIAL_RESULT.match(section)
        if result is None:
            continue
        kind, text, test = result.groups()
        if kind in {"FAIL", "ERROR"}:
            failures[test] = None
        else:
            reasons[text] = reasons.get(text, 0) + section.count("\ntests.")
    failed = counts.get("failures", 0) + counts.get("errors", 0)
    # It ends with 1 for any failure, and where it could not begin.
    ended = bool(counts) and status in {0, 1} and bool(status) == bool(failed)
    return Cell(
        counts.get("successes", 0),
        failed,
        counts.get("skips", 0) + counts.get("todos", 0),
        "" if ended else f"trial ended with status {status}",
        tuple(failures),
        tuple(f"{number} x {reason}" for reason, number in reasons.items()),
    )


def _variables(divisor: int) -> dict[str, str]:
    # With that variable each program that a test starts would compile all of us anew.
    inherited = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    path = os.pathsep.join((str(ROOT), str(ROOT / "core")))
    # No interpreter takes what was compiled for another; examples of properties are the same ones.
    return {
        **inherited,
        "PYTHONPATH": path,
        "CI": "1",
        "COUCHLOOP_SHARE": str(divisor),
        "COUCHLOOP_SPEEDUPS": "0",
    }


def run(step: Step, row: Row, options: Sequence[str] = (), divisor: int = BRIEF) -> Cell:
    """Run one step; its output goes to a file, too."""
    lacking = row.environment.lacking
    for need in step.needs:
        # Without TLS there still is Twisted.
        if need not in row.environment.versions:
            return Cell(why=f"left out: {lacking.get(need, f'no {need}')}")
    command = [str(row.environment.python), *step.trial]
    if not step.trial:
        command += ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if not step.on_twisted:
            command += ["-p", "no:twisted", "-p", "no:pytest_twisted"]
        command += ["-o", f"timeout={_PATIENCE}", "-W", NOT_OURS, *options, step.folder]
    log = CACHE / f"{row.interpreter.name}-{row.libraries}-{step.name}.txt"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.run(
            command,
            cwd=ROOT,
            env=_variables(divisor),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    told = log.read_text("utf-8", "replace")
    cell = (read_trial if step.trial else read)(told, process.returncode)
    if cell.failed or cell.why:
        print(f"    see {log.relative_to(ROOT)}", flush=True)
    return cell


def _libraries(row: Row) -> str:
    versions = row.environment.versions
    names = {"twisted": "Twisted", "gevent": "gevent"}
    listed = [f"{name} {versions.get(key, '-')}" for key, name in names.items()]
    return f"{row.libraries}: {', '.join(listed)}"


def table(rows: Sequence[Row], steps: Sequence[str]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| interpreter | libraries | " + " | ".join(steps) + " |",
        "| --- " * (len(steps) + 2) + "|",
    ]
    for row in rows:
        cells = [str(row.cells[name]) for name in steps]
        texts = (row.interpreter.version, _libraries(row), *cells)
        lines.append(f"| {' | '.join(texts)} |")
    return lines


def remarks(rows: Sequence[Row]) -> list[str]:
    """Return what the table has no room for: what failed, and why anything was left out."""
    lines: list[str] = []
    for row in rows:
        said = [f"left out: {what}" for what in row.environment.lacking.values()]
        for name, cell in row.cells.items():
            said += [f"{name}: {cell.why}"] * bool(cell.why)
            said += [f"{name} FAILED {failure}" for failure in cell.failures]
            said += [f"{name} left out {skip}" for skip in cell.skips]
        if said:
            lines.append(f"{row.interpreter.version}, {row.libraries}:")
            lines += [f"  {line}" for line in said]
    return lines


def missing(wanted: Iterable[str], found: dict[str, Interpreter]) -> list[str]:
    """Return a line for each interpreter that is not here, or cannot make an environment."""
    lines = []
    for name in wanted:
        interpreter = found.get(name)
        if interpreter is None:
            kind = "free-threaded " if name.endswith("t") else ""
            lines.append(f"{name}: no {kind}interpreter was found ({', '.join(NAMES[name])})")
        elif interpreter.lacks:
            without = ", ".join(interpreter.lacks)
            package = f"{NAMES[name][-1]}-venv"
            lines.append(f"{name}: {interpreter.program} lacks {without} (Debian: {package})")
    return lines


def report(
    rows: Sequence[Row], absent: Sequence[str], steps: Sequence[str], divisor: int = BRIEF
) -> int:
    """Print the table and what belongs to it; return the exit status."""
    if rows:
        print("\nPer step: passed / failed / left out; - did not run; * did not end well")
        print(f"Brief: tests of many cases tried a share of 1/{divisor}\n" if divisor > 1 else "")
        print("\n".join(table(rows, steps)))
    for line in remarks(rows):
        print(line)
    for line in absent:
        print(f"not here: {line}")
    cells = [cell for row in rows for cell in row.cells.values()]
    if not any(cell.passed for cell in cells):
        print("nothing was run")
        return 1
    # A step that did not run for want of a package is no failure; one that broke off is.
    broke = [cell for cell in cells if " ended with " in cell.why]
    return int(bool(broke) or any(cell.failed for cell in cells))


def _run_rows(
    choice: Choice, here: Sequence[Interpreter], options: Sequence[str], divisor: int
) -> list[Row]:
    rows: list[Row] = []
    for interpreter in here:
        for libraries in choice.libraries:
            print(f"{interpreter.version}, {libraries}: environment", flush=True)
            row = Row(interpreter, libraries, make(interpreter, libraries), {})
            rows.append(row)
            for step in STEPS:
                if step.name in choice.steps:
                    print(f"{interpreter.version}, {libraries}: {step.name}", flush=True)
                    row.cells[step.name] = cell = run(step, row, options, divisor)
                    print(f"    {cell.why or cell}", flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the tests on every interpreter that is here.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="interpreter, libraries or step")
    parser.add_argument("--list", action="store_true", help="only say which interpreters are here")
    parser.add_argument(
        "--share", type=int, default=BRIEF, metavar="N", help="try 1/N of many cases"
    )
    parser.add_argument("--pytest", action="append", default=[], help="an option for pytest")
    options = parser.parse_args(arguments)
    try:
        choice = choose(" ".join(options.words).replace(",", " ").split())
    except ValueError as error:
        parser.error(str(error))
    if options.share < 1:
        parser.error("--share: at least 1, which is all")
    # What a shell runs in the background inherits that SIGINT is ignored; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = find(choice.interpreters)
    absent = missing(choice.interpreters, found)
    here = [each for each in found.values() if not each.lacks]
    if options.list:
        for each in here:
            print(f"{each.name}: {each.version}, {each.program}")
        print("\n".join(f"not here: {line}" for line in absent))
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    rows = _run_rows(choice, here, options.pytest, options.share)
    return report(rows, absent, choice.steps, options.share)


if __name__ == "__main__":
    sys.exit(main())
