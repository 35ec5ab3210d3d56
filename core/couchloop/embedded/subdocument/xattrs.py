"""Extended attributes: as texts, as one text, and who may see those of the system."""

from __future__ import annotations

import json

from couchloop.embedded.core.request import Request
from couchloop.embedded.subdocument import paths


def text_of(data: bytes) -> str:
    """Return the text that `paths` can edit: what is no UTF-8 survives."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """Return the bytes that a text was."""
    return text.encode("utf-8", "surrogateescape")


def join(xattrs: dict[str, str]) -> str:
    """Return all xattrs as one JSON object."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in xattrs.items()) + "}"


def normalised(text: str) -> str:
    """Return a JSON text with sorted members and no white space."""
    try:
        plain = json.dumps(
            json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        plain.encode("utf-8", "surrogateescape")
    except ValueError:
        # An integer of thousands of digits, or half a surrogate pair: better as it is than lost.
        return text
    return plain


def split(text: str) -> dict[str, str]:
    """Return the texts of all xattrs of one object: the contrary of `join`."""
    return {name: text[slice(*span)] for name, span in paths.members(text)}


def may(request: Request, privilege: str) -> bool:
    """Whether the user has a privilege in the collection of the request."""
    user, collection = request.connection.user, request.collection
    return user is not None and user.may_in_collection(
        privilege, request.bucket.name, collection.scope, collection.name
    )
