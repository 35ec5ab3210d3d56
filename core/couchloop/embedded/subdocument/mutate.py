"""Sub-document operations: paths in a document's body and in its extended attributes.

Each operation is a list of specs, one in a single-path operation. `check_single` and
`check_multi` make the list out of a request and refuse what can never work; `look_up` and
`mutate` do it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, NamedTuple

from couchloop.embedded.core.header import invalid
from couchloop.embedded.core.request import Answer, Plan, Refusal, Request, Spec
from couchloop.embedded.kv.documents import (
    check_cas,
    commit,
    detect,
    mutated,
    new_expiry,
    refuse_full,
    refuse_ingress,
    refuse_prepared,
)
from couchloop.embedded.storage.document import MAX_VALUE, Document, State, VBucket
from couchloop.embedded.subdocument import paths as jsonpath
from couchloop.embedded.subdocument import virtual as vattr
from couchloop.embedded.subdocument.paths import PathError
from couchloop.wire.constants import Datatype, Feature, Opcode, Status

MAX_PATHS: Final = 16
_MAX_PATH: Final = 1024
_MAX_XATTR_KEY: Final = 15
_MAX_SYSTEM_XATTRS: Final = 1024 * 1024
_BINARY_PREFIX: Final = "cb-content-base64-encoded:"
_XATTR_KEY: Final = re.compile(r"(?:[_$]\w|[^\W_])[^.\[`]*")
_SINGLE_EXTRAS: Final = (3, 4, 7, 8)


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
_CREATES: Final = DocFlag.MAKE | DocFlag.ADD


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
_WHOLE: Final = frozenset({Opcode.GET, Opcode.SET, Opcode.DELETE})
_MAKES_NOTHING: Final = frozenset(
    {Opcode.SUBDOC_DELETE, Opcode.SUBDOC_REPLACE, Opcode.SUBDOC_ARRAY_INSERT}
)
_MAKES_ARRAY: Final = frozenset(
    {
        Opcode.SUBDOC_ARRAY_PUSH_LAST,
        Opcode.SUBDOC_ARRAY_PUSH_FIRST,
        Opcode.SUBDOC_ARRAY_ADD_UNIQUE,
    }
)


# --- checks -------------------------------------------------------------------------------------


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
    if opcode in _MAKES_NOTHING:
        # An add is found out later (and badly), but for a deletion.
        refused = _CREATES if opcode == Opcode.SUBDOC_DELETE else DocFlag.MAKE
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
    name = _xattr_key(spec.path)
    if name is None:
        raise Refusal(Status.XATTR_EINVAL, "Request XATTR key invalid")
    if edits and name.startswith("$"):
        raise Refusal(Status.SUBDOC_XATTR_CANT_MODIFY_VATTR)
    if spec.flags & PathFlag.EXPAND_MACROS and vattr.macro(spec.value) is None:
        raise Refusal(Status.SUBDOC_XATTR_UNKNOWN_MACRO)
    if edits and spec.value.startswith(f'"{_BINARY_PREFIX}'.encode()):
        try:
            b64decode(spec.value[len(_BINARY_PREFIX) + 1 : -1], validate=True)
        except Base64Error:
            raise Refusal(Status.XATTR_EINVAL, "cb::base64::decode invalid input") from None


def _xattr_key(path: bytes) -> str | None:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return None
    match = _XATTR_KEY.match(text)
    if match is None or len(match[0].encode()) > _MAX_XATTR_KEY:
        return None
    return match[0]


# --- looking up ---------------------------------------------------------------------------------


def look_up(request: Request) -> Answer:
    """SUBDOC_GET, SUBDOC_EXISTS, SUBDOC_GET_COUNT, SUBDOC_MULTI_LOOKUP."""
    plan = _plan(request)
    vbucket = request.vbucket(request.state)
    document = vbucket.find(request.document_id, request.wall)
    if document is None and plan.flags & DocFlag.ACCESS_DELETED:
        document = vbucket.documents.get(request.document_id)
    if document is None:
        raise Refusal(Status.KEY_ENOENT)
    if request.state is State.ACTIVE:
        if document.locked(request.now):
            raise Refusal(Status.LOCKED)
        if request.frame.cas and request.frame.cas != document.cas:
            raise Refusal(Status.KEY_EEXISTS)
    view = _View(request, vbucket, document)
    if plan.multi:
        return view.look_up_all(plan)
    (spec,) = plan.specs
    if view.forbidden(spec):
        request.require("SystemXattrRead", here=True)
    status, value = view.look_up(spec)
    if status:
        raise Refusal(status)
    exists = spec.opcode == Opcode.SUBDOC_EXISTS
    binary = spec.flags & PathFlag.BINARY
    return Answer(
        value=b"" if exists else value,
        datatype=0 if exists or binary else request.json_datatype(),
        cas=document.cas,
        status=Status.SUBDOC_SUCCESS_DELETED if document.deleted else Status.SUCCESS,
    )


def _plan(request: Request) -> Plan:
    plan = request.plan
    assert plan is not None, "the header was checked"
    return plan


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _join(xattrs: dict[str, str]) -> str:
    """Give all xattrs as one JSON object."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in xattrs.items()) + "}"


