"""Services asked whether they are well: each node of each service once, and what its answer means.

They are asked as RFC 0034 has it. With 401 or 404 a service shows that it is there, and yet is not
as it should be: that is an error. What management and eventing say is no matter, as long as it is
no failure of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, IntEnum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from couchloop.exceptions import (
    ArgumentError,
    CleartextPasswordError,
    CouchbaseError,
    ErrorContext,
    HTTPError,
    TimeoutError,  # noqa: A004 - 2.5's name
)
from couchloop.http.service import Service, ServiceRequest
from couchloop.operations.service_call import ServiceCall
from couchloop.session.services.services import out_of_time

if TYPE_CHECKING:
    from couchloop.session.services.pool import Place
    from couchloop.session.services.services import Services

_OK: Final = 200
_FAILURE: Final = 500


class ServiceType(Enum):
    """A service of a cluster, as RFC 0061 calls it."""

    KEY_VALUE = "kv"
    VIEWS = "views"
    QUERY = "query"
    SEARCH = "search"
    ANALYTICS = "analytics"
    MANAGEMENT = "mgmt"
    EVENTING = "eventing"


class PingStatus(IntEnum):
    """How a node answered a ping (SDK 2.5)."""

    OK = 0
    TIMEOUT = 1
    ERROR = 2
    NOT_ASKED = 3
    """It would have been told the password in clear text (not in SDK 2.5)."""


_OLD_NAMES: Final = {ServiceType.QUERY: "n1ql", ServiceType.SEARCH: "fts"}
_SERVICES: Final = {
    ServiceType.VIEWS: Service.VIEWS,
    ServiceType.QUERY: Service.QUERY,
    ServiceType.SEARCH: Service.SEARCH,
    ServiceType.ANALYTICS: Service.ANALYTICS,
    ServiceType.MANAGEMENT: Service.MANAGEMENT,
    ServiceType.EVENTING: Service.EVENTING,
}
TYPES: Final = {service: kind for kind, service in _SERVICES.items()}
_BY_NAME: Final = {
    **{kind.value: kind for kind in ServiceType},
    **{name: kind for kind, name in _OLD_NAMES.items()},
    "cbas": ServiceType.ANALYTICS,
    "management": ServiceType.MANAGEMENT,
}

_PATHS: Final = {
    Service.MANAGEMENT: "/",
    Service.VIEWS: "/",
    Service.QUERY: "/admin/ping",
    Service.SEARCH: "/api/ping",
    Service.ANALYTICS: "/admin/ping",
    Service.EVENTING: "/",
}
_ANYTHING: Final = frozenset({Service.MANAGEMENT, Service.EVENTING})
"""Services that have nothing to be asked for: whatever they answer, they are there."""
_REFUSALS: Final = {
    401: "the service answers, but does not know the user, or not by this password (HTTP 401)",
    403: "the service answers, but does not let the user ask (HTTP 403)",
    404: "something answers, but knows no {path} (HTTP 404)",
}


def old_name(service: Service) -> str:
    """Return how SDK 2.5 calls *service*, in `ping`; what it does not know has RFC 0061's name."""
    kind = TYPES[service]
    return _OLD_NAMES.get(kind, kind.value)


def rfc_name(name: str) -> str:
    """Return RFC 0061's name of the service that `old_name` calls *name*."""
    return _BY_NAME[name].value


def chosen(
    services: Iterable[ServiceType | str] | ServiceType | str | None,
) -> tuple[bool, tuple[Service, ...]]:
    """Return whether the data service is meant by *services*, and which others; None: all are.

    Raises ArgumentError for what is none.
    """
    if services is None:
        return True, tuple(Service)
    try:
        given = [services] if isinstance(services, str | ServiceType) else list(services)
        kinds = {each if isinstance(each, ServiceType) else _BY_NAME[each] for each in given}
    except (KeyError, TypeError):
        names = ", ".join(sorted(_BY_NAME))
        raise ArgumentError(
            f"services is a list of ServiceType, or of names: {names}", objextra=services
        ) from None
    if not kinds:
        raise ArgumentError("services names none: leave it out, or name one")
    # In the order of reports.
    others = tuple(service for service, kind in TYPES.items() if kind in kinds)
    return ServiceType.KEY_VALUE in kinds, others


class Outcome(NamedTuple):
    """What came of asking a service."""

    status: PingStatus
    latency: float
    """Seconds from being asked, with the connection being made, if so; 0: it was never answered."""
    error: CouchbaseError | None
    """What is wrong."""


def request_for(place: Place) -> ServiceRequest:
    """Return what is asked of a service to hear whether it is well."""
    path, node = _PATHS[place.service], str(place.address)
    return ServiceRequest(place.service, "GET", path, is_idempotent=True, node=node)


