"""What a form says of a bucket: read, checked as the cluster manager checks it, and applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from couchloop.embedded.http.router import RefusedError, answer_json
from couchloop.embedded.storage.bucket import Bucket, BucketSettings
from couchloop.embedded.storage.properties import LEVELS, BucketProperties

_LONGEST_NAME: Final = 100
_ALLOWED: Final = re.compile(r"[A-Za-z0-9_.%-]*")
_LONGEST_TTL: Final = 2147483647
_MOST_REPLICAS: Final = 3
_SMALLEST_QUOTA: Final = 100
_TYPES: Final = ("couchbase", "membase", "ephemeral", "memcached")
_EVICTION: Final = {
    False: (
        ("valueOnly", "fullEviction"),
        "Eviction policy must be either 'valueOnly' or 'fullEviction' for couchbase buckets",
    ),
    True: (
        ("noEviction", "nruEviction"),
        "Eviction policy must be either 'noEviction' or 'nruEviction' for ephemeral buckets",
    ),
}


class _Form:
    """The members of a form, and what is wrong with them."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.errors: dict[str, str] = {}

    def text(self, name: str, default: str, allowed: Iterable[str], error: str) -> str:
        value = self._given.get(name)
        if value is None:
            return default
        if value not in allowed:
            self.errors[name] = error
        return value

    def number(self, name: str, default: int, least: int, most: int, error: str) -> int:
        value = self._given.get(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            self.errors[name] = error
        return number

    def switch(self, name: str, *, default: bool) -> bool:
        text = f"{name} can only be 1 or 0"
        values = ("0", "1", "false", "true")
        value = self.text(name, str(int(default)), values, text)
        return value in {"1", "true"}

    def check(self) -> None:
        """Raise RefusedError if anything is wrong."""
        if self.errors:
            document = {"errors": self.errors, "summaries": {"ramSummary": {}, "hddSummary": {}}}
            raise RefusedError(answer_json(document, 400))


def created(
    given: Mapping[str, str], others: Iterable[str]
) -> tuple[BucketSettings, BucketProperties]:
    """Return what a form asks for that creates a bucket. Raises RefusedError."""
    form = _Form(given)
    name = given.get("name")
    error = _name_error(name, others)
    if error:
        form.errors["name"] = error
    kind = form.text("bucketType", "couchbase", _TYPES, "invalid bucket type")
    is_ephemeral = kind == "ephemeral"
    if "ramQuotaMB" not in given:
        form.errors["ramQuota"] = "The RAM Quota must be specified and must be a positive integer."
    backend = "undefined" if kind in {"ephemeral", "memcached"} else "couchstore"
    properties = BucketProperties(
        eviction_policy="noEviction" if is_ephemeral else "valueOnly",
        backend=form.text(
            "storageBackend",
            backend,
            ("couchstore", "magma", "undefined"),
            "storage backend must be couchstore or magma",
        ),
        conflict_resolution=form.text(
            "conflictResolutionType",
            "seqno",
            ("seqno", "lww", "custom"),
            "Conflict resolution type must be 'seqno' or 'lww' or 'custom'",
        ),
    )
    properties, replicas = _common(form, properties, 1, is_ephemeral=is_ephemeral)
    if is_ephemeral and given.get("replicaIndex") is not None:
        form.errors["replicaIndex"] = "replicaIndex not supported for ephemeral buckets"
    form.check()
    settings = BucketSettings(
        name or "",
        replicas=0 if kind == "memcached" else replicas,
        ephemeral=is_ephemeral,
        memcached=kind == "memcached",
    )
    return settings, properties


def changed(given: Mapping[str, str], bucket: Bucket) -> int:
    """Change settings of a bucket as a form asks; return the number of replicas.

    Raises RefusedError, and changes nothing then.
    """
    form = _Form(given)
    kind = "memcached" if bucket.memcached else "ephemeral" if bucket.ephemeral else "couchbase"
    same = {kind, "membase"} if kind == "couchbase" else {kind}
    form.text("bucketType", kind, same, "Cannot change bucket type.")
    if "conflictResolutionType" in given:
        text = "Conflict resolution type not allowed in update bucket"
        form.errors["conflictResolutionType"] = text
    properties, replicas = _common(
        form, bucket.properties, bucket.replicas, is_ephemeral=bucket.ephemeral
    )
    form.check()
    bucket.properties = properties
    return replicas


def _common(
    form: _Form, before: BucketProperties, replicas: int, *, is_ephemeral: bool
) -> tuple[BucketProperties, int]:
    """Return what can be said when a bucket is made, and later; and the number of replicas."""
    policies, no_policy = _EVICTION[is_ephemeral]
    number: Callable[..., int] = form.number
    huge = 1 << 62
    properties = replace(
        before,
        ram_quota=number(
            "ramQuotaMB",
            before.ram_quota,
            _SMALLEST_QUOTA,
            huge,
            f"RAM quota cannot be less than {_SMALLEST_QUOTA} MiB",
        ),
        flush_enabled=form.switch("flushEnabled", default=before.flush_enabled),
        max_ttl=number(
            "maxTTL",
            before.max_ttl,
            0,
            _LONGEST_TTL,
            f"Max TTL must be an integer between 0 and {_LONGEST_TTL}",
        ),
        compression_mode=form.text(
            "compressionMode",
            before.compression_mode,
            ("off", "passive", "active"),
            "compressionMode can be set to 'off', 'passive' or 'active'",
        ),
        eviction_policy=form.text("evictionPolicy", before.eviction_policy, policies, no_policy),
        min_durability=LEVELS.index(
            _one_of(form, "durabilityMinLevel", LEVELS[before.min_durability])
        ),
        replica_index=form.switch("replicaIndex", default=before.replica_index),
        keeps_history=form.switch(
            "historyRetentionCollectionDefault", default=before.keeps_history
        ),
        history_bytes=number(
            "historyRetentionBytes", before.history_bytes, 0, huge, "must be a positive integer"
        ),
        history_seconds=number(
            "historyRetentionSeconds",
            before.history_seconds,
            0,
            huge,
            "must be a positive integer",
        ),
    )
    count = number(
        "replicaNumber",
        replicas,
        0,
        _MOST_REPLICAS,
        f"Replica number must be between 0 and {_MOST_REPLICAS}",
    )
    return properties, count


def _one_of(form: _Form, name: str, default: str) -> str:
    value = form.text(name, default, LEVELS, f"Durability minimum level must be one of {LEVELS}")
    return value if value in LEVELS else default


def _name_error(name: str | None, others: Iterable[str]) -> str:
    if name is None:
        return "Bucket name needs to be specified"
    if not name:
        return "Bucket name cannot be empty"
    if len(name) > _LONGEST_NAME:
        return f"Bucket name cannot exceed {_LONGEST_NAME} characters"
    if name.startswith("."):
        return "Bucket name cannot start with dot."
    if not _ALLOWED.fullmatch(name):
        return (
            "Bucket name can only contain characters in range A-Z, a-z, 0-9 as well as "
            "underscore, period, dash & percent. Consult the documentation."
        )
    if name.lower() in {each.lower() for each in others}:
        return "Bucket with given name already exists"
    return ""
