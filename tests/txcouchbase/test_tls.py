"""TLS between the Twisted Bucket and a cluster: whom it trusts, as whom it logs in, what fails."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import provider

from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import (
    ArgumentError,
    BucketNotFoundError,
    CertificateFileError,
    CouchbaseError,
    TlsError,
)
from tests.certificates import INCOMPLETE, LONG_AGO, Certificates, outdated, talking
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import CertAuthenticator, Cluster, PasswordAuthenticator
from txcouchbase.testing import ServedCluster, serve

PASSWORD = "password"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a CA of this test alone."""
    return Certificates(tmp_path)


@pytest.fixture
def lines() -> Iterator[list[tuple[Any, str]]]:
    """Give what is logged, as (level, text)."""
    seen: list[tuple[Any, str]] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append((event["log_level"], str(event.get("log_format", "")) + str(event)))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


@asynccontextmanager
async def serving(certificate: ServerCertificate) -> AsyncIterator[ServedCluster]:
    """Serve a cluster until the test is over, whose Buckets must be gone by then."""
    served = serve(tls=certificate)
    try:
        yield served
    finally:
        gc.collect()
        await turn(served.reactor, lambda: not served.cluster.connections())
        await served.stop()


def open_bucket(address: str, options: str = "", **keywords: Any) -> Bucket:
    """Open the bucket at *address*."""
    text = f"{address}/default{options}"
    return Bucket(text, username="user", password=PASSWORD, **keywords)


async def test_documents_over_tls(certificates: Certificates) -> None:
    """Every connection is TLS, and large documents survive it."""
    async with serving(certificates.server()) as served:
        options = f"?certpath={certificates.ca}"
        async with open_bucket(served.connection_string_tls, options) as bucket:
            assert bucket.is_ssl
            large = "x" * 5_000_000
            await bucket.upsert("large", large)
            assert (await bucket.get("large")).value == large
            assert (await bucket.upsert_multi({f"k{n}": n for n in range(100)})).all_ok
            connections = served.cluster.connections(bucket="default")
            assert len(connections) == 3
            assert all(connection.tls for connection in connections)


@pytest.mark.parametrize("option", ["certpath", "truststorepath", "trust_certificate"])
async def test_own_ca_and_password(certificates: Certificates, option: str) -> None:
    """A CA of one's own goes together with user and password through Cluster (PYCBC-702)."""
    async with serving(certificates.server()) as served:
        cluster = Cluster(f"{served.connection_string_tls}?{option}={certificates.ca}")
        cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
        async with cluster.open_bucket("default") as bucket:
            assert (await bucket.upsert("key", 1)).success


async def test_own_ca_by_authenticator(certificates: Certificates) -> None:
    """PasswordAuthenticator(cert_path=…) names the CAs to trust, one or many in a file."""
    for path in (certificates.ca, certificates.bundle()):
        async with serving(certificates.server()) as served:
            cluster = Cluster(served.connection_string_tls)
            cluster.authenticate(PasswordAuthenticator("user", PASSWORD, cert_path=path))
            async with cluster.open_bucket("default") as bucket:
                assert (await bucket.upsert("key", 1)).success


async def test_the_workaround(certificates: Certificates) -> None:
    """What the page of SDK 2.5 shows as a workaround works as it stands there."""
    async with serving(certificates.server()) as served:
        host = served.connection_string_tls.removeprefix("couchbases://")
        bucketname, cert_path = "default", certificates.ca
        connstr = f"couchbases://{host}/{bucketname}?certpath={cert_path}"
        async with Bucket(connstr, username="user", password=PASSWORD) as bucket:
            assert (await bucket.upsert("key", 1)).success


@pytest.mark.parametrize("option", ["ssl=no_verify", "tls_verify=none"])
async def test_no_verify(
    certificates: Certificates, option: str, lines: list[tuple[Any, str]]
) -> None:
    """Without verification anybody is trusted, and the log warns of it."""
    async with serving(certificates.server("elsewhere.example")) as served:
        async with open_bucket(served.connection_string_tls, f"?{option}") as bucket:
            assert (await bucket.upsert("key", 1)).success
        warnings = [text for level, text in lines if level is LogLevel.warn]
        assert len(warnings) == 1
        assert "certificates are not verified" in warnings[0]


