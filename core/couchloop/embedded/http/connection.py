"""HTTP as a node speaks it: bytes in, bytes out, who asks; a router knows who answers."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Generator
from typing import Final, NamedTuple

import h11

from couchloop.embedded.access.users import AuthenticationFailed, MalformedMessage, User
from couchloop.embedded.http.router import (
    HttpRequest,
    RefusedError,
    Response,
    Router,
    Stream,
    Work,
    fields,
)
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.connections import Connection
from couchloop.embedded.topology.faults import HttpInjection
from couchloop.embedded.topology.node import Node, NodeState

SERVER: Final = "Couchbase Server"
"""What this server says it is."""

_LONGEST_HEAD: Final = 16384
"""Bytes of a request line with its headers: a client must not fill the memory."""
_LONGEST_BODY: Final = 32 << 20
"""Likewise of a body."""
_TOO_LONG: Final = 413
_CLOSING: Final = (("Connection", "close"),)


class _Delayed(NamedTuple):
    """A request that is answered later."""

    request: h11.Request
    fault: HttpInjection
    due: float


class _Working(NamedTuple):
    """An answer that is worked at."""

    work: Work
    fault: HttpInjection | None


class HttpConnection(Connection):
    """One accepted connection of a node's HTTP port.

    Args:
        cluster: whose connection it is.
        node: the node that accepts.
        service: what the port is for, as configurations name it: `mgmt`, `n1ql`, …
        router: knows who answers what there.
        client_user: user name in a verified client certificate, which logs that user in.
    """

    def __init__(
        self,
        cluster: Cluster,
        node: Node,
        service: str,
        router: Router,
        *,
        client_user: str | None,
    ) -> None:
        super().__init__()
        self._cluster = cluster
        self._node = node
        self._service = service
        self._router = router
        self._client_user = client_user
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._delayed: _Delayed | None = None
        self._working: _Working | None = None
        self._output: list[bytes] = []
        self._stream: Stream | None = None
        self._receiving = False
        node.subscribe(self._revised)
        node.http_connections.append(self)
        if node.state is NodeState.STOPPED:
            self.close()

    def __repr__(self) -> str:
        doing = f"streams {self._stream.name}" if self._stream else "idle"
        return f"<HttpConnection {self._service} of node {self._node.node_id}: {doing}>"

    # --- called by whoever serves the connection ------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Receive what the client sent. Never raises: what is no HTTP is answered 400."""
        # To h11, no data is the end of them.
        if self.closed or not data:
            return
        self._receiving = True
        self._http.receive_data(data)
        self._proceed()
        self._receiving = False

    def eof_received(self) -> None:
        """Handle the client's end of stream: what it asked is answered."""
        self.close()

    def data_to_send(self) -> bytes:
        """Return (once) the bytes to write now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_deadline(self) -> float | None:
        """When a delayed request is to be answered; at once, where an answer is worked at."""
        if self.works:
            return self._cluster.clock.now()
        return None if self._delayed is None else self._delayed.due

    @property
    def works(self) -> bool:
        """Whether an answer is worked at, which goes on with `handle_deadline`."""
        return self._working is not None and self._node.state is not NodeState.HUNG

    def handle_deadline(self) -> None:
        """Answer a request that was delayed until now, and what came after it.

        What is worked at goes on for a turn.
        """
        if self.works:
            self._work()
            self._proceed()
            return
        delayed = self._delayed
        if delayed is None or delayed.due > self._cluster.clock.now() or self.closed:
            return
        self._delayed = None
        self._answer(delayed.request, delayed.fault)
        self._proceed()

    def connection_lost(self) -> None:
        """Handle the loss of the transport."""
        self._output.clear()
        self.close()

    def close(self) -> None:
        """Close the connection once what is pending was written."""
        if self.closed:
            return
        self.closed = True
        self._stream = None
        # What is worked at is given up: nobody would read it.
        self._working = None
        self._node.unsubscribe(self._revised)
        self._node.http_connections.remove(self)
        self._wake()

    # --- the dialogue ---------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Answer every request that is there, in order."""
        try:
            while (
                not self.closed
                and self._delayed is None
                and self._working is None
                and self._node.state is not NodeState.HUNG
            ):
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Request):
                    self._request = event
                    self._body.clear()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > _LONGEST_BODY:
                        self._respond(Response(_TOO_LONG, b"Request body too large\n", _CLOSING))
                        self.close()
                elif isinstance(event, h11.EndOfMessage):
                    assert self._request is not None
                    self._asked(self._request)
                if self._http.our_state is h11.MUST_CLOSE:
                    self.close()
                elif self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
        except h11.RemoteProtocolError as error:
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self._request = None
                self._respond(Response(error.error_status_hint, b"Bad Request\n", _CLOSING))
            self.close()

    def _asked(self, request: h11.Request) -> None:
        """Answer a request whose body is there, unless a fault is in the way."""
        fault = self._cluster.http_fault(
            self._service, request.method.decode(), request.target.decode(), self._node
        )
        if fault is None:
            self._answer(request, None)
        elif fault.close:
            self.close()
        elif fault.delay:
            self._delayed = _Delayed(request, fault, self._cluster.clock.now() + fault.delay)
        else:
            self._answer(request, fault)

    def _answer(self, request: h11.Request, fault: HttpInjection | None) -> None:
        if fault is not None and fault.status is not None:
            answer: Response | Stream | Work = Response(
                fault.status, fault.body, tuple(fault.headers)
            )
        else:
            answer = self._found(request)
        if isinstance(answer, Generator):
            self._working = _Working(answer, fault)
            self._work()
        elif isinstance(answer, Response):
            self._finish(answer, fault)
        else:
            self._begin(answer)

    def _work(self) -> None:
        """Work at an answer for a turn; give it if that was all."""
        working = self._working
        assert working is not None
        try:
            next(working.work)
        except StopIteration as finished:
            answer: Response = finished.value
        except RefusedError as refused:
            answer = refused.response
        else:
            return
        if self._working is working:
            self._working = None
            self._finish(answer, working.fault)

    def _finish(self, answer: Response, fault: HttpInjection | None) -> None:
        if fault is not None and fault.cut_after is not None:
            self._cut(answer, fault.cut_after)
        else:
            self._respond(answer)

    def _found(self, request: h11.Request) -> Response | Stream | Work:
        """Return what the router's endpoint answers."""
        path, _, query = request.target.partition(b"?")
        user = self._user(request)
        if user is None:
            realm = 'Basic realm="Couchbase Server Admin / REST"'
            return Response(401, headers=(("WWW-Authenticate", realm),))
        found = self._router.find(path)
        if found is None:
            shown = path.decode("ascii", "replace")
            return self._router.refusals.path(shown, bytes(self._body))
        method = request.method.decode()
        endpoint = found.endpoints.get(method)
        if endpoint is None:
            return self._router.refusals.method(list(found.endpoints))
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        asked = HttpRequest(
            self._cluster,
            self._node,
            user,
            method,
            found.path,
            fields(query),
            headers,
            bytes(self._body),
        )
        try:
            return endpoint(asked)
        except RefusedError as refused:
            return refused.response

    def _user(self, request: h11.Request) -> User | None:
        """Return who asks, None if that is not known."""
        users = self._cluster.users
        if self._client_user is not None:
            return users.users.get(self._client_user)
        header = dict(request.headers).get(b"authorization", b"")
        scheme, _, encoded = header.partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            name, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
            return users.check_plain(b"\0".join((b"", name, password)))
        except (binascii.Error, AuthenticationFailed, MalformedMessage):
            return None

    # --- answers --------------------------------------------------------------------------------

    def _respond(self, answer: Response) -> None:
        self._send(h11.Response(status_code=answer.status, headers=_head(answer)))
        if not self._head_only:
            self._send(h11.Data(data=answer.body))
        self._send(h11.EndOfMessage())

    def _cut(self, answer: Response, length: int) -> None:
        """Answer with so many bytes of the body, and close: the head promises more."""
        self._send(h11.Response(status_code=answer.status, headers=_head(answer)))
        self._send(h11.Data(data=answer.body[:length]))
        self.close()

    @property
    def _head_only(self) -> bool:
        return self._request is not None and self._request.method == b"HEAD"

    def _begin(self, stream: Stream) -> None:
        headers = [("Server", SERVER), ("Content-Type", "application/json; charset=utf-8")]
        self._send(h11.Response(status_code=200, headers=headers))
        if self._head_only:
            self._send(h11.EndOfMessage())
            return
        self._stream = stream
        self._go_on(stream)

    def _revised(self, node: Node) -> None:
        """Go on: the node has a new revision, or hangs no more."""
        if node.state is NodeState.HUNG:
            return
        if self._stream is not None:
            self._go_on(self._stream)
        else:
            self._proceed()
        self._wake()
        if self._working is not None and not self._receiving and self.wakeup is not None:
            # It hung meanwhile, perhaps.
            self.wakeup()

    def _go_on(self, stream: Stream) -> None:
        data = stream.take()
        if data is None:
            self._send(h11.EndOfMessage())
            self.close()
        elif data:
            self._send(h11.Data(data=data))

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._output.append(data)

    def _wake(self) -> None:
        if not self._receiving and self.wakeup is not None and (self._output or self.closed):
            self.wakeup()


def _head(answer: Response) -> list[tuple[str, str]]:
    """Return the headers of an answer: its length, unless it comes in chunks."""
    headers = [("Server", SERVER), *answer.headers]
    if all(name != "Transfer-Encoding" for name, _ in answer.headers):
        headers.insert(1, ("Content-Length", str(len(answer.body))))
    return headers
