"""A result backend for Celery that lets other greenlets run while it waits for the cluster.

`result_backend = "couchloop://user:password@host1,host2/bucket"`, or `couchloops://` for TLS;
options of a connection string follow a `?`. Celery finds it by its entry point.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from couchloop.exceptions import (
    CouchbaseNetworkError,
    CouchbaseTransientError,
    NotFoundError,
    TimeoutError,  # noqa: A004 - the client's own
)
from couchloop.neighbours import pip_line
from couchloop.safety.secret import Secret, sealed
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator

try:
    from celery.backends.base import KeyValueStoreBackend
    from celery.exceptions import ImproperlyConfigured
    from gevent.monkey import get_original
except ImportError as error:
    raise ImportError(
        f"couchloop.contrib.celery needs celery and gevent: {pip_line('gevent', 'celery')}"
    ) from error

__all__ = ["CouchbaseBackend"]

_SCHEMES: Final = {"couchloop": "couchbase", "couchloops": "couchbases"}
_SAFE: Final = (CouchbaseNetworkError, CouchbaseTransientError, TimeoutError)

_kept: Final[Any] = get_original("_thread", "_local")()
"""The Buckets of each thread, and so of each hub, whose greenlets share them.

Celery makes a backend per greenlet: none of them may own one. They go with their thread.
"""


class CouchbaseBackend(KeyValueStoreBackend):
    """Keeps results in a bucket, as text that the servers let expire (`result_expires`).

    The bucket is opened at the first use, once in a process (and hub), and closed when the process
    ends. Chords count their parts in a document, without a task that polls.
    """

    key_t = str
    supports_autoexpire = True
    supports_native_join = True
    implements_incr = True

    @sealed
    def __init__(self, url: str | None = None, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("expires_type", int)
        url = url or "couchloop://localhost/default"
        self._where = _read(url)
        self._url = Secret(url)
        # What Celery keeps and shows has no password.
        super().__init__(*args, url=self.as_uri(), **kwargs)

    @property
    def bucket(self) -> Bucket:
        """The Bucket, which all backends of this hub with the same URL share."""
        opened = _opened_here()
        bucket = opened.get(self._where)
        if bucket is None or bucket.closed:
            # Greenlets that come meanwhile are given the same.
            bucket = opened[self._where] = _opened(*self._where)
        return bucket

    def get(self, key: str) -> str | bytes | None:
        """Return what is stored under *key*, None if nothing is."""
        result = self.bucket.get(key, quiet=True)
        stored: str | bytes | None = result.value if result.success else None
        return stored

    def mget(self, keys: list[str]) -> list[str | bytes | None]:
        """Return what is stored under each key, in their order: one round trip to each node."""
        if not keys:
            # Celery asks so for a group whose results it has all kept.
            return []
        results = self.bucket.get_multi(dict.fromkeys(keys), quiet=True)
        return [results[key].value if results[key].success else None for key in keys]

    def set(self, key: str, value: str | bytes) -> None:
        """Store *value*, which expires with the results."""
        form = FMT_BYTES if isinstance(value, bytes) else FMT_UTF8
        self.bucket.upsert(key, value, ttl=_duration(self.expires), format=form)

    def delete(self, key: str) -> None:
        """Delete what is stored under *key*, if anything is."""
        self.bucket.remove(key, quiet=True)

    def incr(self, key: str) -> int:
        """Count one more, from 1 on, and return the count."""
        count: int = self.bucket.counter(key, initial=1).value
        return count

    def expire(self, key: str, value: float | None) -> None:
        """Let what is stored under *key* expire in *value* seconds; 0 or None: it stays."""
        with suppress(NotFoundError):
            self.bucket.touch(key, ttl=_duration(value))

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Whether what failed may succeed later, for `result_backend_always_retry`."""
        return isinstance(exc, _SAFE)

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URL, which may name many hosts."""
        if include_password:
            return self._url.text()
        where, bucket, username, _ = self._where
        scheme, _, hosts = where.partition("://")
        login = f"{quote(username)}:**@" if username else ""
        hosts, mark, options = hosts.partition("?")
        return (
            f"{scheme.replace('couchbase', 'couchloop')}://{login}{hosts}/{bucket}{mark}{options}"
        )

    def __reduce__(self, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "url": self._url.text()})


@sealed
def _read(url: str) -> tuple[str, str, str, Secret]:
    """Return a connection string, the bucket's name, the user and the password."""
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    options = f"?{parts.query}" if parts.query else ""
    bucket = unquote(parts.path.strip("/")) or "default"
    if "/" in bucket:
        raise ImproperlyConfigured("result_backend: a URL is couchloop://user:password@host/bucket")
    where = f"{scheme}://{hosts or 'localhost'}{options}"
    return where, bucket, unquote(username), Secret(unquote(password))


def _opened_here() -> dict[tuple[str, str, str, Secret], Bucket]:
    opened: dict[tuple[str, str, str, Secret], Bucket] = vars(_kept).setdefault("buckets", {})
    return opened


@sealed
def _opened(where: str, bucket: str, username: str, password: Secret) -> Bucket:
    cluster = Cluster(where)
    cluster.authenticate(PasswordAuthenticator(username, password.text()))
    return cluster.open_bucket(bucket)


def _duration(seconds: float | None) -> timedelta | int:
    """Return a duration: a number above 30 days would be a point in time. 0 or None: for ever."""
    return timedelta(seconds=max(1, int(seconds))) if seconds else 0


@atexit.register
def _close() -> None:
    """Close the Buckets of the thread in which the process ends."""
    opened = _opened_here()
    while opened:
        opened.popitem()[1].close()
