"""What observers hear of calls as users make them, and of nodes, in virtual time."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from couchloop.durability import DurabilityLevel
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    ArgumentError,
    NodeTimeoutError,
    NotFoundError,
    RequestCanceledError,
)
from couchloop.hot.operation import CollectionName
from couchloop.observation import Completed, Ended, LateAnswer, NodeChange, NodeEvent, Started
from couchloop.observe.calls import check_observer
from couchloop.observe.dispatcher import ObservedDispatcher, add_observer, remove_observer
from couchloop.operations import document as operations
from couchloop.operations import lists
from couchloop.session.dispatcher import Dispatcher
from couchloop.wire import Feature, Opcode, Status
from tests.core.observe.test_reports import Notes
from tests.core.world import World

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Calls:
    """An observer of calls and nodes that only takes note; a token is a number and a context."""

    def __init__(self) -> None:
        self.begun: list[Started] = []
        self.over: list[tuple[Ended, Any]] = []
        self.nodes: list[NodeEvent] = []

    def started(self, call: Started, /) -> Any:
        self.begun.append(call)
        return len(self.begun), CALLER.get()

    def ended(self, call: Ended, begun: Any, /) -> None:
        self.over.append((call, begun))

    def node_changed(self, event: NodeEvent, /) -> None:
        self.nodes.append(event)


def opened(**settings: Any) -> tuple[World, Calls]:
    """Return a world whose bucket is open and observed, and by whom."""
    calls = Calls()
    world = World(observer=calls, **settings)
    world.open()
    return world, calls


def later(**settings: Any) -> tuple[World, Calls]:
    """Likewise, but for that it was open before it was observed."""
    calls = Calls()
    world = World(**settings)
    world.open()
    add_observer(world.session, calls, lambda: 1e9)
    return world, calls


class TestCalls:
    """From the begin of a call to its end."""

    @pytest.mark.parametrize("how", [opened, later])
    def test_one(self, how: Any) -> None:
        """What begins is told where it is called; what `started` gave comes back at the end."""
        w, calls = how()
        w.cluster.inject(opcode=Opcode.SET, delay=0.25, count=1)
        token = CALLER.set("a user")
        op = w.submit(operations.upsert(w.defaults, "k", 1, timeout=2.0))
        (started,) = calls.begun
        assert calls.over == []
        CALLER.reset(token)
        w.advance(0.25)
        assert op.result().success
        ((ended, begun),) = calls.over
        assert begun == (1, "a user")
        assert ended.call is started
        assert (started.name, started.bucket, started.key) == ("upsert", "default", "k")
        assert (started.scope, started.collection, started.timeout) == (None, None, 2.0)
        assert started.batch_size is started.durability is None
        assert (ended.outcome, ended.retries, ended.is_cancelled) == (None, 0, False)
        assert ended.duration == pytest.approx(0.25)
        assert ended.operation is not None
        assert ended.operation.node == str(w.owner("k"))
        assert (ended.operation.bucket, ended.operation.status) == ("default", 0)
        assert ended.operation.retries == 0

    def test_time_of_day(self) -> None:
        """When a call began is told where the client knows the time of day."""
        w, calls = later()
        w.do(operations.upsert(w.defaults, "k", 1))
        assert calls.begun[0].at == 1e9
        w, calls = opened()
        w.do(operations.upsert(w.defaults, "k", 1))
        assert calls.begun[0].at is None

    def test_failure(self) -> None:
        """A refusal is told with its class, the server's status, and the tries before."""
        w, calls = opened()
        w.cluster.inject(opcode=Opcode.GET, status=Status.ETMPFAIL, count=2)
        w.submit(operations.get(w.defaults, "k"))
        w.advance(1.0)
        ((ended, _),) = calls.over
        assert (ended.outcome, ended.retries) == (NotFoundError, 2)
        assert ended.operation is not None
        assert ended.operation.status == Status.KEY_ENOENT

    def test_out_of_time(self) -> None:
        """What is not answered ends with its timeout."""
        w, calls = opened()
        w.cluster.inject(opcode=Opcode.SET, silent=True)
        w.submit(operations.upsert(w.defaults, "k", 1, timeout=0.5))
        w.advance(0.5)
        ((ended, _),) = calls.over
        assert (ended.outcome, ended.duration) == (AmbiguousTimeoutError, 0.5)

    def test_cancelled(self) -> None:
        """A call whose caller has gone is over, and nothing is known of it."""
        w, calls = opened()
        w.cluster.inject(opcode=Opcode.GET, silent=True)
        op = w.submit(operations.get(w.defaults, "k"))
        batch = w.submit(operations.get_multi(w.defaults, ["a", "b"]))
        w.settle()
        w.session.cancel(op)
        w.session.cancel_batch(batch)
        assert [(ended.outcome, ended.is_cancelled) for ended, _ in calls.over] == [
            (RequestCanceledError, True)
        ] * 2
        w.advance(3.0)
        assert len(calls.over) == 2

    def test_batch(self) -> None:
        """A batch is one call, with its size, its first error and the tries of all its keys."""
        w, calls = opened()
        w.do(operations.upsert(w.defaults, "a", 1))
        w.cluster.inject(opcode=Opcode.GET, status=Status.ETMPFAIL, count=1)
        w.submit(operations.get_multi(w.defaults, ["a", "b"]))
        w.advance(1.0)
        assert [(call.name, call.batch_size) for call in calls.begun] == [
            ("upsert", None),
            ("get_multi", 2),
        ]
        ended, begun = calls.over[-1]
        assert begun == (2, "nobody")
        assert (ended.outcome, ended.retries) == (NotFoundError, 1)
        assert ended.operation is None
        assert calls.begun[-1].key is None

    def test_large_batch(self) -> None:
        """So is one that is sent in slices, however many turns it takes."""
        w, calls = opened()
        values = {f"k{number}": number for number in range(3000)}
        w.submit(operations.upsert_multi(w.defaults, values))
        w.settle()
        ((ended, _),) = calls.over
        assert (ended.call.name, ended.call.batch_size) == ("upsert_multi", 3000)
        assert ended.outcome is None

    def test_steps(self) -> None:
        """What takes several operations is one call; these are no calls of the user's."""
        w, calls = opened()
        w.submit(lists.list_append(w.defaults, "k", 1, create=True))
        w.settle()
        assert [call.name for call in calls.begun] == ["list_append"]
        assert [ended.outcome for ended, _ in calls.over] == [None]
        assert calls.begun[0].key == "k"

    def test_collection_and_durability(self) -> None:
        """A call names its collection if that is a named one, and the level that it asks for."""
        w, calls = opened()
        w.cluster.create_collection("default", "zoo.birds")
        birds = replace(w.defaults, collection=CollectionName("zoo", "birds"), max_key=246)
        w.session.collections.attach(birds)
        level = DurabilityLevel.MAJORITY
        w.submit(operations.upsert(birds, "k", 1, durability=level))
        w.settle()
        (started,) = calls.begun
        assert (started.scope, started.collection) == ("zoo", "birds")
        assert started.durability == "majority"

    def test_redaction(self) -> None:
        """Where logs are redacted the key is told as its hash, the same for the same key."""
        w, calls = opened(log_redaction=True)
        for key in ("k", "k", "other"):
            w.do(operations.upsert(w.defaults, key, 1))
        first, again, other = (call.key for call in calls.begun)
        assert first == again == "sha256:8254c329a92850f6"
        assert other != first
        assert "raw" not in repr(calls.begun[0])

    def test_before_the_bucket_is_open(self) -> None:
        """A call that waits for the bucket begins when it is made; closing ends it."""
        calls = Calls()
        w = World(observer=calls)
        w.submit(operations.get(w.defaults, "k"))
        assert len(calls.begun) == 1
        w.session.close(w.now)
        w.settle()
        ((ended, _),) = calls.over
        assert ended.outcome is RequestCanceledError

    def test_refused(self) -> None:
        """What is issued after the end is told, too: it was called."""
        w, calls = opened()
        w.session.close(w.now)
        w.submit(operations.get(w.defaults, "k"))
        ((ended, _),) = calls.over
        assert ended.outcome is not None
        assert ended.operation is None

    def test_broken(self) -> None:
        """An observer that raises harms nothing: what it would have returned is None."""

        class Broken(Calls):
            def started(self, call: Started, /) -> Any:
                raise RuntimeError("broken")

        broken = Broken()
        w = World(observer=broken)
        w.open()
        assert w.do(operations.upsert(w.defaults, "k", 1)).success
        assert [begun for _, begun in broken.over] == [None]
        assert any("an observer has failed: RuntimeError('broken')" in line for line in w.logs)

    def test_broken_by_an_error_without_a_text(self) -> None:
        """What is raised may be of any class: one whose own text raises is told by its name."""

        class NoTextError(Exception):
            def __repr__(self) -> str:
                raise RuntimeError("no text")

        class Broken(Calls):
            def started(self, call: Started, /) -> Any:
                raise NoTextError

        w = World(observer=Broken())
        w.open()
        assert w.do(operations.upsert(w.defaults, "k", 1)).success
        assert any("an observer has failed: <NoTextError>" in line for line in w.logs)


