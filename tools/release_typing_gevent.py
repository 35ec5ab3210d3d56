"""A program for gevent, for type checkers that see the installed package: nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from couchloop.result import MultiResult, OperationResult, ValueResult
from gcouchbase.cluster import Cluster, PasswordAuthenticator


@dataclass
class User:
    """A document."""

    name: str


def main() -> str:
    """Use what most programs use."""
    cluster = Cluster("couchbase://localhost")
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        assert_type(bucket.upsert("key", {"n": 1}, ttl=60), OperationResult)
        assert_type(bucket.get_multi(["key"]), MultiResult[ValueResult])
        found = bucket.collection("inventory").get("key", type=User)
        bucket.upsert("key", {"n": 1}, tll=60)  # type: ignore[call-arg]
        return assert_type(found.value, User).name
