"""Sub-document operations that change something."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.durability import commit, refuse_prepared
from couchloop.embedded.kv.reading import refuse_taken_over
from couchloop.embedded.kv.writing import (
    check_cas,
    detect,
    mutated,
    new_expiry,
    refuse_full,
    refuse_ingress,
)
from couchloop.embedded.storage.document import MAX_VALUE, Document
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.embedded.subdocument import paths, virtual
from couchloop.embedded.subdocument.paths import PathError
from couchloop.embedded.subdocument.specs import (
    BINARY_PREFIX,
    CREATES,
    MAKES_ARRAY,
    MAKES_NOTHING,
    DocFlag,
    PathFlag,
    Plan,
    Spec,
    plan_of,
    xattr_key,
)
from couchloop.embedded.subdocument.xattrs import bytes_of, join, may, normalised, split, text_of
from couchloop.wire.constants import Datatype, Opcode, Status

_MAX_SYSTEM_XATTRS: Final = 1024 * 1024


def mutate(request: Request) -> Answer:
    """All sub-document operations that change something."""
    plan = plan_of(request)
    flags = plan.flags
    if not plan.multi and plan.specs[0].opcode in MAKES_NOTHING and flags & DocFlag.ADD:
        # What a real server does with this combination.
        raise Refusal(Status.EINTERNAL)
    vbucket = request.vbucket()
    refuse_ingress(request, traffic=True)
    refuse_taken_over(request, vbucket)
    document = vbucket.find(request.document_id)
    if document is None and flags & DocFlag.ACCESS_DELETED:
        document = vbucket.documents.get(request.document_id)
    if document is None:
        if not flags & CREATES:
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
    was_deleted = document is not None and document.deleted

    def answer() -> Answer:
        told = mutated(request, vbucket, fresh)
        if results:
            datatype = 0 if plan.multi else request.json_datatype()
            told = told._replace(value=results, datatype=datatype)
        if fresh.deleted and (was_deleted or not draft.removes):
            told = told._replace(status=Status.SUBDOC_SUCCESS_DELETED)
        return told

    return commit(request, vbucket, fresh, answer, _resolve_macros)


def _resolve_macros(document: Document) -> None:
    """Put in what names the write itself, and is known only once it has its CAS."""
    document.xattrs = {
        name: virtual.resolve(text, document.cas, document.seqno, document.body())
        for name, text in document.xattrs.items()
    }


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
        self.create = bool(plan.flags & CREATES)
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
                self.text = text_of(self.value)
            elif document.deleted and plan.flags & DocFlag.REVIVE:
                self.text = self._new_root()

    def _new_root(self) -> str:
        for spec in self.plan.specs:
            if not spec.flags & PathFlag.XATTR:
                makes_array = not spec.path and spec.opcode in MAKES_ARRAY
                return "[]" if makes_array or spec.path.startswith(b"[") else "{}"
        return "{}"

    def apply(self) -> bytes:
        """Apply every path, and return the results. Raises Refusal."""
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
                encoded = bytes_of(result)
                if not self.plan.multi:
                    return encoded
                out += index.to_bytes(1) + bytes(2) + len(encoded).to_bytes(4) + encoded
        return bytes(out)

    def _apply(self, spec: Spec) -> str | None:
        if spec.opcode == Opcode.SET:
            self.value = spec.value
            self.text = text_of(spec.value) if detect(spec.value) else None
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
        self.text, result = _edit(self.text, spec, text_of(spec.value), create=create)
        return result

    def _replace_body(self, spec: Spec) -> None:
        text = join(self.xattrs)
        found = text[slice(*paths.find(text, paths.parse(text_of(spec.path))))]
        if self.deleted:
            raise Refusal(
                Status.SUBDOC_DELETED_CANT_HAVE_VALUE, "A deleted document can't have a value"
            )
        if spec.flags & PathFlag.BINARY and found.startswith(f'"{BINARY_PREFIX}'):
            self.value = b64decode(found[len(BINARY_PREFIX) + 1 : -1])
        else:
            self.value = bytes_of(found)
        self.text = text_of(self.value) if detect(self.value) else None

    def _edit_xattr(self, spec: Spec) -> str | None:
        if spec.path.startswith(b"_") and not may(self.request, "SystemXattrWrite"):
            if not self.plan.multi:
                self.request.require("SystemXattrWrite", here=True)
            raise PathError(Status.EACCESS)
        value = text_of(spec.value)
        if spec.flags & PathFlag.BINARY:
            value = f'"{BINARY_PREFIX}{b64encode(spec.value).decode()}"'
        elif spec.flags & PathFlag.EXPAND_MACROS:
            value = self._expand(spec)
        create = self.create or bool(spec.flags & PathFlag.CREATE_PARENTS)
        text, result = _edit(join(self.xattrs), spec, value, create=create)
        self.xattrs = split(text)
        name = xattr_key(spec.path)
        if name in self.xattrs and spec.path != name.encode():
            # A real server writes an xattr anew, members sorted, once something in it changes.
            self.xattrs[name] = normalised(self.xattrs[name])
        return result

    def _expand(self, spec: Spec) -> str:
        name = virtual.macro(spec.value)
        if name is None:
            raise PathError(Status.SUBDOC_XATTR_UNKNOWN_MACRO)
        if name.startswith("Mutation."):
            return virtual.placeholder(name)
        before = self.document if self.document is not None else Document(b"", 0)
        expanded = virtual.document_member(before, self.vbucket.uuid, name)
        if expanded is None:
            raise PathError(Status.SUBDOC_XATTR_UNKNOWN_VATTR_MACRO)
        return expanded

    def finish(self) -> Document:
        """Return the document to store. Raises Refusal if it became too large."""
        old = self.document
        value = self.value if self.text is None else bytes_of(self.text)
        if self.removes:
            self.xattrs = {name: text for name, text in self.xattrs.items() if name.startswith("_")}
        sizes = {name: len(name) + len(bytes_of(text)) for name, text in self.xattrs.items()}
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
    """Apply one edit; return the text and what the client is to be told. Raises PathError."""
    components = paths.parse(text_of(spec.path))
    match spec.opcode:
        case Opcode.SUBDOC_DICT_ADD:
            return paths.dict_add(text, components, value, create=create), None
        case Opcode.SUBDOC_DICT_UPSERT:
            return paths.dict_upsert(text, components, value, create=create), None
        case Opcode.SUBDOC_DELETE:
            return paths.delete(text, components), None
        case Opcode.SUBDOC_REPLACE:
            return paths.replace(text, components, value), None
        case Opcode.SUBDOC_ARRAY_PUSH_LAST:
            return paths.push(text, components, value, create=create, first=False), None
        case Opcode.SUBDOC_ARRAY_PUSH_FIRST:
            return paths.push(text, components, value, create=create, first=True), None
        case Opcode.SUBDOC_ARRAY_INSERT:
            return paths.array_insert(text, components, value), None
        case Opcode.SUBDOC_ARRAY_ADD_UNIQUE:
            return paths.add_unique(text, components, value, create=create), None
        case _:
            return paths.add(text, components, value, create=create)
