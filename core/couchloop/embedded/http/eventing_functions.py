"""The eventing service's endpoints; a function of a scope has `?bucket=B&scope=S`.

GET                /api/v1/functions
GET, POST, DELETE  /api/v1/functions/NAME
POST               /api/v1/functions/NAME/OPERATION    deploy, undeploy, pause, resume
GET                /api/v1/status
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

from couchloop.embedded.http.router import (
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)
from couchloop.embedded.storage.eventing_functions import (
    EventingError,
    EventingFunction,
    EventingFunctions,
    FunctionId,
    Place,
    is_there,
)

_ANY: Final = "*"
_DEFAULT: Final = "_default"
_MASK: Final = "*****"
_SECRETS: Final = ("password", "bearer_key")
_VERSION: Final = "evt-7.6.2-3721-ee"
_ERRORS: Final = {
    "ERR_APP_NOT_FOUND_TS": (404, 13, "Function not found in temporary store"),
    "ERR_APP_NOT_DEPLOYED": (406, 12, "Function not deployed"),
    "ERR_UNMARSHAL_PLD": (400, 16, "Unable to unmarshal payload"),
    "ERR_SRC_MB_SAME": (422, 17, "Source keyspace same as metadata keyspace"),
    "ERR_APP_ALREADY_DEPLOYED": (422, 20, "Function already deployed"),
    "ERR_APP_NOT_BOOTSTRAPPED": (423, 21, "Function hasn't bootstrapped"),
    "ERR_APP_NOT_UNDEPLOYED": (422, 22, "Function hasn't undeployed"),
    "ERR_BUCKET_MEMCACHED": (422, 26, "Memcached bucket not supported"),
    "ERR_APPNAME_MISMATCH": (422, 29, "Function name mismatch"),
    "ERR_INVALID_CONFIG": (400, 38, "Invalid configuration"),
    "ERR_BUCKET_MISSING": (500, 41, "Bucket does not exist in the cluster"),
    "ERR_COLLECTION_MISSING": (500, 56, "Collection does not exist in the cluster"),
    "ERR_APP_PAUSED": (422, 64, "Function is paused"),
}
"""Status, code and description by name."""
_NUMBERS: Final = frozenset(
    (
        *("worker_count", "cpp_worker_thread_count", "execution_timeout"),
        *("lcb_inst_capacity", "lcb_retry_count", "lcb_timeout", "num_timer_partitions"),
        *("sock_batch_size", "tick_duration", "timer_context_size", "bucket_cache_size"),
        *("bucket_cache_age", "curl_max_allowed_resp_size", "app_log_max_size"),
        *("app_log_max_files", "checkpoint_interval"),
    )
)
_WORDS: Final = {
    "dcp_stream_boundary": ("everything", "from_now", "from_prior"),
    "log_level": ("INFO", "ERROR", "WARNING", "DEBUG", "TRACE"),
    "n1ql_consistency": ("", "none", "request"),
    "language_compatibility": ("6.0.0", "6.5.0", "6.6.2", "7.2.0"),
}
_DEFAULTS: Final[dict[str, Any]] = {
    "dcp_stream_boundary": "everything",
    "description": "",
    "execution_timeout": 60,
    "language_compatibility": "7.2.0",
    "log_level": "INFO",
    "n1ql_consistency": "none",
    "num_timer_partitions": 128,
    "timer_context_size": 1024,
    "user_prefix": "eventing",
    "worker_count": 1,
}
_OPERATIONS: Final[dict[str, tuple[Callable[[EventingFunctions, FunctionId], None], str]]] = {
    "deploy": (EventingFunctions.deploy, "deploying"),
    "undeploy": (EventingFunctions.undeploy, "undeploying"),
    "pause": (EventingFunctions.pause, "Pausing"),
    "resume": (EventingFunctions.resume, "Resuming"),
}


def all_functions(request: HttpRequest) -> Response:
    """Return all functions, whichever scope was named."""
    return answer_json([_document(each) for each in _functions(request)])


def one_function(request: HttpRequest) -> Response:
    """Return one function."""
    functions = _functions(request)
    try:
        return answer_json(_document(functions.get(_which(request))))
    except EventingError as error:
        raise _refused(error) from None


def put_function(request: HttpRequest) -> Response:
    """Store a function, and deploy it if its settings say so."""
    functions, which = _functions(request), _which(request)
    try:
        former = functions.get(which) if functions.has(which) else None
        function = _new(request, which, None if former is None else former.document)
        settings = function.document["settings"]
        deployed = settings.pop("deployment_status", False)
        runs = settings.pop("processing_status", False)
        is_paused = former is not None and former.state == "paused"
        _check_flags(which, deployed=deployed, runs=runs or is_paused)
        functions.put(function)
        if runs:
            (functions.resume if is_paused else functions.deploy)(which)
        elif is_paused and not deployed:
            functions.undeploy(which)
    except EventingError as error:
        raise _refused(error) from None
    except RecursionError:
        raise _refused(EventingError("ERR_UNMARSHAL_PLD", "exceeded max depth")) from None
    return _done(f"Stored function: '{which.name}' in metakv")


def delete_function(request: HttpRequest) -> Response:
    """Delete a function."""
    functions, which = _functions(request), _which(request)
    try:
        functions.delete(which)
    except EventingError as error:
        raise _refused(error) from None
    return _done(f"Function: {which.name} deleting in the background")


def operate(request: HttpRequest) -> Response:
    """Deploy, undeploy, pause or resume a function."""
    functions, which = _functions(request), _which(request)
    known = _OPERATIONS.get(request.path["operation"])
    if known is None:
        return Response(404, b"404 page not found\n", (("Content-Type", "text/plain"),))
    operation, doing = known
    try:
        operation(functions, which)
    except EventingError as error:
        raise _refused(error) from None
    return _done(f"Function: {which.name} is {doing}")


def status(request: HttpRequest) -> Response:
    """Return how all functions are, whichever scope was named."""
    functions = _functions(request)
    nodes = sum(node.runs("eventingAdminPort") for node in request.cluster.nodes)
    apps = [_status(each, nodes) for each in functions]
    return answer_json({"apps": apps, "num_eventing_nodes": nodes})


def _functions(request: HttpRequest) -> EventingFunctions:
    """Return the functions as they are by now, to who may manage them."""
    request.need(
        "cluster.eventing.functions!manage", allowed=request.user.has_role("eventing_admin")
    )
    functions = request.cluster.eventing_functions
    functions.forget(request.cluster.buckets)
    return functions


def _which(request: HttpRequest) -> FunctionId:
    query = request.query
    return FunctionId(query.get("bucket", _ANY), query.get("scope", _ANY), request.path["function"])


def _done(text: str) -> Response:
    return answer_json({"code": 0, "info": {"status": text, "warnings": None}})


def _refused(error: EventingError) -> RefusedError:
    status_code, code, description = _ERRORS[error.name]
    document = {
        "name": error.name,
        "code": code,
        "description": description,
        "attributes": None,
        "runtime_info": {"code": code, "info": error.info},
    }
    return RefusedError(answer_json(document, status_code))


def _flags(state: str) -> dict[str, bool]:
    """Return what the settings of a function in that state say."""
    return {
        "deployment_status": state not in {"undeployed", "undeploying"},
        "processing_status": state in {"deployed", "deploying"},
    }


def _status(function: EventingFunction, nodes: int) -> dict[str, Any]:
    runs = function.state in {"deployed", "pausing", "paused"}
    return {
        "composite_status": function.state,
        "name": function.id.name,
        "num_bootstrapping_nodes": nodes if function.state == "deploying" else 0,
        "num_deployed_nodes": nodes if runs else 0,
        **_flags(function.state),
        "function_scope": {"bucket": function.id.bucket, "scope": function.id.scope},
    }


def _document(function: EventingFunction) -> dict[str, Any]:
    """Return a function as it is told: with its state, and without passwords."""
    document = deepcopy(function.document)
    document["settings"] |= _flags(function.state)
    for binding in document["depcfg"].get("curl") or ():
        binding.update({each: _MASK for each in _SECRETS if binding.get(each)})
    return document


# What is stored -----------------------------------------------------------------------------------


def _new(
    request: HttpRequest, which: FunctionId, former: dict[str, Any] | None
) -> EventingFunction:
    """Return a function that a body holds. Raises EventingError."""
    try:
        given = json.loads(request.body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("depcfg"), dict):
        raise EventingError("ERR_UNMARSHAL_PLD", "Failed to Unmarshal request body")
    if given.get("appname") != which.name:
        text = f"Function name in the URL ({which.name}) and body must be same"
        raise EventingError("ERR_APPNAME_MISMATCH", text)
    if not isinstance(given.get("appcode"), str):
        raise EventingError("ERR_UNMARSHAL_PLD", "appcode must be a string")
    settings = _settings(given.get("settings", {}))
    deployment = _deployment(given["depcfg"], former)
    source, metadata = _place(deployment, "source_"), _place(deployment, "metadata_")
    if which.bucket != _ANY:
        _check_scope(request, which)
    for place in (source, metadata, *_bound(deployment)):
        _check_place(request, place)
    if source == metadata:
        shown = f"source : {{{' '.join(source)}}} metadata : {{{' '.join(metadata)}}}"
        text = f"Function: {which.name} source keyspace same as metadata keyspace. {shown}"
        raise EventingError("ERR_SRC_MB_SAME", text)
    document = {
        "appcode": given["appcode"],
        "depcfg": deployment,
        "version": given.get("version") or _VERSION,
        "enforce_schema": given.get("enforce_schema") is True,
        "handleruuid": int.from_bytes(request.cluster.generator.randbytes(4)),
        "function_instance_id": request.cluster.generator.randbytes(3).hex(),
        "appname": which.name,
        "settings": settings,
        "function_scope": {"bucket": which.bucket, "scope": which.scope},
    }
    return EventingFunction(which, document, [source, metadata])


def _settings(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _invalid("settings must be an object")
    for name, value in given.items():
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise _invalid(f"{name} must be a number")
        if name in _WORDS and value not in _WORDS[name]:
            raise _invalid(f"{name} must be one of {', '.join(_WORDS[name])}")
        if name in {"deployment_status", "processing_status"} and not isinstance(value, bool):
            raise _invalid(f"{name} must be a boolean")
    if given.get("processing_status") and not given.get("deployment_status"):
        raise _invalid("processing_status cannot be true while deployment_status is false")
    return {**_DEFAULTS, **given}


def _check_flags(which: FunctionId, *, deployed: bool, runs: bool) -> None:
    """Refuse to store a function that is to be paused, and never ran."""
    if deployed and not runs:
        text = f"Function: {which.name} not processing mutations. Operation is not permitted."
        raise EventingError("ERR_APP_NOT_BOOTSTRAPPED", text)


def _deployment(given: dict[str, Any], former: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a function is bound to; secrets that were masked stay what they were."""
    deployment = deepcopy(given)
    for member in ("buckets", "curl", "constants"):
        listed = deployment.get(member) or []
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise _invalid(f"{member} must be an array of objects")
        deployment[member] = listed
    for prefix in ("source_", "metadata_"):
        for part in ("scope", "collection"):
            deployment[f"{prefix}{part}"] = deployment.get(f"{prefix}{part}") or _DEFAULT
    for binding in deployment["buckets"]:
        if binding.get("access") not in ("r", "rw"):
            raise _invalid("Binding access level must be one of r, rw")
        for part in ("scope_name", "collection_name"):
            binding[part] = binding.get(part) or _DEFAULT
    known = {each.get("value"): each for each in former["depcfg"]["curl"]} if former else {}
    for binding in deployment["curl"]:
        if not isinstance(binding.get("value"), str):
            raise _invalid("a url binding needs an alias")
        for secret in _SECRETS:
            if binding.get(secret) == _MASK and binding["value"] in known:
                binding[secret] = known[binding["value"]].get(secret)
    return deployment


