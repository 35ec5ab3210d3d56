"""What a diagnosis tells of a TLS handshake: version, chain, and when a certificate expires."""

from __future__ import annotations

from typing import Any, Final

from couchloop.doctor.advice import Advice
from couchloop.doctor.report import count, listed
from couchloop.settings.values import Tls
from couchloop.transport.certificate import PeerCertificate
from couchloop.transport.tls import PeerTls, days_left

EXPIRES_SOON: Final = 30.0
"""Days before a certificate's end from which on there is a warning."""


def describe_tls(
    peer: PeerTls, wall: float, *, verified: Tls
) -> tuple[str, tuple[str, ...], Advice | None, dict[str, Any]]:
    """Return what a TLS handshake has brought: text, notes, a warning, details."""
    chain: list[dict[str, Any]] = []
    soonest: tuple[float, PeerCertificate] | None = None
    for certificate in peer.chain:
        days = days_left(certificate, wall)
        if days is not None and (soonest is None or days < soonest[0]):
            soonest = days, certificate
        chain.append(
            {
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "names": list(certificate.names),
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
                "days_left": None if days is None else int(days),
            }
        )
    details = {"version": peer.version, "cipher": peer.cipher, "chain": chain}
    text = peer.version
    notes: list[str] = []
    warning = None
    if peer.chain:
        own = peer.chain[0]
        text += f", certificate for {listed(own.names, 3) if own.names else 'no host'}"
        links = [own.subject or "(no name)", *(each.issuer for each in peer.chain if each.issuer)]
        notes.append(f"Chain: {' < '.join(dict.fromkeys(links))}")
    if soonest is not None:
        days, certificate = soonest
        which = "It" if certificate is peer.chain[0] else f"Its CA {certificate.subject}"
        if days < 0:
            state = f"{which} expired on {certificate.not_after}"
            cure = "Renew it on the server." + (
                "" if verified.verify else " A program that verifies certificates fails already."
            )
            warning = Advice("", f"{state}.", cure)
        elif days < EXPIRES_SOON:
            state = f"{which} expires in {count(int(days), 'day')}, on {certificate.not_after}"
            warning = Advice("", f"{state}.", "Renew it on the server before that.")
        else:
            notes.append(f"{which} expires in {count(int(days), 'day')}")
    return text, tuple(notes), warning, details
