"""The names of SDK 2.5's Admin, asked of an embedded cluster manager."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    BucketExistsError,
    BucketNotFoundError,
    InvalidNameError,
    InvalidSettingError,
    UserNotFoundError,
)
from couchloop.management import admin
from couchloop.management.users import AuthDomain
from tests.core.management.manager import DEFAULTS, Manager


@pytest.fixture
def manager() -> Manager:
    """A cluster with one bucket."""
    return Manager()


def test_buckets(manager: Manager) -> None:
    """A bucket is made, waited for, described as the server does it, changed and removed."""
    made = manager.do(admin.bucket_create(DEFAULTS, "new", "ephemeral", replicas=1, ram_quota=128))
    assert (made.success, made.http_status) == (True, 202)
    assert manager.do(admin.wait_ready(DEFAULTS, "new")).name == "new"
    info = manager.do(admin.bucket_info(DEFAULTS, "new"))
    assert info.value["bucketType"] == "ephemeral"
    for current in (info, info.value, manager.do(admin.buckets_list(DEFAULTS))[1]):
        manager.do(admin.bucket_update(DEFAULTS, "new", current, flush_enabled=True))
    assert manager.asked[-1].body == b"flushEnabled=1"
    with pytest.raises(BucketExistsError):
        manager.do(admin.bucket_create(DEFAULTS, "new"))
    assert manager.do(admin.bucket_delete(DEFAULTS, "new")).success
    for build in (admin.bucket_remove, admin.bucket_info):
        with pytest.raises(BucketNotFoundError):
            manager.do(build(DEFAULTS, "new"))


def test_users(manager: Manager) -> None:
    """A user is made with roles by name, or by name and bucket."""
    roles: list[str | tuple[str, str]] = ["ro_admin", ("data_reader", "default")]
    manager.do(admin.user_upsert(DEFAULTS, AuthDomain.Local, "ada", "secret1", roles, "Ada"))
    found = manager.do(admin.user_get(DEFAULTS, "local", "ada")).value
    assert [role["role"] for role in found["roles"]] == ["ro_admin", "data_reader"]
    manager.do(admin.user_upsert(DEFAULTS, AuthDomain.External, "eve", None, ["ro_admin"]))
    users = manager.do(admin.users_get(DEFAULTS, AuthDomain.External)).value
    assert [user["id"] for user in users] == ["eve"]
    manager.do(admin.user_remove(DEFAULTS, "local", "ada"))
    for build in (admin.user_get, admin.user_remove):
        with pytest.raises(UserNotFoundError):
            manager.do(build(DEFAULTS, "local", "ada"))


def test_bad_arguments() -> None:
    """What SDK 2.5 refused is refused, and what servers have no more."""
    upsert: Any = admin.user_upsert
    update: Any = admin.bucket_update
    made: list[Any] = [
        lambda: admin.bucket_create(DEFAULTS, "a", bucket_password="secret"),
        lambda: update(DEFAULTS, "a", {}, bucket_password="secret"),
        lambda: upsert(DEFAULTS, "external", "a", "secret1", ["admin"]),
        lambda: upsert(DEFAULTS, "local", "a", "secret1"),
        lambda: upsert(DEFAULTS, "local", "a", "secret1", [5]),
        lambda: upsert(DEFAULTS, "local", "a", "secret1", [("a", "b", "c")]),
        lambda: upsert(DEFAULTS, "nowhere", "a", "secret1", ["admin"]),
    ]
    for make in made:
        with pytest.raises(ArgumentError) as caught:
            make()
        assert "secret" not in str(caught.value)
    for roles in ("admin", {"admin": 1}, 5):
        with pytest.raises(InvalidSettingError):
            upsert(DEFAULTS, "local", "a", "secret1", roles)
    for role in ("ro_admin,admin", ("data_reader", "b],admin["), ("a,b", "c")):
        with pytest.raises(ArgumentError):
            upsert(DEFAULTS, "local", "a", "secret1", [role])
    for odd in (["x"], object(), 1.5, "\ud800"):
        with pytest.raises(InvalidSettingError):
            admin.bucket_create(DEFAULTS, "a", replicas=odd)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError):
        update(DEFAULTS, "a", None)
    with pytest.raises(InvalidNameError):
        admin.bucket_info(DEFAULTS, "")
