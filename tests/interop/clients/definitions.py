"""The official Python SDK, storing design documents, search indexes and eventing functions.

    python definitions.py CONNECTION_STRING CALL ...

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
from couchbase.management.eventing import (
    EventingFunction,
    EventingFunctionBucketAccess,
    EventingFunctionBucketBinding,
    EventingFunctionConstantBinding,
    EventingFunctionKeyspace,
    EventingFunctionManager,
    EventingFunctionSettings,
    EventingFunctionUrlAuthBasic,
    EventingFunctionUrlBinding,
)
from couchbase.management.search import SearchIndex, SearchIndexManager
from couchbase.management.views import (
    DesignDocument,
    DesignDocumentNamespace,
    View,
    ViewIndexManager,
)
from couchbase.options import ClusterOptions

DEV = DesignDocumentNamespace.DEVELOPMENT
PROD = DesignDocumentNamespace.PRODUCTION
CALLS: dict[str, Callable[[Cluster], Any]] = {}


def views(cluster: Cluster) -> ViewIndexManager:
    """Return the manager of design documents."""
    return cluster.bucket("default").view_indexes()


def scoped(cluster: Cluster) -> Any:
    """Return the manager of a scope's search indexes."""
    return cluster.bucket("default").scope("_default").search_indexes()


def call(name: str, manager: Callable[[Cluster], Any], method: str, *arguments: Any) -> None:
    """Take note of a call."""
    CALLS[name] = lambda cluster: getattr(manager(cluster), method)(*arguments)


def shown(name: str, manager: Callable[[Cluster], Any], show: Callable[[Any], Any]) -> None:
    """Take note of a call, and of what of its result is shown."""
    CALLS[name] = lambda cluster: show(manager(cluster))


DESIGN = DesignDocument("d", {"v": View("function (doc, meta) {}", "_count")})

call("upsert_design", views, "upsert_design_document", DESIGN, DEV)
call("publish_design", views, "publish_design_document", "d")
call("drop_dev", views, "drop_design_document", "d", DEV)
call("drop_design", views, "drop_design_document", "d", PROD)


@partial(shown, "get_design", views)
def get_design(manager: ViewIndexManager) -> Any:
    """Show a design document."""
    found = manager.get_design_document("d", DEV)
    return found.name, {name: (v.map, v.reduce) for name, v in found.views.items()}


@partial(shown, "list_designs", views)
def list_designs(manager: ViewIndexManager) -> Any:
    """List the design documents of both namespaces."""
    return [
        [each.name for each in manager.get_all_design_documents(space)] for space in (DEV, PROD)
    ]


INDEX = SearchIndex("i", source_name="default")
search = Cluster.search_indexes

call("upsert_index", search, "upsert_index", INDEX)
call("upsert_scoped", scoped, "upsert_index", INDEX)
for _name in (
    *("pause_ingest", "resume_ingest", "allow_querying", "disallow_querying", "freeze_plan"),
    *("unfreeze_plan", "drop_index", "get_indexed_documents_count"),
):
    call(_name, search, _name, "i")
    call(f"scoped_{_name}", scoped, _name, "i")
call("analyze_document", search, "analyze_document", "i", {"a": "b"})


@partial(shown, "get_index", search)
def get_index(manager: SearchIndexManager) -> Any:
    """Show an index."""
    found = manager.get_index("i")
    return found.name, found.idx_type, found.source_name, bool(found.uuid), sorted(found.params)


@partial(shown, "replace_index", search)
def replace_index(manager: SearchIndexManager) -> Any:
    """Replace an index by the definition that it has."""
    before = manager.get_index("i")
    manager.upsert_index(before)
    return manager.get_index("i").uuid != before.uuid


@partial(shown, "list_indexes", search)
def list_indexes(manager: SearchIndexManager) -> Any:
    """List the names of all indexes."""
    return sorted(each.name for each in manager.get_all_indexes())


@partial(shown, "list_scoped", scoped)
def list_scoped(manager: Any) -> Any:
    """List the names of a scope's indexes."""
    return sorted(each.name for each in manager.get_all_indexes())


@partial(shown, "index_stats", search)
def index_stats(manager: SearchIndexManager) -> Any:
    """Show what is counted."""
    return sorted(manager.get_index_stats("i")), bool(manager.get_all_index_stats())


def keyspace(collection: str) -> EventingFunctionKeyspace:
    """Return a collection of the default scope."""
    return EventingFunctionKeyspace("default", "_default", collection)


FUNCTION = EventingFunction(
    "f",
    "function OnUpdate(doc, meta) {}",
    "evt-7.6.2-3721-ee",
    metadata_keyspace=EventingFunctionKeyspace("default", "s", "metadata"),
    source_keyspace=keyspace("_default"),
    bucket_bindings=[
        EventingFunctionBucketBinding(
            "b", keyspace("_default"), EventingFunctionBucketAccess.ReadWrite
        )
    ],
    url_bindings=[
        EventingFunctionUrlBinding(
            "http://h", "u", EventingFunctionUrlAuthBasic("user", "secret"), False, False
        )
    ],
    constant_bindings=[EventingFunctionConstantBinding("c", "1")],
    settings=EventingFunctionSettings.new_settings(execution_timeout=timedelta(seconds=5)),
)
SAME = EventingFunction(
    "g",
    "",
    "evt-7.6.2-3721-ee",
    metadata_keyspace=keyspace("_default"),
    source_keyspace=keyspace("_default"),
    bucket_bindings=[],
    url_bindings=[],
    constant_bindings=[],
    settings=EventingFunctionSettings.new_settings(),
)
eventing = Cluster.eventing_functions

call("upsert_function", eventing, "upsert_function", FUNCTION)
call("same_keyspace", eventing, "upsert_function", SAME)
for _name in ("deploy", "undeploy", "pause", "resume", "drop"):
    call(f"{_name}_function", eventing, f"{_name}_function", "f")


@partial(shown, "get_function", eventing)
def get_function(manager: EventingFunctionManager) -> Any:
    """Show a function."""
    found = manager.get_function("f")
    return (
        # It tells keyspaces in a form of its own.
        found.name,
        [(each.alias, each.access.name) for each in found.bucket_bindings],
        [(each.alias, each.hostname) for each in found.url_bindings],
        [(each.alias, each.literal) for each in found.constant_bindings],
        found.settings.execution_timeout.total_seconds(),
    )


@partial(shown, "functions", eventing)
def functions(manager: EventingFunctionManager) -> Any:
    """List all functions, and how they are."""
    status = manager.functions_status()
    states = [(each.name, each.state.name) for each in status.functions]
    return [each.name for each in manager.get_all_functions()], status.num_eventing_nodes, states


def main(connection_string: str, *names: str) -> None:
    """Make some calls, one after the other."""
    cluster = Cluster(connection_string, ClusterOptions(PasswordAuthenticator("admin", "password")))
    cluster.wait_until_ready(timedelta(seconds=20))
    # Some calls need what a bucket's configuration tells.
    manager = cluster.bucket("default").collections()
    if not any(each.name == "s" for each in manager.get_all_scopes()):
        manager.create_scope("s")
        manager.create_collection("s", "metadata")
    for name in names:
        report(name, partial(CALLS[name], cluster))
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
