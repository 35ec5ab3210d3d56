"""One HTTP/1.1 connection to a service, used for one request after the other.

Bytes in, pieces of the body out; no socket, no clock. Nothing follows a redirect, and the login is
in no request but those that it is given with. What an answer's status means is for whoever asked.

A usual request is written here, and a usual answer read by `couchloop.http.usual`; whatever is not
usual is written, read and judged by h11, from the byte on where it begins to be so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from couchloop.exceptions import (
    ArgumentError,
    ConnectionLostError,
    CouchbaseError,
    ProtocolError,
    WrongProtocolError,
    caused,
)
from couchloop.http.judge import header, judged
from couchloop.http.usual import UsualBody, UsualHead, usual_head
from couchloop.later import Module
from couchloop.safety.printable import general, printable
from couchloop.safety.secret import Secret, sealed

if TYPE_CHECKING:
    import h11
else:
    h11 = Module("h11", globals())

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
_USUAL_METHODS: Final = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_WITHOUT_BODY: Final = frozenset({"DELETE", "GET", "HEAD"})
_UNUSUAL: Final = frozenset({"connection", "expect", "upgrade"})
"""Headers of a request with which h11 reads the answer in another way."""
_NOBODY: Final = object()


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
        self._judge: h11.Connection | None = None
        """Reads the answer, and has written the request; None: both are usual so far."""
        self._body: UsualBody | None = None
        """Of a usual answer."""
        self._known_head: UsualHead | None = None
        """Of the usual answer before: the next one most often has the same."""
        self._first_lines = Secret(b"")
        """What all usual requests for one login, and with the same first line, begin with."""
        self._first_lines_for: object = _NOBODY
        self._line: tuple[str, str, str] | None = None
        """Method, path and type of the body of the request before, if these were usual."""
        # In the form of headers: that takes longer than the rest of them.
        self._host = header(str(host))
        self._agent = header(agent)
        self._login: Login | None = None
        self._begin = b""
        self._interim = 0

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        http, body = self._judge, self._body
        if http is None:
            return body is not None and body.is_complete and not body.has_more
        is_over = http.our_state is h11.DONE and http.their_state is h11.DONE
        return is_over and http.trailing_data == (b"", False)

    @sealed
    def request(self, asked: ServiceRequest, login: Login | None) -> bytes:
        """Return the bytes of a request: the first, or the next one of a reusable connection.

        *login* goes with it as Basic authentication (RFC 7617); None: TLS has said who asks.
        Raises ArgumentError if HTTP cannot say it.
        """
        self._judge = self._body = None
        self.status, self.headers = 0, {}
        self.is_answered = self.has_begun = False
        self._begin, self._interim = b"", 0
        self._login = login
        if self._is_usual(asked):
            return self._usual_request(asked, login)
        headers = [("Host", self._host), ("User-Agent", self._agent)]
        if login is not None:
            headers.append(("Authorization", f"Basic {login.basic()}"))
        if asked.content_type:
            headers.append(("Content-Type", asked.content_type))
        if asked.body or asked.method not in _WITHOUT_BODY:
            headers.append(("Content-Length", str(len(asked.body))))
        headers += [pair for pair in asked.headers if pair[0].lower() not in _RESERVED]
        http = self._judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        try:
            head = http.send(h11.Request(method=asked.method, target=asked.path, headers=headers))
            body = http.send(h11.Data(data=asked.body)) if asked.body else b""
            return head + body + http.send(h11.EndOfMessage())
        except (h11.LocalProtocolError, UnicodeError) as why:
            # The frames of its traceback hold the login.
            error = ArgumentError(f"HTTP cannot ask for this: {self._quoted(why)}")
            caused(error, why.with_traceback(None))
        raise error

    def _usual_request(self, asked: ServiceRequest, login: Login | None) -> bytes:
        """Return what h11 would write for a request in which there is nothing to judge."""
        if self._first_lines_for is not login:
            who = "" if login is None else f"Authorization: Basic {login.basic()}\r\n"
            kind = f"Content-Type: {asked.content_type}\r\n" if asked.content_type else ""
            self._first_lines_for = login
            self._first_lines = Secret(
                f"{asked.method} {asked.path} HTTP/1.1\r\n"
                f"Host: {self._host}\r\nUser-Agent: {self._agent}\r\n{who}{kind}"
            )
        more = ""
        if asked.body or asked.method not in _WITHOUT_BODY:
            more += f"Content-Length: {len(asked.body)}\r\n"
        for name, value in asked.headers:
            if name.lower() not in _RESERVED:
                more += f"{name}: {value}\r\n"
        return b"%b%b\r\n%b" % (self._first_lines.bytes(), more.encode("ascii"), asked.body)

    def _is_usual(self, asked: ServiceRequest) -> bool:
        """Whether h11 need not be asked if HTTP can say *asked*, or what it means for the answer.

        The first line most often is that of the request before.
        """
        line = asked.method, asked.path, asked.content_type
        if line != self._line:
            if not _is_usual_line(*line):
                return False
            self._line, self._first_lines_for = line, _NOBODY
        for name, value in asked.headers:  # noqa: SIM110 - there is one, or none
            if not _is_usual_header(name, value):
                return False
        return True

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
        if self._judge is None and self._take_usual(data, pieces):
            return
        if len(self._begin) < len(_HTTP):
            self._begin = (self._begin + data)[: len(_HTTP)]
            if not self._begin.startswith(_HTTP[: len(self._begin)]):
                # h11 would wait for the end of a line.
                raise self._broken(data)
        self._give(self._judge or self._judge_from(b""), data, pieces)

    def _take_usual(self, data: bytes, pieces: list[bytes]) -> bool:
        """Take what is usual; return whether it is, so that all was taken."""
        body, at = self._body, 0
        if body is None:
            head = self._known_head
            if head is None or not data.startswith(head.text):
                head = usual_head(data)
                if head is None:
                    return False
                self._known_head = head
            self.status, self.headers = 200, head.headers.copy()
            self._begin = _HTTP
            body = self._body = UsualBody(head.length)
            at = len(head.text)
        elif not data:
            if not body.is_complete:
                raise self._broken(data)
            body.has_more = True
        unusual = body.receive_data(data, at, pieces)
        if unusual is not None:
            before, rest = unusual
            self._give(self._judge_from(before), rest, pieces)
        else:
            self.is_answered = body.is_complete
        return True

    def _judge_from(self, before: bytes) -> h11.Connection:
        """Have h11 judge from here on, as if it had written the request and read *before*."""
        http = self._judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._body = None
        http.send(h11.Request(method="GET", target="/", headers=[("Host", "")]))
        http.send(h11.EndOfMessage())
        if before:
            http.receive_data(before)
            # What there is of it was taken already.
            while http.next_event() is not h11.NEED_DATA:
                pass
        return http

    def _give(self, http: h11.Connection, data: bytes, pieces: list[bytes]) -> None:
        """Have h11 read *data*."""

        def broken(why: h11.RemoteProtocolError) -> CouchbaseError:
            return self._broken(data, f": {self._quoted(why)}")

        for event in judged(http, data, broken):
            self._take(event, pieces)

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


def _is_usual_line(method: str, path: str, content_type: str) -> bool:
    """Whether h11 need not be asked if HTTP can say these."""
    return (
        method in _USUAL_METHODS
        and " " not in path
        and _is_plain(path)
        and (not content_type or _is_plain(content_type))
    )


def _is_plain(text: str) -> bool:
    """Whether *text* is printable ASCII, and has no blank at either end."""
    return text.isascii() and text.isprintable() and text.strip() == text != ""


def _is_usual_header(name: str, value: str) -> bool:
    bare = name.replace("-", "")
    return bare.isascii() and bare.isalnum() and name.lower() not in _UNUSUAL and _is_plain(value)
