"""One HTTP/1.1 request and its answer, over h11: how nodes without the data service tell the map.

Bytes in, pieces of the body out; no socket, no clock. An answer other than 200 is an error that
says what the server said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    ErrorContext,
    NotDataNodeError,
    ProtocolError,
    WrongProtocolError,
    caused,
)
from couchloop.http.judge import header, judged
from couchloop.later import Module
from couchloop.safety.printable import general, printable
from couchloop.safety.secret import sealed
from couchloop.settings.values import Address, Login

if TYPE_CHECKING:
    import h11
else:
    h11 = Module("h11", globals())

IS_IT_A_WEB_PORT: Final = "is this the web port of a Couchbase node (8091, or 18091 with TLS)?"
"""The likely cause where something else answers."""
_LONGEST_HEAD: Final = 32 * 1024
_HTTP: Final = b"HTTP/"
_LONGEST_ERROR_BODY: Final = 2048
"""Bytes of the body of a refusal that are looked at."""


class Exchange:
    """One GET request.

    Args:
        target: path and query, percent-encoded.
        host: whom it goes to.
        login: who asks: by Basic authentication (RFC 7617), unless TLS has said it.
        agent: name and version of the client.
    """

    def __init__(self, target: str, host: Address, login: Login, agent: str) -> None:
        self.done = False
        """Whether the answer is complete."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._target = target
        self._host = host
        self._login = login
        self._agent = agent
        self.status: int | None = None
        """Of the answer; None before it."""
        self._error_body = b""
        self._begin = b""
        """The first bytes of the answer."""

    @sealed
    def request(self) -> bytes:
        """Return the bytes of the request; once. Raises ProtocolError if HTTP cannot say it."""
        headers = [
            ("Host", header(str(self._host))),
            ("Accept", "application/json"),
            ("User-Agent", header(self._agent)),
        ]
        if not self._login.by_certificate:
            headers.append(("Authorization", f"Basic {self._login.basic()}"))
        try:
            head = self._http.send(h11.Request(method="GET", target=self._target, headers=headers))
            return head + self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as why:
            # The frames of its traceback hold the login.
            error = ProtocolError(f"HTTP cannot ask for this: {self._quoted(why)}")
            caused(error, why.with_traceback(None))
        raise error

    def _quoted(self, text: object) -> str:
        """Return somebody else's words as a message may have them."""
        return general(printable(self._login.conceal(str(text))))

    def receive_data(self, data: bytes) -> Iterator[bytes]:
        """Receive bytes; return pieces of the body. No data: the peer has closed the connection.

        Raises AuthError (401), BucketNotFoundError (403, 404), NotDataNodeError (another status),
        WrongProtocolError, ProtocolError (the answer was cut off).
        """
        if self.done:
            return
        if len(self._begin) < len(_HTTP):
            self._begin = (self._begin + data)[: len(_HTTP)]
            if not self._begin.startswith(_HTTP[: len(self._begin)]):
                # h11 would wait for the end of a line.
                raise self._broken(data)

        def broken(why: h11.RemoteProtocolError) -> CouchbaseError:
            return self._broken(data, f": {self._quoted(why)}")

        for event in judged(self._http, data, broken):
            if isinstance(event, h11.Response):
                self.status = event.status_code
            elif isinstance(event, h11.Data):
                if self.status == 200:
                    yield bytes(event.data)
                else:
                    self._refused(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.done = True
                if self.status != 200:
                    raise self._refusal()

    def _refused(self, piece: bytes) -> None:
        self._error_body += piece
        if len(self._error_body) >= _LONGEST_ERROR_BODY:
            raise self._refusal()

    def _refusal(self) -> CouchbaseError:
        status = self.status
        # There are proxies that show what they were asked.
        excuse = self._login.conceal(self._error_body.decode("utf-8", "replace"))
        said = printable(" ".join(excuse.split()))
        context = ErrorContext(server_context=said or None)
        user = f"user {self._login.username!r}"
        if self._login.by_certificate:
            user = "the user of the client certificate"
        if status == 401:
            return AuthError(
                f"the server refused {user} (HTTP 401): check the user name and the password, and "
                "that the user exists on this cluster",
                context=context,
            )
        if status == 403:
            return BucketNotFoundError(
                f"{user} has no role that lets it see the bucket (HTTP 403)", context=context
            )
        if status == 404:
            return BucketNotFoundError("there is no such bucket (HTTP 404)", context=context)
        error = NotDataNodeError(
            f"the server answered HTTP {status}: {IS_IT_A_WEB_PORT}",
            context=context,
        )
        # Busy, or starting.
        error.may_pass = status is not None and (status == 429 or status >= 500)
        return error

    def _broken(self, data: bytes, why: str = "") -> CouchbaseError:
        if self.status is not None:
            return ProtocolError(f"the answer is no valid HTTP, or was cut off{why}")
        cure = IS_IT_A_WEB_PORT
        if not data:
            error = ProtocolError(f"the server closed the connection without an answer: {cure}")
            error.may_pass = True
            return error
        if self._begin[:1] in {b"\x15", b"\x16"}:
            cure = "it speaks TLS: use couchbases:// for this port"
        return WrongProtocolError(f"the answer is no HTTP: {cure}")
