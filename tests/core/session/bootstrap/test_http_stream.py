"""Configurations over HTTP: the source that repeats them, and opening a bucket so."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest

from couchloop.embedded import FULL_ACCESS, EmbeddedCluster, Grant, ManualClock, User
from couchloop.exceptions import (
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    CouchbaseError,
    NoBucketError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    ProtocolError,
    WrongProtocolError,
)
from couchloop.operations import document as ops
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from tests.core.http.answers import answer, frames_behind
from tests.core.session.bootstrap.web import (
    DATA,
    WEB,
    ScriptedWeb,
    ScriptedWebLink,
    failure,
    seeds_of,
    web_connections,
    web_world,
)
from tests.core.world import FIRST_WEB_PORT


class TestBootstrap:
    """Opening a bucket by HTTP."""

    @pytest.mark.parametrize("chop", [None, Random(7)])
    def test_after_the_data_ports(self, chop: Random | None) -> None:
        """Web ports are asked after all data ports; data nodes then make the stream needless."""
        w = web_world(chop=chop)
        w.open()
        assert w.attempts[0][1].port == 9
        assert w.attempts[1][1] == WEB
        assert len(w.session.addresses) == 3
        w.do(ops.upsert(w.defaults, "k", 1))
        assert web_connections(w) == 0
        assert any(f"from {WEB}" in line for line in w.logs)

    @pytest.mark.parametrize(
        "said", [b"HTTP/1.1 200 OK\r\nBad\x00Header: 1\r\n\r\n", answer(401), answer(500), b"?"]
    )
    def test_no_frames(self, said: bytes) -> None:
        """What is kept of a refusal holds no frame, in which the login would be a variable."""
        w = web_world()
        w.nodes[WEB] = ScriptedWeb(said, None)
        error = failure(w)
        assert error.context is not None
        for _, why in error.context.seeds:
            assert why.__traceback__ is None
            assert frames_behind(why) == []

    def test_data_port_answers(self) -> None:
        """Where a data port answers, no web port is asked."""
        w = web_world(seeds=(DATA,))
        w.open()
        assert WEB not in [address for _, address in w.attempts]

    def test_only_data_ports(self) -> None:
        """bootstrap_on=cccp asks no web port."""
        w = web_world(bootstrap_on="cccp")
        assert type(failure(w)) is NodeUnreachableError
        assert WEB not in [address for _, address in w.attempts]

    def test_only_http(self) -> None:
        """bootstrap_on=http asks no data port before it has a map, and keeps the stream."""
        w = web_world(seeds=(DATA,), bootstrap_on="http")
        w.open()
        assert w.attempts[0][1] == WEB
        assert web_connections(w) == 1
        for number, address in list(w.opened.items()):
            if address != WEB:
                w.session._connections.by_id[number].features = frozenset()
        w.cluster.bump()
        w.settle()
        assert w.session.config is not None
        assert w.session.config.revision.rev == w.cluster.rev

    def test_stream_begins_anew(self) -> None:
        """With bootstrap_on=http a stream that ends is opened again, after a pause with jitter."""
        pauses = set()
        for seed in range(5):
            w = web_world(
                seeds=(DATA,), bootstrap_on="http", web_seeds=(WEB, WEB._replace(port=WEB.port + 1))
            )
            w.session.opening.source._random = Random(seed)
            w.open()
            w.advance(20.0)
            lost = w.now
            w.lose(w.link_to(WEB))
            assert web_connections(w) == 0
            w.advance(1.0)
            assert web_connections(w) == 1
            (again,) = [when for when, address in w.attempts if when > lost]
            pauses.add(again - lost)
            assert 0.25 <= again - lost <= 0.5
        assert len(pauses) == 5

    def test_unreachable_web_port(self) -> None:
        """A stream that cannot be opened again is tried ever more rarely, every ten seconds."""
        w = web_world(seeds=(DATA,), bootstrap_on="http")
        w.open()
        w.unreachable.add(WEB)
        w.lose(w.link_to(WEB))
        w.attempts.clear()
        w.advance(60.0)
        assert 8 <= len(w.attempts) <= 16
        w.do(ops.upsert(w.defaults, "k", 1))

    def test_stream_until_a_data_node_answers(self) -> None:
        """As long as no data node is connected the stream brings newer maps."""
        w = web_world()
        w.unreachable.update(address for address in w.nodes if address.port < FIRST_WEB_PORT)
        w.open()
        op = w.submit(ops.upsert(w.defaults, "k", 1, timeout=60.0))
        w.advance(5.0)
        assert web_connections(w) == 1
        for node in w.cluster.nodes:
            node.ports["kv"] += 5000
            w.nodes[Address("127.0.0.1", node.ports["kv"])] = node
        w.cluster.changed()
        w.advance(0.1)
        assert op.done
        assert web_connections(w) == 0

    def test_all_nodes_lost(self) -> None:
        """When all nodes are lost a web port tells where they went."""
        w = web_world()
        w.open()
        w.unreachable.update(w.session.addresses)
        for node in w.cluster.nodes:
            node.ports["kv"] += 5000
            w.nodes[Address("127.0.0.1", node.ports["kv"])] = node
        for number in list(w.links):
            w.lose(number)
        w.cluster.changed()
        w.advance(5.0)
        assert {address.port for address in w.session.addresses} == {15000, 15001, 15002}
        w.do(ops.upsert(w.defaults, "k", 1))
        assert web_connections(w) == 0

    def test_query_node(self) -> None:
        """A node without data service, named without a port, is enough."""
        cluster = EmbeddedCluster(clock=ManualClock())
        node = cluster.add_node(serves_data=False)
        w = web_world(cluster)
        seed = Address("127.0.0.1", node.ports["mgmt"])
        w.session.shared.settings = replace(w.session.settings, web_seeds=(seed,))
        w.open()
        w.do(ops.upsert(w.defaults, "k", 1))
        assert len(w.session.addresses) == 3

    def test_no_stream(self) -> None:
        """A server that has no stream of a bucket is asked for its present configuration."""
        w = web_world(bootstrap_on="http")
        config = w.cluster.nodes[0].configurations["default"].text(0)
        paths: list[bytes] = []

        class Once(ScriptedWeb):
            def accept(self, *, peer: str) -> ScriptedWebLink:
                link = super().accept(peer=peer)

                def receive_data(data: bytes) -> None:
                    link.received += data
                    paths.append(data.split()[1])
                    link.say(answer(404) if b"/bs/" in data else answer(body=config))

                link.receive_data = receive_data  # type: ignore[method-assign]
                return link

        w.nodes[WEB] = Once()
        w.open()
        assert paths == [b"/pools/default/bs/default", b"/pools/default/b/default"]
        w.do(ops.upsert(w.defaults, "k", 1))
        # It is asked for again, now and then.
        w.advance(60.0)
        assert 8 <= len(paths) / 2 <= 16

    def test_names(self) -> None:
        """A bucket's name stands percent-encoded in the path."""
        w = web_world(EmbeddedCluster(buckets=("b%1_x",)), bucket="b%1_x")
        w.open()

    def test_warming_up(self) -> None:
        """A bucket that is not ready yet is waited for, on the stream and without one."""
        for streams in (True, False):
            w = web_world(config_total_timeout=20.0, bootstrap_on="http")
            document = json.loads(w.cluster.nodes[0].configurations["default"].text(0))
            ready = json.dumps(document).encode()
            document["vBucketServerMap"]["vBucketMap"] = []
            empty = json.dumps(document).encode()
            if streams:
                web = ScriptedWeb(b"HTTP/1.1 200 OK\r\n\r\n" + empty + b"\n\n\n\n")
            else:
                web = ScriptedWeb(answer(body=empty))
            w.nodes[WEB] = web
            w.session.start(w.now)
            w.advance(10.0)
            assert w.session.state is SessionState.OPENING
            if streams:
                assert len(web.links) == 1
                web.links[0].say(b"\n\n\n\n" + ready + b"\n\n\n\n")
            else:
                assert len(web.links) > 50
                web.pieces = (answer(body=ready),)
            w.advance(0.2)
            assert w.session.is_open

    def test_never_ready(self) -> None:
        """A bucket that never becomes ready says so when its time is up."""
        w = web_world()
        w.nodes[WEB] = ScriptedWeb(answer(body=b'{"nodesExt":[],"vBucketServerMap":{}}'))
        error = failure(w, 5.0)
        assert type(error) is BootstrapTimeoutError
        assert "not ready within 5 s (config_total_timeout): it is being created" in str(error)
        assert str(WEB) in str(error)

    def test_random_order(self) -> None:
        """Web ports are tried in their order, or at random if that is wanted."""
        ports = [WEB._replace(port=WEB.port + number) for number in range(3)]
        firsts: dict[bool, set[Address]] = {}
        for wanted in (False, True):
            for seed in range(10):
                w = web_world(bootstrap_on="http", web_seeds=tuple(ports), randomize_nodes=wanted)
                w.session.opening._random = Random(seed)
                w.session.start(w.now)
                w.settle()
                firsts.setdefault(wanted, set()).add(w.attempts[0][1])
        assert firsts == {False: {WEB}, True: set(ports)}

    def test_clear_text(self) -> None:
        """Without TLS the password is readable on the way: a warning says so, and the cure."""
        w = web_world()
        w.open()
        assert any("clear text" in line and "couchbases://" in line for line in w.logs)


