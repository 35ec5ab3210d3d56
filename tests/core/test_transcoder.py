"""Formats, flags, and JSON that means the same whatever is installed."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import importlib.util
import json
import math
import pickle
import sys
import uuid
import warnings
from collections import OrderedDict, UserDict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop import transcoder
from couchloop.exceptions import ArgumentError, ValueFormatError
from couchloop.formats import Value, format_of
from couchloop.later import Module
from couchloop.transcoder import (
    FMT_AUTO,
    FMT_BYTES,
    FMT_JSON,
    FMT_PICKLE,
    FMT_UTF8,
    JSONTranscoder,
    LegacyTranscoder,
    LegacyTranscoderPP,
    RawBinaryTranscoder,
    RawJSONTranscoder,
    RawStringTranscoder,
    Transcoder,
    decode_json,
    encode_json,
    set_json_converters,
    set_pickle_converters,
)
from tests.extras import needs_msgspec


class Colour(enum.Enum):
    """`json` refuses it, orjson writes it."""

    RED = "red"


class Number(enum.IntEnum):
    """A number to `json`."""

    ONE = 1


class Word(enum.StrEnum):
    """A text to `json`."""

    A = "a"


class MyInt(int):
    """A number that prints itself in another way."""

    def __repr__(self) -> str:
        return "many"


class MyStr(str):
    """A text."""

    __slots__ = ()


class MyFloat(float):
    """A number that prints itself in another way."""

    def __repr__(self) -> str:
        return "much"


class MyDict(dict[str, int]):
    """A dict."""


ODD = [
    Colour.RED,
    Number.ONE,
    Word.A,
    MyInt(3),
    MyStr("s"),
    MyFloat(1.5),
    MyDict(a=1),
    OrderedDict(a=1),
    UserDict(a=1),
    uuid.UUID(int=1),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    dt.date(2020, 1, 1),
    dt.time(1),
    dt.timedelta(1),
    decimal.Decimal("1.5"),
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    {1, 2},
    frozenset({1}),
    (1, (2,)),
    range(3),
    1j,
    ...,
    object(),
    int,
    2**63,
    2**64,
    -(2**63) - 1,
    2**200,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    5e-324,
    -0.0,
    1e16,
    "\ud800",
    "a\udfffb",
    "\x00\x1f\x7f\u2028é😀",
    None,
    True,
    127,
    255,
    -1,
]

odd = st.sampled_from(ODD)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
keys = (
    any_text
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
    | odd.filter(lambda v: v.__hash__ is not None)
)
values = st.recursive(
    scalars | any_text | odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def same(a: Value, b: Value) -> bool:
    """Whether two decoded values are the same in type and value; NaN equals itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (
            math.isnan(a) and math.isnan(b)
        )
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def outcome(function: Value, *args: Value) -> Value:
    """The function's value, or the class and message of its ValueFormatError."""
    try:
        return function(*args)
    except ValueFormatError as error:
        return type(error), error.message


