"""What a type checker knows of the managers; read by mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from twisted.internet.defer import Deferred

from couchloop.management.buckets import BucketInfo, BucketSettings
from couchloop.management.design_documents import DesignDocument, DesignDocumentNamespace
from couchloop.management.eventing_values import EventingFunction, EventingFunctionsStatus
from couchloop.management.http_request import HttpResult
from couchloop.management.search_indexes import SearchIndex
from couchloop.management.users import Group, RoleAndDescription, User, UserAndMetadata
from couchloop.retries import FailFast
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster


def bucket_manager(cluster: Cluster) -> None:
    """What can be asked about buckets."""
    manager = cluster.buckets()
    assert_type(manager.create_bucket(BucketSettings("b")), Deferred[None])
    assert_type(
        manager.create_bucket(BucketSettings("b"), retry_strategy=FailFast()), Deferred[None]
    )
    manager.drop_bucket("x", retry_strategy=5)  # type: ignore[arg-type]
    assert_type(manager.update_bucket(BucketSettings("b")), Deferred[None])
    assert_type(manager.drop_bucket("x"), Deferred[None])
    assert_type(manager.get_bucket("x"), Deferred[BucketInfo])
    assert_type(manager.get_all_buckets(), Deferred[list[BucketInfo]])
    assert_type(manager.flush_bucket("x"), Deferred[None])
    assert_type(manager.wait_ready("x"), Deferred[BucketInfo])


def user_manager(cluster: Cluster) -> None:
    """What can be asked about users."""
    manager = cluster.users()
    assert_type(manager.get_user("x"), Deferred[UserAndMetadata])
    assert_type(manager.get_all_users(), Deferred[list[UserAndMetadata]])
    assert_type(manager.upsert_user(User("u")), Deferred[None])
    assert_type(manager.drop_user("x"), Deferred[None])
    assert_type(manager.change_password("x"), Deferred[None])
    assert_type(manager.get_roles(), Deferred[list[RoleAndDescription]])
    assert_type(manager.get_group("x"), Deferred[Group])
    assert_type(manager.get_all_groups(), Deferred[list[Group]])
    assert_type(manager.upsert_group(Group("g")), Deferred[None])
    assert_type(manager.drop_group("x"), Deferred[None])


def admin(cluster: Cluster) -> None:
    """What SDK 2.5's Admin can ask."""
    manager = cluster.cluster_manager()
    assert_type(manager.bucket_create("x"), Deferred[HttpResult])
    assert_type(manager.bucket_update("x", {}), Deferred[HttpResult])
    assert_type(manager.bucket_remove("x"), Deferred[HttpResult])
    assert_type(manager.bucket_delete("x"), Deferred[HttpResult])
    assert_type(manager.bucket_info("x"), Deferred[HttpResult])
    assert_type(manager.buckets_list(), Deferred[list[BucketInfo]])
    assert_type(manager.wait_ready("x"), Deferred[BucketInfo])
    assert_type(manager.users_get("local"), Deferred[HttpResult])
    assert_type(manager.user_get("local", "x"), Deferred[HttpResult])
    assert_type(manager.user_upsert("local", "x"), Deferred[HttpResult])
    assert_type(manager.user_remove("local", "x"), Deferred[HttpResult])


def collection_manager(bucket: Bucket) -> None:
    """How scopes and collections are made and dropped."""
    manager = bucket.collections()
    assert_type(manager.create_scope("x"), Deferred[None])
    assert_type(manager.drop_scope("x"), Deferred[None])
    assert_type(manager.create_collection("x", "x"), Deferred[None])
    assert_type(manager.update_collection("x", "x"), Deferred[None])
    assert_type(manager.drop_collection("x", "x"), Deferred[None])


def view_index_manager(bucket: Bucket) -> None:
    """What can be asked about design documents."""
    manager, where = bucket.view_indexes(), DesignDocumentNamespace.PRODUCTION
    assert_type(
        manager.get_design_document("x", where),
        Deferred[DesignDocument],
    )
    assert_type(
        manager.get_all_design_documents(where),
        Deferred[list[DesignDocument]],
    )
    assert_type(
        manager.upsert_design_document(DesignDocument("d", {}), where),
        Deferred[None],
    )
    assert_type(manager.drop_design_document("x", where), Deferred[None])
    assert_type(manager.publish_design_document("x"), Deferred[None])


def design(bucket: Bucket) -> None:
    """The same by the names of SDK 2.5's BucketManager."""
    manager = bucket.bucket_manager()
    assert_type(manager.design_create("x", {}), Deferred[HttpResult])
    assert_type(manager.design_get("x"), Deferred[HttpResult])
    assert_type(manager.design_publish("x"), Deferred[HttpResult])
    assert_type(manager.design_delete("x"), Deferred[HttpResult])
    assert_type(manager.design_list(), Deferred[HttpResult])
    assert_type(manager.old_http_request(1, 0, "/pools"), Deferred[HttpResult])


def search_index_manager(cluster: Cluster) -> None:
    """What can be asked about search indexes."""
    manager = cluster.search_indexes()
    assert_type(manager.upsert_index(SearchIndex("i")), Deferred[None])
    assert_type(manager.drop_index("x"), Deferred[None])
    assert_type(manager.get_index("x"), Deferred[SearchIndex])
    assert_type(manager.get_all_indexes(), Deferred[list[SearchIndex]])
    assert_type(manager.get_indexed_documents_count("x"), Deferred[int])
    assert_type(manager.pause_ingest("x"), Deferred[None])
    assert_type(manager.resume_ingest("x"), Deferred[None])
    assert_type(manager.allow_querying("x"), Deferred[None])
    assert_type(manager.disallow_querying("x"), Deferred[None])
    assert_type(manager.freeze_plan("x"), Deferred[None])
    assert_type(manager.unfreeze_plan("x"), Deferred[None])
    assert_type(manager.analyze_document("x", {}), Deferred[list[Any]])
    assert_type(manager.get_index_stats("x"), Deferred[dict[str, Any]])
    assert_type(manager.get_all_index_stats(), Deferred[dict[str, Any]])


def eventing_function_manager(cluster: Cluster, function: EventingFunction) -> None:
    """What can be asked about eventing functions."""
    manager = cluster.eventing_functions()
    assert_type(manager.upsert_function(function), Deferred[None])
    assert_type(manager.drop_function("x"), Deferred[None])
    assert_type(manager.deploy_function("x"), Deferred[None])
    assert_type(manager.undeploy_function("x"), Deferred[None])
    assert_type(manager.pause_function("x"), Deferred[None])
    assert_type(manager.resume_function("x"), Deferred[None])
    assert_type(manager.get_function("x"), Deferred[EventingFunction])
    assert_type(manager.get_all_functions(), Deferred[list[EventingFunction]])
    assert_type(manager.functions_status(), Deferred[EventingFunctionsStatus])
