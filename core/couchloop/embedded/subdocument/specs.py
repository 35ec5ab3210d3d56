"""What a sub-document request asks: its paths, and what can never work."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from enum import IntFlag
from typing import Final, NamedTuple

from couchloop.embedded.core.answers import Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.vbucket import State
from couchloop.embedded.subdocument import virtual
from couchloop.wire.constants import Feature, Opcode, Status

MAX_PATHS: Final = 16
BINARY_PREFIX: Final = "cb-content-base64-encoded:"
"""What the text of a binary xattr begins with."""
_MAX_PATH: Final = 1024
_MAX_XATTR_KEY: Final = 15
_XATTR_KEY: Final = re.compile(r"(?:[_$]\w|[^\W_])[^.\[`]*")
_SINGLE_EXTRAS: Final = (3, 4, 7, 8)


class Spec(NamedTuple):
    """One path of a sub-document operation."""

    opcode: Opcode
    flags: int
    path: bytes
    value: bytes


class Plan(NamedTuple):
    """What a sub-document operation is to do."""

    specs: tuple[Spec, ...]
    flags: int
    expiry: int
    multi: bool


class PathFlag(IntFlag):
    """Flags of one path."""

    CREATE_PARENTS = 0x01
    XATTR = 0x04
    EXPAND_MACROS = 0x10
    BINARY = 0x20


class DocFlag(IntFlag):
    """Flags of the whole operation."""

    MAKE = 0x01
    ADD = 0x02
    ACCESS_DELETED = 0x04
    CREATE_AS_DELETED = 0x08
    REVIVE = 0x10
    REPLICA = 0x20


_ALL_DOC_FLAGS: Final = 0x3F
_LOOKUP_DOC_FLAGS: Final = int(DocFlag.ACCESS_DELETED | DocFlag.REPLICA)
CREATES: Final = DocFlag.MAKE | DocFlag.ADD


class _Rule(NamedTuple):
    """What a path operation takes."""

    edits: bool
    path: bool | None
    """Whether there must be one; None: as the client likes."""
    value: bool | None
    flags: int


# As plain numbers: the complement of an IntFlag leaves unknown bits out.
_X: Final = int(PathFlag.XATTR)
_XB: Final = int(PathFlag.XATTR | PathFlag.BINARY)
_XM: Final = int(PathFlag.XATTR | PathFlag.EXPAND_MACROS)
_CXM: Final = int(PathFlag.CREATE_PARENTS | _XM)

_RULES: Final = {
    Opcode.SUBDOC_GET: _Rule(edits=False, path=True, value=False, flags=_XB),
    Opcode.SUBDOC_EXISTS: _Rule(edits=False, path=True, value=False, flags=_XB),
    Opcode.SUBDOC_GET_COUNT: _Rule(edits=False, path=None, value=False, flags=_XB),
    Opcode.GET: _Rule(edits=False, path=False, value=False, flags=0),
    Opcode.SUBDOC_DICT_ADD: _Rule(edits=True, path=True, value=True, flags=_CXM | _XB),
    Opcode.SUBDOC_DICT_UPSERT: _Rule(edits=True, path=True, value=True, flags=_CXM | _XB),
    Opcode.SUBDOC_DELETE: _Rule(edits=True, path=True, value=False, flags=_X),
    Opcode.SUBDOC_REPLACE: _Rule(edits=True, path=True, value=True, flags=_XM | _XB),
    Opcode.SUBDOC_ARRAY_PUSH_LAST: _Rule(edits=True, path=None, value=True, flags=_CXM),
    Opcode.SUBDOC_ARRAY_PUSH_FIRST: _Rule(edits=True, path=None, value=True, flags=_CXM),
    Opcode.SUBDOC_ARRAY_INSERT: _Rule(edits=True, path=True, value=True, flags=_XM),
    Opcode.SUBDOC_ARRAY_ADD_UNIQUE: _Rule(edits=True, path=None, value=True, flags=_CXM),
    Opcode.SUBDOC_COUNTER: _Rule(
        edits=True, path=True, value=True, flags=int(PathFlag.CREATE_PARENTS | _X)
    ),
    Opcode.SUBDOC_REPLACE_BODY_WITH_XATTR: _Rule(edits=True, path=True, value=False, flags=_XB),
    Opcode.SET: _Rule(edits=True, path=False, value=None, flags=0),
    Opcode.DELETE: _Rule(edits=True, path=False, value=False, flags=0),
}


MAKES_NOTHING: Final = frozenset(
    {Opcode.SUBDOC_DELETE, Opcode.SUBDOC_REPLACE, Opcode.SUBDOC_ARRAY_INSERT}
)
MAKES_ARRAY: Final = frozenset(
    {
        Opcode.SUBDOC_ARRAY_PUSH_LAST,
        Opcode.SUBDOC_ARRAY_PUSH_FIRST,
        Opcode.SUBDOC_ARRAY_ADD_UNIQUE,
    }
)


def plan_of(request: Request) -> Plan:
    """Return what the header's check has made of a request."""
    plan = request.plan
    assert isinstance(plan, Plan), "the header was checked"
    return plan


