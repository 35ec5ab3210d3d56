"""What couchloop offers on the command line: `couchloop COMMAND`, or `python -m couchloop COMMAND`.

A program is where a loop may be picked: whichever of Twisted and gevent is installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from couchloop import __version__
from couchloop.command import completion, doctor, documents, embedded
from couchloop.command.access import INTERRUPTED, WRONG_USAGE, Parser, UsageError

_COMMANDS: Final = ("doctor", "ping", "get", "put", "import", "export", "embedded")


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    is_script = Path(sys.argv[0]).stem == "couchloop"
    parser = Parser(
        prog="couchloop" if is_script else "python -m couchloop",
        description="A Couchbase client's tools.",
    )
    parser.add_argument("--version", action="version", version=f"couchloop {__version__}")
    completion.add(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    doctor.add(commands)
    documents.add(commands)
    embedded.add(commands)
    return parser


def _open_missing_streams() -> None:
    """Lead to nowhere what whoever started the program has closed: `doctor … >&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In their order: each takes the descriptor that is missing, and keeps it.
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    _open_missing_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    if not arguments:
        parser.print_help()
        return 0
    if not arguments[0].startswith("-") and arguments[0] not in _COMMANDS:
        # argparse would repeat it, and it may be a connection string with a password.
        parser.error(f"the first argument is a command: {', '.join(_COMMANDS)}")
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        # Before the loop runs: at the question for the password.
        return INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
