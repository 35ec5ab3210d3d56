"""Make a root of Debian's unstable branch, which has more interpreters, and run the matrix in it.

    python tools/matrix_root.py [--root FOLDER] [--keep] [--compiler] [--share N] [WORD ...]

WORDs, `--share` and `--pytest` are those of `tools/matrix.py`. Wanted are Linux, root, and
debootstrap; the mirror and the settings of apt and pip are this machine's. What is missing is said,
and then nothing is done. The root takes 0.5 GB, with a compiler 1.1 GB, and is removed at the end
unless it is to be kept: kept, the next run uses it as it is. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parent.parent
RELEASE: Final = "sid"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INSIDE: Final = "couchloop"
"""The folder of the checkout's copy."""

PYTHONS: Final[Mapping[str, tuple[str, ...]]] = {
    "python3.13": ("python3.13-venv",),
    "python3.14": ("python3.14-venv",),
    "python3.15": ("python3.15-venv",),
    "pypy3": ("pypy3-venv",),
}
"""Packages with an interpreter, and what comes with each."""

COMPILER: Final = ("gcc", "g++", "libc6-dev", "libffi-dev", "make")
_HEADERS: Final = ("python3.15-dev", "pypy3-dev")
"""For interpreters that gevent has no wheel for."""

_FREE_THREADED: Final = r"^python3\.[0-9]+-?(nogil|t|freethread.*)$"
_OLD_LISTS: Final = "Acquire::Check-Valid-Until"
_SHARED: Final = "/dev/shm"  # noqa: S108 - a place to mount
_CERTIFICATES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def mirror() -> str:
    """Return where this machine's apt has Debian from; nothing where it does not say."""
    command = ("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages")
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    sites = sorted({site for site in process.stdout.split() if "security" not in site})
    return next(iter(sites), "")


def missing(address: str) -> list[str]:
    """Return what stands in the way of a root here."""
    lacks = []
    if sys.platform != "linux":
        lacks.append("Linux: elsewhere Debian's programs do not run")
    elif os.geteuid():
        lacks.append("root: who is not root may neither chroot nor mount")
    lacks += [
        f"{program} (Debian: {package})"
        for program, package in (("debootstrap", "debootstrap"), ("chroot", "coreutils"))
        if shutil.which(program) is None
    ]
    if not KEYRING.exists():
        lacks.append(f"{KEYRING} (Debian: debian-archive-keyring)")
    if not address:
        lacks.append("a mirror: apt names none here; --mirror names one")
    return lacks


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    print(f"$ {' '.join(command[:6])}{' …' if len(command) > 6 else ''}", flush=True)
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)


def mounts_in(root: Path) -> list[str]:
    """Return what is mounted beneath *root*."""
    lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    points = [line.split()[1] for line in lines]
    return [point for point in points if point.startswith(f"{root}/")]


@contextmanager
def _mounted(root: Path, source: str, kind: str = "") -> Iterator[None]:
    """Have *source*, a folder of this machine that cannot be written there, or a kind of system."""
    target = root / source.lstrip("/")
    if str(target) in mounts_in(root):
        yield
        return
    target.mkdir(parents=True, exist_ok=True)
    if kind:
        _run("mount", "-t", kind, kind, str(target))
    else:
        _run("mount", "--bind", source, str(target))
    try:
        if not kind:
            _run("mount", "-o", "remount,bind,ro", str(target))
        yield
    finally:
        _run("umount", str(target))


def _pip_values() -> list[str]:
    """Return the values of pip's settings here, with those of the environment."""
    process = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, check=False
    )
    values = [line.partition("=")[2].strip("'\"") for line in process.stdout.splitlines()]
    values += [os.environ.get(name, "") for name in _CERTIFICATES]
    return [word for value in values for word in value.replace("\\n", " ").split()]


def places(values: Sequence[str]) -> list[Path]:
    """Return the files and folders that *values* name, as paths or addresses of files."""
    found: dict[Path, None] = {}
    for value in values:
        address = urlsplit(value)
        path = Path(address.path if address.scheme == "file" else value)
        if path.is_absolute() and path.exists():
            found[path] = None
    return list(found)


def _copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy(path, target)


def _settings_of_apt(root: Path) -> None:
    """Have apt in the root trust lists of a mirror that are old, where this machine's does."""
    command = ("apt-config", "dump")
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    wanted = (_OLD_LISTS, "Acquire::http", "Acquire::https")
    lines = [line for line in process.stdout.splitlines() if line.startswith(wanted)]
    path = root / "etc/apt/apt.conf.d/90matrix"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def make(root: Path, address: str) -> None:
    """Make the root, unless a run before has kept it."""
    if not (root / "etc/debian_version").exists():
        options = ("--variant=minbase", f"--keyring={KEYRING}", RELEASE, str(root), address)
        _run("debootstrap", *options)
    _settings_of_apt(root)
    for name in ("/etc/hosts", "/etc/resolv.conf"):
        if Path(name).exists():
            _copy(Path(name), root)


