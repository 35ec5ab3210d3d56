"""What TLS needs and what goes wrong with it, in words: one sentence for both loops.

The adapters do the TLS; what they learn of a failure (OpenSSL's numbers and names, and what the
peer's certificate says) becomes a TlsError here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from couchloop.exceptions import BadEnvironmentError, CertificateFileError, TlsError

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL
)

_DATE: Final = re.compile(r"(\w{3}) +(\d+) (\d+):(\d+):(\d+) (\d+) GMT")
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
_UNKNOWN_ISSUER: Final = frozenset({2, 19, 20, 21})
_REVOKED: Final = 23
WRONG_HOST: Final = 62
_WRONG_HOST: Final = frozenset({WRONG_HOST, 63, 64})

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
_GIVE_CERTIFICATE: Final = (
    "authenticate with CertAuthenticator(cert_path=…, key_path=…), or give certpath= and keypath= "
    "in the connection string"
)
_LONGEST_LIST: Final = 10


class PeerCertificate(NamedTuple):
    """What a peer's certificate says, trusted or not."""

    names: tuple[str, ...] = ()
    """The host names and addresses that it is for."""
    issuer: str = ""
    not_before: str = ""
    """As OpenSSL writes dates: `Jan  1 00:00:00 2030 GMT`."""
    not_after: str = ""
    subject: str = ""


class PeerTls(NamedTuple):
    """What a TLS handshake has brought."""

    version: str
    """As in TLSv1.3."""
    cipher: str
    chain: tuple[PeerCertificate, ...]
    """The server's certificate first, then those that sign one another, as far as shown."""


def certificates_in(data: bytes, path: str) -> list[bytes]:
    """Give each PEM certificate that a file holds, with its BEGIN and END.

    Raises CertificateFileError if there is none.
    """
    found = [match[0] for match in _CERTIFICATE.finditer(data)]
    if not found:
        raise unusable(path, "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return found


def days_left(certificate: PeerCertificate, wall: float) -> float | None:
    """Give the days until *certificate* expires, counted from *wall* (seconds since the epoch).

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
    """Give the error for a file of certificates, or of a key, that is of no use."""
    return CertificateFileError(f"the file {path!r} cannot be used for TLS: {why}")


def no_ciphers(listed: str) -> BadEnvironmentError:
    """Give the error for a list of ciphers of which none is known."""
    return BadEnvironmentError(
        f"LCB_SSL_CIPHER_LIST names no cipher that the TLS library knows: {listed!r}"
    )


def verify_error(host: str, code: int, text: str, shown: PeerCertificate) -> TlsError:
    """Say why the certificate of *host* was not trusted.

    Args:
        host: the name or address that was dialled.
        code: OpenSSL's (X509_V_ERR_…).
        text: OpenSSL's words for it.
        shown: the certificate.
    """
    subject = f"the certificate of {host} is not trusted: "
    names = ", ".join(shown.names[:_LONGEST_LIST]) or "no host at all"
    if len(shown.names) > _LONGEST_LIST:
        names += ", …"
    issuer = f" ({shown.issuer})" if shown.issuer else ""
    if code == _EXPIRED:
        until = f", it was valid until {shown.not_after}" if shown.not_after else ""
        return TlsError(
            f"{subject}it, or the CA's, has expired{until}; renew it on the server, or set this "
            "machine's clock right"
        )
    if code == _NOT_YET_VALID:
        since = f" before {shown.not_before}" if shown.not_before else ""
        return TlsError(
            f"{subject}it, or the CA's, is not valid yet{since}; set this machine's clock right"
        )
    if code == _SELF_SIGNED:
        return TlsError(
            f"{subject}it is self-signed; if it is the right one, give it as certpath= in the "
            "connection string, or as cert_path of the authenticator"
        )
    if code in _UNKNOWN_ISSUER:
        return TlsError(
            f"{subject}its CA{issuer} is unknown here; give the CA's certificate as certpath= in "
            "the connection string, or as cert_path of the authenticator"
        )
    if code in _WRONG_HOST:
        return TlsError(
            f"{subject}it is for {names}; connect by such a name, or have the server's "
            f"certificate name {host}"
        )
    if code == _REVOKED:
        return TlsError(f"{subject}it was revoked; the server needs a new one")
    return TlsError(f"{subject}{text or 'OpenSSL gives no reason'} (OpenSSL's number {code})")


def handshake_error(host: str, reason: str) -> TlsError:
    """Say why TLS with *host* failed for another reason than its certificate.

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
        return TlsError(f"{host} wants a client certificate: {_GIVE_CERTIFICATE}")
    if alert == "HANDSHAKE_FAILURE":
        return TlsError(
            f"{host} refused the TLS handshake ({name}): it wants a client certificate (then "
            f"{_GIVE_CERTIFICATE}), or has no cipher in common with this client"
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
    """Say what a peer means that closes before the handshake is done."""
    return TlsError(
        f"{host} closed the connection during the TLS handshake: the port may not speak TLS (TLS "
        "data ports are 11207 by default), or the node be out of connections"
    )
