"""Scopes and collections of a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


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

    def add_scope(self, name: str, uid: int) -> None:
        """Create a scope."""
        self.scopes[name] = uid

    def add_collection(self, scope: str, name: str, uid: int, max_ttl: int = 0) -> None:
        """Create a collection in a scope that exists."""
        self.collections[uid] = Collection(uid, scope, name, max_ttl)

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
