"""Callers that use all that can be done with documents, in collections that come and go."""

from __future__ import annotations

from collections.abc import Callable, Generator
from random import Random
from typing import TYPE_CHECKING, Any, Final

from couchloop.durability import ClientDurability, Durability
from couchloop.exceptions import CouchbaseError
from couchloop.hot.batch import Batch
from couchloop.hot.operation import CollectionName, Defaults, Operation
from couchloop.operations import document as ops
from couchloop.operations import specs
from couchloop.operations.alterations import extended
from couchloop.operations.containers import change
from couchloop.operations.lists import list_append
from couchloop.operations.queues import queue_pop, queue_push
from couchloop.operations.subdocument import lookup_in, mutate_in
from couchloop.transcoder import FMT_UTF8
from tests.core.world import defaults
from tests.simulation.clients import Ask, Caller, Client, Script
from tests.simulation.judgement import Act, Judge, parts
from tests.simulation.truth import PREFIX, STAMP, Place, token

if TYPE_CHECKING:
    from couchloop.operations.procedure import Procedure

COLLECTIONS: Final = (CollectionName("s", "c"), CollectionName("t", "c"))
PLACES: Final = (None, *COLLECTIONS)
_MANY: Final = 2000
_LONGEST_BATCH: Final = 30.0
"""Seconds that a large batch may take whose keys have a few seconds each."""
_SIZES: Final = (0, 0, 0, 300, 3000)
_DURABLE: Final = (
    Durability.MAJORITY,
    Durability.MAJORITY,
    Durability.MAJORITY_AND_PERSIST_TO_ACTIVE,
    Durability.PERSIST_TO_MAJORITY,
    ClientDurability(replicate_to=1),
    ClientDurability(replicate_to=1, persist_to=2),
    ClientDurability(persist_to=1),
)

Steps = Generator[Ask | float, Any, Any]


