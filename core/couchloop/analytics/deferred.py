"""A query whose rows are fetched later (SDK 2.5): the service gives handles in place of rows.

It is asked three things: to run the query, by a first handle whether it is ready, and by a second
one for the rows. A handle is a URL; only nodes of the cluster are asked, whatever it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from couchloop.analytics.errors import error_of
from couchloop.analytics.stream import AnalyticsStream, Asked, listed
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    AnalyticsInternalError,
    BrokenAnswerError,
    CouchbaseError,
    ErrorContext,
    UnambiguousTimeoutError,
)
from couchloop.http.rows import QUERY_ROWS
from couchloop.http.service import Service, ServiceRequest

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults
    from couchloop.operations.recent import Memory
    from couchloop.topology.configuration import ClusterConfig


_OK: Final = 200
_FAILED: Final = frozenset(
    {"failed", "fatal", "errors", "timeout", "timedout", "stopped", "aborted"}
)


class _Step(Enum):
    """What the service is asked."""

    RUN = "run"
    WAIT = "wait"
    FETCH = "fetch"


class DeferredAnalyticsStream(AnalyticsStream):
    """The rows of one deferred query.

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        query: what is asked; it has an interval.
    """

    def __init__(self, name: str, defaults: Defaults, query: Asked) -> None:
        super().__init__(name, defaults, query)
        self._members["mode"] = "async"
        self._interval = query.interval
        self._step = _Step.RUN
        self._place = ""
        """`host:port` of who knows the handle."""
        self._path = ""
        self._is_first = True
        """Whether nothing of the answer was looked at."""
        self._is_bare = False
        """Whether the rows come as a list alone."""
        self.handle: str = ""
        """What the service has given last in place of rows."""

    def asked_of(self, config: ClusterConfig, memory: Memory, seconds: float) -> ServiceRequest:
        """See `RowStream`: a handle names its node."""
        if self._step is _Step.RUN:
            return super().asked_of(config, memory, seconds)
        if not _has(config, self._place):
            # Some address that it has for itself: it is the one that has answered.
            self._place = self.node or self._place
        return ServiceRequest(
            Service.ANALYTICS, "GET", self._path, is_idempotent=True, node=self._place
        )

    @property
    def is_ready(self) -> bool:
        """See `AnalyticsStream`."""
        return self._step is _Step.FETCH

    @property
    def _is_repeatable(self) -> bool:
        return self._is_readonly or self._step is not _Step.RUN

    def _look(self, piece: bytes) -> None:
        if self._step is _Step.FETCH and self._is_first and self.status == _OK:
            piece = piece.lstrip(b" \t\r\n")
            self._is_first = not piece
            if piece.startswith(b"["):
                self._is_bare = True
                piece = b'{"%s":%s' % (QUERY_ROWS.encode(), piece)
        if piece:
            super()._look(piece)

    def _conclude(self) -> None:
        if self._is_bare and self._fault is None:
            self._is_bare = False
            self.scanner.feed(b"}")
        super()._conclude()

    def _ask_anew(self, pause: float, now: float) -> None:
        super()._ask_anew(pause, now)
        self._is_first, self._is_bare = True, False

    def _end(self, now: float) -> None:
        """Go on with the next step, if there is one."""
        try:
            self._conclude()
            pause = self._go_on(self.scanner.members)
            if pause is not None and now + pause >= self._deadline:
                raise self._told(self._late())
        except CouchbaseError as error:
            if self._begins_again(error, now):
                return
            self._is_finished = True
            raise
        if pause is None:
            self._is_finished = True
        else:
            self._ask_anew(pause, now)

    def _go_on(self, members: Mapping[str, Any]) -> float | None:
        """Return after how many seconds it is asked for the next step; None: there is none."""
        handle = members.get("handle")
        if self._step is _Step.FETCH or (self._step is _Step.RUN and handle is None):
            # A service that does not defer has given the rows.
            return None
        if self._step is _Step.RUN:
            self._step = _Step.WAIT
        elif members.get("status") == "success":
            self._step = _Step.FETCH
        else:
            return self._interval
        self._follow(handle)
        return 0.0

    def _follow(self, handle: object) -> None:
        """Have the next step ask what *handle* names. Raises BrokenAnswerError."""
        try:
            parts = urlsplit(handle if isinstance(handle, str) else "")
        except ValueError:
            parts = urlsplit("")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if not _is_path(path):
            raise self._told(BrokenAnswerError("the analytics service gave no handle of its rows"))
        self.handle, self._path, self._place = str(handle), path, parts.netloc

    def _late(self) -> CouchbaseError:
        kind = UnambiguousTimeoutError if self._is_readonly else AmbiguousTimeoutError
        text = "the deferred analytics query was not ready in time; it goes on in the service"
        return kind(text, context=ErrorContext(timeout=self.timeout))

    def _finish(self, members: Mapping[str, Any]) -> None:
        """See `RowStream`: it has failed if the service says so, in whatever step."""
        errors = listed(members.get("errors"))
        if errors:
            raise error_of(errors, self.statement, self.node)
        if members.get("status") in _FAILED:
            raise AnalyticsInternalError("the deferred analytics query has failed")


def _is_path(path: str) -> bool:
    return path.startswith("/") and path.isascii() and path.isprintable() and " " not in path


def _has(config: ClusterConfig, place: str) -> bool:
    """Whether a node of the cluster has the service there, on whatever network."""
    return any(
        str(node.address(network, key)) == place
        for node in config.nodes
        for network in node.networks
        for key in (Service.ANALYTICS.value, f"{Service.ANALYTICS.value}SSL")
    )
