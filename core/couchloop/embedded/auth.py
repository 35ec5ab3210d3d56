"""Users, what they may do, and the server's side of SASL (RFC 4616, RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

DATA_READER: Final = frozenset({"Read", "SimpleStats"})
DATA_WRITER: Final = frozenset({"Insert", "Delete", "Upsert"})
ADMIN: Final = frozenset({"*"})
"""Every privilege there is."""
FULL_ACCESS: Final = (
    DATA_READER
    | DATA_WRITER
    | {
        "RangeScan",
        "SystemXattrRead",
        "SystemXattrWrite",
        "SystemCollectionLookup",
    }
)

MECHANISMS: Final = ("SCRAM-SHA512", "SCRAM-SHA256", "SCRAM-SHA1", "PLAIN")
_DIGESTS: Final = {"SCRAM-SHA512": "sha512", "SCRAM-SHA256": "sha256", "SCRAM-SHA1": "sha1"}
_ITERATIONS: Final = 4000
_UNKNOWN_USER_ITERATIONS: Final = 15000


class Grant(NamedTuple):
    """Privileges in one place: a bucket (or `*` for all), a scope of it, a collection of that."""

    privileges: frozenset[str]
    bucket: str = "*"
    scope: str | None = None
    collection: str | None = None

    def covers(self, privilege: str) -> bool:
        """Tell whether the privilege is among the granted ones."""
        return privilege in self.privileges or "*" in self.privileges


@dataclass(frozen=True)
class User:
    """Somebody who may log in.

    Without *grants*, a user has all data privileges on all buckets. *system* holds the
    privileges that belong to no bucket.
    """

    name: str
    password: str = field(repr=False)
    grants: tuple[Grant, ...] = (Grant(FULL_ACCESS),)
    system: frozenset[str] = frozenset({"SystemSettings"})

    def sees(self, bucket: str) -> bool:
        """Tell whether the user may select *bucket*."""
        return any(grant.bucket in ("*", bucket) for grant in self.grants)

    def sees_all_buckets(self) -> bool:
        """Tell whether the user may know that a bucket does not exist."""
        return any(grant.bucket == "*" for grant in self.grants)

    def may(self, privilege: str) -> bool:
        """Tell whether the user has a privilege that belongs to no bucket."""
        return privilege in self.system or "*" in self.system

    def may_in_bucket(self, privilege: str, bucket: str) -> bool:
        """Tell whether the user has a privilege on the whole of *bucket*."""
        return self.may(privilege) or any(
            grant.bucket in ("*", bucket) and grant.scope is None and grant.covers(privilege)
            for grant in self.grants
        )

    def may_in_collection(self, privilege: str, bucket: str, scope: str, collection: str) -> bool:
        """Tell whether the user has a privilege in a collection."""
        return any(grant.covers(privilege) for grant in self._reaching(bucket, scope, collection))

    def sees_collection(self, bucket: str, scope: str, collection: str) -> bool:
        """Tell whether the user has any privilege in a collection: to others it is unknown."""
        return any(True for _ in self._reaching(bucket, scope, collection))

    def _reaching(self, bucket: str, scope: str, collection: str) -> Iterable[Grant]:
        for grant in self.grants:
            if (
                grant.bucket in ("*", bucket)
                and grant.scope in (None, scope)
                and grant.collection in (None, collection)
            ):
                yield grant


def administrator(name: str = "Administrator", password: str = "password") -> User:  # noqa: S107
    """Give a user who may do everything."""
    return User(name, password, (Grant(ADMIN),), ADMIN)


class _Secret(NamedTuple):
    """What a server keeps of a password for one mechanism."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class AuthenticationFailed(Exception):  # noqa: N818 - an outcome of the dialogue
    """The credentials are wrong."""


class MalformedMessage(Exception):  # noqa: N818 - an outcome of the dialogue
    """A SASL message cannot be read. *referenced*: the server's answer has a reference."""

    def __init__(self, *, referenced: bool = False) -> None:
        super().__init__("malformed SASL message")
        self.referenced = referenced


