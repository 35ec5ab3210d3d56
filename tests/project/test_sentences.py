"""Errors say what they mean where Python has taken the docstrings away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from couchloop import exceptions
from couchloop.exceptions import CouchbaseError
from tools import sentences

ROOT = Path(__file__).resolve().parent.parent.parent

_PROGRAM = """
import inspect
from couchloop import exceptions
assert exceptions.__doc__ is None
for name, kind in sorted(vars(exceptions).items()):
    if inspect.isclass(kind) and issubclass(kind, exceptions.CouchbaseError):
        print(name, kind._SENTENCE)
"""


def test_the_file_is_fresh() -> None:
    """The file is what the classes say."""
    assert sentences.FILE.read_text() == sentences.text(), "run python tools/sentences.py"


def test_without_docstrings() -> None:
    """With `python -OO` each class of errors has the same text as without."""
    done = subprocess.run(
        [sys.executable, "-OO", "-c", _PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    wanted = {
        name: kind._SENTENCE
        for name, kind in vars(exceptions).items()
        if isinstance(kind, type) and issubclass(kind, CouchbaseError)
    }
    assert told == wanted
    assert told["NotFoundError"] == "The document does not exist."
    assert len(set(told.values())) > len(told) / 2
