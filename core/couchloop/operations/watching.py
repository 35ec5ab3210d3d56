"""Asking the copies of a change whether they have it, until enough of them do.

By mutation tokens (OBSERVE_SEQNO), where there are any: then one question is for all changes of a
vbucket, and a failover that has lost some of them is recognised by the vbucket's branch of history.
Else by the CAS of the document (OBSERVE): what is no longer there may have been lost as well as
changed by somebody else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from couchloop.durability import Need
from couchloop.exceptions import (
    CasMismatchError,
    CollectionNotFoundError,
    CouchbaseError,
    DurabilityAmbiguousError,
    DurabilityTimeoutError,
    ErrorContext,
    MutationLostError,
    NoReplicaError,
    NotFoundError,
    ProtocolError,
    ScopeNotFoundError,
    TimeoutError,  # noqa: A004 - 2.5's name
    caused,
    own_copy,
)
from couchloop.hot.durable import MutationToken
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.request import VbucketMap
from couchloop.hot.result import (
    OBS_FOUND,
    OBS_LOGICALLY_DELETED,
    OBS_NOTFOUND,
    OBS_PERSISTED,
    ObserveInfo,
)
from couchloop.operations.copies import ACTIVE, OfOneCopyWithoutKey
from couchloop.operations.observe import ObserveCopy
from couchloop.operations.procedure import Pause, Step, Steps, Together, Within
from couchloop.retries import FailFast
from couchloop.wire import Opcode

AT_ONCE: Final = 100
"""Changes whose copies are asked at once."""
FIRST_PAUSE: Final = 0.01
NoCollection: Final = (CollectionNotFoundError, ScopeNotFoundError)
"""What questions meet where no node knows the documents' collection."""
_PATIENCE: Final = 1.0
"""Seconds that one question has: others may be answered, and it can be asked again."""
_AT_ONCE: Final = FailFast()
_NUMBERS: Final = Struct(">BHQQQ")
_ENDED: Final = Struct(">QQ")


class Copies(Operation[list[int]]):
    """Never sent: tells how many replicas each of some keys has at present.

    Args:
        defaults: the Bucket's.
        key: one of them, for errors.
        keys: their bytes.
        timeout: seconds; None: as the Bucket says.
    """

    __slots__ = ("found", "keys")
    name = "survey"
    idempotent = True
    is_plain = False

    def __init__(
        self, defaults: Defaults, key: Key, keys: Sequence[bytes], timeout: float | None
    ) -> None:
        # No opcode is negative, so that nobody is told of it.
        super().__init__(-1, defaults, key, timeout)
        self.keys = keys
        self.found: list[int] = []

    def settles(self, vbuckets: VbucketMap) -> bool:
        """See `Request`."""
        numbers = map(vbuckets.vbucket, self.keys)
        self.found = [sum(chain[n] >= 0 for chain in vbuckets.chains) for n in numbers]
        self.answer = Frame(0x81, 0, 0, 0, 0, 0, b"", b"", b"", b"")
        return True

    def decode(self, answer: Frame) -> list[int]:  # noqa: ARG002 - there is none
        """Return the numbers."""
        return self.found


class Progress(NamedTuple):
    """How far a copy of a vbucket is."""

    persisted: int = -1
    """The last change that is on disk."""
    current: int = -1
    """The last one."""
    branch_end: int | None = None
    """The last change of the branch that was asked for, if it has ended (hard failover)."""


class ObserveSeqno(OfOneCopyWithoutKey, Operation[Progress]):
    """OBSERVE_SEQNO 0x91 of one copy: it names the vbucket, and no key."""

    __slots__ = ("copy", "document")
    name = "observe_seqno"
    idempotent = True

    def prepare(self, vbucket: int, prefix: bytes) -> None:  # noqa: ARG002 - it has no key
        """See `Request`."""
        self.raw = b""

    def decode(self, answer: Frame) -> Progress:
        """Read both formats; a copy that does not know the branch has nothing of it."""
        if answer.status:
            return Progress()
        value = answer.value
        if len(value) < _NUMBERS.size or value[0] > 1:
            raise ProtocolError("observe_seqno: the answer is of no known format", key=self.key)
        kind, _, _, persisted, current = _NUMBERS.unpack_from(value)
        if not kind:
            return Progress(persisted, current)
        if len(value) < _NUMBERS.size + _ENDED.size:
            raise ProtocolError("observe_seqno: the answer is too short", key=self.key)
        _, end = _ENDED.unpack_from(value, _NUMBERS.size)
        return Progress(persisted, current, end)


class Member(NamedTuple):
    """One change of those that are watched together."""

    place: int
    """Where it stands among all that are watched."""
    key: Key
    seqno: int = 0


