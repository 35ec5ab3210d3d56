"""Groups that are repeated: alike whether Python lets them go back or not."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.http import json_value, repeats, usual, whole_rows

GOING_BACK = {"ANY": b"*", "MANY": b"+", "MAYBE": b"?"}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
texts = st.lists(values, min_size=1, max_size=5).map(json.dumps).map(str.encode)
odd = st.lists(st.sampled_from(list(b'{}[]",:\\ a1.e-')), max_size=30).map(bytes)
heads = st.lists(
    st.sampled_from([b"Server: a b", b"Content-Length: 5", b" ", b":", b"X:y ", b"\r\n", b"Z: "]),
    max_size=9,
).map(lambda lines: b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")


def test_where_the_last_round_fails() -> None:
    """What a round has taken and then does not match is not taken, whatever Python this is."""
    for group, text, end in (
        (rb"(?:ab*+c)" + repeats.ANY, b"abcab", 3),
        (rb"(?:ab*+c)" + repeats.MANY, b"abcabcab", 6),
        (rb"(?:ab*+c)" + repeats.MAYBE, b"ab", 0),
    ):
        found = re.match(group, text)
        assert found is not None
        assert found.end() == end


class Forms:
    """What is made of the same expressions where groups may go back."""

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patching:
            for name, sign in GOING_BACK.items():
                patching.setattr(repeats, name, sign)
            made = runpy.run_path(json_value.__file__)
            self.value: type[json_value.JsonValue] = made["JsonValue"]
            self.usual_head = runpy.run_path(usual.__file__)["usual_head"]
            for name in ("TEXT", "SCALAR"):
                patching.setattr(whole_rows, name, made[name])
            for name in ("ANY", "MAYBE"):
                patching.setattr(whole_rows, name, GOING_BACK[name])
            self.patterns = whole_rows._patterns.__wrapped__(4)


FORMS = Forms()


def ends(kind: type[json_value.JsonValue], data: bytes, cuts: list[int]) -> Iterator[Any]:
    """Yield where a value ends in each piece of *data*, and then itself, or what is wrong."""
    value = kind(8)
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    try:
        value.begin(data[0], 1000, "x", "y")
        for start, end in pairwise(places):
            if start < end and not value.complete:
                yield value.advance(data[start:end], 0)
        yield value.take() if value.complete else None
    except Exception as error:  # noqa: BLE001 - two modules have two of each class
        yield type(error).__name__, str(error)


@settings(deadline=None)
@given(texts | odd.filter(bool), st.lists(st.integers(0, 200), max_size=5))
def test_values(data: bytes, cuts: list[int]) -> None:
    """A value ends at the same place, in whatever pieces it comes."""
    assert list(ends(FORMS.value, data, cuts)) == list(ends(json_value.JsonValue, data, cuts))


@settings(deadline=None)
@given(st.lists(texts, max_size=4), odd)
def test_rows(rows: list[bytes], rest: bytes) -> None:
    """The same rows are cut, and the same members are matched."""
    data = b",".join([*rows, rest])
    for going_back, pattern in zip(FORMS.patterns, whole_rows._patterns(4), strict=True):
        assert going_back.findall(data) == pattern.findall(data)
        for at in range(0, len(data), 7):
            found, also = going_back.match(data, at), pattern.match(data, at)
            assert (found and found.span()) == (also and also.span())


@settings(deadline=None)
@given(heads)
def test_heads(head: bytes) -> None:
    """The same heads are usual ones."""
    assert FORMS.usual_head(head) == usual.usual_head(head)
