"""What an administrator may set of a bucket, apart from its kind."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ("none", "majority", "majorityAndPersistActive", "persistToMajority")
"""Durability levels by their number, as the cluster manager names them."""


@dataclass(slots=True)
class BucketProperties:
    """Settings of one bucket; all can be changed but `conflict_resolution` and `backend`."""

    ram_quota: int = 256
    """MiB that it may use, on each node."""
    flush_enabled: bool = False
    max_ttl: int = 0
    """Seconds that documents live at most, 0 for ever; a collection may say otherwise."""
    compression_mode: str = "passive"
    conflict_resolution: str = "seqno"
    eviction_policy: str = "valueOnly"
    backend: str = "couchstore"
    min_durability: int = 0
    """The lowest durability level of a write: what asks for less has this."""
    replica_index: bool = False
    keeps_history: bool = True
    """Whether new collections keep the history of their changes (with magma)."""
    history_bytes: int = 0
    history_seconds: int = 0
