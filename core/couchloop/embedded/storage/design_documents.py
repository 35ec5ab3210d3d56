"""Design documents of a bucket: definitions of views, checked as a server does, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
    built: dict[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What whoever runs its views keeps of each: gone when another takes its place."""

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
        self.callables: dict[str, Callable[..., Any]] = {}
        """Python callables by the texts that stand for them in design documents; see `define`."""
        self.is_lagging = False
        """Whether indexes follow the documents only where `stale` is not `ok`: before the answer
        with `false`, after it with `update_after`."""

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
        checked_design(text)
        generation = self._generations[name] = self._generations.get(name, 0) + 1
        stored = self._documents[name] = DesignDocument(name, text, generation)
        return stored

    def define(
        self,
        name: str,
        view: str,
        map: Callable[..., Any],  # noqa: A002 - as design documents call it
        reduce: Callable[..., Any] | str | None = None,
    ) -> DesignDocument:
        """Add a view to a design document, which is made if it is new.

        Its text has names in the place of the functions; whoever stores another document with
        these names (to publish it, for example) has the same functions.

        Args:
            name: of the design document, without `_design/`.
            view: of the view.
            map: is called with a document (JSON, or the base64 of what is none) and its metadata,
                and gives pairs of a key and a value, as a generator does.
            reduce: is called with keys, values, and whether the values are reduced already (then
                the keys are None); or `_count`, `_sum`, `_stats`.

        Raises InvalidDesignError.
        """
        functions: dict[str, str] = {"map": f"python: {name}/{view}/map"}
        self.callables[functions["map"]] = map
        if isinstance(reduce, str):
            functions["reduce"] = reduce
        elif reduce is not None:
            functions["reduce"] = f"python: {name}/{view}/reduce"
            self.callables[functions["reduce"]] = reduce
        former = self.get(name)
        document = {} if former is None else former.document
        document.setdefault("views", {})[view] = functions
        return self.put(name, json.dumps(document).encode())

    def delete(self, name: str) -> bool:
        """Delete one; return whether it was there."""
        if self._documents.pop(name, None) is None:
            return False
        self._generations[name] += 1
        return True


def checked_design(text: bytes) -> dict[str, Any]:
    """Return a design document, decoded. Raises InvalidDesignError if it is none."""
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
    return document


def _check_view(name: str, view: object) -> None:
    """Check one view. Whether its functions are any is left to who runs them."""
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
