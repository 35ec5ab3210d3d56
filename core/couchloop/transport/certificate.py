"""What a peer's certificate says, read from its DER (RFC 5280), and whose it is (RFC 9525).

Here and not in the adapters, because TLS libraries and their versions differ in which names they
read, and in what they make of those that they cannot read. Whatever cannot be read raises
MalformedCertificateError: a certificate that is not understood is nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from couchloop.later import pattern
from couchloop.safety.printable import printable


class MalformedCertificateError(ValueError):
    """It is no certificate, or one whose names cannot be read with certainty."""


class PeerCertificate(NamedTuple):
    """What a peer's certificate says, trusted or not. All text is printable."""

    names: tuple[str, ...] = ()
    """The host names and addresses that it is for, to be shown."""
    issuer: str = ""
    not_before: str = ""
    """As OpenSSL writes dates: `Jan  1 00:00:00 2030 GMT`."""
    not_after: str = ""
    subject: str = ""
    dns_names: tuple[bytes, ...] = ()
    """The host names, as they stand there."""
    addresses: tuple[bytes, ...] = ()
    """The IP addresses, of 4 or 16 bytes each."""
    others: tuple[str, ...] = ()
    """Which kinds of other names it has, as in "e-mail address"."""


_INTEGER, _BIT_STRING, _OCTETS, _OID = 0x02, 0x03, 0x04, 0x06
_BOOLEAN, _SEQUENCE, _SET = 0x01, 0x30, 0x31
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_VERSION, _ISSUER_ID, _SUBJECT_ID, _EXTENSIONS = 0xA0, 0x81, 0x82, 0xA3

_SUBJECT_ALT_NAME: Final = bytes.fromhex("551d11")
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_OTHER_NAMES: Final = {
    0xA0: "other name",
    0x81: "e-mail address",
    0xA3: "X.400 address",
    0xA4: "directory name",
    0xA5: "EDI party name",
    0x86: "URI",
    0x88: "registered ID",
}
_PARTS: Final = (bytes.fromhex("550403"), bytes.fromhex("55040b"), bytes.fromhex("55040a"))
"""What names a subject or an issuer best: commonName, organizationalUnitName, organizationName."""
_ENCODINGS: Final = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}

_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_LONGEST_NAME: Final = 100
"""Characters of one name that are shown."""

_WILDCARD: Final = pattern(
    rb"\*((?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){2,})", re.IGNORECASE | re.ASCII
)
"""A star for the whole first label, and at least two labels behind it."""
_LABEL: Final = pattern(rb"[a-z0-9-]+", re.IGNORECASE | re.ASCII)
"""What a star may stand for."""


