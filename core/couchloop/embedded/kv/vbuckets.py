"""Operations on whole vbuckets: their states, sequence numbers, histories, and any key in them."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import active_documents, any_copy, shown_value
from couchloop.embedded.storage.vbucket import State
from couchloop.wire.constants import Feature, Status
from couchloop.wire.keys import encode_leb128

_STATES: Final = {1: State.ACTIVE, 2: State.REPLICA, 3: State.PENDING, 4: State.DEAD}
_NUMBER_OF_STATE: Final = {state: number for number, state in _STATES.items()}


def get_all_vb_seqnos(request: Request) -> Answer:
    """GET_ALL_VB_SEQNOS (0x48): of the vbuckets in a state (0: all that live)."""
    extras = request.frame.extras
    state = _STATES.get(int.from_bytes(extras[:4]))
    collection_id = int.from_bytes(extras[4:]) if extras[4:] else None
    manifest = request.manifest
    if collection_id is not None and collection_id not in manifest.collections:
        raise request.unknown_collection()
    out = bytearray()
    for vbucket in request.bucket.copies(request.node.node_id):
        if vbucket.state is state or (state is None and vbucket.state is not State.DEAD):
            seqno = vbucket.seqno
            if collection_id is not None:
                seqno = max(
                    (
                        document.seqno
                        for (uid, _), document in vbucket.documents.items()
                        if uid == collection_id
                    ),
                    default=0,
                )
            out += vbucket.number.to_bytes(2) + seqno.to_bytes(8)
    return Answer(value=bytes(out))


def check_vb_seqnos(request: Request) -> None:
    """Check the state that is asked for."""
    state = int.from_bytes(request.frame.extras[:4])
    if state and state not in _STATES:
        raise invalid("Request vbucket state invalid")


def get_vbucket(request: Request) -> Answer:
    """GET_VBUCKET (0x3e): the vbucket's state on this node."""
    copy = request.bucket.copy(request.frame.vbucket, request.node.node_id)
    if copy is None:
        raise request.not_my_vbucket()
    return Answer(value=_NUMBER_OF_STATE[copy.state].to_bytes(4))


def get_failover_log(request: Request) -> Answer:
    """GET_FAILOVER_LOG (0x96): (uuid, seqno) pairs, the newest first."""
    if request.has(Feature.UNORDERED):
        raise Refusal(
            Status.NOT_SUPPORTED,
            "DCP on connections with unordered execution is not supported",
        )
    log = any_copy(request, request.frame.vbucket).failover_log
    return Answer(value=b"".join(uuid.to_bytes(8) + seqno.to_bytes(8) for uuid, seqno in log))


def get_random_key(request: Request) -> Answer:
    """GET_RANDOM_KEY (0xb6): some document of a collection that is active on this node."""
    collection_id = int.from_bytes(request.frame.extras)
    if collection_id not in request.manifest.collections:
        unknown = request.unknown_collection()
        unknown.status = Status.EACCESS
        raise unknown
    found = [
        (key, document)
        for (uid, key), document in active_documents(request)
        if uid == collection_id
    ]
    if not found:
        raise Refusal(Status.KEY_ENOENT)
    number = int.from_bytes(request.cluster.generator.randbytes(8))
    key, document = found[number % len(found)]
    value, datatype = shown_value(request, document)
    prefix = encode_leb128(collection_id) if request.has(Feature.COLLECTIONS) else b""
    return Answer(document.flags.to_bytes(4), prefix + key, value, datatype, document.cas)


def check_random_key(request: Request) -> None:
    """Check that the collection is named exactly where collections are in use."""
    length = len(request.frame.extras)
    if request.has(Feature.COLLECTIONS):
        if length != 4:
            raise invalid("Request must include extras of length 4")
    elif length:
        raise invalid("Request must not include extras")
