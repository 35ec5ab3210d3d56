"""Requests to services: sent, repeated where that is safe, ended in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousForkedProcessError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    BootstrapTimeoutError,
    CleartextPasswordError,
    FeatureNotAvailableError,
    ForkedProcessError,
    LoopBlockedError,
    NodeNotAvailableError,
    NodeTimeoutError,
    NodeUnreachableError,
    ObjectDestroyedError,
    ProtocolError,
    RequestCanceledError,
    ServiceNotAvailableError,
    TlsError,
    UnambiguousTimeoutError,
)
from couchloop.http.service import Service, ServiceRequest
from couchloop.session.shared import SessionState
from couchloop.settings.values import Address, Login
from tests.core.http.answers import answer
from tests.core.session.services.parts import (
    GET,
    LIMIT,
    ONE,
    POST,
    THREE,
    TWO,
    Asker,
    config_of,
    query_nodes,
)

ELSEWHERE = Address("db.test", 8093)


def test_answer() -> None:
    """An answer is given whatever its status, with the node that gave it."""
    asker = Asker()
    call = asker.ask()
    (number,) = asker.connect()
    (written,) = asker.written
    assert written.data.startswith(b"GET / HTTP/1.1\r\n")
    assert b"Authorization: Basic " in written.data
    assert repr(written) == f"Output({number}, {len(written.data)} bytes)"
    asker.receive(number, answer(500, b"oh", X="y"))
    found = asker.result(call)
    assert (found.status, found.headers["x"], found.body) == (500, "y", b"oh")
    assert found.node == str(ONE)
    assert not asker.services


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("status", [200, 400, 502])
def test_repeated_password(status: int, is_streamed: bool) -> None:
    """A refusal that repeats who asked, as proxies do, is shown without the password."""
    asker, sink = Asker(), Sink() if is_streamed else None
    call = asker.ask(sink=sink)
    (number,) = asker.connect()
    login = asker.shared.settings.login
    said = b"you said " + login.basic().encode() + b" \xff (user:password)"
    asker.receive(number, answer(status, said))
    body = asker.result(call).body if sink is None else sink.data
    assert body == (said if status == 200 else b"you said *** \xff (***)")


def test_client_certificate() -> None:
    """Where a certificate says who asks, no password goes with a request."""
    asker = Asker(tls=True)
    asker.shared.settings = replace(asker.shared.settings, login=Login("", "", by_certificate=True))
    asker.ask()
    asker.connect()
    assert b"Authorization" not in asker.written[0].data


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost."])
def test_cleartext_here(host: str) -> None:
    """What stays in this machine may be asked without TLS."""
    asker = Asker(Address(host, 8093))
    asker.ask()
    assert asker.opened()


def test_cleartext_elsewhere() -> None:
    """The password goes nowhere else in clear text, unless that is wanted; nothing is connected."""
    asker = Asker(ELSEWHERE)
    with pytest.raises(CleartextPasswordError, match=r"couchbases://.*http_allow_plain") as raised:
        asker.result(asker.ask())
    assert "db.test:8093" in str(raised.value)
    assert asker.opened() == []
    for others in ({"http": {"allow_plain": True}}, {"tls": True}):
        asker = Asker(ELSEWHERE, **others)
        asker.ask()
        assert asker.opened()


def test_no_such_service() -> None:
    """Where no node has the service the call fails at once, and says what there is."""
    asker = Asker()
    asker.config = config_of({"mgmt": 8091})
    with pytest.raises(ServiceNotAvailableError, match="the cluster has management"):
        asker.result(asker.ask())
    # With TLS, ports without it do not count.
    asker = Asker(tls=True)
    asker.config = config_of({"n1ql": 8093})
    with pytest.raises(ServiceNotAvailableError, match="with TLS"):
        asker.result(asker.ask())


def test_named_node() -> None:
    """A request that names its node goes there, and to no stranger."""
    asker = Asker(ONE, TWO, THREE)
    for _ in range(3):
        asker.ask(replace(GET, node=str(TWO)))
    assert {address for _, address in asker.opened()} == {TWO}
    with pytest.raises(NodeNotAvailableError):
        asker.result(asker.ask(replace(GET, node="evil.test:8093")))


def test_what_cannot_be_asked() -> None:
    """A request that HTTP cannot say fails alone; the connection is closed."""
    asker = Asker()
    call = asker.ask(replace(GET, path="/a b"))
    (number,) = asker.connect()
    with pytest.raises(Exception, match="HTTP cannot ask for this"):
        asker.result(call)
    assert asker.closed() == [number]


# Repeated, or not ---------------------------------------------------------------------------------


def test_not_connected() -> None:
    """What could not be sent is tried on the other nodes, then after a pause; even a POST."""
    asker = Asker(ONE, TWO)
    call = asker.ask(POST)
    tried = []
    for _ in range(2):
        ((number, address),) = asker.opened()
        tried.append(address)
        asker.lose(number, NodeUnreachableError("refused"))
    assert set(tried) == {ONE, TWO}
    assert asker.opened() == []
    asker.run(0.1)
    (number,) = asker.connect()
    asker.receive(number)
    assert asker.result(call).status == 200


def test_pauses_grow() -> None:
    """The pauses between tries grow, up to a second: a service that is away is not pestered."""
    asker = Asker()
    asker.ask()
    times = []
    for _ in range(20):
        ((number, _),) = asker.opened()
        times.append(asker.now)
        asker.lose(number, NodeUnreachableError("refused"))
        asker.closed()
        while not asker.shared.events:
            asker.run(0.01)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] < 0.05
    assert max(pauses) <= 1.02
    assert min(pauses[-5:]) >= 0.5


def test_what_does_not_pass() -> None:
    """A cause that does not pass by itself ends the call: nobody waits for it in vain."""
    asker = Asker(ONE, TWO, tls=True)
    call = asker.ask()
    ((number, address),) = asker.opened()
    asker.lose(number, TlsError("the certificate is of somebody else"))
    with pytest.raises(TlsError, match="somebody else") as raised:
        asker.result(call)
    assert raised.value.context is not None
    assert raised.value.context.node == str(address)


def test_connecting_takes_too_long() -> None:
    """A node that does not accept is given up after its time, and another is asked."""
    asker = Asker(ONE, TWO)
    call = asker.ask(POST)
    ((_, first),) = asker.opened()
    asker.run(2.1)
    ((number, second),) = asker.opened()
    assert {first, second} == {ONE, TWO}
    assert isinstance(call.obstacle, NodeTimeoutError)
    assert "config_node_timeout" in str(call.obstacle)
    asker.services.pools.connected(number, None)
    asker.receive(number)
    assert asker.result(call).status == 200


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_lost_amid(data: bytes) -> None:
    """What is idempotent is repeated elsewhere; of the rest nobody knows whether it was done."""
    for asked in (GET, POST):
        asker = Asker(ONE, TWO)
        call = asker.ask(asked)
        ((number, first),) = asker.opened()
        asker.services.pools.connected(number, None)
        if data:
            asker.receive(number, data)
        asker.lose(number)
        if asked is POST:
            with pytest.raises(AmbiguousConnectionLostError, match="is not known"):
                asker.result(call)
            continue
        ((number, second),) = asker.opened()
        assert {first, second} == {ONE, TWO}
        asker.services.pools.connected(number, None)
        asker.receive(number)
        assert asker.result(call).status == 200


def test_stale_connection() -> None:
    """A connection that the service had closed while it was idle is no reason to avoid the node."""
    asker = Asker()
    asker.ask()
    (number,) = asker.connect()
    asker.receive(number)
    call = asker.ask()
    asker.lose(number)
    # At once, on a new connection.
    (other,) = asker.connect()
    asker.receive(other)
    assert asker.result(call).status == 200


def test_broken_answer() -> None:
    """An answer that is no HTTP is not asked for again; what a POST did is not known."""
    for asked, kind in ((GET, ProtocolError), (POST, AmbiguousConnectionLostError)):
        asker = Asker()
        call = asker.ask(asked)
        (number,) = asker.connect()
        asker.receive(number, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
        with pytest.raises(kind) as raised:
            asker.result(call)
        assert type(raised.value) is kind
        assert asker.closed() == [number]


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is kept whole has a bound."""
    monkeypatch.setattr("couchloop.session.services.services.LONGEST_ANSWER", 1 << 20)
    asker = Asker()
    call = asker.ask()
    (number,) = asker.connect()
    asker.receive(number, answer(200, bytes((1 << 20) + 1)))
    with pytest.raises(ProtocolError, match="more than 1 MiB"):
        asker.result(call)


