"""TLS between memory buffers: no socket, so that one pump serves plain and TLS connections.

Any `SSLContext` will do, the standard library's, gevent's or another's: only `wrap_bio` is used,
and `check_hostname` looked at.
"""

from __future__ import annotations

import _ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from gevent import ssl

from couchloop.exceptions import TlsError
from couchloop.settings.values import Tls
from couchloop.transport.certificate import server_name
from couchloop.transport.tls import (
    PeerTls,
    certificates_in,
    check_host,
    cut_off,
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

_CHUNK: Final = 65536
_VERSIONS: Final = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


def make_context(files: Tls) -> ssl.SSLContext:
    """Make what TLS trusts and shows.

    Raises CertificateFileError if a file cannot be read, or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[files.minimum]
    if files.ciphers:
        try:
            context.set_ciphers(files.ciphers)
        except (ssl.SSLError, ValueError):
            raise no_ciphers(files.ciphers) from None
    if files.ca_path is not None:
        # Read even if nothing is verified: a wrong path is a mistake all the same.
        trusted = b"\n".join(certificates_in(_read(files.ca_path), files.ca_path))
        try:
            context.load_verify_locations(cadata=trusted.decode("ascii", "replace"))
        except (ssl.SSLError, TypeError, ValueError) as error:
            raise damaged(files.ca_path) from error
    elif files.verify:
        context.load_default_certs()
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.cert_path is not None:
        _load_own(context, files.cert_path, files.key_path)
    return context


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _load_own(context: ssl.SSLContext, cert_path: str, key_path: str | None) -> None:
    """Load the client's certificate and key."""
    certificates_in(_read(cert_path), cert_path)
    path = key_path or cert_path
    _read(path)
    try:
        context.load_cert_chain(cert_path, key_path, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise foreign_key(path, cert_path) from error
        raise no_key(path) from error
    except _EncryptedKeyError:
        raise encrypted_key(path) from None


class _EncryptedKeyError(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> NoReturn:
    raise _EncryptedKeyError


class TlsStream:
    """One connection's TLS, client side.

    Args:
        context: decides what is trusted.
        host: the name or address that was dialled; the certificate must be for it, unless the
            context says that it need not (`check_hostname`).
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._host = host
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name(host)
        )
        self._checks_host: bool = getattr(context, "check_hostname", True)
        self.established = False

    def start(self) -> None:
        """Make the first message of the handshake."""
        self._shake_hands()

    def receive(self, data: bytes) -> tuple[bytes, bool]:
        """Receive bytes; return the plain bytes in them, and whether the peer goes on.

        Raises TlsError if the handshake fails, the certificate is not trusted, or a record is bad.
        """
        self._incoming.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b"", True
        plain: list[bytes] = []
        try:
            while True:
                read = self._object.read(_CHUNK)
                if not read:
                    return b"".join(plain), False
                plain.append(read)
        except ssl.SSLWantReadError:
            return b"".join(plain), True
        except ssl.SSLZeroReturnError:
            return b"".join(plain), False
        except ssl.SSLError as error:
            raise self._translated(error) from error

    def send(self, data: bytes) -> None:
        """Encrypt *data*; `take_output` gives it. Only once the handshake is done."""
        self._object.write(data)

    def finish(self) -> None:
        """Send close_notify, without waiting for the peer's."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            # It wants the peer's goodbye, or there never was a session.
            return

    def take_output(self) -> bytes:
        """Return what is to be written to the network now."""
        return self._outgoing.read()

    def cut_off(self) -> TlsError:
        """Return the error for a peer that closes before the handshake is done."""
        return cut_off(self._host)

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise self._translated(error) from error
        if self._checks_host:
            self._check_host()
        self.established = True

    def _check_host(self) -> None:
        """Make the core check the certificate too: what libraries make of names differs."""
        shown: bytes | None = None
        # A context of another kind may be unable to tell: then nobody is trusted.
        with suppress(Exception):
            shown = self._object.getpeercert(binary_form=True)
        try:
            check_host(self._host, shown)
        except TlsError:
            # The last message of the handshake, with the client's certificate in it, is not for
            # whoever this is.
            self._outgoing.read()
            raise

    def _translated(self, error: Exception) -> TlsError:
        if isinstance(error, ssl.SSLCertVerificationError):
            shown = next(iter(self._chain()), None)
            return verify_error(self._host, error.verify_code, error.verify_message, shown)
        return handshake_error(self._host, getattr(error, "reason", None) or str(error))

    def peer(self) -> PeerTls:
        """Return what the handshake has brought; only once it is done."""
        cipher = self._object.cipher()
        version = self._object.version()
        chain = tuple(shown_certificate(each) for each in self._chain())
        return PeerTls(version or "TLS", cipher[0] if cipher else "", chain)

    def _chain(self) -> list[bytes]:
        """Return the certificates that the peer has shown, trusted or not, its own first (DER)."""
        # Public from 3.13 on; other kinds of contexts may have nothing of the sort.
        with suppress(Exception):
            inner: Any = self._object
            shown = inner._sslobj.get_unverified_chain()  # noqa: SLF001
            return [each.public_bytes(_ssl.ENCODING_DER) for each in shown or ()]
        return []
