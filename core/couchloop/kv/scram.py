"""SCRAM (RFC 5802, RFC 7677) with Couchbase's mechanism names: the client, and its arithmetic.

The key derivation (PBKDF2) takes tens of milliseconds and would stop a loop. So the client never
runs it: it gives a :class:`KeyDerivation`, which a thread may `derive()`, and is handed the result.

Names and passwords are taken as they are (UTF-8, no SASLprep): so do the server and its SDKs.
There is no channel binding.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from couchloop.exceptions import ArgumentError, AuthError, ProtocolError, ServerSignatureError
from couchloop.later import pattern
from couchloop.records import record
from couchloop.safety.printable import printable
from couchloop.safety.secret import Secret, as_secret, sealed

_HASHES: Final[Mapping[str, str]] = MappingProxyType(
    {"SCRAM-SHA512": "sha512", "SCRAM-SHA256": "sha256", "SCRAM-SHA1": "sha1"}
)

MECHANISMS: Final = tuple(_HASHES)
"""Names of the mechanisms on the wire, strongest first."""

MAX_ITERATIONS: Final = 1_000_000
"""Iterations that a client runs for a server that it does not know yet."""

MIN_ITERATIONS: Final = 1000
"""Fewer are refused: before the server has proven anything, it, or whoever listens, has what tells
guessed passwords from the right one, at the price of so many iterations a guess."""

ADVISED_ITERATIONS: Final = 4096
"""The least that RFC 7677 allows."""

_LONGEST_SALT: Final = 1024
"""Bytes; real ones have up to 64."""

GS2_HEADER: Final = b"n,,"
"""How a client's first message begins: no channel binding, no other identity."""

_NUMBER: Final = pattern(rb"[1-9][0-9]*")
_LONGEST_NUMBER: Final = 10
_SHOWN: Final = 100
"""Characters of a server's reason that stand in a message."""
_NONCE: Final = pattern(rb"[\x21-\x2b\x2d-\x7e]+")


# Arithmetic, for both sides -----------------------------------------------------------------------


def mechanism_hash(mechanism: str) -> str:
    """Return hashlib's name of the hash that *mechanism* uses.

    Raises ArgumentError if it is not one of MECHANISMS.
    """
    try:
        return _HASHES[mechanism]
    except KeyError:
        raise ArgumentError(
            f"unknown mechanism {mechanism!r}; there are {', '.join(MECHANISMS)}"
        ) from None


def signature(hash_name: str, key: bytes, message: bytes) -> bytes:
    """HMAC of *message*: a client's is made with the stored key, a server's with the server key."""
    return hmac.digest(key, message, hash_name)


def client_key(hash_name: str, salted_password: bytes) -> bytes:
    """Key that only one who knows the password can make."""
    return signature(hash_name, salted_password, b"Client Key")


def server_key(hash_name: str, salted_password: bytes) -> bytes:
    """Key by which a server proves that it knows the user."""
    return signature(hash_name, salted_password, b"Server Key")


def stored_key(hash_name: str, key: bytes) -> bytes:
    """Hash of the client *key*: what a server keeps to check a client's proof."""
    return hashlib.new(hash_name, key).digest()


def client_proof(hash_name: str, key: bytes, message: bytes) -> bytes:
    """The client *key*, under a pad that a server can make too: it signs `auth_message`."""
    return _xor(key, signature(hash_name, stored_key(hash_name, key), message))


def is_proof(hash_name: str, stored: bytes, message: bytes, proof: bytes) -> bool:
    """Whether a client's proof is right, for a server with the *stored* key."""
    pad = signature(hash_name, stored, message)
    if len(proof) != len(pad):
        return False
    return hmac.compare_digest(stored_key(hash_name, _xor(proof, pad)), stored)


def auth_message(client_first_bare: bytes, server_first: bytes, without_proof: bytes) -> bytes:
    """What both sides sign: the three messages before the proof."""
    return b",".join((client_first_bare, server_first, without_proof))


def _xor(one: bytes, other: bytes) -> bytes:
    number = int.from_bytes(one) ^ int.from_bytes(other)
    return number.to_bytes(len(one))


# Messages, for both sides -------------------------------------------------------------------------


