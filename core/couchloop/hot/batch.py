"""Operations that complete together: the `_multi` form of a builder.

A batch of up to `WHOLE` keys, with no more than `WHOLE_BYTES` to be encoded, is built at the call
and sent whole. A larger one is a `Bulk`: it is built, sent and read in slices, as nodes take it, so
that it never stops the loop for long (`couchloop.session.bulk`).
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from math import inf
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from couchloop.arguments.exact import exact_bytes
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    CollectionNotFoundError,
    CouchbaseError,
    ErrorContext,
    InvalidKeyError,
    OverloadedError,
    ScopeNotFoundError,
    TimeoutError,  # noqa: A004 - 2.5's name
    ValueFormatError,
    own_copy,
    without_frames,
)
from couchloop.hot.collector import paused
from couchloop.hot.operation import TURN, answers_size, placed, within_turn
from couchloop.hot.result import MultiResult, Reasons, Result, told
from couchloop.safety.printable import general
from couchloop.transcoder import Transcoder

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults, Key, Operation

R = TypeVar("R", bound=Result)

WHOLE: Final = 1000
"""Keys of the largest batch that is built at once: some milliseconds."""
WHOLE_BYTES: Final = 1 << 20
"""Bytes of its values, as far as they had to be encoded: bytes stay what they are."""

_FILLED: Final = 2048
"""Keys that get a place among the results at once."""
TWICE: Final = "duplicate keys in a batch are sent once"

Build = Callable[[Any, Any], "Operation[Any]"]
"""Makes the operation of a key and what the batch says of it (None: nothing)."""


if TYPE_CHECKING:
    from typing import Generic

    class _Typed(Generic[R]):
        __slots__ = ()

else:
    # No generic class at run time: whose results they are is known to type checkers alone.
    class _Typed:
        __slots__ = ()

        __class_getitem__ = classmethod(GenericAlias)


class Batch(_Typed[R]):
    """Operations that complete together."""

    __slots__ = (
        "error",
        "failed",
        "is_reading",
        "operations",
        "owner",
        "pauses_collector",
        "progress",
        "remaining",
        "results",
        "waiter",
    )

    def __init__(self, operations: list[Operation[Any]]) -> None:
        self.results: MultiResult[R] = MultiResult()
        """Of the operations that were read, in their order."""
        self.failed: CouchbaseError | None = None
        """The first failure among these."""
        self.is_reading = False
        """Whether all is answered, and so long that it is read in several turns of the loop."""
        self.progress: Callable[[Any], None] | None = None
        """Asks for a turn; None: it gets none, however long the answers are."""
        self.operations = operations
        self.remaining = len(operations)
        self.pauses_collector = False
        self.error: CouchbaseError | None = None
        self.waiter: Any = None
        self.owner: Any = None
        for op in operations:
            op.batch = self

    @property
    def done(self) -> bool:
        """Whether every operation is complete, and read if that takes long."""
        return self.remaining == 0 and not self.is_reading

    def member_done(self, op: Any) -> bool:  # noqa: ARG002 - others look at it
        """Take note that one more operation is complete; return whether to tell the caller."""
        self.remaining -= 1
        if self.remaining:
            return False
        progress, self.progress = self.progress, None
        if progress is None or answers_size(self.operations) <= WHOLE_BYTES:
            return True
        self.is_reading = True
        progress(self)
        return False

    def result(self) -> MultiResult[R]:
        """Return all results by key; raise the first error, with `all_results`, if there is one."""
        if len(self.results) < len(self.operations):
            self.read_until(len(self.operations))
        first = self.failed
        if first is None:
            return self.results
        # What is kept here must not come to point to this frame.
        self.failed = own_copy(first)
        try:
            raise first
        finally:
            del first

    def read_some(self, most: int = TURN) -> int:
        """Read as many answers as one turn may; return how many there were."""
        place = len(self.results)
        end = place + within_turn(self.operations, place, most)
        self.read_until(end)
        self.is_reading = end < len(self.operations)
        return end - place

    def read_until(self, end: int) -> None:
        """Read the answers before that of place *end*, as far as that was not done."""
        paused(lambda: self._read(end)) if self.pauses_collector else self._read(end)

    def _read(self, end: int) -> None:
        """Read answers, and forget what is known of the failures beside."""
        results, first = self.results, self.failed
        for op in self.operations[len(results) : end]:
            failure, op.error = op.error, None
            if failure is None:
                try:
                    results[op.key] = op.result()
                    continue
                except CouchbaseError as error:
                    failure = without_frames(error)
            result = results[op.key] = cast("R", op.failed(failure))
            if first is None:
                first = self.failed = own_copy(failure)
                first.result = result
                first.all_results = results
            result.fail(told(failure))


class Lane:
    """What a `Bulk` has for one node: keys that wait for it, and operations under way."""

    __slots__ = ("answered", "bytes", "dead", "died", "open", "places")

    def __init__(self) -> None:
        self.places: deque[int] = deque()
        """Keys that wait until the node takes more, in their order."""
        self.open = 0
        """Operations that were issued and have neither answer nor error."""
        self.bytes = 0
        """Bytes of these."""
        self.answered = -inf
        """When an answer came last."""
        self.dead: CouchbaseError | None = None
        """What ended an operation whose time ran out while nothing was answered, or that was
        refused because too much waits already, if one did."""
        self.died = 0.0
        """When that was."""


class Bulk(Batch[R]):
    """A batch that takes more than one turn of the loop.

    Args:
        kind: of its operations.
        keys: all different.
        values: what the batch says of each key; None: nothing.
        build: makes one operation.
        defaults: the Bucket's.
        timeout: seconds that each operation has from its issue.
        made: operations of the first keys, as far as they are built.
    """

    __slots__ = (
        "_by_key",
        "_filled",
        "_floor",
        "_made",
        "_reasons",
        "_warned",
        "answer_bytes",
        "answers",
        "broken",
        "build",
        "built",
        "built_bytes",
        "cursor",
        "defaults",
        "ended",
        "finished",
        "first",
        "is_broken",
        "is_called",
        "issued",
        "keys",
        "kind",
        "lanes",
        "outstanding",
        "timeout",
        "values",
        "waiting",
        "weight",
    )

    def __init__(
        self,
        kind: type[Operation[Any]],
        keys: list[Any],
        values: list[Any] | None,
        build: Build,
        defaults: Defaults,
        timeout: float,
        made: Sequence[Operation[Any]] = (),
    ) -> None:
        super().__init__([])
        self.kind = kind
        self.keys = keys
        self.values = values
        self.build = build
        self.defaults = defaults
        self.timeout = timeout
        self.remaining = self.waiting = len(keys)
        """`waiting`: keys that were not issued yet; `remaining`: those without a result."""
        self.issued = bytearray(len(keys))
        self.cursor = 0
        """The first key that was never looked at."""
        self.lanes: dict[str | None, Lane] = {}
        self.outstanding: dict[Operation[Any], Lane] = {}
        self.finished: list[Operation[Any]] = []
        """Operations that have an answer or an error which was not read yet."""
        self._filled = 0
        """Keys that are in `results`, in their order; None: what became of it is not known yet."""
        self._warned = False
        self.first: tuple[int, CouchbaseError] | None = None
        """The first key, in their order, that failed so far, and why."""
        self.broken: BaseException | None = None
        """What the code of its keys raised where only their results were kept."""
        self.is_broken = False
        self.ended: CouchbaseError | None = None
        """Why no more is issued, if so."""
        self.is_called = False
        """Whether it was given a turn while user code was busy in another."""
        self.weight = 0
        """Bytes for which each operation counts beside its value."""
        self.built = self.built_bytes = self.answers = self.answer_bytes = 0
        self._by_key: dict[str | bytes, int] | None = None
        self._reasons = Reasons()
        self._floor = 0
        """No key before it waits."""
        self._made: dict[int, Operation[Any]] = {}
        for place, op in enumerate(made):
            self._keep(place, op)

    @property
    def done(self) -> bool:
        """See `Batch`."""
        return self.remaining == 0 or self.is_broken

    def break_off(self, error: BaseException) -> None:
        """Take note of what its keys' own code raised: that is all there is to tell."""
        self.broken, self.is_broken = error, True

    @property
    def queued_bytes(self) -> int:
        """About how many bytes wait: what is not encoded yet counts as the mean of what is."""
        return self.waiting * self.built_bytes // self.built if self.built else 0

    def prepare(self) -> None:
        """Build all operations now: in the thread that has called, and not on the loop."""
        for place in range(len(self.keys)):
            op = self.operation(place)
            if op is not None:
                self._made[place] = op

    def _keep(self, place: int, op: Operation[Any]) -> None:
        """Keep an operation that is built until it is issued."""
        if op.error is None:
            self._made[place] = self._note(op, place)
        else:
            self.refuse(place, op.error)

    def operation(self, place: int) -> Operation[Any] | None:
        """Build the operation of a key; None: that is refused, and noted."""
        op = self._made.pop(place, None)
        if op is not None:
            return op
        key = self.keys[place]
        try:
            op = self.build(key, None if self.values is None else self.values[place])
        except CouchbaseError as error:
            self.refuse(place, error)
            return None
        except Exception as why:  # noqa: BLE001 - of a key or an argument with methods of its own
            text = f"the key and what goes with it cannot be sent: {type(why).__name__}"
            self.refuse(place, ValueFormatError(text, key=key, inner_cause=why))
            return None
        return self._note(op, place)

    def _note(self, op: Operation[Any], place: int) -> Operation[Any]:
        self.built += 1
        self.built_bytes += len(op.raw) + len(op.value)
        op.place = place
        return op

    def refuse(self, place: int, error: CouchbaseError) -> None:
        """Take note that a key is not sent, and why."""
        if not self.issued[place]:
            self.issued[place] = 1
            self.waiting -= 1
            self.settle(place, self.kind.missed(self.keys[place], error.rc or -1), error)

    def place_of(self, raw: bytes) -> int | None:
        """Return where the key with these bytes is; None: it is in another batch, or none."""
        known = self._by_key
        if known is None:
            known = self._by_key = self._index()
        place = known.get(raw)
        if place is None:
            try:
                place = known.get(str(raw, "utf-8"))
            except UnicodeDecodeError:
                return None
        return place

    def _index(self) -> dict[str | bytes, int]:
        """Return the place of each key, by text or bytes of the built-in types alone."""
        transcoder: Any = self.defaults.transcoder
        method = getattr(transcoder.encode_key, "__func__", None)
        if method is Transcoder.encode_key and set(map(type, self.keys)) <= {str, bytes}:
            # Backwards: of a key that is named twice the first counts.
            places = range(len(self.keys) - 1, -1, -1)
            return dict(zip(reversed(self.keys), places, strict=True))
        index: dict[str | bytes, int] = {}
        for place, key in enumerate(self.keys):
            try:
                index.setdefault(exact_bytes(transcoder.encode_key(key)), place)
            except Exception:  # noqa: BLE001, S112 - it is told where the key is built
                continue
        return index

    def issue(self, op: Operation[Any], lane: Lane) -> None:
        """Take note that *op* is being issued."""
        self.issued[op.place] = 1
        self.waiting -= 1
        op.batch = self
        self.outstanding[op] = lane
        lane.open += 1
        lane.bytes += len(op.value) + self.weight

    def member_done(self, op: Operation[Any]) -> bool:
        """See `Batch`: it is read in a turn."""
        lane = self.outstanding.pop(op)
        lane.open -= 1
        lane.bytes -= len(op.value) + self.weight
        if op.error is None:
            answer = op.answer
            if answer is not None and op.connection is not None:
                self.answers += 1
                self.answer_bytes += len(answer.value)
                lane.answered = op.connection.last_activity
                lane.dead = None
        elif isinstance(op.error, CollectionNotFoundError | ScopeNotFoundError):
            # It is so for all of them.
            self.ended = self.ended or own_copy(op.error)
        elif isinstance(op.error, OverloadedError):
            lane.dead, lane.died = own_copy(op.error), op.deadline - op.timeout
        elif isinstance(op.error, TimeoutError) and lane.answered <= op.deadline - op.timeout:
            lane.dead, lane.died = own_copy(op.error), op.deadline
        self.finished.append(op)
        if self.progress is not None:
            self.progress(self)
        return False

    def read_some(self, most: int = TURN) -> int:
        """See `Batch`."""
        count = within_turn(self.finished, 0, most)
        paused(lambda: self._read(count)) if self.defaults.pauses_collector else self._read(count)
        return count

    def _read(self, count: int) -> None:
        finished = self.finished
        for op in finished[:count]:
            try:
                self.settle(op.place, op.result(), None)
            except CouchbaseError as error:
                self.settle(op.place, op.failed(error), error)
        # Only now: reading may be interrupted, and is begun anew then.
        del finished[:count]

    def fill(self, place: int) -> None:
        """See to it that the results have a place for a key, and for some that come after it.

        All at once would take a while where there are many.
        """
        while self._filled <= place:
            start, self._filled = self._filled, self._filled + _FILLED
            part = self.keys[start : self._filled]
            try:
                new: dict[Any, Any] = dict.fromkeys(part)
                if len(new) == len(part) and self.results.keys().isdisjoint(new):
                    self.results.update(new)
                    continue
                for each, key in enumerate(part, start):
                    if key in self.results:
                        self._drop(each)
                    else:
                        self.results[key] = None  # type: ignore[assignment]
            except TypeError as error:
                raise _no_batch(error) from error

    def _drop(self, place: int) -> None:
        """Leave out a key that was named before."""
        if not self.issued[place]:
            self.issued[place] = 1
            self.waiting -= 1
            self.remaining -= 1
        if not self._warned:
            self._warned = True
            warnings.warn(TWICE, RuntimeWarning, stacklevel=2)

    def settle(self, place: int, result: Any, error: CouchbaseError | None) -> None:
        """Note what became of a key."""
        if place >= self._filled:
            self.fill(place)
        results = self.results
        key = self.keys[place]
        if results[key] is None:
            results[key] = result
            self.remaining -= 1
        if error is None:
            return
        if self.first is None or place < self.first[0]:
            self.first = place, without_frames(error)
        self._reasons.tell(result, error)

    def give_up(self, most: int) -> int:
        """Fail so many keys that wait, for the reason of `ended`; return how many there were."""
        assert self.ended is not None
        count = 0
        while self.waiting and count < most:
            place = self._floor = self.issued.find(0, self._floor)
            self.refuse(place, self.ended)
            count += 1
        return count

    def result(self) -> MultiResult[R]:
        """See `Batch`."""
        if self.is_broken:
            broken: BaseException = self.broken or RuntimeError("the batch has failed before")
            self.broken = None
            try:
                raise broken
            finally:
                del broken
        if self.first is None:
            return self.results
        place, found = self.first
        error = own_copy(found)
        key = self.keys[place]
        error.key = key
        if error.context is not None:
            error.context.key = key
            error.context.operation = self.kind.name
        else:
            error.context = ErrorContext(operation=self.kind.name, key=key)
        placed(error, self.defaults)
        error.result = self.results[key]
        error.all_results = self.results
        try:
            raise error
        finally:
            del error


