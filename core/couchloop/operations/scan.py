"""Scans of a collection: all documents of a range of keys, or some at random.

A scan is one stream for each vbucket of the bucket (`couchloop.operations.scan_requests` has what
is sent): items of one vbucket come in the order of their keys, and nobody says which vbucket comes
first. So many vbuckets are scanned at once as `concurrency` says, each on the node that has fewest
under way. More of a vbucket is asked for only when all that is there was taken.

What ends the scan of a vbucket before its time, but not for good (its vbucket has moved, its
connection was lost, the server has forgotten it), has it begun anew behind the last key: every
document that was there all the time is given exactly once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from zlib import crc32

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    ArgumentError,
    BusyError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    FeatureNotAvailableError,
    MutationTokenOutdatedError,
    ProtocolError,
    RangeScanCanceledError,
    TemporaryFailError,
    ValueFormatError,
    without_frames,
)
from couchloop.hot.operation import Defaults, Operation
from couchloop.hot.result import ScanResult
from couchloop.operations.reading import reader
from couchloop.operations.scan_requests import (
    Bounds,
    Cancel,
    Continue,
    Create,
    Item,
    Places,
    PrefixScan,
    RangeScan,
    SamplingScan,
    ScanRequest,
    items_of,
    uuid_of,
)
from couchloop.operations.stream import Alone, Stream, failed
from couchloop.retries import RetryStrategy, check_strategy, controlled_backoff
from couchloop.transcoder import Transcoder
from couchloop.wire import Status

if TYPE_CHECKING:
    from couchloop.operations.procedure import Performer

__all__ = ["PrefixScan", "RangeScan", "SamplingScan", "scan"]

TIMEOUT: Final = 75.0
"""Seconds that each request of a scan has, unless the call says otherwise (SDK 4)."""
ITEMS: Final = 50
BYTES: Final = 15_000
_MOST: Final = 0xFFFFFFFF
_TRIES: Final = 10
"""So often a vbucket is begun anew without a new item."""
_CLOCK: Final = Struct(">d")
_RANK: Final = Struct(">QH")


class Snapshot(NamedTuple):
    """What a vbucket must have for the scan to begin: a mutation token."""

    uuid: str
    seqno: int


class Changes(Protocol):
    """What a scan may be consistent with: a `couchloop.mutation_state.MutationState`."""

    def as_dict(self) -> Mapping[str, Mapping[str, Sequence[int | str]]]:
        """Return the changes: for each bucket and vbucket a number, and the vbucket's UUID."""


class Part:
    """The scan of one vbucket.

    Args:
        number: of the vbucket.
        node: that has it, by its index.
    """

    __slots__ = (
        "busy_since",
        "last",
        "node",
        "not_before",
        "number",
        "tries",
        "uuid",
    )

    def __init__(self, number: int, node: int) -> None:
        self.number = number
        self.node = node
        self.uuid: bytes | None = None
        """Of the scan at the server; None: there is none."""
        self.last: bytes | None = None
        """The last key that was given."""
        self.tries = 0
        """How often it was begun anew without a new item."""
        self.not_before = 0.0
        self.busy_since: float | None = None
        """Since when the server is too busy to begin it."""


