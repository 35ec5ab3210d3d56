"""The search service's endpoints about indexes; those of a scope are below /api/bucket/B/scope/S.

GET                /api/index                                  all that the user may see
GET, PUT, DELETE   /api/index/INDEX
GET                /api/index/INDEX/count, …/status
POST               /api/index/INDEX/ingestControl/OP           pause, resume
POST               /api/index/INDEX/queryControl/OP            allow, disallow
POST               /api/index/INDEX/planFreezeControl/OP       freeze, unfreeze
POST               /api/index/INDEX/query, …/analyzeDoc        nothing is indexed: refused
GET                /api/stats/index/INDEX, /api/nsstats
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

from couchloop.embedded.http.router import (
    JSON,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.http.search_definitions import new_definition
from couchloop.embedded.storage.search_indexes import SearchIndex, SearchIndexError, SearchIndexes

_GOOD: Final = (
    ("Cache-Control", "no-cache"),
    ("Content-Type", "application/json;version=2.0.0"),
)
_VERSION: Final = "7.6.0"
"""Of the format of definitions."""
_CONTROLS: Final = {
    "ingestControl": ("canWrite", {"pause": False, "resume": True}),
    "queryControl": ("canRead", {"allow": True, "disallow": False}),
    "planFreezeControl": ("planFrozen", {"freeze": True, "unfreeze": False}),
}
_SERVER_ERROR: Final = 500


def all_indexes(request: HttpRequest) -> Response:
    """Return all definitions, or those of a scope, under shorter names."""
    indexes, prefix = _indexes(request), _prefix(request)
    found = {
        each.name: each.document(each.name.removeprefix(prefix))
        for each in indexes
        if each.name.startswith(prefix) and _may(request, each)
    }
    defs = {"uuid": indexes.uuid, "indexDefs": found, "implVersion": _VERSION}
    # Null until there was one.
    return _good({"status": "ok", "indexDefs": defs if indexes.uuid else None})


def one_index(request: HttpRequest) -> Response:
    """Return one definition, and its partitions."""
    index = _found(request)
    return _good(
        {
            "status": "ok",
            "indexDef": index.document(request.path["index"]),
            "planPIndexes": _partitions(request, index),
            "warnings": None,
        }
    )


def put_index(request: HttpRequest) -> Response:
    """Make an index, or replace its definition."""
    indexes = _indexes(request)
    try:
        index, replaced = new_definition(request, _prefix(request))
        _need(request, index, "write")
        try:
            stored = indexes.put(index, replaced)
        except SearchIndexError as error:
            text = f"manager_api: could not save indexDefs, err: {error}"
            raise SearchIndexError(
                f"rest_create_index: error creating index: , err: {text}"
            ) from None
    except SearchIndexError as error:
        raise _refused(request, str(error)) from None
    except RecursionError:
        text = "rest_create_index: could not unmarshal json, err: exceeded max depth"
        raise _refused(request, text) from None
    return _good({"status": "ok", "name": stored.name, "uuid": stored.uuid})


def delete_index(request: HttpRequest) -> Response:
    """Drop an index."""
    index = _found(request, "write")
    return _good({"status": "ok", "uuid": request.cluster.search_indexes.delete(index.name).uuid})


def count(request: HttpRequest) -> Response:
    """Return how many documents an index has."""
    index = _found(request)
    return _good({"status": "ok", "count": _count(request, index)})


def status(request: HttpRequest) -> Response:
    """Say that an index has all its documents: it is as fast as that."""
    _found(request)
    return _good({"status": "ok", "indexStatus": "Ready"})


def control(request: HttpRequest) -> Response:
    """Switch what an index does."""
    known = _CONTROLS.get(request.path["control"])
    if known is None:
        return answer_json({"error": "Page not found", "status": "fail"}, 404)
    index = _found(request, "manage")
    what, operations = known
    wanted = operations.get(request.path["op"])
    if wanted is None:
        text = f"rest_index: IndexControl, error: unsupported op: {request.path['op']}"
        raise _refused(request, text)
    indexes = request.cluster.search_indexes
    if what == "planFrozen":
        indexes.freeze(index, on=wanted)
    else:
        if what == "canWrite" and not index.is_alias:
            index.held_count = None if wanted else _count(request, index)
        indexes.switch(index, what, on=wanted)
    return _good({"status": "ok"})


def query(request: HttpRequest) -> Response:
    """Refuse to search: nothing here is indexed."""
    index = _found(request)
    prefix = f"rest_index: Query, indexName: {index.name}, err: "
    if not index.may("canRead"):
        raise _refused(request, f"{prefix}pindex not available")
    raise _refused(request, f"{prefix}searching is not supported by the embedded search service")


def analyze(request: HttpRequest) -> Response:
    """Refuse to analyse a document: nothing here knows how."""
    index = _found(request)
    text = "analyzeDoc is not supported by the embedded search service"
    raise _refused(request, f"bleve: AnalyzeDoc, indexName: {index.name}, err: {text}")


def index_stats(request: HttpRequest) -> Response:
    """Return what is counted of one index."""
    index = _found(request)
    total = _count(request, index)
    partitions = _partitions(request, index) or []
    # All are said to be in the first: documents are not spread over partitions here.
    counted = {
        each["name"]: {"basic": {"DocCount": 0 if number else total}}
        for number, each in enumerate(partitions)
    }
    return _good({"feeds": {}, "pindexes": counted})


def all_stats(request: HttpRequest) -> Response:
    """Return what is counted of all indexes that the user may see."""
    counted: dict[str, int] = {}
    for index in _indexes(request):
        if index.is_alias or not _may(request, index):
            continue
        prefix = f"{index.source_name}:{index.name}"
        partitions = len(_partitions(request, index) or ())
        counted |= {
            f"{prefix}:doc_count": _count(request, index),
            f"{prefix}:num_mutations_to_index": 0,
            f"{prefix}:num_pindexes_actual": partitions,
            f"{prefix}:num_pindexes_target": partitions,
            f"{prefix}:total_queries": 0,
        }
    return _good(counted)


def _indexes(request: HttpRequest) -> SearchIndexes:
    """Return the indexes that there are by now."""
    indexes = request.cluster.search_indexes
    indexes.forget(request.cluster.buckets)
    return indexes


def _prefix(request: HttpRequest) -> str:
    """Return what stands before the names of a scope's indexes; empty: they are the cluster's."""
    path = request.path
    return f"{path['bucket']}.{path['scope']}." if "scope" in path else ""


def _found(request: HttpRequest, permission: str = "read") -> SearchIndex:
    index = _indexes(request).get(_prefix(request) + request.path["index"])
    if index is None:
        raise _refused(request, "rest_auth: preparePerms, err: index not found")
    _need(request, index, permission)
    return index


def _need(request: HttpRequest, index: SearchIndex, permission: str) -> None:
    if not _may(request, index, permission):
        said = {
            "message": "Forbidden. User needs one of the following permissions",
            "permissions": [f"{permission} permission for the source."],
        }
        raise RefusedError(answer_json(said, 403))


def _may(request: HttpRequest, index: SearchIndex, permission: str = "read") -> bool:
    """Whether the user may do that with an index, or with all for which an alias stands."""
    roles = ("fts_admin", "fts_searcher") if permission == "read" else ("fts_admin",)
    sources = request.cluster.search_indexes.sources(index)
    return all(any(request.user.has_role(role, bucket) for role in roles) for bucket in sources)


def _count(request: HttpRequest, index: SearchIndex) -> int:
    try:
        return request.cluster.search_indexes.count(index.name, request.cluster.buckets)
    except SearchIndexError as error:
        text = (
            f"rest_index: Count, indexName: {index.name}, err: alias: CountAlias indexAlias error, "
            f"indexName: {index.name}, indexUUID: , err: {error}"
        )
        raise _refused(request, text, _SERVER_ERROR) from None


def _partitions(request: HttpRequest, index: SearchIndex) -> list[dict[str, Any]] | None:
    """Return the partitions of an index, spread over the nodes that have the service."""
    if index.is_alias:
        return None
    nodes = [node for node in request.cluster.nodes if node.runs("fts")]
    vbuckets = len(request.cluster.buckets[index.source_name].partitions)
    size = index.plan_params["maxPartitionsPerPIndex"]
    found = []
    for number, start in enumerate(range(0, vbuckets, size)):
        covered = ",".join(map(str, range(start, min(start + size, vbuckets))))
        digest = sha256(covered.encode()).hexdigest()
        chosen = (
            nodes[(number + copy) % len(nodes)]
            for copy in range(index.plan_params["numReplicas"] + 1)
        )
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
                "plannerVersion": _VERSION,
                "nodes": {
                    f"{request.cluster.uuid[:24]}{node.node_id:08x}": {
                        "canRead": index.may("canRead"),
                        "canWrite": index.may("canWrite"),
                        "priority": priority,
                    }
                    for priority, node in enumerate(chosen)
                },
            }
        )
    return found


def _good(document: object) -> Response:
    return Response(200, json.dumps(document, separators=(",", ":")).encode(), _GOOD)


def _refused(request: HttpRequest, text: str, status_code: int = 400) -> RefusedError:
    """Return a refusal, with what was sent: as JSON, or as the text that it is."""
    try:
        sent = json.loads(request.body) if request.body else ""
    except (ValueError, RecursionError):
        sent = request.body.decode("utf-8", "replace")
    later = (("Retry-After", "30"),) if status_code >= _SERVER_ERROR else ()
    headers = (*JSON, ("X-Content-Type-Options", "nosniff"), *later)
    said = {"error": text, "request": sent, "status": "fail"}
    return RefusedError(Response(status_code, json.dumps(said).encode(), headers))


def _below(path: str) -> tuple[Route, ...]:
    """Return the routes of the cluster's indexes, or of a scope's."""
    one = f"{path}/{{index}}"
    return (
        Route("GET", path, all_indexes),
        Route("GET", one, one_index),
        Route("PUT", one, put_index),
        Route("DELETE", one, delete_index),
        Route("GET", f"{one}/count", count),
        Route("GET", f"{one}/status", status),
        Route("POST", f"{one}/query", query),
        Route("POST", f"{one}/analyzeDoc", analyze),
        Route("POST", f"{one}/{{control}}/{{op}}", control),
    )


ROUTES: Final = (
    *_below("/api/index"),
    *_below("/api/bucket/{bucket}/scope/{scope}/index"),
    Route("GET", "/api/stats/index/{index}", index_stats),
    Route("GET", "/api/nsstats", all_stats),
)
