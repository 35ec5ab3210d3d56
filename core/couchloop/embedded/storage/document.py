"""Documents in memory: vbuckets, CAS, locks, expiry. Knows no protocol, only its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any, Final, Protocol

from couchloop.wire import snappy
from couchloop.wire.constants import Datatype

MAX_VALUE: Final = 20 * 1024 * 1024
"""Longest value in bytes, inflated."""

_RELATIVE_EXPIRY: Final = 30 * 24 * 3600
_CAS_MASK: Final = ~0xFFFF
_FIRST_SEQNO: Final = 4
"""A fresh vbucket has seen its manifest's events."""

DocumentId = tuple[int, bytes]
"""Collection id and key."""


class Clock(Protocol):
    """Where the embedded cluster takes the time from."""

    def now(self) -> float:
        """Monotonic seconds: locks, delays, deadlines."""

    def wall(self) -> float:
        """Seconds since the epoch: expiry, CAS."""


class ManualClock:
    """A clock that stands until it is told to go on: for tests and simulations."""

    def __init__(self, wall: float = 1_700_000_000.0, now: float = 0.0) -> None:
        self._wall = wall
        self._now = now

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        self._now += seconds
        self._wall += seconds


class Generator:
    """Bytes that look random and are the same for the same seed (for ids, never for secrets)."""

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed).encode()
        self._count = 0

    def randbytes(self, count: int) -> bytes:
        """Give the next *count* bytes."""
        out = b""
        while len(out) < count:
            self._count += 1
            out += sha256(self._seed + self._count.to_bytes(8)).digest()
        return out[:count]

    def uuid(self) -> str:
        """Give an id written as a UUID is."""
        text = self.randbytes(16).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class State(Enum):
    """What a vbucket is on one node; a node that has no copy has no state."""

    ACTIVE = 1
    REPLICA = 2
    PENDING = 3
    DEAD = 4


@dataclass(slots=True)
class Document:
    """One version of one document, or the tombstone of one.

    A write replaces the object; only the lock and the expiry change in place.
    """

    value: bytes
    """As stored: a Snappy block if the datatype says so."""
    datatype: int
    """JSON and Snappy bits of the value (the xattr bit follows from `xattrs`)."""
    flags: int = 0
    expiry: int = 0
    """Epoch seconds; 0: never. On a tombstone: when it was deleted."""
    cas: int = 0
    seqno: int = 0
    rev_seqno: int = 1
    xattrs: dict[str, str] = field(default_factory=dict)
    """JSON text by X-key."""
    deleted: bool = False
    locked_until: float = 0.0
    modified: float = 0.0

    @property
    def stored_datatype(self) -> int:
        """All datatype bits, as GET_META shows them."""
        return self.datatype | (Datatype.XATTR if self.xattrs else 0)

    def body(self) -> bytes:
        """Give the value inflated."""
        if self.datatype & Datatype.SNAPPY:
            return snappy.decompress(self.value, MAX_VALUE)
        return self.value

    def locked(self, now: float) -> bool:
        """Tell whether the lock still holds at *now* (monotonic seconds)."""
        return self.locked_until > now


