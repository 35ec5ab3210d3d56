"""What there is: indexes, and the keyspaces of the name space `system`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from couchloop.embedded.sqlpp.documents import Found, Keyspace
from couchloop.embedded.sqlpp.environment import VERSION
from couchloop.embedded.sqlpp.indexes import Index, Indexes
from couchloop.embedded.sqlpp.prepared import PreparedStatements
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.syntax import Node
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.topology.cluster import Cluster

if TYPE_CHECKING:
    from couchloop.embedded.storage.manifest import Collection

_SERVICES: Final = {
    "kv": "kv",
    "n1ql": "n1ql",
    "fts": "fts",
    "cbas": "cbas",
    "eventingAdminPort": "eventing",
}
"""What services are called, by their ports."""

_NAMESPACE: Final = {"namespace": "default", "namespace_id": "default"}


class ClusterCatalogue:
    """The catalogue of a cluster.

    Args:
        cluster: whose buckets are told of.

    `requires_index`: whether statements without USE KEYS are refused where no index serves.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.requires_index = True
        self.indexes = Indexes(cluster.clock)
        self.prepared = PreparedStatements()

    def serves(self, keyspace: Keyspace, alias: str, condition: Node | None) -> bool:
        """Whether documents can be found without their keys."""
        if not self.requires_index:
            return True
        return self.indexes.chosen(keyspace, alias, condition) is not None

    def system_keyspace(self, name: str, session: Session) -> Iterable[Found] | None:
        """Return the documents of `system:name`; None: there is no such keyspace."""
        known: dict[str, Callable[[Session], Iterator[Found]]] = {
            "dual": self._dual,
            "datastores": self._datastores,
            "namespaces": self._namespaces,
            "buckets": self._buckets,
            "scopes": self._scopes,
            "keyspaces": self._keyspaces,
            "indexes": self._indexes,
            "prepareds": self._prepareds,
            "my_user_info": self._my_user_info,
            "nodes": self._nodes,
            "vitals": self._vitals,
            "active_requests": self._active_requests,
            "completed_requests": self._completed_requests,
        }
        rows = known.get(name)
        return None if rows is None else list(rows(session))

    # --- its keyspaces ----------------------------------------------------------------------------

    @property
    def _store(self) -> str:
        node = self._cluster.nodes[0]
        return f"http://{node.host}:{node.ports.get('mgmt', 8091)}"

    @property
    def node(self) -> str:
        """The name of the node that speaks for all."""
        return self._store.removeprefix("http://")

    def _dual(self, session: Session) -> Iterator[Found]:  # noqa: ARG002 - all are given it
        yield Found("dual", None, {"id": "dual"})

    def _datastores(self, session: Session) -> Iterator[Found]:  # noqa: ARG002
        yield _found(self._store, {"id": self._store, "url": self._store})

    def _namespaces(self, session: Session) -> Iterator[Found]:  # noqa: ARG002
        row = {"datastore_id": self._store, "id": "default", "name": "default"}
        yield _found("default", row)

    def _buckets(self, session: Session) -> Iterator[Found]:
        for bucket in self._seen(session):
            yield _found(f"default:{bucket.name}", self._row(bucket.name, bucket.name))

    def _scopes(self, session: Session) -> Iterator[Found]:
        for bucket in self._seen(session):
            for scope in sorted(bucket.manifest.scopes):
                row = self._row(scope, f"{bucket.name}.{scope}")
                yield _found(row["path"], {"bucket": bucket.name, "id": scope, **row})

    def _keyspaces(self, session: Session) -> Iterator[Found]:
        for bucket in self._seen(session):
            for collection in _collections(bucket, session):
                keyspace = Keyspace(bucket, collection)
                name = bucket.name if collection.uid == 0 else collection.name
                row = {"id": name, **self._row(name, keyspace.name)}
                if collection.uid:
                    row = {"bucket": bucket.name, "scope": collection.scope, **row}
                yield _found(keyspace.path, row)

    def _indexes(self, session: Session) -> Iterator[Found]:
        for bucket in self._seen(session):
            for collection in _collections(bucket, session):
                for index in self.indexes.of(Keyspace(bucket, collection)):
                    yield _found(index.id, self._index_row(index, bucket, collection))

    def _index_row(self, index: Index, bucket: Bucket, collection: Collection) -> dict[str, Any]:
        row: dict[str, Any] = {
            "datastore_id": self._store,
            "id": index.id,
            "index_key": index.texts(),
            "keyspace_id": bucket.name,
            "name": index.name,
            "namespace_id": "default",
            "state": index.state(self._cluster.clock),
            "using": "gsi",
        }
        if collection.uid:
            row |= {
                "bucket_id": bucket.name,
                "keyspace_id": collection.name,
                "scope_id": collection.scope,
            }
        if index.primary:
            row["is_primary"] = True
        if index.where is not None:
            row["condition"] = index.condition()
        if index.partition:
            row["partition"] = index.partitioning()
        return row

    def _prepareds(self, session: Session) -> Iterator[Found]:
        for entry in self.prepared.entries():
            if entry.owner in {"", session.user.name} or session.user.is_admin:
                yield _found(entry.key, {"node": self.node, **entry.row()})

    def _my_user_info(self, session: Session) -> Iterator[Found]:
        user = session.user
        roles: list[dict[str, str]] = [{"role": "admin"}] if user.is_admin else []
        for name, bucket, scope, collection in user.roles:
            places = {"bucket_name": bucket, "scope_name": scope, "collection_name": collection}
            roles.append({"role": name, **{key: place for key, place in places.items() if place}})
        yield _found(user.name, {"domain": "local", "id": user.name, "roles": roles})

    def _nodes(self, session: Session) -> Iterator[Found]:  # noqa: ARG002
        for node in self._cluster.nodes:
            name = f"{node.host}:{node.ports.get('mgmt', 8091)}"
            services = [word for service, word in _SERVICES.items() if node.runs(service)]
            row = {"name": name, "ports": dict(sorted(node.ports.items())), "services": services}
            yield _found(name, row)

    def _vitals(self, session: Session) -> Iterator[Found]:  # noqa: ARG002
        """Tell what is true of nodes that share one process."""
        for node in self._cluster.nodes:
            if node.runs("n1ql"):
                name = f"{node.host}:{node.ports.get('mgmt', 8091)}"
                row = {"healthy": True, "node": name, "request.active.count": 1}
                yield _found(name, {**row, "version": VERSION})

    def _active_requests(self, session: Session) -> Iterator[Found]:
        """Tell of the request that asks: there is never another one."""
        row = {
            "node": self.node,
            "scanConsistency": "unbounded",
            "state": "running",
            "users": f"local:{session.user.name}",
        }
        yield _found("active", row)

    def _completed_requests(self, session: Session) -> Iterator[Found]:  # noqa: ARG002
        """Tell of no request: those that took long are kept, and here none does."""
        yield from ()

    # --- what they are made of ------------------------------------------------------------------

    def _row(self, name: str, path: str) -> dict[str, Any]:
        return {"datastore_id": self._store, "name": name, "path": f"default:{path}", **_NAMESPACE}

    def _seen(self, session: Session) -> list[Bucket]:
        """Return the buckets that the user may know of, by name."""
        buckets = sorted(self._cluster.buckets.items())
        return [
            bucket for name, bucket in buckets if not bucket.memcached and session.user.sees(name)
        ]


def _collections(bucket: Bucket, session: Session) -> list[Collection]:
    found = [
        collection
        for collection in bucket.manifest.collections.values()
        if session.user.sees_collection(bucket.name, collection.scope, collection.name)
    ]
    return sorted(found, key=lambda each: (each.uid != 0, each.scope, each.name))


def _found(key: str, row: dict[str, Any]) -> Found:
    return Found(key, row, {"id": key})
