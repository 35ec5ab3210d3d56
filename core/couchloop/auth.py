"""Who the program is: authenticators, as SDK 2.5 has them.

They are values: two that hold the same are equal. No repr shows a secret, and no error that their
constructors raise has one in its frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from os import PathLike
from typing import NamedTuple, Self

from couchloop.exceptions import ArgumentError
from couchloop.safety.secret import Secret, as_secret, sealed

__all__ = [
    "Authenticator",
    "CertAuthenticator",
    "ClassicAuthenticator",
    "Credentials",
    "PasswordAuthenticator",
]


class Credentials(NamedTuple):
    """A user name and its password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


class Authenticator(ABC):
    """What all authenticators can be asked.

    Attributes:
        cert_path: PEM file; for `CertAuthenticator` the client's certificate, for the others the CA
            certificates to trust instead of the system's.

    """

    cert_path: str | None = None
    uses_certificate = False
    """The client's certificate says who it is: no SASL, no Authorization header."""

    @property
    def needs_tls(self) -> bool:
        """Whether a connection without TLS must be refused."""
        return False

    @property
    def mechanisms(self) -> tuple[str, ...] | None:
        """The only SASL mechanisms to use; None: the strongest that both sides know."""
        return None

    @abstractmethod
    def credentials_for(self, bucket: str | None) -> Credentials | None:
        """Return whom to log in as to open this bucket; None for the cluster itself.

        Returns:
            None when the certificate says who the client is.

        Raises:
            ArgumentError: There are no credentials for this.

        """

    @abstractmethod
    def _values(self) -> tuple[Hashable, ...]:
        """Everything that makes two of them equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Authenticator):
            return NotImplemented
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))


class PasswordAuthenticator(Authenticator):
    """A user with a password (RBAC; servers from 5.0 on).

    Works with and without TLS: without it the password itself is never sent, SCRAM proves that it
    is known. Users in LDAP need `ldap_compatible`.

    Args:
        username: The user.
        password: Its password.
        cert_path: PEM file with the CA certificates to trust; needs couchbases://.

    Raises:
        ArgumentError: User or password is not text, or the user is empty.

    """

    @sealed
    def __init__(self, username: str, password: str | Secret, cert_path: str | None = None) -> None:
        username = _text("user name", username)
        if not isinstance(password, Secret):
            password = _text("password", password)
        if not username:
            raise ArgumentError("The user name is empty")
        _check_path("cert_path", cert_path)
        self.username = username
        self.cert_path = cert_path
        self._password = as_secret(password)
        self._ldap = False

    @classmethod
    @sealed
    def ldap_compatible(cls, username: str, password: str, cert_path: str | None = None) -> Self:
        """Build one for users whom the server looks up in LDAP.

        Only PLAIN works there, which sends the password itself; so TLS is required.
        """
        authenticator = cls(username, password, cert_path)
        authenticator._ldap = True
        return authenticator

    @property
    def needs_tls(self) -> bool:
        """Whether a connection without TLS must be refused: with `ldap_compatible`."""
        return self._ldap

    @property
    def mechanisms(self) -> tuple[str, ...] | None:
        """PLAIN alone with `ldap_compatible`, else None: the strongest that both sides know."""
        return ("PLAIN",) if self._ldap else None

    def credentials_for(self, bucket: str | None) -> Credentials:  # noqa: ARG002 - one user for all
        """Return the user and password: the same for every bucket."""
        return Credentials(self.username, self._password.text())

    def _values(self) -> tuple[Hashable, ...]:
        return (self.username, self._password, self.cert_path, self._ldap)

    def __repr__(self) -> str:
        ldap = ".ldap_compatible" if self._ldap else ""
        return (
            f"{type(self).__name__}{ldap}({self.username!r}, password=***, "
            f"cert_path={self.cert_path!r})"
        )


class CertAuthenticator(Authenticator):
    """A client certificate (mTLS). Needs couchbases://, and a server that asks for certificates.

    Args:
        cert_path: PEM file with the client's certificate and what chains it to a CA.
        key_path: PEM file with its private key; None: the key stands in `cert_path` too.
        trust_store_path: PEM file with the CA certificates to trust; None: the system's.
        cluster_username: Of SDK 2.5, for management; goes with `cluster_password`.
        cluster_password: See there.

    Raises:
        ArgumentError: There is no certificate, or half a management login.

    """

    uses_certificate = True

    @sealed
    def __init__(
        self,
        cert_path: str | None = None,
        key_path: str | None = None,
        trust_store_path: str | None = None,
        cluster_username: str | None = None,
        cluster_password: str | None = None,
    ) -> None:
        if not cert_path:
            raise ArgumentError("CertAuthenticator needs cert_path, the client's certificate")
        _check_path("cert_path", cert_path)
        _check_path("key_path", key_path)
        _check_path("trust_store_path", trust_store_path)
        self.cert_path = cert_path
        self.key_path = key_path
        self.trust_store_path = trust_store_path
        self._cluster = _login(cluster_username, cluster_password)

    @property
    def needs_tls(self) -> bool:
        """Whether a connection without TLS must be refused: always."""
        return True

    def credentials_for(self, bucket: str | None) -> Credentials | None:
        """Return None for a bucket; for the cluster the management login, if there is one."""
        return None if bucket is not None else _shown(self._cluster)

    def _values(self) -> tuple[Hashable, ...]:
        return (self.cert_path, self.key_path, self.trust_store_path, self._cluster)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(cert_path={self.cert_path!r}, key_path={self.key_path!r}, "
            f"trust_store_path={self.trust_store_path!r})"
        )


class ClassicAuthenticator(Authenticator):
    """Passwords of buckets, as servers before 5.0 have them: the bucket's name is the user.

    Args:
        cluster_username: For management; goes with `cluster_password`.
        cluster_password: See there.
        buckets: Each bucket with its password.
        cert_path: PEM file with the CA certificates to trust; needs couchbases://.

    Raises:
        ArgumentError: A name or password is not text, or there is half a management login.

    """

    @sealed
    def __init__(
        self,
        cluster_username: str | None = None,
        cluster_password: str | None = None,
        buckets: Mapping[str, str] | None = None,
        cert_path: str | None = None,
    ) -> None:
        _check_path("cert_path", cert_path)
        self.cert_path = cert_path
        self._cluster = _login(cluster_username, cluster_password)
        self._buckets: dict[str, Secret] = {}
        if buckets is not None and not isinstance(buckets, Mapping):
            raise ArgumentError(
                f"The buckets are a dict of name and password, not {type(buckets).__name__}"
            )
        for bucket, password in (buckets or {}).items():
            name = _text("bucket's name", bucket)
            self._buckets[name] = Secret(_text("password", password))

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of the buckets whose passwords it holds."""
        return tuple(self._buckets)

    def credentials_for(self, bucket: str | None) -> Credentials:
        """Return the bucket's name and password; a bucket that is not listed has none ("")."""
        if bucket is not None:
            password = self._buckets.get(bucket)
            return Credentials(bucket, "" if password is None else password.text())
        login = _shown(self._cluster)
        if login is None:
            raise ArgumentError(
                "For the cluster itself, ClassicAuthenticator needs cluster_username and "
                "cluster_password"
            )
        return login

    def _values(self) -> tuple[Hashable, ...]:
        return (self._cluster, frozenset(self._buckets.items()), self.cert_path)

    def __repr__(self) -> str:
        buckets = sorted(self._buckets)
        return f"{type(self).__name__}(buckets={buckets!r}, cert_path={self.cert_path!r})"


def _text(what: str, text: object) -> str:
    """Return *text* as a str: a subclass may lie in its methods. Raises ArgumentError."""
    if not isinstance(text, str):
        raise ArgumentError(f"The {what} must be str, not {type(text).__name__}")
    return str.__str__(text)


def _check_path(what: str, path: object) -> None:
    if path is not None and not isinstance(path, str | PathLike):
        raise ArgumentError(f"{what} must be str, not {type(path).__name__}")


def _login(username: str | None, password: str | None) -> tuple[str, Secret] | None:
    if username is None and password is None:
        return None
    if username is None or password is None:
        raise ArgumentError("cluster_username and cluster_password go together")
    return _text("user name", username), Secret(_text("password", password))


def _shown(login: tuple[str, Secret] | None) -> Credentials | None:
    return None if login is None else Credentials(login[0], login[1].text())
