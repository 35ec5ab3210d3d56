"""Scopes and collections by the builders of the core, asked of an embedded cluster manager."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import (
    BucketNotFoundError,
    CollectionExistsError,
    CollectionNotFoundError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidNameError,
    InvalidSettingError,
    ProtocolError,
    ScopeExistsError,
    ScopeNotFoundError,
    ServerInvalidArgumentError,
)
from couchloop.management import collections
from tests.core.management.manager import Manager, answered, of_bucket

OF_DEFAULT, OF_NONE = of_bucket("default"), of_bucket("nosuch")


@pytest.fixture
def manager() -> Manager:
    """A cluster whose bucket has one collection of its own."""
    manager = Manager()
    manager.do(collections.create_scope(OF_DEFAULT, "app"))
    manager.do(collections.create_collection(OF_DEFAULT, "app", "users"))
    return manager


def test_life(manager: Manager) -> None:
    """Scopes and collections are made, changed and dropped, with what they were made with."""
    manifest = manager.cluster.buckets["default"]
    add: Any = collections.create_collection
    manager.do(add(OF_DEFAULT, "app", "a", max_expiry=timedelta(minutes=1)))
    manager.do(add(OF_DEFAULT, "app", "b", max_expiry=timedelta(seconds=-5), history=True))
    found = {each.name: each.max_ttl for each in manifest.manifest.collections.values()}
    assert found == {"_default": 0, "users": 0, "a": 60, "b": -1}
    change = collections.update_collection
    manager.do(change(OF_DEFAULT, "app", "a", max_expiry=timedelta(0)))
    manager.do(collections.drop_collection(OF_DEFAULT, "app", "b"))
    found = {each.name: each.max_ttl for each in manifest.manifest.collections.values()}
    assert found == {"_default": 0, "users": 0, "a": 0}
    manager.do(collections.drop_scope(OF_DEFAULT, "app"))
    assert list(manifest.manifest.scopes) == ["_default"]


def test_all_nodes_are_waited_for(manager: Manager) -> None:
    """A change is over once all nodes have it, or could not be asked: it was made."""
    paths = [request.path for request in manager.asked]
    assert paths[-1] == "/pools/default/buckets/default/scopes/@ensureManifest/2"
    change = collections.create_scope(OF_DEFAULT, "other")
    assert answered(change, [(200, b'{"uid":"5"}'), (504, b"timeout")]) is None


@pytest.mark.parametrize(
    ("build", "names", "kind"),
    [
        (collections.create_scope, ("app",), ScopeExistsError),
        (collections.create_collection, ("app", "users"), CollectionExistsError),
        (collections.create_collection, ("no", "users"), ScopeNotFoundError),
        (collections.drop_scope, ("no",), ScopeNotFoundError),
        (collections.drop_scope, ("_default",), FeatureNotAvailableError),
        (collections.drop_collection, ("app", "no"), CollectionNotFoundError),
        (collections.drop_collection, ("no", "users"), ScopeNotFoundError),
        (collections.update_collection, ("app", "no"), CollectionNotFoundError),
        (collections.create_scope, ("_a",), ServerInvalidArgumentError),
        (collections.create_scope, ("a b",), ServerInvalidArgumentError),
        (collections.create_scope, ("a" * 252,), ServerInvalidArgumentError),
    ],
)
def test_refused(
    manager: Manager, build: Any, names: tuple[str, ...], kind: type[CouchbaseError]
) -> None:
    """Whether it is the scope or the collection that is there, or is not, is told by class."""
    with pytest.raises(CouchbaseError) as caught:
        manager.do(build(OF_DEFAULT, *names))
    assert type(caught.value) is kind
    with pytest.raises(BucketNotFoundError):
        manager.do(build(OF_NONE, *names))


def test_bad_arguments() -> None:
    """What no server takes is refused at the call."""
    add: Any = collections.create_collection
    for names in (("", "b"), (None, "b"), ("b", 5)):
        with pytest.raises(InvalidNameError):
            add(OF_DEFAULT, *names)
    for wrong in ({"max_expiry": 60}, {"max_expiry": timedelta.max}, {"history": "yes"}):
        with pytest.raises(InvalidSettingError):
            add(OF_DEFAULT, "b", "c", **wrong)


def test_old_servers() -> None:
    """What a server without collections says is no riddle."""
    with pytest.raises(FeatureNotAvailableError, match="no scopes and collections"):
        answered(
            collections.create_scope(OF_DEFAULT, "s"),
            [(400, b"Not allowed on this version of cluster")],
        )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"uid":5}'])
def test_unreadable(body: bytes) -> None:
    """An answer without the number of a manifest is told as such."""
    with pytest.raises(ProtocolError):
        answered(collections.create_scope(OF_DEFAULT, "s"), [(200, body)])
