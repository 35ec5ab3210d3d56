"""Write the lists of names in docs/api-parity.md: what SDK 2.5 and 4.6 have, and what is here.

python tools/parity.py           write them
python tools/parity.py --check   fail if they are not what would be written

`tools/parity_names.py` and `tools/parity_services.py` have the names, where each would be here, and
why one is not. Whether it is there, and which arguments of the SDK's it takes, is read from the
code.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from couchloop.client.sdk25 import _NotYet
from tools.parity_names import GROUPS, Group
from tools.parity_services import SERVICES

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "api-parity.md"
BEGIN: Final = (
    "<!-- What follows is made by `make parity` from tools/parity_names.py and the code. -->"
)

_LINE: Final = re.compile(r"(?P<name>[\w.]+)(?:\((?P<arguments>[^)]*)\))?")


class Name(NamedTuple):
    """A public name of an SDK, and what it is here."""

    name: str
    places: tuple[str, ...]
    """Where it is here, as dotted paths."""
    state: str
    """`same`, `better`, `later` or `left out`."""
    note: str


class ParityError(Exception):
    """The table says what is not so."""


def resolve(path: str) -> Any:
    """Return what a dotted path means; raise AttributeError if there is nothing."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = _member(found, part)
        return found
    raise AttributeError(path)


def _member(owner: Any, name: str) -> Any:
    """Return a member as its class has it: names that come later are there, and are none."""
    found = inspect.getattr_static(owner, name)
    if isinstance(found, _NotYet):
        raise AttributeError(name)  # noqa: TRY004 - it is not there
    return getattr(owner, name) if not isinstance(found, property) else found


def missing_arguments(member: Any, wanted: Sequence[str]) -> list[str]:
    """Return those of the SDK's arguments that *member* does not take."""
    if not wanted:
        return []
    parameters = inspect.signature(member).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return []
    return [name for name in wanted if name.lstrip("*") not in parameters]


def names_of(group: Group) -> Iterator[Name]:
    """Yield each name of a group, with what it is here.

    Raises ParityError for a name that is not there without a reason why.
    """
    for line in group.lines.strip().splitlines():
        left, *rest = (part.strip() for part in line.split("|"))
        note, reason, place = (*rest, "", "", "")[:3]
        found = _LINE.fullmatch(left)
        if found is None:
            raise ParityError(f"{group.title}: what is {left!r}?")
        name = found["name"]
        wanted = [each.strip() for each in (found["arguments"] or "").split(",") if each.strip()]
        places = tuple(place.split()) or tuple(f"{where}.{name}" for where in group.where)
        lacking: list[str] = []
        try:
            for path in places:
                lacking += missing_arguments(resolve(path), wanted)
        except AttributeError:
            if not reason:
                text = f"{group.title}: {name} is not at {', '.join(places)}, and nothing says why"
                raise ParityError(text) from None
            state = "left out" if reason.startswith("out:") else "later"
            yield Name(left, (), state, reason.removeprefix("out:").strip())
            continue
        state = "better" if note else "same"
        if lacking:
            without = ", ".join(f"`{each}`" for each in dict.fromkeys(lacking))
            text = f"without {without}"
            if not reason:
                raise ParityError(f"{group.title}: {name} is {text}, and nothing says why")
            note = f"{note}; {text}: {reason}" if note else f"{text}: {reason}"
            state = "partly"
        yield Name(left, places, state, note)


def rendered() -> str:
    """Return the lists."""
    parts = [BEGIN]
    counts: dict[str, dict[str, int]] = {}
    for group in sorted((*GROUPS, *SERVICES), key=lambda group: group.sdk):
        rows = list(names_of(group))
        count = counts.setdefault(group.sdk, {})
        for row in rows:
            count[row.state] = count.get(row.state, 0) + 1
        parts.append(f"\n### {group.title}\n")
        parts.append(f"| SDK {group.sdk} | state | |\n| --- | --- | --- |")
        parts += [f"| `{row.name}` | {row.state} | {row.note} |" for row in rows]
    summary = [
        f"SDK {sdk}: {sum(count.values())} names, "
        + ", ".join(f"{number} {state}" for state, number in sorted(count.items()))
        + "."
        for sdk, count in counts.items()
    ]
    parts.insert(1, "\n## Every name\n\n" + "\n".join(summary))
    return "\n".join(parts) + "\n"


def page(text: str) -> str:
    """Return the whole page, of which *text* is what stands there now."""
    head, _, _ = text.partition(BEGIN)
    return head.rstrip() + "\n\n" + rendered()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; give the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    is_check = parser.parse_args(arguments).check
    there = PAGE.read_text(encoding="utf-8")
    made = page(there)
    if there == made:
        return 0
    if is_check:
        print("docs/api-parity.md is stale: run make parity", file=sys.stderr)
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
