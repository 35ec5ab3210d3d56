"""Rows of a service's answer as a stream: read as they are taken, and no faster.

The answer comes in pieces. While rows of one are not taken nothing more is read from the socket, so
that the service waits; what is kept is one piece, and a row that has not ended.

What was refused before it gave a row may be asked anew (`_pause_before`), as long as there is time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from couchloop import transcoder
from couchloop.exceptions import (
    AnswerError,
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    ProtocolError,
    own_copy,
)
from couchloop.hot.encoding import about
from couchloop.http.refusals import refusal_of, said_by
from couchloop.http.rows import RowScanner
from couchloop.http.service import ServiceAnswer
from couchloop.http.whole_rows import try_decode_list
from couchloop.operations.service_call import ServiceCall, Watch, pause_by
from couchloop.operations.stream import Pull, Stream
from couchloop.retries import RetryReason, RetryRequest
from couchloop.transcoder import decode_json
from couchloop.typed import decoder_of, is_about_type, misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from couchloop.hot.operation import Defaults, Operation
    from couchloop.http.service import ServiceRequest
    from couchloop.operations.procedure import Performer
    from couchloop.operations.recent import Memory
    from couchloop.topology.configuration import ClusterConfig

T = TypeVar("T")

_OK: Final = 200
_LONGEST_REFUSAL: Final = 1024 * 1024
"""Bytes of an answer without rows that are kept."""


class RowStream(Stream[T], Generic[T]):
    """The rows of one answer.

    A kind of it says what a row is (`_row`), what the rest of the answer means (`_finish`), and
    what an answer without rows means (`_refusal`).

    Args:
        name: of the method, for errors.
        defaults: of who asks.
        asked: the request.
        member: name of the answer's member that has the rows (`couchloop.http.rows`).
        timeout: seconds that the service has; while rows wait to be taken none pass.
    """

    request: ClassVar[str] = "RowsRequest"
    """The class that its consumer has (`gcouchbase.rows`, `txcouchbase.rows`)."""
    typed_row: ClassVar[type | None] = None
    """Of which type a row is whose part is of the user's type; None: the row itself is."""
    statement: str | None = None
    """What a query says; None: it is said otherwise."""
    retry_reason: ClassVar[RetryReason] = RetryReason.UNKNOWN
    """Why it is asked anew where the service says that it may be."""

    # How each begins, as in `Stream`.
    status = 0
    """Of the answer; 0 before it."""
    node = ""
    """`host:port` that answers."""
    attempts = 0
    """How often it was asked."""
    watch: Watch | None = None
    """Who is told of it; None: nobody wants to know."""
    looks_ahead = True
    """Whether what stands beside the rows is read for, where that can be waited for."""
    _deadline = 0.0
    """Until when it may be asked anew."""
    _not_before = 0.0
    """When it is asked anew."""
    _is_given_up = False
    """Whether its strategy has given up what was sent last."""
    _reasons: tuple[str, ...] = ()
    """Why it was asked anew so far, each reason once."""
    _has_nul = False
    """Whether a piece had a NUL byte, which no JSON has."""
    _reread: Callable[[bytes], Any] | None = None
    """Reads a row on which `_row` has failed with what is none of our errors; or says why."""
    _read_rows: Callable[[bytes], list[Any]] | None = None
    """Reads many rows at once, where these are no user code's: `ready` has values of JSON then."""
    _call: ServiceCall | None = None
    _has_ended = False
    """Whether the whole answer is there, or none comes any more."""
    _fault: CouchbaseError | None = None
    """Why none comes."""
    _is_finished = False

    def __init__(
        self, name: str, defaults: Defaults, asked: ServiceRequest, member: str, timeout: float
    ) -> None:
        super().__init__(name, defaults)
        self.asked = asked
        self.timeout = self.patience = timeout
        self.headers: Mapping[str, str] = {}
        """Of the answer, by names in lower case."""
        self.scanner = RowScanner(member, read=self._read_rows)
        """Has what stands beside the rows: `members`."""
        self._member = member
        self._pieces: deque[bytes] = deque()
        """What has come and is not looked at yet."""
        self._refused = bytearray()
        """The answer, if it is one without rows."""

    def _reads(self, read: Callable[[bytes], Any]) -> None:
        """Have *read* make a row of its bytes; before the constructor is called."""
        if isinstance(read, RowReader):
            # Calls less for each row.
            self._row = read.quick  # type: ignore[assignment]
            self._reread = read.careful
            self._read_rows = read.many
        else:
            self._row = read  # type: ignore[assignment]

    # What a kind of it does

    @abstractmethod
    def _row(self, data: bytes) -> T:
        """Return what is given for a row; user code may run in here."""

    def _finish(self, members: Mapping[str, Any]) -> None:
        """Take what stands beside the rows; raise if the service says that it has failed."""

    def _refusal(self, body: bytes) -> CouchbaseError:
        """Return what an answer means whose status is not 200."""
        answer = ServiceAnswer(self.status, self.headers, body, self.node)
        return refusal_of(answer, self.asked.service, said_by(answer))

    def _pause_before(self, error: CouchbaseError) -> float | None:
        """Return after how many seconds it is asked anew, which has failed without a row.

        None: it is not.
        """
        del error
        return None

    @property
    def request_id(self) -> str | None:
        """By which the service's own logs name it, if it has that."""
        return None

    # What its consumer asks

    @property
    def is_read(self) -> bool:
        """Whether all of the answer was read, or nothing more of it is; rows may wait."""
        return self._is_finished

    @property
    def is_finished(self) -> bool:
        """The same, and whether all rows were taken that there are."""
        return self._is_finished and not self.ready

    @property
    def rows(self) -> int:
        """How many rows were taken."""
        return self.scanner.rows - len(self.ready)

    @property
    def meta(self) -> dict[str, Any]:
        """What stands beside the rows, as far as it was read."""
        return self.scanner.members

    @property
    def metrics(self) -> dict[str, Any]:
        """What the service has measured, if it tells that."""
        found = self.meta.get("metrics")
        return found if isinstance(found, dict) else {}

    @property
    def errors(self) -> list[Any]:
        """What the service says that has failed."""
        found = self.meta.get("errors")
        return found if isinstance(found, list) else []

    # See `couchloop.operations.service_call.Sink`

    def asked_of(self, config: ClusterConfig, memory: Memory, seconds: float) -> ServiceRequest:
        """Return what is asked; see `Sink`."""
        del config, memory, seconds
        return self.asked

    def began(self, status: int, headers: Mapping[str, str], node: str) -> None:
        """Take the head of the answer."""
        self.status, self.headers, self.node = status, headers, node

    def piece(self, data: bytes) -> None:
        """Take a piece of the body; it is looked at in a turn."""
        self._pieces.append(data)
        self.poke()

    @property
    def has_enough(self) -> bool:
        """Whether no more is to be read for now."""
        return bool(self._pieces or self.ready)

    # See `Stream`

    def take(self) -> T | Any:
        """See `Stream`; what `_given` would do is done here, for there are many rows."""
        ready: deque[Any] = self.ready
        return self.row(ready.popleft()) if ready else super().take()

    def row(self, data: bytes) -> T:
        """Return what is given for a row of `ready`. Whoever takes it closes what this ends."""
        if type(data) is not bytes:
            # It was read with others.
            return data  # type: ignore[return-value]
        if self.watch is not None and self._is_finished and not self.ready:
            return self._last(data)
        if self._has_nul and b"\0" in data:
            # `json` would take it for UTF-16.
            text = "a row of the answer is no JSON: it has NUL bytes"
            raise self._of_row(BrokenAnswerError(text))
        try:
            return self._row(data)
        except CouchbaseError as error:
            raise self._of_row(error) from error.__cause__
        except Exception:
            if self._reread is None:
                raise
        try:
            return self._reread(data)  # type: ignore[no-any-return]  # as `_row`
        except CouchbaseError as error:
            raise self._of_row(error) from error.__cause__

    def _last(self, data: bytes) -> T:
        """Return what is given for the last row, and tell who observes that it is over."""
        watch, self.watch = self.watch, None
        try:
            row = self.row(data)
        except Exception as error:
            self._tell_end(watch, type(error))
            raise
        self._tell_end(watch)
        return row

    def _of_row(self, error: CouchbaseError) -> CouchbaseError:
        if self.watch is not None:
            self.watch.failure = type(error)
        if isinstance(error, AnswerError):
            error.rows = self.rows - 1
        return self._told(error)

    def _settle(self, op: Operation[Any]) -> None:
        call: Any = op
        self._has_ended = True
        self._is_given_up = call.is_given_up
        if self.watch is not None:
            self.watch.answered(call)
        error = op.error
        if error is not None:
            # What is kept must not come to point to a frame.
            self._fault = own_copy(error)

    def _feed(self, performer: Performer, now: float) -> None:
        call = self._call
        if call is None:
            if now < self._not_before:
                self._pause = self._not_before - now
            else:
                self._begin(performer, now)
            return
        broken: AnswerError | None = None
        try:
            while self._pieces and not self.ready:
                self._look(self._pieces.popleft())
        except AnswerError as error:
            broken = error
        broken = broken or self.scanner.fault
        if broken is not None:
            # Nothing more is read; what was whole before it is taken.
            self._give_up(performer)
            if self.ready:
                return
            self._is_finished = True
            raise self._told(own_copy(broken)) from broken.__cause__
        if self._has_ended and not self._pieces:
            # Its end is known before its last rows are taken: no turn is needed for that.
            if not self._is_finished:
                self._end(now)
        elif not self.ready:
            performer.resume(call, now)

    def _begin(self, performer: Performer, now: float) -> None:
        if not self.attempts:
            self._deadline = now + self.timeout
        self.attempts += 1
        left, strategy = max(self._deadline - now, 0.001), self.defaults.services.strategy
        call: Any = ServiceCall(self.asked, left, self, self.name, strategy)
        self._call = call
        call.batch = self
        self._flying[call] = None
        performer.ask(call, now)

    def _look(self, piece: bytes) -> None:
        if self.status == _OK:
            self._has_nul = self._has_nul or b"\0" in piece
            self.ready.extend(self.scanner.feed(piece))
        else:
            self._refused += piece[: _LONGEST_REFUSAL - len(self._refused)]

    def _end(self, now: float) -> None:
        """Tell how it ended; what failed is raised once all rows are given."""
        try:
            self._conclude()
        except CouchbaseError as error:
            if self._begins_again(error, now):
                return
            self._is_finished = True
            raise
        self._is_finished = True

    def _conclude(self) -> None:
        """Raise what the answer has ended with, if it failed."""
        # What is raised comes to point to the stream.
        fault, self._fault = self._fault, None
        if fault is not None:
            is_lost = isinstance(fault, ConnectionLostError)
            # What is no answer as HTTP has them says so itself: nothing was cut off.
            if self.status == _OK and is_lost and not isinstance(fault.__cause__, ProtocolError):
                try:
                    # It says where it was cut off, and whether rows are missing.
                    self.scanner.close()
                except AnswerError as error:
                    raise self._told(self._cut_off(error)) from fault
            raise self._told(fault) from fault.__cause__
        if self.status != _OK:
            raise self._told(self._refusal(bytes(self._refused)))
        try:
            members = self.scanner.close()
        except AnswerError as error:
            raise self._told(error) from error.__cause__
        try:
            self._finish(members)
        except CouchbaseError as error:
            raise self._told(error) from error.__cause__

    def _cut_off(self, error: AnswerError) -> AnswerError:
        """Return what it means that the connection was lost within the answer."""
        return error

    def _begins_again(self, error: CouchbaseError, now: float) -> bool:
        """Whether it is asked anew, after a pause, since it has failed with *error*."""
        if self.scanner.rows:
            return False
        pause = None if self._is_given_up else self._pause_before(error)
        if pause is not None:
            pause = self._decided(error, pause)
        if pause is None or now + pause >= self._deadline:
            return False
        if self.watch is not None:
            self.watch.retries += 1
        self._ask_anew(pause, now)
        return True

    def _decided(self, error: CouchbaseError, pause: float) -> float | None:
        """Return after which pause it is asked anew, as its strategy says; None: it is not."""
        reason = self._reason(error)
        is_idempotent = self._call is not None and self._call.asked.is_idempotent
        request = RetryRequest(self.name, "", is_idempotent, self.attempts, self._reasons)
        found = pause_by(self.defaults.services.strategy, request, reason, error, pause)
        if found is not None and reason not in self._reasons:
            self._reasons = (*self._reasons, reason)
        return found

    def _reason(self, error: CouchbaseError) -> RetryReason:
        """Return why it is asked anew, which has failed with *error*."""
        if isinstance(error, AnswerError | ConnectionLostError):
            return RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT
        return self.retry_reason

    def _ask_anew(self, pause: float, now: float) -> None:
        """Forget the answer, and ask anew after about so many seconds."""
        # Half of the pause is random: it may be over so early.
        self._not_before = now + pause / 2
        self._pause = pause
        self._has_more = not pause
        self.status, self.headers = 0, {}
        self.scanner = RowScanner(self._member, read=self._read_rows)
        self._refused.clear()
        self._call = self._fault = None
        self._has_ended = False

    def _told(self, error: CouchbaseError) -> CouchbaseError:
        """Have *error* say which method it ends, and where."""
        about(error, self.name, None)
        context = error.context
        assert context is not None, "it was given one"
        context.node = context.node or self.node or None
        context.attempts = context.attempts or self.attempts
        context.reasons = context.reasons or self._reasons
        return error

    def _give_up(self, performer: Performer) -> None:
        """Read no more of an answer that is of no use."""
        self._has_ended = True
        self._pieces.clear()
        call: Any = self._call
        if self._flying.pop(call, self) is None:
            call.batch = None
            performer.give_up(call)

    def slice(self, pull: Pull[T], performer: Performer | None, now: float) -> None:
        """See `Stream`."""
        super().slice(pull, performer, now)
        if self.watch is not None and self._is_finished:
            ready: deque[Any] = self.ready
            # A row that is not read yet may fail: `row` tells of the last one.
            if not ready or type(ready[-1]) is not bytes:
                watch, self.watch = self.watch, None
                self._tell_end(watch)

    def close(self) -> tuple[list[Operation[Any]], list[Operation[Any]]]:
        """See `Stream`."""
        is_read = self._is_finished
        ended = super().close()
        watch, self.watch = self.watch, None
        if watch is not None:
            self._tell_end(watch, is_cancelled=not is_read or watch.failure is not None)
        return ended

    def _tell_end(
        self,
        watch: Watch | None,
        kind: type[BaseException] | None = None,
        *,
        is_cancelled: bool = False,
    ) -> None:
        """Tell who observes that it is over; *kind* is the class of what its last row raises."""
        assert watch is not None, "it was looked at"
        error = self._failure or self.ending
        watch.node = watch.node or self.node or None
        watch.status = self.status or watch.status
        if kind is None and error is not None:
            kind = type(error)
        watch.end(kind, is_cancelled=is_cancelled, request_id=self.request_id)

    @property
    def is_quick(self) -> bool:
        """See `Stream`: to ask is, and so is the end of an answer that has no more rows."""
        if self._call is None:
            return not self.attempts
        return not self._pieces and bool(self._has_ended or self._finished)

    @property
    def _is_exhausted(self) -> bool:
        return self._is_finished

    def _stop(self) -> list[Operation[Any]]:
        self._pieces.clear()
        self._is_finished = True
        return []


