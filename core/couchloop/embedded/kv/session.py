"""Operations that belong to the connection, not to a document.

The choice of a bucket, the cluster map when it is asked for, the error map, and small talk.
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.not_my_vbucket import configuration_answer
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.error_map import NEWEST, error_map
from couchloop.wire.constants import Status

VERSION: Final = b"7.6.7-0000"
"""What this server says it is: the one whose behaviour it follows."""

_NO_BUCKET_NAME: Final = b"@no bucket@"
_NEVER: Final = -1


def select_bucket(request: Request) -> Answer:
    """SELECT_BUCKET (0x89)."""
    connection, name = request.connection, request.frame.key
    if name == _NO_BUCKET_NAME:
        connection.bucket = None
        return Answer()
    text = name.decode("utf-8", "replace")
    bucket = request.cluster.buckets.get(text)
    user = connection.user
    if not name or (bucket is None and user is not None and user.sees_all_buckets()):
        raise Refusal(Status.KEY_ENOENT)
    if bucket is not None and bucket.paused:
        raise Refusal(Status.KEY_ENOENT)
    if bucket is None or user is None or not user.sees(text):
        raise Refusal(Status.EACCESS)
    limit = request.node.max_bucket_connections
    if limit is not None and connection.bucket is not bucket:
        others = request.cluster.connections(request.node, text)
        if len(others) >= limit:
            raise Refusal(Status.RATE_LIMITED_MAX_CONNECTIONS)
    connection.bucket = bucket
    return Answer()


def list_buckets(request: Request) -> Answer:
    """LIST_BUCKETS (0x87): those that the user may select."""
    user = request.connection.user
    names = [name for name in request.cluster.buckets if user is not None and user.sees(name)]
    return Answer(value=" ".join(names).encode())


def get_error_map(request: Request) -> Answer:
    """GET_ERROR_MAP (0xfe): the newest version that is not newer than the one asked for."""
    version = min(int.from_bytes(request.frame.value), NEWEST)
    if not version:
        raise Refusal(Status.KEY_ENOENT)
    return Answer(value=error_map(version), datatype=request.json_datatype())


def get_cluster_config(request: Request) -> Answer:
    """GET_CLUSTER_CONFIG (0xb5): the bucket's, or the global one where none is selected."""
    connection = request.connection
    if connection.bucket is None:
        request.require("SystemSettings", here=False)
    name = connection.bucket.name if connection.bucket else None
    configuration = request.node.configurations.get(name)
    if configuration is None:
        raise Refusal(Status.KEY_ENOENT)
    if configuration.memcached:
        # The engine of such buckets has never known this; nor does the cluster manager tell it.
        raise Refusal(Status.NOT_SUPPORTED)
    extras = request.frame.extras
    if extras:
        epoch = int.from_bytes(extras[:8], signed=True)
        rev = int.from_bytes(extras[8:], signed=True)
        if not configuration.newer_than(epoch, rev):
            return Answer()
    answer = configuration_answer(request.node, connection)
    if answer is None:
        raise Refusal(Status.KEY_ENOENT)
    return answer


def check_cluster_config(request: Request) -> None:
    """Check the revision that a client says it has."""
    extras = request.frame.extras
    if not extras:
        return
    if len(extras) != 16:
        raise invalid("Request must include extras of length 16")
    epoch = int.from_bytes(extras[:8], signed=True)
    if int.from_bytes(extras[8:], signed=True) < 1 or (epoch < 1 and epoch != _NEVER):
        raise invalid("Revision number must not be less than 1")


def noop(_: Request) -> Answer:
    """NOOP (0x0a)."""
    return Answer()


def version(_: Request) -> Answer:
    """VERSION (0x0b)."""
    return Answer(value=VERSION)


def leave(request: Request) -> Answer:
    """QUIT (0x07) and QUITQ (0x17): close, after an answer or without one."""
    request.connection.closing = True
    return Answer()
