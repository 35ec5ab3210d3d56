"""`search` as a builder: options of all forms become one request."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.fulltext import MatchQuery, Params, TermFacet
from couchloop.fulltext.params import OPTIONS
from couchloop.fulltext.searches import search, search_query
from couchloop.hot.operation import Defaults
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.mutation_state import MutationState, MutationToken
from tests.core.world import defaults

STATE = MutationState(MutationToken(1, 2, 3, "travel"))


def of_scope() -> Defaults:
    """Return what the handle of a scope has."""
    return replace(defaults(), services=ServiceDefaults("travel", "inventory"))


def sent(stream: Any) -> dict[str, Any]:
    """Return what is sent."""
    found: dict[str, Any] = json.loads(stream.asked.body)
    return found


@pytest.mark.parametrize("build", [search, search_query])
def test_options(build: Any) -> None:
    """They may be given as an object, by name, or both: then the names count."""
    params = Params(limit=5, facets={"a": TermFacet("f")}, timeout=10, fields=["x"])
    stream = build(
        defaults(),
        "ix",
        MatchQuery("t"),
        params,
        limit=2,
        timeout=timedelta(seconds=3),
        facets={"b": TermFacet("g", 1)},
        consistent_with=STATE,
    )
    assert stream.timeout == 3.0
    body = sent(stream)
    assert (body["size"], body["fields"]) == (2, ["x"])
    assert body["facets"] == {"b": {"field": "g", "size": 1}}
    assert body["ctl"]["consistency"]["vectors"] == {"ix": {"1/2": 3}}
    assert (params.limit, params.timeout) == (5, 10), "the object is not changed"
    assert list(params.facets) == ["a"]


def test_times() -> None:
    """Without one of its own a search has the time of the option."""
    assert search(defaults(), "ix", "a").timeout == 75.0
    assert search(defaults(), "ix", "a", Params(timeout=2)).timeout == 2.0
    own = replace(defaults(), services=ServiceDefaults(search_timeout=5.0))
    assert search(own, "ix", "a").timeout == 5.0


def test_scope() -> None:
    """Whoever has a scope searches its indexes; they are told changes by both of their names."""
    stream = search(of_scope(), "ix", "a", consistent_with=STATE)
    assert stream.asked.path == "/api/bucket/travel/scope/inventory/index/ix/query"
    vectors = sent(stream)["ctl"]["consistency"]["vectors"]
    assert vectors == {"ix": {"1/2": 3}, "travel.inventory.ix": {"1/2": 3}}


def test_names() -> None:
    """All options of `search` are those of `Params`, and the other way round."""
    import inspect  # noqa: PLC0415 - of this test alone

    named = set(inspect.signature(search).parameters)
    assert named - {"defaults", "index", "query", "params", "row_factory"} == set(
        inspect.signature(Params).parameters
    )
    assert named & OPTIONS == set(inspect.signature(Params).parameters)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"params": {"limit": 1}}, InvalidSettingError),
        ({"limits": 1}, ArgumentError),
        ({"row_factory": 5}, InvalidSettingError),
        ({"retry_strategy": 5}, ArgumentError),
        ({"facets": 5}, TypeError),
    ],
)
def test_refused(given: dict[str, Any], cause: type[Exception]) -> None:
    """What there is not, or cannot be, is refused by the call."""
    with pytest.raises(cause):
        search_query(defaults(), "ix", "a", **given)
