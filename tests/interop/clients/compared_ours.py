"""Our client making the calls of compared.py, on gevent.

python compared_ours.py CONNECTION_STRING FILE
"""

from __future__ import annotations

import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import compared

from couchloop.durability import DurabilityLevel
from couchloop.management import buckets, design_documents, eventing_values, search_indexes, users
from gcouchbase.cluster import Cluster, PasswordAuthenticator


def create_collection(manager: Any, scope: str, name: str, max_expiry: timedelta) -> None:
    """Make a collection."""
    manager.create_collection(scope, name, max_expiry=max_expiry)


def update_collection(manager: Any, scope: str, name: str, max_expiry: timedelta) -> None:
    """Change one."""
    manager.update_collection(scope, name, max_expiry=max_expiry)


NAMES = SimpleNamespace(
    **vars(buckets)
    | vars(users)
    | vars(design_documents)
    | vars(search_indexes)
    | vars(eventing_values)
)
NAMES.CreateBucketSettings = buckets.BucketSettings
NAMES.Durability = DurabilityLevel
NAMES.DEVELOPMENT = design_documents.DesignDocumentNamespace.DEVELOPMENT
NAMES.PRODUCTION = design_documents.DesignDocumentNamespace.PRODUCTION
NAMES.create_collection = create_collection
NAMES.update_collection = update_collection
NAMES.function_settings = eventing_values.EventingFunctionSettings


class Compared:
    """Our Cluster, whose Bucket is opened as the SDK's is."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._bucket = cluster.open_bucket("default")

    def bucket(self, _: str) -> Any:
        """Return its Bucket."""
        return self._bucket

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)


def main(connection_string: str, file: str) -> None:
    """Make the calls."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("admin", "password"))
    compared.run(file, NAMES, Compared(cluster))


if __name__ == "__main__":
    main(*sys.argv[1:])
