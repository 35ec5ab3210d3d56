"""What a manager's calls use where they say nothing, if it is of one bucket, or of one scope."""

from __future__ import annotations

from couchloop.hot.operation import Defaults
from couchloop.records import record


@record(slots=True)
class BucketDefaults(Defaults):
    """The same as for a Cluster, and the bucket that is meant."""

    bucket: str = ""


@record(slots=True)
class ScopeDefaults(BucketDefaults):
    """Likewise, and the scope that is meant.

    What can be asked of the cluster as well as of a scope takes `Defaults`, and looks which it has.
    """

    scope: str = ""
