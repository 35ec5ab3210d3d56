"""The search for a first configuration: one seed after the other, within two time limits.

What a DNS SRV record names takes the place of the seeds, if there is one (RFC 0011). Data ports are
asked first, then web ports: nodes without the data service have configurations too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Final

from couchloop.exceptions import (
    AuthError,
    BootstrapTimeoutError,
    BucketNotFoundError,
    ConnectionLostError,
    CouchbaseError,
    CouchbaseNetworkError,
    ErrorContext,
    FeatureNotAvailableError,
    NetworkNotFoundError,
    NodeTimeoutError,
    NodeUnreachableError,
    NoSrvRecordError,
    NotDataNodeError,
    ProtocolError,
    RateLimitedError,
    SrvLookupError,
    TlsError,
    own_copy,
)
from couchloop.http.exchange import IS_IT_A_WEB_PORT
from couchloop.kv.connection import Connection, State
from couchloop.kv.handshake import Negotiated, config_text
from couchloop.safety.printable import printable, words_of
from couchloop.session.bootstrap.http_stream import ConfigSource
from couchloop.session.bootstrap.srv import srv_error, srv_targets
from couchloop.session.configurations import ConfigTracker
from couchloop.session.connections import Connections
from couchloop.session.events import LogRecord, ResolveSrv
from couchloop.session.requests import OwnRequest
from couchloop.session.route_table import RouteTable
from couchloop.session.shared import Shared
from couchloop.session.standstill import blame, blocked_for
from couchloop.session.timers import Timer
from couchloop.session.unanswered import not_ready, not_told
from couchloop.settings.values import DEFAULT_NETWORK, HTTP, Address, distinct
from couchloop.topology.configuration import ClusterConfig, parse_config
from couchloop.topology.networks import NetworkChoice, data_networks, select_network
from couchloop.topology.plain import plain_config
from couchloop.transport.connecting import SILENCE

_NOT_READY_DELAY: Final = 0.1
"""Seconds before a bucket that is warming up is asked for again."""

# Errors that tell more than others when seeds failed in different ways, most telling first.
_TELLING: Final = (
    AuthError,
    BucketNotFoundError,
    FeatureNotAvailableError,
    NetworkNotFoundError,
    RateLimitedError,
    TlsError,
    ProtocolError,
    NotDataNodeError,
)


class Bootstrap:
    """One search.

    Args:
        shared: with all parts of the session.
        table: the data nodes, as far as they are known.
        connections: opens those to seeds.
        tracker: asks seeds again whose bucket is not ready.
        source: asks web ports.
        found: called with the first configuration, the network to use, the connection that brought
            it (None: a web port), and the time.
        failed: called with the error and the time if no seed would have us.
        order: sorts seeds that are to be tried in a random order.
        known: addresses that need not be tried, each in its one form.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        connections: Connections,
        tracker: ConfigTracker,
        source: ConfigSource,
        found: Callable[[ClusterConfig, NetworkChoice, Connection | None, float], None],
        failed: Callable[[CouchbaseError, float], None],
        order: Callable[[], float],
        known: Container[Address] = (),
    ) -> None:
        self.connection: Connection | None = None
        """The connection to the seed that is being tried."""
        self.attempts: list[tuple[str, BaseException]] = []
        """What happened at each seed so far, as ("host:port", error)."""
        self._shared = shared
        self._settings = shared.settings
        self._table = table
        self._connections = connections
        self._tracker = tracker
        self._timers = shared.timers
        self._events = shared.events
        self._found = found
        self._failed = failed
        self._limit: Timer | None = None
        self._began = 0.0
        self._lookup: Timer | None = None
        """Limits the lookup of an SRV record while it runs."""
        self._source = source
        self._origin = ""
        """Which SRV record has named the seeds."""
        self._order = order
        self._known = known
        self._seeds: list[Address] = []
        self._web_seeds: list[Address] = []
        self.web_seed: Address | None = None
        """The web port that is being asked."""
        self.web_addresses: Sequence[Address] = ()
        """All web ports that may be asked."""
        self._is_warming = False
        """Whether the bucket is not ready, by what that web port says."""
        self._asks_again: Timer | None = None

    def start(self, now: float, began: float) -> None:
        """Look up the seeds, or try the first; *began* is when the time for all began to run."""
        settings = self._settings
        self._began = began
        until = began + settings.config_total_timeout
        self._limit = self._timers.limit(now, max(0.0, until - now), self._took_too_long)
        if settings.srv:
            limit = max(0.0, min(settings.resolve_timeout, until - now))
            self._lookup = self._timers.limit(now, limit, self._not_looked_up)
            self._events.append(ResolveSrv(settings.srv, limit))
        else:
            self._try(settings.seeds, settings.web_seeds, now)

    def end(self) -> None:
        """Stop: the search is over, or its session is."""
        for timer in (self._limit, self._lookup, self._asks_again):
            if timer is not None:
                timer.cancel()
        self._lookup = None

    def srv_resolved(self, addresses: Sequence[Address], now: float) -> None:
        """Try what the SRV record names: in its order, for priorities and weights mean nothing."""
        if not addresses:
            what = f"there is no DNS SRV record {self._settings.srv}"
            if self._settings.srv_required:
                what += ": create it, or use couchbase:// (couchbases://) and the names of nodes"
            self.srv_failed(NoSrvRecordError(what), now)
            return
        usable, wrong = srv_targets(self._settings.srv, addresses)
        if not usable:
            self.srv_failed(wrong[0], now)
        elif self._lookup_over():
            addresses = usable
            for error in wrong:
                self.attempts.append((self._settings.srv, error))
                self._tell("warning", "{reason}; it is passed over", reason=error.message)
            self._tell("info", "{name} names {nodes}", nodes=", ".join(map(str, addresses)))
            self._origin = f" (by {self._settings.srv})"
            self._try(addresses, self._settings.web_ports(addresses), now)

    def srv_failed(self, error: BaseException, now: float) -> None:
        """Do without the SRV record, if that is allowed."""
        if not self._lookup_over():
            return
        settings = self._settings
        if settings.srv_required:
            if not isinstance(error, CouchbaseError):
                error = self._no_record(f"{type(error).__name__}: {words_of(error)}")
            self.attempts.append((settings.srv, error))
            self._give_up(now)
            return
        # Who never meant a record need not read that a program is missing to look for one.
        level = "debug" if isinstance(error, FeatureNotAvailableError) else "info"
        reason = printable(words_of(error))
        if isinstance(error, CouchbaseError):
            reason = settings.told(error)
        self._tell(level, "{reason}; trying {nodes}", reason=reason)
        if level == "info" and not isinstance(error, NoSrvRecordError):
            self.attempts.append((settings.srv, error))
        self._try(settings.seeds, settings.web_seeds, now)

    def _lookup_over(self) -> bool:
        """Whether the lookup was still of interest; it is so no more."""
        timer, self._lookup = self._lookup, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _not_looked_up(self, now: float) -> None:
        limit = self._settings.resolve_timeout
        error = self._no_record(f"it was not found within {limit:g} s (resolve_timeout)")
        self.srv_failed(blame(error, self._timers.excuse(self._began, now, limit)), now)

    def _no_record(self, reason: str) -> SrvLookupError:
        return srv_error(self._settings.srv, reason)

    def _tell(self, level: str, text: str, **fields: object) -> None:
        known = {"name": self._settings.srv, "nodes": ", ".join(map(str, self._settings.places))}
        self._events.append(LogRecord(level, text, {**known, **fields}))

    def _try(self, seeds: Sequence[Address], web_seeds: Sequence[Address], now: float) -> None:
        settings = self._settings
        if settings.bootstrap_on in {"all", "cccp"}:
            self._seeds = [seed for seed in distinct(seeds) if seed.one_form not in self._known]
        if settings.bootstrap_on in {"all", HTTP}:
            self._web_seeds = list(distinct(web_seeds))
        if settings.randomize_nodes:
            self._seeds.sort(key=lambda _: self._order())
            self._web_seeds.sort(key=lambda _: self._order())
        self.web_addresses = tuple(self._web_seeds)
        self._try_next(now)

    def handshake_done(self, negotiated: Negotiated, now: float) -> None:
        """Open the bucket with the configuration of a seed, once that is usable."""
        connection = self.connection
        assert connection is not None
        if self._settings.is_plain:
            # There is no other configuration than what the connection string says.
            plain = NetworkChoice(DEFAULT_NETWORK, "there is no other")
            self._found(plain_config(self._settings.seeds), plain, connection, now)
        elif negotiated.gives_config:
            self._told(negotiated.config, connection, now)
        else:
            connection.lost(self._not_told(), now)

    def _not_told(self) -> CouchbaseError:
        """Return why a data node gave no configuration of a bucket that it has."""
        text = (
            f"data nodes have no configuration of bucket {self._settings.bucket!r}: it is of type "
            "memcached, or the server is too old; web ports tell it"
        )
        if not self.web_addresses:
            text += (
                ", which are not asked: use couchbases:// (TLS), or bootstrap_on=http if the "
                "password may go over the network in clear text"
            )
        error = NotDataNodeError(text)
        error.may_pass = bool(self.web_addresses)
        return error

    def _told(self, text: bytes, connection: Connection, now: float) -> None:
        try:
            usable = self._read(text, connection.address)
        except CouchbaseError as error:
            connection.lost(error, now)
            return
        if usable is None:
            # The bucket is being created or warming up: ask again until time is up.
            self._timers.call_at(
                now + _NOT_READY_DELAY,
                lambda at: self._tracker.ask(connection, at, self._config_answered),
            )
            return
        self._found(*usable, connection, now)

    def config_streamed(self, text: bytes, now: float) -> None:
        """Open the bucket with the configuration of a web port, once that is usable."""
        seed = self.web_seed
        assert seed is not None
        try:
            usable = self._read(text, seed)
        except CouchbaseError as error:
            if isinstance(error, ProtocolError):
                error.message += f": {IS_IT_A_WEB_PORT}"
            error.context = replace(
                error.context or ErrorContext(), node=str(seed), bucket=self._settings.bucket
            )
            self._source.close()
            self.stream_failed(error, now)
            return
        self._is_warming = usable is None
        if usable is not None:
            self._found(*usable, None, now)

    def stream_failed(self, error: CouchbaseError, now: float) -> None:
        """Handle that the web port gives no (more) configurations, and try the next."""
        seed = self.web_seed
        assert seed is not None
        if self._is_warming and isinstance(error, ConnectionLostError):
            # What it gave was all it has at present.
            when = now + _NOT_READY_DELAY
            self._asks_again = self._timers.call_at(when, lambda at: self._source.open(seed, at))
            return
        self.web_seed = None
        self._is_warming = False
        self._note(self._url(seed), error, now)

    def _read(self, text: bytes, seed: Address) -> tuple[ClusterConfig, NetworkChoice] | None:
        """Return the configuration that came from *seed*, and the network to use; None: not ready.

        Raises CouchbaseError if it is of no use.
        """
        config = parse_config(text, seed.host) if text else None
        if config is None or not (config.is_ready or not self._settings.bucket):
            return None
        network = select_network(config, seed, self._settings.network)
        if not any(self._table.data_addresses(config, network.name)):
            raise self._not_on(network.name, config)
        return config, network

    def _not_on(self, network: str, config: ClusterConfig) -> CouchbaseError:
        """Return why no node can be reached on *network*, and which to try instead."""
        bucket = self._settings.bucket
        port = "TLS data port" if self._settings.tls else "data port"
        usable = data_networks(config, self._table.service)
        cure = f"try network={' or network='.join(usable)}" if usable else "no network has one"
        if not any(network in node.networks for node in config.nodes):
            return NetworkNotFoundError(
                f"no node of bucket {bucket!r} is on a network {network!r}: {cure}"
            )
        error = NodeUnreachableError(
            f"no node of bucket {bucket!r} has a {port} on network {network!r}: {cure}"
        )
        error.may_pass = False
        return error

    def _config_answered(self, connection: Connection, request: OwnRequest) -> None:
        """Handle the answer of a node whose bucket was not ready, or that it gave none."""
        answer = request.answer
        if answer is None:
            error = NodeTimeoutError(
                f"the node did not give a configuration within {request.timeout:g} s "
                "(config_node_timeout)"
            )
            connection.lost(blame(error, blocked_for(request.error)), request.deadline)
            return
        now = connection.last_activity
        try:
            text = b"" if answer.status else config_text(answer)
        except ProtocolError as error:
            connection.lost(error, now)
            return
        self._told(text, connection, now)

    def failed(self, seed: Address, error: CouchbaseError, now: float) -> None:
        """Record what happened at *seed*, whose connection is gone, and try the next."""
        self.connection = None
        self._note(str(seed), error, now)

    def _note(self, seed: str, error: CouchbaseError, now: float) -> None:
        self.attempts.append((seed, error))
        self._events.append(
            LogRecord(
                "warning",
                "seed {node}: {reason}",
                {"node": seed, "reason": self._settings.told(error)},
            )
        )
        if isinstance(error, AuthError):
            # No other node would say otherwise.
            self._seeds.clear()
            self._web_seeds.clear()
        self._try_next(now)

    def _warn(self, seed: Address) -> None:
        settings = self._settings
        if settings.tls or settings.login.by_certificate or self._shared.has_warned:
            return
        self._shared.has_warned = True
        text = (
            "asking {seed} sends the password in clear text: use couchbases:// (TLS), or "
            "bootstrap_on=cccp to ask data ports alone"
        )
        self._events.append(LogRecord("warning", text, {"seed": self._url(seed)}))

    def _url(self, seed: Address) -> str:
        return f"http{'s' if self._settings.tls else ''}://{seed}"

    def _try_next(self, now: float) -> None:
        if self._seeds:
            self.connection = self._connections.open(self._seeds.pop(0))
            self._connections.give_up_later(self.connection, now)
        elif self._web_seeds:
            self.web_seed = self._web_seeds.pop(0)
            self._warn(self.web_seed)
            self._source.open(self.web_seed, now)
        else:
            self._give_up(now)

    def unanswered(self) -> CouchbaseError | None:
        """See `Search`."""
        if self._lookup is not None:
            return self._no_record("it has not been found so far")
        if self.connection is not None:
            return not_ready(self.connection)
        if self.web_seed is not None:
            return not_told(self.web_seed, accepted=self._source.is_connected)
        return None

    def _took_too_long(self, now: float) -> None:
        connection = self.connection
        what, why = "no node gave a configuration of the bucket", ""
        if self._lookup is not None:
            what = f"the DNS SRV record {self._settings.srv} was not found"
        context = ErrorContext()
        if connection is not None:
            context.node = str(connection.address)
        if self.web_seed is not None:
            context.node = str(self.web_seed)
        if self._is_warming or (connection is not None and connection.state is State.READY):
            what, why = "the bucket was not ready", ": it is being created, or warming up"
        elif (connection is not None and connection.state is State.OPENING) or (
            self.web_seed is not None and not self._source.is_connected
        ):
            why = f": {SILENCE}"
        limit = f"within {self._settings.config_total_timeout:g} s (config_total_timeout)"
        error = BootstrapTimeoutError(f"{what} {limit}{why}", context=context)
        total = self._settings.config_total_timeout
        blame(error, self._timers.excuse(self._began, now, total))
        if connection is not None:
            self.attempts.append((str(connection.address), error))
            self._connections.drop(connection)
        elif self.web_seed is not None:
            self.attempts.append((self._url(self.web_seed), error))
            self._source.close()
        self._give_up(now, error)

    def _summary(self) -> CouchbaseError:
        """Return the error that tells most of all attempts; the others go with it."""
        causes = [cause for _, cause in self.attempts if isinstance(cause, CouchbaseError)]
        told = [cause for kind in _TELLING for cause in causes if isinstance(cause, kind)]
        if told:
            return own_copy(told[0])
        if not causes:
            # Every seed is a node that is known, and being connected.
            return NodeUnreachableError("there is no other seed to ask")
        # What DNS did not know counts only if nobody else was asked.
        seeds = [cause for cause in causes if not isinstance(cause, SrvLookupError)]
        error = own_copy((seeds or causes)[0])
        if len({cause.message for cause in seeds}) > 1:
            what = "the cluster"
            if self._settings.bucket:
                what = f"bucket {self._settings.bucket!r}"
            error.message = (
                f"none of {len(seeds)} seeds{self._origin} gave a configuration of {what}"
            )
        return error

    def _give_up(self, now: float, error: CouchbaseError | None = None) -> None:
        if error is None:
            error = self._summary()
        if self._settings.read_as and isinstance(error, CouchbaseNetworkError):
            error.message += f"; {self._settings.read_as}"
        context = replace(error.context or ErrorContext(), bucket=self._settings.bucket)
        if len(self.attempts) > 1:
            context.seeds = tuple(self.attempts)
        error.context = context
        self._failed(error, now)
