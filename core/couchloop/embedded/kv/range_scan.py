"""Range scans of one vbucket: created, gone on with piece by piece, cancelled."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from couchloop.embedded.core.answers import Answer, NotYet, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import shown_value
from couchloop.embedded.storage.scan import LIFETIME, Item, Scan, sample
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.wire.constants import Datatype, Status
from couchloop.wire.keys import encode_leb128

_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{1,8}")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_MAX_KEY: Final = 250
_MAX_NAME: Final = 50
_MAX_U64: Final = 2**64
_UUID: Final = 16
_PIECE: Final = 8192
"""Bytes after which the items read so far are sent."""
_SPURT: Final = 32
"""Pieces that are read without a look at the other connections."""
_PARSE_ERROR: Final = (
    "Failed nlohmann::json::parse [json.exception.parse_error.101] parse error at line 1, column "
)


_T = TypeVar("_T")


class _WrongTypeError(Exception):
    """A member of the request is of a type for which a real server gives up the connection."""


@dataclass(slots=True)
class _Snapshot:
    """What the client wants the scan to contain."""

    vbucket_uuid: int
    seqno: int
    timeout: float
    """Seconds to wait for it."""


@dataclass(slots=True)
class _Order:
    """A request for a scan, read."""

    collection_id: int
    keys_only: bool
    start: bytes = b""
    end: bytes | None = None
    """None: to the last key."""
    includes_start: bool = True
    includes_end: bool = True
    samples: int | None = None
    seed: int = 0
    snapshot: _Snapshot | None = None

    def holds(self, key: bytes) -> bool:
        """Whether a key is within the range."""
        if key < self.start or (key == self.start and not self.includes_start):
            return False
        return self.end is None or key < self.end or (key == self.end and self.includes_end)


# --- RANGE_SCAN_CREATE --------------------------------------------------------------------------


def check_range_scan(request: Request) -> None:
    """Check the request's datatype."""
    if request.frame.datatype != Datatype.JSON:
        raise invalid("Datatype must be JSON")


def create(request: Request) -> Answer | None:
    """RANGE_SCAN_CREATE (0xda): the answer is the scan's uuid."""
    try:
        order = _read(request.frame.value)
    except _WrongTypeError:
        request.connection.close()
        return None
    vbucket = request.vbucket()
    if request.bucket.ephemeral:
        raise Refusal(Status.NOT_SUPPORTED)
    _check_rights(request, order.collection_id)
    snapshot = order.snapshot
    if snapshot is None:
        return _begin(request, vbucket, order)
    if snapshot.vbucket_uuid != vbucket.uuid:
        raise Refusal(Status.VB_UUID_NOT_EQUAL)
    deadline = request.now + snapshot.timeout
    wanted = snapshot.seqno

    def resume() -> Answer:
        # The vbucket may have gone elsewhere meanwhile.
        found = request.vbucket()
        if found.persisted() >= wanted:
            return _begin(request, found, order)
        if request.now >= deadline:
            raise Refusal(Status.ETMPFAIL)
        raise NotYet

    def next_look() -> float:
        persisted = vbucket.next_persisted()
        return deadline if persisted is None else min(deadline, persisted)

    request.resume, request.next_look = resume, next_look
    return resume()


def _check_rights(request: Request, collection_id: int) -> None:
    user, name = request.connection.user, request.bucket.name
    if user is None or not user.may_in_bucket("RangeScan", name):
        raise Refusal(
            Status.EACCESS,
            f"RangeScan vb:{request.frame.vbucket} 00000000-0000-0000-0000-000000000000 createScan "
            "hasPrivilege returned failure: no access",
            reference=True,
        )
    if collection_id not in request.manifest.collections:
        raise request.unknown_collection()


