"""The official SDKs asking the embedded analytics service; Python's in a process for each call."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = (
    "--loop=gevent",
    "--nodes=1",
    "--vbuckets=64",
    "--administrator=admin:password",
    "--bucket=default",
    "--bucket=travel",
)
NONE: Final = ("ok", "None")

AZURE: Final = ("plain", "azure", "azureblob", "ada", "blob")
S3: Final = ("plain", "s3", "s3", "us")
"""Links, as the client tells them: without secrets."""
INDEXES: Final = [
    ("Default", "all", "all", True),
    ("Default", "all", "ix", False),
    ("travel/inventory", "few", "few", True),
    ("travel/inventory", "few", "iy", False),
]
PENDING: Final = ("ok", "[('Default.all', 0), ('travel/inventory.few', 0)]")
NO_LINK: Final = ("error", ("AnalyticsLinkNotFoundException", 307))
NO_DATASET: Final = ("error", ("DatasetNotFoundException", 303))
NO_DATAVERSE: Final = ("error", ("DataverseNotFoundException", 304))
REFUSED: Final = ("error", ("CouchbaseException", 301))
"""The SDK has no class for what does not compile."""

EXPECTED: Final[Outcomes] = {
    "documents": NONE,
    "create_dataverse": NONE,
    "create_plain_dataverse": NONE,
    "create_dataset": NONE,
    "create_dataset_with_options": NONE,
    "create_dataset_in_none": ("error", ("DataverseNotFoundException", 5)),
    "create_index": NONE,
    "create_index_with_options": NONE,
    "create_index_of_none": NO_DATASET,
    "connect_link": NONE,
    "connect_link_with_options": NONE,
    "connect_no_link": NO_LINK,
    "create_remote_link": NONE,
    "create_s3_link": NONE,
    "create_azure_link": NONE,
    "create_link_in_none": NO_DATAVERSE,
    "create_dataverse again": ("error", ("DataverseAlreadyExistsException", 306)),
    "create_dataverse_leniently": NONE,
    "create_dataset again": ("error", ("DatasetAlreadyExistsException", 305)),
    "create_index again": ("error", ("QueryIndexAlreadyExistsException", 18)),
    "create_remote_link again": ("error", ("AnalyticsLinkExistsException", 308)),
    "replace_remote_link": NONE,
    "replace_s3_link": NONE,
    "get_all_datasets": (
        "ok",
        "[('Default', 'all', 'Local', 'default'), ('travel/inventory', 'few', 'Local', 'default')]",
    ),
    "get_all_indexes": ("ok", str(INDEXES)),
    "get_pending_mutations": PENDING,
    "get_links": ("ok", str([[AZURE, S3], [S3], [AZURE], []])),
    "get_all_links": ("ok", repr("'encryption'")),
    "disconnect_link": NONE,
    "positional": ("ok", "[2, 3]"),
    "named": ("ok", "[2, 3]"),
    "options_of_a_query": (
        "ok",
        "(['n0', 'n1', 'n2', 'n3'], [4, 4], ('mine', 'AnalyticsStatus.SUCCESS', [], {'*': '*'}))",
    ),
    "in_a_scope": ("ok", "[4]"),
    "aggregates": (
        "ok",
        "[{'many': 2, 'odd': 0, 'total': 2}, {'many': 2, 'odd': 1, 'total': 4}]",
    ),
    "syntax": REFUSED,
    "no_dataset": NO_DATASET,
    "change_by_read_only": REFUSED,
    "change_of_documents": REFUSED,
    "late": ("error", ("UnAmbiguousTimeoutException", 14)),
    "drop_remote_link": NONE,
    "get_all_links again": ("ok", str([AZURE, S3])),
    "drop_s3_link": NONE,
    "drop_index": NONE,
    "drop_index_with_options": NONE,
    "drop_dataset": NONE,
    "drop_dataset_with_options": NONE,
    "drop_remote_link again": NO_LINK,
    "replace_s3_link again": NO_LINK,
    "drop_index again": NO_DATASET,
    "drop_dataset again": NO_DATASET,
    "drop_dataverse": NONE,
    "drop_dataverse_leniently": NONE,
    "drop_dataverse again": NO_DATAVERSE,
}
"""By call, in the order in which they are made."""


def test_python() -> None:
    """Each call is understood, and what it is answered is understood too."""
    names = [name.removesuffix(" again") for name in EXPECTED]
    with served(*PROGRAM) as line:
        program = [str(peers.python_sdk()), str(CLIENTS / "analytics.py")]
        found = run([*program, line["connection_string"], *names], environment())
    assert found == EXPECTED, json.dumps(found, indent=1)


DONE: Final = ("ok", "done")
ENDS: Final[Outcomes] = {
    "no dataset": ("error", "DatasetNotFoundError"),
    "no dataverse": ("error", "DataverseNotFoundError"),
    "no link": ("error", "LinkNotFoundError"),
    "refused": ("error", "CompilationFailureError"),
}
NODE: Final[Outcomes] = {
    "create a dataverse": DONE,
    "create it again": ("error", "DataverseExistsError"),
    "create it leniently": DONE,
    "create another": DONE,
    "create a dataset": DONE,
    "create it again, the dataset": ("error", "DatasetExistsError"),
    "create one with a condition": DONE,
    "in no dataverse": ("error", "InternalServerFailureError"),
    "all datasets": (
        "ok",
        [
            ["Default", "all", "Local", "default"],
            ["travel/inventory", "few", "Local", "default"],
        ],
    ),
    "create an index": DONE,
    "create it again, the index": ("error", "IndexExistsError"),
    "create one elsewhere": DONE,
    "of no dataset": ENDS["no dataset"],
    "all indexes": ("ok", [list(each) for each in INDEXES]),
    "connect": DONE,
    "connect none": ENDS["no link"],
    "pending mutations": ("ok", {"stats": {"Default.all": 0, "travel/inventory.few": 0}}),
    "disconnect": DONE,
    "create a link": DONE,
    "create it again, the link": ("error", "LinkExistsError"),
    "replace it": DONE,
    "encrypt it": ("error", "InvalidArgumentError"),
    "create a link to S3": DONE,
    "replace that": DONE,
    "create a link to Azure": DONE,
    "create one in no dataverse": ENDS["no dataverse"],
    "all links": (
        "ok",
        [
            ["plain", "azure", "ada", ""],
            ["plain", "s3", "us", ""],
            ["travel/inventory", "remote", "127.0.0.1:8091", ""],
        ],
    ),
    "the encryption": ("ok", "half"),
    "links of a type": ("ok", ["s3"]),
    "drop a link": DONE,
    "drop it again": ENDS["no link"],
    "replace none": ENDS["no link"],
    "positional": ("ok", [2, 3]),
    "named": ("ok", [2, 3]),
    "options": ("ok", [[2, 3], "mine", "success", 2, []]),
    "in a scope": ("ok", [2]),
    "syntax": ENDS["refused"],
    "no dataset": ENDS["no dataset"],
    "a change by what is read only": ENDS["refused"],
    "a change of documents": ENDS["refused"],
    "drop an index": DONE,
    "drop it again, the index": ("error", "IndexNotFoundError"),
    "drop a dataset": DONE,
    "drop it again, the dataset": ENDS["no dataset"],
    "drop it leniently": DONE,
    "drop a dataverse": DONE,
    "drop it again, the dataverse": ENDS["no dataverse"],
}


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node() -> None:
    """The same by the official Node.js SDK."""
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    with served(*PROGRAM) as line:
        command = ["node", str(CLIENTS / "analytics.js"), line["connection_string"]]
        found = run(command, paths)
    assert found == NODE, json.dumps(found, indent=1)
