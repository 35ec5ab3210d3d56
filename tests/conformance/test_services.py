"""HTTP services over sockets, on either loop, against the embedded cluster's web ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import CertAuthenticator, PasswordAuthenticator
from couchloop.embedded import User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    HTTPError,
    ObjectDestroyedError,
    ServiceNotAvailableError,
    TlsError,
)
from couchloop.transcoder import FMT_BYTES
from couchloop.wire import Opcode, Status
from tests.certificates import Certificates
from tests.conformance.loops import Loop, cluster_at, cluster_of, open_bucket
from tests.conformance.test_cycles import done, nothing_left

NODES = "/pools/default/nodeServices"


def data_connections(served: Any) -> int:
    """Count the connections to data ports."""
    return sum(len(node.connections) for node in served.cluster.nodes)


def web_connections(served: Any) -> int:
    """Count those to web ports."""
    return sum(len(node.http_connections) for node in served.cluster.nodes)


def gone(loop: Loop, served: Any) -> None:
    """Wait until nothing of ours is connected, as it is when nobody refers to it any more."""
    loop.until(lambda: not web_connections(served) + data_connections(served))


def test_cluster_alone(loop: Loop) -> None:
    """A Cluster without a Bucket looks for the cluster by itself, over one data connection."""
    with loop.serving() as served:
        cluster = cluster_of(loop, served)
        nodes = len(served.cluster.nodes)
        asked = set()
        for _ in range(2 * nodes):
            result = loop.wait(cluster.http_request(NODES))
            assert (result.success, result.http_status) == (True, 200)
            assert len(result.value["nodesExt"]) == nodes
            asked.add(result.node)
        # In turn, each over a connection that is kept.
        assert len(asked) == web_connections(served) == nodes
        assert data_connections(served) == 1
        del cluster
        gone(loop, served)


def test_topology_of_a_bucket(loop: Loop) -> None:
    """With an open Bucket nobody else looks for the cluster; what it learns counts at once."""
    with loop.serving() as served:
        cluster = cluster_of(loop, served)
        bucket = open_bucket(loop, cluster)
        loop.until(lambda: data_connections(served) == len(served.cluster.nodes))
        first = loop.wait(cluster.http_request(NODES)).node
        assert data_connections(served) == len(served.cluster.nodes)
        served.cluster.add_node()
        served.cluster.rebalance()
        loop.until(lambda: len(bucket.server_nodes) == len(served.cluster.nodes))
        asked = {loop.wait(cluster.http_request(NODES)).node for _ in served.cluster.nodes}
        assert len(asked | {first}) == len(served.cluster.nodes)
        loop.wait(bucket.close())
        # The Bucket has asked nothing: the Cluster still does, and finds the cluster by itself.
        loop.wait(cluster.http_request(NODES))
        assert data_connections(served) == 1
        del cluster
        gone(loop, served)


def test_one_for_all(loop: Loop) -> None:
    """Buckets and Clusters of one user share the services; another user has others."""
    with loop.serving() as served:
        one, two = cluster_of(loop, served), cluster_of(loop, served)
        bucket = open_bucket(loop, one)
        assert one._ask_services() is two._ask_services() is bucket._ask_services()
        loop.wait(one.http_request(NODES))
        del one, two
        # The last one holds them, and waits for their end.
        assert web_connections(served) == 1
        loop.wait(bucket.close())
        with pytest.raises(ObjectDestroyedError, match="bucket 'default' is closed"):
            bucket._ask_services()
        gone(loop, served)


def test_tls(loop: Loop, tmp_path: Path) -> None:
    """With TLS services are asked on their TLS ports, verified as data ports are."""
    certificates = Certificates(tmp_path)
    with loop.serving(tls=certificates.server(clients=True)) as served:
        text = served.connection_string_tls
        cluster = cluster_at(loop, f"{text}?certpath={certificates.ca}")
        result = loop.wait(cluster.http_request(NODES))
        ports = {node.ports["mgmtSSL"] for node in served.cluster.nodes}
        assert int(result.node.rpartition(":")[2]) in ports
        with pytest.raises(TlsError):
            loop.wait(cluster_at(loop, text).http_request(NODES))
        # Who connects is told by a certificate, and by nothing else.
        cert, key = certificates.client()
        by_certificate = loop.cluster(text)
        by_certificate.authenticate(CertAuthenticator(cert, key, certificates.ca))
        assert loop.wait(by_certificate.http_request(NODES)).success
        del cluster, by_certificate
        gone(loop, served)


def test_servers_before_65(loop: Loop) -> None:
    """Where data nodes know of buckets alone, a web port tells where services are."""
    with loop.serving() as served:
        asked = served.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=Status.NO_BUCKET)
        ports = served.cluster.nodes[0].ports
        hosts = f"127.0.0.1:{ports['kv']}=mcd,127.0.0.1:{ports['mgmt']}=http"
        cluster = cluster_at(loop, f"couchbase://{hosts}")
        assert {loop.wait(cluster.http_request(NODES)).node for _ in range(3)} == {
            f"127.0.0.1:{node.ports['mgmt']}" for node in served.cluster.nodes
        }
        assert asked.hits
        del cluster
        gone(loop, served)


def test_new_credentials(loop: Loop) -> None:
    """Credentials that are replaced count for the next request, also of the Buckets."""
    with loop.serving() as served:
        cluster = cluster_of(loop, served)
        bucket = open_bucket(loop, cluster)
        services = cluster._ask_services()
        assert bucket._ask_services() is services
        loop.wait(cluster.http_request(NODES))
        served.cluster.users.put(User("user", "renewed"))
        with pytest.raises(AuthError):
            loop.wait(cluster.http_request(NODES))
        cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
        assert loop.wait(cluster.http_request(NODES)).success
        # All who ask there have them now.
        assert cluster._ask_services() is bucket._ask_services() is services
        loop.wait(bucket.close())
        del cluster, bucket, services
        gone(loop, served)


def test_credentials_of_others(loop: Loop) -> None:
    """Who has other credentials now asks elsewhere; the others go on with the old ones."""
    with loop.serving() as served:
        served.cluster.users.put(User("second", "password"))
        one, two = cluster_of(loop, served), cluster_of(loop, served)
        services = one._ask_services()
        assert two._ask_services() is services
        one.set_authenticator(PasswordAuthenticator("second", "password"))
        assert one._ask_services() is not services
        assert two._ask_services() is services
        assert services._driver.session.settings.login.username == "user"
        for each in (one, two):
            assert loop.wait(each.http_request(NODES)).success
        del each, one, two, services
        gone(loop, served)


def test_request_outlives_login(loop: Loop) -> None:
    """A request that is under way when its Cluster gets other credentials ends as it would have."""
    with loop.serving() as served:
        served.cluster.users.put(User("second", "password"))
        one, two = cluster_of(loop, served), cluster_of(loop, served)
        assert one._ask_services() is two._ask_services()
        fault = served.cluster.inject_http(path="/pools/default/buckets", delay=0.2)
        started = loop.start(one.http_request, "/pools/default/buckets")
        loop.until(lambda: fault.hits)
        one.set_authenticator(PasswordAuthenticator("second", "password"))
        del two
        # Its Cluster has other services from here on.
        assert loop.wait(one.http_request(NODES)).success
        assert not started.done
        assert started.outcome().success
        del started, one
        gone(loop, served)


def test_no_circles(loop: Loop) -> None:
    """Nothing of requests, answers and errors waits for the garbage collector."""
    with loop.serving() as served, nothing_left():
        cluster = cluster_of(loop, served)
        wrong = cluster_of(loop, served, password="wrong")
        for _ in range(2):
            done(loop, lambda: cluster.http_request(NODES))
            done(loop, lambda: cluster.http_request("/no/such/path"))
            done(loop, lambda: cluster.http_request(NODES, timeout=1e-9))
            done(loop, lambda: wrong.http_request(NODES))
        cluster = wrong = None
        gone(loop, served)


def test_refusals(loop: Loop) -> None:
    """What a service refuses is told by the status; what nobody serves names what there is."""
    embedded = loop.embedded(nodes=0)
    embedded.add_node(services=())
    with loop.serving(embedded) as served:
        cluster = cluster_of(loop, served)
        with pytest.raises(HTTPError) as raised:
            loop.wait(cluster.http_request("/no/such/path"))
        assert raised.value.result.http_status == 404
        assert not raised.value.result.success
        del raised
        assert loop.wait(cluster.http_request(NODES, response_format=FMT_BYTES)).value[:1] == b"{"
        wrong = cluster_of(loop, served, password="wrong")
        with pytest.raises(AuthError):
            loop.wait(wrong.http_request(NODES))
        with pytest.raises(ServiceNotAvailableError, match="the cluster has management"):
            loop.wait(cluster.http_request("/", service="eventing"))
        with pytest.raises(ArgumentError, match="the service is one of"):
            loop.wait(cluster.http_request("/", service="n1ql"))
        with pytest.raises(ArgumentError, match="authenticate"):
            loop.wait(loop.cluster(served.connection_string).http_request("/"))
        del cluster, wrong
        gone(loop, served)
