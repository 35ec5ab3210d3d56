"""The key-value wire protocol: opcodes, statuses, features, framing extras, keys, compression.

Nothing here knows a connection, a session or a loop.
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
from couchloop.wire.framing import (
    decode_framing,
    encode_framing,
    encode_server_duration,
    server_duration,
)
from couchloop.wire.keys import decode_leb128, encode_leb128

__all__ = [
    "COLLECTION_OPCODES",
    "Datatype",
    "Feature",
    "Magic",
    "Opcode",
    "ServerOpcode",
    "Status",
    "decode_framing",
    "decode_leb128",
    "encode_framing",
    "encode_leb128",
    "encode_server_duration",
    "server_duration",
]
