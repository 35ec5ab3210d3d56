"""Reading replicas: copies of documents on other nodes, which may lag behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from couchloop.arguments.exact import exact_integer, is_quiet
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    CouchbaseNetworkError,
    CouchbaseTransientError,
    DocumentUnretrievableError,
    FeatureNotAvailableError,
    NotFoundError,
    without_frames,
)
from couchloop.hot.batch import TWICE
from couchloop.hot.frames import Fields
from couchloop.hot.operation import Defaults, Key
from couchloop.hot.result import MultiResult, ReplicaResult, ReplicasResult, Result, ValueResult
from couchloop.operations.copies import ACTIVE, MAX_REPLICAS, OfOneCopy
from couchloop.operations.procedure import Procedure, Steps, Together, procedure
from couchloop.operations.reading import Get, reader
from couchloop.retries import RetryStrategy
from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode

T = TypeVar("T")

_AT_ONCE: Final = 100
"""Keys of a batch that are read at once."""


class GetCopy(OfOneCopy, Get):
    """GET 0x00 of the active copy, GET_REPLICA 0x83 of a replica."""

    __slots__ = ("copy",)
    name = "get_replica"

    def decode(self, answer: Fields) -> ReplicaResult:
        """See `Get`."""
        found = super().decode(answer)
        return ReplicaResult(
            found.key,
            found.value,
            found.cas,
            found.flags,
            found.rc,
            is_replica=self.copy != ACTIVE,
        )

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ReplicaResult(key, None, 0, 0, rc)


Reads = Callable[[Key], list[GetCopy]]
"""Makes the operations that read the copies of a key."""


def _reads(
    defaults: Defaults,
    copies: Sequence[int],
    transcoder: Transcoder | None,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
) -> Reads:
    def build(key: Key) -> list[GetCopy]:
        made = []
        for copy in copies:
            opcode = Opcode.GET if copy == ACTIVE else Opcode.GET_REPLICA
            op = GetCopy(opcode, defaults, key, timeout, b"", b"", 0, retry_strategy)
            op.copy, op.transcoder = copy, transcoder
            made.append(op)
        return made

    return build


def _first(outcomes: Iterable[Any], key: Key, *, quiet: bool) -> ReplicaResult:
    """Return the first copy that was read; raise why there is none."""
    failures: list[CouchbaseError] = []
    for each in outcomes:
        if isinstance(each, ReplicaResult):
            return each
        if isinstance(each, CouchbaseError):
            failures.append(each)
    why = reason_of(failures)
    if quiet and isinstance(why, NotFoundError):
        return ReplicaResult(key, None, 0, 0, NotFoundError.CODE)
    try:
        raise why
    finally:
        del why, failures


def reason_of(failures: list[CouchbaseError]) -> CouchbaseError:
    """Return what it means that no copy was read: no document, or what kept it from being read."""
    known = [each for each in failures if isinstance(each, NotFoundError)]
    # That there is no such replica explains nothing where others were asked.
    explained = NotFoundError | FeatureNotAvailableError
    worse = [each for each in failures if not isinstance(each, explained) and each.rc != 0x23]
    if worse:
        return worse[0]
    if not known:
        return failures[0]
    text = "no copy of the document was found"
    error = DocumentUnretrievableError(text, context=known[0].context, inner_cause=known[0])
    error.key = known[0].key
    return error


def _any(reads: Reads, key: Key, *, quiet: bool) -> Steps[ReplicaResult]:
    outcomes = yield Together(reads(key), is_race=True)
    return _first(outcomes, key, quiet=quiet)


def _all(reads: Reads, key: Key) -> Steps[list[ReplicaResult]]:
    return _found((yield Together(reads(key))), key)


def _found(outcomes: Iterable[Any], key: Key) -> list[ReplicaResult]:
    """Return the copies that were read; raise why there are none."""
    found = [each for each in outcomes if isinstance(each, ReplicaResult)]
    return found or [_first(outcomes, key, quiet=False)]


def _many(reads: Reads, keys: Sequence[Key], *, quiet: bool) -> Steps[MultiResult[ReplicaResult]]:
    """Read copies of many keys, a part of them at a time."""
    results: MultiResult[ReplicaResult] = MultiResult()
    first: CouchbaseError | None = None
    for start in range(0, len(keys), _AT_ONCE):
        part = [(key, reads(key)) for key in keys[start : start + _AT_ONCE]]
        every = [op for _, ops in part for op in ops]
        outcomes = yield Together(every, group=len(every) // len(part))
        for key, ops in part:
            own, outcomes = outcomes[: len(ops)], outcomes[len(ops) :]
            try:
                results[key] = _first(own, key, quiet=quiet)
            except CouchbaseError as error:
                results[key] = ReplicaResult(key, None, 0, 0, error.rc or -1)
                first = first or _of(error, results[key])
    if first is None:
        return results
    first.all_results = results
    try:
        raise first
    finally:
        del first


def _all_of_many(reads: Reads, keys: Sequence[Key]) -> Steps[MultiResult[ReplicasResult]]:
    """Read all copies of many keys, a part of them at a time."""
    results: MultiResult[ReplicasResult] = MultiResult()
    first: CouchbaseError | None = None
    for start in range(0, len(keys), _AT_ONCE):
        part = [(key, reads(key)) for key in keys[start : start + _AT_ONCE]]
        outcomes = yield Together([op for _, ops in part for op in ops])
        for key, ops in part:
            own, outcomes = outcomes[: len(ops)], outcomes[len(ops) :]
            try:
                results[key] = ReplicasResult(key, _found(own, key))
            except CouchbaseError as error:
                results[key] = ReplicasResult(key, [], error.rc or -1)
                first = first or _of(error, results[key])
    if first is None:
        return results
    first.all_results = results
    try:
        raise first
    finally:
        del first


def _of(error: CouchbaseError, result: Result) -> CouchbaseError:
    """Make *error* that of a key of a batch, whose result is *result*."""
    error.key, error.result = result.key, result
    return error


def _can_ask_replicas(error: object) -> bool:
    """Whether *error* is about the node, and not about the document."""
    return isinstance(error, CouchbaseNetworkError | CouchbaseTransientError)


def _active(
    defaults: Defaults,
    key: Key,
    transcoder: Transcoder | None,
    timeout: float,
    retry_strategy: RetryStrategy | None,
    *,
    quiet: bool,
) -> Get:
    """Return what reads the active copy, for which it has half of the time."""
    op = Get(0, defaults, key, timeout / 2, b"", b"", 0, retry_strategy, quiet=quiet)
    op.transcoder = transcoder
    return op


def _else_replica(active: Get, reads: Reads, key: Key) -> Steps[ValueResult]:
    try:
        found: ValueResult = yield active
    except CouchbaseError as error:
        if not _can_ask_replicas(error):
            raise
        failure = without_frames(error)
    else:
        return found
    outcomes = yield Together(reads(key), is_race=True)
    try:
        return _first(outcomes, key, quiet=False)
    except CouchbaseError:
        try:
            raise failure from None
        finally:
            del failure, outcomes


def read_with_replicas(
    key: Key,
    defaults: Defaults,
    transcoder: Transcoder | None,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
    *,
    quiet: bool,
) -> Procedure[ValueResult]:
    """Return what reads a document from its active copy, or else from a replica."""
    seconds = defaults.timeout if timeout is None else exact_seconds(timeout)
    reads = _reads(defaults, _replica(None), transcoder, timeout, retry_strategy)
    active = _active(defaults, key, transcoder, seconds, retry_strategy, quiet=quiet)
    steps = _else_replica(active, reads, key)
    return procedure("get", defaults, key, timeout, steps, idempotent=True)


def _many_else_replicas(actives: Sequence[Get], reads: Reads) -> Steps[MultiResult[ValueResult]]:
    results: MultiResult[ValueResult] = MultiResult()
    first: CouchbaseError | None = None
    for start in range(0, len(actives), _AT_ONCE):
        part = actives[start : start + _AT_ONCE]
        outcomes = yield Together(part)
        found = dict(zip((op.key for op in part), outcomes, strict=True))
        failed = [key for key, each in found.items() if _can_ask_replicas(each)]
        if failed:
            every = [op for key in failed for op in reads(key)]
            group = len(every) // len(failed)
            copies = yield Together(every, group=group)
            for place, key in enumerate(failed):
                with suppress(CouchbaseError):
                    own = copies[place * group : (place + 1) * group]
                    found[key] = _first(own, key, quiet=False)
        for key, each in found.items():
            results[key] = each
            if isinstance(each, CouchbaseError):
                results[key] = ValueResult(key, None, 0, 0, each.rc or -1)
                first = first or _of(each, results[key])
    if first is None:
        return results
    first.all_results = results
    try:
        raise first
    finally:
        del first, found, outcomes


def read_many_with_replicas(
    keys: Iterable[Key],
    defaults: Defaults,
    transcoder: Transcoder | None,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
    *,
    quiet: bool,
) -> Procedure[MultiResult[ValueResult]]:
    """Return what reads documents from their active copies, or else from replicas."""
    seconds = defaults.timeout if timeout is None else exact_seconds(timeout)
    every = distinct(keys)
    reads = _reads(defaults, _replica(None), transcoder, timeout, retry_strategy)
    actives = [
        _active(defaults, key, transcoder, seconds, retry_strategy, quiet=quiet) for key in every
    ]
    steps = _many_else_replicas(actives, reads)
    return procedure("get_multi", defaults, every[0], timeout, steps, idempotent=True)


def _replica(index: object, key: Any = None) -> list[int]:
    """Return the replicas that *index* means: one, or all of them for None."""
    if index is None:
        return list(range(MAX_REPLICAS))
    number = exact_integer(index)
    if number is None or not 0 <= number < MAX_REPLICAS:
        text = "replica_index is 0, 1 or 2; None: any replica"
        raise ArgumentError(text, key=key, objextra=index)
    return [number]


def rget(
    defaults: Defaults,
    key: Key,
    replica_index: int | None = None,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ReplicaResult]:
    """Fetch a document from a replica: what it has may be older than the document is.

    Args:
        replica_index: which one, from 0; None: whichever answers first.

    Raises NotFoundError if no replica has it, NoReplicaError if there is no such replica,
    ArgumentError for an index that no bucket has.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    coder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    reads = _reads(defaults, _replica(replica_index, key), coder, timeout, retry_strategy)
    steps = _any(reads, key, quiet=quietly)
    return procedure("rget", defaults, key, timeout, steps, idempotent=True)


