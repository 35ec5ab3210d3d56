"""What an administrator makes and changes, over sockets and on either loop."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import EmbeddedCluster, User, administrator
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    AuthError,
    BucketExistsError,
    BucketNotFlushableError,
    BucketNotFoundError,
    CollectionExistsError,
    DesignDocumentNotFoundError,
    EventingFunctionNotFoundError,
    NotAuthorizedError,
    NotReadyError,
    ScopeNotFoundError,
    SearchIndexNotFoundError,
    UnambiguousTimeoutError,
    UserNotFoundError,
)
from couchloop.management.buckets import BucketSettings, BucketType
from couchloop.management.design_documents import (
    DesignDocument,
    DesignDocumentNamespace,
    View,
)
from couchloop.management.search_indexes import SearchIndex
from couchloop.management.users import Group, Role
from couchloop.management.users import User as NewUser
from tests.conformance.loops import PASSWORD, Loop, open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def administered(loop: Loop) -> Iterator[tuple[Any, Any]]:
    """Serve a cluster; give it, and a Cluster of its administrator."""
    users = [administrator("boss", PASSWORD), User("user", PASSWORD)]
    embedded: EmbeddedCluster = loop.embedded(users=users)
    with loop.serving(embedded) as served:
        cluster = loop.cluster(served.connection_string)
        cluster.authenticate(PasswordAuthenticator("boss", PASSWORD))
        yield served, cluster
        del cluster
        loop.until(lambda: not any(node.http_connections for node in embedded.nodes))


def test_a_new_bucket(loop: Loop) -> None:
    """A bucket that is made, and waited for, takes documents; flushed, it has none."""
    with administered(loop) as (_, cluster):
        buckets = cluster.buckets()
        settings = BucketSettings("new", ram_quota_mb=128, flush_enabled=True)
        assert loop.wait(buckets.create_bucket(settings)) is None
        told: list[tuple[int, int, int | None]] = []
        info = loop.wait(buckets.wait_ready("new", progress=lambda *args: told.append(args)))
        assert (info.bucket_type, info.num_replicas, told) == (BucketType.COUCHBASE, 1, [(3, 0, 3)])
        bucket = open_bucket(loop, cluster, "new")
        loop.wait(bucket.upsert("key", 1))
        assert loop.wait(buckets.get_bucket("new")).item_count == 1
        loop.wait(buckets.flush_bucket("new"))
        assert not loop.wait(bucket.exists("key")).exists
        loop.wait(bucket.upsert("key", 1))
        loop.wait(bucket.flush())
        assert not loop.wait(bucket.exists("key")).exists
        loop.wait(bucket.close())
        loop.wait(buckets.update_bucket(BucketSettings("new", flush_enabled=False)))
        with pytest.raises(BucketNotFlushableError):
            loop.wait(buckets.flush_bucket("new"))
        with pytest.raises(BucketExistsError):
            loop.wait(buckets.create_bucket(settings))
        names = [each.name for each in loop.wait(buckets.get_all_buckets())]
        assert names == ["default", "new"]
        loop.wait(buckets.drop_bucket("new"))
        with pytest.raises(BucketNotFoundError):
            loop.wait(buckets.get_bucket("new"))
        with pytest.raises(NotReadyError):
            loop.wait(buckets.wait_ready("new", timeout=0.05, sleep_interval=0.01))
        del buckets, cluster


def test_scopes_and_collections(loop: Loop) -> None:
    """A collection that is made takes documents at once, and a dropped one is gone."""
    with administered(loop) as (_, cluster):
        bucket = open_bucket(loop, cluster, "default")
        manager = bucket.collections()
        loop.wait(manager.create_scope("app"))
        loop.wait(manager.create_collection("app", "users", max_expiry=timedelta(hours=1)))
        users = bucket.scope("app").collection("users")
        loop.wait(users.upsert("ada", {"name": "Ada"}))
        (app,) = [each for each in loop.wait(manager.get_all_scopes()) if each.name == "app"]
        assert [(each.name, each.max_expiry) for each in app.collections] == [
            ("users", timedelta(hours=1))
        ]
        loop.wait(manager.update_collection("app", "users", max_expiry=timedelta(minutes=1)))
        with pytest.raises(CollectionExistsError):
            loop.wait(manager.create_collection("app", "users"))
        loop.wait(manager.drop_collection("app", "users"))
        loop.wait(manager.drop_scope("app"))
        with pytest.raises(ScopeNotFoundError):
            loop.wait(manager.create_collection("app", "users"))
        loop.wait(bucket.close())
        del manager, users, bucket, cluster


def test_users(loop: Loop) -> None:
    """A user that is made has the rights of its roles and groups, and changes its password."""
    with administered(loop) as (served, cluster):
        users = cluster.users()
        loop.wait(users.upsert_group(Group("readers", roles=(Role("data_reader", "default"),))))
        anna = NewUser("anna", "Anna", ("readers",), password="secret1")
        loop.wait(users.upsert_user(anna))
        own = loop.cluster(served.connection_string)
        own.authenticate(PasswordAuthenticator("anna", "secret1"))
        bucket = open_bucket(loop, own, "default")
        assert not loop.wait(bucket.exists("key")).exists
        with pytest.raises(NotAuthorizedError):
            loop.wait(bucket.upsert("key", 1))
        loop.wait(
            users.upsert_user(NewUser("anna", roles=(Role("bucket_full_access", "default"),)))
        )
        loop.wait(bucket.upsert("key", 1))
        with pytest.raises(NotAuthorizedError):
            loop.wait(own.users().get_all_users())
        loop.wait(own.users().change_password("secret2"))
        own.set_authenticator(PasswordAuthenticator("anna", "secret2"))
        assert loop.wait(own.http_request("/whoami")).value["id"] == "anna"
        loop.wait(bucket.close())
        found = loop.wait(users.get_user("anna"))
        assert [str(each) for each in found.user.roles] == ["bucket_full_access[default]"]
        loop.wait(users.drop_user("anna"))
        with pytest.raises(UserNotFoundError):
            loop.wait(users.get_user("anna"))
        del users, own, bucket, cluster


def test_names_of_sdk25(loop: Loop) -> None:
    """The same by the names of SDK 2.5's Admin, with its results."""
    with administered(loop) as (_, cluster):
        admin = cluster.cluster_manager()
        assert loop.wait(admin.bucket_create("new", ram_quota=100, flush_enabled=True)).success
        loop.wait(admin.wait_ready("new"))
        info = loop.wait(admin.bucket_info("new"))
        assert (info.http_status, info.value["name"]) == (200, "new")
        loop.wait(admin.bucket_update("new", info, ram_quota=200))
        listed = {each.name: each.ram_quota_mb for each in loop.wait(admin.buckets_list())}
        assert listed == {"default": 256, "new": 200}
        loop.wait(admin.user_upsert("local", "anna", "secret1", [("data_reader", "new")], "Anna"))
        assert loop.wait(admin.user_get("local", "anna")).value["name"] == "Anna"
        assert len(loop.wait(admin.users_get("local")).value) == 3
        loop.wait(admin.user_remove("local", "anna"))
        with pytest.raises(UserNotFoundError):
            loop.wait(admin.user_get("local", "anna"))
        loop.wait(admin.bucket_remove("new"))
        with pytest.raises(BucketNotFoundError):
            loop.wait(admin.bucket_delete("new"))
        assert loop.wait(admin.http_request("/pools")).value["pools"]
        del admin, info, cluster


