"""Every public name of SDK 2.5's modules for queries and management; see `tools/parity_names.py`."""
# ruff: noqa: E501 - a line is a row

from __future__ import annotations

from typing import Final

from tools.parity_names import Group

_FIRST: Final = "the first argument has the attribute's own name, or none"
_HIDDEN: Final = "out: a helper of the SDK's own"


def _loops(name: str) -> str:
    return f"gcouchbase.{name} txcouchbase.{name}"


def _rows(*lines: str) -> str:
    """Return lines about results, each at its place in both loops' `rows`."""
    rows = []
    for line in lines:
        name, note, reason = (*(part.strip() for part in line.split("|")), "", "")[:3]
        where = _loops(f"rows.{name.partition('(')[0]}")
        rows.append(f"{name} | {note} | {reason} | {where}")
    return "\n".join(rows) + "\n"


SERVICES: Final = (
    Group(
        "2.5",
        "Queries: names that couchbase.n1ql has beside",
        ("couchloop.n1ql",),
        """\
CONSISTENCY_UNBOUNDED
CONSISTENCY_REQUEST
CONSISTENCY_NONE
VALID_PROFILES
N1QLError | of a class that says what it is; 2.5 raises HTTPError where the status of the answer is not 200
N1QLError.n1ql_errcode | `code` says the same
AlreadyQueriedError
MutationState | | | couchloop.mutation_state.MutationState
MissingTokenError | | | couchloop.mutation_state.MissingTokenError
"""
        + _rows(
            "N1QLRequest(params, parent, row_factory, meta_lookahead)",
            "N1QLRequest.meta_retrieve(meta_lookahead)",
        )
        + "itercls | | out: `MyRequest(query, bucket)` makes one of a subclass; on Twisted `n1qlQueryEx(cls)`\n",
    ),
    Group(
        "2.5",
        "Analytics: couchbase.analytics, couchbase.analytics_ingester",
        ("couchloop.analytics",),
        """\
AnalyticsQuery | options are attributes, too
AnalyticsQuery.update | gives the query, and may be called again
DeferredAnalyticsQuery | `interval`, too
DeferredAnalyticsQuery.timeout
BucketOperator(verb)
BucketOperators.INSERT
BucketOperators.UPSERT
BucketOperators.REPLACE
AnalyticsIngester(id_generator, data_converter, operation) | also on Twisted and in threads; the operation may be any function
AnalyticsIngester.id_generator | | | couchloop.analytics.AnalyticsIngester
AnalyticsIngester.data_converter | | | couchloop.analytics.AnalyticsIngester
AnalyticsIngester.operation | | | couchloop.analytics.AnalyticsIngester
gen_request | | out: `bucket.analytics_query` makes either
"""
        + _rows(
            "AnalyticsRequest(params, host, parent)",
            "DeferredAnalyticsRequest(params, host, parent, timeout, interval) | nothing is sent before the first row is asked for; a handle's host that is none of the cluster's is not told the password",
            "DeferredAnalyticsRequest.is_ready",
            "DeferredAnalyticsRequest.raw",
            "DeferredAnalyticsRequest.final_response | | out: rows stream",
        ),
    ),
    Group(
        "2.5",
        "Views: couchbase.views.params, couchbase.views.iterator",
        ("couchloop.views",),
        f"""\
STALE_UPDATE_BEFORE
STALE_OK
STALE_UPDATE_AFTER
ONERROR_CONTINUE
ONERROR_STOP
UNSPEC
Params
QueryBase(passthrough, unrecognized_ok)
QueryBase.update(copy)
QueryBase.from_any(params) | takes a SpatialQuery for a SpatialQuery alone
QueryBase.from_string(qstr) | takes further parameters beside the text
QueryBase.encoded
QueryBase.has_blob
QueryBase.STRING_RANGE_END
QueryBase.stale
QueryBase.skip | no negative number
QueryBase.limit | likewise
QueryBase.full_set
QueryBase.debug
QueryBase.on_error
QueryBase.connection_timeout
ViewQuery
Query
ViewQuery.descending
ViewQuery.inclusive_end
ViewQuery.reduce
ViewQuery.group
ViewQuery.group_level
ViewQuery.key
ViewQuery.keys
ViewQuery.startkey
ViewQuery.endkey
ViewQuery.startkey_docid
ViewQuery.endkey_docid
ViewQuery.mapkey_single
ViewQuery.mapkey_multi
ViewQuery.mapkey_range | a tuple of one, too
ViewQuery.dockey_range | likewise
SpatialQuery
SpatialQuery.start_range
SpatialQuery.end_range
make_options_string(input, unrecognized_ok, passthrough)
make_dvpath | | {_HIDDEN}
ViewRow
SpatialRow
RowProcessor(rowclass) | | | couchloop.views.RowProcessor
SpatialRowProcessor(rowclass)
RowProcessor.handle_rows | | out: it waits where nobody can; `rowclass` makes rows, `include_docs` fetches documents
get_row_doc | | {_HIDDEN}
AlreadyQueriedError
ViewEngineError
"""
        + _rows(
            "View(parent, design, view, row_processor, include_docs, query, streaming) | rows stream; what failed on other nodes is raised, or in `errors`",
            "View.design",
            "View.view",
            "View.query",
            "View.raw",
            "View.indexed_rows | known with the first row",
            "View.rows_returned",
            "View.row_processor",
            "View.errors",
        )
        + "itercls | | out: `MyView(bucket, design, view)` makes one of a subclass; on Twisted `queryEx(cls)`\n",
    ),
    Group(
        "2.5",
        "Search: couchbase.fulltext",
        ("couchloop.fulltext",),
        f"""\
Query
Query.boost
Query.encodable
Query.validate
RawQuery(obj)
QueryStringQuery | {_FIRST}
MatchQuery(prefix_length, fuzziness, field, analyzer, boost) | {_FIRST}; `match_operator`, too
MatchPhraseQuery(field, analyzer, boost) | {_FIRST}; `fuzziness`, too
TermQuery(term, fuzziness, prefix_length, field, boost)
PhraseQuery(*terms, field, boost) | terms in place of one another, too
PrefixQuery(field, boost) | {_FIRST}
WildcardQuery(field, boost) | {_FIRST}
RegexQuery(field, boost) | {_FIRST}
RegexQuery.regex
RegexpQuery
DocIdQuery(ids, boost)
NumericRangeQuery(min, max, min_inclusive, max_inclusive, field, boost)
DateRangeQuery(start, end, start_inclusive, end_inclusive, datetime_parser, field, boost)
TermRangeQuery(start, end, start_inclusive, end_inclusive, field, boost) | the service is told what it takes: `min`, `max`
GeoDistanceQuery(distance, location, field, boost)
GeoBoundingBoxQuery(top_left, bottom_right, field, boost)
ConjunctionQuery(*queries)
DisjunctionQuery(*queries, min)
BooleanQuery(must, should, must_not) | one query alone is taken for several, as 2.5 means to
MatchAllQuery(boost)
MatchNoneQuery(boost)
BooleanFieldQuery(bool, field, boost)
Facet(field)
Facet.encodable
TermFacet(field, limit) | ten terms where it says nothing: the service would give none
DateFacet(field)
DateFacet.add_range(name, start, end)
NumericFacet(field)
NumericFacet.add_range(name, min, max)
Sort(by, desc, descending)
Sort.as_encodable
SortString(*fields)
SortScore(desc, descending)
SortID(desc, descending)
SortField(field, type, mode, missing, desc, descending)
SortGeoDistance(location, field, unit, desc, descending)
SortRaw(raw)
Params(limit, skip, explain, fields, timeout, highlight_style, highlight_fields, sort, consistency, facets)
Params.as_encodable(index_name)
Params.consistent_with | no argument `ms` by name: it is `state`
make_search_body(index, query, params)
SearchError
NoChildrenError
AlreadyQueriedError
"""
        + _rows(
            "SearchRequest(body, parent, row_factory) | `couchloop.fulltext.SearchRequest` is SDK 4's: what is searched for",
            "SearchRequest.execute",
            "SearchRequest.meta | on gevent it reads to the end",
            "SearchRequest.raw",
            "SearchRequest.total_hits",
            "SearchRequest.took",
            "SearchRequest.max_score",
            "SearchRequest.facets",
            "SearchRequest.errors",
            f"SearchRequest.mk_kwargs | | {_HIDDEN}",
        ),
    ),
    Group(
        "2.5",
        "Admin: couchbase.admin, couchbase.auth_domain",
        ("gcouchbase.admin", "txcouchbase.admin"),
        f"""\
Admin(username, password, host, port, connection_string, bucket, ipv6) | connects with its first call; `cluster.cluster_manager()` gives one, too
Admin.http_request(path, method, content, content_type, response_format)
Admin.bucket_create(name, bucket_type, bucket_password, replicas, ram_quota, flush_enabled) | a password is refused: servers have none any more
Admin.bucket_update(name, current, bucket_password, replicas, ram_quota, flush_enabled) | likewise; what is not said stays as it is
Admin.bucket_remove(name)
Admin.bucket_delete(name)
Admin.bucket_info(name)
Admin.buckets_list | a list
Admin.BucketInfo | `name` is an attribute, as 2.5's `str` has it; the other settings, too
Admin.BucketInfo.raw_json | | | couchloop.management.buckets.BucketInfo.raw_json
Admin.wait_ready(name, timeout, sleep_interval)
Admin.users_get(domain)
Admin.user_get(domain, userid)
Admin.user_upsert(domain, userid, password, roles, name)
Admin.user_remove(domain, userid)
Admin.get_users
Admin.get_user
Admin.upsert_user
Admin.remove_user
NotReadyError
AuthDomain
AuthDomain.Local
AuthDomain.External
METHMAP | | {_HIDDEN}
""",
    ),
    Group(
        "2.5",
        "Design documents: couchbase.bucketmanager",
        ("gcouchbase.bucketmanager", "txcouchbase.bucketmanager"),
        """\
BucketManager(cb) | `bucket.bucket_manager()` gives one, too
BucketManager.design_create(name, ddoc, use_devmode, syncwait)
BucketManager.design_get(name, use_devmode)
BucketManager.design_publish(name, syncwait)
BucketManager.design_delete(name, use_devmode, syncwait)
BucketManager.design_list
""",
    ),
)
