"""Run every check of the project, each in a process of its own, and sum up.

    python tools/check.py [--full] [format | lint | types | layers | guard | coverage
                                    | trial-REACTOR | gevent-LOOP | conformance-LOOP
                                    | gevent-oldest | gevent-newest | tests/FOLDER ...]

Without arguments all steps run, whether or not an earlier one failed, two at a time where the
machine has two cores; `--full` adds those that take long. The exit status is 1 if any failed. Only
the standard library is used; run it with the Python of the environment that holds the tools.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent

PROGRAMS: Final[Mapping[str, str]] = {
    "node": "the tests with the official Node.js SDK",
    "npm": "the tests with the official Node.js SDK",
    "memcached": "the tests with plain memcached servers",
    "chromedriver": "the status page in a browser (Debian: chromium, chromium-driver)",
    "valgrind": "instructions of the processor, for which the guard counts those of Python",
}
"""Outside programs that some tests need, and what is left out without them."""

PACKAGES: Final[Mapping[str, str]] = {"sphinx": "the build of the site (make docs installs it)"}
"""Likewise for packages that no extra for tests brings."""

REACTORS: Final = ("select", "poll", "epoll", "asyncio")
"""Reactors that the socket tests must pass on, each in a process of its own."""

_REACTOR_TESTS: Final = (
    "tests/txcouchbase/test_hooks.py",
    "tests/txcouchbase/test_reactors.py",
    "tests/txcouchbase/test_standstill.py",
    "tests/txcouchbase/test_tracing.py",
)

GEVENT_LOOPS: Final = ("libuv-cffi",)
"""Loops of gevent, beside its default, that the tests in the process itself must pass on."""

GEVENT_VERSIONS: Final = ("oldest", "newest")
"""Versions of gevent with which the parts of it that are private are tested (tools/gevents.py)."""

CORE: Final = "couchloop"

_GEVENT_TESTS: Final = {
    "gevent": tuple(
        f"tests/gcouchbase/test_{name}.py"
        for name in (
            "bad_input",
            "lifetime",
            "loops",
            "memory",
            "operations",
            "standstill",
            "threads",
            "tls",
            "waiting",
        )
    ),
    # What leans on watchers, timers and threads of the loop.
    "conformance": tuple(
        f"tests/conformance/test_{name}.py"
        for name in (
            "backpressure",
            "connection_budget",
            "cycles",
            "health",
            "hostile_services",
            "limits",
            "options",
            "pool",
            "services",
            "sockets",
            "streams",
            "threads",
            "tls",
            "waiting",
        )
    ),
}
"""What is run, each in a process of its own."""

# Programs that fork choose their loops by themselves.
_WHOLE_KIT: Final = ("tests/conformance", "--ignore=tests/conformance/test_fork.py")

_NO_TWISTED: Final = ("-p", "no:twisted")
"""pytest-twisted runs every test in a reactor's greenlet: only the Twisted tests want that."""


PURE: Final = "0"
"""COUCHLOOP_SPEEDUPS, where tests are to run on Python's own hot path."""


class PytestRun(NamedTuple):
    """One process of pytest."""

    folders: tuple[str, ...]
    options: tuple[str, ...] = _NO_TWISTED
    is_measured: bool = False
    """Whether the branches of the core that it takes are counted."""
    name: str = ""
    """Of its step, if not that of its folders."""
    twin: str = ""
    """The twin of the hot path that it runs on, as COUCHLOOP_SPEEDUPS has it; empty: compiled where
    it could be built."""
    share: int = 4
    """It does one part of so many of what it would do alone (tests/share.py): examples of
    properties, simulated worlds, and the numbers of some."""


