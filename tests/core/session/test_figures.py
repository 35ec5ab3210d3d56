"""What a session says of what it has to do."""

from __future__ import annotations

import json
from typing import Any

from couchloop.operations import document as operations
from couchloop.session.figures import figures, service_figures
from tests.core.session.support import FIRST, opened
from tests.core.world import World


def told(world: World, *, oldest: int = 3, keys: bool = False) -> dict[str, Any]:
    """Return the figures, which are JSON."""
    found = figures(world.session, world.now, oldest=oldest, keys=keys)
    assert json.loads(json.dumps(found)) == found
    return found


def test_idle() -> None:
    """A bucket that is open has its nodes, and nothing to do; nobody is asked anything."""
    w = opened()
    found = told(w)
    assert (found["bucket"], found["session"], found["tls"]) == ("default", "open", False)
    assert [node["state"] for node in found["nodes"]] == ["connected"] * 3
    assert [node["remote"] for node in found["nodes"]] == [str(address) for address in w.nodes]
    for node in found["nodes"]:
        assert (node["in_flight"], node["queued"], node["circuit"]) == (0, 0, "closed")
        assert "namespace" in node
    assert found["in_flight"] == found["queued"] == found["queued_bytes"] == 0
    assert (found["retries"], found["oldest"]) == ({}, [])
    assert "details" not in found
    assert found["config_rev"][1] > 0
    assert service_figures([w.session.health]) == []
    assert not w.session.take_output()
    assert not w.session.take_events()


def test_under_way() -> None:
    """What is in flight is told of by node, and the oldest first; keys only where asked."""
    w = opened()
    for node in w.cluster.nodes:
        w.cluster.hang(node)
    for number in range(5):
        w.submit(operations.get(w.defaults, f"secret-{number}", timeout=9.0 - number))
        w.advance(0.5)
    found = told(w)
    assert found["in_flight"] == sum(node["in_flight"] for node in found["nodes"]) == 5
    assert [op["age_us"] for op in found["oldest"]] == [2_500_000, 2_000_000, 1_500_000]
    first = found["oldest"][0]
    assert (first["name"], first["attempts"], first["timeout_us"]) == ("get", 1, 9_000_000)
    assert first["node"] in {node["remote"] for node in found["nodes"]}
    assert "secret" not in json.dumps(found)
    assert [op["key"] for op in told(w, keys=True)["oldest"]] == [f"secret-{n}" for n in range(3)]


def test_waiting() -> None:
    """What waits for a node is counted where it waits, with the reason."""
    w = opened()
    w.cluster.stop(w.cluster.nodes[0])
    w.advance(0.1)
    for number in range(30):
        w.submit(operations.get(w.defaults, f"k{number}"))
    w.settle()
    found = told(w)
    node = found["nodes"][0]
    assert node["remote"] == str(FIRST)
    assert node["state"] == "reconnecting"
    assert node["queued"] == found["queued"] > 0
    assert node["failures"] > 0
    assert found["queued_bytes"] > 0
    assert found["retries"] == {"SOCKET_NOT_AVAILABLE": found["queued"]}
    oldest = found["oldest"][0]
    assert (oldest["node"], oldest["attempts"]) == (None, 0)
    assert oldest["reasons"] == ["SOCKET_NOT_AVAILABLE"]


def test_opening() -> None:
    """Before the bucket is open the seeds are told of, and what was met last."""
    w = World(bucket="missing\n<b>")
    found = told(w)
    assert (found["session"], found["nodes"][0]["state"]) == ("new", "new")
    w.session.start(w.now)
    w.advance(1.0)
    found = told(w)
    assert found["session"] in {"failed", "waiting"}
    assert found["bucket"] == "missing\\n<b>"
    assert "missing" in found["details"]
    assert "\n" not in found["details"]
    assert "config_rev" not in found


def test_odd_keys() -> None:
    """A key that is no text is shown on one line, and no longer than a line is."""
    w = opened()
    for node in w.cluster.nodes:
        w.cluster.hang(node)
    w.submit(operations.get(w.defaults, "\x1b[31m\n" + "x" * 240))
    (op,) = told(w, keys=True)["oldest"]
    assert op["key"].startswith("\\x1b[31m\\nxx")
    assert len(op["key"]) <= 256