class Sight(ABC):
    """Changes whose copies are asked together.

    Args:
        defaults: the Bucket's, or its collection's.
        need: how many copies are to have them.
        members: the changes.
    """

    def __init__(self, defaults: Defaults, need: Need, members: list[Member]) -> None:
        self.defaults = defaults
        self.need = need
        self.members = members
        """Those of which it is not known yet what became of them."""
        self.is_ours = True
        """Whether this call has made the change; else somebody asks for it later."""
        self.last: CouchbaseError | None = None
        """What a question has met last."""

    def questions(self) -> list[Operation[Any]]:
        """Return what to ask now: the active copy first, then as many others as count."""
        need = self.need
        replicas = range(3) if need.replicate or need.persist > 1 else ()
        return [self.ask(copy) for copy in (ACTIVE, *replicas)]

    @abstractmethod
    def ask(self, copy: int) -> Operation[Any]:
        """Return the question for one copy."""

    @abstractmethod
    def hear(self, answers: Sequence[Any]) -> Iterator[tuple[Member, CouchbaseError | None]]:
        """Take what the copies have answered; give the changes that are settled, and how."""

    def note(self, answers: Sequence[Any]) -> CouchbaseError | None:
        """Take note of what was met; return it if asking again is of no use."""
        # That there is no such replica explains nothing: all that there may be are asked.
        errors = [
            each
            for each in answers
            if isinstance(each, CouchbaseError) and not isinstance(each, NoReplicaError)
        ]
        if errors:
            self.last = own_copy(errors[0])
        return next((each for each in errors if not (each.is_transient or each.is_network)), None)

    def enough(self, states: Sequence[tuple[bool, bool]]) -> bool:
        """Whether enough copies have a change; each has it or not, and its disk, the active first.

        Of disks that of the active copy is always one.
        """
        (is_active, is_persisted), *replicas = states
        need = self.need
        if not is_active or (need.persist and not is_persisted):
            return False
        persisted = 1 + sum(disk for _, disk in replicas)
        return persisted >= need.persist and sum(has for has, _ in replicas) >= need.replicate


class SightOfBranch(Sight):
    """Changes of one branch of one vbucket, by their numbers."""

    def __init__(
        self, defaults: Defaults, need: Need, members: list[Member], token: MutationToken
    ) -> None:
        super().__init__(defaults, need, members)
        self._uuid = token.uuid.to_bytes(8)

    def ask(self, copy: int) -> Operation[Any]:
        """See `Sight`."""
        op = ObserveSeqno(
            Opcode.OBSERVE_SEQNO,
            self.defaults,
            self.members[0].key,
            _PATIENCE,
            value=self._uuid,
            retry_strategy=_AT_ONCE,
            quiet=True,
        )
        op.copy, op.document = copy, op.raw
        # It has no key, so that the number of a collection is not asked for.
        op.prefix = b""
        return op

    def hear(self, answers: Sequence[Any]) -> Iterator[tuple[Member, CouchbaseError | None]]:
        """See `Sight`."""
        heard = [each if isinstance(each, Progress) else Progress() for each in answers]
        active = heard[0]
        is_unknown = isinstance(answers[0], Progress) and active.current < 0
        for member in self.members:
            seqno = member.seqno
            end = active.branch_end
            if is_unknown or (end is not None and end < seqno):
                text = (
                    "the change was made, and a failover has lost it: the new active copy had not "
                    "got it yet; make it again"
                )
                yield member, MutationLostError(text, key=member.key)
                continue
            states = [
                (
                    p.current >= seqno and (p.branch_end is None or p.branch_end >= seqno),
                    p.persisted >= seqno and (p.branch_end is None or p.branch_end >= seqno),
                )
                for p in heard
            ]
            if self.enough(states):
                yield member, None


class SightOfDocument(Sight):
    """One document, by its CAS.

    Args:
        defaults: see `Sight`.
        need: likewise.
        member: the change.
        cas: that the document has by it; 0: whatever the active copy says.
        removed: whether the document is to be gone.
        is_ours: whether this call has made the change; else somebody asks for it later.
    """

    def __init__(
        self,
        defaults: Defaults,
        need: Need,
        member: Member,
        cas: int,
        *,
        removed: bool,
        is_ours: bool = True,
    ) -> None:
        super().__init__(defaults, need, [member])
        self.cas = cas
        self._removed = removed
        self.is_ours = is_ours

    def ask(self, copy: int) -> Operation[Any]:
        """See `Sight`."""
        op = ObserveCopy(
            Opcode.OBSERVE,
            self.defaults,
            self.members[0].key,
            _PATIENCE,
            retry_strategy=_AT_ONCE,
        )
        op.copy, op.document = copy, op.raw
        return op

    def hear(self, answers: Sequence[Any]) -> Iterator[tuple[Member, CouchbaseError | None]]:
        """See `Sight`."""
        active = answers[0]
        (member,) = self.members
        if not isinstance(active, ObserveInfo):
            return
        wrong = self._contradiction(active, member.key)
        if wrong is not None:
            yield member, wrong
            return
        cas = self.cas or active.cas
        if self.enough([self._state(each, cas) for each in answers]):
            self.cas = cas
            yield member, None

    def _state(self, info: Any, cas: int) -> tuple[bool, bool]:
        """Whether a copy has the change, and whether its disk has."""
        if not isinstance(info, ObserveInfo):
            return False, False
        if self._removed:
            has = info.flags in {OBS_NOTFOUND, OBS_LOGICALLY_DELETED}
            return has, info.flags == OBS_NOTFOUND
        has = info.flags in {OBS_FOUND, OBS_PERSISTED} and info.cas == cas
        return has, has and info.flags == OBS_PERSISTED

    def _contradiction(self, info: ObserveInfo, key: Key) -> CouchbaseError | None:
        """Return what it means that the active copy says something else, if it does."""
        is_there = info.flags in {OBS_FOUND, OBS_PERSISTED}
        if self._removed:
            if not is_there:
                return None
            if not self.is_ours:
                # It may be removed yet: SDK 2.5 waits for that.
                return None
        elif is_there and self.cas in {0, info.cas}:
            return None
        elif not self.is_ours:
            kind = CasMismatchError if is_there else NotFoundError
            return kind(key=key)
        text = (
            "the change was made and is no longer there: a failover has lost it, or somebody else "
            "has changed the document since; fetch_mutation_tokens=true tells which"
        )
        return MutationLostError(text, key=key)


