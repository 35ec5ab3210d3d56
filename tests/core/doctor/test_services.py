"""The doctor without I/O: the ports of services, mapped ports, and a port that means another."""

from __future__ import annotations

from errno import ECONNREFUSED
from functools import partial
from typing import Any

import pytest

from couchloop.doctor import Part, Report, Step, User, Verdict
from couchloop.settings.values import Address
from tests.core.doctor.net import TLS, Net, Silent, Talking, examine, step_of

PLAIN = "couchbase://10.0.0.1/default?http_allow_plain=true"


def net_with(**ports: int) -> Net:
    """Return a network whose first node has these services, with and without TLS."""
    net = Net()
    node = net.cluster.nodes[0]
    for service, port in ports.items():
        node.ports[service] = port
        net.listening[Address(node.host, port)] = partial(
            node.accept_http, service.removesuffix("SSL")
        )
    net.cluster.changed()
    return net


def services_of(report: Report) -> list[Step]:
    """Return the steps about services."""
    return [step for step in report if step.part is Part.SERVICES]


def test_well() -> None:
    """Each service is asked as a program asks it, and its connection closed."""
    net = net_with(mgmt=8091, n1ql=8093, fts=8094, eventingAdminPort=8096)
    report, shown = examine(net, PLAIN)
    assert report.works
    assert [(step.details["service"], step.verdict) for step in services_of(report)] == [
        ("mgmt", Verdict.OK),
        ("query", Verdict.OK),
        ("search", Verdict.OK),
        ("eventing", Verdict.OK),
    ]
    assert "Services, from here" in shown
    assert "query at 10.0.0.1:8093: answered" in shown
    assert not net.open_links


@pytest.mark.parametrize(
    ("status", "meant"),
    [(401, "does not know the user"), (403, "does not let the user ask"), (503, "HTTP 503")],
)
def test_rights(status: int, meant: str) -> None:
    """What a service refuses is said, with the status; documents do not need it."""
    net = net_with(mgmt=8091)
    net.cluster.inject_http(path="/pools/default", status=status)
    report, shown = examine(net, PLAIN)
    (step,) = services_of(report)
    assert step.verdict is Verdict.FAILED
    assert meant in step.cause
    assert "roles" in step.cure
    assert report.works
    assert "deserves a look" in shown


@pytest.mark.parametrize(
    ("peer", "meant"),
    [
        (ConnectionRefusedError(ECONNREFUSED, "no"), "refused"),
        (Silent, "did not answer within 5 s"),
        (partial(Talking, b"HELO mail"), ""),
        (partial(Talking, closed=True), ""),
    ],
)
def test_not_reached(peer: Any, meant: str) -> None:
    """A port that is closed, silent or somebody else's fails alone."""
    net = net_with(n1ql=8093)
    net.listening[Address("10.0.0.1", 8093)] = peer
    report, _ = examine(net, PLAIN)
    (step,) = services_of(report)
    assert step.verdict is Verdict.FAILED
    assert meant in f"{step.text} {step.cause}"
    assert step.cause
    assert report.works
    assert not net.open_links


def test_not_asked() -> None:
    """Without TLS nobody is told the password, but whether the port is reached is known."""
    net = net_with(n1ql=8093)
    report, _ = examine(net)
    (step,) = services_of(report)
    assert (step.verdict, step.text) == (
        Verdict.SKIPPED,
        "query at 10.0.0.1:8093: reachable, but not asked",
    )
    assert "http_allow_plain" in step.notes[0]
    net.listening[Address("10.0.0.1", 8093)] = ConnectionRefusedError(ECONNREFUSED, "no")
    report, _ = examine(net)
    assert services_of(report)[0].verdict is Verdict.FAILED


def test_tls() -> None:
    """Over TLS the ports with TLS are taken, and what is wrong with it is said."""
    net = net_with(n1ql=8093, n1qlSSL=18093)
    net.tls["10.0.0.1"] = TLS
    report, _ = examine(net, "couchbases://10.0.0.1/default")
    (step,) = services_of(report)
    assert (step.subject, step.verdict) == ("10.0.0.1:18093", Verdict.OK)
    assert step.details["tls"]


def test_mapped_ports() -> None:
    """A seed that names itself where it is not reached stands behind mapped ports."""
    net = Net()
    inside = Address("10.0.0.1", 11210)
    net.listening[Address("10.9.9.9", 21210)] = net.listening.pop(inside)
    report, _ = examine(net, "couchbase://10.9.9.9:21210/default")
    assert not report.works
    (step,) = [step for step in report if step.subject == str(inside)]
    assert "answered as 10.9.9.9:21210" in step.cause
    assert "Docker" in step.cause
    assert "setting-alternate-address" in step.cure


def test_a_port_that_means_another() -> None:
    """That the web console's port becomes the data port is said; where it is meant, it is not."""
    report, shown = examine(Net(), "couchbase://10.0.0.1:8091/default")
    assert report.works
    step = step_of(report, "parse")
    assert step.verdict is Verdict.WARNING
    assert "10.0.0.1:8091 names the port of the web console" in step.cause
    assert "11210" in step.cause
    assert "8091=http" in shown
    report, _ = examine(Net(), "couchbase://10.0.0.1/default")
    assert step_of(report, "parse").verdict is Verdict.OK
    report, _ = examine(Net(), "couchbase://10.0.0.1:8091=http/default", User("user", "password"))
    assert step_of(report, "parse").verdict is Verdict.OK
