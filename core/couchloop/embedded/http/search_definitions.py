"""What somebody wants of a search index, read from JSON and checked as the service checks it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from couchloop.embedded.http.router import HttpRequest
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.search_indexes import (
    ALIAS,
    SearchIndex,
    SearchIndexError,
    scope_and_collections,
)

_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z_\-]*")
_LONGEST_NAME: Final = 209
_MOST_REPLICAS: Final = 3
_SOURCES: Final = ("couchbase", "gocbcore")
_ANALYZERS: Final = frozenset(
    (
        *("ar", "bg", "bn", "ca", "cjk", "ckb", "cs", "da", "de", "el", "en", "es", "eu"),
        *("fa", "fi", "fr", "ga", "gl", "hi", "hr", "hu", "hy", "id", "in", "it"),
        *("keyword", "nl", "no", "pl", "pt", "ro", "ru", "simple", "standard", "sv", "tr"),
        "web",
    )
)
_FIELD_TYPES: Final = frozenset(
    (
        *("text", "datetime", "number", "boolean", "geopoint", "geoshape", "IP"),
        *("disabled", "alias", "vector", "vector_base64"),
    )
)
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "doc_config": {
        "docid_prefix_delim": "",
        "docid_regexp": "",
        "mode": "type_field",
        "type_field": "type",
    },
    "mapping": {
        "analysis": {},
        "default_analyzer": "standard",
        "default_datetime_parser": "dateTimeOptional",
        "default_field": "_all",
        "default_mapping": {"dynamic": True, "enabled": True},
        "default_type": "_default",
        "docvalues_dynamic": True,
        "index_dynamic": True,
        "store_dynamic": False,
        "type_field": "_type",
    },
    "store": {"indexType": "scorch", "segmentVersion": 15},
}


def new_definition(request: HttpRequest, prefix: str) -> tuple[SearchIndex, str]:
    """Return a definition that a body holds, and the uuid of the one that it replaces, or none.

    Args:
        request: the request; its path names the index.
        prefix: what stands before the name of a scope's index: `bucket.scope.`.

    Raises SearchIndexError.
    """
    name = request.path["index"]
    given = _given(request.body, name)
    kind = _required(given, "type", f"index type is required, indexName: {name}")
    source_type = _required(given, "sourceType", f"sourceType is required, indexName: {name}")
    replaced = _text(given, "uuid")
    shown = prefix + name
    if not replaced and not _NAME.fullmatch(name):
        quoted = json.dumps(name)
        text = f"manager_api: CreateIndex, indexName is invalid, indexName: {quoted}"
        raise _creating(shown, text)
    if len(shown) > _LONGEST_NAME:
        text = (
            "manager_api: CreateIndex, chosen index name is too long, consider one that is less "
            f"than {_LONGEST_NAME} characters"
        )
        raise _creating("", text)
    if kind == ALIAS:
        return _alias(shown, prefix, source_type, given), replaced
    if kind != "fulltext-index":
        raise _creating(shown, f"manager_api: CreateIndex, unknown indexType: {kind}")
    return _index(request, shown, prefix, given, source_type), replaced


def _alias(shown: str, prefix: str, source_type: str, given: dict[str, Any]) -> SearchIndex:
    params = _object(given, "params")
    targets = params.get("targets")
    if not isinstance(targets, dict) or not targets:
        text = (
            "manager_api: CreateIndex, invalid, err: ValidateAlias: cannot create index alias "
            "because no index targets were specified"
        )
        raise _creating("", text)
    # Within a scope the targets are its own.
    params["targets"] = {
        target if "." in target else prefix + target: value for target, value in targets.items()
    }
    return SearchIndex(shown, ALIAS, source_type, "", "", params, None, {})


def _index(
    request: HttpRequest, shown: str, prefix: str, given: dict[str, Any], source_type: str
) -> SearchIndex:
    params = _with_defaults(_object(given, "params"))
    _leave_out(params["mapping"])
    if any(_has_places(each) for each in _mappings(params["mapping"])):
        params["store"].setdefault("spatialPlugin", "s2")
    source_name, source_uuid = _text(given, "sourceName"), _text(given, "sourceUUID")
    where = f"sourceType: gocbcore, sourceName: {source_name}, sourceUUID: {source_uuid}"
    unreachable = "manager_api: failed to connect to or retrieve information from source"
    bucket = request.cluster.buckets.get(source_name)
    if source_type not in _SOURCES or bucket is None or bucket.memcached:
        raise _creating(shown, f"{unreachable}, {where}, err: source does not exist")
    try:
        _check_collections(bucket, params, prefix)
    except SearchIndexError as error:
        raise _creating(shown, f"manager_api: CreateIndex, Prepare failed, err: {error}") from None
    wrong = next(_mistakes(params["mapping"]), None)
    if wrong is not None:
        text = f"manager_api: CreateIndex, invalid, err: ValidateIndex, Mapping err: {wrong}"
        raise _creating("", text)
    if source_uuid not in ("", bucket.uuid):
        text = (
            f"manager_api: CreateIndex failed, sourceUUID mismatched for sourceName: {source_name}"
        )
        raise _creating(shown, text)
    plan = _plan(request, bucket, shown, _object(given, "planParams"))
    source_params = _object(given, "sourceParams")
    return SearchIndex(
        shown,
        "fulltext-index",
        # As the service does it since 7.0, whatever was asked for.
        "gocbcore",
        source_name,
        bucket.uuid,
        params,
        source_params,
        plan,
    )


def _given(body: bytes, name: str) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(error.doc.rstrip())
        given = "unexpected end of JSON input" if ends else "invalid JSON"
    except (ValueError, RecursionError):
        given = "invalid JSON"
    if not isinstance(given, dict):
        why = given if isinstance(given, str) else "no object"
        text = f"rest_create_index: could not unmarshal json, indexName: {name}, err: {why}"
        raise SearchIndexError(text)
    return given


def _required(given: dict[str, Any], member: str, missing: str) -> str:
    text = _text(given, member)
    if not text:
        raise SearchIndexError(f"rest_create_index: {missing}")
    return text


def _creating(name: str, text: str) -> SearchIndexError:
    return SearchIndexError(f"rest_create_index: error creating index: {name}, err: {text}")


def _text(given: dict[str, Any], member: str) -> str:
    value = given.get(member)
    return value if isinstance(value, str) else ""


def _object(given: dict[str, Any], member: str) -> dict[str, Any]:
    value = given.get(member)
    return deepcopy(value) if isinstance(value, dict) else {}


def _with_defaults(params: dict[str, Any]) -> dict[str, Any]:
    for section, defaults in _DEFAULTS.items():
        given = params.get(section)
        params[section] = {**deepcopy(defaults), **(given if isinstance(given, dict) else {})}
    return params


def _leave_out(mapping: object) -> None:
    """Take out of a mapping what says nothing, as the service does."""
    if not isinstance(mapping, dict):
        return
    fields = mapping.get("fields")
    for each in fields if isinstance(fields, list) else ():
        if isinstance(each, dict):
            for name in [name for name, value in each.items() if value in (False, "", None)]:
                del each[name]
    for each in _mappings(mapping):
        _leave_out(each)


def _mappings(mapping: dict[str, Any]) -> Iterator[object]:
    """Yield the mappings within one."""
    yield mapping.get("default_mapping")
    for members in (mapping.get("properties"), mapping.get("types")):
        yield from members.values() if isinstance(members, dict) else ()


def _has_places(mapping: object) -> bool:
    """Whether a mapping has a field of places."""
    if not isinstance(mapping, dict):
        return False
    fields = mapping.get("fields")
    return any(
        isinstance(each, dict) and each.get("type") in {"geopoint", "geoshape"}
        for each in (fields if isinstance(fields, list) else ())
    ) or any(map(_has_places, _mappings(mapping)))


def _check_collections(bucket: Bucket, params: dict[str, Any], prefix: str) -> None:
    """Check that the collections are there, in one scope: in that of the index, if it has one."""
    for mapping in (params["mapping"].get("types", {}), params["mapping"]["default_mapping"]):
        if not isinstance(mapping, dict):
            raise SearchIndexError("bleve: Prepare, err: a mapping is no object")
    if not all(isinstance(each, dict) for each in params["mapping"].get("types", {}).values()):
        raise SearchIndexError("bleve: Prepare, err: a mapping is no object")
    scope, collections = scope_and_collections(params)
    if scope not in bucket.manifest.scopes:
        where = f"bucket: '{bucket.name}', err: source does not exist"
        raise SearchIndexError(f"collection_utils: scope: '{scope}' not found in {where}")
    for name in collections:
        if bucket.manifest.find(scope, name) is None:
            text = (
                f"collection_utils: collection: '{name}' doesn't belong to scope: '{scope}' in "
                f"bucket: '{bucket.name}', err: source does not exist"
            )
            raise SearchIndexError(text)
    if prefix and prefix != f"{bucket.name}.{scope}.":
        raise SearchIndexError(
            "PrepareIndex, validation of bucket and/or scope names against index definition failed"
        )


def _mistakes(mapping: Mapping[str, Any]) -> Iterator[str]:
    """Find what is not known: analyzers, types of fields."""
    analysis = mapping.get("analysis")
    own = analysis.get("analyzers") if isinstance(analysis, dict) else None
    known = _ANALYZERS | set(own if isinstance(own, dict) else ())
    yield from _unknown_analyzer(mapping.get("default_analyzer"), known)
    yield from _mistakes_of("", mapping["default_mapping"], known)
    for kind in mapping.get("types", {}).values():
        yield from _mistakes_of("", kind, known)


def _mistakes_of(name: str, mapping: object, known: frozenset[str] | set[str]) -> Iterator[str]:
    if not isinstance(mapping, dict):
        return
    yield from _unknown_analyzer(mapping.get("default_analyzer"), known)
    fields = mapping.get("fields")
    for each in fields if isinstance(fields, list) else ():
        if not isinstance(each, dict):
            continue
        kind = each.get("type", "text")
        if kind not in _FIELD_TYPES:
            yield f"field: '{each.get('name') or name}', unknown field type: '{kind}'"
        yield from _unknown_analyzer(each.get("analyzer"), known)
    properties = mapping.get("properties")
    for inner, value in properties.items() if isinstance(properties, dict) else ():
        yield from _mistakes_of(inner, value, known)


def _unknown_analyzer(name: object, known: frozenset[str] | set[str]) -> Iterator[str]:
    if isinstance(name, str) and name and name not in known:
        yield f"no analyzer with name or type '{name}' registered"


def _plan(
    request: HttpRequest, bucket: Bucket, shown: str, given: dict[str, Any]
) -> dict[str, Any]:
    """Return how an index is laid out: into how many partitions, and with how many copies."""
    vbuckets = len(bucket.partitions)
    partitions = _positive(given.get("indexPartitions"))
    each = _positive(given.get("maxPartitionsPerPIndex")) or 1024
    if partitions > vbuckets:
        raise SearchIndexError(
            f"rest_create_index: cannot create index with {partitions} partitions, source bucket "
            f"'{bucket.name}' has {vbuckets} vbuckets"
        )
    if partitions:
        each = math.ceil(vbuckets / partitions)
    else:
        partitions = math.ceil(vbuckets / each)
    replicas = given.get("numReplicas", 0)
    if type(replicas) is not int or not 0 <= replicas <= _MOST_REPLICAS:
        raise _creating(
            shown,
            f"manager_api: CreateIndex failed, maxReplicasAllowed: '{_MOST_REPLICAS}', but request "
            f"for '{replicas}'",
        )
    nodes = sum(node.runs("fts") for node in request.cluster.nodes)
    if nodes <= replicas:
        raise _creating(
            shown,
            f"manager_api: CreateIndex failed, cluster needs {replicas + 1} search nodes to "
            f"support the requested replica count of {replicas}",
        )
    plan: dict[str, Any] = {
        "maxPartitionsPerPIndex": each,
        "indexPartitions": partitions,
        "numReplicas": replicas,
    }
    if given.get("planFrozen") is True:
        plan["planFrozen"] = True
    switches: Any = given.get("nodePlanParams")
    for _ in range(2):
        switches = switches.get("") if isinstance(switches, dict) else None
    if isinstance(switches, dict):
        may = {each: switches.get(each) is not False for each in ("canRead", "canWrite")}
        if not all(may.values()):
            plan["nodePlanParams"] = {"": {"": may}}
    return plan


def _positive(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
