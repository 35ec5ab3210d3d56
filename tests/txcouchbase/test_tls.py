"""TLS by means of the user's own on Twisted; all else of TLS is in tests/conformance."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import (
    ArgumentError,
)
from tests.certificates import Certificates
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.testing import ServedCluster, serve

pytest.importorskip("OpenSSL")

from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)

PASSWORD = "password"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a CA of this test alone."""
    return Certificates(tmp_path)


@pytest.fixture
def lines() -> Iterator[list[tuple[Any, str]]]:
    """Yield what is logged, as (level, text)."""
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
