"""Indexes for queries, of one collection: `collection.query_indexes()` (SDK 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from couchloop.management import query_indexes
from couchloop.management.buckets import Progress
from couchloop.management.defaults import BucketDefaults
from couchloop.management.index_statements import QueryIndex
from couchloop.operations.procedure import Procedure


def create_index(
    defaults: BucketDefaults,
    index_name: str,
    keys: Iterable[str],
    *,
    ignore_if_exists: bool = False,
    condition: str | None = None,
    deferred: bool = False,
    num_replicas: int | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of the collection.

    Args:
        keys: what is indexed: names of members, or expressions of SQL++.
        ignore_if_exists: whether it is none of an error that there is one of that name.
        condition: of documents that are indexed, in SQL++. None: all are.
        deferred: whether it is built by `build_deferred_indexes`.
        num_replicas: copies of it. None: as the cluster says.

    Raises QueryIndexExistsError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
    """
    return query_indexes.create_index(
        defaults,
        defaults.bucket,
        index_name,
        keys,
        ignore_if_exists=ignore_if_exists,
        condition=condition,
        deferred=deferred,
        num_replicas=num_replicas,
        timeout=timeout,
        **_place(defaults),
    )


def create_primary_index(
    defaults: BucketDefaults,
    *,
    index_name: str | None = None,
    ignore_if_exists: bool = False,
    deferred: bool = False,
    num_replicas: int | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of all keys of the collection, which serves any statement, slowly.

    Args:
        index_name: the index' name. None: `#primary`.
        ignore_if_exists: whether it is none of an error that there is one of that name.
        deferred: whether it is built by `build_deferred_indexes`.
        num_replicas: copies of it. None: as the cluster says.

    Raises QueryIndexExistsError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
    """
    return query_indexes.create_primary_index(
        defaults,
        defaults.bucket,
        index_name=index_name,
        ignore_if_exists=ignore_if_exists,
        deferred=deferred,
        num_replicas=num_replicas,
        timeout=timeout,
        **_place(defaults),
    )


def drop_index(
    defaults: BucketDefaults,
    index_name: str,
    *,
    ignore_if_not_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index of the collection.

    Args:
        ignore_if_not_exists: whether it is none of an error that there is none of that name.

    Raises QueryIndexNotFoundError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
    """
    return query_indexes.drop_index(
        defaults,
        defaults.bucket,
        index_name,
        ignore_if_not_exists=ignore_if_not_exists,
        timeout=timeout,
        **_place(defaults),
    )


def drop_primary_index(
    defaults: BucketDefaults,
    *,
    index_name: str | None = None,
    ignore_if_not_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index of all keys of the collection.

    Args:
        index_name: the index' name. None: the one that was given none.
        ignore_if_not_exists: whether it is none of an error that there is none.

    Raises what `drop_index` raises.
    """
    return query_indexes.drop_primary_index(
        defaults,
        defaults.bucket,
        index_name=index_name,
        ignore_if_not_exists=ignore_if_not_exists,
        timeout=timeout,
        **_place(defaults),
    )


def get_all_indexes(
    defaults: BucketDefaults, *, timeout: float | None = None
) -> Procedure[list[QueryIndex]]:
    """Return the indexes of the collection: the primary ones, then in the order of their names."""
    return query_indexes.get_all_indexes(
        defaults, defaults.bucket, timeout=timeout, **_place(defaults)
    )


def build_deferred_indexes(
    defaults: BucketDefaults, *, timeout: float | None = None
) -> Procedure[list[QueryIndex]]:
    """Have all indexes of the collection built that were deferred; return which.

    It does not wait for them: `watch_indexes` does.
    """
    return query_indexes.build_deferred_indexes(
        defaults, defaults.bucket, timeout=timeout, **_place(defaults)
    )


def watch_indexes(
    defaults: BucketDefaults,
    index_names: Iterable[str],
    *,
    timeout: float | None = None,
    watch_primary: bool = False,
    progress: Progress | None = None,
) -> Procedure[list[QueryIndex]]:
    """Wait until indexes of the collection are online; return them.

    Args:
        index_names: which.
        watch_primary: whether `#primary` is one of them.
        progress: called with how many are online, 0, and how many there are.

    Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
    """
    return query_indexes.watch_indexes(
        defaults,
        defaults.bucket,
        index_names,
        timeout=timeout,
        watch_primary=watch_primary,
        progress=progress,
        **_place(defaults),
    )


def _place(defaults: BucketDefaults) -> dict[str, Any]:
    names = defaults.collection
    assert names is not None, "it is of a collection"
    return {"scope_name": names.scope, "collection_name": names.collection}
