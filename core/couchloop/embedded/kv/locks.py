"""Operations that lock a document for a while, and unlock it."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.durability import refuse_prepared
from couchloop.embedded.kv.reading import existing, whole
from couchloop.wire.constants import Status

_DEFAULT_LOCK: Final = 15
_MAX_LOCK: Final = 30


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
    locked = vbucket.lock(request.document_id, document, request.now + seconds)
    return whole(request, locked, locked.cas)


def unlock(request: Request) -> Answer:
    """UNLOCK_KEY (0x95)."""
    vbucket = request.vbucket()
    document = existing(request, vbucket)
    if not document.locked(request.now):
        raise Refusal(Status.NOT_LOCKED)
    if request.frame.cas != document.cas:
        raise Refusal(Status.LOCKED)
    vbucket.unlock(request.document_id, document)
    return Answer()
