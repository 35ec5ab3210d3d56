"""The doctor's diagnosis on a hub: beside other greenlets, nothing left if it ends early."""

from __future__ import annotations

from pathlib import Path

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from gcouchbase import doctor
from gcouchbase.testing import ServedCluster
from tests.certificates import Certificates
from tests.diagnosis import (
    diagnosis,
    found,
    refuses_the_certificate,
    wants_a_certificate,
)
from tests.gcouchbase.support import ticking, until
from tests.gcouchbase.test_networks import mapped, outside


def test_diagnosis(served: ServedCluster) -> None:
    """Every node is visited, other greenlets go on meanwhile, and every connection is closed."""
    examined = diagnosis(f"{served.connection_string}/default")
    with ticking() as ticker:
        doctor.run(examined)
        ticker.goes_on()
    assert examined.report.works
    assert [step.name for step in examined.report].count("node") == 3
    until(lambda: not served.cluster.connections())


def test_the_network_to_use() -> None:
    """Behind port mapping, the network on which nodes do answer is tried, and named."""
    with mapped() as (served, _):
        examined = diagnosis(f"couchbase://{outside(served)}/default?network=default")
        doctor.run(examined)
        assert not examined.report.works
        assert "Add network=external" in found(examined, "node").cure
        examined = diagnosis(f"couchbase://{outside(served)}/default")
        doctor.run(examined)
        assert examined.report.works
        assert found(examined, "network").details["network"] == "external"


def test_web_port(served: ServedCluster) -> None:
    """A web port gives the configuration too."""
    port = served.cluster.nodes[0].ports["mgmt"]
    examined = diagnosis(f"couchbase://127.0.0.1:{port}=http/default")
    doctor.run(examined)
    assert examined.report.works
    assert found(examined, "http").subject == f"127.0.0.1:{port}"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a CA of this test alone."""
    return Certificates(tmp_path)


@pytest.mark.parametrize("kind", ["=https", ""])
def test_client_certificate_missing(certificates: Certificates, kind: str) -> None:
    """A node that demands a client's certificate says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        text = f"couchbases://127.0.0.1:{port}{kind}/default?certpath={certificates.ca}"
        examined = diagnosis(text)
        doctor.run(examined)
    wants_a_certificate(examined)


def test_client_certificate_refused(certificates: Certificates) -> None:
    """A node that does not know the client's CA says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        examined = diagnosis(certificates.foreign(port))
        doctor.run(examined)
    refuses_the_certificate(examined)


def test_last_words_of_a_peer_that_has_gone() -> None:
    """What a peer said before it closed is read, though nothing more can be sent to it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = doctor._Link(ours)
        theirs.sendall(b"a reason")
        theirs.close()
        assert link.exchange(b"a question") == b"a reason"
        assert link.exchange(b"another") == b""


@pytest.mark.parametrize("scheme", ["couchbase", "couchbases"])
def test_killed(scheme: str) -> None:
    """A greenlet that is killed amid a diagnosis leaves no socket behind."""
    here: set[object] = set()

    def listen(sock: socket.socket, address: object) -> None:
        here.add(address)
        with sock:
            while sock.recv(4096):
                pass
        here.remove(address)

    server = StreamServer(("127.0.0.1", 0), listen)
    server.start()
    examined = diagnosis(f"{scheme}://127.0.0.1:{server.server_port}/default")
    greenlet = gevent.spawn(doctor.run, examined)
    try:
        until(lambda: here and "tcp" in [step.name for step in examined.report])
        greenlet.kill()
        assert not examined.report.finished
        until(lambda: not here, "its connection is still open")
    finally:
        server.stop()
