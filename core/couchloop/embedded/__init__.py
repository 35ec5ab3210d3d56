"""An in-memory Couchbase cluster: the other side of the wire, for tests, demonstrations and faults.

It holds no socket and no thread; see :class:`EmbeddedCluster` for how it is served.
"""

from couchloop.embedded.access.users import (
    ADMIN,
    DATA_READER,
    DATA_WRITER,
    FULL_ACCESS,
    Grant,
    User,
    administrator,
)
from couchloop.embedded.clock import Clock, ManualClock
from couchloop.embedded.cluster import EmbeddedCluster
from couchloop.embedded.storage.bucket import Bucket, BucketSettings
from couchloop.embedded.storage.vbucket import State
from couchloop.embedded.topology.connections import Connection, ServerConnection
from couchloop.embedded.topology.faults import HttpInjection, Injection
from couchloop.embedded.topology.node import Node, NodeState

__all__ = [
    "ADMIN",
    "DATA_READER",
    "DATA_WRITER",
    "FULL_ACCESS",
    "Bucket",
    "BucketSettings",
    "Clock",
    "Connection",
    "EmbeddedCluster",
    "Grant",
    "HttpInjection",
    "Injection",
    "ManualClock",
    "Node",
    "NodeState",
    "ServerConnection",
    "State",
    "User",
    "administrator",
]
