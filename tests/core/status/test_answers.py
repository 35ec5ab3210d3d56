"""Requests, and their answers in HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError
from couchloop.operations import document as operations
from couchloop.status.answers import Answer
from couchloop.status.style import POLICY
from tests.core.client.loop import Loop
from tests.core.status.support import Pages, cluster_on, opened


def headers(answer: Answer) -> dict[str, str]:
    """Return the headers, of which none is there twice."""
    found = dict(answer.headers)
    assert len(found) == len(answer.headers)
    return found


@pytest.fixture(name="pages")
def _pages() -> Pages:
    return Pages(opened(Loop()))


PATHS = {
    "": "text/html; charset=utf-8",
    "/": "text/html; charset=utf-8",
    "/status.json": "application/json",
    "/live": "application/health+json",
    "/ready": "application/health+json",
    "ready": "application/health+json",
}


@pytest.mark.parametrize("path", PATHS)
def test_pages(pages: Pages, path: str) -> None:
    """Each is there, of its type, and stored and read by nobody as something else."""
    answer = pages.answer("GET", path)
    assert (answer.status, answer.reason) == (200, "OK")
    found = headers(answer)
    assert found.pop("Content-Type") == PATHS[path]
    assert found == {
        "Content-Length": str(len(answer.body)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    assert pages.answer("HEAD", path) == answer._replace(body=b"")


def test_json(pages: Pages) -> None:
    """It is JSON, in ASCII."""
    found = json.loads(pages.answer("GET", "/status.json").body.decode("ascii"))
    assert found["buckets"][0]["bucket"] == "default"
    assert (found["process"], found["time"]) == (4711, "2001-09-09T01:46:40Z")


@pytest.mark.parametrize("path", ["//", "/live/", "/x", "/../live", "/status.JSON", "/ready\0"])
def test_not_there(pages: Pages, path: str) -> None:
    """Other paths are not found, and not repeated."""
    answer = pages.answer("GET", path)
    assert (answer.status, answer.body) == (404, b"nothing is here\n")
    assert headers(answer)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", ""])
def test_other_methods(pages: Pages, method: str) -> None:
    """They are refused, with those that there are."""
    answer = pages.answer(method, "/")
    assert answer.status == 405
    assert headers(answer)["Allow"] == "GET, HEAD"
    assert pages.answer(method, "/x").status == 404


def test_health() -> None:
    """A program is alive whatever its nodes do; ready it is while one can be used."""
    loop = Loop()
    bucket = opened(loop)
    pages = Pages(bucket)

    def found(path: str) -> tuple[int, Any]:
        answer = pages.answer("GET", path)
        return answer.status, json.loads(answer.body)

    embedded = loop.world.cluster
    assert found("/ready") == (200, {"status": "pass"})
    embedded.stop(embedded.nodes[0])
    loop.run(1.0)
    assert found("/ready") == (200, {"status": "warn"})
    bucket._close()
    loop.run()
    assert found("/ready") == (503, {"status": "fail"})
    assert pages.answer("HEAD", "/ready").reason == "Service Unavailable"
    assert found("/live") == (200, {"status": "pass"})
    assert pages.answer("GET", "/").status == 200


def test_health_only() -> None:
    """Where anybody may ask, nothing else is there."""
    pages = Pages(opened(Loop()), health_only=True)
    statuses = {path: pages.answer("GET", path).status for path in PATHS}
    assert statuses == {
        "": 404,
        "/": 404,
        "/status.json": 404,
        "/live": 200,
        "/ready": 200,
        "ready": 200,
    }


def test_keys() -> None:
    """Documents are named only where that was asked for; passwords are nowhere."""
    loop = Loop()
    bucket = opened(loop)
    for node in loop.world.cluster.nodes:
        loop.world.cluster.hang(node)
    bucket._driver.submit(operations.get(bucket._defaults, "customer-17"))
    loop.run()
    for path in ("/", "/status.json"):
        plain = Pages(bucket).answer("GET", path).body
        assert b"get" in plain
        assert b"customer-17" not in plain
        assert b"customer-17" in Pages(bucket, keys=True).answer("GET", path).body
        assert b"password" not in plain


def test_bad_arguments() -> None:
    """What is no source, no number or no observer is refused at once."""
    cluster = cluster_on(Loop())
    refused: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        (("bucket",), {}),
        ((cluster, None), {}),
        ((cluster,), {"latencies": object()}),
        ((cluster,), {"processes": 0}),
        ((cluster,), {"processes": True}),
        ((cluster,), {"refresh": 0}),
        ((cluster,), {"refresh": 1.5}),
        ((cluster,), {"refresh": 86_401}),
    ]
    for sources, keywords in refused:
        with pytest.raises(ArgumentError):
            Pages(*sources, **keywords)
    assert Pages(cluster, refresh=5).answer("GET", "/").status == 200
