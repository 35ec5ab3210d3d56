"""Buckets: made, changed, flushed, dropped, described; waited for (REST of the cluster manager)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import timedelta
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from couchloop.arguments.exact import exact_integer
from couchloop.arguments.times import exact_seconds
from couchloop.durability import DurabilityLevel
from couchloop.exceptions import (
    BucketExistsError,
    BucketNotFlushableError,
    InvalidSettingError,
    NoSuchBucketError,
    NotReadyError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    send_form,
    unreadable,
)
from couchloop.operations.procedure import Pause, Procedure, Steps
from couchloop.records import record

__all__ = [
    "BucketInfo",
    "BucketSettings",
    "BucketType",
    "CompressionMode",
    "ConflictResolutionType",
    "EvictionPolicyType",
    "StorageBackend",
]

_BUCKETS: Final = "/pools/default/buckets"
_MIB: Final = 1 << 20
_POLL: Final = 0.2
_LONGEST_TTL: Final = 2147483647

Progress = Callable[[int, int, int | None], object]
"""Is told how many nodes are ready, 0 (none is given up), and how many there are."""


class BucketType(Enum):
    """What a bucket keeps, and where."""

    COUCHBASE = "membase"
    EPHEMERAL = "ephemeral"
    MEMCACHED = "memcached"


class EvictionPolicyType(Enum):
    """What gives way when memory is short."""

    VALUE_ONLY = "valueOnly"
    FULL = "fullEviction"
    NO_EVICTION = "noEviction"
    NOT_RECENTLY_USED = "nruEviction"


class CompressionMode(Enum):
    """Whether a server keeps values compressed."""

    OFF = "off"
    PASSIVE = "passive"
    ACTIVE = "active"


class ConflictResolutionType(Enum):
    """Which of two changes counts when clusters replicate to each other."""

    SEQUENCE_NUMBER = "seqno"
    TIMESTAMP = "lww"
    CUSTOM = "custom"


class StorageBackend(Enum):
    """How a bucket is kept on the disk."""

    UNDEFINED = "undefined"
    COUCHSTORE = "couchstore"
    MAGMA = "magma"


_LEVELS: Final = {
    "none": DurabilityLevel.NONE,
    "majority": DurabilityLevel.MAJORITY,
    "majorityAndPersistActive": DurabilityLevel.MAJORITY_AND_PERSIST_TO_ACTIVE,
    "persistToMajority": DurabilityLevel.PERSIST_TO_MAJORITY,
}
_LEVEL_NAMES: Final = {level: name for name, level in _LEVELS.items()}


@record(frozen=True, slots=True)
class BucketSettings:
    """Settings of a bucket; None: the server decides, or the setting stays as it is.

    `bucket_type`, `conflict_resolution_type` and `storage_backend` count only when it is made.
    """

    name: str
    ram_quota_mb: int | None = None
    """Memory that it may use on each node, in MiB: at least 100."""
    bucket_type: BucketType | None = None
    num_replicas: int | None = None
    """Copies of each document beside the active one: 0 to 3."""
    flush_enabled: bool | None = None
    replica_index: bool | None = None
    max_expiry: timedelta | None = None
    """How long documents live at most; 0: for ever."""
    compression_mode: CompressionMode | None = None
    conflict_resolution_type: ConflictResolutionType | None = None
    eviction_policy: EvictionPolicyType | None = None
    storage_backend: StorageBackend | None = None
    minimum_durability_level: DurabilityLevel | None = None
    history_retention_collection_default: bool | None = None
    history_retention_bytes: int | None = None
    history_retention_duration: timedelta | None = None
    num_vbuckets: int | None = None


@record(frozen=True, slots=True)
class BucketInfo(BucketSettings):
    """A bucket, as the cluster manager describes it."""

    uuid: str = ""
    item_count: int = 0
    """Documents in it, as the cluster manager counts now and then."""
    nodes: tuple[str, ...] = ()
    """The nodes that have it, as "host:port" of their managers."""
    healthy_nodes: int = 0
    """How many of these are well, and have it."""
    raw_json: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All that the cluster manager says of it, by its own names (SDK 2.5)."""


