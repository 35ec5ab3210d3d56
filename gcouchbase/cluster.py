"""Cluster: where the nodes are and who connects; opens Buckets on this thread's hub."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

from gevent import get_hub
from gevent.ssl import SSLContext

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.client.cluster import ClusterBase
from couchloop.client.connection_limits import ConnectionBudget, connection_budget
from couchloop.later import Module
from couchloop.retries import RetryStrategy
from couchloop.safety.secret import sealed
from couchloop.settings.connection_string import ConnectionString
from gcouchbase.bucket import Bucket, OpenBucketArguments
from gcouchbase.dialling import SocketFactory
from gcouchbase.importing import settle
from gcouchbase.methods import (
    AnalyticsMethods,
    HealthMethods,
    HttpMethods,
    N1qlMethods,
    QueryMethods,
    SearchMethods,
)
from gcouchbase.services import ServicesDriver

if TYPE_CHECKING:
    from couchloop.client import threads as handles
    from couchloop.client.threads import ThreadSafeCluster
    from gcouchbase import management, threads
    from gcouchbase.dns import Resolver
    from gcouchbase.management import (
        Admin,
        AnalyticsIndexManager,
        BucketManager,
        EventingFunctionManager,
        QueryIndexManager,
        SearchIndexManager,
        UserManager,
    )
else:
    # Few programs use them.
    handles = Module("couchloop.client.threads", globals())
    management = Module("gcouchbase.management", globals())
    threads = Module("gcouchbase.threads", globals())

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
    """Where the nodes are and who connects. Does no I/O before a Bucket is opened, or asked for.

    Args:
        connection_string: `couchbase://host[,host…]`; names no bucket.
        bucket_class: what `open_bucket` makes.
        socket_factory: handed to each Bucket; see there.
        ssl_context: likewise.
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
        socket_factory: SocketFactory | None = None,
        ssl_context: SSLContext | None = None,
        resolver: Resolver | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> None:
        super().__init__(
            connection_string,
            bucket_class,
            os.environ,
            socket_factory=socket_factory,
            ssl_context=ssl_context,
            resolver=resolver,
            retry_strategy=retry_strategy,
        )

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

        What is asked through it is done on the hub of the thread that makes it. Loads what was not
        needed yet, as `Bucket.threadsafe` does.

        Raises ArgumentError if nobody was authenticated.
        """
        settle()
        return handles.ThreadSafeCluster(self, threads.ServicesCrossing)

    def _here(self) -> Any:
        return get_hub()

    @sealed
    def open_bucket(self, bucket_name: str, **kwargs: Unpack[OpenBucketArguments]) -> Bucket:
        """Open a bucket, or give the Bucket that is open on this hub already.

        Args:
            bucket_name: the bucket's name.
            kwargs: as `Bucket` takes them; `shared=False` opens one that is nobody else's.

        Raises what `Bucket` raises; BucketAlreadyOpenError if it is open with other settings,
        MixedAuthError if credentials are given here as well as through `authenticate`,
        ArgumentError for a name that no bucket can have.
        """
        return self._open_bucket(bucket_name, kwargs)

    @sealed
    def connection_budget(self, processes: int = 1, buckets: int = 1) -> ConnectionBudget:
        """Count the connections that a program will open, and say whether the nodes take them.

        The nodes are those that a Bucket knows which this Cluster has open on this hub. If there is
        none, a connection is opened to ask for them, and closed again.

        Args:
            processes: how many processes (or threads with a hub) will open Buckets.
            buckets: how many Buckets each of them will open.

        Raises ArgumentError for numbers that are none, or if `authenticate` was not called;
        NotAuthorizedError if the user may not ask without a Bucket; and what opening a Bucket
        raises, should no node be reached.
        """
        hub, settings = Bucket._identify(**self._cluster_arguments())  # noqa: SLF001 - ours
        known = self._budget(hub, processes, buckets)
        if known is not None:
            return known
        driver = Bucket._make_driver(hub, settings, self._bucket_arguments())  # noqa: SLF001
        try:
            driver.start()
            driver.wait_open()
            return connection_budget(driver.session, processes, buckets)
        finally:
            driver.close()
            driver.wait_closed()
