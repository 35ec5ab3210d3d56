"""Large batches in virtual time: slices, deadlines, order, and what happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.exceptions import (
    AmbiguousTimeoutError,
    ArgumentError,
    AuthError,
    CouchbaseError,
    ForkedProcessError,
    InvalidTtlError,
    KeyTooLongError,
    NodeNotAvailableError,
    NotFoundError,
    ObjectDestroyedError,
    RequestCanceledError,
    TooBigError,
    UnambiguousTimeoutError,
    ValueFormatError,
)
from couchloop.hot.batch import WHOLE, Bulk
from couchloop.hot.encoding import MAX_VALUE
from couchloop.hot.operation import TURN_BYTES, Defaults
from couchloop.items import Item, ItemSequence
from couchloop.operations import document as ops
from couchloop.retries import FailFast
from couchloop.session.bulk import SLICE
from couchloop.settings.values import Login, Wire
from couchloop.transcoder import FMT_BYTES, FMT_JSON, Transcoder
from tests.core.world import World
from tests.share import share

MANY = WHOLE + 700


class Counting(Transcoder):
    """Counts what it encodes and decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded = self.decoded = 0

    def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
        """Count one."""
        self.encoded += 1
        return super().encode_value(value, format)

    def decode_value(self, value: Any, flags: int) -> Any:
        """Count one."""
        self.decoded += 1
        return super().decode_value(value, flags)


def documents(count: int = MANY, value: Any = 0) -> dict[Any, Any]:
    """Return so many documents."""
    return {f"k{number}": value for number in range(count)}


def opened(**arguments: Any) -> World:
    """Return a world whose bucket is open."""
    w = World(**arguments)
    w.open()
    return w


def sets(w: World) -> int:
    """Count the SETs that nodes have got."""
    return w.cluster.operations["SET"]


def failure(w: World, batch: Any) -> CouchbaseError:
    """Run a batch to its end; give its error."""
    with pytest.raises(CouchbaseError) as caught:
        w.do_batch(batch)
    return caught.value


def each_call(w: World, look: Callable[[], int]) -> list[int]:
    """Return a list that tells by how much *look* went up in each call into the session."""
    session = w.session
    steps: list[int] = []
    for name in ("receive_data", "handle_deadline", "submit_batch", "connected", "resumed"):
        method = getattr(session, name)

        def call(*arguments: Any, method: Any = method) -> None:
            before = look()
            method(*arguments)
            steps.append(look() - before)

        setattr(session, name, call)
    return steps


