"""cluster.connection_budget() on a reactor; what it says is in tests/conformance."""

from __future__ import annotations

import pytest
from twisted.internet.threads import deferToThread

from couchloop.exceptions import WrongLoopError
from txcouchbase.cluster import Cluster, PasswordAuthenticator


async def test_other_thread() -> None:
    """Like a Bucket it belongs to the thread of the reactor."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    cluster = Cluster("couchbase://127.0.0.1:1", reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    with pytest.raises(WrongLoopError):
        await deferToThread(cluster.connection_budget)
