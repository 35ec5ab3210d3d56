"""One analytics query: what is sent for it, when it is sent anew, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop import transcoder
from couchloop.analytics.errors import DID_NOT_RUN, error_of
from couchloop.exceptions import (
    AmbiguousAnswerError,
    AnalyticsError,
    AnswerError,
    ConnectionLostError,
    CouchbaseError,
    IncompleteAnswerError,
    ValueFormatError,
)
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import JSON, Service, ServiceRequest
from couchloop.n1ql.options import milliseconds
from couchloop.n1ql.stream import shown_id
from couchloop.operations.rows import RowStream
from couchloop.retries import RetryReason

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults
    from couchloop.operations.recent import Memory
    from couchloop.topology.configuration import ClusterConfig

PATH: Final = "/analytics/service"
_OK: Final = 200
MOST_TRIES: Final = 10
"""How often what did not run is asked in all (RFC 0027)."""
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.5
_EARLIER: Final = 0.5
"""Seconds at most by which the service's time ends before the client's (and a tenth of it)."""


class Asked(NamedTuple):
    """What a query is, whatever object has said it."""

    members: Mapping[str, Any]
    """Of the request, by the names of the service, without the time."""
    timeout: float
    """Seconds that its caller gives it."""
    read: Callable[[bytes], Any]
    """Makes a row of its bytes; user code may run in it."""
    has_priority: bool = False
    node: str = ""
    """`host:port`, or the host, of who is asked; empty: any that has the service."""
    interval: float = 0.0
    """Seconds between two questions whether it is ready; 0: it is not deferred."""


class AnalyticsStream(RowStream[Any]):
    """The rows of one query.

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        query: what is asked.

    Raises ValueFormatError for a parameter that JSON cannot say.
    """

    request = "AnalyticsRequest"
    retry_reason = RetryReason.ANALYTICS_TEMPORARY_FAILURE

    def __init__(self, name: str, defaults: Defaults, query: Asked) -> None:
        members = dict(query.members)
        self.statement: str = members["statement"]
        self._members = members
        self._is_readonly = members.get("readonly") is True
        self._reads(query.read)
        headers = (("Analytics-Priority", "-1"),) if query.has_priority else ()
        # What cannot be sent is told by the call.
        transcoder.encode_json(members)
        asked = ServiceRequest(
            Service.ANALYTICS,
            "POST",
            PATH,
            b"",
            JSON,
            is_idempotent=self._is_readonly,
            headers=headers,
            node=query.node,
        )
        super().__init__(name, defaults, asked, QUERY_ROWS, query.timeout)

    def _row(self, data: bytes) -> Any:
        raise NotImplementedError

    @property
    def request_id(self) -> str | None:
        """See `RowStream`."""
        found = self._members.get("client_context_id")
        return found if isinstance(found, str) else None

    @property
    def is_ready(self) -> bool:
        """Whether the service gives the rows."""
        return self.status == _OK

    # What is sent

    def asked_of(self, config: ClusterConfig, memory: Memory, seconds: float) -> ServiceRequest:
        """See `RowStream`: the service is told how much time is left."""
        del config
        members = self._members
        members.setdefault("client_context_id", memory.new_id())
        sent = {"timeout": milliseconds(seconds - min(_EARLIER, seconds / 10)), **members}
        return replace(
            self.asked,
            body=transcoder.encode_json(sent),
            headers=(
                *self.asked.headers,
                ("client-context-id", shown_id(str(members["client_context_id"]))),
            ),
        )

    # What comes back

    def _finish(self, members: Mapping[str, Any]) -> None:
        """See `RowStream`: the first error decides."""
        errors = members.get("errors")
        if errors or members.get("status") != "success":
            raise error_of(listed(errors), self.statement, self.node)

    def _refusal(self, body: bytes) -> CouchbaseError:
        """See `RowStream`: what is no JSON is not of the service."""
        try:
            members = None if b"\0" in body else transcoder.decode_json(body)
        except ValueFormatError:
            members = None
        if not isinstance(members, dict):
            return super()._refusal(body)
        self.scanner.members.update(
            {name: value for name, value in members.items() if name != QUERY_ROWS}
        )
        errors = listed(members.get("errors"))
        return error_of(errors, self.statement, self.node) if errors else super()._refusal(body)

    def _cut_off(self, error: AnswerError) -> AnswerError:
        """See `RowStream`: what may have changed something is not known to have."""
        if self._is_readonly:
            return error
        text = f"{error.message.rstrip('.')}; whether the query was carried out is not known"
        return AmbiguousAnswerError(
            text, context=error.context, rows=error.rows, offset=error.offset
        )

    def _pause_before(self, error: CouchbaseError) -> float | None:
        """See `RowStream`: what did not run, or changes nothing, is asked anew."""
        pause = min(_FIRST_PAUSE * 2.0 ** min(self.attempts - 1, 16), _LONGEST_PAUSE)
        if isinstance(error, AnalyticsError):
            may_run = error.code in DID_NOT_RUN and self.attempts < MOST_TRIES
            return pause if may_run else None
        is_lost = isinstance(error, IncompleteAnswerError | ConnectionLostError)
        return pause if is_lost and self._is_repeatable else None

    @property
    def _is_repeatable(self) -> bool:
        """Whether it may be carried out twice."""
        return self._is_readonly


def listed(errors: Any) -> list[Any]:
    """Return the errors that an answer has; it may have anything."""
    return errors if isinstance(errors, list) else [errors] if errors else []
