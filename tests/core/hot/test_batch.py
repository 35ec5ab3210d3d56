"""Operations that complete together: what is sent whole, what in slices, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    ArgumentError,
    NotFoundError,
    RequestCanceledError,
    ValueFormatError,
)
from couchloop.hot.batch import WHOLE, WHOLE_BYTES, Batch, Bulk, Lane, batch_of
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Operation
from couchloop.hot.result import OperationResult
from couchloop.wire import Opcode
from tests.core.world import defaults

D = defaults()


class Echo(Operation[OperationResult]):
    """An operation that gives its answer's CAS."""

    __slots__ = ()
    name = "echo"

    def decode(self, answer: Frame) -> OperationResult:
        return OperationResult(self.key, answer.cas)


def build(key: Any, value: Any) -> Operation[Any]:
    """Return the operation of a key; a value that is a set cannot be encoded."""
    if isinstance(value, set):
        raise ValueFormatError("no JSON", key=key)
    encoded = b"" if value is None else str(value).encode()
    return Echo(Opcode.SET, D, key, None, b"", encoded)


def batch(what: Any, **others: Any) -> Batch[Any]:
    """Return a batch of these."""
    return batch_of(Echo, D, None, what, build, **others)


def answer(op: Operation[Any], cas: int) -> bool:
    """Answer one operation, as a connection and a dispatcher do; return whether that was all."""
    op.answer = Frame(0x81, op.opcode, 0, 0, 0, cas, b"", b"", b"", b"")
    whole = op.batch
    assert whole is not None
    op.batch = None
    return whole.member_done(op)


