"""What lists, maps, sets and queues ask of their documents, in front of an embedded cluster."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, EmptyKeyError, QueueEmpty
from couchloop.operations.container_kinds import (
    ContainerBase,
    ListBase,
    MapBase,
    QueueBase,
    SetBase,
)
from tests.core.session.support import opened
from tests.core.world import World


class Target:
    """A Bucket, or a collection of one, by what containers know of it."""

    def __init__(self, world: World) -> None:
        self._defaults = world.defaults

    def __repr__(self) -> str:
        return "<target>"


@pytest.fixture(name="world")
def _world() -> World:
    return opened()


def made(kind: type[ContainerBase], world: World, **expiry: Any) -> Any:
    """Return a container of one document."""
    return kind("k", Target(world), **expiry)


def stored(world: World, container: Any) -> Any:
    """Return the value of its document."""
    return world.do(container._reading(lambda value: value))


def test_list(world: World) -> None:
    """A list is made by its first value; what is not there is an IndexError."""
    values = made(ListBase, world)
    with pytest.raises(IndexError):
        world.do(values._getting(0))
    with pytest.raises(IndexError):
        world.do(values._setting(0, 1))
    with pytest.raises(IndexError):
        world.do(values._removing(0))
    assert world.do(values._counting()) == 0
    world.do(values._appending(2))
    world.do(values._prepending(1))
    world.do(values._setting(1, 3))
    assert stored(world, values) == [1, 3]
    assert world.do(values._getting(1)).value == 3
    world.do(values._removing(0))
    assert (stored(world, values), world.do(values._counting())) == ([3], 1)
    with pytest.raises(IndexError):
        world.do(values._getting(5))


def test_map(world: World) -> None:
    """A map is made by its first member; what is not there is a KeyError."""
    members = made(MapBase, world)
    with pytest.raises(KeyError, match="a"):
        world.do(members._getting("a"))
    with pytest.raises(KeyError):
        world.do(members._removing("a"))
    world.do(members._adding("a", 1))
    world.do(members._adding("b", 2))
    assert world.do(members._getting("a")).value == 1
    assert world.do(members._counting()) == 2
    world.do(members._removing("a"))
    assert stored(world, members) == {"b": 2}
    with pytest.raises(KeyError):
        world.do(members._getting("a"))


def test_set(world: World) -> None:
    """A value is in a set once; to remove what is not there changes nothing."""
    values = made(SetBase, world)
    assert world.do(values._removing(1)) is None
    assert world.do(values._adding(1)) is not None
    assert world.do(values._adding(1)) is None
    assert world.do(values._removing(2)) is None
    assert (stored(world, values), world.do(values._counting())) == ([1], 1)
    assert world.do(values._removing(1)) is not None
    assert stored(world, values) == []


def test_queue(world: World) -> None:
    """What was pushed first is popped first; then it is empty, as one that was never there."""
    values = made(QueueBase, world)
    with pytest.raises(QueueEmpty) as caught:
        world.do(values._popping())
    assert caught.value.key == "k"
    world.do(values._pushing(1))
    world.do(values._pushing(2))
    assert world.do(values._counting()) == 2
    assert [world.do(values._popping()).value for _ in range(2)] == [1, 2]
    with pytest.raises(QueueEmpty):
        world.do(values._popping())


def test_change(world: World) -> None:
    """A change of the whole value is one, and what it raises leaves the document as it was."""
    values = made(ListBase, world)
    world.do(values._appending(1))
    assert world.do(values._changing(lambda found: ([*found, 2], len(found)))) == 1
    with pytest.raises(ZeroDivisionError):
        world.do(values._changing(lambda found: (found, 1 // 0)))
    assert stored(world, values) == [1, 2]


def test_expiry(world: World) -> None:
    """Each change sets the expiry anew, or keeps that which the document has."""
    values = made(ListBase, world, ttl=10)
    world.do(values._appending(1))
    world.clock.advance(9.0)
    world.do(values._appending(2))
    world.clock.advance(9.0)
    assert stored(world, values) == [1, 2]
    world.do(made(ListBase, world, ttl=1000, preserve_expiry=True)._appending(3))
    world.clock.advance(2.0)
    assert world.do(values._counting()) == 0
    with pytest.raises(ArgumentError):
        made(ListBase, world, preserve_expiry="yes")


def test_refused(world: World) -> None:
    """What a change refuses is refused at once; the container shows what it is of."""
    values = ListBase("", Target(world))
    with pytest.raises(EmptyKeyError):
        values._appending(1)
    assert repr(values) == "<ListBase '' of <target>>"
