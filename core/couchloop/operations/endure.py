"""Waiting until documents are on disks and replicas: endure (SDK 2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.times import check_wait, exact_seconds
from couchloop.durability import Need, need_of
from couchloop.exceptions import CouchbaseError, InvalidCasError, own_copy
from couchloop.hot.encoding import about
from couchloop.hot.operation import MAX_CAS, Defaults, Key
from couchloop.hot.result import MultiResult, OperationResult, Result
from couchloop.operations.copies import ACTIVE
from couchloop.operations.observe import ObserveCopy
from couchloop.operations.procedure import Procedure, Steps, Within, procedure, step_of
from couchloop.operations.replicas import distinct
from couchloop.operations.watching import (
    AT_ONCE,
    Copies,
    Member,
    NoCollection,
    SightOfDocument,
    watch,
)
from couchloop.wire import Opcode


class _Wish(NamedTuple):
    """What a call asks for."""

    need: Need
    removed: bool
    interval: float
    timeout: float


def _wish(
    name: str,
    key: Any,
    persist_to: object,
    replicate_to: object,
    timeout: object,
    interval: object,
    check_removed: object,
) -> _Wish:
    try:
        return _Wish(
            need_of(persist_to, replicate_to, key),
            is_true(check_removed, "check_removed"),
            check_wait(interval, "interval"),
            exact_seconds(timeout),
        )
    except CouchbaseError as error:
        raise about(error, name, key) from error.__cause__


def _cas_of(name: str, given: Any, key: Any) -> int:
    given = given.cas if isinstance(given, Result) else given
    cas = 0 if given is None else exact_integer(given)
    if cas is None or not 0 <= cas <= MAX_CAS:
        text = "CAS must be an integer from 0 to 2**64-1"
        raise about(InvalidCasError(text, key=key, objextra=given), name, key)
    return cas


def _raw(name: str, defaults: Defaults, key: Any, wish: _Wish) -> bytes:
    """Return the bytes of a key; raise what every builder raises for one that is none."""
    try:
        return Copies(defaults, key, (), wish.timeout).raw
    except CouchbaseError as error:
        raise step_of(name, error, key) from error.__cause__


def _endured(
    defaults: Defaults, parts: Sequence[tuple[Key, bytes, int]], wish: _Wish, *, is_one: bool
) -> Steps[Any]:
    results: MultiResult[OperationResult] = MultiResult()
    first: CouchbaseError | None = None
    for start in range(0, len(parts), AT_ONCE):
        some = parts[start : start + AT_ONCE]
        if start:
            yield Within(wish.timeout)
        errors = yield from _endure_some(defaults, some, wish, results)
        failures = [error for error in errors.values() if error is not None]
        for place, (key, _, cas) in enumerate(some):
            error = errors.get(place)
            if error is not None:
                results[key] = OperationResult(key, cas, rc=error.rc or -1)
                error.result = results[key]
                first = first or error
        if len(failures) == len(some):
            # It would be so for all of them.
            for key, _, cas in parts[start + AT_ONCE :]:
                results[key] = OperationResult(key, cas, rc=failures[0].rc or -1)
            break
    if first is None:
        return results[parts[0][0]] if is_one else results
    first.all_results = results
    try:
        raise first
    finally:
        del first


def _endure_some(
    defaults: Defaults,
    some: Sequence[tuple[Key, bytes, int]],
    wish: _Wish,
    results: MultiResult[OperationResult],
) -> Steps[dict[int, CouchbaseError | None]]:
    """Wait for some documents; return what went wrong with each, by its place."""
    keys = [raw for _, raw, _ in some]
    try:
        replicas = yield Copies(defaults, some[0][0], keys, wish.timeout)
    except CouchbaseError as error:
        return {place: _about(own_copy(error), key) for place, (key, _, _) in enumerate(some)}
    while True:
        errors = yield from _watched(defaults, some, replicas, wish, results)
        if not any(isinstance(error, NoCollection) for error in errors.values()):
            return errors
        # It may just have been created: the Bucket's strategy says whether it is waited for.
        key = some[0][0]
        op = ObserveCopy(Opcode.OBSERVE, defaults, key, wish.timeout)
        op.copy, op.document = ACTIVE, op.raw
        try:
            yield op
        except NoCollection as error:
            return {place: _about(own_copy(error), key) for place, (key, _, _) in enumerate(some)}
        except CouchbaseError:
            return errors


def _watched(
    defaults: Defaults,
    some: Sequence[tuple[Key, bytes, int]],
    replicas: Sequence[int],
    wish: _Wish,
    results: MultiResult[OperationResult],
) -> Steps[dict[int, CouchbaseError | None]]:
    """Watch the copies of some documents; return what went wrong with each, by its place."""
    errors: dict[int, CouchbaseError | None] = {}
    sights = []
    for place, ((key, _, cas), number) in enumerate(zip(some, replicas, strict=True)):
        try:
            need = wish.need.among(number, key)
        except CouchbaseError as error:
            errors[place] = error
            continue
        member = Member(place, key)
        sights.append(
            SightOfDocument(defaults, need, member, cas, removed=wish.removed, is_ours=False)
        )
    known = [*sights]
    places = [sight.members[0].place for sight in sights]
    errors.update((yield from watch(sights, wish.interval, None, is_steady=True)))
    for sight, place in zip(known, places, strict=True):
        key = some[place][0]
        results[key] = OperationResult(key, sight.cas)
    return errors


def _about(error: CouchbaseError, key: Key) -> CouchbaseError:
    error.key = key
    if error.context is not None:
        error.context.key = key
    return error


def endure(
    defaults: Defaults,
    key: Key,
    persist_to: int = -1,
    replicate_to: int = -1,
    cas: int = 0,
    check_removed: bool = False,
    timeout: float = 5.0,
    interval: float = 0.010,
) -> Procedure[OperationResult]:
    """Wait until a document is on so many disks and replicas.

    Args:
        persist_to: on how many disks, the active copy's among them; -1: on all.
        replicate_to: on how many replicas, in memory; -1: on all.
        cas: if not 0, the document must have this CAS.
        check_removed: wait until the document is gone from them instead.
        timeout: seconds.
        interval: seconds between two looks.

    Raises DurabilityTimeoutError (a TimeoutError), NotFoundError, CasMismatchError,
    CollectionNotFoundError, ScopeNotFoundError, TooFewReplicasError (an ArgumentError) for more
    copies than there are.
    """
    wish = _wish("endure", key, persist_to, replicate_to, timeout, interval, check_removed)
    raw, number = _raw("endure", defaults, key, wish), _cas_of("endure", cas, key)
    steps = _endured(defaults, [(key, raw, number)], wish, is_one=True)
    return procedure("endure", defaults, key, wish.timeout, steps, idempotent=True)


def endure_multi(
    defaults: Defaults,
    keys: Iterable[Key] | Mapping[Key, int | Result],
    persist_to: int = -1,
    replicate_to: int = -1,
    timeout: float = 5.0,
    interval: float = 0.010,
    check_removed: bool = False,
) -> Procedure[MultiResult[OperationResult]]:
    """Wait until many documents are on so many disks and replicas.

    Args:
        keys: the keys, or a dict of key and CAS (or a result that has one).
        persist_to: on how many disks, the active copy's among them; -1: on all.
        replicate_to: on how many replicas, in memory; -1: on all.
        timeout: seconds for each hundred of them.
        interval: seconds between two looks.
        check_removed: wait until the documents are gone from them instead.

    Raises what `endure` raises, with the results of all keys in the exception's `all_results`;
    ArgumentError for an empty batch.
    """
    wish = _wish("endure_multi", None, persist_to, replicate_to, timeout, interval, check_removed)
    said = keys if isinstance(keys, Mapping) else {}
    every = distinct(keys)
    name = "endure_multi"
    parts = [
        (key, _raw(name, defaults, key, wish), _cas_of(name, said.get(key), key)) for key in every
    ]
    steps = _endured(defaults, parts, wish, is_one=False)
    return procedure("endure_multi", defaults, every[0], wish.timeout, steps, idempotent=True)
