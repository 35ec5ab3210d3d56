"""What a session has to do now, in figures, without any I/O: for who looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchloop.kv.connection import connection_of
from couchloop.safety.printable import printable
from couchloop.session.diagnostics import diagnostics
from couchloop.session.services.pings import TYPES
from couchloop.session.shared import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from couchloop.hot.operation import Operation
    from couchloop.kv.connection import Connection
    from couchloop.session.health import HealthView
    from couchloop.session.route_table import Endpoint
    from couchloop.session.session import Session


def figures(session: Session, now: float, *, oldest: int, keys: bool) -> dict[str, Any]:
    """Return how much a session has under way, where, and what was tried again.

    Args:
        session: of a bucket.
        now: monotonic seconds.
        oldest: how many of the operations are told of that have been under way longest.
        keys: whether the names of their documents are told.

    Each node has what RFC 0061's diagnostics tell of it, and more. All texts are fit to be shown.
    """
    queued = session.queued
    granted = session.dispatcher.strategies.granted
    found: dict[str, Any] = {
        "bucket": printable(session.settings.bucket),
        "session": session.state.name.lower(),
        "tls": session.settings.tls,
        "network": printable(session.network),
        "nodes": _nodes(session, now),
        "in_flight": session.in_flight,
        "queued": queued.operations,
        "queued_bytes": queued.bytes,
        "late_answers": session.orphans,
        "retries": {str(reason): count for reason, count in granted.items()},
        "oldest": [_under_way(op, now, keys=keys) for op in session.dispatcher.oldest(oldest)],
    }
    if session.config is not None:
        revision = session.config.revision
        found["config_rev"] = [revision.epoch, revision.rev]
    error = session.error
    if error is not None and session.state is not SessionState.OPEN:
        found["details"] = printable(error.message)
    return found


def _nodes(session: Session, now: float) -> list[dict[str, Any]]:
    """Return the entries of RFC 0061 for data nodes, with what waits for each."""
    by_id: dict[str, dict[str, Any]] = {
        endpoint.id: _of_endpoint(endpoint) for endpoint in session.table.endpoints.values()
    }
    for draining in session.health.connections.draining:
        by_id[draining.hello.connection_id] = _of_connection(draining)
    # A report's own id is of no use here, and a new one would take entropy.
    report = diagnostics(session.health, now, "")
    return [
        {name: _shown(value) for name, value in entry.items()} | by_id.get(entry["id"], {})
        for entry in report["services"].get("kv", ())
    ]


def _shown(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def _of_connection(connection: Connection | None) -> dict[str, Any]:
    return {"in_flight": 0 if connection is None else len(connection.pending)}


def _of_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        **_of_connection(endpoint.connection),
        "queued": len(endpoint.parked),
        "circuit": "open" if endpoint.is_open_circuit else "closed",
        "slow": endpoint.is_slow,
        "failures": endpoint.failures,
    }


def _under_way(op: Operation[Any], now: float, *, keys: bool) -> dict[str, Any]:
    collection = op.defaults.collection
    connection = connection_of(op)
    found: dict[str, Any] = {
        "name": op.name,
        "age_us": max(0, round((now - (op.deadline - op.timeout)) * 1e6)),
        "timeout_us": round(op.timeout * 1e6),
        "node": None if connection is None else printable(str(connection.address)),
        "attempts": op.attempts + (connection is not None),
        "reasons": [str(reason) for reason in op.reasons],
        "collection": None if collection is None else printable(str(collection)),
    }
    if keys:
        found["key"] = printable(op.raw)
    return found


def service_figures(views: Iterable[HealthView]) -> list[dict[str, Any]]:
    """Return how many connections there are to each service of each node, and what waits.

    Args:
        views: of the sessions that ask services.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for view in views:
        for place, *counts in view.services.pools.loads():
            at = TYPES[place.service].value, printable(str(place.address))
            sums[at] = [
                have + more for have, more in zip(sums.get(at, (0, 0, 0)), counts, strict=True)
            ]
    return [_of_service(at, counts) for at, counts in sorted(sums.items())]


def _of_service(at: tuple[str, str], counts: list[int]) -> dict[str, Any]:
    service, remote = at
    busy, idle, waiting = counts
    return {"service": service, "remote": remote, "busy": busy, "idle": idle, "waiting": waiting}