def watch(
    sights: Sequence[Sight], interval: float, seconds: float | None, *, is_steady: bool = False
) -> Steps[dict[int, CouchbaseError | None]]:
    """Ask until all is settled; return by place what each change has come to (None: enough copies).

    Args:
        sights: the changes.
        interval: seconds of the longest pause.
        seconds: that some changes have together (each `AT_ONCE`); None: the procedure's own time.
        is_steady: whether all pauses are as long; else they grow from 10 ms.
    """
    found: dict[int, CouchbaseError | None] = {}
    for start in range(0, len(sights), AT_ONCE):
        part = list(sights[start : start + AT_ONCE])
        count = sum(len(sight.members) for sight in part)
        try:
            if seconds is not None:
                yield Within(seconds)
            yield from _settle(part, found, interval, is_steady=is_steady)
        except CouchbaseError as error:
            # If nothing was settled of any of them, it would not be of the others either.
            is_over = seconds is None or count == sum(len(sight.members) for sight in part)
            for sight in sights[start:] if is_over else part:
                for member in sight.members:
                    found[member.place] = unknown(error, sight, member)
            if is_over:
                break
    return found


def _settle(
    sights: list[Sight],
    found: dict[int, CouchbaseError | None],
    interval: float,
    *,
    is_steady: bool,
) -> Steps[None]:
    pause = interval if is_steady else min(FIRST_PAUSE, interval)
    while sights:
        asked = [sight.questions() for sight in sights]
        outcomes = yield Together([op for each in asked for op in each])
        for sight, questions in zip(sights, asked, strict=True):
            own, outcomes = outcomes[: len(questions)], outcomes[len(questions) :]
            useless = sight.note(own)
            if useless is not None:
                for member in sight.members:
                    found[member.place] = unknown(useless, sight, member)
                sight.members = []
                continue
            settled = {member.place: error for member, error in sight.hear(own)}
            found.update(settled)
            sight.members = [each for each in sight.members if each.place not in settled]
        sights = [sight for sight in sights if sight.members]
        if sights:
            yield Pause(pause)
            pause = interval if is_steady else min(pause * 1.5, interval)


def unknown(error: CouchbaseError, sight: Sight, member: Member) -> CouchbaseError:
    """Return what it means that it was not learned whether enough copies have a change."""
    if isinstance(error, NoCollection) and not sight.is_ours:
        # Where nothing was changed, nothing is ambiguous.
        own = own_copy(error)
        own.key = member.key
        if own.context is not None:
            own.context.key = member.key
        return own
    context = ErrorContext(key=member.key)
    cause = error
    if isinstance(error, TimeoutError) and sight.last is not None:
        cause = sight.last
    if cause.context is not None:
        context.bucket, context.node = cause.context.bucket, cause.context.node
    said = "the change was made, and " if sight.is_ours else ""
    made: CouchbaseError
    if isinstance(error, TimeoutError):
        text = (
            f"{said}too few copies were known to have it in time: a node may be slow or away; a "
            "failover may still lose it"
        )
        made = DurabilityTimeoutError(text, context=context)
    else:
        text = f"{said}the copies cannot be asked whether they have it"
        made = DurabilityAmbiguousError(text, context=context)
    caused(made, own_copy(cause))
    return made


__all__ = [
    "AT_ONCE",
    "FIRST_PAUSE",
    "Copies",
    "Member",
    "NoCollection",
    "ObserveSeqno",
    "Progress",
    "Sight",
    "SightOfBranch",
    "SightOfDocument",
    "Step",
    "unknown",
    "watch",
]
