"""Eventing functions: stored, deployed, paused, described (eventing service, RFC 62).

A function belongs to the cluster, or from 7.1 on to a scope, whose manager has `ScopeDefaults`.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from couchloop.exceptions import (
    BucketNotFoundError,
    CollectionNotFoundError,
    EventingFunctionAlreadyDeployedError,
    EventingFunctionCompilationFailureError,
    EventingFunctionIdenticalKeyspaceError,
    EventingFunctionNotBootstrappedError,
    EventingFunctionNotDeployedError,
    EventingFunctionNotFoundError,
    EventingFunctionNotUnDeployedError,
    EventingFunctionPausedError,
    InvalidSettingError,
    ServerInvalidArgumentError,
)
from couchloop.hot.operation import Defaults
from couchloop.http.service import JSON, Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    unreadable,
)
from couchloop.management.defaults import ScopeDefaults
from couchloop.management.eventing_values import (
    EventingFunction,
    EventingFunctionDeploymentStatus,
    EventingFunctionProcessingStatus,
    EventingFunctionsStatus,
    EventingFunctionState,
    EventingFunctionStatus,
    function_document,
    read_function,
)
from couchloop.operations.procedure import Procedure, Steps
from couchloop.safety.secret import sealed

_FUNCTIONS: Final = "/api/v1/functions"
_STATUS: Final = "/api/v1/status"
_ANY: Final = "*"

_REFUSALS: Final = (
    Refusal(
        EventingFunctionNotFoundError,
        None,
        "err_app_not_found",
        "there is no such eventing function",
    ),
    Refusal(
        EventingFunctionPausedError,
        None,
        "already in paused state",
        "the eventing function is paused: resume it, or undeploy it",
    ),
    Refusal(
        EventingFunctionPausedError,
        None,
        "err_app_paused",
        "the eventing function is paused: resume it, or undeploy it",
    ),
    Refusal(
        EventingFunctionNotDeployedError,
        None,
        "err_app_not_deployed",
        "the eventing function is not deployed",
    ),
    Refusal(
        EventingFunctionCompilationFailureError,
        None,
        "err_handler_compilation",
        "the code of the eventing function cannot be compiled",
    ),
    Refusal(
        EventingFunctionIdenticalKeyspaceError,
        None,
        "err_src_mb_same",
        "the eventing function must keep its own data in another collection than its source",
    ),
    Refusal(
        EventingFunctionNotBootstrappedError,
        None,
        "err_app_not_bootstrapped",
        "the eventing function does not run: it is about to, or was never deployed",
    ),
    Refusal(
        EventingFunctionNotUnDeployedError,
        None,
        "err_app_not_undeployed",
        "the eventing function has to be undeployed first, and that has to be over",
    ),
    Refusal(
        EventingFunctionAlreadyDeployedError,
        None,
        "err_app_already_deployed",
        "the eventing function is deployed: pause or undeploy it first",
    ),
    Refusal(
        CollectionNotFoundError,
        None,
        "err_collection_missing",
        "a collection of the eventing function is not there",
    ),
    Refusal(
        BucketNotFoundError,
        None,
        "err_bucket_missing",
        "a bucket of the eventing function is not there",
    ),
    *(
        Refusal(
            ServerInvalidArgumentError,
            None,
            words,
            "the eventing service refused the function",
        )
        for words in (
            "err_invalid_config",
            "err_inter_function_recursion",
            "err_inter_bucket_recursion",
        )
    ),
)


@sealed
def upsert_function(
    defaults: Defaults,
    function: EventingFunction,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Store a function, or replace one that does not run.

    Raises EventingFunctionAlreadyDeployedError, EventingFunctionCompilationFailureError,
    EventingFunctionIdenticalKeyspaceError, BucketNotFoundError, CollectionNotFoundError,
    ServerInvalidArgumentError, NotAuthorizedError.
    """
    where = _Place(defaults)
    document = function_document(function)
    if where.is_scope:
        document["function_scope"] = {"bucket": where.bucket, "scope": where.scope}
    try:
        body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidSettingError("a setting of the function is no JSON") from None
    path = where.path(function.name)
    request = ServiceRequest(Service.EVENTING, "POST", path, body, JSON)
    return Procedure("upsert_function", defaults, None, timeout, _done(request))


def drop_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Delete a function that is not deployed.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, EventingFunctionNotUnDeployedError, NotAuthorizedError.
    """
    request = delete(Service.EVENTING, _Place(defaults).path(name))
    return Procedure("drop_function", defaults, None, timeout, _done(request))


def deploy_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have a function run from now on; `functions_status` tells when it does.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, EventingFunctionAlreadyDeployedError,
    EventingFunctionPausedError, EventingFunctionNotBootstrappedError (it is about to run),
    NotAuthorizedError.
    """
    request = _post(_Place(defaults).path(name, "/deploy"))
    return Procedure("deploy_function", defaults, None, timeout, _done(request))


