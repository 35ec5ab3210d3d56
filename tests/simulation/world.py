"""One world: made from a seed, run to its end, and judged."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from couchloop.embedded import BucketSettings, EmbeddedCluster, Node, ServerConnection
from couchloop.hot.operation import Operation
from couchloop.kv.connection import State
from couchloop.retries import FailFast
from couchloop.session.session import Session, SessionState
from couchloop.settings.values import Address, Login, Settings
from couchloop.settings.values import Wire as SaidAtHello
from tests.core.world import Disk
from tests.simulation.caches import CacheCaller, Caches, be_plain, final_reads_of_caches
from tests.simulation.clients import Caller, Client, final_reads
from tests.simulation.documents import COLLECTIONS, DocumentCaller, final_looks
from tests.simulation.events import Loop
from tests.simulation.faults import Faults
from tests.simulation.history import CALM, INSTANT, History
from tests.simulation.judgement import Documents
from tests.simulation.manifests import Manifests
from tests.simulation.network import Network, Weather, Wire
from tests.simulation.streams import StreamCaller
from tests.simulation.truth import Truth

_FIRST_PORT: Final = 10_000
_FIRST_WEB_PORT: Final = 20_000
_LONGEST_TIMEOUT: Final = 30.0
_LAG: Final = 0.3
"""Seconds that a change is on its way to the replicas."""
_DISK_LAGS: Final = (0.0, 0.05, 0.5)
"""Seconds that a change is on its way to a disk: in each world one of these."""
DOCUMENTS: Final = "documents"
STREAMS: Final = "streams"
MEMCACHED: Final = "memcached"
PLAIN: Final = "plain"
KINDS: Final = (
    *(DOCUMENTS, STREAMS, ""),
    *(DOCUMENTS, STREAMS, MEMCACHED),
    *(DOCUMENTS, STREAMS, ""),
    *(DOCUMENTS, STREAMS, PLAIN),
)
"""What worlds have, by their seeds, beside ordinary callers: callers that use all that can be done
with documents, in collections that come and go; callers that use streams and scans, likewise. Or,
instead of these: callers of a bucket of type memcached, or of plain memcached servers."""
_OF_CLUSTERS: Final = (
    "warm_up",
    "fail_over",
    "pause_bucket",
    "rebalance_in_steps",
    "add_node",
    "remove_node",
    "storm",
    "handshake_trouble",
    "old_configuration",
    "new_epoch",
)
"""Faults that plain servers do not have."""
_MOST_WAKEUPS: Final = 20.0
"""Deadlines per second that an idle client may have, on average."""

_WEATHERS: Final = (
    Weather(0.0001, 0.0, fragments=False),
    Weather(0.0001, 0.0005, fragments=True),
    Weather(0.002, 0.003, fragments=False),
    Weather(0.03, 0.1, fragments=True),
)


@dataclass(frozen=True)
class Report:
    """What became of a world."""

    seed: int
    digest: str
    """Differs between any two runs that are not the same in every event."""
    calls: int
    events: int
    seconds: float
    """Virtual time."""
    outcomes: Counter[str]
    faults: Counter[str]
    violations: tuple[str, ...]
    lost: int
    """Documents that a failover set back to what they had been before."""
    deeds: Counter[str]
    """What was done with documents of which kind."""


class World:
    """Everything in one place; all of it follows from *seed*.

    Args:
        trace: called with a line for everything that happens.
        faults: names of the only kinds of faults; None: all.
        polls: whether any client looks for newer configurations unasked.
        web: whether clients know web ports alone, and find the data nodes by HTTP.
        kind: what clients do beside ordinary things (see `KINDS`); None: what the seed says.
    """

    def __init__(
        self,
        seed: int,
        trace: Callable[[str], object] | None = None,
        faults: Collection[str] | None = None,
        *,
        polls: bool = True,
        web: bool = False,
        kind: str | None = None,
    ) -> None:
        self.seed = seed
        self.kind = KINDS[seed % len(KINDS)] if kind is None else kind
        if web and self.kind == PLAIN:
            self.kind = MEMCACHED
        # The data nodes do not tell of buckets of type memcached.
        self.web = web or self.kind == MEMCACHED
        self.polls = polls
        self.rng = rng = Random(f"world {seed}")
        self.loop = Loop(trace)
        self.until = rng.uniform(2.0, 25.0)
        """When the last fault ends."""
        self.network = Network(
            self.loop, Random(f"network {seed}"), rng.choice(_WEATHERS), self._accepted
        )
        self.cluster = EmbeddedCluster(
            rng.choice((1, 2, 3, 3, 3, 4, 5)),
            [BucketSettings("default", memcached=self.is_cache)],
            replicas=rng.randint(0, 2),
            vbuckets=rng.choice((8, 16, 64)),
            seed=0,
            clock=self.loop,
        )
        for node in self.cluster.nodes:
            self._place(node)
        # A new epoch must win although it counts from one.
        self.cluster.rev = 1000
        self.cluster.changed()
        self.cluster.on_node_change = self._place
        self.clients: list[Client] = []
        self.faults = Faults(
            self.loop,
            Random(f"faults {seed}"),
            self.cluster,
            self.network,
            lambda: self.clients,
            self.until,
            faults,
        )
        self.disk = Disk()
        self.history = History(self.loop, self.faults.calm_since)
        (bucket,) = self.cluster.buckets.values()
        # So much is lost when a node fails; nobody was promised more.
        self.cluster.delay_replication(bucket.name, _LAG)
        self.cluster.delay_persistence(bucket.name, _DISK_LAGS[seed // 3 % len(_DISK_LAGS)])
        self.faults.on_loss = partial(self.history.failed_over, bucket)
        if self.is_cache:
            self.history.documents = Caches(
                self.history,
                self.loop,
                self.cluster,
                self.faults.calm_since,
                is_plain=self.kind == PLAIN,
            )
        if self.kind == PLAIN:
            self.faults.without(*_OF_CLUSTERS)
        if self.has_documents:
            truth = Truth(self.loop, bucket, self.history.violate, self.history.calls_by_number)
            self.history.documents = Documents(self.history, truth)
            self.manifests = Manifests(
                self.loop,
                Random(f"manifests {seed}"),
                self.cluster,
                truth,
                self.until,
                self.faults.disturb,
            )
            for names in COLLECTIONS:
                self.manifests.make(names)
            self.faults.add(
                self.manifests.change, self.faults.fail_over_in_doubt, self.faults.crash_in_doubt
            )
            truth.on_durable = self.faults.committed
        self.keys = [f"k{number}" for number in range(rng.choice((2, 10)))]
        self.counters = [f"n{number}" for number in range(rng.choice((1, 4)))]
        if self.is_cache:
            self.keys = self.counters = []

    @property
    def has_documents(self) -> bool:
        """Whether it is known what the documents really were, in collections that come and go."""
        return self.kind in {DOCUMENTS, STREAMS}

    @property
    def is_cache(self) -> bool:
        """Whether there are no vbuckets."""
        return self.kind in {MEMCACHED, PLAIN}

    def run(self) -> Report:
        """Let the world live, and judge it."""
        try:
            self._live()
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            self.history.violate("crash", traceback.format_exc())
        documents = self.history.documents
        return Report(
            self.seed,
            self.loop.digest(),
            self.history.calls,
            self.loop.events,
            self.loop.now(),
            self.history.outcomes,
            self.faults.seen,
            tuple(self.history.violations),
            self.history.losses + (documents.losses if documents else 0),
            self.history.deeds,
        )

    def _live(self) -> None:
        rng, loop = self.rng, self.loop
        pause = rng.choice((0.1, 0.3, 1.0))
        for _ in range(rng.randint(1, 4)):
            self._add_client(rng.choice((0.0, 0.0, rng.uniform(0.0, self.until))), pause)
        for client in self.clients[1:]:
            if rng.random() < 0.2:
                # Somebody else comes instead.
                leaving = rng.uniform(0.0, self.until)
                loop.at(leaving, self._leave, client, rng.choice((0.0, 0.5, 5.0)))
                self._add_client(leaving, pause)
        self.faults.plan(rng.choice((0, 1, 1, 2, 3, 5, 10, 20)))
        if self.has_documents:
            self.manifests.plan()
        loop.run(self.until)
        self.faults.end()
        if self.has_documents:
            self.manifests.end()
        # Long enough for the rule that nothing fails after a time of calm.
        loop.run(self.until + CALM + 5.0)
        for client in self.clients:
            client.wants = False
        loop.run(loop.now() + _LONGEST_TIMEOUT)
        self._judge_end()

    def _add_client(self, when: float, pause: float) -> None:
        rng = self.rng
        first, *others = self.network.nodes
        seeds = (first, *rng.sample(others, rng.randint(0, len(others))))
        number = len(self.clients)
        # Of its own generator: the rest of a world is the same with files and without.
        files = Random(f"file {number} {self.seed}").choice(("", "", "shared", f"of {number}"))
        settings = Settings(
            config_cache=files,
            seeds=seeds,
            bucket="default",
            login=Login("user", "password"),
            wire=SaidAtHello(tokens=self.kind == STREAMS),
            randomize_nodes=rng.random() < 0.5,
            config_poll_interval=rng.choice((0.0, 0.5, 2.5, 2.5)) * self.polls,
            circuit_breaker=rng.choice((0, 3, 20)),
            retry_strategy=FailFast() if rng.random() < 0.15 else None,
            # One in three is overloaded soon; not by the world's numbers, which others depend on.
            max_queued_operations=(250_000, 250_000, 4)[(self.seed + len(self.clients)) % 3],
            when_overloaded="wait" if self.seed % 2 else "fail",
        )
        if self.web:
            settings = replace(
                settings,
                seeds=(),
                web_seeds=tuple(self.network.web),
                bootstrap_on=("all", "http")[number % 2],
            )
        if self.kind == PLAIN:
            settings = replace(
                settings,
                is_plain=True,
                seeds=tuple(self.network.nodes),
                login=Login("", ""),
                config_cache="",
                config_poll_interval=0.0,
            )
        if settings.max_queued_operations == 4 and settings.when_overloaded == "fail":
            self.history.bounded.add(len(self.clients))
        if settings.retry_strategy is not None:
            self.history.hasty.add(len(self.clients))
        client = Client(
            len(self.clients),
            settings,
            Random(f"client {len(self.clients)} {self.seed}"),
            self.loop,
            self.network,
            self.history,
            is_eager=rng.random() < 0.5,
            disk=self.disk,
        )
        self.clients.append(client)
        self.loop.at(when, client.start)
        for number in range(rng.randint(1, 4)):
            if self.is_cache:
                caller: Caller = CacheCaller(client, number, pause, Random(rng.getrandbits(64)))
            else:
                caller = Caller(client, number, self.keys, self.counters, pause)
            self.loop.at(when, client.run, caller.script())
        if self.has_documents:
            own = Random(f"documents {len(self.clients)} {self.seed}")
            user: DocumentCaller
            for number in range(own.randint(1, 3)):
                seed = own.getrandbits(64)
                if self.kind == DOCUMENTS:
                    user = DocumentCaller(client, number, pause, Random(seed))
                elif not number:
                    # One is a lot.
                    user = StreamCaller(client, number, 3 * pause, Random(seed))
                else:
                    break
                self.loop.at(when, client.run, user.script())

    @staticmethod
    def _leave(client: Client, wait: float) -> None:
        client.wants = False
        client.close(wait)

    # What the network asks

    def _place(self, node: Node) -> None:
        """Give a new node its address."""
        if "kv" not in node.ports:
            node.ports["kv"] = _FIRST_PORT + node.node_id
            self.network.nodes[Address(node.host, node.ports["kv"])] = node
            if self.web:
                node.ports["mgmt"] = _FIRST_WEB_PORT + node.node_id
                self.network.web[Address(node.host, node.ports["mgmt"])] = node

    def _accepted(self, wire: Wire, link: ServerConnection) -> None:
        if self.kind == PLAIN:
            be_plain(link, self.cluster)
        self.history.watch(wire.client.number, link)

    # The end

    def _judge_end(self) -> None:
        loop, violate = self.loop, self.history.violate
        for call in self.history.open.values():
            if call.deadline < loop.now() - INSTANT:
                violate("never answered", call)
        living = [client for client in self.clients if not client.has_ended]
        own = [key for key in self.history.states if key.startswith("own-")]
        for client in living:
            for script in final_reads(client, [*self.keys, *self.counters, *own[:20]]):
                client.run(script)
            for script in final_looks(client) if self.has_documents else ():
                client.run(script)
            for script in final_reads_of_caches(client) if self.is_cache else ():
                client.run(script)
        before = sum(self.history.outcomes.values())
        loop.run(loop.now() + _LONGEST_TIMEOUT + 1.0)
        for call in self.history.open.values():
            violate("never answered", call)
        assert not living or sum(self.history.outcomes.values()) > before
        for key in self.counters:
            self._judge_counter(key)
        wakeups = [client.wakeups for client in living]
        loop.run(loop.now() + 10.0)
        for client, count in zip(living, wakeups, strict=True):
            if client.wakeups - count > 10.0 * _MOST_WAKEUPS:
                violate("busy", f"client {client.number}: {client.wakeups - count} wake-ups idle")
            self._judge_client(client)
        expected = len(living) * len(self.cluster.nodes)
        if len(self.cluster.connections()) != expected:
            violate("server", f"{self.cluster.connections()!r}, expected {expected}")
        for client in living:
            client.close(0.0)
        loop.run(loop.now() + 2.0)
        self._judge_closed()

    def _judge_counter(self, key: str) -> None:
        """Compare what callers were told with what is there, whatever was written down between."""
        value = self.history.states[key][-1].value or 0
        lost = self.history.lost[key]
        sure = self.history.surely_counted[key] - lost
        perhaps = self.history.perhaps_counted[key]
        if not sure <= value <= sure + perhaps:
            self.history.violate(
                "counter", f"{key} is {value}: {sure} sure, {perhaps} perhaps, {lost} lost"
            )

    def _judge_client(self, client: Client) -> None:
        session, violate = client.session, self.history.violate
        name = f"client {client.number}"
        if session.state is not SessionState.OPEN:
            violate("not open", f"{name}: {session.state.name}, {session.error!r}")
            return
        # The client's own questions may be under way at any instant.
        for _ in range(200):
            if not session.in_flight:
                break
            self.loop.run(self.loop.now() + 0.01)
        else:
            violate("leak", f"{name}: {session.in_flight} operations in flight")
        connected = sorted(c.address for c in session.connections if c.state is State.READY)
        wanted = sorted(Address(node.host, node.ports["kv"]) for node in self.cluster.nodes)
        if connected != wanted or len(session.connections) != len(wanted):
            violate("not connected", f"{name}: to {connected}, not {wanted}")
        wires = sorted(wire.address for wire in client.wires.values())
        web = [address for address in wires if address in self.network.web]
        streams = int(session.settings.bootstrap_on == "http" or self.kind == MEMCACHED)
        if [address for address in wires if address not in web] != wanted or len(web) != streams:
            violate("leak", f"{name}: wires {list(client.wires.values())!r}")
        config = session.config
        newest = (self.cluster.epoch, self.cluster.rev)
        if self.kind != PLAIN and (config is None or config.revision != newest):
            found = None if config is None else config.revision
            violate("old configuration", f"{name} has {found}, not {newest}")
        for op in retained_operations(session):
            violate("leak", f"{name} retains {op.name} {op.key!r}")

    def _judge_closed(self) -> None:
        violate = self.history.violate
        for client in self.clients:
            session = client.session
            if session.state is not SessionState.CLOSED or not client.is_closed:
                violate("not closed", f"client {client.number}: {session.state.name}")
            if session.next_deadline() is not None or session.in_flight or client.wires:
                violate("leak", f"client {client.number} has closed, and something is left")
        left: list[object] = [*self.cluster.connections()]
        left += [stream for node in self.cluster.nodes for stream in node.http_connections]
        if left:
            violate("server", f"after all have closed: {left!r}")


def retained_operations(session: Session) -> Iterator[Operation[Any]]:
    """Find the callers' operations that a session still holds, wherever it does."""
    seen: set[int] = set()
    # Not into what was handed in, nor into code.
    beyond = (type, ModuleType, Client, Random)
    waiting: list[Any] = [
        value for name, value in vars(session).items() if not isinstance(value, MethodType)
    ]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, beyond):
            continue
        seen.add(id(found))
        if isinstance(found, Operation) and found.key:
            yield found
        elif isinstance(found, FunctionType):
            waiting += found.__closure__ or ()
        elif isinstance(found, CellType | MethodType) or gc.is_tracked(found):
            waiting += gc.get_referents(found)


def run(
    seed: int,
    trace: Callable[[str], object] | None = None,
    faults: Collection[str] | None = None,
    *,
    polls: bool = True,
    web: bool = False,
    kind: str | None = None,
) -> Report:
    """Run the world of *seed*; arguments as for `World`."""
    return World(seed, trace, faults, polls=polls, web=web, kind=kind).run()
