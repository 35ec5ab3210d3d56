"""TLS between a Bucket and a cluster: whom it trusts, as whom it logs in, what fails."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import Authenticator, CertAuthenticator, PasswordAuthenticator
from couchloop.exceptions import (
    ArgumentError,
    BucketNotFoundError,
    CertificateFileError,
    CouchbaseError,
    TlsError,
)
from tests.certificates import INCOMPLETE, LONG_AGO, Certificates, outdated, talking
from tests.conformance.loops import (
    PASSWORD,
    Loop,
    cluster_at,
    login,
    open_bucket,
    opened,
    opened_at,
    refusal_at,
)

pytest.importorskip("trustme")

import trustme


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a CA of this test alone."""
    return Certificates(tmp_path)


def stores(loop: Loop, address: str, options: str = "") -> bool:
    """Whether a document can be stored at *address*."""
    with opened_at(loop, f"{address}/default{options}") as bucket:
        stored: bool = loop.wait(bucket.upsert("key", 1)).success
        return stored


def refusal(loop: Loop, address: str, options: str = "") -> str:
    """Return the message of the TlsError with which a Bucket at *address* does not open."""
    error = refusal_at(loop, f"{address}/default{options}")
    assert isinstance(error, TlsError)
    return error.message


def cluster_with(loop: Loop, address: str, authenticator: Authenticator) -> Any:
    """Return a Cluster that logs in by *authenticator*."""
    cluster = loop.cluster(address)
    cluster.authenticate(authenticator)
    return cluster


def test_documents_over_tls(loop: Loop, certificates: Certificates) -> None:
    """Every connection is TLS, large documents survive it, and the last reference closes it."""
    with loop.serving(tls=certificates.server()) as served:
        text = f"{served.connection_string_tls}/default?certpath={certificates.ca}"
        bucket = loop.bucket(text, **login())
        assert bucket.is_ssl
        large = "x" * 5_000_000
        loop.wait(bucket.upsert("large", large))
        assert loop.wait(bucket.get("large")).value == large
        assert loop.wait(bucket.upsert_multi({f"k{n}": n for n in range(100)})).all_ok
        connections = served.cluster.connections(bucket="default")
        assert len(connections) == 3
        assert all(connection.tls for connection in connections)
        del bucket
        gc.collect()
        loop.until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("option", ["certpath", "truststorepath", "trust_certificate"])
def test_own_ca_and_password(loop: Loop, certificates: Certificates, option: str) -> None:
    """A CA of one's own goes together with user and password through Cluster (PYCBC-702)."""
    with loop.serving(tls=certificates.server()) as served:
        cluster = cluster_at(loop, f"{served.connection_string_tls}?{option}={certificates.ca}")
        with opened(loop, cluster) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success


def test_own_ca_by_authenticator(loop: Loop, certificates: Certificates) -> None:
    """PasswordAuthenticator(cert_path=…) names the CAs to trust, one or many in a file."""
    for path in (certificates.ca, certificates.bundle()):
        with loop.serving(tls=certificates.server()) as served:
            who = PasswordAuthenticator("user", PASSWORD, cert_path=path)
            cluster = cluster_with(loop, served.connection_string_tls, who)
            with opened(loop, cluster) as bucket:
                assert loop.wait(bucket.upsert("key", 1)).success


def test_the_workaround(loop: Loop, certificates: Certificates) -> None:
    """What the page of SDK 2.5 shows as a workaround works as it stands there."""
    with loop.serving(tls=certificates.server()) as served:
        host = served.connection_string_tls.removeprefix("couchbases://")
        bucketname, cert_path = "default", certificates.ca
        connstr = f"couchbases://{host}/{bucketname}?certpath={cert_path}"
        with opened_at(loop, connstr) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success


@pytest.mark.parametrize("option", ["ssl=no_verify", "tls_verify=none"])
def test_no_verify(loop: Loop, certificates: Certificates, option: str) -> None:
    """Without verification anybody is trusted, and the log warns of it."""
    with (
        loop.log("warning") as lines,
        loop.serving(tls=certificates.server("elsewhere.example")) as served,
    ):
        assert stores(loop, served.connection_string_tls, f"?{option}")
        loop.until(lambda: lines)
        (line,) = lines
        assert "certificates are not verified" in line


def test_tls_by_option(loop: Loop, certificates: Certificates) -> None:
    """ssl=on asks for TLS under couchbase:// too."""
    with loop.serving(tls=certificates.server()) as served:
        address = served.connection_string_tls.replace("couchbases:", "couchbase:")
        text = f"{address}/default?ssl=on&certpath={certificates.ca}"
        with opened_at(loop, text) as bucket:
            assert bucket.is_ssl
            assert loop.wait(bucket.upsert("key", 1)).success


