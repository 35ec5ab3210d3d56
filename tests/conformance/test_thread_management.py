"""What plain threads manage, by the handles of `threadsafe()`, over sockets and on either loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.client.threads import ThreadSafeBucket, ThreadSafeCluster
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    ArgumentError,
    AuthError,
    BucketExistsError,
    BucketNotFlushableError,
    BucketNotFoundError,
    CollectionExistsError,
    DesignDocumentNotFoundError,
    EventingFunctionNotFoundError,
    InvalidNameError,
    ObjectDestroyedError,
    ScopeNotFoundError,
    SearchIndexNotFoundError,
    UnambiguousTimeoutError,
    UserNotFoundError,
    WrongLoopError,
)
from couchloop.management.buckets import BucketSettings
from couchloop.management.design_documents import (
    DesignDocument,
    DesignDocumentNamespace,
    View,
)
from couchloop.management.search_indexes import SearchIndex
from couchloop.management.users import Group, Role
from couchloop.management.users import User as NewUser
from tests.conformance.loops import LIMIT, PASSWORD, Loop, open_bucket, opened_at
from tests.conformance.test_hostile_services import asking
from tests.conformance.test_management import administered
from tests.conformance.test_rows import ROWS, answer, fine
from tests.threads import Threads

PRODUCTION = DesignDocumentNamespace.PRODUCTION


def done(loop: Loop, work: Callable[[], Any]) -> Any:
    """Do *work* in a plain thread that ends then, and holds nothing any more; raise its error."""
    threads = [Threads(lambda _: work(), 1)]
    loop.until(lambda: threads[0].ended, "a thread hangs")
    # The condition may outlive its use.
    outcome = threads.pop().results[0]
    if not isinstance(outcome, BaseException):
        return outcome
    try:
        raise outcome
    finally:
        # Its traceback holds this frame.
        del outcome


def in_thread(loop: Loop, cluster: Any, work: Callable[[ThreadSafeCluster], Any]) -> None:
    """Do *work* in a plain thread, with a handle of the Cluster."""
    safe = cluster.threadsafe()
    done(loop, lambda: work(safe))


def in_thread_of(loop: Loop, cluster: Any, work: Callable[[ThreadSafeBucket], Any]) -> None:
    """Do *work* in a plain thread, with a handle of a Bucket that is closed then."""
    bucket = open_bucket(loop, cluster, "default")
    safe = bucket.threadsafe()
    done(loop, lambda: work(safe))
    loop.wait(bucket.close())


def test_buckets(loop: Loop) -> None:
    """A bucket is made, waited for, changed, flushed and dropped in a thread."""

    def work(safe: ThreadSafeCluster) -> None:
        buckets = safe.buckets()
        buckets.create_bucket(BucketSettings("new", ram_quota_mb=128, flush_enabled=True))
        told: list[tuple[int, int, int | None]] = []
        buckets.wait_ready("new", progress=lambda *args: told.append(args))
        assert told == [(3, 0, 3)]
        with pytest.raises(BucketExistsError) as caught:
            buckets.create_bucket(BucketSettings("new"))
        assert caught.value.context is not None
        assert caught.value.context.operation == "create_bucket"
        # It has this frame, and that the manager.
        del caught
        buckets.flush_bucket("new")
        buckets.update_bucket(BucketSettings("new", flush_enabled=False))
        assert buckets.get_bucket("new").flush_enabled is False
        with pytest.raises(BucketNotFlushableError):
            buckets.flush_bucket("new")
        assert [each.name for each in buckets.get_all_buckets()] == ["default", "new"]
        buckets.drop_bucket("new")
        with pytest.raises(BucketNotFoundError):
            buckets.get_bucket("new")
        with pytest.raises(InvalidNameError):
            buckets.get_bucket("")

    with administered(loop) as (_, cluster):
        in_thread(loop, cluster, work)
        del cluster


def test_users(loop: Loop) -> None:
    """Users and groups."""

    def work(safe: ThreadSafeCluster) -> None:
        users = safe.users()
        users.upsert_group(Group("readers", roles=(Role("data_reader", "default"),)))
        users.upsert_user(NewUser("anna", "Anna", ("readers",), password="secret1"))
        assert [each.name for each in users.get_all_groups()] == ["readers"]
        assert users.get_user("anna").user.display_name == "Anna"
        assert users.get_roles()
        users.drop_user("anna")
        users.drop_group("readers")
        with pytest.raises(UserNotFoundError):
            users.drop_user("anna")

    with administered(loop) as (_, cluster):
        in_thread(loop, cluster, work)
        del cluster


def test_names_of_sdk25(loop: Loop) -> None:
    """SDK 2.5's Admin."""

    def work(safe: ThreadSafeCluster) -> None:
        admin = safe.cluster_manager()
        assert admin.bucket_create("new", ram_quota=100).success
        admin.wait_ready("new")
        admin.bucket_update("new", admin.bucket_info("new"), ram_quota=200)
        assert [each.ram_quota_mb for each in admin.buckets_list()] == [256, 200]
        admin.user_upsert("local", "anna", "secret1", [("data_reader", "new")], "Anna")
        admin.user_remove("local", "anna")
        admin.bucket_remove("new")
        assert admin.http_request("/pools").value["pools"]
        assert admin.cluster_info().nodes

    with administered(loop) as (_, cluster):
        in_thread(loop, cluster, work)
        del cluster


