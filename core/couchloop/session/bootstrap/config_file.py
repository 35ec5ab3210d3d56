"""Opening a bucket with the configuration of a file, and keeping that file up to date.

The nodes of the file are dialled all at once; the first that takes us opens the bucket, and the
file's map routes the operations until a node tells a newer one. If none takes us the seeds are
asked, as without a file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from couchloop.exceptions import (
    AuthError,
    ConfigCacheError,
    CouchbaseError,
    ErrorContext,
    ProtocolError,
    caused,
)
from couchloop.later import Module
from couchloop.session.configurations import ConfigTracker
from couchloop.session.events import LoadConfig, LogRecord, StoreConfig
from couchloop.session.route_table import RouteTable
from couchloop.session.shared import Shared, nobody
from couchloop.session.timers import Timer
from couchloop.session.unanswered import not_ready
from couchloop.settings.values import FILE_ONLY, Address, Settings
from couchloop.topology.configuration import ClusterConfig, parse_config
from couchloop.topology.networks import NetworkChoice, select_network

if TYPE_CHECKING:
    from couchloop.topology import config_cache as configcache
    from couchloop.topology.config_cache import Cached
else:
    configcache = Module("couchloop.topology.config_cache", globals())


class ConfigFileBootstrap:
    """One session's dealings with its file.

    Args:
        shared: with all parts of the session.
        table: the data nodes.
        tracker: has a configuration of the file count.
        opened: called with a configuration by which the nodes are known already, for one of them is
            ready, the network to use, what that node says itself (it knows better which bucket it
            is), and the time.
        search: called with the time, and when the time for all began to run, if the seeds are to be
            asked.
        failed: called with the error and the time if the bucket cannot be opened.
    """

    def __init__(
        self,
        shared: Shared,
        table: RouteTable,
        tracker: ConfigTracker,
        opened: Callable[[ClusterConfig, NetworkChoice, ClusterConfig, float], None],
        search: Callable[[float, float], None],
        failed: Callable[[CouchbaseError, float], None],
    ) -> None:
        self._shared = shared
        self._table = table
        self._tracker = tracker
        self._timers = shared.timers
        self._events = shared.events
        self._opened = opened
        self._search = search
        self._failed = failed
        self._began = 0.0
        self._opening = False
        """Whether the opening waits for the file."""
        self._reading = False
        self._limit: Timer | None = None
        self._found: Cached | None = None
        """What stands in the file, as far as we know."""
        self._network = NetworkChoice("", "")
        self._useless: int | None = None
        """When the file was written whose nodes did not take us."""
        self._tried: list[tuple[Address, CouchbaseError]] = []
        """What happened at nodes of the file."""
        self._storing: ClusterConfig | None = None
        self._to_store: ClusterConfig | None = None

    connection = None
    """None, for those of all nodes are made at once; see `couchloop.session.shared.Search`."""

    @property
    def is_trying(self) -> bool:
        """Whether the nodes of the file are being dialled, and none is ready yet."""
        return self._shared.search is self

    def _try_no_more(self) -> None:
        if self._shared.search is self:
            self._shared.search = None

    @property
    def attempts(self) -> list[tuple[str, BaseException]]:
        """What happened at the nodes that are being tried, as ("host:port", error)."""
        return [(str(address), error) for address, error in self._tried]

    def unanswered(self) -> CouchbaseError | None:
        """See `couchloop.session.shared.Search`: of the first of the file's nodes."""
        for endpoint in self._table.endpoints.values():
            if endpoint.connection is not None:
                return not_ready(endpoint.connection)
        return None

    @property
    def _settings(self) -> Settings:
        return self._shared.settings

    def start(self, now: float) -> None:
        """Read the file; the search follows if that does not help."""
        self._began = now
        self._opening = True
        patience = min(self._settings.config_node_timeout, self._settings.config_total_timeout)
        self._limit = self._timers.limit(now, patience, self._took_too_long)
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it has changed: another process may know where the nodes are."""
        settings = self._settings
        if not self._reading:
            self._reading = True
            seen = None if self._found is None else self._found.mtime
            origin = settings.places[0].host
            self._events.append(LoadConfig(settings.config_cache, settings.bucket, origin, seen))

    def end(self) -> None:
        """Stop: the session is over."""
        self._opening = False
        self._try_no_more()
        self._end_limit()

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self._opened = self._search = self._failed = nobody

    def loaded(self, result: Cached | BaseException | None, now: float) -> None:
        """Handle the answer to a `LoadConfig`: None if the file has not changed."""
        self._reading = False
        opening, self._opening = self._opening, False
        if isinstance(result, BaseException):
            self._found = None
        elif result is not None:
            self._found = result
        if opening:
            self._end_limit()
            if isinstance(result, BaseException):
                self._no_help(result, now)
            else:
                self._try(now)
        elif isinstance(result, configcache.Cached) and self._shared.is_open:
            self._tracker.apply(result.config, now, from_file=True)

    def _took_too_long(self, now: float) -> None:
        self._opening = False
        self._no_help(ProtocolError("it could not be read in time"), now)

    def _no_help(self, error: BaseException, now: float) -> None:
        """Go on without the file, if that is allowed."""
        settings = self._settings
        path = settings.config_cache
        reason = str(getattr(error, "strerror", None) or error)
        unreadable = settings.config_cache_ro and not isinstance(error, ProtocolError)
        if unreadable or settings.bootstrap_on == FILE_ONLY:
            option = "config_cache_ro" if settings.config_cache_ro else "config_cache"
            why = ConfigCacheError(
                f"the configuration in {path!r} ({option}) is of no use: {reason}",
                context=ErrorContext(bucket=settings.bucket),
            )
            caused(why, error)
            self._failed(why, now)
            return
        # It is not there before the first start.
        level = "debug" if isinstance(error, FileNotFoundError) else "warning"
        self._log(level, "configuration in {path}: {reason}; asking the seeds", reason=reason)
        self._search(now, self._began)

    def _try(self, now: float) -> None:
        settings = self._settings
        assert self._found is not None
        config = self._found.config
        first, *others = settings.places
        network = select_network(config, first, settings.network, others)
        if not any(self._table.data_addresses(config, network.name)):
            text = f"it lists no data node on network {network.name!r}"
            self._no_help(ProtocolError(text), now)
            return
        self._shared.search = self
        self._network = network
        self._tried = []
        left = max(0.0, self._began + settings.config_total_timeout - now)
        self._limit = self._timers.limit(now, left, self._give_up)
        self._tracker.apply(config, now, network=network.name, from_file=True)

    def ready(self, text: bytes, origin: str, now: float) -> None:
        """Open the bucket: a node has taken us, and told a configuration unless *text* is empty."""
        assert self._found is not None
        self._try_no_more()
        self._end_limit()
        told = config = self._found.config
        if text:
            with suppress(ProtocolError):
                told = parse_config(text, origin)
        self._opened(config, self._network, told, now)

    def failed(self, address: Address, error: CouchbaseError, now: float) -> bool:
        """Record what happened at a node; return whether that was the end of trying the file's."""
        self._tried.append((address, error))
        tried = {where for where, _ in self._tried}
        # A wrong password is wrong everywhere, and trying it often may lock the user out.
        over = isinstance(error, AuthError) or tried.issuperset(self._table.endpoints)
        if over:
            self._give_up(now)
        return over

    def _give_up(self, now: float) -> None:
        """Forget the nodes of the file, and ask the seeds if that is allowed."""
        assert self._found is not None
        self._try_no_more()
        self._useless = self._found.mtime
        self._end_limit()
        self._tracker.reset()
        settings = self._settings
        cause = self._tried[-1][1] if self._tried else None
        reason = "it took too long" if cause is None else settings.told(cause)
        if settings.bootstrap_on != FILE_ONLY:
            text = "configuration in {path}: no node of it takes us: {reason}; asking the seeds"
            self._log("warning", text, reason=reason)
            self._search(now, self._began)
            return
        error = cause
        if not isinstance(cause, AuthError):
            error = ConfigCacheError(
                f"no node of the configuration in {settings.config_cache!r} takes us, and "
                "bootstrap_on=file_only allows no other"
            )
            caused(error, cause)
        assert error is not None
        error.context = ErrorContext(bucket=settings.bucket, seeds=tuple(self.attempts))
        self._failed(error, now)

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def store(self, config: ClusterConfig) -> None:
        """Store *config*, which came from the network, for the next start."""
        settings = self._settings
        if not settings.config_cache or settings.config_cache_ro or not config.has_vbuckets:
            return
        if self._storing is not None:
            # One after the other, so that the newest stays.
            self._to_store = config
            return
        self._storing = config
        self._events.append(StoreConfig(settings.config_cache, config, self._useless))

    def stored(self, result: int | BaseException | None) -> None:
        """Handle the answer to a `StoreConfig`: when the file was written, or why it was not."""
        if isinstance(result, BaseException):
            reason = str(getattr(result, "strerror", None) or result)
            self._log("warning", "configuration not kept in {path}: {reason}", reason=reason)
        elif result is not None and self._storing is not None:
            self._found = configcache.Cached(self._storing, result)
        following, self._storing, self._to_store = self._to_store, None, None
        if following is not None:
            self.store(following)

    def _log(self, level: str, text: str, **fields: object) -> None:
        self._events.append(LogRecord(level, text, {"path": self._settings.config_cache, **fields}))
