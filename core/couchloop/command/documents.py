"""`couchloop ping`, `get`, `put`, `import` and `export`: a look at a bucket and its documents."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from time import monotonic, time
from typing import Any, BinaryIO, Final, TextIO

from couchloop.command.access import (
    FAILED,
    NOBODY_READS,
    NOT_FOUND,
    Parser,
    UsageError,
    add_connection,
    pick_loop,
    read_user,
    seconds,
)
from couchloop.command.lines import (
    LONGEST,
    AsStored,
    Document,
    LineError,
    Stored,
    json_text,
    read,
    write,
)
from couchloop.command.loops import Wait, Waiting, Work, run
from couchloop.command.progress import Progress
from couchloop.exceptions import (
    CollectionNotFoundError,
    CouchbaseError,
    NotFoundError,
    ScopeNotFoundError,
)
from couchloop.operations.items import Item, ItemOptionDict
from couchloop.operations.scan_requests import PrefixScan, RangeScan
from couchloop.safety.printable import printable
from couchloop.transcoder import FMT_BYTES, FMT_JSON, FMT_UTF8

_SHOWN: Final = 10
"""Failures of an import that are told one by one."""
_LONGEST_EXPIRY: Final = 1_000_000_000
"""Seconds, 31 years: with the time of day as many as a server's 32 bits hold."""
_AT_ONCE: Final = 200
"""Documents with an expiry of their own that are stored at once."""
_ANSWER: Final = 10.0
"""Seconds that a node has for a part of an export: a collection may be missing."""
_NOWHERE: Final = (CollectionNotFoundError, ScopeNotFoundError)
"""What ends an import: there is no place for its documents."""
_EXIT: Final = "Exit status: 0 if all went well, 1 if not, 2 for wrong usage."


def add(commands: Any) -> None:
    """Add the commands to a parser's."""
    ping = _command(commands, "ping", _ping, "ask each node of a cluster for a sign of life")
    ping.add_argument("--timeout", type=seconds, metavar="SECONDS", help="what each node has (2.5)")
    ping.add_argument("--json", action="store_true", help="print the report for machines")

    get = _command(
        commands,
        "get",
        _get,
        "print documents",
        f"{_EXIT[:-1]}, 3 if a document is missing.",
    )
    get.add_argument("keys", nargs="+", metavar="KEY", help="a document's key")
    get.add_argument("--raw", action="store_true", help="print the bytes as they are stored")
    _add_collection(get)

    put = _command(commands, "put", _put, "store a document")
    put.add_argument("key", metavar="KEY", help="the document's key")
    put.add_argument(
        "value",
        metavar="VALUE",
        nargs="?",
        help="its JSON; -: standard input (the default)",
    )
    # argparse takes one that stands behind an option for something unknown.
    put.set_defaults(late="value")
    kind = put.add_mutually_exclusive_group()
    kind.add_argument("--text", action="store_true", help="it is text, and no JSON")
    kind.add_argument("--bytes", action="store_true", help="it is bytes, of standard input")
    how = put.add_mutually_exclusive_group()
    how.add_argument("--insert", action="store_true", help="fail if the document is there")
    how.add_argument("--replace", action="store_true", help="fail if it is not there")
    put.add_argument(
        "--expiry", type=_duration, metavar="SECONDS", help="after which it goes (never)"
    )
    _add_collection(put)

    bring_in = _command(commands, "import", _import, "store the documents of a file, one a line")
    bring_in.add_argument("file", metavar="FILE", help="lines of JSON; -: standard input")
    bring_in.add_argument(
        "--id",
        metavar="MEMBER",
        help="each line is a document, whose key stands in that member of it (else lines are as "
        "export writes them)",
    )
    bring_in.add_argument("--insert", action="store_true", help="leave documents that are there")
    _add_collection(bring_in)

    bring_out = _command(
        commands,
        "export",
        _export,
        "write all documents of a collection into a file, one a line",
        f"It needs servers from 7.6 on, with the privilege to scan. {_EXIT}",
    )
    bring_out.add_argument("file", metavar="FILE", help="is written anew; -: standard output")
    bring_out.add_argument("--prefix", metavar="TEXT", help="only keys that begin so")
    _add_collection(bring_out)