def _environment() -> dict[str, str]:
    # Folders of this machine are not there.
    strangers = {"TMPDIR", "PYENV_ROOT", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in strangers}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": path, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}


def _inside(root: Path, *command: str) -> None:
    _run("chroot", str(root), *command, env=_environment())


def _offered(root: Path, pattern: str) -> list[str]:
    command = ("chroot", str(root), "apt-cache", "search", "--names-only", pattern)
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line.split()[0] for line in process.stdout.splitlines()]


def install(root: Path, *, compiler: bool) -> None:
    """Install the interpreters that there are; say which there are not."""
    _inside(root, "apt-get", "update", "-qq")
    wanted = ["ca-certificates"]
    for program, others in PYTHONS.items():
        if _offered(root, f"^{re.escape(program)}$"):
            wanted += [program, *others]
        else:
            print(f"not here: {RELEASE} offers no {program}")
    if compiler:
        wanted += [*COMPILER, *(name for name in _HEADERS if _offered(root, f"^{name}$"))]
    if free := _offered(root, _FREE_THREADED):
        wanted += free
    else:
        print(f"not here: {RELEASE} offers no free-threaded Python")
    _inside(root, "apt-get", "install", "-qq", "--no-install-recommends", *wanted)
    _inside(root, "apt-get", "clean")


def copy_checkout(root: Path) -> None:
    """Copy the files of the checkout, as they are now; environments of a run before stay."""
    command = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others")
    process = subprocess.run((*command, "--exclude-standard"), capture_output=True, check=True)
    target = root / INSIDE
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        if old.name != ".cache":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in process.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def run(root: Path, words: Sequence[str]) -> int:
    """Run the matrix in the root; return its exit status."""
    with ExitStack() as stack:
        for path in places(_pip_values()):
            if path.is_dir():
                stack.enter_context(_mounted(root, str(path)))
            else:
                _copy(path, root)
        pip = Path("/etc/pip.conf")
        if pip.exists():
            _copy(pip, root)
        programs = sorted(root.glob("usr/bin/python3.[0-9]*[0-9]")) or [root / "usr/bin/pypy3"]
        program = f"/usr/bin/{programs[-1].name}"
        arguments = shlex.join(words)
        script = f"cd /{INSIDE} && exec {program} tools/matrix.py {arguments}"
        command = ("chroot", str(root), "/bin/sh", "-c", script)
        return subprocess.run(command, check=False, env=_environment()).returncode


def remove(root: Path) -> None:
    """Remove the root, if nothing of this machine is mounted in it any more."""
    if left := mounts_in(root):
        print(f"{root} stays: there is still mounted {', '.join(left)}", file=sys.stderr)
        return
    shutil.rmtree(root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status of the matrix, 2 for no root."""
    parser = argparse.ArgumentParser(description="Run the matrix in a root of Debian unstable.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="as for tools/matrix.py")
    parser.add_argument("--share", default="", metavar="N", help="as for tools/matrix.py")
    parser.add_argument("--pytest", action="append", default=[], help="as for tools/matrix.py")
    parser.add_argument("--root", type=Path, help="where it is made, or was kept")
    parser.add_argument("--mirror", default="", help="where Debian is, if not where apt has it")
    parser.add_argument("--keep", action="store_true", help="leave it there")
    parser.add_argument("--compiler", action="store_true", help="for gevent on PyPy")
    options = parser.parse_args(arguments)
    address = options.mirror or mirror()
    if lacks := missing(address):
        print("no root of Debian unstable can be made here; missing:", file=sys.stderr)
        for line in lacks:
            print(f"  {line}", file=sys.stderr)
        return 2
    words = [f"--share={options.share}"] * bool(options.share)
    words += [*(f"--pytest={each}" for each in options.pytest), *options.words]
    root = options.root or Path(tempfile.mkdtemp(prefix="couchloop-root-"))
    try:
        make(root, address)
        with _mounted(root, "/proc", "proc"), _mounted(root, _SHARED, "tmpfs"):
            install(root, compiler=options.compiler)
            copy_checkout(root)
            return run(root, words)
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} ended with status {error.returncode}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            remove(root)


if __name__ == "__main__":
    sys.exit(main())
