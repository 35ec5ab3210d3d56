"""Sessions without vbuckets, against bytes: plain memcached servers, buckets of type memcached."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.durability import DurabilityLevel
from couchloop.embedded import BucketSettings, EmbeddedCluster
from couchloop.exceptions import (
    FeatureNotAvailableError,
    NodeUnreachableError,
    NotDataNodeError,
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.hot.frames import Frame, encode_response
from couchloop.operations import document as ops
from couchloop.operations import subdocument
from couchloop.operations.specs import get as get_path
from couchloop.retries import FailFast
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login, Wire
from couchloop.wire import Opcode, Status
from tests.core.session.bootstrap.web import DATA, WEB, failure, seeds_of, web_connections
from tests.core.session.support import error_of, state
from tests.core.world import FIRST_PORT, FIRST_WEB_PORT, ScriptedNode, World
from tests.memcached import owner_by_ketama

SERVERS = tuple(Address("10.0.0.1", 11211 + number) for number in range(3))


def answer(frame: Frame) -> bytes:
    """Answer as a server does that knows no HELLO, and has every document."""
    if frame.opcode == Opcode.HELLO:
        return encode_response(
            frame.opcode, Status.UNKNOWN_COMMAND, value=b"Unknown", opaque=frame.opaque
        )
    extras = bytes(4) if frame.opcode in {Opcode.GET, Opcode.GAT, Opcode.TOUCH} else b""
    value = b"1" if frame.opcode in {Opcode.GET, Opcode.GAT} else b""
    return encode_response(frame.opcode, extras=extras, value=value, opaque=frame.opaque, cas=5)


def plain(**settings: Any) -> World:
    """Return a world of three plain servers."""
    w = World(
        EmbeddedCluster(1),
        seeds=SERVERS,
        bucket="cache",
        login=Login("", ""),
        is_plain=True,
        **settings,
    )
    w.nodes = {server: ScriptedNode(answer) for server in SERVERS}
    return w


def asked(w: World, server: Address) -> list[Frame]:
    """Return what a server was asked, greetings left out."""
    return [
        frame
        for link in w.nodes[server].links
        for frame in link.requests
        if frame.opcode not in {Opcode.HELLO, Opcode.NOOP}
    ]


def owner_of(key: str) -> Address:
    """Return the server of *key*, as any other client counts."""
    by_name = {str(server): server for server in SERVERS}
    return by_name[owner_by_ketama(key, list(by_name))]


class TestPlainServers:
    """Servers of memcached://."""

    def test_bytes(self) -> None:
        """Each key goes to the server that ketama names, bare: no vbucket, collection, framing."""
        w = plain()
        w.open()
        assert sorted(w.opened.values()) == sorted(SERVERS)
        keys = [f"key-{number}" for number in range(60)]
        for key in keys:
            w.do(ops.upsert(w.defaults, key, {"a": 1}))
            w.do(ops.get(w.defaults, key))
            w.do(ops.touch(w.defaults, key, 10))
        for server in SERVERS:
            frames = asked(w, server)
            assert {frame.magic for frame in frames} == {0x80}
            assert {frame.vbucket for frame in frames} == {0}
            assert {frame.datatype for frame in frames} == {0}
            mine = [key.encode() for key in keys if owner_of(key) == server]
            assert list(dict.fromkeys(frame.key for frame in frames)) == mine
            assert mine

    def test_batches(self) -> None:
        """Large batches are fed server by server, and go on when one takes more again."""
        w = plain()
        w.open()
        documents = {f"key-{number}": number for number in range(2000)}
        result = w.do_batch(ops.upsert_multi(w.defaults, documents))
        assert result.all_ok
        assert sum(len(asked(w, server)) for server in SERVERS) == len(documents)

    def test_no_configuration_is_asked_for(self) -> None:
        """Neither while time passes, nor when a connection is lost."""
        w = plain(config_poll_interval=0.5)
        w.open()
        w.advance(10.0)
        w.lose(w.link_to(SERVERS[0]))
        w.advance(10.0)
        assert all(asked(w, server) == [] for server in SERVERS)
        assert len(w.opened) == 3

    def test_a_server_that_is_down(self) -> None:
        """Its keys wait for it, in order, and are not given to others; the rest goes on."""
        w = plain()
        w.open()
        key = next(key for n in range(100) if owner_of(key := f"key-{n}") == SERVERS[1])
        w.unreachable.add(SERVERS[1])
        w.lose(w.link_to(SERVERS[1]))
        first = w.submit(ops.upsert(w.defaults, key, 1, timeout=30))
        second = w.submit(ops.upsert(w.defaults, key, 2, timeout=30))
        late = w.submit(ops.get(w.defaults, key, timeout=1))
        hasty = w.submit(ops.get(w.defaults, key, retry_strategy=FailFast()))
        w.advance(2.0)
        assert isinstance(error_of(late), UnambiguousTimeoutError)
        assert "10.0.0.1:11212" in str(error_of(late))
        assert "not connected" in str(error_of(hasty))
        assert not asked(w, SERVERS[0])
        assert not asked(w, SERVERS[2])
        w.unreachable.clear()
        w.advance(5.0)
        assert first.result().success
        assert second.result().success
        assert [frame.value for frame in asked(w, SERVERS[1])] == [b"1", b"2"]

    def test_one_of_all_is_enough(self) -> None:
        """It opens as soon as one server takes us; the others are dialled again and again."""
        w = plain()
        w.unreachable.update(SERVERS[:2])
        w.open()
        assert list(w.opened.values()) == [SERVERS[2]]

    def test_none(self) -> None:
        """Where none does, it fails with what each has met; a wrong peer tells most."""
        w = plain()
        w.unreachable.update(SERVERS)
        error = failure(w)
        assert type(error) is NodeUnreachableError
        assert [seed for seed, _ in seeds_of(error)] == [str(server) for server in SERVERS]
        w = plain()
        w.unreachable.update(SERVERS[:2])
        w.nodes[SERVERS[2]] = ScriptedNode(
            lambda frame: encode_response(frame.opcode, opaque=frame.opaque)
        )
        assert type(failure(w)) is WrongProtocolError

    def test_refused_before_it_is_sent(self) -> None:
        """Also what waited while the Bucket was being opened, and in batches."""
        w = plain()
        early = w.submit(ops.lock(w.defaults, "k", 5))
        w.open()
        specs = [get_path("a")]
        for op in (
            early,
            w.submit(ops.exists(w.defaults, "k")),
            w.submit(subdocument.lookup_in(w.defaults, "k", *specs)),
            w.submit(ops.upsert(w.defaults, "k", 1, durability=DurabilityLevel.MAJORITY)),
            w.submit(ops.upsert(w.defaults, "k", 1, preserve_expiry=True)),
            w.submit(ops.get_any_replica(w.defaults, "k")),
            w.submit(ops.get_all_replicas_multi(w.defaults, ["k", "l"])),
        ):
            error = error_of(op)
            assert type(error) is FeatureNotAvailableError
            assert "nothing was sent" in str(error)
            assert error.context is not None
            assert error.context.bucket == "cache"
            assert error.key == "k"
        many = w.submit(ops.exists_multi(w.defaults, [f"k{number}" for number in range(500)]))
        w.advance(0.0)
        assert type(error_of(many)) is FeatureNotAvailableError
        assert all(not asked(w, server) for server in SERVERS)
        w.assert_idle()


