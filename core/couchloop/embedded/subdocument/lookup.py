"""Sub-document operations that read."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass

from couchloop.embedded.core.answers import Answer, Refusal
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import refuse_taken_over
from couchloop.embedded.storage.document import Document
from couchloop.embedded.storage.vbucket import State, VBucket
from couchloop.embedded.subdocument import paths, virtual
from couchloop.embedded.subdocument.paths import PathError
from couchloop.embedded.subdocument.specs import (
    BINARY_PREFIX,
    DocFlag,
    PathFlag,
    Plan,
    Spec,
    plan_of,
)
from couchloop.embedded.subdocument.xattrs import bytes_of, join, may, text_of
from couchloop.wire.constants import Datatype, Opcode, Status


def look_up(request: Request) -> Answer:
    """SUBDOC_GET, SUBDOC_EXISTS, SUBDOC_GET_COUNT, SUBDOC_MULTI_LOOKUP."""
    plan = plan_of(request)
    vbucket = request.vbucket(request.state)
    refuse_taken_over(request, vbucket)
    document = vbucket.find(request.document_id)
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
        """Whether the user may not read the xattr."""
        return (
            bool(spec.flags & PathFlag.XATTR)
            and spec.path.startswith(b"_")
            and not may(self.request, "SystemXattrRead")
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
            components = paths.parse(text_of(spec.path))
            return Status.SUCCESS, bytes_of(
                _find_or_count(text_of(document.body()), components, spec.opcode)
            )
        except PathError as error:
            return error.status, b""

    def _look_up_xattr(self, spec: Spec) -> tuple[Status, bytes]:
        components = paths.parse(text_of(spec.path))
        name = components[0]
        if isinstance(name, str) and name.startswith("$"):
            text = self.virtual(name, components[1:])
            if text is None:
                return Status.SUBDOC_XATTR_UNKNOWN_VATTR, b""
            source = f'{{"{name}":{text}}}'
        else:
            source = join(self.document.xattrs)
        value = _find_or_count(source, components, spec.opcode)
        if spec.flags & PathFlag.BINARY and spec.opcode == Opcode.SUBDOC_GET:
            if not value.startswith(f'"{BINARY_PREFIX}'):
                return Status.SUBDOC_FIELD_NOT_BINARY, bytes_of(value)
            return Status.SUCCESS, b64decode(value[len(BINARY_PREFIX) + 1 : -1])
        return Status.SUCCESS, bytes_of(value)

    def virtual(self, name: str, members: list[paths.Component]) -> str | None:
        """Return the text of a virtual xattr, of which *members* are wanted (none: all)."""
        if name == "$document":
            checksum = not members or members[0] == "value_crc32c"
            return virtual.document(self.document, self.vbucket.uuid, checksum=checksum)
        if name == "$vbucket":
            return virtual.vbucket(self.request.wall)
        if name == "$XTOC":
            shown = may(self.request, "SystemXattrRead")
            return virtual.table_of_contents(
                each for each in self.document.xattrs if shown or not each.startswith("_")
            )
        return None


def _find_or_count(text: str, components: list[paths.Component], opcode: Opcode) -> str:
    if opcode == Opcode.SUBDOC_GET_COUNT:
        return str(paths.count(text, components))
    return text[slice(*paths.find(text, components))]
