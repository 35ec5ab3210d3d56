"""Design documents by the names of SDK 2.5, asked of an embedded cluster."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    DesignDocumentNotFoundError,
    HTTPError,
    InvalidSettingError,
    ServerInvalidArgumentError,
    TimeoutError,  # noqa: A004 - 2.5's name
)
from couchloop.management import bucket_manager
from tests.core.management.manager import Manager, answered, of_bucket

DEFAULT, B = of_bucket("default"), of_bucket("b")
OLD = {"views": {"all": {"map": "function (doc, meta) { emit(meta.id, null); }"}}}


@pytest.fixture
def manager() -> Manager:
    """A cluster whose bucket has a design document for development."""
    manager = Manager()
    manager.do(bucket_manager.design_create(DEFAULT, "d", OLD))
    return manager


def names(manager: Manager) -> list[str]:
    """Return what the server calls the design documents that it has."""
    return [each.name for each in manager.cluster.buckets["default"].design_documents]


def test_as_sdk_25_has_it(manager: Manager) -> None:
    """Results have the document as their value; publishing moves it."""
    create, get, listed = (
        bucket_manager.design_create,
        bucket_manager.design_get,
        bucket_manager.design_list,
    )
    result = manager.do(create(DEFAULT, "e", json.dumps(OLD)))
    assert (result.http_status, result.success) == (201, True)
    assert result.value == {"ok": True, "id": "_design/dev_e"}
    assert manager.do(get(DEFAULT, "e")).value == {**OLD, "_id": "_design/dev_e"}
    assert manager.do(get(DEFAULT, "dev_e", False)).success
    manager.do(bucket_manager.design_publish(DEFAULT, "e"))
    found = manager.do(listed(DEFAULT)).value
    assert list(found) == ["_design/dev_d", "_design/e"]
    assert found["_design/e"] == {**OLD, "_id": "_design/e"}
    with pytest.raises(DesignDocumentNotFoundError):
        manager.do(get(DEFAULT, "e"))
    manager.do(bucket_manager.design_delete(DEFAULT, "e", use_devmode=False))
    assert names(manager) == ["dev_d"]


def test_waiting(manager: Manager) -> None:
    """With syncwait the first view is asked until it answers, each wait with its own time."""
    manager.do(bucket_manager.design_create(DEFAULT, "e", {}, syncwait=3))
    assert manager.asked[-1].path == "/default/_design/dev_e"
    publish = bucket_manager.design_publish(DEFAULT, "d", syncwait=3, timeout=9)
    made = [(200, json.dumps(OLD).encode()), (201, b"{}")]
    not_yet = [(404, b"{}"), (500, b"{}"), (302, b"")]
    gone = [(200, b"{}"), (200, b"{}"), (404, b"{}")]
    result = answered(publish, [*made, *not_yet, (200, b"{}"), *gone])
    assert result.http_status == 201
    create = bucket_manager.design_create(DEFAULT, "e", OLD, syncwait=3)
    with pytest.raises(ServerInvalidArgumentError):
        answered(create, [(201, b"{}"), (400, b"{}")])
    # Whether the embedded service runs JavaScript depends on what is installed.
    with suppress(CouchbaseError):
        manager.do(bucket_manager.design_create(DEFAULT, "e", OLD, syncwait=3))
    assert manager.asked[-1].path == "/default/_design/dev_e/_view/all?stale=ok&limit=1"
    assert manager.limits == [3.0, 3.0]


def test_waited_too_long() -> None:
    """When the time is over the error says that the change was made."""
    made = [(201, b"{}"), (404, b"{}")]
    create = bucket_manager.design_create(B, "d", OLD, syncwait=1)
    with pytest.raises(TimeoutError, match="is stored"):
        answered(create, made, late=True)
    delete = bucket_manager.design_delete(B, "d", syncwait=1)
    with pytest.raises(TimeoutError, match="is deleted"):
        answered(delete, [(200, b"{}"), (200, b"{}")], late=True)
    for status, kind in ((400, ServerInvalidArgumentError), (403, None)):
        create = bucket_manager.design_create(B, "d", OLD, syncwait=1)
        if kind is None:
            assert answered(create, [(201, b"{}"), (status, b"{}")]).success
        else:
            with pytest.raises(kind):
                answered(create, [(201, b"{}"), (status, b"{}")])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"views": []}, "`views' is not a json object"),
        ({"views": {"": {"map": ""}}}, "empty string"),
        ({"views": {"v": 5}}, "Value for view `v'"),
        ({"views": {"v ": {"map": ""}}}, "leading or trailing whitespace"),
        ({"views": {"v": {}}}, "`map' field for the view `v' is missing"),
        ({"views": {"v": {"map": 5}}}, "`map' field of the view `v' is not"),
        ({"views": {"v": {"map": "", "reduce": 5}}}, "`reduce' field of the view `v' is not"),
        ({"views": {"v": {"map": "", "reduce": "_max"}}}, "Invalid built-in reduce"),
    ],
)
def test_refused(manager: Manager, document: dict[str, Any], words: str) -> None:
    """What is wrong with a design document is told in the server's words."""
    with pytest.raises(ServerInvalidArgumentError) as caught:
        manager.do(bucket_manager.design_create(DEFAULT, "e", document))
    assert caught.value.context is not None
    assert words in str(caught.value.context.server_context)
    assert names(manager) == ["dev_d"]


