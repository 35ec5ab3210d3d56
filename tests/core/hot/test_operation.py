"""Operations as values: what they refuse, what became of them, and what is raised."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    EmptyKeyError,
    InvalidCasError,
    KeyTooLongError,
    NotFoundError,
    ProtocolError,
    ValueFormatError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import (
    MAX_CAS,
    MAX_KEY_IN_COLLECTION,
    CollectionName,
    Operation,
    answer_size,
    answers_size,
    body,
    placed,
)
from couchloop.retries import FailFast
from couchloop.transcoder import Transcoder
from couchloop.wire import Datatype, Opcode, snappy
from tests.core.world import defaults
from tests.garbage import needs_counting

D = defaults()


def operation(key: Any = "k", timeout: float | None = None, **others: Any) -> Operation[Any]:
    """Return one without a kind of its own."""
    return Operation(Opcode.GET, D, key, timeout, **others)


def answer(value: bytes = b"", datatype: int = 0) -> Frame:
    """Return a success."""
    return Frame(0x81, Opcode.GET, datatype, 0, 0, 0, b"", b"", b"", value)


class TestArguments:
    """What is checked once, for each kind of operation."""

    @given(st.text(min_size=1, max_size=62) | st.binary(min_size=1, max_size=250))
    def test_keys(self, key: str | bytes) -> None:
        """Text and bytes of 1 to 250 bytes are keys, and are kept as they were given."""
        try:
            raw = key if isinstance(key, bytes) else key.encode()
        except UnicodeEncodeError:
            with pytest.raises(ValueFormatError):
                operation(key)
            return
        op = operation(key)
        assert (op.key, op.raw) == (key, raw)

    def test_no_key(self) -> None:
        """The error says how long a key may be, also where a collection's number goes with it."""
        with pytest.raises(EmptyKeyError, match="1 to 250 bytes"):
            operation("")
        with pytest.raises(KeyTooLongError, match="250 bytes") as caught:
            operation("x" * 251)
        assert caught.value.objextra == 251
        named = defaults()
        named.max_key, named.collection = MAX_KEY_IN_COLLECTION, CollectionName("s", "c")
        Operation(Opcode.GET, named, "x" * 246, None)
        with pytest.raises(KeyTooLongError, match=r"246 bytes.*named collection"):
            Operation(Opcode.GET, named, "x" * 247, None)

    @given(st.integers() | st.floats() | st.text() | st.booleans() | st.none())
    def test_cas(self, cas: Any) -> None:
        """A CAS is an integer of 64 bits; None and what equals 0 are none, all else is refused."""
        if cas is None or cas == 0:
            assert operation(cas=cas).cas == 0
        elif type(cas) is int and 0 < cas <= MAX_CAS:
            assert operation(cas=cas).cas == cas
        else:
            with pytest.raises(InvalidCasError):
                operation(cas=cas)

    def test_timeout(self) -> None:
        """It is the Bucket's where the call says nothing."""
        assert operation().timeout == D.timeout
        assert operation(timeout=7).timeout == 7.0
        with pytest.raises(ArgumentError):
            operation(timeout=-1)

    def test_strategy(self) -> None:
        """It must have a method `retry_after`."""
        strategy = FailFast()
        assert operation(retry_strategy=strategy).retry_strategy is strategy
        with pytest.raises(ArgumentError):
            operation(retry_strategy=object())

    def test_a_transcoder_that_fails(self) -> None:
        """What its `encode_key` raises is the caller's ValueFormatError."""

        class Broken(Transcoder):
            def encode_key(self, key: Any) -> bytes:
                raise ZeroDivisionError

        broken = defaults()
        broken.transcoder = Broken()
        with pytest.raises(ValueFormatError) as caught:
            Operation(Opcode.GET, broken, "k", None)
        assert isinstance(caught.value.inner_cause, ZeroDivisionError)


class Value(Operation[bytes]):
    """An operation that gives the value of its answer."""

    __slots__ = ()
    name = "value"

    def decode(self, answer: Frame) -> bytes:
        return body(answer)


class TestResult:
    """What became of it, as often as asked."""

    def test_success(self) -> None:
        """The answer is read each time."""
        op = Value(Opcode.GET, D, "k", None)
        with pytest.raises(RuntimeError, match="neither answer nor error"):
            op.result()
        op.answer = answer(b"text")
        assert [op.result(), op.result()] == [b"text", b"text"]

    def test_failure(self) -> None:
        """Each time an exception of its own is raised, with the result that SDK 2.5 gives."""
        op = Value(Opcode.GET, D, "k", None)
        op.error = NotFoundError("missing", key="k")
        caught = []
        for _ in range(2):
            with pytest.raises(NotFoundError) as raised:
                op.result()
            caught.append(raised.value)
        first, second = caught
        assert first is not second
        for error in caught:
            assert error.all_results is not None
            assert error.all_results["k"] is error.result
            assert error.result is not None
            assert not error.result.success
            assert error.result.rc == NotFoundError.CODE

    @needs_counting
    def test_a_failure_holds_no_frame(self) -> None:
        """An operation that has failed does not hold its caller by way of a traceback."""
        op = Value(Opcode.GET, D, "k", None)
        op.error = NotFoundError("missing")

        class Held:
            """Something of the caller's."""

        def call() -> None:
            held = Held()
            with pytest.raises(NotFoundError):
                op.result()
            assert held is not None

        gc.collect()
        gc.disable()
        try:
            call()
            assert not any(type(each) is Held for each in gc.get_objects())
        finally:
            gc.enable()

    def test_refused(self) -> None:
        """One that is never sent has its error, and no more."""
        op = Value.__new__(Value)
        error = ValueFormatError("no JSON")
        op.refuse("k", error)
        assert op.done
        with pytest.raises(ValueFormatError):
            op.result()

    def test_keys_that_fit_no_dict(self) -> None:
        """The error comes all the same."""
        op = Value.__new__(Value)
        op.refuse(["no", "key"], ValueFormatError("no key"))  # type: ignore[arg-type]
        with pytest.raises(ValueFormatError) as caught:
            op.result()
        assert caught.value.all_results is None


@given(st.binary(max_size=2000))
def test_body(value: bytes) -> None:
    """A value comes as it was sent, compressed or not."""
    assert body(answer(value)) == value
    if "cramjam" in sys.modules:
        assert body(answer(snappy.compress(value), Datatype.SNAPPY)) == value


@given(st.binary(max_size=200))
def test_any_body(value: bytes) -> None:
    """Arbitrary bytes that claim to be compressed are a value or a ProtocolError."""
    with suppress(ProtocolError):
        assert isinstance(body(answer(value, Datatype.SNAPPY)), bytes)


@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans())))
def test_sizes(values: list[tuple[bytes, bool]]) -> None:
    """All answers together are as long as each by itself, inflated if need be."""
    operations = [Value(0, D, "key", None)]
    for value, is_compressed in values:
        op = Value(0, D, "key", None)
        op.answer = answer(value, Datatype.SNAPPY if is_compressed else Datatype.RAW)
        operations.append(op)
    assert answers_size(operations) == sum(map(answer_size, operations))
    assert answers_size(operations) >= sum(
        len(v) for v, is_compressed in values if not is_compressed
    )


def test_placed() -> None:
    """An error names the collection it is about, if that has a name."""
    error: CouchbaseError = NotFoundError("missing", key="k")
    assert placed(error, D) is error
    assert error.context is None
    named = defaults()
    named.collection = CollectionName("s", "c")
    context = placed(error, named).context
    assert context is not None
    assert (context.scope, context.collection, context.key) == ("s", "c", "k")
    assert str(named.collection) == "s.c"
