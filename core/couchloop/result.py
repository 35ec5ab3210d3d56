"""What operations give back."""

from couchloop.hot.result import (
    OBS_FOUND,
    OBS_LOGICALLY_DELETED,
    OBS_MASK,
    OBS_NOTFOUND,
    OBS_PERSISTED,
    ExistsResult,
    MultiResult,
    ObserveInfo,
    OperationResult,
    ReplicaResult,
    ReplicasResult,
    Result,
    ScanResult,
    StatsResult,
    ValueResult,
)
from couchloop.operations.manifest import CollectionSpec, ScopeSpec
from couchloop.operations.subdocument_result import SubdocResult

__all__ = [
    "OBS_FOUND",
    "OBS_LOGICALLY_DELETED",
    "OBS_MASK",
    "OBS_NOTFOUND",
    "OBS_PERSISTED",
    "CollectionSpec",
    "ExistsResult",
    "MultiResult",
    "ObserveInfo",
    "OperationResult",
    "ReplicaResult",
    "ReplicasResult",
    "Result",
    "ScanResult",
    "ScopeSpec",
    "StatsResult",
    "SubdocResult",
    "ValueResult",
]
