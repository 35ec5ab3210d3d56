"""An in-memory Couchbase cluster: the other side of the wire, for tests, demonstrations and faults.

It holds no socket and no thread; see :class:`EmbeddedCluster` for how it is served.
"""

from couchloop.embedded.auth import (
    ADMIN,
    DATA_READER,
    DATA_WRITER,
    FULL_ACCESS,
    Grant,
    User,
    administrator,
)
from couchloop.embedded.cluster import (
    Bucket,
    BucketSettings,
    EmbeddedCluster,
    Injection,
    Node,
    NodeState,
)
from couchloop.embedded.server import ServerConnection
from couchloop.embedded.store import Clock, ManualClock, State

__all__ = [
    "ADMIN",
    "DATA_READER",
    "DATA_WRITER",
    "FULL_ACCESS",
    "Bucket",
    "BucketSettings",
    "Clock",
    "EmbeddedCluster",
    "Grant",
    "Injection",
    "ManualClock",
    "Node",
    "NodeState",
    "ServerConnection",
    "State",
    "User",
    "administrator",
]
