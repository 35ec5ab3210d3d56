"""Where the seeds come from, and what is said when none would have us, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    BootstrapTimeoutError,
    CouchbaseError,
    FeatureNotAvailableError,
    NodeUnreachableError,
    SrvLookupError,
)
from couchloop.operations import document as ops
from couchloop.session.events import LogRecord
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from tests.core.world import WebPort, World

NAME = "_couchbase._tcp.example.test"
NOWHERE = Address("example.test", 11210)


def by_srv(answer: Any, **settings: Any) -> World:
    """Return a world whose seed is a name that DNS says *answer* of."""
    w = World(**{"seeds": (NOWHERE,), "srv": NAME, **settings})
    w.srv[NAME] = answer
    return w


def failure(w: World, seconds: float = 10.0) -> CouchbaseError:
    """Open, and give what it failed with."""
    w.session.start(w.now)
    w.advance(seconds)
    assert w.session.state is SessionState.FAILED
    assert not w.opened
    w.assert_idle()
    return w.session.failure()


def levels(w: World, text: str) -> list[str]:
    """Return the levels of the log lines that hold *text*."""
    lines = [event for event in w.events if isinstance(event, LogRecord)]
    return [line.level for line in lines if text in line.text.format(**line.fields)]


class TestSrv:
    """A DNS SRV record takes the place of the seeds."""

    def test_record(self) -> None:
        """The addresses of the record are tried in its order, the name itself is not."""
        w = by_srv(None)
        first, second, third = w.nodes
        w.srv[NAME] = [third, first, second]
        w.unreachable.add(third)
        w.open()
        assert w.lookups == [(0.0, NAME)]
        assert [address for _, address in w.attempts[:2]] == [third, first]
        assert NOWHERE not in [address for _, address in w.attempts]
        assert any(f"{NAME} names {third}, {first}, {second}" in line for line in w.logs)

    @pytest.mark.parametrize("answer", [[], SrvLookupError("no name server answered")])
    def test_no_record(self, answer: Any) -> None:
        """Without a record, or without an answer, the host is an ordinary one; INFO says so."""
        w = by_srv(answer)
        w.nodes[NOWHERE] = w.cluster.nodes[0]
        w.open()
        assert w.attempts[0][1] == NOWHERE
        assert levels(w, "trying example.test:11210") == ["info"]

    def test_no_dns_client(self) -> None:
        """That no DNS client is installed concerns only those who want a record: DEBUG says so."""
        w = by_srv(FeatureNotAvailableError("pip install 'couchloop[srv]'"))
        w.nodes[NOWHERE] = w.cluster.nodes[0]
        w.open()
        assert levels(w, "couchloop[srv]") == ["debug"]
        required = by_srv(FeatureNotAvailableError("pip install 'couchloop[srv]'"))
        required.session.shared.settings = replace(required.session.settings, srv_required=True)
        error = failure(required)
        assert type(error) is FeatureNotAvailableError
        assert "couchloop[srv]" in str(error)

    @pytest.mark.parametrize("answer", [[], SrvLookupError("no name server answered")])
    def test_required(self, answer: Any) -> None:
        """Under couchbase+dnssrv:// nothing but the record will do; the error names it."""
        w = by_srv(answer, srv_required=True)
        w.nodes[NOWHERE] = w.cluster.nodes[0]
        error = failure(w, 0.0)
        assert isinstance(error, SrvLookupError)
        assert w.attempts == []
        assert "no name server" in str(error) or NAME in str(error)

    def test_silence(self) -> None:
        """The lookup has resolve_timeout; then the host is tried as an ordinary one."""
        w = by_srv(None, resolve_timeout=0.5)
        w.nodes[NOWHERE] = w.cluster.nodes[0]
        w.session.start(w.now)
        w.advance(0.45)
        assert not w.session.is_open
        w.advance(0.1)
        assert w.session.is_open
        assert any("not found within 0.5 s (resolve_timeout)" in line for line in w.logs)

    def test_total_time(self) -> None:
        """The lookup counts for config_total_timeout; the error says what took so long."""
        w = by_srv(None, resolve_timeout=60.0, config_total_timeout=1.0)
        error = failure(w, 1.0)
        assert type(error) is BootstrapTimeoutError
        assert f"record {NAME} was not found within 1 s (config_total_timeout)" in str(error)

    def test_late_answers(self) -> None:
        """An answer that comes when nobody waits for it any more changes nothing."""
        w = by_srv(None, resolve_timeout=0.5)
        w.nodes[NOWHERE] = w.cluster.nodes[0]
        w.session.srv_resolved([NOWHERE], w.now)
        w.session.start(w.now)
        w.advance(0.5)
        w.session.srv_resolved(list(w.nodes), w.now)
        w.session.srv_failed(OSError("late"), w.now)
        w.settle()
        assert w.session.state is SessionState.OPEN
        w.session.close(w.now)
        w.session.srv_resolved(list(w.nodes), w.now)
        w.settle()
        assert not w.opened

    def test_closed_meanwhile(self) -> None:
        """A session that is closed while it waits for DNS waits no more."""
        w = by_srv(None)
        w.session.start(w.now)
        w.settle()
        w.session.close(w.now)
        assert w.session.next_deadline() is None

    def test_again_after_failure(self) -> None:
        """Each attempt to open looks the record up anew."""
        w = by_srv([Address("127.0.0.1", 9)])
        error = failure(w, 0.0)
        assert type(error) is NodeUnreachableError
        w.srv[NAME] = list(w.nodes)
        w.open()
        assert len(w.lookups) == 2

    def test_all_nodes_lost(self) -> None:
        """When all nodes are lost the record is looked up again, and leads to where they went."""
        w = by_srv(None)
        addresses = list(w.nodes)
        w.srv[NAME] = addresses[:2]
        w.open()
        w.advance(10.0)
        assert len(w.lookups) == 1
        moved = {Address(f"10.0.0.{n}", 11210): node for n, node in enumerate(w.cluster.nodes)}
        for node in w.cluster.nodes:
            node.host = f"10.0.0.{node.node_id}"
            node.ports["kv"] = 11210
        w.unreachable.update(addresses)
        w.nodes.update(moved)
        for number in list(w.links):
            w.lose(number)
        # Not in DNS yet.
        w.advance(5.0)
        lookups = [when for when, _ in w.lookups[1:]]
        assert lookups
        assert all(after - before >= 1.0 for before, after in pairwise(lookups))
        w.cluster.changed()
        w.srv[NAME] = list(moved)
        w.advance(5.0)
        assert set(w.session.addresses) == set(moved)
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_another_cluster(self) -> None:
        """A record that leads to another cluster is followed, however young that cluster is."""
        w = by_srv(None)
        addresses = list(w.nodes)
        w.srv[NAME] = addresses
        for _ in range(5):
            w.cluster.bump()
        w.open()
        other = EmbeddedCluster(clock=w.clock, seed=99)
        there = []
        for number, node in enumerate(other.nodes):
            node.ports["kv"] = 20_000 + number
            there.append(Address("127.0.0.1", 20_000 + number))
            w.nodes[there[-1]] = node
        other.changed()
        assert other.rev < w.cluster.rev
        w.unreachable.update(addresses)
        for number in list(w.links):
            w.lose(number)
        w.srv[NAME] = there
        w.advance(6.0)
        assert set(w.session.addresses) == set(there)
        assert any("deleted and made anew" in line for line in w.logs)

    def test_nothing_new(self) -> None:
        """A record that names the nodes that are known adds no connection to theirs."""
        w = by_srv(None)
        w.srv[NAME] = list(w.nodes)
        w.open()
        w.unreachable.update(w.nodes)
        for number in list(w.links):
            w.lose(number)
        w.advance(5.0)
        assert len(w.lookups) > 1
        assert w.session.state is SessionState.OPEN
        w.unreachable.clear()
        w.advance(3.0)
        w.do(ops.upsert(w.defaults, "k", 1))


