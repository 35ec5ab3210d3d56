"""Synchronous writes: which can never be durable, which wait for their replicas, which do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from couchloop.embedded.core.answers import Answer, NotYet, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.vbucket import Outcome, Prepared, VBucket
from couchloop.wire.constants import Status

_DEFAULT_TIMEOUT: Final = 30.0
_MAJORITY: Final = 1


def refuse_prepared(request: Request, vbucket: VBucket) -> None:
    """Refuse a write while another one waits for the replicas, or that never can be durable."""
    prepared = vbucket.prepared.get(request.document_id)
    if prepared is not None:
        if prepared.taken_over:
            refuse_impossible(request, vbucket)
        raise Refusal(Status.SYNC_WRITE_IN_PROGRESS)
    refuse_impossible(request, vbucket)


def refuse_impossible(request: Request, vbucket: VBucket) -> None:
    """Refuse a synchronous write that can never be durable."""
    durability = request.durability
    if durability is None:
        return
    if request.bucket.ephemeral and durability.level > _MAJORITY:
        raise Refusal(Status.DURABILITY_INVALID_LEVEL)
    chain = request.bucket.partitions[vbucket.number].chain
    if sum(node_id >= 0 for node_id in chain) < len(chain) // 2 + 1:
        raise Refusal(Status.DURABILITY_IMPOSSIBLE)


def commit(
    request: Request,
    vbucket: VBucket,
    document: Document,
    answer: Callable[[], Answer],
    stamped: Callable[[Document], None] | None = None,
) -> Answer:
    """Store a document; a synchronous write first waits for the replicas.

    Args:
        request, vbucket, document: what is stored where.
        answer: gives the answer once that is done.
        stamped: see `VBucket.put`.

    Raises NotYet while it waits: then `request.resume` says what comes of it.
    """
    durability = request.durability
    if durability is None:
        vbucket.put(request.document_id, document, stamped)
        return answer()
    timeout = durability.timeout or _DEFAULT_TIMEOUT
    prepared = vbucket.prepare(
        request.document_id, document, durability.level, request.now + timeout, stamped
    )
    partition = request.bucket.partitions[vbucket.number]

    def resume() -> Answer:
        # Only now: what was sent together with this write may overtake it, if that was negotiated.
        prepared.release()
        partition.settle()
        return _outcome(prepared, answer)

    def next_look() -> float | None:
        # Whoever looked at the vbucket meanwhile may have decided it.
        return partition.next_event() if prepared.outcome is Outcome.WAITING else request.now

    request.resume, request.next_look = resume, next_look
    request.abandon = prepared.release
    raise NotYet


def _outcome(prepared: Prepared, answer: Callable[[], Answer]) -> Answer:
    if prepared.outcome is Outcome.WAITING:
        raise NotYet
    if prepared.outcome is Outcome.UNKNOWN:
        raise Refusal(Status.SYNC_WRITE_AMBIGUOUS)
    return answer()
