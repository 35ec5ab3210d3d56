"""Bucket: an open Couchbase bucket whose methods return Deferreds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import twisted
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IResolver

from couchloop import LOCKMODE_NONE
from couchloop.arguments.times import check_wait
from couchloop.auth import Authenticator
from couchloop.client.async_result import AsyncResult
from couchloop.client.bucket import BucketBase
from couchloop.client.collections import ScopesAndCollections
from couchloop.client.managers import defaults_of_bucket
from couchloop.client.registry import Registry
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidEventError,
    without_frames,
)
from couchloop.later import Module
from couchloop.retries import RetryStrategy
from couchloop.safety.printable import in_quotes
from couchloop.safety.secret import Secret, sealed
from couchloop.settings.configure import CommonArguments, make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings
from couchloop.transcoder import FMT_JSON, Transcoder
from txcouchbase.collection import Collection, Scope
from txcouchbase.connecting import EndpointFactory
from txcouchbase.driver import TwistedDriver, find_reactor
from txcouchbase.methods import (
    BucketAnalyticsMethods,
    HealthMethods,
    N1qlMethods,
    OldNames,
    SearchMethods,
    ViewMethods,
)
from txcouchbase.producers import Producer, Producers
from txcouchbase.queries import QueriesOfBucket
from txcouchbase.raw import RawOperations

if TYPE_CHECKING:
    from couchloop.client import threads as handles
    from couchloop.client.threads import ThreadSafeBucket
    from couchloop.observation import AnyObserver
    from txcouchbase import management, threads
    from txcouchbase.management import CollectionManager, DesignManager, ViewIndexManager
    from txcouchbase.tls import TlsFactory
else:
    # Few programs use them.
    handles = Module("couchloop.client.threads", globals())
    management = Module("txcouchbase.management", globals())
    threads = Module("txcouchbase.threads", globals())

__all__ = ["AsyncResult", "Bucket", "RawBucket"]


class BucketArguments(CommonArguments, total=False):
    """What may be said of a Bucket, besides where it is and on which reactor; see there."""

    endpoint_factory: EndpointFactory | None
    tls_factory: TlsFactory | None
    resolver: IResolver | None


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
    QueriesOfBucket,
    BucketBase,
):
    """One open bucket. It begins to connect at once; operations issued before that wait for it.

    If it cannot be opened for a cause that passes by itself (nodes that are away or starting, a
    name that is not known yet), that is tried again after growing pauses for as long as it lives,
    and operations wait, each for its own time. Other causes stay: operations fail with them.

    Opening the same bucket again on the same reactor with the same settings gives this object as
    long as anything refers to it; it closes by itself when nothing does. It belongs to the thread
    that the reactor runs in: calls from another raise WrongLoopError. In a forked child every call
    fails with ForkedProcessError: open another there, on a reactor of its own.

    Every operation's Deferred can be awaited and cancelled. It errbacks with CancelledError at
    once then; a change that was on its way may have happened, or not.

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
        shared: False: open a Bucket of one's own, whatever else is open on this reactor.
        lockmode: SDK 2.5's; changes nothing (`threadsafe` is for threads).
        unlock_gil: likewise.
        reactor: None: the global one, which is imported (and so installed) now.
        endpoint_factory: makes the endpoint for (reactor, address, tls), for proxies and tests.
        tls_factory: makes the IOpenSSLClientConnectionCreator for a host name, as
            `twisted.internet.ssl.optionsForClientTLS` does; None: what the options of the
            connection string and the authenticator say, by default the system's trust store.
        resolver: looks up DNS SRV records (any IResolver); None: the servers of resolv.conf do.

    Raises:
        InvalidConnectionStringError, InvalidOptionError, ArgumentError, MixedAuthError,
            FeatureNotAvailableError: an argument.
        BadEnvironmentError: a variable of the environment (LCB_OPTIONS and its like).
        BucketAlreadyOpenError: the bucket is open on this reactor with other settings.

    """

    _scope_class = Scope
    _collection_class = Collection
    _registry = Registry["Bucket"](__name__.partition(".")[0])
    _driver: TwistedDriver
    _wall_clock = staticmethod(time)
    _producers: Producers | None = None

    def view_indexes(self) -> ViewIndexManager:
        """Return what makes, publishes and drops design documents, without any I/O."""
        return management.ViewIndexManager(self, defaults_of_bucket(self))

    def bucket_manager(self) -> DesignManager:
        """Return what SDK 2.5 has for design documents, without any I/O."""
        return management.DesignManager(self, defaults_of_bucket(self))

    def flush(self) -> Deferred[None]:
        """Delete all documents of the bucket, as `cluster.buckets().flush_bucket` does.

        Raises BucketNotFlushableError unless the bucket's setting allows it, NotAuthorizedError.
        """
        return management.BucketManager(self, defaults_of_bucket(self)).flush_bucket(self.bucket)

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
        reactor: Any = None,
        endpoint_factory: EndpointFactory | None = None,
        tls_factory: TlsFactory | None = None,
        resolver: IResolver | None = None,
    ) -> None:
        found = self._find_or_open(locals())
        if found is not None:
            self._give(found)

    @staticmethod
    def _make_driver(loop: Any, settings: Settings, given: Mapping[str, Any]) -> TwistedDriver:
        return TwistedDriver(
            settings, loop, given.get("endpoint_factory"), given.get("tls_factory")
        )

    @classmethod
    def _identify(cls, *, reactor: Any = None, **keywords: Any) -> tuple[Any, Settings]:
        settings = cls._make_settings(**keywords)
        return find_reactor(reactor), settings

    @classmethod
    def _make_settings(
        cls,
        connection_string: str | ConnectionString,
        *,
        reactor: Any = None,  # noqa: ARG003 - one of the constructor's
        endpoint_factory: EndpointFactory | None = None,
        tls_factory: TlsFactory | None = None,
        **keywords: Any,
    ) -> Settings:
        if tls_factory is not None and not callable(tls_factory):
            raise ArgumentError(
                "tls_factory is a function that makes a connection creator for a host, such as "
                f"optionsForClientTLS itself, not {type(tls_factory).__name__}"
            )
        return make_settings(
            connection_string,
            framework=f"twisted {twisted.__version__}",
            connector=endpoint_factory,
            tls_context=tls_factory,
            environment=os.environ,
            **keywords,
        )

    @staticmethod
    def _not_available(error: CouchbaseError) -> Any:
        """Fail a Deferred, as what returns one does."""
        return fail(error)

    @property
    def reactor(self) -> Any:
        """The reactor that it lives on."""
        return self._driver.reactor

    def connect(self) -> Deferred[None]:
        """Return a new Deferred that fires with None once the bucket is open.

        It fails with the error that opening meets, also where that is tried again after a pause;
        calling `connect` after that tries at once (and fails with BucketAlreadyOpenError where
        another Bucket has taken the place meanwhile, which only a cause that stays allows).
        Cancelling it leaves the opening to others who wait.

        Raises WrongLoopError in another thread than the reactor's.
        """
        self._driver.check_thread()
        try:
            self._open()
        except CouchbaseError as error:
            return fail(without_frames(error))
        return self._driver.when_open(self)

    def close(self, timeout: float = 2.5) -> Deferred[None]:
        """Take no more operations, give those in flight *timeout* seconds, then close.

        The Deferred fires with None when the last connection is gone. What is not answered in time
        fails with RequestCanceledError (an AmbiguousError if the server may have done it), later
        calls with ObjectDestroyedError. Calling it again is harmless.

        Raises WrongLoopError in another thread than the reactor's, InvalidTimeoutError.
        """
        self._driver.check_thread()
        self._driver.close(check_wait(timeout))
        services: Any = self._leave_services()
        closed = self._driver.when_closed()
        if services is not None:
            closed.addCallback(lambda _: services.when_closed())
        return closed

    def registerDeferred(self, event: str, d: Deferred[None]) -> None:
        """Make *d* fire with None at an event of SDK 2.5, at once if that has been.

        Args:
            event: `connect`: the bucket is open (*d* fails with what opening met); `_dtor`: it is
                closed, and the last connection gone.
            d: the Deferred. With `_dtor` it does not keep the Bucket open.

        Raises InvalidEventError (a ValueError) for another event, WrongLoopError in another thread
        than the reactor's.
        """
        self._driver.check_thread()
        if event == "connect":
            self._driver.when_open(self).chainDeferred(d)
        elif event == "_dtor":
            self._driver.when_closed().chainDeferred(d)
        else:
            raise InvalidEventError(
                f"the events of a Bucket are connect and _dtor, not {in_quotes(event)}"
            )

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Pause *producer* while so much waits to be sent that no more should be issued.

        It is told to pause when half of `max_queued_operations` or `max_queued_bytes` waits, and
        to resume when no more than a quarter does; when the Bucket is closed, to stop. It is what
        issues operations here, or feeds what does: mostly the transport of a protocol that stores
        what it receives. As with any consumer it is to be unregistered when it ends; unlike with
        others there may be many.

        Args:
            producer: the producer.
            streaming: True: an IPushProducer. False: an IPullProducer; its `resumeProducing` is
                called once in each turn of the reactor in which more may be issued.

        Raises ArgumentError if it is registered already, WrongLoopError in another thread than the
        reactor's.

        """
        self._driver.check_thread()
        if self._producers is None:
            is_paused = self._driver.session.is_loaded
            self._producers = Producers(self._driver.reactor, is_paused=is_paused)
            self._driver.producers = ref(self._producers)
        self._producers.add(producer, streaming)

    def unregisterProducer(self, producer: Producer) -> None:
        """Pause *producer* no more; harmless if it is not registered.

        Raises WrongLoopError in another thread than the reactor's.
        """
        self._driver.check_thread()
        if self._producers is not None:
            self._producers.remove(producer)

    def __aenter__(self) -> Deferred[Self]:
        """Wait until the bucket is open."""
        return self.connect().addCallback(lambda _: self)

    def __aexit__(self, *_: object) -> Deferred[None]:
        """Close it."""
        return self.close()

    def threadsafe(self) -> ThreadSafeBucket:
        """Return a handle for plain threads, whose methods block the thread that calls them.

        Raises WrongLoopError in another thread than the reactor's, FeatureNotAvailableError if the
            reactor is one for tests that takes no calls from threads.
        """
        self._driver.check_thread()
        threads.check_threads(self._driver.reactor)
        return handles.ThreadSafeBucket(self, threads.ReactorCrossing, threads.ServicesCrossing)


class RawBucket(RawOperations):
    """One open bucket, as `Bucket`; what can be done with documents gives an AsyncResult.

    It stands for the Bucket that these arguments mean, and shares it with whoever opens that.
    Everything but the operations on documents is that Bucket's own: `connect`, `close`, `quiet`.
    SDK 2.5 had it because its Deferreds were slow; ours are not, and new programs take a `Bucket`.

    Args:
        arguments: as `Bucket` takes them.
        keywords: likewise.

    Raises what `Bucket` raises.
    """

    @sealed
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(Bucket(*arguments, **keywords))
