"""Authenticators."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from couchloop.auth import (
    Authenticator,
    CertAuthenticator,
    ClassicAuthenticator,
    Credentials,
    PasswordAuthenticator,
)
from couchloop.exceptions import ArgumentError
from tests.liars import LyingText
from tests.secrets import leaks

SAMPLES: list[Callable[[], Authenticator]] = [
    lambda: PasswordAuthenticator("u", "s3cr3t"),
    lambda: PasswordAuthenticator("v", "s3cr3t"),
    lambda: PasswordAuthenticator("u", "s3cr3t2"),
    lambda: PasswordAuthenticator("u", "s3cr3t", "/ca.pem"),
    lambda: PasswordAuthenticator.ldap_compatible("u", "s3cr3t"),
    lambda: CertAuthenticator("/c.pem"),
    lambda: CertAuthenticator("/c.pem", "/k.pem"),
    lambda: CertAuthenticator("/c.pem", "/k.pem", "/ca.pem"),
    lambda: CertAuthenticator("/c.pem", "/k.pem", None, "admin", "s3cr3t"),
    ClassicAuthenticator,
    lambda: ClassicAuthenticator("admin", "s3cr3t"),
    lambda: ClassicAuthenticator("admin", "s3cr3t", {"b": "s3cr3t", "c": ""}),
    lambda: ClassicAuthenticator("admin", "s3cr3t", {"b": "s3cr3t3", "c": ""}),
    lambda: ClassicAuthenticator(buckets={"b": "s3cr3t"}, cert_path="/ca.pem"),
]


def test_lying_texts() -> None:
    """What is kept of a name or a password is a str, whatever subclass was given."""
    user, password = LyingText("u"), LyingText("s3cr3t")
    assert PasswordAuthenticator(user, password) == PasswordAuthenticator("u", "s3cr3t")
    cluster = ClassicAuthenticator(user, password, {"b": password})
    assert cluster == ClassicAuthenticator("u", "s3cr3t", {"b": "s3cr3t"})
    assert [type(each) for each in cluster.credentials_for(None)] == [str, str]


def test_equality() -> None:
    """Two that hold the same are equal and hash alike; any difference tells."""
    for i, make in enumerate(SAMPLES):
        for j, other in enumerate(SAMPLES):
            assert (make() == other()) is (i == j)
        assert hash(make()) == hash(make())
    assert len({make() for make in SAMPLES}) == len(SAMPLES)
    assert PasswordAuthenticator("u", "p") != "u"


def test_subclasses_differ() -> None:
    """A user's subclass is not the class it comes from."""

    class Mine(PasswordAuthenticator):
        pass

    assert Mine("u", "p") != PasswordAuthenticator("u", "p")


@pytest.mark.parametrize("make", SAMPLES)
def test_no_secret_in_repr(make: Callable[[], Authenticator]) -> None:
    """Neither an authenticator nor its credentials show the password."""
    authenticator = make()
    assert "s3cr3t" not in repr(authenticator) + str(authenticator)
    for bucket in ("b", None):
        with contextlib.suppress(ArgumentError):
            credentials = authenticator.credentials_for(bucket)
            assert "s3cr3t" not in f"{credentials!r}{credentials}"


def test_password() -> None:
    """One user for all buckets; any mechanism, with or without TLS."""
    authenticator = PasswordAuthenticator("u", "p", "/ca.pem")
    assert authenticator.credentials_for("b") == ("u", "p")
    assert authenticator.credentials_for(None) == Credentials("u", "p")
    assert authenticator.cert_path == "/ca.pem"
    assert authenticator.mechanisms is None
    assert not authenticator.needs_tls
    assert not authenticator.uses_certificate


def test_ldap() -> None:
    """LDAP needs PLAIN, and PLAIN needs TLS."""
    authenticator = PasswordAuthenticator.ldap_compatible("u", "p", "/ca.pem")
    assert authenticator.mechanisms == ("PLAIN",)
    assert authenticator.needs_tls
    assert authenticator.credentials_for("b") == ("u", "p")
    assert authenticator.cert_path == "/ca.pem"
    assert repr(authenticator).startswith("PasswordAuthenticator.ldap_compatible('u', ")


