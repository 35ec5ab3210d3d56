"""What is raw of a RawBucket, SDK 2.5's: its methods return AsyncResults in place of Deferreds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from couchloop.client.async_result import AsyncResult
from couchloop.exceptions import ArgumentError
from couchloop.later import Module
from txcouchbase.methods import OldNames

if TYPE_CHECKING:
    from txcouchbase import stream
    from txcouchbase.stream import ResultStream
else:
    stream = Module("txcouchbase.stream", globals())


class RawOperations:
    """Stands for a Bucket, whose operations on documents give AsyncResults.

    Args:
        bucket: the Bucket.
    """

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._bucket!r}>"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._bucket)})

    def __getattr__(self, name: str) -> Any:
        if name == "_bucket":
            # The constructor has failed.
            raise AttributeError(name)
        member = getattr(self._bucket, name)
        if name.startswith("_") or not hasattr(OldNames, name):
            return member
        return partial(_begin, member, name)

    def defer(self, opres: AsyncResult) -> Deferred[Any]:
        """Return a Deferred of what an operation has returned.

        Raises ArgumentError if its outcome was told to callbacks already.
        """
        if opres.has_told:
            raise ArgumentError("the outcome of this AsyncResult was told to its callbacks already")
        deferred: Deferred[Any] = Deferred()

        def failed(_: Any, __: type[BaseException], value: BaseException, ___: Any) -> None:
            deferred.errback(value)

        opres.set_callbacks(deferred.callback, failed)
        return deferred


def _begin(
    method: Callable[..., Deferred[Any]], name: str, *args: Any, **kwargs: Any
) -> AsyncResult | ResultStream[Any]:
    """Call *method*; have its Deferred tell an AsyncResult. A stream is what it is."""
    deferred = method(*args, **kwargs)
    if isinstance(deferred, stream.ResultStream):
        return deferred
    is_single = not name.lower().endswith("multi")
    count = 1
    if not is_single:
        first = args[0] if args else next(iter(kwargs.values()), ())
        count = len(first) if hasattr(first, "__len__") else 1
    result = AsyncResult(count, is_single=is_single)

    def failed(failure: Failure) -> Failure:
        assert failure.value is not None
        result.fail(failure.value)
        # As long as nobody was told, it is an unhandled error, as of any Deferred.
        return failure

    def handled() -> None:
        result.told = None
        deferred.addErrback(lambda _: None)

    result.told = handled
    deferred.addCallbacks(result.finish, failed)
    return result
