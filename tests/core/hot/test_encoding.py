"""What transcoders and users' own types give: checked at the call, and harmless to others."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidCasError,
    InvalidDeltaError,
    InvalidKeyError,
    InvalidTimeoutError,
    InvalidTtlError,
    NotFoundError,
    TooBigError,
    ValueFormatError,
)
from couchloop.hot.encoding import MAX_VALUE, transcoder_of
from couchloop.hot.operation import Defaults, Operation
from couchloop.operations import document as ops
from couchloop.transcoder import FMT_BYTES, FMT_JSON, Transcoder
from tests.core.world import World, defaults
from tests.share import share

STORES: dict[str, Callable[..., Operation[Any]]] = {
    "upsert": ops.upsert,
    "insert": ops.insert,
    "replace": ops.replace,
    "append": ops.append,
    "prepend": ops.prepend,
}
BATCHES: dict[str, Callable[..., Any]] = {
    "upsert": ops.upsert_multi,
    "insert": ops.insert_multi,
    "replace": ops.replace_multi,
    "append": ops.append_multi,
    "prepend": ops.prepend_multi,
}


class Giving(Transcoder):
    """Returns the same for every value, and for every key."""

    def __init__(self, value: Any = None, key: Any = None, *, raises: Any = None) -> None:
        super().__init__()
        self.value, self.key, self.raises = value, key, raises

    def encode_value(self, value: object, format: int = FMT_JSON) -> Any:  # noqa: A002
        """Return what it was told to for every value but "good"."""
        if value == "good":
            return super().encode_value(value, format)
        if self.raises is not None:
            raise self.raises
        return self.value

    def encode_key(self, key: Any) -> Any:
        """Return what it was told to."""
        return super().encode_key(key) if self.key is None else self.key

    def decode_value(self, value: Any, flags: int) -> Any:
        """Raise what it was told to, but for "good"."""
        if self.raises is not None and bytes(value) != b'"good"':
            raise self.raises
        return super().decode_value(value, flags)


def by(transcoder: Any) -> Defaults:
    """Return the defaults of a Bucket with *transcoder*."""
    return Defaults(transcoder, FMT_JSON)


def raised(call: Callable[[], Any]) -> CouchbaseError:
    """Return the NotFoundError that *call* raises."""
    with pytest.raises(NotFoundError) as caught:
        call()
    return caught.value


class Bytes(bytes):
    """Bytes that lie about themselves."""

    __slots__ = ()

    def __len__(self) -> int:
        return 3

    def __radd__(self, other: object) -> bytes:
        raise RuntimeError("radd")

    def __bytes__(self) -> bytes:
        raise RuntimeError("bytes")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = bytes.__hash__


class Text(str):
    """Text that lies about itself."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("encode")

    def __len__(self) -> int:
        return 999

    def __str__(self) -> str:
        raise RuntimeError("str")


class Number(int):
    """A number that lies about itself."""

    def __index__(self) -> int:
        raise RuntimeError("index")

    def __le__(self, other: object) -> bool:
        return True

    __lt__ = __ge__ = __gt__ = __le__

    def __int__(self) -> int:
        return 7

    def __abs__(self) -> int:
        raise RuntimeError("abs")


class Seconds(float):
    """Seconds that lie about themselves."""

    __slots__ = ()

    def __radd__(self, other: object) -> float:
        raise RuntimeError("radd")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __gt__(self, other: object) -> bool:
        return True


ILL_VALUES: list[Any] = [
    ("text", 0),
    (None, 0),
    (memoryview(array("I", [1, 2, 3])), 0),
    (memoryview(array("d", [1.0])), 0),
    (b"x",),
    (b"x", 0, 0),
    b"x",
    None,
    "xy",
    5,
    [],
]


class Pair(tuple[bytes, int]):
    """A pair that cannot be taken apart."""

    __slots__ = ()

    def __iter__(self) -> Any:
        raise RuntimeError("iter")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("item")


ILL_VALUES.append(Pair((b"x", 0)))
ILL_FLAGS = [2**32, -1, None, "0", 1.5, 2**64, object()]


