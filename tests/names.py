"""Certificates with all forms of names, and what each is good for: one table for both loops.

A peer serves each to whoever connects. It notes what it is told after the handshake, so that a test
sees that nobody is told anything who must not be.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from couchloop.exceptions import CouchbaseError, TlsError
from tests.certificates import Certificates, listening

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NODE: Final = "node.example.test"
"""A host name that the tests lead to this machine."""
SUBJECT_ALT_NAME: Final = x509.ObjectIdentifier("2.5.29.17")
NONE: Final = "have the server's certificate name {host} as its subjectAltName"
STAR: Final = " (a * stands for one whole label, the first, and two or more must follow it)"


def der(tag: int, content: bytes) -> bytes:
    """Write one element of DER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def dns(name: str | bytes) -> bytes:
    """Return an entry for a host name, whatever it is."""
    return der(0x82, name.encode() if isinstance(name, str) else name)


def address(text: str) -> bytes:
    """Return an entry for an IP address."""
    return der(0x87, ip_address(text).packed)


EMAIL: Final = der(0x81, b"user@example.test")
LOCAL: Final = "127.0.0.1"
_COMMON: Final = bytes.fromhex("550403")
DIRECTORY: Final = der(
    0xA4,
    der(
        0x30,
        der(0x31, der(0x30, der(0x06, _COMMON) + der(0x0C, NODE.encode()))),
    ),
)
URI: Final = der(0x86, f"couchbases://{NODE}".encode())
REGISTERED: Final = der(0x88, bytes.fromhex("2a0304"))
OTHER: Final = der(0xA0, der(0x06, bytes.fromhex("2a0304")) + der(0xA0, der(0x0C, NODE.encode())))


class Form(NamedTuple):
    """A certificate, and what comes of it for one host."""

    name: str
    host: str
    why: str | None
    """How the refusal goes on behind "is not trusted: "; None: it is good for *host*."""
    entries: Sequence[bytes] | None = ()
    """Of subjectAltName; None: there is none."""
    subject: str = "server"
    critical: bool = False
    raw: bytes | None = None
    """The whole value of subjectAltName, in place of the entries."""
    twice: bool = False
    """Whether the extension stands there a second time."""
    for_clients: bool = False
    expired: bool = False


def _only(host: str, names: str, note: str = "") -> str:
    ip = ", as an IP address" if host[0].isdigit() or ":" in host else ""
    return f"it is for {names}{note}; connect by such a name, or {NONE.format(host=host)}{ip}"


def _nobody(host: str, only: str = "") -> str:
    ip = ", as an IP address" if host[0].isdigit() or ":" in host else ""
    return f"it names no host (subjectAltName){only}; {NONE.format(host=host)}{ip}"


_AS_NAME: Final = (
    f"it has {LOCAL} as the name of a host, which does not count for an address; "
    f"{NONE.format(host=LOCAL)}, as an IP address"
)
_UNREADABLE: Final = "whose it is cannot be read: {why}; the server needs a new one"
_MANY: Final = [f"n{number}.example.test" for number in range(3000)]
_FIRST: Final = ", ".join(_MANY[:10])

