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
        # By identity: equal ones are not the same, and not all can be hashed.
        self._pushing: dict[int, Any] = {}
        self._pulling: dict[int, Any] = {}
        self._turn: IDelayedCall | None = None

    def add(self, producer: Producer, streaming: bool) -> None:
        """Register *producer*.

        Raises ArgumentError if it is there already.
        """
        if id(producer) in self._pushing or id(producer) in self._pulling:
            raise ArgumentError("the producer is registered already: unregister it first")
        if not streaming:
            self._pulling[id(producer)] = producer
            self._pull_later()
            return
        pushing: Any = producer
        self._pushing[id(producer)] = pushing
        if self._is_paused:
            self._call(pushing.pauseProducing)

    def remove(self, producer: Producer) -> None:
        """Forget *producer*, if it is there."""
        self._pushing.pop(id(producer), None)
        self._pulling.pop(id(producer), None)
        if not self._pulling:
            self._stop_pulling()

    def load(self, *, is_high: bool) -> None:
        """Pause or resume them all."""
        self._is_paused = is_high
        for number, producer in list(self._pushing.items()):
            # What others do when they are told may change all this.
            if number in self._pushing and self._is_paused is is_high:
                self._call(producer.pauseProducing if is_high else producer.resumeProducing)
        if self._is_paused:
            self._stop_pulling()
        else:
            self._pull_later()

    def stop(self) -> None:
        """Stop them, and forget them."""
        producers = [*self._pushing.values(), *self._pulling.values()]
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
        for number, producer in list(self._pulling.items()):
            if number in self._pulling:
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
