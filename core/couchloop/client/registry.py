"""One Bucket per Couchbase bucket per event loop.

The registry is keyed by the loop (a reactor, a gevent hub), weakly, and holds Buckets weakly: it
never keeps one alive. A Bucket that fails to open or is closed leaves it at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from couchloop.exceptions import BucketAlreadyOpenError
from couchloop.records import record
from couchloop.settings.values import Address, Settings, one_forms
from couchloop.topology.configuration import ClusterConfig

B = TypeVar("B")

_OFTEN: Final = 5
"""Buckets that one place has opened and nobody kept, before that is worth a line."""
_MOST_PLACES: Final = 1000
"""Places of which that is counted."""

Identity = tuple[frozenset[Address], str]


@record(frozen=True, slots=True)
class _Entry(Generic[B]):
    settings: Settings
    kind: type[B]
    bucket: ref[B]
    opener: str
    """File and line that opened it; empty where no code of a user's is to be seen."""


class Registry(Generic[B]):
    """The Buckets that are open or being opened, by loop.

    Args:
        package: whose frames, beside the core's, are not the user's: the adapter's.
    """

    def __init__(self, package: str = "couchloop") -> None:
        self._own = frozenset({"couchloop", package})
        self._loops: WeakKeyDictionary[Any, dict[Identity, _Entry[B]]] = WeakKeyDictionary()
        self._lost: dict[tuple[Identity, str], int] = {}
        """How many Buckets were collected that nobody had closed, by where they were opened."""

    def find(self, loop: object, settings: Settings, kind: type[B]) -> B | None:
        """Return the Bucket that is open on *loop* with *settings*, if there is one.

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
            # This frame is part of the error's traceback, which must not keep the Bucket open.
            del bucket
            raise BucketAlreadyOpenError(
                f"{_told(entry)} with other settings ({', '.join(differences)} differ){_CURE}"
            )
        return bucket

    def rival(
        self,
        loop: object,
        settings: Settings,
        config_of: Callable[[B], ClusterConfig | None],
        config: ClusterConfig,
    ) -> BucketAlreadyOpenError | None:
        """Return why a Bucket must not be opened whose first configuration has told what it is.

        Args:
            loop: where it is being opened.
            settings: its own.
            config_of: gives the configuration that a Bucket has; None before it is open.
            config: the one that has come.

        Buckets are asked for what they know now: a bucket may have been made anew meanwhile.
        """
        identity = _identity(settings)
        for other, entry in list(self._loops.get(loop, {}).items()):
            bucket = entry.bucket()
            known = None if other == identity or bucket is None else config_of(bucket)
            if known is not None and known.is_same_bucket(config):
                differences = ", ".join(entry.settings.differences(settings))
                return BucketAlreadyOpenError(
                    f"{_told(entry)}: the nodes are of one cluster, as the bucket's UUID tells "
                    f"({differences} differ){_CURE}"
                )
        return None

    def add(self, loop: object, settings: Settings, bucket: B) -> Callable[[], None]:
        """Enter *bucket*; return a function that takes it out again, and holds it weakly too."""
        identity = _identity(settings)
        entries = self._loops.setdefault(loop, {})

        def forget(reference: ref[B]) -> None:
            entry = entries.get(identity)
            if entry is not None and entry.bucket is reference:
                del entries[identity]
                if reference() is None:
                    self._count(identity, entry.opener)

        own = ref(bucket, forget)
        entries[identity] = _Entry(settings, type(bucket), own, self._opener())
        return lambda: forget(own)

    def _count(self, identity: Identity, opener: str) -> None:
        if len(self._lost) >= _MOST_PLACES:
            self._lost.clear()
        place = identity, opener
        self._lost[place] = self._lost.get(place, 0) + 1

    def remark(self, loop: object, settings: Settings) -> str:
        """Return what to log of a Bucket that was just added, if anything.

        That is, once, where others like it were opened at the same place and forgotten.
        """
        identity = _identity(settings)
        entry = self._loops.get(loop, {}).get(identity)
        if entry is None or not entry.opener:
            return ""
        place = identity, entry.opener
        if self._lost.get(place) != _OFTEN:
            return ""
        self._lost[place] += 1
        return (
            f"bucket {settings.bucket!r} is opened again and again at {entry.opener}, for nobody "
            "keeps the Bucket, and it closes with its last reference: open it once, and keep it "
            "where the program lives (a module's variable, an attribute of the application)"
        )

    def renew(self, loop: object, settings: Settings, bucket: B) -> None:
        """Replace the settings of *bucket* by *settings*; they differ in credentials alone."""
        entries = self._loops.get(loop, {})
        for identity, entry in list(entries.items()):
            if entry.bucket() is bucket:
                entries[identity] = replace(entry, settings=settings)

    def buckets(self, loop: object) -> list[B]:
        """Return the Buckets that are open or being opened on *loop*."""
        entries = list(self._loops.get(loop, {}).values())
        return [bucket for entry in entries if (bucket := entry.bucket()) is not None]

    def _opener(self) -> str:
        """Return file and line of the innermost frame that is not ours (text keeps nothing)."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads files
        while frame is not None:
            if frame.f_globals.get("__name__", "").partition(".")[0] not in self._own:
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return ""


_CURE = ": use that Bucket, or close it first, or open another on purpose with shared=False"


def _told(entry: _Entry[Any]) -> str:
    settings = entry.settings
    opened = f" (opened at {entry.opener})" if entry.opener else ""
    seeds = ", ".join(map(str, settings.places))
    return f"bucket {settings.bucket!r} of {seeds} is already open on this loop{opened}"


def _identity(settings: Settings) -> Identity:
    return one_forms((*settings.seeds, *settings.web_seeds)), settings.bucket
