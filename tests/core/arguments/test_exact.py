"""What users gave, as values of the built-in types alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.arguments.exact import exact_bytes, exact_integer, exact_text, is_quiet, is_true
from couchloop.exceptions import InvalidSettingError


class Liar(int):
    """A number whose methods lie."""

    def __index__(self) -> int:
        return 7

    def __int__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Bytes(bytes):
    """Bytes whose methods lie."""

    def __len__(self) -> int:
        return 0

    def __bytes__(self) -> bytes:
        return b""


@given(st.integers())
def test_integers(number: int) -> None:
    """An integer is what it holds, whatever its methods say."""
    assert exact_integer(number) == number
    exact = exact_integer(Liar(number))
    assert type(exact) is int
    assert exact == number


@given(st.floats() | st.booleans() | st.none() | st.text() | st.binary())
def test_no_integers(given: Any) -> None:
    """Nothing else is one, and True and False are slips."""
    assert exact_integer(given) is None


@given(st.binary())
def test_bytes(data: bytes) -> None:
    """All that holds bytes becomes bytes that nobody else can change."""
    for held in (data, bytearray(data), memoryview(data), Bytes(data)):
        exact = exact_bytes(held)
        assert type(exact) is bytes
        assert exact == data


@pytest.mark.parametrize("given", ["text", 7, None, [1], memoryview(bytes(8)).cast("I")])
def test_no_bytes(given: object) -> None:
    """Nothing else does, nor does a view of wider items."""
    with pytest.raises(TypeError):
        exact_bytes(given)


class Text(str):
    """A text that lies."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> Any:
        """Return what is no bytes."""
        return "no"

    def __len__(self) -> int:
        return 0


@given(st.text())
def test_text(text: str) -> None:
    """Whatever UTF-8 can say becomes a str."""
    for held in (text, Text(text)):
        exact = exact_text(held)
        assert type(exact) is str
        assert exact == text


@pytest.mark.parametrize("given", [b"a", 7, None, [], "a\ud800", "\udfff"])
def test_no_text(given: object) -> None:
    """Lone surrogates are in no UTF-8, and so on no way to a server."""
    assert exact_text(given) is None


@given(st.booleans() | st.integers())
def test_truth(given: int) -> None:
    """A bool is itself, and a number counts as SDK 2.5 has it."""
    assert is_true(given, "quiet") is (given != 0)
    assert is_quiet(given) is (given != 0)


@given(st.text() | st.none() | st.floats() | st.lists(st.integers()))
def test_no_truth(given: Any) -> None:
    """The text "false" would count as True: it is refused, and the error says for what."""
    with pytest.raises(InvalidSettingError, match="quiet is True or False") as caught:
        is_quiet(given, "k")
    assert isinstance(caught.value, TypeError)
    assert caught.value.key == "k"
