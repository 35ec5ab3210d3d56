"""RawBucket: AsyncResults in place of Deferreds."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from couchloop.exceptions import ArgumentError, NotFoundError
from couchloop.result import MultiResult
from tests.txcouchbase.support import Memory
from txcouchbase.bucket import AsyncResult, RawBucket


class RawTests(SynchronousTestCase):
    """Operations that tell callbacks, on a cluster in memory."""

    def setUp(self) -> None:
        self.memory = Memory()
        self.bucket = self.memory.open()
        self.memory.result(self.bucket.wait_until_ready(1))
        self.raw: Any = RawBucket.__new__(RawBucket)
        self.raw._bucket = self.bucket

    def tearDown(self) -> None:
        self.memory.result(self.bucket.close())

    def told(self, pending: Any) -> Any:
        """Return what the callbacks of *pending* are given: a result, or four things."""
        told: list[Any] = []
        pending.set_callbacks(told.append, lambda *given: told.append(given))
        self.memory.reactor.advance(0)
        (outcome,) = told
        return outcome

    def test_one(self) -> None:
        """The outcome of one key is its Result; of an error, the exception comes with it."""
        pending = self.raw.upsert("k", 1)
        assert isinstance(pending, AsyncResult)
        assert (len(pending), pending.remaining) == (0, 1)
        stored = self.told(pending)
        assert stored.success
        assert (pending["k"], pending.remaining) == (stored, 0)
        assert self.told(self.raw.get("k")).value == 1
        missing = self.raw.get("no")
        result, kind, value, _ = self.told(missing)
        assert (result.key, kind) == ("no", NotFoundError)
        assert isinstance(value, NotFoundError)
        assert not missing.all_ok

    def test_streams(self) -> None:
        """A stream is no AsyncResult: it is the Bucket's own."""
        summary = self.memory.result(self.raw.upsert_stream({"a": 1, "b": 2}).run())
        assert (summary.done, summary.failed) == (2, 0)

    def test_many(self) -> None:
        """The outcome of many keys is the AsyncResult, a dict."""
        pending = self.raw.upsert_multi({"a": 1, "b": 2})
        assert pending.remaining == 2
        results = self.told(pending)
        assert results is pending
        assert isinstance(results, MultiResult)
        assert results.all_ok
        again = self.raw.getMulti(["a"])
        again._set_single()
        assert self.told(again).value == 1

    def test_defer(self) -> None:
        """`defer` gives a Deferred of it; an outcome is told only once."""
        assert self.memory.result(self.raw.defer(self.raw.upsert("k", 1))).success
        with pytest.raises(NotFoundError):
            self.memory.result(self.raw.defer(self.raw.get("no")))
        pending = self.raw.get("k")
        self.told(pending)
        with pytest.raises(ArgumentError, match="told"):
            self.raw.defer(pending)

    def test_late_callbacks(self) -> None:
        """Callbacks that are set when the outcome is there are called at once."""
        refused = self.raw.get("")
        assert len(self.told(refused)) == 4
        cleared = self.raw.get("no")
        cleared.set_callbacks(self.fail, self.fail)
        cleared.clear_callbacks()
        self.memory.reactor.advance(0)
        assert self.told(cleared)[1] is NotFoundError

    def test_unhandled(self) -> None:
        """An error that nobody asks for is logged, as an unhandled error of a Deferred is."""
        pending: Any = self.raw.get("no")
        self.memory.reactor.advance(0)
        assert isinstance(pending, AsyncResult)
        pending = None
        gc.collect()
        logged = self.flushLoggedErrors(NotFoundError)  # type: ignore[no-untyped-call]
        assert len(logged) == 1

    def test_the_bucket(self) -> None:
        """It has all that a Bucket has."""
        assert self.raw.connected
        assert "connected" in dir(self.raw)
        assert "RawBucket of <" in repr(self.raw)
        with pytest.raises(AttributeError):
            _ = self.raw.nosuch
        shared = RawBucket(
            "couchbase://127.0.0.1/other",
            username="user",
            password="password",
            reactor=self.memory.reactor,
            shared=False,
        )
        assert shared.bucket == "other"
        shared._close()