class TestSlices:
    """What is done in one turn of the loop."""

    @pytest.mark.parametrize("is_open", [True, False])
    def test_no_turn_does_more_than_a_slice(self, *, is_open: bool) -> None:
        """However many documents there are, each call into the session encodes and reads few."""
        w = opened() if is_open else World()
        transcoder = Counting()
        settings = Defaults(transcoder, FMT_JSON)
        steps = each_call(w, lambda: transcoder.encoded + transcoder.decoded)
        batch = w.submit(ops.upsert_multi(settings, documents()))
        assert isinstance(batch, Bulk)
        if not is_open:
            w.open()
        w.advance(0.0)
        assert batch.result().all_ok
        results = w.do_batch(ops.get_multi(settings, list(documents())))
        assert list(results) == list(documents())
        assert all(result.value == 0 for result in results.values())
        assert transcoder.encoded == transcoder.decoded == MANY
        # Answers that were waiting are read as well as the next slice is built.
        assert max(steps) <= 3 * SLICE
        w.assert_idle()

    def test_large_values(self) -> None:
        """A batch of few keys and many bytes is sent in slices as well."""
        w = opened()
        values = documents(64, "v" * 100_000)
        batch = ops.upsert_multi(w.defaults, values)
        assert isinstance(batch, Bulk)
        assert w.do_batch(batch).all_ok
        assert sets(w) == 64
        w.assert_idle()
        as_bytes = ops.upsert_multi(w.defaults, documents(64, bytes(100_000)), format=FMT_BYTES)
        assert not isinstance(as_bytes, Bulk), "nothing has to be encoded"

    def test_a_small_batch_is_whole(self) -> None:
        """A batch that takes little is written at once."""
        assert not isinstance(ops.upsert_multi(World().defaults, documents(WHOLE)), Bulk)
        assert isinstance(ops.upsert_multi(World().defaults, documents(WHOLE + 1)), Bulk)

    def test_before_the_bucket_is_open(self) -> None:
        """Until it is open one operation waits, and nothing else is encoded."""
        w = World()
        transcoder = Counting()
        batch = w.submit(ops.upsert_multi(Defaults(transcoder, FMT_JSON), documents()))
        assert transcoder.encoded == w.session.parking.operations == 1
        assert w.session.queued[0] == MANY
        w.open()
        w.advance(0.0)
        assert batch.result().all_ok
        assert w.session.queued == (0, 0)

    def test_the_mapping_is_copied(self) -> None:
        """What becomes of the mapping after the call does not matter."""
        w = opened()
        values = documents(value=1)
        batch = w.submit(ops.upsert_multi(w.defaults, values))
        values.clear()
        values["other"] = 2
        w.advance(0.0)
        assert list(batch.result()) == list(documents())
        assert w.do(ops.get(w.defaults, f"k{MANY - 1}")).value == 1
        assert w.do(ops.get(w.defaults, "other", quiet=True)).value is None

    def test_several_at_once(self) -> None:
        """Many batches share the turns: no call into the session does more for all that."""
        w = opened()
        transcoder = Counting()
        settings = Defaults(transcoder, FMT_JSON)
        batches = [w.submit(ops.upsert_multi(settings, documents())) for _ in range(6)]
        steps = each_call(w, lambda: transcoder.encoded)
        w.advance(0.0)
        assert all(batch.result().all_ok for batch in batches)
        assert max(steps) <= 2 * SLICE
        w.assert_idle()

    @pytest.mark.parametrize(
        "make",
        [
            lambda d, keys: ops.get_multi(d, keys, quiet=True),
            lambda d, keys: ops.insert_multi(d, dict.fromkeys(keys, 1)),
            lambda d, keys: ops.remove_multi(d, keys, quiet=True),
            lambda d, keys: ops.counter_multi(d, keys, initial=1),
        ],
    )
    def test_every_kind(self, make: Callable[..., Any]) -> None:
        """All `_multi` forms are sent in slices."""
        w = opened()
        batch = make(w.defaults, list(documents()))
        assert isinstance(batch, Bulk)
        assert list(w.do_batch(batch)) == list(documents())
        w.assert_idle()


