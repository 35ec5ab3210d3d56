"""Indexes for queries, as statements of SQL++ make, drop, build and list them (RFC 54)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from couchloop.arguments.exact import exact_integer, exact_text, is_true
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidSettingError,
    KeyspaceNotFoundError,
    N1QLError,
    ProtocolError,
    QueryBucketNotFoundError,
    QueryCollectionNotFoundError,
    QueryIndexExistsError,
    QueryIndexNotFoundError,
    UnambiguousTimeoutError,
    WatchQueryIndexTimeoutError,
)
from couchloop.http.service import JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import check, read_json, unreadable
from couchloop.management.buckets import Progress
from couchloop.n1ql.errors import did_not_run, error_of
from couchloop.n1ql.stream import PATH
from couchloop.operations.procedure import Pause, Steps, asked_until_run
from couchloop.records import record
from couchloop.retries import RetryReason

__all__ = [
    "Keyspace",
    "QueryIndex",
]

_DEFAULT: Final = "_default"
PRIMARY: Final = "#primary"
"""How a primary index is called that was given no name."""
POLL: Final = 0.1
"""Seconds between two looks whether an index is online."""


class Keyspace(NamedTuple):
    """What indexes are of: a bucket, as ever, or a collection."""

    bucket: str
    scope: str = ""
    """Empty: the bucket is meant, as ever."""
    collection: str = ""

    @property
    def path(self) -> str:
        """How a statement calls it."""
        parts = [self.bucket, self.scope, self.collection] if self.scope else [self.bucket]
        return "default:" + ".".join(map(quoted, parts))

    @property
    def condition(self) -> str:
        """What holds of its indexes in `system:indexes`; the parameters are `parameters`."""
        of_bucket = "(bucket_id IS MISSING AND keyspace_id = $bucket_name)"
        if not self.scope:
            return f"(bucket_id = $bucket_name OR {of_bucket})"
        of_scope = "bucket_id = $bucket_name AND scope_id = $scope_name"
        if not self.collection:
            return f"({of_scope})"
        found = f"({of_scope} AND keyspace_id = $collection_name)"
        # That of the bucket, as ever.
        is_default = (self.scope, self.collection) == (_DEFAULT, _DEFAULT)
        return f"({found} OR {of_bucket})" if is_default else found

    @property
    def parameters(self) -> dict[str, str]:
        """The values of the parameters in `condition`."""
        return {
            "$bucket_name": self.bucket,
            "$scope_name": self.scope,
            "$collection_name": self.collection,
        }


def keyspace(bucket: object, scope: object = None, collection: object = None) -> Keyspace:
    """Return what indexes are of.

    Raises InvalidSettingError (a TypeError) for names that are no text, ArgumentError for one of a
    scope or a collection alone.
    """
    names = ["" if each is None else name_of(each, "a name") for each in (scope, collection)]
    if bool(names[0]) != bool(names[1]):
        raise ArgumentError("scope_name and collection_name go together")
    return Keyspace(name_of(bucket, "the name of a bucket"), *names)


def name_of(given: object, what: str) -> str:
    """Return a name that is a text, and not empty."""
    exact = exact_text(given)
    if not exact:
        raise InvalidSettingError(f"{what} is a str that is not empty", objextra=given)
    return exact


def quoted(name: str) -> str:
    """Return a name as a statement has it."""
    return "`" + name.replace("`", "``") + "`"


@record(frozen=True, slots=True)
class QueryIndex:
    """An index, as `system:indexes` has it."""

    name: str
    is_primary: bool = False
    type: str = "gsi"
    state: str = ""
    """`online`, `deferred`, `building` and others."""
    bucket_name: str = ""
    scope_name: str | None = None
    collection_name: str | None = None
    index_key: tuple[str, ...] = ()
    """What is indexed, as SQL++ writes it."""
    condition: str | None = None
    """Of documents that are indexed; None: all are."""
    partition: str | None = None
    datastore_id: str = ""
    namespace: str = "default"

    @property
    def keyspace(self) -> str:
        """The collection's name, or that of the bucket, as ever."""
        return self.collection_name or self.bucket_name


