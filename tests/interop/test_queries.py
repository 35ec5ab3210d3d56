"""The official Python SDK asking the embedded query service."""

from __future__ import annotations

import json
from typing import Final

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")


EXPECTED: Final[Outcomes] = {
    "no index": ("error", ("QueryIndexNotFoundException", 201)),
    "primary": ("ok", "None"),
    "primary again": ("error", ("QueryIndexAlreadyExistsException", 18)),
    "primary, if there is none": ("ok", "None"),
    "indexes": (
        "ok",
        (
            "([('#primary', 'online'), ('ix', 'deferred')], "
            "[('#primary', ('online', [])), ('ix', ('online', ['`n`', '`a.b`']))])"
        ),
    ),
    "drop of none": ("error", ("QueryIndexNotFoundException", 17)),
    "beside": ("ok", "(0, 2, [(5036, 'Division by 0.')], (True, 'an id', 'QueryStatus.SUCCESS'))"),
    "positional": ("ok", "[{'a': [1], 'b': [1]}]"),
    "named": ("ok", "['ab']"),
    "prepared": ("ok", "[2, 2]"),
    "consistent": ("ok", "[9]"),
    "request_plus": ("ok", "[3]"),
    "options": ("ok", "[1]"),
    "returning": ("ok", "[{'id': 'c', 'n': 10}]"),
    "in scope": ("ok", "[5]"),
    "syntax": ("error", ("ParsingFailedException", 8)),
    "no keyspace": ("error", ("KeyspaceNotFoundException", 202)),
    "duplicate": ("error", ("DocumentExistsException", 105)),
    "read only": ("error", ("InternalServerFailureException", 5)),
    "timeout": ("error", ("UnAmbiguousTimeoutException", 14)),
}
"""The SDK has one class for what is read-only and any failure of the server."""


def test_python() -> None:
    """Each call is understood, and so is its answer."""
    with served(*PROGRAM) as line:
        command = [str(peers.python_sdk()), str(CLIENTS / "queries.py"), line["connection_string"]]
        found = run(command, environment())
    assert found == EXPECTED, json.dumps(found, indent=1)
