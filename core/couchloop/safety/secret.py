"""Secrets that nothing shows by accident: no repr, no list of variables, no frame of an error.

Tools that report errors show the variables of every frame, and walk from there to whatever these
refer to. So a secret that is kept is a `Secret`, and a function that is given one in the clear is
`sealed`: its frames are no part of the errors that it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from hashlib import shake_256
from types import CodeType, FunctionType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_PAD: Final = b"couchloop: not to be read by chance"
_BEGIN: Final = shake_256(_PAD).digest(1024)
"""What turns the first bytes of all secrets: of most there are no more."""
_seals: Final[set[CodeType]] = set()
"""The code of what `sealed` makes: one, shared by all."""
_OURS: Final = frozenset({"couchloop", "gcouchbase", "txcouchbase"})


class Secret:
    """A text, or bytes, that is not there to be read; two of the same are equal.

    It is no encryption: whoever can run code in this process can ask for it. It keeps the secret
    out of what merely looks at objects.

    Args:
        clear: the secret; that of a text is its UTF-8 (a lone surrogate is kept).
    """

    __slots__ = ("_hidden",)

    def __init__(self, clear: str | bytes) -> None:
        if isinstance(clear, str):
            # A subclass may lie in its methods.
            clear = str.encode(clear, "utf-8", "surrogatepass")
        self._hidden = _turned(clear)

    def text(self) -> str:
        """Return the secret in the clear."""
        return _turned(self._hidden).decode("utf-8", "surrogatepass")

    def bytes(self) -> bytes:
        """Return the secret in the clear, a text as its UTF-8."""
        return _turned(self._hidden)

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def __eq__(self, other: object) -> bool:
        return self._hidden == other._hidden if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._hidden)

    def __repr__(self) -> str:
        return "***"


def _turned(data: bytes) -> bytes:
    """Hide *data*, or show again what was hidden."""
    size = len(data)
    pad = _BEGIN[:size] if size <= len(_BEGIN) else shake_256(_PAD).digest(size)
    return (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(len(data))


def as_secret(secret: str | bytes | Secret) -> Secret:
    """Return *secret* as it is to be kept."""
    return secret if isinstance(secret, Secret) else Secret(secret)


def sealed(function: Callable[P, T]) -> Callable[P, T]:
    """Make *function* raise its errors without our frames: their variables hold secrets."""

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> T:
        try:
            return function(*arguments, **keywords)
        except BaseException as error:
            strip_frames(error)
            raise
        finally:
            # This frame is part of the traceback.
            del arguments, keywords

    _seals.add(cast("FunctionType", call).__code__)
    return call


def is_seal(code: CodeType) -> bool:
    """Whether *code* is that of `sealed`, which lets every exception through."""
    return code in _seals


def strip_frames(error: BaseException) -> None:
    """Remove our frames from the tracebacks of *error* and of all errors behind it.

    Those of users' code (a subclass, a factory) stay. What `raise … from None` has set aside goes.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _of_others(each.__traceback__)
        if each.__suppress_context__:
            each.__context__ = None
        waiting += _behind(each)


def _behind(error: BaseException) -> Iterator[BaseException]:
    context: Any = getattr(error, "context", None)
    linked: list[Any] = [error.__cause__, error.__context__, getattr(error, "inner_cause", None)]
    linked += [each for _, each in getattr(context, "seeds", ())]
    if isinstance(error, BaseExceptionGroup):
        linked += error.exceptions
    return (each for each in linked if isinstance(each, BaseException))


def _of_others(traceback: TracebackType | None) -> TracebackType | None:
    kept_ones = []
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _OURS:
            kept_ones.append(traceback)
        traceback = traceback.tb_next
    following: TracebackType | None = None
    for each in reversed(kept_ones):
        following = TracebackType(following, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return following
