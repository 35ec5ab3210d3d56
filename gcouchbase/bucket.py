"""Bucket: an open Couchbase bucket whose methods block the calling greenlet alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakMethod

import gevent
from gevent import getcurrent, ssl
from gevent.event import Event
from gevent.exceptions import BlockingSwitchOutError

from couchloop import LOCKMODE_NONE
from couchloop.arguments.times import check_wait
from couchloop.auth import Authenticator
from couchloop.client.bucket import BucketBase
from couchloop.client.collections import ScopesAndCollections
from couchloop.client.driver import Driver
from couchloop.client.managers import defaults_of_bucket
from couchloop.client.registry import Registry
from couchloop.exceptions import ArgumentError
from couchloop.later import Module
from couchloop.retries import RetryStrategy
from couchloop.safety.secret import Secret, sealed
from couchloop.session.events import LogRecord
from couchloop.settings.configure import CommonArguments, make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings
from couchloop.transcoder import FMT_JSON, Transcoder
from gcouchbase.collection import Collection, Scope
from gcouchbase.dialling import SocketFactory
from gcouchbase.driver import GeventDriver
from gcouchbase.importing import settle
from gcouchbase.methods import (
    BucketAnalyticsMethods,
    HealthMethods,
    N1qlMethods,
    OldNames,
    SearchMethods,
    ViewMethods,
)
from gcouchbase.pipeline import Pipeline

if TYPE_CHECKING:
    from couchloop.client import threads as handles
    from couchloop.client.threads import ThreadSafeBucket
    from couchloop.observation import AnyObserver
    from gcouchbase import management, threads
    from gcouchbase.dns import Resolver
    from gcouchbase.management import CollectionManager, DesignManager, ViewIndexManager
else:
    # Few programs use them.
    handles = Module("couchloop.client.threads", globals())
    management = Module("gcouchbase.management", globals())
    threads = Module("gcouchbase.threads", globals())

__all__ = ["Bucket"]

_log = logging.getLogger("gcouchbase")
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_TAKEN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
"""Attributes of every log record."""


def write_log(record: LogRecord) -> None:
    """Write a line to the log `gcouchbase`."""
    level = _LEVELS[record.level]
    if _log.isEnabledFor(level):
        # A handler may block, and this is the hub.
        text = record.text.format(**record.fields)
        gevent.spawn(_log.log, level, "%s", text, extra=_extra(record.fields))


def _extra(fields: Mapping[str, object]) -> dict[str, object]:
    """Return *fields* as attributes of a log record: a name that every record has gets a `_`."""
    return {f"{name}_" if name in _TAKEN else name: value for name, value in fields.items()}


class BucketArguments(CommonArguments, total=False):
    """What may be said of a Bucket, besides where it is and on which hub; see there."""

    ssl_context: ssl.SSLContext | None
    socket_factory: SocketFactory | None
    resolver: Resolver | None


class OpenBucketArguments(BucketArguments, total=False):
    """What `Cluster.open_bucket` takes."""

    shared: bool


class Bucket(
    OldNames,
    N1qlMethods,
    SearchMethods,
    ViewMethods,
    BucketAnalyticsMethods,
    HealthMethods,
    ScopesAndCollections[Scope, Collection, "CollectionManager"],
    BucketBase,
):
    """One open bucket. The constructor returns when it is connected, or raises.

    Opening the same bucket again on the same hub with the same settings gives this object as long
    as anything refers to it; it closes by itself when nothing does. It belongs to the thread that
    opened it: calls from another raise WrongLoopError. In a forked child it is the same object, and
    connects at its next use.

    Args:
        connection_string: `couchbase://host[,host…]/bucket`; `couchbases://` for TLS.
        connstr: another name of *connection_string*.
        username: who connects (or *authenticator*, or options of the connection string).
        password: its password; without a *username* that of a user called as the bucket is.
        authenticator: who connects.
        quiet: get and remove give a result instead of NotFoundError where there is no document.
        default_format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO, for values that are stored.
        transcoder: an instance, or a class, that turns keys and values into bytes and back.
        timeout: of operations, in seconds; None: what the option operation_timeout says.
        retry_strategy: whether and when operations are tried again; None: BestEffort().
        observer: hears of each operation (`couchloop.observation`), on the loop.
        shared: False: open a Bucket of one's own, whatever else is open on this hub.
        lockmode: SDK 2.5's; changes nothing (`threadsafe` is for threads).
        unlock_gil: likewise.
        ssl_context: what TLS trusts and shows, any SSLContext; None: what the options of the
            connection string and the authenticator say, by default the system's trust store.
        socket_factory: gives a connected socket for an address, for proxies and tests.
        resolver: looks up DNS SRV records, in a thread; None: the servers of resolv.conf do.

    Raises:
        InvalidConnectionStringError, InvalidOptionError, ArgumentError, MixedAuthError: something
            is wrong with an argument.
        BadEnvironmentError: a variable of the environment (LCB_OPTIONS and its like) is wrong.
        BucketAlreadyOpenError: the bucket is open on this hub with other settings.
        AuthError, BucketNotFoundError, ConnectError, BootstrapTimeoutError: it cannot be opened.

    """

    _scope_class = Scope
    _collection_class = Collection
    _registry = Registry["Bucket"](__name__.partition(".")[0])
    _driver: GeventDriver
    _wall_clock = staticmethod(time)

    def view_indexes(self) -> ViewIndexManager:
        """Return what makes, publishes and drops design documents, without any I/O."""
        return management.ViewIndexManager(self, defaults_of_bucket(self))

    def bucket_manager(self) -> DesignManager:
        """Return what SDK 2.5 has for design documents, without any I/O."""
        return management.DesignManager(self, defaults_of_bucket(self))

    def flush(self) -> None:
        """Delete all documents of the bucket, as `cluster.buckets().flush_bucket` does.

        Raises BucketNotFlushableError unless the bucket's setting allows it, NotAuthorizedError.
        """
        management.BucketManager(self, defaults_of_bucket(self)).flush_bucket(self.bucket)

    @staticmethod
    def _manager(bucket: Any) -> CollectionManager:
        return management.CollectionManager(bucket)

    @sealed
    def __init__(
        self,
        connection_string: str | ConnectionString | None = None,
        connstr: str | ConnectionString | None = None,
        *,
        username: str | None = None,
        password: str | Secret | None = None,
        authenticator: Authenticator | None = None,
        quiet: bool = False,
        default_format: int = FMT_JSON,
        transcoder: Transcoder | type[Transcoder] | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        observer: AnyObserver | None = None,
        shared: bool = True,
        lockmode: int = LOCKMODE_NONE,
        unlock_gil: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        socket_factory: SocketFactory | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        found = self._find_or_open(locals())
        if found is not None:
            try:
                found._driver.wait_open()  # noqa: SLF001 - ours
            except BaseException:
                # An error raised here must not keep the Bucket.
                del found
                raise
            self._give(found)
            return
        driver = self._driver
        # Likewise.
        del self
        driver.wait_open()

    @classmethod
    def _identify(cls, **keywords: Any) -> tuple[Any, Settings]:
        return gevent.get_hub(), cls._make_settings(**keywords)

    @staticmethod
    def _make_driver(loop: Any, settings: Settings, given: Mapping[str, Any]) -> GeventDriver:
        del loop  # This thread's, whatever it is.
        return GeventDriver(
            settings, write_log, given.get("ssl_context"), given.get("socket_factory")
        )

    @classmethod
    def _make_settings(
        cls,
        connection_string: str | ConnectionString,
        *,
        ssl_context: ssl.SSLContext | None = None,
        socket_factory: SocketFactory | None = None,
        **keywords: Any,
    ) -> Settings:
        if ssl_context is not None and not hasattr(ssl_context, "wrap_bio"):
            raise ArgumentError(f"ssl_context is an SSLContext, not {type(ssl_context).__name__}")
        return make_settings(
            connection_string,
            framework=f"gevent {gevent.__version__}",
            tls_context=ssl_context,
            connector=socket_factory,
            environment=os.environ,
            **keywords,
        )

    def _use(self, driver: Driver) -> None:
        super()._use(driver)
        self._driver.renew = WeakMethod(self._renew)

    def _renew(self) -> None:
        """Install a new driver: in a forked child the old one's connections are its parent's."""
        self._finalizer.detach()
        self._use(self._driver.renewed())

    def close(self, timeout: float = 2.5) -> None:
        """Take no more operations, give those in flight *timeout* seconds, then close.

        Returns when the last connection is gone. What is not answered in time fails with
        RequestCanceledError (an AmbiguousError if the server may have done it), later calls with
        ObjectDestroyedError. Any greenlet of the Bucket's thread may call it, and call it again.

        Raises WrongLoopError in another thread, BlockingSwitchOutError in the hub: use `_close`
        there.
        """
        self._driver.check_thread()
        if getcurrent() is self._loop:
            raise BlockingSwitchOutError(
                "the hub itself must not wait: use _close() there, or spawn a greenlet"
            )
        self._driver.close(check_wait(timeout))
        services: Any = self._leave_services()
        self._driver.wait_closed()
        if services is not None:
            services.wait_closed()

    def _get_close_future(self) -> Event:
        """Return an Event that is set once the last connection is gone (SDK 2.5)."""
        return self._driver.close_event

    def __enter__(self) -> Self:
        """Return the Bucket: it is open. Raises ObjectDestroyedError if it is closed."""
        if self.closed:
            raise self._driver.session.failure()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def pipeline(self) -> Pipeline:
        """Return a context in which this greenlet's operations do not wait for each other.

        Within it they return None; `results` of the context has what they gave, when it has ended.
        """
        return Pipeline(self)

    def threadsafe(self) -> ThreadSafeBucket:
        """Return a handle for plain threads, whose methods block the thread that calls them.

        Loads what was not needed yet, once: a thread must not be the first to import it. Raises
        WrongLoopError in another thread than the hub's.
        """
        self._driver.check_thread()
        settle()
        return handles.ThreadSafeBucket(self, threads.HubCrossing, threads.ServicesCrossing)
