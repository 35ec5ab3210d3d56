"""Opening with the configuration of a file, and keeping that file up to date."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BootstrapTimeoutError,
    BucketAlreadyOpenError,
    ConfigCacheError,
    InvalidOptionError,
    NodeUnreachableError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.session.session import SessionState
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Address, Login
from couchloop.topology.config_cache import MAGIC, Cached, load
from couchloop.topology.configuration import ClusterConfig, Network, Node, Revision, parse_config
from couchloop.wire import Opcode, Status
from tests.core.world import FIRST_PORT, FIRST_WEB_PORT, World

PATH = "/var/cache/bucket"
DEAD = Address("127.0.0.1", 9)
"""An address where nothing listens, as the only seed."""


class TestOptions:
    """What the options mean."""

    @staticmethod
    def settings(options: str, bucket: str = "b") -> Any:
        """Return the settings of a connection string."""
        who = PasswordAuthenticator("user", "password")
        return make_settings(f"couchbase://h/{bucket}?{options}", authenticator=who)

    def test_paths(self) -> None:
        """A path that ends in a slash is a folder, in which the bucket's name is the file's."""
        settings = self.settings("config_cache=/var/cache/")
        assert (settings.config_cache, settings.config_cache_ro) == ("/var/cache/b", False)
        settings = self.settings("config_cache_ro=cache")
        assert (settings.config_cache, settings.config_cache_ro) == ("cache", True)
        settings = self.settings("timeout=1")
        assert (settings.config_cache, settings.config_cache_ro) == ("", False)

    def test_contradictions(self) -> None:
        """Two different files, file_only without a file, a bucket that is a path: all refused."""
        with pytest.raises(InvalidOptionError, match="different files"):
            self.settings("config_cache=/a&config_cache_ro=/b")
        with pytest.raises(InvalidOptionError, match="file_only needs a file"):
            self.settings("bootstrap_on=file_only")
        with pytest.raises(ArgumentError, match=r"\.\./x"):
            self.settings("config_cache=/var/cache/", "..%2Fx")


def world(cluster: EmbeddedCluster | None = None, **settings: Any) -> World:
    """Return a client that keeps its configuration in a file."""
    return World(cluster, **{"config_cache": PATH, **settings})


def told(world: World) -> ClusterConfig:
    """Return the configuration that the cluster's nodes have."""
    text = world.cluster.nodes[0].configurations["default"].text(None)
    return parse_config(text, "127.0.0.1")


def warm(cluster: EmbeddedCluster | None = None, **settings: Any) -> World:
    """Return a client whose file holds the cluster's configuration already."""
    warm = world(cluster, **settings)
    warm.disk.keep(PATH, told(warm))
    warm.disk.written = 1
    return warm


def start(world: World) -> None:
    """Begin to open, and let happen what takes no time."""
    world.session.start(world.now)
    world.settle()