def batch_of(
    kind: type[Operation[Any]],
    defaults: Defaults,
    timeout: float | None,
    what: Iterable[Key] | Mapping[Key, Any],
    build: Build,
    batch_class: Callable[..., Batch[Any]] = Batch,
    bulk_class: Callable[..., Bulk[Any]] = Bulk,
    whole: int = WHOLE,
) -> Batch[Any]:
    """Return a batch of one operation for each key of *what*, which is copied.

    Args:
        kind: of the operations.
        defaults: the Bucket's.
        timeout: seconds; None: as the Bucket says.
        what: keys, or a mapping whose values are handed to *build*.
        build: makes one operation.
        batch_class: of the batch, if it is sent whole.
        bulk_class: of the batch, if it is not.
        whole: how many keys may be sent whole.

    Raises ArgumentError where that is no batch. In one that is sent whole an argument that is wrong
    refuses all of it; a value that cannot be encoded is its key's failure, unless all are such.
    """
    if isinstance(what, str | bytes):
        raise ArgumentError("a batch takes an iterable of keys or a dict, not one key")
    values: list[Any] | None = None
    if isinstance(what, Mapping):
        if isinstance(what, dict):
            keys, values = list(what), list(what.values())
        else:
            pairs = list(what.items())
            keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    else:
        try:
            each = iter(what)
        except TypeError as error:
            raise _no_batch(error) from error
        # What it raises from here on is the user's own.
        keys = given = list(each)
        if len(given) <= WHOLE:
            try:
                keys = list(dict.fromkeys(given))
            except TypeError as error:
                raise _no_batch(error) from error
        if len(keys) < len(given):
            warnings.warn(TWICE, RuntimeWarning, stacklevel=4)
    if not keys:
        raise ArgumentError("the batch is empty: give at least one key")
    limit = defaults.timeout if timeout is None else exact_seconds(timeout)
    if len(keys) > whole:
        return bulk_class(kind, keys, values, build, defaults, limit)
    operations: list[Operation[Any]] = []
    refused = size = 0
    for key, value in zip(keys, values or repeat(None)):  # noqa: B905 - an endless one
        try:
            op = build(key, value)
        except CouchbaseError as error:
            if isinstance(error, ArgumentError) and not isinstance(error, InvalidKeyError):
                raise
            refused += 1
            op = _refusal(kind, key, placed(error, defaults))
        else:
            if op.value is not value:
                size += len(op.value)
        operations.append(op)
        if size > WHOLE_BYTES and len(operations) < len(keys):
            return bulk_class(kind, keys, values, build, defaults, limit, operations)
    batch = batch_class(operations)
    batch.pauses_collector = defaults.pauses_collector
    if refused:
        batch.remaining -= refused
        for op in operations:
            if op.error is not None:
                # It is complete: the two must not point to each other.
                op.batch = None
    if not batch.remaining:
        # Nothing is to be sent: as for one operation, it is refused at the call.
        batch.result()
    return batch


def _no_batch(error: TypeError) -> ArgumentError:
    """Return what it means that keys cannot be iterated, or be keys of a dict."""
    return ArgumentError(f"a batch takes an iterable of keys or a dict: {general(str(error))}")


def _refusal(kind: type[Operation[Any]], key: Any, error: CouchbaseError) -> Operation[Any]:
    """Return an operation that has failed already: its value cannot be sent."""
    op = kind.__new__(kind)
    op.refuse(key, without_frames(error))
    return op
