"""Pipelines for plain threads: operations of one thread that do not wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from couchloop.client.crossing import Call, Crossing
from couchloop.exceptions import CouchbaseError, PipelineError, without_frames

if TYPE_CHECKING:
    from couchloop.hot.operation import Pending
    from couchloop.session.session import Session


class Ways:
    """Gives the way to the loop: to a thread that has a pipeline open one that does not wait.

    Args:
        cross: gives the adapter's, for a driver.
    """

    def __init__(self, cross: Callable[[Any], Crossing]) -> None:
        self._cross = cross
        self.open: dict[int, list[Call[Any]]] = {}
        """Calls of pipelines, by the number of their thread."""

    def __call__(self, driver: Any) -> Any:
        """Return the way to the loop of *driver*."""
        crossing = self._cross(driver)
        if not self.open:
            return crossing
        calls = self.open.get(crossing.thread())
        return crossing if calls is None else Pipelined(crossing, calls)


class Pipelined:
    """Stands before a way to the loop as long as a thread has a pipeline open.

    Args:
        plain: that way.
        calls: what was sent.
    """

    def __init__(self, plain: Crossing, calls: list[Call[Any]]) -> None:
        self.plain = plain
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def check(self, session: Session) -> None:
        """See `Crossing`."""
        self.plain.check(session)

    def run(self, pending: Pending[Any]) -> None:
        """Make the loop run *pending*, and wait for it where the pipeline ends."""
        self._calls.append(self.plain.begin(pending))


class ThreadPipeline:
    """A context: what its thread asks of the handle within returns None, and is waited for last.

    That is so for the handle's collections, too. Operations are issued in the order of the calls.
    Where the context ends, it waits for all of them; what failed first, in that order, is raised
    then. Other threads are not concerned. A result of a stream is waited for as ever.

    Args:
        ways: of the handle.
        driver: gives the Bucket's driver.
    """

    def __init__(self, ways: Ways, driver: Callable[[], Any]) -> None:
        self._ways = ways
        self._driver: Callable[[], Any] | None = driver
        self._thread = 0
        self._calls: list[Call[Any]] = []
        self._results: list[Any] = []

    @property
    def results(self) -> Sequence[Any]:
        """The result of each call, in order, once the context has ended; of one that failed, too.

        That is the result which the exception has, or None.
        """
        return self._results

    def __enter__(self) -> Self:
        """Begin.

        Raises PipelineError if this thread has begun one already, or it was used,
        ObjectDestroyedError if the Bucket is closed, WrongLoopError in the thread of its loop.
        """
        find, self._driver = self._driver, None
        if find is None:
            raise PipelineError("a pipeline is used once: make another")
        driver = find()
        crossing = self._ways(driver)
        crossing.check(driver.session)
        thread = crossing.thread()
        if self._ways.open.setdefault(thread, self._calls) is not self._calls:
            raise PipelineError("this thread has a pipeline open: end it first")
        self._thread = thread
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for all operations; raise what failed first, unless the body has raised.

        Raises PipelineError if it is not open.
        """
        if self._ways.open.get(self._thread) is not self._calls:
            raise PipelineError("this pipeline is not open: use it in a `with` statement, once")
        del self._ways.open[self._thread]
        calls, self._calls = self._calls, []
        first: CouchbaseError | None = None
        is_dead = False
        while calls:
            call = calls.pop(0)
            try:
                outcome = call.wait(at_once=is_dead)
            except CouchbaseError as failure:
                # Where the loop has not answered one in time, it would not answer the others.
                is_dead = is_dead or call.given_up
                first = first or without_frames(failure)
                outcome = failure.result
            except BaseException:
                for other in calls:
                    other.give_up()
                raise
            self._results.append(outcome)
        if first is not None and kind is None:
            try:
                raise first
            finally:
                del first