def check_single(request: Request) -> None:
    """Read a single-path request. Raises Refusal."""
    frame = request.frame
    extras = frame.extras
    opcode = Opcode(frame.opcode)
    doc_flags = extras[-1] if len(extras) in {4, 8} else 0
    if len(extras) not in _SINGLE_EXTRAS or doc_flags & ~_ALL_DOC_FLAGS:
        raise invalid("Invalid extras section")
    length, flags = int.from_bytes(extras[:2]), extras[2]
    if length > len(frame.value):
        raise invalid("Path length can't exceed value")
    spec = Spec(opcode, flags, frame.value[:length], frame.value[length:])
    _check_spec(request, spec)
    edits = _RULES[opcode].edits
    if len(extras) in {7, 8} and not edits:
        raise invalid("Request extras invalid")
    if opcode == Opcode.SUBDOC_REPLACE_BODY_WITH_XATTR and not flags & PathFlag.XATTR:
        raise invalid("Request missing mandatory flags")
    if opcode in MAKES_NOTHING:
        # An add is found out later (and badly), but for a deletion.
        refused = CREATES if opcode == Opcode.SUBDOC_DELETE else DocFlag.MAKE
        if doc_flags & refused:
            raise invalid("Request document flags invalid")
    _check_doc_flags(request, doc_flags, edits=edits)
    if doc_flags & DocFlag.CREATE_AS_DELETED and not flags & PathFlag.XATTR:
        raise invalid("CreateAsDeleted does not support body path")
    expiry = int.from_bytes(extras[3:7]) if len(extras) in {7, 8} else 0
    request.plan = Plan((spec,), doc_flags, expiry, multi=False)


def check_multi(request: Request) -> None:
    """Read a multi-path request. Raises Refusal."""
    frame = request.frame
    edits = frame.opcode == Opcode.SUBDOC_MULTI_MUTATION
    lengths = (0, 1, 4, 5) if edits else (0, 1)
    extras = frame.extras
    doc_flags = extras[-1] if len(extras) in {1, 5} else 0
    if len(extras) not in lengths or doc_flags & ~_ALL_DOC_FLAGS:
        raise invalid("Request extras invalid")
    _check_doc_flags(request, doc_flags, edits=edits)
    specs = tuple(_read_specs(frame.value, edits=edits))
    if not specs:
        raise Refusal(Status.SUBDOC_INVALID_COMBO, "Request must contain at least one path")
    body_seen = False
    for spec in specs:
        _check_spec(request, spec)
        if not spec.flags & PathFlag.XATTR:
            body_seen = True
        elif body_seen:
            raise Refusal(Status.SUBDOC_INVALID_XATTR_ORDER)
    body = [spec for spec in specs if not spec.flags & PathFlag.XATTR]
    if any(spec.opcode == Opcode.DELETE for spec in body) and len(body) > 1:
        raise Refusal(
            Status.SUBDOC_INVALID_COMBO, "Request contains an invalid combination of commands"
        )
    if doc_flags & DocFlag.ACCESS_DELETED and any(spec.opcode == Opcode.SET for spec in body):
        raise invalid("Request document flags invalid")
    expiry = int.from_bytes(extras[:4]) if len(extras) in {4, 5} else 0
    request.plan = Plan(specs, doc_flags, expiry, multi=True)


def _read_specs(data: bytes, *, edits: bool) -> list[Spec]:
    specs: list[Spec] = []
    at, head = 0, 8 if edits else 4
    name = "mutation" if edits else "lookup"
    while at < len(data):
        if len(specs) == MAX_PATHS:
            raise Refusal(
                Status.SUBDOC_INVALID_COMBO, f"Request must contain at most {MAX_PATHS} paths"
            )
        if len(data) - at < head:
            raise invalid(f"Multi {name} spec truncated")
        rule = _RULES.get(data[at])  # type: ignore[call-overload]
        if rule is None:
            raise Refusal(
                Status.SUBDOC_INVALID_COMBO, "Subdoc and MCBP command must not both be invalid"
            )
        if rule.edits is not edits:
            raise Refusal(
                Status.SUBDOC_INVALID_COMBO,
                "Mutation opcodes only permitted for mutation commands",
            )
        path_end = at + head + int.from_bytes(data[at + 2 : at + 4])
        end = path_end + (int.from_bytes(data[at + 4 : at + 8]) if edits else 0)
        if end > len(data):
            raise invalid(f"Multi {name} path {'and value ' if edits else ''}truncated")
        specs.append(
            Spec(Opcode(data[at]), data[at + 1], data[at + head : path_end], data[path_end:end])
        )
        at = end
    return specs


