"""Hits as clients see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from couchloop.embedded.search import dates
from couchloop.embedded.search.highlight import best_fragment, find_style
from couchloop.embedded.search.index import Entry, Location, shown_term
from couchloop.embedded.search.mapping import Field
from couchloop.embedded.search.requests import SearchRequest
from couchloop.embedded.search.searchers import Match


@dataclass(slots=True)
class Hit:
    """A document that was found."""

    index: str
    """Name of the partition."""
    entry: Entry
    score: float
    match: Match
    shows_collection: bool = False
    values: list[Any] = field(default_factory=list)
    """What it is ordered by."""


def as_shown(request: SearchRequest, hit: Hit) -> dict[str, Any]:
    """Return a hit as clients see it."""
    score = hit.score
    shown: dict[str, Any] = {
        "index": hit.index,
        "id": hit.entry.key,
        "score": int(score) if score.is_integer() else score,
    }
    if request.explain:
        shown["explanation"] = {
            "value": shown["score"],
            "message": "score of the embedded search service, which is not a server's",
        }
    locations = _locations(hit.match)
    if locations:
        shown["locations"] = {
            name: {
                shown_term(term): [_place(each) for each in where] for term, where in terms.items()
            }
            for name, terms in locations.items()
        }
    if request.style is not None:
        fragments = _fragments(request, hit.entry, locations)
        if fragments:
            shown["fragments"] = fragments
    if request.sort:
        pairs = zip(request.sort, hit.values, strict=True)
        shown["sort"] = [order.shown(value) for order, value in pairs]
    fields = _fields(request, hit)
    if fields:
        shown["fields"] = fields
    if hit.match.partial:
        shown["partial_match"] = True
    return shown


def _place(location: Location) -> dict[str, Any]:
    return {
        "pos": location.position,
        "start": location.start,
        "end": location.end,
        "array_positions": list(location.places) or None,
    }


def _locations(match: Match) -> dict[str, dict[str, list[Location]]]:
    """Return where terms were found, by field and term."""
    found: dict[str, dict[str, list[Location]]] = {}
    for name, term, where in dict.fromkeys(match.found):
        found.setdefault(name, {}).setdefault(term, []).append(where)
    for terms in found.values():
        for each in terms.values():
            each.sort(key=lambda where: (where.places, where.position, where.start))
    return found


def _fragments(
    request: SearchRequest, entry: Entry, locations: dict[str, dict[str, list[Location]]]
) -> dict[str, list[str]]:
    style = find_style(request.style or "")
    names: Iterable[str] = locations if request.marked is None else request.marked
    fragments = {}
    for name in names:
        texts = [
            (each.value, each.places)
            for each in entry.fields
            if each.name == name and each.kind == "text" and each.options.store
        ]
        best = best_fragment(texts, locations.get(name, {}), style)
        if best:
            fragments[name] = best
    return fragments


def _fields(request: SearchRequest, hit: Hit) -> dict[str, Any]:
    """Return the stored values that are asked for."""
    wanted = set(request.fields or ())
    gathered: dict[str, list[Any]] = {}
    for each in hit.entry.fields if wanted else ():
        if each.options.store and ("*" in wanted or each.name in wanted):
            value = _stored(each)
            if value is not None:
                gathered.setdefault(each.name, []).append(value)
    fields = {name: values[0] if len(values) == 1 else values for name, values in gathered.items()}
    if hit.shows_collection:
        fields["_$c"] = hit.entry.collection
    return fields


def _stored(one: Field) -> Any:
    match one.kind:
        case "number":
            return int(one.value) if one.value.is_integer() else one.value
        case "datetime":
            return dates.write(one.value, one.layout)
        case "geopoint":
            return list(one.value)
        case "geoshape":
            return one.value.shown
        case "text" | "boolean":
            return one.value
    return None
