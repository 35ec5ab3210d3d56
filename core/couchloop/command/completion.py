"""`--print-completion`: a script with which a shell completes the commands and their options."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final, NoReturn

_SHELLS: Final = ("bash", "zsh")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=_SHELLS,
        help="print a script with which that shell completes commands and options, to be sourced",
    )


def _complete_files(parser: argparse.ArgumentParser, files: Any) -> None:
    """Have the arguments that name files be completed as such: a shell does nothing by itself."""
    for action in parser._actions:  # noqa: SLF001 - shtab goes this way, too
        if isinstance(action.choices, dict):
            for each in action.choices.values():
                _complete_files(each, files)
        elif action.metavar == "FILE":
            setattr(action, "complete", files)  # noqa: B010 - shtab's name, of which argparse knows nothing


class _PrintCompletion(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - likewise
    ) -> NoReturn:
        try:
            import shtab  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only who wants a script needs it
        except ImportError:
            parser.error("completion needs the package shtab: pip install 'couchloop[completion]'")
        _complete_files(parser, shtab.FILE)
        parser.prog = "couchloop"
        sys.stdout.write(shtab.complete(parser, shell=values) + "\n")
        parser.exit()
