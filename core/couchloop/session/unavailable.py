"""What servers without vbuckets cannot do: refused before anything is sent.

These are plain memcached servers, and buckets of type memcached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from couchloop.exceptions import FeatureNotAvailableError
from couchloop.hot.operation import Operation
from couchloop.operations.copies import OfOneCopy
from couchloop.operations.stats import KeyStats
from couchloop.operations.watching import Copies
from couchloop.wire import Opcode
from couchloop.wire.framing import decode_framing

_PLAIN: Final = frozenset(
    {
        Opcode.GET,
        Opcode.SET,
        Opcode.ADD,
        Opcode.REPLACE,
        Opcode.DELETE,
        Opcode.INCREMENT,
        Opcode.DECREMENT,
        Opcode.APPEND,
        Opcode.PREPEND,
        Opcode.STAT,
        Opcode.TOUCH,
        Opcode.GAT,
    }
)
"""All of ours that a plain server knows."""
_NOT_IN_BUCKETS: Final = frozenset(
    {
        Opcode.GET_REPLICA,
        Opcode.GET_META,
        Opcode.OBSERVE,
        Opcode.OBSERVE_SEQNO,
        Opcode.GET_RANDOM_KEY,
        Opcode.RANGE_SCAN_CREATE,
        Opcode.COLLECTIONS_GET_MANIFEST,
    }
)
"""What of ours a bucket of type memcached does not know."""
_LACKS: Final[Mapping[int, str]] = {
    Opcode.GET_REPLICA: "replicas",
    Opcode.GET_META: "metadata, which exists() asks for (get(key, quiet=True) tells it too)",
    Opcode.OBSERVE: "copies and disks that could be observed",
    Opcode.OBSERVE_SEQNO: "copies and disks that could be observed",
    Opcode.GET_LOCKED: "locks (a CAS keeps changes of others, too)",
    Opcode.UNLOCK_KEY: "locks (a CAS keeps changes of others, too)",
    Opcode.COLLECTIONS_GET_MANIFEST: "scopes and collections",
    Opcode.RANGE_SCAN_CREATE: "scans",
    Opcode.GET_RANDOM_KEY: "scans",
}
_SUBDOCUMENT: Final = "parts of documents (sub-document operations, and what is built on them)"
_DURABILITY: Final = 1
"""The id of its framing extra."""


def unavailable(op: Operation[Any], *, is_plain: bool) -> FeatureNotAvailableError | None:
    """Return why servers without vbuckets cannot do *op*; None: they can.

    Args:
        op: a request of the user's.
        is_plain: whether it is for plain servers; else it is for a bucket of type memcached.
    """
    lacks = _lack(op, is_plain=is_plain)
    if lacks is None:
        return None
    who = "plain memcached servers have" if is_plain else "a bucket of type memcached has"
    return FeatureNotAvailableError(
        f"{who} no {lacks}: nothing was sent; that takes a bucket of type couchbase or ephemeral"
    )


def _lack(op: Operation[Any], *, is_plain: bool) -> str | None:
    if isinstance(op, Copies):
        # It is what a change with persist_to or replicate_to begins with, and endure().
        return "durability"
    if op.opcode < 0:
        # It is never sent.
        return None
    if op.prefix:
        return "named collections (there is bucket.default_collection())"
    if isinstance(op, KeyStats):
        return "statistics of documents"
    if isinstance(op, OfOneCopy) and op.opcode not in _LACKS:
        # Whoever asks for any copy, or all of them, asks for replicas: the active one included.
        return _LACKS[Opcode.GET_REPLICA]
    is_known = op.opcode in _PLAIN if is_plain else op.opcode not in _NOT_IN_BUCKETS
    if not is_known:
        return _LACKS.get(op.opcode, _SUBDOCUMENT)
    if op.framing and (is_plain or _is_durable(op.framing)):
        return "durability" if _is_durable(op.framing) else "way to keep expiry (preserve_expiry)"
    return None


def _is_durable(framing: bytes) -> bool:
    return any(number == _DURABILITY for number, _ in decode_framing(framing))
