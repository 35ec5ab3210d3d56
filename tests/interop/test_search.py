"""The official SDKs, searching: a query of each class, each option, vectors."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")
OLD_MILL: Final = ("name", "mill", 3, 12)
NEW_MILL: Final = ("name", "mill", 2, 8)
STORED: Final = (
    {
        "at": [2.349999952677166, 48.85999996654223],
        "name": "The Old Mill",
        "open": True,
        "stars": 3,
    },
    {"at": [2.3599999822583015, 48.86999999612337], "name": "New Mill", "open": False, "stars": 5},
    {"built": "1999-12-31", "name": "Walking Town", "stars": 1},
)
ALL: Final = [("a",), ("b",), ("c",)]
FOUND: Final[dict[str, Any]] = {
    "query_string": ["b"],
    "match": ["c"],
    "match_fuzzy": ["a", "b"],
    "match_phrase": ["a"],
    "term": ["a"],
    "phrase": ["a"],
    "prefix": ["c"],
    "wildcard": ["c"],
    "regexp": ["a", "c"],
    "ids": ["a", "c"],
    "numbers": ["a", "b"],
    "dates": ["c"],
    "terms": ["a"],
    "distance": ["a"],
    "box": ["a"],
    "conjunction": ["a"],
    "disjunction": ["a", "b"],
    "boolean": ["b"],
    "match_all": ["a", "b", "c"],
    "match_none": [],
    "bool": ["a"],
    "page": [("b",)],
    "fields": list(zip("abc", STORED, strict=True)),
    "highlight": [
        ("a", {"name": ["The Old <mark>Mill</mark>"]}, [OLD_MILL]),
        ("b", {"name": ["New <mark>Mill</mark>"]}, [NEW_MILL]),
        ("c",),
    ],
    "locations": [("a", [OLD_MILL]), ("b", [NEW_MILL]), ("c",)],
    "by_field": [("b",), ("a",), ("c",)],
    "by_place": [("b",), ("a",), ("c",)],
    "by_score": ALL,
    "explain": ALL,
    "unscored": ALL,
    "vectors": (["a", "b"], ["a", "b", "c"]),
    "scoped": ["a"],
    "consistent": ["d"],
}
"""What both find."""
FACETS: Final = [
    ("dates", 1, 2, [], [], [("old", 1)]),
    ("numbers", 2, 0, [], [("few", 2)], []),
    ("terms", 6, 0, [("mill", 2), ("new", 1)], [], []),
]
PYTHON: Final[Outcomes] = {
    **{call: ("ok", str(found)) for call, found in FOUND.items()},
    "polygon": ("ok", "['a', 'b']"),
    "raw": ("ok", "['a', 'b']"),
    # It takes all that is no missing index for a failure of the server.
    "mistake": ("error", ("InternalServerFailureException", 5)),
    "facets": ("ok", str(FACETS)),
    "metadata": ("ok", str(((3, 1, 0, 1.0), {}))),
    "missing": ("error", ("QueryIndexNotFoundException", 17)),
}
NODE: Final[Outcomes] = {
    # It has no tuples.
    **{call: ("ok", json.loads(json.dumps(found))) for call, found in FOUND.items()},
    "facets": ("ok", [list(each[:3]) for each in FACETS]),
    "metadata": ("ok", [3, 1, 1]),
    "missing": ("error", "IndexNotFoundError"),
}


def test_python() -> None:
    """Each query is understood, and what it is answered is understood too."""
    python = str(peers.python_sdk())
    with served(*PROGRAM) as line:
        command = [python, str(CLIENTS / "searches.py"), line["connection_string"]]
        outcomes = run(command, environment())
    assert outcomes == PYTHON, json.dumps(outcomes, indent=1)


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node() -> None:
    """The same by the official Node.js SDK."""
    folder = peers.node_sdk()
    assert folder is not None
    with served(*PROGRAM) as line:
        command = ["node", str(CLIENTS / "searches.js"), line["connection_string"]]
        outcomes = run(command, environment(NODE_PATH=str(folder / "node_modules")))
    assert outcomes == NODE, json.dumps(outcomes, indent=1)