FORMS: Final = (
    # Names of hosts
    Form("exact", NODE, None, [dns(NODE)]),
    Form("capitals", NODE, None, [dns("NODE.Example.TEST")]),
    Form("critical", NODE, None, [dns(NODE)], critical=True),
    Form("complete name dialled", f"{NODE}.", None, [dns(NODE)]),
    Form("complete name dialled, a star", f"{NODE}.", None, [dns("*.example.test")]),
    Form("another name", NODE, _only(NODE, "x.example.test"), [dns("x.example.test")]),
    Form("a dot at the end", NODE, _only(NODE, f"{NODE}."), [dns(f"{NODE}.")]),
    Form("longer", NODE, _only(NODE, f"{NODE}.evil.test"), [dns(f"{NODE}.evil.test")]),
    Form("shorter", NODE, _only(NODE, "example.test"), [dns("example.test")]),
    Form("a dot before it", NODE, _only(NODE, ".example.test"), [dns(".example.test")]),
    Form("NUL", NODE, _only(NODE, f"{NODE}\\x00.evil.test"), [dns(f"{NODE}\0.evil.test")]),
    Form("spaces", NODE, _only(NODE, f" {NODE} "), [dns(f" {NODE} ")]),
    Form("newline", NODE, _only(NODE, f"{NODE}\\n"), [dns(f"{NODE}\n")]),
    Form("not ASCII", NODE, _only(NODE, "nöde"), [dns("nöde")]),
    Form("empty name", NODE, _only(NODE, "(an empty name)"), [dns("")]),
    Form("empty name and a good one", NODE, None, [dns(""), dns(NODE)]),
    Form("long name", NODE, _only(NODE, f"{'x' * 99}…"), [dns("x" * 9000)]),
    Form("underscore", "my_node", None, [dns("my_node")]),
    Form("hyphens outside", "-node-", None, [dns("-node-")]),
    Form("one label", "node", None, [dns("node")]),
    Form("IDNA", "bücher.example.test", None, [dns("xn--bcher-kva.example.test")]),
    Form("many, ours among them", NODE, None, [*(dns(each) for each in _MANY), dns(NODE)]),
    Form("many", NODE, _only(NODE, f"{_FIRST}, …"), [dns(each) for each in _MANY]),
    # Stars
    Form("star", NODE, None, [dns("*.example.test")]),
    Form("star, IDNA", "bücher.example.test", None, [dns("*.example.test")]),
    Form("star, capitals", NODE, None, [dns("*.EXAMPLE.test")]),
    Form("star for two labels", NODE, _only(NODE, "*.test", STAR), [dns("*.test")]),
    Form("star alone", NODE, _only(NODE, "*", STAR), [dns("*")]),
    Form("stars", NODE, _only(NODE, "*.*.test", STAR), [dns("*.*.test")]),
    Form("star at the end", NODE, _only(NODE, "node.example.*", STAR), [dns("node.example.*")]),
    Form("star in the middle", NODE, _only(NODE, "node.*.test", STAR), [dns("node.*.test")]),
    Form("part of a label", NODE, _only(NODE, "n*.example.test", STAR), [dns("n*.example.test")]),
    Form(
        "star for nothing",
        "example.test",
        _only("example.test", "*.example.test", STAR),
        [dns("*.example.test")],
    ),
    Form("star, one label", "node", _only("node", "*", STAR), [dns("*")]),
    Form("star.local", "node.local", _only("node.local", "*.local", STAR), [dns("*.local")]),
    Form("star and an empty label", NODE, _only(NODE, "*..test", STAR), [dns("*..test")]),
    Form("star.address", LOCAL, _only(LOCAL, "*.0.0.1", STAR), [dns("*.0.0.1")]),
    # Addresses
    Form("address", LOCAL, None, [address(LOCAL)]),
    Form("address of version 6", "::1", None, [address("::1")]),
    Form("address, longer", "0:0:0:0:0:0:0:1", None, [address("::1")]),
    Form("another address", LOCAL, _only(LOCAL, "127.0.0.2"), [address("127.0.0.2")]),
    Form("mapped", LOCAL, _only(LOCAL, "::ffff:127.0.0.1"), [address("::ffff:127.0.0.1")]),
    Form("address as a name", LOCAL, _AS_NAME, [dns(LOCAL)]),
    Form("address as a name, name dialled", NODE, _only(NODE, f"DNS:{LOCAL}"), [dns(LOCAL)]),
    Form("an address for a name", NODE, _only(NODE, LOCAL), [address(LOCAL)]),
    Form("a name for an address", LOCAL, _only(LOCAL, NODE), [dns(NODE)]),
    Form("a good name beside an address as a name", NODE, None, [dns("10.0.0.5"), dns(NODE)]),
    Form(
        "a wrong name beside an address as a name",
        NODE,
        _only(NODE, "DNS:10.0.0.5, x.test"),
        [dns("10.0.0.5"), dns("x.test")],
    ),
    Form(
        "three bytes", LOCAL, _nobody(LOCAL, ", only: malformed address"), [der(0x87, b"\x7f\0\0")]
    ),
    Form("three bytes and a good one", LOCAL, None, [der(0x87, b"\x7f\0\0"), address(LOCAL)]),
    Form(
        "address and mask",
        LOCAL,
        _nobody(LOCAL, ", only: malformed address"),
        [der(0x87, bytes((127, 0, 0, 1, 255, 255, 255, 255)))],
    ),
    # No names of hosts
    Form("no extension", NODE, _nobody(NODE, ": its subject, server, does not count"), None),
    Form("common name", NODE, _nobody(NODE, f": its subject, {NODE}, does not count"), None, NODE),
    Form(
        "address as common name",
        LOCAL,
        _nobody(LOCAL, f": its subject, {LOCAL}, does not count"),
        None,
        LOCAL,
    ),
    Form(
        "no names at all", NODE, _nobody(NODE, f": its subject, {NODE}, does not count"), [], NODE
    ),
    Form("e-mail", NODE, _nobody(NODE, ", only: e-mail address"), [EMAIL], NODE),
    Form("a client's", NODE, _nobody(NODE, ", only: e-mail address"), [EMAIL]),
    Form("directory name", NODE, _nobody(NODE, ", only: directory name"), [DIRECTORY]),
    Form("URI", NODE, _nobody(NODE, ", only: URI"), [URI]),
    Form("registered ID", NODE, _nobody(NODE, ", only: registered ID"), [REGISTERED]),
    Form("other name", NODE, _nobody(NODE, ", only: other name"), [OTHER]),
    Form(
        "all others",
        NODE,
        _nobody(NODE, ", only: e-mail address, directory name, URI, registered ID, other name"),
        [EMAIL, DIRECTORY, URI, REGISTERED, OTHER, EMAIL],
    ),
    Form(
        "all others and a good one",
        NODE,
        None,
        [EMAIL, DIRECTORY, URI, REGISTERED, OTHER, dns(NODE)],
    ),
    # Two things that are wrong
    Form("expired, another name", NODE, _only(NODE, "x.test"), [dns("x.test")], expired=True),
    Form(
        "expired, common name",
        NODE,
        _nobody(NODE, f": its subject, {NODE}, does not count"),
        None,
        NODE,
        expired=True,
    ),
    Form(
        "expired",
        NODE,
        "it, or the CA's, has expired, it was valid until Jan  1 00:00:00 2002 "
        "GMT; renew it on the server, or set this machine's clock right",
        [dns(NODE)],
        expired=True,
    ),
    Form(
        "not for servers",
        NODE,
        "it is not meant for servers (extended key usage); the server needs a new one",
        [dns(NODE)],
        for_clients=True,
    ),
)


