"""SCRAM: the RFCs' examples, scramp as the other side, and hostile servers."""

from __future__ import annotations

import gc
import hashlib
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import pytest
import scramp
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.exceptions import ArgumentError, AuthError, ProtocolError, ServerSignatureError
from couchloop.kv import scram
from couchloop.kv.scram import MECHANISMS, KeyDerivation, SaltedPasswords, ScramClient
from couchloop.safety.secret import Secret

NONCE = "00112233445566778899aabbccddeeff"
SERVER_FIRST = b"r=" + NONCE.encode() + b"XYZ,s=AAECAwQFBgcICQoLDA0ODw==,i=7"


class Vector(NamedTuple):
    """A whole exchange."""

    mechanism: str
    username: str
    password: str
    nonce: str
    server_nonce: str
    salt: str
    iterations: int
    proof: str
    signature: str


VECTORS = [
    pytest.param(
        Vector(
            "SCRAM-SHA1",
            "user",
            "pencil",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            4096,
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        id="RFC 5802",
    ),
    pytest.param(
        Vector(
            "SCRAM-SHA256",
            "user",
            "pencil",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            4096,
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
        id="RFC 7677",
    ),
    pytest.param(
        Vector(
            "SCRAM-SHA512",
            "jo",
            "s3cr3t",
            NONCE,
            "XYZ",
            "AAECAwQFBgcICQoLDA0ODw==",
            15000,
            "HMn3QlOQidbHSt1paOe86uz4gyPx/FORLq1P36CF+FnrsEygrFNLNPZgho/h9WipqCgBmczqKbS9uywaLBrAsA==",
            "6dS1HgKmU/tNtEnAndbwnoqqP+9qSe/W6KWS5JCrkbVMI6XezF0PTVOeNMekZCu34LYu6UH3mtiK071o8wLYUg==",
        ),
        id="SHA-512",
    ),
]

SCRAMP_NAMES = {
    "SCRAM-SHA1": "SCRAM-SHA-1",
    "SCRAM-SHA256": "SCRAM-SHA-256",
    "SCRAM-SHA512": "SCRAM-SHA-512",
}


def client(**changes: str) -> ScramClient:
    """A client with every argument valid, but for the changes."""
    arguments = {
        "mechanism": "SCRAM-SHA512",
        "username": "user",
        "password": "password",
        "nonce": NONCE,
    }
    # Few iterations: most tests here derive the key.
    given: dict[str, Any] = arguments | changes
    return ScramClient(**given, min_iterations=1)


def answered_client() -> ScramClient:
    """A client that has sent its proof and waits for the server's."""
    waiting = client()
    waiting.final(waiting.challenge(SERVER_FIRST).derive())
    return waiting


def scramp_server(mechanism: str, username: str, password: str) -> scramp.core.ScramServer:
    """The other side, by another author; it knows one user."""
    parameters = scramp.ScramMechanism(SCRAMP_NAMES[mechanism])
    known = {username: parameters.make_auth_info(password, salt=bytes(range(16)))}
    return parameters.make_server(lambda name: known[name])


class VectorTests:
    """Examples with published messages."""

    @pytest.mark.parametrize("vector", VECTORS)
    def test_client(self, vector: Vector) -> None:
        """The client sends the published messages and accepts the published signature."""
        nonce = vector.nonce + vector.server_nonce
        authentication = ScramClient(
            vector.mechanism, vector.username, vector.password, vector.nonce
        )
        assert authentication.first() == f"n,,n={vector.username},r={vector.nonce}".encode()
        derivation = authentication.challenge(
            f"r={nonce},s={vector.salt},i={vector.iterations}".encode()
        )
        assert derivation.salt == b64decode(vector.salt)
        assert derivation.iterations == vector.iterations
        final = authentication.final(derivation.derive())
        assert final == f"c=biws,r={nonce},p={vector.proof}".encode()
        authentication.verify(f"v={vector.signature}".encode())

    @pytest.mark.parametrize("vector", VECTORS)
    def test_server(self, vector: Vector) -> None:
        """From what a server stores, the arithmetic accepts the proof and makes the signature."""
        name = scram.mechanism_hash(vector.mechanism)
        salted = KeyDerivation(
            name, Secret(vector.password), b64decode(vector.salt), vector.iterations
        ).derive()
        stored = scram.stored_key(name, scram.client_key(name, salted))
        nonce = vector.nonce + vector.server_nonce
        message = scram.auth_message(
            f"n={vector.username},r={vector.nonce}".encode(),
            f"r={nonce},s={vector.salt},i={vector.iterations}".encode(),
            f"c=biws,r={nonce}".encode(),
        )
        proof = b64decode(vector.proof)
        assert scram.is_proof(name, stored, message, proof)
        assert not scram.is_proof(name, stored, message + b"x", proof)
        assert not scram.is_proof(name, stored, message, bytes([proof[0] ^ 1]) + proof[1:])
        assert not scram.is_proof(name, stored, message, proof[:-1])
        assert not scram.is_proof(name, stored, message, b"")
        signature = scram.signature(name, scram.server_key(name, salted), message)
        assert b64encode(signature).decode() == vector.signature


class OracleTests:
    """The client against scramp's server."""

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    @pytest.mark.parametrize("username", ["user", "a=b,c=2C", "Jörg"])
    def test_login(self, mechanism: str, username: str) -> None:
        """The server accepts the proof, the client the signature."""
        server = scramp_server(mechanism, username, "pässword,=")
        authentication = ScramClient(mechanism, username, "pässword,=", NONCE)
        server.set_client_first(authentication.first().decode())
        derivation = authentication.challenge(server.get_server_first().encode())
        server.set_client_final(authentication.final(derivation.derive()).decode())
        authentication.verify(server.get_server_final().encode())

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_wrong_password(self, mechanism: str) -> None:
        """The server refuses another password; its error message is an AuthError for the client."""
        server = scramp_server(mechanism, "user", "password")
        authentication = ScramClient(mechanism, "user", "Password", NONCE)
        server.set_client_first(authentication.first().decode())
        derivation = authentication.challenge(server.get_server_first().encode())
        with pytest.raises(scramp.ScramException):
            server.set_client_final(authentication.final(derivation.derive()).decode())
        with pytest.raises(AuthError, match="invalid-proof"):
            authentication.verify(server.get_server_final().encode())

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    def test_impostor(self, mechanism: str) -> None:
        """A server that knows the user by another password cannot make the signature."""
        server = scramp_server(mechanism, "user", "password")
        authentication = ScramClient(mechanism, "user", "password", NONCE)
        server.set_client_first(authentication.first().decode())
        server_first = server.get_server_first().encode()
        derivation = authentication.challenge(server_first)
        final = authentication.final(derivation.derive())
        impostor = KeyDerivation(
            derivation.hash_name, Secret("guessed"), derivation.salt, derivation.iterations
        ).derive()
        name = derivation.hash_name
        message = scram.auth_message(
            authentication.first().removeprefix(scram.GS2_HEADER),
            server_first,
            final.rpartition(b",p=")[0],
        )
        forged = scram.signature(name, scram.server_key(name, impostor), message)
        with pytest.raises(ServerSignatureError):
            authentication.verify(b"v=" + b64encode(forged))

    def test_unprepared_password(self) -> None:
        """A password is taken as it is: the ligature fi is not f and i, as SASLprep would make it.

        scramp prepares, so it stands for a server that knows the password without the ligature.
        """
        server = scramp_server("SCRAM-SHA256", "user", "find")
        authentication = ScramClient("SCRAM-SHA256", "user", "\ufb01nd", NONCE)
        server.set_client_first(authentication.first().decode())
        derivation = authentication.challenge(server.get_server_first().encode())
        assert derivation.password.bytes() == b"\xef\xac\x81nd"
        with pytest.raises(scramp.ScramException):
            server.set_client_final(authentication.final(derivation.derive()).decode())


class ClientTests:
    """What the client refuses, and with which error."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"mechanism": "SCRAM-SHA-512"},
            {"mechanism": "PLAIN"},
            {"username": "us\0er"},
            {"username": "\ud800"},
            {"password": "\udfff"},
            {"nonce": ""},
            {"nonce": "a,b"},
            {"nonce": "a b"},
            {"nonce": "ä"},
            {"nonce": "\ud800"},
        ],
    )
    def test_arguments(self, changes: dict[str, str]) -> None:
        """Arguments that no message can carry are refused before anything is sent."""
        with pytest.raises(ArgumentError):
            client(**changes)

    def test_strongest_first(self) -> None:
        """The mechanisms are in the order in which a client should choose."""
        sizes = [hashlib.new(scram.mechanism_hash(name)).digest_size for name in MECHANISMS]
        assert sizes == [64, 32, 20]

    @pytest.mark.parametrize(
        "server_first",
        [
            b"",
            b"garbage",
            b"r=" + NONCE.encode(),
            b"v=AAAA",
            b"s=AAAA,r=" + NONCE.encode() + b"X,i=7",
            b"m=ext,r=" + NONCE.encode() + b"X,s=AAAA,i=7",
            SERVER_FIRST + b",m=ext",
            SERVER_FIRST.replace(b"s=AA", b"s=!A"),
            SERVER_FIRST.replace(b"==", b""),
            SERVER_FIRST.replace(b"i=7", b"i=0"),
            SERVER_FIRST.replace(b"i=7", b"i=07"),
            SERVER_FIRST.replace(b"i=7", b"i=-1"),
            SERVER_FIRST.replace(b"i=7", b"i=7 "),
            SERVER_FIRST.replace(b"i=7", b"i=\xd9\xa7"),
            SERVER_FIRST + b",",
            SERVER_FIRST + b"\0",
        ],
    )
    def test_malformed_challenge(self, server_first: bytes) -> None:
        """A malformed first message is a ProtocolError."""
        with pytest.raises(ProtocolError):
            client().challenge(server_first)

    @pytest.mark.parametrize("nonce", ["other", NONCE[:-1], NONCE.upper(), "x" + NONCE])
    def test_nonce_of_another(self, nonce: str) -> None:
        """An answer that does not begin with our nonce is an AuthError."""
        with pytest.raises(AuthError, match="nonce"):
            client().challenge(f"r={nonce},s=AAAA,i=7".encode())

    @pytest.mark.parametrize(
        ("count", "accepted"),
        [("1", True), ("1000000", True), ("1000001", False), ("9" * 5000, False)],
    )
    def test_iterations(self, count: str, accepted: bool) -> None:
        """Up to the limit all numbers are accepted; none is too long to refuse."""
        server_first = SERVER_FIRST.replace(b"i=7", b"i=" + count.encode())
        if accepted:
            assert client().challenge(server_first).iterations == int(count)
        else:
            with pytest.raises(AuthError, match="scramShaIterations"):
                client().challenge(server_first)

    def test_more_iterations_when_allowed(self) -> None:
        """The limit is the caller's to choose."""
        patient = ScramClient("SCRAM-SHA1", "user", "pw", NONCE, max_iterations=10_000_000)
        server_first = SERVER_FIRST.replace(b"i=7", b"i=10000000")
        assert patient.challenge(server_first).iterations == 10_000_000

    @pytest.mark.parametrize("count", [1, 999, 1000, 4095])
    def test_few_iterations(self, count: int) -> None:
        """Fewer than 1,000 are refused before anything is hashed, unless that is allowed."""
        server_first = SERVER_FIRST.replace(b"i=7", f"i={count}".encode())
        careful = ScramClient("SCRAM-SHA1", "user", "pw", NONCE)
        if count >= scram.MIN_ITERATIONS:
            assert careful.challenge(server_first).iterations == count
        else:
            with pytest.raises(AuthError, match="scram_min_iterations") as caught:
                careful.challenge(server_first)
            assert caught.value.objextra == count
        allowed = ScramClient("SCRAM-SHA1", "user", "pw", NONCE, min_iterations=count)
        assert allowed.challenge(server_first).iterations == count

    @pytest.mark.parametrize(("length", "accepted"), [(1024, True), (1025, False), (10**6, False)])
    def test_long_salt(self, length: int, accepted: bool) -> None:
        """A salt of more than 1 KiB is refused, before anything is hashed."""
        server_first = b"r=" + NONCE.encode() + b"x,s=" + b64encode(bytes(length)) + b",i=4096"
        if accepted:
            assert len(client().challenge(server_first).salt) == length
        else:
            with pytest.raises(ProtocolError, match="longer than 1024 bytes"):
                client().challenge(server_first)

    def test_extensions_are_ignored(self) -> None:
        """Attributes after the iteration count are skipped, but for mandatory ones (RFC 5802)."""
        assert client().challenge(SERVER_FIRST + b",x=later").iterations == 7

    @pytest.mark.parametrize("server_final", [b"", b"x", b"x=AAAA", b"v=", b"v=A", b"v=AAAA\xff"])
    def test_malformed_verifier(self, server_final: bytes) -> None:
        """A malformed last message is a ProtocolError."""
        with pytest.raises(ProtocolError):
            answered_client().verify(server_final)

    def test_error_of_the_server(self) -> None:
        """An error that the server reports is an AuthError that quotes it, in either message."""
        with pytest.raises(AuthError, match="unknown-user"):
            client().challenge(b"e=unknown-user")
        with pytest.raises(AuthError, match="invalid-proof"):
            answered_client().verify(b"e=invalid-proof")

    def test_no_signature_is_right_before_the_proof(self) -> None:
        """Without a challenge answered nothing verifies, the empty signature neither."""
        waiting = client()
        with pytest.raises(ServerSignatureError):
            waiting.verify(b"v=" + b64encode(bytes(64)))

    @given(st.binary())
    @example(b"r=" + NONCE.encode() + b",s=A,i=1")
    def test_arbitrary_challenge(self, server_first: bytes) -> None:
        """Whatever a server sends first: a derivation, AuthError or ProtocolError."""
        try:
            derivation = client().challenge(server_first)
        except (AuthError, ProtocolError):
            return
        assert 1 <= derivation.iterations <= scram.MAX_ITERATIONS

    @given(
        st.lists(
            st.sampled_from(
                [b"r=", NONCE.encode(), b",", b"s=", b"AAAA", b"=", b"i=", b"9", b"e=", b"v=", b"m"]
            )
            | st.binary(max_size=3)
        ).map(b"".join)
    )
    def test_nearly_right_messages(self, message: bytes) -> None:
        """Messages made of right parts give the documented errors only, first and last."""
        try:
            derivation = client().challenge(message)
        except (AuthError, ProtocolError):
            pass
        else:
            assert 1 <= derivation.iterations <= scram.MAX_ITERATIONS
        with pytest.raises((AuthError, ProtocolError)):
            answered_client().verify(message)

    @given(st.binary(min_size=64, max_size=64))
    def test_guessed_signature(self, guess: bytes) -> None:
        """A well-formed signature that is not the right one is a ServerSignatureError."""
        with pytest.raises(ServerSignatureError):
            answered_client().verify(b"v=" + b64encode(guess))


class MessageTests:
    """Attributes and names, for both sides."""

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
    def test_usernames(self, username: str) -> None:
        """Every name comes back from its escaped form, which has no comma and no bare =."""
        escaped = scram.escape_username(username)
        assert b"," not in escaped
        assert scram.unescape_username(escaped) == username

    def test_escapes(self) -> None:
        """The two escapes are those of RFC 5802."""
        assert scram.escape_username("a,b=c") == b"a=2Cb=3Dc"
        assert scram.unescape_username(b"=3D2C") == "=2C"

    @pytest.mark.parametrize("value", [b"a=b", b"=", b"=2c", b"=3", b"\xff"])
    def test_malformed_usernames(self, value: bytes) -> None:
        """A bare = and what is not UTF-8 are refused."""
        with pytest.raises(ProtocolError):
            scram.unescape_username(value)

    def test_attributes(self) -> None:
        """A value may have = in it; the order stays."""
        assert scram.parse_attributes(b"r=x=y,s=AA==,i=7") == [
            ("r", b"x=y"),
            ("s", b"AA=="),
            ("i", b"7"),
        ]

    @given(st.binary())
    def test_arbitrary_attributes(self, message: bytes) -> None:
        """Arbitrary bytes give attributes from which they can be written again, or an error."""
        try:
            attributes = scram.parse_attributes(message)
        except ProtocolError:
            return
        written = b",".join(letter.encode() + b"=" + value for letter, value in attributes)
        assert written == message


class SecrecyTests:
    """Passwords are used, never shown and not kept in clear."""

    def test_nothing_shows_the_password(self) -> None:
        """No repr has the password, salted or not."""
        authentication = client(password="hunter2-secret")
        derivation = authentication.challenge(SERVER_FIRST)
        salted = derivation.derive()
        cache = SaltedPasswords()
        cache.put(derivation, salted)
        authentication.final(salted)
        shown = " ".join(map(repr, (authentication, derivation, cache)))
        assert "KeyDerivation" in shown
        assert "hunter2" not in shown
        assert repr(salted) not in shown

    def test_errors_do_not_show_the_password(self) -> None:
        """An unencodable password is refused without quoting it, in the error's cause neither."""
        with pytest.raises(ArgumentError) as caught:
            client(password="hunter2\ud800")
        assert "hunter2" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_the_cache_keeps_nothing_in_the_clear(self) -> None:
        """Nothing that the cache refers to is or has the password, nor what logs in as well."""
        cache = SaltedPasswords()
        derivation = KeyDerivation("sha1", Secret(b"hunter2"), b"salt", 1)
        cache.put(derivation, derivation.derive())
        kept: list[object] = [cache]
        found: list[object] = []
        while kept:
            for thing in gc.get_referents(kept.pop()):
                if isinstance(thing, dict | Secret):
                    kept.append(thing)
                found.append(thing)
        assert cache.get(derivation) == derivation.derive()
        assert Secret(derivation.derive()) in found
        assert derivation.derive() not in found
        assert not any(isinstance(thing, bytes) and b"hunter2" in thing for thing in found)


class SaltedPasswordsTests:
    """The cache of salted passwords."""

    BASE = KeyDerivation("sha256", Secret(b"password"), b"salt", 10)

    @pytest.mark.parametrize(
        "other",
        [
            KeyDerivation("sha512", Secret(b"password"), b"salt", 10),
            KeyDerivation("sha256", Secret(b"Password"), b"salt", 10),
            KeyDerivation("sha256", Secret(b"password"), b"Salt", 10),
            KeyDerivation("sha256", Secret(b"password"), b"salt", 11),
            KeyDerivation("sha256", Secret(b"tpassword"), b"sal", 10),
        ],
    )
    def test_key(self, other: KeyDerivation) -> None:
        """A salted password is found for the same request, and for no other."""
        cache = SaltedPasswords()
        assert cache.get(self.BASE) is None
        cache.put(self.BASE, b"salted")
        assert cache.get(KeyDerivation("sha256", Secret(b"password"), b"salt", 10)) == b"salted"
        assert cache.get(other) is None

    def test_bound(self) -> None:
        """At most maxsize are kept; the one not used for longest goes first."""
        cache = SaltedPasswords(maxsize=2)
        one, two, three = (KeyDerivation("sha1", Secret(b"pw"), bytes([n]), 1) for n in range(3))
        cache.put(one, b"1")
        cache.put(two, b"2")
        assert cache.get(one) == b"1"
        cache.put(three, b"3")
        assert [cache.get(each) for each in (one, two, three)] == [b"1", None, b"3"]
        cache.put(three, b"3")
        assert len(cache) == 2
