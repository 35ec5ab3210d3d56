"""The doctor's diagnosis on a reactor: every node, and nothing left if it ends early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol

from tests.certificates import Certificates
from tests.diagnosis import (
    diagnosis,
)
from tests.extras import needs_tls_on_twisted
from tests.interop.served import environment
from tests.interop.served import served as running
from tests.txcouchbase.support import turn
from txcouchbase import doctor

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


@pytest.mark.parametrize(
    "scheme", ["couchbase", pytest.param("couchbases", marks=needs_tls_on_twisted)]
)
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
