"""Options of `view_query`, by the names of SDK 4, and the parameters that they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.safety.printable import in_quotes
from couchloop.views.params import (
    ONERROR_CONTINUE,
    ONERROR_STOP,
    STALE_OK,
    STALE_UPDATE_AFTER,
    STALE_UPDATE_BEFORE,
    ViewQuery,
)


class ViewScanConsistency(Enum):
    """How old rows may be."""

    NOT_BOUNDED = STALE_OK
    REQUEST_PLUS = STALE_UPDATE_BEFORE
    UPDATE_AFTER = STALE_UPDATE_AFTER


class ViewOrdering(Enum):
    """Where rows begin."""

    ASCENDING = "false"
    DESCENDING = "true"


class ViewErrorMode(Enum):
    """What is done where a node fails."""

    CONTINUE = ONERROR_CONTINUE
    STOP = ONERROR_STOP


class ViewOptions(dict[str, Any]):
    """Options of a query of a view as one object, which several queries may share.

    Args:
        options: by the names that `bucket.view_query` has for them. None: it is not said.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__({name: value for name, value in options.items() if value is not None})


def _word(kind: type[Enum]) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if isinstance(value, kind):
            return str(value.value)
        for each in kind:
            if isinstance(value, str) and value.lower() == each.name.lower():
                return str(each.value)
        among = ", ".join(each.name.lower() for each in kind)
        raise InvalidSettingError(f"{name} is one of {among}", objextra=value)

    return read


_consistency: Final = _word(ViewScanConsistency)
_order: Final = _word(ViewOrdering)
_on_error: Final = _word(ViewErrorMode)

_SAME: Final = (
    "debug",
    "endkey",
    "endkey_docid",
    "full_set",
    "group",
    "group_level",
    "inclusive_end",
    "key",
    "keys",
    "limit",
    "reduce",
    "skip",
    "startkey",
    "startkey_docid",
)
"""Options that are parameters by the same names."""
OTHERS: Final = (
    "client_context_id",
    "namespace",
    "query_string",
    "retry_strategy",
    "serializer",
    "timeout",
    "type",
)
"""Options that are more than that."""


def query_of(options: Mapping[str, Any]) -> ViewQuery:
    """Return the parameters that *options* mean. Raises ArgumentError, InvalidSettingError."""
    texts = options.get("query_string")
    texts = () if texts is None else texts
    is_list = isinstance(texts, Iterable) and not isinstance(texts, str)
    if not is_list or not all(isinstance(each, str) for each in texts):
        raise InvalidSettingError(
            "query_string is a list of texts, each a parameter with its value", objextra=texts
        )
    query = ViewQuery.from_string("&".join(texts)) if texts else ViewQuery()
    given = {name: options[name] for name in _SAME if name in options}
    for name, parameter, read in (
        ("scan_consistency", "stale", _consistency),
        ("order", "descending", _order),
        ("on_error", "on_error", _on_error),
    ):
        if options.get(name) is not None:
            given[parameter] = read(options[name], name)
    query.update(**given)
    raw = options.get("raw")
    if raw is None:
        return query
    pairs = dict([raw]) if isinstance(raw, tuple) and len(raw) == 2 else raw
    if not isinstance(pairs, Mapping) or not all(isinstance(each, str) for each in pairs):
        raise InvalidSettingError(
            "raw is a dict of parameters, by the server's names", objextra=raw
        )
    for name, value in pairs.items():
        if not isinstance(value, str):
            raise ArgumentError("what is raw is a text, as the server reads it", objextra=value)
        query.add_raw(name, value)
    return query


def check(options: Mapping[str, Any]) -> None:
    """Raise ArgumentError for an option that there is not."""
    known = {*_SAME, *OTHERS, "on_error", "order", "raw", "scan_consistency"}
    unknown = options.keys() - known
    if unknown:
        name = min(unknown, key=in_quotes)
        raise ArgumentError(f"a query of a view has no option {in_quotes(name)}", objextra=name)


def reader(serializer: Any) -> Callable[[bytes], Any] | None:
    """Return what reads rows as a serializer does; None: as JSON says."""
    if serializer is None:
        return None
    read = getattr(serializer, "deserialize", None)
    if not callable(read):
        raise InvalidSettingError("a serializer has a method deserialize", objextra=serializer)
    found: Callable[[bytes], Any] = read
    return found
