"""Worlds without vbuckets: buckets of type memcached, plain memcached servers; and their judge.

Keys are spread over the nodes by ketama, each node has documents of its own, and nothing is copied:
what a node had is gone with it, and what it still has may be seen again. So a value that is read is
one that was written, or none. Where a key belongs is counted here in the slow and plain way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from couchloop.embedded import EmbeddedCluster, Node, ServerConnection
from couchloop.embedded.core.answers import Refusal
from couchloop.embedded.core.connection import KeyValueConnection
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.vbucket import VBucket
from couchloop.exceptions import (
    AmbiguousError,
    CasMismatchError,
    CouchbaseError,
    DocumentExistsError,
    FeatureNotAvailableError,
    NotFoundError,
    NotStoredError,
)
from couchloop.hot.operation import Operation
from couchloop.operations import document as ops
from couchloop.operations.streams import get_stream
from couchloop.transcoder import FMT_UTF8
from couchloop.wire import Opcode, Status
from tests.core.world import defaults
from tests.memcached import owner_by_ketama
from tests.simulation.clients import Ask, Client, Script
from tests.simulation.documents import DocumentCaller
from tests.simulation.events import Loop
from tests.simulation.history import CALM, COUNTER_EXPIRY, Call, History, number_of
from tests.simulation.judgement import Act, is_value
from tests.simulation.streams import Many, consume
from tests.simulation.truth import PREFIX, Place, Version, token

_CHANGES: Final = frozenset(
    {
        Opcode.SET,
        Opcode.ADD,
        Opcode.REPLACE,
        Opcode.DELETE,
        Opcode.INCREMENT,
        Opcode.APPEND,
        Opcode.PREPEND,
    }
)
_MISSES: Final = (NotFoundError, NotStoredError)
_REFUSED: Final = "refused"
_NUMBERS: Final = range(6)


@cache
def _owner(key: str, names: tuple[str, ...]) -> str:
    return owner_by_ketama(key, list(names))


def be_plain(link: ServerConnection, cluster: EmbeddedCluster) -> None:
    """Have a connection to a node of a bucket of type memcached be one to a plain server."""
    assert isinstance(link, KeyValueConnection)
    link.log_in(cluster.users.users["user"])
    (link.bucket,) = cluster.buckets.values()
    execute = link._execute

    def plain(request: Request) -> Any:
        if request.frame.opcode == Opcode.HELLO:
            raise Refusal(Status.UNKNOWN_COMMAND)
        return execute(request)

    link._execute = plain  # type: ignore[method-assign]


class Caches:
    """The judge of all calls in such a world.

    Args:
        history: of the world.
        loop: its time.
        cluster: has the nodes, and one bucket.
        is_plain: whether they are plain servers, of which none comes or goes.
        calm_since: gives since when there was no fault; None: there is one.
    """

    losses = 0

    def __init__(
        self,
        history: History,
        loop: Loop,
        cluster: EmbeddedCluster,
        calm_since: Callable[[], float | None],
        *,
        is_plain: bool,
    ) -> None:
        self._history, self._loop, self._cluster = history, loop, cluster
        self._calm_since, self._is_plain = calm_since, is_plain
        self._versions: dict[tuple[int, str], list[Version]] = defaultdict(
            lambda: [Version(0, b"", 0, 0)]
        )
        """Of each node and key."""
        self._by_cas: dict[tuple[str, int], list[tuple[int, Version]]] = defaultdict(list)
        self._removed: Counter[tuple[str, int]] = Counter()
        self._stores: dict[int, VBucket] = {}
        """What each node has: after a crash it has another."""

    # The server's side

    def _owner(self, key: str) -> Node:
        """Return the node to which a key belongs now."""
        nodes = {f"{node.host}:{node.ports['kv']}": node for node in self._cluster.nodes}
        return nodes[_owner(key, tuple(sorted(nodes)))]

    def _is_calm(self, since: float) -> bool:
        """Whether all clients have known all nodes since then."""
        calm = self._calm_since()
        return calm is not None and since - calm > CALM

    def executed(self, request: Request, *, is_done: bool) -> None:
        """Take note of what a node has done."""
        frame, node = request.frame, request.node
        key = request.key.decode()
        if self._is_plain or self._is_calm(self._loop.now()):
            owner = self._owner(key)
            if owner is not node:
                self._history.violate("wrong node", f"{node} was asked for {key} of {owner}")
        if not is_done:
            return
        store = request.vbucket()
        self._look(node.node_id, store)
        if frame.opcode not in _CHANGES:
            return
        document = store.documents[request.document_id]
        versions = self._versions[node.node_id, key]
        before = versions[-1]
        body = b"" if document.deleted else document.body()
        cas = 0 if document.deleted else document.cas
        version = Version(cas, body, 0, self._loop.tick())
        version.settled_at = before.died_at = self._loop.now()
        before.died = version.born
        versions.append(version)
        self._by_cas[key, document.cas].append((node.node_id, version))
        if frame.opcode == Opcode.DELETE:
            return
        version.number = number_of(frame)
        if frame.opcode == Opcode.INCREMENT:
            version.number = int.from_bytes(frame.extras[16:]) - COUNTER_EXPIRY
        call = self._history.calls_by_number.get(version.number)
        if call is None or call.act is None or call.act.place.key != key:
            self._history.violate("wrong place", f"{key} was changed by {call}")
            return
        self._done(call, before, version)

    def _look(self, node_id: int, store: VBucket) -> None:
        """Take note of what a node has lost, if it has begun anew."""
        if self._stores.get(node_id) is store:
            return
        self._stores[node_id] = store
        for (owner, _), versions in self._versions.items():
            if owner == node_id:
                versions[-1].died = tick = self._loop.tick()
                versions.append(Version(0, b"", 0, tick))

    def _done(self, call: Call, before: Version, version: Version) -> None:
        violate, act = self._history.violate, call.act
        assert act is not None
        call.executed.append(version)  # type: ignore[arg-type]
        if len(call.executed) > 1:
            violate("done twice", call)
        if call.is_undone:
            violate("error class", f"{call} is done after it was told as not done")
        if act.cas and before.cas != act.cas:
            violate("CAS", f"{call} replaced {before.cas:x}, not {act.cas:x}")
        if act.place.kind == "num" and before.cas and int(version.body) != int(before.body) + 1:
            violate("half", f"{call} made {version.body!r} of {before.body!r}")
        if act.place.kind == "log" and act.label != "insert":
            text, added = version.body.decode(), token(call.number)
            if text not in {before.body.decode() + added, added + before.body.decode()}:
                violate("half", f"{call} made {text!r} of {before.body!r}")

    # The client's side

    def complete(self, call: Call) -> Any:
        """Judge an answer; give the result, or the error."""
        try:
            outcome: Any = call.op.result()
        except CouchbaseError as error:
            outcome = error
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is a finding
            self._history.violate("unreadable", f"{call}: {failure!r}")
            return failure
        self.judge(call, outcome)
        return outcome

    def judge(self, call: Call, outcome: Any) -> None:
        """Judge what became of a call: a result, or an error."""
        history, act = self._history, call.act
        assert act is not None
        if isinstance(outcome, CouchbaseError):
            history.note(f"end {call}: {type(outcome).__name__}")
            history.outcomes[type(outcome).__name__] += 1
            self._failed(call, act, outcome)
            return
        history.note(f"end {call}: {outcome!r}")
        history.outcomes["done"] += 1
        history.deeds[f"{act.label or call.name} of cached {act.place.kind}"] += 1
        act.judge(call, outcome)

    def _failed(self, call: Call, act: Act, error: CouchbaseError) -> None:
        violate = self._history.violate
        if isinstance(error, AmbiguousError):
            if not act.changes:
                violate("error class", f"{call} changes nothing, and is ambiguous: {error!r}")
        else:
            call.is_undone = True
            if call.executed:
                violate("error class", f"{call} was done, and told as not done: {error!r}")
        if isinstance(error, FeatureNotAvailableError):
            if act.label != _REFUSED:
                violate("error class", f"{call} can be done: {error!r}")
        elif isinstance(error, _MISSES):
            self._missed(call, act)
        elif isinstance(error, DocumentExistsError | CasMismatchError):
            if not self._held(act.place.key, call.begun, lambda each: each.cas != act.cas):
                violate("error class", f"{call} met no other version: {error!r}")
        else:
            self._history.judge_reason(call, error)

    def _held(self, key: str, since: int, wanted: Callable[[Version], bool]) -> bool:
        """Whether some node had such a version at some time since then."""
        return any(
            wanted(version)
            for node in [each for each in self._versions if each[1] == key]
            for version in self._versions[node]
            if version.died is None or version.died > since
        )

    def _missed(self, call: Call, act: Act) -> None:
        """Judge that there was nothing: not so while all is calm, and a node has it."""
        if not self._is_calm(call.deadline - act.seconds):
            return
        owner = self._owner(act.place.key)
        bucket = next(iter(self._cluster.buckets.values()))
        newest = self._versions[owner.node_id, act.place.key][-1]
        store = bucket.copy(0, owner.node_id)
        assert store is not None
        if newest.born < call.begun and store.find((0, act.place.key.encode())):
            self._history.violate("phantom", f"{call} missed what {owner} has")

    def read(self, call: Call, result: Any) -> None:
        """Judge a value: one that was written, and that a node had while the call ran."""
        act, violate = call.act, self._history.violate
        assert act is not None
        if not result.success:
            self._missed(call, act)
            return
        found = self._by_cas.get((act.place.key, result.cas), [])
        if self._is_calm(call.deadline - act.seconds):
            owner = self._owner(act.place.key).node_id
            found = [each for each in found if each[0] == owner]
        if not any(_has(version, result.value) for _, version in found):
            violate("phantom", f"{call} got what never was: {result!r}")
        elif not any(version.died is None or version.died > call.begun for _, version in found):
            violate("phantom", f"{call} got a version that did not hold while it ran: {result!r}")

    def changed(self, call: Call, result: Any) -> None:
        """Judge an acknowledgement: it was done, while it ran."""
        if not call.executed:
            self._history.violate("never done", f"{call} was acknowledged")
            return
        version: Any = call.executed[0]
        if version.born < call.begun:
            self._history.violate("phantom", f"{call} was done before it was begun")
        if result.cas != version.cas:
            text = f"{call} got CAS {result.cas:x} instead of {version.cas:x}"
            self._history.violate("wrong caller", text)
        value = getattr(result, "value", None)
        if value is not None and value != int(version.body):
            self._history.violate("counter", f"{call} got {value}, it was {version.body!r}")

    def removed(self, call: Call, result: Any) -> None:
        """Judge a deletion: it was done while the call ran, and by this call alone."""
        act = call.act
        assert act is not None
        found = self._by_cas.get((act.place.key, result.cas), [])
        done = [each for _, each in found if not each.cas and each.born > call.begun]
        if len(done) <= self._removed[act.place.key, result.cas]:
            self._history.violate("never done", f"{call} was acknowledged: {result!r}")
        self._removed[act.place.key, result.cas] += 1

    def done(self, call: Call, _: Any) -> None:
        """Judge the success of what cannot be done."""
        self._history.violate("never done", f"{call} was acknowledged")


def _has(version: Version, value: Any) -> bool:
    if isinstance(value, int):
        return version.body == str(value).encode()
    return is_value(version, value)


class CacheCaller(DocumentCaller):
    """One user of such a world; arguments as for `DocumentCaller`."""

    def script(self) -> Script:
        """Work as long as the client wants."""
        habits: tuple[Callable[[], Script], ...] = (
            self.write,
            self.look,
            self.swap,
            self.add_up,
            self.log,
            self.remove,
            self.hurry,
            self.fetch_many,
            self.ask_too_much,
        )
        while self.client.wants:
            (habit,) = self.rng.choices(habits, (4, 5, 3, 3, 3, 2, 2, 2, 1))
            yield from habit()
            yield self.rng.expovariate(1 / self.pause)

    def _at(self, kind: str) -> Place:
        return Place(None, f"{PREFIX}{kind}-{self.rng.choice(_NUMBERS)}")

    def _store(self, place: Place, build: Any, cas: int = 0) -> Operation[Any]:
        more = {"cas": cas} if cas else {}
        value = self._document(place)
        op: Operation[Any]
        op = build(self._of(place), place.key, value, timeout=self._timeout(), **more)
        return op

    # Habits

    def write(self) -> Script:
        """Store a document, or make one if there is none."""
        place = self._at("doc")
        build = self.rng.choice((ops.upsert, ops.upsert, ops.insert))
        yield from self._act(self._store(place, build), place, self._judge.changed)

    def look(self) -> Script:
        """Read a document, a number or a log."""
        place = self._at(self.rng.choice(("doc", "doc", "num", "log")))
        yield from self._act(self._read(place), place, self._judge.read, changes=False)

    def swap(self) -> Script:
        """Replace what was read, or delete it, if it is still that."""
        place = self._at("doc")
        seen = yield from self._act(self._read(place), place, self._judge.read, changes=False)
        if seen is None or isinstance(seen, Exception) or not seen.success:
            return
        op = self._store(place, self.rng.choice((ops.upsert, ops.replace)), seen.cas)
        yield from self._act(op, place, self._judge.changed)

    def add_up(self) -> Script:
        """Add one to a number."""
        place = self._at("num")
        op = ops.counter(
            self._of(place),
            place.key,
            1,
            1,
            COUNTER_EXPIRY + self._number(),
            timeout=self._timeout(),
        )
        yield from self._act(op, place, self._judge.changed)

    def log(self) -> Script:
        """Add to a document at either end; make it if there is none."""
        place = self._at("log")
        build = self.rng.choice((ops.append, ops.prepend))
        named: Any = {"format": FMT_UTF8, "timeout": self._timeout()}
        op: Operation[Any] = build(self._of(place), place.key, token(self._number()), **named)
        done = yield from self._act(op, place, self._judge.changed)
        if isinstance(done, NotStoredError):
            op = ops.insert(self._of(place), place.key, token(self._number()), **named)
            yield from self._act(op, place, self._judge.changed, label="insert")

    def remove(self) -> Script:
        """Delete a document."""
        place = self._at(self.rng.choice(("doc", "num", "log")))
        op = ops.remove(self._of(place), place.key, timeout=self._timeout())
        yield from self._act(op, place, self._judge.removed)

    def hurry(self) -> Script:
        """Store and read one document several times without waiting for answers."""
        place = self._at("doc")
        for _ in range(self.rng.randint(2, 5)):
            self.client.run(self._one_of_hurry(place))
        yield 0.0

    def _one_of_hurry(self, place: Place) -> Script:
        if self.rng.random() < 0.4:
            yield from self._act(self._read(place), place, self._judge.read, changes=False)
        else:
            op = self._store(place, ops.upsert)
            yield from self._act(op, place, self._judge.changed)

    def fetch_many(self) -> Script:
        """Read all documents as a stream."""
        keys = [f"{PREFIX}doc-{number}" for number in _NUMBERS]
        place = Place(None, f"{PREFIX}doc-*")
        seconds = self._timeout()
        stream = get_stream(self._of(place), keys, quiet=True, timeout=seconds, in_flight=2)
        flow = Many(
            self.client, stream, "get", place, seconds, self._judge.read, most=2, changes=False
        )
        yield from consume(self.client, self.rng, flow)

    def ask_too_much(self) -> Script:
        """Ask for what such servers do not have."""
        place = self._at("doc")
        op = ops.exists(self._of(place), place.key, timeout=self._timeout())
        yield from self._act(op, place, self._judge.done, changes=False, label=_REFUSED)


def final_reads_of_caches(client: Client) -> Iterator[Script]:
    """Give one caller for each document, which reads it once."""
    for kind in ("doc", "num", "log"):
        for number in _NUMBERS:
            yield _read_once(client, Place(None, f"{PREFIX}{kind}-{number}"))


def _read_once(client: Client, place: Place) -> Script:
    judge: Any = client.history.documents
    op = ops.get(defaults(), place.key, quiet=True, timeout=30.0)
    act = Act(place, judge.read, 30.0, changes=False)
    yield Ask(op, [client.history.begin(op, client.number, act=act)])
