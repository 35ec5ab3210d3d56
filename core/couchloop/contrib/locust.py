"""A Locust user whose requests are operations on documents.

Locust patches the standard library when it is imported, so `import locust` comes first in a
locustfile, or this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Final

from couchloop.neighbours import pip_line

try:
    from locust import User
    from locust.exception import RescheduleTask
except ImportError as error:
    raise ImportError(
        f"couchloop.contrib.locust needs locust: {pip_line('gevent', 'locust')}"
    ) from error

from couchloop.exceptions import CouchbaseError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator

__all__ = ["CouchbaseUser", "Reported"]


_HANDLES: Final = frozenset({"scope", "collection", "default_scope", "default_collection"})


class Reported:
    """A Bucket or a collection, of which each call that fails or succeeds is reported to Locust.

    A request is named as its method. Locust groups errors by their text: errors of this client say
    the same of equal failures, whatever the key. Scopes and collections of it report their calls,
    too. Streams and queries, whose rows come later, and what is no method, are passed on as they
    are.

    Args:
        target: a Bucket or a collection.
        environment: Locust's.
        raises: whether the client's errors leave a call. If not, a failed call ends its task, as a
            `return` would, and the user goes on with the next.
    """

    def __init__(self, target: Any, environment: Any, *, raises: bool = False) -> None:
        if isinstance(target, Reported):
            target = vars(target)["_target"]
        self._target: Any = target
        self._environment = environment
        self._fire = environment.events.request.fire
        self._raises = raises

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found) or name.endswith(("_stream", "_query", "scan")):
            return found
        return self._handle(found) if name in _HANDLES else self._reported(name, found)

    def _handle(self, make: Callable[..., Any]) -> Callable[..., Reported]:
        """Return what makes a scope or a collection, without asking anybody: no request."""

        @wraps(make)
        def handle(*args: Any, **kwargs: Any) -> Reported:
            return Reported(make(*args, **kwargs), self._environment, raises=self._raises)

        return handle

    def _reported(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def reported(*args: Any, **kwargs: Any) -> Any:
            at, begin = time.time(), time.perf_counter()
            failure: Exception | None = None
            result = None
            try:
                result = call(*args, **kwargs)
            except CouchbaseError as error:
                failure = error
            self._fire(
                request_type="couchbase",
                name=name,
                response_time=(time.perf_counter() - begin) * 1000,
                response_length=0,
                response=result,
                exception=failure,
                context={},
                start_time=at,
            )
            if failure is None:
                return result
            try:
                if self._raises:
                    raise failure
                raise RescheduleTask from failure
            finally:
                # It must not point to itself by way of this frame.
                del failure

        return reported


class CouchbaseUser(User):
    """A user with a Bucket, `self.bucket`, whose calls are requests.

    All users of a process share one Bucket, as an application's greenlets do. `host`, which
    `--host` sets, is a connection string.
    """

    abstract = True
    host = "couchbase://localhost"
    bucket_name: ClassVar[str] = "default"
    username: ClassVar[str] = ""
    password: ClassVar[str] = ""
    raises: ClassVar[bool] = False
    """Whether the client's errors leave a call, or end the task."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        cluster = Cluster(self.host or "couchbase://localhost")
        cluster.authenticate(PasswordAuthenticator(self.username, self.password))
        self._opened: Bucket = cluster.open_bucket(self.bucket_name)
        self.bucket: Any = Reported(self._opened, environment, raises=self.raises)