def parse_attributes(message: bytes) -> list[tuple[str, bytes]]:
    """Split a message into (letter, value) pairs, in its order, which RFC 5802 fixes.

    Raises ProtocolError if a part is not `letter=value`.
    """
    attributes = []
    for part in message.split(b","):
        letter, equals, value = part[:1], part[1:2], part[2:]
        if not letter.isalpha() or equals != b"=" or not value or b"\0" in value:
            raise ProtocolError("SCRAM: a part of the message is not letter=value")
        attributes.append((letter.decode("ascii"), value))
    return attributes


def escape_username(username: str) -> bytes:
    """Write a user name as an attribute's value.

    Raises ArgumentError if it has a NUL or is not Unicode text.
    """
    if "\0" in username:
        raise ArgumentError("a user name cannot have a NUL character")
    try:
        return username.replace("=", "=3D").replace(",", "=2C").encode()
    except UnicodeEncodeError:
        raise ArgumentError("the user name is not Unicode text: it has a lone surrogate") from None


def unescape_username(value: bytes) -> str:
    """Read a user name from an attribute's value.

    Raises ProtocolError if it is not UTF-8 or has `=` other than in `=2C` and `=3D`.
    """
    if re.search(rb"=(?!2C|3D)", value):
        raise ProtocolError("SCRAM: the user name has an = that is no escape")
    try:
        return value.decode().replace("=2C", ",").replace("=3D", "=")
    except UnicodeDecodeError:
        raise ProtocolError("SCRAM: the user name is not UTF-8") from None


def decode_base64(value: bytes) -> bytes:
    """Decode an attribute's value.

    Raises ProtocolError if it is not base64 (RFC 4648, padded).
    """
    try:
        return b64decode(value, validate=True)
    except Base64Error:
        raise ProtocolError("SCRAM: an attribute is not base64") from None


# The client ---------------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class KeyDerivation:
    """A salted password to be computed, by whoever has the time."""

    hash_name: str
    password: Secret = field(repr=False)
    salt: bytes
    iterations: int

    def derive(self) -> bytes:
        """Compute the salted password (PBKDF2); 15,000 iterations take about 25 ms."""
        return hashlib.pbkdf2_hmac(
            self.hash_name, self.password.bytes(), self.salt, self.iterations
        )

    def digest(self) -> bytes:
        """Return what is equal for equal derivations, and tells nothing of the password."""
        # The salt is part of it, and its length is told, so that no two requests look alike.
        head = f"{self.hash_name} {self.iterations} {len(self.salt)} ".encode()
        return hashlib.sha256(head + self.salt + self.password.bytes()).digest()


class SaltedPasswords:
    """Salted passwords of late, so that many connections derive each only once.

    Args:
        maxsize: how many are kept; the one that was not asked for longest is forgotten.
    """

    __slots__ = ("_known", "_maxsize")

    def __init__(self, maxsize: int = 64) -> None:
        self._maxsize = maxsize
        # They log in as well as the password does.
        self._known: dict[bytes, Secret] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, derivation: KeyDerivation) -> bytes | None:
        """Return the salted password, if it is known."""
        digest = derivation.digest()
        salted_password = self._known.pop(digest, None)
        if salted_password is None:
            return None
        self._known[digest] = salted_password
        return salted_password.bytes()

    def put(self, derivation: KeyDerivation, salted_password: bytes) -> None:
        """Keep what *derivation* gave."""
        digest = derivation.digest()
        self._known.pop(digest, None)
        self._known[digest] = Secret(salted_password)
        if len(self._known) > self._maxsize:
            del self._known[next(iter(self._known))]