class ScanStream(Stream[ScanResult]):
    """The documents of a scan.

    Args:
        defaults: the collection's.
        what: the range, or limit and seed of a sample.
        ids_only: whether keys are enough.
        consistent_with: a MutationState that all vbuckets must have seen; None: none.
        max_bytes: bytes that one answer should have, 0: as many as come.
        max_items: items that one answer has.
        concurrency: vbuckets that are scanned at once.
        coder: what reads values.
        timeout: seconds that each request has.
        retry_strategy: of requests.
    """

    def __init__(
        self,
        defaults: Defaults,
        what: Bounds | tuple[int, int | None],
        *,
        ids_only: bool,
        consistent_with: Changes | None,
        max_bytes: int,
        max_items: int,
        concurrency: int,
        coder: Transcoder | None,
        timeout: float,
        retry_strategy: RetryStrategy | None,
    ) -> None:
        super().__init__("scan", defaults)
        self._bounds = what if isinstance(what, Bounds) else None
        self._limit: int | None = None
        self._seed: int | None = None
        if not isinstance(what, Bounds):
            self._limit, self._seed = what
        self._ids_only = ids_only
        self._consistent_with = consistent_with
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._most = self._concurrency = concurrency
        """`_most`: vbuckets that are scanned at once now: fewer while the server is busy."""
        self._coder = coder
        self._timeout = timeout
        # A node that is busy is asked again for as long.
        self.patience = 2 * timeout
        self._retry_strategy = retry_strategy
        self._snapshots: dict[int, Snapshot] = {}
        self._waiting: dict[int, deque[Part]] | None = None
        """What was not begun yet, by node; None: that is not known yet."""
        self._active: dict[Part, None] = {}
        self._requests: dict[Operation[Any], Part] = {}
        self._count = 0
        self._items = self._item_bytes = 0
        self._performer: Performer | None = None

    # Where it goes

    @property
    def _is_exhausted(self) -> bool:
        return self._waiting is not None and not self._waiting and not self._active

    def _begin(self, places: Places, now: float) -> None:
        """Take note of where the vbuckets are."""
        salt = self._seed
        if salt is None:
            # So that clients which begin together do not all begin with the same.
            salt = self._seed = crc32(_CLOCK.pack(now))
        if self._consistent_with is not None:
            self._snapshots = _snapshots(self._consistent_with, places.bucket)
            self._consistent_with = None
        order = sorted(
            range(len(places.active)), key=lambda number: crc32(_RANK.pack(salt, number))
        )
        self._waiting = {}
        for number in order:
            part = Part(number, places.active[number])
            self._waiting.setdefault(part.node, deque()).append(part)

    def _put_back(self, part: Part) -> None:
        """Have *part* begun once more."""
        assert self._waiting is not None
        self._active.pop(part, None)
        part.uuid = None
        self._waiting.setdefault(part.node, deque()).appendleft(part)

    def _next(self, now: float) -> Part | None:
        """Take the next vbucket: of the node that has fewest under way."""
        waiting = self._waiting
        assert waiting is not None
        running = dict.fromkeys(waiting, 0)
        for part in self._active:
            if part.node in running:
                running[part.node] += 1
        best: tuple[int, int, int] | None = None
        for place, (node, parts) in enumerate(waiting.items()):
            if parts[0].not_before <= now:
                best = min(best or (_MOST, 0, 0), (running[node], place, node))
        if best is None:
            return None
        node = best[2]
        part = waiting[node].popleft()
        # At the end: nodes that have equally much take turns.
        left = waiting.pop(node)
        if left:
            waiting[node] = left
        return part

    # What is sent

    def _feed(self, performer: Performer, now: float) -> None:
        self._performer = performer
        if self._waiting is None:
            if not self._flying:
                self._issue(Places(self.defaults, self._timeout), performer, now)
            return
        if self._limit is not None and self._count >= self._limit:
            self._enough(performer, now)
            return
        busy = set(self._requests.values())
        for part in [each for each in self._active if each not in busy]:
            self._go_on(part, performer, now)
        while len(self._active) < self._most and self._waiting:
            part_to_begin = self._next(now)
            if part_to_begin is None:
                if not self._flying:
                    due = min(parts[0].not_before for parts in self._waiting.values())
                    # Half of a pause is random, and it must not end too early.
                    self._pause = max(0.001, 2 * (due - now))
                return
            self._create(part_to_begin, performer, now)

    def _create(self, part: Part, performer: Performer, now: float) -> None:
        members: dict[str, Any]
        if self._bounds is not None:
            bounds = self._bounds
            if part.last is not None:
                bounds = bounds._replace(start=part.last, has_start=False)
            members = bounds.members()
        else:
            members = {"sampling": {"seed": self._seed, "samples": self._limit}}
        if self._ids_only:
            members["key_only"] = True
        wanted = self._snapshots.get(part.number)
        if wanted is not None:
            members["snapshot_requirements"] = {
                "vb_uuid": wanted.uuid,
                "seqno": wanted.seqno,
                "timeout_ms": int(self._timeout * 900),
            }
        self._active[part] = None
        self._send(
            Create(self.defaults, part.number, self._timeout, members, self._retry_strategy),
            part,
            performer,
            now,
        )

    def _go_on(self, part: Part, performer: Performer, now: float) -> None:
        assert part.uuid is not None
        items = self._max_items
        if self._max_bytes and self._items:
            # Servers do not heed the limit of bytes (7.6.7): so many items are about as much.
            mean = max(1, self._item_bytes // self._items)
            items = max(1, min(items, self._max_bytes // mean))
        if self._limit is not None:
            items = min(items, self._limit - self._count)
        request = Continue(
            self.defaults, part.number, self._timeout, part.uuid, items, self._max_bytes
        )
        self._send(request, part, performer, now)

    def _send(self, op: ScanRequest, part: Part, performer: Performer, now: float) -> None:
        self._requests[op] = part
        self._issue(op, performer, now)

    def _cancel(self, part: Part) -> list[Operation[Any]]:
        """Return what ends the scan of a vbucket at the server."""
        if part.uuid is None:
            return []
        uuid, part.uuid = part.uuid, None
        return [Cancel(self.defaults, part.number, self._timeout, uuid)]

    def _enough(self, performer: Performer, now: float) -> None:
        """End all that is under way: the sample is complete."""
        assert self._waiting is not None
        self._wind_up(performer, now)

    def _stop(self) -> list[Operation[Any]]:
        """See `Stream`."""
        farewells = [op for part in self._active for op in self._cancel(part)]
        self._active.clear()
        self._requests.clear()
        if self._waiting is not None:
            self._waiting.clear()
        return farewells

    def close(self) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
        """See `Stream`: what is just being begun is cancelled once its uuid is known."""
        performer = self._performer
        cancels = {
            op: Cancel(self.defaults, op.number, self._timeout, b"")
            for op in self._flying
            if isinstance(op, Create)
        }
        for op in self._finished:
            self._requests.pop(op, None)
            if isinstance(op, Create):
                self._unwanted(op)
        flying, farewells = super().close()
        self._performer = None
        for op, cancel in cancels.items():
            op.batch = Alone(_Goodbye(performer, cancel))
        return [op for op in flying if op not in cancels], farewells

    # What comes back

    def _settle(self, op: Operation[Any]) -> None:
        now = self.now
        if isinstance(op, Places):
            op.result()
            self._begin(op, now)
            return
        part = self._requests.pop(op, None)
        if part is None:
            # The sample was complete, or the stream fails.
            if isinstance(op, Create):
                self._unwanted(op)
            return
        if isinstance(op, Create):
            self._created(op, part, now)
        elif isinstance(op, Continue):
            self._continued(op, part, now)

    def _unwanted(self, op: Create) -> None:
        """Have what *op* has begun cancelled with the rest, if it has."""
        if op.error is None and op.answer is not None and not op.answer.status:
            part = Part(op.number, -1)
            with suppress(ProtocolError):
                part.uuid = uuid_of(op.answer)
                self._active[part] = None

    def _created(self, op: Create, part: Part, now: float) -> None:
        answer = op.result()
        status = answer.status
        context = self._context(op, status)
        if not status:
            part.uuid = uuid_of(answer)
            part.busy_since = None
        elif status == Status.KEY_ENOENT:
            self._done(part)
        elif status in {Status.EBUSY, Status.ETMPFAIL}:
            if part.busy_since is None:
                part.busy_since = now
            if now - part.busy_since >= self._timeout:
                kind = BusyError if status == Status.EBUSY else TemporaryFailError
                text = (
                    "the node had no room for another scan, or had not seen what the scan is to be "
                    f"consistent with, for {self._timeout:g} s"
                )
                raise kind(text, context=context)
            part.tries += 1
            part.not_before = now + controlled_backoff(part.tries)
            self._most = max(1, len(self._active) - 1)
            self._put_back(part)
        elif status == Status.VB_UUID_NOT_EQUAL:
            raise MutationTokenOutdatedError(context=context)
        else:
            text = "range scans need a bucket of type couchbase and servers from 7.6 on"
            raise FeatureNotAvailableError(text, context=context)

    def _continued(self, op: Continue, part: Part, now: float) -> None:
        # What has come before the end counts, whatever that is.
        for frame in op.frames:
            self._take(part, frame)
        op.frames.clear()
        if isinstance(op.error, ConnectionLostError):
            self._again(part, op.error, now)
            return
        try:
            answer = op.result()
        except CouchbaseError:
            if self._bounds is not None:
                raise
            if op.error is not None and op.error.context is not None:
                status = op.error.context.status
                if status in {Status.UNKNOWN_COLLECTION, Status.EACCESS}:
                    # A sample need not be complete.
                    self._done(part)
                    return
            raise
        status = answer.status
        if status in {Status.RANGE_SCAN_MORE, Status.RANGE_SCAN_COMPLETE}:
            self._take(part, answer)
            if status == Status.RANGE_SCAN_COMPLETE:
                self._done(part)
            return
        if self._bounds is None and status != Status.NOT_MY_VBUCKET:
            self._done(part)
            return
        self._again(part, RangeScanCanceledError(context=self._context(op, status)), now)

    def _again(self, part: Part, error: CouchbaseError, now: float) -> None:
        """Begin *part* anew, behind its last key."""
        part.tries += 1
        if part.tries > _TRIES:
            raise without_frames(error)
        part.not_before = now + (controlled_backoff(part.tries - 1) if part.tries > 1 else 0.0)
        self._put_back(part)

    def _done(self, part: Part) -> None:
        """Take note that *part* has no more."""
        part.uuid = None
        self._active.pop(part, None)
        self._most = min(self._concurrency, self._most + 1)

    def _take(self, part: Part, frame: Any) -> None:
        """Keep the items of one answer."""
        for item in items_of(frame, ids_only=self._ids_only):
            self._items += 1
            self._item_bytes += len(item.key) + len(item.value or b"")
            if part.last is not None and item.key <= part.last:
                # It was begun anew, and this was given before.
                continue
            part.last = item.key
            part.tries = 0
            if self._limit is not None and self._count >= self._limit:
                return
            self._count += 1
            self.ready.append(item)  # type: ignore[arg-type]  # it is decoded when it is taken

    def _context(self, op: ScanRequest, status: int) -> ErrorContext:
        context = ErrorContext(operation=self.name, status=status, timeout=self._timeout)
        connection: Any = op.connection
        if connection is not None:
            context.node = str(connection.address)
        if self.defaults.collection is not None:
            context.scope, context.collection = self.defaults.collection
        return context

    def _given(self, item: Item) -> ScanResult:
        key: str | bytes
        try:
            key = self.defaults.transcoder.decode_key(item.key)
        except Exception:  # noqa: BLE001 - a transcoder may be anybody's: its bytes are a key, too
            key = item.key
        if self._ids_only:
            return ScanResult(key, None, 0, 0, None)
        expiry = datetime.fromtimestamp(item.expiry, UTC) if item.expiry else None
        try:
            value: Any = item.content()
            if self._coder is not None:
                value = self._coder.decode_value(value, item.flags)
        except CouchbaseError as error:
            failure = error
        except Exception as why:  # noqa: BLE001 - likewise
            text = f"the transcoder's decode_value has raised {type(why).__name__}"
            failure = ValueFormatError(text, key=key, inner_cause=why.with_traceback(None))
        else:
            return ScanResult(key, value, item.cas, item.flags, expiry)
        result = ScanResult(key, None, item.cas, item.flags, expiry, failure.rc or -1)
        result.fail(failed(failure, self.name, key))
        return result


class _Goodbye:
    """Cancels a scan that has just begun, and that nobody wants any more.

    Args:
        performer: what sends; None: nothing was sent.
        cancel: the request, without the uuid.
    """

    __slots__ = ("_cancel", "_performer")

    def __init__(self, performer: Performer | None, cancel: Cancel) -> None:
        self._performer = performer
        self._cancel = cancel

    def __call__(self, op: Operation[Any]) -> None:
        """Send it, if there is a uuid."""
        answer, connection = op.answer, op.connection
        performer, self._performer = self._performer, None
        if answer is None or answer.status or connection is None or performer is None:
            return
        try:
            self._cancel.extras = uuid_of(answer)
        except ProtocolError:
            return
        self._cancel.batch = Alone()
        performer.begin(self._cancel, connection.last_activity)


def _snapshots(state: Changes, bucket: str | None) -> dict[int, Snapshot]:
    """Return what *state* says of the vbuckets of *bucket*."""
    found: dict[int, Snapshot] = {}
    for name, vector in state.as_dict().items():
        if name == bucket:
            for number, (seqno, uuid) in vector.items():
                found[int(number)] = Snapshot(str(uuid), int(seqno))
    return found


def _bound(number: object, name: str, least: int) -> int:
    exact = exact_integer(number)
    if exact is None or not least <= exact <= _MOST:
        raise ArgumentError(f"{name} is an integer from {least} to 2**32-1", objextra=number)
    return exact


def scan(
    defaults: Defaults,
    scan_type: RangeScan | PrefixScan | SamplingScan,
    *,
    ids_only: bool = False,
    consistent_with: Changes | None = None,
    batch_byte_limit: int = BYTES,
    batch_item_limit: int = ITEMS,
    concurrency: int = 1,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> ScanStream:
    """Return the documents of a range of keys, or some of them at random, one after the other.

    Args:
        scan_type: RangeScan, PrefixScan or SamplingScan, of `couchloop.kv_range_scan`.
        ids_only: give the keys alone.
        consistent_with: a MutationState: the scan sees these changes.
        batch_byte_limit: bytes that a node sends at once, about; 0: no limit.
        batch_item_limit: items that it sends at once.
        concurrency: vbuckets that are scanned at once: more are faster, and more work for the
            nodes.
        timeout: seconds that each request to a node has. None: 75.

    Documents of one vbucket come in the order of their keys; in all there is none. What is not on
    disk yet is not seen, unless *consistent_with* asks for it. A value that cannot be decoded is a
    result with `error`. Iterating raises FeatureNotAvailableError where the bucket has no range
    scans (they need servers from 7.6 on, and are not for ephemeral buckets),
    MutationTokenOutdatedError, CollectionNotFoundError, RangeScanCanceledError.
    """
    if isinstance(scan_type, RangeScan | PrefixScan):
        what: Bounds | tuple[int, int | None] = scan_type.bounds()
    elif isinstance(scan_type, SamplingScan):
        what = scan_type.numbers()
    else:
        kind = scan_type.__class__.__name__
        text = f"a scan is a RangeScan, a PrefixScan or a SamplingScan, not a {kind}"
        raise ArgumentError(text, objextra=scan_type)
    if consistent_with is not None and not callable(getattr(consistent_with, "as_dict", None)):
        raise ArgumentError("consistent_with is a MutationState", objextra=consistent_with)
    if retry_strategy is not None:
        check_strategy(retry_strategy)
    return ScanStream(
        defaults,
        what,
        ids_only=is_true(ids_only, "ids_only"),
        consistent_with=consistent_with,
        max_bytes=_bound(batch_byte_limit, "batch_byte_limit", 0),
        max_items=_bound(batch_item_limit, "batch_item_limit", 1),
        concurrency=_bound(concurrency, "concurrency", 1),
        coder=reader(transcoder, defaults, no_format=no_format, type=type),
        timeout=TIMEOUT if timeout is None else exact_seconds(timeout),
        retry_strategy=retry_strategy,
    )
