"""What durability makes of an operation: a framing extra with a time, or a procedure."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from couchloop import subdocument as sd
from couchloop.durability import ClientDurability, Durability, ServerDurability
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidDurabilityError,
    InvalidTimeoutError,
    TooFewReplicasError,
)
from couchloop.hot.operation import Defaults
from couchloop.items import Item, ItemOptionDict
from couchloop.operations import document as ops
from couchloop.operations.durable import Block, need_of_block
from couchloop.operations.procedure import Procedure
from couchloop.operations.subdocument import mutate_in
from couchloop.wire.framing import decode_framing
from tests.core.world import defaults

D = defaults()
Single = Callable[..., Any]

CHANGES: dict[str, Single] = {
    "upsert": lambda d, **more: ops.upsert(d, "k", 1, **more),
    "insert": lambda d, **more: ops.insert(d, "k", 1, **more),
    "replace": lambda d, **more: ops.replace(d, "k", 1, **more),
    "append": lambda d, **more: ops.append(d, "k", "x", **more),
    "prepend": lambda d, **more: ops.prepend(d, "k", "x", **more),
    "remove": lambda d, **more: ops.remove(d, "k", **more),
    "counter": lambda d, **more: ops.counter(d, "k", **more),
    "mutate_in": lambda d, **more: mutate_in(d, "k", sd.upsert("a", 1), **more),
}
BATCHES: dict[str, Single] = {
    "upsert_multi": lambda d, **more: ops.upsert_multi(d, {"k": 1, "l": 2}, **more),
    "insert_multi": lambda d, **more: ops.insert_multi(d, {"k": 1, "l": 2}, **more),
    "replace_multi": lambda d, **more: ops.replace_multi(d, {"k": 1, "l": 2}, **more),
    "append_multi": lambda d, **more: ops.append_multi(d, {"k": "x", "l": "y"}, **more),
    "prepend_multi": lambda d, **more: ops.prepend_multi(d, {"k": "x", "l": "y"}, **more),
    "remove_multi": lambda d, **more: ops.remove_multi(d, ["k", "l"], **more),
    "counter_multi": lambda d, **more: ops.counter_multi(d, ["k", "l"], **more),
    "append_items": lambda d, **more: ops.append_items(
        d, ItemOptionDict({Item("k"): {"fragment": "x"}}), **more
    ),
    "prepend_items": lambda d, **more: ops.prepend_items(
        d, ItemOptionDict({Item("k"): {"fragment": "x"}}), **more
    ),
}
LEVELS = [Durability.MAJORITY, Durability.MAJORITY_AND_PERSIST_TO_ACTIVE]
LEVELS.append(Durability.PERSIST_TO_MAJORITY)


def level_of(op: Any) -> tuple[int, int] | None:
    """Return the level and the milliseconds that a request asks for."""
    for identifier, payload in decode_framing(op.framing):
        if identifier == 1:
            assert len(payload) == 3
            return payload[0], int.from_bytes(payload[1:])
    return None


def is_watched(pending: Any) -> bool:
    """Return whether copies are to be asked."""
    return type(pending) is Procedure


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("level", LEVELS)
def test_levels(name: str, level: Durability) -> None:
    """Each change takes each level; the server has nine tenths of the time."""
    op = CHANGES[name](D, durability=level)
    assert (level_of(op), op.timeout) == ((level, 9000), 10.0)
    assert level_of(CHANGES[name](D, durability=ServerDurability(level))) == (level, 9000)
    assert CHANGES[name](D).framing == CHANGES[name](D, durability=Durability.NONE).framing == b""


@pytest.mark.parametrize("name", BATCHES)
def test_levels_of_batches(name: str) -> None:
    """Each operation of a batch has the level."""
    batch = BATCHES[name](D, durability=Durability.MAJORITY)
    assert {level_of(op) for op in batch.operations} == {(1, 9000)}
    assert {op.timeout for op in batch.operations} == {10.0}
    batch = BATCHES[name](D, durability=Durability.MAJORITY, timeout=4.0)
    assert {level_of(op) for op in batch.operations} == {(1, 3600)}


@pytest.mark.parametrize(
    ("timeout", "seconds", "milliseconds"),
    [(None, 10.0, 9000), (2.0, 2.0, 1800), (0.001, 1.5, 1350), (100.0, 100.0, 65_534)],
)
def test_times(timeout: float | None, seconds: float, milliseconds: int) -> None:
    """The server needs some time, and takes no more than its field can say."""
    op: Any = ops.upsert(D, "k", 1, durability=Durability.MAJORITY, timeout=timeout)
    assert (op.timeout, level_of(op)) == (seconds, (1, milliseconds))


def test_with_preserve_expiry() -> None:
    """Both stand in the framing extras."""
    op = ops.upsert(D, "k", 1, preserve_expiry=True, durability=Durability.MAJORITY)
    assert [identifier for identifier, _ in decode_framing(op.framing)] == [5, 1]


def test_bytes() -> None:
    """The frame's byte says its number and length; then come level and milliseconds."""
    op = ops.upsert(D, "k", 1, durability=Durability.MAJORITY, timeout=2.5)
    assert op.framing.hex() == "13" + "01" + "08ca"


