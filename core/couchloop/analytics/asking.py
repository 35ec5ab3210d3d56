"""Analytics queries made of what they are told by: options, or an AnalyticsQuery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from couchloop.analytics import options
from couchloop.analytics.deferred import DeferredAnalyticsStream
from couchloop.analytics.query import AnalyticsQuery, DeferredAnalyticsQuery
from couchloop.analytics.stream import AnalyticsStream, Asked
from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.n1ql.asking import reader
from couchloop.n1ql.options import parameter, text
from couchloop.n1ql.query import N1QLQuery
from couchloop.operations.arguments import asking_by
from couchloop.safety.printable import first_in_quotes

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults


def of_options(
    defaults: Defaults,
    name: str,
    statement: object,
    args: Sequence[Any],
    given: dict[str, Any],
    kwargs: Mapping[str, Any],
) -> AnalyticsStream:
    """Return the stream of a statement, or of an AnalyticsQuery, and of options of all forms."""
    found: dict[str, Any] = {}
    values = []
    for each in args:
        if isinstance(each, options.AnalyticsOptions):
            found |= each
        else:
            values.append(each)
    found |= given
    if isinstance(statement, N1QLQuery):
        return of_object(defaults, name, statement, values, {**found, **kwargs})
    if values:
        if found.get("positional_parameters") is not None:
            raise ArgumentError("values are given as arguments and as positional_parameters")
        found["positional_parameters"] = values
    named: dict[str, Any] = {}
    for each, value in kwargs.items():
        if each in options.OPTIONS:
            found[each] = value
        else:
            named[parameter(each)] = value
    query = text(statement, "a statement")
    members = {**options.members_of(found), **named, "statement": query}
    return made(defaults, name, members, found, timeout=found.get("timeout"))


def of_object(
    defaults: Defaults,
    name: str,
    query: N1QLQuery,
    args: Sequence[Any],
    others: Mapping[str, Any],
    node: str = "",
) -> AnalyticsStream:
    """Return the stream of a query that is told by an AnalyticsQuery."""
    if not isinstance(query, AnalyticsQuery):
        kind = type(query).__name__
        raise InvalidSettingError(f"the analytics service takes an AnalyticsQuery, not {kind}")
    unknown = others.keys() - {"retry_strategy", "timeout", "type", "row_factory", "serializer"}
    if args or unknown:
        what = first_in_quotes(unknown) if unknown else "values"
        raise ArgumentError(f"an AnalyticsQuery has all that is said of it: set {what} there")
    timeout = others.get("timeout")
    return made(
        defaults,
        name,
        query.members,
        {**others, "priority": query.priority},
        timeout=query.timeout if timeout is None else timeout,
        node=node,
        interval=query.interval if isinstance(query, DeferredAnalyticsQuery) else 0.0,
    )


def made(
    defaults: Defaults,
    name: str,
    members: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    timeout: object,
    node: str = "",
    interval: float = 0.0,
) -> AnalyticsStream:
    """Return the stream of a query, which uses what *defaults* say where *given* does not."""
    defaults = asking_by(defaults, given.get("retry_strategy"))
    services = defaults.services
    if "query_context" not in members and services.context:
        members = {**members, "query_context": services.context}
    seconds = services.analytics_timeout if timeout is None else options.seconds(timeout, "timeout")
    has_priority = options.priority(given.get("priority"))
    kind = DeferredAnalyticsStream if interval else AnalyticsStream
    return kind(
        name, defaults, Asked(members, seconds, reader(given), has_priority, node, interval)
    )


def node_of(host: object) -> str:
    """Return the node that is meant by a host, `host:port` or a URL; empty: any.

    Raises InvalidSettingError (a TypeError) for what is no text.
    """
    if host is None:
        return ""
    given = text(host, "host")
    if "://" not in given:
        return given
    try:
        return urlsplit(given).netloc
    except ValueError:
        return given
