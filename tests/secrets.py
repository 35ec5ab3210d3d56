"""Finds secrets where tools that report errors look: in frames, and in what these lead to."""

from __future__ import annotations

import gc
from base64 import b64encode
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any
from urllib.parse import quote

_OURS = frozenset({"couchloop", "gcouchbase", "txcouchbase"})
_MOST = 2_000_000
_LOOP_IN_PYTHON = frozenset({("gevent.libuv.loop", "loop"), ("gevent.libuv.watcher", "io")})
"""What leads, of gevent's loops on this one alone, to all that the process watches: to the
cluster's side, too."""


def forms(secret: str) -> list[str]:
    """Return *secret* as it stands in logins: plain, percent-encoded, in base64."""
    pairs = [f"{user}:{secret}" for user in ("user", "default")]
    encoded = [b64encode(each.encode()).decode().rstrip("=") for each in (*pairs, secret)]
    return [secret, quote(secret, safe=""), *encoded]


def errors_behind(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and every error that it knows of."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *vars(each).values()]
        context = getattr(each, "context", None)
        waiting += [why for _, why in getattr(context, "seeds", ())]
        waiting += getattr(each, "exceptions", ())


def frames_of(traceback: TracebackType | None) -> Iterator[FrameType]:
    """Yield the frames of *traceback* that are not the test's own."""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if not name.startswith("tests."):
            yield traceback.tb_frame
        traceback = traceback.tb_next


def leaks(error: BaseException, secret: str) -> list[str]:
    """Return where *secret* is found: in texts, in our frames, in all that they lead to."""
    sought = forms(secret)
    found = []
    for each in errors_behind(error):
        for text in (str(each), repr(each), getattr(each, "details", str)()):
            found += [f"text of {type(each).__name__}: {text}" for form in sought if form in text]
        found += [
            f"{frame.f_code.co_qualname} -> {where}"
            for frame in frames_of(each.__traceback__)
            for where in reached(frame.f_locals, sought)
        ]
        found += [f"{type(each).__name__} -> {where}" for where in reached(vars(each), sought)]
    return found


def reached(start: object, sought: list[str]) -> Iterator[str]:
    """Return by which way one of *sought* can be reached from *start*."""
    ways: dict[int, str] = {id(start): type(start).__name__}
    waiting: list[Any] = [start]
    kept: list[Any] = []
    while waiting:
        each = waiting.pop()
        # What is only made while looking must live, or its id() is another's soon.
        kept.append(each)
        assert len(kept) < _MOST
        way = ways[id(each)]
        if isinstance(each, str | bytes | bytearray | memoryview):
            text = each if isinstance(each, str) else bytes(each).decode("latin-1")
            if any(form in text for form in sought):
                yield f"{way}: {text[:80]!r}"
            continue
        for other in _referents(each):
            if id(other) not in ways:
                ways[id(other)] = f"{way}.{type(other).__name__}"
                waiting.append(other)


def _referents(each: Any) -> list[Any]:
    if isinstance(each, ModuleType | CodeType | type | FrameType):
        # Constants of a test's code, and what modules hold, are no variables of a frame.
        return []
    if (type(each).__module__, type(each).__name__) in _LOOP_IN_PYTHON:
        return []
    if isinstance(each, FunctionType):
        cells = [_content(cell) for cell in each.__closure__ or ()]
        return [*cells, each.__defaults__, each.__kwdefaults__, vars(each)]
    if isinstance(each, dict) and "__builtins__" in each:
        return []
    return gc.get_referents(each)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
