"""What many programs never need, made where it is needed first: modules, regular expressions.

Type checkers are told of the real ones.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Module", "pattern"]


class Module:
    """A module that is imported when something of it is asked for.

    Args:
        name: of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self._name), name)
        # The next time it is found without this.
        setattr(self, name, found)
        return found


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
