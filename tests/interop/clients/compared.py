"""Calls of managers that the official Python SDK and our client have by the same names.

What makes them is given: the classes of either as *names*, and the Cluster of either.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

Call = Callable[[Any, Any], Any]
CALLS: dict[str, Call] = {}
"""In the order in which they are made: the arguments are *names*, and the Cluster."""


def call(function: Call) -> Call:
    """Take note of a call by its name."""
    CALLS[function.__name__] = function
    return function


def plain(manager: Callable[[Any], Any], method: str, *arguments: Any, name: str = "") -> None:
    """Take note of a call whose arguments are no objects of a client's own."""
    CALLS[name or method] = lambda _, cluster: getattr(manager(cluster), method)(*arguments)


def buckets(cluster: Any) -> Any:
    """Return the manager of buckets."""
    return cluster.buckets()


@call
def create_bucket(names: Any, cluster: Any) -> Any:
    """Make a bucket with all that servers of today take."""
    settings = names.CreateBucketSettings(
        name="made",
        bucket_type=names.BucketType.COUCHBASE,
        ram_quota_mb=128,
        num_replicas=0,
        replica_index=True,
        flush_enabled=True,
        max_expiry=timedelta(minutes=1),
        compression_mode=names.CompressionMode.ACTIVE,
        conflict_resolution_type=names.ConflictResolutionType.TIMESTAMP,
        eviction_policy=names.EvictionPolicyType.FULL,
        minimum_durability_level=names.Durability.MAJORITY,
        storage_backend=names.StorageBackend.COUCHSTORE,
    )
    return cluster.buckets().create_bucket(settings)


@call
def create_small_bucket(names: Any, cluster: Any) -> Any:
    """Make one with no more than a name and its memory."""
    settings = names.CreateBucketSettings(name="small", ram_quota_mb=100)
    return cluster.buckets().create_bucket(settings)


@call
def create_ephemeral_bucket(names: Any, cluster: Any) -> Any:
    """Make one that is in memory alone."""
    settings = names.CreateBucketSettings(
        name="e", ram_quota_mb=100, bucket_type=names.BucketType.EPHEMERAL
    )
    return cluster.buckets().create_bucket(settings)


@call
def update_bucket(names: Any, cluster: Any) -> Any:
    """Change a bucket."""
    return cluster.buckets().update_bucket(names.BucketSettings(name="made", ram_quota_mb=200))


plain(buckets, "get_bucket", "made")
plain(buckets, "get_all_buckets")
plain(buckets, "flush_bucket", "made")
plain(buckets, "drop_bucket", "made")


def collections(cluster: Any) -> Any:
    """Return the manager of scopes and collections."""
    return cluster.bucket("default").collections()


plain(collections, "create_scope", "s")
plain(collections, "create_collection", "s", "plain", name="create_plain_collection")
plain(collections, "create_collection", "s", "metadata", name="create_for_functions")


@call
def create_collection(names: Any, cluster: Any) -> Any:
    """Make a collection whose documents do not live for ever."""
    return names.create_collection(collections(cluster), "s", "c", timedelta(seconds=90))


@call
def update_collection(names: Any, cluster: Any) -> Any:
    """Change that."""
    return names.update_collection(collections(cluster), "s", "c", timedelta(seconds=60))


plain(collections, "get_all_scopes")
plain(collections, "drop_collection", "s", "c")


def users(cluster: Any) -> Any:
    """Return the manager of users and groups."""
    return cluster.users()


@call
def upsert_group(names: Any, cluster: Any) -> Any:
    """Make a group."""
    roles = {names.Role("data_reader", bucket="default")}
    return users(cluster).upsert_group(names.Group("g", description="They read.", roles=roles))


@call
def upsert_user(names: Any, cluster: Any) -> Any:
    """Make a user with a role of its own, in a collection."""
    role = names.Role("data_writer", bucket="default", scope="s", collection="plain")
    user = names.User(
        username="ada", display_name="Ada", groups={"g"}, roles={role}, password="secret1"
    )
    return users(cluster).upsert_user(user, domain_name="local")


@call
def upsert_user_with_signs(names: Any, cluster: Any) -> Any:
    """Make one whose password has a sign that forms have, too."""
    user = names.User(username="eve", roles={names.Role("ro_admin")}, password="secret&w")
    return users(cluster).upsert_user(user, domain_name="local")


@call
def get_user(names: Any, cluster: Any) -> Any:
    """Look at it."""
    return users(cluster).get_user("ada", domain_name="local")


plain(users, "get_all_users")
plain(users, "get_roles")
plain(users, "get_group", "g")
plain(users, "get_all_groups")