class TestStart:
    """Opening with a file."""

    def test_first_time(self) -> None:
        """Without a file the seeds are asked, and the file is written then."""
        w = world()
        w.open()
        assert load(w.disk.files[PATH][0], "default", "") == told(w)
        assert w.disk.written == 1

    def test_from_the_file_alone(self) -> None:
        """With a good file no seed is asked, and its map routes: no node tells a configuration."""
        w = warm(seeds=(DEAD,))
        w.cluster.inject(opcode=Opcode.GET_CLUSTER_CONFIG, status=Status.KEY_ENOENT)
        session = w.open()
        assert all(address != DEAD for _, address in w.attempts)
        for node in range(3):
            for key in w.keys_of(Address("127.0.0.1", FIRST_PORT + node), 5):
                assert w.do(ops.upsert(w.defaults, key, 1)).success
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] == 3
        assert session.config == told(w)
        assert w.disk.written == 1
        assert any("from the file /var/cache/bucket" in line for line in w.logs)

    def test_all_nodes_at_once(self) -> None:
        """The nodes of the file are all dialled at once; what was issued meanwhile is sent."""
        w = warm(seeds=(DEAD,))
        w.session.start(w.now)
        waiting = [w.submit(ops.upsert(w.defaults, f"k{n}", n)) for n in range(20)]
        w.settle()
        assert {address for at, address in w.attempts if at == 0.0} == set(w.nodes)
        assert all(op.result().success for op in waiting)

    def test_newer_configuration(self) -> None:
        """What a node tells is newer: it counts from then on, and is kept."""
        w = warm(seeds=(DEAD,))
        w.cluster.bump()
        node = w.cluster.add_node()
        node.ports["kv"] = FIRST_PORT + 3
        w.nodes[Address("127.0.0.1", FIRST_PORT + 3)] = node
        w.cluster.rebalance()
        session = w.open()
        assert session.addresses == list(w.nodes)
        assert load(w.disk.files[PATH][0], "default", "").revision == told(w).revision

    def test_one_write_at_a_time(self) -> None:
        """While the disk is slow only the newest of several configurations waits for it."""
        w = world()
        w.open()
        w.disk_is_slow = True
        for _ in range(5):
            w.cluster.bump()
            w.advance(0.2)
        assert len(w.unwritten) == 1
        w.write_files()
        w.settle()
        w.write_files()
        assert w.disk.written == 3
        assert load(w.disk.files[PATH][0], "default", "").revision == told(w).revision

    @pytest.mark.parametrize("text", [b"", b"{}", b"nonsense" + MAGIC.encode()])
    def test_damaged(self, text: bytes) -> None:
        """A damaged file is ignored with a warning, and replaced."""
        w = world()
        w.disk.files[PATH] = (text, -1)
        w.open()
        assert any(line.startswith("configuration in /var/cache/bucket: ") for line in w.logs)
        assert load(w.disk.files[PATH][0], "default", "") == told(w)

    def test_another_bucket(self) -> None:
        """The file of another bucket is ignored with a warning, and replaced."""
        w = world()
        w.disk.keep(PATH, replace(told(w), bucket="other"))
        w.open()
        assert any("bucket 'other'" in line for line in w.logs)
        assert load(w.disk.files[PATH][0], "default", "").bucket == "default"

    @pytest.mark.parametrize("uuid", ["0", None])
    def test_bucket_made_anew(self, uuid: str | None) -> None:
        """If the bucket of the file is no more, what the nodes tell counts, however old."""
        w = world()
        w.disk.keep(PATH, replace(told(w), uuid=uuid, revision=Revision(99, 99)))
        session = w.open()
        assert session.config is not None
        assert session.config.uuid == told(w).uuid
        assert load(w.disk.files[PATH][0], "default", "") == told(w)
        assert not any("made anew" in line for line in w.logs)

    def test_network(self) -> None:
        """The seeds choose the network of a configuration from a file, too."""
        cluster = EmbeddedCluster(clock=ManualClock())
        w = world(cluster, seeds=(DEAD, Address("gateway.example", 30000)))
        for number, node in enumerate(cluster.nodes):
            cluster.set_alternate(node, "gateway.example", {"kv": 30000 + number}, "tunnel")
            w.nodes[Address("gateway.example", 30000 + number)] = node
        w.disk.keep(PATH, told(w))
        assert w.open().network == "tunnel"

    def test_slow_disk(self) -> None:
        """A file that is not there in time is not waited for, and is ignored when it comes."""
        w = warm(config_node_timeout=1.0)
        w.disk_is_slow = True
        start(w)
        assert w.attempts == []
        w.advance(1.1)
        assert w.session.state is SessionState.OPEN
        w.session.config_loaded(Cached(told(w), 7), w.now)
        attempts = len(w.attempts)
        w.advance(10.0)
        assert w.session.state is SessionState.OPEN
        assert len(w.attempts) == attempts

    def test_slow_disk_twice(self) -> None:
        """A file is asked for once, however often the opening begins before it comes."""
        w = warm(seeds=(DEAD,))
        w.disk_is_slow = True
        start(w)
        w.advance(2.1)
        assert isinstance(w.session.error, NodeUnreachableError)
        start(w)
        assert len(w.loads) == 1
        w.session.config_loaded(w.disk.load(w.loads[0]), w.now)
        w.settle()
        assert w.session.state is SessionState.OPEN

    @pytest.mark.parametrize("is_warm", [False, True])
    def test_nothing_comes_after(self, *, is_warm: bool) -> None:
        """Once the bucket is open no limit of the opening strikes."""
        w = warm() if is_warm else world()
        w.open()
        attempts, config = len(w.attempts), w.session.config
        w.advance(20.0)
        assert (len(w.attempts), w.session.config) == (attempts, config)

    def test_configurations_are_polled(self) -> None:
        """A Bucket that was opened from a file looks for newer configurations as others do."""
        w = warm(config_poll_interval=2.5)
        w.open()
        asked = w.cluster.operations["GET_CLUSTER_CONFIG"]
        w.advance(5.1)
        assert w.cluster.operations["GET_CLUSTER_CONFIG"] == asked + 2

    def test_with_a_stream(self) -> None:
        """With bootstrap_on=http a good file opens the bucket, and the stream is opened beside."""
        web = Address("127.0.0.1", FIRST_WEB_PORT)
        w = world(bootstrap_on="http", seeds=(), web_seeds=(web,))
        w.serve_web()
        w.disk.keep(PATH, told(w))
        w.open()
        assert any("from the file" in line for line in w.logs)
        w.advance(1.0)
        assert web in w.opened.values()
        for connection in w.session.connections:
            # None of them pushes.
            connection.features = frozenset()
        w.cluster.bump()
        w.settle()
        assert load(w.disk.files[PATH][0], "default", "").revision == told(w).revision

    def test_another_bucket_in_the_way(self) -> None:
        """Where the bucket is open under another name of the cluster, the file opens none."""
        w = warm()
        refusal = BucketAlreadyOpenError("it is open")
        w.session.opening.admit = lambda config: refusal if config.uuid == told(w).uuid else None
        start(w)
        assert w.session.error is refusal
        w.advance(5.0)
        assert w.opened == {}
        assert w.session.connections == []

    def test_another_bucket_in_the_way_of_an_old_file(self) -> None:
        """Which bucket it is a node knows better than a file: libcouchbase's has no UUID."""
        w = world()
        w.disk.keep(PATH, replace(told(w), uuid=None, cluster_uuid=None))
        refusal = BucketAlreadyOpenError("it is open")
        w.session.opening.admit = lambda config: refusal if config.uuid == told(w).uuid else None
        start(w)
        assert w.session.error is refusal
        assert w.session.connections == []

    def test_bucket_made_anew_later(self) -> None:
        """If the bucket is made anew after nodes have confirmed the file, that is told."""
        w = warm()
        w.open()
        w.cluster.remove_bucket("default")
        w.cluster.add_bucket("default")
        w.advance(5.0)
        assert any("made anew" in line for line in w.logs)
        assert load(w.disk.files[PATH][0], "default", "") == told(w)

    def test_closed_meanwhile(self) -> None:
        """A Bucket that is closed before the file is read stays closed."""
        w = warm()
        w.disk_is_slow = True
        start(w)
        w.session.close(w.now)
        w.session.config_loaded(Cached(told(w), 7), w.now)
        w.settle()
        assert w.session.state is SessionState.CLOSED
        assert w.attempts == []


