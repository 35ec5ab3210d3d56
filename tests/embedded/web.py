"""A client of the HTTP side of an embedded node, without a socket."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import h11

from couchloop.embedded import Connection


def login(user: str = "user", password: str = "password") -> str:  # noqa: S107
    """Value of an Authorization header."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


ADMIN = login("Administrator")


def plain(body: bytes) -> Any:
    """Return JSON as what it means, other text as it is."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


class Client:
    """A client of one HTTP connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.connection.wakeup = self._wake
        self.woken = 0
        self.http = h11.Connection(h11.CLIENT)
        self.streamed = b""

    def _wake(self) -> None:
        self.woken += 1

    def ask(
        self,
        path: str,
        authorization: str | None = login(),
        method: str = "GET",
        body: bytes = b"",
        more_headers: Iterable[tuple[str, str]] = (),
        *,
        content_type: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; give status, headers, and the body as far as it has come."""
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        headers = [("Host", "node"), ("Content-Length", str(len(body))), *more_headers]
        if authorization is not None:
            headers.append(("Authorization", authorization))
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        for event in (
            h11.Request(method=method, target=path, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.connection.receive_data(self.http.send(event) or b"")
        return self.answer()

    def form(
        self, method: str, path: str, authorization: str | None = None, **members: Any
    ) -> tuple[int, Any]:
        """Send a form as the administrator; return status, and the body as JSON where it is any."""
        status, _, body = self.ask(
            path, authorization or ADMIN, method, urlencode(members).encode()
        )
        return status, plain(body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer, once it is worked at no more."""
        while getattr(self.connection, "works", False):
            self.connection.handle_deadline()
        self.http.receive_data(self.connection.data_to_send())
        response = self.http.next_event()
        assert isinstance(response, h11.Response), response
        headers = {name.decode(): value.decode() for name, value in response.headers}
        return response.status_code, headers, self.body()

    def body(self) -> bytes:
        """Read what has come of a body."""
        body = b""
        while isinstance(event := self.http.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage) or event is h11.NEED_DATA
        return body

    def more(self) -> list[dict[str, Any]]:
        """Return the configurations that a stream has brought since."""
        data = self.connection.data_to_send()
        if data:
            self.http.receive_data(data)
        return split(self.body())


def split(streamed: bytes) -> list[dict[str, Any]]:
    """Take apart what was streamed."""
    *texts, rest = streamed.split(b"\n\n\n\n")
    assert not rest
    return [json.loads(text) for text in texts]
