"""The endpoints about design documents: of the views' service, and the cluster manager's list.

GET, PUT, DELETE   /BUCKET/_design/DESIGN                  views
GET, POST          /BUCKET/_design/DESIGN/_view/VIEW       views: nothing runs them yet
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
from couchloop.embedded.storage.design_documents import DesignDocument, InvalidDesignError


def get_design(request: HttpRequest) -> Response:
    """Return a design document as it was stored."""
    found = _found(request, _bucket(request, "read"))
    meta = json.dumps({**found.meta, "type": "json"}, separators=(",", ":"))
    headers = (("Content-Type", "application/json"), ("X-Couchbase-Meta", meta))
    return Response(200, found.text, headers)


def put_design(request: HttpRequest) -> Response:
    """Store a design document."""
    bucket = _bucket(request, "write")
    name = request.path["design"]
    try:
        bucket.design_documents.put(name, request.body)
    except InvalidDesignError as error:
        raise _refused(400, "invalid_design_document", str(error)) from None
    return answer_json({"ok": True, "id": f"_design/{name}"}, 201)


def delete_design(request: HttpRequest) -> Response:
    """Delete a design document."""
    bucket = _bucket(request, "write")
    found = _found(request, bucket)
    bucket.design_documents.delete(found.name)
    return answer_json({"ok": True, "id": f"_design/{found.name}"})


def query_view(request: HttpRequest) -> Response:
    """Refuse to ask a view that there is: nothing here runs its JavaScript."""
    bucket = _bucket(request, "execute")
    name, view = request.path["design"], request.path["view"]
    design = bucket.design_documents.get(name)
    if design is None:
        raise _refused(404, "not_found", f"Design document _design/{name} not found")
    if view not in design.document.get("views", {}):
        reason = (
            f"Error opening view `{view}`, from set `{bucket.name}`, design document "
            f"`_design/{name}`: {{not_found,missing_named_view}}"
        )
        raise _refused(404, "not_found", reason)
    reason = "asking a view is not supported by the embedded views service"
    raise _refused(400, "bad_request", reason)


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


def _bucket(request: HttpRequest, permission: str) -> Bucket:
    """Return the bucket that the path names, if the user may do that with its views."""
    name = request.path["bucket"]
    bucket = request.cluster.buckets.get(name)
    if bucket is None:
        raise _refused(404, "not_found", "missing")
    _need(request, name, permission)
    if not _has_views(bucket):
        raise _refused(404, "not_found", "no_couchbase_bucket_exists")
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
        raise _refused(404, "not_found", "deleted" if was_there else "missing")
    return found


def _refused(status: int, error: str, reason: str) -> RefusedError:
    return RefusedError(answer_json({"error": error, "reason": reason}, status))


_DESIGN: Final = "/{bucket}/_design/{design}"
_VIEW: Final = _DESIGN + "/_view/{view}"

VIEWS: Final = (
    Route("GET", _DESIGN, get_design),
    Route("PUT", _DESIGN, put_design),
    Route("DELETE", _DESIGN, delete_design),
    Route("GET", _VIEW, query_view),
    Route("POST", _VIEW, query_view),
)
MANAGEMENT: Final = (Route("GET", "/pools/default/buckets/{bucket}/ddocs", list_designs),)