class TestStale:
    """The file names nodes that do not help."""

    def test_nodes_gone(self) -> None:
        """If no node of the file can be reached the seeds are asked, and the file is replaced."""
        w = world()
        gone = tuple(
            Node({"default": Network("127.0.0.1", {"kv": 20 + number})}) for number in range(3)
        )
        w.disk.keep(PATH, replace(told(w), nodes=gone, revision=Revision(99, 99)))
        session = w.open()
        assert session.addresses == list(w.nodes)
        assert any("no node of it takes us" in line for line in w.logs)
        assert load(w.disk.files[PATH][0], "default", "") == told(w)
        assert w.disk.written == 2

    def test_silent_nodes(self) -> None:
        """Nodes that neither accept nor refuse cost the time of one node, out of that for all."""
        w = warm(seeds=(DEAD,))
        w.unanswering.update(w.nodes)
        start(w)
        w.advance(1.9)
        assert {address for _, address in w.attempts} == set(w.nodes)
        assert DEAD not in {address for _, address in w.attempts}
        w.advance(0.2)
        assert w.attempts[-1] == (2.0, DEAD)
        assert isinstance(w.session.error, NodeUnreachableError)

    def test_operations_tell_what_was_met(self) -> None:
        """An operation that runs out of time meanwhile tells what happened at the file's nodes."""
        w = warm(seeds=(DEAD,))
        first, *others = w.nodes
        w.unreachable.add(first)
        w.unanswering.update(others)
        w.session.start(w.now)
        op = w.submit(ops.get(w.defaults, "key", timeout=1.0))
        w.advance(1.1)
        assert isinstance(op.error, UnambiguousTimeoutError)
        assert "the bucket was not open" in str(op.error)
        assert isinstance(op.error.__cause__, NodeUnreachableError)
        assert op.error.context is not None
        assert {address for address, _ in op.error.context.seeds} == {str(first)}

    def test_operations_tell_what_is_not_answered(self) -> None:
        """Where nothing was met yet, what the file's nodes have not done so far."""
        w = warm(seeds=(DEAD,))
        w.unanswering.update(w.nodes)
        w.session.start(w.now)
        op = w.submit(ops.get(w.defaults, "key", timeout=1.0))
        w.advance(1.1)
        assert "the bucket was not open in time: the node has not accepted so far" in str(op.error)

    def test_time_for_all(self) -> None:
        """The time for all runs from the start, whatever the file's nodes have cost."""
        w = warm(seeds=(DEAD,), config_node_timeout=4.0)
        w.unanswering.update({*w.nodes, DEAD})
        start(w)
        w.advance(4.9)
        assert w.session.state is SessionState.OPENING
        w.advance(0.2)
        assert isinstance(w.session.error, BootstrapTimeoutError)

    def test_wrong_password(self) -> None:
        """A wrong password is not tried on node after node."""
        w = warm(seeds=(DEAD,), login=Login("user", "not-it"))
        w.nodes[DEAD] = w.cluster.nodes[0]
        start(w)
        assert isinstance(w.session.error, AuthError)
        assert len(w.attempts) <= 4

    def test_wrong_password_and_a_silent_node(self) -> None:
        """A wrong password is told at once, whatever other nodes of the file keep silent."""
        w = warm(seeds=(DEAD,), login=Login("user", "not-it"))
        w.nodes[DEAD] = w.cluster.nodes[0]
        w.unanswering.add(Address("127.0.0.1", FIRST_PORT + 2))
        start(w)
        assert isinstance(w.session.error, AuthError)

    def test_start_again(self) -> None:
        """After a failure the file is tried again; as it has not changed it is not read again."""
        w = warm(seeds=(DEAD,))
        w.unreachable.update(w.nodes)
        start(w)
        assert isinstance(w.session.error, NodeUnreachableError)
        w.unreachable.clear()
        w.open()
        assert [event.seen for event in w.loads] == [None, 1]

    def test_all_nodes_lost(self) -> None:
        """When all nodes are lost the file is looked at: another process may know the new ones."""
        w = warm(seeds=(DEAD,))
        session = w.open()
        config = told(w)
        moved = []
        for number, node in enumerate(w.cluster.nodes):
            w.unreachable.add(Address("127.0.0.1", FIRST_PORT + number))
            w.nodes[Address("127.0.0.1", 20000 + number)] = node
            moved.append(Node({"default": Network("127.0.0.1", {"kv": 20000 + number})}))
        w.disk.keep(PATH, replace(config, nodes=tuple(moved), revision=Revision(1, 99)))
        for number in list(w.links):
            w.lose(number)
        w.advance(1.0)
        assert session.addresses == [Address("127.0.0.1", 20000 + n) for n in range(3)]
        assert [event.seen for event in w.loads[:2]] == [None, 1]
        assert w.do(ops.upsert(w.defaults, "key", 1)).success

    def test_own_file(self) -> None:
        """What this client has written itself is not read again."""
        w = world()
        w.open()
        w.unreachable.update(w.nodes)
        for number in list(w.links):
            w.lose(number)
        w.advance(1.0)
        assert [event.seen for event in w.loads] == [None, 1]


