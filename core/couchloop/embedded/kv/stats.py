"""STAT: statistics, one answer for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import active_documents, any_copy, existing
from couchloop.embedded.storage.manifest import Collection
from couchloop.embedded.storage.vbucket import State, VBucket
from couchloop.wire.constants import Datatype, Feature, Status

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
    active = list(active_documents(request))
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
    return sum(copy.state is state for copy in request.bucket.copies(node_id))


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
        return list(request.bucket.copies(request.node.node_id))
    if not arguments[0].isdecimal():
        raise Refusal(Status.EINVAL)
    return [any_copy(request, int(arguments[0]))]


def _vbucket_seqno(request: Request, arguments: list[str]) -> Statistics:
    for vbucket in _named_vbuckets(request, arguments):
        prefix = f"vb_{vbucket.number}:"
        yield prefix + "high_seqno", vbucket.seqno
        yield prefix + "abs_high_seqno", vbucket.seqno
        persisted = 0 if request.bucket.ephemeral else vbucket.persisted()
        yield prefix + "last_persisted_seqno", persisted
        yield prefix + "uuid", vbucket.uuid
        yield prefix + "purge_seqno", 0
        yield prefix + "last_persisted_snap_start", vbucket.seqno
        yield prefix + "last_persisted_snap_end", vbucket.seqno
        yield prefix + "high_prepared_seqno", vbucket.high_prepared
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
    manifest = request.manifest
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
    scope_id = request.manifest.scopes[collection.scope]
    return f"0x{scope_id:x}:0x{collection.uid:x}:"


def _collection_numbers(request: Request, collection: Collection) -> Statistics:
    prefix = _collection_prefix(request, collection)
    yield from _numbers(request, prefix, {collection.uid})
    yield prefix + "name", collection.name
    yield prefix + "scope_name", collection.scope


def _numbers(request: Request, prefix: str, collection_ids: set[int]) -> Statistics:
    documents = [
        document for (uid, _), document in active_documents(request) if uid in collection_ids
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
    manifest = request.manifest
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