_NOT_FOUND: Final = Refusal(NoSuchBucketError, 404, "", "there is no such bucket")
_EXISTS: Final = Refusal(
    BucketExistsError, 400, "already exists", "there is a bucket of that name already"
)
_NOT_FLUSHABLE: Final = Refusal(
    BucketNotFlushableError,
    400,
    "flush is disabled",
    "the bucket must not be flushed: its setting flush_enabled is off",
)

REFUSALS: Final = (_EXISTS, _NOT_FLUSHABLE, _NOT_FOUND)
"""What requests about one bucket may meet."""


def _asked(
    request: ServiceRequest, refusals: tuple[Refusal, ...], bucket: str
) -> Steps[ServiceAnswer]:
    answer = yield request
    return check(answer, Service.MANAGEMENT, refusals, bucket=bucket)


def _done(request: ServiceRequest, refusals: tuple[Refusal, ...], bucket: str) -> Steps[None]:
    yield from _asked(request, refusals, bucket)


def create_bucket(
    defaults: Defaults, settings: BucketSettings, *, timeout: float | None = None
) -> Procedure[None]:
    """Make a bucket. It takes documents a little later: see `wait_until_ready`.

    Args:
        settings: its name, and what else is wanted; without `ram_quota_mb` 100 MiB.

    Raises BucketExistsError, ServerInvalidArgumentError, NotAuthorizedError, TemporaryFailError
    (during a rebalance).
    """
    given = _checked(settings)
    form = {"name": given.name, "ramQuotaMB": 100, **_form(given, is_new=True)}
    request = send_form(Service.MANAGEMENT, "POST", _BUCKETS, form)
    steps = _done(request, (_EXISTS,), given.name)
    return Procedure("create_bucket", defaults, None, timeout, steps)


def update_bucket(
    defaults: Defaults, settings: BucketSettings, *, timeout: float | None = None
) -> Procedure[None]:
    """Change settings of a bucket: those that are not None.

    Raises BucketNotFoundError, ServerInvalidArgumentError, NotAuthorizedError.
    """
    given = _checked(settings)
    form = _form(given, is_new=False)
    request = send_form(Service.MANAGEMENT, "POST", path_of(given.name), form)
    steps = _done(request, (_NOT_FOUND,), given.name)
    return Procedure("update_bucket", defaults, None, timeout, steps)


