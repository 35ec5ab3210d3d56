"""An eventing function as a value: what it is made of, what it is called in JSON (RFC 62)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import InvalidNameError, InvalidSettingError
from couchloop.management.users import clear
from couchloop.safety.secret import Secret, as_secret

__all__ = [
    "EventingFunction",
    "EventingFunctionBucketAccess",
    "EventingFunctionBucketBinding",
    "EventingFunctionConstantBinding",
    "EventingFunctionDcpBoundary",
    "EventingFunctionDeploymentStatus",
    "EventingFunctionKeyspace",
    "EventingFunctionLanguageCompatibility",
    "EventingFunctionLogLevel",
    "EventingFunctionProcessingStatus",
    "EventingFunctionQueryConsistency",
    "EventingFunctionSettings",
    "EventingFunctionState",
    "EventingFunctionStatus",
    "EventingFunctionUrlAuthBasic",
    "EventingFunctionUrlAuthBearer",
    "EventingFunctionUrlAuthDigest",
    "EventingFunctionUrlBinding",
    "EventingFunctionUrlNoAuth",
    "EventingFunctionsStatus",
]

_DEFAULT: Final = "_default"


class EventingFunctionBucketAccess(Enum):
    """What a function may do with a collection."""

    ReadOnly = "r"
    ReadWrite = "rw"


class EventingFunctionDcpBoundary(Enum):
    """Which documents a function hears of when it is deployed."""

    Everything = "everything"
    FromNow = "from_now"


class EventingFunctionLogLevel(Enum):
    """What the service logs of a function."""

    Info = "INFO"
    Error = "ERROR"
    Warning = "WARNING"
    Debug = "DEBUG"
    Trace = "TRACE"


class EventingFunctionLanguageCompatibility(Enum):
    """As which version of the server a function's code is read."""

    Version_6_0_0 = "6.0.0"
    Version_6_5_0 = "6.5.0"
    Version_6_6_2 = "6.6.2"
    Version_7_2_0 = "7.2.0"


class EventingFunctionQueryConsistency(Enum):
    """What queries of a function are to see."""

    NotBounded = "none"
    RequestPlus = "request"


class EventingFunctionDeploymentStatus(Enum):
    """Whether a function is to be deployed."""

    Deployed = True
    Undeployed = False


class EventingFunctionProcessingStatus(Enum):
    """Whether a function that is deployed is to run."""

    Running = True
    Paused = False


class EventingFunctionState(Enum):
    """How a function is."""

    Undeployed = "undeployed"
    Deploying = "deploying"
    Deployed = "deployed"
    Undeploying = "undeploying"
    Paused = "paused"
    Pausing = "pausing"


@dataclass(frozen=True, slots=True)
class EventingFunctionKeyspace:
    """A collection."""

    bucket: str
    scope: str | None = None
    """None: the default one."""
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class EventingFunctionBucketBinding:
    """A collection, under the name that a function's code has for it."""

    alias: str
    name: EventingFunctionKeyspace
    access: EventingFunctionBucketAccess = EventingFunctionBucketAccess.ReadOnly


@dataclass(frozen=True, slots=True)
class EventingFunctionUrlNoAuth:
    """Nobody logs in."""


@dataclass(frozen=True, slots=True)
class EventingFunctionUrlAuthBasic:
    """A user and a password, sent as they are (RFC 7617)."""

    username: str
    password: str | Secret = field(repr=False)
    """Kept as a `Secret`. What the service tells of it is `*****`, which leaves it as it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "password", _secret(self.password, "a password"))


@dataclass(frozen=True, slots=True)
class EventingFunctionUrlAuthDigest(EventingFunctionUrlAuthBasic):
    """A user and a digest of a password (RFC 7616)."""


@dataclass(frozen=True, slots=True)
class EventingFunctionUrlAuthBearer:
    """A token (RFC 6750)."""

    key: str | Secret = field(repr=False)
    """Kept as a `Secret`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _secret(self.key, "a key"))


