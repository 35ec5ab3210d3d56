"""The status of a Bucket over sockets: what either loop serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import WrongLoopError
from couchloop.status import Latencies
from tests.conformance.loops import LIMIT, PASSWORD, Loop, cluster_of, opened, opened_at
from tests.webdriver import Browser, browser, missing

PHONE = (390, 844)
"""A phone's screen, in pixels of CSS."""


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


Asked = tuple[int, dict[str, str], bytes]


def asked(loop: Loop, port: int, path: str, method: str = "GET") -> Asked:
    """Return status, headers and body of a page, asked for in a plain thread."""

    def ask() -> Asked:
        connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    return loop.in_thread(ask)


def test_pages(loop: Loop, served: Any) -> None:
    """Each page is there, with its headers; HEAD gives these alone; nobody asks a node anything."""
    with (
        opened(loop, cluster_of(loop, served)) as bucket,
        loop.status_page(bucket, processes=2) as port,
    ):
        loop.wait(bucket.wait_until_ready(LIMIT))
        before = dict(served.cluster.operations)
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/status.json", "application/json"),
            ("/live", "application/health+json"),
            ("/ready", "application/health+json"),
        ):
            status, headers, body = asked(loop, port, path)
            assert (status, headers["Content-Type"]) == (200, kind)
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert PASSWORD.encode() not in body
            assert len(body) == int(headers["Content-Length"])
            status, only, nothing = asked(loop, port, path, "HEAD")
            assert (status, nothing) == (200, b"")
            assert only["Content-Type"] == kind
            assert int(only["Content-Length"]) > 0
        found = json.loads(asked(loop, port, "/status.json")[2])
        (told,) = found["buckets"]
        assert sorted(node["remote"] for node in told["nodes"]) == sorted(bucket.server_nodes)
        assert found["connections"][0]["total"] == 6
        assert asked(loop, port, "/other")[0] == 404
        status, headers, _ = asked(loop, port, "/", "POST")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert dict(served.cluster.operations) == before


def test_ready(loop: Loop, served: Any) -> None:
    """Who balances load is told while some nodes can be used, and once none can."""
    cluster = cluster_of(loop, served)
    with opened(loop, cluster) as bucket, loop.status_page(cluster, health_only=True) as port:
        loop.wait(bucket.wait_until_ready(LIMIT))

        def ready() -> tuple[int, Any]:
            status, _, body = asked(loop, port, "/ready")
            return status, json.loads(body)["status"]

        assert ready() == (200, "pass")
        served.cluster.stop(served.cluster.nodes[0])
        loop.until(lambda: bucket.cluster_state.value == "degraded")
        assert ready() == (200, "warn")
        for node in served.cluster.nodes[1:]:
            served.cluster.stop(node)
        loop.until(lambda: bucket.cluster_state.value == "offline")
        assert ready() == (503, "fail")
        assert asked(loop, port, "/live")[0] == 200
        assert asked(loop, port, "/")[0] == 404
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        loop.wait(bucket.wait_until_ready(LIMIT))
        assert ready() == (200, "pass")


def test_what_it_tells(loop: Loop, served: Any) -> None:
    """Latencies by operation and node, services' connections, and what is under way."""
    latencies = Latencies()
    string = f"{served.connection_string}/default"
    with (
        opened_at(loop, string, observer=latencies) as bucket,
        loop.status_page(bucket, latencies=latencies, keys=True) as port,
    ):
        loop.wait(bucket.upsert_multi({f"k{number}": number for number in range(100)}))
        loop.wait(bucket.ping(services=["query"]))
        found = json.loads(asked(loop, port, "/status.json")[2])
        assert found["latencies"]["operations"]["upsert"]["count"] == 100
        assert set(found["latencies"]["nodes"]) == set(bucket.server_nodes)
        assert [each["service"] for each in found["services"]] == ["query"] * 3
        for node in served.cluster.nodes:
            served.cluster.hang(node)
        asking = loop.start(bucket.get, "customer-17")
        loop.until(lambda: bucket._driver.session.in_flight)
        found = json.loads(asked(loop, port, "/status.json")[2])
        (oldest,) = found["buckets"][0]["oldest"]
        assert (oldest["name"], oldest["key"]) == ("get", "customer-17")
        asking.cancel()


