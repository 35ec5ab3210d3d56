"""What the tests of both loops need to know of sockets: families, and what is set on live ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

ODD_NAMES: Final = ("my_node", "-first.node-_.test", "last-")
"""Host names that no RFC allows, and that are in use: in docker compose, in /etc/hosts."""

NAMES: Final = {
    "both.test": ("127.0.0.1", "::1"),
    "many.test": (*(f"127.0.0.{number}" for number in range(2, 7)), "127.0.0.1"),
    "old.test": ("127.0.0.1",),
    "xn--bcher-kva.test": ("127.0.0.1",),
    **dict.fromkeys(ODD_NAMES, ("127.0.0.1",)),
}
"""Host names with their addresses, for the resolvers of these tests."""

Asked = list[tuple[str, frozenset[int]]]
"""The names that a resolver was asked for, and the families of the addresses that were wanted."""

NO_IPV6: Final = "nothing can listen on ::1: this machine has no IPv6"


def has_ipv6() -> bool:
    """Return whether a socket can listen on the loopback address of IPv6, by doing so."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def addresses(name: str, families: Collection[int]) -> list[tuple[int, str]]:
    """Return family and address of each address of *name* in *families*; a literal is its own."""
    found = [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        for address in NAMES.get(name, (name,))
    ]
    return [(family, address) for family, address in found if family in families]


@contextmanager
def full_listener() -> Iterator[int]:
    """Yield a port where nobody accepts and nobody more can wait: whoever dials it goes on."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listening,
        socket.socket() as first,
        socket.socket() as second,
    ):
        port: int = listening.getsockname()[1]
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port


def dialling(port: int) -> int:
    """Count the sockets that dial *port* of this machine and have no answer yet."""
    with Path("/proc/self/net/tcp").open(encoding="ascii") as lines:
        states = [line.split()[2:4] for line in lines]
    return states.count([f"0100007F:{port:04X}", "02"])


class SocketOptions(NamedTuple):
    """What the system says is set on a socket."""

    nodelay: bool
    keepalive: bool
    keepidle: int
    keepintvl: int
    keepcnt: int


def options_of_clients(ports: Collection[int]) -> list[SocketOptions]:
    """Ask the system what is set on each of this process's connections to one of *ports*."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        if not path.is_socket():
            # Nothing would close its copy.
            continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(path.name))) as sock:
            families = {socket.AF_INET, socket.AF_INET6}
            if sock.family not in families or sock.getpeername()[1] not in ports:
                continue
            tcp = [
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
            nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            keepalive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            found.append(SocketOptions(bool(nodelay), bool(keepalive), *tcp))
    return found


def expected_options() -> dict[str, SocketOptions]:
    """Return what options of a connection string must lead to."""
    with socket.socket() as sock:
        tcp = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
    system = SocketOptions(False, False, *tcp)
    usual = system._replace(nodelay=True, keepalive=True)
    return {
        "timeout=2": usual,
        "tcp_nodelay=0&tcp_keepalive=0": system,
        "tcp_keepidle=33&tcp_keepintvl=3.5&tcp_keepcnt=7": SocketOptions(True, True, 33, 4, 7),
        "tcp_keep_alive_interval=61000": usual._replace(keepidle=61),
    }
