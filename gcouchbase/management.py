"""Managers of buckets, users, scopes and collections: each call blocks its greenlet alone."""

from __future__ import annotations

from typing import Any

from couchloop.client.collections import CollectionManagerBase
from couchloop.client.managers import ManagerBase
from gcouchbase.driver import GeventDriver
from gcouchbase.management_methods import (
    AdminMethods,
    BucketManagerMethods,
    CollectionManagerMethods,
    UserManagerMethods,
)
from gcouchbase.methods import HttpMethods, ManifestMethods
from gcouchbase.services import ServicesDriver

__all__ = ["Admin", "BucketManager", "CollectionManager", "UserManager"]

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


class CollectionManager(ManifestMethods, CollectionManagerMethods, CollectionManagerBase):
    """The scopes and collections that a bucket has: `bucket.collections()`."""

    __slots__ = ()
    _driver: GeventDriver
    _services_driver = _services