class TestFailures:
    """Each seed's failure is told, and nothing waits for ever."""

    def test_wrong_password(self) -> None:
        """A wrong password ends it at once: other seeds would say the same."""
        w = web_world(
            login=Login("user", "not-it"), web_seeds=(WEB, WEB._replace(port=WEB.port + 1))
        )
        error = failure(w, 0.0)
        assert type(error) is AuthError
        assert "'user'" in str(error)
        assert "not-it" not in "".join(w.logs) + repr(w.events) + str(error) + repr(error)
        assert len(w.attempts) == 2

    def test_no_bucket(self) -> None:
        """A bucket that does not exist: asked both ways, and told so."""
        w = web_world(bucket="beer")
        error = failure(w, 0.0)
        assert type(error) is BucketNotFoundError
        assert seeds_of(error) == [
            ("127.0.0.1:9", NodeUnreachableError),
            (f"http://{WEB}", BucketNotFoundError),
        ]

    def test_no_role(self) -> None:
        """A user without a role on the bucket is told the permission that is missing."""
        cluster = EmbeddedCluster(
            buckets=("default", "beer"),
            users=[User("user", "password", (Grant(FULL_ACCESS, "beer"),))],
        )
        error = failure(web_world(cluster), 0.0)
        assert type(error) is BucketNotFoundError
        assert "cluster.bucket[default].settings!read" in str(error)

    @pytest.mark.parametrize(
        ("pieces", "kind", "seconds"),
        [
            ((), NodeTimeoutError, 2.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n",), NodeTimeoutError, 2.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b"\n\n\n\n"), NodeTimeoutError, 2.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b'{"rev":'), NodeTimeoutError, 2.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b'{"rev":', None), ProtocolError, 0.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b"{\n\n\n\n"), ProtocolError, 0.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b"[]\n\n\n\n"), ProtocolError, 0.0),
            ((b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (21 << 20)), ProtocolError, 0.0),
            ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", None), ProtocolError, 0.0),
            ((b"nonsense" * 10_000,), WrongProtocolError, 0.0),
            ((None,), ProtocolError, 0.0),
            ((answer(503, b"starting"),), NotDataNodeError, 0.0),
        ],
    )
    def test_strange_peer(
        self, pieces: tuple[bytes | None, ...], kind: type[CouchbaseError], seconds: float
    ) -> None:
        """Silence, garbage, a head or body without end, an end too early: given up in time."""
        w = web_world()
        w.nodes[WEB] = ScriptedWeb(*pieces)
        error = failure(w, seconds)
        assert seeds_of(error) == [("127.0.0.1:9", NodeUnreachableError), (f"http://{WEB}", kind)]

    def test_one_byte_at_a_time(self) -> None:
        """A peer that drips, one byte a second, is given up after config_node_timeout."""
        w = web_world()
        web = w.nodes[WEB] = ScriptedWeb(b"H")
        w.session.start(w.now)
        w.settle()
        for byte in b"TTP/1.1 200 OK":
            w.advance(1.0)
            web.links[0].say(bytes([byte]))
        assert w.session.state is SessionState.FAILED
        assert type(w.session.failure()) is NodeUnreachableError
        assert seeds_of(w.session.failure())[1] == (f"http://{WEB}", NodeTimeoutError)

    def test_next_web_port(self) -> None:
        """A web port that is silent is left for the next one after config_node_timeout."""
        second = WEB._replace(port=WEB.port + 1)
        w = web_world(web_seeds=(WEB, second), config_node_timeout=0.5)
        w.unanswering.add(WEB)
        w.session.start(w.now)
        w.advance(0.45)
        assert not w.session.is_open
        w.advance(0.1)
        assert w.session.is_open

    def test_total_time(self) -> None:
        """config_total_timeout counts for data and web ports together."""
        w = web_world(config_total_timeout=3.0)
        w.unanswering.update({Address("127.0.0.1", 9), WEB})
        error = failure(w, 3.0)
        assert type(error) is BootstrapTimeoutError
        assert seeds_of(error) == [
            ("127.0.0.1:9", NodeTimeoutError),
            (f"http://{WEB}", BootstrapTimeoutError),
        ]

    def test_closed_meanwhile(self) -> None:
        """A session that is closed closes its stream, wherever that is."""
        for pieces in ((), (b"HTTP/1.1 200 OK\r\n\r\n{",)):
            w = web_world()
            w.nodes[WEB] = ScriptedWeb(*pieces)
            w.session.start(w.now)
            w.settle()
            w.session.close(w.now)
            w.settle()
            assert not w.opened
            assert w.session.next_deadline() is None


class TestCluster:
    """A session of the cluster itself, without a bucket."""

    def test_both_ways(self) -> None:
        """The global configuration comes from a data port, or from a web port."""
        for seeds in ((DATA,), (Address("127.0.0.1", 9),)):
            w = web_world(seeds=seeds, bucket="")
            w.open()
            assert len(w.session.addresses) == 3
            assert w.session.config is not None
            assert w.session.config.bucket is None
            by_web = any(f"from {WEB}" in line for line in w.logs)
            assert by_web is (seeds[0].port == 9)

    def test_no_keys(self) -> None:
        """It has no documents: an operation fails at once."""
        w = web_world(seeds=(DATA,), bucket="")
        w.open()
        op = w.submit(ops.get(w.defaults, "k"))
        assert isinstance(op.error, NoBucketError)

    @pytest.mark.parametrize("status", [403, 404])
    def test_refused(self, status: int) -> None:
        """A server without a global configuration is no data node, whatever it says of buckets."""
        w = web_world(bucket="")
        w.nodes[WEB] = ScriptedWeb(answer(status, b"because"))
        error = failure(w, 0.0)
        assert type(error) is NotDataNodeError
        assert "because" in str(error)
        assert "bucket" not in error.message
