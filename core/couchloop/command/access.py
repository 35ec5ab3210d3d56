"""What the commands have in common: who connects, where to, on which loop, and wrong usage."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TextIO

from couchloop.doctor import User
from couchloop.neighbours import find_clash, missing_loop
from couchloop.safety.secret import Secret

LOOPS: Final = ("twisted", "gevent")
FAILED: Final = 1
WRONG_USAGE: Final = 2
NOT_FOUND: Final = 3
INTERRUPTED: Final = 130
"""As shells say of a program that SIGINT has ended."""
NOBODY_READS: Final = 141
"""Likewise SIGPIPE."""


class UsageError(Exception):
    """The command line cannot be used; the message never repeats what may be a secret."""


class Parser(argparse.ArgumentParser):
    """Shows no argument in its errors: one of them may be a password at the wrong place."""

    def parse_args(self, *arguments: Any, **keywords: Any) -> Any:
        """See `ArgumentParser`."""
        options, unknown = self.parse_known_args(*arguments, **keywords)
        late: str | None = getattr(options, "late", None)
        if late and getattr(options, late) is None and unknown and not unknown[0].startswith("-"):
            setattr(options, late, unknown.pop(0))
        if unknown:
            names = [each.partition("=")[0] for each in unknown if each.startswith("--")]
            self.error(f"unknown arguments{': ' if names else ''}{' '.join(names)}")
        return options


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where to connect, as whom, and on which loop."""
    parser.add_argument(
        "connection_string",
        metavar="CONNECTION_STRING",
        help="as a program has it: couchbase://host/bucket?option=value (couchbases:// for TLS, "
        "certpath= for a CA of one's own)",
    )
    parser.add_argument("--username", metavar="NAME", help="who connects")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--password-prompt", action="store_true", help="ask for the password (the default)"
    )
    secret.add_argument("--password-file", metavar="FILE", help="its first line; -: standard input")
    secret.add_argument("--password-env", metavar="VARIABLE", help="an environment variable has it")
    secret.add_argument(
        "--password",
        metavar="SECRET",
        help="the password itself; others can read it in the list of processes and in the shell's "
        "history: better use one of the above",
    )
    parser.add_argument("--loop", choices=LOOPS, help="the loop to run on (what is installed)")


def seconds(text: str) -> float:
    """Read a time of at most an hour, for a parser."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError("give seconds, more than 0 and at most 3600")
    return found


def pick_loop(options: argparse.Namespace) -> str:
    """Return the loop that is asked for, or one that is installed. Raises UsageError."""
    loop: str | None = options.loop or next((name for name in LOOPS if find_spec(name)), None)
    if loop is None or find_spec(loop) is None:
        raise UsageError(f"{loop or 'a loop'} is not installed: {missing_loop(loop)}")
    cause, cure = find_clash(("txcouchbase" if loop == "twisted" else "gcouchbase",))
    if cause:
        # Before it is imported: the official SDK's installs a reactor.
        raise UsageError(f"{cause}: {cure}")
    return loop


def read_user(
    options: argparse.Namespace,
    environment: Mapping[str, str] = os.environ,
    standard_input: TextIO | None = None,
) -> User:
    """Return who connects, and their password. Raises UsageError."""
    standard_input = standard_input or sys.stdin
    password: str | None = options.password
    if options.password_file is not None:
        password = _first_line(options.password_file, standard_input)
    elif options.password_env is not None:
        password = environment.get(options.password_env)
        if password is None:
            raise UsageError(f"there is no environment variable {options.password_env}")
    elif options.password is None and (options.username or options.password_prompt):
        if not standard_input.isatty():
            raise UsageError(
                "there is no terminal to ask for the password: use --password-file or "
                "--password-env"
            )
        try:
            password = getpass.getpass(f"Password of {options.username or 'the user'}: ")
        except EOFError:
            raise UsageError("no password was entered") from None
    return User(options.username, None if password is None else Secret(password))


def _first_line(path: str, standard_input: TextIO) -> str:
    try:
        text = standard_input.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the password cannot be read from {path}: {reason}") from None
    return text.partition("\n")[0].rstrip("\r")