def test_new_credentials() -> None:
    """A refusal of credentials that were replaced meanwhile is none: it is asked again."""
    asker = Asker()
    call = asker.ask(POST)
    (number,) = asker.connect()
    asker.requests()
    login = Login("user", "newer")
    asker.shared.settings = replace(asker.shared.settings, login=login)
    asker.receive(number, answer(401))
    (again,) = asker.written
    assert login.basic().encode() in again.data
    # With these it is one.
    asker.receive(again.id, answer(401))
    assert asker.result(call).status == 401


def test_service_unavailable() -> None:
    """503 without a text: another node is asked once, if that is safe."""
    asker = Asker(ONE, TWO)
    call = asker.ask()
    (number,) = asker.connect()
    asker.receive(number, answer(503))
    (other,) = asker.connect()
    asker.receive(other, answer(503))
    assert asker.result(call).status == 503
    for asked, text in ((POST, b""), (GET, b"warming up"), (replace(GET, node=str(ONE)), b"")):
        call = asker.ask(asked)
        asker.connect()
        (number,) = set(asker.services.pools.by_id) - {
            each.id for pool in asker.services.pools._pools.values() for each in pool.idle
        }
        asker.receive(number, answer(503, text))
        assert asker.result(call).status == 503


# In time ------------------------------------------------------------------------------------------


