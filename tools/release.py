"""Try a release as those who install it would: `make release-check`.

    python tools/release.py [--dist FOLDER] [STEP ...]

Builds the source distribution, the pure wheel and a compiled one from what git has, and looks into
them; installs each extra alone into an empty environment and tries what it is for; runs the
README's programs, type checkers and some tests on what was installed. The last lines are a table;
the exit status is 1 if anything failed. What needs a program that is not there is left out, and the
table says so. All is made in a temporary folder, which is removed; with `--dist` the three files
are put into FOLDER if all is well. pip installs from wherever it is set up to. Only the standard
library is used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # Run as a file: Python looks for modules in this folder alone.
    sys.path.insert(0, str(ROOT))

from tools import release_contents as contents  # noqa: E402 - see above

TOOLS: Final = (
    "abi3audit",
    "build>=1.2",
    "cython>=3.1",
    "mypy>=2.4",
    "pyright",
    "setuptools>=77",
    "trove-classifiers",
    "twine>=6.1",
)
"""Packages that build and check, in an environment of their own."""

BESIDE: Final = {"srv": "gevent,srv", "nothing": ""}
"""What is installed for a trial that needs another extra than its own."""

UNWANTED: Final = ("PYTHON", "COUCHLOOP_", "COUCHBASE", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV")
"""How variables begin that would let trials see more, or other things, than was installed."""

LIMIT: Final = 900
"""Seconds after which a command is taken for one that hangs."""

_NO_MORE: Final[Mapping[str, str]] = {}

INTERPRETERS: Final = ("python3.12", "python3.13", "python3.14", "python3.15")
"""Others that the compiled wheel is for."""


class Failure(Exception):  # noqa: N818 - it is one
    """A step has failed; the text says of what."""


class LeftOut(Exception):  # noqa: N818 - no error
    """A step cannot be done here; the text says what is missing."""


class Row(NamedTuple):
    """What has become of a step."""

    step: str
    state: str
    """`ok`, `FAILED` or `left out`."""
    seconds: float
    note: str


def environment() -> dict[str, str]:
    """Return this process's environment, as somebody has it who has only installed us."""
    return {name: os.environ[name] for name in os.environ if not name.startswith(UNWANTED)}


def run(
    *command: str | Path, cwd: Path, told: bool = False, more: Mapping[str, str] = _NO_MORE
) -> str:
    """Run a command; return what it printed. Raises Failure with its last lines if it fails.

    Args:
        command: what to run.
        cwd: the folder in which.
        told: whether what it says on stderr is returned, too.
        more: variables of its environment.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment() | dict(more),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        name = " ".join(Path(str(part)).name for part in command[:4])
        raise Failure("\n".join([f"{name} … ended with {done.returncode}", *said]))
    return done.stdout + done.stderr if told else done.stdout


def fail_for(wrong: Sequence[str]) -> None:
    """Raise Failure if anything is wrong."""
    if wrong:
        more = [f"… and {len(wrong) - 10} more"] if len(wrong) > 10 else []
        raise Failure("\n".join([*wrong[:10], *more]))


class Release:
    """What is built, where, and what was tried of it.

    Args:
        folder: an empty one, for all that is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.dist = folder / "dist"
        self.empty = folder / "empty"
        self.version = contents.version_of(ROOT)
        self.names: list[str] = []
        self.tools = Path()
        for path in (self.tree, self.dist, self.empty):
            path.mkdir()

    @property
    def sdist(self) -> Path:
        """The source distribution."""
        return self.dist / f"couchloop-{self.version}.tar.gz"

    @property
    def pure(self) -> Path:
        """The wheel for every Python."""
        return self.dist / f"couchloop-{self.version}-py3-none-any.whl"

    @property
    def compiled(self) -> Path:
        """The wheel that was compiled here. Raises LeftOut if there is none."""
        for found in self.dist.glob("*-abi3-*.whl"):
            return found
        raise LeftOut("there is no compiled wheel")

    @property
    def unpacked(self) -> Path:
        """The folder that the source distribution makes."""
        return self.folder / f"couchloop-{self.version}"

    def python(self, name: str) -> Path:
        """Return the interpreter of the environment *name*."""
        return self.folder / "environments" / name / "bin" / "python"

    def make(self, name: str, *packages: str, **more: str) -> Path:
        """Make an environment with *packages*; return its interpreter."""
        python = self.python(name)
        run(sys.executable, "-m", "venv", "--without-pip", python.parent.parent, cwd=self.empty)
        self.install(name, *packages, **more)
        return python

    def install(self, name: str, *packages: str, **more: str) -> None:
        """Install *packages* into the environment *name*."""
        quiet = ("--no-input", "--disable-pip-version-check", "-q")
        pip = (sys.executable, "-m", "pip", "--python", str(self.python(name)), *quiet)
        run(*pip, "install", "--no-compile", *packages, cwd=self.empty, more=more)
        run(*pip, "check", cwd=self.empty)

    def build(self, source: Path, target: Path, *arguments: str, **more: str) -> str:
        """Run `python -m build`; return all that it says."""
        command: tuple[str | Path, ...] = (
            self.tools,
            "-m",
            "build",
            "--outdir",
            target,
            *arguments,
            source,
        )
        # The same files make the same wheel.
        more = {"SOURCE_DATE_EPOCH": str(self.epoch()), **more}
        return run(*command, cwd=self.empty, told=True, more=more)

    def epoch(self) -> int:
        """Return the time that files in archives have: that of the last commit."""
        return int(run("git", "log", "-1", "--format=%ct", cwd=ROOT))


