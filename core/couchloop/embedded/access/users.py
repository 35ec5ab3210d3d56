"""Users, what they may do, and the server's side of SASL (RFC 4616, RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from couchloop.exceptions import ProtocolError
from couchloop.kv import scram

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

MECHANISMS: Final = (*scram.MECHANISMS, "PLAIN")
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

    def put(self, user: User) -> None:
        """Add a user, or give one other rights: living connections have them at once."""
        self.users[user.name] = user

    def remove(self, name: str) -> None:
        """Remove a user: living connections stay, without any right."""
        del self.users[name]

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
        digest = scram.mechanism_hash(mechanism)
        password = user.password if user else ""
        cached = self._secrets.get((name, mechanism, password))
        if cached is not None:
            return cached
        salt = hmac.digest(self._salt_seed, f"{mechanism} {name}".encode(), digest)
        if user is None:
            return _Secret(salt, _UNKNOWN_USER_ITERATIONS, b"", b"")
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, _ITERATIONS)
        secret = _Secret(
            salt,
            _ITERATIONS,
            scram.stored_key(digest, scram.client_key(digest, salted)),
            scram.server_key(digest, salted),
        )
        self._secrets[name, mechanism, password] = secret
        return secret


class ScramServer:
    """One SCRAM exchange, seen from the server.

    Raises MalformedMessage if the client's first message cannot be read.
    """

    def __init__(
        self, database: UserDatabase, mechanism: str, client_first: bytes, nonce: bytes
    ) -> None:
        self._database = database
        self.mechanism = mechanism
        self._digest = scram.mechanism_hash(mechanism)
        gs2, self.name, client_nonce, self._client_first_bare = _read_client_first(client_first)
        self._binding = b64encode(gs2)
        self._secret = database.secret(self.name, mechanism)
        self._nonce = client_nonce + nonce
        salt = b64encode(self._secret.salt)
        self.server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._secret.iterations)

    def finish(self, client_final: bytes) -> tuple[User, bytes]:
        """Check the client's proof; give the user and the server's last message.

        Raises MalformedMessage or AuthenticationFailed.
        """
        if not client_final:
            raise MalformedMessage
        without_proof, _, encoded = client_final.rpartition(b",p=")
        try:
            attributes = dict(scram.parse_attributes(client_final))
        except ProtocolError:
            raise MalformedMessage(referenced=True) from None
        if not {"c", "r", "p"} <= attributes.keys():
            raise MalformedMessage
        try:
            proof = scram.decode_base64(encoded)
        except ProtocolError:
            raise MalformedMessage(referenced=True) from None
        if len(proof) != hashlib.new(self._digest).digest_size:
            raise MalformedMessage
        message = scram.auth_message(self._client_first_bare, self.server_first, without_proof)
        user = self._database.users.get(self.name)
        if (
            user is None
            or attributes["c"] != self._binding
            or attributes["r"] != self._nonce
            or not scram.is_proof(self._digest, self._secret.stored_key, message, proof)
        ):
            raise AuthenticationFailed
        verifier = scram.signature(self._digest, self._secret.server_key, message)
        return user, b"v=" + b64encode(verifier)


def _read_client_first(message: bytes) -> tuple[bytes, str, bytes, bytes]:
    """Give the GS2 header, the user, the nonce and the bare message."""
    flag, _, rest = message.partition(b",")
    identity, _, bare = rest.partition(b",")
    try:
        attributes = dict(scram.parse_attributes(bare))
        name = scram.unescape_username(attributes["n"])
        nonce = attributes["r"]
    except (ProtocolError, KeyError):
        raise MalformedMessage from None
    # No channel is bound here, so neither `p=…` nor `y` (could bind) is taken.
    if flag != b"n":
        raise MalformedMessage
    return b",".join((flag, identity, b"")), name, nonce, bare
