"""What test_threads runs in processes of its own: `threads_program.py MODE CONNECTION_STRING`.

`stop`: the reactor stops while threads wait, one of its own pool among them, whose end it waits
for. `interrupt`: the reactor runs in a thread, and the main thread waits until it gets SIGINT.
`fork`: a thread of a forked child uses the handle of its parent.
"""

from __future__ import annotations

import os
import sys
from threading import Event, Thread
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.threads import blockingCallFromThread, deferToThread

from couchloop.client.threads import ThreadSafeBucket
from couchloop.exceptions import CouchbaseError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

reactor: Any = installed


def say(*what: object) -> None:
    """Write a line for the test."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


def call(handle: ThreadSafeBucket) -> None:
    """Wait for what never comes, and tell what comes instead."""
    try:
        handle.get("silent", timeout=60)
    except CouchbaseError as error:
        say(f"{type(error).__name__}: {error.message}")


def stop(bucket: Bucket) -> None:
    """Stop the reactor once two threads wait."""
    handle = bucket.threadsafe()
    thread = Thread(target=call, args=(handle,))
    thread.start()
    deferToThread(call, handle)

    def look() -> None:
        if bucket._driver.session.in_flight == 2:
            reactor.stop()
        else:
            reactor.callLater(0.001, look)

    reactor.callWhenRunning(look)
    reactor.run()
    thread.join()
    last = Thread(target=call, args=(handle,))
    last.start()
    last.join()


def interrupt(bucket: Bucket) -> None:
    """Wait in the main thread, and be interrupted."""
    ready = Event()
    handle = bucket.threadsafe()
    reactor.callWhenRunning(ready.set)
    thread = Thread(target=reactor.run, kwargs={"installSignalHandlers": False})
    thread.start()
    ready.wait()
    try:
        call(handle)
    except KeyboardInterrupt:
        say("interrupted")
    # Behind the cancelling, in the order in which the reactor was asked.
    session = bucket._driver.session
    say("in flight:", blockingCallFromThread(reactor, lambda: session.in_flight))
    blockingCallFromThread(reactor, bucket.close, 2.5)  # type: ignore[arg-type]
    reactor.callFromThread(reactor.stop)
    thread.join()


def fork(bucket: Bucket) -> None:
    """Call in a thread of a forked child."""
    handle = bucket.threadsafe()

    def opened(_: None) -> None:
        child = os.fork()
        if not child:
            thread = Thread(target=call, args=(handle,))
            thread.start()
            thread.join()
            os._exit(0)
        say("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        bucket.close().addCallback(lambda _: reactor.stop())

    bucket.connect().addCallback(opened)
    reactor.run()


def main(mode: str, connection_string: str) -> None:
    """Run one of the modes."""
    cluster = Cluster(connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    {"stop": stop, "interrupt": interrupt, "fork": fork}[mode](bucket)


if __name__ == "__main__":
    main(*sys.argv[1:])