class TestValues:
    """What a transcoder makes of values."""

    @pytest.mark.parametrize("name", STORES)
    @pytest.mark.parametrize("made", ILL_VALUES)
    def test_no_bytes(self, name: str, made: Any) -> None:
        """What is not a pair of bytes and flags is refused at the call, with the key."""
        build: Any = STORES[name]
        more = {"format": FMT_BYTES} if name in {"append", "prepend"} else {}
        with pytest.raises(ValueFormatError, match="encode_value gives bytes and flags") as caught:
            build(by(Giving(made)), "the key", "bad", **more)
        error = caught.value
        assert error.key == "the key"
        assert error.context is not None
        assert (error.context.operation, error.context.key) == (name, "the key")
        assert error.__cause__ is not None

    @pytest.mark.parametrize("name", ["upsert", "insert", "replace"])
    @pytest.mark.parametrize("flags", ILL_FLAGS)
    def test_no_flags(self, name: str, flags: Any) -> None:
        """Flags are an integer of 32 bits."""
        build: Any = STORES[name]
        with pytest.raises(ValueFormatError, match="flags"):
            build(by(Giving((b"x", flags))), "k", "bad")

    @pytest.mark.parametrize("kind", [Bytes, bytearray, memoryview, bytes])
    def test_any_bytes(self, kind: Callable[[bytes], Any]) -> None:
        """Whatever kind of bytes it is, what is kept are plain bytes that nobody can change."""
        made = kind(b"value")
        op = ops.upsert(by(Giving((made, 5))), "k", "bad")
        if isinstance(made, bytearray):
            made[:] = b"other"
        assert type(op.value) is bytes
        assert op.value == b"value"
        assert op.extras == b"\0\0\0\5\0\0\0\0"

    @pytest.mark.parametrize("name", STORES)
    @pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), MemoryError(), OSError()])
    def test_it_raises(self, name: str, error: Exception) -> None:
        """Whatever a transcoder raises is a ValueFormatError, with key and cause."""
        build: Any = STORES[name]
        more = {"format": FMT_BYTES} if name in {"append", "prepend"} else {}
        with pytest.raises(ValueFormatError, match=type(error).__name__) as caught:
            build(by(Giving(raises=error)), "the key", "bad", **more)
        assert caught.value.key == "the key"
        assert caught.value.__cause__ is error
        assert caught.value.inner_cause is error

    def test_it_raises_ours(self) -> None:
        """A ValueFormatError stays what it is; others of ours are not about this document."""
        ours = InvalidKeyError("by the user")
        with pytest.raises(ValueFormatError) as caught:
            ops.upsert(by(Giving(raises=ours)), "the key", "bad")
        assert caught.value is ours
        assert caught.value.key == "the key"
        other = NotFoundError("of another document", key="other")
        with pytest.raises(ValueFormatError, match="NotFoundError") as caught:
            ops.upsert(by(Giving(raises=other)), "the key", "bad")
        assert caught.value.key == "the key"
        assert caught.value.__cause__ is other

    def test_a_hook_of_json(self) -> None:
        """What a dict of the user's own raises while it is written is a ValueFormatError."""

        class Lazy(dict[str, int]):
            def items(self) -> Any:
                raise RuntimeError("no items")

            # PyPy's way of writing asks these.
            __iter__ = items

        with pytest.raises(ValueFormatError, match="RuntimeError") as caught:
            ops.upsert(defaults(), "the key", Lazy(a=1))
        assert caught.value.key == "the key"
        assert isinstance(caught.value.__cause__, RuntimeError)

    @pytest.mark.parametrize("name", STORES)
    def test_20_mib(self, name: str) -> None:
        """20 MiB are allowed; one byte more is refused at the call, however well it compresses."""
        build: Any = STORES[name]
        assert len(build(defaults(), "k", bytes(MAX_VALUE), format=FMT_BYTES).value) == MAX_VALUE
        with pytest.raises(TooBigError, match="20 MiB") as caught:
            build(defaults(), "the key", bytes(MAX_VALUE + 1), format=FMT_BYTES)
        assert caught.value.key == "the key"

    @pytest.mark.parametrize("name", STORES)
    def test_in_a_batch(self, name: str) -> None:
        """In a batch each is its own key's failure; the others are done, and have results."""
        w = World()
        w.open()
        values: dict[Any, Any] = {"a": "good", "bad": "bad", "big": "big", "z": "good"}
        if name in {"replace", "append", "prepend"}:
            for key in values:
                w.do(ops.upsert(w.defaults, key, "good"))

        class Mixed(Giving):
            def encode_value(self, value: object, format: int = FMT_JSON) -> Any:  # noqa: A002
                if value == "big":
                    return bytes(MAX_VALUE + 1), 0
                return super().encode_value(value, FMT_JSON)

        more = {"format": FMT_BYTES} if name in {"append", "prepend"} else {}
        batch = BATCHES[name](by(Mixed(raises=RuntimeError("x"))), values, **more)
        with pytest.raises(ValueFormatError, match="RuntimeError") as caught:
            w.do_batch(batch)
        error = caught.value
        assert error.key == "bad"
        assert error.result is error.all_results["bad"]  # type: ignore[index]
        assert list(error.all_results or ()) == list(values)
        good, bad = error.split_results()
        assert (set(good), set(bad)) == ({"a", "z"}, {"bad", "big"})
        assert bad["big"].rc == TooBigError.CODE
        assert all(result.cas for result in good.values())
        w.assert_idle()

    @pytest.mark.parametrize("name", BATCHES)
    def test_no_pair_in_a_batch(self, name: str) -> None:
        """A pair that raises when it is taken apart is the failure of its own key."""
        more = {"format": FMT_BYTES} if name in {"append", "prepend"} else {}
        with pytest.raises(ValueFormatError, match=r"gave \(bytes, int\)") as caught:
            BATCHES[name](by(Giving(Pair((b"x", 0)))), {"a": "bad", "b": "bad"}, **more)
        assert set(caught.value.all_results or ()) == {"a", "b"}

    def test_a_batch_of_bad_ones(self) -> None:
        """If no key of a batch can be sent, that is told at the call."""
        with pytest.raises(ValueFormatError) as caught:
            ops.upsert_multi(defaults(), {"a": {1}, "b": {2}})
        assert set(caught.value.all_results or ()) == {"a", "b"}


