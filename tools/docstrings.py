"""The docstrings of methods: what builders say, and what each of their arguments means."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from couchloop.management.arguments import ARGUMENTS as OF_MANAGERS
from couchloop.operations.arguments import ARGUMENTS
from couchloop.operations.multi import Multi
from couchloop.operations.streaming import MEANINGS, Streaming
from tools.method_families import Builder, asks_services_alone, parameters_of

_WIDTH: Final = 100 - len("        ")

_OF_A_BATCH: Final = {
    "timeout": "seconds that each operation has from its issue on. None: as the Bucket says."
}
"""What arguments of a batch mean, where it is not quite what they mean for one operation."""


def docstring_of(build: Builder) -> str:
    """Return the docstring of the method: what *build* says, and what each of its arguments means.

    Raises TypeError if nothing says what an argument means, or if one is explained that is none.
    """
    summary, *rest = (inspect.getdoc(build) or "").split("\n\n")
    names = [each.name for each in parameters_of(build)]
    meanings = dict(zip(names, _meanings(build, names), strict=True))
    arguments = [
        textwrap.fill(f"{name}: {meaning}", initial_indent="    ", **_layout("        "))
        for name, meaning in meanings.items()
    ]
    parts = [summary, *(part for part in rest if not part.startswith("Args:\n"))]
    if isinstance(build, Multi):
        parts.append(
            f"Raises what `{build.single.__name__}` raises, with the results of all keys in the "
            "exception's `all_results`; ArgumentError for an empty batch."
        )
    if isinstance(build, Streaming):
        parts.append(_STREAM_TEXT.format(build.single.__name__))
    # A paragraph with lines further to the right is a list, and stays as it is.
    parts = [part if "\n " in part else textwrap.fill(part, **_layout("")) for part in parts]
    if arguments:
        parts.insert(1, "\n".join(["Args:", *arguments]))
    return "\n\n".join(parts)


_STREAM_TEXT: Final = (
    "Results come as they are answered, in any order. One that failed says so: `success` is False, "
    "and `error` is what `{}` would have raised. Nothing is sent before the first is asked for. "
    "Raises ArgumentError at once for what is no iterable, or a bound below 1."
)


def _layout(indentation: str) -> dict[str, Any]:
    return {
        "width": _WIDTH,
        "subsequent_indent": indentation,
        "break_long_words": False,
        "break_on_hyphens": False,
    }


def _meanings(build: Builder, names: Sequence[str]) -> Iterator[str]:
    own = _documented(build)
    known = {**ARGUMENTS, **own}
    if asks_services_alone(build):
        known = {**OF_MANAGERS, **own}
    if isinstance(build, Multi):
        own = {}
        shared = {build.argument: "for keys without one of their own."} if build.argument else {}
        known = {**ARGUMENTS, **_documented(build.single), **_OF_A_BATCH, **shared}
        known[build.own.keys] = build.own.meaning
    if isinstance(build, Streaming):
        own = {}
        known = {**ARGUMENTS, **_documented(build.single), **_OF_A_BATCH, **MEANINGS}
        known[build.keys] = build.meaning
    if unknown := own.keys() - set(names):
        raise TypeError(f"{build.__name__}() has no argument {min(unknown)}")
    for name in names:
        if name not in known:
            raise TypeError(f"{build.__name__}(): nothing says what {name} means")
        yield known[name]


def _documented(build: Builder) -> dict[str, str]:
    """Return what the docstring of *build* says of its arguments."""
    _, _, text = (inspect.getdoc(build) or "").partition("\nArgs:\n")
    found: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name = re.match(r"    (\w+): ", line)
        if name:
            found[name[1]] = line[name.end() :]
        else:
            found[[*found][-1]] += f" {line.strip()}"
    return found
