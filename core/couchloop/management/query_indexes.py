"""Indexes for queries, of the buckets of a cluster: `cluster.query_indexes()` (SDK 4)."""

from __future__ import annotations

from collections.abc import Iterable

from couchloop.exceptions import QueryIndexExistsError, QueryIndexNotFoundError
from couchloop.hot.operation import Defaults
from couchloop.management.buckets import Progress
from couchloop.management.index_statements import (
    POLL,
    PRIMARY,
    QueryIndex,
    all_of,
    build,
    change,
    created,
    dropped,
    fields_of,
    flag,
    keyspace,
    name_of,
    names_of,
    number_of,
    watch,
)
from couchloop.operations.procedure import Procedure


def create_index(
    defaults: Defaults,
    bucket_name: str,
    index_name: str,
    keys: Iterable[str],
    *,
    ignore_if_exists: bool = False,
    condition: str | None = None,
    deferred: bool = False,
    num_replicas: int | None = None,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index.

    Args:
        keys: what is indexed: names of members, or expressions of SQL++.
        ignore_if_exists: whether it is none of an error that there is one of that name.
        condition: of documents that are indexed, in SQL++. None: all are.
        deferred: whether it is built by `build_deferred_indexes`.
        num_replicas: copies of it. None: as the cluster says.
        scope_name: of the collection. None: the bucket is meant, as ever.
        collection_name: the collection's name; goes with its scope's.

    Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
    QueryNotAuthorizedError.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    statement = created(
        where,
        name_of(index_name, "the name of an index"),
        fields_of(keys),
        condition=None if condition is None else name_of(condition, "a condition"),
        deferred=flag(deferred, "deferred"),
        replicas=number_of(num_replicas, "num_replicas"),
    )
    ignored = QueryIndexExistsError if flag(ignore_if_exists, "ignore_if_exists") else None
    steps = change(statement, where, ignored)
    return Procedure("create_index", defaults, None, timeout, steps)


def create_primary_index(
    defaults: Defaults,
    bucket_name: str,
    *,
    index_name: str | None = None,
    ignore_if_exists: bool = False,
    deferred: bool = False,
    num_replicas: int | None = None,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of all keys, which serves any statement, slowly.

    Args:
        index_name: the index' name. None: `#primary`.
        ignore_if_exists: whether it is none of an error that there is one of that name.
        deferred: whether it is built by `build_deferred_indexes`.
        num_replicas: copies of it. None: as the cluster says.
        scope_name: of the collection. None: the bucket is meant, as ever.
        collection_name: the collection's name; goes with its scope's.

    Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
    QueryNotAuthorizedError.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    statement = created(
        where,
        None if index_name is None else name_of(index_name, "the name of an index"),
        None,
        deferred=flag(deferred, "deferred"),
        replicas=number_of(num_replicas, "num_replicas"),
    )
    ignored = QueryIndexExistsError if flag(ignore_if_exists, "ignore_if_exists") else None
    steps = change(statement, where, ignored)
    return Procedure("create_primary_index", defaults, None, timeout, steps)


def drop_index(
    defaults: Defaults,
    bucket_name: str,
    index_name: str,
    *,
    ignore_if_not_exists: bool = False,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index.

    Args:
        ignore_if_not_exists: whether it is none of an error that there is none of that name.
        scope_name: of the collection. None: the bucket is meant, as ever.
        collection_name: the collection's name; goes with its scope's.

    Raises QueryIndexNotFoundError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
    QueryNotAuthorizedError.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    name = name_of(index_name, "the name of an index")
    ignored = (
        QueryIndexNotFoundError if flag(ignore_if_not_exists, "ignore_if_not_exists") else None
    )
    steps = change(dropped(where, name), where, ignored)
    return Procedure("drop_index", defaults, None, timeout, steps)


def drop_primary_index(
    defaults: Defaults,
    bucket_name: str,
    *,
    index_name: str | None = None,
    ignore_if_not_exists: bool = False,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index of all keys.

    Args:
        index_name: the index' name. None: the one that was given none.
        ignore_if_not_exists: whether it is none of an error that there is none.
        scope_name: of the collection. None: the bucket is meant, as ever.
        collection_name: the collection's name; goes with its scope's.

    Raises what `drop_index` raises.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    name = None if index_name is None else name_of(index_name, "the name of an index")
    ignored = (
        QueryIndexNotFoundError if flag(ignore_if_not_exists, "ignore_if_not_exists") else None
    )
    steps = change(dropped(where, name), where, ignored)
    return Procedure("drop_primary_index", defaults, None, timeout, steps)


def get_all_indexes(
    defaults: Defaults,
    bucket_name: str,
    *,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[list[QueryIndex]]:
    """Return the indexes of a bucket and its collections, or of one collection.

    Args:
        scope_name: of the collection. None: all of the bucket are meant.
        collection_name: the collection's name; goes with its scope's.

    The primary ones come first, then they are in the order of their names.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    return Procedure("get_all_indexes", defaults, None, timeout, all_of(where), idempotent=True)


def build_deferred_indexes(
    defaults: Defaults,
    bucket_name: str,
    *,
    scope_name: str | None = None,
    collection_name: str | None = None,
    timeout: float | None = None,
) -> Procedure[list[QueryIndex]]:
    """Have all indexes built that were deferred; return which, as they were before.

    Args:
        scope_name: of the collection. None: all of the bucket are meant.
        collection_name: the collection's name; goes with its scope's.

    It does not wait for them: `watch_indexes` does.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    return Procedure("build_deferred_indexes", defaults, None, timeout, build(where))


def watch_indexes(
    defaults: Defaults,
    bucket_name: str,
    index_names: Iterable[str],
    *,
    timeout: float | None = None,
    watch_primary: bool = False,
    scope_name: str | None = None,
    collection_name: str | None = None,
    progress: Progress | None = None,
) -> Procedure[list[QueryIndex]]:
    """Wait until indexes are online; return them.

    Args:
        index_names: which.
        watch_primary: whether `#primary` is one of them.
        scope_name: of the collection. None: the bucket is meant, as ever.
        collection_name: the collection's name; goes with its scope's.
        progress: called with how many are online, 0, and how many there are.

    Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
    """
    where = keyspace(bucket_name, scope_name, collection_name)
    names = names_of(index_names)
    if flag(watch_primary, "watch_primary"):
        names.append(PRIMARY)
    steps = watch(lambda: all_of(where), names, POLL, progress)
    return Procedure("watch_indexes", defaults, None, timeout, steps, idempotent=True)
