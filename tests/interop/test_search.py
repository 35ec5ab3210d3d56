"""The official Python SDK, searching: a query of each class, each option, vectors."""

from __future__ import annotations

import json
from typing import Final

from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = ("--loop=gevent", "--vbuckets=64", "--administrator=admin:password")


def found(*ids: str) -> tuple[str, str]:
    """Return what the client tells of hits with these ids."""
    return "ok", str(list(ids))


def rows(*hits: object) -> tuple[str, str]:
    """Return what the client tells of hits with more than ids."""
    return "ok", str([hit if isinstance(hit, tuple) else (hit,) for hit in hits])


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
OUTCOMES: Final[Outcomes] = {
    "query_string": found("b"),
    "match": found("c"),
    "match_fuzzy": found("a", "b"),
    "match_phrase": found("a"),
    "term": found("a"),
    "phrase": found("a"),
    "prefix": found("c"),
    "wildcard": found("c"),
    "regexp": found("a", "c"),
    "ids": found("a", "c"),
    "numbers": found("a", "b"),
    "dates": found("c"),
    "terms": found("a"),
    "distance": found("a"),
    "box": found("a"),
    "polygon": found("a", "b"),
    "conjunction": found("a"),
    "disjunction": found("a", "b"),
    "boolean": found("b"),
    "match_all": found("a", "b", "c"),
    "match_none": found(),
    "bool": found("a"),
    "raw": found("a", "b"),
    # The SDK takes all that is no missing index for a failure of the server.
    "mistake": ("error", ("InternalServerFailureException", 5)),
    "page": rows("b"),
    "fields": rows(*zip("abc", STORED, strict=True)),
    "highlight": rows(
        ("a", {"name": ["The Old <mark>Mill</mark>"]}, [OLD_MILL]),
        ("b", {"name": ["New <mark>Mill</mark>"]}, [NEW_MILL]),
        "c",
    ),
    "locations": rows(("a", [OLD_MILL]), ("b", [NEW_MILL]), "c"),
    "by_field": rows("b", "a", "c"),
    "by_place": rows("b", "a", "c"),
    "by_score": rows("a", "b", "c"),
    "explain": rows("a", "b", "c"),
    "unscored": rows("a", "b", "c"),
    "facets": (
        "ok",
        str(
            [
                ("dates", 1, 2, [], [], [("old", 1)]),
                ("numbers", 2, 0, [], [("few", 2)], []),
                ("terms", 6, 0, [("mill", 2), ("new", 1)], [], []),
            ]
        ),
    ),
    "metadata": ("ok", str(((3, 1, 0, 1.0), {}))),
    "vectors": ("ok", str((["a", "b"], ["a", "b", "c"]))),
    "scoped": found("a"),
    "consistent": found("d"),
    "missing": ("error", ("QueryIndexNotFoundException", 17)),
}


def test_python() -> None:
    """Each query is understood, and what it is answered is understood too."""
    python = str(peers.python_sdk())
    with served(*PROGRAM) as line:
        command = [python, str(CLIENTS / "searches.py"), line["connection_string"]]
        outcomes = run(command, environment())
    assert outcomes == OUTCOMES, json.dumps(outcomes, indent=1)
