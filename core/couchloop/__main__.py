"""What couchloop offers on the command line.

    python -m couchloop doctor couchbase://HOST/BUCKET --username NAME

says why a program cannot reach its cluster, and what to do about it (docs/doctor.md).
A program is where a loop may be picked: whichever of Twisted and gevent is installed.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from time import time
from typing import Any, Final, TextIO

from couchloop import __version__
from couchloop.doctor import Diagnosis, Report, Step, Table, User
from couchloop.hot.speedups import NAME
from couchloop.safety.secret import Secret
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Address

LOOPS: Final = ("twisted", "gevent")
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
"""As shells say of a program that SIGINT has ended."""

_WIDTH_OF_FILES: Final = 100


class UsageError(Exception):
    """The command line cannot be used; the message never repeats what may be a secret."""


class _Parser(argparse.ArgumentParser):
    """Shows no argument in its errors: one of them may be a password at the wrong place."""

    def parse_args(self, *arguments: Any, **keywords: Any) -> Any:
        options, unknown = self.parse_known_args(*arguments, **keywords)
        if unknown:
            names = [each.partition("=")[0] for each in unknown if each.startswith("--")]
            self.error(f"unknown arguments{': ' if names else ''}{' '.join(names)}")
        return options


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog="python -m couchloop", description="A Couchbase client's tools.")
    parser.add_argument("--version", action="version", version=f"couchloop {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    doctor = commands.add_parser(
        "doctor",
        help="say why a program cannot reach its cluster, and what to do about it",
        description="Go the way that a program goes, from the connection string to every node of "
        "the cluster, and say of each step how long it took and what is wrong.",
        epilog="Exit status: 0 if a program could work, 1 if not, 2 for wrong usage.",
        allow_abbrev=False,
    )
    doctor.set_defaults(command=doctor_command)
    doctor.add_argument(
        "connection_string",
        metavar="CONNECTION_STRING",
        help="as a program has it: couchbase://host/bucket?option=value (couchbases:// for TLS, "
        "certpath= for a CA of one's own)",
    )
    doctor.add_argument("--username", metavar="NAME", help="who connects")
    secret = doctor.add_mutually_exclusive_group()
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
    doctor.add_argument("--loop", choices=LOOPS, help="the loop to run on (what is installed)")
    doctor.add_argument(
        "--timeout",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="limit of each step that waits for somebody (5)",
    )
    doctor.add_argument(
        "--nameserver",
        type=_nameserver,
        metavar="ADDRESS[:PORT]",
        help="where to look up DNS SRV records (what /etc/resolv.conf names)",
    )
    doctor.add_argument("--json", action="store_true", help="print the report for machines")
    doctor.add_argument("--no-color", action="store_true", help="print without colours")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("give seconds, more than 0 and at most 3600")
    return seconds


def _nameserver(text: str) -> Address:
    try:
        (host,) = ConnectionString.parse(f"couchbase://{text}?dnssrv=off").seeds
        ip_address(host.host)
    except ValueError:
        raise argparse.ArgumentTypeError("give an IP address, and :PORT if it is not 53") from None
    return Address(host.host, host.port or 53)


def read_user(
    options: argparse.Namespace, environment: Mapping[str, str], standard_input: TextIO
) -> User:
    """Return who connects, and their password. Raises UsageError."""
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


class _Screen:
    """Shows a diagnosis while it runs."""

    def __init__(self, table: Table, out: TextIO, *, progress: bool) -> None:
        self._table = table
        self._out = out
        self._progress = progress

    def write(self, text: str) -> None:
        """Print *text*, in the place of the progress; it goes nowhere once nobody reads it."""
        try:
            self._out.write(f"\r\033[2K{text}" if self._progress else text)
            self._out.flush()
        except OSError as error:
            # What is left in the buffer must not be tried again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            if not isinstance(error, BrokenPipeError):
                raise UsageError(f"the report cannot be written: {error.strerror}") from None

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines."""
        self.write("".join(f"{line}\n" for line in lines))

    def begins(self, name: str, subject: str) -> None:
        """Show what is being done, if anybody can see it."""
        if self._progress:
            self.write(self._table.progress(name, subject))

    def ends(self, step: Step) -> None:
        """Show what it has brought."""
        self.lines(self._table.step(step))


