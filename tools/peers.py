"""Install the official Couchbase SDKs, to compare ours and the embedded cluster with them.

    python tools/peers.py [python | node ...]

prints one JSON line, {"python": "…/bin/python", "node": "…/node-…"}. Each SDK is installed once,
under .cache/, and never into the project's environment: the official Python package brings a
`txcouchbase` of its own. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".cache" / "peers"

PYTHON_PACKAGES: Final = ("couchbase==4.6.3", "orjson>=3.10", "Twisted>=24.11")
NODE_PACKAGES: Final = ("couchbase@4.7.1",)


def python_sdk() -> Path:
    """Return the Python interpreter of an environment that holds the official Python SDK.

    Raises subprocess.CalledProcessError if it could not be installed.
    """
    return python_environment("python", PYTHON_PACKAGES)


def python_environment(name: str, packages: Sequence[str]) -> Path:
    """Return the Python interpreter of an environment that holds *packages*.

    Raises subprocess.CalledProcessError if they could not be installed.
    """
    folder = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    with _made_once(folder, packages, python) as missing:
        if missing:
            _run(sys.executable, "-m", "venv", str(folder))
            options = (
                "--disable-pip-version-check",
                "--quiet",
                "--no-input",
                "--only-binary=:all:",
            )
            _run(str(python), "-m", "pip", "install", *options, *packages)
    return python


def node_sdk() -> Path | None:
    """Return a folder whose `node_modules` is the NODE_PATH to run the official Node.js SDK with.

    None where node or npm is not installed. Raises subprocess.CalledProcessError if the SDK could
    not be installed.
    """
    npm = shutil.which("npm")
    if npm is None or node_program() is None:
        return None
    folder = CACHE / "node"
    with _made_once(folder, NODE_PACKAGES, folder / "node_modules") as missing:
        if missing:
            (folder / "package.json").write_text('{"private": true}\n', encoding="ascii")
            options = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
            _run(npm, "install", "--prefix", str(folder), *options, *NODE_PACKAGES)
    return folder


def node_program() -> str | None:
    """Return the path of Node.js; None where it or npm is missing."""
    return shutil.which("node") if shutil.which("npm") else None


@contextmanager
def _made_once(folder: Path, packages: Sequence[str], product: Path) -> Iterator[bool]:
    """Whether *folder*, and *product* in it, must be made; hold others back meanwhile.

    The list of packages is stored last: what was interrupted is made again.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready"
    wanted = "".join(f"{package}\n" for package in packages)
    with (CACHE / f"{folder.name}.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # An environment whose interpreter was uninstalled has a dangling link.
        current = product.exists() and ready.exists()
        missing = not current or ready.read_text(encoding="ascii") != wanted
        if missing:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield missing
        if missing:
            ready.write_text(wanted, encoding="ascii")


def _run(*command: str) -> None:
    # What these programs print must not mix with what ours prints.
    subprocess.run(command, check=True, stdout=sys.stderr, env=_environment())


def _environment() -> Mapping[str, str]:
    """Return this process's environment without the paths of the project's packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what the command line asks for; return the exit status."""
    installers = {"python": python_sdk, "node": node_sdk}
    parser = argparse.ArgumentParser(description="Install the official SDKs, once.")
    parser.add_argument("peers", nargs="*", metavar="PEER", help="python, node; both if none")
    wanted = parser.parse_args(arguments).peers or list(installers)
    unknown = [name for name in wanted if name not in installers]
    if unknown:
        parser.error(f"no peer is called {', '.join(unknown)}; there are: {', '.join(installers)}")
    try:
        found = {name: installers[name]() for name in wanted}
    except subprocess.CalledProcessError as error:
        print(
            f"cannot install: {' '.join(error.cmd)} ended with {error.returncode}", file=sys.stderr
        )
        return 1
    print(json.dumps({name: None if path is None else str(path) for name, path in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
