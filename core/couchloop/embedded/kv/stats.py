"""Operations that look at vbuckets and statistics: OBSERVE, seqnos, failover logs, STAT."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from couchloop.embedded.core.header import invalid, split_key
from couchloop.embedded.core.request import Answer, Refusal, Request
from couchloop.embedded.kv.documents import existing, shown_value
from couchloop.embedded.storage.document import Collection, Document, State, VBucket
from couchloop.wire.constants import Datatype, Feature, Status
from couchloop.wire.keys import encode_leb128

_FOUND: Final = 0x00
_PERSISTED: Final = 0x01
_NOT_FOUND: Final = 0x80
_DELETED: Final = 0x81

_STATES: Final = {1: State.ACTIVE, 2: State.REPLICA, 3: State.PENDING, 4: State.DEAD}
_NUMBER_OF_STATE: Final = {state: number for number, state in _STATES.items()}


# --- OBSERVE ------------------------------------------------------------------------------------


def observe(request: Request) -> Answer | None:
    """OBSERVE (0x92): for each (vbucket, key) its state and CAS."""
    value, out, at = request.frame.value, bytearray(), 0
    persistent = not request.bucket.ephemeral
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
        vbucket = _copy(request, number)
        collection_id, key = split_key(field, collections=request.has(Feature.COLLECTIONS))
        vbucket.find((collection_id, key), request.wall)
        document = vbucket.documents.get((collection_id, key))
        if document is None:
            state = _NOT_FOUND
        elif document.deleted:
            state = _DELETED
        else:
            state = _PERSISTED if persistent else _FOUND
        cas = document.cas if document else 0
        out += value[at : at + 4 + length] + state.to_bytes(1) + cas.to_bytes(8)
        at += 4 + length
    return Answer(value=bytes(out))


def check_observe(request: Request) -> None:
    """Check that there is at least the head of one key."""
    if len(request.frame.value) < 4:
        raise invalid("Requires vbid and keylen.")


def _copy(request: Request, number: int) -> VBucket:
    """Give a vbucket of which this node has a copy, active or replica."""
    vbuckets = request.bucket.vault.vbuckets
    if number < len(vbuckets) and vbuckets[number].states.get(request.node.node_id) in {
        State.ACTIVE,
        State.REPLICA,
    }:
        return vbuckets[number]
    raise request.connection.not_my_vbucket()


def observe_seqno(request: Request) -> Answer:
    """OBSERVE_SEQNO (0x91): format 0, or 1 where the client's branch of history has ended."""
    asked = int.from_bytes(request.frame.value)
    vbucket = _copy(request, request.frame.vbucket)
    persisted = 0 if request.bucket.ephemeral else vbucket.seqno
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


# --- vbuckets -----------------------------------------------------------------------------------


def get_all_vb_seqnos(request: Request) -> Answer:
    """GET_ALL_VB_SEQNOS (0x48): of the vbuckets in a state (0: all that live)."""
    extras = request.frame.extras
    state = _STATES.get(int.from_bytes(extras[:4]))
    collection_id = int.from_bytes(extras[4:]) if extras[4:] else None
    vault = request.bucket.vault
    if collection_id is not None and collection_id not in vault.manifest.collections:
        raise request.unknown_collection()
    out = bytearray()
    for vbucket in vault.vbuckets:
        found = vbucket.states.get(request.node.node_id, State.DEAD)
        if found is state or (state is None and found is not State.DEAD):
            if found is State.DEAD and request.node.node_id not in vbucket.states:
                continue
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
    number = request.frame.vbucket
    vbuckets = request.bucket.vault.vbuckets
    state = vbuckets[number].states.get(request.node.node_id) if number < len(vbuckets) else None
    if state is None:
        raise request.connection.not_my_vbucket()
    return Answer(value=_NUMBER_OF_STATE[state].to_bytes(4))


def get_failover_log(request: Request) -> Answer:
    """GET_FAILOVER_LOG (0x96): (uuid, seqno) pairs, the newest first."""
    if request.has(Feature.UNORDERED):
        raise Refusal(
            Status.NOT_SUPPORTED,
            "DCP on connections with unordered execution is not supported",
        )
    log = _copy(request, request.frame.vbucket).failover_log
    return Answer(value=b"".join(uuid.to_bytes(8) + seqno.to_bytes(8) for uuid, seqno in log))


def get_random_key(request: Request) -> Answer:
    """GET_RANDOM_KEY (0xb6): some document of a collection that is active on this node."""
    collection_id = int.from_bytes(request.frame.extras)
    vault = request.bucket.vault
    if collection_id not in vault.manifest.collections:
        unknown = request.unknown_collection()
        unknown.status = Status.EACCESS
        raise unknown
    for (uid, key), document in _active_documents(request):
        if uid == collection_id:
            value, datatype = shown_value(request, document)
            prefix = encode_leb128(uid) if request.has(Feature.COLLECTIONS) else b""
            return Answer(document.flags.to_bytes(4), prefix + key, value, datatype, document.cas)
    raise Refusal(Status.KEY_ENOENT)


