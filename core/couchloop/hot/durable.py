"""What a Bucket knows of durability: its times, and the mutation tokens that it was given."""

from __future__ import annotations

from collections import deque
from dataclasses import field
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from couchloop.exceptions import ProtocolError
from couchloop.records import record
from couchloop.wire import Feature

if TYPE_CHECKING:
    from couchloop.hot.request import Request

_TOKEN: Final = Struct(">QQ")
_UNSORTED: Final = 256
"""Tokens that are kept until they are sorted by vbucket."""


class MutationToken(NamedTuple):
    """Which change of a vbucket it was: what SDK 2.5 has as a tuple of four."""

    vbucket: int
    uuid: int
    """Of the vbucket's branch of history: another one begins with each failover."""
    seqno: int
    bucket: str

    @property
    def partition_id(self) -> int:
        """The vbucket (SDK 3 and later)."""
        return self.vbucket

    @property
    def partition_uuid(self) -> int:
        """Likewise the UUID."""
        return self.uuid

    @property
    def sequence_number(self) -> int:
        """Likewise the number."""
        return self.seqno

    @property
    def bucket_name(self) -> str:
        """Likewise the bucket."""
        return self.bucket


class Tokens:
    """The last token of each vbucket, from whichever thread it comes."""

    __slots__ = ("_last", "_permit", "_recent")

    def __init__(self) -> None:
        self._recent: deque[MutationToken] = deque()
        self._last: dict[int, MutationToken] = {}
        self._permit = [None]
        """Whoever takes it may sort: there are no locks here, but this is as good as one."""

    def note(self, token: MutationToken) -> None:
        """Take note of a token."""
        self._recent.append(token)
        if len(self._recent) >= _UNSORTED:
            self._sort()

    def _sort(self) -> None:
        try:
            permit = self._permit.pop()
        except IndexError:
            # Another thread is at it.
            return
        try:
            recent = self._recent
            while recent:
                # It is in one of the two at any time: whoever reads misses none.
                _keep(self._last, recent[0])
                recent.popleft()
        finally:
            self._permit.append(permit)

    def all(self) -> list[MutationToken]:
        """Return the last token of each vbucket in which a change was made."""
        recent = list(self._recent)
        found = dict(self._last)
        for token in recent:
            _keep(found, token)
        return list(found.values())


def _keep(found: dict[int, MutationToken], token: MutationToken) -> None:
    before = found.get(token.vbucket)
    # Of another branch: that one has ended.
    if before is None or before.uuid != token.uuid or before.seqno < token.seqno:
        found[token.vbucket] = token


@record(slots=True)
class DurableDefaults:
    """What holds for changes where the call says nothing. A Bucket's collections share it."""

    timeout: float = 10.0
    """Seconds of a change with a durability level."""
    watch_timeout: float = 5.0
    """Seconds in which a change must have reached its copies (`persist_to`, `replicate_to`)."""
    interval: float = 0.1
    """Seconds of the longest pause between two looks at them."""
    by_token: bool = True
    """Whether they are asked by mutation tokens, where there are any; else by CAS."""
    tokens: Tokens = field(default_factory=Tokens)
    has_blocks: bool = False
    """Whether `durability()` was ever called: only then stores look whether they are in one."""


def token_of(op: Request, tokens: Tokens, extras: bytes) -> MutationToken | None:
    """Return the token that is the *extras* of the answer to *op*; None: that has none.

    It is noted in *tokens*. Raises ProtocolError for extras that are none.
    """
    connection = op.connection
    if connection is None:
        return None
    if len(extras) != _TOKEN.size:
        if Feature.MUTATION_SEQNO not in connection.features:
            # Plain memcached servers answer TOUCH with flags.
            return None
        raise ProtocolError(f"{op.name}: the extras are no mutation token", key=op.key)
    uuid, seqno = _TOKEN.unpack(extras)
    if not seqno:
        # Buckets of type memcached have no history.
        return None
    token = MutationToken(op.vbucket, uuid, seqno, connection.bucket)
    tokens.note(token)
    return token
