"""Rows of an analytics query stored as documents, by a Bucket of either kind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from couchloop.analytics.ingester import AnalyticsIngester, BucketOperator, BucketOperators
from couchloop.exceptions import ArgumentError, InvalidSettingError, KeyExistsError


class Done:
    """What is awaited, and there at once."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


class Rows(list[Any]):
    """Rows that are iterated."""


class HandedRows(Rows):
    """Rows that a function is given, as on Twisted."""

    def on_rows(self, take: Callable[[list[Any]], Coroutine[Any, Any, None]]) -> Any:
        with pytest.raises(StopIteration):
            take(list(self)).send(None)
        return SimpleNamespace(addCallback=lambda call: call(self))


class Bucket:
    """Takes note of what is stored."""

    def __init__(self, rows: Rows, refused: str = "") -> None:
        self.rows, self.refused = rows, refused
        self.asked: list[Any] = []
        self.stored: list[tuple[str, str, Any]] = []

    def analytics_query(self, *args: Any, **kwargs: Any) -> Rows:
        self.asked.append((args, kwargs))
        return self.rows

    def __getattr__(self, verb: str) -> Callable[[str, Any], Any]:
        def store(key: str, value: Any) -> Any:
            if key == self.refused:
                raise KeyExistsError
            self.stored.append((verb, key, value))
            return Done() if hasattr(self.rows, "on_rows") else None

        return store


@pytest.mark.parametrize("kind", [Rows, HandedRows])
def test_stored(kind: type[Rows]) -> None:
    """Each row is converted, named and stored in turn, by the operation that is wanted."""
    for operation, verb in (
        (BucketOperators.UPSERT, "upsert"),
        (BucketOperators.INSERT, "insert"),
        (BucketOperators.REPLACE, "replace"),
        (lambda bucket, key, value: bucket.append(key, value), "append"),
    ):
        bucket = Bucket(kind([1, 2]))
        ingest = AnalyticsIngester(lambda value: value["n"], lambda row: {"n": row}, operation)
        assert ingest(bucket, "SELECT", "host", False, 5, timeout=3) is None
        assert bucket.stored == [(verb, "1", {"n": 1}), (verb, "2", {"n": 2})]
        assert bucket.asked == [(("SELECT", "host", 5), {"timeout": 3})]


@pytest.mark.parametrize("kind", [Rows, HandedRows])
def test_refused(kind: type[Rows]) -> None:
    """A document that cannot be stored ends it, or is passed over where that is wanted."""
    ingest = AnalyticsIngester(str)
    bucket = Bucket(kind([1, 2, 3]), refused="2")
    with pytest.raises(KeyExistsError):
        ingest(bucket, "SELECT")
    assert [key for _, key, _ in bucket.stored] == ["1"]
    bucket.stored.clear()
    ingest(bucket, "SELECT", ignore_ingest_error=True)
    assert [key for _, key, _ in bucket.stored] == ["1", "3"]


def test_usual() -> None:
    """Unless it is said, each row is stored as it is, under a new UUID."""
    bucket = Bucket(Rows([{"a": 1}, {"a": 1}]))
    AnalyticsIngester()(bucket, "SELECT")
    keys = {UUID(key) for _, key, _ in bucket.stored}
    assert len(keys) == 2
    assert {(verb, str(value)) for verb, _, value in bucket.stored} == {("upsert", "{'a': 1}")}


def test_wrong() -> None:
    """What cannot be called is refused; so is REPLACE of documents that nobody has."""
    with pytest.raises(ArgumentError, match="id_generator"):
        AnalyticsIngester(operation=BucketOperators.REPLACE)
    for name in ("id_generator", "data_converter", "operation"):
        wrong: Any = {name: 5}
        with pytest.raises(InvalidSettingError, match=name):
            AnalyticsIngester(**wrong)
    with pytest.raises(InvalidSettingError, match="verb"):
        BucketOperator(None)  # type: ignore[arg-type]
