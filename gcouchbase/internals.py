"""The parts of gevent that its documentation promises to nobody, and that are needed all the same.

What is reached through an attribute that is private, and all that differs from loop to loop, is
touched here alone; `hub.loop` and `hub.handle_error` are public by name. All are in gevent 24.11.1,
the oldest that is supported, and in 26.9.0; `tests/gcouchbase/test_internals.py` says what is
expected of each, and `tools/gevents.py` runs it with the oldest and the newest gevent, on libev and
on libuv:

- `hub._threadpool`: a hub's pool of threads, None as long as nobody wanted one;
- `ThreadPool.fork_watcher`: the watcher by which a pool hears of a fork;
- `watcher._watcher_ref`, on libuv alone: what all watchers of a descriptor share;
- `hub.loop` is None once the hub was destroyed;
- `hub.handle_error` shows an error, and leaves the hub running unless that is to end the program;
- `gevent.monkey.get_original` gives what patching has replaced, or taken out of a module: locks,
  numbers of threads, `poll`, sockets;
- libuv stops a watcher whose descriptor has an error; to a callback with `pass_events` gevent
  gives a negative number then;
- libuv counts in milliseconds, and warns of timers that are shorter;
- on libuv a watcher that is let go without `close` leaves its loop a pointer to memory that is
  free again, and ends the process, there or much later; with GEVENT_DEBUG=debug gevent warns of it.

What `gevent._interfaces.ILoop` describes (`io`, `timer`, `run_callback`, `run_callback_threadsafe`,
and that watchers are closed) is documented, and used wherever it is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from gevent import reinit
from gevent.monkey import get_original

READ: Final = 1
WRITE: Final = 2

TICK: Final = 0.001
"""Seconds of the shortest timer."""

thread_ident: Final[Callable[[], int]] = get_original("_thread", "get_ident")
"""Gives the number of this thread, whatever was patched."""

allocate_lock: Final[Callable[[], Any]] = get_original("_thread", "allocate_lock")
"""Gives a lock that blocks the thread."""

reentrant_lock: Final[Callable[[], Any]] = get_original("_thread", "RLock")
"""Likewise one that its thread may acquire again."""

thread_local: Final[Callable[[], Any]] = get_original("_thread", "_local")
"""Gives an object whose attributes each thread has for itself."""

plain_socket: Final[Callable[..., Any]] = get_original("socket", "socket")
"""Makes a socket that no loop watches."""


class NoTimer:
    """Stands for a timer as long as there is none: so whoever is let go then need not close one."""

    ref = False

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


_poll: Final[Callable[[], Any]] = get_original("select", "poll")
_POLLOUT: Final = 4


def is_destroyed(hub: Any) -> bool:
    """Whether *hub* never runs again; it may be asked in any thread."""
    return hub.loop is None


def guarded(hub: Any, who: object, call: Callable[..., object], *arguments: object) -> None:
    """Call from the loop of *hub*: an error, *who*'s, is shown, and the hub goes on."""
    try:
        call(*arguments)
    except BaseException:  # noqa: BLE001 - would stop a watcher, or the hub, for good
        hub.handle_error(who, *sys.exc_info())


def call_in_hub(hub: Any, who: object, call: Callable[..., object], *arguments: object) -> None:
    """Make *hub* call for *who*, from whatever thread; nothing if it is destroyed."""
    # Asked for once: the hub may be destroyed at any moment.
    loop = hub.loop
    if loop is not None:
        loop.run_callback_threadsafe(guarded, hub, who, call, *arguments)


def io_watcher(hub: Any, descriptor: int, events: int) -> Any:
    """Return a watcher that does not keep the loop going: an idle connection must not.

    Whoever waits has a deadline, and the driver's timer is referenced as long as that is so.
    """
    watcher = hub.loop.io(descriptor, events, ref=False)
    # On libuv gevent ignores `ref` here: what counts is the watcher that all of a descriptor share.
    shared = getattr(watcher, "_watcher_ref", None)
    if shared is not None:
        shared.ref = False
    return watcher


def start_io(watcher: Any, call: Callable[..., object], *arguments: object) -> None:
    """Start one of `io_watcher`: the loop makes the call whenever its descriptor is ready."""
    if hasattr(watcher, "_watcher_ref"):
        watcher.start(_on_libuv, watcher, call, arguments, pass_events=True)
    else:
        watcher.start(call, *arguments)


def _on_libuv(
    events: int, watcher: Any, call: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    call(*arguments)
    if events < 0 and watcher.active:
        # An error of the descriptor, as when a peer resets the connection: libuv watches it no
        # longer, and says so only here. There may be bytes left to read, and then the end.
        start_io(watcher, call, *arguments)


def is_writable(descriptor: int) -> bool:
    """Whether a socket takes bytes or has failed, without waiting; any thread may ask."""
    poll = _poll()
    poll.register(descriptor, _POLLOUT)
    return bool(poll.poll(0))


def renew_after_fork(hub: Any) -> None:
    """Return the loop of *hub*, this thread's, a kernel object of its own, and its pool threads.

    In a forked child, before any watcher is stopped: on libuv that would take its descriptor out
    of the parent's kernel object.
    """
    pool = hub._threadpool  # noqa: SLF001 - the property would make one
    if pool is not None:
        # On libuv gevent would free it while the loop still has it in a list.
        pool.fork_watcher.stop()
        pool.fork_watcher.close()
    reinit()
