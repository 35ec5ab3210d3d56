"""Why a connection cannot be made: the same words on either loop."""

from __future__ import annotations

from errno import ECONNREFUSED, EMFILE, ENFILE

import pytest

from couchloop.exceptions import NodeUnreachableError, TooManyOpenFilesError, UnknownHostError
from couchloop.settings.values import Address, Login, Settings
from couchloop.transport.connecting import only_family, system_error, unexpected, unknown_host

WHERE = Address("db.example", 11210)


def settings(ipv6: str = "allow") -> Settings:
    """Return settings of no cluster."""
    return Settings(seeds=(), bucket="b", login=Login("u", "p"), ipv6=ipv6)


@pytest.mark.parametrize("number", [EMFILE, ENFILE])
def test_too_many_files(number: int) -> None:
    """A system that has no more descriptors is told apart from a node that is away."""
    error = system_error(number, "Too many open files", WHERE, settings())
    assert type(error) is TooManyOpenFilesError
    assert "ulimit -n" in str(error)


@pytest.mark.parametrize("number", [ECONNREFUSED, None])
def test_away(number: int | None) -> None:
    """Any other error of the system means that nothing is reachable there; it says where."""
    error = system_error(number, "refused", WHERE, settings())
    assert type(error) is NodeUnreachableError
    assert str(error).startswith("nothing reachable at db.example:11210: refused; ")


def test_unknown_host() -> None:
    """What a resolver says of a name is its `strerror`, or what the error prints."""
    numbered = OSError(-2, "Name or service not known")
    for why in (numbered, UnicodeError("Name or service not known")):
        error = unknown_host(why, WHERE, settings())
        assert type(error) is UnknownHostError
        assert str(error) == "host db.example is unknown: Name or service not known"


def test_unexpected() -> None:
    """What is no error of the system's is named by its class, without numbers of the moment."""
    error = unexpected(RuntimeError("try 17 of 20"), WHERE, settings())
    assert type(error) is NodeUnreachableError
    assert "RuntimeError: try # of #; " in str(error)


def test_one_family() -> None:
    """The option `ipv6` names the one family of addresses that is used, or leaves both."""
    found = {mode: only_family(settings(mode)) for mode in ("disabled", "only", "allow")}
    assert found == {"disabled": "IPv4", "only": "IPv6", "allow": None}


def test_an_error_that_says_nothing() -> None:
    """What a connector or a resolver of the user's raises may not even have a text."""

    class Odd(Exception):  # noqa: N818 - a user's
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert "Odd: Odd" in str(unexpected(Odd(), WHERE, settings()))
    assert "Odd" in str(unknown_host(Odd(), WHERE, settings()))
