"""What asks services, without a session around it: events out, bytes and the time in."""

from __future__ import annotations

import json
from itertools import count
from math import inf
from random import Random
from typing import Any

from couchloop.http.service import Service, ServiceRequest
from couchloop.operations.service_call import ServiceCall
from couchloop.session.events import (
    CloseConnection,
    Event,
    OpenConnection,
    Output,
    PauseReading,
    ResumeReading,
)
from couchloop.session.services.services import Services
from couchloop.session.shared import SessionState, Shared
from couchloop.settings.values import Address, Http, Login, Settings
from couchloop.topology.configuration import ClusterConfig, parse_config
from tests.core.http.answers import answer

GET = ServiceRequest(Service.QUERY, "GET", "/", is_idempotent=True)
POST = ServiceRequest(Service.QUERY, "POST", "/", b"{}")
ONE, TWO, THREE = (Address("127.0.0.1", port) for port in (8093, 8094, 8095))
LIMIT = 75.0


def config_of(*nodes: dict[str, Any]) -> ClusterConfig:
    """Return a configuration of nodes with these services, `{"n1ql": 8093}`, perhaps a `host`."""
    listed = [
        {
            "hostname": node.get("host", "127.0.0.1"),
            "services": {key: port for key, port in node.items() if key != "host"},
        }
        for node in nodes
    ]
    return parse_config(json.dumps({"rev": 1, "nodesExt": listed}).encode(), "127.0.0.1")


def query_nodes(*addresses: Address) -> ClusterConfig:
    """Return a configuration whose query service is there."""
    return config_of(
        *({"host": each.host, "n1ql": each.port, "n1qlSSL": each.port} for each in addresses)
    )


class Completed:
    """Notes what is complete."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def member_done(self, op: Any) -> bool:
        """See `Completion`."""
        self.calls.append(op)
        return False


class Asker:
    """The part of a session that asks services, and the loop that it believes in."""

    def __init__(self, *nodes: Address, **others: Any) -> None:
        http = Http(**others.pop("http", {}))
        self.shared = Shared(
            Settings(seeds=(ONE,), bucket="", login=Login("user", "password"), http=http, **others)
        )
        self.shared.state = SessionState.OPEN
        self.written: list[Output] = []
        ids = count(1)
        self.services = Services(self.shared, lambda: next(ids), Random(1), self._write)
        self.config = query_nodes(*(nodes or (ONE,)))
        self.services.own = lambda: (self.config, "default")
        self.done = Completed()
        self.now = 0.0

    def _write(self, output: Output) -> None:
        self.written.append(output)

    def ask(self, asked: ServiceRequest = GET, timeout: float = LIMIT, sink: Any = None) -> Any:
        """Begin with a request."""
        call: Any = ServiceCall(asked, timeout, sink)
        call.batch = self.done
        self.services.begin(call, self.now)
        return call

    def events(self, kind: type[Any]) -> list[Any]:
        """Take all events; return those of a kind."""
        events: list[Event] = self.shared.events.copy()
        self.shared.events.clear()
        return [event for event in events if isinstance(event, kind)]

    def opened(self) -> list[tuple[int, Address]]:
        """Return what was to be connected since."""
        return [(event.id, event.address) for event in self.events(OpenConnection)]

    def closed(self) -> list[int]:
        """Return what was to be closed since."""
        return [event.id for event in self.events(CloseConnection)]

    def paused(self) -> list[str]:
        """Return what was to be read no more, or again."""
        return [type(e).__name__ for e in self.events(PauseReading | ResumeReading)]  # type: ignore[arg-type]

    def connect(self) -> list[int]:
        """Connect all that is to be; return their numbers."""
        numbers = [number for number, _ in self.opened()]
        for number in numbers:
            self.services.pools.connected(number, None)
        return numbers

    def requests(self) -> list[int]:
        """Return on which connections requests were written since."""
        numbers = [output.id for output in self.written]
        self.written.clear()
        return numbers

    def receive(self, number: int, data: bytes = b"") -> None:
        """Have bytes come: an answer, if nothing is said."""
        self.services.pools.receive_data(number, data or answer(200, b"{}"), self.now)

    def lose(self, number: int, reason: BaseException | None = None) -> None:
        """Lose a connection; no reason: in order."""
        self.services.pools.lost(number, reason, self.now)

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, timers fire."""
        end = self.now + seconds
        timers = self.shared.timers
        for _ in range(1000):
            when = timers.wakeup
            if when > end or when == inf:
                break
            self.now = max(self.now, when)
            timers.wakeup = inf
            self.services.expire_due(self.now)
            timers.fire(self.now)
        self.now = end

    def result(self, call: Any) -> Any:
        """Return what came of a call, which is told once."""
        assert self.done.calls.count(call) == 1
        return call.result()
