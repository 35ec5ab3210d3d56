"""Indexes for queries, of a bucket, by the names of SDK 2.5's `BucketManager`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    InvalidSettingError,
    QueryIndexExistsError,
    QueryIndexNotFoundError,
)
from couchloop.management.defaults import BucketDefaults
from couchloop.management.index_statements import (
    PRIMARY,
    Keyspace,
    QueryIndex,
    all_of,
    ask,
    build,
    change,
    created,
    dropped,
    fields_of,
    flag,
    index_of,
    listing,
    name_of,
    watch,
)
from couchloop.operations.procedure import Procedure, Steps

__all__ = [
    "N1qlIndex",
]


class N1qlIndex:
    """An index, as SDK 2.5 has it.

    Attributes:
        name: the index' name.
        keyspace: the bucket's name, or a collection's.
        fields: what is indexed, as SQL++ writes it.
        condition: of documents that are indexed; empty: all are.
        primary: whether it is of all keys.
        type: `gsi`.
        state: `online`, `deferred`, `building` and others.

    """

    def __init__(
        self,
        name: str = "",
        keyspace: str = "",
        *,
        fields: Iterable[str] = (),
        condition: str = "",
        primary: bool = False,
        type: str = "gsi",  # noqa: A002 - 2.5's name
        state: str = "",
    ) -> None:
        self.name = name
        self.keyspace = keyspace
        self.fields = list(fields)
        self.condition = condition
        self.primary = primary
        self.type = type
        self.state = state

    @property
    def raw(self) -> dict[str, Any]:
        """Return it by the service's own names."""
        return {
            "name": self.name,
            "keyspace_id": self.keyspace,
            "index_key": list(self.fields),
            "condition": self.condition,
            "is_primary": self.primary,
            "using": self.type,
            "state": self.state,
        }

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        kind = "primary" if self.primary else ", ".join(self.fields)
        return f"<{type(self).__name__} {self.keyspace}.{self.name} ({kind}): {self.state}>"


