"""OBSERVE: what became of writes."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.header import split_key
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import any_copy
from couchloop.wire.constants import Feature, Status

_FOUND: Final = 0x00
_PERSISTED: Final = 0x01
_NOT_FOUND: Final = 0x80
_DELETED: Final = 0x81


def observe(request: Request) -> Answer | None:
    """OBSERVE (0x92): for each (vbucket, key) its state and CAS."""
    value, out, at = request.frame.value, bytearray(), 0
    while at < len(value):
        length = int.from_bytes(value[at + 2 : at + 4])
        field = value[at + 4 : at + 4 + length]
        if len(value) - at < 4 + length:
            raise invalid("Incorrect keylen")
        if not length:
            # The real server takes this for a broken client.
            request.connection.close()
            return None
        number = int.from_bytes(value[at : at + 2])
        vbucket = any_copy(request, number)
        collection_id, key = split_key(field, collections=request.has(Feature.COLLECTIONS))
        vbucket.find((collection_id, key))
        document = vbucket.documents.get((collection_id, key))
        persisted = 0 if request.bucket.ephemeral else vbucket.persisted()
        if document is None:
            state = _NOT_FOUND
        elif document.deleted:
            # Once the disk has it too, the document is not even deleted any more.
            state = _NOT_FOUND if document.seqno <= persisted else _DELETED
        else:
            state = _PERSISTED if document.seqno <= persisted else _FOUND
        cas = document.cas if document else 0
        out += value[at : at + 4 + length] + state.to_bytes(1) + cas.to_bytes(8)
        at += 4 + length
    return Answer(value=bytes(out))


def check_observe(request: Request) -> None:
    """Check that there is at least the head of one key."""
    if len(request.frame.value) < 4:
        raise invalid("Requires vbid and keylen.")


def observe_seqno(request: Request) -> Answer:
    """OBSERVE_SEQNO (0x91): format 0, or 1 where the client's branch of history has ended."""
    asked = int.from_bytes(request.frame.value)
    vbucket = any_copy(request, request.frame.vbucket)
    persisted = 0 if request.bucket.ephemeral else vbucket.persisted()
    numbers = (
        vbucket.number.to_bytes(2)
        + vbucket.uuid.to_bytes(8)
        + persisted.to_bytes(8)
        + vbucket.seqno.to_bytes(8)
    )
    if asked == vbucket.uuid:
        return Answer(value=b"\x00" + numbers)
    # The last seqno of a branch is where the next one began.
    began = 0
    for uuid, seqno in vbucket.failover_log:
        if uuid == asked:
            return Answer(value=b"\x01" + numbers + asked.to_bytes(8) + began.to_bytes(8))
        began = seqno
    raise Refusal(Status.KEY_ENOENT)