@call
def drop_user(names: Any, cluster: Any) -> Any:
    """Drop it."""
    return users(cluster).drop_user("ada", domain_name="local")


plain(users, "drop_group", "g")


def views(cluster: Any) -> Any:
    """Return the manager of design documents."""
    return cluster.bucket("default").view_indexes()


@call
def upsert_design(names: Any, cluster: Any) -> Any:
    """Store a design document."""
    view = names.View("function (doc, meta) {}", "_count")
    design = names.DesignDocument("d", {"v": view})
    return views(cluster).upsert_design_document(design, names.DEVELOPMENT)


@call
def get_design(names: Any, cluster: Any) -> Any:
    """Look at it."""
    return views(cluster).get_design_document("d", names.DEVELOPMENT)


plain(views, "publish_design_document", "d")


@call
def get_all_designs(names: Any, cluster: Any) -> Any:
    """List those in production."""
    return views(cluster).get_all_design_documents(names.PRODUCTION)


@call
def drop_design(names: Any, cluster: Any) -> Any:
    """Drop one."""
    return views(cluster).drop_design_document("d", names.PRODUCTION)


def indexes(cluster: Any) -> Any:
    """Return the manager of search indexes."""
    return cluster.search_indexes()


def indexes_of_scope(cluster: Any) -> Any:
    """Return that of a scope."""
    return cluster.bucket("default").scope("_default").search_indexes()


@call
def upsert_index(names: Any, cluster: Any) -> Any:
    """Make a search index."""
    index = names.SearchIndex(
        "i", source_name="default", params={"mapping": {"types": {}}}, plan_params={"x": 1}
    )
    return indexes(cluster).upsert_index(index)


@call
def upsert_index_of_scope(names: Any, cluster: Any) -> Any:
    """Make one of a scope."""
    index = names.SearchIndex("i", source_name="default")
    return indexes_of_scope(cluster).upsert_index(index)


for _method in (
    *("get_index", "get_indexed_documents_count", "pause_ingest", "resume_ingest"),
    *("disallow_querying", "allow_querying", "freeze_plan", "unfreeze_plan", "get_index_stats"),
):
    plain(indexes, _method, "i")
    if _method != "get_index_stats":
        plain(indexes_of_scope, _method, "i", name=f"{_method}_of_scope")
plain(indexes, "get_all_indexes")
plain(indexes_of_scope, "get_all_indexes", name="get_all_indexes_of_scope")
plain(indexes, "get_all_index_stats")
plain(indexes, "drop_index", "i")
plain(indexes_of_scope, "drop_index", "i", name="drop_index_of_scope")


def functions(cluster: Any) -> Any:
    """Return the manager of eventing functions."""
    return cluster.eventing_functions()


@call
def upsert_function(names: Any, cluster: Any) -> Any:
    """Store a function with each kind of binding."""
    keyspace = names.EventingFunctionKeyspace
    function = names.EventingFunction(
        "f",
        "function OnUpdate(doc, meta) {}",
        "evt-7.6.2-3721-ee",
        metadata_keyspace=keyspace("default", "s", "metadata"),
        source_keyspace=keyspace("default", "_default", "_default"),
        bucket_bindings=[
            names.EventingFunctionBucketBinding(
                "b",
                keyspace("default", "_default", "_default"),
                names.EventingFunctionBucketAccess.ReadWrite,
            )
        ],
        url_bindings=[
            names.EventingFunctionUrlBinding(
                "http://h",
                "u",
                True,
                False,
                names.EventingFunctionUrlAuthBasic("user", "secret"),
            )
        ],
        constant_bindings=[names.EventingFunctionConstantBinding("c", "1")],
        settings=names.function_settings(execution_timeout=timedelta(seconds=5)),
    )
    return functions(cluster).upsert_function(function)


for _method in ("get", "deploy", "pause", "resume", "undeploy", "drop"):
    plain(functions, f"{_method}_function", "f")
plain(functions, "get_all_functions")
plain(functions, "functions_status")


@call
def cluster_info(names: Any, cluster: Any) -> Any:
    """Ask what the nodes are."""
    return cluster.cluster_info()


def run(file: str, names: Any, cluster: Any) -> None:
    """Make all calls, and have the record say which is made, and whether it failed."""

    def note(**line: str) -> None:
        with Path(file).open("a", encoding="utf-8") as record:
            record.write(json.dumps(line) + "\n")

    for name, make in CALLS.items():
        note(call=name)
        try:
            make(names, cluster)
        except Exception as error:  # noqa: BLE001 - whatever the client's are called
            note(failed=f"{type(error).__name__}: {error}")
    note(call="")
