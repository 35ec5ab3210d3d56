"""Searches: what is asked of an index, and what is found in its documents.

POST   /api/index/INDEX/query        a search; an alias stands for several indexes
POST   /api/index/INDEX/analyzeDoc   which terms a document has

An index follows its documents at once, whatever consistency is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from json import JSONDecodeError
from typing import Any, Final

from couchloop.embedded.http.router import HttpRequest, RefusedError, Response
from couchloop.embedded.http.search_answers import (
    found_index,
    good,
    holders,
    is_form,
    partitions_of,
    refused,
)
from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.decoding import load_json
from couchloop.embedded.search.engine import Item, LiveIndex, search
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.index import Source
from couchloop.embedded.search.requests import SearchRequest, check_window, parse_request
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.manifest import Collection
from couchloop.embedded.storage.search_indexes import (
    SearchIndex,
    SearchIndexError,
    indexed_documents,
)
from couchloop.embedded.topology.node import NodeState

_CONTROL: Final = "bleve: QueryBleve parsing queryCtlParams, err: "
_NOT_REACHED: Final = 412
_MOST_OBJECTS: Final = 20_000
"""Of a request: a loop does nothing else while it is read."""


def query(request: HttpRequest) -> Response:
    """Search."""
    began = request.cluster.clock.now()
    index = found_index(request)
    refuse = partial(_refusal, request, index)
    if not index.may("canRead") or request.query.get("indexUUID", index.uuid) != index.uuid:
        raise refuse("pindex not available")
    why = None
    try:
        answer = _answer(request, index)
    except (SearchIndexError, RequestError, SearchError) as error:
        why = str(error)
    if why is not None:
        # Not within the handler: PyPy has no words there for a request that is too deep to be read.
        raise refuse(why)
    answer["took"] = int((request.cluster.clock.now() - began) * 1e9)
    return good(answer)


def _answer(request: HttpRequest, index: SearchIndex) -> dict[str, Any]:
    """Search. Raises SearchIndexError, RequestError, SearchError, RefusedError."""
    members = request.cluster.search_indexes.members(index)
    asked = parse_request(_body(request))
    check_window(asked)
    _check_consistency(request, asked, members)
    live = [live_index(request, each) for each in members if each.may("canRead")]
    if not live:
        raise RequestError("cannot perform operation on empty alias")
    if asked.control.validate:
        _validate(asked, live)
    clock, steps = request.cluster.clock, request.cluster.search_indexes.steps
    return search(asked, live, Budget(clock, asked.control.timeout, steps))


def analyze(request: HttpRequest) -> Response:
    """Tell which terms a document has."""
    index = found_index(request)
    prefix = f"bleve: AnalyzeDoc, indexName: {index.name}, err: "
    if index.is_alias:
        raise refused(request, f"{prefix}an alias analyzes nothing")
    try:
        document = load_json(request.body)
        fields = live_index(request, index).analyze(Source("", document))
    except (ValueError, SearchError) as error:
        raise refused(request, f"{prefix}{error}") from None
    return good({"status": "ok", "analyzed": fields})


def live_index(request: HttpRequest, index: SearchIndex) -> LiveIndex:
    """Return the documents of an index in searchable form, as they are now.

    Raises SearchError if a field has an analyzer that is not here.
    """
    live = index.live
    if not isinstance(live, LiveIndex):
        names = [each["name"] for each in partitions_of(request, index) or ()]
        live = index.live = LiveIndex(index.params, names)
    for shard in live.shards:
        shard.failure = index.failing.get(shard.number) or _unreached(request, index, shard.number)
    if index.may("canWrite"):
        live.follow(_items(request, index))
    return live


def _unreached(request: HttpRequest, index: SearchIndex, number: int) -> str | None:
    """Return what is said of a partition all of whose nodes are gone, None if one is there."""
    nodes = holders(request, index, number)
    if any(node.state is NodeState.RUNNING for node in nodes):
        return None
    if any(node.state is NodeState.HUNG for node in nodes):
        return "context deadline exceeded"
    where = f"{nodes[0].host}:{nodes[0].ports.get('fts', 0)}" if nodes else ""
    return f"dial tcp {where}: connect: connection refused"


def _items(request: HttpRequest, index: SearchIndex) -> Iterator[Item]:
    bucket = request.cluster.buckets[index.source_name]
    size = index.plan_params["maxPartitionsPerPIndex"]
    for each in indexed_documents(bucket, index.params):
        load = _loader(each.key, each.collection, each.document)
        identity = each.collection.uid, each.vbucket, each.key
        yield Item(identity, each.document, each.vbucket // size, load)


def _loader(key: bytes, collection: Collection, document: Document) -> Callable[[], Source]:
    def load() -> Source:
        name = key.decode("utf-8", "replace")
        try:
            value = load_json(document.body())
        except ValueError:
            value = None
        return Source(name, value, collection.scope, collection.name)

    return load


def _body(request: HttpRequest) -> Any:
    """Return the body as JSON. Raises RequestError if it is none."""
    body = request.body
    if not body or is_form(request):
        raise RequestError(f"{_CONTROL}readObjectStart: expect {{ or n, but found \0")
    if body.count(b"{") > _MOST_OBJECTS:
        text = f"more than {_MOST_OBJECTS} queries are too many for the embedded search service"
        raise RequestError(f"{_CONTROL}{text}")
    try:
        return load_json(body)
    except JSONDecodeError as error:
        more = error.msg == "Extra data"
        text = "Unmarshal: there are bytes left after unmarshal" if more else str(error)
        raise RequestError(f"{_CONTROL}{text}") from None
    except ValueError as error:
        raise RequestError(f"{_CONTROL}{error}") from None


def _refusal(request: HttpRequest, index: SearchIndex, text: str) -> RefusedError:
    return refused(request, f"rest_index: Query, indexName: {index.name}, err: {text}")


# --- consistency ---------------------------------------------------------------------------------


def _check_consistency(
    request: HttpRequest, asked: SearchRequest, members: list[SearchIndex]
) -> None:
    """Check that all is there that has to be: an index lacks nothing, so it is now or never.

    Raises RequestError if it cannot be told, RefusedError (412) if it is not there.
    """
    level = asked.control.level
    if level not in {"", "at_plus"}:
        text = f"unsupported consistencyLevel: {level}"
        raise RequestError(f"bleve: QueryBleve validating consistency, err: {text}")
    if not level:
        return
    for index in members:
        vectors = asked.control.vectors.get(index.name)
        for name, seqno in vectors.items() if isinstance(vectors, dict) else ():
            if isinstance(seqno, int):
                _check_vbucket(request, index, name, seqno)


def _check_vbucket(request: HttpRequest, index: SearchIndex, name: str, seqno: int) -> None:
    number, slash, uuid = name.partition("/")
    bucket = request.cluster.buckets[index.source_name]
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        return
    if int(number) >= len(bucket.partitions):
        return
    leader = bucket.active(int(number))
    if leader is None:
        return
    if slash and uuid and uuid != str(leader.uuid):
        waited = (
            f'&cbgt.ConsistencyWaitReq{{PartitionUUID:"{uuid}", ConsistencyLevel:"at_plus", '
            f"ConsistencySeq:{seqno:#x}, CancelCh:(<-chan bool)(0xc0001a2b40), "
            "DoneCh:(chan error)(0xc0001a2ba0)}"
        )
        raise RequestError(
            f"bleve: pindex_consistency mismatched partition, uuid: {leader.uuid}, cwr: {waited}"
        )
    if seqno > leader.seqno:
        said = {
            "status": "remote consistency error",
            "message": "the mutations that are asked for have not been made",
            "startEndSeqs": {number: [leader.seqno, seqno]},
        }
        raise refused(request, json.dumps(said), _NOT_REACHED)


def _validate(asked: SearchRequest, live: list[LiveIndex]) -> None:
    """Raise RequestError for a field that no index has."""
    for index in live:
        for name, kind in asked.query.fields():
            if not index.analysis.mapping.is_indexed(name, kind):
                raise RequestError(
                    "bleve: QueryBleve query validation failed against index, err: "
                    f"query_validate: field not indexed, name: {name}, type: {kind}"
                )
