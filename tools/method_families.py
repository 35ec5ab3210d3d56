"""Which builders of the core make which class of methods: `tools/methods.py` writes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from couchloop.analytics import analytics_queries, bucket_analytics
from couchloop.fulltext import searches
from couchloop.management import (
    admin,
    analytics_indexes,
    analytics_links,
    bucket_manager,
    buckets,
    cluster,
    collection_indexes,
    design_documents,
    eventing_functions,
    http_request,
    n1ql_indexes,
    query_indexes,
    search_indexes,
    users,
)
from couchloop.management import collections as scopes
from couchloop.n1ql import n1ql_queries, queries
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
from couchloop.operations.multi import Multi
from couchloop.operations.streaming import Streaming
from couchloop.session import health, ping
from couchloop.views import view_queries

Builder = Callable[..., Any]


class Family(NamedTuple):
    """Builders whose methods belong together."""

    name: str
    """Of the class."""
    meaning: str
    modules: tuple[ModuleType, ...]
    of_bucket: bool = False
    """Whether it is of one bucket, as what its methods take of it says."""
    asks_services: bool = False
    """Whether its methods ask services, and stand beside others that do not."""
    is_management: bool = False
    """Whether they stand in files of their own, which only who manages needs."""

    def builders(self) -> Iterator[tuple[str, Builder]]:
        """Return each builder and its name, in the order in which they are written."""
        for module in self.modules:
            for name, member in vars(module).items():
                if is_builder(name, member, module):
                    yield name, member


FAMILIES: Final = (
    Family(
        "DocumentMethods",
        "What can be done with documents",
        (
            retrieve,
            store,
            concatenate,
            remove,
            touch,
            locks,
            counter,
            replicas,
            observe,
            endure,
            stats,
            subdocument,
            lookup_replicas,
            maps,
            lists,
            sets,
            queues,
            streams,
            scan,
        ),
    ),
    Family("N1qlMethods", "Queries by the name of SDK 2.5", (n1ql_queries,)),
    Family("QueryMethods", "Queries by the name of SDK 4", (queries,)),
    Family("AnalyticsMethods", "Analytics queries by the name of SDK 4", (analytics_queries,)),
    Family("BucketAnalyticsMethods", "Analytics queries as SDK 2.5 has them", (bucket_analytics,)),
    Family("SearchMethods", "Documents found by what is in them", (searches,)),
    Family("ViewMethods", "Queries of views", (view_queries,)),
    Family("HealthMethods", "How the nodes are, and when they are ready", (health, ping)),
    Family("ManifestMethods", "What can be asked of scopes and collections", (manifest,)),
    Family(
        "HttpMethods", "What services of the cluster can be asked by HTTP", (http_request, cluster)
    ),
    Family(
        "BucketManagerMethods", "What can be asked about buckets", (buckets,), is_management=True
    ),
    Family("UserManagerMethods", "What can be asked about users", (users,), is_management=True),
    Family("AdminMethods", "What SDK 2.5's Admin can ask", (admin,), is_management=True),
    Family(
        "CollectionManagerMethods",
        "How scopes and collections are made and dropped",
        (scopes,),
        of_bucket=True,
        asks_services=True,
        is_management=True,
    ),
    Family(
        "ViewIndexManagerMethods",
        "What can be asked about design documents",
        (design_documents,),
        of_bucket=True,
        is_management=True,
    ),
    Family(
        "DesignMethods",
        "The same by the names of SDK 2.5's BucketManager",
        (bucket_manager,),
        of_bucket=True,
        is_management=True,
    ),
    Family(
        "N1qlIndexMethods",
        "What SDK 2.5's BucketManager can ask about indexes for queries",
        (n1ql_indexes,),
        of_bucket=True,
        is_management=True,
    ),
    Family(
        "QueryIndexManagerMethods",
        "What can be asked about indexes for queries",
        (query_indexes,),
        is_management=True,
    ),
    Family(
        "CollectionQueryIndexManagerMethods",
        "What can be asked about indexes of one collection for queries",
        (collection_indexes,),
        of_bucket=True,
        is_management=True,
    ),
    Family(
        "SearchIndexManagerMethods",
        "What can be asked about search indexes",
        (search_indexes,),
        is_management=True,
    ),
    Family(
        "AnalyticsIndexManagerMethods",
        "What can be asked about datasets, their indexes and links",
        (analytics_indexes, analytics_links),
        is_management=True,
    ),
    Family(
        "EventingFunctionManagerMethods",
        "What can be asked about eventing functions",
        (eventing_functions,),
        is_management=True,
    ),
)


STRATEGY: Final = inspect.Parameter(
    "retry_strategy",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation="RetryStrategy | None",
)
"""What the methods take whose builders ask services alone, and do not say it themselves."""


def asks_services_alone(build: Builder) -> bool:
    """Whether *build* is of a manager: what it builds are requests to services, and no others."""
    return build.__module__.startswith("couchloop.management.")


def parameters_of(build: Builder) -> list[inspect.Parameter]:
    """Return what the method of *build* takes: what that takes behind the defaults, and more."""
    _, *parameters = inspect.signature(build).parameters.values()
    return [*parameters, STRATEGY] if asks_services_alone(build) else parameters


_FIRST: Final = ("Defaults", "BucketDefaults")
"""What the first parameter of a builder is."""


def is_builder(name: str, member: object, module: ModuleType) -> bool:
    """Whether *member* of *module* makes an operation (or a batch, or what else is run)."""
    if name.startswith("_") or not isinstance(member, FunctionType | Multi | Streaming):
        return False
    first = next(iter(inspect.signature(member).parameters.values()), None)
    return member.__module__ == module.__name__ and getattr(first, "annotation", "") in _FIRST
