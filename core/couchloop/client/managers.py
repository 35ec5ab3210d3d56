"""What the managers of both adapters are: handles of a Cluster or Bucket that ask its services.

They hold who made them, and with that its services; the methods come with the adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from couchloop.hot.encoding import transcoder_of
from couchloop.management.defaults import BucketDefaults

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
    """A manager of a Cluster, which it keeps.

    Args:
        cluster: whose it is.
    """

    __slots__ = ("_cluster", "_defaults")

    _defaults: Defaults

    def __init__(self, cluster: Asking) -> None:
        self._cluster = cluster
        self._defaults = cluster._defaults  # noqa: SLF001 - ours

    def _ask_services(self) -> ClusterServices:
        return self._cluster._ask_services()  # noqa: SLF001 - ours

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {self._cluster!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # What copy.copy, copy.deepcopy and pickle ask.
        raise TypeError(
            f"a {type(self).__name__} is not copied or pickled, as its Cluster is not: ask the "
            "Cluster for it where it is wanted"
        )


def defaults_of_bucket(settings: Settings) -> BucketDefaults:
    """Return what the calls of a bucket's managers use where they say nothing."""
    timeout = settings.http.management_timeout
    return BucketDefaults(transcoder_of(None), 0, timeout=timeout, bucket=settings.bucket)
