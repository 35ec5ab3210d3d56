"""What `serve` listens for on a hub: sockets that answer at once; all else: tests/conformance."""

from __future__ import annotations

import gc

from gevent import socket

from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster


def test_answers_do_not_wait_for_one_another(served: ServedCluster, bucket: Bucket) -> None:
    """Accepted sockets have TCP_NODELAY, as a real server's: an answer does not wait for an ACK."""
    assert bucket.upsert("key", 1).success
    ports = {node.ports["kv"] for node in served.cluster.nodes}
    accepted = [
        each
        for each in gc.get_objects()
        if isinstance(each, socket.socket)
        and each.fileno() >= 0
        and each.getsockname()[1] in ports
        and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ]
    assert len(accepted) == 3
    assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in accepted)
