"""The endpoint of views: a query, and what it is answered.

GET, POST   /BUCKET/_design/DESIGN/_view/VIEW
GET, POST   /BUCKET/_design/DESIGN/_spatial/VIEW   servers have none since 7.0

The texts, and the form of an answer to the byte, are those of a server (couch_httpd_view,
couch_httpd_view_merger). Views of a design document for development (`dev_…`) see one vbucket
where there are more than twenty documents for each, unless `full_set=true`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from couchloop.embedded.http.design_documents import bucket_of, refused
from couchloop.embedded.http.router import (
    JSON,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.design_documents import DesignDocument
from couchloop.embedded.topology.node import Node, NodeState
from couchloop.embedded.views.index import Row, Stored, rows_of
from couchloop.embedded.views.parameters import ParameterError, Parameters, read_parameters
from couchloop.embedded.views.protocols import ViewFailedError
from couchloop.embedded.views.query import Group, reduced, selected
from couchloop.embedded.views.view import View, view_of

_DEVELOPMENT: Final = "dev_"
_FEW: Final = 20
"""Documents for each vbucket up to which a view for development sees all."""
_LOCAL: Final = "local"

_Fault = dict[str, str]
"""A row of `errors`."""


def query_view(request: HttpRequest) -> Response:
    """Answer a query of a view."""
    bucket = bucket_of(request, "execute")
    body = _body(request)
    _check_vbuckets(request, bucket)
    design, name = _design(request, bucket)
    try:
        can_reduce = "reduce" in design.document["views"][name]
        asked = read_parameters(request.query, body, can_reduce=can_reduce)
        return _answer(request, bucket, design, name, asked)
    except ParameterError as error:
        raise refused(400, error.error, error.reason) from None


def query_spatial_view(request: HttpRequest) -> Response:
    """Refuse it as a server does that has no spatial views: nothing handles the path."""
    bucket = bucket_of(request, "execute")
    if bucket.design_documents.get(request.path["design"]) is None:
        raise refused(404, "not_found", "missing")
    raise refused(404, "not_found", "missing handler: _spatial")


def _body(request: HttpRequest) -> Mapping[str, Any] | None:
    """Return what a POST brings; None: it is none."""
    if request.method != "POST":
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise refused(415, "bad_content_type", "Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        said = request.body[:100].decode("utf-8", "replace")
        raise refused(400, "bad_request", f"invalid UTF-8 JSON: {said}") from None
    if not isinstance(body, dict):
        raise refused(400, "bad_request", "Request body must be a JSON object")
    return body


def _check_vbuckets(request: HttpRequest, bucket: Bucket) -> None:
    """Send those away who ask a node that leads no vbucket, as a server does."""
    leaders = {chain[0] for chain in bucket.chains}
    if request.node.node_id in leaders:
        return
    document = {
        "error": "no_active_vbuckets",
        "reason": "Cannot execute view query since the node has no active vbuckets",
    }
    answer = answer_json(document, 302)
    others = [node for node in request.cluster.nodes if node.node_id in leaders]
    if others and "capi" in others[0].ports:
        names = [quote(request.path[each], safe="") for each in ("bucket", "design", "view")]
        path = "/{}/_design/{}/_view/{}".format(*names)
        query = f"?{urlencode(request.query)}" if request.query else ""
        location = f"{_base_of(others[0])}{path}{query}"
        answer = answer._replace(headers=(*answer.headers, ("Location", location)))
    raise RefusedError(answer)


def _base_of(node: Node) -> str:
    return f"http://{node.address().bracketed}:{node.ports.get('capi', 0)}"


def _design(request: HttpRequest, bucket: Bucket) -> tuple[DesignDocument, str]:
    name, view = request.path["design"], request.path["view"]
    design = bucket.design_documents.get(name)
    if design is None:
        raise refused(404, "not_found", f"Design document _design/{name} not found")
    if view not in design.document.get("views", {}):
        reason = (
            f"Error opening view `{view}`, from set `{bucket.name}`, design document "
            f"`_design/{name}`: {{not_found,missing_named_view}}"
        )
        raise refused(404, "not_found", reason)
    return design, view


# The answer ---------------------------------------------------------------------------------------


def _answer(
    request: HttpRequest, bucket: Bucket, design: DesignDocument, name: str, asked: Parameters
) -> Response:
    faults = [
        {"from": f"{_base_of(node)}/_view_merge/?stale={asked.stale}", "reason": "econnrefused"}
        for node in request.cluster.nodes
        if node.state is not NodeState.RUNNING and _leads(bucket, node)
    ]
    documents = bucket.design_documents
    total: int | None = None if asked.reduce else 0
    rows: list[bytes] = []
    try:
        view = view_of(design, name, documents.callables)
        follows_first = not documents.is_lagging or asked.stale == "false"
        if follows_first:
            view.update(_stored(request, bucket))
        vbucket = _subset(request, bucket, design, asked)
        seen = rows_of(view.index.rows, vbucket)
        total = None if asked.reduce else len(seen)
        rows = [_row(each, request, asked) for each in _found(view, seen, asked)]
        if not follows_first and asked.stale == "update_after":
            view.update(_stored(request, bucket))
    except ViewFailedError as error:
        faults.insert(0, {"from": _LOCAL, "reason": str(error)})
    if faults and asked.stops_on_error:
        return _stopped(faults[0])
    debug = _debug(bucket, request.node) if asked.debug else None
    return _whole(total, rows, faults, debug)


def _found(view: View, seen: Any, asked: Parameters) -> Iterable[Row | Group]:
    if not asked.reduce or view.reduce is None:
        return selected(seen, asked)
    return reduced(seen, asked, view.reduce)


def _stored(request: HttpRequest, bucket: Bucket) -> Iterator[Stored]:
    """Yield the documents of the default collection on nodes that run."""
    running = {node.node_id for node in request.cluster.nodes if node.state is NodeState.RUNNING}
    for partition in bucket.partitions:
        if not partition.used or partition.chain[0] not in running:
            continue
        leader = bucket.active(partition.number)
        if leader is None:
            continue
        for collection, key in list(leader.documents):
            document = leader.find((collection, key)) if collection == 0 else None
            if document is None:
                continue
            try:
                text = key.decode()
            except UnicodeDecodeError:
                # A server's views do not see it either.
                continue
            yield Stored(partition.number, partition.chain[0], text, document)


def _subset(
    request: HttpRequest, bucket: Bucket, design: DesignDocument, asked: Parameters
) -> int | None:
    """Return the vbucket that a view for development sees; None: all."""
    if not design.name.startswith(_DEVELOPMENT) or asked.wants_all:
        return None
    if bucket.documents <= _FEW * len(bucket.partitions):
        return None
    led = (each.number for each in bucket.partitions if each.chain[0] == request.node.node_id)
    return next(led)


def _leads(bucket: Bucket, node: Node) -> bool:
    return any(chain[0] == node.node_id for chain in bucket.chains)


def _row(row: Row | Group, request: HttpRequest, asked: Parameters) -> bytes:
    if isinstance(row, Group):
        return _text({"key": row.key, "value": row.value})
    members: dict[str, Any] = {"id": row.id, "key": row.key}
    if asked.debug:
        members["partition"] = row.vbucket
        members["node"] = _node_of(row, request)
    return _text({**members, "value": row.value})


def _node_of(row: Row, request: HttpRequest) -> str:
    if row.node_id == request.node.node_id:
        return _LOCAL
    there = (node for node in request.cluster.nodes if node.node_id == row.node_id)
    return f"{_base_of(next(there, request.node))}/_view_merge/"


def _debug(bucket: Bucket, node: Node) -> dict[str, Any]:
    """Return what a node says of its part of the index: what is never there here is empty."""
    parts = [each for each in bucket.partitions if each.chain[0] == node.node_id]
    led = [each.number for each in parts]
    seqnos = {}
    for each in parts:
        # Of a vbucket that was never used nothing is made for this.
        leader = each.leader if each.used else None
        seqnos[f"{each.number:04}"] = 0 if leader is None else leader.seqno
    group = {
        "active_partitions": led,
        "original_active_partitions": led,
        "passive_partitions": [],
        "original_passive_partitions": [],
        "cleanup_partitions": [],
        "replica_partitions": [],
        "replicas_on_transfer": [],
        "indexable_seqs": seqnos,
        "unindexeable_seqs": {},
        "wanted_seqs": {},
        "wanted_partitions": led,
        "pending_transition": None,
    }
    return {_LOCAL: {"main_group": group}}


def _text(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _whole(
    total: int | None, rows: list[bytes], faults: list[_Fault], debug: dict[str, Any] | None
) -> Response:
    text = b"{"
    if debug is not None:
        text += b'"debug_info":' + _text(debug) + b","
    text += b'"rows":[' if total is None else b'"total_rows":%d,"rows":[' % total
    if rows:
        text += b"\r\n" + b",\r\n".join(rows)
    text += b"\r\n]"
    if faults:
        text += b',\r\n"errors":[\r\n' + b",\r\n".join(map(_text, faults)) + b"\r\n]"
    return Response(200, text + b"\r\n}\n", JSON)


def _stopped(fault: _Fault) -> Response:
    """Return what ends with an error: of the rows none was on its way."""
    text = b'{"total_rows":0,"rows":[]\r\n,\r\n"errors":[' + _text(fault) + b"]"
    return Response(200, text + b"\r\n}\n", JSON)


_VIEW: Final = "/{bucket}/_design/{design}/_view/{view}"
_SPATIAL: Final = "/{bucket}/_design/{design}/_spatial/{view}"

ROUTES: Final = (
    Route("GET", _VIEW, query_view),
    Route("POST", _VIEW, query_view),
    Route("GET", _SPATIAL, query_spatial_view),
    Route("POST", _SPATIAL, query_spatial_view),
)
