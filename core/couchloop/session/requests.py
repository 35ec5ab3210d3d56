"""What a session asks by itself: a node for a configuration or a sign of life, and who waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from couchloop.hot.request import Request

if TYPE_CHECKING:
    from couchloop.hot.deadlines import Deadlines
    from couchloop.kv.connection import Connection
    from couchloop.session.shared import Shared


class OwnRequest(Request):
    """What the session itself asks of a node: a configuration (0xb5), or a sign of life (0x0a).

    Args:
        opcode: of the request.
        timeout: seconds until there is an answer.
        done: called with it once there is an answer, or will be none.
        extras: as the opcode wants them.
        value: likewise.
    """

    __slots__ = ()
    name = "control"

    def __init__(
        self,
        opcode: int,
        timeout: float,
        done: Callable[[OwnRequest], None],
        extras: bytes = b"",
        value: bytes = b"",
    ) -> None:
        super().__init__(opcode, b"", timeout, extras, value)
        self.batch = _Answer(done)


class _Answer:
    """Whom the answer of the session's own request is for: no caller of a user's."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[OwnRequest], None]) -> None:
        self._done = done

    def member_done(self, op: OwnRequest) -> bool:
        """Take the answer; nobody is to be told beside."""
        self._done(op)
        return False


class WaitLimit(Request):
    """The time limit of something that waits for the nodes: never sent, but has a deadline.

    Args:
        name: of what waits.
        timeout: seconds until its deadline.
        look: called with the time whenever a connection or the configuration has changed.
    """

    __slots__ = ("look", "name")

    def __init__(self, name: str, timeout: float, look: Callable[[float], Any]) -> None:
        super().__init__(0, b"", timeout)
        self.name = name  # type: ignore[misc]  # of each, not of the class
        self.look = look


class OwnRequests:
    """Sends what the session asks by itself.

    Args:
        shared: with all parts of the session.
        deadlines: of the session's requests.
    """

    def __init__(self, shared: Shared, deadlines: Deadlines) -> None:
        self._shared = shared
        self._deadlines = deadlines

    def send(
        self,
        connection: Connection,
        opcode: int,
        done: Callable[[OwnRequest], None],
        now: float,
        extras: bytes = b"",
        value: bytes = b"",
        timeout: float | None = None,
    ) -> OwnRequest:
        """Ask something of a node; *done* is called with the answer, or without one.

        *timeout* is in seconds; None: config_node_timeout.
        """
        limit = self._shared.settings.config_node_timeout if timeout is None else timeout
        request = OwnRequest(opcode, limit, done, extras, value)
        self._deadlines.add(request, now)
        connection.send(request, 0)
        return request

    def forget(self, request: OwnRequest) -> None:
        """Wait no more for an answer to *request*, whose connection is gone; nobody is told."""
        self._deadlines.remove(request)
