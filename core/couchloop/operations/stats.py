"""What data nodes tell of themselves: STAT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from couchloop.arguments.exact import exact_bytes, is_true
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    FeatureNotAvailableError,
    NoReplicaError,
    NotFoundError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.request import VbucketMap
from couchloop.hot.result import StatsResult
from couchloop.operations.copies import ACTIVE, MAX_REPLICAS, OfOneCopyWithoutKey, Survey
from couchloop.operations.procedure import Procedure, Steps, Together, procedure
from couchloop.retries import RetryStrategy
from couchloop.safety.printable import printable
from couchloop.wire import Opcode, Status

_NO_GROUP: Final = (
    "the node knows no statistics by that name: stats() without one gives the general ones"
)
_Found = tuple[str, dict[str, int | str]]
"""A node as "host:port", and its statistics."""


class NodeStats(Operation[_Found]):
    """STAT 0x10 at one node: one answer for each statistic, and an empty one at the end."""

    __slots__ = ("found", "group", "node")
    name = "stats"
    idempotent = True
    is_plain = False
    has_many_answers = True
    answers = frozenset({int(Status.NOT_MY_VBUCKET)})
    """Of a node that was asked for a vbucket which it has not: it has nothing to say."""

    node: int

    def __init__(
        self,
        defaults: Defaults,
        group: bytes,
        timeout: float | None,
        retry_strategy: RetryStrategy | None,
    ) -> None:
        # What is asked for is in the place of a key, and may be empty.
        super().__init__(
            Opcode.STAT, defaults, group or "stats", timeout, b"", b"", 0, retry_strategy
        )
        self.raw, self.prefix, self.key, self.group = group, b"", None, group
        self.found: dict[str, int | str] = {}

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:  # noqa: ARG002 - any has that node
        """See `Request`."""
        return self.node, 0

    def goes_on(self, answer: Frame) -> bool:
        """Receive one statistic."""
        if not answer.key:
            return False
        text = printable(answer.value.decode("utf-8", "replace"))
        is_number = text.removeprefix("-").isdecimal() and len(text) < _LONGEST_NUMBER
        name = printable(answer.key.decode("utf-8", "replace"))
        self.found[name] = int(text) if is_number else text
        return True

    def decode(self, answer: Frame) -> _Found:  # noqa: ARG002 - the last one is empty
        """Return what was found."""
        return "" if self.connection is None else str(self.connection.address), self.found

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:
        """See `Operation`: it is no document that there is not."""
        if answer.status == Status.KEY_ENOENT:
            error = NotFoundError(_NO_GROUP, context=error.context)
        return self._about(error)

    def _about(self, error: CouchbaseError) -> CouchbaseError:
        """Make *error* name what was asked for, which is in the place of a key."""
        error.key = self.group.decode("utf-8", "replace")
        if error.context is not None:
            error.context.key = error.key
        return error


_LONGEST_NUMBER = 40
"""Characters of a number: `int` refuses thousands of digits."""


class KeyStats(OfOneCopyWithoutKey, NodeStats):
    """STAT of one document, at its active copy."""

    __slots__ = ("copy", "document")
    answers = frozenset()

    def prepare(self, vbucket: int, prefix: bytes) -> None:  # noqa: ARG002 - no key is sent
        """See `Request`."""
        self.raw = b"key %b %d" % (self.document, vbucket)

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:  # noqa: ARG002
        """See `Operation`: here it is a document."""
        return self._about(error)


class ReplicaKeyStats(KeyStats):
    """STAT of one document at a replica: a node may tell of active copies alone."""

    __slots__ = ()
    answers = NodeStats.answers


def _gathered(outcomes: Sequence[Any], results: StatsResult) -> CouchbaseError | None:
    """Put what was found into *results*; return what was met first, if anything was."""
    first: CouchbaseError | None = None
    for each in outcomes:
        if isinstance(each, CouchbaseError):
            if not isinstance(each, NoReplicaError):
                first = first or each
            continue
        node, found = each
        for name, value in found.items():
            results.setdefault(name, {})[node] = value
    return first


def _ask(operations: Iterable[NodeStats]) -> Steps[StatsResult]:
    results = StatsResult()
    outcomes = yield Together([*operations])
    first = _gathered(outcomes, results)
    if first is None:
        return results
    first.all_results = results
    try:
        raise first
    finally:
        del first, outcomes


def _of_nodes(
    defaults: Defaults,
    groups: Sequence[bytes],
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> Steps[StatsResult]:
    nodes, _ = yield Survey(defaults, timeout)
    operations = []
    for group in groups:
        for node in range(nodes):
            op = NodeStats(defaults, group, timeout, retry_strategy)
            op.node = node
            operations.append(op)
    return (yield from _ask(operations))


def _of_keys(
    defaults: Defaults,
    keys: Sequence[bytes],
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> list[KeyStats]:
    operations = []
    for key in keys:
        for copy in range(ACTIVE, MAX_REPLICAS):
            kind = KeyStats if copy == ACTIVE else ReplicaKeyStats
            op = kind(defaults, key, timeout, retry_strategy)
            op.copy, op.document, op.node = copy, op.raw, -1
            operations.append(op)
    return operations


def _groups(keys: Key | Iterable[Key] | None) -> list[bytes]:
    if keys is None:
        return [b""]
    if isinstance(keys, str | bytes):
        keys = [keys]
    try:
        groups = [str.encode(each) if isinstance(each, str) else exact_bytes(each) for each in keys]
    except (TypeError, UnicodeError) as error:
        raise ArgumentError("stats takes the name of a group, or several") from error
    return groups or [b""]


def stats(
    defaults: Defaults,
    keys: Key | Iterable[Key] | None = None,
    keystats: bool = False,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[StatsResult]:
    """Ask each data node for its statistics: the result is a dict of name, node and value.

    Args:
        keys: which group of them, as `uuid` or `vbucket-seqno`, or several; None: the general ones.
        keystats: *keys* are those of documents, whose copies are asked for.

    Raises NotFoundError for a group that there is not, or a document; what keeps a node from
    answering, with what the others said in `all_results`.
    """
    groups = _groups(keys)
    if is_true(keystats, "keystats"):
        if keys is None:
            raise ArgumentError("keystats=True is for keys of documents: give them")
        if defaults.collection is not None:
            text = "keystats=True asks for documents of the default collection: use observe()"
            raise FeatureNotAvailableError(text)
        steps = _ask(_of_keys(defaults, groups, timeout, retry_strategy))
    else:
        steps = _of_nodes(defaults, groups, timeout, retry_strategy)
    # A procedure is about a key; this one is about none.
    return procedure("stats", defaults, "stats", timeout, steps, idempotent=True)