def _place(deployment: dict[str, Any], prefix: str) -> Place:
    names = [deployment.get(f"{prefix}{part}") for part in ("bucket", "scope", "collection")]
    if not all(isinstance(name, str) and name for name in names):
        raise _invalid(f"{prefix}bucket must not be empty")
    return Place(*map(str, names))


def _bound(deployment: dict[str, Any]) -> Iterator[Place]:
    for binding in deployment["buckets"]:
        names = [binding.get(f"{part}_name") for part in ("bucket", "scope", "collection")]
        if not all(isinstance(name, str) and name for name in names):
            raise _invalid("a bucket binding needs a bucket")
        yield Place(*map(str, names))


def _check_scope(request: HttpRequest, which: FunctionId) -> None:
    bucket = request.cluster.buckets.get(which.bucket)
    if bucket is None:
        raise EventingError("ERR_BUCKET_MISSING", f"Bucket {which.bucket} does not exist")
    if which.scope not in bucket.manifest.scopes:
        text = f"Scope Not defined bucket: {which.bucket} scope: {which.scope}"
        raise EventingError("ERR_COLLECTION_MISSING", text)


def _check_place(request: HttpRequest, place: Place) -> None:
    bucket = request.cluster.buckets.get(place.bucket)
    if bucket is None:
        raise EventingError("ERR_BUCKET_MISSING", f"Bucket {place.bucket} does not exist")
    if bucket.memcached:
        text = f"Bucket {place.bucket} is of type memcached"
        raise EventingError("ERR_BUCKET_MEMCACHED", text)
    if not is_there(place, request.cluster.buckets):
        what = "Collection" if place.scope in bucket.manifest.scopes else "Scope"
        where = f"bucket: {place.bucket} scope: {place.scope} collection: {place.collection}"
        raise EventingError("ERR_COLLECTION_MISSING", f"{what} Not defined {where}")


def _invalid(text: str) -> EventingError:
    return EventingError("ERR_INVALID_CONFIG", text)


_FUNCTIONS: Final = "/api/v1/functions"
_FUNCTION: Final = _FUNCTIONS + "/{function}"

ROUTES: Final = (
    Route("GET", _FUNCTIONS, all_functions),
    Route("GET", _FUNCTION, one_function),
    Route("POST", _FUNCTION, put_function),
    Route("DELETE", _FUNCTION, delete_function),
    Route("POST", f"{_FUNCTION}/{{operation}}", operate),
    Route("GET", "/api/v1/status", status),
)
