"""Count the instructions of fixed work (`tools/scenarios.py`), and fail where they have grown.

    python -m tools.guard            compare; the exit status is 1 if anything grew by more than 3 %
    python -m tools.guard --renew    write the figures to tools/guard.json: `make guard`

Under valgrind, if it is there, they are instructions of the processor, and repeat to the digit;
else instructions of Python. They depend on the interpreter, the libraries and the processor's kind,
which are their key in the file. Where that is not known, the commit before is measured as well, in
the same run: what git has at HEAD if files have changed since, else its parent. Each twin of the
hot path is counted by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
BASELINE: Final = ROOT / "tools" / "guard.json"
PROGRAM: Final = "tools/scenarios.py"
PARTS: Final = ("core", "tools", "tests/__init__.py", "tests/core", "benchmarks/document.json")
"""Of a source tree: what the scenarios need."""
MOST: Final = 0.03
"""Growth that is let pass."""
BESIDE: Final = {"get_named": "get"}
"""What may take at most `MOST` more than another: a named collection is as cheap as the default."""
TWINS: Final = ("0", "1")
"""Of COUCHLOOP_SPEEDUPS: the pure twin, and the compiled one where it is built."""

Figures = dict[str, dict[str, float]]
"""Instructions of an operation, by twin and scenario."""


def how() -> str:
    """Return what is counted here."""
    return "bytecodes" if shutil.which("valgrind") is None else "instructions"


def measure(tree: Path) -> tuple[str, Figures]:
    """Count the scenarios of a source tree; return the key, and the figures.

    Raises CalledProcessError if they cannot be run.
    """
    key = ""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as cache:
        for twin in TWINS:
            told = _run(tree, twin, "key", cache)
            if told["twin"] not in figures:
                key = f"{how()}: {told['key']}"
                figures[told["twin"]] = _counted(tree, twin, cache)
    return key, figures


def _run(tree: Path, twin: str, what: str, cache: str, before: Sequence[str] = ()) -> Any:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        # Compiled before it is counted: the key is asked for first.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": cache,
        "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "core")]),
        "COUCHLOOP_SPEEDUPS": twin,
    }
    command = [*before, sys.executable, "-m", "tools.scenarios", what]
    run = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, run.stdout, run.stderr)
    return json.loads(run.stdout)


def _counted(tree: Path, twin: str, cache: str) -> dict[str, float]:
    if how() == "bytecodes":
        made: dict[str, float] = _run(tree, twin, "bytecodes", cache)["bytecodes"]
        return made
    with tempfile.TemporaryDirectory() as folder:
        valgrind = (
            "valgrind",
            "--quiet",
            "--tool=cachegrind",
            "--cache-sim=no",
            f"--cachegrind-out-file={folder}/%p",
        )
        told = _run(tree, twin, "forks", cache, valgrind)
        counts = {each.name: _total(each.read_text()) for each in Path(folder).iterdir()}
    return {
        name: (counts[str(more)] - counts[str(less)]) / told["operations"][name]
        for name, (less, more) in told["forks"].items()
    }


def _total(text: str) -> int:
    """Return the instructions of a process, from what cachegrind says of it."""
    found = re.search(r"^summary: (\d+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("valgrind gave no summary")
    return int(found[1])


def _git(*arguments: str) -> bytes | None:
    """Return what git says; None: it says no, or is not there."""
    git = shutil.which("git")
    if git is None:
        return None
    run = subprocess.run((git, *arguments), cwd=ROOT, capture_output=True, check=False)
    return None if run.returncode else run.stdout


def commit_before() -> str | None:
    """Return the commit that the files here come from; None: there is no git, or no such commit."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    if changed is None:
        return None
    name = "HEAD" if changed.strip() else "HEAD^"
    found = _git("rev-parse", "--verify", "--quiet", name)
    return None if found is None else found.decode().strip()


def measured_at(commit: str) -> Figures | None:
    """Return the figures of a commit; None: it has no such scenarios, and cannot run these."""
    archive = _git("archive", commit, *PARTS)
    if archive is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        with tarfile.open(fileobj=BytesIO(archive)) as packed:
            packed.extractall(tree, filter="data")
        program = tree / PROGRAM
        own = program.read_bytes() if program.exists() else None
        # The same work, if it can be done there; else what was the work there.
        for text in ((ROOT / PROGRAM).read_bytes(), own):
            if text is not None:
                program.write_bytes(text)
                try:
                    return measure(tree)[1]
                except subprocess.CalledProcessError:
                    continue
    return None


def compared(now: Figures, before: Figures) -> Iterator[tuple[str, bool]]:
    """Return a line for each scenario, and whether it has grown too much."""
    for twin, figures in now.items():
        for name, count in figures.items():
            line = f"{twin:8} {name:14} {count:10.0f}"
            known = before.get(twin, {}).get(name)
            if known is None:
                yield f"{line}  (not known before)", False
                continue
            growth = count / known - 1
            is_worse = count > known * (1 + MOST)
            yield f"{line}  {growth:+.1%}{'  GREW' if is_worse else ''}", is_worse


def beside(now: Figures) -> Iterator[tuple[str, bool]]:
    """Return a line for each scenario that may cost hardly more than another, and whether it does.

    Both are of the same run, so that no figures of before are needed.
    """
    for twin, figures in now.items():
        for name, other in BESIDE.items():
            if name in figures and other in figures:
                more = figures[name] / figures[other] - 1
                is_worse = figures[name] > figures[other] * (1 + MOST)
                mark = "  TOO MUCH" if is_worse else ""
                yield f"{twin:8} {name:14} {more:+.1%} beside {other}{mark}", is_worse


def load() -> dict[str, Figures]:
    """Return the figures of each key."""
    if not BASELINE.exists():
        return {}
    found: dict[str, Figures] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return found


def renew(key: str, figures: Figures) -> None:
    """Write *figures* to the file."""
    rounded = {
        twin: {name: round(count) for name, count in each.items()} for twin, each in figures.items()
    }
    made: Mapping[str, Any] = {**load(), key: rounded}
    text = json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False)
    BASELINE.write_text(f"{text}\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, or renew; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--renew", action="store_true", help="write the figures to the file")
    options = parser.parse_args(arguments)
    key, figures = measure(ROOT)
    print(key)
    if options.renew:
        before, whence = load().get(key, {}), "the file so far"
        renew(key, figures)
    elif (known := load().get(key)) is not None:
        before, whence = known, BASELINE.name
    else:
        commit = commit_before()
        found = None if commit is None else measured_at(commit)
        before = found or {}
        whence = "nothing: git has no commit before this"
        if commit is not None:
            whence = (
                f"commit {commit[:10]}" if found else "nothing: the commit before cannot run it"
            )
    lines = list(compared(figures, before))
    print(f"instructions of an operation, compared with {whence}")
    lines += beside(figures)
    for line, _ in lines:
        print(line)
    if not any(is_worse for _, is_worse in (beside(figures) if options.renew else lines)):
        return 0
    print(f"more than {MOST:.0%}: make it cheaper; or renew the figures (make guard), and say why")
    return 1


if __name__ == "__main__":
    sys.exit(main())
