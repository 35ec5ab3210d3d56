"""Host names and addresses: what is dialled, what is compared, who is asked for names."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.settings.hosts import host_to_dial, is_address, name_servers, one_form


@pytest.mark.parametrize(
    ("host", "dialled"),
    [
        ("node1.example", "node1.example"),
        ("Node1.example.", "Node1.example."),
        ("my_node", "my_node"),
        ("-node-", "-node-"),
        ("*.example", "*.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER。example", "xn--bcher-kva.example"),
        ("my_bücher", "xn--my_bcher-95a"),
    ],
)
def test_dialled(host: str, dialled: str) -> None:
    """ASCII stays as it is, names of other letters are encoded by IDNA."""
    assert host_to_dial(host) == dialled
    assert host_to_dial(dialled) == dialled


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a\n",
        "a\x00b",
        "h:8091",
        "h::x",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a,b",
        "[::1]",
        "a\uff1ab",  # a full-width colon
        "\u2100x",  # a/c
        "é..b",
        "é" * 100,
        "\ud800",
        "\x85",
    ],
)
def test_no_host(host: str) -> None:
    """What no host is called, before or after it is encoded, is refused."""
    with pytest.raises(ValueError, match=r"^it "):
        host_to_dial(host)


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """A text has a form that is ASCII, and stays what it is, or is refused by the one class."""
    with suppress(ValueError):
        dialled = host_to_dial(text)
        assert dialled.isascii()
        assert dialled.isprintable()
        assert host_to_dial(dialled) == dialled
    assert isinstance(one_form(text), str)


@given(st.ip_addresses())
def test_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Every address is one, and dialled as it is."""
    for text in (str(address), address.exploded):
        assert is_address(text)
        assert host_to_dial(text) == text


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ["127.0.0.1"]),
        ("# nothing\nsearch example\nnameserver\n", ["127.0.0.1"]),
        ("nameserver 10.0.0.1\n  nameserver\t10.0.0.2 # second\n", ["10.0.0.1", "10.0.0.2"]),
        ("nameserver localhost\nnameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
        ("nameserver localhost", ["127.0.0.1"]),
        ("nameserver 10.0.0.256\nnameserver \x00", ["127.0.0.1"]),
    ],
)
def test_name_servers(text: str, servers: list[str]) -> None:
    """Of resolv.conf the addresses count; none at all means this machine."""
    assert name_servers(text) == servers