@dataclass(slots=True)
class _View:
    """A document as a lookup sees it."""

    request: Request
    vbucket: VBucket
    document: Document

    def look_up_all(self, plan: Plan) -> Answer:
        out, failed = bytearray(), False
        for spec in plan.specs:
            status, value = (Status.EACCESS, b"") if self.forbidden(spec) else self.look_up(spec)
            if spec.opcode == Opcode.SUBDOC_EXISTS:
                value = b""
            failed |= bool(status)
            out += status.to_bytes(2) + len(value).to_bytes(4) + value
        deleted = self.document.deleted
        if failed:
            overall = (
                Status.SUBDOC_MULTI_PATH_FAILURE_DELETED
                if deleted
                else Status.SUBDOC_MULTI_PATH_FAILURE
            )
        else:
            overall = Status.SUBDOC_SUCCESS_DELETED if deleted else Status.SUCCESS
        return Answer(value=bytes(out), cas=self.document.cas, status=overall)

    def forbidden(self, spec: Spec) -> bool:
        """Tell whether the user may not read the xattr."""
        return (
            bool(spec.flags & PathFlag.XATTR)
            and spec.path.startswith(b"_")
            and not _may(self.request, "SystemXattrRead")
        )

    def look_up(self, spec: Spec) -> tuple[Status, bytes]:
        document = self.document
        if spec.opcode == Opcode.GET:
            empty = document.deleted or not document.value
            return (Status.SUBDOC_PATH_ENOENT, b"") if empty else (Status.SUCCESS, document.body())
        try:
            if spec.flags & PathFlag.XATTR:
                return self._look_up_xattr(spec)
            if document.deleted or not document.datatype & Datatype.JSON:
                return Status.SUBDOC_DOC_NOTJSON, b""
            components = jsonpath.parse(_text(spec.path))
            return Status.SUCCESS, _bytes(
                _find_or_count(_text(document.body()), components, spec.opcode)
            )
        except PathError as error:
            return error.status, b""

    def _look_up_xattr(self, spec: Spec) -> tuple[Status, bytes]:
        components = jsonpath.parse(_text(spec.path))
        name = components[0]
        if isinstance(name, str) and name.startswith("$"):
            text = self.virtual(name, components[1:])
            if text is None:
                return Status.SUBDOC_XATTR_UNKNOWN_VATTR, b""
            source = f'{{"{name}":{text}}}'
        else:
            source = _join(self.document.xattrs)
        value = _find_or_count(source, components, spec.opcode)
        if spec.flags & PathFlag.BINARY and spec.opcode == Opcode.SUBDOC_GET:
            if not value.startswith(f'"{_BINARY_PREFIX}'):
                return Status.SUBDOC_FIELD_NOT_BINARY, _bytes(value)
            return Status.SUCCESS, b64decode(value[len(_BINARY_PREFIX) + 1 : -1])
        return Status.SUCCESS, _bytes(value)

    def virtual(self, name: str, members: list[jsonpath.Component]) -> str | None:
        """Give the text of a virtual xattr, of which *members* are wanted (none: all)."""
        if name == "$document":
            checksum = not members or members[0] == "value_crc32c"
            return vattr.document(self.document, self.vbucket.uuid, checksum=checksum)
        if name == "$vbucket":
            return vattr.vbucket(self.request.wall)
        if name == "$XTOC":
            shown = _may(self.request, "SystemXattrRead")
            return vattr.table_of_contents(
                each for each in self.document.xattrs if shown or not each.startswith("_")
            )
        return None


def _may(request: Request, privilege: str) -> bool:
    user, collection = request.connection.user, request.collection
    return user is not None and user.may_in_collection(
        privilege, request.bucket.name, collection.scope, collection.name
    )


def _find_or_count(text: str, components: list[jsonpath.Component], opcode: Opcode) -> str:
    if opcode == Opcode.SUBDOC_GET_COUNT:
        return str(jsonpath.count(text, components))
    return text[slice(*jsonpath.find(text, components))]


# --- mutating -----------------------------------------------------------------------------------


