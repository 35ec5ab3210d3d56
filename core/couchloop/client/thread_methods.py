"""Methods that block the calling thread alone, one per builder.

Made by `make methods` (tools/methods.py) from these builders: change them.

- core/couchloop/operations/retrieve.py
- core/couchloop/operations/store.py
- core/couchloop/operations/concatenate.py
- core/couchloop/operations/remove.py
- core/couchloop/operations/touch.py
- core/couchloop/operations/locks.py
- core/couchloop/operations/counter.py
- core/couchloop/operations/replicas.py
- core/couchloop/operations/observe.py
- core/couchloop/operations/endure.py
- core/couchloop/operations/stats.py
- core/couchloop/operations/subdocument.py
- core/couchloop/operations/lookup_replicas.py
- core/couchloop/operations/maps.py
- core/couchloop/operations/lists.py
- core/couchloop/operations/sets.py
- core/couchloop/operations/queues.py
- core/couchloop/operations/streams.py
- core/couchloop/operations/scan.py
- core/couchloop/n1ql/n1ql_queries.py
- core/couchloop/n1ql/queries.py
- core/couchloop/analytics/analytics_queries.py
- core/couchloop/analytics/bucket_analytics.py
- core/couchloop/fulltext/searches.py
- core/couchloop/views/view_queries.py
- core/couchloop/session/health.py
- core/couchloop/session/ping.py
- core/couchloop/operations/manifest.py
- core/couchloop/management/http_request.py
- core/couchloop/management/cluster.py

Frames are part of tracebacks and must not keep a Bucket open: a method lets go of the handle, and
then of the Bucket, before it waits. In a forked child a Bucket has another driver, so that each
call asks for the way to the loop.
"""
# ruff: noqa: A002, SLF001

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload
from warnings import warn

from couchloop.client.crossing import Crossing, Target
from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import at_call
from couchloop.later import Module
from couchloop.operations.arguments import asking_by
from couchloop.session.health import ClusterState

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
    from datetime import timedelta
    from typing import Any

    from couchloop.analytics import analytics_queries, bucket_analytics
    from couchloop.analytics.options import AnalyticsScanConsistency
    from couchloop.analytics.query import AnalyticsQuery
    from couchloop.arguments.expiry import Expiry, LockTime
    from couchloop.client import thread_rows, thread_stream
    from couchloop.client.thread_rows import AnalyticsRequest, N1QLRequest, SearchResult, View
    from couchloop.client.thread_stream import ResultStream
    from couchloop.durability import DurabilityType
    from couchloop.fulltext import searches
    from couchloop.fulltext.body import Searched
    from couchloop.fulltext.facets import Facet
    from couchloop.fulltext.hits import SearchRow
    from couchloop.fulltext.params import HighlightStyle, Params, SearchScanConsistency
    from couchloop.fulltext.sorts import Sort
    from couchloop.hot.operation import Key
    from couchloop.hot.result import (
        ExistsResult,
        MultiResult,
        OperationResult,
        ReplicaResult,
        ReplicasResult,
        Result,
        ScanResult,
        StatsResult,
        V,
        ValueResult,
    )
    from couchloop.management import cluster, http_request
    from couchloop.management.cluster import ClusterInfo
    from couchloop.management.design_documents import DesignDocumentNamespace
    from couchloop.management.http_request import HttpResult
    from couchloop.n1ql import n1ql_queries, queries
    from couchloop.n1ql.options import QueryProfile, QueryScanConsistency
    from couchloop.n1ql.query import N1QLQuery
    from couchloop.operations import (
        concatenate,
        counter,
        endure,
        lists,
        locks,
        lookup_replicas,
        manifest,
        maps,
        observe,
        queues,
        remove,
        replicas,
        retrieve,
        scan,
        sets,
        stats,
        store,
        streams,
        subdocument,
        touch,
    )
    from couchloop.operations.items import ItemCollection
    from couchloop.operations.key_stream import Progress
    from couchloop.operations.manifest import ScopeSpec
    from couchloop.operations.scan import Changes
    from couchloop.operations.scan_requests import PrefixScan, RangeScan, SamplingScan
    from couchloop.operations.specs import Spec, StoreSemantics
    from couchloop.operations.subdocument_result import SubdocResult
    from couchloop.retries import RetryStrategy
    from couchloop.session import health, ping
    from couchloop.session.ping import PingReport
    from couchloop.session.services.pings import ServiceType
    from couchloop.transcoder import Transcoder
    from couchloop.views import view_queries
    from couchloop.views.options import (
        ViewErrorMode,
        ViewOptions,
        ViewOrdering,
        ViewScanConsistency,
    )
    from couchloop.views.params import QueryBase, ViewQuery
    from couchloop.views.rows import RowProcessor, ViewRow
else:
    analytics_queries = Module("couchloop.analytics.analytics_queries", globals())
    bucket_analytics = Module("couchloop.analytics.bucket_analytics", globals())
    thread_rows = Module("couchloop.client.thread_rows", globals())
    thread_stream = Module("couchloop.client.thread_stream", globals())
    searches = Module("couchloop.fulltext.searches", globals())
    cluster = Module("couchloop.management.cluster", globals())
    http_request = Module("couchloop.management.http_request", globals())
    n1ql_queries = Module("couchloop.n1ql.n1ql_queries", globals())
    queries = Module("couchloop.n1ql.queries", globals())
    concatenate = Module("couchloop.operations.concatenate", globals())
    counter = Module("couchloop.operations.counter", globals())
    endure = Module("couchloop.operations.endure", globals())
    lists = Module("couchloop.operations.lists", globals())
    locks = Module("couchloop.operations.locks", globals())
    lookup_replicas = Module("couchloop.operations.lookup_replicas", globals())
    manifest = Module("couchloop.operations.manifest", globals())
    maps = Module("couchloop.operations.maps", globals())
    observe = Module("couchloop.operations.observe", globals())
    queues = Module("couchloop.operations.queues", globals())
    remove = Module("couchloop.operations.remove", globals())
    replicas = Module("couchloop.operations.replicas", globals())
    retrieve = Module("couchloop.operations.retrieve", globals())
    scan = Module("couchloop.operations.scan", globals())
    sets = Module("couchloop.operations.sets", globals())
    stats = Module("couchloop.operations.stats", globals())
    store = Module("couchloop.operations.store", globals())
    streams = Module("couchloop.operations.streams", globals())
    subdocument = Module("couchloop.operations.subdocument", globals())
    touch = Module("couchloop.operations.touch", globals())
    health = Module("couchloop.session.health", globals())
    ping = Module("couchloop.session.ping", globals())
    view_queries = Module("couchloop.views.view_queries", globals())


