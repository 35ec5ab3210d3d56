"""What a view is asked for: parameters, by the names of SDK 2.5 (`couchbase.views.params`).

A query is checked when a parameter is set, and not sent by itself: `bucket.query` does that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Final, Self
from urllib.parse import quote

from couchloop.exceptions import ArgumentError
from couchloop.safety.printable import in_quotes

__all__ = [
    "ONERROR_CONTINUE",
    "ONERROR_STOP",
    "STALE_OK",
    "STALE_UPDATE_AFTER",
    "STALE_UPDATE_BEFORE",
    "UNSPEC",
    "Query",
    "QueryBase",
    "SpatialQuery",
    "ViewQuery",
]

STALE_UPDATE_BEFORE: Final = "false"
"""Changes made until now are in the rows."""
STALE_OK: Final = "ok"
"""Rows are of whatever the index has."""
STALE_UPDATE_AFTER: Final = "update_after"
"""Likewise, and the index follows afterwards. What a server does where nothing is said."""
ONERROR_CONTINUE: Final = "continue"
ONERROR_STOP: Final = "stop"

_TOO_LARGE: Final = 1 << 63
_LONGEST: Final = 2048
"""Bytes of parameters in a URL; longer `keys` are sent in a body."""


class _Unspec:
    """Stands for a parameter that is not given."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "<Placeholder>"

    def __copy__(self) -> _Unspec:
        return self

    def __deepcopy__(self, memo: object) -> _Unspec:
        return self


UNSPEC: Final = _Unspec()
"""Set in place of a value it takes a parameter back."""


# What values become ------------------------------------------------------------------------------


def _refused(text: str, value: object) -> ArgumentError:
    return ArgumentError(text, objextra=value)


def _bool(value: object) -> str:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise _refused("a text for a boolean is 'true' or 'false'", value)
        return value
    if not isinstance(value, int | float):
        raise _refused("a boolean is True or False, a number, 'true' or 'false'", value)
    return "true" if value else "false"


def _number(value: object) -> str:
    if isinstance(value, bool):
        raise _refused("a boolean is no number", value)
    if not isinstance(value, int | float | str):
        raise _refused("a number is expected", value)
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _refused("a number is expected", value) from None
    if not 0 <= number < _TOO_LARGE:
        raise _refused("a number from 0 on, of 63 bits, is expected", value)
    return str(number)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refused("a text or a number is expected", value)
    try:
        text = str(value)
        text.encode()
    except ValueError:
        raise _refused("this cannot be written as UTF-8", None) from None
    return text


def _stale(value: object) -> str:
    if isinstance(value, str) and value in {STALE_UPDATE_AFTER, STALE_OK, STALE_UPDATE_BEFORE}:
        return value
    try:
        said = _bool(value)
    except ArgumentError:
        names = f"{STALE_UPDATE_BEFORE!r}, {STALE_OK!r}, {STALE_UPDATE_AFTER!r}"
        raise _refused(f"stale is {names} or a boolean", value) from None
    return STALE_OK if said == "true" else STALE_UPDATE_BEFORE


