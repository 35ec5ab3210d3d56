"""TLS between the gevent Bucket and a cluster: trusted, not trusted, not TLS at all."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
import trustme

from couchloop.embedded.hosting import ServerCertificate
from couchloop.exceptions import TlsError
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, serve
from tests.gcouchbase.support import PASSWORD, until


@pytest.fixture
def authority() -> trustme.CA:
    """Give a CA of this test alone."""
    return trustme.CA()


def served_with(authority: trustme.CA, folder: Path, name: str = "127.0.0.1") -> ServedCluster:
    """Serve a cluster whose certificate is for *name*."""
    path = folder / "server.pem"
    authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(path)
    return serve(tls=ServerCertificate(path, path))


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Give a context that trusts *authority* and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def open_bucket(address: str, context: ssl.SSLContext | None = None) -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default", username="user", password=PASSWORD, ssl_context=context)


def test_documents_over_tls(authority: trustme.CA, tmp_path: Path) -> None:
    """Every connection is TLS, large documents survive it, and the last reference closes it."""
    with served_with(authority, tmp_path) as served:
        bucket = open_bucket(served.connection_string_tls, trusting(authority))
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


def test_unknown_authority(authority: trustme.CA, tmp_path: Path) -> None:
    """A certificate of a CA that the system does not know is refused before anything is said."""
    with served_with(authority, tmp_path) as served:
        with pytest.raises(TlsError, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            open_bucket(served.connection_string_tls)
        assert served.cluster.operations.total() == 0


def test_wrong_name(authority: trustme.CA, tmp_path: Path) -> None:
    """A trusted certificate for another name is refused: the name dialled is what counts."""
    with served_with(authority, tmp_path, "elsewhere.example") as served:
        with pytest.raises(TlsError, match="not trusted: IP address mismatch"):
            open_bucket(served.connection_string_tls, trusting(authority))
        assert served.cluster.operations.total() == 0


def test_plain_port(authority: trustme.CA, tmp_path: Path) -> None:
    """TLS to a port that does not speak it ends quickly, and the password is never sent."""
    with served_with(authority, tmp_path) as served:
        address = served.connection_string.replace("couchbase:", "couchbases:")
        with pytest.raises(TlsError, match="may not speak TLS"):
            open_bucket(address, trusting(authority))
        assert served.cluster.operations.total() == 0


def test_no_secret_in_the_log(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Over TLS the password itself is sent (PLAIN), and yet no log line has it."""
    caplog.set_level(logging.DEBUG)
    with served_with(authority, tmp_path) as served:
        bucket = open_bucket(served.connection_string_tls, trusting(authority))
        assert served.cluster.operations["SASL_STEP"] == 0
        assert PASSWORD not in caplog.text
        assert PASSWORD not in repr(bucket) + repr(bucket._settings)