class DocumentMethods:
    """What can be done with documents."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def get(
        self,
        key: Key,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult[V]: ...
    @overload
    def get(
        self,
        key: Key,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult: ...
    def get(
        self,
        key: Key,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Fetch a document.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            ttl: if not 0, also set the expiry, as `get_and_touch` does.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            replica: if its node does not give it in half of the time, take it from a replica, which
                may be older.
            no_format: give the value as bytes, whatever its format.
            project: paths as `name.first` or `tags[0]`: give these parts of a JSON document alone,
                each where it is; what is not there is left out, and elements of an array close up.
            with_expiry: also tell when the document expires: `expiry` of the result is a datetime
                in UTC, or None for never.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, and ValueFormatError if the value does not fit its flags. With
        *project* also SubdocPathInvalidError, DocumentNotJsonError, and DocumentLockedError, for
        the server lets nobody look into a locked document; ArgumentError together with *ttl*.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if (
                not replica
                and not no_format
                and project is None
                and not with_expiry
                and transcoder is None
                and type is None
                and retry_strategy is None
            ):
                pending = retrieve.usual_get(key, ttl, target._defaults, quiet, timeout)
            else:
                pending = retrieve.get(
                    target._defaults,
                    key,
                    ttl,
                    quiet,
                    replica,
                    no_format,
                    project=project,
                    with_expiry=with_expiry,
                    transcoder=transcoder,
                    type=type,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_and_touch(
        self,
        key: Key,
        expiry: Expiry,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult[V]: ...
    @overload
    def get_and_touch(
        self,
        key: Key,
        expiry: Expiry,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult: ...
    def get_and_touch(
        self,
        key: Key,
        expiry: Expiry,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Fetch a document and set its expiry, in one step.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            expiry: another name of *ttl*: give one.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, DocumentLockedError, and ValueFormatError if the value does not fit
        its flags.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = retrieve.get_and_touch(
                target._defaults,
                key,
                expiry,
                quiet,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_and_touch", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def exists(
        self, key: Key, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> ExistsResult:
        """Return whether there is a document, without reading its value.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        The result is true or false by itself, and has `exists` and `cas`. A document that is not
        there is no error.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = retrieve.exists(
                target._defaults, key, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "exists", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult[V]]: ...
    @overload
    def get_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]: ...
    def get_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        replica: bool = False,
        no_format: bool = False,
        *,
        project: Sequence[str] | None = None,
        with_expiry: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Fetch many documents.

        Args:
            keys: the keys, or a dict of key and ttl.
            ttl: for keys without one of their own.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            replica: if its node does not give it in half of the time, take it from a replica, which
                may be older.
            no_format: give the value as bytes, whatever its format.
            project: paths as `name.first` or `tags[0]`: give these parts of a JSON document alone,
                each where it is; what is not there is left out, and elements of an array close up.
            with_expiry: also tell when the document expires: `expiry` of the result is a datetime
                in UTC, or None for never.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `get` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = retrieve.get_multi.build(
                target._defaults,
                keys,
                (
                    ttl,
                    quiet,
                    replica,
                    no_format,
                    project,
                    with_expiry,
                    transcoder,
                    type,
                    timeout,
                    retry_strategy,
                ),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_and_touch_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        expiry: Expiry | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult[V]]: ...
    @overload
    def get_and_touch_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        expiry: Expiry | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]: ...
    def get_and_touch_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        expiry: Expiry | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Fetch many documents and set their expiry, each in one step.

        Args:
            keys: the keys, or a dict of key and expiry.
            expiry: for keys without one of their own.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `get_and_touch` raises, with the results of all keys in the exception's
        `all_results`; ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = retrieve.get_and_touch_multi.build(
                target._defaults,
                keys,
                (expiry, quiet, no_format, transcoder, type, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_and_touch_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def exists_multi(
        self,
        keys: Iterable[Key],
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ExistsResult]:
        """Return which of many documents are there.

        Args:
            keys: the keys.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `exists` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = retrieve.exists_multi.build(target._defaults, keys, (timeout, retry_strategy))
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "exists_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def upsert(
        self,
        key: Key,
        value: Any,
        cas: int = 0,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Store a document whether it exists or not.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that
                of one that does not.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises CasMismatchError (a KeyExistsError), NotFoundError if *cas* is given and there is no
        document, StoreLockedError, TooBigError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if (
                not persist_to
                and not replicate_to
                and expiry is None
                and transcoder is None
                and not preserve_expiry
                and durability is None
                and retry_strategy is None
            ):
                pending = store.usual_upsert(
                    key, value, target._defaults, cas, ttl, format, timeout
                )
            else:
                pending = store.upsert(
                    target._defaults,
                    key,
                    value,
                    cas,
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    preserve_expiry=preserve_expiry,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "upsert", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def insert(
        self,
        key: Key,
        value: Any,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Store a document that must not exist yet.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises DocumentExistsError (a KeyExistsError), TooBigError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if (
                not persist_to
                and not replicate_to
                and expiry is None
                and transcoder is None
                and durability is None
                and retry_strategy is None
            ):
                pending = store.usual_insert(key, value, target._defaults, ttl, format, timeout)
            else:
                pending = store.insert(
                    target._defaults,
                    key,
                    value,
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "insert", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def replace(
        self,
        key: Key,
        value: Any,
        cas: int = 0,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Store a document that must exist.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave its expiry as it is.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError, TooBigError;
        ArgumentError for an expiry together with *preserve_expiry*.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if (
                not persist_to
                and not replicate_to
                and expiry is None
                and transcoder is None
                and not preserve_expiry
                and durability is None
                and retry_strategy is None
            ):
                pending = store.usual_replace(
                    key, value, target._defaults, cas, ttl, format, timeout
                )
            else:
                pending = store.replace(
                    target._defaults,
                    key,
                    value,
                    cas,
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    preserve_expiry=preserve_expiry,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "replace", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def upsert_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Store many documents whether they exist or not.

        Args:
            keys: a dict of key and value.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that
                of one that does not.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `upsert` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = store.upsert_multi.build(
                target._defaults,
                keys,
                (
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry,
                    transcoder,
                    preserve_expiry,
                    durability,
                    timeout,
                    retry_strategy,
                ),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "upsert_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def insert_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Store many documents that must not exist yet.

        Args:
            keys: a dict of key and value.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `insert` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = store.insert_multi.build(
                target._defaults,
                keys,
                (
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry,
                    transcoder,
                    durability,
                    timeout,
                    retry_strategy,
                ),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "insert_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def replace_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Store many documents that must exist.

        Args:
            keys: a dict of key and value.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave its expiry as it is.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `replace` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = store.replace_multi.build(
                target._defaults,
                keys,
                (
                    ttl,
                    format,
                    persist_to,
                    replicate_to,
                    expiry,
                    transcoder,
                    preserve_expiry,
                    durability,
                    timeout,
                    retry_strategy,
                ),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "replace_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def append(
        self,
        key: Key,
        value: Any,
        cas: int = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Put *value* behind the document's bytes; its flags stay as they are.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: text (FMT_UTF8, the default) or bytes (FMT_BYTES).
            cas: if not 0, do it only if the document still has this CAS.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotStoredError if there is no document, CasMismatchError, StoreLockedError,
        TooBigError, ArgumentError for another format.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if not persist_to and not replicate_to and durability is None:
                pending = concatenate.append(
                    target._defaults,
                    key,
                    value,
                    cas,
                    format,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            else:
                pending = concatenate.append(
                    target._defaults,
                    key,
                    value,
                    cas,
                    format,
                    persist_to,
                    replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "append", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def prepend(
        self,
        key: Key,
        value: Any,
        cas: int = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Put *value* before the document's bytes; its flags stay as they are.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: text (FMT_UTF8, the default) or bytes (FMT_BYTES).
            cas: if not 0, do it only if the document still has this CAS.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotStoredError if there is no document, CasMismatchError, StoreLockedError,
        TooBigError, ArgumentError for another format.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if not persist_to and not replicate_to and durability is None:
                pending = concatenate.prepend(
                    target._defaults,
                    key,
                    value,
                    cas,
                    format,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            else:
                pending = concatenate.prepend(
                    target._defaults,
                    key,
                    value,
                    cas,
                    format,
                    persist_to,
                    replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "prepend", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def append_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Put values behind the bytes of many documents.

        Args:
            keys: a dict of key and value.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `append` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = concatenate.append_multi.build(
                target._defaults,
                keys,
                (format, persist_to, replicate_to, durability, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "append_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def prepend_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Put values before the bytes of many documents.

        Args:
            keys: a dict of key and value.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `prepend` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = concatenate.prepend_multi.build(
                target._defaults,
                keys,
                (format, persist_to, replicate_to, durability, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "prepend_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def append_items(
        self,
        items: ItemCollection,
        *,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Put the `fragment` of each item behind its document's bytes, and behind the item's value.

        Args:
            items: an ItemOptionDict, whose items have the option `fragment`.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `append_multi` raises; ArgumentError for an item without a fragment.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = concatenate.append_items(
                target._defaults,
                items,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "append_items", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def prepend_items(
        self,
        items: ItemCollection,
        *,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Put the `fragment` of each item before its document's bytes, and before the item's value.

        Args:
            items: an ItemOptionDict, whose items have the option `fragment`.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `prepend_multi` raises; ArgumentError for an item without a fragment.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = concatenate.prepend_items(
                target._defaults,
                items,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "prepend_items", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def remove(
        self,
        key: Key,
        cas: int = 0,
        quiet: bool | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Delete a document.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            cas: if not 0, do it only if the document still has this CAS.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, CasMismatchError (a KeyExistsError), StoreLockedError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if not persist_to and not replicate_to and durability is None:
                pending = remove.remove(
                    target._defaults,
                    key,
                    cas,
                    quiet,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            else:
                pending = remove.remove(
                    target._defaults,
                    key,
                    cas,
                    quiet,
                    persist_to,
                    replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "remove", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def remove_multi(
        self,
        kvs: Iterable[Key] | Mapping[Key, int | Result] | ItemCollection,
        quiet: bool | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Delete many documents.

        Args:
            kvs: the keys, or a dict of key and CAS (or a result that has one).
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `remove` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = remove.remove_multi.build(
                target._defaults,
                kvs,
                (quiet, persist_to, replicate_to, durability, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "remove_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def touch(
        self,
        key: Key,
        ttl: Expiry = 0,
        *,
        expiry: Expiry | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Set a document's expiry without reading it.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            expiry: another name of *ttl*: give one.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, DocumentLockedError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = touch.touch(
                target._defaults,
                key,
                ttl,
                expiry=expiry,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "touch", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def touch_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, Expiry] | ItemCollection,
        ttl: Expiry = 0,
        *,
        expiry: Expiry | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Set the expiry of many documents without reading them.

        Args:
            keys: the keys, or a dict of key and ttl.
            ttl: for keys without one of their own.
            expiry: another name of *ttl*: give one.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `touch` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = touch.touch_multi.build(
                target._defaults, keys, (ttl, expiry, timeout, retry_strategy)
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "touch_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def lock(
        self,
        key: Key,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult[V]: ...
    @overload
    def lock(
        self,
        key: Key,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult: ...
    def lock(
        self,
        key: Key,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Fetch a document and lock it: until then only who has the result's `cas` can change it.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            ttl: for how many seconds, 1 to 30, or a timedelta. It is no expiry of the document.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        A change with that CAS unlocks it, as `unlock` does. While it is locked, others may read it.

        Raises NotFoundError; DocumentLockedError (a TemporaryFailError) if it is locked, unless the
        retry strategy waits for the end of that; InvalidTtlError for another time.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.lock(
                target._defaults,
                key,
                ttl,
                quiet,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "lock", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_and_lock(
        self,
        key: Key,
        lock_time: LockTime,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult[V]: ...
    @overload
    def get_and_lock(
        self,
        key: Key,
        lock_time: LockTime,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult: ...
    def get_and_lock(
        self,
        key: Key,
        lock_time: LockTime,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Fetch a document and lock it, as `lock` does: the name that SDK 3 and later have for it.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            lock_time: for how many seconds, 1 to 30, or a timedelta.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `lock` raises.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.get_and_lock(
                target._defaults,
                key,
                lock_time,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_and_lock", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def unlock(
        self,
        key: Key,
        cas: int,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Unlock a document.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            cas: what `lock` gave.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError; LockCasMismatchError (a TemporaryFailError, and a KeyExistsError) if
        this is not the CAS of the lock; DocumentNotLockedError; InvalidCasError without a CAS.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.unlock(
                target._defaults, key, cas, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "unlock", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult[V]]: ...
    @overload
    def lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]: ...
    def lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        ttl: LockTime = 0,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Fetch many documents and lock them.

        Args:
            keys: the keys, or a dict of key and time.
            ttl: for keys without one of their own.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `lock` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.lock_multi.build(
                target._defaults,
                keys,
                (ttl, quiet, no_format, transcoder, type, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "lock_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_and_lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        lock_time: LockTime | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult[V]]: ...
    @overload
    def get_and_lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        lock_time: LockTime | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]: ...
    def get_and_lock_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, LockTime] | ItemCollection,
        lock_time: LockTime | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Fetch many documents and lock them, as `lock_multi` does.

        Args:
            keys: the keys, or a dict of key and time.
            lock_time: for keys without one of their own.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `get_and_lock` raises, with the results of all keys in the exception's
        `all_results`; ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.get_and_lock_multi.build(
                target._defaults,
                keys,
                (lock_time, no_format, transcoder, type, timeout, retry_strategy),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_and_lock_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def unlock_multi(
        self,
        kvs: Mapping[Key, int | Result] | ItemCollection,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Unlock many documents.

        Args:
            kvs: a dict of key and CAS (or a result that has one).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `unlock` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = locks.unlock_multi.build(target._defaults, kvs, (timeout, retry_strategy))
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "unlock_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def counter(
        self,
        key: Key,
        delta: int = 1,
        initial: int | None = None,
        ttl: Expiry = 0,
        *,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Change a number that is stored as decimal text; the result's `value` is the new number.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            delta: what to add; negative: to subtract (never below 0).
            initial: what to store if there is no document. None: do not create it.
            ttl: expiry of a document that is created; 0: never.
            expiry: another name of *ttl*: give one.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, DeltaBadvalError if the document is not a number, StoreLockedError,
        InvalidDeltaError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if not persist_to and not replicate_to and durability is None:
                pending = counter.counter(
                    target._defaults,
                    key,
                    delta,
                    initial,
                    ttl,
                    expiry=expiry,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            else:
                pending = counter.counter(
                    target._defaults,
                    key,
                    delta,
                    initial,
                    ttl,
                    expiry=expiry,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "counter", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def counter_multi(
        self,
        kvs: Iterable[Key] | Mapping[Key, int | Mapping[str, Any]] | ItemCollection,
        initial: int | None = None,
        delta: int = 1,
        ttl: Expiry = 0,
        *,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Change many numbers.

        Args:
            kvs: the keys, or a dict of key and delta, or of key and a dict with any of `delta`,
                `initial` and `ttl`.
            initial: what to store if there is no document. None: do not create it.
            delta: for keys without one of their own.
            ttl: expiry of a document that is created; 0: never.
            expiry: another name of *ttl*: give one.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `counter` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = counter.counter_multi.build(
                target._defaults,
                kvs,
                (
                    initial,
                    delta,
                    ttl,
                    expiry,
                    persist_to,
                    replicate_to,
                    durability,
                    timeout,
                    retry_strategy,
                ),
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "counter_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def rget(
        self,
        key: Key,
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult[V]: ...
    @overload
    def rget(
        self,
        key: Key,
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult: ...
    def rget(
        self,
        key: Key,
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult:
        """Fetch a document from a replica: what it has may be older than the document is.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            replica_index: which one, from 0; None: whichever answers first.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if no replica has it, NoReplicaError if there is no such replica,
        ArgumentError for an index that no bucket has.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.rget(
                target._defaults,
                key,
                replica_index,
                quiet,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "rget", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_any_replica(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult[V]: ...
    @overload
    def get_any_replica(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult: ...
    def get_any_replica(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ReplicaResult:
        """Fetch a document from its active copy or a replica, whichever answers first.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        The result's `is_replica` says which it was; a replica may be older than the document is.

        Raises DocumentUnretrievableError (a NotFoundError) if no copy has it.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.get_any_replica(
                target._defaults,
                key,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_any_replica", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_all_replicas(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> list[ReplicaResult[V]]: ...
    @overload
    def get_all_replicas(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> list[ReplicaResult]: ...
    def get_all_replicas(
        self,
        key: Key,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> list[ReplicaResult]:
        """Fetch all copies of a document: the active one first, then its replicas.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Copies that cannot be read in the time given are left out.

        Raises DocumentUnretrievableError (a NotFoundError) if no copy has it.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.get_all_replicas(
                target._defaults,
                key,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_all_replicas", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def rget_multi(
        self,
        keys: Iterable[Key],
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult[V]]: ...
    @overload
    def rget_multi(
        self,
        keys: Iterable[Key],
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult]: ...
    def rget_multi(
        self,
        keys: Iterable[Key],
        replica_index: int | None = None,
        quiet: bool | None = None,
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult]:
        """Fetch many documents from replicas.

        Args:
            keys: the keys.
            replica_index: which replica, from 0; None: any.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds for all of it. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `rget` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.rget_multi(
                target._defaults,
                keys,
                replica_index,
                quiet,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "rget_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_any_replica_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult[V]]: ...
    @overload
    def get_any_replica_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult]: ...
    def get_any_replica_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicaResult]:
        """Fetch many documents from their active copies or replicas.

        Args:
            keys: the keys.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds for all of it. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `get_any_replica` raises, with the results of all keys in the exception's
        `all_results`; ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.get_any_replica_multi(
                target._defaults,
                keys,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_any_replica_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_all_replicas_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicasResult[V]]: ...
    @overload
    def get_all_replicas_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicasResult]: ...
    def get_all_replicas_multi(
        self,
        keys: Iterable[Key],
        *,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ReplicasResult]:
        """Fetch all copies of many documents.

        Args:
            keys: the keys.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds for all of it. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Each key's result has its copies, the active one first: iterate over it. Copies that cannot
        be read in the time given are left out.

        Raises what `get_all_replicas` raises, with the results of all keys in the exception's
        `all_results`; ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = replicas.get_all_replicas_multi(
                target._defaults,
                keys,
                no_format=no_format,
                transcoder=transcoder,
                type=type,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_all_replicas_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def observe(
        self,
        key: Key,
        master_only: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Ask the copies of a document whether they have it, and whether their disks do.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            master_only: ask the active copy alone.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        The result's `value` is a list of ObserveInfo, the active copy's first; a document that is
        not there is no error.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = observe.observe(
                target._defaults, key, master_only, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "observe", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def observe_multi(
        self,
        keys: Iterable[Key],
        master_only: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Ask the copies of many documents whether they have them.

        Args:
            keys: the keys.
            master_only: ask the active copies alone.
            timeout: seconds for all of it. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `observe` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = observe.observe_multi(
                target._defaults, keys, master_only, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "observe_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def endure(
        self,
        key: Key,
        persist_to: int = -1,
        replicate_to: int = -1,
        cas: int = 0,
        check_removed: bool = False,
        timeout: float = 5.0,
        interval: float = 0.01,
    ) -> OperationResult:
        """Wait until a document is on so many disks and replicas.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            persist_to: on how many disks, the active copy's among them; -1: on all.
            replicate_to: on how many replicas, in memory; -1: on all.
            cas: if not 0, the document must have this CAS.
            check_removed: wait until the document is gone from them instead.
            timeout: seconds.
            interval: seconds between two looks.

        Raises DurabilityTimeoutError (a TimeoutError), NotFoundError, CasMismatchError,
        CollectionNotFoundError, ScopeNotFoundError, TooFewReplicasError (an ArgumentError) for more
        copies than there are.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = endure.endure(
                target._defaults,
                key,
                persist_to,
                replicate_to,
                cas,
                check_removed,
                timeout,
                interval,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "endure", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def endure_multi(
        self,
        keys: Iterable[Key] | Mapping[Key, int | Result],
        persist_to: int = -1,
        replicate_to: int = -1,
        timeout: float = 5.0,
        interval: float = 0.01,
        check_removed: bool = False,
    ) -> MultiResult[OperationResult]:
        """Wait until many documents are on so many disks and replicas.

        Args:
            keys: the keys, or a dict of key and CAS (or a result that has one).
            persist_to: on how many disks, the active copy's among them; -1: on all.
            replicate_to: on how many replicas, in memory; -1: on all.
            timeout: seconds for each hundred of them.
            interval: seconds between two looks.
            check_removed: wait until the documents are gone from them instead.

        Raises what `endure` raises, with the results of all keys in the exception's `all_results`;
        ArgumentError for an empty batch.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = endure.endure_multi(
                target._defaults, keys, persist_to, replicate_to, timeout, interval, check_removed
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "endure_multi", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def stats(
        self,
        keys: Key | Iterable[Key] | None = None,
        keystats: bool = False,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> StatsResult:
        """Ask each data node for its statistics: the result is a dict of name, node and value.

        Args:
            keys: which group of them, as `uuid` or `vbucket-seqno`, or several; None: the general
                ones.
            keystats: *keys* are those of documents, whose copies are asked for.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError for a group that there is not, or a document; what keeps a node from
        answering, with what the others said in `all_results`.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = stats.stats(
                target._defaults, keys, keystats, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "stats", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def lookup_in(
        self,
        key: Key,
        *specs: Spec | Sequence[Spec],
        quiet: bool | None = None,
        access_deleted: bool = False,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> SubdocResult:
        """Read parts of a document.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            specs: what to read, by functions of couchloop.subdocument; or one list of them.
            quiet: where there is no document give a result whose `access_ok` is False, instead of
                raising NotFoundError. None: as the Bucket says.
            access_deleted: read of a deleted document what is left: its extended attributes.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        What a spec has met is raised where its value is asked for: `result[0]`, `result["path"]`.
        More than 16 specs take several requests, and are repeated until all of them have seen the
        document in the same state.

        Raises NotFoundError, DocumentLockedError; ArgumentError, SubdocPathTooBigError,
        SubdocPathInvalidError for a spec that cannot be sent; ContentionError if the document
        changed between requests each time.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = subdocument.lookup_in(
                target._defaults,
                key,
                *specs,
                quiet=quiet,
                access_deleted=access_deleted,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "lookup_in", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def retrieve_in(
        self,
        key: Key,
        *paths: str,
        quiet: bool | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> SubdocResult:
        """Read the values at paths of a document: `lookup_in` with a `get` for each.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            paths: as `name.first`, `tags[0]`, `tags[-1]`; "": the whole document.
            quiet: as for `lookup_in`. None: as the Bucket says.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises what `lookup_in` raises.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = subdocument.retrieve_in(
                target._defaults,
                key,
                *paths,
                quiet=quiet,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "retrieve_in", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def mutate_in(
        self,
        key: Key,
        *specs: Spec | Sequence[Spec],
        cas: int = 0,
        ttl: Expiry = 0,
        upsert_doc: bool = False,
        insert_doc: bool = False,
        store_semantics: StoreSemantics | None = None,
        access_deleted: bool = False,
        create_as_deleted: bool = False,
        revive_document: bool = False,
        expiry: Expiry | None = None,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> SubdocResult:
        """Change parts of a document: all of them, or nothing.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            specs: up to 16 changes, by functions of couchloop.subdocument; or one list of them.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            upsert_doc: create the document if need be.
            insert_doc: create the document, which must not exist.
            store_semantics: the same in the words of SDK 4.6.
            access_deleted: change the extended attributes of a deleted document.
            create_as_deleted: create a document that is deleted from the beginning, and has
                extended attributes alone; with `upsert_doc` or `insert_doc`.
            revive_document: make a deleted document one that lives.
            expiry: another name of *ttl*: give one.
            preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that
                of one that is created. Otherwise a change without *ttl* removes it, as a store
                does.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, DocumentExistsError, CasMismatchError (a KeyExistsError),
        StoreLockedError, TooBigError, ValueFormatError; the error of the first spec that failed,
        with its `path` and `index`: SubdocPathNotFoundError, SubdocPathExistsError,
        SubdocPathMismatchError and others, which are all SubdocErrors; SubdocInvalidComboError for
        more than 16 specs; ArgumentError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            if not persist_to and not replicate_to and durability is None:
                pending = subdocument.mutate_in(
                    target._defaults,
                    key,
                    *specs,
                    cas=cas,
                    ttl=ttl,
                    upsert_doc=upsert_doc,
                    insert_doc=insert_doc,
                    store_semantics=store_semantics,
                    access_deleted=access_deleted,
                    create_as_deleted=create_as_deleted,
                    revive_document=revive_document,
                    expiry=expiry,
                    preserve_expiry=preserve_expiry,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            else:
                pending = subdocument.mutate_in(
                    target._defaults,
                    key,
                    *specs,
                    cas=cas,
                    ttl=ttl,
                    upsert_doc=upsert_doc,
                    insert_doc=insert_doc,
                    store_semantics=store_semantics,
                    access_deleted=access_deleted,
                    create_as_deleted=create_as_deleted,
                    revive_document=revive_document,
                    expiry=expiry,
                    preserve_expiry=preserve_expiry,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "mutate_in", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def lookup_in_any_replica(
        self,
        key: Key,
        *specs: Spec | Sequence[Spec],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> SubdocResult:
        """Read parts of a document from its active copy or a replica, whichever answers first.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            specs: up to 16, by functions of couchloop.subdocument; or one list of them.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        The result's `is_replica` says which it was; a replica may be older than the document is.

        Raises DocumentUnretrievableError (a NotFoundError) if no copy has it,
        FeatureNotAvailableError if only replicas could answer and the server cannot look into them,
        and what `lookup_in` raises.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lookup_replicas.lookup_in_any_replica(
                target._defaults, key, *specs, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "lookup_in_any_replica", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def lookup_in_all_replicas(
        self,
        key: Key,
        *specs: Spec | Sequence[Spec],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> list[SubdocResult]:
        """Read parts of all copies of a document: of the active one first, then of its replicas.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            specs: up to 16, by functions of couchloop.subdocument; or one list of them.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Copies that cannot be read in the time given are left out.

        Raises what `lookup_in_any_replica` raises.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lookup_replicas.lookup_in_all_replicas(
                target._defaults, key, *specs, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "lookup_in_all_replicas", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def map_add(
        self,
        key: Key,
        mapkey: str,
        value: Any,
        create: bool = False,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Store a value in a map, whether its key is there or not.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            mapkey: its key in the map, any text but the empty one.
            value: what to store.
            create: create the document if need be.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no map,
        CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = maps.map_add(
                target._defaults,
                key,
                mapkey,
                value,
                create,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "map_add", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def map_get(
        self,
        key: Key,
        mapkey: str,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Read a value of a map.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            mapkey: its key in the map.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises ElementNotFoundError (an IndexError, as in SDK 2.5, and a KeyError), NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = maps.map_get(
                target._defaults, key, mapkey, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "map_get", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def map_remove(
        self,
        key: Key,
        mapkey: str,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Remove a value of a map.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            mapkey: its key in the map.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises ElementNotFoundError (an IndexError and a KeyError), NotFoundError, CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = maps.map_remove(
                target._defaults,
                key,
                mapkey,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "map_remove", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def map_size(
        self, key: Key, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> int:
        """Count the values of a map.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = maps.map_size(
                target._defaults, key, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "map_size", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_append(
        self,
        key: Key,
        value: Any,
        create: bool = False,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Put a value behind the last one of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            create: create the document if need be.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
        CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_append(
                target._defaults,
                key,
                value,
                create,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_append", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_prepend(
        self,
        key: Key,
        value: Any,
        create: bool = False,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Put a value before the first one of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            create: create the document if need be.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
        CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_prepend(
                target._defaults,
                key,
                value,
                create,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_prepend", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_set(
        self,
        key: Key,
        index: int,
        value: Any,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Store a value in the place of another one of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            index: from 0; -1: the last one.
            value: what to store.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_set(
                target._defaults,
                key,
                index,
                value,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_set", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_get(
        self,
        key: Key,
        index: int,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Read a value of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            index: from 0; -1: the last one.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises ElementNotFoundError (an IndexError), NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_get(
                target._defaults, key, index, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_get", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_remove(
        self,
        key: Key,
        index: int,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Remove a value of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            index: from 0; -1: the last one.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_remove(
                target._defaults,
                key,
                index,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_remove", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def list_size(
        self, key: Key, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> int:
        """Count the values of a list.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = lists.list_size(
                target._defaults, key, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "list_size", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def set_add(
        self,
        key: Key,
        value: Any,
        create: bool = False,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult | None:
        """Put a value into a set; None is given if it is there.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: a text, a number, True, False or None.
            create: create the document if need be.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list of
        such values, SubdocCantInsertValueError for a list or dict, CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = sets.set_add(
                target._defaults,
                key,
                value,
                create,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "set_add", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def set_remove(
        self,
        key: Key,
        value: Any,
        *,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult | None:
        """Remove a value of a set; None is given if it is not there.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to remove; 1, 1.0 and True are three values.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, SubdocPathMismatchError if the document is no list, ContentionError if
        others changed it before each of many tries.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = sets.set_remove(
                target._defaults,
                key,
                value,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "set_remove", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def set_contains(
        self,
        key: Key,
        value: Any,
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> bool:
        """Return whether a value is in a set.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to look for; 1, 1.0 and True are three values.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError, SubdocPathMismatchError if the document is no list.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = sets.set_contains(
                target._defaults, key, value, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "set_contains", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def set_size(
        self, key: Key, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> int:
        """Count the values of a set.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = sets.set_size(
                target._defaults, key, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "set_size", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def queue_push(
        self,
        key: Key,
        value: Any,
        create: bool = False,
        *,
        cas: int = 0,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Put a value into a queue: at the beginning of the list, as SDK 2.5 does.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            value: what to store.
            create: create the document if need be.
            cas: if not 0, do it only if the document still has this CAS.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
        CasMismatchError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = queues.queue_push(
                target._defaults,
                key,
                value,
                create,
                cas=cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "queue_push", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def queue_pop(
        self,
        key: Key,
        *,
        ttl: Expiry = 0,
        preserve_expiry: bool = False,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Take the oldest value out of a queue; no other caller gets the same.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            preserve_expiry: leave the expiry of a document that exists as it is; else a change
                without *ttl* removes it.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        An AmbiguousError means that it may be out of the queue.

        Raises QueueEmpty, NotFoundError, ContentionError if others changed the queue before each of
        many tries.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = queues.queue_pop(
                target._defaults,
                key,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "queue_pop", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def queue_size(
        self, key: Key, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> int:
        """Count the values of a queue.

        Args:
            key: the document's key, 1 to 250 bytes as UTF-8.
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Raises NotFoundError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = queues.queue_size(
                target._defaults, key, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "queue_size", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    @overload
    def get_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[ValueResult[V]]: ...
    @overload
    def get_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[ValueResult]: ...
    def get_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        quiet: bool | None = None,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[ValueResult]:
        """Fetch any number of documents.

        Args:
            keys: any iterable of keys, or of (key, ttl), an async one, or a dict.
            ttl: if not 0, also set the expiry, as `get_and_touch` does.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `get` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.get_stream(
                    target._defaults,
                    keys,
                    ttl=ttl,
                    quiet=quiet,
                    no_format=no_format,
                    transcoder=transcoder,
                    type=type,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "get_stream", target._defaults)
            raise
        finally:
            del target

    def exists_stream(
        self,
        keys: Iterable[Key] | AsyncIterable[Key],
        *,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[ExistsResult]:
        """Return which of any number of documents are there.

        Args:
            keys: any iterable of keys, or an async one.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `exists` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.exists_stream(
                    target._defaults,
                    keys,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "exists_stream", target._defaults)
            raise
        finally:
            del target

    def upsert_stream(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Store any number of documents whether they exist or not.

        Args:
            pairs: any iterable of (key, value), an async one, or a dict.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that
                of one that does not.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `upsert` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.upsert_stream(
                    target._defaults,
                    pairs,
                    ttl=ttl,
                    format=format,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    preserve_expiry=preserve_expiry,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "upsert_stream", target._defaults)
            raise
        finally:
            del target

    def insert_stream(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Store any number of documents that must not exist yet.

        Args:
            pairs: any iterable of (key, value), an async one, or a dict.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `insert` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.insert_stream(
                    target._defaults,
                    pairs,
                    ttl=ttl,
                    format=format,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "insert_stream", target._defaults)
            raise
        finally:
            del target

    def replace_stream(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Store any number of documents that must exist.

        Args:
            pairs: any iterable of (key, value), an async one, or a dict.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            format: FMT_JSON, FMT_UTF8, FMT_BYTES or FMT_AUTO. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            expiry: another name of *ttl*: give one.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            preserve_expiry: leave its expiry as it is.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `replace` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.replace_stream(
                    target._defaults,
                    pairs,
                    ttl=ttl,
                    format=format,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    expiry=expiry,
                    transcoder=transcoder,
                    preserve_expiry=preserve_expiry,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "replace_stream", target._defaults)
            raise
        finally:
            del target

    def append_stream(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]],
        *,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Put values behind the bytes of any number of documents.

        Args:
            pairs: any iterable of (key, value), an async one, or a dict.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `append` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.append_stream(
                    target._defaults,
                    pairs,
                    format=format,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "append_stream", target._defaults)
            raise
        finally:
            del target

    def prepend_stream(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Key, Any]] | AsyncIterable[tuple[Key, Any]],
        *,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Put values before the bytes of any number of documents.

        Args:
            pairs: any iterable of (key, value), an async one, or a dict.
            format: FMT_UTF8 or FMT_BYTES.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `prepend` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.prepend_stream(
                    target._defaults,
                    pairs,
                    format=format,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "prepend_stream", target._defaults)
            raise
        finally:
            del target

    def remove_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        quiet: bool | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Delete any number of documents.

        Args:
            keys: any iterable of keys, or of (key, cas), an async one, or a dict.
            quiet: give a result with `success` False and `value` None instead of raising
                NotFoundError. None: as the Bucket says.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `remove` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.remove_stream(
                    target._defaults,
                    keys,
                    quiet=quiet,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "remove_stream", target._defaults)
            raise
        finally:
            del target

    def touch_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[OperationResult]:
        """Set the expiry of any number of documents.

        Args:
            keys: any iterable of keys, or of (key, ttl), an async one, or a dict.
            ttl: when the document expires: whole seconds from now, a timedelta, or a datetime with
                a time zone; 0: never. Above 30 days a number counts from 1970.
            expiry: another name of *ttl*: give one.
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `touch` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.touch_stream(
                    target._defaults,
                    keys,
                    ttl=ttl,
                    expiry=expiry,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "touch_stream", target._defaults)
            raise
        finally:
            del target

    def counter_stream(
        self,
        keys: Mapping[Any, Any]
        | Iterable[Key | tuple[Key, Any]]
        | AsyncIterable[Key | tuple[Key, Any]],
        *,
        initial: int | None = None,
        delta: int = 1,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
        progress: Progress | None = None,
        in_flight: int = 512,
        max_bytes: int = 4194304,
    ) -> ResultStream[ValueResult]:
        """Change any number of numbers.

        Args:
            keys: any iterable of keys, or of (key, delta), an async one, or a dict.
            initial: what to store if there is no document. None: do not create it.
            delta: what to add; negative: to subtract (never below 0).
            ttl: expiry of a document that is created; 0: never.
            expiry: another name of *ttl*: give one.
            persist_to: once it is stored wait until it is on so many disks, the active copy's among
                them; -1: on all. In 2.5's way; *durability* is the newer one.
            replicate_to: likewise until so many replicas have it in memory; -1: all.
            durability: how durable the change must be to succeed: a level, as Durability.MAJORITY,
                or a ClientDurability (couchloop.durability).
            timeout: seconds that each operation has from its issue on. None: as the Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.
            progress: is called with three numbers, at most once in a turn of the loop: keys that
                are done, how many of these have failed, and how many there are in all, or None if
                the iterable does not tell.
            in_flight: operations that are under way at once.
            max_bytes: bytes of their requests, and of answers that are there or expected.

        Results come as they are answered, in any order. One that failed says so: `success` is
        False, and `error` is what `counter` would have raised. Nothing is sent before the first is
        asked for. Raises ArgumentError at once for what is no iterable, or a bound below 1.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                streams.counter_stream(
                    target._defaults,
                    keys,
                    initial=initial,
                    delta=delta,
                    ttl=ttl,
                    expiry=expiry,
                    persist_to=persist_to,
                    replicate_to=replicate_to,
                    durability=durability,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                    progress=progress,
                    in_flight=in_flight,
                    max_bytes=max_bytes,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "counter_stream", target._defaults)
            raise
        finally:
            del target

    @overload
    def scan(
        self,
        scan_type: RangeScan | PrefixScan | SamplingScan,
        *,
        ids_only: bool = False,
        consistent_with: Changes | None = None,
        batch_byte_limit: int = 15000,
        batch_item_limit: int = 50,
        concurrency: int = 1,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: type[V],
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ResultStream[ScanResult[V]]: ...
    @overload
    def scan(
        self,
        scan_type: RangeScan | PrefixScan | SamplingScan,
        *,
        ids_only: bool = False,
        consistent_with: Changes | None = None,
        batch_byte_limit: int = 15000,
        batch_item_limit: int = 50,
        concurrency: int = 1,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ResultStream[ScanResult]: ...
    def scan(
        self,
        scan_type: RangeScan | PrefixScan | SamplingScan,
        *,
        ids_only: bool = False,
        consistent_with: Changes | None = None,
        batch_byte_limit: int = 15000,
        batch_item_limit: int = 50,
        concurrency: int = 1,
        no_format: bool = False,
        transcoder: Transcoder | type[Transcoder] | None = None,
        type: Any = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ResultStream[ScanResult]:
        """Return the documents of a range of keys, or some of them at random, one after the other.

        Args:
            scan_type: RangeScan, PrefixScan or SamplingScan, of `couchloop.kv_range_scan`.
            ids_only: give the keys alone.
            consistent_with: a MutationState: the scan sees these changes.
            batch_byte_limit: bytes that a node sends at once, about; 0: no limit.
            batch_item_limit: items that it sends at once.
            concurrency: vbuckets that are scanned at once: more are faster, and more work for the
                nodes.
            no_format: give the value as bytes, whatever its format.
            transcoder: an instance, or a class, for this value alone. None: the Bucket's.
            type: decode straight into a value of this type: a msgspec.Struct, a dataclass, a
                TypedDict, or made of such. A document that it does not fit, or that is no JSON, is
                a ValueFormatError.
            timeout: seconds that each request to a node has. None: 75.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        Documents of one vbucket come in the order of their keys; in all there is none. What is not
        on disk yet is not seen, unless *consistent_with* asks for it. A value that cannot be
        decoded is a result with `error`. Iterating raises FeatureNotAvailableError where the bucket
        has no range scans (they need servers from 7.6 on, and are not for ephemeral buckets),
        MutationTokenOutdatedError, CollectionNotFoundError, RangeScanCanceledError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_stream.ResultStream(
                target,
                scan.scan(
                    target._defaults,
                    scan_type,
                    ids_only=ids_only,
                    consistent_with=consistent_with,
                    batch_byte_limit=batch_byte_limit,
                    batch_item_limit=batch_item_limit,
                    concurrency=concurrency,
                    no_format=no_format,
                    transcoder=transcoder,
                    type=type,
                    timeout=timeout,
                    retry_strategy=retry_strategy,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "scan", target._defaults)
            raise
        finally:
            del target


class OldNames(DocumentMethods):
    """The same by the other names that SDK 2.5 has for it."""

    __slots__ = ()

    def set(
        self,
        key: Key,
        value: Any,
        cas: int = 0,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Do what `upsert` does: a name of SDK 2.5, which warns."""
        try:
            warn("set() is called upsert() now", DeprecationWarning, stacklevel=2)
            return self.upsert(
                key,
                value,
                cas,
                ttl,
                format,
                persist_to,
                replicate_to,
                expiry=expiry,
                transcoder=transcoder,
                preserve_expiry=preserve_expiry,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def set_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        preserve_expiry: bool = False,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Do what `upsert_multi` does: a name of SDK 2.5, which warns."""
        try:
            warn("set_multi() is called upsert_multi() now", DeprecationWarning, stacklevel=2)
            return self.upsert_multi(
                keys,
                ttl,
                format,
                persist_to,
                replicate_to,
                expiry=expiry,
                transcoder=transcoder,
                preserve_expiry=preserve_expiry,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def add(
        self,
        key: Key,
        value: Any,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Do what `insert` does: a name of SDK 2.5, which warns."""
        try:
            warn("add() is called insert() now", DeprecationWarning, stacklevel=2)
            return self.insert(
                key,
                value,
                ttl,
                format,
                persist_to,
                replicate_to,
                expiry=expiry,
                transcoder=transcoder,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def add_multi(
        self,
        keys: Mapping[Key, Any] | ItemCollection,
        ttl: Expiry = 0,
        format: int | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        expiry: Expiry | None = None,
        transcoder: Transcoder | type[Transcoder] | None = None,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Do what `insert_multi` does: a name of SDK 2.5, which warns."""
        try:
            warn("add_multi() is called insert_multi() now", DeprecationWarning, stacklevel=2)
            return self.insert_multi(
                keys,
                ttl,
                format,
                persist_to,
                replicate_to,
                expiry=expiry,
                transcoder=transcoder,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def delete(
        self,
        key: Key,
        cas: int = 0,
        quiet: bool | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> OperationResult:
        """Do what `remove` does: a name of SDK 2.5, which warns."""
        try:
            warn("delete() is called remove() now", DeprecationWarning, stacklevel=2)
            return self.remove(
                key,
                cas,
                quiet,
                persist_to,
                replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def delete_multi(
        self,
        kvs: Iterable[Key] | Mapping[Key, int | Result] | ItemCollection,
        quiet: bool | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        *,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[OperationResult]:
        """Do what `remove_multi` does: a name of SDK 2.5, which warns."""
        try:
            warn("delete_multi() is called remove_multi() now", DeprecationWarning, stacklevel=2)
            return self.remove_multi(
                kvs,
                quiet,
                persist_to,
                replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def incr(
        self,
        key: Key,
        amount: int = 1,
        *,
        initial: int | None = None,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Do what `counter` does: a name of SDK 2.5, which warns."""
        try:
            warn("incr() is called counter() now", DeprecationWarning, stacklevel=2)
            return self.counter(
                key,
                delta=amount,
                initial=initial,
                ttl=ttl,
                expiry=expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def incr_multi(
        self,
        kvs: Iterable[Key] | Mapping[Key, int | Mapping[str, Any]] | ItemCollection,
        amount: int = 1,
        *,
        initial: int | None = None,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Do what `counter_multi` does: a name of SDK 2.5, which warns."""
        try:
            warn("incr_multi() is called counter_multi() now", DeprecationWarning, stacklevel=2)
            return self.counter_multi(
                kvs,
                initial=initial,
                delta=amount,
                ttl=ttl,
                expiry=expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def decr(
        self,
        key: Key,
        amount: int = 1,
        *,
        initial: int | None = None,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> ValueResult:
        """Do what `counter` does: a name of SDK 2.5, which warns."""
        try:
            warn("decr() is called counter() now", DeprecationWarning, stacklevel=2)
            return self.counter(
                key,
                delta=-amount,
                initial=initial,
                ttl=ttl,
                expiry=expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self

    def decr_multi(
        self,
        kvs: Iterable[Key] | Mapping[Key, int | Mapping[str, Any]] | ItemCollection,
        amount: int = 1,
        *,
        initial: int | None = None,
        ttl: Expiry = 0,
        expiry: Expiry | None = None,
        persist_to: int = 0,
        replicate_to: int = 0,
        durability: DurabilityType | None = None,
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> MultiResult[ValueResult]:
        """Do what `counter_multi` does: a name of SDK 2.5, which warns."""
        try:
            warn("decr_multi() is called counter_multi() now", DeprecationWarning, stacklevel=2)
            return self.counter_multi(
                kvs,
                initial=initial,
                delta=-amount,
                ttl=ttl,
                expiry=expiry,
                persist_to=persist_to,
                replicate_to=replicate_to,
                durability=durability,
                timeout=timeout,
                retry_strategy=retry_strategy,
            )
        finally:
            del self


class N1qlMethods:
    """Queries by the name of SDK 2.5."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def n1ql_query(
        self,
        query: str | N1QLQuery,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: None = None,
        timeout: float | timedelta | None = None,
        type: type[V],
        **kwargs: Any,
    ) -> N1QLRequest[V]: ...
    @overload
    def n1ql_query(
        self,
        query: str | N1QLQuery,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> N1QLRequest[Any]: ...
    def n1ql_query(
        self,
        query: str | N1QLQuery,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> N1QLRequest[Any]:
        """Run a statement of SQL++, which was called N1QL; its rows stream.

        Args:
            query: a statement, or an N1QLQuery, which has options, too.
            args: values for `$1`, `$2` and so on, of a statement.
            retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket
                says.
            row_factory: is called with each row, and gives what is given instead.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the
                N1QLQuery says, or the Bucket's `n1ql_timeout`.
            type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
            kwargs: values for `$name`, of a statement; and `meta_lookahead`: False: `meta` and its
                like do not read on to the end, as they do by themselves on gevent.

        Rows that came before an error are given, then the error is raised: an N1QLError of a class
        that says what it is, with all that the service says. Nothing is sent before the first row
        is asked for. Of a collection, names without a path are those of its scope. Raises
        InvalidSettingError (a TypeError) for a query that is neither, ValueFormatError for a
        parameter that JSON cannot say.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.N1QLRequest(
                target,
                n1ql_queries.n1ql_query(
                    target._defaults,
                    query,
                    *args,
                    retry_strategy=retry_strategy,
                    row_factory=row_factory,
                    timeout=timeout,
                    type=type,
                    **kwargs,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "n1ql_query", target._defaults)
            raise
        finally:
            del target


class QueryMethods:
    """Queries by the name of SDK 4."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def query(
        self,
        statement: str,
        *args: Any,
        adhoc: bool | None = None,
        client_context_id: str | None = None,
        consistent_with: Changes | None = None,
        flex_index: bool | None = None,
        max_parallelism: int | None = None,
        metrics: bool | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        pipeline_batch: int | None = None,
        pipeline_cap: int | None = None,
        positional_parameters: Sequence[Any] | None = None,
        preserve_expiry: bool | None = None,
        profile: QueryProfile | str | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_cap: int | None = None,
        scan_consistency: QueryScanConsistency | str | None = None,
        scan_wait: float | timedelta | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: type[V],
        use_replica: bool | None = None,
        **kwargs: Any,
    ) -> N1QLRequest[V]: ...
    @overload
    def query(
        self,
        statement: str,
        *args: Any,
        adhoc: bool | None = None,
        client_context_id: str | None = None,
        consistent_with: Changes | None = None,
        flex_index: bool | None = None,
        max_parallelism: int | None = None,
        metrics: bool | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        pipeline_batch: int | None = None,
        pipeline_cap: int | None = None,
        positional_parameters: Sequence[Any] | None = None,
        preserve_expiry: bool | None = None,
        profile: QueryProfile | str | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_cap: int | None = None,
        scan_consistency: QueryScanConsistency | str | None = None,
        scan_wait: float | timedelta | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        use_replica: bool | None = None,
        **kwargs: Any,
    ) -> N1QLRequest[Any]: ...
    def query(
        self,
        statement: str,
        *args: Any,
        adhoc: bool | None = None,
        client_context_id: str | None = None,
        consistent_with: Changes | None = None,
        flex_index: bool | None = None,
        max_parallelism: int | None = None,
        metrics: bool | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        pipeline_batch: int | None = None,
        pipeline_cap: int | None = None,
        positional_parameters: Sequence[Any] | None = None,
        preserve_expiry: bool | None = None,
        profile: QueryProfile | str | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_cap: int | None = None,
        scan_consistency: QueryScanConsistency | str | None = None,
        scan_wait: float | timedelta | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        use_replica: bool | None = None,
        **kwargs: Any,
    ) -> N1QLRequest[Any]:
        """Run a statement of SQL++; its rows stream.

        Args:
            statement: in SQL++; or an N1QLQuery.
            args: QueryOptions, and values for `$1`, `$2` and so on.
            adhoc: False: the statement is prepared, and kept for the next time. None: True.
            client_context_id: by which the cluster's logs name the request. None: one of its own.
            consistent_with: a MutationState: the query sees these changes.
            flex_index: whether search indexes may be used.
            max_parallelism: parts of the query that run at once.
            metrics: whether the service tells what it has measured. None: False.
            named_parameters: values by name, for `$name`.
            pipeline_batch: documents that are fetched at once.
            pipeline_cap: items that wait between two steps of the query.
            positional_parameters: values for `$1`, `$2` and so on.
            preserve_expiry: whether documents that are changed keep their expiry.
            profile: what the query tells of its own work: QueryProfile.OFF, PHASES or TIMINGS.
            query_context: bucket and scope of keyspaces without a path, as `` default:`b`.`s` ``.
                None: that of the scope, if it is asked for a query.
            raw: further members of the request, by the service's names.
            readonly: whether the service refuses what changes anything; such a query is repeated
                where its answer is lost.
            retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket
                says.
            scan_cap: entries that the index service sends ahead.
            scan_consistency: QueryScanConsistency.NOT_BOUNDED or REQUEST_PLUS: whether indexes are
                waited for.
            scan_wait: seconds that these are waited for.
            serializer: whose `deserialize` makes rows of their bytes.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the option
                n1ql_timeout says.
            type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
            use_replica: whether documents may come from replicas.
            kwargs: values for `$name`.

        Rows that came before an error are given, then the error is raised: an N1QLError of a class
        that says what it is, with all that the service says. Nothing is sent before the first row
        is asked for. Raises ArgumentError for an option that there is not, InvalidSettingError (a
        TypeError) for what an option cannot be, ValueFormatError for a parameter that JSON cannot
        say.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.N1QLRequest(
                target,
                queries.query(
                    target._defaults,
                    statement,
                    *args,
                    adhoc=adhoc,
                    client_context_id=client_context_id,
                    consistent_with=consistent_with,
                    flex_index=flex_index,
                    max_parallelism=max_parallelism,
                    metrics=metrics,
                    named_parameters=named_parameters,
                    pipeline_batch=pipeline_batch,
                    pipeline_cap=pipeline_cap,
                    positional_parameters=positional_parameters,
                    preserve_expiry=preserve_expiry,
                    profile=profile,
                    query_context=query_context,
                    raw=raw,
                    readonly=readonly,
                    retry_strategy=retry_strategy,
                    scan_cap=scan_cap,
                    scan_consistency=scan_consistency,
                    scan_wait=scan_wait,
                    serializer=serializer,
                    timeout=timeout,
                    type=type,
                    use_replica=use_replica,
                    **kwargs,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "query", target._defaults)
            raise
        finally:
            del target


class AnalyticsMethods:
    """Analytics queries by the name of SDK 4."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def analytics_query(
        self,
        statement: str | AnalyticsQuery,
        *args: Any,
        client_context_id: str | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        positional_parameters: Sequence[Any] | None = None,
        priority: bool | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: None = None,
        scan_consistency: AnalyticsScanConsistency | str | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: type[V],
        **kwargs: Any,
    ) -> AnalyticsRequest[V]: ...
    @overload
    def analytics_query(
        self,
        statement: str | AnalyticsQuery,
        *args: Any,
        client_context_id: str | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        positional_parameters: Sequence[Any] | None = None,
        priority: bool | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        scan_consistency: AnalyticsScanConsistency | str | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> AnalyticsRequest[Any]: ...
    def analytics_query(
        self,
        statement: str | AnalyticsQuery,
        *args: Any,
        client_context_id: str | None = None,
        named_parameters: Mapping[str, Any] | None = None,
        positional_parameters: Sequence[Any] | None = None,
        priority: bool | None = None,
        query_context: str | None = None,
        raw: Mapping[str, Any] | None = None,
        readonly: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        scan_consistency: AnalyticsScanConsistency | str | None = None,
        serializer: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> AnalyticsRequest[Any]:
        """Run a statement of SQL++ in the analytics service; its rows stream.

        Args:
            statement: in SQL++; or an AnalyticsQuery.
            args: AnalyticsOptions, and values for `$1`, `$2` and so on.
            client_context_id: by which the cluster's logs name the request. None: one of its own.
            named_parameters: values by name, for `$name`.
            positional_parameters: values for `$1`, `$2` and so on.
            priority: whether it goes before other queries.
            query_context: bucket and scope of datasets without a path, as `` default:`b`.`s` ``.
                None: that of the scope, if it is asked for a query.
            raw: further members of the request, by the service's names.
            readonly: whether the service refuses what changes anything; such a query is repeated
                where its answer is lost.
            retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket
                says.
            row_factory: is called with each row, and gives what is given instead.
            scan_consistency: AnalyticsScanConsistency.NOT_BOUNDED or REQUEST_PLUS: whether datasets
                are waited for.
            serializer: whose `deserialize` makes rows of their bytes.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the option
                analytics_timeout says.
            type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
            kwargs: values for `$name`.

        Rows that came before an error are given, then the error is raised: an AnalyticsError of a
        class that says what it is, with all that the service says. What did not run is asked anew,
        ten times at most. Nothing is sent before the first row is asked for. Raises
        InvalidSettingError (a TypeError) for what an option cannot be, ValueFormatError for a
        parameter that JSON cannot say.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.AnalyticsRequest(
                target,
                analytics_queries.analytics_query(
                    target._defaults,
                    statement,
                    *args,
                    client_context_id=client_context_id,
                    named_parameters=named_parameters,
                    positional_parameters=positional_parameters,
                    priority=priority,
                    query_context=query_context,
                    raw=raw,
                    readonly=readonly,
                    retry_strategy=retry_strategy,
                    row_factory=row_factory,
                    scan_consistency=scan_consistency,
                    serializer=serializer,
                    timeout=timeout,
                    type=type,
                    **kwargs,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "analytics_query", target._defaults)
            raise
        finally:
            del target


class BucketAnalyticsMethods:
    """Analytics queries as SDK 2.5 has them."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def analytics_query(
        self,
        query: str | AnalyticsQuery,
        host: str | None = None,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: None = None,
        timeout: float | timedelta | None = None,
        type: type[V],
        **kwargs: Any,
    ) -> AnalyticsRequest[V]: ...
    @overload
    def analytics_query(
        self,
        query: str | AnalyticsQuery,
        host: str | None = None,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> AnalyticsRequest[Any]: ...
    def analytics_query(
        self,
        query: str | AnalyticsQuery,
        host: str | None = None,
        *args: Any,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Any = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **kwargs: Any,
    ) -> AnalyticsRequest[Any]:
        """Run a statement of SQL++ in the analytics service; its rows stream.

        Args:
            query: a statement, an AnalyticsQuery, or a DeferredAnalyticsQuery, whose rows are
                fetched once the service says that they are ready.
            host: of the node that is asked, with or without its port. None: any that has the
                service.
            args: values for `$1`, `$2` and so on; an AnalyticsQuery is not changed by that.
            retry_strategy: whether and when it is tried again. None: as the Bucket says.
            row_factory: is called with each row, and gives what is given instead.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the
                AnalyticsQuery says, or the option analytics_timeout.
            type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
            kwargs: options by the names of an AnalyticsQuery's attributes, and values for `$name`.

        Rows that came before an error are given, then the error is raised: an AnalyticsError of a
        class that says what it is, with all that the service says. What did not run is asked anew,
        ten times at most. Nothing is sent before the first row is asked for. Raises
        InvalidSettingError (a TypeError) for a query that is neither, ValueFormatError for a
        parameter that JSON cannot say; while rows are taken NodeNotAvailableError for a host that
        is no node with the service.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.AnalyticsRequest(
                target,
                bucket_analytics.analytics_query(
                    target._defaults,
                    query,
                    host,
                    *args,
                    retry_strategy=retry_strategy,
                    row_factory=row_factory,
                    timeout=timeout,
                    type=type,
                    **kwargs,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "analytics_query", target._defaults)
            raise
        finally:
            del target


class SearchMethods:
    """Documents found by what is in them."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def search(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        collections: Iterable[str] | None = None,
        consistency: str | None = None,
        consistent_with: Changes | None = None,
        disable_scoring: bool | None = None,
        explain: bool | None = None,
        facets: Mapping[str, Facet] | None = None,
        fields: Iterable[str] | None = None,
        highlight_fields: Iterable[str] | None = None,
        highlight_style: HighlightStyle | str | None = None,
        include_locations: bool | None = None,
        limit: int | None = None,
        raw: Mapping[str, Any] | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: None = None,
        scan_consistency: SearchScanConsistency | str | None = None,
        search_after: Iterable[str] | None = None,
        search_before: Iterable[str] | None = None,
        show_request: bool | None = None,
        skip: int | None = None,
        sort: Sort | Iterable[Sort | str] | None = None,
        timeout: float | timedelta | None = None,
        type: type[V],
    ) -> SearchResult[SearchRow[V]]: ...
    @overload
    def search(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        collections: Iterable[str] | None = None,
        consistency: str | None = None,
        consistent_with: Changes | None = None,
        disable_scoring: bool | None = None,
        explain: bool | None = None,
        facets: Mapping[str, Facet] | None = None,
        fields: Iterable[str] | None = None,
        highlight_fields: Iterable[str] | None = None,
        highlight_style: HighlightStyle | str | None = None,
        include_locations: bool | None = None,
        limit: int | None = None,
        raw: Mapping[str, Any] | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: None = None,
        scan_consistency: SearchScanConsistency | str | None = None,
        search_after: Iterable[str] | None = None,
        search_before: Iterable[str] | None = None,
        show_request: bool | None = None,
        skip: int | None = None,
        sort: Sort | Iterable[Sort | str] | None = None,
        timeout: float | timedelta | None = None,
        type: None = None,
    ) -> SearchResult[SearchRow]: ...
    @overload
    def search(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        collections: Iterable[str] | None = None,
        consistency: str | None = None,
        consistent_with: Changes | None = None,
        disable_scoring: bool | None = None,
        explain: bool | None = None,
        facets: Mapping[str, Facet] | None = None,
        fields: Iterable[str] | None = None,
        highlight_fields: Iterable[str] | None = None,
        highlight_style: HighlightStyle | str | None = None,
        include_locations: bool | None = None,
        limit: int | None = None,
        raw: Mapping[str, Any] | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Callable[[SearchRow], Any] | None = None,
        scan_consistency: SearchScanConsistency | str | None = None,
        search_after: Iterable[str] | None = None,
        search_before: Iterable[str] | None = None,
        show_request: bool | None = None,
        skip: int | None = None,
        sort: Sort | Iterable[Sort | str] | None = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> SearchResult[Any]: ...
    def search(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        collections: Iterable[str] | None = None,
        consistency: str | None = None,
        consistent_with: Changes | None = None,
        disable_scoring: bool | None = None,
        explain: bool | None = None,
        facets: Mapping[str, Facet] | None = None,
        fields: Iterable[str] | None = None,
        highlight_fields: Iterable[str] | None = None,
        highlight_style: HighlightStyle | str | None = None,
        include_locations: bool | None = None,
        limit: int | None = None,
        raw: Mapping[str, Any] | None = None,
        retry_strategy: RetryStrategy | None = None,
        row_factory: Callable[[SearchRow], Any] | None = None,
        scan_consistency: SearchScanConsistency | str | None = None,
        search_after: Iterable[str] | None = None,
        search_before: Iterable[str] | None = None,
        show_request: bool | None = None,
        skip: int | None = None,
        sort: Sort | Iterable[Sort | str] | None = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> SearchResult[Any]:
        """Find documents by what is in them; hits stream, the best come first.

        Args:
            index: the index' name; of a scope, if a scope or a collection is asked.
            query: a query of `couchloop.fulltext`, a SearchRequest, vectors, or a text in the
                service's language for people.
            params: how it is to be answered; what is said beside counts more.
            collections: the names of those that are searched, of an index of several.
            consistency: `not_bounded`, which it is by itself.
            consistent_with: a MutationState: the index is waited for until it has these changes.
            disable_scoring: whether all hits are equally good.
            explain: whether hits say how their score came about.
            facets: what is counted beside, by name.
            fields: of documents, which hits have; `["*"]`: all that the index keeps.
            highlight_fields: the fields with fragments. None: all.
            highlight_style: how what was found is marked in fragments: `html` or `ansi`.
            include_locations: whether hits say where terms stand.
            limit: hits at most; by itself 10.
            raw: further members of the request, by the service's names.
            retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket
                says.
            row_factory: is called with each hit, and gives what is given instead.
            scan_consistency: the same as `consistency`; SDK 4's name.
            search_after: the `sort` of a hit, behind which the search goes on.
            search_before: the `sort` of a hit, before which it goes on.
            show_request: whether the answer has the request.
            skip: hits that are left out, the best ones.
            sort: a Sort, or a list of fields' names and of sorts. None: by score.
            timeout: seconds that it has; while hits wait to be taken none pass. None: as the params
                say, or the option search_timeout.
            type: of the hits' fields: what msgspec takes, as a Struct or a dataclass. None: a dict.
                A hit whose fields do not fit ends the search with a ValueFormatError.

        Parts of the index that have failed are told by `errors` of the result, beside the hits of
        others. Nothing is sent before the first hit is asked for. A search changes nothing: where
        its answer is lost before a hit was given, it is repeated. Raises InvalidSettingError (a
        TypeError), InvalidSearchError (a ValueError), NoChildrenError; while hits are taken
        SearchIndexNotFoundError, FeatureNotAvailableError, ServerInvalidArgumentError,
        ConsistencyMismatchError, RateLimitedError, SearchError and what all requests to services
        raise.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.SearchResult(
                target,
                searches.search(
                    target._defaults,
                    index,
                    query,
                    params,
                    collections=collections,
                    consistency=consistency,
                    consistent_with=consistent_with,
                    disable_scoring=disable_scoring,
                    explain=explain,
                    facets=facets,
                    fields=fields,
                    highlight_fields=highlight_fields,
                    highlight_style=highlight_style,
                    include_locations=include_locations,
                    limit=limit,
                    raw=raw,
                    retry_strategy=retry_strategy,
                    row_factory=row_factory,
                    scan_consistency=scan_consistency,
                    search_after=search_after,
                    search_before=search_before,
                    show_request=show_request,
                    skip=skip,
                    sort=sort,
                    timeout=timeout,
                    type=type,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "search", target._defaults)
            raise
        finally:
            del target

    @overload
    def search_query(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        row_factory: None = None,
        type: type[V],
        **options: Any,
    ) -> SearchResult[SearchRow[V]]: ...
    @overload
    def search_query(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        row_factory: None = None,
        type: None = None,
        **options: Any,
    ) -> SearchResult[SearchRow]: ...
    @overload
    def search_query(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        row_factory: Callable[[SearchRow], Any] | None = None,
        type: Any = None,
        **options: Any,
    ) -> SearchResult[Any]: ...
    def search_query(
        self,
        index: str,
        query: Searched,
        params: Params | None = None,
        *,
        row_factory: Callable[[SearchRow], Any] | None = None,
        type: Any = None,
        **options: Any,
    ) -> SearchResult[Any]:
        """Find documents by what is in them: SDK 4's older name of `search`, which see.

        Args:
            index: the index' name.
            query: what is searched for.
            params: how it is to be answered.
            row_factory: is called with each hit, and gives what is given instead.
            type: of the hits' fields; see `search`.
            options: as `search` has them.

        Raises ArgumentError for an option that there is not, and what `search` raises.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.SearchResult(
                target,
                searches.search_query(
                    target._defaults,
                    index,
                    query,
                    params,
                    row_factory=row_factory,
                    type=type,
                    **options,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "search_query", target._defaults)
            raise
        finally:
            del target


class ViewMethods:
    """Queries of views."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    @overload
    def query(
        self,
        design: str,
        view: str,
        use_devmode: bool = False,
        *,
        query: ViewQuery | Mapping[str, Any] | str | None = None,
        include_docs: bool = False,
        retry_strategy: RetryStrategy | None = None,
        row_processor: None = None,
        streaming: bool = True,
        timeout: float | timedelta | None = None,
        type: type[V],
        **params: Any,
    ) -> View[ViewRow[V]]: ...
    @overload
    def query(
        self,
        design: str,
        view: str,
        use_devmode: bool = False,
        *,
        query: QueryBase | Mapping[str, Any] | str | None = None,
        include_docs: bool = False,
        retry_strategy: RetryStrategy | None = None,
        row_processor: RowProcessor | None = None,
        streaming: bool = True,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **params: Any,
    ) -> View[Any]: ...
    def query(
        self,
        design: str,
        view: str,
        use_devmode: bool = False,
        *,
        query: QueryBase | Mapping[str, Any] | str | None = None,
        include_docs: bool = False,
        retry_strategy: RetryStrategy | None = None,
        row_processor: RowProcessor | None = None,
        streaming: bool = True,
        timeout: float | timedelta | None = None,
        type: Any = None,
        **params: Any,
    ) -> View[Any]:
        """Query a view; its rows stream.

        Args:
            design: name of the design document.
            view: name of the view.
            use_devmode: whether the design document is the one for development.
            query: a ViewQuery or SpatialQuery, or its parameters as dict or text. None: *params*.
            include_docs: whether rows have the documents' results as `doc`; they are fetched while
                rows come, many at once. What is not there (any more) has a result without success.
            retry_strategy: whether and when it is tried again. None: as the Bucket says.
            row_processor: a RowProcessor: its `rowclass` makes rows.
            streaming: whether rows are given while the answer comes, or once it is whole.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the
                Bucket's `views_timeout` says.
            type: of the rows' values, and of documents: what msgspec takes, as a Struct or a
                dataclass; with *include_docs* a value may be null beside. None: as JSON says.
            params: parameters of a ViewQuery: `key`, `keys`, `limit`, `stale` and the others.

        A node that fails has its rows missing: the others are given, then ViewEngineError is
        raised, unless `on_error="continue"` is said; `errors` has all failures. A query is repeated
        on another node as long as no row was given. Nothing is sent before the first row is asked
        for. Raises ArgumentError for a parameter that there is not, or a value that it cannot have.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.View(
                target,
                view_queries.query(
                    target._defaults,
                    design,
                    view,
                    use_devmode,
                    query=query,
                    include_docs=include_docs,
                    retry_strategy=retry_strategy,
                    row_processor=row_processor,
                    streaming=streaming,
                    timeout=timeout,
                    type=type,
                    **params,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "query", target._defaults)
            raise
        finally:
            del target

    @overload
    def view_query(
        self,
        design_doc: str,
        view_name: str,
        *view_options: ViewOptions,
        client_context_id: str | None = None,
        debug: bool | None = None,
        endkey: Any = None,
        endkey_docid: str | None = None,
        full_set: bool | None = None,
        group: bool | None = None,
        group_level: int | None = None,
        inclusive_end: bool | None = None,
        key: Any = None,
        keys: Sequence[Any] | None = None,
        limit: int | None = None,
        namespace: DesignDocumentNamespace | None = None,
        on_error: ViewErrorMode | str | None = None,
        order: ViewOrdering | str | None = None,
        query_string: Sequence[str] | None = None,
        raw: Mapping[str, str] | None = None,
        reduce: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_consistency: ViewScanConsistency | str | None = None,
        serializer: Any = None,
        skip: int | None = None,
        startkey: Any = None,
        startkey_docid: str | None = None,
        timeout: float | timedelta | None = None,
        type: type[V],
    ) -> View[ViewRow[V]]: ...
    @overload
    def view_query(
        self,
        design_doc: str,
        view_name: str,
        *view_options: ViewOptions,
        client_context_id: str | None = None,
        debug: bool | None = None,
        endkey: Any = None,
        endkey_docid: str | None = None,
        full_set: bool | None = None,
        group: bool | None = None,
        group_level: int | None = None,
        inclusive_end: bool | None = None,
        key: Any = None,
        keys: Sequence[Any] | None = None,
        limit: int | None = None,
        namespace: DesignDocumentNamespace | None = None,
        on_error: ViewErrorMode | str | None = None,
        order: ViewOrdering | str | None = None,
        query_string: Sequence[str] | None = None,
        raw: Mapping[str, str] | None = None,
        reduce: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_consistency: ViewScanConsistency | str | None = None,
        serializer: Any = None,
        skip: int | None = None,
        startkey: Any = None,
        startkey_docid: str | None = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> View[Any]: ...
    def view_query(
        self,
        design_doc: str,
        view_name: str,
        *view_options: ViewOptions,
        client_context_id: str | None = None,
        debug: bool | None = None,
        endkey: Any = None,
        endkey_docid: str | None = None,
        full_set: bool | None = None,
        group: bool | None = None,
        group_level: int | None = None,
        inclusive_end: bool | None = None,
        key: Any = None,
        keys: Sequence[Any] | None = None,
        limit: int | None = None,
        namespace: DesignDocumentNamespace | None = None,
        on_error: ViewErrorMode | str | None = None,
        order: ViewOrdering | str | None = None,
        query_string: Sequence[str] | None = None,
        raw: Mapping[str, str] | None = None,
        reduce: bool | None = None,
        retry_strategy: RetryStrategy | None = None,
        scan_consistency: ViewScanConsistency | str | None = None,
        serializer: Any = None,
        skip: int | None = None,
        startkey: Any = None,
        startkey_docid: str | None = None,
        timeout: float | timedelta | None = None,
        type: Any = None,
    ) -> View[Any]:
        """Query a view; its rows stream.

        Args:
            design_doc: name of the design document.
            view_name: name of the view.
            view_options: ViewOptions.
            client_context_id: is not sent: views know none.
            debug: whether the answer says how it came about.
            endkey: where rows end: any JSON value.
            endkey_docid: the last document among those whose row has *endkey*.
            full_set: whether a view for development sees all documents.
            group: whether rows are reduced by their whole keys.
            group_level: by how many elements of array keys they are reduced.
            inclusive_end: whether rows of *endkey* itself are given. None: True.
            key: the key of all rows. None is not said: `raw={"key": "null"}` says it.
            keys: keys of rows, in the order in which rows are to come.
            limit: the most rows that are given.
            namespace: DesignDocumentNamespace.DEVELOPMENT or PRODUCTION. None: as the name says.
            on_error: ViewErrorMode.CONTINUE or STOP, where a node fails.
            order: ViewOrdering.ASCENDING or DESCENDING.
            query_string: further parameters, each percent-encoded with its value.
            raw: parameters by the server's names, with texts as it reads them.
            reduce: whether rows are reduced, by views that can. None: True.
            retry_strategy: whether and when it is tried again. None: as the Bucket says.
            scan_consistency: ViewScanConsistency.NOT_BOUNDED, UPDATE_AFTER or REQUEST_PLUS: how old
                rows may be. None: UPDATE_AFTER.
            serializer: whose `deserialize` makes keys and values of a row's bytes.
            skip: how many rows are passed over.
            startkey: where rows begin.
            startkey_docid: the first document among those whose row has *startkey*.
            timeout: seconds that it has; while rows wait to be taken none pass. None: as the
                Bucket's `views_timeout` says.
            type: of the rows' values: what msgspec takes, as a Struct or a dataclass. None: as JSON
                says.

        A node that fails has its rows missing: the others are given, then ViewEngineError is
        raised, unless *on_error* is CONTINUE; `errors` has all failures. Nothing is sent before the
        first row is asked for. Raises ArgumentError for a value that a parameter cannot have,
        InvalidSettingError (a TypeError) for an option that is no such.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            return thread_rows.View(
                target,
                view_queries.view_query(
                    target._defaults,
                    design_doc,
                    view_name,
                    *view_options,
                    client_context_id=client_context_id,
                    debug=debug,
                    endkey=endkey,
                    endkey_docid=endkey_docid,
                    full_set=full_set,
                    group=group,
                    group_level=group_level,
                    inclusive_end=inclusive_end,
                    key=key,
                    keys=keys,
                    limit=limit,
                    namespace=namespace,
                    on_error=on_error,
                    order=order,
                    query_string=query_string,
                    raw=raw,
                    reduce=reduce,
                    retry_strategy=retry_strategy,
                    scan_consistency=scan_consistency,
                    serializer=serializer,
                    skip=skip,
                    startkey=startkey,
                    startkey_docid=startkey_docid,
                    timeout=timeout,
                    type=type,
                ),
                crossing,
            )
        except CouchbaseError as error:
            at_call(error, "view_query", target._defaults)
            raise
        finally:
            del target


class HealthMethods:
    """How the nodes are, and when they are ready."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    def wait_until_ready(
        self,
        timeout: float,
        desired_state: ClusterState = ClusterState.ONLINE,
        *,
        services: Iterable[ServiceType | str] | None = None,
    ) -> None:
        """Wait until nodes can be used (RFC 0061): the data nodes, or those of some services.

        Args:
            timeout: seconds.
            desired_state: ONLINE: all of them; DEGRADED: at least one, of each service.
            services: which, as ServiceType or by name ("kv", "query"); None: the data service.

        A service can be used that answers as it does when it is well. One that no node has is
        waited for: it may be added.

        Raises ArgumentError for OFFLINE, or a service that does not exist; InvalidTimeoutError;
        UnambiguousTimeoutError, whose `context.seeds` names what each node met last;
        CleartextPasswordError at once if a service would be told the password without TLS; what
        opening the bucket met, once that has failed for good.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = health.wait_until_ready(
                target._defaults, timeout, desired_state, services=services
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "wait_until_ready", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def ping(
        self,
        *,
        services: Iterable[ServiceType | str] | None = None,
        timeout: float | None = None,
        report_id: str | None = None,
    ) -> PingReport:
        """Ask each data node for a sign of life, and each node of every other service (RFC 0061).

        Args:
            services: which are asked, as ServiceType or by name ("kv", "query"); None: all that the
                cluster has.
            timeout: seconds that each node has; None: as operations.
            report_id: goes into the report; None: one that nobody else has.

        Raises ArgumentError for a service that does not exist; InvalidTimeoutError;
        InvalidSettingError for an id that is no text; what opening the bucket met, once that has
        failed. A node that does not answer, or is not connected, raises nothing: the report says
        so, and which services would have been told the password in clear text.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = ping.ping(
                target._defaults, services=services, timeout=timeout, report_id=report_id
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "ping", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)


class ManifestMethods:
    """What can be asked of scopes and collections."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    def get_all_scopes(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> list[ScopeSpec]:
        """Return the scopes of the bucket with their collections, as the user may see them.

        Args:
            timeout: seconds until there is a result, waiting and retrying included. None: as the
                Bucket says.
            retry_strategy: whether and when to try again. None: as the Bucket says.

        All data nodes are asked, and the first answer counts: a node may learn of a change somewhat
        later than others.

        Raises FeatureNotAvailableError if the server, or the type of the bucket, has none.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = manifest.get_all_scopes(
                target._defaults, timeout=timeout, retry_strategy=retry_strategy
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "get_all_scopes", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)


class HttpMethods:
    """What services of the cluster can be asked by HTTP."""

    __slots__ = ()

    _target: Target
    _cross: Callable[[Any], Crossing]

    def http_request(
        self,
        path: str,
        method: str = "GET",
        content: str | bytes | None = None,
        content_type: str = "application/json",
        response_format: int = 33554432,
        *,
        service: str = "management",
        timeout: float | None = None,
        retry_strategy: RetryStrategy | None = None,
    ) -> HttpResult:
        """Ask a service of the cluster for *path*, as its REST API has it.

        Args:
            path: path and query, percent-encoded.
            method: GET, POST, PUT, PATCH or DELETE.
            content: the body; a str is sent as UTF-8.
            content_type: of the body.
            response_format: FMT_JSON, FMT_UTF8 or FMT_BYTES: what `value` of the result is.
            service: `management`, `views`, `query`, `search`, `analytics` or `eventing`.
            timeout: seconds; None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Returns:
            An HttpResult with status, headers and value.

        Raises HTTPError if the service has refused it (AuthError for 401, NotAuthorizedError for
        403), ServiceNotAvailableError if no node runs it, CleartextPasswordError if it would be
        told the password without TLS.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = http_request.http_request(
                asking_by(target._defaults, retry_strategy),
                path,
                method,
                content,
                content_type,
                response_format,
                service=service,
                timeout=timeout,
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "http_request", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)

    def cluster_info(
        self, *, timeout: float | None = None, retry_strategy: RetryStrategy | None = None
    ) -> ClusterInfo:
        """Return the cluster's nodes, their versions and services, and the names of its buckets.

        Args:
            timeout: seconds for all of it. None: as the option http_timeout says.
            retry_strategy: whether and when requests are tried again. None: as the Cluster or the
                Bucket says.

        Raises NotAuthorizedError.
        """
        target = self._target
        crossing = self._cross(target._driver)
        del self
        try:
            crossing.check(target._driver.session)
            pending = cluster.cluster_info(
                asking_by(target._defaults, retry_strategy), timeout=timeout
            )
            pending.owner = target
        except CouchbaseError as error:
            at_call(error, "cluster_info", target._defaults)
            raise
        finally:
            del target
        return crossing.run(pending)
