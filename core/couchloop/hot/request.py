"""What operations and the session's own requests have in common: bytes, answer, deadline."""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from couchloop.hot.frames import Fields, Frame
from couchloop.hot.speedups import twin

if TYPE_CHECKING:
    from couchloop.exceptions import CouchbaseError


class Carrier(Protocol):
    """What a request knows of the connection that it was sent on (`couchloop.hot.pipe`)."""

    address: Any
    """Where the node is; text of it is all that is needed here."""
    bucket: str
    features: frozenset[int]
    """What the node has granted in HELLO."""
    last_activity: float
    """When a frame was completed last."""


class Completion(Protocol):
    """What a request is a part of, as long as it is under way."""

    def member_done(self, op: Any) -> bool:
        """Take note that *op* is complete; return whether the caller of all is to be told now."""


class VbucketMap(Protocol):
    """What is needed of a configuration to find the node of a request."""

    @property
    def active(self) -> Sequence[int]:
        """The node that has the active copy of each vbucket, by its index; -1: none has."""

    @property
    def chains(self) -> Sequence[Sequence[int]]:
        """Likewise of each replica: one sequence for each, as long as `active`."""

    @property
    def data_nodes(self) -> int:
        """How many nodes there are for these indices."""

    def vbucket(self, key: bytes) -> int:
        """Return the vbucket of *key*."""


class RequestCore:
    """What every request has: only attributes, for `Request` and its kinds.

    Args:
        opcode: of the request, and of each of its answers.
        raw: its key, without the number of a collection; empty where the request has none.
        timeout: seconds from its issue to its deadline.
        extras: as the opcode wants them.
        value: likewise.
        cas: likewise.
        quiet: whether KEY_ENOENT (status 1) is an answer, not an error.
    """

    __slots__ = (
        "attempts",
        "batch",
        "cas",
        "connection",
        "deadline",
        "defaults",
        "error",
        "extras",
        "fields",
        "framing",
        "key",
        "obstacle",
        "opaque",
        "opcode",
        "owner",
        "parked",
        "place",
        "prefix",
        "queue",
        "quiet",
        "raw",
        "reasons",
        "retry_strategy",
        "timeout",
        "value",
        "vbucket",
        "waiter",
    )

    def __init__(
        self,
        opcode: int,
        raw: bytes,
        timeout: float,
        extras: bytes = b"",
        value: bytes = b"",
        cas: int = 0,
        quiet: bool = False,
    ) -> None:
        self.opcode = opcode
        self.raw = raw
        self.timeout = timeout
        self.extras = extras
        self.value = value
        self.cas = cas
        self.quiet = quiet
        self.framing = b""
        """Framing extras of the request (`couchloop.wire.framing`); set before it is sent."""
        self.prefix: bytes | None = None
        """What is written before the key: the number of a collection (`couchloop.wire.keys`), or
        nothing for a key that is in none; None: the number of the default collection; UNNUMBERED:
        that of a named one, still to be learned."""
        self.queue: dict[Request, None] | None = None
        self.parked: dict[Any, None] | None = None
        self.deadline = 0.0
        self.connection: Carrier | None = None
        self.opaque = 0
        self.batch: Completion | None = None
        """What it is part of, as long as it is under way."""
        self.fields: Fields | None = None
        """The parts of its answer, in a Frame's order: making one costs more than reading these."""
        self.error: CouchbaseError | None = None
        self.vbucket = 0
        """The one that it named when it was sent last."""
        # What is a user's has these of its own.
        self.key: Any = None
        """The key as the user gave it."""
        self.attempts = 0
        """How often it was sent, but for the last time."""
        self.reasons: tuple[str, ...] = ()
        """Why it had to be tried again, each reason once."""
        self.obstacle: CouchbaseError | None = None
        """What the last try met, if there was one; nobody else has this exception."""
        self.defaults: Any = None
        self.retry_strategy: Any = None
        self.waiter: Any = None
        self.owner: Any = None
        self.place = 0
        """Where it stands in its batch, if that is a Bulk."""


if not TYPE_CHECKING and twin is not None:
    RequestCore = twin.RequestCore


class Request(RequestCore):
    """One request and what has become of it.

    A connection needs of it what is to be sent, and sets `opaque`, `connection` and `answer`. The
    session keeps it in `queue` until its `deadline`, in `parked` as long as it cannot be sent, and
    sets `error` if it fails.

    Args:
        opcode: of the request, and of each of its answers.
        raw: its key, without the number of a collection; empty where the request has none.
        timeout: seconds from its issue to its deadline.
        extras: as the opcode wants them.
        value: likewise.
        cas: likewise.
        quiet: whether KEY_ENOENT (status 1) is an answer, not an error.
    """

    __slots__ = ()

    name: ClassVar[str] = "request"
    idempotent: ClassVar[bool] = True
    """Whether it may be sent again when nobody knows if the server has done it."""
    is_read: ClassVar[bool] = False
    """Whether it changes nothing, though it may not be sent again: what an answer had is gone."""

    is_plain: ClassVar[bool] = True
    """Whether it is for the node with the active copy of its key; else `target` is asked."""
    has_many_answers: ClassVar[bool] = False
    """Whether the server answers in several frames; then `goes_on` is asked of each."""

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)
        """What an operation gives is for type checkers: no class is generic at run time."""

    @property
    def answer(self) -> Frame | None:
        """The answer, once it is there."""
        fields = self.fields
        return None if fields is None else Frame._make(fields)

    @answer.setter
    def answer(self, answer: Frame) -> None:
        self.fields = answer

    @property
    def done(self) -> bool:
        """Whether the answer or an error is there."""
        return self.fields is not None or self.error is not None

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:
        """Return the node that it is for, and the vbucket that it names.

        The node is its index in the configuration; -1: there is none. A kind that overrides this
        has `is_plain` False: the hot path does not ask. It may be asked again whenever there is
        another configuration, and is not asked where the bucket has no vbuckets.
        """
        vbucket = vbuckets.vbucket(self.raw)
        return vbuckets.active[vbucket], vbucket

    def settles(self, vbuckets: VbucketMap) -> bool:  # noqa: ARG002 - others look at it
        """Return whether the configuration alone completes it: `error` or `answer` is set then.

        It is asked before `target`, with the same exceptions.
        """
        return False

    def prepare(self, vbucket: int, prefix: bytes) -> None:
        """Take note of where it is sent now: the vbucket, and what stands before a key there.

        Likewise only a kind that is not plain is told; it may change `raw` and `value`.
        """

    def goes_on(self, answer: Frame) -> bool:  # noqa: ARG002 - others look at it
        """Take one of several answers, a success; return whether more follow.

        The last becomes `answer`. What this raises is a fault of the peer: a ProtocolError.
        """
        return False