class TestReading:
    """What a transcoder makes of what was read."""

    @pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), UserWarning("x")])
    def test_it_raises(self, error: Exception) -> None:
        """Whatever decode_value raises is a ValueFormatError with key and cause."""
        w = World()
        w.open()
        w.do(ops.upsert(w.defaults, "the key", 1))
        with pytest.raises(ValueFormatError, match=type(error).__name__) as caught:
            w.do(ops.get(by(Giving(raises=error)), "the key"))
        assert caught.value.key == "the key"
        assert caught.value.__cause__ is error
        w.assert_idle()

    def test_in_a_batch(self) -> None:
        """In a batch it is the failure of that key alone."""
        w = World()
        w.open()
        w.do(ops.upsert_multi(w.defaults, {"a": "good", "b": "bad", "c": "good"}))
        with pytest.raises(ValueFormatError) as caught:
            w.do(ops.get_multi(by(Giving(raises=RuntimeError("x"))), ["a", "b", "c"]))
        good, bad = caught.value.split_results()
        assert ({k: r.value for k, r in good.items()}, list(bad)) == (
            {"a": "good", "c": "good"},
            ["b"],
        )


class TestKeys:
    """What a transcoder makes of keys, and keys with methods of their own."""

    @pytest.mark.parametrize("made", ["text", 5, memoryview(array("I", [1])), ["x"]])
    def test_no_bytes(self, made: Any) -> None:
        """A key that is not made bytes is refused, as ArgumentError and ValueFormatError both."""
        with pytest.raises(InvalidKeyError, match="encode_key gives bytes") as caught:
            ops.get(by(Giving(key=made)), "the key")
        assert isinstance(caught.value, ArgumentError)
        assert isinstance(caught.value, ValueFormatError)
        assert caught.value.key == "the key"

    @pytest.mark.parametrize("key", [5, None, ["k"], 1.5, object(), "\ud800"])
    def test_no_key(self, key: Any) -> None:
        """A key of a wrong type is a ValueFormatError too, as in 2.5."""
        with pytest.raises(ValueFormatError) as caught:
            ops.get(defaults(), key)
        assert isinstance(caught.value, ArgumentError)

    @pytest.mark.parametrize("make", [lambda: Text("key"), lambda: Bytes(b"key")])
    def test_own_kinds(self, make: Callable[[], Any]) -> None:
        """A key of the user's own kind of str or bytes is the text or the bytes that it holds."""
        key = make()
        w = World()
        w.open()
        op = ops.upsert(w.defaults, key, 1)
        assert type(op.raw) is bytes
        assert op.raw == b"key"
        w.do(op)
        assert w.do(ops.get(w.defaults, "key")).value == 1

    @pytest.mark.parametrize("make", [lambda: Text("key"), lambda: Bytes(b"key")])
    def test_failures_of_own_kinds(self, make: Callable[[], Any]) -> None:
        """Nor does such a key spoil an error."""
        key = make()
        w = World()
        w.open()
        with pytest.raises(NotFoundError) as caught:
            w.do(ops.get(w.defaults, key))
        assert str(caught.value)