def mutate(request: Request) -> Answer:
    """All sub-document operations that change something."""
    plan = _plan(request)
    flags = plan.flags
    if not plan.multi and plan.specs[0].opcode in _MAKES_NOTHING and flags & DocFlag.ADD:
        # What a real server does with this combination.
        raise Refusal(Status.EINTERNAL)
    vbucket = request.vbucket()
    refuse_ingress(request, traffic=True)
    document = vbucket.find(request.document_id, request.wall)
    if document is None and flags & DocFlag.ACCESS_DELETED:
        document = vbucket.documents.get(request.document_id)
    if document is None:
        if not flags & _CREATES:
            raise Refusal(Status.KEY_ENOENT)
        refuse_prepared(request, vbucket)
    else:
        refuse_prepared(request, vbucket)
        if flags & DocFlag.ADD:
            raise Refusal(Status.KEY_EEXISTS)
        check_cas(request, document)
        if flags & DocFlag.REVIVE and not document.deleted:
            raise Refusal(Status.SUBDOC_CAN_ONLY_REVIVE_DELETED)
    draft = _Draft(request, vbucket, document, plan)
    results = draft.apply()
    fresh = draft.finish()
    commit(request, vbucket, fresh)
    # What names the write itself is known only now.
    fresh.xattrs = {
        name: vattr.resolve(text, fresh.cas, fresh.seqno, fresh.body())
        for name, text in fresh.xattrs.items()
    }
    answer = mutated(request, vbucket)
    if results:
        datatype = 0 if plan.multi else request.json_datatype()
        answer = answer._replace(value=results, datatype=datatype)
    was_deleted = document is not None and document.deleted
    if fresh.deleted and (was_deleted or not draft.removes):
        answer = answer._replace(status=Status.SUBDOC_SUCCESS_DELETED)
    return answer


