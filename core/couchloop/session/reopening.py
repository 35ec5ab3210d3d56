"""Opening again what could not be opened: which causes pass by themselves, and how long to wait."""

from __future__ import annotations

from typing import Final

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    CouchbaseFatalError,
    CouchbaseTransientError,
    HandshakeClosedError,
    InternalError,
    NetworkError,
    NodeUnreachableError,
    SrvLookupError,
    TooManyOpenFilesError,
    UnknownHostError,
)

_PASSING: Final = (
    # Timeouts, nodes that are starting or busy, limits that are reached for now.
    CouchbaseTransientError,
    NodeUnreachableError,
    UnknownHostError,
    HandshakeClosedError,
    NetworkError,
    InternalError,
    TooManyOpenFilesError,
)
"""What may be otherwise a moment later, though nobody changes the program or its settings."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_WEB: Final = "http"


def passes(error: CouchbaseError) -> bool:
    """Whether what an opening failed with may pass, so that it is worth trying again.

    A wrong password is the same on every node. Else it is enough that one seed may do better
    later; a web port counts only where no data port was asked, for one that refuses says nothing
    beside a data port that has answered.
    """
    if isinstance(error, AuthError):
        return False
    if isinstance(error, CouchbaseFatalError) and not isinstance(error, BucketNotFoundError):
        # A file of yesterday's nodes may be right again; one that cannot be read is not.
        return bool(error.context and error.context.seeds) and _any_passes(error)
    return _any_passes(error)


def _any_passes(error: CouchbaseError) -> bool:
    seeds = () if error.context is None else error.context.seeds
    attempts = [(place, why) for place, why in seeds if isinstance(why, CouchbaseError)]
    if any(
        place.startswith(_WEB) and isinstance(why, BucketNotFoundError) for place, why in attempts
    ):
        # It speaks for the cluster, a data port for its node alone.
        return False
    # What DNS did not know counts only if nobody else was asked.
    attempts = [entry for entry in attempts if not isinstance(entry[1], SrvLookupError)] or attempts
    attempts = [entry for entry in attempts if not entry[0].startswith(_WEB)] or attempts
    return any(_passes_alone(why) for _, why in attempts or [("", error)])


def _passes_alone(error: CouchbaseError) -> bool:
    if error.may_pass is not None:
        return error.may_pass
    return isinstance(error, _PASSING) and not isinstance(error, CouchbaseFatalError)


def pause(failures: int, random: float) -> float:
    """Return the seconds to wait after so many failures in a row, from 1.

    They double, from 0.1 up to 10. Half of it is jitter, so that many clients do not come in step.

    Args:
        failures: how often opening has failed in a row.
        random: a number from 0.0 up to, not including, 1.0.
    """
    longest = min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)
    return longest * (0.5 + random / 2)