def cached(nodes: int = 2, **settings: Any) -> World:
    """Return a world with a bucket of type memcached; its nodes have web ports."""
    cluster = EmbeddedCluster(nodes, [BucketSettings("cache", memcached=True)], seed=0)
    given = {"seeds": (DATA,), "web_seeds": (WEB,), "bucket": "cache", **settings}
    w = World(cluster, **given)
    w.serve_web()
    return w


class TestBuckets:
    """Of type memcached."""

    def test_opened_by_a_web_port(self) -> None:
        """A data port is asked first and has none; the stream of the web port stays."""
        w = cached()
        w.open()
        assert [address for _, address in w.attempts][:2] == [DATA, WEB]
        for number in range(40):
            w.do(ops.upsert(w.defaults, f"key-{number}", number))
        names = [f"127.0.0.1:{FIRST_PORT + number}" for number in range(2)]
        for number in range(40):
            key = f"key-{number}"
            assert str(w.owner(key)) == owner_by_ketama(key, names)
            assert w.do(ops.get(w.defaults, key)).value == number
        assert web_connections(w) == 1

    def test_keys_follow_the_configuration(self) -> None:
        """What waits for a node goes where the key is next; nobody is polled."""
        w = cached(3, config_poll_interval=0.5)
        w.open()
        gone = Address("127.0.0.1", FIRST_PORT + 2)
        (key,) = w.keys_of(gone)
        w.unreachable.add(gone)
        w.lose(w.link_to(gone))
        waiting = w.submit(ops.upsert(w.defaults, key, 1, timeout=60))
        w.advance(1.0)
        assert not waiting.done
        w.cluster.failover(w.cluster.nodes[2])
        w.advance(1.0)
        assert waiting.result().success
        assert w.owner(key) != gone
        assert w.do(ops.get(w.defaults, key)).value == 1

    def test_no_web_port(self) -> None:
        """Without one that may be asked it fails, and says what to write."""
        w = cached(web_seeds=())
        error = failure(w)
        assert type(error) is NotDataNodeError
        assert "bootstrap_on=http" in str(error)

    def test_a_web_port_that_is_away(self) -> None:
        """It is told, and that the data port has none; the opening may be tried again."""
        w = cached()
        w.session.opening.heals = True
        w.unreachable.add(WEB)
        w.session.start(w.now)
        w.advance(0.05)
        assert state(w) is SessionState.WAITING
        w.unreachable.clear()
        w.advance(5.0)
        assert state(w) is SessionState.OPEN

    def test_the_stream_begins_anew(self) -> None:
        """Where it ends it is opened again: nothing else tells of changes."""
        w = cached()
        w.open()
        web = Address("127.0.0.1", FIRST_WEB_PORT)
        w.lose(w.link_to(web))
        w.advance(5.0)
        assert web_connections(w) == 1

    def test_the_stream_survives_the_loss_of_all_nodes(self) -> None:
        """When no seed could be asked either, a web port is asked again until one answers."""
        w = cached()
        w.open()
        away = {*w.nodes}
        w.unreachable |= away
        for number in list(w.links):
            w.lose(number)
        w.advance(5.0)
        assert not web_connections(w)
        w.unreachable -= away
        w.advance(15.0)
        assert web_connections(w) == 1
        w.cluster.remove_node(w.cluster.nodes[1])
        w.advance(1.0)
        config = w.session.config
        assert config is not None
        assert len(config.nodes) == 1

    def test_no_config_cache(self) -> None:
        """A file keeps maps of vbuckets; there is none to keep."""
        w = cached(config_cache="cache.json")
        w.open()
        assert not w.disk.files

    def test_no_tokens(self) -> None:
        """Changes have no mutation token: there is no history that one could name."""
        w = cached(wire=Wire(tokens=True))
        w.open()
        assert w.do(ops.upsert(w.defaults, "k", 1))._mutinfo is None

    @pytest.mark.parametrize("build", [ops.exists, ops.observe, ops.rget])
    def test_refused_before_it_is_sent(self, build: Any) -> None:
        """What such a bucket does not know."""
        w = cached()
        w.open()
        written = len(w.writes)
        error = error_of(w.submit(build(w.defaults, "k")))
        assert type(error) is FeatureNotAvailableError
        w.settle()
        assert len(w.writes) == written