async def test_tls_by_option(certificates: Certificates) -> None:
    """ssl=on asks for TLS under couchbase:// too."""
    async with serving(certificates.server()) as served:
        address = served.connection_string_tls.replace("couchbases:", "couchbase:")
        async with open_bucket(address, f"?ssl=on&certpath={certificates.ca}") as bucket:
            assert bucket.is_ssl
            assert (await bucket.upsert("key", 1)).success


async def test_own_connection_creator(certificates: Certificates) -> None:
    """A factory of the user's own decides, through Bucket and through Cluster."""
    trusted = trustRootFromCertificates(  # type: ignore[no-untyped-call]
        [Certificate.loadPEM(certificates.authority.cert_pem.bytes())]
    )

    def make(host: str) -> Any:
        return optionsForClientTLS(host, trusted)

    async with serving(certificates.server()) as served:
        address = served.connection_string_tls
        async with open_bucket(address, tls_factory=make) as bucket:
            cluster = Cluster(address, tls_factory=make)
            cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
            assert cluster.open_bucket("default") is bucket


def test_own_connection_creator_of_no_use() -> None:
    """A factory where there is no TLS, or what is made by one, is an error that says so."""
    with pytest.raises(ArgumentError, match="such as optionsForClientTLS itself, not"):
        open_bucket("couchbases://127.0.0.1", tls_factory=optionsForClientTLS("127.0.0.1"))
    with pytest.raises(ArgumentError, match="is for TLS: use couchbases://"):
        open_bucket("couchbase://127.0.0.1", tls_factory=optionsForClientTLS)


def test_own_endpoints_do_their_own_tls(certificates: Certificates) -> None:
    """An endpoint_factory does the TLS: certificates that it would never see are refused."""
    with pytest.raises(ArgumentError, match="endpoint_factory does the TLS itself"):
        open_bucket(
            "couchbases://host",
            f"?certpath={certificates.ca}",
            endpoint_factory=lambda *_: None,
            reactor=Clock(),
        )


async def test_files_of_no_use(certificates: Certificates) -> None:
    """A path that leads nowhere, or to no certificate, is an error before any connection."""
    nonsense = certificates.folder / "nonsense.pem"
    nonsense.write_text("nonsense")
    damaged = certificates.folder / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    async with serving(certificates.server()) as served:
        address = served.connection_string_tls
        for path, why in (
            ("/nowhere/ca.pem", "No such file"),
            (nonsense, "no certificate in PEM form"),
            (damaged, "damaged"),
        ):
            for option in ("", "&tls_verify=none"):
                with pytest.raises(CertificateFileError, match=why):
                    open_bucket(address, f"?certpath={path}{option}")
        assert served.cluster.operations.total() == 0
        # Nothing is left of the attempts.
        async with open_bucket(address, f"?certpath={certificates.ca}") as bucket:
            assert bucket.connected


async def test_localhost_by_name(certificates: Certificates) -> None:
    """A certificate may be for a name: the one that was dialled counts, not its address."""
    async with serving(certificates.server("localhost", "127.0.0.1")) as served:
        address = served.connection_string_tls.replace("127.0.0.1", "localhost")
        async with open_bucket(address, f"?certpath={certificates.ca}") as bucket:
            assert (await bucket.upsert("key", 1)).success


async def test_plain_port(certificates: Certificates) -> None:
    """TLS to a port that does not speak it ends quickly, and the password is never sent."""
    async with serving(certificates.server()) as served:
        address = served.connection_string.replace("couchbase:", "couchbases:")
        with pytest.raises(TlsError, match="may not speak TLS"):
            await open_bucket(address).connect()
        assert served.cluster.operations.total() == 0


async def test_no_secret_in_the_log(
    certificates: Certificates, lines: list[tuple[Any, str]]
) -> None:
    """Over TLS the password itself is sent (PLAIN), and yet no log line has it."""
    async with serving(certificates.server()) as served:
        options = f"?certpath={certificates.ca}"
        async with open_bucket(served.connection_string_tls, options) as bucket:
            assert served.cluster.operations["SASL_STEP"] == 0
            assert PASSWORD not in str(lines)
            assert PASSWORD not in repr(bucket) + repr(bucket._settings)


async def refused(certificates: Certificates, **server: Any) -> str:
    """Give what opening fails with; the server must not have been told anything."""
    async with serving(certificates.server(**server)) as served:
        with pytest.raises(TlsError) as caught:
            await open_bucket(
                served.connection_string_tls, f"?certpath={certificates.ca}"
            ).connect()
        assert served.cluster.operations.total() == 0
    return caught.value.message


