"""What a manager's calls use where they say nothing, if the manager is of one bucket."""

from __future__ import annotations

from dataclasses import dataclass

from couchloop.hot.operation import Defaults


@dataclass(slots=True)
class BucketDefaults(Defaults):
    """The same as for a Cluster, and the bucket that is meant."""

    bucket: str = ""
