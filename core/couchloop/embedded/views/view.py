"""One view of a bucket: its functions, compiled when it is asked first, and its index."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from couchloop.embedded.storage.design_documents import DesignDocument
from couchloop.embedded.views.functions import Callables, map_function, reduce_function
from couchloop.embedded.views.index import Index, Stored
from couchloop.embedded.views.protocols import (
    NoJavaScriptError,
    ReduceFunction,
    ViewFailedError,
)


class View:
    """A view, as long as its design document is what it was.

    Args:
        definition: what the design document says of it.
        callables: Python callables by the texts that stand for them.

    Raises ViewFailedError.
    """

    def __init__(self, definition: dict[str, Any], callables: Callables) -> None:
        self._texts = texts = definition["map"], definition.get("reduce")
        self._calls = _calls_of(texts, callables)
        self.index = Index(map_function(texts[0], callables))
        self.reduce: ReduceFunction | None = reduce_function(texts[1], callables)
        self._failure: str | None = None

    def is_current(self, callables: Callables) -> bool:
        """Whether its texts still stand for what they stood for."""
        return self._calls == _calls_of(self._texts, callables)

    def update(self, documents: Iterable[Stored]) -> None:
        """Have the index follow. Raises ViewFailedError, and does so until it can."""
        if self.index.update(documents):
            self._failure = self._try()
        if self._failure is not None:
            raise ViewFailedError(self._failure)

    def _try(self) -> str | None:
        """Reduce all: a server does it while it builds, and tells at once what cannot be."""
        rows = self.index.rows
        if self.reduce is None or not rows:
            return None
        try:
            self.reduce([row.key for row in rows], [row.value for row in rows], False)
        except (ViewFailedError, ArithmeticError) as error:
            return str(error)
        return None


def view_of(design: DesignDocument, name: str, callables: Callables) -> View:
    """Return a view of a design document that has it. Raises ViewFailedError."""
    view = design.built.get(name)
    if not isinstance(view, View) or not view.is_current(callables):
        view = design.built[name] = View(design.document["views"][name], callables)
    return view


def check_functions(design: dict[str, Any], callables: Callables) -> None:
    """Raise ViewFailedError if a function of a design document is none; the text says which.

    Nothing is raised where it cannot be known: without JavaScript.
    """
    for name, definition in design.get("views", {}).items():
        _check("map", name, lambda text: map_function(text, callables), definition["map"])
        if "reduce" in definition:
            reduce = definition["reduce"]
            _check("reduce", name, lambda text: reduce_function(text, callables), reduce)


def _check(kind: str, view: str, compiled: Callable[[str], object], text: str) -> None:
    try:
        compiled(text)
    except NoJavaScriptError:
        return
    except ViewFailedError as error:
        raise ViewFailedError(
            f"Syntax error in the {kind} function of the view `{view}': {error}"
        ) from None


def _calls_of(texts: tuple[Any, ...], callables: Callables) -> list[object]:
    return [callables.get(text) for text in texts]
