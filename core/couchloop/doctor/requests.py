"""What a diagnosis asks of the loop that serves it, and what it tells its listener.

A task is a generator: it yields requests and is sent an `Answer` to each. Every request that may
wait carries its limit in seconds.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from couchloop.doctor.report import Step
from couchloop.kv.scram import KeyDerivation
from couchloop.settings.values import Address, Tls

T = TypeVar("T")


class ReadTls(NamedTuple):
    """Make a TLS context of *files*, for `StartTls`; answered with None."""

    files: Tls


class Resolve(NamedTuple):
    """Look up a host's addresses, IPv4 and IPv6; answered with a list of them."""

    host: str
    limit: float


class LookUpSrv(NamedTuple):
    """Look up an SRV record; answered with a list of Address."""

    name: str
    limit: float


class Dial(NamedTuple):
    """Make a TCP connection to an IP address; answered with its number (the link)."""

    address: Address
    limit: float


class StartTls(NamedTuple):
    """Do the TLS handshake on a link; answered with a PeerTls."""

    link: int
    host: str
    limit: float


class Exchange(NamedTuple):
    """Write *data*, if any; answered with the next bytes that come, b"" if the peer closed."""

    link: int
    data: bytes
    limit: float


class Derive(NamedTuple):
    """Run `derivation.derive()` off the loop's thread; answered with what it gives."""

    derivation: KeyDerivation
    limit: float


class Close(NamedTuple):
    """Close a link; answered with None."""

    link: int


class Gather(NamedTuple):
    """Serve several tasks at the same time; answered with None once all have ended."""

    tasks: Sequence[Task[None]]


class Answer(NamedTuple):
    """The answer to a request: a value, or the error: TimeoutError where the limit was reached."""

    value: Any
    error: BaseException | None
    now: float
    """The loop's monotonic time in seconds."""


Request = ReadTls | Resolve | LookUpSrv | Dial | StartTls | Exchange | Derive | Close | Gather
Task = Generator[Request, Answer, T]


class Listener(Protocol):
    """Hears how the diagnosis goes on, to show it."""

    def begins(self, name: str, subject: str) -> None:
        """Called when a step begins."""

    def ends(self, step: Step) -> None:
        """Called when a step has ended."""
