"""The official Python SDK, asking queries, and managing their indexes.

    python queries.py CONNECTION_STRING

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
from couchbase.management.options import (
    CreatePrimaryQueryIndexOptions,
    CreateQueryIndexOptions,
    DropQueryIndexOptions,
    WatchQueryIndexOptions,
)
from couchbase.mutation_state import MutationState
from couchbase.n1ql import QueryProfile, QueryScanConsistency
from couchbase.options import ClusterOptions, QueryOptions

SECONDS = timedelta(seconds=10)


def rows(cluster: Any, statement: str, **options: Any) -> list[Any]:
    """Return the rows of a query."""
    return list(cluster.query(statement, QueryOptions(**options)).rows())


def beside(cluster: Any) -> Any:
    """Return what stands beside rows."""
    found = cluster.query(
        "UPSERT INTO default VALUES ('m', 1), ('n', 1/0)",
        QueryOptions(metrics=True, profile=QueryProfile.TIMINGS, client_context_id="an id"),
    )
    count = len(list(found.rows()))
    meta = found.metadata()
    metrics = meta.metrics()
    warnings = [(each.code(), each.message()) for each in meta.warnings()]
    told = bool(meta.profile()), meta.client_context_id(), str(meta.status())
    return count, metrics.mutation_count().value, warnings, told


def prepared(cluster: Any) -> list[Any]:
    """Return the rows of a statement that is prepared, and known then."""
    statement = "SELECT RAW $1 + 1"
    options = {"adhoc": False, "positional_parameters": [1]}
    return rows(cluster, statement, **options) + rows(cluster, statement, **options)


def consistent(cluster: Any) -> list[Any]:
    """Return what sees a write."""
    written = cluster.bucket("default").default_collection().upsert("c", {"n": 9})
    state = MutationState(written)
    return rows(cluster, "SELECT RAW n FROM default WHERE META().id = 'c'", consistent_with=state)


def indexes(cluster: Any) -> Any:
    """Make indexes, list and build them, and drop them."""
    manager = cluster.query_indexes()
    deferred = CreateQueryIndexOptions(deferred=True)
    manager.create_index("default", "ix", ["n", "a.b"], deferred)
    before = {each.name: each.state for each in manager.get_all_indexes("default")}
    manager.build_deferred_indexes("default")
    manager.watch_indexes("default", ["ix"], WatchQueryIndexOptions(timeout=SECONDS))
    after = {each.name: (each.state, each.index_key) for each in manager.get_all_indexes("default")}
    manager.drop_index("default", "ix")
    manager.drop_index("default", "ix", DropQueryIndexOptions(ignore_if_not_exists=True))
    return sorted(before.items()), sorted(after.items())


def in_scope(cluster: Any) -> Any:
    """Return what a scope's query finds, with a collection's own index."""
    bucket = cluster.bucket("default")
    bucket.collections().create_collection("_default", "c")
    collection = bucket.scope("_default").collection("c")
    collection.upsert("k", {"n": 5})
    collection.query_indexes().create_primary_index()
    return list(bucket.scope("_default").query("SELECT RAW n FROM c").rows())


def calls_of(cluster: Any) -> dict[str, Callable[[], Any]]:
    """Return what is called, by name."""
    ask = partial(rows, cluster)
    manager = cluster.query_indexes()
    return {
        "no index": partial(ask, "SELECT * FROM default"),
        "primary": partial(manager.create_primary_index, "default"),
        "primary again": partial(manager.create_primary_index, "default"),
        "primary, if there is none": partial(
            manager.create_primary_index,
            "default",
            CreatePrimaryQueryIndexOptions(ignore_if_exists=True),
        ),
        "indexes": partial(indexes, cluster),
        "drop of none": partial(manager.drop_index, "default", "nosuch"),
        "beside": partial(beside, cluster),
        "positional": partial(ask, "SELECT $1 AS a, ? AS b", positional_parameters=[[1], "x"]),
        "named": partial(ask, "SELECT RAW $x || @y", named_parameters={"x": "a", "y": "b"}),
        "prepared": partial(prepared, cluster),
        "consistent": partial(consistent, cluster),
        "request_plus": partial(
            ask,
            "SELECT RAW COUNT(*) FROM default",
            scan_consistency=QueryScanConsistency.REQUEST_PLUS,
        ),
        "options": partial(
            ask,
            "SELECT RAW 1",
            max_parallelism=2,
            pipeline_batch=3,
            pipeline_cap=4,
            scan_cap=5,
            scan_wait=timedelta(milliseconds=1500),
            flex_index=True,
            preserve_expiry=True,
            timeout=SECONDS,
            raw={"pretty": True},
        ),
        "returning": partial(
            ask, "UPDATE default USE KEYS 'c' SET n = n + 1 RETURNING n, META().id"
        ),
        "in scope": partial(in_scope, cluster),
        "syntax": partial(ask, "SELEC 1"),
        "no keyspace": partial(ask, "SELECT 1 FROM nosuch"),
        "duplicate": partial(ask, "INSERT INTO default VALUES ('c', 1)"),
        "read only": partial(ask, "DELETE FROM default", read_only=True),
        "timeout": partial(
            ask,
            "SELECT COUNT(*) FROM ARRAY_RANGE(0, 2000) a, ARRAY_RANGE(0, 2000) b",
            timeout=timedelta(milliseconds=400),
            read_only=True,
        ),
    }


def main(connection_string: str) -> None:
    """Make all calls."""
    cluster = Cluster(connection_string, ClusterOptions(PasswordAuthenticator("admin", "password")))
    cluster.wait_until_ready(timedelta(seconds=20))
    for name, call in calls_of(cluster).items():
        report(name, call)
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
