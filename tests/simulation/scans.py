"""Whether what a scan gives agrees with what the documents really were (`Truth`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from couchloop.hot.operation import CollectionName
from tests.simulation.history import History
from tests.simulation.judgement import is_value
from tests.simulation.truth import PREFIX, Place, Truth, Version

SETTLED: Final = 0.7
"""Seconds after which every change is on the disk of a node that leads."""


class Scan:
    """One scan, as its consumer sees it.

    Args:
        history: of the world.
        truth: likewise.
        names: of the collection.
        holds: whether a key belongs to the range.
        now: when it begins, in seconds.
        limit: how many documents a sample has at most; None: it is none.
        ids_only: whether it gives keys alone.
        sees: a version that it must see, however new it is.
    """

    def __init__(
        self,
        history: History,
        truth: Truth,
        names: CollectionName | None,
        holds: Callable[[bytes], bool],
        now: float,
        *,
        limit: int | None,
        ids_only: bool,
        sees: Version | None,
    ) -> None:
        self.began = now
        self._history, self._truth, self._names, self._holds = history, truth, names, holds
        self._limit, self._ids_only = limit, ids_only
        self._sees = sees
        self._seen: dict[str, int] = {}
        """The CAS of each document that was given."""
        self._last: dict[int, bytes] = {}
        """The last key of each vbucket."""

    def given(self, result: Any) -> None:
        """Judge a document: it is of the range, was there meanwhile, and comes once."""
        violate = self._history.violate
        key: str = result.key
        who = f"a scan that began at {self.began:.6f} gave {result!r}"
        if key in self._seen:
            violate("given twice", who)
        self._seen[key] = result.cas
        if self._limit is not None and len(self._seen) > self._limit:
            violate("too many", f"{who}, and {len(self._seen)} in all")
        if not self._holds(key.encode()):
            violate("out of range", who)
        number = self._truth.number_of(key)
        if self._limit is None and key.encode() < self._last.get(number, b""):
            violate("unordered", who)
        self._last[number] = key.encode()
        if not key.startswith(PREFIX):
            # A sample has no range: of others' documents nothing is known here.
            return
        place = Place(self._names, key)
        since = self.began - SETTLED
        if self._ids_only:
            versions = [each for versions in self._truth.of(place) for each in versions]
            if not any(each.cas > 0 and each.died_at >= since for each in versions):
                violate("phantom", f"{who}, which was not there")
            return
        version = self._truth.find(place, result.cas)
        if version is None or version.cas != result.cas:
            violate("phantom", f"{who}, which never was")
        elif not is_value(version, result.value):
            violate("phantom", f"{who} where {version.body!r} was")
        elif version.died_at < since:
            violate("phantom", f"{who}, which ended at {version.died_at:.6f}")

    def ended(self) -> None:
        """Judge the end: what was there all the time and has not changed was given."""
        if self._limit is not None:
            return
        for key, version in self._truth.living(self._names):
            is_settled = version.settled_at <= self.began - SETTLED
            if not (is_settled or version is self._sees) or not self._holds(key.encode()):
                continue
            if key not in self._seen or self._seen[key] not in {version.cas, 0}:
                text = f"a scan that began at {self.began:.6f} missed {key} of {self._names}"
                self._history.violate("missed", f"{text}, {version.cas:x}")
