"""The doctor's diagnosis over sockets: every node, and nothing left if it ends early."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.doctor import Diagnosis, Verdict
from tests.certificates import Certificates, listening
from tests.conformance.loops import Loop
from tests.conformance.test_networks import mapped, outside
from tests.diagnosis import (
    diagnosis,
    found,
    refuses_the_certificate,
    wants_a_certificate,
)
from tests.sockets import dialling, full_listener


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a CA of this test alone."""
    return Certificates(tmp_path)


def diagnosed(loop: Loop, text: str) -> Diagnosis:
    """Return a diagnosis that has been made."""
    made = diagnosis(text)
    loop.wait(loop.diagnose(made))
    return made


def test_diagnosis(loop: Loop, served: Any) -> None:
    """Every node is visited, others go on meanwhile, and every connection is closed."""
    with loop.ticking() as ticker:
        before = ticker.ticks
        made = diagnosed(loop, f"{served.connection_string}/default")
        loop.until(lambda: ticker.ticks > before)
    assert made.report.works
    assert [step.name for step in made.report].count("node") == 3
    loop.until(lambda: not served.cluster.connections())


def test_services(loop: Loop, served: Any) -> None:
    """Each service of each node is asked; one that refuses the user keeps nobody from documents."""
    first = served.cluster.nodes[0]
    served.cluster.inject_http(service="n1ql", node=first, status=401)
    made = diagnosed(loop, f"{served.connection_string}/default")
    assert made.report.works
    steps = [step for step in made.report if step.name == "service"]
    assert len(steps) == 3 * 6
    (failed,) = [step for step in steps if step.verdict is not Verdict.OK]
    assert failed.subject == f"127.0.0.1:{first.ports['n1ql']}"
    assert "HTTP 401" in failed.cause
    loop.until(lambda: not any(node.http_connections for node in served.cluster.nodes))


def test_the_network_to_use(loop: Loop) -> None:
    """Behind port mapping, the network on which nodes do answer is tried, and named."""
    with mapped(loop) as (served, _):
        made = diagnosed(loop, f"couchbase://{outside(served)}/default?network=default")
        assert not made.report.works
        assert "Add network=external" in found(made, "node").cure
        made = diagnosed(loop, f"couchbase://{outside(served)}/default")
        assert made.report.works
        assert found(made, "network").details["network"] == "external"


def test_web_port(loop: Loop, served: Any) -> None:
    """A web port gives the configuration too."""
    port = served.cluster.nodes[0].ports["mgmt"]
    made = diagnosed(loop, f"couchbase://127.0.0.1:{port}=http/default")
    assert made.report.works
    assert found(made, "http").subject == f"127.0.0.1:{port}"
    loop.until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("kind", ["=https", ""])
def test_client_certificate_missing(loop: Loop, certificates: Certificates, kind: str) -> None:
    """A node that demands a client's certificate says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        text = f"couchbases://127.0.0.1:{port}{kind}/default?certpath={certificates.ca}"
        wants_a_certificate(diagnosed(loop, text))


def test_client_certificate_refused(loop: Loop, certificates: Certificates) -> None:
    """A node that does not know the client's CA says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        refuses_the_certificate(diagnosed(loop, certificates.foreign(port)))


@pytest.mark.parametrize("scheme", ["couchbase", "couchbases"])
def test_cancelled(loop: Loop, scheme: str) -> None:
    """A diagnosis whose caller goes away closes its connection, and leaves nothing behind."""
    seen: list[str] = []

    def serve(accepted: socket.socket) -> None:
        seen.append("opened")
        try:
            while accepted.recv(4096):
                pass
        finally:
            seen.append("closed")

    with listening(serve) as port:
        made = diagnosis(f"{scheme}://127.0.0.1:{port}/default")
        work = loop.start(loop.diagnose, made)
        loop.until(lambda: "tcp" in [step.name for step in made.report])
        work.cancel()
        loop.until(lambda: "closed" in seen, "its connection is still open")
        assert not made.report.finished


@pytest.mark.parametrize("is_another_seed", [False, True])
def test_cancelled_while_it_dials(loop: Loop, served: Any, is_another_seed: bool) -> None:
    """Whatever it waits for, and whether others wait beside it: it ends, and finds no fault."""
    with full_listener() as port:
        seeds = f"127.0.0.1:{port}"
        if is_another_seed:
            # All but the first are tried together.
            seeds = f"127.0.0.1:{served.cluster.nodes[0].ports['kv']},{seeds}"
        before = dialling(port)
        made = diagnosis(f"couchbase://{seeds}/default")
        work = loop.start(loop.diagnose, made)
        loop.until(lambda: dialling(port) > before)
        work.cancel()
        loop.until(lambda: work.done)
        loop.until(lambda: dialling(port) == before, "it goes on dialling")
        assert not made.report.finished
        assert not list(made.report.failures())