class TestLongAnswers:
    """Batches that are sent whole, and whose answers are long."""

    LONG = 60_000
    """Bytes of a document: five of them are more than a turn reads."""
    COUNT = 60

    def batch(self, w: World, transcoder: Transcoder, **arguments: Any) -> Any:
        """Store the documents; return a batch that gets them."""
        stored = ops.upsert_multi(w.defaults, documents(self.COUNT, "v" * self.LONG))
        assert w.do_batch(stored).all_ok
        settings = Defaults(transcoder, FMT_JSON, **arguments)
        return ops.get_multi(settings, list(documents(self.COUNT)))

    @pytest.mark.parametrize("compression", ["on", "off"])
    def test_read_in_slices(self, compression: str) -> None:
        """No call into the session reads more than a slice, of bytes as they are inflated."""
        w = opened(wire=Wire(compression=compression))
        transcoder = Counting()
        batch = self.batch(w, transcoder)
        assert w.session.settings.wire.deflates is (compression == "on")
        assert not isinstance(batch, Bulk)
        steps = each_call(w, lambda: transcoder.decoded)
        results = w.do_batch(batch)
        assert list(results) == list(documents(self.COUNT))
        assert all(result.value == "v" * self.LONG for result in results.values())
        assert transcoder.decoded == self.COUNT
        assert max(steps) <= TURN_BYTES // self.LONG + 1
        w.assert_idle()

    def test_others_are_first(self) -> None:
        """What is issued while it is read is answered before its end."""
        w = opened()
        w.do(ops.upsert(w.defaults, "other", 1))
        order: list[Any] = []
        other: list[Any] = []

        class Asking(Counting):
            def decode_value(self, value: Any, flags: int) -> Any:
                if not self.decoded:
                    other.append(w.submit(ops.get(w.defaults, "other")))
                return super().decode_value(value, flags)

        batch = self.batch(w, Asking())
        w.on_delivered = order.append
        w.submit(batch)
        w.advance(0.0)
        assert order == [other[0], batch]
        assert batch.result().all_ok

    def test_short_answers_are_told_at_once(self) -> None:
        """A batch of short documents, and one of failures, need no turns."""
        w = opened()
        w.do_batch(ops.upsert_multi(w.defaults, documents(10)))
        for batch in (
            ops.get_multi(w.defaults, list(documents(10))),
            ops.get_multi(w.defaults, ["none"], quiet=True),
        ):
            w.do_batch(batch)
            assert not batch.is_reading
        with pytest.raises(NotFoundError):
            w.do_batch(ops.get_multi(w.defaults, ["none", "k1"]))
        w.assert_idle()

    @pytest.mark.parametrize("place", [0, 17, 59])
    def test_failures(self, place: int) -> None:
        """A key that is missing, or cannot be read, fails as in a short batch."""
        w = opened()

        class Unable(Transcoder):
            def decode_value(self, value: Any, flags: int) -> Any:
                if bytes(value) == b'"unreadable"':
                    raise LookupError("by the user")
                return super().decode_value(value, flags)

        batch = self.batch(w, Unable())
        w.do(ops.remove(w.defaults, f"k{place}"))
        w.do(ops.upsert(w.defaults, "k30", "unreadable"))
        error = failure(w, batch)
        assert isinstance(error, NotFoundError if place < 30 else ValueFormatError)
        assert error.key == f"k{min(place, 30)}"
        good, bad = error.split_results()
        assert set(bad) == {f"k{place}", "k30"}
        assert len(good) == self.COUNT - 2
        # As often as asked.
        with pytest.raises(type(error)):
            batch.result()

    def test_a_transcoder_that_is_interrupted(self) -> None:
        """What is no error of its own goes on to who is there, and the caller has his answer."""
        w = opened()

        class Interrupted(Counting):
            def decode_value(self, value: Any, flags: int) -> Any:
                if self.decoded == 20:
                    self.decoded += 1
                    raise KeyboardInterrupt
                return super().decode_value(value, flags)

        batch = self.batch(w, Interrupted())
        w.submit(batch)
        with pytest.raises(KeyboardInterrupt):
            w.advance(0.0)
        w.advance(0.0)
        assert batch.done
        assert batch in w.delivered
        assert batch.result().all_ok
        w.assert_idle()

    def test_cancelled(self) -> None:
        """A caller that goes away while it is read is not told, and nothing is left."""
        w = opened()

        class Leaving(Counting):
            def decode_value(self, value: Any, flags: int) -> Any:
                if self.decoded == 10:
                    w.session.cancel_batch(batch)
                return super().decode_value(value, flags)

        transcoder = Leaving()
        batch = self.batch(w, transcoder)
        w.submit(batch)
        w.advance(0.0)
        assert batch not in w.delivered
        assert transcoder.decoded < self.COUNT
        w.assert_idle()

    def test_closed(self) -> None:
        """When the session ends what was answered is told: no turn comes any more."""
        w = opened()

        class Closing(Counting):
            def decode_value(self, value: Any, flags: int) -> Any:
                if self.decoded == 10:
                    w.session.close(w.now)
                return super().decode_value(value, flags)

        batch = self.batch(w, Closing())
        w.submit(batch)
        w.advance(0.0)
        assert w.delivered.count(batch) == 1
        assert batch.result().all_ok

    def test_items(self) -> None:
        """Items are filled in slices as well."""
        w = opened()
        self.batch(w, Transcoder())
        items = [Item(f"k{number}") for number in range(self.COUNT)]
        batch = ops.get_multi(w.defaults, ItemSequence(items))
        w.do_batch(batch)
        assert [item.value for item in items] == ["v" * self.LONG] * self.COUNT