class _Silence:
    """Shows nothing: machines read the whole report at its end."""

    def begins(self, name: str, subject: str) -> None:
        """Do nothing."""

    def ends(self, step: Step) -> None:
        """Do nothing."""


def doctor_command(options: argparse.Namespace) -> int:
    """Run a diagnosis, and print what was found."""
    loop = options.loop or next((name for name in LOOPS if find_spec(name)), None)
    if loop is None or find_spec(loop) is None:
        raise UsageError(
            f"install couchloop[{loop or 'twisted'}]" + ("" if loop else " or [gevent]")
        )
    user = read_user(options, os.environ, sys.stdin)
    name, run = {"twisted": _on_twisted, "gevent": _on_gevent}[loop]()
    hot_path = NAME or "pure"
    report = Report(connection_string="", loop=name, version=__version__, hot_path=hot_path)
    out = sys.stdout
    terminal = out.isatty() and os.environ.get("TERM") != "dumb" and not options.json
    table = Table(
        width=shutil.get_terminal_size((_WIDTH_OF_FILES, 24)).columns,
        colour=terminal and not options.no_color and not os.environ.get("NO_COLOR"),
        unicode=(out.encoding or "").lower().replace("-", "") == "utf8",
    )
    screen = _Screen(table, out, progress=terminal)
    diagnosis = Diagnosis(
        options.connection_string,
        user,
        limit=options.timeout,
        report=report,
        listener=_Silence() if options.json else screen,
        nonce=lambda: os.urandom(18).hex(),
        wall=time(),
        environment=os.environ,
    )
    if not options.json:
        screen.lines(table.header(report))
    run(diagnosis, options.nameserver)
    if options.json:
        screen.lines([json.dumps(report.as_json(), indent=2)])
    else:
        screen.lines(table.footer(report))
    if not report.finished:
        return INTERRUPTED
    return 0 if report.works else 1


def _on_twisted() -> tuple[str, Callable[[Diagnosis, Address | None], None]]:
    from twisted.internet import reactor  # noqa: PLC0415 - only if Twisted was picked
    from twisted.internet.defer import CancelledError, Deferred  # noqa: PLC0415
    from twisted.internet.error import ReactorNotRunning  # noqa: PLC0415

    from txcouchbase import doctor  # noqa: PLC0415

    def run(diagnosis: Diagnosis, nameserver: Address | None) -> None:
        failures: list[Any] = []

        def stop(_: object) -> None:
            # A signal may have stopped it already.
            with suppress(ReactorNotRunning):
                reactor.stop()

        def begin() -> None:
            work = Deferred.fromCoroutine(doctor.serve(reactor, diagnosis, nameserver))
            work.addErrback(failures.append)
            work.addBoth(stop)
            reactor.addSystemEventTrigger("before", "shutdown", work.cancel)

        reactor.callWhenRunning(begin)
        reactor.run()
        for failure in failures:
            if not failure.check(CancelledError):
                failure.raiseException()

    return doctor.loop_name(), run


def _on_gevent() -> tuple[str, Callable[[Diagnosis, Address | None], None]]:
    import gevent  # noqa: PLC0415 - only if gevent was picked

    from gcouchbase import doctor  # noqa: PLC0415

    def run(diagnosis: Diagnosis, nameserver: Address | None) -> None:
        work = gevent.spawn(doctor.run, diagnosis, nameserver)
        gevent.signal_handler(signal.SIGINT, work.kill, block=False)
        work.get()

    return doctor.loop_name(), run


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
    if not arguments[0].startswith("-") and arguments[0] != "doctor":
        # argparse would repeat it, and it may be a connection string with a password.
        parser.error("the first argument is a command: doctor")
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
