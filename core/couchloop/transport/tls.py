"""What TLS needs and what goes wrong with it, in words: one sentence for both loops.

The adapters do the TLS; what they learn of a failure (OpenSSL's numbers and names, and the peer's
certificate) becomes a TlsError here. Whether a certificate is the right host's is decided here too,
once the handshake is done, whatever the TLS library and its version made of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from couchloop.exceptions import BadEnvironmentError, CertificateFileError, TlsError
from couchloop.later import pattern
from couchloop.transport.certificate import (
    MalformedCertificateError,
    PeerCertificate,
    is_for,
    packed_address,
    read_certificate,
    server_name,
)

_CERTIFICATE: Final = pattern(
    rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL
)

_DATE: Final = pattern(r"(\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d+) GMT")
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)

# OpenSSL's X509_V_ERR_…
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_INCOMPLETE: Final = 2
_UNKNOWN_ISSUER: Final = frozenset({19, 20, 21})
_REVOKED: Final = 23
WRONG_HOST: Final = 62
_WRONG_HOST: Final = frozenset({WRONG_HOST, 63, 64})
_AFTER_THE_NAME: Final = frozenset({7, _NOT_YET_VALID, _EXPIRED})
"""What OpenSSL looks at only once the name is right, if it is told to look at names at all."""
# In words of our own: OpenSSL's differ from version to version.
_OTHER_REASONS: Final = {
    7: "its signature is wrong, so it, or the CA's certificate, was altered",
    22: "its chain of CAs is too long",
    24: "a certificate in its chain is no CA's",
    25: "its chain of CAs is longer than one of them allows",
    26: "it is not meant for servers (extended key usage)",
    32: "a certificate in its chain may not sign others (key usage)",
    47: "a CA in its chain may not sign for such a name (name constraints)",
    48: "a CA in its chain may not sign for such a name (name constraints)",
    66: "its key is too short to be safe",
    67: "the key of a CA in its chain is too short to be safe",
    68: "a signature in its chain is of a kind that is no longer safe",
    79: "a certificate in its chain is no CA's",
}

_NO_TLS: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
    }
)
_OTHER_VERSION: Final = frozenset({"UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION"})
_CERTIFICATE_REFUSED: Final = {
    "UNKNOWN_CA": "it does not know the CA that signed it",
    "BAD_CERTIFICATE": "it cannot use it",
    "UNSUPPORTED_CERTIFICATE": "it is of a kind that the server does not take",
    "CERTIFICATE_REVOKED": "it was revoked",
    "CERTIFICATE_EXPIRED": "it has expired",
    "CERTIFICATE_UNKNOWN": "it is not acceptable",
    "ACCESS_DENIED": "it gives no access",
}
GIVE_CERTIFICATE: Final = (
    "authenticate with CertAuthenticator(cert_path=…, key_path=…), or give certpath= and keypath= "
    "in the connection string"
)
_LONGEST_LIST: Final = 10


class PeerTls(NamedTuple):
    """What a TLS handshake has brought."""

    version: str
    """As in TLSv1.3."""
    cipher: str
    chain: tuple[PeerCertificate, ...]
    """The server's certificate first, then those that sign one another, as far as shown."""


def check_host(host: str, shown: bytes | None) -> None:
    """Raise TlsError unless the certificate of a finished handshake is that of *host*.

    To be called before anything is sent. It comes on top of what the TLS library verifies: that
    the certificate was signed by a CA that is trusted.

    Args:
        host: the name or address that was dialled.
        shown: the server's certificate in DER; None: it showed none.
    """
    try:
        certificate = read_certificate(shown or b"")
        if is_for(certificate, host):
            return
    except Exception as error:
        raise _unreadable(host, error) from error
    raise _wrong_host(host, certificate)


def shown_certificate(der: bytes) -> PeerCertificate:
    """Read a certificate as far as it can be read: to be shown, not to be trusted."""
    try:
        return read_certificate(der)
    except MalformedCertificateError:
        return PeerCertificate()


