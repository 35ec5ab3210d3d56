"""How connections are, without any I/O: diagnostics of RFC 0034 and 0061."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import ArgumentError
from couchloop.kv.connection import Connection, State
from couchloop.session.health import ClusterState, cluster_state, report_name, why
from couchloop.session.services.pings import TYPES, ServiceType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from couchloop.session.health import HealthView
    from couchloop.session.route_table import Endpoint
    from couchloop.session.services.pool import Channel
    from couchloop.settings.values import Address


class EndpointState(Enum):
    """How the connection to one node is."""

    NEW = "new"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RECONNECTING = "reconnecting"
    """It was lost, or could not be made, and is to be made again."""
    DISCONNECTING = "disconnecting"
    """The node is no longer in the configuration; what is in flight may still be answered."""


_BY_STATE: Final = {
    State.OPENING: EndpointState.CONNECTING,
    State.HANDSHAKE: EndpointState.AUTHENTICATING,
    State.READY: EndpointState.CONNECTED,
    State.CLOSED: EndpointState.DISCONNECTED,
}
_FIRST_NAMES: Final = {
    ServiceType.VIEWS: "view",
    ServiceType.QUERY: "n1ql",
    ServiceType.SEARCH: "fts",
    ServiceType.ANALYTICS: "cbas",
}
"""What RFC 0034 called differently than RFC 0061."""


class DiagnosticsReport(dict[str, Any]):
    """What `diagnostics` gives: a dict that can be written as JSON."""

    def __init__(self, content: dict[str, Any], state: ClusterState) -> None:
        super().__init__(content)
        self.state = state
        """Of the whole cluster."""

    def as_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(self)


def diagnostics(
    view: HealthView, now: float, report_id: str | None = None, version: int = 2
) -> DiagnosticsReport:
    """Return how each connection of a session is, without any I/O.

    The arguments are those of `diagnostics_of`.
    """
    return diagnostics_of([view], [view], now, report_id, version)


def diagnostics_of(
    data: Sequence[HealthView],
    services: Sequence[HealthView],
    now: float,
    report_id: str | None = None,
    version: int = 2,
) -> DiagnosticsReport:
    """Return how each connection of some sessions is, without any I/O.

    Args:
        data: sessions whose connections to data nodes are told of; they say what the state is.
        services: sessions whose connections to services are told of; one at least.
        now: monotonic seconds.
        report_id: goes into the report; None: one that nobody else has.
        version: 2 (RFC 0061), or 1: the lists of SDK 2.5 (`config`) and of RFC 0034 (`services`).

    Raises ArgumentError for another version, InvalidSettingError for an id that is no text.
    """
    if exact_integer(version) not in (1, 2):
        raise ArgumentError("version must be 1 or 2", objextra=version)
    name = report_name(report_id)
    view = services[0]
    entries = [entry for each in data for entry in _data_entries(each, now)]
    report: dict[str, Any] = {
        "version": version,
        "id": view.connections.nonce() if name is None else name,
        "sdk": view.shared.settings.agent,
    }
    lists = {"kv": entries} if entries else {}
    for each in services:
        for channel in each.services.pools.by_id.values():
            kind = TYPES[channel.place.service]
            name = _FIRST_NAMES.get(kind, kind.value) if version == 1 else kind.value
            lists.setdefault(name, []).append(_channel_entry(each, channel, now))
    if version == 1:
        for entry in (entry for entries in lists.values() for entry in entries):
            if "namespace" in entry:
                entry["scope"] = entry.pop("namespace")
            entry["status"] = entry["state"]
        report["config"] = entries
    report["services"] = lists
    return DiagnosticsReport(report, _common_state(data))


def _common_state(views: Sequence[HealthView]) -> ClusterState:
    states = {cluster_state(view) for view in views}
    if not states:
        return ClusterState.OFFLINE
    return states.pop() if len(states) == 1 else ClusterState.DEGRADED


def _data_entries(view: HealthView, now: float) -> list[dict[str, Any]]:
    entries = [_entry(view, endpoint, now) for endpoint in view.table.endpoints.values()]
    entries += [_draining(view, connection, now) for connection in view.connections.draining]
    if not view.shared.is_open:
        entries += _seeds(view, now)
    return entries


def _channel_entry(view: HealthView, channel: Channel, now: float) -> dict[str, Any]:
    """Return how a connection to a service is: made for a request, and kept for a moment."""
    is_made = channel.timer is None
    state = EndpointState.CONNECTED if is_made else EndpointState.CONNECTING
    entry: dict[str, Any] = {
        "id": view.connections.name_of(channel.id),
        "remote": str(channel.place.address),
        "state": state.value,
    }
    if channel.local is not None:
        entry["local"] = channel.local
    if is_made:
        last = max(channel.last_heard, channel.since)
        entry["last_activity_us"] = max(0, round((now - last) * 1e6))
        entry["details"] = "idle" if channel.call is None else "busy"
    return entry


def _entry(view: HealthView, endpoint: Endpoint, now: float) -> dict[str, Any]:
    connection = endpoint.connection
    state = EndpointState.RECONNECTING if connection is None else _BY_STATE[connection.state]
    if connection is None and endpoint.last_error is None and view.connections.needs_one:
        state = EndpointState.NEW
    entry = _connection_entry(view, endpoint.address, connection, state, now)
    entry["id"] = endpoint.id
    if endpoint.last_error is not None and state is not EndpointState.CONNECTED:
        entry["details"] = endpoint.last_error.message
    return entry


def _draining(view: HealthView, connection: Connection, now: float) -> dict[str, Any]:
    state = EndpointState.DISCONNECTING
    return _connection_entry(view, connection.address, connection, state, now)


def _seeds(view: HealthView, now: float) -> list[dict[str, Any]]:
    """Return what happened at the seeds so far: nodes are not known yet."""
    attempts = dict(view.shared.attempts)
    searching = view.shared.searching
    entries = []
    for number, seed in enumerate(view.shared.settings.seeds):
        connection = None
        state = EndpointState.NEW
        if searching is not None and searching.address == seed:
            connection = searching
            state = _BY_STATE[connection.state]
        elif str(seed) in attempts:
            state = EndpointState.DISCONNECTED
        entry = _connection_entry(view, seed, connection, state, now)
        entry.setdefault("id", f"seed-{number}")
        if state is EndpointState.DISCONNECTED:
            entry["details"] = why(attempts[str(seed)])
        entries.append(entry)
    return entries


def _connection_entry(
    view: HealthView,
    address: Address,
    connection: Connection | None,
    state: EndpointState,
    now: float,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"remote": str(address), "state": state.value}
    if view.shared.settings.bucket:
        entry["namespace"] = view.shared.settings.bucket
    if connection is not None:
        entry["id"] = connection.hello.connection_id
        if connection.local is not None:
            entry["local"] = connection.local
        if connection.state is not State.OPENING:
            entry["last_activity_us"] = max(0, round((now - connection.last_activity) * 1e6))
        if state is EndpointState.CONNECTED:
            # By this name the server's log knows it.
            entry["details"] = f"connection {connection.hello.connection_id}"
    return entry
