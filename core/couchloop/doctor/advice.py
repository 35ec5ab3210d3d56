"""What is most likely behind a failure, and what to do about it: one place for all steps."""

from __future__ import annotations

import errno
from typing import Any, Final, NamedTuple

from couchloop.doctor.report import Part, Step, Verdict
from couchloop.exceptions import (
    AuthError,
    BadEnvironmentError,
    BucketNotFoundError,
    CertificateFileError,
    CleartextPasswordError,
    CouchbaseError,
    FeatureNotAvailableError,
    HandshakeClosedError,
    InvalidConnectionStringError,
    InvalidOptionError,
    MixedAuthError,
    NodeTimeoutError,
    NotDataNodeError,
    ProtocolError,
    RateLimitedError,
    SaslMechanismError,
    ServerSignatureError,
    TemporaryFailError,
    TlsError,
    TooManyConnectionsError,
    UnknownHostError,
    WrongProtocolError,
)
from couchloop.settings.values import Address
from couchloop.transport.tls import GIVE_CERTIFICATE


class Advice(NamedTuple):
    """A failure in three lines."""

    text: str
    cause: str
    cure: str


_GRAMMAR: Final = (
    "Write couchbase://HOST[:PORT],HOST…/BUCKET?OPTION=VALUE&…, or couchbases:// for TLS."
)
_DATA_PORTS: Final = "11210, or 11207 with TLS"
_UNKNOWN: Final = "Try again; if it stays, report it with what --json prints."
_WEB_PORTS: Final = "8091, or 18091 with TLS"


NO_ANSWER: Final = "no answer in time"
HANGS: Final = (
    "The node hangs or is overloaded: its port is the one that the cluster names, and takes "
    "connections. Look at its load, its disk and its log (memcached.log); if its data service does "
    "not recover, restart it or fail the node over. A proxy or load balancer on the way may do "
    "that too."
)
"""What to do about a node of the map that does not answer."""


class _Row(NamedTuple):
    """What an error means: a word or two, and what to do beyond what its own message says."""

    kind: type[CouchbaseError]
    text: str
    cure: str
    needed: bool = True
    """Whether it adds to what the message says; False: only where that says nothing."""


# The most telling classes first.
_BY_CLASS: Final = (
    _Row(InvalidConnectionStringError, "not understood", _GRAMMAR),
    _Row(
        InvalidOptionError,
        "not understood",
        "docs/options.md lists every option with its values.",
    ),
    _Row(BadEnvironmentError, "not usable", "Correct the variable, or unset it."),
    _Row(
        MixedAuthError,
        "contradictory",
        "Say once who connects: by user and password, or by a client certificate.",
    ),
    _Row(CertificateFileError, "unusable", "Check the path, and that this user may read the file."),
    _Row(
        CleartextPasswordError,
        "refused here",
        "Use couchbases://. Servers that offer PLAIN alone keep their users in LDAP or PAM.",
    ),
    _Row(
        SaslMechanismError,
        "no common mechanism",
        "Leave out sasl_mech_force, or let it name a mechanism that the server offers. Users in "
        "LDAP need PLAIN over couchbases://.",
    ),
    _Row(
        ServerSignatureError,
        "the server may be an impostor",
        "Find out what really listens at this address before a password is sent to it.",
    ),
    _Row(
        AuthError,
        "refused",
        "Try to log in to the web console with the same name and password. Users in LDAP need "
        "PasswordAuthenticator.ldap_compatible and couchbases://.",
    ),
    _Row(
        BucketNotFoundError,
        "refused",
        "Compare the name, capitals too, with the list of buckets in the web console; there, under "
        "Security, the user needs a role on this bucket, Data Reader at least.",
    ),
    _Row(
        NotDataNodeError,
        "no data node",
        f"Name a node that runs the data service, and its data port ({_DATA_PORTS}).",
    ),
    _Row(
        WrongProtocolError,
        "another protocol",
        f"The data ports are {_DATA_PORTS}, unless the cluster was set up otherwise.",
        needed=False,
    ),
    _Row(
        TooManyConnectionsError,
        "no connection left",
        "docs/connecting.md (Connection limits) says how many a program opens.",
    ),
    _Row(
        RateLimitedError,
        "refused for now",
        "Wait, or have the limits of this user raised on the server.",
    ),
    _Row(
        TemporaryFailError,
        "refused for now",
        "Try again in a moment: the node may be starting, or the bucket warming up.",
    ),
    _Row(
        ProtocolError,
        "not understood",
        "Something between here and the node may alter the bytes; or this is no Couchbase node.",
    ),
    _Row(
        HandshakeClosedError,
        "closed by the server",
        "If the node was started a moment ago, try again. Its log (memcached.log) says why it "
        "closes connections.",
    ),
    _Row(
        NodeTimeoutError,
        NO_ANSWER,
        "The node hangs or is overloaded, or the port is not the right one: what listens there "
        "accepts connections and says nothing. A proxy or load balancer on the way does that too.",
    ),
    _Row(
        UnknownHostError,
        "unknown host",
        "Check the spelling, this machine's resolver (/etc/hosts, /etc/resolv.conf) and, for names "
        "of a private network, the VPN.",
    ),
    _Row(
        FeatureNotAvailableError,
        "not supported",
        "docs/connecting.md says what is.",
    ),
    _Row(
        TlsError,
        "failed",
        f"Compare the port with the scheme: the data ports are {_DATA_PORTS}, and couchbase:// is "
        "for ports without TLS.",
        needed=False,
    ),
)

