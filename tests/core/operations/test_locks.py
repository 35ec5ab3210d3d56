"""Locking documents, and unlocking them."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import (
    CouchbaseError,
    DocumentNotLockedError,
    InvalidCasError,
    InvalidTtlError,
    KeyExistsError,
    LockCasMismatchError,
    NotFoundError,
    StoreLockedError,
    TemporaryFailError,
    ValueFormatError,
)
from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.retries import BestEffort, FailFast, RetryReason, RetryRequest
from couchloop.transcoder import RawBinaryTranscoder
from couchloop.wire import Opcode
from tests.core.session.support import opened
from tests.core.world import defaults

D = defaults()
ONCE = FailFast()


def test_locked() -> None:
    """A lock gives the document and a CAS, with which alone it can be changed; others may read."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert(d, "k", "v"))
    locked = w.do(ops.lock(d, "k", 10))
    assert locked.value == "v"
    assert w.do(ops.get(d, "k")).value == "v"
    with pytest.raises(StoreLockedError):
        w.do(ops.upsert(d, "k", "w", retry_strategy=ONCE))
    with pytest.raises(TemporaryFailError):
        w.do(ops.lock(d, "k", 10, retry_strategy=ONCE))
    w.do(ops.replace(d, "k", "w", cas=locked.cas))
    w.do(ops.upsert(d, "k", "x"))


def test_unlocked() -> None:
    """`unlock` ends a lock, and so does its time."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert(d, "k", "v"))
    locked = w.do(ops.get_and_lock(d, "k", timedelta(seconds=30)))
    result = w.do(ops.unlock(d, "k", locked.cas))
    assert (result.success, result.cas) == (True, 0)
    w.do(ops.upsert(d, "k", "w"))
    w.do(ops.lock(d, "k", 5))
    w.advance(6)
    w.do(ops.upsert(d, "k", "x"))


def test_nothing_to_unlock() -> None:
    """What is not locked, or not there, has errors of its own."""
    w = opened()
    d = w.defaults
    stored = w.do(ops.upsert(d, "k", "v"))
    with pytest.raises(DocumentNotLockedError):
        w.do(ops.unlock(d, "k", stored.cas))
    with pytest.raises(NotFoundError):
        w.do(ops.unlock(d, "no", 5))
    with pytest.raises(NotFoundError):
        w.do(ops.lock(d, "no", 5))
    assert not w.do(ops.lock(d, "no", 5, quiet=True)).success


def test_many() -> None:
    """Batches lock, each key for a time of its own if need be, and unlock by their results."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert_multi(d, {"a": 1, "b": 2}))
    locked = w.do(ops.lock_multi(d, {"a": 5, "b": None}, 20))
    assert {key: result.value for key, result in locked.items()} == {"a": 1, "b": 2}
    w.advance(10)
    w.do(ops.upsert(d, "a", 3))
    with pytest.raises(StoreLockedError):
        w.do(ops.upsert(d, "b", 3, retry_strategy=ONCE))
    assert w.do(ops.unlock_multi(d, {"b": locked["b"]})).all_ok
    w.do(ops.upsert(d, "b", 3))


def test_not_sent_twice() -> None:
    """Neither is repeated when nobody knows if it was done: the CAS of the first would be lost."""
    assert not ops.lock(D, "k", 5).idempotent
    assert not ops.unlock(D, "k", 5).idempotent


@pytest.mark.parametrize("cas", [0, None, False])
def test_no_cas(cas: Any) -> None:
    """Without a CAS nothing can be unlocked."""
    with pytest.raises(InvalidCasError, match="that lock gave") as caught:
        ops.unlock(D, "k", cas)
    assert caught.value.key == "k"
    with pytest.raises(InvalidCasError, match="the CAS that lock gave") as caught:
        ops.unlock_multi(D, {"k": 5, "other": cas})
    assert caught.value.key == "other"


def test_no_time() -> None:
    """As in SDK 2.5 a lock without a time is refused."""
    with pytest.raises(InvalidTtlError):
        ops.lock(D, "k")


class Patient(BestEffort):
    """Waits for the end of every lock."""

    def retry_after(self, request: RetryRequest, reason: RetryReason) -> float | None:
        """Wait."""
        return 0.1


def test_a_wrong_cas() -> None:
    """To unlock with another CAS than the lock's fails at once, whatever the retry strategy."""
    w = opened()
    d = w.defaults
    stored = w.do(ops.upsert(d, "k", "v"))
    w.do(ops.lock(d, "k", 10))
    op = w.submit(ops.unlock(d, "k", stored.cas, retry_strategy=Patient()))
    w.settle()
    with pytest.raises(LockCasMismatchError, match="not with this CAS") as caught:
        op.result()
    assert isinstance(caught.value, TemporaryFailError | KeyExistsError)
    assert (caught.value.key, caught.value.rc) == ("k", 0x0B)
    assert caught.value.context is not None
    assert caught.value.context.operation == "unlock"


def test_locked_and_not_readable() -> None:
    """A value that cannot be decoded is locked nevertheless: the error has the CAS for that."""
    w = opened()
    d = w.defaults
    w.do(ops.upsert(d, "k", "text"))
    with pytest.raises(ValueFormatError) as caught:
        w.do(ops.get_and_lock(d, "k", 10, transcoder=RawBinaryTranscoder()))
    error = caught.value
    assert error.cas == error.result.cas == error.all_results["k"].cas != 0  # type: ignore[index]
    assert copy(error).cas == error.cas
    with pytest.raises(TemporaryFailError):
        w.do(ops.lock(d, "k", 10, retry_strategy=ONCE))
    w.do(ops.unlock(d, "k", error.cas))
    w.do(ops.upsert(d, "k", "w"))


@pytest.mark.parametrize("count", [3, 1500])
def test_batch_locked_and_not_readable(count: int) -> None:
    """In a batch, whatever its size, each key's result has the CAS, and says what has failed."""
    w = opened()
    d = w.defaults
    documents: dict[str, Any] = {f"k{number}": "text" for number in range(count)}
    w.do(ops.upsert_multi(d, documents))
    with pytest.raises(ValueFormatError) as caught:
        w.do(ops.lock_multi(d, list(documents), 10, transcoder=RawBinaryTranscoder()))
    good, bad = caught.value.split_results()
    assert (len(good), len(bad)) == (0, count)
    assert all(result.cas and isinstance(result.error, ValueFormatError) for result in bad.values())
    assert caught.value.cas == bad[caught.value.key].cas
    w.do(ops.unlock_multi(d, bad))
    w.do(ops.upsert_multi(d, documents))


def test_counted_and_not_readable() -> None:
    """What the server has counted and answers oddly was counted: the error has the new CAS."""
    op = ops.counter(D, "n", 1)
    op.fields = Frame(0x81, Opcode.INCREMENT, 0, 0, 0, 77, b"", b"", b"", b"odd")
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    assert caught.value.cas == 77


def test_not_done() -> None:
    """What the server did not do has no CAS."""
    w = opened()
    with pytest.raises(NotFoundError) as caught:
        w.do(ops.get_and_lock(w.defaults, "k", 10))
    assert caught.value.cas == 0
