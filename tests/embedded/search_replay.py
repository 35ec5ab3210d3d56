"""Ask the embedded search service what a real one was asked, and compare the answers.

``python -m tests.embedded.search_replay [RECORDING]`` prints every difference.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from copy import deepcopy
from functools import cache
from typing import Any

from couchloop.embedded import EmbeddedCluster, ManualClock, User, administrator
from tests.embedded.client import Client as DataClient
from tests.embedded.exchanges import (
    Exchange,
    Outcome,
    Rule,
    Score,
    body_sent,
    difference,
    load,
    read,
    score,
)
from tests.embedded.web import ADMIN, Client, plain

SERVICE = "search"
_CHANGING = re.compile(r"<uuid>|<ptr>|0xc[0-9a-f]{9}|\b[0-9a-f]{16}\b")
_POSITION = re.compile(r", error found in #.*", re.DOTALL)
_SOURCES = frozenset({"sourceType", "sourceName", "sourceUUID", "sourceParams", "planParams"})
"""Members of definitions that say where documents come from: there it was files."""

RULES = (
    Rule(
        frozenset({"01-match/032", "05-query-string/053"}),
        "a boost of 0 gives scores that are no numbers, which readers of JSON do not take; here 0",
    ),
    Rule(
        frozenset({"10-mistakes/000"}),
        "the text of a syntax error of JSON is the parser's own",
    ),
    Rule(
        frozenset({"10-mistakes/002", "10-mistakes/069"}),
        "the service's handler breaks down and answers 200 with nothing; here it is a mistake, 400",
    ),
    Rule(
        frozenset(
            (
                *(f"11-http/{number:03d}" for number in (0, 14, 15, 16, 19, 21)),
                *(f"12-index-management/{number:03d}" for number in (31, 34, 35)),
            )
        ),
        "it was recorded without logins: with them an index that is not there is found out before",
    ),
    Rule(
        frozenset({"11-http/023", "11-http/024"}),
        "it was recorded without buckets: all indexes are listed for any of them",
    ),
)


@cache
def dataset() -> dict[str, Any]:
    """Return the documents and definitions of the recordings."""
    found: dict[str, Any] = json.loads(read(SERVICE, "datasets.json"))
    return found


def translated(definition: Any) -> Any:
    """Return a definition over files as one over a bucket."""
    if not isinstance(definition, dict) or definition.get("sourceType") != "files":
        return definition
    plan = {"indexPartitions": 4 if definition["name"] == "exp4" else 1}
    return definition | {"sourceType": "couchbase", "sourceParams": {}, "planParams": plan}


class Replay:
    """A cluster with the documents and the indexes of the recordings.

    Args:
        without: names of indexes that are not there.
    """

    def __init__(self, *without: str) -> None:
        self.cluster = EmbeddedCluster(
            1,
            ["travel"],
            [administrator(), User("user", "password")],
            replicas=0,
            clock=ManualClock(),
        )
        data = DataClient.ready(self.cluster.nodes[0], bucket="travel")
        for key, document in dataset()["documents"].items():
            data.set(key, json.dumps(document).encode())
        for name, definition in dataset()["index_definitions"].items():
            if name in without:
                continue
            *scope, index = name.split(".")
            path = "/api/index"
            if scope:
                path = f"/api/bucket/{scope[0]}/scope/{scope[1]}/index"
            body = json.dumps(translated(definition)).encode()
            status, _, said = self.ask("PUT", f"{path}/{index}", body)
            assert status == 200, said

    def ask(
        self, method: str, path: str, body: bytes, content_type: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask the search service; return status, headers and body."""
        client = Client(self.cluster.nodes[0].accept_http("fts"))
        return client.ask(path, ADMIN, method, body, content_type=content_type)

    def repeat(self, exchange: Exchange) -> Outcome:
        """Send a recorded request, and compare the answer."""
        sent = exchange.get("json_sent")
        if exchange["method"] == "PUT" and isinstance(sent, dict):
            exchange = exchange | {"json_sent": translated(sent)}
        status, headers, body = self.ask(
            exchange["method"],
            exchange["path"],
            body_sent(exchange),
            exchange.get("content_type_sent"),
        )
        return Outcome(exchange, _difference(exchange, status, headers, body))


