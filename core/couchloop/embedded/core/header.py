"""What every request must fulfil before it is looked at: header fields and framing extras.

The texts are the real server's: clients see them as the context of an error.
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.core.answers import Refusal, invalid
from couchloop.embedded.core.command import Command
from couchloop.embedded.core.request import Durability, Request
from couchloop.exceptions import ProtocolError
from couchloop.wire.constants import COLLECTION_OPCODES, Datatype, Feature, Status
from couchloop.wire.framing import decode_framing
from couchloop.wire.keys import decode_leb128

BARRIER: Final = 0
_DURABILITY: Final = 1
_STREAM_ID: Final = 2
_IMPERSONATE: Final = 4
_PRESERVE_TTL: Final = 5

_DATATYPES: Final = (
    ("snappy", Datatype.SNAPPY, Feature.SNAPPY),
    ("json", Datatype.JSON, Feature.JSON),
    ("xattr", Datatype.XATTR, Feature.XATTR),
)
_ALL_DATATYPES: Final = Datatype.JSON | Datatype.SNAPPY | Datatype.XATTR
_MAX_KEY: Final = 250
_MAX_KEY_FIELD: Final = 251
_MAX_KEY_IN_COLLECTION: Final = 246
_FIRST_COLLECTION: Final = 8
_DURABILITY_LENGTHS: Final = (1, 3)
_LEVELS: Final = (1, 2, 3)
_INFINITE: Final = 0xFFFF


def check_header(request: Request, command: Command) -> None:
    """Check a request's header and take its key apart. Raises Refusal."""
    frame = request.frame
    if frame.datatype > _ALL_DATATYPES:
        raise invalid("Request datatype invalid")
    _check_extras(len(frame.extras), command.extras)
    if command.key is not None and bool(frame.key) is not command.key:
        raise invalid(f"Request must {'' if command.key else 'not '}include key")
    if isinstance(command.value, bool):
        if bool(frame.value) is not command.value:
            raise invalid(f"Request must {'' if command.value else 'not '}include value")
    elif command.value is not None and len(frame.value) != command.value:
        raise invalid(f"Request value must be of length {command.value}")
    if command.cas is not None and bool(frame.cas) is not command.cas:
        raise invalid(f"Request CAS must {'' if command.cas else 'not '}be set")
    if frame.datatype & ~command.datatype:
        raise invalid("Request datatype invalid")
    if frame.datatype:
        _check_enabled(request)
    request.key = frame.key
    request.state = command.state
    if frame.opcode in COLLECTION_OPCODES:
        request.collection_id, request.key = split_key(
            frame.key, collections=request.has(Feature.COLLECTIONS)
        )
    elif len(frame.key) > _MAX_KEY and command.key is not False:
        raise invalid(f"Key length exceeds {_MAX_KEY}")
    if command.check is not None:
        command.check(request)


def _check_extras(length: int, allowed: int | tuple[int, ...] | None) -> None:
    if allowed is None:
        return
    if isinstance(allowed, tuple):
        if length not in allowed:
            lengths = " or ".join(map(str, allowed))
            raise invalid(f"Request extras must be of length {lengths}")
    elif length != allowed:
        raise invalid(
            f"Request must include extras of length {allowed}"
            if allowed
            else "Request must not include extras"
        )


def _check_enabled(request: Request) -> None:
    names = [
        name
        for name, bit, feature in _DATATYPES
        if request.frame.datatype & bit and not request.has(feature)
    ]
    if names:
        raise invalid(f"Datatype ({','.join(names)}) not enabled for the connection")


def split_key(field: bytes, *, collections: bool) -> tuple[int, bytes]:
    """Return collection id and logical key of a key field that is not empty. Raises Refusal."""
    if not collections:
        if len(field) > _MAX_KEY:
            raise invalid(f"Key length exceeds {_MAX_KEY}")
        return 0, field
    if len(field) > _MAX_KEY_FIELD:
        raise invalid(f"Key length exceeds {_MAX_KEY_FIELD}")
    if len(field) == 1:
        raise invalid("Key length must be >= 2")
    if not field[0]:
        return 0, field[1:]
    try:
        collection_id, start = decode_leb128(field)
    except ProtocolError:
        stops = [byte < 0x80 for byte in field[:5]]
        raise invalid(
            "Key contains non-canonical leb128" if any(stops) else "No stop-byte found"
        ) from None
    if 0 < collection_id < _FIRST_COLLECTION:
        raise invalid(f"Invalid collection-id:{collection_id}")
    if start == len(field):
        raise invalid("No logical key found")
    if len(field) - start > _MAX_KEY_IN_COLLECTION:
        raise invalid(f"Logical key exceeds {_MAX_KEY_IN_COLLECTION}")
    return collection_id, field[start:]


def check_no_vbucket(request: Request) -> None:
    """Check that no vbucket is named where there can be none."""
    if request.frame.vbucket:
        raise invalid("Request vbucket id must be 0")


def check_framing(request: Request, command: Command) -> None:
    """Read a request's framing extras. Raises Refusal."""
    if not request.frame.framing:
        return
    try:
        items = decode_framing(request.frame.framing)
    except ProtocolError:
        raise invalid("Invalid encoding in FrameExtras") from None
    for identifier, payload in items:
        if identifier == BARRIER:
            if payload:
                raise invalid("Barrier should not contain value")
            request.barrier = True
        elif identifier == _DURABILITY:
            request.durability = _durability(payload, command)
        elif identifier == _IMPERSONATE:
            if not payload.removeprefix(b"^"):
                raise invalid("Username must be at least one character")
            request.require("Impersonate", here=False)
        elif identifier == _PRESERVE_TTL:
            if payload:
                raise invalid("PreserveTtl should not contain value")
            if not command.preserves_ttl:
                raise Refusal(Status.NOT_SUPPORTED, "This command does not support PreserveTtl")
            request.preserve_ttl = True
        elif identifier != _STREAM_ID:
            raise Refusal(Status.UNKNOWN_FRAME_INFO)


def _durability(payload: bytes, command: Command) -> Durability:
    if command.durable is None:
        raise invalid("The requested command does not support durability requirements")
    if len(payload) not in _DURABILITY_LENGTHS:
        raise invalid(f"Invalid sized buffer provided: {len(payload)}")
    level = payload[0]
    if level not in _LEVELS:
        raise _bad_requirement("Content represents an invalid requirement specification")
    timeout = int.from_bytes(payload[1:]) if payload[1:] else None
    if timeout == 0:
        raise _bad_requirement("Timeout(): Cannot specify bucket default timeout")
    if timeout == _INFINITE:
        raise _bad_requirement("Timeout(): Cannot specify an infinite timeout")
    if not command.durable:
        raise Refusal(Status.NOT_SUPPORTED)
    return Durability(level, None if timeout is None else timeout / 1000)


def _bad_requirement(context: str) -> Refusal:
    return Refusal(Status.DURABILITY_INVALID_LEVEL, context, early=True)
