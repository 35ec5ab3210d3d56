"""The headers of an answer as users are given them."""

from __future__ import annotations

from typing import Any


class Headers(dict[str, str]):
    """Names in lower case, and their values; a name is found however it is written (RFC 9110, 5.1).

    It is a dict, so that JSON and other code take it for what it is.
    """

    __slots__ = ()

    def __missing__(self, name: object) -> str:
        # Asked for what is not there as it is written: most ask in lower case.
        lower = _lower(name)
        if lower == name:
            raise KeyError(name)
        return self[lower]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(_lower(name))

    def get(self, name: str, default: Any = None, /) -> Any:
        """Return the value of a header, *default* if there is none of that name."""
        return super().get(_lower(name), default)


def _lower(name: Any) -> Any:
    return str.lower(name) if isinstance(name, str) else name
