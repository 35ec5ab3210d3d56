"""Functions: what holds of all of them, and edges of single ones."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.functions import (
    FUNCTIONS,
    array_sets,
    bits,
    dates,
    durations,
    masks,
    numbers,
    patterns,
    strings,
    tokens,
)
from couchloop.embedded.sqlpp.texts import encode, mended
from couchloop.embedded.sqlpp.values import MISSING, Binary, Value, number
from tests.embedded.sqlpp.functions import call
from tests.share import share

_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(("", "é", "a", "day", "month", "iso_week", "Europe/Oslo", "2024-02-29")),
    st.sampled_from(("12:30:15.123456", "2024-02-29T12:30:15+05:30", "%Y %j %^B", "YYYY-MM-DD")),
    st.sampled_from(("Jan _2 2006", "(a|b)*$", "[", "\\", "1h30m", "\ud800", "0x10", "1e999")),
    st.sampled_from(("-0", "{}", "SGk=", "sha512/256", "a%b_")),
)
_NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**63 - 1, -(2**63), 10**4, 1.5e300, 5e-324, -0.5, 10**18, 86_400_000]),
    st.floats().map(number),
)
_SCALARS = st.one_of(
    st.just(MISSING),
    st.none(),
    st.booleans(),
    _NUMBERS,
    _TEXTS,
    st.binary(max_size=4).map(Binary),
)
_INSIDE = _SCALARS.filter(lambda value: value is not MISSING)
_VALUES = st.one_of(
    _SCALARS,
    st.recursive(
        _INSIDE,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.one_of(_TEXTS, st.sampled_from(["mask", "anchor", "pattern", "case"])),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=6,
    ),
)


def _is_whole(value: Value) -> bool:
    """Whether numbers are in their normal form, wherever they are."""
    if type(value) is float:
        return type(number(value)) is float
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if isinstance(value, dict):
        return all(type(name) is str and _is_whole(each) for name, each in value.items())
    if type(value) is list:
        return all(each is not MISSING and _is_whole(each) for each in value)
    return value is MISSING or value is None or type(value) in {bool, str, Binary}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=share(12), deadline=None)
@given(data=st.data())
def test_any_values(name: str, data: st.DataObject) -> None:
    """Whatever it is given, a function answers a value or refuses by FunctionError."""
    function = FUNCTIONS[name]
    most = function.minimum + 2 if function.maximum is None else function.maximum
    arguments = data.draw(st.lists(_VALUES, min_size=function.minimum, max_size=most))
    try:
        result = call(name, *arguments)
    except FunctionError:
        return
    assert _is_whole(result), result
    assert isinstance(encode(result), str)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_names(name: str) -> None:
    """A function is found by the name that it has; its bounds make sense."""
    function = FUNCTIONS[name]
    assert function.name == name == name.upper()
    assert function.minimum >= 0
    assert function.maximum is None or function.minimum <= function.maximum
    kinds = {"json", "string", "number", "boolean", "array", "object"}
    assert function.type in {*kinds, "argument", "successor"}


_PASSED_ON = sorted(
    name
    for topic in (array_sets, bits, dates, durations, masks, numbers, patterns, strings, tokens)
    for name, function in topic.FUNCTIONS.items()
    if function.minimum and name not in {"GREATEST", "LEAST"}
)
"""Functions of topics whose rule it is to pass MISSING on."""


@pytest.mark.parametrize("name", _PASSED_ON)
def test_missing(name: str) -> None:
    """MISSING as any argument gives MISSING, also beside NULL."""
    for place in range(FUNCTIONS[name].minimum):
        arguments: list[Value] = [None] * FUNCTIONS[name].minimum
        arguments[place] = MISSING
        assert call(name, *arguments) is MISSING, place


_A_YEAR = 31_622_400_000
_LEAP_DAY = 1_709_209_815_345
_DAY = "2024-02-29"

_NESTED = {"a": {"b": [1, {"c": 2}]}, "d e": 3}


def _pair(name: str, value: Value) -> dict[str, Value]:
    return {"name": name, "val": value}


_EDGES: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    # Strings: bytes, unless MB_.
    ("LENGTH", ("é😀",), 6),
    ("MB_LENGTH", ("é😀",), 2),
    ("LOWER", ("İ",), "i"),
    ("UPPER", ("straße",), "STRAßE"),
    ("INITCAP", ("it's a-b 3rd",), "It'S A-B 3rd"),
    ("SUBSTR", ("é", 0, 1), "�"),
    ("SUBSTR", ("😀", 0, 3), "���"),
    ("SUBSTR", ("abc", -3), "abc"),
    ("SUBSTR1", ("abc", 3), "c"),
    ("SUBSTR1", ("abc", 4), None),
    ("MB_SUBSTR1", ("añb", -1, 1), "b"),
    ("REPLACE", ("aaa", "", "b"), "bababab"),
    ("SPLIT", ("", None), None),
    ("LEN", (-1.5,), 4),
    ("TRIM", ("\u00a0a\v",), "\u00a0a\v"),
    ("URLDECODE", ("a%2",), None),
    ("RPAD", ("abc", 2), "ab"),
    ("MASK", ("4111-1111", {"mask": "****-", "anchor": 5, "inject": "-"}), "4111-****-"),
    ("MASK", ("abcdef", {"mask": "xx", "anchor": "c"}), "abxx"),
    ("MASK", ("abcdef", {"mask": "xx", "length": "source"}), "xxcdef"),
    ("MASK", ("abcdef", {"mask": "xx", "length": "source", "anchor": "end"}), "abcdxx"),
    # Numbers.
    ("ROUND", (2.345, 2), 2.35),
    ("ROUND", (2.675, 2), 2.68),
    ("ROUND", (1250, -2), 1200),
    ("ROUND", (15, -1), 20),
    ("ROUND", (25, -1), 20),
    ("ROUND", (0.5,), 0),
    ("ROUND", (-3.5,), -4),
    ("ROUND", (5, 400), math.nan),
    ("TRUNC", (1234.5, -2), 1200),
    ("TRUNC", (2.789, 2), 2.78),
    ("POWER", (0, -1), math.inf),
    ("POWER", (-8, 1 / 3), math.nan),
    ("POWER", (-10, 401), -math.inf),
    ("EXP", (1000,), math.inf),
    ("BITSET", (0, 64), -(2**63)),
    ("BITSET", (0, 0), None),
    ("BITSET", (0, 65), None),
    ("BITSHIFT", (1, 64), 0),
    ("BITSHIFT", (-1, -60), 15),
    ("BITSHIFT", (1, 65, True), 2),
    ("BITTEST", (6, [1, 2]), True),
    ("BITTEST", (6, [1, 2], True), False),
    ("BITXOR", (7, 1, 2), 4),
    # Arrays.
    ("ARRAY_PUT", ([1], 1, 2, 2), [1, 2, 2]),
    ("ARRAY_REMOVE", ([1, None], None), None),
    ("ARRAY_CONTAINS", ([None], 1), False),
    ("ARRAY_FLATTEN", ([1, [2, [3]]], -1), [1, 2, 3]),
    ("ARRAY_INSERT", ([1, 2], -1, None), [1, None, 2]),
    ("ARRAY_INTERSECT", ([None, 1], [1, None]), [1]),
    ("ARRAY_EXCEPT", ([None, 1, 2], [None]), [1, 2]),
    ("ARRAY_REPLACE", ([1, 1], 1, None, 1), [None, 1]),
    ("ARRAY_BINARY_SEARCH", ([1, 2], MISSING), -1),
    ("ARRAY_CONTAINS_ALL", ([1, None], [None]), False),
    ("ARRAY_SUM", ([2**63 - 1, 1],), 2.0**63),
    ("ARRAY_MOVE", ([1, 2, 3], -1, 0), [3, 1, 2]),
    ("ARRAY_RANGE", (1, 2, 0.5), [1, 1.5]),
    ("SLICE", ([1, 2, 3], 3), MISSING),
    ("SLICE", ([1, 2, 3], -2), [2, 3]),
    # Objects.
    ("OBJECT_PUT", ({"a": 1}, "a", MISSING), {}),
    ("OBJECT_PUT", ({"a": 1}, "a", None), {"a": None}),
    ("OBJECT_ADD", (None, "a", MISSING), None),
    ("OBJECT_REPLACE", ({"a": 1, "b": 2}, 1, MISSING), {"b": 2}),
    ("OBJECT_PAIRS", ({"a": 1}, {"types": True}), [{"name": "a", "type": "number"}]),
    ("OBJECT_PATHS", (_NESTED,), ["`d e`", "a", "a.b", "a.b[1].c"]),
    ("OBJECT_PATHS", (_NESTED, {"composites": False}), ["`d e`", "a.b[0]", "a.b[1].c"]),
    ("OBJECT_PATHS", (_NESTED, {"arraysubscript": False}), ["`d e`", "a", "a.b", "a.b[*].c"]),
    ("OBJECT_PATHS", (_NESTED, {"index": True}), ["`a`.`b`", "`a`.`b`[].`c`", "`d e`"]),
    ("OBJECT_PATHS", (_NESTED, {"pattern": "C", "ignorecase": True}), ["a.b[1].c"]),
    ("OBJECT_PATHS", (_NESTED, {"pattern": "b", "exact": True}), []),
    ("OBJECT_PAIRS_NESTED", ({"b": 1, "a": [2]},), [_pair("a[0]", 2), _pair("b", 1)]),
    ("OBJECT_PAIRS_NESTED", ({"a": {"b": 1}}, {"report": "field"}), [_pair("b", 1)]),
    ("OBJECT_FILTER", (_NESTED, {"pattern": "c"}), {"a": {"b": [{"c": 2}]}}),
    ("OBJECT_FILTER", (_NESTED, {"pattern": "nope"}), None),
    ("OBJECT_EXTRACT", ({"b": 1, "a": 2}, {"min": "b"}), [_pair("b", 1)]),
    ("OBJECT_EXTRACT", ({"b": 1, "a": 2}, {"pattern": "^a"}), [_pair("a", 2)]),
    ("OBJECT_FIELD", (_NESTED, "a.b[-1].c"), 2),
    ("OBJECT_FIELD", (_NESTED, "`d e`"), 3),
    ("OBJECT_FIELD", (_NESTED, "a..b"), None),
    ("OBJECT_FIELD", (_NESTED, "a.b.c"), MISSING),
    ("OBJECT_REMOVE_FIELDS", (_NESTED, "a.b[1]", ["`d e`", "zz.y"]), {"a": {"b": [1]}}),
    ("REDACT", ("Ann, 2024",), ", "),
    ("REDACT", ({"a": "x y", "b": 12}, {}), {"a": "x x", "b": 11}),
    ("REDACT", ({"a": "2024-02-29"}, {}), {"a": "1111-11-11"}),
    ("REDACT", ({"a": [True], "b": 1}, {"pattern": "a", "omit": True}), {"b": 1}),
    ("REDACT", ({"a": "secret"}, {"name": True, "fixedlength": True}), {"f0000": "x"}),
    ("REDACT", ({"a": "1", "b": "z"}, {"pattern": "a", "exclude": True}), {"a": "1", "b": "x"}),
    # Conditions, types.
    ("IFNAN", (math.nan, math.inf), math.inf),
    ("IFNAN", (MISSING, math.nan), MISSING),
    ("NULLIF", (MISSING, None), MISSING),
    ("DECODE", (MISSING, MISSING, 1, 2), 1),
    ("TO_NUMBER", ("+5",), 5),
    ("TO_NUMBER", (".5",), 0.5),
    ("TO_NUMBER", ("5.",), 5),
    ("TO_NUMBER", ("-Infinity",), -math.inf),
    ("TO_NUMBER", ("1e400",), None),
    ("TO_NUMBER", ("9223372036854775807",), 2**63 - 1),
    ("TO_NUMBER", ("1.234,5", "."), 1234.5),
    ("TO_STRING", (1e30,), "1000000000000000000000000000000"),
    ("TO_ATOM", ({"a": [[1]]},), 1),
    ("BASE64", (None,), "bnVsbA=="),
    ("HASHBYTES", ("a", "SHA512/256"), None),
    ("SUCCESSOR", ({"a": 1, "b": [1]},), {"a": 1, "b": [1, None]}),
    # Dates.
    ("STR_TO_MILLIS", ("2024/02/29 12:30",), 1_709_209_800_000),
    ("STR_TO_MILLIS", ("2024-02-29T12:30:15.1239999Z",), 1_709_209_815_124),
    ("STR_TO_MILLIS", ("2024-02-29T12:30:15 +0530",), 1_709_190_015_000),
    ("STR_TO_MILLIS", ("24:00:00",), None),
    ("STR_TO_MILLIS", ("12:30",), None),
    ("STR_TO_MILLIS", ("2024-02",), None),
    ("STR_TO_MILLIS", ("2024-2-9",), None),
    ("STR_TO_MILLIS", (" 2024-02-29",), None),
    ("STR_TO_MILLIS", ("2024-02-29Z",), None),
    ("STR_TO_MILLIS", ("2024-02-29t12:30:15z",), None),
    ("STR_TO_MILLIS", ("2024-02-29T12:30:15,5Z",), None),
    ("STR_TO_MILLIS", ("2024-02-29T12:30:15.1234567890Z",), None),
    ("STR_TO_MILLIS", ("29.02.2024", "%d.%m.%Y"), 1_709_164_800_000),
    ("STR_TO_MILLIS", ("Feb 29, 2024", "Jan 2, 2006"), 1_709_164_800_000),
    ("STR_TO_MILLIS", ("February 3 2024 1pm", "January 2 2006 3pm"), 1_706_965_200_000),
    ("STR_TO_MILLIS", ("2024 060", "%Y %j"), 1_709_164_800_000),
    ("MILLIS_TO_STR", (_LEAP_DAY, "1111-11-11T00:00:00Z"), "2024-02-29T12:30:15Z"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "00:00:00"), "12:30:15"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "1111"), "2024-02-29T12:30:15.345Z"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "15:04"), "2024-02-29T12:30:15.345Z"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "foo"), "foo"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "DD MMM YYYY"), "DD MMM YYYY"),
    ("MILLIS_TO_STR", (1_709_220_615_345, "HH:mm pp hh:MI s"), "03:30 pm 15:30 345"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "DAY Month dy CC YY TZD"), "THURSDAY February thu 20 24 Z"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "%D %T.%n"), "2024-02-29 12:30:15.345"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "%a %^b %-d %_5j %%"), "Thu FEB 29    60 %"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "Mon Jan _2 03:04 PM"), "Thu Feb 29 12:30 PM"),
    ("MILLIS_TO_STR", (_LEAP_DAY, "3:4:05.000 06 MST -0700"), "12:30:15.345 24 UTC +0000"),
    ("MILLIS_TO_STR", (math.inf,), None),
    ("MILLIS_TO_TZ", (1_719_792_000_000, "Europe/Oslo", "%H %Z %:z"), "02 CEST +02:00"),
    ("MILLIS_TO_TZ", (0, "../etc/passwd"), None),
    ("MILLIS_TO_TZ", (0, "+05:30"), "1970-01-01T05:30:00+05:30"),
    ("DATE_PART_STR", ("2021-01-03", "iso_week"), 53),
    ("DATE_PART_STR", ("2021-01-03", "iso_year"), 2020),
    ("DATE_PART_STR", ("2021-01-03", "iso_dow"), 7),
    ("DATE_PART_STR", ("2024-02-29T00:00:00-03:30", "timezone_minute"), -30),
    ("DATE_ADD_STR", ("2024-02-29", -1, "year"), "2023-03-01"),
    ("DATE_ADD_STR", ("2024-01-31", 1, "calendar_month"), "2024-02-29"),
    ("DATE_ADD_STR", ("2024-02-29", 1, "calendar_month"), "2024-03-31"),
    ("DATE_ADD_STR", ("2024-01-31", 90, "minute"), "2024-01-31"),
    ("DATE_ADD_STR", ("2024-01-31T00:00:00.250Z", 1, "hour"), "2024-01-31T01:00:00.25Z"),
    ("DATE_ADD_MILLIS", (0, 10**18, "year"), None),
    ("DATE_DIFF_STR", ("2024-01-02T00:10:00Z", "2024-01-01T23:50:00Z", "hour"), 1),
    ("DATE_DIFF_STR", ("2024-01-02T00:10:00Z", "2024-01-01T23:50:00Z", "minute"), 20),
    ("DATE_DIFF_STR", ("2024-01-01T10:00:00Z", "2024-01-01T12:00:00+03:00", "hour"), -2),
    ("DATE_DIFF_STR", ("2039-01-01", "2020-01-01", "decade"), 1),
    ("DATE_DIFF_MILLIS", (_A_YEAR, 0, "day"), 366),
    ("DATE_TRUNC_STR", ("2024-05-17", "century"), "2000-01-01"),
    ("DATE_TRUNC_STR", ("2024-05-17", "iso_week"), "2024-05-13"),
    ("DATE_RANGE_STR", ("2024-01-31", "2024-03-01", "calendar_month"), ["2024-01-31", _DAY]),
    ("DATE_RANGE_STR", ("2024-01-01", "2024-01-01", "day", 0), ["2024-01-01"]),
    ("DURATION_TO_STR", (1500,), "1.5µs"),
    ("DURATION_TO_STR", (3_661_500_000_000,), "1h1m1.5s"),
    ("DURATION_TO_STR", (-90_000_000_000,), "-1m30s"),
    ("STR_TO_DURATION", ("1.5s",), 1_500_000_000),
    ("STR_TO_DURATION", ("1d",), None),
    ("STR_TO_DURATION", ("-.5ms",), -500_000),
    ("NOW_STR", (), "2023-11-14T22:13:20.25Z"),
    ("CLOCK_MILLIS", (), 1_700_000_001_500),
    ("NOW_TZ", ("Asia/Kolkata", "hh:mm"), "03:43"),
    # Tokens.
    ("TOKENS", ("3.14",), ["3", "14"]),
    ("TOKENS", ("me@x.org, (you!)", {"specials": True}), ["me", "x", "org", "you", "me@x.org"]),
    ("TOKENS", (" A b ", {"split": False, "case": "lower"}), ["a b"]),
    ("TOKENS", ({"a": 1}, {"names": False}), [1]),
    ("CONTAINS_TOKEN_LIKE", ("a%b cd", "c_"), True),
)  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "result"), _EDGES)
def test_edges(name: str, arguments: tuple[Value, ...], result: Value) -> None:
    """Each is an answer that the service gives, or follows from its rules."""
    found = call(name, *arguments)
    if result is None and name == "HASHBYTES":
        assert found is None or len(found) == 64
        return
    assert (found, type(found)) == (result, type(result)) or (
        type(result) is float and math.isnan(result) and math.isnan(found)
    )


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("REPEAT", ("ab", 2**31), 5035),
        ("REPEAT", ("x" * 1000, 10**6), 5037),
        ("LPAD", ("a", 10**9), 5037),
        ("MB_RPAD", ("a", 2**62), 5037),
        ("ARRAY_REPEAT", (1, 10**10), 5035),
        ("ARRAY_REPEAT", (1, 10**8), 5037),
        ("ARRAY_RANGE", (0, 3_000_000_000), 5035),
        ("ARRAY_RANGE", (0, math.inf), 5035),
        ("ARRAY_RANGE", (10**17, 10**17 + 64, 0.5), 5035),
        ("DATE_RANGE_MILLIS", (0, 1e15, "millisecond"), 5035),
        ("REPLACE", ("a" * 100_000, "", "b" * 10_000), 5037),
        ("SUFFIXES", ("a" * 100_000,), 5037),
        ("REGEXP_REPLACE", ("a" * 100_000, "", "b" * 10_000), 5037),
        ("CONCAT", ("a" * (11 << 20), "a" * (11 << 20)), 5037),
    ],
)
def test_too_large(name: str, arguments: tuple[Value, ...], code: int) -> None:
    """What would not fit is refused before it is made, as the service does it."""
    with pytest.raises(FunctionError) as caught:
        call(name, *arguments)
    assert caught.value.code == 5010
    assert not caught.value.cause
    assert caught.value.reason["code"] == code


def test_abort() -> None:
    """ABORT ends the statement with its own code."""
    with pytest.raises(FunctionError) as caught:
        call("ABORT", {"why": [1]})
    assert caught.value.code == 5011
    assert caught.value.cause == 'Abort: {"why":[1]}. - cause: {"why":[1]}'


def test_seeds() -> None:
    """The same seed gives the same number, another one another; all are from 0 to 1."""
    drawn = [call("RANDOM", seed) for seed in range(100)]
    assert drawn == [call("RANDOM", seed) for seed in range(100)]
    assert len(set(drawn)) == 100
    assert all(0 <= each < 1 for each in drawn)
    assert 0.3 < sum(drawn) / 100 < 0.7


def test_ids() -> None:
    """UUID() has the form of RFC 9562's random ones."""
    text = call("UUID")
    assert [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]
    assert text[14] == "4"
    assert text[19] in "89ab"


# Neither a document nor a statement hands over half of a surrogate pair.
_READABLE = _INSIDE.map(lambda value: mended(value) if isinstance(value, str) else value)


@given(st.dictionaries(st.text(max_size=3), _READABLE, max_size=4))
def test_json_there_and_back(value: dict[str, Value]) -> None:
    """What JSON can say comes back from its text, with the names sorted."""
    text = call("JSON_ENCODE", value)
    assert list(json.loads(text)) == sorted(value)
    assert call("JSON_ENCODE", call("JSON_DECODE", text)) == text


def test_half_a_pair() -> None:
    """Half of a surrogate pair, which JSON can say, is read as the replacement character."""
    assert call("JSON_DECODE", '["\\ud83d\\ude00", "\\ude00"]') == ["\U0001f600", "\ufffd"]
