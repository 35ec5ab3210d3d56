"""What passes between a connection and the handlers of operations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from couchloop.embedded.storage.document import Collection, DocumentId, State, VBucket
from couchloop.wire.constants import Datatype, Feature, Opcode, Status
from couchloop.wire.frames import Frame

if TYPE_CHECKING:
    from couchloop.embedded.core.connection import ServerConnection
    from couchloop.embedded.kv.commands import Command
    from couchloop.embedded.topology.cluster import Bucket, EmbeddedCluster, Injection, Node


class NodeState(Enum):
    """What a node does with its connections."""

    RUNNING = 1
    STOPPED = 2
    """Connections are closed and new ones refused."""
    HUNG = 3
    """Connections are accepted and kept, requests wait until the node runs again."""


class Answer(NamedTuple):
    """A response but for what every response has (opcode, opaque, duration)."""

    extras: bytes = b""
    key: bytes = b""
    value: bytes = b""
    datatype: int = 0
    cas: int = 0
    status: int = Status.SUCCESS


class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    """An operation is answered with an error.

    Args:
        status: the status with Xerror; the connection finds what to say without.
        context: text for the error's JSON body.
        reference: whether the body carries the id of a log entry.
        manifest_uid: member of the body beside the error.
        value: the whole body, instead of JSON made of the others.
        datatype: of that body.
        early: found before the operation began, which never costs the connection.
    """

    def __init__(
        self,
        status: int,
        context: str = "",
        *,
        reference: bool = False,
        manifest_uid: int | None = None,
        value: bytes = b"",
        datatype: int = 0,
        early: bool = False,
    ) -> None:
        super().__init__(f"status 0x{status:02x} {context}")
        self.status = status
        self.context = context
        self.reference = reference
        self.manifest_uid = manifest_uid
        self.value = value
        self.datatype = datatype
        self.early = early

    def body(self, reference: str) -> bytes:
        """Give the value of the answer; *reference* is the id to use if one is wanted."""
        error: dict[str, str] = {}
        if self.context:
            error["context"] = self.context
        if self.reference:
            error["ref"] = reference
        if not error:
            return self.value
        document: dict[str, object] = {"error": error}
        if self.manifest_uid is not None:
            document["manifest_uid"] = f"{self.manifest_uid:x}"
        return json.dumps(document, separators=(",", ":")).encode()


class Hold(Exception):  # noqa: N818 - not an error: the request waits
    """A request cannot be answered now: it is looked at again when the cluster changes."""


@dataclass(slots=True)
class Durability:
    """Requirements of a synchronous write: level 1 to 3, *timeout* in seconds or None."""

    level: int
    timeout: float | None


class Spec(NamedTuple):
    """One path of a sub-document operation."""

    opcode: Opcode
    flags: int
    path: bytes
    value: bytes


class Plan(NamedTuple):
    """What a sub-document operation is to do."""

    specs: tuple[Spec, ...]
    flags: int
    expiry: int
    multi: bool


@dataclass(slots=True)
class Request:
    """One request on its way, with what its header and framing extras say."""

    connection: ServerConnection
    frame: Frame
    received: float
    """Monotonic seconds."""
    command: Command | None = None
    key: bytes = b""
    """Without the collection prefix."""
    collection_id: int = 0
    state: State = State.ACTIVE
    """State of the vbucket that the operation works on."""
    durability: Durability | None = None
    preserve_ttl: bool = False
    barrier: bool = False
    plan: Plan | None = None
    injection: Injection | None = None
    not_before: float = 0.0
    deadline: float | None = None
    """When a request that waits gives up (monotonic seconds)."""
    abandon: Callable[[], None] | None = None
    """Called when the connection ends while the request waits: set once a write is prepared."""

    @property
    def cluster(self) -> EmbeddedCluster:
        """The cluster that is asked."""
        return self.connection.node.cluster

    @property
    def node(self) -> Node:
        """The node that is asked."""
        return self.connection.node

    @property
    def bucket(self) -> Bucket:
        """The selected bucket. Raises Refusal if there is none."""
        bucket = self.connection.bucket
        if bucket is None:
            raise Refusal(Status.NO_BUCKET)
        return bucket

    @property
    def wall(self) -> float:
        """Now, in seconds since the epoch."""
        return self.cluster.clock.wall()

    @property
    def now(self) -> float:
        """Now, in monotonic seconds."""
        return self.cluster.clock.now()

    @property
    def document_id(self) -> DocumentId:
        """What the store calls the document."""
        return self.collection_id, self.key

    @property
    def collection(self) -> Collection:
        """The collection of the key. Raises Refusal if it is unknown or hidden from the user."""
        manifest = self.bucket.vault.manifest
        collection = manifest.collections.get(self.collection_id)
        user = self.connection.user
        if collection is None:
            raise self.unknown_collection()
        name = self.bucket.name
        hidden = user is not None and not user.sees_collection(
            name, collection.scope, collection.name
        )
        if user is not None and hidden and user.sees(name):
            # The default collection is looked up before the manifest is.
            raise self.unknown_collection(manifest.uid if self.collection_id else 0)
        return collection

    def has(self, feature: Feature) -> bool:
        """Tell whether the connection has negotiated a feature."""
        return feature in self.connection.features

    def vbucket(self, state: State = State.ACTIVE, number: int | None = None) -> VBucket:
        """Give the vbucket of the request (or *number*) if this node has it in *state*.

        Raises Refusal (not my vbucket), or Hold while the vbucket is pending.
        """
        if number is None:
            number = self.frame.vbucket
        if not self.bucket.ready:
            raise Refusal(Status.ETMPFAIL)
        vbuckets = self.bucket.vault.vbuckets
        if number < len(vbuckets):
            vbucket = vbuckets[number]
            found = vbucket.states.get(self.node.node_id)
            if found is state:
                return vbucket
            if found is State.PENDING:
                raise Hold
        raise self.connection.not_my_vbucket()

    def json_datatype(self) -> int:
        """Datatype of a JSON body on this connection."""
        return Datatype.JSON if self.has(Feature.JSON) else Datatype.RAW

    def unknown_collection(self, manifest_uid: int | None = None) -> Refusal:
        """The answer for a collection that does not exist here."""
        return self._unknown(Status.UNKNOWN_COLLECTION, manifest_uid)

    def unknown_scope(self) -> Refusal:
        """The answer for a scope that does not exist here."""
        return self._unknown(Status.UNKNOWN_SCOPE, None)

    def _unknown(self, status: int, manifest_uid: int | None) -> Refusal:
        if manifest_uid is None:
            manifest_uid = self.bucket.vault.manifest.uid
        return Refusal(
            status, "Unknown scope or collection in operation", manifest_uid=manifest_uid
        )

    def require(self, privilege: str, *, here: bool) -> None:
        """Refuse the operation unless the user has *privilege* (*here*: in this collection)."""
        user = self.connection.user
        if user is not None:
            if not here:
                bucket = self.connection.bucket
                if user.may(privilege) or (bucket and user.may_in_bucket(privilege, bucket.name)):
                    return
            else:
                collection = self.collection
                if user.may_in_collection(
                    privilege, self.bucket.name, collection.scope, collection.name
                ):
                    return
        name = self.command.name if self.command else "?"
        raise Refusal(
            Status.EACCESS,
            f"Authorization failure: can't execute {name} operation without the {privilege} "
            "privilege",
            reference=True,
        )