def wheel(path: Path, extras: str = "") -> str:
    """Return what pip is told to install from a wheel, or from a folder."""
    return f"couchloop{f'[{extras}]' if extras else ''} @ {path.as_uri()}"


def prepare(release: Release) -> str:
    """Copy what git has, and install what builds and checks."""
    if shutil.which("git") is None:
        raise Failure("git is not installed: nothing else says which files belong to the project")
    release.names = contents.tracked(ROOT)
    for name in release.names:
        target = release.tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    release.tools = release.make("tools", *TOOLS)
    return f"{len(release.names)} files of git's"


def sdist(release: Release) -> str:
    """Build the source distribution, and look into it."""
    release.build(release.tree, release.dist, "--sdist")
    wrong = contents.wrong_in_sdist(contents.in_sdist(release.sdist), release.names)
    fail_for(wrong)
    with tarfile.open(release.sdist) as packed:
        packed.extractall(release.folder, filter="data")
    return f"all that git has, {release.sdist.stat().st_size // 1024} KB"


def pure_wheel(release: Release) -> str:
    """Build the pure wheel from the source distribution, and another from the checkout."""
    release.build(release.unpacked, release.dist, "--wheel")
    fail_for([] if release.pure.exists() else ["no py3-none-any wheel was built"])
    other = release.folder / "from-checkout"
    said = release.build(release.tree, other, "--wheel")
    if "without its compiled hot path: Cython is not installed" not in said:
        raise Failure("the build does not say that what it makes is pure")
    files = contents.in_wheel(release.pure)
    wrong = contents.wrong_in_wheel(files, release.names, is_compiled=False)
    wrong += contents.differences(files, contents.in_wheel(other / release.pure.name))
    fail_for(wrong)
    return "the same from the sdist and from a checkout, packages and nothing else"


def fields(release: Release) -> str:
    """Look at the project's fields, the licence and the changelog."""
    import configparser  # noqa: PLC0415 - little else needs it

    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    program = "from trove_classifiers import classifiers; print('\\n'.join(classifiers))"
    known = run(release.tools, "-c", program, cwd=release.empty).splitlines()
    files = contents.in_wheel(release.pure)
    text = contents.information(files, "METADATA")
    wrong = contents.wrong_in_metadata(text, settings, release.version, known)
    licence = contents.information(files, "licenses/LICENSE")
    if licence != (ROOT / "LICENSE").read_text(encoding="utf-8"):
        wrong.append("the wheel's LICENSE is another")
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    fail_for(wrong + contents.wrong_in_changelog(log, release.version))
    return f"version {release.version}, its changes dated, licence inside, no URL"


def twine(release: Release) -> str:
    """Have twine look at whatever was built."""
    files = sorted(release.dist.iterdir())
    run(release.tools, "-m", "twine", "check", "--strict", *files, cwd=release.empty)
    return f"{len(files)} files"


