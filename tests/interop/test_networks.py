"""An official SDK reaches the embedded cluster behind port mapping."""

from __future__ import annotations

from pathlib import Path

import pytest
from gevent import subprocess

from couchloop.embedded import EmbeddedCluster
from gcouchbase.testing import SystemClock, serve
from tests.forwarding import NOWHERE, Forwarder
from tests.interop.official import environment
from tools import peers

SCRIPT = Path(__file__).parent / "clients" / "mapped.py"


@pytest.mark.parametrize("option", ["", "?network=external"])
def test_python_sdk(option: str) -> None:
    """The official Python SDK takes our alternate addresses for those of a real server."""
    cluster = EmbeddedCluster(clock=SystemClock(), host=NOWHERE)
    with (
        Forwarder() as forwarder,
        serve(cluster, alternates={"external": forwarder}) as served,
    ):
        way = served.cluster.nodes[0].alternates["external"]
        assert way.ports is not None
        address = f"couchbase://{way.host}:{way.ports['kv']}{option}"
        done = subprocess.run(
            [str(peers.python_sdk()), str(SCRIPT), address],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "50"), done.stderr
        assert forwarder.accepted >= 3
