"""Faults that a test injects into requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from couchloop.arguments.times import check_wait
from couchloop.embedded.topology.node import Node


@dataclass(eq=False)
class Injection:
    """A fault that is injected into requests; what is None matches everything.

    `hits` counts the requests that had it; `remove` ends it.
    """

    opcode: int | None = None
    key: bytes | None = None
    node: Node | None = None
    bucket: str | None = None
    status: int | None = None
    """Answer with this status instead of doing the operation."""
    value: bytes = b""
    """Body of that answer."""
    delay: float = 0.0
    """Seconds before the request is looked at."""
    silent: bool = False
    """Never answer (the operation is not done)."""
    lose_answer: bool = False
    """Do the operation, then close the connection instead of answering."""
    close: bool = False
    """Close the connection (the operation is not done)."""
    count: int | None = None
    """Into how many requests it is injected; None: all."""
    hits: int = 0
    _remove: Callable[[Injection], None] | None = field(default=None, repr=False)

    def matches(self, opcode: int, key: bytes, node: Node, bucket: str | None) -> bool:
        """Whether this fault is for a request."""
        return (
            (self.opcode is None or self.opcode == opcode)
            and (self.key is None or self.key == key)
            and (self.node is None or self.node is node)
            and (self.bucket is None or self.bucket == bucket)
            and (self.count is None or self.hits < self.count)
        )

    def remove(self) -> None:
        """End the fault."""
        if self._remove is not None:
            self._remove(self)
            self._remove = None


def first_match(
    injections: Iterable[Injection], opcode: int, key: bytes, node: Node, bucket: str | None
) -> Injection | None:
    """Return the first fault that matches a request, and count it."""
    for injection in injections:
        if injection.matches(opcode, key, node, bucket):
            injection.hits += 1
            return injection
    return None


@dataclass(eq=False)
class HttpInjection:
    """A fault that is injected into HTTP requests; what is None matches everything.

    `hits` counts the requests that had it; `remove` ends it.
    """

    service: str | None = None
    """As configurations name it: `mgmt`, `capi`, `n1ql`, `fts`, `cbas`, `eventingAdminPort`."""
    method: str | None = None
    path: str | None = None
    """How the path, percent-encoded and with its query, begins."""
    node: Node | None = None
    status: int | None = None
    """Answer with this status instead of doing what was asked."""
    body: bytes = b""
    """Body of that answer."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of that answer."""
    delay: float = 0.0
    """Seconds before the request is looked at."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the answer's body."""
    close: bool = False
    """Close the connection (nothing is done)."""
    count: int | None = None
    """Into how many requests it is injected; None: all."""
    hits: int = 0
    _remove: Callable[[HttpInjection], None] | None = field(default=None, repr=False)

    def matches(self, service: str, method: str, path: str, node: Node) -> bool:
        """Whether this fault is for a request."""
        return (
            (self.service is None or self.service == service)
            and (self.method is None or self.method == method)
            and (self.path is None or path.startswith(self.path))
            and (self.node is None or self.node is node)
            and (self.count is None or self.hits < self.count)
        )

    def remove(self) -> None:
        """End the fault."""
        if self._remove is not None:
            self._remove(self)
            self._remove = None


class Faults:
    """The faults that a test has injected into a cluster."""

    def __init__(self) -> None:
        self.injections: list[Injection] = []
        self.http_injections: list[HttpInjection] = []

    def inject(
        self,
        *,
        opcode: int | None = None,
        key: bytes | str | None = None,
        node: Node | None = None,
        bucket: str | None = None,
        status: int | None = None,
        value: bytes = b"",
        delay: float = 0.0,
        silent: bool = False,
        lose_answer: bool = False,
        close: bool = False,
        count: int | None = None,
    ) -> Injection:
        """Inject a fault into requests: see :class:`Injection`. *delay* is in seconds."""
        injection = Injection(
            opcode=opcode,
            key=key.encode() if isinstance(key, str) else key,
            node=node,
            bucket=bucket,
            status=status,
            value=value,
            delay=check_wait(delay, "delay"),
            silent=silent,
            lose_answer=lose_answer,
            close=close,
            count=count,
            _remove=self.injections.remove,
        )
        self.injections.append(injection)
        return injection

    def inject_http(
        self,
        *,
        service: str | None = None,
        method: str | None = None,
        path: str | None = None,
        node: Node | None = None,
        status: int | None = None,
        body: bytes | str = b"",
        headers: Iterable[tuple[str, str]] = (),
        delay: float = 0.0,
        cut_after: int | None = None,
        close: bool = False,
        count: int | None = None,
    ) -> HttpInjection:
        """Inject a fault into HTTP requests: see :class:`HttpInjection`. *delay* is in seconds."""
        injection = HttpInjection(
            service=service,
            method=method,
            path=path,
            node=node,
            status=status,
            body=body.encode() if isinstance(body, str) else body,
            headers=tuple(headers),
            delay=check_wait(delay, "delay"),
            cut_after=cut_after,
            close=close,
            count=count,
            _remove=self.http_injections.remove,
        )
        self.http_injections.append(injection)
        return injection

    def http_fault(self, service: str, method: str, path: str, node: Node) -> HttpInjection | None:
        """Return the first fault that is for an HTTP request, and count it."""
        for injection in self.http_injections:
            if injection.matches(service, method, path, node):
                injection.hits += 1
                return injection
        return None
