"""One HTTP/1.1 connection to a service, used for one request after the other, over h11.

Bytes in, pieces of the body out; no socket, no clock. Nothing follows a redirect, and the login is
in no request but those that it is given with. What an answer's status means is for whoever asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from couchloop.exceptions import (
    ArgumentError,
    ConnectionLostError,
    ProtocolError,
    WrongProtocolError,
)
from couchloop.later import Module
from couchloop.safety.printable import general, printable
from couchloop.safety.secret import sealed

if TYPE_CHECKING:
    import h11
else:
    h11 = Module("h11")

if TYPE_CHECKING:
    from couchloop.http.service import ServiceRequest
    from couchloop.settings.values import Address, Login

_LONGEST_HEAD: Final = 32 * 1024
"""Bytes of what is no body: head, the sizes of chunks, what follows the last chunk."""
_MOST_INTERIM: Final = 8
"""Answers before the answer (1xx), of which no service sends any."""
_HTTP: Final = b"HTTP/"
_TLS: Final = frozenset({b"\x15", b"\x16"})
"""How the records of TLS begin with which a server answers what is no TLS."""
_AS_IT_IS: Final = frozenset({"", "identity"})
_RESERVED: Final = frozenset(
    {"host", "user-agent", "authorization", "content-type", "content-length", "transfer-encoding"}
)
"""Headers that a request has from here alone."""


class HttpConnection:
    """The client's end of one connection.

    Args:
        host: whom it leads to.
        agent: name and version of the client.
    """

    def __init__(self, host: Address, agent: str) -> None:
        self.status = 0
        """Of the answer; 0 before it."""
        self.headers: dict[str, str] = {}
        """Of the answer, by names in lower case."""
        self.is_answered = False
        """Whether the answer is complete."""
        self.has_begun = False
        """Whether a byte of the answer is there."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        # In the form of headers: that takes longer than the rest of them.
        self._host = _header(str(host))
        self._agent = _header(agent)
        self._login: Login | None = None
        self._begin = b""
        self._interim = 0

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        http = self._http
        is_over = http.our_state is h11.DONE and http.their_state is h11.DONE
        return is_over and http.trailing_data == (b"", False)

    @sealed
    def request(self, asked: ServiceRequest, login: Login | None) -> bytes:
        """Return the bytes of a request: the first, or the next one of a reusable connection.

        *login* goes with it as Basic authentication (RFC 7617); None: TLS has said who asks.
        Raises ArgumentError if HTTP cannot say it.
        """
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self.status, self.headers = 0, {}
        self.is_answered = self.has_begun = False
        self._begin, self._interim = b"", 0
        self._login = login
        headers = [("Host", self._host), ("User-Agent", self._agent)]
        if login is not None:
            headers.append(("Authorization", f"Basic {login.basic()}"))
        if asked.content_type:
            headers.append(("Content-Type", asked.content_type))
        if asked.body or asked.method not in {"GET", "HEAD", "DELETE"}:
            headers.append(("Content-Length", str(len(asked.body))))
        headers += [pair for pair in asked.headers if pair[0].lower() not in _RESERVED]
        try:
            head = self._http.send(
                h11.Request(method=asked.method, target=asked.path, headers=headers)
            )
            body = self._http.send(h11.Data(data=asked.body)) if asked.body else b""
            return head + body + self._http.send(h11.EndOfMessage())
        except (h11.LocalProtocolError, UnicodeError) as why:
            # The frames of its traceback hold the login.
            error = ArgumentError(f"HTTP cannot ask for this: {self._quoted(why)}")
            error.__cause__ = why.with_traceback(None)
        raise error

    def _quoted(self, text: object) -> str:
        """Return somebody else's words as a message may have them."""
        said = str(text)
        return general(printable(said if self._login is None else self._login.conceal(said)))

    def receive_data(self, data: bytes, pieces: list[bytes]) -> None:
        """Take bytes of the answer; no data: the peer has closed.

        What they have of its body is added to *pieces*, also if an error follows.
        Raises WrongProtocolError for what is no HTTP, ProtocolError for an answer that is broken or
        compressed, ConnectionLostError for one that was cut off, or where there is none.
        """
        self.has_begun = self.has_begun or bool(data)
        if len(self._begin) < len(_HTTP):
            self._begin = (self._begin + data)[: len(_HTTP)]
            if not self._begin.startswith(_HTTP[: len(self._begin)]):
                # h11 would wait for the end of a line.
                raise self._broken(data)
        try:
            self._http.receive_data(data)
            while not self.is_answered:
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._take(event, pieces)
        except h11.RemoteProtocolError as why:
            # The frames of its traceback hold the login.
            raise self._broken(data, f": {self._quoted(why)}") from why.with_traceback(None)

    def _take(self, event: object, pieces: list[bytes]) -> None:
        match event:
            case h11.Data():
                pieces.append(bytes(event.data))
            case h11.EndOfMessage():
                self.is_answered = True
            case h11.Response():
                self._take_head(event)
            case h11.InformationalResponse():
                self._interim += 1
                if self._interim > _MOST_INTERIM:
                    raise ProtocolError("the service sends interim answers (HTTP 1xx) without end")
            case _:
                raise ProtocolError("the connection was closed where an answer was awaited")

    def _take_head(self, head: h11.Response) -> None:
        self.status = head.status_code
        for name, value in head.headers:
            name_, value_ = name.decode("ascii"), value.decode("latin-1")
            before = self.headers.get(name_)
            self.headers[name_] = value_ if before is None else f"{before}, {value_}"
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in _AS_IT_IS:
            raise ProtocolError(
                f"the answer is compressed ({self._quoted(encoding)}), which was not asked for: is "
                "there a proxy on the way that does so?"
            )

    def _broken(self, data: bytes, why: str = "") -> ProtocolError | ConnectionLostError:
        if not data:
            what = "in the middle of its" if self.has_begun else "without an"
            return ConnectionLostError(f"the service closed the connection {what} answer")
        if self._begin == _HTTP:
            return ProtocolError(f"the answer is no valid HTTP{why}")
        if self._begin[:1] in _TLS:
            return WrongProtocolError("the port speaks TLS: use couchbases://")
        return WrongProtocolError("what answers at this port speaks no HTTP")


def _header(text: str) -> str:
    """Return *text* as a header can have it: printable ASCII, and no blank at either end."""
    return "".join(each if " " <= each <= "~" else "?" for each in text).strip()
