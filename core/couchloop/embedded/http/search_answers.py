"""What the search service's endpoints have in common: which index, who may, how it answers."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from couchloop.embedded.http.router import (
    JSON,
    HttpRequest,
    Refusals,
    RefusedError,
    Response,
    answer_json,
)
from couchloop.embedded.search.decoding import load_json
from couchloop.embedded.storage.search_indexes import SearchIndex, SearchIndexes
from couchloop.embedded.topology.node import Node

SERVER_ERROR: Final = 500
VERSION: Final = "7.6.0"
"""Of the format of definitions."""
_GOOD: Final = (
    ("Cache-Control", "no-cache"),
    ("Content-Type", "application/json;version=2.0.0"),
)
_REFUSED: Final = (*JSON, ("X-Content-Type-Options", "nosniff"))


def indexes_of(request: HttpRequest) -> SearchIndexes:
    """Return the indexes that there are by now."""
    indexes = request.cluster.search_indexes
    indexes.forget(request.cluster.buckets)
    return indexes


def prefix_of(request: HttpRequest) -> str:
    """Return what stands before the names of a scope's indexes; empty: they are the cluster's."""
    path = request.path
    return f"{path['bucket']}.{path['scope']}." if "scope" in path else ""


def found_index(request: HttpRequest, permission: str = "read") -> SearchIndex:
    """Return the index of the path. Raises RefusedError if there is none, or it may not be used."""
    index = indexes_of(request).get(prefix_of(request) + request.path["index"])
    if index is None:
        raise refused(request, "rest_auth: preparePerms, err: index not found")
    need_permission(request, index, permission)
    return index


def need_permission(request: HttpRequest, index: SearchIndex, permission: str) -> None:
    """Raise RefusedError (403) if the user may not do that with an index."""
    if not may_use(request, index, permission):
        said = {
            "message": "Forbidden. User needs one of the following permissions",
            "permissions": [f"{permission} permission for the source."],
        }
        raise RefusedError(answer_json(said, 403))


def may_use(request: HttpRequest, index: SearchIndex, permission: str = "read") -> bool:
    """Whether the user may do that with an index, or with all for which an alias stands."""
    roles = ("fts_admin", "fts_searcher") if permission == "read" else ("fts_admin",)
    sources = request.cluster.search_indexes.sources(index)
    return all(any(request.user.has_role(role, bucket) for role in roles) for bucket in sources)


def good(document: object) -> Response:
    """Return an answer of success."""
    return Response(200, json.dumps(document, separators=(",", ":")).encode(), _GOOD)


def refused(request: HttpRequest, text: str, status_code: int = 400) -> RefusedError:
    """Return a refusal, with what was sent: as JSON, or as the text that it is."""
    later = (("Retry-After", "30"),) if status_code >= SERVER_ERROR else ()
    sent = "" if is_form(request) else _sent(request.body)
    said = {"error": text, "request": sent, "status": "fail"}
    try:
        shown = json.dumps(said)
    except RecursionError:
        shown = json.dumps({**said, "request": request.body.decode("utf-8", "replace")})
    return RefusedError(Response(status_code, shown.encode(), (*_REFUSED, *later)))


def is_form(request: HttpRequest) -> bool:
    """Whether a request's body is one that the service's form parser reads: nothing is left."""
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _sent(body: bytes) -> Any:
    """Return a body as it is told in a refusal: as an object, or as the text that it is."""
    try:
        sent = load_json(body) if body else ""
    except ValueError:
        sent = None
    return sent if isinstance(sent, dict) else body.decode("utf-8", "replace")


def holders(request: HttpRequest, index: SearchIndex, number: int) -> list[Node]:
    """Return the nodes that have a partition: the first is asked, the others have copies."""
    nodes = [node for node in request.cluster.nodes if node.runs("fts")]
    copies = range(index.plan_params["numReplicas"] + 1)
    return [nodes[(number + copy) % len(nodes)] for copy in copies] if nodes else []


def partitions_of(request: HttpRequest, index: SearchIndex) -> list[dict[str, Any]] | None:
    """Return the partitions of an index, spread over the nodes that have the service."""
    if index.is_alias:
        return None
    vbuckets = len(request.cluster.buckets[index.source_name].partitions)
    size = index.plan_params["maxPartitionsPerPIndex"]
    found = []
    for number, start in enumerate(range(0, vbuckets, size)):
        covered = ",".join(map(str, range(start, min(start + size, vbuckets))))
        digest = sha256(covered.encode()).hexdigest()
        found.append(
            {
                "name": f"{index.name}_{index.uuid}_{digest[:8]}",
                "uuid": digest[8:24],
                "indexType": index.kind,
                "indexName": index.name,
                "indexUUID": index.uuid,
                "sourceType": index.source_type,
                "sourceName": index.source_name,
                "sourceUUID": index.source_uuid,
                "sourcePartitions": covered,
                "plannerVersion": VERSION,
                "nodes": {
                    f"{request.cluster.uuid[:24]}{node.node_id:08x}": {
                        "canRead": index.may("canRead"),
                        "canWrite": index.may("canWrite"),
                        "priority": priority,
                    }
                    for priority, node in enumerate(holders(request, index, number))
                },
            }
        )
    return found


def _no_path(path: str, body: bytes) -> Response:
    """Return what is answered where a path leads nowhere."""
    if path.endswith("/") and path != "/":
        return Response(307, headers=(("Location", quote(path.rstrip("/"), safe="/%")),))
    if path.startswith("/api/") and "/index//" in path:
        said = {"error": "index name is required", "request": _sent(body), "status": "fail"}
        return Response(400, json.dumps(said).encode(), _REFUSED)
    said = {"error": "Page not found", "status": "fail"}
    return Response(404, json.dumps(said).encode(), _REFUSED)


def _no_method(allowed: list[str]) -> Response:
    """Return what is answered to a method that a path has not."""
    names = ", ".join(sorted({"OPTIONS", *allowed} - {"HEAD"}))
    said = {"error": "Method not allowed for endpoint", "status": "fail"}
    return Response(405, json.dumps(said).encode(), (*_REFUSED, ("Allow", names)))


REFUSALS: Final = Refusals(_no_path, _no_method)
