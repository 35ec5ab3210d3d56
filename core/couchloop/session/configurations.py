"""Configurations of the cluster: asked for, pushed, streamed; the newest that is usable counts."""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import ProtocolError
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import config_text
from couchloop.session.shared import nobody
from couchloop.settings.values import Address
from couchloop.topology.configuration import ClusterConfig, Revision, parse_config
from couchloop.wire import Feature, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from couchloop.hot.frames import Frame
    from couchloop.session.connections import Connections
    from couchloop.session.liveness import Liveness
    from couchloop.session.requests import OwnRequest, OwnRequests
    from couchloop.session.route_table import Endpoint, RouteTable
    from couchloop.session.shared import Shared
    from couchloop.session.timers import Timer

_ANNOUNCED: Final = Struct(">qq")
"""Epoch and revision in the extras of a push."""
_MOST_REPEATED: Final = 20
"""So often a revision that was announced is asked for again."""
_AGAIN: Final = 0.1
"""Seconds between two requests for a configuration while keys have no node."""


class ConfigReason(Enum):
    """Why a newer configuration is asked for."""

    POLL = auto()
    """It was not asked for some time."""
    ANNOUNCED = auto()
    """A node has told that there is one."""
    CONNECTION_LOST = auto()
    """A node may be gone."""
    REFUSED = auto()
    """A node's answer to an operation hints at one."""
    AWAITED = auto()
    """Keys have no node: it is asked for again and again, as long as operations wait for it."""


def _revision(config: ClusterConfig) -> str:
    return "/".join(map(str, config.revision))


