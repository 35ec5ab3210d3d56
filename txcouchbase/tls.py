"""TLS through pyOpenSSL: what the settings say becomes one connection creator per connection.

Nothing else here imports a TLS library, so that those who use plain TCP need none.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
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
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from couchloop.exceptions import TlsError
from couchloop.settings.values import Tls
from couchloop.transport.certificate import packed_address, server_name
from couchloop.transport.tls import (
    WRONG_HOST,
    PeerTls,
    certificates_in,
    check_host,
    damaged,
    encrypted_key,
    foreign_key,
    handshake_error,
    no_ciphers,
    no_key,
    shown_certificate,
    unreadable,
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
    if files.verify:
        if trust_root is None:
            trust_root = platformTrust()  # type: ignore[no-untyped-call]
        own["trustRoot"] = trust_root
    else:
        own["verify"] = False
    context = CertificateOptions(**own).getContext()
    return lambda host: _Creator(context, host)


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
        raise unreadable(path, error) from error


def _certificates(path: str) -> list[x509.Certificate]:
    found = certificates_in(_read(path), path)
    try:
        return [x509.load_pem_x509_certificate(each) for each in found]
    except ValueError as error:
        raise damaged(path) from error


def _own(cert_path: str, key_path: str | None) -> dict[str, Any]:
    """Load the client's certificate and key, as CertificateOptions takes them."""
    certificate, *chain = _certificates(cert_path)
    path = key_path or cert_path
    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError:
        raise encrypted_key(path) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise no_key(path) from error
    own: dict[str, Any] = {"privateKey": key, "certificate": certificate, "extraCertChain": chain}
    try:
        CertificateOptions(**own).getContext()
    except (SSL.Error, TypeError, ValueError) as error:
        raise foreign_key(path, cert_path) from error
    return own


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """Makes one connection, and notes what OpenSSL has against the peer's certificate.

    Not `optionsForClientTLS`: that one refuses names of hosts that are legal elsewhere, and from
    Twisted 26.4 on lets any host pass whose certificate has names that it cannot read.

    Args:
        context: decides what is trusted.
        host: the name or address that is dialled.
    """

    def __init__(self, context: SSL.Context, host: str) -> None:
        self._context = context
        self._host = host
        self.failures: list[tuple[int, int]] = []
        """OpenSSL's number of each error, and how far up the chain it is."""

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:  # noqa: ARG002
        """See IOpenSSLClientConnectionCreator."""
        connection = SSL.Connection(self._context, None)
        name = server_name(self._host)
        if packed_address(name) is None:
            connection.set_tlsext_host_name(name.encode("ascii"))
        mode = self._context.get_verify_mode()
        if mode & SSL.VERIFY_PEER:
            # Not a method of ours: the connection would hold us, and we are held by who holds it.
            failures = self.failures

            def note(_: object, __: object, number: int, depth: int, good: int) -> bool:
                if not good:
                    failures.append((number, depth))
                return bool(good)

            connection.set_verify(mode, note)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class TlsAttempt:
    """One connection's TLS: looks whose certificate it is, and says what went wrong.

    Args:
        host: the name or address that is dialled.
        creator: makes the connection.
    """

    def __init__(self, host: str, creator: IOpenSSLClientConnectionCreator) -> None:
        self.host = host
        self._creator: Any = creator
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        make = getattr(self._creator, "clientConnectionForTLS", None)
        if make is None:
            # CertificateOptions as they are before Twisted 26.4.
            connection = SSL.Connection(self._creator.getContext(), None)
        else:
            connection = make(tlsProtocol)
        self._connection = connection
        return connection

    def check(self) -> None:
        """Raise TlsError unless the peer is who it should be; once the handshake is done.

        Twisted's own check lets some pass (see `_Creator`), and may be what a factory of the
        user's relies on. So this looks at every connection that verifies certificates, but for
        those of a creator that says that it has verified the peer in a way of its own.
        """
        assert self._connection is not None
        _check(self._connection, self._creator, self.host)

    def peer(self) -> PeerTls:
        """Return what the handshake has brought; only once it is done."""
        connection = self._connection
        assert connection is not None
        chain = connection.get_peer_cert_chain() or []
        return PeerTls(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            tuple(shown_certificate(_der(each)) for each in chain),
        )

    def explain(self, failure: Failure) -> TlsError:
        """Return why TLS failed."""
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
        shown: bytes | None = None
        name = self.host
        if connection is not None:
            shown = _shown(connection)
            name = _expected(connection, self._creator, name) or name
            failures = getattr(self._creator, "failures", ())
            if failures:
                code = failures[0][0]
            else:
                # OpenSSL told Twisted which error it was, and Twisted nobody: ask again.
                code, text = _verify(connection, connection.get_peer_cert_chain() or [])
        return verify_error(name, code, text, shown)


def check_endpoint(transport: Any, host: str) -> None:
    """Raise TlsError if the TLS of a user's endpoint looks for one host, and got another.

    Who has Twisted verify a name also asks for it (SNI); an address cannot be asked for.

    Args:
        transport: a TLSMemoryBIOProtocol whose handshake is done.
        host: the name or address that was dialled.
    """
    connection = transport.getHandle()
    if connection.get_servername() is not None or packed_address(server_name(host)) is not None:
        _check(connection, None, host)


_VERIFIED: Final = "_hostnameASCII"
"""Where what Twisted's `optionsForClientTLS` gives keeps the name that it verifies."""


def _check(connection: SSL.Connection, creator: object, host: str) -> None:
    try:
        name = _expected(connection, creator, host)
        shown = _shown(connection)
    except Exception as error:
        raise TlsError(
            f"whose certificate {host} has shown cannot be found out: {error}"
        ) from error
    if name is not None:
        check_host(name, shown)


def _expected(connection: SSL.Connection, creator: object, host: str) -> str | None:
    """Return the name or address that the peer's certificate must be for; None: whoever it is.

    A creator of the user's may have been made for another name than was dialled. If it is not
    Twisted's, that is the one that it had the connection ask for (SNI).
    """
    if getattr(creator, "verifies_peer", False):
        return None
    name = getattr(creator, _VERIFIED, None)
    if name is None:
        if not connection.get_verify_mode() & SSL.VERIFY_PEER:
            return None
        name = (connection.get_servername() or b"").decode("latin-1") or host
    return host if server_name(name) == server_name(host) else str(name)


def _shown(connection: SSL.Connection) -> bytes | None:
    """Return the peer's certificate, trusted or not, in DER."""
    certificate = connection.get_peer_certificate()
    if certificate is None:
        # It cannot be asked for amid a handshake that fails.
        certificate = next(iter(connection.get_peer_cert_chain() or ()), None)
    return None if certificate is None else _der(certificate)


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


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
    """Begin TLS on a connection that is open; return the transport that *protocol* is to use.

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
    """Verify *chain* again; return OpenSSL's error, by number and in words."""
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
