"""Health of a Bucket over sockets: ping, diagnostics, waiting until ready; observers, reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    BucketAlreadyOpenError,
    ObjectDestroyedError,
    UnambiguousTimeoutError,
)
from couchloop.health import ClusterState, PingStatus, ServiceType
from couchloop.observation import (
    Completed,
    Ended,
    LateAnswer,
    NodeChange,
    NodeEvent,
    Started,
)
from tests.conformance.loops import LIMIT, Loop, cluster_of, login, opened, opened_at


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Its bucket, open."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


def statuses(report: Any, service: str = "kv") -> list[PingStatus]:
    """Return what a ping says of the nodes."""
    return sorted(entry["status"] for entry in report[service])


def test_ping(loop: Loop, bucket: Any) -> None:
    """Right after opening, it reports every node as answering."""
    report = loop.wait(bucket.ping())
    assert statuses(report) == [PingStatus.OK] * 3
    assert all(entry["latency"] >= 0 for entry in report["kv"])


def test_hung_node(loop: Loop, served: Any, bucket: Any) -> None:
    """A node that hangs is reported when its time is up; others go on meanwhile."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    served.cluster.hang(served.cluster.nodes[0])
    with loop.ticking() as ticker:
        asking = loop.start(bucket.ping, timeout=0.2)
        seen = ticker.ticks
        loop.until(lambda: ticker.ticks >= seen + 10)
        report = asking.outcome()
    assert statuses(report) == [PingStatus.OK, PingStatus.OK, PingStatus.TIMEOUT]


SERVICES = ("views", "n1ql", "fts", "analytics", "mgmt", "eventing")


def test_ping_services(loop: Loop, bucket: Any) -> None:
    """Each node of each service is asked: by SDK 2.5's names, and in the JSON by RFC 0061's."""
    report = loop.wait(bucket.ping())
    assert set(report) == {"kv", *SERVICES}
    for entries in report.values():
        assert [entry["status"] for entry in entries] == [PingStatus.OK] * 3
        assert all(entry["latency"] >= 0 for entry in entries)
    written = json.loads(report.as_json())["services"]
    assert set(written) == {"kv", "views", "query", "search", "analytics", "mgmt", "eventing"}
    assert {entry["state"] for entries in written.values() for entry in entries} == {"ok"}
    some = loop.wait(bucket.ping(services=["n1ql", ServiceType.SEARCH]))
    assert set(some) == {"n1ql", "fts"}
    with pytest.raises(ArgumentError, match=r"eventing.*n1ql"):
        loop.wait(bucket.ping(services=["telepathy"]))


def test_ping_from_a_thread(loop: Loop, bucket: Any) -> None:
    """A thread asks the same."""
    handle = bucket.threadsafe()
    report = loop.in_thread(lambda: handle.ping(services="query"))
    assert statuses(report, "n1ql") == [PingStatus.OK] * 3
    loop.in_thread(lambda: handle.wait_until_ready(LIMIT, services=["query"]))


def test_services_that_are_not_well(loop: Loop, served: Any, bucket: Any) -> None:
    """What is refused, not there, cut off or silent is in the report; nothing is raised."""
    cluster = served.cluster
    first = cluster.nodes[0]
    cluster.inject_http(service="n1ql", node=first, status=401)
    cluster.inject_http(service="fts", node=first, status=404)
    cluster.inject_http(service="cbas", node=first, close=True)
    cluster.inject_http(service="capi", node=first, delay=60.0)
    cluster.inject_http(service="mgmt", node=first, status=503)
    report = loop.wait(bucket.ping(timeout=0.5))
    expected = {
        "n1ql": (PingStatus.ERROR, "HTTP 401"),
        "fts": (PingStatus.ERROR, "HTTP 404"),
        "analytics": (PingStatus.ERROR, "answer"),
        "views": (PingStatus.TIMEOUT, "did not answer in time"),
        "mgmt": (PingStatus.ERROR, "HTTP 503"),
    }
    for service, (status, details) in expected.items():
        assert statuses(report, service) == [PingStatus.OK, PingStatus.OK, status]
        (entry,) = [entry for entry in report[service] if entry["status"] is status]
        assert entry["server"] == f"127.0.0.1:{first.ports[KEYS.get(service, service)]}"
        assert details in entry["details"]
    # Nothing is known of what this one should say.
    assert statuses(report, "eventing") == [PingStatus.OK] * 3