class _Reader:
    """Takes the elements of DER one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def next_is(self, *tags: int) -> bool:
        return self.more() and self._data[self._at] in tags

    def take(self, *tags: int) -> bytes:
        """Return the content of the next element, which must have one of *tags* (none: any)."""
        return self.take_any(*tags)[1]

    def take_any(self, *tags: int) -> tuple[int, bytes]:
        """Return tag and content of the next element."""
        data, at = self._data, self._at
        if len(data) - at < 2:
            raise MalformedCertificateError("cut short")
        tag, length = data[at], data[at + 1]
        if (tags and tag not in tags) or tag & 0x1F == 0x1F:
            raise MalformedCertificateError(f"unexpected tag {tag:#04x}")
        at += 2
        if length & 0x80:
            size = length & 0x7F
            # DER has one way to write a length: the shortest.
            written = data[at : at + size]
            length = int.from_bytes(written)
            if not 1 <= size <= 4 or len(written) < size or not written[0] or length < 0x80:
                raise MalformedCertificateError("a length that is not DER")
            at += size
        content = data[at : at + length]
        if len(content) < length:
            raise MalformedCertificateError("cut short")
        self._at = at + length
        return tag, content

    def end(self) -> None:
        """Raise if anything is left."""
        if self.more():
            raise MalformedCertificateError("more than was announced")


def read_certificate(der: bytes) -> PeerCertificate:
    """Read a certificate.

    Raises MalformedCertificateError.
    """
    whole = _Reader(der)
    outer = _Reader(whole.take(_SEQUENCE))
    whole.end()
    body = _Reader(outer.take(_SEQUENCE))
    outer.take(_SEQUENCE)
    outer.take(_BIT_STRING)
    outer.end()
    if body.next_is(_VERSION):
        body.take()
    body.take(_INTEGER)
    body.take(_SEQUENCE)
    issuer = _short_name(body.take(_SEQUENCE))
    validity = _Reader(body.take(_SEQUENCE))
    begin = _date(*validity.take_any(_UTC_TIME, _GENERAL_TIME))
    end = _date(*validity.take_any(_UTC_TIME, _GENERAL_TIME))
    validity.end()
    subject = _short_name(body.take(_SEQUENCE))
    body.take(_SEQUENCE)
    for tag in (_ISSUER_ID, _SUBJECT_ID):
        if body.next_is(tag):
            body.take()
    shown: list[str] = []
    dns_names: list[bytes] = []
    addresses: list[bytes] = []
    others: dict[str, None] = {}
    alternatives = _alternative_names(body.take()) if body.next_is(_EXTENSIONS) else ()
    body.end()
    for tag, content in alternatives:
        if tag == _DNS_NAME:
            dns_names.append(content)
            shown.append(_shown_name(content))
        elif tag == _IP_ADDRESS and len(content) in {4, 16}:
            addresses.append(content)
            shown.append(_shown_address(content))
        else:
            others[_OTHER_NAMES.get(tag, "malformed address")] = None
    return PeerCertificate(
        tuple(shown), issuer, begin, end, subject, tuple(dns_names), tuple(addresses), tuple(others)
    )


def _alternative_names(extensions: bytes) -> list[tuple[int, bytes]]:
    """Return the entries of subjectAltName, each as (tag, content)."""
    found: list[tuple[int, bytes]] | None = None
    outer = _Reader(extensions)
    each = _Reader(outer.take(_SEQUENCE))
    outer.end()
    while each.more():
        extension = _Reader(each.take(_SEQUENCE))
        kind = extension.take(_OID)
        if extension.next_is(_BOOLEAN):
            extension.take()
        value = extension.take(_OCTETS)
        extension.end()
        if kind != _SUBJECT_ALT_NAME:
            continue
        if found is not None:
            # Who reads the first, and who reads the last, would not read the same.
            raise MalformedCertificateError("subjectAltName stands there twice")
        whole = _Reader(value)
        entries = _Reader(whole.take(_SEQUENCE))
        whole.end()
        found = []
        while entries.more():
            found.append(entries.take_any(_DNS_NAME, _IP_ADDRESS, *_OTHER_NAMES))
    return found or []


def is_for(certificate: PeerCertificate, host: str) -> bool:
    """Whether a certificate names *host*, a host name or an IP address, among its names.

    Names of other kinds do not count, nor does the subject's common name (RFC 9525, 2). A star
    stands for a whole first label, and at least two labels must follow it.
    """
    text = server_name(host)
    number = packed_address(text)
    if number is not None:
        return number in certificate.addresses
    name = text.encode()
    if not name:
        return False
    head, _, tail = name.partition(b".")
    for each in certificate.dns_names:
        if each.lower() == name:
            return True
        wildcard = _WILDCARD.fullmatch(each)
        if wildcard and wildcard[1][1:].lower() == tail and _LABEL.fullmatch(head):
            return True
    return False


def packed_address(host: str) -> bytes | None:
    """Return the bytes of an IP address; None: *host* is a name."""
    try:
        return ip_address(host).packed
    except ValueError:
        return None


def server_name(host: str) -> str:
    """Return *host* as TLS knows it: an address without its zone, a name in lower-case ASCII.

    The dot at the end of a name that is complete belongs to DNS alone (RFC 6066, 3). Gives ""
    where a name cannot be written in ASCII.
    """
    name = host.removesuffix(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    # The zone of an address is this machine's affair (RFC 6874).
    number = packed_address(name.partition("%")[0])
    return name.lower() if number is None else str(ip_address(number))


def _shown_address(number: bytes) -> str:
    """Return an address to be shown: one way whatever Python's version."""
    known = ip_address(number)
    mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
    return str(known) if mapped is None else f"::ffff:{mapped}"


def _shown_name(name: bytes) -> str:
    """Return a host name to be shown; one that looks like an address says that it is none."""
    text = printable(name, _LONGEST_NAME)
    if not text:
        return "(an empty name)"
    return f"DNS:{text}" if packed_address(text) is not None else text


def _short_name(name: bytes) -> str:
    """Return the part of a subject or issuer that names it best."""
    found: dict[bytes, str] = {}
    parts = _Reader(name)
    while parts.more():
        for pair in _elements(parts.take(_SET)):
            kind = pair.take(_OID)
            tag, value = pair.take_any()
            pair.end()
            text = value.decode(_ENCODINGS.get(tag, "latin-1"), "replace")
            found.setdefault(kind, printable(text, _LONGEST_NAME))
    return next((found[kind] for kind in _PARTS if kind in found), "")


def _elements(content: bytes) -> Iterator[_Reader]:
    """Return each SEQUENCE of a SET."""
    reader = _Reader(content)
    while reader.more():
        yield _Reader(reader.take(_SEQUENCE))


def _date(tag: int, content: bytes) -> str:
    """Return a date as OpenSSL writes it."""
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:
        # Years from 1950 on (RFC 5280, 4.1.2.5.1).
        text = f"{'20' if text[:2] < '50' else '19'}{text}"
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z", text, re.ASCII)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise MalformedCertificateError("a date that cannot be read")
    at, day = 3 * int(match[2]), int(match[3])
    return f"{_MONTHS[at - 3 : at]} {day:2d} {match[4]}:{match[5]}:{match[6]} {match[1]} GMT"
