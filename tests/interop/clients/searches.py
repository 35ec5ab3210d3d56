"""The official Python SDK, searching: a query of each class, each option, a search by vectors.

    python searches.py CONNECTION_STRING

The lines are as those of battery.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from battery import report
from couchbase import search
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.management.search import SearchIndex
from couchbase.mutation_state import MutationState
from couchbase.options import ClusterOptions, SearchOptions
from couchbase.vector_search import VectorQuery, VectorSearch

PLACES = {
    "a": {"name": "The Old Mill", "stars": 3, "open": True, "at": [2.35, 48.86], "near": [1, 1]},
    "b": {"name": "New Mill", "stars": 5, "open": False, "at": [2.36, 48.87], "near": [1, 2]},
    "c": {"name": "Walking Town", "stars": 1, "built": "1999-12-31", "near": [9, 9]},
}
OTHERS = ("stars", "number"), ("open", "boolean"), ("at", "geopoint"), ("built", "datetime")


def definition() -> dict[str, Any]:
    """Return the mapping of the index."""
    properties: dict[str, Any] = {
        "name": {"fields": [{"name": "name", "type": "text", "analyzer": "en"}]},
        "near": {"fields": [{"name": "near", "type": "vector", "dims": 2}]},
    }
    properties |= {name: {"fields": [{"name": name, "type": kind}]} for name, kind in OTHERS}
    for each in properties.values():
        shared = ("index", "store", "docvalues", "include_in_all", "include_term_vectors")
        each["fields"][0] |= dict.fromkeys(shared, True)
    mapping = {"default_mapping": {"dynamic": False, "enabled": True, "properties": properties}}
    return {"mapping": mapping, "doc_config": {"mode": "type_field", "type_field": "type"}}


def queries() -> dict[str, Any]:
    """Return a query of each class."""
    old = search.TermQuery("old", field="name")
    mill = search.MatchQuery("mills", field="name")
    return {
        "query_string": search.QueryStringQuery("+name:mill -name:old"),
        "match": search.MatchQuery("walked", field="name", match_operator=search.MatchOperator.AND),
        "match_fuzzy": search.MatchQuery("mull", field="name", fuzziness=1, prefix_length=1),
        "match_phrase": search.MatchPhraseQuery("old mill", field="name"),
        "term": old,
        "phrase": search.PhraseQuery("old", "mill", field="name"),
        "prefix": search.PrefixQuery("tow", field="name"),
        "wildcard": search.WildcardQuery("t?w*", field="name"),
        "regexp": search.RegexQuery("(old|town)", field="name"),
        "ids": search.DocIdQuery(["c", "a"]),
        "numbers": search.NumericRangeQuery(min=3, max=5, inclusive_max=True, field="stars"),
        "dates": search.DateRangeQuery(start="1999-01-01", end="2000-01-01", field="built"),
        "terms": search.TermRangeQuery(min="o", max="p", field="name"),
        "distance": search.GeoDistanceQuery("500m", (2.35, 48.86), field="at"),
        "box": search.GeoBoundingBoxQuery((2.3, 48.9), (2.355, 48.8), field="at"),
        "polygon": search.GeoPolygonQuery([(2.3, 48.8), (2.3, 48.9), (2.4, 48.9)], field="at"),
        "conjunction": search.ConjunctionQuery(old, mill),
        "disjunction": search.DisjunctionQuery(old, mill, min=1),
        "boolean": search.BooleanQuery(must=mill, must_not=old),
        "match_all": search.MatchAllQuery(),
        "match_none": search.MatchNoneQuery(),
        "bool": search.BooleanFieldQuery(True, field="open"),
        "raw": search.RawQuery({"match": "mill", "field": "name"}),
        "mistake": search.RawQuery({"what": 1}),
    }


def options() -> dict[str, SearchOptions]:
    """Return options, by what they are for."""
    return {
        "page": SearchOptions(limit=1, skip=1, sort=["_id"]),
        "fields": SearchOptions(fields=["*"], sort=["_id"]),
        "highlight": SearchOptions(highlight_style=search.HighlightStyle.Html, sort=["_id"]),
        "locations": SearchOptions(include_locations=True, sort=["_id"]),
        "by_field": SearchOptions(sort=[search.SortField("stars", type="number", desc=True)]),
        "by_place": SearchOptions(
            sort=[search.SortGeoDistance(location=(2.36, 48.87), field="at")]
        ),
        "by_score": SearchOptions(sort=[search.SortScore(desc=True), search.SortID()]),
        "explain": SearchOptions(explain=True, sort=["_id"]),
        "unscored": SearchOptions(disable_scoring=True, sort=["_id"]),
        "facets": SearchOptions(
            facets={
                "terms": search.TermFacet("name", limit=2),
                "numbers": search.NumericFacet("stars", limit=2).add_range("few", max=4),
                "dates": search.DateFacet("built", limit=2).add_range("old", end="2000-01-01"),
            }
        ),
    }


def rows(result: Any) -> list[Any]:
    """Return what can be told of hits, in order."""
    return [
        tuple(filter(None, (row.id, row.fields, row.fragments, shown(row.locations))))
        for row in result.rows()
    ]


def shown(locations: Any) -> Any:
    """Return places of terms."""
    if locations is None:
        return None
    return [(each.field, each.term, each.position, each.end) for each in locations.get_all()]


def hits(cluster: Cluster, query: Any) -> Callable[[], Any]:
    """Return a call that searches, and gives ids."""
    asked = SearchOptions(sort=["_id"])
    return lambda: [row.id for row in cluster.search_query("i", query, asked).rows()]


def with_option(cluster: Cluster, chosen: SearchOptions) -> Callable[[], Any]:
    """Return a call that searches for everything, and gives hits."""
    mill = search.DisjunctionQuery(search.MatchQuery("mill", field="name"), search.MatchAllQuery())
    return lambda: rows(cluster.search_query("i", mill, chosen))


def facets(cluster: Cluster) -> Any:
    """Return what facets count."""
    result = cluster.search_query("i", search.MatchAllQuery(), options()["facets"])
    list(result.rows())
    return sorted(
        (
            name,
            facet.total,
            facet.missing,
            [(each.term, each.count) for each in facet.terms or ()],
            [(each.name, each.count) for each in facet.numeric_ranges or ()],
            [(each.name, each.count) for each in facet.date_ranges or ()],
        )
        for name, facet in result.facets().items()
    )


def metadata(cluster: Cluster) -> Any:
    """Return what is told about a search."""
    result = cluster.search_query("i", search.MatchAllQuery())
    list(result.rows())
    metrics = result.metadata().metrics()
    told = (
        metrics.total_rows(),
        metrics.success_partition_count(),
        metrics.error_partition_count(),
        metrics.max_score(),
    )
    return told, result.metadata().errors()


def vectors(cluster: Cluster) -> Any:
    """Return the nearest, alone and together with a query."""
    near = VectorSearch.from_vector_query(VectorQuery.create("near", [1.0, 1.5], num_candidates=2))
    alone = cluster.search("i", search.SearchRequest.create(near))
    found = sorted(row.id for row in alone.rows())
    both = search.SearchRequest.create(search.MatchQuery("town", field="name"))
    together = cluster.search("i", both.with_vector_search(near))
    return found, sorted(row.id for row in together.rows())


def consistent(cluster: Cluster) -> Any:
    """Return what is found of a document that was written just before."""
    collection = cluster.bucket("default").default_collection()
    state = MutationState(collection.upsert("d", {"name": "hot spring"}))
    asked = SearchOptions(consistent_with=state)
    query = search.MatchQuery("springs", field="name")
    return [row.id for row in cluster.search_query("i", query, asked).rows()]


def main(address: str) -> None:
    """Search for all that there is."""
    cluster = Cluster.connect(address, ClusterOptions(PasswordAuthenticator("admin", "password")))
    collection = cluster.bucket("default").default_collection()
    for key, place in PLACES.items():
        collection.upsert(key, place)
    index = SearchIndex(name="i", source_name="default", source_type="couchbase")
    index.params = definition()
    cluster.search_indexes().upsert_index(index)
    scope = cluster.bucket("default").scope("_default")
    scope.search_indexes().upsert_index(index)
    for name, query in queries().items():
        report(name, hits(cluster, query))
    for name, chosen in options().items():
        if name != "facets":
            report(name, with_option(cluster, chosen))
    report("facets", lambda: facets(cluster))
    report("metadata", lambda: metadata(cluster))
    report("vectors", lambda: vectors(cluster))
    request = search.SearchRequest.create(search.MatchQuery("old", field="name"))
    report("scoped", lambda: [row.id for row in scope.search("i", request).rows()])
    report("consistent", lambda: consistent(cluster))
    report("missing", lambda: list(cluster.search_query("j", search.MatchAllQuery()).rows()))
    cluster.close()


if __name__ == "__main__":
    main(sys.argv[1])
