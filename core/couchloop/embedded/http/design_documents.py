"""The endpoints about design documents: of the views' service, and the cluster manager's list.

GET, PUT, DELETE   /BUCKET/_design/DESIGN                  views
GET                /pools/default/buckets/BUCKET/ddocs     cluster manager
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from couchloop.embedded.http.router import (
    NOT_FOUND,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.design_documents import (
    DesignDocument,
    DesignDocuments,
    InvalidDesignError,
    checked_design,
)
from couchloop.embedded.views.protocols import ViewFailedError
from couchloop.embedded.views.view import check_functions


def get_design(request: HttpRequest) -> Response:
    """Return a design document as it was stored."""
    found = _found(request, bucket_of(request, "read"))
    meta = json.dumps({**found.meta, "type": "json"}, separators=(",", ":"))
    headers = (("Content-Type", "application/json"), ("X-Couchbase-Meta", meta))
    return Response(200, found.text, headers)


def put_design(request: HttpRequest) -> Response:
    """Store a design document."""
    bucket = bucket_of(request, "write")
    name = request.path["design"]
    try:
        _put(bucket.design_documents, name, request.body)
    except (InvalidDesignError, ViewFailedError) as error:
        raise refused(400, "invalid_design_document", str(error)) from None
    return answer_json({"ok": True, "id": f"_design/{name}"}, 201)


def _put(designs: DesignDocuments, name: str, text: bytes) -> None:
    check_functions(checked_design(text), designs.callables)
    designs.put(name, text)


def delete_design(request: HttpRequest) -> Response:
    """Delete a design document."""
    bucket = bucket_of(request, "write")
    found = _found(request, bucket)
    bucket.design_documents.delete(found.name)
    return answer_json({"ok": True, "id": f"_design/{found.name}"})


def list_designs(request: HttpRequest) -> Response:
    """Return all design documents of a bucket."""
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None:
        raise RefusedError(Response(404, NOT_FOUND))
    _need(request, name, "read")
    if not _has_views(bucket):
        return answer_json({"error": "no_ddocs_service"}, 400)
    return answer_json({"rows": [_row(name, each) for each in bucket.design_documents]})


def _row(bucket: str, design: DesignDocument) -> dict[str, object]:
    path = f"/pools/default/buckets/{quote(bucket, safe='')}/ddocs"
    controller = f"{path}/{quote(f'_design/{design.name}', safe='')}/controller"
    controllers = {
        "compact": f"{controller}/compactView",
        "setUpdateMinChanges": f"{controller}/setUpdateMinChanges",
    }
    return {
        "doc": {"meta": design.meta, "json": design.document},
        "controllers": controllers,
    }


def bucket_of(request: HttpRequest, permission: str) -> Bucket:
    """Return the bucket that the path names, if the user may do that with its views."""
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None:
        raise refused(404, "not_found", "missing")
    _need(request, name, permission)
    if not _has_views(bucket):
        raise refused(404, "not_found", "no_couchbase_bucket_exists")
    return bucket


def _need(request: HttpRequest, bucket: str, permission: str) -> None:
    user = request.user
    roles = ["views_admin", "bucket_admin", "bucket_full_access"]
    if permission != "write":
        roles.append("views_reader")
    # Who has all rights on a bucket's documents has those on its views too.
    allowed = user.may_in_bucket("SystemXattrWrite", bucket) or any(
        user.has_role(role, bucket) for role in roles
    )
    request.need(f"cluster.bucket[{bucket}].views!{permission}", allowed=allowed)


def _has_views(bucket: Bucket) -> bool:
    return not bucket.ephemeral and not bucket.memcached


def _found(request: HttpRequest, bucket: Bucket) -> DesignDocument:
    name = request.path["design"]
    found = bucket.design_documents.get(name)
    if found is None:
        was_there = bucket.design_documents.was_deleted(name)
        raise refused(404, "not_found", "deleted" if was_there else "missing")
    return found


def refused(status: int, error: str, reason: str) -> RefusedError:
    """Return a refusal in the form of the views' service."""
    return RefusedError(answer_json({"error": error, "reason": reason}, status))


_DESIGN: Final = "/{bucket}/_design/{design}"

VIEWS: Final = (
    Route("GET", _DESIGN, get_design),
    Route("PUT", _DESIGN, put_design),
    Route("DELETE", _DESIGN, delete_design),
)
MANAGEMENT: Final = (Route("GET", "/pools/default/buckets/{bucket}/ddocs", list_designs),)