class TestComingAndGoing:
    """Observers of several callers."""

    def test_both_kinds(self) -> None:
        """Observers with other methods are told beside each other, each of what it asks for."""
        w, calls = opened()
        notes = Notes()
        add_observer(w.session, notes, lambda: 0.0)
        add_observer(w.session, notes, lambda: 0.0)
        w.submit(operations.upsert_multi(w.defaults, {"a": 1, "b": 2}))
        w.settle()
        assert [done.name for done in notes.done] == ["upsert", "upsert"]
        assert [call.name for call in calls.begun] == ["upsert_multi"]

    def test_added_later(self) -> None:
        """What was under way has no begin for who comes later; it hears of the operation's end."""
        w = World()
        w.open()
        w.cluster.inject(opcode=Opcode.GET, delay=0.5, count=1)
        w.submit(operations.get(w.defaults, "k", quiet=True))
        w.settle()
        calls, notes = Calls(), Notes()
        add_observer(w.session, calls, lambda: 0.0)
        add_observer(w.session, notes, lambda: 0.0)
        w.advance(1.0)
        assert calls.begun == []
        assert calls.over == []
        assert [done.name for done in notes.done] == ["get"]

    def test_removed(self) -> None:
        """Who was removed hears of the end of what it saw begin; then all is as it was."""
        w, calls = later()
        plain = type(w.session.dispatcher)
        assert plain is ObservedDispatcher
        w.cluster.inject(opcode=Opcode.GET, delay=0.5, count=1)
        w.submit(operations.get(w.defaults, "k", quiet=True))
        w.settle()
        remove_observer(w.session, calls)
        w.submit(operations.upsert(w.defaults, "k", 1))
        w.advance(1.0)
        assert [ended.call.name for ended, _ in calls.over] == ["get"]
        remove_observer(w.session, calls)
        assert type(w.session.dispatcher) is Dispatcher
        assert w.session.delivers is not None
        assert w.do(operations.get(w.defaults, "k")).value == 1
        assert len(calls.begun) == 1

    @pytest.mark.parametrize("when", ["started", "ended", "completed"])
    @pytest.mark.parametrize("is_cancelled", [False, True])
    def test_removes_itself(self, when: str, *, is_cancelled: bool) -> None:
        """An observer may go while it is being told: no call is harmed, and it hears of the end."""
        w = World()
        w.open()

        class Once(Calls):
            def completed(self, done: Completed, /) -> None:
                self.is_told("completed")

            def answered_late(self, answer: LateAnswer, /) -> None:
                """Take no note."""

            def started(self, call: Started, /) -> Any:
                self.is_told("started")
                return super().started(call)

            def ended(self, call: Ended, begun: Any, /) -> None:
                super().ended(call, begun)
                self.is_told("ended")

            def is_told(self, name: str) -> None:
                if name == when:
                    remove_observer(w.session, self)

        for call, cancel in (
            (lambda: operations.upsert(w.defaults, "k", 1), "cancel"),
            (lambda: operations.upsert_multi(w.defaults, {"k": 1}), "cancel_batch"),
        ):
            once = Once()
            add_observer(w.session, once, lambda: 0.0)
            op: Any = w.submit(call())
            if is_cancelled:
                getattr(w.session, cancel)(op)
            w.settle()
            assert op.done is not is_cancelled
            assert len(once.over) == 1
            remove_observer(w.session, once)
            assert type(w.session.dispatcher) is Dispatcher
        assert not w.logs or "failed" not in w.logs[-1]

    def test_durations_of_servers(self) -> None:
        """Connections that are made while somebody observes ask servers for their durations."""
        w, _ = later()
        node = w.cluster.nodes[0]
        w.cluster.stop(node)
        w.settle()
        w.cluster.restart(node)
        w.advance(5.0)
        asked = [Feature.TRACING in each.features for each in w.session.connections]
        assert sorted(asked) == [False] * (len(asked) - 1) + [True]

    @pytest.mark.parametrize("what", [None, object(), "text", Calls])
    def test_no_observer(self, what: object) -> None:
        """What has none of the methods is refused, and a class."""
        with pytest.raises(ArgumentError, match="observer"):
            check_observer(what)

    def test_half_of_a_pair(self) -> None:
        """Who hears of begins hears of ends."""

        class Half:
            def started(self, call: Started, /) -> None:
                """Take no note."""

        with pytest.raises(ArgumentError, match="Half has no 'ended'"):
            check_observer(Half())