_REFUSED: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


def advise(error: BaseException) -> Advice:
    """Return in three lines what *error* means.

    Messages of couchloop read "what happened; what to do": the parts are told apart here.
    """
    if not isinstance(error, CouchbaseError):
        return Advice("failed", _sentence(f"{type(error).__name__}: {error}"), _UNKNOWN)
    if isinstance(error, InvalidConnectionStringError):
        # It quotes the string, where a ; may stand.
        happened, remedy = error.message.rpartition(", at position ")[0] or error.message, ""
    else:
        happened, _, remedy = error.message.partition("; ")
        if not remedy and happened.endswith(f": {GIVE_CERTIFICATE}"):
            happened, remedy = happened.removesuffix(f": {GIVE_CERTIFICATE}"), GIVE_CERTIFICATE
    said = error.context.server_context if error.context is not None else None
    cause = _sentence(happened) + (f" The server says: {_sentence(said)}" if said else "")
    for kind, text, cure, needed in _BY_CLASS:
        if isinstance(error, kind):
            cures = (
                _sentence(remedy),
                cure if needed or remedy.endswith("?") or not remedy else "",
            )
            return Advice(text, cause, " ".join(filter(None, cures)))
    return Advice("failed", cause, _sentence(remedy) or _UNKNOWN)


def advise_tcp(
    address: Address, error: BaseException, limit: float, *, web: bool = False
) -> Advice:
    """Return why no TCP connection to *address* could be made within *limit* seconds."""
    number = getattr(error, "errno", None)
    port = address.port
    if number in _REFUSED:
        return Advice(
            "refused",
            f"{address.host} is there, and nothing listens on port {port}: the service does not "
            "run, or a firewall rejects connections.",
            f"See that this is a node of the cluster, and its web port ({_WEB_PORTS})."
            if web
            else "See that the node runs the data service, and that the port is right "
            f"({_DATA_PORTS}).",
        )
    if isinstance(error, TimeoutError) or number == errno.ETIMEDOUT:
        return Advice(
            f"no answer within {limit:g} s",
            f"The machine {address.host} is down, or a firewall on the way drops the packets.",
            f"Let this machine through to port {port} there, or check the address.",
        )
    if number in _NO_ROUTE:
        return Advice(
            "no route",
            f"This machine has no way to the network of {address.host} ({error}).",
            "Join that network (VPN, container network, routes), or use addresses that can be "
            "reached from here (network=external).",
        )
    if number in _NO_FILES:
        return Advice(
            "too many open files",
            "This process, or this machine, may open no more files and connections.",
            "Raise the limit (ulimit -n), or find out who holds so many.",
        )
    return Advice(
        "failed",
        _sentence(str(error) or type(error).__name__),
        "Look at this machine's network settings and its firewall.",
    )


def _sentence(text: str) -> str:
    """Return *text* as a sentence: with a capital, and a full stop."""
    text = text.strip()
    if not text:
        return ""
    # Not of names: the first word may be a host.
    first = text.partition(" ")[0]
    if first.isalpha():
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?…" else f"{text}."


def advise_name(host: str, error: BaseException | None, limit: float) -> Advice:
    """Return why the name *host* has no address, within *limit* seconds."""
    if isinstance(error, TimeoutError):
        return Advice(
            f"{host}: no answer within {limit:g} s",
            "The resolver of this machine does not answer.",
            "See whether its name servers (/etc/resolv.conf) can be reached.",
        )
    if isinstance(error, CouchbaseError):
        advice = advise(error)
        return advice._replace(text=f"{host}: {advice.text}")
    reason = getattr(error, "strerror", None) or str(error or "")
    why = f" ({reason})" if reason else ""
    return Advice(
        f"{host}: unknown",
        f"No address is known for the name {host}{why}.",
        "Check the spelling, this machine's resolver (/etc/hosts, /etc/resolv.conf) and, for names "
        "of a private network, the VPN.",
    )


def failed(
    part: Part,
    name: str,
    advice: Advice,
    *,
    subject: str = "",
    seconds: float | None = None,
    notes: tuple[str, ...] = (),
    details: dict[str, Any] | None = None,
) -> Step:
    """Return a step that has failed."""
    return Step(
        part=part,
        name=name,
        subject=subject,
        verdict=Verdict.FAILED,
        seconds=seconds,
        text=advice.text,
        notes=notes,
        cause=advice.cause,
        cure=advice.cure,
        details=details or {},
    )
