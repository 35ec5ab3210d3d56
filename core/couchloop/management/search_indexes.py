"""Search indexes: made, changed, dropped, held and described (search service, RFC 54).

An index belongs to the cluster, or from 7.6 on to a scope, whose manager has `ScopeDefaults`. To
the server the latter is called `bucket.scope.index`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from couchloop.exceptions import (
    FeatureNotAvailableError,
    HTTPError,
    IndexChangedError,
    IndexExistsError,
    IndexNotReadyError,
    InvalidSettingError,
    QuotaLimitedError,
    SearchIndexNotFoundError,
)
from couchloop.fulltext.refusals import NOT_FOUND
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    send_json,
    unreadable,
)
from couchloop.management.defaults import ScopeDefaults
from couchloop.operations.procedure import Procedure, Steps

__all__ = [
    "SearchIndex",
]


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """The definition of an index, or of an alias that stands for several."""

    name: str
    """Of a scope's index: without bucket and scope."""
    source_type: str = "couchbase"
    """`couchbase` or `gocbcore`; of an alias `nil`."""
    idx_type: str = "fulltext-index"
    """`fulltext-index` or `fulltext-alias`."""
    source_name: str | None = None
    """The bucket with the documents."""
    uuid: str | None = None
    """Of the definition that is to be replaced, as it was read; `*`: whichever there is; None:
    there must be none. Each change gives a definition another one."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What is indexed: mapping, store, doc_config; of an alias its targets."""
    source_uuid: str | None = None
    source_params: Mapping[str, Any] = field(default_factory=dict)
    plan_params: Mapping[str, Any] = field(default_factory=dict)
    """Partitions and replicas."""

    @property
    def is_held(self) -> bool:
        """Whether documents that change are not indexed (`pause_ingest`)."""
        return not self._may("canWrite")

    @property
    def is_closed(self) -> bool:
        """Whether it must not be queried (`disallow_querying`)."""
        return not self._may("canRead")

    @property
    def is_frozen(self) -> bool:
        """Whether its partitions stay where they are (`freeze_plan`)."""
        return self.plan_params.get("planFrozen") is True

    def _may(self, what: str) -> bool:
        nodes: Any = self.plan_params.get("nodePlanParams")
        for _ in range(2):
            nodes = nodes.get("") if isinstance(nodes, Mapping) else None
        return not isinstance(nodes, Mapping) or nodes.get(what) is not False


_NOT_FOUND: Final = tuple(
    Refusal(SearchIndexNotFoundError, 400, words, "there is no such search index")
    for words in NOT_FOUND
)
_GONE: Final = Refusal(
    SearchIndexNotFoundError,
    400,
    "index missing for update",
    "there is no such search index to be replaced: it was dropped since its uuid was read",
)
_EXISTS: Final = Refusal(
    IndexExistsError,
    400,
    "an index with the same name already exists",
    "there is a search index of that name already: give the uuid of the one to be replaced",
)
_CHANGED: Final = Refusal(
    IndexChangedError,
    400,
    "concurrent index definition update",
    "the search index has another uuid by now: read its definition again",
)
_NOT_READY: Final = Refusal(
    IndexNotReadyError, None, "no planpindexes", "the partitions of the search index are not there"
)
_QUOTA: Final = Refusal(
    QuotaLimitedError, 400, "num_fts_indexes", "there are as many search indexes as there may be"
)
_OLD_SERVER: Final = Refusal(
    FeatureNotAvailableError,
    404,
    "",
    "the server does not know search indexes of scopes: that takes 7.6",
)