async def test_unknown_authority(certificates: Certificates) -> None:
    """A certificate of an unknown CA is refused; the error says what to give."""
    message = await refused(certificates, authority=trustme.CA())
    assert "the certificate of 127.0.0.1 is not trusted: its CA (Testing CA #" in message
    assert "is unknown here; give the CA's certificate as certpath=" in message


async def test_intermediate_alone(certificates: Certificates) -> None:
    """A file with the intermediate CA alone: the error says that the one above it is missing."""
    own, alone, both = certificates.by_intermediate()
    async with serving(own) as served:
        with pytest.raises(TlsError) as caught:
            await open_bucket(served.connection_string_tls, f"?certpath={alone}").connect()
        assert served.cluster.operations.total() == 0
        async with open_bucket(served.connection_string_tls, f"?certpath={both}") as bucket:
            assert bucket.connected
    assert INCOMPLETE.search(caught.value.message)


async def test_expired(certificates: Certificates) -> None:
    """An expired certificate is refused; the error says since when."""
    message = await refused(certificates, expires=LONG_AGO)
    assert "has expired, it was valid until Jan  1 00:00:00 2001 GMT; renew it" in message


async def test_wrong_host(certificates: Certificates) -> None:
    """A trusted certificate for other hosts is refused; the error names them."""
    async with serving(certificates.server("elsewhere.example", "10.0.0.1")) as served:
        with pytest.raises(TlsError) as caught:
            await open_bucket(
                served.connection_string_tls, f"?certpath={certificates.ca}"
            ).connect()
        assert served.cluster.operations.total() == 0
    assert "it is for elsewhere.example, 10.0.0.1; connect by such a name" in caught.value.message


