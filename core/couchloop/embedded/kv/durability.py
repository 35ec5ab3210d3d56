"""Synchronous writes: which can never be durable, which wait for their replicas, which do not."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import NotYet, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.embedded.topology.node import NodeState
from couchloop.wire.constants import Status

_DEFAULT_TIMEOUT: Final = 30.0
_MAJORITY: Final = 1


def refuse_prepared(request: Request, vbucket: VBucket) -> None:
    """Refuse a write while another one waits for the replicas, or that never can be durable."""
    if request.document_id in vbucket.prepared and request.abandon is None:
        raise Refusal(Status.SYNC_WRITE_IN_PROGRESS)
    refuse_impossible(request, vbucket)


def refuse_impossible(request: Request, vbucket: VBucket) -> None:
    """Refuse a synchronous write that can never be durable."""
    durability = request.durability
    if durability is None or request.abandon is not None:
        return
    if request.bucket.ephemeral and durability.level > _MAJORITY:
        raise Refusal(Status.DURABILITY_INVALID_LEVEL)
    chain = request.bucket.chains[vbucket.number]
    if sum(node_id >= 0 for node_id in chain) < len(chain) // 2 + 1:
        raise Refusal(Status.DURABILITY_IMPOSSIBLE)


def commit(request: Request, vbucket: VBucket, document: Document) -> None:
    """Store a document; a synchronous write first waits for the replicas.

    Raises NotYet while it waits (the handler runs again then), Refusal when the time is over.
    """
    if request.durability is not None:
        _synchronise(request, vbucket)
    vbucket.put(request.document_id, document, request.wall)


def _synchronise(request: Request, vbucket: VBucket) -> None:
    if request.abandon is None:
        document_id = request.document_id
        timeout = request.durability.timeout if request.durability else None
        request.abandon = lambda: vbucket.prepared.discard(document_id)
        request.deadline = request.now + (timeout or _DEFAULT_TIMEOUT)
        vbucket.prepared.add(document_id)
        # What was sent together with this write may overtake it where that was negotiated.
        raise NotYet
    if _acknowledged(request, vbucket):
        request.abandon()
        return
    if request.deadline is not None and request.now >= request.deadline:
        request.abandon()
        raise Refusal(Status.SYNC_WRITE_AMBIGUOUS)
    raise NotYet


def _acknowledged(request: Request, vbucket: VBucket) -> bool:
    bucket = request.bucket
    if bucket.holds_replication:
        return False
    chain = bucket.chains[vbucket.number]
    running = {node.node_id for node in request.cluster.nodes if node.state is NodeState.RUNNING}
    return sum(node_id in running for node_id in chain) >= len(chain) // 2 + 1
