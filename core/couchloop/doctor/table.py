"""The diagnosis for people: a calm table, for narrow and for wide terminals."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from couchloop.doctor.report import Part, Report, Step, Verdict, count, label

NARROW: Final = 64
"""Below so many columns, labels and texts stand on lines of their own."""
WIDEST: Final = 110
"""Longer lines are hard to read."""

_LABEL: Final = 16
_TIME: Final = 9
_TEXT_AT: Final = 4 + _LABEL
_STAGES: Final = {"tcp": "TCP", "tls": "TLS", "handshake": "login", "noop": "NOOP"}

_TITLES: Final[Mapping[Part, str]] = {
    Part.REQUEST: "What was asked for",
    Part.NAMES: "Names",
    Part.SEED: "Seed",
    Part.OTHER_SEEDS: "Other seeds",
    Part.CLUSTER: "Cluster",
    Part.NODES: "Nodes of the map, from here",
    Part.SERVICES: "Services, from here",
}
_WHAT_FAILS: Final[Mapping[str, str]] = {
    "parse": "the connection string is not understood",
    "options": "an option cannot be used",
    "environment": "a variable of the environment cannot be used",
    "credentials": "the credentials cannot be used",
    "certificates": "a file of certificates cannot be used",
    "srv": "the DNS SRV record is missing",
    "addresses": "the name {} is of no use",
    "tcp": "nothing can be reached at {}",
    "tls": "TLS fails at {}",
    "http": "HTTP fails at {}",
    "hello": "no Couchbase data node speaks at {}",
    "authentication": "the login fails at {}",
    "bucket": "the bucket cannot be opened at {}",
    "network": "no data node has an address on this network",
    "configuration": "there is no usable configuration at {}",
}
"""What fails, of the step of that name and its subject."""
_GLYPHS: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "✓",
    Verdict.WARNING: "!",
    Verdict.FAILED: "✗",
    Verdict.SKIPPED: "·",
}
_COLOURS: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "32",
    Verdict.WARNING: "33",
    Verdict.FAILED: "31",
    Verdict.SKIPPED: "2",
}
_UNIT: Final = re.compile(r"(?<=\d) (m?s)\b")
_BOLD: Final = "1"
_DIM: Final = "2"

_ASCII: Final = str.maketrans(
    {"✓": "+", "✗": "x", "·": "-", "…": "...", "\N{REPLACEMENT CHARACTER}": "?"}
)


class Table:
    """Turns steps into lines.

    Args:
        width: columns of the terminal.
        colour: whether it shows colours.
        unicode: whether it shows more than ASCII.
    """

    def __init__(self, *, width: int = 80, colour: bool = False, unicode: bool = True) -> None:
        self.width = max(32, min(width, WIDEST))
        self._colour = colour
        self._unicode = unicode
        self._heading: tuple[Part, str] | None = None
        self._last_failure: tuple[str, str] = ("", "")
        """What the last step said of cause and cure, its own address left out."""
        self._narrow = self.width < NARROW

    def header(self, report: Report) -> Iterator[str]:
        """Return the first lines: what is examined, and by what."""
        twin = f" ({report.hot_path})" if report.hot_path else ""
        what = f"couchloop {report.version}{twin}, {report.loop}"
        text = clean(report.connection_string)
        yield from self._lines(self._bold(line) for line in _wrap(text, self.width))
        yield from self._lines(self._paint(_DIM, line) for line in _wrap(what, self.width))

    def step(self, step: Step) -> Iterator[str]:
        """Return the lines of one step, after a heading if its part begins here."""
        heading = (step.part, step.subject if step.part is Part.SEED else "")
        if heading != self._heading:
            self._heading = heading
            yield ""
            yield from self._title(step)
        if step.part is Part.NODES:
            yield from self._lines(self._node(step))
        else:
            yield from self._lines(self._row(step, label(step.name), step.text))
        likewise = (
            step.part is Part.NODES
            and bool(step.cause)
            and self._last_failure == _failure_text(step)
        )
        self._last_failure = _failure_text(step)
        more = [f"      {self._paint(_DIM, 'as above')}"] if likewise else self._more(step)
        yield from self._lines(more)

    def footer(self, report: Report) -> Iterator[str]:
        """Return the last lines: whether a program could work."""
        failures, warnings = list(report.failures()), list(report.warnings())
        nodes = [
            step
            for step in report
            if step.part is Part.NODES and step.verdict is not Verdict.SKIPPED
        ]
        yield ""
        if report.works:
            verdict = Verdict.WARNING if warnings else Verdict.OK
            text = f"A program can work: {count(len(nodes), 'data node')} answered."
            if warnings:
                points = "One point above deserves" if len(warnings) == 1 else ""
                text += f" {points or f'{len(warnings)} points above deserve'} a look."
        elif not report.finished:
            verdict, text = Verdict.WARNING, "The diagnosis was interrupted."
        else:
            verdict = Verdict.FAILED
            text = f"A program could not work: {_what_fails(failures, len(nodes))}."
        text += f" ({duration(report.seconds)})"
        first, *others = _wrap(text, self.width - 2)
        yield from self._lines([f"{self._glyph(verdict)} {self._bold(first)}"])
        yield from self._lines(f"  {self._bold(line)}" for line in others)

    def progress(self, name: str, subject: str) -> str:
        """Return the line that shows while a step runs."""
        text = clean(f"  … {label(name)} {subject}".rstrip())[: self.width - 1]
        return next(self._lines([self._paint(_DIM, text)]))

    # Rows

    def _title(self, step: Step) -> Iterator[str]:
        title = _TITLES[step.part]
        if step.part is Part.SEED:
            title += f" {clean(step.subject)}"
        heads = ""
        if step.part is Part.NODES and not self._narrow:
            heads = "".join(f"{_STAGES[name]:>{_TIME}}" for name in _stages(step))
        gap = " " * max(1, self.width - len(title) - len(heads))
        yield from self._lines([f"{self._bold(title)}{gap}{self._paint(_DIM, heads)}"])

    def _row(self, step: Step, label: str, text: str) -> Iterator[str]:
        time = "" if step.seconds is None else duration(step.seconds)
        glyph = self._glyph(step.verdict)
        text = clean(text)
        if self._narrow:
            gap = " " * max(1, self.width - 4 - len(label) - len(time))
            yield f"  {glyph} {label}{gap if time else ''}{self._paint(_DIM, time)}"
            yield from (f"      {line}" for line in _wrap(text, self.width - 6))
            return
        first, *others = _wrap(text, self.width - _TEXT_AT - _TIME) or [""]
        room = self.width - _TEXT_AT - len(first)
        shown = self._paint(_DIM, f"{time:>{room}}") if time else ""
        yield f"  {glyph} {label:<{_LABEL}}{first}{shown}"
        yield from (f"{' ' * _TEXT_AT}{line}" for line in others)

    def _node(self, step: Step) -> Iterator[str]:
        taken: Mapping[str, float] = step.details.get("seconds", {})
        if step.verdict in {Verdict.FAILED, Verdict.SKIPPED}:
            yield from self._node_without_times(step)
            return
        name = f"{clean(step.subject)}{' (seed)' if step.text == 'the seed' else ''}"
        line = f"  {self._glyph(step.verdict)} {name}"
        if self._narrow:
            yield line
            times = [
                f"{head} {duration(taken[key])}" for key, head in _STAGES.items() if key in taken
            ]
            for each in _wrap(", ".join(times), self.width - 6):
                yield f"      {self._paint(_DIM, each)}"
        else:
            columns = "".join(
                f"{duration(taken[name]) if name in taken else '':>{_TIME}}"
                for name in _stages(step)
            )
            room = self.width - 4 - len(name) - len(columns)
            if room < 0:
                # A long name has a line of its own.
                yield line
                line, room = "", self.width - len(columns)
            yield f"{line}{' ' * room}{self._paint(_DIM, columns)}"
        if step.verdict is Verdict.WARNING and step.text not in {"", "the seed"}:
            yield from (f"      {each}" for each in _wrap(clean(step.text), self.width - 6))

    def _node_without_times(self, step: Step) -> Iterator[str]:
        text = clean(f"{step.subject}  {step.text}")
        first, *others = _wrap(text, self.width - 4)
        yield f"  {self._glyph(step.verdict)} {first}"
        yield from (f"    {line}" for line in others)

    def _more(self, step: Step) -> Iterator[str]:
        """Return a step's notes, cause and cure."""
        at = 6 if self._narrow or step.part is Part.NODES else _TEXT_AT
        for note in step.notes:
            for number, line in enumerate(_wrap(clean(note), self.width - at, hanging=2)):
                yield f"{' ' * at}{self._paint(_DIM, line)}" if number or line else ""
        for head, text in (("cause", step.cause), ("cure", step.cure)):
            if text:
                lines = _wrap(clean(text), self.width - at - 7)
                for number, line in enumerate(lines):
                    shown = "" if number else head
                    yield f"{' ' * at}{self._paint(_DIM, f'{shown:<7}')}{line}"

    # Looks

    def _glyph(self, verdict: Verdict) -> str:
        return self._paint(_COLOURS[verdict], _GLYPHS[verdict])

    def _bold(self, text: str) -> str:
        return self._paint(_BOLD, text)

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour and text.strip() else text

    def _lines(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            stripped = line.rstrip()
            if self._unicode:
                yield stripped
            else:
                yield stripped.translate(_ASCII).encode("ascii", "replace").decode()


def duration(seconds: float) -> str:
    """Return a time as people read it: 0.3 ms, 120 ms, 2.5 s."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    if milliseconds < 0.05:
        return "<0.1 ms"
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def clean(text: str) -> str:
    """Replace what a terminal might obey in *text*: a peer chooses names and certificates."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _failure_text(step: Step) -> tuple[str, str]:
    host = step.subject.rpartition(":")[0] or step.subject
    cause, cure = (
        text.replace(step.subject, "").replace(host, "") for text in (step.cause, step.cure)
    )
    return cause, cure


def _stages(step: Step) -> list[str]:
    """Return the columns of a node's times."""
    return [name for name in _STAGES if name != "tls" or step.details.get("tls")]


def _wrap(text: str, width: int, *, hanging: int = 0) -> list[str]:
    # A number stays with its unit.
    text = _UNIT.sub("\N{NO-BREAK SPACE}\\1", text)
    lines = textwrap.wrap(
        text, max(12, width), subsequent_indent=" " * hanging, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _what_fails(failures: list[Step], nodes: int) -> str:
    """Return in a few words what fails."""
    if not failures:
        return "no data node was found"
    first = failures[0]
    if first.part is Part.NODES and len(failures) == nodes:
        return "no data node can be used from here"
    if first.part is Part.NODES:
        return (
            f"{len(failures)} of {count(nodes, 'data node')} cannot be used from here, and "
            "operations on their documents would fail"
        )
    text = _WHAT_FAILS[first.name].format(clean(first.subject))
    hosts = {step.subject.rpartition(":")[0] for step in failures if step.part is Part.SEED}
    return f"none of {len(hosts)} hosts can be used: {text}" if len(hosts) > 1 else text
