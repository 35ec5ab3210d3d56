"""The garbage collector is paused for as long as asked, and is never meddled with otherwise."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from couchloop.hot import collector
from couchloop.hot.collector import paused


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    """Leave the collector as it is found, and begin with one that is on."""
    if not hasattr(gc, "get_threshold"):
        pytest.skip("this collector has no thresholds")
    was_on, known = gc.isenabled(), gc.get_threshold()
    gc.enable()
    gc.set_threshold(700, 11, 12)
    yield
    gc.set_threshold(*known)
    (gc.enable if was_on else gc.disable)()


@pytest.mark.usefixtures("_as_it_was")
def test_it_is_paused_and_goes_on() -> None:
    """Nothing is collected meanwhile; afterwards it is as it was."""
    began: list[str] = []

    def note(phase: str, _: Any) -> None:
        began.append(phase)

    def read() -> int:
        assert gc.get_threshold() == (0, 11, 12)
        gc.callbacks.append(note)
        kept = [[number] for number in range(100_000)]
        gc.callbacks.remove(note)
        return len(kept)

    assert paused(read) == 100_000
    assert not began
    assert gc.get_threshold() == (700, 11, 12)
    assert gc.isenabled()


@pytest.mark.usefixtures("_as_it_was")
def test_it_goes_on_after_a_failure() -> None:
    """Also where reading raises, whatever that is."""

    def read(error: BaseException) -> None:
        raise error

    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            paused(partial(read, error))
        assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.usefixtures("_as_it_was")
def test_whoever_has_it_off_keeps_it_off() -> None:
    """It is not touched then: neither by its switch nor by its threshold."""
    gc.disable()
    assert paused(gc.get_threshold) == (700, 11, 12)
    assert not gc.isenabled()
    gc.enable()
    gc.set_threshold(0, 5, 5)
    assert paused(gc.get_threshold) == (0, 5, 5)
    assert gc.get_threshold() == (0, 5, 5)


@pytest.mark.usefixtures("_as_it_was")
def test_what_is_set_meanwhile_counts() -> None:
    """Users' code may run there, or another thread: what it does to the collector stays."""
    paused(gc.disable)
    assert not gc.isenabled()
    gc.enable()
    paused(lambda: gc.set_threshold(5, 6, 7))
    assert gc.get_threshold() == (5, 6, 7)
    assert paused(lambda: paused(gc.get_threshold)) == (0, 6, 7)
    assert gc.get_threshold() == (5, 6, 7)


@pytest.mark.usefixtures("_as_it_was")
def test_two_loops_at_once() -> None:
    """Loops in two threads: whichever ends last leaves it on."""
    first, second = threading.Event(), threading.Event()

    def one() -> None:
        first.set()
        assert second.wait(20)

    thread = threading.Thread(target=paused, args=(one,))
    thread.start()
    assert first.wait(20)
    paused(second.set)
    thread.join()
    assert gc.get_threshold() == (700, 11, 12)


def test_an_interpreter_without_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy's collector has none: it goes on, and all is read."""

    class Collector:
        @staticmethod
        def isenabled() -> bool:
            return True

    monkeypatch.setattr(collector, "gc", Collector)
    assert paused(lambda: 5) == 5