class UserDatabase:
    """All users of a cluster."""

    def __init__(self, users: Iterable[User] | Mapping[str, str], salt_seed: bytes) -> None:
        if isinstance(users, Mapping):
            users = [User(name, password) for name, password in users.items()]
        self.users = {user.name: user for user in users}
        self._salt_seed = salt_seed
        self._secrets: dict[tuple[str, str, str], _Secret] = {}

    def check_plain(self, message: bytes) -> User:
        """Read a PLAIN message; give the user whose credentials it carries.

        Raises MalformedMessage or AuthenticationFailed.
        """
        # authzid NUL user NUL password; the password takes all the rest, as the server has it.
        parts = message.split(b"\0", 2)
        if len(parts) != 3:
            raise MalformedMessage
        user = self.users.get(parts[1].decode("utf-8", "replace"))
        known = user.password.encode() if user else b""
        if not hmac.compare_digest(known, parts[2]) or user is None:
            raise AuthenticationFailed
        return user

    def secret(self, name: str, mechanism: str) -> _Secret:
        """Give salt and keys of a user; somebody unknown gets a salt too, and can never pass."""
        user = self.users.get(name)
        digest = _DIGESTS[mechanism]
        password = user.password if user else ""
        cached = self._secrets.get((name, mechanism, password))
        if cached is not None:
            return cached
        salt = hmac.digest(self._salt_seed, f"{mechanism} {name}".encode(), digest)
        if user is None:
            return _Secret(salt, _UNKNOWN_USER_ITERATIONS, b"", b"")
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, _ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", digest)
        secret = _Secret(
            salt,
            _ITERATIONS,
            hashlib.new(digest, client_key).digest(),
            hmac.digest(salted, b"Server Key", digest),
        )
        self._secrets[name, mechanism, password] = secret
        return secret


class ScramServer:
    """One SCRAM exchange, seen from the server.

    Raises MalformedMessage if the client's first message cannot be read.
    """

    def __init__(
        self, database: UserDatabase, mechanism: str, client_first: bytes, nonce: str
    ) -> None:
        self._database = database
        self.mechanism = mechanism
        gs2, self.name, client_nonce, self._client_first_bare = _read_client_first(client_first)
        self._binding = b64encode(gs2.encode()).decode()
        self._secret = database.secret(self.name, mechanism)
        self._nonce = client_nonce + nonce
        salt = b64encode(self._secret.salt).decode()
        self.server_first = f"r={self._nonce},s={salt},i={self._secret.iterations}"

    def finish(self, client_final: bytes) -> tuple[User, bytes]:
        """Check the client's proof; give the user and the server's last message.

        Raises MalformedMessage or AuthenticationFailed.
        """
        if not client_final:
            raise MalformedMessage
        try:
            text = client_final.decode()
            without_proof, _, encoded = text.rpartition(",p=")
            attributes = dict(part.split("=", 1) for part in text.split(","))
        except ValueError:
            raise MalformedMessage(referenced=True) from None
        if not {"c", "r", "p"} <= attributes.keys():
            raise MalformedMessage
        try:
            proof = b64decode(encoded, validate=True)
        except ValueError:
            raise MalformedMessage(referenced=True) from None
        digest = _DIGESTS[self.mechanism]
        message = f"{self._client_first_bare},{self.server_first},{without_proof}".encode()
        user = self._database.users.get(self.name)
        signature = hmac.digest(self._secret.stored_key, message, digest)
        if len(proof) != hashlib.new(digest).digest_size:
            raise MalformedMessage
        if user is None or attributes["c"] != self._binding or attributes["r"] != self._nonce:
            raise AuthenticationFailed
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        stored_key = hashlib.new(digest, client_key).digest()
        if not hmac.compare_digest(stored_key, self._secret.stored_key):
            raise AuthenticationFailed
        verifier = hmac.digest(self._secret.server_key, message, digest)
        return user, b"v=" + b64encode(verifier)


def _read_client_first(message: bytes) -> tuple[str, str, str, str]:
    """Give the GS2 header, the user, the nonce and the bare message."""
    try:
        text = message.decode()
        flag, identity, bare = text.split(",", 2)
        name, nonce = bare.split(",")[:2]
    except ValueError:
        raise MalformedMessage from None
    # No channel is bound here, so neither `p=…` nor `y` (could bind) is taken.
    if flag != "n" or not name.startswith("n=") or not nonce.startswith("r="):
        raise MalformedMessage
    escapes = name[2:].replace("=2C", "").replace("=3D", "")
    if not name[2:] or not nonce[2:] or "=" in escapes:
        raise MalformedMessage
    user = name[2:].replace("=2C", ",").replace("=3D", "=")
    return f"{flag},{identity},", user, nonce[2:], bare
