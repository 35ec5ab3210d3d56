"""What the documents of a world really were: each version with the instants between which it held.

It is written down where versions come to be: where the active copy of a vbucket tells its replicas
of a change, and where a copy begins to lead. So a durable write counts when it is committed, by
whomever, and what a failover sets back, or the loss of a collection takes away, is seen at once.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from zlib import crc32

from couchloop.durability import DurabilityLevel
from couchloop.embedded import Bucket
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.partition import NO_NODE, Partition
from couchloop.embedded.storage.vbucket import Change, DocumentId, Mutation, VBucket
from couchloop.hot.batch import Bulk
from couchloop.hot.operation import CollectionName

if TYPE_CHECKING:
    from tests.simulation.events import Loop
    from tests.simulation.history import Call

PREFIX: Final = "d-"
"""With this the keys of all documents begin that are judged here."""
STAMP: Final = 2_000_000_000
"""Epoch seconds; what sets an expiry carries this plus the number of its call."""
GONE: Final = -1
"""In place of a CAS: the collection does not exist (any more)."""
_TOKEN: Final = re.compile(r"<(\d+):(x*)>")


def token(number: int) -> str:
    """Return what the call of that number adds to a log."""
    return f"<{number}:{'x' * (number % 50)}>"


def numbers_in(text: str) -> list[int] | None:
    """Return the numbers of the calls that have written a log; None: it is not made of tokens."""
    numbers = [int(found[1]) for found in _TOKEN.finditer(text)]
    return numbers if "".join(map(token, numbers)) == text else None


def is_document(key: bytes) -> bool:
    """Whether a key, with the number of its collection or without, is judged here."""
    return PREFIX.encode() in key[:8]


class Place(NamedTuple):
    """Where a document is, as its users know it."""

    names: CollectionName | None
    key: str

    def __str__(self) -> str:
        return self.key if self.names is None else f"{self.names}/{self.key}"

    def has(self, other: Place) -> bool:
        """Whether *other* is this, or is part of a large batch which this stands for."""
        return self == other or (self.names == other.names and self.kind == other.kind == "many")

    @property
    def kind(self) -> str:
        """What is kept there: `doc`, `log`, `list`, `sub`, `lock`, `many` or `flow`."""
        return self.key.split("-")[1]


@dataclass(slots=True, eq=False)
class Version:
    """What a document was for a while: absent if it has no CAS, GONE with its collection."""

    cas: int
    body: bytes
    number: int
    """Of the call that made it so; 0: none is known."""
    born: int
    expiry: int = 0
    seqno: int = 0
    died: int | None = None
    died_at: float = inf
    """Seconds."""
    settled_at: float = 0.0
    """When it came to be, was committed again, or a copy that did not have it on its disk began to
    lead: seconds; inf: it is to be committed again."""
    is_safe: bool = False
    """Whether a majority of the copies had it when it became visible."""
    is_lost: bool = False
    """Whether it was set back although it should not: by a failover although a copy had it that
    could have taken over, by a restart although it had waited for disks."""

    @property
    def value(self) -> Any:
        """What was stored."""
        return json.loads(self.body)


@dataclass(slots=True)
class Collection:
    """A collection, as long as it is one: when it is made again it is another."""

    names: CollectionName
    born: int


@dataclass(slots=True)
class Absence:
    """When a collection was not there, or not everywhere: seconds."""

    since: float
    until: float = field(default=float("inf"))


def _waits_for_disks(call: Call) -> bool:
    """Whether a call's write is to survive a restart of the node that leads."""
    level = call.act.durability if call.act is not None else None
    return isinstance(level, DurabilityLevel) and level > DurabilityLevel.MAJORITY