def compiled_wheel(release: Release) -> str:
    """Build the compiled wheel from the source distribution, and look into it."""
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        raise LeftOut("a C compiler is not installed")
    how = {"COUCHLOOP_ABI3": "1", "CFLAGS": "-g0"}
    release.build(release.unpacked, release.dist, "--wheel", "--no-isolation", **how)
    made = release.compiled
    files, pure = contents.in_wheel(made), contents.in_wheel(release.pure)
    wrong = contents.wrong_in_wheel(files, release.names, is_compiled=True)
    wrong += contents.wrong_name(made.name, release.version, is_limited=True)
    wrong += contents.differences(files, pure, is_compiled=True)
    fail_for(wrong)
    run(release.tools, "-m", "abi3audit", "--strict", made, cwd=release.empty)
    return f"{made.name}, {made.stat().st_size // 1024} KB, nothing but the limited ABI"


def speedups(release: Release) -> str:
    """Try the compiled wheel: it is taken, can be refused, and fits only its own version."""
    python = release.make("compiled", wheel(release.compiled, "gevent"))
    ask = (python, "-c", "import couchloop; print(couchloop.__speedups__)")
    said = [
        run(*ask, cwd=release.empty).strip(),
        run(*ask, cwd=release.empty, more={"COUCHLOOP_SPEEDUPS": "0"}).strip(),
    ]
    trial(release, "gevent", "compiled")
    where = run(python, "-c", "import couchloop; print(couchloop.__file__)", cwd=release.empty)
    init = Path(where.strip())
    text = init.read_text(encoding="utf-8")
    init.write_text(text.replace(f'"{release.version}"', '"0.0.1"'), encoding="utf-8")
    said.append(run(*ask, cwd=release.empty).strip())
    fail_for([] if said == ["compiled", "None", "None"] else [f"couchloop.__speedups__: {said}"])
    tried = list(on_others(release))
    others = ", ".join(tried) if tried else "no other Python is here"
    return f"taken, refused by a variable and by another version; {others}"


def on_others(release: Release) -> Iterator[str]:
    """Import the compiled wheel's twin on other Pythons; yield their names."""
    folder = release.folder / "wheel"
    with zipfile.ZipFile(release.compiled) as packed:
        packed.extractall(folder)  # noqa: S202 - our own
    for name in INTERPRETERS:
        if works(name, release.empty):
            ask = "import couchloop; print(couchloop.__speedups__)"
            said = run(name, "-c", ask, cwd=release.empty, more={"PYTHONPATH": str(folder)})
            fail_for([] if said == "compiled\n" else [f"on {name} couchloop.__speedups__: {said}"])
            yield name


def works(name: str, cwd: Path) -> bool:
    """Whether an interpreter is there; a launcher may be that starts nothing."""
    try:
        run(name, "-c", "pass", cwd=cwd)
    except (Failure, OSError):
        return False
    return True


