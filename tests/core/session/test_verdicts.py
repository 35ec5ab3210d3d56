"""What a status of the server means, known or told by its error map."""

from __future__ import annotations

import pytest

from couchloop.kv.handshake import ErrorMapEntry
from couchloop.session.verdicts import Action, verdict
from couchloop.wire import Status

UNKNOWN_STATUS = 0x7E


class TestVerdicts:
    """What a status means."""

    @pytest.mark.parametrize(
        ("status", "action", "reason"),
        [
            (Status.NOT_MY_VBUCKET, Action.REROUTE, "KV_NOT_MY_VBUCKET"),
            (Status.CONFIG_ONLY, Action.RETRY, "KV_NOT_MY_VBUCKET"),
            (Status.UNKNOWN_COLLECTION, Action.RETRY, "KV_COLLECTION_OUTDATED"),
            (Status.LOCKED, Action.RETRY, "KV_LOCKED"),
            (Status.ETMPFAIL, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.EBUSY, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.ENOMEM, Action.RETRY, "KV_TEMPORARY_FAILURE"),
            (Status.SYNC_WRITE_IN_PROGRESS, Action.RETRY, "KV_SYNC_WRITE_IN_PROGRESS"),
            (
                Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS,
                Action.RETRY,
                "KV_SYNC_WRITE_RE_COMMIT_IN_PROGRESS",
            ),
            (Status.AUTH_STALE, Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
            (Status.NO_BUCKET, Action.RECONNECT, "SOCKET_NOT_AVAILABLE"),
        ],
    )
    def test_known(self, status: int, action: Action, reason: str) -> None:
        """The table of RFC 0049, which a server's error map cannot overrule."""
        overruling = {int(status): ErrorMapEntry("X", "", frozenset({"no-retry", "item-only"}))}
        assert verdict(status, {}) == verdict(status, overruling) == (action, reason)

    @pytest.mark.parametrize(
        "status",
        [
            *range(0x30, 0x39),
            Status.KEY_ENOENT,
            Status.SYNC_WRITE_AMBIGUOUS,
            Status.EACCESS,
            0xFFFF,
        ],
    )
    def test_final(self, status: int) -> None:
        """Rate limits, quotas, refusals and unknown numbers are not tried again."""
        advice = {status: ErrorMapEntry("X", "", frozenset({"item-only", "rate-limit"}))}
        assert verdict(status, {}).action is Action.FAIL
        assert verdict(status, advice).action is Action.FAIL

    @pytest.mark.parametrize(
        ("attributes", "action", "reason"),
        [
            ("retry-now temp", Action.RETRY_NOW, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("retry-later", Action.RETRY, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("auto-retry", Action.RETRY, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("conn-state-invalidated", Action.RECONNECT, "KV_ERROR_MAP_RETRY_INDICATED"),
            ("item-locked item-only", Action.RETRY, "KV_LOCKED"),
            ("retry-now no-retry", Action.FAIL, "UNKNOWN"),
            ("temp", Action.FAIL, "UNKNOWN"),
            ("", Action.FAIL, "UNKNOWN"),
        ],
    )
    def test_error_map(self, attributes: str, action: Action, reason: str) -> None:
        """A number that only the error map knows is treated as its attributes say."""
        entry = ErrorMapEntry("X", "", frozenset(attributes.split()))
        assert verdict(UNKNOWN_STATUS, {UNKNOWN_STATUS: entry}) == (action, reason)