class RowReader:
    """How rows of JSON are read.

    Args:
        quick: reads almost any; what it raises says nothing.
        careful: reads the others, or raises BrokenAnswerError for what is no JSON, and
            ValueFormatError for what does not fit.
        many: reads a list of rows, almost any; None: each is read by itself.
    """

    __slots__ = ("careful", "many", "quick")

    def __init__(
        self,
        quick: Callable[[bytes], Any],
        careful: Callable[[bytes], Any],
        many: Callable[[bytes], list[Any]] | None = None,
    ) -> None:
        self.quick = quick
        self.careful = careful
        self.many = many

    def __call__(self, data: bytes) -> Any:
        """Read a row."""
        try:
            return self.quick(data)
        except Exception:  # noqa: BLE001 - a type may have code of the user's
            return self.careful(data)


def row_reader(kind: Any) -> RowReader:
    """Return what reads a row: JSON, as a value of the type *kind*; None: as JSON says.

    Raises what `couchloop.typed.decoder_of` raises.
    """
    if kind is None:
        return RowReader(transcoder.try_decode_json, _read, try_decode_list)
    decode = decoder_of(kind)

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except Exception as error:  # noqa: BLE001 - a type may have code of the user's
            # What is no JSON says so.
            _read(data)
            if not is_about_type(error):
                raise BrokenAnswerError("a row of the answer is no JSON") from None
            raise misfit(error, kind) from None

    return RowReader(decode, read)


def _read(data: bytes) -> Any:
    try:
        return decode_json(data)
    except CouchbaseError as error:
        raise BrokenAnswerError("a row of the answer is no JSON") from error