def _duration(text: str) -> timedelta:
    """Read how long a document is to be there: a number above 30 days would be a moment."""
    seconds = int(text) if re.fullmatch("[0-9]{1,10}", text) else -1
    if not 0 <= seconds <= _LONGEST_EXPIRY:
        raise argparse.ArgumentTypeError("give whole seconds, from 0 to a thousand million")
    return timedelta(seconds=seconds)


def _command(
    commands: Any,
    name: str,
    command: Callable[[argparse.Namespace], int],
    meaning: str,
    epilog: str = _EXIT,
) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=meaning,
        description=f"{meaning[0].upper()}{meaning[1:]}.",
        epilog=epilog,
        allow_abbrev=False,
    )
    add_connection(parser)
    parser.set_defaults(command=command)
    return parser


def _add_collection(parser: Parser) -> None:
    parser.add_argument("--scope", metavar="NAME", default="_default", help="the scope (_default)")
    parser.add_argument(
        "--collection", metavar="NAME", default="_default", help="the collection (_default)"
    )


def _with_bucket(options: argparse.Namespace, work: Work) -> int:
    """Do *work* with the bucket; say what keeps it from being done."""
    loop, user = pick_loop(options), read_user(options)
    try:
        return run(loop, options.connection_string, user, work)
    except CouchbaseError as error:
        return _failed(error)
    except BrokenPipeError:
        # Who reads has enough (`| head`). At the end Python would complain of what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except OSError as error:
        return _failed(f"{error.strerror or error}")


def _failed(why: object) -> int:
    print(printable(str(why), 4096), file=sys.stderr)
    return FAILED


def _documents(bucket: Any, options: argparse.Namespace) -> Any:
    return bucket.scope(options.scope).collection(options.collection)


# Commands -----------------------------------------------------------------------------------------


def _ping(options: argparse.Namespace) -> int:
    def work(bucket: Any, _: Wait) -> int:
        report = bucket.ping(timeout=options.timeout)
        if options.json:
            print(report.as_json())
        else:
            for line in _lines_of(json.loads(report.as_json())):
                print(line)
        states = {each["state"] for nodes in report.values() for each in nodes}
        return 0 if states <= {"ok"} else FAILED

    return _with_bucket(options, work)


