"""From the search for a configuration to the open bucket: what is tried, and tried again."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import CouchbaseError
from couchloop.session import reopening
from couchloop.session.bootstrap.config_file import ConfigFileBootstrap
from couchloop.session.bootstrap.http_stream import ConfigSource
from couchloop.session.bootstrap.search import Bootstrap
from couchloop.session.events import Opened, OpenFailed, Output
from couchloop.session.shared import SessionState, Shared, nobody
from couchloop.settings.values import FILE_ONLY, HTTP, Address, one_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from couchloop.kv.connection import Connection
    from couchloop.kv.handshake import Negotiated
    from couchloop.session.configurations import ConfigTracker
    from couchloop.session.connections import Connections
    from couchloop.session.dispatcher import Dispatcher
    from couchloop.session.route_table import RouteTable
    from couchloop.session.shared import Random
    from couchloop.session.timers import Timer
    from couchloop.topology.configuration import ClusterConfig
    from couchloop.topology.networks import NetworkChoice

_SEARCH_SPREAD: Final = 0.05
"""Seconds within which seeds are asked, at a random moment, once all nodes are lost."""
_SEARCH_PAUSE: Final = 2.0
_STARTING: Final = frozenset({SessionState.NEW, SessionState.FAILED, SessionState.WAITING})


class Opening:
    """How a session comes to be open, and finds its nodes again when all are lost.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        connections: to them.
        tracker: of configurations.
        dispatcher: has what waits for the bucket.
        random: source of jitter.
        write: called with a request to a web port that is to be written.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        connections: Connections,
        tracker: ConfigTracker,
        dispatcher: Dispatcher,
        random: Random,
        write: Callable[[Output], None],
    ) -> None:
        self.admit: Callable[[ClusterConfig], CouchbaseError | None] = nobody
        """Says why the bucket must not be opened, once it is known what it is; None: it may."""
        self.lazy = False
        """Whether it opens at its first use, and at the next where that fails."""
        self.heals = False
        """Whether it opens again by itself what could not be opened for a cause that passes."""
        self.on_failed: Callable[[CouchbaseError], None] = nobody
        """Called with why the opening has ended."""
        self._shared = shared
        self._table = table
        self._connections = connections
        self._tracker = tracker
        self._dispatcher = dispatcher
        self._random = random
        self.source = ConfigSource(
            shared,
            connections.new_id,
            random,
            write,
            self._config_streamed,
            self._stream_failed,
        )
        self.config_file = ConfigFileBootstrap(
            shared, table, tracker, self._opened_by_file, self._search, self._failed
        )
        self._bootstrap: Bootstrap | None = None
        self._failures = 0
        """How often in a row it could not be opened."""
        self._again: Timer | None = None
        """When it is opened again."""
        self._next_search = -inf
        """Time before which no seed is asked again when all nodes are lost."""
        self._stranded: list[tuple[CouchbaseError, dict[Any, None], float]] = []
        """What fails once events were taken, why, and since when."""

    def start(self, now: float) -> None:
        """Look for a first configuration; harmless if it is there or being looked for."""
        shared = self._shared
        if shared.state not in _STARTING:
            return
        shared.state = SessionState.OPENING
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if shared.settings.config_cache:
            self.config_file.start(now)
        else:
            self._search(now, now)

    def find(self, now: float) -> None:
        """Likewise for what is no operation: a pause before the next try is kept."""
        if self._shared.state is not SessionState.WAITING:
            self.start(now)

    def end(self) -> None:
        """Look no more: the session ends."""
        self._end_bootstrap()
        self.config_file.end()
        self.source.close()

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self.on_failed = nobody
        self.source.let_go()
        self.config_file.let_go()

    def _search(self, now: float, began: float, known: Container[Address] = ()) -> None:
        """Look for a configuration at the seeds; *began* is when the time for all began to run."""
        self._bootstrap = self._shared.search = Bootstrap(
            self._shared,
            self._table,
            self._connections,
            self._tracker,
            self.source,
            self._found,
            self._failed,
            self._random.random,
            known,
        )
        self._bootstrap.start(now, began)

    def _end_bootstrap(self) -> None:
        bootstrap, self._bootstrap = self._bootstrap, None
        if bootstrap is not None:
            self._shared.search = None
            bootstrap.end()

    # What the connections of seeds, and of nodes of the file, meet

    @property
    def bootstrap(self) -> Bootstrap | None:
        """The search at the seeds, if one runs."""
        return self._bootstrap

    def takes_ready(self, connection: Connection, negotiated: Negotiated, now: float) -> bool:
        """Handle a connection that is ready; return whether it is none of a node that is known."""
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            bootstrap.handshake_done(negotiated, now)
            return True
        if self.config_file.is_trying:
            self.config_file.ready(negotiated.config, connection.address.host, now)
        return False

    def node_ready(self) -> None:
        """Take note that a node's connection is ready: data nodes tell of changes themselves.

        But for buckets without vbuckets, of which web ports alone know.
        """
        if self._table.config is not None and not self._needs_web_ports:
            self.source.close()

    @property
    def _needs_web_ports(self) -> bool:
        """Whether they are to tell of changes: it was asked for, or nobody else does."""
        config = self._table.config
        is_untold = config is not None and not config.has_vbuckets
        return is_untold or self._shared.settings.bootstrap_on == HTTP

    def takes_failed(self, connection: Connection, error: CouchbaseError, now: float) -> bool:
        """Handle a connection that is gone; return whether its node is not to be replaced."""
        bootstrap = self._bootstrap
        if bootstrap is not None and bootstrap.connection is connection:
            bootstrap.failed(connection.address, error, now)
            return True
        config_file = self.config_file
        return config_file.is_trying and config_file.failed(connection.address, error, now)

    def _config_streamed(self, text: bytes, address: Address, now: float) -> None:
        if self._bootstrap is None:
            self._tracker.take(text, address, now)
        else:
            self._bootstrap.config_streamed(text, now)

    def _stream_failed(self, error: CouchbaseError, now: float) -> None:
        if self._bootstrap is not None:
            self._bootstrap.stream_failed(error, now)

    # Opened

    def _found(
        self,
        config: ClusterConfig,
        network: NetworkChoice,
        connection: Connection | None,
        now: float,
    ) -> None:
        """Open with the configuration of a seed, or go on with it where all nodes were lost."""
        bootstrap = self._bootstrap
        assert bootstrap is not None
        if connection is None or self._shared.settings.bootstrap_on == HTTP:
            self.source.keep(bootstrap.web_addresses, now)
        self._connections.is_told_by_web = connection is None
        self._end_bootstrap()
        if self._shared.state is not SessionState.OPENING:
            self._found_again(config, network, connection, now)
            return
        origin = str(self.source.address)
        if connection is not None:
            origin = f"{connection.address} (connection {connection.hello.connection_id})"
        if not self._open(config, network, origin, config, now):
            if connection is not None:
                self._connections.drop(connection)
            return
        self._tracker.apply(config, now, connection, network.name)
        self._tracker.start_polling(now)
        self._dispatcher.send_parked(self._dispatcher.parking.until_open, now)

    def _found_again(
        self,
        config: ClusterConfig,
        network: NetworkChoice,
        connection: Connection | None,
        now: float,
    ) -> None:
        """Go on with the configuration of a seed that has come back after all nodes were lost."""
        table = self._table
        before = table.network
        if not self._tracker.apply(config, now, connection, network.name):
            if connection is not None:
                self._connections.drop(connection)
        elif table.network != before:
            self._shared.log(
                "info",
                "bucket {bucket}: network {network} ({why}), no longer {before}",
                bucket=self._shared.settings.bucket,
                before=before,
                network=network.name,
                why=network.why,
            )

    def _opened_by_file(
        self, config: ClusterConfig, network: NetworkChoice, told: ClusterConfig, now: float
    ) -> None:
        settings = self._shared.settings
        if self._open(config, network, f"the file {settings.config_cache}", told, now):
            self._tracker.start_polling(now)
            if settings.bootstrap_on == HTTP:
                self.source.keep(settings.web_seeds, now)
        else:
            self._tracker.reset()

    def _open(
        self,
        config: ClusterConfig,
        network: NetworkChoice,
        origin: str,
        told: ClusterConfig,
        now: float,
    ) -> bool:
        """Open the bucket, unless another Bucket is open on what *told* says it is."""
        refusal = self.admit(told)
        if refusal is not None:
            self._cannot_open(refusal, now)
            return False
        shared = self._shared
        shared.state = SessionState.OPEN
        shared.error = None
        self._failures = 0
        shared.log(
            "info",
            "{subject}: {nodes} data nodes, network {network} ({why}), "
            "configuration {rev} from {origin}",
            subject=shared.settings.subject,
            # Without a bucket the configuration lists nodes of other services too.
            nodes=sum(map(bool, self._table.data_addresses(config, network.name))),
            network=network.name,
            why=network.why,
            rev="/".join(map(str, config.revision)),
            origin=origin,
        )
        shared.events.append(Opened())
        return True

    # Not opened

    def _failed(self, error: CouchbaseError, now: float) -> None:
        """Open again after a pause, if *error* passes by itself; else end the opening."""
        is_opening = self._shared.state is SessionState.OPENING
        if self._bootstrap is not None and not is_opening and self._needs_web_ports:
            # Its search has taken their place.
            self.source.keep(self._bootstrap.web_addresses, now)
        if self.heals and is_opening and reopening.passes(error):
            self._open_later(error, now)
        else:
            self._cannot_open(error, now)

    def _open_later(self, error: CouchbaseError, now: float) -> None:
        """Open again after a pause; what waits goes on waiting."""
        shared = self._shared
        self._end_bootstrap()
        self.source.close()
        shared.error = error
        shared.state = SessionState.WAITING
        self._failures += 1
        delay = reopening.pause(self._failures, self._random.random())
        self._again = shared.timers.call_at(now + delay, self.start)
        shared.log(
            "warning",
            "{subject} could not be opened: {reason}; opening it again in {delay:.3f} s",
            subject=shared.settings.subject,
            reason=shared.settings.told(error),
            delay=delay,
        )
        shared.events.append(OpenFailed(error))

    def _cannot_open(self, error: CouchbaseError, now: float) -> None:
        """End the opening: it would fail again."""
        shared = self._shared
        self._end_bootstrap()
        if shared.state is not SessionState.OPENING:
            return
        self.source.close()
        shared.error = error
        shared.state = SessionState.NEW if self.lazy else SessionState.FAILED
        shared.events.append(OpenFailed(error))
        # They fail once that event is performed: user code may then start anew.
        parking = self._dispatcher.parking
        self.strand(error, parking.until_open, now)
        parking.until_open = {}
        self.strand(error, self._table.waiters, now)
        self._table.waiters = {}
        self.on_failed(error)

    def forked(self) -> None:
        """Look no more, and forget what was to fail: this is a child process."""
        self.end()
        self._stranded.clear()

    def strand(self, error: CouchbaseError, operations: dict[Any, None], now: float) -> None:
        """Have *operations* fail with *error* once the events so far were performed."""
        self._stranded.append((error, operations, now))

    def fail_stranded(self) -> None:
        """Fail what was to fail, as long as there are no new events."""
        while self._stranded and not self._shared.events:
            error, operations, since = self._stranded.pop(0)
            self._dispatcher.note_time(since)
            self._dispatcher.fail_all(operations, error)

    # All nodes lost

    def all_nodes_lost(self, now: float) -> None:
        """Ask seeds that are no nodes (any more), and read the file again: no node is connected."""
        shared = self._shared
        if shared.state is not SessionState.OPEN or self._bootstrap is not None:
            return
        if now < self._next_search:
            return
        settings = shared.settings
        known = one_forms(self._table.endpoints)
        asks = settings.bootstrap_on != FILE_ONLY and (
            bool(settings.srv or settings.web_seeds)
            or any(seed.one_form not in known for seed in settings.seeds)
        )
        if asks or settings.config_cache:
            # Half of the pause is jitter: a cluster that is gone is missed by many clients.
            self._next_search = now + _SEARCH_PAUSE * (0.5 + self._random.random() / 2)
        if settings.config_cache:
            self.config_file.refresh()
        if asks:
            delay = _SEARCH_SPREAD * self._random.random()
            shared.timers.call_at(now + delay, self._ask_seeds)

    def _ask_seeds(self, now: float) -> None:
        """Ask seeds that are no nodes (any more), unless somebody has come back meanwhile."""
        is_open = self._shared.state is SessionState.OPEN
        if is_open and self._bootstrap is None and not self._table.ready:
            self.source.close()
            self._search(now, now, one_forms(self._table.endpoints))
