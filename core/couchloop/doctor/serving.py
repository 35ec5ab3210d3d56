"""What every loop does to serve a diagnosis: who answers what, and which links are open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from couchloop.doctor.requests import (
    Close,
    Derive,
    Dial,
    Exchange,
    Gather,
    LookUpSrv,
    ReadTls,
    Request,
    Resolve,
    StartTls,
    Task,
)
from couchloop.kv.scram import KeyDerivation
from couchloop.session.events import ResolveSrv
from couchloop.settings.values import Address, Tls


class Link(Protocol):
    """A connection that was dialled."""

    def exchange(self, data: bytes) -> Any:
        """See `Exchange`."""

    def close(self) -> None:
        """Close it, whatever is under way."""


L = TypeVar("L", bound=Link)


class Service(ABC, Generic[L]):
    """Answers requests on one loop. An adapter brings what each of them means there.

    A method that may wait returns its value on a loop that blocks, and on one of coroutines what
    is to be awaited for it.

    Args:
        nameserver: answers SRV look-ups; None: the system's.
    """

    def __init__(self, nameserver: Address | None) -> None:
        self.nameserver = nameserver
        self._links: dict[int, L] = {}
        self._numbers = count(1)

    def close(self) -> None:
        """Close what an interrupted diagnosis left open."""
        for link in self._links.values():
            link.close()

    def enter(self, link: L) -> int:
        """Return the number by which requests name *link* from now on."""
        number = next(self._numbers)
        self._links[number] = link
        return number

    def perform(self, request: Request) -> Any:
        """Do what is asked for; see `couchloop.doctor.requests` for what it is answered with."""
        match request:
            case ReadTls(files):
                return self.read_tls(files)
            case Resolve(host):
                return self.resolve(host)
            case LookUpSrv(name):
                return self.look_up_srv(ResolveSrv(name, request.limit))
            case Dial(address):
                return self.dial(address, request.limit)
            case StartTls(number, host):
                return self.start_tls(self._links[number], host)
            case Exchange(number, data):
                return self._links[number].exchange(data)
            case Derive(derivation):
                return self.derive(derivation)
            case Close(number):
                return self._links.pop(number).close()
            case Gather(tasks):
                return self.gather(tasks)

    @abstractmethod
    def read_tls(self, files: Tls) -> None:
        """See `ReadTls`."""

    @abstractmethod
    def resolve(self, host: str) -> Any:
        """See `Resolve`."""

    @abstractmethod
    def look_up_srv(self, event: ResolveSrv) -> Any:
        """See `LookUpSrv`."""

    @abstractmethod
    def dial(self, address: Address, limit: float) -> Any:
        """See `Dial`; `enter` gives the number."""

    @abstractmethod
    def start_tls(self, link: L, host: str) -> Any:
        """See `StartTls`."""

    @abstractmethod
    def derive(self, derivation: KeyDerivation) -> Any:
        """See `Derive`."""

    @abstractmethod
    def gather(self, tasks: Sequence[Task[None]]) -> Any:
        """See `Gather`."""
