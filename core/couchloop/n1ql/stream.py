"""One query: what is sent for it, when it is sent anew, and what its answer means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop import transcoder
from couchloop.exceptions import (
    AmbiguousAnswerError,
    AnswerError,
    ArgumentError,
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    FeatureNotAvailableError,
    IncompleteAnswerError,
    N1QLError,
    ValueFormatError,
)
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import JSON, Service, ServiceRequest
from couchloop.n1ql.errors import PREPARED, did_not_run, error_of
from couchloop.n1ql.options import milliseconds
from couchloop.operations.rows import RowStream
from couchloop.retries import RetryReason

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults
    from couchloop.operations.recent import Memory
    from couchloop.topology.configuration import ClusterConfig

PATH: Final = "/query/service"
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a request: the service takes no more, unless it was told so."""
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.5
_ASKED: Final = ServiceRequest(Service.QUERY, "POST", PATH, b"", JSON)
"""What stands there until it is known what the node wants (`QueryStream.asked_of`)."""
_EARLIER: Final = 0.5
"""Seconds at most by which the service's time ends before the client's (and a tenth of it)."""
_IS_PREPARED_BY_ITSELF: Final = re.compile(r"\s*(PREPARE|EXECUTE)\b", re.IGNORECASE)


class Query(NamedTuple):
    """What a query is, whatever object has said it."""

    members: Mapping[str, Any]
    """Of the request, by the names of the service, with the statement and without the time."""
    timeout: float
    """Seconds that its caller gives it."""
    server_timeout: float | None
    """Seconds that the service is given; None: a little less."""
    adhoc: bool
    read: Callable[[bytes], Any]
    """Makes a row of its bytes; user code may run in it."""


class Prepared(NamedTuple):
    """A statement that the service has prepared."""

    name: str
    plan: str
    """The plan itself, which older servers want with the name; empty: it is not needed."""


