"""Links of the analytics service: what is asked, what is told, and that no secret is shown."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from couchloop.exceptions import InvalidSettingError, LinkNotFoundError, ProtocolError
from couchloop.http.service import FORM, ServiceRequest
from couchloop.management import analytics_links as links
from couchloop.management.analytics_links import (
    AnalyticsEncryptionLevel,
    AnalyticsLinkType,
    AzureBlobExternalAnalyticsLink,
    CouchbaseRemoteAnalyticsLink,
    S3ExternalAnalyticsLink,
)
from couchloop.operations.procedure import Procedure
from couchloop.safety.secret import Secret
from tests.core.management.manager import DEFAULTS, answered

REMOTE = CouchbaseRemoteAnalyticsLink(
    "v",
    "l",
    "host",
    encryption=AnalyticsEncryptionLevel.FULL,
    username="user",
    password="p&s=1",
    certificate="PEM",
)
S3 = S3ExternalAnalyticsLink("a/b", "s3", "id", "region", secret_access_key=Secret("hidden"))
AZURE = AzureBlobExternalAnalyticsLink("v", "az", account_name="me", account_key="hidden")


def asked(procedure: Procedure[Any]) -> tuple[ServiceRequest, dict[str, list[str]]]:
    """Return what is asked, and its form."""
    request = next(procedure.take_over())
    assert isinstance(request, ServiceRequest)
    return request, parse_qs(request.body.decode())


@pytest.mark.parametrize(
    ("call", "method"), [(links.create_link, "POST"), (links.replace_link, "PUT")]
)
def test_made(call: Any, method: str) -> None:
    """A link is made or changed by a form; one of a scope's dataverse by its path."""
    request, form = asked(call(DEFAULTS, REMOTE))
    assert (request.method, request.path, request.content_type) == (method, "/analytics/link", FORM)
    assert form == {
        "dataverse": ["v"],
        "name": ["l"],
        "type": ["couchbase"],
        "hostname": ["host"],
        "encryption": ["full"],
        "username": ["user"],
        "password": ["p&s=1"],
        "certificate": ["PEM"],
    }
    request, form = asked(call(DEFAULTS, S3))
    assert request.path == "/analytics/link/a%2Fb/s3"
    assert form == {
        "type": ["s3"],
        "accessKeyId": ["id"],
        "secretAccessKey": ["hidden"],
        "region": ["region"],
    }
    _, form = asked(call(DEFAULTS, AZURE))
    assert form["accountKey"] == ["hidden"]
    assert answered(call(DEFAULTS, S3), [(200, b"")]) is None


def test_dropped() -> None:
    """A link is dropped by its name."""
    request, form = asked(links.drop_link(DEFAULTS, "l", "v"))
    assert (request.method, request.path) == ("DELETE", "/analytics/link")
    assert form == {"dataverse": ["v"], "name": ["l"]}
    request, form = asked(links.drop_link(DEFAULTS, "l", "a/b"))
    assert (request.path, form) == ("/analytics/link/a%2Fb/l", {})
    with pytest.raises(LinkNotFoundError):
        answered(links.drop_link(DEFAULTS, "l", "v"), [(404, b"24006: Link l does not exist")])


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "/analytics/link"),
        ({"link_type": AnalyticsLinkType.S3External}, "/analytics/link?type=s3"),
        ({"dataverse_name": "v", "name": "l"}, "/analytics/link?dataverse=v&name=l"),
        (
            {"dataverse_name": "a/b", "name": "l", "link_type": AnalyticsLinkType.S3External},
            "/analytics/link/a%2Fb/l?type=s3",
        ),
        ({"dataverse_name": "a/b"}, "/analytics/link/a%2Fb"),
    ],
)
def test_asked_for(given: dict[str, Any], path: str) -> None:
    """Links are asked for by what is wanted of them."""
    request, _ = asked(links.get_links(DEFAULTS, **given))
    assert (request.method, request.path) == ("GET", path)


def test_told() -> None:
    """What the service tells becomes links of their kinds, without secrets."""
    said = [
        {"type": "couchbase", "scope": "v", "name": "l", "activeHostname": "h", "username": "u"},
        {"type": "s3", "dataverse": "v", "name": "s", "accessKeyId": "id", "region": "r"},
        {"type": "azureblob", "scope": "v", "name": "z", "blobEndpoint": "there"},
    ]
    found = answered(links.get_links(DEFAULTS), [(200, json.dumps(said).encode())])
    assert found[0] == CouchbaseRemoteAnalyticsLink("v", "l", "h", username="u")
    assert found[1] == S3ExternalAnalyticsLink("v", "s", "id", "r")
    assert (found[2].blob_endpoint, found[2].link_type) == (
        "there",
        AnalyticsLinkType.AzureBlobExternal,
    )
    odd: list[Any] = [[5], [{}], [{"type": "ftp", "scope": "v", "name": "x"}], {}, [{"type": 5}]]
    for bad in odd:
        with pytest.raises(ProtocolError):
            answered(links.get_links(DEFAULTS), [(200, json.dumps(bad).encode())])


def test_secrets() -> None:
    """No repr shows one."""
    for link in (REMOTE, S3, AZURE):
        for secret in ("p&s=1", "hidden"):
            assert secret not in repr(link)
    assert "***" in repr(AZURE)
    assert REMOTE != S3


@pytest.mark.parametrize(
    "make",
    [
        lambda: CouchbaseRemoteAnalyticsLink("v", "l", ""),
        lambda: CouchbaseRemoteAnalyticsLink("v", "l", "h", encryption="full"),  # type: ignore[arg-type]
        lambda: CouchbaseRemoteAnalyticsLink("v", "l", "h", password=5),  # type: ignore[arg-type]
        lambda: S3ExternalAnalyticsLink("", "l", "id", "r"),
        lambda: S3ExternalAnalyticsLink("v", "l", "id", "r", service_endpoint=5),  # type: ignore[arg-type]
        lambda: AzureBlobExternalAnalyticsLink("v", "l"),
        lambda: AzureBlobExternalAnalyticsLink("v", "l", account_name="a"),
        lambda: links.create_link(DEFAULTS, {"name": "l"}),  # type: ignore[arg-type]
        lambda: links.drop_link(DEFAULTS, "", "v"),
        lambda: links.get_links(DEFAULTS, name="l"),
        lambda: links.get_links(DEFAULTS, link_type="s3"),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Any) -> None:
    """What no link can be is refused by the call."""
    with pytest.raises(InvalidSettingError):
        make()
