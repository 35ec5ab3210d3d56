"""The parameters of a request to a view: read, and refused as a server refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from couchloop.embedded.views.collation import sort_key

EXACT: Final = -1
"""The level of a grouping by whole keys."""


class ParameterError(Exception):
    """A request is refused with 400.

    Args:
        error: what kind of refusal: `query_parse_error` or `bad_request`.
        reason: why.
    """

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


class _Missing:
    """Stands for a key that is not given, for null is one."""


MISSING: Final = _Missing()


@dataclass(slots=True)
class Parameters:
    """What is asked of a view."""

    start_key: Any = MISSING
    end_key: Any = MISSING
    start_id: str | None = None
    end_id: str | None = None
    inclusive_end: bool = True
    keys: list[Any] | None = None
    descending: bool = False
    skip: int = 0
    limit: int | None = None
    can_reduce: bool = False
    """Whether the view has a reduce function."""
    reduce: bool = False
    """Whether rows are reduced: the view can, and nobody has said that they are not to be."""
    level: int = 0
    """So many elements of array keys make a group; 0: all is one group, EXACT: each key is one."""
    stale: str = "update_after"
    debug: bool = False
    stops_on_error: bool = False
    wants_all: bool = False
    """Whether a view for development is to see all documents."""


def read_parameters(
    query: Mapping[str, str], body: Mapping[str, Any] | None, *, can_reduce: bool
) -> Parameters:
    """Return what a request asks.

    Args:
        query: the URL's.
        body: the JSON object of a POST, from which keys are taken; None: it is no POST.
        can_reduce: whether the view has a reduce function.

    Raises ParameterError.
    """
    found = Parameters(can_reduce=can_reduce)
    found.keys = _keys(query, body)
    found.wants_all = query.get("full_set") == "true"
    found.stops_on_error = _stops_on_error(query, body)
    _check_timeout(query, body)
    found.reduce = can_reduce and query.get("reduce") != "false"
    if "group" in query and "group_level" in query:
        raise _unparsed("Query parameter `group_level` is not compatible with `group`")
    for name, text in query.items():
        read = _READERS.get(name)
        if read is not None:
            read(found, text)
    _check_range(found)
    if found.reduce and found.keys is not None and found.level != EXACT:
        raise _unparsed("Multi-key fetchs for reduce view must include `group=true`")
    return found


def _unparsed(reason: str) -> ParameterError:
    return ParameterError("query_parse_error", reason)


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def decode(text: str) -> Any:
    """Return JSON as what it means. Raises ParameterError."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ParameterError("bad_request", f"invalid UTF-8 JSON: {_quoted(text)}") from None


def _quoted(text: str) -> str:
    return json.dumps(text[:100], ensure_ascii=False)


def _keys(query: Mapping[str, str], body: Mapping[str, Any] | None) -> list[Any] | None:
    if body is not None:
        keys = body.get("keys")
    else:
        keys = decode(query["keys"]) if "keys" in query else None
    if keys is not None and not isinstance(keys, list):
        raise ParameterError("bad_request", "`keys` parameter is not an array.")
    return keys


def _stops_on_error(query: Mapping[str, str], body: Mapping[str, Any] | None) -> bool:
    said = (body or {}).get("on_error") or query.get("on_error", "continue")
    if said not in {"continue", "stop"}:
        raise ParameterError(
            "bad_request",
            f"Invalid value (`{said}`) for the parameter `on_error`."
            " It must be `continue` (default) or `stop`.",
        )
    return bool(said == "stop")


def _check_timeout(query: Mapping[str, str], body: Mapping[str, Any] | None) -> None:
    said = (body or {}).get("connection_timeout")
    if said is None and "connection_timeout" in query:
        said = decode(query["connection_timeout"])
    if said is not None and (not isinstance(said, int) or isinstance(said, bool)):
        raise ParameterError(
            "bad_request", "Query parameter `connection_timeout` must be an integer"
        )


def _check_range(found: Parameters) -> None:
    if found.keys is not None:
        for name, key in (("start_key", found.start_key), ("end_key", found.end_key)):
            if key is not MISSING:
                raise _unparsed(f"Query parameter `{name}` is not compatible with multi-get")
    if found.start_key is MISSING or found.end_key is MISSING:
        return
    start, end = key_of(found.start_key), key_of(found.end_key)
    if (start < end) if found.descending else (end < start):
        direction = "false" if found.descending else "true"
        raise _unparsed(
            "No rows can match your key range, reverse your start_key and end_key"
            f" or set descending={direction}"
        )