def fresh_module() -> Any:
    """Return the module as one that nothing was loaded for."""
    spec = importlib.util.find_spec("couchloop.transcoder")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class TestLoading:
    """What reads and writes quickly is loaded by a Bucket that opens, or with the first value."""

    def test_the_first_value(self) -> None:
        """It is read and written as all others."""
        for document in (b'{"a":[1]}', b"NaN", b'"\\ud800"'):
            fresh, loaded = fresh_module(), fresh_module()
            loaded.load()
            assert repr(fresh.decode_json(document)) == repr(loaded.decode_json(document))
            assert fresh.try_decode_json is not fresh._decode_first
        with pytest.raises(ValueFormatError, match="not valid JSON"):
            fresh_module().Transcoder().decode_value(b"{", FMT_JSON)
        assert fresh_module().encode_json({"a": [1]}) == b'{"a":[1]}'

    def test_installed_and_broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The standard library takes their place, as where they are missing."""
        fresh = fresh_module()
        if isinstance(fresh.msgspec, Module) and isinstance(fresh.orjson, Module):

            def fail(name: str) -> None:
                raise ImportError(name)

            monkeypatch.setattr("couchloop.later.import_module", fail)
            assert fresh.decode_json(b'{"a":1e400}') == {"a": math.inf}
            assert fresh.try_decode_json is fresh._plain_decode
            assert fresh.encode_json({"a": "é"}) == '{"a":"é"}'.encode()


class TestJsonAgrees:
    """The fast paths are there, and nobody can tell them from the standard library's."""

    @needs_msgspec
    def test_fast_paths_are_in_use(self) -> None:
        """These tests compare two paths, not one with itself."""
        transcoder.load()
        assert encode_json is not transcoder._plain_encode
        assert transcoder.try_decode_json not in {
            transcoder._plain_decode,
            transcoder._decode_first,
        }

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without msgspec and orjson the module works, with the standard library alone."""
        for name in ("msgspec", "orjson"):
            monkeypatch.setitem(sys.modules, name, None)
        bare = fresh_module()
        assert bare.encode_json is bare._plain_encode
        bare.load()
        assert bare.try_decode_json is bare._plain_decode
        coder = bare.Transcoder()
        assert coder.encode_value({"a": [1, "é"]}) == ('{"a":[1,"é"]}'.encode(), FMT_JSON)
        assert coder.decode_value(b'{"a":1e400}', FMT_JSON) == {"a": math.inf}
        for flags in (FMT_JSON, 0):
            with pytest.raises(ValueFormatError):
                coder.decode_value(b"{", flags)

    @given(values)
    def test_encoding(self, value: Value) -> None:
        """Both encoders refuse the same values in the same words, and write what reads the same."""
        fast = outcome(encode_json, value)
        plain = outcome(transcoder._plain_encode, value)
        if isinstance(plain, bytes):
            assert isinstance(fast, bytes)
            assert same(json.loads(fast), json.loads(plain))
        else:
            assert fast == plain

    @pytest.mark.parametrize("value", ODD, ids=lambda v: type(v).__name__)
    @pytest.mark.parametrize("place", ["alone", "list", "dict", "null"])
    def test_odd_values(self, value: Value, place: str) -> None:
        """Enums, dates, UUIDs and the like behave as in `json`, wherever they stand."""
        value = {
            "alone": value,
            "list": [1, [value]],
            "dict": {"a": value, "b": "x"},
            "null": [None, value],
        }[place]
        try:
            expected = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            with pytest.raises(ValueFormatError):
                encode_json(value)
        else:
            assert same(json.loads(encode_json(value)), expected)

    @pytest.mark.parametrize("number", [math.nan, -math.nan, math.inf, -math.inf])
    def test_not_a_number(self, number: float) -> None:
        """NaN and Infinity are refused in every place: orjson alone would write null."""
        for value in (number, [number], {"a": [None, {"b": number}]}, [1.5, "null", number]):
            with pytest.raises(ValueFormatError):
                encode_json(value)

    @given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
    @example(b"1e400")
    @example(b'"\\ud800"')
    @example(b'"\\ude00\\ud83d"')
    @example(b'"\xed\xa0\x80"')
    @example(b"\xef\xbb\xbf1")
    @example(b"[NaN, Infinity, -Infinity]")
    @example(b'{"a":1,"a":2}')
    @example(b"123456789012345678901234567890")
    @example(b"18446744073709551616")
    @example(b"-0")
    @example(b"-0.0")
    @example(b"2.5e-324")
    @example(b"9007199254740993.0")
    @example(b"1" * 5000)
    @example(b'"\x01"')
    @example(b"[1,]")
    @example(b"01")
    @example(b"1 2")
    @example(b"")
    @example("[1]".encode("utf-16"))
    def test_decoding_of_anything(self, data: bytes) -> None:
        """Any bytes are read, or refused, as the standard library reads or refuses them."""
        self.check_decoding(data)

    @given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
    def test_decoding_of_json(self, value: Value, ascii_only: bool, indent: Value) -> None:
        """Valid JSON in any layout is read as the standard library reads it."""
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        self.check_decoding(data)
        assert same(decode_json(data), value)

    @given(json_values, st.data())
    def test_decoding_of_damaged_json(self, value: Value, data: st.DataObject) -> None:
        """A document with one byte changed is read, or refused, alike."""
        document = bytearray(json.dumps(value).encode())
        place = data.draw(st.integers(0, len(document) - 1))
        document[place] = data.draw(st.integers(0, 255))
        self.check_decoding(bytes(document))

    @given(
        st.from_regex(
            r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
        )
    )
    def test_decoding_of_numbers(self, text: str) -> None:
        """Numbers of any size and precision are read to the last bit alike."""
        self.check_decoding(text.encode())

    @staticmethod
    def check_decoding(data: bytes) -> None:
        fast = outcome(decode_json, data)
        assert same(fast, outcome(transcoder._plain_decode, data)) or fast == outcome(
            transcoder._plain_decode, data
        )
        through = outcome(Transcoder().decode_value, data, FMT_JSON)
        assert same(fast, through) or fast == through

    @given(json_values)
    def test_round_trip(self, value: Value) -> None:
        """What JSON can say comes back as it was."""
        assert same(decode_json(encode_json(value)), value)

    def test_compact(self) -> None:
        """JSON is written without blanks, in UTF-8, as 2.5 writes it."""
        value = {"é": [1, None], "b": {"c": "😀"}}
        expected = '{"é":[1,null],"b":{"c":"😀"}}'.encode()
        assert encode_json(value) == transcoder._plain_encode(value) == expected

    def test_lone_surrogates(self) -> None:
        """Text that UTF-8 cannot hold is written escaped, and comes back."""
        assert encode_json(["\ud800", "é"]) == b'["\\ud800","\\u00e9"]'
        assert decode_json(encode_json("\ud800")) == "\ud800"

    def test_depth_and_circles(self) -> None:
        """Nesting without end is an error, not a crash, in both directions."""
        circle: list[Any] = []
        circle.append(circle)
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for value in (circle, deep):
            with pytest.raises(ValueFormatError):
                encode_json(value)
        with pytest.raises(ValueFormatError):
            decode_json(b"[" * 100_000 + b"]" * 100_000)

    def test_buffers(self) -> None:
        """A memoryview is read without being copied first, by the slow path too."""
        assert decode_json(memoryview(b'{"a":1}')) == {"a": 1}
        assert decode_json(memoryview(b'"\\ud800"')) == "\ud800"


class TestFormats:
    """What is written with which flags."""

    @pytest.mark.parametrize(
        ("name", "number"),
        [
            ("FMT_JSON", 0x02000000),
            ("FMT_PICKLE", 0x01000001),
            ("FMT_BYTES", 0x03000002),
            ("FMT_UTF8", 0x04000004),
        ],
    )
    def test_numbers(self, name: str, number: int) -> None:
        """The formats are 2.5's numbers: RFC 0020's, with the legacy bits below."""
        assert getattr(transcoder, name) == number

    @pytest.mark.parametrize(
        ("value", "format_", "data", "flags"),
        [
            ({"a": 1}, FMT_JSON, b'{"a":1}', FMT_JSON),
            ("é", FMT_UTF8, b"\xc3\xa9", FMT_UTF8),
            (b"\xff", FMT_BYTES, b"\xff", FMT_BYTES),
            (bytearray(b"a"), FMT_BYTES, b"a", FMT_BYTES),
            (memoryview(b"a"), FMT_BYTES, b"a", FMT_BYTES),
            ("é", FMT_AUTO, b"\xc3\xa9", FMT_UTF8),
            (b"\xff", FMT_AUTO, b"\xff", FMT_BYTES),
            (bytearray(b"\xff"), FMT_AUTO, b"\xff", FMT_BYTES),
            ([1], FMT_AUTO, b"[1]", FMT_JSON),
            ((1,), FMT_AUTO, b"[1]", FMT_JSON),
            (None, FMT_AUTO, b"null", FMT_JSON),
            (1, FMT_AUTO, b"1", FMT_JSON),
            (1.5, FMT_AUTO, b"1.5", FMT_JSON),
        ],
    )
    def test_encoding(self, value: object, format_: int, data: bytes, flags: int) -> None:
        """Each format has its bytes and its flags; numbers are JSON also with FMT_AUTO."""
        encoded = Transcoder().encode_value(value, format_)
        assert encoded == (data, flags)
        assert type(encoded[0]) is bytes

    @pytest.mark.parametrize(
        ("value", "format_"),
        [
            (b"bytes", FMT_JSON),
            ({"a": b"bytes"}, FMT_JSON),
            (b"bytes", FMT_UTF8),
            (1, FMT_UTF8),
            ("\ud800", FMT_UTF8),
            ("text", FMT_BYTES),
            ([1], FMT_BYTES),
            ({1, 2}, FMT_AUTO),
            (math.nan, FMT_AUTO),
            ("\ud800", FMT_AUTO),
            (1, FMT_PICKLE),
            (1, 0x12345),
            (1, 0),
        ],
    )
    def test_refused(self, value: object, format_: int) -> None:
        """A format refuses what it cannot hold, and an unknown format everything."""
        with pytest.raises(ValueFormatError):
            Transcoder().encode_value(value, format_)

    @pytest.mark.parametrize(
        ("data", "flags", "value"),
        [
            (b'{"a":1}', 0x02000000, {"a": 1}),
            (b'{"a":1}', 0x02000006, {"a": 1}),
            (b"\xff", 0x03000000, b"\xff"),
            (b"\xc3\xa9", 0x04000000, "é"),
            (b"[1]", 0x00000000, [1]),
            (b"\xff", 0x00000002, b"\xff"),
            (b"\xc3\xa9", 0x00000004, "é"),
        ],
    )
    def test_decoding(self, data: bytes, flags: int, value: object) -> None:
        """The upper byte decides; where it is 0, the legacy bits of old SDKs do."""
        assert Transcoder().decode_value(data, flags) == value
        assert Transcoder().decode_value(memoryview(data), flags) == value

    @pytest.mark.parametrize("flags", [0x05000000, 0x12000000, 0x42000000, 0x00000003, 0x01000000])
    def test_unknown_flags(self, flags: int) -> None:
        """Formats that nobody defined, and other SDKs' private ones, give a warning and bytes."""
        with pytest.warns(UserWarning, match=f"{flags:#x}"):
            assert Transcoder().decode_value(b"[1]", flags) == b"[1]"

    @given(st.binary(max_size=20), st.integers(0, 2**32 - 1))
    def test_decoding_of_anything(self, data: bytes, flags: int) -> None:
        """Whatever the server holds gives a value or a ValueFormatError."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome(Transcoder().decode_value, data, flags)
            outcome(Transcoder(allow_pickle=True).decode_value, data[:3], flags)

    @pytest.mark.parametrize(("data", "flags"), [(b"\xff", FMT_UTF8), (b"{", FMT_JSON)])
    def test_wrong_flags(self, data: bytes, flags: int) -> None:
        """Bytes that are not what the flags say are an error that carries its cause."""
        with pytest.raises(ValueFormatError) as info:
            Transcoder().decode_value(data, flags)
        assert isinstance(info.value.inner_cause, ValueError)


class Trap:
    """Unpickling one of these would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle ran",))