def test_who_may_not(loop: Loop) -> None:
    """Without the right nothing is changed; with a wrong password it is told as such."""
    with administered(loop) as (served, cluster):
        for password, kind in ((PASSWORD, NotAuthorizedError), ("wrong", AuthError)):
            other = loop.cluster(served.connection_string)
            other.authenticate(PasswordAuthenticator("user", password))
            with pytest.raises(kind) as caught:
                loop.wait(other.buckets().create_bucket(BucketSettings("new")))
            assert password == PASSWORD or "wrong" not in str(caught.value)
            del other, caught
        assert list(served.cluster.buckets) == ["default"]
        info = loop.wait(cluster.cluster_info())
        assert (len(info.nodes), info.buckets) == (3, ("default",))
        del cluster


def test_in_doubt(loop: Loop) -> None:
    """A change whose answer does not come is ambiguous; a question is not."""
    with administered(loop) as (served, cluster):
        served.cluster.inject_http(path="/pools/default/buckets", delay=600.0)
        with pytest.raises(UnambiguousTimeoutError):
            loop.wait(cluster.buckets().get_all_buckets(timeout=0.2))
        with pytest.raises(AmbiguousTimeoutError):
            loop.wait(cluster.buckets().create_bucket(BucketSettings("new"), timeout=0.2))
        del cluster


def test_design_documents(loop: Loop) -> None:
    """Design documents of a bucket, by the names of SDK 4 and of SDK 2.5."""
    with administered(loop) as (_, cluster):
        bucket = open_bucket(loop, cluster, "default")
        views = bucket.view_indexes()
        birds = DesignDocument("birds", {"by_name": View("function (doc) { emit(doc.name); }")})
        loop.wait(views.upsert_design_document(birds, DesignDocumentNamespace.DEVELOPMENT))
        loop.wait(views.publish_design_document("birds"))
        production = DesignDocumentNamespace.PRODUCTION
        found = loop.wait(views.get_design_document("birds", production))
        assert list(found.views) == ["by_name"]
        manager = bucket.bucket_manager()
        assert loop.wait(manager.design_get("birds", use_devmode=False)).success
        found = loop.wait(bucket._http_request(type=0, method=0, path="_design/birds"))
        assert list(found.value["views"]) == ["by_name"]
        with pytest.warns(DeprecationWarning, match="bucket_manager"):
            loop.wait(bucket.design_delete("birds", use_devmode=False))
        with pytest.raises(DesignDocumentNotFoundError):
            loop.wait(views.get_design_document("birds", production))
        loop.wait(bucket.close())
        del views, manager, bucket, cluster


def test_search_indexes(loop: Loop) -> None:
    """Search indexes of the cluster, and of a scope."""
    with administered(loop) as (_, cluster):
        bucket = open_bucket(loop, cluster, "default")
        loop.wait(bucket.upsert("key", {"a": 1}))
        for manager in (cluster.search_indexes(), bucket.scope("_default").search_indexes()):
            index = SearchIndex("birds", source_name="default")
            loop.wait(manager.upsert_index(index))
            assert loop.wait(manager.get_indexed_documents_count("birds")) == 1
            assert [each.name for each in loop.wait(manager.get_all_indexes())]
            loop.wait(manager.drop_index("birds"))
            with pytest.raises(SearchIndexNotFoundError):
                loop.wait(manager.get_index("birds"))
        loop.wait(bucket.close())
        del manager, bucket, cluster


def test_eventing_functions(loop: Loop) -> None:
    """Eventing functions of the cluster."""
    with administered(loop) as (_, cluster):
        manager = cluster.eventing_functions()
        assert loop.wait(manager.get_all_functions()) == []
        with pytest.raises(EventingFunctionNotFoundError):
            loop.wait(manager.get_function("nosuch"))
        assert loop.wait(manager.functions_status()).functions == ()
        del manager, cluster