def index_of(row: Mapping[str, Any]) -> QueryIndex:
    """Return what a row of `system:indexes` says. Raises ProtocolError unless it is one."""
    name, keys = row.get("name"), row.get("index_key", ())
    if not isinstance(name, str) or not isinstance(keys, Sequence):
        raise ProtocolError("the query service lists indexes in a form that cannot be read")
    bucket = row.get("bucket_id")
    place = str(row.get("keyspace_id", ""))
    return QueryIndex(
        name,
        row.get("is_primary") is True,
        str(row.get("using", "gsi")),
        str(row.get("state", "")),
        place if bucket is None else str(bucket),
        None if bucket is None else str(row.get("scope_id", "")),
        None if bucket is None else place,
        tuple(map(str, keys)),
        _text(row.get("condition")),
        _text(row.get("partition")),
        str(row.get("datastore_id", "")),
        str(row.get("namespace_id", "default")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# Statements


def created(
    where: Keyspace,
    name: str | None,
    fields: Sequence[str] | None,
    *,
    condition: str | None = None,
    deferred: bool = False,
    replicas: int | None = None,
) -> str:
    """Return the statement that makes an index; without *fields* a primary one."""
    options: dict[str, Any] = {}
    if deferred:
        options["defer_build"] = True
    if replicas is not None:
        options["num_replica"] = replicas
    kind = "INDEX" if fields is not None else "PRIMARY INDEX"
    parts = ["CREATE", kind, *([quoted(name)] if name else []), "ON"]
    keys = "" if fields is None else f"({', '.join(fields)})"
    parts.append(where.path + keys)
    if condition is not None:
        parts += ["WHERE", condition]
    parts.append("USING GSI")
    if options:
        parts += ["WITH", json.dumps(options, separators=(",", ":"))]
    return " ".join(parts)


def dropped(where: Keyspace, name: str | None) -> str:
    """Return the statement that drops an index; None: the primary one without a name."""
    if name is None:
        return f"DROP PRIMARY INDEX ON {where.path} USING GSI"
    if where.scope:
        return f"DROP INDEX {quoted(name)} ON {where.path} USING GSI"
    return f"DROP INDEX {quoted(where.bucket)}.{quoted(name)} USING GSI"


def listing(condition: str) -> str:
    """Return the statement that lists indexes."""
    return (
        f'SELECT `idx`.* FROM system:indexes AS idx WHERE {condition} AND `using` = "gsi" '  # noqa: S608 - names are parameters
        "ORDER BY is_primary DESC, name ASC"
    )


def building(where: Keyspace, names: Iterable[str]) -> str:
    """Return the statement that builds indexes."""
    return f"BUILD INDEX ON {where.path} ({','.join(map(quoted, names))})"


# What a caller gives


def fields_of(given: object) -> list[str]:
    """Return what is indexed: names of members, quoted, or expressions as they are."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidSettingError("what is indexed is a list of str", objextra=given)
    fields = [name_of(each, "what is indexed") for each in given]
    if not fields:
        raise ArgumentError("an index is of one member at least: give their names")
    # What is no bare name is an expression of SQL++.
    return [quoted(each) if each.isidentifier() else each for each in fields]


def number_of(given: object, name: str) -> int | None:
    """Return a number of copies; None: it is not said."""
    number = None if given is None else exact_integer(given)
    if given is not None and (number is None or number < 0):
        raise InvalidSettingError(f"{name} is a whole number, 0 or more", objextra=given)
    return number


def names_of(given: object) -> list[str]:
    """Return names of indexes."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidSettingError("index_names is a list of str", objextra=given)
    return [name_of(each, "the name of an index") for each in given]


# Steps


def ask(
    statement: str, parameters: Mapping[str, Any] | None = None, *, reads: bool = False
) -> Steps[list[Any]]:
    """Run a statement; return its rows. What did not run is asked again, as long as there is time.

    Raises what `couchloop.n1ql.errors` make of what the service says.
    """
    members = {
        "statement": statement,
        **(parameters or {}),
        **({"readonly": True} if reads else {}),
    }
    body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    asked = ServiceRequest(Service.QUERY, "POST", PATH, body, JSON, is_idempotent=reads)
    return (
        yield from asked_until_run(
            asked,
            lambda answer: _rows(answer, statement),
            lambda error: isinstance(error, N1QLError) and did_not_run(error),
            RetryReason.QUERY_ERROR_RETRYABLE,
        )
    )


def _rows(answer: ServiceAnswer, statement: str) -> list[Any]:
    """Return the rows of an answer."""
    try:
        document = read_json(answer)
    except ProtocolError:
        check(answer, Service.QUERY)
        raise
    errors = document.get("errors") if isinstance(document, dict) else None
    if isinstance(errors, list) and errors:
        raise error_of(errors, statement, answer.node)
    check(answer, Service.QUERY)
    if answer.status != HTTPStatus.OK or not isinstance(document, dict):
        raise unreadable(answer)
    if document.get("status") != "success":
        raise error_of([], statement, answer.node)
    rows = document.get("results", [])
    if not isinstance(rows, list):
        raise unreadable(answer)
    return rows


def change(statement: str, where: Keyspace, ignored: type[CouchbaseError] | None) -> Steps[None]:
    """Run a statement that changes indexes; an *ignored* error is none."""
    try:
        yield from ask(statement)
    except KeyspaceNotFoundError as error:
        raise _of_management(error, where) from None
    except (QueryIndexExistsError, QueryIndexNotFoundError) as error:
        if ignored is None or not isinstance(error, ignored):
            raise


def _of_management(error: KeyspaceNotFoundError, where: Keyspace) -> N1QLError:
    """Return what it means for who manages indexes: which part of the path there is not."""
    kind: type[N1QLError] = QueryCollectionNotFoundError
    if not where.scope and "missing_collection" not in str(error.errors):
        kind = QueryBucketNotFoundError
    found = kind(context=error.context)
    found.code, found.errors, found.statement = error.code, error.errors, error.statement
    return found


def all_of(where: Keyspace) -> Steps[list[QueryIndex]]:
    """Return the indexes of a keyspace."""
    rows = yield from ask(listing(where.condition), where.parameters, reads=True)
    return [index_of(row) for row in rows if isinstance(row, Mapping)]


def build(where: Keyspace) -> Steps[list[QueryIndex]]:
    """Have the indexes built that were deferred; return which."""
    indexes = yield from all_of(where)
    found = [each for each in indexes if each.state == "deferred"]
    # Those of a scope's collections are of several keyspaces.
    places: dict[Keyspace, list[str]] = {}
    for each in found:
        place = (
            where
            if each.scope_name is None or not each.collection_name
            else Keyspace(each.bucket_name, each.scope_name, each.collection_name)
        )
        places.setdefault(place, []).append(each.name)
    for place, names in places.items():
        yield from change(building(place, names), place, None)
    return found


def watch(
    list_all: Callable[[], Steps[list[QueryIndex]]],
    names: Sequence[str],
    interval: float,
    progress: Progress | None,
) -> Steps[list[QueryIndex]]:
    """Wait until all of these indexes are online; return them.

    Raises QueryIndexNotFoundError if one is not there, WatchQueryIndexTimeoutError.
    """
    missing: list[str] = []
    try:
        while True:
            there = {each.name: each for each in (yield from list_all())}
            unknown = [name for name in names if name not in there]
            if unknown:
                raise QueryIndexNotFoundError(
                    "an index that is to be watched is not there", objextra=unknown
                )
            missing = [name for name in names if there[name].state != "online"]
            if progress is not None:
                progress(len(names) - len(missing), 0, len(names))
            if not missing:
                return [there[name] for name in names]
            yield Pause(interval)
    except UnambiguousTimeoutError as error:
        raise WatchQueryIndexTimeoutError(
            "the indexes were not all online in time: they are still being built, or deferred",
            context=error.context,
            objextra=missing,
        ) from None


def flag(given: object, name: str) -> bool:
    """Return what is True or False."""
    return is_true(given, name)
