"""What may be said of an analytics query beside its statement, and the form in which it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from couchloop.arguments.exact import is_true
from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.n1ql import options as of_queries
from couchloop.n1ql.options import MEMBERS, Member, parameters, text
from couchloop.safety.printable import in_quotes

NOT_BOUNDED: Final = "not_bounded"
"""The query sees what datasets have (the default)."""
REQUEST_PLUS: Final = "request_plus"
"""The query waits until datasets have all that was changed before it."""


class AnalyticsScanConsistency(Enum):
    """Whether a query waits for changes (SDK 4)."""

    NOT_BOUNDED = NOT_BOUNDED
    REQUEST_PLUS = REQUEST_PLUS


class AnalyticsOptions(dict[str, Any]):
    """Options of a query as one object, which several queries may share (SDK 4).

    Args:
        options: by the names that `cluster.analytics_query` has for them. None: it is not said.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__({name: value for name, value in options.items() if value is not None})


def consistency(value: object, name: str = "scan_consistency") -> str:
    """Return what the service calls a consistency. Raises InvalidSettingError."""
    found = getattr(value, "value", value)
    if isinstance(found, str) and found.lower() in {NOT_BOUNDED, REQUEST_PLUS}:
        return found.lower()
    raise InvalidSettingError(f"{name} is {NOT_BOUNDED} or {REQUEST_PLUS}", objextra=value)


_MEMBERS: Final = {
    "client_context_id": MEMBERS["client_context_id"],
    "query_context": MEMBERS["query_context"],
    "readonly": MEMBERS["readonly"],
    "scan_consistency": Member("scan_consistency", consistency),
}
OPTIONS: Final = frozenset(
    {
        *_MEMBERS,
        "named_parameters",
        "positional_parameters",
        "priority",
        "raw",
        "retry_strategy",
        "row_factory",
        "serializer",
        "timeout",
        "type",
    }
)
"""What a query may be told, by name."""


def members_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that options mean; those that are None are not said.

    Raises ArgumentError for an option that there is not, InvalidSettingError (a TypeError) for a
    value that it cannot have.
    """
    unknown = given.keys() - OPTIONS
    if unknown:
        name = min(unknown, key=in_quotes)
        raise ArgumentError(
            f"an analytics query has no option {in_quotes(name)}: parameters are named_parameters, "
            "and members of the request that have no option are raw",
            objextra=name,
        )
    members = parameters(given.get("positional_parameters"), given.get("named_parameters"))
    for name, member in _MEMBERS.items():
        value = given.get(name)
        if value is not None:
            members[member.name] = member.form(value, name)
    raw = given.get("raw")
    if raw is not None:
        if not isinstance(raw, Mapping):
            raise InvalidSettingError("raw is a dict of members of the request", objextra=raw)
        members |= {text(name, "the name of a member"): value for name, value in raw.items()}
    return members


def priority(value: object) -> bool:
    """Return whether a query goes before others. Raises InvalidSettingError (a TypeError)."""
    return value is not None and is_true(value, "priority")


seconds = of_queries.seconds
