"""An operation as a value: what to send, and what has become of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from couchloop import transcoder
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    ProtocolError,
    own_copy,
)
from couchloop.hot.durable import DurableDefaults
from couchloop.hot.encoding import MAX_VALUE, bad_key, exact_cas, exact_key, not_encoded
from couchloop.hot.frames import Frame
from couchloop.hot.request import Request
from couchloop.hot.result import MultiResult, OperationResult, Result
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.hot.speedups import twin
from couchloop.records import record
from couchloop.retries import RetryStrategy, check_strategy
from couchloop.transcoder import Transcoder
from couchloop.wire import Datatype, snappy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Key = str | bytes
"""A document's key: UTF-8 text or bytes, 1 to 250 bytes long."""

MAX_KEY: Final = 250
MAX_KEY_IN_COLLECTION: Final = 246
"""Bytes of the longest key in a named collection."""
MAX_CAS: Final = 0xFFFFFFFFFFFFFFFF

_SNAPPY: Final = int(Datatype.SNAPPY)
"""To compare with a member of an enumeration takes ten thousand instructions."""
TURN: Final = 256
"""Answers of a batch that are read in one turn of the loop, where it takes several."""
TURN_BYTES: Final = 256 << 10
"""Bytes of these, but for the last: a few milliseconds."""


if twin is not None:
    transcoder.encode_json = twin.json_encoder(transcoder.encode_json)


class CollectionName(NamedTuple):
    """The names of a collection that is not the default one."""

    scope: str
    collection: str

    def __str__(self) -> str:
        return f"{self.scope}.{self.collection}"


def _no_clock() -> float:
    raise RuntimeError("this client was not told the time of day")


@record(slots=True, weakref_slot=True)
class Defaults:
    """What a Bucket's operations use where the call says nothing."""

    transcoder: Transcoder
    format: int
    quiet: bool = False
    timeout: float = 2.5
    """Seconds from the call to its answer, waiting and retrying included."""
    wall_clock: Callable[[], float] = _no_clock
    """Gives the seconds since 1970; asked only where an expiry needs it."""
    refuses_past_expiry: bool = True
    """Whether a number of seconds that means a moment in the past is refused as an expiry."""
    max_key: int = MAX_KEY
    """Bytes of the longest key."""
    collection: CollectionName | None = None
    """Where the documents are; None: in the default collection."""
    prefix: bytes | None = None
    """See `Request.prefix`; the session keeps it up to date."""
    pauses_collector: bool = False
    """Whether the garbage collector is paused while answers of a batch are decoded."""
    durable: DurableDefaults = field(default_factory=DurableDefaults)
    """What holds for changes that must be durable, and what is known of changes."""
    services: ServiceDefaults = field(default_factory=ServiceDefaults)
    """What holds for requests to services."""


class Pending(Protocol[T_co]):
    """What a builder gives: an operation, or a batch."""

    waiter: Any
    owner: Any

    @property
    def done(self) -> bool:
        """Whether it is complete."""

    def result(self) -> T_co:
        """Return its result, or raise its error."""


_init: Final = Request.__init__
"""By this name it takes less time than through `super`."""

if TYPE_CHECKING:
    from typing import Generic

    class _Typed(Request, Generic[T]):
        __slots__ = ()

else:
    # No generic class at run time: what an operation gives is known to type checkers alone.
    _Typed = Request


