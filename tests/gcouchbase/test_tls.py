"""TLS between the gevent Bucket and a cluster: whom it trusts, as whom it logs in, what fails."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import gevent
import pytest
import trustme

from couchloop.exceptions import (
    ArgumentError,
    BucketNotFoundError,
    CertificateFileError,
    CouchbaseError,
    TlsError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import CertAuthenticator, Cluster, PasswordAuthenticator
from gcouchbase.testing import serve
from tests.certificates import INCOMPLETE, LONG_AGO, Certificates, outdated, talking
from tests.gcouchbase.support import PASSWORD, until


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a CA of this test alone."""
    return Certificates(tmp_path)


def open_bucket(address: str, options: str = "", context: ssl.SSLContext | None = None) -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(
        f"{address}/default{options}", username="user", password=PASSWORD, ssl_context=context
    )


def test_documents_over_tls(certificates: Certificates) -> None:
    """Every connection is TLS, large documents survive it, and the last reference closes it."""
    with serve(tls=certificates.server()) as served:
        bucket = open_bucket(served.connection_string_tls, f"?certpath={certificates.ca}")
        assert bucket.is_ssl
        large = "x" * 5_000_000
        bucket.upsert("large", large)
        assert bucket.get("large").value == large
        assert bucket.upsert_multi({f"k{n}": n for n in range(100)}).all_ok
        connections = served.cluster.connections(bucket="default")
        assert len(connections) == 3
        assert all(connection.tls for connection in connections)
        del bucket
        until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("option", ["certpath", "truststorepath", "trust_certificate"])
def test_own_ca_and_password(certificates: Certificates, option: str) -> None:
    """A CA of one's own goes together with user and password through Cluster (PYCBC-702)."""
    with serve(tls=certificates.server()) as served:
        cluster = Cluster(f"{served.connection_string_tls}?{option}={certificates.ca}")
        cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
        assert cluster.open_bucket("default").upsert("key", 1).success


def test_own_ca_by_authenticator(certificates: Certificates) -> None:
    """PasswordAuthenticator(cert_path=…) names the CAs to trust, one or many in a file."""
    for path in (certificates.ca, certificates.bundle()):
        with serve(tls=certificates.server()) as served:
            cluster = Cluster(served.connection_string_tls)
            cluster.authenticate(PasswordAuthenticator("user", PASSWORD, cert_path=path))
            assert cluster.open_bucket("default").upsert("key", 1).success


def test_the_workaround(certificates: Certificates) -> None:
    """What the page of SDK 2.5 shows as a workaround works as it stands there."""
    with serve(tls=certificates.server()) as served:
        host = served.connection_string_tls.removeprefix("couchbases://")
        bucketname, cert_path = "default", certificates.ca
        connstr = f"couchbases://{host}/{bucketname}?certpath={cert_path}"
        bucket = Bucket(connstr, username="user", password=PASSWORD)
        assert bucket.upsert("key", 1).success


