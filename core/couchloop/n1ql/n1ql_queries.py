"""`n1ql_query`: a statement, or an N1QLQuery (SDK 2.5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from couchloop.arguments.exact import is_true
from couchloop.exceptions import ArgumentError
from couchloop.hot.operation import Defaults
from couchloop.n1ql.asking import of_object
from couchloop.n1ql.query import N1QLQuery
from couchloop.n1ql.stream import QueryStream
from couchloop.retries import RetryStrategy


def n1ql_query(
    defaults: Defaults,
    query: str | N1QLQuery,
    *args: Any,
    retry_strategy: RetryStrategy | None = None,
    row_factory: Any = None,
    timeout: float | timedelta | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    **kwargs: Any,
) -> QueryStream:
    """Run a statement of SQL++, which was called N1QL; its rows stream.

    Args:
        query: a statement, or an N1QLQuery, which has options, too.
        args: values for `$1`, `$2` and so on, of a statement.
        retry_strategy: whether and when it is tried again. None: as the Cluster or the Bucket says.
        row_factory: is called with each row, and gives what is given instead.
        timeout: seconds that it has; while rows wait to be taken none pass. None: as the N1QLQuery
            says, or the Bucket's `n1ql_timeout`.
        type: of the rows: what msgspec takes, as a Struct or a dataclass. None: as JSON says.
        kwargs: values for `$name`, of a statement; and `meta_lookahead`: False: `meta` and its like
            do not read on to the end, as they do by themselves on gevent.

    Rows that came before an error are given, then the error is raised: an N1QLError of a class that
    says what it is, with all that the service says. Nothing is sent before the first row is asked
    for. Of a collection, names without a path are those of its scope. Raises InvalidSettingError (a
    TypeError) for a query that is neither, ValueFormatError for a parameter that JSON cannot say.
    """
    given = {
        "retry_strategy": retry_strategy,
        "row_factory": row_factory,
        "timeout": timeout,
        "type": type,
    }
    others = {name: value for name, value in given.items() if value is not None}
    looks_ahead = kwargs.pop("meta_lookahead", True)
    if "itercls" in kwargs:
        raise ArgumentError(
            "itercls: a request of a class is made by it, as in MyRequest(query, bucket); on "
            "Twisted n1qlQueryEx hands rows to an object of a class"
        )
    if isinstance(query, N1QLQuery):
        stream = of_object(defaults, "n1ql_query", query, args, {**others, **kwargs})
    else:
        stream = of_object(defaults, "n1ql_query", N1QLQuery(query, *args, **kwargs), (), others)
    if not is_true(looks_ahead, "meta_lookahead"):
        stream.looks_ahead = False
    return stream