def undeploy_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have a function run no more, and forget how far it was.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, EventingFunctionNotDeployedError, NotAuthorizedError.
    """
    request = _post(_Place(defaults).path(name, "/undeploy"))
    return Procedure("undeploy_function", defaults, None, timeout, _done(request))


def pause_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have a function wait, and remember how far it was.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, EventingFunctionNotBootstrappedError (it does not run),
    EventingFunctionPausedError, NotAuthorizedError.
    """
    request = _post(_Place(defaults).path(name, "/pause"))
    return Procedure("pause_function", defaults, None, timeout, _done(request))


def resume_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have a paused function go on.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, EventingFunctionNotDeployedError,
    EventingFunctionAlreadyDeployedError, NotAuthorizedError.
    """
    request = _post(_Place(defaults).path(name, "/resume"))
    return Procedure("resume_function", defaults, None, timeout, _done(request))


def get_function(
    defaults: Defaults,
    name: str,
    *,
    timeout: float | None = None,
) -> Procedure[EventingFunction]:
    """Return a function.

    Args:
        name: the function's name.

    Raises EventingFunctionNotFoundError, NotAuthorizedError.
    """
    steps = _one(_Place(defaults).path(name))
    return Procedure("get_function", defaults, None, timeout, steps, idempotent=True)


def get_all_functions(
    defaults: Defaults,
    *,
    timeout: float | None = None,
) -> Procedure[list[EventingFunction]]:
    """Return the functions of the cluster, or of a scope. Raises NotAuthorizedError."""
    steps = _all(_Place(defaults))
    return Procedure("get_all_functions", defaults, None, timeout, steps, idempotent=True)


def functions_status(
    defaults: Defaults,
    *,
    timeout: float | None = None,
) -> Procedure[EventingFunctionsStatus]:
    """Return how the functions of the cluster are, or of a scope. Raises NotAuthorizedError."""
    steps = _status(_Place(defaults))
    return Procedure("functions_status", defaults, None, timeout, steps, idempotent=True)


class _Place:
    """Whose functions are meant: the cluster's, or a scope's."""

    __slots__ = ("bucket", "scope")

    def __init__(self, defaults: Defaults) -> None:
        self.bucket = self.scope = _ANY
        if isinstance(defaults, ScopeDefaults):
            self.bucket = checked_name(defaults.bucket, "bucket")
            self.scope = checked_name(defaults.scope, "scope")

    @property
    def is_scope(self) -> bool:
        """Whether it is a scope."""
        return self.scope != _ANY

    def path(self, name: str, more: str = "") -> str:
        """Return the path of a function, or what is below it."""
        return self.narrowed(f"{_FUNCTIONS}/{segment(checked_name(name, 'function'))}{more}")

    def narrowed(self, path: str) -> str:
        """Return a path that says whose functions are meant."""
        if not self.is_scope:
            return path
        return f"{path}?bucket={quote(self.bucket, safe='')}&scope={quote(self.scope, safe='')}"

    def has(self, document: Any) -> bool:
        """Whether a function is of this scope, by what the service tells of it."""
        scope = document.get("function_scope") or {}
        found = (scope.get("bucket", _ANY), scope.get("scope", _ANY))
        return found == (self.bucket, self.scope)


def _post(path: str) -> ServiceRequest:
    return ServiceRequest(Service.EVENTING, "POST", path)


def _asked(request: ServiceRequest) -> Steps[ServiceAnswer]:
    return check((yield request), Service.EVENTING, _REFUSALS)


def _done(request: ServiceRequest) -> Steps[None]:
    yield from _asked(request)


def _one(path: str) -> Steps[EventingFunction]:
    answer = yield from _asked(get(Service.EVENTING, path))
    return _function(read_json(answer), answer)


def _all(where: _Place) -> Steps[list[EventingFunction]]:
    answer = yield from _asked(get(Service.EVENTING, where.narrowed(_FUNCTIONS)))
    # Null while there is none.
    listed = read_json(answer) or []
    try:
        return [_function(each, answer) for each in listed if where.has(each)]
    except (TypeError, AttributeError):
        raise unreadable(answer) from None


def _status(where: _Place) -> Steps[EventingFunctionsStatus]:
    answer = yield from _asked(get(Service.EVENTING, where.narrowed(_STATUS)))
    document = read_json(answer)
    try:
        return EventingFunctionsStatus(
            int(document["num_eventing_nodes"]),
            tuple(_state(each) for each in document.get("apps") or () if where.has(each)),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        raise unreadable(answer) from None


def _state(document: Any) -> EventingFunctionStatus:
    return EventingFunctionStatus(
        str(document["name"]),
        EventingFunctionState(document["composite_status"]),
        int(document.get("num_bootstrapping_nodes", 0)),
        int(document.get("num_deployed_nodes", 0)),
        EventingFunctionDeploymentStatus(document.get("deployment_status", False)),
        EventingFunctionProcessingStatus(document.get("processing_status", False)),
        bool(document.get("redeploy_required", False)),
    )


def _function(document: Any, answer: ServiceAnswer) -> EventingFunction:
    try:
        return read_function(document)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise unreadable(answer) from None