def test_another_thread(loop: Loop, served: Any) -> None:
    """A server that answers in a thread of a pool is told so, and touches no Bucket."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        page = loop.StatusPage(bucket)

        def ask() -> None:
            for path in ("/", "/ready", "/status.json"):
                with pytest.raises(WrongLoopError):
                    page.answer("GET", path)
            assert page.answer("GET", "/live").status == 200

        loop.in_thread(ask)


needs_browser = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {' and '.join(missing())} (Debian's chromium-driver)"
)


def in_browser(loop: Loop, folder: Path, look: Callable[[Browser], None]) -> None:
    """Have a plain thread look at pages on a phone."""

    def run() -> None:
        with browser(folder, *PHONE) as phone:
            look(phone)

    loop.in_thread(run)


@needs_browser
def test_in_a_browser(loop: Loop, served: Any, tmp_path: Path) -> None:
    """On a phone it is styled, as wide as the screen, complete in itself, and runs no script."""
    latencies = Latencies()
    string = f"{served.connection_string}/default"
    hostile = "<img src=/x onerror=document.title='hacked'><script>document.title='hacked'</script>"
    with (
        opened_at(loop, string, observer=latencies) as bucket,
        loop.status_page(bucket, latencies=latencies, keys=True) as port,
    ):
        loop.wait(bucket.upsert_multi({f"k{number}": number for number in range(100)}))
        loop.wait(bucket.ping(services=["query"]))
        served.cluster.stop(served.cluster.nodes[0])
        loop.until(lambda: bucket.cluster_state.value == "degraded")
        for node in served.cluster.nodes[1:]:
            served.cluster.hang(node)
        asking = [
            loop.start(bucket.get, hostile + "x" * number, timeout=60.0) for number in range(9)
        ]
        loop.until(lambda: bucket._driver.session.in_flight >= 9)

        def look(phone: Browser) -> None:
            phone.show(f"http://127.0.0.1:{port}/")
            phone.screenshot(tmp_path / "phone.png")
            assert phone.run("return document.title") == "! couchloop"
            assert hostile in phone.run("return document.querySelector('main').innerText")
            assert phone.run("return document.querySelectorAll('script,img,a,link').length") == 0
            loaded = phone.run("return performance.getEntriesByType('resource').map(e => e.name)")
            assert [name for name in loaded if not name.endswith("/favicon.ico")] == []
            assert phone.run("return [innerWidth, document.documentElement.scrollWidth]") == [
                PHONE[0],
                PHONE[0],
            ]
            # The style counts, although the policy allows no other.
            assert phone.run(_ROW_AS_BLOCK) == "block"
            assert phone.run(_SMALLEST_TEXT) >= 12
            roles = {
                node["role"]["value"]
                for node in phone.command("Accessibility.getFullAXTree")["nodes"]
                if not node["ignored"]
            }
            assert {"main", "heading", "status", "table", "row", "rowheader", "cell"} <= roles
            media = [{"name": "prefers-color-scheme", "value": "dark"}]
            phone.command("Emulation.setEmulatedMedia", features=media)
            phone.screenshot(tmp_path / "dark.png")
            light_on_dark = phone.run(_COLOURS)
            assert light_on_dark[0] != light_on_dark[1] == "rgb(255, 255, 255)"

        try:
            in_browser(loop, tmp_path / "profile", look)
        finally:
            for each in asking:
                each.cancel()


_ROW_AS_BLOCK = "return getComputedStyle(document.querySelector('.wide tbody tr')).display"
_SMALLEST_TEXT = """
return Math.min(...[...document.querySelectorAll('main *')].map(
    each => parseFloat(getComputedStyle(each).fontSize)))
"""
_COLOURS = """
const style = getComputedStyle(document.body);
return [style.backgroundColor, style.color]
"""