def _secret(given: object, what: str) -> Secret:
    """Return what is to be kept. Raises InvalidSettingError (a TypeError) for what is no text."""
    if not isinstance(given, str | bytes | Secret):
        raise InvalidSettingError(f"{what} is a str, not {type(given).__name__}")
    return as_secret(given)


UrlAuth = EventingFunctionUrlNoAuth | EventingFunctionUrlAuthBasic | EventingFunctionUrlAuthBearer


@dataclass(frozen=True, slots=True)
class EventingFunctionUrlBinding:
    """Where `curl` may go, under the name that a function's code has for it."""

    hostname: str
    alias: str
    allow_cookies: bool = False
    validate_ssl_certificate: bool = False
    auth: UrlAuth = EventingFunctionUrlNoAuth()


@dataclass(frozen=True, slots=True)
class EventingFunctionConstantBinding:
    """A constant, under the name that a function's code has for it."""

    alias: str
    literal: str
    """As JavaScript has it."""


@dataclass(frozen=True, slots=True)
class EventingFunctionSettings:
    """Settings of a function; None: the server decides."""

    cpp_worker_thread_count: int | None = None
    dcp_stream_boundary: EventingFunctionDcpBoundary | None = None
    description: str | None = None
    deployment_status: EventingFunctionDeploymentStatus = (
        EventingFunctionDeploymentStatus.Undeployed
    )
    processing_status: EventingFunctionProcessingStatus = EventingFunctionProcessingStatus.Paused
    log_level: EventingFunctionLogLevel | None = None
    language_compatibility: EventingFunctionLanguageCompatibility | None = None
    execution_timeout: timedelta | None = None
    """For one document; whole seconds."""
    lcb_inst_capacity: int | None = None
    lcb_retry_count: int | None = None
    lcb_timeout: timedelta | None = None
    query_consistency: EventingFunctionQueryConsistency | None = None
    num_timer_partitions: int | None = None
    sock_batch_size: int | None = None
    tick_duration: timedelta | None = None
    timer_context_size: int | None = None
    """Bytes."""
    user_prefix: str | None = None
    """What the ids of the function's own documents begin with."""
    bucket_cache_size: int | None = None
    """Bytes."""
    bucket_cache_age: timedelta | None = None
    curl_max_allowed_resp_size: int | None = None
    """Bytes."""
    query_prepare_all: bool | None = None
    worker_count: int | None = None
    handler_headers: tuple[str, ...] | None = None
    handler_footers: tuple[str, ...] | None = None
    enable_applog_rotation: bool | None = None
    app_log_dir: str | None = None
    app_log_max_size: int | None = None
    """Bytes."""
    app_log_max_files: int | None = None
    checkpoint_interval: timedelta | None = None
    other: Mapping[str, Any] = field(default_factory=dict)
    """Settings that have no name here, as the server calls them: they are sent as they came."""


@dataclass(frozen=True, slots=True)
class EventingFunction:
    """JavaScript that is run for each document that changes."""

    name: str
    code: str
    version: str | None = None
    enforce_schema: bool | None = None
    handler_uuid: int | None = None
    function_instance_id: str | None = None
    metadata_keyspace: EventingFunctionKeyspace | None = None
    """Where it keeps its own data. Given, unless the function is only looked at."""
    source_keyspace: EventingFunctionKeyspace | None = None
    """Whose documents it hears of; likewise."""
    bucket_bindings: tuple[EventingFunctionBucketBinding, ...] = ()
    url_bindings: tuple[EventingFunctionUrlBinding, ...] = ()
    constant_bindings: tuple[EventingFunctionConstantBinding, ...] = ()
    settings: EventingFunctionSettings = EventingFunctionSettings()


