"""Words that traces and metrics have in common: OpenTelemetry's, and RFC 0067's beside them."""

from __future__ import annotations

from typing import Final

from couchloop import exceptions
from couchloop.exceptions import CouchbaseError
from couchloop.observation import KV, Ended, Started

__all__ = [
    "BOUNDARIES",
    "DEFAULT",
    "DURATION",
    "OTHER",
    "SYSTEM",
    "collection",
    "durability",
    "error_type",
    "failed",
    "operation",
    "scope",
]

DURATION: Final = "db.client.operation.duration"
"""The name of the metric: the time of a call in seconds."""
BOUNDARIES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds where the conventions want a histogram's buckets to end."""
SYSTEM: Final = "couchbase"
DEFAULT: Final = "_default"
"""What RFC 0067 calls the scope and the collection that need no name."""
OTHER: Final = "_OTHER"
"""The kind of an error that RFC 0058 has no name for."""

_OPERATIONS: Final = {"lock": "get_and_lock", "scan": "range_scan"}
"""RFC 0067's names of operations that SDK 2.5 calls otherwise."""
_LEVELS: Final = {
    "majority_and_persist_to_active": "majority_and_persist_active",
    "persist_to_majority": "persist_majority",
}
"""Likewise of durability levels."""
_ERRORS: Final = {
    exceptions.DocumentUnretrievableError: "DocumentUnretrievable",
    exceptions.NotFoundError: "DocumentNotFound",
    exceptions.CasMismatchError: "CasMismatch",
    exceptions.DocumentExistsError: "DocumentExists",
    exceptions.KeyExistsError: "DocumentExists",
    exceptions.DocumentLockedError: "DocumentLocked",
    exceptions.DocumentNotLockedError: "DocumentNotLocked",
    exceptions.DocumentNotJsonError: "DocumentNotJson",
    exceptions.TooBigError: "ValueTooLarge",
    exceptions.DeltaBadvalError: "NumberTooBig",
    exceptions.DurabilityTimeoutError: "AmbiguousTimeout",
    exceptions.AmbiguousTimeoutError: "AmbiguousTimeout",
    exceptions.UnambiguousTimeoutError: "UnambiguousTimeout",
    exceptions.TimeoutError: "AmbiguousTimeout",
    exceptions.DurabilityImpossibleError: "DurabilityImpossible",
    exceptions.DurabilityAmbiguousError: "DurabilityAmbiguous",
    exceptions.DurabilityLevelNotAvailableError: "DurabilityLevelNotAvailable",
    exceptions.DurableWriteInProgressError: "DurableWriteInProgress",
    exceptions.DurableWriteReCommitInProgressError: "DurableWriteReCommitInProgress",
    exceptions.AuthError: "AuthenticationFailure",
    exceptions.NotAuthorizedError: "AuthenticationFailure",
    exceptions.BucketNotFoundError: "BucketNotFound",
    exceptions.ScopeNotFoundError: "ScopeNotFound",
    exceptions.CollectionNotFoundError: "CollectionNotFound",
    exceptions.FeatureNotAvailableError: "FeatureNotAvailable",
    exceptions.NotSupportedError: "UnsupportedOperation",
    exceptions.ServiceNotAvailableError: "ServiceNotAvailable",
    exceptions.RequestCanceledError: "RequestCanceled",
    exceptions.RateLimitedError: "RateLimited",
    exceptions.QuotaLimitedError: "QuotaLimited",
    exceptions.TemporaryFailError: "TemporaryFailure",
    exceptions.ServerInvalidArgumentError: "InvalidArgument",
    exceptions.ArgumentError: "InvalidArgument",
    exceptions.InternalError: "InternalServerFailure",
    exceptions.ServerError: "InternalServerFailure",
    exceptions.ValueFormatError: "EncodingFailure",
    exceptions.SubdocPathNotFoundError: "PathNotFound",
    exceptions.SubdocPathExistsError: "PathExists",
    exceptions.SubdocPathMismatchError: "PathMismatch",
    exceptions.SubdocPathInvalidError: "PathInvalid",
    exceptions.SubdocPathTooBigError: "PathTooBig",
    exceptions.SubdocValueTooDeepError: "ValueTooDeep",
    exceptions.SubdocCantInsertValueError: "ValueInvalid",
    exceptions.SubdocNumberTooBigError: "NumberTooBig",
    exceptions.SubdocBadDeltaError: "DeltaInvalid",
    exceptions.DocumentTooDeepError: "DocumentTooDeep",
    exceptions.QueryParsingError: "ParsingFailure",
    exceptions.AnalyticsParsingError: "ParsingFailure",
    exceptions.QueryPlanningError: "PlanningFailure",
    exceptions.QueryIndexFailureError: "IndexFailure",
    exceptions.PreparedStatementError: "PreparedStatementFailure",
    exceptions.DmlFailureError: "DmlFailure",
    exceptions.QueryCasMismatchError: "CasMismatch",
    exceptions.QueryDocumentExistsError: "DocumentExists",
    exceptions.QueryDocumentNotFoundError: "DocumentNotFound",
    exceptions.QueryScopeNotFoundError: "ScopeNotFound",
    exceptions.QueryCollectionNotFoundError: "CollectionNotFound",
    exceptions.IndexNotFoundError: "IndexNotFound",
    exceptions.IndexExistsError: "IndexExists",
    exceptions.CompilationFailureError: "CompilationFailure",
    exceptions.JobQueueFullError: "JobQueueFull",
    exceptions.DatasetNotFoundError: "DatasetNotFound",
    exceptions.DatasetExistsError: "DatasetExists",
    exceptions.DataverseNotFoundError: "DataverseNotFound",
    exceptions.DataverseExistsError: "DataverseExists",
    exceptions.LinkNotFoundError: "LinkNotFound",
    exceptions.LinkExistsError: "LinkExists",
    exceptions.ViewNotFoundError: "ViewNotFound",
    exceptions.DesignDocumentNotFoundError: "DesignDocumentNotFound",
    exceptions.BucketExistsError: "BucketExists",
    exceptions.BucketNotFlushableError: "BucketNotFlushable",
    exceptions.ScopeExistsError: "ScopeExists",
    exceptions.CollectionExistsError: "CollectionExists",
    exceptions.UserNotFoundError: "UserNotFound",
    exceptions.GroupNotFoundError: "GroupNotFound",
    exceptions.EventingFunctionNotFoundError: "EventingFunctionNotFound",
}
"""RFC 0058's names of errors, without a language's suffix."""