def upsert_index(
    defaults: Defaults,
    index: SearchIndex,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index, or replace the one whose uuid the definition has.

    Raises IndexExistsError (there is one, and no uuid was given), IndexChangedError,
    SearchIndexNotFoundError (a uuid of an index that is gone), ServerInvalidArgumentError (the
    definition), QuotaLimitedError, NotAuthorizedError, FeatureNotAvailableError (of a scope, before
    7.6).
    """
    if not isinstance(index, SearchIndex):
        raise InvalidSettingError(
            f"an index is a SearchIndex, not {type(index).__name__}", objextra=index
        )
    where = _Place(defaults)
    request = send_json(Service.SEARCH, "PUT", where.path(index.name), _definition(index))
    request = replace(request, headers=(("Cache-Control", "no-cache"),))
    steps = _done(request, where, (_EXISTS, _CHANGED, _GONE, _QUOTA))
    return Procedure("upsert_index", defaults, None, timeout, steps)


def drop_index(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _done(delete(Service.SEARCH, where.path(index_name)), where)
    return Procedure("drop_index", defaults, None, timeout, steps)


def get_index(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[SearchIndex]:
    """Return an index' definition. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _one(where.path(index_name), where)
    return Procedure("get_index", defaults, None, timeout, steps, idempotent=True)


def get_all_indexes(
    defaults: Defaults,
    *,
    timeout: float | None = None,
) -> Procedure[list[SearchIndex]]:
    """Return all indexes, or those of a scope; without one, scopes' have their whole names.

    Raises NotAuthorizedError, FeatureNotAvailableError (of a scope, before 7.6).
    """
    steps = _all(_Place(defaults))
    return Procedure("get_all_indexes", defaults, None, timeout, steps, idempotent=True)


def get_indexed_documents_count(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[int]:
    """Return how many documents an index has.

    Raises SearchIndexNotFoundError, IndexNotReadyError (it was just made), NotAuthorizedError.
    """
    where = _Place(defaults)
    steps = _count(f"{where.path(index_name)}/count", where)
    return Procedure("get_indexed_documents_count", defaults, None, timeout, steps, idempotent=True)


def pause_ingest(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Stop indexing documents that change. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "ingestControl/pause", where)
    return Procedure("pause_ingest", defaults, None, timeout, steps)


def resume_ingest(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Index again what changes. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "ingestControl/resume", where)
    return Procedure("resume_ingest", defaults, None, timeout, steps)


def allow_querying(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Let an index be queried. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "queryControl/allow", where)
    return Procedure("allow_querying", defaults, None, timeout, steps)


def disallow_querying(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have queries of an index refused. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "queryControl/disallow", where)
    return Procedure("disallow_querying", defaults, None, timeout, steps)


def freeze_plan(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Leave partitions where they are. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "planFreezeControl/freeze", where)
    return Procedure("freeze_plan", defaults, None, timeout, steps)


def unfreeze_plan(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Let partitions be moved again. Raises SearchIndexNotFoundError, NotAuthorizedError."""
    where = _Place(defaults)
    steps = _control(where.path(index_name), "planFreezeControl/unfreeze", where)
    return Procedure("unfreeze_plan", defaults, None, timeout, steps)


def analyze_document(
    defaults: Defaults,
    index_name: str,
    document: Any,
    *,
    timeout: float | None = None,
) -> Procedure[list[Any]]:
    """Return the terms that an index would keep of a document.

    Args:
        document: anything that JSON can say.

    Returns:
        One mapping (or None) for each part of the document that is analysed: terms, where each
        was found, and its bytes in base64.

    Raises SearchIndexNotFoundError, IndexNotReadyError, ServerInvalidArgumentError,
    NotAuthorizedError, FeatureNotAvailableError.
    """
    where = _Place(defaults)
    _json_of(document, "document")
    request = send_json(Service.SEARCH, "POST", f"{where.path(index_name)}/analyzeDoc", document)
    steps = _analyzed(replace(request, is_idempotent=True), where)
    return Procedure("analyze_document", defaults, None, timeout, steps, idempotent=True)


def get_index_stats(
    defaults: Defaults,
    index_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[dict[str, Any]]:
    """Return what the service counts of an index, as it says it.

    Raises SearchIndexNotFoundError, NotAuthorizedError.
    """
    where = _Place(defaults)
    path = f"/api/stats/index/{segment(where.full_name(index_name))}"
    steps = _stats(path, where)
    return Procedure("get_index_stats", defaults, None, timeout, steps, idempotent=True)


def get_all_index_stats(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[dict[str, Any]]:
    """Return what a node's service counts of all indexes. Raises NotAuthorizedError."""
    steps = _stats("/api/nsstats", _Place(defaults))
    return Procedure("get_all_index_stats", defaults, None, timeout, steps, idempotent=True)


class _Place:
    """Whose indexes are meant: the cluster's, or a scope's."""

    __slots__ = ("bucket", "scope")

    def __init__(self, defaults: Defaults) -> None:
        self.bucket: str | None = None
        self.scope = ""
        if isinstance(defaults, ScopeDefaults):
            self.bucket = checked_name(defaults.bucket, "bucket")
            self.scope = checked_name(defaults.scope, "scope")

    @property
    def indexes(self) -> str:
        """The path that lists its indexes."""
        if self.bucket is None:
            return "/api/index"
        return f"/api/bucket/{segment(self.bucket)}/scope/{segment(self.scope)}/index"

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What an answer may mean beside, there."""
        return _NOT_FOUND if self.bucket is None else (*_NOT_FOUND, _OLD_SERVER)

    def path(self, index: str) -> str:
        """Return the path of one index."""
        return f"{self.indexes}/{segment(checked_name(index, 'search index'))}"

    def full_name(self, index: str) -> str:
        """Return what the server calls one index."""
        checked_name(index, "search index")
        return index if self.bucket is None else f"{self.bucket}.{self.scope}.{index}"


def _asked(
    request: ServiceRequest, where: _Place, refusals: tuple[Refusal, ...] = ()
) -> Steps[ServiceAnswer]:
    answer: ServiceAnswer = yield request
    known = (*refusals, _NOT_READY, *where.refusals)
    return check(answer, Service.SEARCH, known, bucket=where.bucket)


def _done(
    request: ServiceRequest, where: _Place, refusals: tuple[Refusal, ...] = ()
) -> Steps[None]:
    yield from _read(request, where, refusals)


def _control(path: str, what: str, where: _Place) -> Steps[None]:
    yield from _read(ServiceRequest(Service.SEARCH, "POST", f"{path}/{what}"), where)


def _read(
    request: ServiceRequest, where: _Place, refusals: tuple[Refusal, ...] = ()
) -> Steps[tuple[dict[str, Any], ServiceAnswer]]:
    """Return what is answered. Raises HTTPError if it is a failure in spite of its status."""
    answer = yield from _asked(request, where, refusals)
    document = read_json(answer)
    if not isinstance(document, dict):
        raise unreadable(answer)
    if document.get("status", "ok") != "ok":
        raise HTTPError("the search service failed, and says so", objextra=answer)
    return document, answer


def _one(path: str, where: _Place) -> Steps[SearchIndex]:
    document, answer = yield from _read(get(Service.SEARCH, path), where)
    return _index(document.get("indexDef"), answer)


def _all(where: _Place) -> Steps[list[SearchIndex]]:
    document, answer = yield from _read(get(Service.SEARCH, where.indexes), where)
    # Null while there has never been an index.
    listed = document.get("indexDefs") or {}
    found = (listed.get("indexDefs") or {}) if isinstance(listed, dict) else None
    if not isinstance(found, dict):
        raise unreadable(answer)
    return [_index(each, answer) for each in found.values()]


def _count(path: str, where: _Place) -> Steps[int]:
    document, answer = yield from _read(get(Service.SEARCH, path), where)
    count = document.get("count")
    if not isinstance(count, int) or isinstance(count, bool):
        raise unreadable(answer)
    return count


def _analyzed(request: ServiceRequest, where: _Place) -> Steps[list[Any]]:
    document, answer = yield from _read(request, where)
    analyzed = document.get("analyzed")
    if not isinstance(analyzed, list):
        raise unreadable(answer)
    return analyzed


def _stats(path: str, where: _Place) -> Steps[dict[str, Any]]:
    answer = yield from _asked(get(Service.SEARCH, path), where)
    document = read_json(answer)
    if not isinstance(document, dict):
        raise unreadable(answer)
    return document


def _index(document: Any, answer: ServiceAnswer) -> SearchIndex:
    """Return an index as its description says. Raises ProtocolError if that is none."""
    try:
        return SearchIndex(
            str(document["name"]),
            str(document.get("sourceType", "")),
            str(document["type"]),
            _text(document.get("sourceName")),
            _text(document["uuid"]),
            _mapping(document.get("params")),
            _text(document.get("sourceUUID")),
            _mapping(document.get("sourceParams")),
            _mapping(document.get("planParams")),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise unreadable(answer) from None


def _text(given: object) -> str | None:
    return None if given in (None, "") else str(given)


def _mapping(given: Any) -> dict[str, Any]:
    """Return an object, which very old servers give as JSON in a text."""
    if isinstance(given, str) and given:
        given = json.loads(given)
    if not given:
        return {}
    if not isinstance(given, dict):
        raise TypeError("no object")
    return given


def _definition(index: SearchIndex) -> dict[str, Any]:
    """Return what is sent: what is empty is left to the server."""
    for what in ("source_type", "idx_type"):
        if not isinstance(getattr(index, what), str) or not getattr(index, what):
            raise InvalidSettingError(f"{what} is a text", objextra=index)
    for what in ("source_name", "uuid", "source_uuid"):
        if not isinstance(getattr(index, what), str | None):
            raise InvalidSettingError(f"{what} is a text", objextra=index)
    definition: dict[str, Any] = {
        "name": index.name,
        "type": index.idx_type,
        "sourceType": index.source_type,
        "sourceName": index.source_name,
        "sourceUUID": index.source_uuid,
        "uuid": index.uuid,
    }
    for what, name in (
        ("params", "params"),
        ("source_params", "sourceParams"),
        ("plan_params", "planParams"),
    ):
        value = getattr(index, what)
        if not isinstance(value, Mapping):
            raise InvalidSettingError(f"{what} are a mapping", objextra=index)
        _json_of(value, what)
        definition[name] = dict(value)
    return {name: value for name, value in definition.items() if value}


def _json_of(value: Any, what: str) -> None:
    try:
        json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidSettingError(f"{what}: that is no JSON", objextra=value) from None