def _on_error(value: object) -> str:
    if value not in (ONERROR_CONTINUE, ONERROR_STOP):
        raise _refused("on_error is 'continue' or 'stop'", value)
    return str(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise _refused("a key is a value that JSON has", value) from None


def _array(value: object) -> str:
    text = _json(value)
    if not text.startswith("["):
        raise _refused("a list or a tuple is expected", value)
    return text


_Converter = Callable[[object], str]

_COMMON: Final[Mapping[str, _Converter]] = {
    "stale": _stale,
    "skip": _number,
    "limit": _number,
    "full_set": _bool,
    "debug": _bool,
    "on_error": _on_error,
    "connection_timeout": _number,
}
_OF_VIEWS: Final[Mapping[str, _Converter]] = {
    **_COMMON,
    "descending": _bool,
    "inclusive_end": _bool,
    "reduce": _bool,
    "group": _bool,
    "group_level": _number,
    "key": _json,
    "keys": _array,
    "startkey": _json,
    "endkey": _json,
    "startkey_docid": _text,
    "endkey_docid": _text,
}
_SPATIAL: Final[Mapping[str, _Converter]] = {
    **_COMMON,
    "start_range": _array,
    "end_range": _array,
}


class _Parameter:
    """An attribute that is a parameter, or another name of one.

    Args:
        meaning: of it.
        name: the server's, if the attribute's is another.
    """

    def __init__(self, meaning: str, name: str = "") -> None:
        self.__doc__ = meaning
        self._name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = self._name or name

    def __get__(self, query: Any, owner: type | None = None) -> Any:
        return self if query is None else query._given.get(self._name, UNSPEC)  # noqa: SLF001

    def __set__(self, query: Any, value: Any) -> None:
        query._set(self._name, value)  # noqa: SLF001 - the two are one


class _Range:
    """An attribute that is two parameters: `[start]` or `[start, end]`.

    Args:
        meaning: of it.
        start, end: names of these.
    """

    def __init__(self, meaning: str, start: str, end: str) -> None:
        self.__doc__ = meaning
        self._name = ""
        self._pair = start, end

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, query: Any, owner: type | None = None) -> Any:
        return self if query is None else query._ranges.get(self._name, UNSPEC)  # noqa: SLF001

    def __set__(self, query: Any, value: Any) -> None:
        query._set_range(self._name, self._pair, value)  # noqa: SLF001 - the two are one


