"""Nodes and services asked for a sign of life: ping of RFC 0034 and 0061."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from couchloop.hot.operation import Defaults
from couchloop.session.health import Waiter, report_name, why
from couchloop.session.services.pings import (
    TYPES,
    PingStatus,
    ServiceType,
    chosen,
    old_name,
    rfc_name,
)
from couchloop.session.standstill import STOOD_STILL
from couchloop.wire import Opcode

if TYPE_CHECKING:
    from couchloop.hot.request import Request
    from couchloop.http.service import Service
    from couchloop.kv.connection import Connection
    from couchloop.session.requests import OwnRequest
    from couchloop.session.route_table import Endpoint
    from couchloop.session.services.pings import Outcome
    from couchloop.session.services.pool import Place
    from couchloop.settings.values import Address

_RFC_PING: Final = ("id", "latency_us", "remote", "state", "namespace", "details")


class PingReport(dict[str, list[dict[str, Any]]]):
    """What `ping` gives: lists of nodes by service, as SDK 2.5 does and with RFC 0061's names too.

    The services are `kv`, `views`, `n1ql`, `fts` (SDK 2.5), `analytics`, `mgmt` and `eventing`.
    Each node has `server`, `status` (a PingStatus) and `latency` (nanoseconds); `id`, `remote`,
    `state`, `latency_us` and, with data, `namespace`; and `details` where something is wrong.
    """

    version: int = 2

    def __init__(
        self,
        services: dict[str, list[dict[str, Any]]],
        report_id: str,
        sdk: str,
        config_rev: int | None,
    ) -> None:
        super().__init__(services)
        self.id = report_id
        self.sdk = sdk
        self.config_rev = config_rev
        """Revision of the configuration that lists the nodes; None: there is none yet."""

    def as_json(self) -> str:
        """Return RFC 0061's JSON."""
        report: dict[str, Any] = {"version": self.version, "id": self.id, "sdk": self.sdk}
        if self.config_rev is not None:
            report["config_rev"] = self.config_rev
        report["services"] = {
            rfc_name(service): [
                {name: entry[name] for name in _RFC_PING if name in entry} for entry in nodes
            ]
            for service, nodes in self.items()
        }
        return json.dumps(report)


