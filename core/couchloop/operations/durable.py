"""Changes that are to be durable: by the server's levels, or by asking the copies afterwards.

A level is a framing extra of the change itself. `persist_to` and `replicate_to` make a procedure of
it: how many copies there are is looked at first, so that what cannot succeed is not begun; then the
change is made, then the copies are asked (`couchloop.operations.watching`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from copy import copy
from typing import Any, Final, NoReturn

from couchloop.arguments.times import check_wait
from couchloop.durability import NO_NEED, DurabilityLevel, Need, meant, need_of
from couchloop.exceptions import (
    CouchbaseError,
    InvalidDurabilityError,
    TimeoutError,  # noqa: A004 - 2.5's name
    own_copy,
)
from couchloop.hot.batch import Batch, Bulk
from couchloop.hot.durable import DurableDefaults, MutationToken
from couchloop.hot.encoding import about
from couchloop.hot.operation import Defaults, Operation
from couchloop.operations.procedure import Pause, Procedure, Steps, Together, Within, procedure
from couchloop.operations.watching import (
    Copies,
    Member,
    Sight,
    SightOfBranch,
    SightOfDocument,
    watch,
)

FLOOR: Final = 1.5
"""Seconds of the shortest time that a change with a level has: the server needs some."""
_SHARE: Final = 900
"""Milliseconds of each second of ours that the server has; it must end before we do."""
_LONGEST: Final = 65_534
_LEVEL: Final = 0x13
"""The framing extra of a level: its number, and that three bytes follow."""
_SLICE: Final = 128
"""Changes of a batch that are made at once."""
_GIVEN_UP: Final = 1024

_BLOCKS: Final[ContextVar[tuple[tuple[DurableDefaults, Need], ...]]] = ContextVar(
    "couchloop.durability", default=()
)
"""The `durability()` blocks that the running code is in, the innermost last. Each task of a loop
has a context of its own, and so has each thread."""


class Block(AbstractContextManager[None]):
    """Has changes through a Bucket be as durable as *need* says where they say nothing.

    It may be entered again, also within itself, and in several tasks at once.
    """

    __slots__ = ("_entry", "_was_entered")

    def __init__(self, durable: DurableDefaults, need: Need) -> None:
        self._entry = durable, need
        self._was_entered = False

    def __enter__(self) -> None:
        """Begin, for what runs in this task from now on."""
        self._entry[0].has_blocks = self._was_entered = True
        _BLOCKS.set((*_BLOCKS.get(), self._entry))

    def __exit__(self, *_: object) -> None:
        """End it. Raises InvalidDurabilityError if nobody has entered it."""
        if not self._was_entered:
            text = "this durability() context was never entered: use it in a `with` statement"
            raise InvalidDurabilityError(text)
        blocks = _BLOCKS.get()
        # A generator that nobody ends is closed in some other context: its own is gone.
        for place in range(len(blocks) - 1, -1, -1):
            if blocks[place] is self._entry:
                _BLOCKS.set(blocks[:place] + blocks[place + 1 :])
                return

    async def __aenter__(self) -> NoReturn:
        """Refuse: there is nothing to wait for."""
        raise InvalidDurabilityError("durability() is entered by `with`, not by `async with`")

    async def __aexit__(self, *_: object) -> None:
        """See `__aenter__`."""


def need_of_block(persist_to: object, replicate_to: object, timeout: object) -> Need:
    """Return what the arguments of `durability()` mean; a timeout of 0 is the usual one.

    Raises InvalidDurabilityError, TooFewReplicasError, InvalidTimeoutError.
    """
    seconds = check_wait(timeout)
    return need_of(persist_to, replicate_to, timeout=seconds or None)


def wanted(
    defaults: Defaults, durability: object, persist_to: object, replicate_to: object, key: Any
) -> DurabilityLevel | Need:
    """Return how durable a change is to be, by its arguments, or else by the block that it is in.

    Raises InvalidDurabilityError, TooFewReplicasError (ArgumentErrors).
    """
    need = meant(durability, persist_to, replicate_to, key)
    if durability is None and need == NO_NEED:
        for durable, of_block in reversed(_BLOCKS.get()):
            if durable is defaults.durable:
                return of_block
    return need


def of_block(defaults: Defaults) -> Any:
    """Return what `durability=` is to be in operations that a procedure makes later.

    By then the caller may be in no block any more, or in another.
    """
    return wanted(defaults, None, 0, 0, None) if defaults.durable.has_blocks else None


def durably(
    op: Operation[Any],
    durability: object,
    persist_to: object,
    replicate_to: object,
    timeout: float | None,
) -> Any:
    """Return what makes *op* durable: itself, or a procedure.

    For whoever runs it, that is the same: `Pending`.
    """
    defaults = op.defaults
    try:
        need = wanted(defaults, durability, persist_to, replicate_to, op.key)
    except CouchbaseError as error:
        raise about(error, op.name, op.key) from error.__cause__
    if isinstance(need, Need):
        if not (need.persist or need.replicate):
            return op
        limit = None if timeout is None else op.timeout
        return Procedure(op.name, defaults, op.key, timeout, _made(op, need, limit))
    if need is not DurabilityLevel.NONE:
        seconds = op.timeout if timeout is not None else defaults.durable.timeout
        op.timeout = seconds = max(seconds, FLOOR)
        milliseconds = min(int(seconds * _SHARE), _LONGEST)
        op.framing += bytes((_LEVEL, need)) + milliseconds.to_bytes(2)
    return op


def _made(op: Operation[Any], need: Need, limit: float | None) -> Steps[Any]:
    """Make one change, and ask its copies."""
    defaults = op.defaults
    (replicas,) = yield Copies(defaults, op.key, [op.raw], op.timeout)
    need = need.among(replicas, op.key)
    result = yield op
    if result.rc or not (need.persist or need.replicate):
        return result
    sight = sight_of(op, result, need, Member(0, op.key))
    durable = defaults.durable
    seconds = None if limit is not None else need.timeout or durable.watch_timeout
    error = (yield from watch([sight], durable.interval, seconds))[0]
    if error is None:
        return result
    error.result = doubtful(result, error)
    try:
        raise error
    finally:
        del error


def sight_of(op: Operation[Any], result: Any, need: Need, member: Member) -> Sight:
    """Return what asks the copies of a change that was made: by its token, or by its CAS."""
    token: MutationToken | None = result.token
    if token is not None and op.defaults.durable.by_token:
        member = member._replace(seqno=token.seqno)
        return SightOfBranch(op.defaults, need, [member], token)
    return SightOfDocument(op.defaults, need, member, result.cas, removed=op.name == "remove")


def doubtful(result: Any, error: CouchbaseError) -> Any:
    """Return the result of a change that was made, and may be lost: with its CAS and its token."""
    own = copy(result)
    own.rc = error.rc or -1
    error.cas = own.cas
    return own


# Batches ------------------------------------------------------------------------------------------


def all_durably(
    kind: type[Operation[Any]],
    defaults: Defaults,
    batch: Batch[Any],
    bulk_class: Any,
    timeout: float | None,
    need: Need,
) -> Procedure[Any]:
    """Return what makes all changes of a batch, and then asks their copies.

    Args:
        kind: of the operations.
        defaults: the Bucket's.
        batch: the changes.
        bulk_class: of the batch that keeps the results.
        timeout: seconds that each change has, and then the questions; None: as the Bucket says.
        need: how many copies are to have them.
    """
    if isinstance(batch, Bulk):
        bulk = batch
    else:
        operations, batch.operations = batch.operations, []
        for op in operations:
            op.batch = None
        limit = max(op.timeout for op in operations) if timeout is None else timeout
        keys = [op.key for op in operations]
        bulk = bulk_class(kind, keys, None, None, defaults, limit, operations)
    name = f"{kind.name}_multi"
    seconds = None if timeout is None else bulk.timeout
    steps = _all_made(bulk, need, seconds)
    return procedure(name, defaults, bulk.keys[0], bulk.timeout, steps)


def _all_made(bulk: Bulk[Any], need: Need, seconds: float | None) -> Steps[Any]:
    made: list[tuple[Operation[Any], Any, Need, int]] = []
    count = len(bulk.keys)
    for start in range(0, count, _SLICE):
        places = range(start, min(start + _SLICE, count))
        bulk.fill(places[-1])
        yield Within(bulk.timeout)
        failure = yield from _make_some(bulk, places, need, made)
        if failure is not None:
            # It would be so for all: a cluster that is away ends a batch within one timeout.
            bulk.ended = failure
            while bulk.waiting:
                bulk.give_up(_GIVEN_UP)
                yield Within(bulk.timeout)
                yield Pause(0.0)
    yield from _watch_all(bulk, made, seconds)
    return bulk.result()


def _make_some(
    bulk: Bulk[Any],
    places: Sequence[int],
    need: Need,
    made: list[tuple[Operation[Any], Any, Need, int]],
) -> Steps[CouchbaseError | None]:
    """Make some changes; return why none could be made in time, if so."""
    defaults = bulk.defaults
    built: list[tuple[Operation[Any], int]] = [
        (op, place)
        for place in places
        if not bulk.issued[place] and (op := bulk.operation(place)) is not None
    ]
    if not built:
        return None
    try:
        keys = [op.raw for op, _ in built]
        replicas = yield Copies(defaults, built[0][0].key, keys, bulk.timeout)
    except CouchbaseError as error:
        return error
    issued: list[tuple[Operation[Any], int, Need]] = []
    for (op, place), number in zip(built, replicas, strict=True):
        try:
            issued.append((op, place, need.among(number, op.key)))
        except CouchbaseError as error:
            bulk.refuse(place, error)
    if not issued:
        return None
    outcomes = yield Together([op for op, _, _ in issued])
    for (op, place, own), outcome in zip(issued, outcomes, strict=True):
        bulk.issued[place] = 1
        bulk.waiting -= 1
        if isinstance(outcome, CouchbaseError):
            bulk.settle(place, bulk.kind.missed(op.key, outcome.rc or -1), outcome)
        elif outcome.rc or not (own.persist or own.replicate):
            bulk.settle(place, outcome, None)
        else:
            made.append((op, outcome, own, place))
    if all(isinstance(each, TimeoutError) for each in outcomes):
        return own_copy(outcomes[0])
    return None


def _watch_all(
    bulk: Bulk[Any],
    made: list[tuple[Operation[Any], Any, Need, int]],
    seconds: float | None,
) -> Steps[None]:
    """Ask the copies of all changes that were made: those of one branch together."""
    durable = bulk.defaults.durable
    branches: dict[Any, Sight] = {}
    sights: list[Sight] = []
    timeout = seconds
    for op, result, need, place in made:
        timeout = timeout or need.timeout
        sight = sight_of(op, result, need, Member(place, op.key))
        if isinstance(sight, SightOfBranch):
            of_branch = branches.setdefault((*result.token[:2], need), sight)
            if of_branch is not sight:
                of_branch.members += sight.members
                continue
        sights.append(sight)
    found = yield from watch(sights, durable.interval, timeout or durable.watch_timeout)
    for _, result, _, place in made:
        error = found.get(place)
        bulk.settle(place, result if error is None else doubtful(result, error), error)
