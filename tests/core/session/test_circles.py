"""Nothing of a session that has ended waits for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest

from couchloop.operations import document as ops
from couchloop.retries import FailFast
from couchloop.session import health
from couchloop.session.ping import ping
from couchloop.session.session import SessionState
from couchloop.settings.values import Address
from tests.core.session.bootstrap.web import web_world
from tests.core.session.support import error_of
from tests.core.world import World
from tests.garbage import circles, needs_counting

NOBODY = Address("127.0.0.1", 9)


class Observer:
    """Wants to know, and does nothing with it."""

    def completed(self, operation: Any, /) -> None:
        """Hear of an operation."""

    def answered_late(self, answer: Any, /) -> None:
        """Hear of an answer."""


WORLDS: dict[str, Callable[[], World]] = {
    "plain": World,
    "observed": lambda: World(observer=Observer()),
    "with a file": lambda: World(config_cache="/cache"),
    "by a web port": web_world,
    "one seed is away": lambda: World(seeds=(NOBODY, Address("127.0.0.1", 10000))),
}


pytestmark = needs_counting


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Have references alone free what is used no more."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left_of(world: World) -> list[object]:
    """Forget the session; return what the collector finds of it."""
    there = ref(world.session)
    del world.session
    # An operation knows the connection on which it went.
    world.delivered.clear()
    assert there() is None
    return circles()


@pytest.mark.parametrize("kind", WORLDS)
def test_closed(kind: str) -> None:
    """After a session's end no part of it holds another that holds it."""
    w = WORLDS[kind]()
    w.open()
    w.do(ops.upsert(w.defaults, "k", 1))
    w.do(ping(w.defaults))
    w.do(ops.get_multi(w.defaults, [f"k{number}" for number in range(500)], quiet=True))
    w.session.close(w.now)
    w.settle()
    assert left_of(w) == []


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("kind", WORLDS)
def test_closed_amid(kind: str, turns: int) -> None:
    """Nor where it ends with things under way, or while it is opened."""
    w = WORLDS[kind]()
    w.session.start(w.now)
    pending = w.submit(ops.upsert(w.defaults, "k", 1))
    for _ in range(turns):
        w._perform()
        w._carry()
    w.session.close(w.now)
    w.settle()
    assert pending.done
    del pending
    assert left_of(w) == []


def test_nodes_lost() -> None:
    """Nor where all nodes are away, and are looked for."""
    w = World()
    w.open()
    for node in w.cluster.nodes:
        w.cluster.stop(node)
    w.advance(3)
    w.session.close(w.now)
    w.settle()
    assert left_of(w) == []


@pytest.mark.parametrize("kind", WORLDS)
def test_forked(kind: str) -> None:
    """Nor in a forked child; what was under way is told all the same."""
    w = WORLDS[kind]()
    w.open()
    pending = w.submit(ops.upsert(w.defaults, "k", 1))
    w.session.forked()
    w.settle()
    assert pending.done
    # A child of the child's.
    w.session.forked()
    w.settle()
    del pending
    assert left_of(w) == []


def test_still_refuses() -> None:
    """Whatever is asked of a session that has ended is refused, as long as anybody is told."""
    w = World()
    w.open()
    w.session.close(w.now)
    w.settle()
    assert w.session.state is SessionState.CLOSED
    asked: list[Any] = [
        ops.get(w.defaults, "k", retry_strategy=FailFast()),
        ops.get_multi(w.defaults, ["a", "b"]),
        ops.get_multi(w.defaults, [f"k{number}" for number in range(3000)]),
        ops.get_any_replica(w.defaults, "k"),
        ping(w.defaults),
        health.wait_until_ready(w.defaults, 1),
    ]
    for pending in asked:
        w.submit(pending)
    w.settle()
    assert all(pending.done for pending in asked)
    assert w.delivered[:2] == asked[:2]
    assert set(w.delivered) == set(asked)
    assert error_of(asked[0]).context is not None


def test_weakly_told() -> None:
    """Who is told is not held: once it has gone, what ends is told to nobody."""
    w = World()
    w.open()
    session = w.session
    session.close(w.now)
    w.settle()
    there, op = ref(w), ops.get(w.defaults, "k")
    now = w.now
    del w
    assert there() is None
    session.submit(op, now)
    assert op.done
