"""What searches find, compared with what sets, sorted lists and counting say."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.search.engine import Item, LiveIndex, search
from couchloop.embedded.search.index import Source
from couchloop.embedded.search.requests import parse_request

WORDS = "red green blue mill town"
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "word": st.lists(st.sampled_from(WORDS.split()), max_size=4).map(" ".join),
        "number": st.integers(-3, 3) | st.floats(-3, 3).map(lambda value: round(value, 1) + 0.0),
        "flag": st.booleans(),
    },
)
DOCUMENTS = st.lists(DOCUMENT, max_size=12)
SHARDS = st.integers(1, 3)

Found = set[str]


class Where:
    """Documents in an index, with what tells which match."""

    def __init__(self, documents: list[dict[str, Any]], shards: int) -> None:
        self.documents = {f"{at:02d}": each for at, each in enumerate(documents)}
        self.live = LiveIndex(
            {"mapping": {"store_dynamic": True}}, [str(at) for at in range(shards)]
        )
        self.live.follow(
            Item(key, each, int(key) % shards, lambda key=key, one=each: Source(key, one))  # type: ignore[misc]
            for key, each in self.documents.items()
        )

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        return search(parse_request({"size": 100, **request}), [self.live])

    def ids(self, query: dict[str, Any], **more: Any) -> list[str]:
        return [hit["id"] for hit in self.search({"query": query, **more})["hits"]]

    def matching(self, query: dict[str, Any]) -> Found:
        """Return what should be found."""
        match query:
            case {"conjuncts": parts}:
                sets = [self.matching(part) for part in parts]
                return set.intersection(*sets) if sets else set()
            case {"disjuncts": parts, **more}:
                counts = Counter(key for part in parts for key in self.matching(part))
                return {key for key, count in counts.items() if count >= more.get("min", 1)}
            case {"must": must, "must_not": must_not}:
                return self.matching(must) - self.matching(must_not)
            case {"must_not": must_not}:
                return set(self.documents) - self.matching(must_not)
            case {"term": term}:
                return self._where("word", lambda value: term in value.split())
            case {"min": least, "max": most}:
                return self._where("number", lambda value: least <= value < most)
            case {"bool": wanted}:
                return self._where("flag", lambda value: value is wanted)
        return set(self.documents)

    def _where(self, name: str, accepts: Any) -> Found:
        return {key for key, each in self.documents.items() if name in each and accepts(each[name])}


TERM: st.SearchStrategy[dict[str, Any]] = st.sampled_from(WORDS.split()).map(
    lambda word: {"term": word, "field": "word"}
)
LEAF: st.SearchStrategy[dict[str, Any]] = (
    TERM
    | st.tuples(st.integers(-4, 4), st.integers(-8, 8).map(lambda value: value / 2)).map(
        lambda both: {"min": both[0], "max": both[1], "field": "number"}
    )
    | st.booleans().map(lambda flag: {"bool": flag, "field": "flag"})
    | st.just({"match_all": {}})
)
QUERY: st.SearchStrategy[dict[str, Any]] = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: {"conjuncts": parts})
        | st.lists(inner, max_size=3).map(lambda parts: {"disjuncts": parts})
        | st.lists(inner, min_size=2, max_size=4).map(lambda parts: {"disjuncts": parts, "min": 2})
        | TERM.map(lambda part: {"must_not": {"disjuncts": [part]}})
        | st.tuples(inner, inner).map(
            lambda both: {
                "must": {"conjuncts": [both[0]]},
                "must_not": {"disjuncts": [both[1]]},
            }
        )
    ),
    max_leaves=6,
)


@given(DOCUMENTS, SHARDS, QUERY)
def test_queries_are_sets(documents: list[dict[str, Any]], shards: int, query: Any) -> None:
    """What a compound finds follows from what its parts find, in however many partitions."""
    where = Where(documents, shards)
    answer = where.search({"query": query})
    assert {hit["id"] for hit in answer["hits"]} == where.matching(query)
    assert answer["total_hits"] == len(answer["hits"])
    assert answer["status"] == {"total": shards, "failed": 0, "successful": shards}
    unscored = where.search({"query": query, "score": "none"})
    assert unscored["total_hits"] == answer["total_hits"]
    assert unscored["max_score"] == 0


@given(DOCUMENTS, SHARDS, QUERY, st.integers(1, 4))
def test_pages(documents: list[dict[str, Any]], shards: int, query: Any, size: int) -> None:
    """Pages together are all hits, by offset and by handing the last sort values back."""
    where = Where(documents, shards)
    request: dict[str, Any] = {"query": query, "sort": ["-number", "word", "_id"]}
    hits = where.search(request)["hits"]
    paged = [
        hit
        for offset in range(0, len(documents) + size, size)
        for hit in where.search(request | {"size": size, "from": offset})["hits"]
    ]
    assert paged == hits
    after = where.search(request | {"size": size})["hits"]
    while after and len(after) < len(hits):
        page = request | {"size": size, "search_after": after[-1]["sort"]}
        after += where.search(page)["hits"]
    assert after == hits
    if hits:
        page = request | {"size": size, "search_before": hits[-1]["sort"]}
        assert where.search(page)["hits"] == hits[:-1][-size:]


@given(DOCUMENTS, SHARDS)
def test_order(documents: list[dict[str, Any]], shards: int) -> None:
    """Numbers are in order, those of documents that have none last."""
    where = Where(documents, shards)
    key = where.documents
    for sort, sign in (("number", 1), ("-number", -1)):
        found = where.ids({"match_all": {}}, sort=[sort, "_id"])
        wanted = sorted(
            key, key=lambda one: ("number" not in key[one], sign * key[one].get("number", 0), one)
        )
        assert found == wanted


@given(DOCUMENTS, SHARDS)
def test_facets(documents: list[dict[str, Any]], shards: int) -> None:
    """Facets count as one counts by hand."""
    where = Where(documents, shards)
    ranges = [{"name": "low", "max": 0}, {"name": "high", "min": 0}]
    facets = {
        "words": {"field": "word", "size": 2},
        "numbers": {"field": "number", "size": 5, "numeric_ranges": ranges},
    }
    counted = where.search({"query": {"match_all": {}}, "facets": facets})["facets"]
    words = Counter(word for each in documents for word in set(each.get("word", "").split()))
    assert counted["words"]["total"] == words.total()
    first = sorted(words.items(), key=lambda each: (-each[1], each[0]))[:2]
    shown = [(each["term"], each["count"]) for each in counted["words"]["terms"] or ()]
    assert shown == first
    assert counted["words"]["other"] == words.total() - sum(count for _, count in first)
    assert counted["words"]["missing"] == sum(not each.get("word") for each in documents)
    numbers = [each["number"] for each in documents if "number" in each]
    by_name = {each["name"]: each["count"] for each in counted["numbers"]["numeric_ranges"] or ()}
    low = sum(number < 0 for number in numbers)
    assert by_name == {
        name: count for name, count in (("low", low), ("high", len(numbers) - low)) if count
    }


@given(DOCUMENTS, st.lists(st.tuples(st.integers(0, 11), DOCUMENT), max_size=8), SHARDS, QUERY)
def test_following_is_as_good_as_new(
    documents: list[dict[str, Any]], changes: list[tuple[int, Any]], shards: int, query: Any
) -> None:
    """An index that followed changes finds what one that is made anew finds, with its scores."""
    where = Where(documents, shards)
    for number, changed in changes:
        if number % 3:
            where.documents[f"{number:02d}"] = dict(changed)
        else:
            where.documents.pop(f"{number:02d}", None)
        where.live.follow(
            Item(key, each, int(key) % shards, lambda key=key, one=each: Source(key, one))  # type: ignore[misc]
            for key, each in where.documents.items()
        )
    new = Where([], shards)
    new.live.follow(
        Item(key, each, int(key) % shards, lambda key=key, one=each: Source(key, one))  # type: ignore[misc]
        for key, each in where.documents.items()
    )
    request = {"query": query, "sort": ["_id"]}
    assert where.search(request) == new.search(request)


@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=6), st.integers(0, 5))
def test_phrases_are_pieces(words: list[str], start: int) -> None:
    """A phrase is found where it is a piece of a text, and nowhere else."""
    where = Where([{"word": " ".join(words)}], 1)
    piece = words[start : start + 3]
    if piece:
        assert where.ids({"match_phrase": " ".join(piece), "field": "word"}) == ["00"]
        (hit,) = where.search({"query": {"terms": piece, "field": "word"}})["hits"]
        assert set(hit["locations"]["word"]) == set(piece)
    other = [*piece, "nowhere"]
    assert where.ids({"match_phrase": " ".join(other), "field": "word"}) == []
    assert where.ids({"terms": [piece[::-1] or ["x"], ["nowhere"]], "field": "word"}) == []


def test_scores_are_in_a_clear_order() -> None:
    """A rare term counts more, a short field too, and a boost."""
    texts = ("red", "red green", "red green blue", "red mill", "red red red town")
    where = Where([{"word": text} for text in texts], 1)
    by_score = {"sort": ["-_score", "_id"]}
    assert where.ids({"match": "red", "field": "word"}, **by_score)[0] == "00"
    assert where.ids({"match": "red mill", "field": "word"}, **by_score)[0] == "03"
    boosted = [{"term": "green", "field": "word", "boost": 100}, {"term": "mill", "field": "word"}]
    assert where.ids({"disjuncts": boosted}, **by_score)[0] == "01"
