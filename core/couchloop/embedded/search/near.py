"""Hits by vectors: all are compared, for there are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from couchloop.embedded.search.budget import Budget
from couchloop.embedded.search.hits import Hit
from couchloop.embedded.search.index import Analysis, Entry, Shard
from couchloop.embedded.search.requests import Near, SearchRequest
from couchloop.embedded.search.searchers import Context, Match
from couchloop.embedded.search.vectors import similarity

_NUMBERS: Final = 16
"""Numbers of a vector that are compared in the time of a step."""

Where = Sequence[tuple[Analysis, Sequence[Shard]]]
"""Partitions, with what analyzes for them."""
_Key = tuple[str, int]
"""Partition, and which document of it."""


def add_near(request: SearchRequest, hits: list[Hit], where: Where, budget: Budget) -> list[Hit]:
    """Return hits of a query together with those whose vectors are near. Raises SearchError."""
    found = {_key(hit): hit for hit in hits}
    wanted = set(found)
    for near in request.near:
        nearest = {_key(hit): hit for hit in _nearest(request, near, where, budget)}
        wanted &= set(nearest)
        for key, hit in nearest.items():
            known = found.setdefault(key, hit)
            if known is not hit:
                known.score += hit.score
    return [hit for key, hit in found.items() if key in wanted or not request.near_and]


def _key(hit: Hit) -> _Key:
    return hit.index, id(hit.entry)


def _nearest(request: SearchRequest, near: Near, where: Where, budget: Budget) -> list[Hit]:
    """Return the documents whose vectors are nearest."""
    candidates: list[Hit] = []
    for analysis, shards in where:
        by_collection = analysis.mapping.by_collection
        wanted = set(request.collections) if by_collection else set()
        for shard in shards:
            for entry in _allowed(near, analysis, shard, budget):
                budget.spend(1 + len(near.vector) // _NUMBERS)
                scores = [
                    similarity(metric, near.vector, vector)
                    for vector, metric in entry.vectors.get(near.field, ())
                    if len(vector) == len(near.vector)
                ]
                if scores and (not wanted or entry.collection in wanted):
                    score = near.boost * max(scores) if request.scored else 0.0
                    score = score if math.isfinite(score) else 0.0
                    candidates.append(Hit(shard.name, entry, score, Match(score), by_collection))
    candidates.sort(key=lambda hit: (-hit.score, hit.entry.key))
    return candidates[: near.most]


def _allowed(near: Near, analysis: Analysis, shard: Shard, budget: Budget) -> list[Entry]:
    if near.filter is None:
        return list(shard.entries.values())
    matches = near.filter.searcher(Context(shard, analysis, budget=budget)).matches()
    return [shard.entries[number] for number in matches]
