"""Whether what callers are told of documents agrees with what these really were (`Truth`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from couchloop.durability import ClientDurability
from couchloop.embedded.core.request import Request
from couchloop.embedded.kv.reading import HIDDEN_CAS
from couchloop.exceptions import (
    AmbiguousError,
    CasMismatchError,
    CollectionNotFoundError,
    CouchbaseError,
    DocumentExistsError,
    DocumentLockedError,
    DocumentNotLockedError,
    DurabilityImpossibleError,
    DurableWriteInProgressError,
    DurableWriteReCommitInProgressError,
    ElementNotFoundError,
    MutationLostError,
    MutationTokenOutdatedError,
    NoReplicaError,
    NotFoundError,
    NotStoredError,
    QueueEmpty,
    ScopeNotFoundError,
    TooFewReplicasError,
    UnambiguousTimeoutError,
)
from couchloop.hot.batch import Bulk
from couchloop.wire import Opcode
from tests.simulation.history import CALM, Call, History
from tests.simulation.truth import Place, Truth, Version

Judge = Callable[[Call, Any], None]

_MISSES: Final = (NotFoundError, NotStoredError)
_ASKED: Final = 1.5
"""Seconds that the answer of a node may be old which says that there is no such collection."""
_IN_PROGRESS: Final = (DurableWriteInProgressError, DurableWriteReCommitInProgressError)


@dataclass(slots=True)
class Act:
    """What a call is to do with a document."""

    place: Place
    judge: Judge
    """Judges its success: the call and its result."""
    seconds: float
    """Until when it must be over."""
    changes: bool = True
    durability: Any = None
    """As it was asked for."""
    cas: int = 0
    """Which the request has."""
    label: str = ""
    """What is done, if the operation does not say it."""
    began: float | None = None
    """When the scan began that this is part of, in seconds; None: it is part of none."""
    sees: Version | None = None
    """Which it is consistent with."""

    @property
    def is_watched(self) -> bool:
        """Whether the client itself looks whether there are enough copies."""
        return isinstance(self.durability, ClientDurability)

    @property
    def copies(self) -> int:
        """How many copies the client looks for."""
        wanted: int = max(self.durability.replicate_to + 1, self.durability.persist_to)
        return wanted

    @property
    def is_durable(self) -> bool:
        """Whether a majority must have it before it is seen."""
        return self.durability is not None and not self.is_watched


class Documents:
    """The judge of all calls that have an `Act`.

    Args:
        history: of the world.
        truth: likewise.
    """

    def __init__(self, history: History, truth: Truth) -> None:
        self.truth = truth
        self._history = history
        self._taken: Counter[tuple[Place, int]] = Counter()
        self._removed: set[tuple[Place, int]] = set()
        self._locks: set[tuple[Place, int]] = set()

    # The server's side

    def executed(self, request: Request, *, is_done: bool) -> None:
        """Take note of a request that a server has executed, or is about to go on with."""
        opcode = request.frame.opcode
        if not is_done or opcode not in {Opcode.GET_LOCKED, Opcode.UNLOCK_KEY}:
            return
        if opcode == Opcode.UNLOCK_KEY:
            self.truth.unlocked(request.document_id, request.frame.cas)
            return
        document = request.vbucket().documents[request.document_id]
        self.truth.locked(request.document_id, document)

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
        kind = "durable " if act.is_durable else "watched " if act.is_watched else ""
        history.deeds[f"{kind}{act.label or call.name} of {act.place.kind}"] += 1
        act.judge(call, outcome)

    @property
    def losses(self) -> int:
        """Versions that were set back."""
        return self.truth.losses

    def _failed(self, call: Call, act: Act, error: CouchbaseError) -> None:
        violate = self._history.violate
        if isinstance(call.op, Bulk):
            # What became of each key is told with the error.
            act.judge(call, error.all_results)
            return
        if isinstance(error, AmbiguousError):
            if not act.changes:
                violate("error class", f"{call} changes nothing, and is ambiguous: {error!r}")
        elif not isinstance(error, MutationLostError):
            call.is_undone = True
            if call.executed:
                violate("error class", f"{call} was done, and told as not done: {error!r}")
        if not self._is_explained(call, act, error):
            violate("error class", f"{call}: nothing explains {error!r}")

    def _is_explained(self, call: Call, act: Act, error: CouchbaseError) -> bool:
        """Whether something was so that explains an error."""
        truth, place = self.truth, act.place
        if act.began is not None and self._history.excuses_scan(call, act.began, error):
            return True
        if isinstance(error, MutationTokenOutdatedError):
            return act.sees is not None and truth.has_moved(place.key, act.sees)
        if isinstance(error, CollectionNotFoundError | ScopeNotFoundError):
            # What waits already has asked the nodes, and does so at least once in a second.
            began = call.deadline - act.seconds if act.began is None else act.began
            return truth.was_absent(place.names, began - _ASKED)
        if isinstance(error, _MISSES) and call.name == "rget":
            # The replicas alone were asked, which may not know yet.
            return True
        if isinstance(error, _MISSES):
            return truth.held(place, call.begun, lambda version: not version.cas)
        if isinstance(error, QueueEmpty | ElementNotFoundError):
            return truth.held(place, call.begun, lambda version: version.body == b"[]")
        if isinstance(error, DocumentExistsError):
            return truth.held(place, call.begun, lambda version: bool(version.cas))
        if isinstance(error, DocumentLockedError | DocumentNotLockedError):
            return place.kind == "lock"
        if isinstance(error, CasMismatchError):
            return bool(act.cas) or place.kind == "list"
        if isinstance(error, MutationLostError):
            return act.is_watched and any(each.died is not None for each in call.executed)
        if isinstance(error, _IN_PROGRESS) and call.client in self._history.hasty:
            return True
        if isinstance(error, TooFewReplicasError) and act.copies > truth.chain_length:
            return True
        if isinstance(error, DurabilityImpossibleError):
            # The client may have been told late of the nodes that came.
            since = call.deadline - act.seconds - CALM
            return act.durability is not None and truth.lacked_nodes(place.key, since)
        if isinstance(error, NoReplicaError):
            return not act.changes
        if isinstance(error, UnambiguousTimeoutError) and truth.is_in_doubt(place):
            return True
        self._history.judge_reason(call, error)
        return True

    # Successes

    def read(self, call: Call, result: Any) -> None:
        """Judge the answer of an active copy: a version that held while the call ran."""
        version = self._version(call, result)
        if version is not None and version.died is not None and version.died < call.begun:
            text = f"{call} got a version that did not hold while it ran: {result!r}"
            self._history.violate("phantom", text)

    def read_copy(self, call: Call, result: Any) -> None:
        """Judge the answer of any copy: a version that there was at some time."""
        for each in result if isinstance(result, list) else [result]:
            if each.is_replica:
                self._version(call, each)
            else:
                self.read(call, each)

    def _version(self, call: Call, result: Any) -> Version | None:
        """Return the version that a caller was given; None: that is a miss, or shows no CAS."""
        act, violate = call.act, self._history.violate
        assert act is not None
        place = act.place
        if not result.success:
            if not self.truth.held(place, call.begun, lambda version: not version.cas):
                violate("phantom", f"{call} missed a document that was there all the time")
            return None
        value = result.value
        if result.cas == HIDDEN_CAS:
            if not self.truth.held(place, call.begun, lambda one: is_value(one, value)):
                violate("phantom", f"{call} got {value!r}, which it was not")
            return None
        version = self.truth.find(place, result.cas)
        if version is None:
            violate("phantom", f"{call} got a version that never was: {result!r}")
        elif not is_value(version, value):
            violate("phantom", f"{call} got {value!r} where {version.body!r} was")
        return version

    def looked(self, call: Call, result: Any) -> None:
        """Judge a lookup of many parts: all of them are of one version."""
        act = call.act
        assert act is not None
        version = self.truth.find(act.place, result.cas)
        seen = [result[index] for index in range(result.result_count)]
        if version is None:
            self._history.violate("phantom", f"{call} got a version that never was: {seen}")
        elif seen != [version.value[name] for name in parts(len(seen))]:
            self._history.violate("half", f"{call} got {seen} of {version.body!r}")
        elif version.died is not None and version.died < call.begun:
            self._history.violate("phantom", f"{call} got what did not hold while it ran: {seen}")

    def changed(self, call: Call, result: Any) -> None:
        """Judge an acknowledgement: it was done, while it ran, and is safe if that was promised."""
        act, violate = call.act, self._history.violate
        assert act is not None
        if not call.executed:
            violate("never done", f"{call} was acknowledged")
            return
        version: Any = call.executed[0]
        if version.born < call.begun:
            violate("phantom", f"{call} was done before it was begun")
        cas = getattr(result, "cas", version.cas)
        if cas != version.cas:
            violate("wrong caller", f"{call} got CAS {cas:x} instead of {version.cas:x}")
        if act.is_durable:
            call.is_promised = True
            if not version.is_safe:
                violate("early", f"{call} was told as durable, and a majority did not have it")
            if version.is_lost:
                violate("lost", f"{call} was told as durable when it was lost")
        elif act.is_watched:
            found = self.truth.copies_since(act.place.key, version)
            if found is not None and (
                found[0] < act.copies or found[1] < act.durability.persist_to
            ):
                wanted = f"{act.copies} copies, {act.durability.persist_to} disks"
                violate("early", f"{call} was told as on {wanted}; {found} have it")

    def removed(self, call: Call, result: Any) -> None:
        """Judge a deletion: it was done while the call ran, and by this call alone."""
        act = call.act
        assert act is not None
        version = self.truth.find(act.place, result.cas)
        if version is None or version.cas or version.born < call.begun:
            self._history.violate("never done", f"{call} was acknowledged: {result!r}")
        if (act.place, result.cas) in self._removed:
            self._history.violate("wrong caller", f"{call} got the CAS of another")
        self._removed.add((act.place, result.cas))

    def popped(self, call: Call, result: Any) -> None:
        """Judge a value that was taken out of a queue: by this call alone."""
        act = call.act
        assert act is not None
        taken = act.place, result.value
        self._taken[taken] += 1
        if self._taken[taken] > self.truth.popped[taken]:
            self._history.violate("done twice", f"{call} got {result.value}, as another has")

    def locked(self, call: Call, result: Any) -> None:
        """Judge a lock: it was made while the call ran, and for this call alone."""
        act, violate = call.act, self._history.violate
        assert act is not None
        version = self.truth.find(act.place, result.cas)
        if version is None or version.born < call.begun:
            violate("lock", f"{call} got a lock that was not made: {result!r}")
        if (act.place, result.cas) in self._locks:
            violate("lock", f"{call} got a lock that another has")
        self._locks.add((act.place, result.cas))

    def unlocked(self, call: Call, _: Any) -> None:
        """Judge the end of a lock."""
        act = call.act
        assert act is not None
        key = act.place.key.encode()
        if not any(each[1] == key and cas == act.cas for each, cas in self.truth.unlocks):
            self._history.violate("never done", f"{call} was acknowledged")

    def stored_many(self, call: Call, results: Any) -> None:
        """Judge a large batch: each key has a result, and what succeeded was done once."""
        violate = self._history.violate
        keys = call.op.keys  # type: ignore[attr-defined]
        if len(results) != len(keys):
            violate("unreadable", f"{call}: {len(results)} results for {len(keys)} keys")
        for key, result in results.items():
            place = Place(call.act.place.names, key)  # type: ignore[union-attr]
            done = {
                version.cas: version
                for versions in self.truth.of(place)
                for version in versions
                if version.number == call.number
            }
            if result.success and not done:
                violate("never done", f"{call}: {key} was acknowledged")
            elif result.success and result.cas not in done:
                violate("wrong caller", f"{call}: {key} got the CAS of another")
            if len(done) > 1:
                violate("done twice", f"{call}: {key}")


def parts(count: int) -> list[str]:
    """Return the names of so many parts of a document of kind `sub`."""
    return [("n", "total", "mirror")[index % 3] for index in range(count)]


def is_value(version: Version, value: Any) -> bool:
    """Whether that is what a version has."""
    if isinstance(value, str):
        return version.body == value.encode()
    return bool(version.body) and version.body[:1] != b"<" and bool(version.value == value)
