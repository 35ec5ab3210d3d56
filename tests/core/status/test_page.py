"""The page, whatever it has to show."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.status.gathering import status
from couchloop.status.latencies import Latencies
from couchloop.status.page import page
from couchloop.status.style import STYLE
from tests.core.client.loop import Loop
from tests.core.status.support import Read, opened
from tests.core.status.test_latencies import completed

HOSTILE = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>"


def told(**changed: Any) -> dict[str, Any]:
    """Return a status in which everything is there, and texts are hostile."""
    counts = dict.fromkeys(("count", "errors", "retries", "p50_us", "p99_us", "longest_us"), 1500)
    found: dict[str, Any] = {
        "version": 1,
        "status": "warn",
        "sdk": "couchloop/1",
        "time": "2001-09-09T01:46:40Z",
        "process": 1,
        "buckets": [
            {
                "status": "warn",
                "state": "degraded",
                "bucket": HOSTILE,
                "session": "open",
                "tls": True,
                "network": HOSTILE,
                "config_rev": [1, 2],
                "details": HOSTILE,
                "nodes": [
                    {
                        "id": HOSTILE,
                        "remote": HOSTILE,
                        "local": HOSTILE,
                        "state": "connected",
                        "details": HOSTILE,
                        "last_activity_us": 12_000_000,
                        "in_flight": 3,
                        "queued": 4,
                        "circuit": "open",
                        "slow": False,
                        "failures": 2,
                    },
                    {"id": "s", "remote": "b:1", "state": "new"},
                ],
                "in_flight": 12345,
                "queued": 6,
                "queued_bytes": 1_500_000,
                "late_answers": 0,
                "retries": {HOSTILE: 9},
                "oldest": [
                    {
                        "name": "get",
                        "age_us": 900,
                        "timeout_us": 600_000_000,
                        "node": HOSTILE,
                        "attempts": 2,
                        "reasons": [HOSTILE],
                        "collection": HOSTILE,
                        "key": HOSTILE,
                    }
                ],
            }
        ],
        "services": [{"service": "query", "remote": HOSTILE, "busy": 1, "idle": 2, "waiting": 3}],
        "latencies": {
            "since": None,
            "operations": {HOSTILE: counts},
            "nodes": {HOSTILE: counts},
            "late_answers": 0,
        },
        "connections": [
            {
                "data_nodes": 3,
                "processes": 99_999,
                "buckets": 1,
                "per_process": 3,
                "per_node": 99_999,
                "total": 299_997,
                "limit": 60_000,
                "fits": False,
            }
        ],
    }
    return {**found, **changed}


ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "footer"),
    *("h1", "h2", "p", "code", "span", "dl", "div", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}


def test_hostile() -> None:
    """What peers say stays text, wherever it stands; nothing is loaded, and no script is there."""
    found = Read(page(told()))
    assert found.names <= ELEMENTS
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not attributes.keys() & {"src", "href", "style", "action"}
    assert found.text.count("<script>alert(1)</script>") >= 12
    assert found.text.count(HOSTILE) == found.text.count("<script>")


@settings(deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    """No text whatever makes another element of the page."""
    plain = Read(page(told()))
    changed = told()
    bucket = changed["buckets"][0]
    bucket["bucket"] = bucket["details"] = bucket["network"] = text or "-"
    bucket["nodes"][0]["details"] = text
    bucket["oldest"][0]["key"] = text
    found = Read(page(changed))
    assert found.elements == plain.elements


def test_figures() -> None:
    """Numbers are grouped, and times and sizes have units."""
    text = Read(page(told())).text
    for shown in ("12,345", "1.5 MB", "900 µs", "10 min", "12 s ago", "1.5 ms", "99,999"):
        assert shown in text
    assert "! Not all is well" in text
    assert "✗ connected, circuit breaker open" in text
    assert "more connections than a node takes" in text
    assert "failed in a row: 2" in text


def test_states() -> None:
    """How it is is said by a word and a sign, in the element that screen readers watch."""
    for verdict, said in (("pass", "✓ All well"), ("fail", "✗ Not ready for work")):
        found = Read(page(told(status=verdict)))
        assert said in found.text
        (banner,) = [each for _, each in found.elements if each.get("role") == "status"]
        assert banner["class"] == f"banner {verdict}"


def test_slow() -> None:
    """A node that takes no more for now is said to be slow."""
    changed = told()
    changed["buckets"][0]["nodes"][0] |= {"circuit": "closed", "slow": True}
    assert "! connected, slow" in Read(page(changed)).text


def test_little() -> None:
    """Without Buckets, latencies and services it says so, or leaves them out."""
    found = Read(page(told(buckets=[], services=[], latencies=None, connections=[])))
    assert "No Bucket is open." in found.text
    assert "couchloop.status.Latencies" in found.text
    assert "table" not in found.names
    none_yet = {"since": "2001", "operations": {}, "nodes": {}, "late_answers": 0}
    assert "Since 2001. None yet." in Read(page(told(latencies=none_yet))).text


def test_whole() -> None:
    """A page of a Bucket that is there: its language, its width, its style as the policy has it."""
    latencies = Latencies()
    latencies.completed(completed(node="127.0.0.1:10000"))
    text = page(status([opened(Loop())], 0.0, process=7, latencies=latencies))
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert f"<style>{STYLE}</style>" in text
    found = Read(text)
    metas = {
        each.get("name"): each.get("content") for name, each in found.elements if name == "meta"
    }
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "online: 3 of 3 nodes connected" in found.text
    assert "process 7" in found.text
    assert "127.0.0.1:10000" in found.text
    assert not [each for _, each in found.elements if "http-equiv" in each]


def test_refresh() -> None:
    """Browsers ask again only where that is wanted."""
    (again,) = [each for _, each in Read(page(told(), 15)).elements if "http-equiv" in each]
    assert again == {"http-equiv": "refresh", "content": "15"}