def fault_of(asked: ServiceRequest, status: int, *, any_answer: bool) -> HTTPError | None:
    """Return what *status* says is wrong with a service; None: nothing.

    *any_answer*: whether it is well with whatever it answers, unless it says that it failed.
    """
    if status == _OK or (any_answer and status < _FAILURE):
        return None
    text = _REFUSALS.get(status, f"the service answered HTTP {status}")
    return HTTPError(text.format(path=asked.path), context=ErrorContext(node=asked.node))


class PingCall(ServiceCall):
    """A request that asks whether a service is well: one that fails is not repeated.

    But for a connection that the service had closed while nobody used it.
    """

    __slots__ = ("at", "began")
    is_probe = True

    def __init__(self, at: Place, timeout: float, now: float) -> None:
        super().__init__(request_for(at), timeout)
        self.at = at
        """What is asked."""
        self.began = now

    def outcome(self) -> Outcome:
        """Return what came of it; it is done."""
        reply, error = self.reply, self.error
        if reply is None:
            assert error is not None, "it is not done"
            return Outcome(_status_of(error), 0.0, error)
        latency = max(0.0, self.answered_at - self.began)
        error = fault_of(self.asked, reply.status, any_answer=self.asked.service in _ANYTHING)
        return Outcome(PingStatus.OK if error is None else PingStatus.ERROR, latency, error)


def _status_of(error: CouchbaseError) -> PingStatus:
    if isinstance(error, CleartextPasswordError):
        return PingStatus.NOT_ASKED
    return PingStatus.TIMEOUT if isinstance(error, TimeoutError) else PingStatus.ERROR


class ServicePings:
    """Asks each node of some services, and keeps what came of it.

    Args:
        services: which of them.
        timeout: seconds that each node has.
        told: called whenever something has come.
    """

    __slots__ = ("_calls", "_timeout", "_told", "kinds", "outcomes")

    def __init__(
        self, services: tuple[Service, ...], timeout: float, told: Callable[[], None]
    ) -> None:
        self.kinds = services
        self.outcomes: dict[Place, Outcome] = {}
        self._timeout = timeout
        self._told: Callable[[], None] | None = told
        self._calls: dict[Place, PingCall] = {}
        """Those that are not answered yet."""

    def ask(self, services: Services, now: float, limit: float = inf) -> None:
        """Ask those that have not been asked; what comes of it at once is told to nobody.

        *limit*: seconds that each of them has at most.
        """
        timeout = min(self._timeout, limit)
        new = [
            PingCall(place, timeout, now)
            for place in services.places(self.kinds)
            if place not in self.outcomes and place not in self._calls
        ]
        told, self._told = self._told, None
        for call in new:
            self._calls[call.at] = call
            call.batch = self
            services.begin(call, now)
        self._told = told

    def member_done(self, op: PingCall) -> bool:
        """Take an answer, or why there is none; nobody is to be told beside."""
        if self._calls.pop(op.at, None) is op:
            self.outcomes[op.at] = op.outcome()
            if self._told is not None:
                self._told()
        return False

    def is_well(self, place: Place) -> bool:
        """Whether what is at *place* has answered as it should."""
        outcome = self.outcomes.get(place)
        return outcome is not None and outcome.status is PingStatus.OK

    def failures(self, services: Services) -> list[tuple[str, CouchbaseError]]:
        """Return who is not well, as "host:port", or as a service that no node has, and why."""
        found: list[tuple[str, CouchbaseError]] = []
        for service in self.kinds:
            places = services.places((service,))
            if not places and (error := services.unavailable(service)) is not None:
                found.append((TYPES[service].value, error))
            for place in places:
                outcome = self.outcomes.get(place)
                if outcome is not None and outcome.error is not None:
                    found.append((str(place.address), outcome.error))
        return found

    def are_answered(self, places: Iterable[Place]) -> bool:
        """Whether something has come of each of *places*."""
        return all(place in self.outcomes for place in places)

    def ask_anew(self) -> None:
        """Forget what is not well: the next `ask` asks it again."""
        self.outcomes = {
            place: outcome
            for place, outcome in self.outcomes.items()
            if outcome.status is PingStatus.OK
        }

    def expire(self, excuse: str = "") -> None:
        """Take what is not answered for late; *excuse* is why the nodes need not be to blame."""
        for place, call in self._calls.items():
            error = out_of_time(call)
            if excuse:
                error.message = f"{error.message}; {excuse}"
            self.outcomes[place] = Outcome(PingStatus.TIMEOUT, self._timeout, error)

    def let_go(self, services: Services) -> None:
        """Ask no more, and tell nobody."""
        self._told = None
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.batch = None
            services.cancel(call)
