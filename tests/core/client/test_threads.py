"""Calls of plain threads, with locks and a loop that do as the test says."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from weakref import ref

import pytest

from couchloop.client.crossing import Call, Crossing
from couchloop.client.thread_managers import (
    ThreadSafeAdmin,
    ThreadSafeAnalyticsIndexManager,
    ThreadSafeBucketManager,
    ThreadSafeCollectionManager,
    ThreadSafeCollectionQueryIndexManager,
    ThreadSafeDesignManager,
    ThreadSafeEventingFunctionManager,
    ThreadSafeQueryIndexManager,
    ThreadSafeSearchIndexManager,
    ThreadSafeUserManager,
    ThreadSafeViewIndexManager,
)
from couchloop.client.threads import ThreadSafeBucket, ThreadSafeCluster
from couchloop.exceptions import (
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    CouchbaseError,
    EmptyKeyError,
    ForkedProcessError,
    InvalidTimeoutError,
    NotFoundError,
    ObjectDestroyedError,
    PipelineError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    WrongLoopError,
)
from couchloop.hot.batch import Bulk
from tests.core.world import World, defaults
from tests.garbage import release
from tests.signatures import check_methods


class Loop(Crossing):
    """A loop; what it does while a thread waits is *meanwhile*."""

    def __init__(self, meanwhile: Callable[[Loop, Call[Any]], None] = lambda *_: None) -> None:
        self.meanwhile = meanwhile
        self.here = False
        self.running = True
        self.waited = 0.0
        self.released = False
        self.calls: list[Call[Any]] = []
        self.withdrawn: list[Call[Any]] = []
        self.number = 1
        self.soon_calls: list[Callable[[], None]] = []

    def make_lock(self) -> Loop:
        return self

    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool:
        """Be the lock of the only call."""
        if self.calls:
            self.waited += timeout if blocking else 0.0
            self.meanwhile(self, self.calls[-1])
        return self.released or not self.calls

    def release(self) -> None:
        self.released = True

    def is_here(self) -> bool:
        return self.here

    def is_running(self) -> bool:
        return self.running

    def thread(self) -> int:
        return self.number

    def soon(self, call: Callable[[], None]) -> None:
        self.soon_calls.append(call)

    def send(self, call: Call[Any]) -> None:
        self.calls.append(call)

    def withdraw(self, call: Call[Any]) -> None:
        self.withdrawn.append(call)


class Bucket:
    """What a handle needs of a Bucket."""

    bucket = "default"
    connected = True
    closed = False

    def __init__(self) -> None:
        self._defaults = defaults()
        self._driver = SimpleNamespace(session=World().session)


def handle(loop: Loop) -> ThreadSafeBucket:
    """Return a handle on a Bucket of *loop*."""
    return ThreadSafeBucket(cast(Any, Bucket()), lambda _: loop, lambda _: loop)


def test_result_and_error() -> None:
    """A call gives what the loop hands it, or raises that; nothing is withdrawn then."""
    loop = Loop(lambda _, call: call.succeed(7))
    assert cast(Any, handle(loop).get("k")) == 7
    failing = Loop(lambda _, call: call.fail(NotFoundError("no")))
    with pytest.raises(NotFoundError):
        handle(failing).get("k")
    assert not loop.withdrawn
    assert not failing.withdrawn


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda handle: handle.get("k", timeout=1), UnambiguousTimeoutError),
        (lambda handle: handle.upsert("k", 1, timeout=1), AmbiguousTimeoutError),
        (lambda handle: handle.get_multi(["a", "b"], timeout=1), UnambiguousTimeoutError),
        (lambda handle: handle.upsert_multi({"a": 1, "b": 1}, timeout=1), AmbiguousTimeoutError),
        (lambda handle: handle.wait_until_ready(1), UnambiguousTimeoutError),
    ],
)
def test_a_loop_that_stands_still(
    call: Callable[[ThreadSafeBucket], object], kind: type[CouchbaseError]
) -> None:
    """Five seconds after its own time a call gives up, ambiguous unless it changes nothing."""
    loop = Loop()
    with pytest.raises(CouchbaseError, match="did not answer in time") as caught:
        call(handle(loop))
    assert type(caught.value) is kind
    assert loop.waited == pytest.approx(6.0)
    assert loop.withdrawn == loop.calls
    assert loop.calls[0].given_up


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda handle: handle.get("k"), RequestCanceledError),
        (lambda handle: handle.upsert("k", 1), AmbiguousRequestCanceledError),
    ],
)
def test_a_loop_that_stops(
    call: Callable[[ThreadSafeBucket], object], kind: type[CouchbaseError]
) -> None:
    """Who waits when the loop stops is told within half a second; later calls are not sent."""

    def stop(loop: Loop, _: object) -> None:
        loop.running = False

    loop = Loop(stop)
    own = handle(loop)
    with pytest.raises(RequestCanceledError, match="has stopped") as caught:
        call(own)
    assert type(caught.value) is kind
    assert loop.waited <= 0.5
    with pytest.raises(RequestCanceledError, match="nothing was sent"):
        call(own)
    assert len(loop.calls) == 1


def test_an_answer_at_the_last_moment() -> None:
    """What the loop has answered when it stops is not lost."""

    def answer(loop: Loop, call: Call[Any]) -> None:
        if not loop.running:
            call.succeed(3)
        loop.running = False

    loop = Loop(answer)
    assert cast(Any, handle(loop).get("k")) == 3


def test_an_interrupted_thread() -> None:
    """Whatever is raised in the thread while it waits cancels the call, and goes on its way."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    loop = Loop(interrupt)
    with pytest.raises(KeyboardInterrupt):
        handle(loop).get("k")
    assert loop.withdrawn == loop.calls
    assert loop.calls[0].pending.owner is None


