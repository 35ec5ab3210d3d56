"""What SDK 2.5's Bucket and Cluster have beside operations: properties, and names of later waves.

A name that comes with a later version is there, and says so when it is used: a program that needs
it learns that from FeatureNotAvailableError, not from a name that looks like a slip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MethodType
from typing import Any, Final
from warnings import warn

from couchloop import (
    COMPRESS_FORCE,
    COMPRESS_IN,
    COMPRESS_INOUT,
    COMPRESS_NONE,
    COMPRESS_OUT,
)
from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.times import exact_seconds
from couchloop.client.driver import Driver
from couchloop.exceptions import (
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidSettingError,
    PipelineError,
)
from couchloop.hot.encoding import Passthrough, encode_key
from couchloop.hot.operation import Defaults, Key
from couchloop.settings.options import OPTIONS
from couchloop.settings.values import Settings
from couchloop.wire import snappy

_COMPRESSION: Final = {
    "off": COMPRESS_NONE,
    "inflate_only": COMPRESS_IN,
    "deflate_only": COMPRESS_OUT,
    "on": COMPRESS_INOUT,
    "force": COMPRESS_FORCE,
}
_MODES: Final = {number: mode for mode, number in _COMPRESSION.items()}

_CREDENTIALS: Final = (
    "is not there: users and their roles have replaced passwords of buckets; give the user who is "
    "logged in a role in each"
)
_CRYPTO: Final = (
    "comes with a later version of couchloop: encryption of fields is not there yet; encrypt "
    "values in a transcoder"
)


class _NotYet:
    """A method that is not there, or not yet: calling it says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type[LaterNames]) -> Callable[..., Any]:
        name, why = self._name, self._why

        def method(*_: Any, **__: Any) -> Any:
            text = f"{name}() {why}"
            return owner._not_available(FeatureNotAvailableError(text))  # noqa: SLF001 - ours

        method.__name__, method.__qualname__ = name, f"{owner.__name__}.{name}"
        method.__doc__ = f"Raise FeatureNotAvailableError: it {why}."
        return method


class _OfBucketManager:
    """A method of a Bucket in SDK 2.5 that is one of `bucket_manager()`: it warns, and calls it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        name = self._name

        def method(bucket: Any, *arguments: Any, **keywords: Any) -> Any:
            text = f"{name}() is a method of bucket_manager() now"
            warn(text, DeprecationWarning, stacklevel=2)
            return getattr(bucket.bucket_manager(), name)(*arguments, **keywords)

        method.__name__, method.__qualname__ = name, f"{owner.__name__}.{name}"
        method.__doc__ = f"Do what `bucket_manager().{name}` does: a name of SDK 2.5, which warns."
        return method if instance is None else MethodType(method, instance)


def _as_option(name: str, value: object) -> float:
    """Return *value*, a number, checked as the option of that name is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSettingError(f"{name} is a number", objextra=value)
    text = int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
    if "e-" in text:
        # Options have no exponents.
        text = float.__format__(float(value), ".12f")
    return float(OPTIONS[name].parse(text, name))  # type: ignore[arg-type]


def _report(option: str, field: str, meaning: str) -> Any:
    """Make an attribute of what is reported: what an option has decided, until it is set."""

    def get(self: Sdk25Names) -> float:
        value: float = getattr(self._settings.reports, field)
        return value

    def set_(self: Sdk25Names, value: float) -> None:
        kind = type(get(self))
        changed: dict[str, Any] = {field: kind(_as_option(option, value))}
        self._set(reports=replace(self._settings.reports, **changed))

    text = (
        f"{meaning} It counts from when it is set; with `enable_tracing` alone anything is "
        "reported.\n\nRaises InvalidOptionError when set to what the option cannot be, "
        "InvalidSettingError when to no number (ArgumentErrors)."
    )
    return property(get, set_, doc=text)


class LaterNames:
    """How names of later waves fail."""

    @staticmethod
    def _not_available(error: CouchbaseError) -> Any:
        """Tell the caller of a method that it is not there; an adapter may have another way."""
        raise error