class TestTime:
    """Whose time runs when."""

    def test_slow_but_steady(self) -> None:
        """A slice's time starts when it is issued: a batch may take longer than one timeout."""
        w = opened()
        batch = w.submit(ops.upsert_multi(w.defaults, documents(), timeout=1.0))
        began = w.now
        while not batch.done:
            # The network takes 0.9 seconds there and back.
            w.clock.advance(0.9)
            w.session.handle_deadline(w.now)
            for number, data in w.session.take_output():
                w.links[number].receive_data(data)
            for number, link in list(w.links.items()):
                if data := link.data_to_send():
                    w.session.receive_data(number, data, w.now)
            w.session.take_events()
        assert batch.result().all_ok
        assert w.now - began > 2.0

    def test_a_cluster_that_cannot_be_reached(self) -> None:
        """Where no node takes anything, the batch ends when the time of its oldest key is over."""
        w = World(config_total_timeout=60.0)
        w.unanswering.update(w.nodes)
        batch = w.submit(ops.upsert_multi(w.defaults, documents(), timeout=3.0))
        w.advance(2.9)
        assert not batch.done
        w.advance(0.2)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            batch.result()
        error = caught.value
        assert error.key == "k0"
        assert {result.rc for result in (error.all_results or {}).values()} == {0x17}
        assert len(error.all_results or ()) == MANY
        assert not w.session.queued[0]

    def test_a_node_that_is_down(self) -> None:
        """Keys of a node that is down fail within one timeout; all others are stored before."""
        w = opened()
        down = list(w.nodes)[1]
        w.unreachable.add(down)
        w.lose(w.link_to(down))
        batch = w.submit(ops.upsert_multi(w.defaults, documents(), timeout=2.0))
        w.advance(0.0)
        lost = {key for key in documents() if w.owner(key) == down}
        assert batch.remaining == len(lost)
        w.advance(1.9)
        assert not batch.done
        w.advance(0.2)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            batch.result()
        good, bad = caught.value.split_results()
        assert set(bad) == lost
        assert len(good) == MANY - len(lost)
        assert caught.value.context is not None
        assert caught.value.context.bucket == "default"
        assert caught.value.key in lost

    def test_a_node_that_hangs(self) -> None:
        """A node that hangs gets few operations, and its keys end within one timeout as well."""
        w = opened()
        hung = w.cluster.nodes[1]
        address = next(a for a, node in w.nodes.items() if node is hung)
        w.cluster.hang(hung)
        batch = w.submit(ops.upsert_multi(w.defaults, documents(), timeout=2.0))
        w.advance(2.1)
        assert batch.done
        with pytest.raises(CouchbaseError) as caught:
            batch.result()
        assert isinstance(caught.value, AmbiguousTimeoutError | UnambiguousTimeoutError)
        _, bad = caught.value.split_results()
        assert set(bad) == {key for key in documents() if w.owner(key) == address}

    def test_a_node_that_comes_back(self) -> None:
        """A node that comes back in time gets what waits for it."""
        w = opened()
        down = list(w.nodes)[1]
        w.unreachable.add(down)
        w.lose(w.link_to(down))
        batch = w.submit(ops.upsert_multi(w.defaults, documents(), timeout=5.0))
        w.advance(3.0)
        assert not batch.done
        w.unreachable.clear()
        w.advance(2.0)
        assert batch.result().all_ok

    def test_a_strategy_that_does_not_wait(self) -> None:
        """FailFast holds for each key whose node is not there."""
        w = opened()
        down = list(w.nodes)[1]
        w.unreachable.add(down)
        w.lose(w.link_to(down))
        error = failure(w, ops.upsert_multi(w.defaults, documents(), retry_strategy=FailFast()))
        assert isinstance(error, NodeNotAvailableError)
        _, bad = error.split_results()
        assert set(bad) == {key for key in documents() if w.owner(key) == down}

    def test_opening_that_fails(self) -> None:
        """Where the bucket cannot be opened, all keys fail for that reason."""
        w = World(login=Login("user", "wrong"))
        batch = w.submit(ops.get_multi(w.defaults, list(documents())))
        w.session.start(w.now)
        w.advance(1.0)
        with pytest.raises(AuthError):
            batch.result()