def test_certificate() -> None:
    """A certificate needs TLS and no login; 2.5's management login is kept."""
    authenticator = CertAuthenticator("/c.pem", "/k.pem", "/ca.pem", "admin", "p")
    assert (authenticator.cert_path, authenticator.key_path) == ("/c.pem", "/k.pem")
    assert authenticator.trust_store_path == "/ca.pem"
    assert authenticator.needs_tls
    assert authenticator.uses_certificate
    assert authenticator.credentials_for("b") is None
    assert authenticator.credentials_for(None) == ("admin", "p")
    assert CertAuthenticator("/c.pem").credentials_for(None) is None


def test_classic() -> None:
    """The bucket's name is the user; the cluster has a login of its own."""
    authenticator = ClassicAuthenticator("admin", "p", {"b": "q"})
    assert authenticator.buckets == ("b",)
    assert authenticator.credentials_for("b") == ("b", "q")
    assert authenticator.credentials_for("open") == ("open", "")
    assert authenticator.credentials_for(None) == ("admin", "p")
    with pytest.raises(ArgumentError, match="cluster_username"):
        ClassicAuthenticator(buckets={"b": "q"}).credentials_for(None)


def test_later_changes_do_not_count() -> None:
    """An authenticator keeps its own copy of the passwords it was given."""
    buckets = {"b": "q"}
    authenticator = ClassicAuthenticator(buckets=buckets)
    buckets["b"] = "r"
    assert authenticator.credentials_for("b") == ("b", "q")


@pytest.mark.parametrize(
    "make",
    [
        lambda: PasswordAuthenticator("", "s3cr3t"),
        lambda: PasswordAuthenticator(b"u", "s3cr3t"),  # type: ignore[arg-type]
        lambda: PasswordAuthenticator("u", b"s3cr3t"),  # type: ignore[arg-type]
        lambda: PasswordAuthenticator("u", None),  # type: ignore[arg-type]
        CertAuthenticator,
        lambda: CertAuthenticator(key_path="/k.pem"),
        lambda: CertAuthenticator("/c.pem", cluster_username="u"),
        lambda: ClassicAuthenticator(cluster_password="s3cr3t"),
        lambda: ClassicAuthenticator(buckets={"b": b"s3cr3t"}),  # type: ignore[dict-item]
        lambda: ClassicAuthenticator(buckets={1: "s3cr3t"}),  # type: ignore[dict-item]
        lambda: ClassicAuthenticator(buckets=[("b", "s3cr3t")]),  # type: ignore[arg-type]
        lambda: ClassicAuthenticator(buckets="s3cr3t"),  # type: ignore[arg-type]
        lambda: ClassicAuthenticator(buckets=[]),  # type: ignore[arg-type]
        lambda: ClassicAuthenticator(cert_path=["s3cr3t"]),  # type: ignore[arg-type]
        lambda: ClassicAuthenticator(["s3cr3t"], "s3cr3t"),  # type: ignore[arg-type]
        lambda: ClassicAuthenticator("u", ["s3cr3t"]),  # type: ignore[arg-type]
        lambda: PasswordAuthenticator("u", ["s3cr3t"]),  # type: ignore[arg-type]
        lambda: PasswordAuthenticator("u", "s3cr3t", 5),  # type: ignore[arg-type]
        lambda: PasswordAuthenticator.ldap_compatible(["s3cr3t"], "p"),  # type: ignore[arg-type]
        lambda: CertAuthenticator(["s3cr3t"]),  # type: ignore[arg-type]
        lambda: CertAuthenticator("c", ["s3cr3t"]),  # type: ignore[arg-type]
        lambda: CertAuthenticator("c", "k", ["s3cr3t"]),  # type: ignore[arg-type]
        lambda: CertAuthenticator("c", None, None, "u", ["s3cr3t"]),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Callable[[], Authenticator]) -> None:
    """Half a login, no certificate, or what is no text is refused without showing a secret."""
    with pytest.raises(ArgumentError) as info:
        make()
    assert "s3cr3t" not in str(info.value)
    assert not list(leaks(info.value, "s3cr3t"))
