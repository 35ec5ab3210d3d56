"""What the managers of both adapters are: handles of a Cluster or Bucket that ask its services.

They hold who made them, and with that its services; the methods come with the adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from couchloop.hot.encoding import transcoder_of
from couchloop.hot.service_defaults import ServiceDefaults
from couchloop.management.defaults import BucketDefaults, ScopeDefaults
from couchloop.operations.arguments import strategy_of_services

if TYPE_CHECKING:
    from couchloop.client.services import ClusterServices
    from couchloop.hot.operation import Defaults
    from couchloop.settings.values import Settings


class Asking(Protocol):
    """A Cluster or Bucket, as far as its managers know it."""

    _defaults: Defaults

    def _ask_services(self) -> ClusterServices:
        """Return the services of the cluster on this loop."""


class ManagerBase:
    """A manager of a Cluster, or of a Bucket or scope, which it keeps.

    Args:
        owner: whose it is.
        defaults: what its calls use; None: what its owner has.
    """

    __slots__ = ("_defaults", "_owner")

    def __init__(self, owner: Any, defaults: Any = None) -> None:
        self._owner: Asking = owner
        self._defaults: Any = owner._defaults if defaults is None else defaults  # noqa: SLF001 - ours

    def _ask_services(self) -> ClusterServices:
        return self._owner._ask_services()  # noqa: SLF001 - ours

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {self._owner!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # What copy.copy, copy.deepcopy and pickle ask.
        raise TypeError(
            f"a {type(self).__name__} is not copied or pickled, as its Cluster or Bucket is not: "
            "ask that for it where it is wanted"
        )


def service_defaults(settings: Settings) -> ServiceDefaults:
    """Return what requests to services use where they say nothing."""
    times = settings.service_times
    return ServiceDefaults(
        settings.bucket,
        query_timeout=times.query,
        query_grace=times.grace,
        search_timeout=times.search,
        views_timeout=times.views,
        analytics_timeout=times.analytics,
        strategy=strategy_of_services(settings.retry_strategy),
    )


def defaults_of_bucket(bucket: Any) -> BucketDefaults:
    """Return what the calls of a Bucket's managers use where they say nothing."""
    return BucketDefaults(transcoder_of(None), 0, bucket=bucket.bucket, **_of_managers(bucket))


def defaults_of_scope(bucket: Any, scope: str) -> ScopeDefaults:
    """Likewise of a scope's."""
    return ScopeDefaults(
        transcoder_of(None), 0, bucket=bucket.bucket, scope=scope, **_of_managers(bucket)
    )


def _of_managers(bucket: Any) -> dict[str, Any]:
    services = bucket._defaults.services  # noqa: SLF001 - ours
    return {
        "timeout": bucket._settings.http.management_timeout,  # noqa: SLF001 - ours
        "services": ServiceDefaults(strategy=services.strategy, watching=services.watching),
    }
