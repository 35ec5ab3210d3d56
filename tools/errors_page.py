"""Write docs/errors.md, all errors as a tree with causes and cures.

python -m tools.errors_page           write it
python -m tools.errors_page --check   fail if it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from couchloop import exceptions
from couchloop.exceptions import AmbiguousError, CouchbaseError, CouchbaseTransientError
from tools.error_cures import CURES

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

_HEAD: Final = """\
# Errors

<!-- Made by `make errors` from couchloop/exceptions.py and tools/error_cures.py: change them. -->

All errors are in `couchloop.exceptions`, under the names of SDK 2.5, and those of RFC 0058 for what
is newer.

- `str(error)` says what happened, where, and what to do; equal failures have equal texts, so that
  they can be counted.
- `error.details()` adds the key and what belongs to one operation; `error.context` has it in parts,
  none of them secret.
- `error.is_transient`: the cause may pass by itself. The client has tried again already, for as
  long as the operation had time ([`retries.md`](retries.md)).
- An `AmbiguousError` was sent, and nobody knows what became of it.
- Of a batch, the first error is raised; `error.all_results` has all of them, and what went well.

```python
from couchloop.exceptions import AmbiguousError, CouchbaseTransientError, NotFoundError

try:
    bucket.upsert("order:1", {"state": "paid"})
    state = bucket.get("order:2").value["state"]
except NotFoundError as error:
    state = "unknown"
    assert error.key == "order:2"
except AmbiguousError:
    raise  # it may be there: read before it is written again
except CouchbaseTransientError:
    state = "later"
```

```python
from couchloop.exceptions import NotFoundError


async def example(bucket):
    try:
        await bucket.get("order:2")
    except NotFoundError as error:
        assert error.key == "order:2"
```

## The tree

A class is below its parent; *also* names its other ones, for `except` finds it by each of them.
Numbers are those of RFC 0058 and, in hexadecimal, of SDK 2.5 (`error.rc`). A class without a cure
has its parent's. **Passes**: it is transient; **in doubt**: it is ambiguous.

"""


def classes() -> list[type[CouchbaseError]]:
    """Return each class of errors, in the order of the module."""
    return [
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, CouchbaseError)
    ]


def parent_of(cls: type[CouchbaseError]) -> type[CouchbaseError]:
    """Return the base below which the tree has the class."""
    return next(base for base in cls.__bases__ if issubclass(base, CouchbaseError))


def cure_of(cls: type[CouchbaseError]) -> str:
    """Return what to do about it: its own cure, or the nearest one above; "" if there is none."""
    for each in cls.__mro__:
        if each.__name__ in CURES:
            return CURES[each.__name__]
    return ""


def line_of(cls: type[CouchbaseError]) -> str:
    """Return what the page says of a class."""
    numbers = [str(vars(cls)["ID"])] if vars(cls).get("ID") else []
    numbers += [f"0x{vars(cls)['CODE']:02x}"] if vars(cls).get("CODE") else []
    others = [
        f"`{base.__name__}`"
        for base in cls.__bases__
        if base is not parent_of(cls) and base is not Exception
    ]
    marks = [
        word
        for base, word in ((CouchbaseTransientError, "passes"), (AmbiguousError, "in doubt"))
        if issubclass(cls, base)
    ]
    notes = [*numbers, *([f"also {', '.join(others)}"] if others else [])]
    notes += [f"**{word}**" for word in marks]
    said = (cls.__doc__ or "").partition("\n")[0].strip().replace("*", "\\*")
    cure = CURES.get(cls.__name__, "")
    return (
        f"- `{cls.__name__}`"
        + (f" ({'; '.join(notes)})" if notes else "")
        + f": {said}"
        + (f" *Cure:* {cure}." if cure else "")
    )


def tree(top: type[CouchbaseError], depth: int = 0) -> Iterator[str]:
    """Yield the lines of a class and of all below it."""
    yield "  " * depth + line_of(top)
    for cls in classes():
        if cls is not CouchbaseError and parent_of(cls) is top:
            yield from tree(cls, depth + 1)


def page() -> str:
    """Return the whole page."""
    below = [cls for cls in classes() if cls is not CouchbaseError]
    roots = [cls for cls in below if parent_of(cls) is CouchbaseError]
    lines = ["`CouchbaseError` is above all of them.", ""]
    for root in roots:
        lines += list(tree(root))
    return _HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/errors.md is stale: make errors", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
