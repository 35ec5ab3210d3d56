"""As whom the Twisted Bucket logs in, by which means, and what it is told when that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

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
from tests.certificates import Certificates, damage
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import (
    CertAuthenticator,
    ClassicAuthenticator,
    Cluster,
    PasswordAuthenticator,
)
from txcouchbase.testing import ReactorClock, ServedCluster, serve

PASSWORD = "password"
LIMIT = 20.0
"""Seconds for what takes no time."""


async def serving(*users: User, **keywords: Any) -> ServedCluster:
    """Serve a cluster that these users know."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    cluster = EmbeddedCluster(clock=ReactorClock(reactor), users=users or (User("user", PASSWORD),))
    return serve(cluster, reactor=reactor, **keywords)


async def stop(served: ServedCluster, *buckets: Bucket) -> None:
    """Close the Buckets, in a turn of the reactor that is not theirs; stop the cluster."""
    await turn(served.reactor, lambda: True)
    for bucket in buckets:
        await bucket.close()
    await served.stop()


async def test_missing_privilege() -> None:
    """A refusal names the user, the bucket, and the privilege that the server says is missing."""
    served = await serving(User("reader", PASSWORD, (Grant(DATA_READER),)))
    bucket = Bucket(f"{served.connection_string}/default", username="reader", password=PASSWORD)
    with pytest.raises(NotAuthorizedError) as caught:
        await bucket.upsert("key", 1)
    await stop(served, bucket)
    message = caught.value.message
    assert "user 'reader' lacks the privilege Upsert on bucket 'default': a role" in message
    assert PASSWORD not in str(caught.value)


async def test_no_role_on_the_bucket() -> None:
    """A user without a role on the bucket is told so, by name."""
    served = await serving(User("other", PASSWORD, (Grant(DATA_READER, "elsewhere"),)))
    bucket = Bucket(f"{served.connection_string}/default", username="other", password=PASSWORD)
    with pytest.raises(BucketNotFoundError, match="'default', or user 'other' has no role on it"):
        await bucket.connect()
    await stop(served, bucket)


async def test_options() -> None:
    """User and password may stand in the string; those given by keyword win."""
    served = await serving()
    address = f"{served.connection_string}/default?username=user&password="
    bucket = Bucket(f"{address}{PASSWORD}")
    assert Bucket(f"{address}wrong", password=PASSWORD) is bucket
    await bucket.connect()
    await bucket.close()
    wrong = Bucket(f"{address}wrong")
    with pytest.raises(AuthError, match="refused user 'user'"):
        await wrong.connect()
    await stop(served, wrong)


async def test_ldap(tmp_path: Path) -> None:
    """ldap_compatible() sends PLAIN alone, over TLS."""
    certificates = Certificates(tmp_path)
    served = await serving(tls=certificates.server())
    cluster = Cluster(f"{served.connection_string_tls}?certpath={certificates.ca}")
    cluster.authenticate(PasswordAuthenticator.ldap_compatible("user", PASSWORD))
    bucket = cluster.open_bucket("default")
    assert (await bucket.upsert("key", 1)).success
    assert not served.cluster.operations["SASL_STEP"]
    await stop(served, bucket)


def on(served: ServedCluster, certificates: Certificates | None) -> Cluster:
    """Give a Cluster that logs in as `user`, over TLS if there are certificates."""
    text = served.connection_string
    if certificates is not None:
        text = f"{served.connection_string_tls}?certpath={certificates.ca}"
    cluster = Cluster(text)
    cluster.authenticate(PasswordAuthenticator("user", PASSWORD))
    return cluster


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_rotating_password(tmp_path: Path, tls: bool) -> None:
    """After set_authenticator() new connections use the new password; the Bucket is the same."""
    certificates = Certificates(tmp_path) if tls else None
    served = await serving(tls=None if certificates is None else certificates.server())
    cluster = on(served, certificates)
    bucket = cluster.open_bucket("default")
    await bucket.upsert("key", 1)
    served.cluster.users.put(User("user", "renewed"))
    cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
    assert cluster.open_bucket("default") is bucket
    with pytest.raises(BucketAlreadyOpenError, match="login differ"):
        on(served, certificates).open_bucket("default")
    accepted = served.cluster.accepted
    served.cluster.drop_connections()
    assert (await bucket.get("key")).value == 1
    assert served.cluster.accepted > accepted
    await stop(served, bucket)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_stale_login(tmp_path: Path, tls: bool) -> None:
    """AUTH_STALE replaces the connection, which logs in anew; the operation is sent again."""
    certificates = Certificates(tmp_path) if tls else None
    served = await serving(tls=None if certificates is None else certificates.server())
    cluster = on(served, certificates)
    bucket = cluster.open_bucket("default")
    await bucket.upsert("key", 1)
    await bucket.wait_until_ready(LIMIT)
    accepted = served.cluster.accepted
    served.cluster.users.put(User("user", "renewed"))
    cluster.set_authenticator(PasswordAuthenticator("user", "renewed"))
    fault = served.cluster.inject(key="key", status=Status.AUTH_STALE, count=1)
    assert (await bucket.upsert("key", 2)).success
    assert (fault.hits, served.cluster.accepted) == (1, accepted + 1)
    await stop(served, bucket)


def users(served: ServedCluster) -> set[str]:
    """Name those who are logged in."""
    return {each.user.name for each in served.cluster.connections() if each.user is not None}


async def test_rotating_certificate(tmp_path: Path) -> None:
    """set_authenticator() reads files of certificates again, though their names are the same."""
    certificates = Certificates(tmp_path)
    served = await serving(
        User("user", ""), User("other", ""), tls=certificates.server(clients=True)
    )
    path, key = certificates.client()
    cluster = Cluster(served.connection_string_tls)
    cluster.authenticate(CertAuthenticator(path, key, certificates.ca))
    bucket = cluster.open_bucket("default")
    await bucket.upsert("key", 1)
    await bucket.wait_until_ready(LIMIT)
    assert users(served) == {"user"}
    certificates.client_becomes("other")
    cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
    served.cluster.drop_connections()
    await bucket.get("key")
    await bucket.wait_until_ready(LIMIT)
    assert users(served) == {"other"}
    damage(key)
    with pytest.raises(CertificateFileError, match="holds no private key"):
        cluster.set_authenticator(CertAuthenticator(path, key, certificates.ca))
    served.cluster.drop_connections()
    assert (await bucket.get("key")).value == 1
    await stop(served, bucket)


async def test_secrets_from_another_thread() -> None:
    """set_authenticator() may be called in any thread."""
    served = await serving()
    cluster = on(served, None)
    bucket = cluster.open_bucket("default")
    await bucket.upsert("key", 1)
    served.cluster.users.put(User("user", "renewed"))
    renewed = PasswordAuthenticator("user", "renewed")
    await deferToThread(cluster.set_authenticator, renewed)
    assert cluster.open_bucket("default") is bucket
    served.cluster.drop_connections()
    assert (await bucket.get("key")).value == 1
    await stop(served, bucket)


async def test_classic() -> None:
    """With ClassicAuthenticator the bucket is the user; other credentials beside it are refused."""
    served = await serving(User("default", PASSWORD))
    cluster = Cluster(served.connection_string)
    cluster.authenticate(ClassicAuthenticator(buckets={"default": PASSWORD}))
    bucket = cluster.open_bucket("default")
    assert (await bucket.upsert("key", 1)).success
    with pytest.raises(MixedAuthError):
        cluster.open_bucket("default", password=PASSWORD)
    await stop(served, bucket)
