"""Diagnostics of a session in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.operations import document as operations
from couchloop.session.diagnostics import diagnostics
from couchloop.session.health import ClusterState, cluster_state
from couchloop.settings.values import Login
from couchloop.wire import Opcode
from tests.core.session.support import opened, push, without_last_node
from tests.core.world import World


def diagnosed(world: World, version: int = 2) -> list[dict[str, Any]]:
    """Return the entries of the data nodes."""
    report = diagnostics(world.session.health, world.now, "r", version)
    entries: list[dict[str, Any]] = report["services"].get("kv", [])
    return entries


def states(world: World) -> list[str]:
    """Return the state of each data node."""
    return [entry["state"] for entry in diagnosed(world)]


class TestDiagnostics:
    """What is known without asking anybody."""

    def test_form(self) -> None:
        """The report has the keys of RFC 0061, is JSON, and costs no output."""
        w = opened()
        w.advance(1.5)
        report = diagnostics(w.session.health, w.now, "mine")
        assert (report["version"], report["id"]) == (2, "mine")
        assert report["sdk"] == w.session.settings.agent
        assert report.state is ClusterState.ONLINE
        assert json.loads(report.as_json()) == report
        for entry, address in zip(report["services"]["kv"], w.nodes, strict=True):
            assert entry["remote"] == str(address)
            assert entry["state"] == "connected"
            assert entry["namespace"] == "default"
            assert entry["last_activity_us"] == 1_500_000
        peers = {link.peer for link in w.cluster.connections()}
        assert {entry["local"] for entry in report["services"]["kv"]} == peers
        assert not w.session.take_output()
        assert not w.session.take_events()

    def test_first_version(self) -> None:
        """Version 1 has SDK 2.5's list with `status`, and RFC 0034's with `state`."""
        w = opened()
        report = diagnostics(w.session.health, w.now, version=1)
        assert report["version"] == 1
        assert [entry["status"] for entry in report["config"]] == ["connected"] * 3
        assert report["services"]["kv"] == report["config"]
        assert report["config"][0]["scope"] == "default"
        odd: Any
        for odd in (3, True, None, "2", [2]):
            with pytest.raises(ArgumentError, match="version"):
                diagnostics(w.session.health, w.now, version=odd)

    @pytest.mark.parametrize("report_id", [5, b"a", [], object(), "\ud800"])
    def test_bad_id(self, report_id: Any) -> None:
        """A report is JSON, and so is its id."""
        w = opened()
        with pytest.raises(InvalidSettingError):
            diagnostics(w.session.health, w.now, report_id)

    def test_own_ids(self) -> None:
        """Without an id each report gets another."""
        w = opened()
        first, second = (diagnostics(w.session.health, w.now)["id"] for _ in range(2))
        assert first != second

    def test_stable_ids(self) -> None:
        """A node keeps its id when its connection is replaced; the connection's is another."""
        w = opened()
        w.advance(5.0)
        before = diagnosed(w)
        w.cluster.drop_connections()
        w.advance(5.0)
        after = diagnosed(w)
        assert [entry["id"] for entry in after] == [entry["id"] for entry in before]
        assert len({entry["id"] for entry in after}) == 3
        for old, new in zip(before, after, strict=True):
            assert old["details"] != new["details"]

    def test_states(self) -> None:
        """A node that is away is being reconnected, and the report says why."""
        w = opened()
        w.cluster.stop(w.cluster.nodes[1])
        w.advance(1.0)
        assert cluster_state(w.session.health) is ClusterState.DEGRADED
        entry = diagnosed(w)[1]
        assert entry["state"] == "reconnecting"
        assert "nothing at" in entry["details"]
        w.cluster.restart(w.cluster.nodes[1])
        w.advance(5.0)
        assert states(w) == ["connected"] * 3

    def test_opening(self) -> None:
        """Before the nodes are known the seeds are reported: those met, tried and not tried."""
        w = World()
        first, second, third = w.nodes
        w.unreachable.add(first)
        w.unanswering.add(second)
        w.session.start(w.now)
        w.settle()
        assert [(entry["remote"], entry["state"]) for entry in diagnosed(w)] == [
            (str(first), "disconnected"),
            (str(second), "connecting"),
            (str(third), "new"),
        ]
        assert cluster_state(w.session.health) is ClusterState.OFFLINE

    def test_handshake(self) -> None:
        """A node that does not answer the handshake is authenticating."""
        w = World()
        for node in w.cluster.nodes:
            w.cluster.hang(node)
        w.session.start(w.now)
        w.settle()
        assert states(w)[0] == "authenticating"

    def test_removed_node(self) -> None:
        """A node that is removed while something is in flight on it is disconnecting."""
        w = opened()
        first, _, third = w.nodes
        (key,) = w.keys_of(third)
        w.cluster.inject(opcode=Opcode.GET, key=key, delay=0.5, count=1)
        w.submit(operations.get(w.defaults, key, quiet=True))
        w.settle()
        w.session.receive_data(w.link_to(first), push(without_last_node(w)), w.now)
        w.settle()
        assert states(w) == ["connected", "connected", "disconnecting"]

    def test_failed_and_closed(self) -> None:
        """A bucket that could not be opened tells why at its seed; a closed one has no nodes."""
        w = World(login=Login("user", "wrong"))
        w.session.start(w.now)
        w.settle()
        first, *others = diagnosed(w)
        assert first["state"] == "disconnected"
        assert first["details"]
        assert "wrong" not in json.dumps(first)
        assert {entry["state"] for entry in others} == {"new"}
        w = opened()
        w.session.close(w.now)
        w.settle()
        report = diagnostics(w.session.health, w.now)
        assert report.state is ClusterState.OFFLINE
