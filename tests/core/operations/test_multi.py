"""The `_multi` forms: made of the single ones, with what may be said of each key by itself."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError
from couchloop.hot.batch import Batch
from couchloop.operations import document as ops
from couchloop.operations.items import ItemOptionDict
from couchloop.operations.multi import CAS_OF_LOCK, DELTA, EXPIRY, LOCK_TIME, VALUE, Multi
from couchloop.result import OperationResult
from couchloop.retries import FailFast
from couchloop.transcoder import FMT_UTF8
from couchloop.wire import Opcode
from tests.core.world import defaults

D = defaults()

SIGNATURES = {
    "get_multi": "keys, ttl=0, quiet=None, replica=False, no_format=False, *, "
    "project=None, with_expiry=False, transcoder=None, type=None",
    "exists_multi": "keys, *",
    "get_and_touch_multi": "keys, expiry=None, quiet=None, *, no_format=False, transcoder=None, "
    "type=None",
    "get_and_lock_multi": "keys, lock_time=None, *, no_format=False, transcoder=None, type=None",
    "lock_multi": "keys, ttl=0, quiet=None, *, no_format=False, transcoder=None, type=None",
    "unlock_multi": "kvs, *",
    "upsert_multi": (
        "keys, ttl=0, format=None, persist_to=0, replicate_to=0, *, expiry=None, "
        "transcoder=None, preserve_expiry=False, durability=None"
    ),
    "insert_multi": "keys, ttl=0, format=None, persist_to=0, replicate_to=0, *, "
    "expiry=None, transcoder=None, durability=None",
    "replace_multi": (
        "keys, ttl=0, format=None, persist_to=0, replicate_to=0, *, expiry=None, "
        "transcoder=None, preserve_expiry=False, durability=None"
    ),
    "append_multi": "keys, format=None, persist_to=0, replicate_to=0, *, durability=None",
    "prepend_multi": "keys, format=None, persist_to=0, replicate_to=0, *, durability=None",
    "remove_multi": "kvs, quiet=None, persist_to=0, replicate_to=0, *, durability=None",
    "touch_multi": "keys, ttl=0, *, expiry=None",
    "counter_multi": "kvs, initial=None, delta=1, ttl=0, *, expiry=None, "
    "persist_to=0, replicate_to=0, durability=None",
}
"""As in SDK 2.5, and what every operation takes here."""


def bare(build: Any) -> str:
    """Return the signature without types."""
    signature = inspect.signature(build)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    empty = inspect.Signature.empty
    return str(signature.replace(parameters=parameters, return_annotation=empty))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    """Arguments and their order are SDK 2.5's; defaults are those of the single form."""
    every = "timeout=None, retry_strategy=None"
    assert bare(getattr(ops, name)) == f"(defaults, {SIGNATURES[name]}, {every})"


