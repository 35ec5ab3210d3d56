"""Sub-documents of replicas: lookups of copies that may lag behind (RFC 0076, server 7.6 on).

A copy is asked by the same request as the document is, with a flag. What two requests read could
not be compared, so that there are 16 specs at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from couchloop.exceptions import (
    CouchbaseError,
    FeatureNotAvailableError,
    SubdocInvalidComboError,
)
from couchloop.hot.encoding import about
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key
from couchloop.operations.copies import ACTIVE, MAX_REPLICAS, OfOneCopy
from couchloop.operations.procedure import Procedure, Steps, Together, procedure
from couchloop.operations.replicas import reason_of
from couchloop.operations.specs import MOST_SPECS, Spec, checked
from couchloop.operations.subdocument import LookupIn
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.retries import RetryStrategy
from couchloop.wire import Status

_REPLICA: Final = 0x20
"""Flag of the document: read a replica."""
_REFUSALS: Final = frozenset({int(Status.EINVAL), int(Status.NOT_SUPPORTED)})


class LookupInCopy(OfOneCopy, LookupIn):
    """SUBDOC_MULTI_LOOKUP 0xd0 of one copy."""

    __slots__ = ("copy",)
    name: ClassVar[str] = "lookup_in_replica"

    def decode(self, answer: Frame) -> SubdocResult:
        """See `SubdocOperation`."""
        result = super().decode(answer)
        result.is_replica = self.copy != ACTIVE
        return result

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:
        """See `Operation`: servers before 7.6 know no such flag."""
        if self.copy == ACTIVE or answer.status not in _REFUSALS:
            return error
        text = "the server cannot look into replicas: version 7.6 or newer can"
        return FeatureNotAvailableError(text, context=error.context)


def _reads(
    defaults: Defaults,
    key: Key,
    specs: Sequence[Any],
    name: str,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> list[LookupInCopy]:
    """Return a lookup of each copy: the active one, and then all replicas that there may be."""
    found: tuple[Spec, ...] = checked(specs, lookups=True, operation=name, key=key)
    if len(found) > MOST_SPECS:
        text = f"a replica is asked by one request, which has {MOST_SPECS} specs at most"
        raise about(SubdocInvalidComboError(text, objextra=len(found)), name, key)
    reads = []
    for copy in range(ACTIVE, MAX_REPLICAS):
        flags = 0 if copy == ACTIVE else _REPLICA
        op = LookupInCopy.of(defaults, key, found, flags, timeout, retry_strategy, quiet=False)
        op.copy = copy
        reads.append(op)
    return reads


def _any(reads: list[LookupInCopy]) -> Steps[SubdocResult]:
    outcomes = yield Together(reads, is_race=True)
    found = _found(outcomes)
    return found[0]


def _all(reads: list[LookupInCopy]) -> Steps[list[SubdocResult]]:
    outcomes = yield Together(reads)
    return _found(outcomes)


def _found(outcomes: list[Any]) -> list[SubdocResult]:
    """Return what was read; raise why nothing was."""
    found = [each for each in outcomes if isinstance(each, SubdocResult)]
    if found:
        return found
    why = reason_of([each for each in outcomes if isinstance(each, CouchbaseError)])
    try:
        raise why
    finally:
        del why, outcomes


def lookup_in_any_replica(
    defaults: Defaults,
    key: Key,
    *specs: Spec | Sequence[Spec],
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[SubdocResult]:
    """Read parts of a document from its active copy or a replica, whichever answers first.

    Args:
        specs: up to 16, by functions of couchloop.subdocument; or one list of them.

    The result's `is_replica` says which it was; a replica may be older than the document is.

    Raises DocumentUnretrievableError (a NotFoundError) if no copy has it, FeatureNotAvailableError
    if only replicas could answer and the server cannot look into them, and what `lookup_in` raises.
    """
    name = "lookup_in_any_replica"
    steps = _any(_reads(defaults, key, specs, name, timeout, retry_strategy))
    return procedure(name, defaults, key, timeout, steps, idempotent=True)


def lookup_in_all_replicas(
    defaults: Defaults,
    key: Key,
    *specs: Spec | Sequence[Spec],
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[list[SubdocResult]]:
    """Read parts of all copies of a document: of the active one first, then of its replicas.

    Args:
        specs: up to 16, by functions of couchloop.subdocument; or one list of them.

    Copies that cannot be read in the time given are left out.

    Raises what `lookup_in_any_replica` raises.
    """
    name = "lookup_in_all_replicas"
    steps = _all(_reads(defaults, key, specs, name, timeout, retry_strategy))
    return procedure(name, defaults, key, timeout, steps, idempotent=True)