def certificates_in(data: bytes, path: str) -> list[bytes]:
    """Return each PEM certificate that a file holds, with its BEGIN and END.

    Raises CertificateFileError if there is none.
    """
    found = [match[0] for match in _CERTIFICATE.finditer(data)]
    if not found:
        raise unusable(path, "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return found


def days_left(certificate: PeerCertificate, wall: float) -> float | None:
    """Return the days until *certificate* expires, counted from *wall* (seconds since the epoch).

    None if its end cannot be read.
    """
    match = _DATE.fullmatch(certificate.not_after)
    if match is None or match[1] not in _MONTHS:
        return None
    day, hour, minute, second, year = map(int, match.group(2, 3, 4, 5, 6))
    try:
        end = datetime(year, _MONTHS.index(match[1]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (end.timestamp() - wall) / 86_400


def unusable(path: str, why: str) -> CertificateFileError:
    """Return the error for a file of certificates, or of a key, that is of no use."""
    return CertificateFileError(f"the file {path!r} cannot be used for TLS: {why}")


def unreadable(path: str, error: OSError | ValueError) -> CertificateFileError:
    """Return the error for one that cannot be read, as *error* tells."""
    return unusable(path, getattr(error, "strerror", None) or str(error))


def damaged(path: str) -> CertificateFileError:
    """Return the error for one that holds certificates which cannot be read."""
    return unusable(path, "a certificate in it is damaged")


def no_key(path: str) -> CertificateFileError:
    """Return the error for one that was to hold a private key."""
    return unusable(path, "it holds no private key in PEM form, or one that cannot be read")


def encrypted_key(path: str) -> CertificateFileError:
    """Return the error for one whose key needs a password, or is of no use to TLS."""
    return unusable(
        path, "its key is encrypted, or of a kind that TLS does not use: give it as plain PEM"
    )


def foreign_key(path: str, cert_path: str) -> CertificateFileError:
    """Return the error for one whose key is not that of the certificate in *cert_path*."""
    return unusable(path, f"the key does not belong to the certificate of {cert_path!r}")


def no_ciphers(listed: str) -> BadEnvironmentError:
    """Return the error for a list of ciphers of which none is known."""
    return BadEnvironmentError(
        f"LCB_SSL_CIPHER_LIST names no cipher that the TLS library knows: {listed!r}"
    )


def verify_error(host: str, code: int, text: str, shown: bytes | None) -> TlsError:
    """Return the error for a certificate of *host* that was not trusted.

    Args:
        host: the name or address that was dialled.
        code: OpenSSL's (X509_V_ERR_…).
        text: OpenSSL's words for it, where we have none.
        shown: the certificate, in DER; None: there is none to be seen.
    """
    try:
        certificate = read_certificate(shown) if shown else PeerCertificate()
    except MalformedCertificateError as error:
        if code in _WRONG_HOST:
            return _unreadable(host, error)
        certificate = PeerCertificate()
    return why_untrusted(host, code, text, certificate)


def why_untrusted(host: str, code: int, text: str, certificate: PeerCertificate) -> TlsError:
    """Return the same for a certificate that was read; an empty one if none could be."""
    subject = _untrusted(host)
    # Of two things that are wrong both loops say the same one.
    looks_at_names = code in _WRONG_HOST or code in _AFTER_THE_NAME
    if looks_at_names and certificate != PeerCertificate() and not is_for(certificate, host):
        return _wrong_host(host, certificate)
    issuer = f" ({certificate.issuer})" if certificate.issuer else ""
    if code == _EXPIRED:
        until = f", it was valid until {certificate.not_after}" if certificate.not_after else ""
        return TlsError(
            f"{subject}it, or the CA's, has expired{until}; renew it on the server, or set this "
            "machine's clock right"
        )
    if code == _NOT_YET_VALID:
        since = f" before {certificate.not_before}" if certificate.not_before else ""
        return TlsError(
            f"{subject}it, or the CA's, is not valid yet{since}; set this machine's clock right"
        )
    if code == _SELF_SIGNED:
        return TlsError(
            f"{subject}it is self-signed; if it is the right one, give it as certpath= in the "
            "connection string, or as cert_path of the authenticator"
        )
    if code == _INCOMPLETE:
        return TlsError(
            f"{subject}the CA that signed it{issuer} is among those that are trusted here, but it "
            "is an intermediate one, and the CA above it is missing; add the certificates of all "
            "CAs up to the root to the file that certpath= in the connection string, or cert_path "
            "of the authenticator, names"
        )
    if code in _UNKNOWN_ISSUER:
        return TlsError(
            f"{subject}its CA{issuer} is unknown here; give the CA's certificate as certpath= in "
            "the connection string, or as cert_path of the authenticator"
        )
    if code in _WRONG_HOST:
        return TlsError(
            f"{subject}the TLS library refuses it, and its names are right; see whether it is "
            "meant for servers (extended key usage)"
        )
    if code == _REVOKED:
        return TlsError(f"{subject}it was revoked; the server needs a new one")
    if code in _OTHER_REASONS:
        return TlsError(f"{subject}{_OTHER_REASONS[code]}; the server needs a new one")
    return TlsError(f"{subject}{text or 'OpenSSL gives no reason'} (OpenSSL's number {code})")


def _untrusted(host: str) -> str:
    return f"the certificate of {host} is not trusted: "


def _unreadable(host: str, why: Exception) -> TlsError:
    reason = f": {why}" if isinstance(why, MalformedCertificateError) else ""
    return TlsError(
        f"{_untrusted(host)}whose it is cannot be read{reason}; the server needs a new one"
    )


def _wrong_host(host: str, certificate: PeerCertificate) -> TlsError:
    """Return the error for a certificate that is not for *host*."""
    subject, wanted = _untrusted(host), server_name(host)
    is_address = packed_address(wanted) is not None
    cure = f"have the server's certificate name {wanted} as its subjectAltName"
    if is_address:
        cure += ", as an IP address"
    if not certificate.names:
        only = f", only: {', '.join(certificate.others)}" if certificate.others else ""
        if not certificate.others and certificate.subject:
            only = f": its subject, {certificate.subject}, does not count"
        return TlsError(f"{subject}it names no host (subjectAltName){only}; {cure}")
    if is_address and wanted.encode() in certificate.dns_names:
        return TlsError(
            f"{subject}it has {wanted} as the name of a host, which does not count for an "
            f"address; {cure}"
        )
    names = ", ".join(certificate.names[:_LONGEST_LIST])
    if len(certificate.names) > _LONGEST_LIST:
        names += ", …"
    note = ""
    if any(b"*" in name for name in certificate.dns_names):
        note = " (a * stands for one whole label, the first, and two or more must follow it)"
    return TlsError(f"{subject}it is for {names}{note}; connect by such a name, or {cure}")


def handshake_error(host: str, reason: str) -> TlsError:
    """Return the error for TLS with *host* that failed for another reason than its certificate.

    Args:
        host: the name or address that was dialled.
        reason: OpenSSL's, as in "wrong version number" or WRONG_VERSION_NUMBER.
    """
    name = reason.upper().replace(" ", "_")
    alert = name.rpartition("ALERT_")[2]
    if name in _NO_TLS:
        return TlsError(
            f"TLS with {host} failed: the port does not speak TLS ({name}); TLS data ports are "
            "11207 by default, and couchbase:// is for ports without TLS"
        )
    if alert == "CERTIFICATE_REQUIRED":
        return TlsError(f"{host} wants a client certificate: {GIVE_CERTIFICATE}")
    if alert == "HANDSHAKE_FAILURE":
        return TlsError(
            f"{host} refused the TLS handshake ({name}): it wants a client certificate (then "
            f"{GIVE_CERTIFICATE}), or has no cipher in common with this client"
        )
    if alert != name and alert in _CERTIFICATE_REFUSED:
        return TlsError(
            f"{host} refused the client certificate ({name}): {_CERTIFICATE_REFUSED[alert]}; have "
            "one issued by a CA that the cluster trusts"
        )
    if name in _OTHER_VERSION or alert in _OTHER_VERSION:
        return TlsError(f"{host} speaks no version of TLS that is safe: 1.2 or newer is needed")
    return TlsError(f"TLS with {host} failed ({name or 'OpenSSL gives no reason'})")


def cut_off(host: str) -> TlsError:
    """Return the error for a peer that closes before the handshake is done."""
    error = TlsError(
        f"{host} closed the connection during the TLS handshake: the port may not speak TLS (TLS "
        "data ports are 11207 by default), or the node be out of connections"
    )
    # Whatever forwards the port may take connections before the node does.
    error.may_pass = True
    return error
