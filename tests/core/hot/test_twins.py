"""The compiled twin of the hot path and Python's own: nothing that can be seen differs."""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.hot.twins import Twin

KEYS: Final = st.sampled_from(["a", "b", "key", "ä", "", "k" * 250, "k" * 251, b"raw", 7])
CASES: Final = st.sampled_from([0, 1, 2**64 - 1, 2**64, -1, None, False, "x"])
VALUES: Final = st.sampled_from([{"a": [1, 2.5, None]}, "x" * 5000, 1 << 70, math.nan, [], b"no"])
TIMEOUTS: Final = st.sampled_from([None, 1, 2.5, 0, -1, math.inf, math.nan, "x"])
PARTS: Final = st.fixed_dictionaries(
    {
        "extras": st.sampled_from([b"", b"\2\0\0\0", bytes(16), bytes(21)]),
        "value": st.sampled_from([b"", b"1", b'{"a":1}', b"no json", bytes(8)]),
        "key": st.sampled_from([b"", b"", b"k"]),
        "framing": st.sampled_from([b"", b"\x02\x00\x01", b"\x01\x00"]),
        "cas": st.sampled_from([0, 1, 2**64 - 1]),
        "datatype": st.sampled_from([0, 1, 2]),
    }
)
TAILS: Final = st.sampled_from([b"", b"\x81", b"\x18" * 30, b"GET /", b"\x80" * 24])
STEPS: Final = st.one_of(
    st.tuples(
        st.just("build"),
        st.sampled_from(["get", "exists", "touch", "remove", "counter"]),
        st.tuples(KEYS),
        st.fixed_dictionaries({"timeout": TIMEOUTS}),
    ),
    st.tuples(
        st.just("build"),
        st.just("get"),
        st.tuples(KEYS),
        st.fixed_dictionaries({"quiet": st.booleans()}),
    ),
    st.tuples(
        st.just("build"),
        st.just("upsert"),
        st.tuples(KEYS, VALUES),
        st.fixed_dictionaries({"cas": CASES}),
    ),
    st.tuples(st.just("batch"), st.just("get"), st.lists(KEYS, max_size=5)),
    st.tuples(st.just("batch"), st.just("upsert"), st.dictionaries(KEYS, VALUES, max_size=5)),
    st.builds(
        lambda status, parts, cut, last: ("answer", status, parts, cut, last),
        st.sampled_from([0, 0, 0, 1, 2, 0x86, 0x99]),
        PARTS,
        st.integers(0, 60),
        st.booleans(),
    ),
    st.tuples(st.just("all"), PARTS, TAILS),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0])),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.just(("close",)),
)


class Colour(enum.Enum):
    """Something that orjson writes, and `json` does not."""

    RED = "red"


class Text(str):
    """Of a type of the user's."""

    __slots__ = ()


SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([Colour.RED, Text("x"), uuid.UUID(int=1), b"bytes", 1j, 2**64, 1e400, -0.0])
)
TREES: Final = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.text(max_size=3) | st.integers() | st.just(Text("k")), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def twins() -> Iterator[tuple[Twin, Twin]]:
    """Give a process with each of the two."""
    pure, compiled = Twin("0"), Twin("1")
    try:
        if compiled.name is None:
            pytest.skip("the compiled twin is not built here: make speedups")
        yield pure, compiled
    finally:
        pure.end()
        compiled.end()


def test_which_is_which(twins: tuple[Twin, Twin]) -> None:
    """Each process has the one that was asked for."""
    assert [each.name for each in twins] == [None, "compiled"]


@given(st.lists(STEPS, min_size=1, max_size=12))
@settings(deadline=None)
def test_sessions(twins: tuple[Twin, Twin], steps: list[Any]) -> None:
    """The same calls and bytes give the same bytes, results, errors and order."""
    pure, compiled = (each.ask("exchange", steps) for each in twins)
    assert compiled == pure


@given(TREES)
@settings(deadline=None)
def test_json(twins: tuple[Twin, Twin], value: Any) -> None:
    """Values are written alike, or refused in the same words."""
    pure, compiled = (each.ask("encode", value) for each in twins)
    assert compiled == pure


@pytest.mark.parametrize("depth", [200, 254, 255, 256, 900, 5000])
def test_deep_json(twins: tuple[Twin, Twin], depth: int) -> None:
    """So it is with what is nested deeply."""
    # Such a value cannot be pickled: it is made there.
    pure, compiled = (each.ask("nested", depth) for each in twins)
    assert compiled == pure
