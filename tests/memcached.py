"""Debian's memcached, in processes that tests start: what plain servers really do."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

PROGRAM: Final = shutil.which("memcached")
_STEP: Final = 60.0


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Memcached:
    """One process.

    Args:
        options: further arguments of the program.
        environment: more variables for it.
    """

    def __init__(self, *options: str, **environment: str) -> None:
        self.port = _free_port()
        self._options = options
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None
        command = [PROGRAM, "-vv", "-u", getpass.getuser(), "-U", "0", "-m", "64"]
        command += ["-l", "127.0.0.1", "-p", str(self.port), *self._options]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, errors="replace", env=self._environment
        )
        told = self._process.stderr
        assert told is not None
        said = ""
        for line in told:
            said = line
            if "server listening" in line:
                break
        else:
            self.stop()
            raise AssertionError(f"memcached does not listen: {said}")
        # What it tells of each command would fill the pipe.
        threading.Thread(target=told.read, daemon=True).start()

    def stop(self) -> None:
        """Kill it: all that it has is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STEP)
            assert process.stderr is not None
            with suppress(ValueError):
                # The thread may be reading still.
                process.stderr.close()

    def ask(self, command: str) -> str:
        """Return the answer to a command of the text protocol, which ends with END or one line."""
        with socket.create_connection(("127.0.0.1", self.port), _STEP) as sock:
            sock.sendall(f"{command}\r\n".encode())
            with sock.makefile("rb") as lines:
                told = ""
                for line in lines:
                    told += line.decode()
                    if line.split()[:1] not in ([b"VALUE"], [b"STAT"]) and line != b"\r\n":
                        break
                return told

    @property
    def items(self) -> int:
        """How many documents it has."""
        stats = dict(line.split()[1:3] for line in self._stats() if line.startswith("STAT"))
        return int(stats["curr_items"])

    def _stats(self) -> list[str]:
        with socket.create_connection(("127.0.0.1", self.port), _STEP) as sock:
            sock.sendall(b"stats\r\n")
            told = b""
            while not told.endswith(b"END\r\n"):
                told += sock.recv(65536)
        return told.decode().splitlines()


@contextmanager
def servers(count: int = 3, *options: str, **environment: str) -> Iterator[list[Memcached]]:
    """Run so many of them."""
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            server = Memcached(*options, **environment)
            server.start()
            stack.callback(server.stop)
            started.append(server)
        yield started


def text(running: list[Memcached], rest: str = "/cache") -> str:
    """Return the connection string of all of them."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in running)
    return f"memcached://{hosts}{rest}"


def owner_by_ketama(key: str, names: list[str]) -> str:
    """Return the one of *names* to which *key* belongs, counted in the slow and plain way."""
    hashed = int.from_bytes(_md5(key)[:4], "little")
    points = [
        (int.from_bytes(_md5(f"{name}-{number}")[part : part + 4], "little"), name)
        for name in names
        for number in range(40)
        for part in (0, 4, 8, 12)
    ]
    return min([each for each in points if each[0] >= hashed] or points)[1]


def _md5(text: str) -> bytes:
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()
