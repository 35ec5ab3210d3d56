"""The session under any mixture of use and faults, in virtual time."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import (
    AmbiguousError,
    AmbiguousTimeoutError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.hot.operation import Operation
from couchloop.operations import document as ops
from couchloop.session.events import OpenFailed
from couchloop.session.session import SessionState
from couchloop.wire import Opcode, Status
from tests.core.world import World
from tests.share import share

KEYS = [f"key{number}" for number in range(12)]
COUNTERS = [f"counter{number}" for number in range(4)]
VBUCKETS = 16
INSTANT = 1e-9
"""Deadlines are sums of floats: so much may they differ."""


class SessionMachine(RuleBasedStateMachine):
    """Every operation completes exactly once, in time, with a value that somebody stored."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World
        self.issued: dict[Operation[Any], float] = {}
        """Operations that are not complete, and when they must be."""
        self.completed: set[Operation[Any]] = set()
        self.canceled: set[Operation[Any]] = set()
        self.values: dict[str, set[int]] = {key: set() for key in KEYS}
        """What was ever stored under each key, for certain or perhaps."""
        self.surely_counted: Counter[str] = Counter()
        self.perhaps_counted: Counter[str] = Counter()
        self.number = 0
        self.closed = False

    @initialize(seed=st.integers(0, 2**16), chopped=st.booleans())
    def begin(self, seed: int, *, chopped: bool) -> None:
        self.world = World(
            EmbeddedCluster(vbuckets=VBUCKETS, seed=0), chop=Random(seed) if chopped else None
        )
        self.world.session.opening._random = Random(seed)
        self.world.on_delivered = self.delivered
        self.world.session.start(self.world.now)

    def delivered(self, op: Any) -> None:
        assert op not in self.completed, "completed twice"
        assert op not in self.canceled, "completed after it was cancelled"
        deadline = self.issued.pop(op)
        assert self.world.now <= deadline + INSTANT, "completed after its deadline"
        self.completed.add(op)
        error = op.error
        if error is None:
            result = op.result()
            if op.name == "get":
                assert result.value in self.values[op.key], "a value that nobody stored"
            elif op.name == "counter":
                self.surely_counted[op.key] += 1
            return
        if op.name == "counter" and isinstance(error, AmbiguousError):
            self.perhaps_counted[op.key] += 1
        if isinstance(error, AmbiguousError):
            assert not op.idempotent
        if isinstance(error, AmbiguousTimeoutError | UnambiguousTimeoutError):
            assert self.world.now >= deadline - INSTANT, "timed out too soon"
        elif isinstance(error, NotFoundError):
            assert op.name == "get"
        elif isinstance(error, ObjectDestroyedError | RequestCanceledError):
            assert self.closed
        elif not isinstance(error, AmbiguousError):
            # Those that waited hear of the failure after it was told, when all may begin anew.
            has_failed = any(isinstance(event, OpenFailed) for event in self.world.events)
            assert has_failed or self.world.session.state is SessionState.FAILED, error

    def submit(self, op: Operation[Any]) -> None:
        self.issued[op] = self.world.now + op.timeout
        self.world.submit(op)

    @rule(key=st.sampled_from(KEYS), timeout=st.sampled_from([0.05, 0.5, 2.5]))
    def get(self, key: str, timeout: float) -> None:
        self.submit(ops.get(self.world.defaults, key, timeout=timeout))

    @rule(key=st.sampled_from(KEYS), timeout=st.sampled_from([0.05, 0.5, 2.5]))
    def store(self, key: str, timeout: float) -> None:
        self.number += 1
        self.values[key].add(self.number)
        self.submit(ops.upsert(self.world.defaults, key, self.number, timeout=timeout))

    @rule(key=st.sampled_from(COUNTERS), timeout=st.sampled_from([0.05, 0.5, 2.5]))
    def count(self, key: str, timeout: float) -> None:
        self.submit(ops.counter(self.world.defaults, key, 1, 1, timeout=timeout))

    @precondition(lambda self: self.issued)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        op = data.draw(st.sampled_from(list(self.issued)))
        del self.issued[op]
        self.canceled.add(op)
        if op.name == "counter":
            self.perhaps_counted[str(op.key)] += 1
        self.world.session.cancel(op)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.3, 1.0, 4.0]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def one_turn(self) -> None:
        """Stop in the middle of whatever goes on."""
        self.world._perform()
        self.world._carry()

    @precondition(lambda self: self.world.links)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        self.world.lose(data.draw(st.sampled_from(sorted(self.world.links))))

    @rule(node=st.integers(0, 2))
    def stop(self, node: int) -> None:
        self.world.cluster.stop(self.world.cluster.nodes[node])

    @rule(node=st.integers(0, 2))
    def hang(self, node: int) -> None:
        self.world.cluster.hang(self.world.cluster.nodes[node])

    @rule(node=st.integers(0, 2))
    def restart(self, node: int) -> None:
        self.world.cluster.restart(self.world.cluster.nodes[node])

    @rule(vbucket=st.integers(0, VBUCKETS - 1), node=st.integers(0, 2), told=st.integers(0, 7))
    def move(self, vbucket: int, node: int, told: int) -> None:
        """Move a vbucket; *told* says which nodes hear of it."""
        nodes = self.world.cluster.nodes
        self.world.cluster.move_vbucket(
            "default",
            vbucket,
            nodes[node],
            nodes=[each for index, each in enumerate(nodes) if told >> index & 1],
        )

    @rule(
        status=st.sampled_from(
            [
                Status.ETMPFAIL,
                Status.NOT_MY_VBUCKET,
                Status.AUTH_STALE,
                Status.NO_BUCKET,
                Status.CONFIG_ONLY,
            ]
        ),
        opcode=st.sampled_from([Opcode.GET, Opcode.SET, Opcode.GET_CLUSTER_CONFIG]),
    )
    def refuse(self, status: int, opcode: int) -> None:
        self.world.cluster.inject(opcode=opcode, status=status, count=2)

    @rule(opcode=st.sampled_from([Opcode.GET, Opcode.SET]), delay=st.sampled_from([0.02, 3.0]))
    def delay(self, opcode: int, delay: float) -> None:
        self.world.cluster.inject(opcode=opcode, delay=delay, count=1)

    @rule(opcode=st.sampled_from([Opcode.GET, Opcode.SET, Opcode.SASL_STEP, Opcode.HELLO]))
    def swallow(self, opcode: int) -> None:
        self.world.cluster.inject(opcode=opcode, lose_answer=True, count=1)

    @rule()
    def start(self) -> None:
        self.world.session.start(self.world.now)

    @rule(wait=st.sampled_from([0.0, 1.0]))
    def close(self, wait: float) -> None:
        self.closed = True
        self.world.session.close(self.world.now, wait)

    @invariant()
    def nothing_is_overdue(self) -> None:
        if hasattr(self, "world"):
            assert all(due >= self.world.now - INSTANT for due in self.issued.values())
            assert self.world.session.in_flight >= len(self.issued)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for node in world.cluster.nodes:
            world.cluster.restart(node)
        for injection in list(world.cluster.injections):
            injection.remove()
        # A revision that is newer than all that anybody was told.
        world.cluster.bump()
        world.advance(60)
        assert not self.issued, "an operation was never completed"
        if self.closed:
            assert world.session.state is SessionState.CLOSED
            assert not world.opened
            assert not world.cluster.connections()
        else:
            assert world.session.state in {SessionState.OPEN, SessionState.FAILED}
            world.session.start(world.now)
            world.advance(10)
            for key in KEYS:
                # What was read before this is checked too, for the bucket works again.
                self.submit(ops.get(world.defaults, key))
            world.advance(3)
            assert not self.issued
            world.on_delivered = lambda _: None
            reads = {key: ops.get(world.defaults, key, quiet=True) for key in COUNTERS}
            for read in reads.values():
                world.submit(read)
            world.advance(3)
            for key, read in reads.items():
                value = read.result().value or 0
                sure, perhaps = self.surely_counted[key], self.perhaps_counted[key]
                assert sure <= value <= sure + perhaps, "counted too often, or not at all"
            assert world.session.state is SessionState.OPEN
            assert len(world.opened) == 3
        world.assert_idle()


SessionMachine.TestCase.settings = settings(
    max_examples=share(60), stateful_step_count=40, deadline=None, print_blob=True
)
TestSessionMachine = SessionMachine.TestCase