UNREADABLE: Final = (
    Form("rubbish", NODE, _UNREADABLE.format(why="unexpected tag 0x72"), raw=b"rubbish"),
    Form("nothing", NODE, _UNREADABLE.format(why="cut short"), raw=b"", subject=NODE),
    Form(
        "unknown kind",
        NODE,
        _UNREADABLE.format(why="unexpected tag 0x89"),
        [dns(NODE), der(0x89, b"x")],
    ),
    Form(
        "a length that lies",
        NODE,
        _UNREADABLE.format(why="cut short"),
        raw=der(0x30, bytes((0x82, 0x7F)) + NODE.encode()),
    ),
    Form(
        "twice",
        NODE,
        _UNREADABLE.format(why="subjectAltName stands there twice"),
        [dns(NODE)],
        twice=True,
    ),
)
"""No server of OpenSSL's would take these; whoever shows them has made them on purpose."""


class Peer:
    """A server with the certificate of a form, and what it was told after the handshake."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.told = bytearray()


def form_called(name: str) -> Form:
    """Return the form of that name."""
    return next(form for form in FORMS if form.name == name)


def judge(form: Form, error: CouchbaseError, peer: Peer) -> None:
    """Compare what came of opening a bucket at the form's peer, which is over, with the table."""
    if form.why is None:
        # It was taken for the node, and then sent rubbish.
        assert not isinstance(error, TlsError), f"{form.name}: {error}"
        assert peer.told, form.name
    else:
        assert isinstance(error, TlsError), f"{form.name}: {error!r}"
        words = f"the certificate of {form.host} is not trusted: {form.why}"
        assert words in error.message, form.name
        assert not peer.told, form.name


def issue(certificates: Certificates, form: Form) -> Path:
    """Have the CA issue the form's certificate; give the path of it and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = load_pem_private_key(certificates.authority.private_key_pem.bytes(), None)
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(certificates.authority.cert_pem.bytes())
    now = dt.datetime.now(dt.UTC)
    begin, end = now - dt.timedelta(days=1), now + dt.timedelta(days=1)
    if form.expired:
        begin, end = dt.datetime(2001, 1, 1, tzinfo=dt.UTC), dt.datetime(2002, 1, 1, tzinfo=dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, form.subject)])
    builder = x509.CertificateBuilder(
        issuer.subject, subject, key.public_key(), x509.random_serial_number(), begin, end
    )
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    if form.for_clients:
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if form.entries is not None:
        value = der(0x30, b"".join(form.entries)) if form.raw is None else form.raw
        alternatives = x509.UnrecognizedExtension(SUBJECT_ALT_NAME, value)
        builder = builder.add_extension(alternatives, critical=form.critical)
        if form.twice:
            # The builder does not let us: it stands there under another number first.
            other = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), value)
            builder = builder.add_extension(other, critical=False)
    certificate = builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.DER)
    if form.twice:
        certificate = _signed_again(certificate, authority)
    path = certificates.folder / "form.pem"
    path.write_bytes(
        ssl.DER_cert_to_PEM_cert(certificate).encode()
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


def _signed_again(certificate: bytes, authority: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the certificate with an extension's real number for the placeholder, signed anew."""
    parsed = x509.load_der_x509_certificate(certificate)
    body = parsed.tbs_certificate_bytes.replace(
        bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11")
    )
    signature = authority.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d040302")))
    return der(0x30, body + algorithm + der(0x03, b"\0" + signature))


@contextmanager
def serving(path: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[Peer]:
    """Serve the certificate in a file to all who come."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.minimum_version = context.maximum_version = version

    def serve(accepted: socket.socket) -> None:
        with context.wrap_socket(accepted, server_side=True) as connection:
            while data := connection.recv(4096):
                peer.told += data
                # Whoever says something is content; what follows is no concern of this peer's.
                with suppress(OSError):
                    connection.sendall(b"\0" * 24)

    with listening(serve) as port:
        peer = Peer(port)
        yield peer
