"""The key-value wire protocol: frames, opcodes, statuses, features, keys and compression.

Nothing here knows a connection, a session or a loop: bytes become :class:`Frame` values and
values become bytes.
"""

from couchloop.wire.constants import (
    COLLECTION_OPCODES,
    Datatype,
    Feature,
    Magic,
    Opcode,
    ServerOpcode,
    Status,
)
from couchloop.wire.frames import (
    HEADER,
    MAX_BODY,
    Frame,
    FrameDecoder,
    RequestFrame,
    ResponseFrame,
    decode_framing,
    encode_framing,
    encode_request,
    encode_response,
    encode_server_duration,
    server_duration,
)
from couchloop.wire.keys import decode_leb128, encode_leb128

__all__ = [
    "COLLECTION_OPCODES",
    "HEADER",
    "MAX_BODY",
    "Datatype",
    "Feature",
    "Frame",
    "FrameDecoder",
    "Magic",
    "Opcode",
    "RequestFrame",
    "ResponseFrame",
    "ServerOpcode",
    "Status",
    "decode_framing",
    "decode_leb128",
    "encode_framing",
    "encode_leb128",
    "encode_request",
    "encode_response",
    "encode_server_duration",
    "server_duration",
]