class Ping(Waiter):
    """A NOOP (0x0a) to each data node, a request to each other service of each node.

    A data node that is being connected is waited for.
    """

    __slots__ = ("_found", "_report", "_report_id", "_sent")

    def __init__(
        self,
        timeout: float,
        services: tuple[bool, tuple[Service, ...]],
        report_id: str | None,
    ) -> None:
        super().__init__("ping", timeout, services)
        self._report_id = report_id
        self._report: PingReport | None = None
        self._sent: dict[Address, OwnRequest] = {}
        self._found: dict[Address, dict[str, Any]] = {}
        """Entries of data nodes."""

    def look(self, now: float) -> None:
        """Ask those nodes that can be asked now."""
        view = self.view
        if not view.shared.is_open:
            return
        if self.with_data:
            view.connect_all(self, now)
            self._look_at_data(now)
        self.pings.ask(view.services, now)
        self.look_closer()

    def _look_at_data(self, now: float) -> None:
        for address, endpoint in self.view.table.endpoints.items():
            if address in self._sent or address in self._found:
                continue
            if endpoint.ready is not None:
                self._ask(endpoint, endpoint.ready, now)
            elif endpoint.connection is None and endpoint.last_error is not None:
                self._note(address, PingStatus.ERROR, 0.0, endpoint.last_error.message)

    def _ask(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        address = endpoint.address

        def answered(probe: OwnRequest) -> None:
            latency = max(0.0, connection.last_activity - now)
            if probe.answer is None:
                cause = endpoint.last_error or probe.error
                self._note(address, PingStatus.ERROR, latency, why(cause) if cause else "")
            elif probe.answer.status:
                reason = f"the server answered status 0x{probe.answer.status:02x}"
                self._note(address, PingStatus.ERROR, latency, reason)
            else:
                self._note(address, PingStatus.OK, latency)
            self.look_closer()

        # The limit of the ping is what ends it.
        probe = self.view.requests.send(
            connection, Opcode.NOOP, answered, now, timeout=self.timeout
        )
        self._sent[address] = probe
        self.requests.append(probe)

    def _note(
        self, address: Address, status: PingStatus, latency: float, details: str = ""
    ) -> None:
        view = self.view
        entry = _entry(address, status, latency, details)
        if view.shared.settings.bucket:
            entry["namespace"] = view.shared.settings.bucket
        endpoint = view.table.endpoints.get(address)
        if endpoint is not None:
            entry["id"] = endpoint.id
        self._found.setdefault(address, entry)

    def look_closer(self) -> None:
        """See `Waiter`."""
        view = self.view
        if self.with_data and not all(each in self._found for each in view.table.endpoints):
            return
        if self.pings.are_answered(view.services.places(self.pings.kinds)):
            self.finish()

    def member_done(self, op: Request) -> bool:
        """See `Waiter`."""
        is_over = super().member_done(op)
        if is_over and self.error is None:
            self._report = self._made()
        return is_over

    def let_go(self) -> None:
        """See `Waiter`."""
        super().let_go()
        self._sent.clear()

    def expired(self, standstill: float) -> None:
        """Note who has not answered."""
        view = self.view
        self.pings.expire(STOOD_STILL if standstill else "")
        attempts = {} if view.shared.is_open else dict(view.shared.attempts)
        wanted = view.table.endpoints if self.with_data else ()
        for address in wanted if view.shared.is_open else view.shared.settings.seeds:
            if str(address) in attempts:
                self._note(address, PingStatus.ERROR, 0.0, why(attempts[str(address)]))
            elif address not in self._found:
                details = "" if address in self._sent else "the node is not connected"
                if standstill:
                    details = "; ".join(filter(None, (details, STOOD_STILL)))
                self._note(address, PingStatus.TIMEOUT, self.timeout, details)
        for probe in self._sent.values():
            view.dispatcher.cancel(probe)

    def _made(self) -> PingReport:
        view = self.view
        config = view.table.config
        lists = {"kv": list(self._found.values())} if self.with_data or self._found else {}
        for service in self.pings.kinds:
            entries = [
                _service_entry(place, outcome)
                for place, outcome in self.pings.outcomes.items()
                if place.service is service
            ]
            if entries:
                lists[old_name(service)] = entries
        return PingReport(
            lists,
            view.connections.nonce() if self._report_id is None else self._report_id,
            view.shared.settings.agent,
            None if config is None else config.revision.rev,
        )

    def result(self) -> PingReport:  # type: ignore[override]  # not one of documents
        """Return the report, or raise why the bucket is not open."""
        self.raise_error()
        assert self._report is not None
        return self._report


def _entry(address: Address, status: PingStatus, latency: float, details: str) -> dict[str, Any]:
    # For RFC 0061 what was not asked is no state of its own.
    state = PingStatus.ERROR if status is PingStatus.NOT_ASKED else status
    entry: dict[str, Any] = {
        "server": str(address),
        "status": status,
        "latency": round(latency * 1e9),
        "remote": str(address),
        "state": state.name.lower(),
        "latency_us": round(latency * 1e6),
    }
    if details:
        entry["details"] = details
    return entry


def _service_entry(place: Place, outcome: Outcome) -> dict[str, Any]:
    details = "" if outcome.error is None else why(outcome.error)
    if outcome.status is PingStatus.NOT_ASKED:
        details = f"not asked: {details}"
    entry = _entry(place.address, outcome.status, outcome.latency, details)
    entry["id"] = f"{TYPES[place.service].value}/{place.address}"
    return entry


def ping(
    defaults: Defaults,
    *,
    services: Iterable[ServiceType | str] | None = None,
    timeout: float | None = None,
    report_id: str | None = None,
) -> Ping:
    """Ask each data node for a sign of life, and each node of every other service (RFC 0061).

    Args:
        services: which are asked, as ServiceType or by name ("kv", "query"); None: all that the
            cluster has.
        timeout: seconds that each node has; None: as operations.
        report_id: goes into the report; None: one that nobody else has.

    Raises ArgumentError for a service that does not exist; InvalidTimeoutError; InvalidSettingError
    for an id that is no text; what opening the bucket met, once that has failed. A node that does
    not answer, or is not connected, raises nothing: the report says so, and which services would
    have been told the password in clear text.
    """
    name = report_name(report_id)
    return Ping(defaults.timeout if timeout is None else timeout, chosen(services), name)
