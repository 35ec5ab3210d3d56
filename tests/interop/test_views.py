"""The official Python SDK asking the embedded cluster's views, with each option that it has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import environment as ours
from tools import peers

SERVER: Final = """
import sys
from gcouchbase.testing import serve

def by_city(doc, meta):
    yield [doc["country"], doc["city"]], doc["age"]

with serve() as served:
    designs = served.cluster.buckets["default"].design_documents
    designs.define("d", "plain", by_city)
    designs.define("d", "stats", by_city, "_stats")
    designs.define("dev_d", "plain", lambda doc, meta: [(None, doc["age"])])
    print(served.connection_string, flush=True)
    from gevent.fileobject import FileObject
    FileObject(sys.stdin).read()
"""
"""It ends when nobody holds its input any more."""

ANN: Final = ["ann", ["de", "Ulm"], 30]
BOB: Final = ["bob", ["de", "ulm"], 20]
CID: Final = ["cid", ["fr", "Pau"], 40]
DOT: Final = ["dot", ["de", "Ulm"], 10]


def ok(result: Any) -> tuple[str, Any]:
    """An outcome, as the client tells it."""
    return "ok", repr(result)


def stats(*ages: int) -> dict[str, int]:
    """What `_stats` makes of ages."""
    # In the order in which the SDK shows them.
    return {
        "count": len(ages),
        "max": max(ages),
        "min": min(ages),
        "sum": sum(ages),
        "sumsqr": sum(each * each for each in ages),
    }


ALL: Final = [BOB, ANN, DOT, CID]
AGES: Final = (("ann", 30), ("bob", 20), ("cid", 40), ("dot", 10))
GROUPS: Final = [
    [None, ["de", "ulm"], stats(20)],
    [None, ["de", "Ulm"], stats(30, 10)],
    [None, ["fr", "Pau"], stats(40)],
]
LEVELS: Final = [[None, ["de"], stats(30, 20, 10)], [None, ["fr"], stats(40)]]
INVALID: Final = ("error", ("InvalidArgumentException", 3))
MISSING: Final = ("error", ("DesignDocumentNotFoundException", 502))
EXPECTED: Final[Outcomes] = {
    "beside": ok((1, 4, True)),
    "all": ok(ALL),
    "limit, skip": ok([ANN, DOT]),
    "descending": ok(ALL[::-1]),
    "ascending": ok(ALL),
    "key": ok([ANN, DOT]),
    "keys": ok([CID, ANN, DOT]),
    "startkey": ok([ANN, DOT, CID]),
    "endkey": ok([BOB, ANN, DOT]),
    "exclusive": ok([BOB]),
    "range": ok([BOB, ANN, DOT]),
    "docids": ok([DOT]),
    "request_plus": ok(ALL),
    "not_bounded": ok(ALL),
    "stale": ok(ALL),
    "on_error": ok([BOB]),
    "timeout": ok([BOB]),
    "context": ok([BOB]),
    "development": ok([[key, None, age] for key, age in AGES]),
    "reduced": ok([[None, None, stats(30, 20, 40, 10)]]),
    "grouped": ok(GROUPS),
    "grouped by level": ok(LEVELS),
    "grouped keys": ok([[None, ["de", "Ulm"], stats(30, 10)]]),
    "not reduced": ok([BOB]),
    "nothing": ok([]),
    # The SDK has one class for both.
    "no view": MISSING,
    "no design": MISSING,
    "group of a map": INVALID,
    "empty range": INVALID,
    "keys without group": INVALID,
    "bad stale": INVALID,
}


@contextmanager
def serving() -> Iterator[str]:
    """Serve views in a process of its own; give its connection string."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ours(),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=10)


def test_python() -> None:
    """Each query is understood, and so is its answer."""
    program = str(CLIENTS / "views.py")
    with serving() as address:
        found = run([str(peers.python_sdk()), program, address], environment())
    assert found == EXPECTED, json.dumps(
        {name: found.get(name) for name in EXPECTED if found.get(name) != EXPECTED[name]}, indent=1
    )


NODE: Final[Outcomes] = {
    "all": ("ok", ALL),
    "limit, skip": ("ok", [ANN, DOT]),
    "descending": ("ok", ALL[::-1]),
    "key": ("ok", [ANN, DOT]),
    "keys": ("ok", [CID, ANN, DOT]),
    "range": ("ok", [ANN, DOT]),
    "exclusive": ("ok", [BOB]),
    "request_plus": ("ok", ALL),
    "on_error": ("ok", [BOB]),
    "development": ("ok", [[key, None, age] for key, age in AGES]),
    "reduced": ("ok", [[None, None, stats(30, 20, 40, 10)]]),
    "grouped": ("ok", GROUPS),
    "grouped by level": ("ok", LEVELS),
    "not reduced": ("ok", [BOB]),
    "no view": ("error", "DesignDocumentNotFoundError"),
    "group of a map": ("error", "InvalidArgumentError"),
}


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node() -> None:
    """The same by the official Node.js SDK, over what the other has stored."""
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    with serving() as address:
        run([str(peers.python_sdk()), str(CLIENTS / "views.py"), address], environment())
        assert run(["node", str(CLIENTS / "views.js"), address], paths) == NODE
