"""Mutation tokens: which ones a Bucket keeps."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.hot.durable import MutationToken, Tokens
from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.settings.values import Wire
from tests.core.session.support import opened
from tests.core.world import defaults


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000)), max_size=600))
def test_the_last_of_each_vbucket(found: list[tuple[int, int]]) -> None:
    """In whichever order they come, the greatest number counts."""
    tokens, expected = Tokens(), dict[int, int]()
    for vbucket, seqno in found:
        tokens.note(MutationToken(vbucket, 1, seqno, "b"))
        expected[vbucket] = max(seqno, expected.get(vbucket, 0))
    assert {token.vbucket: token.seqno for token in tokens.all()} == expected


def test_another_branch() -> None:
    """After a failover numbers begin lower, and count all the same."""
    tokens = Tokens()
    tokens.note(MutationToken(1, 1, 9, "b"))
    tokens.note(MutationToken(1, 2, 3, "b"))
    assert tokens.all() == [MutationToken(1, 2, 3, "b")]


def test_threads() -> None:
    """None is lost where several threads take note of some."""
    tokens = Tokens()

    def note(vbucket: int) -> None:
        for seqno in range(5000):
            tokens.note(MutationToken(vbucket, 1, seqno, "b"))

    threads = [Thread(target=note, args=(number % 2,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(token.seqno for token in tokens.all()) == [4999, 4999]
    # What waits to be sorted is bounded.
    assert len(tokens._recent) < 512


def test_names() -> None:
    """A token has the names of newer SDKs too."""
    token = MutationToken(1, 2, 3, "b")
    assert token == (1, 2, 3, "b")
    assert token.partition_id == 1
    assert token.partition_uuid == 2
    assert token.sequence_number == 3
    assert token.bucket_name == "b"


def test_garbage() -> None:
    """Extras that are no token are a ProtocolError."""
    w = opened(wire=Wire(tokens=True))
    op = ops.upsert(w.defaults, "k", 1)
    w.do(op)
    with pytest.raises(ProtocolError, match="no mutation token"):
        op.decode(Frame(0x81, 1, 0, 0, 0, 5, b"", b"short", b"", b""))
    # A bucket without history has zeros.
    assert op.decode(Frame(0x81, 1, 0, 0, 0, 5, b"", bytes(16), b"", b"")).token is None
    # One that was never sent has none.
    unsent = ops.upsert(defaults(), "k", 1)
    assert unsent.decode(Frame(0x81, 1, 0, 0, 0, 5, b"", bytes(16), b"", b"")).token is None


def test_no_tokens_were_agreed_on() -> None:
    """What comes in their place then is no token, and no fault: plain memcached sends flags."""
    w = opened()
    op = ops.touch(w.defaults, "k", 1)
    w.do(ops.upsert(w.defaults, "k", 1))
    w.do(op)
    assert op.decode(Frame(0x81, 0x1C, 0, 0, 0, 5, b"", bytes(4), b"", b"")).token is None