class TestPickle:
    """Pickles run code, so they are opt-in."""

    @pytest.mark.parametrize("flags", [FMT_PICKLE, 0x00000001])
    def test_never_read_by_default(self, flags: int) -> None:
        """A pickle is not read, and the error names the cure."""
        with pytest.raises(ValueFormatError, match="allow_pickle=True"):
            Transcoder().decode_value(pickle.dumps(Trap()), flags)

    def test_allowed(self) -> None:
        """Who allows pickles can write and read them, FMT_AUTO for what JSON cannot say."""
        trusting = Transcoder(allow_pickle=True)
        data, flags = trusting.encode_value({1, 2}, FMT_AUTO)
        assert flags == FMT_PICKLE
        assert trusting.decode_value(data, flags) == {1, 2}
        assert trusting.decode_value(*trusting.encode_value([1], FMT_PICKLE)) == [1]
        assert trusting.encode_value([1], FMT_AUTO) == (b"[1]", FMT_JSON)

    def test_broken(self) -> None:
        """What cannot be pickled, or is no pickle, is a ValueFormatError."""
        trusting = Transcoder(allow_pickle=True)
        with pytest.raises(ValueFormatError):
            trusting.encode_value(lambda: None, FMT_PICKLE)
        with pytest.raises(ValueFormatError):
            trusting.decode_value(b"no pickle", FMT_PICKLE)


