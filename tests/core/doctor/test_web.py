"""The doctor without I/O: web ports."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.doctor import (
    Part,
    User,
    Verdict,
)
from couchloop.settings.values import Address
from tests.core.doctor.net import (
    Net,
    Silent,
    Talking,
    examine,
    step_of,
)


class TestWeb:
    """Web ports, which are asked when no data port gives a configuration."""

    def net(self) -> Net:
        """Return a network in which the first node has a web port too."""
        net = Net()
        net.listening[Address("10.0.0.1", 8091)] = net.cluster.nodes[0].accept_http
        return net

    def test_instead_of_a_data_port(self) -> None:
        """A host without the data service gives the map by HTTP, if that may show the password."""
        net = self.net()
        net.listening[Address("10.0.0.7", 8091)] = net.cluster.nodes[0].accept_http
        text = "couchbase://10.0.0.7/default"
        report, _ = examine(net, text)
        assert "http" not in [step.name for step in report]
        report, _ = examine(net, f"{text}?sasl_allow_plain=true")
        assert report.works
        seeds = [step for step in report if step.part is Part.SEED]
        assert [(step.name, step.subject, step.verdict) for step in seeds] == [
            ("tcp", "10.0.0.7:11210", Verdict.FAILED),
            ("tcp", "10.0.0.7:8091", Verdict.OK),
            ("http", "10.0.0.7:8091", Verdict.WARNING),
            ("configuration", "10.0.0.7:8091", Verdict.OK),
        ]
        assert "clear text" in step_of(report, "http").cause

    def test_web_ports_alone(self) -> None:
        """With bootstrap_on=http no data port is a seed."""
        net = self.net()
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert report.works
        assert [step.subject for step in report if step.part is Part.SEED] == ["10.0.0.1:8091"] * 3
        assert "other seeds" not in {str(step.part) for step in report}

    def test_over_tls(self) -> None:
        """Over TLS nothing is in clear text."""
        net = self.net()
        net.listening[Address("10.0.0.1", 18091)] = net.cluster.nodes[0].accept_http
        report, _ = examine(net, "couchbases://10.0.0.1/default?bootstrap_on=http")
        assert step_of(report, "http").verdict is Verdict.OK
        assert step_of(report, "tls").subject == "10.0.0.1:18091"
        assert report.works

    def test_the_cluster_itself(self) -> None:
        """Without a bucket a web port is asked for the nodes of the cluster."""
        report, _ = examine(self.net(), "couchbase://10.0.0.1?bootstrap_on=http")
        assert report.works
        assert "/pools/default/nodeServices" in step_of(report, "http").text

    @pytest.mark.parametrize(
        ("bucket", "user", "cause"),
        [("default", User("user", "wrong"), "refused user 'user'"), ("nosuch", None, "bucket")],
    )
    def test_refused(self, bucket: str, user: User | None, cause: str) -> None:
        """Who is refused by a web port reads why."""
        address = f"couchbase://10.0.0.1/{bucket}?bootstrap_on=http"
        report, shown = examine(self.net(), address, user)
        step = step_of(report, "http")
        assert (step.verdict, step.text) == (Verdict.FAILED, "refused")
        assert cause in step.cause
        assert "HTTP fails at 10.0.0.1:8091" in shown

    @pytest.mark.parametrize(
        ("peer", "text"),
        [
            (Silent, "no answer in time"),
            (lambda: Talking(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "no answer in time"),
            (lambda: Talking(closed=True), "not understood"),
            (lambda: Talking(b"\0" * 99), "another protocol"),
            (lambda: Talking(b"HTTP/1.1 200 OK\r\n\r\nnonsense", closed=True), "not understood"),
            (lambda: Talking(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), "no data node"),
            (TimeoutError(), "no answer within 5 s"),
        ],
    )
    def test_broken(self, peer: Any, text: str) -> None:
        """Whatever a web port does, it is given up, and the step says what it did."""
        net = Net()
        net.listening[Address("10.0.0.1", 8091)] = peer
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert report.steps[-1].verdict is Verdict.FAILED
        assert report.steps[-1].text == text
        assert report.steps[-1].cause
        assert not report.works

    @pytest.mark.parametrize(
        ("body", "text", "cause"),
        [
            (b'{"nodesExt": [], "nodeLocator": "ketama"}', "not ready", "warming up"),
            (b"[]", "not understood", "Not a cluster configuration"),
            (b'{"nodesExt": []}', "not ready", "warming up"),
        ],
    )
    def test_configurations_of_no_use(self, body: bytes, text: str, cause: str) -> None:
        """A configuration that is of no use is told as what it is."""
        net = Net()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        net.listening[Address("10.0.0.1", 8091)] = lambda: Talking(head.encode() + body)
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert step_of(report, "configuration").text == text
        assert cause in step_of(report, "configuration").cause

    def test_a_refused_login_ends_it(self) -> None:
        """After a refused login no further host is asked: no node would say otherwise."""
        net = self.net()
        report, _ = examine(net, "couchbase://10.0.0.1,10.0.0.2/default", User("user", "wrong"))
        assert [step.subject for step in report if step.name == "tcp"] == ["10.0.0.1:11210"]
