"""Operations that are known, and not done: those of administrators and of replication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.command import Command, plain
from couchloop.embedded.core.header import split_key
from couchloop.embedded.core.request import Request
from couchloop.wire.constants import Feature, Status


def _not_supported(_: Request) -> Answer:
    raise Refusal(Status.NOT_SUPPORTED)


def _check_get_keys(request: Request) -> None:
    # Its key is prefixed like a document's, though clients do not count it among those.
    request.collection_id, request.key = split_key(
        request.frame.key, collections=request.has(Feature.COLLECTIONS)
    )


def _refuses_with(context: str) -> Callable[[Request], None]:
    def check(_: Request) -> None:
        raise Refusal(Status.EINVAL, context)

    return check


def _check_new_configuration(request: Request) -> None:
    extras = request.frame.extras
    if int.from_bytes(extras[8:], signed=True) < 1 or int.from_bytes(extras[:8], signed=True) < 1:
        raise Refusal(Status.EINVAL, "Revision number must not be less than 1")


def _refused(name: str, **rules: object) -> Command:
    """Return an operation of which only the header's rules and the privilege are true here."""
    return plain(name, _not_supported, **({"key": None, "value": None} | rules))


# Operations of administrators and of replication. Names matter: they stand in refusals.
_SUPERVISED: Final = {
    0x08: "FLUSH",
    0x18: "FLUSHQ",
    0x26: "CONFIG_RELOAD",
    0x28: "AUDIT_CONFIG_RELOAD",
    0x3F: "DEL_VBUCKET",
    0x8A: "PAUSE_BUCKET",
    0x8B: "RESUME_BUCKET",
    0xAD: "ENABLE_TRAFFIC",
    0xAE: "DISABLE_TRAFFIC",
    0xF1: "ISASL_REFRESH",
    0xF2: "SSL_CERTS_REFRESH",
    0xF5: "GET_CTRL_TOKEN",
    0xF7: "RBAC_REFRESH",
    0xF8: "AUTH_PROVIDER",
}
_ADMINISTRATED: Final = {
    0x80: "STOP_PERSISTENCE",
    0x81: "START_PERSISTENCE",
    0xF0: "SCRUB",
}
_RETIRED: Final = bytes.fromhex(
    "2a2c303132333435363738393a3b3c40414243444546475a979e9fa6a7aaacb0b1c1c2"
)
_WITH_KEY: Final = bytes.fromhex("23245e8586a1a2a3a4a5a8a9affb")
_WITH_VALUE: Final = bytes.fromhex("25f6")
_WITH_EXTRAS: Final = {
    1: "5bf3",
    2: "2b",
    4: "2751555d82",
    8: "5061b7f4",
    9: "fc",
    12: "b2fd",
    13: "5f",
    16: "6263",
    20: "59",
    21: "58",
    24: "b3",
    31: "5760",
    48: "53",
}
_FOR_DCP: Final = b"\x52\x54\x5c"
_DCP_ONLY: Final = "The command can only be sent on a DCP connection"
_VBUCKET_FORMAT: Final = "Invalid format. Use 1 byte state in extras and an optional JSON value"
_SUPERVISOR: Final = ("NodeSupervisor",)
_ADMINISTRATOR: Final = ("Administrator",)

UNSUPPORTED: Final[dict[int, Command]] = {
    **{code: _refused(name, privileges=_SUPERVISOR) for code, name in _SUPERVISED.items()},
    **{code: _refused(name, privileges=_ADMINISTRATOR) for code, name in _ADMINISTRATED.items()},
    **{code: _refused(f"0x{code:02x}", extras=None) for code in _RETIRED},
    **{code: _refused(f"0x{code:02x}", extras=None, key=True) for code in _WITH_KEY},
    **{code: _refused(f"0x{code:02x}", extras=None, value=True) for code in _WITH_VALUE},
    **{
        code: _refused(f"0x{code:02x}", extras=length)
        for length, codes in _WITH_EXTRAS.items()
        for code in bytes.fromhex(codes)
    },
    **{
        code: _refused(f"0x{code:02x}", extras=None, check=_refuses_with(_DCP_ONLY))
        for code in _FOR_DCP
    },
    0x1B: _refused("VERBOSITY", extras=4, privileges=_ADMINISTRATOR),
    0x29: _refused("0x29", extras=None, cas=True),
    0x3D: _refused("SET_VBUCKET", extras=None, check=_refuses_with(_VBUCKET_FORMAT)),
    0x56: _refused("0x56", extras=None, check=_refuses_with("")),
    0x93: _refused("EVICT_KEY", key=True, privileges=_ADMINISTRATOR),
    0xB4: _refused(
        "SET_CLUSTER_CONFIG",
        extras=16,
        check=_check_new_configuration,
        privileges=_SUPERVISOR,
    ),
    0xB8: Command("GET_KEYS", _not_supported, extras=None, check=_check_get_keys),
}
"""By opcode."""
