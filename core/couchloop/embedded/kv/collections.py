"""The manifest, and the ids of scopes and collections by their names."""

from __future__ import annotations

import json
import re
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.header import check_no_vbucket
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.manifest import Manifest
from couchloop.wire.constants import Status

_NAME: Final = re.compile(rb"[A-Za-z0-9_%$-]{0,251}")


def check_name(request: Request) -> None:
    """Check that a scope or a collection is named once."""
    check_no_vbucket(request)
    if request.frame.key and request.frame.value:
        raise invalid("Cannot set both key and value")


def get_manifest(request: Request) -> Answer:
    """COLLECTIONS_GET_MANIFEST (0xba): what the user may see of it."""
    bucket, user = request.bucket, request.connection.user
    visible = {
        uid
        for uid, collection in request.manifest.collections.items()
        if user is not None and user.sees_collection(bucket.name, collection.scope, collection.name)
    }
    manifest = request.manifest
    everything = visible == manifest.collections.keys()
    return Answer(
        value=manifest.encode(None if everything else visible), datatype=request.json_datatype()
    )


def set_manifest(request: Request) -> Answer:
    """COLLECTIONS_SET_MANIFEST (0xb9): this node alone takes it; the others lag behind."""
    text = request.frame.value.decode("utf-8", "surrogateescape")
    refused = invalid(
        f"Collections::Manager::update manifest json invalid:{text}: invalid arguments"
    )
    try:
        document = json.loads(text)
        manifest = Manifest.decode(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refused from None
    if "_default" not in manifest.scopes or manifest.uid < request.manifest.uid:
        raise refused
    request.cluster.set_manifest(request.bucket.name, document, nodes=[request.node])
    return Answer()


def get_collection_id(request: Request) -> Answer:
    """COLLECTIONS_GET_ID (0xbb): extras of the answer are manifest uid and collection id."""
    bucket, user = request.bucket, request.connection.user
    path = request.frame.value or request.frame.key
    scope, dot, name = path.partition(b".")
    if not dot or not _NAME.fullmatch(scope) or not _NAME.fullmatch(name):
        raise Refusal(Status.EINVAL)
    manifest = request.manifest
    scope_name = scope.decode() or "_default"
    if scope_name not in manifest.scopes:
        raise request.unknown_scope()
    found = manifest.find(scope_name, name.decode() or "_default")
    if (
        found is None
        or user is None
        or not user.sees_collection(bucket.name, found.scope, found.name)
    ):
        raise request.unknown_collection()
    return Answer(extras=manifest.uid.to_bytes(8) + found.uid.to_bytes(4))


def get_scope_id(request: Request) -> Answer:
    """COLLECTIONS_GET_SCOPE_ID (0xbc): extras of the answer are manifest uid and scope id."""
    name = request.frame.value or request.frame.key
    scope = name.partition(b".")[0]
    if not _NAME.fullmatch(scope):
        raise Refusal(Status.EINVAL)
    manifest = request.manifest
    uid = manifest.scopes.get(scope.decode() or "_default")
    if uid is None:
        raise request.unknown_scope()
    return Answer(extras=manifest.uid.to_bytes(8) + uid.to_bytes(4))
