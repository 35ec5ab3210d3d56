"""The copy of one vbucket that one node has: documents, CAS, sequence numbers, promised writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from couchloop.embedded.clock import Clock
from couchloop.embedded.storage.document import Document, tombstone
from couchloop.embedded.storage.manifest import Manifest
from couchloop.embedded.storage.scan import Scan

_CAS_MASK: Final = ~0xFFFF
_FIRST_SEQNO: Final = 4
"""A fresh vbucket has seen its manifest's events."""

NOTHING: Final = Document(b"", 0)
"""Stands for a document where there is none."""

DocumentId = tuple[int, bytes]
"""Collection id and key."""


class State(Enum):
    """What a vbucket is on one node; a node that has no copy has no state."""

    ACTIVE = 1
    REPLICA = 2
    PENDING = 3
    DEAD = 4


class Outcome(Enum):
    """What became of a synchronous write, as far as its node knows."""

    WAITING = 1
    COMMITTED = 2
    UNKNOWN = 3
    """Given up, or left to another node."""


@dataclass(slots=True)
class Lag:
    """How long something takes. One object for all that it holds for, so it can change."""

    seconds: float = 0.0
    """Infinite: for ever, until it is changed."""


@dataclass(slots=True)
class Prepared:
    """A synchronous write that waits for the replicas: readers do not see it yet."""

    document: Document
    level: int
    seqno: int
    """Of the preparation, which counts as a change too."""
    deadline: float | None = None
    """Monotonic seconds; None: it is never given up."""
    taken_over: bool = False
    """Whether another node prepared it: then nobody knows whether it was committed there."""
    ready: bool = True
    """Whether answers of replicas count: not before what came together with the write was done."""
    outcome: Outcome = Outcome.WAITING

    def release(self) -> None:
        """Make the answers of replicas count from now on."""
        self.ready = True


class Mutation(NamedTuple):
    """A change for replicas: a version of a document (which commits what was prepared)."""

    document_id: DocumentId
    document: Document

    def apply(self, copy: VBucket) -> None:
        """Do the change on a replica."""
        copy.take(self.document_id, self.document)


class Preparation(NamedTuple):
    """A change for replicas: a synchronous write begins."""

    document_id: DocumentId
    prepared: Prepared

    def apply(self, copy: VBucket) -> None:
        """Do the change on a replica."""
        theirs = self.prepared
        copy.follow_to(theirs.seqno)
        copy.high_prepared = theirs.seqno
        copy.prepared[self.document_id] = Prepared(theirs.document, theirs.level, theirs.seqno)


class Abortion(NamedTuple):
    """A change for replicas: a synchronous write was given up."""

    document_id: DocumentId
    seqno: int

    def apply(self, copy: VBucket) -> None:
        """Do the change on a replica."""
        copy.follow_to(self.seqno)
        copy.prepared.pop(self.document_id, None)


class NewManifest(NamedTuple):
    """A change for replicas: there are other scopes and collections."""

    manifest: Manifest

    def apply(self, copy: VBucket) -> None:
        """Do the change on a replica."""
        copy.set_manifest(self.manifest)


class Advance(NamedTuple):
    """A change for replicas: up to here nothing more has been left."""

    seqno: int

    def apply(self, copy: VBucket) -> None:
        """Do the change on a replica."""
        if self.seqno > copy.seqno:
            copy.follow_to(self.seqno)


Change = Mutation | Preparation | Abortion | NewManifest | Advance


@dataclass(slots=True)
class _Unwritten:
    """A change that is not on the disk yet, and what a crash goes back to."""

    since: float
    """Monotonic seconds."""
    seqno: int
    document_id: DocumentId | None = None
    previous: Document | None = None
    prepared: Prepared | None = None


