"""Search indexes of a cluster: their definitions, what was switched, what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from couchloop.embedded.generator import Generator
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.manifest import Collection
from couchloop.wire.constants import Datatype

ALIAS: Final = "fulltext-alias"
_BY_COLLECTION: Final = "scope.collection."
_DEFAULT: Final = "_default"
_DEEPEST: Final = 50
"""Aliases of aliases that are followed."""


class SearchIndexError(Exception):
    """It cannot be done with the indexes that there are; the text says why, as a server does."""


@dataclass(slots=True)
class SearchIndex:
    """One definition, and how it is."""

    name: str
    """Whole: that of a scope is `bucket.scope.index`."""
    kind: str
    source_type: str
    source_name: str
    source_uuid: str
    params: dict[str, Any]
    source_params: dict[str, Any] | None
    plan_params: dict[str, Any]
    uuid: str = ""
    held_count: int | None = None
    """How many documents it had when it was told to index no more; None: it follows them."""
    failing: dict[int, str] = field(default_factory=dict)
    """Partitions that fail when they are searched, by their numbers: what they say."""
    live: object | None = None
    """Its documents in searchable form, once somebody has searched: who did knows what it is."""

    @property
    def is_alias(self) -> bool:
        """Whether it stands for others."""
        return self.kind == ALIAS

    def may(self, what: str) -> bool:
        """Whether it `canRead` (be queried), or `canWrite` (index)."""
        allowed: bool = (
            self.plan_params.get("nodePlanParams", {}).get("", {}).get("", {}).get(what, True)
        )
        return allowed

    def document(self, name: str) -> dict[str, Any]:
        """Return the definition as the service tells it, under a name that may be shorter."""
        source = {"sourceName": self.source_name, "sourceUUID": self.source_uuid}
        return {
            "type": self.kind,
            "name": name,
            "uuid": self.uuid,
            "sourceType": self.source_type,
            **{member: value for member, value in source.items() if value},
            "planParams": self.plan_params,
            "params": self.params,
            "sourceParams": self.source_params,
        }

    @property
    def targets(self) -> Mapping[str, Any]:
        """For which others an alias stands."""
        targets = self.params.get("targets") if self.is_alias else None
        return targets if isinstance(targets, dict) else {}


def scope_and_collections(params: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return which scope, and which of its collections, an index of these params is of.

    Raises SearchIndexError if it is of several scopes.
    """
    mode = params.get("doc_config", {}).get("mode", "")
    mapping = params.get("mapping", {})
    if not str(mode).startswith(_BY_COLLECTION):
        return _DEFAULT, [_DEFAULT]
    found: list[tuple[str, str]] = []
    if mapping.get("default_mapping", {}).get("enabled", True):
        found.append((_DEFAULT, _DEFAULT))
    for name, kind in mapping.get("types", {}).items():
        if kind.get("enabled", True):
            parts = name.split(".", 2)
            found.append((parts[0], parts[1]) if len(parts) > 1 else (_DEFAULT, _DEFAULT))
    scope = found[0][0] if found else ""
    for other, _ in found:
        if other != scope:
            text = (
                f"collection_utils: multiple scopes found: '{scope}', '{other}'; index can only "
                "span collections on a single scope"
            )
            raise SearchIndexError(text)
    return scope, list(dict.fromkeys(collection for _, collection in found))