def test_files_of_no_use(loop: Loop, certificates: Certificates) -> None:
    """A path that leads nowhere, or to no certificate, is an error before any connection."""
    nonsense = certificates.folder / "nonsense.pem"
    nonsense.write_text("nonsense")
    damaged = certificates.folder / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with loop.serving(tls=certificates.server()) as served:
        address = served.connection_string_tls
        for path, why in (
            ("/nowhere/ca.pem", "No such file"),
            (nonsense, "no certificate in PEM form"),
            (damaged, "damaged"),
        ):
            for option in ("", "&tls_verify=none"):
                with pytest.raises(CertificateFileError, match=why):
                    loop.Bucket(f"{address}/default?certpath={path}{option}", **login())
        assert served.cluster.operations.total() == 0
        # Nothing is left of the attempts.
        assert stores(loop, address, f"?certpath={certificates.ca}")


def test_localhost_by_name(loop: Loop, certificates: Certificates) -> None:
    """A certificate may be for a name: the one that was dialled counts, not its address."""
    with loop.serving(tls=certificates.server("localhost", "127.0.0.1")) as served:
        address = served.connection_string_tls.replace("127.0.0.1", "localhost")
        assert stores(loop, address, f"?certpath={certificates.ca}")


def test_plain_port(loop: Loop, certificates: Certificates) -> None:
    """TLS to a port that does not speak it ends quickly, and the password is never sent."""
    with loop.serving(tls=certificates.server()) as served:
        address = served.connection_string.replace("couchbase:", "couchbases:")
        assert "may not speak TLS" in refusal(loop, address)
        assert served.cluster.operations.total() == 0


def test_no_secret_in_the_log(loop: Loop, certificates: Certificates) -> None:
    """Over TLS the password itself is sent (PLAIN), and yet no log line has it."""
    with (
        loop.log("debug") as lines,
        loop.serving(tls=certificates.server()) as served,
    ):
        text = f"{served.connection_string_tls}/default?certpath={certificates.ca}"
        with opened_at(loop, text) as bucket:
            assert served.cluster.operations["SASL_STEP"] == 0
            loop.until(lambda: lines)
            assert PASSWORD not in str(lines)
            assert PASSWORD not in repr(bucket) + repr(bucket._settings)


def refused(loop: Loop, certificates: Certificates, *names: str, **server: Any) -> str:
    """Return what opening fails with; the server must not have been told anything."""
    with loop.serving(tls=certificates.server(*names, **server)) as served:
        message = refusal(loop, served.connection_string_tls, f"?certpath={certificates.ca}")
        assert served.cluster.operations.total() == 0
    return message


def test_unknown_authority(loop: Loop, certificates: Certificates) -> None:
    """A certificate of an unknown CA is refused; the error says what to give."""
    message = refused(loop, certificates, authority=trustme.CA())
    assert "the certificate of 127.0.0.1 is not trusted: its CA (Testing CA #" in message
    assert "is unknown here; give the CA's certificate as certpath=" in message


def test_intermediate_alone(loop: Loop, certificates: Certificates) -> None:
    """A file with the intermediate CA alone: the error says that the one above it is missing."""
    own, alone, both = certificates.by_intermediate()
    with loop.serving(tls=own) as served:
        message = refusal(loop, served.connection_string_tls, f"?certpath={alone}")
        assert served.cluster.operations.total() == 0
        assert stores(loop, served.connection_string_tls, f"?certpath={both}")
    assert INCOMPLETE.search(message)


def test_expired(loop: Loop, certificates: Certificates) -> None:
    """An expired certificate is refused; the error says since when."""
    message = refused(loop, certificates, expires=LONG_AGO)
    assert "has expired, it was valid until Jan  1 00:00:00 2001 GMT; renew it" in message


def test_wrong_host(loop: Loop, certificates: Certificates) -> None:
    """A trusted certificate for other hosts is refused; the error names them."""
    message = refused(loop, certificates, "elsewhere.example", "10.0.0.1")
    assert "it is for elsewhere.example, 10.0.0.1; connect by such a name" in message