class TestKeys:
    """Which keys a batch has."""

    @pytest.mark.parametrize("again", [5, MANY - 1, 0])
    def test_named_twice(self, again: int) -> None:
        """A key that is named twice is sent once, with a warning."""
        w = opened()
        keys = [*documents(MANY), "other", f"k{again}", *documents(10)]
        with pytest.warns(RuntimeWarning, match="sent once"):
            results = w.do_batch(ops.counter_multi(w.defaults, keys, initial=1))
        assert list(results) == [*documents(MANY), "other"]
        assert {result.value for result in results.values()} == {1}
        assert w.cluster.operations["INCREMENT"] == MANY + 1
        w.assert_idle()

    def test_no_keys(self) -> None:
        """What can be no key of a dict is an argument that is wrong."""
        w = opened()
        keys: list[Any] = [*documents(), ["list"]]
        batch = w.submit(ops.get_multi(w.defaults, keys))
        w.advance(0.0)
        with pytest.raises(ArgumentError, match="unhashable"):
            batch.result()
        w.assert_idle()


class TestOrder:
    """Same-key order, and what waits."""

    @pytest.mark.parametrize("key", [f"k{MANY - 1}", f"k{MANY - 1}".encode()])
    def test_a_later_operation(self, key: Any) -> None:
        """An operation on a key that waits in a batch is written after it, in any type of key."""
        w = World()
        batch = w.submit(ops.upsert_multi(w.defaults, documents(value=1)))
        read = w.submit(ops.get(w.defaults, key))
        changed = w.submit(ops.upsert(w.defaults, key, 2))
        w.open()
        w.advance(0.0)
        assert batch.result().all_ok
        assert read.result().value == 1
        assert changed.result().success
        assert w.do(ops.get(w.defaults, key)).value == 2

    def test_a_later_batch(self) -> None:
        """So is a batch on the same keys, whichever gets its turn first."""
        w = opened()
        backwards = dict(reversed(list(documents(value=2).items())))
        first = w.submit(ops.upsert_multi(w.defaults, documents(value=1)))
        second = w.submit(ops.upsert_multi(w.defaults, backwards))
        small = w.submit(ops.upsert_multi(w.defaults, {"k5": 3, f"k{MANY - 5}": 3}))
        w.advance(0.0)
        assert all(batch.result().all_ok for batch in (first, second, small))
        values = {
            k: r.value for k, r in w.do_batch(ops.get_multi(w.defaults, list(backwards))).items()
        }
        assert values == {**documents(value=2), "k5": 3, f"k{MANY - 5}": 3}

    def test_a_transcoder_of_keys(self) -> None:
        """What counts are the bytes of the key, as a transcoder makes them."""

        class Lower(Transcoder):
            def encode_key(self, key: str | bytes) -> bytes:
                return super().encode_key(key).lower()

        w = World()
        settings = Defaults(Lower(), FMT_JSON)
        batch = w.submit(ops.upsert_multi(settings, documents(value=1)))
        w.submit(ops.upsert(settings, f"K{MANY - 1}", 2))
        w.open()
        w.advance(0.0)
        assert batch.result().all_ok
        assert w.do(ops.get(w.defaults, f"k{MANY - 1}")).value == 2

    @settings(max_examples=share(20), deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("bulk"), st.integers(0, 400), st.integers(1001, 1400)),
                st.tuples(st.just("one"), st.integers(0, 1500), st.just(0)),
                st.tuples(st.just("pause"), st.integers(0, 2), st.just(0)),
                st.tuples(st.just("turn"), st.just(0), st.just(0)),
            ),
            max_size=12,
        )
    )
    def test_the_last_one_wins(self, steps: list[tuple[str, int, int]]) -> None:
        """Whatever is issued in whatever order, each key has the value that it was given last."""
        w = World()
        last: dict[str, int] = {}
        pending: list[Any] = []
        for number, (what, where, count) in enumerate(steps):
            addresses = list(w.session.addresses)
            if what == "bulk":
                values: dict[Any, Any] = {f"k{n}": number for n in range(where, where + count)}
                last.update(values)
                pending.append(w.submit(ops.upsert_multi(w.defaults, values, timeout=60)))
            elif what == "one":
                last[f"k{where}"] = number
                pending.append(w.submit(ops.upsert(w.defaults, f"k{where}", number, timeout=60)))
            elif what == "turn":
                w.session.handle_deadline(w.now)
                w.settle()
            elif addresses and what == "pause":
                w.session.paused(w.link_to(addresses[where]))
        for connection in list(w.links):
            w.session.resumed(connection, w.now)
        w.advance(1.0)
        assert all(one.done for one in pending)
        for one in pending:
            one.result()
        for key, value in last.items():
            assert w.do(ops.get(w.defaults, key)).value == value


