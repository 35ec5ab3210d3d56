"""Services asked whether they are well: which, how, and what their answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CleartextPasswordError,
    CouchbaseError,
    HTTPError,
    NodeUnreachableError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
)
from couchloop.http.service import Service
from couchloop.session.services.pings import (
    Outcome,
    PingStatus,
    ServicePings,
    ServiceType,
    chosen,
    old_name,
    rfc_name,
)
from couchloop.session.services.pool import Place
from couchloop.settings.values import Address
from tests.core.http.answers import answer
from tests.core.session.services.parts import ONE, TWO, Asker, config_of

ELSEWHERE = Address("db.test", 8093)
QUERY = (Service.QUERY,)


class Pinged:
    """Pings of an Asker's services, begun."""

    def __init__(
        self, *nodes: Address, services: tuple[Service, ...] = QUERY, **others: Any
    ) -> None:
        self.asker = Asker(*nodes, **others)
        self.told = 0
        self.pings = ServicePings(services, 2.5, self._hear)

    def _hear(self) -> None:
        self.told += 1

    def begin(self) -> None:
        """Ask."""
        self.pings.ask(self.asker.services, self.asker.now)

    @property
    def outcome(self) -> Outcome:
        """What came of the one place that was asked."""
        (outcome,) = self.pings.outcomes.values()
        return outcome


def asked_for(service: Service) -> bytes:
    """Return the first line of what a service is asked."""
    pinged = Pinged(services=(service,))
    pinged.asker.config = config_of({service.value: 8093})
    pinged.begin()
    pinged.asker.connect()
    (written,) = pinged.asker.written
    assert b"Authorization: Basic " in written.data
    return bytes(written.data).split(b"\r\n")[0]


def test_requests() -> None:
    """Each service is asked as RFC 0034 has it."""
    assert {service: asked_for(service) for service in Service} == {
        Service.MANAGEMENT: b"GET / HTTP/1.1",
        Service.VIEWS: b"GET / HTTP/1.1",
        Service.QUERY: b"GET /admin/ping HTTP/1.1",
        Service.SEARCH: b"GET /api/ping HTTP/1.1",
        Service.ANALYTICS: b"GET /admin/ping HTTP/1.1",
        Service.EVENTING: b"GET / HTTP/1.1",
    }


def test_every_node_once() -> None:
    """Each node is asked at the same time, those that are new with the next look."""
    pinged = Pinged(ONE, TWO)
    pinged.begin()
    pinged.begin()
    assert [address for _, address in pinged.asker.opened()] == [ONE, TWO]
    places = pinged.asker.services.places(QUERY)
    assert places == [Place(Service.QUERY, ONE), Place(Service.QUERY, TWO)]
    assert not pinged.pings.are_answered(places)
    assert not pinged.told


def test_latency() -> None:
    """It counts from being asked, with the connection being made; a kept one is used again."""
    pinged = Pinged()
    pinged.begin()
    (number,) = pinged.asker.connect()
    pinged.asker.now += 0.25
    pinged.asker.receive(number)
    assert pinged.outcome == Outcome(PingStatus.OK, 0.25, None)
    assert pinged.told == 1
    again = ServicePings(QUERY, 2.5, pinged._hear)
    again.ask(pinged.asker.services, pinged.asker.now)
    assert pinged.asker.opened() == []
    # Closed while nobody used it: that says nothing of the service.
    pinged.asker.lose(number)
    (number,) = pinged.asker.connect()
    pinged.asker.receive(number)
    (outcome,) = again.outcomes.values()
    assert outcome.status is PingStatus.OK


@pytest.mark.parametrize(
    ("service", "status", "meant"),
    [
        (Service.QUERY, 200, ""),
        (Service.QUERY, 204, "the service answered HTTP 204"),
        (Service.QUERY, 401, "does not know the user.*HTTP 401"),
        (Service.SEARCH, 403, "does not let the user ask .HTTP 403"),
        (Service.SEARCH, 404, "knows no /api/ping .HTTP 404"),
        (Service.VIEWS, 301, "HTTP 301"),
        (Service.MANAGEMENT, 301, ""),
        (Service.MANAGEMENT, 503, "HTTP 503"),
        (Service.EVENTING, 404, ""),
    ],
)
def test_statuses(service: Service, status: int, meant: str) -> None:
    """RFC 0034 wants 200; of management and eventing any answer will do that is no failure."""
    pinged = Pinged(services=(service,))
    pinged.asker.config = config_of({service.value: 8093})
    pinged.begin()
    (number,) = pinged.asker.connect()
    pinged.asker.receive(number, answer(status, b"<html>hostile</html>"))
    outcome = pinged.outcome
    if not meant:
        assert outcome.status is PingStatus.OK
        return
    assert outcome.status is PingStatus.ERROR
    assert isinstance(outcome.error, HTTPError)
    with pytest.raises(HTTPError, match=meant):
        raise outcome.error
    assert "hostile" not in str(outcome.error)