class TestErrors:
    """What is said when nobody gives a configuration."""

    def said(self, w: World, seconds: float = 10.0) -> str:
        """Open, and give the error as its text, with its class in front."""
        error = failure(w, seconds)
        return f"{type(error).__name__}: {error}"

    def test_one_seed(self) -> None:
        """Of one seed its own error is the error."""
        w = World(seeds=(Address("127.0.0.1", 8),))
        text = "NodeUnreachableError: nothing at 127.0.0.1:8 (bucket 'default', node 127.0.0.1:8)"
        assert self.said(w) == text

    def test_many_seeds(self) -> None:
        """Of many the failure of each is told, and how many there were."""
        w = World(seeds=tuple(Address("127.0.0.1", port) for port in (7, 8, 9)))
        w.unanswering.add(Address("127.0.0.1", 8))
        assert self.said(w) == (
            "NodeUnreachableError: none of 3 seeds gave a configuration of bucket 'default' "
            "(bucket 'default', at 127.0.0.1:7: NodeUnreachableError: nothing at 127.0.0.1:7, "
            "at 127.0.0.1:8: NodeTimeoutError: the node did not accept within 2 s "
            "(config_node_timeout): a firewall may drop what is sent there: `python -m couchloop "
            "doctor` tells how far one comes, at 127.0.0.1:9: NodeUnreachableError: nothing at "
            "127.0.0.1:9)"
        )

    def test_same_failure(self) -> None:
        """What is the same at several seeds is said once."""
        w = World(bucket="beer")
        assert self.said(w) == (
            "BucketNotFoundError: there is no bucket 'beer' on this node (bucket 'beer', status "
            "0x01, at 127.0.0.1:10000, 127.0.0.1:10001, 127.0.0.1:10002: BucketNotFoundError)"
        )

    def test_srv_and_http(self) -> None:
        """Seeds of an SRV record and web ports stand in one list, each by how it was asked."""
        gone = Address("127.0.0.1", 11207)
        w = by_srv([Address("127.0.0.1", 9), gone], tls=True)
        w.nodes[Address("127.0.0.1", 18091)] = WebPort(w.cluster.nodes[0])
        w.session.renew(replace(w.session.settings, login=Login("user", "not-it")))
        assert self.said(w) == (
            "AuthError: the server refused user 'user' (HTTP 401): check the user name and the "
            "password, and that the user exists on this cluster (bucket 'default', "
            "at 127.0.0.1:9: NodeUnreachableError: nothing at 127.0.0.1:9, "
            "at 127.0.0.1:11207: NodeUnreachableError: nothing at 127.0.0.1:11207, "
            "at https://127.0.0.1:18091: AuthError)"
        )

    def test_all_of_a_record(self) -> None:
        """Where all seeds came from an SRV record, the error names it."""
        w = by_srv([Address("127.0.0.1", 8), Address("127.0.0.1", 9)])
        text = f"NodeUnreachableError: none of 2 seeds (by {NAME}) gave a configuration of bucket"
        assert self.said(w).startswith(text)

    def test_dns_fails(self) -> None:
        """That DNS was of no help is told where the host itself is not reached either."""
        w = by_srv(SrvLookupError("no name server answered"))
        assert self.said(w) == (
            "NodeUnreachableError: nothing at example.test:11210 (bucket 'default', "
            f"at {NAME}: SrvLookupError: no name server answered, "
            "at example.test:11210: NodeUnreachableError)"
        )

    def test_no_record(self) -> None:
        """That there is no record is nothing to tell: most hosts have none."""
        assert NAME not in self.said(by_srv([]))
        text = (
            f"NoSrvRecordError: there is no DNS SRV record {NAME}: create it, or use couchbase://"
        )
        assert self.said(by_srv([], srv_required=True)).startswith(text)
