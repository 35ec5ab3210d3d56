"""A DNS server for the tests of both loops.

    python -m tests.nameserver

answers over UDP and TCP. It writes its port, then "done" after each line that it reads:
NAME TARGET:PORT … (none: no such name; a target of . is the root), NAME silent, or NAME broken.
After the line "asked" it writes the names that were asked for since the last such line.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.protocol import Protocol
from twisted.names import common, dns, error, server

Target = tuple[str, int]


class Zone(common.ResolverBase):
    """The SRV records that exist.

    Attributes:
        records: targets and ports by name.
        silent: names that are never answered.
        broken: names for which the server fails.
        asked: every SRV name that was asked for, as often as it was.

    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.records: dict[str, list[Target]] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.asked: list[str] = []

    def _lookup(self, name: bytes, cls: int, type: int, timeout: object) -> Deferred[Any]:  # noqa: A002
        text = name.decode().lower()
        if type == dns.SRV:
            self.asked.append(text)
        if text in self.silent:
            return Deferred()
        if text in self.broken:
            return fail(error.ResolverError("broken"))
        if type != dns.SRV or text not in self.records:
            return fail(error.AuthoritativeDomainError(name))
        # Priorities and weights that would turn the order round.
        make: Any = dns.Record_SRV
        answers = [
            dns.RRHeader(
                name,
                dns.SRV,
                dns.IN,
                1,
                make(9 - n % 9, n, port, target.strip(".")),
                True,
            )
            for n, (target, port) in enumerate(self.records[text])
        ]
        return succeed((answers, [], []))


class _Factory(server.DNSServerFactory):
    """Cuts what does not fit into a datagram of 512 bytes, as RFC 1035 wants it."""

    noisy = False

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        message.maxSize = 0 if address is None else 512
        super().sendReply(protocol, message, address)  # type: ignore[no-untyped-call]


class NameServer:
    """A zone, served on a port of the loopback interface."""

    def __init__(self, reactor: Any) -> None:
        self.zone = Zone()
        factory = _Factory(authorities=[self.zone])  # type: ignore[no-untyped-call]
        self._tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port: int = self._tcp.getHost().port
        protocol = dns.DNSDatagramProtocol(factory, reactor)  # type: ignore[no-untyped-call]
        self._udp = reactor.listenUDP(self.port, protocol, interface="127.0.0.1")

    def stop(self) -> Deferred[Any]:
        """Listen no more."""
        stopped = [maybeDeferred(each.stopListening) for each in (self._tcp, self._udp)]
        return gatherResults(stopped)


class _Commands(Protocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._rest = b""

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = "done"
            if line == b"asked":
                answer = " ".join(self._zone.asked)
                self._zone.asked.clear()
            else:
                self._obey(*line.decode().split())
            self.transport.write(f"{answer}\n".encode())  # type: ignore[union-attr]

    def _obey(self, name: str, *words: str) -> None:
        zone = self._zone
        zone.silent.discard(name)
        zone.broken.discard(name)
        zone.records.pop(name, None)
        if words == ("silent",):
            zone.silent.add(name)
        elif words == ("broken",):
            zone.broken.add(name)
        elif words:
            pairs = (word.rpartition(":") for word in words)
            zone.records[name] = [(target, int(port)) for target, _, port in pairs]

    def connectionLost(self, _: object = None) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - a program of its own

        reactor.stop()


class Process:
    """A name server as a process of its own, whatever the loop of the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nameserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[1],
            text=True,
            bufsize=1,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self.port = int(self._output.readline())

    def tell(self, name: str, *words: str) -> None:
        """Change what is said of a name."""
        assert self._ask(" ".join((name, *words))) == "done"

    def asked(self) -> list[str]:
        """Return the names that were asked for since this was called last."""
        return self._ask("asked").split()

    def _ask(self, line: str) -> str:
        self._input.write(f"{line}\n")
        self._input.flush()
        return self._output.readline().rstrip("\n")

    def stop(self) -> None:
        """End the process."""
        self._input.close()
        self._output.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Serve until the input ends."""
    from twisted.internet import reactor, stdio  # noqa: PLC0415 - a program of its own

    names = NameServer(reactor)
    stdio.StandardIO(_Commands(names.zone))  # type: ignore[no-untyped-call]
    sys.stdout.write(f"{names.port}\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    main()