class DocumentCaller(Caller):
    """One user of documents: it does one thing after another.

    Args:
        others: arguments of `Caller`.
        rng: whatever is random about it.
        is_bulky: whether it stores two thousand documents at once, now and then.
    """

    def __init__(self, client: Client, number: int, pause: float, rng: Random) -> None:
        super().__init__(client, number, [], [], pause)
        self.rng = rng
        self._by_names: dict[CollectionName | None, Defaults] = {}
        self._is_bulky = rng.random() < 0.15

    def script(self) -> Script:
        """Work as long as the client wants."""
        habits: tuple[Callable[[], Script], ...] = (
            self.write,
            self.look,
            self.look_at_copies,
            self.log,
            self.queue,
            self.change_parts,
            self.look_at_parts,
            self.touch,
            self.lock,
            self.burst,
        )
        weights = (4, 4, 3, 4, 5, 4, 2, 2, 2, 2)
        # While nothing is known of any collection.
        yield from self.burst()
        while self.client.wants:
            if self._is_bulky and self.rng.random() < 0.2:
                self._is_bulky = False
                yield from self.write_many()
            (habit,) = self.rng.choices(habits, weights)
            yield from habit()
            yield self.rng.expovariate(1 / self.pause)

    # Building calls

    def _place(self, kind: str) -> Place:
        return Place(self.rng.choice(PLACES), f"{PREFIX}{kind}-{self.rng.randrange(2)}")

    def _of(self, place: Place) -> Defaults:
        found = self._by_names.get(place.names)
        if found is None:
            found = defaults()
            if place.names is not None:
                found.collection = place.names
                self.client.session.collections.attach(found)
            self._by_names[place.names] = found
        return found

    def _number(self) -> int:
        return self.client.history.next_number()

    def _document(self, place: Place) -> dict[str, Any]:
        """Return a value that tells its place and its call."""
        return {
            "k": place.key,
            "in": str(place.names),
            "n": self._number(),
            "pad": "ab" * self.rng.choice(_SIZES),
        }

    def _act(
        self,
        pending: Operation[Any] | Batch[Any],
        place: Place,
        judge: Judge,
        *,
        changes: bool = True,
        is_patient: bool = False,
        durability: Any = None,
        label: str = "",
    ) -> Steps:
        """Submit something; give its result or its error."""
        seconds = getattr(pending, "timeout", _LONGEST_BATCH)
        cas = pending.cas if isinstance(pending, Operation) else 0
        act = Act(place, judge, seconds, changes, durability, cas, label)
        if not hasattr(pending, "name"):
            act.seconds = _LONGEST_BATCH
        call = self.client.history.begin(pending, self.client.number, act=act)
        outcomes = yield Ask(pending, [call], None if is_patient else self._patience())
        return None if outcomes is None else outcomes[0]

    def _durability(self) -> Any:
        return self.rng.choice(_DURABLE) if self.rng.random() < 0.35 else None

    @property
    def _judge(self) -> Any:
        return self.client.history.documents

    # Habits

    def write(self) -> Script:
        """Store a document."""
        place = self._place("doc")
        value = self._document(place)
        durability = self._durability()
        op = ops.upsert(
            self._of(place), place.key, value, durability=durability, timeout=self._timeout()
        )
        yield from self._act(op, place, self._judge.changed, durability=durability)

    def look(self) -> Script:
        """Read a document."""
        place = self._place(self.rng.choice(("doc", "doc", "log", "lock")))
        yield from self._act(self._read(place), place, self._judge.read, changes=False)

    def _read(self, place: Place) -> Operation[Any]:
        return ops.get(self._of(place), place.key, quiet=True, timeout=self._timeout())

    def look_at_copies(self) -> Script:
        """Read a document from any of its copies, or from all."""
        place = self._place(self.rng.choice(("doc", "log")))
        read = self.rng.choice((ops.get_any_replica, ops.get_all_replicas, ops.rget))
        pending: Procedure[Any] = read(self._of(place), place.key, timeout=self._timeout())
        yield from self._act(pending, place, self._judge.read_copy, changes=False)

    def log(self) -> Script:
        """Add to a document at either end; make it if there is none."""
        place = self._place("log")
        found = self._of(place)
        op: Operation[Any]
        build: Callable[..., Operation[Any]]
        build = self.rng.choice((ops.append, ops.append, ops.prepend))
        text = token(self._number())
        durability = self._durability()
        op = build(
            found,
            place.key,
            text,
            format=FMT_UTF8,
            durability=durability,
            timeout=self._timeout(),
        )
        done = yield from self._act(op, place, self._judge.changed, durability=durability)
        if isinstance(done, CouchbaseError):
            text = token(self._number())
            op = ops.insert(
                found,
                place.key,
                text,
                format=FMT_UTF8,
                durability=durability,
                timeout=self._timeout(),
            )
            yield from self._act(op, place, self._judge.changed, durability=durability)

    def queue(self) -> Script:
        """Put into a list at either end, or take out of it."""
        place = self._place("list")
        found, number, seconds = self._of(place), self._number(), self._timeout()
        pending: Procedure[Any]
        kind = self.rng.choice(("append", "push", "pop", "pop", "extend"))
        if kind == "pop":
            pending = queue_pop(found, place.key, timeout=seconds)
            yield from self._act(pending, place, self._judge.popped)
            return
        if kind == "append":
            pending = list_append(found, place.key, number, create=True, timeout=seconds)
        elif kind == "push":
            pending = queue_push(found, place.key, number, create=True, timeout=seconds)
        else:
            pending = change("extend", extended([number]), list, found, place.key, timeout=seconds)
        yield from self._act(pending, place, self._judge.changed)

    def change_parts(self) -> Script:
        """Change several parts of a document at once."""
        place = self._place("sub")
        number = self._number()
        durability = self._durability()
        op = mutate_in(
            self._of(place),
            place.key,
            specs.upsert("n", number),
            specs.counter("total", 1),
            specs.upsert("mirror", number),
            upsert_doc=True,
            durability=durability,
            timeout=self._timeout(),
        )
        yield from self._act(op, place, self._judge.changed, durability=durability)

    def look_at_parts(self) -> Script:
        """Read parts of a document, at times more than one request takes."""
        place = self._place("sub")
        wanted = [specs.get(name) for name in parts(self.rng.choice((3, 3, 18)))]
        pending: Any = lookup_in(
            self._of(place), place.key, *wanted, quiet=False, timeout=self._timeout()
        )
        yield from self._act(pending, place, self._judge.looked, changes=False)

    def touch(self) -> Script:
        """Set the expiry of a document, and perhaps read it."""
        place = self._place("doc")
        moment = STAMP + self._number()
        build = self.rng.choice((ops.touch, ops.get_and_touch))
        op = build(self._of(place), place.key, moment, timeout=self._timeout())
        yield from self._act(op, place, self._judge.changed)

    def lock(self) -> Script:
        """Lock a document, and change it or unlock it, or leave it to itself."""
        place = self._place("lock")
        found = self._of(place)
        op: Operation[Any]
        op = ops.lock(found, place.key, self.rng.randint(1, 3), timeout=self._timeout())
        locked = yield from self._act(op, place, self._judge.locked, is_patient=True)
        if isinstance(locked, CouchbaseError):
            value = self._document(place)
            op = ops.insert(found, place.key, value, timeout=self._timeout())
            yield from self._act(op, place, self._judge.changed)
            return
        yield self.rng.choice((0.0, 0.05, 2.0))
        if self.rng.random() < 0.5:
            value = self._document(place)
            op = ops.replace(found, place.key, value, locked.cas, timeout=self._timeout())
            yield from self._act(op, place, self._judge.changed)
        elif self.rng.random() < 0.7:
            op = ops.unlock(found, place.key, locked.cas, timeout=self._timeout())
            yield from self._act(op, place, self._judge.unlocked)

    def burst(self) -> Script:
        """Change one document several times without waiting for answers."""
        place = self._place(self.rng.choice(("doc", "log", "list")))
        for _ in range(self.rng.randint(2, 5)):
            self.client.run(self._one_of_burst(place))
        yield 0.0

    def _one_of_burst(self, place: Place) -> Script:
        found = self._of(place)
        op: Any
        if place.kind == "list":
            alter = extended([self._number()])
            op = change("extend", alter, list, found, place.key, timeout=self._timeout())
        elif place.kind == "log":
            op = ops.append(found, place.key, token(self._number()), timeout=self._timeout())
        else:
            op = ops.upsert(found, place.key, self._document(place), timeout=self._timeout())
        yield from self._act(op, place, self._judge.changed)

    def write_many(self) -> Script:
        """Store two thousand documents at once."""
        names = self.rng.choice(PLACES)
        place = Place(names, f"{PREFIX}many-0")
        number = self._number()
        values = {f"{PREFIX}many-{index}": {"n": number} for index in range(_MANY)}
        batch = ops.upsert_multi(self._of(place), values, timeout=2.5)
        # The last ones wait long in the batch.
        for index in range(_MANY - 3, _MANY):
            self.client.loop.after(
                0.0, self.client.run, self._later(Place(names, f"{PREFIX}many-{index}"))
            )
        yield from self._act(batch, place, self._judge.stored_many)

    def _later(self, place: Place) -> Script:
        """Store a document that is part of a batch."""
        value = self._document(place)
        op = ops.upsert(self._of(place), place.key, value, timeout=2.5)
        yield from self._act(op, place, self._judge.changed, is_patient=True)


def final_looks(client: Client) -> Generator[Script]:
    """Yield one caller for each document, which reads it once."""
    caller = DocumentCaller(client, -1, 1.0, Random(0))
    for names in PLACES:
        for kind in ("doc", "log"):
            for number in range(2):
                yield _look(caller, Place(names, f"{PREFIX}{kind}-{number}"))


def _look(caller: DocumentCaller, place: Place) -> Script:
    op = ops.get(caller._of(place), place.key, quiet=True, timeout=30.0)
    act = Act(place, caller._judge.read, 30.0, changes=False)
    call = caller.client.history.begin(op, caller.client.number, act=act)
    yield Ask(op, [call])