class QueryStream(RowStream[Any]):
    """The rows of one query.

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        query: what is asked.

    Raises ValueFormatError for a parameter that JSON cannot say, ArgumentError for a request that
    is too large.
    """

    request = "N1QLRequest"
    retry_reason = RetryReason.QUERY_ERROR_RETRYABLE

    def __init__(self, name: str, defaults: Defaults, query: Query) -> None:
        others = dict(query.members)
        self.statement: str = others.pop("statement")
        self._others = _encoded(others)
        self._stated = _encoded({"statement": self.statement})
        if len(self._others) + len(self._stated) > LONGEST:
            most = f"{LONGEST >> 20} MiB"
            raise ArgumentError(f"a query and its parameters have no more than {most}")
        self._adhoc = query.adhoc or _IS_PREPARED_BY_ITSELF.match(self.statement) is not None
        self._own_time = "timeout" in others
        self._server_timeout = query.server_timeout
        self._context = others.get("query_context")
        self._uses_replica = others.get("use_replica") == "on"
        self._context_id = others.get("client_context_id")
        self._is_readonly = others.get("readonly") is True
        self._memory: Memory | None = None
        self._prepared: Prepared | None = None
        """What is executed by its name."""
        self._is_preparing = False
        """Whether the answer is that of a PREPARE alone: nobody is to see its rows."""
        self._plans: list[Any] = []
        """The rows of a PREPARE: bytes, or what was read of them."""
        self._has_prepared_anew = False
        self._reads(query.read)
        super().__init__(name, defaults, _ASKED, QUERY_ROWS, query.timeout)

    def _row(self, data: bytes) -> Any:
        raise NotImplementedError

    @property
    def request_id(self) -> str | None:
        """See `RowStream`."""
        return self._context_id if isinstance(self._context_id, str) else None

    # What is sent

    def asked_of(self, config: ClusterConfig, memory: Memory, seconds: float) -> ServiceRequest:
        """See `RowStream`: an older cluster wants another form, or cannot do it at all."""
        can = config.capabilities.get("n1ql", frozenset())
        if self._uses_replica and "readFromReplica" not in can:
            raise FeatureNotAvailableError(
                "use_replica: the query service of this cluster does not read from replicas"
            )
        self._memory = memory
        if self._context_id is None:
            self._context_id = memory.new_id()
        members: dict[str, Any] = {"client_context_id": self._context_id}
        if not self._own_time:
            members["timeout"] = milliseconds(self._time_of_server(seconds))
        others = self._others
        self._is_preparing, self._prepared = False, None
        stated = b""
        if self._adhoc:
            stated = self._stated
        else:
            others = self._prepare(members, others, is_enhanced="enhancedPreparedStatements" in can)
        return ServiceRequest(
            Service.QUERY,
            "POST",
            PATH,
            _joined(_encoded(members), stated, others),
            JSON,
            self._is_readonly or self._is_preparing,
            (("client-context-id", shown_id(self._context_id)),),
        )

    def _time_of_server(self, left: float) -> float:
        own = self._server_timeout
        if own is not None:
            return min(own, left)
        return left - min(_EARLIER, left / 10)

    def _prepare(self, members: dict[str, Any], others: bytes, *, is_enhanced: bool) -> bytes:
        """Add what has a prepared statement executed, or prepared first; return the others."""
        memory = self._memory
        assert memory is not None, "it was just given"
        known: Prepared | None = memory.prepared.get(self._key)
        if known is not None and known.plan and is_enhanced:
            # It was prepared by an older server.
            known = None
        self._prepared = known
        if known is not None:
            members["prepared"] = known.name
            if known.plan:
                members["encoded_plan"] = known.plan
            return others
        members["statement"] = f"PREPARE {self.statement}"
        if is_enhanced:
            members["auto_execute"] = True
            return others
        self._is_preparing = True
        self._plans.clear()
        return _encoded({} if self._context is None else {"query_context": self._context})

    @property
    def _key(self) -> tuple[str, Any]:
        return self.statement, self._context

    # What comes back

    def _look(self, piece: bytes) -> None:
        super()._look(piece)
        if self._is_preparing:
            ready: Any = self.ready
            self._plans += ready
            self.ready.clear()
            if len(self._plans) > 1:
                raise _no_plan()

    def _end(self, now: float) -> None:
        if not self._is_preparing:
            super()._end(now)
            return
        try:
            self._conclude()
            self._keep(_plan_of(self._plans))
        except CouchbaseError as error:
            if self._begins_again(error, now):
                return
            self._is_finished = True
            raise
        self._ask_anew(0.0, now)

    def _keep(self, prepared: Prepared) -> None:
        if self._memory is not None:
            self._memory.prepared.keep(self._key, prepared)

    def _finish(self, members: Mapping[str, Any]) -> None:
        """See `RowStream`: the first error decides."""
        errors = members.get("errors")
        if errors or members.get("status") != "success":
            listed = errors if isinstance(errors, list) else [errors] if errors else []
            raise error_of(listed, self.statement, self.node)
        name = members.get("prepared")
        if not self._adhoc and self._prepared is None and isinstance(name, str) and name:
            self._keep(Prepared(name, ""))

    def _refusal(self, body: bytes) -> CouchbaseError:
        """See `RowStream`: what is no JSON is not of the service."""
        try:
            members = None if b"\0" in body else transcoder.decode_json(body)
        except ValueFormatError:
            members = None
        if not isinstance(members, dict):
            return super()._refusal(body)
        errors = members.get("errors")
        self.scanner.members.update(
            {name: value for name, value in members.items() if name != QUERY_ROWS}
        )
        if not isinstance(errors, list) or not errors:
            return super()._refusal(body)
        return error_of(errors, self.statement, self.node)

    def _cut_off(self, error: AnswerError) -> AnswerError:
        """See `RowStream`: what may have changed something is not known to have."""
        if self._is_readonly or self._is_preparing:
            return error
        text = f"{error.message.rstrip('.')}; whether the query was carried out is not known"
        return AmbiguousAnswerError(
            text, context=error.context, rows=error.rows, offset=error.offset
        )

    def _pause_before(self, error: CouchbaseError) -> float | None:
        """See `RowStream`: what did not run, or changes nothing, is asked anew."""
        pause = min(_FIRST_PAUSE * 2.0 ** min(self.attempts - 1, 16), _LONGEST_PAUSE)
        if isinstance(error, N1QLError):
            if error.code in PREPARED:
                return self._prepares_anew()
            is_untouched = not self.metrics.get("mutationCount")
            return pause if is_untouched and did_not_run(error) else None
        is_lost = isinstance(error, IncompleteAnswerError | ConnectionLostError)
        return pause if is_lost and (self._is_readonly or self._is_preparing) else None

    def _reason(self, error: CouchbaseError) -> RetryReason:
        """See `RowStream`."""
        if isinstance(error, N1QLError) and error.code in PREPARED:
            return RetryReason.QUERY_PREPARED_STATEMENT_FAILURE
        return super()._reason(error)

    def _prepares_anew(self) -> float | None:
        """Have the statement prepared anew, once, if it was executed by a name from before."""
        known = self._prepared
        if known is None or self._memory is None:
            return None
        self._memory.prepared.forget(self._key, known)
        if self._has_prepared_anew:
            return None
        self._has_prepared_anew = True
        return 0.0


def _encoded(members: Mapping[str, Any]) -> bytes:
    """Return what stands between the braces of a JSON object."""
    return transcoder.encode_json(members)[1:-1]


def _joined(*parts: bytes) -> bytes:
    return b"{%b}" % b",".join(filter(None, parts))


def shown_id(context_id: str) -> str:
    """Return an id as a header may have it."""
    if context_id.isascii() and context_id.isprintable() and " " not in context_id:
        return context_id
    return "".join(each if " " < each < "\x7f" else "?" for each in context_id)


def _plan_of(rows: list[Any]) -> Prepared:
    """Return what a PREPARE alone has given: one row with a name and a plan."""
    row = rows[0] if len(rows) == 1 else None
    if type(row) is bytes:
        try:
            row = None if b"\0" in row else transcoder.decode_json(row)
        except ValueFormatError:
            row = None
    if isinstance(row, dict):
        name, plan = row.get("name"), row.get("encoded_plan")
        if isinstance(name, str) and name and isinstance(plan, str):
            return Prepared(name, plan)
    raise _no_plan()


def _no_plan() -> BrokenAnswerError:
    return BrokenAnswerError("the query service has prepared the statement, and gives no plan")
