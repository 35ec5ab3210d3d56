"""AnalyticsIngester: rows of an analytics query, stored as documents (SDK 2.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

from couchloop.exceptions import ArgumentError, CouchbaseError, InvalidSettingError


def _function(given: Any, what: str) -> Callable[..., Any]:
    if not callable(given):
        raise InvalidSettingError(f"{what} is a function", objextra=given)
    found: Callable[..., Any] = given
    return found


class BucketOperator:
    """What becomes of a row: how its document is stored.

    Args:
        verb: is called with the Bucket, the key and the value.

    Raises InvalidSettingError (a TypeError) for what cannot be called.
    """

    def __init__(self, verb: Callable[[Any, str, Any], Any]) -> None:
        self.verb = _function(verb, "verb")

    def __call__(self, bucket: Any, *args: Any, **kwargs: Any) -> Any:
        """Store a document; return what the Bucket returns."""
        return self.verb(bucket, *args, **kwargs)


class BucketOperators:
    """The usual ones."""

    INSERT: Final = BucketOperator(lambda bucket, key, value: bucket.insert(key, value))
    """It must not exist."""
    REPLACE: Final = BucketOperator(lambda bucket, key, value: bucket.replace(key, value))
    """It must exist."""
    UPSERT: Final = BucketOperator(lambda bucket, key, value: bucket.upsert(key, value))
    """Whether it exists or not."""


class AnalyticsIngester:
    """Stores the rows of analytics queries as documents, one after the other.

    Args:
        id_generator: is called with what is stored, and gives its key. None: each has a new UUID.
        data_converter: is called with a row, and gives what is stored. None: the row itself.
        operation: one of BucketOperators, or a function, as a BucketOperator has it.

    Raises InvalidSettingError (a TypeError) for what cannot be called, ArgumentError for REPLACE
    without *id_generator*.
    """

    def __init__(
        self,
        id_generator: Callable[[Any], Any] | None = None,
        data_converter: Callable[[Any], Any] | None = None,
        operation: BucketOperator | Callable[[Any, str, Any], Any] = BucketOperators.UPSERT,
    ) -> None:
        if operation is BucketOperators.REPLACE and id_generator is None:
            raise ArgumentError("REPLACE needs an id_generator: no document has a new UUID")
        self.id_generator = _function(id_generator or _new_key, "id_generator")
        self.data_converter = _function(data_converter or _itself, "data_converter")
        self.operation = _function(operation, "operation")

    def __call__(
        self,
        bucket: Any,
        query: Any,
        host: str | None = None,
        ignore_ingest_error: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Ask *query*, and store its rows; no more are read than are stored.

        Args:
            bucket: that is asked, and has the documents; one of either loop, or a handle for
                threads.
            query: as `bucket.analytics_query` takes it.
            host: likewise.
            ignore_ingest_error: whether documents that cannot be stored are passed over.
            args: as `bucket.analytics_query` takes them, too.
            kwargs: likewise.

        Returns nothing; on Twisted a new Deferred, which fires when all is stored.

        Raises what the query raises, and what ends the storing of a document.
        """
        request = bucket.analytics_query(query, host, *args, **kwargs)
        if hasattr(request, "on_rows"):

            async def store(rows: list[Any]) -> None:
                for row in rows:
                    try:
                        done: Awaitable[Any] = self._store(bucket, row)
                        if hasattr(done, "__await__"):
                            await done
                    except CouchbaseError:
                        if not ignore_ingest_error:
                            raise

            return request.on_rows(store).addCallback(lambda _: None)
        for row in request:
            try:
                self._store(bucket, row)
            except CouchbaseError:
                if not ignore_ingest_error:
                    raise
        return None

    def _store(self, bucket: Any, row: Any) -> Any:
        value = self.data_converter(row)
        return self.operation(bucket, str(self.id_generator(value)), value)


def _new_key(_: Any) -> str:
    return str(uuid4())


def _itself(row: Any) -> Any:
    return row
