"""Official SDKs storing views, search indexes and eventing functions.

An answer that the SDK cannot read ends its process: what it reported until then says which.
"""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")
NONE: Final = ("ok", "None")

NO_DESIGN: Final = ("error", ("DesignDocumentNotFoundException", 502))
NO_INDEX: Final = ("error", ("SearchIndexNotFoundException", 17))
NOT_DEPLOYED: Final = "EventingFunctionNotDeployedException"
FUNCTION: Final = (
    "f",
    [("b", "ReadWrite")],
    [("u", "http://h")],
    [("c", "1")],
    5.0,
)
"""A function, as the client tells it."""


WHERE: Final = {"ArrayPositions": [], "End": 1, "Field": "a", "Position": 1, "Start": 0}
TERM: Final = {"Locations": [WHERE], "Term": "Yg=="}
"""A term that the document has which is analyzed."""


def functions(state: str) -> tuple[str, str]:
    """Return what the client tells of the only function, which is in that state on three nodes."""
    return "ok", str((["f"], 3, [("f", state)]))


STEPS: Final[tuple[Outcomes, ...]] = (
    {
        "upsert_design": NONE,
        "get_design": ("ok", str(("d", {"v": ("function (doc, meta) {}", "_count")}))),
        "publish_design": NONE,
        "list_designs": ("ok", "[['d'], ['d']]"),
        "drop_dev": NONE,
        "drop_design": NONE,
        "upsert_index": NONE,
        "get_index": (
            "ok",
            str(("i", "fulltext-index", "default", True, ["doc_config", "mapping", "store"])),
        ),
        "replace_index": ("ok", "True"),
        "pause_ingest": NONE,
        "resume_ingest": NONE,
        "disallow_querying": NONE,
        "allow_querying": NONE,
        "freeze_plan": NONE,
        "unfreeze_plan": NONE,
        "get_indexed_documents_count": ("ok", "0"),
        "index_stats": ("ok", str((["feeds", "pindexes"], True))),
        "analyze_document": ("ok", str({"analysis": [{"b": TERM}], "status": "ok"})),
        "upsert_scoped": NONE,
        "list_scoped": ("ok", "['i']"),
        "scoped_pause_ingest": NONE,
        "scoped_get_indexed_documents_count": ("ok", "0"),
        "list_indexes": ("ok", "['default._default.i', 'i']"),
        "scoped_drop_index": NONE,
        "upsert_function": NONE,
        "get_function": ("ok", str(FUNCTION)),
        "same_keyspace": ("error", ("EventingFunctionIdenticalKeyspaceException", 611)),
        "undeploy_function": ("error", (NOT_DEPLOYED, 609)),
        "pause_function": ("error", ("EventingFunctionNotBootstrappedException", 612)),
        "functions": functions("Undeployed"),
        "deploy_function": NONE,
        "drop_function": ("error", ("EventingFunctionNotUnDeployedException", 613)),
    },
    {
        "get_design": NO_DESIGN,
        "drop_dev": NO_DESIGN,
        "upsert_index": ("error", ("QueryIndexAlreadyExistsException", 18)),
        "drop_index": NONE,
        "get_index": NO_INDEX,
        "pause_ingest": NO_INDEX,
        "get_indexed_documents_count": NO_INDEX,
        "scoped_freeze_plan": NO_INDEX,
        "functions": functions("Deployed"),
        "deploy_function": ("error", ("EventingFunctionAlreadyDeployedException", 613)),
        "pause_function": NONE,
    },
    {
        "drop_index": NO_INDEX,
        "functions": functions("Paused"),
        # The number is that of a function that is paused.
        "pause_function": ("error", (NOT_DEPLOYED, 614)),
        "resume_function": NONE,
        "undeploy_function": NONE,
        "drop_function": NONE,
        "get_function": ("error", ("EventingFunctionNotFoundException", 608)),
    },
)
"""What is done in one process after the other."""


INDEX: Final[Outcomes] = {
    "upsert an index": ("ok", "done"),
    "upsert it again": ("error", "IndexExistsError"),
    "the index": ("ok", ["fulltext-index", True]),
    "all indexes": ("ok", ["i"]),
    "how many documents": ("ok", 0),
    "pauseIngest": ("ok", "done"),
    "resumeIngest": ("ok", "done"),
    "disallowQuerying": ("ok", "done"),
    "allowQuerying": ("ok", "done"),
    "freezePlan": ("ok", "done"),
    "unfreezePlan": ("ok", "done"),
    "analyze a document": ("ok", ["b"]),
    "drop the index": ("ok", "done"),
    "drop the index again": ("error", "IndexNotFoundError"),
}
NODE: Final[Outcomes] = {
    "upsert a design document": ("ok", "done"),
    "the design document": ("ok", ["d", "function (doc, meta) {}", "_count"]),
    "publish it": ("ok", "done"),
    "those of both namespaces": ("ok", [["d"], ["d"]]),
    "drop it": ("ok", "done"),
    "drop it again": ("error", "DesignDocumentNotFoundError"),
    "the dropped one": ("error", "DesignDocumentNotFoundError"),
    **INDEX,
    **{f"{call} of a scope": outcome for call, outcome in INDEX.items()},
    "upsert a function": ("ok", "done"),
    "in its own source": ("error", "EventingFunctionIdenticalKeyspaceError"),
    "the function": ("ok", ["f", "b", "http://h", "1"]),
    "all functions": ("ok", ["f"]),
    "undeploy it": ("error", "EventingFunctionNotDeployedError"),
    "deploy it": ("ok", "done"),
    "drop what is deployed": ("error", "EventingFunctionDeployedError"),
    "how it is": ("ok", [["f", "deployed"]]),
    "pause it": ("ok", "done"),
    "resume it": ("ok", "done"),
    "undeploy it then": ("ok", "done"),
    "drop the function": ("ok", "done"),
    "the dropped function": ("error", "EventingFunctionNotFoundError"),
}


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node() -> None:
    """The same by the official Node.js SDK, in one process."""
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    with served(*PROGRAM) as line:
        command = ["node", str(CLIENTS / "definitions.js"), line["connection_string"]]
        assert run(command, paths) == NODE


def test_python() -> None:
    """Each call is understood, and what it is answered is understood too."""
    python = str(peers.python_sdk())
    program = str(CLIENTS / "definitions.py")
    with served(*PROGRAM) as line:
        address = line["connection_string"]
        for number, step in enumerate(STEPS):
            found = run([python, program, address, *step], environment())
            assert found == step, f"step {number}: {json.dumps(found, indent=1)}"
