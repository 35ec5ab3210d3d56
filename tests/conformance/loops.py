"""What a test that runs on either loop may ask of the loop.

Such a test is written once, in blocking style. `loop.wait` takes what a method of a Bucket gives:
on gevent the value itself, on Twisted a Deferred that is waited for. So
`loop.wait(bucket.get("key"))` gives a result or raises, on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, TypeVar

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import CouchbaseError
from tests.sockets import Asked

T = TypeVar("T")

PASSWORD: Final = "password"
LIMIT: Final = 20.0
"""Seconds after which something that must happen counts as not happening."""


class Started(Protocol):
    """A call that runs beside the test."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def outcome(self) -> Any:
        """Wait for its end; give what it gave, or the exception that it raised."""

    def cancel(self) -> None:
        """End it: as a killed greenlet does, or a cancelled Deferred."""


class Ticks(Protocol):
    """What counts while others go on."""

    ticks: int


class Reading(Protocol):
    """Whether the nodes of a served cluster read what clients send them."""

    def stop(self) -> None:
        """Read nothing of the connections that there are."""

    def go_on(self) -> None:
        """Read again."""


class Loop(Protocol):
    """An event loop, and the adapter for it."""

    name: str
    """`twisted` or `gevent`."""
    Bucket: Any
    Cluster: Any
    BucketPool: Any
    StatusPage: Any

    def cluster(self, connection_string: str, **keywords: Any) -> Any:
        """Return a Cluster on this loop, without credentials."""

    def bucket(self, connection_string: str, **keywords: Any) -> Any:
        """Open a Bucket on this loop, and wait until it is open; raise what opening met."""

    def wait(self, result: Any) -> Any:
        """Return what a method of a Bucket or Cluster gave, once it is there; raise its error."""

    def take(self, stream: Any) -> list[Any]:
        """Return all results of a stream, as a loop over it does."""

    def next(self, stream: Any) -> Any:
        """Ask a stream for its next result, None at its end: to be waited for."""

    def until(
        self, condition: Callable[[], object], what: str = "the condition never held"
    ) -> None:
        """Let the loop run until *condition* holds; AssertionError(*what*) if it does not."""

    def turn(self) -> None:
        """Let one turn of the loop pass: what has been started is issued, what is due happens."""

    def start(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Started:
        """Make a call of a Bucket's that goes on beside the test."""

    def in_thread(self, work: Callable[[], T]) -> T:
        """Run *work* in a plain thread while the loop goes on; give what it gives, or raise it."""

    def embedded(self, *arguments: Any, **keywords: Any) -> EmbeddedCluster:
        """Return an embedded cluster whose clock is the loop's."""

    def serving(
        self, cluster: EmbeddedCluster | None = None, **keywords: Any
    ) -> AbstractContextManager[Any]:
        """Serve *cluster* in this process; the context is the adapter's ServedCluster."""

    def reading(self, served: Any) -> AbstractContextManager[Reading]:
        """Say whether the nodes of *served* read; after the context they do."""

    def kept(self, bucket: Any) -> int:
        """Count the bytes that wait to be sent, wherever: in queues, connections, transports."""

    def closing_server(self) -> AbstractContextManager[int]:
        """Listen on a port whose connections are closed as soon as they are accepted."""

    def log(self, level: str = "info") -> AbstractContextManager[list[str]]:
        """Collect the lines that are logged, from *level* on: debug, info or warning.

        On gevent greenlets write them, a moment later than it happens.
        """

    def opening(self, connection_string: str, **keywords: Any) -> Started:
        """Open a Bucket beside the test; its outcome is the Bucket, or why it did not open."""

    def failure(self, call: Callable[[], Any]) -> tuple[BaseException, str]:
        """Return what *call* raises, and all that the loop's own tools would show of it."""

    def ticking(self) -> AbstractContextManager[Ticks]:
        """Count as long as the context lasts, whenever the loop lets others go on."""

    def all_hosts_here(self) -> AbstractContextManager[dict[str, Any]]:
        """Have Buckets that are opened with these keywords take each host for this machine."""

    def names(self) -> AbstractContextManager[Asked]:
        """Have this loop know the names of `tests.sockets` and no others; give what is asked."""

    def resolver(self, port: int, *hosts: str) -> Any:
        """Return a resolver that asks name servers on that port of *hosts*, or of this machine."""

    def diagnose(self, diagnosis: Any) -> Any:
        """Serve a diagnosis of the doctor's; wait for what this gives."""

    def status_page(self, *sources: Any, **keywords: Any) -> AbstractContextManager[int]:
        """Serve the status of *sources* as this loop's adapter does, on a port of this machine."""

    def guard(self) -> AbstractContextManager[None]:
        """Fail if anything is left of what runs within, or an error was seen by nobody."""


def login(**keywords: Any) -> dict[str, Any]:
    """Return the keywords of a Bucket that logs in as `user`."""
    return {"username": "user", "password": PASSWORD, **keywords}


@contextmanager
def opened_at(loop: Loop, connection_string: str, **keywords: Any) -> Iterator[Any]:
    """Open a Bucket as `user` for as long as the context lasts."""
    bucket = loop.bucket(connection_string, **login(**keywords))
    try:
        yield bucket
    finally:
        loop.wait(bucket.close())


def refusal_at(loop: Loop, connection_string: str, **keywords: Any) -> CouchbaseError:
    """Return why a Bucket cannot be opened as `user`."""
    with pytest.raises(CouchbaseError) as raised:
        loop.bucket(connection_string, **login(**keywords))
    return raised.value


def key_of_node(served: Any, bucket: Any, node: int) -> str:
    """Return a key whose document lives on the node of that number."""
    config = bucket._driver.session.config
    port = served.cluster.nodes[node].ports["kv"]
    for number in range(10_000):
        key = f"key-{number}"
        owner = config.nodes[config.active[config.vbucket(key.encode())]]
        address = owner.address("default", "kv")
        if address is not None and address.port == port:
            return key
    raise AssertionError("no key of that node")


@contextmanager
def opened(loop: Loop, cluster: Any, name: str = "default", **keywords: Any) -> Iterator[Any]:
    """Open a bucket of *cluster* for as long as the context lasts."""
    bucket = open_bucket(loop, cluster, name, **keywords)
    try:
        yield bucket
    finally:
        loop.wait(bucket.close())


def open_bucket(loop: Loop, cluster: Any, name: str = "default", **keywords: Any) -> Any:
    """Open a bucket of *cluster*, and wait until it is open; raise what opening met.

    As on gevent nothing is left then: on Twisted it might be tried again.
    """
    bucket = cluster.open_bucket(name, **keywords)
    if loop.name == "twisted":
        try:
            loop.wait(bucket.connect())
        except BaseException:
            loop.wait(bucket.close())
            raise
    return bucket


def cluster_at(
    loop: Loop, connection_string: str, password: str = PASSWORD, **keywords: Any
) -> Any:
    """Return a Cluster that logs in as `user`."""
    cluster = loop.cluster(connection_string, **keywords)
    cluster.authenticate(PasswordAuthenticator("user", password))
    return cluster


def cluster_of(loop: Loop, served: Any, password: str = PASSWORD) -> Any:
    """Return the client's Cluster of an embedded one."""
    return cluster_at(loop, served.connection_string, password)
