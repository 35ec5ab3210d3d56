"""The embedded cluster, complete: nodes and buckets, and the servers that answer for them."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from couchloop.embedded.analytics.engine import AnalyticsEngine
from couchloop.embedded.core.connection import KeyValueConnection
from couchloop.embedded.http import (
    analytics,
    buckets,
    collections,
    configurations,
    design_documents,
    eventing_functions,
    pools,
    query,
    search_answers,
    search_indexes,
    services,
    users,
    view_queries,
)
from couchloop.embedded.http.connection import HttpConnection
from couchloop.embedded.http.router import Router
from couchloop.embedded.kv.commands import COMMANDS as KEY_VALUE
from couchloop.embedded.sqlpp.engine import Engine
from couchloop.embedded.subdocument.commands import COMMANDS as SUBDOCUMENT
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.connections import Connection, ServerConnection
from couchloop.embedded.topology.node import Node

_COMMANDS: Final = {**KEY_VALUE, **SUBDOCUMENT}
_ROUTERS: Final = {
    "mgmt": Router(
        (
            *configurations.ROUTES,
            *pools.ROUTES,
            *buckets.ROUTES,
            *collections.ROUTES,
            *users.ROUTES,
            *design_documents.MANAGEMENT,
        )
    ),
    "capi": Router((*services.VIEWS, *design_documents.VIEWS, *view_queries.ROUTES)),
    "fts": Router((*services.SEARCH, *search_indexes.ROUTES), search_answers.REFUSALS),
    "eventingAdminPort": Router((*services.EVENTING, *eventing_functions.ROUTES)),
}
"""Who answers on the ports of which service, but for those that are each cluster's own."""


class EmbeddedCluster(Cluster):
    """A Couchbase cluster in memory, as far as clients can tell; no sockets, no threads.

    Args:
        nodes: how many data nodes.
        buckets: names or :class:`BucketSettings`.
        users: a mapping of user names to passwords (all data rights on all buckets), or `User`s.
        replicas: replicas of each vbucket (cut to the number of nodes when they are laid out).
        vbuckets: how many vbuckets a bucket has.
        seed: whatever seems random (uuids, nonces) follows from it. None: as with 0, but with uuids
            that no other cluster has, for clients tell clusters apart by them.
        clock: where the time comes from; a :class:`ManualClock` if left out.
        name: the cluster's name.
        host: host name of the nodes in configurations.
        max_connections: the most connections that each node keeps; see `Node`.
        max_bucket_connections: the most on one bucket; likewise.

    `on_node_change` is called with a node whenever its state changes, and when it joins or leaves:
    whoever serves the cluster opens or closes listeners then.
    """

    @cached_property
    def queries(self) -> Engine:
        """What runs statements, and knows the indexes and what was prepared."""
        return Engine(self)

    @cached_property
    def analytics(self) -> AnalyticsEngine:
        """What runs statements of analytics, and knows the datasets."""
        return AnalyticsEngine(self)

    @cached_property
    def _analytics_router(self) -> Router:
        return Router((*services.ANALYTICS, *analytics.routes(self.analytics)))

    @cached_property
    def _query_router(self) -> Router:
        routes = (*services.QUERY, *query.routes(self.queries))
        return Router(routes, query.REFUSALS)

    def new_connection(
        self, node: Node, peer: str, *, tls: bool, client_user: str | None
    ) -> ServerConnection:
        """Make what answers on a new connection; `Node.accept` is what to call."""
        return KeyValueConnection(self, node, _COMMANDS, peer, tls=tls, client_user=client_user)

    def new_http_connection(
        self, node: Node, service: str, *, client_user: str | None
    ) -> Connection:
        """Make what answers on a new connection; `Node.accept_http` is what to call."""
        router = self._router(service)
        return HttpConnection(self, node, service, router, client_user=client_user)

    def _router(self, service: str) -> Router:
        if service == "n1ql":
            return self._query_router
        return self._analytics_router if service == "cbas" else _ROUTERS[service]
