"""As whom the gevent Bucket logs in, by which means, and what it is told when that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest

from couchloop.embedded import DATA_READER, EmbeddedCluster, Grant, User
from couchloop.exceptions import (
    AuthError,
    BucketAlreadyOpenError,
    BucketNotFoundError,
    CertificateFileError,
    MixedAuthError,
    NotAuthorizedError,
)
from couchloop.wire import Status
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import (
    CertAuthenticator,
    ClassicAuthenticator,
    Cluster,
    PasswordAuthenticator,
)
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.certificates import Certificates, damage
from tests.gcouchbase.support import LIMIT

PASSWORD = "password"


def cluster_of(*users: User) -> EmbeddedCluster:
    """Give a cluster that these users know."""
    return EmbeddedCluster(clock=SystemClock(), users=users)


def test_missing_privilege() -> None:
    """A refusal names the user, the bucket, and the privilege that the server says is missing."""
    reader = User("reader", PASSWORD, (Grant(DATA_READER),))
    with serve(cluster_of(reader)) as served:
        bucket = Bucket(f"{served.connection_string}/default", username="reader", password=PASSWORD)
        with pytest.raises(NotAuthorizedError) as caught:
            bucket.upsert("key", 1)
    message = caught.value.message
    assert "user 'reader' lacks the privilege Upsert on bucket 'default': a role" in message
    assert PASSWORD not in str(caught.value)


def test_no_role_on_the_bucket() -> None:
    """A user without a role on the bucket is told so, by name."""
    other = User("other", PASSWORD, (Grant(DATA_READER, "elsewhere"),))
    with (
        serve(cluster_of(other)) as served,
        pytest.raises(BucketNotFoundError, match="'default', or user 'other' has no role on it"),
    ):
        Bucket(f"{served.connection_string}/default", username="other", password=PASSWORD)


def test_options() -> None:
    """User and password may stand in the string; those given by keyword win."""
    with serve() as served:
        address = f"{served.connection_string}/default?username=user&password="
        bucket = Bucket(f"{address}{PASSWORD}")
        assert Bucket(f"{address}wrong", password=PASSWORD) is bucket
        del bucket
        with pytest.raises(AuthError, match="refused user 'user'"):
            Bucket(f"{address}wrong")


def test_ldap(tmp_path: Path) -> None:
    """ldap_compatible() sends PLAIN alone, over TLS."""
    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server()) as served:
        cluster = Cluster(f"{served.connection_string_tls}?certpath={certificates.ca}")
        cluster.authenticate(PasswordAuthenticator.ldap_compatible("user", PASSWORD))
        assert cluster.open_bucket("default").upsert("key", 1).success
        assert not served.cluster.operations["SASL_STEP"]


@contextmanager
def served_to(certificates: Certificates | None) -> Iterator[tuple[ServedCluster, Cluster]]:
    """Serve a cluster, over TLS if there are certificates; give it and a Cluster for `user`."""
    tls = None if certificates is None else certificates.server()
    with serve(cluster_of(User("user", PASSWORD)), tls=tls) as served:
        yield served, on(served, certificates)


def on(served: ServedCluster, certificates: Certificates | None) -> Cluster:
    """Give a Cluster that logs in as `user`, over TLS if there are certificates."""
    text = served.connection_string
    if certificates is not None:
        text = f"{served.connection_string_tls}?certpath={certificates.ca}"
    cluster = Cluster(text)
    cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
    return cluster


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_rotating_password(tmp_path: Path, tls: bool) -> None:
    """After set_authenticator() new connections use the new password; the Bucket is the same."""
    certificates = Certificates(tmp_path) if tls else None
    with served_to(certificates) as (served, cluster):
        bucket = cluster.open_bucket("default")
        bucket.upsert("key", 1)
        served.cluster.users.put(User("user", "renewed"))
        cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
        assert cluster.open_bucket("default") is bucket
        with pytest.raises(BucketAlreadyOpenError, match="login differ"):
            on(served, certificates).open_bucket("default")
        accepted = served.cluster.accepted
        served.cluster.drop_connections()
        assert bucket.get("key").value == 1
        assert served.cluster.accepted > accepted


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_stale_login(tmp_path: Path, tls: bool) -> None:
    """AUTH_STALE replaces the connection, which logs in anew; the operation is sent again."""
    with served_to(Certificates(tmp_path) if tls else None) as (served, cluster):
        bucket = cluster.open_bucket("default")
        bucket.upsert("key", 1)
        bucket.wait_until_ready(LIMIT)
        accepted = served.cluster.accepted
        served.cluster.users.put(User("user", "renewed"))
        cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
        fault = served.cluster.inject(key="key", status=Status.AUTH_STALE, count=1)
        assert bucket.upsert("key", 2).success
        assert (fault.hits, served.cluster.accepted) == (1, accepted + 1)


def users(served: ServedCluster) -> set[str]:
    """Name those who are logged in."""
    return {each.user.name for each in served.cluster.connections() if each.user is not None}


def test_rotating_certificate(tmp_path: Path) -> None:
    """set_authenticator() reads files of certificates again, though their names are the same."""
    certificates = Certificates(tmp_path)
    tls = certificates.server(clients=True)
    with serve(cluster_of(User("user", ""), User("other", "")), tls=tls) as served:
        path, key = certificates.client()
        cluster = Cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(path, key, certificates.ca))
        bucket = cluster.open_bucket("default")
        bucket.upsert("key", 1)
        bucket.wait_until_ready(LIMIT)
        assert users(served) == {"user"}
        certificates.client_becomes("other")
        cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
        served.cluster.drop_connections()
        bucket.get("key")
        bucket.wait_until_ready(LIMIT)
        assert users(served) == {"other"}
        damage(key)
        with pytest.raises(CertificateFileError, match="holds no private key"):
            cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
        served.cluster.drop_connections()
        assert bucket.get("key").value == 1


def test_secrets_from_another_thread() -> None:
    """set_authenticator() may be called in any thread."""
    with served_to(None) as (served, cluster):
        bucket = cluster.open_bucket("default")
        bucket.upsert("key", 1)
        served.cluster.users.put(User("user", "renewed"))
        renewed = PasswordAuthenticator("user", "renewed")
        gevent.get_hub().threadpool.apply(cluster.set_authenticator, (renewed,))
        assert cluster.open_bucket("default") is bucket
        served.cluster.drop_connections()
        assert bucket.get("key").value == 1


def test_classic() -> None:
    """With ClassicAuthenticator the bucket is the user; other credentials beside it are refused."""
    with serve(cluster_of(User("default", PASSWORD))) as served:
        cluster = Cluster(served.connection_string)
        cluster.authenticate(ClassicAuthenticator(buckets={"default": PASSWORD}))
        assert cluster.open_bucket("default").upsert("key", 1).success
        with pytest.raises(MixedAuthError):
            cluster.open_bucket("default", password=PASSWORD)