class TestReadOnly:
    """config_cache_ro."""

    def test_never_written(self) -> None:
        """The file is used, and neither a newer configuration nor damage makes us write it."""
        w = warm(config_cache_ro=True)
        w.cluster.bump()
        w.open()
        assert w.disk.written == 1
        w = world(config_cache_ro=True)
        w.disk.files[PATH] = (b"damaged", 1)
        w.open()
        assert w.disk.files[PATH] == (b"damaged", 1)

    def test_must_be_readable(self) -> None:
        """Without the file the Bucket is not opened, and the error names it."""
        w = world(config_cache_ro=True)
        start(w)
        assert isinstance(w.session.error, ConfigCacheError)
        assert PATH in str(w.session.error)
        assert "no such file" in str(w.session.error)
        assert w.attempts == []


class TestFileOnly:
    """bootstrap_on=file_only."""

    def test_no_seed_is_asked(self) -> None:
        """With a good file the Bucket opens; without one it does not, and no seed is asked."""
        w = warm(bootstrap_on="file_only", seeds=(DEAD,))
        w.open()
        w = world(bootstrap_on="file_only")
        start(w)
        assert isinstance(w.session.error, ConfigCacheError)
        assert w.attempts == []

    def test_nodes_gone(self) -> None:
        """If no node of the file can be reached, the error tells what happened at each."""
        w = warm(bootstrap_on="file_only", seeds=(DEAD,))
        w.unreachable.update(w.nodes)
        start(w)
        error = w.session.error
        assert isinstance(error, ConfigCacheError)
        assert isinstance(error.__cause__, NodeUnreachableError)
        assert error.context is not None
        assert {address for address, _ in error.context.seeds} == set(map(str, w.nodes))
        assert DEAD not in {address for _, address in w.attempts}

    def test_wrong_password(self) -> None:
        """A wrong password is told as such."""
        w = warm(bootstrap_on="file_only", login=Login("user", "not-it"))
        start(w)
        assert isinstance(w.session.error, AuthError)
