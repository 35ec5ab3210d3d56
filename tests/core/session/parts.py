"""The parts of a session that deal with nodes, put together without a session around them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from couchloop.hot.deadlines import Deadlines
from couchloop.hot.frames import Frame, FrameDecoder, RequestFrame, encode_response
from couchloop.kv.connection import Connection
from couchloop.kv.handshake import Negotiated
from couchloop.session.configurations import ConfigTracker
from couchloop.session.connections import Connections
from couchloop.session.liveness import Liveness
from couchloop.session.requests import OwnRequests
from couchloop.session.route_table import RouteTable
from couchloop.session.shared import SessionState, Shared
from couchloop.settings.values import Address, Login, Settings
from couchloop.topology.configuration import parse_config
from tests.core.kv.test_connection import Owner

FIRST, SECOND = Address("127.0.0.1", 10000), Address("127.0.0.1", 10001)


def settings(**others: Any) -> Settings:
    """Return settings for two nodes."""
    made: dict[str, Any] = {
        "seeds": (FIRST, SECOND),
        "bucket": "default",
        "login": Login("user", "password"),
    }
    return Settings(**{**made, **others})


def text_of(revision: int, owners: list[int], *nodes: Address) -> bytes:
    """Return the text of a configuration whose vbuckets are on these of the nodes."""
    listed = [
        {"services": {"kv": each.port}, "hostname": each.host} for each in nodes or (FIRST, SECOND)
    ]
    server_map = {"numReplicas": 0, "vBucketMap": [[owner] for owner in owners]}
    document = {
        "rev": revision,
        "name": "default",
        "nodesExt": listed,
        "vBucketServerMap": server_map,
    }
    return json.dumps(document).encode()


class Completing(Owner):
    """An owner of connections that completes requests, as a dispatcher does."""

    def completed(self, op: Any) -> None:
        """End the time of *op*, and hand it to who asked."""
        Deadlines.remove(op)
        super().completed(op)
        if op.batch is not None:
            op.batch.member_done(op)


class Parts:
    """What deals with nodes, below the dispatcher; what is told upwards is written down."""

    def __init__(self, **others: Any) -> None:
        self.shared = Shared(settings(**others))
        self.shared.state = SessionState.OPEN
        self.deadlines = Deadlines(self.shared.timers)
        self.owner = Completing()
        self.table = RouteTable(self.shared)
        requests = OwnRequests(self.shared, self.deadlines)
        self.liveness = Liveness(self.shared, self.table, requests)
        self.connections = Connections(
            self.shared, self.table, self.owner, Random(1), Random(2).randbytes
        )
        self.tracker = ConfigTracker(
            self.shared, self.table, self.connections, requests, self.liveness
        )
        self.told: list[tuple[str, Any]] = []
        self.table.on_some_lost = lambda _: self.told.append(("some lost", None))
        self.table.on_all_lost = lambda _: self.told.append(("all lost", None))
        self.liveness.on_revived = lambda endpoint, *_: self.told.append(
            ("revived", endpoint.address)
        )
        self.tracker.resend = lambda parked, _: self.told.append(("resent", list(parked)))

    def configure(self, revision: int = 1, owners: tuple[int, ...] = (0, 1)) -> None:
        """Have a configuration count, and all its nodes connected."""
        config = parse_config(text_of(revision, list(owners)), FIRST.host)
        assert self.tracker.apply(config, 0.0, network="default")
        for connection in list(self.connections.by_id.values()):
            connection._become_ready(Negotiated(frozenset(), {}, b""), 0.0)
            self.connections.handshake_ended(connection)
        self.shared.timers.fire(0.0)
        self.table.change()
        self.shared.timers.fire(0.0)

    def connection(self, address: Address = FIRST) -> Connection:
        """Return the connection to a node."""
        connection = self.table.endpoints[address].connection
        assert connection is not None
        return connection

    def requests(self, address: Address = FIRST) -> list[Frame]:
        """Take what is to be written to a node."""
        return FrameDecoder(RequestFrame).receive(self.connection(address).take_output())

    def answer(self, request: Frame, now: float, address: Address = FIRST, **fields: Any) -> None:
        """Have a node answer *request*."""
        data = encode_response(request.opcode, opaque=request.opaque, **fields)
        self.connection(address).receive_data(data, now)
