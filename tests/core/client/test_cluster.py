"""What both adapters' Clusters have in common, on a loop made of nothing."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.client.services import of_cluster
from couchloop.embedded import User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketAlreadyOpenError,
    InvalidConnectionStringError,
    InvalidOptionError,
    MixedAuthError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.wire import Status
from tests.core.client.loop import (
    SECRET,
    TEXT,
    WHO,
    Bucket,
    Cluster,
    Loop,
    opened,
    told,
)
from tests.garbage import release


class TestCluster:
    """The factory of Buckets."""

    def test_refused_strings(self, loop: Loop) -> None:
        """A Cluster's string names neither bucket nor user nor password; nothing is shown."""
        for text in (
            "couchbase://a/b",
            "couchbase://a?username=u",
            f"couchbase://a?password={SECRET}",
            f"couchbase://u:{SECRET}@a",
            "nonsense://a",
        ):
            with pytest.raises(InvalidConnectionStringError) as caught:
                Cluster(text, loop)
            assert isinstance(caught.value, ValueError)
            assert SECRET not in f"{caught.value!r} {vars(caught.value)}"
        with pytest.raises(InvalidOptionError):
            Cluster("couchbase://a?nonsense=1", loop)
        with pytest.raises(ArgumentError):
            Cluster(None, loop)  # type: ignore[arg-type]

    def test_authenticate(self, loop: Loop) -> None:
        """An authenticator, or a user and a password; not both, not neither."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(username="user", password="password")
        assert cluster.authenticator == WHO
        cluster.authenticate(WHO)
        assert cluster.authenticator is WHO
        for arguments in ((), (None, "user"), (None, None, "password")):
            with pytest.raises(ArgumentError):
                cluster.authenticate(*arguments)
        with pytest.raises(MixedAuthError):
            cluster.authenticate(WHO, "user", "password")

    def test_mixed_auth(self, loop: Loop) -> None:
        """After authenticate(), open_bucket() takes no other credentials."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        for more in ({"username": "u"}, {"password": "p"}, {"authenticator": WHO}):
            with pytest.raises(MixedAuthError):
                cluster.open_bucket("default", **more)

    @pytest.mark.parametrize("name", ["", None, 5, b"default", "b" * 101, "a\nb", "\ud800"])
    def test_bucket_names(self, loop: Loop, name: Any) -> None:
        """What no bucket can be called is refused at once."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        with pytest.raises(ArgumentError):
            cluster.open_bucket(name)
        assert loop.drivers == []

    def test_repr(self, loop: Loop) -> None:
        """It says where the cluster is, without secrets."""
        assert repr(Cluster(TEXT, loop)).endswith(f"Cluster {TEXT!r}>")
        assert SECRET not in repr(Cluster(f"{TEXT}?bucket_cred={SECRET}", loop))

    def test_parsed_string(self, loop: Loop) -> None:
        """A parsed connection string does as well, and is not changed."""
        parsed = ConnectionString.parse(TEXT)
        cluster = Cluster(parsed, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        assert opened(loop) is bucket
        assert parsed == ConnectionString.parse(TEXT)


NEW = PasswordAuthenticator("user", "renewed")


class TestSetAuthenticator:
    """Credentials that are replaced while Buckets are open."""

    def test_other_kinds(self, loop: Loop) -> None:
        """Only another one of the same class may follow; what is no authenticator never."""
        kinds = (
            PasswordAuthenticator("user", SECRET),
            ClassicAuthenticator(buckets={"b": SECRET}),
            CertAuthenticator("c.pem"),
        )
        for before in kinds:
            for after in kinds:
                cluster = Cluster(TEXT, loop)
                cluster.set_authenticator(before)
                if after is not before:
                    with pytest.raises(MixedAuthError, match=type(after).__name__) as caught:
                        cluster.set_authenticator(after)
                    assert SECRET not in str(caught.value)
                assert cluster.authenticator is before
        cluster = Cluster(TEXT, loop)
        for no_authenticator in (None, "user", PasswordAuthenticator):
            with pytest.raises(ArgumentError, match="an authenticator is"):
                cluster.set_authenticator(no_authenticator)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="an authenticator is"):
            cluster.authenticate("user")  # type: ignore[arg-type]

    def test_new_connections_alone(self, loop: Loop) -> None:
        """Connections that are there stay; those that are made from now on use the new password."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        embedded = loop.world.cluster
        embedded.users.put(User("user", "renewed"))
        cluster.set_authenticator(NEW)
        assert bucket.do(ops.upsert(bucket._defaults, "k", 1)).success
        assert embedded.accepted == 3
        embedded.drop_connections()
        loop.run(1)
        assert embedded.accepted == 6
        assert bucket.do(ops.get(bucket._defaults, "k")).value == 1

    def test_same_bucket(self, loop: Loop) -> None:
        """The new credentials count as the Bucket's settings, the old ones no more."""
        cluster, old = Cluster(TEXT, loop), Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        old.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        assert old.open_bucket("default") is bucket
        loop.run()
        cluster.set_authenticator(NEW)
        assert cluster.open_bucket("default") is bucket
        assert Bucket(TEXT + "/default", username="user", password="renewed", loop=loop) is bucket
        with pytest.raises(BucketAlreadyOpenError, match="login differ"):
            old.open_bucket("default")

    def test_bucket_with_keywords(self, loop: Loop) -> None:
        """A Bucket that was first opened by user and password is renewed as well."""
        bucket = Bucket(TEXT + "/default", username="user", password="password", loop=loop)
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        assert cluster.open_bucket("default") is bucket
        cluster.set_authenticator(NEW)
        assert bucket._driver.session.settings.login.clear() == "renewed"

    def test_all_or_nothing(self, loop: Loop) -> None:
        """An authenticator that one Bucket cannot use changes none."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        for refused in (
            PasswordAuthenticator.ldap_compatible("user", "renewed"),
            PasswordAuthenticator("user", "renewed", cert_path="ca.pem"),
        ):
            with pytest.raises(ArgumentError, match="couchbases://"):
                cluster.set_authenticator(refused)
        assert cluster.authenticator is WHO
        assert bucket._driver.session.settings.login.clear() == "password"

    def test_no_longer_open(self, loop: Loop) -> None:
        """The Cluster keeps no Bucket alive, and leaves closed ones alone."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        gone = weakref.ref(bucket)
        gc.disable()
        try:
            del bucket
            release()
            assert gone() is None
        finally:
            gc.enable()
        loop.run()
        closed = cluster.open_bucket("default")
        loop.run()
        closed._close()
        loop.run()
        cluster.set_authenticator(NEW)
        assert closed._driver.session.settings.login.clear() == "password"

    def test_failed_opening(self, loop: Loop) -> None:
        """A Bucket that could not log in does so with the new credentials when it tries again."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(username="user", password="wrong")
        bucket = cluster.open_bucket("default")
        loop.run()
        assert told(bucket) == ["AuthError"]
        cluster.set_authenticator(WHO)
        bucket._open()
        loop.run()
        assert bucket.connected
        assert cluster.open_bucket("default") is bucket

    @pytest.mark.parametrize("renewed", [True, False])
    def test_stale_login(self, loop: Loop, renewed: bool) -> None:
        """AUTH_STALE replaces the connection; the operation goes out again on the new login."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        embedded = loop.world.cluster
        embedded.users.put(User("user", "renewed"))
        if renewed:
            cluster.set_authenticator(NEW)
        embedded.inject(key="k", status=Status.AUTH_STALE, count=1)
        op = ops.upsert(bucket._defaults, "k", 1)
        bucket._driver.submit(op)
        loop.run(3)
        if renewed:
            assert op.result().success
            assert embedded.accepted == 4
        else:
            with pytest.raises(UnambiguousTimeoutError) as caught:
                op.result()
            assert isinstance(caught.value.__cause__, AuthError)
            assert "password" not in str(caught.value.context)


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_cluster_is_not_copied(make_copy: Callable[[Any], Any], loop: Loop) -> None:
    """A Cluster, which holds credentials, is neither copied nor pickled; the error has the cure."""
    cluster = Cluster(TEXT, loop)
    cluster.authenticate(WHO)
    with pytest.raises(TypeError, match="in another process make one there"):
        make_copy(cluster)


@pytest.mark.parametrize(
    ("text", "web"),
    [
        ("couchbase://127.0.0.1", ["127.0.0.1:8091"]),
        ("couchbase://localhost,[::1]", ["localhost:8091", "[::1]:8091"]),
        # There the password would be on the way in clear text.
        ("couchbase://example.com", []),
        ("couchbase://example.com?http_allow_plain=true", ["example.com:8091"]),
        # One port alone is meant.
        ("couchbase://127.0.0.1:12000", []),
        ("couchbase://127.0.0.1:12000=mcd,127.0.0.1:9000=http", ["127.0.0.1:9000"]),
        ("couchbases://127.0.0.1", ["127.0.0.1:18091"]),
    ],
)
def test_web_ports_of_the_cluster(text: str, web: list[str]) -> None:
    """What the cluster's session asks where data nodes tell nothing: also on this machine."""
    settings = make_settings(text, username="user", password="password", is_cluster=True)
    assert [str(each) for each in of_cluster(settings).web_seeds] == web
