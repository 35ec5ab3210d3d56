"""What may be said of a query beside its statement, and the form in which the service takes it.

A request to the query service is one JSON object; each option is a member of it. Its types are
checked strictly there, so they are checked here first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.safety.printable import in_quotes

NOT_BOUNDED: Final = "not_bounded"
"""Indexes are used as they are (the default)."""
REQUEST_PLUS: Final = "request_plus"
"""Indexes are waited for until they have all that was changed before the query."""
STATEMENT_PLUS: Final = "statement_plus"
"""The same."""
AT_PLUS: Final = "at_plus"
"""Likewise all that a MutationState has."""
UNBOUNDED: Final = "none"
"""SDK 2.5's older name: not said at all."""
CONSISTENCY_UNBOUNDED: Final = NOT_BOUNDED
CONSISTENCY_REQUEST: Final = REQUEST_PLUS
CONSISTENCY_NONE: Final = UNBOUNDED
"""Names that SDK 2.5 keeps from before."""
PROFILE_OFF: Final = "off"
PROFILE_PHASES: Final = "phases"
PROFILE_TIMINGS: Final = "timings"
VALID_PROFILES: Final = (PROFILE_OFF, PROFILE_TIMINGS, PROFILE_PHASES)

_CONSISTENCIES: Final = frozenset({NOT_BOUNDED, REQUEST_PLUS, STATEMENT_PLUS, AT_PLUS})
_PROFILES: Final = frozenset(VALID_PROFILES)
_LONGEST_ID: Final = 64


class QueryScanConsistency(Enum):
    """What a query is to see of changes (SDK 4)."""

    NOT_BOUNDED = NOT_BOUNDED
    REQUEST_PLUS = REQUEST_PLUS
    AT_PLUS = AT_PLUS


class QueryProfile(Enum):
    """How much a query tells of its own work (SDK 4)."""

    OFF = PROFILE_OFF
    PHASES = PROFILE_PHASES
    TIMINGS = PROFILE_TIMINGS


class QueryOptions(dict[str, Any]):
    """Options of a query as one object, which several queries may share (SDK 4).

    Args:
        options: by the names that `cluster.query` has for them. None: it is not said.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__({name: value for name, value in options.items() if value is not None})


def seconds(value: object, name: str) -> float:
    """Return a time in seconds: a number, or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        return exact_seconds(value)
    except ArgumentError as error:
        error.message = error.message.replace("timeout", name, 1)
        raise


def milliseconds(time: float) -> str:
    """Return a time as the service has them."""
    return f"{max(1, round(time * 1000))}ms"


def _flag(value: object, name: str) -> bool:
    return is_true(value, name)


