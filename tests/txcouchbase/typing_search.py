"""What type checkers see of searches: nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from couchloop.client.thread_rows import SearchResult as ThreadResult
from couchloop.fulltext import (
    HighlightStyle,
    MatchQuery,
    Params,
    SearchRequest,
    SearchRow,
    SortScore,
    TermFacet,
    VectorQuery,
    VectorSearch,
)
from couchloop.fulltext.results import SearchMetaData
from couchloop.retries import FailFast
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster
from txcouchbase.rows import BatchedRows, RowsHandler, SearchResult


@dataclass
class Hotel:
    """What the fields of a hit are."""

    name: str


async def searches(bucket: Bucket, cluster: Cluster) -> None:
    """Whoever searches is given the loop's own result, of hits."""
    query = MatchQuery("a", fuzziness=1)
    request = SearchRequest(VectorSearch([VectorQuery("v", [1.0])])).with_search_query(query)
    params = Params(limit=5, highlight_style=HighlightStyle.Html)
    result = bucket.search("ix", query, params, facets={"f": TermFacet("x")}, sort=SortScore())
    assert_type(result, SearchResult[SearchRow])
    assert_type(cluster.search("ix", request), SearchResult[SearchRow])
    assert_type(cluster.search_query("ix", "a", params, limit=1), SearchResult[SearchRow])
    assert_type(bucket.scope("s").search("ix", "a"), SearchResult[SearchRow])
    assert_type(bucket.collection("c").search("ix", "a"), SearchResult[SearchRow])
    assert_type(bucket.threadsafe().search("ix", "a"), ThreadResult[SearchRow])
    assert_type(bucket.threadsafe().scope("s").search("ix", "a"), ThreadResult[SearchRow])
    async for hit in result:
        assert_type(hit.id, str)
        assert_type(hit.fields, dict[str, Any])
    assert_type(await cluster.search("ix", "a"), list[SearchRow])
    assert_type(result.total_hits, int)
    assert_type(result.facets, dict[str, Any])
    assert_type(result.metadata(), SearchMetaData)
    typed = bucket.search("ix", "a", fields=["*"], type=Hotel)
    assert_type(typed, SearchResult[SearchRow[Hotel]])
    assert_type(cluster.search_query("ix", "a", type=Hotel), SearchResult[SearchRow[Hotel]])
    assert_type(bucket.scope("s").search("ix", "a", type=Hotel), SearchResult[SearchRow[Hotel]])
    assert_type(bucket.threadsafe().search("ix", "a", type=Hotel), ThreadResult[SearchRow[Hotel]])
    made = bucket.search("ix", "a", type=Hotel, row_factory=lambda hit: hit.id)
    assert_type(made, SearchResult[Any])
    bucket.search("ix", "a", retry_strategy=FailFast())
    bucket.search("ix", "a", Params(retry_strategy=FailFast()))
    bucket.search("ix", "a", retry_strategy=5)  # type: ignore[call-overload]
    bucket.search("ix", 5)  # type: ignore[call-overload]
    bucket.search("ix", "a", limits=5)  # type: ignore[call-overload]
    assert_type(query.match, str)
    assert_type(query.boost, float | int | None)
    assert_type(await bucket.searchQueryAll("ix", "a"), BatchedRows[Any])
    assert_type(bucket.searchQueryEx(Handler, "ix", "a"), Handler)


class Handler(RowsHandler[SearchRow]):
    """Takes hits as they come."""
