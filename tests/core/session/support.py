"""Worlds whose bucket is open, and what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    CouchbaseError,
)
from couchloop.hot.frames import Frame
from couchloop.retries import RetryReason, RetryRequest
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from tests.core.world import FIRST_PORT, World

FIRST, SECOND, THIRD = (Address("127.0.0.1", FIRST_PORT + number) for number in range(3))
TWO_SECONDS = 2.0


def opened(cluster: EmbeddedCluster | None = None, **settings: Any) -> World:
    """Return a world whose bucket is open on all nodes."""
    world = World(cluster, **settings)
    world.open()
    return world


def error_of(op: Any) -> CouchbaseError:
    """Return the error that *op* completed with."""
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    return caught.value


def node_at(world: World, address: Address) -> Any:
    """Return the embedded node that is served at *address*."""
    return world.nodes[address]


def state(world: World) -> SessionState:
    """Return the session's state as of now (a type checker takes it for constant)."""
    return world.session.state


def completed(world: World) -> list[Any]:
    """Return what was completed, in order."""
    return list(world.delivered)


def push(text: bytes, bucket: bytes = b"default") -> bytes:
    """Return the request by which a node tells the configuration *text* unasked."""
    return Frame(0x82, 1, 1, 0, 0, 0, b"", bytes(16), bucket, text).encode()


def without_last_node(w: World) -> bytes:
    """Return a newer configuration in which the first two of three nodes share everything."""
    document = json.loads(w.cluster.nodes[0].configurations["default"].text(0))
    document["rev"] += 1
    del document["nodes"][2], document["nodesExt"][2]
    server_map = document["vBucketServerMap"]
    server_map["vBucketMap"] = [[n % 2, (n + 1) % 2] for n in range(1024)]
    server_map.pop("serverList")
    return json.dumps(document).encode()


def context_of(error: BaseException | None) -> Any:
    """Return the context of *error*; there must be one."""
    assert isinstance(error, CouchbaseError)
    assert error.context is not None
    return error.context


class Scripted:
    """A strategy that answers as a test wants, and remembers what it was asked.

    Args:
        answer: given the reason, gives what `retry_after` gives.
    """

    def __init__(self, answer: Callable[[RetryReason], Any] = lambda _: 0.001) -> None:
        self.asked: list[tuple[RetryRequest, RetryReason]] = []
        self._answer = answer

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> Any:
        """Remember, and answer."""
        self.asked.append((request, reason))
        return self._answer(reason)
