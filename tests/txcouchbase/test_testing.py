"""The test doubles that users get: the module's own examples, and what memory does."""

from __future__ import annotations

import inspect
import textwrap
import unittest
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import FeatureNotAvailableError, UnambiguousTimeoutError
from couchloop.settings.values import Address
from tests.txcouchbase.support import Memory, error_of, outcome
from txcouchbase import testing
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

_NAMES = {
    "Bucket": Bucket,
    "Cluster": Cluster,
    "PasswordAuthenticator": PasswordAuthenticator,
    "MemoryCluster": testing.MemoryCluster,
    "serve": testing.serve,
    "SynchronousTestCase": SynchronousTestCase,
}


def _examples() -> list[str]:
    """Return the programs in the module's docstring."""
    assert testing.__doc__ is not None
    programs = []
    for part in testing.__doc__.split("::\n\n")[1:]:
        lines: list[str] = []
        for line in part.splitlines():
            if line and not line.startswith("    "):
                break
            lines.append(line)
        programs.append(textwrap.dedent("\n".join(lines)))
    return programs


def test_example_for_trial() -> None:
    """The documented test for trial passes, and fails when what it asserts is not so."""
    program = _examples()[0]
    for changed, successful in (
        (program, True),
        (program.replace('value, "hello"', 'value, "?"'), False),
    ):
        names: dict[str, Any] = dict(_NAMES)
        exec(changed, names)  # noqa: S102 - it is our own docstring
        result = unittest.TestResult()
        names["GreetingTests"]("test_greeting").run(result)
        assert result.testsRun == 1
        assert result.wasSuccessful() is successful


async def test_examples_for_pytest() -> None:
    """The documented tests for pytest-twisted pass on the reactor that runs."""
    programs = _examples()[1:]
    assert len(programs) == 2
    for program in programs:
        names: dict[str, Any] = dict(_NAMES)
        exec(program, names)  # noqa: S102 - it is our own docstring
        await Deferred.fromCoroutine(names["test_greeting"]())


class _Recorder(Protocol):
    def __init__(self) -> None:
        self.ends: list[object] = []

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason.type)


class MemoryClusterTests(SynchronousTestCase):
    """Connections without sockets."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.address = Address("127.0.0.1", 11210)

    def connect(self) -> Any:
        """Return a Protocol that is connected to the first node."""
        endpoint = self.memory.endpoint_factory(None, self.address, tls=False)
        connecting = endpoint.connect(Factory.forProtocol(_Recorder))
        assert not connecting.called, "as on a socket, not at once"
        return self.memory.result(connecting)

    def test_interfaces(self) -> None:
        """Endpoints and transports are what Twisted's interfaces say."""
        endpoint = self.memory.endpoint_factory(None, self.address, tls=False)
        assert verifyObject(IStreamClientEndpoint, endpoint)
        protocol = self.connect()
        assert verifyObject(ITransport, protocol.transport)
        assert protocol.transport.getPeer().port == 11210
        assert protocol.transport.getHost() != protocol.transport.getPeer()

    def test_refused(self) -> None:
        """Where no node listens, or it is stopped, the connection is refused."""
        nowhere = self.memory.endpoint_factory(None, Address("127.0.0.1", 1), tls=False)
        refused = nowhere.connect(Factory.forProtocol(_Recorder))
        assert isinstance(self.memory.error(refused), RefusedError)
        self.memory.cluster.stop(self.memory.cluster.nodes[0])
        endpoint = self.memory.endpoint_factory(None, self.address, tls=False)
        refused = endpoint.connect(Factory.forProtocol(_Recorder))
        assert isinstance(self.memory.error(refused), RefusedError)

    def test_cancelled_attempt(self) -> None:
        """An attempt that is cancelled reaches no node."""
        endpoint = self.memory.endpoint_factory(None, self.address, tls=False)
        attempt = endpoint.connect(Factory.forProtocol(_Recorder))
        attempt.cancel()
        assert outcome(attempt)
        self.memory.reactor.advance(0)
        assert self.memory.cluster.accepted == 0

    def test_no_tls(self) -> None:
        """TLS is refused, with the cure."""
        with pytest.raises(FeatureNotAvailableError, match="serve"):
            self.memory.endpoint_factory(None, self.address, tls=True)

    def test_ends(self) -> None:
        """However a connection ends, the Protocol hears it once, and the node forgets it."""
        for end in (
            lambda protocol: protocol.transport.loseConnection(),
            lambda protocol: protocol.transport.abortConnection(),
            lambda _: self.memory.cluster.drop_connections(),
            lambda protocol: protocol.transport.write(b"not the protocol" * 4),
        ):
            with self.subTest(end=inspect.getsource(end)):
                protocol = self.connect()
                assert len(self.memory.cluster.connections()) == 1
                end(protocol)
                assert not protocol.ends
                self.memory.reactor.advance(0)
                assert len(protocol.ends) == 1
                assert self.memory.idle
                protocol.transport.loseConnection()
                protocol.transport.write(b"late")
                assert self.memory.idle

    def test_cluster_of_ones_own(self) -> None:
        """Nodes that join later are reached too, and the cluster's time is the reactor's."""
        memory = Memory(EmbeddedCluster(nodes=1, buckets=("mine",), users={"user": "password"}))
        bucket = memory.open("mine")
        memory.result(bucket.upsert("k", 1, ttl=10))
        assert len(bucket.server_nodes) == 1
        memory.cluster.add_node()
        memory.cluster.rebalance()
        keys = [f"k{n}" for n in range(20)]
        memory.result(bucket.upsert_multi(dict.fromkeys(keys, 1)))
        assert len(bucket.server_nodes) == 2
        assert len(memory.cluster.connections()) == 2
        memory.reactor.advance(11)
        assert not memory.result(bucket.get("k", quiet=True)).success

    def test_shut_down(self) -> None:
        """shut_down() ends every connection and refuses new ones."""
        bucket = self.memory.open()
        self.memory.result(bucket.connect())
        self.memory.shut_down()
        self.memory.reactor.advance(0)
        assert not self.memory.cluster.connections()
        waiting = bucket.get("k", timeout=1)
        self.memory.reactor.pump([0.1] * 11)
        assert isinstance(error_of(waiting), UnambiguousTimeoutError)
        self.memory.result(bucket.close())
        assert self.memory.idle
