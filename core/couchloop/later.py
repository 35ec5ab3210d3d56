"""What many programs never need, made where it is needed first: modules, regular expressions.

Type checkers are told of the real ones. **Nothing of ours is imported first in a plain thread**
where gevent may have patched the program: then the locks by which Python lets one thread at a time
import a module are gevent's, and threads of the system that want the same module at once can wait
for each other for ever. So whatever is put off here is imported in the loop's thread: when it is
used there, or all of it by `settle`, before a thread is given anything of ours.

Within one thread nothing can wait for an import: a module of ours does nothing when it is imported
that would switch to another greenlet.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["Module", "import_now", "importing", "one_at_a_time", "pattern", "settle"]


class Module:
    """Stands for a module until something of it is asked for, which imports it.

    Args:
        name: of the module.
        names: `globals()` of who uses it, where the module then takes the place of this: later
            uses cost what those of any module cost.
    """

    __slots__ = ("_name", "_names")

    def __init__(self, name: str, names: dict[str, Any]) -> None:
        self._name = name
        self._names = names
        _put_off.add(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(import_now(self), name)


_put_off: set[Module] = set()
"""What was not needed yet."""

_importing: AbstractContextManager[Any] = nullcontext()
"""Held while one is imported."""


def one_at_a_time(lock: AbstractContextManager[Any]) -> None:
    """Hold *lock* while anything is imported here: it must be a thread's, and reentrant.

    An adapter brings it whose Buckets may live in several threads, where Python's own locks cannot
    be relied on.
    """
    global _importing  # noqa: PLW0603 - the core has no locks
    _importing = lock


def import_now(module: Any) -> ModuleType:
    """Import what *module* stands for, unless it is a module already; return the module."""
    if not isinstance(module, Module):
        return module  # type: ignore[no-any-return]
    with importing():
        found = import_module(module._name)  # noqa: SLF001 - ours
        names = module._names  # noqa: SLF001 - ours
        for name in [name for name, value in [*names.items()] if value is module]:
            names[name] = found
        _put_off.discard(module)
    return found


def importing() -> AbstractContextManager[Any]:
    """Return what is held while something is imported that was put off."""
    return _importing


def settle() -> None:
    """Import all that was put off: threads that are not the loop's import nothing of ours then.

    What is not installed, or broken, says so where it is used.
    """
    missing: set[Module] = set()
    while waiting := _put_off - missing:
        for module in waiting:
            try:
                import_now(module)
            except ImportError:
                missing.add(module)


if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - used as re.compile is
        """A regular expression that is compiled when it is used.

        Args:
            text: of it, str or bytes.
            flags: as `re.compile` takes them.
        """

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self.pattern = text
            self._flags = flags

        def __getattr__(self, name: str) -> Any:
            found = getattr(re.compile(self.pattern, self._flags), name)
            setattr(self, name, found)
            return found