KEYS = {"analytics": "cbas", "views": "capi"}


def test_pooled_connections(loop: Loop, bucket: Any) -> None:
    """Connections to services are listed as long as they are kept, idle or busy."""
    assert set(bucket.diagnostics()["services"]) == {"kv"}
    loop.wait(bucket.ping(services=["query"]))
    (entry, *_) = bucket.diagnostics()["services"]["query"]
    assert (entry["state"], entry["details"]) == ("connected", "idle")
    assert entry["local"] != entry["remote"]
    assert set(bucket.diagnostics(version=1)["services"]) == {"kv", "n1ql"}
    loop.until(lambda: set(bucket.diagnostics()["services"]) == {"kv"})


def test_busy_connection(loop: Loop, served: Any) -> None:
    """Who asks a service is told of by the Cluster, and by Buckets that ask through the same."""
    cluster = cluster_of(loop, served)
    served.cluster.inject_http(service="n1ql", delay=60.0)
    with opened(loop, cluster) as bucket:
        asking = loop.start(cluster.http_request, "/admin/ping", service="query")

        def details() -> list[str]:
            services = cluster.diagnostics()["services"]
            assert len(services["kv"]) == 3
            return [entry["details"] for entry in services.get("query", ()) if "details" in entry]

        loop.until(lambda: details() == ["busy"])
        asking.cancel()
        loop.until(lambda: details() == [])
        assert cluster.diagnostics().state is bucket.cluster_state


def test_cluster(loop: Loop, served: Any) -> None:
    """A Cluster alone connects to each data node to ask it; then one connection is enough."""
    cluster = cluster_of(loop, served)
    assert cluster.diagnostics().state is ClusterState.OFFLINE
    loop.wait(cluster.wait_until_ready(LIMIT, services=["mgmt", "query"]))
    report = loop.wait(cluster.ping(timeout=LIMIT))
    assert set(report) == {"kv", *SERVICES}
    for service in report:
        assert statuses(report, service) == [PingStatus.OK] * 3
    assert "namespace" not in report["kv"][0]
    loop.until(lambda: len(connected(cluster)) == 1)
    found = cluster.diagnostics("mine")
    assert (found["id"], found.state) == ("mine", ClusterState.ONLINE)
    assert len(found["services"]["kv"]) == 3
    served.cluster.stop(served.cluster.nodes[0])
    report = loop.wait(cluster.ping(timeout=LIMIT, services=["kv"]))
    assert statuses(report) == [PingStatus.OK, PingStatus.OK, PingStatus.ERROR]
    with pytest.raises(UnambiguousTimeoutError, match="data service was degraded, not online"):
        loop.wait(cluster.wait_until_ready(0.3))
    served.cluster.restart(served.cluster.nodes[0])
    loop.wait(cluster.wait_until_ready(LIMIT))


def connected(cluster: Any) -> list[Any]:
    """Return what diagnostics say of data nodes that are connected."""
    entries = cluster.diagnostics()["services"]["kv"]
    return [entry for entry in entries if entry["state"] == "connected"]


def test_services_become_ready(loop: Loop, served: Any, bucket: Any) -> None:
    """Waiting ends when each node of the services is well, or one of each, or time is up."""
    cluster = served.cluster
    cluster.inject_http(service="n1ql", node=cluster.nodes[1], status=503, count=2)
    loop.wait(bucket.wait_until_ready(LIMIT, services=["query", "kv"]))
    away = cluster.inject_http(service="n1ql", node=cluster.nodes[1], status=503)
    loop.wait(bucket.wait_until_ready(LIMIT, ClusterState.DEGRADED, services=["query"]))
    with pytest.raises(UnambiguousTimeoutError, match="query service was degraded") as caught:
        loop.wait(bucket.wait_until_ready(0.5, services=["query"]))
    assert caught.value.context is not None
    ((server, why),) = caught.value.context.seeds
    assert server == f"127.0.0.1:{cluster.nodes[1].ports['n1ql']}"
    assert "HTTP 503" in str(why)
    away.remove()
    loop.wait(bucket.wait_until_ready(LIMIT, services=["query"]))