@pytest.mark.parametrize("option", ["ssl=no_verify", "tls_verify=none"])
def test_no_verify(
    certificates: Certificates, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without verification anybody is trusted, and the log warns of it."""
    with serve(tls=certificates.server("elsewhere.example")) as served:
        bucket = open_bucket(served.connection_string_tls, f"?{option}")
        assert bucket.upsert("key", 1).success
        until(lambda: "certificates are not verified" in caplog.text)
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_tls_by_option(certificates: Certificates) -> None:
    """ssl=on asks for TLS under couchbase:// too."""
    with serve(tls=certificates.server()) as served:
        address = served.connection_string_tls.replace("couchbases:", "couchbase:")
        bucket = open_bucket(address, f"?ssl=on&certpath={certificates.ca}")
        assert bucket.is_ssl
        assert bucket.upsert("key", 1).success


def test_own_context(certificates: Certificates) -> None:
    """A context of the user's own decides, through Bucket and through Cluster."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    with serve(tls=certificates.server()) as served:
        bucket = open_bucket(served.connection_string_tls, context=context)
        cluster = Cluster(served.connection_string_tls, ssl_context=context)
        cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
        assert cluster.open_bucket("default") is bucket


def test_own_context_of_no_use(certificates: Certificates) -> None:
    """A context that is none, is for servers, or would not be used is an error that says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with serve(tls=certificates.server()) as served:
        with pytest.raises(ArgumentError, match="is for TLS: use couchbases://"):
            open_bucket(served.connection_string, context=context)
        with pytest.raises(ArgumentError, match="ssl_context is an SSLContext, not object"):
            open_bucket(served.connection_string_tls, context=object())  # type: ignore[arg-type]
        servers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with pytest.raises(TlsError, match=r"TLS with 127.* cannot begin: .*SERVER"):
            open_bucket(served.connection_string_tls, context=servers)
        assert served.cluster.operations.total() == 0


def test_files_of_no_use(certificates: Certificates) -> None:
    """A path that leads nowhere, or to no certificate, is an error before any connection."""
    nonsense = certificates.folder / "nonsense.pem"
    nonsense.write_text("nonsense")
    damaged = certificates.folder / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with serve(tls=certificates.server()) as served:
        for path, why in (
            ("/nowhere/ca.pem", "No such file"),
            (nonsense, "no certificate in PEM form"),
            (damaged, "damaged"),
        ):
            for option in ("", "&tls_verify=none"):
                with pytest.raises(CertificateFileError, match=why):
                    open_bucket(served.connection_string_tls, f"?certpath={path}{option}")
        assert served.cluster.operations.total() == 0
        # Nothing is left of the attempts.
        assert open_bucket(served.connection_string_tls, f"?certpath={certificates.ca}").connected


def test_localhost_by_name(certificates: Certificates) -> None:
    """A certificate may be for a name: the one that was dialled counts, not its address."""
    with serve(tls=certificates.server("localhost", "127.0.0.1")) as served:
        address = served.connection_string_tls.replace("127.0.0.1", "localhost")
        assert open_bucket(address, f"?certpath={certificates.ca}").upsert("key", 1).success


def test_plain_port(certificates: Certificates) -> None:
    """TLS to a port that does not speak it ends quickly, and the password is never sent."""
    with serve(tls=certificates.server()) as served:
        address = served.connection_string.replace("couchbase:", "couchbases:")
        with pytest.raises(TlsError, match="may not speak TLS"):
            open_bucket(address)
        assert served.cluster.operations.total() == 0


def test_no_secret_in_the_log(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """Over TLS the password itself is sent (PLAIN), and yet no log line has it."""
    caplog.set_level(logging.DEBUG)
    with serve(tls=certificates.server()) as served:
        bucket = open_bucket(served.connection_string_tls, f"?certpath={certificates.ca}")
        assert served.cluster.operations["SASL_STEP"] == 0
        gevent.sleep(0)
        assert PASSWORD not in caplog.text
        assert PASSWORD not in repr(bucket) + repr(bucket._settings)


def refused(certificates: Certificates, **server: object) -> str:
    """Give what opening fails with; the server must not have been told anything."""
    with serve(tls=certificates.server(**server)) as served:  # type: ignore[arg-type]
        with pytest.raises(TlsError) as caught:
            open_bucket(served.connection_string_tls, f"?certpath={certificates.ca}")
        assert served.cluster.operations.total() == 0
    return caught.value.message


def test_unknown_authority(certificates: Certificates) -> None:
    """A certificate of an unknown CA is refused; the error says what to give."""
    message = refused(certificates, authority=trustme.CA())
    assert "the certificate of 127.0.0.1 is not trusted: its CA (Testing CA #" in message
    assert "is unknown here; give the CA's certificate as certpath=" in message


def test_intermediate_alone(certificates: Certificates) -> None:
    """A file with the intermediate CA alone: the error says that the one above it is missing."""
    own, alone, both = certificates.by_intermediate()
    with serve(tls=own) as served:
        with pytest.raises(TlsError) as caught:
            open_bucket(served.connection_string_tls, f"?certpath={alone}")
        assert served.cluster.operations.total() == 0
        assert open_bucket(served.connection_string_tls, f"?certpath={both}").connected
    assert INCOMPLETE.search(caught.value.message)


def test_expired(certificates: Certificates) -> None:
    """An expired certificate is refused; the error says since when."""
    message = refused(certificates, expires=LONG_AGO)
    assert "has expired, it was valid until Jan  1 00:00:00 2001 GMT; renew it" in message


def test_wrong_host(certificates: Certificates) -> None:
    """A trusted certificate for other hosts is refused; the error names them."""
    with serve(tls=certificates.server("elsewhere.example", "10.0.0.1")) as served:
        with pytest.raises(TlsError) as caught:
            open_bucket(served.connection_string_tls, f"?certpath={certificates.ca}")
        assert served.cluster.operations.total() == 0
    assert "it is for elsewhere.example, 10.0.0.1; connect by such a name" in caught.value.message


def test_system_authorities(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no CA is given those of the system are trusted, here of a system with our own."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)
    with serve(tls=certificates.server()) as served:
        assert open_bucket(served.connection_string_tls).upsert("key", 1).success


def test_self_signed(certificates: Certificates) -> None:
    """A self-signed certificate is refused, and trusted once it is given as CA."""
    own = certificates.self_signed()
    with serve(tls=own) as served:
        address = served.connection_string_tls
        with pytest.raises(TlsError, match="it is self-signed; if it is the right one, give it"):
            open_bucket(address)
        assert served.cluster.operations.total() == 0
        assert open_bucket(address, f"?certpath={own.certificate}").upsert("key", 1).success


def test_client_certificate(certificates: Certificates) -> None:
    """A client certificate says who connects: there is no login, and the bucket is selected."""
    cert, key = certificates.client()
    with serve(tls=certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        bucket = cluster.open_bucket("default")
        assert bucket.upsert("key", 1).success
        by_options = f"?certpath={cert}&keypath={key}&truststorepath={certificates.ca}"
        assert Bucket(f"{served.connection_string_tls}/default{by_options}") is bucket
        names = served.cluster.operations
        assert names["HELLO"] == names["SELECT_BUCKET"] == 3
        assert not names["SASL_LIST_MECHS"]
        assert not names["SASL_AUTH"]


def test_certificate_and_key_in_one_file(certificates: Certificates) -> None:
    """Without key_path the key stands in the certificate's file."""
    both = certificates.key_and_certificate()
    with serve(tls=certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(both, trust_store_path=certificates.ca))
        assert cluster.open_bucket("default").upsert("key", 1).success


def test_no_rights_by_certificate(certificates: Certificates) -> None:
    """A certificate of somebody whom the cluster does not know opens no bucket."""
    cert, key = certificates.client("stranger")
    with serve(tls=certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        with pytest.raises(CouchbaseError, match="user of the client certificate"):
            cluster.open_bucket("default")


def test_certificate_not_asked_for(certificates: Certificates) -> None:
    """A node that asks for no client certificate logs nobody in, and the error says that too."""
    cert, key = certificates.client("user")
    with serve(tls=certificates.server()) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        with pytest.raises(BucketNotFoundError, match="asks for no client certificates"):
            cluster.open_bucket("default")


def test_certificate_in_own_context(certificates: Certificates) -> None:
    """A password beside a certificate in a context of the user's own: the certificate counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    context.load_cert_chain(*certificates.client())
    with serve(tls=certificates.server(clients=True)) as served:
        bucket = open_bucket(served.connection_string_tls, context=context)
        assert bucket.upsert("key", 1).success


def test_client_files_of_no_use(certificates: Certificates) -> None:
    """Keys that are missing, encrypted or another's are errors before any connection."""
    cert, _ = certificates.client()
    with serve(tls=certificates.server(clients=True)) as served:
        for path, why in certificates.bad_keys(cert):
            cluster = Cluster(served.connection_string_tls)
            cluster.authenticate(CertAuthenticator(cert, path, certificates.ca))
            with pytest.raises(CertificateFileError, match=why):
                cluster.open_bucket("default")
        assert not served.cluster.connections()


def test_never_plaintext(certificates: Certificates) -> None:
    """A client certificate without TLS is an error, and no socket is opened."""
    cert, key = certificates.client()
    with serve() as served:
        cluster = Cluster(served.connection_string)
        cluster.authenticate(CertAuthenticator(cert, key))
        with pytest.raises(ArgumentError, match="needs TLS: use couchbases://"):
            cluster.open_bucket("default")
        assert not served.cluster.connections()


def test_client_certificate_missing(certificates: Certificates) -> None:
    """A server that demands a client certificate: the error says so, and how to give one."""
    with certificates.demanding() as port, pytest.raises(TlsError) as caught:
        open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
    assert caught.value.message.startswith("127.0.0.1 wants a client certificate: authenticate")


def test_client_certificate_refused(certificates: Certificates) -> None:
    """A server that does not know the CA of the client's certificate: the error says so."""
    cert, key = certificates.client(authority=trustme.CA())
    with certificates.demanding() as port:
        cluster = Cluster(f"couchbases://127.0.0.1:{port}")
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        with pytest.raises(TlsError) as caught:
            cluster.open_bucket("default")
    assert "127.0.0.1 refused the client certificate (" in caught.value.message
    assert "): it does not know the CA that signed it; have one issued" in caught.value.message


def test_other_protocol(certificates: Certificates) -> None:
    """A port that answers TLS with something else: the error says that it does not speak TLS."""
    with talking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(TlsError) as caught:
        open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
    assert "the port does not speak TLS (WRONG_VERSION_NUMBER); TLS data" in caught.value.message


def test_outdated(certificates: Certificates) -> None:
    """A server that speaks no TLS 1.2 is refused; the error says that it must."""
    with (
        outdated(certificates.server()) as port,
        pytest.raises(TlsError, match=r"no version of TLS that is safe: 1\.2 or newer"),
    ):
        open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")


def test_server_name(certificates: Certificates) -> None:
    """The name that was dialled is sent (SNI), whether the certificate is verified or not."""
    for option in (f"?certpath={certificates.ca}", "?ssl=no_verify"):
        heard: list[bytes] = []
        with talking(b"no TLS", heard) as port, pytest.raises(TlsError):
            open_bucket(f"couchbases://localhost:{port}", option)
        assert b"localhost" in heard[0]
