"""What the functions of a view are given and give, whatever language they are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class ViewFailedError(Exception):
    """A view cannot be built or reduced; the text is the reason that the answer gives."""


class NoJavaScriptError(ViewFailedError):
    """There is nothing here that runs JavaScript."""


class Source(NamedTuple):
    """What a map function is given of a document."""

    text: str
    """Its JSON, or the base64 of what is none as a JSON string."""
    meta: Mapping[str, Any]
    """`id`, `rev`, `seq`, `vb`, `expiration`, `flags`, `type` (`json` or `base64`)."""


Emitted = list[tuple[Any, Any]]
"""Keys and values: JSON values."""
MapFunction = Callable[[Sequence[Source]], list[Emitted | str]]
"""Maps documents: for each what it emits, or why it has failed. Raises ViewFailedError."""


class ReduceFunction(Protocol):
    """Reduces rows, or values that are reduced already."""

    def __call__(self, keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:
        """Return one value; without *keys* if *rereduce*. Raises ViewFailedError."""