class TestNumbers:
    """Numbers with methods of their own."""

    def test_they_are_what_they_hold(self) -> None:
        """What counts is the number that it holds, not what its methods say."""
        d = defaults()
        assert ops.upsert(d, "k", 1, Number(5), Number(6)).extras[4:] == b"\0\0\0\6"
        assert type(ops.upsert(d, "k", 1, Number(5)).cas) is int
        assert ops.counter(d, "k", Number(-3), Number(2)).opcode == 0x06
        assert ops.touch(d, "k", Number(9)).extras == b"\0\0\0\x09"
        timeout = ops.get(d, "k", timeout=Seconds(2.0)).timeout
        assert (type(timeout), timeout) == (float, 2.0)

    def test_they_cannot_lie(self) -> None:
        """What is out of range is refused, whatever its comparisons say."""
        d = defaults()
        with pytest.raises(InvalidCasError):
            ops.remove(d, "k", Number(2**70))
        with pytest.raises(InvalidTtlError):
            ops.touch(d, "k", Number(-1))
        with pytest.raises(InvalidDeltaError):
            ops.counter(d, "k", Number(2**70))
        for timeout in (Seconds(-1.0), Seconds("nan"), float("inf"), Number(-1), 10**400):
            with pytest.raises(InvalidTimeoutError):
                ops.get(d, "k", timeout=timeout)

    @pytest.mark.parametrize("nothing", [[], "", {}, b"", 0.5])
    @pytest.mark.parametrize("name", ["upsert", "insert", "replace", "get", "touch", "counter"])
    def test_empty_ttl(self, name: str, nothing: Any) -> None:
        """What is empty is no TTL of 0."""
        value = ("value",) if name in STORES else ()
        with pytest.raises(InvalidTtlError):
            getattr(ops, name)(defaults(), "k", *value, ttl=nothing)

    @pytest.mark.parametrize("nothing", [[], "", {}, b"", 0.5])
    def test_empty_cas(self, nothing: Any) -> None:
        """What is empty is no CAS of 0, which would mean any."""
        d = defaults()
        for name in ("upsert", "replace", "append", "prepend"):
            with pytest.raises(InvalidCasError):
                STORES[name](d, "k", "value", cas=nothing)
        with pytest.raises(InvalidCasError):
            ops.remove(d, "k", nothing)
        with pytest.raises(InvalidCasError):
            ops.remove_multi(d, {"k": nothing})

    @pytest.mark.parametrize("none", [0, None, False])
    def test_none(self, none: Any) -> None:
        """None and False count as 0, as in SDK 2.5."""
        d = defaults()
        assert type(ops.get(d, "k", none)) is ops.Get
        assert ops.upsert(d, "k", 1, none, none).extras[4:] == bytes(4)
        assert ops.upsert(d, "k", 1, none).cas == ops.remove(d, "k", none).cas == 0
        assert ops.touch(d, "k", none).extras == bytes(4)

    @pytest.mark.parametrize("ttl", [-1, "x", 2**32, 1.5, True])
    def test_counter_without_initial(self, ttl: Any) -> None:
        """A bad TTL of a counter is refused also where nothing is to be created."""
        with pytest.raises(InvalidTtlError):
            ops.counter(defaults(), "k", ttl=ttl)
        with pytest.raises(InvalidTtlError):
            ops.counter_multi(defaults(), ["k"], ttl=ttl)
        with pytest.raises(InvalidTtlError):
            ops.counter_multi(defaults(), {"k": {"ttl": ttl}})


