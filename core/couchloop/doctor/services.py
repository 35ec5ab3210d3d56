"""The other services of the nodes, as a program would ask them: reachable, TLS, rights.

What is wrong with them keeps no program from its documents: it deserves a look.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from couchloop.doctor.advice import Advice, advise
from couchloop.doctor.context import StopError
from couchloop.doctor.probe import Probe
from couchloop.doctor.report import Part, Step, Verdict
from couchloop.exceptions import ConnectionLostError, CouchbaseError, NodeTimeoutError
from couchloop.http.connection import HttpConnection
from couchloop.http.service import Service
from couchloop.session.services.choice import nodes_of
from couchloop.session.services.pings import TYPES, fault_of, request_for
from couchloop.session.services.pool import Place
from couchloop.settings.hosts import is_loopback

if TYPE_CHECKING:
    from couchloop.doctor.context import DiagnosisContext
    from couchloop.doctor.requests import Task
    from couchloop.settings.values import Address, Settings
    from couchloop.topology.configuration import ClusterConfig, Node

_NEEDS_LOGIN = "/pools/default"
"""What every user may ask the cluster manager for, and nobody else."""


def places_of(config: ClusterConfig, network: str, settings: Settings) -> list[Place]:
    """Return where services are that a program may ask."""
    return [
        Place(service, address)
        for service in Service
        for address in nodes_of(config, network, service, tls=settings.tls)
    ]


def examine_service(context: DiagnosisContext, place: Place) -> Task[Step]:
    """Connect to a service of a node as a program would, and ask whether it is well: one step."""
    probe = _ServiceProbe(context, place.address, lambda _: None, web=True)
    began = context.now
    cure = _why_not(context, place.address)
    with suppress(StopError):
        yield from probe.connect()
        if not cure:
            yield from probe.ask(place.service)
    yield from probe.close()
    step = probe.summary(Part.SERVICES, "service", "answered", context.now - began)
    name = TYPES[place.service].value
    details = {**step.details, "service": name}
    if cure and step.verdict is not Verdict.FAILED:
        step = replace(
            step, verdict=Verdict.SKIPPED, text="reachable, but not asked", notes=(cure,)
        )
    return replace(step, text=f"{name} at {place.address}: {step.text}", details=details)


def _why_not(context: DiagnosisContext, address: Address) -> str:
    """Return why a program, or the doctor, does not ask what is there; empty: it does."""
    settings = context.settings
    if not context.logs_in:
        return "Nobody is named to log in."
    is_safe = settings.tls or settings.login.by_certificate or settings.http.allow_plain
    if is_safe or is_loopback(address.host):
        return ""
    return (
        "A program does not ask it either: the password would go over the network in clear text. "
        "Use couchbases://, or http_allow_plain=true if the network may see it."
    )


class _ServiceProbe(Probe):
    """A probe of a service's port."""

    def ask(self, service: Service) -> Task[None]:
        """Ask whether the service is well, and whether it knows the user."""
        asked = request_for(Place(service, self.address))
        if service is Service.MANAGEMENT:
            asked = replace(asked, path=_NEEDS_LOGIN)
        login = self._settings.login
        http = HttpConnection(self.address, self._settings.agent)
        began = self._begin("service")
        error: CouchbaseError | None = None
        try:
            unsent = http.request(asked, None if login.by_certificate else login)
            while not http.is_answered and error is None:
                answer = yield from self._exchange(unsent, began + self._limit)
                unsent = b""
                if isinstance(answer.error, TimeoutError):
                    error = NodeTimeoutError(f"the service did not answer within {self._limit:g} s")
                elif answer.error is not None:
                    error = ConnectionLostError(f"the connection was lost: {answer.error}")
                else:
                    http.receive_data(answer.value, [])
        except CouchbaseError as why:
            error = why
        if error is not None:
            self._fail("service", began, advise(error))
        fault = fault_of(asked, http.status, any_answer=service is Service.EVENTING)
        if fault is not None:
            self._fail("service", began, Advice(f"HTTP {http.status}", f"{fault}.", _CURE))
        self._ok("service", began, "answered")


_CURE = (
    "See whether the service runs on this node, whether a proxy answers in its place, and which "
    "roles the user has."
)


def behind_mapped_ports(step: Step, seed: Address, node: Node, address: Address) -> Step:
    """Say what it may mean that a seed cannot be reached where it says that it is.

    As in containers whose ports are mapped: the cluster names the ports inside.
    """
    is_it = (
        step.verdict is Verdict.FAILED
        and step.details["failed"] == "tcp"
        and node.this_node
        and address.one_form != seed.one_form
        and "answers" not in step.details
    )
    if not is_it:
        return step
    return replace(
        step,
        cause=f"{step.cause} It is the node that answered as {seed}: it names its own address, as "
        "nodes do whose ports are mapped (Docker, port forwarding).",
        cure="Map each port to the same number, such as 11210 to 11210, for a host that both sides "
        "know; or give the node an alternate address with the ports outside "
        "(couchbase-cli setting-alternate-address), and add network=external.",
    )
