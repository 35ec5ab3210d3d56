"""Members of a request's JSON as attributes: what is taken, what is refused, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSearchError, InvalidSettingError
from couchloop.fulltext import HighlightStyle, MatchAllQuery, NumericRangeQuery, Params, RegexQuery
from couchloop.fulltext.members import (
    count,
    flag,
    name,
    names,
    number,
    one_of,
    place,
    positive,
    text,
)


class Lying(str):
    """A text whose methods say something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "lies"


class Number(int):
    """An integer whose methods say something else."""

    def __index__(self) -> int:
        return 99


@pytest.mark.parametrize(
    ("check", "given", "kept"),
    [
        (text, "", ""),
        (text, Lying("truth"), "truth"),
        (name, "a", "a"),
        (number, 1, 1),
        (number, 1.5, 1.5),
        (number, 2**64, 2**64),
        (count, 0, 0),
        (count, Number(7), 7),
        (positive, 1, 1),
        (flag, 0, False),
        (flag, True, True),
        (names, ("a", "b"), ["a", "b"]),
        (names, {"a": 1}.keys(), ["a"]),
        (place, (1, 2.5), [1, 2.5]),
        (place, {"lat": 1, "lng": 2}, {"lon": 2, "lat": 1}),
        (place, {"lat": 1, "lon": 2, "lng": 3}, {"lon": 2, "lat": 1}),
        (place, "drm3btev3e86", "drm3btev3e86"),
        (one_of("html", "ansi"), HighlightStyle.Html, "html"),
        (one_of("html", "ansi"), "ANSI", "ansi"),
    ],
)
def test_taken(check: Callable[[object, str], Any], given: object, kept: object) -> None:
    """What is kept is of the built-in types, and JSON can say it."""
    found = check(given, "it")
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (text, 1),
        (text, b"bytes"),
        (text, None),
        (number, "1"),
        (number, True),
        (number, 1j),
        (count, 1.0),
        (count, False),
        (flag, "false"),
        (names, "abc"),
        (names, b"abc"),
        (names, {"a": 1}),
        (names, [1]),
        (names, 5),
        (place, 5),
        (place, ("1", "2")),
        (place, {"lat": 1}),
        (place, {}),
        (one_of("and"), 1),
    ],
)
def test_another_type(check: Callable[[object, str], Any], given: object) -> None:
    """A wrong type is a TypeError, and an ArgumentError, that names the attribute."""
    with pytest.raises(InvalidSettingError, match="whatever") as caught:
        check(given, "whatever")
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ArgumentError)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (name, ""),
        (number, float("nan")),
        (number, float("-inf")),
        (number, 10**400),
        (count, -1),
        (count, 1 << 63),
        (positive, 0),
        (place, (1,)),
        (place, (1, 2, 3)),
        (place, ""),
        (place, {"lat": float("inf"), "lon": 1}),
        (one_of("and", "or"), "xor"),
    ],
)
def test_another_value(check: Callable[[object, str], Any], given: object) -> None:
    """A wrong value is a ValueError, and an ArgumentError, that names the attribute."""
    with pytest.raises(InvalidSearchError, match="whatever") as caught:
        check(given, "whatever")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ArgumentError)


def test_attributes() -> None:
    """They may be set, read, taken away; what is mistyped is no attribute."""
    query = MatchAllQuery()
    assert query.boost is None
    query.boost = 2.5
    assert (query.boost, query.encodable) == (2.5, {"match_all": None, "boost": 2.5})
    query.boost = None
    assert query.encodable == {"match_all": None}
    query.boost = 1
    del query.boost
    del query.boost
    assert query.boost is None
    with pytest.raises(AttributeError):
        query.boots = 3
    assert MatchAllQuery.boost.name == "boost"
    term = RegexQuery("a")
    with pytest.raises(InvalidSettingError):
        term.regexp = None
    with pytest.raises(InvalidSearchError):
        del term.regexp
    assert term.regexp == "a"


def test_two_names_of_one() -> None:
    """A member that has two names is set by either, and not by both at once."""
    query = RegexQuery("a.*")
    query.regex = "b"
    assert (query.regexp, query.encodable) == ("b", {"regexp": "b"})
    with pytest.raises(InvalidSearchError, match="inclusive_min is given twice"):
        NumericRangeQuery(1, min_inclusive=True, inclusive_min=False)


def test_what_is_given_out_is_apart() -> None:
    """Who changes what `encodable` gave changes nothing of the query."""
    query = MatchAllQuery(boost=1)
    query.encodable["boost"] = 3
    assert query.boost == 1


def test_equality() -> None:
    """Parts of one kind that say the same are equal; they change, and so have no hash."""
    assert RegexQuery("a") == RegexQuery("a")
    assert RegexQuery("a") != RegexQuery("b")
    assert MatchAllQuery() != RegexQuery("a")
    assert MatchAllQuery() != "match_all"
    with pytest.raises(TypeError):
        hash(Params())
    assert repr(RegexQuery("a", field="f")) == "<RegexQuery {'regexp': 'a', 'field': 'f'}>"
