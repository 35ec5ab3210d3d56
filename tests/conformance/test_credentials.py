"""As whom a Bucket logs in, by which means, and what it is told when that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.embedded import DATA_READER, Grant, User
from couchloop.exceptions import (
    AuthError,
    BucketAlreadyOpenError,
    BucketNotFoundError,
    CertificateFileError,
    MixedAuthError,
    NotAuthorizedError,
)
from couchloop.wire import Status
from tests.certificates import Certificates, damage
from tests.conformance.loops import LIMIT, PASSWORD, Loop, cluster_at, opened, opened_at, refusal_at


def serving(loop: Loop, *users: User, tls: Any = None) -> Any:
    """Serve a cluster that these users know."""
    known = users or (User("user", PASSWORD),)
    return loop.serving(loop.embedded(users=known), tls=tls)


def test_missing_privilege(loop: Loop) -> None:
    """A refusal names the user, the bucket, and the privilege that the server says is missing."""
    reader = User("reader", PASSWORD, (Grant(DATA_READER),))
    with (
        serving(loop, reader) as served,
        opened_at(loop, f"{served.connection_string}/default", username="reader") as bucket,
        pytest.raises(NotAuthorizedError) as caught,
    ):
        loop.wait(bucket.upsert("key", 1))
    message = caught.value.message
    assert "user 'reader' lacks the privilege Upsert on bucket 'default': a role" in message
    assert PASSWORD not in str(caught.value)


def test_no_role_on_the_bucket(loop: Loop) -> None:
    """A user without a role on the bucket is told so, by name."""
    other = User("other", PASSWORD, (Grant(DATA_READER, "elsewhere"),))
    with serving(loop, other) as served:
        error = refusal_at(loop, f"{served.connection_string}/default", username="other")
    assert isinstance(error, BucketNotFoundError)
    assert "'default', or user 'other' has no role on it" in str(error)


def test_options(loop: Loop) -> None:
    """User and password may stand in the string; those given by keyword win."""
    with serving(loop) as served:
        address = f"{served.connection_string}/default?username=user&password="
        bucket = loop.bucket(f"{address}{PASSWORD}")
        assert loop.bucket(f"{address}wrong", password=PASSWORD) is bucket
        loop.wait(bucket.close())
        with pytest.raises(AuthError, match="refused user 'user'"):
            loop.bucket(f"{address}wrong")


def test_ldap(loop: Loop, tmp_path: Path) -> None:
    """ldap_compatible() sends PLAIN alone, over TLS."""
    certificates = Certificates(tmp_path)
    with serving(loop, tls=certificates.server()) as served:
        cluster = loop.cluster(f"{served.connection_string_tls}?certpath={certificates.ca}")
        cluster.authenticate(PasswordAuthenticator.ldap_compatible("user", PASSWORD))
        with opened(loop, cluster) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
            assert not served.cluster.operations["SASL_STEP"]


@contextmanager
def served_to(loop: Loop, certificates: Certificates | None) -> Iterator[tuple[Any, Any]]:
    """Serve a cluster, over TLS if there are certificates; give it and a Cluster for `user`."""
    tls = None if certificates is None else certificates.server()
    with serving(loop, tls=tls) as served:
        yield served, on(loop, served, certificates)


def on(loop: Loop, served: Any, certificates: Certificates | None) -> Any:
    """Return a Cluster that logs in as `user`, over TLS if there are certificates."""
    if certificates is None:
        return cluster_at(loop, served.connection_string)
    return cluster_at(loop, f"{served.connection_string_tls}?certpath={certificates.ca}")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_rotating_password(loop: Loop, tmp_path: Path, tls: bool) -> None:
    """After set_authenticator() new connections use the new password; the Bucket is the same."""
    certificates = Certificates(tmp_path) if tls else None
    with served_to(loop, certificates) as (served, cluster), opened(loop, cluster) as bucket:
        loop.wait(bucket.upsert("key", 1))
        served.cluster.users.put(User("user", "renewed"))
        cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
        assert cluster.open_bucket("default") is bucket
        with pytest.raises(BucketAlreadyOpenError, match="login differ"):
            on(loop, served, certificates).open_bucket("default")
        accepted = served.cluster.accepted
        served.cluster.drop_connections()
        assert loop.wait(bucket.get("key")).value == 1
        assert served.cluster.accepted > accepted


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_stale_login(loop: Loop, tmp_path: Path, tls: bool) -> None:
    """AUTH_STALE replaces the connection, which logs in anew; the operation is sent again."""
    certificates = Certificates(tmp_path) if tls else None
    with served_to(loop, certificates) as (served, cluster), opened(loop, cluster) as bucket:
        loop.wait(bucket.upsert("key", 1))
        loop.wait(bucket.wait_until_ready(LIMIT))
        accepted = served.cluster.accepted
        served.cluster.users.put(User("user", "renewed"))
        cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
        fault = served.cluster.inject(key="key", status=Status.AUTH_STALE, count=1)
        assert loop.wait(bucket.upsert("key", 2)).success
        assert (fault.hits, served.cluster.accepted) == (1, accepted + 1)


def users(served: Any) -> set[str]:
    """Name those who are logged in."""
    return {each.user.name for each in served.cluster.connections() if each.user is not None}


def test_rotating_certificate(loop: Loop, tmp_path: Path) -> None:
    """set_authenticator() reads files of certificates again, though their names are the same."""
    certificates = Certificates(tmp_path)
    tls = certificates.server(clients=True)
    with serving(loop, User("user", ""), User("other", ""), tls=tls) as served:
        path, key = certificates.client()
        cluster = loop.cluster(served.connection_string_tls)
        cluster.authenticate(CertAuthenticator(path, key, certificates.ca))
        with opened(loop, cluster) as bucket:
            loop.wait(bucket.upsert("key", 1))
            loop.wait(bucket.wait_until_ready(LIMIT))
            assert users(served) == {"user"}
            certificates.client_becomes("other")
            cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
            served.cluster.drop_connections()
            loop.wait(bucket.get("key"))
            loop.wait(bucket.wait_until_ready(LIMIT))
            assert users(served) == {"other"}
            damage(key)
            with pytest.raises(CertificateFileError, match="holds no private key"):
                cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
            served.cluster.drop_connections()
            assert loop.wait(bucket.get("key")).value == 1


def test_secrets_from_another_thread(loop: Loop) -> None:
    """set_authenticator() may be called in any thread."""
    with served_to(loop, None) as (served, cluster), opened(loop, cluster) as bucket:
        loop.wait(bucket.upsert("key", 1))
        served.cluster.users.put(User("user", "renewed"))
        renewed = PasswordAuthenticator("user", "renewed")
        loop.in_thread(lambda: cluster.set_authenticator(renewed))
        assert cluster.open_bucket("default") is bucket
        served.cluster.drop_connections()
        assert loop.wait(bucket.get("key")).value == 1


def test_classic(loop: Loop) -> None:
    """With ClassicAuthenticator the bucket is the user; other credentials beside it are refused."""
    with serving(loop, User("default", PASSWORD)) as served:
        cluster = loop.cluster(served.connection_string)
        cluster.authenticate(ClassicAuthenticator(buckets={"default": PASSWORD}))
        with opened(loop, cluster) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
            with pytest.raises(MixedAuthError):
                cluster.open_bucket("default", password=PASSWORD)