class OfBucketManager:
    """Names that SDK 2.5 has on a Bucket, and that are its `bucket_manager()`'s now."""

    bucket_manager: Callable[[], Any]

    design_create = _OfBucketManager()
    design_get = _OfBucketManager()
    design_publish = _OfBucketManager()
    design_delete = _OfBucketManager()

    def _http_request(self, type: int, method: int, path: str, **keywords: Any) -> Any:  # noqa: A002 - 2.5's
        """Ask a service, as SDK 2.5's own method does: see `bucket_manager().old_http_request`."""
        return self.bucket_manager().old_http_request(type, method, path, **keywords)


class Sdk25Names(LaterNames, OfBucketManager):
    """Properties of a Bucket that SDK 2.5 has, and names that come with a later version."""

    _driver: Driver
    _settings: Settings
    _defaults: Defaults
    _set_services: Callable[[Defaults, Mapping[str, Any]], None]
    """Has what requests to services use count from now on, in all collections."""

    add_bucket_creds = _NotYet(_CREDENTIALS)
    register_crypto_provider = _NotYet(_CRYPTO)
    unregister_crypto_provider = _NotYet(_CRYPTO)
    encrypt_fields = _NotYet(_CRYPTO)
    decrypt_fields = _NotYet(_CRYPTO)

    def pipeline(self) -> Any:
        """Raise PipelineError: where calls do not wait, as on Twisted, all are a pipeline."""
        raise PipelineError(
            "there is no pipeline here: calls do not wait for each other anyway; issue them, and "
            "wait for all of their Deferreds"
        )

    def _set(self, **changed: Any) -> None:
        """Have settings count from now on."""
        raise NotImplementedError

    def _set_default(self, **changed: Any) -> None:
        """Likewise what operations use where the call says nothing, in all collections."""
        raise NotImplementedError

    def _doubt(self, name: str, value: float) -> None:
        """Log that seconds may be milliseconds, if they may."""
        raise NotImplementedError

    @property
    def n1ql_timeout(self) -> float:
        """Seconds that a query has, from now on, unless it says it itself.

        Raises InvalidTimeoutError (a ValueError) when set to what is not positive, or more than a
        year.
        """
        return self._defaults.services.query_timeout

    @n1ql_timeout.setter
    def n1ql_timeout(self, value: float) -> None:
        self._set_services(self._defaults, {"query_timeout": exact_seconds(value)})
        self._doubt("n1ql_timeout", value)

    @property
    def views_timeout(self) -> float:
        """Seconds that a query of a view has, from now on, unless it says it itself.

        Raises InvalidTimeoutError as `n1ql_timeout`.
        """
        return self._defaults.services.views_timeout

    @views_timeout.setter
    def views_timeout(self, value: float) -> None:
        self._set_services(self._defaults, {"views_timeout": exact_seconds(value)})
        self._doubt("views_timeout", value)

    @property
    def compression(self) -> int:
        """COMPRESS_NONE, COMPRESS_IN, COMPRESS_OUT, COMPRESS_INOUT or COMPRESS_FORCE.

        It can be set, and counts at once; what a connection has not agreed with its node, as one
        that was opened with `compression=off`, counts from the next one on. COMPRESS_FORCE sends
        compressed whatever gets smaller by it, of values of `compression_min_size` bytes or more.

        Raises InvalidSettingError (an ArgumentError) when set to anything else, and
        FeatureNotAvailableError when to COMPRESS_FORCE without the package cramjam.
        """
        return _COMPRESSION[self._settings.wire.compression]

    @compression.setter
    def compression(self, value: int) -> None:
        mode = _MODES.get(-1 if (number := exact_integer(value)) is None else number)
        if mode is None:
            raise InvalidSettingError("compression is one of COMPRESS_NONE to COMPRESS_FORCE")
        if mode == "force":
            snappy.check_installed()
        self._set(wire=replace(self._settings.wire, compression=mode))

    @property
    def redaction(self) -> bool:
        """Whether users' data in log lines is marked."""
        return self._settings.log_redaction

    @redaction.setter
    def redaction(self, value: bool) -> None:
        self._set(log_redaction=is_true(value, "redaction"))

    @property
    def compression_min_size(self) -> int:
        """Bytes of the shortest value that is sent compressed, from now on.

        Raises InvalidOptionError when set to less than 32, InvalidSettingError when to no number.
        """
        return self._settings.wire.compress_from

    @compression_min_size.setter
    def compression_min_size(self, value: int) -> None:
        size = int(_as_option("compression_min_size", value))
        self._set(wire=replace(self._settings.wire, compress_from=size))

    @property
    def compression_min_ratio(self) -> float:
        """What is not compressed to this part of its size is sent as it is, from now on.

        Raises InvalidOptionError when set to less than 0 or more than 1, InvalidSettingError when
        to no number.
        """
        return self._settings.wire.compress_ratio

    @compression_min_ratio.setter
    def compression_min_ratio(self, value: float) -> None:
        ratio = _as_option("compression_min_ratio", value)
        self._set(wire=replace(self._settings.wire, compress_ratio=ratio))

    tracing_threshold_kv = _report(
        "tracing_threshold_kv", "threshold", "Seconds from which on an operation is slow."
    )
    tracing_threshold_n1ql = _report(
        "tracing_threshold_n1ql", "query_threshold", "Seconds from which on a query is slow."
    )
    tracing_threshold_view = _report(
        "tracing_threshold_view", "views_threshold", "Seconds from which on a view query is slow."
    )
    tracing_threshold_fts = _report(
        "tracing_threshold_fts", "search_threshold", "Seconds from which on a search is slow."
    )
    tracing_threshold_analytics = _report(
        "tracing_threshold_analytics",
        "analytics_threshold",
        "Seconds from which on an analytics query is slow.",
    )
    tracing_threshold_queue_flush_interval = _report(
        "tracing_threshold_queue_flush_interval",
        "threshold_interval",
        "Seconds between two reports of slow operations.",
    )
    tracing_threshold_queue_size = _report(
        "tracing_threshold_queue_size",
        "threshold_size",
        "How many slow operations one report holds.",
    )
    tracing_orphaned_queue_flush_interval = _report(
        "tracing_orphaned_queue_flush_interval",
        "orphaned_interval",
        "Seconds between two reports of late answers.",
    )
    tracing_orphaned_queue_size = _report(
        "tracing_orphaned_queue_size",
        "orphaned_size",
        "How many late answers one report holds.",
    )
    # 2.5 has each by a name in capitals, too.
    TRACING_THRESHOLD_KV = tracing_threshold_kv
    TRACING_THRESHOLD_QUEUE_FLUSH_INTERVAL = tracing_threshold_queue_flush_interval
    TRACING_THRESHOLD_QUEUE_SIZE = tracing_threshold_queue_size
    TRACING_ORPHANED_QUEUE_FLUSH_INTERVAL = tracing_orphaned_queue_flush_interval
    TRACING_ORPHANED_QUEUE_SIZE = tracing_orphaned_queue_size
    TRACING_THRESHOLD_N1QL = tracing_threshold_n1ql
    TRACING_THRESHOLD_VIEW = tracing_threshold_view
    TRACING_THRESHOLD_FTS = tracing_threshold_fts
    TRACING_THRESHOLD_ANALYTICS = tracing_threshold_analytics

    @property
    def data_passthrough(self) -> bool:
        """Whether values are given as bytes, whatever their format (as `no_format` does).

        Raises InvalidSettingError (a TypeError) when set to what is neither a bool nor a number.
        """
        return isinstance(self._defaults.transcoder, Passthrough)

    @data_passthrough.setter
    def data_passthrough(self, value: bool) -> None:
        is_on = is_true(value, "data_passthrough")
        transcoder: Any = self._defaults.transcoder
        if isinstance(transcoder, Passthrough):
            transcoder = transcoder.behind
        wanted: Any = Passthrough(transcoder) if is_on else transcoder
        self._set_default(transcoder=wanted)

    def _vbmap(self, key: Key) -> tuple[int, int]:
        """Return the vbucket of *key*, and the index of the node that owns it; -1: none does.

        Raises FeatureNotAvailableError where there are no vbuckets: before the bucket is open, or
        in one of type memcached.
        """
        config = self._driver.session.config
        if config is None or not config.active:
            raise FeatureNotAvailableError("there is no map of vbuckets: the bucket is not open")
        if not config.has_vbuckets:
            raise FeatureNotAvailableError("there is no map of vbuckets: keys are spread by ketama")
        vbucket = config.vbucket(encode_key(self._defaults.transcoder, key, "_vbmap"))
        return vbucket, config.active[vbucket]
