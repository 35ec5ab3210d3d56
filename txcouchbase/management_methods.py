"""Methods that return Deferreds, one per builder of the core.

Made by `make methods` (tools/methods.py) from these builders: change them.

- core/couchloop/management/buckets.py
- core/couchloop/management/users.py
- core/couchloop/management/admin.py
- core/couchloop/management/collections.py
- core/couchloop/management/design_documents.py
- core/couchloop/management/bucket_manager.py
- core/couchloop/management/n1ql_indexes.py
- core/couchloop/management/query_indexes.py
- core/couchloop/management/collection_indexes.py
- core/couchloop/management/search_indexes.py
- core/couchloop/management/analytics_indexes.py
- core/couchloop/management/analytics_links.py
- core/couchloop/management/eventing_functions.py

What a builder raises fails the Deferred. WrongLoopError is raised: whoever calls from another
thread must not touch a Deferred. Frames are part of tracebacks and must not keep a Bucket open, so
a method that raises lets go of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail

from couchloop.exceptions import CouchbaseError, WrongLoopError, without_frames
from couchloop.hot.operation import Defaults, at_call
from couchloop.later import Module
from couchloop.management.users import AuthDomain
from couchloop.operations.arguments import asking_by
from txcouchbase.driver import TwistedDriver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta
    from typing import Any

    from couchloop.management import (
        admin,
        analytics_indexes,
        analytics_links,
        bucket_manager,
        buckets,
        collection_indexes,
        collections,
        design_documents,
        eventing_functions,
        n1ql_indexes,
        query_indexes,
        search_indexes,
        users,
    )
    from couchloop.management.analytics_indexes import (
        AnalyticsDataset,
        AnalyticsDataType,
        AnalyticsIndex,
    )
    from couchloop.management.analytics_links import AnalyticsLink, AnalyticsLinkType
    from couchloop.management.buckets import BucketInfo, BucketSettings, Progress
    from couchloop.management.defaults import BucketDefaults
    from couchloop.management.design_documents import DesignDocument, DesignDocumentNamespace
    from couchloop.management.eventing_values import EventingFunction, EventingFunctionsStatus
    from couchloop.management.http_request import HttpResult
    from couchloop.management.index_statements import QueryIndex
    from couchloop.management.n1ql_indexes import N1qlIndex
    from couchloop.management.search_indexes import SearchIndex
    from couchloop.management.users import Group, RoleAndDescription, User, UserAndMetadata
    from couchloop.retries import RetryStrategy
    from couchloop.safety.secret import Secret
else:
    admin = Module("couchloop.management.admin", globals())
    analytics_indexes = Module("couchloop.management.analytics_indexes", globals())
    analytics_links = Module("couchloop.management.analytics_links", globals())
    bucket_manager = Module("couchloop.management.bucket_manager", globals())
    buckets = Module("couchloop.management.buckets", globals())
    collection_indexes = Module("couchloop.management.collection_indexes", globals())
    collections = Module("couchloop.management.collections", globals())
    design_documents = Module("couchloop.management.design_documents", globals())
    eventing_functions = Module("couchloop.management.eventing_functions", globals())
    n1ql_indexes = Module("couchloop.management.n1ql_indexes", globals())
    query_indexes = Module("couchloop.management.query_indexes", globals())
    search_indexes = Module("couchloop.management.search_indexes", globals())
    users = Module("couchloop.management.users", globals())


class BucketManagerMethods:
    """What can be asked about buckets."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def create_bucket(
        self,
        settings: BucketSettings,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a bucket. It takes documents a little later: see `wait_until_ready`.

        Args:
            settings: its name, and what else is wanted; without `ram_quota_mb` 100 MiB.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketExistsError, ServerInvalidArgumentError, NotAuthorizedError, TemporaryFailError
        (during a rebalance).
        """
        try:
            pending = buckets.create_bucket(
                asking_by(self._defaults, retry_strategy), settings, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_bucket", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def update_bucket(
        self,
        settings: BucketSettings,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Change settings of a bucket: those that are not None.

        Args:
            settings: its name, and what is to change.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, ServerInvalidArgumentError, NotAuthorizedError.
        """
        try:
            pending = buckets.update_bucket(
                asking_by(self._defaults, retry_strategy), settings, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "update_bucket", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_bucket(
        self,
        bucket_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Delete a bucket with all its documents.

        Args:
            bucket_name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, NotAuthorizedError, TemporaryFailError (during a rebalance).
        """
        try:
            pending = buckets.drop_bucket(
                asking_by(self._defaults, retry_strategy), bucket_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_bucket", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_bucket(
        self,
        bucket_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[BucketInfo]:
        """Return a bucket's settings, and how it is.

        Args:
            bucket_name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, NotAuthorizedError.
        """
        try:
            pending = buckets.get_bucket(
                asking_by(self._defaults, retry_strategy), bucket_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_bucket", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_buckets(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[BucketInfo]]:
        """Return the buckets that the user may see. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = buckets.get_all_buckets(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_buckets", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def flush_bucket(
        self,
        bucket_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Delete all documents of a bucket, which takes some seconds.

        Args:
            bucket_name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFlushableError unless its setting `flush_enabled` is on,
        BucketNotFoundError, NotAuthorizedError, TemporaryFailError.
        """
        try:
            pending = buckets.flush_bucket(
                asking_by(self._defaults, retry_strategy), bucket_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "flush_bucket", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def wait_ready(
        self,
        bucket_name: str,
        timeout: float = 5.0,
        sleep_interval: float = 0.2,
        *,
        progress: Progress | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[BucketInfo]:
        """Wait until all nodes have a bucket that was just made; return it.

        Args:
            bucket_name: the bucket's name.
            timeout: seconds for all of it.
            sleep_interval: seconds between two questions.
            progress: called with how many nodes are ready, 0, and how many there are.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises NotReadyError if it is not ready by then, NotAuthorizedError.
        """
        try:
            pending = buckets.wait_ready(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                timeout,
                sleep_interval,
                progress=progress,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "wait_ready", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class UserManagerMethods:
    """What can be asked about users."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def get_user(
        self,
        username: str,
        *,
        domain_name: AuthDomain | str = AuthDomain.Local,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[UserAndMetadata]:
        """Return a user with its roles. Raises UserNotFoundError, NotAuthorizedError.

        Args:
            username: who logs in.
            domain_name: who keeps the user's password: the cluster (`local`), or somebody else.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.get_user(
                asking_by(self._defaults, retry_strategy),
                username,
                domain_name=domain_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_user", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_users(
        self,
        *,
        domain_name: AuthDomain | str = AuthDomain.Local,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[UserAndMetadata]]:
        """Return the users of a domain. Raises NotAuthorizedError.

        Args:
            domain_name: who keeps the user's password: the cluster (`local`), or somebody else.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.get_all_users(
                asking_by(self._defaults, retry_strategy), domain_name=domain_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_users", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def upsert_user(
        self,
        user: User,
        *,
        domain_name: AuthDomain | str = AuthDomain.Local,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a user, or give one other roles, groups and name; connections have them at once.

        Args:
            user: who logs in, with its roles, groups and password.
            domain_name: who keeps the user's password: the cluster (`local`), or somebody else.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ArgumentError (a password for somebody external), ServerInvalidArgumentError (unknown
        roles, a password that is too weak), NotAuthorizedError.
        """
        try:
            pending = users.upsert_user(
                asking_by(self._defaults, retry_strategy),
                user,
                domain_name=domain_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "upsert_user", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_user(
        self,
        username: str,
        *,
        domain_name: AuthDomain | str = AuthDomain.Local,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Remove a user. Raises UserNotFoundError, NotAuthorizedError.

        Args:
            username: who logs in.
            domain_name: who keeps the user's password: the cluster (`local`), or somebody else.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.drop_user(
                asking_by(self._defaults, retry_strategy),
                username,
                domain_name=domain_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_user", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def change_password(
        self,
        new_password: str | Secret,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Change the password of the user who is logged in; open Buckets go on.

        Args:
            new_password: the password from now on; a Secret, or a text.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Give the new one to `cluster.set_authenticator` after that: new connections need it.

        Raises ServerInvalidArgumentError if it is too weak.
        """
        try:
            pending = users.change_password(
                asking_by(self._defaults, retry_strategy), new_password, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "change_password", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_roles(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[RoleAndDescription]]:
        """Return the roles that there are. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.get_roles(asking_by(self._defaults, retry_strategy), timeout=timeout)
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_roles", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_group(
        self,
        group_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[Group]:
        """Return a group. Raises GroupNotFoundError, NotAuthorizedError.

        Args:
            group_name: the group's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.get_group(
                asking_by(self._defaults, retry_strategy), group_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_group", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_groups(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[Group]]:
        """Return all groups. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.get_all_groups(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_groups", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def upsert_group(
        self,
        group: Group,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a group, or change one: who is in it has its roles at once.

        Args:
            group: its name, and the roles that its users have.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ServerInvalidArgumentError (unknown roles), NotAuthorizedError.
        """
        try:
            pending = users.upsert_group(
                asking_by(self._defaults, retry_strategy), group, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "upsert_group", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_group(
        self,
        group_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Remove a group. Raises GroupNotFoundError, NotAuthorizedError.

        Args:
            group_name: the group's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = users.drop_group(
                asking_by(self._defaults, retry_strategy), group_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_group", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class AdminMethods:
    """What SDK 2.5's Admin can ask."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def bucket_create(
        self,
        name: str,
        bucket_type: str = "couchbase",
        bucket_password: str = "",
        replicas: int = 0,
        ram_quota: int = 1024,
        flush_enabled: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Make a bucket; see `wait_ready`.

        Args:
            name: the bucket's name.
            bucket_type: `couchbase`, `ephemeral` or `memcached`.
            bucket_password: empty: servers have none any more.
            replicas: copies of each document beside the active one.
            ram_quota: MiB on each node.
            flush_enabled: whether it may be flushed.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketExistsError, ServerInvalidArgumentError, NotAuthorizedError.
        """
        try:
            pending = admin.bucket_create(
                asking_by(self._defaults, retry_strategy),
                name,
                bucket_type,
                bucket_password,
                replicas,
                ram_quota,
                flush_enabled,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "bucket_create", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def bucket_update(
        self,
        name: str,
        current: Mapping[str, Any] | HttpResult | BucketInfo,
        bucket_password: str | None = None,
        replicas: int | None = None,
        ram_quota: int | None = None,
        flush_enabled: bool | None = None,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Change settings of a bucket: those that are not None.

        Args:
            name: the bucket's name.
            current: what `bucket_info` gave, as SDK 2.5 wants it; servers need it no more.
            bucket_password: empty: servers have none any more.
            replicas: copies of each document beside the active one.
            ram_quota: MiB on each node.
            flush_enabled: whether it may be flushed.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, ServerInvalidArgumentError, NotAuthorizedError.
        """
        try:
            pending = admin.bucket_update(
                asking_by(self._defaults, retry_strategy),
                name,
                current,
                bucket_password,
                replicas,
                ram_quota,
                flush_enabled,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "bucket_update", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def bucket_remove(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Delete a bucket with all its documents. Raises BucketNotFoundError, NotAuthorizedError.

        Args:
            name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.bucket_remove(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "bucket_remove", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def bucket_delete(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Delete a bucket, as `bucket_remove` does.

        Args:
            name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.bucket_delete(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "bucket_delete", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def bucket_info(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Return a bucket's description as the server writes it: the result's `value` is a dict.

        Args:
            name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, NotAuthorizedError.
        """
        try:
            pending = admin.bucket_info(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "bucket_info", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def buckets_list(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[BucketInfo]]:
        """Return the buckets that the user may see. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.buckets_list(asking_by(self._defaults, retry_strategy), timeout=timeout)
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "buckets_list", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def wait_ready(
        self,
        name: str,
        timeout: float = 5.0,
        sleep_interval: float = 0.2,
        *,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[BucketInfo]:
        """Wait until all nodes have a bucket that was just made.

        Args:
            name: the bucket's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            sleep_interval: seconds between two questions.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises NotReadyError if it is not ready by then, NotAuthorizedError.
        """
        try:
            pending = admin.wait_ready(
                asking_by(self._defaults, retry_strategy), name, timeout, sleep_interval
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "wait_ready", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def users_get(
        self,
        domain: AuthDomain | str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Return the users of a domain as the server writes them. Raises NotAuthorizedError.

        Args:
            domain: who keeps the user's password: AuthDomain.Local or AuthDomain.External.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.users_get(
                asking_by(self._defaults, retry_strategy), domain, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "users_get", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def user_get(
        self,
        domain: AuthDomain | str,
        userid: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Return a user as the server writes it. Raises UserNotFoundError, NotAuthorizedError.

        Args:
            domain: who keeps the user's password: AuthDomain.Local or AuthDomain.External.
            userid: who logs in.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.user_get(
                asking_by(self._defaults, retry_strategy), domain, userid, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "user_get", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def user_upsert(
        self,
        domain: AuthDomain | str,
        userid: str,
        password: str | Secret | None = None,
        roles: Sequence[str | tuple[str, str]] | None = None,
        name: str | None = None,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Make a user, or change one.

        Args:
            domain: AuthDomain.Local or AuthDomain.External.
            userid: who logs in.
            password: of a local user.
            roles: names, or pairs of a name and a bucket.
            name: what the user is called.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ArgumentError (a password for somebody external, or no role),
        ServerInvalidArgumentError, NotAuthorizedError.
        """
        try:
            pending = admin.user_upsert(
                asking_by(self._defaults, retry_strategy),
                domain,
                userid,
                password,
                roles,
                name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "user_upsert", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def user_remove(
        self,
        domain: AuthDomain | str,
        userid: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Remove a user. Raises UserNotFoundError, NotAuthorizedError.

        Args:
            domain: who keeps the user's password: AuthDomain.Local or AuthDomain.External.
            userid: who logs in.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = admin.user_remove(
                asking_by(self._defaults, retry_strategy), domain, userid, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "user_remove", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class CollectionManagerMethods:
    """How scopes and collections are made and dropped."""

    __slots__ = ()

    _services_defaults: BucketDefaults
    _services_driver: TwistedDriver

    def create_scope(
        self,
        scope_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a scope, and wait until all nodes know it.

        Args:
            scope_name: the scope's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ScopeExistsError, BucketNotFoundError, InvalidNameError, ServerInvalidArgumentError,
        NotAuthorizedError, FeatureNotAvailableError.
        """
        try:
            pending = collections.create_scope(
                asking_by(self._services_defaults, retry_strategy), scope_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_scope", self._services_defaults)))
        try:
            return self._services_driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_scope(
        self,
        scope_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop a scope with all its collections and documents.

        Args:
            scope_name: the scope's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError,
        FeatureNotAvailableError.
        """
        try:
            pending = collections.drop_scope(
                asking_by(self._services_defaults, retry_strategy), scope_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_scope", self._services_defaults)))
        try:
            return self._services_driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_collection(
        self,
        scope_name: str,
        collection_name: str,
        *,
        max_expiry: timedelta | None = None,
        history: bool | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a collection, and wait until all nodes know it.

        Args:
            scope_name: the scope's name.
            collection_name: the collection's name.
            max_expiry: how long its documents live at most. None or 0: as the bucket says;
                negative: for ever, whatever the bucket says.
            history: whether changes are kept apart; None: as the bucket says.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises CollectionExistsError, ScopeNotFoundError, BucketNotFoundError, InvalidNameError,
        ServerInvalidArgumentError, NotAuthorizedError, FeatureNotAvailableError.
        """
        try:
            pending = collections.create_collection(
                asking_by(self._services_defaults, retry_strategy),
                scope_name,
                collection_name,
                max_expiry=max_expiry,
                history=history,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(
                without_frames(at_call(error, "create_collection", self._services_defaults))
            )
        try:
            return self._services_driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def update_collection(
        self,
        scope_name: str,
        collection_name: str,
        *,
        max_expiry: timedelta | None = None,
        history: bool | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Change what a collection was made with: what is None stays.

        Args:
            scope_name: the scope's name.
            collection_name: the collection's name.
            max_expiry: how long its documents live at most; 0: as the bucket says; negative: for
                ever. None: it is not said.
            history: whether changes of its documents are kept apart. None: it is not said.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises CollectionNotFoundError, ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError,
        ServerInvalidArgumentError, FeatureNotAvailableError.
        """
        try:
            pending = collections.update_collection(
                asking_by(self._services_defaults, retry_strategy),
                scope_name,
                collection_name,
                max_expiry=max_expiry,
                history=history,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(
                without_frames(at_call(error, "update_collection", self._services_defaults))
            )
        try:
            return self._services_driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_collection(
        self,
        scope_name: str,
        collection_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop a collection with all its documents.

        Args:
            scope_name: the scope's name.
            collection_name: the collection's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises CollectionNotFoundError, ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError,
        FeatureNotAvailableError.
        """
        try:
            pending = collections.drop_collection(
                asking_by(self._services_defaults, retry_strategy),
                scope_name,
                collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_collection", self._services_defaults)))
        try:
            return self._services_driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class ViewIndexManagerMethods:
    """What can be asked about design documents."""

    __slots__ = ()

    _defaults: BucketDefaults
    _driver: TwistedDriver

    def get_design_document(
        self,
        design_doc_name: str,
        namespace: DesignDocumentNamespace,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[DesignDocument]:
        """Return a design document. Raises DesignDocumentNotFoundError, NotAuthorizedError.

        Args:
            design_doc_name: the design document's name, without `_design/` and `dev_`.
            namespace: DesignDocumentNamespace.DEVELOPMENT or DesignDocumentNamespace.PRODUCTION.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = design_documents.get_design_document(
                asking_by(self._defaults, retry_strategy),
                design_doc_name,
                namespace,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_design_document", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_design_documents(
        self,
        namespace: DesignDocumentNamespace,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[DesignDocument]]:
        """Return those of a namespace. Raises BucketNotFoundError, NotAuthorizedError.

        Args:
            namespace: DesignDocumentNamespace.DEVELOPMENT or DesignDocumentNamespace.PRODUCTION.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = design_documents.get_all_design_documents(
                asking_by(self._defaults, retry_strategy), namespace, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_design_documents", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def upsert_design_document(
        self,
        design_doc_data: DesignDocument,
        namespace: DesignDocumentNamespace,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a design document, or replace one: its views are built anew.

        Args:
            design_doc_data: its name, and its views by name.
            namespace: DesignDocumentNamespace.DEVELOPMENT or DesignDocumentNamespace.PRODUCTION.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ServerInvalidArgumentError (what is no JavaScript), NotAuthorizedError.
        """
        try:
            pending = design_documents.upsert_design_document(
                asking_by(self._defaults, retry_strategy),
                design_doc_data,
                namespace,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "upsert_design_document", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_design_document(
        self,
        design_doc_name: str,
        namespace: DesignDocumentNamespace,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Delete a design document with its views.

        Args:
            design_doc_name: the design document's name, without `_design/` and `dev_`.
            namespace: DesignDocumentNamespace.DEVELOPMENT or DesignDocumentNamespace.PRODUCTION.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DesignDocumentNotFoundError, NotAuthorizedError.
        """
        try:
            pending = design_documents.drop_design_document(
                asking_by(self._defaults, retry_strategy),
                design_doc_name,
                namespace,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_design_document", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def publish_design_document(
        self,
        design_doc_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Copy a design document from development to production, where it replaces what was there.

        Args:
            design_doc_name: the design document's name, without `_design/` and `dev_`.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        That for development stays: `design_publish` deletes it.

        Raises DesignDocumentNotFoundError, NotAuthorizedError.
        """
        try:
            pending = design_documents.publish_design_document(
                asking_by(self._defaults, retry_strategy), design_doc_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "publish_design_document", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class DesignMethods:
    """The same by the names of SDK 2.5's BucketManager."""

    __slots__ = ()

    _defaults: BucketDefaults
    _driver: TwistedDriver

    def design_create(
        self,
        name: str,
        ddoc: Mapping[str, Any] | str,
        use_devmode: bool = True,
        syncwait: float = 0,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Make a design document, or replace one.

        Args:
            name: without `_design/`.
            ddoc: the document, as a mapping or as JSON: `{"views": {"v": {"map": "function…"}}}`.
            use_devmode: whether it is one for development, `dev_…`.
            syncwait: seconds to wait until its first view answers; 0: it is built when it is asked.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises ServerInvalidArgumentError (what is no JavaScript), TimeoutError (it is stored, and
        its views do not answer), NotAuthorizedError.
        """
        try:
            pending = bucket_manager.design_create(
                asking_by(self._defaults, retry_strategy),
                name,
                ddoc,
                use_devmode,
                syncwait,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "design_create", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def design_get(
        self,
        name: str,
        use_devmode: bool = True,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Return a result whose `value` is a design document, as the server has it.

        Args:
            name: without `_design/`.
            use_devmode: whether it is one for development, `dev_…`.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DesignDocumentNotFoundError, NotAuthorizedError.
        """
        try:
            pending = bucket_manager.design_get(
                asking_by(self._defaults, retry_strategy), name, use_devmode, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "design_get", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def design_publish(
        self,
        name: str,
        syncwait: float = 0,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Move a design document from development to production, where it replaces what was there.

        Args:
            name: without `_design/` and `dev_`.
            syncwait: as for `design_create`.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DesignDocumentNotFoundError, TimeoutError (it is published, and its views do not
        answer; that for development is still there), NotAuthorizedError.
        """
        try:
            pending = bucket_manager.design_publish(
                asking_by(self._defaults, retry_strategy), name, syncwait, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "design_publish", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def design_delete(
        self,
        name: str,
        use_devmode: bool = True,
        syncwait: float = 0,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Delete a design document with its views.

        Args:
            name: without `_design/`.
            use_devmode: whether it is one for development, `dev_…`.
            syncwait: seconds to wait until all nodes have forgotten it.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DesignDocumentNotFoundError, TimeoutError (it is deleted, and still seen),
        NotAuthorizedError.
        """
        try:
            pending = bucket_manager.design_delete(
                asking_by(self._defaults, retry_strategy),
                name,
                use_devmode,
                syncwait,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "design_delete", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def design_list(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[HttpResult]:
        """Return a result whose `value` has all design documents by id, `_design/dev_…` among them.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises BucketNotFoundError, NotAuthorizedError.
        """
        try:
            pending = bucket_manager.design_list(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "design_list", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def old_http_request(
        self,
        kind: int,
        method: int,
        path: str,
        content_type: str | None = None,
        post_data: str | bytes | None = None,
        response_format: int = 33554432,
        quiet: bool | None = None,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[HttpResult]:
        """Ask a service by libcouchbase's numbers, as SDK 2.5's `Bucket._http_request` does.

        Args:
            kind: of service. 0: views, 1: management, 3: query, 4: search, 5: analytics.
            method: 0: GET, 1: POST, 2: PUT, 3: DELETE.
            path: path and query, percent-encoded; of views behind the bucket's name.
            content_type: of the body; None: JSON.
            post_data: the body; a str is sent as UTF-8.
            response_format: FMT_JSON, FMT_UTF8 or FMT_BYTES: what `value` of the result is.
            quiet: True: a refusal is a result too.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises HTTPError if the service has refused it (AuthError for 401, NotAuthorizedError for
        403), ServiceNotAvailableError if no node runs it.
        """
        try:
            pending = bucket_manager.old_http_request(
                asking_by(self._defaults, retry_strategy),
                kind,
                method,
                path,
                content_type,
                post_data,
                response_format,
                quiet,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "old_http_request", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class N1qlIndexMethods:
    """What SDK 2.5's BucketManager can ask about indexes for queries."""

    __slots__ = ()

    _defaults: BucketDefaults
    _driver: TwistedDriver

    def n1ql_index_create(
        self,
        ix: str | N1qlIndex,
        defer: bool = False,
        ignore_exists: bool = False,
        primary: bool = False,
        fields: Iterable[str] | None = None,
        condition: str | None = None,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of the bucket.

        Args:
            ix: the index' name, or what it is like. Of a primary one it may be empty.
            defer: whether it is built by `n1ql_index_build_deferred`.
            ignore_exists: whether it is none of an error that there is one of that name.
            primary: whether it is of all keys.
            fields: what is indexed: names of members, or expressions of SQL++.
            condition: of documents that are indexed, in SQL++. None: all are.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryNotAuthorizedError.
        """
        try:
            pending = n1ql_indexes.n1ql_index_create(
                asking_by(self._defaults, retry_strategy),
                ix,
                defer,
                ignore_exists,
                primary,
                fields,
                condition,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_create", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_create_primary(
        self,
        defer: bool = False,
        ignore_exists: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of all keys of the bucket, which serves any statement, slowly.

        Args:
            defer: whether it is built by `n1ql_index_build_deferred`.
            ignore_exists: whether it is none of an error that there is one.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises what `n1ql_index_create` raises.
        """
        try:
            pending = n1ql_indexes.n1ql_index_create_primary(
                asking_by(self._defaults, retry_strategy), defer, ignore_exists, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_create_primary", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_drop(
        self,
        ix: str | N1qlIndex,
        primary: bool = False,
        ignore_missing: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index of the bucket.

        Args:
            ix: the index' name, or what it is like. Of a primary one it may be empty.
            primary: whether it is of all keys.
            ignore_missing: whether it is none of an error that there is none of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError, QueryBucketNotFoundError, QueryNotAuthorizedError.
        """
        try:
            pending = n1ql_indexes.n1ql_index_drop(
                asking_by(self._defaults, retry_strategy),
                ix,
                primary,
                ignore_missing,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_drop", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_drop_primary(
        self,
        ignore_missing: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop the index of all keys of the bucket that was given no name.

        Args:
            ignore_missing: whether it is none of an error that there is none.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises what `n1ql_index_drop` raises.
        """
        try:
            pending = n1ql_indexes.n1ql_index_drop_primary(
                asking_by(self._defaults, retry_strategy), ignore_missing, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_drop_primary", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_list(
        self,
        other_buckets: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[N1qlIndex]]:
        """Return the indexes of the bucket: the primary ones, then in the order of their names.

        Args:
            other_buckets: whether those of all buckets are wanted.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = n1ql_indexes.n1ql_index_list(
                asking_by(self._defaults, retry_strategy), other_buckets, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_list", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_build_deferred(
        self,
        other_buckets: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[N1qlIndex]]:
        """Have all indexes built that were deferred; return which, as they were before.

        Args:
            other_buckets: whether those of all buckets are meant.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        It does not wait for them: `n1ql_index_watch` does.
        """
        try:
            pending = n1ql_indexes.n1ql_index_build_deferred(
                asking_by(self._defaults, retry_strategy), other_buckets, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_build_deferred", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def n1ql_index_watch(
        self,
        indexes: Iterable[str | N1qlIndex],
        timeout: float = 30.0,
        interval: float = 0.2,
        watch_primary: bool = False,
        *,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[N1qlIndex]]:
        """Wait until indexes of the bucket are online; return them.

        Args:
            indexes: their names, or what `n1ql_index_build_deferred` has returned.
            timeout: seconds for all of it.
            interval: seconds between two looks.
            watch_primary: whether `#primary` is one of them.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
        """
        try:
            pending = n1ql_indexes.n1ql_index_watch(
                asking_by(self._defaults, retry_strategy), indexes, timeout, interval, watch_primary
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "n1ql_index_watch", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class QueryIndexManagerMethods:
    """What can be asked about indexes for queries."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def create_index(
        self,
        bucket_name: str,
        index_name: str,
        keys: Iterable[str],
        *,
        ignore_if_exists: bool = False,
        condition: str | None = None,
        deferred: bool = False,
        num_replicas: int | None = None,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index.

        Args:
            bucket_name: the bucket's name.
            index_name: the index' name.
            keys: what is indexed: names of members, or expressions of SQL++.
            ignore_if_exists: whether it is none of an error that there is one of that name.
            condition: of documents that are indexed, in SQL++. None: all are.
            deferred: whether it is built by `build_deferred_indexes`.
            num_replicas: copies of it. None: as the cluster says.
            scope_name: of the collection. None: the bucket is meant, as ever.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
        QueryNotAuthorizedError.
        """
        try:
            pending = query_indexes.create_index(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                index_name,
                keys,
                ignore_if_exists=ignore_if_exists,
                condition=condition,
                deferred=deferred,
                num_replicas=num_replicas,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_primary_index(
        self,
        bucket_name: str,
        *,
        index_name: str | None = None,
        ignore_if_exists: bool = False,
        deferred: bool = False,
        num_replicas: int | None = None,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of all keys, which serves any statement, slowly.

        Args:
            bucket_name: the bucket's name.
            index_name: the index' name. None: `#primary`.
            ignore_if_exists: whether it is none of an error that there is one of that name.
            deferred: whether it is built by `build_deferred_indexes`.
            num_replicas: copies of it. None: as the cluster says.
            scope_name: of the collection. None: the bucket is meant, as ever.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexExistsError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
        QueryNotAuthorizedError.
        """
        try:
            pending = query_indexes.create_primary_index(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                index_name=index_name,
                ignore_if_exists=ignore_if_exists,
                deferred=deferred,
                num_replicas=num_replicas,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_primary_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_index(
        self,
        bucket_name: str,
        index_name: str,
        *,
        ignore_if_not_exists: bool = False,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index.

        Args:
            bucket_name: the bucket's name.
            index_name: the index' name.
            ignore_if_not_exists: whether it is none of an error that there is none of that name.
            scope_name: of the collection. None: the bucket is meant, as ever.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError, QueryBucketNotFoundError, QueryCollectionNotFoundError,
        QueryNotAuthorizedError.
        """
        try:
            pending = query_indexes.drop_index(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                index_name,
                ignore_if_not_exists=ignore_if_not_exists,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_primary_index(
        self,
        bucket_name: str,
        *,
        index_name: str | None = None,
        ignore_if_not_exists: bool = False,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index of all keys.

        Args:
            bucket_name: the bucket's name.
            index_name: the index' name. None: the one that was given none.
            ignore_if_not_exists: whether it is none of an error that there is none.
            scope_name: of the collection. None: the bucket is meant, as ever.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises what `drop_index` raises.
        """
        try:
            pending = query_indexes.drop_primary_index(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                index_name=index_name,
                ignore_if_not_exists=ignore_if_not_exists,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_primary_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_indexes(
        self,
        bucket_name: str,
        *,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[QueryIndex]]:
        """Return the indexes of a bucket and its collections, or of one collection.

        Args:
            bucket_name: the bucket's name.
            scope_name: of the collection. None: all of the bucket are meant.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        The primary ones come first, then they are in the order of their names.
        """
        try:
            pending = query_indexes.get_all_indexes(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def build_deferred_indexes(
        self,
        bucket_name: str,
        *,
        scope_name: str | None = None,
        collection_name: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[QueryIndex]]:
        """Have all indexes built that were deferred; return which, as they were before.

        Args:
            bucket_name: the bucket's name.
            scope_name: of the collection. None: all of the bucket are meant.
            collection_name: the collection's name; goes with its scope's.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        It does not wait for them: `watch_indexes` does.
        """
        try:
            pending = query_indexes.build_deferred_indexes(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                scope_name=scope_name,
                collection_name=collection_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "build_deferred_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def watch_indexes(
        self,
        bucket_name: str,
        index_names: Iterable[str],
        *,
        timeout: float | None = None,
        watch_primary: bool = False,
        scope_name: str | None = None,
        collection_name: str | None = None,
        progress: Progress | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[QueryIndex]]:
        """Wait until indexes are online; return them.

        Args:
            bucket_name: the bucket's name.
            index_names: which.
            timeout: seconds for all of it. None: as the option http_timeout says.
            watch_primary: whether `#primary` is one of them.
            scope_name: of the collection. None: the bucket is meant, as ever.
            collection_name: the collection's name; goes with its scope's.
            progress: called with how many are online, 0, and how many there are.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
        """
        try:
            pending = query_indexes.watch_indexes(
                asking_by(self._defaults, retry_strategy),
                bucket_name,
                index_names,
                timeout=timeout,
                watch_primary=watch_primary,
                scope_name=scope_name,
                collection_name=collection_name,
                progress=progress,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "watch_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class CollectionQueryIndexManagerMethods:
    """What can be asked about indexes of one collection for queries."""

    __slots__ = ()

    _defaults: BucketDefaults
    _driver: TwistedDriver

    def create_index(
        self,
        index_name: str,
        keys: Iterable[str],
        *,
        ignore_if_exists: bool = False,
        condition: str | None = None,
        deferred: bool = False,
        num_replicas: int | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of the collection.

        Args:
            index_name: the index' name.
            keys: what is indexed: names of members, or expressions of SQL++.
            ignore_if_exists: whether it is none of an error that there is one of that name.
            condition: of documents that are indexed, in SQL++. None: all are.
            deferred: whether it is built by `build_deferred_indexes`.
            num_replicas: copies of it. None: as the cluster says.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexExistsError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
        """
        try:
            pending = collection_indexes.create_index(
                asking_by(self._defaults, retry_strategy),
                index_name,
                keys,
                ignore_if_exists=ignore_if_exists,
                condition=condition,
                deferred=deferred,
                num_replicas=num_replicas,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_primary_index(
        self,
        *,
        index_name: str | None = None,
        ignore_if_exists: bool = False,
        deferred: bool = False,
        num_replicas: int | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of all keys of the collection, which serves any statement, slowly.

        Args:
            index_name: the index' name. None: `#primary`.
            ignore_if_exists: whether it is none of an error that there is one of that name.
            deferred: whether it is built by `build_deferred_indexes`.
            num_replicas: copies of it. None: as the cluster says.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexExistsError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
        """
        try:
            pending = collection_indexes.create_primary_index(
                asking_by(self._defaults, retry_strategy),
                index_name=index_name,
                ignore_if_exists=ignore_if_exists,
                deferred=deferred,
                num_replicas=num_replicas,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_primary_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_index(
        self,
        index_name: str,
        *,
        ignore_if_not_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index of the collection.

        Args:
            index_name: the index' name.
            ignore_if_not_exists: whether it is none of an error that there is none of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError, QueryCollectionNotFoundError, QueryNotAuthorizedError.
        """
        try:
            pending = collection_indexes.drop_index(
                asking_by(self._defaults, retry_strategy),
                index_name,
                ignore_if_not_exists=ignore_if_not_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_primary_index(
        self,
        *,
        index_name: str | None = None,
        ignore_if_not_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index of all keys of the collection.

        Args:
            index_name: the index' name. None: the one that was given none.
            ignore_if_not_exists: whether it is none of an error that there is none.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises what `drop_index` raises.
        """
        try:
            pending = collection_indexes.drop_primary_index(
                asking_by(self._defaults, retry_strategy),
                index_name=index_name,
                ignore_if_not_exists=ignore_if_not_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_primary_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_indexes(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[QueryIndex]]:
        """Return the indexes of the collection: the primary ones, then in the order of their names.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = collection_indexes.get_all_indexes(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def build_deferred_indexes(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[QueryIndex]]:
        """Have all indexes of the collection built that were deferred; return which.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        It does not wait for them: `watch_indexes` does.
        """
        try:
            pending = collection_indexes.build_deferred_indexes(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "build_deferred_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def watch_indexes(
        self,
        index_names: Iterable[str],
        *,
        timeout: float | None = None,
        watch_primary: bool = False,
        progress: Progress | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[QueryIndex]]:
        """Wait until indexes of the collection are online; return them.

        Args:
            index_names: which.
            timeout: seconds for all of it. None: as the option http_timeout says.
            watch_primary: whether `#primary` is one of them.
            progress: called with how many are online, 0, and how many there are.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
        """
        try:
            pending = collection_indexes.watch_indexes(
                asking_by(self._defaults, retry_strategy),
                index_names,
                timeout=timeout,
                watch_primary=watch_primary,
                progress=progress,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "watch_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class SearchIndexManagerMethods:
    """What can be asked about search indexes."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def upsert_index(
        self,
        index: SearchIndex,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index, or replace the one whose uuid the definition has.

        Args:
            index: its definition.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises IndexExistsError (there is one, and no uuid was given), IndexChangedError,
        SearchIndexNotFoundError (a uuid of an index that is gone), ServerInvalidArgumentError (the
        definition), QuotaLimitedError, NotAuthorizedError, FeatureNotAvailableError (of a scope,
        before 7.6).
        """
        try:
            pending = search_indexes.upsert_index(
                asking_by(self._defaults, retry_strategy), index, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "upsert_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_index(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.drop_index(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_index(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[SearchIndex]:
        """Return an index' definition. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.get_index(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_indexes(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[SearchIndex]]:
        """Return all indexes, or those of a scope; without one, scopes' have their whole names.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises NotAuthorizedError, FeatureNotAvailableError (of a scope, before 7.6).
        """
        try:
            pending = search_indexes.get_all_indexes(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_indexed_documents_count(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[int]:
        """Return how many documents an index has.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises SearchIndexNotFoundError, IndexNotReadyError (it was just made), NotAuthorizedError.
        """
        try:
            pending = search_indexes.get_indexed_documents_count(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(
                without_frames(at_call(error, "get_indexed_documents_count", self._defaults))
            )
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def pause_ingest(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Stop indexing documents that change. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.pause_ingest(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "pause_ingest", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def resume_ingest(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Index again what changes. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.resume_ingest(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "resume_ingest", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def allow_querying(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Let an index be queried. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.allow_querying(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "allow_querying", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def disallow_querying(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have queries of an index refused. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.disallow_querying(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "disallow_querying", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def freeze_plan(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Leave partitions where they are. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.freeze_plan(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "freeze_plan", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def unfreeze_plan(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Let partitions be moved again. Raises SearchIndexNotFoundError, NotAuthorizedError.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.unfreeze_plan(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "unfreeze_plan", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def analyze_document(
        self,
        index_name: str,
        document: Any,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[Any]]:
        """Return the terms that an index would keep of a document.

        Args:
            index_name: the index' name.
            document: anything that JSON can say.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Returns:
            One mapping (or None) for each part of the document that is analysed: terms, where each
            was found, and its bytes in base64.

        Raises SearchIndexNotFoundError, IndexNotReadyError, ServerInvalidArgumentError,
        NotAuthorizedError, FeatureNotAvailableError.
        """
        try:
            pending = search_indexes.analyze_document(
                asking_by(self._defaults, retry_strategy), index_name, document, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "analyze_document", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_index_stats(
        self,
        index_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[dict[str, Any]]:
        """Return what the service counts of an index, as it says it.

        Args:
            index_name: the index' name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises SearchIndexNotFoundError, NotAuthorizedError.
        """
        try:
            pending = search_indexes.get_index_stats(
                asking_by(self._defaults, retry_strategy), index_name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_index_stats", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_index_stats(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[dict[str, Any]]:
        """Return what a node's service counts of all indexes. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = search_indexes.get_all_index_stats(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_index_stats", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class AnalyticsIndexManagerMethods:
    """What can be asked about datasets, their indexes and links."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def create_dataverse(
        self,
        dataverse_name: str,
        *,
        ignore_if_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a dataverse.

        Args:
            dataverse_name: its name; that of a scope is `bucket/scope`.
            ignore_if_exists: whether it is no error that there is one of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DataverseExistsError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.create_dataverse(
                asking_by(self._defaults, retry_strategy),
                dataverse_name,
                ignore_if_exists=ignore_if_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_dataverse", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_dataverse(
        self,
        dataverse_name: str,
        *,
        ignore_if_not_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop a dataverse with all that is in it.

        Args:
            dataverse_name: its name.
            ignore_if_not_exists: whether it is no error that there is none of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.drop_dataverse(
                asking_by(self._defaults, retry_strategy),
                dataverse_name,
                ignore_if_not_exists=ignore_if_not_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_dataverse", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_dataset(
        self,
        dataset_name: str,
        bucket_name: str,
        *,
        dataverse_name: str = "Default",
        ignore_if_exists: bool = False,
        condition: str | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a dataset of a bucket's documents.

        Args:
            dataset_name: its name.
            bucket_name: whose documents it has.
            dataverse_name: which it is of.
            ignore_if_exists: whether it is no error that there is one of that name.
            condition: of the documents that it has, in SQL++. None: it has all.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DatasetExistsError, DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.create_dataset(
                asking_by(self._defaults, retry_strategy),
                dataset_name,
                bucket_name,
                dataverse_name=dataverse_name,
                ignore_if_exists=ignore_if_exists,
                condition=condition,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_dataset", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_dataset(
        self,
        dataset_name: str,
        *,
        dataverse_name: str = "Default",
        ignore_if_not_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop a dataset.

        Args:
            dataset_name: its name.
            dataverse_name: which it is of.
            ignore_if_not_exists: whether it is no error that there is none of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DatasetNotFoundError, DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.drop_dataset(
                asking_by(self._defaults, retry_strategy),
                dataset_name,
                dataverse_name=dataverse_name,
                ignore_if_not_exists=ignore_if_not_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_dataset", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_datasets(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[AnalyticsDataset]]:
        """Return all datasets. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = analytics_indexes.get_all_datasets(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_datasets", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_index(
        self,
        index_name: str,
        dataset_name: str,
        fields: Mapping[str, AnalyticsDataType | str],
        *,
        dataverse_name: str = "Default",
        ignore_if_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make an index of a dataset.

        Args:
            index_name: its name.
            dataset_name: which it is of.
            fields: members by their paths (`a.b`), and what they have: `string`, `int64`, `double`.
            dataverse_name: which the dataset is of.
            ignore_if_exists: whether it is no error that there is one of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises AnalyticsIndexExistsError, DatasetNotFoundError, DataverseNotFoundError,
        NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.create_index(
                asking_by(self._defaults, retry_strategy),
                index_name,
                dataset_name,
                fields,
                dataverse_name=dataverse_name,
                ignore_if_exists=ignore_if_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_index(
        self,
        index_name: str,
        dataset_name: str,
        *,
        dataverse_name: str = "Default",
        ignore_if_not_exists: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop an index.

        Args:
            index_name: its name.
            dataset_name: which it is of.
            dataverse_name: which the dataset is of.
            ignore_if_not_exists: whether it is no error that there is none of that name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises AnalyticsIndexNotFoundError, DatasetNotFoundError, DataverseNotFoundError,
        NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.drop_index(
                asking_by(self._defaults, retry_strategy),
                index_name,
                dataset_name,
                dataverse_name=dataverse_name,
                ignore_if_not_exists=ignore_if_not_exists,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_index", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_indexes(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[AnalyticsIndex]]:
        """Return all indexes of datasets. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = analytics_indexes.get_all_indexes(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_indexes", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def connect_link(
        self,
        *,
        link_name: str = "Local",
        dataverse_name: str = "Default",
        force: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have the datasets of a link follow their documents.

        Args:
            link_name: the link's name.
            dataverse_name: which it is of.
            force: whether to begin anew if the bucket was made again.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.connect_link(
                asking_by(self._defaults, retry_strategy),
                link_name=link_name,
                dataverse_name=dataverse_name,
                force=force,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "connect_link", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def disconnect_link(
        self,
        *,
        link_name: str = "Local",
        dataverse_name: str = "Default",
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have the datasets of a link follow their documents no more.

        Args:
            link_name: the link's name.
            dataverse_name: which it is of.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_indexes.disconnect_link(
                asking_by(self._defaults, retry_strategy),
                link_name=link_name,
                dataverse_name=dataverse_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "disconnect_link", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_pending_mutations(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[dict[str, dict[str, int]]]:
        """Return how many changes datasets lack, by dataverse and name. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = analytics_indexes.get_pending_mutations(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_pending_mutations", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def create_link(
        self,
        link: AnalyticsLink,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Make a link.

        Args:
            link: what it is called, and where it leads.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises LinkExistsError, DataverseNotFoundError, NotAuthorizedError,
        ServerInvalidArgumentError.
        """
        try:
            pending = analytics_links.create_link(
                asking_by(self._defaults, retry_strategy), link, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "create_link", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def replace_link(
        self,
        link: AnalyticsLink,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Change a link.

        Args:
            link: what it is called, and where it leads from now on.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError,
        ServerInvalidArgumentError.
        """
        try:
            pending = analytics_links.replace_link(
                asking_by(self._defaults, retry_strategy), link, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "replace_link", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_link(
        self,
        link_name: str,
        dataverse_name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Drop a link.

        Args:
            link_name: the link's name.
            dataverse_name: which it is of.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_links.drop_link(
                asking_by(self._defaults, retry_strategy),
                link_name,
                dataverse_name,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_link", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_links(
        self,
        *,
        dataverse_name: str | None = None,
        name: str | None = None,
        link_type: AnalyticsLinkType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[list[AnalyticsLink]]:
        """Return links, without the secrets that the service keeps to itself.

        Args:
            dataverse_name: only those of one. None: of all.
            name: only the one of that name; goes with dataverse_name.
            link_type: only those of one type.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises DataverseNotFoundError, LinkNotFoundError, NotAuthorizedError.
        """
        try:
            pending = analytics_links.get_links(
                asking_by(self._defaults, retry_strategy),
                dataverse_name=dataverse_name,
                name=name,
                link_type=link_type,
                timeout=timeout,
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_links", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise


class EventingFunctionManagerMethods:
    """What can be asked about eventing functions."""

    __slots__ = ()

    _defaults: Defaults
    _driver: TwistedDriver

    def upsert_function(
        self,
        function: EventingFunction,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Store a function, or replace one that does not run.

        Args:
            function: what it is called, runs and hears of.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionAlreadyDeployedError, EventingFunctionCompilationFailureError,
        EventingFunctionIdenticalKeyspaceError, BucketNotFoundError, CollectionNotFoundError,
        ServerInvalidArgumentError, NotAuthorizedError.
        """
        try:
            pending = eventing_functions.upsert_function(
                asking_by(self._defaults, retry_strategy), function, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "upsert_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def drop_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Delete a function that is not deployed.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, EventingFunctionNotUnDeployedError,
        NotAuthorizedError.
        """
        try:
            pending = eventing_functions.drop_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "drop_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def deploy_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have a function run from now on; `functions_status` tells when it does.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, EventingFunctionAlreadyDeployedError,
        EventingFunctionPausedError, EventingFunctionNotBootstrappedError (it is about to run),
        NotAuthorizedError.
        """
        try:
            pending = eventing_functions.deploy_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "deploy_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def undeploy_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have a function run no more, and forget how far it was.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, EventingFunctionNotDeployedError, NotAuthorizedError.
        """
        try:
            pending = eventing_functions.undeploy_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "undeploy_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def pause_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have a function wait, and remember how far it was.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, EventingFunctionNotBootstrappedError (it does not
        run), EventingFunctionPausedError, NotAuthorizedError.
        """
        try:
            pending = eventing_functions.pause_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "pause_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def resume_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[None]:
        """Have a paused function go on.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, EventingFunctionNotDeployedError,
        EventingFunctionAlreadyDeployedError, NotAuthorizedError.
        """
        try:
            pending = eventing_functions.resume_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "resume_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_function(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> Deferred[EventingFunction]:
        """Return a function.

        Args:
            name: the function's name.
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises EventingFunctionNotFoundError, NotAuthorizedError.
        """
        try:
            pending = eventing_functions.get_function(
                asking_by(self._defaults, retry_strategy), name, timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_function", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def get_all_functions(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[list[EventingFunction]]:
        """Return the functions of the cluster, or of a scope. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = eventing_functions.get_all_functions(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "get_all_functions", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise

    def functions_status(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> Deferred[EventingFunctionsStatus]:
        """Return how the functions of the cluster are, or of a scope. Raises NotAuthorizedError.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.
        """
        try:
            pending = eventing_functions.functions_status(
                asking_by(self._defaults, retry_strategy), timeout=timeout
            )
        except CouchbaseError as error:
            return fail(without_frames(at_call(error, "functions_status", self._defaults)))
        try:
            return self._driver.run(pending, self)
        except WrongLoopError:
            del self
            raise