def test_no_such_service(loop: Loop) -> None:
    """A service that no node runs is in no report, and is waited for in vain."""
    embedded = loop.embedded(nodes=0)
    embedded.add_node(services=())
    embedded.rebalance()
    with loop.serving(embedded) as served, opened(loop, cluster_of(loop, served)) as bucket:
        assert set(loop.wait(bucket.ping())) == {"kv", "mgmt"}
        with pytest.raises(UnambiguousTimeoutError, match="search service was offline") as caught:
            loop.wait(bucket.wait_until_ready(0.3, services=["search"]))
    assert caught.value.context is not None
    assert [where for where, _ in caught.value.context.seeds] == ["search"]


def test_diagnostics(loop: Loop, served: Any, bucket: Any) -> None:
    """All nodes are connected once the Bucket is ready; to say so, nothing is written."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    before = dict(served.cluster.operations)
    report = bucket.diagnostics("mine")
    assert report["id"] == "mine"
    assert [entry["state"] for entry in report["services"]["kv"]] == ["connected"] * 3
    assert report.state is bucket.cluster_state is ClusterState.ONLINE
    assert dict(served.cluster.operations) == before


def test_own_ends(loop: Loop, served: Any, bucket: Any) -> None:
    """The local ends in diagnostics are those that the server sees."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    ends = {entry["local"] for entry in bucket.diagnostics()["services"]["kv"]}
    assert ends == {connection.peer for connection in served.cluster.connections()}


def test_not_ready(loop: Loop, served: Any, bucket: Any) -> None:
    """Waiting ends with what the node met that is away, or once it is back."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    node = served.cluster.nodes[1]
    served.cluster.stop(node)
    loop.until(lambda: bucket.cluster_state is ClusterState.DEGRADED)
    loop.wait(bucket.wait_until_ready(LIMIT, ClusterState.DEGRADED))
    with pytest.raises(UnambiguousTimeoutError) as caught:
        loop.wait(bucket.wait_until_ready(0.3))
    assert caught.value.context is not None
    assert len(caught.value.context.seeds) == 1
    served.cluster.restart(node)
    loop.wait(bucket.wait_until_ready(LIMIT))
    assert bucket.cluster_state is ClusterState.ONLINE


def test_offline(loop: Loop, bucket: Any) -> None:
    """Nobody waits for a cluster to be offline."""
    with pytest.raises(ArgumentError):
        loop.wait(bucket.wait_until_ready(1.0, ClusterState.OFFLINE))


def test_given_up(loop: Loop, served: Any, bucket: Any) -> None:
    """A caller that goes away leaves nothing of its ping behind."""
    loop.wait(bucket.wait_until_ready(LIMIT))
    served.cluster.hang(served.cluster.nodes[0])
    asking = loop.start(bucket.ping, timeout=60.0)
    session = bucket._driver.session
    loop.until(lambda: session.in_flight)
    asking.cancel()
    loop.until(lambda: session.in_flight == 0)


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.places: list[tuple[str | None, str | None]] = []

    def completed(self, operation: Completed, /) -> None:
        self.names.append(operation.name)
        self.places.append((operation.scope, operation.collection))

    def answered_late(self, answer: LateAnswer, /) -> None:
        raise AssertionError(f"nothing is late: {answer}")


def test_observer(loop: Loop, served: Any) -> None:
    """An observer that is given to the Bucket hears of its operations."""
    notes = Notes()
    served.cluster.create_collection("default", "zoo.birds")
    with opened_at(loop, f"{served.connection_string}/default", observer=notes) as bucket:
        loop.wait(bucket.upsert("k", 1))
        loop.wait(bucket.get("k"))
        loop.wait(bucket.scope("zoo").collection("birds").upsert("k", 1))
    assert notes.names == ["upsert", "get", "upsert"]
    assert notes.places == [(None, None), (None, None), ("zoo", "birds")]


CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Calls:
    """An observer of calls and nodes that only takes note of the caller's context."""

    def __init__(self) -> None:
        self.over: list[tuple[str, str]] = []
        self.nodes: list[NodeChange] = []

    def started(self, call: Started, /) -> str:
        return CALLER.get()

    def ended(self, call: Ended, begun: str, /) -> None:
        self.over.append((call.call.name, begun))

    def node_changed(self, event: NodeEvent, /) -> None:
        self.nodes.append(event.change)