class _Draft:
    """A document while it is edited; nothing is stored until all paths went well."""

    def __init__(
        self, request: Request, vbucket: VBucket, document: Document | None, plan: Plan
    ) -> None:
        self.request = request
        self.vbucket = vbucket
        self.document = document
        self.plan = plan
        self.removes = False
        self.create = bool(plan.flags & _CREATES)
        self.xattrs = dict(document.xattrs) if document else {}
        self.text: str | None = None
        """The body while it is JSON; None if it is not, or if there is none."""
        self.value = b""
        if document is None:
            self.deleted = bool(plan.flags & DocFlag.CREATE_AS_DELETED)
            self.text = None if self.deleted else self._new_root()
        else:
            self.deleted = document.deleted and not plan.flags & DocFlag.REVIVE
            self.value = document.body()
            if plan.flags & DocFlag.CREATE_AS_DELETED and document.deleted:
                self.xattrs = {}
            if document.datatype & Datatype.JSON:
                self.text = _text(self.value)
            elif document.deleted and plan.flags & DocFlag.REVIVE:
                self.text = self._new_root()

    def _new_root(self) -> str:
        for spec in self.plan.specs:
            if not spec.flags & PathFlag.XATTR:
                makes_array = not spec.path and spec.opcode in _MAKES_ARRAY
                return "[]" if makes_array or spec.path.startswith(b"[") else "{}"
        return "{}"

    def apply(self) -> bytes:
        """Do every path; give the results. Raises Refusal."""
        out = bytearray()
        for index, spec in enumerate(self.plan.specs):
            try:
                result = self._apply(spec)
            except PathError as error:
                if not self.plan.multi:
                    raise Refusal(error.status) from None
                failure = index.to_bytes(1) + error.status.to_bytes(2)
                raise Refusal(Status.SUBDOC_MULTI_PATH_FAILURE, value=failure) from None
            if result is not None:
                encoded = _bytes(result)
                if not self.plan.multi:
                    return encoded
                out += index.to_bytes(1) + bytes(2) + len(encoded).to_bytes(4) + encoded
        return bytes(out)

    def _apply(self, spec: Spec) -> str | None:
        if spec.opcode == Opcode.SET:
            self.value = spec.value
            self.text = _text(spec.value) if detect(spec.value) else None
            return None
        if spec.opcode == Opcode.DELETE:
            self.removes = self.deleted = True
            self.text, self.value = None, b""
            return None
        if spec.opcode == Opcode.SUBDOC_REPLACE_BODY_WITH_XATTR:
            self._replace_body(spec)
            return None
        if spec.flags & PathFlag.XATTR:
            return self._edit_xattr(spec)
        if self.text is None or self.deleted:
            raise PathError(Status.SUBDOC_DOC_NOTJSON)
        create = self.create or bool(spec.flags & PathFlag.CREATE_PARENTS)
        self.text, result = _edit(self.text, spec, _text(spec.value), create=create)
        return result

    def _replace_body(self, spec: Spec) -> None:
        text = _join(self.xattrs)
        found = text[slice(*jsonpath.find(text, jsonpath.parse(_text(spec.path))))]
        if self.deleted:
            raise Refusal(
                Status.SUBDOC_DELETED_CANT_HAVE_VALUE, "A deleted document can't have a value"
            )
        if spec.flags & PathFlag.BINARY and found.startswith(f'"{_BINARY_PREFIX}'):
            self.value = b64decode(found[len(_BINARY_PREFIX) + 1 : -1])
        else:
            self.value = _bytes(found)
        self.text = _text(self.value) if detect(self.value) else None

    def _edit_xattr(self, spec: Spec) -> str | None:
        if spec.path.startswith(b"_") and not _may(self.request, "SystemXattrWrite"):
            if not self.plan.multi:
                self.request.require("SystemXattrWrite", here=True)
            raise PathError(Status.EACCESS)
        value = _text(spec.value)
        if spec.flags & PathFlag.BINARY:
            value = f'"{_BINARY_PREFIX}{b64encode(spec.value).decode()}"'
        elif spec.flags & PathFlag.EXPAND_MACROS:
            value = self._expand(spec)
        create = self.create or bool(spec.flags & PathFlag.CREATE_PARENTS)
        text, result = _edit(_join(self.xattrs), spec, value, create=create)
        self.xattrs = vattr.split(text)
        name = _xattr_key(spec.path)
        if name in self.xattrs and spec.path != name.encode():
            # A real server writes an xattr anew, members sorted, once something in it changes.
            self.xattrs[name] = vattr.normalised(self.xattrs[name])
        return result

    def _expand(self, spec: Spec) -> str:
        name = vattr.macro(spec.value)
        if name is None:
            raise PathError(Status.SUBDOC_XATTR_UNKNOWN_MACRO)
        if name.startswith("Mutation."):
            return vattr.placeholder(name)
        before = self.document if self.document is not None else Document(b"", 0)
        expanded = vattr.document_member(before, self.vbucket.uuid, name)
        if expanded is None:
            raise PathError(Status.SUBDOC_XATTR_UNKNOWN_VATTR_MACRO)
        return expanded

    def finish(self) -> Document:
        """Give the document to store. Raises Refusal if it became too large."""
        old = self.document
        value = self.value if self.text is None else _bytes(self.text)
        if self.removes:
            self.xattrs = {name: text for name, text in self.xattrs.items() if name.startswith("_")}
        sizes = {name: len(name) + len(_bytes(text)) for name, text in self.xattrs.items()}
        system = sum(size for name, size in sizes.items() if name.startswith("_"))
        user = sum(sizes.values()) - system
        if len(value) + user > MAX_VALUE or system > _MAX_SYSTEM_XATTRS:
            raise Refusal(Status.E2BIG)
        refuse_full(self.request, max(0, len(value) - len(old.value if old else b"")))
        live = old if old is not None and not old.deleted else None
        if self.deleted:
            expiry = 0 if self.request.bucket.ephemeral else int(self.request.wall)
        else:
            expiry = new_expiry(self.request, live, self.plan.expiry)
        return Document(
            b"" if self.deleted else value,
            Datatype.JSON if self.text is not None and not self.deleted else Datatype.RAW,
            old.flags if old else 0,
            expiry,
            xattrs=self.xattrs,
            deleted=self.deleted,
        )


def _edit(text: str, spec: Spec, value: str, *, create: bool) -> tuple[str, str | None]:
    """Do one edit; give the text and what the client is to be told. Raises PathError."""
    components = jsonpath.parse(_text(spec.path))
    match spec.opcode:
        case Opcode.SUBDOC_DICT_ADD:
            return jsonpath.dict_add(text, components, value, create=create), None
        case Opcode.SUBDOC_DICT_UPSERT:
            return jsonpath.dict_upsert(text, components, value, create=create), None
        case Opcode.SUBDOC_DELETE:
            return jsonpath.delete(text, components), None
        case Opcode.SUBDOC_REPLACE:
            return jsonpath.replace(text, components, value), None
        case Opcode.SUBDOC_ARRAY_PUSH_LAST:
            return jsonpath.push(text, components, value, create=create, first=False), None
        case Opcode.SUBDOC_ARRAY_PUSH_FIRST:
            return jsonpath.push(text, components, value, create=create, first=True), None
        case Opcode.SUBDOC_ARRAY_INSERT:
            return jsonpath.array_insert(text, components, value), None
        case Opcode.SUBDOC_ARRAY_ADD_UNIQUE:
            return jsonpath.add_unique(text, components, value, create=create), None
        case _:
            return jsonpath.add(text, components, value, create=create)