@dataclass(frozen=True, slots=True)
class EventingFunctionStatus:
    """How a function is, on all nodes."""

    name: str
    state: EventingFunctionState
    num_bootstrapping_nodes: int = 0
    num_deployed_nodes: int = 0
    deployment_status: EventingFunctionDeploymentStatus = (
        EventingFunctionDeploymentStatus.Undeployed
    )
    processing_status: EventingFunctionProcessingStatus = EventingFunctionProcessingStatus.Paused
    redeploy_required: bool = False


@dataclass(frozen=True, slots=True)
class EventingFunctionsStatus:
    """How all functions are."""

    num_eventing_nodes: int
    functions: tuple[EventingFunctionStatus, ...] = ()


# Settings in JSON ---------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """How values of one kind are checked, written and read."""

    accepts: Callable[[Any], bool]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    what: str


def _is_whole(value: Any) -> bool:
    return exact_integer(value) is not None and value >= 0


def _is_time(unit: timedelta) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, timedelta) and value >= timedelta(0) and not value % unit


def _time(unit: timedelta, what: str) -> _Kind:
    return _Kind(_is_time(unit), lambda value: value // unit, lambda value: unit * int(value), what)


def _of(kind: type[Enum]) -> _Kind:
    return _Kind(
        lambda value: isinstance(value, kind),
        lambda value: value.value,
        kind,
        f"a {kind.__name__}",
    )


def _same(value: Any) -> Any:
    return value


_WHOLE: Final = _Kind(_is_whole, _same, int, "a whole number from 0 on")
_TEXT: Final = _Kind(lambda value: isinstance(value, str), _same, str, "a text")
_SWITCH: Final = _Kind(lambda value: isinstance(value, bool), _same, bool, "True or False")
_TEXTS: Final = _Kind(
    lambda value: isinstance(value, tuple | list) and all(isinstance(each, str) for each in value),
    list,
    lambda value: tuple(map(str, value)),
    "a tuple of texts",
)
_SECONDS: Final = _time(timedelta(seconds=1), "a timedelta of whole seconds")
_MILLISECONDS: Final = _time(timedelta(milliseconds=1), "a timedelta of whole milliseconds")

_SETTINGS: Final[dict[str, tuple[str, _Kind]]] = {
    "cpp_worker_thread_count": ("cpp_worker_thread_count", _WHOLE),
    "dcp_stream_boundary": ("dcp_stream_boundary", _of(EventingFunctionDcpBoundary)),
    "description": ("description", _TEXT),
    "deployment_status": ("deployment_status", _of(EventingFunctionDeploymentStatus)),
    "processing_status": ("processing_status", _of(EventingFunctionProcessingStatus)),
    "log_level": ("log_level", _of(EventingFunctionLogLevel)),
    "language_compatibility": (
        "language_compatibility",
        _of(EventingFunctionLanguageCompatibility),
    ),
    "execution_timeout": ("execution_timeout", _SECONDS),
    "lcb_inst_capacity": ("lcb_inst_capacity", _WHOLE),
    "lcb_retry_count": ("lcb_retry_count", _WHOLE),
    "lcb_timeout": ("lcb_timeout", _SECONDS),
    "query_consistency": ("n1ql_consistency", _of(EventingFunctionQueryConsistency)),
    "num_timer_partitions": ("num_timer_partitions", _WHOLE),
    "sock_batch_size": ("sock_batch_size", _WHOLE),
    "tick_duration": ("tick_duration", _MILLISECONDS),
    "timer_context_size": ("timer_context_size", _WHOLE),
    "user_prefix": ("user_prefix", _TEXT),
    "bucket_cache_size": ("bucket_cache_size", _WHOLE),
    "bucket_cache_age": ("bucket_cache_age", _MILLISECONDS),
    "curl_max_allowed_resp_size": ("curl_max_allowed_resp_size", _WHOLE),
    "query_prepare_all": ("n1ql_prepare_all", _SWITCH),
    "worker_count": ("worker_count", _WHOLE),
    "handler_headers": ("handler_headers", _TEXTS),
    "handler_footers": ("handler_footers", _TEXTS),
    "enable_applog_rotation": ("enable_applog_rotation", _SWITCH),
    "app_log_dir": ("app_log_dir", _TEXT),
    "app_log_max_size": ("app_log_max_size", _WHOLE),
    "app_log_max_files": ("app_log_max_files", _WHOLE),
    "checkpoint_interval": ("checkpoint_interval", _SECONDS),
}
"""By name here: the server's name, and what values are."""


def settings_document(settings: EventingFunctionSettings) -> dict[str, Any]:
    """Return settings as the service has them. Raises InvalidSettingError."""
    if not isinstance(settings, EventingFunctionSettings):
        raise InvalidSettingError("settings are EventingFunctionSettings", objextra=settings)
    if not isinstance(settings.other, Mapping):
        raise InvalidSettingError("other settings are a mapping", objextra=settings)
    document = {str(name): value for name, value in settings.other.items()}
    for name, (member, kind) in _SETTINGS.items():
        value = getattr(settings, name)
        if value is None:
            continue
        if not kind.accepts(value):
            raise InvalidSettingError(f"{name} is {kind.what}", objextra=value)
        document[member] = kind.write(value)
    return document


def read_settings(document: Mapping[str, Any]) -> EventingFunctionSettings:
    """Return settings as the service tells them; a value that is newer than this is among `other`.

    Raises TypeError or ValueError.
    """
    left = dict(document)
    found: dict[str, Any] = {}
    for name, (member, kind) in _SETTINGS.items():
        value = left.pop(member, None)
        if value is None:
            continue
        try:
            found[name] = kind.read(value)
        except ValueError:
            left[member] = value
    return EventingFunctionSettings(**found, other=left)


# Functions in JSON --------------------------------------------------------------------------------


def function_document(function: EventingFunction) -> dict[str, Any]:
    """Return a function as the service has it. Raises InvalidSettingError or InvalidNameError."""
    if not isinstance(function, EventingFunction):
        raise InvalidSettingError(
            f"a function is an EventingFunction, not {type(function).__name__}", objextra=function
        )
    if not isinstance(function.code, str):
        raise InvalidSettingError("the code of a function is a text", objextra=function)
    deployment = {
        **_place(function.source_keyspace, "source_keyspace", "source_"),
        **_place(function.metadata_keyspace, "metadata_keyspace", "metadata_"),
        "buckets": [_bucket(each) for each in function.bucket_bindings],
        "curl": [_url(each) for each in function.url_bindings],
        "constants": [_constant(each) for each in function.constant_bindings],
    }
    document = {
        "appname": _named(function.name),
        "appcode": function.code,
        "version": function.version,
        "enforce_schema": function.enforce_schema,
        "handleruuid": function.handler_uuid,
        "function_instance_id": function.function_instance_id,
        "depcfg": deployment,
        "settings": settings_document(function.settings),
    }
    return {name: value for name, value in document.items() if value is not None}


def read_function(document: Any) -> EventingFunction:
    """Return a function as the service tells it.

    Raises LookupError, TypeError, ValueError or AttributeError if it is none.
    """
    deployment = document["depcfg"]
    return EventingFunction(
        name=str(document["appname"]),
        code=str(document["appcode"]),
        version=document.get("version"),
        enforce_schema=document.get("enforce_schema"),
        handler_uuid=document.get("handleruuid"),
        function_instance_id=document.get("function_instance_id"),
        metadata_keyspace=_read_place(deployment, "metadata_"),
        source_keyspace=_read_place(deployment, "source_"),
        bucket_bindings=tuple(_read_bucket(each) for each in deployment.get("buckets") or ()),
        url_bindings=tuple(_read_url(each) for each in deployment.get("curl") or ()),
        constant_bindings=tuple(
            EventingFunctionConstantBinding(str(each["value"]), str(each["literal"]))
            for each in deployment.get("constants") or ()
        ),
        settings=read_settings(document["settings"]),
    )


def _place(
    keyspace: EventingFunctionKeyspace | None, what: str, prefix: str, suffix: str = ""
) -> dict[str, str]:
    if not isinstance(keyspace, EventingFunctionKeyspace):
        raise InvalidSettingError(f"{what} is an EventingFunctionKeyspace", objextra=keyspace)
    names = (keyspace.bucket, keyspace.scope, keyspace.collection)
    parts = [member.name for member in fields(EventingFunctionKeyspace)]
    return {
        f"{prefix}{part}{suffix}": _named(name)
        for part, name in zip(parts, names, strict=True)
        if name is not None
    }


def _read_place(deployment: Mapping[str, Any], prefix: str) -> EventingFunctionKeyspace:
    return EventingFunctionKeyspace(
        str(deployment[f"{prefix}bucket"]),
        str(deployment.get(f"{prefix}scope") or _DEFAULT),
        str(deployment.get(f"{prefix}collection") or _DEFAULT),
    )


def _bucket(binding: EventingFunctionBucketBinding) -> dict[str, Any]:
    _need(binding, EventingFunctionBucketBinding)
    _need(binding.access, EventingFunctionBucketAccess)
    return {
        "alias": _named(binding.alias),
        **_place(binding.name, "the name of a binding", "", "_name"),
        "access": binding.access.value,
    }


def _read_bucket(document: Any) -> EventingFunctionBucketBinding:
    names = [str(document.get(f"{part}_name") or _DEFAULT) for part in ("scope", "collection")]
    return EventingFunctionBucketBinding(
        str(document["alias"]),
        EventingFunctionKeyspace(str(document["bucket_name"]), *names),
        EventingFunctionBucketAccess(document["access"]),
    )


def _url(binding: EventingFunctionUrlBinding) -> dict[str, Any]:
    _need(binding, EventingFunctionUrlBinding)
    _need(binding.allow_cookies, bool)
    _need(binding.validate_ssl_certificate, bool)
    return {
        "hostname": _named(binding.hostname),
        "value": _named(binding.alias),
        "allow_cookies": binding.allow_cookies,
        "validate_ssl_certificate": binding.validate_ssl_certificate,
        **_auth(binding.auth),
    }


def _auth(auth: UrlAuth) -> dict[str, str]:
    if isinstance(auth, EventingFunctionUrlAuthBearer):
        return {"auth_type": "bearer", "bearer_key": clear(auth.key)}
    if isinstance(auth, EventingFunctionUrlAuthBasic):
        _need(auth.username, str)
        is_digest = isinstance(auth, EventingFunctionUrlAuthDigest)
        return {
            "auth_type": "digest" if is_digest else "basic",
            "username": auth.username,
            "password": clear(auth.password),
        }
    _need(auth, EventingFunctionUrlNoAuth)
    return {"auth_type": "no-auth"}


def _read_url(document: Any) -> EventingFunctionUrlBinding:
    kind = document.get("auth_type", "no-auth")
    auth: UrlAuth = EventingFunctionUrlNoAuth()
    if kind == "bearer":
        auth = EventingFunctionUrlAuthBearer(str(document.get("bearer_key", "")))
    elif kind in {"basic", "digest"}:
        made = EventingFunctionUrlAuthDigest if kind == "digest" else EventingFunctionUrlAuthBasic
        auth = made(str(document.get("username", "")), str(document.get("password", "")))
    return EventingFunctionUrlBinding(
        str(document["hostname"]),
        str(document["value"]),
        bool(document.get("allow_cookies", False)),
        bool(document.get("validate_ssl_certificate", False)),
        auth,
    )


def _constant(binding: EventingFunctionConstantBinding) -> dict[str, str]:
    _need(binding, EventingFunctionConstantBinding)
    _need(binding.literal, str)
    return {"value": _named(binding.alias), "literal": binding.literal}


def _need(value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InvalidSettingError(
            f"that is a {kind.__name__}, not {type(value).__name__}", objextra=value
        )


def _named(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidNameError("a name is a text that is not empty", objextra=name)
    return name
