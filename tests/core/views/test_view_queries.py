"""What the methods `query` and `view_query` make of their arguments."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidNameError, InvalidSettingError
from couchloop.hot.operation import Defaults
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.management.design_documents import DesignDocumentNamespace
from couchloop.views import Query, RowProcessor, SpatialQuery, ViewOptions
from couchloop.views.stream import ViewStream
from couchloop.views.view_queries import query, view_query
from tests.core.world import defaults


def known() -> Defaults:
    """What a Bucket hands to its methods."""
    return replace(defaults(), services=ServiceDefaults("b", views_timeout=7.0))


def asked(*args: Any, **keywords: Any) -> ViewStream:
    """A query by the name of SDK 2.5."""
    return query(known(), *args, **keywords)


def test_query() -> None:
    """Parameters are given by name, or as an object, which is copied."""
    stream = asked("d", "v", limit=1, key=[1])
    assert stream.asked.path == "/b/_design/d/_view/v?limit=1&key=%5B1%5D"
    assert (stream.name, stream.timeout) == ("query", 7.0)
    given = Query(limit=1)
    stream = asked("d", "v", query=given, timeout=timedelta(seconds=2))
    given.limit = 2
    assert stream.query.limit == 1
    assert stream.timeout == 2.0
    assert asked("d", "v", query={"limit": 3}).asked.path.endswith("?limit=3")
    assert asked("d", "v", query="limit=4").asked.path.endswith("?limit=4")
    assert asked("d", "v", query=SpatialQuery()).asked.path == "/b/_design/d/_spatial/v"


def test_development() -> None:
    """`dev_` is put before a name once, where that is asked for."""
    assert asked("d", "v", True).design == "dev_d"
    assert asked("dev_d", "v", use_devmode=True).design == "dev_d"
    assert asked("dev_d", "v").design == "dev_d"
    development = DesignDocumentNamespace.DEVELOPMENT
    assert view_query(known(), "d", "v", namespace=development).design == "dev_d"
    options = ViewOptions(namespace=DesignDocumentNamespace.PRODUCTION, limit=1)
    stream = view_query(known(), "dev_d", "v", options, limit=2, timeout=3)
    assert (stream.design, stream.query.limit, stream.timeout) == ("d", 2, 3.0)
    assert stream.name == "view_query"


def test_documents() -> None:
    """Rows with documents are not reduced, whatever the view can."""
    assert asked("d", "v", include_docs=True).asked.path.endswith("?reduce=false")
    stream = asked("d", "v", include_docs=True, reduce=False, limit=1)
    assert stream.asked.path.endswith("?reduce=false&limit=1")
    assert asked("d", "v", include_docs=True, query=SpatialQuery()).has_documents
    passed = asked("d", "v", include_docs=True, passthrough=True, key="1")
    assert passed.asked.path.endswith("?key=1")
    for params in ({"reduce": True}, {"group": True}, {"group_level": 1}, {"reduce": "true"}):
        with pytest.raises(ArgumentError, match="not reduced"):
            asked("d", "v", include_docs=True, **params)


def test_refused() -> None:
    """What cannot be is refused at the call."""
    for name in ("", 5, None, b"d"):
        with pytest.raises(InvalidNameError):
            asked(name, "v")
        with pytest.raises(InvalidNameError):
            asked("d", name)
        with pytest.raises(InvalidNameError):
            view_query(known(), "d", name)  # type: ignore[arg-type]  # what a caller may do
    for keywords in (
        {"query": Query(), "limit": 1},
        {"query": 5},
        {"nosuch": 1},
        {"itercls": list},
        {"timeout": -1},
        {"use_devmode": "x"},
        {"include_docs": None},
        {"streaming": "x"},
    ):
        with pytest.raises(ArgumentError):
            asked("d", "v", **keywords)
    for processor in (5, RowProcessor(5)):  # type: ignore[arg-type]  # what a caller may do
        with pytest.raises(InvalidSettingError):
            asked("d", "v", row_processor=processor)
    with pytest.raises(InvalidSettingError):
        view_query(known(), "d", "v", 5)  # type: ignore[arg-type]  # what a caller may do
    with pytest.raises(InvalidSettingError):
        view_query(known(), "d", "v", namespace="x")  # type: ignore[arg-type]  # likewise
    with pytest.raises(ArgumentError):
        view_query(known(), "d", "v", ViewOptions(nosuch=1))
