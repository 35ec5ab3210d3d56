"""TLS between the Twisted Bucket and a cluster: whom it trusts, as whom it logs in, what fails."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import provider

from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import ArgumentError, CertificateFileError, TlsError
from tests.certificates import LONG_AGO, Certificates
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
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
    """The name that was dialled is verified, and sent (SNI): localhost is not 127.0.0.1."""
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


async def test_expired(certificates: Certificates) -> None:
    """An expired certificate is refused; the error says since when."""
    message = await refused(certificates, expires=LONG_AGO)
    assert "has expired, it was valid until Jan  1 00:00:00 2001 GMT; renew it" in message
