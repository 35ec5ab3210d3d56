"""Storing documents whose expiry is to stay."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ArgumentError
from couchloop.operations import document as ops
from tests.core.session.support import opened
from tests.core.world import World, defaults

D = defaults()


def lives(w: World, key: str) -> bool:
    """Return whether a document is there."""
    return bool(w.do(ops.exists(w.defaults, key)))


def test_stays() -> None:
    """With preserve_expiry a document dies when it was to, without it lives for ever."""
    w = opened()
    d = w.defaults
    for key in "abc":
        w.do(ops.upsert(d, key, 1, ttl=100))
    w.do(ops.upsert(d, "a", 2, preserve_expiry=True))
    w.do(ops.replace(d, "b", 2, preserve_expiry=True))
    w.do(ops.upsert(d, "c", 2))
    w.do(ops.upsert(d, "new", 2, ttl=100, preserve_expiry=True))
    w.do(ops.upsert_multi(d, {"a": 3}, preserve_expiry=True))
    w.advance(50)
    assert w.do(ops.get(d, "a")).value == 3
    assert lives(w, "new")
    w.advance(100)
    assert [lives(w, key) for key in ("a", "b", "c", "new")] == [False, False, True, False]


def test_a_contradiction() -> None:
    """A document that is replaced has an expiry already: two of them are refused."""
    with pytest.raises(ArgumentError, match="preserve_expiry") as caught:
        ops.replace(D, "k", 1, ttl=5, preserve_expiry=True)
    assert caught.value.key == "k"


@pytest.mark.parametrize("wrong", ["yes", 1.5, [1]])
def test_no_truth(wrong: Any) -> None:
    """What is neither true nor false is refused."""
    with pytest.raises(ArgumentError, match="preserve_expiry"):
        ops.upsert(D, "k", 1, preserve_expiry=wrong)
