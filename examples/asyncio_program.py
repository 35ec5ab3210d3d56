"""An asyncio program that uses a Bucket: on Twisted's asyncio reactor both share one event loop.

python asyncio_program.py [--runner twisted|asyncio] [couchbase://HOST]

Tasks await `Deferred.asFuture(loop)`: a Deferred itself they cannot. Cancelling a task, also by
`asyncio.timeout`, cancels the operation. Who runs the loop is a matter of taste: Twisted, which
takes care of signals and of what ends with the program, or asyncio, where the loop is another's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from couchloop.exceptions import NotFoundError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

T = TypeVar("T")


def future(deferred: Deferred[T]) -> asyncio.Future[T]:
    """Return what a task can await; cancelling it cancels *deferred*."""
    return deferred.asFuture(asyncio.get_running_loop())


@asynccontextmanager
async def opened(bucket: Bucket) -> AsyncIterator[Bucket]:
    """Wait until *bucket* is open; close it at the end. For `async with` in tasks."""
    await future(bucket.connect())
    try:
        yield bucket
    finally:
        await future(bucket.close())


async def program(reactor: Any, connection_string: str) -> None:
    """Do what asyncio programs do: tasks, time limits, errors."""
    cluster = Cluster(connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    async with opened(cluster.open_bucket("default")) as bucket:
        await future(bucket.upsert_multi({f"page:{n}": {"number": n} for n in range(100)}))

        async def read(key: str) -> int:
            number: int = (await future(bucket.get(key))).value["number"]
            return number

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(f"page:{n}")) for n in range(100)]
        print("read by 100 tasks:", sum(task.result() for task in tasks))

        results = await asyncio.gather(*(future(bucket.get(f"page:{n}")) for n in range(10)))
        print("gathered:", [result.value["number"] for result in results])

        try:
            async with asyncio.timeout(1.0):
                await read("page:100")
        except NotFoundError as error:
            print("no such page:", error.message)
        except TimeoutError:
            print("given up: the operation is cancelled")


def run_by_twisted(connection_string: str) -> None:
    """Let Twisted run the loop: the program is a task, which SIGINT and SIGTERM cancel."""
    loop = asyncio.new_event_loop()
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]

    def main(reactor: Any) -> Deferred[None]:
        # Of this loop by name: it does not run yet.
        return Deferred.fromFuture(loop.create_task(program(reactor, connection_string)))

    react(main)


def run_by_asyncio(connection_string: str) -> None:
    """Let asyncio run the loop, and Twisted begin and end in it."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
        from twisted.internet import reactor  # noqa: PLC0415 - installed only now

        running: Any = reactor
        # Without it the reactor has no threads, and these look up names.
        running.startRunning(installSignalHandlers=False)
        try:
            runner.run(program(reactor, connection_string))
        finally:
            running.stop()
            # Until what waits for the end of the reactor is done: then it stops the loop.
            loop.run_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("connection_string", nargs="?", default=default)
    parser.add_argument("--runner", choices=["twisted", "asyncio"], default="twisted")
    wanted = parser.parse_args()
    run = run_by_twisted if wanted.runner == "twisted" else run_by_asyncio
    run(wanted.connection_string)