def test_the_cluster(loop: Loop) -> None:
    """What a Cluster itself can be asked: any request, its nodes, how its services are."""

    def work(safe: ThreadSafeCluster) -> None:
        assert len(safe.cluster_info().nodes) == 3
        assert safe.http_request("/pools/default/tasks").http_status == 200
        assert [each["state"] for each in safe.ping(services="query")["n1ql"]] == ["ok"] * 3
        safe.wait_until_ready(LIMIT, services=["query"])

    with administered(loop) as (_, cluster):
        in_thread(loop, cluster, work)
        del cluster


def test_scopes_and_collections(loop: Loop) -> None:
    """A collection that a thread makes takes its documents at once."""

    def work(safe: ThreadSafeBucket) -> None:
        manager = safe.collections()
        manager.create_scope("app")
        manager.create_collection("app", "users", max_expiry=timedelta(hours=1))
        users = safe.scope("app").collection("users")
        users.upsert("ada", 1)
        assert {each.name for each in manager.get_all_scopes()} == {"_default", "app"}
        manager.update_collection("app", "users", max_expiry=timedelta(minutes=1))
        with pytest.raises(CollectionExistsError):
            manager.create_collection("app", "users")
        manager.drop_collection("app", "users")
        manager.drop_scope("app")
        with pytest.raises(ScopeNotFoundError):
            manager.drop_scope("app")

    with administered(loop) as (_, cluster):
        in_thread_of(loop, cluster, work)
        del cluster


def test_of_a_bucket(loop: Loop) -> None:
    """What is a bucket's: its design documents, by all of their names, and its own flush."""

    def work(safe: ThreadSafeBucket) -> None:
        views = safe.view_indexes()
        birds = DesignDocument("birds", {"by_name": View("function (doc) { emit(doc.name); }")})
        views.upsert_design_document(birds, PRODUCTION)
        assert list(views.get_design_document("birds", PRODUCTION).views) == ["by_name"]
        manager = safe.bucket_manager()
        assert manager.design_get("birds", use_devmode=False).success
        assert safe._http_request(type=1, method=0, path="/pools").value["pools"]
        with pytest.warns(DeprecationWarning, match="bucket_manager"):
            safe.design_delete("birds", use_devmode=False)
        with pytest.raises(DesignDocumentNotFoundError):
            views.get_design_document("birds", PRODUCTION)
        safe.upsert("key", 1)
        safe.flush()
        assert not safe.exists("key").exists

    with administered(loop) as (_, cluster):
        loop.wait(cluster.buckets().update_bucket(BucketSettings("default", flush_enabled=True)))
        in_thread_of(loop, cluster, work)
        del cluster


def test_indexes_and_functions(loop: Loop) -> None:
    """Search indexes and eventing functions, of the cluster and of a scope."""

    def work(handle: Any) -> None:
        indexes = handle.search_indexes()
        indexes.upsert_index(SearchIndex("birds", source_name="default"))
        assert [each.name for each in indexes.get_all_indexes()]
        indexes.drop_index("birds")
        with pytest.raises(SearchIndexNotFoundError):
            indexes.get_index("birds")
        functions = handle.eventing_functions()
        assert functions.get_all_functions() == []
        with pytest.raises(EventingFunctionNotFoundError):
            functions.get_function("nosuch")

    with administered(loop) as (_, cluster):
        in_thread(loop, cluster, work)
        in_thread_of(loop, cluster, lambda safe: work(safe.scope("_default")))
        del cluster


