"""What operations give back. Built once per operation, so small and without checks."""

from __future__ import annotations

from itertools import islice
from typing import Any, TypeVar

from couchloop.exceptions import CouchbaseError

_SHOWN_KEYS = 5
_SHOWN_CHARACTERS = 200


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


class Result:
    """The outcome of an operation on one key.

    Attributes:
        key: As the caller gave it.
        rc: 0, or the code of SDK 2.5 of what went wrong (`NotFoundError.CODE` of a quiet get).

    """

    __slots__ = ("key", "rc")

    cas: int = 0
    value: Any = None

    def __init__(self, key: object, rc: int = 0) -> None:
        self.key: Any = key
        self.rc = rc

    @property
    def success(self) -> bool:
        """Whether the operation did what it was to do."""
        return self.rc == 0

    @property
    def errstr(self) -> str:
        """What `rc` means, in words."""
        if self.rc == 0:
            return "Success"
        return CouchbaseError.rc_to_exctype(self.rc)().message

    def _failure(self) -> str:
        return f", rc={self.rc:#04x} {self.errstr!r}" if self.rc else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}{self._failure()})"


class OperationResult(Result):
    """The outcome of an operation that changes a document.

    Attributes:
        cas: The document's new CAS, 0 if there is none.
        token: The mutation token (vbucket, vbucket UUID, sequence number, bucket), if the Bucket
            fetches them.

    """

    __slots__ = ("cas", "token")

    def __init__(
        self, key: object, cas: int, token: tuple[int, int, int, str] | None = None, rc: int = 0
    ) -> None:
        self.key: Any = key
        self.cas = cas
        self.token = token
        self.rc = rc

    @property
    def _mutinfo(self) -> tuple[int, int, int, str] | None:
        """The token, under the name that programs written for SDK 2.5 use."""
        return self.token

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, cas={self.cas:#x}{self._failure()})"


class ValueResult(OperationResult):
    """The outcome of an operation that reads a document, or counts in it.

    Attributes:
        value: The decoded value; None if there is none.
        flags: The document's flags: its format.

    """

    __slots__ = ("flags", "value")

    def __init__(
        self,
        key: object,
        value: object,
        cas: int,
        flags: int,
        rc: int = 0,
        token: tuple[int, int, int, str] | None = None,
    ) -> None:
        self.key: Any = key
        self.value: Any = value
        self.cas = cas
        self.flags = flags
        self.rc = rc
        self.token = token

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(key={self.key!r}, value={_short(self.value)}, "
            f"cas={self.cas:#x}, flags={self.flags:#x}{self._failure()})"
        )


R = TypeVar("R", bound=Result)


class MultiResult(dict[Any, R]):
    """The outcome of an operation on many keys: each key with its result."""

    @property
    def all_ok(self) -> bool:
        """Whether every key succeeded."""
        return all(result.rc == 0 for result in self.values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{k!r}: {_short(v)}" for k, v in islice(self.items(), _SHOWN_KEYS))
        more = ", …" if len(self) > _SHOWN_KEYS else ""
        bad = sum(result.rc != 0 for result in self.values())
        return f"<{type(self).__name__} of {len(self)}, {bad} failed: {{{shown}{more}}}>"