class TestBackpressure:
    """Batches and the limits of what may wait."""

    def test_what_it_holds_back_is_not_refused(self) -> None:
        """A batch of more than may wait is done: what a node does not take is not even queued."""
        w = opened(max_queued_operations=100)
        for connection in w.session.connections:
            w.session.paused(connection.id)
        batch = w.submit(ops.upsert_multi(w.defaults, documents()))
        w.advance(1.0)
        assert not batch.done
        assert w.session.parking.operations <= len(w.nodes)
        assert w.session.queued[0] == MANY
        for connection in w.session.connections:
            w.session.resumed(connection.id, w.now)
        w.advance(0.0)
        assert batch.result().all_ok
        w.assert_idle()

    def test_queued_bytes(self) -> None:
        """What waits in batches counts as queued, its bytes by the mean of what was encoded."""
        w = World()
        w.submit(ops.upsert_multi(w.defaults, documents(2000, bytes(1000)), format=FMT_BYTES))
        operations, size = w.session.queued
        assert operations == 2000
        assert 2_000_000 < size < 2_100_000


class TestFailures:
    """Keys that fail by themselves."""

    def test_what_cannot_be_sent(self) -> None:
        """Each is its own key's failure, wherever it stands; everything else is stored."""
        w = opened()
        values = documents()
        values["k7"] = {1}
        values[f"k{MANY - 7}"] = bytes(MAX_VALUE + 1)
        values["x" * 251] = 1
        values[5] = 1
        error = failure(w, ops.upsert_multi(w.defaults, values))
        assert isinstance(error, ValueFormatError)
        assert error.key == "k7"
        assert error.result is (error.all_results or {})["k7"]
        good, bad = error.split_results()
        assert set(bad) == {"k7", f"k{MANY - 7}", "x" * 251, 5}
        assert len(good) == MANY - 2
        w.assert_idle()

    def test_too_big(self) -> None:
        """A value above 20 MiB is refused, and nobody else notices."""
        w = opened()
        values: dict[Any, Any] = {"big": bytes(MAX_VALUE + 1), **documents(50, b"x")}
        error = failure(w, ops.upsert_multi(w.defaults, values, format=FMT_BYTES))
        assert isinstance(error, TooBigError)
        assert list(error.split_results()[1]) == ["big"]
        assert len(w.attempts) == len(w.nodes)

    @pytest.mark.parametrize("ttl", [-1, "x"])
    def test_an_argument_for_all(self, ttl: Any) -> None:
        """An argument for all keys that is wrong sends nothing."""
        w = opened()
        error = failure(w, ops.upsert_multi(w.defaults, documents(), ttl=ttl))
        assert isinstance(error, InvalidTtlError)
        assert not sets(w)
        w.assert_idle()

    def test_answers(self) -> None:
        """What the server refuses, and what cannot be read, is its key's failure alone."""
        w = opened()
        w.do_batch(ops.upsert_multi(w.defaults, documents(MANY - 1)))
        w.do(ops.upsert(w.defaults, "k5", b"{", format=FMT_BYTES))

        class Strict(Transcoder):
            def decode_value(self, value: Any, flags: int) -> Any:
                if bytes(value) == b"{":
                    raise RuntimeError("no")
                return super().decode_value(value, flags)

        error = failure(w, ops.get_multi(Defaults(Strict(), FMT_JSON), list(documents())))
        assert isinstance(error, ValueFormatError)
        good, bad = error.split_results()
        assert set(bad) == {"k5", f"k{MANY - 1}"}
        assert len(good) == MANY - 2

    def test_key_order_of_errors(self) -> None:
        """The error that is raised is that of the first key that failed, in the batch's order."""
        w = opened()
        values = documents()
        values["k1500"] = {1}
        values["y" * 251] = 1
        error = failure(w, ops.upsert_multi(w.defaults, values))
        assert (type(error), error.key) == (ValueFormatError, "k1500")
        values = {"y" * 251: 1, **values}
        error = failure(w, ops.upsert_multi(w.defaults, values))
        assert (type(error), error.key) == (KeyTooLongError, "y" * 251)


