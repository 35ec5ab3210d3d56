"""Write docs/diagrams.md: the rooms, and the states of a connection, from the tables in the code.

python tools/diagrams.py           write it
python tools/diagrams.py --check   fail if it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from pathlib import Path
from typing import Final

from couchloop.kv.connection import TRANSITIONS

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "diagrams.md"

_HEAD: Final = """\
# Diagrams

<!-- Made by tools/diagrams.py: change setup.cfg (the contracts) or kv/connection.py instead. -->

"""

_ROOMS: Final = """\
## The rooms

A room imports from those below it only. The adapters do not know each other, and the core knows
neither of them. Programs (`__main__`, `pytest_plugin`) start an adapter, and nothing imports them.
[`architecture.md`](architecture.md#the-rooms) says what each room is for.

"""

_EMBEDDED: Final = """
## The rooms of the embedded cluster

They are the room `embedded` of the diagram above, seen from near.

"""

_STATES: Final = """
## A connection's states

An arrow names the call of `kv.connection.Connection` within which the state changes. The owner
calls `close` for each end: one that is wanted, a lost transport, and a fault.

"""


def layers(contract: str) -> list[list[str]]:
    """Return the layers of an import contract in setup.cfg, the highest first."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config[f"importlinter:contract:{contract}"]["layers"].strip().splitlines()
    return [[name.strip(" ()") for name in line.split(":")] for line in lines]


def adapters() -> list[str]:
    """Return the packages that the contract of independence names."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["importlinter:contract:adapters"]["modules"].split()


def flowchart(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Draw layers one above the other: a box for each, an arrow from each to the next."""
    yield "```mermaid"
    yield "flowchart TD"
    for number, names in enumerate(rows):
        label = ", ".join(f"{name}" for name in names)
        yield f'    layer{number}["{label}"]'
    for number in range(len(rows) - 1):
        yield f"    layer{number} --> layer{number + 1}"
    yield "```"


def state_diagram() -> Iterator[str]:
    """Draw the states of a connection, from where none comes to where none goes."""
    before = {each for each, _, _ in TRANSITIONS}
    after = {each for _, _, each in TRANSITIONS}
    yield "```mermaid"
    yield "stateDiagram-v2"
    for first in sorted(before - after, key=lambda state: state.value):
        yield f"    [*] --> {first.name}"
    for one, call, other in TRANSITIONS:
        yield f"    {one.name} --> {other.name}: {call}"
    for last in sorted(after - before, key=lambda state: state.value):
        yield f"    {last.name} --> [*]"
    yield "```"


def page() -> str:
    """Return the text of the page."""
    rooms = "\n".join(flowchart([adapters(), *layers("rooms")]))
    embedded = "\n".join(flowchart(layers("embedded-rooms")))
    states = "\n".join(state_diagram())
    return f"{_HEAD}{_ROOMS}{rooms}\n{_EMBEDDED}{embedded}\n{_STATES}{states}\n"


def main() -> int:
    """Write the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is stale: run python tools/diagrams.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
