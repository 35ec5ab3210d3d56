"""The doctor's diagnosis on a reactor: every node, and nothing left if it ends early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol

from couchloop.doctor import Diagnosis
from tests.certificates import Certificates
from tests.diagnosis import (
    diagnosis,
    found,
    refuses_the_certificate,
    wants_a_certificate,
)
from tests.interop.served import environment
from tests.interop.served import served as running
from tests.txcouchbase.support import turn
from tests.txcouchbase.test_networks import mapped, outside
from txcouchbase import doctor
from txcouchbase.testing import serve


async def test_diagnosis() -> None:
    """Every node is visited, and every connection is closed."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(reactor=reactor)
    try:
        examined = diagnosis(f"{served.connection_string}/default")
        await doctor.serve(reactor, examined)
        assert examined.report.works
        assert [step.name for step in examined.report].count("node") == 3
        await turn(reactor, lambda: not served.cluster.connections())
    finally:
        await served.stop()


async def test_web_port() -> None:
    """A web port gives the configuration too."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(reactor=reactor)
    try:
        port = served.cluster.nodes[0].ports["mgmt"]
        examined = diagnosis(f"couchbase://127.0.0.1:{port}=http/default")
        await doctor.serve(reactor, examined)
        assert examined.report.works
        assert found(examined, "http").subject == f"127.0.0.1:{port}"
        await turn(reactor, lambda: not served.cluster.connections())
    finally:
        await served.stop()


async def test_the_network_to_use() -> None:
    """Behind port mapping, the network on which nodes do answer is tried, and named."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    async with mapped() as (served, _):
        examined = diagnosis(f"couchbase://{outside(served)}/default?network=default")
        await doctor.serve(reactor, examined)
        assert not examined.report.works
        assert "Add network=external" in found(examined, "node").cure
        examined = diagnosis(f"couchbase://{outside(served)}/default")
        await doctor.serve(reactor, examined)
        assert examined.report.works
        assert found(examined, "network").details["network"] == "external"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a CA of this test alone."""
    return Certificates(tmp_path)


async def examine(text: str) -> Diagnosis:
    """Examine, and leave nothing in the reactor."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    examined = diagnosis(text)
    await doctor.serve(reactor, examined)
    await turn(reactor, lambda: True)
    return examined


@pytest.mark.parametrize("kind", ["=https", ""])
async def test_client_certificate_missing(certificates: Certificates, kind: str) -> None:
    """A node that demands a client's certificate says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        text = f"couchbases://127.0.0.1:{port}{kind}/default?certpath={certificates.ca}"
        wants_a_certificate(await examine(text))


async def test_client_certificate_refused(certificates: Certificates) -> None:
    """A node that does not know the client's CA says so after the handshake, and is heard."""
    with certificates.demanding() as port:
        refuses_the_certificate(await examine(certificates.foreign(port)))


ON_A_REACTOR_OF_ITS_OWN = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from tests.diagnosis import diagnosis
from txcouchbase import doctor

reactor = SelectReactor()
examined = diagnosis(sys.argv[1])
reactor.callWhenRunning(
    lambda: Deferred.fromCoroutine(doctor.serve(reactor, examined)).addBoth(
        lambda _: reactor.stop()
    )
)
reactor.run()
sys.exit(not examined.report.works)
"""


def test_own_reactor(tmp_path: Path) -> None:
    """The reactor that is given does all the work, TLS included, whichever is the global one."""
    certificates = Certificates(tmp_path)
    files = certificates.server()
    with running("--tls-cert", str(files.certificate), "--tls-key", str(files.key)) as line:
        text = f"{line['connection_string_tls']}/default?certpath={certificates.ca}"
        done = subprocess.run(
            [sys.executable, "-c", ON_A_REACTOR_OF_ITS_OWN, text],
            timeout=50,
            check=False,
            env=environment(),
        )
    assert done.returncode == 0


class _Silent(Protocol):
    connected_now = 0

    def connectionMade(self) -> None:
        _Silent.connected_now += 1

    def connectionLost(self, reason: object = None) -> None:
        _Silent.connected_now -= 1


@pytest.mark.parametrize("scheme", ["couchbase", "couchbases"])
async def test_cancelled(scheme: str) -> None:
    """A diagnosis whose Deferred is cancelled closes its connection, timers and threads."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - pytest installed it

    reactor: Any = installed
    port = reactor.listenTCP(0, Factory.forProtocol(_Silent), interface="127.0.0.1")
    try:
        examined = diagnosis(f"{scheme}://127.0.0.1:{port.getHost().port}/default")
        work = Deferred.fromCoroutine(doctor.serve(reactor, examined))
        await turn(reactor, lambda: _Silent.connected_now == 1)
        work.cancel()
        with pytest.raises(CancelledError):
            await work
        assert not examined.report.finished
        await turn(reactor, lambda: _Silent.connected_now == 0)
    finally:
        await port.stopListening()