def test_out_of_time() -> None:
    """Time that runs out: before a connection, before the answer, amid it; and what it means."""
    for asked, sent in ((GET, UnambiguousTimeoutError), (POST, AmbiguousTimeoutError)):
        asker = Asker()
        call = asker.ask(asked, timeout=1.0)
        asker.run(1.1)
        with pytest.raises(UnambiguousTimeoutError, match="no connection to the query service"):
            asker.result(call)
        for data, text in (
            (b"", "did not answer in time"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "was not complete in time"),
        ):
            call = asker.ask(asked, timeout=1.0)
            *_, number = asker.connect()
            if data:
                asker.receive(number, data)
            asker.run(1.1)
            with pytest.raises(sent, match=text) as raised:
                asker.result(call)
            assert type(raised.value) is sent
            assert raised.value.context is not None
            assert raised.value.context.node == str(ONE)
            assert number in asker.closed()
    assert not asker.services


def test_out_of_time_between_tries() -> None:
    """Where no node could be asked the last reason is the cause."""
    asker = Asker()
    call = asker.ask(timeout=0.5)
    for _ in range(3):
        ((number, _),) = asker.opened()
        asker.lose(number, NodeUnreachableError("refused"))
        asker.closed()
        while not asker.shared.events and not call.done:
            asker.run(0.01)
        if call.done:
            break
    asker.run(1.0)
    with pytest.raises(UnambiguousTimeoutError) as raised:
        asker.result(call)
    assert isinstance(raised.value.__cause__, NodeUnreachableError)


def test_standstill() -> None:
    """An error about time tells of a loop that stood still."""
    asker = Asker()
    call = asker.ask(timeout=1.0)
    asker.connect()
    asker.shared.timers.stood_still(0.1, 1.0)
    asker.run(1.1)
    with pytest.raises(UnambiguousTimeoutError, match="the event loop stood still") as raised:
        asker.result(call)
    assert isinstance(raised.value.__cause__, LoopBlockedError)


def test_cancelled() -> None:
    """A call that is cancelled is told to nobody; its connection closes, wherever it is."""
    asker = Asker()
    call = asker.ask()
    asker.services.cancel(call)
    assert len(asker.closed()) == 1
    call = asker.ask()
    (number,) = asker.connect()
    asker.receive(number, b"HTTP/1.1 200 OK\r\n")
    asker.services.cancel(call)
    assert asker.closed() == [number]
    call = asker.ask()
    ((number, _),) = asker.opened()
    asker.lose(number, NodeUnreachableError("refused"))
    asker.services.cancel(call)
    asker.run(5.0)
    assert asker.opened() == []
    assert asker.done.calls == []
    assert not asker.services


# Topology -----------------------------------------------------------------------------------------


def test_topology_is_looked_for() -> None:
    """Without a topology calls wait until one is found; what they want is said each time."""
    asker = Asker()
    found: list[Any] = []
    asked: list[float] = []
    asker.services.own = lambda: found[-1] if found else None
    asker.services.find = asked.append
    first, second = asker.ask(), asker.ask()
    asker.services.changed(asker.now)
    assert asker.opened() == []
    assert len(asked) == 2
    found.append((asker.config, "default"))
    asker.services.changed(asker.now)
    for number in asker.connect():
        asker.receive(number)
    assert first.done
    assert second.done


