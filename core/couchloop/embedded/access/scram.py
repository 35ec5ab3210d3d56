"""The server's side of a SCRAM exchange (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from couchloop.embedded.access.users import (
    AuthenticationFailed,
    MalformedMessage,
    User,
    UserDatabase,
)
from couchloop.exceptions import ProtocolError
from couchloop.kv import scram


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
        """Check the client's proof; return the user and the server's last message.

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
    """Return the GS2 header, the user, the nonce and the bare message."""
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
