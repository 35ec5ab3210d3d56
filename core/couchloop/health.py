"""Reports of a Bucket's health: what `ping`, `diagnostics` and `cluster_state` give."""

from __future__ import annotations

from couchloop.session.health import (
    ClusterState,
    DiagnosticsReport,
    EndpointState,
    PingReport,
    PingStatus,
)

__all__ = ["ClusterState", "DiagnosticsReport", "EndpointState", "PingReport", "PingStatus"]
