"""The embedded search service against recordings of a real one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from couchloop.embedded.search import dates, geo
from couchloop.embedded.search.analysis import ANALYZERS
from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.porter import stem
from couchloop.embedded.search.stop_words import ENGLISH
from tests.embedded import exchanges, search_replay
from tests.embedded.search_replay import SERVICE

DATA: dict[str, Any] = json.loads(exchanges.read(SERVICE, "analysis.json"))
RECORDINGS = exchanges.names(SERVICE)
SCORED = ("01", "02", "03", "04", "05", "07", "08", "15")
"""Recordings with scores that matter; places (06) are looked up otherwise there."""


@pytest.mark.parametrize("recording", RECORDINGS)
def test_nothing_is_unexpected(recording: str) -> None:
    """Every recorded answer is given, or a reason is written down why it is not."""
    score = search_replay.scores(recording)
    assert [(each.name, each.difference) for each in score.unexpected] == []


def test_every_excuse_is_needed() -> None:
    """A rule that excuses nothing any more has to go."""
    excused = {name for rule in search_replay.RULES for name in rule.exchanges}
    different = {
        outcome.name
        for recording in RECORDINGS
        for outcome in search_replay.outcomes(recording)
        if outcome.difference
    }
    assert excused == different


@cache
def service() -> search_replay.Replay:
    """Return a service that answers, but is not changed."""
    return search_replay.Replay("exp4")


def scored(recording: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield names and answers, recorded and given, of what was found in one partition."""
    for exchange in exchanges.load(SERVICE, recording):
        wanted = exchange.get("body")
        if not isinstance(wanted, dict) or not wanted.get("hits") or not exchange.get("ordered"):
            continue
        path, body = exchange["path"], exchanges.body_sent(exchange)
        yield exchange["id"], wanted, json.loads(service().ask("POST", path, body)[2])


@pytest.mark.parametrize("recording", [name for name in RECORDINGS if name[:2] in SCORED])
def test_scores(recording: str) -> None:
    """Scores are a server's in one partition, where nothing was ever replaced: so was recorded."""
    for name, wanted, given in scored(recording):
        pairs = [(wanted["max_score"], given["max_score"])]
        for one, other in zip(wanted["hits"], given["hits"], strict=True):
            pairs.append((one["score"], other["score"]))
        for one, other in pairs:
            # A boost of 0 gives no number there.
            assert math.isnan(one) or math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9), name


@pytest.mark.parametrize("name", DATA["analyzers"])
def test_analyzers(name: str) -> None:
    """Each analyzer makes the terms that a server's makes, with their places."""
    for row in DATA["analyzers"][name]:
        found = [
            [token.term, token.position, token.start, token.end, token.kind.value]
            for token in ANALYZERS[name](row["text"])
        ]
        # There a capital I with a dot gives a term that is no text.
        broken = [at for at, each in enumerate(row["tokens"]) if "\ufffd" in each[0]]
        for at in broken:
            assert found.pop(at)[1:] == row["tokens"].pop(at)[1:]
        assert found == row["tokens"], row["text"]


def test_stems() -> None:
    """Stems are those of Porter's first algorithm."""
    for word, wanted in DATA["porter_stems"]:
        assert stem(word) == wanted


def test_stop_words() -> None:
    """So are the words that are left out."""
    assert frozenset(DATA["stop_words_en"]) == ENGLISH


@pytest.mark.parametrize("row", DATA["dates_dateTimeOptional"], ids=lambda row: row["in"])
def test_dates(row: dict[str, str]) -> None:
    """The same texts are dates."""
    date = dates.parse(row["in"])
    found = None if date is None else dates.write(date.nanoseconds, "Z")
    assert found == row.get("utc")


@pytest.mark.parametrize("row", DATA["distances"], ids=lambda row: row["in"])
def test_distances(row: dict[str, Any]) -> None:
    """The same texts are distances; what is none is told in the same words."""
    if "error" in row:
        with pytest.raises(SearchError) as raised:
            geo.parse_distance(row["in"])
        assert str(raised.value) == row["error"]
    else:
        assert geo.parse_distance(row["in"]) == row["metres"]


@pytest.mark.parametrize("row", DATA["geo_points"], ids=lambda row: json.dumps(row["in"]))
def test_points(row: dict[str, Any]) -> None:
    """The same values are places."""
    point = geo.parse_point(row["in"])
    assert (point is not None) == row["ok"]
    if point is not None:
        assert (point.lat, point.lon) == (row["lat"], row["lon"])
