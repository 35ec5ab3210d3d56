"""What a web port answers, and what an error's causes hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

_FOLDER: Final = Path(__file__).with_name("service_answers")
_MEMBERS: Final = {"query": "results", "analytics": "results", "search": "hits"}
"""Which member has the rows; the others have `rows`, or none."""


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer with a length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


def frames_behind(error: BaseException) -> list[object]:
    """Return the tracebacks of what led to *error*, whose frames hold the login."""
    found: list[object] = []
    each = error.__cause__ or error.__context__
    while each is not None:
        found += [each.__traceback__] if each.__traceback__ is not None else []
        each = each.__cause__ or each.__context__
    return found


class Recorded(NamedTuple):
    """An answer that a service has given."""

    name: str
    member: str
    """That has the rows."""
    text: bytes
    means: Any


def compact(value: object) -> bytes:
    """Give JSON as most services write it, without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def indented(value: object) -> bytes:
    """Give JSON with blanks wherever they may be."""
    return json.dumps(value, indent=4, separators=(" ,", "\t:\r\n ")).encode() + b"\r\n\t "


def in_lines(value: object) -> bytes:
    """Give JSON as the query service writes it: a line for each member, and for each row."""
    if not isinstance(value, dict):
        return compact(value)
    members = [
        compact(name) + b": " + (_rows(part) if isinstance(part, list) else compact(part))
        for name, part in value.items()
    ]
    return b"{\n" + b",\n".join(members) + b"\n}\n"


def _rows(rows: list[object]) -> bytes:
    return b"[\n" + b",\n".join(map(compact, rows)) + b"\n]"


def recorded() -> list[Recorded]:
    """Give all answers in `service_answers/`, those whose layout is not known in three layouts."""
    found: list[Recorded] = []
    for file in sorted(_FOLDER.glob("*.jsonl")):
        for number, line in enumerate(file.read_text("utf-8").splitlines()):
            entry = json.loads(line)
            if file.stem == "as_sent":
                text = entry["text"].encode()
                member = "results" if entry["id"].startswith("query") else "hits"
                found.append(Recorded(entry["id"], member, text, json.loads(text)))
                continue
            found += [
                Recorded(
                    f"{file.stem}/{number} {layout.__name__}",
                    _MEMBERS.get(file.stem, "rows"),
                    layout(entry["body"]),
                    entry["body"],
                )
                for layout in (compact, indented, in_lines)
            ]
    return found