def key_of(key: Any) -> tuple[Any, ...]:
    """Return what a given key is compared by. Raises ParameterError if it is too deep."""
    try:
        return sort_key(key)
    except RecursionError:
        raise ParameterError("bad_request", "a key is nested too deeply") from None


# One reader per parameter -------------------------------------------------------------------------


def _bool(text: str) -> bool:
    said = text.lower()
    if said not in {"true", "false"}:
        raise _unparsed(f"Invalid boolean parameter: {_quoted(text)}")
    return said == "true"


def _count(text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise _unparsed(f"Invalid value for integer parameter: {_quoted(text)}")
    if int(text) < 0:
        raise _unparsed(f"Invalid value for positive integer parameter: {_quoted(text)}")
    return int(text)


_Reader = Callable[[Parameters, str], None]


def _read_key(found: Parameters, text: str) -> None:
    found.start_key = found.end_key = decode(text)


def _read_start(found: Parameters, text: str) -> None:
    found.start_key = decode(text)


def _read_end(found: Parameters, text: str) -> None:
    found.end_key = decode(text)


def _read_start_id(found: Parameters, text: str) -> None:
    found.start_id = text


def _read_end_id(found: Parameters, text: str) -> None:
    found.end_id = text


def _read_limit(found: Parameters, text: str) -> None:
    found.limit = _count(text)


def _read_old_limit(found: Parameters, text: str) -> None:  # noqa: ARG001
    raise _unparsed("Query parameter 'count' is now 'limit'.")


def _read_skip(found: Parameters, text: str) -> None:
    found.skip = _count(text)


def _read_stale(found: Parameters, text: str) -> None:
    said = text.lower()
    if said not in {"false", "ok", "update_after"}:
        raise _unparsed("stale only available as stale=ok, stale=update_after or stale=false")
    found.stale = said


def _read_descending(found: Parameters, text: str) -> None:
    found.descending = _bool(text)


def _read_inclusive_end(found: Parameters, text: str) -> None:
    found.inclusive_end = _bool(text)


def _read_debug(found: Parameters, text: str) -> None:
    found.debug = _bool(text)


def _read_reduce(found: Parameters, text: str) -> None:
    if _bool(text) and not found.can_reduce:
        raise _unparsed("Invalid URL parameter `reduce` for map view.")


def _read_group(found: Parameters, text: str) -> None:
    _group(found, EXACT if _bool(text) else 0)


def _read_group_level(found: Parameters, text: str) -> None:
    _group(found, _count(text))


def _group(found: Parameters, level: int) -> None:
    if not found.reduce:
        # The two blanks are a server's.
        raise _unparsed("Invalid URL parameter 'group' or  'group_level' for non-reduce view.")
    found.level = level


def _read_for_map_only(found: Parameters, text: str) -> None:
    if _bool(text) and found.reduce:
        raise _unparsed("Query parameter `include_docs` is invalid for reduce views.")


def _read_type(found: Parameters, text: str) -> None:  # noqa: ARG001
    if text.lower() not in {"main", "replica"}:
        raise _unparsed("_type only available as _type=main or _type=replica")


_READERS: Final[Mapping[str, _Reader]] = {
    "key": _read_key,
    "startkey": _read_start,
    "start_key": _read_start,
    "endkey": _read_end,
    "end_key": _read_end,
    "startkey_docid": _read_start_id,
    "start_key_doc_id": _read_start_id,
    "endkey_docid": _read_end_id,
    "end_key_doc_id": _read_end_id,
    "limit": _read_limit,
    "count": _read_old_limit,
    "skip": _read_skip,
    "stale": _read_stale,
    "descending": _read_descending,
    "inclusive_end": _read_inclusive_end,
    "debug": _read_debug,
    "reduce": _read_reduce,
    "group": _read_group,
    "group_level": _read_group_level,
    "include_docs": _read_for_map_only,
    "_type": _read_type,
}
"""What is in none of these is ignored."""