def _begin(request: Request, vbucket: VBucket, order: _Order) -> Answer:
    """Begin a scan of what is on the disk."""
    wall = request.wall
    items: list[Item] = sorted(
        (
            (key, document)
            for (collection_id, key), document in vbucket.on_disk().items()
            if collection_id == order.collection_id
            and not document.deleted
            and not 0 < document.expiry <= wall
            and order.holds(key)
        ),
        key=lambda item: item[0],
    )
    uuid = request.cluster.generator.randbytes(_UUID)
    if not items:
        text = uuid.hex()
        parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        raise Refusal(
            Status.KEY_ENOENT,
            f"RangeScan vb:{vbucket.number} {'-'.join(parts)} tryAndScanOneKey no keys in range: "
            "no such key",
        )
    if order.samples is not None:
        items = sample(items, order.samples, order.seed)
    vbucket.scans[uuid] = Scan(order.collection_id, items, order.keys_only, request.now + LIFETIME)
    return Answer(value=uuid)


# --- RANGE_SCAN_CONTINUE ------------------------------------------------------------------------


def go_on(request: Request) -> Iterable[Answer] | None:
    """RANGE_SCAN_CONTINUE (0xdb): pieces of the scan, up to the limits; the last says how it is."""
    vbucket, extras = request.vbucket(), request.frame.extras
    scan = _find(request, vbucket)
    if scan.running:
        # The real server takes this for a broken client.
        request.connection.close()
        return None
    _check_rights(request, scan.collection_id)
    run = _Run(
        request,
        vbucket,
        scan,
        items=int.from_bytes(extras[16:20]),
        # The byte limit has no effect: see the recordings.
        seconds=int.from_bytes(extras[20:24]) / 1000,
    )
    request.resume, request.abandon = run.go_on, run.abandon
    request.next_look = lambda: request.now
    return run.go_on()


class _Run:
    """A scan while a client waits for more of it: other connections have their turn in between."""

    def __init__(
        self, request: Request, vbucket: VBucket, scan: Scan, *, items: int, seconds: float
    ) -> None:
        self._request = request
        self._vbucket = vbucket
        self._scan = scan
        self._uuid = request.frame.extras[:_UUID]
        self._left = items or None
        self._until = request.now + seconds if seconds else None
        scan.running = True

    def go_on(self) -> list[Answer]:
        """Return the last pieces. Raises NotYet with some pieces, Refusal once it is cancelled."""
        scan = self._scan
        if scan.cancelled or self._vbucket.scans.get(self._uuid) is not scan:
            raise Refusal(Status.RANGE_SCAN_CANCELLED)
        pieces: list[Answer] = []
        piece = bytearray()
        for item in scan.rest():
            piece += _encode(self._request, item, keys_only=scan.keys_only)
            if self._left is not None:
                self._left -= 1
            if self._left == 0 or self._timed_out():
                return [*pieces, self._end(Status.RANGE_SCAN_MORE, piece)]
            if len(piece) >= _PIECE:
                pieces.append(self._answer(Status.SUCCESS, piece))
                piece.clear()
                if len(pieces) >= _SPURT and not scan.at_end:
                    raise NotYet(pieces)
        del self._vbucket.scans[self._uuid]
        return [*pieces, self._end(Status.RANGE_SCAN_COMPLETE, piece)]

    def abandon(self) -> None:
        """Abort the scan: its client went away while it was running."""
        self._scan.running = False
        self._scan.cancelled = True
        self._vbucket.scans.pop(self._uuid, None)

    def _timed_out(self) -> bool:
        return self._until is not None and self._request.now >= self._until

    def _end(self, status: Status, piece: bytearray) -> Answer:
        self._scan.running = False
        return self._answer(status, piece)

    def _answer(self, status: Status, piece: bytearray) -> Answer:
        kind = 0 if self._scan.keys_only else 1
        return Answer(extras=kind.to_bytes(4), value=bytes(piece), status=status)


def _encode(request: Request, item: Item, *, keys_only: bool) -> bytes:
    key, document = item
    named = encode_leb128(len(key)) + key
    if keys_only:
        return named
    # Of the value only: xattrs are not scanned.
    value, datatype = shown_value(request, document)
    return (
        document.flags.to_bytes(4)
        + document.expiry.to_bytes(4)
        + document.seqno.to_bytes(8)
        + document.cas.to_bytes(8)
        + datatype.to_bytes(1)
        + named
        + encode_leb128(len(value))
        + value
    )


# --- RANGE_SCAN_CANCEL --------------------------------------------------------------------------


