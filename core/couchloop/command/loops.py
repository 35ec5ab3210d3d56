"""Runs a command that is written once, in blocking style, with a Bucket of either loop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from couchloop.command.access import INTERRUPTED
from couchloop.doctor import User

Work = Callable[[Any], int]
"""Takes a Bucket whose methods block, and gives an exit status."""


def run(loop: str, connection_string: str, user: User, work: Work) -> int:
    """Open the bucket, do *work* with it, close it; return the exit status.

    Raises what opening meets, and what *work* raises.
    """
    given: dict[str, Any] = {"username": user.username, "password": user.password}
    runner = {"twisted": _on_twisted, "gevent": _on_gevent}[loop]
    return runner(connection_string, given, work)


def _on_gevent(connection_string: str, given: dict[str, Any], work: Work) -> int:
    import gevent  # noqa: PLC0415 - only if gevent was picked

    from gcouchbase.bucket import Bucket  # noqa: PLC0415 - likewise

    # Without a handler logging writes warnings to standard error: what counts is in the errors.
    logging.getLogger("gcouchbase").addHandler(logging.NullHandler())

    def whole() -> int:
        with Bucket(connection_string, **given) as bucket:
            return work(bucket)

    greenlet = gevent.spawn(_kept, whole)
    gevent.signal_handler(signal.SIGINT, greenlet.kill, block=False)
    greenlet.join()
    outcome = greenlet.value
    if isinstance(outcome, int):
        return outcome
    if isinstance(outcome, gevent.GreenletExit):
        return INTERRUPTED
    assert isinstance(outcome, Exception)
    raise outcome


def _kept(whole: Callable[[], int]) -> int | Exception:
    """Return what *whole* gives or raises: a greenlet would print it."""
    try:
        return whole()
    except Exception as error:  # noqa: BLE001 - who waits raises it
        return error


def _on_twisted(connection_string: str, given: dict[str, Any], work: Work) -> int:
    from twisted.internet import reactor  # noqa: PLC0415 - only if Twisted was picked
    from twisted.internet.defer import CancelledError, Deferred  # noqa: PLC0415
    from twisted.internet.error import ReactorNotRunning  # noqa: PLC0415
    from twisted.internet.threads import deferToThread  # noqa: PLC0415
    from twisted.python.failure import Failure  # noqa: PLC0415

    from txcouchbase.bucket import Bucket  # noqa: PLC0415

    outcomes: list[int | Exception] = []

    async def whole() -> int | Exception:
        async with Bucket(connection_string, reactor=reactor, **given) as bucket:
            handle = bucket.threadsafe()
            return await deferToThread(_kept, lambda: work(handle))

    def failed(failure: Failure) -> None:
        if isinstance(failure.value, Exception) and not failure.check(CancelledError):  # type: ignore[no-untyped-call]
            outcomes.append(failure.value)

    def stop(_: object) -> None:
        # A signal may have stopped it already.
        with suppress(ReactorNotRunning):
            reactor.stop()

    def begin() -> None:
        task = Deferred.fromCoroutine(whole())
        task.addCallbacks(outcomes.append, failed)
        task.addBoth(stop)
        reactor.addSystemEventTrigger("before", "shutdown", task.cancel)

    reactor.callWhenRunning(begin)
    reactor.run()
    outcome = outcomes[0] if outcomes else INTERRUPTED
    if isinstance(outcome, int):
        return outcome
    raise outcome
