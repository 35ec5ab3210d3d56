"""The data nodes of one bucket: their connections, and the configurations that list them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import inf
from struct import Struct
from typing import Any, Final, Protocol

from couchloop.exceptions import (
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    ProtocolError,
    TlsError,
    UnknownHostError,
    WrongProtocolError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.hot.request import Request
from couchloop.kv.connection import SIGN, Connection, Owner, State
from couchloop.kv.handshake import Hello, config_text
from couchloop.session.events import CloseConnection, Event, LogRecord, OpenConnection
from couchloop.session.requests import OwnRequest, Waiter
from couchloop.session.standstill import blame, blocked_for
from couchloop.session.timers import Timer, Timers
from couchloop.settings.values import Address, Settings
from couchloop.topology.configuration import ClusterConfig, Revision, data_networks, parse_config
from couchloop.wire import Feature, Opcode

_ANNOUNCED: Final = Struct(">qq")
"""Epoch and revision in the extras of a push."""
_HUNTS: Final = 20
_BREAKER_SILENCE: Final = 1.0
"""Seconds that a node must have said nothing before its circuit breaker opens."""
_PROBES: Final = 30
"""So many NOOPs in a row may stay without an answer while bytes of one frame come: 20 MB in a
minute, by default."""
_PROBES_MUTE: Final = 5
"""The same for one that sends whole frames, of which none answers anything."""
_PROBES_UNHEARD: Final = 2
"""So many where the loop stood still, and no more is known."""
_SILENCE: Final = 10.0
"""Seconds of silence after which a connection is asked for a sign of life."""
_DRAIN_DELAY: Final = 0.05
_RECONNECT_FIRST: Final = 0.05
_RECONNECT_LONGEST: Final = 2.0
_SEEK_DELAY: Final = 0.1
"""Seconds between two requests for a configuration while keys have no node."""
_STEADY: Final = 2.0
"""A connection that was ready for so many seconds makes earlier failures forgotten."""

_NO_WAY: Final = (
    NodeUnreachableError,
    UnknownHostError,
    NodeTimeoutError,
    WrongProtocolError,
    NotDataNodeError,
    TlsError,
)
"""What it looks like when a network cannot be reached from here, or is another of the same name."""


class Random(Protocol):
    """What is needed of a generator: jitter, and where to begin."""

    def random(self) -> float:
        """Give a number from 0.0 up to, not including, 1.0."""

    def getrandbits(self, k: int, /) -> int:
        """Give a number of *k* bits."""


class NodesOwner(Owner, Protocol):
    """What the nodes need of their session, beside what a connection needs."""

    @property
    def is_open(self) -> bool:
        """Whether a configuration may be applied."""

    def config_learned(self, config: ClusterConfig) -> None:
        """Take note that *config* counts now, and that a node has told it."""

    def send_parked(self, parked: dict[Operation[Any], None], now: float) -> None:
        """Send what waited in *parked*, in order."""

    def send_some(
        self, parked: dict[Operation[Any], None], connection: Connection, now: float
    ) -> None:
        """Send what waits in *parked* for *connection*, in order, until its output is full."""

    def enqueue(self, op: Request, now: float) -> None:
        """Give *op* its deadline."""

    def detach(self, op: Request) -> None:
        """Take *op* out of the tables that make it wait."""

    def routed(self) -> None:
        """Take note that other nodes can be reached now."""

    def all_nodes_lost(self, now: float) -> None:
        """Take note that no data node is connected."""

    def config_answered(self, connection: Connection, request: OwnRequest) -> None:
        """Take the answer to a request for a configuration, or its failure."""


class Endpoint:
    """A data node as this session sees it: its connection, and what waits for one."""

    __slots__ = (
        "address",
        "connection",
        "failures",
        "id",
        "is_open_circuit",
        "is_paused",
        "last_error",
        "parked",
        "ready_since",
        "timeouts",
        "timer",
    )

    def __init__(self, address: Address, endpoint_id: str) -> None:
        self.address = address
        self.id = endpoint_id
        """Its name in reports, whatever its connection (RFC 0034)."""
        self.connection: Connection | None = None
        self.failures = 0
        """How often in a row its connection was lost soon, or could not be made."""
        self.ready_since = 0.0
        self.last_error: CouchbaseError | None = None
        """Why it is not connected, or its circuit breaker is open."""
        self.timeouts = 0
        """Operations in a row that it left without an answer."""
        self.is_open_circuit = False
        """Whether its circuit breaker is open: nothing is sent until it shows a sign of life."""
        self.is_paused = False
        """Whether what is new waits until what was issued before is written."""
        self.parked: dict[Operation[Any], None] = {}
        self.timer: Timer | None = None

    @property
    def is_slow(self) -> bool:
        """Whether its connection is fine but takes no more for now."""
        return self.is_paused and not self.is_open_circuit and self.ready is not None

    @property
    def open_to_all(self) -> Connection | None:
        """The connection, if whatever is issued goes out on it at once."""
        return None if self.is_open_circuit or self.is_paused else self.ready

    @property
    def ready(self) -> Connection | None:
        """The connection, if operations can be sent on it."""
        connection = self.connection
        if connection is not None and connection.state is State.READY:
            return connection
        return None


class Nodes:
    """Where the keys are, and how to get there.

    Args:
        owner: the session.
        settings: what to connect to and how.
        timers: the session's.
        events: the session's; this appends to it.
        random: source of jitter.
        entropy: source of nonces.
    """

    def __init__(
        self,
        owner: NodesOwner,
        settings: Settings,
        timers: Timers,
        events: list[Event],
        random: Random,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.config: ClusterConfig | None = None
        self.network = ""
        self._is_from_file = False
        """Whether no node has told the configuration that counts."""
        self._network_works = False
        """Whether a node was reached on it."""
        self.connections: dict[int, Connection] = {}
        self.endpoints: dict[Address, Endpoint] = {}
        self.by_node: list[Endpoint | None] = []
        """The endpoint of each data node, by its index in the configuration."""
        self.route: list[Connection | None] = []
        """The connection for each vbucket; None: there is none that is ready."""
        self.config_request: OwnRequest | None = None
        self.homeless: dict[Operation[Any], None] = {}
        """What waits for a configuration that gives its key a node."""
        self._seeking = False
        self._owner = owner
        self.settings = settings
        self._timers = timers
        self._events = events
        self._random = random
        self._entropy = entropy
        self._client_id = entropy(8).hex()
        self._ids = count(1)
        self._endpoint_ids = count(1)
        self._handshake_timers: dict[int, Timer] = {}
        self.watchers: dict[Waiter, None] = {}
        self._route_timer: Timer | None = None
        self._has_lost_some = False
        """Whether a connection was lost since `route` was made last."""
        self._draining: dict[Address, Connection] = {}
        """Connections to nodes that the configuration no longer lists."""
        self._config_asked = -inf
        self._config_timer: Timer | None = None
        self._config_turn = 0
        self._announced = Revision(0, 0)
        """The newest revision that a push only announced."""
        self._hunts = 0
        """How often more it is asked for if an answer does not bring it."""
        self._probed: set[int] = set()
        """Connections from which a sign of life is awaited."""
        self._orphans = 0

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._orphans + sum(connection.orphans for connection in self.connections.values())

    @property
    def draining(self) -> list[Connection]:
        """Connections to nodes that the configuration no longer lists."""
        return list(self._draining.values())

    @property
    def service(self) -> str:
        """The data service, as configurations call it."""
        return "kvSSL" if self.settings.tls else "kv"

    def target(self, op: Request) -> tuple[Endpoint | None, int]:
        """Return the node that *op* is for, None if there is none now, and its vbucket.

        The bucket has vbuckets; the node is that of the present configuration.
        """
        config = self.config
        assert config is not None
        index, vbucket = op.target(config)
        return self.by_node[index] if 0 <= index < len(self.by_node) else None, vbucket

    def endpoint_of(self, op: Request) -> Endpoint | None:
        """Return the node that *op* is for; None: there is none now."""
        return self.target(op)[0]

    def handshake_done(self, connection: Connection, text: bytes, now: float) -> None:
        """Take a connection that is ready, and the configuration that came with it."""
        if text:
            self.take_config(text, connection, now)
        endpoint = self.endpoints.get(connection.address)
        if endpoint is None or endpoint.connection is not connection:
            # The configuration that it brought does not list its node.
            return
        endpoint.ready_since = now
        endpoint.last_error = None
        self._network_works = True
        self._log(
            "debug",
            "connected to {node} (connection {connection})",
            node=connection.address,
            connection=connection.hello.connection_id,
        )
        self._send_in_turn(endpoint, connection, now)

    def failed(
        self, connection: Connection, error: CouchbaseError, now: float, *, was_ready: bool
    ) -> None:
        """Replace a connection that was dropped, if its node is still in the configuration."""
        endpoint = self.endpoints.get(connection.address)
        if endpoint is None or endpoint.connection is not connection:
            return
        endpoint.connection = None
        self._hint(error)
        endpoint.last_error = error
        # Its next connection has to prove itself by the handshake.
        endpoint.is_open_circuit = endpoint.is_paused = False
        endpoint.timeouts = 0
        self._has_lost_some = True
        self._change_route()
        self._connect_later(endpoint, error, now, was_ready=was_ready)

    def _hint(self, error: CouchbaseError) -> None:
        """Have *error* say which network to try, if none of the nodes was ever reached on ours."""
        config = self.config
        if config is None or self._network_works or not isinstance(error, _NO_WAY):
            return
        others = [name for name in data_networks(config, self.service) if name != self.network]
        if others:
            error.message = (
                f"{error.message.rstrip('.')}; no node was reached on network {self.network!r}: "
                f"try network={' or network='.join(others)}"
            )

    def close(self) -> None:
        """Close every connection; what is in flight is left to the session."""
        for connection in list(self.connections.values()):
            connection.close()
            self._forget(connection)
        for endpoint in self.endpoints.values():
            if endpoint.timer is not None:
                endpoint.timer.cancel()
        self.endpoints.clear()
        self.by_node.clear()
        self.route.clear()
        if self._route_timer is not None:
            self._route_timer.cancel()

    def reset(self) -> None:
        """Forget the nodes, and the configuration that listed them."""
        self.close()
        self.config = None
        self.network = ""

    # Configurations

    def take_config(self, source: Frame | bytes, origin: Connection | Address, now: float) -> bool:
        """Apply a configuration if it is newer; tell whether it was.

        *source* is a frame that carries it, or its text; *origin* is the connection, or the web
        port, that it came from.
        """
        if not self._owner.is_open:
            return False
        address, connection = origin, ""
        if isinstance(origin, Connection):
            address, connection = origin.address, f" (connection {origin.hello.connection_id})"
        assert isinstance(address, Address)
        try:
            text = source if isinstance(source, bytes) else config_text(source)
            config = parse_config(text, address.host)
        except ProtocolError as error:
            self._log(
                "warning",
                "{node}{connection} gave {reason}",
                node=address,
                connection=connection,
                reason=self.settings.told(error),
            )
            return False
        return self.apply(config, now)

    def apply(
        self,
        config: ClusterConfig,
        now: float,
        first: Connection | None = None,
        network: str = "",
        *,
        from_file: bool = False,
    ) -> bool:
        """Make *config* the one that counts, if it is usable and newer.

        *first* is the connection that bootstrap has made: it becomes that of its node. *network* is
        what bootstrap has chosen; one on which a node is connected stays. One *from_file* may be of
        a bucket that is no more: that of a node replaces it then, however old.
        """
        known = self.config
        if any(endpoint.ready for endpoint in self.endpoints.values()):
            network = ""
        is_another = known is not None and config.uuid != known.uuid
        if known is not None and not (is_another or from_file):
            self._is_from_file = False
        is_new = (
            known is None
            or config.revision > known.revision
            or (is_another and self._is_from_file and not from_file)
        )
        # All nodes were lost: it may be of another cluster, whose revisions are its own, or name
        # other addresses for the same nodes.
        is_elsewhere = (
            bool(network)
            and known is not None
            and (is_another or config.revision == known.revision)
        )
        network = network or self.network
        is_usable = config.is_ready or not self.settings.bucket
        if not is_usable or not (is_new or is_elsewhere):
            return False
        if config.remarks and (known is None or config.remarks != known.remarks):
            # What is wrong often stays so for all that follow.
            self._log(
                "info",
                "configuration {rev}: passed over {what}",
                rev="/".join(map(str, config.revision)),
                what="; ".join(config.remarks),
            )
        addresses = self.data_addresses(config, network)
        if not any(addresses):
            self._log(
                "warning",
                "configuration {rev} lists no data node on network {network}: ignored",
                rev="/".join(map(str, config.revision)),
                network=network,
            )
            return False
        if network != self.network:
            self.network = network
            self._network_works = False
        if is_another and not self._is_from_file:
            self._log(
                "warning",
                "bucket {bucket} was deleted and made anew: its documents are gone",
                bucket=self.settings.bucket,
            )
        if known is not None and config.revision <= known.revision:
            self._announced = config.revision
        self.config = config
        self._is_from_file = from_file
        if not from_file:
            self._owner.config_learned(config)
        endpoints: dict[Address, Endpoint] = {}
        self.by_node = []
        first_at = None if first is None else first.address.one_form
        for node, address in zip(config.nodes, addresses, strict=False):
            if address is None:
                self.by_node.append(None)
                continue
            endpoint = self.endpoints.get(address) or endpoints.get(address)
            if endpoint is None:
                endpoint = Endpoint(address, f"{self._client_id}/node-{next(self._endpoint_ids)}")
                draining = endpoint.connection = self._draining.pop(address, None)
                endpoint.is_paused = draining is not None and draining.is_blocked
            endpoints[address] = endpoint
            self.by_node.append(endpoint)
            if (
                first is not None
                and (node.this_node or address.one_form == first_at)
                and endpoint.connection is None
            ):
                self._network_works |= address.one_form == first_at
                first.address = address
                endpoint.connection = first
                if endpoint.timer is not None:
                    endpoint.timer.cancel()
                    endpoint.timer = None
                first = None
        removed = [e for address, e in self.endpoints.items() if address not in endpoints]
        self.endpoints = endpoints
        if first is not None:
            # It gave the configuration, but is no data node of this bucket.
            self.drop(first)
        for endpoint in endpoints.values():
            if endpoint.connection is None and endpoint.timer is None:
                self._connect(endpoint, now)
        self._change_route()
        for endpoint in (*removed, *endpoints.values()):
            if endpoint.parked:
                # Another node may own the keys now.
                self._owner.send_parked(endpoint.parked, now)
        if self.homeless:
            self._owner.send_parked(self.homeless, now)
        for endpoint in removed:
            if endpoint.timer is not None:
                endpoint.timer.cancel()
            connection = endpoint.connection
            if connection is not None:
                self._draining[connection.address] = connection
                self._drain(connection, now)
        return True

    def data_addresses(self, config: ClusterConfig, network: str) -> list[Address | None]:
        """Give where each data node of *config* is reached on *network*; None: it is not."""
        service = self.service
        return [node.address(network, service) for node in config.nodes[: config.data_nodes]]

    def _drain(self, connection: Connection, now: float) -> None:
        """Close *connection* as soon as nothing is in flight on it, unless its node comes back."""
        if self._draining.get(connection.address) is not connection:
            return
        if connection.state is not State.READY or not connection.pending:
            self.drop(connection)
        else:
            self._timers.call_at(now + _DRAIN_DELAY, lambda at: self._drain(connection, at))

    def _change_route(self) -> None:
        """Make `route` anew, once for all that changes in this turn.

        Until then it is empty, and `target` tells.
        """
        self.route = []
        if self.config is None:
            return
        if self._route_timer is None or not self._route_timer.live:
            self._route_timer = self._timers.call_at(0.0, self._make_route)

    def _bend_route(self) -> None:
        """Change `route` at once, if it is made: one node takes no more for now, or takes more."""
        if self.route and self.config is not None:
            self._build_route(self.config)

    def _make_route(self, now: float) -> None:
        if self.config is None:
            return
        self._build_route(self.config)
        lost, self._has_lost_some = self._has_lost_some, False
        if lost:
            if any(endpoint.ready is not None for endpoint in self.endpoints.values()):
                self.ask_for_config(now)
            else:
                self._owner.all_nodes_lost(now)
        self._look(now)

    def _build_route(self, config: ClusterConfig) -> None:
        ready = [None if endpoint is None else endpoint.open_to_all for endpoint in self.by_node]
        # Index -1 stands for no node.
        ready.append(None)
        self.route = [ready[index] for index in config.active]
        self._owner.routed()

    def _look(self, now: float) -> None:
        for watcher in list(self.watchers):
            watcher.look(now)

    def start_polling(self, now: float) -> None:
        """Look for a newer configuration now and then, whatever else hints at one."""
        interval = self.settings.config_poll_interval
        if interval:
            interval = max(interval, self.settings.config_poll_floor)
            self._timers.call_at(now + interval, self._poll)

    def _poll(self, now: float) -> None:
        if self._owner.is_open:
            self.ask_for_config(now)
            for endpoint in self.endpoints.values():
                if endpoint.ready is not None:
                    self.suspect(endpoint.ready, now - _SILENCE, now)
            self.start_polling(now)

    def config_announced(self, frame: Frame, connection: Connection, now: float) -> None:
        """Take a push: it brings a configuration, or only says which revision there is."""
        if frame.value:
            self.take_config(frame, connection, now)
            return
        if self.config is not None and len(frame.extras) == _ANNOUNCED.size:
            announced = Revision(*_ANNOUNCED.unpack(frame.extras))
            if announced <= self.config.revision:
                return
            # The first answer may be of before, or never come; not every node knows it yet.
            self._announced = max(self._announced, announced)
            self._hunts = _HUNTS
        self.ask_for_config(now)

    def hunt(self, now: float) -> None:
        """Ask on if the configuration that was announced is not there yet."""
        if self._hunts and self.config is not None and self.config.revision < self._announced:
            self._hunts -= 1
            self.ask_for_config(now)

    def ask_for_config(self, now: float) -> None:
        """Ask any node for a newer configuration, unless that is being done: soon, if not now."""
        if self.config_request is not None:
            return
        due = self._config_asked + self.settings.config_poll_floor
        if now < due:
            if self._config_timer is None or not self._config_timer.live:
                self._config_timer = self._timers.call_at(due, self.ask_for_config)
            return
        ready = [c for e in self.endpoints.values() if (c := e.ready) is not None]
        if ready:
            # In turn, so that a node that hangs is not asked for ever.
            self._config_turn += 1
            self.ask(ready[self._config_turn % len(ready)], now)

    def seek_config(self, now: float) -> None:
        """Ask for a newer configuration again and again while keys have no node."""
        if self._seeking:
            return

        def again(at: float) -> None:
            self._seeking = False
            if self.homeless:
                self.seek_config(at)

        self._seeking = True
        self._timers.call_at(now + _SEEK_DELAY, again)
        self.ask_for_config(now)

    def ask(self, connection: Connection, now: float) -> None:
        """Ask the node of *connection* for its configuration."""
        if connection.state is not State.READY:
            return
        self._config_asked = now
        # Older servers refuse a request that names the revision we have.
        extras = b""
        known = self.config
        is_known = known is not None and min(known.revision) > 0
        if known is not None and is_known and Feature.CONFIG_KNOWN_VERSION in connection.features:
            extras = _ANNOUNCED.pack(*known.revision)
        self.config_request = self.send(
            connection,
            Opcode.GET_CLUSTER_CONFIG,
            lambda request: self._owner.config_answered(connection, request),
            now,
            extras,
        )

    def send(
        self,
        connection: Connection,
        opcode: int,
        done: Callable[[OwnRequest], None],
        now: float,
        extras: bytes = b"",
        timeout: float | None = None,
    ) -> OwnRequest:
        """Ask something of a node; *done* hears of the answer, or that there will be none.

        *timeout* is in seconds; None: config_node_timeout.
        """
        limit = self.settings.config_node_timeout if timeout is None else timeout
        request = OwnRequest(opcode, limit, done, extras)
        self._owner.enqueue(request, now)
        connection.send(request, 0)
        return request

    # Connections that take no more for now

    def pause(self, connection: Connection) -> None:
        """Route nothing to *connection* before `resume`: what is issued waits, in order."""
        endpoint = self.endpoints.get(connection.address)
        if endpoint is not None and endpoint.connection is connection and not endpoint.is_paused:
            endpoint.is_paused = True
            self._bend_route()

    def resume(self, connection: Connection, now: float) -> None:
        """Send what waits for *connection*, as much as one turn takes; once all is sent, route."""
        endpoint = self.endpoints.get(connection.address)
        if (
            endpoint is None
            or endpoint.ready is not connection
            or endpoint.is_open_circuit
            or connection.is_blocked
        ):
            # Whatever changes that sends what waits.
            return
        self._owner.send_some(endpoint.parked, connection, now)
        if endpoint.is_paused and not connection.is_output_full:
            endpoint.is_paused = False
            self._bend_route()

    def _send_in_turn(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        """Use *connection*, which is ready: first for what waits, then for what is new."""
        endpoint.is_paused = bool(endpoint.parked) or connection.is_blocked
        self._change_route()
        self.resume(connection, now)

    # Half-open connections, and the circuit breaker

    def unanswered(
        self, connection: Connection, since: float, now: float, *, is_excused: bool
    ) -> None:
        """Take note that an operation of *since*, sent on *connection*, ran out of time.

        *is_excused*: the loop stood still meanwhile, which may be why.

        Too many in a row without anything from the node open its circuit breaker: what follows
        is not written into the void. The NOOP of `suspect` is the canary: its answer closes the
        breaker, its failure ends the connection.
        """
        if connection.answers_nothing():
            # Frames that answer nothing are no sign of life.
            self.suspect(connection, now, now)
        else:
            self.suspect(connection, since, now)
        endpoint = self.endpoints.get(connection.address)
        limit = self.settings.circuit_breaker
        if endpoint is None or endpoint.connection is not connection or not limit or is_excused:
            return
        if connection.last_sign > since:
            endpoint.timeouts = 0
            return
        endpoint.timeouts += 1
        if endpoint.timeouts < limit or endpoint.is_open_circuit:
            return
        if now - connection.last_sign < _BREAKER_SILENCE:
            # Impatient callers alone, on a long way, do not make a node suspicious.
            return
        endpoint.is_open_circuit = True
        text = f"{limit} operations in a row, or more, were not answered"
        endpoint.last_error = NodeTimeoutError(text)
        self._change_route()
        self._log(
            "warning",
            "{node} (connection {connection}): {reason}; pausing",
            node=endpoint.address,
            connection=connection.hello.connection_id,
            reason=text,
        )

    def _close_circuit(self, connection: Connection, now: float) -> None:
        endpoint = self.endpoints.get(connection.address)
        if endpoint is None or endpoint.connection is not connection:
            return
        endpoint.timeouts = 0
        if endpoint.is_open_circuit:
            endpoint.is_open_circuit = False
            endpoint.last_error = None
            self._log(
                "info",
                "{node} (connection {connection}) answers again",
                node=endpoint.address,
                connection=connection.hello.connection_id,
            )
            self._send_in_turn(endpoint, connection, now)

    def suspect(self, connection: Connection, since: float, now: float) -> None:
        """See whether *connection* lives, if no whole frame came on it after *since*."""
        if connection.last_activity <= since and connection.id not in self._probed:
            self._probe(connection, now, 1)

    def _probe(self, connection: Connection, now: float, rounds: int) -> None:
        """Ask for a sign of life, for the so-manieth time without one whole frame between."""
        if connection.state is not State.READY:
            return
        self._probed.add(connection.id)

        def done(probe: OwnRequest) -> None:
            self._probe_over(connection, probe, rounds, answered)

        answered = connection.answered
        self.send(connection, Opcode.NOOP, done, now)

    def _probe_over(
        self, connection: Connection, probe: OwnRequest, rounds: int, answered: int
    ) -> None:
        self._probed.discard(connection.id)
        since = probe.deadline - probe.timeout
        has_answered = connection.answered != answered
        if probe.answer is None:
            connection.late_probe = probe.opaque
        if probe.answer is not None or (has_answered and connection.last_activity > since):
            self._close_circuit(connection, connection.last_activity)
            return
        standstill = blocked_for(probe.error)
        longest = _PROBES_UNHEARD
        if connection.last_progress > since:
            longest = _PROBES
        elif connection.last_activity > since:
            longest = _PROBES_MUTE
        if rounds < longest and (connection.last_sign > since or standstill):
            # A large document comes, or goes, before the answer; or we have not listened.
            self._probed.add(connection.id)
            self._timers.call_at(probe.deadline, lambda at: self._probe(connection, at, rounds + 1))
            return
        limit = f"{probe.timeout:g} s (config_node_timeout)"
        text = f"the connection is dead: the node did not even answer a NOOP within {limit}"
        if connection.is_amid_frame:
            text = (
                f"the connection is stuck within an answer: in {limit} the node did not complete "
                f"it, nor send {SIGN // 1024} KB of it"
            )
            if rounds == _PROBES:
                text = (
                    f"the connection is stuck within an answer: {_PROBES} times {limit} were not "
                    "enough for it"
                )
        elif connection.last_activity > since:
            text = (
                f"the node sends but does not answer: {_PROBES_MUTE} times {limit} were not enough "
                "for a NOOP"
            )
        connection.lost(blame(NodeTimeoutError(text), standstill), probe.deadline)

    # Connections

    def new_id(self) -> int:
        """Give a connection's number."""
        return next(self._ids)

    def open(self, address: Address) -> Connection:
        """Have a connection to *address* opened."""
        number = self.new_id()
        hello = Hello(
            self.settings.agent,
            f"{self._client_id}/{number:016x}",
            tracing=self.settings.is_observed,
            wire=self.settings.wire,
        )
        connection = Connection(
            self._owner,
            number,
            address,
            self.settings.bucket,
            hello,
            tls=self.settings.tls,
            opaque=self._random.getrandbits(32),
        )
        self.connections[number] = connection
        self._events.append(OpenConnection(number, address, self.settings.tls))
        return connection

    def _connect(self, endpoint: Endpoint, now: float) -> None:
        endpoint.timer = None
        endpoint.connection = self.open(endpoint.address)
        self.give_up_later(endpoint.connection, now)

    def _connect_later(
        self, endpoint: Endpoint, error: CouchbaseError, now: float, *, was_ready: bool
    ) -> None:
        """Replace the connection of *endpoint*: soon if it was steady, else after a while.

        Much of the delay is random: when a node restarts, all its clients lose it at one instant,
        and must not come back in step.
        """
        if was_ready and now - endpoint.ready_since >= _STEADY:
            endpoint.failures = 0
        if endpoint.failures or not was_ready:
            delay = min(_RECONNECT_FIRST * 2.0 ** min(endpoint.failures, 16), _RECONNECT_LONGEST)
            delay *= 0.5 + self._random.random() / 2
        else:
            delay = _RECONNECT_FIRST * self._random.random()
        endpoint.failures += 1
        endpoint.timer = self._timers.call_at(now + delay, lambda at: self._connect(endpoint, at))
        self._log(
            "warning",
            "lost {node} of {subject}: {reason}; connecting again in {delay:.3f} s",
            node=endpoint.address,
            subject=self.settings.subject,
            reason=self.settings.told(error),
            delay=delay,
        )

    def give_up_later(self, connection: Connection, now: float) -> None:
        """Fail *connection* if it is not ready within the time that one node has."""

        def too_long(at: float) -> None:
            doing = "answer the handshake"
            if connection.state is State.OPENING:
                doing = "accept, or not finish TLS," if connection.tls else "accept"
            error = NodeTimeoutError(
                f"the node did not {doing} within {limit:g} s (config_node_timeout)"
            )
            connection.lost(blame(error, self._timers.excuse(now, at, limit)), at)

        limit = self.settings.config_node_timeout
        self._handshake_timers[connection.id] = self._timers.limit(now, limit, too_long)

    def handshake_ended(self, connection: Connection) -> None:
        """Give up no more: *connection* is ready, or gone."""
        timer = self._handshake_timers.pop(connection.id, None)
        if timer is not None:
            timer.cancel()

    def drop(self, connection: Connection) -> list[Request]:
        """End *connection*; give the operations that were in flight on it."""
        unanswered = connection.close()
        request = self.config_request
        if request is not None and request.connection is connection:
            self.config_request = None
            self._owner.detach(request)
        self._forget(connection)
        return unanswered

    def _forget(self, connection: Connection) -> None:
        if self.connections.pop(connection.id, None) is not None:
            self.handshake_ended(connection)
            self._orphans += connection.orphans
            self._probed.discard(connection.id)
            if self._draining.get(connection.address) is connection:
                del self._draining[connection.address]
            self._events.append(CloseConnection(connection.id))

    def nonce(self) -> str:
        """Give a nonce for SCRAM."""
        return self._entropy(18).hex()

    def _log(self, level: str, text: str, **fields: object) -> None:
        self._events.append(LogRecord(level, text, fields))
