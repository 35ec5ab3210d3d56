"""What the streams of both adapters are: a consumer's end of a stream of the core.

It holds its Bucket (or its collection), and nothing that is under way holds it: so one that is
forgotten ends, as one that is closed does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from couchloop.operations.key_stream import KeyStream, Summary
from couchloop.operations.stream import Alone, Cancelled, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.client.driver import Driver
    from couchloop.client.services import ClusterServices
    from couchloop.hot.result import Result

T = TypeVar("T")


def end(driver: Driver, stream: Stream[Any]) -> None:
    """Let go of all that *stream* has under way, and tell the servers that need to know."""
    flying, farewells = stream.close()
    if flying:
        driver.cancel(Cancelled(stream, flying))
    for op in farewells:
        op.batch = op.batch or Alone()
        driver.submit(op)
    # What was cancelled may have been what the loop's timer was for.
    driver.schedule()


class StreamBase(ABC, Generic[T]):
    """Results that come one after the other.

    Args:
        owner: the Bucket, or a collection of it.
        stream: the core's.
        services: those that are asked; None: what the Bucket's own driver does.
    """

    def __init__(
        self, owner: Any, stream: Stream[T], services: ClusterServices | None = None
    ) -> None:
        self._owner = owner
        self._services = services
        """They stay there for as long as the stream, whatever becomes of the owner's login."""
        self._stream = stream
        self._driver: Any = (owner if services is None else services)._driver  # noqa: SLF001 - ours
        self._failures: list[Result] = []

    @property
    def done(self) -> int:
        """How many keys were dealt with; of a scan, how many results were given."""
        return self._stream.done if isinstance(self._stream, KeyStream) else self._count

    _count = 0

    @property
    def failed(self) -> int:
        """Of these, how many failed."""
        return self._stream.failed if isinstance(self._stream, KeyStream) else 0

    @property
    def total(self) -> int | None:
        """How many there are in all; None: nobody knows."""
        return self._stream.total if isinstance(self._stream, KeyStream) else None

    @property
    def closed(self) -> bool:
        """Whether it gives no more."""
        return self._stream.is_over

    def __length_hint__(self) -> int:
        """Return how many results are still to come, as far as that is known; else 0."""
        total = self.total
        return 0 if total is None else max(0, total - self.done + len(self._stream.ready))

    def _note(self, result: Any) -> None:
        """Keep the first failures, for a summary."""
        if getattr(result, "error", None) is not None and len(self._failures) < _SHOWN:
            self._failures.append(result)

    def _summary(self) -> Summary:
        return Summary(self.done, self.failed, tuple(self._failures))

    @abstractmethod
    def _soon(self, driver: Any, call: Callable[[], None]) -> None:
        """Have the loop of *driver* make a call; from any thread."""

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is None or stream.is_over:
            return
        driver = self._driver
        # The loop may be gone, as at the end of a program.
        with suppress(Exception):
            self._soon(driver, lambda: end(driver, stream))

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.done} done, {self.failed} failed"
        return f"<{type(self).__module__}.{type(self).__name__} {self._stream.name!r}: {state}>"


_SHOWN = 100
