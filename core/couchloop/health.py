"""Reports of health: what `ping`, `diagnostics` and `cluster_state` give."""

from __future__ import annotations

from couchloop.session.diagnostics import DiagnosticsReport, EndpointState
from couchloop.session.health import ClusterState
from couchloop.session.ping import PingReport
from couchloop.session.services.pings import PingStatus, ServiceType

__all__ = [
    "ClusterState",
    "DiagnosticsReport",
    "EndpointState",
    "PingReport",
    "PingStatus",
    "ServiceType",
]
