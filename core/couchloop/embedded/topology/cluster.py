"""A cluster: its nodes and buckets, how they change, and the configurations that tell of it."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from couchloop.arguments.times import check_wait
from couchloop.embedded.access.accounts import Accounts
from couchloop.embedded.access.users import User, UserDatabase
from couchloop.embedded.clock import Clock, ManualClock
from couchloop.embedded.generator import Generator
from couchloop.embedded.storage.bucket import Bucket, BucketSettings
from couchloop.embedded.storage.eventing_functions import EventingFunctions
from couchloop.embedded.storage.manifest import Manifest
from couchloop.embedded.storage.partition import NO_NODE
from couchloop.embedded.storage.search_indexes import SearchIndexes
from couchloop.embedded.storage.vbucket import Lag, State
from couchloop.embedded.topology.cluster_map import (
    CAPABILITIES,
    AlternateAddress,
    Configuration,
)
from couchloop.embedded.topology.connections import Connection, ServerConnection
from couchloop.embedded.topology.faults import Faults
from couchloop.embedded.topology.node import Node, NodeState
from couchloop.wire.constants import Status


class Cluster(Faults, ABC):
    """The nodes and buckets of a cluster, and what may be done to them.

    Clients are spoken with by what `new_connection` and `new_http_connection` make: see
    `EmbeddedCluster`, which tells of the arguments too.
    """

    def __init__(
        self,
        nodes: int = 3,
        buckets: Iterable[str | BucketSettings] = ("default",),
        users: Iterable[User] | Mapping[str, str] | None = None,
        *,
        replicas: int = 1,
        vbuckets: int = 1024,
        seed: int | str | None = None,
        clock: Clock | None = None,
        name: str = "embedded",
        host: str = "127.0.0.1",
        max_connections: int | None = None,
        max_bucket_connections: int | None = None,
    ) -> None:
        super().__init__()
        self._limits = max_connections, max_bucket_connections
        self.clock: Clock = clock if clock is not None else ManualClock()
        self.generator = Generator(seed or 0)
        self._ids = self.generator if seed is not None else Generator(os.urandom(16).hex())
        self.name = name
        self.uuid = self._ids.randbytes(16).hex()
        if users is None:
            users = {"user": "password"}
        salt_seed = self.generator.randbytes(16)
        if seed is None:
            # As real clusters: no two have the same.
            salt_seed = self._ids.randbytes(16)
        self.users = UserDatabase(users, salt_seed)
        self.accounts = Accounts(self.users)
        """The same users, with groups and roles."""
        self.host = host
        self.epoch = 1
        self.rev = 1
        self.capabilities: dict[str, Sequence[str]] = dict(CAPABILITIES)
        """What services can do: who changes it calls `changed`."""
        self.operations: Counter[str] = Counter()
        """Requests by the name of their operation."""
        self.on_node_change: Callable[[Node], None] | None = None
        self.on_connections_change: Callable[[], None] | None = None
        """Called when a connection was accepted or is gone."""
        self._replicas = replicas
        self._vbuckets = vbuckets
        self._next_node_id = 0
        self._seen = False
        self.nodes: list[Node] = [self._new_node(host) for _ in range(nodes)]
        self.buckets: dict[str, Bucket] = {}
        self.search_indexes = SearchIndexes(self._ids)
        self.eventing_functions = EventingFunctions(self.clock)
        for settings in buckets:
            self._new_bucket(settings)
        self._distribute(self.nodes, push=False)

    # --- what a server and a demo ask -----------------------------------------------------------

    @property
    def accepted(self) -> int:
        """How many connections were ever accepted."""
        return sum(node.accepted for node in self.nodes)

    def connections(
        self, node: Node | None = None, bucket: str | None = None
    ) -> list[ServerConnection]:
        """The connections open now, of one node or of all, on one bucket or on any."""
        return [
            connection
            for each in self.nodes
            if node is None or each is node
            for connection in each.connections
            if bucket is None or (connection.bucket and connection.bucket.name == bucket)
        ]

    @abstractmethod
    def new_connection(
        self, node: Node, peer: str, *, tls: bool, client_user: str | None
    ) -> ServerConnection:
        """Make what answers on a new connection to the data port of *node*."""

    @abstractmethod
    def new_http_connection(
        self, node: Node, service: str, *, client_user: str | None
    ) -> Connection:
        """Make what answers on a new connection to the port of an HTTP service of *node*."""

    def connections_changed(self) -> None:
        """Notify listeners that a connection came or went."""
        if self.on_connections_change is not None:
            self.on_connections_change()

    def connection_string(self, service: str = "kv") -> str:
        """Return a connection string that names every data node."""
        scheme = "couchbases" if service.endswith("SSL") else "couchbase"
        hosts = ",".join(
            f"{node.address().bracketed}:{node.ports[service]}"
            for node in self.nodes
            if service in node.ports
        )
        return f"{scheme}://{hosts}"

    def configuration_seen(self) -> None:
        """Record that a client was told the present revision, which can no more be rewritten."""
        self._seen = True

    # --- buckets and nodes ----------------------------------------------------------------------

    def add_bucket(
        self,
        settings: str | BucketSettings,
        *,
        config_only: Iterable[Node] = (),
        ready: bool = True,
        same_revision: bool = False,
    ) -> Bucket:
        """Create a bucket on all data nodes; those in *config_only* get its configuration alone.

        Without *ready* it can be selected and nothing else, until `make_ready`.
        *same_revision* as in `changed`.
        """
        bucket = self._new_bucket(settings)
        bucket.ready = ready
        bucket.config_only.update(node.node_id for node in config_only)
        self.changed(same_revision=same_revision)
        return bucket

    def make_ready(self, name: str) -> None:
        """Make a bucket ready that was created not ready, and publish its configuration."""
        self.buckets[name].ready = True
        self.changed()

    def remove_bucket(self, name: str) -> None:
        """Delete a bucket: its connections are closed."""
        self.drop_connections(bucket=name)
        del self.buckets[name]
        self.changed()

    def flush_bucket(self, name: str) -> None:
        """Delete every document of a bucket."""
        self.buckets[name].flush()
        self.wake()

    def pause_bucket(self, name: str) -> None:
        """Pause a bucket: its connections are closed, and nobody can select it."""
        self.buckets[name].paused = True
        self.drop_connections(bucket=name)

    def resume_bucket(self, name: str) -> None:
        """End a pause."""
        self.buckets[name].paused = False

    def set_traffic(self, name: str, *, enabled: bool) -> None:
        """Refuse writes with ETMPFAIL, as a node that warms up, or take them again."""
        self.buckets[name].takes_traffic = enabled

    def refuse_ingress(self, name: str, status: Status | None) -> None:
        """Refuse what makes a bucket larger with *status* (0x35 to 0x38); None: take it again."""
        self.buckets[name].ingress_refusal = status

    def add_node(
        self,
        host: str | None = None,
        *,
        serves_data: bool = True,
        services: Iterable[str] | None = None,
    ) -> Node:
        """Add a node; it owns no vbucket until `rebalance`.

        Args:
            host: its name in configurations; None: that of the others.
            serves_data: whether it is a data node.
            services: what else it runs, as configurations name it (`mgmt`, `n1ql`, …); None: all.
        """
        node = self._new_node(self.host if host is None else host)
        node.serves_data = serves_data
        node.services = None if services is None else frozenset({"kv", "mgmt", *services})
        # Vbucket maps point to data nodes by their position, so those come first.
        self.nodes.append(node)
        self.nodes.sort(key=lambda each: not each.serves_data)
        self._notify(node)
        self.changed()
        return node

    def remove_node(self, node: Node) -> None:
        """Remove a node in an orderly way: its vbuckets go to the others first.

        Raises ValueError for the last node.
        """
        if self.nodes == [node]:
            raise ValueError("the last node of a cluster cannot leave")
        self.nodes.remove(node)
        for bucket in self.buckets.values():
            bucket.lay_out(self._data_node_ids())
        self.changed()
        node.receive_configurations(self.nodes[0].configurations, push=True)
        self._halt(node, NodeState.STOPPED)
        self._close_connections(node)
        self._notify(node)

    def set_alternate(
        self,
        node: Node,
        host: str,
        ports: Mapping[str, int] | None = None,
        network: str = "external",
    ) -> None:
        """List where *node* is reached on another network, and publish that.

        Args:
            node: one of this cluster.
            host: its name or address there.
            ports: by service; a service without one is not reached there. None: as inside.
            network: the network's name.
        """
        node.alternates[network] = AlternateAddress(host, ports)
        self.changed()

    def rebalance(self) -> None:
        """Spread all vbuckets over the present data nodes."""
        for bucket in self.buckets.values():
            bucket.lay_out(self._data_node_ids())
        self.changed()

    def failover(self, node: Node) -> None:
        """Promote the replicas of a node, which leaves the vbucket map (and need not run).

        What had not reached the replicas is lost: see `delay_replication`.
        """
        for bucket in self.buckets.values():
            bucket.fail_over(node.node_id)
        self.changed()

    def would_lose(self, node: Node) -> bool:
        """Whether a failover of that node would lose a write now."""
        return any(
            partition.would_lose(node.node_id)
            for bucket in self.buckets.values()
            for partition in bucket.partitions
        )

    def stop(self, node: Node) -> None:
        """Kill a node: its connections are closed, new ones refused.

        When it is restarted it has what was on its disk, see `delay_persistence`; locks are gone.
        """
        self._halt(node, NodeState.STOPPED)
        self._close_connections(node)
        self._notify(node)

    def hang(self, node: Node) -> None:
        """Make a node accept connections and read, but answer nothing."""
        self._halt(node, NodeState.HUNG)
        self._notify(node)

    def restart(self, node: Node) -> None:
        """Start a stopped or hung node again, with the present configuration."""
        stopped, node.state = node.state is NodeState.STOPPED, NodeState.RUNNING
        moved = False
        for bucket in self.buckets.values():
            bucket.settle()
            bucket.conditions.down.discard(node.node_id)
            if stopped:
                moved |= bucket.crash(node.node_id)
            else:
                bucket.go_on(node.node_id)
        node.receive_configurations(self._configurations(), push=False)
        self._notify(node)
        if moved:
            self.changed()
        self.wake()

    # --- topology -------------------------------------------------------------------------------

    def changed(
        self,
        *,
        nodes: Iterable[Node] | None = None,
        push: bool = True,
        same_revision: bool = False,
    ) -> None:
        """Publish the present topology as a new revision.

        Args:
            nodes: those that get it; all by default.
            push: whether those nodes tell their clients.
            same_revision: publish it under the present number.

        A revision that no client has seen is not used up: ports may be filled in one by one.
        """
        if self._seen and not same_revision:
            self.rev += 1
            self._seen = False
        self._distribute(self.nodes if nodes is None else nodes, push=push)
        self.wake()

    def bump(self) -> None:
        """Publish a new revision in which nothing has changed."""
        self._seen = True
        self.changed()

    def move_vbucket(
        self,
        bucket: str,
        number: int,
        to: Node,
        *,
        nodes: Iterable[Node] | None = None,
        push: bool = True,
    ) -> None:
        """Make *to* the active node of a vbucket; the old one keeps nothing.

        *nodes* and *push* as in `changed`.
        """
        partition = self.buckets[bucket].partitions[number]
        chain = partition.chain
        replicas = [node_id for node_id in chain[1:] if node_id not in (to.node_id, NO_NODE)]
        missing = len(chain) - 1 - len(replicas)
        partition.assign([to.node_id, *replicas, *[NO_NODE] * missing])
        self.changed(nodes=nodes, push=push)

    def set_vbucket_state(self, bucket: str, number: int, node: Node, state: State | None) -> None:
        """Change what a node does with a vbucket, without telling anybody (None: no copy)."""
        self.buckets[bucket].partitions[number].set_state(node.node_id, state)
        self.wake()

    def set_manifest(
        self, bucket: str, document: Mapping[str, Any], *, nodes: Iterable[Node] | None = None
    ) -> None:
        """Set a bucket's scopes and collections.

        Args:
            bucket: its name.
            document: a manifest as a server prints it, parsed.
            nodes: those that take it; the others lag behind until `spread_manifest`. None: all.

        Raises ValueError for a bucket of type memcached, which can have none.
        """
        self._publish_manifest(bucket, Manifest.decode(document), nodes)

    def create_collection(
        self,
        bucket: str,
        path: str,
        *,
        max_ttl: int = 0,
        nodes: Iterable[Node] | None = None,
    ) -> int:
        """Create a collection `scope.name`, and its scope if that is new; return its id.

        One that was dropped, and is created again, is another one: it is empty and has another id.

        Args:
            bucket: its name.
            path: names of scope and collection, with a dot between.
            max_ttl: how long documents live at most, in seconds; 0: for ever.
            nodes: as in `set_manifest`.

        Raises ValueError if it is there already.
        """
        scope, _, name = path.partition(".")
        manifest = self.buckets[bucket].manifest.with_collection(scope, name, max_ttl)
        self._publish_manifest(bucket, manifest, nodes)
        return manifest.last_id

    def create_scope(self, bucket: str, scope: str, *, nodes: Iterable[Node] | None = None) -> None:
        """Create a scope without collections; see `create_collection`."""
        manifest = self.buckets[bucket].manifest.with_scope(scope)
        self._publish_manifest(bucket, manifest, nodes)

    def update_collection(
        self, bucket: str, path: str, max_ttl: int, *, nodes: Iterable[Node] | None = None
    ) -> None:
        """Change how long documents of a collection live at most; see `create_collection`."""
        scope, _, name = path.partition(".")
        manifest = self.buckets[bucket].manifest.with_ttl(scope, name, max_ttl)
        self._publish_manifest(bucket, manifest, nodes)

    def drop_collection(
        self, bucket: str, path: str, *, nodes: Iterable[Node] | None = None
    ) -> None:
        """Drop a collection with all that is in it; see `create_collection`."""
        scope, _, name = path.partition(".")
        manifest = self.buckets[bucket].manifest.without_collection(scope, name)
        self._publish_manifest(bucket, manifest, nodes)

    def drop_scope(self, bucket: str, scope: str, *, nodes: Iterable[Node] | None = None) -> None:
        """Drop a scope with all that is in it; see `create_collection`."""
        manifest = self.buckets[bucket].manifest.without_scope(scope)
        self._publish_manifest(bucket, manifest, nodes)

    def spread_manifest(self, bucket: str, *, nodes: Iterable[Node] | None = None) -> None:
        """Send the newest scopes and collections to nodes (None: all) that lag behind."""
        self._give_manifest(bucket, self.buckets[bucket].manifest, nodes)

    # --- copies ---------------------------------------------------------------------------------

    def hold_replication(self, bucket: str, *, hold: bool = True) -> None:
        """NotYet back (or let go) the replicas' acknowledgements of synchronous writes."""
        conditions = self.buckets[bucket].conditions
        self.buckets[bucket].settle()
        conditions.holds_acknowledgements = hold
        self.wake()

    def delay_replication(self, bucket: str, seconds: float, *, to: Node | None = None) -> None:
        """Delay changes on their way to the replicas; what is on its way counts too.

        A failover loses what is on its way. An orderly move does not.

        Args:
            bucket: its name.
            seconds: from 0; `math.inf` keeps everything back until there is another delay.
            to: the node that lags; None: all.
        """
        self._delay(bucket, self.buckets[bucket].conditions.links, seconds, to)

    def delay_persistence(self, bucket: str, seconds: float, *, at: Node | None = None) -> None:
        """Delay changes on their way to the disks: OBSERVE tells, and durability levels.

        Arguments as in `delay_replication`.
        """
        self._delay(bucket, self.buckets[bucket].conditions.disks, seconds, at)

    def _delay(
        self, bucket: str, lags: Mapping[int, Lag], seconds: float, node: Node | None
    ) -> None:
        seconds = check_wait(seconds, "seconds") if seconds != math.inf else seconds
        self.buckets[bucket].settle()
        for each in self.nodes if node is None else (node,):
            lags[each.node_id].seconds = seconds
        self.wake()

    # --- faults ---------------------------------------------------------------------------------

    def drop_connections(self, node: Node | None = None, bucket: str | None = None) -> int:
        """Close connections at once; return how many."""
        dropped = self.connections(node, bucket)
        for connection in dropped:
            connection.close()
        return len(dropped)

    def wake(self) -> None:
        """Try requests again that wait for a change of the cluster."""
        for node in self.nodes:
            for connection in list(node.connections):
                connection.resume()

    # --- inside ---------------------------------------------------------------------------------

    def _halt(self, node: Node, state: NodeState) -> None:
        for bucket in self.buckets.values():
            bucket.halt(node.node_id)
        node.state = state

    def _publish_manifest(
        self, name: str, manifest: Manifest, nodes: Iterable[Node] | None
    ) -> None:
        if self.buckets[name].memcached:
            raise ValueError("a bucket of type memcached has no collections of its own")
        self._give_manifest(name, manifest, nodes)
        self.changed()

    def _give_manifest(self, name: str, manifest: Manifest, nodes: Iterable[Node] | None) -> None:
        chosen = {node.node_id for node in (self.nodes if nodes is None else nodes)}
        others = [node.node_id for node in self.nodes if node.node_id not in chosen]
        self.buckets[name].set_manifest(manifest, chosen, others)

    def _new_node(self, host: str) -> Node:
        node = Node(self, self._next_node_id, host)
        node.max_connections, node.max_bucket_connections = self._limits
        self._next_node_id += 1
        return node

    def _new_bucket(self, settings: str | BucketSettings) -> Bucket:
        if isinstance(settings, str):
            settings = BucketSettings(settings)
        bucket = Bucket(
            settings,
            self._replicas if settings.replicas is None else settings.replicas,
            self._vbuckets if settings.vbuckets is None else settings.vbuckets,
            self.generator,
            self.clock,
            self._ids.randbytes(16).hex(),
        )
        bucket.lay_out(self._data_node_ids())
        bucket.conditions.down.update(
            node.node_id for node in self.nodes if node.state is not NodeState.RUNNING
        )
        self.buckets[bucket.name] = bucket
        return bucket

    def _data_node_ids(self) -> list[int]:
        return [node.node_id for node in self.nodes if node.serves_data]

    def _configurations(self) -> dict[str | None, Configuration]:
        whole = Configuration(
            self.rev,
            self.epoch,
            self.uuid,
            self.name,
            tuple(node.address() for node in self.nodes),
            tuple(node.node_id for node in self.nodes),
            capabilities=dict(self.capabilities),
        )
        ready = (bucket for bucket in self.buckets.values() if bucket.ready)
        return {None: whole, **{bucket.name: whole.of_bucket(bucket) for bucket in ready}}

    def _distribute(self, nodes: Iterable[Node], *, push: bool) -> None:
        configurations = self._configurations()
        for node in nodes:
            if node.state is not NodeState.STOPPED:
                node.receive_configurations(configurations, push=push)

    def _close_connections(self, node: Node) -> None:
        for connection in list(node.connections):
            connection.close()
        for http_connection in list(node.http_connections):
            http_connection.close()

    def _notify(self, node: Node) -> None:
        if self.on_node_change is not None:
            self.on_node_change(node)
