"""Carries out what builders ask of services, at an embedded node and without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from couchloop.embedded import EmbeddedCluster, ManualClock, User, administrator
from couchloop.exceptions import UnambiguousTimeoutError
from couchloop.hot.encoding import transcoder_of
from couchloop.hot.operation import Defaults
from couchloop.http.service import ServiceAnswer, ServiceRequest
from couchloop.management.defaults import BucketDefaults, ScopeDefaults
from couchloop.operations.procedure import Again, Pause, Procedure, Within
from tests.embedded.web import ADMIN, Client

DEFAULTS = Defaults(transcoder_of(None), 0, False, 75.0, lambda: 0.0)


def of_bucket(name: str) -> BucketDefaults:
    """Return what a bucket's manager has."""
    return BucketDefaults(transcoder_of(None), 0, timeout=75.0, bucket=name)


def of_scope(bucket: str, scope: str) -> ScopeDefaults:
    """Return what a scope's manager has."""
    return ScopeDefaults(transcoder_of(None), 0, timeout=75.0, bucket=bucket, scope=scope)


class Manager:
    """A cluster of three nodes, and what was asked of it.

    Attributes:
        asked: what was asked, in order.
        pauses: how long was waited between that.
        limits: times that steps were given of their own.

    """

    def __init__(self) -> None:
        users = [administrator(), User("user", "password")]
        self.cluster = EmbeddedCluster(3, ["default"], users, clock=ManualClock())
        for number, node in enumerate(self.cluster.nodes):
            node.ports = {"kv": 1000 + number, "mgmt": 2000 + number}
        self.cluster.changed()
        self.asked: list[ServiceRequest] = []
        self.pauses: list[float] = []
        self.limits: list[float] = []
        self.login = ADMIN

    def do(self, procedure: Procedure[Any]) -> Any:
        """Carry out a procedure; return what it gives, or raise what it raises."""
        steps: Any = procedure.take_over()
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(step, Pause | Again):
                self.pauses.append(step.seconds)
                answer = None
            elif isinstance(step, Within):
                self.limits.append(step.seconds)
                answer = None
            else:
                answer = self._ask(step)

    def _ask(self, request: ServiceRequest) -> ServiceAnswer:
        self.asked.append(request)
        client = Client(self.cluster.nodes[0].accept_http(request.service.value))
        status, headers, body = client.ask(request.path, self.login, request.method, request.body)
        return ServiceAnswer(status, headers, body, "127.0.0.1:2000")


def answered(
    procedure: Procedure[Any], answers: Iterable[tuple[int, bytes]], *, late: bool = False
) -> Any:
    """Carry out a procedure whose requests are answered so; *late*: the time is over then."""
    steps: Any = procedure.take_over()
    step = next(steps)
    try:
        for status, body in answers:
            while isinstance(step, Again | Pause | Within):
                step = steps.send(None)
            assert isinstance(step, ServiceRequest), step
            step = steps.send(ServiceAnswer(status, {}, body, "127.0.0.1:8091"))
        if late:
            steps.throw(UnambiguousTimeoutError())
    except StopIteration as end:
        return end.value
    raise AssertionError(step)
