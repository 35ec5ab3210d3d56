"""Bugs to be planted into the client, to see that the simulation finds them.

Each is a function that takes pytest's `MonkeyPatch`. The core has no switches for them: they bend
the session at its boundary, or what lies below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from couchloop.hot.operation import Operation
from couchloop.hot.result import ReplicaResult
from couchloop.kv.connection import Connection
from couchloop.operations import containers, queues
from couchloop.operations.document import Append, Counter, Get, Insert, Prepend
from couchloop.operations.mutation import Mutation
from couchloop.operations.replicas import GetCopy
from couchloop.operations.subdocument import MutateIn, mutate_in
from couchloop.operations.watching import Sight
from couchloop.session.bulk import Feeder
from couchloop.session.collections import Collections, Wait
from couchloop.session.dispatcher import Dispatcher
from couchloop.session.events import CloseConnection, Event
from couchloop.session.failures import Failures
from couchloop.session.session import Session
from couchloop.session.standstill import CatchUp
from couchloop.topology.configuration import Revision
from couchloop.wire import Magic, Opcode, Status
from tests.simulation import bugs_of_streams as streams


def skip_deadlines(patch: pytest.MonkeyPatch) -> None:
    """Forget the deadline of every third operation that is submitted."""
    submit = Dispatcher.submit
    count = 0

    def forgetful(self: Dispatcher, op: Operation[Any], now: float) -> None:
        nonlocal count
        count += 1
        if not count % 3:
            op.timeout += 3600.0
        submit(self, op, now)

    patch.setattr(Dispatcher, "submit", forgetful)


def wake_late(patch: pytest.MonkeyPatch) -> None:
    """Ask for the timer a millisecond after what is due."""
    next_deadline = Session.next_deadline

    def late(self: Session) -> float | None:
        when = next_deadline(self)
        return None if when is None else when + 0.001

    patch.setattr(Session, "next_deadline", late)


def retry_inserts_blindly(patch: pytest.MonkeyPatch) -> None:
    """Send an insert again after its connection was lost."""
    patch.setattr(Insert, "idempotent", True)


def retry_counters_blindly(patch: pytest.MonkeyPatch) -> None:
    """Send an increment again after its connection was lost."""
    patch.setattr(Counter, "idempotent", True)


def _compare_by(patch: pytest.MonkeyPatch, key: Callable[[Revision], Any]) -> None:
    patch.setattr(Revision, "__lt__", lambda a, b: key(a) < key(b))
    patch.setattr(Revision, "__le__", lambda a, b: key(a) <= key(b))
    patch.setattr(Revision, "__gt__", lambda a, b: key(a) > key(b))
    patch.setattr(Revision, "__ge__", lambda a, b: key(a) >= key(b))


def ignore_epochs(patch: pytest.MonkeyPatch) -> None:
    """Compare configurations by their revision alone."""
    _compare_by(patch, lambda revision: revision.rev)


def ignore_revisions(patch: pytest.MonkeyPatch) -> None:
    """Take every configuration for newer than the one before it."""
    patch.setattr(Revision, "__lt__", lambda a, b: tuple(a) != tuple(b))
    patch.setattr(Revision, "__le__", lambda a, b: tuple(a) == tuple(b))
    patch.setattr(Revision, "__gt__", lambda a, b: tuple(a) != tuple(b))
    patch.setattr(Revision, "__ge__", lambda _a, _b: True)


def reuse_opaques(patch: pytest.MonkeyPatch) -> None:
    """Send every fifth request with the opaque of one that is in flight, if there is any."""
    send = Connection.send
    count = 0

    def careless(self: Connection, op: Any, vbucket: int) -> None:
        nonlocal count
        count += 1
        pending = self.pending
        if not pending or count % 5:
            send(self, op, vbucket)
            return
        # Where nothing seems to be in flight, nothing is avoided.
        last, self.opaque = self.opaque, next(iter(pending)) - 1
        self.pending = {}
        try:
            send(self, op, vbucket)
        finally:
            pending.update(self.pending)
            self.pending = pending
            self.opaque = last

    patch.setattr(Connection, "send", careless)


def drop_requeue(patch: pytest.MonkeyPatch) -> None:
    """Forget the reads that were in flight on a connection that is lost."""
    connection_lost = Session.connection_lost

    def forgetful(
        self: Session, connection_id: int, reason: BaseException | None, now: float
    ) -> None:
        for connection in self.connections:
            if connection.id == connection_id:
                pending: dict[int, Any] = connection.pending
                for opaque in [opaque for opaque, op in pending.items() if op.idempotent]:
                    del pending[opaque]
        connection_lost(self, connection_id, reason, now)

    patch.setattr(Session, "connection_lost", forgetful)


def deliver_to_wrong_waiter(patch: pytest.MonkeyPatch) -> None:
    """Swap two operations of one kind that wait for their answers, now and then."""
    receive_data = Connection.receive_data
    count = 0

    def confused(self: Connection, data: bytes, now: float) -> None:
        nonlocal count
        count += 1
        if len(self.pending) > 1 and not count % 10:
            (one, first), (two, second) = list(self.pending.items())[:2]
            if first.opcode == second.opcode:
                self.pending[one], self.pending[two] = second, first
        receive_data(self, data, now)

    patch.setattr(Connection, "receive_data", confused)


def answer_cancelled(patch: pytest.MonkeyPatch) -> None:
    """Go on with what its caller has cancelled."""
    patch.setattr(Dispatcher, "cancel", lambda _self, _op: None)


def call_all_ambiguous_sure(patch: pytest.MonkeyPatch) -> None:
    """Report all that was in flight at its deadline as not done."""
    patch.setattr(Failures, "is_ambiguous", staticmethod(lambda _op: False))


def forget_to_close(patch: pytest.MonkeyPatch) -> None:
    """Leave every other connection open that is to be closed."""
    take_events = Session.take_events
    count = 0

    def is_kept(event: Event) -> bool:
        nonlocal count
        if isinstance(event, CloseConnection):
            count += 1
        return not isinstance(event, CloseConnection) or count % 2 == 0

    patch.setattr(Session, "take_events", lambda self: [e for e in take_events(self) if is_kept(e)])


def retain_operations(patch: pytest.MonkeyPatch) -> None:
    """Keep every hundredth operation in some table for ever."""
    submit = Dispatcher.submit
    count = 0

    def retentive(self: Dispatcher, op: Operation[Any], now: float) -> None:
        nonlocal count
        count += 1
        if not count % 100:
            vars(self).setdefault("table", {})[count] = op
        submit(self, op, now)

    patch.setattr(Dispatcher, "submit", retentive)


def expire_before_reading(patch: pytest.MonkeyPatch) -> None:
    """Do what is due before reading what came while the loop stood still."""
    patch.setattr(CatchUp, "reads_first", lambda _self, _now: False)


def count_every_byte(patch: pytest.MonkeyPatch) -> None:
    """Take any byte for a sign of life, and for an answer."""
    receive_data = Connection.receive_data

    def trusting(self: Connection, data: bytes, now: float) -> None:
        receive_data(self, data, now)
        self.last_activity = now
        self._forgotten -= 1

    patch.setattr(Connection, "receive_data", trusting)


# Of documents


def keep_old_numbers(patch: pytest.MonkeyPatch) -> None:
    """Go on with the number of a collection that was dropped, and perhaps made again."""
    patch.setattr(Collections, "refused", lambda *_: False)


def mix_up_scopes(patch: pytest.MonkeyPatch) -> None:
    """Keep the numbers of collections by their own names alone."""

    class ByName(dict[Any, Any]):
        def get(self, names: Any, usual: Any = None) -> Any:
            return super().get(names.collection, usual)

        def pop(self, names: Any, usual: Any = None) -> Any:
            return super().pop(names.collection, usual)

        def __setitem__(self, names: Any, number: Any) -> None:
            super().__setitem__(names.collection, number)

    init = Collections.__init__

    def careless(self: Collections, *arguments: Any) -> None:
        init(self, *arguments)
        self._known = ByName()

    patch.setattr(Collections, "__init__", careless)


def turn_waiting_round(patch: pytest.MonkeyPatch) -> None:
    """Send what has waited for the number of a collection with the last first."""
    patch.setattr(Wait, "operations", property(lambda wait: [*wait.again, *wait.new][::-1]))


def retry_appends_blindly(patch: pytest.MonkeyPatch) -> None:
    """Send an append again after its connection was lost."""
    patch.setattr(Append, "idempotent", True)
    patch.setattr(Prepend, "idempotent", True)


def retry_parts_blindly(patch: pytest.MonkeyPatch) -> None:
    """Send a change of parts of a document again after its connection was lost."""
    patch.setattr(MutateIn, "idempotent", True)


def drop_durability(patch: pytest.MonkeyPatch) -> None:
    """Do not tell the node how durable a write must be."""
    submit = Dispatcher.submit

    def careless(self: Dispatcher, op: Operation[Any], now: float) -> None:
        op.framing = b""
        submit(self, op, now)

    patch.setattr(Dispatcher, "submit", careless)


def acknowledge_early(patch: pytest.MonkeyPatch) -> None:
    """Take a durable write for done when the node says that it is under way, or doubtful."""
    early = frozenset({int(Status.SYNC_WRITE_IN_PROGRESS), int(Status.SYNC_WRITE_AMBIGUOUS)})
    patch.setattr(Mutation, "answers", early)


def watch_nothing(patch: pytest.MonkeyPatch) -> None:
    """Take every answer of a copy for enough."""
    patch.setattr(Sight, "enough", lambda *_: True)


def ignore_re_commit(patch: pytest.MonkeyPatch) -> None:
    """Take a document that is being committed again for one that is missing."""
    receive = Connection.receive_data
    first = Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS.to_bytes(2)

    def careless(self: Connection, data: bytes, now: float) -> None:
        # The network of a world cuts at random, but seldom in here.
        place = data.find(first)
        if place >= 6 and data[place - 6] == Magic.RESPONSE:
            data = data[:place] + Status.KEY_ENOENT.to_bytes(2) + data[place + 2 :]
        receive(self, data, now)

    patch.setattr(Connection, "receive_data", careless)


def take_replicas_for_active(patch: pytest.MonkeyPatch) -> None:
    """Answer for a replica as if it were the active copy."""
    patch.setattr(GetCopy, "decode", lambda self, answer: as_active(Get.decode(self, answer)))

    def as_active(found: Any) -> ReplicaResult:
        return ReplicaResult(
            found.key, found.value, found.cas, found.flags, found.rc, is_replica=False
        )


def lock_nothing(patch: pytest.MonkeyPatch) -> None:
    """Read a document that was to be locked."""
    submit = Dispatcher.submit

    def careless(self: Dispatcher, op: Operation[Any], now: float) -> None:
        if op.opcode == Opcode.GET_LOCKED:
            op.opcode, op.extras = Opcode.GET, b""
        submit(self, op, now)

    patch.setattr(Dispatcher, "submit", careless)


def forget_cas_in_loops(patch: pytest.MonkeyPatch) -> None:
    """Store what a loop has made of a document whatever others have stored meanwhile."""

    def careless(*arguments: Any, cas: int = 0, **named: Any) -> Any:
        assert cas >= 0
        return mutate_in(*arguments, **named)

    patch.setattr(containers, "mutate_in", careless)
    patch.setattr(queues, "mutate_in", careless)


def overtake_batches(patch: pytest.MonkeyPatch) -> None:
    """Send a change of a document before one that waits in a large batch."""
    patch.setattr(Feeder, "before", lambda *_, **__: None)


class Catch(NamedTuple):
    """How a planted bug is caught: within so many worlds, as one of these broken promises."""

    worlds: int
    rules: frozenset[str]
    faults: tuple[str, ...] | None = None
    """The only kinds of faults in these worlds; None: all."""
    kind: str | None = None
    """Of these worlds, see `tests.simulation.world`; None: what their seeds say."""
    first: int = 1
    """The first of them: that of seed 1 is long, and not in every world has a bug an effect."""


def _of(
    kind: str, worlds: int, *rules: str, faults: tuple[str, ...] | None = None, first: int = 1
) -> Catch:
    return Catch(worlds, frozenset(rules), faults, kind, first)


def _catch(
    worlds: int, *rules: str, faults: tuple[str, ...] | None = None, first: int = 2
) -> Catch:
    return Catch(worlds, frozenset(rules), faults, first=first)


def _of_documents(
    worlds: int, *rules: str, faults: tuple[str, ...] | None = None, first: int = 2
) -> Catch:
    return Catch(worlds, frozenset(rules), faults, "documents", first)


_RESETS: Final = ("reset", "reset_all", "drop_by_server", "lose_answers")
_BROKEN_OFF: Final = ("rebalance_in_steps", "reset_all", "drop_by_server")

PLANTED: Final[Mapping[Callable[[pytest.MonkeyPatch], None], Catch]] = {
    skip_deadlines: _catch(20, "late"),
    wake_late: _catch(20, "late"),
    retry_inserts_blindly: _catch(40, "error class"),
    retry_counters_blindly: _catch(60, "counter", "done twice"),
    ignore_epochs: _of("", 30, "old configuration", "given up", faults=("new_epoch",)),
    ignore_revisions: _catch(5, "old configuration"),
    reuse_opaques: _catch(5, "wrong caller"),
    drop_requeue: _of("", 40, "given up", faults=_RESETS),
    deliver_to_wrong_waiter: _catch(10, "wrong caller"),
    answer_cancelled: _catch(20, "answered twice"),
    call_all_ambiguous_sure: _catch(40, "error class"),
    forget_to_close: _catch(5, "server", "twins", "leak"),
    retain_operations: _catch(5, "leak"),
    count_every_byte: _catch(30, "stuck", faults=("wrong_length",), first=5),
    expire_before_reading: _catch(20, "unread", faults=("stand_still",)),
    keep_old_numbers: _of_documents(20, "given up", "error class"),
    mix_up_scopes: _of_documents(5, "wrong place"),
    turn_waiting_round: _of_documents(40, "order"),
    retry_appends_blindly: _of_documents(40, "done twice", "error class"),
    retry_parts_blindly: _of_documents(40, "done twice", "error class"),
    drop_durability: _of_documents(10, "early"),
    acknowledge_early: _of_documents(20, "never done", "early", "wrong caller"),
    watch_nothing: _of_documents(20, "early"),
    ignore_re_commit: _of_documents(
        60, "phantom", "error class", faults=("fail_over_in_doubt",), first=4
    ),
    take_replicas_for_active: _of_documents(20, "phantom", first=5),
    lock_nothing: _of_documents(10, "lock"),
    forget_cas_in_loops: _of_documents(40, "half", "done twice"),
    overtake_batches: _of_documents(60, "order"),
    streams.lose_a_result: _of("streams", 5, "forgotten"),
    streams.give_a_result_twice: _of("streams", 5, "answered twice"),
    streams.read_on_and_on: _of("streams", 20, "backpressure"),
    streams.sleep_through_answers: _of("streams", 5, "late", "never answered"),
    streams.end_with_the_wait: _of("streams", 10, "forgotten", "late", "never answered"),
    streams.watch_no_streams: _of("streams", 15, "early"),
    streams.take_memory_for_disks: _of("streams", 20, "early", first=5),
    streams.forget_nothing: _of("streams", 20, "after cancel", first=7),
    streams.begin_scans_anew: _of("streams", 90, "given twice", faults=_BROKEN_OFF, first=30),
    streams.skip_what_broke_off: _of("streams", 30, "missed", faults=_BROKEN_OFF, first=4),
    streams.take_a_piece_for_all: _of("streams", 5, "missed"),
    streams.ignore_open_bounds: _of("streams", 5, "out of range"),
    streams.exceed_samples: _of("streams", 10, "too many"),
    streams.ignore_tokens: _of("streams", 20, "missed"),
    streams.ask_for_memory: Catch(
        40, frozenset({"lost"}), faults=("crash_in_doubt",), kind="documents", first=6
    ),
    streams.miscount_points: _of("plain", 5, "wrong node"),
    streams.give_old_values: _of("memcached", 5, "phantom"),
    streams.ask_no_web_ports: _of("memcached", 40, "old configuration", faults=("blackout",)),
    streams.send_whatever: _of("plain", 5, "error class", "never done"),
}
"""The numbers leave room: which worlds catch a bug changes whenever the client does."""
