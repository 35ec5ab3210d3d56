"""Asking copies: requests, answers, and what answers mean."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.durability import Need
from couchloop.exceptions import (
    CasMismatchError,
    MutationLostError,
    NodeNotAvailableError,
    NotFoundError,
    ProtocolError,
)
from couchloop.hot.durable import MutationToken
from couchloop.hot.frames import Frame
from couchloop.operations.copies import ACTIVE
from couchloop.operations.watching import (
    Member,
    ObserveSeqno,
    Progress,
    Sight,
    SightOfBranch,
    SightOfDocument,
)
from couchloop.result import (
    OBS_FOUND,
    OBS_LOGICALLY_DELETED,
    OBS_NOTFOUND,
    OBS_PERSISTED,
    ObserveInfo,
)
from tests.core.world import defaults

D = defaults()
TOKEN = MutationToken(98, 0x1122334455667788, 10, "default")
AWAY = NodeNotAvailableError()


def branch(persist: int, replicate: int, *seqnos: int) -> SightOfBranch:
    """Watch changes with these numbers."""
    members = [Member(place, f"k{place}", seqno) for place, seqno in enumerate(seqnos or (10,))]
    return SightOfBranch(D, Need(persist, replicate), members, TOKEN)


def document(
    persist: int, replicate: int, cas: int = 5, *, removed: bool = False, is_ours: bool = True
) -> SightOfDocument:
    """Watch a document."""
    need, member = Need(persist, replicate), Member(0, "k")
    return SightOfDocument(D, need, member, cas, removed=removed, is_ours=is_ours)


def verdict(sight: Sight, *answers: Any) -> Any:
    """Return what a change came to: None (enough copies), an error, or `waiting`."""
    found = {member.place: error for member, error in sight.hear(answers)}
    return found.get(0, "waiting")


def answered(value: bytes, status: int = 0) -> Progress:
    """Read an answer."""
    op = ObserveSeqno(0x91, D, "k", None, quiet=True)
    return op.decode(Frame(0x81, 0x91, 0, status, 0, 0, b"", b"", b"", value))


def copies(sight: Sight) -> list[int]:
    """Return the copies that are asked."""
    questions: list[Any] = [*sight.questions()]
    return [op.copy for op in questions]


def test_request() -> None:
    """The UUID is the value; the vbucket is in the header, and there is no key."""
    (op,) = branch(1, 0).questions()
    assert (op.opcode, op.value.hex(), op.prefix) == (0x91, "1122334455667788", b"")
    assert op.raw == b"k0"
    op.prepare(98, b"\0")
    assert op.raw == b""


def test_as_few_as_needed() -> None:
    """The active copy alone is asked if that is enough."""
    for sight in (branch(1, 0), document(1, 0)):
        assert copies(sight) == [ACTIVE]
    for sight in (branch(0, 1), document(2, 0)):
        assert copies(sight) == [ACTIVE, 0, 1, 2]


def test_formats() -> None:
    """Both formats are read, and a copy that does not know the branch has nothing."""
    assert answered(pack(">BHQQQ", 0, 98, 7, 3, 9)) == Progress(3, 9)
    ended = pack(">BHQQQQQ", 1, 98, 8, 3, 9, 7, 5)
    assert answered(ended) == Progress(3, 9, 5)
    assert answered(b"", 1) == Progress(-1, -1)


@given(st.binary(max_size=50))
def test_garbage(value: bytes) -> None:
    """Any bytes give an answer or a ProtocolError."""
    with suppress(ProtocolError):
        assert isinstance(answered(value), Progress)


@pytest.mark.parametrize(
    ("need", "answers", "expected"),
    [
        ((1, 0), (Progress(10, 10),), None),
        ((1, 0), (Progress(9, 10),), "waiting"),
        ((1, 0), (AWAY,), "waiting"),
        ((0, 1), (Progress(0, 10), Progress(0, 10), AWAY), None),
        ((0, 1), (Progress(0, 10), Progress(0, 9), AWAY), "waiting"),
        ((0, 1), (Progress(0, 10), AWAY, Progress(0, 11)), None),
        # A replica alone does not tell whether the change is lost.
        ((0, 1), (AWAY, Progress(0, 10)), "waiting"),
        ((2, 0), (Progress(10, 10), Progress(10, 10)), None),
        # Of disks that of the active copy is always one.
        ((2, 0), (Progress(9, 10), Progress(10, 10), Progress(10, 10)), "waiting"),
        ((2, 0), (Progress(10, 10), Progress(9, 10)), "waiting"),
        # The branch has ended with a failover, behind the change or before it.
        ((1, 0), (Progress(12, 12, 10),), None),
        ((1, 0), (Progress(12, 12, 9),), MutationLostError),
        # The active copy does not know the branch.
        ((1, 0), (Progress(-1, -1),), MutationLostError),
        ((0, 1), (Progress(0, 10), Progress(-1, -1)), "waiting"),
        ((0, 1), (Progress(0, 10), Progress(20, 20, 9)), "waiting"),
    ],
)
def test_by_tokens(need: tuple[int, int], answers: Any, expected: Any) -> None:
    """What the numbers of the copies mean."""
    found = verdict(branch(*need), *answers)
    assert found == expected or (isinstance(expected, type) and isinstance(found, expected))


def test_several_of_a_branch() -> None:
    """Each change is settled by its own number; those behind the end of the branch are lost."""
    sight = branch(1, 0, 8, 10, 12)
    settled = {m.place: type(error) for m, error in sight.hear([Progress(9, 20, 10)])}
    assert settled == {0: type(None), 2: MutationLostError}


FOUND, STORED = ObserveInfo(OBS_FOUND, True, 5), ObserveInfo(OBS_PERSISTED, True, 5)
GONE, DELETED = ObserveInfo(OBS_NOTFOUND, True, 0), ObserveInfo(OBS_LOGICALLY_DELETED, True, 6)
OTHER = ObserveInfo(OBS_PERSISTED, True, 7)


@pytest.mark.parametrize(
    ("sight", "answers", "expected"),
    [
        (document(1, 0), (STORED,), None),
        (document(1, 0), (FOUND,), "waiting"),
        (document(1, 0), (AWAY,), "waiting"),
        (document(1, 0), (OTHER,), MutationLostError),
        (document(1, 0), (GONE,), MutationLostError),
        (document(1, 0), (DELETED,), MutationLostError),
        (document(0, 1), (FOUND, FOUND), None),
        (document(0, 1), (FOUND, OTHER), "waiting"),
        (document(0, 1), (FOUND, GONE, FOUND), None),
        (document(2, 0), (STORED, FOUND), "waiting"),
        (document(2, 0), (STORED, STORED), None),
        (document(1, 0, removed=True), (GONE,), None),
        (document(1, 0, removed=True), (DELETED,), "waiting"),
        (document(0, 1, removed=True), (DELETED, DELETED), None),
        (document(0, 1, removed=True), (DELETED, FOUND), "waiting"),
        (document(0, 1, removed=True), (FOUND, GONE), MutationLostError),
        # Somebody asks, who has not changed it.
        (document(1, 0, is_ours=False), (OTHER,), CasMismatchError),
        (document(1, 0, is_ours=False), (GONE,), NotFoundError),
        (document(1, 1, 0, is_ours=False), (OTHER, OTHER), None),
        (document(1, 1, 0, is_ours=False), (OTHER, STORED), "waiting"),
        (document(0, 1, 0, removed=True, is_ours=False), (FOUND, GONE), "waiting"),
    ],
)
def test_by_cas(sight: Sight, answers: Any, expected: Any) -> None:
    """What the states of the copies mean."""
    found = verdict(sight, *answers)
    assert found == expected or (isinstance(expected, type) and isinstance(found, expected))