class Operation(_Typed[T]):
    """One request of a user's and what has become of it.

    What a builder says of it are the arguments; the session sets the rest, but for `waiter` and
    `owner`, which belong to the adapter.

    Args:
        opcode: of the request.
        defaults: the Bucket's.
        key: the document's.
        timeout: seconds; None: as *defaults* say.
        extras: as the opcode wants them.
        value: likewise.
        cas: a CAS as the user gave it; 0, None or False: any.
        retry_strategy: whether and when to try again; None: as the Bucket says.
        quiet: whether KEY_ENOENT (status 1) is an answer, not an error.
    """

    __slots__ = ()

    name = "operation"
    idempotent = False
    gives_value: ClassVar[bool] = False
    """Whether its answer may be a document."""
    reads_fields: ClassVar[bool] = False
    """Whether `decode` can do without a Frame."""
    answers: ClassVar[frozenset[int]] = frozenset()
    """Statuses beside success that are answers, and no errors."""
    final: ClassVar[frozenset[int]] = frozenset()
    """Statuses that end it at once, although other kinds are tried again."""

    def __init__(
        self,
        opcode: int,
        defaults: Defaults,
        key: Key,
        timeout: float | None,
        extras: bytes = b"",
        value: bytes = b"",
        cas: int = 0,
        retry_strategy: RetryStrategy | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        try:
            raw = defaults.transcoder.encode_key(key)
        except Exception as error:  # noqa: BLE001 - a transcoder may be anybody's
            not_encoded(error, "encode_key", self.name, key)
        if type(raw) is not bytes:
            raw = exact_key(raw, self.name, key)
        if not raw or len(raw) > defaults.max_key:
            raise bad_key(key, raw, defaults)
        timeout = defaults.timeout if timeout is None else exact_seconds(timeout, key)
        cas = exact_cas(cas, key) if cas != 0 else 0
        if retry_strategy is not None:
            check_strategy(retry_strategy, key)
        # What Request's constructor does stands here once more: the call takes as long as all this.
        self.opcode = opcode
        self.raw = raw
        self.timeout = timeout
        self.extras = extras
        self.value = value
        self.cas = cas
        self.quiet = quiet
        self.framing = b""
        self.prefix = defaults.prefix
        self.queue = self.parked = self.connection = self.batch = self.fields = self.error = None
        self.deadline = 0.0
        self.opaque = self.attempts = self.vbucket = self.place = 0
        self.defaults = defaults
        self.key = key
        self.retry_strategy = retry_strategy
        self.reasons = ()
        self.obstacle = None
        self.waiter = self.owner = None

    if not TYPE_CHECKING and twin is not None:
        __init__ = twin.begin

    def refuse(self, key: Key, error: CouchbaseError) -> None:
        """Be an operation that is never sent, for *error*; it needs no other constructor."""
        _init(self, 0, b"", 0.0)
        self.key = key
        self.error = error
        self.waiter = self.owner = None

    def result(self) -> T:
        """Return the result of a completed operation, or raise its error, as often as asked.

        Raises RuntimeError if it is not complete.
        """
        fields = self.fields
        if fields is None or self.error is not None:
            error = self._failure()
            try:
                raise error
            finally:
                # An exception whose own frames point to it, and with it the frames of its callers
                # and their Bucket, would live until a gc run.
                del error
        try:
            return self.decode(fields if self.reads_fields else Frame._make(fields))
        except CouchbaseError as error:
            placed(error, self.defaults)
            self._note_missed(error, fields[5])
            raise

    def _failure(self) -> CouchbaseError | RuntimeError:
        """Return what to raise, with what SDK 2.5 has in it; what is kept gets no traceback."""
        error = self.error
        if error is None:
            return RuntimeError(f"{self.name}: neither answer nor error is there yet")
        self.error = own_copy(error)
        self._note_missed(error, 0)
        return error

    def _note_missed(self, error: CouchbaseError, cas: int) -> None:
        """Have *error* know its results, and *cas*: the server may have locked, or counted."""
        error.cas = cas
        error.result = self.failed(error)
        with suppress(Exception):
            # The key may be of any type, and then not fit a dict.
            error.all_results = MultiResult({self.key: error.result})

    def failed(self, error: CouchbaseError) -> Result:
        """Return the result where it has failed with *error*: with the CAS, if that has one."""
        result = self.missed(self.key, error.rc or -1)
        if isinstance(result, OperationResult):
            result.cas = error.cas
        return result

    def decode(self, answer: Any) -> T:
        """Read the answer of a success, or of a miss that the caller asked to be quiet about.

        It is a Frame, or with `reads_fields` its parts alone.
        """
        raise NotImplementedError

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:  # noqa: ARG002
        """Return what an answer means that is no success: *error*, which is made of its status.

        A class may know more, by the answer's body.
        """
        return error

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """Return the result of an operation on *key* that failed with *rc*."""
        return OperationResult(key, 0, rc=rc)


def placed(error: CouchbaseError, defaults: Defaults) -> CouchbaseError:
    """Have *error* name the collection that *defaults* are of, if that is a named one."""
    names = defaults.collection
    if names is not None:
        context = error.context or ErrorContext(key=error.key)
        error.context = replace(context, scope=names.scope, collection=names.collection)
    return error


def at_call(error: CouchbaseError, name: str, defaults: Defaults) -> CouchbaseError:
    """Have *error*, which the call of a method has raised, name that, and the collection."""
    return placed(named(error, name), defaults)


def named(error: CouchbaseError, name: str) -> CouchbaseError:
    """Have *error* name the operation, unless it does."""
    context = error.context
    if context is None:
        error.context = ErrorContext(operation=name, key=error.key)
    elif context.operation is None:
        error.context = replace(context, operation=name)
    return error


def answer_size(op: Operation[Any]) -> int:
    """Return how many bytes are to be read of what *op* got, once they are inflated."""
    fields = op.fields
    if fields is None:
        return 0
    value = fields[9]
    if fields[2] & _SNAPPY:
        # Else it is corrupt, which is told where it is read.
        with suppress(ProtocolError):
            return snappy.declared_length(value)
    return len(value)


def answers_size(operations: Sequence[Operation[Any]]) -> int:
    """Return the sum of `answer_size` of these.

    A call for each would take twice as long.
    """
    size = 0
    for op in operations:
        fields = op.fields
        if fields is not None:
            size += answer_size(op) if fields[2] & _SNAPPY else len(fields[9])
    return size


def within_turn(operations: Sequence[Operation[Any]], place: int, most: int) -> int:
    """Return how many of these, from *place* on, one turn may read: one at least, if any.

    *most*: answers, whatever their size.
    """
    size = count = 0
    for op in operations[place : place + most]:
        if size >= TURN_BYTES:
            break
        size += answer_size(op)
        count += 1
    return count


def body(answer: Frame) -> bytes:
    """Return the value of *answer*, inflated if need be.

    Raises ProtocolError if it is corrupt or would exceed 20 MiB.
    """
    if answer.datatype & Datatype.SNAPPY:
        return inflated(answer.value)
    return answer.value


def inflated(value: bytes) -> bytes:
    """Return what *value* is compressed of; raise ProtocolError as `body` does."""
    return snappy.decompress(value, MAX_VALUE)
