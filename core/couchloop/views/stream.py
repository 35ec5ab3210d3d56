"""The rows of one view query: what is sent, when it is sent anew, what an answer means."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from couchloop.exceptions import (
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    IncompleteAnswerError,
    ValueFormatError,
    own_copy,
    without_frames,
)
from couchloop.http.rows import VIEW_ROWS
from couchloop.http.service import JSON, Service, ServiceRequest
from couchloop.management.answers import segment
from couchloop.management.design_documents import path_of
from couchloop.operations.rows import RowStream, row_reader
from couchloop.retries import RetryReason
from couchloop.typed import convert, decoder_of
from couchloop.views.params import ONERROR_CONTINUE, QueryBase, SpatialQuery
from couchloop.views.refusals import failure, refusal
from couchloop.views.rows import SpatialRow, ViewRow

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults

PAGE: Final = 100
"""Rows whose documents are fetched at once."""
_MOST_TRIES: Final = 10
_ELSEWHERE: Final = 302
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
_read_json: Final = row_reader(None)


class Asked(NamedTuple):
    """What is asked of a view, whatever method has said it."""

    design: str
    """The design document's name, with `dev_` if it is one for development."""
    view: str
    query: QueryBase
    timeout: float
    """Seconds that the service has."""
    row: Callable[..., Any] | None = None
    """Makes a row; None: ViewRow or SpatialRow."""
    has_documents: bool = False
    """Whether documents are fetched beside."""
    is_streamed: bool = True
    """Whether rows are given before the answer is whole."""
    kind: Any = None
    """The type of rows' values, and of documents; None: as JSON says."""