def test_refused() -> None:
    """In the loop's own thread, and with bad arguments, nothing is handed to the loop."""
    loop = Loop()
    own = handle(loop)
    with pytest.raises(EmptyKeyError):
        own.get("")
    with pytest.raises(InvalidTimeoutError):
        own.get("k", timeout=0)
    loop.here = True
    with pytest.raises(WrongLoopError, match="other threads"):
        own.get("k")
    assert not loop.calls


def test_a_bucket_that_is_closed() -> None:
    """A closed Bucket, and one of the process before a fork, are told at once: no loop is asked."""
    for kind in (ObjectDestroyedError, ForkedProcessError):
        loop = Loop()
        own = handle(loop)
        session = own._target._driver.session
        if kind is ForkedProcessError:
            session.forked()
        else:
            session.close(0.0)
        for _ in range(2):
            with pytest.raises(CouchbaseError) as caught:
                own.get("k")
            assert type(caught.value) is kind
        assert not loop.calls


def test_errors_keep_no_bucket() -> None:
    """Exceptions that are stored, tracebacks and all, keep neither Bucket nor handle."""

    def stop(loop: Loop, _: object) -> None:
        loop.running = False

    kept: list[BaseException] = []
    gc.collect()
    gc.disable()
    try:
        for loop in (Loop(stop), Loop(), Loop(lambda _, call: call.fail(NotFoundError("no")))):
            held = [handle(loop)]
            gone = ref(held[0]._target)
            for key, here in (("k", False), ("", False), ("k", True)):
                loop.here = here
                try:
                    held[0].get(key)
                except CouchbaseError as error:
                    kept.append(error)
            held.clear()
            loop.calls.clear()
            release()
            assert gone() is None
    finally:
        gc.enable()
    assert len(kept) == 9
    assert all(error.__traceback__ for error in kept)


def test_interrupted_while_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT while a thread encodes a large batch goes on its way, and keeps no Bucket."""

    def interrupted(_: Bulk[Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Bulk, "prepare", interrupted)
    loop = Loop()
    held = [handle(loop)]
    gone = ref(held[0]._target)
    with pytest.raises(KeyboardInterrupt) as caught:
        held[0].upsert_multi(dict.fromkeys(map(str, range(2000)), 1))
    held.clear()
    release()
    assert gone() is None
    assert caught.value.__traceback__
    assert not loop.calls


def test_methods() -> None:
    """Threads have every operation, with the builder's arguments; a method gives the result."""
    own = handle(Loop())
    assert (own.bucket, own.connected, own.closed) == ("default", True, False)
    assert repr(own).startswith("<ThreadSafeBucket of <")
    check_methods(
        ThreadSafeBucket,
        ThreadSafeCollectionManager,
        lambda result: result,
        ThreadSafeCluster,
        {
            "AdminMethods": ThreadSafeAdmin,
            "AnalyticsIndexManagerMethods": ThreadSafeAnalyticsIndexManager,
            "BucketManagerMethods": ThreadSafeBucketManager,
            "CollectionManagerMethods": ThreadSafeCollectionManager,
            "CollectionQueryIndexManagerMethods": ThreadSafeCollectionQueryIndexManager,
            "DesignMethods": ThreadSafeDesignManager,
            "N1qlIndexMethods": ThreadSafeDesignManager,
            "QueryIndexManagerMethods": ThreadSafeQueryIndexManager,
            "EventingFunctionManagerMethods": ThreadSafeEventingFunctionManager,
            "SearchIndexManagerMethods": ThreadSafeSearchIndexManager,
            "UserManagerMethods": ThreadSafeUserManager,
            "ViewIndexManagerMethods": ThreadSafeViewIndexManager,
        },
    )


