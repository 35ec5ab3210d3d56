"""What a Bucket or a Cluster knows of requests to services, beside what all operations use."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from couchloop.records import record


class Watching:
    """Who is told of what a Bucket or a Cluster asks services: all that it has made share this."""

    __slots__ = ("by",)

    def __init__(self) -> None:
        self.by: Any = None
        """A `couchloop.observe.requests.Requests`; None: nobody wants to know."""


@record(slots=True)
class ServiceDefaults:
    """What such requests use where the call says nothing. Times are in seconds."""

    bucket: str = ""
    """The bucket that is meant; empty: none."""
    scope: str = ""
    """The scope of it that is meant; empty: none."""
    query_timeout: float = 75.0
    """For a query."""
    views_timeout: float = 75.0
    """For a query of a view."""
    query_grace: float = 0.0
    """For so much longer than the service the client waits."""
    search_timeout: float = 75.0
    """For a search."""
    analytics_timeout: float = 75.0
    """For an analytics query."""
    strategy: Any = None
    """A `couchloop.retries.RetryStrategy` that is asked; None: best effort, with each service's own
    pauses."""
    watching: Watching = field(default_factory=Watching)
    """Who is told of requests."""

    @property
    def context(self) -> str:
        """What queries call the scope; empty: there is none."""
        if not self.scope:
            return ""
        bucket, scope = (each.replace("`", "``") for each in (self.bucket, self.scope))
        return f"default:`{bucket}`.`{scope}`"
