"""The documents of a keyspace: found by key, gone over in the order of keys, written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from zlib import crc32

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.texts import NotJsonError, decode_stored
from couchloop.embedded.sqlpp.values import Binary, Value
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.document import Document, absolute_expiry, is_json, tombstone
from couchloop.embedded.storage.manifest import Collection
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.wire.constants import Datatype

MAX_KEY: Final = 250
"""Bytes of the longest key."""


class Found(NamedTuple):
    """A document as a statement sees it."""

    key: str
    value: Value
    meta: dict[str, Any]


class WriteError(Exception):
    """A document cannot be written.

    Args:
        cause: what stands behind "cause" in the answer.
        code: the `code` of the error's reason.
    """

    def __init__(self, cause: str, code: int) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A collection whose documents statements read and write."""

    bucket: Bucket
    collection: Collection

    @property
    def path(self) -> str:
        """What META().keyspace says, and errors do: `default:b`, `default:b.s.c`."""
        return f"default:{self.name}"

    @property
    def name(self) -> str:
        """The same without the name space."""
        return ".".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in it."""
        if self.collection.uid == 0:
            return (self.bucket.name,)
        return (self.bucket.name, self.collection.scope, self.collection.name)

    def fetch(self, key: str) -> Found | None:
        """Return a document, None if there is none."""
        vbucket = self._vbucket(key)
        if vbucket is None:
            return None
        document = vbucket.find((self.collection.uid, key.encode()))
        return None if document is None else self._shown(key, document)

    def keys(self) -> list[str]:
        """Return all keys in ascending order."""
        found: list[str] = []
        for number, partition in enumerate(self.bucket.partitions):
            vbucket = self._active(number) if partition.used else None
            if vbucket is not None:
                for uid, key in list(vbucket.documents):
                    if uid == self.collection.uid and vbucket.find((uid, key)) is not None:
                        found.append(key.decode("utf-8", "replace"))
        found.sort()
        return found

    def scan(self) -> Iterator[Found]:
        """Return all documents in the order of their keys."""
        for key in self.keys():
            found = self.fetch(key)
            if found is not None:
                yield found

    # --- changes --------------------------------------------------------------------------------

    def insert(self, key: str, data: bytes, expiry: int, *, replace: bool) -> Found:
        """Store a document. Raises WriteError.

        Args:
            key: its key.
            data: its JSON.
            expiry: seconds, relative or absolute; 0: none.
            replace: whether one that is there is replaced.
        """
        vbucket = self._writable(key, len(data))
        previous = vbucket.find((self.collection.uid, key.encode()))
        if previous is not None and not replace:
            raise WriteError(f"Duplicate Key: {key}", 17012)
        self._refuse_locked(vbucket, previous)
        xattrs = {} if previous is None else previous.xattrs
        return self._put(vbucket, key, data, self._expiry(expiry), xattrs, flags=0)

    def update(self, found: Found, data: bytes, expiry: int | None) -> Found:
        """Store another version of a document that was read. Raises WriteError.

        Args:
            found: the document as it was read; if it was changed since, nothing is written.
            data: its new JSON.
            expiry: seconds; None: as it is.
        """
        vbucket = self._writable(found.key, len(data))
        previous = self._unchanged(vbucket, found)
        seconds = previous.expiry if expiry is None else self._expiry(expiry)
        return self._put(vbucket, found.key, data, seconds, previous.xattrs, previous.flags)

    def delete(self, found: Found) -> None:
        """Delete a document that was read. Raises WriteError."""
        vbucket = self._vbucket(found.key)
        assert vbucket is not None
        previous = self._unchanged(vbucket, found)
        timed = not self.bucket.ephemeral
        gone = tombstone(previous, vbucket.clock.wall(), timed=timed)
        vbucket.put((self.collection.uid, found.key.encode()), gone)

    def _put(
        self,
        vbucket: VBucket,
        key: str,
        data: bytes,
        expiry: int,
        xattrs: dict[str, str],
        flags: int,
    ) -> Found:
        datatype = Datatype.JSON if is_json(data) else Datatype.RAW
        document = Document(data, datatype, flags, expiry, xattrs=xattrs)
        vbucket.put((self.collection.uid, key.encode()), document)
        return self._shown(key, document)

    def _unchanged(self, vbucket: VBucket, found: Found) -> Document:
        previous = vbucket.find((self.collection.uid, found.key.encode()))
        if previous is None:
            raise WriteError(f"Key not found : {found.key}", 17014)
        self._refuse_locked(vbucket, previous)
        if previous.cas != found.meta["cas"]:
            raise WriteError(f"CAS mismatch for key: {found.key}", 12033)
        return previous

    def _refuse_locked(self, vbucket: VBucket, document: Document | None) -> None:
        if document is not None and document.locked(vbucket.clock.now()):
            raise WriteError("LOCKED", 12033)

    def _writable(self, key: str, size: int) -> VBucket:
        if not key or len(key.encode()) > MAX_KEY:
            raise WriteError("Key is empty or longer than 250 bytes", 12036)
        vbucket = self._vbucket(key)
        bucket = self.bucket
        refused = bucket.ingress_refusal is not None or not bucket.takes_traffic
        if vbucket is None or refused or bucket.full(size):
            raise WriteError("Temporary failure of the data service", 12036)
        if (self.collection.uid, key.encode()) in vbucket.prepared:
            raise WriteError("A durable write of this document is under way", 12036)
        return vbucket

    def _expiry(self, seconds: int) -> int:
        longest = self.bucket.longest_life(self.collection)
        wall = self.bucket.conditions.clock.wall()
        return absolute_expiry(max(0, seconds), wall, longest)

    def _vbucket(self, key: str) -> VBucket | None:
        count = len(self.bucket.partitions)
        if not count:
            return None
        return self._active(((crc32(key.encode()) >> 16) & 0x7FFF) % count)

    def _active(self, number: int) -> VBucket | None:
        """Return the active copy of a vbucket. Raises QueryError if its node does not answer."""
        chain = self.bucket.partitions[number].chain
        if chain and chain[0] in self.bucket.conditions.down:
            text = f"Error performing bulk get operation - cause: the node of vbucket {number} "
            raise QueryError(12008, f"{text}of bucket {self.bucket.name} is down", running=True)
        return self.bucket.active(number)

    def _shown(self, key: str, document: Document) -> Found:
        body = document.body()
        kind, value = "json", Binary(body)
        if document.datatype & Datatype.JSON:
            try:
                value = decode_stored(body)
            except NotJsonError:
                kind = "base64"
        else:
            kind = "base64"
        meta = {
            "cas": document.cas,
            "expiration": document.expiry,
            "flags": document.flags,
            "id": key,
            "keyspace": self.path,
            "type": kind,
        }
        return Found(key, value, meta)
