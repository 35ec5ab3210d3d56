"""What goes wrong with TLS, in words: one sentence for both loops, and each with its cure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import BadEnvironmentError, CertificateFileError, TlsError
from couchloop.transport import tls
from couchloop.transport.certificate import PeerCertificate
from couchloop.transport.tls import (
    certificates_in,
    cut_off,
    days_left,
    handshake_error,
    verify_error,
    why_untrusted,
)

HOST = "node.example"
GOOD = PeerCertificate(
    issuer="CN=Our CA",
    not_before="Jan  1 00:00:00 2024 GMT",
    not_after="Mar  9 12:00:00 2024 GMT",
    names=(HOST,),
    dns_names=(HOST.encode(),),
)


class TestUntrusted:
    """A certificate that OpenSSL does not trust."""

    @pytest.mark.parametrize(
        ("code", "says"),
        [
            (9, "is not valid yet before Jan  1 00:00:00 2024 GMT; set this machine's clock"),
            (10, "has expired, it was valid until Mar  9 12:00:00 2024 GMT; renew it"),
            (18, "self-signed; if it is the right one, give it as certpath="),
            (20, "its CA (CN=Our CA) is unknown here; give the CA's certificate as certpath="),
            (2, "the CA above it is missing; add the certificates of all CAs"),
            (23, "it was revoked; the server needs a new one"),
            (26, "it is not meant for servers"),
            (62, "its names are right; see whether it is meant for servers"),
            (999, "OpenSSL's words (OpenSSL's number 999)"),
        ],
    )
    def test_reasons(self, code: int, says: str) -> None:
        """Each reason has its words, and what to do."""
        error = why_untrusted(HOST, code, "OpenSSL's words", GOOD)
        assert str(error).startswith(f"the certificate of {HOST} is not trusted: ")
        assert says in str(error)

    @pytest.mark.parametrize("code", [7, 9, 10, 62, 63, 64])
    def test_the_name_first(self, code: int) -> None:
        """Of two things that are wrong the name is told: libraries look at it first, or last."""
        error = why_untrusted("other.example", code, "", GOOD)
        assert f"it is for {HOST}; connect by such a name" in str(error)

    @given(st.integers(), st.text(max_size=20), st.binary(max_size=50) | st.none())
    def test_anything(self, code: int, text: str, shown: bytes | None) -> None:
        """Whatever OpenSSL says, and whatever is shown, it is a TlsError that names the host."""
        error = verify_error(HOST, code, text, shown)
        assert type(error) is TlsError
        assert HOST in str(error)


class TestHandshake:
    """TLS that fails for another reason."""

    @pytest.mark.parametrize(
        ("reason", "says"),
        [
            ("wrong version number", "does not speak TLS (WRONG_VERSION_NUMBER); TLS data ports"),
            ("RECORD_LAYER_FAILURE", "does not speak TLS"),
            ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "wants a client certificate: authenticate with"),
            ("sslv3 alert handshake failure", "or has no cipher in common"),
            ("TLSV1_ALERT_UNKNOWN_CA", "refused the client certificate"),
            ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "it has expired; have one issued"),
            ("TLSV1_ALERT_PROTOCOL_VERSION", "no version of TLS that is safe"),
            ("UNSUPPORTED_PROTOCOL", "1.2 or newer is needed"),
            ("CERTIFICATE_EXPIRED", f"TLS with {HOST} failed (CERTIFICATE_EXPIRED)"),
            ("", "OpenSSL gives no reason"),
        ],
    )
    def test_reasons(self, reason: str, says: str) -> None:
        """OpenSSL's reason, in either of its spellings, has words and a cure."""
        error = handshake_error(HOST, reason)
        assert type(error) is TlsError
        assert HOST in str(error)
        assert says in str(error)
        assert not error.may_pass

    @given(st.text(max_size=40))
    def test_any_reason(self, reason: str) -> None:
        """Whatever the reason is, it is told, and both spellings mean the same."""
        error = handshake_error(HOST, reason)
        assert str(error) == str(handshake_error(HOST, reason.replace(" ", "_")))

    def test_cut_off(self) -> None:
        """A peer that closes before it is done may take it later: it may be out of connections."""
        assert cut_off(HOST).may_pass
        assert "out of connections" in str(cut_off(HOST))


class TestFiles:
    """Certificates and keys of the user's."""

    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.binary())
    def test_certificates(self, bodies: list[bytes], noise: bytes) -> None:
        """Each certificate of a file is found, whatever stands between."""
        begin, end = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"
        noise = noise.replace(b"-", b"")
        whole = [begin + body.replace(b"-", b"x") + end for body in bodies]
        found = certificates_in(noise.join([b"", *whole, b""]), "ca.pem")
        assert found == [each.rstrip(b"\n") for each in whole]

    def test_none(self) -> None:
        """A file without one names itself."""
        for data in (b"", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"):
            with pytest.raises(CertificateFileError, match=re.escape("'ca.pem'")):
                certificates_in(data, "ca.pem")

    def test_words(self) -> None:
        """Each error names the file, and what is wrong with it."""
        errors = {
            "No such file": tls.unreadable("f.pem", FileNotFoundError(2, "No such file")),
            "null byte": tls.unreadable("f.pem", ValueError("embedded null byte")),
            "is damaged": tls.damaged("f.pem"),
            "holds no private key": tls.no_key("f.pem"),
            "is encrypted": tls.encrypted_key("f.pem"),
            "does not belong to the certificate of 'c.pem'": tls.foreign_key("f.pem", "c.pem"),
        }
        for says, error in errors.items():
            assert type(error) is CertificateFileError
            assert "'f.pem'" in str(error)
            assert says in str(error)
        assert isinstance(tls.no_ciphers("NONE"), BadEnvironmentError)


class TestDaysLeft:
    """How long a certificate is still good."""

    @given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.integers(0, 2**32))  # noqa: DTZ001 - hypothesis wants it so
    def test_days(self, end: datetime, now: int) -> None:
        """It is the difference of the two, in days."""
        end = end.replace(microsecond=0, tzinfo=UTC)
        shown = GOOD._replace(not_after=f"{end:%b} {end.day:2d} {end:%H:%M:%S %Y} GMT")
        left = days_left(shown, now)
        assert left == pytest.approx((end.timestamp() - now) / 86_400)

    @given(st.text(max_size=30) | st.from_regex(tls._DATE.pattern, fullmatch=True))
    def test_any_text(self, text: str) -> None:
        """What is no date has no end that is known."""
        left = days_left(GOOD._replace(not_after=text), 0.0)
        assert left is None or isinstance(left, float)