def cancel(request: Request) -> Answer:
    """RANGE_SCAN_CANCEL (0xdc): also one that runs on another connection, which is told."""
    vbucket = request.vbucket()
    scan = _find(request, vbucket)
    scan.cancelled = True
    del vbucket.scans[request.frame.extras[:_UUID]]
    return Answer()


def _find(request: Request, vbucket: VBucket) -> Scan:
    scan = vbucket.scans.get(request.frame.extras[:_UUID])
    if scan is None:
        raise Refusal(Status.KEY_ENOENT)
    if scan.ends <= request.now and not scan.running:
        del vbucket.scans[request.frame.extras[:_UUID]]
        raise Refusal(Status.KEY_ENOENT)
    return scan


# --- the JSON of a request ----------------------------------------------------------------------


def _read(value: bytes) -> _Order:
    """Read a request for a scan. Raises Refusal or _WrongTypeError."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        raise invalid(_parse_error(value)) from None
    if not isinstance(document, dict):
        # A list has no members, so this is the whole collection.
        document = {}
    order = _Order(
        _collection_id(_typed(document, "collection", str, "0")),
        _typed(document, "key_only", bool, default=False),
    )
    if len(_typed(document, "name", str, "").encode("utf-8", "replace")) > _MAX_NAME:
        raise invalid(f"name exceeds {_MAX_NAME} bytes")
    if "range" in document and "sampling" in document:
        raise Refusal(Status.EINVAL)
    if "range" in document:
        _read_range(order, _typed(document, "range", dict))
    if "sampling" in document:
        sampling = _typed(document, "sampling", dict)
        order.samples, order.seed = _unsigned(sampling, "samples"), _unsigned(sampling, "seed")
    if "snapshot_requirements" in document:
        wanted = _typed(document, "snapshot_requirements", dict)
        uuid = _typed(wanted, "vb_uuid", str)
        if not _DECIMAL.fullmatch(uuid):
            raise _WrongTypeError
        milliseconds = _unsigned(wanted, "timeout_ms", 0)
        order.snapshot = _Snapshot(int(uuid), _unsigned(wanted, "seqno"), milliseconds / 1000)
    return order


def _read_range(order: _Order, document: dict[str, Any]) -> None:
    order.start, order.includes_start = _bound(document, "start")
    order.end, order.includes_end = _bound(document, "end")
    if max(len(order.start), len(order.end)) > _MAX_KEY:
        raise invalid(f"invalid key size in range start:{len(order.start)}, end:{len(order.end)}")


def _bound(document: dict[str, Any], name: str) -> tuple[bytes, bool]:
    """Return a bound of the range, and whether it belongs to it."""
    exclusive = f"excl_{name}"
    if name in document and exclusive in document:
        raise invalid(f"range included both {name} and {exclusive}")
    if name not in document and exclusive not in document:
        raise invalid(f"range did not include {name} or {exclusive}")
    member = name if name in document else exclusive
    text = document[member]
    if not isinstance(text, str):
        raise invalid(f"wrong type for key:{member}, {json.dumps(text)}")
    try:
        return b64decode(text, validate=True), member == name
    except ValueError:
        raise _WrongTypeError from None


def _collection_id(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise invalid("Invalid formatting of the collection field")
    return int(text, 16)


def _typed(document: dict[str, Any], name: str, kind: type[_T], default: _T | None = None) -> _T:
    value = document.get(name, default)
    if not isinstance(value, kind):
        raise _WrongTypeError
    return value


def _unsigned(document: dict[str, Any], name: str, default: int | None = None) -> int:
    number = _typed(document, name, int, default)
    if isinstance(number, bool) or not 0 <= number < _MAX_U64:
        raise _WrongTypeError
    return number


def _parse_error(value: bytes) -> str:
    """Return what a real server says of a text that is no JSON, where that is known."""
    column = len(value) + 1
    if value.strip() == b"{":
        what = "object key - unexpected end of input; expected string literal"
    else:
        what = "value - unexpected end of input; expected '[', '{', or a literal"
    return f"{_PARSE_ERROR}{column}: syntax error while parsing {what}"
