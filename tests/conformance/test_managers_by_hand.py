"""SDK 2.5's managers by their own constructors, on either loop."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from couchloop.embedded import administrator
from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    HTTPError,
    KeyExistsError,
    MissingCredentialsError,
    NotFoundError,
    UserNotFoundError,
)
from tests.conformance.loops import PASSWORD, Loop, cluster_of, opened


def module(loop: Loop, name: str) -> Any:
    """Return a module of the loop's package."""
    return import_module(f"{'txcouchbase' if loop.name == 'twisted' else 'gcouchbase'}.{name}")


def test_admin(loop: Loop) -> None:
    """It is told the web port of a node, or a connection string; names are those of SDK 2.5."""
    admins = module(loop, "admin")
    embedded = loop.embedded(1, users=[administrator("boss", PASSWORD)])
    with loop.serving(embedded) as served:
        port = served.cluster.nodes[0].ports["mgmt"]
        admin = admins.Admin("boss", PASSWORD, "127.0.0.1", port, bucket="default")
        assert PASSWORD not in repr(admin)
        loop.wait(admin.bucket_create("made", ram_quota=128, flush_enabled=True))
        loop.wait(admin.wait_ready("made", timeout=20))
        (info,) = [each for each in loop.wait(admin.buckets_list()) if each.name == "made"]
        assert isinstance(info, admins.Admin.BucketInfo)
        assert info.raw_json["name"] == "made"
        current = loop.wait(admin.bucket_info("made"))
        loop.wait(admin.bucket_update("made", current, ram_quota=256))
        assert loop.wait(admin.bucket_info("made")).value["quota"]["rawRAM"] == 256 << 20
        local = admins.AuthDomain.Local
        roles = ["ro_admin", ("data_reader", "made")]
        loop.wait(admin.upsert_user(local, "ada", "secret1", roles, name="Ada"))
        assert loop.wait(admin.get_user(local, "ada")).value["name"] == "Ada"
        assert "ada" in [each["id"] for each in loop.wait(admin.get_users(local)).value]
        loop.wait(admin.remove_user(local, "ada"))
        with pytest.raises(UserNotFoundError) as raised:
            loop.wait(admin.get_user(local, "ada"))
        raised.value.__traceback__ = None
        loop.wait(admin.bucket_delete("made"))
        with pytest.raises(HTTPError) as gone:
            loop.wait(admin.bucket_info("made"))
        gone.value.__traceback__ = None
        assert isinstance(gone.value, BucketNotFoundError)
        found = loop.wait(admin.http_request("/pools/default/buckets"))
        assert [each["name"] for each in found.value] == ["default"]
        with pytest.raises(HTTPError) as unknown:
            loop.wait(admin.http_request("/nosuch"))
        unknown.value.__traceback__ = None
        answer = unknown.value.objextra
        assert (answer.http_status, answer.success, type(answer.value)) == (404, False, str)
        other = admins.Admin("boss", "wrong", connection_string=served.connection_string + "/b")
        with pytest.raises(AuthError) as refused:
            loop.wait(other.buckets_list())
        refused.value.__traceback__ = None
        with pytest.raises(MissingCredentialsError):
            admins.Admin("boss", "")
        del admin, other


def test_bucket_manager(loop: Loop) -> None:
    """It is of a Bucket, as the one that the Bucket gives."""
    managers = module(loop, "bucketmanager")
    embedded = loop.embedded(1, users=[administrator("user", PASSWORD)])
    with loop.serving(embedded) as served, opened(loop, cluster_of(loop, served)) as bucket:
        manager = managers.BucketManager(bucket)
        design = {"views": {"all": {"map": "function (doc, meta) { emit(meta.id); }"}}}
        loop.wait(manager.design_create("d", design, use_devmode=False))
        assert loop.wait(manager.design_get("d", use_devmode=False)).value["views"].keys() == {
            "all"
        }
        loop.wait(manager.create_n1ql_primary_index())
        with pytest.raises(KeyExistsError) as there:
            loop.wait(manager.create_n1ql_primary_index())
        there.value.__traceback__ = None
        with pytest.raises(NotFoundError) as missing:
            loop.wait(manager.drop_n1ql_index("nosuch"))
        missing.value.__traceback__ = None
        (index,) = loop.wait(bucket.bucket_manager().list_n1ql_indexes())
        assert (str(index), index.raw["is_primary"]) == ("#primary", True)