def check_random_key(request: Request) -> None:
    """Check that the collection is named exactly where collections are in use."""
    length = len(request.frame.extras)
    if request.has(Feature.COLLECTIONS):
        if length != 4:
            raise invalid("Request must include extras of length 4")
    elif length:
        raise invalid("Request must not include extras")


def _active_documents(request: Request) -> Iterator[tuple[tuple[int, bytes], Document]]:
    for vbucket in request.bucket.vault.vbuckets:
        if vbucket.states.get(request.node.node_id) is State.ACTIVE:
            for document_id in list(vbucket.documents):
                document = vbucket.find(document_id, request.wall)
                if document is not None:
                    yield document_id, document


def create_range_scan(request: Request) -> Answer:
    """RANGE_SCAN_CREATE (0xda): refused as the real server refuses it; there are no scans yet."""
    request.vbucket()
    if request.bucket.ephemeral:
        raise Refusal(Status.NOT_SUPPORTED)
    user, name = request.connection.user, request.bucket.name
    if user is None or not user.may_in_bucket("RangeScan", name):
        raise Refusal(
            Status.EACCESS,
            f"RangeScan vb:{request.frame.vbucket} 00000000-0000-0000-0000-000000000000 createScan "
            "hasPrivilege returned failure: no access",
            reference=True,
        )
    raise Refusal(Status.NOT_SUPPORTED)


def check_range_scan(request: Request) -> None:
    """Check the request's datatype."""
    if request.frame.datatype != Datatype.JSON:
        raise invalid("Datatype must be JSON")


# --- STAT ---------------------------------------------------------------------------------------

Statistics = Iterable[tuple[str, object]]


def stat(request: Request) -> list[Answer]:
    """STAT (0x10): one answer for each value, and one with an empty key at the end."""
    group, *arguments = request.frame.key.decode("utf-8", "replace").split() or [""]
    if group == "reset":
        request.require("Stats", here=False)
        raise Refusal(Status.NOT_SUPPORTED)
    handler = _GROUPS.get(group)
    if handler is None:
        raise Refusal(Status.KEY_ENOENT)
    typed = group in _TYPED and request.has(Feature.JSON)
    answers = []
    for name, value in handler(request, arguments):
        is_number = isinstance(value, int)
        text = json.dumps(value) if is_number else str(value)
        answers.append(
            Answer(
                key=name.encode(),
                value=text.encode(),
                datatype=Datatype.JSON if typed and is_number else Datatype.RAW,
            )
        )
    return [*answers, Answer()]


def _all(request: Request, _: list[str]) -> Statistics:
    active = list(_active_documents(request))
    cluster = request.cluster
    yield "curr_items", len(active)
    yield "vb_active_num", _count(request, State.ACTIVE)
    yield "vb_replica_num", _count(request, State.REPLICA)
    yield "vb_pending_num", _count(request, State.PENDING)
    yield "vb_dead_num", _count(request, State.DEAD)
    yield "mem_used", sum(len(document.value) for _, document in active)
    yield "ep_bucket_type", "ephemeral" if request.bucket.ephemeral else "persistent"
    yield "time", int(cluster.clock.wall())
    yield "uptime", int(cluster.clock.now())


def _count(request: Request, state: State) -> int:
    node_id = request.node.node_id
    return sum(each.states.get(node_id) is state for each in request.bucket.vault.vbuckets)


def _uuid(request: Request, _: list[str]) -> Statistics:
    return [("uuid", request.bucket.uuid)]


def _key(request: Request, arguments: list[str]) -> Statistics:
    if len(arguments) != 2 or not arguments[1].isdecimal():
        raise Refusal(Status.KEY_ENOENT)
    vbucket = request.vbucket(number=int(arguments[1]))
    request.key = arguments[0].encode()
    document = existing(request, vbucket)
    bits = (
        ("json", Datatype.JSON),
        ("snappy", Datatype.SNAPPY),
        ("xattr", Datatype.XATTR),
    )
    names = [name for name, bit in bits if document.stored_datatype & bit]
    return [
        ("key_is_dirty", False),
        ("key_exptime", document.expiry),
        ("key_datatype", ",".join(names) or "raw"),
        # The real server forgets to swap the bytes.
        ("key_flags", int.from_bytes(document.flags.to_bytes(4), "little")),
        ("key_cas", document.cas),
        ("key_vb_state", "active"),
        ("key_is_resident", True),
    ]


def _vkey(request: Request, arguments: list[str]) -> Statistics:
    return [*_key(request, arguments), ("key_valid", "valid")]


def _named_vbuckets(request: Request, arguments: list[str]) -> list[VBucket]:
    if not arguments:
        node_id = request.node.node_id
        return [each for each in request.bucket.vault.vbuckets if node_id in each.states]
    if not arguments[0].isdecimal():
        raise Refusal(Status.EINVAL)
    return [_copy(request, int(arguments[0]))]


