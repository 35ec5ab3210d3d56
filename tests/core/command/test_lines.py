"""Documents as lines of JSON: what is written is read, and nothing else raises but LineError."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.command.lines import AsStored, LineError, Stored, json_text, read, write
from couchloop.transcoder import FMT_BYTES, FMT_JSON, FMT_UTF8, Transcoder

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(KEYS, st.binary(max_size=40), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_bytes(key: str, data: bytes, flags: int, expiry: int) -> None:
    """Whatever is stored comes back: its bytes, or the same JSON."""
    line = write(key, Stored(data, flags), expiry)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    found = read(line)
    assert (found.key, found.expiry) == (key, expiry)
    if json_text(Stored(data, flags)) is None:
        assert found.stored == (data, flags)
    else:
        assert found.stored.flags == FMT_JSON
        assert same(json.loads(found.stored.data), json.loads(data))


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, numbers beyond doubles included."""
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


@given(KEYS, JSON, st.integers(0, 3))
def test_any_json(key: str, value: Any, indent: int) -> None:
    """JSON stands in the line as it is stored, line breaks aside."""
    try:
        data = json.dumps(value, indent=indent or None, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps(value, indent=indent or None).encode()
    line = write(key, Stored(data, FMT_JSON), 0)
    assert json.loads(line) == {"id": key, "value": value}
    assert " ".join(data.decode().split("\n")) in line


@given(st.text(max_size=60))
def test_any_line(line: str) -> None:
    """A line that says no document is a LineError."""
    for member in (None, "id"):
        with suppress(LineError):
            assert read(line, member).key


@given(st.dictionaries(st.sampled_from(["id", "value", "base64", "flags", "expiry"]), JSON))
def test_any_object(members: dict[str, Any]) -> None:
    """Likewise of members of any kind."""
    with suppress(LineError):
        assert read(json.dumps(members)).key == members["id"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        ("[", "no JSON: each line is an object of its own"),
        ('{"id": "a", "value": NaN}', "no JSON"),
        ('{"id": "a", "value": "\udcff"}', "no text in UTF-8"),
        ('{"id": "a", "value": 1, "base64": "AA==", "flags": 0}', "one of them is the document"),
        ('{"value": 1}', "'id' is missing, or no text"),
        ('{"id": "", "value": 1}', "'id' is missing, or no text"),
        ('{"id": 1, "value": 1}', "'id' is missing, or no text"),
        ('{"id": "a"}', "neither a 'value', nor 'base64' and 'flags'"),
        ('{"id": "a", "base64": "AA=="}', "neither a 'value', nor 'base64' and 'flags'"),
        ('{"id": "a", "base64": "A", "flags": 1}', "'base64' is none"),
        ('{"id": "a", "base64": 3, "flags": 1}', "'base64' is none"),
        ('{"id": "a", "value": 1, "expiry": true}', "'expiry' is no number"),
        ('{"id": "a", "value": 1, "expiry": -1}', "'expiry' is no number"),
    ],
)
def test_mistakes(line: str, reason: str) -> None:
    """The text says what is wrong with the line."""
    with pytest.raises(LineError, match=reason):
        read(line)


def test_a_document_with_its_key() -> None:
    """With the name of a member the whole line is the document."""
    found = read('{"_id": "k", "expiry": "not ours"}', "_id")
    assert found == ("k", (b'{"_id":"k","expiry":"not ours"}', FMT_JSON), 0)


@pytest.mark.parametrize("number", ["1.10", "12345678901234567.89", "1e999", "-0.0e-5"])
@pytest.mark.parametrize("around", ["{}", '[{}, "}}", {{"value": {}}}]', '{{"value":{} }}'])
def test_numbers(number: str, around: str) -> None:
    """Numbers are stored as they are written, whatever Python would make of them."""
    text = around.format(number, number)
    line = f' {{"value": 1.5, "id" : "a" ,"x":[1.0],\t"value" : {text} , "expiry":3}}\r\n'
    assert read(line) == ("a", (text.encode(), FMT_JSON), 3)
    assert read(line, "id") == ("a", (line.strip().encode(), FMT_JSON), 0)
    exported = write("k", Stored(text.encode(), FMT_JSON), 0)
    assert read(exported).stored.data == text.encode()


def test_constants() -> None:
    """What json.loads takes beyond JSON is bytes."""
    assert json_text(Stored(b"NaN", FMT_JSON)) is None
    assert '"base64"' in write("k", Stored(b"[Infinity]", FMT_JSON), 0)


@pytest.mark.parametrize("flags", [FMT_UTF8, FMT_BYTES, 2, 4, 0xFFFFFFFF])
def test_other_formats(flags: int) -> None:
    """What is flagged as something else than JSON is bytes, though it may look so."""
    assert json_text(Stored(b"1", flags)) is None


def test_legacy_json() -> None:
    """Flags of old clients mean JSON, too."""
    assert json_text(Stored(b" 1\n", 0)) == "1"


def test_transcoder() -> None:
    """It takes and gives what is stored."""
    transcoder: Transcoder = AsStored()
    stored = transcoder.decode_value(memoryview(b"ab"), 7)
    assert stored == (b"ab", 7)
    assert transcoder.encode_value(stored) == (b"ab", 7)
