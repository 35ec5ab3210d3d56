"""Requests that are made by their classes, in place of a Bucket's methods (SDK 2.5).

`View(bucket, "design", "view", limit=4)` is what `bucket.query("design", "view", limit=4)` gives.
A subclass is made so, too. The methods themselves make their requests of a stream of the core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

from couchloop.analytics.query import DeferredAnalyticsQuery
from couchloop.analytics.results import OfAnalytics
from couchloop.client.rows import RowsBase
from couchloop.exceptions import InvalidSettingError
from couchloop.fulltext.queries import RawQuery
from couchloop.fulltext.results import OfSearches
from couchloop.n1ql.results import OfQueries
from couchloop.operations.rows import RowStream
from couchloop.views.params import QueryBase
from couchloop.views.results import OfViews
from couchloop.views.rows import RowProcessor

T = TypeVar("T")


class _ByHand(RowsBase[T]):
    """What all of them are."""

    def _take_over(self, parent: Any, method: str, *args: Any, **kwargs: Any) -> None:
        """Be the request that a method of *parent* gives.

        Raises what the method raises, and InvalidSettingError (a TypeError) for a parent that gives
        none of this loop's.
        """
        call = getattr(parent, method, None)
        made = call(*args, **kwargs) if callable(call) else None
        if made is None or not isinstance(self, type(made)):
            kind, here = type(parent).__name__, type(self).__name__
            raise InvalidSettingError(f"the parent of a {here} is a Bucket of its loop, not {kind}")
        vars(self).update(vars(made))
        # The stream ends with the one that has it.
        vars(made).clear()


class ViewByHand(OfViews, _ByHand[T]):
    """See `View` of either loop.

    Args:
        parent: the Bucket.
        design: name of the design document.
        view: name of the view.
        row_processor: see `Bucket.query`, as for all that follow.
        include_docs: whether rows have documents.
        query: what is asked; not with *params*.
        streaming: whether rows are given while the answer comes.
        params: parameters of a ViewQuery.

    Raises what `Bucket.query` raises.
    """

    def __init__(
        self,
        parent: Any,
        design: Any,
        view: Any,
        row_processor: RowProcessor | None = None,
        include_docs: bool = False,
        query: QueryBase | Mapping[str, Any] | str | None = None,
        streaming: bool = True,
        **params: Any,
    ) -> None:
        if isinstance(design, RowStream):
            super().__init__(parent, design, view)
            return
        params |= {
            "row_processor": row_processor,
            "include_docs": include_docs,
            "query": query,
            "streaming": streaming,
        }
        self._take_over(parent, "query", design, view, **params)


class N1QLRequestByHand(OfQueries, _ByHand[T]):
    """See `N1QLRequest` of either loop.

    Args:
        params: an N1QLQuery, or a statement.
        parent: the Bucket.
        row_factory: is called with each row, and gives what is given instead.
        meta_lookahead: whether `meta` and its like read to the end of the answer, where they can
            wait for it: on gevent.
        kwargs: what `Bucket.n1ql_query` takes beside.

    Raises what `Bucket.n1ql_query` raises.
    """

    def __init__(
        self,
        params: Any,
        parent: Any,
        row_factory: Any = None,
        meta_lookahead: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(parent, RowStream):
            super().__init__(params, parent, row_factory)
            return
        kwargs |= {"row_factory": row_factory, "meta_lookahead": meta_lookahead}
        self._take_over(parent, "n1ql_query", params, **kwargs)

    @property
    def meta_lookahead(self) -> bool:
        """Whether `meta` and its like read to the end of the answer, where they can wait for it."""
        return self._stream.looks_ahead

    def _read_on(self) -> None:
        if self.meta_lookahead:
            super()._read_on()
        else:
            RowsBase._read_on(self)  # noqa: SLF001 - its own

    def meta_retrieve(self, meta_lookahead: bool | None = None) -> dict[str, Any]:
        """Return what the service says beside the rows.

        Args:
            meta_lookahead: whether the answer is read to its end for that. None: as the request has
                it.

        Raises RowsNotReadError (a RuntimeError) where the rows were not all taken.
        """
        if meta_lookahead:
            super()._read_on()
            return self._stream.meta
        return self.meta


class AnalyticsRequestByHand(OfAnalytics, _ByHand[T]):
    """See `AnalyticsRequest` of either loop.

    Args:
        params: an AnalyticsQuery, or a statement.
        host: of the node that is asked. None: any that has the service.
        parent: the Bucket.

    Raises what `Bucket.analytics_query` raises.
    """

    def __init__(self, params: Any, host: Any, parent: Any) -> None:
        if isinstance(host, RowStream):
            super().__init__(params, host, parent)
            return
        self._take_over(parent, "analytics_query", params, host)

    def _defer(
        self,
        params: DeferredAnalyticsQuery,
        host: str | None,
        parent: Any,
        timeout: float | None,
        interval: float | None,
    ) -> None:
        """Be a request whose rows are fetched later. See `DeferredAnalyticsRequest`."""
        if not isinstance(params, DeferredAnalyticsQuery):
            kind = type(params).__name__
            raise InvalidSettingError(f"what is deferred is a DeferredAnalyticsQuery, not {kind}")
        query = deepcopy(params)
        if timeout is not None:
            query.timeout = timeout
        if interval is not None:
            query.interval = interval
        self._take_over(parent, "analytics_query", query, host)


class SearchResultByHand(OfSearches, _ByHand[T]):
    """See `SearchResult` of either loop.

    Args:
        body: what `make_search_body` gives, or that as JSON.
        parent: the Bucket.
        row_factory: is called with each hit, and gives what is given instead.

    Raises InvalidSettingError (a TypeError) for a body that names no index, or has no query, and
    what `Bucket.search` raises.
    """

    def __init__(self, body: Any, parent: Any, row_factory: Any = None) -> None:
        if isinstance(parent, RowStream):
            super().__init__(body, parent, row_factory)
            return
        members = _members(body)
        index, query = members.pop("indexName"), RawQuery(members.pop("query"))
        timeout = _timeout(members.get("ctl"))
        self._take_over(
            parent, "search", index, query, raw=members, row_factory=row_factory, timeout=timeout
        )


def _members(body: Any) -> dict[str, Any]:
    """Return the members of a search's body. Raises InvalidSettingError (a TypeError)."""
    try:
        found = json.loads(body) if isinstance(body, str | bytes) else body
    except (ValueError, RecursionError) as error:
        raise InvalidSettingError("the body of a search is no JSON", inner_cause=error) from error
    if not isinstance(found, Mapping) or not {"indexName", "query"} <= found.keys():
        raise InvalidSettingError("the body of a search has indexName and query")
    return dict(found)


def _timeout(control: Any) -> float | None:
    """Return the seconds that a body says."""
    found = control.get("timeout") if isinstance(control, Mapping) else None
    return found / 1000 if isinstance(found, int | float) and found > 0 else None
