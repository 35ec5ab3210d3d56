"""The connections to the data nodes: opened, given up, drained, replaced."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final
from weakref import ProxyTypes, proxy

from couchloop.exceptions import (
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    TlsError,
    UnknownHostError,
    WrongProtocolError,
)
from couchloop.kv.connection import Connection, Owner, State
from couchloop.kv.handshake import Hello
from couchloop.session.events import CloseConnection, OpenConnection
from couchloop.session.route_table import Endpoint
from couchloop.session.shared import nobody
from couchloop.session.standstill import blame
from couchloop.topology.networks import data_networks
from couchloop.transport.connecting import SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.hot.request import Request
    from couchloop.session.route_table import RouteTable
    from couchloop.session.shared import Random, Shared
    from couchloop.session.timers import Timer
    from couchloop.settings.values import Address

_DRAIN_DELAY: Final = 0.05
_RECONNECT_FIRST: Final = 0.05
_RECONNECT_LONGEST: Final = 2.0
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


class Connections:
    """The connections of one session.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        owner: of each connection.
        random: source of jitter.
        entropy: source of nonces.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        owner: Owner,
        random: Random,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._shared = shared
        self._table = table
        self._owner = owner
        self._random = random
        self._entropy = entropy
        self._client_id = entropy(8).hex()
        self._ids = count(1)
        self._endpoint_ids = count(1)
        self.by_id: dict[int, Connection] = {}
        """Those that are open or being opened."""
        self._handshake_timers: dict[int, Timer] = {}
        self._draining: dict[Address, Connection] = {}
        """Connections to nodes that the configuration no longer lists."""
        self._orphans = 0
        self.is_told_by_web = False
        """Whether web ports tell of changes."""
        self.on_dropped: Callable[[Connection], None] = nobody
        """Called with each connection that is closed."""
        self._used: set[int] = set()
        """Those of nodes that were ready, of which observers have been told."""

    @property
    def orphans(self) -> int:
        """Answers that came when nobody waited for them any more."""
        return self._orphans + sum(connection.orphans for connection in self.by_id.values())

    @property
    def draining(self) -> list[Connection]:
        """Connections to nodes that the configuration no longer lists."""
        return list(self._draining.values())

    def heard_since(self, when: float) -> bool:
        """Whether anything has come from any peer at *when* or later."""
        return any(connection.last_heard >= when for connection in self.by_id.values())

    def nonce(self) -> str:
        """Return a nonce for SCRAM."""
        return self._entropy(18).hex()

    def new_id(self) -> int:
        """Return a connection's number."""
        return next(self._ids)

    def name_of(self, number: int) -> str:
        """Return how reports, and the log of a data node, call the connection of that number."""
        return f"{self._client_id}/{number:016x}"

    def new_endpoint(self, address: Address) -> Endpoint:
        """Return a node that a configuration lists anew; it takes over what still drains."""
        endpoint = Endpoint(address, f"{self._client_id}/node-{next(self._endpoint_ids)}")
        draining = endpoint.connection = self._draining.pop(address, None)
        endpoint.is_paused = draining is not None and draining.is_blocked
        return endpoint

    # Opening

    def open(self, address: Address) -> Connection:
        """Have a connection to *address* opened."""
        number = self.new_id()
        settings = self._shared.settings
        hello = Hello(
            settings.agent,
            self.name_of(number),
            tracing=settings.is_observed or self._shared.on_node is not None,
            wire=settings.wire,
            is_plain=settings.is_plain,
        )
        connection = Connection(
            self._owner,
            number,
            address,
            settings.bucket,
            hello,
            tls=settings.tls,
            opaque=self._random.getrandbits(32),
        )
        self.by_id[number] = connection
        self._shared.events.append(OpenConnection(number, address, settings.tls))
        return connection

    @property
    def needs_one(self) -> bool:
        """Whether one connection is enough: no documents are asked for without a bucket."""
        settings = self._shared.settings
        return not (settings.bucket or settings.is_plain)

    def connect_missing(self, now: float) -> None:
        """Have those nodes connected that are to be, and are not."""
        missing = [
            each
            for each in self._table.endpoints.values()
            if each.connection is None and each.timer is None
        ]
        if self.needs_one:
            missing = missing[:1] if len(missing) == len(self._table.endpoints) else []
        for endpoint in missing:
            self.connect(endpoint, now)

    def keep_one(self, now: float) -> None:
        """Close what is connected beyond the one that is enough; what is in flight may end."""
        used = [
            each
            for each in self._table.endpoints.values()
            if each.connection is not None or each.timer is not None
        ]
        if not (self.needs_one and used):
            return
        ready = [each for each in used if each.ready is not None]
        kept = min(ready or used, key=lambda each: each.ready_since)
        for endpoint in used:
            if endpoint is not kept:
                self.retire(endpoint, now)
                endpoint.connection = endpoint.timer = None

    def connect(self, endpoint: Endpoint, now: float) -> None:
        """Have a node connected; it has no connection."""
        endpoint.timer = None
        endpoint.connection = self.open(endpoint.address)
        self.give_up_later(endpoint.connection, now)

    def give_up_later(self, connection: Connection, now: float) -> None:
        """Fail *connection* if it is not ready within the time that one node has."""
        timers = self._shared.timers

        def too_long(at: float) -> None:
            doing, why = "answer the handshake", ""
            if connection.state is State.OPENING:
                doing = "accept, or not finish TLS," if connection.tls else "accept"
                why = f": {SILENCE}"
            error = NodeTimeoutError(
                f"the node did not {doing} within {limit:g} s (config_node_timeout){why}"
            )
            connection.lost(blame(error, timers.excuse(now, at, limit)), at)

        limit = self._shared.settings.config_node_timeout
        self._handshake_timers[connection.id] = timers.limit(now, limit, too_long)

    def handshake_ended(self, connection: Connection) -> None:
        """Give up no more: *connection* is ready, or gone."""
        timer = self._handshake_timers.pop(connection.id, None)
        if timer is not None:
            timer.cancel()

    def became_ready(self, connection: Connection, now: float) -> Endpoint | None:
        """Return the node whose connection is ready; None: no configuration lists it (any more)."""
        endpoint = self._table.endpoint_with(connection)
        if endpoint is None:
            return None
        endpoint.ready_since = now
        endpoint.last_error = None
        self.used(connection)
        self._table.network_works = True
        self._shared.log(
            "debug",
            "connected to {node} (connection {connection})",
            node=connection.address,
            connection=connection.hello.connection_id,
        )
        return endpoint

    # Replacing

    def failed(
        self, connection: Connection, error: CouchbaseError, now: float, *, was_ready: bool
    ) -> None:
        """Replace a connection that was dropped, if its node is still in the configuration."""
        endpoint = self._table.endpoint_with(connection)
        if endpoint is None:
            return
        endpoint.connection = None
        self._hint(error)
        endpoint.last_error = error
        # Its next connection has to prove itself by the handshake.
        endpoint.is_open_circuit = endpoint.is_paused = False
        endpoint.timeouts = 0
        self._table.lost()
        self._connect_later(endpoint, error, now, was_ready=was_ready)

    def _hint(self, error: CouchbaseError) -> None:
        """Have *error* say which network to try, if none of the nodes was ever reached on ours."""
        table = self._table
        if table.config is None or table.network_works or not isinstance(error, _NO_WAY):
            return
        networks = data_networks(table.config, table.service)
        others = [name for name in networks if name != table.network]
        if others:
            error.message = (
                f"{error.message.rstrip('.')}; no node was reached on network {table.network!r}: "
                f"try network={' or network='.join(others)}"
            )

    def _connect_later(
        self, endpoint: Endpoint, error: CouchbaseError, now: float, *, was_ready: bool
    ) -> None:
        """Replace the connection of *endpoint*: soon if it was steady, else after a while.

        Much of the delay is random: when a node restarts, all its clients lose it at one instant,
        and must not come back in step.
        """
        shared = self._shared
        if was_ready and now - endpoint.ready_since >= _STEADY:
            endpoint.failures = 0
        if endpoint.failures or not was_ready:
            delay = min(_RECONNECT_FIRST * 2.0 ** min(endpoint.failures, 16), _RECONNECT_LONGEST)
            delay *= 0.5 + self._random.random() / 2
        else:
            delay = _RECONNECT_FIRST * self._random.random()
        endpoint.failures += 1
        others = list(self._table.endpoints.values())
        if self.needs_one:
            if any(each.connection is not None or each.timer is not None for each in others):
                # As long as a ping has each node connected.
                return
            if self.is_told_by_web and all(
                isinstance(each.last_error, NotDataNodeError) for each in others
            ):
                # None of them knows of the cluster: they are of before 6.5.
                return
            # Any other does as well.
            endpoint = others[(others.index(endpoint) + 1) % len(others)]
        endpoint.timer = shared.timers.call_at(now + delay, lambda at: self.connect(endpoint, at))
        shared.log(
            "warning",
            "lost {node} of {subject}: {reason}; connecting again in {delay:.3f} s",
            node=endpoint.address,
            subject=shared.settings.subject,
            reason=shared.settings.told(error),
            delay=delay,
        )

    # Ends

    def retire(self, endpoint: Endpoint, now: float) -> None:
        """Do without a node that the configuration no longer lists; what is in flight may end."""
        if endpoint.timer is not None:
            endpoint.timer.cancel()
        connection = endpoint.connection
        if connection is not None:
            self._draining[connection.address] = connection
            self._drain(connection, now)

    def _drain(self, connection: Connection, now: float) -> None:
        """Close *connection* as soon as nothing is in flight on it, unless its node comes back."""
        if self._draining.get(connection.address) is not connection:
            return
        if connection.state is not State.READY or not connection.pending:
            self.drop(connection)
        else:
            timers = self._shared.timers
            timers.call_at(now + _DRAIN_DELAY, lambda at: self._drain(connection, at))

    def used(self, connection: Connection) -> None:
        """Take note that *connection* is a node's, and can be used."""
        self._used.add(connection.id)
        self._shared.node_changed(connection, "connected")

    def drop(self, connection: Connection, error: CouchbaseError | None = None) -> list[Request]:
        """End *connection*; return the requests that were in flight on it.

        *error* is why, if it was not meant to end.
        """
        unanswered = connection.close()
        self.on_dropped(connection)
        self._not_used(connection, error)
        self._forget(connection)
        return unanswered

    def close(self) -> None:
        """Close every connection, and forget the nodes; what is in flight is left to others."""
        for connection in list(self.by_id.values()):
            connection.close()
            self._not_used(connection, None)
            self._forget(connection)
        self._table.clear()

    def _not_used(self, connection: Connection, error: CouchbaseError | None) -> None:
        if connection.id in self._used:
            self._used.discard(connection.id)
            self._shared.node_changed(connection, "closed" if error is None else "lost", error)

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended, and opens no connection."""
        self.on_dropped = nobody
        if not isinstance(self._owner, ProxyTypes):
            self._owner = proxy(self._owner)

    def _forget(self, connection: Connection) -> None:
        if self.by_id.pop(connection.id, None) is not None:
            self.handshake_ended(connection)
            self._orphans += connection.orphans
            if self._draining.get(connection.address) is connection:
                del self._draining[connection.address]
            self._shared.events.append(CloseConnection(connection.id))