def drop_bucket(
    defaults: Defaults, bucket_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Delete a bucket with all its documents.

    Raises BucketNotFoundError, NotAuthorizedError, TemporaryFailError (during a rebalance).
    """
    request = delete(Service.MANAGEMENT, path_of(bucket_name))
    steps = _done(request, (_NOT_FOUND,), bucket_name)
    return Procedure("drop_bucket", defaults, None, timeout, steps)


def get_bucket(
    defaults: Defaults, bucket_name: str, *, timeout: float | None = None
) -> Procedure[BucketInfo]:
    """Return a bucket's settings, and how it is.

    Raises BucketNotFoundError, NotAuthorizedError.
    """
    steps = _described(path_of(bucket_name), bucket_name)
    return Procedure("get_bucket", defaults, None, timeout, steps, idempotent=True)


def get_all_buckets(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[list[BucketInfo]]:
    """Return the buckets that the user may see. Raises NotAuthorizedError."""
    return Procedure("get_all_buckets", defaults, None, timeout, _listed(), idempotent=True)


def flush_bucket(
    defaults: Defaults, bucket_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Delete all documents of a bucket, which takes some seconds.

    Raises BucketNotFlushableError unless its setting `flush_enabled` is on, BucketNotFoundError,
    NotAuthorizedError, TemporaryFailError.
    """
    path = f"{path_of(bucket_name)}/controller/doFlush"
    request = ServiceRequest(Service.MANAGEMENT, "POST", path)
    steps = _done(request, (_NOT_FLUSHABLE, _NOT_FOUND), bucket_name)
    return Procedure("flush_bucket", defaults, None, timeout, steps)


def wait_ready(
    defaults: Defaults,
    bucket_name: str,
    timeout: float = 5.0,
    sleep_interval: float = _POLL,
    *,
    progress: Progress | None = None,
) -> Procedure[BucketInfo]:
    """Wait until all nodes have a bucket that was just made; return it.

    Args:
        timeout: seconds for all of it.
        sleep_interval: seconds between two questions.
        progress: called with how many nodes are ready, 0, and how many there are.

    Raises NotReadyError if it is not ready by then, NotAuthorizedError.
    """
    steps = _ready(path_of(bucket_name), bucket_name, exact_seconds(sleep_interval), progress)
    return Procedure("wait_ready", defaults, None, timeout, steps, idempotent=True)


def _ready(path: str, name: str, interval: float, progress: Progress | None) -> Steps[BucketInfo]:
    try:
        while True:
            try:
                answer = yield get(Service.MANAGEMENT, path)
                info = _ready_bucket(answer, name, progress)
            except TemporaryFailError:
                # During a rebalance, or while the manager starts.
                info = None
            if info is not None:
                return info
            yield Pause(interval)
    except UnambiguousTimeoutError as error:
        text = "the bucket was not ready in time: not all nodes have it, or are well"
        raise NotReadyError(text, context=error.context) from None


def _ready_bucket(answer: ServiceAnswer, name: str, progress: Progress | None) -> BucketInfo | None:
    """Return the bucket if it is ready, by what the cluster manager has answered."""
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    document = read_json(check(answer, Service.MANAGEMENT, bucket=name))
    info = bucket_info(document, answer)
    is_ready = info.healthy_nodes == len(info.nodes) and _is_mapped(document, info, answer)
    if progress is not None:
        progress(info.healthy_nodes, 0, len(info.nodes))
    return info if is_ready else None


def _is_mapped(document: Mapping[str, Any], info: BucketInfo, answer: ServiceAnswer) -> bool:
    """Whether each vbucket has its node. Raises ProtocolError if the answer does not tell."""
    if info.bucket_type is BucketType.MEMCACHED:
        return True
    try:
        places = document.get("vBucketServerMap", {}).get("vBucketMap", [])
        return bool(places) and all(bool(chain) and chain[0] >= 0 for chain in places)
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None


def _described(path: str, name: str) -> Steps[BucketInfo]:
    answer = yield from _asked(get(Service.MANAGEMENT, path), (_NOT_FOUND,), name)
    return bucket_info(read_json(answer), answer)


def _listed() -> Steps[list[BucketInfo]]:
    answer = yield from _asked(get(Service.MANAGEMENT, _BUCKETS), (), "")
    document = read_json(answer)
    if not isinstance(document, list):
        raise unreadable(answer)
    return [bucket_info(each, answer) for each in document]


def bucket_info(document: Any, answer: ServiceAnswer) -> BucketInfo:
    """Return a bucket as its description says. Raises ProtocolError if that is none."""
    try:
        nodes = document["nodes"]
        return BucketInfo(
            name=str(document["name"]),
            ram_quota_mb=int(document["quota"]["rawRAM"]) // _MIB,
            bucket_type=BucketType(document["bucketType"]),
            num_replicas=int(document.get("replicaNumber", 0)),
            flush_enabled="flush" in document.get("controllers", {}),
            replica_index=bool(document.get("replicaIndex", False)),
            max_expiry=timedelta(seconds=document.get("maxTTL", 0)),
            compression_mode=_one_of(CompressionMode, document.get("compressionMode")),
            conflict_resolution_type=_one_of(
                ConflictResolutionType, document.get("conflictResolutionType")
            ),
            eviction_policy=_one_of(EvictionPolicyType, document.get("evictionPolicy")),
            storage_backend=_one_of(StorageBackend, document.get("storageBackend")),
            minimum_durability_level=_LEVELS.get(document.get("durabilityMinLevel", "none")),
            history_retention_collection_default=document.get("historyRetentionCollectionDefault"),
            history_retention_bytes=document.get("historyRetentionBytes"),
            history_retention_duration=_seconds(document.get("historyRetentionSeconds")),
            num_vbuckets=document.get("numVBuckets"),
            uuid=str(document.get("uuid", "")),
            item_count=int(document.get("basicStats", {}).get("itemCount", 0)),
            nodes=tuple(str(node["hostname"]) for node in nodes),
            healthy_nodes=sum(node["status"] == "healthy" for node in nodes),
            raw_json=document,
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise unreadable(answer) from None


def _one_of(kind: type[Enum], value: object) -> Any:
    """Return the member for a value; None: there is none, or it is newer than this."""
    try:
        return kind(value)
    except ValueError:
        return None


def _seconds(given: int | None) -> timedelta | None:
    return None if given is None else timedelta(seconds=given)


def path_of(name: str) -> str:
    """Return where a bucket is described. Raises InvalidNameError if none can be called so."""
    return f"{_BUCKETS}/{segment(checked_name(name, 'bucket'))}"


def _checked(settings: BucketSettings) -> BucketSettings:
    """Return *settings*. Raises InvalidSettingError for what no server takes."""
    if not isinstance(settings, BucketSettings):
        raise InvalidSettingError(
            f"settings are BucketSettings, not {type(settings).__name__}", objextra=settings
        )
    path_of(settings.name)
    for what, kind in (
        ("bucket_type", BucketType),
        ("compression_mode", CompressionMode),
        ("conflict_resolution_type", ConflictResolutionType),
        ("eviction_policy", EvictionPolicyType),
        ("storage_backend", StorageBackend),
        ("minimum_durability_level", DurabilityLevel),
        ("max_expiry", timedelta),
        ("history_retention_duration", timedelta),
        ("flush_enabled", bool),
        ("replica_index", bool),
        ("history_retention_collection_default", bool),
    ):
        value = getattr(settings, what)
        if value is not None and not isinstance(value, kind):
            raise InvalidSettingError(
                f"{what} is a {kind.__name__}, not {type(value).__name__}", objextra=value
            )
    for what in ("ram_quota_mb", "num_replicas", "history_retention_bytes", "num_vbuckets"):
        value = getattr(settings, what)
        if value is not None and (exact_integer(value) is None or value < 0):
            raise InvalidSettingError(f"{what} is a whole number from 0 on", objextra=value)
    if settings.max_expiry is not None and not (
        0 <= settings.max_expiry.total_seconds() <= _LONGEST_TTL
    ):
        raise InvalidSettingError(
            f"max_expiry is between 0 and {_LONGEST_TTL} seconds", objextra=settings.max_expiry
        )
    return settings


def _form(settings: BucketSettings, *, is_new: bool) -> dict[str, object]:
    """Return the members of a form that say what is not None."""
    members: dict[str, object] = {
        "ramQuotaMB": settings.ram_quota_mb,
        "replicaNumber": settings.num_replicas,
        "flushEnabled": settings.flush_enabled,
        "maxTTL": _whole(settings.max_expiry),
        "compressionMode": _value(settings.compression_mode),
        "evictionPolicy": _value(settings.eviction_policy),
        "durabilityMinLevel": _LEVEL_NAMES.get(settings.minimum_durability_level)
        if settings.minimum_durability_level is not None
        else None,
        "historyRetentionCollectionDefault": _word(settings.history_retention_collection_default),
        "historyRetentionBytes": settings.history_retention_bytes,
        "historyRetentionSeconds": _whole(settings.history_retention_duration),
    }
    if is_new:
        members |= {
            "bucketType": _value(settings.bucket_type),
            "replicaIndex": settings.replica_index,
            "conflictResolutionType": _value(settings.conflict_resolution_type),
            "storageBackend": _value(settings.storage_backend),
            "numVBuckets": settings.num_vbuckets,
        }
    return {name: value for name, value in members.items() if value is not None}


def _value(member: Enum | None) -> object:
    return None if member is None else member.value


def _whole(time: timedelta | None) -> int | None:
    return None if time is None else int(time.total_seconds())


def _word(given: bool | None) -> str | None:
    return None if given is None else str(given).lower()