class TestPipeline:
    """Calls of one thread that do not wait for each other."""

    def test_results(self) -> None:
        """Within it calls give None; at its end all are waited for, in their order."""
        loop = Loop()
        threads = handle(loop)
        with threads.pipeline() as pipeline:
            assert cast(Any, threads.get("a")) is None
            assert cast(Any, threads.get("b")) is None
            assert [call.pending.key for call in loop.calls] == ["a", "b"]  # type: ignore[attr-defined]
            for number, call in enumerate(loop.calls):
                call.succeed(number)
        assert pipeline.results == [0, 1]
        with pytest.raises(PipelineError, match="used once"), pipeline:
            pass

    def test_left_wrongly(self) -> None:
        """What is not open cannot be left, and the one that is open stays so."""
        loop = Loop()
        threads = handle(loop)
        used = threads.pipeline()
        with used:
            pass
        with threads.pipeline() as pipeline:
            for each in (used, threads.pipeline()):
                with pytest.raises(PipelineError, match="not open"):
                    each.__exit__(None, None, None)
            assert cast(Any, threads.get("a")) is None
            loop.calls[0].succeed(1)
        assert pipeline.results == [1]

    def test_other_threads(self) -> None:
        """Another thread's calls wait as ever; one thread has one pipeline at a time."""
        loop = Loop(lambda _, call: call.succeed(7))
        threads = handle(loop)
        with threads.pipeline():
            with pytest.raises(PipelineError, match="end it first"), threads.pipeline():
                pass
            loop.number = 2
            assert cast(Any, threads.get("k")) == 7
            loop.number = 1
        assert cast(Any, threads.get("k")) == 7

    def test_first_failure(self) -> None:
        """What failed first is raised, unless the body has raised; results have them all."""
        loop = Loop()
        threads = handle(loop)
        with pytest.raises(NotFoundError), threads.pipeline() as pipeline:  # noqa: PT012 - a block
            threads.get("a")
            threads.get("b")
            loop.calls[0].succeed(1)
            loop.calls[1].fail(NotFoundError("no"))
        assert pipeline.results == [1, None]
        with pytest.raises(LookupError), threads.pipeline():  # noqa: PT012 - a block
            threads.get("a")
            loop.calls[-1].fail(NotFoundError("no"))
            raise LookupError

    @pytest.mark.parametrize("runs", [True, False])
    def test_a_loop_that_does_not_answer(self, runs: bool) -> None:
        """All calls end within the time of one: the loop would not answer the others either."""
        loop = Loop()
        threads = handle(loop)
        pipeline = threads.pipeline()
        pipeline.__enter__()
        for number in range(50):
            threads.get(f"k{number}", timeout=1)
        loop.running = runs
        with pytest.raises(UnambiguousTimeoutError if runs else RequestCanceledError):
            pipeline.__exit__(None, None, None)
        assert loop.waited <= 6.0
        assert pipeline.results == [None] * 50
        assert loop.withdrawn == loop.calls


class TestStream:
    """A stream whose loop does not answer."""

    @pytest.mark.parametrize("runs", [True, False])
    def test_a_loop_that_does_not_answer(self, runs: bool) -> None:
        """It gives up five seconds after the time that its operations have."""
        loop = Loop()
        stream = handle(loop).get_stream(["a"], timeout=4)
        loop.running = runs
        with pytest.raises(UnambiguousTimeoutError if runs else RequestCanceledError):
            next(stream)
        assert loop.waited == pytest.approx(9.0 if runs else 0.5)

    def test_a_loop_that_makes_progress(self) -> None:
        """It waits as long as anything under way ends, as in a scan of empty vbuckets."""

        def answer(loop: Loop, _: Call[Any]) -> None:
            stream._stream.answered += loop.waited < 60.0

        loop = Loop(answer)
        stream = handle(loop).get_stream(["a"], timeout=4)
        with pytest.raises(UnambiguousTimeoutError):
            next(stream)
        assert loop.waited == pytest.approx(69.0, abs=1.0)

    def test_close(self) -> None:
        """Closing and forgetting a stream is handed to the loop, once."""
        loop = Loop()
        stream = handle(loop).get_stream(["a"])
        stream.close()
        stream.close()
        assert stream.closed
        assert list(stream) == []
        assert len(loop.soon_calls) == 1
        handle(loop).get_stream(["a"])
        gc.collect()
        assert len(loop.soon_calls) == 2

    def test_wrong_thread(self) -> None:
        """The loop's own thread is refused, also where the stream was made elsewhere."""
        loop = Loop()
        stream = handle(loop).get_stream(["a"])
        loop.here = True
        with pytest.raises(WrongLoopError):
            next(stream)
        with pytest.raises(WrongLoopError):
            handle(loop).get_stream(["a"])
