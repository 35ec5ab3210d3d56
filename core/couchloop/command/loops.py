"""Runs a command that is written once, in blocking style, with a Bucket of either loop."""

from __future__ import annotations

import io
import logging
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from couchloop.command.access import INTERRUPTED
from couchloop.doctor import User

Wait = Callable[[int], object]
"""Waits until a descriptor, of a pipe or a terminal, can be read."""
Work = Callable[[Any, Wait], int]
"""Takes a Bucket whose methods block, and what to wait with; gives an exit status."""


class InterruptedReadError(Exception):
    """The program is told to end while it waits for what it is to read."""


class Waiting(io.RawIOBase):
    """What a pipe or a terminal brings: a read waits as the loop does, so that Ctrl-C ends it.

    Args:
        descriptor: of the pipe; it stays open.
        wait: until it can be read.
    """

    def __init__(self, descriptor: int, wait: Wait) -> None:
        self._descriptor, self._wait = descriptor, wait

    def readable(self) -> bool:
        """Whether it can be read, which it can."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, once something is."""
        self._wait(self._descriptor)
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def run(loop: str, connection_string: str, user: User, work: Work) -> int:
    """Open the bucket, do *work* with it, close it; return the exit status.

    Raises what opening meets, and what *work* raises.
    """
    given: dict[str, Any] = {"username": user.username, "password": user.password}
    runner = {"twisted": _on_twisted, "gevent": _on_gevent}[loop]
    return runner(connection_string, given, work)


def _on_gevent(connection_string: str, given: dict[str, Any], work: Work) -> int:
    import gevent.socket  # noqa: PLC0415 - only if gevent was picked

    from gcouchbase.bucket import Bucket  # noqa: PLC0415 - likewise

    # Without a handler logging writes warnings to standard error: what counts is in the errors.
    logging.getLogger("gcouchbase").addHandler(logging.NullHandler())

    def whole() -> int:
        with Bucket(connection_string, **given) as bucket:
            return work(bucket, gevent.socket.wait_read)

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
    told, tells = os.pipe()

    def wait(descriptor: int) -> None:
        # In a thread of the reactor's pool, for whose end the reactor waits.
        if told in select.select([descriptor, told], [], [])[0]:
            raise InterruptedReadError

    async def whole() -> int | Exception:
        async with Bucket(connection_string, reactor=reactor, **given) as bucket:
            handle = bucket.threadsafe()
            return await deferToThread(_kept, lambda: work(handle, wait))

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
        reactor.addSystemEventTrigger("before", "shutdown", os.close, tells)
        reactor.addSystemEventTrigger("before", "shutdown", task.cancel)

    reactor.callWhenRunning(begin)
    reactor.run()
    os.close(told)
    outcome = outcomes[0] if outcomes else INTERRUPTED
    if isinstance(outcome, int):
        return outcome
    raise outcome