class Step(NamedTuple):
    """One check: its name in the summary and its command line."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    follows: bool = False
    """Whether it needs what the step before it has left behind."""


TEST_RUNS: Final[Sequence[PytestRun]] = (
    PytestRun(("tests/core",), is_measured=True, twin=PURE),
    PytestRun(
        tuple(f"tests/core/{room}" for room in ("hot", "kv", "operations", "session")),
        name="core-compiled",
    ),
    PytestRun(("tests/embedded", "tests/project", "tests/simulation"), twin=PURE),
    PytestRun(("tests/txcouchbase",), options=(), twin=PURE),
    PytestRun(("tests/gcouchbase",)),
    PytestRun(("tests/conformance",), options=(), name="conformance-twisted"),
    PytestRun(("tests/conformance",), name="conformance-gevent", twin=PURE),
    PytestRun(("tests/interop",)),
)
"""Every folder of tests; Twisted and gevent must not share a process."""


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


_ON_BOTH: Final = {
    "txcouchbase",
    "gcouchbase",
    "conformance-twisted",
    "conformance-gevent",
}
"""Runs that are made on the other twin, too, in full length."""

_WHOLE: Final = {"core", "core-compiled", "embedded"}
"""Runs that are made again in full length, with nothing counted."""


def _pytest(run: PytestRun, paths: Sequence[str]) -> Step:
    environment: tuple[tuple[str, str], ...] = ()
    if run.twin:
        environment += (("COUCHLOOP_SPEEDUPS", run.twin),)
    if run.share > 1:
        environment += (("COUCHLOOP_SHARE", str(run.share)),)
    return Step(run.name or " ".join(paths), _module("pytest", *run.options, *paths), environment)


def _measured(run: PytestRun) -> list[Step]:
    """Return the steps that run tests under coverage.py, and then compare with the floor."""
    step = _pytest(run, run.folders)
    command = _module("coverage", "run", f"--source={CORE}", *step.command[1:])
    return [
        step._replace(command=command),
        Step("coverage", _module("coverage", "report"), follows=True),
    ]


def _on_loop(loop: str, name: str, paths: Sequence[str]) -> Step:
    """Return the step that runs tests on a loop of gevent."""
    step = _pytest(PytestRun((), ("-q", *_NO_TWISTED)), paths)
    # With that gevent warns of watchers that are forgotten: libuv keeps pointers to them.
    environment = (("GEVENT_LOOP", loop), ("GEVENT_DEBUG", "debug"))
    return step._replace(name=name, environment=environment)


def all_steps() -> list[Step]:
    """Return every step in the order in which they run."""
    steps = [
        Step("format", _module("ruff", "format", "--check")),
        Step("lint", _module("ruff", "check")),
        Step("types", _module("mypy")),
        Step("layers", (str(Path(sys.executable).with_name("lint-imports")),)),
        Step("guard", _module("tools.guard")),
    ]
    for run in TEST_RUNS:
        steps += _measured(run) if run.is_measured else [_pytest(run, run.folders)]
    for loop in GEVENT_LOOPS:
        for name, paths in _GEVENT_TESTS.items():
            steps.append(_on_loop(loop, f"{name}-{loop}", paths))
    # The short ones come last: neither of two that run at one time waits long for the other's end.
    modules = [name.removesuffix(".py").replace("/", ".") for name in _REACTOR_TESTS]
    steps += [
        Step(f"trial-{reactor}", _module("twisted.trial", f"--reactor={reactor}", *modules))
        for reactor in REACTORS
    ]
    steps += [
        Step(f"gevent-{which}", (sys.executable, "tools/gevents.py", which))
        for which in GEVENT_VERSIONS
    ]
    return steps


def long_steps() -> list[Step]:
    """Return the steps in full length that `make test` takes in a brief form, and some beside."""
    runs = {
        run.name or run.folders[0].partition("/")[2]: run._replace(share=1) for run in TEST_RUNS
    }
    # All of the core on either twin, and not only the rooms that know which one it is.
    runs["core-compiled"] = runs["core-compiled"]._replace(folders=runs["core"].folders)
    whole = [run._replace(name=f"{name}-whole") for name, run in runs.items() if name in _WHOLE]
    others = [
        run._replace(name=f"{name}-other-twin", twin="" if run.twin else PURE)
        for name, run in runs.items()
        if name in _ON_BOTH
    ]
    return [
        *(_pytest(run, run.folders) for run in (*whole, *others)),
        *(_on_loop(loop, f"conformance-whole-{loop}", _WHOLE_KIT) for loop in GEVENT_LOOPS),
        Step("memory", (sys.executable, "tools/memory.py")),
        Step("simulation", _module("tests.simulation", "1000", "--worlds", "300")),
        Step("soak", _module("tests.soak")),
    ]


def choose_steps(wanted: Iterable[str]) -> list[Step]:
    """Return the steps that *wanted* names: by name, or a test folder or file to run alone.

    Raises ValueError for a name that no step has.
    """
    steps = {step.name: step for step in (*all_steps(), *long_steps())}
    chosen: list[Step] = []
    for name in wanted:
        path = name.rstrip("/")
        runs = [
            _pytest(run._replace(share=1), (path,))
            for run in TEST_RUNS
            if any(f"{path}/".startswith(f"{folder}/") for folder in run.folders)
        ]
        if name in steps:
            chosen.append(steps[name])
        elif runs:
            chosen += runs
        else:
            raise ValueError(f"no step is called {name!r}; there are: {', '.join(steps)}")
    return chosen


def missing_programs(programs: Mapping[str, str]) -> list[str]:
    """Return, for each program that is not installed, which tests are left out."""
    return [
        f"{name} is not installed: left out are {tests}"
        for name, tests in programs.items()
        if shutil.which(name) is None
    ]


def missing_packages(packages: Mapping[str, str]) -> list[str]:
    """Return, for each package that is not installed, which tests are left out."""
    return [
        f"the package {name} is not installed: left out is {tests}"
        for name, tests in packages.items()
        if find_spec(name) is None
    ]


_UNWANTED: Final = ("PYTHONDONTWRITEBYTECODE",)
"""Variables that steps do not inherit. With this one every program that a test starts would compile
all of us anew: half of what the tests take."""


def _environment(step: Step) -> dict[str, str]:
    # Not relative: tests start programs in other folders.
    paths = [str(ROOT), str(ROOT / "core"), os.environ.get("PYTHONPATH", "")]
    found = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    inherited = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return {**inherited, **found, **dict(step.environment)}


def _run_apart(steps: Sequence[Step]) -> dict[str, int]:
    """Run *steps* one after another beside others; print what each has printed once it is over."""
    statuses = {}
    for step in steps:
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            statuses[step.name] = subprocess.run(
                step.command,
                cwd=ROOT,
                env=_environment(step),
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
            output.seek(0)
            print(f"\n=== {step.name}\n{output.read()}", end="", flush=True)
    return statuses


def run(steps: Sequence[Step], at_once: int = 1) -> dict[str, int]:
    """Run *steps*, *at_once* at a time, in order; return the exit status of each."""
    if at_once == 1:
        statuses = {}
        for step in steps:
            print(f"\n=== {step.name}", flush=True)
            statuses[step.name] = subprocess.run(
                step.command, cwd=ROOT, env=_environment(step), check=False
            ).returncode
        return statuses
    groups: list[list[Step]] = []
    for step in steps:
        if step.follows and groups:
            groups[-1].append(step)
        else:
            groups.append([step])
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(_run_apart, groups))
    return {name: status for result in results for name, status in result.items()}


def report(statuses: Mapping[str, int], missing: Iterable[str]) -> int:
    """Print one line per step and per missing program; return the exit status of the whole."""
    print("\n=== summary")
    for name, status in statuses.items():
        print(f"{'FAILED' if status else 'ok    '} {name}")
    for line in missing:
        print(f"note   {line}")
    return int(any(statuses.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the project's checks.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="step or test folder; all if none")
    parser.add_argument("--full", action="store_true", help="the steps that take long, too")
    options = parser.parse_args(arguments)
    try:
        steps = choose_steps(options.steps) if options.steps else all_steps()
    except ValueError as error:
        parser.error(str(error))
    if options.full:
        steps += long_steps()
    # What a shell runs in the background inherits that SIGINT is ignored; tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    at_once = 1 if options.steps else min(2, os.cpu_count() or 1)
    # First of all: what is compiled must not change while tests run on it.
    built = run([Step("speedups", (sys.executable, "tools/speedups.py"))])
    missing = [*missing_programs(PROGRAMS), *missing_packages(PACKAGES)]
    return report({**built, **run(steps, at_once)}, missing)


if __name__ == "__main__":
    sys.exit(main())