def error_type(kind: type[BaseException]) -> str:
    """Return the name that RFC 0058 has for an error's class, or for the nearest of its bases."""
    if issubclass(kind, CouchbaseError):
        for each in kind.__mro__:
            name = _ERRORS.get(each)
            if name is not None:
                return name
    return OTHER


def failed(ended: Ended) -> str:
    """Return what kind of error ended a call; empty: it succeeded."""
    return "" if ended.outcome is None else error_type(ended.outcome)


_REQUESTS: Final = frozenset({"query", "search", "views", "analytics"})
"""Services of which RFC 0067 calls each request by their name, whatever method has asked it."""


def operation(call: Started) -> str:
    """Return the name of what a call does: a batch of several like operations says so."""
    if call.service in _REQUESTS:
        return call.service
    name = call.name.removesuffix("_multi") if call.batch_size is not None else call.name
    name = _OPERATIONS.get(name, name)
    return name if call.batch_size in {None, 1} else f"BATCH {name}"


def scope(call: Started) -> str:
    """Return the name of its scope, written out; empty: it is a request to a service without."""
    return call.scope or (DEFAULT if call.service == KV else "")


def collection(call: Started) -> str:
    """Return the name of its collection, written out; empty: likewise."""
    return call.collection or (DEFAULT if call.service == KV else "")


def durability(call: Started) -> str | None:
    """Return the level that a change asks for, by RFC 0067's name."""
    level = call.durability
    return None if level is None else _LEVELS.get(level, level)