async def test_system_authorities(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no CA is given those of the system are trusted, here of a system with our own."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)
    async with (
        serving(certificates.server()) as served,
        open_bucket(served.connection_string_tls) as bucket,
    ):
        assert (await bucket.upsert("key", 1)).success


async def test_self_signed(certificates: Certificates) -> None:
    """A self-signed certificate is refused, and trusted once it is given as CA."""
    own = certificates.self_signed()
    async with serving(own) as served:
        address = served.connection_string_tls
        with pytest.raises(TlsError, match="it is self-signed; if it is the right one, give it"):
            await open_bucket(address).connect()
        assert served.cluster.operations.total() == 0
        async with open_bucket(address, f"?certpath={own.certificate}") as bucket:
            assert (await bucket.upsert("key", 1)).success


async def test_client_certificate(certificates: Certificates) -> None:
    """A client certificate says who connects: there is no login, and the bucket is selected."""
    cert, key = certificates.client()
    async with serving(certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        async with cluster.open_bucket("default") as bucket:
            assert (await bucket.upsert("key", 1)).success
            by_options = f"?certpath={cert}&keypath={key}&truststorepath={certificates.ca}"
            assert Bucket(f"{served.connection_string_tls}/default{by_options}") is bucket
            await turn(served.reactor, lambda: served.cluster.operations["SELECT_BUCKET"] == 3)
            names = served.cluster.operations
            assert names["HELLO"] == 3
            assert not names["SASL_LIST_MECHS"]
            assert not names["SASL_AUTH"]


async def test_certificate_and_key_in_one_file(certificates: Certificates) -> None:
    """Without key_path the key stands in the certificate's file."""
    both = certificates.key_and_certificate()
    async with serving(certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(both, trust_store_path=certificates.ca))
        async with cluster.open_bucket("default") as bucket:
            assert (await bucket.upsert("key", 1)).success


async def test_no_rights_by_certificate(certificates: Certificates) -> None:
    """A certificate of somebody whom the cluster does not know opens no bucket."""
    cert, key = certificates.client("stranger")
    async with serving(certificates.server(clients=True)) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        bucket = cluster.open_bucket("default")
        with pytest.raises(CouchbaseError, match="user of the client certificate"):
            await bucket.connect()
        await closed(bucket)


async def test_certificate_not_asked_for(certificates: Certificates) -> None:
    """A node that asks for no client certificate logs nobody in, and the error says that too."""
    cert, key = certificates.client("user")
    async with serving(certificates.server()) as served:
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        bucket = cluster.open_bucket("default")
        with pytest.raises(BucketNotFoundError, match="asks for no client certificates"):
            await bucket.connect()
        await closed(bucket)


async def test_certificate_in_own_context(certificates: Certificates) -> None:
    """A password beside a certificate in a context of the user's own: the certificate counts."""
    own = certificates.client_objects()
    trusted = Certificate.loadPEM(certificates.authority.cert_pem.bytes())

    def make(host: str) -> Any:
        return optionsForClientTLS(host, trusted, extraCertificateOptions={**own})

    async with (
        serving(certificates.server(clients=True)) as served,
        open_bucket(served.connection_string_tls, tls_factory=make) as bucket,
    ):
        assert (await bucket.upsert("key", 1)).success


async def test_client_files_of_no_use(certificates: Certificates) -> None:
    """Keys that are missing, encrypted or another's are errors before any connection."""
    cert, _ = certificates.client()
    async with serving(certificates.server(clients=True)) as served:
        for path, why in certificates.bad_keys(cert):
            cluster = Cluster(served.connection_string_tls)
            cluster.authenticate(CertAuthenticator(cert, path, certificates.ca))
            with pytest.raises(CertificateFileError, match=why):
                cluster.open_bucket("default")
        assert not served.cluster.connections()


async def test_never_plaintext(certificates: Certificates) -> None:
    """A client certificate without TLS is an error, and no socket is opened."""
    cert, key = certificates.client()
    async with serving(certificates.server()) as served:
        cluster = Cluster(served.connection_string)
        cluster.authenticate(CertAuthenticator(cert, key))
        with pytest.raises(ArgumentError, match="needs TLS: use couchbases://"):
            cluster.open_bucket("default")
        assert not served.cluster.connections()


async def closed(bucket: Bucket) -> None:
    """Close the Bucket, in a turn of the reactor that is not its own."""
    await turn(bucket._loop, lambda: True)
    await bucket.close()


async def test_client_certificate_missing(certificates: Certificates) -> None:
    """A server that demands a client certificate: the error says so, and how to give one."""
    with certificates.demanding() as port:
        bucket = open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
        with pytest.raises(TlsError) as caught:
            await bucket.connect()
        await closed(bucket)
    assert caught.value.message.startswith("127.0.0.1 wants a client certificate: authenticate")


async def test_client_certificate_refused(certificates: Certificates) -> None:
    """A server that does not know the CA of the client's certificate: the error says so."""
    cert, key = certificates.client(authority=trustme.CA())
    with certificates.demanding() as port:
        cluster = Cluster(f"couchbases://127.0.0.1:{port}")
        cluster.authenticate(CertAuthenticator(cert, key, certificates.ca))
        bucket = cluster.open_bucket("default")
        with pytest.raises(TlsError) as caught:
            await bucket.connect()
        await closed(bucket)
    assert "127.0.0.1 refused the client certificate (" in caught.value.message
    assert "): it does not know the CA that signed it; have one issued" in caught.value.message


async def test_other_protocol(certificates: Certificates) -> None:
    """A port that answers TLS with something else: the error says that it does not speak TLS."""
    with talking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        bucket = open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
        with pytest.raises(TlsError) as caught:
            await bucket.connect()
        await closed(bucket)
    assert "the port does not speak TLS (WRONG_VERSION_NUMBER); TLS data" in caught.value.message


async def test_outdated(certificates: Certificates) -> None:
    """A server that speaks no TLS 1.2 is refused; the error says that it must."""
    with outdated(certificates.server()) as port:
        bucket = open_bucket(f"couchbases://127.0.0.1:{port}", f"?certpath={certificates.ca}")
        with pytest.raises(TlsError, match=r"no version of TLS that is safe: 1\.2 or newer"):
            await bucket.connect()
        await closed(bucket)


async def test_server_name(certificates: Certificates) -> None:
    """The name that was dialled is sent (SNI), whether the certificate is verified or not."""
    for option in (f"?certpath={certificates.ca}", "?ssl=no_verify"):
        heard: list[bytes] = []
        with talking(b"no TLS", heard) as port:
            bucket = open_bucket(f"couchbases://localhost:{port}", option)
            with pytest.raises(TlsError):
                await bucket.connect()
            await closed(bucket)
        assert b"localhost" in heard[0]
