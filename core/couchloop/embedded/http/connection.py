"""HTTP as a node speaks it: bytes in, bytes out, who asks; a router knows who answers."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final
from urllib.parse import unquote_to_bytes

import h11

from couchloop.embedded.access.users import AuthenticationFailed, MalformedMessage, User
from couchloop.embedded.http.router import HttpRequest, Response, Router, Stream
from couchloop.embedded.topology.cluster import Cluster
from couchloop.embedded.topology.connections import Connection
from couchloop.embedded.topology.node import Node, NodeState

SERVER: Final = "Couchbase Server"
"""What this server says it is."""

_LONGEST_HEAD: Final = 16384
"""Bytes of a request line with its headers: a client must not fill the memory."""


class HttpConnection(Connection):
    """One accepted connection of a node's HTTP port.

    Args:
        cluster: whose connection it is.
        node: the node that accepts.
        router: knows who answers what.
        client_user: user name in a verified client certificate, which logs that user in.
    """

    def __init__(
        self, cluster: Cluster, node: Node, router: Router, *, client_user: str | None
    ) -> None:
        super().__init__()
        self._cluster = cluster
        self._node = node
        self._router = router
        self._client_user = client_user
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)
        self._request: h11.Request | None = None
        self._output: list[bytes] = []
        self._stream: Stream | None = None
        self._receiving = False
        node.subscribe(self._revised)
        node.http_connections.append(self)
        if node.state is NodeState.STOPPED:
            self.close()

    def __repr__(self) -> str:
        doing = f"streams {self._stream.name}" if self._stream else "idle"
        return f"<HttpConnection node {self._node.node_id}: {doing}>"

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

    def next_deadline(self) -> None:
        """Nothing is delayed."""

    def handle_deadline(self) -> None:
        """Nothing is delayed."""

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
        self._node.unsubscribe(self._revised)
        self._node.http_connections.remove(self)
        self._wake()

    # --- the dialogue ---------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Answer every request that is there, in order."""
        try:
            while not self.closed and self._node.state is not NodeState.HUNG:
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Request):
                    # It is answered after its body, which nobody reads.
                    self._request = event
                elif isinstance(event, h11.EndOfMessage):
                    assert self._request is not None
                    self._answer(self._request)
                if self._http.our_state is h11.MUST_CLOSE:
                    self.close()
                elif self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
        except h11.RemoteProtocolError as error:
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self._request = None
                closing = (("Connection", "close"),)
                self._respond(Response(error.error_status_hint, b"Bad Request\n", closing))
            self.close()

    def _answer(self, request: h11.Request) -> None:
        path = unquote_to_bytes(request.target.partition(b"?")[0]).decode("utf-8", "replace")
        user = self._user(request)
        found = self._router.find(path)
        if user is None:
            realm = 'Basic realm="Couchbase Server Admin / REST"'
            self._respond(Response(401, headers=(("WWW-Authenticate", realm),)))
        elif found is None:
            self._respond(Response(404, b"Not found.\n"))
        elif request.method.decode() not in found.route.methods:
            allowed = ", ".join(found.route.methods)
            self._respond(Response(405, b"Method Not Allowed\n", (("Allow", allowed),)))
        else:
            asked = HttpRequest(self._cluster, self._node, user, found.rest)
            answer = found.route.endpoint(asked)
            if isinstance(answer, Response):
                self._respond(answer)
            else:
                self._begin(answer)

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
        fixed = [("Server", SERVER), ("Content-Length", str(len(answer.body)))]
        headers = [*fixed, *answer.headers]
        self._send(h11.Response(status_code=answer.status, headers=headers))
        if not self._head_only:
            self._send(h11.Data(data=answer.body))
        self._send(h11.EndOfMessage())

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
