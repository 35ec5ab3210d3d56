"""What a node has not done so far, told by operations that have less time than it has."""

from __future__ import annotations

from couchloop.embedded import BucketSettings, EmbeddedCluster
from couchloop.exceptions import NodeTimeoutError, SrvLookupError, UnambiguousTimeoutError
from couchloop.operations import document as ops
from couchloop.settings.values import Address
from couchloop.wire import Opcode
from tests.core.session.bootstrap.web import WEB
from tests.core.session.support import FIRST, error_of
from tests.core.world import World

FIREWALL = "a firewall may drop what is sent there: `python -m couchloop doctor` tells"


def timed_out(w: World) -> UnambiguousTimeoutError:
    """Return the error of an operation whose time is up while the bucket is being opened."""
    w.session.start(w.now)
    op = w.submit(ops.get(w.defaults, "key", timeout=0.5))
    w.advance(0.6)
    error = error_of(op)
    assert type(error) is UnambiguousTimeoutError
    assert "the bucket was not open in time: " in str(error)
    return error


def test_not_accepted() -> None:
    """A data port that neither accepts nor refuses: where the packets go, and whom to ask."""
    w = World(seeds=(FIRST,), config_node_timeout=5.0)
    w.unanswering.add(FIRST)
    error = timed_out(w)
    assert f"the node has not accepted so far: {FIREWALL}" in str(error)
    assert f"node {FIRST}" in str(error)
    assert type(error.__cause__) is NodeTimeoutError


def test_no_handshake() -> None:
    """One that has accepted has no firewall before it."""
    w = World(seeds=(FIRST,), config_node_timeout=5.0)
    w.cluster.hang(w.cluster.nodes[0])
    text = str(timed_out(w))
    assert "the node has not answered the handshake so far" in text
    assert "firewall" not in text


def test_warming_up() -> None:
    """A bucket that has no map yet is not ready."""
    w = World(EmbeddedCluster(buckets=()))
    w.cluster.add_bucket(BucketSettings("default"))
    w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=1)
    assert "it is being created, or warming up" in str(timed_out(w))


def test_web_port() -> None:
    """A web port that does not accept likewise."""
    w = World(web_seeds=(WEB,), bootstrap_on="http", config_node_timeout=5.0)
    w.serve_web()
    w.unanswering.add(WEB)
    assert f"the web port has not accepted so far: {FIREWALL}" in str(timed_out(w))


def test_a_record() -> None:
    """While the DNS SRV record is looked up, that is what is missing."""
    w = World(seeds=(Address("cb.example.com", 11210),), srv="_couchbase._tcp.cb.example.com")
    w.srv["_couchbase._tcp.cb.example.com"] = None
    error = timed_out(w)
    assert "_couchbase._tcp.cb.example.com" in str(error)
    assert isinstance(error.__cause__, SrvLookupError)
