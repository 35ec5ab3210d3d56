"""As whom the gevent Bucket logs in, by which means, and what it is told when that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.auth import DATA_READER, Grant, User
from couchloop.exceptions import AuthError, BucketNotFoundError, MixedAuthError, NotAuthorizedError
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import ClassicAuthenticator, Cluster, PasswordAuthenticator
from gcouchbase.testing import SystemClock, serve
from tests.certificates import Certificates

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


def test_classic() -> None:
    """With ClassicAuthenticator the bucket is the user; other credentials beside it are refused."""
    with serve(cluster_of(User("default", PASSWORD))) as served:
        cluster = Cluster(served.connection_string)
        cluster.authenticate(ClassicAuthenticator(buckets={"default": PASSWORD}))
        assert cluster.open_bucket("default").upsert("key", 1).success
        with pytest.raises(MixedAuthError):
            cluster.open_bucket("default", password=PASSWORD)
