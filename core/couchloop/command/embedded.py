"""`couchloop embedded`: the embedded cluster as a program (docs/testing.md)."""

from __future__ import annotations

import argparse
from typing import Any

from couchloop.command.access import Parser
from couchloop.embedded.__main__ import MEANING, add_arguments, contradiction
from couchloop.embedded.__main__ import run as serve


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    parser: Parser = commands.add_parser(
        "embedded",
        help="serve an embedded cluster, for tests and demonstrations",
        description=f"{MEANING} It prints one line of JSON, and serves until it is told to end.",
        allow_abbrev=False,
    )
    add_arguments(parser)

    def run(options: argparse.Namespace) -> int:
        if wrong := contradiction(options):
            parser.error(wrong)
        return serve(options)

    parser.set_defaults(command=run)
