"""Port mapping for the tests of both loops: a TCP forwarder, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

from couchloop.settings.values import Address

T = TypeVar("T")

NOWHERE = "127.77.0.1"
"""A loopback address on which nothing listens: whoever dials it is refused."""

_CHUNK = 65536


class Forwarder:
    """Ports that lead to others on 127.0.0.1, as long as the block runs.

    Args:
        host: what those outside call this machine.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.accepted = 0
        """How many connections were forwarded so far."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __call__(self, port: int) -> Address:
        """Open a port that leads to *port*; give its address."""
        return Address(self.host, self._run(self._listen(port)))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self, port: int) -> int:
        async def forward(ours: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self.accepted += 1
            with suppress(OSError, asyncio.CancelledError):
                try:
                    theirs, into = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.gather(_copy(ours, into), _copy(theirs, out))
                    into.close()
                finally:
                    out.close()
            self._tasks.discard(task)

        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
    finally:
        target.close()