def test_what_is_given_can_change_later() -> None:
    """A document is taken as it is at the call."""
    given: dict[str, Any] = {"views": {}}
    steps: Any = bucket_manager.design_create(B, "d", given).take_over()
    given["views"]["v"] = 5
    assert json.loads(next(steps).body)["views"] == {}


def test_bad_arguments() -> None:
    """What no server takes is refused at the call."""
    create: Any = bucket_manager.design_create
    for given in ("{", "[]", 5, {"views": {1, 2}}, {"a": b""}):
        with pytest.raises(InvalidSettingError):
            create(B, "d", given)
    for wait in (-1, "1", float("nan"), True):
        with pytest.raises(ArgumentError):
            create(B, "d", {}, syncwait=wait)
    with pytest.raises(ArgumentError):
        bucket_manager.design_publish(B, "d", timeout=-1)


def test_any_request(manager: Manager) -> None:
    """A service by its number; of views in the bucket; what is refused is a result if wanted so."""
    ask = bucket_manager.old_http_request
    assert manager.do(ask(DEFAULT, 1, 0, "pools")).value["pools"]
    found = manager.do(ask(DEFAULT, 0, 0, "_design/dev_d"))
    assert (found.key, found.value["views"]) == ("/default/_design/dev_d", OLD["views"])
    form = "application/x-www-form-urlencoded"
    made = manager.do(ask(DEFAULT, 1, 1, "/pools/default/buckets", form, "name=x&ramQuotaMB=100"))
    assert made.http_status == 202
    with pytest.raises(HTTPError):
        manager.do(ask(DEFAULT, 1, 0, "/pools/default/buckets/nosuch"))
    refused = manager.do(ask(DEFAULT, 1, 0, "/pools/default/buckets/nosuch", quiet=True))
    assert (refused.success, refused.http_status) == (False, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        (2, 0, "/"),
        (6, 0, "/"),
        ("1", 0, "/"),
        (1, 4, "/"),
        (1, "GET", "/"),
        (1, 0, b"/"),
        ([], 0, "/"),
    ],
)
def test_no_request(wrong: tuple[Any, ...]) -> None:
    """What is no service, no method or no path is refused at the call."""
    with pytest.raises(ArgumentError):
        bucket_manager.old_http_request(DEFAULT, *wrong)
    with pytest.raises(ArgumentError):
        bucket_manager.old_http_request(DEFAULT, 1, 0, "/", response_format=5)