class TestEnds:
    """Batches that do not come to their end."""

    def test_cancelled(self) -> None:
        """What was not sent is not sent; nothing is left of it."""
        w = opened()
        batch = w.submit(ops.upsert_multi(w.defaults, documents()))
        issued = w.session.in_flight - w.session.queued[0]
        w.session.cancel_batch(batch)
        w.advance(1.0)
        assert sets(w) <= issued < MANY
        w.assert_idle()
        assert w.session.queued == (0, 0)
        assert not w.session.dispatcher._is_guarded

    @pytest.mark.parametrize("is_open", [True, False])
    def test_closed(self, *, is_open: bool) -> None:
        """At the close what was not sent fails as not sent; each key has a result."""
        w = opened() if is_open else World()
        batch = w.submit(ops.upsert_multi(w.defaults, documents()))
        w.session.close(w.now)
        assert batch.done
        assert w.delivered == [batch]
        with pytest.raises(RequestCanceledError) as caught:
            batch.result()
        assert len(caught.value.all_results or ()) == MANY

    def test_closed_in_order(self) -> None:
        """A close that waits lets a batch come to its end, and takes nothing new."""
        w = opened()
        batch = w.submit(ops.upsert_multi(w.defaults, documents()))
        w.session.close(w.now, 5.0)
        late = w.submit(ops.upsert_multi(w.defaults, documents(value=2)))
        w.advance(1.0)
        assert batch.result().all_ok
        with pytest.raises(ObjectDestroyedError):
            late.result()
        assert sets(w) == MANY

    def test_after_the_close(self) -> None:
        """A batch for a closed Bucket fails as an operation does."""
        w = opened()
        w.session.close(w.now)
        batch = w.submit(ops.get_multi(w.defaults, list(documents())))
        w.session.take_events()
        with pytest.raises(CouchbaseError):
            batch.result()

    def test_forked(self) -> None:
        """In a forked child a batch under way fails: its parent goes on with it."""
        w = opened()
        batch = w.submit(ops.get_multi(w.defaults, list(documents())))
        w.session.forked()
        while w.session.take_events():
            pass
        with pytest.raises(ForkedProcessError):
            batch.result()

    def test_a_moving_cluster(self) -> None:
        """Vbuckets that move while a batch is under way change nothing."""
        w = opened()
        target = w.cluster.nodes[2]
        batch = w.submit(ops.upsert_multi(w.defaults, documents(value=5)))
        for number in range(0, 64, 3):
            w.cluster.move_vbucket("default", number, target)
            w.settle()
        w.advance(2.0)
        assert batch.result().all_ok
        results = w.do_batch(ops.get_multi(w.defaults, list(documents())))
        assert all(result.value == 5 for result in results.values())

    def test_cancelled_by_its_transcoder(self) -> None:
        """A transcoder may cancel the batch that it is asked for."""
        w = opened()

        class Cancelling(Transcoder):
            batch: Any = None

            def encode_value(self, value: object, format: int = FMT_JSON) -> tuple[bytes, int]:  # noqa: A002
                if self.batch is not None and value == 400:
                    w.session.cancel_batch(self.batch)
                return super().encode_value(value, format)

        transcoder = Cancelling()
        values: dict[Any, Any] = {f"k{n}": n for n in range(MANY)}
        batch = ops.upsert_multi(Defaults(transcoder, FMT_JSON), values)
        transcoder.batch = batch
        w.submit(batch)
        w.advance(0.0)
        assert not w.delivered
        assert sets(w) < 1000
        w.assert_idle()

    def test_keys_with_methods_of_their_own(self) -> None:
        """A key whose hash fails harms its own batch, and nobody else."""
        w = opened()
        spoiled: list[bool] = []

        class Key(str):
            __slots__ = ()

            def __hash__(self) -> int:
                if spoiled:
                    raise RuntimeError("no hash")
                return super().__hash__()

            def __eq__(self, other: object) -> bool:
                return super().__eq__(other)

        values: dict[Any, Any] = {**documents(), Key("own"): 1}
        batch = w.submit(ops.upsert_multi(w.defaults, values))
        spoiled.append(True)
        innocent = w.submit(ops.upsert(w.defaults, "innocent", 1))
        w.advance(0.0)
        assert innocent.result().success
        assert batch in w.delivered
        with pytest.raises(RuntimeError, match="no hash"):
            batch.result()
        w.assert_idle()
