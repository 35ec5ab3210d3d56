"""One connection as a data node sees it: bytes in, bytes out, the order of all checks.

The order in which a request is checked is the real server's: login, opcode, header, framing
extras, collection, bucket, privilege, and only then what the operation itself finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from couchloop.embedded.access.users import User
from couchloop.embedded.core.header import BARRIER, check_framing, check_header
from couchloop.embedded.core.request import Answer, Hold, NodeState, Refusal, Request
from couchloop.embedded.kv.commands import BEFORE_LOGIN, COMMANDS, REORDERED
from couchloop.exceptions import ProtocolError
from couchloop.wire.constants import Datatype, Feature, Magic, Opcode, ServerOpcode, Status
from couchloop.wire.frames import (
    Frame,
    FrameDecoder,
    RequestFrame,
    decode_framing,
    encode_response,
    encode_server_duration,
)

if TYPE_CHECKING:
    from couchloop.embedded.access.users import ScramServer
    from couchloop.embedded.topology.cluster import Bucket, Injection, Node

_MICROSECONDS: Final = 1_000_000

# What is said to a client that has not negotiated Xerror.
_CLOSES_WITHOUT_XERROR: Final = frozenset(
    {
        Status.EACCESS,
        Status.NO_BUCKET,
        Status.DURABILITY_INVALID_LEVEL,
        Status.DURABILITY_IMPOSSIBLE,
        Status.SYNC_WRITE_AMBIGUOUS,
    }
)
_TEMPORARY_WITHOUT_XERROR: Final = frozenset(
    {
        Status.NOT_LOCKED,
        Status.SYNC_WRITE_IN_PROGRESS,
        Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS,
    }
)
_LOCKED_AS_TEMPORARY: Final = frozenset(
    {Opcode.GET_LOCKED, Opcode.UNLOCK_KEY, *range(Opcode.SUBDOC_GET, 0xD4)}
)


class ServerConnection:
    """One accepted connection.

    Whoever serves it calls `receive_data` with what arrives, and after that, after
    `handle_deadline`, and whenever `wakeup` is called: writes `data_to_send()`, closes the
    connection if `closed` is set, and arms its timer for `next_deadline()`.
    """

    def __init__(self, node: Node, peer: str, *, tls: bool, client_user: str | None) -> None:
        self.node = node
        self.peer = peer
        self.tls = tls
        self.agent = ""
        """What the client calls itself in its HELLO."""
        self.features: frozenset[int] = frozenset()
        self.by_certificate = client_user is not None
        self._user_name = client_user
        self.scram: ScramServer | None = None
        self.bucket: Bucket | None = None
        self.closing = False
        """Close once the present request is answered."""
        self.closed = False
        self.wakeup: Callable[[], None] | None = None
        """Called when there is output, or `closed` is set, outside `receive_data`."""
        self._decoder = FrameDecoder(RequestFrame)
        self._waiting: deque[Request] = deque()
        self._held: list[Request] = []
        self._output: list[bytes] = []
        self._known: dict[str | None, tuple[int, int]] = {}
        self._receiving = False
        self._last = False

    def __repr__(self) -> str:
        who = self.user.name if self.user else "nobody"
        where = self.bucket.name if self.bucket else "no bucket"
        return f"<ServerConnection node {self.node.node_id} from {self.peer!r}: {who}, {where}>"

    # --- called by whoever serves the connection ------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent. Never raises: a malformed frame sets `closed`."""
        if self.closed:
            return
        self._receiving = True
        try:
            frames = self._decoder.receive(data)
        except ProtocolError:
            frames = []
        received = self.node.cluster.clock.now()
        for frame in frames:
            if frame.magic != Magic.SERVER_RESPONSE:
                self._waiting.append(Request(self, frame, received))
        self._pump()
        if self._decoder.error is not None:
            self.close()
        self._receiving = False

    def eof_received(self) -> None:
        """Take note that the client sends no more: close once all it sent is answered."""
        if self._held or self._waiting:
            self._last = True
        else:
            self.close()

    def data_to_send(self) -> bytes:
        """Give (once) the bytes to write now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def connection_lost(self) -> None:
        """Take note that the transport is gone."""
        self._output.clear()
        self.close()

    def next_deadline(self) -> float | None:
        """When to call `handle_deadline`: monotonic seconds of the cluster's clock, or None."""
        if self.node.state is not NodeState.RUNNING:
            return None
        times = [request.not_before for request in self._held if request.not_before]
        times += [request.deadline for request in self._held if request.deadline is not None]
        return min(times, default=None)

    def handle_deadline(self) -> None:
        """Go on with what was delayed until now."""
        self.resume()

    # --- called by the cluster and the handlers -------------------------------------------------

    def resume(self) -> None:
        """Look again at requests that wait."""
        if self._receiving or self.closed or not (self._held or self._waiting):
            return
        self._pump()
        if self.wakeup is not None:
            # Even without output: the deadline may be another one now.
            self.wakeup()

    def close(self) -> None:
        """Close the connection once what is pending was written."""
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        for request in self._held:
            if request.abandon is not None:
                request.abandon()
        self._held.clear()
        if self in self.node.connections:
            self.node.connections.remove(self)
            self.node.cluster.connections_changed()
        self._wake()

    def close_now(self) -> None:
        """Close the connection without writing what is pending."""
        self._output.clear()
        self.close()

    @property
    def user(self) -> User | None:
        """Who is logged in, with the rights of this moment (none if the user was removed)."""
        if self._user_name is None:
            return None
        user = self.node.cluster.users.users.get(self._user_name)
        return user if user is not None else User(self._user_name, "", (), frozenset())

    def log_in(self, user: User) -> None:
        """Let the connection act for *user*."""
        self._user_name = user.name

    def log_out(self) -> None:
        """Take the login away."""
        self._user_name = None

    @property
    def in_flight(self) -> bool:
        """Whether other operations wait on this connection."""
        return bool(self._held)

    def configuration_answer(self) -> Answer | None:
        """Give the present configuration of the bucket (or the global one), None if unknown."""
        name = self.bucket.name if self.bucket else None
        configuration = self.node.configurations.get(name)
        if configuration is None:
            return None
        self.node.cluster.configuration_seen()
        self._known[name] = (configuration.epoch, configuration.rev)
        compressed = Feature.SNAPPY_EVERYWHERE in self.features
        datatype = Datatype.JSON if Feature.JSON in self.features else Datatype.RAW
        if compressed:
            datatype |= Datatype.SNAPPY
        text = configuration.text(self.node.node_id, compressed=compressed)
        return Answer(value=text, datatype=datatype)

    def not_my_vbucket(self) -> Refusal:
        """Give the answer for a vbucket that this node does not have."""
        if Feature.DEDUPE_NMVB in self.features and self.bucket is not None:
            configuration = self.node.configurations.get(self.bucket.name)
            known = self._known.get(self.bucket.name)
            if configuration and known and not configuration.newer_than(*known):
                return Refusal(Status.NOT_MY_VBUCKET)
        answer = self.configuration_answer()
        if answer is None:
            return Refusal(Status.NOT_MY_VBUCKET)
        return Refusal(Status.NOT_MY_VBUCKET, value=answer.value, datatype=answer.datatype)

    def push_configurations(self) -> None:
        """Tell the client of new configurations, if it asked to be told."""
        brief = Feature.CLUSTERMAP_BRIEF in self.features
        if not brief and Feature.CLUSTERMAP_CHANGE not in self.features:
            return
        names: list[str | None] = [None]
        if self.bucket is not None:
            names.append(self.bucket.name)
        for name in names:
            configuration = self.node.configurations.get(name)
            if configuration is None:
                continue
            known = self._known.get(name)
            if known and not configuration.newer_than(*known):
                continue
            self.node.cluster.configuration_seen()
            self._known[name] = (configuration.epoch, configuration.rev)
            value, datatype = b"", int(Datatype.RAW)
            if not brief:
                compressed = Feature.SNAPPY_EVERYWHERE in self.features
                value = configuration.text(self.node.node_id, compressed=compressed)
                datatype |= Datatype.JSON if Feature.JSON in self.features else Datatype.RAW
                datatype |= Datatype.SNAPPY if compressed else Datatype.RAW
            self._output.append(
                Frame(
                    Magic.SERVER_REQUEST,
                    ServerOpcode.CLUSTERMAP_CHANGE,
                    datatype,
                    0,
                    0,
                    0,
                    b"",
                    configuration.epoch.to_bytes(8) + configuration.rev.to_bytes(8),
                    (name or "").encode(),
                    value,
                ).encode()
            )
        self._wake()

    # --- the way of a request -------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._receiving and self.wakeup is not None and (self._output or self.closed):
            self.wakeup()

    def _pump(self) -> None:
        """Do what can be done now, in order (or out of order, where that was negotiated)."""
        if self.node.state is not NodeState.RUNNING:
            return
        again = True
        while again and not self.closed:
            again = False
            held, self._held = self._held, []
            for request in held:
                again |= self._attempt(request)
            while self._waiting and not self.closed and self._may_start(self._waiting[0]):
                self._attempt(self._waiting.popleft())
                again = True
        if self._last and not self._held and not self._waiting:
            self.close()

    def _may_start(self, request: Request) -> bool:
        if not self._held:
            return True
        if Feature.UNORDERED not in self.features:
            return False
        if request.frame.opcode in (Opcode.HELLO, Opcode.SELECT_BUCKET):
            return True
        if request.frame.opcode not in REORDERED or _has_barrier(request):
            return False
        return not any(
            each.frame.opcode not in REORDERED or _has_barrier(each) for each in self._held
        )

    def _attempt(self, request: Request) -> bool:
        """Do a request; tell whether it is done (else it waits among those held)."""
        if self.closed:
            return True
        try:
            answers = self._execute(request)
        except Hold:
            self._held.append(request)
            return False
        except Refusal as refusal:
            self._refuse(request, refusal)
            return True
        if request.injection is not None and request.injection.lose_answer:
            self.close_now()
            return True
        for answer in answers:
            self._send(request, answer)
        if self.closing:
            self.close()
        return True

    def _execute(self, request: Request) -> Iterable[Answer]:
        frame = request.frame
        if self._user_name is None and frame.opcode not in BEFORE_LOGIN:
            raise Refusal(Status.EACCESS)
        command = COMMANDS.get(frame.opcode)
        if command is None:
            raise Refusal(Status.UNKNOWN_COMMAND)
        if request.command is None:
            # Once is enough for a request that is looked at again.
            request.command = command
            self.node.cluster.operations[command.name] += 1
            check_header(request, command)
            self._meet_injection(request)
            check_framing(request, command)
        if request.not_before > request.now:
            raise Hold
        request.not_before = 0.0
        if request.injection is not None and self._suffer(request.injection):
            return ()
        if command.document:
            self._check_collection(request)
        if command.bucket:
            bucket = request.bucket
            if self.node.node_id in bucket.config_only:
                raise Refusal(Status.CONFIG_ONLY)
        for privilege in command.privileges:
            request.require(privilege, here=command.document)
        answer = command.handler(request)
        if answer is None:
            return ()
        return (answer,) if isinstance(answer, Answer) else answer

    def _check_collection(self, request: Request) -> None:
        """Refuse an unknown collection: any copy of the vbucket is enough to know."""
        if self.bucket is None or self.node.node_id in self.bucket.config_only:
            return
        vault = self.bucket.vault
        if not request.collection_id and 0 in vault.manifest.collections:
            return
        number, vbuckets = request.frame.vbucket, vault.vbuckets
        if number >= len(vbuckets) or self.node.node_id not in vbuckets[number].states:
            raise self.not_my_vbucket()
        _ = request.collection

    def _meet_injection(self, request: Request) -> None:
        cluster = self.node.cluster
        name = self.bucket.name if self.bucket else None
        for injection in cluster.injections:
            if injection.matches(request.frame.opcode, request.key, self.node, name):
                injection.hits += 1
                request.injection = injection
                if injection.delay:
                    request.not_before = request.now + injection.delay
                return

    def _suffer(self, injection: Injection) -> bool:
        """Tell whether the request ends here."""
        if injection.close:
            self.close_now()
        elif injection.status is not None:
            raise Refusal(injection.status, value=injection.value)
        return injection.close or injection.silent

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        status = refusal.status
        if Feature.XERROR not in self.features:
            closes = status in _CLOSES_WITHOUT_XERROR and not refusal.early
            if closes and self._user_name is not None:
                self.close()
                return
            status = self._older_status(request, status)
        value = refusal.body(self.node.cluster.generator.uuid() if refusal.reference else "")
        datatype = refusal.datatype
        if value and not refusal.value:
            datatype = Datatype.JSON if Feature.JSON in self.features else Datatype.RAW
        self._send(request, Answer(value=value, datatype=datatype, status=status))

    def _older_status(self, request: Request, status: int) -> int:
        opcode = request.frame.opcode
        if status == Status.LOCKED:
            wrong_cas = opcode in (Opcode.DELETE, Opcode.DELETEQ) and request.frame.cas
            if wrong_cas or opcode in _LOCKED_AS_TEMPORARY:
                return Status.ETMPFAIL
            return Status.KEY_EEXISTS
        if status in _TEMPORARY_WITHOUT_XERROR:
            return Status.ETMPFAIL
        if status == Status.RATE_LIMITED_MAX_CONNECTIONS:
            return Status.E2BIG
        unknown = status in (Status.UNKNOWN_COLLECTION, Status.UNKNOWN_SCOPE)
        if unknown and Feature.COLLECTIONS not in self.features:
            return Status.EINVAL
        return status

    def _send(self, request: Request, answer: Answer) -> None:
        frame = request.frame
        command = request.command
        if (
            command is not None
            and answer.status in command.silent
            and not (command.talks_with_tokens and Feature.MUTATION_SEQNO in self.features)
        ):
            return
        framing = b""
        if Feature.TRACING in self.features:
            elapsed = self.node.cluster.clock.now() - request.received
            framing = encode_server_duration(elapsed * _MICROSECONDS)
        self._output.append(
            encode_response(
                frame.opcode,
                answer.status,
                key=answer.key,
                extras=answer.extras,
                value=answer.value,
                opaque=frame.opaque,
                cas=answer.cas,
                datatype=answer.datatype,
                framing=framing,
            )
        )


def _has_barrier(request: Request) -> bool:
    try:
        return any(identifier == BARRIER for identifier, _ in decode_framing(request.frame.framing))
    except ProtocolError:
        return False