class ScramClient:
    """One authentication, from the client's side: `first`, `challenge`, `final`, `verify`.

    Args:
        mechanism: one of MECHANISMS.
        username: as the server knows it.
        password: is never shown, and left only in the `KeyDerivation`.
        nonce: fresh random printable ASCII without commas; 24 characters are plenty.
        max_iterations: more than these are refused: a hostile server could ask for hours.
        min_iterations: fewer are refused: the password could be guessed from one login.

    Raises:
        ArgumentError: one of these is not valid.

    """

    __slots__ = (
        "_auth_message",
        "_first_bare",
        "_hash_name",
        "_max_iterations",
        "_min_iterations",
        "_nonce",
        "_password",
        "_server_first",
        "_server_signature",
        "mechanism",
    )

    @sealed
    def __init__(
        self,
        mechanism: str,
        username: str,
        password: str | Secret,
        nonce: str,
        *,
        max_iterations: int = MAX_ITERATIONS,
        min_iterations: int = MIN_ITERATIONS,
    ) -> None:
        self._hash_name = mechanism_hash(mechanism)
        self.mechanism = mechanism
        self._nonce = nonce.encode("utf-8", "surrogatepass")
        if not _NONCE.fullmatch(self._nonce):
            raise ArgumentError("a nonce is printable ASCII without commas")
        self._password = as_secret(password)
        try:
            self._password.bytes().decode()
        except UnicodeDecodeError:
            # Not from the cause: it carries the password.
            raise ArgumentError(
                "the password is not Unicode text: it has a lone surrogate"
            ) from None
        self._first_bare = b"n=" + escape_username(username) + b",r=" + self._nonce
        self._max_iterations = max_iterations
        self._min_iterations = min_iterations
        self._server_first = b""
        self._server_signature = b""

    def first(self) -> bytes:
        """Return the first message, for SASL_AUTH."""
        return GS2_HEADER + self._first_bare

    def challenge(self, server_first: bytes) -> KeyDerivation:
        """Handle the server's first message; return what is to be derived for `final`.

        Raises ProtocolError if the message is malformed or its salt longer than 1 KiB, AuthError
        if the server reports an error, does not repeat our nonce, or asks for too many iterations
        or too few.
        """
        attributes = _parse_answer(server_first)
        if [letter for letter, _ in attributes[:3]] != ["r", "s", "i"]:
            raise ProtocolError("SCRAM: the server's first message is not nonce, salt, iterations")
        nonce, salt, count = (value for _, value in attributes[:3])
        if not nonce.startswith(self._nonce) or not _NONCE.fullmatch(nonce):
            raise AuthError("SCRAM: the server did not repeat our nonce; its answer is not for us")
        if not _NUMBER.fullmatch(count):
            raise ProtocolError("SCRAM: the server's iteration count is not a positive number")
        # A long number is not converted: that alone could take long.
        if len(count) > _LONGEST_NUMBER or int(count) > self._max_iterations:
            raise AuthError(
                f"SCRAM: the server asks for more than {self._max_iterations} iterations; "
                "lower its scramShaIterations, or allow more"
            )
        if int(count) < self._min_iterations:
            raise AuthError(
                f"SCRAM: the server asks for fewer than {self._min_iterations} iterations, so that "
                "the password could be guessed from this login: raise its scramShaIterations, or "
                "use couchbases://; scram_min_iterations=… allows fewer",
                objextra=int(count),
            )
        if len(salt) > _LONGEST_SALT * 4 // 3 + 4:
            raise ProtocolError(f"SCRAM: the server's salt is longer than {_LONGEST_SALT} bytes")
        derivation = KeyDerivation(self._hash_name, self._password, decode_base64(salt), int(count))
        if len(derivation.salt) > _LONGEST_SALT:
            raise ProtocolError(f"SCRAM: the server's salt is longer than {_LONGEST_SALT} bytes")
        self._server_first, self._nonce = server_first, nonce
        return derivation

    def final(self, salted_password: bytes) -> bytes:
        """Return the second message, for SASL_STEP, which proves that we know the password."""
        without_proof = b"c=" + b64encode(GS2_HEADER) + b",r=" + self._nonce
        message = auth_message(self._first_bare, self._server_first, without_proof)
        proof = client_proof(self._hash_name, client_key(self._hash_name, salted_password), message)
        self._server_signature = signature(
            self._hash_name, server_key(self._hash_name, salted_password), message
        )
        return without_proof + b",p=" + b64encode(proof)

    def verify(self, server_final: bytes) -> None:
        """Handle the server's last message; return if it proves that the server knows the user.

        Raises ProtocolError if the message is malformed, AuthError if the server reports an
        error, ServerSignatureError if its proof is wrong.
        """
        letter, value = _parse_answer(server_final)[0]
        if letter != "v":
            raise ProtocolError("SCRAM: the server's last message has no signature")
        # Before final() there is no signature to compare with, and none is right.
        if not self._server_signature or not hmac.compare_digest(
            decode_base64(value), self._server_signature
        ):
            raise ServerSignatureError


def _parse_answer(message: bytes) -> list[tuple[str, bytes]]:
    attributes = parse_attributes(message)
    letter, value = attributes[0]
    if letter == "e":
        raise AuthError(f"SCRAM: the server refused the login: {printable(value, _SHOWN)!r}")
    if any(letter == "m" for letter, _ in attributes):
        raise ProtocolError("SCRAM: the server asks for an extension that we do not know")
    return attributes
