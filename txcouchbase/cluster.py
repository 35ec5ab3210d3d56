"""Cluster: where the nodes are and who connects; opens Buckets on a reactor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IResolver

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.client.cluster import ClusterBase
from couchloop.client.connection_limits import ConnectionBudget, connection_budget
from couchloop.exceptions import CouchbaseError, WrongLoopError, without_frames
from couchloop.later import Module
from couchloop.retries import RetryStrategy
from couchloop.safety.secret import sealed
from couchloop.settings.connection_string import ConnectionString
from txcouchbase.bucket import Bucket, OpenBucketArguments
from txcouchbase.connecting import EndpointFactory
from txcouchbase.driver import TwistedDriver, find_reactor
from txcouchbase.methods import (
    AnalyticsMethods,
    HealthMethods,
    HttpMethods,
    N1qlMethods,
    QueryMethods,
    SearchMethods,
)
from txcouchbase.services import ServicesDriver

if TYPE_CHECKING:
    from couchloop.client import threads as handles
    from couchloop.client.threads import ThreadSafeCluster
    from txcouchbase import management, threads
    from txcouchbase.management import (
        Admin,
        AnalyticsIndexManager,
        BucketManager,
        EventingFunctionManager,
        QueryIndexManager,
        SearchIndexManager,
        UserManager,
    )
    from txcouchbase.tls import TlsFactory
else:
    # Few programs use them.
    handles = Module("couchloop.client.threads", globals())
    management = Module("txcouchbase.management", globals())
    threads = Module("txcouchbase.threads", globals())

__all__ = ["CertAuthenticator", "ClassicAuthenticator", "Cluster", "PasswordAuthenticator"]


class Cluster(
    QueryMethods,
    N1qlMethods,
    AnalyticsMethods,
    SearchMethods,
    HealthMethods,
    HttpMethods,
    ClusterBase[Bucket],
):
    """Where the nodes are and who connects. Does no I/O before a Bucket is opened.

    Args:
        connection_string: `couchbase://host[,host…]`; names no bucket.
        bucket_class: what `open_bucket` makes.
        reactor: handed to each Bucket. None: the global one, imported when a Bucket is opened.
        endpoint_factory: likewise; see `Bucket`.
        tls_factory: likewise.
        resolver: likewise.
        retry_strategy: whether and when its requests to services are tried again, and all that
            Buckets do which it opens, where neither they nor a call name another. None: as the
            options of the connection string say.

    Raises InvalidConnectionStringError (a ValueError), ArgumentError for what is no strategy.
    """

    @sealed
    def __init__(
        self,
        connection_string: str | ConnectionString = "couchbase://localhost",
        bucket_class: type[Bucket] = Bucket,
        *,
        reactor: Any = None,
        endpoint_factory: EndpointFactory | None = None,
        tls_factory: TlsFactory | None = None,
        resolver: IResolver | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> None:
        super().__init__(
            connection_string,
            bucket_class,
            os.environ,
            endpoint_factory=endpoint_factory,
            tls_factory=tls_factory,
            resolver=resolver,
            retry_strategy=retry_strategy,
        )
        self._reactor = reactor

    _driver: Any = ServicesDriver()

    def buckets(self) -> BucketManager:
        """Return what makes, changes, flushes and drops buckets, without any I/O."""
        return management.BucketManager(self)

    def users(self) -> UserManager:
        """Return what makes, changes and drops users and groups, without any I/O."""
        return management.UserManager(self)

    def query_indexes(self) -> QueryIndexManager:
        """Return what makes, drops, builds and watches indexes for queries, without any I/O."""
        return management.QueryIndexManager(self)

    def analytics_indexes(self) -> AnalyticsIndexManager:
        """Return what makes and drops datasets, their indexes and links, without any I/O."""
        return management.AnalyticsIndexManager(self)

    def search_indexes(self) -> SearchIndexManager:
        """Return what makes, changes and drops search indexes, without any I/O."""
        return management.SearchIndexManager(self)

    def eventing_functions(self) -> EventingFunctionManager:
        """Return what makes, deploys and drops eventing functions, without any I/O."""
        return management.EventingFunctionManager(self)

    def cluster_manager(self) -> Admin:
        """Return what SDK 2.5 has for buckets and users, without any I/O."""
        return management.Admin(self)

    def threadsafe(self) -> ThreadSafeCluster:
        """Return a handle for plain threads, whose methods block the thread that calls them.

        Raises ArgumentError if nobody was authenticated, WrongLoopError in another thread than the
        reactor's, FeatureNotAvailableError if the reactor is one for tests that takes no calls from
        threads.
        """
        threads.check_threads(self._here())
        return handles.ThreadSafeCluster(self, threads.ServicesCrossing)

    def _here(self) -> Any:
        return find_reactor(self._reactor)

    @sealed
    def open_bucket(self, bucket_name: str, **kwargs: Unpack[OpenBucketArguments]) -> Bucket:
        """Open a bucket, or give the Bucket that is open on this reactor already.

        Args:
            bucket_name: the bucket's name.
            kwargs: as `Bucket` takes them; `shared=False` opens one that is nobody else's.

        Raises BucketAlreadyOpenError if it is open with other settings,
        MixedAuthError if credentials are given here as well as through `authenticate`,
        ArgumentError for a name that no bucket can have.
        """
        return self._open_bucket(bucket_name, kwargs)

    @sealed
    def connection_budget(self, processes: int = 1, buckets: int = 1) -> Deferred[ConnectionBudget]:
        """Count the connections that a program will open, and say whether the nodes take them.

        The nodes are those that a Bucket knows which this Cluster has open on this reactor. If
        there is none, a connection is opened to ask for them, and closed again.

        Args:
            processes: how many processes will open Buckets.
            buckets: how many Buckets each of them will open.

        The Deferred fails with ArgumentError for numbers that are none, or if `authenticate` was
        not called; with NotAuthorizedError if the user may not ask without a Bucket; and with what
        opening a Bucket meets, should no node be reached. Raises WrongLoopError in another thread
        than the reactor's.
        """
        try:
            reactor, settings = Bucket._identify(**self._cluster_arguments())  # noqa: SLF001 - ours
            known = self._budget(reactor, processes, buckets)
            if known is not None:
                return succeed(known)
            driver = Bucket._make_driver(reactor, settings, self._bucket_arguments())  # noqa: SLF001
        except WrongLoopError:
            raise
        except CouchbaseError as error:
            return fail(without_frames(error))
        return Deferred.fromCoroutine(_count(driver, processes, buckets))

    def _bucket_arguments(self) -> dict[str, Any]:
        # Also if it is None: a class of the user's may ask for it.
        return {"reactor": self._reactor, **super()._bucket_arguments()}


async def _count(driver: TwistedDriver, processes: int, buckets: int) -> ConnectionBudget:
    """Count by what *driver* learns of the cluster; end it."""
    driver.start()
    try:
        await driver.when_open(driver)
        return connection_budget(driver.session, processes, buckets)
    finally:
        driver.close()
        await driver.when_closed()
