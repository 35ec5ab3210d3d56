"""Which cluster an Admin is of that is made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidConnectionStringError, InvalidSettingError
from couchloop.management.administered import connection_string_of
from couchloop.settings.connection_string import ConnectionString


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, "http://localhost:8091?ipv6=disabled"),
        ({"host": "a.example", "port": 9000}, "http://a.example:9000?ipv6=disabled"),
        ({"host": "::1", "ipv6": "allow"}, "http://[::1]:8091?ipv6=allow"),
        ({"host": "[::1]", "ipv6": "only"}, "http://[::1]:8091?ipv6=only"),
        (
            {"host": "a", "connection_string": "couchbases://b,c/bucket?network=default"},
            "couchbases://b,c?network=default",
        ),
        ({"connection_string": ConnectionString("x", ["b"])}, "couchbase://b"),
    ],
)
def test_where(given: dict[str, Any], made: str) -> None:
    """It is by HTTP, or as a connection string says; no bucket is named."""
    assert connection_string_of(**given) == made


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"host": 5}, InvalidSettingError),
        ({"port": "8091"}, InvalidSettingError),
        ({"port": True}, InvalidSettingError),
        ({"connection_string": "nosuch://a"}, InvalidConnectionStringError),
        ({"host": "a b/c"}, InvalidConnectionStringError),
        ({"port": 70000}, InvalidConnectionStringError),
    ],
)
def test_nowhere(given: dict[str, Any], kind: type[Exception]) -> None:
    """What is no host, no port, or no connection string is refused."""
    with pytest.raises(kind):
        _ = ConnectionString.parse(connection_string_of(**given)).seeds
