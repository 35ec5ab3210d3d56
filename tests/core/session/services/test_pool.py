"""Connections to services: made, used again, kept idle for a moment, bounded."""

from __future__ import annotations

from couchloop.session.events import OpenConnection
from tests.core.http.answers import answer
from tests.core.session.services.parts import GET, ONE, POST, TWO, Asker, query_nodes


def answered(asker: Asker, count: int = 1) -> list[int]:
    """Have so many requests answered at once; return the connections."""
    calls = [asker.ask() for _ in range(count)]
    asker.connect()
    numbers = asker.requests()
    for number in numbers:
        asker.receive(number)
    assert all(call.done for call in calls)
    return numbers


def test_used_again() -> None:
    """One connection serves one call after the other, the one that was used last first."""
    asker = Asker()
    first = answered(asker, 3)
    assert len(set(first)) == 3
    assert answered(asker) == answered(asker) == [first[-1]]
    assert asker.opened() == []


def test_tls() -> None:
    """Connections use TLS as those to data nodes do."""
    asker = Asker(tls=True)
    asker.ask()
    (event,) = asker.events(OpenConnection)
    assert event.tls


def test_idle() -> None:
    """What is idle for a second is closed, each by itself; the timer ends with the last."""
    asker = Asker()
    one, two = answered(asker, 2)
    asker.run(0.6)
    assert answered(asker) == [two]
    asker.run(0.5)
    assert asker.closed() == [one]
    asker.run(0.5)
    assert asker.closed() == [two]
    assert not asker.shared.timers
    assert asker.services.pools._pools == {}


def test_idle_in_a_standstill() -> None:
    """Where the loop stood still a connection that was idle for too long is not used."""
    asker = Asker()
    one, two = answered(asker, 2)
    asker.now += 1.5
    asker.ask(POST)
    assert asker.requests() == []
    assert asker.closed() == [two, one]
    assert asker.services.pools.by_id.keys().isdisjoint({one, two})


def test_bytes_while_idle() -> None:
    """A connection on which anything comes while it is idle is closed; so is one that ends."""
    asker = Asker()
    one, two = answered(asker, 2)
    asker.receive(one, b"x")
    assert asker.closed() == [one]
    asker.lose(two)
    assert asker.services.pools.by_id == {}
    # What is said of those that are gone changes nothing.
    asker.receive(one, b"x")
    asker.lose(two)


def test_closing_answers() -> None:
    """A connection that the service closes after its answer is not kept."""
    asker = Asker()
    call = asker.ask()
    (number,) = asker.connect()
    asker.receive(number, answer(200, b"{}", Connection="close"))
    assert asker.result(call).body == b"{}"
    assert asker.closed() == [number]


def test_pool_size() -> None:
    """Only so many are kept idle as are wanted; none, if that is said."""
    asker = Asker(http={"pool_size": 2})
    numbers = answered(asker, 3)
    assert asker.closed() == [numbers[2]]
    asker = Asker(http={"pool_size": 0})
    assert answered(asker) == asker.closed()


def test_most_connections() -> None:
    """With a limit calls wait for a connection in order, and one that is free serves the next."""
    asker = Asker(http={"max_connections": 1})
    first, second, third = (asker.ask() for _ in range(3))
    (number,) = asker.connect()
    assert [counts for _, *counts in asker.services.pools.loads()] == [[1, 0, 2]]
    assert asker.requests() == [number]
    asker.receive(number)
    assert [call.done for call in (first, second, third)] == [True, False, False]
    assert asker.requests() == [number]
    # It breaks: the third gets a new one.
    asker.receive(number, answer(200, b"{}", Connection="close"))
    assert second.done
    asker.run()
    (other,) = asker.connect()
    assert asker.requests() == [other]
    asker.receive(other)
    assert asker.result(third).status == 200
    assert [counts for _, *counts in asker.services.pools.loads()] == [[0, 1, 0]]


def test_waiting_calls_are_cancelled() -> None:
    """A call that waits for a connection, and is cancelled, takes none."""
    asker = Asker(http={"max_connections": 1})
    asker.ask()
    waiting = asker.ask()
    asker.services.cancel(waiting)
    (number,) = asker.connect()
    asker.receive(number)
    assert len(asker.requests()) == 1
    assert not waiting.done


def test_each_node_has_a_pool() -> None:
    """Limits are each service's of each node."""
    asker = Asker(ONE, TWO, http={"max_connections": 1})
    for _ in range(2):
        asker.ask(GET)
    assert {address for _, address in asker.opened()} == {ONE, TWO}


def test_node_goes() -> None:
    """What is idle at a node that goes is closed at once; what is under way ends by itself."""
    asker = Asker()
    idle, busy = answered(asker, 2)
    call = asker.ask()
    assert asker.requests() == [busy]
    asker.config = query_nodes(TWO)
    asker.services.changed(asker.now)
    assert asker.closed() == [idle]
    asker.receive(busy)
    assert asker.result(call).status == 200
    other = asker.ask()
    ((number, address),) = asker.opened()
    assert address == TWO
    asker.services.pools.connected(number, None)
    asker.receive(number)
    assert asker.result(other).node == str(TWO)


def test_node_goes_for_which_calls_wait() -> None:
    """Calls that wait for a connection to a node that goes are asked of another."""
    asker = Asker(http={"max_connections": 1})
    asker.ask()
    waiting = asker.ask()
    asker.opened()
    asker.config = query_nodes(TWO)
    asker.services.changed(asker.now)
    ((number, address),) = asker.opened()
    assert address == TWO
    asker.services.pools.connected(number, None)
    asker.receive(number)
    assert asker.result(waiting).node == str(TWO)