def test_refused(loop: Loop) -> None:
    """In the loop's own thread a call would wait for itself; nobody is nobody."""
    with administered(loop) as (served, cluster):
        safe = cluster.threadsafe()
        bucket = open_bucket(loop, cluster, "default")
        own = bucket.threadsafe()
        for call in (
            safe.buckets().get_all_buckets,
            safe.cluster_info,
            own.view_indexes().publish_design_document,
            own.collections().create_scope,
            own.flush,
        ):
            with pytest.raises(WrongLoopError, match="other threads"):
                call(*["name"] * (call.__name__ in {"publish_design_document", "create_scope"}))
        loop.wait(bucket.close())
        for late in (own.flush, own.view_indexes().publish_design_document):
            with pytest.raises(ObjectDestroyedError):
                done(loop, partial(late, *["name"] * (late != own.flush)))
        with pytest.raises(ArgumentError, match="authenticate"):
            loop.cluster(served.connection_string).threadsafe()
        assert repr(safe) == f"<ThreadSafeCluster of {cluster!r}>"
        assert repr(safe.users()) == f"<ThreadSafeUserManager of {cluster!r}>"
        del safe, bucket, own, call, late, cluster


def test_in_doubt(loop: Loop) -> None:
    """A change whose answer does not come is ambiguous; a question is not."""

    def work(safe: ThreadSafeCluster) -> None:
        with pytest.raises(UnambiguousTimeoutError):
            safe.buckets().get_all_buckets(timeout=0.2)
        with pytest.raises(AmbiguousTimeoutError):
            safe.buckets().create_bucket(BucketSettings("new"), timeout=0.2)

    with administered(loop) as (served, cluster):
        served.cluster.inject_http(path="/pools/default/buckets", delay=600.0)
        in_thread(loop, cluster, work)
        del cluster


def test_other_credentials(loop: Loop) -> None:
    """A handle asks as its Cluster logs in at the time of each call."""
    with administered(loop) as (_, cluster):
        safe = cluster.threadsafe()
        assert done(loop, safe.cluster_info).nodes
        cluster.set_authenticator(PasswordAuthenticator("boss", "wrong"))
        with pytest.raises(AuthError):
            done(loop, safe.cluster_info)
        cluster.set_authenticator(PasswordAuthenticator("boss", PASSWORD))
        assert done(loop, safe.cluster_info).nodes
        del safe, cluster


def test_many_threads(loop: Loop) -> None:
    """Sixteen threads ask through one handle, and none gets what another has asked for."""

    def ask(users: Any, number: int) -> Any:
        users.upsert_group(Group(f"group{number}"))
        return users.get_group(f"group{number}").name

    def begin(cluster: Any) -> Threads:
        return Threads(partial(ask, cluster.threadsafe().users()), 16)

    with administered(loop) as (_, cluster):
        threads = [begin(cluster)]
        del cluster
        loop.until(lambda: threads[0].ended, "a thread hangs")
        assert threads[0].results == {number: f"group{number}" for number in range(16)}
        threads.clear()


def test_queries(loop: Loop) -> None:
    """A Cluster's handle asks queries, too."""
    with asking(loop, fine) as there:
        safe = there.cluster.threadsafe()
        assert done(loop, lambda: list(safe.query("SELECT 1"))) == ROWS
        with pytest.raises(WrongLoopError):
            next(iter(safe.query("SELECT 1")))


def test_indexes_for_queries(loop: Loop) -> None:
    """Their managers, of a Cluster, a collection, and SDK 2.5's, ask by statements."""
    with asking(loop, lambda asked: asked.answer(answer([]))) as there:
        safe = there.cluster.threadsafe()
        assert done(loop, lambda: safe.query_indexes().get_all_indexes("default")) == []
        (seed,) = there.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            own = bucket.threadsafe()
            manager = own.scope("s").collection("c").query_indexes()
            assert done(loop, manager.get_all_indexes) == []
            assert done(loop, own.bucket_manager().list_n1ql_indexes) == []
        assert b"`s`" in there.server.asked[1].body or b'"s"' in there.server.asked[1].body


def test_the_handle_keeps_its_cluster(loop: Loop) -> None:
    """A manager of a handle is enough; with the last of them the connections go."""
    with administered(loop) as (served, cluster):
        managers = [cluster.threadsafe().buckets()]
        del cluster
        assert done(loop, lambda: managers[0].get_bucket("default")).name == "default"
        assert any(node.http_connections for node in served.cluster.nodes)
        managers.clear()
