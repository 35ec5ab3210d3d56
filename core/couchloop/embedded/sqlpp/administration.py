"""Runs CREATE and DROP of scopes and collections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.statements import ManageScope
from couchloop.embedded.sqlpp.values import Value, integral
from couchloop.embedded.storage.manifest import name_fault

_CODES: Final = {
    ("scope", True): 12025,
    ("scope", False): 12026,
    ("collection", True): 12027,
    ("collection", False): 12028,
}
_LONGEST_LIFE: Final = 2147483647


def plan_administration(
    statement: ManageScope, session: Session, options: dict[str, Value]
) -> Iterator[Value]:
    """Return the rows of a statement, of which there is none: it does its work by then.

    Args:
        statement: what is asked.
        session: who asks, and where.
        options: what is behind WITH.

    Raises QueryError.
    """
    bucket, scope, collection = _path(statement, session)
    if bucket not in session.cluster.buckets or session.cluster.buckets[bucket].memcached:
        text = f"Bucket not found in CB datastore default:{bucket}"
        raise QueryError(12020, text)
    user = session.user
    if not (user.has_role("bucket_admin", bucket) or user.has_role("scope_admin", bucket, scope)):
        text = "User does not have credentials to perform scope and collection administration on "
        text += f"default:{bucket}. Add role bucket_admin on {bucket} to allow that."
        raise QueryError(13014, text)
    max_ttl = _max_ttl(options)
    return _administered(statement, session, (bucket, scope, collection), max_ttl)


def _path(statement: ManageScope, session: Session) -> tuple[str, str, str]:
    """Return bucket, scope and collection (empty for a scope). Raises QueryError."""
    parts = statement.path.parts
    if statement.kind == "scope":
        if len(parts) == 1 and session.bucket:
            parts = (session.bucket, *parts)
        if len(parts) == 2:
            return parts[0], parts[1], ""
    else:
        if len(parts) == 1 and session.bucket:
            parts = (session.bucket, session.scope, *parts)
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
    line, column = statement.path.place
    text = f"Invalid path of a {statement.kind}: {'.'.join(parts)} "
    text += f"(near line {line}, column {column})."
    raise QueryError(3000, text, line=line, column=column)


def _max_ttl(options: dict[str, Value]) -> int:
    """Return how long documents of a new collection live. Raises QueryError."""
    for name in options:
        if name not in {"maxTTL", "history"}:
            raise QueryError(12038, f"Invalid option '{name}'", reason={"option": name})
    seconds = integral(options.get("maxTTL", 0))
    if seconds is None or not -1 <= seconds <= _LONGEST_LIFE:
        text = "Invalid value for option 'maxTTL'"
        raise QueryError(12038, text, reason={"option": "maxTTL"})
    return seconds


def _administered(
    statement: ManageScope, session: Session, path: tuple[str, str, str], max_ttl: int
) -> Iterator[Value]:
    bucket, scope, collection = path
    cluster = session.cluster
    manifest = cluster.buckets[bucket].manifest
    has_scope = scope in manifest.scopes
    if collection and not has_scope:
        text = f"Scope not found in CB datastore default:{bucket}.{scope}"
        raise QueryError(12021, text, running=True)
    there = manifest.find(scope, collection) is not None if collection else has_scope
    if there == statement.create:
        if not statement.lenient:
            raise _failed(statement, path, _state(path, there=there))
        return
    name = collection or scope
    fault = name_fault(name) if statement.create else ""
    if not statement.create and (name.startswith("_") or scope == "_system"):
        fault = f"Deleting {name} {statement.kind} is not allowed"
        # The default collection alone may go.
        fault = "" if (scope, collection) == ("_default", "_default") else fault
    if fault:
        raise _failed(statement, path, fault)
    whole = f"{scope}.{collection}"
    if statement.create and collection:
        cluster.create_collection(bucket, whole, max_ttl=max_ttl)
    elif statement.create:
        cluster.create_scope(bucket, scope)
    elif collection:
        cluster.drop_collection(bucket, whole)
    else:
        cluster.drop_scope(bucket, scope)
    yield from ()


def _state(path: tuple[str, str, str], *, there: bool) -> str:
    _, scope, collection = path
    how = "already exists" if there else "is not found"
    if collection:
        return f'Collection with name "{collection}" in scope "{scope}" {how}'
    return f'Scope with name "{scope}" {how}'


def _failed(statement: ManageScope, path: tuple[str, str, str], cause: str) -> QueryError:
    doing = "creating" if statement.create else "dropping"
    name = ".".join(filter(None, path))
    text = f"Error while {doing} {statement.kind} default:{name} - cause: {cause}"
    reason: dict[str, Any] = {"message": cause}
    code = _CODES[statement.kind, statement.create]
    return QueryError(code, text, reason=reason, running=True)
