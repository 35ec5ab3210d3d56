"""One request on its way: what it says, who asks, and what it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from couchloop.embedded.core.answers import Answer, NotYet, Refusal
from couchloop.embedded.core.not_my_vbucket import not_my_vbucket
from couchloop.embedded.storage.bucket import Bucket
from couchloop.embedded.storage.manifest import Collection, Manifest
from couchloop.embedded.storage.vbucket import DocumentId, State, VBucket
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.connections import ServerConnection
from couchloop.embedded.topology.faults import Injection
from couchloop.embedded.topology.node import Node
from couchloop.hot.frames import Frame
from couchloop.wire.constants import Datatype, Feature, Status


@dataclass(slots=True)
class Durability:
    """Requirements of a synchronous write: level 1 to 3, *timeout* in seconds or None."""

    level: int
    timeout: float | None


@dataclass(slots=True)
class Request:
    """One request on its way, with what its header and framing extras say."""

    cluster: Cluster
    """The cluster that is asked."""
    node: Node
    """The node that is asked."""
    connection: ServerConnection
    frame: Frame
    received: float
    """Monotonic seconds."""
    name: str = ""
    """The operation's; empty until it was looked up in the table."""
    key: bytes = b""
    """Without the collection prefix."""
    collection_id: int = 0
    state: State = State.ACTIVE
    """State of the vbucket that the operation works on."""
    durability: Durability | None = None
    preserve_ttl: bool = False
    barrier: bool = False
    plan: object = None
    """What the header's check has read of the body, for the handler."""
    injection: Injection | None = None
    not_before: float = 0.0
    about_document: bool = False
    """Whether it is about one document, in the vbucket that the header names."""
    copy: VBucket | None = None
    """Of a request about a document: the vbucket's copy on this node, if it has one."""
    resume: Callable[[], Answer | Iterable[Answer]] | None = None
    """What to do instead of the operation when a request that waits is looked at again."""
    next_look: Callable[[], float | None] | None = None
    """When something changes by itself for a request that waits (monotonic seconds)."""
    abandon: Callable[[], None] | None = None
    """Called when the connection ends while the request waits: set once a write is prepared."""

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
        manifest = self.manifest
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

    def take_minimum(self, *, durable: bool) -> None:
        """Raise the level of a write that can be *durable* to what the bucket asks of all."""
        minimum = self.bucket.properties.min_durability
        given = self.durability
        if durable and minimum > (given.level if given else 0):
            self.durability = Durability(minimum, given.timeout if given else None)

    @property
    def longest_life(self) -> int:
        """How many seconds documents of the collection live at most, 0 for ever."""
        return self.bucket.longest_life(self.collection)

    @property
    def manifest(self) -> Manifest:
        """What the node knows of scopes and collections: of a document, what its vbucket knows."""
        if self.copy is not None:
            return self.copy.manifest
        return self.bucket.manifest_at(self.node.node_id)

    def has(self, feature: Feature) -> bool:
        """Whether the connection has negotiated a feature."""
        return feature in self.connection.features

    def vbucket(self, state: State = State.ACTIVE, number: int | None = None) -> VBucket:
        """Return the vbucket of the request (or *number*) if this node has it in *state*.

        Raises Refusal (not my vbucket), or NotYet while the vbucket is pending.
        """
        if not self.bucket.ready:
            raise Refusal(Status.ETMPFAIL)
        copy = self.copy
        if not self.about_document or number is not None:
            number = self.frame.vbucket if number is None else number
            copy = self.bucket.copy(number, self.node.node_id)
        if copy is not None:
            if copy.state is state:
                return copy
            if copy.state is State.PENDING:
                raise NotYet
        raise self.not_my_vbucket()

    def not_my_vbucket(self) -> Refusal:
        """Return the answer for a vbucket that this node does not have."""
        return not_my_vbucket(self.node, self.connection)

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
            manifest_uid = self.manifest.uid
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
        raise Refusal(
            Status.EACCESS,
            f"Authorization failure: can't execute {self.name} operation without the {privilege} "
            "privilege",
            reference=True,
        )
