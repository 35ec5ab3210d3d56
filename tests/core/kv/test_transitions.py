"""The states of a connection: the table that the diagram is drawn from is what the code does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Final

from couchloop.exceptions import CouchbaseError
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_response
from couchloop.kv.connection import TRANSITIONS, Connection, State
from couchloop.kv.handshake import Hello, Negotiated
from couchloop.settings.values import Address, Login

_LONGEST: Final = 4
"""Calls that lead through all states: opened, two answers, the end."""


class Owner:
    """A session that closes what has failed, as sessions do."""

    delivers = None

    def has_output(self, connection: Connection) -> None:
        """Output is asked for by the peer."""

    def output_full(self, connection: Connection) -> None:
        raise AssertionError("too much output")

    def derive_key(self, connection: Connection, derivation: Any) -> None:
        raise AssertionError("a certificate logs in")

    def handshake_done(self, connection: Connection, negotiated: Negotiated, now: float) -> None:
        """The state tells of it."""

    def unnumbered(self, op: Any, connection: Any, vbucket: int) -> bool:
        raise AssertionError("no collection was asked for")

    def completed(self, op: Any) -> None:
        raise AssertionError("nothing was asked")

    def refused(self, op: Any, answer: Frame, now: float) -> None:
        raise AssertionError("nothing was asked")

    def orphaned(self, connection: Connection, frame: Frame, now: float) -> None:
        """An answer that nobody waits for changes nothing."""

    def pushed(self, connection: Connection, frame: Frame, now: float) -> None:
        raise AssertionError("nothing was pushed")

    def failed(self, connection: Connection, error: CouchbaseError, now: float) -> None:
        connection.close()


class Observed(Connection):
    """A connection that writes down how its state changes, and within which call."""

    def __init__(self) -> None:
        self.seen: set[tuple[State, str, State]] = set()
        self.calls = ["__init__"]
        self.now: State | None = None
        super().__init__(Owner(), 1, Address("h", 1), "b", Hello("agent", "0/1"), tls=True)

    @property
    def state(self) -> State:
        assert self.now is not None
        return self.now

    @state.setter
    def state(self, state: State) -> None:
        if self.now is not None:
            self.seen.add((self.now, self.calls[-1], state))
        self.now = state

    def within(self, name: str, call: Callable[[], object]) -> None:
        """Run *call*, known as *name*."""
        self.calls.append(name)
        call()
        self.calls.pop()

    def close(self) -> list[Any]:
        self.within("close", super().close)
        return []

    def answer(self) -> None:
        """Answer everything that was asked, as a node does that grants nothing."""
        for request in FrameDecoder(RequestFrame).receive(self.take_output()):
            self.receive_data(encode_response(request.opcode), 0.0)


def walked(names: tuple[str, ...]) -> Observed:
    """Return a connection to which that has happened."""
    connection = Observed()
    login = Login("", "", by_certificate=True)
    calls: dict[str, Callable[[], object]] = {
        "opened": lambda: connection.opened(login, str, 0.0),
        "receive_data": connection.answer,
        "receive_garbage": lambda: connection.receive_data(b"HTTP/1.1 200 OK\r\n" * 2, 0.0),
        "key_derived": lambda: connection.key_derived(b"key", 0.0),
        "lost": lambda: connection.lost(None, 0.0),
        "close": connection.close,
    }
    for name in names:
        connection.within(name, calls[name])
    return connection


CALLS: Final = ("opened", "receive_data", "receive_garbage", "key_derived", "lost", "close")


def test_the_table_is_what_the_code_does() -> None:
    """Whatever is called in whatever order, states change as `TRANSITIONS` says, and all do."""
    seen = {change for names in product(CALLS, repeat=_LONGEST) for change in walked(names).seen}
    assert seen == set(TRANSITIONS)
    assert len(TRANSITIONS) == len(set(TRANSITIONS))
