"""Scopes and collections: made, changed, dropped (REST of the cluster manager, from 7.0 on)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from couchloop.exceptions import (
    BucketNotFoundError,
    CollectionExistsError,
    CollectionNotFoundError,
    FeatureNotAvailableError,
    InvalidSettingError,
    ScopeExistsError,
    ScopeNotFoundError,
)
from couchloop.http.service import Service, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    read_json,
    segment,
    send_form,
    unreadable,
)
from couchloop.management.defaults import BucketDefaults
from couchloop.operations.procedure import Procedure, Steps

_LONGEST_TTL: Final = 2147483647
_FOR_EVER: Final = timedelta(seconds=-1)
_WAIT: Final = 10_000
"""Milliseconds in which all nodes are to learn of a change, before the call ends anyway."""

_BUCKET: Final = Refusal(
    BucketNotFoundError, 404, "requested resource not found", "there is no such bucket"
)
_REFUSALS: Final = (
    _BUCKET,
    Refusal(ScopeExistsError, 400, "scope with name", "there is a scope of that name already"),
    Refusal(
        CollectionExistsError,
        400,
        "already exists",
        "there is a collection of that name in the scope already",
    ),
    Refusal(
        CollectionNotFoundError, 404, "collection with name", "the scope has no such collection"
    ),
    Refusal(ScopeNotFoundError, 404, "scope with name", "the bucket has no such scope"),
    Refusal(
        FeatureNotAvailableError,
        400,
        "not allowed on this",
        "the server, or this type of bucket, has no scopes and collections",
    ),
    Refusal(
        FeatureNotAvailableError,
        400,
        "scope is not allowed",
        "that scope cannot be dropped: every bucket has it",
    ),
)


def create_scope(
    defaults: BucketDefaults, scope_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Make a scope, and wait until all nodes know it.

    Raises ScopeExistsError, BucketNotFoundError, InvalidNameError, ServerInvalidArgumentError,
    NotAuthorizedError, FeatureNotAvailableError.
    """
    path = _scopes(defaults.bucket)
    request = send_form(
        Service.MANAGEMENT, "POST", path, {"name": checked_name(scope_name, "scope")}
    )
    steps = _change(request, defaults.bucket)
    return Procedure("create_scope", defaults, None, timeout, steps)


def drop_scope(
    defaults: BucketDefaults, scope_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Drop a scope with all its collections and documents.

    Raises ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError, FeatureNotAvailableError.
    """
    request = delete(Service.MANAGEMENT, _scope(defaults.bucket, scope_name))
    steps = _change(request, defaults.bucket)
    return Procedure("drop_scope", defaults, None, timeout, steps)


def create_collection(
    defaults: BucketDefaults,
    scope_name: str,
    collection_name: str,
    *,
    max_expiry: timedelta | None = None,
    history: bool | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a collection, and wait until all nodes know it.

    Args:
        max_expiry: how long its documents live at most. None or 0: as the bucket says; negative:
            for ever, whatever the bucket says.
        history: whether changes are kept apart; None: as the bucket says.

    Raises CollectionExistsError, ScopeNotFoundError, BucketNotFoundError, InvalidNameError,
    ServerInvalidArgumentError, NotAuthorizedError, FeatureNotAvailableError.
    """
    form = {"name": checked_name(collection_name, "collection"), **_settings(max_expiry, history)}
    path = f"{_scope(defaults.bucket, scope_name)}/collections"
    request = send_form(Service.MANAGEMENT, "POST", path, form)
    return Procedure(
        "create_collection", defaults, None, timeout, _change(request, defaults.bucket)
    )


def update_collection(
    defaults: BucketDefaults,
    scope_name: str,
    collection_name: str,
    *,
    max_expiry: timedelta | None = None,
    history: bool | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Change what a collection was made with: what is None stays.

    Raises CollectionNotFoundError, ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError,
    ServerInvalidArgumentError, FeatureNotAvailableError.
    """
    path = f"{_scope(defaults.bucket, scope_name)}/collections/{_named(collection_name)}"
    request = send_form(Service.MANAGEMENT, "PATCH", path, _settings(max_expiry, history))
    return Procedure(
        "update_collection", defaults, None, timeout, _change(request, defaults.bucket)
    )


def drop_collection(
    defaults: BucketDefaults,
    scope_name: str,
    collection_name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop a collection with all its documents.

    Raises CollectionNotFoundError, ScopeNotFoundError, BucketNotFoundError, NotAuthorizedError,
    FeatureNotAvailableError.
    """
    path = f"{_scope(defaults.bucket, scope_name)}/collections/{_named(collection_name)}"
    request = delete(Service.MANAGEMENT, path)
    steps = _change(request, defaults.bucket)
    return Procedure("drop_collection", defaults, None, timeout, steps)


def _change(request: ServiceRequest, bucket: str) -> Steps[None]:
    """Have the manifest changed, and wait until all nodes have it: that may fail unseen."""
    answer = check((yield request), Service.MANAGEMENT, _REFUSALS, bucket=bucket)
    document = read_json(answer)
    uid = document.get("uid") if isinstance(document, dict) else None
    if not isinstance(uid, str):
        raise unreadable(answer)
    path = f"{_scopes(bucket)}/@ensureManifest/{segment(uid)}"
    # Whatever it says: the change was made, and documents wait for their collection anyway.
    yield send_form(Service.MANAGEMENT, "POST", path, {"timeout": _WAIT})


def _settings(max_expiry: timedelta | None, history: bool | None) -> dict[str, object]:
    form: dict[str, object] = {}
    if max_expiry is not None:
        if not isinstance(max_expiry, timedelta):
            raise InvalidSettingError(
                f"max_expiry is a timedelta, not {type(max_expiry).__name__}", objextra=max_expiry
            )
        seconds = int(max(max_expiry, _FOR_EVER).total_seconds())
        if seconds > _LONGEST_TTL:
            raise InvalidSettingError(
                f"max_expiry is {_LONGEST_TTL} seconds at most", objextra=max_expiry
            )
        form["maxTTL"] = seconds
    if history is not None:
        if not isinstance(history, bool):
            raise InvalidSettingError(
                f"history is True or False, not {type(history).__name__}", objextra=history
            )
        form["history"] = str(history).lower()
    return form


def _named(name: str) -> str:
    return segment(checked_name(name, "collection"))


def _scopes(bucket: str) -> str:
    return f"/pools/default/buckets/{segment(bucket)}/scopes"


def _scope(bucket: str, scope: str) -> str:
    return f"{_scopes(bucket)}/{segment(checked_name(scope, 'scope'))}"
