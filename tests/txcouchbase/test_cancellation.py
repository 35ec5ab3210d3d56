"""Cancelling at random points: nobody ever gets what belongs to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError

from couchloop.exceptions import CouchbaseError
from couchloop.result import MultiResult, ValueResult
from tests.share import share
from tests.txcouchbase.support import Memory, outcome
from txcouchbase.bucket import Bucket

_KEYS = [f"key{n}" for n in range(40)]

Issued = tuple[list[str], Deferred[Any], list[Any]]

_numbers = st.integers(0, len(_KEYS) - 1)
_batches = st.lists(_numbers, min_size=1, max_size=10, unique=True)
_actions = st.one_of(
    st.tuples(st.just("get"), _numbers),
    st.tuples(st.just("upsert"), _numbers),
    st.tuples(st.just("get_multi"), _batches),
    st.tuples(st.just("upsert_multi"), _batches),
    st.tuples(st.just("timed"), _numbers),
    st.tuples(st.just("cancel"), st.integers(0, 1000)),
    st.tuples(st.just("cancel within"), st.tuples(_numbers, st.integers(0, 1000))),
    st.tuples(st.just("slow"), st.integers(0, 20)),
    st.tuples(st.just("advance"), st.integers(0, 10)),
)


def _value(key: str) -> dict[str, str]:
    return {"I am": key}


class _Client:
    """Issues operations, cancels some, and remembers what came of each."""

    def __init__(self, memory: Memory, bucket: Bucket) -> None:
        self.memory = memory
        self.bucket = bucket
        self.issued: list[Issued] = []

    def issue(self, keys: list[str], deferred: Deferred[Any]) -> None:
        self.issued.append((keys, deferred, outcome(deferred)))

    def cancel(self, number: int) -> None:
        if self.issued:
            self.issued[number % len(self.issued)][1].cancel()

    def act(self, action: str, argument: Any) -> None:
        bucket = self.bucket
        match action:
            case "get":
                self.issue([_KEYS[argument]], bucket.get(_KEYS[argument]))
            case "upsert":
                key = _KEYS[argument]
                self.issue([key], bucket.upsert(key, _value(key)))
            case "get_multi":
                keys = [_KEYS[n] for n in argument]
                self.issue(keys, bucket.get_multi(keys))
            case "upsert_multi":
                keys = [_KEYS[n] for n in argument]
                self.issue(keys, bucket.upsert_multi({key: _value(key) for key in keys}))
            case "timed":
                key = _KEYS[argument]
                self.issue([key], bucket.get(key).addTimeout(0.003, self.memory.reactor))
            case "cancel":
                self.cancel(argument)
            case "cancel within":
                key = _KEYS[argument[0]]

                def cancel(result: Any) -> Any:
                    self.cancel(argument[1])
                    return result

                self.issue([key], bucket.get(key).addCallback(cancel))
            case "slow":
                self.memory.cluster.inject(delay=argument / 1000, count=1)
            case _:
                self.memory.reactor.advance(argument / 1000)


def _check(keys: list[str], result: Any) -> str:
    """Check that *result* belongs to who asked for *keys*; tell what it is."""
    match result:
        case MultiResult():
            assert list(result) == keys
            for key, one in result.items():
                _check([key], one)
            return "batch"
        case ValueResult():
            assert result.key == keys[0]
            assert result.value == _value(keys[0])
            return "value"
        case CancelledError() | DeferredTimeoutError():
            return "cancelled"
        case CouchbaseError():
            raise AssertionError(f"failed: {result!r}")
    assert result.success
    assert result.key == keys[0]
    return "stored"


def _run(actions: list[tuple[str, Any]], connect: Callable[[Memory, Bucket], object]) -> set[str]:
    """Run *actions*; check every outcome and the state thereafter; tell what there was."""
    memory = Memory()
    writer = memory.open()
    memory.result(writer.upsert_multi({key: _value(key) for key in _KEYS}))
    memory.result(writer.close())
    before = memory.cluster.accepted
    bucket = memory.open()
    connect(memory, bucket)
    client = _Client(memory, bucket)
    for action, argument in actions:
        client.act(action, argument)
    memory.reactor.pump([0.01] * 100)
    seen = set()
    for keys, _, outcomes in client.issued:
        assert len(outcomes) == 1, f"{keys}: fired {len(outcomes)} times"
        seen.add(_check(keys, outcomes[0]))
    session = bucket._driver.session
    assert session.in_flight == 0
    assert not any(connection.pending for connection in session.connections)
    assert not any(endpoint.parked for endpoint in session.table.endpoints.values())
    assert not session.parking.until_open
    # The same connections go on, without what has slowed nobody so far.
    memory.cluster.injections.clear()
    memory.result(bucket.get_multi(_KEYS))
    assert memory.cluster.accepted - before == 3
    memory.result(bucket.close())
    assert memory.idle
    return seen


@settings(max_examples=share(60))
@given(st.lists(_actions, min_size=20, max_size=200))
def test_while_open(actions: list[tuple[str, Any]]) -> None:
    """Each Deferred of an open Bucket fires once, with its caller's own value or cancelled."""
    _run(actions, lambda memory, bucket: memory.result(bucket.connect()))


@settings(max_examples=share(30))
@given(st.lists(_actions, min_size=20, max_size=100))
def test_while_opening(actions: list[tuple[str, Any]]) -> None:
    """The same holds from the very first turn, while operations wait for the bucket."""
    _run(actions, lambda memory, bucket: None)


def test_every_kind_is_met() -> None:
    """What the properties check does occur: values, batches, stores, and all ways to cancel."""
    actions: list[tuple[str, Any]] = [
        ("slow", 20),
        ("get", 1),
        ("get", 1),
        ("upsert", 2),
        ("get_multi", [1, 2, 3]),
        ("timed", 1),
        ("advance", 0),
        ("cancel", 0),
        ("advance", 4),
    ]
    seen = _run(actions, lambda memory, bucket: memory.result(bucket.connect()))
    assert seen == {"value", "batch", "stored", "cancelled"}
