"""What is known of documents is what the embedded cluster has of them, after a restart too."""

from __future__ import annotations

from couchloop.embedded import EmbeddedCluster
from couchloop.wire import Opcode, Status
from tests.embedded.client import STORE, Client
from tests.simulation.events import Loop
from tests.simulation.history import History
from tests.simulation.scans import SETTLED, Scan
from tests.simulation.truth import PREFIX, Truth

KEY = f"{PREFIX}flow-1"
PERSIST_TO_MAJORITY = bytes([0x13, 3]) + (4000).to_bytes(2)
DISK = 0.5
"""Seconds; less than `SETTLED`."""


def test_no_scan_must_see_what_is_to_be_committed_again() -> None:
    """Only once it is, and was written: until then the disk has a promise; then it must be seen."""
    loop = Loop()
    cluster = EmbeddedCluster(2, replicas=1, vbuckets=1, clock=loop)
    history = History(loop, lambda: None)
    truth = Truth(loop, cluster.buckets["default"], history.violate, {})

    def missed_by_a_scan() -> int:
        before = len(history.violations)
        named = {"limit": None, "ids_only": True, "sees": None}
        Scan(history, truth, None, lambda _: True, loop.now(), **named).ended()  # type: ignore[arg-type]
        return len(history.violations) - before

    def wait(seconds: float) -> None:
        loop.run(loop.now() + seconds)

    cluster.delay_persistence("default", DISK)
    client = Client.ready(cluster.nodes[0])
    parts = {"key": b"\0" + KEY.encode(), "value": b'{"n":0}', "extras": STORE}
    opaque = client.send(Opcode.SET, framing=PERSIST_TO_MAJORITY, **parts)
    wait(DISK)
    client.connection.handle_deadline()
    assert client.answer(opaque).status == Status.SUCCESS
    # The disks have the preparation, and not the commit.
    for node in cluster.nodes:
        cluster.stop(node)
    wait(10.0)
    cluster.restart(cluster.nodes[0])
    assert [key for key, _ in truth.living(None)] == [KEY]
    assert not missed_by_a_scan()
    cluster.restart(cluster.nodes[1])
    wait(DISK)
    truth.look()
    assert Client.ready(cluster.nodes[0]).ask(Opcode.GET, key=parts["key"]).status == 0
    assert not missed_by_a_scan()
    wait(SETTLED)
    assert missed_by_a_scan() == 1
    assert all(line.startswith("missed: ") for line in history.violations)