def _difference(exchange: Exchange, status: int, headers: dict[str, str], body: bytes) -> str:
    if status != exchange["status"]:
        return f"status {status} instead of {exchange['status']}: {body[:300]!r}"
    for name, value in exchange.get("headers", {}).items():
        if headers.get(name.lower()) != value:
            return f"{name}: {headers.get(name.lower())!r} instead of {value!r}"
    if "body" not in exchange:
        return "" if body == exchange.get("text", "").encode() else f"{body[:300]!r}"
    wanted, given = deepcopy(exchange["body"]), plain(body)
    if isinstance(wanted, dict) and isinstance(given, dict):
        for each in (wanted, given):
            _mask(exchange, each)
        if list(wanted) != list(given) and set(wanted) == set(given):
            return f"order of members: {list(given)}"
    return difference(wanted, given)


def _mask(exchange: Exchange, body: dict[str, Any]) -> None:
    """Take out of an answer what need not be the same."""
    if "error" in body:
        text = re.sub(r"(mismatched partition, uuid: )\d*", r"\1", body["error"])
        body["error"] = _CHANGING.sub("*", _POSITION.sub("", text))
        if exchange["method"] == "PUT":
            body.pop("request", None)
    if isinstance(body.get("hits"), list):
        _mask_hits(exchange, body)
    errors = body.get("status", {}).get("errors") if isinstance(body.get("status"), dict) else None
    if errors:
        body["status"]["errors"] = sorted(errors.values())
    if "analyzed" in body:
        body["analyzed"] = sorted(json.dumps(each, sort_keys=True) for each in body["analyzed"])
    if "uuid" in body:
        body["uuid"] = "*"
    if "indexDef" in body:
        _mask_definition(body["indexDef"])
        body["planPIndexes"] = body["planPIndexes"] and len(body["planPIndexes"])
        body["warnings"] = body["warnings"] or None
    defs = body.get("indexDefs")
    if defs:
        defs["uuid"] = defs["implVersion"] = "*"
        for each in defs["indexDefs"].values():
            _mask_definition(each)


def _mask_definition(definition: dict[str, Any]) -> None:
    definition["uuid"] = "*"
    for name in _SOURCES & set(definition):
        del definition[name]


def _mask_hits(exchange: Exchange, body: dict[str, Any]) -> None:
    body["max_score"] = bool(body["max_score"])
    body["cost"] = body["took"] = 0
    by_distance = "geo_distance" in json.dumps(exchange.get("json_sent", ""))
    for hit in body["hits"]:
        del hit["index"]
        hit["score"] = bool(hit["score"])
        if "explanation" in hit:
            hit["explanation"] = "*"
        if by_distance:
            hit["sort"] = "*"
    if not exchange.get("ordered"):
        complete = len(body["hits"]) == body["total_hits"]
        body["hits"] = (
            sorted(body["hits"], key=lambda hit: str(hit["id"])) if complete else len(body["hits"])
        )


@cache
def outcomes(recording: str) -> tuple[Outcome, ...]:
    """Replay a recording on a fresh cluster."""
    # The index in four partitions was made when all else had been asked.
    cluster = Replay(*(() if recording.startswith("14") else ("exp4",)))
    return tuple(cluster.repeat(exchange) for exchange in load(SERVICE, recording))


def scores(recording: str) -> Score:
    """Replay a recording, and sort its outcomes."""
    return score(recording, outcomes(recording), RULES)


if __name__ == "__main__":
    from tests.embedded.exchanges import names

    counts: Counter[bool] = Counter()
    for name in sys.argv[1:] or names(SERVICE):
        for outcome in outcomes(name):
            counts[not outcome.difference] += 1
            if outcome.difference:
                print(outcome.name, outcome.difference)  # noqa: T201 - a program
    print(f"{counts[True]} same, {counts[False]} not")  # noqa: T201 - a program
