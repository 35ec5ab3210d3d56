"""What all writes of documents have in common, but for their durability."""

from __future__ import annotations

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.document import MAX_VALUE, Document, absolute_expiry, is_json
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.exceptions import ProtocolError
from couchloop.hot.frames import MAX_BODY
from couchloop.wire import snappy
from couchloop.wire.constants import Datatype, Feature, Status


def incoming(request: Request) -> tuple[bytes, int]:
    """Return the value to store and its datatype: JSON is found out, never believed."""
    value = request.frame.value
    if not request.frame.datatype & Datatype.SNAPPY:
        if len(value) > MAX_VALUE:
            raise Refusal(Status.E2BIG)
        return value, detect(value)
    try:
        length = snappy.declared_length(value)
        if length > MAX_BODY:
            raise invalid("Inflated data is too big")
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
    """Return the datatype of an inflated value."""
    return Datatype.JSON if is_json(value) else Datatype.RAW


def rewritten(document: Document, value: bytes) -> Document:
    """Return the document with another value; flags, expiry and xattrs stay, a lock ends."""
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
    """Return the expiry that a write leaves: none given means none, unless it is to be kept."""
    if request.preserve_ttl and document is not None:
        return document.expiry
    return absolute_expiry(expiry, request.wall, request.longest_life)


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
    if request.bucket.memcached:
        request.bucket.make_room(request.node.node_id, size)
    elif request.bucket.full(size):
        raise Refusal(Status.ETMPFAIL)


def mutated(request: Request, vbucket: VBucket, document: Document) -> Answer:
    """Return the answer to a successful write: its CAS and, if negotiated, its token."""
    token = b""
    if request.has(Feature.MUTATION_SEQNO):
        token = bytes(16) if request.bucket.memcached else vbucket.token(document)
    return Answer(extras=token, cas=document.cas)