class QueryBase:
    """Parameters of a query.

    Args:
        passthrough: whether values are sent as they are: texts, percent-encoded already.
        unrecognized_ok: whether there may be parameters that are not known here.
        params: parameters by name.

    Raises ArgumentError for a parameter that there is not, a value that is none for it, or one that
    says the same as another.
    """

    _known: ClassVar[Mapping[str, _Converter]] = _COMMON

    STRING_RANGE_END: ClassVar[str] = "\u0fff"
    """Comes after all texts that begin alike: `["a", "a" + Query.STRING_RANGE_END]`."""

    stale = _Parameter("How old rows may be: one of the STALE_ constants; True means STALE_OK.")
    skip = _Parameter("How many rows are passed over.")
    limit = _Parameter("The most rows that are given.")
    full_set = _Parameter("Whether a view for development sees all documents.")
    debug = _Parameter("Whether the answer says how it came about.")
    on_error = _Parameter("'continue' or 'stop': what the server does when a node fails.")
    connection_timeout = _Parameter("Milliseconds that nodes wait for each other.")

    def __init__(
        self, passthrough: bool = False, unrecognized_ok: bool = False, **params: Any
    ) -> None:
        self.passthrough = passthrough
        self.unrecognized_ok = unrecognized_ok
        self._given: dict[str, Any] = {}
        self._sent: dict[str, str] = {}
        self._ranges: dict[str, Any] = {}
        self._extra: dict[str, str] = {}
        self._base = ""
        self.update(**params)

    def update(self, copy: bool = False, **params: Any) -> Self:
        """Set parameters; return the query, or with *copy* a new one that has them. See the class.

        Nothing is set if one of them is refused.
        """
        query = deepcopy(self)
        for name, value in params.items():
            if name.startswith("_") or not isinstance(
                getattr(type(self), name, None), _Parameter | _Range
            ):
                query._set(name, value)  # noqa: SLF001 - a copy of this one
            else:
                setattr(query, name, value)
        if copy:
            return query
        self.__dict__.update(query.__dict__)
        return self

    @classmethod
    def from_any(cls, params: Any, **options: Any) -> Self:
        """Return a query made of another one, of a mapping, or of a text (`from_string`).

        Args:
            params: that; None and an empty text stand for no parameters.
            options: what the constructor takes; not with another query.

        Raises ArgumentError.
        """
        if isinstance(params, cls):
            return deepcopy(params).update(**options)
        if isinstance(params, QueryBase):
            raise _refused(f"a {cls.__name__} is expected, not a {type(params).__name__}", params)
        if params is None or params == "":
            return cls(**options)
        if isinstance(params, Mapping):
            if not all(isinstance(name, str) for name in params):
                raise _refused("names of parameters are texts", params)
            return cls(**{**params, **options})
        if isinstance(params, str):
            return cls.from_string(params, **options)
        raise _refused(f"parameters are a {cls.__name__}, a mapping or a text", params)

    @classmethod
    def from_string(cls, qstr: str, **options: Any) -> Self:
        """Return a query that begins with a text of parameters, which is sent as it is.

        Args:
            qstr: the text, percent-encoded.
            options: what the constructor takes.

        Raises ArgumentError.
        """
        if not isinstance(qstr, str):
            raise _refused("a text is expected", qstr)
        if not qstr.isascii() or not qstr.isprintable() or " " in qstr or "#" in qstr:
            raise _refused("the text is not percent-encoded", qstr)
        query = cls(**options)
        query._base = qstr.strip("&?")
        return query

    @property
    def encoded(self) -> str:
        """All parameters as they stand in a URL."""
        return self._encode(self._sent)

    @property
    def has_blob(self) -> bool:
        """Whether something is sent that nobody has looked at."""
        return bool(self._base or self.unrecognized_ok or self.passthrough)

    def split(self) -> tuple[str, bytes | None]:
        """Return what stands in a URL, and the body of a POST; None: there is none.

        Keys are in a body where the URL would be too long.
        """
        encoded = self.encoded
        keys = self._sent.get("keys")
        if keys is None or self.passthrough or len(encoded) <= _LONGEST:
            return encoded, None
        rest = {name: text for name, text in self._sent.items() if name != "keys"}
        return self._encode(rest), b'{"keys":%b}' % keys.encode()

    def _encode(self, sent: Mapping[str, str]) -> str:
        pairs = {**sent, **self._extra}
        if not self.passthrough:
            pairs = {quote(name, safe=""): quote(text, safe="") for name, text in pairs.items()}
        parts = [f"{name}={text}" for name, text in pairs.items()]
        return "&".join([self._base, *parts] if self._base else parts)

    def add_raw(self, name: str, text: str) -> None:
        """Add a parameter as the server reads it, in place of what was said of it here.

        Raises ArgumentError for what cannot be written as UTF-8, or is no name.
        """
        if not isinstance(name, str) or not name:
            raise _refused("the name of a parameter is a text that is not empty", name)
        exact = _text(name)
        for kept in (self._given, self._sent):
            kept.pop(exact, None)
        self._extra[exact] = _text(text)

    # What attributes do

    def _set(self, name: str, value: Any) -> None:
        convert = self._known.get(name)
        if convert is None and not self.unrecognized_ok:
            there = ", ".join(sorted(self._known))
            raise _refused(
                f"there is no parameter {in_quotes(name)} (unrecognized_ok=True would send it): "
                f"there are {there}",
                value,
            )
        if value is UNSPEC:
            for kept in (self._given, self._sent, self._extra):
                kept.pop(name, None)
            return
        if self.passthrough or convert is None:
            text = _as_it_is(value) if self.passthrough else _text(value)
            (self._extra if convert is None else self._sent)[name] = text
        else:
            self._refuse_beside_range(name)
            self._sent[name] = convert(value)
        self._given[name] = value

    def _set_range(self, name: str, pair: tuple[str, str], value: Any) -> None:
        start, end = pair
        if value is not UNSPEC and not isinstance(value, list | tuple):
            raise _refused(f"{name} is a list or a tuple", value)
        if start in self._given or end in self._given:
            raise _refused(f"{name} says what {start} and {end} say: give one of them", value)
        self._ranges.pop(name, None)
        for each in pair:
            self._sent.pop(each, None)
        if not isinstance(value, list | tuple) or not value:
            return
        if len(value) > 2:
            raise _refused(f"{name} has one or two elements", value)
        for each, bound in zip(pair, value, strict=False):
            if bound is not UNSPEC:
                convert = _as_it_is if self.passthrough else self._known[each]
                self._sent[each] = convert(bound)
        self._ranges[name] = value

    def _refuse_beside_range(self, name: str) -> None:
        for attribute in self._ranges:
            pair = getattr(type(self), attribute)._pair  # noqa: SLF001 - ours
            if name in pair:
                raise _refused(f"{attribute} says what {name} says: give one of them", name)

    def __eq__(self, other: object) -> bool:
        """Whether another query of this kind asks the same."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}:{self.encoded!r}"


def _as_it_is(value: object) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable() or not set(text).isdisjoint(" #&"):
        raise _refused("with passthrough values are percent-encoded already", value)
    return text


class ViewQuery(QueryBase):
    """Parameters of a query of a view: see `QueryBase`."""

    _known = _OF_VIEWS

    descending = _Parameter("Whether rows come from the last to the first.")
    inclusive_end = _Parameter("Whether rows of `endkey` itself are given.")
    reduce = _Parameter("Whether rows are reduced, by views that can.")
    group = _Parameter("Whether rows are reduced by their whole keys.")
    group_level = _Parameter("By how many elements of array keys rows are reduced.")
    key = _Parameter("The key of all rows: any JSON value.")
    keys = _Parameter("Keys of rows, in the order in which rows are to come.")
    startkey = _Parameter("Where rows begin.")
    endkey = _Parameter("Where they end.")
    startkey_docid = _Parameter("The first document among those whose row has `startkey`.")
    endkey_docid = _Parameter("The last one, likewise.")
    mapkey_single = _Parameter("Another name of `key`.", "key")
    mapkey_multi = _Parameter("Another name of `keys`.", "keys")
    mapkey_range = _Range("`startkey` and, if there are two, `endkey`.", "startkey", "endkey")
    dockey_range = _Range(
        "`startkey_docid` and, if there are two, `endkey_docid`.",
        "startkey_docid",
        "endkey_docid",
    )


class SpatialQuery(QueryBase):
    """Parameters of a query of a spatial view, as servers before 7.0 have them."""

    _known = _SPATIAL

    start_range = _Parameter("The lower bound in each dimension, None for none.")
    end_range = _Parameter("The upper bound, likewise.")


Query = ViewQuery
"""What SDK 2.5 calls it too."""


class Params:
    """Names of parameters (SDK 2.5)."""

    CONNECTION_TIMEOUT: Final = "connection_timeout"
    DEBUG: Final = "debug"
    DESCENDING: Final = "descending"
    DOCKEY_RANGE: Final = "dockey_range"
    ENDKEY: Final = "endkey"
    ENDKEY_DOCID: Final = "endkey_docid"
    END_RANGE: Final = "end_range"
    FULL_SET: Final = "full_set"
    GROUP: Final = "group"
    GROUP_LEVEL: Final = "group_level"
    INCLUSIVE_END: Final = "inclusive_end"
    KEY: Final = "key"
    KEYS: Final = "keys"
    LIMIT: Final = "limit"
    MAPKEY_MULTI: Final = "mapkey_multi"
    MAPKEY_RANGE: Final = "mapkey_range"
    MAPKEY_SINGLE: Final = "mapkey_single"
    ON_ERROR: Final = "on_error"
    REDUCE: Final = "reduce"
    SKIP: Final = "skip"
    STALE: Final = "stale"
    STARTKEY: Final = "startkey"
    STARTKEY_DOCID: Final = "startkey_docid"
    START_RANGE: Final = "start_range"


def make_options_string(
    input: Any,  # noqa: A002 - SDK 2.5's name
    unrecognized_ok: bool = False,
    passthrough: bool = False,
) -> str:
    """Return parameters as they stand in a URL (SDK 2.5).

    Args:
        input: a query, a mapping or a text, as `QueryBase.from_any` takes them.
        unrecognized_ok: see `QueryBase`; not for a query.
        passthrough: likewise.

    Raises ArgumentError.
    """
    if isinstance(input, QueryBase):
        return input.encoded
    made = ViewQuery.from_any(input, unrecognized_ok=unrecognized_ok, passthrough=passthrough)
    return made.encoded