def _check_doc_flags(request: Request, flags: int, *, edits: bool) -> None:
    if not edits:
        if flags & ~_LOOKUP_DOC_FLAGS:
            raise invalid("Request document flags invalid")
        if flags & DocFlag.REPLICA:
            if flags & DocFlag.ACCESS_DELETED:
                raise invalid("Can't access deleted documents on replicas")
            request.state = State.REPLICA
        return
    if flags & DocFlag.REPLICA:
        raise invalid("Request document flags invalid")
    if flags & DocFlag.MAKE and flags & DocFlag.ADD:
        raise invalid("Request must not contain both add and mkdoc flags")
    if flags & DocFlag.ADD and request.frame.cas:
        raise invalid("Request with add flag must have CAS 0")
    if flags & DocFlag.REVIVE:
        if flags & DocFlag.CREATE_AS_DELETED:
            raise invalid("ReviveDocument can't be used with CreateAsDeleted")
        if not flags & DocFlag.ACCESS_DELETED:
            raise invalid("ReviveDocument can't be used without AccessDeleted")


def _check_spec(request: Request, spec: Spec) -> None:
    rule = _RULES[spec.opcode]
    if len(spec.path) > _MAX_PATH:
        raise invalid("Request path length exceeds maximum")
    if spec.path and rule.path is False:
        raise invalid("Request must not include path for wholedoc operations")
    if rule.path and not spec.path and not spec.flags & PathFlag.XATTR:
        raise invalid("Request must include path")
    if rule.value is not None and bool(spec.value) is not rule.value:
        raise invalid(f"Request must {'' if rule.value else 'not '}include value")
    # Macros and binary values are taken for what they are even where they cannot be.
    known = rule.flags | (_XM | _XB if rule.edits and rule.value else 0)
    if spec.flags & ~known:
        raise invalid("Request flags invalid")
    for flag in (PathFlag.EXPAND_MACROS, PathFlag.BINARY):
        if spec.flags & flag and not spec.flags & PathFlag.XATTR:
            name = "EXPAND_MACROS" if flag is PathFlag.EXPAND_MACROS else "BINARY_VALUE"
            raise Refusal(
                Status.SUBDOC_XATTR_INVALID_FLAG_COMBO,
                f"{name} flag requires XATTR flag to be set",
            )
    if spec.flags & PathFlag.EXPAND_MACROS and spec.flags & PathFlag.BINARY:
        raise Refusal(
            Status.SUBDOC_XATTR_INVALID_FLAG_COMBO,
            "BINARY_VALUE can't be used together with EXPAND_MACROS",
        )
    if spec.flags & ~rule.flags:
        raise invalid("Request flags invalid")
    if spec.flags & PathFlag.XATTR:
        _check_xattr(request, spec, edits=rule.edits)


def _check_xattr(request: Request, spec: Spec, *, edits: bool) -> None:
    if not request.has(Feature.XATTR):
        raise Refusal(Status.NOT_SUPPORTED, "Connection not XATTR enabled")
    name = xattr_key(spec.path)
    if name is None:
        raise Refusal(Status.XATTR_EINVAL, "Request XATTR key invalid")
    if edits and name.startswith("$"):
        raise Refusal(Status.SUBDOC_XATTR_CANT_MODIFY_VATTR)
    if spec.flags & PathFlag.EXPAND_MACROS and virtual.macro(spec.value) is None:
        raise Refusal(Status.SUBDOC_XATTR_UNKNOWN_MACRO)
    if edits and spec.value.startswith(f'"{BINARY_PREFIX}'.encode()):
        try:
            b64decode(spec.value[len(BINARY_PREFIX) + 1 : -1], validate=True)
        except Base64Error:
            raise Refusal(Status.XATTR_EINVAL, "cb::base64::decode invalid input") from None


def xattr_key(path: bytes) -> str | None:
    """Return the X-key that a path begins with, None if it begins with none."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return None
    match = _XATTR_KEY.match(text)
    if match is None or len(match[0].encode()) > _MAX_XATTR_KEY:
        return None
    return match[0]
