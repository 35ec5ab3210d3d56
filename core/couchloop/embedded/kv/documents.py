"""Operations on whole documents.

What is looked at first is part of the protocol: a missing document before a lock, a lock before
a CAS, the size before the vbucket.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from couchloop.embedded.core.header import invalid
from couchloop.embedded.core.request import Answer, Hold, NodeState, Refusal, Request
from couchloop.embedded.storage.document import (
    MAX_VALUE,
    Document,
    State,
    VBucket,
    absolute_expiry,
    is_json,
    tombstone,
)
from couchloop.exceptions import ProtocolError
from couchloop.wire import snappy
from couchloop.wire.constants import Datatype, Feature, Opcode, Status

HIDDEN_CAS: Final = 0xFFFFFFFFFFFFFFFF
"""What a locked document shows to readers."""

_NUMBER: Final = re.compile(rb"\s*\+?(\d+)\s*\Z")
_MAX_U64: Final = 2**64
_DO_NOT_CREATE: Final = 0xFFFFFFFF
_DEFAULT_LOCK: Final = 15
_MAX_LOCK: Final = 30
_DEFAULT_DURABILITY_TIMEOUT: Final = 30.0
_MAJORITY: Final = 1


# --- reading ------------------------------------------------------------------------------------


def get(request: Request) -> Answer:
    """GET, GETQ, GETK, GETKQ."""
    vbucket = request.vbucket()
    document = existing(request, vbucket)
    key = request.frame.key if request.frame.opcode in (Opcode.GETK, Opcode.GETKQ) else b""
    return _whole(request, document, _shown_cas(request, document), key)


def get_replica(request: Request) -> Answer:
    """GET_REPLICA (0x83): from a replica, which knows no locks."""
    document = existing(request, request.vbucket(State.REPLICA))
    return _whole(request, document, document.cas)


def get_and_touch(request: Request) -> Answer:
    """GAT, GATQ: set the expiry, give the document."""
    document = _touch(request)
    return _whole(request, document, document.cas)


def get_locked(request: Request) -> Answer:
    """GET_LOCKED (0x94): the CAS of the answer unlocks."""
    vbucket = request.vbucket()
    refuse_prepared(request, vbucket)
    document = existing(request, vbucket)
    if document.locked(request.now):
        raise Refusal(Status.LOCKED)
    seconds = int.from_bytes(request.frame.extras)
    if not 0 < seconds <= _MAX_LOCK:
        seconds = _DEFAULT_LOCK
    document.locked_until = request.now + seconds
    document.cas = vbucket.next_cas(request.wall)
    return _whole(request, document, document.cas)


def unlock(request: Request) -> Answer:
    """UNLOCK_KEY (0x95)."""
    document = existing(request, request.vbucket())
    if not document.locked(request.now):
        raise Refusal(Status.NOT_LOCKED)
    if request.frame.cas != document.cas:
        raise Refusal(Status.LOCKED)
    document.locked_until = 0.0
    return Answer()


def get_meta(request: Request) -> Answer:
    """GET_META (0xa0): deleted, flags, expiry, seqno and, from version 2 on, the datatype."""
    vbucket = request.vbucket()
    vbucket.find(request.document_id, request.wall)
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
    return Answer(extras=extras, cas=_shown_cas(request, document))


def check_get_meta(request: Request) -> None:
    """Check the version of the answer that is asked for."""
    if request.frame.extras and request.frame.extras[0] > 2:
        raise invalid("Request extras invalid")


def _whole(request: Request, document: Document, cas: int, key: bytes = b"") -> Answer:
    value, datatype = shown_value(request, document)
    return Answer(document.flags.to_bytes(4), key, value, datatype, cas)


def shown_value(request: Request, document: Document) -> tuple[bytes, int]:
    """Give the value and its datatype as this connection may see them."""
    value, datatype = document.value, document.datatype
    if datatype & Datatype.SNAPPY and not request.has(Feature.SNAPPY):
        value, datatype = document.body(), datatype & ~Datatype.SNAPPY
    if not request.has(Feature.JSON):
        datatype &= ~Datatype.JSON
    return value, datatype


def _shown_cas(request: Request, document: Document) -> int:
    return HIDDEN_CAS if document.locked(request.now) else document.cas


def existing(request: Request, vbucket: VBucket, status: Status = Status.KEY_ENOENT) -> Document:
    """Give the document. Raises Refusal with *status* if there is none."""
    document = vbucket.find(request.document_id, request.wall)
    if document is None:
        raise Refusal(status)
    return document


# --- storing ------------------------------------------------------------------------------------


def store(request: Request) -> Answer:
    """SET, ADD, REPLACE and their quiet forms."""
    frame = request.frame
    value, datatype = _incoming(request)
    vbucket = request.vbucket()
    refuse_ingress(request, traffic=True)
    document = vbucket.find(request.document_id, request.wall)
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
    commit(
        request,
        vbucket,
        Document(value, datatype, flags, new_expiry(request, document, expiry), xattrs=xattrs),
    )
    return mutated(request, vbucket)


def concatenate(request: Request) -> Answer:
    """APPEND, PREPEND and their quiet forms: flags, expiry and xattrs stay."""
    added, datatype = _incoming(request)
    if datatype & Datatype.SNAPPY:
        added = snappy.decompress(added, MAX_VALUE)
    vbucket = request.vbucket()
    refuse_ingress(request, traffic=True)
    document = existing(request, vbucket, Status.NOT_STORED)
    refuse_prepared(request, vbucket)
    check_cas(request, document)
    body = document.body()
    appending = request.frame.opcode in (Opcode.APPEND, Opcode.APPENDQ)
    value = body + added if appending else added + body
    if len(value) > MAX_VALUE:
        raise Refusal(Status.E2BIG)
    refuse_full(request, len(added))
    commit(request, vbucket, rewritten(document, value))
    return mutated(request, vbucket)


def delete(request: Request) -> Answer:
    """DELETE, DELETEQ."""
    vbucket = request.vbucket()
    document = existing(request, vbucket)
    refuse_prepared(request, vbucket)
    check_cas(request, document)
    timed = not request.bucket.ephemeral
    commit(request, vbucket, tombstone(document, request.wall, timed=timed))
    return mutated(request, vbucket)


def count(request: Request) -> Answer:
    """INCREMENT, DECREMENT and their quiet forms: up wraps at 2^64, down stops at 0."""
    extras = request.frame.extras
    delta, initial = int.from_bytes(extras[:8]), int.from_bytes(extras[8:16])
    expiry = int.from_bytes(extras[16:])
    vbucket = request.vbucket()
    refuse_ingress(request)
    document = vbucket.find(request.document_id, request.wall)
    if document is None:
        if expiry == _DO_NOT_CREATE:
            raise Refusal(Status.KEY_ENOENT)
        refuse_prepared(request, vbucket)
        number = initial
        fresh = Document(
            str(number).encode(),
            Datatype.JSON,
            expiry=new_expiry(request, None, expiry),
        )
    else:
        match = _NUMBER.match(document.body())
        number = int(match[1]) if match and len(match[1]) < 100 else _MAX_U64
        if number >= _MAX_U64:
            raise Refusal(Status.DELTA_BADVAL)
        refuse_prepared(request, vbucket)
        check_cas(request, document)
        if request.frame.opcode in (Opcode.INCREMENT, Opcode.INCREMENTQ):
            number = (number + delta) % _MAX_U64
        else:
            number = max(0, number - delta)
        fresh = rewritten(document, str(number).encode())
    commit(request, vbucket, fresh)
    return mutated(request, vbucket)._replace(value=number.to_bytes(8))


def touch(request: Request) -> Answer:
    """TOUCH (0x1c): no mutation token, whatever was negotiated."""
    return Answer(cas=_touch(request).cas)


def _touch(request: Request) -> Document:
    vbucket = request.vbucket()
    refuse_ingress(request)
    document = existing(request, vbucket)
    refuse_prepared(request, vbucket)
    if document.locked(request.now):
        raise Refusal(Status.LOCKED)
    expiry = absolute_expiry(
        int.from_bytes(request.frame.extras), request.wall, request.collection.max_ttl
    )
    touched = replace(document, expiry=expiry)
    vbucket.put(request.document_id, touched, request.wall)
    return touched


def _incoming(request: Request) -> tuple[bytes, int]:
    """Give the value to store and its datatype: JSON is found out, never believed."""
    value = request.frame.value
    if not request.frame.datatype & Datatype.SNAPPY:
        if len(value) > MAX_VALUE:
            raise Refusal(Status.E2BIG)
        return value, detect(value)
    try:
        length = snappy.declared_length(value)
        if length > MAX_VALUE:
            raise Refusal(Status.E2BIG)
        inflated = snappy.decompress(value, MAX_VALUE)
    except ProtocolError:
        raise invalid("Failed to inflate payload") from None
    if len(value) >= len(inflated):
        # Compression that does not pay is undone.
        return inflated, detect(inflated)
    return value, detect(inflated) | Datatype.SNAPPY


def detect(value: bytes) -> int:
    """Give the datatype of an inflated value."""
    return Datatype.JSON if is_json(value) else Datatype.RAW


def rewritten(document: Document, value: bytes) -> Document:
    """Give the document with another value; flags, expiry and xattrs stay, a lock ends."""
    return Document(value, detect(value), document.flags, document.expiry, xattrs=document.xattrs)


def check_cas(request: Request, document: Document) -> None:
    """Refuse a write that the lock or the CAS forbids."""
    cas = request.frame.cas
    if document.locked(request.now):
        if cas != document.cas:
            raise Refusal(Status.LOCKED)
    elif cas and cas != document.cas:
        raise Refusal(Status.KEY_EEXISTS)


def new_expiry(request: Request, document: Document | None, expiry: int) -> int:
    """Give the expiry that a write leaves: none given means none, unless it is to be kept."""
    if request.preserve_ttl and document is not None:
        return document.expiry
    return absolute_expiry(expiry, request.wall, request.collection.max_ttl)


def refuse_ingress(request: Request, *, traffic: bool = False) -> None:
    """Refuse what makes the bucket larger while that is forbidden.

    With *traffic* also while the bucket warms up.
    """
    bucket = request.bucket
    if bucket.ingress_refusal is not None:
        raise Refusal(bucket.ingress_refusal)
    if traffic and not bucket.takes_traffic:
        raise Refusal(Status.ETMPFAIL)


def refuse_full(request: Request, size: int) -> None:
    """Refuse a write of *size* bytes if they do not fit the bucket."""
    if request.bucket.vault.full(size):
        raise Refusal(Status.ETMPFAIL)


def mutated(request: Request, vbucket: VBucket) -> Answer:
    """Give the answer to a successful write: its CAS and, if negotiated, its token."""
    token = vbucket.token() if request.has(Feature.MUTATION_SEQNO) else b""
    return Answer(extras=token, cas=vbucket.last_cas)


# --- synchronous writes -------------------------------------------------------------------------


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

    Raises Hold while it waits (the handler runs again then), Refusal when the time is over.
    """
    if request.durability is not None:
        _synchronise(request, vbucket)
    vbucket.put(request.document_id, document, request.wall)


def _synchronise(request: Request, vbucket: VBucket) -> None:
    if request.abandon is None:
        document_id = request.document_id
        timeout = request.durability.timeout if request.durability else None
        request.abandon = lambda: vbucket.prepared.discard(document_id)
        request.deadline = request.now + (timeout or _DEFAULT_DURABILITY_TIMEOUT)
        vbucket.prepared.add(document_id)
        # What was sent together with this write may overtake it where that was negotiated.
        raise Hold
    if _acknowledged(request, vbucket):
        request.abandon()
        return
    if request.deadline is not None and request.now >= request.deadline:
        request.abandon()
        raise Refusal(Status.SYNC_WRITE_AMBIGUOUS)
    raise Hold


def _acknowledged(request: Request, vbucket: VBucket) -> bool:
    bucket = request.bucket
    if bucket.holds_replication:
        return False
    chain = bucket.chains[vbucket.number]
    running = {node.node_id for node in request.cluster.nodes if node.state is NodeState.RUNNING}
    return sum(node_id in running for node_id in chain) >= len(chain) // 2 + 1
