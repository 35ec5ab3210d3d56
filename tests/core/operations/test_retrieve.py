"""Fetching documents: with a new expiry, by a transcoder of one call, and whether there is one."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, NotFoundError, ProtocolError, ValueFormatError
from couchloop.hot.frames import Frame
from couchloop.operations import document as ops
from couchloop.result import ExistsResult
from couchloop.transcoder import Transcoder
from tests.core.session.support import opened
from tests.core.world import defaults

D = defaults()


class Upside:
    """Knows values only, no keys, and writes them backwards."""

    def encode_value(self, value: str, _format: int) -> tuple[bytes, int]:
        """Reverse it."""
        return value[::-1].encode(), 7

    def decode_value(self, value: bytes, flags: int) -> str:
        """Reverse it again."""
        assert flags == 7
        return value[::-1].decode()


class Failing(Transcoder):
    """Reads nothing."""

    def decode_value(self, value: Any, flags: int) -> Any:
        """Fail."""
        raise ZeroDivisionError


def answer(extras: bytes, status: int = 0) -> Frame:
    """Make a server's answer."""
    return Frame(0x81, 0xA0, 0, status, 0, 7, b"", extras, b"", b"")


class TestExists:
    """`exists` reads the metadata."""

    def test_life(self) -> None:
        """It follows the life of a document, and the result is true or false by itself."""
        w = opened()
        d = w.defaults
        before = w.do(ops.exists(d, "k"))
        assert (bool(before), before.exists, before.value, before.cas) == (False, False, False, 0)
        stored = w.do(ops.upsert(d, "k", 1))
        there = w.do(ops.exists(d, "k"))
        assert (bool(there), there.exists, there.cas) == (True, True, stored.cas)
        assert there.success
        w.do(ops.remove(d, "k"))
        assert not w.do(ops.exists(d, "k"))
        w.do(ops.upsert(d, "k", 1, ttl=5))
        w.advance(10)
        assert not w.do(ops.exists(d, "k"))

    def test_many(self) -> None:
        """What is missing is no failure of a batch."""
        w = opened()
        w.do(ops.upsert(w.defaults, "a", 1))
        results = w.do(ops.exists_multi(w.defaults, ["a", "b"]))
        assert {key: bool(result) for key, result in results.items()} == {"a": True, "b": False}
        assert results.all_ok

    def test_deleted(self) -> None:
        """What is deleted has metadata still, and does not exist."""
        op = ops.exists(D, "k")
        assert op.decode(answer((1).to_bytes(4) + bytes(17))).exists is False
        assert op.decode(answer(bytes(21))).exists is True

    @pytest.mark.parametrize("extras", [b"", bytes(20)])
    def test_garbage(self, extras: bytes) -> None:
        """An answer without metadata is a ProtocolError."""
        with pytest.raises(ProtocolError, match="no metadata"):
            ops.exists(D, "k").decode(answer(extras))

    def test_failed(self) -> None:
        """The result of a failure exists not, and is none of success."""
        result = ops.Exists.missed("k", 0x17)
        assert isinstance(result, ExistsResult)
        assert (result.exists, result.success, result.rc) == (False, False, 0x17)
        assert repr(result).startswith("ExistsResult(key='k', exists=False")


class TestGetAndTouch:
    """`get_and_touch` is what `get` with a ttl is."""

    def test_touches(self) -> None:
        """The document lives so long from then on; 0 lets it live for ever."""
        w = opened()
        d = w.defaults
        for key in "ab":
            w.do(ops.upsert(d, key, key, ttl=10))
        assert w.do(ops.get_and_touch(d, "a", 100)).value == "a"
        assert w.do(ops.get_and_touch(d, "b", 0)).value == "b"
        w.advance(50)
        assert [bool(w.do(ops.exists(d, key))) for key in "ab"] == [True, True]
        w.advance(100)
        assert [bool(w.do(ops.exists(d, key))) for key in "ab"] == [False, True]

    def test_missing(self) -> None:
        """What is not there is NotFoundError, or a result where that is wanted."""
        w = opened()
        with pytest.raises(NotFoundError):
            w.do(ops.get_and_touch(w.defaults, "k", 5))
        assert w.do(ops.get_and_touch(w.defaults, "k", 5, quiet=True)).value is None


class TestTranscoders:
    """A transcoder of one call."""

    def test_there_and_back(self) -> None:
        """An instance or a class; it need not know keys."""
        w = opened()
        d = w.defaults
        upside: Any = Upside
        w.do(ops.upsert(d, "k", "abc", transcoder=upside()))
        assert w.do(ops.get(d, "k", no_format=True)).value == b"cba"
        assert w.do(ops.get(d, "k", transcoder=upside)).value == "abc"
        assert w.do(ops.get_and_touch(d, "k", 5, transcoder=upside)).value == "abc"
        assert w.do(ops.lock(d, "k", 5, transcoder=upside)).value == "abc"
        found = w.do(ops.get_multi(d, ["k"], transcoder=upside))
        assert found["k"].value == "abc"

    def test_failure(self) -> None:
        """What it raises is a ValueFormatError with the key and the cause."""
        w = opened()
        w.do(ops.upsert(w.defaults, "k", 1))
        with pytest.raises(ValueFormatError, match="raised ZeroDivisionError") as caught:
            w.do(ops.get(w.defaults, "k", transcoder=Failing))
        assert caught.value.key == "k"
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert w.do(ops.get(w.defaults, "k")).value == 1

    @pytest.mark.parametrize("given", [5, object(), "json"])
    def test_none(self, given: Any) -> None:
        """What is none is refused at the call."""
        with pytest.raises(ArgumentError, match="encode_value, decode_value"):
            ops.get(D, "k", transcoder=given)
        with pytest.raises(ArgumentError, match="encode_value, decode_value"):
            ops.upsert(D, "k", 1, transcoder=given)
