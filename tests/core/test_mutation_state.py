"""MutationState: what is kept of tokens, and its JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import ArgumentError, MissingTokenError, ValueFormatError
from couchloop.hot.durable import MutationToken
from couchloop.mutation_state import MutationState
from couchloop.result import MultiResult, OperationResult, Result, ValueResult

numbers = st.integers(0, 2**64 - 1)
tokens = st.builds(
    MutationToken, st.integers(0, 1023), numbers, numbers, st.sampled_from(["default", "other"])
)


def result(vbucket: int, seqno: int, uuid: int = 7) -> OperationResult:
    """Return the result of a change."""
    return OperationResult("k", 1, MutationToken(vbucket, uuid, seqno, "default"))


def test_format() -> None:
    """It is what queries want: numbers by vbucket, and UUIDs as decimal text."""
    state = MutationState(result(17, 5), ValueResult("k", 1, 1, 0, 0, result(2, 9, 2**63).token))
    expected = {"default": {"2": [9, str(2**63)], "17": [5, "7"]}}
    assert state.as_dict() == expected
    assert json.loads(state.encode()) == json.loads(state.export()) == expected


def test_of_a_bucket() -> None:
    """A Bucket's last changes are added; one that has seen none is refused, or passed over."""

    class Seen:
        def __init__(self, *tokens: MutationToken) -> None:
            self.tokens = tokens

        def _mutinfo(self) -> tuple[MutationToken, ...]:
            return self.tokens

    state = MutationState()
    assert repr(state) == "<MutationState: empty>"
    with pytest.raises(MissingTokenError, match="fetch_mutation_tokens"):
        state.add_all(Seen())
    assert state.add_all(Seen(), quiet=True) is False
    first, second = result(1, 5).token, result(2, 6).token
    assert first is not None
    assert second is not None
    assert state.add_all(Seen(first, second)) is True
    assert state.as_dict() == {"default": {"1": [5, "7"], "2": [6, "7"]}}
    assert repr(state) == "<MutationState: 2 of 'default'>"
    assert state != 5


def test_greatest() -> None:
    """Of a vbucket the greatest number counts, in whichever order they come."""
    for results in ([result(1, 5), result(1, 6)], [result(1, 6), result(1, 5)]):
        assert MutationState(*results).as_dict() == {"default": {"1": [6, "7"]}}
    first, second = MutationState(result(1, 5), result(2, 1)), MutationState(result(1, 4))
    second.merge(first)
    assert second == first


def test_batches() -> None:
    """Results of a batch are added by the dict that it gave; tokens by themselves."""
    batch = MultiResult({"a": result(1, 1), "b": result(2, 1)})
    token = result(3, 1).token
    assert [*MutationState(batch, token).as_dict()["default"]] == ["1", "2", "3"]


def test_missing() -> None:
    """A result without a token is an error, unless quietly."""
    state = MutationState()
    assert not state
    for each in (OperationResult("k", 1), Result("k")):
        with pytest.raises(MissingTokenError, match="fetch_mutation_tokens"):
            state.add(each)
    assert state.add_results(result(1, 1), OperationResult("k", 1), quiet=True) is False
    assert state.add(result(1, 1)) is True
    assert state
    with pytest.raises(ArgumentError):
        state.add("text")
    with pytest.raises(TypeError):
        hash(state)


@given(st.lists(tokens))
def test_round_trip(found: list[MutationToken]) -> None:
    """What was written is read as it was."""
    state = MutationState(*found)
    assert MutationState.decode(state.encode()) == state
    assert MutationState.from_dict(state.as_dict()) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"b": 1}',
        '{"b": {"x": [1, "1"]}}',
        '{"b": {"-1": [1, "1"]}}',
        '{"b": {"65536": [1, "1"]}}',
        '{"b": {"1": [1]}}',
        '{"b": {"1": [1, "x"]}}',
        '{"b": {"1": [true, "1"]}}',
        '{"b": {"1": [1.5, "1"]}}',
        '{"b": {"1": [1, null]}}',
        f'{{"b": {{"1": [1, "{"9" * 5000}"]}}}}',
        "[" * 100_000,
    ],
)
def test_garbage(text: str) -> None:
    """Anything else is a ValueFormatError."""
    with pytest.raises(ValueFormatError):
        MutationState.decode(text)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_any_document(document: Any) -> None:
    """Any document gives a state or a ValueFormatError."""
    with suppress(ValueFormatError):
        assert MutationState.from_dict(document) == MutationState.from_dict(document)
