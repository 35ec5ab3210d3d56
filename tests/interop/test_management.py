"""The official Python SDK as an administrator of the embedded cluster.

An answer that the SDK cannot read ends its process: what it reported until then says which.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

import pytest

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")
NONE: Final = ("ok", "None")

SERVICES: Final = ("analytics", "eventing", "management", "query", "search", "view")
MADE: Final = [
    *("made", 128, 2, True, timedelta(minutes=1)),
    *("COUCHBASE", "ACTIVE", "FULL", "MAJORITY"),
]
"""A bucket, as the client tells it."""
ADA: Final = [
    *("ada", "Ada", ["g"], ["data_writer"]),
    [("data_reader", ["group"]), ("data_writer", ["user"])],
]
"""A user with a role of its own and one of its group, as the client tells it."""

STEPS: Final[tuple[Outcomes, ...]] = (
    {
        "create_bucket": NONE,
        "create_scope": NONE,
        "upsert_group": NONE,
        "cluster_info": ("ok", "'7.6.2-3721'"),
        "ping": ("ok", str([(name, ["ok"] * 3) for name in SERVICES])),
        "get_roles": ("ok", "True"),
        "flush_what_must_not": ("error", ("BucketNotFlushableException", 607)),
        "create_in_no_scope": ("error", ("ScopeNotFoundException", 16)),
    },
    {
        "get_bucket": ("ok", str(MADE)),
        "get_all_buckets": ("ok", "['default', 'made']"),
        "create_bucket": ("error", ("BucketAlreadyExistsException", 605)),
        "documents": ("ok", "{'a': 1}"),
        "create_scope": ("error", ("ScopeAlreadyExistsException", 602)),
        "create_collection": NONE,
        "get_group": ("ok", "['g', 'They read.', ['data_reader']]"),
        "get_all_groups": ("ok", "['g']"),
        "upsert_user": NONE,
    },
    {
        "update_bucket": ("ok", "200"),
        "create_collection": ("error", ("CollectionAlreadyExistsException", 601)),
        "get_all_scopes": (
            "ok",
            "[('_default', '_default', 0.0), ('s', 'c', 90.0)]",
        ),
        "get_user": ("ok", str(ADA)),
        "get_all_users": ("ok", "['ada', 'admin', 'user']"),
    },
    {"flush_bucket": NONE, "update_collection": NONE, "drop_user": NONE},
    {
        "drop_bucket": NONE,
        "drop_collection": NONE,
        "drop_group": NONE,
        "get_user": ("error", ("UserNotFoundException", 603)),
    },
    {
        "get_bucket": ("error", ("BucketDoesNotExistException", 10)),
        "drop_bucket": ("error", ("BucketNotFoundException", 10)),
        "drop_scope": NONE,
        "drop_user": ("error", ("CouchbaseException", 603)),
        "get_group": ("error", ("GroupNotFoundException", 604)),
    },
    {"drop_scope": ("error", ("ScopeNotFoundException", 16))},
)
"""What is done in one process after the other."""


def test_python() -> None:
    """Each call is understood, and what it is answered is understood too."""
    python = str(peers.python_sdk())
    program = str(CLIENTS / "management.py")
    with served(*PROGRAM) as line:
        address = line["connection_string"]
        for number, step in enumerate(STEPS):
            found = run([python, program, address, *step], environment())
            assert found == step, f"step {number}: {json.dumps(found, indent=1)}"


NODE: Final[Outcomes] = {
    "create a bucket": ("ok", "done"),
    "the bucket": ("ok", ["made", 128, 2, True, 60, "membase"]),
    "all buckets": ("ok", ["default", "made"]),
    "create it again": ("error", "BucketExistsError"),
    "update it": ("ok", 200),
    "flush it": ("ok", "done"),
    "flush what must not be flushed": ("error", "BucketNotFlushableError"),
    "drop it": ("ok", "done"),
    "drop it again": ("error", "BucketNotFoundError"),
    "create a scope": ("ok", "done"),
    "create it again, the scope": ("error", "ScopeExistsError"),
    "create a collection": ("ok", "done"),
    "in no scope": ("error", "ScopeNotFoundError"),
    "create it again, the collection": ("error", "CollectionExistsError"),
    "all scopes": ("ok", [["_default", "_default", 0], ["s", "c", 90]]),
    "drop the collection": ("ok", "done"),
    "drop the scope": ("ok", "done"),
    "upsert a group": ("ok", "done"),
    "upsert a user": ("ok", "done"),
    "the user": ("ok", ["ada", "Ada", ["g"], ["data_reader", "data_writer"]]),
    "roles": ("ok", True),
    "drop the user": ("ok", "done"),
    "the dropped user": ("error", "UserNotFoundError"),
    "drop the group": ("ok", "done"),
}


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node() -> None:
    """The same by the official Node.js SDK."""
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    with served(*PROGRAM) as line:
        command = ["node", str(CLIENTS / "management.js"), line["connection_string"]]
        assert run(command, paths) == NODE
