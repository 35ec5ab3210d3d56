"""The official Python SDK as an administrator: some calls, and what came of them.

    python management.py CONNECTION_STRING CALL ...

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
from couchbase.diagnostics import ServiceType
from couchbase.durability import Durability
from couchbase.management.buckets import (
    BucketType,
    CompressionMode,
    ConflictResolutionType,
    CreateBucketSettings,
    EvictionPolicyType,
)
from couchbase.management.collections import CreateCollectionSettings, UpdateCollectionSettings
from couchbase.management.options import (
    DropUserOptions,
    GetUserOptions,
    UpsertUserOptions,
)
from couchbase.management.users import Group, Role, User
from couchbase.options import ClusterOptions

CALLS: dict[str, Callable[[Cluster], Any]] = {}


def call(function: Callable[[Cluster], Any]) -> Callable[[Cluster], Any]:
    """Take note of a call by its name."""
    CALLS[function.__name__] = function
    return function


@call
def create_bucket(cluster: Cluster) -> Any:
    """Create bucket, as the SDK does."""
    settings = CreateBucketSettings(
        name="made",
        bucket_type=BucketType.COUCHBASE,
        ram_quota_mb=128,
        num_replicas=2,
        flush_enabled=True,
        max_expiry=timedelta(minutes=1),
        compression_mode=CompressionMode.ACTIVE,
        conflict_resolution_type=ConflictResolutionType.TIMESTAMP,
        eviction_policy=EvictionPolicyType.FULL,
        minimum_durability_level=Durability.MAJORITY,
    )
    return cluster.buckets().create_bucket(settings)


@call
def get_bucket(cluster: Cluster) -> Any:
    """Get bucket, as the SDK does."""
    found = cluster.buckets().get_bucket("made")
    names = ("name", "ram_quota_mb", "num_replicas", "flush_enabled", "max_expiry")
    kinds = ("bucket_type", "compression_mode", "eviction_policy", "minimum_durability_level")
    return [getattr(found, name) for name in names] + [getattr(found, k).name for k in kinds]


@call
def get_all_buckets(cluster: Cluster) -> Any:
    """List all buckets, as the SDK does."""
    return sorted(each.name for each in cluster.buckets().get_all_buckets())


@call
def update_bucket(cluster: Cluster) -> Any:
    """Update bucket, as the SDK does."""
    manager = cluster.buckets()
    found = manager.get_bucket("made")
    found["ram_quota_mb"] = 200
    manager.update_bucket(found)
    return manager.get_bucket("made").ram_quota_mb


@call
def flush_bucket(cluster: Cluster) -> Any:
    """Flush bucket, as the SDK does."""
    return cluster.buckets().flush_bucket("made")


@call
def flush_what_must_not(cluster: Cluster) -> Any:
    """Flush a bucket that must not be flushed."""
    return cluster.buckets().flush_bucket("default")


@call
def drop_bucket(cluster: Cluster) -> Any:
    """Drop bucket, as the SDK does."""
    return cluster.buckets().drop_bucket("made")


@call
def documents(cluster: Cluster) -> Any:
    """Use a bucket that was made over HTTP."""
    collection = cluster.bucket("made").default_collection()
    collection.upsert("key", {"a": 1})
    return collection.get("key").content_as[dict]


@call
def create_scope(cluster: Cluster) -> Any:
    """Create scope, as the SDK does."""
    return cluster.bucket("default").collections().create_scope("s")


@call
def create_collection(cluster: Cluster) -> Any:
    """Create collection, as the SDK does."""
    settings = CreateCollectionSettings(max_expiry=timedelta(seconds=90))
    return cluster.bucket("default").collections().create_collection("s", "c", settings)


@call
def update_collection(cluster: Cluster) -> Any:
    """Update collection, as the SDK does."""
    settings = UpdateCollectionSettings(max_expiry=timedelta(seconds=60))
    return cluster.bucket("default").collections().update_collection("s", "c", settings)


@call
def create_in_no_scope(cluster: Cluster) -> Any:
    """Make a collection where there is no scope."""
    return cluster.bucket("default").collections().create_collection("none", "c")


@call
def get_all_scopes(cluster: Cluster) -> Any:
    """List all scopes, as the SDK does."""
    scopes = cluster.bucket("default").collections().get_all_scopes()
    return sorted(
        (scope.name, each.name, each.max_expiry.total_seconds())
        for scope in scopes
        for each in scope.collections
    )


@call
def drop_collection(cluster: Cluster) -> Any:
    """Drop collection, as the SDK does."""
    return cluster.bucket("default").collections().drop_collection("s", "c")


@call
def drop_scope(cluster: Cluster) -> Any:
    """Drop scope, as the SDK does."""
    return cluster.bucket("default").collections().drop_scope("s")


@call
def upsert_group(cluster: Cluster) -> Any:
    """Upsert group, as the SDK does."""
    group = Group("g", description="They read.", roles={Role("data_reader", bucket="default")})
    return cluster.users().upsert_group(group)


@call
def get_group(cluster: Cluster) -> Any:
    """Get group, as the SDK does."""
    found = cluster.users().get_group("g")
    return [found.name, found.description, sorted(role.name for role in found.roles)]


@call
def get_all_groups(cluster: Cluster) -> Any:
    """List all groups, as the SDK does."""
    return [each.name for each in cluster.users().get_all_groups()]


@call
def upsert_user(cluster: Cluster) -> Any:
    """Upsert user, as the SDK does."""
    user = User(
        username="ada",
        display_name="Ada",
        groups={"g"},
        roles={Role("data_writer", bucket="default")},
        password="secret1",
    )
    return cluster.users().upsert_user(user, UpsertUserOptions(domain_name="local"))


@call
def get_user(cluster: Cluster) -> Any:
    """Get user, as the SDK does."""
    found = cluster.users().get_user("ada", GetUserOptions(domain_name="local"))
    effective = sorted(
        (each.role.name, sorted(origin.type for origin in each.origins))
        for each in found.effective_roles
    )
    own = sorted(role.name for role in found.user.roles)
    return [found.user.username, found.user.display_name, sorted(found.user.groups), own, effective]


@call
def get_all_users(cluster: Cluster) -> Any:
    """List all users, as the SDK does."""
    return sorted(each.user.username for each in cluster.users().get_all_users())


@call
def get_roles(cluster: Cluster) -> Any:
    """Get roles, as the SDK does."""
    return {"admin", "data_reader"} <= {each.role.name for each in cluster.users().get_roles()}


@call
def drop_user(cluster: Cluster) -> Any:
    """Drop user, as the SDK does."""
    return cluster.users().drop_user("ada", DropUserOptions(domain_name="local"))


@call
def drop_group(cluster: Cluster) -> Any:
    """Drop group, as the SDK does."""
    return cluster.users().drop_group("g")


@call
def cluster_info(cluster: Cluster) -> Any:
    """Ask what the nodes are."""
    return cluster.cluster_info().server_version


@call
def ping(cluster: Cluster) -> Any:
    """Ping every service that is asked by HTTP."""
    return sorted(
        (kind.value, sorted(each.state.value for each in endpoints))
        for kind, endpoints in cluster.ping().endpoints.items()
        if kind is not ServiceType.KeyValue
    )


def main(connection_string: str, *names: str) -> None:
    """Make some calls, one after the other."""
    cluster = Cluster(connection_string, ClusterOptions(PasswordAuthenticator("admin", "password")))
    cluster.wait_until_ready(timedelta(seconds=20))
    for name in names:
        report(name, partial(CALLS[name], cluster))
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
