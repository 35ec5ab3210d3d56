"""What plain threads manage a cluster with: managers of the handles of `threadsafe()`.

A call of theirs crosses to the loop as an operation does, and is carried out there by the cluster's
session, which the loop looks for: a thread knows neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from couchloop.client.managers import ManagerBase
from couchloop.client.thread_management_methods import (
    AdminMethods,
    AnalyticsIndexManagerMethods,
    BucketManagerMethods,
    CollectionManagerMethods,
    CollectionQueryIndexManagerMethods,
    DesignMethods,
    EventingFunctionManagerMethods,
    N1qlIndexMethods,
    QueryIndexManagerMethods,
    SearchIndexManagerMethods,
    UserManagerMethods,
    ViewIndexManagerMethods,
)
from couchloop.client.thread_methods import HttpMethods, ManifestMethods

if TYPE_CHECKING:
    from couchloop.client.bucket import BucketBase
    from couchloop.client.crossing import Crossing
    from couchloop.client.driver import Driver
    from couchloop.client.services import ClusterServices

__all__ = [
    "OfBucket",
    "OfCluster",
    "ThreadSafeAdmin",
    "ThreadSafeAnalyticsIndexManager",
    "ThreadSafeBucketManager",
    "ThreadSafeCollectionManager",
    "ThreadSafeCollectionQueryIndexManager",
    "ThreadSafeDesignManager",
    "ThreadSafeEventingFunctionManager",
    "ThreadSafeQueryIndexManager",
    "ThreadSafeSearchIndexManager",
    "ThreadSafeUserManager",
    "ThreadSafeViewIndexManager",
]

Cross = Callable[[Any], "Crossing"]


class OfBucket(ManagerBase):
    """A Bucket, as far as threads ask its cluster's services: it holds it.

    Args:
        owner: the Bucket.
        defaults: what the calls use.
    """

    __slots__ = ()

    @property
    def _driver(self) -> Driver:
        """The driver of the loop on which services are asked: the Bucket's own is there, too."""
        bucket: Any = self._owner
        driver: Driver = bucket._driver  # noqa: SLF001 - ours
        return driver


class OfCluster(ManagerBase):
    """A Cluster on the loop that runs here: it holds it, and what it asks its services through."""

    __slots__ = ("_services",)

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._services = super()._ask_services()

    def _ask_services(self) -> ClusterServices:
        # They are others once the Cluster logs in as somebody else.
        self._services = super()._ask_services()
        return self._services

    @property
    def _driver(self) -> Driver:
        """The driver of the loop."""
        return self._services._driver  # noqa: SLF001 - ours


class _ThreadSafeManager:
    """A manager for any number of plain threads.

    Args:
        target: whose services are asked.
        cross: gives the way to the loop of a driver.
    """

    __slots__ = ("_cross", "_target")

    def __init__(self, target: Any, cross: Cross) -> None:
        self._target: Any = target
        self._cross = cross

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target._owner!r}>"  # noqa: SLF001 - ours


class ThreadSafeBucketManager(BucketManagerMethods, _ThreadSafeManager):
    """The buckets of a cluster, for plain threads."""

    __slots__ = ()


class ThreadSafeUserManager(UserManagerMethods, _ThreadSafeManager):
    """The users, groups and roles of a cluster, for plain threads."""

    __slots__ = ()


class ThreadSafeAdmin(HttpMethods, AdminMethods, _ThreadSafeManager):
    """What SDK 2.5 has for buckets and users, for plain threads."""

    __slots__ = ()

    # Other names that SDK 2.5 has for the same.
    get_user = AdminMethods.user_get
    get_users = AdminMethods.users_get
    upsert_user = AdminMethods.user_upsert
    remove_user = AdminMethods.user_remove


class ThreadSafeViewIndexManager(ViewIndexManagerMethods, _ThreadSafeManager):
    """The design documents of a bucket, for plain threads."""

    __slots__ = ()


class ThreadSafeDesignManager(N1qlIndexMethods, DesignMethods, _ThreadSafeManager):
    """What SDK 2.5 has for design documents and indexes for queries, for plain threads."""

    __slots__ = ()

    # Other names that SDK 2.5 has for the same.
    create_n1ql_index = N1qlIndexMethods.n1ql_index_create
    create_n1ql_primary_index = N1qlIndexMethods.n1ql_index_create_primary
    drop_n1ql_index = N1qlIndexMethods.n1ql_index_drop
    drop_n1ql_primary_index = N1qlIndexMethods.n1ql_index_drop_primary
    list_n1ql_indexes = N1qlIndexMethods.n1ql_index_list
    build_n1ql_deferred_indexes = N1qlIndexMethods.n1ql_index_build_deferred
    watch_n1ql_indexes = N1qlIndexMethods.n1ql_index_watch


class ThreadSafeQueryIndexManager(QueryIndexManagerMethods, _ThreadSafeManager):
    """The indexes for queries that a cluster has, for plain threads."""

    __slots__ = ()


class ThreadSafeCollectionQueryIndexManager(CollectionQueryIndexManagerMethods, _ThreadSafeManager):
    """The indexes for queries that a collection has, for plain threads."""

    __slots__ = ()


class ThreadSafeAnalyticsIndexManager(AnalyticsIndexManagerMethods, _ThreadSafeManager):
    """What the analytics service of a cluster has, for plain threads."""

    __slots__ = ()


class ThreadSafeSearchIndexManager(SearchIndexManagerMethods, _ThreadSafeManager):
    """The search indexes of a cluster, or of a scope, for plain threads."""

    __slots__ = ()


class ThreadSafeEventingFunctionManager(EventingFunctionManagerMethods, _ThreadSafeManager):
    """The eventing functions of a cluster, or of a scope, for plain threads."""

    __slots__ = ()


class ThreadSafeCollectionManager(ManifestMethods, CollectionManagerMethods):
    """The scopes and collections that a bucket has, for plain threads.

    Args:
        bucket: whose they are: its nodes tell of them.
        cross: gives the way to the loop of a driver.
        target: who makes and drops them.
        ask: gives the way to the loop for what is asked of services.
    """

    __slots__ = ("_cross", "_services_cross", "_services_target", "_target")

    def __init__(self, bucket: BucketBase, cross: Cross, target: OfBucket, ask: Cross) -> None:
        self._target: Any = bucket
        self._cross = cross
        self._services_target: Any = target
        self._services_cross = ask

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"
