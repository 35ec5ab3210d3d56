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
from couchloop.embedded.core.connection import ServerConnection
from couchloop.embedded.storage.document import Clock, ManualClock, State
from couchloop.embedded.topology.cluster import (
    Bucket,
    BucketSettings,
    EmbeddedCluster,
    Injection,
    Node,
    NodeState,
)

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
