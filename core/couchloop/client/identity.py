"""A constructor that gives the object that is there already, if there is one.

Which one is meant says only what reaches the innermost constructor, for a subclass may have one of
any form. So `__new__` runs the constructor, and gives the object that this found; Python, which
calls the constructor after `__new__`, then finds that it has run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from types import CodeType, FrameType
from typing import Any, Self, cast

from couchloop.safety.secret import is_seal


class _Found(BaseException):
    """Ends a constructor: what it means is there already. No handler of a user's sees it."""

    def __init__(self, found: object) -> None:
        super().__init__()
        self.found = found


class OneOfEach:
    """Whose constructor gives the object that is there already: its innermost one calls `_give`.

    The constructor runs once for each object. Where it is given another, it ends in the innermost
    one. But if there is anything in it that would see that end (`try`, `with`), it goes on to its
    end with an object that stands for the one that is there, and is forgotten then.
    """

    _has_begun = False
    """Whether the constructor has begun to run."""
    _stands_for: Self | None = None
    """What is there already."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        """Run the constructor; return the object, or that which it has found."""
        made = super().__new__(cls)
        try:
            # Here, for a constructor may be put into a class at any time, as decorators do.
            _guarded(cls)(made, *arguments, **keywords)
        except _Found as found:
            return cast("Self", found.found)
        else:
            return made._stands_for or made
        finally:
            # This frame is part of every error's traceback, which must keep neither the object nor
            # a password.
            del made, arguments, keywords

    def _give(self, found: Self) -> None:
        """Make the constructor return *found*; if this returns the innermost one is to end."""
        # The frame below ours is that of the innermost one.
        if not _is_seen(sys._getframe(2)):  # noqa: SLF001 - there is no other way
            raise _Found(found)
        vars(self).update(vars(found))
        self._stands_for = found


def _guarded(cls: type[OneOfEach]) -> Callable[..., None]:
    """Return the constructor of *cls*, which is made to run once for an object if it is not yet."""
    init = cast("Callable[..., None]", cls.__init__)
    guard: object = getattr(init, "guard", None)
    if guard is init:
        return init

    @wraps(init)
    def constructor(self: OneOfEach, /, *arguments: Any, **keywords: Any) -> None:
        try:
            # That of a base class runs within that of the object's own.
            if type(self).__init__ is constructor:
                if self._has_begun:
                    return
                self._has_begun = True
            init(self, *arguments, **keywords)
        finally:
            # As in `__new__`.
            del self, arguments, keywords

    # Not a mere flag: what wraps this one in turn takes over its attributes.
    constructor.guard = constructor  # type: ignore[attr-defined]
    cls.__init__ = constructor  # type: ignore[method-assign, assignment]
    return cast("Callable[..., None]", constructor)


def _is_seen(frame: FrameType | None) -> bool:
    """Whether anything would see an exception that goes from *frame* to `__new__`."""
    while frame is not None:
        code = frame.f_code
        if code is OneOfEach.__new__.__code__:
            return False
        # Ours let it through.
        is_ours = frame.f_globals is globals() or is_seal(code)
        if not is_ours and any(begin <= frame.f_lasti < end for begin, end in _handled(code)):
            return True
        frame = frame.f_back
    # Called by hand: nobody waits for it.
    return True


def _handled(code: CodeType) -> Iterator[tuple[int, int]]:
    """Return from where to where exceptions are handled, in bytes of *code* (its exception table).

    An entry is four numbers: begin and length in words of two bytes, where to go on, and how deep
    the stack is. A number is written in pieces of six bits, the highest first; bit 6 says that
    more follow, bit 7 that an entry begins.
    """
    numbers: list[int] = []
    number = 0
    for byte in code.co_exceptiontable:
        number = number << 6 | byte & 0x3F
        if byte & 0x40:
            continue
        numbers.append(number)
        number = 0
    for begin, length in zip(numbers[::4], numbers[1::4], strict=True):
        yield begin * 2, (begin + length) * 2
