"""The answers of the query service as texts."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from couchloop.embedded.http.query_members import Members
from couchloop.embedded.sqlpp.engine import Answer
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.texts import encode
from couchloop.embedded.sqlpp.values import Ordered, Value

_INDENT: Final = "    "
_TURN: Final = 1 << 18
"""Bytes of rows that are written before other things may be done."""
_ROW: Final = 32
"""Bytes that are written in the time that a row takes besides."""

_DISABLED: Final = (
    "(Reserved for future use) (0x40)",
    "Encoded plans (0x4)",
    "Golang UDFs (0x8)",
)
"""What `n1ql_feat_ctrl` stands for."""

_STATUSES: Final = {
    1000: 403,
    1010: 405,
    1020: 400,
    1030: 400,
    1040: 400,
    1050: 400,
    1060: 400,
    1065: 400,
    1070: 400,
    1120: 406,
    1180: 503,
    1181: 503,
    1182: 503,
    1191: 429,
    1192: 429,
    1193: 413,
    1194: 413,
    1197: 401,
    1198: 401,
    1199: 429,
    1201: 429,
    1202: 400,
    2120: 401,
    2140: 404,
    2150: 400,
    3000: 400,
    4000: 404,
    4040: 404,
    4300: 409,
    5370: 422,
    10000: 401,
    12002: 424,
    12003: 424,
    12020: 424,
    13014: 401,
}
"""By the code of the error for which a statement was refused; others have 500."""


class AnswerText:
    """Writes an answer.

    Args:
        members: what the request says.
        request_id: the answer's id.
        seconds: how long the statement took.
    """

    def __init__(self, members: Members, request_id: str, seconds: float) -> None:
        self._members = members
        self._request_id = request_id
        self._seconds = seconds
        self._pretty = members.pretty
        self._prefix = _INDENT if members.pretty else ""

    def write(self, answer: Answer, host: str, statement_type: str) -> Generator[None, None, str]:
        """Return the text of an answer; yields wherever other things may be done meanwhile.

        Args:
            answer: what came of the statement.
            host: name and port of the node.
            statement_type: `SELECT`, `INSERT`, …
        """
        members = self._members
        parts = [self._member("requestID", self._request_id)]
        if members.context_id:
            parts.append(self._member("clientContextID", members.context_id))
        if answer.prepared:
            parts.append(self._member("prepared", answer.prepared))
        size = 0
        if answer.ran:
            if members.signature:
                parts.append(self._member("signature", self._sorted(answer.signature)))
            rows: list[str] = []
            written = _TURN
            for row in answer.rows:
                text = self._value(self._sorted(row))
                rows.append(text)
                size += len(text) if text.isascii() else len(text.encode())
                if size + _ROW * len(rows) >= written:
                    written += _TURN
                    yield
            lines = ",\n".join(self._prefix + row for row in rows)
            closing = f"{lines}\n{self._prefix}]" if rows else f"{self._prefix}]"
            parts.append(f'{self._prefix}"results": [\n{closing}')
        if answer.errors:
            parts.append(self._member("errors", [error_object(each) for each in answer.errors]))
        if answer.warnings:
            parts.append(self._member("warnings", answer.warnings))
        parts.append(self._member("status", answer.status))
        if members.metrics:
            parts.append(self._loose("metrics", self._metrics(answer, size)))
        if members.profile in {"phases", "timings"}:
            parts.append(self._loose("profile", self._profile(answer, host)))
        if members.controls:
            parts.append(self._controls(statement_type))
        return "{\n" + ",\n".join(parts) + "\n}\n"

    def _sorted(self, value: Value) -> Value:
        """Return a row or a signature with its members sorted, if the request wants that."""
        if self._members.sort_projection and isinstance(value, dict):
            return Ordered({name: value[name] for name in sorted(value)})
        if type(value) is dict:
            return Ordered(value)
        return value

    def _value(self, value: Value) -> str:
        return encode(value, pretty=self._pretty)

    def _member(self, name: str, value: Value) -> str:
        return f'{self._prefix}"{name}": {self._value(value)}'

    def _loose(self, name: str, members: dict[str, Value]) -> str:
        """Return a member whose own members have a blank behind the colon."""
        if self._pretty:
            return self._member(name, Ordered(members))
        inner = ",".join(f'"{each}": {encode(value)}' for each, value in members.items())
        return f'"{name}": {{{inner}}}'

    def _metrics(self, answer: Answer, size: int) -> dict[str, Value]:
        took = duration(self._seconds)
        metrics: dict[str, Value] = {
            "elapsedTime": took,
            "executionTime": took,
            "resultCount": len(answer.rows),
            "resultSize": size,
            "serviceLoad": 0,
        }
        if self._members.memory_quota:
            metrics["usedMemory"] = 0
        counts = {
            "mutationCount": answer.mutations,
            "sortCount": answer.sorted,
            "errorCount": len(answer.errors),
            "warningCount": len(answer.warnings),
        }
        metrics.update((name, count) for name, count in counts.items() if count)
        return metrics

    def _profile(self, answer: Answer, host: str) -> dict[str, Value]:
        took = duration(self._seconds)
        profile: dict[str, Value] = {"phaseTimes": {"parse": took}}
        if answer.ran:
            profile["phaseTimes"] = {"parse": took, "run": took}
            profile["phaseCounts"] = {"project": len(answer.rows)}
            profile["phaseOperators"] = {"project": 1}
        profile["requestTime"] = answer.began
        profile["servicingHost"] = host
        if answer.ran and self._members.profile == "timings":
            stats = {"#itemsOut": len(answer.rows), "execTime": took}
            profile["executionTimings"] = {"#operator": "Sequence", "#stats": stats}
        return profile

    def _controls(self, statement_type: str) -> str:
        named = {f"${name}": value for name, value in self._members.named.items()}
        controls: dict[str, Value] = {"namedArgs": named}
        if self._members.positional:
            controls["positionalArgs"] = self._members.positional
        controls["scan_consistency"] = self._members.consistency
        controls["use_cbo"] = "true"
        controls["n1ql_feat_ctrl"] = "0x4c"
        controls["disabledFeatures"] = list(_DISABLED)
        controls["stmtType"] = statement_type
        text = self._loose("controls", controls)
        if self._pretty:
            return text
        # Recorded: each of these is a line.
        lines = ",\n".join(map(encode, _DISABLED))
        before = f'"disabledFeatures": {encode(list(_DISABLED))}'
        return text.replace(before, f'"disabledFeatures":[\n{lines}\n]')


def error_object(error: QueryError) -> dict[str, Any]:
    """Return an error as answers have it."""
    found: dict[str, Any] = {"code": error.code, "msg": error.text}
    if error.line:
        found["line"], found["column"] = error.line, error.column
    if error.reason is not None:
        found["reason"] = error.reason
    found.update(error.members)
    return found


def status_of(answer: Answer) -> int:
    """Return the HTTP status of an answer."""
    if answer.ran or not answer.errors:
        return 200
    error = answer.errors[0]
    return 200 if error.running else _STATUSES.get(error.code, 500)


def duration(seconds: float) -> str:
    """Return a duration as Go writes it: `1.5ms`, `1m2.5s`."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds <= 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{_trimmed(nanoseconds / size)}{unit}"
    whole, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(whole, 60)
    text = f"{_trimmed(rest / 1e9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _trimmed(number: float) -> str:
    text = f"{number:.9f}".rstrip("0").rstrip(".")
    return text or "0"
