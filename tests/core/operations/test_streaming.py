"""Streams of keys against bytes, in virtual time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import (
    CouchbaseError,
    CouchbaseInternalError,
    ObjectDestroyedError,
    UnambiguousTimeoutError,
)
from couchloop.operations import streams
from couchloop.operations.stream import END, SLICE, Cancelled, Look, Stream
from couchloop.settings.values import Address
from tests.core.session.support import FIRST, SECOND, THIRD, opened
from tests.core.world import World
from tests.garbage import release
from tests.share import share


def take(w: World, stream: Stream[Any]) -> Any:
    """Return the next result, in no time."""
    pull = w.submit(stream.pull())
    w.advance(0.0)
    assert pull.done
    return pull.result()


def take_all(w: World, stream: Stream[Any], seconds: float = 0.0) -> list[Any]:
    """Return all results, within so many seconds."""
    found: list[Any] = []
    while True:
        pull = w.submit(stream.pull())
        w.advance(0.0)
        if not pull.done:
            w.advance(seconds)
        assert pull.done
        result = pull.result()
        if result is END:
            return found
        found.append(result)
        while stream.ready:
            found.append(stream.take())


def pairs(count: int) -> Iterator[tuple[str, int]]:
    """Return so many documents."""
    return ((f"k{number}", number) for number in range(count))


@settings(max_examples=share(20), deadline=None)
@given(
    count=st.integers(0, 120),
    bad=st.sets(st.integers(0, 120), max_size=5),
    in_flight=st.integers(1, 100),
    max_bytes=st.sampled_from([1, 100, 1 << 20]),
    losses=st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from([FIRST, SECOND, THIRD]), st.booleans()),
        max_size=3,
    ),
    seed=st.one_of(st.none(), st.integers(0, 1000)),
)
def test_every_key_once(
    count: int,
    bad: set[int],
    in_flight: int,
    max_bytes: int,
    losses: list[tuple[int, Address, bool]],
    seed: int | None,
) -> None:
    """However answers are cut, and whatever fails meanwhile, each key has one result.

    What succeeded is stored; nothing is left of the rest.
    """
    cluster = EmbeddedCluster(nodes=3, seed=1, clock=ManualClock())
    w = opened(cluster, chop=None if seed is None else Random(seed))
    given_pairs = [(f"k{n}", {1} if n in bad else n) for n in range(count)]
    stream = streams.upsert_stream(
        w.defaults, iter(given_pairs), in_flight=in_flight, max_bytes=max_bytes
    )
    found: list[Any] = []
    for some, lost, waits in losses:
        wanted = len(found) + some
        while len(found) < wanted and not stream.is_over:
            pull = w.submit(stream.pull())
            w.advance(0.0 if pull.done else 3.0)
            result = pull.result()
            if result is not END:
                found.append(result)
        # What is on its way is lost with the connection.
        w.submit(stream.pull())
        w.session.handle_deadline(w.now)
        if lost in w.opened.values():
            w.lose(w.link_to(lost))
        w.advance(0.2 if waits else 0.0)
    found += take_all(w, stream, 5.0)
    assert sorted(each.key for each in found) == sorted(key for key, _ in given_pairs)
    w.advance(10.0)
    assert w.session.in_flight == 0
    for each in found:
        number = int(each.key[1:])
        if number in bad:
            assert isinstance(each.error, CouchbaseError)
        if each.success:
            stored = w.do(streams.get_stream.single(w.defaults, each.key))
            assert stored.value == number


def test_slices() -> None:
    """One turn issues no more than a slice, and reads no more; the next begins with another."""
    w = opened()
    stream = streams.upsert_stream(w.defaults, pairs(5000), in_flight=2000)
    pull = w.submit(stream.pull())
    assert w.session.in_flight == 0
    for turn in range(1, 5):
        w.session.handle_deadline(w.now)
        assert w.session.in_flight == turn * SLICE
    w.advance(0.0)
    assert pull.done
    assert len(stream.ready) == SLICE
    assert pull.result().success


def test_nothing_without_a_consumer() -> None:
    """Nothing is read of the iterable, or issued, unless somebody waits for a result."""
    w = opened()
    given_pairs = pairs(1000)
    stream = streams.upsert_stream(w.defaults, given_pairs, in_flight=10)
    w.advance(1.0)
    assert next(given_pairs) == ("k0", 0)
    take(w, stream)
    w.advance(1.0)
    assert w.session.in_flight == 0
    assert w.session.next_deadline() is None
    read = 1000 - sum(1 for _ in given_pairs)
    assert read < 50


def test_one_result_for_each_wait() -> None:
    """A wait gives what it waited for once; asked again it raises, and takes nothing of others."""
    w = opened()
    stream = streams.upsert_stream(w.defaults, pairs(200), in_flight=4)
    wait = w.submit(stream.pull())
    w.advance(0.0)
    first = wait.result()
    for _ in range(2):
        with pytest.raises(CouchbaseInternalError, match="taken already"):
            wait.result()
    keys = {first.key, *(each.key for each in take_all(w, stream))}
    assert len(keys) == 200
    assert take(w, stream) is END


def test_nothing_to_see() -> None:
    """Who looks for what others have taken is told so, and does not wait for ever."""
    w = opened()
    stream = streams.upsert_stream(w.defaults, pairs(9), in_flight=1)
    look = w.submit(Look(stream))
    w.advance(0.0)

    def look_on() -> None:
        for _ in range(9):
            look.result()
            stream.ready.clear()

    with pytest.raises(CouchbaseInternalError, match="taken already"):
        look_on()


def test_refused_within_user_code() -> None:
    """A wait that is refused while the stream is at work in code of the user's ends at once."""
    w = opened()
    errors: list[BaseException] = []

    def given_pairs() -> Iterator[tuple[str, int]]:
        yield "k", 1
        w.session.close(w.now)
        with pytest.raises(ObjectDestroyedError) as caught:
            w.submit(stream.pull()).result()
        errors.append(caught.value)

    stream = streams.upsert_stream(w.defaults, given_pairs())
    w.submit(stream.pull())
    w.advance(0.0)
    assert len(errors) == 1
    assert stream.can_take