def test_topology_is_not_found() -> None:
    """Where none is found what waits fails, each call with an error of its own."""
    asker = Asker()
    asker.services.own = lambda: None
    calls = [asker.ask(), asker.ask()]
    asker.services.not_found(BootstrapTimeoutError("no seed"))
    assert {id(call.error) for call in calls} != {id(calls[0].error)}
    for call in calls:
        with pytest.raises(BootstrapTimeoutError, match="no seed"):
            asker.result(call)


def test_topology_is_borrowed() -> None:
    """What a Bucket knows wins, and nobody looks then; its changes count at once."""
    asker = Asker()
    lent: list[Any] = [(query_nodes(TWO), "default")]
    asker.services.borrow = lambda: lent[-1]
    asker.services.find = lambda _: pytest.fail("nobody is to look")
    asker.ask()
    assert [address for _, address in asker.opened()] == [TWO]
    lent.append(None)
    wanted: list[float] = []
    asker.services.find = wanted.append
    asker.ask()
    assert [address for _, address in asker.opened()] == [ONE]
    assert wanted


# The end ------------------------------------------------------------------------------------------


def test_closed() -> None:
    """What is under way fails; what may have been done is ambiguous; nothing is left."""
    asker = Asker()
    for _ in range(2):
        asker.ask()
        asker.connect()
    sent = asker.ask(POST)
    asker.connect()
    waiting = asker.ask(POST)
    asker.services.close()
    with pytest.raises(AmbiguousRequestCanceledError):
        asker.result(sent)
    with pytest.raises(RequestCanceledError) as raised:
        asker.result(waiting)
    assert type(raised.value) is RequestCanceledError
    assert asker.services.pools.by_id == {}
    assert not asker.services
    asker.shared.state = SessionState.CLOSED
    with pytest.raises(ObjectDestroyedError):
        asker.result(asker.ask())


def test_forked() -> None:
    """In a child process nothing is written; calls fail once somebody looks, and no earlier."""
    asker = Asker()
    calls = [asker.ask(GET), asker.ask(POST), asker.ask(POST)]
    numbers = [number for number, _ in asker.opened()]
    for number in numbers[:2]:
        asker.services.pools.connected(number, None)
    asker.requests()
    asker.services.forked()
    assert asker.done.calls == []
    assert asker.written == []
    asker.services.end_inherited()
    kinds = [type(call.error) for call in calls]
    assert kinds == [ForkedProcessError, AmbiguousForkedProcessError, ForkedProcessError]
    asker.services.end_inherited()
    assert len(asker.done.calls) == 3


# Streamed answers ---------------------------------------------------------------------------------


class Sink:
    """Takes an answer, as much as the test lets it."""

    def __init__(self) -> None:
        self.head: tuple[int, str] | None = None
        self.data = b""
        self.has_enough = False
        self.rows = 0
        self.seconds = 0.0
        self.instead: ServiceRequest | None = None

    def asked_of(self, config: Any, memory: Any, seconds: float) -> ServiceRequest | None:
        """See `Sink`."""
        assert config.nodes
        assert memory.new_id()
        self.seconds = seconds
        return self.instead

    def began(self, status: int, headers: Mapping[str, str], node: str) -> None:
        """See `Sink`."""
        del headers
        self.head = status, node

    def piece(self, data: bytes) -> None:
        """See `Sink`."""
        self.data += data


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_streamed() -> None:
    """A sink is given head and pieces as they come, and then the call is complete."""
    asker, sink = Asker(), Sink()
    call = asker.ask(POST, sink=sink)
    (number,) = asker.connect()
    asker.receive(number, HEAD)
    assert sink.head == (200, str(ONE))
    asker.receive(number, b"ab")
    assert (sink.data, call.done) == (b"ab", False)
    asker.receive(number, b"cd")
    assert (sink.data, asker.result(call).body) == (b"abcd", b"")
    # Its connection serves the next.
    asker.ask()
    assert asker.requests() == [number, number]


