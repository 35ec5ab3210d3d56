"""What a status of the server means for an operation: retry (why), reroute, reconnect, fail."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from couchloop.kv.handshake import ErrorMap
from couchloop.retries import RetryReason
from couchloop.wire import Status


class Action(Enum):
    """What to do with an operation that was answered with an error."""

    FAIL = auto()
    RETRY = auto()
    """Later, on the node that owns the key then."""
    RETRY_NOW = auto()
    """Likewise, but the first time without a pause."""
    REROUTE = auto()
    """Not my vbucket: at once if a newer config came with the answer."""
    RECONNECT = auto()
    """The connection's state is gone: replace it, then send again."""


class Verdict(NamedTuple):
    """An action, and why; all actions but FAIL are up to the strategy."""

    action: Action
    reason: RetryReason = RetryReason.UNKNOWN


_FAIL: Final = Verdict(Action.FAIL)
_TEMPORARY: Final = Verdict(Action.RETRY, RetryReason.KV_TEMPORARY_FAILURE)

_VERDICTS: Final[Mapping[int, Verdict]] = {
    Status.NOT_MY_VBUCKET: Verdict(Action.REROUTE, RetryReason.KV_NOT_MY_VBUCKET),
    Status.CONFIG_ONLY: Verdict(Action.RETRY, RetryReason.KV_NOT_MY_VBUCKET),
    Status.UNKNOWN_COLLECTION: Verdict(Action.RETRY, RetryReason.KV_COLLECTION_OUTDATED),
    Status.NO_BUCKET: Verdict(Action.RECONNECT, RetryReason.SOCKET_NOT_AVAILABLE),
    Status.AUTH_STALE: Verdict(Action.RECONNECT, RetryReason.SOCKET_NOT_AVAILABLE),
    Status.NOT_INITIALIZED: Verdict(Action.RECONNECT, RetryReason.NODE_NOT_AVAILABLE),
    Status.LOCKED: Verdict(Action.RETRY, RetryReason.KV_LOCKED),
    Status.WOULD_THROTTLE: _TEMPORARY,
    Status.ENOMEM: _TEMPORARY,
    Status.EBUSY: _TEMPORARY,
    Status.ETMPFAIL: _TEMPORARY,
    Status.CANCELLED: _TEMPORARY,
    Status.SYNC_WRITE_IN_PROGRESS: Verdict(Action.RETRY, RetryReason.KV_SYNC_WRITE_IN_PROGRESS),
    Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS: Verdict(
        Action.RETRY, RetryReason.KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS
    ),
}

_KNOWN: Final = frozenset(int(status) for status in Status)
_INDICATED: Final = RetryReason.KV_ERROR_MAP_RETRY_INDICATED


def verdict(status: int, error_map: ErrorMap) -> Verdict:
    """Judge *status*; the error map counts only for codes that we do not know ourselves."""
    if status in _KNOWN:
        return _VERDICTS.get(status, _FAIL)
    entry = error_map.get(status)
    if entry is None:
        return _FAIL
    attributes = entry.attributes
    if "conn-state-invalidated" in attributes:
        return Verdict(Action.RECONNECT, _INDICATED)
    if "no-retry" in attributes:
        return _FAIL
    if "retry-now" in attributes:
        return Verdict(Action.RETRY_NOW, _INDICATED)
    if attributes & {"retry-later", "auto-retry"}:
        return Verdict(Action.RETRY, _INDICATED)
    if "item-locked" in attributes:
        return Verdict(Action.RETRY, RetryReason.KV_LOCKED)
    return _FAIL
