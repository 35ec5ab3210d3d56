"""Whoever issues operations on a Bucket faster than the network takes them, and can pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPullProducer, IPushProducer
from twisted.logger import Logger

from couchloop.exceptions import ArgumentError

Producer = IPushProducer | IPullProducer


class Producers:
    """The producers of one Bucket.

    Args:
        reactor: calls pull producers, once a turn.
        is_paused: whether they have to pause at first.
    """

    def __init__(self, reactor: Any, *, is_paused: bool) -> None:
        self._reactor = reactor
        self._is_paused = is_paused
        self._pushing: list[Any] = []
        self._pulling: list[Any] = []
        self._turn: IDelayedCall | None = None

    def add(self, producer: Producer, streaming: bool) -> None:
        """Take *producer*.

        Raises ArgumentError if it is there already.
        """
        if producer in self._pushing or producer in self._pulling:
            raise ArgumentError("the producer is registered already: unregister it first")
        if not streaming:
            self._pulling.append(producer)
            self._pull_later()
            return
        pushing: Any = producer
        self._pushing.append(pushing)
        if self._is_paused:
            self._call(pushing.pauseProducing)

    def remove(self, producer: Producer) -> None:
        """Forget *producer*, if it is there."""
        for producers in (self._pushing, self._pulling):
            if producer in producers:
                producers.remove(producer)
        if not self._pulling:
            self._stop_pulling()

    def load(self, *, is_high: bool) -> None:
        """Pause or resume them all."""
        self._is_paused = is_high
        for producer in list(self._pushing):
            self._call(producer.pauseProducing if is_high else producer.resumeProducing)
        if is_high:
            self._stop_pulling()
        else:
            self._pull_later()

    def stop(self) -> None:
        """Tell them that what they produce is wanted no more, and forget them."""
        producers = [*self._pushing, *self._pulling]
        self._pushing.clear()
        self._pulling.clear()
        self._stop_pulling()
        for producer in producers:
            self._call(producer.stopProducing)

    def _pull_later(self) -> None:
        if self._pulling and not self._is_paused and self._turn is None:
            self._turn = self._reactor.callLater(0, self._pull)

    def _pull(self) -> None:
        self._turn = None
        for producer in list(self._pulling):
            self._call(producer.resumeProducing)
        self._pull_later()

    def _stop_pulling(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.cancel()

    @staticmethod
    def _call(method: Callable[[], object]) -> None:
        with _log.failuresHandled("while telling a producer"):
            method()


_log: Final = Logger()
"""Of the module: an event that is kept must not hold producers."""