def test_system_authorities(
    loop: Loop, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no CA is given those of the system are trusted, here of a system with our own."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)
    with loop.serving(tls=certificates.server()) as served:
        assert stores(loop, served.connection_string_tls)


def test_self_signed(loop: Loop, certificates: Certificates) -> None:
    """A self-signed certificate is refused, and trusted once it is given as CA."""
    own = certificates.self_signed()
    with loop.serving(tls=own) as served:
        address = served.connection_string_tls
        message = refusal(loop, address)
        assert "it is self-signed; if it is the right one, give it" in message
        assert served.cluster.operations.total() == 0
        assert stores(loop, address, f"?certpath={own.certificate}")


def test_client_certificate(loop: Loop, certificates: Certificates) -> None:
    """A client certificate says who connects: there is no login, and the bucket is selected."""
    cert, key = certificates.client()
    with loop.serving(tls=certificates.server(clients=True)) as served:
        who = CertAuthenticator(cert, key, certificates.ca)
        cluster = cluster_with(loop, served.connection_string_tls, who)
        with opened(loop, cluster) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
            by_options = f"?certpath={cert}&keypath={key}&truststorepath={certificates.ca}"
            text = f"{served.connection_string_tls}/default{by_options}"
            assert loop.bucket(text) is bucket
            names = served.cluster.operations
            loop.until(lambda: names["SELECT_BUCKET"] == 3)
            assert names["HELLO"] == 3
            assert not names["SASL_LIST_MECHS"]
            assert not names["SASL_AUTH"]


def test_certificate_and_key_in_one_file(loop: Loop, certificates: Certificates) -> None:
    """Without key_path the key stands in the certificate's file."""
    both = certificates.key_and_certificate()
    with loop.serving(tls=certificates.server(clients=True)) as served:
        who = CertAuthenticator(both, trust_store_path=certificates.ca)
        cluster = cluster_with(loop, served.connection_string_tls, who)
        with opened(loop, cluster) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success


def test_no_rights_by_certificate(loop: Loop, certificates: Certificates) -> None:
    """A certificate of somebody whom the cluster does not know opens no bucket."""
    cert, key = certificates.client("stranger")
    with loop.serving(tls=certificates.server(clients=True)) as served:
        who = CertAuthenticator(cert, key, certificates.ca)
        cluster = cluster_with(loop, served.connection_string_tls, who)
        with pytest.raises(CouchbaseError, match="user of the client certificate"):
            open_bucket(loop, cluster)


def test_certificate_not_asked_for(loop: Loop, certificates: Certificates) -> None:
    """A node that asks for no client certificate logs nobody in, and the error says that too."""
    cert, key = certificates.client("user")
    with loop.serving(tls=certificates.server()) as served:
        who = CertAuthenticator(cert, key, certificates.ca)
        cluster = cluster_with(loop, served.connection_string_tls, who)
        with pytest.raises(BucketNotFoundError, match="asks for no client certificates"):
            open_bucket(loop, cluster)


def test_client_files_of_no_use(loop: Loop, certificates: Certificates) -> None:
    """Keys that are missing, encrypted or another's are errors before any connection."""
    cert, _ = certificates.client()
    with loop.serving(tls=certificates.server(clients=True)) as served:
        for path, why in certificates.bad_keys(cert):
            who = CertAuthenticator(cert, path, certificates.ca)
            cluster = cluster_with(loop, served.connection_string_tls, who)
            with pytest.raises(CertificateFileError, match=why):
                cluster.open_bucket("default")
        assert not served.cluster.connections()


def test_never_plaintext(loop: Loop, certificates: Certificates) -> None:
    """A client certificate without TLS is an error, and no socket is opened."""
    cert, key = certificates.client()
    with loop.serving() as served:
        cluster = cluster_with(loop, served.connection_string, CertAuthenticator(cert, key))
        with pytest.raises(ArgumentError, match="needs TLS: use couchbases://"):
            cluster.open_bucket("default")
        assert not served.cluster.connections()


def test_client_certificate_missing(loop: Loop, certificates: Certificates) -> None:
    """A server that demands a client certificate: the error says so, and how to give one."""
    with certificates.demanding() as port:
        message = refusal(loop, f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
    assert message.startswith("127.0.0.1 wants a client certificate: authenticate")


def test_client_certificate_refused(loop: Loop, certificates: Certificates) -> None:
    """A server that does not know the CA of the client's certificate: the error says so."""
    cert, key = certificates.client(authority=trustme.CA())
    with certificates.demanding() as port:
        who = CertAuthenticator(cert, key, certificates.ca)
        cluster = cluster_with(loop, f"couchbases://127.0.0.1:{port}", who)
        with pytest.raises(TlsError) as caught:
            open_bucket(loop, cluster)
    assert "127.0.0.1 refused the client certificate (" in caught.value.message
    assert "): it does not know the CA that signed it; have one issued" in caught.value.message


def test_other_protocol(loop: Loop, certificates: Certificates) -> None:
    """A port that answers TLS with something else: the error says that it does not speak TLS."""
    with talking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        message = refusal(loop, f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
    # OpenSSL 3.4 says the second.
    names = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
    assert any(f"the port does not speak TLS ({name}); TLS data" in message for name in names)


def test_outdated(loop: Loop, certificates: Certificates) -> None:
    """A server that speaks no TLS 1.2 is refused; the error says that it must."""
    with outdated(certificates.server()) as port:
        message = refusal(loop, f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
    assert "no version of TLS that is safe: 1.2 or newer" in message


def test_server_name(loop: Loop, certificates: Certificates) -> None:
    """The name that was dialled is sent (SNI), whether the certificate is verified or not."""
    for option in (f"?certpath={certificates.ca}", "?ssl=no_verify"):
        heard: list[bytes] = []
        with talking(b"no TLS", heard) as port:
            refusal(loop, f"couchbases://localhost:{port}", option)
        assert b"localhost" in heard[0]