class ConfigTracker:
    """Keeps the configuration up to date, and the nodes that it lists connected.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        connections: to them.
        requests: sends requests for configurations.
        liveness: of the nodes; what was silent for long is looked at now and then.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        connections: Connections,
        requests: OwnRequests,
        liveness: Liveness,
    ) -> None:
        self._shared = shared
        self._table = table
        self._connections = connections
        self._requests = requests
        self._liveness = liveness
        connections.on_dropped = self._connection_dropped
        self.request: OwnRequest | None = None
        """The request for a configuration that is under way."""
        self.on_learned: Callable[[ClusterConfig], None] = nobody
        """Called with a configuration that counts now, and that a node has told."""
        self.resend: Callable[[dict[Any, None], float], None] = nobody
        """Sends what waited: another node may have its keys now."""
        self.on_changed: Callable[[float], None] = nobody
        """Called with the time when another configuration counts."""
        self._is_from_file = False
        """Whether no node has told the configuration that counts."""
        self._asked = -inf
        self._timer: Timer | None = None
        self._turn = 0
        self._announced = Revision(0, 0)
        """The newest revision that a push only announced."""
        self._repeats = 0
        """How often more it is asked for if an answer does not bring it."""
        self._is_awaited = False
        """Whether it is asked for again after a while, for keys have no node."""

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self.on_learned = self.resend = self.on_changed = nobody

    # Asking

    def start_polling(self, now: float) -> None:
        """Look for a newer configuration now and then, whatever else hints at one."""
        settings = self._shared.settings
        interval = settings.config_poll_interval
        if interval:
            interval = max(interval, settings.config_poll_floor)
            self._shared.timers.call_at(now + interval, self._poll)

    def _poll(self, now: float) -> None:
        if self._shared.is_open:
            self.request_config(ConfigReason.POLL, now)
            self._liveness.suspect_all(now)
            self.start_polling(now)

    def request_config(self, reason: ConfigReason, now: float) -> None:
        """Ask any node for a newer configuration, unless that is being done: soon, if not now."""
        if reason is ConfigReason.AWAITED:
            if self._is_awaited:
                return
            self._is_awaited = True
            self._shared.timers.call_at(now + _AGAIN, self._ask_again)
        self._request(now)

    def _ask_again(self, now: float) -> None:
        self._is_awaited = False
        if self._table.awaiting_config:
            self.request_config(ConfigReason.AWAITED, now)

    def _request(self, now: float) -> None:
        known = self._table.config
        if self.request is not None or (known is not None and not known.has_vbuckets):
            # Data nodes know nothing of buckets without vbuckets.
            return
        due = self._asked + self._shared.settings.config_poll_floor
        if now < due:
            if self._timer is None or not self._timer.live:
                self._timer = self._shared.timers.call_at(due, self._request)
            return
        ready = self._table.ready
        if ready:
            # In turn, so that a node that hangs is not asked for ever.
            self._turn += 1
            self.ask(ready[self._turn % len(ready)], now)

    def ask(
        self,
        connection: Connection,
        now: float,
        done: Callable[[Connection, OwnRequest], None] | None = None,
    ) -> None:
        """Ask the node of *connection* for its configuration.

        *done* is called with the answer; None: it counts if it is newer.
        """
        if connection.state is not State.READY:
            return
        self._asked = now
        # Older servers refuse a request that names the revision we have.
        extras = b""
        known = self._table.config
        is_known = known is not None and min(known.revision) > 0
        if known is not None and is_known and Feature.CONFIG_KNOWN_VERSION in connection.features:
            extras = _ANNOUNCED.pack(*known.revision)

        def answered(request: OwnRequest) -> None:
            if self.request is request:
                self.request = None
            if connection.state is State.READY:
                (done or self._answered)(connection, request)

        self.request = self._requests.send(
            connection, Opcode.GET_CLUSTER_CONFIG, answered, now, extras
        )

    def _answered(self, connection: Connection, request: OwnRequest) -> None:
        answer = request.answer
        # Nothing may have come for long on a connection that does not answer.
        now = request.deadline if answer is None else connection.last_activity
        if answer is not None and answer.value and not answer.status:
            self.take(answer, connection, now)
        known = self._table.config
        if self._repeats and known is not None and known.revision < self._announced:
            self._repeats -= 1
            self._request(now)

    def _connection_dropped(self, connection: Connection) -> None:
        request = self.request
        if request is not None and request.connection is connection:
            self.request = None
            self._requests.forget(request)

    # What was told

    def announced(self, frame: Frame, connection: Connection, now: float) -> None:
        """Take a push: it brings a configuration, or only says which revision there is."""
        if frame.value:
            self.take(frame, connection, now)
            return
        known = self._table.config
        if known is not None and len(frame.extras) == _ANNOUNCED.size:
            announced = Revision(*_ANNOUNCED.unpack(frame.extras))
            if announced <= known.revision:
                return
            # The first answer may be of before, or never come; not every node knows it yet.
            self._announced = max(self._announced, announced)
            self._repeats = _MOST_REPEATED
        self.request_config(ConfigReason.ANNOUNCED, now)

    def take(self, source: Frame | bytes, origin: Connection | Address, now: float) -> bool:
        """Apply a configuration if it is newer; return whether it was.

        *source* is a frame that carries it, or its text; *origin* is the connection, or the web
        port, that it came from.
        """
        if not self._shared.is_open:
            return False
        address, connection = origin, ""
        if isinstance(origin, Connection):
            address, connection = origin.address, f" (connection {origin.hello.connection_id})"
        assert isinstance(address, Address)
        try:
            text = source if isinstance(source, bytes) else config_text(source)
            config = parse_config(text, address.host)
        except ProtocolError as error:
            self._shared.log(
                "warning",
                "{node}{connection} gave {reason}",
                node=address,
                connection=connection,
                reason=self._shared.settings.told(error),
            )
            return False
        return self.apply(config, now)

    # What counts

    def reset(self) -> None:
        """Forget the nodes, and the configuration that listed them."""
        self._connections.close()
        self._table.config = None
        self._table.network = ""

    def apply(
        self,
        config: ClusterConfig,
        now: float,
        first: Connection | None = None,
        network: str = "",
        *,
        from_file: bool = False,
    ) -> bool:
        """Make *config* the one that counts, if it is usable and newer; return whether it was.

        *first* is the connection that bootstrap has made: it becomes that of its node. *network* is
        what bootstrap has chosen; one on which a node is connected stays. One *from_file* may be of
        a bucket that is no more: that of a node replaces it then, however old.
        """
        table = self._table
        if table.ready:
            network = ""
        if not self._is_wanted(config, network, from_file=from_file):
            return False
        self._tell_remarks(config)
        network = network or table.network
        addresses = table.data_addresses(config, network)
        if not any(addresses):
            self._shared.log(
                "warning",
                "configuration {rev} lists no data node on network {network}: ignored",
                rev=_revision(config),
                network=network,
            )
            return False
        self._adopt(config, network, from_file=from_file)
        removed = self._place(config, addresses, first)
        self._connections.connect_missing(now)
        table.change()
        self._resend((*removed, *table.endpoints.values()), now)
        for endpoint in removed:
            self._connections.retire(endpoint, now)
        self.on_changed(now)
        return True

    def _is_wanted(self, config: ClusterConfig, network: str, *, from_file: bool) -> bool:
        """Whether *config* is usable, and newer than what counts, or of nodes elsewhere."""
        known = self._table.config
        is_another = self._is_another(config)
        if known is not None and not (is_another or from_file):
            # A node has told the same.
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
        is_usable = config.is_ready or not self._shared.settings.bucket
        return is_usable and (is_new or is_elsewhere)

    def _is_another(self, config: ClusterConfig) -> bool:
        """Whether *config* is of another bucket than what counts, or of another cluster."""
        known = self._table.config
        return known is not None and config.uuid != known.uuid

    def _tell_remarks(self, config: ClusterConfig) -> None:
        """Log what is wrong with *config*, once: it often stays so for all that follow."""
        known = self._table.config
        if config.remarks and (known is None or config.remarks != known.remarks):
            self._shared.log(
                "info",
                "configuration {rev}: passed over {what}",
                rev=_revision(config),
                what="; ".join(config.remarks),
            )

    def _adopt(self, config: ClusterConfig, network: str, *, from_file: bool) -> None:
        """Have *config* count, and *network*."""
        table = self._table
        known = table.config
        if network != table.network:
            table.network = network
            table.network_works = False
        if self._is_another(config) and not self._is_from_file:
            self._shared.log(
                "warning",
                "bucket {bucket} was deleted and made anew: its documents are gone",
                bucket=self._shared.settings.bucket,
            )
        if known is not None and config.revision <= known.revision:
            self._announced = config.revision
        table.config = config
        self._is_from_file = from_file
        if not from_file:
            self.on_learned(config)

    def _place(
        self, config: ClusterConfig, addresses: list[Address | None], first: Connection | None
    ) -> list[Endpoint]:
        """Enter the nodes of *config* into the table; return those that are listed no more.

        *first* becomes the connection of its node, or is dropped.
        """
        table = self._table
        before, table.endpoints, table.by_node = table.endpoints, {}, []
        for node, address in zip(config.nodes, addresses, strict=False):
            if address is None:
                table.by_node.append(None)
                continue
            endpoint = before.get(address) or table.endpoints.get(address)
            if endpoint is None:
                endpoint = self._connections.new_endpoint(address)
            table.endpoints[address] = endpoint
            table.by_node.append(endpoint)
            if first is None or endpoint.connection is not None:
                continue
            is_dialled = address.one_form == first.address.one_form
            if node.this_node or is_dialled:
                table.network_works |= is_dialled
                first.address = address
                endpoint.connection = first
                self._connections.used(first)
                if endpoint.timer is not None:
                    endpoint.timer.cancel()
                    endpoint.timer = None
                first = None
        if first is not None:
            # It gave the configuration, but is no data node of this bucket.
            self._connections.drop(first)
        return [each for address, each in before.items() if address not in table.endpoints]

    def _resend(self, endpoints: Iterable[Endpoint], now: float) -> None:
        """Have all that waits sent: another node may have its keys now."""
        for endpoint in endpoints:
            if endpoint.parked:
                self.resend(endpoint.parked, now)
        if self._table.awaiting_config:
            self.resend(self._table.awaiting_config, now)
