"""What a server's refusal means for the operation: fail, or try again, where and when.

The rules are those of RFC 0049, with the decisions of docs/architecture.md: a locked document
fails at once, a temporary failure is tried again until the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from couchloop.kv.handshake import ErrorMap
from couchloop.wire import Status


class Action(Enum):
    """What to do with an operation that was answered with an error."""

    FAIL = auto()
    RETRY = auto()
    """Later, on the node that owns the key then."""
    REROUTE = auto()
    """Not my vbucket: at once if a newer config came with the answer."""
    RECONNECT = auto()
    """The connection's state is gone: replace it, then send again."""


class Verdict(NamedTuple):
    """An action, and the reason that goes into the error's context."""

    action: Action
    reason: str = ""


_FAIL: Final = Verdict(Action.FAIL)
_TEMPORARY: Final = Verdict(Action.RETRY, "KV_TEMPORARY_FAILURE")

_VERDICTS: Final[Mapping[int, Verdict]] = {
    Status.NOT_MY_VBUCKET: Verdict(Action.REROUTE, "KV_NOT_MY_VBUCKET"),
    Status.CONFIG_ONLY: Verdict(Action.RETRY, "KV_NOT_MY_VBUCKET"),
    Status.NO_BUCKET: Verdict(Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
    Status.AUTH_STALE: Verdict(Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
    Status.NOT_INITIALIZED: Verdict(Action.RECONNECT, "NODE_NOT_AVAILABLE"),
    Status.WOULD_THROTTLE: _TEMPORARY,
    Status.ENOMEM: _TEMPORARY,
    Status.EBUSY: _TEMPORARY,
    Status.ETMPFAIL: _TEMPORARY,
    Status.CANCELLED: _TEMPORARY,
    Status.SYNC_WRITE_IN_PROGRESS: Verdict(Action.RETRY, "KV_SYNC_WRITE_IN_PROGRESS"),
    Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS: Verdict(
        Action.RETRY, "KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS"
    ),
}

_KNOWN: Final = frozenset(int(status) for status in Status)


def verdict(status: int, error_map: ErrorMap) -> Verdict:
    """Judge *status*; the error map counts only for codes that we do not know ourselves."""
    if status in _KNOWN:
        return _VERDICTS.get(status, _FAIL)
    entry = error_map.get(status)
    if entry is None:
        return _FAIL
    if "conn-state-invalidated" in entry.attributes:
        return Verdict(Action.RECONNECT, "KV_ERROR_MAP_RETRY_INDICATED")
    if entry.attributes & {"retry-now", "retry-later", "auto-retry"}:
        return Verdict(Action.RETRY, "KV_ERROR_MAP_RETRY_INDICATED")
    return _FAIL


_FIRST_DELAY: Final = 0.001
_LONGEST_DELAY: Final = 0.5
REROUTE_DELAY: Final = 0.1
"""Seconds before a not-my-vbucket without a newer config is tried again (RFC 0005)."""


def backoff(attempts: int) -> float:
    """Seconds to wait before the try that follows *attempts* (from 1) of them: 1 ms to 500 ms."""
    return min(_FIRST_DELAY * 2.0 ** min(attempts - 1, 16), _LONGEST_DELAY)