def test_complete() -> None:
    """Each operation that is made of one request has a `_multi` form, by its name."""
    made = {name: each for name, each in vars(ops).items() if isinstance(each, Multi)}
    assert made.keys() == SIGNATURES.keys()
    for name, each in made.items():
        single = getattr(ops, name.removesuffix("_multi"))
        assert each.single is single
        assert (each.__name__, each.__module__) == (name, single.__module__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_shared_arguments(name: str) -> None:
    """What is given once counts for each key, by position or by name."""
    build: Any = getattr(ops, name)
    strategy = FailFast()
    keys: Any = {"a": "x", "b": "y"} if build.own is VALUE else ["a", "b"]
    options: dict[str, Any] = {"timeout": 7, "retry_strategy": strategy}
    if build.own is CAS_OF_LOCK:
        keys = {"a": 1, "b": 2}
    if build.own in {LOCK_TIME, EXPIRY}:
        options[build.argument] = 9
    for op in build(D, keys, **options).operations:
        assert (op.timeout, op.retry_strategy) == (7, strategy)
    if "ttl" in SIGNATURES[name] and build.own is not DELTA:
        options.pop("ttl", None)
        batches = [build(D, keys, 9, **options), build(D, keys, ttl=9, **options)]
        if "expiry=None" in SIGNATURES[name]:
            batches.append(build(D, keys, expiry=timedelta(seconds=9), **options))
        for batch in batches:
            assert [op.extras[-4:].hex() for op in batch.operations] == ["00000009"] * 2
    if "format=None" in SIGNATURES[name]:
        assert [op.value for op in build(D, keys, format=FMT_UTF8).operations] == [b"x", b"y"]
    if "quiet" in SIGNATURES[name]:
        if build.own in {LOCK_TIME, EXPIRY}:
            options[build.argument] = 9
        assert all(op.quiet for op in build(D, keys, quiet=True, **options).operations)


def test_what_nothing_is_said_of() -> None:
    """A dict may leave it to the batch what some of its keys get."""
    batch: Batch[Any] = ops.get_multi(D, {"a": None, "b": 5}, 9)
    assert [op.extras.hex() for op in batch.operations] == ["00000009", "00000005"]
    batch = ops.touch_multi(D, {"a": None, "b": 5}, expiry=timedelta(seconds=9))
    assert [op.extras.hex() for op in batch.operations] == ["00000009", "00000005"]
    batch = ops.unlock_multi(D, {"a": 7, "b": OperationResult("b", 6)})
    assert [op.cas for op in batch.operations] == [7, 6]
    batch = ops.exists_multi(D, {"a": 1, "b": 2})
    assert [(op.key, op.extras) for op in batch.operations] == [("a", b"\2"), ("b", b"\2")]
    batch = ops.remove_multi(D, {"a": None, "b": OperationResult("b", 6)})
    assert [op.cas for op in batch.operations] == [0, 6]
    batch = ops.counter_multi(D, {"a": None, "b": {"ttl": 3}}, 1, 4, 7)
    assert [op.extras.hex() for op in batch.operations] == [
        "0000000000000004" + "0000000000000001" + "00000007",
        "0000000000000004" + "0000000000000001" + "00000003",
    ]
    # Of values, None is one.
    (op,) = ops.upsert_multi(D, {"a": None}).operations
    assert op.value == b"null"


def test_a_batch_that_touches_is_not_idempotent() -> None:
    """A large get that sets expiries counts as a change, whatever was not built yet."""
    many = [str(number) for number in range(2000)]
    for batch, changes in (
        (ops.get_multi(D, many), False),
        (ops.get_multi(D, many, 5), True),
        (ops.get_multi(D, dict.fromkeys(many, 5)), True),
    ):
        assert batch.kind.idempotent is not changes  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.get_multi(D, ["a"], nosuch=1),
        lambda: ops.get_multi(D, ["a"], 1, True, False, False, 2),
        lambda: ops.get_multi(D, ["a"], 1, ttl=1),
        lambda: ops.upsert_multi(D, {"a": 1}, cas=5),
        lambda: ops.remove_multi(D, ["a"], cas=5),
        lambda: ops.exists_multi(D, ["a"], 5),
    ],
)
def test_slips(call: Any) -> None:
    """An argument that there is not, or that comes twice, is a TypeError that names all."""
    with pytest.raises(TypeError, match=r"_multi\(\) takes: .*timeout"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.unlock_multi(D, ["a"]),
        lambda: ops.unlock_multi(D, {"a": 0}),
        lambda: ops.lock_multi(D, ["a"]),
        lambda: ops.touch_multi(D, ["a"], ttl=5, expiry=5),
    ],
)
def test_what_is_missing(call: Any) -> None:
    """Unlocking needs a CAS of each key, and locking a time; one thing is not said twice."""
    with pytest.raises(ArgumentError):
        call()


def test_named_arguments() -> None:
    """What a dict names of a key must be arguments that differ from key to key."""
    with pytest.raises(ArgumentError, match="counter_multi: unknown argument 'timeout'"):
        ops.counter_multi(D, {"a": {"timeout": 1}})
    with pytest.raises(ArgumentError, match="unknown argument"):
        ops.counter_multi(D, {"a": {1: 1, "step": 2}})  # keys of any kind


@pytest.mark.parametrize(
    ("build", "opcode"),
    [(ops.get_and_touch_multi, Opcode.GAT), (ops.get_and_lock_multi, Opcode.GET_LOCKED)],
)
def test_what_must_be_said(build: Any, opcode: Opcode) -> None:
    """Each key must have an expiry, or a time: its own, or that of all."""
    keys: Any
    for keys, shared in (
        (["a", "b"], (9,)),
        ({"a": 9, "b": None}, (9,)),
        ({"a": 9, "b": timedelta(seconds=9)}, ()),
    ):
        batch: Batch[Any] = build(D, keys, *shared)
        assert [(op.opcode, op.extras.hex()) for op in batch.operations] == [
            (opcode, "00000009")
        ] * 2
    items = ItemOptionDict()
    items.create_and_add("a", **{build.argument: 9})
    (op,) = build(D, items).operations
    assert op.extras.hex() == "00000009"
    items.create_and_add("b")
    for keys, key in ((["a"], None), ({"a": 9, "b": None}, "b"), (items, "b")):
        with pytest.raises(ArgumentError, match=f"needs {build.argument}: one for all") as caught:
            build(D, keys)
        assert caught.value.key == key
        assert build(D, keys, 9).operations
