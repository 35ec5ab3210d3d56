"""Operations on whole documents.

What is looked at first is part of the protocol: a missing document before a lock, a lock before
a CAS, the size before the vbucket.
"""

from __future__ import annotations

from dataclasses import replace

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.durability import commit, refuse_impossible, refuse_prepared
from couchloop.embedded.kv.reading import existing, refuse_taken_over, shown_cas, whole
from couchloop.embedded.kv.writing import (
    check_cas,
    incoming,
    mutated,
    new_expiry,
    refuse_full,
    refuse_ingress,
)
from couchloop.embedded.storage.document import Document, absolute_expiry, tombstone
from couchloop.embedded.storage.vbucket import State
from couchloop.wire.constants import Opcode, Status


def get(request: Request) -> Answer:
    """GET, GETQ, GETK, GETKQ."""
    vbucket = request.vbucket()
    document = existing(request, vbucket)
    key = request.frame.key if request.frame.opcode in (Opcode.GETK, Opcode.GETKQ) else b""
    return whole(request, document, shown_cas(request, document), key)


def get_replica(request: Request) -> Answer:
    """GET_REPLICA (0x83): from a replica, which knows no locks."""
    document = existing(request, request.vbucket(State.REPLICA))
    return whole(request, document, document.cas)


def get_and_touch(request: Request) -> Answer:
    """GAT, GATQ: set the expiry, return the document."""
    document = _touch(request)
    return whole(request, document, document.cas)


def get_meta(request: Request) -> Answer:
    """GET_META (0xa0): deleted, flags, expiry, seqno and, from version 2 on, the datatype."""
    vbucket = request.vbucket()
    refuse_taken_over(request, vbucket)
    vbucket.find(request.document_id)
    document = vbucket.documents.get(request.document_id)
    if document is None:
        raise Refusal(Status.KEY_ENOENT)
    extras = (
        int(document.deleted).to_bytes(4)
        + document.flags.to_bytes(4)
        + document.expiry.to_bytes(4)
        + document.rev_seqno.to_bytes(8)
    )
    if request.frame.extras == b"\x02":
        extras += document.stored_datatype.to_bytes(1)
    return Answer(extras=extras, cas=shown_cas(request, document))


def check_get_meta(request: Request) -> None:
    """Check the version of the answer that is asked for."""
    if request.frame.extras and request.frame.extras[0] > 2:
        raise invalid("Request extras invalid")


def store(request: Request) -> Answer:
    """SET, ADD, REPLACE and their quiet forms."""
    frame = request.frame
    value, datatype = incoming(request)
    vbucket = request.vbucket()
    refuse_ingress(request, traffic=True)
    document = vbucket.find(request.document_id)
    adding = frame.opcode in (Opcode.ADD, Opcode.ADDQ)
    replacing = frame.opcode in (Opcode.REPLACE, Opcode.REPLACEQ)
    if document is None and replacing:
        refuse_impossible(request, vbucket)
        raise Refusal(Status.KEY_ENOENT)
    refuse_prepared(request, vbucket)
    if document is None and frame.cas:
        raise Refusal(Status.KEY_ENOENT)
    if document is not None:
        if adding:
            raise Refusal(Status.KEY_EEXISTS)
        check_cas(request, document)
    refuse_full(request, len(value))
    flags, expiry = int.from_bytes(frame.extras[:4]), int.from_bytes(frame.extras[4:])
    xattrs = {} if document is None else document.xattrs
    expiry = new_expiry(request, document, expiry)
    fresh = Document(value, datatype, flags, expiry, xattrs=xattrs)
    return commit(request, vbucket, fresh, lambda: mutated(request, vbucket, fresh))


def delete(request: Request) -> Answer:
    """DELETE, DELETEQ."""
    vbucket = request.vbucket()
    document = existing(request, vbucket)
    refuse_prepared(request, vbucket)
    check_cas(request, document)
    timed = not request.bucket.ephemeral
    fresh = tombstone(document, request.wall, timed=timed)
    return commit(request, vbucket, fresh, lambda: mutated(request, vbucket, fresh))


def touch(request: Request) -> Answer:
    """TOUCH (0x1c): no mutation token, whatever was negotiated."""
    return Answer(cas=_touch(request).cas)


def _touch(request: Request) -> Document:
    vbucket = request.vbucket()
    refuse_ingress(request)
    refuse_prepared(request, vbucket)
    document = existing(request, vbucket)
    if document.locked(request.now):
        raise Refusal(Status.LOCKED)
    expiry = absolute_expiry(
        int.from_bytes(request.frame.extras), request.wall, request.longest_life
    )
    touched = replace(document, expiry=expiry)
    vbucket.put(request.document_id, touched)
    return touched
