"""The page that Prometheus asks for, as a resource of twisted.web.

The one that prometheus_client brings installs the default reactor when it is imported, and makes
the page in a thread of the reactor's pool; this one does neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from couchloop.contrib.prometheus import page
from couchloop.neighbours import pip_line

try:
    from twisted.web.iweb import IRequest
    from twisted.web.resource import Resource
except ImportError as error:
    raise ImportError(
        f"couchloop.contrib.prometheus_twisted needs twisted: {pip_line('twisted')}"
    ) from error

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["MetricsResource"]


class MetricsResource(Resource):
    """The metrics of a registry, made in the reactor's own thread.

    Args:
        registry: whose metrics; None: those of the one that counts in this process.
    """

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry

    def render_GET(self, request: IRequest) -> bytes:  # noqa: N802 - likewise
        """Return the page in the form that the request asks for."""
        accept = request.getHeader("accept") or ""  # type: ignore[no-untyped-call]
        registry = self._registry
        content_type, text = page(accept) if registry is None else page(accept, registry)
        request.setHeader("content-type", content_type)  # type: ignore[no-untyped-call]
        return text
