"""One connection as a data node sees it: bytes in, bytes out, the order of all checks.

The order in which a request is checked is the real server's: login, opcode, header, framing
extras, collection, bucket, privilege, and only then what the operation itself finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from couchloop.embedded.core.answers import Answer, NotYet, Refusal
from couchloop.embedded.core.command import Command
from couchloop.embedded.core.header import BARRIER, check_framing, check_header
from couchloop.embedded.core.not_my_vbucket import pushes
from couchloop.embedded.core.request import Request
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.connections import ServerConnection
from couchloop.embedded.topology.faults import Injection, first_match
from couchloop.embedded.topology.node import Node, NodeState
from couchloop.exceptions import ProtocolError
from couchloop.hot.frames import FrameDecoder, RequestFrame, encode_response
from couchloop.wire.constants import Datatype, Feature, Magic, Opcode, Status
from couchloop.wire.framing import decode_framing, encode_server_duration

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


class KeyValueConnection(ServerConnection):
    """One accepted connection that is answered from a table of operations.

    Args:
        cluster: whose connection it is.
        node: the node that accepts.
        commands: what there is to ask, by opcode.
        peer, tls, client_user: see `ServerConnection`.
    """

    def __init__(
        self,
        cluster: Cluster,
        node: Node,
        commands: Mapping[int, Command],
        peer: str,
        *,
        tls: bool,
        client_user: str | None,
    ) -> None:
        super().__init__(cluster.users, peer, tls=tls, client_user=client_user)
        self._cluster = cluster
        self._node = node
        self._commands = commands
        self._decoder = FrameDecoder(RequestFrame)
        self._waiting: deque[Request] = deque()
        self._postponed: list[Request] = []
        self._output: list[bytes] = []
        self._receiving = False
        self._last = False

    def __repr__(self) -> str:
        who = self.user.name if self.user else "nobody"
        where = self.bucket.name if self.bucket else "no bucket"
        return f"<ServerConnection node {self._node.node_id} from {self.peer!r}: {who}, {where}>"

    # --- called by whoever serves the connection ------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Receive what the client sent. Never raises: a malformed frame sets `closed`."""
        if self.closed:
            return
        self._receiving = True
        try:
            frames = self._decoder.receive(data)
        except ProtocolError:
            frames = []
        received = self._cluster.clock.now()
        for frame in frames:
            if frame.magic != Magic.SERVER_RESPONSE:
                self._waiting.append(Request(self._cluster, self._node, self, frame, received))
        self._pump()
        if self._decoder.error is not None:
            self.close()
        self._receiving = False

    def eof_received(self) -> None:
        """Handle the client's end of stream: close once all it sent is answered."""
        if self._postponed or self._waiting:
            self._last = True
        else:
            self.close()

    def data_to_send(self) -> bytes:
        """Return (once) the bytes to write now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def connection_lost(self) -> None:
        """Handle the loss of the transport."""
        self._output.clear()
        self.close()

    def next_deadline(self) -> float | None:
        """When to call `handle_deadline`: monotonic seconds of the cluster's clock, or None."""
        if self._node.state is not NodeState.RUNNING:
            return None
        times = [request.not_before for request in self._postponed if request.not_before]
        for request in self._postponed:
            look = request.next_look() if request.next_look is not None else None
            if look is not None:
                times.append(look)
        return min(times, default=None)

    def handle_deadline(self) -> None:
        """Go on with what was delayed until now."""
        self.resume()

    # --- called by the cluster and the handlers -------------------------------------------------

    def resume(self) -> None:
        """Try waiting requests again."""
        if self._receiving or self.closed or not (self._postponed or self._waiting):
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
        for request in self._postponed:
            if request.abandon is not None:
                request.abandon()
        self._postponed.clear()
        self._node.forget(self)
        self._wake()

    def close_now(self) -> None:
        """Close the connection without writing what is pending."""
        self._output.clear()
        self.close()

    def push_configurations(self) -> None:
        """Push new configurations to the client, if it asked to be told."""
        frames = pushes(self._node, self)
        if frames:
            self._output += frames
            self._wake()

    # --- the way of a request -------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._receiving and self.wakeup is not None and (self._output or self.closed):
            self.wakeup()

    def _pump(self) -> None:
        """Execute what can be done now, in order (or out of order, where that was negotiated)."""
        if self._node.state is not NodeState.RUNNING:
            return
        again = True
        while again and not self.closed:
            again = False
            postponed, self._postponed = self._postponed, []
            for request in postponed:
                again |= self._attempt(request)
            while self._waiting and not self.closed and self._may_start(self._waiting[0]):
                self._attempt(self._waiting.popleft())
                again = True
        if self._last and not self._postponed and not self._waiting:
            self.close()

    def _may_start(self, request: Request) -> bool:
        if not self._postponed:
            return True
        if Feature.UNORDERED not in self.features:
            return False
        command = self._commands.get(request.frame.opcode)
        if command is not None and command.alone:
            return True
        return self._may_overtake(request) and all(map(self._may_overtake, self._postponed))

    def _may_overtake(self, request: Request) -> bool:
        command = self._commands.get(request.frame.opcode)
        return command is not None and command.document and not _has_barrier(request)

    def _attempt(self, request: Request) -> bool:
        """Execute a request; return whether it is done (else it is postponed)."""
        if self.closed:
            return True
        try:
            answers = self._execute(request)
        except NotYet as waits:
            for answer in waits.answers:
                self._send(request, answer)
            self._postponed.append(request)
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
        command = self._commands.get(frame.opcode)
        if self._user_name is None and (command is None or not command.anonymous):
            raise Refusal(Status.EACCESS)
        if command is None:
            raise Refusal(Status.UNKNOWN_COMMAND)
        if not request.name:
            # Once is enough for a request that is looked at again.
            request.name = command.name
            self._cluster.operations[command.name] += 1
            check_header(request, command)
            if self._cluster.injections:
                self._find_injection(request)
            check_framing(request, command)
            request.about_document = command.document
        if request.not_before > request.now:
            raise NotYet
        request.not_before = 0.0
        if request.injection is not None and self._apply_injection(request.injection):
            return ()
        answer: Answer | Iterable[Answer] | None
        if request.resume is not None:
            answer = request.resume()
        else:
            self._check_rights(request, command)
            answer = command.handler(request)
        if answer is None:
            return ()
        return (answer,) if isinstance(answer, Answer) else answer

    def _check_rights(self, request: Request, command: Command) -> None:
        """Check that there is what the request is about, and that the user may have it."""
        if command.document:
            self._check_collection(request)
        if command.bucket:
            bucket = request.bucket
            if self._node.node_id in bucket.config_only:
                raise Refusal(Status.CONFIG_ONLY)
            if bucket.memcached and (request.durability or not command.memcached):
                raise Refusal(Status.NOT_SUPPORTED)
            request.take_minimum(durable=bool(command.durable))
        for privilege in command.privileges:
            request.require(privilege, here=command.document)
        if command.alone and self._postponed:
            raise Refusal(Status.NOT_SUPPORTED)

    def _check_collection(self, request: Request) -> None:
        """Refuse an unknown collection: any copy of the vbucket is enough to know."""
        if self.bucket is None or self._node.node_id in self.bucket.config_only:
            return
        request.copy = self.bucket.copy(request.frame.vbucket, self._node.node_id)
        if not request.collection_id and 0 in request.manifest.collections:
            return
        if request.copy is None:
            raise request.not_my_vbucket()
        _ = request.collection

    def _find_injection(self, request: Request) -> None:
        name = self.bucket.name if self.bucket else None
        found = first_match(
            self._cluster.injections, request.frame.opcode, request.key, self._node, name
        )
        if found is not None:
            request.injection = found
            if found.delay:
                request.not_before = request.now + found.delay

    def _apply_injection(self, injection: Injection) -> bool:
        """Whether the request ends here."""
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
        value = refusal.body(self._cluster.generator.uuid() if refusal.reference else "")
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
        if request.name:
            command = self._commands[frame.opcode]
            talks = command.talks_with_tokens and Feature.MUTATION_SEQNO in self.features
            if answer.status in command.silent and not talks:
                return
        framing = b""
        if Feature.TRACING in self.features:
            elapsed = self._cluster.clock.now() - request.received
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