class TestNodes:
    """What becomes of nodes."""

    def test_connected_and_closed(self) -> None:
        """Each node is told once when it can be used, and once when it is closed."""
        w, calls = opened()
        nodes = sorted(str(address) for address in w.session.addresses)
        assert len(nodes) > 1
        connected = [each for each in calls.nodes if each.change is NodeChange.CONNECTED]
        assert sorted(each.node for each in connected) == nodes
        w.session.close(w.now)
        rest = calls.nodes[len(connected) :]
        assert {each.change for each in rest} == {NodeChange.CLOSED}
        assert sorted(each.node for each in rest) == nodes
        assert {each.connection_id for each in rest} == {each.connection_id for each in connected}

    def test_late_comer(self) -> None:
        """Who comes when nodes are connected is told of these first, and nobody else again."""
        w, calls = opened()
        seen, late = len(calls.nodes), Calls()
        add_observer(w.session, late, lambda: 0.0)
        add_observer(w.session, late, lambda: 0.0)
        assert len(calls.nodes) == seen
        assert sorted(each.node for each in late.nodes) == sorted(map(str, w.session.addresses))

    def test_lost(self) -> None:
        """A node that goes is told with the error, and again when it is back."""
        w, calls = opened()
        calls.nodes.clear()
        node = w.cluster.nodes[0]
        w.cluster.stop(node)
        w.settle()
        (lost,) = calls.nodes
        assert lost.change is NodeChange.LOST
        assert lost.reason is not None
        assert lost.details
        w.cluster.restart(node)
        w.advance(5.0)
        assert [each.change for each in calls.nodes] == [NodeChange.LOST, NodeChange.CONNECTED]
        assert calls.nodes[1].node == lost.node

    def test_circuit(self) -> None:
        """So is one whose circuit breaker opens, and closes."""
        w, calls = opened(circuit_breaker=3)
        calls.nodes.clear()
        w.cluster.inject(opcode=Opcode.NOOP, delay=1.0)
        w.cluster.inject(opcode=Opcode.SET, silent=True, count=3)
        for _ in range(3):
            w.submit(operations.upsert(w.defaults, "k", 0))
        w.advance(2.5)
        (opened_,) = calls.nodes
        assert (opened_.change, opened_.reason) == (NodeChange.CIRCUIT_OPENED, NodeTimeoutError)
        assert opened_.node == str(w.owner("k"))
        w.advance(1.1)
        assert [each.change for each in calls.nodes[1:]] == [NodeChange.CIRCUIT_CLOSED]