@pytest.mark.parametrize("name", CHANGES | BATCHES)
@pytest.mark.parametrize(
    "more",
    [
        {"persist_to": 1},
        {"replicate_to": -1},
        {"durability": ClientDurability(1, 1)},
    ],
)
def test_by_copies(name: str, more: dict[str, Any]) -> None:
    """To watch copies is a procedure of the same name; nothing of it is in the request."""
    made = (CHANGES | BATCHES)[name](D, **more)
    assert is_watched(made)
    assert made.name == name.replace("_items", "_multi")
    plain = (CHANGES | BATCHES)[name](D, persist_to=0, durability=ClientDurability())
    assert not is_watched(plain)


BAD = [
    ({"durability": 1}, InvalidDurabilityError),
    ({"durability": "majority"}, InvalidDurabilityError),
    ({"durability": Durability.MAJORITY, "persist_to": 1}, InvalidDurabilityError),
    ({"persist_to": 1.5}, InvalidDurabilityError),
    ({"replicate_to": "1"}, InvalidDurabilityError),
    ({"persist_to": 5}, TooFewReplicasError),
    ({"replicate_to": 4}, TooFewReplicasError),
    ({"durability": Durability.MAJORITY, "timeout": float("nan")}, InvalidTimeoutError),
    ({"persist_to": 1, "timeout": float("inf")}, InvalidTimeoutError),
]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(("more", "kind"), BAD)
def test_bad(name: str, more: dict[str, Any], kind: type[CouchbaseError]) -> None:
    """What is wrong is refused at the call, with operation and key."""
    with pytest.raises(kind) as caught:
        CHANGES[name](D, **more)
    if kind is not InvalidTimeoutError:
        assert isinstance(caught.value, ArgumentError)
        assert caught.value.key == "k"
        assert caught.value.context is not None
        assert caught.value.context.operation == name


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize(("more", "kind"), BAD)
def test_bad_batches(name: str, more: dict[str, Any], kind: type[CouchbaseError]) -> None:
    """Likewise a batch as a whole."""
    with pytest.raises(kind):
        BATCHES[name](D, **more)


class TestBlocks:
    """`durability()` blocks."""

    @staticmethod
    def within(d: Defaults, *arguments: Any) -> Any:
        """Return the context."""
        return Block(d.durable, need_of_block(*arguments))

    @pytest.mark.parametrize("name", CHANGES | BATCHES)
    def test_defaults(self, name: str) -> None:
        """Within, changes watch their copies unless they say something; outside, they do not."""
        d, build = defaults(), (CHANGES | BATCHES)[name]
        with self.within(d, 1, 0, 0):
            assert is_watched(build(d))
            assert not is_watched(build(d, durability=Durability.NONE))
            assert not is_watched(build(d, durability=Durability.MAJORITY))
        assert not is_watched(build(d))

    def test_of_one_bucket(self) -> None:
        """Another Bucket is not concerned; the innermost block counts."""
        one, other = defaults(), defaults()
        other.durable.has_blocks = True
        with self.within(one, 1, 0, 0):
            assert not is_watched(ops.remove(other, "k"))
            with self.within(one, 0, 0, 0):
                assert not is_watched(ops.remove(one, "k"))
            assert is_watched(ops.remove(one, "k"))

    def test_other_contexts(self) -> None:
        """What runs in another context is not concerned, and one that is gone harms nobody."""
        d = defaults()
        with self.within(d, 1, 0, 0):
            pass
        elsewhere = copy_context()
        with self.within(d, 1, 0, 0):
            assert not is_watched(elsewhere.run(ops.remove, d, "k"))
        entered = self.within(d, 1, 0, 0)
        copy_context().run(entered.__enter__)
        assert not is_watched(ops.remove(d, "k"))
        entered.__exit__(None, None, None)

    def test_again(self) -> None:
        """One context may be entered again, within itself, and in two tasks at once."""
        d = defaults()
        context = self.within(d, 1, 0, 0)
        for _ in range(2):
            with context, context:
                assert is_watched(ops.remove(d, "k"))
            assert not is_watched(ops.remove(d, "k"))
        one, other = copy_context(), copy_context()
        one.run(context.__enter__)
        other.run(context.__enter__)
        one.run(context.__exit__, None, None, None)
        assert not is_watched(one.run(ops.remove, d, "k"))
        assert is_watched(other.run(ops.remove, d, "k"))
        other.run(context.__exit__, None, None, None)
        assert not is_watched(other.run(ops.remove, d, "k"))

    def test_wrongly(self) -> None:
        """What was not entered cannot be left, and nothing is waited for."""
        context = self.within(defaults(), 1, 0, 0)
        with pytest.raises(InvalidDurabilityError, match="never entered"):
            context.__exit__(None, None, None)
        with pytest.raises(InvalidDurabilityError, match="not by `async with`"):
            context.__aenter__().send(None)

    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            (("x", 0, 0), InvalidDurabilityError),
            ((5, 0, 0), TooFewReplicasError),
            ((1, 0, float("nan")), InvalidTimeoutError),
            ((1, 0, "1"), InvalidTimeoutError),
        ],
    )
    def test_bad(self, arguments: Any, kind: type[CouchbaseError]) -> None:
        """What is wrong is refused when the block is asked for."""
        with pytest.raises(kind):
            need_of_block(*arguments)
