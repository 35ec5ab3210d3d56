"""couchloop: a Couchbase client without I/O; `txcouchbase` and `gcouchbase` put it on a loop."""

import warnings

from couchloop import neighbours

__all__ = [
    "COMPRESS_FORCE",
    "COMPRESS_IN",
    "COMPRESS_INOUT",
    "COMPRESS_NONE",
    "COMPRESS_OUT",
    "LOCKMODE_EXC",
    "LOCKMODE_NONE",
    "LOCKMODE_WAIT",
]

__version__ = "0.1.0"

LOCKMODE_NONE = 0
LOCKMODE_EXC = 1
LOCKMODE_WAIT = 2
"""SDK 2.5's modes of locking a Bucket that threads share. They are accepted, and change nothing:
another thread is refused always, and `bucket.threadsafe()` is how threads share a Bucket."""

COMPRESS_NONE = 0
COMPRESS_IN = 1
COMPRESS_OUT = 2
COMPRESS_INOUT = 3
COMPRESS_FORCE = 4
"""Which values are compressed (`bucket.compression`): none, those that come, those that are sent,
both; with the last also what hardly shrinks."""


def __getattr__(name: str) -> object:
    """Return `__speedups__`: "compiled" where the compiled hot path is in use, else None."""
    if name == "__speedups__":
        from couchloop.hot.speedups import NAME  # noqa: PLC0415 - most programs never ask

        return NAME
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if _clash := neighbours.clash():
    warnings.warn(_clash, RuntimeWarning, stacklevel=2)