def test_what_a_sink_asks() -> None:
    """What is asked may depend on the cluster, which is known by then; or there is a reason."""
    asker, sink = Asker(), Sink()
    sink.instead = replace(POST, path="/instead")
    call = asker.ask(POST, timeout=10.0, sink=sink)
    (number,) = asker.connect()
    assert call.asked is sink.instead
    assert sink.seconds == 10.0
    asker.receive(number, HEAD + b"abcd")
    assert asker.result(call).status == 200

    class Refusing(Sink):
        def asked_of(self, config: Any, memory: Any, seconds: float) -> ServiceRequest | None:
            raise FeatureNotAvailableError("not this cluster")

    call = asker.ask(POST, sink=Refusing())
    with pytest.raises(FeatureNotAvailableError, match="not this cluster"):
        asker.result(call)


def test_paused() -> None:
    """While a sink has enough nothing is read; while rows are taken no time passes."""
    asker, sink = Asker(), Sink()
    call = asker.ask(POST, timeout=10.0, sink=sink)
    (number,) = asker.connect()
    sink.has_enough = True
    asker.run(4.0)
    asker.receive(number, HEAD + b"a")
    assert asker.paused() == ["PauseReading"]
    # What was on its way.
    asker.receive(number, b"b")
    assert asker.paused() == []
    asker.run(100.0)
    assert not call.done
    sink.has_enough = False
    sink.rows = 1
    asker.services.resume(call, asker.now)
    asker.services.resume(call, asker.now)
    assert asker.paused() == ["ResumeReading"]
    asker.run(5.9)
    assert not call.done
    asker.run(0.2)
    with pytest.raises(AmbiguousTimeoutError, match="was not complete in time"):
        asker.result(call)


def test_paused_without_a_row() -> None:
    """What takes long to be looked at, and has no row for anybody, does not stop the clock."""
    asker, sink = Asker(), Sink()
    call = asker.ask(POST, timeout=10.0, sink=sink)
    (number,) = asker.connect()
    sink.has_enough = True
    asker.receive(number, HEAD + b"a")
    for _ in range(2):
        asker.run(4.0)
        asker.services.resume(call, asker.now)
        assert not call.done
        asker.receive(number, b"b")
    asker.run(3.0)
    asker.services.resume(call, asker.now)
    asker.run(0.0)
    with pytest.raises(AmbiguousTimeoutError, match="was not complete in time"):
        asker.result(call)


def test_ended_while_paused() -> None:
    """A stream that is paused can be cancelled, closed, and lost."""
    for how in ("cancel", "close", "lose"):
        asker, sink = Asker(), Sink()
        call = asker.ask(GET, sink=sink)
        (number,) = asker.connect()
        sink.has_enough = True
        asker.receive(number, HEAD + b"a")
        if how == "cancel":
            asker.services.cancel(call)
            assert asker.done.calls == []
        elif how == "close":
            asker.services.close()
            assert asker.done.calls == [call]
        else:
            asker.lose(number)
            # It was given already: nothing is repeated.
            assert asker.done.calls == [call]
        assert asker.services.pools.by_id == {}
        asker.run(1000.0)
        assert len(asker.done.calls) <= 1


def test_pieces_before_a_fault() -> None:
    """What is whole before a fault is given to the sink, though the fault comes with it."""
    asker, sink = Asker(), Sink()
    call = asker.ask(GET, sink=sink)
    (number,) = asker.connect()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    asker.receive(number, head + b"2\r\nab\r\nzz\r\n")
    assert (sink.head, sink.data) == ((200, str(ONE)), b"ab")
    with pytest.raises(ProtocolError):
        asker.result(call)


def test_stream_is_repeated_before_it_begins() -> None:
    """What was not begun may be repeated like others."""
    asker, sink = Asker(ONE, TWO), Sink()
    call = asker.ask(GET, sink=sink)
    (number,) = asker.connect()
    asker.receive(number, answer(503))
    assert sink.head is None
    (other,) = asker.connect()
    asker.receive(other, answer(200, b"x"))
    assert sink.data == b"x"
    assert asker.result(call).status == 200


def test_other_services() -> None:
    """Each service has its own ports."""
    asker = Asker()
    asker.config = config_of({"n1ql": 1, "fts": 2, "mgmt": 3})
    asker.ask(ServiceRequest(Service.SEARCH, "GET", "/"), timeout=LIMIT)
    assert [address.port for _, address in asker.opened()] == [2]
