"""What the copies of a document say of it: OBSERVE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, Final

from couchloop.arguments.exact import is_true
from couchloop.exceptions import CouchbaseError, NoReplicaError, ProtocolError
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.result import MultiResult, ObserveInfo, ValueResult
from couchloop.operations.copies import ACTIVE, MAX_REPLICAS, OfOneCopyWithoutKey
from couchloop.operations.procedure import Procedure, Steps, Together, procedure
from couchloop.operations.replicas import distinct
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode

_AT_ONCE: Final = 100
"""Keys of a batch that are asked for at once."""
_HEAD: Final = Struct(">HH")
_STATE: Final = Struct(">BQ")


class ObserveCopy(OfOneCopyWithoutKey, Operation[ObserveInfo]):
    """OBSERVE 0x92 of one key at one copy. The key is in the value, with its collection."""

    __slots__ = ("copy", "document")
    name = "observe"
    idempotent = True

    def prepare(self, vbucket: int, prefix: bytes) -> None:
        """See `Request`."""
        key = (prefix if self.prefix is None else self.prefix) + self.document
        self.value = _HEAD.pack(vbucket, len(key)) + key
        self.raw = b""

    def decode(self, answer: Frame) -> ObserveInfo:
        """Read the state and the CAS behind the key."""
        value = answer.value
        if len(value) < _HEAD.size + _STATE.size:
            raise ProtocolError("observe: the answer is too short", key=self.key)
        flags, cas = _STATE.unpack_from(value, len(value) - _STATE.size)
        return ObserveInfo(flags, self.copy == ACTIVE, cas)


def _copies(
    defaults: Defaults,
    key: Key,
    copies: Iterable[int],
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> list[ObserveCopy]:
    made = []
    for copy in copies:
        op = ObserveCopy(Opcode.OBSERVE, defaults, key, timeout, b"", b"", 0, retry_strategy)
        op.copy, op.document = copy, op.raw
        made.append(op)
    return made


def _result(key: Key, outcomes: Sequence[Any]) -> ValueResult:
    """Return what the copies say; raise what kept one that there is from saying it."""
    found = [each for each in outcomes if isinstance(each, ObserveInfo)]
    for each in outcomes:
        if isinstance(each, CouchbaseError) and not isinstance(each, NoReplicaError):
            try:
                raise each
            finally:
                del each, outcomes
    return ValueResult(key, found, found[0].cas, 0)


def _one(key: Key, operations: Sequence[ObserveCopy]) -> Steps[ValueResult]:
    outcomes = yield Together(operations)
    return _result(key, outcomes)


def _many(parts: Sequence[tuple[Key, list[ObserveCopy]]]) -> Steps[MultiResult[ValueResult]]:
    results: MultiResult[ValueResult] = MultiResult()
    first: CouchbaseError | None = None
    for start in range(0, len(parts), _AT_ONCE):
        part = parts[start : start + _AT_ONCE]
        outcomes = yield Together([op for _, ops in part for op in ops])
        for key, ops in part:
            own, outcomes = outcomes[: len(ops)], outcomes[len(ops) :]
            try:
                results[key] = _result(key, own)
            except CouchbaseError as error:
                results[key] = ValueResult(key, None, 0, 0, error.rc or -1)
                error.result = results[key]
                first = first or error
    if first is None:
        return results
    first.all_results = results
    try:
        raise first
    finally:
        del first


def _wanted(master_only: object, key: Key | None) -> Sequence[int]:
    return (ACTIVE,) if is_true(master_only, "master_only", key) else range(ACTIVE, MAX_REPLICAS)


def observe(
    defaults: Defaults,
    key: Key,
    master_only: bool = False,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Ask the copies of a document whether they have it, and whether their disks do.

    The result's `value` is a list of ObserveInfo, the active copy's first; a document that is not
    there is no error.

    Args:
        master_only: ask the active copy alone.
    """
    copies = _wanted(master_only, key)
    steps = _one(key, _copies(defaults, key, copies, timeout, retry_strategy))
    return procedure("observe", defaults, key, timeout, steps, idempotent=True)


def observe_multi(
    defaults: Defaults,
    keys: Iterable[Key],
    master_only: bool = False,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[MultiResult[ValueResult]]:
    """Ask the copies of many documents whether they have them.

    Args:
        keys: the keys.
        master_only: ask the active copies alone.
        timeout: seconds for all of it. None: as the Bucket says.

    Raises what `observe` raises, with the results of all keys in the exception's `all_results`;
    ArgumentError for an empty batch.
    """
    copies = _wanted(master_only, None)
    every = distinct(keys)
    parts = [(key, _copies(defaults, key, copies, timeout, retry_strategy)) for key in every]
    return procedure("observe_multi", defaults, every[0], timeout, _many(parts), idempotent=True)
