"""TLS through pyOpenSSL: what the settings say becomes one connection creator per connection.

Nothing else here imports a TLS library, so that those who use plain TCP need none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.exceptions import TlsError
from couchloop.settings import Tls
from couchloop.tls import (
    WRONG_HOST,
    PeerCertificate,
    PeerTls,
    certificates_in,
    handshake_error,
    no_ciphers,
    unusable,
    verify_error,
)

TlsFactory = Callable[[str], IOpenSSLClientConnectionCreator]
"""Makes what TLS to a host needs; `twisted.internet.ssl.optionsForClientTLS` is one."""

_VERSIONS: Final = {"tlsv1.2": TLSVersion.TLSv1_2, "tlsv1.3": TLSVersion.TLSv1_3}


def make_tls_factory(files: Tls) -> TlsFactory:
    """Make what TLS trusts and shows.

    Raises CertificateFileError if a file cannot be read, or does not hold what it should.
    """
    trust_root: Any = None
    if files.ca_path is not None:
        # Read even if nothing is verified: a wrong path is a mistake all the same.
        certificates = [
            Certificate(crypto.X509.from_cryptography(each))  # type: ignore[no-untyped-call]
            for each in _certificates(files.ca_path)
        ]
        trust_root = trustRootFromCertificates(certificates)  # type: ignore[no-untyped-call]
    own: dict[str, Any] = {}
    if files.cert_path is not None:
        own = _own(files.cert_path, files.key_path)
    own["raiseMinimumTo"] = _VERSIONS[files.minimum]
    if files.ciphers:
        own["acceptableCiphers"] = _ciphers(files.ciphers)
    if not files.verify:
        unverified = CertificateOptions(verify=False, **own)
        return lambda host: _Unverified(unverified, host)

    def verified(host: str) -> IOpenSSLClientConnectionCreator:
        creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            host, trust_root, extraCertificateOptions=own
        )
        return creator

    return verified


def _ciphers(listed: str) -> AcceptableCiphers:
    try:
        ciphers: AcceptableCiphers
        ciphers = AcceptableCiphers.fromOpenSSLCipherString(listed)  # type: ignore[no-untyped-call]
        CertificateOptions(acceptableCiphers=ciphers)
    except ValueError:
        raise no_ciphers(listed) from None
    return ciphers


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise unusable(path, getattr(error, "strerror", None) or str(error)) from error


def _certificates(path: str) -> list[x509.Certificate]:
    found = certificates_in(_read(path), path)
    try:
        return [x509.load_pem_x509_certificate(each) for each in found]
    except ValueError as error:
        raise unusable(path, "a certificate in it is damaged") from error


def _own(cert_path: str, key_path: str | None) -> dict[str, Any]:
    """Load the client's certificate and key, as CertificateOptions takes them."""
    certificate, *chain = _certificates(cert_path)
    path = key_path or cert_path
    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError:
        why = "its key is encrypted, or of a kind that TLS does not use: give it as plain PEM"
        raise unusable(path, why) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        why = "it holds no private key in PEM form, or one that cannot be read"
        raise unusable(path, why) from error
    own: dict[str, Any] = {"privateKey": key, "certificate": certificate, "extraCertChain": chain}
    try:
        CertificateOptions(**own).getContext()
    except (SSL.Error, TypeError, ValueError) as error:
        why = f"the key does not belong to the certificate of {cert_path!r}"
        raise unusable(path, why) from error
    return own


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Connections that trust anybody; the driver has warned of that."""

    def __init__(self, options: CertificateOptions, host: str) -> None:
        self._options = options
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        if not (isIPAddress(self._host) or isIPv6Address(self._host)):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class TlsAttempt:
    """One connection's TLS: remembers enough to say what went wrong with it.

    Args:
        host: the name or address that is dialled.
        creator: makes the connection.
    """

    def __init__(self, host: str, creator: IOpenSSLClientConnectionCreator) -> None:
        self.host = host
        self._creator = creator
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        self._connection = self._creator.clientConnectionForTLS(tlsProtocol)
        return self._connection

    def peer(self) -> PeerTls:
        """Say what the handshake has brought; only once it is done."""
        connection = self._connection
        assert connection is not None
        chain = connection.get_peer_cert_chain() or []
        return PeerTls(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            tuple(_read_certificate(each) for each in chain),
        )

    def explain(self, failure: Failure) -> TlsError:
        """Say why TLS failed."""
        connection, self._connection = self._connection, None
        reasons = failure.value.args[0] if failure.value is not None and failure.value.args else ()
        reason = ""
        if isinstance(failure.value, SSL.Error) and reasons:
            # (library, function, reason) of each thing that OpenSSL noted.
            reason = str(reasons[-1][-1])
            if "certificate verify failed" not in reason:
                return handshake_error(self.host, reason)
        elif isinstance(failure.value, SSL.Error):
            return handshake_error(self.host, reason)
        code, text = WRONG_HOST, ""
        chain: list[crypto.X509] = []
        if connection is not None:
            chain = connection.get_peer_cert_chain() or []
            # OpenSSL told Twisted which error it was, and Twisted nobody: ask again.
            code, text = _verify(connection, chain)
        return verify_error(self.host, code, text, _shown(chain))


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """What `wrapClientTLS` gives, but on *reactor*: that one's writes wait for the global one."""

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, attempt: TlsAttempt) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._attempt = attempt

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint."""
        factory = TLSMemoryBIOFactory(self._attempt, True, protocolFactory, self._reactor)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(attrgetter("wrappedProtocol"))


def start_tls(reactor: Any, protocol: Protocol, attempt: TlsAttempt) -> Any:
    """Begin TLS on a connection that is open; give the transport that *protocol* is to use.

    As a transport's `startTLS`, but on *reactor*: that one's writes wait for the global one.
    """
    make: Any = TLSMemoryBIOFactory
    factory = make(attempt, True, None, reactor)
    tls = factory.protocol(factory, protocol, False)
    transport: Any = protocol.transport
    transport.protocol = tls
    tls.makeConnection(transport)
    return tls


def _verify(connection: SSL.Connection, chain: list[crypto.X509]) -> tuple[int, str]:
    """Verify *chain* again; give OpenSSL's error, by number and in words."""
    if not chain:
        return 0, "the peer showed no certificate"
    store = connection.get_context().get_cert_store()
    if store is None:
        return 0, ""
    try:
        crypto.X509StoreContext(store, chain[0], chain[1:]).verify_certificate()
    except crypto.X509StoreContextError as error:
        return int(error.errors[0]), str(error.errors[2])
    # The chain is good, so it was the name.
    return WRONG_HOST, ""


def _shown(chain: list[crypto.X509]) -> PeerCertificate:
    """Read a peer's certificate, trusted or not, as far as it can be read."""
    return _read_certificate(chain[0]) if chain else PeerCertificate()


def _read_certificate(shown: crypto.X509) -> PeerCertificate:
    with suppress(Exception):
        certificate = shown.to_cryptography()
        names: list[str] = []
        with suppress(x509.ExtensionNotFound):
            alternatives = certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
            names = [str(name.value) for name in alternatives.value]
        return PeerCertificate(
            tuple(names),
            _short_name(certificate.issuer),
            _written(certificate.not_valid_before_utc),
            _written(certificate.not_valid_after_utc),
            _short_name(certificate.subject),
        )
    return PeerCertificate()


def _short_name(name: x509.Name) -> str:
    kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME)
    found = [str(each.value) for kind in kinds for each in name.get_attributes_for_oid(kind)]
    return found[0] if found else ""


def _written(when: datetime) -> str:
    """Give a date as OpenSSL writes it."""
    return f"{when:%b} {when.day:2d} {when:%H:%M:%S %Y} GMT"
