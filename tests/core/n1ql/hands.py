"""A query that is carried out by hand: what it sends, and what it makes of the answers."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from couchloop.exceptions import CouchbaseError
from couchloop.http.service import ServiceAnswer, ServiceRequest
from couchloop.operations.recent import Memory
from couchloop.operations.rows import RowStream
from couchloop.operations.stream import END
from couchloop.topology.configuration import ClusterConfig, Revision

NODE = "host:8093"


def cluster(*can: str) -> ClusterConfig:
    """Return a cluster whose query service can do so much."""
    return ClusterConfig(Revision(1, 1), (), capabilities={"n1ql": frozenset(can)})


ENHANCED = cluster("enhancedPreparedStatements", "readFromReplica")


class Hands:
    """A session that does what the test says.

    Args:
        stream: the query.
        config: what its cluster is.
        memory: what other queries have learned.
    """

    def __init__(
        self,
        stream: RowStream[Any],
        config: ClusterConfig = ENHANCED,
        memory: Memory | None = None,
    ) -> None:
        self.stream = stream
        self.config = config
        self.memory = memory or Memory(Random(1), 10)
        self.now = 0.0
        self.call: Any = None
        self.asked: list[ServiceRequest] = []
        self.pauses: list[float] = []
        self.given_up = 0

    # See `Performer`

    def begin(self, op: Any, now: float) -> None:
        raise AssertionError((op, now))

    def pause(self, procedure: Any, seconds: float, now: float) -> None:
        """Let the pause be over at once."""
        assert now == self.now
        self.pauses.append(seconds)
        self.now += seconds
        procedure.awake()

    def ask(self, call: Any, now: float) -> None:
        """Make the request, as a session does once it knows the cluster."""
        assert now == self.now
        self.call = call
        self.asked.append(self.stream.asked_of(self.config, self.memory, call.timeout))

    def resume(self, call: Any, now: float) -> None:
        del call, now

    def give_up(self, call: Any) -> None:
        assert call is self.call
        self.given_up += 1

    # The test's

    @property
    def body(self) -> dict[str, Any]:
        """What was asked last."""
        found: dict[str, Any] = json.loads(self.asked[-1].body)
        return found

    def turns(self, limit: int = 50) -> Any:
        """Give turns to one pull as long as it wants some; return it."""
        wanted: list[Any] = []
        pull = self.stream.pull()
        pull.wants_turn = wanted.append
        pull.start(self.now)
        pull.go_on(self, self.now)
        for _ in range(limit):
            if not wanted:
                break
            wanted.clear()
            pull.go_on(self, self.now)
        return pull

    def start(self) -> Hands:
        """Have the request sent."""
        self.turns().let_go()
        return self

    def answer(self, *rows: Any, pieces: int = 0, **members: Any) -> dict[str, Any]:
        """Give an answer as the service does; return what is asked next, or was asked last."""
        document = {"requestID": "r", "results": list(rows), "status": "success", **members}
        self.data(json.dumps(document).encode(), pieces=pieces)
        return self.body

    def refuse(self, code: int, text: str = "x", status: int = 404, **said: Any) -> dict[str, Any]:
        """Give a refusal; return what is asked next, or was asked last."""
        error = {"code": code, "msg": text, **said}
        self.data(json.dumps({"errors": [error], "status": "fatal"}).encode(), status)
        return self.body

    def data(self, data: bytes, status: int = 200, pieces: int = 0) -> None:
        """Give an answer, whole or in pieces of so many bytes."""
        self.stream.began(status, {}, NODE)
        size = pieces or len(data) or 1
        for begin in range(0, len(data), size):
            self.stream.piece(data[begin : begin + size])
        self.end()

    def end(self, error: CouchbaseError | None = None) -> None:
        """Complete the call."""
        call = self.call
        if error is None:
            call.reply = ServiceAnswer(self.stream.status, {}, b"", NODE)
        call.error = error
        batch, call.batch = call.batch, None
        if batch is not None:
            batch.member_done(call)
        self.turns().let_go()

    def rows(self) -> list[Any]:
        """Take all rows; raise what ends them."""
        found: list[Any] = []
        while True:
            pull = self.turns()
            assert pull.done, "nothing comes any more"
            item = pull.result()
            if item is END:
                return found
            found.append(item)