class TestEquality:
    """Transcoders are compared when a bucket is opened again."""

    def test_equal(self) -> None:
        """Two of one class with the same settings are equal, others are not."""

        class Mine(Transcoder):
            pass

        assert Transcoder(allow_pickle=True) == Transcoder(allow_pickle=True)
        assert hash(Transcoder()) == hash(Transcoder())
        assert Transcoder(allow_pickle=True) != Transcoder()
        assert Mine() != Transcoder()
        assert Transcoder() != "transcoder"


class TestKeys:
    """Keys are UTF-8."""

    @given(st.text())
    def test_round_trip(self, key: str) -> None:
        """A text key comes back as it was."""
        assert Transcoder().decode_key(Transcoder().encode_key(key)) == key

    def test_bytes(self) -> None:
        """Keys that are bytes are taken as they are; only UTF-8 can be read as text."""
        assert Transcoder().encode_key(b"\xff") == b"\xff"
        with pytest.raises(ValueFormatError):
            Transcoder().decode_key(b"\xff")

    @pytest.mark.parametrize("key", [1, None, "\ud800", ("a",)])
    def test_no_key(self, key: Value) -> None:
        """What is neither text nor bytes, or no valid text, is no key."""
        with pytest.raises(ArgumentError):
            Transcoder().encode_key(key)