def n1ql_index_create(
    defaults: BucketDefaults,
    ix: str | N1qlIndex,
    defer: bool = False,
    ignore_exists: bool = False,
    primary: bool = False,
    fields: Iterable[str] | None = None,
    condition: str | None = None,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of the bucket.

    Args:
        ix: the index' name, or what it is like. Of a primary one it may be empty.
        defer: whether it is built by `n1ql_index_build_deferred`.
        ignore_exists: whether it is none of an error that there is one of that name.
        primary: whether it is of all keys.
        fields: what is indexed: names of members, or expressions of SQL++.
        condition: of documents that are indexed, in SQL++. None: all are.

    Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryNotAuthorizedError.
    """
    index = _index(ix)
    keys = list(index.fields) if fields is None else fields
    is_primary = flag(primary, "primary") or index.primary
    if is_primary and keys:
        raise ArgumentError("a primary index is of all keys: it has no fields")
    name = index.name if is_primary and not index.name else name_of(index.name, "an index")
    given = condition or index.condition or None
    statement = created(
        Keyspace(defaults.bucket),
        name or None,
        None if is_primary else fields_of(keys),
        condition=None if given is None else name_of(given, "a condition"),
        deferred=flag(defer, "defer"),
    )
    ignored = QueryIndexExistsError if flag(ignore_exists, "ignore_exists") else None
    steps = change(statement, Keyspace(defaults.bucket), ignored)
    return Procedure("n1ql_index_create", defaults, None, timeout, steps)


def n1ql_index_create_primary(
    defaults: BucketDefaults,
    defer: bool = False,
    ignore_exists: bool = False,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of all keys of the bucket, which serves any statement, slowly.

    Args:
        defer: whether it is built by `n1ql_index_build_deferred`.
        ignore_exists: whether it is none of an error that there is one.

    Raises what `n1ql_index_create` raises.
    """
    return n1ql_index_create(
        defaults, "", defer=defer, ignore_exists=ignore_exists, primary=True, timeout=timeout
    )


def n1ql_index_drop(
    defaults: BucketDefaults,
    ix: str | N1qlIndex,
    primary: bool = False,
    ignore_missing: bool = False,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index of the bucket.

    Args:
        ix: the index' name, or what it is like. Of a primary one it may be empty.
        primary: whether it is of all keys.
        ignore_missing: whether it is none of an error that there is none of that name.

    Raises QueryIndexNotFoundError, QueryBucketNotFoundError, QueryNotAuthorizedError.
    """
    index = _index(ix)
    is_unnamed = (flag(primary, "primary") or index.primary) and index.name in {"", PRIMARY}
    name = None if is_unnamed else name_of(index.name, "the name of an index")
    ignored = QueryIndexNotFoundError if flag(ignore_missing, "ignore_missing") else None
    where = Keyspace(defaults.bucket)
    steps = change(dropped(where, name), where, ignored)
    return Procedure("n1ql_index_drop", defaults, None, timeout, steps)


def n1ql_index_drop_primary(
    defaults: BucketDefaults, ignore_missing: bool = False, *, timeout: float | None = None
) -> Procedure[None]:
    """Drop the index of all keys of the bucket that was given no name.

    Args:
        ignore_missing: whether it is none of an error that there is none.

    Raises what `n1ql_index_drop` raises.
    """
    return n1ql_index_drop(
        defaults, "", primary=True, ignore_missing=ignore_missing, timeout=timeout
    )


def n1ql_index_list(
    defaults: BucketDefaults, other_buckets: bool = False, *, timeout: float | None = None
) -> Procedure[list[N1qlIndex]]:
    """Return the indexes of the bucket: the primary ones, then in the order of their names.

    Args:
        other_buckets: whether those of all buckets are wanted.
    """
    steps = _listed(defaults.bucket, everywhere=flag(other_buckets, "other_buckets"))
    return Procedure("n1ql_index_list", defaults, None, timeout, steps, idempotent=True)


def n1ql_index_build_deferred(
    defaults: BucketDefaults, other_buckets: bool = False, *, timeout: float | None = None
) -> Procedure[list[N1qlIndex]]:
    """Have all indexes built that were deferred; return which, as they were before.

    Args:
        other_buckets: whether those of all buckets are meant.

    It does not wait for them: `n1ql_index_watch` does.
    """
    steps = _built(defaults.bucket, everywhere=flag(other_buckets, "other_buckets"))
    return Procedure("n1ql_index_build_deferred", defaults, None, timeout, steps)


def n1ql_index_watch(
    defaults: BucketDefaults,
    indexes: Iterable[str | N1qlIndex],
    timeout: float = 30.0,
    interval: float = 0.2,
    watch_primary: bool = False,
) -> Procedure[list[N1qlIndex]]:
    """Wait until indexes of the bucket are online; return them.

    Args:
        indexes: their names, or what `n1ql_index_build_deferred` has returned.
        timeout: seconds for all of it.
        interval: seconds between two looks.
        watch_primary: whether `#primary` is one of them.

    Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
    """
    if isinstance(indexes, str | bytes | N1qlIndex) or not isinstance(indexes, Iterable):
        raise InvalidSettingError("indexes is a list of indexes", objextra=indexes)
    names = [name_of(_index(each).name, "the name of an index") for each in indexes]
    if flag(watch_primary, "watch_primary"):
        names.append(PRIMARY)
    steps = _watched(Keyspace(defaults.bucket), names, exact_seconds(interval))
    return Procedure("n1ql_index_watch", defaults, None, timeout, steps, idempotent=True)


def _index(given: object) -> N1qlIndex:
    if isinstance(given, N1qlIndex):
        return given
    if not isinstance(given, str):
        raise InvalidSettingError("an index is its name, or an N1qlIndex", objextra=given)
    return N1qlIndex(str.__str__(given))


def _old(index: QueryIndex) -> N1qlIndex:
    return N1qlIndex(
        index.name,
        index.keyspace,
        fields=index.index_key,
        condition=index.condition or "",
        primary=index.is_primary,
        type=index.type,
        state=index.state,
    )


def _all(bucket: str, *, everywhere: bool) -> Steps[list[QueryIndex]]:
    if not everywhere:
        return (yield from all_of(Keyspace(bucket)))
    rows: list[Any] = yield from ask(listing("true"), reads=True)
    return [index_of(row) for row in rows if isinstance(row, dict)]


def _listed(bucket: str, *, everywhere: bool) -> Steps[list[N1qlIndex]]:
    return [_old(each) for each in (yield from _all(bucket, everywhere=everywhere))]


def _built(bucket: str, *, everywhere: bool) -> Steps[list[N1qlIndex]]:
    buckets = [bucket]
    if everywhere:
        found = yield from _all(bucket, everywhere=True)
        buckets = list(dict.fromkeys(each.bucket_name for each in found))
    built: list[N1qlIndex] = []
    for each in buckets:
        built += map(_old, (yield from build(Keyspace(each))))
    return built


def _watched(where: Keyspace, names: list[str], interval: float) -> Steps[list[N1qlIndex]]:
    return [_old(each) for each in (yield from watch(lambda: all_of(where), names, interval, None))]
