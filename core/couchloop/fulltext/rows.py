"""The hits of a search as a stream, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from couchloop.arguments.exact import exact_text
from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    IncompleteAnswerError,
    InvalidSearchError,
    SearchError,
    TemporaryFailError,
)
from couchloop.fulltext.body import Searched, encode_search, searched, sent_body
from couchloop.fulltext.hits import SearchRow, read_hit
from couchloop.fulltext.members import name as checked_name
from couchloop.fulltext.params import Params, Scope
from couchloop.fulltext.refusals import refusal
from couchloop.fulltext.results import partition_errors
from couchloop.http.rows import SEARCH_ROWS
from couchloop.http.service import JSON, Service, ServiceRequest
from couchloop.operations.rows import RowStream
from couchloop.retries import RetryReason
from couchloop.safety.printable import printable

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults
    from couchloop.operations.recent import Memory
    from couchloop.topology.configuration import ClusterConfig

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_LONGEST_SHOWN: Final = 512
"""Characters of the service's words that an error shows."""


class SearchRows(RowStream[SearchRow]):
    """The hits of one search.

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        index: the index' name, within its scope if it has one.
        query: what is searched for.
        params: how it is to be answered.
        scope: of the index, if it has one.
        timeout: seconds that the search has.
        row_factory: makes of a hit what is given instead; None: it is given itself.

    Raises InvalidSettingError (a TypeError), InvalidSearchError (a ValueError), NoChildrenError.
    """

    request = "SearchResult"
    typed_row = SearchRow
    retry_reason = RetryReason.SEARCH_TOO_MANY_REQUESTS

    def __init__(
        self,
        name: str,
        defaults: Defaults,
        index: str,
        query: Searched,
        params: Params,
        scope: Scope | None,
        timeout: float,
        row_factory: Callable[[SearchRow], Any] | None = None,
    ) -> None:
        path = _path(index, scope)
        self._body = sent_body(index, query, params, scope)
        """What is asked, as it was when the search was made."""
        self._scope = scope
        self._make = row_factory
        self._kind = params.type
        self._has_vectors = searched(query)[1] is not None
        asked = ServiceRequest(
            Service.SEARCH,
            "POST",
            path,
            encode_search(self._body, timeout),
            JSON,
            is_idempotent=True,
        )
        super().__init__(name, defaults, asked, SEARCH_ROWS, timeout)

    # See `RowStream`

    def asked_of(self, config: ClusterConfig, memory: Memory, seconds: float) -> ServiceRequest:
        """See `Sink`. Raises FeatureNotAvailableError."""
        del memory
        known = config.capabilities.get("search", frozenset())
        if self._scope is not None and "scopedSearchIndex" not in known:
            raise FeatureNotAvailableError(
                "this cluster has no search indexes of scopes: they take 7.6 on all nodes; an "
                "index of the cluster is searched by Bucket.search and Cluster.search",
                context=ErrorContext(bucket=self._scope[0], scope=self._scope[1]),
            )
        if self._has_vectors and "vectorSearch" not in known:
            raise FeatureNotAvailableError(
                "this cluster cannot search for vectors: that takes 7.6 on all nodes"
            )
        if self.attempts > 1:
            # Less time is left than there was.
            return replace(self.asked, body=encode_search(self._body, seconds))
        return self.asked

    def _row(self, data: bytes) -> Any:
        hit = read_hit(data, self._kind)
        return hit if self._make is None else self._make(hit)

    def _refusal(self, body: bytes) -> CouchbaseError:
        bucket = None if self._scope is None else self._scope[0]
        return refusal(self.status, body, self.node, bucket)

    def _finish(self, members: Mapping[str, Any]) -> None:
        """Raise SearchError if the whole search has failed: what only parts did is in `errors`."""
        said = members.get("error") or members.get("errors")
        if said:
            shown = printable(said if isinstance(said, str) else repr(said), _LONGEST_SHOWN)
            raise SearchError(
                "the search service has failed, and says so",
                context=ErrorContext(node=self.node, server_context=shown),
            )

    def _pause_before(self, error: CouchbaseError) -> float | None:
        """See `RowStream`: a search changes nothing, so that a lost answer is asked for anew."""
        is_lost = isinstance(error, ConnectionLostError) or (
            isinstance(error, IncompleteAnswerError)
            and isinstance(error.__cause__, ConnectionLostError)
        )
        if not is_lost and not isinstance(error, TemporaryFailError):
            return None
        return min(_FIRST_PAUSE * 2.0 ** min(self.attempts - 1, 16), _LONGEST_PAUSE)

    @property
    def errors(self) -> list[Any]:
        """What parts of the index say that have failed, while others gave hits: texts."""
        return [f"{part}: {text}" for part, text in partition_errors(self.meta).items()]


def _path(index: str, scope: Scope | None) -> str:
    """Return where an index is searched. Raises InvalidSettingError, InvalidSearchError."""
    exact = exact_text(checked_name(index, "index"))
    if exact is None or exact in (".", ".."):
        raise InvalidSearchError("no index is called so: it could not be in a path", objextra=index)
    wanted = quote(exact, safe="")
    if scope is None:
        return f"/api/index/{wanted}/query"
    bucket, within = (quote(each, safe="") for each in scope)
    return f"/api/bucket/{bucket}/scope/{within}/index/{wanted}/query"
