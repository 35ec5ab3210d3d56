"""One Bucket per Couchbase bucket per event loop.

The registry is keyed by the loop (a reactor, a gevent hub), weakly, and holds Buckets weakly: it
never keeps one alive. A Bucket that fails to open or is closed leaves it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from couchloop.exceptions import BucketAlreadyOpenError
from couchloop.settings import Address, Settings

B = TypeVar("B")

Identity = tuple[frozenset[Address], str]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[B]):
    settings: Settings
    kind: type[B]
    bucket: ref[B]


class Registry(Generic[B]):
    """The Buckets that are open or being opened, by loop."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[Any, dict[Identity, _Entry[B]]] = WeakKeyDictionary()

    def find(self, loop: object, settings: Settings, kind: type[B]) -> B | None:
        """Give the Bucket that is open on *loop* with *settings*, if there is one.

        Raises BucketAlreadyOpenError if the same bucket is open there with other settings, or as
        another class than *kind*.
        """
        entry = self._loops.get(loop, {}).get(_identity(settings))
        bucket = None if entry is None else entry.bucket()
        if entry is None or bucket is None:
            return None
        differences = entry.settings.differences(settings)
        if not isinstance(bucket, kind):
            differences.append("bucket_class")
        if differences:
            raise BucketAlreadyOpenError(
                f"bucket {settings.bucket!r} of {', '.join(map(str, settings.seeds))} is already "
                f"open on this loop with other settings ({', '.join(differences)} differ): use "
                "that Bucket, or close it first"
            )
        return bucket

    def add(self, loop: object, settings: Settings, bucket: B) -> Callable[[], None]:
        """Enter *bucket*; give a function that takes it out again, and holds it weakly too."""
        identity = _identity(settings)
        entries = self._loops.setdefault(loop, {})

        def forget(reference: ref[B]) -> None:
            entry = entries.get(identity)
            if entry is not None and entry.bucket is reference:
                del entries[identity]

        own = ref(bucket, forget)
        entries[identity] = _Entry(settings, type(bucket), own)
        return lambda: forget(own)

    def renew(self, loop: object, settings: Settings, bucket: B) -> None:
        """Take *settings* for those of *bucket* from now on; they differ in credentials alone."""
        entries = self._loops.get(loop, {})
        for identity, entry in list(entries.items()):
            if entry.bucket() is bucket:
                entries[identity] = replace(entry, settings=settings)

    def buckets(self, loop: object) -> list[B]:
        """Give the Buckets that are open or being opened on *loop*."""
        entries = list(self._loops.get(loop, {}).values())
        return [bucket for entry in entries if (bucket := entry.bucket()) is not None]


def _identity(settings: Settings) -> Identity:
    return frozenset(settings.seeds), settings.bucket