def test_unreachable() -> None:
    """A node that cannot be connected, or closes, is an error at once: it is not tried again."""
    pinged = Pinged()
    pinged.begin()
    ((number, _),) = pinged.asker.opened()
    pinged.asker.lose(number, NodeUnreachableError("refused"))
    assert (pinged.outcome.status, str(pinged.outcome.error)[:7]) == (PingStatus.ERROR, "refused")
    pinged.asker.run(10.0)
    assert pinged.asker.opened() == []
    pinged = Pinged()
    pinged.begin()
    (number,) = pinged.asker.connect()
    pinged.asker.lose(number)
    assert pinged.outcome.status is PingStatus.ERROR
    assert pinged.asker.opened() == []


def test_silence() -> None:
    """Who does not answer is late, by its own limit or by that of who waits for all."""
    pinged = Pinged()
    pinged.begin()
    pinged.asker.connect()
    pinged.asker.run(2.5)
    assert pinged.outcome.status is PingStatus.TIMEOUT
    assert isinstance(pinged.outcome.error, UnambiguousTimeoutError)
    pinged = Pinged()
    pinged.begin()
    (number,) = pinged.asker.connect()
    pinged.pings.expire("the loop stood still")
    outcome = pinged.outcome
    assert (outcome.status, outcome.latency) == (PingStatus.TIMEOUT, 2.5)
    assert "did not answer in time; the loop stood still" in str(outcome.error)
    pinged.pings.let_go(pinged.asker.services)
    assert pinged.asker.closed() == [number]
    assert not pinged.asker.services


def test_not_asked() -> None:
    """A service that would be told the password in clear text is not asked, and is said to be."""
    pinged = Pinged(ELSEWHERE)
    pinged.begin()
    assert pinged.outcome.status is PingStatus.NOT_ASKED
    assert isinstance(pinged.outcome.error, CleartextPasswordError)
    assert pinged.asker.opened() == []
    # It was found out while asking: nobody is told in the midst of that.
    assert not pinged.told


def test_asked_anew() -> None:
    """What was not well is asked again; what was well is not."""
    pinged = Pinged(ONE, TWO)
    pinged.begin()
    first, second = pinged.asker.connect()
    pinged.asker.receive(first)
    pinged.asker.receive(second, answer(503))
    one, two = pinged.asker.services.places(QUERY)
    assert (pinged.pings.is_well(one), pinged.pings.is_well(two)) == (True, False)
    ((where, error),) = pinged.pings.failures(pinged.asker.services)
    assert (where, isinstance(error, HTTPError)) == (str(TWO), True)
    pinged.pings.ask_anew()
    pinged.asker.requests()
    pinged.begin()
    assert pinged.asker.requests() == [second]


def test_nobody_runs_it() -> None:
    """A service that no node has is named among what failed, once it is known what there is."""
    pinged = Pinged(services=(Service.EVENTING,))
    ((where, error),) = pinged.pings.failures(pinged.asker.services)
    assert where == "eventing"
    assert isinstance(error, ServiceNotAvailableError)
    pinged.asker.services.own = lambda: None
    assert pinged.pings.failures(pinged.asker.services) == []


def test_names() -> None:
    """A service has SDK 2.5's name and RFC 0061's; either may be said, or a ServiceType."""
    assert chosen(None) == (True, tuple(Service))
    assert chosen(["kv"]) == (True, ())
    assert chosen("query") == chosen(["n1ql", "query"]) == (False, QUERY)
    assert chosen({ServiceType.SEARCH, "kv"}) == (True, (Service.SEARCH,))
    assert chosen(ServiceType.ANALYTICS) == chosen(["cbas"]) == (False, (Service.ANALYTICS,))
    assert [old_name(service) for service in Service] == [
        "mgmt",
        "views",
        "n1ql",
        "fts",
        "analytics",
        "eventing",
    ]
    assert {rfc_name(old_name(service)) for service in Service} | {"kv"} == {
        kind.value for kind in ServiceType
    }


@pytest.mark.parametrize("services", [[], ["telepathy"], 7, [None], [["kv"]], "", b"kv"])
def test_no_names(services: Any) -> None:
    """What names no service is refused, with the names that there are."""
    with pytest.raises(ArgumentError) as raised:
        chosen(services)
    assert isinstance(raised.value, CouchbaseError)
