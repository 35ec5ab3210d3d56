"""Users, what they may do, and how their passwords are checked (PLAIN: RFC 4616)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from couchloop.kv import scram
from couchloop.safety.secret import Secret as Hidden
from couchloop.safety.secret import as_secret

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

_ITERATIONS: Final = 4096
_UNKNOWN_USER_ITERATIONS: Final = 15000


class Grant(NamedTuple):
    """Privileges in one place: a bucket (or `*` for all), a scope of it, a collection of that."""

    privileges: frozenset[str]
    bucket: str = "*"
    scope: str | None = None
    collection: str | None = None

    def covers(self, privilege: str) -> bool:
        """Whether the privilege is among the granted ones."""
        return privilege in self.privileges or "*" in self.privileges


@dataclass(frozen=True)
class User:
    """Somebody who may log in.

    Without *grants*, a user has all data privileges on all buckets. *system* holds the
    privileges that belong to no bucket.
    """

    name: str
    password: str | Hidden = field(repr=False)
    """Once made, a `couchloop.safety.secret.Secret`."""
    grants: tuple[Grant, ...] = (Grant(FULL_ACCESS),)
    system: frozenset[str] = frozenset({"SystemSettings"})
    roles: tuple[tuple[str, str, str, str], ...] = ()
    """Names of roles, and of the bucket, scope and collection where they hold, if they are known:
    what HTTP services ask for. See `has_role`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "password", as_secret(self.password))

    def sees(self, bucket: str) -> bool:
        """Whether the user may select *bucket*."""
        return any(grant.bucket in ("*", bucket) for grant in self.grants)

    def sees_all_buckets(self) -> bool:
        """Whether the user may know that a bucket does not exist."""
        return any(grant.bucket == "*" for grant in self.grants)

    @property
    def is_admin(self) -> bool:
        """Whether the user may do everything."""
        return "*" in self.system

    def has_role(self, name: str, bucket: str = "", scope: str = "", collection: str = "") -> bool:
        """Whether the user has a role in some place, or may do everything."""
        return self.is_admin or any(
            role == name
            and where in ("", "*", bucket)
            and within in ("", "*", scope)
            and among in ("", "*", collection)
            for role, where, within, among in self.roles
        )

    def may(self, privilege: str) -> bool:
        """Whether the user has a privilege that belongs to no bucket."""
        return privilege in self.system or "*" in self.system

    def may_in_bucket(self, privilege: str, bucket: str) -> bool:
        """Whether the user has a privilege on the whole of *bucket*."""
        return self.may(privilege) or any(
            grant.bucket in ("*", bucket) and grant.scope is None and grant.covers(privilege)
            for grant in self.grants
        )

    def may_in_collection(self, privilege: str, bucket: str, scope: str, collection: str) -> bool:
        """Whether the user has a privilege in a collection."""
        return any(grant.covers(privilege) for grant in self._reaching(bucket, scope, collection))

    def sees_collection(self, bucket: str, scope: str, collection: str) -> bool:
        """Whether the user has any privilege in a collection: to others it is unknown."""
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
    """Return a user who may do everything."""
    return User(name, password, (Grant(ADMIN),), ADMIN)


class Secret(NamedTuple):
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
        self._secrets: dict[tuple[str, str, Hidden], Secret] = {}

    def put(self, user: User) -> None:
        """Add a user, or give one other rights: living connections have them at once."""
        self.users[user.name] = user

    def remove(self, name: str) -> None:
        """Remove a user: living connections stay, without any right."""
        del self.users[name]

    def check_plain(self, message: bytes) -> User:
        """Read a PLAIN message; return the user whose credentials it carries.

        Raises MalformedMessage or AuthenticationFailed.
        """
        # authzid NUL user NUL password; the password takes all the rest, as the server has it.
        parts = message.split(b"\0", 2)
        if len(parts) != 3:
            raise MalformedMessage
        user = self.users.get(parts[1].decode("utf-8", "replace"))
        known = as_secret(user.password if user else "").bytes()
        if not hmac.compare_digest(known, parts[2]) or user is None:
            raise AuthenticationFailed
        return user

    def secret(self, name: str, mechanism: str) -> Secret:
        """Return salt and keys of a user; somebody unknown gets a salt too, and can never pass."""
        user = self.users.get(name)
        digest = scram.mechanism_hash(mechanism)
        password = as_secret(user.password if user else "")
        cached = self._secrets.get((name, mechanism, password))
        if cached is not None:
            return cached
        salt = hmac.digest(self._salt_seed, f"{mechanism} {name}".encode(), digest)
        if user is None:
            return Secret(salt, _UNKNOWN_USER_ITERATIONS, b"", b"")
        salted = hashlib.pbkdf2_hmac(digest, password.bytes(), salt, _ITERATIONS)
        secret = Secret(
            salt,
            _ITERATIONS,
            scram.stored_key(digest, scram.client_key(digest, salted)),
            scram.server_key(digest, salted),
        )
        self._secrets[name, mechanism, password] = secret
        return secret
