"""What comes of a request: an answer, a refusal, or that it has to wait."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from couchloop.wire.constants import Status


class Answer(NamedTuple):
    """A response but for what every response has (opcode, opaque, duration)."""

    extras: bytes = b""
    key: bytes = b""
    value: bytes = b""
    datatype: int = 0
    cas: int = 0
    status: int = Status.SUCCESS


class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    """An operation is answered with an error.

    Args:
        status: the status with Xerror; the connection finds what to say without.
        context: text for the error's JSON body.
        reference: whether the body carries the id of a log entry.
        manifest_uid: member of the body beside the error.
        value: the whole body, instead of JSON made of the others.
        datatype: of that body.
        early: found before the operation began, which never costs the connection.
    """

    def __init__(
        self,
        status: int,
        context: str = "",
        *,
        reference: bool = False,
        manifest_uid: int | None = None,
        value: bytes = b"",
        datatype: int = 0,
        early: bool = False,
    ) -> None:
        super().__init__(f"status 0x{status:02x} {context}")
        self.status = status
        self.context = context
        self.reference = reference
        self.manifest_uid = manifest_uid
        self.value = value
        self.datatype = datatype
        self.early = early

    def body(self, reference: str) -> bytes:
        """Return the value of the answer; *reference* is the id to use if one is wanted."""
        error: dict[str, str] = {}
        if self.context:
            error["context"] = self.context
        if self.reference:
            error["ref"] = reference
        if not error:
            return self.value
        document: dict[str, object] = {"error": error}
        if self.manifest_uid is not None:
            document["manifest_uid"] = f"{self.manifest_uid:x}"
        return json.dumps(document, separators=(",", ":")).encode()


class NotYet(Exception):  # noqa: N818 - not an error: the request waits
    """A request cannot be answered now: it is looked at again when the cluster changes.

    *answers* are the first ones of several: they are sent, the others are to come.
    """

    def __init__(self, answers: Sequence[Answer] = ()) -> None:
        super().__init__("not yet answered")
        self.answers = answers


def invalid(context: str = "") -> Refusal:
    """Return the answer to a request that breaks a rule."""
    return Refusal(Status.EINVAL, context)
