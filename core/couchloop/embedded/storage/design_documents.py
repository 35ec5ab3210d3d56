"""Design documents of a bucket: definitions of views, checked as a server does, by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

_BUILT_IN: Final = ("_count", "_sum", "_stats")
_BLANKS: Final = " \t\r\n"


class InvalidDesignError(Exception):
    """It is no design document; the text says why, as a server does."""


@dataclass(frozen=True, slots=True)
class DesignDocument:
    """One design document."""

    name: str
    """Without `_design/`."""
    text: bytes
    """JSON, as it was given."""
    generation: int

    @property
    def document(self) -> dict[str, Any]:
        """The document, decoded."""
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def rev(self) -> str:
        """The revision: how often it was written, and a digest of it."""
        return f"{self.generation}-{sha256(self.text).hexdigest()[:8]}"

    @property
    def meta(self) -> dict[str, str]:
        """What is told of it beside its text."""
        return {"id": f"_design/{self.name}", "rev": self.rev}


class DesignDocuments:
    """All design documents of a bucket. Flushing the bucket leaves them."""

    def __init__(self) -> None:
        self._documents: dict[str, DesignDocument] = {}
        self._generations: dict[str, int] = {}
        """How often each was written or deleted, those that are gone too."""

    def __iter__(self) -> Iterator[DesignDocument]:
        """Return them in the order of their names."""
        return iter(sorted(self._documents.values(), key=lambda each: each.name))

    def get(self, name: str) -> DesignDocument | None:
        """Return one; None: there is none of that name."""
        return self._documents.get(name)

    def was_deleted(self, name: str) -> bool:
        """Whether there was one of that name, and is none."""
        return name in self._generations and name not in self._documents

    def put(self, name: str, text: bytes) -> DesignDocument:
        """Store one, whatever was there before. Raises InvalidDesignError."""
        _check(text)
        generation = self._generations[name] = self._generations.get(name, 0) + 1
        stored = self._documents[name] = DesignDocument(name, text, generation)
        return stored

    def delete(self, name: str) -> bool:
        """Delete one; return whether it was there."""
        if self._documents.pop(name, None) is None:
            return False
        self._generations[name] += 1
        return True


def _check(text: bytes) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidDesignError("Content is not json.")
    views = document.get("views", {})
    if not isinstance(views, dict):
        raise InvalidDesignError("The field `views' is not a json object.")
    for name, view in views.items():
        _check_view(name, view)


def _check_view(name: str, view: object) -> None:
    """Check one view. Whether its functions are JavaScript is left to who runs them."""
    if not name:
        raise InvalidDesignError("View name cannot be an empty string")
    if not isinstance(view, dict):
        raise InvalidDesignError(f"Value for view `{name}' is not a json object.")
    if name.strip(_BLANKS) != name:
        text = f"View name `{name}` cannot have leading or trailing whitespace"
        raise InvalidDesignError(text)
    if "map" not in view:
        raise InvalidDesignError(f"The `map' field for the view `{name}' is missing.")
    if not isinstance(view["map"], str):
        raise InvalidDesignError(f"The `map' field of the view `{name}' is not a json string.")
    reduce = view.get("reduce", "")
    if not isinstance(reduce, str):
        raise InvalidDesignError(f"The `reduce' field of the view `{name}' is not a json string.")
    if reduce.startswith("_") and reduce not in _BUILT_IN:
        raise InvalidDesignError(f"Invalid built-in reduce function for view `{name}': {reduce}")
