"""The session of a cluster, which has no bucket: it learns of nodes, and asks their services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from couchloop.exceptions import (
    AuthError,
    ConnectionLostError,
    NotDataNodeError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.http.service import Service, ServiceRequest
from couchloop.management.http_request import http_request
from couchloop.operations.procedure import Procedure, Steps, Together
from couchloop.session.health import wait_until_ready
from couchloop.session.ping import ping
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from couchloop.wire.constants import Opcode, Status
from tests.core.session.bootstrap.web import DATA, WEB
from tests.core.world import FIRST_PORT, World

NODES = "/pools/default/nodeServices"
GET = ServiceRequest(Service.MANAGEMENT, "GET", NODES, is_idempotent=True)


def cluster_world(**settings: Any) -> World:
    """Return a world of a cluster's session that opens at its first use, as a client's does."""
    world = World(bucket="", **{"seeds": (DATA,), **settings})
    world.serve_web()
    world.session.opening.lazy = True
    return world


def data_connections(world: World) -> list[Address]:
    """Return to which data ports there are connections."""
    return [where for where in world.opened.values() if where.port < FIRST_PORT + 100]


def test_opens_at_first_use() -> None:
    """The first request has the cluster looked for; one connection is enough to know it."""
    w = cluster_world()
    w.settle()
    assert w.opened == {}
    result = w.do(http_request(w.defaults, NODES))
    assert result.http_status == 200
    assert data_connections(w) == [DATA]
    # Requests go round.
    asked = {w.do(http_request(w.defaults, NODES)).node for _ in range(2)} | {result.node}
    assert len(asked) == 3
    assert data_connections(w) == [DATA]
    # Idle connections end; that which learns of the nodes stays.
    w.advance(2.0)
    assert list(w.opened.values()) == [DATA]


def test_together() -> None:
    """Several requests at once are one step; each has its own outcome."""
    w = cluster_world()
    missing = replace(GET, path="/no/such/path")

    def steps() -> Steps[Any]:
        return (yield Together((GET, missing, GET)))

    found = w.do(Procedure("all", w.defaults, None, 10.0, steps()))
    assert [answer.status for answer in found] == [200, 404, 200]


def test_another_node() -> None:
    """Where the one connection is lost another node is asked; so is one where its node has left."""
    w = cluster_world()
    w.do(http_request(w.defaults, NODES))
    (number,) = [each for each, where in w.opened.items() if where == DATA]
    w.unreachable.add(DATA)
    w.links.pop(number).connection_lost()
    w.opened.pop(number)
    w.session.connection_lost(number, ConnectionLostError("gone"), w.now)
    w.advance(1.0)
    (second,) = data_connections(w)
    assert second != DATA
    # What is known goes on to be known.
    w.cluster.remove_node(w.nodes[second])
    w.advance(3.0)
    (third,) = data_connections(w)
    assert third not in {DATA, second}
    assert len(w.session.addresses) == 2


def test_servers_before_65() -> None:
    """Data nodes that know of buckets alone are asked once each; web ports tell of the cluster."""
    w = cluster_world(web_seeds=(WEB,))
    asked = w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=Status.NO_BUCKET)
    assert w.do(http_request(w.defaults, NODES)).http_status == 200
    w.advance(10.0)
    # The seed, and then each node that the configuration lists.
    assert asked.hits == 1 + len(w.cluster.nodes)
    assert data_connections(w) == []
    # What has changed is seen.
    w.cluster.remove_node(w.cluster.nodes[2])
    w.advance(30.0)
    assert len(w.session.addresses) == 2
    assert w.do(http_request(w.defaults, NODES)).http_status == 200
    # Without web ports there is nobody to ask.
    alone = cluster_world()
    alone.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=Status.NO_BUCKET)
    procedure = alone.submit(http_request(alone.defaults, NODES))
    alone.advance(0.0)
    with pytest.raises(NotDataNodeError):
        procedure.result()


def test_after_a_ping() -> None:
    """The nodes that a ping has connected are let go, but for the one that is enough anyway."""
    w = cluster_world()
    w.do(http_request(w.defaults, NODES))
    asked = w.cluster.inject(opcode=Opcode.NOOP, delay=5.0)
    first, second = (w.submit(ping(w.defaults, services=["kv"], timeout=60.0)) for _ in range(2))
    w.settle()
    assert len(data_connections(w)) == 3
    w.session.cancel_batch(first)
    w.advance(1.0)
    # Somebody still waits for them.
    assert len(data_connections(w)) == 3
    w.advance(10.0)
    assert asked.hits
    assert [entry["state"] for entry in second.result()["kv"]] == ["ok"] * 3
    assert data_connections(w) == [DATA]
    # They are made again for the next one.
    w.do(wait_until_ready(w.defaults, 10.0))
    w.advance(1.0)
    assert data_connections(w) == [DATA]
    assert w.session.next_deadline() is None


def test_not_found() -> None:
    """Where the cluster is not found requests fail with why, and the next looks again."""
    w = cluster_world(login=Login("user", "wrong"))
    procedure = w.submit(http_request(w.defaults, NODES))
    w.advance(0.0)
    with pytest.raises(AuthError):
        procedure.result()
    assert w.session.state is SessionState.NEW
    w.session.renew(replace(w.session.settings, login=Login("user", "password")))
    assert w.do(http_request(w.defaults, NODES)).http_status == 200


def test_out_of_time_while_it_is_looked_for() -> None:
    """A request has its own time, whatever the search takes."""
    w = cluster_world()
    w.unanswering.add(DATA)
    procedure = w.submit(http_request(w.defaults, NODES, timeout=0.5))
    w.advance(1.0)
    with pytest.raises(UnambiguousTimeoutError, match="could be asked in time") as caught:
        procedure.result()
    text = str(caught.value)
    assert "the node has not accepted so far: a firewall may drop" in text
    assert "couchloop doctor" in text
    assert f"node {DATA}" in text


def test_closed() -> None:
    """A session that ends fails what is under way, and leaves no connection and no timer."""
    w = cluster_world()
    w.do(http_request(w.defaults, NODES))
    for node in w.cluster.nodes:
        w.cluster.hang(node)
    procedure = w.submit(http_request(w.defaults, NODES))
    w.settle()
    w.session.close(w.now)
    w.settle()
    with pytest.raises(RequestCanceledError):
        procedure.result()
    assert w.opened == {}
    assert w.session.next_deadline() is None
    late = w.submit(http_request(w.defaults, NODES))
    with pytest.raises(ObjectDestroyedError):
        late.result()


def test_cancelled() -> None:
    """A request that is cancelled closes its connection; the timer it needed is not needed."""
    w = cluster_world()
    w.do(http_request(w.defaults, NODES))
    for node in w.cluster.nodes:
        w.cluster.hang(node)
    before = set(w.opened)
    procedure = w.submit(http_request(w.defaults, NODES))
    w.settle()
    assert set(w.opened) > before
    w.session.cancel_batch(procedure)
    w.settle()
    assert set(w.opened) <= before
    assert w.delivered.count(procedure) == 0


def test_a_bucket_asks_too() -> None:
    """A bucket's session can ask services by itself: a procedure may need both."""
    w = World()
    w.serve_web()
    w.open()

    def steps() -> Steps[Any]:
        return (yield GET)

    found = w.do(Procedure("both", w.defaults, None, 10.0, steps()))
    assert found.status == 200
