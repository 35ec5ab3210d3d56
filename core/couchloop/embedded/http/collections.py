"""The cluster manager's endpoints about scopes and collections.

All are below /pools/default/buckets/BUCKET:

    GET    scopes                                   the manifest
    POST   scopes                                   create a scope: name
    DELETE scopes/SCOPE
    POST   scopes/SCOPE/collections                 create one: name, maxTTL, history
    PATCH  scopes/SCOPE/collections/COLLECTION      maxTTL, history
    DELETE scopes/SCOPE/collections/COLLECTION
    POST   scopes/@ensureManifest/UID               is it everywhere yet?
"""

from __future__ import annotations

import json
from typing import Final

from couchloop.embedded.http.router import (
    NOT_FOUND,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.manifest import name_fault

_LONGEST_TTL: Final = 2147483647


def _refused(status: int, text: str, field: str = "_") -> RefusedError:
    return RefusedError(answer_json({"errors": {field: text}}, status))


def bucket_of(request: HttpRequest) -> Bucket:
    """Return the bucket that the path names. Raises RefusedError if it is not there."""
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None or not request.user.sees(name):
        raise RefusedError(Response(404, NOT_FOUND))
    if bucket.memcached:
        raise RefusedError(Response(400, b"Not allowed on this type of bucket"))
    return bucket


def _may_change(request: HttpRequest) -> Bucket:
    bucket = bucket_of(request)
    permission = f"cluster.bucket[{bucket.name}].collections!write"
    scope = request.path.get("scope", "*")
    allowed = request.user.has_role("bucket_admin", bucket.name)
    request.need(
        permission, allowed=allowed or request.user.has_role("scope_admin", bucket.name, scope)
    )
    return bucket


def manifest(request: HttpRequest) -> Response:
    """Return the scopes and collections."""
    bucket = bucket_of(request)
    document = json.loads(bucket.manifest.encode())
    for scope in document["scopes"]:
        for collection in scope["collections"]:
            collection.setdefault("maxTTL", 0)
            collection.setdefault("history", bucket.properties.keeps_history)
    return answer_json(document)


def create_scope(request: HttpRequest) -> Response:
    """Create a scope."""
    bucket = _may_change(request)
    name = _new_name(request.form())
    if name in bucket.manifest.scopes:
        raise _refused(400, f'Scope with name "{name}" already exists')
    request.cluster.create_scope(bucket.name, name)
    return _uid(bucket)


def drop_scope(request: HttpRequest) -> Response:
    """Drop a scope with all that is in it."""
    bucket = _may_change(request)
    scope = _scope(request, bucket)
    if scope.startswith("_"):
        raise _refused(400, f"Deleting {scope} scope is not allowed")
    request.cluster.drop_scope(bucket.name, scope)
    return _uid(bucket)


def create_collection(request: HttpRequest) -> Response:
    """Create a collection."""
    bucket = _may_change(request)
    scope = _scope(request, bucket)
    form = request.form()
    name = _new_name(form)
    max_ttl = _max_ttl(form)
    if bucket.manifest.find(scope, name) is not None:
        text = f'Collection with name "{name}" in scope "{scope}" already exists'
        raise _refused(400, text)
    request.cluster.create_collection(bucket.name, f"{scope}.{name}", max_ttl=max_ttl or 0)
    return _uid(bucket)


def update_collection(request: HttpRequest) -> Response:
    """Change how long documents of a collection live."""
    bucket = _may_change(request)
    path = _collection(request, bucket)
    max_ttl = _max_ttl(request.form())
    if max_ttl is not None:
        request.cluster.update_collection(bucket.name, path, max_ttl)
    return _uid(bucket)


def drop_collection(request: HttpRequest) -> Response:
    """Drop a collection with all that is in it."""
    bucket = _may_change(request)
    path = _collection(request, bucket)
    if path.startswith("_system."):
        raise _refused(400, "Cannot drop system collection")
    request.cluster.drop_collection(bucket.name, path)
    return _uid(bucket)


def ensure_manifest(request: HttpRequest) -> Response:
    """Say whether all nodes know a manifest, or a newer one."""
    bucket = bucket_of(request)
    try:
        wanted = int(request.path["uid"], 16)
    except ValueError:
        raise _refused(400, "Invalid manifest uid", "uid") from None
    slowest = min(bucket.manifest_at(node.node_id).uid for node in request.cluster.nodes)
    return Response(200) if slowest >= wanted else Response(504, b"timeout")


def _scope(request: HttpRequest, bucket: Bucket) -> str:
    scope = request.path["scope"]
    if scope not in bucket.manifest.scopes:
        raise _refused(404, f'Scope with name "{scope}" is not found')
    return scope


def _collection(request: HttpRequest, bucket: Bucket) -> str:
    scope = _scope(request, bucket)
    name = request.path["collection"]
    if bucket.manifest.find(scope, name) is None:
        raise _refused(404, f'Collection with name "{name}" in scope "{scope}" is not found')
    return f"{scope}.{name}"


def _new_name(form: dict[str, str]) -> str:
    name = form.get("name")
    if name is None:
        raise _refused(400, "The value must be supplied", "name")
    fault = name_fault(name)
    if fault:
        raise _refused(400, fault, "name")
    return name


def _max_ttl(form: dict[str, str]) -> int | None:
    text = form.get("maxTTL")
    if text is None:
        return None
    try:
        seconds = int(text)
    except ValueError:
        raise _refused(400, "The value must be an integer", "maxTTL") from None
    if not -1 <= seconds <= _LONGEST_TTL:
        raise _refused(400, f"The value must be in range from -1 to {_LONGEST_TTL}", "maxTTL")
    return seconds


def _uid(bucket: Bucket) -> Response:
    return answer_json({"uid": f"{bucket.manifest.uid:x}"})


_BUCKET: Final = "/pools/default/buckets/{bucket}"
_SCOPE: Final = _BUCKET + "/scopes/{scope}"

ROUTES: Final = (
    Route("GET", f"{_BUCKET}/scopes", manifest),
    Route("POST", f"{_BUCKET}/scopes", create_scope),
    Route("POST", f"{_BUCKET}/scopes/@ensureManifest/{{uid}}", ensure_manifest),
    Route("DELETE", _SCOPE, drop_scope),
    Route("POST", f"{_SCOPE}/collections", create_collection),
    Route("PATCH", f"{_SCOPE}/collections/{{collection}}", update_collection),
    Route("DELETE", f"{_SCOPE}/collections/{{collection}}", drop_collection),
)
