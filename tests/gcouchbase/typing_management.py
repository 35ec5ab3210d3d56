"""What a type checker knows of the managers, and of those for threads; read by mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from couchloop.client.threads import ThreadSafeBucket, ThreadSafeCluster
from couchloop.management.buckets import BucketInfo, BucketSettings
from couchloop.management.design_documents import DesignDocument, DesignDocumentNamespace
from couchloop.management.eventing_values import EventingFunction, EventingFunctionsStatus
from couchloop.management.http_request import HttpResult
from couchloop.management.search_indexes import SearchIndex
from couchloop.management.users import Group, RoleAndDescription, User, UserAndMetadata
from couchloop.retries import FailFast
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster


def bucket_manager(cluster: Cluster | ThreadSafeCluster) -> None:
    """What can be asked about buckets."""
    manager = cluster.buckets()
    manager.create_bucket(BucketSettings("b"))
    manager.create_bucket(BucketSettings("b"), retry_strategy=FailFast())
    manager.drop_bucket("x", retry_strategy=5)  # type: ignore[arg-type]
    manager.update_bucket(BucketSettings("b"))
    manager.drop_bucket("x")
    assert_type(manager.get_bucket("x"), BucketInfo)
    assert_type(manager.get_all_buckets(), list[BucketInfo])
    manager.flush_bucket("x")
    assert_type(manager.wait_ready("x"), BucketInfo)


def user_manager(cluster: Cluster | ThreadSafeCluster) -> None:
    """What can be asked about users."""
    manager = cluster.users()
    assert_type(manager.get_user("x"), UserAndMetadata)
    assert_type(manager.get_all_users(), list[UserAndMetadata])
    manager.upsert_user(User("u"))
    manager.drop_user("x")
    manager.change_password("x")
    assert_type(manager.get_roles(), list[RoleAndDescription])
    assert_type(manager.get_group("x"), Group)
    assert_type(manager.get_all_groups(), list[Group])
    manager.upsert_group(Group("g"))
    manager.drop_group("x")


def admin(cluster: Cluster | ThreadSafeCluster) -> None:
    """What SDK 2.5's Admin can ask."""
    manager = cluster.cluster_manager()
    assert_type(manager.bucket_create("x"), HttpResult)
    assert_type(manager.bucket_update("x", {}), HttpResult)
    assert_type(manager.bucket_remove("x"), HttpResult)
    assert_type(manager.bucket_delete("x"), HttpResult)
    assert_type(manager.bucket_info("x"), HttpResult)
    assert_type(manager.buckets_list(), list[BucketInfo])
    assert_type(manager.wait_ready("x"), BucketInfo)
    assert_type(manager.users_get("local"), HttpResult)
    assert_type(manager.user_get("local", "x"), HttpResult)
    assert_type(manager.user_upsert("local", "x"), HttpResult)
    assert_type(manager.user_remove("local", "x"), HttpResult)


def collection_manager(bucket: Bucket | ThreadSafeBucket) -> None:
    """How scopes and collections are made and dropped."""
    manager = bucket.collections()
    manager.create_scope("x")
    manager.drop_scope("x")
    manager.create_collection("x", "x")
    manager.update_collection("x", "x")
    manager.drop_collection("x", "x")


def view_index_manager(bucket: Bucket | ThreadSafeBucket) -> None:
    """What can be asked about design documents."""
    manager, where = bucket.view_indexes(), DesignDocumentNamespace.PRODUCTION
    assert_type(manager.get_design_document("x", where), DesignDocument)
    assert_type(manager.get_all_design_documents(where), list[DesignDocument])
    manager.upsert_design_document(DesignDocument("d", {}), where)
    manager.drop_design_document("x", where)
    manager.publish_design_document("x")


def design(bucket: Bucket | ThreadSafeBucket) -> None:
    """The same by the names of SDK 2.5's BucketManager."""
    manager = bucket.bucket_manager()
    assert_type(manager.design_create("x", {}), HttpResult)
    assert_type(manager.design_get("x"), HttpResult)
    assert_type(manager.design_publish("x"), HttpResult)
    assert_type(manager.design_delete("x"), HttpResult)
    assert_type(manager.design_list(), HttpResult)
    assert_type(manager.old_http_request(1, 0, "/pools"), HttpResult)


def search_index_manager(cluster: Cluster | ThreadSafeCluster) -> None:
    """What can be asked about search indexes."""
    manager = cluster.search_indexes()
    manager.upsert_index(SearchIndex("i"))
    manager.drop_index("x")
    assert_type(manager.get_index("x"), SearchIndex)
    assert_type(manager.get_all_indexes(), list[SearchIndex])
    assert_type(manager.get_indexed_documents_count("x"), int)
    manager.pause_ingest("x")
    manager.resume_ingest("x")
    manager.allow_querying("x")
    manager.disallow_querying("x")
    manager.freeze_plan("x")
    manager.unfreeze_plan("x")
    assert_type(manager.analyze_document("x", {}), list[Any])
    assert_type(manager.get_index_stats("x"), dict[str, Any])
    assert_type(manager.get_all_index_stats(), dict[str, Any])


def eventing_function_manager(
    cluster: Cluster | ThreadSafeCluster, function: EventingFunction
) -> None:
    """What can be asked about eventing functions."""
    manager = cluster.eventing_functions()
    manager.upsert_function(function)
    manager.drop_function("x")
    manager.deploy_function("x")
    manager.undeploy_function("x")
    manager.pause_function("x")
    manager.resume_function("x")
    assert_type(manager.get_function("x"), EventingFunction)
    assert_type(manager.get_all_functions(), list[EventingFunction])
    assert_type(manager.functions_status(), EventingFunctionsStatus)
