"""Operations on documents that are numbers."""

from __future__ import annotations

import re
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.durability import commit, refuse_prepared
from couchloop.embedded.kv.reading import refuse_taken_over
from couchloop.embedded.kv.writing import (
    check_cas,
    mutated,
    new_expiry,
    refuse_ingress,
    rewritten,
)
from couchloop.embedded.storage.document import Document
from couchloop.wire.constants import Datatype, Opcode, Status

_NUMBER: Final = re.compile(rb"\s*\+?(\d+)\s*\Z")
_MAX_U64: Final = 2**64
_DO_NOT_CREATE: Final = 0xFFFFFFFF


def count(request: Request) -> Answer:
    """INCREMENT, DECREMENT and their quiet forms: up wraps at 2^64, down stops at 0."""
    extras = request.frame.extras
    delta, initial = int.from_bytes(extras[:8]), int.from_bytes(extras[8:16])
    expiry = int.from_bytes(extras[16:])
    vbucket = request.vbucket()
    refuse_ingress(request)
    refuse_taken_over(request, vbucket)
    document = vbucket.find(request.document_id)
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
    value = number.to_bytes(8)
    return commit(
        request, vbucket, fresh, lambda: mutated(request, vbucket, fresh)._replace(value=value)
    )
