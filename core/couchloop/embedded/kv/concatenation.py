"""Operations that make a document longer, at either end."""

from __future__ import annotations

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.durability import commit, refuse_prepared
from couchloop.embedded.kv.reading import existing
from couchloop.embedded.kv.writing import (
    check_cas,
    incoming,
    mutated,
    refuse_full,
    refuse_ingress,
    rewritten,
)
from couchloop.embedded.storage.document import MAX_VALUE
from couchloop.wire import snappy
from couchloop.wire.constants import Datatype, Opcode, Status


def concatenate(request: Request) -> Answer:
    """APPEND, PREPEND and their quiet forms: flags, expiry and xattrs stay."""
    added, datatype = incoming(request)
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
    fresh = rewritten(document, value)
    return commit(request, vbucket, fresh, lambda: mutated(request, vbucket, fresh))
