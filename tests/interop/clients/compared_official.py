"""The official Python SDK making the calls of compared.py.

python compared_official.py CONNECTION_STRING FILE
"""

from __future__ import annotations

import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import compared
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.durability import Durability
from couchbase.management import buckets, eventing, search, users, views
from couchbase.management.collections import CreateCollectionSettings, UpdateCollectionSettings
from couchbase.options import ClusterOptions


def create_collection(manager: Any, scope: str, name: str, max_expiry: timedelta) -> None:
    """Make a collection."""
    manager.create_collection(scope, name, CreateCollectionSettings(max_expiry=max_expiry))


def update_collection(manager: Any, scope: str, name: str, max_expiry: timedelta) -> None:
    """Change one."""
    manager.update_collection(scope, name, UpdateCollectionSettings(max_expiry=max_expiry))


NAMES = SimpleNamespace(
    **vars(buckets) | vars(users) | vars(views) | vars(search) | vars(eventing),
)
NAMES.Durability = Durability
NAMES.DEVELOPMENT = views.DesignDocumentNamespace.DEVELOPMENT
NAMES.PRODUCTION = views.DesignDocumentNamespace.PRODUCTION
NAMES.create_collection = create_collection
NAMES.update_collection = update_collection
NAMES.function_settings = eventing.EventingFunctionSettings.new_settings


def main(connection_string: str, file: str) -> None:
    """Make the calls."""
    options = ClusterOptions(PasswordAuthenticator("admin", "password"))
    cluster = Cluster(connection_string, options)
    cluster.wait_until_ready(timedelta(seconds=20))
    # Some calls need what a bucket's configuration tells.
    cluster.bucket("default")
    compared.run(file, NAMES, cluster)
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