def test_unreachable_node() -> None:
    """Keys of a node that is away fail by themselves, each in its own time; the others go on."""
    w = opened()
    w.unreachable.add(FIRST)
    w.lose(w.link_to(FIRST))
    stream = streams.upsert_stream(w.defaults, pairs(300), in_flight=400)
    found = take_all(w, stream, 3.0)
    assert len(found) == 300
    failed = [each for each in found if not each.success]
    assert all(isinstance(each.error, UnambiguousTimeoutError) for each in failed)
    assert {w.owner(each.key) for each in failed} == {FIRST}
    assert len(failed) == sum(w.owner(f"k{n}") == FIRST for n in range(300))


def test_expected_answers_count() -> None:
    """Reads are few until answers show how long they are, and then as many as fit the bytes."""
    w = opened()
    keys = [f"k{number}" for number in range(300)]
    for key in keys:
        w.do(streams.upsert_stream.single(w.defaults, key, Random(1).randbytes(5_000).hex()))
    most = 0

    def seen() -> Iterable[str]:
        nonlocal most
        for key in keys:
            most = max(most, w.session.in_flight)
            yield key

    stream = streams.get_stream(w.defaults, seen(), max_bytes=300_000)
    assert len(take_all(w, stream)) == 300
    assert 15 <= most <= 31


def test_nothing_is_left() -> None:
    """A stream that is closed lets go of all; operations in flight hold no consumer."""
    w = opened()

    class Mark:
        """Something whose end can be seen."""

    def given_pairs(mark: Mark) -> Iterator[tuple[str, object]]:
        yield from pairs(5000)
        yield "mark", mark

    mark = Mark()
    gone = weakref.ref(mark)
    stream = streams.upsert_stream(w.defaults, given_pairs(mark))
    del mark
    take(w, stream)
    stream.ready.clear()
    waiting = w.submit(stream.pull())
    w.session.handle_deadline(w.now)
    gc.collect()
    gc.disable()
    try:
        flying, farewells = stream.close()
        assert flying
        assert farewells == []
        w.session.cancel_batch(Cancelled(stream, flying))
        release()
        assert gone() is None
    finally:
        gc.enable()
    w.advance(10.0)
    w.assert_idle()
    assert waiting.result() is END


def test_errors_tell_of_their_key() -> None:
    """A result's error names operation and key, and does not point back to the result."""
    w = opened()
    (missing,) = take_all(w, streams.get_stream(w.defaults, ["no"]))
    assert missing.error.key == "no"
    assert missing.error.context.operation == "get"
    assert missing.error.result is None
    assert missing.rc == missing.error.rc
    assert repr(missing).startswith("ValueResult(key='no'")
