"""What the official Python SDK and our client send for the same call of a manager.

Both make the calls of `clients/compared.py` against clusters that write down what they are asked.
Method, path, query, content type, and the members of forms and of JSON are compared; what differs
stands in a table, each with its reason. So a difference that is new fails, and so does one that is
gone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import pytest

from tests.interop.official import CLIENTS, environment
from tests.interop.served import environment as our_environment
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class Sent(NamedTuple):
    """One request, in a form that can be compared."""

    where: str
    """Service, method and path, percent-decoded."""
    query: dict[str, str]
    type: str
    body: Any
    """Members of a form, a JSON document, or text."""


class Made(NamedTuple):
    """What became of a call."""

    requests: list[Sent]
    failed: str


SCOPES: Final = "/pools/default/buckets/default/scopes"
WAITS: Final = "Ours is over once all nodes know of the change: the next operation finds it."
NO_FORM: Final = "Ours names no type of a body that is not there; a GET has none."
UNLIKE_A_FORM: Final = [
    f"type: '', the SDK {FORM!r}",
    "body: '', the SDK {}",
]


def waits(method: str, path: str, manifest: int) -> tuple[list[str], str]:
    """Return how a change of scopes or collections differs."""
    change = f"mgmt {method} {SCOPES}{path}"
    wait = f"mgmt POST {SCOPES}/@ensureManifest/{manifest}"
    return [f"requests: {[change, wait]}, the SDK {[change]}"], WAITS


DIFFERENCES: Final[dict[str, tuple[list[str], str]]] = {
    "create_bucket": (
        ["body.bucketType: 'membase', the SDK 'couchbase'"],
        "Two names of the same type; ours is what servers answer with.",
    ),
    "create_scope": waits("POST", "", 1),
    "create_plain_collection": waits("POST", "/s/collections", 2),
    "create_for_functions": waits("POST", "/s/collections", 3),
    "create_collection": waits("POST", "/s/collections", 4),
    "update_collection": waits("PATCH", "/s/collections/c", 5),
    "get_all_scopes": (
        [f"requests: [], the SDK {[f'mgmt GET {SCOPES}']}"],
        "Ours asks data nodes: whoever may read a collection may know of it.",
    ),
    "drop_collection": waits("DELETE", "/s/collections/c", 6),
    "upsert_user_with_signs": (
        ["body.password: 'secret&w', the SDK 'secret'", "body.w: None, the SDK ''"],
        "The SDK does not encode what it puts into forms of users.",
    ),
    "get_user": (UNLIKE_A_FORM, NO_FORM),
    "get_all_users": (UNLIKE_A_FORM, NO_FORM),
    "get_roles": (UNLIKE_A_FORM, NO_FORM),
    "get_group": (UNLIKE_A_FORM, NO_FORM),
    "get_all_groups": (UNLIKE_A_FORM, NO_FORM),
    "upsert_function": (
        [
            "body.depcfg.curl.0.auth_type: 'basic', the SDK 'no-auth'",
            "body.depcfg.curl.0.password: 'secret', the SDK None",
            "body.depcfg.curl.0.username: 'user', the SDK None",
        ],
        "The SDK loses who logs in where a function goes.",
    ),
}
"""By call: what differs, and why that is as it should be."""


def sent(line: dict[str, str]) -> Sent:
    """Return a line of the record as it is compared."""
    path, _, query = line["target"].partition("?")
    body: Any = line["body"]
    kind = line["type"]
    if kind == FORM:
        body = dict(parse_qsl(body, keep_blank_values=True))
    elif kind == JSON and body:
        body = json.loads(body)
    where = f"{line['service']} {line['method']} {unquote(path)}"
    return Sent(where, dict(parse_qsl(query, keep_blank_values=True)), kind, body)


def made(command: list[str], variables: dict[str, str], record: Path) -> dict[str, Made]:
    """Have a client make its calls; return what each has sent."""
    arguments = [sys.executable, "-m", "tests.interop.recorder", str(record), *PROGRAM]
    server = subprocess.Popen(arguments, stdout=subprocess.PIPE, env=our_environment())
    try:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["connection_string"]
        done = subprocess.run(
            [*command, address, str(record)],
            env=variables,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert not done.returncode, done.stderr
    calls: dict[str, Made] = {}
    now = Made([], "")
    for text in record.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if "call" in line:
            now = calls[line["call"]] = Made([], "")
        elif "failed" in line:
            name = next(reversed(calls))
            calls[name] = now = now._replace(failed=line["failed"])
        else:
            now.requests.append(sent(line))
    # What was sent behind the last call, as the client ended.
    assert calls.pop("").requests == []
    return calls


def differences(ours: Any, theirs: Any, where: str) -> list[str]:
    """Return what differs, a line for each member."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            line
            for name in sorted({*ours, *theirs})
            for line in differences(ours.get(name), theirs.get(name), f"{where}.{name}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list):
        # Of members by their numbers.
        return differences(dict(enumerate(ours)), dict(enumerate(theirs)), where)
    return [] if ours == theirs else [f"{where}: {ours!r}, the SDK {theirs!r}"]


def compared(ours: Made, theirs: Made) -> list[str]:
    """Return what differs between what a call has sent."""
    mine_in_order = [each.where for each in ours.requests]
    its_in_order = [each.where for each in theirs.requests]
    if mine_in_order != its_in_order:
        return [f"requests: {mine_in_order}, the SDK {its_in_order}"]
    return [
        line
        for mine, its in zip(ours.requests, theirs.requests, strict=True)
        for what in ("query", "type", "body")
        for line in differences(getattr(mine, what), getattr(its, what), what)
    ]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Made], dict[str, Made]]:
    """Return what our client has sent, and what the SDK has."""
    folder = tmp_path_factory.mktemp("requests")
    ours = [sys.executable, str(CLIENTS / "compared_ours.py")]
    theirs = [str(peers.python_sdk()), str(CLIENTS / "compared_official.py")]
    return (
        made(ours, our_environment(), folder / "ours"),
        made(theirs, environment(), folder / "theirs"),
    )


def test_every_call(calls: tuple[dict[str, Made], dict[str, Made]]) -> None:
    """What each call sends differs from the SDK's in what the table says, and in nothing else."""
    ours, theirs = calls
    assert list(ours) == list(theirs)
    found = {name: compared(ours[name], theirs[name]) for name in ours}
    found = {name: lines for name, lines in found.items() if lines}
    assert found == {name: lines for name, (lines, _) in DIFFERENCES.items()}


def test_calls_do_what_they_are_for(calls: tuple[dict[str, Made], dict[str, Made]]) -> None:
    """None of them fails, by either client, and each sends something; but one that asks nodes."""
    for made_by, silent in zip(calls, (["get_all_scopes"], []), strict=True):
        assert {name: each.failed for name, each in made_by.items() if each.failed} == {}
        assert [name for name, each in made_by.items() if not each.requests] == silent
