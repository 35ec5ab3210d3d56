"""Certificates for the tests of TLS on both loops."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from couchloop.embedded.hosting import ServerCertificate

try:
    import trustme
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )
    from cryptography.x509.oid import NameOID
except ImportError:
    _LACKING = True
else:
    _LACKING = False

INCOMPLETE = re.compile(
    r"the CA that signed it \(.+\) is among those that are trusted here, but it is an intermediate "
    r"one, and the CA above it is missing; add the certificates of all CAs up to the root"
)
LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


class Certificates:
    """A CA of one test, and files of what it issues, in *folder*."""

    def __init__(self, folder: Path) -> None:
        if _LACKING:
            reason = "trustme is not installed: nothing makes certificates"
            pytest.skip(reason, allow_module_level=True)
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def server(
        self,
        *names: str,
        authority: trustme.CA | None = None,
        expires: dt.datetime | None = None,
        clients: bool = False,
    ) -> ServerCertificate:
        """Issue a server's certificate for *names*; *clients*: one may log in by certificate."""
        path = self.folder / "server.pem"
        issued = (authority or self.authority).issue_cert(
            *(names or ("127.0.0.1",)), not_after=expires
        )
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return ServerCertificate(path, path, self.ca if clients else None)

    def server_of(self, name: str) -> ServerCertificate:
        """Issue a server's certificate for *name* as it is, which no RFC need allow."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        ca = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        signing = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests")]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(signing, hashes.SHA256())
        )
        path = self.folder / "server.pem"
        form = PrivateFormat.TraditionalOpenSSL
        written = key.private_bytes(Encoding.PEM, form, NoEncryption())
        path.write_bytes(written + certificate.public_bytes(Encoding.PEM))
        return ServerCertificate(path, path, None)

    def client(self, user: str = "user", authority: trustme.CA | None = None) -> tuple[str, str]:
        """Issue a client's certificate; give the paths of it and of its key."""
        issued = (authority or self.authority).issue_cert(f"{user}@example.com", common_name=user)
        cert, key = self.folder / f"{user}.pem", self.folder / f"{user}.key"
        cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return str(cert), str(key)

    def client_becomes(self, user: str) -> None:
        """Put another user's certificate and key in the files of `client()`."""
        for old, new in zip(self.client(), self.client(user), strict=True):
            Path(new).replace(old)

    def client_objects(self) -> dict[str, Any]:
        """Return a client's certificate and key as Twisted's CertificateOptions takes them."""
        cert, key = self.client()
        return {
            "certificate": x509.load_pem_x509_certificate(Path(cert).read_bytes()),
            "privateKey": load_pem_private_key(Path(key).read_bytes(), None),
        }

    def key_and_certificate(self) -> str:
        """Return the path of a file that holds both, the key first."""
        cert, key = self.client()
        path = self.folder / "both.pem"
        path.write_bytes(Path(key).read_bytes() + Path(cert).read_bytes())
        return str(path)

    def self_signed(self) -> ServerCertificate:
        """Make a server's certificate that is its own CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = dt.datetime.now(dt.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(key, hashes.SHA256())
        )
        path = self.folder / "self-signed.pem"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        (self.folder / "self-signed.key").write_bytes(_pem(key, NoEncryption()))
        return ServerCertificate(path, self.folder / "self-signed.key")

    def bad_keys(self, cert: str) -> list[tuple[str | None, str]]:
        """Return paths that hold no key for *cert*, each with what is wrong."""
        encrypted, other = self.folder / "encrypted.key", self.folder / "other.key"
        key = ec.generate_private_key(ec.SECP256R1())
        encrypted.write_bytes(_pem(key, BestAvailableEncryption(b"secret")))
        other.write_bytes(_pem(key, NoEncryption()))
        return [
            ("/nowhere/client.key", "/nowhere/client.key.*No such file"),
            (cert, "no private key in PEM form"),
            (None, "no private key in PEM form"),
            (str(encrypted), "encrypted"),
            (str(other), "does not belong to the certificate"),
        ]

    def bundle(self) -> str:
        """Return the path of a file of several CAs, this one the last, with comments between."""
        path = self.folder / "bundle.pem"
        with path.open("wb") as file:
            for number in range(2):
                file.write(f"# CA number {number}, d'après la liste\n".encode())
                file.write(trustme.CA().cert_pem.bytes())
            file.write(self.authority.cert_pem.bytes())
        return str(path)

    def by_intermediate(self) -> tuple[ServerCertificate, str, str]:
        """Have a CA below this one issue a server's certificate; give it and the CAs' files.

        These are one of the intermediate CA alone, and one of both.
        """
        below = self.authority.create_child_ca()
        path = self.folder / "server.pem"
        below.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
        alone, both = self.folder / "intermediate.pem", self.folder / "both-cas.pem"
        below.cert_pem.write_to_path(alone)
        both.write_bytes(below.cert_pem.bytes() + self.authority.cert_pem.bytes())
        return ServerCertificate(path, path), str(alone), str(both)

    def foreign(self, port: int) -> str:
        """Return a connection string with a client's certificate of a CA that nobody knows."""
        cert, key = self.client(authority=trustme.CA())
        options = f"certpath={cert}&keypath={key}&truststorepath={self.ca}"
        return f"couchbases://127.0.0.1:{port}/default?{options}"

    @contextmanager
    def demanding(self) -> Iterator[int]:
        """Serve TLS to clients with a certificate alone, and nothing behind it; give the port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server().certificate)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED

        def serve(accepted: socket.socket) -> None:
            with context.wrap_socket(accepted, server_side=True) as connection:
                connection.recv(1)

        with listening(serve) as port:
            yield port


@contextmanager
def talking(answer: bytes, heard: list[bytes] | None = None) -> Iterator[int]:
    """Serve a port that gives *answer* to whatever it is sent first; give the port.

    What it is sent first goes into *heard*.
    """

    def serve(accepted: socket.socket) -> None:
        with accepted:
            first = accepted.recv(4096)
            if heard is not None:
                heard.append(first)
            accepted.sendall(answer)
            accepted.recv(4096)

    with listening(serve) as port:
        yield port


@contextmanager
def outdated(own: ServerCertificate) -> Iterator[int]:
    """Serve a port that speaks TLS 1.1 and nothing newer; give the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve(accepted: socket.socket) -> None:
        context.wrap_socket(accepted, server_side=True).close()

    with listening(serve) as port:
        yield port


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections in a thread, one after the other."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            accepted.settimeout(10)
            with accepted, suppress(OSError):
                serve(accepted)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _pem(key: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def damage(path: str) -> None:
    """Make a file useless."""
    Path(path).write_text("damaged", encoding="ascii")