@dataclass(slots=True)
class VBucket:
    """The copy of one vbucket that one node has."""

    number: int
    uuid: int
    clock: Clock
    manifest: Manifest
    """The scopes and collections that this copy knows."""
    disk: Lag
    """How long it takes until a change is on the node's disk."""
    state: State = State.ACTIVE
    seqno: int = _FIRST_SEQNO
    documents: dict[DocumentId, Document] = field(default_factory=dict)
    failover_log: list[tuple[int, int]] = field(default_factory=list)
    """(uuid, first seqno), the newest first."""
    last_cas: int = 0
    prepared: dict[DocumentId, Prepared] = field(default_factory=dict)
    """Synchronous writes that wait for the replicas, or for the word of the active node."""
    high_prepared: int = 0
    """The seqno of the latest preparation."""
    size: int = 0
    """Bytes of all values."""
    scans: dict[bytes, Scan] = field(default_factory=dict)
    """Range scans that go on, by their uuids."""
    tell: Callable[[Change], None] | None = None
    """What a copy that others follow does with each change."""
    _unwritten: deque[_Unwritten] = field(default_factory=deque)
    """The changes that are not on the disk yet."""
    _kept: int | None = None
    """The seqno up to which everything was on the disk when the node halted; None: it writes."""

    def __post_init__(self) -> None:
        """Begin the history of failovers."""
        self.failover_log.append((self.uuid, 0))

    # --- what clients ask -----------------------------------------------------------------------

    def next_cas(self, wall: float) -> int:
        """Hybrid logical clock: nanoseconds of wall time, but always more than the last one."""
        nanoseconds = int(wall * 1_000_000_000)
        self.last_cas = max(self.last_cas + 1, nanoseconds & _CAS_MASK)
        return self.last_cas

    def token(self, document: Document) -> bytes:
        """Mutation token of a write."""
        return self.uuid.to_bytes(8) + document.seqno.to_bytes(8)

    def find(self, document_id: DocumentId) -> Document | None:
        """Return the living document; one whose time has come becomes a tombstone."""
        document = self.documents.get(document_id)
        if document is None or document.deleted:
            return None
        if document.expiry and document.expiry <= (wall := self.clock.wall()):
            if self.state is State.ACTIVE and document_id not in self.prepared:
                # Replicas wait until they are told.
                self.put(document_id, tombstone(document, wall))
            return None
        return document

    def put(
        self,
        document_id: DocumentId,
        document: Document,
        stamped: Callable[[Document], None] | None = None,
    ) -> None:
        """Store a new version: it gets its CAS, seqno and time.

        *stamped* is called once it has them, before anybody sees it.
        """
        self._stamp(document_id, document)
        if stamped is not None:
            stamped(document)
        self._publish(document_id, document)

    def prepare(
        self,
        document_id: DocumentId,
        document: Document,
        level: int,
        deadline: float,
        stamped: Callable[[Document], None] | None = None,
    ) -> Prepared:
        """Begin a synchronous write; arguments as in `put`, *deadline* in monotonic seconds."""
        self._stamp(document_id, document)
        if stamped is not None:
            stamped(document)
        prepared = Prepared(document, level, self.seqno, deadline, ready=False)
        self.high_prepared = self.seqno
        self.prepared[document_id] = prepared
        self._tell(Preparation(document_id, prepared))
        return prepared

    def lock(self, document_id: DocumentId, document: Document, until: float) -> Document:
        """Lock a document *until* then (monotonic seconds): of that replicas hear nothing."""
        locked = replace(document, locked_until=until, cas=self.next_cas(self.clock.wall()))
        self.documents[document_id] = locked
        return locked

    def unlock(self, document_id: DocumentId, document: Document) -> None:
        """End a lock; the document's CAS stays the lock's."""
        self.documents[document_id] = replace(document, locked_until=0.0)

    def evict(self) -> None:
        """Forget the document that was written first."""
        document_id = next(iter(self.documents))
        self.size -= len(self.documents.pop(document_id).value)

    def persisted(self) -> int:
        """Return the seqno up to which everything is on the disk."""
        if self._kept is not None:
            # What is not there yet is what a crash goes back to.
            return self._kept
        unwritten, now = self._unwritten, self.clock.now()
        while unwritten and unwritten[0].since + self.disk.seconds <= now:
            unwritten.popleft()
        return unwritten[0].seqno - 1 if unwritten else self.seqno

    def next_persisted(self) -> float | None:
        """Return when the next change is on the disk (monotonic seconds), None if none will be."""
        self.persisted()
        if self._kept is not None:
            return None
        return self._unwritten[0].since + self.disk.seconds if self._unwritten else None

    def on_disk(self) -> dict[DocumentId, Document]:
        """Return the documents as they are on the disk: some may be older versions."""
        if self.persisted() == self.seqno:
            return self.documents
        documents = dict(self.documents)
        for change in reversed(self._unwritten):
            if change.document_id is None:
                continue
            documents.pop(change.document_id, None)
            if change.previous is not None:
                documents[change.document_id] = change.previous
        return documents

    # --- what those who lead the copies do ------------------------------------------------------

    def commit(self, document_id: DocumentId) -> None:
        """Commit what was prepared: everybody sees it."""
        prepared = self.prepared.pop(document_id)
        prepared.outcome = Outcome.COMMITTED
        self._count()
        prepared.document.seqno = self.seqno
        if self._unwritten:
            self._unwritten[-1].prepared = prepared
        self._publish(document_id, prepared.document)

    def abort(self, document_id: DocumentId) -> None:
        """Abort what was prepared."""
        self.prepared.pop(document_id).outcome = Outcome.UNKNOWN
        self._count()
        self._tell(Abortion(document_id, self.seqno))

    def set_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest: what was in collections that are gone is gone."""
        self.manifest = manifest
        for document_id in list(self.documents):
            if document_id[0] not in manifest.collections:
                self.size -= len(self.documents.pop(document_id).value)
        for document_id in list(self.prepared):
            if document_id[0] not in manifest.collections:
                self.prepared.pop(document_id).outcome = Outcome.UNKNOWN
        self._tell(NewManifest(manifest))

    def resign(self) -> None:
        """Lead no more: what waits here is left to another node."""
        self.tell = None
        self.scans.clear()
        for prepared in self.prepared.values():
            prepared.outcome = Outcome.UNKNOWN

    def halt(self) -> None:
        """Write nothing more: what is not on the disk now never will be."""
        self._kept = self.persisted()

    def go_on(self) -> None:
        """Write again, as if there had been no halt."""
        self._kept = None

    def crash(self, *, persistent: bool) -> bool:
        """Begin again with what was on the disk at `halt`; return whether a change is lost.

        Locks are lost in any case. What was prepared is on the disk like everything else.
        """
        persisted = 0
        if persistent:
            persisted = self.seqno if self._kept is None else self._kept
        self._kept = None
        is_lost = persisted != self.seqno
        if not persistent:
            self.documents.clear()
            self._unwritten.clear()
            self.prepared.clear()
            self.size = 0
        prepared = dict(self.prepared)
        while self._unwritten:
            change = self._unwritten.pop()
            if change.document_id is not None:
                self._go_back(change.document_id, change.previous)
                if change.prepared is not None:
                    prepared[change.document_id] = change.prepared
        self._unlock_all()
        self.seqno = persisted
        self.high_prepared = min(self.high_prepared, persisted)
        self._adopt({name: each for name, each in prepared.items() if each.seqno <= persisted})
        self.resign()
        self.set_manifest(self.manifest)
        return is_lost

    def _go_back(self, document_id: DocumentId, previous: Document | None) -> None:
        self.size -= len(self.documents.pop(document_id, NOTHING).value)
        if previous is not None:
            self.documents[document_id] = previous
            self.size += len(previous.value)

    def _unlock_all(self) -> None:
        for document_id, document in self.documents.items():
            if document.locked_until:
                self.documents[document_id] = replace(document, locked_until=0.0)

    def promote(self, uuid: int) -> None:
        """Begin a new branch of history, as a replica that takes over does."""
        self.uuid = uuid
        self.failover_log.insert(0, (uuid, self.seqno))
        self._adopt(self.prepared)

    def take_over(self, former: VBucket) -> None:
        """Copy everything from the node that led, in an orderly way: only locks are lost."""
        self.uuid, self.failover_log = former.uuid, list(former.failover_log)
        self.seqno, self.high_prepared = former.seqno, former.high_prepared
        self.last_cas, self.size, self.manifest = former.last_cas, former.size, former.manifest
        self.documents = dict(former.documents)
        self._unlock_all()
        self._unwritten.clear()
        self._kept = None
        self._adopt(former.prepared)

    def _adopt(self, prepared: dict[DocumentId, Prepared]) -> None:
        self.prepared = {
            document_id: Prepared(each.document, each.level, each.seqno, taken_over=True)
            for document_id, each in prepared.items()
        }

    # --- what replicas do -----------------------------------------------------------------------

    def take(self, document_id: DocumentId, document: Document) -> None:
        """Copy a version of a document from the node that leads."""
        self.follow_to(document.seqno)
        self.last_cas = max(self.last_cas, document.cas)
        self.prepared.pop(document_id, None)
        self._store(document_id, document)

    def follow_to(self, seqno: int) -> None:
        """Record the seqno of a change."""
        self.seqno = seqno
        self._note_unwritten()

    def continues(self, leader: VBucket) -> bool:
        """Whether this copy is a former state of *leader*, so the difference is enough."""
        began: float = float("inf")
        for uuid, seqno in leader.failover_log:
            if uuid == self.uuid:
                return self.seqno <= began
            began = seqno
        return False

    def missing_in(self, copy: VBucket) -> list[Change]:
        """Return the changes that a replica has not got, in their order."""
        seqno = copy.seqno
        # A commit is among the changes; of what was given up there is no trace.
        given_up: list[Change] = [
            Abortion(document_id, seqno)
            for document_id in copy.prepared
            if document_id not in self.prepared
        ]
        numbered: list[tuple[int, Change]] = [
            (document.seqno, Mutation(document_id, document))
            for document_id, document in self.documents.items()
            if document.seqno > seqno
        ]
        numbered += [
            (prepared.seqno, Preparation(document_id, prepared))
            for document_id, prepared in self.prepared.items()
            if prepared.seqno > seqno
        ]
        changes = [change for _, change in sorted(numbered, key=lambda each: each[0])]
        return [*given_up, *changes, Advance(self.seqno)]

    # --- inside ---------------------------------------------------------------------------------

    def _stamp(self, document_id: DocumentId, document: Document) -> None:
        self._count()
        previous = self.documents.get(document_id)
        document.seqno = self.seqno
        document.modified = self.clock.wall()
        document.cas = self.next_cas(document.modified)
        document.rev_seqno = previous.rev_seqno + 1 if previous else 1

    def _publish(self, document_id: DocumentId, document: Document) -> None:
        self._store(document_id, document)
        self._tell(Mutation(document_id, document))

    def _store(self, document_id: DocumentId, document: Document) -> None:
        previous = self.documents.get(document_id)
        if self._unwritten:
            change = self._unwritten[-1]
            change.document_id, change.previous = document_id, previous
        self.documents[document_id] = document
        self.size += len(document.value) - (len(previous.value) if previous else 0)

    def _count(self) -> None:
        self.seqno += 1
        self._note_unwritten()

    def _note_unwritten(self) -> None:
        if self.disk.seconds or self._unwritten:
            self._unwritten.append(_Unwritten(self.clock.now(), self.seqno))

    def _tell(self, change: Change) -> None:
        if self.tell is not None:
            self.tell(change)
