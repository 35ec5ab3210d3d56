"""Managers of buckets, users, scopes and collections: their methods return Deferreds."""

from __future__ import annotations

from typing import Any

from couchloop.client.collections import CollectionManagerBase
from couchloop.client.managers import ManagerBase
from couchloop.management.buckets import BucketInfo
from txcouchbase.driver import TwistedDriver
from txcouchbase.management_methods import (
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
from txcouchbase.methods import HttpMethods, ManifestMethods
from txcouchbase.services import ServicesDriver

__all__ = [
    "Admin",
    "AnalyticsIndexManager",
    "BucketManager",
    "CollectionManager",
    "CollectionQueryIndexManager",
    "DesignManager",
    "EventingFunctionManager",
    "QueryIndexManager",
    "SearchIndexManager",
    "UserManager",
    "ViewIndexManager",
]

_services: Any = ServicesDriver()


class BucketManager(BucketManagerMethods, ManagerBase):
    """The buckets of a cluster: `cluster.buckets()`."""

    __slots__ = ()
    _driver = _services


class UserManager(UserManagerMethods, ManagerBase):
    """The users, groups and roles of a cluster: `cluster.users()`."""

    __slots__ = ()
    _driver = _services


class Admin(HttpMethods, AdminMethods, ManagerBase):
    """What SDK 2.5 has for buckets and users: `cluster.cluster_manager()`."""

    __slots__ = ()
    _driver = _services

    # Other names that SDK 2.5 has for the same, and where it has the descriptions of buckets.
    get_user = AdminMethods.user_get
    get_users = AdminMethods.users_get
    upsert_user = AdminMethods.user_upsert
    remove_user = AdminMethods.user_remove
    BucketInfo = BucketInfo


class CollectionManager(ManifestMethods, CollectionManagerMethods, CollectionManagerBase):
    """The scopes and collections that a bucket has: `bucket.collections()`."""

    __slots__ = ()
    _driver: TwistedDriver
    _services_driver = _services


class ViewIndexManager(ViewIndexManagerMethods, ManagerBase):
    """The design documents of a bucket: `bucket.view_indexes()`."""

    __slots__ = ()
    _driver = _services


class DesignManager(N1qlIndexMethods, DesignMethods, ManagerBase):
    """What SDK 2.5 has for design documents, and indexes for queries: `bucket.bucket_manager()`."""

    __slots__ = ()
    _driver = _services

    # Other names that SDK 2.5 has for the same.
    create_n1ql_index = N1qlIndexMethods.n1ql_index_create
    create_n1ql_primary_index = N1qlIndexMethods.n1ql_index_create_primary
    drop_n1ql_index = N1qlIndexMethods.n1ql_index_drop
    drop_n1ql_primary_index = N1qlIndexMethods.n1ql_index_drop_primary
    list_n1ql_indexes = N1qlIndexMethods.n1ql_index_list
    build_n1ql_deferred_indexes = N1qlIndexMethods.n1ql_index_build_deferred
    watch_n1ql_indexes = N1qlIndexMethods.n1ql_index_watch


class QueryIndexManager(QueryIndexManagerMethods, ManagerBase):
    """The indexes for queries that a cluster has: `cluster.query_indexes()`."""

    __slots__ = ()
    _driver = _services


class CollectionQueryIndexManager(CollectionQueryIndexManagerMethods, ManagerBase):
    """The indexes for queries that a collection has: `collection.query_indexes()`."""

    __slots__ = ()
    _driver = _services


class AnalyticsIndexManager(AnalyticsIndexManagerMethods, ManagerBase):
    """What the analytics service of a cluster has: `cluster.analytics_indexes()`."""

    __slots__ = ()
    _driver = _services


class SearchIndexManager(SearchIndexManagerMethods, ManagerBase):
    """The search indexes of a cluster, or of a scope: `search_indexes()` of either."""

    __slots__ = ()
    _driver = _services


class EventingFunctionManager(EventingFunctionManagerMethods, ManagerBase):
    """The eventing functions of a cluster, or of a scope: `eventing_functions()` of either."""

    __slots__ = ()
    _driver = _services