class ViewStream(RowStream[Any]):
    """The rows of one query.

    Args:
        name: of the method, for errors.
        defaults: of the Bucket.
        asked: what is asked.
        read: reads the bytes of a row; user code may run in it. None: as JSON says.

    Raises what `couchloop.typed.decoder_of` raises.
    """

    request: ClassVar[str] = "View"
    typed_row = ViewRow
    retry_reason = RetryReason.VIEWS_TEMPORARY_FAILURE

    def __init__(
        self,
        name: str,
        defaults: Defaults,
        asked: Asked,
        read: Callable[[bytes], Any] | None = None,
    ) -> None:
        self.design, self.view, self.query = asked.design, asked.view, asked.query
        self.has_documents = asked.has_documents
        self._kind = asked.kind
        if asked.kind is not None:
            decoder_of(asked.kind)
        self._misfit: CouchbaseError | None = None
        """What is wrong with a document: it is told of behind the rows before it."""
        self._is_streamed = asked.is_streamed
        self._decode = _read_json if read is None else read
        self._held: deque[Any] = deque()
        """Rows that are given when the answer is whole."""
        self._bucket = bucket = defaults.services.bucket
        self._is_spatial = isinstance(asked.query, SpatialQuery)
        self.make: Callable[..., Any] = asked.row or (SpatialRow if self._is_spatial else ViewRow)
        """Makes a row of its parts."""
        self._is_passing = False
        """Whether what was refused may be answered elsewhere, or later."""
        super().__init__(name, defaults, request_of(bucket, asked), VIEW_ROWS, asked.timeout)

    # Rows

    def _row(self, data: bytes) -> Any:
        return self._made(self._parts(data), None)

    def _parts(self, data: bytes) -> Mapping[str, Any]:
        parts = self._decode(data)
        if not isinstance(parts, Mapping) or "key" not in parts or "value" not in parts:
            raise BrokenAnswerError("a row of the answer is none of a view: it has no key or value")
        return parts if self._kind is None else self._typed(parts)

    def _typed(self, parts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row with its value as the type has it."""
        value = parts["value"]
        if value is None and self.has_documents:
            # Views that are asked for documents have no more to say, often.
            return parts
        try:
            return {**parts, "value": convert(value, self._kind, "value")}
        except ValueFormatError as error:
            error.key = parts.get("id")
            raise

    def _made(self, parts: Mapping[str, Any], document: Any) -> Any:
        key, value, docid = parts["key"], parts["value"], parts.get("id")
        if self._is_spatial:
            return self.make(key, value, parts.get("geometry"), docid, document)
        return self.make(key, value, docid, document)

    @property
    def rows(self) -> int:
        """See `RowStream`."""
        return super().rows - len(self._held)

    def page(self) -> list[Mapping[str, Any]]:
        """Take the rows that are there, as many as one fetch of documents is for.

        Raises what `row` raises for one that cannot be read, if none is before it.
        """
        if self._misfit is not None:
            raise self._left_misfit()
        page: list[Mapping[str, Any]] = []
        ready: deque[Any] = self.ready
        while ready and len(page) < PAGE:
            try:
                page.append(self._checked(ready[0]))
            except CouchbaseError:
                if page:
                    break
                ready.popleft()
                raise
            ready.popleft()
        return page

    def _checked(self, data: bytes) -> Mapping[str, Any]:
        try:
            return self._parts(data)
        except CouchbaseError as error:
            raise self._told(error) from error.__cause__

    def keys_of(self, page: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the keys of a page's documents, each once."""
        return list(dict.fromkeys(each["id"] for each in page if each.get("id") is not None))

    @property
    def of_documents(self) -> dict[str, Any]:
        """With which keywords `get_multi` fetches documents."""
        return {"quiet": True} if self._kind is None else {"quiet": True, "type": self._kind}

    def without(self, error: ValueFormatError) -> Mapping[Any, Any]:
        """Return the documents that `get_multi` has read, which has raised *error* for the others.

        It is raised behind the rows that are before it.
        """
        self._misfit = own_copy(without_frames(error))
        found: Mapping[Any, Any] = error.all_results or {}
        return found

    def with_documents(
        self, page: Sequence[Mapping[str, Any]], documents: Mapping[Any, Any]
    ) -> list[Any]:
        """Return the rows of a page with their documents; user code may run in here.

        Raises what is wrong with the document of the first, if so.
        """
        rows: list[Any] = []
        for each in page:
            if self._misfit is not None and each.get("id") == self._misfit.key:
                if not rows:
                    raise self._left_misfit()
                break
            rows.append(self._made(each, documents.get(each.get("id"))))
        return rows

    def _left_misfit(self) -> CouchbaseError:
        error, self._misfit = self._misfit, None
        assert error is not None, "it was looked at"
        return self._told(error)

    # See `RowStream`

    def _look(self, piece: bytes) -> None:
        super()._look(piece)
        if not self._is_streamed:
            self._held += self.ready
            self.ready.clear()

    def _end(self, now: float) -> None:
        super()._end(now)
        if self._is_finished:
            self.ready += self._held
            self._held.clear()

    def _finish(self, members: Mapping[str, Any]) -> None:
        errors = members.get("errors")
        if errors and self.query.on_error != ONERROR_CONTINUE:
            listed = errors if isinstance(errors, list) else [errors]
            raise failure(listed, self.node, self._bucket)

    def _refusal(self, body: bytes) -> CouchbaseError:
        found = refusal(self.status, body, self.node, self._bucket)
        self._is_passing = found.is_passing
        return found.error

    def _reason(self, error: CouchbaseError) -> RetryReason:
        """See `RowStream`: the node may have none of the bucket's documents."""
        if self.status == _ELSEWHERE:
            return RetryReason.VIEWS_NO_ACTIVE_PARTITION
        return super()._reason(error)

    def _pause_before(self, error: CouchbaseError) -> float | None:
        """See `RowStream`: views change nothing, so a query is asked anew until rows were given."""
        is_passing, self._is_passing = self._is_passing, False
        if isinstance(error, IncompleteAnswerError | ConnectionLostError):
            is_passing = True
        if not is_passing or self.attempts >= _MOST_TRIES:
            return None
        # The next node is another one.
        return min(_FIRST_PAUSE * 2.0 ** min(self.attempts - 1, 16), _LONGEST_PAUSE)


def request_of(bucket: str, asked: Asked) -> ServiceRequest:
    """Return what is sent. Raises InvalidNameError."""
    kind = "_spatial" if isinstance(asked.query, SpatialQuery) else "_view"
    parameters, body = asked.query.split()
    path = f"{path_of(bucket, asked.design)}/{kind}/{segment(asked.view)}"
    if parameters:
        path = f"{path}?{parameters}"
    if body is None:
        return ServiceRequest(Service.VIEWS, "GET", path, is_idempotent=True, bucket=bucket)
    return ServiceRequest(
        Service.VIEWS, "POST", path, body, JSON, is_idempotent=True, bucket=bucket
    )
