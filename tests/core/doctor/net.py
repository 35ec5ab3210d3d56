"""A network for the doctor in virtual time, and what it heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from couchloop.doctor import (
    Answer,
    Close,
    Derive,
    Diagnosis,
    Dial,
    Exchange,
    Gather,
    LookUpSrv,
    ReadTls,
    Report,
    Request,
    Resolve,
    StartTls,
    Step,
    Table,
    Task,
    User,
    Verdict,
)
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.settings.values import Address
from couchloop.transport.certificate import PeerCertificate
from couchloop.transport.tls import PeerTls
from tests.core.world import derive

SECRET: Final = "geheim-4711"
WALL: Final = 1_800_000_000.0
"""15 January 2027, 08:00 UTC."""
LEAF: Final = PeerCertificate(
    ("db.example.com", "*.db.example.com"),
    "Example CA",
    "Jan  1 00:00:00 2026 GMT",
    "Jan 15 08:00:00 2028 GMT",
    "db.example.com",
    (b"db.example.com", b"*.db.example.com"),
)
ROOT_CA: Final = PeerCertificate(
    (), "Example CA", "Jan  1 00:00:00 2020 GMT", "Jan  1 00:00:00 2040 GMT", "Example CA"
)
TLS: Final = PeerTls("TLSv1.3", "TLS_AES_256_GCM_SHA384", (LEAF, ROOT_CA))


class Silent:
    """A peer that never says anything."""

    closed = False

    def receive_data(self, data: bytes) -> None:
        """Listen."""

    def data_to_send(self) -> bytes:
        return b""


class Talking(Silent):
    """A peer that says the same whatever it is told, *pieces* one after the other."""

    def __init__(self, *pieces: bytes | OSError, closed: bool = False) -> None:
        self.pieces = list(pieces)
        self.closed = closed

    def data_to_send(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        return piece


class Net:
    """A network in virtual time that serves tasks; each answer takes *pace* seconds.

    Args:
        cluster: its nodes are at 10.0.0.1:11210 and so on.
        pace: seconds.
    """

    def __init__(self, cluster: EmbeddedCluster | None = None, pace: float = 0.001) -> None:
        self.clock = ManualClock()
        self.cluster = cluster or EmbeddedCluster(seed=0, clock=self.clock)
        self.pace = pace
        self.names: dict[str, list[str] | BaseException] = {}
        self.srv: dict[str, list[Address] | BaseException] = {}
        self.listening: dict[Address, Callable[[], Any] | BaseException] = {}
        self.tls: dict[str, PeerTls | BaseException] = {}
        self.trust: BaseException | None = None
        self.requests: list[Request] = []
        self._links: dict[int, Any] = {}
        self._opened = 0
        for number, node in enumerate(self.cluster.nodes, 1):
            node.host = f"10.0.0.{number}"
            node.ports["kv"], node.ports["kvSSL"] = 11210, 11207
            for port in (11210, 11207):
                accept = partial(node.accept, "here", tls=port == 11207)
                self.listening[Address(node.host, port)] = accept
        self.cluster.changed()

    @property
    def open_links(self) -> int:
        """How many links were not closed."""
        return len(self._links)

    def serve(self, task: Task[None]) -> None:
        """Serve a task to its end."""
        try:
            request = next(task)
            while True:
                self.requests.append(request)
                value: Any = None
                error: BaseException | None = None
                try:
                    value = self._perform(request)
                except Exception as why:  # noqa: BLE001 - as a loop does
                    error = why
                if not isinstance(request, Gather | Close | ReadTls):
                    self.clock.advance(self.pace)
                request = task.send(Answer(value, error, self.clock.now()))
        except StopIteration:
            return

    def _late(self, limit: float) -> None:
        self.clock.advance(max(0.0, limit - self.pace))
        raise TimeoutError

    def _perform(self, request: Request) -> Any:
        match request:
            case ReadTls():
                if self.trust is not None:
                    raise self.trust
            case Resolve(host, limit):
                found = self.names.get(host, OSError(-2, "Name or service not known"))
                return self._given(found, limit)
            case LookUpSrv(name, limit):
                return self._given(self.srv.get(name, []), limit)
            case Dial(address, limit):
                peer = self.listening.get(address, ConnectionRefusedError(111, "refused"))
                self._opened += 1
                self._links[self._opened] = self._given(peer, limit)()
                return self._opened
            case StartTls(_, host, limit):
                return self._given(self.tls.get(host, TLS), limit)
            case Exchange(number, data, limit):
                link = self._links[number]
                if data:
                    link.receive_data(data)
                said = link.data_to_send()
                if not said and not link.closed:
                    self._late(limit)
                return said
            case Derive(derivation):
                return derive(derivation)
            case Close(number):
                del self._links[number]
            case Gather(tasks):
                for task in tasks:
                    self.serve(task)
        return None

    def _given(self, what: Any, limit: float) -> Any:
        if isinstance(what, TimeoutError):
            self._late(limit)
        if isinstance(what, BaseException):
            raise what
        return what


class Heard:
    """A listener that turns everything into lines, as the program does."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.lines: list[str] = []
        self.begun: list[str] = []

    def begins(self, name: str, subject: str) -> None:
        self.begun.append(self.table.progress(name, subject))

    def ends(self, step: Step) -> None:
        self.lines += self.table.step(step)


def examine(
    net: Net,
    text: str = "couchbase://10.0.0.1/default",
    user: User | None = None,
    *,
    limit: float = 5.0,
    environment: Mapping[str, str] | None = None,
    table: Table | None = None,
    clash: tuple[str, str] = ("", ""),
) -> tuple[Report, str]:
    """Examine *text*; give the report, and all that people see of it."""
    report = Report(connection_string="", loop="Loop 1.0", version="9.9")
    heard = Heard(table or Table(width=80))
    diagnosis = Diagnosis(
        text,
        user or User("user", "password"),
        limit=limit,
        report=report,
        listener=heard,
        nonce=lambda: "0123456789abcdef",
        wall=WALL,
        environment=environment,
        clash=clash,
    )
    lines = [*heard.table.header(report)]
    net.serve(diagnosis.run(net.clock.now()))
    assert net.open_links == 0
    for step in report:
        if step.verdict in {Verdict.FAILED, Verdict.WARNING}:
            assert step.cause, step
            assert step.cure, step
    lines += [*heard.lines, *heard.table.footer(report)]
    return report, "\n".join(lines)


def step_of(report: Report, name: str) -> Step:
    """Return the last step of that name."""
    return [step for step in report if step.name == name][-1]


def two_nodes() -> EmbeddedCluster:
    """Return a cluster of two nodes."""
    return EmbeddedCluster(nodes=2, seed=0, clock=ManualClock())