@dataclass(slots=True)
class VBucket:
    """One vbucket of a bucket.

    The copies of a vbucket share their documents: replication is instant here, and what a node
    may do with its copy is its state alone.
    """

    number: int
    uuid: int
    states: dict[int, State] = field(default_factory=dict)
    """State by the node's number."""
    seqno: int = _FIRST_SEQNO
    documents: dict[DocumentId, Document] = field(default_factory=dict)
    failover_log: list[tuple[int, int]] = field(default_factory=list)
    """(uuid, first seqno), the newest first."""
    last_cas: int = 0
    prepared: set[DocumentId] = field(default_factory=set)
    """Documents with a synchronous write that waits for its replicas."""
    size: int = 0
    """Bytes of all values."""

    def __post_init__(self) -> None:
        """Begin the history of failovers."""
        self.failover_log.append((self.uuid, 0))

    def next_cas(self, wall: float) -> int:
        """Hybrid logical clock: nanoseconds of wall time, but always more than the last one."""
        self.last_cas = max(self.last_cas + 1, int(wall * 1_000_000_000) & _CAS_MASK)
        return self.last_cas

    def token(self) -> bytes:
        """Mutation token of the latest write."""
        return self.uuid.to_bytes(8) + self.seqno.to_bytes(8)

    def find(self, document_id: DocumentId, wall: float) -> Document | None:
        """Give the living document; one whose time has come becomes a tombstone."""
        document = self.documents.get(document_id)
        if document is None or document.deleted:
            return None
        if document.expiry and document.expiry <= wall:
            self.put(document_id, tombstone(document, wall), wall)
            return None
        return document

    def put(self, document_id: DocumentId, document: Document, wall: float) -> None:
        """Store a new version: it gets its CAS, seqno and time."""
        self.seqno += 1
        previous = self.documents.get(document_id)
        document.seqno = self.seqno
        document.cas = self.next_cas(wall)
        document.rev_seqno = previous.rev_seqno + 1 if previous else 1
        document.modified = wall
        self.documents[document_id] = document
        self.size += len(document.value) - (len(previous.value) if previous else 0)

    def promote(self, uuid: int) -> None:
        """Begin a new branch of history, as a replica that takes over does."""
        self.uuid = uuid
        self.failover_log.insert(0, (uuid, self.seqno))


def tombstone(document: Document, wall: float, *, timed: bool = True) -> Document:
    """Give what a deletion leaves: the flags and the system xattrs, and *timed*: when it was."""
    system = {name: value for name, value in document.xattrs.items() if name.startswith("_")}
    deleted_at = int(wall) if timed else 0
    return Document(b"", 0, document.flags, deleted_at, xattrs=system, deleted=True)


def absolute_expiry(expiry: int, wall: float, max_ttl: int = 0) -> int:
    """Give the epoch second at which a document expires, 0 for never.

    Up to 30 days are relative; an absolute time in the past becomes the present second;
    *max_ttl* (seconds, 0: none) is the collection's.
    """
    if expiry and expiry <= _RELATIVE_EXPIRY:
        expiry += int(wall)
    elif expiry:
        expiry = max(expiry, int(wall))
    if max_ttl and (not expiry or expiry > wall + max_ttl):
        expiry = int(wall) + max_ttl
    return expiry


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _number(_: str) -> int:
    return 0


_decoder: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_number, parse_float=_number
)
_FIRST_OF_JSON: Final = frozenset(b' \t\r\n{["-0123456789tfn')


def is_json(value: bytes) -> bool:
    """Tell whether a server takes *value* for JSON (any value, not only objects)."""
    if not value or value[0] not in _FIRST_OF_JSON:
        return False
    try:
        # Not by json.loads: it takes a byte order mark and guesses other encodings.
        text = value.decode()
        _, end = _decoder.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except (ValueError, RecursionError):
        return False
    return not text[end:].strip(" \t\r\n")


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
        """Read a manifest as `encode` writes it (JSON already parsed)."""
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
        return manifest

    def find(self, scope: str, name: str) -> Collection | None:
        """Find a collection by its names."""
        for collection in self.collections.values():
            if collection.scope == scope and collection.name == name:
                return collection
        return None

    def encode(self, visible: Iterable[int] | None = None) -> bytes:
        """Give the manifest as JSON, with the *visible* collections only (None: all)."""
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


class Vault:
    """All documents of one bucket."""

    def __init__(self, vbuckets: int, generator: Generator, quota: int = 0) -> None:
        self.vbuckets = [
            VBucket(number, int.from_bytes(generator.randbytes(6))) for number in range(vbuckets)
        ]
        self.manifest = Manifest()
        self.quota = quota
        """Bytes of values that fit, 0 for no limit; see `full`."""

    def set_manifest(self, manifest: Manifest) -> None:
        """Take another manifest: what was in collections that are gone is gone."""
        self.manifest = manifest
        for vbucket in self.vbuckets:
            for document_id in list(vbucket.documents):
                if document_id[0] not in manifest.collections:
                    vbucket.size -= len(vbucket.documents.pop(document_id).value)

    def used(self) -> int:
        """Bytes of all values."""
        return sum(vbucket.size for vbucket in self.vbuckets)

    def full(self, size: int) -> bool:
        """Tell whether *size* more bytes do not fit any more."""
        return bool(self.quota) and self.used() + size > self.quota
