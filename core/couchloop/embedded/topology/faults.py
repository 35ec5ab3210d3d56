"""Faults that a test injects into requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
