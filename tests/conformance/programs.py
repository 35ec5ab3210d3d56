"""Programs that a test starts, steps through and ends, while its loop goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conformance.loops import Loop
from tests.interop.served import ROOT, environment
from tests.strictness import STRICT


class Program:
    """One that runs: it says a line when it has taken a step, and waits for a line before more."""

    def __init__(self, loop: Loop, process: subprocess.Popen[str]) -> None:
        self._loop = loop
        self._process = process

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def says(self, what: str) -> None:
        """Wait for its next line, which must be *what*."""
        assert self._process.stdout is not None
        line = self._loop.in_thread(self._process.stdout.readline)
        assert line == f"{what}\n", line

    def go_on(self) -> None:
        """Let it take a step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def ends(self) -> None:
        """Wait for its end: in order, and without a word on standard error."""
        _, errors = self._loop.in_thread(self._process.communicate)
        assert (errors, self._process.returncode) == ("", 0)


@contextmanager
def running(loop: Loop, module: str, *arguments: str) -> Iterator[Program]:
    """Run `python -m MODULE ARGUMENTS`; at the end of the context it must have ended well.

    What it is warned of is an error, but that a process with threads forks: that is what it does.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, *STRICT),
            *("-m", module, *arguments),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=ROOT,
        env={name: value for name, value in environment().items() if name not in _OURS},
    )
    try:
        program = Program(loop, process)
        yield program
        program.ends()
    finally:
        process.kill()
        # Whatever has failed, what it said is of use.
        _, errors = loop.in_thread(process.communicate)
        sys.stderr.write(errors or "")


_OURS = {"GEVENT_DEBUG", "GEVENT_LOOP"}
"""What these tests are run with, and a program chooses by itself."""