def _lines_of(report: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each node of each service."""
    for service, nodes in report["services"].items():
        for node in nodes:
            latency = node.get("latency_us")
            took = "" if latency is None else f"{latency / 1000:.1f} ms"
            line = f"{service:<10} {node['remote']:<28} {node['state']:<8} {took:>10}"
            yield f"{line}  {node.get('details', '')}".rstrip()


def _get(options: argparse.Namespace) -> int:
    def work(bucket: Any, _: Wait) -> int:
        documents, status = _documents(bucket, options), 0
        for key in options.keys:
            try:
                stored = documents.get(key, transcoder=AsStored).value
            except NotFoundError as error:
                print(printable(str(error), 4096), file=sys.stderr)
                status = NOT_FOUND
            else:
                _show(stored, raw=options.raw)
        return status

    return _with_bucket(options, work)


def _show(stored: Stored, *, raw: bool) -> None:
    """Print a document: JSON in lines that can be read, else what is stored."""
    text = None if raw else json_text(stored)
    if text is not None:
        print(_fit(text))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(stored.data if raw else stored.data + b"\n")
    sys.stdout.buffer.flush()


def _fit(text: str) -> str:
    """Return JSON in lines that can be read, with escapes where a terminal has no such letters."""
    value = json.loads(text, parse_float=_within_doubles)
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        shown.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=2)
    return shown


def _within_doubles(text: str) -> float | str:
    """Return a number; one such as 1e999 as text: JSON has no word for what Python makes of it."""
    number = float(text)
    return number if isfinite(number) else text


def _put(options: argparse.Namespace) -> int:
    value, kind = _value_of(options)

    def work(bucket: Any, _: Wait) -> int:
        documents = _documents(bucket, options)
        store = documents.upsert
        if options.insert or options.replace:
            store = documents.insert if options.insert else documents.replace
        store(options.key, value, ttl=options.expiry or 0, format=kind)
        return 0

    return _with_bucket(options, work)


def _value_of(options: argparse.Namespace) -> tuple[Any, int]:
    """Return what is to be stored, and its format. Raises UsageError."""
    if options.value in {None, "-"}:
        _refuse_to_share(options)
        data = sys.stdin.buffer.read()
    else:
        data = os.fsencode(options.value)
    if options.bytes:
        return data, FMT_BYTES
    try:
        text = data.decode()
        return (text, FMT_UTF8) if options.text else (json.loads(text), FMT_JSON)
    except (ValueError, RecursionError):
        raise UsageError(
            "the value is no JSON (of a text in quotation marks that the shell leaves there): "
            "--text stores it as text, --bytes as bytes"
        ) from None


def _refuse_to_share(options: argparse.Namespace) -> None:
    """Raise UsageError if the password is to come from standard input, too."""
    if options.password_file == "-":  # noqa: S105 - the name of a file
        raise UsageError(
            "standard input cannot be both, the password and what is stored: use --password-env, "
            "or a file for one of them"
        )


def _import(options: argparse.Namespace) -> int:
    if options.file == "-":
        _refuse_to_share(options)

    def work(bucket: Any, wait: Wait) -> int:
        documents = _documents(bucket, options)
        with _source(options.file, wait) as (lines, share):
            return _Import(documents, options, lines).run(share)

    return _with_bucket(options, work)


class _Import:
    """One import: documents of lines, those with an expiry of their own apart from the others."""

    def __init__(self, documents: Any, options: argparse.Namespace, lines: Iterator[str]) -> None:
        self._documents, self._options, self._lines = documents, options, lines
        self._expiring: list[Document] = []
        self._done = self._failed = self._gone = 0
        self._errors: list[tuple[object, object]] = []

    def run(self, share: Callable[[], float] | None) -> int:
        """Store all; return the exit status."""
        insert = self._options.insert
        stream_of = self._documents.insert_stream if insert else self._documents.upsert_stream
        status = 0
        with Progress("import", sys.stderr, monotonic, share) as progress:
            try:
                with stream_of(self._pairs(), transcoder=AsStored) as stream:
                    for result in stream:
                        self._note(result.key, result.error)
                        progress(self._done, self._failed)
                        if isinstance(result.error, _NOWHERE):
                            raise result.error
                self._store_expiring()
            except _NOWHERE as error:
                # No other document would fare better, and each waits for the collection.
                return _failed(error)
            except LineError as error:
                # Those before it that wait to be stored together, too.
                self._store_expiring()
                status = _failed(error)
        for key, why in self._errors:
            print(printable(f"{key}: {why}", 4096), file=sys.stderr)
        gone = f", {self._gone} had expired" if self._gone else ""
        stored = self._done - self._failed
        print(f"stored {stored} documents, {self._failed} failed{gone}", file=sys.stderr)
        return status or (FAILED if self._failed else 0)

    def _note(self, key: object, error: object) -> None:
        self._done += 1
        if error is not None:
            self._failed += 1
            if len(self._errors) < _SHOWN:
                self._errors.append((key, error))

    def _pairs(self) -> Iterator[tuple[str, Stored]]:
        for number, line in enumerate(self._lines, 1):
            if not line.strip():
                continue
            try:
                document = read(line, self._options.id)
            except LineError as error:
                raise LineError(f"line {number}: {error}; the lines before it are stored") from None
            if not document.expiry:
                yield document.key, document.stored
                continue
            self._expiring.append(document)
            if len(self._expiring) >= _AT_ONCE:
                self._store_expiring()

    def _store_expiring(self) -> None:
        """Store those that have an expiry, as moments in time."""
        expiring, self._expiring, now = self._expiring, [], time()
        items = ItemOptionDict()
        for document in expiring:
            if document.expiry <= now:
                self._gone += 1
            else:
                items.create_and_add(document.key, document.stored, ttl=document.expiry)
        if not len(items):
            return
        documents = self._documents
        store = documents.insert_multi if self._options.insert else documents.upsert_multi
        try:
            store(items, transcoder=AsStored)
        except _NOWHERE:
            raise
        except CouchbaseError:
            # Each item has what became of it; none has, where one has no key that can be sent.
            pass
        for item, how in items.pairs():
            if item.rc or item.cas:
                self._note(item.key, item.errstr if item.rc else None)
            else:
                self._note(item.key, self._store_alone(item, **how))

    def _store_alone(self, item: Item, ttl: int) -> CouchbaseError | None:
        """Store one document; return what keeps it from being stored."""
        store = self._documents.insert if self._options.insert else self._documents.upsert
        try:
            store(item.key, item.value, ttl=ttl, transcoder=AsStored)
        except CouchbaseError as error:
            return error
        return None


def _export(options: argparse.Namespace) -> int:
    kind = PrefixScan(options.prefix) if options.prefix else RangeScan()

    def work(bucket: Any, _: Wait) -> int:
        documents = _documents(bucket, options)
        failed = 0
        with (
            _target(options.file) as out,
            Progress("export", sys.stderr, monotonic) as progress,
            documents.scan(
                kind,
                concurrency=8,
                batch_byte_limit=20_000,
                transcoder=AsStored,
                timeout=_ANSWER,
            ) as found,
        ):
            for result in found:
                if result.success and isinstance(result.key, str):
                    out.write(write(result.key, result.value, _moment(result.expiry)))
                else:
                    failed += 1
                progress(found.done, failed)
            done = found.done - failed
        print(f"wrote {done} documents, {failed} failed", file=sys.stderr)
        return FAILED if failed else 0

    return _with_bucket(options, work)


# Files --------------------------------------------------------------------------------------------


@contextmanager
def _source(path: str, wait: Wait) -> Iterator[tuple[Iterator[str], Callable[[], float] | None]]:
    """Open what is imported; give its lines, and what tells how much of it is read."""
    if path == "-":
        yield _lines(_read_as_it_comes(sys.stdin.buffer, wait)), None
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - below; its own errors are others
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        size = Path(path).stat().st_size
        lines = _lines(_read_as_it_comes(file, wait))
        yield lines, (lambda: file.tell() / size) if size else None


def _read_as_it_comes(file: BinaryIO, wait: Wait) -> BinaryIO:
    """Return *file*, or what waits as the loop does where it may be silent: a pipe, a terminal."""
    descriptor = file.fileno()
    if file.isatty() or stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return io.BufferedReader(Waiting(descriptor, wait))
    return file


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield each line of a file; one that has no end is cut where it is too long.

    A byte order mark at its begin, as some editors write it, is no part of the first.
    """
    encoding = "utf-8-sig"
    while line := file.readline(LONGEST + 1):
        yield line.decode(encoding, "surrogateescape")
        encoding = "utf-8"


@contextmanager
def _target(path: str) -> Iterator[TextIO]:
    """Open what is exported to; a file gets its name once it is whole."""
    if path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Whatever the terminal's: an import reads no other.
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with _opened(Path(path)) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a file under another name until it is whole; raise what the system says.

    A link stays one, and so does what is no file: a pipe, a device.
    """
    is_there = path.exists()
    if is_there and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    whole = path.resolve()
    # No other's: it is made here, or not at all.
    part = whole.with_name(f"{whole.name}.{os.getpid()}.part")
    with part.open("x", encoding="utf-8") as file:
        try:
            if is_there:
                shutil.copymode(whole, part)
            yield file
            file.flush()
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)


def _moment(expiry: datetime | None) -> int:
    return 0 if expiry is None else int(expiry.timestamp())
