"""BucketService: a Bucket that begins and ends with a Twisted application.

It takes its place beside an application's other services, under `twist`, `twistd` or a MultiService
of one's own. Services that use the Bucket go under it, so that they end before it is closed::

    application = Application("shop")
    couchbase = BucketService(cluster, "orders")
    couchbase.setServiceParent(application)
    Web(couchbase).setServiceParent(couchbase)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, Unpack
from weakref import WeakKeyDictionary, WeakSet

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchloop.arguments.exact import bare_text
from couchloop.arguments.times import check_wait
from couchloop.exceptions import BucketAlreadyOpenError, CouchbaseError, ServiceNotRunningError
from couchloop.safety.secret import sealed
from couchloop.settings.configure import hidden
from txcouchbase.bucket import Bucket, OpenBucketArguments
from txcouchbase.cluster import Cluster

__all__ = ["BucketService"]

T = TypeVar("T")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


def _pause(failures: int) -> float:
    """Return the seconds before the next try: they double, from one second to thirty."""
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)


class BucketService(MultiService):
    """Opens a bucket when it starts, closes it in order when it stops; can be started again.

    `startService` returns at once; operations wait for the bucket to be open. If it cannot be
    opened, for a cluster that starts later than the application for instance, that is tried again
    after a pause, for as long as the service runs: by the Bucket itself where the cause passes, by
    the service where somebody has to mend it, a password for instance. Then what waits fails with
    the reason.

    `stopService` first stops the services under this one, waits until they have ended, and then
    closes the Bucket: operations in flight have *close_timeout* seconds. The reactor of `twist`,
    `twistd` and `Application` waits for the Deferred that it returns. Services of one bucket with
    the same settings have the same Bucket: the last of them that stops closes it.

    Nothing is opened, and no reactor imported, before it is started: an application may be made
    before `twistd` forks, or before a reactor is chosen.

    Args:
        cluster: where the bucket is and who connects; its `reactor` is the Bucket's.
        bucket_name: the bucket's name.
        close_timeout: seconds that operations in flight have when the service stops.
        retry_pause: gives the seconds after which the service has the bucket opened again when
            that has failed so many times in a row, whatever the cause. None: one second, doubled
            each time up to thirty, and only for causes that do not pass by themselves.
        bucket_arguments: handed to `Cluster.open_bucket`.

    """

    @sealed
    def __init__(
        self,
        cluster: Cluster,
        bucket_name: str,
        *,
        close_timeout: float = 2.5,
        retry_pause: Callable[[int], float] | None = None,
        **bucket_arguments: Unpack[OpenBucketArguments],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cluster = cluster
        self._bucket_name = bare_text(bucket_name)
        self._close_timeout = check_wait(close_timeout, "close_timeout")
        self._retry_pause = retry_pause
        self._bucket_arguments = hidden(bucket_arguments)
        self._bucket: Bucket | None = None
        self._failures = 0
        self._retry: IDelayedCall | None = None
        self._waiting: list[Deferred[Bucket]] = []
        self._awaited: Bucket | None = None
        """What opens by itself, and tells when it has."""
        self._leaving: Bucket | None = None
        """What is given up as soon as the services under this one have ended."""

    def __repr__(self) -> str:
        state = "not running" if self._bucket is None else repr(self._bucket)
        return f"<{type(self).__module__}.{type(self).__name__} {self._bucket_name!r}: {state}>"

    @property
    def bucket(self) -> Bucket:
        """The Bucket, from `startService` on; it need not be open yet, operations wait for that.

        Ask for it at each use: after a restart of the service it is another one.

        Raises ServiceNotRunningError (an ObjectDestroyedError) before the service was started and
        after it has stopped.
        """
        if self._bucket is None:
            raise self._not_running()
        return self._bucket

    def when_ready(self) -> Deferred[Bucket]:
        """Return a new Deferred: the Bucket, once it is open; however long, and however many tries.

        It fails with ServiceNotRunningError if the service stops before that. It may be asked for
        before the service is started.
        """
        ready: Deferred[Bucket] = Deferred(self._stop_waiting)
        if self._bucket is not None and self._bucket.connected:
            ready.callback(self._bucket)
        else:
            self._waiting.append(ready)
        return ready

    def startService(self) -> None:
        """Begin to open the bucket, then start the services under this one.

        Raises what `Cluster.open_bucket` raises, for instance BucketAlreadyOpenError.
        """
        # One that is still being closed is opened again after that.
        if self._bucket is None:
            self._open()
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        """Stop the services under this one, then close; fires when the last connection is gone."""
        # Before anything else: what is tried again meanwhile would be left open.
        bucket = self._leaving = self._bucket
        self._end_retry()
        stopped: Deferred[Any] = super().stopService()  # type: ignore[no-untyped-call]
        if bucket is not None:
            stopped.addCallback(lambda _: self._release(bucket))
            stopped.addCallback(lambda _: self._closed(bucket))
        return stopped.addCallback(lambda _: None)

    def _open(self) -> None:
        self._failures = 0
        self._share()

    def _share(self) -> None:
        """Open the bucket, or take the Bucket of another service that has it open."""
        self._bucket = bucket = self._cluster.open_bucket(
            self._bucket_name, **self._bucket_arguments
        )
        _users.setdefault(bucket, WeakSet()).add(self)
        self._connect(bucket)

    def _release(self, bucket: Bucket) -> Deferred[None] | None:
        """Close *bucket*, unless another service has it too."""
        users = _users[bucket]
        users.discard(self)
        return None if users else bucket.close(self._close_timeout)

    def _connect(self, bucket: Bucket) -> None:
        self._retry = None
        connecting = bucket.connect()
        connecting.addCallback(lambda _: self._opened(bucket))
        connecting.addErrback(partial(self._failed, bucket))

    def _opened(self, bucket: Bucket) -> None:
        if bucket is not self._bucket:
            # Stopped meanwhile, and others have it still.
            return
        self._failures = 0
        self._end_retry()
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.callback(bucket)

    def _next_pause(self) -> float:
        if self._retry_pause is not None:
            # The user's own; without a pause the service would never try again.
            with _log.failuresHandled("while asking for a pause"):
                return check_wait(self._retry_pause(self._failures), "retry_pause")
        return _pause(self._failures)

    def _failed(self, bucket: Bucket, failure: Failure) -> None:
        failure.trap(CouchbaseError)  # type: ignore[no-untyped-call]
        if bucket.closed or bucket is not self._bucket or bucket is self._leaving:
            return
        if self._retry is not None:
            # Told once already.
            return
        self._failures += 1
        if bucket._driver.is_opening:  # noqa: SLF001 - ours
            # By itself; a pause of the user's may be over earlier.
            self._await_opening(bucket)
            if self._retry_pause is None:
                return
        pause = self._next_pause()
        _log.warn(
            "bucket {bucket} is not open: {kind}; opening it again in {pause:g} s",
            bucket=self._bucket_name,
            kind=type(failure.value).__name__,
            pause=pause,
        )
        is_taken = failure.check(BucketAlreadyOpenError) is not None  # type: ignore[no-untyped-call]
        self._retry = bucket.reactor.callLater(pause, self._try_again, bucket, is_taken)

    def _await_opening(self, bucket: Bucket) -> None:
        if self._awaited is bucket:
            return
        self._awaited = bucket

        def over(result: T) -> T:
            if self._awaited is bucket:
                self._awaited = None
            return result

        opening = bucket._driver.when_open_at_last()  # noqa: SLF001 - ours
        opening.addBoth(over)
        opening.addCallback(lambda _: self._opened(bucket))
        opening.addErrback(partial(self._failed, bucket))

    def _try_again(self, bucket: Bucket, is_taken: bool) -> None:
        if is_taken:
            # By a Bucket that was opened while this one was not: it may be what we want.
            try:
                self._share()
            except CouchbaseError:
                pass
            else:
                _users[bucket].discard(self)
                return
        self._connect(bucket)

    def _closed(self, bucket: Bucket) -> None:
        if self._bucket is not bucket:
            return
        self._bucket = self._leaving = None
        self._end_retry()
        if self.running:
            self._open()
            return
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.errback(self._not_running())

    def _end_retry(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()

    def _stop_waiting(self, ready: Deferred[Bucket]) -> None:
        self._waiting.remove(ready)

    def _not_running(self) -> ServiceNotRunningError:
        return ServiceNotRunningError(
            f"the service of bucket {self._bucket_name!r} is not running: start it, or give it a "
            "parent that is started"
        )


_users: Final[WeakKeyDictionary[Bucket, WeakSet[BucketService]]] = WeakKeyDictionary()
"""The services that have a Bucket, started and not yet stopped."""

_log: Final = Logger()
"""Of the module: an event that is kept must not hold a service, and with it its Bucket."""