@contextmanager
def served(python: Path, cwd: Path) -> Iterator[str]:
    """Serve an embedded cluster with what *python* has; give its connection string."""
    with subprocess.Popen(
        [python, "-m", "couchloop.embedded", "--nodes", "1", "--replicas", "0", "--port", "0"],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["connection_string"]
        finally:
            process.send_signal(signal.SIGTERM)


def no_compiler(release: Release) -> str:
    """Install the checkout where there is no Cython, and where the compiler fails."""
    source = release.folder / "no-compiler"
    shutil.copytree(release.tree, source)
    python = release.make("no-compiler", wheel(source, "gevent"), CC="/bin/false")
    ask = "import couchloop; print(couchloop.__speedups__)"
    if run(python, "-c", ask, cwd=release.empty) != "None\n":
        raise Failure("an installation without Cython says that it is compiled")
    with served(python, release.empty) as where:
        command = (python.with_name("couchloop"), "doctor", f"{where}/default")
        login = ("--username", "user", "--password-env", "THE_PASSWORD")
        said = run(*command, *login, cwd=release.empty, more={"THE_PASSWORD": "password"})
    if "(pure)" not in said:
        raise Failure(f"the doctor does not say that the hot path is pure: {said}")
    target = release.folder / "failed"
    said = release.build(source, target, "--wheel", "--no-isolation", CC="/bin/false")
    if "without its compiled hot path: the compiler failed" not in said:
        raise Failure("a failing compiler is not told of")
    fail_for([] if (target / release.pure.name).exists() else ["what it made is not called pure"])
    return "without Cython, and with a compiler that fails: pure, and said so"


def trial(release: Release, name: str, where: str) -> None:
    """Run a trial of `release_trial.py` in the environment *where*."""
    program = release.folder / "release_trial.py"
    if not program.exists():
        shutil.copy(ROOT / "tools" / program.name, program)
    run(release.python(where), "-I", program, name, cwd=release.empty)


def extra(name: str) -> Callable[[Release], str]:
    """Return the step that installs an extra alone, and tries it."""

    def step(release: Release) -> str:
        release.make(name, wheel(release.pure, BESIDE.get(name, name)))
        trial(release, name, name)
        return f"with {BESIDE[name].split(',')[0]}" if BESIDE.get(name) else ""

    return step


def readme(release: Release) -> str:
    """Run the README's programs, each where only its loop is."""
    programs = contents.programs_of((ROOT / "README.md").read_text(encoding="utf-8"))
    fail_for([] if len(programs) == 2 else [f"the README has programs for {list(programs)}"])
    for loop, program in programs.items():
        python = release.python(loop)
        with served(python, release.empty) as where:
            text = program.replace("couchbase://localhost", where)
            said = run(python, "-c", text, cwd=release.empty)
        fail_for([] if "Ada" in said else [f"the program for {loop} says {said!r}"])
    return "for Twisted and for gevent, against the embedded cluster"


PLUGIN: Final = '''
def test_documents(couchbase_cluster):
    """The fixture of the installed plugin serves a cluster."""
    from gcouchbase.bucket import Bucket

    text = f"{couchbase_cluster.connection_string}/{couchbase_cluster.bucket}"
    with Bucket(text, username="user", password="password") as bucket:
        bucket.upsert("key", 1)
        assert bucket.get("key").value == 1
'''


def plugin(release: Release) -> str:
    """Let pytest find the plugin by itself, and use its fixture."""
    release.install("gevent", "pytest>=9")
    folder = release.folder / "plugin"
    folder.mkdir()
    (folder / "test_plugin.py").write_text(PLUGIN, encoding="utf-8")
    run(release.python("gevent"), "-m", "pytest", "-q", folder, cwd=folder)
    return "its fixture serves a cluster"


def _typed(loop: str, release: Release) -> Path:
    folder = release.folder / f"typed-{loop}"
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / "tools" / f"release_typing_{loop}.py", folder / "program.py")
    return folder


def mypy(release: Release) -> str:
    """Have mypy check a program for each loop against what was installed."""
    for loop in ("twisted", "gevent"):
        folder = _typed(loop, release)
        options = ("--strict", "--config-file=", f"--cache-dir={folder}/cache")
        where = ("--python-executable", release.python(loop))
        run(release.tools, "-m", "mypy", *options, *where, folder / "program.py", cwd=folder)
    return "strict, for either loop; it sees a wrong keyword"