class TestWhole:
    """A batch that is built at the call."""

    @given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, unique=True), st.randoms())
    def test_all_succeed(self, keys: list[str], random: Any) -> None:
        """In whatever order answers come: the last completes it, and results are in the keys'."""
        whole = batch(keys)
        operations = list(whole.operations)
        random.shuffle(operations)
        for count, op in enumerate(operations, 1):
            assert not whole.done
            assert answer(op, len(op.raw)) is (count == len(operations))
        assert whole.done
        results = whole.result()
        assert list(results) == keys
        assert results.all_ok
        assert all(result.cas == len(key) for key, result in results.items())

    def test_some_fail(self) -> None:
        """The first key that failed, in their order, gives the error; all results are with it."""
        whole = batch(["a", "b", "c"])
        for op in reversed(whole.operations):
            if op.key != "a":
                op.error = NotFoundError("missing", key=op.key)
            answer(op, 1)
        raised = []
        for _ in range(2):
            with pytest.raises(NotFoundError) as caught:
                whole.result()
            raised.append(caught.value)
        assert raised[0] is not raised[1]
        for error in raised:
            assert error.key == "b"
            good, bad = error.split_results()
            assert (list(good), list(bad)) == (["a"], ["b", "c"])

    def test_values_that_cannot_be_sent(self) -> None:
        """One is its own key's failure; where all are such, nothing is sent and the call fails."""
        whole = batch({"a": 1, "b": {1}})
        sent = [op for op in whole.operations if op.error is None]
        assert [op.key for op in sent] == ["a"]
        assert answer(sent[0], 1)
        with pytest.raises(ValueFormatError) as caught:
            whole.result()
        assert caught.value.key == "b"
        with pytest.raises(ValueFormatError):
            batch({"a": {1}, "b": {1}})

    def test_no_batch(self) -> None:
        """One key, none, and what is no iterable of keys are refused at the call."""
        wrong: tuple[Any, ...] = ("key", b"key", [], {}, 7, [["unhashable"]])
        for nothing in wrong:
            with pytest.raises(ArgumentError):
                batch(nothing)

    def test_an_iterable_that_raises(self) -> None:
        """What it raises reaches the caller as it is, also where that is a TypeError."""

        def keys() -> Iterator[str]:
            yield "a"
            raise TypeError("by the user")

        with pytest.raises(TypeError, match="by the user") as caught:
            batch(keys())
        assert not isinstance(caught.value, ArgumentError)

    def test_duplicates(self) -> None:
        """A key that is named twice is sent once, and that is warned of."""
        with pytest.warns(RuntimeWarning, match="duplicate keys"):
            whole = batch(["a", "b", "a"])
        assert [op.key for op in whole.operations] == ["a", "b"]

    def test_a_wrong_argument(self) -> None:
        """It is no key's failure: it refuses all of it."""

        def wrong(key: Any, _: Any) -> Operation[Any]:
            return Echo(Opcode.SET, D, key, None, cas=-1)

        with pytest.raises(ArgumentError):
            batch_of(Echo, D, None, ["a", "b"], wrong)

    def test_how_much_is_whole(self) -> None:
        """So many keys, and so many bytes that had to be encoded, are sent whole, and no more."""
        assert type(batch(range_of(WHOLE))) is Batch
        assert type(batch(range_of(WHOLE + 1))) is Bulk
        half = "x" * (WHOLE_BYTES // 2 + 1)
        assert type(batch({"a": half, "b": half})) is Batch, "it is all built by then"
        large = batch({"a": half, "b": half, "c": 1})
        assert type(large) is Bulk
        assert large.built == 2, "what is built is kept"


def range_of(count: int) -> list[str]:
    """Return so many keys."""
    return [f"k{number}" for number in range(count)]


def bulk(what: Any, **others: Any) -> Bulk[Any]:
    """Return a batch that is never sent whole."""
    made = batch(what, whole=0, **others)
    assert isinstance(made, Bulk)
    return made


class TestBulk:
    """A batch that is built, sent and read in slices."""

    @given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, unique=True), st.data())
    def test_slices(self, keys: list[str], data: st.DataObject) -> None:
        """However they are issued, answered and read: each key has its own result, in order."""
        large = bulk(dict.fromkeys(keys, "v"))
        lane = Lane()
        waiting = list(range(len(keys)))
        under_way: list[Operation[Any]] = []
        while not large.done:
            moves = [
                name
                for name, there in (
                    ("issue", waiting),
                    ("answer", under_way),
                    ("read", large.finished),
                )
                if there
            ]
            move = data.draw(st.sampled_from(moves))
            if move == "issue":
                op = large.operation(waiting.pop(0))
                assert op is not None
                large.issue(op, lane)
                under_way.append(op)
            elif move == "answer":
                op = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
                answer(op, len(op.raw))
            else:
                large.read_some(data.draw(st.integers(1, 3)))
            assert lane.open == len(under_way) == len(large.outstanding)
            assert lane.bytes == len(under_way)
            assert large.waiting == len(waiting)
        results = large.result()
        assert list(results) == keys
        assert all(result.cas == len(key) for key, result in results.items())

    def test_the_first_failure_counts(self) -> None:
        """It is the first in the order of the keys, whichever was met first."""
        large = bulk({"a": 1, "b": {1}, "c": {1}, "d": 1})
        lane = Lane()
        for place in (2, 3, 0, 1):
            op = large.operation(place)
            if op is not None:
                large.issue(op, lane)
                answer(op, 1)
        large.read_some(10)
        assert large.done
        for _ in range(2):
            with pytest.raises(ValueFormatError) as caught:
                large.result()
            assert caught.value.key == "b"
            good, bad = caught.value.split_results()
            assert (list(good), list(bad)) == (["a", "d"], ["b", "c"])

    def test_given_up(self) -> None:
        """What waits fails for one reason, so many at a time; what was issued is not concerned."""
        large = bulk(range_of(10))
        op = large.operation(0)
        assert op is not None
        large.issue(op, Lane())
        large.ended = RequestCanceledError("closed")
        assert [large.give_up(4), large.give_up(100), large.give_up(1)] == [4, 5, 0]
        assert not large.done
        answer(op, 1)
        large.read_some(1)
        assert large.done
        with pytest.raises(RequestCanceledError) as caught:
            large.result()
        good, bad = caught.value.split_results()
        assert (len(good), len(bad)) == (1, 9)

    def test_a_key_with_a_mind_of_its_own(self) -> None:
        """What building raises is that key's failure."""

        def fail(key: Any, value: Any) -> Operation[Any]:
            if key == "b":
                raise ZeroDivisionError
            return build(key, value)

        large = batch_of(Echo, D, None, ["a", "b"], fail, whole=0)
        assert isinstance(large, Bulk)
        assert large.operation(1) is None
        assert large.waiting == 1
        assert large.first is not None
        assert isinstance(large.first[1], ValueFormatError)

    def test_broken_off(self) -> None:
        """What its keys' own code raised where results are kept is all there is to tell, once."""
        large = bulk(["a"])
        large.break_off(ZeroDivisionError())
        assert large.done
        with pytest.raises(ZeroDivisionError):
            large.result()
        with pytest.raises(RuntimeError, match="failed before"):
            large.result()

    @given(st.lists(st.text(max_size=5) | st.binary(max_size=5), min_size=1, unique=True))
    def test_places(self, keys: list[str | bytes]) -> None:
        """Each key is found by its bytes, where it stands first; others are not found."""
        large = bulk(keys)
        raws: list[bytes | None] = []
        for key in keys:
            try:
                raws.append(key.encode() if isinstance(key, str) else key)
            except UnicodeEncodeError:
                raws.append(None)
        for raw in raws:
            if raw is not None:
                place = large.place_of(raw)
                assert place is not None
                assert raws[place] == raw
        assert large.place_of(b"\xff of no key at all") is None

    def test_how_much_waits(self) -> None:
        """What is not built yet counts as the mean of what is."""
        large = bulk(dict.fromkeys(range_of(10), "x" * 98))
        assert large.queued_bytes == 0
        op = large.operation(0)
        assert op is not None
        large.issue(op, Lane())
        assert large.queued_bytes == 9 * 100

    def test_prepared(self) -> None:
        """A thread builds all of it before the loop has it; what it built is issued then."""
        large = bulk(dict.fromkeys(range_of(10), "x"))
        large.prepare()
        assert large.built == 10
        assert large.operation(3) is not None
        assert large.built == 10
