"""An index that follows its documents, and what is found in some of them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, NamedTuple

from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.highlight import find_style
from couchloop.embedded.search.hits import Hit, as_shown
from couchloop.embedded.search.index import Analysis, Entry, Shard, Source, raw_term, shown_term
from couchloop.embedded.search.mapping import IndexMapping
from couchloop.embedded.search.near import add_near
from couchloop.embedded.search.requests import SearchRequest, echo
from couchloop.embedded.search.searchers import Context


class Item(NamedTuple):
    """A document as an index follows it."""

    identity: Hashable
    version: object
    """An object that is another one after each change."""
    shard: int
    load: Callable[[], Source]


class LiveIndex:
    """Documents in searchable form.

    Args:
        params: of the definition.
        shards: names of the partitions.
    """

    def __init__(self, params: Mapping[str, Any], shards: Sequence[str]) -> None:
        self.analysis = Analysis(IndexMapping(params))
        self.shards = [Shard(name, number) for number, name in enumerate(shards)]
        self._known: dict[Hashable, tuple[object, Shard, int]] = {}

    def follow(self, items: Iterable[Item]) -> None:
        """Take in what has changed; *items* are all documents that there are.

        Raises SearchError if a field has an analyzer that is not here.
        """
        gone = set(self._known)
        for item in items:
            gone.discard(item.identity)
            known = self._known.get(item.identity)
            if known is not None:
                if known[0] is item.version:
                    continue
                known[1].remove(known[2])
                del self._known[item.identity]
            shard = self.shards[item.shard]
            number = shard.add(self.analysis.entry(item.load()))
            self._known[item.identity] = item.version, shard, number
        for identity in gone:
            _, shard, number = self._known.pop(identity)
            shard.remove(number)

    def analyze(self, source: Source) -> list[Any]:
        """Return the terms of a document, field by field. Raises SearchError."""
        analyzed: list[Any] = []
        for each in self.analysis.fields(source):
            if not each.options.indexed or each.kind in {"vector", "geoshape"}:
                continue
            terms: dict[str, dict[str, Any]] = {}
            for token in self.analysis.tokens(each):
                described = terms.setdefault(
                    shown_term(token.term),
                    {"Term": b64encode(raw_term(token.term)).decode(), "Locations": None},
                )
                if not each.options.vectors:
                    continue
                described["Locations"] = described["Locations"] or []
                described["Locations"].append(
                    {
                        "Field": each.name if each.options.in_all else "",
                        "ArrayPositions": list(each.places),
                        "Start": token.start,
                        "End": token.end,
                        "Position": token.position,
                    }
                )
            analyzed.append(terms)
        return analyzed


@dataclass(slots=True)
class _Found:
    """What was found in all partitions."""

    hits: list[Hit]
    partitions: int
    errors: dict[str, str]


def search(
    request: SearchRequest, indexes: Sequence[LiveIndex], budget: Budget | None = None
) -> dict[str, Any]:
    """Return the answer to a request, but for how long it took.

    Args:
        request: what is asked.
        indexes: where is searched.
        budget: how much may be done; None: anything.

    Raises SearchError, or RequestError where partitions that fail are not accepted.
    """
    budget = Budget() if budget is None else budget
    found = _find(request, indexes, budget)
    status: dict[str, Any] = {
        "total": found.partitions,
        "failed": len(found.errors),
        "successful": found.partitions - len(found.errors),
    }
    if found.errors:
        status["errors"] = found.errors
    answer: dict[str, Any] = {"status": status}
    if len(found.errors) == found.partitions:
        return answer | {
            "hits": None,
            "total_hits": 0,
            "cost": 0,
            "max_score": 0,
            "took": 0,
            "facets": None,
        }
    if request.explain:
        answer["request"] = echo(request)
    budget.spend(len(found.hits) * (1 + len(request.sort) + len(request.facets or {})))
    ordered = _ordered(request, found.hits)
    best = max((0.0, *(hit.score for hit in found.hits)))
    entries = [hit.entry for hit in found.hits]
    return answer | {
        "hits": [as_shown(request, hit) for hit in ordered],
        "total_hits": len(found.hits),
        "cost": 0,
        "max_score": int(best) if best.is_integer() else best,
        "took": 0,
        "facets": None if request.facets is None else _facets(request, entries),
    }


def _facets(request: SearchRequest, entries: Sequence[Entry]) -> dict[str, Any]:
    return {name: facet.count(entries) for name, facet in (request.facets or {}).items()}


def _find(request: SearchRequest, indexes: Sequence[LiveIndex], budget: Budget) -> _Found:
    """Search all partitions."""
    found = _Found([], sum(len(index.shards) for index in indexes), {})
    for index in indexes:
        hits: list[Hit] = []
        for shard in index.shards:
            try:
                hits += _in_shard(request, index, shard, budget)
            except SearchError as error:
                if found.partitions == 1:
                    raise
                found.errors[shard.name] = str(error)
        found.hits += hits
    if request.near:
        found.hits = add_near(
            request, found.hits, [(each.analysis, each.shards) for each in indexes], budget
        )
    if found.errors and request.control.complete:
        raise RequestError(
            f"bleve: results weren't retrieved from some index partitions: {len(found.errors)}"
        )
    return found


def _in_shard(request: SearchRequest, index: LiveIndex, shard: Shard, budget: Budget) -> list[Hit]:
    if shard.failure is not None:
        raise SearchError(shard.failure)
    if request.style is not None:
        find_style(request.style)
    context = Context(shard, index.analysis, request.needs_locations, budget)
    matches = request.query.searcher(context).matches()
    by_collection = index.analysis.mapping.by_collection
    wanted = set(request.collections) if by_collection else set()
    return [
        Hit(
            shard.name,
            shard.entries[number],
            match.score if request.scored and math.isfinite(match.score) else 0.0,
            match,
            shows_collection=by_collection,
        )
        for number, match in matches.items()
        if not wanted or shard.entries[number].collection in wanted
    ]


def _ordered(request: SearchRequest, hits: list[Hit]) -> list[Hit]:
    """Return the page of hits that is asked for, in order."""
    orders = request.sort
    for hit in hits:
        hit.values = [order.value(hit.entry, hit.score) for order in orders]
    hits = sorted(hits, key=lambda hit: (hit.entry.key, hit.index))

    def compare(one: Sequence[Any], other: Sequence[Any]) -> int:
        for order, first, second in zip(orders, one, other, strict=True):
            if first != second:
                return 1 if (first > second) != order.descends else -1
        return 0

    compared = cmp_to_key(compare)
    hits.sort(key=lambda hit: compared(hit.values))
    if request.after is not None:
        bound = [order.given(text) for order, text in zip(orders, request.after, strict=True)]
        return [hit for hit in hits if compare(hit.values, bound) > 0][: request.size]
    if request.before is not None:
        bound = [order.given(text) for order, text in zip(orders, request.before, strict=True)]
        before = [hit for hit in hits if compare(hit.values, bound) < 0]
        return before[max(0, len(before) - request.size) :]
    return hits[request.offset : request.offset + request.size]