def get_any_replica(
    defaults: Defaults,
    key: Key,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ReplicaResult]:
    """Fetch a document from its active copy or a replica, whichever answers first.

    The result's `is_replica` says which it was; a replica may be older than the document is.

    Raises DocumentUnretrievableError (a NotFoundError) if no copy has it.
    """
    coder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    reads = _reads(defaults, range(ACTIVE, MAX_REPLICAS), coder, timeout, retry_strategy)
    steps = _any(reads, key, quiet=False)
    return procedure("get_any_replica", defaults, key, timeout, steps, idempotent=True)


def get_all_replicas(
    defaults: Defaults,
    key: Key,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[list[ReplicaResult]]:
    """Fetch all copies of a document: the active one first, then its replicas.

    Copies that cannot be read in the time given are left out.

    Raises DocumentUnretrievableError (a NotFoundError) if no copy has it.
    """
    coder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    reads = _reads(defaults, range(ACTIVE, MAX_REPLICAS), coder, timeout, retry_strategy)
    steps = _all(reads, key)
    return procedure("get_all_replicas", defaults, key, timeout, steps, idempotent=True)


def rget_multi(
    defaults: Defaults,
    keys: Iterable[Key],
    replica_index: int | None = None,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[MultiResult[ReplicaResult]]:
    """Fetch many documents from replicas.

    Args:
        keys: the keys.
        replica_index: which replica, from 0; None: any.
        timeout: seconds for all of it. None: as the Bucket says.

    Raises what `rget` raises, with the results of all keys in the exception's `all_results`;
    ArgumentError for an empty batch.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet)
    copies = _replica(replica_index)
    coder = reader(transcoder, defaults, no_format=no_format, type=type)
    every = distinct(keys)
    reads = _reads(defaults, copies, coder, timeout, retry_strategy)
    steps = _many(reads, every, quiet=quietly)
    return procedure("rget_multi", defaults, every[0], timeout, steps, idempotent=True)


def get_any_replica_multi(
    defaults: Defaults,
    keys: Iterable[Key],
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[MultiResult[ReplicaResult]]:
    """Fetch many documents from their active copies or replicas.

    Args:
        keys: the keys.
        timeout: seconds for all of it. None: as the Bucket says.

    Raises what `get_any_replica` raises, with the results of all keys in the exception's
    `all_results`; ArgumentError for an empty batch.
    """
    coder = reader(transcoder, defaults, no_format=no_format, type=type)
    every = distinct(keys)
    copies = range(ACTIVE, MAX_REPLICAS)
    steps = _many(_reads(defaults, copies, coder, timeout, retry_strategy), every, quiet=False)
    name = "get_any_replica_multi"
    return procedure(name, defaults, every[0], timeout, steps, idempotent=True)


def get_all_replicas_multi(
    defaults: Defaults,
    keys: Iterable[Key],
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[MultiResult[ReplicasResult]]:
    """Fetch all copies of many documents.

    Args:
        keys: the keys.
        timeout: seconds for all of it. None: as the Bucket says.

    Each key's result has its copies, the active one first: iterate over it. Copies that cannot be
    read in the time given are left out.

    Raises what `get_all_replicas` raises, with the results of all keys in the exception's
    `all_results`; ArgumentError for an empty batch.
    """
    coder = reader(transcoder, defaults, no_format=no_format, type=type)
    every = distinct(keys)
    copies = range(ACTIVE, MAX_REPLICAS)
    steps = _all_of_many(_reads(defaults, copies, coder, timeout, retry_strategy), every)
    name = "get_all_replicas_multi"
    return procedure(name, defaults, every[0], timeout, steps, idempotent=True)


def distinct(keys: Iterable[Key]) -> list[Key]:
    """Return the keys of a batch, each once; raise ArgumentError where there is none."""
    if isinstance(keys, str | bytes):
        raise ArgumentError("a batch takes an iterable of keys, not one key")
    try:
        given = list(keys)
        every = list(dict.fromkeys(given))
    except TypeError as error:
        raise ArgumentError("a batch takes an iterable of keys") from error
    if len(every) < len(given):
        warnings.warn(TWICE, RuntimeWarning, stacklevel=4)
    if not every:
        raise ArgumentError("the batch is empty: give at least one key")
    return every
