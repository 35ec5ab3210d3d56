"""Subclasses of str and bytes each of whose methods raises: what is kept must be none of them."""

from __future__ import annotations

from typing import Any, NoReturn


class LieError(Exception):
    """A method of theirs was called."""


def _lie(*_: Any, **__: Any) -> NoReturn:
    raise LieError


_KEPT = {"__new__", "__init__", "__getattribute__", "__class__", "__init_subclass__", "__del__"}


def _methods(kind: type) -> dict[str, Any]:
    return {name: _lie for name in dir(kind) if callable(getattr(kind, name)) and name not in _KEPT}


LyingText = type("LyingText", (str,), _methods(str))
LyingBytes = type("LyingBytes", (bytes,), _methods(bytes))
