"""`couchloop doctor`: why a program cannot reach its cluster, and what to do (docs/doctor.md)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from time import time
from typing import Any, Final, TextIO

from couchloop import __version__
from couchloop.command.access import (
    INTERRUPTED,
    Parser,
    UsageError,
    add_connection,
    pick_loop,
    read_user,
    seconds,
)
from couchloop.doctor import Diagnosis, Report, Step, Table
from couchloop.hot.speedups import NAME
from couchloop.neighbours import find_clash
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Address

_WIDTH_OF_FILES: Final = 100


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    parser: Parser = commands.add_parser(
        "doctor",
        help="say why a program cannot reach its cluster, and what to do about it",
        description="Go the way that a program goes, from the connection string to every node of "
        "the cluster, and say of each step how long it took and what is wrong.",
        epilog="Exit status: 0 if a program could work, 1 if not, 2 for wrong usage.",
        allow_abbrev=False,
    )
    parser.set_defaults(command=run)
    add_connection(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="limit of each step that waits for somebody (5)",
    )
    parser.add_argument(
        "--nameserver",
        type=_nameserver,
        metavar="ADDRESS[:PORT]",
        help="where to look up DNS SRV records (what /etc/resolv.conf names)",
    )
    parser.add_argument("--json", action="store_true", help="print the report for machines")
    parser.add_argument("--no-color", action="store_true", help="print without colours")


def _nameserver(text: str) -> Address:
    try:
        (host,) = ConnectionString.parse(f"couchbase://{text}?dnssrv=off").seeds
        ip_address(host.host)
    except ValueError:
        raise argparse.ArgumentTypeError("give an IP address, and :PORT if it is not 53") from None
    return Address(host.host, host.port or 53)


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


def run(options: argparse.Namespace) -> int:
    """Run a diagnosis, and print what was found."""
    loop = pick_loop(options)
    user = read_user(options)
    name, serve = {"twisted": _on_twisted, "gevent": _on_gevent}[loop]()
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
        clash=find_clash(),
    )
    if not options.json:
        screen.lines(table.header(report))
    serve(diagnosis, options.nameserver)
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
