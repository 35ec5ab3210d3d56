"""Phrases: terms that stand one behind another, in one value of one field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.fuzzy import near_terms
from couchloop.embedded.search.index import Entry, Location
from couchloop.embedded.search.searchers import (
    Conjunction,
    Context,
    Found,
    Matches,
    Nothing,
    Searcher,
    Term,
    any_of,
    any_term,
)

_LOOKED_AT: Final = 4
"""Steps that it takes to look where terms are in a document."""

Slots = Sequence[Sequence[str]]
"""For each place of a phrase the terms that may stand there; none: any may."""


class Phrase:
    """Finds documents where a phrase is, and tells where.

    Args:
        context: where is searched.
        field: in which field.
        slots: the phrase.
        fuzziness: how many changes each term may have.
        boost: what it counts for.
    """

    def __init__(
        self, context: Context, field: str, slots: Slots, fuzziness: int, boost: float
    ) -> None:
        self._entries = context.shard.entries
        self._budget = context.budget
        self._field = field
        self._slots = [
            [(term, _alternatives(context, field, term, fuzziness)) for term in slot]
            for slot in slots
        ]
        parts = [
            any_of([_any(context, field, terms, boost) for _, terms in slot])
            for slot in self._slots
            if slot
        ]
        self._inner: Searcher = Conjunction(parts) if len(parts) > 1 else any_of(parts)

    @property
    def weight(self) -> float:
        """What it counts for among others."""
        return self._inner.weight

    def scale(self, norm: float) -> None:
        """Weigh it against others."""
        self._inner.scale(norm)

    def matches(self) -> Matches:
        """Return the documents."""
        result = {}
        for number, match in self._inner.matches().items():
            self._budget.spend(_LOOKED_AT + len(self._slots))
            found = self._where(self._entries[number])
            if found:
                result[number] = match._replace(found=found)
        return result

    def _where(self, entry: Entry) -> tuple[Found, ...]:
        """Return where in a document the terms of the phrase are, wherever the whole of it is."""
        spots = [self._spots(entry, slot) for slot in self._slots]
        first = next(index for index, slot in enumerate(self._slots) if slot)
        found: dict[Found, None] = {}
        for name, places, position in spots[first]:
            path = self._path(spots, (name, places, position - first))
            if path is not None:
                found.update(dict.fromkeys(path))
        return tuple(found)

    def _path(
        self,
        spots: list[dict[tuple[str, tuple[int, ...], int], list[Found]]],
        start: tuple[str, tuple[int, ...], int],
    ) -> list[Found] | None:
        name, places, position = start
        path: list[Found] = []
        for offset, slot in enumerate(self._slots):
            if not slot:
                continue
            here = spots[offset].get((name, places, position + offset))
            if here is None:
                return None
            path += here
        return path

    def _spots(
        self, entry: Entry, slot: list[tuple[str, list[str]]]
    ) -> dict[tuple[str, tuple[int, ...], int], list[Found]]:
        """Return where in a document the terms of one place are, by field and position."""
        spots: dict[tuple[str, tuple[int, ...], int], list[Found]] = {}
        for asked, where in _locations(entry, self._field, slot):
            spots.setdefault((where.field, where.places, where.position), []).append(
                (where.field, asked, where)
            )
        return spots


def _locations(
    entry: Entry, field: str, slot: list[tuple[str, list[str]]]
) -> Iterator[tuple[str, Location]]:
    terms = entry.terms.get(field, {})
    for asked, alternatives in slot:
        for term in alternatives:
            posting = terms.get(term)
            for where in posting.locations if posting is not None else ():
                yield asked, where


def _alternatives(context: Context, field: str, term: str, fuzziness: int) -> list[str]:
    if not fuzziness:
        return [term]
    try:
        return near_terms(context, field, term, fuzziness, 0)
    except SearchError as error:
        text = f"phrase searcher error building term searcher: {error}"
        raise SearchError(text) from None


def _any(context: Context, field: str, terms: list[str], boost: float) -> Searcher:
    if len(terms) == 1:
        return Term(context, field, terms[0], boost)
    return any_term(context, field, terms, boost, limited=False) if terms else Nothing()