_anything: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.builds(bytearray, st.binary()),
    st.builds(Bytes, st.binary()),
    st.builds(lambda n: memoryview(array("H", [n])), st.integers(0, 65535)),
)


class TestAnything:
    """Innocent operations beside those of anybody's transcoder."""

    @settings(max_examples=share(25))
    @given(st.lists(st.tuples(_anything, _anything), min_size=1, max_size=8), _anything)
    def test_others_are_not_concerned(self, pairs: list[tuple[Any, Any]], key: Any) -> None:
        """Whatever encode_value and encode_key give, other operations and the connection go on."""
        w = World()
        w.open()
        innocent = [w.submit(ops.upsert(w.defaults, f"k{n}", n)) for n in range(8)]
        for pair in pairs:
            with suppress(ValueFormatError, ArgumentError):
                w.submit(ops.upsert(by(Giving(pair, key)), "x", "bad"))
        innocent += [w.submit(ops.get(w.defaults, f"k{n}")) for n in range(8)]
        before = len(w.attempts)
        w.settle()
        assert all(op.done and op.result().success for op in innocent)
        assert len(w.attempts) == before
        w.assert_idle()


class TestResults:
    """What an operation tells when it is asked again, and what SDK 2.5 has in its errors."""

    def test_asked_again(self) -> None:
        """A result may be asked for as often as one likes, and so may an error."""
        w = World()
        w.open()
        good = w.submit(ops.upsert(w.defaults, "k", 1))
        bad = w.submit(ops.get(w.defaults, "missing"))
        with pytest.raises(RuntimeError, match="neither answer nor error"):
            good.result()
        w.settle()
        assert good.result().cas == good.result().cas
        errors = [raised(bad.result) for _ in range(3)]
        assert len({id(error) for error in errors}) == 3
        assert len({str(error) for error in errors}) == 1

    def test_batch_asked_again(self) -> None:
        """So may those of a batch."""
        w = World()
        w.open()
        batch = w.submit(ops.get_multi(w.defaults, ["a", "b"]))
        w.settle()
        for _ in range(2):
            error = raised(batch.result)
            assert list(error.all_results or ()) == ["a", "b"]
            assert error.result.key == "a"

    def test_what_2_5_has(self) -> None:
        """A failed operation's error has its result, and `all_results` with that one."""
        w = World()
        w.open()
        error = raised(lambda: w.do(ops.get(w.defaults, "k")))
        assert (error.result.rc, error.result.success, error.result.value) == (0x0D, False, None)
        assert error.all_results == {"k": error.result}
        assert "keys failed" not in str(error)
        good, bad = error.split_results()
        assert (list(good), list(bad)) == ([], ["k"])


def test_no_transcoder_class() -> None:
    """A class that cannot be called without arguments is refused, and says what it raised."""

    class Wanting(Transcoder):
        def __init__(self, level: int) -> None:
            super().__init__()
            self.level = level

    for kind in (type, Wanting):
        with pytest.raises(ArgumentError, match="raised TypeError: give an instance") as caught:
            transcoder_of(kind)
        assert isinstance(caught.value.__cause__, TypeError)