def test_observers_of_callers(loop: Loop, served: Any) -> None:
    """Callers observe one Bucket, each by himself; it is no other Bucket for that."""
    one, other, notes = Calls(), Calls(), Notes()
    place = f"{served.connection_string}/default"
    with opened_at(loop, place) as bucket:
        token = CALLER.set("one")
        bucket.add_observer(one)
        loop.wait(bucket.upsert("k", 1))
        CALLER.reset(token)
        assert loop.bucket(place, **login()) is bucket
        bucket.add_observer(other)
        bucket.add_observer(notes)
        loop.wait(bucket.get_multi(["k"]))
        bucket.remove_observer(one)
        loop.wait(bucket.get("k"))
        with pytest.raises(ArgumentError, match="none of them"):
            bucket.add_observer(object())
    assert one.over == [("upsert", "one"), ("get_multi", "nobody")]
    assert other.over == [("get_multi", "nobody"), ("get", "nobody")]
    assert notes.names == ["get", "get"]
    assert set(other.nodes) == {NodeChange.CONNECTED, NodeChange.CLOSED}
    assert other.nodes.count(NodeChange.CONNECTED) == other.nodes.count(NodeChange.CLOSED)
    with pytest.raises(ObjectDestroyedError):
        bucket.add_observer(one)


def test_observer_of_calls(loop: Loop, served: Any) -> None:
    """An observer that is given to the Bucket may be one of calls and nodes."""
    calls = Calls()
    with opened_at(loop, f"{served.connection_string}/default", observer=calls) as bucket:
        loop.wait(bucket.wait_until_ready(LIMIT))
        loop.wait(bucket.upsert("k", 1))
        with pytest.raises(BucketAlreadyOpenError, match="observer"):
            loop.bucket(f"{served.connection_string}/default", observer=Calls(), **login())
    assert calls.over[-1] == ("upsert", "nobody")
    assert calls.nodes == [NodeChange.CONNECTED] * 3 + [NodeChange.CLOSED] * 3
    with pytest.raises(ArgumentError, match="observer"):
        loop.bucket(f"{served.connection_string}/default", observer=object(), **login())


def test_reports(loop: Loop, served: Any) -> None:
    """Slow operations go to the adapter's log as JSON, at the latest when the Bucket closes."""
    options = "enable_tracing=on&tracing_threshold_kv=0.000001"
    start = "Operations over threshold: "
    with loop.log() as lines:
        with opened_at(loop, f"{served.connection_string}/default?{options}") as bucket:
            loop.wait(bucket.upsert("k", 1))
        loop.until(lambda: [line for line in lines if line.startswith(start)])
    (line,) = [line for line in lines if line.startswith(start)]
    report = json.loads(line.removeprefix(start))
    assert report["kv"]["total_count"] == 1
    assert report["kv"]["top_requests"][0]["operation_name"] == "upsert"


def test_reports_by_attribute(loop: Loop, served: Any) -> None:
    """From when on an operation is slow can be set on the Bucket, by SDK 2.5's attribute."""
    start = "Operations over threshold: "
    with loop.log() as lines:
        text = f"{served.connection_string}/default?enable_tracing=on"
        with opened_at(loop, text) as bucket:
            loop.wait(bucket.upsert("k", 1))
            assert bucket.tracing_threshold_kv == 0.5
            bucket.tracing_threshold_kv = 0
            bucket.TRACING_THRESHOLD_QUEUE_SIZE = 3
            loop.wait(bucket.get("k"))
        loop.until(lambda: [line for line in lines if line.startswith(start)])
    (line,) = [line for line in lines if line.startswith(start)]
    report = json.loads(line.removeprefix(start))
    assert [each["operation_name"] for each in report["kv"]["top_requests"]] == ["get"]
