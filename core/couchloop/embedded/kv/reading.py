"""What readers are shown of a document, and where it is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.vbucket import DocumentId, State, VBucket
from couchloop.wire.constants import Datatype, Feature, Status

HIDDEN_CAS: Final = 0xFFFFFFFFFFFFFFFF
"""What a locked document shows to readers."""


def whole(request: Request, document: Document, cas: int, key: bytes = b"") -> Answer:
    """Return the answer that is a whole document; *cas* as `shown_cas` has it, or the real one."""
    value, datatype = shown_value(request, document)
    return Answer(document.flags.to_bytes(4), key, value, datatype, cas)


def shown_value(request: Request, document: Document) -> tuple[bytes, int]:
    """Return the value and its datatype as this connection may see them."""
    value, datatype = document.value, document.datatype
    if datatype & Datatype.SNAPPY and not request.has(Feature.SNAPPY):
        value, datatype = document.body(), datatype & ~Datatype.SNAPPY
    if not request.has(Feature.JSON):
        datatype &= ~Datatype.JSON
    return value, datatype


def shown_cas(request: Request, document: Document) -> int:
    """Return the CAS as readers may see it."""
    return HIDDEN_CAS if document.locked(request.now) else document.cas


def existing(request: Request, vbucket: VBucket, status: Status = Status.KEY_ENOENT) -> Document:
    """Return the document. Raises Refusal with *status* if there is none."""
    refuse_taken_over(request, vbucket)
    document = vbucket.find(request.document_id)
    if document is None:
        raise Refusal(status)
    return document


def refuse_taken_over(request: Request, vbucket: VBucket) -> None:
    """Refuse to tell of a document whose latest write may be committed, or not."""
    prepared = vbucket.prepared.get(request.document_id)
    if prepared is not None and prepared.taken_over and vbucket.state is State.ACTIVE:
        raise Refusal(Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS)


def any_copy(request: Request, number: int) -> VBucket:
    """Return a vbucket of which this node has a copy, active or replica. Raises Refusal."""
    copy = request.bucket.copy(number, request.node.node_id)
    if copy is not None and copy.state in {State.ACTIVE, State.REPLICA}:
        return copy
    raise request.not_my_vbucket()


def active_documents(request: Request) -> Iterator[tuple[DocumentId, Document]]:
    """Return all living documents that are active on this node."""
    for copy in request.bucket.copies(request.node.node_id):
        if copy.state is State.ACTIVE:
            for document_id in list(copy.documents):
                document = copy.find(document_id)
                if document is not None:
                    yield document_id, document
