"""Imports that were put off, on loops of several threads: nothing of ours is first in a plain one.

Where the program is patched the locks of Python's import system are gevent's semaphores, and
threads of the system that want the same module at once can wait for each other for ever. So what
threads need is imported before they are given it, and by one thread at a time.
"""

from __future__ import annotations

import os

from couchloop.later import importing, one_at_a_time, settle
from gcouchbase.internals import reentrant_lock

__all__ = ["importing", "settle"]

_lock = reentrant_lock()
one_at_a_time(_lock)
# A forked child has this thread alone: no other one may be within an import of ours then.
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)
