"""Members of a request's JSON as attributes, which are checked when they are set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.exceptions import InvalidSearchError, InvalidSettingError

T = TypeVar("T")

Location = Sequence[float] | Mapping[str, float] | str
"""A place: (longitude, latitude), a mapping of `lon` and `lat`, or a text: "latitude,longitude",
or a geohash."""

WireLocation = list[float | int] | dict[str, float | int] | str
"""One as it is sent."""


class Part:
    """Something that is an object in the JSON of a request."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}

    def _assign(self, **given: object) -> None:
        """Set attributes; those that are None are left alone. Raises if two are the same member."""
        for attribute, value in given.items():
            if value is None:
                continue
            member: Member[Any] = getattr(type(self), attribute)
            if member.name in self._members:
                raise InvalidSearchError(f"{attribute} is given twice, by two names")
            setattr(self, attribute, value)

    @property
    def encodable(self) -> dict[str, Any]:
        """Return it as JSON can say it. Raises what `validate` does."""
        self.validate()
        return dict(self._members)

    def validate(self) -> None:
        """Raise if it lacks something; it is looked at when it is sent."""

    def __eq__(self, other: object) -> bool:
        """Whether it is the same kind of thing, and says the same."""
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._members == other._members)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._members!r}>"


class Member(Generic[T]):
    """One member of a `Part`, as an attribute: None is none.

    Args:
        name: of the member in JSON.
        check: is given what is set, and the attribute's name; returns what is sent, or raises.
        doc: what it is.
    """

    def __init__(self, name: str, check: Callable[[object, str], T], doc: str) -> None:
        self.name = name
        self.check = check
        self.__doc__ = doc
        self._attribute = name

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...

    @overload
    def __get__(self, part: Part, owner: type) -> T | None: ...

    def __get__(self, part: Part | None, owner: type) -> Self | T | None:
        if part is None:
            return self
        found: T | None = part._members.get(self.name)  # noqa: SLF001 - the two are one
        return found

    def __set__(self, part: Part, value: object) -> None:
        if value is None:
            self.__delete__(part)
        else:
            part._members[self.name] = self.check(value, self._attribute)  # noqa: SLF001 - likewise

    def __delete__(self, part: Part) -> None:
        part._members.pop(self.name, None)  # noqa: SLF001 - likewise


class Needed(Member[T]):
    """A member that is never missing: None is refused."""

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...

    @overload
    def __get__(self, part: Part, owner: type) -> T: ...

    def __get__(self, part: Part | None, owner: type) -> Self | T:
        if part is None:
            return self
        found: T = part._members[self.name]  # noqa: SLF001 - the two are one
        return found

    def __set__(self, part: Part, value: object) -> None:
        part._members[self.name] = self.check(value, self._attribute)  # noqa: SLF001 - likewise

    def __delete__(self, part: Part) -> None:
        raise InvalidSearchError(f"{self._attribute} cannot be taken away")


# What members may be ------------------------------------------------------------------------------


def text(value: object, what: str) -> str:
    """Return a text. Raises InvalidSettingError (a TypeError)."""
    if not isinstance(value, str):
        raise InvalidSettingError(f"{what} is a text, not {type(value).__name__}", objextra=value)
    return str.__str__(value)


def name(value: object, what: str) -> str:
    """Return a text that is not empty. Raises InvalidSettingError, InvalidSearchError."""
    found = text(value, what)
    if not found:
        raise InvalidSearchError(f"{what} is empty")
    return found


def number(value: object, what: str) -> float | int:
    """Return a finite number. Raises InvalidSettingError; InvalidSearchError (a ValueError)."""
    found: float | int | None = exact_integer(value)
    if found is None and isinstance(value, float):
        found = float.__float__(value)
    if found is None:
        raise InvalidSettingError(f"{what} is a number, not {type(value).__name__}", objextra=value)
    if not _fits(found):
        raise InvalidSearchError(f"{what} is a finite number", objextra=value)
    return found


def _fits(found: float) -> bool:
    try:
        return isfinite(found)
    except OverflowError:
        # An integer that no float can be.
        return False


def count(value: object, what: str) -> int:
    """Return an integer that is not negative. Raises InvalidSettingError, InvalidSearchError."""
    found = exact_integer(value)
    if found is None:
        text_ = f"{what} is an integer, not {type(value).__name__}"
        raise InvalidSettingError(text_, objextra=value)
    if not 0 <= found < 1 << 63:
        raise InvalidSearchError(f"{what} must not be negative, nor have 64 bits", objextra=value)
    return found


def positive(value: object, what: str) -> int:
    """Return an integer above 0. Raises InvalidSettingError, InvalidSearchError."""
    found = count(value, what)
    if not found:
        raise InvalidSearchError(f"{what} must be at least 1", objextra=value)
    return found


def flag(value: object, what: str) -> bool:
    """Return True or False. Raises InvalidSettingError."""
    return is_true(value, what)


def names(value: object, what: str) -> list[str]:
    """Return a list of texts. Raises InvalidSettingError, also for one text alone."""
    return [text(each, what) for each in listed(value, what)]


def listed(value: object, what: str) -> list[object]:
    """Return what an iterable has that is no text. Raises InvalidSettingError."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping):
        return list(value)
    raise InvalidSettingError(f"{what} is a list, not {type(value).__name__}", objextra=value)


def place(value: object, what: str) -> WireLocation:
    """Return a place as it is sent (see `Location`).

    Raises InvalidSettingError, InvalidSearchError.
    """
    if isinstance(value, str):
        return name(value, what)
    if isinstance(value, Mapping):
        lat = value.get("lat")
        lon = value.get("lon", value.get("lng"))
        return {"lon": number(lon, f"lon of {what}"), "lat": number(lat, f"lat of {what}")}
    found = listed(value, what)
    if len(found) != 2:
        raise InvalidSearchError(f"{what} is a longitude and a latitude", objextra=value)
    return [number(each, what) for each in found]


def one_of(*known: str) -> Callable[[object, str], str]:
    """Return a check that a text, or an Enum's value, is one of these."""

    def check(value: object, what: str) -> str:
        found = text(getattr(value, "value", value), what).lower()
        if found not in known:
            raise InvalidSearchError(f"{what} is one of {', '.join(known)}", objextra=value)
        return found

    return check