def pyright(release: Release) -> str:
    """Likewise pyright, which is a program of Node.js."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise LeftOut(f"{program} is not installed")
    cache = {"PYRIGHT_PYTHON_CACHE_DIR": str(release.folder / "pyright")}
    for loop in ("twisted", "gevent"):
        folder = _typed(loop, release)
        # Else what it finds to be right might be that it knows nothing of us.
        (folder / "pyrightconfig.json").write_text(
            '{"reportUnnecessaryTypeIgnoreComment": "error", "reportMissingImports": "error"}'
        )
        command = (release.tools, "-m", "pyright", "--pythonpath", release.python(loop))
        run(*command, "-p", folder, cwd=folder, more=cache)
    return "for either loop; it sees a wrong keyword"


def from_sdist(release: Release) -> str:
    """Run tests of the core from the source distribution alone, on both twins if both are there."""
    tests = ("tests/core/wire", "tests/core/hot")
    python, options = release.python("test"), ("-q", "-p", "no:twisted", "-p", "no:cacheprovider")
    more = {"PYTHONDONTWRITEBYTECODE": "1", "COUCHLOOP_SHARE": "4"}
    source = release.unpacked
    try:
        twin = next(name for name in contents.in_wheel(release.compiled) if "/_twin." in name)
    except LeftOut:
        which = "on the pure twin"
    else:
        with zipfile.ZipFile(release.compiled) as packed:
            packed.extract(twin, source / "core")
        which = "on the compiled twin"
    said = run(python, "-m", "pytest", *options, *tests, cwd=source, more=more)
    return f"{said.strip().splitlines()[-1].strip('= ')}, {which}"


EXTRAS: Final = (
    "nothing",
    "twisted",
    "gevent",
    "fast",
    "snappy",
    "srv",
    "views",
    "completion",
    "otel",
    "prometheus",
    "all",
    "recipes",
    "docs",
    "test",
)
"""Trials, in the order in which they are made."""

BUILDS: Final[dict[str, Callable[[Release], str]]] = {
    "tools": prepare,
    "sdist": sdist,
    "wheel": pure_wheel,
    "compiled": compiled_wheel,
}
"""Steps that others need; none follows one that failed."""

INSTALLS: Final = {
    f"[{name}]" if name != "nothing" else "no extra": extra(name) for name in EXTRAS
} | {"no compiler": no_compiler, "speedups": speedups}
"""Steps with an environment of their own: two at one time."""

USES: Final[dict[str, Callable[[Release], str]]] = {
    "fields": fields,
    "twine": twine,
    "README": readme,
    "pytest plugin": plugin,
    "mypy": mypy,
    "pyright": pyright,
    "tests": from_sdist,
}
"""Steps that use what was installed."""


def done(name: str, step: Callable[[Release], str], release: Release) -> Row:
    """Do a step; say what came of it."""
    began = time.monotonic()
    try:
        state, note = "ok", step(release)
    except LeftOut as why:
        state, note = "left out", str(why)
    except (Failure, OSError, ValueError, subprocess.SubprocessError) as why:
        state, note = "FAILED", str(why) or type(why).__name__
    row = Row(name, state, time.monotonic() - began, note)
    print(line(row), flush=True)
    return row


def line(row: Row) -> str:
    """Return a row of the table; more lines of its note follow, indented."""
    note = row.note.replace("\n", f"\n{'':35}")
    return f"{row.state:8}  {row.step:14} {row.seconds:6.1f} s  {note}".rstrip()


def check(release: Release, wanted: Sequence[str]) -> list[Row]:
    """Do the steps that are wanted, and those that they need; return what came of them."""
    rows = []
    for name, step in BUILDS.items():
        rows.append(done(name, step, release))
        if rows[-1].state == "FAILED":
            return rows
    needed = {
        "README": ("[twisted]", "[gevent]"),
        "mypy": ("[twisted]", "[gevent]"),
        "pyright": ("[twisted]", "[gevent]"),
        "pytest plugin": ("[gevent]",),
        "tests": ("[test]",),
    }
    names = {*wanted, *(need for name in wanted for need in needed.get(name, ()))}
    chosen = {name: step for name, step in INSTALLS.items() if not wanted or name in names}
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        rows += pool.map(lambda name: done(name, chosen[name], release), chosen)
    rows += [done(name, USES[name], release) for name in USES if not wanted or name in names]
    return rows


def _stop(number: int, frame: FrameType | None) -> None:
    """End as an error would, so that the folder is removed."""
    del frame
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these, and what they need")
    parser.add_argument("--dist", type=Path, metavar="FOLDER", help="where to put what was checked")
    options = parser.parse_args(arguments)
    known = {**BUILDS, **INSTALLS, **USES}
    unknown = [name for name in options.steps if name not in known]
    if unknown:
        parser.error(f"no step is called {unknown[0]!r}; there are: {', '.join(known)}")
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory(prefix="couchloop-release-") as folder:
        release = Release(Path(folder).resolve())
        rows = check(release, options.steps)
        print("\n=== summary", *map(line, rows), sep="\n")
        failed = any(row.state == "FAILED" for row in rows)
        if options.dist is not None and not failed:
            options.dist.mkdir(parents=True, exist_ok=True)
            for path in release.dist.iterdir():
                print(f"checked: {shutil.copy2(path, options.dist)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
