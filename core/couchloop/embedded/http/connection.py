"""The cluster manager's HTTP as far as clients need it to learn of a cluster's topology.

    GET /pools/default/b/BUCKET       the bucket's configuration, once
    GET /pools/default/bs/BUCKET      the same and each later revision, four newlines after each
    GET /pools/default/nodeServices   the global configuration

All want Basic authentication (RFC 7617) or a client certificate.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import h11

from couchloop.embedded.access.users import AuthenticationFailed, MalformedMessage, User
from couchloop.embedded.core.request import NodeState

if TYPE_CHECKING:
    from couchloop.embedded.topology.cluster import Node

_CONFIGURATION: Final = "/pools/default/b/"
_STREAM: Final = "/pools/default/bs/"
_NODE_SERVICES: Final = "/pools/default/nodeServices"
_SEPARATOR: Final = b"\n\n\n\n"
_LONGEST_HEAD: Final = 16384
"""Bytes of a request line with its headers: a client must not fill the memory."""

_Headers = list[tuple[str, str]]


class HttpConnection:
    """One accepted connection of a node's HTTP port; served like a `ServerConnection`."""

    def __init__(self, node: Node, *, client_user: str | None = None) -> None:
        self.node = node
        self.closed = False
        self.wakeup: Callable[[], None] | None = None
        """Called when there is output, or `closed` is set, outside `receive_data`."""
        self._client_user = client_user
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)
        self._request: h11.Request | None = None
        self._output: list[bytes] = []
        self._streaming: str | None = None
        """Name of the bucket whose revisions are streamed."""
        self._sent: tuple[int, int] | None = None
        self._receiving = False
        node.subscribe(self._revised)
        node.http_connections.append(self)
        if node.state is NodeState.STOPPED:
            self.close()

    def __repr__(self) -> str:
        doing = f"streams {self._streaming}" if self._streaming else "idle"
        return f"<HttpConnection node {self.node.node_id}: {doing}>"

    # --- called by whoever serves the connection ------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent. Never raises: what is no HTTP is answered 400."""
        # To h11, no data is the end of them.
        if self.closed or not data:
            return
        self._receiving = True
        self._http.receive_data(data)
        self._proceed()
        self._receiving = False

    def eof_received(self) -> None:
        """Take note that the client sends no more: what it asked is answered."""
        self.close()

    def data_to_send(self) -> bytes:
        """Give (once) the bytes to write now."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_deadline(self) -> None:
        """Nothing is delayed."""

    def handle_deadline(self) -> None:
        """Nothing is delayed."""

    def connection_lost(self) -> None:
        """Take note that the transport is gone."""
        self._output.clear()
        self.close()

    def close(self) -> None:
        """Close the connection once what is pending was written."""
        if self.closed:
            return
        self.closed = True
        self._streaming = None
        self.node.unsubscribe(self._revised)
        self.node.http_connections.remove(self)
        self._wake()

    # --- the dialogue ---------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Answer every request that is there, in order."""
        try:
            while not self.closed and self.node.state is not NodeState.HUNG:
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
                self._respond(error.error_status_hint, b"Bad Request\n", [("Connection", "close")])
            self.close()

    def _answer(self, request: h11.Request) -> None:
        path = unquote_to_bytes(request.target.partition(b"?")[0]).decode("utf-8", "replace")
        user = self._user(request)
        if user is None:
            realm = [("WWW-Authenticate", 'Basic realm="Couchbase Server Admin / REST"')]
            self._respond(401, b"", realm)
        elif not (path == _NODE_SERVICES or path.startswith((_CONFIGURATION, _STREAM))):
            self._respond(404, b"Not found.\n")
        elif request.method not in {b"GET", b"HEAD"}:
            self._respond(405, b"Method Not Allowed\n", [("Allow", "GET, HEAD")])
        elif path == _NODE_SERVICES:
            self._configuration(None)
        else:
            stream = path.startswith(_STREAM)
            self._bucket(
                user, path.removeprefix(_STREAM if stream else _CONFIGURATION), stream=stream
            )

    def _bucket(self, user: User, name: str, *, stream: bool) -> None:
        if not user.sees(name):
            self._forbid(name)
        elif stream and name in self.node.configurations:
            self._stream(name)
        else:
            self._configuration(name)

    def _forbid(self, name: str) -> None:
        permission = f"cluster.bucket[{name}].settings!read"
        body = {
            "message": "Forbidden. User needs one of the following permissions",
            "permissions": [permission],
        }
        self._respond(403, json.dumps(body).encode(), [("Content-Type", "application/json")])

    def _user(self, request: h11.Request) -> User | None:
        """Tell who asks, None if that is not known."""
        users = self.node.cluster.users
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

    def _configuration(self, name: str | None) -> None:
        configuration = self.node.configurations.get(name)
        if configuration is None:
            self._respond(404, b"Requested resource not found.\r\n")
            return
        text = configuration.text(self.node.node_id)
        self.node.cluster.configuration_seen()
        self._respond(200, text, [("Content-Type", "application/json")])

    def _respond(self, status: int, body: bytes, headers: _Headers | None = None) -> None:
        fixed = [("Server", "Couchbase Server"), ("Content-Length", str(len(body)))]
        self._send(h11.Response(status_code=status, headers=[*fixed, *(headers or [])]))
        if not self._head_only:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    @property
    def _head_only(self) -> bool:
        return self._request is not None and self._request.method == b"HEAD"

    def _stream(self, name: str) -> None:
        headers = [
            ("Server", "Couchbase Server"),
            ("Content-Type", "application/json; charset=utf-8"),
        ]
        self._send(h11.Response(status_code=200, headers=headers))
        if self._head_only:
            self._send(h11.EndOfMessage())
            return
        self._streaming = name
        self._sent = None
        self._send_revision()

    def _revised(self, node: Node) -> None:
        """Go on: the node has a new revision, or hangs no more."""
        if node.state is NodeState.HUNG:
            return
        if self._streaming is not None:
            self._send_revision()
        else:
            self._proceed()
        self._wake()

    def _send_revision(self) -> None:
        assert self._streaming is not None
        configuration = self.node.configurations.get(self._streaming)
        if configuration is None:
            # The bucket was deleted: the stream ends.
            self._send(h11.EndOfMessage())
            self.close()
            return
        revision = (configuration.epoch, configuration.rev)
        if revision != self._sent:
            self._sent = revision
            self.node.cluster.configuration_seen()
            self._send(h11.Data(data=configuration.text(self.node.node_id) + _SEPARATOR))

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._output.append(data)

    def _wake(self) -> None:
        if not self._receiving and self.wakeup is not None and (self._output or self.closed):
            self.wakeup()
