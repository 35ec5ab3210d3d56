"""A program for Twisted, for type checkers that see the installed package: nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from twisted.internet.defer import Deferred

from couchloop.result import MultiResult, OperationResult, ValueResult
from txcouchbase.cluster import Cluster, PasswordAuthenticator


@dataclass
class User:
    """A document."""

    name: str


async def main(reactor: Any) -> str:
    """Use what most programs use."""
    cluster = Cluster("couchbase://localhost", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    assert_type(bucket.upsert("key", {"n": 1}, ttl=60), Deferred[OperationResult])
    assert_type(await bucket.get_multi(["key"]), MultiResult[ValueResult])
    found = await bucket.collection("inventory").get("key", type=User)
    bucket.upsert("key", {"n": 1}, tll=60)  # type: ignore[call-arg]
    return assert_type(found.value, User).name