class Truth:
    """What the documents of one world were.

    Args:
        loop: the world's time.
        bucket: which has the documents.
        violate: takes the name of a promise that was broken, and how.
        calls: all calls by their numbers.
    """

    def __init__(
        self,
        loop: Loop,
        bucket: Bucket,
        violate: Callable[[str, object], None],
        calls: dict[int, Call],
    ) -> None:
        self.versions: list[dict[DocumentId, list[Version]]] = [{} for _ in bucket.partitions]
        """Of each vbucket."""
        self.by_cas: dict[tuple[int, bytes, int], Version] = {}
        self.absences: dict[CollectionName, list[Absence]] = defaultdict(list)
        self.collections: dict[int, Collection] = {}
        self.losses = 0
        """Versions that failovers have set back."""
        self.popped: Counter[tuple[Place, int]] = Counter()
        """How often each value was taken out of a queue, as the server has it."""
        self.locks: dict[DocumentId, tuple[int, float]] = {}
        """The CAS of each lock that holds, and until when, in seconds."""
        self.on_durable: Callable[[int], None] = lambda _: None
        """Called with the node when a durable write was committed."""
        self._is_restart = False
        """Whether a copy that leads begins again with what is on its disk."""
        self._moved = [0] * len(bucket.partitions)
        """Tick at which other copies were given to each vbucket, or others took over."""
        self._short_until = [0.0] * len(bucket.partitions)
        """Until when a node was missing in each vbucket's chain, or has been missing at least."""
        self.unlocks: set[tuple[DocumentId, int]] = set()
        self._loop, self._bucket, self._violate, self._calls = loop, bucket, violate, calls
        self._watch(bucket)

    def _watch(self, bucket: Bucket) -> None:
        truth = self

        class Watched(Partition):
            """A vbucket of which is told what becomes of it."""

            __slots__ = ()

            def _send(self, change: Change) -> None:
                super()._send(change)
                if type(change) is Mutation and is_document(change.document_id[1]):
                    truth.published(self, change.document_id, change.document)

            def crash(self, node_id: int, *, persistent: bool) -> None:
                truth._is_restart = True
                super().crash(node_id, persistent=persistent)
                truth._is_restart = False

            def _lead(self, former: VBucket | None) -> None:
                truth.moved(self)
                truth.led(self)
                super()._lead(former)
                # The node may know of collections what the replica had not heard.
                truth.led(self)

        for partition in bucket.partitions:
            partition.__class__ = Watched

    # Copies

    def moved(self, partition: Partition) -> None:
        """Take note that a vbucket has another chain, or another leader."""
        self._moved[partition.number] = self._loop.tick()
        self._short_until[partition.number] = self._loop.now()
        leader = partition.leader
        if leader is not None:
            persisted = leader.persisted()
            for document_id, versions in self.versions[partition.number].items():
                document = leader.documents.get(document_id)
                if document is not None and document.seqno > persisted:
                    versions[-1].settled_at = self._loop.now()

    @property
    def chain_length(self) -> int:
        """How many copies of each document there should be."""
        return self._bucket.replicas + 1

    def lacked_nodes(self, key: str, since: float) -> bool:
        """Whether there may have been too few copies of a document at some time since then."""
        number = self._partition((0, key.encode()))
        partition = self._bucket.partitions[number]
        return NO_NODE in partition.chain or self._short_until[number] >= since

    def is_in_doubt(self, place: Place) -> bool:
        """Whether a write waits for a majority that it cannot get: there are too few nodes."""
        partition = self._bucket.partitions[self._partition((0, place.key.encode()))]
        leader = partition.leader
        if leader is None or NO_NODE not in partition.chain:
            return False
        return any(
            prepared.taken_over
            for document_id, prepared in leader.prepared.items()
            if self.place(document_id) == place
        )

    def copies_since(self, key: str, version: Version) -> tuple[int, int] | None:
        """Return how many copies have a version, or a later one, and how many of them on disk.

        None: others took over since.
        """
        partition = self._bucket.partitions[self._partition((0, key.encode()))]
        partition.settle()
        if self._moved[partition.number] > version.born:
            return None
        found = [partition.copies.get(node_id) for node_id in partition.chain]
        copies = [copy for copy in found if copy is not None and copy.seqno >= version.seqno]
        return len(copies), sum(copy.persisted() >= version.seqno for copy in copies)

    # Collections

    def made(self, uid: int, names: CollectionName) -> None:
        """Take note that a collection was made."""
        self.collections[uid] = Collection(names, self._loop.tick())
        self._loop.note(f"{names} is collection {uid}")

    def dropped(self, names: CollectionName) -> None:
        """Take note that a collection was dropped, on some nodes or all."""
        self.absences[names].append(Absence(self._loop.now()))
        self.look()

    def is_everywhere(self, names: CollectionName) -> None:
        """Take note that all nodes know a collection which was made again."""
        for absence in self.absences[names]:
            absence.until = min(absence.until, self._loop.now())
        self.look()

    def was_absent(self, names: CollectionName | None, since: float) -> bool:
        """Whether a collection was missing on some node at some time since then."""
        if names is None:
            return False
        return any(absence.until >= since for absence in self.absences[names])

    def look(self) -> None:
        """Take note of what has become of all documents without a change of their own."""
        for partition in self._bucket.partitions:
            if partition.used:
                partition.settle()
                self.led(partition)

    # Versions

    def number_of(self, key: str) -> int:
        """Return the vbucket of a document."""
        return self._partition((0, key.encode()))

    def has_moved(self, key: str, version: Version) -> bool:
        """Whether other copies were given to a vbucket, or others took over, since a version."""
        return self._moved[self.number_of(key)] > version.born

    def living(self, names: CollectionName | None) -> Iterator[tuple[str, Version]]:
        """Return the documents that a collection has now, with their keys."""
        for versions_of in self.versions:
            for document_id, versions in versions_of.items():
                if versions[-1].cas > 0 and self.place(document_id).names == names:
                    yield document_id[1].decode(), versions[-1]

    def place(self, document_id: DocumentId) -> Place:
        """Return where users see that document."""
        collection = self.collections.get(document_id[0])
        names = None if collection is None else collection.names
        return Place(names, document_id[1].decode())

    def of(self, place: Place) -> Iterator[list[Version]]:
        """Return the versions of a document, of one collection of that name after another."""
        if place.names is None:
            yield self._versions((0, place.key.encode()))
        for uid, collection in self.collections.items():
            if collection.names == place.names:
                yield self._versions((uid, place.key.encode()))

    def find(self, place: Place, cas: int) -> Version | None:
        """Return the version with that CAS, in whichever collection of that name."""
        key = place.key.encode()
        uids = [0] if place.names is None else list(self.collections)
        for uid in uids:
            if place.names is None or self.collections[uid].names == place.names:
                found = self.by_cas.get((uid, key, cas))
                if found is not None:
                    return found
        return None

    def held(self, place: Place, since: int, wanted: Callable[[Version], bool]) -> bool:
        """Whether the document was in such a state at some time since then."""
        for versions in self.of(place):
            for version in reversed(versions):
                if version.died is not None and version.died < since:
                    break
                if version.cas != GONE and wanted(version):
                    return True
        return False

    def _versions(self, document_id: DocumentId) -> list[Version]:
        partition = self._bucket.partitions[self._partition(document_id)]
        versions = self.versions[partition.number].get(document_id)
        if versions is None:
            collection = self.collections.get(document_id[0])
            first = Version(0, b"", 0, 0 if collection is None else collection.born)
            versions = self.versions[partition.number][document_id] = [first]
            # It may have been asked for when the collection was gone.
            copy = partition.leader
            if copy is not None and document_id[0] not in copy.manifest.collections:
                self._append(versions, Version(GONE, b"", 0, self._loop.tick()))
        return versions

    def _partition(self, document_id: DocumentId) -> int:
        return (crc32(document_id[1]) >> 16 & 0x7FFF) % len(self._bucket.partitions)

    def _append(self, versions: list[Version], version: Version) -> None:
        versions[-1].died = version.born
        versions[-1].died_at = version.settled_at = self._loop.now()
        versions.append(version)

    def _copies_with(self, partition: Partition, document_id: DocumentId, cas: int) -> list[int]:
        """Return the nodes of the chain whose copies have that version, committed or prepared."""
        found = []
        for node_id in partition.chain:
            copy = partition.copies.get(node_id)
            if copy is None:
                continue
            document, prepared = copy.documents.get(document_id), copy.prepared.get(document_id)
            if cas in {document and document.cas, prepared and prepared.document.cas}:
                found.append(node_id)
        return found

    def published(self, partition: Partition, document_id: DocumentId, document: Document) -> None:
        """Take note of a new version, or of one that is committed again after a failover."""
        versions = self._versions(document_id)
        before = versions[-1]
        if before.cas == document.cas:
            # It is committed again: what is on the disk until then is no more than a promise.
            before.settled_at = self._loop.now()
            return
        again = self.by_cas.get((*document_id, document.cas))
        if again is not None:
            self._append(versions, self._revived(document_id, again))
            return
        place = self.place(document_id)
        version = Version(
            document.cas, document.body(), 0, self._loop.tick(), document.expiry, document.seqno
        )
        if document.deleted:
            version.cas, version.body = 0, b""
        nodes = self._copies_with(partition, document_id, document.cas)
        version.is_safe = len(nodes) > len(partition.chain) // 2
        self._append(versions, version)
        self.by_cas[*document_id, document.cas] = version
        if version.is_safe and len(partition.chain) > 1:
            self.on_durable(partition.chain[0])
        self._released(place, document_id, version, before)

    def _released(
        self, place: Place, document_id: DocumentId, version: Version, before: Version
    ) -> None:
        """Find who has made a version, and whether it is what that was to make."""
        version.number = self._maker(place, before, version)
        call = self._calls.get(version.number)
        lock = self.locks.pop(document_id, None)
        cas, until = lock or (0, 0.0)
        if until > self._loop.now() and cas != (call.act.cas if call and call.act else 0):
            self._violate("lock", f"{place} was changed by {call} while it was locked")
        self._loop.note(f"{place} is {version.cas:x} by call {version.number}")
        if not version.number:
            return
        if call is None or call.act is None or not call.act.place.has(place):
            self._violate("wrong place", f"{place} was changed by {call}, which is for another")
            return
        call.executed.append(cast("Any", version))
        if len(call.executed) > 1 and call.act.place == place and not isinstance(call.op, Bulk):
            self._violate("done twice", call)
        if call.is_undone:
            self._violate("error class", f"{call} is done after it was told as not done")

    def _maker(self, place: Place, before: Version, after: Version) -> int:
        """Return the number of the call that turned one version into the next; 0: unknown."""
        try:
            if after.body == before.body and after.expiry >= STAMP:
                return after.expiry - STAMP
            if place.kind == "log":
                return self._maker_of_log(place, before.body.decode(), after.body.decode())
            if place.kind == "list":
                return self._maker_of_list(place, before, after.value)
            if place.kind == "flow" and not after.body:
                # What removes a document does not say who it is.
                return 0
            value = after.value
            if place.kind == "sub":
                total = before.value["total"] if before.body else 0
                if value["n"] != value["mirror"] or value["total"] != total + 1:
                    self._violate("half", f"{place} became {value} of {before.body!r}")
            if (value.get("k"), value.get("in")) not in {
                (place.key, str(place.names)),
                (None, None),
            }:
                self._violate("wrong place", f"{place} has {value}")
            number: int = value["n"]
        except (ValueError, KeyError, TypeError) as error:
            self._violate("half", f"{place} became {after.body!r} of {before.body!r}: {error!r}")
            return 0
        return number

    def _maker_of_log(self, place: Place, before: str, after: str) -> int:
        added = ""
        if after.startswith(before):
            added = after[len(before) :]
        elif after.endswith(before):
            added = after[: -len(before)]
        numbers = numbers_in(added)
        if numbers is None or len(numbers) != 1:
            self._violate("half", f"{place} became {after!r} of {before!r}")
            return 0
        return numbers[0]

    def _maker_of_list(self, place: Place, before: Version, after: list[int]) -> int:
        values: list[int] = before.value if before.body else []
        if after == values[:-1]:
            self.popped[place, values[-1]] += 1
            return 0
        if after[1:] == values:
            return after[0]
        if after[:-1] == values:
            return after[-1]
        self._violate("half", f"{place} became {after!r} of {values!r}")
        return 0

    def _revived(self, document_id: DocumentId, older: Version) -> Version:
        """Return a version once more, from now on."""
        again = Version(
            older.cas,
            older.body,
            older.number,
            self._loop.tick(),
            older.expiry,
            older.seqno,
            is_safe=older.is_safe,
        )
        if older.cas:
            self.by_cas[*document_id, older.cas] = again
        return again

    def led(self, partition: Partition) -> None:
        """Compare what a copy has that leads now, or has a new manifest, with what is known."""
        leader = partition.leader
        if leader is None:
            return
        for document_id, versions in self.versions[partition.number].items():
            newest = versions[-1]
            document = leader.documents.get(document_id)
            if document_id[0] not in leader.manifest.collections:
                if newest.cas != GONE:
                    self._append(versions, Version(GONE, b"", 0, self._loop.tick()))
                continue
            if document is None or not document.locked(self._loop.now()):
                self.locks.pop(document_id, None)
            cas = 0 if document is None or document.deleted else document.cas
            prepared = leader.prepared.get(document_id)
            if cas == newest.cas:
                continue
            if prepared is not None and prepared.document.cas == newest.cas:
                # It is to be committed again, by when is not known: no scan sees it until then.
                newest.settled_at = inf
                continue
            self._set_back(partition, document_id, cas)

    def _set_back(self, partition: Partition, document_id: DocumentId, cas: int) -> None:
        """Take note that what replicas did not have is lost."""
        versions = self._versions(document_id)
        older = self.by_cas.get((*document_id, cas), versions[0]) if cas else versions[0]
        down = self._bucket.conditions.down
        place = self.place(document_id)
        for version in reversed(versions):
            if version is older or version.cas == older.cas:
                break
            if version.cas == GONE:
                # A leader that lags behind the manifest still has the collection that was dropped:
                # what was in it is nobody's any more, and may stand there as it was at any time.
                break
            call = self._calls.get(version.number)
            if self._is_restart:
                # Without a failover, a majority that had it in memory is none.
                version.is_lost |= call is not None and _waits_for_disks(call)
            else:
                had = self._copies_with(partition, document_id, version.cas)
                version.is_lost |= bool(version.cas > 0 and set(had) - down)
            self.losses += 1
            if version.is_lost and call is not None and call.is_promised:
                self._violate("lost", f"{call} was durable, and is lost")
        self._loop.note(f"{place} is set back from {versions[-1].cas:x} to {cas:x}")
        absent = Version(0, b"", 0, self._loop.tick())
        self._append(versions, self._revived(document_id, older) if cas else absent)

    # Locks

    def locked(self, document_id: DocumentId, document: Document) -> Version:
        """Take note that a document was locked: it has another CAS since."""
        now = self._loop.now()
        lock = self.locks.get(document_id)
        place = self.place(document_id)
        if lock is not None and lock[1] > now:
            self._violate("lock", f"{place} was locked while it was locked")
        self.locks[document_id] = document.cas, document.locked_until
        versions = self._versions(document_id)
        before = versions[-1]
        version = Version(
            document.cas, before.body, before.number, self._loop.tick(), before.expiry
        )
        self._append(versions, version)
        self.by_cas[*document_id, document.cas] = version
        self._loop.note(f"{place} is locked as {document.cas:x}")
        return version

    def unlocked(self, document_id: DocumentId, cas: int) -> None:
        """Take note that a document was unlocked by the CAS of its lock."""
        self.locks.pop(document_id, None)
        self.unlocks.add((document_id, cas))
