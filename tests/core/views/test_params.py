"""Parameters of views: what is taken, what is sent, what is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ArgumentError
from couchloop.views import (
    UNSPEC,
    Params,
    Query,
    QueryBase,
    SpatialQuery,
    ViewQuery,
    make_options_string,
)

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.builds(object)
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("params", "encoded"),
    [
        ({}, ""),
        ({"stale": True}, "stale=ok"),
        ({"stale": False}, "stale=false"),
        ({"stale": "update_after"}, "stale=update_after"),
        ({"skip": 1, "limit": "2"}, "skip=1&limit=2"),
        ({"limit": 3.0}, "limit=3"),
        (
            {"descending": 1, "reduce": "false", "group": True},
            "descending=true&reduce=false&group=true",
        ),
        ({"key": "a b"}, "key=%22a%20b%22"),
        ({"key": None}, "key=null"),
        ({"keys": ("a", 1)}, "keys=%5B%22a%22%2C%201%5D"),
        ({"mapkey_single": 1, "mapkey_multi": [1]}, "key=1&keys=%5B1%5D"),
        ({"mapkey_range": ["a"]}, "startkey=%22a%22"),
        ({"mapkey_range": ("a", "b")}, "startkey=%22a%22&endkey=%22b%22"),
        ({"mapkey_range": [UNSPEC, "b"]}, "endkey=%22b%22"),
        ({"mapkey_range": []}, ""),
        ({"dockey_range": ["a&", 5]}, "startkey_docid=a%26&endkey_docid=5"),
        ({"on_error": "stop", "connection_timeout": 500}, "on_error=stop&connection_timeout=500"),
        ({"full_set": True, "debug": True}, "full_set=true&debug=true"),
        ({"inclusive_end": False, "group_level": 2}, "inclusive_end=false&group_level=2"),
        ({"key": "ä"}, "key=%22%5Cu00e4%22"),
        ({"unrecognized_ok": True, "odd name": "a&b"}, "odd%20name=a%26b"),
        ({"passthrough": True, "key": "%22a%22"}, "key=%22a%22"),
        ({"passthrough": True, "mapkey_range": ["1", "2"]}, "startkey=1&endkey=2"),
    ],
)
def test_encoded(params: dict[str, Any], encoded: str) -> None:
    """Each parameter becomes what a server reads."""
    query = Query(**params)
    assert query.encoded == encoded
    assert repr(query) == f"ViewQuery:{encoded!r}"
    assert query == deepcopy(query)


@pytest.mark.parametrize(
    "params",
    [
        {"nosuch": 1},
        {"_given": {}},
        {"encoded": "x"},
        {"update": 1},
        {"start_range": [1]},
        {"skip": True},
        {"skip": "x"},
        {"limit": -1},
        {"limit": 10**5000},
        {"startkey_docid": "\ud800"},
        {"startkey_docid": 10**5000},
        {"limit": float("inf")},
        {"limit": None},
        {"limit": [1]},
        {"descending": "yes"},
        {"descending": None},
        {"stale": "maybe"},
        {"stale": []},
        {"on_error": "go on"},
        {"on_error": ["stop"]},
        {"key": object()},
        {"key": float("nan")},
        {"key": b"bytes"},
        {"keys": "text"},
        {"keys": {"a": 1}},
        {"startkey_docid": True},
        {"startkey_docid": ["a"]},
        {"mapkey_range": "ab"},
        {"mapkey_range": [1, 2, 3]},
        {"mapkey_range": [1], "startkey": 1},
        {"endkey": 1, "mapkey_range": [1]},
        {"dockey_range": ["a"], "endkey_docid": "b"},
        {"passthrough": True, "key": "a b"},
        {"passthrough": True, "key": [1]},
        {"unrecognized_ok": True, "odd": [1]},
    ],
)
def test_refused(params: dict[str, Any]) -> None:
    """What is no parameter, or no value of one, is refused when it is set."""
    with pytest.raises(ArgumentError):
        Query(**params)
    query = Query(limit=1)
    flags = {name: params[name] for name in ("passthrough", "unrecognized_ok") if name in params}
    for name, value in flags.items():
        setattr(query, name, value)
    rest = {name: value for name, value in params.items() if name not in flags}
    with pytest.raises(ArgumentError):
        query.update(**rest)
    assert query.encoded == "limit=1"


def test_too_deep() -> None:
    """A key that JSON cannot say is refused."""
    key: Any = 1
    for _ in range(100_000):
        key = [key]
    with pytest.raises(ArgumentError):
        Query(key=key)
    while isinstance(key, list):
        key = key[0]


def test_attributes() -> None:
    """Parameters are attributes; UNSPEC takes one back."""
    query = ViewQuery(mapkey_range=["a", "b"], limit=5, stale=False)
    assert (query.limit, query.stale, query.skip) == (5, False, UNSPEC)
    assert query.mapkey_range == ["a", "b"]
    assert query.startkey is UNSPEC
    assert not UNSPEC
    assert (repr(UNSPEC), str(UNSPEC)) == ("<Placeholder>", "")
    query.limit = 6
    query.mapkey_range = ["c"]
    query.stale = UNSPEC
    assert query.encoded == "limit=6&startkey=%22c%22"
    query.mapkey_range = UNSPEC
    query.endkey = {"a": 1}
    assert query.mapkey_multi is UNSPEC
    query.mapkey_multi = [1]
    assert query.keys == [1]
    assert query.encoded == "limit=6&endkey=%7B%22a%22%3A%201%7D&keys=%5B1%5D"
    assert Query.STRING_RANGE_END == "\u0fff"
    assert "Whether rows" in ViewQuery.descending.__doc__
    assert "startkey" in ViewQuery.mapkey_range.__doc__
    with pytest.raises(TypeError):
        hash(query)


@pytest.mark.parametrize("name", ["", 5, None, True, "a\ud800"])
def test_raw_names(name: Any) -> None:
    """What is added as the server reads it has a name all the same."""
    with pytest.raises(ArgumentError):
        ViewQuery().add_raw(name, "x")


def test_update() -> None:
    """A query takes more parameters, or a copy of it does."""
    query = Query(limit=1)
    assert query.update(skip=2) is query
    other = query.update(copy=True, limit=3)
    assert (query.encoded, other.encoded) == ("limit=1&skip=2", "limit=3&skip=2")
    assert query != other
    assert query != SpatialQuery(limit=1, skip=2)


def test_from_any() -> None:
    """A query is made of another, of a mapping, of a text."""
    query = Query(limit=1)
    made = Query.from_any(query)
    assert made == query
    assert made is not query
    assert Query.from_any({"limit": 1}, skip=2).encoded == "limit=1&skip=2"
    assert Query.from_any(query, skip=2).encoded == "limit=1&skip=2"
    assert Query.from_any(None).encoded == Query.from_any("").encoded == ""
    text = Query.from_any("?key=%22a%22&x=y", limit=1)
    assert text.encoded == "key=%22a%22&x=y&limit=1"
    assert text.has_blob
    assert not query.has_blob
    assert Query.from_string("a=1").encoded == "a=1"
    others: list[Any] = [5, [], SpatialQuery(), {1: 2}, "a b", "a#b", "ä=1", "a\r\n"]
    for other in others:
        with pytest.raises(ArgumentError):
            Query.from_any(other)
    with pytest.raises(ArgumentError):
        Query.from_string(b"a=1")  # type: ignore[arg-type]  # what a caller may do


def test_spatial() -> None:
    """Spatial views have ranges of arrays."""
    query = SpatialQuery(start_range=[None, 1], end_range=(2, 3), limit=1)
    assert query.encoded == "start_range=%5Bnull%2C%201%5D&end_range=%5B2%2C%203%5D&limit=1"
    for params in ({"key": 1}, {"start_range": 5}, {"reduce": True}):
        with pytest.raises(ArgumentError):
            SpatialQuery(**params)
    assert QueryBase(limit=1).encoded == "limit=1"


def test_long_keys() -> None:
    """Keys that make a URL too long are sent in a body."""
    query = Query(limit=1, keys=["k" * 10])
    assert query.split() == ("limit=1&keys=%5B%22kkkkkkkkkk%22%5D", None)
    keys = [f"key{number}" for number in range(500)]
    text, body = Query(limit=1, keys=keys).split()
    assert text == "limit=1"
    assert body is not None
    assert json.loads(body) == {"keys": keys}
    # One that is percent-encoded already stays where it is, and so does a long key.
    assert Query(passthrough=True, keys="x" * 5000).split()[1] is None
    assert Query(key="x" * 5000).split()[1] is None


@given(JSON_VALUES, st.text(), st.integers(0, 10**9))
def test_what_is_sent_is_what_was_meant(key: Any, docid: str, limit: int) -> None:
    """Any key and any document's key arrive as they are."""
    query = Query(key=key, startkey_docid=docid.encode("utf-8", "replace").decode(), limit=limit)
    sent = dict(parse_qsl(query.encoded, keep_blank_values=True, strict_parsing=True))
    assert json.loads(sent["key"]) == key
    assert sent["startkey_docid"] == docid.encode("utf-8", "replace").decode()
    assert sent["limit"] == str(limit)


@given(st.sampled_from(sorted(ViewQuery._known)), ANYTHING)
def test_any_value(name: str, value: Any) -> None:
    """Any value is taken or refused by ArgumentError, and a refused one changes nothing."""
    query = Query()
    try:
        query.update(**{name: value})
    except ArgumentError:
        assert query == Query()
    else:
        assert query.encoded.isascii()


def test_names() -> None:
    """SDK 2.5's constants are the parameters that there are."""
    names = {value for name, value in vars(Params).items() if name.isupper()}
    both = {*ViewQuery._known, *SpatialQuery._known}
    assert both <= names
    assert names - both == {"mapkey_single", "mapkey_multi", "mapkey_range", "dockey_range"}


def test_options_string() -> None:
    """A query, a mapping or a text becomes what stands in a URL."""
    assert make_options_string(Query(limit=3)) == "limit=3"
    assert make_options_string({"limit": 3, "foo": 1}, unrecognized_ok=True) == "limit=3&foo=1"
    assert make_options_string({"key": "%22a%22"}, passthrough=True) == "key=%22a%22"
    assert make_options_string("limit=3") == "limit=3"
    with pytest.raises(ArgumentError):
        make_options_string({"foo": 1})
