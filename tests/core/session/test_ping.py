"""Ping of a session in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.exceptions import (
    CleartextPasswordError,
    InvalidSettingError,
    InvalidTimeoutError,
    ObjectDestroyedError,
    RequestCanceledError,
)
from couchloop.session.diagnostics import diagnostics
from couchloop.session.health import wait_until_ready
from couchloop.session.ping import ping
from couchloop.session.services.pings import PingStatus
from couchloop.wire import Opcode, Status
from tests.core.session.support import FIRST, completed, opened, push
from tests.core.world import World


def diagnosed(world: World, version: int = 2) -> list[dict[str, Any]]:
    """Return the entries of the data nodes."""
    report = diagnostics(world.session.health, world.now, "r", version)
    entries: list[dict[str, Any]] = report["services"].get("kv", [])
    return entries


class TestPing:
    """A NOOP to each node."""

    def test_answered(self) -> None:
        """Each node answers, with its latency, in the keys of SDK 2.5 and of RFC 0061."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, node=w.cluster.nodes[1], delay=0.25)
        sent = w.cluster.operations["NOOP"]
        pinging = w.submit(ping(w.defaults, report_id="mine"))
        w.settle()
        assert not pinging.done
        w.advance(0.25)
        report = pinging.result()
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
        assert completed(w) == [pinging]

    def test_timeout(self) -> None:
        """A node that hangs is reported as such after the timeout; nothing is raised."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        pinging = w.submit(ping(w.defaults, timeout=0.5))
        w.advance(0.4)
        assert not pinging.done
        w.advance(0.1)
        by_server = {entry["server"]: entry for entry in pinging.result()["kv"]}
        hung = by_server.pop(str(next(iter(w.nodes))))
        assert hung["status"] is PingStatus.TIMEOUT
        assert hung["latency"] == 500_000_000
        assert {entry["status"] for entry in by_server.values()} == {PingStatus.OK}

    def test_away(self) -> None:
        """A node that cannot be connected is an error, with what its last connection met."""
        w = opened()
        w.cluster.stop(w.cluster.nodes[0])
        w.advance(1.0)
        report = w.do(ping(w.defaults))
        (away,) = [entry for entry in report["kv"] if entry["status"] is PingStatus.ERROR]
        assert away["server"] == str(next(iter(w.nodes)))
        assert "nothing at" in away["details"]

    def test_lost_meanwhile(self) -> None:
        """A connection that breaks under the NOOP is that node's error, and no other is asked."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, node=w.cluster.nodes[0], close=True, count=1)
        sent = w.cluster.operations["NOOP"]
        pinging = w.submit(ping(w.defaults))
        w.advance(3.0)
        statuses = [entry["status"] for entry in pinging.result()["kv"]]
        assert sorted(statuses) == [PingStatus.OK, PingStatus.OK, PingStatus.ERROR]
        assert w.cluster.operations["NOOP"] <= sent + 3

    def test_refused(self) -> None:
        """A status is an error."""
        w = opened()
        w.cluster.inject(opcode=Opcode.NOOP, status=Status.EINTERNAL)
        report = w.do(ping(w.defaults))
        assert {entry["status"] for entry in report["kv"]} == {PingStatus.ERROR}
        assert "0x84" in report["kv"][0]["details"]

    def test_before_open(self) -> None:
        """Issued while the bucket opens, it waits for every node to be connected."""
        w = World()
        w.session.start(w.now)
        pinging = w.submit(ping(w.defaults))
        w.advance(0.1)
        assert [entry["status"] for entry in pinging.result()["kv"]] == [PingStatus.OK] * 3

    def test_time_up_before_open(self) -> None:
        """Seeds that have not answered when time is up are reported, failed ones as errors."""
        w = World()
        first, second, third = w.nodes
        w.unreachable.add(first)
        w.unanswering.add(second)
        w.session.start(w.now)
        pinging = w.submit(ping(w.defaults, timeout=1.0))
        w.advance(1.0)
        by_server = {entry["server"]: entry["status"] for entry in pinging.result()["kv"]}
        assert by_server == {
            str(first): PingStatus.ERROR,
            str(second): PingStatus.TIMEOUT,
            str(third): PingStatus.TIMEOUT,
        }

    def test_cancelled(self) -> None:
        """Nothing is kept of a ping whose caller has gone, and nobody is told."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        pinging = w.submit(ping(w.defaults))
        w.settle()
        w.session.cancel_batch(pinging)
        assert w.session.in_flight == 0
        w.advance(10.0)
        w.assert_idle()
        assert completed(w) == []

    def test_closed(self) -> None:
        """Closing ends it, and afterwards there is none."""
        w = opened()
        w.cluster.hang(w.cluster.nodes[0])
        pinging = w.submit(ping(w.defaults))
        w.settle()
        w.session.close(w.now)
        w.settle()
        with pytest.raises(RequestCanceledError):
            pinging.result()
        with pytest.raises(ObjectDestroyedError):
            w.do(ping(w.defaults))

    @pytest.mark.parametrize("report_id", [5, b"a", [], object(), "\ud800"])
    def test_bad_id(self, report_id: Any) -> None:
        """A report is JSON, and so is its id."""
        with pytest.raises(InvalidSettingError):
            ping(opened().defaults, report_id=report_id)

    @pytest.mark.parametrize("timeout", [0, -1, True, "1", float("nan"), float("inf"), 1e9])
    def test_bad_timeout(self, timeout: Any) -> None:
        """A timeout is a positive number."""
        with pytest.raises(InvalidTimeoutError):
            ping(opened().defaults, timeout=timeout)


class TestServices:
    """A request to each service of each node, beside the NOOPs."""

    def test_nobody_is_told_the_password(self) -> None:
        """Services of another machine are not asked without TLS: the report says so."""
        w = opened()
        text = json.loads(w.cluster.nodes[0].configurations["default"].text(0))
        text["rev"] += 1
        text["nodesExt"].append({"hostname": "db.test", "services": {"n1ql": 8093}})
        w.session.receive_data(w.link_to(FIRST), push(json.dumps(text).encode()), w.now)
        w.settle()
        tried = len(w.attempts)
        report = w.do(ping(w.defaults))
        assert len(w.attempts) == tried
        (entry,) = report["n1ql"]
        assert entry["server"] == "db.test:8093"
        assert entry["status"] is PingStatus.NOT_ASKED
        assert entry["details"].startswith("not asked: ")
        assert "couchbases://" in entry["details"]
        assert "http_allow_plain" in entry["details"]
        # RFC 0061 knows of no such state.
        (written,) = json.loads(report.as_json())["services"]["query"]
        assert written["state"] == "error"
        waiting = w.submit(wait_until_ready(w.defaults, 60.0, services=["query"]))
        w.settle()
        with pytest.raises(CleartextPasswordError):
            waiting.result()
        w.advance(10.0)
        w.assert_idle()

    def test_given_up(self) -> None:
        """Nothing is kept of who has gone, nor of a session that was closed."""
        w = opened()
        (web, *_) = w.serve_web()
        w.unanswering.add(web)
        w.settle()
        for asking in (
            ping(w.defaults, services=["mgmt"]),
            wait_until_ready(w.defaults, 60.0, services=["mgmt"]),
        ):
            w.submit(asking)
            w.settle()
            assert w.session.services
            w.session.cancel_batch(asking)
            w.settle()
            assert not w.session.services
        w.advance(10.0)
        w.assert_idle()
        pinging = w.submit(ping(w.defaults, services=["mgmt"]))
        w.session.close(w.now)
        w.settle()
        with pytest.raises(RequestCanceledError):
            pinging.result()