def _vbucket_seqno(request: Request, arguments: list[str]) -> Statistics:
    for vbucket in _named_vbuckets(request, arguments):
        prefix = f"vb_{vbucket.number}:"
        yield prefix + "high_seqno", vbucket.seqno
        yield prefix + "abs_high_seqno", vbucket.seqno
        yield prefix + "last_persisted_seqno", 0 if request.bucket.ephemeral else vbucket.seqno
        yield prefix + "uuid", vbucket.uuid
        yield prefix + "purge_seqno", 0
        yield prefix + "last_persisted_snap_start", vbucket.seqno
        yield prefix + "last_persisted_snap_end", vbucket.seqno
        yield prefix + "high_prepared_seqno", 0
        yield prefix + "high_completed_seqno", 0
        yield prefix + "max_visible_seqno", vbucket.seqno


def _failovers(request: Request, arguments: list[str]) -> Statistics:
    for vbucket in _named_vbuckets(request, arguments):
        prefix = f"vb_{vbucket.number}:"
        yield prefix + "num_entries", len(vbucket.failover_log)
        yield prefix + "num_erroneous_entries_erased", 0
        for index, (uuid, seqno) in enumerate(vbucket.failover_log):
            yield f"{prefix}{index}:id", uuid
            yield f"{prefix}{index}:seq", seqno


def _collections(request: Request, arguments: list[str]) -> Statistics:
    manifest = request.bucket.vault.manifest
    if arguments:
        scope, _, name = arguments[0].partition(".")
        found = manifest.find(scope, name)
        if found is None:
            raise request.unknown_collection()
        return list(_collection_numbers(request, found))
    values: list[tuple[str, object]] = [("manifest_uid", f"{manifest.uid:x}")]
    for collection in manifest.collections.values():
        prefix = _collection_prefix(request, collection)
        values.append((prefix + "name", collection.name))
        if collection.max_ttl:
            values.append((prefix + "maxTTL", collection.max_ttl))
        values += [(prefix + "metered", "no"), (prefix + "history", "false")]
        values += _collection_numbers(request, collection)
        if collection.max_ttl:
            values.append((prefix + "maxTTL", collection.max_ttl))
    return values


def _collection_prefix(request: Request, collection: Collection) -> str:
    scope_id = request.bucket.vault.manifest.scopes[collection.scope]
    return f"0x{scope_id:x}:0x{collection.uid:x}:"


def _collection_numbers(request: Request, collection: Collection) -> Statistics:
    prefix = _collection_prefix(request, collection)
    yield from _numbers(request, prefix, {collection.uid})
    yield prefix + "name", collection.name
    yield prefix + "scope_name", collection.scope


def _numbers(request: Request, prefix: str, collection_ids: set[int]) -> Statistics:
    documents = [
        document for (uid, _), document in _active_documents(request) if uid in collection_ids
    ]
    size = sum(len(document.value) for document in documents)
    yield prefix + "collections_mem_used", size
    yield prefix + "items", len(documents)
    yield prefix + "data_size", size
    # Operations are counted for the whole cluster, by name: see EmbeddedCluster.operations.
    yield prefix + "ops_store", 0
    yield prefix + "ops_delete", 0
    yield prefix + "ops_get", 0


def _scopes(request: Request, _: list[str]) -> Statistics:
    manifest = request.bucket.vault.manifest
    yield "manifest_uid", f"{manifest.uid:x}"
    for scope, uid in manifest.scopes.items():
        inside = [each for each in manifest.collections.values() if each.scope == scope]
        prefix = f"0x{uid:x}:"
        yield prefix + "name", scope
        yield prefix + "collections", len(inside)
        for collection in inside:
            yield f"{prefix}0x{collection.uid:x}:name", collection.name
        yield from _numbers(request, prefix, {collection.uid for collection in inside})
        yield prefix + "name", scope
        yield prefix + "collections", len(inside)


def _connections(request: Request, _: list[str]) -> Statistics:
    user = request.connection.user
    for connection in request.node.connections:
        if connection.user == user:
            document = {
                "agent_name": connection.agent,
                "peername": connection.peer,
                "ssl": connection.tls,
                "features": sorted(connection.features),
                "user": connection.user.name if connection.user else "",
                "bucket": connection.bucket.name if connection.bucket else "",
            }
            yield "", json.dumps(document, sort_keys=True)


_GROUPS: Final[dict[str, Callable[[Request, list[str]], Statistics]]] = {
    "": _all,
    "uuid": _uuid,
    "key": _key,
    "vkey": _vkey,
    "vbucket-seqno": _vbucket_seqno,
    "failovers": _failovers,
    "collections": _collections,
    "scopes": _scopes,
    "connections": _connections,
}
# Groups in which numbers are marked as JSON.
_TYPED: Final = frozenset({"", "key", "vkey", "vbucket-seqno", "failovers"})
