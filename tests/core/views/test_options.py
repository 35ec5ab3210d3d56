"""Options of SDK 4 as parameters of a view."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.views import ViewErrorMode, ViewOptions, ViewOrdering, ViewScanConsistency
from couchloop.views.options import check, query_of, reader


@pytest.mark.parametrize(
    ("options", "encoded"),
    [
        ({}, ""),
        ({"scan_consistency": ViewScanConsistency.REQUEST_PLUS}, "stale=false"),
        ({"scan_consistency": ViewScanConsistency.NOT_BOUNDED}, "stale=ok"),
        ({"scan_consistency": "update_after"}, "stale=update_after"),
        ({"order": ViewOrdering.DESCENDING}, "descending=true"),
        ({"order": "ascending"}, "descending=false"),
        ({"on_error": ViewErrorMode.STOP}, "on_error=stop"),
        ({"limit": 1, "skip": 2, "debug": True}, "debug=true&limit=1&skip=2"),
        ({"raw": {"stale": "false", "limit": "7"}, "limit": 1}, "stale=false&limit=7"),
        ({"raw": ("x", "y")}, "x=y"),
        ({"query_string": ["a=1", "b=%22"], "limit": 1}, "a=1&b=%22&limit=1"),
        ({"timeout": 5, "namespace": None, "client_context_id": "x"}, ""),
    ],
)
def test_parameters(options: dict[str, Any], encoded: str) -> None:
    """Each option is the parameter that it means."""
    check(options)
    assert query_of(ViewOptions(**options)).encoded == encoded


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"scan_consistency": 5}, InvalidSettingError),
        ({"scan_consistency": "at_plus"}, InvalidSettingError),
        ({"scan_consistency": ViewOrdering.ASCENDING}, InvalidSettingError),
        ({"order": True}, InvalidSettingError),
        ({"on_error": b"stop"}, InvalidSettingError),
        ({"raw": [1]}, InvalidSettingError),
        ({"raw": {1: "x"}}, InvalidSettingError),
        ({"raw": {"x": 1}}, ArgumentError),
        ({"query_string": "x=1"}, InvalidSettingError),
        ({"query_string": [1]}, InvalidSettingError),
        ({"query_string": 1}, InvalidSettingError),
        ({"query_string": object()}, InvalidSettingError),
        ({"query_string": ["a b"]}, ArgumentError),
        ({"limit": "many"}, ArgumentError),
    ],
)
def test_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    """What an option cannot be is refused."""
    with pytest.raises(kind):
        query_of(ViewOptions(**options))


def test_unknown() -> None:
    """There are no other options."""
    with pytest.raises(ArgumentError, match="'nosuch'"):
        check({"limit": 1, "nosuch": 2})


def test_serializer() -> None:
    """A serializer reads rows; what is none is refused."""

    class Serializer:
        def deserialize(self, data: bytes) -> Any:
            return data

    found = reader(Serializer())
    assert found is not None
    assert found(b"x") == b"x"
    assert reader(None) is None
    with pytest.raises(InvalidSettingError):
        reader(5)
