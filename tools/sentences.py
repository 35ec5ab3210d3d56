"""Write core/couchloop/sentences.py: what each error says, for Python without docstrings.

python tools/sentences.py           write it
python tools/sentences.py --check   fail if it is not what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from couchloop.exceptions import CouchbaseError

FILE: Final = Path(__file__).resolve().parent.parent / "core" / "couchloop" / "sentences.py"

_HEAD: Final = '''\
"""What each error says by itself: the first line of its class's docstring.

Made by tools/sentences.py from core/couchloop/exceptions.py: change it there. Only `python -OO`,
which takes docstrings away, has need of it.
"""
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

__all__ = ["SENTENCES"]

SENTENCES: Final = {
'''


def classes(base: type[CouchbaseError] = CouchbaseError) -> Iterator[type[CouchbaseError]]:
    """Return all classes of errors in `couchloop.exceptions`."""
    for each in base.__subclasses__():
        yield each
        yield from classes(each)


def text() -> str:
    """Return what is to be in the file."""
    sentences = {
        each.__qualname__: str(each.__doc__).partition("\n")[0].strip()
        for each in classes()
        if each.__module__ == CouchbaseError.__module__ and vars(each).get("__doc__")
    }
    lines = [
        f"    {json.dumps(name)}: {json.dumps(sentence, ensure_ascii=False)},\n"
        for name, sentence in sorted(sentences.items())
    ]
    return _HEAD + "".join(lines) + "}\n"


def main() -> None:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        FILE.write_text(text())
    elif FILE.read_text() != text():
        sys.exit(f"{FILE.name} is stale: run python tools/sentences.py")


if __name__ == "__main__":
    main()
