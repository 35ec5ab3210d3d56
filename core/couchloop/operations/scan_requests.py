"""Range scans on the wire: what is asked of one vbucket, and what comes back (server 7.6 on).

RANGE_SCAN_CREATE 0xda gives a scan's uuid, RANGE_SCAN_CONTINUE 0xdb the next of its items, each
answer in several frames, and RANGE_SCAN_CANCEL 0xdc ends it. All are for the node of a vbucket, and
none is about a key.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop.arguments.exact import exact_bytes, exact_integer
from couchloop.exceptions import ArgumentError, ProtocolError
from couchloop.hot.encoding import MAX_VALUE
from couchloop.hot.frames import Frame
from couchloop.hot.operation import MAX_KEY, Defaults, Operation, body
from couchloop.hot.request import Request, VbucketMap
from couchloop.operations.copies import Survey
from couchloop.records import record
from couchloop.wire import Datatype, Opcode, Status, snappy
from couchloop.wire.framing import JSON_VALUE
from couchloop.wire.keys import decode_leb128

if TYPE_CHECKING:
    from couchloop.retries import RetryStrategy

_TOP: Final = "\U0010ffff".encode()
"""Behind all text."""
_BOTTOM: Final = b"\0"
_MAX_SEED: Final = 0xFFFFFFFFFFFFFFFF
_CONTINUE: Final = Struct(">16sIII")
_HEAD: Final = Struct(">IIQQB")
"""Before a document: flags, expiry, sequence number, CAS, datatype."""
_UUID: Final = 16
_MOST: Final = 0xFFFFFFFF
KEYS, DOCUMENTS = 0, 1
"""What the extras of an answer say that it has."""


# What a user asks for ----------------------------------------------------------------------------


def _term(value: object) -> bytes:
    if isinstance(value, str):
        try:
            raw = str.encode(value)
        except UnicodeEncodeError as error:
            raise ArgumentError("a bound of a scan is valid Unicode text, or bytes") from error
    elif isinstance(value, bytes | bytearray | memoryview):
        raw = exact_bytes(value)
    else:
        kind = type(value).__name__
        raise ArgumentError(f"a bound of a scan is text or bytes, not {kind}", objextra=value)
    if len(raw) > MAX_KEY:
        raise ArgumentError(f"a bound of a scan takes {MAX_KEY} bytes at most", objextra=value)
    return raw


@record(frozen=True, slots=True)
class ScanTerm:
    """A bound of a range.

    Args:
        term: a key, or what keys are compared with: text or bytes.
        exclusive: whether that key itself does not belong to the range.
    """

    term: str | bytes
    exclusive: bool = False


class Bounds(NamedTuple):
    """A range of keys as bytes."""

    start: bytes
    end: bytes
    has_start: bool = True
    """Whether the key *start* itself belongs to it."""
    has_end: bool = False

    def members(self) -> dict[str, Any]:
        """Return what a request says of it."""
        start = "start" if self.has_start else "excl_start"
        end = "end" if self.has_end else "excl_end"
        return {
            "range": {
                start: b64encode(self.start).decode("ascii"),
                end: b64encode(self.end).decode("ascii"),
            }
        }


@record(frozen=True, slots=True)
class RangeScan:
    """All documents whose keys are from *start* to *end*, as bytes of UTF-8 are compared.

    Args:
        start: the first key, which belongs to the range unless a ScanTerm says otherwise; None:
            from the very first.
        end: the last key, likewise; None: to the very last.
    """

    start: ScanTerm | str | bytes | None = None
    end: ScanTerm | str | bytes | None = None

    def bounds(self) -> Bounds:
        """Return the range. Raises ArgumentError for what is no bound."""
        start, end = self.start, self.end
        first, has_first = _BOTTOM, True
        last, has_last = _TOP, False
        if start is not None:
            start = start if isinstance(start, ScanTerm) else ScanTerm(start)
            first, has_first = _term(start.term), not start.exclusive
        if end is not None:
            end = end if isinstance(end, ScanTerm) else ScanTerm(end)
            last, has_last = _term(end.term), not end.exclusive
        return Bounds(first, last, has_first, has_last)


@record(frozen=True, slots=True)
class PrefixScan:
    """All documents whose keys begin with *prefix* (text or bytes)."""

    prefix: str | bytes

    def bounds(self) -> Bounds:
        """Return the range. Raises ArgumentError for what is no prefix."""
        prefix = _term(self.prefix)
        if len(prefix) == MAX_KEY:
            return Bounds(prefix, prefix, has_end=True)
        return Bounds(prefix or _BOTTOM, (prefix + _TOP)[:MAX_KEY])


@record(frozen=True, slots=True)
class SamplingScan:
    """Some documents, chosen at random.

    Args:
        limit: how many at most.
        seed: two scans with the same one give the same documents, as far as these have not changed,
            if `concurrency` is 1; None: another choice each time.
    """

    limit: int
    seed: int | None = None

    def numbers(self) -> tuple[int, int | None]:
        """Return both. Raises ArgumentError for what cannot be one."""
        limit = exact_integer(self.limit)
        if limit is None or not 1 <= limit <= _MOST:
            text = "the limit of a sampling scan is an integer from 1 to 2**32-1"
            raise ArgumentError(text, objextra=self.limit)
        seed = None if self.seed is None else exact_integer(self.seed)
        if self.seed is not None and (seed is None or not 0 <= seed <= _MAX_SEED):
            text = "the seed of a sampling scan is an integer from 0 to 2**64-1"
            raise ArgumentError(text, objextra=self.seed)
        return limit, seed


# What is sent -------------------------------------------------------------------------------------


class Places(Survey):
    """Never sent: tells where the vbuckets are, once the bucket is open."""

    __slots__ = ("active", "bucket")
    name = "scan"

    def __init__(self, defaults: Defaults, timeout: float) -> None:
        super().__init__(defaults, timeout)
        self.active: list[int] = []
        """The node of each vbucket; -1: none."""
        self.bucket: str | None = None

    def settles(self, vbuckets: VbucketMap) -> bool:
        """See `Request`."""
        self.active = list(vbuckets.active)
        self.bucket = getattr(vbuckets, "bucket", None)
        return super().settles(vbuckets)


class ScanRequest(Operation[Frame]):
    """A request about one vbucket; its result is its last answer."""

    __slots__ = ("number",)
    name = "scan"
    is_plain = False

    number: int
    """Of the vbucket."""

    def __init__(
        self,
        opcode: int,
        defaults: Defaults,
        number: int,
        timeout: float,
        extras: bytes = b"",
        retry_strategy: RetryStrategy | None = None,
    ) -> None:
        # Not the constructor of Operation: there is no key to be encoded.
        Request.__init__(self, opcode, b"", timeout, extras)
        self.number = number
        self.prefix = b""
        self.defaults = defaults
        self.key = None
        self.retry_strategy = retry_strategy
        self.attempts = 0
        self.reasons = ()
        self.obstacle = None
        self.waiter = self.owner = None

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:
        """See `Request`."""
        active = vbuckets.active
        return (active[self.number] if self.number < len(active) else -1), self.number

    def decode(self, answer: Frame) -> Frame:
        """Return the answer."""
        return answer


class Create(ScanRequest):
    """RANGE_SCAN_CREATE 0xda.

    Args:
        defaults: the collection's.
        number: of the vbucket.
        timeout: seconds.
        members: of the request's JSON document, but for the collection.
        retry_strategy: of the scan.
    """

    __slots__ = ("_members",)
    idempotent = True
    answers = frozenset(
        {
            int(Status.KEY_ENOENT),
            int(Status.EBUSY),
            int(Status.ETMPFAIL),
            int(Status.NOT_SUPPORTED),
            int(Status.UNKNOWN_COMMAND),
            int(Status.VB_UUID_NOT_EQUAL),
        }
    )

    def __init__(
        self,
        defaults: Defaults,
        number: int,
        timeout: float,
        members: dict[str, Any],
        retry_strategy: RetryStrategy | None,
    ) -> None:
        super().__init__(
            Opcode.RANGE_SCAN_CREATE, defaults, number, timeout, retry_strategy=retry_strategy
        )
        self.prefix = defaults.prefix
        self.framing = JSON_VALUE
        self._members = members

    def prepare(self, vbucket: int, prefix: bytes) -> None:  # noqa: ARG002 - it has its own
        """See `Request`: name the collection by its number."""
        number = 0
        if self.prefix:
            try:
                number, _ = decode_leb128(self.prefix)
            except ProtocolError:
                # Not known yet: it is prepared again when it is.
                return
        document = {"collection": f"{number:x}", **self._members}
        self.value = json.dumps(document, separators=(",", ":")).encode("ascii")


class Continue(ScanRequest):
    """RANGE_SCAN_CONTINUE 0xdb: its items come in several frames.

    It is no idempotent operation: what a lost answer had is not sent again.
    """

    __slots__ = ("frames",)
    is_read = True
    has_many_answers = True
    gives_value = True
    answers = frozenset(
        {
            int(Status.RANGE_SCAN_MORE),
            int(Status.RANGE_SCAN_COMPLETE),
            int(Status.RANGE_SCAN_CANCELLED),
            int(Status.KEY_ENOENT),
            int(Status.NOT_MY_VBUCKET),
        }
    )
    final = frozenset({int(Status.EBUSY), int(Status.ETMPFAIL)})

    def __init__(
        self,
        defaults: Defaults,
        number: int,
        timeout: float,
        uuid: bytes,
        items: int,
        max_bytes: int,
    ) -> None:
        extras = _CONTINUE.pack(uuid, items, int(timeout * 900), max_bytes)
        super().__init__(Opcode.RANGE_SCAN_CONTINUE, defaults, number, timeout, extras)
        self.frames: list[Frame] = []

    def goes_on(self, answer: Frame) -> bool:
        """See `Request`: a success is never the last."""
        self.frames.append(answer)
        return True


class Cancel(ScanRequest):
    """RANGE_SCAN_CANCEL 0xdc: nobody waits for what becomes of it."""

    __slots__ = ()
    answers = frozenset({int(Status.KEY_ENOENT), int(Status.NOT_MY_VBUCKET)})

    def __init__(self, defaults: Defaults, number: int, timeout: float, uuid: bytes) -> None:
        super().__init__(Opcode.RANGE_SCAN_CANCEL, defaults, number, timeout, uuid)


def uuid_of(answer: Frame) -> bytes:
    """Return the uuid that a Create was answered with. Raises ProtocolError if that is none."""
    uuid = body(answer)
    if len(uuid) != _UUID:
        raise ProtocolError("the server began a range scan, and gave no uuid for it")
    return uuid


# What comes back ----------------------------------------------------------------------------------


class Item(NamedTuple):
    """A document, or a key alone."""

    key: bytes
    value: bytes | None = None
    """As the server has sent it."""
    datatype: int = 0
    flags: int = 0
    expiry: int = 0
    cas: int = 0

    def content(self) -> bytes:
        """Return the value, inflated if need be. Raises ProtocolError if it is corrupt."""
        value = self.value or b""
        return snappy.decompress(value, MAX_VALUE) if self.datatype & Datatype.SNAPPY else value


def items_of(frame: Frame, *, ids_only: bool) -> Iterator[Item]:
    """Return the items of one answer to a Continue.

    Raises ProtocolError if they are not what was asked for, or one is cut short.
    """
    value = frame.value
    if not value:
        return
    wanted = KEYS if ids_only else DOCUMENTS
    if int.from_bytes(frame.extras) != wanted or len(frame.extras) != 4:
        raise ProtocolError("a range scan's answer does not have what was asked for")
    value, at = body(frame), 0
    while at < len(value):
        if ids_only:
            key, at = _part(value, at, MAX_KEY)
            yield Item(key)
            continue
        if at + _HEAD.size > len(value):
            raise _cut()
        flags, expiry, _, cas, datatype = _HEAD.unpack_from(value, at)
        key, at = _part(value, at + _HEAD.size, MAX_KEY)
        content, at = _part(value, at, MAX_VALUE)
        yield Item(key, content, datatype, flags, expiry, cas)


def _part(data: bytes, at: int, most: int) -> tuple[bytes, int]:
    """Return what is at *at* behind its length, and where the next begins."""
    try:
        length, start = decode_leb128(data, at)
    except ProtocolError as error:
        raise _cut() from error
    end = start + length
    if end > len(data) or length > most:
        raise _cut()
    return data[start:end], end


def _cut() -> ProtocolError:
    return ProtocolError("an answer of a range scan ends within an item, or an item is too long")
