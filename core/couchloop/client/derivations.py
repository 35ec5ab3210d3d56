"""Keys for logins by SCRAM, derived in threads: once for all who want the same on one loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from couchloop.kv.scram import KeyDerivation, SaltedPasswords

Done = Callable[[bytes | BaseException], None]
"""Takes a derived key, or why there is none."""

InThread = Callable[[Callable[[], bytes], Done], None]
"""Runs what may block in a thread; the loop then calls the other with what came of it."""

_salted_passwords: Final = SaltedPasswords()
"""One derivation serves all connections: a user's salt is the same on every node."""

_LONGEST_DERIVATION: Final = 5.0
"""Seconds after which a derivation that has not ended counts as one that never will."""


class _Job(NamedTuple):
    """A derivation that runs in a thread."""

    since: float
    done: list[Done]


_deriving: Final[WeakKeyDictionary[Any, dict[bytes, _Job]]] = WeakKeyDictionary()
"""The derivations that run, by loop: a hundred Buckets that are opened at once need one."""


def derive(
    derivation: KeyDerivation, home: object, now: float, in_thread: InThread, done: Done
) -> None:
    """Derive a key.

    Args:
        derivation: what is to be done.
        home: the reactor or hub.
        now: its time in seconds.
        in_thread: what does it, unless that was done before, or is under way.
        done: told what came of it, at once where it is known.
    """
    salted_password = _salted_passwords.get(derivation)
    if salted_password is not None:
        done(salted_password)
        return
    under_way = _deriving.setdefault(home, {})
    digest = derivation.digest()
    job = under_way.get(digest)
    if job is not None and now - job.since < _LONGEST_DERIVATION:
        job.done.append(done)
        return
    # Whoever began before may never tell: its thread could not be had, or was killed.
    job = under_way[digest] = _Job(now, [done])
    in_thread(derivation.derive, partial(_derived, under_way, derivation, job))


def _derived(
    under_way: dict[bytes, _Job], derivation: KeyDerivation, job: _Job, key: bytes | BaseException
) -> None:
    """Keep a derived key for later, and tell all who wait for it; or why there is none."""
    digest = derivation.digest()
    if under_way.get(digest) is job:
        del under_way[digest]
    if not isinstance(key, BaseException):
        _salted_passwords.put(derivation, key)
    first: Exception | None = None
    for done in job.done:
        try:
            done(key)
        except Exception as error:  # noqa: BLE001 - raised below, when all were told
            first = first or error
    if first is not None:
        raise first


def forget_running() -> None:
    """Wait for no derivation any more: in a forked child the threads are the parent's."""
    _deriving.clear()
