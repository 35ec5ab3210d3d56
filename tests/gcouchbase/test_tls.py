"""TLS by means of the user's own on gevent; all else of TLS is in tests/conformance."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from couchloop.exceptions import (
    ArgumentError,
    TlsError,
)
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import serve
from tests.certificates import Certificates
from tests.gcouchbase.support import PASSWORD


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a CA of this test alone."""
    return Certificates(tmp_path)


def open_bucket(address: str, options: str = "", context: ssl.SSLContext | None = None) -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(
        f"{address}/default{options}", username="user", password=PASSWORD, ssl_context=context
    )


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


def test_certificate_in_own_context(certificates: Certificates) -> None:
    """A password beside a certificate in a context of the user's own: the certificate counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    context.load_cert_chain(*certificates.client())
    with serve(tls=certificates.server(clients=True)) as served:
        bucket = open_bucket(served.connection_string_tls, context=context)
        assert bucket.upsert("key", 1).success