class SearchIndexes:
    """All search indexes of a cluster."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._indexes: dict[str, SearchIndex] = {}
        self.uuid = ""
        """Of the definitions as a whole: another one after each change."""
        self.steps = 1_000_000
        """Documents and terms that a search looks at before it fails as if its time were over, for
        the loop does nothing else meanwhile; 0: any."""

    def __iter__(self) -> Iterator[SearchIndex]:
        """Return them in the order of their names."""
        return iter(sorted(self._indexes.values(), key=lambda each: each.name))

    def get(self, name: str) -> SearchIndex | None:
        """Return one by its whole name; None: there is none."""
        return self._indexes.get(name)

    def put(self, index: SearchIndex, replaced: str) -> SearchIndex:
        """Store a definition.

        Args:
            index: the definition.
            replaced: uuid of the one that it takes the place of; empty: there must be none; `*`:
                whichever there is.

        Raises SearchIndexError.
        """
        former = self._indexes.get(index.name)
        if not replaced and former is not None:
            raise SearchIndexError(
                "manager_api: cannot create index because an index with the same name already "
                f"exists: {index.name}"
            )
        if replaced not in ("", "*"):
            if former is None:
                text = f"manager_api: index missing for update, indexName: {index.name}"
                raise SearchIndexError(text)
            if former.uuid != replaced:
                raise SearchIndexError(
                    "manager_api: perhaps there was concurrent index definition update, current "
                    f"index UUID: {former.uuid}, did not match input UUID: {replaced}"
                )
        if not index.may("canWrite"):
            is_same = former is not None and former.params == index.params
            index.held_count = (former.held_count or 0) if former is not None and is_same else 0
        self._indexes[index.name] = index
        self._changed(index)
        return index

    def delete(self, name: str) -> SearchIndex:
        """Delete one, and return it. Raises SearchIndexError."""
        index = self._indexes.pop(name, None)
        if index is None:
            text = f"manager_api: index to delete missing, indexName: {name}"
            raise SearchIndexError(text)
        self.uuid = self._uuid()
        return index

    def switch(self, index: SearchIndex, what: str, *, on: bool) -> None:
        """Let an index be queried (`canRead`), or follow its documents (`canWrite`), or not."""
        switches = {each: index.may(each) for each in ("canRead", "canWrite")} | {what: on}
        index.plan_params.pop("nodePlanParams", None)
        if not all(switches.values()):
            index.plan_params["nodePlanParams"] = {"": {"": switches}}
        self._changed(index)

    def freeze(self, index: SearchIndex, *, on: bool) -> None:
        """Leave its partitions where they are, or not."""
        index.plan_params["planFrozen"] = on
        self._changed(index)

    def forget(self, buckets: Mapping[str, Bucket]) -> None:
        """Delete the indexes whose bucket, scope or collections are gone, as the service does."""
        for index in list(self._indexes.values()):
            if not index.is_alias and not _is_there(index, buckets):
                self.delete(index.name)

    def count(self, name: str, buckets: Mapping[str, Bucket]) -> int:
        """Return how many documents an index has, an alias those of all for which it stands.

        Raises SearchIndexError for an alias of what is not there, or of itself.
        """
        return sum(_count(each, buckets) for each in self.members(self._indexes[name]))

    def members(self, index: SearchIndex) -> list[SearchIndex]:
        """Return the indexes for which one stands: an alias has several, others are alone.

        Raises SearchIndexError for an alias of what is not there, or of itself.
        """
        members: dict[str, SearchIndex] = {}
        self._collect(index.name, (), members)
        return [each for each in members.values() if not each.is_alias]

    def sources(self, index: SearchIndex) -> set[str]:
        """Return the buckets whose documents an index has, or those for which an alias stands."""
        found: dict[str, SearchIndex] = {}
        left = [index]
        while left:
            each = left.pop()
            if each.name not in found:
                found[each.name] = each
                targets = (self._indexes.get(target) for target in each.targets)
                left += [target for target in targets if target is not None]
        return {each.source_name for each in found.values() if not each.is_alias}

    def _collect(self, name: str, path: tuple[str, ...], seen: dict[str, SearchIndex]) -> None:
        """Add an index to *seen*, and all for which it stands."""
        index = self._indexes[name]
        for target, wanted in index.targets.items():
            found = self._indexes.get(target)
            if found is None:
                raise SearchIndexError(
                    "alias: the alias depends upon a target index that does not exist, "
                    f'targetName: "{target}", aliasName: "{name}"'
                )
            uuid = wanted.get("indexUUID") if isinstance(wanted, dict) else None
            if uuid and uuid != found.uuid:
                raise SearchIndexError(
                    f"alias: mismatched targetSpec.UUID: {uuid}, targetDef.UUID: {found.uuid}, "
                    f"targetName: {target}, aliasName: {name}, indexName: {name}"
                )
            if target in (*path, name):
                raise SearchIndexError(
                    f"alias: cyclic index alias {target} detected in alias path, indexName: {name}"
                )
            if len(path) > _DEEPEST:
                text = f"alias: too many alias targets, aliasName: {name}, indexName: {name}"
                raise SearchIndexError(text)
            if target not in seen:
                self._collect(target, (*path, name), seen)
        seen[name] = index

    def _changed(self, index: SearchIndex) -> None:
        self.uuid = index.uuid = self._uuid()

    def _uuid(self) -> str:
        return self._generator.randbytes(8).hex()


def _is_there(index: SearchIndex, buckets: Mapping[str, Bucket]) -> bool:
    bucket = buckets.get(index.source_name)
    if bucket is None or bucket.uuid != index.source_uuid:
        return False
    scope, collections = scope_and_collections(index.params)
    return any(bucket.manifest.find(scope, each) is not None for each in collections)


def _count(index: SearchIndex, buckets: Mapping[str, Bucket]) -> int:
    if index.held_count is not None:
        return index.held_count
    bucket = buckets.get(index.source_name)
    return 0 if bucket is None else count_documents(bucket, index.params)


def count_documents(bucket: Bucket, params: Mapping[str, Any]) -> int:
    """Return how many living JSON documents an index of these params would hold."""
    return sum(1 for _ in indexed_documents(bucket, params))


class Indexed(NamedTuple):
    """A document that an index holds."""

    vbucket: int
    collection: Collection
    key: bytes
    document: Document


def indexed_documents(bucket: Bucket, params: Mapping[str, Any]) -> Iterator[Indexed]:
    """Yield the living JSON documents that an index of these params holds."""
    scope, names = scope_and_collections(params)
    found = (bucket.manifest.find(scope, name) for name in names)
    wanted = {each.uid: each for each in found if each is not None}
    wall = bucket.conditions.clock.wall()
    for partition in bucket.partitions:
        if not partition.used:
            continue
        leader = bucket.active(partition.number)
        documents = {} if leader is None else leader.documents
        for (uid, key), document in documents.items():
            collection = wanted.get(uid)
            if (
                collection is not None
                and document.datatype & Datatype.JSON
                and not document.deleted
                and not 0 < document.expiry <= wall
            ):
                yield Indexed(partition.number, collection, key, document)
