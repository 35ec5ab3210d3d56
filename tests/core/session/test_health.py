"""Diagnostics, ping and readiness of a session in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    InvalidTimeoutError,
    NodeUnreachableError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as operations
from couchloop.session import health
from couchloop.session.health import ClusterState, PingStatus
from couchloop.settings.values import Login
from couchloop.wire import Opcode, Status
from tests.core.session.support import push, without_last_node
from tests.core.world import World


def opened(**settings: Any) -> World:
    """Return a world whose bucket is open on all nodes."""
    world = World(**settings)
    world.open()
    return world


def diagnosed(world: World, version: int = 2) -> list[dict[str, Any]]:
    """Return the entries of the data nodes."""
    report = health.diagnostics(world.session.health, world.now, "r", version)
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
        report = health.diagnostics(w.session.health, w.now, "mine")
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
        report = health.diagnostics(w.session.health, w.now, version=1)
        assert report["version"] == 1
        assert [entry["status"] for entry in report["config"]] == ["connected"] * 3
        assert report["services"]["kv"] == report["config"]
        assert report["config"][0]["scope"] == "default"
        with pytest.raises(ArgumentError, match="version"):
            health.diagnostics(w.session.health, w.now, version=3)

    def test_own_ids(self) -> None:
        """Without an id each report gets another."""
        w = opened()
        first, second = (health.diagnostics(w.session.health, w.now)["id"] for _ in range(2))
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
        assert health.cluster_state(w.session.health) is ClusterState.DEGRADED
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
        assert health.cluster_state(w.session.health) is ClusterState.OFFLINE

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
        report = health.diagnostics(w.session.health, w.now)
        assert report.state is ClusterState.OFFLINE


class TestPing:
    """A NOOP to each node."""

    def test_answered(self) -> None:
        """Each node answers, with its latency, in the keys of SDK 2.5 and of RFC 0061."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, node=w.cluster.nodes[1], delay=0.25)
        sent = w.cluster.operations["NOOP"]
        ping = w.submit(health.ping(w.defaults, report_id="mine"))
        w.settle()
        assert not ping.done
        w.advance(0.25)
        report = ping.result()
        assert w.cluster.operations["NOOP"] == sent + 3
        assert list(report) == ["kv"]
        by_server = {entry["server"]: entry for entry in report["kv"]}
        assert set(by_server) == set(map(str, w.nodes))
        assert {entry["status"] for entry in report["kv"]} == {PingStatus.OK}
        slow = by_server[str(list(w.nodes)[1])]
        assert (slow["latency"], slow["latency_us"]) == (250_000_000, 250_000)
        written = json.loads(report.as_json())
        assert (written["version"], written["id"]) == (2, "mine")
        assert written["config_rev"] == w.cluster.rev
        assert {entry["state"] for entry in written["services"]["kv"]} == {"ok"}
        assert "server" not in written["services"]["kv"][0]
        ids = {entry["id"] for entry in diagnosed(w)}
        assert {entry["id"] for entry in report["kv"]} == ids
        w.advance(10.0)
        w.assert_idle()
        assert _delivered(w) == [ping]

    def test_timeout(self) -> None:
        """A node that hangs is reported as such after the timeout; nothing is raised."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        ping = w.submit(health.ping(w.defaults, timeout=0.5))
        w.advance(0.4)
        assert not ping.done
        w.advance(0.1)
        by_server = {entry["server"]: entry for entry in ping.result()["kv"]}
        hung = by_server.pop(str(next(iter(w.nodes))))
        assert hung["status"] is PingStatus.TIMEOUT
        assert hung["latency"] == 500_000_000
        assert {entry["status"] for entry in by_server.values()} == {PingStatus.OK}

    def test_away(self) -> None:
        """A node that cannot be connected is an error, with what its last connection met."""
        w = opened()
        w.cluster.stop(w.cluster.nodes[0])
        w.advance(1.0)
        report = w.do(health.ping(w.defaults))
        (away,) = [entry for entry in report["kv"] if entry["status"] is PingStatus.ERROR]
        assert away["server"] == str(next(iter(w.nodes)))
        assert "nothing at" in away["details"]

    def test_lost_meanwhile(self) -> None:
        """A connection that breaks under the NOOP is that node's error, and no other is asked."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, node=w.cluster.nodes[0], close=True, count=1)
        sent = w.cluster.operations["NOOP"]
        ping = w.submit(health.ping(w.defaults))
        w.advance(3.0)
        statuses = [entry["status"] for entry in ping.result()["kv"]]
        assert sorted(statuses) == [PingStatus.OK, PingStatus.OK, PingStatus.ERROR]
        assert w.cluster.operations["NOOP"] <= sent + 3

    def test_refused(self) -> None:
        """A status is an error."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, status=Status.EINTERNAL)
        report = w.do(health.ping(w.defaults))
        assert {entry["status"] for entry in report["kv"]} == {PingStatus.ERROR}
        assert "0x84" in report["kv"][0]["details"]

    def test_before_open(self) -> None:
        """Issued while the bucket opens, it waits for every node to be connected."""
        w = World()
        w.session.start(w.now)
        ping = w.submit(health.ping(w.defaults))
        w.advance(0.1)
        assert [entry["status"] for entry in ping.result()["kv"]] == [PingStatus.OK] * 3

    def test_time_up_before_open(self) -> None:
        """Seeds that have not answered when time is up are reported, failed ones as errors."""
        w = World()
        first, second, third = w.nodes
        w.unreachable.add(first)
        w.unanswering.add(second)
        w.session.start(w.now)
        ping = w.submit(health.ping(w.defaults, timeout=1.0))
        w.advance(1.0)
        by_server = {entry["server"]: entry["status"] for entry in ping.result()["kv"]}
        assert by_server == {
            str(first): PingStatus.ERROR,
            str(second): PingStatus.TIMEOUT,
            str(third): PingStatus.TIMEOUT,
        }

    def test_cancelled(self) -> None:
        """Nothing is kept of a ping whose caller has gone, and nobody is told."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        ping = w.submit(health.ping(w.defaults))
        w.settle()
        w.session.cancel_batch(ping)
        assert w.session.in_flight == 0
        w.advance(10.0)
        w.assert_idle()
        assert _delivered(w) == []

    def test_closed(self) -> None:
        """Closing ends it, and afterwards there is none."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        ping = w.submit(health.ping(w.defaults))
        w.settle()
        w.session.close(w.now)
        w.settle()
        with pytest.raises(RequestCanceledError):
            ping.result()
        with pytest.raises(ObjectDestroyedError):
            w.do(health.ping(w.defaults))

    @pytest.mark.parametrize("timeout", [0, -1, True, "1", float("nan"), float("inf"), 1e9])
    def test_bad_timeout(self, timeout: Any) -> None:
        """A timeout is a positive number."""
        with pytest.raises(InvalidTimeoutError):
            health.ping(opened().defaults, timeout=timeout)


class TestReadiness:
    """Waiting until nodes can be used."""

    def test_ready_already(self) -> None:
        """It is over at once where everything is connected."""
        w = opened()
        waiting = w.submit(health.wait_until_ready(w.defaults, 5.0))
        assert waiting.done
        waiting.result()
        w.assert_idle()

    def test_while_opening(self) -> None:
        """It ends with the last node, not with the first configuration."""
        w = World()
        last = list(w.nodes)[2]
        w.unanswering.add(last)
        w.session.start(w.now)
        everything = w.submit(health.wait_until_ready(w.defaults, 5.0))
        one = w.submit(health.wait_until_ready(w.defaults, 5.0, ClusterState.DEGRADED))
        w.advance(1.0)
        assert one.done
        assert not everything.done
        one.result()
        w.unanswering.clear()
        w.advance(3.9)
        everything.result()

    def test_time_is_up(self) -> None:
        """The error says what each node met that is not ready, and chains the last of it."""
        w = opened()
        w.cluster.stop(w.cluster.nodes[1])
        w.advance(1.0)
        waiting = w.submit(health.wait_until_ready(w.defaults, 1.0))
        w.advance(1.0)
        with pytest.raises(UnambiguousTimeoutError, match="degraded, not online") as caught:
            waiting.result()
        error = caught.value
        assert error.context is not None
        ((node, reason),) = error.context.seeds
        assert node == str(list(w.nodes)[1])
        assert isinstance(reason, NodeUnreachableError)
        assert error.__cause__ is reason
        assert "nothing at" in str(error)
        assert "key" not in str(error)

    def test_removed_node(self) -> None:
        """A dead node that leaves the configuration is waited for no longer."""
        w = opened()
        node = w.cluster.nodes[1]
        w.cluster.stop(node)
        w.advance(1.0)
        waiting = w.submit(health.wait_until_ready(w.defaults, 60.0))
        w.advance(1.0)
        assert not waiting.done
        w.cluster.failover(node)
        w.advance(5.0)
        waiting.result()

    def test_opening_fails(self) -> None:
        """What opening the bucket meets ends it at once, also if that was before."""
        w = World(login=Login("user", "wrong"))
        w.session.start(w.now)
        waiting = w.submit(health.wait_until_ready(w.defaults, 60.0))
        w.settle()
        with pytest.raises(AuthError) as caught:
            waiting.result()
        assert "key" not in str(caught.value)
        with pytest.raises(AuthError):
            w.do(health.wait_until_ready(w.defaults, 60.0))

    def test_time_is_up_while_opening(self) -> None:
        """The error says what each seed met so far."""
        w = World()
        first, second, _ = w.nodes
        w.unreachable.add(first)
        w.unanswering.add(second)
        w.session.start(w.now)
        waiting = w.submit(health.wait_until_ready(w.defaults, 0.5))
        w.advance(0.5)
        with pytest.raises(UnambiguousTimeoutError, match="offline") as caught:
            waiting.result()
        assert caught.value.context is not None
        assert [node for node, _ in caught.value.context.seeds] == [str(first), str(second)]

    @pytest.mark.parametrize("state", [ClusterState.OFFLINE, "online", None])
    def test_bad_state(self, state: Any) -> None:
        """Nobody waits for a cluster to be offline."""
        with pytest.raises(ArgumentError):
            health.wait_until_ready(opened().defaults, 1.0, state)


def _delivered(world: World) -> list[Any]:
    return list(world.delivered)