class TestConverters:
    """Functions of the user's that write and read JSON, and pickles."""

    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        """Have ours back after a test."""
        yield
        set_json_converters(None, None)
        set_pickle_converters(None, None)

    def test_of_one_transcoder(self) -> None:
        """A transcoder's own functions are used for JSON alone; text and bytes are both taken."""
        own = Transcoder(
            json_encode=lambda value: json.dumps(value, default=str),
            json_decode=lambda text: json.loads(text, parse_float=decimal.Decimal),
        )
        encoded, flags = own.encode_value({"a": decimal.Decimal("1.5")})
        assert (encoded, flags) == (b'{"a": "1.5"}', FMT_JSON)
        assert own.decode_value(b"[1.25]", FMT_JSON) == [decimal.Decimal("1.25")]
        assert own.decode_value(b"[1.25]", 0) == [decimal.Decimal("1.25")]
        assert own.encode_value({1}, FMT_AUTO)[0] == b'"{1}"'
        assert own.encode_value("ü", FMT_UTF8) == ("ü".encode(), FMT_UTF8)
        assert Transcoder(json_encode=lambda _: b"null").encode_value(5) == (b"null", FMT_JSON)
        assert Transcoder(json_encode=lambda _: "ü").encode_value(5) == ("ü".encode(), FMT_JSON)

    def test_of_all(self) -> None:
        """`set_json_converters` counts for all that have none of their own, and gives the old."""
        mine = Transcoder(json_encode=lambda _: b"own")
        old = set_json_converters(lambda _: "all", lambda text: [text])
        assert Transcoder().encode_value(1) == (b"all", FMT_JSON)
        assert JSONTranscoder().decode_value(b"x", FMT_JSON) == ["x"]
        assert mine.encode_value(1) == (b"own", FMT_JSON)
        previous = set_json_converters(*old)
        assert (previous[0](1), previous[1]("y")) == ("all", ["y"])
        assert Transcoder().encode_value(1) == (b"1", FMT_JSON)
        assert Transcoder().json_encode is Transcoder().json_decode is None
        assert (old[0](1), old[1]("[1]")) == (b"1", [1])

    @pytest.mark.parametrize("made", [None, 5, ["x"], memoryview(b"abcd").cast("I")])
    def test_what_they_give(self, made: Any) -> None:
        """What is neither text nor bytes is a ValueFormatError."""
        with pytest.raises(ValueFormatError, match="json_encode raised"):
            Transcoder(json_encode=lambda _: made).encode_value(1)

    def test_what_they_raise(self) -> None:
        """Whatever they raise is the cause of a ValueFormatError."""

        def fail(_: Any) -> Any:
            raise LookupError("mine")

        own = Transcoder(json_encode=fail, json_decode=fail)
        with pytest.raises(ValueFormatError, match="json_encode raised LookupError") as caught:
            own.encode_value(1)
        assert isinstance(caught.value.__cause__, LookupError)
        with pytest.raises(ValueFormatError, match="json_decode raised LookupError") as caught:
            own.decode_value(b"1", FMT_JSON)
        assert isinstance(caught.value.__cause__, LookupError)
        with pytest.raises(ValueFormatError, match="no UTF-8"):
            own.decode_value(b"\xff", FMT_JSON)

    def test_pickles(self) -> None:
        """`set_pickle_converters` counts only where pickles are allowed."""
        dumps, loads = set_pickle_converters(lambda _: b"mine", lambda data: [data])
        assert (dumps, loads) == (pickle.dumps, pickle.loads)
        trusting = Transcoder(allow_pickle=True)
        assert trusting.encode_value(object(), FMT_PICKLE) == (b"mine", FMT_PICKLE)
        assert trusting.decode_value(b"mine", FMT_PICKLE) == [b"mine"]
        with pytest.raises(ValueFormatError, match="allow_pickle"):
            Transcoder().decode_value(b"mine", FMT_PICKLE)

    def test_a_subclass_without_our_constructor(self) -> None:
        """A transcoder whose constructor does not call ours works, without pickles."""

        class Own(Transcoder):
            def __init__(self) -> None:
                self.mine = 1

        assert Own().encode_value([1]) == (b"[1]", FMT_JSON)
        assert Own().decode_value(b"[1]", FMT_JSON) == [1]
        with pytest.raises(ValueFormatError, match="allow_pickle"):
            Own().encode_value([1], FMT_PICKLE)


