"""The official Python SDK, asking views.

    python views.py CONNECTION_STRING

The lines are as those of battery.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from battery import report
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.management.views import DesignDocumentNamespace
from couchbase.options import ClusterOptions, ViewOptions
from couchbase.views import ViewErrorMode, ViewOrdering, ViewScanConsistency

PEOPLE = {
    "ann": {"country": "de", "city": "Ulm", "age": 30},
    "bob": {"country": "de", "city": "ulm", "age": 20},
    "cid": {"country": "fr", "city": "Pau", "age": 40},
    "dot": {"country": "de", "city": "Ulm", "age": 10},
}
ULM = ["de", "Ulm"]
DEV = DesignDocumentNamespace.DEVELOPMENT

MAPS: dict[str, dict[str, Any]] = {
    "all": {},
    "limit, skip": {"limit": 2, "skip": 1},
    "descending": {"order": ViewOrdering.DESCENDING},
    "ascending": {"order": ViewOrdering.ASCENDING},
    "key": {"key": ULM},
    "keys": {"keys": [["fr", "Pau"], ULM]},
    "startkey": {"startkey": ULM},
    "endkey": {"endkey": ULM},
    "exclusive": {"endkey": ULM, "inclusive_end": False},
    "range": {"startkey": ["de"], "endkey": ["de", {}]},
    "docids": {"startkey": ULM, "startkey_docid": "b", "endkey": ULM, "endkey_docid": "e"},
    "request_plus": {"scan_consistency": ViewScanConsistency.REQUEST_PLUS},
    "not_bounded": {"scan_consistency": ViewScanConsistency.NOT_BOUNDED},
    "stale": {"raw": {"stale": "false"}},
    "on_error": {"on_error": ViewErrorMode.STOP, "limit": 1},
    "timeout": {"timeout": timedelta(seconds=10), "limit": 1},
    "context": {"client_context_id": "an id", "limit": 1},
    "development": {"namespace": DEV, "full_set": True},
}
"""Queries of rows."""

REDUCED: dict[str, dict[str, Any]] = {
    "reduced": {},
    "grouped": {"group": True},
    "grouped by level": {"group_level": 1},
    "grouped keys": {"group": True, "keys": [ULM]},
    "not reduced": {"reduce": False, "limit": 1},
    "nothing": {"key": "nothing"},
}
"""Queries of a view that can reduce."""

REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no view": ("d", "nosuch", {}),
    "no design": ("nosuch", "v", {}),
    "group of a map": ("d", "plain", {"group": True}),
    "empty range": ("d", "plain", {"startkey": 2, "endkey": 1}),
    "keys without group": ("d", "stats", {"keys": [1]}),
    "bad stale": ("d", "plain", {"raw": {"stale": "maybe"}}),
}


def rows(bucket: Any, design: str, view: str, options: dict[str, Any]) -> list[Any]:
    """Return the rows of a view as lists."""
    found = bucket.view_query(design, view, ViewOptions(**options))
    return [[row.id, row.key, row.value] for row in found.rows()]


def beside(bucket: Any) -> Any:
    """Return what stands beside rows."""
    found = bucket.view_query("d", "plain", ViewOptions(debug=True, limit=1))
    count = len(list(found.rows()))
    meta = found.metadata()
    return count, meta.total_rows(), bool(meta.debug_info())


def main(connection_string: str) -> None:
    """Store people, and ask for them."""
    cluster = Cluster(connection_string, ClusterOptions(PasswordAuthenticator("user", "password")))
    cluster.wait_until_ready(timedelta(seconds=20))
    bucket = cluster.bucket("default")
    collection = bucket.default_collection()
    for key, value in PEOPLE.items():
        collection.upsert(key, value)
    calls: dict[str, Callable[[], Any]] = {"beside": partial(beside, bucket)}
    for view, queries in (("plain", MAPS), ("stats", REDUCED)):
        for name, options in queries.items():
            calls[name] = partial(rows, bucket, "d", view, options)
    for name, (design, view, options) in REFUSED.items():
        calls[name] = partial(rows, bucket, design, view, options)
    for name, call in calls.items():
        report(name, call)
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
