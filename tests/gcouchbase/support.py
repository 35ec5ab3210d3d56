"""What the gevent tests share: waiting for conditions, a ticker, and who is still connected."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import gevent
from gevent import Greenlet, subprocess
from gevent import socket as gsocket

from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.sockets import Socket
from gcouchbase.testing import ServedCluster

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PASSWORD: Final = "password"
LIMIT: Final = 20.0
"""Seconds after which something that must happen counts as not happening."""


def until(
    condition: Callable[[], object],
    what: str = "the condition never held",
    limit: float = LIMIT,
) -> None:
    """Let other greenlets run until *condition* holds, at most *limit* seconds."""
    with gevent.Timeout(limit, AssertionError(what)):
        while not condition():
            gevent.sleep(0.001)


def cluster_of(served: ServedCluster, password: str = PASSWORD) -> Cluster:
    """Return the client's Cluster of an embedded one."""
    cluster = Cluster(served.connection_string)
    cluster.authenticate(PasswordAuthenticator("user", password))
    return cluster


def key_of_node(served: ServedCluster, bucket: Bucket, node: int) -> str:
    """Return a key whose document lives on the node of that number."""
    config = bucket._driver.session.config
    assert config is not None
    port = served.cluster.nodes[node].ports["kv"]
    for number in range(10_000):
        key = f"key-{number}"
        owner = config.nodes[config.active[config.vbucket(key.encode())]]
        address = owner.address("default", "kv")
        if address is not None and address.port == port:
            return key
    raise AssertionError("no key of that node")


def hellos(served: ServedCluster) -> int:
    """Count the HELLO requests that the cluster has answered so far."""
    return served.cluster.operations[Opcode.HELLO.name]


def is_idle(bucket: Bucket) -> bool:
    """Return whether no table of the Bucket's session holds an operation."""
    session = bucket._driver.session
    return (
        session.in_flight == 0
        and not session.parking.until_open
        and not any(connection.pending for connection in session.connections)
        and not any(endpoint.parked for endpoint in session.table.endpoints.values())
    )


def kept(bucket: Bucket) -> int:
    """Count the bytes that wait to be sent, wherever: in queues, connections and transports."""
    count = bucket.queued.bytes
    for connection in bucket._driver.session.connections:
        count += sum(map(len, connection._out))
    for transport in bucket._driver.transports.values():
        assert isinstance(transport, Socket)
        count += transport._backlog.size
    return count


def open_sockets() -> list[str]:
    """Name the sockets of this process."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    return sorted(link for link in links if link.startswith("socket:"))


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what *process* writes until it ends, and end it if it does not."""
    try:
        output, errors = process.communicate(timeout=2 * LIMIT)
    finally:
        process.kill()
    return output, errors


def start(call: Callable[..., T], *arguments: Any, **keywords: Any) -> Greenlet[[], T | Exception]:
    """Spawn a greenlet that gives what *call* gives, or the exception that it raises.

    An exception that leaves a greenlet counts as an error in the background.
    """

    def run() -> T | Exception:
        try:
            return call(*arguments, **keywords)
        except Exception as error:  # noqa: BLE001 - any, for the test to look at
            return error

    return gevent.spawn(run)


def in_thread(work: Callable[[], Any]) -> Any:
    """Run *work* in a plain thread while this hub goes on; give what it gives."""
    outcome: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    # It may wait for a program, which takes what a busy machine takes; a test has 60 s.
    until(lambda: not thread.is_alive(), "the thread does not end", 50.0)
    thread.join()
    for error in errors:
        raise error
    return outcome[0]


class Ticker:
    """Counts as long as the hub lets other greenlets run."""

    def __init__(self) -> None:
        self.ticks = 0

    def run(self) -> None:
        """Tick for ever."""
        while True:
            self.ticks += 1
            gevent.sleep(0.001)

    def goes_on(self) -> None:
        """Wait for ten more ticks."""
        seen = self.ticks
        until(lambda: self.ticks >= seen + 10, "the ticker stands still")


@contextmanager
def ticking() -> Iterator[Ticker]:
    """Run a ticker beside what follows."""
    ticker = Ticker()
    greenlet: Greenlet[[], None] = gevent.spawn(ticker.run)
    try:
        yield ticker
    finally:
        greenlet.kill()


def ask(
    port: int, method: str, path: str, document: Any = None, **headers: str
) -> tuple[int, Any, str | None]:
    """Make one request over HTTP; give status, body and entity tag."""
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with gsocket.create_connection(("127.0.0.1", port)) as sock:
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        sock.sendall(head.encode() + body)
        with HTTPResponse(sock, method=method) as response:
            response.begin()
            content = response.read()
            return (
                response.status,
                json.loads(content) if content else None,
                response.headers["ETag"],
            )


@contextmanager
def no_background_errors() -> Iterator[list[BaseException]]:
    """Collect errors of background greenlets and hub callbacks; fail if any is left in the list.

    gevent itself only prints them.
    """
    hub = gevent.get_hub()
    errors: list[BaseException] = []
    handle_error = hub.handle_error

    def collect(
        context: object,
        kind: type[BaseException] | None,
        value: BaseException | str | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and not issubclass(kind, hub.NOT_ERROR):
            errors.append(value if isinstance(value, BaseException) else kind(value))
        handle_error(context, kind, value, traceback)

    hub.handle_error = collect  # type: ignore[assignment, method-assign]  # called by position
    try:
        yield errors
    finally:
        hub.handle_error = handle_error  # type: ignore[method-assign]
    assert not errors, "an error in the background, printed above"


def connecting() -> list[str]:
    """Name the greenlets of this thread in which a Bucket is being connected.

    Not those of threads that have ended: gevent keeps a hub that was not destroyed, and who waits
    there.
    """
    hub = gevent.get_hub()
    return [
        each.name
        for each in gc.get_objects()
        if isinstance(each, Greenlet)
        and each.parent is hub
        and not each.ready()
        and each.name.startswith("couchbase-connect-")
    ]


@contextmanager
def nothing_left() -> Iterator[None]:
    """Compare the sockets and the Buckets of this process before and after what runs within."""
    before = open_sockets()
    yield
    # An exception that the test has caught refers to the test's frame, which refers to it.
    gc.collect()
    until(lambda: not Bucket._registry.buckets(gevent.get_hub()), "the test has left a Bucket")
    until(lambda: open_sockets() == before, "the test has left a socket open")
