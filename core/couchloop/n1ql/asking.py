"""Queries made of what they are told by: options, values of parameters, or an N1QLQuery."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.n1ql import options
from couchloop.n1ql.options import QueryOptions
from couchloop.n1ql.stream import Query, QueryStream
from couchloop.operations.arguments import asking_by
from couchloop.operations.rows import row_reader
from couchloop.safety.printable import first_in_quotes, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.hot.operation import Defaults
    from couchloop.n1ql.query import N1QLQuery


def merged(
    statement: str, args: Sequence[Any], given: dict[str, Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options and the named values among *kwargs*, of all forms in which they are given."""
    found: dict[str, Any] = {}
    values = []
    for each in args:
        if isinstance(each, QueryOptions):
            found |= each
        else:
            values.append(each)
    found |= given
    if values:
        if found.get("positional_parameters") is not None:
            raise ArgumentError("values are given as arguments and as positional_parameters")
        found["positional_parameters"] = values
    named: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in options.MEMBERS or (name in options.OTHERS and name != "type"):
            found[name] = value
        elif re.search(rf"[$@]{re.escape(name)}\b", statement):
            named[options.parameter(name)] = value
        else:
            said = printable(str.__str__(name))
            raise ArgumentError(
                f"a query has no option {said!r}, and the statement no parameter ${said}",
                objextra=name,
            )
    return found, named


def stream_of(
    defaults: Defaults,
    name: str,
    statement: str,
    given: Mapping[str, Any],
    named: Mapping[str, Any],
) -> QueryStream:
    """Return the stream of a query that is told by its options."""
    members = {"metrics": False, **options.members_of(given), **named, "statement": statement}
    adhoc = given.get("adhoc", True)
    if not isinstance(adhoc, bool):
        raise InvalidSettingError("adhoc is True or False", objextra=adhoc)
    return made(defaults, name, members, given, is_adhoc=adhoc, timeout=given.get("timeout"))


def of_object(
    defaults: Defaults, name: str, asked: N1QLQuery, args: Sequence[Any], others: Mapping[str, Any]
) -> QueryStream:
    """Return the stream of a query that is told by an N1QLQuery."""
    unknown = others.keys() - {"retry_strategy", "timeout", "type", "row_factory", "serializer"}
    if args or unknown:
        what = first_in_quotes(unknown) if unknown else "values"
        raise ArgumentError(f"an N1QLQuery has all that is said of it: set {what} there")
    timeout = others.get("timeout", asked.timeout)
    return made(defaults, name, asked.members, others, is_adhoc=asked.adhoc, timeout=timeout)


def made(
    defaults: Defaults,
    name: str,
    members: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    is_adhoc: bool,
    timeout: object,
) -> QueryStream:
    """Return the stream of a query, which uses what *defaults* say where *given* does not."""
    defaults = asking_by(defaults, given.get("retry_strategy"))
    services = defaults.services
    if "query_context" not in members and services.context:
        members = {**members, "query_context": services.context}
    seconds = services.query_timeout if timeout is None else options.seconds(timeout, "timeout")
    grace = services.query_grace
    read = reader(given)
    return QueryStream(
        name,
        defaults,
        Query(members, seconds + grace, seconds if grace else None, is_adhoc, read),
    )


def reader(given: Mapping[str, Any]) -> Callable[[bytes], Any]:
    """Return what makes a row of its bytes."""
    found: Callable[[bytes], Any]
    kind, serializer = given.get("type"), given.get("serializer")
    factory = given.get("row_factory")
    if serializer is not None:
        read = getattr(serializer, "deserialize", None)
        if not callable(read):
            raise InvalidSettingError("a serializer has a method deserialize", objextra=serializer)
        if kind is not None:
            raise ArgumentError("a serializer and a type exclude each other")
        found = read
    else:
        found = row_reader(kind)
    if factory is None:
        return found
    if not callable(factory):
        raise InvalidSettingError("a row_factory is a function", objextra=factory)
    return lambda data: factory(found(data))
