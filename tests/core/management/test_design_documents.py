"""Design documents by the builders of the core, asked of an embedded cluster."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.embedded import BucketSettings
from couchloop.exceptions import (
    BucketNotFoundError,
    CouchbaseError,
    DesignDocumentNotFoundError,
    FeatureNotAvailableError,
    InvalidNameError,
    InvalidSettingError,
    NotAuthorizedError,
    ProtocolError,
)
from couchloop.management import bucket_manager
from couchloop.management import design_documents as designs
from couchloop.management.design_documents import DesignDocument, DesignDocumentNamespace, View
from tests.core.management.manager import Manager, answered, of_bucket
from tests.embedded.web import login

DEFAULT, B = of_bucket("default"), of_bucket("b")
DEV = DesignDocumentNamespace.DEVELOPMENT
PROD = DesignDocumentNamespace.PRODUCTION
VIEWS = {"all": View("function (doc, meta) { emit(meta.id, null); }", "_count")}
OLD = {"views": {"all": {"map": "function (doc, meta) { emit(meta.id, null); }"}}}


@pytest.fixture
def manager() -> Manager:
    """A cluster whose bucket has a design document for development."""
    manager = Manager()
    upsert = designs.upsert_design_document
    manager.do(upsert(DEFAULT, DesignDocument("d", VIEWS), DEV))
    return manager


def names(manager: Manager) -> list[str]:
    """Return what the server calls the design documents that it has."""
    return [each.name for each in manager.cluster.buckets["default"].design_documents]


def test_life(manager: Manager) -> None:
    """A design document is made, described, listed, published and dropped; each where it is."""
    found = manager.do(designs.get_design_document(DEFAULT, "d", DEV))
    assert (found.name, found.views, found.namespace) == ("d", VIEWS, DEV)
    assert found.rev.startswith("1-")
    with pytest.raises(DesignDocumentNotFoundError):
        manager.do(designs.get_design_document(DEFAULT, "d", PROD))
    manager.do(designs.publish_design_document(DEFAULT, "d"))
    assert names(manager) == ["d", "dev_d"]
    for namespace in (DEV, PROD):
        (listed,) = manager.do(designs.get_all_design_documents(DEFAULT, namespace))
        assert (listed.name, listed.views, listed.namespace) == ("d", VIEWS, namespace)
    manager.do(designs.drop_design_document(DEFAULT, "d", DEV))
    assert names(manager) == ["d"]
    with pytest.raises(DesignDocumentNotFoundError):
        manager.do(designs.drop_design_document(DEFAULT, "d", DEV))


def test_published_whole(manager: Manager) -> None:
    """What is published is what was there, also what this client has no name for."""
    document = {**OLD, "options": {"updateMinChanges": 7}}
    manager.do(bucket_manager.design_create(DEFAULT, "e", document))
    manager.do(designs.publish_design_document(DEFAULT, "e"))
    manager.do(bucket_manager.design_publish(DEFAULT, "e"))
    stored = manager.cluster.buckets["default"].design_documents.get("e")
    assert stored is not None
    assert stored.document == {**document, "_id": "_design/e"}


def test_names(manager: Manager) -> None:
    """A name with `dev_` means the same as without; odd ones are encoded."""
    odd = DesignDocument("dev_a/b ü", VIEWS)
    manager.do(designs.upsert_design_document(DEFAULT, odd, PROD))
    assert names(manager) == ["a/b ü", "dev_d"]
    assert manager.asked[-1].path == "/default/_design/a%2Fb%20%C3%BC"
    assert manager.do(designs.get_design_document(DEFAULT, "a/b ü", PROD)).views


def test_where_there_are_no_views(manager: Manager) -> None:
    """Buckets that are not there, or whose type has no views, and users without the right."""
    manager.cluster.add_bucket(BucketSettings("fleeting", ephemeral=True))
    get, listed = designs.get_design_document, designs.get_all_design_documents
    with pytest.raises(FeatureNotAvailableError, match="no views"):
        manager.do(get(of_bucket("fleeting"), "d", DEV))
    with pytest.raises(FeatureNotAvailableError, match="no views"):
        manager.do(listed(of_bucket("fleeting"), DEV))
    with pytest.raises(DesignDocumentNotFoundError):
        manager.do(get(of_bucket("nosuch"), "d", DEV))
    with pytest.raises(BucketNotFoundError):
        manager.do(listed(of_bucket("nosuch"), DEV))
    # Who may write documents with all rights may define views, as on a server.
    manager.login = login("user")
    assert manager.do(get(DEFAULT, "d", DEV)).name == "d"


def test_rights() -> None:
    """A user who may not is told so."""
    body = b'{"message":"Forbidden","permissions":["cluster.bucket[b].views!write"]}'
    with pytest.raises(NotAuthorizedError, match="views!write"):
        answered(designs.drop_design_document(B, "d", DEV), [(403, body)])


def test_bad_arguments() -> None:
    """What no server takes is refused at the call."""
    upsert: Any = designs.upsert_design_document
    wrong: list[Any] = [
        5,
        DesignDocument("d", 5),  # type: ignore[arg-type]
        DesignDocument("d", {"v": 5}),  # type: ignore[dict-item]
        DesignDocument("d", {"v": View(5)}),  # type: ignore[arg-type]
        DesignDocument("d", {"v": View("", 5)}),  # type: ignore[arg-type]
    ]
    for document in wrong:
        with pytest.raises(InvalidSettingError):
            upsert(B, document, DEV)
    with pytest.raises(InvalidNameError):
        upsert(B, DesignDocument("d", {"": View("")}), DEV)
    with pytest.raises(InvalidNameError):
        upsert(B, DesignDocument("", {}), DEV)
    with pytest.raises(InvalidNameError):
        upsert(of_bucket(""), DesignDocument("d", {}), DEV)
    with pytest.raises(InvalidSettingError):
        designs.get_design_document(B, "d", "development")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"views":5}', b'{"views":{"v":{}}}'])
def test_unreadable(body: bytes) -> None:
    """An answer that is no design document is told as such."""
    with pytest.raises(ProtocolError):
        answered(designs.get_design_document(B, "d", DEV), [(200, body)])


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"rows":[5]}', b'{"rows":[{"doc":{"meta":{"id":"_design/d"}}}]}']
)
def test_unreadable_lists(body: bytes) -> None:
    """An answer that is no list of design documents is told as such."""
    for build in (
        designs.get_all_design_documents(B, PROD),
        bucket_manager.design_list(B),
    ):
        with pytest.raises(ProtocolError):
            answered(build, [(200, body)])


def test_classes() -> None:
    """Not found is a number of RFC 58, and no fault of the connection."""
    error = DesignDocumentNotFoundError()
    assert isinstance(error, CouchbaseError)
    assert (error.ID, error.is_network) == (502, False)
