"""Rows of a service's answer as a stream: read as they are taken, and no faster.

The answer comes in pieces. While rows of one are not taken nothing more is read from the socket, so
that the service waits; what is kept is one piece, and a row that has not ended.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from couchloop.exceptions import (
    AnswerError,
    AuthError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    HTTPError,
    NotAuthorizedError,
    ServiceNotAvailableError,
    own_copy,
)
from couchloop.hot.encoding import about
from couchloop.http.rows import RowScanner
from couchloop.operations.service_call import ServiceCall
from couchloop.operations.stream import Stream
from couchloop.safety.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from couchloop.hot.operation import Defaults, Operation
    from couchloop.http.service import ServiceRequest
    from couchloop.operations.procedure import Performer

T = TypeVar("T")

_OK: Final = 200
_LONGEST_REFUSAL: Final = 1024 * 1024
"""Bytes of an answer without rows that are kept."""
_LONGEST_SHOWN: Final = 1024
"""Characters of it that an error shows."""
_REFUSALS: Final[Mapping[int, type[CouchbaseError]]] = {
    401: AuthError,
    403: NotAuthorizedError,
    503: ServiceNotAvailableError,
}


class RowStream(Stream[T], Generic[T]):
    """The rows of one answer.

    A kind of it says what a row is (`_row`), what the rest of the answer means (`_finish`), and
    what an answer without rows means (`_refusal`).

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        asked: the request.
        member: name of the answer's member that has the rows (`couchloop.http.rows`).
        timeout: seconds that the service has; while rows wait to be taken none pass.
    """

    def __init__(
        self, name: str, defaults: Defaults, asked: ServiceRequest, member: str, timeout: float
    ) -> None:
        super().__init__(name, defaults)
        self.asked = asked
        self.timeout = timeout
        self.status = 0
        """Of the answer; 0 before it."""
        self.headers: Mapping[str, str] = {}
        """Of the answer, by names in lower case."""
        self.node = ""
        """`host:port` that answers."""
        self.scanner = RowScanner(member)
        """Has what stands beside the rows: `members`."""
        self._call: ServiceCall | None = None
        self._pieces: deque[bytes] = deque()
        """What has come and is not looked at yet."""
        self._refused = bytearray()
        """The answer, if it is one without rows."""
        self._has_ended = False
        """Whether the whole answer is there, or none comes any more."""
        self._fault: CouchbaseError | None = None
        """Why none comes."""
        self._is_finished = False

    # What a kind of it does

    @abstractmethod
    def _row(self, data: bytes) -> T:
        """Return what is given for a row; user code may run in here."""

    def _finish(self, members: Mapping[str, Any]) -> None:
        """Take what stands beside the rows; raise if the service says that it has failed."""

    def _refusal(self, body: bytes) -> CouchbaseError:
        """Return what an answer means whose status is not 200."""
        said = " ".join(body[: 4 * _LONGEST_SHOWN].decode("utf-8", "replace").split())
        kind = _REFUSALS.get(self.status, HTTPError)
        return kind(
            f"the {self.asked.service.name.lower()} service answered HTTP {self.status}",
            context=ErrorContext(
                node=self.node, server_context=printable(said, _LONGEST_SHOWN) or None
            ),
        )

    # See `couchloop.operations.service_call.Sink`

    def began(self, status: int, headers: Mapping[str, str], node: str) -> None:
        """Take the head of the answer."""
        self.status, self.headers, self.node = status, headers, node

    def piece(self, data: bytes) -> None:
        """Take a piece of the body; it is looked at in a turn."""
        self._pieces.append(data)
        self.poke()

    @property
    def has_enough(self) -> bool:
        """Whether no more is to be read for now."""
        return bool(self._pieces or self.ready)

    # See `Stream`

    def take(self) -> T | Any:
        """See `Stream`; what `_given` would do is done here, for there are many rows."""
        ready: deque[Any] = self.ready
        return self._row(ready.popleft()) if ready else super().take()

    def _settle(self, op: Operation[Any]) -> None:
        self._has_ended = True
        error = op.error
        if error is not None:
            # What is kept must not come to point to a frame.
            self._fault = own_copy(error)

    def _feed(self, performer: Performer, now: float) -> None:
        if self._call is None:
            self._begin(performer, now)
            return
        try:
            while self._pieces and not self.ready:
                self._look(self._pieces.popleft())
            if not self.ready and self.scanner.fault is not None:
                # What was whole before it is taken.
                self.scanner.feed(b"")
        except AnswerError as error:
            self._give_up(performer)
            raise self._told(error) from error.__cause__
        if self.ready:
            return
        if not self._has_ended:
            performer.resume(self._call, now)
        elif not self._is_finished:
            self._end()

    def _begin(self, performer: Performer, now: float) -> None:
        call: Any = ServiceCall(self.asked, self.timeout, self)
        self._call = call
        call.batch = self
        self._flying[call] = None
        performer.ask(call, now)

    def _look(self, piece: bytes) -> None:
        if self.status == _OK:
            self.ready.extend(self.scanner.feed(piece))  # type: ignore[arg-type]  # see `take`
        else:
            self._refused += piece[: _LONGEST_REFUSAL - len(self._refused)]

    def _end(self) -> None:
        """Tell how it ended, once all rows are given."""
        self._is_finished = True
        fault = self._fault
        if fault is not None:
            if self.status == _OK and isinstance(fault, ConnectionLostError):
                try:
                    # It says where it was cut off, and whether rows are missing.
                    self.scanner.close()
                except AnswerError as error:
                    raise self._told(error) from fault
            raise self._told(fault) from fault.__cause__
        if self.status != _OK:
            raise self._told(self._refusal(bytes(self._refused)))
        try:
            members = self.scanner.close()
        except AnswerError as error:
            raise self._told(error) from error.__cause__
        self._finish(members)

    def _told(self, error: CouchbaseError) -> CouchbaseError:
        """Have *error* say which method it ends, and where."""
        about(error, self.name, None)
        if error.context is not None and self.node:
            error.context.node = error.context.node or self.node
        return error

    def _give_up(self, performer: Performer) -> None:
        """Read no more of an answer that is of no use."""
        self._is_finished = self._has_ended = True
        self._pieces.clear()
        call: Any = self._call
        if self._flying.pop(call, self) is None:
            call.batch = None
            performer.give_up(call)

    @property
    def _is_exhausted(self) -> bool:
        return self._is_finished

    def _stop(self) -> list[Operation[Any]]:
        self._pieces.clear()
        return []
