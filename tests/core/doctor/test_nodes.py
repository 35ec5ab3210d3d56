"""The doctor without I/O: seeds, and the nodes that they tell of."""

from __future__ import annotations

from functools import partial

import pytest

from couchloop.doctor import (
    Close,
    Table,
    Task,
    Verdict,
)
from couchloop.doctor.probe import Probe
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.settings.values import Address
from tests.core.doctor.net import (
    Net,
    Silent,
    Talking,
    examine,
    step_of,
    two_nodes,
)


class TestSeedsAndNodes:
    """What one seed lacks another may have; a node that is missing is missed."""

    def test_one_good_seed_is_enough(self) -> None:
        """A seed that fails before one that works is no failure, but worth a look."""
        report, shown = examine(Net(), "couchbase://10.0.0.77,10.0.0.2/default")
        assert report.works
        assert [step.subject for step in report.warnings()] == ["10.0.0.77:11210"]
        assert "One point above deserves a look" in shown

    def test_an_unknown_name_among_seeds(self) -> None:
        """So is a name that does not exist, as long as another seed works."""
        report, _ = examine(Net(), "couchbase://nowhere.example,10.0.0.2/default")
        assert report.works
        assert step_of(report, "addresses").verdict is Verdict.FAILED

    def test_no_seed_is_good(self) -> None:
        """When all fail, the last words say of how many."""
        text = "couchbase://10.0.0.77,10.0.0.78/default"
        _, shown = examine(Net(), text, table=Table(width=100))
        assert "none of 2 hosts can be used: nothing can be reached at 10.0.0.77:11210" in shown

    def test_another_cluster(self) -> None:
        """A seed that belongs to another cluster is found out."""
        net, other = Net(), EmbeddedCluster(seed=1, clock=ManualClock())
        net.listening[Address("10.0.0.99", 11210)] = lambda: other.nodes[0].accept("here")
        report, _ = examine(net, "couchbase://10.0.0.1,10.0.0.99/default")
        assert "of another cluster" in step_of(report, "seed").cause

    def test_a_node_on_another_network(self) -> None:
        """A node that answers on another network only: that network is named, for it was tried."""
        net = Net()
        for number, node in enumerate(net.cluster.nodes, 1):
            net.cluster.set_alternate(node, f"192.0.2.{number}", {"kv": 3000 + number})
            accept = partial(node.accept, "here")
            net.listening[Address(f"192.0.2.{number}", 3000 + number)] = accept
            del net.listening[Address(f"10.0.0.{number}", 11210)]
        net.listening[Address("10.0.0.9", 11210)] = lambda: net.cluster.nodes[0].accept("here")
        text = "couchbase://10.0.0.9/default"
        report, shown = examine(net, f"{text}?network=default")
        assert not report.works
        assert "Add network=external" in step_of(report, "node").cure
        answers = {"network": "external", "address": "192.0.2.3:3003"}
        assert step_of(report, "node").details["answers"] == answers
        assert shown.count("Add network=external") == 1
        assert shown.count("as above") == 2
        assert "no data node can be used from here" in " ".join(shown.split())
        report, _ = examine(net, text)
        assert report.works
        assert step_of(report, "network").details["network"] == "external"

    def test_no_network_helps(self) -> None:
        """Networks that do not help either are named as tried."""
        net = Net(two_nodes())
        net.cluster.set_alternate(net.cluster.nodes[1], "192.0.2.2", {"kv": 3002})
        net.listening[Address("10.0.0.2", 11210)] = TimeoutError()
        report, _ = examine(net)
        assert "does not answer on network external either" in step_of(report, "node").cure

    def test_somebody_else_has_the_address(self) -> None:
        """Where a node's address is another machine's here, the network where it is is named."""
        net = Net(two_nodes())
        node = net.cluster.nodes[1]
        net.cluster.set_alternate(node, "192.0.2.2", {"kv": 3002})
        net.listening[Address("10.0.0.2", 11210)] = lambda: Talking(b"HTTP/1.1 400 Bad Request\r\n")
        net.listening[Address("192.0.2.2", 3002)] = lambda: Talking(b"220 mail\r\n")
        report, _ = examine(net)
        assert "does not answer on network external either" in step_of(report, "node").cure
        net.listening[Address("192.0.2.2", 3002)] = partial(node.accept, "here")
        report, _ = examine(net)
        assert "Add network=external" in step_of(report, "node").cure

    def test_no_node_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake of ours in a node's probe shows; the node is not silently missing."""

        def noop(_: Probe) -> Task[None]:
            raise ZeroDivisionError
            yield Close(0)

        monkeypatch.setattr(Probe, "noop", noop)
        with pytest.raises(ZeroDivisionError):
            examine(Net())

    def test_names_of_nodes(self) -> None:
        """A node that goes by a name is looked up, and found or not; the seed need not know it."""
        net = Net(two_nodes())
        net.names["b.example.com"] = ["10.0.0.2"]
        net.cluster.nodes[1].host = "b.example.com"
        net.cluster.changed()
        report, _ = examine(net)
        assert report.works
        assert step_of(report, "node").subject == "b.example.com:11210"
        del net.names["b.example.com"]
        report, _ = examine(net)
        assert step_of(report, "node").text == "address: b.example.com: unknown"
        assert not report.works

    def test_a_node_without_tls(self) -> None:
        """A data node that the map gives no TLS port is a failure, with the cure."""
        net = Net(two_nodes())
        del net.cluster.nodes[1].ports["kvSSL"]
        net.cluster.changed()
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        node = step_of(report, "node")
        assert (node.verdict, node.text) == (Verdict.FAILED, "no address")
        assert "TLS data port" in node.cause
        net.cluster.set_alternate(net.cluster.nodes[1], "192.0.2.2", {"kvSSL": 3002})
        report, _ = examine(net, "couchbases://10.0.0.1/default?network=default")
        assert "network=external" in step_of(report, "node").cure

    def test_no_tls_at_all(self) -> None:
        """A map without any TLS port is told where the network is chosen."""
        net = Net(two_nodes())
        for node in net.cluster.nodes:
            del node.ports["kvSSL"]
        net.cluster.changed()
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        assert "No node has a TLS data port" in step_of(report, "network").cause
        assert "couchbase://" in step_of(report, "network").cure
        assert not report.works

    def test_a_node_without_data(self) -> None:
        """A node without the data service is no failure."""
        net = Net()
        net.cluster.add_node("10.0.0.8", serves_data=False)
        report, _ = examine(net)
        assert step_of(report, "node").verdict is Verdict.SKIPPED
        assert report.works

    def test_what_is_passed_over(self) -> None:
        """A part of the configuration that is of no use, and that nobody needs, is a note."""
        net = Net(two_nodes())
        for node in net.cluster.nodes:
            node.ports["cbas"] = 0
        net.cluster.changed()
        report, _ = examine(net)
        assert report.works
        notes = step_of(report, "configuration").notes
        assert "Passed over: node 1 ('10.0.0.2') has 0 for the port of 'cbas'" in notes

    def test_a_node_that_refuses_the_user(self) -> None:
        """A node is examined to the end of its handshake: one that is silent there is found."""
        net = Net()
        net.listening[Address("10.0.0.3", 11210)] = Silent
        report, _ = examine(net)
        node = step_of(report, "node")
        assert node.text == "HELLO: no answer in time"
        assert node.details["failed"] == "hello"
        assert not report.works

    @pytest.mark.parametrize("scheme", ["couchbase", "couchbases"])
    def test_a_node_that_hangs(self, scheme: str) -> None:
        """A node of the map that takes connections and says nothing hangs: its port is right."""
        net = Net()
        net.listening[Address("10.0.0.3", 11210)] = Silent
        net.tls["10.0.0.3"] = TimeoutError()
        report, shown = examine(net, f"{scheme}://10.0.0.1/default")
        node = step_of(report, "node")
        assert node.cure.startswith("The node hangs or is overloaded: its port is the one that")
        assert "fail the node over" in " ".join(shown.split())
