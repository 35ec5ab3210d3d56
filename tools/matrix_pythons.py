"""The interpreters of the matrix: where they are, and an environment on each.

Part of `tools/matrix.py`. Only the standard library is used.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".cache" / "matrix"
CONSTRAINTS: Final = ROOT / "tools" / "constraints"

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "3.11": ("python3.11",),
    "3.12": ("python3.12",),
    "3.13": ("python3.13",),
    "3.14": ("python3.14",),
    "3.15": ("python3.15",),
    "pypy3.11": ("pypy3.11", "pypy3"),
    "3.13t": ("python3.13t",),
    "3.14t": ("python3.14t",),
    "3.15t": ("python3.15t",),
}
"""Interpreters that are looked for, and what each is called; `t` are the free-threaded ones."""

_ASK: Final = """
import importlib.util, json, platform, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
name = "%d.%d" % sys.version_info[:2] + "t" * free
pypy = platform.python_implementation() == "PyPy"
full = platform.python_version()
if pypy:
    full += ", PyPy %d.%d.%d" % sys.pypy_version_info[:3]
lacks = [each for each in ("venv", "ensurepip") if importlib.util.find_spec(each) is None]
print(json.dumps(["pypy" * pypy + name, full, lacks]))
"""


class Interpreter(NamedTuple):
    """One that was found."""

    name: str
    """A key of `NAMES`."""
    program: Path
    version: str
    lacks: tuple[str, ...] = ()
    """Modules without which no environment can be made."""


def _folders() -> Iterator[Path]:
    yield Path(sys.executable).parent
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        # What stands for pyenv's interpreters starts only those that are chosen at the moment.
        if folder and Path(folder).name != "shims":
            yield Path(folder)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/*/bin"))


def ask(program: Path) -> Interpreter | None:
    """Return what *program* says it is; None where it does not start, or says nothing."""
    try:
        process = subprocess.run(
            (str(program), "-c", _ASK), capture_output=True, text=True, check=True, timeout=60
        )
        name, version, lacks = json.loads(process.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(name, program, version, tuple(lacks))


def find(names: Iterable[str]) -> dict[str, Interpreter]:
    """Return, for each of *names* that is installed, an interpreter; one with venv if there is."""
    folders = list(_folders())
    found: dict[str, Interpreter] = {}
    for name in names:
        for folder in folders:
            for program in NAMES[name]:
                path = folder / program
                if not os.access(path, os.X_OK):
                    continue
                interpreter = ask(path)
                if interpreter is None or interpreter.name != name:
                    continue
                if name not in found or (found[name].lacks and not interpreter.lacks):
                    found[name] = interpreter
            if name in found and not found[name].lacks:
                break
    return found


class Group(NamedTuple):
    """Packages that are installed together or not at all."""

    name: str
    what: str
    """What is left out without them."""
    packages: tuple[str, ...]
    instead: tuple[str, ...] = ()
    """What is tried where these cannot be installed."""
    from_source: bool = False
    """Whether a compiler is tried where no wheel fits."""


_WHEELS: Final = "--only-binary=:all:"
_TESTS: Final = ("hypothesis", "pytest", "pytest-timeout", "scramp")


def groups() -> list[Group]:
    """Return what is installed, as setup.cfg asks for it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = parser["options.extras_require"]
    tests = {
        re.split(r"[ <>=\[]", line)[0]: line for line in extras["test"].split("\n") if line.strip()
    }

    def extra(name: str) -> tuple[str, ...]:
        return tuple(line for line in extras[name].split("\n") if line.strip())

    core = tuple(filter(None, parser["options"]["install_requires"].split("\n")))
    plain = tuple(
        re.sub(r"\[.*\]", "", line) for line in extra("twisted") if line.startswith("Twisted")
    )
    return [
        Group("core", "everything", (*core, *(tests[each] for each in _TESTS)), from_source=True),
        Group("twisted", "TLS on Twisted", extra("twisted"), plain, from_source=True),
        Group("gevent", "all tests on gevent", extra("gevent"), from_source=True),
        Group("pytest-twisted", "all tests on Twisted", (tests["pytest-twisted"],)),
        Group("trustme", "tests that make certificates", (tests["trustme"],)),
        Group("snappy", "compression", extra("snappy")),
        Group("srv", "DNS SRV on gevent", extra("srv")),
        Group("views", "views in JavaScript", extra("views")),
        Group("otel", "OpenTelemetry", (*extra("otel"), tests["opentelemetry-sdk"])),
        Group("prometheus", "Prometheus", extra("prometheus")),
        Group("fast", "JSON by msgspec and orjson", extra("fast")),
        Group("gunicorn", "tests under gunicorn", (tests["gunicorn"],)),
        *(Group(name, f"recipes with {name}", (line,)) for name, line in _frameworks(extras)),
    ]


