"""What a certificate says, and whose it is."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import TlsError
from couchloop.transport.certificate import (
    MalformedCertificateError,
    PeerCertificate,
    is_for,
    read_certificate,
    server_name,
)
from couchloop.transport.tls import check_host, shown_certificate, verify_error
from tests.certificates import Certificates
from tests.names import FORMS, NODE, UNREADABLE, Form, issue

WORDS = [form for form in (*FORMS, *UNREADABLE) if not (form.for_clients or form.name == "expired")]
"""What is wrong with the others is no matter of names."""


@cache
def _issued() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        certificates = Certificates(Path(folder))
        found: dict[str, bytes] = {}
        for form in (*FORMS, *UNREADABLE):
            pem = issue(certificates, form).read_text("ascii")
            end = "-----END CERTIFICATE-----\n"
            found[form.name] = ssl.PEM_cert_to_DER_cert(pem.partition(end)[0] + end)
        return found


def certificate(name: str) -> bytes:
    """Return the certificate of a form, in DER."""
    return _issued()[name]


@pytest.mark.parametrize("form", WORDS, ids=lambda form: form.name)
def test_forms(form: Form) -> None:
    """Each form of names is good for its host or not, and the refusal says why."""
    if form.why is None:
        check_host(form.host, certificate(form.name))
        return
    with pytest.raises(TlsError) as caught:
        check_host(form.host, certificate(form.name))
    assert caught.value.message == f"the certificate of {form.host} is not trusted: {form.why}"


def test_no_certificate() -> None:
    """Who shows no certificate is nobody."""
    for shown in (None, b""):
        with pytest.raises(TlsError, match="whose it is cannot be read: cut short"):
            check_host(NODE, shown)


def test_what_it_says() -> None:
    """Subject, issuer, dates and names are read as they stand there."""
    read = read_certificate(certificate("all others and a good one"))
    assert read.subject == "server"
    assert read.issuer.startswith("Testing CA #")
    assert read.names == (NODE,)
    assert read.dns_names == (NODE.encode(),)
    assert read.addresses == ()
    expired = read_certificate(certificate("expired"))
    assert expired.not_before == "Jan  1 00:00:00 2001 GMT"
    assert expired.not_after == "Jan  1 00:00:00 2002 GMT"


def test_shown_though_unreadable() -> None:
    """What cannot be read can still be spoken of."""
    assert shown_certificate(certificate("rubbish")) == PeerCertificate()


@given(st.data())
def test_damaged(data: st.DataObject) -> None:
    """Whatever bytes are altered, added or missing: it is read, or it is malformed."""
    whole = bytearray(certificate("all others and a good one"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut]), bytes(whole) + b"\0"):
        try:
            read_certificate(damaged)
        except MalformedCertificateError:
            with pytest.raises(TlsError):
                check_host(NODE, damaged)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a certificate or malformed, and nobody is taken for the host by chance."""
    with pytest.raises(TlsError):
        check_host(NODE, data)


LABELS = st.text(st.sampled_from("abc-*."), min_size=1, max_size=12)


@given(LABELS, LABELS)
def test_stars(pattern: str, host: str) -> None:
    """A star stands for one whole label, never for a dot, nor for part of a label."""
    matches = is_for(PeerCertificate(dns_names=(pattern.encode(),)), host)
    host = host.removesuffix(".")
    if not host or pattern == host:
        assert matches is bool(host)
    elif matches:
        first, *rest = pattern.split(".")
        head, *tail = host.split(".")
        assert first == "*"
        assert rest == tail
        assert len(rest) >= 2
        assert head


def test_tricky_stars() -> None:
    """Names that are made to take long are compared in no time: the suite's limit would tell."""
    for name in (b"*." + b"a" * 90_000 + b"_", b"*" + b".a-a" * 25_000 + b"_", b"*" * 90_000):
        assert not is_for(PeerCertificate(dns_names=(name,)), NODE)


def test_names_of_tls() -> None:
    """Names go to TLS in ASCII without the dot at the end, addresses without their zone."""
    assert server_name("Node.Example.") == "node.example"
    assert server_name("my_node") == "my_node"
    assert server_name("bücher.example") == "xn--bcher-kva.example"
    assert server_name("0:0::1") == server_name("::1%eth0") == "::1"
    assert server_name("127.0.0.1") == "127.0.0.1"
    # Full-width digits are digits too, and resolvers take them for the address.
    assert server_name("\uff11\uff12\uff17.0.0.1") == "127.0.0.1"
    assert server_name("ü" * 80) == ""
    assert not is_for(PeerCertificate(dns_names=(b"",)), "ü" * 80)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (2, r"CA that signed it \(Testing CA .*\) is among those .*; add the certificates of all"),
        (7, "signature is wrong"),
        (26, "not meant for servers"),
        (62, "the TLS library refuses it, and its names are right; see whether"),
        (1234, r"what OpenSSL says \(OpenSSL's number 1234\)"),
    ],
)
def test_other_reasons(code: int, text: str) -> None:
    """What is wrong with a certificate that has the right name is said in words of ours."""
    with pytest.raises(TlsError, match=text):
        raise verify_error(NODE, code, "what OpenSSL says", certificate("exact"))
