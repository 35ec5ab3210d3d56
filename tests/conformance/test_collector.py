"""`gc_while_decoding=off`, on either loop over real sockets."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import ValueFormatError
from couchloop.transcoder import Transcoder
from tests.conformance.loops import Loop, opened_at
from tests.garbage import needs_thresholds

pytestmark = needs_thresholds

FEW = [f"k{number}" for number in range(30)]
MANY = [f"k{number}" for number in range(1500)]
"""More than are read in one slice."""


class Watching(Transcoder):
    """Notes whether the collector is paused where a value is decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bool] = set()

    def decode_value(self, value: Any, flags: int) -> Any:
        """Read it; raise for one."""
        self.seen.add(gc.get_threshold()[0] == 0)
        if bytes(value) == b'"unreadable"':
            raise LookupError("by the user")
        return super().decode_value(value, flags)

    def told(self) -> set[bool]:
        """Give what was noted, and forget it."""
        seen, self.seen = self.seen, set()
        return seen


@pytest.fixture
def known(loop: Loop) -> Iterator[tuple[int, int, int]]:
    """Give the thresholds of a collector that is on."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.set_threshold(*before)


@pytest.mark.parametrize("is_off", [False, True])
def test_only_batches_and_only_if_asked(
    loop: Loop, known: tuple[int, int, int], is_off: bool
) -> None:
    """It is paused in each slice of a batch, small or large, and nowhere else."""
    transcoder = Watching()
    option = "?gc_while_decoding=off" if is_off else ""
    with loop.serving(loop.embedded(2)) as served:
        where = f"{served.connection_string}/default{option}"
        with opened_at(loop, where, transcoder=transcoder) as bucket:
            loop.wait(bucket.upsert_multi(dict.fromkeys(MANY, 1)))
            for keys in (FEW, MANY):
                assert loop.wait(bucket.get_multi(keys)).all_ok
                assert transcoder.told() == {is_off}
                assert gc.get_threshold() == known
            assert loop.wait(bucket.collection("_default").get_multi(FEW)).all_ok
            assert transcoder.told() == {is_off}
            loop.wait(bucket.get("k1"))
            loop.take(bucket.get_stream(FEW))
            assert transcoder.told() == {False}
            loop.wait(bucket.upsert("k1", "unreadable"))
            for keys in (FEW, MANY):
                with pytest.raises(ValueFormatError):
                    loop.wait(bucket.get_multi(keys))
                assert gc.get_threshold() == known
