"""AnalyticsIngester: rows of an analytics query, stored as documents (SDK 2.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from couchloop.exceptions import CouchbaseError, InvalidSettingError


class BucketOperators(Enum):
    """What becomes of a row: how its document is stored."""

    INSERT = "insert"
    """It must not exist."""
    REPLACE = "replace"
    """It must exist."""
    UPSERT = "upsert"
    """Whether it exists or not."""


Operation = BucketOperators | Callable[[Any, str, Any], Any]
"""One of these, or a call that is given the Bucket, the key and the value."""


class AnalyticsIngester:
    """Stores the rows of analytics queries as documents, one after the other.

    Args:
        id_generator: is called with what is stored, and gives its key.
        data_converter: is called with a row, and gives what is stored.
        operation: how it is stored.

    Raises InvalidSettingError (a TypeError) for what cannot be called.
    """

    def __init__(
        self,
        id_generator: Callable[[Any], Any],
        data_converter: Callable[[Any], Any],
        operation: Operation = BucketOperators.UPSERT,
    ) -> None:
        for given, what in ((id_generator, "id_generator"), (data_converter, "data_converter")):
            if not callable(given):
                raise InvalidSettingError(f"{what} is a function", objextra=given)
        if not isinstance(operation, BucketOperators) and not callable(operation):
            text = "operation is one of BucketOperators, or a function"
            raise InvalidSettingError(text, objextra=operation)
        self._key_of = id_generator
        self._convert = data_converter
        self._operation = operation

    def __call__(
        self, bucket: Any, query: Any, host: str | None = None, ignore_ingest_error: bool = False
    ) -> Any:
        """Ask *query*, and store its rows; no more are read than are stored.

        Args:
            bucket: that is asked, and has the documents; one of either loop, or a handle for
                threads.
            query: as `bucket.analytics_query` takes it.
            host: likewise.
            ignore_ingest_error: whether documents that cannot be stored are passed over.

        Returns nothing; on Twisted a new Deferred, which fires when all is stored.

        Raises what the query raises, and what ends the storing of a document.
        """
        request = bucket.analytics_query(query, host)
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
        value = self._convert(row)
        key = self._key_of(value)
        if isinstance(self._operation, BucketOperators):
            return getattr(bucket, self._operation.value)(str(key), value)
        return self._operation(bucket, str(key), value)