def _frameworks(extras: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the name and the line of each framework of the recipes: one may fit without others."""
    lines = [line for line in extras["recipes"].split("\n") if line.strip()]
    named = [(re.split(r"[ <>=]", line)[0], line) for line in lines]
    return [(name, line) for name, line in named if name != "gunicorn"]


class Environment(NamedTuple):
    """Where the tests of one interpreter run with one set of libraries."""

    python: Path
    versions: Mapping[str, str]
    """Of the packages that are in it, by name in small letters."""
    lacking: Mapping[str, str]
    """By the name of a group: what is left out, and why."""


def _pip(python: Path, constraints: Path, packages: Sequence[str], *options: str) -> str:
    """Install *packages*; return nothing, or the last words of pip."""
    # What is not compiled at once is when it is imported.
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
    command += ["--disable-pip-version-check", f"--constraint={constraints}", *options, *packages]
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if not process.returncode:
        return ""
    lines = [line.strip() for line in process.stdout.splitlines() if "ERROR" in line]
    return (lines or ["pip failed"])[-1].removeprefix("ERROR: ")


def _install(python: Path, constraints: Path, group: Group) -> str:
    """Install a group; return nothing, or what is left out and why."""
    if not _pip(python, constraints, group.packages, _WHEELS):
        return ""
    why = "no wheel fits"
    if group.from_source and not group.instead:
        if not _pip(python, constraints, group.packages):
            return ""
        why = "no wheel fits, and it could not be built"
        if not shutil.which("gcc"):
            why += " (there is no gcc)"
    for options in ((_WHEELS,), ()) if group.instead else ():
        if not _pip(python, constraints, group.instead, *options):
            break
    return f"{group.what} ({', '.join(group.packages)}: {why})"


def _versions(python: Path) -> dict[str, str]:
    ask_for = "from importlib.metadata import distributions as d; import json; print(json.dumps(\
{e.metadata['Name'].lower(): e.version for e in d()}))"
    process = subprocess.run(
        (str(python), "-c", ask_for), capture_output=True, text=True, check=True
    )
    versions: dict[str, str] = json.loads(process.stdout)
    return versions


def make(interpreter: Interpreter, libraries: str) -> Environment:
    """Return the environment of *interpreter* with *libraries*, made once.

    It is made anew when setup.cfg or the constraints have changed. Raises
    subprocess.CalledProcessError where none can be made.
    """
    constraints = CONSTRAINTS / f"{libraries}.txt"
    folder = CACHE / f"{interpreter.name}-{libraries}"
    python = folder / "bin" / "python"
    note = folder / "made.json"
    wanted = groups()
    # JSON has no tuples.
    recipe = json.loads(json.dumps([interpreter.version, constraints.read_text("utf-8"), wanted]))
    if note.exists():
        before, lacking = json.loads(note.read_text("utf-8"))
        if before == recipe:
            return Environment(python, _versions(python), lacking)
    command = (str(interpreter.program), "-m", "venv", "--clear", str(folder))
    subprocess.run(command, check=True, capture_output=True)
    lacking = {}
    everything = [package for group in wanted for package in group.packages]
    # Group by group takes several times as long: only where that is needed to tell what lacks.
    if _pip(python, constraints, everything, _WHEELS):
        for group in wanted:
            if why := _install(python, constraints, group):
                lacking[group.name] = why
    note.write_text(json.dumps([recipe, lacking]), encoding="utf-8")
    return Environment(python, _versions(python), lacking)