class TestKinds:
    """Transcoders by the names of SDK 3 and later, each for one format."""

    @pytest.mark.parametrize(
        ("kind", "value", "data", "flags", "back"),
        [
            (JSONTranscoder, {"a": 1}, b'{"a":1}', FMT_JSON, {"a": 1}),
            (JSONTranscoder, "text", b'"text"', FMT_JSON, "text"),
            (RawJSONTranscoder, '{"a":1}', b'{"a":1}', FMT_JSON, b'{"a":1}'),
            (RawJSONTranscoder, b"[1]", b"[1]", FMT_JSON, b"[1]"),
            (RawStringTranscoder, "ü", "ü".encode(), FMT_UTF8, "ü"),
            (RawBinaryTranscoder, b"\0", b"\0", FMT_BYTES, b"\0"),
            (RawBinaryTranscoder, bytearray(b"\1"), b"\1", FMT_BYTES, b"\1"),
            (LegacyTranscoder, "ü", "ü".encode(), FMT_UTF8, "ü"),
            (LegacyTranscoder, b"\0", b"\0", FMT_BYTES, b"\0"),
            (LegacyTranscoder, [1], b"[1]", FMT_JSON, [1]),
        ],
    )
    @pytest.mark.parametrize("format_", [FMT_JSON, FMT_UTF8, FMT_BYTES, FMT_AUTO])
    def test_there_and_back(
        self,
        kind: type[Transcoder],
        value: Any,
        data: bytes,
        flags: int,
        back: Any,
        format_: int,
    ) -> None:
        """Whatever format is asked for, the value is written in the one that the class is for."""
        assert kind().encode_value(value, format_) == (data, flags)
        assert kind().encode_value(value) == (data, flags)
        assert kind().decode_value(data, flags) == back

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (JSONTranscoder, b"bytes"),
            (JSONTranscoder, {1}),
            (RawJSONTranscoder, {"a": 1}),
            (RawStringTranscoder, b"bytes"),
            (RawStringTranscoder, 5),
            (RawBinaryTranscoder, "text"),
            (LegacyTranscoder, {1}),
        ],
    )
    def test_refused(self, kind: type[Transcoder], value: Any) -> None:
        """What the format cannot hold is a ValueFormatError."""
        with pytest.raises(ValueFormatError):
            kind().encode_value(value)

    @pytest.mark.parametrize(
        ("kind", "right"),
        [
            (JSONTranscoder, FMT_JSON),
            (RawJSONTranscoder, FMT_JSON),
            (RawStringTranscoder, FMT_UTF8),
            (RawBinaryTranscoder, FMT_BYTES),
        ],
    )
    def test_other_formats(self, kind: type[Transcoder], right: int) -> None:
        """A value of another format is refused by name; legacy flags count."""
        for flags in (FMT_JSON, FMT_UTF8, FMT_BYTES, FMT_PICKLE, 0, 1, 2, 4, 0x7F000000, 3):
            if format_of(flags) == right:
                kind().decode_value(b"1", flags)
                continue
            with pytest.raises(ValueFormatError, match=f"^{kind.__name__} reads FMT_"):
                kind().decode_value(b"1", flags)

    def test_legacy_json(self) -> None:
        """What is flagged as JSON and is none is text to the legacy one, nothing else is."""
        assert LegacyTranscoder().decode_value(b"no json", FMT_JSON) == "no json"
        with pytest.raises(ValueFormatError, match="no UTF-8"):
            LegacyTranscoder().decode_value(b"\xff", FMT_UTF8)
        with pytest.raises(ValueFormatError, match="allow_pickle"):
            LegacyTranscoder().decode_value(pickle.dumps(1), FMT_PICKLE)
        trusting = LegacyTranscoder(allow_pickle=True)
        assert trusting.decode_value(*trusting.encode_value({1})) == {1}

    @pytest.mark.parametrize(
        ("value", "format_", "flags"),
        [([1], FMT_JSON, 0), (b"x", FMT_BYTES, 2), ("x", FMT_UTF8, 4), ("x", FMT_AUTO, 4)],
    )
    def test_legacy_flags(self, value: Any, format_: int, flags: int) -> None:
        """LegacyTranscoderPP writes what clients before RFC 0020 read."""
        encoded, written = LegacyTranscoderPP().encode_value(value, format_)
        assert written == flags
        assert Transcoder().decode_value(encoded, written) == value


def test_errors_of_msgspec() -> None:
    """Whatever msgspec says of JSON is handled, in versions where that is no ValueError, too."""
    msgspec = pytest.importorskip("msgspec")
    transcoder.load()
    for name in ("DecodeError", "EncodeError", "ValidationError"):
        assert issubclass(getattr(msgspec, name), transcoder.JSON_ERRORS)


@pytest.mark.parametrize("document", [b"NaN", b"1e400", b'"\\ud800"', b"\xef\xbb\xbf1"])
def test_what_the_quick_one_does_not_read(document: bytes) -> None:
    """`json` reads it."""
    assert repr(Transcoder().decode_value(document, FMT_JSON)) == repr(json.loads(document))
    assert repr(transcoder.decode_json(document)) == repr(json.loads(document))
