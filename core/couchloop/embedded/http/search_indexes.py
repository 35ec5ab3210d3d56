"""The search service's endpoints about indexes; those of a scope are below /api/bucket/B/scope/S.

GET                /api/index                                  all that the user may see
GET, PUT, DELETE   /api/index/INDEX
GET                /api/index/INDEX/count, …/status
POST               /api/index/INDEX/ingestControl/OP           pause, resume
POST               /api/index/INDEX/queryControl/OP            allow, disallow
POST               /api/index/INDEX/planFreezeControl/OP       freeze, unfreeze
POST               /api/index/INDEX/query, …/analyzeDoc        see search_queries
GET                /api/stats/index/INDEX, …/progress, /api/nsstats
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.http.router import JSON, HttpRequest, Response, Route
from couchloop.embedded.http.search_answers import (
    SERVER_ERROR,
    VERSION,
    found_index,
    good,
    indexes_of,
    may_use,
    need_permission,
    partitions_of,
    prefix_of,
    refused,
)
from couchloop.embedded.http.search_definitions import new_definition
from couchloop.embedded.http.search_queries import analyze, live_index, query
from couchloop.embedded.storage.search_indexes import SearchIndex, SearchIndexError

_CONTROLS: Final = {
    "ingestControl": ("canWrite", {"pause": False, "resume": True}),
    "queryControl": ("canRead", {"allow": True, "disallow": False}),
    "planFreezeControl": ("planFrozen", {"freeze": True, "unfreeze": False}),
}


def all_indexes(request: HttpRequest) -> Response:
    """Return all definitions, or those of a scope, under shorter names."""
    indexes, prefix = indexes_of(request), prefix_of(request)
    found = {
        each.name: each.document(each.name.removeprefix(prefix))
        for each in indexes
        if each.name.startswith(prefix) and may_use(request, each)
    }
    defs = {"uuid": indexes.uuid, "indexDefs": found, "implVersion": VERSION}
    # Null until there was one.
    answer = good({"status": "ok", "indexDefs": defs if indexes.uuid else None})
    return answer._replace(headers=(("Cache-Control", "no-cache"), *JSON))


def one_index(request: HttpRequest) -> Response:
    """Return one definition, and its partitions."""
    index = found_index(request)
    return good(
        {
            "status": "ok",
            "indexDef": index.document(request.path["index"]),
            "planPIndexes": partitions_of(request, index),
            "warnings": None,
        }
    )


def put_index(request: HttpRequest) -> Response:
    """Make an index, or replace its definition."""
    indexes = indexes_of(request)
    try:
        index, replaced = new_definition(request, prefix_of(request))
        need_permission(request, index, "write")
        try:
            stored = indexes.put(index, replaced)
        except SearchIndexError as error:
            text = f"manager_api: could not save indexDefs, err: {error}"
            raise SearchIndexError(
                f"rest_create_index: error creating index: , err: {text}"
            ) from None
    except SearchIndexError as error:
        raise refused(request, str(error)) from None
    except RecursionError:
        text = "rest_create_index: could not unmarshal json, err: exceeded max depth"
        raise refused(request, text) from None
    return good({"status": "ok", "name": stored.name, "uuid": stored.uuid})


def delete_index(request: HttpRequest) -> Response:
    """Drop an index."""
    index = found_index(request, "write")
    return good({"status": "ok", "uuid": request.cluster.search_indexes.delete(index.name).uuid})


def count(request: HttpRequest) -> Response:
    """Return how many documents an index has."""
    index = found_index(request)
    return good({"status": "ok", "count": _count(request, index)})


def status(request: HttpRequest) -> Response:
    """Say that an index has all its documents: it is as fast as that."""
    found_index(request)
    return good({"status": "ok", "indexStatus": "Ready"})


def control(request: HttpRequest) -> Response:
    """Switch what an index does."""
    known = _CONTROLS.get(request.path["control"])
    if known is None:
        raise refused(request, "Page not found", 404)
    index = found_index(request, "manage")
    what, operations = known
    wanted = operations.get(request.path["op"])
    if wanted is None:
        text = f"rest_index: IndexControl, error: unsupported op: {request.path['op']}"
        raise refused(request, text)
    indexes = request.cluster.search_indexes
    if what == "planFrozen":
        indexes.freeze(index, on=wanted)
    else:
        if what == "canWrite" and not index.is_alias:
            index.held_count = None if wanted else _count(request, index)
            if not wanted:
                # What it has now is what it keeps.
                live_index(request, index)
        indexes.switch(index, what, on=wanted)
    return good({"status": "ok"})


def index_stats(request: HttpRequest) -> Response:
    """Return what is counted of one index."""
    index = found_index(request)
    total = _count(request, index)
    partitions = partitions_of(request, index) or []
    # All are said to be in the first: documents are not spread over partitions here.
    counted = {
        each["name"]: {"basic": {"DocCount": 0 if number else total}}
        for number, each in enumerate(partitions)
    }
    return good({"feeds": {}, "pindexes": counted})


def progress(request: HttpRequest) -> Response:
    """Say that an index has all its documents."""
    index = found_index(request)
    return good(
        {
            "status": "ok",
            "doc_count": _count(request, index),
            "tot_seq_received": 0,
            "num_mutations_to_index": 0,
            "ingest_status": "idle" if index.may("canWrite") else "paused",
        }
    )


def all_stats(request: HttpRequest) -> Response:
    """Return what is counted of all indexes that the user may see."""
    counted: dict[str, int] = {}
    for index in indexes_of(request):
        if index.is_alias or not may_use(request, index):
            continue
        prefix = f"{index.source_name}:{index.name}"
        partitions = len(partitions_of(request, index) or ())
        counted |= {
            f"{prefix}:doc_count": _count(request, index),
            f"{prefix}:num_mutations_to_index": 0,
            f"{prefix}:num_pindexes_actual": partitions,
            f"{prefix}:num_pindexes_target": partitions,
            f"{prefix}:total_queries": 0,
        }
    return good(counted)


def _count(request: HttpRequest, index: SearchIndex) -> int:
    try:
        return request.cluster.search_indexes.count(index.name, request.cluster.buckets)
    except SearchIndexError as error:
        text = (
            f"rest_index: Count, indexName: {index.name}, err: alias: CountAlias indexAlias error, "
            f"indexName: {index.name}, indexUUID: , err: {error}"
        )
        raise refused(request, text, SERVER_ERROR) from None


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
    Route("GET", "/api/stats/index/{index}/progress", progress),
    Route("GET", "/api/nsstats", all_stats),
)
