"""Pipelines: operations of one greenlet that do not wait for each other (SDK 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from gevent import Greenlet, getcurrent, spawn

from couchloop.exceptions import CouchbaseError, PipelineError, without_frames

if TYPE_CHECKING:
    from couchloop.hot.operation import Pending


class Pipeline:
    """A context: what its greenlet asks of the Bucket within returns None, and is waited for last.

    That is so for its collections, too.

    Operations are issued in the order of the calls. Where the context ends, it waits for all of
    them; what failed first, in that order, is raised then. Other greenlets are not concerned.

    Args:
        bucket: the Bucket.
    """

    def __init__(self, bucket: Any) -> None:
        self._bucket: Any = bucket
        self._greenlet: Any = None
        """Which has entered it, until it is left."""
        self._calls: list[Greenlet[..., Any]] = []
        self._results: list[Any] = []

    @property
    def results(self) -> Sequence[Any]:
        """The result of each call, in order, once the context has ended; of one that failed, too.

        That is the result which the exception has, or None.
        """
        return self._results

    def __enter__(self) -> Self:
        """Begin.

        Raises PipelineError if this greenlet has begun one already, or it was used,
        ObjectDestroyedError if the Bucket is closed, WrongLoopError in another thread than the
        hub's.
        """
        bucket = self._bucket
        if bucket is None:
            raise PipelineError("a pipeline is used once: make another")
        if bucket.closed:
            raise bucket._driver.session.failure()  # noqa: SLF001 - ours
        driver: Any = bucket._driver  # noqa: SLF001 - ours
        driver.check_thread()
        if not isinstance(driver, PipelinedDriver):
            driver = PipelinedDriver(driver)
            _use(bucket, driver)
        driver.begin(self._calls)
        self._greenlet = getcurrent()
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
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is None:
            raise PipelineError("this pipeline is not open: use it in a `with` statement, once")
        bucket, self._bucket = self._bucket, None
        driver: Any = bucket._driver  # noqa: SLF001 - ours
        if isinstance(driver, PipelinedDriver) and driver.end(greenlet):
            _use(bucket, driver.behind)
        del bucket, greenlet
        first = self._gather()
        if first is not None and kind is None:
            try:
                raise first
            finally:
                del first

    def _gather(self) -> CouchbaseError | None:
        first: CouchbaseError | None = None
        for call in self._calls:
            outcome = call.get()
            if isinstance(outcome, CouchbaseError):
                first = first or outcome
                outcome = outcome.result
            self._results.append(outcome)
        self._calls.clear()
        return first


def _use(bucket: Any, driver: Any) -> None:
    """Have a Bucket and its collections use *driver*."""
    bucket._driver = driver  # noqa: SLF001 - ours
    bucket._hand_on(driver)  # noqa: SLF001


class PipelinedDriver:
    """Stands before a Bucket's driver as long as a greenlet has a pipeline open.

    Args:
        behind: that driver.
    """

    def __init__(self, behind: Any) -> None:
        self.behind = behind
        # One that ends without leaving its pipeline is not kept.
        self._open: WeakKeyDictionary[Any, list[Greenlet[..., Any]]] = WeakKeyDictionary()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    def begin(self, calls: list[Greenlet[..., Any]]) -> None:
        """Keep the calls of this greenlet in *calls* from now on."""
        greenlet = getcurrent()
        if greenlet in self._open:
            raise PipelineError("this greenlet has a pipeline open: end it first")
        self._open[greenlet] = calls

    def end(self, greenlet: Any) -> bool:
        """Keep none of *greenlet* any more; return whether no other has a pipeline open now."""
        self._open.pop(greenlet, None)
        return not self._open

    def run(self, pending: Pending[Any]) -> Any:
        """Have *pending* issued in its turn if this greenlet has a pipeline."""
        calls = self._open.get(getcurrent())
        if calls is None:
            return self.behind.run(pending)
        # A new greenlet has no context of its own, and observers ask for the caller's.
        calls.append(spawn(copy_context().run, _outcome, self.behind, pending))
        return None


def _outcome(driver: Any, pending: Pending[Any]) -> Any:
    """Return the result, or the error: a greenlet that raises is reported to the hub."""
    try:
        return driver.run(pending)
    except CouchbaseError as error:
        return without_frames(error)
