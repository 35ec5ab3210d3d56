"""Who runs a statement, and where: names of keyspaces become keyspaces, if the user may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from couchloop.embedded.access.users import User
from couchloop.embedded.sqlpp.documents import Found, Keyspace
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.reprint import quote
from couchloop.embedded.sqlpp.statements import KeyspacePath
from couchloop.embedded.sqlpp.syntax import Node
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.topology.cluster import Cluster

_SEES_ALL: Final = "SystemXattrWrite"
"""Who has this privilege has all rights on the documents of a place."""

_LENGTHS: Final = frozenset({1, 3})

_ROLES: Final = {
    "SELECT": "query_select",
    "INSERT": "query_insert",
    "UPSERT": "query_insert",
    "UPDATE": "query_update",
    "DELETE": "query_delete",
    "CREATE INDEX": "query_manage_index",
    "DROP INDEX": "query_manage_index",
    "BUILD INDEX": "query_manage_index",
}


class Catalogue(Protocol):
    """What the engine asks of the indexes that there are, and of `system:`."""

    def serves(self, keyspace: Keyspace, alias: str, condition: Node | None) -> bool:
        """Whether documents can be found without their keys.

        Args:
            keyspace: whose documents.
            alias: what they are called in *condition*.
            condition: what is behind WHERE, with all names resolved.
        """

    def system_keyspace(self, name: str, session: Session) -> Iterable[Found] | None:
        """Return the documents of `system:name`; None: there is no such keyspace."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who runs a statement, and where."""

    cluster: Cluster
    user: User
    catalogue: Catalogue
    bucket: str = ""
    """Of the query context; empty: none."""
    scope: str = ""

    @property
    def name_lengths(self) -> frozenset[int]:
        """How many parts the name of a keyspace may have."""
        return _LENGTHS

    def fixed_documents(self, path: KeyspacePath) -> list[Found] | None:
        """Return the documents of `system:name`, None for a keyspace of another kind.

        Raises QueryError (11002).
        """
        if path.namespace != "system":
            return None
        name = path.parts[0]
        documents = self.catalogue.system_keyspace(name, self)
        if documents is None or len(path.parts) > 1:
            reason = {"error": None, "message": name}
            raise QueryError(11002, f"Keyspace not found {name}", reason=reason)
        return list(documents)

    def keyspace(self, path: KeyspacePath, right: str) -> Keyspace:
        """Return what a name stands for, if the user has a *right* there (`SELECT`, …).

        Raises QueryError.
        """
        parts = path.parts
        if len(parts) == 1 and self.bucket and not path.namespace:
            parts = (self.bucket, self.scope, parts[0])
        if len(parts) == 1:
            bucket = self._bucket(parts[0])
            keyspace = None
            if bucket is not None:
                keyspace = Keyspace(bucket, bucket.manifest.collections[0])
            name = parts[0]
        elif len(parts) == 3:
            keyspace, name = self._collection(*parts), ".".join(parts)
        else:
            keyspace, name = None, ".".join(parts)
        if keyspace is None:
            text = f"Keyspace not found in CB datastore: default:{name}"
            raise QueryError(12003, text)
        self.require(keyspace, right)
        return keyspace

    def require(self, keyspace: Keyspace, right: str) -> None:
        """Raise QueryError (13014) unless the user may do that."""
        collection = keyspace.collection
        place = (keyspace.bucket.name, collection.scope, collection.name)
        role = _ROLES[right]
        user = self.user
        if (
            user.may_in_collection(_SEES_ALL, *place)
            or user.has_role(role, *place)
            or user.has_role("bucket_full_access", place[0])
            or user.has_role("bucket_admin", place[0])
        ):
            return
        text = f"User does not have credentials to run {right} queries on {keyspace.path}. "
        text += f"Add role {role} on {keyspace.path} to allow the query to run."
        raise QueryError(13014, text)

    def require_index(self, keyspace: Keyspace, alias: str, condition: Node | None) -> None:
        """Raise QueryError (4000) if no index serves."""
        if self.catalogue.serves(keyspace, alias, condition):
            return
        name = f"`default`:{'.'.join(map(quote, keyspace.parts))}"
        text = f"No index available on keyspace {name} that matches your query. "
        text += f"Use CREATE PRIMARY INDEX ON {name} to create a primary index, "
        text += "or check that your expected index is online."
        raise QueryError(4000, text)

    def _bucket(self, name: str) -> Bucket | None:
        bucket = self.cluster.buckets.get(name)
        return None if bucket is None or bucket.memcached else bucket

    def _collection(self, bucket_name: str, scope: str, name: str) -> Keyspace | None:
        bucket = self._bucket(bucket_name)
        if bucket is None:
            text = f"Bucket not found in CB datastore default:{bucket_name}"
            raise QueryError(12020, text)
        if scope not in bucket.manifest.scopes:
            text = f"Scope not found in CB datastore default:{bucket_name}.{scope}"
            raise QueryError(12021, text)
        collection = bucket.manifest.find(scope, name)
        return None if collection is None else Keyspace(bucket, collection)