def _digits(value: object, name: str) -> str:
    """Return a number as text: the service wants it so."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return value
    number = exact_integer(value)
    if number is None or not 0 <= number < 10**9:
        raise InvalidSettingError(f"{name} is a whole number, 0 or more", objextra=value)
    return str(number)


def _word(words: frozenset[str], value: object, name: str) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str) and value.lower() in words:
        return value.lower()
    among = ", ".join(sorted(words))
    raise InvalidSettingError(f"{name} is one of {among}", objextra=value)


def consistency(value: object, name: str = "scan_consistency") -> str:
    """Return what the service calls a consistency."""
    return _word(_CONSISTENCIES, value, name)


def profile(value: object, name: str = "profile") -> str:
    """Return what the service calls a profile."""
    return _word(_PROFILES, value, name)


def text(value: object, name: str) -> str:
    """Return what is a text."""
    if not isinstance(value, str):
        raise InvalidSettingError(f"{name} is a str, not {type(value).__name__}", objextra=value)
    return str.__str__(value)


def _context_id(value: object, name: str) -> str:
    given = text(value, name)
    if not given or len(given.encode("utf-8", "replace")) > _LONGEST_ID or set(given) & {'"', "\\"}:
        raise InvalidSettingError(
            f"{name} has 1 to {_LONGEST_ID} bytes, and neither quotation marks nor backslashes",
            objextra=value,
        )
    return given


def _on_or_off(value: object, name: str) -> str:
    return "on" if is_true(value, name) else "off"


def _wait(value: object, name: str) -> str:
    return milliseconds(seconds(value, name))


class Member(NamedTuple):
    """How an option stands in a request."""

    name: str
    form: Callable[[object, str], Any]


MEMBERS: Final[Mapping[str, Member]] = {
    "client_context_id": Member("client_context_id", _context_id),
    "flex_index": Member("use_fts", _flag),
    "max_parallelism": Member("max_parallelism", _digits),
    "metrics": Member("metrics", _flag),
    "pipeline_batch": Member("pipeline_batch", _digits),
    "pipeline_cap": Member("pipeline_cap", _digits),
    "preserve_expiry": Member("preserve_expiry", _flag),
    "profile": Member("profile", profile),
    "query_context": Member("query_context", text),
    "read_only": Member("readonly", _flag),
    "readonly": Member("readonly", _flag),
    "scan_cap": Member("scan_cap", _digits),
    "scan_consistency": Member("scan_consistency", consistency),
    "scan_wait": Member("scan_wait", _wait),
    "use_replica": Member("use_replica", _on_or_off),
}
"""Options that are members as they are."""

OTHERS: Final = frozenset(
    {
        "adhoc",
        "consistent_with",
        "named_parameters",
        "positional_parameters",
        "raw",
        "retry_strategy",
        "row_factory",
        "serializer",
        "timeout",
        "type",
    }
)
"""Options that are more than that."""

_KNOWN: Final = MEMBERS.keys() | OTHERS


def vectors(state: object) -> dict[str, Any]:
    """Return the members that have a query see the changes of a MutationState.

    Raises InvalidSettingError (a TypeError, as in SDK 2.5) for anything else, and an empty one.
    """
    changes = getattr(state, "as_dict", None)
    if not callable(changes):
        kind = type(state).__name__
        raise InvalidSettingError(f"consistent_with is a MutationState, not {kind}", objextra=state)
    if not state:
        raise InvalidSettingError("the MutationState has no changes: add results to it first")
    return {"scan_consistency": AT_PLUS, "scan_vectors": changes()}


def parameters(positional: object, named: object) -> dict[str, Any]:
    """Return the members that have the values of a statement's parameters."""
    members: dict[str, Any] = {}
    if positional is not None:
        if not isinstance(positional, Sequence) or isinstance(positional, str | bytes | bytearray):
            raise InvalidSettingError("positional_parameters is a list", objextra=positional)
        members["args"] = list(positional)
    if named is not None:
        if not isinstance(named, Mapping):
            raise InvalidSettingError("named_parameters is a dict", objextra=named)
        for name, value in named.items():
            members[parameter(name)] = value
    return members


def parameter(name: object) -> str:
    """Return a parameter's name with the `$` that it has in a request."""
    given = text(name, "the name of a parameter")
    bare = given.removeprefix("$").removeprefix("@")
    if not bare:
        raise InvalidSettingError("a named parameter has a name", objextra=name)
    return given if given[0] in "$@" else f"${given}"


def members_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that *options* mean; those that are None are not said.

    Raises ArgumentError for an option that there is not, InvalidSettingError (a TypeError) for a
    value that it cannot have.
    """
    unknown = options.keys() - _KNOWN
    if unknown:
        name = min(unknown, key=in_quotes)
        raise ArgumentError(
            f"a query has no option {in_quotes(name)}: parameters are named_parameters, and "
            "members of the request that have no option are raw",
            objextra=name,
        )
    members = parameters(options.get("positional_parameters"), options.get("named_parameters"))
    # In one order, for two of them may mean the same member.
    for name in sorted(options.keys() & MEMBERS.keys()):
        value = options[name]
        if value is not None:
            member = MEMBERS[name]
            members[member.name] = member.form(value, name)
    state = options.get("consistent_with")
    if state is not None:
        if members.get("scan_consistency", AT_PLUS) != AT_PLUS:
            raise InvalidSettingError(
                "consistent_with and another scan_consistency exclude each other"
            )
        members |= vectors(state)
    elif members.get("scan_consistency") == AT_PLUS and "raw" not in options:
        raise InvalidSettingError("scan_consistency at_plus goes with consistent_with")
    raw = options.get("raw")
    if raw is not None:
        if not isinstance(raw, Mapping):
            raise InvalidSettingError("raw is a dict of members of the request", objextra=raw)
        members |= {text(name, "the name of a member"): value for name, value in raw.items()}
    return members
