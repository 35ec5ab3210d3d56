"""What results with rows are on either loop, and in plain threads: one request, its rows once.

The rows stream (`couchloop.operations.rows`): nothing is sent before the first is asked for, and no
more is read than is taken.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from couchloop.client.stream import StreamBase, end
from couchloop.exceptions import AlreadyQueriedError, RowsNotReadError
from couchloop.http.headers import Headers
from couchloop.operations.rows import RowStream

T = TypeVar("T")


class RawAnswer(dict[str, Any]):
    """What stands beside the rows, and what SDK 2.5 has of the answer besides.

    Args:
        stream: of the rows.
    """

    def __init__(self, stream: RowStream[Any]) -> None:
        super().__init__(stream.meta)
        self.http_status = stream.status
        """Of the answer; 0: there was none."""
        self.headers = Headers(stream.headers)
        """Of the answer, by names in lower case; a name is found in any case."""
        self.url = f"{stream.node}{stream.asked.path}"
        """What was asked, without the scheme: the node and the path."""

    @property
    def value(self) -> dict[str, Any]:
        """The same."""
        return self

    @property
    def success(self) -> bool:
        """Whether the service has given rows, and says of nothing that it has failed."""
        return self.http_status == HTTPStatus.OK and not self.get("errors")


class RowsBase(StreamBase[T]):
    """One request to a service, and the rows of its answer.

    The rows are given once. What stands beside them (`meta`, `metrics`, `errors`) is whole after
    the last of them.
    """

    _stream: RowStream[T]
    _is_taken = False

    def _take_once(self) -> RowStream[T]:
        """Return the stream, for who takes all rows; raise AlreadyQueriedError a second time."""
        if self._is_taken:
            raise AlreadyQueriedError(
                f"the rows of this {self._stream.name}() are given once: ask again for them"
            )
        self._is_taken = True
        return self._stream

    @property
    def done(self) -> int:
        """How many rows were taken."""
        return self._stream.rows

    @property
    def closed(self) -> bool:
        """Whether it gives no more rows."""
        return self._stream.is_over

    @property
    def meta(self) -> dict[str, Any]:
        """What the service says beside the rows, by its own names."""
        self._read_on()
        return self._stream.meta

    @property
    def raw(self) -> RawAnswer:
        """The same, with status, headers and URL of the answer (SDK 2.5)."""
        self._read_on()
        return RawAnswer(self._stream)

    @property
    def metrics(self) -> dict[str, Any]:
        """What the service has measured, by its own names; empty if it does not tell."""
        self._read_on()
        return self._stream.metrics

    @property
    def errors(self) -> list[Any]:
        """What the service says that has failed; the first of it was raised behind the rows."""
        self._read_on()
        return self._stream.errors

    def _read_on(self) -> None:
        """See to it that all of the answer was read, where this can wait; else raise.

        Raises RowsNotReadError (a RuntimeError).
        """
        if not self._stream.is_finished:
            raise RowsNotReadError(
                "what stands beside the rows is known after the last of them: take all rows first"
            )

    def _let_go(self) -> None:
        """Close it from whatever thread this is: nobody asks for its rows any more."""
        driver, stream = self._driver, self._stream
        if not stream.is_over:
            # The loop may be gone.
            with suppress(Exception):
                self._soon(driver, lambda: end(driver, stream))

    def __repr__(self) -> str:
        stream = self._stream
        state = "not sent" if not stream.attempts else "complete" if stream.is_finished else "open"
        kind = type(self)
        return f"<{kind.__module__}.{kind.__name__} {stream.name!r}: {self.done} rows, {state}>"
