"""Operations for one copy of a document, or for one node: which there are, the session knows."""

from __future__ import annotations

from typing import Any, Final

from couchloop.exceptions import NoReplicaError
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Operation
from couchloop.hot.request import VbucketMap

MAX_REPLICAS: Final = 3
"""Of a bucket."""
ACTIVE: Final = -1
"""The number of the active copy; replicas count from 0."""


def place_of_copy(op: Operation[Any], copy: int, vbuckets: VbucketMap) -> tuple[int, int]:
    """Return the node with that copy of the key of *op*, and the vbucket; see `Request.target`."""
    vbucket = vbuckets.vbucket(op.raw)
    if copy == ACTIVE:
        return vbuckets.active[vbucket], vbucket
    if copy < len(vbuckets.chains):
        return vbuckets.chains[copy][vbucket], vbucket
    return -1, vbucket


def has_no_copy(op: Operation[Any], copy: int, vbuckets: VbucketMap) -> bool:
    """Whether there is no such replica: `error` is set then. See `Request.settles`."""
    if copy == ACTIVE or place_of_copy(op, copy, vbuckets)[0] >= 0:
        return False
    text = f"the configuration has no replica {copy} of the document's vbucket"
    if copy >= len(vbuckets.chains):
        text = f"the bucket has no replica {copy}: it has {len(vbuckets.chains)}, from 0 on"
    op.error = NoReplicaError(text, key=op.key)
    return True


class OfOneCopy:
    """What an operation for one copy of a document is, beside its kind."""

    __slots__ = ()
    is_plain = False

    copy: int
    """Which: a replica's number, from 0, or ACTIVE."""

    def target(self: Any, vbuckets: VbucketMap) -> tuple[int, int]:
        """See `Request`."""
        return place_of_copy(self, self.copy, vbuckets)

    def settles(self: Any, vbuckets: VbucketMap) -> bool:
        """See `Request`: there may be fewer replicas."""
        return has_no_copy(self, self.copy, vbuckets)


class OfOneCopyWithoutKey(OfOneCopy):
    """Likewise, where the request has no key, or has it elsewhere: `prepare` says what `raw` is."""

    __slots__ = ()

    document: bytes
    """The key, which is no field of the request."""

    def target(self: Any, vbuckets: VbucketMap) -> tuple[int, int]:
        """See `Request`."""
        self.raw = self.document
        return place_of_copy(self, self.copy, vbuckets)

    def settles(self: Any, vbuckets: VbucketMap) -> bool:
        """See `Request`: there may be fewer replicas."""
        self.raw = self.document
        return has_no_copy(self, self.copy, vbuckets)


class Survey(Operation[tuple[int, int]]):
    """Never sent: tells how many nodes and replicas there are, once the bucket is open."""

    __slots__ = ("found",)
    name = "survey"
    idempotent = True
    is_plain = False

    def __init__(self, defaults: Defaults, timeout: float | None) -> None:
        # No key of anybody's; no opcode is negative, so that nobody is told of it.
        super().__init__(-1, defaults, "survey", timeout)
        self.found = 0, 0

    def settles(self, vbuckets: VbucketMap) -> bool:
        """See `Request`."""
        self.found = vbuckets.data_nodes, len(vbuckets.chains)
        self.answer = Frame(0x81, 0, 0, 0, 0, 0, b"", b"", b"", b"")
        return True

    def decode(self, answer: Frame) -> tuple[int, int]:  # noqa: ARG002 - there is none
        """Return the two numbers."""
        return self.found
