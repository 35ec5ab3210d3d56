"""One vbucket: its documents, CAS, sequence numbers, and what it is on each node."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from couchloop.embedded.storage.document import Document, tombstone

_CAS_MASK: Final = ~0xFFFF
_FIRST_SEQNO: Final = 4
"""A fresh vbucket has seen its manifest's events."""

DocumentId = tuple[int, bytes]
"""Collection id and key."""


class State(Enum):
    """What a vbucket is on one node; a node that has no copy has no state."""

    ACTIVE = 1
    REPLICA = 2
    PENDING = 3
    DEAD = 4


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
        """Return the living document; one whose time has come becomes a tombstone."""
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
