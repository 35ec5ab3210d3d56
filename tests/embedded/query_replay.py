"""Send what a real query service was asked to an embedded one, and compare the answers.

``python -m tests.embedded.query_replay FILE`` prints every difference.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from couchloop.embedded import EmbeddedCluster, ManualClock, User
from couchloop.embedded.access.users import administrator
from couchloop.embedded.http.query_members import seconds
from couchloop.embedded.sqlpp.documents import Keyspace
from couchloop.embedded.sqlpp.engine import QuerySettings
from tests.embedded.web import ADMIN, Client

FOLDER: Final = Path(__file__).parent / "recordings" / "query"
_JSON: Final = {"Content-Type": "application/json"}
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIMES: Final = frozenset({"elapsedTime", "executionTime", "requestTime", "cpuTime"})
_VERSION: Final = re.compile(r"version=\S+")


class TickingClock(ManualClock):
    """Goes on by itself, so that what takes long is over some time."""

    def now(self) -> float:
        self.advance(0.0001)
        return super().now()


@dataclass(frozen=True)
class Exchange:
    """A recorded request with its answer."""

    recording: str
    data: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.data["id"])

    @property
    def text(self) -> str:
        """The statement, or the body of the request."""
        params = self.data.get("params")
        if params is not None:
            return str(params.get("statement", params))
        return str(self.data["request"]["body"])


@dataclass(frozen=True)
class Outcome:
    """What came of an exchange."""

    exchange: Exchange
    differences: tuple[str, ...]
    """Empty if all is as recorded."""


def _load(name: str) -> str:
    return lzma.decompress((FOLDER / f"{name}.xz").read_bytes()).decode()


def names() -> list[str]:
    """The recordings, in their order."""
    return sorted(path.name.removesuffix(".jsonl.xz") for path in FOLDER.glob("*.jsonl.xz"))


def exchanges(recording: str) -> list[Exchange]:
    """The exchanges of a recording."""
    lines = _load(f"{recording}.jsonl").splitlines()
    return [Exchange(recording, json.loads(line, parse_float=_Number)) for line in lines]


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


@cache
def _datasets() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(_load("datasets.json"))
    return found


def build() -> EmbeddedCluster:
    """A cluster with the recorded data: a bucket for each keyspace."""
    datasets = _datasets()
    users: list[User] = [administrator()]
    cluster = EmbeddedCluster(
        1, list(datasets), users, vbuckets=16, seed=1, clock=TickingClock(1_700_000_000.0)
    )
    # The recorded service had a primary index everywhere.
    cluster.queries.catalogue.requires_index = False
    for name, documents in datasets.items():
        bucket = cluster.buckets[name]
        keyspace = Keyspace(bucket, bucket.manifest.collections[0])
        for key, document in documents.items():
            data = json.dumps(document, ensure_ascii=False).encode()
            keyspace.insert(key, data, 0, replace=False)
    return cluster


def replay(recording: str) -> Iterator[Outcome]:
    """Ask what was recorded, in its order, and compare."""
    cluster = build()
    client = Client(cluster.nodes[0].accept_http("n1ql"))
    for exchange in exchanges(recording):
        if client.connection.closed:
            client = Client(cluster.nodes[0].accept_http("n1ql"))
        _set_flags(cluster, exchange.data.get("server_flags", ""))
        status, headers, body = _ask(client, exchange.data)
        yield Outcome(exchange, tuple(_differences(exchange.data, status, headers, body)))


def _set_flags(cluster: EmbeddedCluster, flags: str) -> None:
    """Set what the recorded server was started with."""
    settings = cluster.queries.settings = QuerySettings()
    for flag in flags.split():
        name, _, value = flag.lstrip("-").partition("=")
        if name in {"readonly", "pretty", "signature", "metrics"}:
            setattr(settings, name, value != "false")
        elif name == "timeout":
            settings.timeout = seconds(value)


def _ask(client: Client, data: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    request = data.get("request")
    if request is None:
        body = json.dumps(data["params"], cls=_Encoder).encode()
        return client.ask("/query/service", ADMIN, "POST", body, _JSON.items())
    body = (request["body"] or "").encode()
    return client.ask(request["path"], ADMIN, request["method"], body, request["headers"].items())


class _Encoder(json.JSONEncoder):
    """Writes numbers as they were read."""

    def iterencode(self, o: Any, _one_shot: bool = False) -> Iterator[str]:
        marked = super().iterencode(_marked(o), _one_shot)
        for piece in marked:
            yield re.sub(r'"\\u0000number (\S+?)"', r"\1", piece)


def _marked(value: Any) -> Any:
    if isinstance(value, _Number):
        return f"\0number {value}"
    if isinstance(value, dict):
        return {name: _marked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_marked(each) for each in value]
    return value


def _differences(
    data: dict[str, Any], status: int, headers: dict[str, str], body: bytes
) -> Iterator[str]:
    if status != data["status"]:
        yield f"status {status}, not {data['status']}"
    for name, wanted in data["headers"].items():
        if name == "Content-Length":
            continue
        given = headers.get(name.lower())
        if _VERSION.sub("version", given or "") != _VERSION.sub("version", wanted or ""):
            yield f"{name} {given}, not {wanted}"
    wanted = data.get("body", data.get("text") or "")
    try:
        answer = json.loads(body, parse_float=_Number)
    except ValueError:
        answer = body.decode()
    if not isinstance(wanted, dict) or not isinstance(answer, dict):
        if answer != wanted:
            yield f"body {answer!r}, not {wanted!r}"
        return
    yield from _member_differences(data, _masked(answer), _masked(wanted))
    layout, recorded = _layout(body.decode()), data.get("text")
    if recorded is not None and not data.get("file_store") and layout != _layout(recorded):
        yield f"layout {layout!r}, not {_layout(recorded)!r}"


def _layout(text: str) -> list[str]:
    """How an answer is laid out: how its lines begin, without the rows."""
    return [line[:12] for line in text.split("\n") if line.lstrip(" ").startswith('"')]


def _member_differences(
    data: dict[str, Any], answer: dict[str, Any], wanted: dict[str, Any]
) -> Iterator[str]:
    if list(answer) != list(wanted):
        yield f"members {list(answer)}, not {list(wanted)}"
    for name, recorded in wanted.items():
        given, expected = answer.get(name), recorded
        if name == "results" and isinstance(given, list) and not data.get("ordered"):
            given, expected = _bag(given), _bag(expected)
        shown = json.dumps(given, ensure_ascii=False), json.dumps(expected, ensure_ascii=False)
        if name == "errors":
            # The members of an error are in no order of their own.
            shown = json.dumps(given, sort_keys=True), json.dumps(expected, sort_keys=True)
        if shown[0] != shown[1]:
            yield f"{name} {shown[0]}, not {shown[1]}"


def _bag(rows: list[Any]) -> list[str]:
    return sorted(json.dumps(row, ensure_ascii=False) for row in rows)


def _masked(value: Any, name: str = "") -> Any:
    """Return an answer without what varies from run to run."""
    if isinstance(value, dict):
        return {each: _masked(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if name in _TIMES:
        return "<time>"
    if name == "caller":
        return "<file:line>"
    if type(value) is str:
        return _UUID.sub("<uuid>", value)
    return value


if __name__ == "__main__":
    for file in sys.argv[1:] or names():
        for outcome in replay(file):
            if outcome.differences:
                print(outcome.exchange.name, outcome.exchange.text[:300])  # noqa: T201
                for difference in outcome.differences:
                    print("    ", difference[:700])  # noqa: T201
