"""Scopes and collections of a bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_LAST_RESERVED: Final = 7
"""Ids up to this are the server's own."""


LONGEST_NAME: Final = 251
_ALLOWED: Final = re.compile(r"[A-Za-z0-9_%-]*")


def name_fault(name: str) -> str:
    """Return why a new scope or collection cannot have a name; empty: it can."""
    if not 0 < len(name) <= LONGEST_NAME:
        return f"Length must be in range from 1 to {LONGEST_NAME}"
    if not _ALLOWED.fullmatch(name):
        return "Can only contain characters A-Z, a-z, 0-9 and the following symbols _ - %"
    return "First character must not be _ or %" if name[0] in "_%" else ""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of a bucket; *max_ttl* in seconds, 0 for none."""

    uid: int
    scope: str
    name: str
    max_ttl: int = 0


@dataclass(slots=True)
class Manifest:
    """Scopes and collections of a bucket, by name and by id."""

    uid: int = 0
    scopes: dict[str, int] = field(default_factory=lambda: {"_default": 0})
    collections: dict[int, Collection] = field(
        default_factory=lambda: {0: Collection(0, "_default", "_default")}
    )

    last_id: int = _LAST_RESERVED
    """The highest id that a scope or a collection has ever had: ids are never used again."""

    def add_scope(self, name: str, uid: int) -> None:
        """Create a scope."""
        self.scopes[name] = uid
        self.last_id = max(self.last_id, uid)

    def add_collection(self, scope: str, name: str, uid: int, max_ttl: int = 0) -> None:
        """Create a collection in a scope that exists."""
        self.collections[uid] = Collection(uid, scope, name, max_ttl)
        self.last_id = max(self.last_id, uid)

    def with_collection(self, scope: str, name: str, max_ttl: int = 0) -> Manifest:
        """Return the next manifest, with one more collection, and its scope if that is new.

        Raises ValueError if it is there already.
        """
        if self.find(scope, name) is not None:
            raise ValueError(f"there is a collection {scope}.{name} already")
        following = self._next(self.scopes, self.collections.values())
        if scope not in following.scopes:
            following.add_scope(scope, following.last_id + 1)
        following.add_collection(scope, name, following.last_id + 1, max_ttl)
        return following

    def with_scope(self, name: str) -> Manifest:
        """Return the next manifest, with one more scope. Raises ValueError if it is there."""
        if name in self.scopes:
            raise ValueError(f"there is a scope {name} already")
        following = self._next(self.scopes, self.collections.values())
        following.add_scope(name, following.last_id + 1)
        return following

    def with_ttl(self, scope: str, name: str, max_ttl: int) -> Manifest:
        """Return the next manifest, where documents of a collection live so many seconds.

        Raises ValueError if there is no such collection.
        """
        changed = self.find(scope, name)
        if changed is None:
            raise ValueError(f"there is no collection {scope}.{name}")
        following = self._next(self.scopes, self.collections.values())
        following.collections[changed.uid] = Collection(changed.uid, scope, name, max_ttl)
        return following

    def without_collection(self, scope: str, name: str) -> Manifest:
        """Return the next manifest, without a collection. Raises ValueError if there is none."""
        dropped = self.find(scope, name)
        if dropped is None:
            raise ValueError(f"there is no collection {scope}.{name}")
        left = (each for each in self.collections.values() if each is not dropped)
        return self._next(self.scopes, left)

    def without_scope(self, scope: str) -> Manifest:
        """Return the next manifest, without a scope. Raises ValueError if there is none."""
        if scope not in self.scopes:
            raise ValueError(f"there is no scope {scope}")
        scopes = {name: uid for name, uid in self.scopes.items() if name != scope}
        return self._next(
            scopes, (each for each in self.collections.values() if each.scope in scopes)
        )

    def _next(self, scopes: dict[str, int], collections: Iterable[Collection]) -> Manifest:
        kept = {collection.uid: collection for collection in collections}
        return Manifest(self.uid + 1, dict(scopes), kept, self.last_id)

    @classmethod
    def decode(cls, document: Mapping[str, Any]) -> Manifest:
        """Read a manifest as `encode` writes it (JSON already parsed).

        Raises ValueError, KeyError, TypeError or AttributeError if it is none.
        """
        manifest = cls(int(document["uid"], 16), {}, {})
        for scope in document["scopes"]:
            manifest.add_scope(scope["name"], int(scope["uid"], 16))
            for collection in scope["collections"]:
                manifest.add_collection(
                    scope["name"],
                    collection["name"],
                    int(collection["uid"], 16),
                    collection.get("maxTTL", 0),
                )
        texts = {each for one in manifest.collections.values() for each in (one.scope, one.name)}
        if not all(isinstance(text, str) for text in texts | set(manifest.scopes)):
            raise ValueError("the name of a scope or a collection is no text")
        if not all(isinstance(one.max_ttl, int) for one in manifest.collections.values()):
            raise ValueError("a time to live is no whole number")
        return manifest

    def find(self, scope: str, name: str) -> Collection | None:
        """Return a collection by its names."""
        for collection in self.collections.values():
            if collection.scope == scope and collection.name == name:
                return collection
        return None

    def encode(self, visible: Iterable[int] | None = None) -> bytes:
        """Return the manifest as JSON, with the *visible* collections only (None: all)."""
        shown = frozenset(self.collections if visible is None else visible)
        scopes = []
        for scope, uid in sorted(self.scopes.items(), key=lambda item: item[0].strip("_")):
            listed = [
                {
                    **({"maxTTL": collection.max_ttl} if collection.max_ttl else {}),
                    "name": collection.name,
                    "uid": f"{collection.uid:x}",
                }
                for collection in self.collections.values()
                if collection.scope == scope and collection.uid in shown
            ]
            if listed or visible is None:
                scopes.append({"collections": listed, "name": scope, "uid": f"{uid:x}"})
        text = json.dumps({"scopes": scopes, "uid": f"{self.uid:x}"}, separators=(",", ":"))
        return text.encode()
